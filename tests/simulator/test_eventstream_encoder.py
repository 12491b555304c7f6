import base64
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.codec.eventstream import EventStreamDecoder
from rxlapce.errors import BadEventStream, EventStreamFault
from rxlapce.simulator.bedrock.eventstream_encoder import MessageKind, corrupted, event, exception

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(
    st.lists(st.tuples(st.dictionaries(NAMES, st.text(max_size=40), max_size=4), st.binary(max_size=300)), max_size=4)
)
def test_what_is_encoded_is_decoded_again(said: list[tuple[dict[str, str], bytes]]) -> None:
    messages = EventStreamDecoder().feed(b"".join(MessageKind(headers).encode(payload) for headers, payload in said))
    assert [
        ({name: value.value for name, value in message.headers.items()}, message.payload) for message in messages
    ] == said


def test_a_kind_encodes_payloads_of_one_length_and_of_many_alike() -> None:
    kind = event("messageStart")
    payloads = [b"a" * (size % 1500) for size in range(3000)]
    messages = EventStreamDecoder().feed(b"".join(map(kind.encode, payloads)))
    assert [message.payload for message in messages] == payloads


def test_the_bytes_are_those_of_the_published_conformance_cases(recordings: Path) -> None:
    checked = 0
    for case in msgspec.json.decode((recordings / "eventstream_conformance.json").read_bytes()):
        expected = case["expected_events"]
        if len(expected) != 1 or case["expected_error"] or case["incomplete_tail_bytes"]:
            continue
        headers = expected[0]["headers"]
        if all(header["type"] == "string" for header in headers):
            kind = MessageKind({header["name"]: header["value"] for header in headers})
            said = kind.encode(base64.b64decode(expected[0]["payload_base64"]))
            assert said == base64.b64decode(case["input_base64"]), case["name"]
            checked += 1
    assert checked


def test_a_recorded_stream_is_encoded_to_the_same_bytes(recordings: Path) -> None:
    wire = (recordings / "bedrock" / "converse-mid-stream-exception.eventstream").read_bytes()
    said = bytearray()
    for message in EventStreamDecoder().feed(wire):
        name = message.text_header(":event-type")
        failed = message.text_header(":exception-type")
        said += (event(name) if name else exception(failed or "")).encode(message.payload)
    assert bytes(said) == wire


def test_a_corrupted_message_fails_its_checksum() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(corrupted(event("chunk").encode(b"{}"))) == []
    assert isinstance(decoder.error, BadEventStream)
    assert decoder.error.fault is EventStreamFault.MESSAGE_CRC
