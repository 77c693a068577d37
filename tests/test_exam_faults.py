"""The exam is an exam: an honest model passes, and every planted fault is found and called by its name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from backends.reference.trainer import Trainer
from suite.exam.checks import Maker, examine
from suite.spec.archs import ARCHS
from tests.faults import (
    BackwardFromPads,
    DecaysAll,
    DirectFlow,
    EpsHat,
    Forgetful,
    FullRowsCut,
    HalfWidth,
    LastOfEquals,
    LastReport,
    LayoutWrong,
    Leak,
    LiveView,
    MaskIgnored,
    MomentumLost,
    NaNGradient,
    NoFlow,
    Noisy,
    NormAfterClip,
    NormsSwapped,
    NoStop,
    OneNaN,
    SinglePrecision,
    SlotsLost,
    StepForgotten,
    StepLossOff,
    StepLost,
    all_scored,
    on_batch,
    other_optimiser,
)
from tests.faults_cells import add_forget, bent, change, no_carry, on_gradient, reset_before, swap, transposed


@dataclass(frozen=True)
class Fault:
    """A wrong model, the cell it is planted in, and the words that the exam must fail with."""

    make: Maker
    words: tuple[str, ...]
    arch: str = "gru"


FAULTS: dict[str, Fault] = {
    "gates r and z swapped": Fault(swap(3, 0, 1), ("label/outputs", "gates r and z are swapped")),
    "gates z and n swapped": Fault(swap(3, 1, 2), ("deep/outputs", "gates z and n are swapped")),
    "lstm gates f and o swapped": Fault(swap(4, 1, 3), ("label/outputs", "gates f and o are swapped"), "lstm"),
    "reset before for after": Fault(reset_before, ("label/outputs", "reset is applied before the product")),
    "no carry": Fault(no_carry, ("label/outputs", "h_{t-1} is not carried")),
    "missing bias": Fault(change("c", np.zeros_like, np.zeros_like), ("label/outputs", "one bias is missing (c)")),
    "missing rnn bias": Fault(change("b", np.zeros_like, np.zeros_like), ("outputs", "the bias is missing"), "rnn"),
    "bias not trained": Fault(on_gradient("c", np.zeros_like), ("label/gradients at layer0/c",)),
    "forget bias added": Fault(add_forget(1.0), ("outputs", "1 is added to the forget bias"), "lstm"),
    "forget bias missing": Fault(add_forget(-1.0), ("outputs", "1 is missing from the forget bias"), "lstm"),
    "U transposed": Fault(change("U", transposed, transposed), ("label/outputs", "U is transposed")),
    "z against 1 - z": Fault(
        bent(
            lambda p: {n: v * np.repeat([1, -1, 1], v.shape[-1] // 3) for n, v in p.items()},
            lambda p: {n: v * np.repeat([1, -1, 1], v.shape[-1] // 3) for n, v in p.items()},
        ),
        ("label/outputs", "z and 1 - z are exchanged"),
    ),
    "mask ignored": Fault(MaskIgnored, ("label/final state",)),
    "backward without lengths": Fault(BackwardFromPads, ("both-ways/outputs", "the backward direction starts in the")),
    "gradient x 1.001": Fault(on_gradient("U", lambda g: 1.001 * g), ("label/gradients at layer0/U", "label/gradient")),
    "one NaN in outputs": Fault(OneNaN, ("label/outputs", "outputs are not finite")),
    "one NaN gradient": Fault(NaNGradient, ("label/gradients at head/d: error nan",)),
    "Adam epsilon 1e-7": Fault(other_optimiser(lambda o: replace(o, eps=1e-7)), ("label/1 adam update",)),
    "Adam eps-hat": Fault(EpsHat, ("label/1 adam update",)),
    "clip off": Fault(other_optimiser(lambda o: replace(o, clip=0.0)), ("label/10 adam updates, slot m",)),
    "no nesterov": Fault(other_optimiser(lambda o: replace(o, nesterov=False)), ("one/1 sgd update",)),
    "rmsprop decay .99": Fault(other_optimiser(lambda o: replace(o, alpha=0.99)), ("translate/1 rmsprop update",)),
    "weight decay on biases": Fault(DecaysAll, ("both-ways/1 adamw update",)),
    "loss over all": Fault(on_batch(all_scored), ("label/loss",)),
    "state not carried over": Fault(Forgetful, ("streaming/outputs",)),
    "slots lost": Fault(SlotsLost, ("layout/round trip of slot m",)),
    "step count lost": Fault(StepLost, ("layout/step count",)),
    "layout wrong": Fault(LayoutWrong, ("layout/round trip of parameters at layer0/W",)),
    "future leaks": Fault(Leak, ("causality/outputs",)),
    "decoding does not stop": Fault(NoStop, ("translate/greedy decoding", "tokens differ")),
    "norm after clipping": Fault(NormAfterClip, ("label/gradient norm",)),
    "norms of other parameters": Fault(NormsSwapped, ("label/norm per parameter",)),
    "flow of the last step only": Fault(DirectFlow, ("label/gradient flow at layer0/h",)),
    "float32 for float64": Fault(SinglePrecision, ("label/outputs", "layout/round trip")),
    "full rows cut": Fault(FullRowsCut, ("full rows/gradients at layer0/U",)),
    "momentum lost": Fault(MomentumLost, ("deep/10 sgd updates",)),
    "last of equal logits": Fault(LastOfEquals, ("translate/greedy decoding", "tokens differ")),
    "snapshot not a copy": Fault(LiveView, ("ownership/an earlier snapshot",)),
    "wait gives the newest report": Fault(LastReport, ("pipeline/losses",)),
    "loss of an update off": Fault(StepLossOff, ("deep/loss of an update",)),
    "flow refused without need": Fault(NoFlow, ("label/gradient flow", "hides its states, it says")),
    "float32 outputs": Fault(HalfWidth, ("label/dtype at float32",)),
    "step count of the load": Fault(StepForgotten, ("ownership/step count",)),
    "different from run to run": Fault(Noisy, ("repeatable/losses of 20 updates", "losses differ")),
}


@pytest.mark.parametrize("arch", ARCHS)
def test_an_honest_model_passes(arch: str) -> None:
    failed = [str(c) for c in examine(Trainer, ARCHS[arch], "float64") if not c.ok]
    assert not failed


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(name: str) -> None:
    fault = FAULTS[name]
    failed = "\n".join(str(c) for c in examine(fault.make, ARCHS[fault.arch], "float64") if not c.ok)
    for words in fault.words:
        assert words in failed, f"expected {words!r} in\n{failed}"
