"""Lines in and out on threads: cut anywhere they are the same, and who does not read stops who writes."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.bridge.lines import HIGH_WATER_BYTES, LineSplitter, Reader, Writer
from rxlapce.flow import FlowControl
from rxlapce.testing.processes import descriptors, until

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Its reading and its writing end; a test may close either."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Neither threads nor descriptors."""
    before = threading.active_count(), descriptors(os.getpid())
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("bridge"):
            thread.join(5)
    assert threading.active_count() == before[0]
    # Of the loop's own descriptors nothing is known here: it is closed later than it was made.
    assert len([name for name in descriptors(os.getpid()) if "pipe" in name]) <= len(
        [name for name in before[1] if "pipe" in name]
    )


@given(st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=6), st.data())
def test_lines_are_the_same_wherever_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    text = b"\n".join(lines)
    splitter, found = LineSplitter(6), list[bytes | None]()
    while text:
        size = data.draw(st.integers(1, len(text)))
        found += splitter.feed(text[:size])
        text = text[size:]
    found += splitter.close()
    assert found == [None if len(line) > 6 else line for line in lines if len(line) > 6 or line.strip()]


@pytest.mark.parametrize("kind", ["pipe", "file", "/dev/null"])
async def test_what_stands_in_any_kind_of_input_is_read_to_its_end(pipe: Pipe, tmp_path: Path, kind: str) -> None:
    text = b"line\n" * 50_000
    file = tmp_path / "input"
    file.write_bytes(text)
    if kind == "pipe":

        def fill() -> None:
            os.write(pipe[1], text)
            os.close(pipe[1])

        threading.Thread(target=fill).start()
        source = pipe[0]
    else:
        source = os.open(file if kind == "file" else kind, os.O_RDONLY)
    read: asyncio.Queue[bytes] = asyncio.Queue()
    reader = Reader(source, read.put_nowait)
    found = b""
    while data := await read.get():
        assert read.empty()  # no more before it is asked for
        found += data
        reader.proceed()
    assert found == (b"" if kind == "/dev/null" else text)
    reader.close()
    if kind != "pipe":
        os.close(source)


async def test_a_reader_is_stopped_while_nothing_comes(pipe: Pipe) -> None:
    reader = Reader(pipe[0], lambda _: pytest.fail("nothing was written"))
    reader.close()
    reader.close()
    await until(lambda: not [one for one in threading.enumerate() if one.name == "bridge reader"])


async def test_who_does_not_read_closes_the_gate_and_loses_nothing(pipe: Pipe) -> None:
    flow = FlowControl()
    writer = Writer(pipe[1], flow)
    written = bytearray()
    while flow.is_open:
        piece = os.urandom(999)
        writer.write(piece)
        written += piece
        await asyncio.to_thread(lambda: None)
    assert writer.pending_bytes > HIGH_WATER_BYTES
    read = b""
    while len(read) < len(written):
        read += await asyncio.to_thread(os.read, pipe[0], 65536)
    assert read == written
    await writer.drained()
    assert flow.is_open
    assert writer.pending_bytes == 0
    writer.close()


async def test_a_reader_that_has_gone_is_noticed_and_what_is_written_then_is_dropped(pipe: Pipe) -> None:
    flow = FlowControl()
    writer = Writer(pipe[1], flow)
    os.close(pipe[0])
    writer.write(b"x" * (HIGH_WATER_BYTES + 1))
    await asyncio.wait_for(writer.gone.wait(), 5)
    writer.write(b"more")
    await writer.drained()
    assert flow.is_open
    assert writer.pending_bytes == 0
    writer.close()


async def test_a_writer_is_stopped_while_nobody_reads(pipe: Pipe) -> None:
    writer = Writer(pipe[1], FlowControl())
    writer.write(b"x" * 2**20)
    await asyncio.to_thread(lambda: None)
    writer.close()
    writer.close()
    await until(lambda: not [one for one in threading.enumerate() if one.name == "bridge writer"])
