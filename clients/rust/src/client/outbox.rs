//! What waits to be sent: nobody who sends ever waits for the daemon to read.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::message::Command;
use crate::signing::Signer;
use crate::sys;

/// More than this does not wait: as much as the daemon takes of requests that are under way.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// Sends frames whole and in order, from any thread. What the socket has no room for waits here, and the reader's
/// thread sends it when there is.
pub(crate) struct Outbox {
    socket: UnixStream,
    state: Mutex<State>,
}

struct State {
    signer: Option<Signer>,
    waiting: VecDeque<u8>,
    /// The other side reads no more; what is still to be said is not. Its end is the reader's to find and to tell.
    closed: bool,
}

impl Outbox {
    pub(crate) fn new(socket: UnixStream, signer: Option<Signer>) -> Self {
        let state = State { signer, waiting: VecDeque::new(), closed: false };
        Self { socket, state: Mutex::new(state) }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends one frame about the request `id`; true if bytes now wait that did not before.
    pub(crate) fn send(&self, command: Command<'_>, id: u64) -> Result<bool> {
        let mut frame = command.frame(id)?;
        let mut state = self.state();
        if state.closed {
            return Ok(false);
        }
        let before = state.waiting.len();
        if before > 0 && before + frame.len() > MAX_WAITING_BYTES {
            return Err(Error::Busy { waiting: before });
        }
        if let Some(signer) = &mut state.signer {
            signer.sign(&mut frame);
        }
        let sent = if before == 0 { self.send_some(&mut state, &frame) } else { 0 };
        if !state.closed {
            state.waiting.extend(&frame[sent..]);
        }
        Ok(before == 0 && !state.waiting.is_empty())
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&self) {
        let mut state = self.state();
        while !state.waiting.is_empty() && !state.closed {
            let waiting = std::mem::take(&mut state.waiting);
            let sent = self.send_some(&mut state, waiting.as_slices().0);
            state.waiting = waiting;
            state.waiting.drain(..sent);
            if sent == 0 {
                break;
            }
        }
        if state.closed || state.waiting.is_empty() {
            state.waiting = VecDeque::new();
        }
    }

    /// Whether bytes wait for room.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Says nothing more, and lets the daemon see it.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting = VecDeque::new();
        let _already_gone = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn send_some(&self, state: &mut State, data: &[u8]) -> usize {
        match sys::send_now(self.socket.as_fd(), data) {
            Ok(sent) => sent,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(_) => {
                state.closed = true;
                0
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameDecoder;
    use crate::message::goes_to_daemon;
    use crate::request::CompletionRequest;
    use std::io::Read as _;

    #[test]
    fn what_there_is_no_room_for_waits_and_comes_whole_and_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let outbox = Outbox::new(ours, None);
        let large = CompletionRequest::new("p/m", "x".repeat(300_000));
        let sent: Vec<bool> = (1..=5).map(|id| outbox.send(Command::Complete(&large), id).unwrap()).collect();
        assert_eq!(sent.iter().filter(|&&began| began).count(), 1, "{sent:?}");
        assert!(outbox.is_waiting());
        let mut decoder = FrameDecoder::new(goes_to_daemon);
        let mut frames = Vec::new();
        let mut buffer = [0; 10_000];
        while frames.len() < 5 {
            let count = theirs.read(&mut buffer).unwrap();
            decoder.feed(&buffer[..count], &mut frames).unwrap();
            outbox.flush();
        }
        assert!(!outbox.is_waiting());
        assert_eq!(frames.iter().map(|frame| frame.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn who_does_not_read_is_not_waited_for_without_bound() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let outbox = Outbox::new(ours, None);
        let large = CompletionRequest::new("p/m", "x".repeat(10_000_000));
        let refused = (1..=10).find_map(|id| outbox.send(Command::Complete(&large), id).err());
        assert!(matches!(refused, Some(Error::Busy { waiting }) if waiting <= MAX_WAITING_BYTES));
        outbox.close();
        assert!(!outbox.is_waiting());
        assert_eq!(outbox.send(Command::Cancel, 1), Ok(false));
    }

    #[test]
    fn who_is_gone_is_no_error_here() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let outbox = Outbox::new(ours, None);
        assert_eq!(outbox.send(Command::Cancel, 1), Ok(false));
        assert!(!outbox.is_waiting());
    }
}
