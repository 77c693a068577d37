"""A worker's line to its parent: standard output for JSON lines alone, whatever libraries print."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def private_stdout() -> TextIO:
    """The real standard output; from now on everything else that writes there reaches standard error."""
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept
