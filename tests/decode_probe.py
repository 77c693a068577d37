"""One backend in a process of its own: it writes with what was trained elsewhere, then trains and writes by itself.

python tests/decode_probe.py jax FOLDER      FOLDER holds <arch>.<backend>.safetensors; prints one line of JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from suite import registry, weights
from suite.decode import beam
from suite.generate import sample
from suite.spec import params
from suite.spec.contract import Model, Net, Optim, Sizes, Snapshot
from suite.spec.random import Stream

TRAINED = ("gru", "gru_attention")
WRITERS = ("lstm", "transformer")
UPDATES, ROWS = 60, 12
WORDS: Any = registry.task("numwords", profile="tiny", val_size=2, test_size=ROWS)
REBER: Any = registry.task("reber", time=8, val_size=2, test_size=2)
SIZES = Sizes(hidden=12, embed=6, heads=2)


def net(arch: str, task: Any) -> Net:
    return Net(registry.arch(arch), task.signature, SIZES)


def written(model: Model, arch: str) -> dict[str, Any]:
    """What a model decodes: greedily, by a beam of one, and by one of three, on a third of the rows: the same shape."""
    batch, of = WORDS.batch("test", 0, 0, ROWS), net(arch, WORDS)
    wide, scores = beam(model, of, WORDS.batch("test", 0, 0, ROWS // 3), 3, length_penalty=0.6)
    narrow, _ = beam(model, of, batch, 1)
    greedy = model.decode(model.put(batch))
    return {"greedy": greedy.tolist(), "narrow": narrow.tolist(), "wide": wide.tolist(), "scores": scores.tolist()}


def texts(model: Model, arch: str) -> list[list[int]]:
    """What a model writes by itself."""
    return sample(model, net(arch, REBER), Stream("probe"), 4, 10, 0.8, REBER.start, REBER.ends)[0].tolist()


def first(of: Net) -> Snapshot:
    """Weights so large that a text is no fair draw, and so small that chance still decides."""
    return Snapshot(0, {name: 0.7 * Stream(f"probe/{name}").normal(s) for name, s in params.shapes(of).items()})


def main(name: str, folder: Path) -> dict[str, Any]:
    """What ``name`` writes: "<arch> of <backend>" for each file in ``folder`` and its own; "<arch> text"."""
    module = registry.backend(name)
    module.setup("float64", "cpu", 1)
    said: dict[str, Any] = {}
    for arch in TRAINED:
        of, optim = net(arch, WORDS), Optim(lr=1e-2)
        model = module.build(of, "scan", optim, Snapshot(0, params.init(of, 0)), "float64", "cpu")
        start = model.snapshot()
        for path in sorted(folder.glob(f"{arch}.*.safetensors")):
            model.load(weights.load(path))
            said[f"{arch} of {path.name.split('.')[1]}"] = written(model, arch)
        if name != "reference":  # it only reads: it is slow
            model.load(start)
            for step in range(UPDATES):
                model.wait(model.step(model.put(WORDS.batch("train", 0, step, 32)), optim.lr))
            said[f"{arch} of {name}"] = written(model, arch)
            weights.save(folder / f"{arch}.{name}.safetensors", model.snapshot())
    of = net("transformer", WORDS)
    said["transformer of chance"] = written(
        module.build(of, "scan", Optim(), first(of), "float64", "cpu"), "transformer"
    )
    for arch in WRITERS:
        of = net(arch, REBER)
        said[f"{arch} text"] = texts(module.build(of, "scan", Optim(), first(of), "float64", "cpu"), arch)
    return said


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
