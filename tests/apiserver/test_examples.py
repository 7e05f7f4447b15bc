"""
The files that people copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from conntrack_api.codec import policy_from_object

if TYPE_CHECKING:
    from tests.apiserver.conftest import Api

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))

each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@each
def test_the_codec_reads_it(path: Path) -> None:
    """
    It holds without a server, also where unknown fields are refused.
    """
    for document in yaml.safe_load_all(path.read_text()):
        assert policy_from_object(document, strict=True).name


@pytest.mark.apiserver
@each
def test_the_api_server_would_create_it(path: Path, api: Api) -> None:
    """
    ``kubectl apply`` of the file as it is works.
    """
    for document in yaml.safe_load_all(path.read_text()):
        answer = api.send("POST", "conntrackpolicies", document, dryRun="All")

        assert (201, "") == (answer.code, answer.message)
