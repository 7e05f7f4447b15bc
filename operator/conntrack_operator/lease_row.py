"""
The Lease object as a row, and back.
"""

from dataclasses import dataclass
from typing import Final

from conntrack_operator.rows import Json, metadata

LEASE_VERSION: Final = "coordination.k8s.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """The lease: who may write, and how often that has changed."""

    holder: str = ""
    """Empty: nobody."""
    transitions: int = 0
    seconds: int = 0
    renewed: str = ""
    """RFC 3339 with microseconds, by the holder's clock."""
    version: str = ""
    """Resource version; empty: there is no such object yet."""


def lease_row(obj: Json) -> LeaseRow:
    """
    Read a Lease.
    """
    spec = obj.get("spec") or {}
    return LeaseRow(
        holder=spec.get("holderIdentity") or "",
        transitions=spec.get("leaseTransitions") or 0,
        seconds=spec.get("leaseDurationSeconds") or 0,
        renewed=spec.get("renewTime") or "",
        version=metadata(obj).get("resourceVersion", ""),
    )


def lease_object(row: LeaseRow, name: str, namespace: str) -> Json:
    """
    Write a Lease as the API server wants it.
    """
    meta = {"name": name, "namespace": namespace}
    if row.version:
        meta["resourceVersion"] = row.version
    spec = {
        "holderIdentity": row.holder,
        "leaseTransitions": row.transitions,
        "leaseDurationSeconds": row.seconds,
        "renewTime": row.renewed,
    }
    return {
        "apiVersion": LEASE_VERSION,
        "kind": "Lease",
        "metadata": meta,
        "spec": spec,
    }
