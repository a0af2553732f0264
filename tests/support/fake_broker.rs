//! A scripted MQTT broker for tests: packets written by hand, for MQTT 5 and 3.1.1, one thread a connection.
//!
//! It has no topics and no sessions. For each packet that comes, a closure says what to do; `Fake::polite` is
//! what an ordinary broker would answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "each test that includes this uses a part of it"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connect {
        client_id: String,
        username: Option<String>,
        password: Option<String>,
        will: Option<(String, Vec<u8>)>,
        clean: bool,
        keep_alive: u16,
    },
    Publish {
        id: u16,
        topic: String,
        payload: Vec<u8>,
        retain: bool,
        content_type: Option<String>,
    },
    Subscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ack(u16),
    Ping,
    Disconnect,
    Other(u8),
}

/// What the broker does.
#[derive(Debug, Clone)]
pub enum Act {
    Send(Vec<u8>),
    Close,
}

type Script = Box<dyn FnMut(usize, &Packet) -> Vec<Act> + Send>;

/// The broker.
pub struct Fake {
    pub address: SocketAddr,
    pub five: bool,
    log: Arc<Log>,
    running: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    packets: Mutex<Vec<(usize, Packet)>>,
    changed: Condvar,
    connections: AtomicUsize,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Fake {
    /// Starts a broker on a free port of this machine.
    pub fn start(five: bool, script: impl FnMut(usize, &Packet) -> Vec<Act> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let running = Arc::new(AtomicBool::new(true));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let (shared, go) = (log.clone(), running.clone());
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for stream in listener.incoming() {
                if !go.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                shared.sockets.lock().unwrap().push(stream.try_clone().unwrap());
                let (log, script) = (shared.clone(), script.clone());
                threads.push(std::thread::spawn(move || serve(stream, five, number, &log, &script)));
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
        Self {
            address,
            five,
            log,
            running,
            thread: Some(thread),
        }
    }

    /// What an ordinary broker answers.
    pub fn polite(five: bool, packet: &Packet) -> Vec<Act> {
        match packet {
            Packet::Connect { .. } => vec![Act::Send(connack(five, 0, &[]))],
            Packet::Subscribe { id, filters } => vec![Act::Send(suback(five, *id, &vec![1; filters.len()]))],
            Packet::Publish { id, topic, payload, .. } => {
                let mut acts = vec![Act::Send(puback(five, *id, 0))];
                if topic == "status" {
                    acts.push(Act::Send(publish(five, topic, payload, false)));
                }
                acts
            }
            Packet::Ping => vec![Act::Send(vec![0xd0, 0])],
            Packet::Disconnect => vec![Act::Close],
            _ => Vec::new(),
        }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// All that was received so far, with the number of the connection.
    pub fn received(&self) -> Vec<(usize, Packet)> {
        self.log.packets.lock().unwrap().clone()
    }

    /// Says something to the newest connection.
    pub fn say(&self, bytes: &[u8]) {
        let sockets = self.log.sockets.lock().unwrap();
        sockets.last().unwrap().write_all(bytes).unwrap();
    }

    /// Waits until what was received is as wanted.
    pub fn wait(&self, what: &str, wanted: impl Fn(&[(usize, Packet)]) -> bool) {
        let packets = self.log.packets.lock().unwrap();
        let waiting = |packets: &mut Vec<(usize, Packet)>| !wanted(packets);
        let (packets, wait) = self
            .log
            .changed
            .wait_timeout_while(packets, Duration::from_secs(20), waiting)
            .unwrap();
        assert!(!wait.timed_out(), "the broker never saw: {what}; it saw {packets:#?}");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.running.store(false, Ordering::SeqCst);
        for socket in self.log.sockets.lock().unwrap().iter() {
            drop(socket.shutdown(Shutdown::Both));
        }
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the fake broker's script panicked");
        }
    }
}

fn serve(mut stream: TcpStream, five: bool, number: usize, log: &Log, script: &Mutex<Script>) {
    stream.set_nodelay(true).unwrap();
    while let Some(packet) = read(&mut stream, five) {
        log.packets.lock().unwrap().push((number, packet.clone()));
        log.changed.notify_all();
        let acts = (script.lock().unwrap())(number, &packet);
        for act in acts {
            match act {
                Act::Send(bytes) => {
                    if stream.write_all(&bytes).is_err() {
                        return;
                    }
                }
                Act::Close => {
                    drop(stream.shutdown(Shutdown::Both));
                    return;
                }
            }
        }
    }
}

fn read(stream: &mut TcpStream, five: bool) -> Option<Packet> {
    let mut byte = [0; 1];
    let mut exact = |buffer: &mut [u8]| match stream.read_exact(buffer) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == ErrorKind::Interrupted => None,
        Err(_) => None,
    };
    exact(&mut byte)?;
    let first = byte[0];
    let (mut length, mut shift) = (0usize, 0);
    loop {
        exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    exact(&mut body)?;
    let mut at = Reader { bytes: &body, five };
    Some(match first >> 4 {
        1 => at.connect(),
        3 => {
            let topic = at.text();
            let id = if first & 6 == 0 { 0 } else { at.number() };
            let content_type = at.content_type();
            Packet::Publish {
                id,
                topic,
                payload: at.bytes.to_vec(),
                retain: first & 1 == 1,
                content_type,
            }
        }
        4 => Packet::Ack(at.number()),
        8 => {
            let id = at.number();
            at.content_type();
            let mut filters = Vec::new();
            while !at.bytes.is_empty() {
                filters.push(at.text());
                at.take(1);
            }
            Packet::Subscribe { id, filters }
        }
        12 => Packet::Ping,
        14 => Packet::Disconnect,
        kind => Packet::Other(kind),
    })
}

struct Reader<'b> {
    bytes: &'b [u8],
    five: bool,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn binary(&mut self) -> Vec<u8> {
        let length = self.number();
        self.take(usize::from(length)).to_vec()
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.binary()).unwrap()
    }

    /// Skips the properties; of them all only the content type is looked at.
    fn content_type(&mut self) -> Option<String> {
        if !self.five {
            return None;
        }
        let length = usize::from(self.take(1)[0]);
        assert!(length < 128, "longer properties than a test has");
        let properties = self.take(length);
        (properties.first() == Some(&3)).then(|| String::from_utf8(properties[3..].to_vec()).unwrap())
    }

    fn connect(&mut self) -> Packet {
        assert_eq!(self.text(), "MQTT");
        let level = self.take(1)[0];
        assert_eq!(level, if self.five { 5 } else { 4 });
        let flags = self.take(1)[0];
        let keep_alive = self.number();
        self.content_type();
        let client_id = self.text();
        let will = (flags & 4 != 0).then(|| {
            self.content_type();
            (self.text(), self.binary())
        });
        let username = (flags & 0x80 != 0).then(|| self.text());
        let password = (flags & 0x40 != 0).then(|| self.text());
        Packet::Connect {
            client_id,
            username,
            password,
            will,
            clean: flags & 2 != 0,
            keep_alive,
        }
    }
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

pub fn connack(five: bool, code: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![0, code];
    if five {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend(properties);
    }
    framed(0x20, &body)
}

pub fn suback(five: bool, id: u16, codes: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if five {
        body.push(0);
    }
    body.extend(codes);
    framed(0x90, &body)
}

pub fn puback(five: bool, id: u16, reason: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if five && reason != 0 {
        body.extend([reason, 0]);
    }
    framed(0x40, &body)
}

pub fn publish(five: bool, topic: &str, payload: &[u8], retained: bool) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    if five {
        body.push(0);
    }
    body.extend(payload);
    framed(0x30 | u8::from(retained), &body)
}
