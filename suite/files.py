"""Files that are there whole or not at all, whenever the power is cut; and what becomes of damaged ones."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to. When the block ends well, its file takes the place of ``path`` in one step, on the disk."""
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        _to_disk(part)
        part.replace(path)
        _to_disk(path.parent)
    except OSError as error:  # a full disk does not say whose file it was
        error.filename = error.filename or str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, so that it is neither read again nor lost; returns its new path."""
    names = (path.with_name(f"{path.name}.damaged{n or ''}") for n in itertools.count())
    return path.rename(next(name for name in names if not name.exists()))


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
