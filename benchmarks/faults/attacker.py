"""A hostile client as a process of its own: `python -m benchmarks.faults.attacker KIND SOCKET KEYS [NUMBER]`.

Prints one line of JSON with how its attacks ended; `full` first prints `full`, and then waits for a line.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from benchmarks.faults import attacks, ring_attacks
from benchmarks.faults.raw import RawClient
from rxlapce.messages import Heartbeat
from rxlapce.transports.key_file import SigningKey, only_key
from rxlapce.transports.ring import DATA_OFFSET

Kind = Callable[[Path, SigningKey, float], Any]


def _torn(path: Path, key: SigningKey, pause_s: float) -> Any:
    return attacks.torn(path, key) + attacks.torn_and_slow(path, pause_s)


def _flipped(path: Path, key: SigningKey, step: float) -> Any:
    return attacks.flipped(path, None, range(0, attacks.flippable_bits(None), int(step)))


def _flipped_signed(path: Path, key: SigningKey, step: float) -> Any:
    return attacks.flipped(path, key, range(0, attacks.flippable_bits(key), int(step)))


def _ring(path: Path, key: SigningKey, rounds: float) -> Any:
    ends: Counter[str] = Counter()
    for _ in range(int(rounds)):
        ends.update(f"corrupt: {ring_attacks.corrupt(path, name)}" for name in ring_attacks.CORRUPT)
        ends.update(f"harmless: {ring_attacks.harmless(path, name)}" for name in ring_attacks.HARMLESS)
        ends[f"data scribbled: {ring_attacks.scribbled(path)}"] += 1
    return ends


def _churn(path: Path, key: SigningKey, connections: float) -> Any:
    began_s = time.monotonic()
    ends = attacks.churn(path, int(connections))
    return {"ends": ends, "seconds": time.monotonic() - began_s}


def _never_ending(path: Path, key: SigningKey, connections: float) -> Any:
    return attacks.never_ending(path, int(connections))


def _full(path: Path, key: SigningKey, tokens: float) -> Any:
    """Two streams into a ring that nobody reads; then, after a line, all of it."""
    with RawClient(path).greet("shm") as client:
        for request_id in (1, 2):
            client.send(ring_attacks.asked(f"local/full:steady=1,tokens={int(tokens)}"), request_id)
        assert client.memory is not None
        capacity = len(client.memory) - DATA_OFFSET
        ring_attacks.wait_for_bytes(client, capacity - 4096)
        client.send(Heartbeat(echo=True), 3)
        answered = client.receive() == (3, Heartbeat())
        print("full", flush=True)
        sys.stdin.readline()
        texts: dict[int, str] = {}
        how = ring_attacks.read_whole(client, {1, 2}, texts)
        digests = [sha256(texts.get(number, "").encode()).hexdigest() for number in (1, 2)]
        return {"how": how, "heartbeat": answered, "sha256": digests}


KINDS: Final[dict[str, Kind]] = {
    "torn": _torn,
    "flipped": _flipped,
    "flipped-signed": _flipped_signed,
    "ring": _ring,
    "churn": _churn,
    "never-ending": _never_ending,
    "full": _full,
}


if __name__ == "__main__":
    kind, socket_path, key_file, *rest = sys.argv[1:]
    number = float(rest[0]) if rest else 1.0
    print(json.dumps(KINDS[kind](Path(socket_path), only_key(Path(key_file)), number)), flush=True)
