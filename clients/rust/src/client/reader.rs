//! The one thread that reads a connection, and calls back.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd as _;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use crate::client::options::{Notice, OnNotice};
use crate::client::table::{locked, Route, SharedSink, Sink, Waiter};
use crate::client::Shared;
use crate::error::{Error, Result};
use crate::frame::{Frame, FrameDecoder};
use crate::message::{Command, Event};
use crate::ring::{Rest, RingReader};
use crate::sys::{self, Wanted};
use crate::token::Token;

/// As much is read in one go.
const ROUND_BYTES: usize = 256 << 10;
/// The longest sleep beside a ring while frames are expected: for a wake-up that never comes.
const NET: Duration = Duration::from_millis(100);

/// The ring, as the reader's thread has it.
pub(crate) struct Ring {
    reader: RingReader,
    decoder: FrameDecoder,
    linger: Duration,
    /// Whether wake-ups can still come.
    wakes: bool,
    /// The writer has closed, and all is read.
    ended: bool,
}

impl Ring {
    pub(crate) fn new(reader: RingReader, decoder: FrameDecoder, linger: Duration) -> Self {
        Self { reader, decoder, linger, wakes: true, ended: false }
    }
}

pub(crate) struct Reader {
    shared: Arc<Shared>,
    decoder: FrameDecoder,
    ring: Option<Ring>,
    on_notice: Option<OnNotice>,
    /// Why the daemon said that it closes.
    goodbye: Option<String>,
    buffer: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        decoder: FrameDecoder,
        ring: Option<Ring>,
        on_notice: Option<OnNotice>,
    ) -> Self {
        Self { shared, decoder, ring, on_notice, goodbye: None, buffer: vec![0; ROUND_BYTES] }
    }

    /// Reads until the connection's end, which is then told to everybody. `early` came behind the handshake.
    pub(crate) fn run(mut self, early: &[u8]) {
        let worked = catch_unwind(AssertUnwindSafe(|| self.work(early)));
        let error = match worked {
            Ok(Err(error)) => error,
            Ok(Ok(never)) => match never {},
            // Better a lost connection than streams that hang.
            Err(_) => Error::ConnectionLost("the connection's reader broke down".into()),
        };
        let waiters = self.shared.table().lose(&error);
        self.shared.outbox.close();
        self.ring = None;
        for waiter in waiters {
            fail(waiter, &error);
        }
        self.notice(Notice::Lost(error));
    }

    fn work(&mut self, early: &[u8]) -> Result<Infallible> {
        self.take(early)?;
        loop {
            let timeout = self.look_into_ring()?;
            let socket = self.shared.outbox.socket();
            let wanted = if self.shared.outbox.is_waiting() { Wanted::ReadOrWrite } else { Wanted::Read };
            let wake = self.ring.as_ref().filter(|ring| ring.wakes && !ring.ended);
            let found = sys::wait(
                [
                    Some((socket, wanted)),
                    Some((self.shared.nudged.as_fd(), Wanted::Read)),
                    wake.map(|ring| (ring.reader.wake_end(), Wanted::Read)),
                ],
                timeout,
            );
            let [from_socket, nudged, woken] = found
                .map_err(|error| Error::ConnectionLost(format!("cannot wait for the daemon: {error}")))?;
            if let Some(ring) = &mut self.ring {
                ring.reader.awake();
                if woken {
                    ring.wakes = ring.reader.take_wake_ups();
                }
            }
            if nudged {
                let _nudges = sys::receive_now(self.shared.nudged.as_fd(), &mut [0; 64]);
                if self.shared.closing.load(Ordering::Acquire) {
                    return Err(closed_here());
                }
            }
            if from_socket {
                self.shared.outbox.flush();
                self.read_socket()?;
            }
        }
    }

    // -- bytes --------------------------------------------------------------------------------------------------------

    /// Takes what is in the ring, at most one round; returns how long to wait before the next (`None`: until woken).
    fn look_into_ring(&mut self) -> Result<Option<Duration>> {
        let count = self.read_ring(ROUND_BYTES)?;
        let expecting = self.shared.table().streams() > 0;
        let Some(ring) = self.ring.as_mut().filter(|ring| !ring.ended) else { return Ok(None) };
        if count == ROUND_BYTES {
            return Ok(Some(Duration::ZERO));
        }
        if count > 0 && expecting && !ring.linger.is_zero() {
            return Ok(Some(ring.linger));
        }
        match ring.reader.sleep()? {
            Rest::Awake => Ok(Some(Duration::ZERO)),
            Rest::Sleep => Ok(expecting.then_some(NET)),
            Rest::End => {
                ring.ended = true;
                ring.decoder.close()?;
                Ok(None)
            }
        }
    }

    /// Takes at most `most` bytes from the ring; returns how many there were.
    fn read_ring(&mut self, most: usize) -> Result<usize> {
        let Some(ring) = self.ring.as_mut().filter(|ring| !ring.ended) else { return Ok(0) };
        let most = most.min(self.buffer.len());
        let count = ring.reader.read(&mut self.buffer[..most])?;
        let mut frames = Vec::new();
        let fed = ring.decoder.feed(&self.buffer[..count], &mut frames);
        self.take_frames(frames)?;
        fed.map(|()| count)
    }

    fn read_socket(&mut self) -> Result<()> {
        let count = match sys::receive_now(self.shared.outbox.socket(), &mut self.buffer) {
            Ok(0) => return Err(self.daemon_is_gone(None)),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(self.daemon_is_gone(Some(error))),
        };
        let mut frames = Vec::new();
        let fed = self.decoder.feed(&self.buffer[..count], &mut frames);
        self.take_frames(frames)?;
        fed
    }

    /// The socket has ended: what was written into the ring before is whole, and is read first. At most one ring full,
    /// however fast somebody writes.
    fn daemon_is_gone(&mut self, error: Option<io::Error>) -> Error {
        let mut left = self.ring.as_ref().map_or(0, |ring| ring.reader.capacity());
        while left > 0 {
            match self.read_ring(usize::try_from(left).unwrap_or(usize::MAX)) {
                Ok(0) => break,
                Ok(count) => left = left.saturating_sub(count as u64),
                Err(error) => return error,
            }
        }
        if self.shared.closing.load(Ordering::Acquire) {
            return closed_here();
        }
        if let Some(error) = self.shared.given_up.get() {
            return error.clone();
        }
        Error::ConnectionLost(match (&self.goodbye, error) {
            (Some(reason), _) => format!("the daemon closed the connection: it said {reason:?}"),
            (None, None) => "the daemon closed the connection without a word".into(),
            (None, Some(error)) => format!("the connection broke: {error}"),
        })
    }

    // -- frames -------------------------------------------------------------------------------------------------------

    fn take(&mut self, data: &[u8]) -> Result<()> {
        let mut frames = Vec::new();
        let fed = self.decoder.feed(data, &mut frames);
        self.take_frames(frames)?;
        fed
    }

    fn take_frames(&mut self, frames: Vec<Frame>) -> Result<()> {
        frames.into_iter().try_for_each(|frame| self.take_frame(&frame))
    }

    fn take_frame(&mut self, frame: &Frame) -> Result<()> {
        let (id, bytes) = (frame.id, frame.payload.len());
        let event = Event::decode(frame.number, &frame.payload)?;
        match event {
            Event::Chunk { seq, token } => {
                let route = self.shared.table().chunk(id, seq)?;
                self.tell(id, route, token, bytes);
            }
            Event::Done { seq, finish } => {
                let route = self.shared.table().done(id, seq)?;
                self.tell(id, route, Token::Finish(finish), bytes);
            }
            Event::Failed { seq, error } => {
                let waiter = self.shared.table().failed(id, seq)?;
                fail(waiter, &Error::Request(error));
            }
            Event::Heartbeat { echo: true } => self.shared.send(Command::Heartbeat { echo: false }, id)?,
            Event::Disconnect { reason } => self.goodbye = Some(reason),
            Event::Draining { within_s } => {
                let within = Duration::try_from_secs_f64(within_s).unwrap_or_default();
                *locked(&self.shared.draining) = Some(within);
                self.notice(Notice::Draining(within));
            }
            Event::ProtocolFailure { error, message } => {
                return Err(Error::ProtocolFailure { error, message })
            }
            Event::HandshakeAck(_) => {
                let (expected, found) = ("no second handshake", "its acknowledgement");
                return Err(Error::Unexpected { id, expected, found });
            }
            Event::StatusReport(_)
            | Event::Completion(_)
            | Event::Chat(_)
            | Event::Models(_)
            | Event::Heartbeat { echo: false } => self.shared.table().answer(id, event)?,
        }
        Ok(())
    }

    /// Gives a token to its stream. No lock of the table is held: the sink may call back into the client.
    fn tell(&self, id: u64, route: Route, token: Token, bytes: usize) {
        let Route::To(sink) = route else { return };
        match calling(&sink, |sink| sink.token(token, bytes)) {
            Some(Ok(0)) => {}
            Some(Ok(frames)) => self.shared.grant(id, frames),
            failed => {
                if self.shared.table().cancel(id, true) {
                    self.shared.send_or_break(Command::Cancel, id);
                }
                if let Some(Err(error)) = failed {
                    calling(&sink, |sink| sink.fail(error));
                }
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        if let Some(on_notice) = &mut self.on_notice {
            let _panicked = catch_unwind(AssertUnwindSafe(|| on_notice(notice)));
        }
    }
}

fn closed_here() -> Error {
    Error::ConnectionLost("the connection was closed by this side".into())
}

/// Calls a sink; `None` if it panicked, of which the panic's own message has told.
fn calling<T>(sink: &SharedSink, call: impl FnOnce(&mut dyn Sink) -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| call(&mut *locked(sink)))).ok()
}

fn fail(waiter: Waiter, error: &Error) {
    match waiter {
        Waiter::Stream(sink) => drop(calling(&sink, |sink| sink.fail(error.clone()))),
        Waiter::Once { sender, .. } => {
            let _nobody_waits = sender.send(Err(error.clone()));
        }
        Waiter::Forgotten => {}
    }
}
