"""Whatever a peer of the wire protocol sends, or puts into shared memory, the rules hold."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.testing.thoroughness import examples
from rxlapce.testing.wire_rules import HONEST, WIRE_TARGETS, check_ring, check_signed


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


Edit = tuple[str, int, bytes]
EDITS = st.lists(
    st.tuples(st.sampled_from(["put", "cut", "over", "again"]), st.integers(0, 1000), st.binary(max_size=8)), max_size=4
)


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """`data` with something put in, taken out, written over or said again."""
    for kind, place, piece in edits:
        at = place % (len(data) + 1)
        match kind:
            case "put":
                data = data[:at] + piece + data[at:]
            case "cut":
                data = data[:at] + data[at + len(piece) :]
            case "over":
                data = data[:at] + piece + data[at + len(piece) :]
            case _:
                data += data[at:]
    return data


@pytest.mark.parametrize("name", WIRE_TARGETS)
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_any_bytes_keep_to_the_rules(loop: asyncio.AbstractEventLoop, name: str, data: st.DataObject) -> None:
    target = WIRE_TARGETS[name]
    said = edited(data.draw(st.sampled_from(target.seeds)), data.draw(EDITS))
    if data.draw(st.booleans()):
        said = target.mend(said)
    cut = data.draw(st.integers(0, len(said)))
    target.check(loop, said, [range(0), range(cut, len(said), 1000), range(1, len(said), 7)])


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 130)), max_size=60))
def test_an_honest_ring_gives_what_was_put_in(steps: list[tuple[int, int]]) -> None:
    check_ring(b"".join(bytes([kind]) + count.to_bytes(2, "little") for kind, count in steps))


@settings(max_examples=examples(300), deadline=None)
@given(EDITS)
def test_no_edit_of_a_signed_way_gets_anything_through(edits: list[Edit]) -> None:
    check_signed(edited(HONEST, edits))
