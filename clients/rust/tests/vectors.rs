//! The protocol's vectors (`protocol/vectors` of the repository): each whole, byte by byte, and cut at every place.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rxlapce_client::frame::{Frame, FrameDecoder, HEADER_BYTES};
use rxlapce_client::handshake::Offer;
use rxlapce_client::json::Value;
use rxlapce_client::message::{goes_to_client, goes_to_daemon, Event};
use rxlapce_client::signing::{SessionKeys, TRAILER_BYTES};
use rxlapce_client::Transport;

/// Longer ones are cut near their frames' borders alone.
const CUT_EVERYWHERE_BYTES: usize = 4096;

/// One vector: its bytes, what they are, and how they are signed.
struct Vector {
    name: String,
    bytes: Vec<u8>,
    json: Value,
    key: Option<Vec<u8>>,
    /// Of a signed one: how many frames come out.
    frames: Option<usize>,
}

impl Vector {
    fn to_client(&self) -> bool {
        self.name.contains("/to-client-")
    }

    fn is(&self, what: &str) -> bool {
        self.name.contains(what)
    }

    fn decoder(&self) -> FrameDecoder {
        let known = if self.to_client() { goes_to_client } else { goes_to_daemon };
        match &self.key {
            Some(key) => FrameDecoder::signed(known, key),
            None => FrameDecoder::new(known),
        }
    }

    fn expected_error(&self) -> Option<&str> {
        self.json.get("error").and_then(Value::as_str)
    }

    /// The frames and the error that come out when the bytes come in these pieces.
    fn decoded<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<&'static str>) {
        let mut decoder = self.decoder();
        let mut frames = Vec::new();
        let fed = pieces.into_iter().try_for_each(|piece| decoder.feed(piece, &mut frames));
        let error = fed.and_then(|()| decoder.close()).err();
        (frames, error.map(|error| error.name().expect("a name of the table")))
    }

    /// Where to cut: everywhere, or near the borders of the frames.
    fn cuts(&self) -> Vec<usize> {
        if self.bytes.len() <= CUT_EVERYWHERE_BYTES {
            return (0..=self.bytes.len()).collect();
        }
        let mut borders = vec![0, self.bytes.len()];
        let mut at = 0;
        while let Some(header) = self.bytes.get(at..at + HEADER_BYTES) {
            let length = u32::from_le_bytes(header[8..12].try_into().unwrap());
            let trailer = if header[5] & 0x40 == 0 { 0 } else { TRAILER_BYTES };
            let end = at + HEADER_BYTES + usize::try_from(length).unwrap();
            borders.extend([at + HEADER_BYTES, end, end + trailer]);
            at = end + trailer;
        }
        let near = |border: usize| border.saturating_sub(2)..=(border + 2).min(self.bytes.len());
        borders.into_iter().filter(|&border| border <= self.bytes.len()).flat_map(near).collect()
    }
}

/// The folder of the vectors; `None`, loudly, where this is not a checkout of the repository.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors");
    if !folder.join("README.md").is_file() {
        eprintln!("SKIPPED: no vectors of the protocol at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn read_json(path: &Path) -> Value {
    Value::parse(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn from_hex(value: Option<&Value>) -> Vec<u8> {
    let digits = value.and_then(Value::as_str).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// All vectors of `valid` or `invalid`, by name.
fn vectors(kind: &str) -> Vec<Vector> {
    let Some(folder) = folder() else { return Vec::new() };
    let signing = read_json(&folder.join("signing.json"));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.join(kind)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let name = format!("{kind}/{}", path.file_stem().unwrap().to_str().unwrap());
            let signed = signing.get("vectors").and_then(|vectors| vectors.get(&name));
            let frames = signed.and_then(|signed| signed.get("frames")).and_then(Value::as_u64);
            found.push(Vector {
                bytes: fs::read(&path).unwrap(),
                json: read_json(&path.with_extension("json")),
                key: signed.map(|signed| from_hex(signed.get("key"))),
                frames: frames.map(|frames| usize::try_from(frames).unwrap()),
                name,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 80, "only {} vectors in {kind}", found.len());
    found
}

/// The frames of a valid vector's JSON beside those that came out.
fn assert_frames(vector: &Vector, frames: &[Frame]) {
    let expected = vector.json.as_array().unwrap();
    assert_eq!(frames.len(), expected.len(), "{}", vector.name);
    for (frame, expected) in frames.iter().zip(expected) {
        let member = |name: &str| expected.get(name).and_then(Value::as_u64);
        assert_eq!(Some(u64::from(frame.number)), member("type"), "{}", vector.name);
        assert_eq!(Some(u64::from(frame.flags)), member("flags"), "{}", vector.name);
        assert_eq!(Some(frame.id), member("id"), "{}", vector.name);
        let payload = Value::parse(&frame.payload).unwrap();
        assert_eq!(Some(&payload), expected.get("payload"), "{}", vector.name);
    }
}

/// Whether the frames of streams have their sequence: what a client does with its table of requests.
fn in_sequence(frames: &[Frame]) -> Result<(), &'static str> {
    let mut next = HashMap::new();
    for frame in frames {
        let (seq, ends) = match Event::decode(frame.number, &frame.payload) {
            Ok(Event::Chunk { seq, .. }) => (seq, false),
            Ok(Event::Done { seq, .. } | Event::Failed { seq, .. }) => (seq, true),
            Ok(_) => continue,
            Err(error) => return Err(error.name().unwrap()),
        };
        if seq != next.remove(&frame.id).unwrap_or(0) {
            return Err("SequenceGap");
        }
        if !ends {
            next.insert(frame.id, seq + 1);
        }
    }
    Ok(())
}

#[test]
fn valid_vectors_are_their_frames_however_they_are_cut() {
    for vector in vectors("valid") {
        let whole = vector.decoded([&vector.bytes[..]]);
        assert_eq!(whole.1, None, "{}", vector.name);
        assert_frames(&vector, &whole.0);
        assert_eq!(vector.decoded(vector.bytes.chunks(1)), whole, "{}", vector.name);
        for cut in vector.cuts() {
            let (before, behind) = vector.bytes.split_at(cut);
            assert_eq!(vector.decoded([before, behind]), whole, "{} cut at {cut}", vector.name);
        }
        if vector.to_client() {
            assert_eq!(in_sequence(&whole.0), Ok(()), "{}", vector.name);
        }
    }
}

#[test]
fn valid_vectors_are_the_same_back_to_back() {
    for way in ["/to-client-", "/to-daemon-"] {
        let mut decoder =
            FrameDecoder::new(if way == "/to-client-" { goes_to_client } else { goes_to_daemon });
        let (mut bytes, mut expected) = (Vec::new(), 0);
        for vector in vectors("valid").iter().filter(|one| one.key.is_none() && one.is(way)) {
            bytes.extend_from_slice(&vector.bytes);
            expected += vector.json.as_array().unwrap().len();
        }
        let mut frames = Vec::new();
        decoder.feed(&bytes, &mut frames).unwrap();
        assert_eq!((frames.len(), decoder.close()), (expected, Ok(())));
    }
}

#[test]
fn invalid_vectors_end_in_their_error_however_they_are_cut() {
    for vector in vectors("invalid") {
        let (frames, error) = vector.decoded([&vector.bytes[..]]);
        assert_eq!(vector.decoded(vector.bytes.chunks(1)), (frames.clone(), error), "{}", vector.name);
        for cut in vector.cuts() {
            let (before, behind) = vector.bytes.split_at(cut);
            let decoded = vector.decoded([before, behind]);
            assert_eq!(decoded, (frames.clone(), error), "{} cut at {cut}", vector.name);
        }
        if let Some(expected) = vector.frames {
            assert_eq!(frames.len(), expected, "{}", vector.name);
        }
        let expected = vector.expected_error();
        if vector.is("-handshake-") {
            assert_eq!(error, None, "{}", vector.name);
        } else if error.is_some() {
            assert_eq!(error, expected, "{}", vector.name);
        } else if vector.to_client() {
            assert_eq!(in_sequence(&frames).err(), expected, "{}", vector.name);
        } else {
            assert_eq!(expected, Some("BadPayload"), "{}", vector.name); // the daemon's to find
        }
    }
}

#[test]
fn what_does_not_answer_a_handshake_is_refused() {
    let offer = Offer::new("", Transport::Socket, &[], None).unwrap();
    let mut checked = 0;
    for vector in vectors("invalid").iter().filter(|one| one.is("/to-client-handshake-")) {
        for end in 0..vector.bytes.len() {
            assert!(offer.answer(&vector.bytes[..end]).unwrap().is_none(), "{} at {end}", vector.name);
        }
        let error = offer.answer(&vector.bytes).unwrap_err();
        assert_eq!(error.name(), vector.expected_error(), "{}: {error}", vector.name);
        checked += 1;
    }
    assert!(checked >= 5 || folder().is_none());
}

#[test]
fn keys_are_derived_as_in_the_worked_examples() {
    let Some(folder) = folder() else { return };
    let signing = read_json(&folder.join("signing.json"));
    let examples = signing.get("derivations").and_then(Value::as_array).unwrap();
    assert!(examples.len() >= 2);
    for example in examples {
        let hex = |name: &str| from_hex(example.get(name));
        let nonce = |name: &str| <[u8; 32]>::try_from(hex(name)).unwrap();
        let handshake = example.get("handshake").and_then(Value::as_str).unwrap();
        let keys = SessionKeys::derive(
            &hex("secret"),
            &nonce("client_nonce"),
            &nonce("daemon_nonce"),
            handshake.as_bytes(),
        );
        let expected = |label: &str| from_hex(example.get("keys").and_then(|keys| keys.get(label)));
        assert_eq!(keys.client[..], expected("client"));
        assert_eq!(keys.daemon[..], expected("daemon"));
        assert_eq!(keys.ring[..], expected("ring"));
    }
}

/// Every bit of every short vector flipped: no frame comes out that was not there before, and nothing panics.
#[test]
fn no_flipped_bit_of_a_vector_is_taken() {
    for vector in vectors("valid").iter().filter(|one| one.bytes.len() <= 1200) {
        let good = vector.decoded([&vector.bytes[..]]).0;
        let mut bent = vector.bytes.clone();
        for bit in 0..bent.len() * 8 {
            bent[bit / 8] ^= 1 << (bit % 8);
            let (frames, error) = vector.decoded([&bent[..]]);
            assert!(error.is_some(), "{} bit {bit}", vector.name);
            assert!(good.starts_with(&frames), "{} bit {bit}", vector.name);
            bent[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
