//! The protocol's vectors (`protocol/vectors` of the repository): each whole, byte by byte, and cut at every place.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rxlapce_client::frame::{Frame, FrameDecoder, HEADER_BYTES};
use rxlapce_client::handshake::Offer;
use rxlapce_client::json::Value;
use rxlapce_client::message::{goes_to_client, goes_to_daemon, Command, Event};
use rxlapce_client::signing::{SessionKeys, TRAILER_BYTES};
use rxlapce_client::{
    CacheLife, ChatRequest, CompletionRequest, Detail, Effort, Image, Message, OpaquePart, Part,
    RequestedCall, ResponseFormat, Tool, Transport,
};

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

/// A value without the members that say no more than their absence.
fn lean(value: &Value) -> Value {
    let says_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(values) => Value::Array(values.iter().map(lean).collect()),
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !says_nothing(value));
            let mut kept: Vec<_> = kept.map(|(name, value)| (name.clone(), lean(value))).collect();
            kept.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

/// Asserts that a command is the one frame of the vector `to-daemon-NAME`, but for members that have their default.
fn assert_says(name: &str, command: Command<'_>) {
    let Some(folder) = folder() else { return };
    let json = read_json(&folder.join(format!("valid/to-daemon-{name}.json")));
    let expected = &json.as_array().unwrap()[0];
    assert_eq!(Some(u64::from(command.number())), expected.get("type").and_then(Value::as_u64), "{name}");
    let said = Value::parse(command.payload().as_bytes()).unwrap();
    assert_eq!(lean(&said), lean(expected.get("payload").unwrap()), "{name}");
}

#[test]
fn what_a_client_says_is_what_the_vectors_say() {
    let Some(folder) = folder() else { return };
    let full = read_json(&folder.join("valid/to-daemon-complete-full.json"));
    let prompt =
        full.as_array().unwrap()[0].get("payload").and_then(|payload| payload.get("request")?.get("prompt"));
    let completion = CompletionRequest {
        api: Some("completions".into()),
        max_tokens: Some(16),
        temperature: Some(0.0),
        top_p: Some(1.0),
        stop: vec!["\n".into()],
        seed: Some(0),
        extra: vec![("suffix".into(), "return 1".into())],
        ..CompletionRequest::new("ollama/coder", prompt.and_then(Value::as_str).unwrap())
    };
    assert!(completion.prompt.contains('𝄞'));
    assert_says("complete-full", Command::Complete(&completion));
    assert_says("complete-stream-full", Command::CompleteStream { request: &completion, credit: Some(0) });
    assert_says("models-full", Command::Models { providers: Some(&["openai".into(), "ollama".into()]) });
    assert_says("models-lean", Command::Models { providers: None });
    assert_says("credit-full", Command::Credit { frames: 1 << 31 });
    assert_says("cancel-full", Command::Cancel);
    assert_says("status-full", Command::Status);
    assert_says("heartbeat-full", Command::Heartbeat { echo: true });
    assert_says("disconnect-full", Command::Disconnect { reason: "shutdown" });
    let simple = ChatRequest::new("simulator/sim", [Message::user("Hi")]);
    assert_says("chat-lean", Command::Chat(&simple));
    assert_says("chat-stream-lean", Command::ChatStream { request: &simple, credit: None });
}

#[test]
fn a_conversation_with_everything_is_what_the_vectors_say() {
    let Some(folder) = folder() else { return };
    let json = read_json(&folder.join("valid/to-daemon-chat-full.json"));
    let said = json.as_array().unwrap()[0].get("payload").and_then(|payload| payload.get("request")).unwrap();
    let odd = said.get("messages").and_then(Value::as_array).unwrap()[1].get("parts").unwrap();
    let odd = odd.as_array().unwrap()[0].get("text").and_then(Value::as_str).unwrap();
    let schema =
        Value::parse(br#"{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}"#)
            .unwrap();
    let call = RequestedCall {
        id: "call_1".into(),
        name: "read_file".into(),
        arguments: r#"{"path":"a.py"}"#.into(),
    };
    let url = Image {
        url: Some("https://example.com/a.png".into()),
        detail: Some(Detail::High),
        ..Image::default()
    };
    let (data, media_type) = (Some("iVBORw0KGgo=".into()), Some("image/png".into()));
    let data = Image { data, media_type, ..Image::default() };
    let user = vec![
        Part { cache: Some(CacheLife::FiveMinutes), ..Part::text(odd) },
        Part::image(url),
        Part::image(data),
    ];
    let (thought, signature) = (Some("First, the file.".into()), Some("c2lnbmF0dXJl".into()));
    let opaque = OpaquePart { kind: "redacted_thinking".into(), raw: r#"{"data":"eA=="}"#.into() };
    let assistant = vec![
        Part { reasoning: thought, signature, ..Part::default() },
        Part { tool_call: Some(call.clone()), ..Part::default() },
        Part { opaque: Some(opaque), ..Part::default() },
    ];
    let request = ChatRequest {
        api: Some("responses".into()),
        max_tokens: Some(4096),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        presence_penalty: Some(-0.5),
        frequency_penalty: Some(1.5),
        stop: vec!["\n\n".into(), "END".into()],
        seed: Some(-7),
        n: Some(2),
        tools: vec![Tool {
            name: "read_file".into(),
            description: "Read a file.".into(),
            parameters: Some(schema.clone()),
            cache: Some(CacheLife::OneHour),
        }],
        tool_choice: Some("auto".into()),
        parallel_tool_calls: Some(false),
        response_format: Some(ResponseFormat {
            json_schema: Some(schema),
            name: Some("file".into()),
            strict: Some(false),
        }),
        reasoning_effort: Some(Effort::High),
        reasoning_tokens: Some(1024),
        extra: vec![(
            "metadata".into(),
            said.get("extra").and_then(|extra| extra.get("metadata")).unwrap().clone(),
        )],
        ..ChatRequest::new(
            "openai/gpt-x",
            [
                Message::system("Be brief."),
                Message { parts: user, ..Message::user("") },
                Message { parts: assistant, tool_calls: vec![call], ..Message::assistant("") },
                Message::tool("call_1", "print(1)"),
            ],
        )
    };
    assert_says("chat-full", Command::Chat(&request));
    assert_says("chat-stream-full", Command::ChatStream { request: &request, credit: Some(1 << 31) });
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
