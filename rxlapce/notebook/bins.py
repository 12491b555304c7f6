"""How many marks of which kind a lane had when: what stays of those that are no longer kept one by one."""

from collections import Counter
from typing import Final

from rxlapce.notebook.marks import Bin

#: The first width, in seconds: a power of two, so that every edge is exact, here and in JSON.
FIRST_WIDTH_S: Final = 1 / 64
#: Of one lane.
MAX_BINS: Final = 512

Counts = Counter[str]


class Bins:
    """The bins of one lane, all of one width, on one grid from 0.

    At most `MAX_BINS` that are not empty: with one more, each two neighbours become one of twice the width.
    """

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.width = FIRST_WIDTH_S
        self.version = 0
        """Grows with each change; `changed` tells which bins changed after a version."""
        self._counts: dict[int, Counts] = {}
        self._versions: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, t: float, kind: str, count: int = 1) -> None:
        """Count what passed `t` seconds after the beginning, from 0."""
        place = int(t / self.width)
        counts = self._counts.get(place)
        if counts is None:
            counts = self._counts[place] = Counter()
        counts[kind] += count
        self.version += 1
        self._versions[place] = self.version
        if len(self._counts) > MAX_BINS:
            self._widen()

    def place_of(self, t: float) -> int:
        """The number of the bin that `t` is in, from 0."""
        return int(t / self.width)

    def counts_at(self, place: int) -> Counts:
        """What bin number `place` has; empty where nothing passed."""
        return self._counts.get(place) or Counter()

    def places(self) -> list[int]:
        """The numbers of all that are not empty."""
        return list(self._counts)

    def changed(self, version: int) -> list[int]:
        """The numbers of those that changed after `version`."""
        return [place for place, changed in self._versions.items() if changed > version]

    def bin(self, place: int, more: Counts | None = None) -> Bin:
        """Bin number `place` as it is told, with `more` counted in."""
        counts = self.counts_at(place) if more is None else self.counts_at(place) + more
        return Bin(self.lane, place * self.width, (place + 1) * self.width, dict(counts))

    def _widen(self) -> None:
        while len(self._counts) > MAX_BINS:
            self.width *= 2
            merged: dict[int, Counts] = {}
            for place, counts in self._counts.items():
                merged.setdefault(place // 2, Counter()).update(counts)
            self._counts = merged
        self.version += 1
        self._versions = dict.fromkeys(self._counts, self.version)
