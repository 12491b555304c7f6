"""Signed frames: keys by an independent HKDF, batches at every cut, and every way to cheat."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.codec.frame import HEADER_BYTES, SIGNED, Flag, Frame, FrameDecoder, encode_frame
from rxlapce.codec.signing import (
    MAX_BATCH_BYTES,
    TRAILER_BYTES,
    SignedFrameDecoder,
    Signer,
    derive_keys,
    signed_frame,
)
from rxlapce.errors import (
    BadChecksum,
    BadFlags,
    BadMagic,
    BadMessageType,
    BadSignature,
    FrameError,
    FrameTooLarge,
    TruncatedFrame,
)

KEY = bytes(range(32))
PART = int(Flag.RESPONSE | Flag.STREAM_PART)
payloads = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), max_size=5)


def batch(signer: Signer, *frames: bytes) -> bytes:
    out = bytearray(b"".join(frames))
    signer.seal(out, len(out), len(frames[-1]))
    return bytes(out)


def frame(payload: bytes = b"{}", number: int = 0x0312) -> bytes:
    return encode_frame(number, PART, 7, payload)


def refusal(data: bytes, decoder: SignedFrameDecoder | None = None) -> FrameError:
    decoder = decoder or SignedFrameDecoder(KEY)
    assert decoder.feed(data) == []
    assert decoder.error is not None
    with pytest.raises(type(decoder.error)):
        decoder.feed(b"")
    return decoder.error


def test_the_keys_are_those_of_rfc_5869() -> None:
    secret, client, daemon, handshake = b"s" * 32, b"c" * 32, b"d" * 32, b'{"type":"handshake"}'
    keys = derive_keys(secret, client, daemon, handshake)
    for way, key in ((b"client", keys.client), (b"daemon", keys.daemon), (b"ring", keys.ring)):
        info = b"rxlapce-1 " + way + b"\0" + hashlib.sha256(handshake).digest()
        assert HKDF(SHA256(), 32, client + daemon, info).derive(secret) == key
    assert len({keys.client, keys.daemon, keys.ring}) == 3


@pytest.mark.parametrize("changed", ["secret", "client_nonce", "daemon_nonce", "handshake"])
def test_any_other_input_gives_other_keys(changed: str) -> None:
    given_ = {"secret": b"s" * 32, "client_nonce": b"c" * 32, "daemon_nonce": b"d" * 32, "handshake": b"h" * 32}
    assert derive_keys(**given_).client != derive_keys(**{**given_, changed: b"x" * 32}).client


@pytest.mark.parametrize("wrong", [(31, 32, 32), (32, 31, 32), (32, 32, 33)])
def test_secrets_and_nonces_have_their_lengths(wrong: tuple[int, int, int]) -> None:
    secret, client, daemon = (bytes(length) for length in wrong)
    with pytest.raises(ValueError, match="expected two nonces of 32 bytes and a secret of at least 32"):
        derive_keys(secret, client, daemon, b"")


def test_keys_are_not_printed() -> None:
    keys = derive_keys(b"s" * 32, b"c" * 32, b"d" * 32, b"")
    assert keys.client.hex() not in repr(keys)
    assert repr(keys.client) not in repr(keys)


def test_a_trailer_is_the_mac_of_the_counter_and_the_batch() -> None:
    signer = Signer(KEY)
    first, second = batch(signer, frame(b"a"), frame(b"b")), batch(signer, frame(b"c"))
    for counter, sealed in enumerate((first, second)):
        said, trailer = sealed[:-TRAILER_BYTES], sealed[-TRAILER_BYTES:]
        assert hmac.digest(KEY, counter.to_bytes(8, "little") + said, "sha256") == trailer
    assert second[5] == PART | SIGNED
    plain = FrameDecoder(signed=True)
    assert [one.flags for one in plain.feed(first[:-TRAILER_BYTES])] == [PART, PART | SIGNED]


@given(payloads, st.data())
def test_frames_come_back_however_the_bytes_are_cut(batches: list[list[bytes]], data: st.DataObject) -> None:
    signer = Signer(KEY)
    wire = b"".join(batch(signer, *(frame(payload) for payload in payloads)) for payloads in batches)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=8)))
    decoder = SignedFrameDecoder(KEY)
    found: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += decoder.feed(wire[start:end])
        assert decoder.error is None
    assert [one.payload for one in found] == [payload for payloads in batches for payload in payloads]
    decoder.close()


def test_every_split_gives_the_same_and_nothing_before_its_trailer() -> None:
    signer = Signer(KEY)
    first = batch(signer, frame(b"a"), frame(b"bc"))
    wire = first + batch(signer, frame(b"d"))
    for at in range(len(wire) + 1):
        decoder = SignedFrameDecoder(KEY)
        early = decoder.feed(wire[:at])
        assert len(early) == (0 if at < len(first) else 2 if at < len(wire) else 3)
        assert [one.payload for one in early + decoder.feed(wire[at:])] == [b"a", b"bc", b"d"]
    decoder = SignedFrameDecoder(KEY)
    one_by_one = [one for byte in wire for one in decoder.feed(bytes([byte]))]
    assert [one.payload for one in one_by_one] == [b"a", b"bc", b"d"]


def test_every_flipped_bit_is_found() -> None:
    wire = batch(Signer(KEY), frame(b"a"), frame(b"bc"))
    for at in range(len(wire)):
        for bit in range(8):
            bent = bytearray(wire)
            bent[at] ^= 1 << bit
            decoder = SignedFrameDecoder(KEY)
            assert decoder.feed(bent) == []
            # A longer length, or a flag that promises a trailer, waits for bytes that never come.
            if decoder.error is None:
                with pytest.raises(TruncatedFrame):
                    decoder.close()


def test_a_forger_who_mends_the_checksum_is_found() -> None:
    assert isinstance(refusal(batch(Signer(bytes(32)), frame())), BadSignature)
    honest = batch(Signer(KEY), frame(b"pay 1"))
    forged = batch(Signer(bytes(32)), frame(b"pay 9"))[:-TRAILER_BYTES] + honest[-TRAILER_BYTES:]
    assert "does not match" in str(refusal(forged))


def test_a_batch_that_is_repeated_left_out_or_moved_is_found() -> None:
    signer = Signer(KEY)
    first, second, third = (batch(signer, frame(payload)) for payload in (b"1", b"2", b"3"))
    for wire, whole in ((first + first, 1), (first + third, 1), (second, 0), (first + third + second, 1)):
        decoder = SignedFrameDecoder(KEY)
        assert len(decoder.feed(wire)) == whole
        assert isinstance(decoder.error, BadSignature)


def test_a_frame_without_signature_is_not_handed_on() -> None:
    signer = Signer(KEY)
    decoder = SignedFrameDecoder(KEY)
    assert decoder.feed(frame(b"unsigned")) == []
    assert decoder.error is None
    # The next trailer is of a batch that it is not in.
    assert decoder.feed(batch(signer, frame(b"signed"))) == []
    assert isinstance(decoder.error, BadSignature)


def test_a_batch_must_be_signed_at_its_bound() -> None:
    half = frame(bytes(MAX_BATCH_BYTES // 2 - HEADER_BYTES))
    decoder = SignedFrameDecoder(KEY)
    assert decoder.feed(half) == []
    assert decoder.error is None
    assert "65,536 bytes in 2 frames without a signature" in str(refusal(half, decoder))
    allowed = SignedFrameDecoder(KEY)
    assert len(allowed.feed(batch(Signer(KEY), half, half))) == 2


def test_an_end_before_the_trailer_is_a_truncation() -> None:
    wire = batch(Signer(KEY), frame(b"a"), frame(b"b"))
    for at in range(1, len(wire)):
        decoder = SignedFrameDecoder(KEY)
        decoder.feed(wire[:at])
        with pytest.raises(TruncatedFrame):
            decoder.close()


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (b"HTTP", BadMagic),
        (frame()[:5] + b"\x02" + frame()[6:], BadFlags),
        (frame(number=0x9999), BadMessageType),
        (encode_frame(0x0312, PART, 1, bytes(101)), FrameTooLarge),
        (frame()[:-1] + b"]", BadChecksum),
    ],
)
def test_the_errors_of_frames_are_those_of_an_unsigned_way(wire: bytes, error: type[FrameError]) -> None:
    for whole in (True, False):
        decoder = SignedFrameDecoder(KEY, known=(0x0312,), max_payload_bytes=100)
        for piece in (wire,) if whole else (wire[at : at + 1] for at in range(len(wire))):
            if decoder.error is None:
                assert decoder.feed(piece) == []
        assert isinstance(decoder.error, error)


def test_a_signed_frame_is_refused_where_nothing_was_agreed() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(signed_frame(frame(), Signer(KEY))) == []
    assert isinstance(decoder.error, BadFlags)
    assert "SIGNED" in str(decoder.error)


def test_frames_compare_without_their_signature() -> None:
    decoder = SignedFrameDecoder(KEY)
    (found,) = decoder.feed(signed_frame(frame(b"x"), Signer(KEY)))
    assert found.flags == PART | SIGNED
    assert replace_flags(found) == FrameDecoder().feed(frame(b"x"))[0]


def replace_flags(one: Frame) -> Frame:
    return Frame(one.number, one.flags & ~SIGNED, one.request_id, one.payload)
