"""How fast counts grow: they are looked at every few seconds, and who counts knows nothing of it."""

from collections import deque
from collections.abc import Mapping
from typing import Final

#: A rate over less would be noise: the tokens of one read come at once.
MIN_SPAN_S: Final = 1.0


class RateWindow:
    """How fast counts grow, by name, over the last `window_s` seconds or as long as they have been looked at.

    It keeps the counts of each look within the window and of the last one before it, and nothing else; `clear` where
    nothing grows. Times are of one clock, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._looks: deque[tuple[float, Mapping[str, int]]] = deque()

    def __len__(self) -> int:
        return len(self._looks)

    def look(self, now_s: float, counts: Mapping[str, int]) -> None:
        """Keep `counts`, which must not change any more, as they stand at `now_s`; forget what is too old."""
        self._looks.append((now_s, counts))
        while len(self._looks) > 1 and self._looks[1][0] <= now_s - self.window_s:
            self._looks.popleft()

    def clear(self) -> None:
        """Forget all."""
        self._looks.clear()

    def grew(self, counts: Mapping[str, int]) -> bool:
        """Whether `counts` are others than at the oldest look that is kept."""
        return bool(self._looks) and self._looks[0][1] != counts

    def rates(self, now_s: float, counts: Mapping[str, int]) -> tuple[float, dict[str, float]]:
        """The seconds that the rates are over, from 1, and by how much a second each of `counts` grew in them.

        A name that is new has grown from 0; one that has not grown is left out. Before the first look nothing grew.
        """
        if not self._looks:
            return self.window_s, {}
        since_s, before = self._looks[0]
        span_s = max(now_s - since_s, MIN_SPAN_S)
        grown = {name: count - before.get(name, 0) for name, count in counts.items()}
        return span_s, {name: more / span_s for name, more in grown.items() if more > 0}
