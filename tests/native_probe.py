"""What tests/test_native.py looks at, found where PyTorch may be imported: a script that prints one line of JSON.

Its argument: "everything", which also compiles the kernel with faults planted in its source; "ran", what executes or
why nothing does; "broken", the same of a source that no compiler takes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from suite import registry
from suite.exam.cases import CASES
from suite.exam.checks import check_case
from suite.spec.archs import ARCHS
from suite.spec.contract import Snapshot, Unsupported

STEPS = ("rnn", "rnn_relu", "gru", "gru_before", "lstm", "lstm_peephole")
WAYS = [f"{step} {way}" for step in STEPS for way in ("forwards", "backwards")]
LABEL = next(case for case in CASES if case.name == "label")
FAULTS = {  # architecture -> what its derivative says, the fault in it, and what the exam must say
    "rnn": ("tanh_backward(dh, h)", "tanh_backward(dh, h * h)", "label/gradients at layer0/"),
    "rnn_relu": ("blendv(dh, zero, h <= zero)", "blendv(dh, dh, h <= zero)", "label/gradients at layer0/"),
    "gru": ("sigmoid_backward(dn * u, r)", "sigmoid_backward(dn, r)", "label/gradients at layer0/"),
    "gru_before": ("s.d[0](at) + r * dq[0]", "s.d[0](at) + dq[0]", "label/gradients at"),
    "lstm": ("s.d[1](at) + tanh_backward(dh * o, t)", "s.d[1](at)", "label/gradients at layer0/"),
    "lstm_peephole": ("dc * f + di * P(at, 0)", "dc * f", "label/gradients at"),
}


def model(arch: str) -> Any:
    start = Snapshot(0, LABEL.params(ARCHS[arch]))
    return registry.backend("pytorch").build(LABEL.net(ARCHS[arch]), "native", LABEL.optim, start, "float64", "cpu")


def examined(arch: str) -> list[str]:
    """What the exam finds wrong with outputs, loss and gradients of one network."""
    said = []
    for check in check_case(model(arch), ARCHS[arch], "float64", LABEL, stock=False):
        said += [] if check.ok else [str(check)]
        if check.check.endswith("gradient flow"):
            break
    return said


def ran() -> str:
    """What executes, or why nothing does."""
    try:
        return model("gru").ran()
    except Unsupported as reason:
        return str(reason)


def plant(folder: Path, *changes: tuple[str, str, str]) -> None:
    """Let the library be built from a copy of its sources with the changes (file, old, new) made."""
    from backends.pytorch import native_build

    for name in native_build.SOURCES:
        text = (native_build.FOLDER / name).read_text(encoding="utf-8")
        for file, old, new in changes:
            if file == name:
                assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
                text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    native_build.FOLDER = folder
    native_build.built.cache_clear()


def problem(name: str, T: int, B: int, H: int) -> dict[str, Any]:
    """What a loop reads, and the cotangents of what it puts out."""
    import torch

    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Any:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    of = ARCHS[name]
    p = {n: normal(*s) / H**0.5 for n, s in of.shapes(1, H).items() if n not in ("W", "b")}
    parts = range(len(of.state))
    return {
        **{"a": normal(T, B, of.shapes(1, H)["b"][0]), "dy": normal(T, B, H), "p": p},
        **{"state": [normal(B, H) for _ in parts], "dlast": [normal(B, H) for _ in parts]},
        **{"taps": [normal(T, B, H) for _ in parts], "lengths": torch.randint(1, T - 2, (B,), generator=g)},
    }


def solved(loop: Any, name: str, q: dict[str, Any], reverse: bool) -> dict[str, Any]:
    """Outputs and gradients, by name."""
    import torch

    from backends.pytorch import cells

    step, parts = getattr(cells, name), range(len(q["state"]))
    given = {"a": q["a"], **q["p"], **{f"first {k}": s for k, s in enumerate(q["state"])}}
    given |= {f"tap {k}": s for k, s in enumerate(q["taps"] or ())}
    given = {n: v.clone().requires_grad_() for n, v in given.items()}
    p, state = {n: given[n] for n in q["p"]}, tuple(given[f"first {k}"] for k in parts)
    taps = tuple(given[f"tap {k}"] for k in parts) if q["taps"] else None
    valid = None if q["lengths"] is None else (torch.arange(len(q["a"]))[:, None] < q["lengths"]).unsqueeze(2)
    y, last = loop(step, cells.before_loop(step, p), given["a"], valid, state, reverse, taps)
    grads = torch.autograd.grad([y, *last], list(given.values()), [q["dy"], *q["dlast"]])
    out = {"y": y, **{f"last {k}": s for k, s in enumerate(last)}}
    return {n: v.detach() for n, v in (out | {f"d {n}": d for n, d in zip(given, grads, strict=True)}).items()}


def everything() -> dict[str, Any]:
    """Everything that the tests above look at, but the builds that fail."""
    import torch

    from backends.pytorch import cells, native, scan

    said: dict[str, Any] = {name: {} for name in ("errors", "bits", "pads", "nan", "honest", "faults")}
    said |= {"ran": ran(), "cuda": on_cuda()}
    for way in WAYS:
        name, reverse = way.split()[0], way.endswith("backwards")
        worst = said["errors"][way] = {}
        for T, B, H in ((9, 4, 3), (7, 13, 37), (12, 16, 64)):
            torch.set_num_threads(2 if H > 3 else 1)
            q = problem(name, T, B, H)
            for change in ({}, {"taps": None}, {"lengths": None}, {"taps": None, "lengths": None}):
                got, want = solved(native.loop, name, q | change, reverse), solved(scan.scan, name, q | change, reverse)
                for n, v in want.items():
                    error = ((got[n] - v).abs().max() / v.abs().max()).item()
                    worst[n] = max(worst.get(n, 0.0), error) if error == error else float("inf")
            plain = solved(native.loop, name, q | {"taps": None}, reverse)
            tapped = solved(native.loop, name, q, reverse)
            worst["y without the taps"] = (plain["y"] - tapped["y"]).abs().max().item()

        torch.set_num_threads(1)  # of the last problem, which is large enough for two
        one = solved(native.loop, name, q, reverse)
        said["bits"][way] = [n for n, v in one.items() if not torch.equal(v, tapped[n]) and n[2:] not in q["p"]]
        half = q | {n: [s[:5] for s in q[n]] for n in ("state", "dlast")} | {"lengths": q["lengths"][:5]}
        half |= {n: q[n][:, :5] for n in ("a", "dy")} | {"taps": [s[:, :5] for s in q["taps"]]}
        few = solved(native.loop, name, half, reverse)
        rows = {n: v[:5] if v.dim() == 2 else v[:, :5] for n, v in one.items() if n[2:] not in q["p"]}
        said["bits"][way] += [f"{n} of five rows" for n, v in rows.items() if not torch.equal(v, few[n])]

        short = q | {"taps": None, "a": q["a"][:-3], "dy": q["dy"][:-3]}
        odd = q | {"taps": None, "a": torch.cat([short["a"], torch.full_like(q["a"][:3], torch.nan)])}
        before, after = solved(native.loop, name, short, reverse), solved(native.loop, name, odd, reverse)
        alike = {n: v[:-3] if n in ("y", "d a") else v for n, v in after.items() if n[2:] not in q["p"]}
        said["pads"][way] = [n for n, v in alike.items() if not torch.equal(v, before[n])]
        said["pads"][way] += [n for n in ("y", "d a") if after[n][-3:].any()]
        said["pads"][way] += [n for n, v in after.items() if not v.isfinite().all()]

    for name in STEPS:
        q = problem(name, 6, 3, 5) | {"taps": None, "lengths": None}
        q["a"][2, 1] = torch.nan
        y = solved(native.loop, name, q, False)["y"]
        clean = torch.cat([y[:, [0, 2]].flatten(), y[:2, 1].flatten()]).isfinite().all().item()
        said["nan"][name] = [y[2:, 1].isnan().all().item(), clean]

    q = problem("rnn", 4, 2, 3)
    a = q["a"].requires_grad_()
    y, _ = native.loop(cells.rnn, q["p"], a, None, tuple(q["state"]), False, None)
    torch.autograd.grad(y.sum(), a, retain_graph=True)
    try:
        torch.autograd.grad(y.sum(), a)
        said["twice"] = ""
    except RuntimeError as error:
        said["twice"] = str(error)

    for name in STEPS:
        said["honest"][name] = examined(name)
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder), *(("native_cells.h", old, new) for old, new, _ in FAULTS.values()))
        for name in STEPS:
            said["faults"][name] = examined(name)
    return said


def on_cuda() -> str:
    """What `make` says of a device that it has no kernel for."""
    import torch

    from backends.pytorch import native

    try:
        native.make(LABEL.net(ARCHS["gru"]), "", torch.float64, "cuda")
    except Unsupported as reason:
        return str(reason)
    return ""


def main(what: str) -> dict[str, Any]:
    """What the test asks for."""
    registry.backend("pytorch").setup("float64", "cpu", 1)
    if what == "everything":
        return everything()
    with tempfile.TemporaryDirectory() as folder:
        if what == "broken":
            plant(Path(folder))
            path = Path(folder) / "native.cpp"
            path.write_text("#error planted\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
        return {"ran": ran()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
