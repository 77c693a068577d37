"""How often the host reads values of a framework's tensors: each read waits for the device, and in the middle of an
update it is what makes a fast device slow.

A read is a call of a method in `NAMES`, or of ``numpy.array`` or ``numpy.asarray`` with a tensor (which some frameworks
answer through the buffer protocol, where no method is called). They are counted by standing in their place for a few
calls; a read inside a read counts once. Reads below Python are not seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

NAMES = (
    *("numpy", "item", "tolist", "block_until_ready"),
    *("__array__", "__bool__", "__float__", "__int__", "__index__", "__complex__"),
)


def count(tensor: type, call: Callable[[], object], times: int) -> int:
    """How many reads of ``tensor``'s values there are in so many calls."""
    made, inside = 0, False

    def watched(read: Callable[..., Any], only: tuple[type, ...]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal made, inside
            if inside or not isinstance(arguments[0] if arguments else None, only):
                return read(*arguments, **named)
            made, inside = made + 1, True
            try:
                return read(*arguments, **named)
            finally:
                inside = False

        return counted

    present = [name for name in NAMES if any(name in vars(base) for base in tensor.__mro__[:-1])]
    with contextlib.ExitStack() as undo:
        for owner, names in ((tensor, present), (np, ("array", "asarray"))):
            for name in names:
                undo.callback(_set, owner, name, vars(owner).get(name))
                setattr(owner, name, watched(getattr(owner, name), (tensor,)))
        for _ in range(times):
            call()
    return made


def _set(owner: Any, name: str, value: Any) -> None:
    """Give ``owner`` its own ``name`` back, or none where it had inherited it."""
    if value is None:
        delattr(owner, name)
    else:
        setattr(owner, name, value)
