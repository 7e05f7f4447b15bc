"""
Switches as people write them: words, which become the kernel's numbers.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Annotated

from conntrack_api.bounds import Range
from conntrack_api.switches import FLAGS


class Switch(StrEnum):
    """On or off."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Events(StrEnum):
    """Whether flows are told to listeners."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    AUTO = "Auto"


class LogInvalid(StrEnum):
    """Whose invalid packets are logged."""

    DISABLED = "Disabled"
    ALL = "All"
    TCP = "TCP"
    UDP = "UDP"
    ICMP = "ICMP"
    ICMPV6 = "ICMPv6"
    SCTP = "SCTP"
    GRE = "GRE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The switches of a policy; one that is ``None`` is left alone."""

    tcp_be_liberal: Switch | None = None
    tcp_loose: Switch | None = None
    tcp_ignore_invalid_rst: Switch | None = None
    tcp_max_retrans: Annotated[int, Range(0, 255)] | None = None
    accounting: Switch | None = None
    timestamps: Switch | None = None
    checksum: Switch | None = None
    log_invalid: LogInvalid | None = None
    events: Events | None = None

    def settings(self) -> dict[str, int]:
        """
        Give the kernel's names and numbers of those that are said.
        """
        said = zip(
            FLAGS, (getattr(self, each.name) for each in fields(self)), strict=True
        )
        return {
            row.name: row.words.get(value, value)
            for row, value in said
            if value is not None
        }
