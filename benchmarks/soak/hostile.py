"""Peers that break the protocol, one after the other: `python -m benchmarks.soak.hostile SOCKET KEYS SECONDS SEED`.

The attacks of `benchmarks.faults`, in small portions. Prints as JSON how they ended; `left hanging` and `TAKEN` must
not be among that.
"""

import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from benchmarks.faults import attacks, ring_attacks
from benchmarks.faults.raw import Refused
from rxlapce.errors import RxlapceError
from rxlapce.transports.key_file import SigningKey, only_key

PAUSE_S: Final = 1.0
#: The slowest attack waits for 30 s.
STUCK_S: Final = 90
Attack = Callable[[Path, SigningKey, random.Random], Counter[str]]


def _torn(path: Path, key: SigningKey, chance: random.Random) -> Counter[str]:
    return attacks.torn(path, key) if chance.random() < 0.7 else attacks.torn_and_slow(path, 0.5)


def _flipped(path: Path, key: SigningKey, chance: random.Random) -> Counter[str]:
    signs = key if chance.random() < 0.5 else None
    return attacks.flipped(path, signs, chance.sample(range(attacks.flippable_bits(signs)), 15))


def _ring(path: Path, key: SigningKey, chance: random.Random) -> Counter[str]:
    del key
    if chance.random() < 0.3:
        return Counter([ring_attacks.scribbled(path)])
    name = chance.choice([*ring_attacks.CORRUPT, *ring_attacks.HARMLESS])
    how = ring_attacks.corrupt(path, name) if name in ring_attacks.CORRUPT else ring_attacks.harmless(path, name)
    return Counter([how.partition(":")[0]])


def _churn(path: Path, key: SigningKey, chance: random.Random) -> Counter[str]:
    del key
    return attacks.churn(path, chance.randrange(20, 200))


def _never_ending(path: Path, key: SigningKey, chance: random.Random) -> Counter[str]:
    del key
    told = attacks.never_ending(path, chance.randrange(1, 40))
    return Counter({f"half-open: {name}": int(told[name]) for name in ("refused", "closed")}) + Counter(
        {"left hanging": int(told["hanging"])}
    )


ATTACKS: Final[dict[str, Attack]] = {
    "torn": _torn,
    "flipped": _flipped,
    "ring": _ring,
    "churn": _churn,
    "half-open": _never_ending,
}
WEIGHTS: Final = (25, 25, 30, 17, 3)


class Stuck(Exception):
    """An attack has come to no end."""


def _stuck(signum: int, frame: FrameType | None) -> None:
    raise Stuck(f"after {STUCK_S} s")


def main(path: Path, keys: Path, seconds: float, seed: int) -> None:
    """Attack until the time is over."""
    chance, ends, key = random.Random(seed), Counter[str](), only_key(keys)  # noqa: S311 - test data
    signal.signal(signal.SIGALRM, _stuck)
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        name = chance.choices(tuple(ATTACKS), WEIGHTS)[0]
        ends["attacks"] += 1
        signal.alarm(STUCK_S)
        try:
            for how, count in ATTACKS[name](path, key, chance).items():
                ends[f"{name}: {how}"] += count
        except Stuck:
            ends[f"{name}: left hanging"] += 1
        except (OSError, Refused, RxlapceError) as error:  # the provider is out of order, or the machine is slow
            ends[f"{name}: {type(error).__name__}"] += 1
        signal.alarm(0)
        time.sleep(chance.uniform(0, 2 * PAUSE_S))
    print(json.dumps(ends), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
