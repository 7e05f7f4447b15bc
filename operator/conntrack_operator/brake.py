"""
Brake: an absence moves no node before it was seen twice.

What an absence may ask for is a removal, or another policy's numbers for a node whose
own policy has vanished; both are called a change here.

Computes only, but remembers since when each change has been wanted. The first
sighting is what the informers hold; the second is a fresh read, which `writer` does
right before it writes. Here is decided how much time must lie between them.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Final

from conntrack_operator.decide import Decision
from conntrack_operator.plan import Delete
from conntrack_operator.rows import PolicyRow

MASS_PERCENT: Final = 30
"""Share of all objects above which a change must be wanted for a while."""

MASS_NODES: Final = 3
"""So many may always go at once: in a small cluster each node is a large share."""

CONFIRM_SECONDS: Final = 5.0
"""Between the two sightings of a mass of changes."""

STALE_SECONDS: Final = 60.0
"""What the garbage collector gets to remove the object of a former Node."""


class Brake:
    """Remembers since when each change has been wanted."""

    def __init__(self) -> None:
        """
        Start with nothing wanted.
        """
        self._since: dict[tuple[str, bool, str], float] = {}

    def release(
        self,
        doubtful: Iterable[Decision],
        policies: Iterable[PolicyRow],
        *,
        objects: int,
        now: float,
    ) -> tuple[list[Decision], float | None]:
        """
        Say which changes may be confirmed and written now.

        A change is explicit when the policy is there that governed the node, and says
        that it is being deleted. If all that are not explicit are many, or no policy
        is left at all, something may be wrong with what we see, and they have to wait.

        Args:
            doubtful: All that are wanted at present.
            policies: All that there are.
            objects: How many ConntrackNodes there are.
            now: Seconds on a clock that never goes back.

        Returns:
            The changes, and the seconds after which held ones may go.
        """
        rows = {row.uid: row for row in policies}
        wanted = {_key(each): each for each in doubtful}
        self._since = {key: self._since.get(key, now) for key in wanted}
        implicit = [each for each in wanted.values() if not _explicit(each, rows)]
        many = len(implicit) > max(MASS_NODES, objects * MASS_PERCENT / 100)
        suspicious = {_key(each) for each in implicit} if many or not rows else set()
        released: list[Decision] = []
        waits: list[float] = []
        for key, decision in wanted.items():
            stale = _stale(decision)
            pause = STALE_SECONDS if stale else CONFIRM_SECONDS
            left = self._since[key] + pause - now
            if (stale or key in suspicious) and left > 0:
                waits.append(left)
            else:
                released.append(decision)
        return released, min(waits, default=None)

    def forget(self, names: Container[str]) -> None:
        """
        Start anew for nodes whose change a fresh read did not confirm.

        Args:
            names: Of these nodes.
        """
        self._since = {
            key: since for key, since in self._since.items() if key[0] not in names
        }


def _key(decision: Decision) -> tuple[str, bool, str]:
    """
    Name a change: the node, whether it is a former Node's object, and who takes it.

    A node that was to move to another policy for a while has not been without any for
    that long.
    """
    return (
        decision.node.name,
        _stale(decision),
        decision.policy.uid if decision.policy else "",
    )


def _stale(decision: Decision) -> bool:
    """
    Tell whether an object is that of a former Node.
    """
    return isinstance(decision.plan, Delete) and decision.plan.stale


def _explicit(decision: Decision, rows: Mapping[str, PolicyRow]) -> bool:
    """
    Tell whether the policy that governed the node says that it is being deleted.

    The object of a former Node is not a change of this kind: the Node is gone.
    """
    current = decision.current
    if _stale(decision):
        return True
    if current is None or current.spec is None:
        return False
    policy = rows.get(current.spec.policy_ref.uid)
    return policy is not None and policy.deleting
