"""The suite as a Python call; the command line is a thin shell over it.

from pathlib import Path
from suite import api

plan = api.load("quick", backends=["jax"], seeds=3)
records = api.run(plan, Path("results"))
records = api.read(Path("results"))
"""

from __future__ import annotations

from suite.plan import Plan, load, names
from suite.record import Record
from suite.record import read_all as read
from suite.run import exit_code, run

__all__ = ["Plan", "Record", "exit_code", "load", "names", "read", "run"]
