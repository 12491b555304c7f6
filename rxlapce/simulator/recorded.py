"""Recordings, served as a provider: the recorded status, headers, bytes and timing, over real HTTP."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from rxlapce.errors import ErrorKind
from rxlapce.operators.recording import FIRST_ERROR, RecordingHeader, RecordingLine, RecordingReader, Torn
from rxlapce.providers.apis import APIS
from rxlapce.providers.recorded import api_of_target, model_of_request
from rxlapce.simulator.journal import Journal, Outcome, Received, Served
from rxlapce.simulator.metronome import Metronome
from rxlapce.simulator.play import Close, Step
from rxlapce.simulator.site import Site
from rxlapce.simulator.stage import Stage, silence

#: Requests that are remembered.
_KEEP: Final = 1000
#: Where lists of models are had.
_LISTS: Final = ("/models", "/api/tags")


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One recording that is served: its file, its header, and the API by which it was asked, "" if nobody knows."""

    path: Path
    header: RecordingHeader
    api: str

    @classmethod
    def of(cls, path: Path) -> "Recorded":
        """The recording at `path`. Raises `OSError`, and `ValueError` for a file that is none."""
        with closing(RecordingReader(path)) as reader:
            header = reader.header
        return cls(path, header, header.api if header.api in APIS else api_of_target(header.path))


class RecordedProvider:
    """Answers as providers did whose answers were recorded, `speed` times as fast (0: at once).

        async with RecordedProvider([Path("answer.rec")], speed=2) as provider:
            ...  # provider.base_url

    One recording answers every POST. Of several those fit that were asked by the API whose path it is, and of these
    the ones for the model that is asked for, if there are any. Several that fit are given one after the other; then the
    last one again and again, or with `loop` the first again. A GET of a list of models has theirs.

    What was cut is cut here: a recording of a stream that did not complete breaks the connection where it ends; one
    that never had a response closes it without one. An HTTP error is given whole. `on_served` is called as each ends.

    Making it raises `OSError` for a file that cannot be read, `ValueError` for one that is no recording, and for a
    speed out of range. Files are read as they are played: one line each in memory.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        loop: bool = False,
        on_served: Callable[[Served, Recorded | None], None] | None = None,
    ) -> None:
        if not paths:
            raise ValueError("there is nothing to play: expected at least one recording")
        if not 0 <= speed < float("inf"):
            raise ValueError(f"speed must be 0 or more, not {speed}")
        self.recordings = tuple(Recorded.of(path) for path in paths)
        self._speed = speed
        self._loop = loop
        self._on_served = on_served
        self._site = Site(self._handle, host, port)
        self._journal = Journal(_KEEP)
        self._metronome = Metronome()
        self._given: Counter[tuple[Recorded, ...]] = Counter()

    async def __aenter__(self) -> Self:
        await self._site.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._site.__aexit__(*exc_info)

    @property
    def base_url(self) -> str:
        """Where it listens, without a path."""
        return self._site.base_url

    @property
    def served(self) -> list[Served]:
        """The progress of each request, in the order in which they came."""
        return list(self._journal.served)

    async def wait_until(self, predicate: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """Return once `predicate()` is true; it is asked after every change here. Raises TimeoutError."""
        await self._journal.wait_until(predicate, timeout_s)

    def choose(self, method: str, target: str, body: bytes) -> Recorded | None:
        """What answers such a request; None if nothing fits. Counts it as given."""
        fitting = self.recordings if method == "POST" and len(self.recordings) == 1 else self._fitting(target)
        model = model_of_request(target, body)
        fitting = tuple(one for one in fitting if one.header.model == model) or fitting
        if not fitting:
            return None
        turn = self._given[fitting]
        self._given[fitting] += 1
        return fitting[turn % len(fitting) if self._loop else min(turn, len(fitting) - 1)]

    def _fitting(self, target: str) -> tuple[Recorded, ...]:
        path, api = target.partition("?")[0], api_of_target(target)
        return tuple(one for one in self.recordings if one.header.path == path or (api and one.api == api))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            method=request.method,
            path=request.path,
            target=request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        served = self._journal.received(received)
        outcome, chosen = Outcome.CLIENT_GONE, self.choose(request.method, request.raw_path, received.body)
        response: web.StreamResponse
        try:
            if chosen is None:
                response, outcome = self._unknown(served), Outcome.REFUSED
            else:
                response, outcome = await self._perform(chosen, request, served)
        finally:
            self._journal.ended(served, outcome)
            if self._on_served is not None:
                self._on_served(served, chosen)
        return response

    def _unknown(self, served: Served) -> web.Response:
        """The list of models, or an error that says what can be asked."""
        request = served.request
        if request.method == "GET" and request.path.endswith(_LISTS):
            served.status = 200
            return web.json_response(_models(request.path, self.recordings))
        served.status = 404
        apis = sorted({one.api or one.header.path or "an unknown API" for one in self.recordings})
        message = f"no recording answers {request.method} {request.path}: there are those of {', '.join(apis)}"
        return web.json_response({"error": {"message": message, "type": "not_found_error"}}, status=404)

    async def _perform(
        self, chosen: Recorded, request: web.Request, served: Served
    ) -> tuple[web.StreamResponse, Outcome]:
        asked_s = asyncio.get_running_loop().time()
        stage = Stage(request, served, self._journal, self._metronome)
        with closing(RecordingReader(chosen.path)) as reader:
            header, lines = reader.header, _lines(reader)
            first = next(lines)
            if header.status is None and (first is None or first.b64 is None):
                return await self._unanswered(first, asked_s, stage)
            served.status, served.model = header.status or 200, header.model
            answered_s = self._after(header.answered or 0.0)
            if answered_s:
                await self._metronome.until(asked_s + answered_s)
            headers = {"cache-control": "no-cache", **header.headers}
            if header.content_type:
                headers["content-type"] = header.content_type
            self._journal.stream_opened(served)
            steps = self._steps(chain((first,), lines), served.status, answered_s)
            return await stage.perform(headers, steps, status=served.status)

    async def _unanswered(
        self, end: RecordingLine | None, asked_s: float, stage: Stage
    ) -> tuple[web.StreamResponse, Outcome]:
        """What a request that never had a response comes to: silence for one that was waited for in vain."""
        if end is not None and end.error is not None and end.error.kind is ErrorKind.TIMEOUT:
            await silence()
        if end is not None and end.t and self._speed:
            await self._metronome.until(asked_s + self._after(end.t))
        stage.close(Close.CUT)
        return web.Response(), Outcome.CUT

    def _steps(self, lines: Iterable[RecordingLine | None], status: int, answered_s: float) -> Iterator[Step | Close]:
        """What is done for each line, from when the headers went out."""
        now_s = answered_s
        for line in lines:
            if line is None:
                break
            due_s = max(now_s, self._after(line.t))
            yield Step(due_s - now_s, line.b64 or b"")
            now_s = due_s
            if line.end is not None:
                # An HTTP error is a failure whose body came whole.
                yield Close.COMPLETED if line.end == "completed" or status >= FIRST_ERROR else Close.CUT
                return
        yield Close.CUT

    def _after(self, recorded_s: float) -> float:
        """How long after the request something is due, in seconds."""
        return recorded_s / self._speed if self._speed else 0.0


def _lines(reader: RecordingReader) -> Iterator[RecordingLine | None]:
    """What follows the header; None where the file is torn."""
    while True:
        try:
            yield reader.read()
        except Torn:
            yield None


def _models(path: str, recordings: Iterable[Recorded]) -> dict[str, object]:
    """The models that were recorded, in one document that each dialect finds its own list in."""
    names = list(dict.fromkeys(one.header.model for one in recordings if one.header.model))
    googles = "" if path.endswith("/api/tags") else "models/"
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "type": "model", "display_name": name, "created": 0} for name in names
        ],
        "has_more": False,
        "models": [{"name": f"{googles}{name.removeprefix(googles)}", "displayName": name} for name in names],
    }
