"""
Ports that we are to listen on.
"""

import socket

from conntrack_operator.errors import ConfigInvalid


def check(option: str, port: int) -> None:
    """
    Make sure that a port can be listened on, before anything is begun.

    Args:
        option: Where the port comes from, for the sentence.
        port: On all addresses; 0: nobody listens.

    Raises:
        ConfigInvalid: It is taken, or we may not have it.
    """
    if port == 0:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - as the kubelet will ask
        except OSError as error:
            text = f"{option}: cannot listen on port {port}: {error.strerror}"
            raise ConfigInvalid(text) from error
