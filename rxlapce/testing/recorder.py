"""A loopback server that keeps what it is asked and answers what it is told: for endpoints that no simulator plays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from rxlapce.testing.scripted import Peer, ScriptedServer


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: `target` is path and query as sent, header names are lower-case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)

    def form(self) -> dict[str, str]:
        """The members of a form."""
        return dict(parse_qsl(self.body.decode()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered: `json`, or else `body`."""

    json: Any = None
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def encode(self) -> bytes:
        """The response with its length."""
        body = self.body if self.json is None else msgspec.json.encode(self.json)
        headers = {"content-type": "application/json", **self.headers, "content-length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Said\r\n{lines}\r\n".encode() + body


class Recorder(ScriptedServer):
    """Answers each request by `reply`, keeping connections alive; `asked` has them in the order in which they came."""

    def __init__(self, reply: Callable[[Asked], Reply]) -> None:
        self.asked: list[Asked] = []

        async def script(peer: Peer) -> None:
            while True:
                head, body = await peer.request()
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                self.asked.append(Asked(method, target, headers, body))
                await peer.send(reply(self.asked[-1]).encode())

        super().__init__(script)
