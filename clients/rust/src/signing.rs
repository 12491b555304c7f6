//! Signed frames: an HMAC-SHA-256 trailer behind the last frame of a batch.
//!
//! ```text
//! [header payload] [header payload] [header* payload] [32 bytes]
//! ------------------- batch -------------------------  HMAC-SHA-256(key of the way, u64 counter || batch)
//! ```
//!
//! `header*` has the flag `SIGNED`; payload length and CRC do not count the trailer. The counter counts the trailers of
//! one way from 0, so a batch that is sent again, left out or moved is refused. The keys come from a secret that both
//! sides know and a nonce of each (HKDF, RFC 5869), so nothing of one connection passes in another.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::frame::{add_flag, flag, Frame};
use crate::hex::from_hex;
use crate::sha256::{Hmac, Sha256, DIGEST_BYTES};
use crate::sys;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 32;
/// Bytes of a trailer.
pub const TRAILER_BYTES: usize = DIGEST_BYTES;
/// A batch of this many bytes must be signed.
pub const MAX_BATCH_BYTES: usize = 64 << 10;
/// The shortest secret that is taken.
pub const MIN_SECRET_BYTES: usize = 32;
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A secret that daemon and client know, by its name. Its `Debug` does not tell the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    name: String,
    secret: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.name)
    }
}

impl SigningKey {
    /// A key that came in another way than by a file.
    ///
    /// # Errors
    /// [`Error::Config`] for a secret that is too short, or a name with other than letters, digits and `. _ @ -`.
    pub fn new(name: impl Into<String>, secret: impl Into<Vec<u8>>) -> Result<Self> {
        let (name, secret) = (name.into(), secret.into());
        let fits = |letter: u8| letter.is_ascii_alphanumeric() || b"._@-".contains(&letter);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(Error::Config("expected a key's name of 1 to 64 letters, digits and . _ @ -".into()));
        }
        if secret.len() < MIN_SECRET_BYTES {
            let bytes = secret.len();
            return Err(Error::Config(format!(
                "the secret of {name:?} has {bytes} bytes, expected {MIN_SECRET_BYTES} at least"
            )));
        }
        Ok(Self { name, secret })
    }

    /// The key of this name in a key file, or its first one. `rxlapce keygen NAME --file FILE` makes such files.
    ///
    /// # Errors
    /// [`Error::Config`]: the file cannot be read, is not this user's, is open to others (expected mode 0600), or a line
    /// of it is no key. No text of an error holds a secret.
    pub fn read(path: impl AsRef<Path>, name: Option<&str>) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |why: &str| Error::Config(format!("the key file {}: {why}", path.display()));
        let cannot = |error: std::io::Error| wrong(&format!("cannot be read: {error}"));
        // Not a FIFO's or a device's bytes, which might never end.
        let file =
            fs::OpenOptions::new().read(true).custom_flags(sys::O_NONBLOCK).open(path).map_err(cannot)?;
        let found = file.metadata().map_err(cannot)?;
        if !found.is_file() {
            return Err(wrong("is no regular file"));
        }
        if found.uid() != sys::user() {
            return Err(wrong(&format!("belongs to user {}, not to you ({})", found.uid(), sys::user())));
        }
        if found.mode() & 0o077 != 0 {
            return Err(wrong(&format!(
                "is open to other users (mode {:04o}): chmod 600",
                found.mode() & 0o7777
            )));
        }
        let mut text = String::new();
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(wrong(&format!("has more than {MAX_FILE_BYTES} bytes")));
        }
        Self::find(&text, name).map_err(|why| wrong(&why))
    }

    fn find(text: &str, name: Option<&str>) -> std::result::Result<Self, String> {
        let mut found = None;
        for (line, number) in text.lines().zip(1..) {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (Some(first), digits) = (words.next(), words.next()) else { continue };
            let secret = digits.filter(|_| words.next().is_none()).and_then(from_hex);
            let Some(secret) = secret else {
                return Err(format!("line {number}: expected a name and a secret in hexadecimal digits"));
            };
            let key = Self::new(first, secret).map_err(|error| format!("line {number}: {error}"))?;
            if found.is_none() && name.map_or(true, |name| name == key.name) {
                found = Some(key);
            }
        }
        found.ok_or_else(|| match name {
            None => "has no key; make one with: rxlapce keygen".into(),
            Some(name) => format!("has no key {name:?}"),
        })
    }

    /// Its name, which the handshake tells.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// 32 bytes that were never used before, from the system's source of randomness.
pub(crate) fn new_nonce() -> Result<[u8; NONCE_BYTES]> {
    let mut nonce = [0; NONCE_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut nonce))
        .map_err(|error| Error::Config(format!("no randomness for a nonce from /dev/urandom: {error}")))?;
    Ok(nonce)
}

/// The keys of one connection by its ways: from the client, from the daemon by the socket, and by the ring.
#[derive(Clone)]
pub struct SessionKeys {
    /// Client to daemon.
    pub client: [u8; DIGEST_BYTES],
    /// Daemon to client by the socket, the handshake's acknowledgement included.
    pub daemon: [u8; DIGEST_BYTES],
    /// Daemon to client by the shared ring.
    pub ring: [u8; DIGEST_BYTES],
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys")
    }
}

impl SessionKeys {
    /// HKDF-SHA-256: extracted by both nonces, expanded by each way's name and the payload of the handshake frame.
    #[must_use]
    pub fn derive(
        secret: &[u8],
        client_nonce: &[u8; NONCE_BYTES],
        daemon_nonce: &[u8; NONCE_BYTES],
        handshake: &[u8],
    ) -> Self {
        let extracted = Hmac::of(&[*client_nonce, *daemon_nonce].concat(), &[secret]);
        let said = Sha256::digest(handshake);
        let expanded = |way: &[u8]| Hmac::of(&extracted, &[b"rxlapce-1 ", way, b"\0", &said, b"\x01"]);
        Self { client: expanded(b"client"), daemon: expanded(b"daemon"), ring: expanded(b"ring") }
    }
}

/// The MACs of one way, in order.
struct Macs {
    keyed: Hmac,
    counter: u64,
}

impl Macs {
    fn new(key: &[u8]) -> Self {
        Self { keyed: Hmac::new(key), counter: 0 }
    }

    /// The MAC of the next batch, to be fed with its bytes.
    fn begin(&mut self) -> Hmac {
        let mut mac = self.keyed.clone();
        mac.update(&self.counter.to_le_bytes());
        self.counter += 1;
        mac
    }
}

/// Signs the frames of one way, each as a batch of its own.
pub struct Signer(Macs);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} signed)", self.0.counter)
    }
}

impl Signer {
    /// With the key of the way; no batch has gone before.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(Macs::new(key))
    }

    /// Sets the flag of the one whole frame that `frame` is, and adds the trailer.
    pub fn sign(&mut self, frame: &mut Vec<u8>) {
        add_flag(frame, flag::SIGNED);
        let mut mac = self.0.begin();
        mac.update(frame);
        frame.extend_from_slice(&mac.finish());
    }
}

/// Holds the frames of one way back until the trailer that covers them has come, and is right.
pub(crate) struct Proof {
    macs: Macs,
    mac: Hmac,
    batch: Vec<Frame>,
    batch_bytes: usize,
}

impl Proof {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut macs = Macs::new(key);
        let mac = macs.begin();
        Self { macs, mac, batch: Vec::new(), batch_bytes: 0 }
    }

    /// How many frames wait for their trailer.
    pub(crate) fn unproved(&self) -> usize {
        self.batch.len()
    }

    /// The next frame, its `bytes`, and its trailer, which is empty if it has none; `frames` gets what that proves.
    pub(crate) fn take(
        &mut self,
        frame: Frame,
        bytes: &[u8],
        trailer: &[u8],
        frames: &mut Vec<Frame>,
    ) -> Result<()> {
        self.mac.update(bytes);
        self.batch_bytes += bytes.len();
        self.batch.push(frame);
        let signed = !trailer.is_empty();
        let wrong = Error::BadSignature {
            batch: self.macs.counter - 1,
            frames: self.batch.len(),
            bytes: self.batch_bytes,
            signed,
        };
        if !signed {
            return if self.batch_bytes < MAX_BATCH_BYTES { Ok(()) } else { Err(wrong) };
        }
        let next = self.macs.begin();
        if !std::mem::replace(&mut self.mac, next).is(trailer) {
            return Err(wrong);
        }
        frames.append(&mut self.batch);
        self.batch_bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{encode, FrameDecoder};
    use std::os::unix::fs::PermissionsExt as _;

    const KEY: [u8; 32] = [7; 32];

    fn any(_: u16) -> bool {
        true
    }

    fn signed(signer: &mut Signer, id: u64) -> Vec<u8> {
        let mut frame = encode(0x0312, flag::RESPONSE, id, b"{}").unwrap();
        signer.sign(&mut frame);
        frame
    }

    fn decoded(bytes: &[u8], key: &[u8]) -> (Vec<u64>, Option<Error>) {
        let mut decoder = FrameDecoder::signed(any, key);
        let mut frames = Vec::new();
        let fed = decoder.feed(bytes, &mut frames).err();
        (frames.iter().map(|frame| frame.id).collect(), fed.or_else(|| decoder.close().err()))
    }

    #[test]
    fn what_is_signed_is_taken_once_and_in_order() {
        let mut signer = Signer::new(&KEY);
        let [one, two, three] = [1, 2, 3].map(|id| signed(&mut signer, id));
        let name = |bytes: &[&[u8]], key: &[u8]| {
            let (frames, error) = decoded(&bytes.concat(), key);
            (frames, error.and_then(|error| error.name()))
        };
        assert_eq!(name(&[&one, &two, &three], &KEY), (vec![1, 2, 3], None));
        assert_eq!(name(&[&one, &one], &KEY), (vec![1], Some("BadSignature")));
        assert_eq!(name(&[&one, &three], &KEY), (vec![1], Some("BadSignature")));
        assert_eq!(name(&[&two], &KEY), (vec![], Some("BadSignature")));
        assert_eq!(name(&[&one], &[8; 32]), (vec![], Some("BadSignature")));
        assert_eq!(name(&[&one, &two[..two.len() - 1]], &KEY), (vec![1], Some("TruncatedFrame")));
    }

    #[test]
    fn no_flipped_bit_of_a_batch_is_taken() {
        let mut signer = Signer::new(&KEY);
        let bytes = signed(&mut signer, 1);
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let (frames, error) = decoded(&bent, &KEY);
            assert!(frames.is_empty() && error.is_some(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_never_signed_is_not_waited_for() {
        let frame = encode(0x0312, 0, 1, &[b' '; 1000]).unwrap();
        let mut decoder = FrameDecoder::signed(any, &KEY);
        let mut frames = Vec::new();
        let enough = MAX_BATCH_BYTES / frame.len() - 1;
        decoder.feed(&frame.repeat(enough), &mut frames).unwrap();
        let error = decoder.feed(&frame, &mut frames).unwrap_err();
        assert!(matches!(error, Error::BadSignature { signed: false, batch: 0, .. }), "{error}");
        assert!(frames.is_empty());
    }

    #[test]
    fn a_key_file_is_read_with_care() {
        let path = std::env::temp_dir().join(format!("rxlapce-client-{}.keys", std::process::id()));
        let (long, other) = ("ab".repeat(32), "CD".repeat(40));
        let read = |text: String, mode: u32, name: Option<&str>| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            SigningKey::read(&path, name).map_err(|error| error.to_string())
        };
        let two = format!("# mine\n\nlaptop {long} # said once\n office {other}\n");
        assert_eq!(read(two.clone(), 0o600, None).unwrap().secret, vec![0xab; 32]);
        assert_eq!(read(two.clone(), 0o600, Some("office")).unwrap().name(), "office");
        for (text, mode, name, why) in [
            (two.clone(), 0o640, None, "open to other users (mode 0640)"),
            (two, 0o600, Some("home"), "no key \"home\""),
            (String::new(), 0o600, None, "has no key"),
            (format!("a {long} {long}"), 0o600, None, "line 1: expected a name and a secret"),
            ("a 0g".into(), 0o600, None, "line 1: expected a name and a secret"),
            ("\na abcd".into(), 0o600, None, "line 2: the secret of \"a\" has 2 bytes"),
            (format!("a/b {long}"), 0o600, None, "letters, digits"),
        ] {
            let error = read(text, mode, name).unwrap_err();
            assert!(error.contains(why) && !error.contains("abab"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(SigningKey::read(&path, None).is_err());
        assert!(SigningKey::read("/dev/zero", None).unwrap_err().to_string().contains("no regular file"));
        let shown = format!("{:?}", SigningKey::new("laptop", [b's'; 32]).unwrap());
        assert_eq!(shown, "SigningKey(\"laptop\")");
    }
}
