"""
A control plane for tests, and what becomes of a test where none can run.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from control_plane.errors import ControlPlaneUnavailable
from control_plane.server import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REQUIRED_VARIABLE: Final = "CONNTRACK_REQUIRE_APISERVER"
"""Set to 1 where a run without an API server is a failed run."""


@contextmanager
def skip_without_programs() -> Iterator[None]:
    """
    Skip a test whose block asks for programs that this machine cannot have.

    It fails instead when `REQUIRED_VARIABLE` says that such a run is worth nothing.
    """
    try:
        yield
    except ControlPlaneUnavailable as error:
        if os.environ.get(REQUIRED_VARIABLE) == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@contextmanager
def control_plane_or_skip(
    *, controller_manager: bool = False, apiserver_arguments: Sequence[str] = ()
) -> Iterator[ControlPlane]:
    """
    Run one control plane for a test, or skip it where none can be had.

    Args:
        controller_manager: As `ControlPlane` takes it.
        apiserver_arguments: As `ControlPlane` takes them.

    Yields:
        The running control plane; it ends with the block.

    Raises:
        ControlPlaneFailed: It can be had, and did not get ready.
    """
    plane = ControlPlane(
        controller_manager=controller_manager, apiserver_arguments=apiserver_arguments
    )
    with skip_without_programs():
        plane.start()
    with plane:
        yield plane
