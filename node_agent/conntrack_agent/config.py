"""
Flags and environment variables to one frozen dataclass.

Each value has a flag and a variable; the flag wins. A value that does not hold is
refused with its name, what was found and what is allowed.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Final

from conntrack_agent.command_line import START, parser
from conntrack_agent.errors import ConfigError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's token and CA."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be said to the agent."""

    node: str
    """Name of this node, and of its ConntrackNode."""
    server: str
    """URL of the API server."""
    ca_file: Path
    """CA bundle that signs the API server's certificate."""
    token_file: Path
    """Bearer token; read anew for every request."""
    host_root: Path
    """Directory with the host's ``proc`` and ``sys``."""
    sysctl_net: Path | None
    """Where the host's ``/proc/sys/net`` is mounted, if elsewhere."""
    sys_module: Path | None
    """Where the host's ``/sys/module`` is mounted, if elsewhere."""
    host_files: Path | None
    """Directory with the host's ``etc``, ``run`` and ``usr``; ``None``: not read."""
    state_dir: Path
    """Directory of the journal; must outlive the pod."""
    observe_seconds: float
    """Pause between two looks at the kernel."""
    start_seconds: float
    """Within so many seconds the first request to the API server comes."""
    log_format: str
    """``json`` or ``text``."""
    kernel_log: bool
    """Whether the kernel's log may be read for a hint; needs CAP_SYSLOG."""
    metrics_address: tuple[str, int] | None
    """Where metrics are served; ``None``: nowhere, and nothing is imported for it."""

    @property
    def mounts(self) -> dict[str, Path]:
        """
        Give the host folders that are mounted elsewhere.
        """
        pairs = {"proc/sys/net": self.sysctl_net, "sys/module": self.sys_module}
        return {name: path for name, path in pairs.items() if path is not None}


def load(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Config:
    """
    Read flags and environment.

    Args:
        arguments: The command line without the program's name.
        environ: The environment.

    Returns:
        The configuration, every value checked.

    Raises:
        ConfigError: A value that is missing or does not hold, by name.
    """
    flags = vars(parser().parse_args(arguments))

    def value(name: str, default: str = "") -> str:
        variable = f"CONNTRACK_AGENT_{name.upper()}"
        return flags.get(name) or environ.get(variable) or default

    node = value("node")
    if not _NAME.fullmatch(node):
        raise ConfigError(
            f"--node: found {node!r}, must be the name of this Node: lower-case "
            "letters, digits, '-' and '.', at most 253"
        )
    return Config(
        node=node,
        server=_server(value("server"), environ),
        ca_file=Path(value("ca_file", str(SERVICE_ACCOUNT / "ca.crt"))),
        token_file=Path(value("token_file", str(SERVICE_ACCOUNT / "token"))),
        host_root=_directory("--host-root", value("host_root", "/")),
        sysctl_net=_sysctl_net(value("sysctl_net")),
        sys_module=_mount("--sys-module", value("sys_module")),
        host_files=_mount("--host-files", value("host_files")),
        state_dir=Path(value("state_dir", "/var/lib/conntrack-operator")),
        observe_seconds=_seconds(
            "--observe-seconds", value("observe_seconds", "5"), 0.1, 60
        ),
        start_seconds=_seconds(
            "--start-seconds", value("start_seconds", str(START)), 0, 600
        ),
        log_format=_choice("--log-format", value("log_format", "json"), "json", "text"),
        kernel_log=_choice("--kernel-log", value("kernel_log", "off"), "read", "off")
        == "read",
        metrics_address=_address(value("metrics_address")),
    )


def _server(given: str, environ: Mapping[str, str]) -> str:
    """
    Take the URL given, or make it of what the kubelet puts into a pod's environment.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    if not given and host:
        shown = f"[{host}]" if ":" in host else host
        given = f"https://{shown}:{environ.get('KUBERNETES_SERVICE_PORT', '443')}"
    if not re.fullmatch(r"https://[^/\s]+/?", given):
        raise ConfigError(
            f"--server: found {given!r}, must be a URL such as https://10.0.0.1:443 "
            "(in a pod it comes from KUBERNETES_SERVICE_HOST)"
        )
    return given.rstrip("/")


def _directory(name: str, given: str) -> Path:
    """
    Check that a directory is there: a missing mount must not look like no settings.
    """
    path = Path(given)
    if not path.is_dir():
        raise ConfigError(
            f"{name}: found {given!r}, must be a directory that exists; in a pod it is "
            "a mount of the host's"
        )
    return path


def _mount(name: str, given: str) -> Path | None:
    """
    Check a folder that may be mounted elsewhere.
    """
    return _directory(name, given) if given else None


def _sysctl_net(given: str) -> Path | None:
    """
    Check that it is that folder: any other looks as if nothing were tracked here.

    Source:
        Linux, ``net/core/sysctl_net_core.c``: every network namespace has ``core``.
    """
    path = _mount("--sysctl-net", given)
    if path and not (path / "core").is_dir():
        raise ConfigError(
            f"--sysctl-net: found {given!r}, must be the host's /proc/sys/net, which "
            "has a folder core"
        )
    return path


def _seconds(name: str, given: str, least: float, most: float) -> float:
    """
    Read a number of seconds.
    """
    try:
        number = float(given)
    except ValueError:
        number = nan
    if not least <= number <= most:
        raise ConfigError(
            f"{name}: found {given!r}, must be a number from {least} to {most}"
        )
    return number


def _address(given: str) -> tuple[str, int] | None:
    """
    Read where to serve metrics; empty is nowhere.
    """
    if not given:
        return None
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):([0-9]{1,5})", given)
    if not found or not 1 <= int(found[2]) <= 65535:  # noqa: PLR2004 - ports
        raise ConfigError(
            f"--metrics-address: found {given!r}, must be a host and a port such as "
            "127.0.0.1:9464"
        )
    return found[1].strip("[]"), int(found[2])


def _choice(name: str, given: str, *allowed: str) -> str:
    """
    Check an enumeration.
    """
    if given not in allowed:
        raise ConfigError(f"{name}: found {given!r}, must be {' or '.join(allowed)}")
    return given
