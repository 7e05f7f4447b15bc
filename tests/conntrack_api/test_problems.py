"""
What the codec says about objects that do not hold, and what it lets pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conntrack_api import API_VERSION
from conntrack_api.codec import (
    node_from_object,
    policy_from_object,
    policy_status_from_object,
)
from conntrack_api.durations import ALLOWED
from conntrack_api.errors import InvalidObject
from conntrack_api.node import NodeStatus
from conntrack_api.policy import LabelSelector, Mode
from conntrack_api.policy_status import PolicyStatus

if TYPE_CHECKING:
    from conntrack_api.errors import Problem


def problems(spec: object, *, strict: bool = True, **beside: object) -> list[Problem]:
    """
    Read a policy that does not hold, and give what is said about it.
    """
    obj = {"apiVersion": API_VERSION, "kind": "ConntrackPolicy", "spec": spec, **beside}
    with pytest.raises(InvalidObject) as caught:
        policy_from_object(obj, strict=strict)
    return list(caught.value.problems)


def test_every_problem_is_told_at_once() -> None:
    """
    A person mends a file once: each field, its value, and what it must be.
    """
    spec = {
        "priority": 5000,
        "mode": "enforce",
        "table": {"maxEntries": "1M", "size": 1},
        "timeouts": {"tcp": {"established": "5d"}, "generic": 0},
    }

    found = [str(each) for each in problems(spec)]

    selector = "an object with matchLabels, matchExpressions"
    duration = f"must be {ALLOWED}"
    fields = (
        "one of the fields maxEntries, sizing, entriesPerBucket, buckets, adjust, "
        "growth, maxStallMilliseconds"
    )
    assert [
        f"spec.nodeSelector: required, must be {selector}",
        "spec.priority: invalid value 5000, must be a whole number from -1000 to 1000",
        "spec.mode: invalid value 'enforce', must be one of Enforce, Observe",
        f"spec.table.size: invalid value 1, must be {fields}",
        "spec.table.maxEntries: invalid value '1M', must be a whole number",
        f"spec.timeouts.tcp.established: invalid value '5d', {duration}",
        f"spec.timeouts.generic: invalid value 0, {duration}",
    ] == found


def test_every_broken_rule_between_fields_is_told_at_once() -> None:
    """
    The rules that the CRD has in CEL are the ones of `PolicySpec.problems`.
    """
    spec = {
        "nodeSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
        "table": {"maxEntries": 8192, "buckets": 512, "entriesPerBucket": 4},
        "pressure": {"warnPercent": 96},
    }

    assert [
        "spec.nodeSelector.matchExpressions[0].values",
        "spec.table.entriesPerBucket",
        "spec.table.maxEntries",
        "spec.pressure.warnPercent",
    ] == [each.field for each in problems(spec)]


def test_a_long_value_is_cut_in_the_sentence() -> None:
    """
    A terminal shows the start of it.
    """
    (problem,) = problems({"nodeSelector": {}, "mode": "x" * 10_000})

    assert len(str(problem)) < 200


def test_strict_mode_is_for_people() -> None:
    """
    Unknown fields at every level, and other kinds, are refused.
    """
    spec = {"nodeSelector": {"pool": "a"}, "tabel": {}, "timeouts": {"udplite": 1}}

    found = problems(spec, kind="Deployment", apiVersion="apps/v1", extra=1)

    assert [
        "apiVersion",
        "kind",
        "extra",
        "spec.tabel",
        "spec.nodeSelector.pool",
        "spec.timeouts.udplite",
    ] == [each.field for each in found]


def test_metadata_of_another_shape_is_a_problem_in_strict_mode() -> None:
    """
    A file that a person wrote does not make the reader fail.
    """
    found = problems({"nodeSelector": {}}, metadata="edge")

    assert ["metadata"] == [each.field for each in found]


def test_tolerant_mode_is_for_what_a_newer_server_says() -> None:
    """
    Fields that we do not know are ignored at every level; what we know still counts.
    """
    spec = {
        "nodeSelector": {"matchFields": []},
        "mode": "Observe",
        "bypass": [{"name": "dns"}],
        "timeouts": {"udplite": {"stream": 1}, "udp": {"stream": 60, "burst": 2}},
    }

    read = policy_from_object({"spec": spec}).spec

    assert Mode.OBSERVE == read.mode
    assert {"nf_conntrack_udp_timeout_stream": 60} == read.timeouts
    assert LabelSelector() == read.node_selector


def test_a_value_that_we_do_not_know_is_a_problem_in_both_modes() -> None:
    """
    Guessing what a newer mode means would write to kernels; nothing is written instead.
    """
    spec = {"nodeSelector": {}, "mode": "Suggest"}

    assert ["spec.mode"] == [each.field for each in problems(spec, strict=False)]


def test_a_status_that_cannot_be_read_counts_as_nothing_said() -> None:
    """
    The next report replaces it; the spec is read all the same.
    """
    ref = {"name": "edge", "uid": "1", "generation": 1}
    spec = {"policyRef": ref, "nodeUID": "2", "revision": "3", "mode": "Observe"}
    status = {"observedGeneration": "soon"}

    assert NodeStatus() == node_from_object({"spec": spec, "status": status}).status
    assert PolicyStatus() == policy_status_from_object({"status": status})
    assert PolicyStatus() == policy_status_from_object({})


def test_a_node_is_not_told_numbers_outside_the_table() -> None:
    """
    A setting out of bounds makes the spec unreadable; an unknown one is the agent's.
    """
    ref = {"name": "edge", "uid": "1", "generation": 1}
    spec = {"policyRef": ref, "nodeUID": "2", "revision": "3", "mode": "Enforce"}
    settings = {"nf_conntrack_max": 0, "nf_conntrack_made_up": 0}

    with pytest.raises(InvalidObject) as caught:
        node_from_object({"spec": {**spec, "settings": settings}})

    assert (
        "spec.settings.nf_conntrack_max: invalid value 0, must be a whole number from"
        " 1024 to 2147483647" == str(caught.value)
    )
