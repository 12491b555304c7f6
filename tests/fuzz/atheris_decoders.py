"""Fuzz the decoders, guided by coverage: `python tests/fuzz/atheris_decoders.py --seconds 60 [--only API]`.

Atheris (https://github.com/google/atheris) is no dependency of the project: `pip install atheris` first. Each target
runs in a child process of its own, since libFuzzer ends its process. Mutations are those of `rxlapce.testing.mutations`
and libFuzzer's own; the rules are those of `rxlapce.testing.decoding`. What breaks a rule is counted, and its shortest
input kept in the folder `--findings`; a table comes at the end. Targets: the APIs, `unary:` and an API for its bodies
in one piece, `codec:` and a framing, `codec:frame` for the project's own frames, and `wire:` for what its peers can do
(`rxlapce.testing.wire_rules`).
"""

import argparse
import asyncio
import hashlib
import importlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
atheris: Any = importlib.import_module("atheris")  # untyped, and not in the project's environment

INSTRUMENTED = ["rxlapce.codec", "rxlapce.dialects", "rxlapce.operators", "rxlapce.transports", "rxlapce.messages"]
with atheris.instrument_imports(include=INSTRUMENTED):
    importlib.import_module("rxlapce.transports.handshake")
    importlib.import_module("rxlapce.providers.apis")  # all dialects, codecs and operators

# After the decoders, and not instrumented.
from rxlapce.codec.frame import encode_frame  # noqa: E402
from rxlapce.providers.apis import APIS  # noqa: E402
from rxlapce.testing.corpus import CODECS, mutators  # noqa: E402
from rxlapce.testing.decoding import decode_all_cuts, read_answer, read_error, run_codec_all_cuts  # noqa: E402
from rxlapce.testing.mutations import edit_bytes  # noqa: E402
from rxlapce.testing.samples import SAMPLES, UNARY  # noqa: E402
from rxlapce.testing.wire_rules import WIRE_TARGETS, WireTarget  # noqa: E402

TARGETS = [
    *APIS,
    *(f"unary:{api}" for api in APIS),
    *(f"codec:{name}" for name in CODECS),
    *(f"wire:{name}" for name in WIRE_TARGETS),
]
#: Instrumented code is slower, and the machine may be busy.
SLOWER = 12.0
MAX_INPUT_BYTES = 2**12
#: How often the process looks at its own memory, in executions.
LOOK_EVERY = 500
STATUSES = (299, 400, 401, 403, 404, 413, 429, 500, 503, 529, 999)


# -- one target, in the child -----------------------------------------------------------------------------------------


def cuttings(data: bytes) -> list[range]:
    """Whole, and in one other way: all of them for each input would leave no time for other inputs."""
    size, chosen = len(data), crc32(data) % 16
    step = {0: 1, 1: 2, 2: 3, 3: 7}.get(chosen, 31 + chosen)
    return [range(0), range(chosen + 1, size, step)]


def check_stream(api: str, data: bytes) -> None:
    decode_all_cuts(api, data, cuttings(data), slower=SLOWER)


def check_unary(api: str, data: bytes) -> None:
    dialect = APIS[api].dialect()
    read_answer(dialect, data, slower=SLOWER)
    said = data[:200].decode("utf-8", "surrogateescape")
    headers = {"retry-after": said, "x-request-id": said, "x-should-retry": "true", "x-amzn-errortype": said[:20]}
    status = STATUSES[len(data) % len(STATUSES)]
    read_error(dialect, status, headers if len(data) % 2 else {}, data, slower=SLOWER)


def check_codec(name: str, data: bytes) -> None:
    for make in CODECS[name]:
        run_codec_all_cuts(make, data, cuttings(data))


def target_of(name: str) -> tuple[Callable[[bytes], None], Callable[[bytes, random.Random], bytes], list[bytes]]:
    """What checks an input, what mutates one, and the inputs to start with."""
    kind, _, rest = name.rpartition(":")
    if name == "codec:frame":
        return lambda data: check_codec(rest, data), another_frame, [encode_frame(1, 0, 7, b"{}") * 3]
    if kind == "wire":
        return wire_target(WIRE_TARGETS[rest])
    if kind == "codec":
        mutator = mutators()[next((api for api in APIS if APIS[api].framing.name == rest), "openai.chat.completions")]
        return lambda data: check_codec(rest, data), mutator.mutate, mutator.seeds
    if kind == "unary":
        mutator = mutators()[rest]
        values = [*UNARY.get(rest, []), *(value for _, value in SAMPLES[rest])]
        seeds = [json.dumps(value).encode() for value in values]

        def mutate(data: bytes, chance: random.Random) -> bytes:
            try:
                value = json.loads(data)
            except (ValueError, RecursionError):
                value = json.loads(chance.choice(seeds))
            return mutator.unary(value, chance)

        return lambda data: check_unary(rest, data), mutate, seeds
    mutator = mutators()[name]
    return lambda data: check_stream(name, data), mutator.mutate, mutator.seeds


def wire_target(
    target: WireTarget,
) -> tuple[Callable[[bytes], None], Callable[[bytes, random.Random], bytes], list[bytes]]:
    """As `target_of`, with a loop for those that need one."""
    loop = asyncio.new_event_loop()

    def mutate(data: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.1:
            data = chance.choice(target.seeds)
        return target.mend(edit_bytes(data, chance)) if chance.random() < 0.7 else edit_bytes(data, chance)

    return lambda data: target.check(loop, data, cuttings(data)), mutate, target.seeds


def another_frame(data: bytes, chance: random.Random) -> bytes:
    """Our own frames: one more, with a right checksum, or a mistake in one."""
    if chance.random() < 0.5:
        return edit_bytes(data, chance)
    frame = encode_frame(chance.randint(1, 3), chance.choice((0, 4, 8, 48)), chance.getrandbits(64), data[:60])
    return data + frame if chance.random() < 0.5 else frame + data


def resident_mib() -> float:
    """Memory of this process that is resident now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def fuzz(name: str, seconds: int, findings: Path, folder: Path) -> None:
    """Run one target; never returns."""
    check, mutate, seeds = target_of(name)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed[:MAX_INPUT_BYTES])
    broken: Counter[str] = Counter()
    shortest: dict[str, int] = {}
    looks: list[float] = []
    runs = 0

    def one_input(data: bytes) -> None:
        nonlocal runs
        runs += 1
        try:
            check(data)
        except Exception as error:  # noqa: BLE001 - whatever it is: it is a finding
            where = _place(error)
            broken[where] += 1
            if len(data) < shortest.get(where, MAX_INPUT_BYTES + 1):
                shortest[where] = len(data)
                mark = hashlib.sha256(where.encode()).hexdigest()[:12]
                (findings / f"{mark}.txt").write_text(f"{name}\n{where}\n\n{traceback.format_exc()}")
                (findings / f"{mark}.bin").write_bytes(data)
        if runs % LOOK_EVERY == 0:
            looks.append(resident_mib())
            report = {"runs": runs, "first": looks[0], "last": looks[-1], "broken": broken}
            (folder / "report.json").write_text(json.dumps(report))

    def custom(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        mutated: bytes = atheris.Mutate(data, max_size) if seed % 4 == 0 else mutate(data, chance)
        return mutated[:max_size]

    limits = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        "-rss_limit_mb=2048",
        "-timeout=120",
        "-report_slow_units=100",
    ]
    options = [*limits, "-print_final_stats=1", f"-artifact_prefix={findings}/", str(corpus)]
    atheris.Setup([sys.argv[0], *options], one_input, custom_mutator=custom)
    atheris.Fuzz()


def _place(error: Exception) -> str:
    """What broke, in one line that is the same for the same fault."""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    ours = [frame for frame in frames if "/testing/" not in frame.filename and "/fuzz/" not in frame.filename]
    at = (ours or frames)[-1]
    what = re.sub(r"\d+", "N", str(error).partition("\n")[0].partition(":")[0])
    return f"{type(error.__cause__ or error).__name__} at {Path(at.filename).name}:{at.lineno}: {what}"


# -- all of them, in the parent ---------------------------------------------------------------------------------------


def run_target(name: str, seconds: int, findings: Path) -> dict[str, Any]:
    """Run one target in a child; its figures."""
    report: dict[str, Any] = {"runs": 0, "first": 0, "last": 0, "broken": {}}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--seconds", str(seconds), "--only", name, "--findings", str(findings)]
        before = os.times()
        start = time.monotonic()
        done = subprocess.run(
            [*command, "--child", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        after = os.times()
        output = done.stdout.decode("utf-8", "replace")
        with suppress(OSError, ValueError):
            report = json.loads((Path(folder) / "report.json").read_bytes())
    covered = [int(number) for number in re.findall(r" cov: (\d+) ", output)]
    executed = re.search(r"number_of_executed_units:\s+(\d+)", output)
    peak = re.search(r"peak_rss_mb:\s+(\d+)", output)
    if done.returncode != 0:
        sys.stdout.write(f"{name} ended with {done.returncode}:\n{output[-3000:]}\n")
    return {
        "target": name,
        "runs": int(executed[1]) if executed else report["runs"],
        "cpu": after.children_user + after.children_system - before.children_user - before.children_system,
        "wall": time.monotonic() - start,
        "covered": (covered[0], covered[-1]) if covered else (0, 0),
        "memory": (report["first"], report["last"], int(peak[1]) if peak else 0),
        "broken": report["broken"],
        "ended": done.returncode,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The figures of all targets, and each finding."""
    head = (
        f"{'target':48} {'runs':>9} {'runs/s':>7} {'CPU s':>7} {'cov: first, last':>17} {'MiB: first, last, peak':>23}"
    )
    lines = [f"{head} {'findings':>8} {'exit':>4}"]
    for row in rows:
        first, last, peak = row["memory"]
        cover = f"{row['covered'][0]}, {row['covered'][1]}"
        memory = f"{first:.0f}, {last:.0f}, {peak}"
        rate = row["runs"] / row["wall"]
        lines.append(
            f"{row['target']:48} {row['runs']:9} {rate:7.0f} {row['cpu']:7.0f} {cover:>17} {memory:>23} "
            f"{len(row['broken']):8} {row['ended']:4}"
        )
    lines.append(f"{'all':48} {sum(row['runs'] for row in rows):9} {'':7} {sum(row['cpu'] for row in rows):7.0f}")
    lines += [f"  {row['target']}: {n} x {where}" for row in rows for where, n in row["broken"].items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the decoders, one target after the other.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--only", action="append", choices=TARGETS, help="this target; may be given several times")
    parser.add_argument("--findings", type=Path, default=Path(".cache/fuzz"), help="where inputs are kept that break")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    findings: Path = given.findings.resolve()
    findings.mkdir(parents=True, exist_ok=True)
    if given.child is not None:
        fuzz(given.only[0], given.seconds, findings, given.child)
    rows: list[dict[str, Any]] = []
    for name in given.only or TARGETS:
        rows.append(run_target(name, given.seconds, findings))
        sys.stdout.write(table(rows[-1:]) + "\n")
        sys.stdout.flush()
    sys.stdout.write("\n" + table(rows) + "\n")
    return 1 if any(row["broken"] or row["ended"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
