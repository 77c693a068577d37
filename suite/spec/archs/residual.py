"""Residual stacks: each layer adds what it reads to what it puts out, in the form of Wu et al. 2016 (GNMT).

x^{l+1} = x^l R + GRU^l(x^l)            R the identity where both are as wide; at pads 0

See ``suite.spec.stack``. Other things are called residual GRU too (Toderici et al. 2017; networks that predict a
difference); this is the one that deep recurrent networks use.
"""

from __future__ import annotations

from dataclasses import replace

from suite.spec.archs.gru import GRU

GRU_RESIDUAL = replace(
    GRU,
    name="gru_residual",
    cell="gru",
    residual=True,
    source="gru, residual layers of Wu et al. 2016 (arXiv 1609.08144)",
)
