"""Runs in the store: whose they are, how they are found, and which a dead runner has left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite.lock import dead, runner

__all__ = ["close_stale", "dead", "runner", "search", "sweep_tags"]


def search(client: Any, experiment: str, tags: Mapping[str, str], more: str = "") -> list[Any]:
    """All runs with these tags, the youngest first."""
    text = " AND ".join([*(f"tags.`{k}` = '{v}'" for k, v in tags.items()), *([more] if more else [])])
    page = client.search_runs([experiment], text, max_results=1000)
    out = list(page)
    while page.token:
        page = client.search_runs([experiment], text, max_results=1000, page_token=page.token)
        out += page
    return out


def close_stale(client: Any, experiment: str) -> int:
    """Set the RUNNING runs of this host's dead runners to KILLED; returns how many there were."""
    running = search(client, experiment, {}, "attributes.status = 'RUNNING'")
    stale = [r for r in running if "suite.runner" in r.data.tags and dead(r.data.tags["suite.runner"])]
    for run in stale:
        client.set_terminated(run.info.run_id, "KILLED")
    return len(stale)


def sweep_tags(plan: str, description: str, cells: int) -> dict[str, str]:
    """Tags of a parent run."""
    own = {"suite.role": "sweep", "suite.plan": plan, "suite.cells": str(cells), "suite.runner": runner()}
    return own | {"mlflow.note.content": description[:8000]}
