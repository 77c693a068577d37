"""Every architecture by name. One page each: equations, source, shapes, ``step`` and ``step_vjp``."""

from __future__ import annotations

from suite.spec.arch import Arch
from suite.spec.archs.gru import GRU, GRU_BEFORE
from suite.spec.archs.lstm import LSTM
from suite.spec.archs.rnn import RNN

ARCHS: dict[str, Arch] = {arch.name: arch for arch in (RNN, GRU, GRU_BEFORE, LSTM)}
