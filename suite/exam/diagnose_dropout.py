"""What may be wrong with dropout: masks left out, at one site or all, not scaled, or turned round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from suite.spec.contract import Batch, Net, Params

Bend = tuple[str, Net, Params, Batch]


def bends(net: Net, p: Params, batch: Batch) -> Iterator[Bend]:
    """Each mistake's name, and the batch whose masks commit it."""
    masks = batch.masks
    if not masks:
        return
    yield "dropout's masks are ignored", net, p, replace(batch, masks={})
    kept = {site: (m > 0).astype(float) for site, m in masks.items()}
    yield "what dropout keeps is not scaled by 1 / (1 - rate)", net, p, replace(batch, masks=kept)
    turned = {site: np.where(m > 0, 0.0, m.max()) for site, m in masks.items()}
    yield "dropout keeps what it should drop", net, p, replace(batch, masks=turned)
    for missing in masks:
        rest = {site: m for site, m in masks.items() if site != missing}
        yield f"dropout's mask of {missing} is ignored", net, p, replace(batch, masks=rest)
