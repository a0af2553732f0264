//! gateway.toml: the plant, the broker, the stations and slots.
//!
//! Owns which keys there are, their defaults and what is wrong with them, all faults at once. Connects to
//! nothing and opens nothing but what it is handed. Does not own device files ([`crate::profile`]).

pub mod secret;

mod read;
#[cfg(test)]
mod tests;

use crate::diagnostic::Place;
use crate::model::{EventType, Plant, SlotName, Uom};
use regex::Regex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use read::{read, slots_anyway};

/// gateway.toml, checked: the rest of the program may rely on it.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[gateway]`.
    pub gateway: Gateway,
    /// `[plant]`, with the topic prefix of `[mqtt]`.
    pub plant: Plant,
    /// `[mqtt]`.
    pub mqtt: Mqtt,
    /// `[outbox]`.
    pub outbox: Outbox,
    /// `[[station]]`, in the order of the file.
    pub stations: Vec<Station>,
}

impl Config {
    /// Every slot with its station, in the order of the file.
    pub fn slots(&self) -> impl Iterator<Item = (&Station, &Slot)> {
        self.stations
            .iter()
            .flat_map(|station| station.slots.iter().map(move |slot| (station, slot)))
    }
}

/// `[gateway]`.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Its id, part of its status topic.
    pub id: String,
    /// Where the store and the control socket are.
    pub state_dir: PathBuf,
    /// The folder of device files and catalog.
    pub profiles: PathBuf,
    /// Where the status page listens; `None`: off.
    pub web: Option<Web>,
    /// Device files must be approved.
    pub require_lock: bool,
}

/// The status page's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// `host:port`.
    pub listen: std::net::SocketAddr,
    /// Token for whatever changes the gateway.
    pub token_file: Option<PathBuf>,
    /// Certificate and key, beyond loopback.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// `[mqtt]`.
#[derive(Debug, Clone)]
pub struct Mqtt {
    /// Host name or address.
    pub host: String,
    /// Port; 1883 or 8883 by the scheme where none is written.
    pub port: u16,
    /// `mqtts://`.
    pub tls: bool,
    /// Protocol version.
    pub version: MqttVersion,
    /// Client id.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// The file that the password is in.
    pub password_file: Option<PathBuf>,
    /// Authorities to trust instead of none.
    pub ca_file: Option<PathBuf>,
    /// Certificate and key of this gateway.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Unacknowledged publishes at most, 1 to 65535.
    pub inflight: u16,
    /// An event that nobody is subscribed to is not delivered.
    pub require_subscriber: bool,
    /// Where the files are named, by key, for what is found in them.
    pub places: Vec<(&'static str, Place)>,
}

impl Mqtt {
    /// Where `key` stands; without it `[mqtt]` itself, which comes last.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&Place> {
        let named = self.places.iter().find(|(name, _)| *name == key);
        named.or(self.places.last()).map(|(_, place)| place)
    }
}

/// MQTT protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 5.
    V5,
    /// 3.1.1.
    V311,
}

/// `[outbox]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    /// Bytes of waiting events at most.
    pub max_bytes: u64,
    /// What happens then.
    pub when_full: WhenFull,
    /// Older events are dropped; only with `drop_oldest`.
    pub max_age: Option<Duration>,
    /// Bytes of delivered events that are kept.
    pub keep_sent: u64,
}

/// What happens when the outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Devices are not acknowledged any more.
    Hold,
    /// The oldest go, told by a gap.
    DropOldest,
}

/// `[[station]]`.
#[derive(Debug, Clone)]
pub struct Station {
    /// Its id.
    pub id: Arc<str>,
    /// Who may say which unit is here, the most trusted first.
    pub unit_from: Vec<UnitFrom>,
    /// What looks like a unit.
    pub unit_pattern: Option<Regex>,
    /// How long after a unit left an event still binds to it.
    pub late: Duration,
    /// `[[station.slot]]`.
    pub slots: Vec<Slot>,
}

/// Who may say which unit is at a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitFrom {
    /// The MES, on the station's unit topic.
    Mes,
    /// The device that reports a result, by its echo.
    Device,
    /// A slot, by its identifications.
    Slot(Arc<str>),
}

/// `[[station.slot]]`.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Station and slot.
    pub name: SlotName,
    /// Types that it delivers, with their places.
    pub delivers: Vec<(EventType, Place)>,
    /// What the MES relies on beyond the types' own, dotted, with places.
    pub requires: Vec<(String, Place)>,
    /// Names and uoms that the MES knows, with places.
    pub values: Vec<(String, Uom, Place)>,
    /// No device file is needed, and nothing is read.
    pub disabled: bool,
    /// Where it stands.
    pub place: Place,
}
