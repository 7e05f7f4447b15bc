"""
``kill -9`` of the operator at its writes of the agents' DaemonSet: before and after.

The DaemonSet is real and its controller is not there, so no pod is ever made.
"""

import asyncio
from collections import Counter
from typing import Final

import yaml

from conntrack_operator.testing import pod_template
from demo.cast import NAMESPACE
from faults.gate import HungUp, Write
from faults.kills import Moment, Outcome
from faults.scenarios import nothing_more
from faults.stage import DEADLINE, Stage

NAME: Final = "agent"
AGENTS: Final = ("--agents", f"{NAMESPACE}/{NAME}")
WRITES: Final = ("create", "replace")
"""The two writes that there are; the second one when another policy selects nodes."""

_GENERATION: Final = (
    *("get", "daemonset", NAME, f"--namespace={NAMESPACE}", "--ignore-not-found"),
    "--output=jsonpath={.metadata.generation}",
)
_OTHER: Final = {
    "apiVersion": "conntrack.dev/v1alpha1",
    "kind": "ConntrackPolicy",
    "metadata": {"name": "other"},
    "spec": {"nodeSelector": {"matchLabels": {"fleet": "no"}}},
}
_READ: Final = {"apiGroups": [""], "resources": ["podtemplates"], "verbs": ["get"]}
_LIST: Final = {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]}
_WRITE: Final = {
    "apiGroups": ["apps"],
    "resources": ["daemonsets"],
    "verbs": ["create", "get", "update"],
}


async def prepare(on: Stage) -> None:
    """
    Give the operator a template, and leave to work with it.
    """
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME}
    account = {"kind": "ServiceAccount", "name": "conntrack-operator"}
    where = {"name": NAME, "namespace": NAMESPACE}
    rbac = "rbac.authorization.k8s.io/v1"
    objects = [
        {
            "apiVersion": rbac,
            "kind": "Role",
            "metadata": where,
            "rules": [_READ, _LIST, _WRITE],
        },
        {
            "apiVersion": rbac,
            "kind": "RoleBinding",
            "metadata": where,
            "roleRef": role,
            "subjects": [{**account, "namespace": NAMESPACE}],
        },
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            **pod_template(),
            "metadata": where,
        },
    ]
    await on.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))


async def killed(on: Stage, verb: str, moment: Moment) -> Outcome:
    """
    Kill the operator at a write of the DaemonSet, and let another one take over.

    Args:
        on: After `prepare`, with one operator, which looks after no agents.
        verb: One of `WRITES`.
        moment: Before or after the write.
    """
    (idle,) = on.operators
    leader = await on.start_operator(*AGENTS)
    died = asyncio.Event()

    def kill(write: Write) -> None:
        if write.kind == "agents" and not died.is_set():
            on.kill(leader)
            died.set()
            raise HungUp

    def lie_in_wait() -> None:
        on.count_anew()
        if moment == "before":
            leader.gate.before = kill
        else:
            leader.gate.after = kill

    if verb == "create":
        lie_in_wait()
    on.kill(idle)
    await on.free_lease()
    if verb == "replace":
        await _generation(on, 1)
        lie_in_wait()
        await on.kubectl("apply", "-f", "-", given=yaml.safe_dump(_OTHER))
    before = on.fleet.specs_written
    async with asyncio.timeout(DEADLINE):
        await died.wait()
    await on.free_lease()
    second = await on.start_operator(*AGENTS)
    await _generation(on, WRITES.index(verb) + 1)
    await nothing_more(on)
    sent: Counter[str] = Counter()
    for gate in (leader.gate, second.gate):
        sent += Counter(write.kind for write in gate.seen.writes)
    found = await on.kubectl(*_GENERATION)
    await on.kubectl("delete", "daemonset", NAME, f"--namespace={NAMESPACE}")
    await on.kubectl("delete", "conntrackpolicy", "other", "--ignore-not-found")
    return Outcome(
        fault=f"{moment} the {verb} of the DaemonSet",
        told=on.fleet.specs_written - before,
        most=on.fleet.most,
        sent=sent,
        end=f"generation {found}",
    )


async def _generation(on: Stage, number: int) -> None:
    """
    Wait until the DaemonSet was written so many times.
    """
    async with asyncio.timeout(DEADLINE):
        while await on.kubectl(*_GENERATION) != str(number):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def wrong(verb: str, moment: Moment, outcome: Outcome) -> str:
    """
    Say what of an outcome is not as without a fault; empty when nothing is.
    """
    if outcome.end != f"generation {WRITES.index(verb) + 1}":
        return f"ends with {outcome.end}"
    if outcome.told:
        return f"{outcome.told} specs written"
    tried = 2 if moment == "before" else 1
    if outcome.sent["agents"] != tried:
        return f"{outcome.sent['agents']} writes of the DaemonSet instead of {tried}"
    return ""
