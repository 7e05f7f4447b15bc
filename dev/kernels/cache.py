"""
Where fetched kernels and packed archives are kept: never inside the checkout.

Entries are made under a temporary name and renamed when complete, so one that exists
is whole. A lock lets several test processes ask for the same entry at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def cache_root() -> Path:
    """
    Name the folder of everything this package keeps, and make it.

    Returns:
        ``kernels`` below ``$CONNTRACK_CACHE``, or below ``conntrack-operator`` in
        ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    chosen = os.environ.get("CONNTRACK_CACHE")
    if chosen:
        base = Path(chosen)
    else:
        xdg = os.environ.get("XDG_CACHE_HOME")
        base = (Path(xdg) if xdg else Path.home() / ".cache") / "conntrack-operator"
    root = base.absolute() / "kernels"
    root.mkdir(parents=True, exist_ok=True)
    return root


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """
    Return a folder of the cache, and fill it first if it is not there.

    Args:
        name:
            The folder's name. It must say everything that its content depends on.
        make:
            Fills the empty folder it is given. If it raises, nothing is kept.

    Returns:
        The complete folder, which nobody changes any more.
    """
    root = cache_root()
    entry = root / name
    with _locked(root / f"{name}.lock"):
        if not entry.is_dir():
            unfinished = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root))
            try:
                make(unfinished)
                unfinished.rename(entry)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return entry


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """
    Hold an exclusive lock; the system releases it even if this process dies.
    """
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
