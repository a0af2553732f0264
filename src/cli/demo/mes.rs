//! The demo's MES: moves units from station to station, consumes the event stream as docs/mes-guide.md says, and
//! keeps count of what it got.

use crate::model::Plant;
use crate::mqtt::consumer::{Message, Voice};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the MES got, by `slot/type`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Received {
    /// Events, each counted once by its id.
    pub(super) events: BTreeMap<String, u64>,
    /// Ids that came again.
    pub(super) duplicated: u64,
    /// Numbers that were left out of a sequence.
    pub(super) holes: u64,
    /// Events whose unit was not known.
    pub(super) unbound: u64,
    /// Events in quarantine, and gaps.
    pub(super) odd: u64,
}

/// Consumes events.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    received: Received,
    ids: HashSet<String>,
    highest: HashMap<(String, String), u64>,
}

impl Ledger {
    pub(super) const fn received(&self) -> &Received {
        &self.received
    }

    /// Takes one message; returns the line that a person reads, `None` where it is no new event.
    pub(super) fn take(&mut self, message: &Message) -> Option<String> {
        let event: Value = serde_json::from_slice(&message.payload).ok()?;
        let id = event["id"].as_str()?.to_owned();
        let mut levels = message.topic.rsplit('/');
        let (kind, slot, station) = (levels.next()?, levels.next()?, levels.next()?);
        if !self.ids.insert(id) {
            self.received.duplicated += 1;
            return None;
        }
        if let (Some(stream), Some(sequence)) = (event["stream"].as_str(), event["sequence"].as_str()) {
            let sequence: u64 = sequence.parse().ok()?;
            let highest = self
                .highest
                .entry((message.topic.clone(), stream.to_owned()))
                .or_insert(0);
            self.received.holes += sequence.saturating_sub(*highest).saturating_sub(1);
            *highest = sequence.max(*highest);
        }
        let data = &event["data"];
        if matches!(kind, "quarantine" | "gap") {
            self.received.odd += 1;
        } else if data["unit"]["state"] == "unbound" {
            self.received.unbound += 1;
        }
        *self.received.events.entry(format!("{slot}/{kind}")).or_insert(0) += 1;
        let place = format!("{station}.{slot}");
        let time = event["time"].as_str().and_then(|time| time.get(11..23)).unwrap_or("");
        let unit = data["unit"]["id"].as_str().unwrap_or("-");
        let state = data["unit"]["state"].as_str().unwrap_or("-");
        Some(format!(
            "{time:<12}  {place:<14} {kind:<11} {unit:<17} {state:<8} {}",
            told(kind, data)
        ))
    }
}

/// The heading over the lines of [`Ledger::take`].
pub(super) fn heading() -> String {
    format!(
        "{:<12}  {:<14} {:<11} {:<17} {:<8} what happened",
        "time (UTC)", "slot", "event", "unit", "is"
    )
}

fn told(kind: &str, data: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let measure = |value: &Value| format!("{} {}", text(&value["value"]), text(&value["uom"]));
    match kind {
        "tightening" => format!(
            "{} {} at {}, program {}, result {}",
            text(&data["result"]),
            measure(&data["torque"]),
            measure(&data["angle"]),
            text(&data["program"]["id"]),
            text(&data["result_id"]),
        ),
        "alarm" => format!(
            "{} {}",
            text(&data["code"]),
            if data["active"] == true { "came" } else { "went" }
        ),
        "cycle" => format!(
            "{} {} in {} s",
            text(&data["phase"]),
            text(&data["count"]),
            text(&data["duration_s"])
        ),
        "state" => text(&data["state"]),
        "identification" => format!("{} ({})", text(&data["code"]), text(&data["symbology"])),
        "readings" => data["values"].to_string(),
        "quarantine" => data["reasons"].to_string(),
        _ => data.to_string(),
    }
}

/// Moves a new unit into the station every `every`, until `stop`. The device learns of it through `here`, as an
/// operator's scan would tell it.
pub(super) async fn move_units(
    voice: Voice,
    plant: Plant,
    station: String,
    every: Duration,
    here: watch::Sender<String>,
    stop: CancellationToken,
) {
    let mut beat = tokio::time::interval(every);
    for number in 1_u32.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beat.tick() => {}
        }
        let unit = format!("WVWZZZ1JZXW{number:06}");
        let payload = json!({"id": unit, "order": format!("WO-{}", 88 + number / 4), "operation": "OP-120"});
        if !voice.retain(&plant.unit_topic(&station), payload.to_string()).await {
            return;
        }
        here.send_replace(unit);
    }
}
