//! A torque controller and a client made of the crate `open-protocol`, another implementation than the gateway's.
//!
//! `controller COUNT` prints `{"port": N}`, serves one client after another on a free port and pushes results in revision 2 at
//! most; `client PORT COUNT REVISION` takes so many results and prints what the crate makes of them. Both end with stdin.
//! The crate decodes no request that has data or wants some: of requests, only their header goes through it.

use chrono::{DateTime, Local, TimeZone};
use open_protocol::decode::{Decode, Decoder};
use open_protocol::encode::Encoder;
use open_protocol::enums::error::ErrorCode;
use open_protocol::messages::{communication, keep_alive, tightening_result};
use open_protocol::{Header, Message, encode};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Results a second.
const RATE: u64 = 10;

/// The bytes of a header and what follows it.
fn wire(mid: u16, revision: u16, payload: &[u8]) -> Outcome<Vec<u8>> {
    let header = Header {
        length: u16::try_from(20 + payload.len())?,
        mid,
        revision: Some(revision),
        ..Header::default()
    };
    let mut bytes = encode::encode(&header)
        .map_err(|error| format!("{error:?}"))?
        .into_bytes();
    bytes.extend_from_slice(payload);
    bytes.push(0);
    Ok(bytes)
}

/// A message as the crate writes it.
fn telegram(message: &Message) -> Outcome<Vec<u8>> {
    let mut encoder = Encoder::new();
    message
        .encode_payload(&mut encoder)
        .map_err(|error| format!("{error:?}"))?;
    let (mid, revision) = message.mid_revision();
    wire(mid, revision, encoder.as_slice())
}

/// A stream of telegrams.
struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Link {
    fn new(stream: TcpStream) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// The next telegram with its NUL, if one is there; an error at the end of the stream.
    fn next(&mut self) -> Outcome<Option<Vec<u8>>> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => return Err("the other side ended the connection".into()),
            Ok(count) => self.buffer.extend_from_slice(&piece[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error.into()),
        }
        if self.buffer.len() < 4 {
            return Ok(None);
        }
        let length: usize = std::str::from_utf8(&self.buffer[..4])?.parse()?;
        if self.buffer.len() <= length {
            return Ok(None);
        }
        Ok(Some(self.buffer.drain(..=length).collect()))
    }
}

/// The header of a telegram, by the crate.
fn header(bytes: &[u8]) -> Outcome<Header> {
    Header::decode(&mut Decoder::new(bytes)).map_err(|error| format!("{error:?}").into())
}

/// When every result was made, as the crate has it: without a zone.
fn made(number: u32) -> DateTime<Local> {
    Local
        .with_ymd_and_hms(2026, 11, 23, 10, number / 60 % 60, number % 60)
        .earliest()
        .unwrap_or_default()
}

/// Result `number`, all of whose values follow from it.
fn result(number: u32, revision: u16) -> Message {
    let small = u16::try_from(number % 1000).unwrap_or_default();
    let good = u8::from(number % 5 != 0);
    let vin = format!("WVWZZZ1JZXW{number:06}");
    if revision == 1 {
        return Message::MID0061rev1(tightening_result::MID0061rev1 {
            cell_id: 1,
            channel_id: 2,
            controller_name: "Crate".to_owned(),
            vin_number: vin,
            job_id: 3,
            parameter_set_id: 7,
            batch_size: 9,
            batch_counter: small % 9 + 1,
            tightening_status: good,
            torque_status: 1,
            angle_status: good * 2,
            torque_min_limit: 900,
            torque_max_limit: 99_999,
            torque_final_target: 1201,
            torque: 1000 + number,
            angle_min_limit: 1,
            angle_max_limit: 4000,
            angle_final_target: 90,
            angle: small * 3,
            timestamp: made(number),
            last_parameter_set_change: made(1),
            batch_status: 0,
            tightening_id: number,
        });
    }
    Message::MID0061rev2(tightening_result::MID0061rev2 {
        cell_id: 1,
        channel_id: 2,
        controller_name: "Crate".to_owned(),
        vin_number: vin,
        job_id: 3,
        parameter_set_id: 7,
        strategy: 3,
        strategy_options: 3,
        batch_size: 9,
        batch_counter: small % 9 + 1,
        tightening_status: good,
        torque_status: 1,
        angle_status: good * 2,
        tightening_error_status: "0000000000".to_owned(),
        torque_min_limit: 900,
        torque_max_limit: 99_999,
        torque_final_target: 1201,
        torque: 1000 + number,
        angle_min_limit: 1,
        angle_max_limit: 4000,
        angle_final_target: 90,
        angle: small * 3,
        rundown_angle_max: 9999,
        tightening_id: number,
        tool_serial_number: "C0761275".to_owned(),
        timestamp: made(number),
        last_parameter_set_change: made(1),
        ..tightening_result::MID0061rev2::default()
    })
}

/// The results, however many clients come and go.
#[derive(Default)]
struct Controller {
    made: u32,
    acked: u32,
    limit: u32,
}

impl Controller {
    /// One client, until it is gone.
    fn serve(&mut self, link: &mut Link) -> Outcome<()> {
        let mut subscribed = 0;
        let mut waiting = false;
        let mut due = Instant::now();
        loop {
            if let Some(bytes) = link.next()? {
                let asked = header(&bytes)?;
                let revision = asked.revision_number();
                if asked.mid == 62 && waiting {
                    waiting = false;
                    self.acked = self.made;
                    println!("{{\"acked\": {}}}", self.acked);
                }
                if asked.mid == 60 && revision <= 2 {
                    subscribed = revision;
                }
                if let Some(answer) = answer(asked.mid, revision) {
                    link.send(&telegram(&answer)?)?;
                }
            }
            if subscribed > 0 && !waiting && self.made < self.limit && Instant::now() >= due {
                due = Instant::now() + Duration::from_millis(1000 / RATE);
                self.made += 1;
                waiting = true;
                link.send(&telegram(&result(self.made, subscribed))?)?;
            }
        }
    }
}

/// What a request leads to; an acknowledgement to nothing.
fn answer(mid: u16, revision: u16) -> Option<Message> {
    let refuse = |error_code| Message::MID0004rev1(communication::MID0004rev1 { mid, error_code });
    Some(match mid {
        1 if revision == 1 => Message::MID0002rev1(communication::MID0002rev1 {
            cell_id: 1,
            channel_id: 2,
            controller_name: "Crate".to_owned(),
        }),
        1 if revision <= 3 => Message::MID0002rev3(communication::MID0002rev3 {
            cell_id: 1,
            channel_id: 2,
            controller_name: "Crate".to_owned(),
            supplier_code: "ACT".to_owned(),
            open_protocol_version: "2.8.0".to_owned(),
            controller_software_version: "1".to_owned(),
            tool_software_version: "2".to_owned(),
        }),
        1 => refuse(ErrorCode::MIDRevisionUnsupported),
        3 | 63 => Message::MID0005rev1(communication::MID0005rev1 { mid }),
        60 if revision <= 2 => Message::MID0005rev1(communication::MID0005rev1 { mid }),
        60 => refuse(ErrorCode::MIDRevisionUnsupported),
        62 => return None,
        64 => refuse(ErrorCode::TighteningIdNotFound),
        9999 => Message::MID9999rev1(keep_alive::MID9999rev1 {}),
        _ => refuse(ErrorCode::UnknownMID),
    })
}

fn controller(count: u32) -> Outcome<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{{\"port\": {}}}", listener.local_addr()?.port());
    let mut controller = Controller {
        limit: count,
        ..Controller::default()
    };
    for stream in listener.incoming() {
        if let Err(error) = Link::new(stream?).and_then(|mut link| controller.serve(&mut link)) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

/// Waits for a telegram.
fn wait(link: &mut Link) -> Outcome<Vec<u8>> {
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        if let Some(bytes) = link.next()? {
            return Ok(bytes);
        }
    }
    Err("no telegram came within 15 s".into())
}

/// A telegram as the crate makes it out; `None` where it cannot: it knows no blanks, and panics on some.
fn message(bytes: &[u8]) -> Option<Message> {
    let decoded = std::panic::catch_unwind(|| Message::decode_message(&mut Decoder::new(bytes)));
    decoded.ok()?.ok().map(|(_, message)| message)
}

/// What the crate says of a result, as JSON.
fn tell(number: u32, vin: &str, status: u8, torque: u32, limits: (u32, u32), angle: u16, stamp: DateTime<Local>) {
    let stamp = stamp.format("%Y-%m-%d:%H:%M:%S");
    let (min, max) = limits;
    println!(
        "{{\"id\": {number}, \"vin\": \"{}\", \"status\": {status}, \"torque\": {torque}, \"min\": {min}, \"max\": {max}, \"angle\": {angle}, \"time\": \"{stamp}\"}}",
        vin.trim()
    );
}

/// Acknowledges a result; behind the first one, a keep-alive.
fn take(link: &mut Link, taken: u32) -> Outcome<()> {
    link.send(&telegram(&Message::MID0062rev1(tightening_result::MID0062rev1 {}))?)?;
    if taken == 1 {
        link.send(&telegram(&Message::MID9999rev1(keep_alive::MID9999rev1 {}))?)?;
    }
    Ok(())
}

fn client(port: u16, count: u32, revision: u16) -> Outcome<()> {
    std::panic::set_hook(Box::new(|what| eprintln!("{what}")));
    let mut link = Link::new(TcpStream::connect(("127.0.0.1", port))?)?;
    link.send(&wire(1, 1, b"")?)?;
    let Some(Message::MID0002rev1(start)) = message(&wait(&mut link)?) else {
        return Err("0001 was not answered by 0002".into());
    };
    println!("{{\"controller\": \"{}\"}}", start.controller_name.trim());
    link.send(&wire(60, revision, b"")?)?;
    let mut taken = 0;
    while taken < count {
        let bytes = wait(&mut link)?;
        match message(&bytes) {
            Some(Message::MID0005rev1(accepted)) => println!("{{\"accepted\": {}}}", accepted.mid),
            Some(Message::MID9999rev1(_)) => println!("{{\"alive\": true}}"),
            Some(Message::MID0061rev1(r)) => {
                let limits = (r.torque_min_limit, r.torque_max_limit);
                tell(
                    r.tightening_id,
                    &r.vin_number,
                    r.tightening_status,
                    r.torque,
                    limits,
                    r.angle,
                    r.timestamp,
                );
                taken += 1;
                take(&mut link, taken)?;
            }
            Some(Message::MID0061rev2(r)) => {
                let limits = (r.torque_min_limit, r.torque_max_limit);
                tell(
                    r.tightening_id,
                    &r.vin_number,
                    r.tightening_status,
                    r.torque,
                    limits,
                    r.angle,
                    r.timestamp,
                );
                taken += 1;
                take(&mut link, taken)?;
            }
            None if header(&bytes)?.mid == 61 => {
                println!("{{\"undecoded\": \"{}\"}}", String::from_utf8_lossy(&bytes[..20]));
                taken += 1;
                take(&mut link, taken)?;
            }
            _ => return Err(format!("nobody asked for {}", String::from_utf8_lossy(&bytes)).into()),
        }
    }
    link.send(&wire(63, 1, b"")?)?;
    while !matches!(message(&wait(&mut link)?), Some(Message::MID0005rev1(accepted)) if accepted.mid == 63) {}
    println!("{{\"accepted\": 63}}");
    Ok(())
}

fn main() -> Outcome<()> {
    // A harness that is gone takes its peers with it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["controller", count] => controller(count.parse()?),
        ["client", port, count, revision] => client(port.parse()?, count.parse()?, revision.parse()?),
        _ => Err("usage: lineside-interop controller COUNT | client PORT COUNT REVISION".into()),
    }
}
