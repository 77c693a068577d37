"""native.cpp as a library: compiled once for this machine, this torch and this compiler, and kept in the user's cache.

The library's name is a digest of all that decides what is in it. $CXX names the compiler, $XDG_CACHE_HOME the cache.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch

from suite.spec.contract import Unsupported

FOLDER = Path(__file__).parent
SOURCES = ("native.cpp", "native_cells.h")
# no -ffast-math, for NaN must stay NaN; no contraction, so that each row has the same sums whatever stands beside it
FLAGS = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC")
INSTEAD = "or use impl = fused"


class Built(NamedTuple):
    """The library, and the compiler and flags that made it."""

    library: ctypes.CDLL
    by: str


@functools.cache
def built() -> Built:
    """The library, compiled where the cache has it not. Unsupported where there is no compiler or it fails."""
    compiler = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    if shutil.which(compiler[0]) is None:
        raise Unsupported(f"native finds no C++ compiler {compiler[0]!r}: install g++ or set CXX; {INSTEAD}")
    include, libraries = (Path(torch.__file__).parent / name for name in ("include", "lib"))
    capability = torch.backends.cpu.get_cpu_capability()  # the instructions that torch's own kernels take
    vectors = [f"-DCPU_CAPABILITY={capability}", f"-DCPU_CAPABILITY_{capability}"] * (capability in ("AVX2", "AVX512"))
    command = [*compiler, *FLAGS, *vectors]
    version = _said(compiler, "--version").partition("\n")[0]
    # every predefined macro: among them are the instructions and the processor that "native" stands for
    macros = _said(command, "-dM", "-E", "-x", "c++", os.devnull)
    sources = [(FOLDER / name).read_text(encoding="utf-8") for name in SOURCES]
    decides = "\0".join([torch.__version__, str(libraries), version, macros, *command, *sources])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recurbench"
    path = cache / f"native-{hashlib.sha256(decides.encode()).hexdigest()[:16]}.so"
    try:
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            sys.stderr.write(f"native: {version} builds {path.name}: half a minute, once; it is kept in {cache}\n")
            with tempfile.TemporaryDirectory(dir=cache) as folder:  # a library comes to its place whole
                made = Path(folder) / path.name
                linked = ["-I", str(include), SOURCES[0], "-L", str(libraries), "-l:libtorch_cpu.so", "-lc10"]
                _said(command, *linked, "-o", str(made))
                made.replace(path)
        return Built(ctypes.CDLL(str(path)), f"{version}, {' '.join(FLAGS[:4])}")
    except OSError as error:
        raise Unsupported(f"native cannot keep or load its library: {error}; set XDG_CACHE_HOME, {INSTEAD}") from None


def _said(command: list[str], *more: str) -> str:
    """What the compiler writes; Unsupported with the first error where it fails."""
    done = subprocess.run([*command, *more], cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        reason = next((line for line in lines if "error" in line), lines[-1])
        raise Unsupported(f"native does not build: {reason}; install g++ 10 or newer, or set CXX; {INSTEAD}")
    return done.stdout
