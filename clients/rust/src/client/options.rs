//! How a connection is to be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::message::Transport;
use crate::signing::SigningKey;
use crate::sys;

/// What the daemon says about the connection as a whole, told to [`Options::on_notice`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// It takes no new requests; those under way may go on for so long. Connect anew.
    Draining(Duration),
    /// The connection is over, for this reason; every stream has been told. The last notice.
    Lost(Error),
}

pub(crate) type OnNotice = Box<dyn FnMut(Notice) + Send>;

/// The settings of a connection, to be [`connect`](Options::connect)ed.
///
/// ```no_run
/// use rxlapce_client::{Client, Transport};
/// let client = Client::options().name("lapce").transport(Transport::Socket).connect()?;
/// # Ok::<(), rxlapce_client::Error>(())
/// ```
#[must_use]
pub struct Options {
    pub(crate) path: Option<PathBuf>,
    pub(crate) name: String,
    pub(crate) transport: Transport,
    pub(crate) key: Option<SigningKey>,
    pub(crate) window: u32,
    pub(crate) max_held_bytes: usize,
    pub(crate) timeout: Duration,
    pub(crate) linger: Duration,
    pub(crate) on_notice: Option<OnNotice>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: None,
            name: "rxlapce-client".into(),
            transport: Transport::Shm,
            key: None,
            window: 1024,
            max_held_bytes: 64 << 20,
            timeout: Duration::from_secs(5),
            linger: Duration::from_millis(1),
            on_notice: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, name, transport, key, window, .. } = self;
        write!(f, "Options {{ {name:?} at {path:?} by {transport}, {key:?}, window {window} }}")
    }
}

impl Options {
    /// Where the daemon listens. Default: [`default_path`].
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Who connects, for `rxlapce status`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// By which way frames of streams should come; [`Client::transport`] says which it became. Default: shared memory,
    /// which is Linux's alone; elsewhere the socket is asked for.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Sign all frames, both ways, by this secret, or do not speak to the daemon.
    pub fn key(mut self, key: SigningKey) -> Self {
        self.key = Some(key);
        self
    }

    /// How many chunks of one stream may be on their way or wait to be read, at least 1; 1,024 by default. A reader
    /// that is slow stops its own provider, and no other stream.
    pub fn window(mut self, chunks: u32) -> Self {
        self.window = chunks.max(1);
        self
    }

    /// How many bytes of one stream may wait to be read; 64 MiB by default. A stream that goes past it is cancelled.
    pub fn max_held_bytes(mut self, bytes: usize) -> Self {
        self.max_held_bytes = bytes;
        self
    }

    /// How long connecting, and each of the handshake's two frames, may take; 5 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long the reader of shared memory looks again by itself before it sleeps, in whole milliseconds; 1 by
    /// default. While frames come more often than that the daemon need not wake it, which spares both sides most of
    /// what a frame costs, and a frame waits at most so long. 0 reads every frame as soon as it is there.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger.min(Duration::from_millis(50));
        self
    }

    /// Calls `tell` for what concerns the connection as a whole, in the reader's thread: it must not wait there.
    pub fn on_notice(mut self, tell: impl FnMut(Notice) + Send + 'static) -> Self {
        self.on_notice = Some(Box::new(tell));
        self
    }

    /// Connects, and agrees with the daemon.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Config`] for a socket of another user's, [`Error::HandshakeRefused`],
    /// [`Error::ConnectionLost`] for a daemon that takes too long, [`Error::RingCorrupt`] for a ring that cannot be
    /// one, and those of frames.
    pub fn connect(self) -> Result<Client> {
        Client::with(self)
    }
}

/// Where the daemon of this user listens: `$RXLAPCE_SOCKET`, else `$XDG_RUNTIME_DIR/rxlapce/daemon.sock`, else
/// `/tmp/rxlapce-UID/daemon.sock`.
#[must_use]
pub fn default_path() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("RXLAPCE_SOCKET") {
        return path.into();
    }
    match set("XDG_RUNTIME_DIR") {
        Some(runtime) => Path::new(&runtime).join("rxlapce/daemon.sock"),
        None => format!("/tmp/rxlapce-{}/daemon.sock", sys::user()).into(),
    }
}
