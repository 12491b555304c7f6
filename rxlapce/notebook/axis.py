"""A clock to read off: sensible ticks, and lengths of time and sizes in words."""

import math
from typing import Final, NamedTuple

_LONG_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 18_000, 43_200, 86_400)


class Tick(NamedTuple):
    """One tick of a clock: its time in seconds, and what is written there."""

    t: float
    words: str


def ticks(until: float, most: int) -> list[Tick]:
    """Ticks from 0 to `until` seconds, `most` (from 2) at most, at round numbers, all in one unit."""
    step = _step(until / (most - 1)) if until > 0 else 1.0
    unit, scale = next(((unit, scale) for unit, scale, above in _UNITS if step >= above), _UNITS[-1][:2])
    digits = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    # Counted and not added up: a sum would drift off the round numbers.
    places = [number * step for number in range(int(until / step + 1e-9) + 1)]
    if step >= 15:
        return [Tick(t, _clock(t)) for t in places]
    return [Tick(t, f"{t * scale:.{digits}f} {unit}" if t else "0") for t in places]


def duration(seconds: float) -> str:
    """A length of time in three digits: 850 µs, 12.3 ms, 4.05 s, 2 min 5 s, 1 h 3 min."""
    if seconds < 0.9995e-3:
        return f"{_three(seconds * 1e6)} µs"
    if seconds < 0.9995:
        return f"{_three(seconds * 1e3)} ms"
    if seconds < 59.95:
        return f"{_three(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def amount(number: int) -> str:
    """How many bytes: 512 B, 4.1 kB, 12 MB."""
    if number < 1_000:
        return f"{number} B"
    return f"{_three(number / 1e3)} kB" if number < 999_500 else f"{_three(number / 1e6)} MB"


#: A unit, what a second is in it, and from which step on it is used.
_UNITS: Final = (("s", 1.0, 0.1), ("ms", 1e3, 1e-4), ("µs", 1e6, 0.0))


def _step(least: float) -> float:
    """The smallest round step that is not under `least` seconds."""
    if least > 5:
        return next((step for step in _LONG_STEPS_S if step >= least), math.ceil(least / 86_400) * 86_400)
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least * 0.9999)


def _clock(t: float) -> str:
    minutes, seconds = divmod(round(t), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _three(value: float) -> str:
    if value <= 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(value)))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else f"{value:,.0f}"
