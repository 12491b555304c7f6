import base64
import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.record import WRITE_CHARS, Scrubber, SecretScrubber, record
from rxlapce.secret import MASK, Secret

KEY = "sk-0123456789"


def scrubber() -> Scrubber:
    return SecretScrubber([Secret(KEY)])


class Bench:
    """A source to push into at virtual times, and its recording."""

    def __init__(self, path: Path, *, scrubbed: bool = False, max_bytes: int = 10**6) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self.scheduler = TestScheduler()
        self.exchange = Exchange(provider="acme", model="m", status=200, content_type="text/event-stream")
        self.source: Subject[bytes] = Subject()
        self.troubles: list[Exception] = []
        self.got: list[bytes] = []
        self.ends: list[Exception | None] = []
        recorded = self.source.pipe(
            record(
                path,
                exchange=self.exchange,
                api="chat",
                scrubber=scrubber if scrubbed else None,
                on_trouble=self.troubles.append,
                max_bytes=max_bytes,
                wall_clock=lambda: datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC),
            )
        )
        self.subscription = recorded.subscribe(
            self.got.append, self.ends.append, lambda: self.ends.append(None), scheduler=self.scheduler
        )

    def send(self, time_s: float, data: bytes) -> None:
        self.scheduler.advance_to(time_s)
        self.source.on_next(data)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text("ascii").splitlines()]

    def data(self) -> bytes:
        return b"".join(base64.b64decode(line["b64"]) for line in self.lines() if "b64" in line)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "a.rec")
    yield bench
    bench.subscription.dispose()


def test_marbles_bytes_and_their_times_are_written_and_passed_on(bench: Bench) -> None:
    bench.send(0.25, b"a\xff")
    bench.send(1.5, b"b")
    bench.scheduler.advance_to(2)
    bench.source.on_completed()
    assert (bench.got, bench.ends, bench.troubles) == ([b"a\xff", b"b"], [None], [])
    assert bench.lines() == [
        {
            "format": "rxlapce-recording",
            "version": 1,
            "provider": "acme",
            "api": "chat",
            "model": "m",
            "status": 200,
            "content_type": "text/event-stream",
            "started": "2026-01-02T03:04:05.678+00:00",
            "scrubbed": False,
        },
        {"t": 0.25, "b64": "Yf8="},
        {"t": 1.5, "b64": "Yg=="},
        {"t": 2.0, "end": "completed"},
    ]


def test_a_provider_error_is_recorded_whole_and_another_by_its_class_alone(tmp_path: Path) -> None:
    error = ProviderError(ErrorKind.OVERLOADED, "busy", retry_after_s=3.0, status=503)
    first = Bench(tmp_path / "a")
    first.source.on_error(error)
    assert first.lines()[-1] == {"t": 0.0, "end": "failed", "error": error.to_dict()}
    second = Bench(tmp_path / "b")
    second.source.on_error(ValueError(KEY))
    assert second.lines()[-1] == {"t": 0.0, "end": "failed", "error": {"message": "ValueError"}}
    assert (first.ends, [type(end) for end in second.ends]) == ([error], [ValueError])


def test_disposal_ends_the_recording_and_reaches_the_source(bench: Bench) -> None:
    bench.send(1, b"a")
    bench.subscription.dispose()
    assert bench.lines()[-1] == {"t": 1.0, "end": "disposed"}
    assert bench.source.observers == []


def test_only_the_owner_can_read_it_and_it_has_its_name_when_it_is_whole(bench: Bench) -> None:
    bench.send(1, b"a")
    assert (bench.part.exists(), bench.path.exists()) == (True, False)
    assert stat.S_IMODE(bench.part.stat().st_mode) == 0o600
    bench.source.on_completed()
    assert (bench.part.exists(), bench.path.exists()) == (False, True)
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600


def test_lines_are_written_in_few_large_writes(bench: Bench) -> None:
    bench.send(1, b"a")
    header = bench.part.stat().st_size
    for _ in range(10):
        bench.send(1, b"x" * 1000)
    assert bench.part.stat().st_size == header
    bench.send(1, b"x" * WRITE_CHARS)
    assert bench.part.stat().st_size > header + WRITE_CHARS


def test_a_folder_that_is_not_there_is_told_once_and_the_stream_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "none" / "a")
    for _ in range(3):
        bench.send(1, b"a" * WRITE_CHARS)
    bench.source.on_completed()
    assert (len(bench.got), bench.ends) == (3, [None])
    assert [type(trouble) for trouble in bench.troubles] == [FileNotFoundError]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_once_and_the_stream_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def full(path: Path, flags: int, mode: int) -> int:
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", full)
    for _ in range(3):
        bench.send(1, b"a" * WRITE_CHARS)
    monkeypatch.undo()
    bench.source.on_completed()
    assert (len(bench.got), bench.ends, bench.path.exists()) == (3, [None], False)
    assert [str(trouble) for trouble in bench.troubles] == ["[Errno 28] No space left on device"]


def test_a_name_that_cannot_be_given_is_told_and_the_stream_ends_well(bench: Bench) -> None:
    bench.path.mkdir()
    bench.send(1, b"a")
    bench.source.on_completed()
    assert (bench.ends, [type(trouble) for trouble in bench.troubles]) == ([None], [IsADirectoryError])
    assert bench.part.exists()


def test_a_recording_under_way_is_not_overwritten(bench: Bench) -> None:
    bench.send(1, b"a")
    second = Bench(bench.path)
    second.send(1, b"b")
    assert [type(trouble) for trouble in second.troubles] == [FileExistsError]
    bench.source.on_completed()
    assert bench.data() == b"a"


def test_a_link_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    bench.part.symlink_to(precious)
    bench.send(1, b"a")
    assert len(bench.troubles) == 1
    assert not precious.exists()


def test_past_its_bound_a_recording_goes_no_further(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a", max_bytes=3)
    bench.send(1, b"abc")
    bench.send(2, b"d")
    bench.source.on_completed()
    assert (bench.got, bench.ends, bench.path.exists()) == ([b"abc", b"d"], [None], False)
    assert [str(trouble) for trouble in bench.troubles] == ["the recording ends: the answer is larger than 3 bytes"]


def test_a_secret_over_two_reads_does_not_survive(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a", scrubbed=True)
    bench.send(1, f"x {KEY[:7]}".encode())
    bench.send(2, f"{KEY[7:]} y {KEY[:5]}".encode())
    bench.source.on_completed()
    assert bench.data() == f"x {MASK} y {KEY[:5]}".encode()
    assert bench.got == [f"x {KEY[:7]}".encode(), f"{KEY[7:]} y {KEY[:5]}".encode()]
    assert bench.lines()[0]["scrubbed"] is True


def test_the_beginning_of_a_secret_at_the_very_end_is_masked() -> None:
    cleaner = scrubber()
    assert cleaner.feed(KEY[:-1].encode()) + cleaner.close() == MASK.encode()


@pytest.mark.parametrize(
    ("key", "said"),
    [('pass"word1', 'pass\\"word1'), ("wJalr/XUtn+FEMI", "wJalr\\/XUtn+FEMI"), ("pässword", "p\\u00e4ssword")],
)
def test_a_secret_as_json_escapes_it_does_not_survive_any_cut(key: str, said: str) -> None:
    text = f'{{"error":"no such key: {said}"}}'.encode()
    for cut in range(len(text)):
        cleaned = SecretScrubber([Secret(key)])
        out = cleaned.feed(text[:cut]) + cleaned.feed(text[cut:]) + cleaned.close()
        assert out == f'{{"error":"no such key: {MASK}"}}'.encode()


def test_nothing_is_held_back_that_begins_no_secret() -> None:
    cleaner = scrubber()
    assert cleaner.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert cleaner.feed(b"a s") == b"a "


VALUES = ["aabaab", "aabaabb", "baabaa"]


@given(text=st.text("ab", max_size=40), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_no_secret_survives_any_cut_and_every_cut_gives_the_same(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    outs: list[bytes] = []
    for pieces in ([text], [text[a:b] for a, b in pairwise(places)]):
        cleaner = SecretScrubber([Secret(value) for value in VALUES])
        outs.append(b"".join([*(cleaner.feed(piece.encode()) for piece in pieces), cleaner.close()]))
    assert outs[0] == outs[1]
    assert not any(value.encode() in outs[0] for value in VALUES)


def test_a_bound_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        record(tmp_path / "a", on_trouble=print, max_bytes=0)
