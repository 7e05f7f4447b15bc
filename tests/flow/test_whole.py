"""
A policy becomes kernel values and comes back as status; and nothing that dies on the
way changes a value or makes anything be written twice.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from demo.rehearsal import Audit, Cluster, until

pytestmark = pytest.mark.apiserver

OUTAGE_SECONDS = float(os.environ.get("CONNTRACK_OUTAGE_SECONDS", "3"))
"""How long the API server stays away; the length of an outage is no condition."""


@contextmanager
def nothing_written(cluster: Cluster, audit: Audit) -> Iterator[None]:
    """
    Make sure that neither a kernel nor an object is written meanwhile.
    """
    kernels, objects = cluster.kernel_writes(), audit.writes()
    yield
    assert kernels == cluster.kernel_writes()
    assert objects == audit.writes()


def sees_status(cluster: Cluster) -> None:
    """
    Prove that every part is alive: an edit goes all the way and comes back.
    """
    before = cluster.values()
    wanted = str(int(before[0]["nf_conntrack_icmp_timeout"]) + 1)
    cluster.apply(table={"maxEntries": 524288}, timeouts={"icmp": int(wanted)})
    cluster.wait_ready()
    expected = [{**each, "nf_conntrack_icmp_timeout": wanted} for each in before]
    assert expected == cluster.values()


def test_policy_reaches_both_bucket_paths(cluster: Cluster) -> None:
    """
    The same policy sets the buckets by the sysctl where that can be written, and by
    the module parameter where it cannot; the other file is left alone.
    """
    old, new = cluster.values()

    assert ("524288", "20") == (
        old["nf_conntrack_max"],
        old["nf_conntrack_icmp_timeout"],
    )
    assert ("524288", "20") == (
        new["nf_conntrack_max"],
        new["nf_conntrack_icmp_timeout"],
    )
    assert ("131072", "65536") == (old["hashsize"], old["nf_conntrack_buckets"])
    assert ("65536", "131072") == (new["hashsize"], new["nf_conntrack_buckets"])
    paths = [
        cluster.get("conntracknode", each.name)["status"]["facts"]["bucketsPath"]
        for each in cluster.members
    ]
    assert ["ModuleParameter", "Sysctl"] == paths


def test_objects_belong_to_their_nodes(cluster: Cluster) -> None:
    """
    Each node's object is named like its Node and owned by it.
    """
    for member in cluster.members:
        node = cluster.get("node", member.name)
        owners = cluster.get("conntracknode", member.name)["metadata"][
            "ownerReferences"
        ]

        assert [("Node", member.name, node["metadata"]["uid"])] == [
            (each["kind"], each["name"], each["uid"]) for each in owners
        ]


def test_agent_killed(cluster: Cluster, audit: Audit) -> None:
    """
    An agent that is killed and started again writes nothing that is there already,
    and follows the next edit.
    """
    with nothing_written(cluster, audit):
        cluster.agents[0].kill()
        cluster.agents[0] = cluster.cast.start_agent(cluster.members[0])
        until(lambda: "in step" in cluster.agents[0].tail(), "the first pass is over")

    sees_status(cluster)


def test_operator_killed(cluster: Cluster, audit: Audit) -> None:
    """
    An operator that is killed and started again finds everything as it should be and
    writes nothing; then it serves the next edit.
    """
    with nothing_written(cluster, audit):
        cluster.operator.kill()
        cluster.operator = cluster.cast.start_operator()
        until(lambda: "in step" in cluster.operator.tail(), "the first pass is over")

    sees_status(cluster)


def test_edit_while_the_operator_is_away(cluster: Cluster) -> None:
    """
    An edit made while nobody listens is served by the next operator.
    """
    cluster.operator.kill()
    cluster.apply(table={"maxEntries": 524288}, timeouts={"icmp": 100})

    cluster.operator = cluster.cast.start_operator()
    cluster.wait_ready()

    assert ["100", "100"] == [
        each["nf_conntrack_icmp_timeout"] for each in cluster.values()
    ]


def test_api_server_away(cluster: Cluster, audit: Audit) -> None:
    """
    While the API server is away the kernels keep their values; when it is back, all
    parts find their way by themselves and nothing is written twice.
    """
    with nothing_written(cluster, audit):
        cluster.plane.stop_apiserver()
        time.sleep(OUTAGE_SECONDS)
        cluster.plane.start_apiserver()

    sees_status(cluster)


def test_wait_does_not_return_on_the_old_generation(cluster: Cluster) -> None:
    """
    ``kubectl wait`` right after an edit returns when the kernels have it, not before.
    """
    for seconds in range(200, 205):
        cluster.apply(table={"maxEntries": 524288}, timeouts={"icmp": seconds})
        cluster.wait_ready()

        assert [str(seconds)] * 2 == [
            each["nf_conntrack_icmp_timeout"] for each in cluster.values()
        ]


def test_agent_away_is_not_ready(cluster: Cluster) -> None:
    """
    A policy is not Ready while one node has not answered the present generation.
    """
    cluster.agents[1].kill()
    cluster.apply(table={"maxEntries": 524288}, timeouts={"icmp": 300})
    until(
        lambda: cluster.values()[0]["nf_conntrack_icmp_timeout"] == "300",
        "the living node follows",
    )

    def counts() -> tuple[int, int, int]:
        nodes = cluster.get("conntrackpolicy", "everything")["status"]["nodes"]
        return nodes["matched"], nodes["updated"], nodes["progressing"]

    until(lambda: counts() == (2, 1, 1), "one node updated, one progressing")
    cluster.agents[1] = cluster.cast.start_agent(cluster.members[1])
    cluster.wait_ready()

    assert (2, 2, 0) == counts()


def test_full_table_grows_and_says_so(cluster: Cluster) -> None:
    """
    When the fill passes the threshold the agent grows the table by itself; node and
    policy say so, and an edit with the same numbers leaves it as large as it became.
    """
    member = cluster.members[1]
    count = member.root / "proc/sys/net/netfilter/nf_conntrack_count"
    table = {"maxEntries": 20_000, "growth": {"atPercent": 80, "factor": 2}}
    cluster.apply(table=table, timeouts={"icmp": 30})
    cluster.wait_ready()

    count.write_text("17000\n")
    until(
        lambda: (
            cluster.get("conntracknode", member.name)["status"]["table"].get(
                "grownFrom"
            )
            == 20_000
        ),
        "the node says that it has grown",
    )
    until(
        lambda: (
            cluster.get("conntrackpolicy", "everything")["status"]["nodes"]["grown"]
            == 1
        ),
        "the policy counts it",
    )
    assert ["20000", "40000"] == [each["nf_conntrack_max"] for each in cluster.values()]
    cluster.apply(table=table, timeouts={"icmp": 31})
    cluster.wait_ready()

    assert [("20000", "31"), ("40000", "31")] == [
        (each["nf_conntrack_max"], each["nf_conntrack_icmp_timeout"])
        for each in cluster.values()
    ]
