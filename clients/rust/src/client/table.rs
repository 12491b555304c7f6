//! The requests under way, and who waits for their answers.

use std::collections::HashMap;
use std::sync::{mpsc, Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::message::Event;
use crate::token::Token;

/// Who takes the tokens of one stream. Called by the reader's thread alone, with no lock held that a caller could want.
pub(crate) trait Sink: Send {
    /// Takes the next token, which came in a payload of so many bytes; returns how many chunks may come in its place
    /// now. The token of `stream_done` is the last. An error ends the stream.
    fn token(&mut self, token: Token, bytes: usize) -> Result<u32>;

    /// The stream failed. Nothing more comes.
    fn fail(&mut self, error: Error);
}

/// A sink that the table and a call to it under way have in common.
pub(crate) type SharedSink = Arc<Mutex<dyn Sink>>;

/// Locks it. A panic in a callback is caught by who called it, and leaves nothing half done here.
pub(crate) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who waits for a request's end.
pub(crate) enum Waiter {
    /// Of a stream.
    Stream(SharedSink),
    /// Of an answer in one piece, which must be one of those that `fits` takes.
    Once { sender: mpsc::Sender<Result<Event>>, fits: fn(&Event) -> bool },
    /// Nobody any more, but its frames still come.
    Forgotten,
}

struct Entry {
    waiter: Waiter,
    /// The number of its next frame; `None` for what is no stream.
    next_seq: Option<u64>,
    /// Chunks that the daemon may still send.
    credit: u64,
    /// Whether the daemon was told to end it.
    cancelled: bool,
}

/// The requests under way of one connection, by their ids.
#[derive(Default)]
pub(crate) struct Table {
    entries: HashMap<u64, Entry>,
    last_id: u64,
    streams: usize,
    lost: Option<Error>,
}

/// Where a frame of a stream goes.
pub(crate) enum Route {
    To(SharedSink),
    Nobody,
}

impl Table {
    /// A new request's id. Fails with the reason once the connection is lost.
    pub(crate) fn open(&mut self, waiter: Waiter, credit: u32) -> Result<u64> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        self.last_id += 1;
        let is_stream = matches!(waiter, Waiter::Stream(_));
        self.streams += usize::from(is_stream);
        let next_seq = is_stream.then_some(0);
        self.entries
            .insert(self.last_id, Entry { waiter, next_seq, credit: credit.into(), cancelled: false });
        Ok(self.last_id)
    }

    /// Streams under way.
    pub(crate) fn streams(&self) -> usize {
        self.streams
    }

    /// All that is under way.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Why the connection is lost, if it is.
    pub(crate) fn lost(&self) -> Option<&Error> {
        self.lost.as_ref()
    }

    /// Lets the daemon send so many more chunks; false if the stream has ended.
    pub(crate) fn grant(&mut self, id: u64, frames: u32) -> bool {
        match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.credit += u64::from(frames);
                true
            }
            None => false,
        }
    }

    /// Notes that the request is to end; whether the daemon must be told. Who forgets hears nothing more of it.
    pub(crate) fn cancel(&mut self, id: u64, forget: bool) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        if forget {
            entry.waiter = Waiter::Forgotten;
        }
        !std::mem::replace(&mut entry.cancelled, true)
    }

    /// Takes a request back that could not be sent.
    pub(crate) fn take_back(&mut self, id: u64) {
        let _never_sent = self.remove(id);
    }

    /// Checks a chunk against sequence and credit; where it goes.
    pub(crate) fn chunk(&mut self, id: u64, seq: u64) -> Result<Route> {
        let entry = self.in_sequence(id, seq, "a chunk")?;
        let Some(credit) = entry.credit.checked_sub(1) else {
            return Err(Error::Unexpected { id, expected: "no chunk without credit", found: "one" });
        };
        entry.credit = credit;
        Ok(match &entry.waiter {
            Waiter::Stream(sink) => Route::To(Arc::clone(sink)),
            _ => Route::Nobody,
        })
    }

    /// Checks the last frame of a stream, whose request ends by it; where it goes.
    pub(crate) fn done(&mut self, id: u64, seq: u64) -> Result<Route> {
        self.in_sequence(id, seq, "the end of a stream")?;
        Ok(match self.remove(id) {
            Some(Waiter::Stream(sink)) => Route::To(sink),
            _ => Route::Nobody,
        })
    }

    /// Who waits for a request that failed, which ends by it.
    pub(crate) fn failed(&mut self, id: u64, seq: u64) -> Result<Waiter> {
        if self.entries.get(&id).is_some_and(|entry| entry.next_seq.is_some()) {
            self.in_sequence(id, seq, "an error")?;
        }
        self.remove(id).ok_or(Error::Unexpected {
            id,
            expected: "a request under way",
            found: "an error of none",
        })
    }

    /// Gives an answer in one piece to who waits for it.
    pub(crate) fn answer(&mut self, id: u64, event: Event) -> Result<()> {
        let found = event.kind();
        match self.entries.get(&id) {
            Some(Entry { waiter: Waiter::Once { fits, .. }, .. }) if fits(&event) => {}
            Some(Entry { waiter: Waiter::Forgotten, next_seq: None, .. }) => {}
            Some(_) => return Err(Error::Unexpected { id, expected: "an answer to what was asked", found }),
            None => {
                return Err(Error::Unexpected { id, expected: "an answer to a request under way", found })
            }
        }
        if let Some(Waiter::Once { sender, .. }) = self.remove(id) {
            let _nobody_waits = sender.send(Ok(event));
        }
        Ok(())
    }

    /// Ends the table: from now on nothing is opened. Returns who still waits.
    pub(crate) fn lose(&mut self, error: &Error) -> Vec<Waiter> {
        self.lost = Some(error.clone());
        self.streams = 0;
        self.entries.drain().map(|(_, entry)| entry.waiter).collect()
    }

    fn in_sequence(&mut self, id: u64, seq: u64, found: &'static str) -> Result<&mut Entry> {
        let expected = "a frame of a stream under way";
        let entry = self.entries.get_mut(&id).ok_or(Error::Unexpected { id, expected, found })?;
        let next = entry.next_seq.as_mut().ok_or(Error::Unexpected { id, expected, found })?;
        if seq != *next {
            return Err(Error::SequenceGap { id, expected: *next, found: seq });
        }
        *next += 1;
        Ok(entry)
    }

    fn remove(&mut self, id: u64) -> Option<Waiter> {
        let entry = self.entries.remove(&id)?;
        self.streams -= usize::from(entry.next_seq.is_some());
        Some(entry.waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Sink for Nothing {
        fn token(&mut self, _: Token, _: usize) -> Result<u32> {
            Ok(0)
        }

        fn fail(&mut self, _: Error) {}
    }

    fn stream(table: &mut Table, credit: u32) -> u64 {
        table.open(Waiter::Stream(Arc::new(Mutex::new(Nothing))), credit).unwrap()
    }

    fn name<T>(result: Result<T>) -> Option<&'static str> {
        result.err().map(|error| error.name().unwrap())
    }

    #[test]
    fn frames_of_a_stream_come_in_sequence_until_its_end() {
        let mut table = Table::default();
        let (a, b) = (stream(&mut table, 9), stream(&mut table, 9));
        assert_eq!((a, b, table.streams()), (1, 2, 2));
        for seq in 0..3 {
            assert_eq!(name(table.chunk(a, seq)), None);
        }
        assert_eq!(name(table.chunk(b, 0)), None);
        assert_eq!(name(table.chunk(a, 2)), Some("SequenceGap"));
        assert_eq!(name(table.chunk(a, 4)), Some("SequenceGap"));
        assert_eq!(name(table.done(a, 4)), Some("SequenceGap"));
        assert_eq!(name(table.failed(b, 2)), Some("SequenceGap"));
        assert_eq!(name(table.done(a, 3)), None);
        assert_eq!(name(table.chunk(a, 4)), Some("ProtocolError"));
        assert_eq!(name(table.failed(b, 1)), None);
        assert_eq!((table.streams(), table.len()), (0, 0));
    }

    #[test]
    fn a_chunk_without_credit_is_refused_so_that_what_waits_is_bounded() {
        let mut table = Table::default();
        let id = stream(&mut table, 2);
        assert_eq!((name(table.chunk(id, 0)), name(table.chunk(id, 1))), (None, None));
        assert!(table.grant(id, 1));
        assert_eq!(name(table.chunk(id, 2)), None);
        assert_eq!(name(table.chunk(id, 3)), Some("ProtocolError"));
    }

    #[test]
    fn frames_of_a_forgotten_stream_still_count() {
        let mut table = Table::default();
        let id = stream(&mut table, 2);
        assert!(table.cancel(id, false));
        assert!(matches!(table.chunk(id, 0), Ok(Route::To(_))));
        assert!(!table.cancel(id, true));
        assert!(matches!(table.chunk(id, 1), Ok(Route::Nobody)));
        assert_eq!(name(table.failed(id, 3)), Some("SequenceGap"));
        let mut table = Table::default();
        let id = stream(&mut table, 2);
        table.cancel(id, true);
        assert!(matches!(table.failed(id, 0), Ok(Waiter::Forgotten)));
        assert!(!table.cancel(id, true) && !table.grant(id, 1));
    }

    #[test]
    fn an_answer_goes_to_who_asked_for_such() {
        let mut table = Table::default();
        let (sender, receiver) = mpsc::channel();
        let fits = |event: &Event| matches!(event, Event::Heartbeat { .. });
        let id = table.open(Waiter::Once { sender, fits }, 0).unwrap();
        let report = Event::StatusReport(crate::json::Value::Null);
        assert_eq!(name(table.answer(id, report)), Some("ProtocolError"));
        assert_eq!(name(table.chunk(id, 0)), Some("ProtocolError"));
        let pong = Event::Heartbeat { echo: false };
        table.answer(id, pong.clone()).unwrap();
        assert_eq!(receiver.recv().unwrap().unwrap(), pong);
        assert_eq!(name(table.answer(id, pong)), Some("ProtocolError"));
    }

    #[test]
    fn nothing_is_opened_on_a_lost_connection() {
        let mut table = Table::default();
        stream(&mut table, 1);
        let gone = Error::ConnectionLost("gone".into());
        assert_eq!(table.lose(&gone).len(), 1);
        assert_eq!(table.open(Waiter::Forgotten, 0), Err(gone));
        assert_eq!(table.streams(), 0);
    }
}
