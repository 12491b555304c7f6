//! All that can go wrong, in one enum whose words say what was expected and what came.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::message::ErrorBody;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request or a connection failed.
///
/// [`Request`](Error::Request) ends one request, as do [`Overrun`](Error::Overrun), [`TimedOut`](Error::TimedOut) and
/// [`BadRequest`](Error::BadRequest), and [`Busy`](Error::Busy) where a request could not be sent; every other one is
/// the end of the connection.
/// An `Error` can be cloned: one lost connection ends many streams.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The daemon's word that a request failed: the provider's error, or that it was cancelled.
    Request(Box<ErrorBody>),
    /// The daemon is gone, or this side closed the connection; the text says which.
    ConnectionLost(String),
    /// Nobody listens at the socket.
    NotRunning {
        /// Where the socket was looked for.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The handshake ended without agreement; the text says on what.
    HandshakeRefused(String),
    /// A socket's path or a key file that is not fit to be used; the text says why.
    Config(String),
    /// The daemon says that this side broke the protocol.
    ProtocolFailure {
        /// Its name for that, out of the protocol's table.
        error: String,
        /// Its words.
        message: String,
    },

    /// The first four bytes are not the magic.
    BadMagic {
        /// What came instead, as much as there was.
        found: Vec<u8>,
    },
    /// A frame of a version that this side does not speak.
    BadVersion {
        /// The version that came.
        found: u8,
    },
    /// Flags that this side does not speak.
    BadFlags {
        /// All of the frame's flags.
        flags: u8,
        /// Those that are refused.
        refused: u8,
        /// The frame's request id.
        id: u64,
    },
    /// A message type that a client never receives.
    BadMessageType {
        /// The number that came.
        number: u16,
        /// The frame's request id.
        id: u64,
    },
    /// A payload longer than the limit, told by the header before any of it is read.
    FrameTooLarge {
        /// The length that the header says.
        length: u32,
        /// The longest that is taken.
        bound: usize,
        /// The frame's message type.
        number: u16,
        /// The frame's request id.
        id: u64,
    },
    /// The CRC-32 does not match the header and payload.
    BadChecksum {
        /// What the header says.
        expected: u32,
        /// What the bytes have.
        found: u32,
        /// The frame's message type.
        number: u16,
        /// The frame's request id.
        id: u64,
    },
    /// The bytes ended inside a frame, or before the trailer of a batch.
    TruncatedFrame {
        /// How many bytes of the frame have come.
        held: usize,
        /// How many the frame has, as far as that is known.
        of: usize,
        /// Whole frames that wait for their signature.
        unproved: usize,
    },
    /// The signature of a batch of frames does not match, or is missing.
    BadSignature {
        /// Which batch of its way, from 0.
        batch: u64,
        /// Frames of the batch so far.
        frames: usize,
        /// Bytes of the batch so far.
        bytes: usize,
        /// False if no trailer has come where there must be one.
        signed: bool,
    },
    /// A payload that is not JSON, or not the message that the frame's type names.
    BadPayload {
        /// The frame's message type.
        number: u16,
        /// Where in the payload: `$.token.text`, or `byte 17`.
        path: String,
        /// What should stand there.
        expected: String,
        /// What does.
        found: String,
    },
    /// A stream frame whose sequence number is not the next one.
    SequenceGap {
        /// The stream's request id.
        id: u64,
        /// The next number.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The shared ring cannot be one, or an index in it is out of range.
    RingCorrupt(String),
    /// A frame that does not belong there: the answer to another question, or to none.
    Unexpected {
        /// The frame's request id.
        id: u64,
        /// What could have come.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },

    /// A stream had more bytes waiting than its reader may leave unread; it was cancelled.
    Overrun {
        /// The most that may wait, in bytes.
        bound: usize,
    },
    /// No answer within the time that the caller gave.
    TimedOut(Duration),
    /// So many bytes wait to be read by the daemon that no more are taken.
    Busy {
        /// Bytes that wait.
        waiting: usize,
    },
    /// A request that no frame can hold.
    BadRequest(String),
}

impl Error {
    /// The name of the error in the protocol's table; `None` for those that are not in it.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::BadMagic { .. } => "BadMagic",
            Self::BadVersion { .. } => "BadVersion",
            Self::BadFlags { .. } => "BadFlags",
            Self::BadMessageType { .. } => "BadMessageType",
            Self::FrameTooLarge { .. } => "FrameTooLarge",
            Self::BadChecksum { .. } => "BadChecksum",
            Self::TruncatedFrame { .. } => "TruncatedFrame",
            Self::BadSignature { .. } => "BadSignature",
            Self::BadPayload { .. } => "BadPayload",
            Self::SequenceGap { .. } => "SequenceGap",
            Self::RingCorrupt(_) => "RingCorrupt",
            Self::HandshakeRefused(_) => "HandshakeRefused",
            Self::ProtocolFailure { .. } | Self::Unexpected { .. } => "ProtocolError",
            _ => return None,
        })
    }

    /// The daemon's word about the request, if that is what failed.
    #[must_use]
    pub fn request(&self) -> Option<&ErrorBody> {
        match self {
            Self::Request(body) => Some(body),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(body) => write!(f, "{body}"),
            Self::ConnectionLost(why) => f.write_str(why),
            Self::NotRunning { path, why } => {
                write!(f, "no daemon at {} ({why}); start it with: rxlapce serve", path.display())
            }
            Self::HandshakeRefused(why) | Self::Config(why) | Self::RingCorrupt(why) | Self::BadRequest(why) => {
                f.write_str(why)
            }
            Self::ProtocolFailure { error, message } => {
                write!(f, "the daemon says that this side broke the protocol: {error}: {message}")
            }
            Self::BadMagic { found } => write!(f, "expected a frame that starts with 43 50 41 4c, got {}", Hex(found)),
            Self::BadVersion { found } => write!(f, "expected a frame of version 1, got version {found}"),
            Self::BadFlags { flags, refused, id } => {
                write!(f, "flags {flags:#04x} of request {id}: {refused:#04x} is not spoken here")
            }
            Self::BadMessageType { number, id } => {
                write!(f, "message type {number:#06x} of request {id} does not go to a client")
            }
            Self::FrameTooLarge { length, bound, number, id } => {
                write!(f, "expected a payload of at most {bound} bytes, got one of {length} (type {number:#06x}, request {id})")
            }
            Self::BadChecksum { expected, found, number, id } => write!(
                f,
                "expected the CRC-32 {expected:#010x} that the header says, got {found:#010x} (type {number:#06x}, request {id})"
            ),
            Self::TruncatedFrame { held, of, unproved: 0 } => {
                write!(f, "expected {of} bytes of a frame, and the bytes ended after {held}")
            }
            Self::TruncatedFrame { held, unproved, .. } => write!(
                f,
                "expected the signature of {unproved} frames, and the bytes ended {held} bytes behind them"
            ),
            Self::BadSignature { batch, frames, bytes, signed: true } => write!(
                f,
                "the signature of batch {batch} ({frames} frames, {bytes} bytes) does not match: it was changed, \
                 repeated or moved, or the daemon has another secret"
            ),
            Self::BadSignature { batch, frames, bytes, signed: false } => {
                write!(f, "expected a signature behind batch {batch}, got {bytes} bytes in {frames} frames without one")
            }
            Self::BadPayload { number, path, expected, found } => {
                write!(f, "payload of type {number:#06x}: {path}: expected {expected}, got {found}")
            }
            Self::SequenceGap { id, expected, found } => {
                write!(f, "stream {id}: expected frame {expected}, got frame {found}")
            }
            Self::Unexpected { id, expected, found } => {
                write!(f, "request {id}: expected {expected}, got {found}")
            }
            Self::Overrun { bound } => {
                write!(f, "the stream was cancelled: more than {bound} bytes of it waited for their reader")
            }
            Self::TimedOut(after) => write!(f, "no answer within {after:?}"),
            Self::Busy { waiting } => write!(f, "the daemon does not read: {waiting} bytes wait for it"),
        }
    }
}

impl std::error::Error for Error {}

/// Bytes as they stand in a dump.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
