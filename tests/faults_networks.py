"""Wrong decoders and residual stacks for the exam to find: the oracle while one of its functions is another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from backends.reference.trainer import Trainer
from suite.exam.checks import Maker
from suite.spec import attention, decoder, network
from suite.spec.contract import Net, Params
from suite.spec.params import link, of, stack

bridge, forward, run, run_vjp = network.bridge, decoder.forward, network.run, network.run_vjp
STATE = 6  # where decoder.forward takes the first state
CALLS = ("step", "grads", "outputs", "decode", "flow")


def during(module: Any, name: str, wrong: Any, calls: Sequence[str] = CALLS) -> Maker:
    """The oracle with ``wrong`` in the place of a function, while it is examined; as the judge it is itself."""

    def within(method: Any) -> Any:
        def call(*args: Any) -> Any:
            with mock.patch.object(module, name, wrong):
                return method(*args)

        return call

    return type("Wrong", (Trainer,), {call: within(getattr(Trainer, call)) for call in calls})


def weights(wrong: Callable[[Any, Any], Any]) -> Maker:
    """Scores (..., T) and which are valid -> other weights."""
    return during(attention, "softmax", wrong)


def parameters(bend: Callable[[Net, Params], Params]) -> Maker:
    """A decoder that reads other parameters."""
    return during(decoder, "forward", lambda net, p, *rest: forward(net, p | bend(net, p), *rest))


def read_out(bend: Callable[[Any], Any]) -> Maker:
    """A read-out that gets something else than the decoder's [y; c], or tanh([c; y] Wc)."""

    def other(*given: Any) -> Any:
        read, state, tape = forward(*given)
        return bend(read), state, tape

    return during(decoder, "forward", other)


def first_state(bend: Callable[[Any], Any]) -> Maker:
    """A decoder that starts from another state."""

    def other(*given: Any) -> Any:
        state = {name: bend(s) for name, s in given[STATE].items()}
        return forward(*given[:STATE], state, *given[STATE + 1 :])

    return during(decoder, "forward", other)


def other_direction(net: Net) -> dict[str, str]:
    """The bridge from the forward direction's final state."""
    return {to: source.replace("/bwd/", "/fwd/") for to, source in bridge(net).items()}


def asked_across(net: Net, p: Params, x: Any, valid: Any, memory: Any, source: Any, state: Any, *_: Any) -> Any:
    """Attention asked on the other side of the step: additive with the new state, general with the old one."""
    own, query, reads = of(p, "attn/"), stack(net, "dec/")[-1][0].prefix + "h", []
    for t in range(x.shape[1]):
        now, old = np.s_[:, t : t + 1], state[query]
        read, state, _ = forward(net, p, x[now], valid[now], memory, source, state)
        if net.arch.attention == "additive":
            c, _, _ = attention.additive(own, state[query], memory @ own["Wk"], memory, source)
            reads.append(np.concatenate([read[:, 0, : net.sizes.hidden], c], axis=-1))
        else:
            a = attention.softmax(np.einsum("bf,btf->bt", old @ own["Wa"], memory), source)
            c = np.einsum("bt,btf->bf", a, memory)
            reads.append(np.tanh(np.concatenate([c, state[query]], axis=-1) @ own["Wc"]))
    return np.where(valid[..., None], np.stack(reads, axis=1), 0), state, None


def plain(net: Net) -> Net:
    """The same stack without its residual links."""
    return replace(net, arch=replace(net.arch, residual=False))


def residual(add: Callable[[Any, Any], Any]) -> Maker:
    """A stack whose layers put out ``add``(y, x R)."""

    def other(net: Net, p: Params, layers: Any, x: Any, valid: Any, state: Any, *_: Any) -> Any:
        final = {}
        for layer in layers:
            y, last, _ = run(plain(net), p, [layer], x, valid, state)
            x = add(y, x @ p[link(layer)] if link(layer) in p else x)
            final |= last
        return x, final, None

    return during(network, "run", other)


def residual_on_state(net: Net, p: Params, layers: Any, x: Any, valid: Any, state: Any, *_: Any) -> Any:
    """One layer that reads one way: x R is added to what is carried."""
    ((d,),), R = layers, p[link(layers[0])]
    h, ys = state[d.prefix + "h"], []
    for t in range(x.shape[1]):
        (new,), _ = net.arch.step(of(p, d.prefix), x[:, t], (h,))
        h = np.where(valid[:, t, None], new + x[:, t] @ R, h)
        ys.append(np.where(valid[:, t, None], h, 0))
    return np.stack(ys, axis=1), {d.prefix + "h": h}, None


def residual_unprojected(net: Net, p: Params, *rest: Any) -> Any:
    """What a layer reads is cut or padded with zeros to the width of its output."""
    return run(net, {name: np.eye(*v.shape) if name.endswith("/R") else v for name, v in p.items()}, *rest)


def on_vjp(module: Any, name: str, bend: Callable[..., Any]) -> Maker:
    """A gradient that is wrong where the outputs are right: ``bend`` takes what the VJP returns, one by one."""
    honest = getattr(module, name)
    return during(module, name, lambda *given: bend(*honest(*given)))


def residual_detached(net: Net, *given: Any) -> Any:
    """No gradient flows back through the residual link; its R is trained."""
    _, first, dp, flow = run_vjp(net, *given)
    return run_vjp(plain(net), *given)[0], first, dp, flow
