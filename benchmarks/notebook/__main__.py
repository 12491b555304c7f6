"""Shows 100,000 tokens in a real JupyterLab in Chromium: memory of both ends, updates a second, and what a click waits.

At full speed (64 tokens a turn of the kernel's loop, as a read of a fast provider's bytes holds), and paced. The page
is there before the stream begins; a pointer clicks ten times a second until its end is drawn. Needs the dependency
group `notebook` and Chromium; says so and ends with 0 where they are missing.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import machine, progress, table
from benchmarks.notebook.run import Load, Result, as_json, figures, run
from rxlapce.testing.browser import browser, missing
from rxlapce.testing.jupyter import jupyter_lab

#: A name of `figures` -> what it is, and how it is read.
ROWS: Final = (
    ("tokens", "tokens, as the kernel counts"),
    ("shown", "tokens, as the page says"),
    ("kept", "kept one by one"),
    ("seconds", "seconds"),
    ("tokens_per_s", "tokens a second"),
    ("kernel_cpu_us_per_token", "kernel's CPU, us a token"),
    ("kernel_rss_kib", "kernel resident, KiB, before -> after"),
    ("kernel_private_kib", "kernel private, KiB, before -> after"),
    ("js_heap_kib", "page's objects, KiB, before -> after"),
    ("renderer_rss_kib", "renderer resident, KiB, before -> after"),
    ("deltas_per_s", "deltas a second, mean; most"),
    ("drawings_per_s", "drawings a second, mean; most"),
    ("drawing_ms", "one drawing, ms, p50; longest"),
    ("frame_ms", "between frames, ms, p50; longest"),
    ("long_tasks", "tasks over 50 ms"),
    ("longest_task_ms", "longest task, ms"),
    ("clicks", "clicks meanwhile"),
    ("click_ms", "click to the next frame, ms, p50; longest"),
)


def cell(name: str, figure: float | list[float]) -> str:
    """A figure, or two of them."""
    figures = figure if isinstance(figure, list) else [figure]
    return (" -> " if name.endswith("_kib") else "; ").join(f"{one:,}" for one in figures)


def loads(options: argparse.Namespace) -> list[Load]:
    """What is asked for."""
    full = Load("full speed", options.tokens)
    paced = Load(f"{options.rate} a second", options.tokens, options.rate)
    return {"full": [full], "paced": [paced], "both": [full, paced]}[options.load]


async def measure(asked: Sequence[Load]) -> list[Result]:
    """Each load in a notebook and a kernel of its own."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        async with browser() as chromium, jupyter_lab(Path(folder)) as lab:
            for load in asked:
                progress(f"{load.tokens:,} tokens, {load.name}")
                results.append(await run(lab, chromium, load))
    progress("")
    return results


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebook", description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=2_000, help="tokens a second of the paced load")
    parser.add_argument("--load", choices=("full", "paced", "both"), default="both")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    reason = missing("jupyterlab", "anywidget", "ipykernel")
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return 0
    print(machine())
    results = asyncio.run(measure(loads(options)))
    columns = [figures(result) for result in results]
    rows = [[words, *(cell(name, column[name]) for column in columns)] for name, words in ROWS]
    print(table(["", *(result.load.name for result in results)], rows))
    if options.json:
        options.json.write_text(as_json(results))
    return 0 if all(result.shown == result.kernel.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
