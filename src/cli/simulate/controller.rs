//! A virtual torque controller that speaks Open Protocol: results, identifiers and alarms, and a memory of what it made.
//!
//! Owns which values a result has. Does not own the protocol ([`crate::device::open_protocol::simulator`]).

use super::faults::{Fault, Faults};
use super::{Arguments, Serving, Virtual, cannot, describe, is_port, served, stage};
use crate::clock::Clock;
use crate::device::open_protocol::simulator::{Config, Fault as Spoilt, Simulator};
use crate::model::plan::{Acknowledge, OpenProtocolLink, Recover, ResultSource, TelegramTransport};
use crate::model::{Decimal, Raw, SlotName, time};
use crate::profile::Profile;
use crate::wire::open_protocol::{decode, fields};
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What can go wrong with a telegram, and with the start of a session.
const FAULTS: &[&str] = &[
    "drop",
    "delay",
    "close",
    "short",
    "garbage",
    "duplicate",
    "garble",
    "refuse",
];
/// Revisions of MID 0001 that are known.
const STARTS: std::ops::RangeInclusive<u16> = 1..=7;
/// The station of which other results are, of a controller with several.
const ELSEWHERE: i64 = 2;

/// The device.
struct Controller {
    simulator: Simulator,
    clock: Clock,
    faults: Faults,
    /// What its results say where nothing else is drawn.
    base: BTreeMap<String, Raw>,
    pinned: BTreeMap<String, Raw>,
    nok_rate: f64,
    /// Ids are of the whole controller: others' results come between.
    several: bool,
    made: u64,
}

pub(super) async fn simulate(
    arguments: &Arguments,
    profile: Profile,
    link: OpenProtocolLink,
    every: Option<Duration>,
) -> Result<(), String> {
    arguments.fault.only(profile.protocol(), FAULTS)?;
    let plan = profile.plan(&SlotName::new("no-station", "no-slot"));
    let base = base(&profile);
    let config = config(arguments, &link, &base);
    let (simulator, at, serving) = listen(arguments, &link, config).await?;
    let what = match link.results {
        ResultSource::Last => ", MID 0061",
        ResultSource::Multi => ", MID 0101",
        ResultSource::Variable => ", MID 1201",
    };
    let introduced = describe(&profile, &plan, &at, what);
    let mut device = Controller {
        simulator,
        clock: Clock::machine(),
        faults: arguments.fault.clone(),
        base,
        pinned: BTreeMap::new(),
        nok_rate: arguments.nok_rate,
        several: link.recover == Recover::WalkBack,
        made: 0,
    };
    stage(arguments, &mut device, every, &introduced, serving).await
}

/// What the results of the profile's examples say: of the first that is a good one, else of the first.
fn base(profile: &Profile) -> BTreeMap<String, Raw> {
    let mut found: Option<BTreeMap<String, Raw>> = None;
    for telegram in profile.start_telegrams() {
        if !matches!(telegram.mid(), 61 | 65 | 1201 | 1202) {
            continue;
        }
        let Ok(decoded) = decode(&telegram) else { continue };
        let fields: BTreeMap<String, Raw> = decoded
            .fields
            .into_iter()
            .map(|field| (field.name.into_owned(), field.value))
            .collect();
        let good = fields.get("tightening_status") == Some(&Raw::Text("ok".to_owned()));
        if good || found.is_none() {
            found = Some(fields);
        }
        if good {
            break;
        }
    }
    let mut base = found.unwrap_or_default();
    // Each result has its own.
    for own in [
        "tightening_id",
        "result_id",
        "time_stamp",
        "errors",
        "error_texts",
        "tightening_error_status",
    ] {
        base.remove(own);
    }
    let number = |text: &str| Raw::Dec(text.parse().unwrap_or(Decimal::ZERO));
    // What a profile maps should not be blank because no example says it.
    for (name, value) in [
        ("vin_number", Raw::Text("WVWZZZ1JZXW000001".to_owned())),
        ("parameter_set_number", Raw::Int(1)),
        ("batch_size", Raw::Int(4)),
        ("batch_counter", Raw::Int(1)),
        ("torque_min_limit", number("10.8")),
        ("torque_max_limit", number("13.2")),
        ("torque_final_target", number("12")),
        ("angle_min", Raw::Int(40)),
        ("angle_max", Raw::Int(60)),
        ("final_angle_target", Raw::Int(50)),
        ("rundown_angle", Raw::Int(720)),
        ("tool_serial_number", Raw::Text("SIM-T1".to_owned())),
        (
            "last_change_of_parameter_set",
            Raw::Text("2026-01-01:08:00:00".to_owned()),
        ),
    ] {
        base.entry(name.to_owned()).or_insert(value);
    }
    base
}

fn config(arguments: &Arguments, link: &OpenProtocolLink, base: &BTreeMap<String, Raw>) -> Config {
    let refused = &arguments.fault.refused;
    let mut revisions = BTreeMap::new();
    if !refused.is_empty() {
        let taken: BTreeSet<u16> = STARTS.filter(|revision| !refused.contains(revision)).collect();
        revisions.insert(1, taken);
    }
    let text = |text: &str| Raw::Text(text.to_owned());
    let mut fields = base.clone();
    for (name, value) in [
        ("controller_name", text("lineside simulate")),
        ("controller_serial_number", text("SIM-1")),
        ("supplier_code", text("SIM")),
        ("station_name", text("Simulated")),
    ] {
        fields.entry(name.to_owned()).or_insert(value);
    }
    Config {
        revisions,
        closes_on_refusal: arguments.fault.closes,
        link_layer: link.acknowledge == Acknowledge::Link,
        walk_back: link.recover == Recover::WalkBack,
        variable: link.results == ResultSource::Variable,
        fields,
        ..Config::default()
    }
}

/// Takes its place. Where, and what serves.
async fn listen(
    arguments: &Arguments,
    link: &OpenProtocolLink,
    config: Config,
) -> Result<(Simulator, String, Serving), String> {
    let at = arguments.listen.as_str();
    if link.transport == TelegramTransport::Tcp {
        let bound = Simulator::bind(at, config).await;
        let (simulator, local, serve) = bound.map_err(|fault| cannot(at, &fault))?;
        return Ok((simulator, local.to_string(), served(serve)));
    }
    is_port(at)?;
    let simulator = Simulator::new(config);
    let serve = simulator.serve_port(at, &link.transport).await?;
    let path = at.to_owned();
    let serving = async move {
        serve.await;
        Err(format!("{path} is gone"))
    };
    Ok((simulator, at.to_owned(), Box::pin(serving)))
}

fn spoilt(fault: &Fault) -> Option<Spoilt> {
    match fault {
        Fault::Drop => Some(Spoilt::Drop),
        Fault::Delay(by) => Some(Spoilt::Delay(*by)),
        Fault::Close | Fault::Short => Some(Spoilt::Cut),
        Fault::Garbage => Some(Spoilt::Noise(vec![0x55, 0xFF, 0x00, 0x13])),
        Fault::Duplicate => Some(Spoilt::Duplicate),
        Fault::Garble => Some(Spoilt::Garble),
        Fault::Exception(_) => None,
    }
}

impl Controller {
    fn number(&self, name: &str) -> Option<f64> {
        let raw = self.pinned.get(name).or_else(|| self.base.get(name))?;
        raw.number().map(Decimal::to_f64)
    }

    /// The values of a result, and the words for it.
    fn values(&self, good: bool) -> (BTreeMap<String, Raw>, String) {
        let mut rng = rand::rng();
        let (low, high) = match (self.number("torque_min_limit"), self.number("torque_max_limit")) {
            (Some(low), Some(high)) if low < high => (low, high),
            _ => {
                let near = self.number("torque").filter(|torque| *torque > 0.0).unwrap_or(12.0);
                (near * 0.9, near * 1.1)
            }
        };
        let (first, last) = match (self.number("angle_min"), self.number("angle_max")) {
            (Some(first), Some(last)) if first < last => (first, last),
            _ => (40.0, 60.0),
        };
        let torque = if good {
            rng.random_range(low..high)
        } else {
            high * rng.random_range(1.05..1.2)
        };
        let angle = rng.random_range(first..last).round();
        let decimal = |number: f64, decimals: usize| {
            let text = format!("{number:.decimals$}");
            Raw::Dec(text.parse().unwrap_or(Decimal::ZERO))
        };
        let text = |text: &str| Raw::Text(text.to_owned());
        let word = if good { "ok" } else { "nok" };
        let stamp = time::rfc3339(self.clock.now().wall);
        let stamp = stamp.get(..19).unwrap_or_default().replace('T', ":");
        let mut values = self.base.clone();
        for (name, value) in [
            ("torque", decimal(torque, 2)),
            ("angle", decimal(angle, 0)),
            ("tightening_status", text(word)),
            ("torque_status", text(if good { "ok" } else { "high" })),
            ("angle_status", text("ok")),
            ("rundown_angle_status", text("ok")),
            ("time_stamp", text(&stamp)),
            ("tightening_error_status", Raw::Int(if good { 0 } else { 4 })),
        ] {
            values.insert(name.to_owned(), value);
        }
        values.extend(self.pinned.clone());
        let said = |name: &str| values.get(name).map(Raw::text).unwrap_or_default();
        let words = format!(
            "{}, torque {} N.m, angle {} deg",
            said("tightening_status"),
            said("torque"),
            said("angle")
        );
        (values, words)
    }
}

impl Virtual for Controller {
    async fn scan(&mut self, _scans: u64) -> Vec<String> {
        Vec::new()
    }

    async fn next(&mut self, verdict: Option<bool>, _all: bool) -> Vec<String> {
        let good = verdict.unwrap_or_else(|| !rand::rng().random_bool(self.nok_rate));
        let mut lines = Vec::new();
        if self.several && rand::rng().random_ratio(1, 3) {
            let id = self.simulator.tighten_elsewhere(ELSEWHERE);
            lines.push(format!("result {id} of another station"));
        }
        if let Some(fault) = self.faults.draw().as_ref().and_then(spoilt) {
            lines.push(format!("the next telegram goes wrong: {fault:?}"));
            self.simulator.fail([fault]);
        }
        let (values, words) = self.values(good);
        let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let id = self.simulator.tighten(values);
        self.made += 1;
        lines.push(format!("result {id} {words}"));
        lines
    }

    async fn reboot(&mut self) -> String {
        self.simulator.cut();
        "restarted: connections cut, its memory kept".to_owned()
    }

    fn set(&mut self, name: &str, text: &str) -> Result<String, String> {
        let Some(info) = fields::info(name) else {
            let known: Vec<&str> = fields::FIELDS.iter().map(|field| field.name).collect();
            let help = crate::diagnostic::meant(name, &known).filter(|help| help.starts_with("did you mean"));
            let help = help.unwrap_or_else(|| "`lineside profile fields open-protocol` lists them".to_owned());
            return Err(format!("no telegram has a field `{name}`: {help}"));
        };
        let raw = match info.kind {
            fields::FieldKind::Integer | fields::FieldKind::Number => {
                let number = text
                    .parse()
                    .map_err(|_| format!("`{name}` is a number, not `{text}`"))?;
                Raw::Dec(number)
            }
            fields::FieldKind::Word(words) if !words.contains(&text) => {
                return Err(format!("`{name}` is one of {}, not `{text}`", words.join(", ")));
            }
            fields::FieldKind::Bool => Raw::Bool(matches!(text, "true" | "on" | "1")),
            _ => Raw::Text(text.to_owned()),
        };
        let told = format!("{name} is {} from now on", raw.text());
        self.simulator.configure(|config| {
            config.fields.insert(name.to_owned(), raw.clone());
        });
        self.pinned.insert(name.to_owned(), raw);
        Ok(told)
    }

    fn show(&self) -> String {
        let mut all = self.base.clone();
        all.extend(self.pinned.clone());
        let line = |(name, value): (&String, &Raw)| format!("  {name:<36} {}", value.text());
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn summary(&self) -> String {
        format!(
            "{} results made, {} telegrams acknowledged, {} connections",
            self.made,
            self.simulator.acknowledged().len(),
            self.simulator.connections()
        )
    }

    async fn typed(&mut self, words: &[&str]) -> Option<Vec<String>> {
        Some(match words {
            ["identify", text @ ..] if !text.is_empty() => {
                let text = text.join(" ");
                self.simulator.identify(&text);
                self.pinned.insert("vin_number".to_owned(), Raw::Text(text.clone()));
                vec![format!("identifier {text}")]
            }
            ["alarm", code, rest @ ..] => {
                let active = !matches!(rest, ["off"]);
                let code = Raw::Text((*code).to_owned());
                self.simulator.alarm([("error_code", code)], active);
                vec![format!("alarm {}", if active { "comes" } else { "goes" })]
            }
            ["reset-ids"] => {
                self.simulator.reset_ids(1);
                vec!["ids begin with 1 again, its memory is empty".to_owned()]
            }
            _ => return None,
        })
    }

    fn words(&self) -> &'static str {
        "identify CODE, alarm CODE [off], reset-ids,"
    }
}
