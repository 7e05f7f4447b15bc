"""
Spell the command lines of the programs.

Decides nothing about when: values in, argument lists out. Everything listens on the
loopback address only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from control_plane.layout import Layout

LOOPBACK = "127.0.0.1"

CONTROLLER_MANAGER_USER = "system:kube-controller-manager"
"""
The user that the roles made by the API server itself are bound to.
"""

_SERVICE_RANGE = "10.0.0.0/24"

SERVICE_ADDRESS = "10.0.0.1"
"""
First address of the service range: that of the `kubernetes` service.
"""

_ISSUER = "https://kubernetes.default.svc.cluster.local"


def etcd(binary: Path, layout: Layout, port: int) -> list[str]:
    """
    Spell the command line of etcd.

    Args:
        binary:
            The program.
        layout:
            Its files.
        port:
            Where it listens for clients; the port must be claimed for sharing.

    Returns:
        The arguments, program first.
    """
    url = f"http://{LOOPBACK}:{port}"
    return [
        str(binary),
        f"--data-dir={layout.etcd_data}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        # A cluster of one speaks to no peer: any port will do.
        f"--listen-peer-urls=http://{LOOPBACK}:0",
        "--socket-reuse-port=true",
        # Nothing has to survive this machine's power.
        "--unsafe-no-fsync=true",
        "--log-level=warn",
    ]


def kube_apiserver(
    binary: Path,
    layout: Layout,
    *,
    port: int,
    etcd_port: int,
    service_accounts: bool,
) -> list[str]:
    """
    Spell the command line of kube-apiserver.

    Args:
        binary:
            The program.
        layout:
            Its files.
        port:
            Where it listens; the port must be claimed for sharing.
        etcd_port:
            Where etcd listens.
        service_accounts:
            Whether pods get their service account put in, and are refused while
            it does not exist. Needs the controller manager, which makes them.

    Returns:
        The arguments, program first.
    """
    arguments = [
        str(binary),
        f"--etcd-servers=http://{LOOPBACK}:{etcd_port}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={port}",
        "--permit-port-sharing=true",
        # Written to the `kubernetes` service otherwise, and taken back slowly.
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={layout.server_certificate}",
        f"--tls-private-key-file={layout.server_key}",
        f"--client-ca-file={layout.authority}",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={layout.service_account_key}",
        f"--service-account-signing-key-file={layout.service_account_key}",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Without it open watches hold up an orderly end for a minute.
        "--shutdown-watch-termination-grace-period=1s",
    ]
    if not service_accounts:
        arguments.append("--disable-admission-plugins=ServiceAccount")
    return arguments


def kube_controller_manager(
    binary: Path, layout: Layout, kubeconfig: Path
) -> list[str]:
    """
    Spell the command line of kube-controller-manager.

    Args:
        binary:
            The program.
        layout:
            Its files.
        kubeconfig:
            How it reaches the API server.

    Returns:
        The arguments, program first.
    """
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        # Serves nothing itself: whether it works is seen in the API.
        "--secure-port=0",
        "--leader-elect=false",
        # It starts by making an account for each controller; the usual rate is for a
        # server that has other clients too, and costs seconds here.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={layout.service_account_key}",
        f"--root-ca-file={layout.authority}",
    ]
