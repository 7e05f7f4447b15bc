"""
Shortage: how many agents run, and why some do not.

Computes only: folds what Kubernetes says about the DaemonSet and some of its pods into
counts, a word and a sentence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from conntrack_api.conditions import ConditionStatus, PolicyCondition, PolicyReason
from conntrack_api.policy_status import AgentCounts, PolicyStatus
from conntrack_operator.rows import Json

MAX_REASON: Final = 64
MAX_MESSAGE: Final = 512
MAX_SENTENCE: Final = 1024
"""Characters, as in the CRD; the last of a condition's message."""

NO_TEMPLATE: Final = "NoTemplate"
REFUSED: Final = "WriteRefused"
NOT_READY: Final = "NotReady"

_PULL: Final = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""A kubelet goes to and fro between them; a status must not."""

_CRASHED: Final = "CrashLoopBackOff"
"""What a kubelet says of a container that ended, in turns with how it ended."""


class Why(NamedTuple):
    """Why an agent does not run."""

    reason: str
    message: str


def counts(live: Json | None) -> AgentCounts | None:
    """
    Count the agents that a DaemonSet speaks of.

    Returns:
        Without a reason. ``None`` while its status is about a former version.
    """
    if live is None:
        return AgentCounts()
    status = live.get("status") or {}
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return None
    expected = status.get("desiredNumberScheduled", 0)
    ready = min(expected, status.get("numberReady", 0))
    return AgentCounts(expected=expected, running=ready, missing=expected - ready)


def uncreated(live: Json | None) -> bool:
    """
    Tell whether there are nodes for which not even a pod could be created.
    """
    status = (live or {}).get("status") or {}
    wanted, there = (
        status.get(key, 0)
        for key in ("desiredNumberScheduled", "currentNumberScheduled")
    )
    return bool(there < wanted)


def explain(events: Sequence[Json], pods: Iterable[Json]) -> Why:
    """
    Say why agents are missing, by what is worst.

    Args:
        events: Why pods could not be created, in any order.
        pods: Some that are not ready, in any order.
    """
    if events:
        last = max(events, key=lambda each: str(each.get("lastTimestamp") or ""))
        return Why(str(last.get("reason", "")), str(last.get("message", "")))
    found = sorted(each for each in map(_of_pod, pods) if each is not None)
    return found[0] if found else Why(NOT_READY, "Their pods are not ready yet.")


def with_reason(counted: AgentCounts, why: Why | None) -> AgentCounts:
    """
    Complete counts with a reason, if there is one, as long as the CRD allows.
    """
    if why is None:
        return counted
    return replace(
        counted, reason=why.reason[:MAX_REASON], message=why.message[:MAX_MESSAGE]
    )


def with_agents(status: PolicyStatus, agents: AgentCounts | None) -> PolicyStatus:
    """
    Complete a policy's status with the agents.

    Where the policy waits for nodes, its conditions say that agents are missing, too.
    """
    if agents is None or not agents.reason:
        return replace(status, agents=agents)
    what = f"{agents.missing} of {agents.expected} agents of the cluster are missing"
    text = f" {what}: {agents.reason}: {agents.message}"
    waiting = {PolicyReason.ROLLING_OUT, PolicyReason.NODES_FAILED}
    said = tuple(
        replace(each, message=(each.message + text)[:MAX_SENTENCE])
        if each.reason in waiting and _open(each.type, each.status)
        else each
        for each in status.conditions
    )
    return replace(status, agents=agents, conditions=said)


def _open(type_: str, status: ConditionStatus) -> bool:
    """
    Tell whether a condition speaks of nodes that are not done.
    """
    return type_ == PolicyCondition.RECONCILING or (
        type_ == PolicyCondition.READY and status is not ConditionStatus.TRUE
    )


def _of_pod(pod: Json) -> Why | None:
    """
    Say why one pod is not ready; ``None`` when it does not say.
    """
    status = pod.get("status") or {}
    for each in status.get("conditions") or ():
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return Why(str(each.get("reason", "")), str(each.get("message", "")))
    where = (pod.get("spec") or {}).get("nodeName", "")
    for each in status.get("containerStatuses") or ():
        state = each.get("state") or {}
        waiting = state.get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if state.get("terminated"):
            reason = _CRASHED
        if reason in _PULL:
            text = f"node {where}: the image {each.get('image')} cannot be pulled."
            return Why("ImagePullBackOff", text)
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            text = _last_words(each) or str(waiting.get("message") or reason)
            return Why(reason, f"node {where}: {text}")
    reason = str(status.get("reason") or "")
    return Why(reason, f"node {where}: {status.get('message', '')}") if reason else None


def _last_words(container: Json) -> str:
    """
    Say how a container ended: the last line that it left, else what the kubelet knows.

    Returns:
        Empty for one that never ran.
    """
    state, last = container.get("state") or {}, container.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated")
    if not ended:
        return ""
    lines = str(ended.get("message") or "").strip().splitlines()
    how = f"{ended.get('reason') or 'Ended'}, exit code {ended.get('exitCode')}"
    return lines[-1] if lines else how
