"""recurbench: the same recurrent architectures in PyTorch, TensorFlow and JAX, proven equal before they are timed."""

__version__ = "0.1.0"
