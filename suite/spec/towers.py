"""What a Transformer network is made of: its towers of blocks, the names and shapes of their parameters, positions.

    emb/E (V, D) or in/V (F, D), in/d (D)      what "label" and "final" nets read: tokens, or real features
    pos/E (N, D)                               where positions are trained
    layer{k}/ln1/g ...                         the blocks, see ``suite.spec.archs.transformer``
    ln/g, ln/s (D)                             after the last block
    src_emb/E  src_pos/E  enc/layer{k}/...  enc/ln/...     "translate": the encoder
    tgt_emb/E  tgt_pos/E  dec/layer{k}/...  dec/ln/...     "translate": the decoder, whose blocks also read the encoder
    head/V (D, O)  head/d (O)                  the linear read-out

D is ``sizes.hidden``. What a tower's first block reads at step t (Vaswani et al. 2017, sec. 3.4 and 3.5):

    sqrt(D) E[token] or x V + d,  plus  P_t = (sin, cos, sin, cos, ...)(t / 10000^(2 i / D)) or P_t = sqrt(D) pos/E[t]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from suite.spec.archs import transformer
from suite.spec.contract import Array, Net, State, Unsupported


@dataclass(frozen=True, slots=True)
class Tower:
    """One stack of blocks: where its parameters are, whether it sees the steps to come, whether it reads a memory."""

    prefix: str  # "", "enc/" or "dec/": before layer{k}/ and ln/
    side: str  # "", "src_" or "tgt_": before emb/E and pos/E
    tokens: bool
    causal: bool
    cross: bool

    def layers(self, net: Net) -> list[str]:
        """The prefix of each block's parameters, first block first."""
        return [f"{self.prefix}layer{k}/" for k in range(net.sizes.layers)]


def towers(net: Net) -> tuple[Tower, ...]:
    """The network's towers: one, or an encoder that sees both ways and a decoder that reads it."""
    tokens = net.signature.tokens
    if net.signature.kind == "translate":
        return Tower("enc/", "src_", tokens, False, False), Tower("dec/", "tgt_", True, True, True)
    return (Tower("", "", tokens, not net.sizes.bidirectional, False),)


def shapes(net: Net) -> dict[str, tuple[int, ...]]:
    """Canonical name -> shape, in canonical order."""
    sig, sizes, width = net.signature, net.sizes, net.sizes.hidden
    out: dict[str, tuple[int, ...]] = {}
    for tower in towers(net):
        if tower.tokens:
            out[f"{tower.side}emb/E"] = (sig.outputs if tower.cross else sig.inputs, width)
        else:
            out |= {"in/V": (sig.inputs, width), "in/d": (width,)}
        if sizes.positions:
            out[f"{tower.side}pos/E"] = (sizes.positions, width)
    for tower in towers(net):
        for layer in tower.layers(net):
            out |= {layer + name: shape for name, shape in transformer.shapes(width, tower.cross).items()}
        out |= {f"{tower.prefix}ln/g": (width,), f"{tower.prefix}ln/s": (width,)}
    return out | {"head/V": (width, sig.outputs), "head/d": (sig.outputs,)}


def sinusoid(steps: int, width: int) -> Array:
    """(T, D): sines in the even columns, cosines in the odd ones, of wavelengths from 2 pi to 10000 * 2 pi."""
    angle = np.arange(steps)[:, None] * 10000.0 ** -(np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(steps, -1)[:, :width]


def check_length(net: Net, steps: int) -> None:
    """Refuse a sequence that the table of positions does not reach to the end of."""
    if 0 < net.sizes.positions < steps:
        raise Unsupported(
            f"{net.arch.name}: a sequence of {steps} steps and {net.sizes.positions} positions; "
            f"set positions to {steps} or more, or to 0 for sinusoidal ones"
        )


def check_state(net: Net, state: State | None) -> None:
    """Refuse a state: there is none that could be carried from call to call."""
    if state:
        raise Unsupported(f"{net.arch.name}: it carries no state, and cannot go on from {', '.join(state)}")
