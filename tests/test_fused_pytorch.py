"""PyTorch's fused loop: what the exam does not see of it, and that the exam sees when its derivative is wrong.

PyTorch runs in a process of its own, `python -m tests.test_fused_pytorch`, which prints one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from suite import registry
from suite.exam.cases import CASES
from suite.exam.checks import check_case
from suite.spec.archs import ARCHS
from suite.spec.contract import Snapshot

STEPS = ("rnn", "rnn_relu", "gru", "gru_before", "lstm", "lstm_peephole")
WAYS = [f"{step} {way}" for step in STEPS for way in ("forwards", "backwards")]
WORDS = {  # a planted fault -> what the exam must say
    "gru: r is missing from dr": ("label/gradients at layer0/",),
    "gru: dc is db": ("label/gradients at layer0/c",),
    "gru: dU with h_t for h_{t-1}": ("label/gradients at layer0/U",),
    "gru: no carry over pads": ("translate/gradients at enc/",),
    "gru_before: dU_n with h for r h": ("label/gradients at layer0/U",),
    "rnn: derivative of another tanh": ("label/gradients at layer0/",),
    "rnn_relu: gradient through the kink": ("label/gradients at layer0/",),
    "lstm: no gradient from h' to c'": ("label/gradients at layer0/",),
    "lstm: no carry over pads": ("translate/gradients at enc/",),
    "lstm_peephole: o looks at the old cell": ("label/gradients at layer0/P",),
    "lstm_peephole: no gradient through P": ("label/gradients at",),
}


@pytest.fixture(scope="module")
def found(own_process: Callable[[str, str], dict[str, Any]]) -> dict[str, Any]:
    return own_process("tests.test_fused_pytorch", "torch")


@pytest.mark.parametrize("way", WAYS)
def test_a_tap_is_added_and_has_its_gradient(found: dict[str, Any], way: str) -> None:
    """Random taps, lengths and cotangents, of the final state too, beside autograd's own derivative."""
    errors = found["taps"][way]
    assert errors.pop("y without the taps") > 1e-3
    for name, error in errors.items():
        assert error <= 1e-13, name


@pytest.mark.parametrize("way", WAYS)
def test_pads_change_no_bit(found: dict[str, Any], way: str) -> None:
    """A batch with three steps of nothing but pads, beside the batch without them."""
    assert found["pads"][way] == []


@pytest.mark.parametrize("way", WAYS)
def test_the_length_of_a_slab_changes_no_bit(found: dict[str, Any], way: str) -> None:
    assert found["slabs"][way] == []


def test_a_tap_that_is_one_number_spread_out_is_as_any_other(found: dict[str, Any]) -> None:
    assert found["spread"] == {"0.0": True, "0.5": True, "0.5, not added": False}


def test_a_second_way_back_is_refused(found: dict[str, Any]) -> None:
    assert "modified by an inplace operation" in found["twice"]


@pytest.mark.parametrize("arch", STEPS)
def test_the_honest_loop_passes(found: dict[str, Any], arch: str) -> None:
    assert found["honest"][arch] == []


@pytest.mark.parametrize("name", WORDS)
def test_a_planted_fault_is_found(found: dict[str, Any], name: str) -> None:
    said = "\n".join(found["faults"][name])
    for words in WORDS[name]:
        assert words in said, f"expected {words!r} in\n{said}"


# what follows runs where PyTorch may be imported


def examined(arch: str, case_name: str) -> list[str]:
    """What the exam finds wrong with outputs, loss and gradients of one network."""
    pytorch = registry.backend("pytorch")
    (case,) = (case for case in CASES if case.name == case_name)
    net, start = case.net(ARCHS[arch]), Snapshot(0, case.params(ARCHS[arch]))
    model = pytorch.build(net, "fused", case.optim, start, "float64", "cpu")
    said = []
    for check in check_case(model, ARCHS[arch], "float64", case, stock=False):
        said += [] if check.ok else [str(check)]
        if check.check.endswith("gradient flow"):
            break
    return said


def faults() -> Iterator[tuple[str, Any]]:
    """A fault's name -> the cell with it."""
    import torch

    from backends.pytorch import cells
    from backends.pytorch.fused_cells import CELLS

    rnn, relu, gru, before, lstm, peephole = (CELLS[getattr(cells, name)] for name in STEPS)

    def after(cell: Any, more: Callable[..., None]) -> Any:
        def factors(p: Any, tape: Any, state: Any, new: Any, k: Any) -> None:
            cell.factors(p, tape, state, new, k)
            more(tape, new, k)

        return replace(cell, factors=factors)

    def paired_late(da: Any, tape: Any, state: Any, new: Any) -> Any:
        return gru.weights(da, tape, new, new)

    def dc_is_db(da: Any, tape: Any, state: Any, new: Any) -> Any:
        r, z, n = da.chunk(3, 2)
        return gru.weights(da, tape, state, new)[0], torch.cat([n, r, z], 2).sum((0, 1))

    def looks_back(da: Any, tape: Any, state: Any, new: Any) -> Any:
        return peephole.weights(da, tape, state, state)

    yield "gru: r is missing from dr", after(gru, lambda tape, new, k: k[1].div_(tape[1]))
    yield "gru: dc is db", replace(gru, weights=dc_is_db)
    yield "gru: dU with h_t for h_{t-1}", replace(gru, weights=paired_late)
    yield "gru: no carry over pads", replace(gru, kept=("",))
    yield "gru_before: dU_n with h for r h", replace(before, weights=lstm.weights)
    yield "rnn: derivative of another tanh", after(rnn, lambda tape, new, k: k[0].sub_(0.01))
    yield "rnn_relu: gradient through the kink", after(relu, lambda tape, new, k: k[0].fill_(1.0))
    yield "lstm: no gradient from h' to c'", after(lstm, lambda tape, new, k: k[4].zero_())
    yield "lstm: no carry over pads", replace(lstm, kept=("", ""))
    yield "lstm_peephole: o looks at the old cell", replace(peephole, weights=looks_back)
    yield "lstm_peephole: no gradient through P", replace(peephole, factors=lstm.factors)


def main() -> dict[str, Any]:
    """Everything that the tests above look at."""
    pytorch = registry.backend("pytorch")
    pytorch.setup("float64", "cpu", 1)
    import torch

    from backends.pytorch import cells, fused, fused_cells, scan

    g = torch.Generator().manual_seed(0)
    T, B, H = 9, 4, 3

    def normal(*shape: int) -> Any:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    def problem(name: str) -> dict[str, Any]:
        """What a loop reads, and the cotangents of what it puts out."""
        of = ARCHS[name]
        p = {n: normal(*s) for n, s in of.shapes(1, H).items() if n not in ("W", "b")}
        parts = range(len(of.state))
        return {
            **{"a": normal(T, B, of.shapes(1, H)["b"][0]), "dy": normal(T, B, H)},
            **{"p": p, "state": [normal(B, H) for _ in parts], "dlast": [normal(B, H) for _ in parts]},
            **{"taps": [normal(T, B, H) for _ in parts], "lengths": torch.tensor([6, 3, 1, 5])},
        }

    def solved(loop: Any, name: str, q: dict[str, Any], reverse: bool) -> dict[str, Any]:
        """Outputs and gradients, by name."""
        step = getattr(cells, name)
        given = {"a": q["a"], **q["p"], **{f"first {k}": s for k, s in enumerate(q["state"])}}
        given |= {f"tap {k}": s for k, s in enumerate(q["taps"] or ())}
        given = {n: v.clone().requires_grad_() for n, v in given.items()}
        p = {n: given[n] for n in q["p"]}
        state = tuple(given[f"first {k}"] for k in range(len(q["state"])))
        taps = tuple(given[f"tap {k}"] for k in range(len(q["state"]))) if q["taps"] else None
        valid = (torch.arange(len(q["a"]))[:, None] < q["lengths"]).unsqueeze(2)
        y, last = loop(step, cells.before_loop(step, p), given["a"], valid, state, reverse, taps)
        grads = torch.autograd.grad([y, *last], list(given.values()), [q["dy"], *q["dlast"]])
        out = {"y": y, **{f"last {k}": s for k, s in enumerate(last)}}
        return {n: v.detach() for n, v in (out | {f"d {n}": d for n, d in zip(given, grads, strict=True)}).items()}

    said: dict[str, Any] = {name: {} for name in ("taps", "pads", "slabs", "honest", "faults")}
    for way in WAYS:
        name, reverse = way.split()[0], way.endswith("backwards")
        q = problem(name)
        got, want = solved(fused.loop, name, q, reverse), solved(scan.scan, name, q, reverse)
        plain = solved(fused.loop, name, q | {"taps": None}, reverse)
        said["taps"][way] = {n: ((got[n] - v).abs().max() / v.abs().max()).item() for n, v in want.items()}
        said["taps"][way]["y without the taps"] = (plain["y"] - want["y"]).abs().max().item()

        cut = q | {"taps": None, "a": q["a"][:6], "dy": q["dy"][:6]}
        short = solved(fused.loop, name, cut, reverse)
        long = {n: v[:6] if n in ("y", "d a") else v for n, v in plain.items()}
        said["pads"][way] = [n for n, v in short.items() if not torch.equal(v, long[n])]
        said["pads"][way] += [n for n in ("y", "d a") if plain[n][6:].any()]
        kept, fused.SLAB = fused.SLAB, 2 * B * H
        other = solved(fused.loop, name, q | {"taps": None}, reverse)
        fused.SLAB = kept
        said["slabs"][way] = [n for n, v in plain.items() if not torch.equal(v, other[n])]

    def as_full(value: float) -> bool:
        full, q, found = torch.full((T, B, H), value, dtype=torch.float64), problem("lstm"), []
        for tap in (full[0, 0, 0].expand(T, B, H), full):
            taps = tuple(tap.detach().requires_grad_() for _ in q["state"])
            y, _ = fused.loop(cells.lstm, q["p"], q["a"], None, tuple(q["state"]), False, taps)
            found.append([y, *torch.autograd.grad(y, taps, q["dy"])])
        return all(torch.equal(spread, full) for spread, full in zip(*found, strict=True))

    said["spread"] = {str(value): as_full(value) for value in (0.0, 0.5)}
    honest, fused._nothing = fused._nothing, lambda taps: not any(sum(tap.stride()) for tap in taps)
    said["spread"]["0.5, not added"], fused._nothing = as_full(0.5), honest

    a = normal(T, B, H).requires_grad_()
    y, _ = fused.loop(cells.rnn, {"U": normal(H, H)}, a, None, (normal(B, H),), False, None)
    torch.autograd.grad(y.sum(), a, retain_graph=True)
    try:
        torch.autograd.grad(y.sum(), a)
        said["twice"] = ""
    except RuntimeError as error:
        said["twice"] = str(error)

    for name in STEPS:
        said["honest"][name] = examined(name, "label")
    for name, cell in faults():
        step = getattr(cells, name.split(":")[0])
        honest, fused_cells.CELLS[step] = fused_cells.CELLS[step], cell
        said["faults"][name] = examined(name.split(":")[0], WORDS[name][0].split("/")[0])
        fused_cells.CELLS[step] = honest
    return said


if __name__ == "__main__":
    print(json.dumps(main()))
