"""The questions: pure functions of (split, seed, step) with known floors and ceilings. One file each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from suite.spec.contract import Task
from tasks.adding import Adding
from tasks.copy_memory import CopyMemory
from tasks.hmm_tag import HmmTag
from tasks.multi30k import Multi30k
from tasks.numwords import NumWords
from tasks.pos_ud import PosUd


def _maker(task: Callable[..., Task], name: str) -> Callable[..., Task]:
    """The task as a function of its options that refuses an option it does not know."""
    known = list(inspect.signature(task).parameters)

    def make(**options: Any) -> Task:
        for option in options:
            if option not in known:
                raise ValueError(f"{name} has no option {option!r}; it has {', '.join(known)}")
        return task(**options)

    make.__doc__ = inspect.getmodule(task).__doc__  # `list tasks` prints its first line
    return make


TASKS: dict[str, Callable[..., Task]] = {
    "hmm_tag": _maker(HmmTag, "hmm_tag"),
    "copy_memory": _maker(CopyMemory, "copy_memory"),
    "adding": _maker(Adding, "adding"),
    "numwords": _maker(NumWords, "numwords"),
    "pos_ud": _maker(PosUd, "pos_ud"),
    "multi30k": _maker(Multi30k, "multi30k"),
}
