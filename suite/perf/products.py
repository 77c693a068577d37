"""The matrix products of one training step, and nothing else: the time no implementation of the step can do without.

    once a layer     X W (T B, I)(I, GH)     and back  X' dA (I, T B)(T B, GH), H' dA (H, T B)(T B, GH)
    T times          h U (B, H)(H, GH)       and back  dA U' (B, GH)(GH, H)
    above the first  dA W' (T B, GH)(GH, I), for it has a layer below
    the head         y V and its two products back

They are done by NumPy's library, on operands that are used again and again: what it reaches is a mark to compare with,
not the machine's limit; another library may be faster.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from suite.spec.contract import Array, Batch, Net, Precision
from suite.spec.params import stack, stacks

Product = tuple[int, int, int, int]  # (m, k) times (k, n), so many times


def products(net: Net, batch: Batch) -> list[Product]:
    """Every product of a step. ValueError for a network that is more than a stack of recurrent layers and a head."""
    if net.signature.kind == "translate" or net.arch.family == "transformer":
        raise ValueError(f"products: {net.arch.name}/{net.signature.kind} is no plain stack; take a labelling task")
    (rows, steps), hidden = batch.x.shape[:2], net.sizes.hidden
    gates = len(net.arch.gates) * hidden
    found: list[Product] = []
    assert list(stacks(net)) == [""], "a plain stack"
    for number, layer in enumerate(stack(net, "")):
        for d in layer:
            found += [(rows * steps, d.inputs, gates, 1), (d.inputs, rows * steps, gates, 1)]
            found += [(rows, hidden, gates, steps), (rows, gates, hidden, steps), (hidden, rows * steps, gates, 1)]
            if number or net.signature.tokens:
                found.append((rows * steps, gates, d.inputs, 1))
    read, wide = rows * (steps if net.signature.kind == "label" else 1), hidden * len(stack(net, "")[-1])
    out = net.signature.outputs
    return [*found, (read, wide, out, 1), (wide, read, out, 1), (read, out, wide, 1)]


def call(net: Net, batch: Batch, precision: Precision) -> Callable[[], None]:
    """A call that does them all."""
    rng = np.random.default_rng(0)

    def drawn(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns)).astype(precision)

    made = [(drawn(m, k), drawn(k, n), np.empty((m, n), precision), times) for m, k, n, times in products(net, batch)]

    def run() -> None:
        for a, b, out, times in made:
            for _ in range(times):
                np.matmul(a, b, out=out)

    return run
