"""
Claim a free port, and keep it.

A free port that is only looked up can be taken before the program that needs it is
up, and again each time that program is down. So the port is bound here and stays
bound, without listening, and the program binds it a second time: `SO_REUSEPORT`
allows that to the same person. Connections go to the one that listens; while the
program is down they are refused.
"""

from __future__ import annotations

import socket
from typing import Self


class PortClaim:
    """
    One port of one address, ours until it is released.
    """

    def __init__(self, address: str) -> None:
        """
        Claim any free port.

        Args:
            address:
                IPv4 address to claim it on.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((address, 0))
        self.port: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """
        Give the port back. More than once is fine.
        """
        self._socket.close()

    def __enter__(self) -> Self:
        """
        Return the claim itself.
        """
        return self

    def __exit__(self, *_: object) -> None:
        """
        Release it.
        """
        self.release()
