"""What a backend offers: the maker of an (architecture, implementation), or the reason it has none."""

from __future__ import annotations

from collections.abc import Mapping

from suite.spec.contract import Unsupported

Pairs = Mapping[tuple[str, str], str]


def offered(name: str, table: Pairs, gaps: Pairs, arch: str, impl: str) -> str:
    """ "module:function" from the TABLE of backend ``name``, or Unsupported with the reason from its GAPS."""
    if (arch, impl) in table:
        return table[arch, impl]
    for gap in ((arch, impl), ("*", impl)):
        if gap in gaps:
            raise Unsupported(gaps[gap])
    raise Unsupported(f"{name} has no {arch}/{impl}; it has {', '.join(f'{a}/{i}' for a, i in table)}")
