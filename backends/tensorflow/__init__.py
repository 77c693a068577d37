"""TensorFlow: Keras' own recurrent layers, the specification's scan, plain and by XLA, and a scan derived by hand."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from suite.spec.contract import Model, Net, Optim, Precision, Snapshot, Unsupported
from suite.spec.offer import offered

if TYPE_CHECKING:
    from backends.tensorflow.trainer import Trainer

NAME = "tensorflow"
REQUIRES = "tensorflow"
EXTRA = "tf"
_CELLS = (
    *("rnn", "gru", "gru_before", "lstm", "rnn_relu", "gru_article", "mgu"),
    *("lstm_peephole", "gru_ln", "lstm_ln", "gru4rec"),
)
_NETWORKS = ("gru_residual", "gru_luong")  # what they add stands outside the loop over time
_ATTENTIVE = ("rnn_attention", "gru_attention", "lstm_attention")
_BY_HAND = ("rnn", "rnn_relu", "gru", "gru_before", "lstm", "lstm_peephole", "gru4rec")
TABLE = {
    **{
        (arch, "stock"): f"backends.tensorflow.stock:{arch}"
        for arch in ("rnn", "rnn_relu", "gru", "gru_before", "lstm")
    },
    ("gru4rec", "stock"): "backends.tensorflow.stock:gru_before",
    **{(arch, "scan"): "backends.tensorflow.scan:make" for arch in (*_CELLS, *_NETWORKS, *_ATTENTIVE)},
    **{
        (arch, "scan-compiled"): "backends.tensorflow.scan:make_compiled" for arch in (*_CELLS, *_NETWORKS, *_ATTENTIVE)
    },
    **{(arch, "fused"): "backends.tensorflow.fused:make" for arch in (*_BY_HAND, *_NETWORKS)},
    ("transformer", "scan"): "backends.tensorflow.transformer:make",
    ("transformer", "scan-compiled"): "backends.tensorflow.transformer:make_compiled",
}
GAPS = {
    ("*", "stock"): "Keras ships no layer of this architecture; use impl = scan",
    ("*", "native"): "the C++ kernel is written for PyTorch alone; use impl = fused",
    ("*", "fused"): "no derivative by hand is written for this step; use impl = scan-compiled",
    **dict.fromkeys(
        ((arch, "fused") for arch in _ATTENTIVE),
        "the step that asks the attention has no derivative by hand; use impl = scan-compiled",
    ),
    ("transformer", "fused"): "a Transformer has no loop over time to derive by hand; use impl = scan-compiled",
}


def setup(precision: Precision, device: str, threads: int) -> None:
    """Threads, device, no TF32, Keras' default dtype; a GPU's ops are made deterministic, a CPU's are so already.

    Precision may change later in the process; device and threads may not (RuntimeError). Unsupported: no such device.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    if keras.config.backend() != "tensorflow":
        raise RuntimeError(f"keras runs on {keras.config.backend()} in this process; start a new one for tensorflow")
    gpus = tf.config.list_physical_devices("GPU")
    if device not in ("cpu", "cuda"):
        raise Unsupported(f"tensorflow runs on 'cpu' or 'cuda' here, not on {device!r}; set device = 'cpu'")
    if device == "cuda" and not gpus:
        raise Unsupported("tensorflow sees no cuda device in this process; set device = 'cpu'")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.set_visible_devices(gpus if device == "cuda" else [], "GPU")
    except RuntimeError as error:
        got = f"threads={threads}, device={device!r}"
        raise RuntimeError(
            f"tensorflow fixes threads and device at its first op; start a new process for {got}"
        ) from error
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if device == "cuda":
        tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")  # it takes a second model's first trace for a retrace of the first model
    keras.config.set_floatx(precision)


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network on its device, or Unsupported with its reason. RuntimeError if `setup` was for another device."""
    return made(offered(NAME, TABLE, GAPS, net.arch.name, impl), net, optim, snapshot, precision, device)


def made(maker: str, net: Net, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """The network around the layers of "module:function". RuntimeError if `setup` was for another device."""
    import tensorflow as tf

    module, function = maker.split(":")
    ready = "cuda" if tf.config.list_logical_devices("GPU") else "cpu"
    if device != ready:
        raise RuntimeError(f"tensorflow was set up for {ready!r} and not for {device!r}; start a new process")
    make = getattr(importlib.import_module(module), function)
    trainer: type[Trainer] = importlib.import_module("backends.tensorflow.trainer").Trainer
    return trainer(net, make, optim, snapshot, precision, device)


def versions() -> dict[str, str]:
    """What decides the numbers: versions, threads, and whether oneDNN was switched (TF_ENABLE_ONEDNN_OPTS)."""
    import keras
    import tensorflow as tf

    out = {"tensorflow": tf.__version__, "keras": keras.__version__}
    out["intra_op_threads"] = str(tf.config.threading.get_intra_op_parallelism_threads())
    out["inter_op_threads"] = str(tf.config.threading.get_inter_op_parallelism_threads())
    if tf.config.list_logical_devices("GPU"):
        built = tf.sysconfig.get_build_info()
        out |= {"cuda": built["cuda_version"], "cudnn": built["cudnn_version"]}
    return out | {"onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")}
