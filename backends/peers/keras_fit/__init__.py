"""Keras' ``fit`` and ``train_on_batch``: a peer that offers nothing: what they train does not keep the contract.

Keras' optimisers follow other equations (Adam's eps is added before the bias correction, RMSprop's below the root), and
a step reports a loss but no gradient norms. Keras' layers themselves are ``tensorflow``'s stock.
"""

from __future__ import annotations

from backends import tensorflow
from suite.spec.contract import IMPLEMENTATIONS, Model, Net, Optim, Precision, Snapshot, Unsupported

NAME = "keras_fit"
REQUIRES = "tensorflow"
EXTRA = "tf"
TABLE: dict[tuple[str, str], str] = {}
_REASON = (
    "Keras' fit trains by Keras' own Adam, whose eps is another, and reports no gradient norms: it cannot pass the "
    "exam; use backend = tensorflow, impl = stock"
)
GAPS = {("*", impl): _REASON for impl in IMPLEMENTATIONS}

setup = tensorflow.setup
versions = tensorflow.versions


def build(net: Net, impl: str, optim: Optim, snapshot: Snapshot, precision: Precision, device: str) -> Model:
    """Unsupported, with the reason."""
    raise Unsupported(_REASON)
