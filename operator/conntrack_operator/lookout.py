"""
Lookout: what there is of the agents, and why some are missing.

Reads and folds; `agents` decides and writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from conntrack_api.policy_status import AgentCounts
from conntrack_operator import daemon_set, shortage
from conntrack_operator.daemon_set import Template
from conntrack_operator.errors import ConfigInvalid
from conntrack_operator.rows import Json
from conntrack_operator.shortage import NO_TEMPLATE, Why


class Daemons(Protocol):
    """What is asked of the cluster."""

    async def template(self) -> Json | None:
        """
        Read the template; ``None`` when there is none.
        """

    async def daemon_set(self) -> Json | None:
        """
        Read the DaemonSet; ``None`` when there is none.
        """

    async def failures(self) -> Sequence[Json]:
        """
        List some events that say why a pod could not be created.
        """

    async def pods(self, selector: Json) -> Sequence[Json]:
        """
        List some pods that are not ready.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look has found."""

    template: Template | None
    """``None``: there is none, or nothing can be made of it; see `trouble`."""
    live: Json | None
    """The DaemonSet; ``None`` when there is none."""
    counted: AgentCounts
    trouble: Why | None
    """Why agents are missing or cannot be looked after."""


async def look(cluster: Daemons, former: Seen | None) -> Seen:
    """
    Look at everything.

    Args:
        cluster: Answers.
        former: What was found last; while Kubernetes has not counted anew after a
            change, its counts hold.

    Raises:
        ClusterError: Something was not answered.
    """
    template, trouble = await given(cluster)
    live = await cluster.daemon_set()
    counted = shortage.counts(live)
    if counted is None and former is not None:
        return Seen(
            template=template,
            live=live,
            counted=former.counted,
            trouble=trouble or former.trouble,
        )
    counted = counted or AgentCounts()
    if live is not None and counted.missing and trouble is None:
        lacking = shortage.uncreated(live)
        events = await cluster.failures() if lacking else ()
        labels = live["spec"]["selector"].get("matchLabels") or {}
        pods = () if events else await cluster.pods(labels)
        trouble = shortage.explain(events, pods)
    return Seen(template=template, live=live, counted=counted, trouble=trouble)


async def given(cluster: Daemons) -> tuple[Template | None, Why | None]:
    """
    Read the template, and say what is wrong when there is none to work with.
    """
    text = "There is no PodTemplate to make agents of."
    obj = await cluster.template()
    try:
        found = daemon_set.template(obj) if obj else None
    except ConfigInvalid as error:
        found, text = None, str(error)
    return found, None if found else Why(NO_TEMPLATE, text)
