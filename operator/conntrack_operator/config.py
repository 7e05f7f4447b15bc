"""
The configuration: environment variables, overruled by options.

====================================  ==============  =================================
variable                              option          meaning, default
====================================  ==============  =================================
``CONNTRACK_OPERATOR_AGENTS``         --agents        ``NAMESPACE/NAME`` of the
                                                      PodTemplate of which the agents'
                                                      DaemonSet is made; default: none,
                                                      agents are somebody else's
``CONNTRACK_OPERATOR_KUBECONFIG``     --kubeconfig    file with the cluster's address;
                                                      default: the pod's service
                                                      account, else a person's file
``CONNTRACK_OPERATOR_CONTEXT``        --context       context of that file; default: its
                                                      current one
``CONNTRACK_OPERATOR_LOG_FORMAT``     --log-format    ``json`` (default) or ``text``
``CONNTRACK_OPERATOR_LOG_LEVEL``      --log-level     ``debug``, ``info`` (default),
                                                      ``warning`` or ``error``
``CONNTRACK_OPERATOR_LIVENESS_PORT``  --liveness-port port of ``/healthz``; 0: none;
                                                      default: 8080
``CONNTRACK_OPERATOR_METRICS_PORT``   --metrics-port  port of ``/metrics`` and
                                                      ``/readyz``; default: 0, none
``CONNTRACK_OPERATOR_NAMESPACE``      --namespace     where the lease is; default: the
                                                      pod's, else conntrack-system
====================================  ==============  =================================
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, TypeVar

from conntrack_operator.errors import ConfigInvalid

PREFIX: Final = "CONNTRACK_OPERATOR_"
"""Of every variable."""

DEFAULT_NAMESPACE: Final = "conntrack-system"
"""Ours, outside of a pod."""

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
"""Source: RFC 1123 label, as Kubernetes asks of a namespace."""

_OF_A_SERVICE: Final = re.compile(
    r"(^|_)(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)$"
)
"""Source: Kubernetes, "Service", discovering services by environment variables."""

MAX_PORT: Final = 65535


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """From which level on there is a log line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What can be chosen from outside."""

    agents: tuple[str, str] | None = None
    """Namespace and name of a PodTemplate; ``None``: no agents are looked after."""
    kubeconfig: str | None = None
    context: str | None = None
    log_format: LogFormat = LogFormat.JSON
    log_level: LogLevel = LogLevel.INFO
    liveness_port: int = 8080
    """0: no probe is served."""
    metrics_port: int = 0
    """0: neither metrics nor readiness are served."""
    namespace: str | None = None
    """``None``: that of our pod, else `DEFAULT_NAMESPACE`."""


def parser() -> argparse.ArgumentParser:
    """
    Describe the options; their values are checked where the environment's are.
    """
    found = argparse.ArgumentParser(
        prog="conntrack-operator",
        description="Owns the connection-tracking table of every node of a cluster.",
        epilog="Each option has an environment variable: "
        f"{PREFIX}LOG_LEVEL=debug is --log-level=debug.",
    )
    add = found.add_argument
    add(
        "--agents",
        metavar="NAMESPACE/NAME",
        help="PodTemplate of the agents; default: none",
    )
    add("--kubeconfig", metavar="FILE", help="default: the pod's service account")
    add("--context", metavar="NAME", help="context of the kubeconfig file")
    add("--log-format", metavar="FORMAT", help="json or text; default: json")
    add(
        "--log-level",
        metavar="LEVEL",
        help="debug, info, warning or error; default: info",
    )
    add("--metrics-port", metavar="PORT", help="of /metrics and /readyz; default: none")
    add("--namespace", metavar="NAME", help="of the lease; default: the pod's own")
    add("--liveness-port", metavar="PORT", help="of /healthz; 0: none; default: 8080")
    return found


Choice = TypeVar("Choice", bound=StrEnum)


def read(options: Mapping[str, str | None], environ: Mapping[str, str]) -> Config:
    """
    Read the configuration.

    Args:
        options: Field name to value, as typed; ``None`` where it was not.
        environ: The environment. An empty variable counts as not set.

    Returns:
        The whole configuration.

    Raises:
        ConfigInvalid: With the key, the value, and what is allowed.
    """

    def find(name: str) -> tuple[str, str | None]:
        option, key = options.get(name), f"{PREFIX}{name.upper()}"
        if option is not None:
            return f"--{name.replace('_', '-')}", option
        return key, environ.get(key) or None

    _known(environ)
    default = Config()
    found = Config(
        agents=_object(*find("agents")),
        kubeconfig=find("kubeconfig")[1],
        context=find("context")[1],
        log_format=_choice(*find("log_format"), default.log_format),
        log_level=_choice(*find("log_level"), default.log_level),
        metrics_port=_port(*find("metrics_port"), default.metrics_port),
        namespace=_name(*find("namespace")),
        liveness_port=_port(*find("liveness_port"), default.liveness_port),
    )
    if found.metrics_port and found.metrics_port == found.liveness_port:
        keys = f"{find('metrics_port')[0]}, {find('liveness_port')[0]}"
        text = f"{keys}: both are {found.metrics_port}, must be two ports"
        raise ConfigInvalid(text)
    return found


def _known(environ: Mapping[str, str]) -> None:
    """
    Refuse a variable that would be ours if it were spelt right.

    What Kubernetes sets for Services, of our name in our namespace, is not one.
    """
    known = [f"{PREFIX}{each.name.upper()}" for each in fields(Config)]
    for key in sorted(environ.keys() - known):
        if key.startswith(PREFIX) and not _OF_A_SERVICE.search(key):
            text = f"{key}: unknown variable, must be one of {', '.join(known)}"
            raise ConfigInvalid(text)


def _choice(key: str, value: str | None, default: Choice) -> Choice:
    """
    Read one of a few words.
    """
    if value is None:
        return default
    try:
        return type(default)(value.lower())
    except ValueError:
        allowed = ", ".join(type(default))
        text = f"{key}: invalid value {value!r}, must be one of {allowed}"
        raise ConfigInvalid(text) from None


def _name(key: str, value: str | None) -> str | None:
    """
    Read the name of a namespace: it becomes part of a path.
    """
    if value is None or NAME.fullmatch(value):
        return value
    text = f"{key}: invalid value {value!r}, must be a DNS label such as kube-system"
    raise ConfigInvalid(text)


def _object(key: str, value: str | None) -> tuple[str, str] | None:
    """
    Read the namespace and the name of an object: they become parts of a path.
    """
    if value is None:
        return None
    namespace, _, name = value.partition("/")
    if NAME.fullmatch(namespace) and NAME.fullmatch(name):
        return namespace, name
    text = f"{key}: invalid value {value!r}, must be NAMESPACE/NAME, two DNS labels"
    raise ConfigInvalid(text)


def _port(key: str, value: str | None, default: int) -> int:
    """
    Read a TCP port.
    """
    if value is None:
        return default
    if value.isdecimal() and int(value) <= MAX_PORT:
        return int(value)
    text = (
        f"{key}: invalid value {value!r}, must be a whole number from 0 to {MAX_PORT}"
    )
    raise ConfigInvalid(text)
