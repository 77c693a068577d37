"""Stock layers: none. JAX ships array functions, and no recurrent layer that carries the specification on a CPU.

``jax.experimental.rnn`` has one LSTM, whose kernel is cuDNN's or MIOpen's and which reads float32 weights. It has no
CPU kernel, and the ``lstm_ref`` beside it is a ``lax.scan`` written to test it. The gaps are stated in
``backends.jax.GAPS``. Layers of flax, equinox and dm-haiku are libraries on JAX and are not JAX's own.
"""
