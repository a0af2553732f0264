//! A virtual device that says frames: the like of its profile's examples, with new values, counts and times in them.
//!
//! Owns which frame comes next and what is in it. Does not own how it is framed ([`crate::wire::framed`]) nor lines and
//! connections ([`crate::device::framed::simulator`]).

use super::faults::{Fault, Faults};
use super::{Arguments, Serving, Virtual, cannot, describe, is_port, served, stage};
use crate::cli::probe::render::event_line;
use crate::clock::Clock;
use crate::device::framed::simulator::{Fault as Spoilt, Simulator};
use crate::model::plan::{Address, ByteTransport, FramePlace, FramedLink, PointIx, SlotPlan};
use crate::model::{Raw, Sample};
use crate::profile::{Meaning, Profile, SlotContract, show};
use crate::replay::nobody;
use crate::watch::frames::FrameWatch;
use crate::wire::escaped;
use crate::wire::framed::{Framed, Framer, Parser, encode};
use rand::Rng;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often a frame is said that waits for an answer.
const INSISTS: Duration = Duration::from_secs(1);
/// How long a device that connects itself waits before it tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// What can go wrong with a frame.
const FAULTS: &[&str] = &["drop", "delay", "close", "short", "garbage", "duplicate", "garble"];

/// A frame to make others of.
struct Template {
    content: String,
    /// What it says of the result, where it says that.
    good: Option<bool>,
}

/// The device.
struct Frames {
    profile: Profile,
    contract: SlotContract,
    plan: Arc<SlotPlan>,
    link: FramedLink,
    parser: Parser,
    watch: FrameWatch,
    simulator: Simulator,
    clock: Clock,
    faults: Faults,
    templates: Vec<Template>,
    turn: usize,
    pinned: BTreeMap<PointIx, String>,
    counts: BTreeMap<PointIx, i64>,
    nok_rate: f64,
    goes_on: bool,
    /// What a device that is asked says when it is asked.
    current: Arc<Mutex<Vec<u8>>>,
    /// Frames that wait for their answer.
    insists: JoinSet<u32>,
    made: u64,
    answered: u64,
}

pub(super) async fn simulate(
    arguments: &Arguments,
    profile: Profile,
    link: FramedLink,
    every: Option<Duration>,
) -> Result<(), String> {
    arguments.fault.only(profile.protocol(), FAULTS)?;
    let (simulator, at, serving) = listen(arguments, &link).await?;
    let mut device = Frames::new(arguments, profile, link, simulator)?;
    let more = match (&device.link.poll, &device.link.reply) {
        (Some(_), _) => ", when it is asked",
        (None, Some(_)) => ", each until it is answered",
        (None, None) => "",
    };
    let introduced = describe(&device.profile, &device.plan, &at, more);
    device.answer_polls();
    stage(arguments, &mut device, every, &introduced, serving).await
}

/// Takes its place on the line. Where, and what serves.
async fn listen(arguments: &Arguments, link: &FramedLink) -> Result<(Simulator, String, Serving), String> {
    let at = arguments.listen.as_str();
    match &link.transport {
        ByteTransport::Serial(settings) => {
            is_port(at)?;
            let simulator = Simulator::new();
            let serve = simulator.serve_port(at, settings).await?;
            let path = at.to_owned();
            let serving = async move {
                match serve.await {
                    Ok(()) => Err(format!("{path} is gone")),
                    Err(fault) => Err(format!("{path}: {fault}")),
                }
            };
            Ok((simulator, at.to_owned(), Box::pin(serving)))
        }
        ByteTransport::TcpClient => {
            let (simulator, local, serve) = Simulator::bind(at).await.map_err(|fault| cannot(at, &fault))?;
            Ok((simulator, local.to_string(), served(serve)))
        }
        // The gateway listens: here --listen says where.
        ByteTransport::TcpServer => {
            let simulator = Simulator::new();
            let (again, address) = (simulator.clone(), at.to_owned());
            let serving = async move {
                loop {
                    if let Ok(line) = again.connect(&address).await {
                        // A connection that breaks is made again.
                        drop(line.await);
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            };
            Ok((simulator, format!("{at}, where it connects to,"), served(serving)))
        }
    }
}

impl Frames {
    fn new(arguments: &Arguments, profile: Profile, link: FramedLink, simulator: Simulator) -> Result<Self, String> {
        let contract = nobody(&profile);
        let plan = Arc::new(profile.plan(&contract.slot));
        let mut device = Self {
            parser: Parser::new(&link.parse)?,
            watch: FrameWatch::new(plan.clone(), &link.parse, &HashMap::new())?,
            contract,
            plan,
            link,
            simulator,
            clock: Clock::machine(),
            faults: arguments.fault.clone(),
            templates: Vec::new(),
            turn: 0,
            pinned: BTreeMap::new(),
            counts: BTreeMap::new(),
            nok_rate: arguments.nok_rate,
            goes_on: arguments.no_wait,
            current: Arc::default(),
            insists: JoinSet::new(),
            made: 0,
            answered: 0,
            profile,
        };
        for whole in device.profile.start_frames() {
            device.add_template(&whole);
        }
        if device.templates.is_empty() {
            return Err(
                "this profile has no example with a frame that leads to an event: a virtual device says the like of its examples; add \
                 [[example]] with given = { frame = \"…\" }"
                    .to_owned(),
            );
        }
        Ok(device)
    }

    /// Takes a frame of an example that leads to an event.
    fn add_template(&mut self, whole: &[u8]) {
        let mut framer = Framer::new(self.link.frame.clone());
        let mut found = framer.push(0, whole);
        found.extend(framer.close());
        for framed in found {
            let Framed::Frame {
                content, fault: None, ..
            } = framed
            else {
                continue;
            };
            let Ok(content) = String::from_utf8(content) else {
                continue;
            };
            let said = self.said(content.as_bytes());
            if said.is_empty() || said.iter().any(|json| json.get("reasons").is_some()) {
                continue;
            }
            let result = said.iter().find_map(|json| json.get("result")?.as_str());
            let good = result.map(|word| word == "ok");
            if !self.templates.iter().any(|template| template.content == content) {
                self.templates.push(Template { content, good });
            }
        }
    }

    /// The events that a frame leads to.
    fn said(&mut self, content: &[u8]) -> Vec<Json> {
        let whole = encode(&self.link.frame, content);
        let now = self.clock.now();
        let heard = self.watch.hear(now, content, &whole, None);
        let mut said = Vec::new();
        for event in heard.events {
            let sample = Sample {
                faults: event.faults,
                ..Sample::picture(&self.plan, event.event, event.values, event.before, now)
            };
            for meaning in self.profile.drafts(&self.contract, &sample) {
                if let Meaning::Draft(draft) = meaning {
                    said.push(show(&draft));
                }
            }
        }
        said
    }

    /// A device that is asked says what it last made.
    fn answer_polls(&mut self) {
        let Some(poll) = self.link.poll.clone() else { return };
        let template = self.templates.first().map(|template| template.content.clone());
        let first = encode(&self.link.frame, template.unwrap_or_default().as_bytes());
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = first;
        let current = self.current.clone();
        self.simulator.on_bytes(move |bytes| {
            let asked = bytes.windows(poll.send.len().max(1)).any(|window| window == poll.send);
            asked.then(|| current.lock().unwrap_or_else(PoisonError::into_inner).clone())
        });
    }

    /// The next frame: an example's, with new values in it.
    fn make(&mut self, good: bool) -> String {
        let wanted: Vec<usize> = (0..self.templates.len())
            .filter(|at| {
                let template = self.templates.get(*at);
                template.is_some_and(|template| template.good.is_none_or(|is| is == good))
            })
            .collect();
        self.turn += 1;
        let at = wanted
            .get(self.turn % wanted.len().max(1))
            .copied()
            .unwrap_or(self.turn % self.templates.len().max(1));
        let mut content = self
            .templates
            .get(at)
            .map(|template| template.content.clone())
            .unwrap_or_default();
        let wall = self.clock.now().wall;
        for event in 0..self.plan.events.len() {
            let of = self.profile.rehearsal(event);
            for measured in &of.measures {
                self.edit(&mut content, measured.value, vary);
            }
            for (point, text) in self.profile.clock(event, wall) {
                self.edit(&mut content, point, |old| fit(old, &text));
            }
            // What is counted without being a counter of the profile: a number in the id that is no time.
            let ids = self.plan.events.get(event).map(|event| event.id.clone());
            let ids = ids.unwrap_or_default().into_iter().rev();
            let mut ids = ids.filter(|point| !of.stamps.contains(point));
            let number = ids.next().map(|point| (point, 1, None));
            if let Some((point, first, last)) = of.counter.or(number) {
                let count = self.counts.get(&point).map_or(first, |count| count + 1);
                let count = if last.is_some_and(|last| count > last) {
                    first
                } else {
                    count
                };
                self.counts.insert(point, count);
                self.edit(&mut content, point, |old| counted(old, count));
            }
        }
        for (point, text) in &self.pinned {
            self.put(&mut content, *point, |old| fit(old, text));
        }
        content
    }

    /// Changes a point that is not pinned.
    fn edit(&self, content: &mut String, point: PointIx, new: impl FnOnce(&str) -> String) {
        if !self.pinned.contains_key(&point) {
            self.put(content, point, new);
        }
    }

    fn put(&self, content: &mut String, point: PointIx, new: impl FnOnce(&str) -> String) {
        let Some(Address::Frame(at)) = self.plan.points.get(point).map(|point| &point.at) else {
            return;
        };
        let fixed = matches!(at.place, FramePlace::Columns(..));
        let Some(span) = self.parser.span(&at.place, self.link.frame.start.len(), content) else {
            return;
        };
        let old = content.get(span.clone()).unwrap_or_default();
        let text = new(old);
        // Columns stay where they are.
        if !fixed || text.len() == old.len() {
            content.replace_range(span, &text);
        }
    }

    /// Says a frame; lines to print.
    async fn say(&mut self, content: &str) -> Vec<String> {
        let whole = encode(&self.link.frame, content.as_bytes());
        let mut lines: Vec<String> = self.said(content.as_bytes()).iter().map(event_line).collect();
        if lines.is_empty() {
            lines.push(format!("no event: {}", escaped(&whole)));
        }
        self.made += 1;
        if self.link.poll.is_some() {
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = whole;
            return lines;
        }
        if let Some(fault) = self.faults.draw().as_ref().and_then(spoilt) {
            lines.push(format!("and this goes wrong: {fault:?}"));
            self.simulator.fail([fault]);
        }
        if let (Some(reply), false) = (self.link.reply.clone(), self.goes_on) {
            let simulator = self.simulator.clone();
            self.insists
                .spawn(async move { simulator.insist(&whole, &reply, INSISTS).await });
        } else if self.simulator.send(&whole).await == 0 {
            lines.push("nobody is connected: it is lost".to_owned());
        }
        lines
    }
}

fn spoilt(fault: &Fault) -> Option<Spoilt> {
    match fault {
        Fault::Drop => Some(Spoilt::Drop),
        Fault::Delay(by) => Some(Spoilt::Delay(*by)),
        Fault::Close => Some(Spoilt::Restart),
        Fault::Short => Some(Spoilt::Half),
        Fault::Garbage => Some(Spoilt::Noise(vec![0x55, 0xFF, 0x00, 0x13])),
        Fault::Duplicate => Some(Spoilt::Duplicate),
        Fault::Garble => Some(Spoilt::Garble),
        Fault::Exception(_) => None,
    }
}

/// Another number near this one, written alike.
fn vary(text: &str) -> String {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let Ok(number) = digits.parse::<f64>() else {
        return text.to_owned();
    };
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let near = number * (1.0 + rand::rng().random_range(-0.01..0.01));
    let mut said = format!("{near:.decimals$}");
    if digits.starts_with('+') && !said.starts_with('-') {
        said.insert(0, '+');
    }
    fit(text, &said)
}

/// The number `count` where a number stood; it begins again where it does not fit.
fn counted(old: &str, count: i64) -> String {
    let width = old.trim().len();
    if width == 0 || !old.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return old.to_owned();
    }
    let all = u32::try_from(width)
        .ok()
        .and_then(|width| 10_i64.checked_pow(width))
        .unwrap_or(i64::MAX);
    fit(old, &format!("{:0width$}", count.rem_euclid(all)))
}

/// `new` in the width and with the filling of `old`.
fn fit(old: &str, new: &str) -> String {
    let (sign, digits) = match new.strip_prefix(['+', '-']) {
        Some(digits) => (new.get(..1).unwrap_or_default(), digits),
        None => ("", new),
    };
    let unsigned = old.trim_start_matches(['+', '-']);
    let signed = unsigned.len() < old.len();
    let zeros = signed || unsigned.starts_with('0') && unsigned.len() > 1 && !unsigned.starts_with("0.");
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit());
    if zeros && numeric {
        let width = old.len().saturating_sub(sign.len());
        return format!("{sign}{digits:0>width$}");
    }
    let width = old.len();
    if old.ends_with(' ') && !old.starts_with(' ') {
        return format!("{new:<width$}");
    }
    if old.starts_with(' ') || numeric {
        return format!("{new:>width$}");
    }
    new.to_owned()
}

impl Virtual for Frames {
    async fn scan(&mut self, _scans: u64) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(answered) = self.insists.try_join_next() {
            self.answered += 1;
            if let Ok(times @ 2..) = answered {
                said.push(format!("answered the {times}. time it was said"));
            }
        }
        said
    }

    async fn next(&mut self, verdict: Option<bool>, _all: bool) -> Vec<String> {
        if !self.insists.is_empty() {
            return vec!["waits: the last frame is not answered (--no-wait goes on)".to_owned()];
        }
        let good = verdict.unwrap_or_else(|| !rand::rng().random_bool(self.nok_rate));
        let content = self.make(good);
        self.say(&content).await
    }

    async fn reboot(&mut self) -> String {
        self.simulator.cut();
        self.insists.abort_all();
        self.counts.clear();
        "restarted: connections cut, counters as at the start".to_owned()
    }

    fn set(&mut self, name: &str, text: &str) -> Result<String, String> {
        let Some(point) = self.plan.points.iter().position(|point| *point.name == *name) else {
            let known: Vec<&str> = self.plan.points.iter().map(|point| &*point.name).collect();
            let help = crate::diagnostic::meant(name, &known).unwrap_or_default();
            return Err(format!("there is no point `{name}`: {help}"));
        };
        let has = |template: &Template| match self.plan.points.get(point).map(|point| &point.at) {
            Some(Address::Frame(at)) => {
                let start = self.link.frame.start.len();
                self.parser.span(&at.place, start, &template.content).is_some()
            }
            _ => false,
        };
        if !self.templates.iter().any(has) {
            return Err(format!("`{name}` is not one place in the frame: `send TEXT` sends any"));
        }
        // A word of its map stands for its code.
        let raw = self.profile.codes(point).into_iter().find(|(word, _)| word == text);
        let text = raw.map_or_else(|| text.to_owned(), |(_, raw): (String, Raw)| raw.text());
        self.pinned.insert(point, text.clone());
        Ok(format!("{name} is `{text}` from now on"))
    }

    fn show(&self) -> String {
        let template = |template: &Template| format!("  {}", escaped(template.content.as_bytes()));
        let mut lines: Vec<String> = self.templates.iter().map(template).collect();
        lines.insert(0, "it says the like of:".to_owned());
        for (point, text) in &self.pinned {
            let name = self.plan.points.get(*point).map_or("", |point| &*point.name);
            lines.push(format!("  {name} is `{text}`"));
        }
        lines.join("\n")
    }

    fn summary(&self) -> String {
        match self.link.reply {
            Some(_) => format!("{} frames made, {} answered", self.made, self.answered),
            None => format!("{} frames made", self.made),
        }
    }

    async fn typed(&mut self, words: &[&str]) -> Option<Vec<String>> {
        match words {
            ["send", text @ ..] if !text.is_empty() => Some(self.say(&text.join(" ")).await),
            _ => None,
        }
    }

    fn words(&self) -> &'static str {
        "send TEXT,"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_stands_as_the_old_stood() {
        assert_eq!(fit("0041", "42"), "0042");
        assert_eq!(fit("  12.34", "9.5"), "    9.5");
        assert_eq!(fit("+000012.34", "+9.50"), "+000009.50");
        assert_eq!(fit("WVW  ", "AB"), "AB   ");
        assert_eq!(fit("ABC", "WXYZ"), "WXYZ");
        assert_eq!(fit("0.234", "1.5"), "  1.5");
    }

    #[test]
    fn a_count_stays_in_its_place() {
        assert_eq!(counted("001", 42), "042");
        assert_eq!(counted("999", 1_001), "001");
        assert_eq!(counted("AB-1", 7), "AB-1");
    }

    #[test]
    fn a_varied_number_keeps_its_decimals_and_width() {
        for _ in 0..50 {
            let said = vary("+100.0");
            assert!(said.len() == 6 && said.starts_with('+'), "{said}");
            let near: f64 = said.parse().unwrap();
            assert!((99.0..=101.0).contains(&near), "{said}");
            assert_eq!(vary("  12.34").len(), 7);
        }
        assert_eq!(vary("------"), "------");
    }
}
