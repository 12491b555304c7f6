"""Does to a running daemon all that may go wrong beside it, and tells case by case what became of it.

Provider, daemon, clients and enemies are processes of their own. In every case a bystander's six streams go on, by
shared memory, socket and signed, and must stay whole. Ends with 1 if a promise was broken.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.cases import CASES
from benchmarks.faults.finding import FULL, QUICK, Finding, Size, examine, table
from benchmarks.faults.rig import rig
from rxlapce.requests import ChatRequest, Message


async def run(size: Size, only: str) -> list[Finding]:
    """All cases, or those whose name has that in it."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        async with rig(Path(folder)) as made:
            # What is made once and kept: code, caches, the allocator's first pools.
            request = ChatRequest(model="local/sim:tokens=20000", messages=(Message(role="user", content="x"),))
            await made.observer.chat(request)
            await made.attack("churn", 200)
            for case in CASES:
                if only in case.name:
                    print(f"{case.name} ...", file=sys.stderr, flush=True)
                    findings.append(await examine(made, case, size, time.monotonic))
    return findings


def main() -> int:
    """Run it; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, and no waiting for a minute")
    parser.add_argument("--only", default="", metavar="WORDS", help="the cases whose name has these words in it")
    parser.add_argument("--json", action="store_true", help="one JSON object a case")
    options = parser.parse_args()
    findings = asyncio.run(run(QUICK if options.quick else FULL, options.only))
    if options.json:
        for finding in findings:
            print(json.dumps(asdict(finding)))
    else:
        print(table(findings))
    return int(any(finding.broken for finding in findings) or not findings)


if __name__ == "__main__":
    sys.exit(main())
