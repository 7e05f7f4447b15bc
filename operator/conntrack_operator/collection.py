"""
A collection: all objects of one kind, as a list in pages and as a watch.

What an informer follows. Says what the requests are; `transport` sends them.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from conntrack_operator.errors import Unavailable, from_status
from conntrack_operator.rows import Json
from conntrack_operator.transport import JSON, Request, Transport

PAGE: Final = 500
"""Objects in one page of a list."""

METADATA: Final = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
"""Nothing but metadata; the whole object from a server that cannot do that."""

METADATA_LIST: Final = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
"""The same, for lists."""


class Collection:
    """All objects of one kind: the list in pages, and the watch."""

    def __init__(
        self, transport: Transport, path: str, *, metadata: bool = False
    ) -> None:
        """
        Say which objects.

        Args:
            transport: Sends the requests.
            path: Of the collection.
            metadata: Read nothing but metadata: a whole Node is six times larger.
        """
        self._transport = transport
        self._path = path
        self._list = METADATA_LIST if metadata else JSON
        self._watch = METADATA if metadata else JSON

    async def pages(self) -> AsyncGenerator[tuple[list[Json], str], None]:
        """
        List all objects as they are now.

        Yields:
            Pages: some objects, and the version of the whole list.

        Raises:
            Gone: The list took so long that its rest is no longer there.
            ClusterError: Any other failure.
        """
        params = {"limit": str(PAGE)}
        while True:
            request = Request(path=self._path, params=params, accept=self._list)
            answer = await self._transport.call(request)
            meta = answer.get("metadata") or {}
            if "resourceVersion" not in meta:
                raise Unavailable("the answer is not a list")
            yield answer.get("items") or [], meta["resourceVersion"]
            if not meta.get("continue"):
                return
            params["continue"] = meta["continue"]

    async def watch(
        self, version: str, seconds: int
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """
        Follow the changes after a version.

        Args:
            version: Of a list, an event or a bookmark.
            seconds: After which the server shall end the stream.

        Yields:
            ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``, and the object.

        Raises:
            Gone: The version is too old.
            ClusterError: Any other failure, also one that is told in the stream.
        """
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        request = Request(path=self._path, params=params, accept=self._watch)
        async with aclosing(self._transport.lines(request)) as events:
            async for event in events:
                kind, obj = str(event.get("type")), event.get("object") or {}
                if kind == "ERROR":
                    code, text = obj.get("code"), str(obj.get("message", ""))
                    raise from_status(code if isinstance(code, int) else 500, text)
                yield kind, obj
