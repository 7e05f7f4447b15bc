"""The agent on this machine's own kernel, in namespaces that vanish with the test."""

from pathlib import Path

import pytest

from conntrack_agent.agent import Agent
from conntrack_agent.diff import diff
from conntrack_agent.enforce import Kernel
from conntrack_agent.observations import (
    BUCKETS,
    HASHSIZE,
    INITIAL_NAMESPACE_ONLY,
    LIMIT,
)
from conntrack_agent.observe import observe
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import BucketsPath, NodeMode
from conntrack_api.settings import TIMEOUTS, rounded_buckets

pytestmark = pytest.mark.root
NOW = "2026-01-01T00:00:00Z"
MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"


@pytest.fixture(autouse=True)
def unharmed() -> object:
    """The size of this machine's table is the same before and after."""
    files = [Path(f"/{each}") for each in (LIMIT, BUCKETS)]
    before = [each.read_text() if each.exists() else "" for each in files]
    yield
    assert before == [each.read_text() if each.exists() else "" for each in files]


def test_timeouts_are_this_namespace_s_own(namespace_kernel: Kernel) -> None:
    """The agent sets and proves every timeout that this kernel has, then reverts."""
    seen = observe(namespace_kernel)
    wish = {each.name: 1234 for each in TIMEOUTS if each.name in seen.values}
    clock = FakeClock()
    agent = Agent(namespace_kernel, FakeJournal(), clock=clock)

    agent.accept(conntrack_node(node_spec(wish)))
    status = agent.pass_once(NOW)

    assert status is not None
    ready = find(status.conditions, NodeCondition.READY)
    assert ready is not None
    assert ("Applied", ()) == (ready.reason, status.failures)
    after = observe(namespace_kernel)
    assert wish == {name: after.values[name] for name in wish}

    revert = node_spec({}, mode=NodeMode.REVERT, revision="r2")
    agent.accept(conntrack_node(revert, generation=2))
    agent.pass_once(NOW)
    assert seen.values == observe(namespace_kernel).values


def test_what_a_security_module_refuses_is_said(guarded_kernel: Kernel) -> None:
    """Neither uid 0 nor the mode helps; the file and the errno are named."""
    before = observe(guarded_kernel).values
    agent = Agent(guarded_kernel, FakeJournal(), clock=FakeClock())

    agent.accept(conntrack_node(node_spec({ESTABLISHED: 1234})))
    status = agent.pass_once(NOW)

    assert status is not None
    ready = find(status.conditions, NodeCondition.READY)
    assert ready is not None
    assert ("False", "WriteRefused") == (ready.status, ready.reason)
    said = f"proc/sys/net/netfilter/{ESTABLISHED}: Permission denied (EACCES)"
    assert said in ready.message
    assert before == observe(guarded_kernel).values


def test_the_size_is_another_s(namespace_kernel: Kernel) -> None:
    """In a namespace of its own the agent does not even try to change the size."""
    seen = observe(namespace_kernel)
    if namespace_kernel.read(INITIAL_NAMESPACE_ONLY) is not None:
        pytest.skip("this kernel shows the first namespace's files everywhere")
    spec = node_spec({MAX: seen.values[MAX] + 1, ESTABLISHED: 86400})

    difference = diff(spec, seen)

    assert not seen.initial_namespace
    assert BucketsPath.NONE == seen.buckets_path
    assert [ESTABLISHED] == [each.setting for each in difference.changes]
    ((setting, reason),) = [(e.setting, e.reason) for e in difference.refusals]
    assert (MAX, "NotInInitialNamespace") == (setting, reason)


def test_read_only_buckets_are_written_through_the_module(
    read_only_kernel: Kernel,
) -> None:
    """
    What kernels before 4.8 are like: the sysctl says no, the module parameter yes.

    Only the number that is there already is written, so nothing has to be restored
    even if this test is killed.
    """
    if not read_only_kernel.writable(HASHSIZE):
        pytest.skip("the module parameter cannot be written here")
    seen = observe(read_only_kernel)
    present = seen.values[HASH]
    assert present == rounded_buckets(present, seen.host.page_bytes)

    assert not read_only_kernel.writable(BUCKETS)
    assert seen.initial_namespace
    assert BucketsPath.MODULE_PARAMETER == seen.buckets_path
    (change,) = diff(node_spec({HASH: present + 1}), seen).changes
    assert HASHSIZE == change.file

    read_only_kernel.write(HASHSIZE, present)
    assert f"{present}" == (read_only_kernel.read(HASHSIZE) or "").strip()
    assert present == observe(read_only_kernel).values[HASH]
