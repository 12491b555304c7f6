//! What a request gives to who asked: a stream of tokens, a subscription to them, or one answer.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::time::Duration;

use crate::answer::Answer;
use crate::client::table::Sink;
use crate::client::Shared;
use crate::error::{Error, Result};
use crate::message::{Command, Event};
use crate::token::Token;

/// One request of a connection.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
}

impl Handle {
    /// Tells the daemon to end it, once.
    fn cancel(&self, forget: bool) {
        if self.shared.table().cancel(self.id, forget) {
            self.shared.send_or_break(Command::Cancel, self.id);
        }
    }

    fn grant(&self, frames: u32) {
        self.shared.grant(self.id, frames);
    }
}

/// Half of the window: what is given back at once.
pub(crate) fn half(window: u32) -> u32 {
    (window / 2).max(1)
}

// -- by a channel -----------------------------------------------------------------------------------------------------

type Item = Result<(Token, usize)>;

/// The reader's end of a stream's channel.
pub(crate) struct ChannelSink {
    sender: mpsc::Sender<Item>,
    held: Arc<AtomicUsize>,
    max_held: usize,
}

/// The two ends of a stream's channel, in which at most `max_held` bytes wait.
pub(crate) fn channel(max_held: usize) -> (ChannelSink, Incoming) {
    let (sender, receiver) = mpsc::channel();
    let held = Arc::new(AtomicUsize::new(0));
    (ChannelSink { sender, held: Arc::clone(&held), max_held }, Incoming { receiver, held })
}

/// The caller's end of a stream's channel.
pub(crate) struct Incoming {
    receiver: mpsc::Receiver<Item>,
    held: Arc<AtomicUsize>,
}

impl Sink for ChannelSink {
    fn token(&mut self, token: Token, bytes: usize) -> Result<u32> {
        if self.held.fetch_add(bytes, Ordering::Relaxed) + bytes > self.max_held {
            return Err(Error::Overrun { bound: self.max_held });
        }
        let _nobody_reads = self.sender.send(Ok((token, bytes)));
        Ok(0) // credit is given back when it is read
    }

    fn fail(&mut self, error: Error) {
        let _nobody_reads = self.sender.send(Err(error));
    }
}

/// An answer as it comes: an iterator that waits for each token.
///
/// A whole stream ends with [`Token::Finish`]; one that fails, with its one error: [`Error::Request`] is the daemon's
/// word, [`Error::ConnectionLost`] its death. After either there is `None`. Dropping the stream cancels it.
///
/// At most [`window`](crate::Options::window) chunks are on their way or wait here at any time.
#[must_use = "dropping a stream cancels it"]
pub struct TokenStream {
    incoming: Incoming,
    handle: Handle,
    half: u32,
    /// Tokens taken that the daemon does not know of yet.
    untold: u32,
    ended: bool,
}

impl fmt::Debug for TokenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenStream {{ id: {}, ended: {} }}", self.handle.id, self.ended)
    }
}

impl TokenStream {
    pub(crate) fn new(incoming: Incoming, handle: Handle, window: u32) -> Self {
        Self { incoming, handle, half: half(window), untold: 0, ended: false }
    }

    /// The request's id on the wire.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.handle.id
    }

    /// Has the daemon end the stream. What it sent before still comes, then the end: an error of kind `cancelled`, or
    /// the end that the stream had just come to.
    pub fn cancel(&self) {
        self.handle.cancel(false);
    }

    /// The next token if it comes within `timeout` (zero: is there already); [`Error::TimedOut`] if not, after which
    /// the stream goes on. `None` after the end.
    pub fn next_within(&mut self, timeout: Duration) -> Option<Result<Token>> {
        if self.ended {
            return None;
        }
        let received = self.incoming.receiver.recv_timeout(timeout);
        if matches!(received, Err(mpsc::RecvTimeoutError::Timeout)) {
            return Some(Err(Error::TimedOut(timeout)));
        }
        self.took(received.ok())
    }

    /// Adds all that still comes to `answer`, which has what came also if the stream fails.
    ///
    /// # Errors
    /// The one that ends the stream.
    pub fn read_into(mut self, answer: &mut Answer) -> Result<()> {
        self.try_for_each(|token| {
            answer.add(token?);
            Ok(())
        })
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The one that ends the stream.
    pub fn into_answer(self) -> Result<Answer> {
        let mut answer = Answer::new();
        self.read_into(&mut answer)?;
        Ok(answer)
    }

    fn took(&mut self, item: Option<Item>) -> Option<Result<Token>> {
        // A channel whose other end is gone without a word: the reader's thread has broken down.
        let item =
            item.unwrap_or_else(|| Err(Error::ConnectionLost("the connection's reader is gone".into())));
        let (token, bytes) = match item {
            Ok(taken) => taken,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        self.incoming.held.fetch_sub(bytes, Ordering::Relaxed);
        self.ended = matches!(token, Token::Finish(_));
        self.untold += 1;
        if self.untold >= self.half && !self.ended {
            self.handle.grant(self.untold);
            self.untold = 0;
        }
        Some(Ok(token))
    }
}

impl Iterator for TokenStream {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Result<Token>> {
        if self.ended {
            return None;
        }
        let received = self.incoming.receiver.recv().ok();
        self.took(received)
    }
}

impl Drop for TokenStream {
    fn drop(&mut self) {
        if !self.ended {
            self.handle.cancel(true);
        }
    }
}

// -- by a callback ----------------------------------------------------------------------------------------------------

/// Calls back for each token, in the reader's thread.
pub(crate) struct CallbackSink<F> {
    pub(crate) tell: F,
    pub(crate) half: u32,
    pub(crate) untold: u32,
}

impl<F: FnMut(Result<Token>) + Send> Sink for CallbackSink<F> {
    fn token(&mut self, token: Token, _bytes: usize) -> Result<u32> {
        (self.tell)(Ok(token));
        self.untold += 1;
        if self.untold < self.half {
            return Ok(0);
        }
        Ok(std::mem::take(&mut self.untold))
    }

    fn fail(&mut self, error: Error) {
        (self.tell)(Err(error));
    }
}

/// A stream whose tokens go to a callback. Dropping it cancels the stream, and the callback is not called again (a call
/// that is just under way in the reader's thread comes to its end).
#[must_use = "dropping a subscription cancels its stream"]
pub struct Subscription {
    handle: Handle,
    detached: bool,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription {{ id: {} }}", self.handle.id)
    }
}

impl Subscription {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, detached: false }
    }

    /// The request's id on the wire.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.handle.id
    }

    /// Has the daemon end the stream; the callback still gets its end.
    pub fn cancel(&self) {
        self.handle.cancel(false);
    }

    /// Lets the stream run to its end without this.
    pub fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.detached {
            self.handle.cancel(true);
        }
    }
}

// -- in one piece -----------------------------------------------------------------------------------------------------

/// An answer in one piece that is still to come. Dropping it cancels the request.
#[must_use = "dropping a reply cancels its request"]
pub struct Reply<T> {
    receiver: mpsc::Receiver<Result<Event>>,
    handle: Handle,
    take: fn(Event) -> Option<T>,
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply {{ id: {} }}", self.handle.id)
    }
}

impl<T> Reply<T> {
    pub(crate) fn new(
        receiver: mpsc::Receiver<Result<Event>>,
        handle: Handle,
        take: fn(Event) -> Option<T>,
    ) -> Self {
        Self { receiver, handle, take }
    }

    /// Waits for it, for as long as that takes.
    ///
    /// # Errors
    /// [`Error::Request`], the daemon's word; [`Error::ConnectionLost`] and all that ends a connection.
    pub fn wait(self) -> Result<T> {
        self.took(self.receiver.recv().ok())
    }

    /// Waits for it, for at most `timeout`; then the request is cancelled.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`Error::TimedOut`].
    pub fn wait_for(self, timeout: Duration) -> Result<T> {
        match self.receiver.recv_timeout(timeout) {
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Error::TimedOut(timeout)),
            received => self.took(received.ok()),
        }
    }

    /// Has the daemon end the request; the answer is then an error of kind `cancelled`, if it is not there already.
    pub fn cancel(&self) {
        self.handle.cancel(false);
    }

    fn took(&self, received: Option<Result<Event>>) -> Result<T> {
        let gone = || Error::ConnectionLost("the connection's reader is gone".into());
        // The table lets no other event through than one that `take` takes.
        (self.take)(received.ok_or_else(gone)??).ok_or_else(gone)
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.handle.cancel(true); // without effect on what has ended
    }
}
