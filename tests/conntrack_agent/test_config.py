"""Flags and variables: what is missing or does not hold is said by name."""

from pathlib import Path

import pytest

from conntrack_agent import VERSION
from conntrack_agent.config import load
from conntrack_agent.errors import ConfigError

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


def test_a_pod_needs_its_node_only() -> None:
    """Everything else comes from where the kubelet puts it."""
    config = load(["--node", "n1"], POD)

    assert ("n1", "https://10.0.0.1:6443") == (config.node, config.server)
    assert Path("/") == config.host_root
    assert "serviceaccount/token" in str(config.token_file)
    assert (5.0, "json", {}) == (
        config.observe_seconds,
        config.log_format,
        config.mounts,
    )


def test_an_address_of_version_6_gets_its_brackets() -> None:
    """The environment has the bare address."""
    config = load(["--node", "n1"], {"KUBERNETES_SERVICE_HOST": "fd00::1"})

    assert "https://[fd00::1]:443" == config.server


def test_flags_win_over_variables(tmp_path: Path) -> None:
    """Every flag has a variable of the same name."""
    environ = {
        **POD,
        "CONNTRACK_AGENT_NODE": "from-variable",
        "CONNTRACK_AGENT_OBSERVE_SECONDS": "7",
        "CONNTRACK_AGENT_SYSCTL_NET": str(tmp_path),
    }
    (tmp_path / "core").mkdir()

    config = load(["--node", "from-flag"], environ)

    assert ("from-flag", 7.0) == (config.node, config.observe_seconds)
    assert {"proc/sys/net": tmp_path} == config.mounts


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", None),
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_metrics_are_off_unless_an_address_is_given(
    given: str, expected: tuple[str, int] | None
) -> None:
    """Nothing listens by default."""
    config = load(["--node", "n1", "--metrics-address", given], POD)

    assert expected == config.metrics_address


@pytest.mark.parametrize(
    ("given", "expected"), [("", False), ("off", False), ("read", True)]
)
def test_the_kernel_log_is_left_alone_unless_asked(
    given: str, *, expected: bool
) -> None:
    """It needs a right of its own."""
    environ = {**POD, "CONNTRACK_AGENT_KERNEL_LOG": given}

    assert expected is load(["--node", "n1"], environ).kernel_log


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--metrics-address", "9464", "must be a host and a port"),
        ("--metrics-address", ":9464", "must be a host and a port"),
        ("--metrics-address", "127.0.0.1:0", "must be a host and a port"),
        ("--metrics-address", "127.0.0.1:65536", "must be a host and a port"),
        ("--metrics-address", "::1:9464", "must be a host and a port"),
        ("--node", "", "must be the name of this Node"),
        ("--node", "Upper", "must be the name of this Node"),
        ("--node", "../n1", "must be the name of this Node"),
        ("--node", "a" * 254, "must be the name of this Node"),
        ("--server", "http://10.0.0.1", "must be a URL such as https://"),
        ("--server", "https://a/b", "must be a URL such as https://"),
        ("--server", "https://a b", "must be a URL such as https://"),
        ("--host-root", "/does/not/exist", "must be a directory that exists"),
        ("--sysctl-net", "/does/not/exist", "must be a directory that exists"),
        ("--sys-module", "/does/not/exist", "must be a directory that exists"),
        ("--observe-seconds", "0", "must be a number from 0.1 to 60"),
        ("--observe-seconds", "61", "must be a number from 0.1 to 60"),
        ("--observe-seconds", "-1", "must be a number from 0.1 to 60"),
        ("--observe-seconds", "nan", "must be a number from 0.1 to 60"),
        ("--observe-seconds", "inf", "must be a number from 0.1 to 60"),
        ("--observe-seconds", "soon", "must be a number from 0.1 to 60"),
        ("--log-format", "xml", "must be json or text"),
        ("--kernel-log", "yes", "must be read or off"),
        ("--start-seconds", "-1", "must be a number from 0 to 600"),
        ("--start-seconds", "nan", "must be a number from 0 to 600"),
    ],
)
def test_a_value_that_does_not_hold(flag: str, value: str, allowed: str) -> None:
    """The sentence has the flag, the value found and what is allowed."""
    arguments = ["--node=n1", f"{flag}={value}"]

    with pytest.raises(ConfigError) as caught:
        load(arguments, POD)

    assert str(caught.value).startswith(f"{flag}: found ")
    assert value[:20] in str(caught.value)
    assert allowed in str(caught.value)


def test_another_folder_in_the_place_of_the_sysctls(tmp_path: Path) -> None:
    """It would look like a kernel without connection tracking."""
    with pytest.raises(ConfigError) as caught:
        load(["--node=n1", f"--sysctl-net={tmp_path}"], POD)

    said = f"--sysctl-net: found {str(tmp_path)!r}, must be the host's /proc/sys/net"
    assert str(caught.value).startswith(said)


def test_outside_a_pod_the_server_is_required() -> None:
    """The sentence says where it would come from."""
    with pytest.raises(ConfigError, match=r"--server.*KUBERNETES_SERVICE_HOST"):
        load(["--node", "n1"], {})


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its default or with what it is for."""
    with pytest.raises(SystemExit) as caught:
        load(["--help"], {})

    assert 0 == caught.value.code
    shown = capsys.readouterr().out
    for flag in (
        "--node NAME",
        "--server URL",
        "--ca-file FILE",
        "--token-file FILE",
        "--host-root DIR",
        "--sysctl-net DIR",
        "--sys-module DIR",
        "--state-dir DIR",
        "--observe-seconds N",
        "--log-format json|text",
        "--version",
        "CONNTRACK_AGENT_STATE_DIR",
    ):
        assert flag in shown


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """One word."""
    with pytest.raises(SystemExit):
        load(["--version"], {})

    assert f"{VERSION}\n" == capsys.readouterr().out


@pytest.mark.parametrize("argument", ["--nod=n1", "--unknown", "extra"])
def test_flags_are_not_guessed(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An abbreviation of today is another flag tomorrow."""
    with pytest.raises(SystemExit) as caught:
        load(["--node=n1", argument], POD)

    assert 2 == caught.value.code
    assert argument in capsys.readouterr().err
