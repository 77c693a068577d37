"""The masked scan over time around a cell: tf.while_loop with the input's share hoisted, and the same under XLA.

    s_t = where(valid_t, step(a_t, s_{t-1}) + tap_t, s_{t-1})      y_t = where(valid_t, s_t[0], 0)

The input's share a is computed for all steps at once. The taps are zeros to differentiate by: dL/dtap_t = dL/ds_t.
Time comes first inside a stack.

The loop pops its inputs off tensor lists and pushes its outputs: the gradient of a pop is a push of one element.
Reading a TensorArray by index would make its gradient an array of all T elements at every step: O(T^2) in all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import tensorflow as tf

from backends.tensorflow.cells import CELLS, State, Step, Weights, before_loop, inputs
from backends.tensorflow.layout import identity
from backends.tensorflow.slabs import in_slabs, over_time
from suite.spec.contract import Net
from suite.spec.dropout import NONE, Masks, site
from suite.spec.params import link, of, shapes, stack

Named = dict[str, tf.Tensor]  # "layer0/h" -> state (B, H), or taps (T, B, H)
Share = Callable[[Step, Weights, tf.Tensor], tf.Tensor]  # what a loop reads of the input, as `inputs` makes it
Loop = Callable[..., tuple[tf.Tensor, State]]


def scan(
    step: Step, p: Weights, a: tf.Tensor, valid: tf.Tensor, state: State, reverse: bool, taps: State | None
) -> tuple[tf.Tensor, State]:
    """a (T, B, GH), valid (T, B, 1), state (B, H) each, taps (T, B, H) each -> y (T, B, H), final state."""
    steps, h = a.shape[0], state[0]
    read = [valid, a, *(taps or ())]
    if not reverse:  # they are popped from the end
        read = [tf.reverse(v, [0]) for v in read]
    lists = tuple(tf.raw_ops.TensorListFromTensor(tensor=v, element_shape=v.shape[1:]) for v in read)
    outputs = tf.raw_ops.EmptyTensorList(element_shape=h.shape, max_num_elements=steps, element_dtype=h.dtype)

    def body(t: tf.Tensor, lists: State, outputs: tf.Tensor, state: State) -> tuple[tf.Tensor, State, tf.Tensor, State]:
        popped = [
            tf.raw_ops.TensorListPopBack(input_handle=one, element_shape=v.shape[1:], element_dtype=v.dtype)
            for one, v in zip(lists, read, strict=True)
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


def outputs(
    step: Step, p: Weights, x: tf.Tensor, valid: tf.Tensor, state: State, reverse: bool, taps: State | None
) -> tuple[tf.Tensor, State]:
    """As `scan`, but for x (T, B, I) and compiled by XLA, where nobody asks for a derivative: there are no taps.

    The input's share is cut into gates before the loop: cut at every step, XLA's loop of a GRU takes twice as long at
    B32 T50 H64, and 1.3 times at B64 T100 H320. The training step of `fused` gains nothing by it.
    """
    assert taps is None, "taps are to be differentiated by"
    zero, numbers = tf.zeros((), x.dtype), state[0].shape.num_elements()

    def one(state: State, m: tf.Tensor, *shares: tf.Tensor) -> tuple[State, State]:
        new = step(p, tf.concat(shares, 1), state)  # the step cuts it again, and XLA sees through both
        state = tuple(tf.where(m, n, s) for n, s in zip(new, state, strict=True))
        return state, (tf.where(m, state[0], zero),)

    def slab(state: State, m: tf.Tensor, x: tf.Tensor) -> tuple[State, State]:
        a = inputs(step, p, x)
        return over_time(one, state, (m, *tf.split(a, a.shape[2] // state[0].shape[1], 2)), reverse)

    final, (y,) = in_slabs(slab, state, (valid, x), reverse, numbers)
    return y, final


class Scan:
    """A stack of layers of one or two directions, each a masked scan of the same cell."""

    def __init__(
        self,
        net: Net,
        prefix: str,
        dtype: tf.DType,
        compiled: bool = False,
        loop: Loop = scan,
        what: str = "tf.while_loop",
        share: Share = inputs,
    ) -> None:
        self._step, self._carried, self._layers = CELLS[net.arch.equations], net.arch.state, stack(net, prefix)
        self.compiled, self._loop, self._what, self._share = compiled, loop, what, share
        self._residual = net.arch.residual
        own = {n: shape for n, shape in shapes(net).items() if n.startswith((f"{prefix}layer", f"{prefix}skip"))}
        self.layout = identity(own)
        self.params = {name: tf.Variable(tf.zeros(shape, dtype)) for name, shape in own.items()}

    def run(
        self, x: tf.Tensor, valid: tf.Tensor, state: Named, taps: Named | None = None, masks: Masks = NONE
    ) -> tuple[tf.Tensor, Named]:
        """x (B, T, I), valid (B, T), state (B, H) each, taps (T, B, H) each -> y (B, T, F) and the final state."""
        x, valid = tf.transpose(x, (1, 0, 2)), tf.transpose(valid)[..., None]  # (T, B, I), (T, B, 1)
        final: Named = {}
        for layer in self._layers:
            ys, read = [], x * masks[site(layer)] if site(layer) in masks else x
            for d in layer:
                own = {name: tf.convert_to_tensor(value) for name, value in of(self.params, d.prefix).items()}
                names = [d.prefix + s for s in self._carried]
                first = tuple(state[name] for name in names)
                eps = tuple(taps[name] for name in names) if taps else None
                a = self._share(self._step, own, read)
                y, last = self._loop(self._step, before_loop(self._step, own), a, valid, first, d.reverse, eps)
                final |= zip(names, last, strict=True)
                ys.append(y)
            y = tf.concat(ys, axis=-1)
            if self._residual:
                kept, name = tf.where(valid, x, tf.zeros((), x.dtype)), link(layer)
                y += tf.tensordot(kept, self.params[name], 1) if name in self.params else kept
            x = y
        return tf.transpose(x, (1, 0, 2)), final

    def reader(self) -> Scan:
        """The same layers for where nobody asks for a derivative."""
        if not self.compiled:
            return self
        other = copy.copy(self)
        other._loop, other._share = outputs, lambda step, p, x: x
        return other

    def ran(self) -> set[str]:
        """What executes."""
        return {f"{self._what} in a tf.function{' compiled by XLA' * self.compiled}"}


def make(net: Net, prefix: str, dtype: tf.DType, device: str) -> Scan:
    """The stack of layers below ``prefix``, as a loop in a tf.function."""
    return Scan(net, prefix, dtype)


def make_compiled(net: Net, prefix: str, dtype: tf.DType, device: str) -> Scan:
    """The same loop, compiled by XLA together with everything around it."""
    return Scan(net, prefix, dtype, compiled=True)
