"""
Start the operator, watch over its parts, stop it.

Every part is one task. The first that ends, for whatever reason, ends all: a part
that is missing would leave an operator that looks alive.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, Final

import kopf

from conntrack_operator import access, config, handlers, logs, metrics, ports
from conntrack_operator.access import Credentials
from conntrack_operator.agents import Agents
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.config import DEFAULT_NAMESPACE, Config
from conntrack_operator.errors import (
    ClusterError,
    ConfigInvalid,
    KindsMissing,
    OperatorError,
)
from conntrack_operator.informer import Informer
from conntrack_operator.lease import Lease
from conntrack_operator.pacing import Backoff, Doorbell, SlowBell
from conntrack_operator.reconcile import Reconciler
from conntrack_operator.rows import conntrack_node_row, node_row, only_numbers
from conntrack_operator.store import highest_epoch
from conntrack_operator.transport import Transport

logger = logging.getLogger("conntrack_operator")

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_KINDS_MISSING: Final = 3

RELEASE_SECONDS: Final = 3
"""What giving back the lease may take at the end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run until told to stop.

    Args:
        arguments: The command line without the program; ``None``: that of the process.

    Returns:
        0 after SIGTERM or SIGINT, 2 for an option that does not hold, 3 when the CRDs
        are missing, 1 for everything else.
    """
    try:
        chosen = config.read(vars(config.parser().parse_args(arguments)), os.environ)
    except ConfigInvalid as error:
        print(f"conntrack-operator: {error}", file=sys.stderr)
        return EXIT_USAGE
    logs.configure(chosen.log_format, chosen.log_level)
    try:
        asyncio.run(_supervise(chosen))
    except KindsMissing as error:
        logger.error("%s", error)  # noqa: TRY400 - a sentence, not a traceback
        return EXIT_KINDS_MISSING
    except (OperatorError, OSError) as error:
        logger.error("stopped: %s", error)  # noqa: TRY400
        return EXIT_FAILED
    except Exception:
        logger.exception("stopped by an error of ours")
        return EXIT_FAILED
    logger.info("stopped")
    return EXIT_OK


async def _supervise(chosen: Config) -> None:
    """
    Find the API server, wait until it answers, then run the parts.
    """
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    credentials = Credentials(
        kubeconfig=chosen.kubeconfig, context=chosen.context, clock=time.monotonic
    )
    await credentials.access()
    ports.check("--liveness-port", chosen.liveness_port)
    ports.check("--metrics-port", chosen.metrics_port)
    async with Transport(credentials) as transport:
        namespace = chosen.namespace or access.namespace(DEFAULT_NAMESPACE)
        cluster = ApiCluster(transport, namespace=namespace)
        await _first(stop.wait(), _until_served(cluster))
        if not stop.is_set():
            logger.info("starting")
            lease, parts = _parts(chosen, cluster, credentials)
            try:
                await _first(stop.wait(), *parts)
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RELEASE_SECONDS):
                        await lease.release()


async def _until_served(cluster: ApiCluster) -> None:
    """
    Wait for the API server; a cluster that lacks our kinds is an error at once.
    """
    backoff = Backoff(_chance())
    while True:
        try:
            return await cluster.check_kinds()
        except ClusterError as error:
            logger.warning("no answer yet: %s", error)
        await asyncio.sleep(backoff.next())


def _parts(
    chosen: Config, cluster: ApiCluster, credentials: Credentials
) -> tuple[Lease, tuple[Coroutine[Any, Any, None], ...]]:
    """
    Wire everything together.

    Returns:
        The lease, to be given back at the end, and what runs for ever: two informers,
        the lease, the reconciler, the keeper of the agents if there is a template, and
        kopf, which takes over the signals and ends when one comes.
    """
    clock, sleep, now = time.monotonic, asyncio.sleep, lambda: datetime.now(UTC)
    bell = Doorbell(clock)
    slow = SlowBell(bell, asyncio.get_running_loop().call_later)
    nodes = Informer(
        cluster.nodes(),
        node_row,
        kind="Node",
        ring=lambda *_: bell.ring(),
        clock=clock,
        sleep=sleep,
        random=_chance(),
    )
    conntrack_nodes = Informer(
        cluster.conntrack_nodes(),
        conntrack_node_row,
        kind="ConntrackNode",
        ring=lambda *rows: (slow if only_numbers(*rows) else bell).ring(),
        clock=clock,
        sleep=sleep,
        random=_chance(),
    )
    identity: Any = f"{socket.gethostname()}_{uuid.uuid4()}"
    lease = Lease(
        cluster.lease(),
        identity,
        floor=partial(highest_epoch, conntrack_nodes),
        ring=bell.ring,
        clock=clock,
        sleep=sleep,
        now=now,
    )
    agents = chosen.agents and Agents(
        cluster.daemons(*chosen.agents),
        policies=cluster.policies,
        ring=bell.ring,
        epoch=lambda: lease.epoch,
        backoff=Backoff(_chance()),
        clock=clock,
        sleep=sleep,
    )
    reconciler = Reconciler(
        cluster,
        agents=agents or None,
        nodes=nodes,
        conntrack_nodes=conntrack_nodes,
        bell=bell,
        backoff=Backoff(_chance()),
        clock=clock,
        sleep=sleep,
        now=now,
        epoch=lambda: lease.epoch,
    )

    def progress() -> dict[str, float]:
        return {
            "the watch of the Nodes": nodes.last_progress,
            "the watch of the ConntrackNodes": conntrack_nodes.last_progress,
            "the reconciler": reconciler.last_progress,
            "the lease": lease.last_progress,
            **({"the agents' keeper": agents.last_progress} if agents else {}),
        }

    ring = reconciler.policies_changed
    port = chosen.liveness_port
    shell = kopf.operator(
        registry=handlers.registry(ring, credentials, progress, clock),
        settings=handlers.settings(),
        identity=identity,  # else it asks for the name of our uid, which may have none
        clusterwide=True,
        liveness_endpoint=f"http://0.0.0.0:{port}/healthz" if port else None,
    )
    loops: tuple[Coroutine[Any, Any, None], ...] = (
        *(nodes.run(), conntrack_nodes.run(), lease.run(), reconciler.run()),
        *([agents.run()] if agents else []),
    )
    if chosen.metrics_port:
        served = metrics.serve(chosen.metrics_port, reconciler.current_figures)
        return lease, (*loops, served, shell)
    return lease, (*loops, shell)


async def _first(*parts: Coroutine[Any, Any, object]) -> None:
    """
    Run all parts until one ends, then end the others.

    Raises:
        Exception: What ended the first one, if it failed.
    """
    tasks = [asyncio.create_task(each) for each in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _chance() -> Random:
    """
    Give a source of randomness; it spreads load and guards nothing.
    """
    return Random()  # noqa: S311


if __name__ == "__main__":
    sys.exit(main())
