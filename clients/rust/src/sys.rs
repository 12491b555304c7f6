//! The system calls that the standard library does not have, and all `unsafe` code of this crate.
//!
//! Each function here is safe to call with anything: what a call needs is checked, or made sure by the types. Declared
//! by hand rather than by a crate, for the few that there are. Shared memory is Linux's alone (sealed memory files);
//! everywhere else the functions that it needs say that they are not supported.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_short, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Whether this system can have a shared ring: 64-bit positions in sealed memory.
pub(crate) const SHARED_MEMORY: bool = cfg!(all(target_os = "linux", target_pointer_width = "64"));

/// Do not wait when opening a file.
pub(crate) const O_NONBLOCK: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 0x4 };
const MSG_DONTWAIT: c_int = if cfg!(target_os = "linux") { 0x40 } else { 0x80 };
/// Where there is none, the standard library sets `SO_NOSIGPIPE` on the sockets that it makes.
const MSG_NOSIGNAL: c_int = if cfg!(target_os = "linux") { 0x4000 } else { 0 };

#[cfg(target_os = "linux")]
type PollCount = std::ffi::c_ulong;
#[cfg(not(target_os = "linux"))]
type PollCount = std::ffi::c_uint;

extern "C" {
    fn geteuid() -> u32;
    fn poll(fds: *mut Polled, count: PollCount, timeout_ms: c_int) -> c_int;
    fn recv(fd: c_int, buffer: *mut c_void, length: usize, flags: c_int) -> isize;
    fn send(fd: c_int, buffer: *const c_void, length: usize, flags: c_int) -> isize;
    fn mmap(
        at: *mut c_void,
        length: usize,
        access: c_int,
        flags: c_int,
        fd: c_int,
        offset: c_long,
    ) -> *mut c_void;
    fn munmap(at: *mut c_void, length: usize) -> c_int;
}

/// The number of bytes that a call moved, or what the system says went wrong.
fn counted(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The user that this process acts as.
pub(crate) fn user() -> u32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { geteuid() }
}

// -- waiting ----------------------------------------------------------------------------------------------------------

/// One descriptor to wait for: `struct pollfd`.
#[repr(C)]
struct Polled {
    fd: c_int,
    wanted: c_short,
    found: c_short,
}

const READABLE: c_short = 0x1;
const WRITABLE: c_short = 0x4;

/// What to wait for on a descriptor.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    Read,
    ReadOrWrite,
    Write,
}

/// Waits until one of `fds` is as wanted, broken or at its end, or `timeout` has passed (`None`: for ever). Returns for
/// each whether it is. A signal may end the wait early, with none.
pub(crate) fn wait<const N: usize>(
    fds: [Option<(BorrowedFd<'_>, Wanted)>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|one| match one {
        // A negative descriptor is passed over.
        None => Polled { fd: -1, wanted: 0, found: 0 },
        Some((fd, wanted)) => {
            let wanted = match wanted {
                Wanted::Read => READABLE,
                Wanted::ReadOrWrite => READABLE | WRITABLE,
                Wanted::Write => WRITABLE,
            };
            Polled { fd: fd.as_raw_fd(), wanted, found: 0 }
        }
    });
    // Rounded up: a wait that ends just before its time would be repeated.
    let timeout =
        timeout.map_or(-1, |time| c_int::try_from(time.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX));
    // SAFETY: the array has as many elements as it says, laid out as the call has them, and lives through it.
    let result = unsafe { poll(polled.as_mut_ptr(), N as PollCount, timeout) };
    match checked(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(error) => Err(error),
        Ok(_) => Ok(polled.map(|one| one.found != 0)),
    }
}

/// Waits for one descriptor until `deadline`; whether it is as wanted.
pub(crate) fn wait_until(fd: BorrowedFd<'_>, wanted: Wanted, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match wait([Some((fd, wanted))], Some(left))? {
            [true] => return Ok(true),
            [false] if left.is_zero() => return Ok(false),
            [false] => {}
        }
    }
}

// -- sockets ----------------------------------------------------------------------------------------------------------

/// Sends what there is room for, without waiting and without a signal.
pub(crate) fn send_now(fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a slice that lives through the call, which only reads it.
    counted(unsafe { send(fd.as_raw_fd(), data.as_ptr().cast(), data.len(), MSG_DONTWAIT | MSG_NOSIGNAL) })
}

/// Receives what is there, without waiting; 0 at the end.
pub(crate) fn receive_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a slice that lives through the call and that nobody else sees.
    counted(unsafe { recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), MSG_DONTWAIT) })
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::ffi::c_uint;
    use std::mem::{align_of, size_of, zeroed};
    use std::os::fd::FromRawFd as _;
    use std::os::unix::ffi::OsStrExt as _;

    const AF_UNIX: u16 = 1;
    const SOCK_STREAM: c_int = 1;
    const SOCK_CLOEXEC: c_int = 0o2_000_000;
    const SOL_SOCKET: c_int = 1;
    const SO_PEERCRED: c_int = 17;
    const SO_SNDTIMEO: c_int = 21;
    const SCM_RIGHTS: c_int = 1;
    const MSG_CMSG_CLOEXEC: c_int = 0x4000_0000;
    const MSG_CTRUNC: c_int = 0x8;
    const F_GET_SEALS: c_int = 1034;

    extern "C" {
        fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
        fn connect(fd: c_int, address: *const Address, length: u32) -> c_int;
        fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32) -> c_int;
        fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int;
        fn recvmsg(fd: c_int, message: *mut MessageHeader, flags: c_int) -> isize;
        fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    }

    /// `struct sockaddr_un`
    #[repr(C)]
    struct Address {
        family: u16,
        path: [u8; 108],
    }

    /// `struct ucred`
    #[repr(C)]
    #[derive(Default)]
    struct Credentials {
        pid: c_int,
        uid: c_uint,
        gid: c_uint,
    }

    /// `struct timeval`
    #[repr(C)]
    struct Time {
        seconds: c_long,
        micros: c_long,
    }

    /// `struct iovec`
    #[repr(C)]
    struct Slice {
        at: *mut c_void,
        length: usize,
    }

    /// `struct msghdr`, as the kernel and glibc have it. (musl splits the two lengths into 32 bits and padding, which
    /// is the same on the little-endian machines that it is mostly used on.)
    #[repr(C)]
    struct MessageHeader {
        name: *mut c_void,
        name_length: u32,
        slices: *mut Slice,
        slice_count: usize,
        control: *mut c_void,
        control_length: usize,
        flags: c_int,
    }

    /// `struct cmsghdr`
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct ControlHeader {
        length: usize,
        level: c_int,
        kind: c_int,
    }

    const CONTROL_HEADER: usize = size_of::<ControlHeader>();

    /// Room for a control message of a few descriptors, aligned as its header must be.
    #[repr(C, align(8))]
    struct Control([u8; 64]);
    const _: () = assert!(align_of::<Control>() >= align_of::<ControlHeader>());

    /// A structure's size as `socklen_t`.
    #[allow(clippy::cast_possible_truncation)] // those here have a few dozen bytes
    const fn bytes_of<T>() -> u32 {
        size_of::<T>() as u32
    }

    /// Connects to a Unix stream socket; waits at most `timeout` while its backlog is full.
    pub(crate) fn connect_within(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
        let bytes = path.as_os_str().as_bytes();
        let mut address = Address { family: AF_UNIX, path: [0; 108] };
        if bytes.len() >= address.path.len() || bytes.contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a path of at most 107 bytes"));
        }
        address.path[..bytes.len()].copy_from_slice(bytes);
        // SAFETY: it takes numbers alone.
        let fd = checked(unsafe { socket(c_int::from(AF_UNIX), SOCK_STREAM | SOCK_CLOEXEC, 0) })?;
        // SAFETY: the call has just made this descriptor, and nobody else knows of it.
        let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        // All zeros would be no limit at all.
        let micros = timeout.as_micros().max(1);
        let seconds = c_long::try_from(micros / 1_000_000).unwrap_or(c_long::MAX);
        let time = Time { seconds, micros: c_long::try_from(micros % 1_000_000).unwrap_or(0) };
        // SAFETY: the value is a `struct timeval` of the size that is said, and is only read.
        checked(unsafe {
            let value = std::ptr::from_ref(&time).cast();
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, value, bytes_of::<Time>())
        })?;
        // SAFETY: the address is one of the size that is said, with a NUL behind its path, and is only read.
        checked(unsafe { connect(fd, &address, bytes_of::<Address>()) })?;
        Ok(socket)
    }

    /// The user that the other end ran as when it connected or listened.
    pub(crate) fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
        let mut found = Credentials::default();
        let mut length = bytes_of::<Credentials>();
        // SAFETY: the value has the size that is said, and any bytes make such numbers.
        checked(unsafe {
            let value = std::ptr::from_mut(&mut found).cast();
            getsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_PEERCRED, value, &mut length)
        })?;
        Ok(found.uid)
    }

    /// Receives what is there without waiting, 0 at the end, and puts the descriptors that came with it into `fds`.
    pub(crate) fn receive_with_fds(
        socket: BorrowedFd<'_>,
        buffer: &mut [u8],
        fds: &mut Vec<OwnedFd>,
    ) -> io::Result<usize> {
        let mut slice = Slice { at: buffer.as_mut_ptr().cast(), length: buffer.len() };
        let mut control = Control([0; 64]);
        // SAFETY: a `struct msghdr` of zeros is a valid one, without anything; padding, where there is some, is zero.
        let mut message: MessageHeader = unsafe { zeroed() };
        message.slices = &mut slice;
        message.slice_count = 1;
        message.control = control.0.as_mut_ptr().cast();
        message.control_length = control.0.len();
        // SAFETY: all pointers are to what lives through the call, with the lengths that are said.
        let result = unsafe { recvmsg(socket.as_raw_fd(), &mut message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) };
        let count = counted(result)?;
        let received = &control.0[..message.control_length.min(control.0.len())];
        take_fds(received, fds);
        if message.flags & MSG_CTRUNC != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more descriptors came than there is room for",
            ));
        }
        Ok(count)
    }

    /// Owns the descriptors of the control messages in `control`, which the kernel wrote.
    fn take_fds(mut control: &[u8], fds: &mut Vec<OwnedFd>) {
        while control.len() >= CONTROL_HEADER {
            // SAFETY: so many bytes are there, and any bytes make such numbers; it need not be aligned.
            let header: ControlHeader = unsafe { std::ptr::read_unaligned(control.as_ptr().cast()) };
            if header.length < CONTROL_HEADER || header.length > control.len() {
                return;
            }
            if (header.level, header.kind) == (SOL_SOCKET, SCM_RIGHTS) {
                for four in control[CONTROL_HEADER..header.length].chunks_exact(4) {
                    let fd = c_int::from_ne_bytes([four[0], four[1], four[2], four[3]]);
                    // SAFETY: the kernel has just made this descriptor for us, and says it once.
                    fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
            let next = header.length.next_multiple_of(align_of::<usize>());
            control = control.get(next..).unwrap_or_default();
        }
    }

    /// The seals of a memory file.
    pub(crate) fn seals(fd: BorrowedFd<'_>) -> io::Result<i32> {
        // SAFETY: this command takes no further argument.
        checked(unsafe { fcntl(fd.as_raw_fd(), F_GET_SEALS) })
    }

    /// Whether this is a connected Unix stream socket.
    pub(crate) fn is_unix_stream(fd: BorrowedFd<'_>) -> bool {
        const SO_TYPE: c_int = 3;
        const SO_ACCEPTCONN: c_int = 30;
        const SO_DOMAIN: c_int = 39;
        let option = |name: c_int| {
            let mut value: c_int = -1;
            let mut length = bytes_of::<c_int>();
            // SAFETY: the value has the size that is said.
            let result = unsafe {
                getsockopt(
                    fd.as_raw_fd(),
                    SOL_SOCKET,
                    name,
                    std::ptr::from_mut(&mut value).cast(),
                    &mut length,
                )
            };
            checked(result).map(|_| value).unwrap_or(-1)
        };
        (option(SO_DOMAIN), option(SO_TYPE), option(SO_ACCEPTCONN)) == (c_int::from(AF_UNIX), SOCK_STREAM, 0)
    }

    /// A memory file of `bytes`, for tests.
    #[cfg(test)]
    pub(crate) fn memory_file(bytes: u64, seal: bool) -> OwnedFd {
        extern "C" {
            fn memfd_create(name: *const std::ffi::c_char, flags: c_uint) -> c_int;
        }
        const MFD_CLOEXEC: c_uint = 1;
        const MFD_ALLOW_SEALING: c_uint = 2;
        const F_ADD_SEALS: c_int = 1033;
        // SAFETY: the name ends in NUL; the descriptor is made for us.
        let fd = unsafe {
            let fd = checked(memfd_create(c"test".as_ptr(), MFD_CLOEXEC | MFD_ALLOW_SEALING)).unwrap();
            OwnedFd::from_raw_fd(fd)
        };
        let file = std::fs::File::from(fd);
        file.set_len(bytes).unwrap();
        if seal {
            // SAFETY: this command takes a number.
            checked(unsafe { fcntl(file.as_raw_fd(), F_ADD_SEALS, super::SEAL_SHRINK) }).unwrap();
        }
        file.into()
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::*;

    extern "C" {
        fn getpeereid(fd: c_int, user: *mut u32, group: *mut u32) -> c_int;
    }

    /// Connects to a Unix stream socket. With a full backlog BSD's kernels refuse at once: there is nothing to wait for.
    pub(crate) fn connect_within(path: &Path, _timeout: Duration) -> io::Result<UnixStream> {
        UnixStream::connect(path)
    }

    /// The user that the other end ran as when it connected or listened.
    pub(crate) fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
        let (mut user, mut group) = (0, 0);
        // SAFETY: both pointers are to numbers of the right size.
        checked(unsafe { getpeereid(socket.as_raw_fd(), &mut user, &mut group) })?;
        Ok(user)
    }

    /// Receives what is there without waiting, 0 at the end. No descriptors: a ring is never asked for here.
    pub(crate) fn receive_with_fds(
        socket: BorrowedFd<'_>,
        buffer: &mut [u8],
        _fds: &mut Vec<OwnedFd>,
    ) -> io::Result<usize> {
        receive_now(socket, buffer)
    }

    /// There are no sealed memory files.
    pub(crate) fn seals(_fd: BorrowedFd<'_>) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Only asked of a ring's wake-up socket.
    pub(crate) fn is_unix_stream(_fd: BorrowedFd<'_>) -> bool {
        false
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::*;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

/// Of a memory file: it cannot become shorter, so no access to a mapping of it can fail.
pub(crate) const SEAL_SHRINK: i32 = 0x2;

// -- memory -----------------------------------------------------------------------------------------------------------

/// Memory shared with another process, which may change it at any time: it is only ever accessed by atomics.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it is plain memory, the same in every thread, and all access is by atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first `length` bytes of a file, shared and writable.
    ///
    /// The caller has made sure that the file has so many and is sealed against shrinking; without that a read might
    /// end the process by a signal, though it would still be no undefined behaviour.
    pub(crate) fn of(file: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        const MAP_SHARED: c_int = 1;
        Self::map(length, MAP_SHARED, file.as_raw_fd())
    }

    /// Memory of zeros that belongs to no file, for tests.
    #[cfg(test)]
    pub(crate) fn anonymous(length: usize) -> Self {
        const MAP_SHARED_ANONYMOUS: c_int = if cfg!(target_os = "linux") { 0x21 } else { 0x1001 };
        Self::map(length, MAP_SHARED_ANONYMOUS, -1).unwrap()
    }

    fn map(length: usize, flags: c_int, fd: c_int) -> io::Result<Self> {
        const READ_WRITE: c_int = 3;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { mmap(std::ptr::null_mut(), length, READ_WRITE, flags, fd, 0) };
        // A failure is -1 and never null; a mapping is aligned to a page.
        if start as usize == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The aligned number at `offset`.
    ///
    /// # Panics
    /// For an offset that is not one of it: a mistake of this crate's, as offsets never come from a peer.
    pub(crate) fn number(&self, offset: usize) -> &AtomicU64 {
        assert!(offset % 8 == 0 && offset <= self.length.saturating_sub(8));
        // SAFETY: inside the mapping, which lives as long as `self`; aligned, as the mapping is to a page; any bytes make
        // a number; and nothing makes a plain reference to this memory.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// Puts the bytes from `offset` on, as many as fit, into `out`.
    ///
    /// By atomic loads, since the other side may write there meanwhile whatever the protocol says: then the bytes are
    /// wrong, but nothing else is. Eight at a time they cost little more than a plain copy.
    ///
    /// # Panics
    /// For bytes that are not all inside the mapping.
    pub(crate) fn copy_to(&self, offset: usize, out: &mut [u8]) {
        assert!(offset <= self.length && out.len() <= self.length - offset);
        let head = out.len().min(offset.next_multiple_of(8) - offset);
        let (head, rest) = out.split_at_mut(head);
        let mut at = offset;
        for byte in head {
            *byte = self.byte(at);
            at += 1;
        }
        let mut eights = rest.chunks_exact_mut(8);
        for eight in &mut eights {
            eight.copy_from_slice(&self.number(at).load(Ordering::Relaxed).to_ne_bytes());
            at += 8;
        }
        for byte in eights.into_remainder() {
            *byte = self.byte(at);
            at += 1;
        }
    }

    fn byte(&self, offset: usize) -> u8 {
        assert!(offset < self.length);
        // SAFETY: as in `number`; a byte is always aligned.
        unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(offset)) }.load(Ordering::Relaxed)
    }

    /// The same memory once more, for tests.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn again(&self) -> Self {
        extern "C" {
            fn mremap(at: *mut c_void, old: usize, new: usize, flags: c_int) -> *mut c_void;
        }
        const MAY_MOVE: c_int = 1;
        // SAFETY: an old length of 0 makes a second mapping of shared memory, and leaves the first as it is.
        let start = unsafe { mremap(self.start.as_ptr().cast(), 0, self.length, MAY_MOVE) };
        assert_ne!(start as usize, usize::MAX);
        Self { start: NonNull::new(start.cast()).unwrap(), length: self.length }
    }

    /// Writes as the other side does, for tests.
    #[cfg(test)]
    pub(crate) fn put(&self, offset: usize, byte: u8) {
        assert!(offset < self.length);
        // SAFETY: as in `byte`.
        unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(offset)) }.store(byte, Ordering::Relaxed);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's alone, and no reference into it outlives it.
        unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn waiting_tells_which() {
        let ((a, b), (c, d)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let both = || [Some((a.as_fd(), Wanted::Read)), None, Some((c.as_fd(), Wanted::Read))];
        assert_eq!(wait(both(), Some(Duration::ZERO)).unwrap(), [false; 3]);
        assert_eq!(send_now(d.as_fd(), b"x").unwrap(), 1);
        assert_eq!(wait(both(), None).unwrap(), [false, false, true]);
        drop(b);
        assert_eq!(wait(both(), None).unwrap(), [true, false, true]);
        assert_eq!(receive_now(c.as_fd(), &mut [0; 4]).unwrap(), 1);
        assert_eq!(receive_now(c.as_fd(), &mut [0; 4]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(receive_now(a.as_fd(), &mut [0; 4]).unwrap(), 0);
        let soon = Instant::now() + Duration::from_millis(2);
        assert!(!wait_until(c.as_fd(), Wanted::Read, soon).unwrap());
        assert!(Instant::now() >= soon);
    }

    #[test]
    fn a_broken_pipe_is_an_error_and_no_signal() {
        let (a, b) = UnixStream::pair().unwrap();
        drop(b);
        assert_eq!(send_now(a.as_fd(), b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn memory_is_copied_from_any_place() {
        let mapping = Mapping::anonymous(4096);
        for at in 0..64 {
            mapping.put(at, u8::try_from(at).unwrap());
        }
        let expected: Vec<u8> = (0..64).collect();
        for from in 0..20 {
            for to in from..44 {
                let mut out = vec![0; to - from];
                mapping.copy_to(from, &mut out);
                assert_eq!(out, expected[from..to]);
            }
        }
        mapping.copy_to(4096, &mut []);
        assert!(std::panic::catch_unwind(|| mapping.copy_to(4090, &mut [0; 7])).is_err());
        assert!(std::panic::catch_unwind(|| mapping.number(4092).load(Ordering::Relaxed)).is_err());
        assert!(std::panic::catch_unwind(|| mapping.number(4096).load(Ordering::Relaxed)).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_other_end_s_user_is_told() {
        let (a, _b) = UnixStream::pair().unwrap();
        assert_eq!(peer_user(a.as_fd()).unwrap(), user());
        assert!(is_unix_stream(a.as_fd()));
        assert!(!is_unix_stream(std::fs::File::open("/dev/null").unwrap().as_fd()));
    }
}
