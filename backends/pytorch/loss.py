"""The losses of ``suite.spec.loss`` in PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from backends.pytorch.network import Data
from suite.spec.contract import Signature
from suite.spec.session_loss import PENALTY


def loss_rows(signature: Signature, outputs: Tensor, batch: Data) -> Tensor:
    """Each row's share of the loss (B,): their sum, taken in float64 on the host, is the loss."""
    if signature.loss == "mse":
        error = torch.where(batch.scored[:, None], outputs - batch.y, 0.0)
        return batch.scale * error.square().sum(1)
    if signature.loss == "xent":
        logits, smoothing = outputs.flatten(0, -2), signature.smoothing
        terms = F.cross_entropy(logits, batch.y.flatten(), reduction="none", label_smoothing=smoothing)
    else:
        terms = session_terms(signature.loss, outputs, batch).flatten()
    return batch.scale * torch.where(batch.scored.flatten(), terms, 0.0).view(len(outputs), -1).sum(1)


def session_terms(name: str, outputs: Tensor, batch: Data) -> Tensor:
    """outputs (B, T, O) -> the in-batch loss of each scored target (B, T), all of which have a negative."""
    y, scored, rows = batch.y.T, batch.scored.T, len(outputs)
    among = (scored[:, None, :] & (y[:, :, None] != y[:, None, :])).transpose(0, 1)  # (B, T, B)
    among = among | ~batch.scored[..., None]  # what is not scored takes all, so that no softmax is empty
    r = outputs.gather(-1, y.expand(rows, -1, -1))
    ri = outputs.gather(-1, batch.y[..., None])
    if name == "xent_batch":
        own = torch.eye(rows, dtype=torch.bool, device=r.device)[:, None]
        return torch.where(among | own, r - ri, -torch.inf).logsumexp(-1)
    log_w = torch.where(among, r, -torch.inf).log_softmax(-1)
    w = log_w.exp()
    if name == "bpr_max":
        return PENALTY * (w * r.square()).sum(-1) - (log_w + F.logsigmoid(ri - r)).logsumexp(-1)
    return (w * (torch.sigmoid(r - ri) + torch.sigmoid(r.square()))).sum(-1)
