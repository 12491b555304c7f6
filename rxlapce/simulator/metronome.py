"""One clock for all paced streams: those that are due within two milliseconds wake up together."""

import asyncio
from typing import Final

#: Beats a second. 100 streams at 50 tokens/s then share 500 wake-ups of the loop a second rather than cause 5,000.
BEATS: Final = 500


class Metronome:
    """Waits on the loop that first uses it. Memory: one future a waiting stream."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}

    async def until(self, at_s: float) -> None:
        """Return at the first beat after `at_s`, a time of the loop's clock; so up to two milliseconds late.

        Cancelling leaves nothing but a done future, which the beat passes over.
        """
        loop = asyncio.get_running_loop()
        beat = int(at_s * BEATS) + 1
        future: asyncio.Future[None] = loop.create_future()
        waiting = self._waiting.get(beat)
        if waiting is None:
            self._waiting[beat] = [future]
            loop.call_at(beat / BEATS, self._strike, beat)
        else:
            waiting.append(future)
        await future

    def _strike(self, beat: int) -> None:
        for future in self._waiting.pop(beat):
            if not future.done():
                future.set_result(None)
