"""Encoder-decoders whose decoder attends to every output of the encoder; see ``suite.spec.attention``."""

from __future__ import annotations

from dataclasses import replace

from suite.spec.archs.gru import GRU
from suite.spec.archs.lstm import LSTM
from suite.spec.archs.rnn import RNN

ADDITIVE = "additive attention of Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473)"
GENERAL = "general attention of Luong, Pham & Manning 2015 (arXiv 1508.04025)"

RNN_ATTENTION = replace(RNN, name="rnn_attention", cell="rnn", attention="additive", source=f"rnn with {ADDITIVE}")
GRU_ATTENTION = replace(GRU, name="gru_attention", cell="gru", attention="additive", source=f"gru with {ADDITIVE}")
LSTM_ATTENTION = replace(LSTM, name="lstm_attention", cell="lstm", attention="additive", source=f"lstm with {ADDITIVE}")
GRU_LUONG = replace(GRU, name="gru_luong", cell="gru", attention="general", source=f"gru with {GENERAL}")
