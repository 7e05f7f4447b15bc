"""
The lease behind its API server: two verbs on one row.

Says which request each verb is; `transport` sends it. What a lease means is in `lease`.
"""

from typing import Final

from conntrack_operator.errors import NotFound
from conntrack_operator.lease_row import (
    LEASE_VERSION,
    LeaseRow,
    lease_object,
    lease_row,
)
from conntrack_operator.transport import Request, Transport

LEASE: Final = "conntrack-operator"
"""Name of the lease."""

LEASES: Final = f"/apis/{LEASE_VERSION}/namespaces/{{namespace}}/leases"
"""Where it is."""


class ApiLease:
    """One lease of an API server."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        """
        Say which one.

        Args:
            transport: Sends the requests.
            namespace: Where the lease is.
        """
        self._transport = transport
        self._namespace = namespace
        self._leases = LEASES.format(namespace=namespace)

    async def lease(self) -> LeaseRow | None:
        """
        Read the lease; ``None`` when there is none yet.
        """
        request = Request(path=f"{self._leases}/{LEASE}")
        try:
            return lease_row(await self._transport.call(request))
        except NotFound:
            return None

    async def put_lease(self, row: LeaseRow) -> LeaseRow:
        """
        Create the lease, or replace exactly the version that the row names.

        Raises:
            Conflict: Somebody has created or changed it meanwhile.
            NotFound: It is gone, or its namespace is.
        """
        method, path = "POST", self._leases
        if row.version:
            method, path = "PUT", f"{self._leases}/{LEASE}"
        body = lease_object(row, LEASE, self._namespace)
        request = Request(method=method, path=path, body=body)
        return lease_row(await self._transport.call(request))
