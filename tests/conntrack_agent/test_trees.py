"""One whole pass on each kernel family, from the wish to the answer."""

import errno
from pathlib import Path

import pytest

from conntrack_agent.agent import Agent
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observations import HASHSIZE, LEGACY_HASHSIZE
from conntrack_agent.stall import LONGEST_REST
from conntrack_agent.testing import (
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
    tree,
)
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import NodeMode
from conntrack_api.settings import BY_NAME

FIXTURES = Path(__file__).parent / "fixtures"
NOW = "2026-01-01T00:00:00Z"
MAX, BUCKETS = "nf_conntrack_max", "nf_conntrack_buckets"
WISH = {
    MAX: 98304,
    BUCKETS: 24576,
    "nf_conntrack_tcp_timeout_established": 86400,
    "nf_conntrack_udp_timeout": 45,
    "nf_conntrack_gre_timeout": 40,
    "nf_conntrack_dccp_timeout_open": 600,
    "nf_conntrack_tcp_loose": 0,
    "nf_conntrack_tcp_max_retrans": 5,
    "nf_conntrack_tcp_ignore_invalid_rst": 1,
    "nf_conntrack_acct": 1,
    "nf_conntrack_log_invalid": 6,
    "nf_conntrack_events": 0,
}
GRE, DCCP = "nf_conntrack_gre_timeout", "nf_conntrack_dccp_timeout_open"
RST, ACCT = "nf_conntrack_tcp_ignore_invalid_rst", "nf_conntrack_acct"
EVENTS = "nf_conntrack_events"

TREES = {
    "ip_conntrack-2.6": (
        {GRE, DCCP, RST, ACCT, EVENTS},
        "LegacyNames NoSysctlBuckets",
        "ProcStat",
    ),
    "linux-4.4": ({GRE, DCCP, RST}, "NoSysctlBuckets", "None"),
    "linux-4.15": ({GRE, RST}, "", "None"),
    "linux-5.4": ({RST}, "", "None"),
    "linux-5.10": ({RST}, "", "ProcStat"),
    "linux-5.15": (set(), "", "None"),
    "linux-6.1": (set(), "", "ProcStat"),
    "linux-6.8": (set(), "", "None"),
    "linux-6.12": (set(), "", "ProcStat"),
    "linux-7.2": ({DCCP}, "", "ProcStat"),
}
"""What each has not, in which it is unlike a usual host, and where it counts drops."""

cases = pytest.mark.parametrize(
    ("name", "without", "words", "counters"),
    [(name, *row) for name, row in TREES.items()],
)


def test_every_tree_is_here() -> None:
    """A tree that is captured is also used."""
    assert {each.name for each in FIXTURES.iterdir() if each.is_dir()} == set(TREES)


@cases
def test_a_wish_is_carried_out_proved_and_taken_back(
    name: str, without: set[str], words: str, counters: str, tmp_path: Path
) -> None:
    """Size, timeouts, facts and the way back; what a kernel has not is said by name."""
    root = tree(FIXTURES / name, tmp_path / "host")
    before = {each: each.read_text() for each in root.rglob("*") if each.is_file()}
    legacy = name.startswith("ip_")

    def shown(setting: str) -> int:
        row = BY_NAME[setting]
        file = root / "proc/sys/net" / (row.legacy_file if legacy else row.file)
        if setting == BUCKETS and "NoSysctlBuckets" in words:
            file = root / (LEGACY_HASHSIZE if legacy else HASHSIZE)
        return int(file.read_text())

    clock = FakeClock()
    agent = Agent(LinuxKernel(root), FakeJournal(), clock=clock)
    agent.accept(conntrack_node(node_spec(WISH)))
    status = agent.pass_once(NOW)

    assert status is not None
    ready = find(status.conditions, NodeCondition.READY)
    assert ready is not None
    assert ("True", "Applied") == (ready.status, ready.reason), ready.message
    assert without == {each.setting for each in status.failures}
    has = {setting: WISH[setting] for setting in WISH if setting not in without}
    assert has == {setting: shown(setting) for setting in has}
    assert status.facts is not None
    assert words.split() == list(status.facts.capabilities)
    assert counters == status.facts.counters
    assert (counters == "None") == (status.drops is None)
    assert status.table is not None
    assert (WISH[MAX], WISH[BUCKETS]) == (
        status.table.max_entries,
        status.table.buckets,
    )
    assert status.table.entries == status.table.peak_entries
    assert status.table.memory_bytes > WISH[BUCKETS] * 8

    back = node_spec({}, mode=NodeMode.REVERT, revision="r2")
    agent.accept(conntrack_node(back, generation=2))
    clock.sleep(LONGEST_REST)
    agent.pass_once(NOW)
    assert before == {each: each.read_text() for each in before}


@cases
def test_auto_is_refused_where_it_means_something_else(
    name: str, without: set[str], words: str, counters: str, tmp_path: Path
) -> None:
    """Old kernels would take the number and mean Enabled; the node says so instead."""
    del words, counters
    root = tree(FIXTURES / name, tmp_path / "host")
    agent = Agent(LinuxKernel(root), FakeJournal(), clock=FakeClock())

    agent.accept(conntrack_node(node_spec({EVENTS: 2})))
    status = agent.pass_once(NOW)

    assert status is not None
    ready = find(status.conditions, NodeCondition.READY)
    assert ready is not None
    if EVENTS in without:
        assert "this kernel has no nf_conntrack_events" in ready.message
    elif RST in without:
        assert "WriteRefused" == ready.reason
        assert "has no Auto for nf_conntrack_events, only Enabled" in ready.message
    else:
        assert "Applied" == ready.reason


def test_a_kernel_that_does_not_take_auto_is_explained() -> None:
    """5.14 to 5.18 answer with an error that says nothing to a person."""
    kernel = FakeKernel()
    kernel.write_errors[f"proc/sys/net/netfilter/{EVENTS}"] = errno.EINVAL
    agent = Agent(kernel, FakeJournal(), clock=FakeClock())

    agent.accept(conntrack_node(node_spec({EVENTS: 2})))
    status = agent.pass_once(NOW)

    assert status is not None
    (failure,) = status.failures
    assert "Invalid argument (EINVAL); this kernel (6.12.0-fake) has no Auto" in (
        failure.message
    )
