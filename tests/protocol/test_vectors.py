"""The vectors of the wire protocol are what their script writes, and our decoders read them however they are cut."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pytest

from rxlapce.codec.frame import Frame, FrameDecoder
from rxlapce.codec.signing import SignedFrameDecoder, derive_keys
from rxlapce.errors import HandshakeRefused, ProtocolError, SequenceGap
from rxlapce.messages import (
    NUMBERS,
    TYPES,
    Handshake,
    StreamChunk,
    StreamDone,
    StreamError,
    WireMessage,
    decode,
)
from rxlapce.transports.handshake import Signing, accept_handshake, client_handshake
from rxlapce.transports.intake import Decoder
from rxlapce.transports.key_file import SigningKey

PROTOCOL: Final = Path(__file__).parents[2] / "protocol"
VECTORS: Final = PROTOCOL / "vectors"
SIGNED: Final[dict[str, Any]] = json.loads((VECTORS / "signing.json").read_text())["vectors"]
VALID: Final = sorted(file.stem for file in (VECTORS / "valid").glob("*.bin"))
INVALID: Final = sorted(file.stem for file in (VECTORS / "invalid").glob("*.bin"))
HANDSHAKES: Final = [name for name in INVALID if "-handshake-" in name]
WITHOUT_HANDSHAKES: Final = [name for name in INVALID if name not in HANDSHAKES]
#: Longer ones are split at places around their frames' borders only.
SPLIT_EVERYWHERE_BYTES: Final = 4096


def receiver_of(name: str) -> Literal["daemon", "client"]:
    return "daemon" if name.startswith("to-daemon-") else "client"


def decoder_for(folder: str, name: str) -> Decoder:
    signed = SIGNED.get(f"{folder}/{name}")
    known = NUMBERS.values()
    return FrameDecoder(known) if signed is None else SignedFrameDecoder(bytes.fromhex(signed["key"]), known)


def run_decoder(folder: str, name: str, pieces: Sequence[bytes]) -> tuple[list[Frame], str | None]:
    """The frames that the pieces are, and the name of the error that they end in."""
    decoder = decoder_for(folder, name)
    frames: list[Frame] = []
    for piece in pieces:
        frames += decoder.feed(piece)
        if decoder.error is not None:
            return frames, type(decoder.error).__name__
    try:
        decoder.close()
    except ProtocolError as error:
        return frames, type(error).__name__
    return frames, None


def ways_to_cut(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and in two at each place."""
    yield [data]
    if len(data) <= SPLIT_EVERYWHERE_BYTES:
        places: Sequence[int] = range(1, len(data))
        yield [data[at : at + 1] for at in range(len(data))]
    else:
        places = [*range(1, 80), *range(len(data) // 2, len(data) // 2 + 80), *range(len(data) - 160, len(data))]
        yield [data[at : at + 997] for at in range(0, len(data), 997)]
    yield from ([data[:at], data[at:]] for at in places)


def shown(frame: Frame) -> dict[str, Any]:
    """A frame as the vectors tell it."""
    payload = json.loads(frame.payload)
    return {"type": frame.number, "flags": frame.flags, "id": frame.request_id, "payload": payload}


class Sequences:
    """The sequence numbers of every stream; a request's id starts anew after its terminal frame."""

    def __init__(self) -> None:
        self._expected: dict[int, int] = {}

    def take(self, request_id: int, message: WireMessage) -> None:
        if not isinstance(message, StreamChunk | StreamDone | StreamError):
            return
        expected = self._expected.pop(request_id, 0)
        if message.seq != expected:
            raise SequenceGap(f"stream {request_id}: expected frame {expected}, got {message.seq}")
        if isinstance(message, StreamChunk):
            self._expected[request_id] = expected + 1


def read_messages(name: str, frames: Sequence[Frame]) -> tuple[int, str | None]:
    """How many frames are messages in sequence, and the name of the error of the next."""
    sequences = Sequences()
    for at, frame in enumerate(frames):
        try:
            sequences.take(frame.request_id, decode(frame.number, frame.payload, receiver=receiver_of(name)))
        except ProtocolError as error:
            return at, type(error).__name__
    return len(frames), None


# -- the files --------------------------------------------------------------------------------------------------------


def make(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROTOCOL / "make.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


def test_vectors_and_schemas_are_what_the_script_writes() -> None:
    done = make("--check")
    assert done.returncode == 0, f"run python protocol/make.py\n{done.stdout}{done.stderr}"


@pytest.mark.heavy  # the script runs twice
def test_script_writes_the_same_elsewhere_and_tells_what_was_changed(tmp_path: Path) -> None:
    assert make("--root", str(tmp_path)).returncode == 0
    written = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*.*")}
    assert written == {name: (PROTOCOL / name).read_bytes() for name in written}
    (tmp_path / "vectors/valid/to-client-text.bin").touch()
    (tmp_path / "schema/cancel.json").write_text("{}")
    done = make("--check", "--root", str(tmp_path))
    told = "schema/cancel.json differs\nvectors/valid/to-client-text.bin is not made here\n"
    assert (done.returncode, done.stdout) == (1, told)


def test_every_message_type_has_vectors_for_each_of_its_receivers() -> None:
    found = {
        (receiver_of(name), frame["type"])
        for name in VALID
        for frame in json.loads((VECTORS / "valid" / f"{name}.json").read_text())
    }
    both = ("daemon", "client")
    assert found == {
        (to, number) for number, (_, told) in TYPES.items() for to in (both if told == "both" else (told,))
    }


def test_every_error_of_the_table_but_those_without_bytes_has_vectors() -> None:
    named = {json.loads((VECTORS / "invalid" / f"{name}.json").read_text())["error"] for name in INVALID}
    found = [ProtocolError]
    for kind in found:
        found += kind.__subclasses__()
    assert {kind.__name__ for kind in found} - named == {"ProtocolError", "FrameError", "RingCorrupt"}


# -- reading them -----------------------------------------------------------------------------------------------------


def check_valid(name: str) -> None:
    data = (VECTORS / "valid" / f"{name}.bin").read_bytes()
    expected = json.loads((VECTORS / "valid" / f"{name}.json").read_text())
    whole, error = run_decoder("valid", name, [data])
    assert error is None, name
    assert [shown(frame) for frame in whole] == expected, name
    assert read_messages(name, whole) == (len(expected), None), name
    for pieces in ways_to_cut(data):
        assert run_decoder("valid", name, pieces) == (whole, None), name


def check_invalid(name: str) -> None:
    data = (VECTORS / "invalid" / f"{name}.bin").read_bytes()
    told = json.loads((VECTORS / "invalid" / f"{name}.json").read_text())
    frames, error = run_decoder("invalid", name, [data])
    sound, of_message = read_messages(name, frames)
    assert told == {"error": of_message or error}, name
    signed = SIGNED.get(f"invalid/{name}")
    if signed is not None:
        assert sound == len(frames) == signed["frames"], name
    for pieces in ways_to_cut(data):
        assert run_decoder("invalid", name, pieces) == (frames, error), name


def topics(names: Sequence[str]) -> list[str]:
    """What vectors are about: `to-RECEIVER-TOPIC-...`."""
    return sorted({"-".join(name.split("-")[:3]) + "-" for name in names})


def about(topic: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if f"{name}-".startswith(topic)]


@pytest.mark.parametrize("topic", topics(VALID))
def test_valid_vectors_are_read_alike_however_they_are_cut(topic: str) -> None:
    for name in about(topic, VALID):
        check_valid(name)


@pytest.mark.parametrize("topic", topics(WITHOUT_HANDSHAKES))
def test_invalid_vectors_are_refused_alike_however_they_are_cut(topic: str) -> None:
    for name in about(topic, WITHOUT_HANDSHAKES):
        check_invalid(name)


# Frames of different vectors that arrive in one read are one sequence of frames.
@pytest.mark.parametrize("to", ["client", "daemon"])
def test_vectors_of_a_receiver_are_read_back_to_back(to: str) -> None:
    names = [name for name in VALID if name.startswith(f"to-{to}-") and f"valid/{name}" not in SIGNED]
    data = b"".join((VECTORS / "valid" / f"{name}.bin").read_bytes() for name in names)
    expected = [one for name in names for one in json.loads((VECTORS / "valid" / f"{name}.json").read_text())]
    decoder = FrameDecoder(NUMBERS.values())
    assert [shown(frame) for frame in decoder.feed(data)] == expected
    decoder.close()


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_first_frame_without_agreement_is_refused(name: str) -> None:
    data = (VECTORS / "invalid" / f"{name}.bin").read_bytes()
    told = json.loads((VECTORS / "invalid" / f"{name}.json").read_text())
    assert told == {"error": HandshakeRefused.__name__}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(data)
        shaking = client_handshake(ours, Handshake(), 5.0) if receiver_of(name) == "client" else _accept(ours)
        with pytest.raises(HandshakeRefused):
            await shaking


async def _accept(sock: socket.socket) -> None:
    await accept_handshake(
        sock,
        make_shm=None,
        server="",
        max_streams=1,
        allowed_uid=os.geteuid(),
        timeout_s=5.0,
        signing=Signing(keys={"laptop": SigningKey("laptop", bytes(32))}),
    )


def test_signing_keys_are_derived_as_the_vectors_tell() -> None:
    derivations = json.loads((VECTORS / "signing.json").read_text())["derivations"]
    assert len(derivations) == 2
    for one in derivations:
        secret, client, daemon = (bytes.fromhex(one[name]) for name in ("secret", "client_nonce", "daemon_nonce"))
        keys = derive_keys(secret, client, daemon, one["handshake"].encode())
        assert {name: getattr(keys, name).hex() for name in ("client", "daemon", "ring")} == one["keys"]
    used = {(one["label"], one["key"]) for one in SIGNED.values()}
    assert used == set(derivations[0]["keys"].items())


def test_handshake_of_the_derivation_is_one() -> None:
    for one in json.loads((VECTORS / "signing.json").read_text())["derivations"]:
        message = decode(NUMBERS[Handshake], one["handshake"].encode(), receiver="daemon")
        assert isinstance(message, Handshake)
        assert message.nonce == one["client_nonce"]
        assert msgspec.json.decode(one["handshake"])["features"] == ["sign"]
