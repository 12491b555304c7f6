"""What the document shows of signing is what it says, worked out anew from its own words; its messages have schemas."""

import hashlib
import hmac
import json
import re
import struct
from pathlib import Path
from typing import Final

from rxlapce.codec.signing import SignedFrameDecoder
from rxlapce.messages import NUMBERS, Cancel, Status, decode

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = (ROOT / "docs/protocol.md").read_text()
SIGNING: Final = DOCUMENT.partition("## Signing\n")[2].partition("\n## ")[0]


def shown(name: str) -> bytes:
    """The bytes of a row of the worked example."""
    found = re.search(rf"^\| {re.escape(name)} \| `([0-9a-f]+)` \|$", SIGNING, re.MULTILINE)
    assert found is not None, name
    return bytes.fromhex(found[1])


def sha256_mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def signed_bytes() -> bytes:
    dump = SIGNING.partition("```hex\n")[2].partition("```")[0]
    return b"".join(bytes.fromhex(line[6:54]) for line in dump.splitlines())


def test_keys_of_the_worked_example_are_derived_as_it_says() -> None:
    payload = re.search(r"^Payload of the handshake: `(.*)`$", SIGNING, re.MULTILINE)
    assert payload is not None
    assert json.loads(payload[1])["nonce"] == shown("client's nonce").hex()
    assert hashlib.sha256(payload[1].encode()).digest() == shown("said")
    prk = sha256_mac(shown("client's nonce") + shown("daemon's nonce"), shown("secret"))
    assert prk == shown("prk")
    for label in ("client", "daemon", "ring"):
        message = b"rxlapce-1 " + label.encode() + b"\0" + shown("said") + b"\1"
        assert sha256_mac(prk, message) == shown(f"key of `{label}`")


def test_signed_batch_that_it_shows_has_the_trailer_that_it_says() -> None:
    data = signed_bytes()
    assert data[-32:] == sha256_mac(shown("key of `client`"), struct.pack("<Q", 0) + data[:-32])
    decoder = SignedFrameDecoder(shown("key of `client`"), NUMBERS.values())
    frames = decoder.feed(data)
    decoder.close()
    messages = [(frame.request_id, decode(frame.number, frame.payload, receiver="daemon")) for frame in frames]
    assert messages == [(1, Status()), (2, Cancel())]


def test_message_of_the_table_leads_to_the_schema_of_its_number() -> None:
    rows = re.findall(
        r"^\| `(0x[0-9a-f]{4})` \| \[`(\w+)`\]\(\.\./(protocol/schema/[\w-]+\.json)\)", DOCUMENT, re.MULTILINE
    )
    assert {int(number, 16) for number, _, _ in rows} == set(NUMBERS.values())
    for number, tag, path in rows:
        schema = json.loads((ROOT / path).read_text())
        assert (schema["x-number"], schema["properties"]["type"]["const"]) == (int(number, 16), tag)
