"""
The same policies through both gates: the API server's schema, and our codec.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from conntrack_api import API_VERSION
from conntrack_api.codec import policy_from_object
from conntrack_api.errors import InvalidObject
from conntrack_api.policy import KIND
from conntrack_api.settings import TIMEOUTS

if TYPE_CHECKING:
    from tests.apiserver.conftest import Answer, Api

Case = dict[str, Any]

FOLDER = Path(__file__).parent / "policies"


def table(name: str) -> list[Case]:
    """
    Read the cases of one file.
    """
    return list(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))


def policy(case: Case) -> Case:
    """
    Make a case's policy.
    """
    spec = dict(case.get("spec", {}))
    if not case.get("without_selector"):
        spec.setdefault("nodeSelector", {})
    plain: Case = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "case"},
        "spec": spec,
    }
    plain.update(case.get("object", {}))
    return plain


def expressions(count: int, values: int = 0) -> list[Case]:
    """
    Make many requirements, each with many values.
    """
    listed = [f"v{number}" for number in range(values)]
    operator = "In" if values else "Exists"
    one = {"key": "pool", "operator": operator, "values": listed}
    return [one] * count


def labels(count: int) -> dict[str, str]:
    """
    Make many labels.
    """
    return {f"key-{number}": "value" for number in range(count)}


LONG_KEY = f"{'a' * 253}/{'b' * 63}"

LARGE: list[Case] = [
    {"name": "most labels", "spec": {"nodeSelector": {"matchLabels": labels(32)}}},
    {
        "name": "most expressions with most values",
        "spec": {"nodeSelector": {"matchExpressions": expressions(32, 64)}},
    },
    {
        "name": "longest label key",
        "spec": {"nodeSelector": {"matchLabels": {LONG_KEY: "x"}}},
    },
    {
        "name": "every timeout",
        "spec": {
            "timeouts": {
                group: {
                    row.field.rpartition(".")[2]: 60
                    for row in TIMEOUTS
                    if row.field.startswith(f"timeouts.{group}.")
                }
                for group in ("tcp", "udp", "gre", "sctp", "dccp")
            }
        },
    },
    {"name": "longest name", "object": {"metadata": {"name": "a" * 253}}},
]

TOO_LARGE: list[Case] = [
    {
        "name": "one label too many",
        "spec": {"nodeSelector": {"matchLabels": labels(33)}},
        "field": "spec.nodeSelector.matchLabels",
        "says": ["32"],
    },
    {
        "name": "one expression too many",
        "spec": {"nodeSelector": {"matchExpressions": expressions(33)}},
        "field": "spec.nodeSelector.matchExpressions",
        "says": ["32"],
    },
    {
        "name": "one value too many",
        "spec": {"nodeSelector": {"matchExpressions": expressions(1, 65)}},
        "field": "spec.nodeSelector.matchExpressions[0].values",
        "says": ["64"],
    },
    {
        "name": "one character of a label key too many",
        "spec": {"nodeSelector": {"matchLabels": {f"a{LONG_KEY}": "x"}}},
        "field": "spec.nodeSelector.matchLabels",
        "says": ["label key"],
    },
    {
        "name": "timeout of a million digits",
        "spec": {"timeouts": {"generic": "9" * 1_000_000}},
        "field": "spec.timeouts.generic",
        "says": ["16"],
    },
]

ACCEPTED = table("accepted") + LARGE
REFUSED = table("refused") + TOO_LARGE
DIFFERENCES = table("differences")

accepted = pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case["name"])
refused = pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
different = pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case["name"])


def create(api: Api, case: Case) -> Answer:
    """
    Ask the API server whether it would create a case's policy.
    """
    return api.send("POST", "conntrackpolicies", policy(case), dryRun="All")


def refusal(case: Case) -> InvalidObject | None:
    """
    Ask the codec; ``None`` means that it accepts.
    """
    try:
        policy_from_object(policy(case), strict=True)
    except InvalidObject as error:
        return error
    return None


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    """
    The table is long, and a name says which case failed.
    """
    names = [case["name"] for case in ACCEPTED + REFUSED + DIFFERENCES]

    assert len(set(names)) == len(names)
    assert 70 <= len(names)


@pytest.mark.apiserver
@accepted
def test_the_api_server_accepts(case: Case, api: Api) -> None:
    """
    A policy that holds is created.
    """
    answer = create(api, case)

    assert (201, "") == (answer.code, answer.message)


@accepted
def test_the_codec_accepts(case: Case) -> None:
    """
    A policy that the API server creates is read by the codec.
    """
    assert refusal(case) is None


@pytest.mark.apiserver
@refused
def test_the_api_server_refuses(case: Case, api: Api) -> None:
    """
    A refusal names the field and says what is allowed.
    """
    answer = create(api, case)

    # The server writes a key of a map as `.pool` here and as `[pool]` there.
    message = re.sub(r"\[(\w*[a-z]\w*)\]", r".\1", answer.message)
    assert 400 <= answer.code < 500
    assert case["field"] in message
    for words in case.get("says", []):
        assert words in answer.message


@refused
def test_the_codec_refuses(case: Case) -> None:
    """
    What the API server refuses, the codec refuses, for the same field.
    """
    error = refusal(case)

    assert error is not None
    assert any(each.field.startswith(case["field"]) for each in error.problems)
    assert all(each.allowed for each in error.problems)


@pytest.mark.apiserver
@different
def test_the_api_server_differs(case: Case, api: Api) -> None:
    """
    The API server answers as the list of differences says.
    """
    assert (case["accepted_by"] == "server") == (create(api, case).code == 201)


@different
def test_the_codec_differs(case: Case) -> None:
    """
    The codec answers as the list of differences says, and there is a reason.
    """
    assert (case["accepted_by"] == "codec") == (refusal(case) is None)
    assert case["because"]
