"""Writes the tables of the documents that repeat what the code says, so that they cannot drift apart.

    python docs/tables.py            writes them
    python docs/tables.py --check    writes nothing; exits 1 and names what differs (a test runs this)

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the rest of a document is written by hand.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import tables_bridge
import tables_chat
import tables_cli
import tables_config
import tables_keys
import tables_logs
import tables_metrics
import tables_pipelines
import tables_protocol
import tables_requests
import tables_resilience

DOCS = Path(__file__).parent
DOCUMENTS = (
    "protocol.md",
    "bridge.md",
    "chat.md",
    "cli.md",
    "config.md",
    "pipelines.md",
    "keys.md",
    "logs.md",
    "metrics.md",
    "providers.md",
    "requests.md",
    "resilience.md",
)
MARK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLES: dict[str, Callable[[], str]] = {
    **tables_protocol.TABLES,
    **tables_bridge.TABLES,
    **tables_chat.TABLES,
    **tables_cli.TABLES,
    **tables_logs.TABLES,
    **tables_config.TABLES,
    **tables_keys.TABLES,
    **tables_metrics.TABLES,
    **tables_pipelines.TABLES,
    **tables_requests.TABLES,
    **tables_resilience.TABLES,
}


def filled(text: str) -> str:
    """The document with each table as the code says it now. Raises KeyError for a table without a name here."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{TABLES[mark[2]]()}\n\n{mark[3]}", text)


def main() -> int:
    """Write the tables, or say how they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something differs")
    parser.add_argument("files", nargs="*", type=Path, default=[DOCS / name for name in DOCUMENTS])
    options = parser.parse_args()
    drifted = False
    for file in options.files:
        old = file.read_text()
        new = filled(old)
        if old == new:
            continue
        drifted = True
        if options.check:
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(file), "code"))
        else:
            file.write_text(new)
    return int(drifted and options.check)


if __name__ == "__main__":
    sys.exit(main())
