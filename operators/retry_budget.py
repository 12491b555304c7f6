"""`RetryBudget`: how much of its traffic a daemon may send a second time, so that an outage is not multiplied."""

from typing import Final


class RetryBudget:
    """Retries of the last `window_s` seconds, at most `fraction` of the requests of that time and `floor` besides.

    One for all streams of a daemon. Each request's own policy lets it try three times; when a provider is down, that
    would send it three times the traffic. With a budget of 0.2 it gets 1.2 times, and `floor` lets a daemon with hardly
    any traffic retry at all.

    `spend` decides and counts in one step: what it grants is spent, even if the wait before the retry is cancelled.
    `spent` and `refused` count since the start. Time is the caller's, in seconds on one clock that never goes back.
    Memory: `BUCKETS` pairs of integers; the window is exact to a `BUCKETS`th of it. One thread.
    """

    BUCKETS: Final = 60

    def __init__(self, *, fraction: float = 0.2, floor: int = 10, window_s: float = 60.0) -> None:
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be from 0 to 1, not {fraction}")
        if floor < 0:
            raise ValueError(f"floor must not be negative, not {floor}")
        if not window_s > 0:
            raise ValueError(f"window_s must be above 0 seconds, not {window_s}")
        self.fraction = fraction
        self.floor = floor
        self.window_s = window_s
        self.spent = 0
        self.refused = 0
        self._requests = [0] * self.BUCKETS
        self._retries = [0] * self.BUCKETS
        self._tick = 0

    def count_request(self, now_s: float) -> None:
        """A request begins: it earns `fraction` of a retry for whoever needs it."""
        self._requests[self._turn(now_s)] += 1

    def spend(self, now_s: float) -> bool:
        """Take one retry and return True, or return False if there is none left."""
        place = self._turn(now_s)
        if sum(self._retries) + 1 > self.floor + self.fraction * sum(self._requests):
            self.refused += 1
            return False
        self._retries[place] += 1
        self.spent += 1
        return True

    def left(self, now_s: float) -> int:
        """How many retries could be spent now."""
        self._turn(now_s)
        return max(0, int(self.floor + self.fraction * sum(self._requests)) - sum(self._retries))

    def _turn(self, now_s: float) -> int:
        """The bucket of `now_s`, with those emptied that lie before the window."""
        tick = int(now_s * self.BUCKETS / self.window_s)
        for old in range(max(self._tick + 1, tick - self.BUCKETS + 1), tick + 1):
            self._requests[old % self.BUCKETS] = self._retries[old % self.BUCKETS] = 0
        self._tick = max(self._tick, tick)
        return self._tick % self.BUCKETS
