"""
A server of one handler, for fakes that stand behind HTTP.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web


async def listen(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> tuple[web.AppRunner, str]:
    """
    Listen on a free port of this machine's loopback.

    Args:
        answer: Asked for everything, whatever its method and path.

    Returns:
        What to clean up in the end, and the URL.
    """
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"
