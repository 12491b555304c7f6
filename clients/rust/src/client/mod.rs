//! The connection: requests from any thread, one thread that reads.

mod options;
mod outbox;
mod reader;
mod stream;
mod table;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use options::{default_path, Notice, Options};
pub use stream::{Reply, Subscription, TokenStream};

use crate::error::{Error, Result};
use crate::handshake::{Agreed, Offer};
use crate::json::Value;
use crate::message::{ChatAnswer, Command, Completion, Event, HandshakeAck, ModelList, Transport};
use crate::request::{ChatRequest, CompletionRequest};
use crate::ring::RingReader;
use crate::sys::{self, Wanted};
use crate::token::Token;
use outbox::Outbox;
use stream::{channel, half, CallbackSink, Handle};
use table::{locked, Sink, Table, Waiter};

const RING_FDS: usize = 2;

/// A connection to the daemon: many requests at once, from any thread. Dropping it closes the connection.
///
/// Every request under way ends in [`Error::ConnectionLost`] when the daemon goes away, after all tokens that it had
/// sent.
///
/// ```no_run
/// use rxlapce_client::{ChatRequest, Client, Message};
///
/// let client = Client::connect()?;
/// let request = ChatRequest::new("simulator/sim", [Message::user("What is backpressure?")]);
/// for token in client.chat_stream(&request)? {
///     if let Some(text) = token?.text() {
///         print!("{text}");
///     }
/// }
/// # Ok::<(), rxlapce_client::Error>(())
/// ```
///
/// # Threads
/// Callbacks run in the reader's thread: one that waits holds up the whole connection, and one that panics ends its own
/// stream. They may use the client in any way but to wait for another answer of the same connection.
pub struct Client {
    shared: Arc<Shared>,
    ack: HandshakeAck,
    window: u32,
    max_held_bytes: usize,
    reader: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Client {{ {} by {}, {} under way }}",
            self.ack.server,
            self.ack.transport,
            self.under_way()
        )
    }
}

/// What the client, its requests and its reader have in common.
pub(crate) struct Shared {
    table: Mutex<Table>,
    outbox: Outbox,
    /// A byte in it wakes the reader's thread.
    nudge: UnixStream,
    /// Its other end, which is kept here so that a late nudge meets no broken pipe.
    nudged: UnixStream,
    closing: AtomicBool,
    /// Why this side ended the connection, if it was not by being asked to.
    given_up: OnceLock<Error>,
    draining: Mutex<Option<Duration>>,
}

impl Shared {
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }

    /// Wakes the reader's thread. A full socket has woken it already.
    fn nudge(&self) {
        let _sent = sys::send_now(self.nudge.as_fd(), &[0]);
    }

    fn send(&self, command: Command<'_>, id: u64) -> Result<()> {
        if self.outbox.send(command, id)? {
            self.nudge();
        }
        Ok(())
    }

    /// Sends what belongs to a request that is under way: where even that finds no room, the connection is given up.
    pub(crate) fn send_or_break(&self, command: Command<'_>, id: u64) {
        if let Err(error) = self.send(command, id) {
            let _told_once = self.given_up.set(error);
            self.outbox.close(); // which the reader finds to be the end
        }
    }

    /// Lets the daemon send `frames` more chunks of a stream; without effect on one that has ended.
    pub(crate) fn grant(&self, id: u64, frames: u32) {
        if self.table().grant(id, frames) {
            self.send_or_break(Command::Credit { frames }, id);
        }
    }
}

impl Client {
    /// Connects to the daemon of this user, by shared memory if there is any.
    ///
    /// # Errors
    /// As [`Options::connect`].
    pub fn connect() -> Result<Self> {
        Self::options().connect()
    }

    /// Settings to connect by.
    pub fn options() -> Options {
        Options::default()
    }

    fn with(options: Options) -> Result<Self> {
        let path = options.path.clone().unwrap_or_else(default_path);
        let socket = connect_socket(&path, options.timeout)?;
        let wanted = if sys::SHARED_MEMORY { options.transport } else { Transport::Socket };
        let offer = Offer::new(&options.name, wanted, &["drain"], options.key.clone())?;
        let (agreed, leftover, fds) = shake_hands(&socket, &offer, options.timeout)?;
        let ring = open_ring(&agreed.ack, fds)?;

        let broken =
            |error: io::Error| Error::ConnectionLost(format!("the connection could not be set up: {error}"));
        let (nudge, nudged) = UnixStream::pair().map_err(broken)?;
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            outbox: Outbox::new(socket, agreed.signer),
            nudge,
            nudged,
            closing: AtomicBool::new(false),
            given_up: OnceLock::new(),
            draining: Mutex::default(),
        });
        let ring = ring.map(|ring| reader::Ring::new(ring, agreed.ring_decoder, options.linger));
        let reader = reader::Reader::new(Arc::clone(&shared), agreed.decoder, ring, options.on_notice);
        let thread = thread::Builder::new()
            .name("rxlapce-client".into())
            .spawn(move || reader.run(&leftover))
            .map_err(broken)?;
        let (window, max_held_bytes) = (options.window, options.max_held_bytes);
        Ok(Self { shared, ack: agreed.ack, window, max_held_bytes, reader: Some(thread) })
    }

    /// What the handshake agreed on: who the daemon is, what it granted.
    #[must_use]
    pub fn ack(&self) -> &HandshakeAck {
        &self.ack
    }

    /// By which way frames of streams come; `ack().reason` says why, if it is not the one that was asked for.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.ack.transport
    }

    /// How many requests have no end yet, those included that were dropped and that the daemon is still to end.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.shared.table().len()
    }

    /// If the daemon takes no new requests: how long those under way may go on, from when it said so.
    #[must_use]
    pub fn draining(&self) -> Option<Duration> {
        *locked(&self.shared.draining)
    }

    /// Why the connection is over; `None` while it is not.
    #[must_use]
    pub fn lost(&self) -> Option<Error> {
        self.shared.table().lost().cloned()
    }

    // -- streams ------------------------------------------------------------------------------------------------------

    /// The answer to `request`, token by token.
    ///
    /// # Errors
    /// What ended the connection, if it is over; [`Error::BadRequest`], [`Error::Busy`].
    pub fn chat_stream(&self, request: &ChatRequest) -> Result<TokenStream> {
        self.stream(Command::ChatStream { request, credit: Some(self.window) })
    }

    /// The completion of `request`, token by token.
    ///
    /// # Errors
    /// As [`chat_stream`](Self::chat_stream).
    pub fn complete_stream(&self, request: &CompletionRequest) -> Result<TokenStream> {
        self.stream(Command::CompleteStream { request, credit: Some(self.window) })
    }

    /// Calls `tell` for each token of the answer to `request`, in the reader's thread: see [`Client`]. Its last call has
    /// [`Token::Finish`] or the one error.
    ///
    /// # Errors
    /// As [`chat_stream`](Self::chat_stream).
    pub fn chat_stream_to(
        &self,
        request: &ChatRequest,
        tell: impl FnMut(Result<Token>) + Send + 'static,
    ) -> Result<Subscription> {
        self.subscribe(Command::ChatStream { request, credit: Some(self.window) }, tell)
    }

    /// As [`chat_stream_to`](Self::chat_stream_to), for a completion.
    ///
    /// # Errors
    /// As [`chat_stream`](Self::chat_stream).
    pub fn complete_stream_to(
        &self,
        request: &CompletionRequest,
        tell: impl FnMut(Result<Token>) + Send + 'static,
    ) -> Result<Subscription> {
        self.subscribe(Command::CompleteStream { request, credit: Some(self.window) }, tell)
    }

    fn stream(&self, command: Command<'_>) -> Result<TokenStream> {
        let (sink, incoming) = channel(self.max_held_bytes);
        let handle = self.open_stream(command, sink)?;
        Ok(TokenStream::new(incoming, handle, self.window))
    }

    fn subscribe(
        &self,
        command: Command<'_>,
        tell: impl FnMut(Result<Token>) + Send + 'static,
    ) -> Result<Subscription> {
        let sink = CallbackSink { tell, half: half(self.window), untold: 0 };
        self.open_stream(command, sink).map(Subscription::new)
    }

    fn open_stream(&self, command: Command<'_>, sink: impl Sink + 'static) -> Result<Handle> {
        let handle = self.open(command, Waiter::Stream(Arc::new(Mutex::new(sink))))?;
        // The reader may be sleeping without a net, as no frames were expected.
        if self.transport() == Transport::Shm && self.shared.table().streams() == 1 {
            self.shared.nudge();
        }
        Ok(handle)
    }

    // -- in one piece -------------------------------------------------------------------------------------------------

    /// The answer to `request` in one piece.
    ///
    /// # Errors
    /// As [`chat_stream`](Self::chat_stream); what fails later is the reply's.
    pub fn chat(&self, request: &ChatRequest) -> Result<Reply<ChatAnswer>> {
        self.ask(
            Command::Chat(request),
            |event| matches!(event, Event::Chat(_)),
            |event| match event {
                Event::Chat(answer) => Some(*answer),
                _ => None,
            },
        )
    }

    /// The completion of `request` in one piece.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn complete(&self, request: &CompletionRequest) -> Result<Reply<Completion>> {
        self.ask(
            Command::Complete(request),
            |event| matches!(event, Event::Completion(_)),
            |event| match event {
                Event::Completion(completion) => Some(completion),
                _ => None,
            },
        )
    }

    /// The daemon's aliases, and the models of `providers`; `None` for all that are configured.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn models(&self, providers: Option<&[String]>) -> Result<Reply<ModelList>> {
        self.ask(
            Command::Models { providers },
            |event| matches!(event, Event::Models(_)),
            |event| match event {
                Event::Models(models) => Some(models),
                _ => None,
            },
        )
    }

    /// How the daemon is: its report as JSON.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn status(&self) -> Result<Reply<Value>> {
        self.ask(
            Command::Status,
            |event| matches!(event, Event::StatusReport(_)),
            |event| match event {
                Event::StatusReport(report) => Some(report),
                _ => None,
            },
        )
    }

    /// A sign of life; how long the daemon took for it.
    ///
    /// # Errors
    /// As [`chat`](Self::chat), and [`Error::TimedOut`].
    pub fn ping(&self, timeout: Duration) -> Result<Duration> {
        let began = Instant::now();
        self.ask(
            Command::Heartbeat { echo: true },
            |event| matches!(event, Event::Heartbeat { .. }),
            |event| matches!(event, Event::Heartbeat { .. }).then_some(()),
        )?
        .wait_for(timeout)?;
        Ok(began.elapsed())
    }

    fn ask<T>(
        &self,
        command: Command<'_>,
        fits: fn(&Event) -> bool,
        take: fn(Event) -> Option<T>,
    ) -> Result<Reply<T>> {
        let (sender, receiver) = mpsc::channel();
        let handle = self.open(command, Waiter::Once { sender, fits })?;
        Ok(Reply::new(receiver, handle, take))
    }

    fn open(&self, command: Command<'_>, waiter: Waiter) -> Result<Handle> {
        let id = self.shared.table().open(waiter, self.window)?;
        if let Err(error) = self.shared.send(command, id) {
            self.shared.table().take_back(id);
            return Err(error);
        }
        Ok(Handle { shared: Arc::clone(&self.shared), id })
    }

    /// Says goodbye and closes; requests under way end in [`Error::ConnectionLost`] before this returns. The same as
    /// dropping the client.
    pub fn close(self) {}
}

impl Drop for Client {
    fn drop(&mut self) {
        // First, as the daemon closes when it hears the goodbye, and the reader may find that before the nudge.
        self.shared.closing.store(true, Ordering::Release);
        let _at_its_end = self.shared.send(Command::Disconnect { reason: "client closes" }, 0);
        self.shared.nudge();
        if let Some(reader) = self.reader.take() {
            // Dropped by a callback it cannot wait for itself: the reader ends when the callback has.
            if reader.thread().id() != thread::current().id() {
                let _caught_already = reader.join();
            }
        }
    }
}

// -- connecting -------------------------------------------------------------------------------------------------------

fn connect_socket(path: &Path, timeout: Duration) -> Result<UnixStream> {
    let not_running = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::ConnectionLost(format!(
            "the daemon at {} is too busy to accept a connection",
            path.display()
        )),
        _ => Error::NotRunning { path: path.into(), why: error.to_string() },
    };
    let (me, owner) = (sys::user(), std::fs::symlink_metadata(path).map_err(not_running)?.uid());
    if owner != me {
        let path = path.display();
        return Err(Error::Config(format!(
            "{path} belongs to user {owner}, not to you ({me}): set RXLAPCE_SOCKET"
        )));
    }
    let socket = sys::connect_within(path, timeout).map_err(not_running)?;
    let daemon = sys::peer_user(socket.as_fd()).map_err(not_running)?;
    if daemon != me {
        return Err(Error::HandshakeRefused(format!("the daemon runs as user {daemon}, not as you ({me})")));
    }
    Ok(socket)
}

/// Sends the offer and receives the answer, the bytes behind it, and the descriptors that came with it.
fn shake_hands(
    socket: &UnixStream,
    offer: &Offer,
    timeout: Duration,
) -> Result<(Agreed, Vec<u8>, Vec<OwnedFd>)> {
    // A daemon that refuses may do so without reading: its reason is then there, though sending fails.
    let sent = send_all(socket, &offer.frame()?, Instant::now() + timeout);
    let deadline = Instant::now() + timeout;
    let (mut bytes, mut fds) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        let count = receive(socket, &mut buffer, &mut fds, deadline);
        let count = match (count, &sent) {
            (Ok(0) | Err(_), Err(broken)) => return Err(broken.clone()),
            (Ok(0), _) if bytes.is_empty() => {
                return Err(Error::ConnectionLost(
                    "the daemon closed the connection before its first frame".into(),
                ));
            }
            (Ok(0), _) => {
                return Err(Error::TruncatedFrame { held: bytes.len(), of: bytes.len() + 1, unproved: 0 })
            }
            (count, _) => count?,
        };
        bytes.extend_from_slice(&buffer[..count]);
        if let Some(agreed) = offer.answer(&bytes)? {
            let leftover = bytes.split_off(agreed.taken);
            return Ok((agreed, leftover, fds));
        }
    }
}

fn send_all(socket: &UnixStream, mut data: &[u8], deadline: Instant) -> Result<()> {
    while !data.is_empty() {
        match sys::send_now(socket.as_fd(), data) {
            Ok(sent) => data = &data[sent..],
            Err(error) => wait_out(&error, socket, Wanted::Write, deadline)?,
        }
    }
    Ok(())
}

fn receive(
    socket: &UnixStream,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    deadline: Instant,
) -> Result<usize> {
    loop {
        match sys::receive_with_fds(socket.as_fd(), buffer, fds) {
            Ok(count) => return Ok(count),
            Err(error) => wait_out(&error, socket, Wanted::Read, deadline)?,
        }
    }
}

/// Waits until a call that had to wait can go on; any other error is the connection's.
fn wait_out(error: &io::Error, socket: &UnixStream, wanted: Wanted, deadline: Instant) -> Result<()> {
    let broken =
        |error: &io::Error| Error::ConnectionLost(format!("the connection broke in its handshake: {error}"));
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock => match sys::wait_until(socket.as_fd(), wanted, deadline) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::ConnectionLost("the daemon took too long for the handshake".into())),
            Err(error) => Err(broken(&error)),
        },
        _ => Err(broken(error)),
    }
}

/// The ring that was granted. Descriptors that belong to none are closed.
fn open_ring(ack: &HandshakeAck, fds: Vec<OwnedFd>) -> Result<Option<RingReader>> {
    let (Transport::Shm, Some(capacity)) = (ack.transport, ack.ring) else { return Ok(None) };
    let [memory, wake] = <[OwnedFd; RING_FDS]>::try_from(fds).map_err(|fds| {
        let count = fds.len();
        Error::HandshakeRefused(format!("expected a ring with {RING_FDS} descriptors, got {count}"))
    })?;
    RingReader::open(memory, wake, capacity).map(Some)
}
