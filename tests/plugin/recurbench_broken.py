"""A backend from outside whose framework cannot start."""

from __future__ import annotations

from suite.spec.contract import Precision

NAME = "broken"
REQUIRES = "numpy"
EXTRA = "all"
TABLE = {("rnn", "scan"): "recurbench_broken:nothing"}
GAPS: dict[tuple[str, str], str] = {}


def setup(precision: Precision, device: str, threads: int) -> None:
    """Fail as a framework does whose shared library is missing."""
    raise ImportError("libframework.so.1: cannot open shared object file")
