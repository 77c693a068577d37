"""The dashboard that opens ready: a chart view kept in an experiment tag, and the experiment's note.

MLflow 3.15 and later keep a shared view as the tag ``mlflow.sharedViewState.<id>``: JSON {name, createdAt, updatedAt,
state}, the state JSON again, or "deflate;" and base64 of its zlib stream (at most 20 000 characters). The format is
MLflow's own and may change: without the view the runs are the same, only less well arranged.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

PREFIX = "mlflow.sharedViewState."
LIMIT = 20_000
NOTE = """**recurbench**: the same recurrent architectures in PyTorch, TensorFlow and JAX, proven equal, then timed.

One parent run a sweep, one child run a cell. Filter by the tags `task`, `arch`, `backend`, `impl`, `seed`, `outcome`,
`suite.plan`; `final/...` holds a cell's results, the other sections its curves (at most 300 points each; the cell's
`metrics.jsonl` has all). The chart views named after plans average over seeds.

The records below `results/` are the truth; this store is a view of them: `python -m suite sync` fills it again.
"""
Chart = dict[str, Any]


def key(plan: str) -> str:
    """The id of a plan's view."""
    return f"recurbench-{plan}"


def _chart(kind: str, section: str, name: str, **more: Any) -> Chart:
    uuid = f"{section}-{kind}-{name}".replace("/", "-")
    place = {"uuid": uuid, "metricSectionId": section, "deleted": False, "isGenerated": False}
    return {"type": kind, "runsCountToCompare": 100, "displayName": name, **place, **more}


def _bar(section: str, metric: str, name: str) -> Chart:
    return _chart("BAR", section, name, metricKey=metric)


def _line(section: str, metric: str, name: str, scale: str = "linear") -> Chart:
    axis = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": scale, "yAxisKey": "metric"}
    extra = {"lineSmoothness": 0, "useGlobalXaxisKey": True, "range": {}, "yAxisExpressions": []}
    return _chart("LINE", section, name, metricKey=metric, selectedMetricKeys=[metric], **axis, **extra)


def _scatter(section: str, x: str, y: str, name: str) -> Chart:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return _chart("SCATTER", section, name, **axes)


def state(plan: str, metrics: Iterable[str], series: Iterable[str]) -> dict[str, Any]:
    """The view's state, from the headline metrics of the plan's tasks and the groups of seeds (the tag "series")."""
    scores = sorted(set(metrics))
    charts = [_bar("scores", f"final/{m}", f"test {m}") for m in scores]
    charts += [_line("learning", f"eval/{m}", f"validation {m}") for m in scores]
    charts += [_line("learning", "train/loss", "training loss")]
    charts += [_scatter("speed", "final/train_s", f"final/{m}", f"{m} against seconds of training") for m in scores]
    charts += [_bar("speed", "final/ms_per_step", "ms a step"), _bar("speed", "final/tokens_per_s", "tokens a second")]
    charts += [_bar("speed", "final/first_step_s", "seconds of the first step")]
    charts += [_line("gradients", "grad/global_norm", "gradient norm before clipping", "log")]
    sections = {"scores": "Scores", "learning": "Learning", "speed": "Speed", "gradients": "Gradients"}
    raw = ("final", "eval", "train", "grad")  # every metric once more, folded: the dashboard would add them unfolded
    count = Counter(c["metricSectionId"] for c in charts)
    shown = [{"uuid": u, "name": n, "display": True, "columns": min(2, count[u])} for u, n in sections.items()]
    shown += [{"uuid": f"raw-{n}", "name": n, "display": False, "columns": 3} for n in raw]
    flags = {"isReordered": True, "deleted": False, "isGenerated": False}
    columns = [f"tags.`{t}`" for t in ("outcome", "task", "arch", "backend", "impl", "seed")]
    columns += [f"metrics.`final/{m}`" for m in (*scores, "ms_per_step")]
    return {
        "searchFilter": f"tags.`suite.role` = 'cell' AND tags.`suite.plan` = '{plan}'",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "series"}],
        },
        "groupsExpanded": {f"tag.series.{name}": False for name in sorted(set(series))},
        "compareRunCharts": charts,
        "compareRunSections": [s | flags for s in shown],
        "isAccordionReordered": True,
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "selectedColumns": columns,
    }


def encode(plan: str, metrics: Iterable[str], series: Iterable[str], now_ms: int) -> str:
    """The tag's value. ValueError if it is longer than the store takes."""
    inner = "deflate;" + base64.b64encode(zlib.compress(json.dumps(state(plan, metrics, series)).encode())).decode()
    value = json.dumps({"name": f"recurbench: {plan}", "createdAt": now_ms, "updatedAt": now_ms, "state": inner})
    if len(value) > LIMIT:
        raise ValueError(f"view of plan {plan}: {len(value)} characters; the store takes {LIMIT}")
    return value


def decode(value: str) -> dict[str, Any]:
    """The state in a tag's value, the inverse of `encode`."""
    inner = json.loads(value)["state"]
    return json.loads(zlib.decompress(base64.b64decode(inner.removeprefix("deflate;"))))


def address(base: str, experiment: str, plan: str) -> str:
    """The address that opens a plan's view on a server."""
    query = f"viewStateShareKey={key(plan)}&compareRunsMode=CHART&workflowType=machine_learning"
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?{query}"
