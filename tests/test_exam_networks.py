"""Mistakes of attention, decoders and residual stacks are found, and those of the outputs called by their name."""

from __future__ import annotations

import numpy as np
import pytest

from suite.exam.checks import examine
from suite.spec import attention, decoder, network
from suite.spec.archs import ARCHS
from tests.faults_cells import add_forget, reset_before
from tests.faults_networks import (
    asked_across,
    during,
    first_state,
    on_vjp,
    other_direction,
    parameters,
    read_out,
    residual,
    residual_detached,
    residual_on_state,
    residual_unprojected,
    weights,
)
from tests.test_exam_faults import Fault

softmax = attention.softmax
NOT_MASKED = ("translate/outputs", "the attention does not mask the source's pads")
UPSIDE_DOWN = ("translate/outputs", "the attention's mask is upside down")
NO_CONTEXT = ("translate/outputs", "the context is missing from the read-out")
SCALED = ("translate/outputs", "the scores are divided by sqrt(H)")

FAULTS: dict[str, Fault] = {
    "pads seen": Fault(weights(lambda e, valid: softmax(e, np.True_)), NOT_MASKED, "gru_attention"),
    "pads seen, general": Fault(weights(lambda e, valid: softmax(e, np.True_)), NOT_MASKED, "gru_luong"),
    "mask upside down": Fault(weights(lambda e, valid: softmax(e, ~valid)), UPSIDE_DOWN, "lstm_attention"),
    "mask upside down, general": Fault(weights(lambda e, valid: softmax(e, ~valid)), UPSIDE_DOWN, "gru_luong"),
    "softmax over the rows": Fault(
        weights(lambda e, valid: softmax(e.T, valid.T).T), ("translate/outputs", "runs over the rows"), "rnn_attention"
    ),
    "weights do not sum to one": Fault(
        weights(lambda e, valid: valid / (1 + np.exp(-e))), ("translate/outputs", "do not sum to one"), "gru_attention"
    ),
    "asked with the new state": Fault(
        during(decoder, "forward", asked_across),
        ("translate/outputs", "asked with the state after the step"),
        "gru_attention",
    ),
    "asked with the old state, general": Fault(
        during(decoder, "forward", asked_across),
        ("translate/outputs", "asked with the state before the step"),
        "gru_luong",
    ),
    "keys through Wq": Fault(
        parameters(lambda net, p: {"attn/Wk": p["attn/Wq"]}),
        ("translate/outputs", "the keys are made by Wq"),
        "gru_attention",
    ),
    "Wq transposed": Fault(
        parameters(lambda net, p: {"attn/Wq": p["attn/Wq"].T}),
        ("translate/outputs", "Wq is transposed"),
        "rnn_attention",
    ),
    "Wa transposed": Fault(
        parameters(lambda net, p: {"attn/Wa": p["attn/Wa"].T}), ("translate/outputs", "Wa is transposed"), "gru_luong"
    ),
    "scores scaled": Fault(
        parameters(lambda net, p: {"attn/v": p["attn/v"] / net.sizes.hidden**0.5}), SCALED, "gru_attention"
    ),
    "scores scaled, general": Fault(
        parameters(lambda net, p: {"attn/Wa": p["attn/Wa"] / net.sizes.hidden**0.5}), SCALED, "gru_luong"
    ),
    "no context in the input": Fault(
        parameters(lambda net, p: {"dec/layer0/W": np.vstack([(w := p["dec/layer0/W"])[:4], 0 * w[4:]])}),
        ("translate/outputs", "the context is missing from the input"),
        "lstm_attention",
    ),
    "input [c; x]": Fault(
        parameters(lambda net, p: {"dec/layer0/W": np.vstack([(w := p["dec/layer0/W"])[5:], w[:5]])}),
        ("translate/outputs", "the decoder reads [c; x], not [x; c]"),
        "rnn_attention",
    ),
    "no context in the read-out": Fault(
        read_out(lambda read: read * (np.arange(10) < 5)), NO_CONTEXT, "lstm_attention"
    ),
    "no context in the read-out, general": Fault(
        parameters(lambda net, p: {"attn/Wc": np.vstack([0 * (w := p["attn/Wc"])[:5], w[5:]])}), NO_CONTEXT, "gru_luong"
    ),
    "read-out [c; y]": Fault(
        read_out(lambda read: np.roll(read, 5, axis=-1)),
        ("translate/outputs", "the read-out takes [c; y], not [y; c]"),
        "gru_attention",
    ),
    "read-out [y; c], general": Fault(
        parameters(lambda net, p: {"attn/Wc": np.roll(p["attn/Wc"], 5, axis=0)}),
        ("translate/outputs", "the read-out takes [y; c], not [c; y]"),
        "gru_luong",
    ),
    "no tanh in the read-out": Fault(
        read_out(np.arctanh),
        ("translate/outputs", "the read-out's tanh is missing"),
        "gru_luong",
    ),
    "started from the forward direction": Fault(
        during(network, "bridge", other_direction),
        ("attentive/outputs", "the decoder starts from the encoder's forward direction"),
        "gru_attention",
    ),
    "started from zero": Fault(first_state(np.zeros_like), ("translate/outputs", "starts from zero"), "gru_luong"),
    "started from zero, no attention": Fault(first_state(np.zeros_like), ("translate/outputs", "starts from zero")),
    "another cell under attention": Fault(
        reset_before, ("translate/outputs", "reset is applied before the product"), "gru_attention"
    ),
    "another cell between residual links": Fault(
        reset_before, ("label/outputs", "reset is applied before the product"), "gru_residual"
    ),
    "forget bias added under attention": Fault(
        add_forget(1.0), ("translate/outputs", "1 is added to the forget bias"), "lstm_attention"
    ),
    "no residual link": Fault(
        residual(lambda y, x: y), ("label/outputs", "the residual link is missing"), "gru_residual"
    ),
    "residual at pads": Fault(
        residual(lambda y, x: y + x), ("label/outputs", "only outputs at pads differ"), "gru_residual"
    ),
    "residual on the state": Fault(
        during(network, "run", residual_on_state),
        ("label/outputs", "the residual link is added to the state"),
        "gru_residual",
    ),
    "no residual projection": Fault(
        during(network, "run", residual_unprojected),
        ("label/outputs", "the residual link has no projection"),
        "gru_residual",
    ),
    "no gradient to the keys": Fault(
        on_vjp(attention, "additive_vjp", lambda dq, dkeys, dm, dp: (dq, 0 * dkeys, dm, dp)),
        ("translate/gradients at attn/Wk",),
        "rnn_attention",
    ),
    "no gradient to the query": Fault(
        on_vjp(attention, "additive_vjp", lambda dq, dkeys, dm, dp: (0 * dq, dkeys, dm, dp)),
        ("translate/gradients at",),
        "gru_attention",
    ),
    "no gradient to the memory": Fault(
        on_vjp(attention, "general_vjp", lambda dy, dm, dp: (dy, 0 * dm, dp)),
        ("translate/gradients at enc/",),
        "gru_luong",
    ),
    "no gradient through the residual link": Fault(
        during(network, "run_vjp", residual_detached), ("label/gradients at emb/E",), "gru_residual"
    ),
    "pads seen in decoding": Fault(
        during(attention, "softmax", lambda e, valid: softmax(e, np.True_), ("decode",)),
        ("translate/greedy decoding", "tokens differ"),
        "gru_attention",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(name: str) -> None:
    fault, failed = FAULTS[name], ""
    for check in examine(fault.make, ARCHS[fault.arch], "float64"):
        failed += "" if check.ok else f"{check}\n"
        if all(words in failed for words in fault.words):
            return
    pytest.fail(f"expected {fault.words} in\n{failed}")
