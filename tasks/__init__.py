"""The questions: pure functions of (split, seed, step) with known floors and ceilings. One file each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from suite.spec.contract import Task
from tasks.adding import Adding
from tasks.charlm import CharLm
from tasks.copy_memory import CopyMemory
from tasks.dates import Dates
from tasks.dyck_check import DyckCheck
from tasks.hmm_tag import HmmTag
from tasks.mqar import Mqar
from tasks.multi30k import Multi30k
from tasks.noise import Noise
from tasks.numwords import NumWords
from tasks.parity import delayed_parity, parity
from tasks.pos_ud import PosUd
from tasks.reber import Reber
from tasks.selective_copy import SelectiveCopy
from tasks.sentiment import Sentiment
from tasks.sessions import Sessions
from tasks.temporal_order import TemporalOrder
from tasks.variable_copy import VariableCopy


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
    "variable_copy": _maker(VariableCopy, "variable_copy"),
    "selective_copy": _maker(SelectiveCopy, "selective_copy"),
    "adding": _maker(Adding, "adding"),
    "temporal_order": _maker(TemporalOrder, "temporal_order"),
    "parity": _maker(parity, "parity"),
    "delayed_parity": _maker(delayed_parity, "delayed_parity"),
    "dyck_check": _maker(DyckCheck, "dyck_check"),
    "mqar": _maker(Mqar, "mqar"),
    "reber": _maker(Reber, "reber"),
    "sentiment": _maker(Sentiment, "sentiment"),
    "sessions": _maker(Sessions, "sessions"),
    "numwords": _maker(NumWords, "numwords"),
    "dates": _maker(Dates, "dates"),
    "pos_ud": _maker(PosUd, "pos_ud"),
    "multi30k": _maker(Multi30k, "multi30k"),
    "charlm": _maker(CharLm, "charlm"),
    "noise": _maker(Noise, "noise"),
}
