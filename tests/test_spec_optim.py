"""The optimisers against a second derivation: one number at a time, in the textbook form of each paper."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from suite.spec import optim
from suite.spec.contract import Optim, Params
from suite.spec.random import Stream

SHAPES = {"emb/E": (3, 2), "layer0/W": (2, 3), "layer0/U": (3, 3), "layer0/b": (3,), "head/V": (3, 2), "head/d": (2,)}
STEPS = 7
CASES = {
    "sgd": Optim("sgd", lr=0.1, clip=0),
    "momentum": Optim("sgd", lr=0.1, clip=0, momentum=0.9),
    "nesterov": Optim("sgd", lr=0.1, clip=0, momentum=0.9, nesterov=True),
    "rmsprop": Optim("rmsprop", lr=0.01, clip=0, alpha=0.95),
    "adam": Optim("adam", lr=0.01, clip=0),
    "adam-clipped": Optim("adam", lr=0.01, clip=0.5),
    "adamw": Optim("adamw", lr=0.01, clip=0, weight_decay=0.1),
}


def draw(name: str) -> Params:
    s = Stream(name)
    return {key: s.normal(shape) for key, shape in SHAPES.items()}


def lr(o: Optim, t: int) -> float:
    return o.lr / t  # a schedule: momentum with the rate inside the velocity would differ


def by_hand(o: Optim, decayed: tuple[str, ...]) -> Params:
    """STEPS updates in plain Python floats."""
    flat = {name: p.ravel().tolist() for name, p in draw("p").items()}
    m = {name: [0.0] * len(p) for name, p in flat.items()}
    v = {name: [0.0] * len(p) for name, p in flat.items()}
    for t in range(1, STEPS + 1):
        grads = {name: g.ravel().tolist() for name, g in draw(f"g{t}").items()}
        norm = math.fsum(g * g for row in grads.values() for g in row) ** 0.5
        scale = o.clip / (norm + 1e-6) if o.clip and norm + 1e-6 > o.clip else 1.0
        for name, p in flat.items():
            for i, g in enumerate(grads[name]):
                g *= scale
                if o.name == "sgd":
                    v[name][i] = o.momentum * v[name][i] + g
                    p[i] -= lr(o, t) * (g + o.momentum * v[name][i] if o.nesterov else v[name][i])
                elif o.name == "rmsprop":
                    v[name][i] = o.alpha * v[name][i] + (1 - o.alpha) * g * g
                    p[i] -= lr(o, t) * g / (math.sqrt(v[name][i]) + o.eps)
                else:
                    m[name][i] = o.beta1 * m[name][i] + (1 - o.beta1) * g
                    v[name][i] = o.beta2 * v[name][i] + (1 - o.beta2) * g * g
                    m_hat, v_hat = m[name][i] / (1 - o.beta1**t), v[name][i] / (1 - o.beta2**t)
                    decay = o.weight_decay * p[i] if name in decayed else 0.0
                    p[i] -= lr(o, t) * (m_hat / (math.sqrt(v_hat) + o.eps) + decay)
    return {name: np.array(p).reshape(SHAPES[name]) for name, p in flat.items()}


def by_rule(o: Optim) -> Params:
    p = draw("p")
    slots = optim.init_slots(o, p)
    for t in range(1, STEPS + 1):
        p, slots, _ = optim.update(o, lr(o, t), t, p, draw(f"g{t}"), slots)
    return p


def distance(a: Params, b: Params) -> float:
    return max(float(np.abs(a[name] - b[name]).max()) for name in SHAPES)


@pytest.mark.parametrize("case", CASES)
def test_the_rule_is_the_textbook(case: str) -> None:
    matrices = ("emb/E", "layer0/W", "layer0/U", "head/V")
    assert distance(by_rule(CASES[case]), by_hand(CASES[case], matrices)) <= 1e-14


FAULTS = {
    "epsilon": ("adam", {"eps": 1e-7}),
    "second moment": ("adam", {"beta2": 0.99}),
    "nesterov left out": ("nesterov", {"nesterov": False}),
    "clipping left out": ("adam-clipped", {"clip": 0.0}),
    "smoothing": ("rmsprop", {"alpha": 0.9}),
    "decay left out": ("adamw", {"weight_decay": 0.0}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_would_be_seen(fault: str) -> None:
    case, change = FAULTS[fault]
    matrices = ("emb/E", "layer0/W", "layer0/U", "head/V")
    assert distance(by_rule(replace(CASES[case], **change)), by_hand(CASES[case], matrices)) > 1e-9


def test_decay_on_biases_would_be_seen() -> None:
    assert distance(by_rule(CASES["adamw"]), by_hand(CASES["adamw"], tuple(SHAPES))) > 1e-9


def test_only_matrices_decay() -> None:
    assert [name for name in SHAPES if optim.decays(name)] == ["emb/E", "layer0/W", "layer0/U", "head/V"]


def test_clipping_scales_all_to_the_limit_and_reports_the_norm_before() -> None:
    o = Optim("sgd", lr=1.0, clip=0.5)
    p, g = draw("p"), draw("g")
    new, _, norm = optim.update(o, o.lr, 1, p, g, optim.init_slots(o, p))
    assert norm == optim.global_norm(g)
    assert abs(norm - math.fsum(x * x for row in g.values() for x in row.ravel().tolist()) ** 0.5) <= 1e-14
    assert norm > o.clip
    moved = {name: p[name] - new[name] for name in p}
    assert abs(optim.global_norm(moved) - 0.5 * norm / (norm + 1e-6)) <= 1e-14
    for name in p:
        assert np.abs(moved[name] - g[name] * 0.5 / (norm + 1e-6)).max() <= 1e-14


def test_a_small_gradient_is_not_scaled() -> None:
    o = Optim("sgd", lr=1.0, clip=1e3)
    p, g = draw("p"), draw("g")
    new, _, _ = optim.update(o, o.lr, 1, p, g, optim.init_slots(o, p))
    assert all(np.array_equal(new[name], p[name] - g[name]) for name in p)


def test_an_update_leaves_its_arguments_alone() -> None:
    o = CASES["adamw"]
    p, g = draw("p"), draw("g")
    slots = optim.init_slots(o, p)
    optim.update(o, o.lr, 1, p, g, slots)
    assert all(np.array_equal(p[name], draw("p")[name]) and np.array_equal(g[name], draw("g")[name]) for name in p)
    assert not any(value.any() for values in slots.values() for value in values.values())


def test_weight_decay_belongs_to_adamw() -> None:
    with pytest.raises(ValueError, match="weight_decay belongs to adamw"):
        Optim("adam", weight_decay=0.1)


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ValueError, match="must be sgd, rmsprop, adam or adamw"):
        Optim("adagrad")  # type: ignore[arg-type]
