"""
Switches: words in a policy, numbers in a kernel.
"""

from __future__ import annotations

from dataclasses import fields

import pytest

from conntrack_api.codec import policy_from_object, to_object
from conntrack_api.errors import InvalidObject
from conntrack_api.flags import Events, Flags, LogInvalid, Switch
from conntrack_api.hints import camel
from conntrack_api.settings import FLAGS


def test_each_field_is_its_row() -> None:
    """
    Fields and rows are in the same order, and every word is known to both.
    """
    names = [f"flags.{camel(each.name)}" for each in fields(Flags)]

    assert [row.field for row in FLAGS] == names
    words = {tuple(row.words) for row in FLAGS} - {()}
    assert words == {tuple(each) for each in (Switch, Events, LogInvalid)}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {}),
        ({"tcpLoose": "Disabled"}, {"nf_conntrack_tcp_loose": 0}),
        ({"tcpBeLiberal": "Enabled"}, {"nf_conntrack_tcp_be_liberal": 1}),
        (
            {"tcpIgnoreInvalidRst": "Enabled"},
            {"nf_conntrack_tcp_ignore_invalid_rst": 1},
        ),
        ({"tcpMaxRetrans": 0}, {"nf_conntrack_tcp_max_retrans": 0}),
        ({"accounting": "Enabled"}, {"nf_conntrack_acct": 1}),
        ({"timestamps": "Enabled"}, {"nf_conntrack_timestamp": 1}),
        ({"checksum": "Disabled"}, {"nf_conntrack_checksum": 0}),
        ({"logInvalid": "ICMPv6"}, {"nf_conntrack_log_invalid": 58}),
        ({"logInvalid": "All"}, {"nf_conntrack_log_invalid": 255}),
        ({"events": "Auto"}, {"nf_conntrack_events": 2}),
        (
            {"events": "Disabled", "tcpLoose": "Enabled", "checksum": None},
            {"nf_conntrack_tcp_loose": 1, "nf_conntrack_events": 0},
        ),
    ],
)
def test_words_become_numbers(
    said: dict[str, object], expected: dict[str, int]
) -> None:
    """
    A flag that is not said is left alone; what was said is said again.
    """
    policy = policy_from_object({"spec": {"nodeSelector": {}, "flags": said}})

    assert policy.spec.flags is not None
    assert expected == policy.spec.flags.settings()
    kept = {key: value for key, value in said.items() if value is not None}
    assert kept == to_object(policy.spec)["flags"]


@pytest.mark.parametrize(
    "said",
    [
        {"tcpLoose": "Auto"},
        {"tcpLoose": True},
        {"tcpLoose": 1},
        {"tcpMaxRetrans": 256},
        {"tcpMaxRetrans": -1},
        {"tcpMaxRetrans": "3"},
        {"logInvalid": 6},
        {"logInvalid": "tcp"},
        {"events": "enabled"},
        {"helper": "Enabled"},
    ],
)
def test_other_words_are_refused_by_name(said: dict[str, object]) -> None:
    """
    The answer names the field.
    """
    with pytest.raises(InvalidObject, match=f"spec.flags.{next(iter(said))}"):
        policy_from_object({"spec": {"nodeSelector": {}, "flags": said}}, strict=True)
