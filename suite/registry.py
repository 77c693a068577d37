"""Names to objects: architectures, tasks and backends, built in or from entry points, imported when asked for.

Entry points of other packages: ``recurbench.archs`` (an Arch), ``recurbench.tasks`` (a maker of a Task) and
``recurbench.backends`` (a module that keeps the Backend contract).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, cast

from suite.spec.arch import Arch
from suite.spec.archs import ARCHS
from suite.spec.contract import IMPLEMENTATIONS, Backend, Task, Unsupported
from suite.spec.offer import offered

BACKENDS = ("reference", "pytorch", "tensorflow", "jax")
# backends by name alone: they are in no list or table
PEERS = ("flax", "equinox", "haiku", "torch_cells", "keras_jit", "keras_fit")


class UnknownName(ValueError):
    """A name that nothing answers to; the message suggests the nearest one that does."""


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownName:
    """The one-line error for a name that is not among ``known``."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UnknownName(f"{what} {name!r} is not known; {hint}known: {', '.join(known)}")


def _plugins(group: str) -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=f"recurbench.{group}")}


def _loaded(point: EntryPoint) -> Any:
    """What an entry point names. ValueError, in one line, if it cannot be imported."""
    try:
        return point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"plug-in {point.name!r} ({point.value}) cannot be loaded: {told}") from error


def archs() -> list[str]:
    """Names of all architectures."""
    return [*ARCHS, *_plugins("archs")]


def arch(name: str) -> Arch:
    """The architecture called ``name``."""
    if name in ARCHS:
        return ARCHS[name]
    plugins = _plugins("archs")
    if name not in plugins:
        raise unknown("architecture", name, archs())
    return cast(Arch, _loaded(plugins[name]))


def tasks() -> list[str]:
    """Names of all tasks."""
    return [*importlib.import_module("tasks").TASKS, *_plugins("tasks")]


def task(name: str, **options: Any) -> Task:
    """The task called ``name`` with its options; a ValueError names an option it does not know."""
    return task_maker(name)(**options)


def task_maker(name: str) -> Callable[..., Task]:
    """What makes the task called ``name`` from its options; its docstring says what the task is."""
    built_in = importlib.import_module("tasks").TASKS
    plugins = _plugins("tasks")
    if name not in built_in and name not in plugins:
        raise unknown("task", name, tasks())
    return cast("Callable[..., Task]", built_in[name] if name in built_in else _loaded(plugins[name]))


def backends() -> list[str]:
    """Names of all backends, installed or not."""
    return [*BACKENDS, *_plugins("backends")]


def backend(name: str) -> Backend:
    """The module of a backend or a peer; its framework is not imported yet."""
    for folder, names in (("backends", BACKENDS), ("backends.peers", PEERS)):
        if name in names:
            return cast(Backend, importlib.import_module(f"{folder}.{name}"))
    plugins = _plugins("backends")
    if name not in plugins:
        raise unknown("backend", name, [*backends(), *PEERS])
    return cast(Backend, _loaded(plugins[name]))


def member(name: str, part: str) -> ModuleType:
    """The file ``part`` of a backend's folder, which may import its framework."""
    module = backend(name)
    if not installed(module):
        raise Unsupported(f"{module.REQUIRES} is not installed: pip install 'recurbench[{module.EXTRA}]'")
    return importlib.import_module(f"{cast(ModuleType, module).__name__}.{part}")


def installed(module: Backend) -> bool:
    """Whether the framework that a backend needs can be imported."""
    return importlib.util.find_spec(module.REQUIRES) is not None


def implementation(module: Backend, arch_name: str, impl: str) -> str:
    """The maker of (architecture, implementation) in a backend, or Unsupported with the reason it is missing."""
    if impl not in IMPLEMENTATIONS:
        raise unknown("implementation", impl, IMPLEMENTATIONS)
    if not installed(module):
        raise Unsupported(f"{module.REQUIRES} is not installed: pip install 'recurbench[{module.EXTRA}]'")
    return offered(module.NAME, module.TABLE, module.GAPS, arch_name, impl)
