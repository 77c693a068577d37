"""One process of the exam: one backend in one precision, all the cells asked for.

Reads a job (one JSON line) from standard input, writes one JSON row a line to standard output, and after a cell's rows
how long they took. After the checks it waits for a second line that says that every worker's snapshots are written,
and then runs the cross-resume checks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from suite import clock, registry
from suite.exam.cases import hub, of
from suite.exam.checks import Maker, examine
from suite.exam.compare import Check
from suite.exam.resume import export, partners, resume
from suite.protocol import end_with_parent, private_stdout
from suite.spec.contract import Model, Net, Optim, Snapshot, Unsupported

SLOW = {("pytorch", "scan-compiled")}  # torch.compile takes 13 s and more for every shape: one shape, on request


def main() -> int:
    """Run the job on standard input."""
    out = private_stdout()
    end_with_parent()
    job = json.loads(sys.stdin.readline())
    backend, precision, folder = job["backend"], job["precision"], Path(job["folder"])

    def emit(arch: str, impl: str, rows: Iterable[Check]) -> None:
        for check in rows:
            row = {"backend": backend, "arch": arch, "impl": impl, "precision": precision} | check.as_json()
            print(json.dumps(row, allow_nan=False), file=out, flush=True)

    models: dict[tuple[str, str], Model] = {}
    module = registry.backend(backend)
    for name, impl in job["cells"]:
        arch, start = registry.arch(name), clock.now_ns()
        try:
            registry.implementation(module, name, impl)
            make = _maker(backend, impl, precision, job["device"])
            if (backend, impl) in SLOW and not job["slow"]:
                raise Unsupported("left out: every shape takes long to compile; add --slow")
            chosen = {hub(arch).name, *(() if (backend, impl) in SLOW else job["cases"])}
            cases = [case for case in of(arch, impl) if case.name in chosen]
            models[name, impl] = _collect(
                examine(make, arch, precision, cases, impl == "stock"), partial(emit, name, impl)
            )
        except Unsupported as reason:
            emit(name, impl, [Check("unsupported", 0.0, 0.0, reason=str(reason))])
        else:
            path = folder / _file(backend, name, impl, precision)
            emit(name, impl, export(models[name, impl], arch, precision, path))
        print(json.dumps({"arch": name, "impl": impl, "seconds": clock.since_s(start)}), file=out, flush=True)
    print(json.dumps({"phase": "checked"}), file=out, flush=True)
    if not sys.stdin.readline():
        return 0
    for (name, impl), model in models.items():
        for b, i in partners(backend, impl, _exported(folder, name, precision)):
            path = folder / _file(b, name, i, precision)
            emit(name, impl, resume(model, registry.arch(name), precision, path, f"{b}/{i}"))
    print(json.dumps({"phase": "resumed"}), file=out, flush=True)
    return 0


def _maker(backend: str, impl: str, precision: Any, device: str) -> Maker:
    module = registry.backend(backend)
    module.setup(precision, device, 1)

    def make(net: Net, optim: Optim, snapshot: Snapshot) -> Model:
        return module.build(net, impl, optim, snapshot, precision, device)

    return make


def _collect(checks: Any, emit: Any) -> Model:
    """Emit every check as it comes; the model that the generator returns."""
    while True:
        try:
            emit([next(checks)])
        except StopIteration as end:
            return end.value


def _file(backend: str, arch: str, impl: str, precision: str) -> str:
    return f"{precision}.{arch}.{backend}.{impl}.safetensors"


def _exported(folder: Path, arch: str, precision: str) -> list[tuple[str, str]]:
    names = sorted(path.name.split(".") for path in folder.glob(f"{precision}.{arch}.*.safetensors"))
    return [(backend, impl) for _, _, backend, impl, _ in names]


if __name__ == "__main__":
    sys.exit(main())
