//! A client of the rxlapce daemon: language models' answers as streams, by shared memory or a Unix socket.
//!
//! [`Client`] connects, asks from any thread, and delivers by an iterator ([`TokenStream`]) or a callback
//! ([`Client::chat_stream_to`]). [`Answer`] collects a stream's tokens and obeys its seams. It needs nothing but the
//! standard library, and runs on Linux and other Unix systems; shared memory is Linux's alone.
//!
//! ```no_run
//! use rxlapce_client::{ChatRequest, Client, Message};
//!
//! let client = Client::connect()?;
//! let request = ChatRequest::new("simulator/sim", [Message::user("What is backpressure?")]);
//! let answer = client.chat_stream(&request)?.into_answer()?;
//! println!("{}", answer.text());
//! # Ok::<(), rxlapce_client::Error>(())
//! ```
//!
//! # What holds
//!
//! - **Whole, in order, or one clear error.** Each stream ends in [`Token::Finish`] or in one [`Error`]. A gap in the
//!   sequence, a flipped bit, an index that cannot be true end the connection, and say so.
//! - **Nothing is believed.** No byte that a peer can say or write into the shared memory makes this crate panic, wait
//!   for ever, read outside of what is its own, or hold more than the bounds that are documented.
//! - **Back-pressure reaches the provider.** A stream that is read slowly holds up itself, and no other.
//! - **Nobody who asks waits for the daemon.** Requests, credit and cancels are queued if the socket is full.
//!
//! The parts are public for who needs less than a client: [`frame`], [`handshake`] and [`message`] are sans-I/O, and
//! [`json`], [`crc`], [`sha256`] are what they are made of. The protocol is `docs/protocol.md` of the repository.

pub mod crc;
pub mod frame;
pub mod handshake;
pub mod json;
pub mod message;
pub mod sha256;
pub mod signing;

mod answer;
mod client;
mod error;
mod hex;
mod request;
mod ring;
mod sys;
mod token;
mod wire;

pub use answer::Answer;
pub use client::{default_path, Client, Notice, Options, Reply, Subscription, TokenStream};
pub use error::{Error, Result};
pub use message::{
    Call, ChatAnswer, Completion, ErrorBody, ErrorKind, HandshakeAck, ModelEntry, ModelList, Phase, Retry,
    Transport, Unlisted,
};
pub use request::{
    CacheLife, ChatRequest, CompletionRequest, Detail, Effort, Image, Message, OpaquePart, Part,
    RequestedCall, ResponseFormat, Role, Tool,
};
pub use signing::SigningKey;
pub use token::{ChoiceEnd, Finish, FinishKind, Reported, SeamWord, Token, Usage, UsageSource};
