"""Models of all three frameworks, right and wrong, for test_verify.py: run as a script, one framework a process.

python -m tests.verify_subjects pytorch      prints one JSON object: subject -> [ok, text]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from suite.verify import Function, verify

EVERY_FAULT = ("lengths ignored", "first state ignored", "rows mixed", "peeks", "dtype", "state detached")


def pytorch() -> Iterator[tuple[str, Any, str]]:
    import torch
    from torch import nn

    class MyGRU(nn.Module):
        """A hand-written GRU over PyTorch's parameter names, with one mistake."""

        def __init__(self, mistake: str, dtype: Any = torch.float64) -> None:
            super().__init__()
            self.mistake = mistake
            for name, p in nn.GRU(3, 4, dtype=dtype).named_parameters():
                if not (mistake == "no bias_hh" and name == "bias_hh_l0"):
                    self.register_parameter(name, p)

        def step(self, x_t: Any, h: Any) -> Any:
            c = torch.zeros(12, dtype=x_t.dtype) if self.mistake == "no bias_hh" else self.bias_hh_l0
            a, u = x_t @ self.weight_ih_l0.T + self.bias_ih_l0, h @ self.weight_hh_l0.T + c
            r, z = torch.sigmoid(a[:, :4] + u[:, :4]), torch.sigmoid(a[:, 4:8] + u[:, 4:8])
            if self.mistake == "not finite":
                r = r * float("nan")
            if self.mistake == "swapped":
                r, z = z, r
            n = torch.tanh(a[:, 8:] + r * u[:, 8:])
            if self.mistake == "before":
                n = torch.tanh(a[:, 8:] + (r * h) @ self.weight_hh_l0[8:].T + c[8:])
            if self.mistake == "carry":
                return (1 - z) * r * torch.tanh(a[:, 8:] + u[:, 8:])
            h = (1 - z) * n + z * h
            return h.detach() + (h - h.detach()) * 1.001 if self.mistake == "gradient" else h

        def forward(self, x: Any) -> Any:
            h, out = x.new_zeros(len(x), 4), []
            for x_t in x.unbind(1):
                h = self.step(x_t, h)
                out.append(h)
            return torch.stack(out, 1)

    class Whole(MyGRU):
        """One that returns its state and takes a first one and lengths, which it insists on for "insists"."""

        def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> Any:
            steps, mistake = x.shape[1], self.mistake
            lengths = torch.full((len(x),), steps) if lengths is None else lengths
            pads = (torch.arange(steps) >= lengths[:, None])[..., None]
            h = x.new_zeros(len(x), 4) if hx is None or mistake == "first state ignored" else hx.reshape(len(x), 4)
            h = h + self.kept if mistake == "keeps" and hasattr(self, "kept") and len(x) == len(self.kept) else h
            leak = (x.sum(-1, keepdim=True) * pads).sum(1) if mistake == "reads pads" else 0
            x = x.detach() if mistake == "x detached" else x - x.mean(0) if mistake == "rows mixed" else x
            x = torch.cat([x[:, 1:], x[:, -1:]], 1) if mistake == "peeks" else x
            out = []
            for t in range(steps):
                new = self.step(x[:, t], h)
                h = new if mistake == "lengths ignored" else torch.where(pads[:, t], h, new)
                out.append(torch.where(pads[:, t], 0, h))
            self.kept = h.detach()
            y, h = torch.stack(out, 1), h + leak
            y, h = y.double() if mistake == "dtype" else y, h.detach() if mistake == "state detached" else h
            if mistake == "breaks" and len(x) == 1:
                raise ValueError("one row is too few")
            return y.squeeze(0) if mistake == "squeezed" else y, h[:, None, None] if mistake == "state shaped" else h

    class Insists(Whole):
        def forward(self, x: Any, hx: Any, lengths: Any) -> Any:
            y, h = super().forward(x, hx[0], lengths)
            return y, h[None]

    class Peephole(nn.LSTM):
        """One more parameter, by its canonical name, and states that follow y one by one."""

        def __init__(self) -> None:
            super().__init__(3, 4, batch_first=True, dtype=torch.float64)
            self.P_l0 = nn.Parameter(torch.zeros(3, 4, dtype=torch.float64))

        def forward(self, x: Any, hx: Any = None) -> Any:
            h, c = (x.new_zeros(len(x), 4),) * 2 if hx is None else hx
            out, (p_i, p_f, p_o) = [], self.P_l0
            for x_t in x.unbind(1):
                i, f, g, o = (x_t @ self.weight_ih_l0.T + self.bias_ih_l0 + h @ self.weight_hh_l0.T).chunk(4, 1)
                c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
                h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
                out.append(h)
            return torch.stack(out, 1), h, c

    yield "gru", nn.GRU(3, 4, batch_first=True), "gru"
    yield "deep gru, time first", nn.GRU(3, 4, 2, bidirectional=True, dtype=torch.float64), "gru"
    yield "lstm", nn.LSTM(3, 4, batch_first=True, dtype=torch.float64), "lstm"
    yield "rnn", nn.RNN(3, 4, batch_first=True), "rnn"
    yield "peephole", Peephole(), "lstm_peephole"
    yield "gru for lstm", nn.GRU(3, 4), "lstm"
    for mistake in ("none", "swapped", "before", "carry", "gradient", "no bias_hh", "not finite"):
        yield mistake, MyGRU(mistake), "gru"
    yield "half", nn.GRU(3, 4, batch_first=True, dtype=torch.bfloat16), "gru"
    yield "not recurrent", nn.Linear(3, 4), "gru"
    yield "whole", Whole("none"), "gru"
    yield "insists", Insists("none"), "gru"
    for mistake in (*EVERY_FAULT, "reads pads", "keeps", "x detached", "state shaped", "squeezed", "breaks"):
        yield mistake, Whole(mistake, torch.float32 if mistake == "dtype" else torch.float64), "gru"


def tensorflow() -> Iterator[tuple[str, Any, str]]:
    import keras
    import tensorflow as tf

    def built(layer: Any, rows: int | None = None) -> Any:
        layer.build((rows, None, 3))
        return layer

    class MyGRU(keras.layers.GRU):
        """Keras' own, with one mistake around it."""

        def __init__(self, mistake: str) -> None:
            super().__init__(4, return_sequences=True, return_state=True)
            self.mistake = mistake

        def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
            x, mistake = sequences, self.mistake
            mask = None if mistake == "lengths ignored" else mask
            initial_state = None if mistake == "first state ignored" else initial_state
            x = x - tf.reduce_mean(x, 0) if mistake == "rows mixed" else x
            x = tf.concat([x[:, 1:], x[:, -1:]], 1) if mistake == "peeks" else x
            y, h = super().call(x, initial_state=initial_state, mask=mask, training=training)
            y = tf.cast(y, tf.float64) if mistake == "dtype" else y
            return y, tf.stop_gradient(h) if mistake == "state detached" else h

    whole = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True, "dtype": "float64"}
    yield "gru", built(keras.layers.GRU(4, return_sequences=True)), "gru"
    yield "reset before", built(keras.layers.GRU(4, reset_after=False, **whole)), "gru_before"
    yield "reset before for after", built(keras.layers.GRU(4, return_sequences=True, reset_after=False)), "gru"
    yield "reset after for before", built(keras.layers.GRU(4, return_sequences=True)), "gru_before"
    yield "both ways", built(keras.layers.Bidirectional(keras.layers.LSTM(4, **whole), dtype="float64")), "lstm"
    yield "rnn", built(keras.layers.SimpleRNN(4, **whole)), "rnn"
    yield "mixed", built(keras.layers.GRU(4, return_sequences=True, dtype="mixed_float16")), "gru"
    yield "relu", built(keras.layers.SimpleRNN(4, return_sequences=True, activation="relu")), "rnn"
    yield "last step alone", built(keras.layers.GRU(4)), "gru"
    yield "not built", keras.layers.GRU(4, return_sequences=True), "gru"
    yield "stateful", built(keras.layers.GRU(4, return_sequences=True, stateful=True), rows=4), "gru"
    yield "none", built(MyGRU("none")), "gru"
    for mistake in EVERY_FAULT:
        yield mistake, built(MyGRU(mistake)), "gru"


def jax() -> Iterator[tuple[str, Any, str]]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def lstm(p: Any, x: Any, lengths: Any = None, state: Any = None, forget: float = 0.0, mistake: str = "") -> Any:
        rows, steps, _ = x.shape
        lengths = jnp.full(rows, steps) if lengths is None or mistake == "lengths ignored" else lengths
        h = c = jnp.zeros((rows, 4), x.dtype)
        if state is not None and mistake != "first state ignored":
            h, c = state["layer0/h"], state["layer0/c"]
        x = x - x.mean(0) if mistake == "rows mixed" else x
        x = jnp.concatenate([x[:, 1:], x[:, -1:]], 1) if mistake == "peeks" else x
        out = []
        for t in range(steps):  # and not lax.scan, which compiles at every call
            i, f, g, o = jnp.split(x[:, t] @ p["layer0/W"] + h @ p["layer0/U"] + p["layer0/b"], 4, axis=-1)
            new_c = jax.nn.sigmoid(f + forget) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            valid = (t < lengths)[:, None]
            h = jnp.where(valid, jax.nn.sigmoid(o) * jnp.tanh(new_c), h)
            c = jnp.where(valid, new_c, c)
            out.append(jnp.where(valid, h, 0))
        y = jnp.stack(out, 1).astype(jnp.float32 if mistake == "dtype" else x.dtype)
        h, c = (c, h) if mistake == "h and c exchanged" else (h, c)
        return y, {"layer0/h": jax.lax.stop_gradient(h) if mistake == "state detached" else h, "layer0/c": c}

    def whole(mistake: str) -> Function:
        return Function(lambda p, x, lengths=None, state=None: lstm(p, x, lengths, state, 0.0, mistake), 3, 4)

    yield "lstm", Function(lambda p, x: lstm(p, x)[0], inputs=3, hidden=4), "lstm"
    yield "forget bias", Function(lambda p, x: lstm(p, x, forget=1.0), inputs=3, hidden=4), "lstm"
    yield "whole", Function(jax.jit(lstm, static_argnames=("forget", "mistake")), inputs=3, hidden=4), "lstm"
    yield "state no names", Function(lambda p, x: (lstm(p, x)[0], x), inputs=3, hidden=4), "lstm"
    yield "state other names", Function(lambda p, x: (lstm(p, x)[0], {"h": x}), inputs=3, hidden=4), "lstm"
    for mistake in (*EVERY_FAULT, "h and c exchanged"):
        yield mistake, whole(mistake), "lstm"


def main() -> None:
    results: dict[str, tuple[bool, str]] = {}
    for name, model, arch in globals()[sys.argv[1]]():
        try:
            verdict = verify(model, arch)
            results[name] = (verdict.ok, f"{verdict}.")
        except (TypeError, ValueError) as error:
            results[name] = (False, "\n".join([str(error), *getattr(error, "__notes__", [])]))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
