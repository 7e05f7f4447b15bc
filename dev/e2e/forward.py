"""
Stand in for kube-proxy: hand connections to the service's address to the API server.

``python -m e2e.forward ADDRESS PORT TARGET_PORT``; the target is on loopback.
"""

import asyncio
import sys
from contextlib import suppress

_CHUNK = 65536


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """
    Hand on one direction until it ends.
    """
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


async def main() -> None:
    """
    Serve until killed.
    """
    address, port, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, forth), copy(back, writer))

    server = await asyncio.start_server(serve, address, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
