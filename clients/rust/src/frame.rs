//! The frame: a header of 24 bytes, little-endian, then the payload. Sans-I/O: bytes in, frames out.
//!
//! ```text
//! offset  size  field
//!      0     4  magic 0x4C415043; on the wire 43 50 41 4C
//!      4     1  version, 1
//!      5     1  flags
//!      6     2  message type
//!      8     4  length of the payload in bytes, at most 10 MiB
//!     12     8  request id; a response carries its request's
//!     20     4  CRC-32 of the header with this field zero, then of the payload
//! ```

use crate::crc::crc32;
use crate::error::{Error, Result};
use crate::signing::{Proof, TRAILER_BYTES};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 24;
/// The longest payload.
pub const MAX_PAYLOAD_BYTES: usize = 10 << 20;

/// What a frame's flags mean.
pub mod flag {
    /// A chunk of a stream.
    pub const STREAM_PART: u8 = 0x04;
    /// Without effect in version 1.
    pub const PRIORITY: u8 = 0x08;
    /// From a client.
    pub const REQUEST: u8 = 0x10;
    /// From the daemon.
    pub const RESPONSE: u8 = 0x20;
    /// A trailer follows the payload; only where both sides agreed on signing.
    pub const SIGNED: u8 = 0x40;
    /// All that a connection without signing speaks.
    pub const SPOKEN: u8 = STREAM_PART | PRIORITY | REQUEST | RESPONSE;
}

const MAGIC: [u8; 4] = 0x4C41_5043_u32.to_le_bytes();
const VERSION: u8 = 1;
const FLAGS_AT: usize = 5;
const CRC_AT: usize = 20;
/// A buffer that one large frame made longer than this is given back.
const KEPT_BYTES: usize = 256 << 10;

/// One whole frame whose checksum, and signature where there is one, was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message type.
    pub number: u16,
    /// Bits of [`flag`].
    pub flags: u8,
    /// The request that it is about; 0 for none.
    pub id: u64,
    /// JSON, not looked at here.
    pub payload: Vec<u8>,
}

/// One frame as bytes.
///
/// ```
/// use rxlapce_client::frame::{encode, flag, Frame, FrameDecoder};
/// let bytes = encode(0x0205, flag::REQUEST, 7, br#"{"type":"cancel"}"#)?;
/// let mut decoder = FrameDecoder::new(|number| number == 0x0205);
/// let mut frames = Vec::new();
/// decoder.feed(&bytes, &mut frames)?;
/// assert_eq!(frames[0].id, 7);
/// # Ok::<(), rxlapce_client::Error>(())
/// ```
///
/// # Errors
/// [`Error::BadRequest`] for a payload longer than [`MAX_PAYLOAD_BYTES`].
pub fn encode(number: u16, flags: u8, id: u64, payload: &[u8]) -> Result<Vec<u8>> {
    let length = match u32::try_from(payload.len()) {
        Ok(length) if payload.len() <= MAX_PAYLOAD_BYTES => length,
        _ => {
            let bytes = payload.len();
            return Err(Error::BadRequest(format!(
                "expected a request of at most {MAX_PAYLOAD_BYTES} bytes, got one of {bytes}"
            )));
        }
    };
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len() + TRAILER_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&checksum(&out, payload).to_le_bytes());
    out.extend_from_slice(payload);
    Ok(out)
}

/// Sets `flag` in the one whole frame that `frame` is, and its checksum anew.
pub(crate) fn add_flag(frame: &mut [u8], flag: u8) {
    frame[FLAGS_AT] |= flag;
    let crc = checksum(&frame[..CRC_AT], &frame[HEADER_BYTES..]);
    frame[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Of the header before its checksum, of that as zeros, and of the payload.
fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    crc32(crc32(crc32(0, header), &[0; HEADER_BYTES - CRC_AT]), payload)
}

/// What a header says, checked.
#[derive(Debug, Clone, Copy)]
struct Header {
    flags: u8,
    number: u16,
    length: usize,
    id: u64,
    crc: u32,
}

impl Header {
    fn read(bytes: &[u8; HEADER_BYTES], limits: &Limits) -> Result<Self> {
        check_start(bytes)?;
        let [.., flags, n0, n1, l0, l1, l2, l3, i0, i1, i2, i3, i4, i5, i6, i7, c0, c1, c2, c3] = *bytes;
        let number = u16::from_le_bytes([n0, n1]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let id = u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]);
        let refused = flags & !limits.spoken;
        if refused != 0 {
            return Err(Error::BadFlags { flags, refused, id });
        }
        if !(limits.known)(number) {
            return Err(Error::BadMessageType { number, id });
        }
        match usize::try_from(length) {
            Ok(bytes) if bytes <= limits.max_payload => {
                Ok(Self { flags, number, length: bytes, id, crc: u32::from_le_bytes([c0, c1, c2, c3]) })
            }
            _ => Err(Error::FrameTooLarge { length, bound: limits.max_payload, number, id }),
        }
    }

    /// Bytes of the trailer.
    fn trailer(self) -> usize {
        if self.flags & flag::SIGNED == 0 {
            0
        } else {
            TRAILER_BYTES
        }
    }

    /// The frame of this header, which is the beginning of `bytes`.
    fn frame(self, bytes: &[u8]) -> Result<Frame> {
        let payload = &bytes[HEADER_BYTES..];
        let found = checksum(&bytes[..CRC_AT], payload);
        if found != self.crc {
            return Err(Error::BadChecksum { expected: self.crc, found, number: self.number, id: self.id });
        }
        Ok(Frame { number: self.number, flags: self.flags, id: self.id, payload: payload.to_vec() })
    }
}

/// Checks as much of magic and version as there is.
fn check_start(start: &[u8]) -> Result<()> {
    let magic = &start[..start.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(Error::BadMagic { found: magic.to_vec() });
    }
    match start.get(MAGIC.len()) {
        Some(&found) if found != VERSION => Err(Error::BadVersion { found }),
        _ => Ok(()),
    }
}

/// What of well-formed frames is taken.
#[derive(Clone, Copy)]
struct Limits {
    known: fn(u16) -> bool,
    spoken: u8,
    max_payload: usize,
}

/// Turns the bytes of one way of a connection into frames; cutting the bytes elsewhere gives the same frames.
///
/// An error is the first that holds of
/// - `BadMagic`, `BadVersion`: at the first wrong byte
/// - `BadFlags`, `BadMessageType`, `FrameTooLarge`: when the header is whole
/// - `BadChecksum`, `BadSignature`: when the frame, or its trailer, is whole
///
/// Memory: what one `feed` brings and one frame; of a signed way also 64 KiB that wait for their trailer. The length
/// that a header says reserves nothing. Time: linear in the bytes, however they are cut.
pub struct FrameDecoder {
    limits: Limits,
    held: Vec<u8>,
    header: Option<Header>,
    /// Bytes that `held` must have before it can be read further.
    need: usize,
    proof: Option<Proof>,
    error: Option<Error>,
}

impl std::fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { held, need, proof, error, .. } = self;
        let signed = proof.is_some();
        write!(f, "FrameDecoder {{ held: {}, need: {need}, signed: {signed}, error: {error:?} }}", held.len())
    }
}

impl FrameDecoder {
    /// Of a way without signatures that carries frames of the types that are `known`.
    #[must_use]
    pub fn new(known: fn(u16) -> bool) -> Self {
        Self::with(Limits { known, spoken: flag::SPOKEN, max_payload: MAX_PAYLOAD_BYTES }, None)
    }

    /// Of a way that is signed with `key`, from its first frame on. A frame comes out when its batch is proved.
    #[must_use]
    pub fn signed(known: fn(u16) -> bool, key: &[u8]) -> Self {
        let limits = Limits { known, spoken: flag::SPOKEN | flag::SIGNED, max_payload: MAX_PAYLOAD_BYTES };
        Self::with(limits, Some(Proof::new(key)))
    }

    /// Takes payloads of at most `bytes`.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.limits.max_payload = bytes.min(MAX_PAYLOAD_BYTES);
        self
    }

    fn with(limits: Limits, proof: Option<Proof>) -> Self {
        Self { limits, held: Vec::new(), header: None, need: HEADER_BYTES, proof, error: None }
    }

    /// Puts the frames that `data` completes behind those in `frames`.
    ///
    /// # Errors
    /// At bytes that are no frame, after those before them were put; and the same error at any later call.
    pub fn feed(&mut self, data: &[u8], frames: &mut Vec<Frame>) -> Result<()> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.held.extend_from_slice(data);
        match self.read(frames) {
            Ok(taken) if taken == self.held.len() && self.held.capacity() > KEPT_BYTES => {
                self.held = Vec::new()
            }
            Ok(taken) => drop(self.held.drain(..taken)),
            Err(error) => {
                self.error = Some(error.clone());
                self.held = Vec::new();
                self.proof = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// [`Error::TruncatedFrame`] inside a frame or before a trailer, or the error of an earlier call.
    pub fn close(&mut self) -> Result<()> {
        if self.error.is_none() {
            let unproved = self.proof.as_ref().map_or(0, Proof::unproved);
            if self.held.is_empty() && unproved == 0 {
                return Ok(());
            }
            self.error = Some(Error::TruncatedFrame { held: self.held.len(), of: self.need, unproved });
        }
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Reads what is held as far as that goes; returns how much of it was read.
    fn read(&mut self, frames: &mut Vec<Frame>) -> Result<usize> {
        let mut at = 0;
        while self.held.len() - at >= self.need {
            let bytes = &self.held[at..at + self.need];
            let Some(header) = self.header else {
                let header = Header::read(&self.held_header(at), &self.limits)?;
                self.need = HEADER_BYTES + header.length + header.trailer();
                self.header = Some(header);
                continue;
            };
            let (whole, trailer) = bytes.split_at(HEADER_BYTES + header.length);
            let frame = header.frame(whole)?;
            match &mut self.proof {
                None => frames.push(frame),
                Some(proof) => proof.take(frame, whole, trailer, frames)?,
            }
            at += self.need;
            self.header = None;
            self.need = HEADER_BYTES;
        }
        if self.header.is_none() {
            check_start(&self.held[at..])?;
        }
        Ok(at)
    }

    fn held_header(&self, at: usize) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&self.held[at..at + HEADER_BYTES]);
        header
    }
}

/// The frame that `bytes` begin with, signed or not, and its bytes with its trailer; `None` if it is not whole.
///
/// For the first frame of a connection, which itself tells how it is signed: its signature is not looked at.
pub(crate) fn first_frame(
    bytes: &[u8],
    known: fn(u16) -> bool,
    max_payload: usize,
    may_sign: bool,
) -> Result<Option<(Frame, usize)>> {
    let spoken = if may_sign { flag::SPOKEN | flag::SIGNED } else { flag::SPOKEN };
    let Some(head) = bytes.get(..HEADER_BYTES) else {
        return check_start(bytes).map(|()| None);
    };
    let mut start = [0; HEADER_BYTES];
    start.copy_from_slice(head);
    let header = Header::read(&start, &Limits { known, spoken, max_payload })?;
    let whole = HEADER_BYTES + header.length;
    let end = whole + header.trailer();
    if bytes.len() < end {
        return Ok(None);
    }
    Ok(Some((header.frame(&bytes[..whole])?, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: u16) -> bool {
        number == 0x0205 || number == 0x0312
    }

    fn frame(id: u64, payload: &[u8]) -> Vec<u8> {
        encode(0x0312, flag::RESPONSE | flag::STREAM_PART, id, payload).unwrap()
    }

    /// All that comes out, frames and the error of feeding or of the end.
    fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<Error>) {
        let mut decoder = FrameDecoder::new(known);
        let mut frames = Vec::new();
        for piece in pieces {
            if let Err(error) = decoder.feed(piece, &mut frames) {
                assert_eq!(decoder.feed(piece, &mut frames), Err(error.clone()));
                assert_eq!(decoder.close(), Err(error.clone()));
                return (frames, Some(error));
            }
        }
        (frames, decoder.close().err())
    }

    #[test]
    fn the_protocol_s_own_example() {
        let dump = "4350414c01241203430000000700000000000000\
                    95c3fbd27b2274797065223a2273747265616d5f6368756e6b222c22736571223a302c22746f6b656e223a\
                    7b2274797065223a2274657874222c2274657874223a224869227d7d";
        let payload = br#"{"type":"stream_chunk","seq":0,"token":{"type":"text","text":"Hi"}}"#;
        assert_eq!(crate::hex::to_hex(&frame(7, payload)), dump.replace(' ', ""));
    }

    #[test]
    fn every_split_gives_the_same() {
        let bytes = [frame(1, b"{}"), frame(u64::MAX, &[7; 300]), frame(2, b"")].concat();
        let whole = decoded([&bytes[..]]);
        assert_eq!((whole.0.len(), &whole.1), (3, &None));
        assert_eq!(decoded(bytes.chunks(1)), whole);
        for cut in 0..=bytes.len() {
            assert_eq!(decoded([&bytes[..cut], &bytes[cut..]]), whole);
            let (frames, error) = decoded([&bytes[..cut]]);
            let borders = [0, 26, 26 + 324, bytes.len()];
            assert_eq!(frames[..], whole.0[..borders.iter().filter(|&&end| end > 0 && end <= cut).count()]);
            assert_eq!(error.is_none(), borders.contains(&cut), "{cut}: {error:?}");
        }
    }

    #[test]
    fn no_flipped_bit_is_taken() {
        let bytes = [frame(3, br#"{"type":"stream_chunk"}"#), frame(4, b"{}")].concat();
        let first = decoded([&bytes[..]]).0.swap_remove(0);
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let (frames, error) = decoded([&bent[..]]);
            assert!(error.is_some(), "bit {bit}");
            assert!(frames.is_empty() || frames == [first.clone()], "bit {bit}: {frames:?}");
            let (again, same) = decoded(bent.chunks(1));
            let name = |error: Option<Error>| error.and_then(|error| error.name());
            assert_eq!((again, name(same)), (frames, name(error)), "bit {bit}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_as_soon_as_it_can_be() {
        let error = |bytes: &[u8]| {
            let mut decoder = FrameDecoder::new(known);
            decoder.feed(bytes, &mut Vec::new()).err().and_then(|error| error.name())
        };
        let good = frame(1, b"{}");
        let with = |at: usize, byte: u8| {
            let mut bent = good[..HEADER_BYTES].to_vec();
            bent[at] = byte;
            bent
        };
        assert_eq!(error(b"C"), None);
        assert_eq!(error(b"X"), Some("BadMagic"));
        assert_eq!(error(b"CPAM"), Some("BadMagic"));
        assert_eq!(error(b"CPAL\x02"), Some("BadVersion"));
        for refused in [0x01, 0x02, 0x40, 0x80] {
            assert_eq!(error(&with(FLAGS_AT, refused)), Some("BadFlags"));
        }
        assert_eq!(error(&with(7, 4)), Some("BadMessageType"));
        assert_eq!(error(&with(11, 1)), Some("FrameTooLarge"));
        assert_eq!(error(&with(CRC_AT, !good[CRC_AT])), None);
    }

    #[test]
    fn a_length_reserves_nothing() {
        let mut start = frame(1, b"");
        start[8..12].copy_from_slice(&u32::try_from(MAX_PAYLOAD_BYTES).unwrap().to_le_bytes());
        let mut decoder = FrameDecoder::new(known);
        decoder.feed(&start, &mut Vec::new()).unwrap();
        assert!(decoder.held.capacity() < 1024);
    }

    #[test]
    fn a_large_frame_s_memory_is_given_back() {
        let bytes = frame(1, &vec![b' '; MAX_PAYLOAD_BYTES]);
        let mut decoder = FrameDecoder::new(known);
        let mut frames = Vec::new();
        for piece in bytes.chunks(60_000) {
            decoder.feed(piece, &mut frames).unwrap();
        }
        assert_eq!(frames[0].payload.len(), MAX_PAYLOAD_BYTES);
        assert!(decoder.held.capacity() <= KEPT_BYTES);
        assert!(encode(0x0312, 0, 1, &vec![0; MAX_PAYLOAD_BYTES + 1]).is_err());
    }
}
