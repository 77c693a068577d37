"""What surrounds a number: machine, versions, revision, threads and the switches that matter. Recorded, never used."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

import suite
from suite.spec.contract import SPEC_VERSION

PACKAGES = ("numpy", "scipy", "torch", "tensorflow", "keras", "jax", "jaxlib", "flax", "equinox", "dm-haiku", "mlflow")
SWITCHES = (  # beginnings of names; none that could hold a secret
    *("OMP_", "KMP_", "MKL_NUM", "MKL_CBWR", "OPENBLAS_", "CUDA_VISIBLE", "CUBLAS_", "NVIDIA_TF32", "PJRT_NPROC"),
    *("GLIBC_TUNABLES", "MALLOC_"),
    *(
        "TF_NUM",
        "TF_ENABLE",
        "TF_XLA",
        "TF_DETERMINISTIC",
        "TF_FORCE",
        "XLA_",
        "JAX_ENABLE",
        "JAX_PLATFORMS",
        "PYTHONHASH",
    ),
)
STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@functools.cache
def machine() -> dict[str, Any]:
    """The computer. ``machine_id`` tells computers apart without naming them: speeds compare within one only."""
    cpu, cores = _cpu(), os.cpu_count() or 1
    text = f"{platform.node()}/{cpu}/{cores}"
    return {
        "machine_id": hashlib.sha256(text.encode()).hexdigest()[:12],
        "platform": platform.platform(),
        "cpu": cpu,
        "cores": cores,
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


@functools.cache
def revision() -> dict[str, Any]:
    """The suite's version, and git's revision where it runs from a checkout; results/ does not count as a change."""
    out: dict[str, Any] = {"suite": suite.__version__, "spec": SPEC_VERSION, "git": "", "git_dirty": False}
    root = Path(suite.__file__).parents[1]
    if (root / ".git").exists():
        out["git"] = _git(root, "rev-parse", "HEAD")
        out["git_dirty"] = bool(_git(root, "status", "--porcelain", "--", ".", ":!results"))
    return out


@functools.cache
def installed() -> dict[str, str]:
    """Versions of Python and of the packages that matter, as installed; nothing is imported."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def facts() -> dict[str, Any]:
    """Everything, as of now: the thread pools are those of the libraries that are loaded."""
    pools = [
        {k: pool.get(k) for k in ("user_api", "internal_api", "version", "num_threads")} for pool in threadpool_info()
    ]
    environment = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(SWITCHES)}
    return {
        **machine(),
        **revision(),
        "versions": installed(),
        "thread_pools": pools,
        "environment": environment,
        "load_1min": round(os.getloadavg()[0], 2),
    }


def forget_peak() -> None:
    """Give back what is free and let the peak start again. Where the system forbids it, the peak stays what it was."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc's
        libc.malloc_trim(0)
    if PEAK.exists():
        with contextlib.suppress(OSError):
            PEAK.write_text("5", encoding="ascii")


def peak_rss_bytes() -> int:
    """The largest resident size of this process since `forget_peak`; elsewhere than on Linux, since its start."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str:
    """What git says; "unknown" where there is no git, or where it refuses."""
    if shutil.which("git") is None:
        return "unknown"
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]  # looking must not write
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else "unknown"
