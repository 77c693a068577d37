"""Beam search over any Model: each hypothesis is scored anew from its prefix; one call of one compiled shape a token.

    score(y) = log p(y | x) / ((5 + |y|) / 6)**a        |y| with eos, a the length penalty; 0 leaves log p(y | x)

Every round, each hypothesis is continued by every token, and the ``width`` best scores of a row stay; the lower place,
then the lower token, wins a tie. A finished hypothesis competes on with the score that it has. Outputs at step t depend
on the prefix alone, so batches always hold ``width`` rows a source and ``longest_target`` steps. Width 1 is greedy.

Length penalty: Wu et al. 2016 (arXiv 1609.08144, eq. 14, without coverage).
"""

from __future__ import annotations

import numpy as np

from suite.spec.contract import BOS, EOS, PAD, Array, Batch, Model, Net


def beam(model: Model, net: Net, batch: Batch, width: int, length_penalty: float = 0.0) -> tuple[Array, Array]:
    """The best hypothesis found for each row: tokens (B, longest_target) int32, pad after eos, and scores (B,) in nats.

    ValueError for a network that does not translate, a width below 1 or a negative penalty.
    """
    sig = net.signature
    if sig.kind != "translate":
        raise ValueError(f"beam: the network's kind is {sig.kind!r}; only 'translate' has targets to search")
    if width < 1:
        raise ValueError(f"beam: width is {width}; it must be at least 1")
    if not 0 <= length_penalty < np.inf:
        raise ValueError(f"beam: length_penalty is {length_penalty}; it must be 0 (off) or a positive number")
    rows, steps, tokens = len(batch.x), sig.longest_target, np.arange(sig.outputs)
    y = np.full((rows, width, steps), PAD, np.int32)
    logp = np.where(np.arange(width) == 0, 0.0, -np.inf) * np.ones((rows, 1))  # every place but the first is empty
    lengths = np.zeros((rows, width), np.int64)
    done = np.isinf(logp)
    for t in range(steps):
        said = log_softmax(_outputs_at(model, batch, y, t))
        said[done] = np.where(tokens == PAD, 0.0, -np.inf)
        lengths += ~done
        totals = logp[..., None] + said
        scores = totals / _penalty(lengths, length_penalty)[..., None]
        best = np.argsort(-scores.reshape(rows, -1), axis=1, kind="stable")[:, :width]
        place, token = np.divmod(best, sig.outputs)
        logp = np.take_along_axis(totals.reshape(rows, -1), best, axis=1)
        lengths, done = (np.take_along_axis(a, place, axis=1) for a in (lengths, done))
        y = np.take_along_axis(y, place[..., None], axis=1)
        y[:, :, t] = token
        done |= (token == EOS) | np.isinf(logp)
        if done.all():
            break
    return y[:, 0], (logp / _penalty(lengths, length_penalty))[:, 0]


def log_softmax(outputs: Array) -> Array:
    """Log-probabilities over the last axis, float64. ValueError where an output is not finite."""
    z = outputs.astype(np.float64)
    if not np.isfinite(z).all():
        raise ValueError("decoding: the model puts out a number that is not finite; its weights have diverged")
    z -= z.max(-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(-1, keepdims=True)))


def _outputs_at(model: Model, batch: Batch, y: Array, t: int) -> Array:
    """What follows the first ``t`` tokens of y (B, W, S): outputs (B, W, O)."""
    rows, width, steps = y.shape
    y_in = np.full((rows * width, steps), PAD, np.int32)
    y_in[:, 0], y_in[:, 1:] = BOS, y.reshape(-1, steps)[:, :-1]
    asked = Batch(
        x=np.repeat(batch.x, width, axis=0),
        lengths=np.repeat(batch.lengths, width),
        y=np.full_like(y_in, PAD),
        scored=np.zeros(y_in.shape, bool),
        y_in=y_in,
        y_lengths=np.full(len(y_in), steps, np.int32),
    )
    outputs, _ = model.outputs(model.put(asked))
    return outputs[:, t].reshape(rows, width, -1)


def _penalty(lengths: Array, power: float) -> Array:
    """((5 + |y|) / 6)**a."""
    return np.asarray(((5.0 + lengths) / 6.0) ** power)
