//! Writes an outbox with known contents, or verifies one that a crash left: the peer of `tests/faults/power_loss.py`.
//!
//! `store_writer write DIR COMMITS SEED` prints `try TOPIC SEQUENCE` before, `ack TOPIC SEQUENCE` after each append
//! that returned, and `dlv TOPIC SEQUENCE` before a delivery. `store_writer verify DIR` reads the lines that had been
//! printed at the crash on its standard input, and exits with 1 where something acknowledged is not there.

use lineside::clock::Clock;
use lineside::model::{Commit, EventType, Sealed, SlotName, StateChange};
use lineside::outbox::{Entry, Limits, Outbox};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

const TOPICS: u64 = 3;

fn limits() -> Limits {
    Limits {
        keep_sent: 100_000,
        reserve: 0,
        rotate_above: 1_500_000,
        ..Limits::default()
    }
}

fn name(topic: u64) -> String {
    format!("plant/line/st{topic}/spindle/tightening")
}

/// A body that only this event can have; one in sixteen needs parts.
fn body(topic: &str, sequence: u64) -> Vec<u8> {
    let length = if sequence % 16 == 5 {
        9_000
    } else {
        400 + usize::try_from(sequence % 300).unwrap_or(0)
    };
    format!("{topic} {sequence};").bytes().cycle().take(length).collect()
}

fn commit(topic: &str, sequence: u64) -> Commit {
    Commit {
        events: vec![Sealed {
            topic: topic.into(),
            sequence,
            id: format!("{topic}#{sequence}"),
            slot: SlotName::new("st10", "spindle-1"),
            kind: EventType::Tightening,
            body: body(topic, sequence),
        }],
        state: vec![StateChange {
            key: format!("t{topic}").into_bytes(),
            value: Some(sequence.to_string().into_bytes()),
        }],
    }
}

fn write(dir: &Path, commits: u64, seed: u64) -> Result<(), Box<dyn Error>> {
    let (mut outbox, _) = Outbox::open(dir, limits(), Clock::machine())?;
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for round in 0..commits {
        let mut group = Vec::new();
        let mut lines = Vec::new();
        for topic in 0..TOPICS {
            let topic = name(topic);
            let next = outbox
                .topics()
                .iter()
                .find(|state| *state.topic == *topic)
                .map_or(1, |state| state.next);
            let count = draw(if round % 50 < 25 { 12 } else { 3 });
            for sequence in next..next + count {
                group.push(commit(&topic, sequence));
            }
            if count > 0 {
                lines.push((topic, next + count - 1));
            }
        }
        say("try", &lines)?;
        outbox.append(&group)?;
        say("ack", &lines)?;
        // Backlogs grow and drain in turns, so that files become large and empty.
        if round % 50 >= 30 {
            for state in outbox.topics() {
                let through = (state.delivered + 40).min(state.next - 1);
                say("dlv", &[(state.topic.to_string(), through)])?;
                outbox.delivered(&state.topic, through)?;
            }
            for _ in 0..4 {
                outbox.tend(100)?;
            }
        }
    }
    say("rotations", &[("files".to_owned(), outbox.stats().rotations)])?;
    Ok(outbox.close()?)
}

fn say(word: &str, lines: &[(String, u64)]) -> io::Result<()> {
    let lines: Vec<String> = lines
        .iter()
        .map(|(topic, sequence)| format!("{word} {topic} {sequence}\n"))
        .collect();
    let text = lines.concat();
    // One write: it marks a moment in the trace.
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[derive(Default)]
struct Told {
    tried: u64,
    acknowledged: u64,
    delivered: u64,
}

fn verify(dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let [word, topic, sequence] = words[..] else { continue };
        let topic = told.entry(topic.to_owned()).or_default();
        match word {
            "try" => topic.tried = sequence.parse()?,
            "ack" => topic.acknowledged = sequence.parse()?,
            "dlv" => topic.delivered = sequence.parse()?,
            _ => {}
        }
    }
    told.remove("files");
    let (mut outbox, report) = Outbox::open(dir, limits(), Clock::machine())?;
    let any = told.values().any(|topic| topic.acknowledged > 0);
    if let Some(lost) = report.lost.filter(|_| any) {
        return Err(format!("the store was lost: {lost:?}").into());
    }
    for (topic, told) in &told {
        let state = report.topics.iter().find(|state| *state.topic == **topic);
        let (next, delivered) = state.map_or((1, 0), |state| (state.next, state.delivered));
        if next <= told.acknowledged {
            return Err(format!("{topic}: {} was acknowledged, {next} is next", told.acknowledged).into());
        }
        if delivered > told.delivered {
            return Err(format!("{topic}: delivered to {delivered}, told only {}", told.delivered).into());
        }
        if next > told.tried + 1 {
            return Err(format!("{topic}: {next} is next, {} was given", told.tried).into());
        }
        let mut expected = delivered + 1;
        for entry in outbox.read(topic, 0, usize::MAX, usize::MAX)? {
            match entry {
                Entry::Event(event) if event.sequence == expected && event.body == body(topic, expected) => {}
                other => return Err(format!("{topic}: {expected} is wrong: {}", describe(&other)).into()),
            }
            expected += 1;
        }
        if expected != next {
            return Err(format!("{topic}: the queue ends before {expected}, {next} is next").into());
        }
        let known = outbox.state(format!("t{topic}").as_bytes())?;
        let known = known.map_or(Ok(0), |value| String::from_utf8_lossy(&value).parse::<u64>())?;
        if known + 1 != next {
            return Err(format!("{topic}: state says {known}, {next} is next: half a commit").into());
        }
    }
    // It goes on.
    for topic in told.keys() {
        let next = outbox
            .topics()
            .iter()
            .find(|state| *state.topic == **topic)
            .map_or(1, |state| state.next);
        outbox.append(&[commit(topic, next)])?;
    }
    while outbox.tend(1_000)? {}
    Ok(outbox.close()?)
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Event(event) => format!("event {} with {} bytes", event.sequence, event.body.len()),
        Entry::Damaged { from, to } => format!("damaged {from} to {to}"),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["write", dir, commits, seed] => commits
            .parse()
            .and_then(|commits| seed.parse().map(|seed| (commits, seed)))
            .map_err(Into::into)
            .and_then(|(commits, seed)| write(Path::new(dir), commits, seed)),
        ["verify", dir] => verify(Path::new(dir)),
        _ => Err("write DIR COMMITS SEED | verify DIR".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reason is for whoever reads the run's output.
            writeln!(io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}
