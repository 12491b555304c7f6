"""Whether anything is left behind: pure, from what was read of the daemon and what its clients counted."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Final

from benchmarks.soak.clients import Tally
from benchmarks.soak.gauges import MUST_BE_BACK, MUST_BE_ZERO, Gauges

#: What a request may leave behind, by the fit. The smallest thing that one could leave, its `Exchange`, has with its
#: parts over 1 KiB, so that half of one is none.
LEFT_KIB_A_REQUEST: Final = 0.5
#: The allocator's own ups and downs, which a short run cannot tell from growth: a minute on a busy machine has shown
#: 0.9 MiB, and caches that were still filling 2 (2026-11-22).
LEFT_KIB_AT_LEAST: Final = 3072.0
#: Seconds from one attack to the next, on the slowest of machines; else the soak has soaked in something else.
ATTACKED_EVERY_S: Final = 30.0


def growth_kib(samples: Sequence[tuple[float, Gauges]]) -> float:
    """By how much memory grew in the second half of the samples, by the median of all slopes between two (Theil-Sen).

    A sample that falls into an attack, with frames of 9 MiB under way, has 40 MiB more than those beside it, and would
    tilt a line of least squares; the median it hardly moves, until more than a quarter of them are such.
    """
    half = samples[len(samples) // 2 :]
    if len(half) < 3:
        return 0.0
    slopes = [
        (after.memory_kib - before.memory_kib) / (after_s - before_s)
        for (before_s, before), (after_s, after) in combinations(half, 2)
    ]
    return median(slopes) * (half[-1][0] - half[0][0])


def allowed_kib(samples: Sequence[tuple[float, Gauges]]) -> float:
    """What may be, for as many attempts as ended in that half."""
    half = samples[len(samples) // 2 :]
    return max(LEFT_KIB_AT_LEAST, LEFT_KIB_A_REQUEST * (half[-1][1].ended - half[0][1].ended))


def faults(before: Gauges, samples: Sequence[tuple[float, Gauges]], after: Gauges, tally: Tally) -> list[str]:
    """What is wrong, each in a sentence; empty if nothing is."""
    found = [f"{name} is {getattr(after, name)}, not 0" for name in MUST_BE_ZERO if getattr(after, name)]
    for name in MUST_BE_BACK:
        was, now = getattr(before, name), getattr(after, name)
        if now > was:
            found.append(f"{name}: {was} before, {now} after")
    grown, allowed = growth_kib(samples), allowed_kib(samples)
    if grown > allowed:
        found.append(f"memory grew by {grown:.0f} KiB in the second half, where {allowed:.0f} are allowed")
    for name, count in (
        ("answers were told as whole and are not", len(tally.wrong)),
        ("streams had no terminal frame", tally.without_end),
        ("streams had more than one terminal frame", tally.ended_twice),
    ):
        if count:
            found.append(f"{count} {name}")
    return found


def unpunished(attacks: Mapping[str, int], visits: Mapping[str, int], seconds: float) -> list[str]:
    """What hostile peers got away with, and what visitors were not served, each in a sentence.

    A visitor may be told that a provider is out of order or that too many connect, and may wait too long where the
    machine has too much to do; it must not lose its connection.
    """
    found = [
        f"{count} attacks ended as {name!r}" for name, count in attacks.items() if "hanging" in name or "TAKEN" in name
    ]
    least = seconds / ATTACKED_EVERY_S
    if attacks.get("attacks", 0) < least:
        found.append(f"{attacks.get('attacks', 0)} attacks in {seconds:.0f} s, where {least:.0f} at least are due")
    lost = {name: count for name, count in visits.items() if name.endswith(("ConnectionLost", "ProtocolError"))}
    return found + [f"{count} visitors ended in {name!r}" for name, count in lost.items()]
