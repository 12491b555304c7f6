"""Writes the vectors and the schemas of the wire protocol from the messages in code.

    python protocol/make.py            writes them, and removes what is none of theirs
    python protocol/make.py --check    writes nothing; exits 1 and names what differs (a test runs this)

The same code gives the same bytes. `vectors/README.md` tells what a client does with them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from schemas import schemas
from vectors_invalid import Refused, invalid
from vectors_messages import NONCE
from vectors_valid import DAEMON_NONCE, HANDSHAKE, PRK, SECRET, Vector, valid
from vectors_wire import derive

PROTOCOL = Path(__file__).parent


def lines(values: Sequence[Any]) -> str:
    """A JSON array with one value a line."""
    said = ",\n".join(json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)
    return f"[\n{said}\n]\n" if values else "[]\n"


def signing() -> str:
    """What a client needs to check its signatures: the derivation of keys, then who signs which vector."""
    vectors: dict[str, Any] = {}
    for folder, found in (("valid", valid()), ("invalid", invalid())):
        for one in found:
            if one.key is not None:
                frames = one.frames if isinstance(one, Refused) else len(one.frames)
                key = {"label": one.key.label, "key": one.key.key.hex(), "frames": frames}
                vectors[f"{folder}/{one.name}"] = key
    derivations = [derivation(SECRET), derivation(bytes(range(100)))]
    return json.dumps({"derivations": derivations, "vectors": vectors}, indent=1) + "\n"


def derivation(secret: bytes) -> dict[str, Any]:
    """One worked example of `derive`."""
    prk, keys = derive(secret, NONCE, DAEMON_NONCE, HANDSHAKE)
    if secret == SECRET and prk != PRK:
        raise RuntimeError("the vectors are signed with other keys than signing.json tells")
    return {
        "secret": secret.hex(),
        "client_nonce": NONCE.hex(),
        "daemon_nonce": DAEMON_NONCE.hex(),
        "handshake": HANDSHAKE.decode(),
        "prk": prk.hex(),
        "keys": {key.label: key.key.hex() for key in keys},
    }


def made() -> Iterator[tuple[str, bytes]]:
    """Every file, by its path below this folder."""
    for vector in valid():
        yield from _pair("valid", vector, lines(vector.told()))
    for refused in invalid():
        yield from _pair("invalid", refused, json.dumps({"error": refused.error}) + "\n")
    yield "vectors/signing.json", signing().encode()
    for name, schema in schemas():
        yield f"schema/{name}.json", (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()


def _pair(folder: str, vector: Vector | Refused, told: str) -> Iterator[tuple[str, bytes]]:
    yield f"vectors/{folder}/{vector.name}.bin", vector.data
    yield f"vectors/{folder}/{vector.name}.json", told.encode()


def main() -> int:
    """Write the files, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something differs")
    parser.add_argument("--root", type=Path, default=PROTOCOL, help="where the files are (default: here)")
    options = parser.parse_args()
    files: dict[Path, bytes] = {}
    for name, data in made():
        path = options.root / name
        if path in files:
            raise RuntimeError(f"two vectors have the name {name}")
        files[path] = data
    folders = ("vectors/valid", "vectors/invalid", "schema")
    strangers = {file for folder in folders for file in (options.root / folder).glob("*")} - files.keys()
    changed = [path for path, data in files.items() if not path.is_file() or path.read_bytes() != data]
    for path in sorted([*changed, *strangers]):
        sys.stdout.write(f"{path.relative_to(options.root)} {'is not made here' if path in strangers else 'differs'}\n")
    if options.check:
        return int(bool(changed or strangers))
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path])
    for path in strangers:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
