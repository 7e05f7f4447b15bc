"""
What the tests of this and other packages build worlds from; no product code is here.
"""

from conntrack_operator.testing.builders import (
    AT_ONCE,
    CREATED,
    FACTS,
    MAX_ENTRIES,
    NOW,
    answered,
    conntrack_node,
    node,
    policy,
    policy_row,
    stamp,
    unreadable,
)
from conntrack_operator.testing.fake_cluster import FakeCluster
from conntrack_operator.testing.fake_daemons import FakeDaemons, pod_template
from conntrack_operator.testing.fake_lease import FakeLease
from conntrack_operator.testing.fake_store import FakeStore
from conntrack_operator.testing.fake_time import FakeTime
from conntrack_operator.testing.scripted_server import (
    Answer,
    ScriptedServer,
    Seen,
    Stream,
)
from conntrack_operator.testing.stepped_loop import stepped

__all__ = [
    "AT_ONCE",
    "CREATED",
    "FACTS",
    "MAX_ENTRIES",
    "NOW",
    "Answer",
    "FakeCluster",
    "FakeDaemons",
    "FakeLease",
    "FakeStore",
    "FakeTime",
    "ScriptedServer",
    "Seen",
    "Stream",
    "answered",
    "conntrack_node",
    "node",
    "pod_template",
    "policy",
    "policy_row",
    "stamp",
    "stepped",
    "unreadable",
]
