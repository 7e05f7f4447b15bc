"""
Credentials as the official library reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes.config import incluster_config

from conntrack_operator.access import Credentials
from conntrack_operator.errors import ConfigInvalid
from control_plane.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_pod_sends_the_token_of_its_account_and_no_word_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The library puts a lower-case ``bearer`` before it; doubled, every request is 401.
    """
    token = tmp_path / "token"
    token.write_text("secret\n")
    certificate = tmp_path / "ca.crt"
    certificate.write_bytes(Authority().certificate)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(certificate))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    credentials = Credentials(kubeconfig=None, context=None, clock=lambda: 1.0)

    access = await credentials.access()

    assert ("https://192.0.2.1:443", "secret") == (access.server, access.token)


@pytest.mark.parametrize(
    "content",
    [None, "", "a: [", "apiVersion: v1", "clusters: 5\ncurrent-context: x", "[]"],
)
async def test_a_kubeconfig_that_cannot_be_read_is_named_in_one_line(
    content: str | None, tmp_path: Path
) -> None:
    """
    Whatever is in the file, or nothing: the error names it and has no second line.
    """
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    credentials = Credentials(kubeconfig=str(file), context="x", clock=lambda: 1.0)

    with pytest.raises(ConfigInvalid) as caught:
        await credentials.access()

    said = str(caught.value)
    assert str(file) in said
    assert 1 == len(said.splitlines())
