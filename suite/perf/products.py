"""The matrix products of one training step or forward pass, and nothing else: no implementation can do without them.

    once a layer     X W (T B, I)(I, GH)     and back  X' dA (I, T B)(T B, GH), H' dA (H, T B)(T B, GH)
    T times          h U (B, H)(H, GH)       and back  dA U' (B, GH)(GH, H)
    above the first  dA W' (T B, GH)(GH, I), for it has a layer below
    the head         y V and its two products back

A forward pass has none of those back.

They are done by NumPy's library, on operands that are used again and again: what it reaches is a mark to compare with,
not the machine's limit; another library may be faster.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from suite.spec.contract import Array, Batch, Net, Precision
from suite.spec.params import stack, stacks

Product = tuple[int, int, int, int]  # (m, k) times (k, n), so many times


def products(net: Net, batch: Batch, back: bool = True) -> list[Product]:
    """Every product of a step, or without ``back`` of its outputs alone.

    ValueError for a network that is more than a stack of recurrent layers and a head.
    """
    if net.signature.kind == "translate" or net.arch.family == "transformer":
        raise ValueError(f"products: {net.arch.name}/{net.signature.kind} is no plain stack; take a labelling task")
    (rows, steps), hidden = batch.x.shape[:2], net.sizes.hidden
    gates = len(net.arch.gates) * hidden
    there: list[Product] = []
    again: list[Product] = []
    assert list(stacks(net)) == [""], "a plain stack"
    for number, layer in enumerate(stack(net, "")):
        for d in layer:
            there += [(rows * steps, d.inputs, gates, 1), (rows, hidden, gates, steps)]
            again += [(rows, gates, hidden, steps)]
            again += [(d.inputs, rows * steps, gates, 1), (hidden, rows * steps, gates, 1)]
            if number or net.signature.tokens:
                again.append((rows * steps, gates, d.inputs, 1))
    read, wide = rows * (steps if net.signature.kind == "label" else 1), hidden * len(stack(net, "")[-1])
    out = net.signature.outputs
    there.append((read, wide, out, 1))
    again += [(wide, read, out, 1), (read, out, wide, 1)]
    return there + again if back else there


def call(net: Net, batch: Batch, precision: Precision, back: bool = True) -> Callable[[], None]:
    """A call that does them all."""
    rng = np.random.default_rng(0)

    def drawn(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns)).astype(precision)

    found = products(net, batch, back)
    made = [(drawn(m, k), drawn(k, n), np.empty((m, n), precision), times) for m, k, n, times in found]

    def run() -> None:
        for a, b, out, times in made:
            for _ in range(times):
                np.matmul(a, b, out=out)

    return run
