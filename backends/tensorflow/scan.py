"""The masked scan over time around a cell: tf.while_loop with the input's share hoisted, and the same under XLA.

    s_t = where(valid_t, step(a_t, s_{t-1}), s_{t-1})      y_t = where(valid_t, s_t[0], 0)      a = x W + b at once

The loop pops its inputs off tensor lists and pushes its outputs: the gradient of a pop is a push of one element.
Reading a TensorArray by index would make its gradient an array of all T elements at every step: O(T^2) in all.
"""

from __future__ import annotations

import tensorflow as tf

from backends.tensorflow.cells import CELLS, State, Step, Weights, before_loop
from backends.tensorflow.layout import identity
from backends.tensorflow.network import Named, Runner
from suite.spec.contract import Net
from suite.spec.params import of, shapes, stack


def scan(
    step: Step, p: Weights, x: tf.Tensor, valid: tf.Tensor, state: State, reverse: bool, taps: State = ()
) -> tuple[tf.Tensor, State]:
    """x (T, B, I) -> y (T, B, H), final state. valid (T, B, 1); taps (T, B, H) are added to each new state."""
    a = tf.tensordot(x, p["W"], 1) + p["b"]
    p = before_loop(step, p)
    steps, h = x.shape[0], state[0]
    inputs = [valid, a, *taps] if reverse else [tf.reverse(v, [0]) for v in (valid, a, *taps)]  # popped from the end
    lists = tuple(tf.raw_ops.TensorListFromTensor(tensor=v, element_shape=v.shape[1:]) for v in inputs)
    outputs = tf.raw_ops.EmptyTensorList(element_shape=h.shape, max_num_elements=steps, element_dtype=h.dtype)

    def body(t: tf.Tensor, lists: State, outputs: tf.Tensor, state: State) -> tuple[tf.Tensor, State, tf.Tensor, State]:
        popped = [
            tf.raw_ops.TensorListPopBack(input_handle=one, element_shape=v.shape[1:], element_dtype=v.dtype)
            for one, v in zip(lists, inputs, strict=True)
        ]
        m, a_t, *eps = (element for _, element in popped)
        new = step(p, a_t, state)
        if eps:
            new = tuple(n + e for n, e in zip(new, eps, strict=True))
        state = tuple(tf.where(m, n, s) for n, s in zip(new, state, strict=True))
        outputs = tf.raw_ops.TensorListPushBack(input_handle=outputs, tensor=state[0])
        return t + 1, tuple(rest for rest, _ in popped), outputs, state

    _, _, outputs, state = tf.while_loop(
        lambda t, *_: t < steps, body, (tf.constant(0), lists, outputs, state), maximum_iterations=steps
    )
    y = tf.raw_ops.TensorListStack(
        input_handle=outputs, element_shape=h.shape, element_dtype=h.dtype, num_elements=steps
    )
    return tf.where(valid, tf.reverse(y, [0]) if reverse else y, tf.zeros((), h.dtype)), state


def make(net: Net, prefix: str, dtype: tf.DType, device: str, compiled: bool = False) -> Runner:
    """The stack below ``prefix`` as a loop in a tf.function."""
    layers, step, names = stack(net, prefix), CELLS[net.arch.name], net.arch.state
    below = {name: shape for name, shape in shapes(net).items() if name.startswith(f"{prefix}layer")}
    params = {name: tf.Variable(tf.zeros(shape, dtype)) for name, shape in below.items()}

    def run(x: tf.Tensor, valid: tf.Tensor, state: Named, taps: Named | None = None) -> tuple[tf.Tensor, Named]:
        x, valid = tf.transpose(x, (1, 0, 2)), tf.transpose(valid)[..., None]  # (T, B, I), (T, B, 1)
        final: Named = {}
        for layer in layers:
            ys = []
            for d in layer:
                p = {name: tf.convert_to_tensor(value) for name, value in of(params, d.prefix).items()}
                own = [d.prefix + s for s in names]
                eps = tuple(taps[n] for n in own) if taps else ()
                y, last = scan(step, p, x, valid, tuple(state[n] for n in own), d.reverse, eps)
                final |= zip(own, last, strict=True)
                ys.append(y)
            x = tf.concat(ys, axis=-1)
        return tf.transpose(x, (1, 0, 2)), final

    return Runner(params, identity(params), run, "tf.while_loop", compiled)


def make_compiled(net: Net, prefix: str, dtype: tf.DType, device: str) -> Runner:
    """The same loop, compiled by XLA together with everything around it."""
    return make(net, prefix, dtype, device, compiled=True)
