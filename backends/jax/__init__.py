"""JAX: every cell as a jitted ``lax.scan``, most also with a derivative by hand. `setup` is what imports JAX."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.spec.contract import Model, Net, Optim, Precision, Snapshot, Unsupported
from suite.spec.offer import offered

if TYPE_CHECKING:
    from backends.jax.trainer import Trainer

NAME = "jax"
REQUIRES = "jax"
EXTRA = "jax"
_CELLS = (
    *("rnn", "gru", "gru_before", "lstm", "rnn_relu", "gru_article", "mgu"),
    *("lstm_peephole", "gru_ln", "lstm_ln", "gru4rec"),
)
_NETWORKS = ("gru_residual", "gru_luong")  # what they add stands outside the loop over time
_ATTENTIVE = ("rnn_attention", "gru_attention", "lstm_attention")
_BY_HAND = ("rnn", "rnn_relu", "gru", "gru_before", "lstm", "lstm_peephole", "gru4rec")
TABLE = {
    **{(arch, "scan"): "backends.jax.scan:make" for arch in (*_CELLS, *_NETWORKS, *_ATTENTIVE)},
    **{(arch, "fused"): "backends.jax.fused:make" for arch in (*_BY_HAND, *_NETWORKS)},
    ("transformer", "scan"): "backends.jax.transformer:make",
}
GAPS = {
    ("*", "stock"): "JAX ships no layer of this architecture; use impl=scan",
    ("lstm", "stock"): "jax.experimental.rnn.lstm is a cuDNN kernel for float32, and a CPU has none; use impl=scan",
    ("*", "scan-compiled"): "scan is already compiled by XLA",
    ("*", "native"): "the C++ kernel is written for PyTorch alone; use impl=fused",
    ("*", "fused"): "no derivative by hand is written for this step; use impl=scan",
    **dict.fromkeys(
        ((arch, "fused") for arch in _ATTENTIVE),
        "the step that asks the attention has no derivative by hand; use impl=scan",
    ),
    ("transformer", "fused"): "a Transformer has no loop over time to derive by hand; use impl=scan",
}

_POOL = "tf_XLAEigen"  # the name of each thread in the pool that XLA's CPU kernels run on
_in_force: dict[str, str] = {}  # what the first `setup` of this process chose


def setup(precision: Precision, device: str, threads: int) -> None:
    """x64, strict promotion, full matmul precision, and the size of XLA's CPU pool; fixed for the process's life.

    XLA reads PJRT_NPROC when its CPU client starts, which is here. Where the kernel tells, the pool is counted, and
    another size than the one asked for is a RuntimeError: JAX had started before.
    """
    wanted = {"precision": precision, "threads": str(threads)}
    if _in_force and _in_force != wanted:
        raise RuntimeError(f"jax: this process runs with {_in_force}; {wanted} needs a fresh process")
    if device not in ("cpu", "cuda"):
        raise Unsupported(f"jax runs on 'cpu' or 'cuda' here, not on {device!r}; set device = 'cpu'")
    os.environ["PJRT_NPROC"] = str(threads)
    if device == "cuda" and not _in_force:  # on a GPU, the embedding's gradient adds up in any order otherwise
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    import jax

    jax.config.update("jax_enable_x64", precision == "float64")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_default_matmul_precision", "highest")
    if device == "cpu" and not _in_force:
        jax.config.update("jax_platforms", "cpu")  # leave a GPU, and its memory, to others
    _device(device)
    jax.devices("cpu")
    counted = _pool_threads()
    if counted not in (0, threads):
        raise RuntimeError(
            f"jax: XLA's CPU pool has {counted} threads, not {threads}: JAX ran before setup, or ignores PJRT_NPROC"
        )
    _in_force.update(wanted)


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason. RuntimeError if `setup` was for another precision."""
    return made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)


def made(maker: str, net: Net, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """As `build`, of the layers that ``maker`` makes, "module:function"; they may be another library's on JAX."""
    module, function = maker.split(":")
    if _in_force.get("precision") != precision:
        raise RuntimeError(f"jax: {precision} was asked for, but setup chose {_in_force.get('precision', 'nothing')}")
    make = getattr(importlib.import_module(module), function)
    trainer: type[Trainer] = importlib.import_module("backends.jax.trainer").Trainer
    return trainer(net, make, optim, snapshot, precision, _device(device))


def versions() -> dict[str, str]:
    """What decides the numbers. ``xla_cpu_threads`` is counted where the kernel tells, else what was asked for."""
    out = {name: version(name) for name in ("jax", "jaxlib", "numpy")}
    if _in_force:
        counted = _pool_threads()
        out["xla_cpu_threads"] = str(counted) if counted else f"{_in_force['threads']} asked for, not verified"
    return out


def _device(name: str) -> Any:
    """The first device of a platform, or Unsupported."""
    import jax

    try:
        return jax.devices(name)[0]
    except RuntimeError as error:
        raise Unsupported(f"jax sees no {name} device in this process; set device = 'cpu'") from error


def _pool_threads() -> int:
    """How many threads of this process belong to XLA's CPU pool; 0 where there is no /proc to count them in."""
    count = 0
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end while it is looked at
            count += path.read_text().strip() == _POOL
    return count
