"""Where the store is, how MLflow is told to keep quiet, and the command that serves the dashboard."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # 5 s; the default of 7 holds a sweep for 4 minutes a call
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs for other products: 8 processes and 1.4 GB
    "GIT_PYTHON_REFRESH": "quiet",
}
UI = "http://127.0.0.1:5000"


def quiet() -> None:
    """Set `ENVIRONMENT` in this process and its children, where the user has not set a name otherwise."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def default_uri(results: Path) -> str:
    """The store in a file beside the records."""
    return f"sqlite:///{results.resolve() / 'mlflow.db'}"


def artifacts(results: Path) -> str:
    """The folder that the store's artifacts go to."""
    return (results / "artifacts").resolve().as_uri()


def ui_command(results: Path) -> list[str]:
    """The command that serves the dashboard of ``results``; the environment it needs is set in this process."""
    quiet()
    place = ["--backend-store-uri", default_uri(results), "--default-artifact-root", artifacts(results)]
    return [sys.executable, "-m", "mlflow", "server", *place, "--host", "127.0.0.1", "--port", "5000", "--workers", "1"]
