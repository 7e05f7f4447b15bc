"""
The kopf shell: login, the watch of the policies as a doorbell, the probe.

Nothing here decides or writes. kopf is not attached to Nodes or ConntrackNodes: it
would cost 25 times the CPU of an informer, and it loses deletions over a gap in a
watch. Handlers return ``None``, because kopf writes anything else into the status.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import kopf

from conntrack_api import GROUP, VERSION
from conntrack_api.policy import PLURAL
from conntrack_operator.access import RELOAD_SECONDS, Credentials
from conntrack_operator.pacing import Backoff, Clock

STUCK_SECONDS: Final = 600.0
"""Without progress for so long, a loop is dead. Longer than any pause or timeout."""


class EndlessBackoffs:
    """Pauses without an end: a finite list would end the operator with the API."""

    def __iter__(self) -> Iterator[float]:
        """
        Start anew: kopf iterates once for each request that fails.
        """
        backoff = Backoff(Random())  # noqa: S311 - spreads load, guards nothing
        while True:
            yield backoff.next()


def registry(
    ring: Callable[[], None],
    credentials: Credentials,
    progress: Callable[[], Mapping[str, float]],
    clock: Clock,
) -> kopf.OperatorRegistry:
    """
    Make the handlers.

    Args:
        ring: Called for each event of a policy.
        credentials: Tells who we are.
        progress: Gives the time of the last progress of each loop, by its name.
        clock: The clock of these times.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.ConnectionInfo:  # noqa: ANN401
        access = await credentials.access()
        return kopf.ConnectionInfo(
            server=access.server,
            token=access.token,
            ca_path=access.ca_file,
            certificate_path=access.certificate_file,
            private_key_path=access.key_file,
            insecure=access.insecure,
            expiration=datetime.now(UTC) + timedelta(seconds=RELOAD_SECONDS),
        )

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def policy_changed(**_: Any) -> None:  # noqa: ANN401
        ring()

    @kopf.on.probe(registry=handlers)  # anything but PermanentError hangs for a minute
    async def alive(**_: Any) -> None:  # noqa: ANN401
        for name, last in progress().items():
            if clock() - last > STUCK_SECONDS:
                raise kopf.PermanentError(f"{name} has not moved for {STUCK_SECONDS} s")

    return handlers


def settings() -> kopf.OperatorSettings:
    """
    Give kopf's settings; each line keeps it from something that we do not want.
    """
    ours = kopf.OperatorSettings()
    ours.scanning.disabled = True  # no lists and watches of CRDs and namespaces
    ours.peering.standalone = True  # no pause because of somebody else's object
    ours.posting.enabled = False  # its events for cluster-scoped objects are lost
    ours.persistence.finalizer = f"{GROUP}/kopf"  # the default's owner is everybody
    ours.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    ours.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    ours.networking.error_backoffs = EndlessBackoffs()
    ours.networking.enforce_retry_after = True
    ours.networking.request_timeout = 30
    ours.networking.connect_timeout = 5
    ours.watching.reconnect_backoff = 1
    ours.watching.connect_timeout = 5
    ours.watching.chunk_size = 500
    ours.execution.default_backoff = 10
    ours.process.ultimate_exiting_timeout = 20  # below the pod's grace period of 30 s
    return ours
