"""A script of ours on a real kernel, with the packages that it imports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import conntrack_agent
import conntrack_api
from kernels import machine
from kernels.catalogue import KERNELS
from kernels.emulator import Guest, boot
from kernels.errors import KernelsUnavailable

if TYPE_CHECKING:
    from types import ModuleType

VERSIONS = ["5.10", "6.1", "7.2"]
_GUEST = Guest(memory_mib=1024, timeout=600)
_RUN = "PYTHONPATH=/guest/lib PYTHONDONTWRITEBYTECODE=1 python3 /guest/script.py"


def lines(version: str, script: str) -> list[str]:
    """What a script beside this file prints; skip where nothing can be booted."""
    try:
        machine.require()
    except KernelsUnavailable as error:
        pytest.skip(str(error))
    files: dict[str, Path | bytes] = {
        "/guest/script.py": Path(__file__).with_name(script),
        "/guest/lib/conntrack_agent": _folder(conntrack_agent),
        "/guest/lib/conntrack_api": _folder(conntrack_api),
    }
    result = boot(KERNELS[version], _RUN, files, _GUEST)
    assert result.ok, result.output
    return result.output.splitlines()


def _folder(module: ModuleType) -> Path:
    """Where a package lies."""
    return Path(str(module.__file__)).parent
