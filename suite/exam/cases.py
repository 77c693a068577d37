"""The networks and batches of the exam: small, asymmetric, with every length from 1 to full.

Weights are the canonical initial values moved by random amounts, so that no bias is zero and no two gates are alike:
zero or symmetric parameters hide swapped gates and missing biases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from suite.spec import params
from suite.spec.arch import Arch
from suite.spec.contract import IN_BATCH, Batch, Net, Optim, Params, Signature, Sizes
from suite.spec.masks import masks
from suite.spec.random import Stream

# clip binds from the first step; a smaller eps would move an entry of tiny gradient by the sign of its rounding error
ADAM = Optim("adam", lr=2e-2, clip=0.05, eps=1e-4)
BLOCKS = {  # a Transformer's sizes, case by case: heads divide the width, LN needs some, two train their positions
    "label": Sizes(hidden=6, heads=2),
    "deep": Sizes(hidden=12, layers=2, bidirectional=True, heads=3),
    "translate": Sizes(hidden=12, layers=2, heads=4, positions=8),
    "one": Sizes(hidden=4, heads=2),
    "both-ways": Sizes(hidden=8, bidirectional=True, heads=1, positions=9),
    "last": Sizes(hidden=3, heads=3),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One network of the exam, its optimiser (each rule is in one case) and the shape of its batches."""

    name: str
    signature: Signature
    sizes: Sizes
    optim: Optim
    rows: int
    steps: int
    dropout: float = 0.0
    archs: tuple[str, ...] = ()  # the architectures that have this case; all that can, if it names none

    def net(self, arch: Arch) -> Net:
        """The case's network around a cell, or of Transformer blocks."""
        return Net(arch, self.signature, BLOCKS[self.name] if arch.family == "transformer" else self.sizes)

    def fits(self, arch: Arch) -> bool:
        """Whether the architecture has such a network: attention needs a decoder, and to read both ways needs it."""
        translate, both = self.signature.kind == "translate", self.sizes.bidirectional
        meant = not self.archs or arch.name in self.archs
        return meant and (translate or not arch.attention) and (bool(arch.attention) or not (translate and both))

    def params(self, arch: Arch) -> Params:
        """Random asymmetric parameters with non-zero biases."""
        net = self.net(arch)
        moved = Stream(f"exam/{self.name}/{arch.name}")
        return {name: p + moved.uniform(p.shape, -0.3, 0.3) for name, p in params.init(net, 0).items()}

    def batch(self, index: int = 0, full: bool = False) -> Batch:
        """Batch ``index``: lengths 1, T and random ones between (all T where ``full``)."""
        return make_batch(self.signature, self.rows, self.steps, Stream(f"exam/{self.name}/{index}"), full)

    def masked(self, arch: Arch, index: int = 0) -> Batch:
        """Batch ``index`` with the masks of the case's dropout."""
        return replace(self.batch(index), masks=masks(self.net(arch), self.dropout, self.rows, 0, index))


LABEL = Case("label", Signature("label", "xent", 11, 7), Sizes(hidden=6, embed=5), ADAM, rows=5, steps=7)
TRANSLATE = Case(
    "translate",
    Signature("translate", "xent", 9, 8, longest_target=6),
    Sizes(hidden=5, layers=2, embed=4),
    # a larger eps: with 1e-8 a gradient of 1e-7 moves its entry by its sign, and its rounding error as far
    Optim("rmsprop", lr=1e-2, clip=1.0, eps=1e-3),
    rows=4,
    steps=6,
)
CASES = (
    LABEL,
    Case(
        "deep",
        Signature("final", "mse", 3, 2, tokens=False),
        Sizes(hidden=4, layers=2, bidirectional=True),
        Optim("sgd", lr=0.1, clip=0.0, momentum=0.9),
        rows=4,
        steps=6,
        dropout=0.3,
    ),
    TRANSLATE,
    Case(
        "attentive",
        replace(TRANSLATE.signature, smoothing=0.1),
        Sizes(hidden=4, layers=2, bidirectional=True, embed=3),
        Optim("adam", lr=1e-2, clip=1.0, eps=1e-3),
        rows=4,
        steps=5,
        dropout=0.3,
    ),
    Case(
        "one",  # B = T = H = 1, a Transformer's H but for
        Signature("label", "xent", 3, 2),
        Sizes(hidden=1, embed=1),
        Optim("sgd", lr=0.3, clip=0.05, momentum=0.5, nesterov=True),  # with more, v is a small difference of large g
        rows=1,
        steps=1,
    ),
    Case(
        "both-ways",
        replace(LABEL.signature, smoothing=0.1),
        Sizes(hidden=5, bidirectional=True, embed=4),
        Optim("adamw", lr=5e-3, clip=0.0, eps=1e-3, weight_decay=0.1),
        rows=5,
        steps=7,
        dropout=0.3,
    ),
    Case(  # a class for a whole sequence of tokens: which cell has read it, "deep" and "label" ask
        "last",
        Signature("final", "xent", 5, 3),
        Sizes(hidden=3, embed=2),
        Optim("adam", lr=1e-2, clip=0.0),
        rows=3,
        steps=4,
        archs=("gru", "lstm", "transformer"),
    ),
    *(
        Case(  # few outputs, so that rows have equal targets; a loss does not ask which cell it trains
            name.replace("_", "-"),
            Signature("label", name, 5, 4),
            Sizes(hidden=3, embed=2),
            Optim("sgd", lr=0.1, clip=0.0),
            rows=5,
            steps=5,
            archs=("gru",),
        )
        for name in IN_BATCH
    ),
)


def of(arch: Arch, impl: str) -> tuple[Case, ...]:
    """The cases of an (architecture, implementation).

    A loop whose derivative is written by hand is that of the equations: where an architecture takes another's, the loop
    is examined on every network there, and here on one.
    """
    return (hub(arch),) if impl == "fused" and arch.equations != arch.name else CASES


def hub(arch: Arch) -> Case:
    """The case on which an architecture's properties are checked and its training is resumed."""
    return TRANSLATE if arch.attention else LABEL


def make_batch(sig: Signature, rows: int, steps: int, s: Stream, full: bool = False) -> Batch:
    """A random batch of a signature; lengths cover 1 and ``steps``, and some valid targets are not scored."""
    lengths = np.full(rows, steps, np.int32) if full else _lengths(rows, steps, s)
    x = s.integers(sig.inputs, (rows, steps)).astype(np.int32) if sig.tokens else s.normal((rows, steps, sig.inputs))
    if sig.kind == "final":
        y = s.normal((rows, sig.outputs)) if sig.loss == "mse" else s.integers(sig.outputs, rows).astype(np.int32)
        return Batch(x, lengths, y, np.arange(rows) != 1)
    if sig.kind == "label":
        scored = (np.arange(steps) < lengths[:, None]) & (s.uniform((rows, steps)) < 0.8)
        scored[0, 0] = True
        return Batch(x, lengths, s.integers(sig.outputs, (rows, steps)).astype(np.int32), scored)
    y_lengths = _lengths(rows, sig.longest_target, s)[::-1].copy()
    y = s.integers(sig.outputs, (rows, sig.longest_target)).astype(np.int32)
    y_in = s.integers(sig.outputs, y.shape).astype(np.int32)
    return Batch(x, lengths, y, np.arange(y.shape[1]) < y_lengths[:, None], y_in, y_lengths)


def _lengths(rows: int, steps: int, s: Stream) -> np.ndarray:
    lengths = s.integers(steps, rows) + 1
    lengths[0], lengths[-1] = steps, 1 if rows > 1 else steps
    return lengths.astype(np.int32)
