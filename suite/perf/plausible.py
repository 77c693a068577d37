"""What of a group's times cannot be believed: such a group is not written."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

PRODUCTS = "products"  # the candidate that does nothing but the call's matrix products
MOST_OF_PRODUCTS = 1.5  # another library's products may be faster than NumPy's, but not by this much
MOST_OF_OTHERS = 0.1  # processors; on a machine left alone the middle set sees 0.005 to 0.04
Data = dict[str, Any]


def best(candidate: Data) -> float:
    """The fastest call of all, in seconds."""
    return min(min(s["min"]) for s in candidate["sets"])


def gates(data: Data) -> Iterator[str]:
    """What cannot be believed of a group's data."""
    for name, candidate in data["candidates"].items():
        if not (math.isfinite(best(candidate)) and best(candidate) > 0):
            yield f"{name} took {best(candidate)} s"
        for s in candidate["sets"]:
            if not 0.9 <= s["accounted"] <= 1.0 + 1e-6:
                yield f"{name}: its calls make {s['accounted']:.0%} of the time that passed while they ran"
    told = [s["foreign_per_s"] for c in data["candidates"].values() for s in c["sets"]]
    others = 0.0 if None in told else statistics.median(told)  # where no system tells it, a reader sees a blank
    if not others <= MOST_OF_OTHERS:
        yield f"other processes used {others:.2f} processors meanwhile; leave the machine alone and measure again"
    least = data["candidates"].get(PRODUCTS)
    if least:
        for name, candidate in data["candidates"].items():
            if best(candidate) < best(least) / MOST_OF_PRODUCTS:
                yield f"{name} took {_ms(candidate)}, its matrix products alone {_ms(least)}"


def order(small: Data, large: Data) -> Iterator[str]:
    """What cannot be believed of two subjects, of which the second does all that the first does, and more."""
    for name in small["candidates"].keys() & large["candidates"].keys():
        one, more = small["candidates"][name], large["candidates"][name]
        if not best(one) <= best(more):
            yield f"{name}: {small['subject']} took {_ms(one)}, {large['subject']} {_ms(more)}, and it does more"


def _ms(candidate: Data) -> str:
    return f"{1e3 * best(candidate):.3g} ms"
