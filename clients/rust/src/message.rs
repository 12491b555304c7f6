//! What client and daemon say to each other, with the numbers on the wire.

use std::fmt;

use crate::error::{Error, Result};
use crate::frame::{encode, flag};
use crate::json::Value;
use crate::request::{ChatRequest, CompletionRequest, Message};
use crate::token::{Finish, FinishKind, Token, Usage};
use crate::wire::{words, FromJson, Members, Mismatch, Read, Writer};

/// The numbers of the messages.
mod number {
    pub(super) const FAILURE: u16 = 0x0004;
    pub(super) const HEARTBEAT: u16 = 0x0005;
    pub(super) const HANDSHAKE: u16 = 0x0010;
    pub(super) const ACK: u16 = 0x0011;
    pub(super) const DISCONNECT: u16 = 0x0012;
    pub(super) const DRAINING: u16 = 0x0013;
    pub(super) const STATUS: u16 = 0x0020;
    pub(super) const STATUS_REPORT: u16 = 0x0021;
    pub(super) const CANCEL: u16 = 0x0205;
    pub(super) const COMPLETE: u16 = 0x0300;
    pub(super) const CHAT: u16 = 0x0301;
    pub(super) const COMPLETE_STREAM: u16 = 0x0302;
    pub(super) const CHAT_STREAM: u16 = 0x0303;
    pub(super) const CREDIT: u16 = 0x0304;
    pub(super) const MODELS: u16 = 0x0305;
    pub(super) const COMPLETED: u16 = 0x0310;
    pub(super) const ANSWER: u16 = 0x0311;
    pub(super) const CHUNK: u16 = 0x0312;
    pub(super) const DONE: u16 = 0x0313;
    pub(super) const FAILED: u16 = 0x0314;
    pub(super) const MODEL_LIST: u16 = 0x0315;
}

/// Whether a client may receive messages of this number.
#[must_use]
pub fn goes_to_client(number: u16) -> bool {
    use number::*;
    matches!(
        number,
        FAILURE
            | HEARTBEAT
            | ACK
            | DISCONNECT
            | DRAINING
            | STATUS_REPORT
            | COMPLETED
            | ANSWER
            | CHUNK
            | DONE
            | FAILED
            | MODEL_LIST
    )
}

/// Whether a daemon may receive messages of this number.
#[must_use]
pub fn goes_to_daemon(number: u16) -> bool {
    use number::*;
    matches!(
        number,
        HEARTBEAT
            | HANDSHAKE
            | DISCONNECT
            | STATUS
            | CANCEL
            | COMPLETE
            | CHAT
            | COMPLETE_STREAM
            | CHAT_STREAM
            | CREDIT
            | MODELS
    )
}

// -- to the daemon ----------------------------------------------------------------------------------------------------

/// What a client says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command<'a> {
    /// Its first frame.
    Handshake(&'a Handshake),
    /// A sign of life.
    Heartbeat {
        /// Whether one is to come back.
        echo: bool,
    },
    /// A goodbye.
    Disconnect {
        /// Why.
        reason: &'a str,
    },
    /// How is the daemon?
    Status,
    /// Which models are there?
    Models {
        /// Whose; `None` for all that are configured.
        providers: Option<&'a [String]>,
    },
    /// A completion in one piece.
    Complete(&'a CompletionRequest),
    /// An answer in one piece.
    Chat(&'a ChatRequest),
    /// A completion as a stream.
    CompleteStream {
        /// What is asked.
        request: &'a CompletionRequest,
        /// How many chunks the client can take; `None` is any number.
        credit: Option<u32>,
    },
    /// An answer as a stream.
    ChatStream {
        /// What is asked.
        request: &'a ChatRequest,
        /// How many chunks the client can take; `None` is any number.
        credit: Option<u32>,
    },
    /// The end of a request.
    Cancel,
    /// That a stream may send more.
    Credit {
        /// How many chunks, from 1.
        frames: u32,
    },
}

/// A client's first words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Which versions it speaks.
    pub versions: Vec<u32>,
    /// Who it is.
    pub client: String,
    /// By which way frames of streams should come.
    pub transport: Transport,
    /// The abilities it asks for.
    pub features: Vec<String>,
    /// With the feature `sign`: 64 hexadecimal digits.
    pub nonce: Option<String>,
    /// With the feature `sign`: the secret's name.
    pub key: Option<String>,
}

words! {
    /// By which way frames of streams come.
    Transport {
        /// By shared memory, where there is any.
        Shm = "shm",
        /// By the socket.
        Socket = "socket",
    }
}

impl Command<'_> {
    /// The number of its type.
    #[must_use]
    pub fn number(&self) -> u16 {
        match self {
            Self::Handshake(_) => number::HANDSHAKE,
            Self::Heartbeat { .. } => number::HEARTBEAT,
            Self::Disconnect { .. } => number::DISCONNECT,
            Self::Status => number::STATUS,
            Self::Models { .. } => number::MODELS,
            Self::Complete(_) => number::COMPLETE,
            Self::Chat(_) => number::CHAT,
            Self::CompleteStream { .. } => number::COMPLETE_STREAM,
            Self::ChatStream { .. } => number::CHAT_STREAM,
            Self::Cancel => number::CANCEL,
            Self::Credit { .. } => number::CREDIT,
        }
    }

    /// The payload: JSON in UTF-8, without the members that have their default.
    #[must_use]
    pub fn payload(&self) -> String {
        let tagged = |tag: &str| Writer::default().with("type", tag);
        let message = match *self {
            Self::Handshake(handshake) => tagged("handshake")
                .with("versions", handshake.versions.clone())
                .with("client", &*handshake.client)
                .with("transport", handshake.transport.as_str())
                .with("features", handshake.features.clone())
                .maybe("nonce", handshake.nonce.as_deref())
                .maybe("key", handshake.key.as_deref()),
            Self::Heartbeat { echo } => tagged("heartbeat").with("echo", echo),
            Self::Disconnect { reason } => tagged("disconnect").with("reason", reason),
            Self::Status => tagged("status"),
            Self::Models { providers } => {
                tagged("models").maybe("providers", providers.map(<[String]>::to_vec))
            }
            Self::Complete(request) => tagged("complete").with("request", request),
            Self::Chat(request) => tagged("chat").with("request", request),
            Self::CompleteStream { request, credit } => {
                tagged("complete_stream").with("request", request).maybe("credit", credit)
            }
            Self::ChatStream { request, credit } => {
                tagged("chat_stream").with("request", request).maybe("credit", credit)
            }
            Self::Cancel => tagged("cancel"),
            Self::Credit { frames } => tagged("credit").with("frames", frames),
        };
        message.done().to_string()
    }

    /// The whole frame, about the request `id`.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a request that is longer than a frame may be.
    pub fn frame(&self, id: u64) -> Result<Vec<u8>> {
        encode(self.number(), flag::REQUEST, id, self.payload().as_bytes())
    }
}

// -- from the daemon --------------------------------------------------------------------------------------------------

/// What the daemon says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Its answer to the handshake.
    HandshakeAck(HandshakeAck),
    /// Its last word to a client that broke the protocol.
    ProtocolFailure {
        /// A name out of the protocol's table.
        error: String,
        /// In words.
        message: String,
    },
    /// A sign of life.
    Heartbeat {
        /// Whether one is to go back.
        echo: bool,
    },
    /// A goodbye.
    Disconnect {
        /// Why.
        reason: String,
    },
    /// It takes no new requests.
    Draining {
        /// How long those under way may go on, in seconds.
        within_s: f64,
    },
    /// How it is: the message as it came.
    StatusReport(Value),
    /// A completion in one piece.
    Completion(Completion),
    /// An answer in one piece.
    Chat(Box<ChatAnswer>),
    /// One token of a stream.
    Chunk {
        /// The frame's number in its stream.
        seq: u64,
        /// The token.
        token: Token,
    },
    /// The end of a whole stream.
    Done {
        /// The frame's number in its stream.
        seq: u64,
        /// How it ended.
        finish: Finish,
    },
    /// The end of a request that failed.
    Failed {
        /// The frame's number in its stream; of what is no stream 0.
        seq: u64,
        /// Why.
        error: Box<ErrorBody>,
    },
    /// The models that there are.
    Models(ModelList),
}

impl Event {
    /// What it is, in a word: for errors.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::HandshakeAck(_) => "a handshake's acknowledgement",
            Self::ProtocolFailure { .. } => "the word that the protocol was broken",
            Self::Heartbeat { .. } => "a heartbeat",
            Self::Disconnect { .. } => "a goodbye",
            Self::Draining { .. } => "the word that the daemon drains",
            Self::StatusReport(_) => "a status report",
            Self::Completion(_) => "a completion",
            Self::Chat(_) => "an answer",
            Self::Chunk { .. } => "a chunk of a stream",
            Self::Done { .. } => "the end of a stream",
            Self::Failed { .. } => "the error of a request",
            Self::Models(_) => "a list of models",
        }
    }

    /// The message of a frame's payload.
    ///
    /// # Errors
    /// [`Error::BadPayload`] for what is not JSON, or not the message that the number names; [`Error::BadMessageType`]
    /// for a number that [does not go to a client](goes_to_client).
    pub fn decode(number: u16, payload: &[u8]) -> Result<Self> {
        if !goes_to_client(number) {
            return Err(Error::BadMessageType { number, id: 0 });
        }
        let value = Value::parse(payload).map_err(|error| Error::BadPayload {
            number,
            path: format!("byte {}", error.at),
            expected: error.expected.into(),
            found: error.found_text(),
        })?;
        Self::read(number, value).map_err(|Mismatch { path, expected, found }| Error::BadPayload {
            number,
            path: format!("${path}"),
            expected,
            found,
        })
    }

    fn read(number: u16, value: Value) -> Read<Self> {
        let tag = match number {
            number::ACK => "handshake_ack",
            number::HEARTBEAT => "heartbeat",
            number::DISCONNECT => "disconnect",
            number::DRAINING => "draining",
            number::STATUS_REPORT => "status_report",
            number::COMPLETED => "complete",
            number::ANSWER => "chat",
            number::CHUNK => "stream_chunk",
            number::DONE => "stream_done",
            number::MODEL_LIST => "models",
            _ => "error",
        };
        if value.get("type").and_then(Value::as_str) != Some(tag) {
            return Err(Mismatch::new(format!("an object with the type {tag:?}"), "another"));
        }
        if number == number::STATUS_REPORT {
            return Ok(Self::StatusReport(value));
        }
        let mut m = Members::of(value)?;
        Ok(match number {
            number::ACK => Self::HandshakeAck(HandshakeAck::read(&mut m)?),
            number::HEARTBEAT => Self::Heartbeat { echo: m.or_default("echo")? },
            number::DISCONNECT => Self::Disconnect { reason: m.or_default("reason")? },
            number::DRAINING => Self::Draining { within_s: m.or_default("within_s")? },
            number::COMPLETED => Self::Completion(Completion::read(&mut m)?),
            number::ANSWER => Self::Chat(Box::new(ChatAnswer::read(&mut m)?)),
            number::CHUNK => Self::Chunk { seq: m.required("seq")?, token: m.required("token")? },
            number::DONE => Self::Done { seq: m.required("seq")?, finish: m.required("finish")? },
            number::FAILED => Self::Failed { seq: m.required("seq")?, error: Box::new(m.required("error")?) },
            number::MODEL_LIST => Self::Models(ModelList {
                models: m.or_default("models")?,
                unlisted: m.or_default("unlisted")?,
            }),
            _ => Self::ProtocolFailure { error: m.required("error")?, message: m.required("message")? },
        })
    }
}

/// What the handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeAck {
    /// The version that is spoken.
    pub version: u64,
    /// Who the daemon is.
    pub server: String,
    /// By which way frames of streams come.
    pub transport: Transport,
    /// Those of the client's that are granted.
    pub features: Vec<String>,
    /// The ring's capacity in bytes, where there is one.
    pub ring: Option<u64>,
    /// How many requests this connection may have under way.
    pub max_streams: u64,
    /// Why `transport` is not the one that was asked for.
    pub reason: Option<String>,
    /// With the feature `sign`: 64 hexadecimal digits.
    pub nonce: Option<String>,
}

impl HandshakeAck {
    fn read(m: &mut Members) -> Read<Self> {
        Ok(Self {
            version: m.or("version", 1)?,
            server: m.or_default("server")?,
            transport: m.or("transport", Transport::Socket)?,
            features: m.or_default("features")?,
            ring: m.or_default::<Option<RingGrant>>("ring")?.map(|RingGrant(capacity)| capacity),
            max_streams: m.or_default("max_streams")?,
            reason: m.or_default("reason")?,
            nonce: m.or_default("nonce")?,
        })
    }
}

struct RingGrant(u64);

impl FromJson for RingGrant {
    fn from_json(value: Value) -> Read<Self> {
        Members::of(value)?.required("capacity").map(Self)
    }
}

/// A completion in one piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The completion.
    pub text: String,
    /// Why it ended.
    pub finish: FinishKind,
    /// The provider's own word for that.
    pub finish_raw: Option<String>,
    /// The model that really answered.
    pub model: Option<String>,
    /// What it took.
    pub usage: Option<Usage>,
}

impl Completion {
    fn read(m: &mut Members) -> Read<Self> {
        Ok(Self {
            text: m.required("text")?,
            finish: m.required("finish")?,
            finish_raw: m.or_default("finish_raw")?,
            model: m.or_default("model")?,
            usage: m.or_default("usage")?,
        })
    }
}

/// An answer in one piece (the first choice of several).
#[derive(Debug, Clone, PartialEq)]
pub struct ChatAnswer {
    /// The visible text.
    pub text: String,
    /// Why it ended.
    pub finish: FinishKind,
    /// The provider's own word for that.
    pub finish_raw: Option<String>,
    /// The model's thinking.
    pub reasoning: String,
    /// A refusal that the provider marks as one.
    pub refusal: Option<String>,
    /// The whole tool calls.
    pub tool_calls: Vec<Call>,
    /// The model that really answered.
    pub model: Option<String>,
    /// What it took.
    pub usage: Option<Usage>,
    /// The same as the turn to send back in the next request.
    pub turn: Option<Message>,
}

impl ChatAnswer {
    fn read(m: &mut Members) -> Read<Self> {
        Ok(Self {
            text: m.required("text")?,
            finish: m.required("finish")?,
            finish_raw: m.or_default("finish_raw")?,
            reasoning: m.or_default("reasoning")?,
            refusal: m.or_default("refusal")?,
            tool_calls: m.or_default("tool_calls")?,
            model: m.or_default("model")?,
            usage: m.or_default("usage")?,
            turn: m.or_default("turn")?,
        })
    }
}

/// A whole tool call of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    /// Its id, where the provider gave one.
    pub id: Option<String>,
    /// Which tool.
    pub name: Option<String>,
    /// The JSON text as the model said it.
    pub arguments: String,
}

impl FromJson for Call {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self { id: m.required("id")?, name: m.required("name")?, arguments: m.required("arguments")? })
    }
}

/// The models that there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelList {
    /// Names that a request's `model` may have.
    pub models: Vec<ModelEntry>,
    /// Providers that could not be asked.
    pub unlisted: Vec<Unlisted>,
}

/// A name that a request's `model` may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// The name.
    pub name: String,
    /// Whose model it is; `None` for an alias.
    pub provider: Option<String>,
    /// What an alias stands for.
    pub asks: Vec<String>,
}

impl FromJson for ModelEntry {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            name: m.required("name")?,
            provider: m.or_default("provider")?,
            asks: m.or_default("asks")?,
        })
    }
}

/// A provider that did not tell its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Its name.
    pub provider: String,
    /// Why not.
    pub message: String,
}

impl FromJson for Unlisted {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self { provider: m.required("provider")?, message: m.required("message")? })
    }
}

words! {
    /// What kind of failure it was. A word of a newer daemon's is [`Internal`](ErrorKind::Internal).
    ErrorKind, unknown Internal {
        /// The key is wrong, or may not do this.
        Auth = "auth",
        /// The account cannot pay.
        Billing = "billing",
        /// The account's allowance is used up.
        Quota = "quota",
        /// Too many requests or tokens in a time.
        RateLimit = "rate_limit",
        /// The provider, or the daemon, takes no more now.
        Overloaded = "overloaded",
        /// One of the time limits; the phase says which.
        Timeout = "timeout",
        /// No connection, or it broke.
        Network = "network",
        /// The stream ended without its terminal event.
        Truncated = "truncated",
        /// The request, or the model's name, is wrong.
        BadRequest = "bad_request",
        /// The prompt is too long for the model.
        ContextLength = "context_length",
        /// Refused by a filter.
        ContentFilter = "content_filter",
        /// The provider said what its own protocol does not allow.
        Protocol = "protocol",
        /// The client cancelled, or the daemon stops.
        Cancelled = "cancelled",
        /// A bug of the daemon's.
        Internal = "internal",
    }
}

words! {
    /// Whether and where the same request may succeed. A word of a newer daemon's is [`Never`](Retry::Never).
    Retry, unknown Never {
        /// The same request fails again.
        Never = "never",
        /// There, after `retry_after_s` if that is given.
        Same = "same",
        /// There, with another key.
        OtherKey = "other_key",
        /// Elsewhere.
        OtherProvider = "other_provider",
    }
}

words! {
    /// How far the request had come. A word of a newer daemon's is [`Flow`](Phase::Flow).
    Phase, unknown Flow {
        /// Nothing was sent.
        Admit = "admit",
        /// While connecting to the provider.
        Connect = "connect",
        /// After sending, before or with the response's headers.
        Headers = "headers",
        /// After the headers, before the first visible token.
        FirstToken = "first_token",
        /// After it.
        Flow = "flow",
    }
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBody {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// Whether and where the same request may succeed.
    pub retry: Retry,
    /// How far it had come.
    pub phase: Phase,
    /// One or two sentences for a person.
    pub message: String,
    /// Seconds that the provider asked for; `None` where it said nothing, which is not 0.
    pub retry_after_s: Option<f64>,
    /// The HTTP status.
    pub status: Option<i64>,
    /// Who failed.
    pub provider: Option<String>,
    /// The provider's own id of the exchange.
    pub request_id: Option<String>,
    /// The provider's own body or event.
    pub raw: Option<String>,
    /// How many characters of visible text there are of an answer that broke off.
    pub delivered_chars: Option<u64>,
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, in phase {}", self.message, self.kind, self.phase)?;
        if let Some(provider) = &self.provider {
            write!(f, ", of {provider}")?;
        }
        f.write_str(")")
    }
}

impl FromJson for ErrorBody {
    fn from_json(value: Value) -> Read<Self> {
        let mut m = Members::of(value)?;
        Ok(Self {
            kind: m.required("kind")?,
            retry: m.required("retry")?,
            phase: m.required("phase")?,
            message: m.required("message")?,
            retry_after_s: m.or_default("retry_after_s")?,
            status: m.or_default("status")?,
            provider: m.or_default("provider")?,
            request_id: m.or_default("request_id")?,
            raw: m.or_default("raw")?,
            delivered_chars: m.or_default("delivered_chars")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(number: u16, payload: &str) -> Result<Event> {
        Event::decode(number, payload.as_bytes())
    }

    #[test]
    fn words_of_a_newer_daemon_have_their_stand_ins() {
        let payload =
            r#"{"type":"error","seq":2,"error":{"kind":"x","retry":"y","phase":"z","message":"m","new":1}}"#;
        let Ok(Event::Failed { seq: 2, error }) = decode(0x0314, payload) else { panic!() };
        assert_eq!((error.kind, error.retry, error.phase), (ErrorKind::Internal, Retry::Never, Phase::Flow));
        let known = payload.replace(r#""x""#, r#""quota""#);
        let Ok(Event::Failed { error, .. }) = decode(0x0314, &known) else { panic!() };
        assert_eq!(error.kind, ErrorKind::Quota);
        assert_eq!(error.to_string(), "m (quota, in phase flow)");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        for (number, payload, expected) in [
            (0x0312, r#"{"type":"stream_chunk","seq":0,"token":{"type":"text","text":1}}"#, "$.token.text: expected a string, got an integer"),
            (0x0312, r#"{"type":"stream_chunk","seq":0,"token":{"type":"finish","kind":"stop"}}"#, "$.token: expected a token of a chunk, got type \"finish\""),
            (0x0312, r#"{"type":"stream_chunk","seq":-1,"token":{}}"#, "$.seq: expected an integer from 0, got -1"),
            (0x0313, r#"{"type":"stream_done","seq":0,"finish":{"kind":"x"}}"#, "$.finish.kind: expected one of stop length tool_calls content_filter refusal pause cancelled, got \"x\""),
            (0x0315, r#"{"type":"models","models":[{"name":"a"},{}]}"#, "$.models[1]: expected a member \"name\", got none"),
            (0x0012, r#"{"type":"disconnect","reason":}"#, "byte 30: expected a JSON value, got '}'"),
            (0x0012, r#"{"type":"Disconnect"}"#, "$: expected an object with the type \"disconnect\", got another"),
        ] {
            let error = decode(number, payload).unwrap_err().to_string();
            assert_eq!(error, format!("payload of type {number:#06x}: {expected}"));
        }
    }

    #[test]
    fn commands_say_no_more_than_they_must() {
        let request = ChatRequest::new("p/m", [Message::system("Be brief."), Message::tool("c1", "4")]);
        let command = Command::ChatStream { request: &request, credit: Some(8) };
        assert_eq!(
            command.payload(),
            r#"{"type":"chat_stream","request":{"model":"p/m","messages":[{"role":"system","content":"Be brief."},{"role":"tool","content":"4","tool_call_id":"c1"}]},"credit":8}"#
        );
        assert_eq!(Command::Credit { frames: 4 }.payload(), r#"{"type":"credit","frames":4}"#);
        assert_eq!(Command::Models { providers: None }.payload(), r#"{"type":"models"}"#);
    }

    #[test]
    fn a_turn_goes_back_as_it_came() {
        let turn = r#"{"role":"assistant","parts":[{"reasoning":"Hm.","signature":"s"},{"text":"Yes."},{"tool_call":{"id":"a","name":"b","arguments":"{ }"}},{"opaque":{"kind":"k","raw":"{}"}}]}"#;
        let payload = format!(r#"{{"type":"chat","text":"Yes.","finish":"stop","turn":{turn}}}"#);
        let Ok(Event::Chat(answer)) = decode(0x0311, &payload) else { panic!() };
        assert_eq!(Value::from(&answer.turn.unwrap()).to_string(), turn);
    }
}
