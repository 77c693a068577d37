"""PyTorch: its own layers, the specification's scan, eager and compiled, and one derived by hand, also in C++."""

from __future__ import annotations

import importlib
import os
import re
from typing import TYPE_CHECKING

from suite.spec.contract import Model, Net, Optim, Precision, Snapshot, Unsupported
from suite.spec.offer import offered

if TYPE_CHECKING:
    from backends.pytorch.trainer import Trainer

NAME = "pytorch"
REQUIRES = "torch"
EXTRA = "torch"
_CELLS = (
    *("rnn", "gru", "gru_before", "lstm", "rnn_relu", "gru_article", "mgu"),
    *("lstm_peephole", "gru_ln", "lstm_ln", "gru4rec"),
)
_NETWORKS = ("gru_residual", "gru_luong")  # what they add stands outside the loop over time
_ATTENTIVE = ("rnn_attention", "gru_attention", "lstm_attention")
_BY_HAND = ("rnn", "rnn_relu", "gru", "gru_before", "lstm", "lstm_peephole", "gru4rec")
TABLE = {
    **{(arch, "stock"): f"backends.pytorch.stock:{arch}" for arch in ("rnn", "rnn_relu", "gru", "lstm")},
    **{(arch, "scan"): "backends.pytorch.scan:make" for arch in (*_CELLS, *_NETWORKS, *_ATTENTIVE)},
    **{(arch, "scan-compiled"): "backends.pytorch.scan:make_compiled" for arch in (*_CELLS, *_NETWORKS)},
    **{(arch, "fused"): "backends.pytorch.fused:make" for arch in (*_BY_HAND, *_NETWORKS)},
    **{(arch, "native"): "backends.pytorch.native:make" for arch in (*_BY_HAND, *_NETWORKS)},
    ("transformer", "scan"): "backends.pytorch.transformer:make",
    ("transformer", "scan-compiled"): "backends.pytorch.transformer:make_compiled",
}
GAPS = {
    ("*", "stock"): "PyTorch ships no layer of this architecture; use impl = scan",
    **dict.fromkeys(
        (("gru_before", "stock"), ("gru4rec", "stock")),
        "torch.nn.GRU resets after the recurrent product only; use impl = scan or arch = gru",
    ),
    **dict.fromkeys(
        ((arch, "scan-compiled") for arch in _ATTENTIVE),
        "the loop that asks the attention at every step is not compiled here; use impl = scan",
    ),
    **dict.fromkeys(
        (("*", "fused"), ("*", "native")), "no derivative by hand is written for this step; use impl = scan"
    ),
    **dict.fromkeys(
        ((arch, impl) for arch in _ATTENTIVE for impl in ("fused", "native")),
        "the step that asks the attention has no derivative by hand; use impl = scan",
    ),
    **dict.fromkeys(
        (("transformer", "fused"), ("transformer", "native")),
        "a Transformer has no loop over time to derive by hand; use impl = scan",
    ),
    ("transformer", "stock"): "torch.nn.TransformerEncoderLayer trains biases of q, k and v; use impl = scan",
}


def setup(precision: Precision, device: str, threads: int) -> None:
    """Threads, deterministic kernels, float32 without TF32. Refuses a device that is not there.

    Precision is a property of each tensor in PyTorch, so both may live in one process.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it as CUDA starts, to be repeatable
    torch = importlib.import_module("torch")
    if device not in ("cpu", "cuda"):
        raise Unsupported(f"pytorch runs on 'cpu' or 'cuda' here, not on {device!r}; set device = 'cpu'")
    if device == "cuda" and not torch.cuda.is_available():
        raise Unsupported("pytorch sees no cuda device in this process; set device = 'cpu'")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time
    torch.backends.cudnn.benchmark = False
    torch.backends.fp32_precision = "ieee"  # cuDNN's recurrent layers would take TF32 otherwise


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason."""
    return made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)


def made(maker: str, net: Net, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """As `build`, of the layers that ``maker`` makes, "module:function"; they may be in another folder."""
    module, function = maker.split(":")
    make = getattr(importlib.import_module(module), function)
    trainer: type[Trainer] = importlib.import_module("backends.pytorch.trainer").Trainer
    return trainer(net, make, optim, snapshot, precision, device)


def versions() -> dict[str, str]:
    """What decides the numbers: torch, the libraries built into it, and the instructions it uses."""
    torch = importlib.import_module("torch")
    built = torch.__config__.show()
    found = {
        "mkl": re.search(r"Math Kernel Library Version ([\d.]+)", built),
        "onednn": re.search(r"MKL-DNN v(\S+)", built),
        "cpu_capability": re.search(r"CPU capability usage: (\S+)", built),
    }
    out = {"torch": torch.__version__} | {name: match[1] for name, match in found.items() if match}
    if torch.cuda.is_available():
        out |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return out
