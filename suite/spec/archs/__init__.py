"""Every architecture by name. One page each: equations, source, shapes, ``step`` and ``step_vjp``."""

from __future__ import annotations

from dataclasses import replace

from suite.spec.arch import Arch
from suite.spec.archs.attention import GRU_ATTENTION, GRU_LUONG, LSTM_ATTENTION, RNN_ATTENTION
from suite.spec.archs.gru import GRU, GRU_BEFORE
from suite.spec.archs.gru_article import GRU_ARTICLE
from suite.spec.archs.gru_ln import GRU_LN
from suite.spec.archs.lstm import LSTM
from suite.spec.archs.lstm_ln import LSTM_LN
from suite.spec.archs.lstm_peephole import LSTM_PEEPHOLE
from suite.spec.archs.mgu import MGU
from suite.spec.archs.residual import GRU_RESIDUAL
from suite.spec.archs.rnn import RNN
from suite.spec.archs.rnn_relu import RNN_RELU
from suite.spec.archs.transformer import TRANSFORMER

GRU4REC = replace(
    GRU_BEFORE,
    name="gru4rec",
    source="Hidasi et al. 2016 (arXiv 1511.06939), Hidasi & Karatzoglou 2018; the cell is gru_before",
    cell="gru_before",
)

CELLS = (RNN, GRU, GRU_BEFORE, LSTM, RNN_RELU, GRU_ARTICLE, MGU, LSTM_PEEPHOLE, GRU_LN, LSTM_LN, GRU4REC)
NETWORKS = (GRU_RESIDUAL, RNN_ATTENTION, GRU_ATTENTION, LSTM_ATTENTION, GRU_LUONG)
ARCHS: dict[str, Arch] = {arch.name: arch for arch in (*CELLS, *NETWORKS, TRANSFORMER)}
