"""
What can go wrong on a node::

    AgentError
    ├── KernelError               a setting could not be read or written
    │   ├── SettingMissing        this kernel, or this namespace, has no such file
    │   ├── SettingReadOnly       it is there and may not be written
    │   └── SettingRejected       the kernel did not take the value
    │       ├── ValueRefused      EINVAL, ERANGE: nor will it take it later
    │       └── OutOfMemory       ENOMEM: it may take it later
    ├── HostFileError             a configuration file could not be read to its end
    ├── JournalError              the directory on disk cannot be trusted or written
    ├── ClusterError              the API server's answer, translated
    │   ├── NotFound              404: no such object; says nothing about the kernel
    │   ├── Expired               410: the watch position is too old
    │   ├── Refused               401, 403: our token is not accepted
    │   ├── Invalid               400, 409, 422: this content will not be taken
    │   └── Unavailable           anything that may pass: 5xx, an answer that is none
    │       ├── Unreachable       nobody answered, or broke off
    │       └── Overloaded        429: too many requests
    └── ConfigError               a flag or a variable that does not hold

The edges translate once, by ``errno`` or by status code, and chain the cause; nothing
above them sees an ``OSError`` or an HTTP exception.
"""


class AgentError(Exception):
    """Base of everything the agent raises on purpose."""


class KernelError(AgentError):
    """A setting could not be read or written."""


class SettingMissing(KernelError):
    """This kernel, or this network namespace, has no such file."""


class SettingReadOnly(KernelError):
    """The file is there and may not be written."""


class SettingRejected(KernelError):
    """The kernel did not take the value."""


class ValueRefused(SettingRejected):
    """EINVAL or ERANGE: the kernel does not take this value, whenever it is written."""


class OutOfMemory(SettingRejected):
    """ENOMEM: there is not enough memory for the value now."""


class HostFileError(AgentError):
    """A configuration file of this host could not be read to its end."""


class JournalError(AgentError):
    """The journal cannot be trusted or written; nothing may be changed."""


class ClusterError(AgentError):
    """The API server's answer, translated."""

    longest_pause = 300.0
    """Ceiling of the pause after it, in seconds; see ``docs/decisions``, 12."""


class NotFound(ClusterError):
    """404: there is no such object. It says nothing about the kernel."""


class Expired(ClusterError):
    """410: the watch position is too old."""


class Refused(ClusterError):
    """401 or 403: our token is not accepted, or may not do this."""

    longest_pause = 60.0


class Invalid(ClusterError):
    """400, 409 or 422: this content will not be taken as it is."""


class Unavailable(ClusterError):
    """Something that may pass by itself."""

    longest_pause = 60.0

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """
        Keep what the server said about when to come back.

        Args:
            message: What happened.
            retry_after: Seconds from a ``Retry-After`` header; ``None`` without one.
        """
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Unavailable):
    """Nobody answered in time, or the answer broke off; a try costs nobody anything."""

    longest_pause = 30.0


class Overloaded(Unavailable):
    """429: the server works, and has too much to do."""

    longest_pause = 300.0


class ConfigError(AgentError):
    """A flag or a variable that does not hold; the text names it."""
