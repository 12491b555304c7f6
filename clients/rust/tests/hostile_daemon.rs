//! The client beside a daemon that does not keep to the protocol, or dies: played here, frame by frame.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rxlapce_client::frame::{encode, flag, Frame, FrameDecoder};
use rxlapce_client::json::Value;
use rxlapce_client::message::goes_to_daemon;
use rxlapce_client::{
    Answer, ChatRequest, Client, Error, ErrorKind, Message, Notice, Options, Token, Transport,
};

const CHAT_STREAM: u16 = 0x0303;
const ACK: &str = r#"{"type":"handshake_ack","server":"played","max_streams":8}"#;
const SOON: Duration = Duration::from_secs(10);

/// A daemon's end of a connection.
struct Peer {
    socket: UnixStream,
    decoder: FrameDecoder,
    frames: Vec<Frame>,
}

impl Peer {
    fn accepted(socket: UnixStream) -> Self {
        Self { socket, decoder: FrameDecoder::new(goes_to_daemon), frames: Vec::new() }
    }

    /// The next frame; `None` at the end.
    fn receive(&mut self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        while self.frames.is_empty() {
            let count = self.socket.read(&mut buffer).ok().filter(|&count| count > 0)?;
            self.decoder.feed(&buffer[..count], &mut self.frames).unwrap();
        }
        Some(self.frames.remove(0))
    }

    /// The next frame of this type; those before it are passed over.
    fn expect(&mut self, number: u16) -> Frame {
        while let Some(frame) = self.receive() {
            if frame.number == number {
                return frame;
            }
        }
        panic!("the client has closed before a frame of type {number:#06x}");
    }

    /// All up to the client's end.
    fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    fn say(&mut self, number: u16, id: u64, payload: &str) {
        let frame = encode(number, flag::RESPONSE, id, payload.as_bytes()).unwrap();
        let _the_client_may_have_closed = self.socket.write_all(&frame);
    }

    fn chunk(&mut self, id: u64, seq: u64, text: &str) {
        let text = Value::from(text);
        let token = format!(r#"{{"type":"text","text":{text}}}"#);
        self.say(0x0312, id, &format!(r#"{{"type":"stream_chunk","seq":{seq},"token":{token}}}"#));
    }

    fn done(&mut self, id: u64, seq: u64) {
        let finish = r#"{"type":"finish","kind":"stop"}"#;
        self.say(0x0313, id, &format!(r#"{{"type":"stream_done","seq":{seq},"finish":{finish}}}"#));
    }
}

/// A path for a socket that nobody else has.
fn new_path() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("rxlapce-{}-{count}.sock", std::process::id()))
}

/// A daemon that acts as `play` once it has accepted and read the handshake, and settings to connect to it by.
fn raw<T: Send + 'static>(play: impl FnOnce(Peer) -> T + Send + 'static) -> (Options, JoinHandle<T>) {
    let path = new_path();
    let listener = UnixListener::bind(&path).unwrap();
    let removed = path.clone();
    let thread = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        fs::remove_file(removed).unwrap();
        let mut peer = Peer::accepted(socket);
        peer.expect(0x0010);
        play(peer)
    });
    (Client::options().path(path).transport(Transport::Socket).timeout(SOON), thread)
}

/// The same, after the handshake.
fn daemon<T: Send + 'static>(play: impl FnOnce(Peer) -> T + Send + 'static) -> (Options, JoinHandle<T>) {
    raw(|mut peer| {
        peer.say(0x0011, 0, ACK);
        play(peer)
    })
}

fn question() -> ChatRequest {
    ChatRequest::new("p/m", [Message::user("hello")])
}

/// What a stream has when it ends, and the error that ended it.
fn read(client: &Client) -> (String, Option<Error>) {
    let mut answer = Answer::new();
    let error = client.chat_stream(&question()).and_then(|stream| stream.read_into(&mut answer)).err();
    (answer.text(), error)
}

fn name(error: Option<Error>) -> &'static str {
    error.as_ref().and_then(Error::name).unwrap_or("no name")
}

/// A stream of two chunks, and then what `break_it` says.
fn broken_by(break_it: impl FnOnce(&mut Peer, u64) + Send + 'static) -> (String, Option<Error>) {
    let (options, thread) = daemon(|mut peer| {
        let id = peer.expect(CHAT_STREAM).id;
        peer.chunk(id, 0, "a");
        peer.chunk(id, 1, "b");
        break_it(&mut peer, id);
        peer.rest();
    });
    let client = options.connect().unwrap();
    let ended = read(&client);
    assert_eq!(client.lost(), ended.1);
    assert_eq!(client.chat_stream(&question()).err(), ended.1);
    drop(client);
    thread.join().unwrap();
    ended
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_behind_what_was_good() {
    type Break = fn(&mut Peer, u64);
    let breaks: [(&str, Break); 14] = [
        ("SequenceGap", |peer, id| peer.chunk(id, 3, "c")),
        ("SequenceGap", |peer, id| peer.chunk(id, 1, "b")),
        ("SequenceGap", |peer, id| peer.done(id, 1)),
        ("ProtocolError", |peer, id| peer.chunk(id + 1, 0, "c")),
        ("ProtocolError", |peer, id| {
            peer.say(0x0310, id, r#"{"type":"complete","text":"","finish":"stop"}"#)
        }),
        ("ProtocolError", |peer, _| peer.say(0x0011, 0, ACK)),
        ("ProtocolError", |peer, _| {
            peer.say(0x0004, 0, r#"{"type":"error","error":"BadMagic","message":"m"}"#)
        }),
        ("BadPayload", |peer, id| peer.say(0x0312, id, "{}")),
        ("BadPayload", |peer, id| peer.say(0x0312, id, &"[".repeat(100_000))),
        ("BadMessageType", |peer, id| peer.say(CHAT_STREAM, id, "{}")),
        ("BadMagic", |peer, _| peer.socket.write_all(b"HTTP/1.1 200 OK").unwrap()),
        ("BadVersion", |peer, _| peer.socket.write_all(b"CPAL\x02").unwrap()),
        ("BadFlags", |peer, id| peer.socket.write_all(&encode(0x0312, 0x41, id, b"{}").unwrap()).unwrap()),
        ("BadChecksum", |peer, id| {
            let mut frame = encode(0x0313, flag::RESPONSE, id, b"{}").unwrap();
            frame[20] ^= 1;
            peer.socket.write_all(&frame).unwrap();
        }),
    ];
    for (expected, break_it) in breaks {
        let (text, error) = broken_by(break_it);
        assert_eq!((&*text, name(error)), ("ab", expected));
    }
}

#[test]
fn a_daemon_that_dies_inside_a_frame_is_lost_behind_what_was_whole() {
    let (text, error) = broken_by(|peer, id| {
        let frame = encode(0x0313, flag::RESPONSE, id, b"{}").unwrap();
        peer.socket.write_all(&frame[..25]).unwrap();
        peer.socket.shutdown(std::net::Shutdown::Both).unwrap();
    });
    assert_eq!(text, "ab");
    assert_eq!(error, Some(Error::ConnectionLost("the daemon closed the connection without a word".into())));
    let (_, error) = broken_by(|peer, _| {
        peer.say(0x0012, 0, r#"{"type":"disconnect","reason":"shutdown"}"#);
        peer.socket.shutdown(std::net::Shutdown::Both).unwrap();
    });
    assert!(error.unwrap().to_string().contains(r#"it said "shutdown""#));
}

#[test]
fn who_sends_more_than_there_is_credit_for_is_not_listened_to() {
    let (options, thread) = daemon(|mut peer| {
        let id = peer.expect(CHAT_STREAM).id;
        for seq in 0..5 {
            peer.chunk(id, seq, "x");
        }
        peer.rest();
    });
    let client = options.window(4).connect().unwrap();
    let stream = client.chat_stream(&question()).unwrap();
    while client.lost().is_none() {
        thread::yield_now();
    }
    let mut answer = Answer::new();
    let error = stream.read_into(&mut answer).unwrap_err();
    assert_eq!((&*answer.text(), error.name()), ("xxxx", Some("ProtocolError")));
    drop(client);
    thread.join().unwrap();
}

#[test]
fn a_stream_of_which_too_much_waits_is_cancelled_and_no_other() {
    let (options, thread) = daemon(|mut peer| {
        let (slow, other) = (peer.expect(CHAT_STREAM).id, peer.expect(CHAT_STREAM).id);
        for seq in 0..4 {
            peer.chunk(slow, seq, &"x".repeat(10_000));
        }
        assert_eq!(peer.expect(0x0205).id, slow);
        peer.chunk(slow, 4, "late"); // was under way
        peer.say(0x0314, slow, r#"{"type":"error","seq":5,"error":{"kind":"cancelled","retry":"never","phase":"flow","message":"m"}}"#);
        peer.done(other, 0);
        peer.rest();
    });
    let client = options.max_held_bytes(25_000).connect().unwrap();
    let slow = client.chat_stream(&question()).unwrap();
    assert_eq!(read(&client), (String::new(), None));
    let mut answer = Answer::new();
    assert_eq!(slow.read_into(&mut answer), Err(Error::Overrun { bound: 25_000 }));
    assert_eq!(answer.text().len(), 20_000);
    assert_eq!((client.lost(), client.under_way()), (None, 0));
    drop(client);
    thread.join().unwrap();
}

#[test]
fn credit_is_given_back_by_half_windows_as_it_is_read() {
    let (options, thread) = daemon(|mut peer| {
        let asked = peer.expect(CHAT_STREAM);
        let credit = Value::parse(&asked.payload).unwrap().get("credit").and_then(Value::as_u64);
        assert_eq!(credit, Some(6));
        (0..6).for_each(|seq| peer.chunk(asked.id, seq, "x"));
        let given = peer.expect(0x0304);
        assert_eq!((given.id, &given.payload[..]), (asked.id, &br#"{"type":"credit","frames":3}"#[..]));
        (6..9).for_each(|seq| peer.chunk(asked.id, seq, "y"));
        peer.expect(0x0304);
        peer.done(asked.id, 9);
        peer.rest()
    });
    let client = options.window(6).connect().unwrap();
    assert_eq!(read(&client), ("xxxxxxyyy".into(), None));
    drop(client);
    let numbers: Vec<u16> = thread.join().unwrap().iter().map(|frame| frame.number).collect();
    assert_eq!(numbers.last(), Some(&0x0012));
}

#[test]
fn callbacks_get_all_and_may_use_the_client_and_a_panic_ends_its_stream_alone() {
    let (options, thread) = daemon(|mut peer| {
        let (good, bad) = (peer.expect(CHAT_STREAM).id, peer.expect(CHAT_STREAM).id);
        peer.chunk(bad, 0, "a");
        assert_eq!(peer.expect(0x0205).id, bad);
        peer.chunk(good, 0, "a");
        peer.done(good, 1);
        peer.rest();
    });
    let client = options.connect().unwrap();
    let (sender, receiver) = mpsc::channel();
    let good = client.chat_stream_to(&question(), move |token| sender.send(token).unwrap()).unwrap();
    let bad = client.chat_stream_to(&question(), |_| panic!("a callback of this test's panics")).unwrap();
    let tokens: Vec<_> = receiver.iter().map(Result::unwrap).collect();
    assert!(matches!(&tokens[..], [Token::Text { .. }, Token::Finish(_)]));
    assert_eq!(client.lost(), None);
    drop((good, bad, client));
    thread.join().unwrap();
}

#[test]
fn a_client_may_be_dropped_by_its_own_callback() {
    let (options, thread) = daemon(|mut peer| {
        let id = peer.expect(CHAT_STREAM).id;
        peer.chunk(id, 0, "a");
        peer.rest().last().map(|frame| frame.number)
    });
    let (notices, told) = mpsc::channel();
    let client = options.on_notice(move |notice| notices.send(notice).unwrap()).connect().unwrap();
    let (give, take) = mpsc::channel::<Client>();
    let tell = move |token: rxlapce_client::Result<Token>| drop(token.map(|_| take.recv()));
    client.chat_stream_to(&question(), tell).unwrap().detach();
    give.send(client).unwrap();
    assert!(matches!(told.recv_timeout(SOON), Ok(Notice::Lost(Error::ConnectionLost(_)))));
    assert_eq!(thread.join().unwrap(), Some(0x0012));
}

#[test]
fn the_daemon_s_signs_of_life_are_answered_and_its_drain_is_told() {
    let (options, thread) = daemon(|mut peer| {
        peer.say(0x0005, 9, r#"{"type":"heartbeat","echo":true}"#);
        let pong = peer.expect(0x0005);
        assert_eq!((pong.id, &pong.payload[..]), (9, &br#"{"type":"heartbeat","echo":false}"#[..]));
        peer.say(0x0013, 0, r#"{"type":"draining","within_s":2.5}"#);
        let id = peer.expect(CHAT_STREAM).id;
        peer.say(0x0314, id, r#"{"type":"error","seq":0,"error":{"kind":"overloaded","retry":"same","phase":"admit","message":"stopping"}}"#);
        peer.rest();
    });
    let (notices, told) = mpsc::channel();
    let client = options.on_notice(move |notice| notices.send(notice).unwrap()).connect().unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), Notice::Draining(Duration::from_millis(2500)));
    assert_eq!(client.draining(), Some(Duration::from_millis(2500)));
    let (_, error) = read(&client);
    assert_eq!(error.unwrap().request().unwrap().kind, ErrorKind::Overloaded);
    drop(client);
    thread.join().unwrap();
}

#[test]
fn a_handshake_that_comes_to_nothing_is_told() {
    type Play = fn(Peer);
    let plays: [(&str, Play); 5] = [
        ("before its first frame", drop),
        ("the bytes ended after 10", |mut peer| {
            peer.socket.write_all(&encode(0x0011, 0, 0, b"{}").unwrap()[..10]).unwrap()
        }),
        ("the daemon refused: no room", |mut peer| {
            peer.say(0x0004, 0, r#"{"type":"error","error":"HandshakeRefused","message":"no room"}"#);
        }),
        ("not asked for", |mut peer| {
            peer.say(0x0011, 0, r#"{"type":"handshake_ack","transport":"shm","ring":{"capacity":4096}}"#);
        }),
        ("at most 65536 bytes", |mut peer| peer.say(0x0011, 0, &" ".repeat(70_000))),
    ];
    for (expected, play) in plays {
        let (options, thread) = raw(play);
        let error = options.connect().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let (options, thread) = raw(|mut peer| peer.rest());
    let error = options.timeout(Duration::from_millis(30)).connect().unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_ring_without_its_descriptors_is_refused() {
    let (options, thread) = raw(|mut peer| {
        peer.say(0x0011, 0, r#"{"type":"handshake_ack","transport":"shm","ring":{"capacity":4096}}"#);
        peer.rest();
    });
    let error = options.transport(Transport::Shm).connect().unwrap_err().to_string();
    let expected = if cfg!(target_os = "linux") { "got 0" } else { "not asked for" };
    assert!(error.contains(expected), "{error}");
    thread.join().unwrap();
}

#[test]
fn what_came_behind_the_handshake_in_the_same_read_counts() {
    let (options, thread) = raw(|mut peer| {
        let frame = |number, payload: &str| encode(number, flag::RESPONSE, 0, payload.as_bytes()).unwrap();
        let drain = frame(0x0013, r#"{"type":"draining","within_s":1}"#);
        peer.socket.write_all(&[frame(0x0011, ACK), drain].concat()).unwrap();
        peer.rest();
    });
    let (notices, told) = mpsc::channel();
    let client = options.on_notice(move |notice| notices.send(notice).unwrap()).connect().unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap(), Notice::Draining(Duration::from_secs(1)));
    drop(client);
    thread.join().unwrap();
}
