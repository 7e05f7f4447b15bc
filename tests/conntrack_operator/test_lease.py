import logging

import pytest

from conntrack_operator.errors import ClusterError, Conflict, Forbidden, Unavailable
from conntrack_operator.lease import DURATION_SECONDS, STOP_SECONDS, Lease
from conntrack_operator.testing import NOW, FakeLease, FakeTime


class Operators:
    """Operators that share one lease and one clock."""

    def __init__(self) -> None:
        """Start with no operator."""
        self.lease = FakeLease()
        self.time = FakeTime()
        self.floor: int | None = 0
        self.rings = 0

    def start(self, identity: str) -> Lease:
        """Start an operator."""
        return Lease(
            self.lease,
            identity,
            floor=lambda: self.floor,
            ring=self._ring,
            clock=self.time.clock,
            sleep=self.time.sleep,
            now=lambda: NOW,
        )

    def pass_time(self, seconds: float) -> None:
        """Let some time pass."""
        self.time.now += seconds

    def _ring(self) -> None:
        """Count a ring."""
        self.rings += 1

    async def live(self, *operators: Lease, seconds: float) -> None:
        """Let some operators try once a second."""
        for _ in range(int(seconds)):
            for each in operators:
                await each.step()
            self.time.now += 1


@pytest.fixture
def operators() -> Operators:
    """Give a cluster where nobody has the lease."""
    return Operators()


async def test_first_operator_takes_it(operators: Operators) -> None:
    """Nothing may be written before the lease is ours; then the bell rings."""
    one = operators.start("one")
    before = one.epoch

    await one.step()

    assert before is None
    assert (1, 1) == (one.epoch, operators.rings)
    assert operators.lease.truth is not None
    assert ("one", 15) == (
        operators.lease.truth.holder,
        operators.lease.truth.seconds,
    )


async def test_second_operator_waits(operators: Operators) -> None:
    """While the first one renews, the second one never writes."""
    one, two = operators.start("one"), operators.start("two")

    await operators.live(one, two, seconds=100)

    assert (1, None) == (one.epoch, two.epoch)


async def test_at_most_one_at_any_instant(operators: Operators) -> None:
    """The first one stops before the second one begins, and the epoch grows."""
    one, two = operators.start("one"), operators.start("two")
    await operators.live(one, two, seconds=1)
    began = operators.time.now
    ended = taken = 0.0

    while two.epoch is None:  # the first one hangs, and the second one goes on
        await operators.live(two, seconds=1)
        ended = ended or (operators.time.now - began if one.epoch is None else 0.0)
        taken = operators.time.now - began

    assert STOP_SECONDS - 2 <= ended <= STOP_SECONDS < DURATION_SECONDS <= taken
    assert 2 == two.epoch
    await operators.live(one, two, seconds=30)
    assert (None, 2) == (one.epoch, two.epoch)


async def test_late_answer_counts_from_the_question(operators: Operators) -> None:
    """A renewal lasts from when it was asked for, not from when it was answered."""
    one = operators.start("one")
    operators.lease.on_the_way = lambda: operators.pass_time(STOP_SECONDS)

    await one.step()

    assert one.epoch is None


async def test_outage_stops_writes_and_ends(operators: Operators) -> None:
    """Without an answer we stop in time, and go on under the same epoch after it."""
    one = operators.start("one")
    await one.step()

    operators.lease.answers = [Unavailable("503") for _ in range(12)]
    await operators.live(one, seconds=12)
    assert one.epoch is None
    await operators.live(one, seconds=1)

    assert 1 == one.epoch


@pytest.mark.parametrize("seconds", [DURATION_SECONDS, 10 * DURATION_SECONDS])
async def test_lost_lease_is_said(
    operators: Operators, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """Who reads the log learns once that nothing is written, and when that is over."""
    caplog.set_level(logging.INFO, logger="conntrack_operator.lease")
    one = operators.start("one")
    await one.step()
    operators.lease.answers = [Unavailable("503") for _ in range(int(seconds))]

    await operators.live(one, seconds=seconds + 1)

    said = [each.getMessage() for each in caplog.records]
    lost = "the lease is lost, nothing is written"
    assert ["the lease is ours", lost, "the lease is ours"] == [
        each for each in said if "503" not in each
    ]


async def test_given_back(operators: Operators) -> None:
    """An operator that ends lets the next one begin at once."""
    one, two = operators.start("one"), operators.start("two")
    await operators.live(one, two, seconds=1)

    await one.release()
    assert one.epoch is None
    await two.step()

    assert 2 == two.epoch


@pytest.mark.parametrize("error", [Conflict("409"), Forbidden("403")])
async def test_race_for_the_lease(operators: Operators, error: ClusterError) -> None:
    """Who loses the race, or may not write, has no leave to write."""
    one = operators.start("one")
    operators.lease.answers = [error]

    await one.step()

    assert one.epoch is None


async def test_lease_that_was_taken_from_us(operators: Operators) -> None:
    """When somebody else has written the lease, we have lost it, at once."""
    one, two = operators.start("one"), operators.start("two")
    await one.step()
    assert operators.lease.truth is not None
    operators.lease.truth = None
    await two.step()

    await one.step()

    assert one.epoch is None


async def test_deleted_lease_does_not_start_again_at_one(operators: Operators) -> None:
    """The nodes still know the last epoch; the next one is above it."""
    operators.floor = 7
    one = operators.start("one")

    await one.step()

    assert 8 == one.epoch


async def test_nothing_is_taken_before_the_nodes_are_known(
    operators: Operators,
) -> None:
    """Which epoch is too low is known only when the nodes have been read."""
    operators.floor = None
    one = operators.start("one")

    await one.step()

    assert (None, None) == (one.epoch, operators.lease.truth)
