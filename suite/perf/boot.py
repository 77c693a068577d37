"""How a probe starts: this checkout's `suite.perf` in front of another checkout's suite.

    python -P suite/perf/boot.py        PYTHONPATH begins with the checkout that is measured

The instrument is the same on both sides of a comparison, also where one of them is older than the instrument. All that
it measures comes from the other checkout: what an editable installation of the suite maps is left out, because it would
lend a checkout the modules that it lacks.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve as `suite.perf.probe` does, on the checkout that PYTHONPATH begins with."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not _lends(finder)]
    own = Path(__file__).resolve().parent
    spec = spec_from_file_location("suite.perf", own / "__init__.py", submodule_search_locations=[str(own)])
    assert spec is not None and spec.loader is not None, "a file has a loader"
    sys.modules["suite.perf"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["suite.perf"])

    from suite.perf import probe

    probe.main()


def _lends(finder: Any) -> bool:
    """Whether a finder maps `suite` to where it is installed."""
    return "suite" in vars(sys.modules.get(finder.__module__, sys)).get("MAPPING", ())


if __name__ == "__main__":
    main()
