"""What a receiving side keeps of a peer that is gone."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from rxlapce.codec.frame import FrameDecoder, encode_frame
from rxlapce.errors import TruncatedFrame
from rxlapce.transports.intake import FrameIntake


class Watched(FrameDecoder):
    """One whose end can be seen: its base has no room for a weak reference."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the garbage collector, so that only what nothing refers to is gone."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("orderly", [True, False])
def test_half_a_frame_is_let_go_of_with_the_peer_and_not_by_the_garbage_collector(orderly: bool) -> None:
    ends: list[Exception | None] = []
    decoder = Watched()
    seen = weakref.ref(decoder)
    intake = FrameIntake(lambda _: None, ends.append, decoder=decoder)
    del decoder
    intake.feed(encode_frame(5, 0, 1, bytes(1 << 20))[:-1])
    assert seen() is not None
    if orderly:
        intake.end()
        assert [type(end) for end in ends] == [TruncatedFrame]
    else:
        intake.mute()
    assert seen() is None
    intake.feed(b"what comes late")
    assert intake.frames == 0
