//! The reader of the shared ring: a single-producer, single-consumer ring of bytes, written by the daemon.
//!
//! ```text
//! offset    written by   field (u64 in the machine's byte order)
//!     64    writer       write position: bytes ever written
//!    128    reader       read position: bytes ever read
//!    192    reader       1 while the reader sleeps and wants to be woken
//!    256    writer       1 while the writer waits for room and wants to be woken
//!    320    writer       1 when the writer has closed
//!    384    reader       1 when the reader has closed
//!   4096    writer       data: byte number p of the stream is at 4096 + p % capacity
//! ```
//!
//! **What the writer wrote is hostile.** This side keeps its own position and the last good one of the other side in
//! private, and takes the capacity from the handshake. A position that goes back, or further than the ring is long, is
//! [`Error::RingCorrupt`]; a flag only ever decides about waking up. So no value in the memory makes this side touch
//! anything outside of it, loop for ever or read more than the capacity at once.
//!
//! **Order.** Positions are loaded with *acquire* before the data, and stored with *release* behind it. "I sleep", then
//! "is there anything?" has a full fence in between, as "there is room", then "does anybody wait?" has: without it both
//! sides may see the old value, and a reader sleeps beside data.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{fence, AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::sys::{self, Mapping};

/// Where the data begins.
const DATA: usize = 4096;
/// The largest ring that is taken.
const MAX_CAPACITY: u64 = 1 << 30;

const WRITE: usize = 64;
const READ: usize = 128;
const SLEEPING: usize = 192;
const WAITING: usize = 256;
const WRITER_CLOSED: usize = 320;
const READER_CLOSED: usize = 384;

/// Whether the writer's flag may be trusted to be seen in time. Elsewhere it is woken after every read.
const FLAGS_SUFFICE: bool = cfg!(target_arch = "x86_64");

/// What there is when the reader has said that it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: wait to be woken.
    Sleep,
    /// Bytes after all: go on reading.
    Awake,
    /// Nothing, and the writer has closed: the end.
    End,
}

/// This side's end of the ring.
pub(crate) struct RingReader {
    memory: Mapping,
    wake: OwnedFd,
    /// From 1 to `MAX_CAPACITY`.
    capacity: u64,
    position: u64,
    /// The last good position of the writer.
    written: u64,
}

impl RingReader {
    /// Of the descriptors that came with the handshake, and the capacity that it told.
    pub(crate) fn open(memory: OwnedFd, wake: OwnedFd, capacity: u64) -> Result<Self> {
        let corrupt = |why: String| Err(Error::RingCorrupt(why));
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return corrupt(format!("expected a ring of 1 to {MAX_CAPACITY} bytes, got one of {capacity}"));
        }
        let size = DATA as u64 + capacity;
        let cannot =
            |error: io::Error| Error::RingCorrupt(format!("the ring's memory cannot be used: {error}"));
        if sys::seals(memory.as_fd()).map_err(cannot)? & sys::SEAL_SHRINK == 0 {
            return corrupt("expected memory that is sealed against shrinking".into());
        }
        if !sys::is_unix_stream(wake.as_fd()) {
            return corrupt("expected a Unix stream socket to wake the other side by".into());
        }
        let file = std::fs::File::from(memory);
        let found = file.metadata().map_err(cannot)?.len();
        if found < size {
            return corrupt(format!("expected {size} bytes of memory, got {found}"));
        }
        let length = usize::try_from(size).map_err(|_| cannot(io::ErrorKind::OutOfMemory.into()))?;
        Ok(Self::over(Mapping::of(file.as_fd(), length).map_err(cannot)?, wake))
    }

    fn over(memory: Mapping, wake: OwnedFd) -> Self {
        let capacity = (memory.len() - DATA) as u64;
        Self { memory, wake, capacity, position: 0, written: 0 }
    }

    /// Its capacity in bytes.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Copies what is there, as much as fits, into `out`, gives its room back, and returns how much that was.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let there = usize::try_from(self.available()?).unwrap_or(usize::MAX);
        let count = there.min(out.len());
        if count == 0 {
            return Ok(0);
        }
        #[allow(clippy::cast_possible_truncation)]
        // below the capacity, which is less than the length of a mapping
        let start = (self.position % self.capacity) as usize;
        let first = count.min(self.memory.len() - DATA - start);
        let (before, behind) = out[..count].split_at_mut(first);
        self.memory.copy_to(DATA + start, before);
        self.memory.copy_to(DATA, behind);
        self.position += count as u64;
        self.field(READ).store(self.position, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.field(WAITING).load(Ordering::Relaxed) != 0 || !FLAGS_SUFFICE {
            self.wake_writer();
        }
        Ok(count)
    }

    /// Bytes that are written and not read, from 0 to the capacity.
    fn available(&mut self) -> Result<u64> {
        let written = self.field(WRITE).load(Ordering::Acquire);
        // Does not overflow: at 2^30 bytes a step it would take 2^34 steps, each of which the writer had to earn.
        let most = self.position.saturating_add(self.capacity);
        if !(self.written..=most).contains(&written) {
            let least = self.written;
            return Err(Error::RingCorrupt(format!(
                "expected a write position from {least} to {most}, got {written}"
            )));
        }
        self.written = written;
        Ok(written - self.position)
    }

    /// Says that this side sleeps, unless there is something to do. After `Sleep` call `awake` when the wait is over.
    pub(crate) fn sleep(&mut self) -> Result<Rest> {
        self.field(SLEEPING).store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Closed first: what was written before it is then seen.
        let closed = self.field(WRITER_CLOSED).load(Ordering::Acquire) != 0;
        let rest = match self.available()? {
            0 if closed => Rest::End,
            0 => return Ok(Rest::Sleep),
            _ => Rest::Awake,
        };
        self.awake();
        Ok(rest)
    }

    /// Says that this side looks by itself and need not be woken.
    pub(crate) fn awake(&mut self) {
        self.field(SLEEPING).store(0, Ordering::Relaxed);
    }

    /// What becomes readable when the other side wakes this one.
    pub(crate) fn wake_end(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes the wake-ups that wait, at most a few thousand; false at their end, after which there are no more.
    pub(crate) fn take_wake_ups(&self) -> bool {
        match sys::receive_now(self.wake.as_fd(), &mut [0; 4096]) {
            Ok(count) => count > 0,
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// Whatever happens is no error: of a full socket the writer is awake already, and its end the first socket tells.
    fn wake_writer(&self) {
        let _sent = sys::send_now(self.wake.as_fd(), &[0]);
    }

    fn field(&self, offset: usize) -> &AtomicU64 {
        self.memory.number(offset)
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.field(READER_CLOSED).store(1, Ordering::Release);
        self.wake_writer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// A ring, and the other side's end of its wake-up sockets.
    fn ring(capacity: usize) -> (RingReader, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (RingReader::over(Mapping::anonymous(DATA + capacity), ours.into()), theirs)
    }

    fn write(ring: &RingReader, at: u64, data: &[u8]) {
        for (n, &byte) in (at..).zip(data) {
            ring.memory.put(DATA + usize::try_from(n % ring.capacity).unwrap(), byte);
        }
        ring.field(WRITE).store(at + data.len() as u64, Ordering::Release);
    }

    fn read(ring: &mut RingReader, most: usize) -> Result<Vec<u8>> {
        let mut out = vec![0; most];
        let count = ring.read(&mut out)?;
        out.truncate(count);
        Ok(out)
    }

    #[test]
    fn bytes_come_out_in_order_wherever_they_wrap() {
        for capacity in [1, 7, 8, 64, 100] {
            let (mut ring, _theirs) = ring(capacity);
            let mut at = 0_u64;
            for size in (0..=capacity).cycle().take(500) {
                let data: Vec<u8> = (at..).take(size).map(|n| n.to_le_bytes()[0]).collect();
                write(&ring, at, &data);
                let mut out = read(&mut ring, size / 2).unwrap();
                out.extend(read(&mut ring, capacity).unwrap());
                assert_eq!(out, data);
                at += size as u64;
                assert_eq!(ring.field(READ).load(Ordering::Relaxed), at);
            }
        }
    }

    #[test]
    fn a_position_that_cannot_be_true_is_corrupt() {
        let from = |position: u64, hostile: u64| {
            let (mut ring, _theirs) = ring(64);
            ring.position = position;
            ring.written = position + 10;
            ring.field(WRITE).store(hostile, Ordering::Relaxed);
            let read = read(&mut ring, 1000).map(|data| data.len());
            assert_eq!(read.is_err(), ring.sleep().is_err(), "{position} {hostile}");
            read
        };
        for position in [0, 1, 63, 64, 1 << 40, u64::MAX - 64] {
            for good in [10, 11, 64] {
                let read = from(position, position + good);
                assert_eq!(read, Ok(usize::try_from(good).unwrap()), "{position} {good}");
            }
            let (back, ahead) = (position + 9, position.wrapping_add(65));
            for hostile in [0, 9, back, ahead, u64::MAX / 2, position.wrapping_sub(1)] {
                if !(position + 10..=position.saturating_add(64)).contains(&hostile) {
                    assert!(
                        matches!(from(position, hostile), Err(Error::RingCorrupt(_))),
                        "{position} {hostile}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_garbage_in_the_memory_does_more_than_break_the_ring() {
        let mut seed = 1_u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let (mut broken, mut good) = (0, 0);
        for _ in 0..2000 {
            let (mut ring, _theirs) = ring(128);
            for _ in 0..20 {
                let offset = usize::try_from(random() % 64).unwrap() * 8;
                let value = [random(), random() % 256, 0, 1][usize::try_from(random() % 4).unwrap()];
                ring.field(offset).store(value, Ordering::Relaxed);
                match read(&mut ring, 1000) {
                    Ok(data) => {
                        good += 1;
                        assert!(data.len() <= 128);
                    }
                    Err(error) => {
                        broken += 1;
                        assert_eq!(error.name(), Some("RingCorrupt"));
                    }
                }
                let _rest = ring.sleep();
            }
        }
        assert!(broken > 100 && good > 100);
    }

    #[test]
    fn who_sleeps_looks_once_more() {
        let (mut ring, _theirs) = ring(64);
        let sleeping = |ring: &RingReader| ring.field(SLEEPING).load(Ordering::Relaxed);
        assert_eq!((ring.sleep(), sleeping(&ring)), (Ok(Rest::Sleep), 1));
        ring.awake();
        assert_eq!(sleeping(&ring), 0);
        write(&ring, 0, b"abc");
        assert_eq!((ring.sleep(), sleeping(&ring)), (Ok(Rest::Awake), 0));
        ring.field(WRITER_CLOSED).store(1, Ordering::Relaxed);
        assert_eq!(ring.sleep(), Ok(Rest::Awake));
        assert_eq!(read(&mut ring, 64).unwrap(), b"abc");
        assert_eq!((ring.sleep(), sleeping(&ring)), (Ok(Rest::End), 0));
    }

    #[test]
    fn a_writer_that_waits_is_woken_and_no_other() {
        let (mut ring, theirs) = ring(64);
        let woken = || sys::receive_now(theirs.as_fd(), &mut [0; 8]).unwrap_or(0);
        write(&ring, 0, b"abc");
        read(&mut ring, 1).unwrap();
        assert_eq!(woken(), usize::from(!FLAGS_SUFFICE));
        ring.field(WAITING).store(1, Ordering::Relaxed);
        read(&mut ring, 1).unwrap();
        assert_eq!(woken(), 1);
        drop(ring);
        assert_eq!(woken(), 1);
    }

    #[test]
    fn waking_somebody_who_does_not_read_never_waits() {
        let (mut ring, theirs) = ring(64);
        ring.field(WAITING).store(1, Ordering::Relaxed);
        for at in 0..10_000 {
            write(&ring, at, b"x");
            assert_eq!(read(&mut ring, 1).unwrap(), b"x");
        }
        drop(theirs);
        write(&ring, 10_000, b"x");
        assert_eq!(read(&mut ring, 1).unwrap(), b"x");
        assert!(!ring.take_wake_ups());
    }

    /// Two threads, a small ring, and nobody ever sleeps beside data: each wait is for ever.
    #[cfg(target_os = "linux")]
    #[test]
    fn two_threads_lose_nothing_and_never_sleep_beside_data() {
        const BYTES: u64 = 1 << 20;
        let (mut ring, theirs) = ring(257);
        std::thread::scope(|scope| {
            let (memory, capacity) = (ring.memory.again(), ring.capacity);
            scope.spawn(move || {
                let mut position = 0;
                let field = |offset| memory.number(offset);
                while position < BYTES {
                    let room = |position| capacity - (position - field(READ).load(Ordering::Acquire));
                    let mut free = room(position);
                    if free == 0 {
                        field(WAITING).store(1, Ordering::Relaxed);
                        fence(Ordering::SeqCst);
                        free = room(position);
                        if free == 0 {
                            sys::wait([Some((theirs.as_fd(), sys::Wanted::Read))], None).unwrap();
                            let _taken = sys::receive_now(theirs.as_fd(), &mut [0; 4096]);
                        }
                        field(WAITING).store(0, Ordering::Relaxed);
                        continue;
                    }
                    let count = free.min(1 + position % 97).min(BYTES - position);
                    for n in position..position + count {
                        let at = DATA + usize::try_from(n % capacity).unwrap();
                        memory.put(at, n.wrapping_mul(31).to_le_bytes()[0]);
                    }
                    position += count;
                    field(WRITE).store(position, Ordering::Release);
                    fence(Ordering::SeqCst);
                    if field(SLEEPING).load(Ordering::Relaxed) != 0 {
                        let _sent = sys::send_now(theirs.as_fd(), &[0]);
                    }
                }
                field(WRITER_CLOSED).store(1, Ordering::Release);
                let _sent = sys::send_now(theirs.as_fd(), &[0]);
                theirs // not closed before the reader has seen the end
            });
            let mut read_so_far = 0_u64;
            let mut out = [0; 300];
            loop {
                let count = ring.read(&mut out).unwrap();
                for &byte in &out[..count] {
                    assert_eq!(byte, read_so_far.wrapping_mul(31).to_le_bytes()[0]);
                    read_so_far += 1;
                }
                if count > 0 {
                    continue;
                }
                match ring.sleep().unwrap() {
                    Rest::Awake => {}
                    Rest::End => break,
                    Rest::Sleep => {
                        sys::wait([Some((ring.wake_end(), sys::Wanted::Read))], None).unwrap();
                        ring.take_wake_ups();
                        ring.awake();
                    }
                }
            }
            assert_eq!(read_so_far, BYTES);
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_sealed_memory_of_the_right_size_and_a_socket_are_taken() {
        let open = |bytes: u64, seal: bool, capacity: u64| {
            let (wake, _theirs) = UnixStream::pair().unwrap();
            RingReader::open(sys::memory_file(bytes, seal), wake.into(), capacity).map(|ring| ring.capacity())
        };
        let size = DATA as u64 + 100;
        assert_eq!(open(size, true, 100), Ok(100));
        for (bytes, seal, capacity) in [
            (size, false, 100),
            (size - 1, true, 100),
            (size, true, 0),
            (size, true, MAX_CAPACITY + 1),
            (size, true, u64::MAX),
            (0, true, 100),
        ] {
            assert!(
                matches!(open(bytes, seal, capacity), Err(Error::RingCorrupt(_))),
                "{bytes} {seal} {capacity}"
            );
        }
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let (wake, _theirs) = UnixStream::pair().unwrap();
        assert!(RingReader::open(null(), wake.into(), 100).is_err());
        assert!(RingReader::open(sys::memory_file(size, true), null(), 100).is_err());
    }
}
