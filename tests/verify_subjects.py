"""Models of all three frameworks, right and wrong, for test_verify.py: run as a script, one framework a process.

python -m tests.verify_subjects pytorch      prints one JSON object: subject -> [ok, text]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from suite.verify import Function, verify


def pytorch() -> Iterator[tuple[str, Any, str]]:
    import torch
    from torch import nn

    class MyGRU(nn.Module):
        """A hand-written GRU over PyTorch's parameter names, with one mistake."""

        def __init__(self, mistake: str) -> None:
            super().__init__()
            self.mistake = mistake
            for name, p in nn.GRU(3, 4, dtype=torch.float64).named_parameters():
                if not (mistake == "no bias_hh" and name == "bias_hh_l0"):
                    self.register_parameter(name, p)

        def forward(self, x: Any) -> Any:
            h, out = x.new_zeros(len(x), 4), []
            c = torch.zeros(12, dtype=x.dtype) if self.mistake == "no bias_hh" else self.bias_hh_l0
            w_n, u_n = self.weight_ih_l0[8:], self.weight_hh_l0[8:]
            for x_t in x.unbind(1):
                a, u = x_t @ self.weight_ih_l0.T + self.bias_ih_l0, h @ self.weight_hh_l0.T + c
                r, z = torch.sigmoid(a[:, :4] + u[:, :4]), torch.sigmoid(a[:, 4:8] + u[:, 4:8])
                if self.mistake == "swapped":
                    r, z = z, r
                if self.mistake == "before":
                    n = torch.tanh(x_t @ w_n.T + self.bias_ih_l0[8:] + (r * h) @ u_n.T + c[8:])
                else:
                    n = torch.tanh(a[:, 8:] + r * u[:, 8:])
                if self.mistake == "carry":
                    n = torch.tanh(a[:, 8:] + u[:, 8:])
                h = (1 - z) * r * n if self.mistake == "carry" else (1 - z) * n + z * h
                if self.mistake == "gradient":
                    h = h.detach() + (h - h.detach()) * 1.001
                out.append(h)
            return torch.stack(out, 1)

    yield "gru", nn.GRU(3, 4, batch_first=True), "gru"
    yield "deep gru, time first", nn.GRU(3, 4, 2, bidirectional=True, dtype=torch.float64), "gru"
    yield "lstm", nn.LSTM(3, 4, batch_first=True, dtype=torch.float64), "lstm"
    yield "rnn", nn.RNN(3, 4, batch_first=True), "rnn"
    for mistake in ("none", "swapped", "before", "carry", "gradient", "no bias_hh"):
        yield mistake, MyGRU(mistake), "gru"
    yield "half", nn.GRU(3, 4, batch_first=True, dtype=torch.bfloat16), "gru"
    yield "not recurrent", nn.Linear(3, 4), "gru"


def tensorflow() -> Iterator[tuple[str, Any, str]]:
    import keras

    def built(layer: Any) -> Any:
        layer.build((None, None, 3))
        return layer

    yield "gru", built(keras.layers.GRU(4, return_sequences=True)), "gru"
    yield "gru float64", built(keras.layers.GRU(4, return_sequences=True, dtype="float64")), "gru"
    yield "reset before", built(keras.layers.GRU(4, return_sequences=True, reset_after=False)), "gru_before"
    yield "reset before for after", built(keras.layers.GRU(4, return_sequences=True, reset_after=False)), "gru"
    yield "both ways", built(keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))), "lstm"
    yield "rnn", built(keras.layers.SimpleRNN(4, return_sequences=True)), "rnn"
    yield "mixed", built(keras.layers.GRU(4, return_sequences=True, dtype="mixed_float16")), "gru"
    yield "relu", built(keras.layers.SimpleRNN(4, return_sequences=True, activation="relu")), "rnn"


def jax() -> Iterator[tuple[str, Any, str]]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def lstm(p: Any, x: Any, forget: float = 0.0) -> Any:
        def step(carry: Any, x_t: Any) -> Any:
            h, c = carry
            i, f, g, o = jnp.split(x_t @ p["layer0/W"] + h @ p["layer0/U"] + p["layer0/b"], 4, axis=-1)
            c = jax.nn.sigmoid(f + forget) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((x.shape[0], 4), x.dtype)
        return jax.lax.scan(step, (zero, zero), x.swapaxes(0, 1))[1].swapaxes(0, 1)

    yield "lstm", Function(lstm, inputs=3, hidden=4), "lstm"
    yield "forget bias", Function(lambda p, x: lstm(p, x, 1.0), inputs=3, hidden=4), "lstm"


def main() -> None:
    results: dict[str, tuple[bool, str]] = {}
    for name, model, arch in globals()[sys.argv[1]]():
        try:
            verdict = verify(model, arch)
            results[name] = (verdict.ok, str(verdict))
        except TypeError as error:
            results[name] = (False, str(error))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
