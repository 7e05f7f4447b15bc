"""
What can go wrong on the cluster side::

    OperatorError
    ├── ConfigInvalid          an option or an environment variable does not hold
    ├── KindsMissing           the CRDs are not installed
    └── ClusterError           the API server's answer, or none
        ├── NotFound           404
        ├── Conflict           409: somebody was faster
        ├── Gone               410: the version or the continue token is too old
        ├── Invalid            400, 422: this content will never be accepted
        ├── Forbidden          401, 403
        └── Unavailable        429, 5xx, no answer, or one that cannot be read

`cluster` translates, once; nobody above it sees a status code or an exception of the
HTTP library.
"""


class OperatorError(Exception):
    """Base of everything that the operator raises on purpose."""


class ConfigInvalid(OperatorError):
    """An option or an environment variable does not hold."""


class KindsMissing(OperatorError):
    """The API server does not serve our kinds."""


class ClusterError(OperatorError):
    """The API server said no, or nothing."""


class NotFound(ClusterError):
    """There is no such object, or no such kind."""


class Conflict(ClusterError):
    """The object is not, or no longer, the one that was meant."""


class Gone(ClusterError):
    """The version to continue from is no longer known: list again."""


class Invalid(ClusterError):
    """The content breaks a rule: sending it again is pointless."""


class Forbidden(ClusterError):
    """We may not do this: rights or credentials are missing."""


class Unavailable(ClusterError):
    """No usable answer; worth trying again later."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """
        Keep the server's wish for a pause.

        Args:
            message: What happened.
            retry_after: Seconds from the ``Retry-After`` header, if it was given.
        """
        super().__init__(message)
        self.retry_after = retry_after


def from_status(
    code: int, message: str, retry_after: float | None = None
) -> ClusterError:
    """
    Give the error of an HTTP status code, or of the code in a ``Status`` object.

    Args:
        code: 400 or more; anything unknown counts as `Unavailable`.
        message: The server's words.
        retry_after: Seconds to wait, if the server said so.

    Returns:
        The error, to be raised by the caller.
    """
    leaves: dict[int, type[ClusterError]] = {
        400: Invalid,
        401: Forbidden,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Gone,
        422: Invalid,
    }
    text = f"{code}: {message}" if message else str(code)
    if code in leaves:
        return leaves[code](text)
    return Unavailable(text, retry_after=retry_after)
