"""Which entries are cut, and to what."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_agent import clamp
from conntrack_agent.changes import Findings
from conntrack_agent.clamp import Entry, Limits, limits, rule, too_long
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.observe import observe
from conntrack_agent.testing import ESTABLISHED, node_spec
from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.policy import ExistingEntries
from conntrack_api.settings import TIMEOUTS

FIELDS = {row.field.removeprefix("timeouts."): row.name for row in TIMEOUTS}
KNOWN = {row.name: 10 + number for number, row in enumerate(TIMEOUTS)}
"""Each timeout has a number of its own."""
MOST = rule(Limits(ours=KNOWN, known=KNOWN))
REPLIED, ASSURED = clamp.SEEN_REPLY, clamp.SEEN_REPLY | clamp.ASSURED
CLAMP = ExistingEntries.CLAMP
SPEC = replace(node_spec({ESTABLISHED: 600}), existing_entries=CLAMP)
DONE = Findings(applied_revision="r1")


def entry(
    protocol: int = 6,
    state: int = 0,
    status: int = ASSURED,
    remaining: int = 400_000,
) -> Entry:
    """An idle entry."""
    return Entry(
        key=b"",
        family=2,
        protocol=protocol,
        state=state,
        status=status,
        remaining=remaining,
    )


@pytest.mark.parametrize(
    ("found", "field"),
    [
        (entry(6, 1), "tcp.synSent"),
        (entry(6, 2), "tcp.synRecv"),
        (entry(6, 3), "tcp.established"),
        (entry(6, 4), "tcp.finWait"),
        (entry(6, 5), "tcp.closeWait"),
        (entry(6, 6), "tcp.lastAck"),
        (entry(6, 7), "tcp.timeWait"),
        (entry(6, 8), "tcp.close"),
        (entry(17, status=0), "udp.unreplied"),
        (entry(17), "udp.stream"),
        (entry(17, status=REPLIED), "udp.stream"),
        (entry(47, status=0), "gre.unreplied"),
        (entry(47), "gre.stream"),
        (entry(1), "icmp"),
        (entry(58), "icmpv6"),
        (entry(132, 1), "sctp.closed"),
        (entry(132, 4), "sctp.established"),
        (entry(132, 8), "sctp.heartbeatSent"),
        (entry(33, 1), "dccp.request"),
        (entry(33, 4), "dccp.open"),
        (entry(33, 7), "dccp.timeWait"),
        (entry(4), "generic"),
        (entry(89), "generic"),
    ],
)
def test_each_protocol_and_state_has_its_timeout(found: Entry, field: str) -> None:
    """Cut to the timeout of just that state, and to nothing when it is not ours."""
    name = FIELDS[field]

    assert KNOWN[name] == too_long(found, MOST)
    ours = {other: value for other, value in KNOWN.items() if other != name}
    assert 0 == too_long(found, rule(Limits(ours=ours, known=KNOWN)))
    assert 0 == too_long(replace(found, remaining=KNOWN[name]), MOST)


@pytest.mark.parametrize(
    "found",
    [
        entry(6, 3, ASSURED | clamp.FIXED_TIMEOUT),
        entry(6, 3, ASSURED | clamp.OFFLOAD),
        entry(6, 3, ASSURED | clamp.HW_OFFLOAD),
        entry(6, 3, ASSURED | clamp.DYING),
        entry(6),
        entry(6, 0),
        entry(6, 9),
        entry(132, 9),
        entry(33),
        entry(136),
    ],
)
def test_what_no_timeout_of_ours_rules_is_left_alone(found: Entry) -> None:
    """Fixed, offloaded and dying ones, unknown states, and UDP-Lite."""
    assert 0 == too_long(found, MOST)


def test_a_reply_alone_does_not_make_a_stream() -> None:
    """Such an entry may have either timeout, so only the longer one cuts it."""
    unreplied, stream = FIELDS["udp.unreplied"], FIELDS["udp.stream"]
    known, half = {unreplied: 300, stream: 120}, {stream: 120}
    answered = entry(17, status=REPLIED)

    assert 300 == too_long(answered, rule(Limits(ours=known, known=known)))
    assert 0 == too_long(answered, rule(Limits(ours=half, known=known)))
    assert 0 == too_long(answered, rule(Limits(ours=half, known=half)))


@given(
    protocol=st.sampled_from([1, 4, 6, 17, 33, 47, 58, 132, 136]),
    state=st.integers(0, 255),
    status=st.integers(0, 0xFFFF),
    remaining=st.integers(0, 2**32 - 1),
    known=st.dictionaries(st.sampled_from(sorted(KNOWN)), st.integers(-1, 2_147_483)),
    chosen=st.sets(st.sampled_from(sorted(KNOWN))),
)
def test_no_entry_is_ever_lengthened_or_ended(
    *,
    protocol: int,
    state: int,
    status: int,
    remaining: int,
    known: dict[str, int],
    chosen: set[str],
) -> None:
    """Whatever the kernel says, an entry gets less than it has, and some second."""
    ours = {name: value for name, value in known.items() if name in chosen}
    found = entry(protocol, state, status, remaining)

    seconds = too_long(found, rule(Limits(ours=ours, known=known)))

    assert 0 == seconds or 1 <= seconds < remaining
    assert 0 == seconds or seconds in ours.values()


def test_only_a_timeout_that_the_kernel_shows_cuts() -> None:
    """One that is asked for and not there yet, or was changed, is left out."""
    kernel = FakeKernel()
    spec = replace(SPEC, settings={ESTABLISHED: 600, FIELDS["icmp"]: 5})

    found = limits(spec, observe(kernel), DONE)

    assert found is not None
    assert {ESTABLISHED: 600} == found.ours
    assert set(KNOWN) == set(found.known)
    kernel.poke(f"proc/sys/net/netfilter/{ESTABLISHED}", 601)
    assert limits(spec, observe(kernel), DONE) is None


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (replace(SPEC, existing_entries=ExistingEntries.KEEP), DONE),
        (replace(SPEC, mode=NodeMode.OBSERVE), DONE),
        (replace(SPEC, mode=NodeMode.REVERT), DONE),
        (SPEC, replace(DONE, hold="")),
        (SPEC, replace(DONE, journal="the disk is full")),
        (SPEC, replace(DONE, soaking="kept in 3 s")),
        (SPEC, replace(DONE, rolled_back="the table is full")),
    ],
)
def test_nothing_is_cut_unless_the_values_are_there_to_stay(
    spec: NodeSpec, found: Findings
) -> None:
    """What is cut cannot be given back: not on hold, not on trial, not in Observe."""
    assert limits(SPEC, observe(FakeKernel()), DONE) is not None
    assert limits(spec, observe(FakeKernel()), found) is None


def test_nothing_is_cut_where_nothing_is_tracked() -> None:
    """The module is not loaded."""
    seen = replace(observe(FakeKernel()), entries=None)

    assert limits(SPEC, seen, DONE) is None
