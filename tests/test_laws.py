"""The laws of the house, read off the syntax tree: who may import whom, who reads a clock, who may catch what."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Folder -> what its files may import beside the standard library and their own folder; the longest folder counts.
ALLOWED = {
    "suite": {"suite", "alembic", "click", "jinja2", "matplotlib", "numpy", "psutil", "pydantic", "ray", "safetensors",
              "scipy", "sqlalchemy", "submitit", "threadpoolctl"},
    "suite/spec": {"numpy"},
    "tasks": {"suite.spec", "numpy", "pooch", "sacrebleu", "scipy"},
    "backends/reference": {"suite.spec", "numpy"},
    "backends/pytorch": {"suite.spec", "numpy", "torch"},
    "backends/tensorflow": {"suite.spec", "numpy", "tensorflow", "keras"},
    "backends/jax": {"suite.spec", "numpy", "jax", "jaxlib"},
    "backends/peers": {"suite.spec", "jax", "backends.jax"},
    "backends/peers/flax": {"suite.spec", "jax", "backends.jax", "backends.peers.jax_layers", "flax"},
    "backends/peers/equinox": {"suite.spec", "jax", "backends.jax", "backends.peers.jax_layers", "equinox"},
    "backends/peers/haiku": {"suite.spec", "jax", "backends.jax", "backends.peers.jax_layers", "haiku"},
    "backends/peers/torch_cells": {"suite.spec", "torch", "backends.pytorch"},
    "backends/peers/keras_jit": {"suite.spec", "tensorflow", "backends.tensorflow"},
    "backends/peers/keras_fit": {"suite.spec", "backends.tensorflow"},
}  # fmt: skip
ONLY = {"mlflow": "suite/sinks/mlflow.py"}  # library -> the one file that may import it
HOUSE = ("suite", "tasks", "backends")
REGISTRY = "suite/registry.py"  # the one place where a name becomes an object
CLOCKS = {"time_ns"} | {
    f"{name}{unit}" for name in ("perf_counter", "process_time", "thread_time", "monotonic") for unit in ("", "_ns")
}
CLOCK_FILE = "suite/clock.py"
BLIND = {None, "Exception", "BaseException"}


def violations(root: Path) -> list[str]:
    """Every breach below ``root``, as "file:line: what is wrong"."""
    found = []
    for folder in HOUSE:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{name}:{line}: {what}" for line, what in (*_imports(name, tree), *_clocks(name, tree))]
            found += [f"{name}:{line}: {what}" for line, what in _excepts(tree)]
    return found


def _imports(name: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    folder = max((f for f in ALLOWED if name.startswith(f + "/")), key=len, default=name)
    allowed = ALLOWED.get(folder, set()) | {folder.replace("/", ".")}
    for line, module in _modules(name, tree):
        top = module.split(".")[0]
        if top in ONLY:
            if name != ONLY[top]:
                yield line, f"imports {top}; only {ONLY[top]} may"
        elif top not in sys.stdlib_module_names and not any(f"{module}.".startswith(f"{a}.") for a in allowed):
            yield line, f"imports {module}; {folder} may import {', '.join(sorted(allowed))} and the standard library"


def _modules(name: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, also below a function and by importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")  # a relative import is in no list: spell it out
            names = [f"{module}.{alias.name}" for alias in node.names] if module in HOUSE else [module]
            yield from ((node.lineno, module) for module in names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and name != REGISTRY:
            yield from ((node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def _clocks(name: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        word = node.attr if isinstance(node, ast.Attribute) else node.name if isinstance(node, ast.alias) else None
        if word in CLOCKS and name != CLOCK_FILE:
            yield node.lineno, f"reads {word}; only {CLOCK_FILE} reads a clock"


def _excepts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any((kind and ast.unparse(kind).removeprefix("builtins.")) in BLIND for kind in kinds):
                yield node.lineno, "catches every exception; name the ones that are an answer"


def test_the_house_keeps_its_laws() -> None:
    assert violations(ROOT) == []


def test_what_may_be_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    declared = {re.split(r"[<>=\[ ]", r)[0].removeprefix("dm-") for r in requirements}
    inside = {"keras": "tensorflow", "jaxlib": "jax"}  # released as one
    named = {name.split(".")[0] for allowed in ALLOWED.values() for name in allowed} | set(ONLY)
    assert {inside.get(name, name) for name in named} - set(HOUSE) <= declared


PLANTED = {
    "the specification leaves NumPy": ("suite/spec/x.py", "import scipy", "suite/spec may import numpy, suite.spec"),
    "the specification looks up": ("suite/spec/archs/x.py", "from suite import record", "imports suite.record"),
    "the suite imports a task": ("suite/x.py", "import tasks.adding", "imports tasks.adding; suite may"),
    "the suite imports a backend": ("suite/x.py", "from backends import jax", "imports backends.jax"),
    "the suite imports a framework": ("suite/report/x.py", "def f():\n    import torch", "x.py:2: imports torch"),
    "the suite imports by importlib": ("suite/x.py", "import importlib\nimportlib.import_module('jax')", "imports jax"),
    "an import that hides where it goes": ("tasks/x.py", "from .. import backends", "imports ..; tasks may"),
    "a task looks up": ("tasks/x.py", "from suite.record import Record", "imports suite.record"),
    "a task takes the whole suite": ("tasks/x.py", "import suite", "imports suite; tasks may"),
    "a task imports a backend": ("tasks/x.py", "import backends.reference", "imports backends.reference"),
    "a task imports a framework": ("tasks/x.py", "import torch", "imports torch"),
    "a backend imports a task": ("backends/jax/x.py", "from tasks import adding", "imports tasks.adding"),
    "a backend imports another": ("backends/jax/x.py", "from backends.pytorch import scan", "backends.pytorch"),
    "a backend looks up": ("backends/jax/x.py", "from suite.clock import now", "imports suite.clock"),
    "a backend imports another's framework": ("backends/jax/x.py", "import torch.nn", "imports torch.nn"),
    "a backend imports a peer": ("backends/jax/x.py", "from backends.peers import flax", "imports backends.peers"),
    "a backend imports a peer's library": ("backends/jax/x.py", "import flax.linen", "imports flax.linen"),
    "a peer imports another": ("backends/peers/flax/x.py", "import haiku", "imports haiku; backends/peers/flax may"),
    "a clock by its module": ("suite/x.py", "import time\ntime.perf_counter_ns()", "x.py:2: reads perf_counter_ns"),
    "a clock by its name": ("backends/jax/x.py", "from time import process_time as t", "reads process_time; only"),
    "mlflow in the suite": ("suite/run.py", "import mlflow", "imports mlflow; only suite/sinks/mlflow.py may"),
    "mlflow in a worker": ("suite/cell.py", "from mlflow.tracking import MlflowClient", "imports mlflow; only"),
    "a blind except": ("tasks/x.py", "try:\n    pass\nexcept Exception:\n    pass", "x.py:3: catches every exception"),
    "a bare except": ("suite/x.py", "try:\n    pass\nexcept:\n    pass", "catches every exception"),
    "a blind except among others": (
        "suite/x.py",
        "try:\n    pass\nexcept (OSError, BaseException):\n    pass",
        "catches",
    ),
}


@pytest.mark.parametrize("law", PLANTED)
def test_a_planted_breach_is_found(law: str, tmp_path: Path) -> None:
    name, source, message = PLANTED[law]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(name)
    assert message in found[0]


LAWFUL = {
    "suite/spec/x.py": "import math\nimport numpy as np\nfrom suite.spec import loss, scan",
    "suite/registry.py": "from suite.spec import archs\nimport importlib\nimportlib.import_module('tasks')",
    "suite/clock.py": "from time import perf_counter_ns",
    "suite/sinks/mlflow.py": "from mlflow.tracking import MlflowClient",
    "tasks/x.py": "from tasks import common\nfrom suite.spec.contract import Batch",
    "backends/jax/x.py": "import jax.numpy as jnp\nfrom backends.jax import cells\nfrom suite.spec import params",
    "backends/peers/haiku/x.py": "import haiku as hk\nfrom backends import jax\nfrom backends.jax.scan import Scan",
    "backends/reference/x.py": "try:\n    pass\nexcept (OSError, ValueError):\n    pass",
}


def test_what_is_lawful_passes(tmp_path: Path) -> None:
    for name, source in LAWFUL.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    assert violations(tmp_path) == []
