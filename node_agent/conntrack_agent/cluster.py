"""
The API server, as far as one node needs it: its own object, and nothing else.

Three calls: GET the object, WATCH it by name, apply its status. Never a list. Every
answer is translated once; the caller decides when to try again. The token is read
anew for every request, and the CA when its file has changed, since both rotate.
"""

import json
import random
import ssl
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from conntrack_agent import VERSION, answers
from conntrack_agent.errors import Refused, Unreachable
from conntrack_api import API_VERSION, GROUP
from conntrack_api import VERSION as API
from conntrack_api.codec import to_object
from conntrack_api.node import KIND, PLURAL, ConntrackNode, NodeStatus

FIELD_MANAGER: Final = "conntrack-agent"

CONNECT: Final = 5.0
"""Limit of making a connection, in seconds."""

REQUEST: Final = 15.0
"""Limit of waiting for the answer to a short request, in seconds."""

SILENCE: Final = 90.0
"""
Limit of silence in a watch, in seconds: bookmarks come every minute, so longer is a
dead peer.
"""

WATCH_SECONDS: Final = 1800
"""
How long the server is asked to keep a watch open, at least; at most twice as long.

Agents that lost their API server together would otherwise come back together for ever.
"""


class ApiCluster:
    """The API server seen from one node."""

    def __init__(
        self,
        *,
        server: str,
        node: str,
        ca_file: Path,
        token_file: Path,
        silence: float = SILENCE,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        Say where. Nothing is opened yet.

        Args:
            server: URL without a path.
            node: Name of this node's object.
            ca_file: CA bundle, PEM.
            token_file: Bearer token.
            silence: Seconds without a byte after which a watch counts as dead.
            chance: Random numbers in [0, 1).
        """
        self._collection = f"{server}/apis/{GROUP}/{API}/{PLURAL}"
        self._node = node
        self._ca_file = ca_file
        self._token_file = token_file
        self._silence = silence
        self._chance = chance
        self._ca: bytes | None = None
        self._pool = urllib3.PoolManager()

    def get(self) -> ConntrackNode:
        """
        Read this node's object.

        Raises:
            NotFound: There is none.
            ClusterError: Any other answer than the object.
        """
        response = self._request("GET", f"{self._collection}/{self._node}")
        return answers.node(answers.parse(answers.body(response)), self._node)

    def watch(
        self, resource_version: str
    ) -> Generator[ConntrackNode | None, None, None]:
        """
        Follow this node's object.

        Args:
            resource_version: The version already known.

        Yields:
            Each later version; ``None`` once the object has been deleted. Ends when
            the server ends it, which is no error.

        Raises:
            Expired: The version is too old; read the object and watch from there.
            ClusterError: Any other end.
        """
        query = {
            "fieldSelector": f"metadata.name={self._node}",
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(int(WATCH_SECONDS * (1 + self._chance()))),
        }
        response = self._request(
            "GET", self._collection, fields=query, read=self._silence
        )
        try:
            for line in answers.lines(response):
                event = answers.parse(line)
                content = answers.part(event.get("object"))
                match event.get("type"):
                    case "ADDED" | "MODIFIED":
                        yield answers.node(content, self._node)
                    case "DELETED":
                        yield None
                    case "ERROR":
                        code, said = content.get("code"), content.get("message")
                        raise answers.failure(code, str(said)[:512])
        finally:
            # A watch is never read to its end, so its connection cannot be used again.
            response.close()
            response.release_conn()

    def apply_status(self, uid: str, status: NodeStatus) -> None:
        """
        Write this node's status by server-side apply; the whole of it is ours.

        Args:
            uid: UID of the object meant. The API server overlooks it in a status, so
                a late one stands in an object that was made anew, until that one has
                been heard of and answered.
            status: Replaces what we wrote before.

        Raises:
            NotFound: The object is gone.
            Invalid: The content is refused.
            ClusterError: Any other answer.
        """
        content = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self._node, "uid": uid},
            "status": to_object(status),
        }
        response = self._request(
            "PATCH",
            f"{self._collection}/{self._node}/status"
            f"?fieldManager={FIELD_MANAGER}&force=true",
            body=json.dumps(content).encode(),
        )
        answers.body(response)

    def _request(
        self,
        method: str,
        url: str,
        *,
        fields: dict[str, str] | None = None,
        body: bytes | None = None,
        read: float = REQUEST,
    ) -> urllib3.BaseHTTPResponse:
        """
        Send one request; give the open response of a success.
        """
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self._token()}",
            "User-Agent": f"{FIELD_MANAGER}/{VERSION}",
        }
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"
        self._reload_ca()
        try:
            response = self._pool.request(
                method,
                url,
                fields=fields,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT, read=read),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except HTTPError as error:
            raise Unreachable(f"{method}: {error}") from error
        if response.status >= 300:  # noqa: PLR2004 - HTTP: success is below
            said = answers.message_of(answers.body(response))
            retry_after = answers.seconds_of(response.headers.get("Retry-After"))
            raise answers.failure(response.status, said, retry_after)
        return response

    def _token(self) -> str:
        """
        Read the token; one that is empty or no single word is being replaced.
        """
        try:
            words = self._token_file.read_text(encoding="ascii").split()
        except (OSError, ValueError) as error:
            raise Refused(f"token cannot be read: {error}") from error
        if len(words) != 1:
            raise Refused(f"token cannot be read: {len(words)} words, must be one")
        return words[0]

    def _reload_ca(self) -> None:
        """
        Make a new connection pool when the CA bundle's content has changed.

        An empty bundle must not get as far as `ssl`, which takes it for "the system's".
        """
        try:
            content = self._ca_file.read_bytes()
            if content == self._ca:
                return
            if b"CERTIFICATE" not in content:
                raise ValueError("no certificate in it")  # noqa: TRY301
            # Comments may hold anything, certificates are ASCII.
            context = ssl.create_default_context(
                cadata=content.decode("ascii", "ignore")
            )
        except (OSError, ValueError) as error:
            raise Refused(f"CA bundle cannot be read: {error}") from error
        self._pool.clear()
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=2, block=False, ssl_context=context
        )
        self._ca = content
