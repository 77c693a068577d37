"""The contract between suite, tasks and backends: plain data and the promises of each side. No framework.

Letters: B batch, T source time, S target time, I input, H hidden, O output (classes or values).
Masks are booleans, True = valid. Sequences are padded on the right: step t of row b is valid iff t < lengths[b].
Parameters travel as ``Params``: canonical name -> float64 array, for example ``"layer0/U": (H, 3H)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from suite.spec.arch import Arch

SPEC_VERSION = "1"  # changes whenever the meaning of a Cell changes: a new value voids every resume
IMPLEMENTATIONS = ("stock", "scan", "scan-compiled", "fused", "native")
PAD, BOS, EOS, UNK = 0, 1, 2, 3  # one numbering for every vocabulary that needs them

Array = NDArray[Any]
Params = dict[str, Array]
State = dict[str, Array]  # "layer0/h" -> (B, H)
Precision = Literal["float32", "float64"]
Loss = Literal["xent", "mse", "xent_batch", "bpr_max", "top1_max"]
IN_BATCH: tuple[Loss, ...] = ("xent_batch", "bpr_max", "top1_max")  # losses whose negatives are the other rows' targets


class Unsupported(Exception):
    """This exact cell cannot run here; ``str(error)`` is the reason that is recorded and reported."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a task's arrays mean, and so which network reads them.

    kind   "label"      an output at every step          outputs (B, T, O)
           "final"      one output a sequence            outputs (B, O)
           "translate"  encoder-decoder, teacher forced  outputs (B, S, O)
    loss   "xent" (mean over scored targets, nats) or "mse" (mean over rows and values); "label" also has those that
           rank a target among the other rows', "xent_batch", "bpr_max" and "top1_max": ``suite.spec.session_loss``
    inputs    size of the input vocabulary, or number of real features where ``tokens`` is False
    outputs   number of classes (for "translate": the target vocabulary), or of real values
    longest_target   "translate" only: how many tokens greedy decoding may write
    smoothing   "xent" only: the share of each target that all classes divide alike; a task's own is 0
    """

    kind: Literal["label", "final", "translate"]
    loss: Loss
    inputs: int
    outputs: int
    tokens: bool = True
    longest_target: int = 0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.loss == "mse" and self.kind != "final":
            raise ValueError(f"signature: loss 'mse' goes with kind 'final', not with {self.kind!r}")
        if self.loss in IN_BATCH and self.kind != "label":
            raise ValueError(f"signature: loss {self.loss!r} goes with kind 'label', not with {self.kind!r}")
        if self.kind == "translate" and self.longest_target < 1:
            raise ValueError("signature: kind 'translate' needs longest_target >= 1")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"signature: smoothing is {self.smoothing}; it must be at least 0 and less than 1")
        if self.smoothing and self.loss != "xent":
            raise Unsupported(f"{self.loss}/smoothing: only the loss 'xent' has classes to smooth; set smoothing = 0")


@dataclass(frozen=True, slots=True)
class Sizes:
    """The network's free sizes. ``embed`` is the width of a token's embedding (unused for real features).

    A Transformer embeds in ``hidden`` instead, and alone has ``heads`` and ``positions``: 0 = sinusoidal positions,
    n = a trained table of n positions, which no sequence may be longer than.
    """

    hidden: int = 128
    layers: int = 1
    bidirectional: bool = False
    embed: int = 64
    heads: int = 4
    positions: int = 0

    def __post_init__(self) -> None:
        for name, least in (("hidden", 1), ("layers", 1), ("embed", 1), ("heads", 1), ("positions", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"sizes: {name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(frozen=True, slots=True)
class Optim:
    """The canonical optimiser, written out in ``suite.spec.optim``. ``clip`` is the largest global norm, 0 = off."""

    name: Literal["sgd", "rmsprop", "adam", "adamw"] = "adam"
    lr: float = 1e-3
    clip: float = 1.0
    momentum: float = 0.0
    nesterov: bool = False
    alpha: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in ("sgd", "rmsprop", "adam", "adamw"):
            raise ValueError(f"optim: name is {self.name!r}; it must be sgd, rmsprop, adam or adamw")
        for name in ("lr", "clip", "momentum", "alpha", "beta1", "beta2", "eps", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"optim: {name} is {getattr(self, name)}; it must be a finite number, at least 0")
        if self.weight_decay and self.name != "adamw":
            raise ValueError(f"optim: weight_decay belongs to adamw (decoupled), not to {self.name}")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, NumPy on the host.

    x        (B, T) int32 tokens, or (B, T, F) float64 features
    lengths  (B,) int32, valid source steps, 1..T
    y        "label" (B, T) int32; "translate" (B, S) int32; "final" (B,) int32 or (B, O) float64
    scored   bool: which targets count in loss and score; (B, T), (B, S) or (B,)
    y_in     "translate" only: (B, S) int32, what the decoder reads (bos, then y shifted by one)
    y_lengths  "translate" only: (B,) int32, valid target steps with eos, 1..S
    masks    site -> (B, F) float64: what dropout multiplies by, see ``suite.spec.dropout``; empty for none
    """

    x: Array
    lengths: Array
    y: Array
    scored: Array
    y_in: Array | None = None
    y_lengths: Array | None = None
    masks: Mapping[str, Array] = field(default_factory=dict)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(B, T): which source steps are real."""
        return np.arange(self.x.shape[1]) < self.lengths[:, None]

    @property
    def y_valid(self) -> NDArray[np.bool_]:
        """(B, S), "translate" only: which target steps are real."""
        assert self.y_in is not None and self.y_lengths is not None, "a translate batch has y_in and y_lengths"
        return np.arange(self.y_in.shape[1]) < self.y_lengths[:, None]

    @property
    def count(self) -> int:
        """How many targets the loss is the mean of."""
        return max(1, int(self.scored.sum()))

    def check(self, signature: Signature) -> None:
        """Refuse an id outside its vocabulary, which one framework clamps, another reads as zero or stops at."""
        vocabularies = (
            ("x", self.x if signature.tokens else None, signature.inputs),
            ("y_in", self.y_in, signature.outputs),
            ("y", self.y if signature.loss != "mse" else None, signature.outputs),
        )
        for name, ids, size in vocabularies:
            if ids is not None and not (ids.min() >= 0 and ids.max() < size):
                raise ValueError(f"batch: {name} holds ids {ids.min()}..{ids.max()}; they must lie in 0..{size - 1}")


@dataclass(frozen=True, slots=True)
class Bound:
    """A known level of a task's headline metric: a floor (what knowing nothing buys) or a ceiling."""

    kind: Literal["floor", "ceiling"]
    value: float
    what: str


class Task(Protocol):
    """One question. ``batch`` is pure: the same arguments give the same bytes."""

    name: str
    signature: Signature
    metric: str  # the headline metric, a key of what `score` returns
    better: Literal["higher", "lower"]

    def batch(self, split: str, seed: int, step: int, size: int) -> Batch:
        """Batch ``step`` of a split. "train" is endless and depends on ``seed``; "val" and "test" ignore it."""

    def batches(self, split: str, size: int) -> int:
        """How many batches of ``size`` rows make up "val" or "test"; the last one is padded with unscored rows."""

    def score(self, predictions: Sequence[Array], batches: Sequence[Batch]) -> dict[str, float]:
        """Metrics over batches. ``predictions``: outputs (logits or values), or decoded tokens for "translate".

        The headline metric comes with its standard error over sequences, as ``f"{metric}_se"``.
        """

    def bounds(self, bidirectional: bool) -> tuple[Bound, ...]:
        """Floors and ceilings of the headline metric for a network that reads one or both ways."""

    def digest(self) -> str:
        """SHA-256 of the evaluation splits and the first training batches (int32/float64, little endian)."""


@dataclass(frozen=True, slots=True)
class Net:
    """A network: which cell, reading what, how large. Parameters and equations are in ``suite.spec.network``."""

    arch: Arch
    signature: Signature
    sizes: Sizes

    def __post_init__(self) -> None:
        translate, both = self.signature.kind == "translate", self.sizes.bidirectional
        if self.arch.attention and not translate:
            raise Unsupported(
                f"{self.arch.name}/{self.signature.kind}: its attention leads from a decoder to an encoder; "
                f"use a translation task, or arch = {self.arch.equations}"
            )
        if self.arch.family == "transformer" and self.sizes.hidden % self.sizes.heads:
            got = f"hidden = {self.sizes.hidden}, heads = {self.sizes.heads}"
            raise Unsupported(f"{self.arch.name}: {got}; heads must divide hidden: set either so that it does")
        if translate and both and self.arch.family == "transformer":
            raise Unsupported("transformer/translate: its encoder reads both ways anyway; set bidirectional = false")
        if translate and both and not self.arch.attention:
            raise Unsupported(
                "translate/bidirectional: a decoder starts from one final state per layer; "
                "set bidirectional = false, or use an architecture with attention, which reads both directions"
            )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything training needs to go on, in any backend: step, parameters and the optimiser's slots."""

    step: int
    params: Params
    slots: dict[str, Params] = field(default_factory=dict)  # "m", "v": the same names and shapes as params


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one update reports: loss (nats or squared units), global norm before clipping, norm per parameter."""

    loss: float
    grad_norm: float
    param_norms: dict[str, float]


class Model(Protocol):
    """One network, built on its device. Everything that enters or leaves it is canonical NumPy."""

    def put(self, batch: Batch) -> Any:
        """Host to device; outside the clock."""

    def step(self, handle: Any, lr: float) -> Any:
        """One update; may return before it has run."""

    def steps(self, handles: Sequence[Any], lrs: Sequence[float]) -> Sequence[Any]:
        """As many updates in one call -> what `wait` takes, of each. Raises Unsupported where that saves nothing."""

    def wait(self, pending: Any) -> StepResult:
        """Block until that update is done; one transfer from the device."""

    def grads(self, handle: Any) -> tuple[float, Params]:
        """Loss and gradients in canonical layout, no update."""

    def outputs(self, handle: Any, state: State | None = None) -> tuple[Array, State]:
        """Logits or values, zero at pads' hidden output, and the final state; ``state`` continues an earlier call."""

    def decode(self, handle: Any) -> Array:
        """Greedy decoding, "translate" only: (B, longest_target) int32; what follows eos is pad."""

    def flow(self, handle: Any) -> dict[str, Array]:
        """||dL/ds_t|| over valid rows for each carried state: "layer0/h" -> (T,). Raises Unsupported if hidden."""

    def snapshot(self) -> Snapshot:
        """A canonical float64 copy of step, parameters and slots."""

    def load(self, snapshot: Snapshot) -> None:
        """Continue from ``snapshot``."""

    def ran(self) -> str:
        """What really executes, for example "torch.nn.GRU, oneDNN off, eager"."""


class Backend(Protocol):
    """A module: what one framework offers. Importing it must not import the framework."""

    NAME: str
    REQUIRES: str  # the distribution it needs: "torch"
    EXTRA: str  # the extra that installs it: "torch"
    TABLE: Mapping[tuple[str, str], str]  # (architecture, implementation) -> "module:function" that makes the layer
    GAPS: Mapping[tuple[str, str], str]  # (architecture, implementation) -> why not; "*" stands for any

    def setup(self, precision: Precision, device: str, threads: int) -> None:
        """Process-wide switches (threads, x64, TF32 off); called once, before anything else of this backend."""

    def build(self, net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
        """The model, or Unsupported with its reason."""

    def versions(self) -> dict[str, str]:
        """Name -> version of everything that decides the numbers."""
