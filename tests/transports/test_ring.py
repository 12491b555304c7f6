"""The ring alone: against a model, around its end, and with a hostile peer at every field."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rxlapce.errors import RingCorrupt
from rxlapce.testing.thoroughness import examples
from rxlapce.transports import ring
from rxlapce.transports.ring import DATA_OFFSET, RingReader, RingWriter

WRITE_AT, READ_AT = 64, 128
FLAGS_AT = (192, 256, 320, 384)
FIELDS = (0, 8, 16, WRITE_AT, READ_AT, *FLAGS_AT)
U64 = st.one_of(
    st.integers(0, 300),
    st.integers(2**64 - 300, 2**64 - 1),
    st.integers(2**63 - 2, 2**63 + 2),
    st.integers(0, 2**64 - 1),
)


def pair(capacity: int) -> tuple[bytearray, RingWriter, RingReader]:
    memory = bytearray(DATA_OFFSET + capacity)
    return memory, RingWriter(memoryview(memory)), RingReader(memoryview(memory))


def put(memory: bytearray, at: int, value: int) -> None:
    with memoryview(memory) as whole, whole[at : at + 8].cast("Q") as field:
        field[0] = value


def get(memory: bytearray, at: int) -> int:
    with memoryview(memory) as whole, whole[at : at + 8].cast("Q") as field:
        return field[0]


class AgainstAModel(RuleBasedStateMachine):
    """Random writes and reads of a ring of 61 bytes do what a plain queue of at most 61 bytes does."""

    CAPACITY = 61

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.writer, self.reader = pair(self.CAPACITY)
        self.model = bytearray()
        self.written = 0
        self.taken = 0

    @rule(data=st.binary(max_size=150))
    def write(self, data: bytes) -> None:
        room = self.CAPACITY - len(self.model)
        count = self.writer.write(memoryview(data))
        assert count == min(room, len(data))
        self.model += data[:count]
        self.written += count

    @rule(size=st.integers(0, 150))
    def read(self, size: int) -> None:
        data = self.reader.read(size)
        assert data == self.model[:size]
        del self.model[: len(data)]
        self.taken += len(data)

    @rule(sleeping=st.booleans())
    def sleep(self, sleeping: bool) -> None:
        self.reader.sleep(sleeping)
        assert self.writer.reader_sleeps() is (sleeping or not ring.FLAGS_SUFFICE)

    @rule(waiting=st.booleans())
    def wait(self, waiting: bool) -> None:
        self.writer.wait(waiting)
        assert self.reader.writer_waits() is (waiting or not ring.FLAGS_SUFFICE)

    @invariant()
    def positions_are_published(self) -> None:
        assert get(self.memory, WRITE_AT) == self.written
        assert get(self.memory, READ_AT) == self.taken
        assert self.writer.fill() == self.reader.available() == len(self.model)


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)


def test_every_wrap_of_a_ring_of_seven_bytes_keeps_the_bytes() -> None:
    _, writer, reader = pair(7)
    for start in range(50):
        for size in range(1, 8):
            data = bytes((start + n) % 256 for n in range(size))
            assert writer.write(memoryview(data)) == size
            assert reader.read(100) == data


def test_a_full_ring_takes_nothing_and_an_empty_one_gives_nothing() -> None:
    _, writer, reader = pair(5)
    assert reader.read(10) == b""
    assert writer.write(memoryview(b"12345678")) == 5
    assert writer.write(memoryview(b"678")) == 0
    assert reader.read(2) == b"12"
    assert writer.write(memoryview(b"678")) == 2
    assert reader.read(10) == b"34567"


def test_closing_is_seen_by_the_other_side_only() -> None:
    _, writer, reader = pair(5)
    assert (writer.reader_closed, reader.writer_closed) == (False, False)
    writer.close()
    assert (writer.reader_closed, reader.writer_closed) == (False, True)
    reader.close()
    assert writer.reader_closed


def test_the_layout_is_the_documented_one() -> None:
    memory, writer, reader = pair(100)
    assert get(memory, 0) == 0x52494E47_4C415043
    assert (get(memory, 8), get(memory, 16)) == (1, 100)
    writer.write(memoryview(b"abcdef"))
    reader.read(2)
    reader.sleep(True)
    writer.wait(True)
    writer.close()
    reader.close()
    assert [get(memory, at) for at in (64, 128, 192, 256, 320, 384)] == [6, 2, 1, 1, 1, 1]
    assert memory[DATA_OFFSET : DATA_OFFSET + 6] == b"abcdef"


def test_a_buffer_without_room_for_data_is_refused() -> None:
    with pytest.raises(ValueError, match="a ring needs more than 4096 bytes of memory, got 4096"):
        RingWriter(memoryview(bytearray(DATA_OFFSET)))


def test_released_views_let_the_buffer_go() -> None:
    memory, writer, reader = pair(10)
    with pytest.raises(BufferError):
        memory.clear()
    for side in (writer, reader):
        side.release()
        side.release()
    memory.clear()


# -- a hostile peer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "why"),
    [
        (9, "goes back behind what was seen"),
        (10 + 100 + 1, "is further away than the ring is long"),
        (2**64 - 1, "is absurd"),
        (0, "starts again"),
    ],
)
def test_a_write_position_that_cannot_be_true_is_refused(position: int, why: str) -> None:
    memory, writer, reader = pair(100)
    writer.write(memoryview(bytes(10)))
    reader.read(10)
    put(memory, WRITE_AT, position)
    for look in (reader.available, lambda: reader.read(5)):
        with pytest.raises(RingCorrupt, match=f"write position {position}, expected from 10 to 110"):
            look()
    assert get(memory, READ_AT) == 10, why


@pytest.mark.parametrize("position", [4, 11, 2**64 - 1, 0])
def test_a_read_position_that_cannot_be_true_is_refused(position: int) -> None:
    memory, writer, reader = pair(100)
    writer.write(memoryview(bytes(10)))
    reader.read(5)
    assert writer.fill() == 5
    put(memory, READ_AT, position)
    for look in (writer.fill, lambda: writer.write(memoryview(b"x"))):
        with pytest.raises(RingCorrupt, match=f"read position {position}, expected from 5 to 10"):
            look()
    assert get(memory, WRITE_AT) == 10


def test_the_capacity_in_the_memory_is_never_believed() -> None:
    memory, writer, reader = pair(8)
    put(memory, 16, 2**40)
    assert writer.write(memoryview(bytes(range(20)))) == 8
    assert reader.read(100) == bytes(range(8))


@settings(max_examples=examples(300), deadline=None)
@given(
    at=st.sampled_from(FIELDS),
    value=U64,
    before=st.integers(0, 200),
    taken=st.integers(0, 200),
    data=st.binary(max_size=200),
)
def test_no_value_in_any_field_breaks_the_reader(at: int, value: int, before: int, taken: int, data: bytes) -> None:
    memory, writer, reader = pair(100)
    writer.write(memoryview(bytes(before % 100)))
    reader.read(taken)
    put(memory, at, value)
    _survives(lambda: len(reader.read(1000)), at_most=100)
    _survives(reader.available, at_most=100)
    assert reader.writer_waits() in (True, False)
    assert reader.writer_closed in (True, False)


@settings(max_examples=examples(300), deadline=None)
@given(at=st.sampled_from(FIELDS), value=U64, before=st.integers(0, 100), data=st.binary(min_size=1, max_size=200))
def test_no_value_in_any_field_breaks_the_writer(at: int, value: int, before: int, data: bytes) -> None:
    memory, writer, reader = pair(100)
    writer.write(memoryview(bytes(before)))
    reader.read(before // 2)
    size = len(memory)
    put(memory, at, value)
    _survives(lambda: writer.write(memoryview(data)), at_most=100)
    _survives(writer.fill, at_most=100)
    assert len(memory) == size
    assert writer.reader_sleeps() in (True, False)


def _survives(look: Callable[[], int], at_most: int) -> None:
    try:
        count = look()
    except RingCorrupt:
        return
    assert 0 <= count <= at_most


def test_a_reader_beside_a_peer_that_scribbles_reads_a_bounded_number_of_bytes_or_stops() -> None:
    memory, _, reader = pair(64)
    corrupt = 0
    for position in (10, 74, 70, 2**64 - 1, 138):
        put(memory, WRITE_AT, position)
        try:
            assert len(reader.read(1000)) <= 64
        except RingCorrupt:
            corrupt += 1
    assert corrupt == 2


def test_a_fence_can_be_taken_on_weakly_ordered_machines_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "FLAGS_SUFFICE", False)
    _, writer, reader = pair(10)
    assert writer.write(memoryview(b"abc")) == 3
    assert writer.reader_sleeps(), "the reader is woken whatever its flag says"
    assert reader.read(10) == b"abc"
    assert reader.writer_waits()
