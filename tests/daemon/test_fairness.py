"""Streams of one connection share it: none waits behind the others, whatever they have to say."""

from collections import Counter

import pytest

from rxlapce.bridge import connect
from rxlapce.messages import Cancel, ChatStream, StreamChunk, TransportName
from rxlapce.testing.asking import Collected, ask
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.peer import RawPeer
from rxlapce.tokens import Reasoning, Text

#: The loop that the daemon runs on; what it does by itself is the same on the other.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

STREAMS = 6
READ_CHARS = 200_000


async def test_streams_at_full_speed_get_like_shares_of_a_slow_connection(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        for number in range(1, STREAMS + 1):
            # Thoughts are not merged and answers are: the same words in many frames, or in few.
            kind = "reasoning=1000000" if number % 2 else "tokens=1000000"
            peer.send(ChatStream(request=ask(kind, provider="openai")), number)
        chars: Counter[int] = Counter()
        while chars.total() < READ_CHARS:
            number, message = await peer.receive()
            assert isinstance(message, StreamChunk)
            if isinstance(message.token, Text | Reasoning):
                chars[number] += len(message.token.text)
        assert len(chars) == STREAMS
        assert max(chars.values()) < 4 * min(chars.values())
        for number in range(1, STREAMS + 1):
            peer.send(Cancel(), number)


@pytest.mark.parametrize("transport", ["shm", "socket"])
async def test_a_short_stream_passes_long_ones_that_nobody_reads(
    embedded: EmbeddedDaemon, transport: TransportName
) -> None:
    async with await connect(embedded.path, transport=transport) as client:
        unread = [aiter(client.chat_stream(ask("tokens=50000", provider="openai"), window=8)) for _ in range(STREAMS)]
        for stream in unread:
            await anext(stream)
        short = Collected(client.chat_stream(ask("tokens=50", provider="openai")))
        assert await short.end() is None
        for stream in unread:
            await stream.aclose()
