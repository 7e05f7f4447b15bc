from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conntrack_operator.access import Credentials
from conntrack_operator.testing import FakeTime


@pytest.fixture
def write_kubeconfig(tmp_path: Path) -> Callable[..., Path]:
    """Write a kubeconfig file for a server, as a person would have it."""

    def write(url: str, token: str = "first") -> Path:  # noqa: S107 - not one
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": "test"}}
            ],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def credentials_for(
    write_kubeconfig: Callable[..., Path],
) -> Callable[[str], Credentials]:
    """Give the credentials for a server, read from a kubeconfig file."""

    def give(url: str) -> Credentials:
        path = str(write_kubeconfig(url))
        return Credentials(kubeconfig=path, context=None, clock=FakeTime().clock)

    return give
