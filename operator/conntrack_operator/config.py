"""
The configuration: environment variables, overruled by options.

====================================  ==============  =================================
variable                              option          meaning, default
====================================  ==============  =================================
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
====================================  ==============  =================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from conntrack_operator.errors import ConfigInvalid

PREFIX: Final = "CONNTRACK_OPERATOR_"
"""Of every variable."""

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

    kubeconfig: str | None = None
    context: str | None = None
    log_format: LogFormat = LogFormat.JSON
    log_level: LogLevel = LogLevel.INFO
    liveness_port: int = 8080
    """0: no probe is served."""


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

    default = Config()
    return Config(
        kubeconfig=find("kubeconfig")[1],
        context=find("context")[1],
        log_format=_choice(*find("log_format"), default.log_format),
        log_level=_choice(*find("log_level"), default.log_level),
        liveness_port=_port(*find("liveness_port"), default.liveness_port),
    )


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
