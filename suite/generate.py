"""Text from a network that names the next token: draw one, read it, draw the next.

Every token is drawn from softmax(outputs / temperature), computed in float64 on the host, by a named stream: the same
name, the same text, in every backend that computes in float64. The prefix is read anew for each token, always as a
batch of the same shape, so a recurrent network and a Transformer are asked alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from suite.decode import log_softmax
from suite.spec.contract import PAD, Array, Batch, Model, Net
from suite.spec.random import Stream


def sample(
    model: Model,
    net: Net,
    stream: Stream,
    count: int,
    length: int,
    temperature: float = 1.0,
    start: int = 0,
    ends: Callable[[Array], bool] = lambda tokens: False,
) -> tuple[Array, Array]:
    """``count`` texts of at most ``length`` tokens, the first being ``start``: (count, length) int32, lengths (count,).

    A text ends where ``ends`` says so of its tokens; pads follow. ValueError for a network that does not name the next
    token, or reads both ways, and for counts, lengths, temperatures and first tokens that cannot be.
    """
    sig = net.signature
    if (sig.kind, sig.loss, sig.tokens, sig.inputs) != ("label", "xent", True, sig.outputs) or net.sizes.bidirectional:
        raise ValueError("sample: this network does not name the next token; use one way of a task such as reber")
    if min(count, length) < 1:
        raise ValueError(f"sample: count is {count}, length is {length}; both must be at least 1")
    if not 0 < temperature < np.inf:
        raise ValueError(f"sample: temperature is {temperature}; it must be positive")
    if not 0 <= start < sig.inputs:
        raise ValueError(f"sample: start is {start}; it must lie in 0..{sig.inputs - 1}")
    x = np.full((count, length), PAD, np.int32)
    x[:, 0] = start
    lengths, going = np.ones(count, np.int32), np.ones(count, bool)
    for t in range(1, length):
        asked = Batch(x, np.full(count, t, np.int32), np.zeros_like(x), np.zeros(x.shape, bool))
        outputs, _ = model.outputs(model.put(asked))
        p = np.exp(log_softmax(outputs[:, t - 1] / temperature))
        token = stream.categorical(np.cumsum(p, axis=1))
        x[:, t] = np.where(going, token, PAD)
        lengths += going
        going &= ~np.array([ends(row[: t + 1]) for row in x])
        if not going.any():
            break
    return x, lengths
