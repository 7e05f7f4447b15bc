"""
The rows of the table of settings that are switches: words for numbers.

Source: Linux, ``Documentation/networking/nf_conntrack-sysctl.rst``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from conntrack_api.setting import Setting, Unit

SWITCH: Final[Mapping[str, int]] = MappingProxyType({"Enabled": 1, "Disabled": 0})
"""The words of a plain switch."""

EVENTS: Final[Mapping[str, int]] = MappingProxyType({**SWITCH, "Auto": 2})
"""``Auto``: only while somebody listens; since Linux 5.19."""

LOGGED: Final[Mapping[str, int]] = MappingProxyType(
    {
        "Disabled": 0,
        "All": 255,
        "TCP": 6,
        "UDP": 17,
        "ICMP": 1,
        "ICMPv6": 58,
        "SCTP": 132,
        "GRE": 47,
    }
)
"""IP protocols by their numbers; 255 stands for all of them."""


def _switch(field: str, name: str, kernel_default: str, note: str) -> Setting:
    """
    Make the row of a plain switch.
    """
    return _words(field, name, kernel_default, note, SWITCH)


def _words(
    field: str, name: str, kernel_default: str, note: str, words: Mapping[str, int]
) -> Setting:
    """
    Make the row of a choice.
    """
    return Setting(
        name=f"nf_conntrack_{name}",
        field=f"flags.{field}",
        unit=Unit.WORD,
        minimum=0,
        maximum=max(words.values()),
        kernel_default=kernel_default,
        note=note,
        words=words,
    )


NF_CONNTRACK_EVENTS: Final = _words(
    "events",
    "events",
    "Auto (Enabled before 5.19)",
    "tell listeners about flows; Auto does so only while somebody listens",
    EVENTS,
)

TCP_IGNORE_INVALID_RST: Final = _switch(
    "tcpIgnoreInvalidRst",
    "tcp_ignore_invalid_rst",
    "Disabled",
    "do not call resets invalid that lie outside the window; since Linux 5.14",
)

FLAGS: Final[tuple[Setting, ...]] = (
    _switch(
        "tcpBeLiberal",
        "tcp_be_liberal",
        "Disabled",
        "call only resets invalid that lie outside the window, no other segment",
    ),
    _switch(
        "tcpLoose",
        "tcp_loose",
        "Enabled",
        "take on connections that are found in mid-stream",
    ),
    TCP_IGNORE_INVALID_RST,
    Setting(
        name="nf_conntrack_tcp_max_retrans",
        field="flags.tcpMaxRetrans",
        unit=Unit.SEGMENTS,
        minimum=0,
        maximum=255,
        kernel_default="3",
        note="unanswered segments after which timeouts.tcp.maxRetrans begins",
    ),
    _switch("accounting", "acct", "Disabled", "count packets and bytes of each flow"),
    _switch(
        "timestamps", "timestamp", "Disabled", "note when each flow began and ended"
    ),
    _switch(
        "checksum",
        "checksum",
        "Enabled",
        "call packets invalid whose checksum does not fit",
    ),
    _words(
        "logInvalid",
        "log_invalid",
        "Disabled",
        "log invalid packets of one protocol, or of all",
        LOGGED,
    ),
    NF_CONNTRACK_EVENTS,
)
"""Every switch, in the order of the policy's fields."""
