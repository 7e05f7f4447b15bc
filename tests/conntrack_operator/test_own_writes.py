from dataclasses import replace

from conntrack_operator.own_writes import LATEST_SECONDS, OwnWrites
from conntrack_operator.testing import conntrack_node
from conntrack_operator.transport import SILENCE_SECONDS

BEFORE = replace(conntrack_node("n1", spec=None), resource_version="9")
AFTER = replace(BEFORE, resource_version="10")


def test_write_is_awaited_while_a_watch_may_be_dead() -> None:
    """Its silence is noticed late, and a list follows; until then all is as written."""
    own = OwnWrites()
    own.wrote(AFTER, 0.0)

    own.settle({"n1": BEFORE}, SILENCE_SECONDS + 60)
    assert "n1" in own

    own.settle({"n1": AFTER}, SILENCE_SECONDS + 60)
    assert "n1" not in own


def test_write_that_was_given_up_may_arrive() -> None:
    """As long as the object is what it was, and the server may still be at it."""
    own = OwnWrites()
    own.gave_up(BEFORE, 0.0)

    own.settle({"n1": BEFORE}, LATEST_SECONDS - 1)
    assert "n1" in own.doubtful
    own.settle({"n1": AFTER}, LATEST_SECONDS - 1)
    assert "n1" not in own.doubtful

    own.gave_up(BEFORE, 0.0)
    own.settle({"n1": BEFORE}, LATEST_SECONDS)
    assert "n1" not in own.doubtful
