//! `time`: the device's own clock. Owns its formats and zones; a stamp that cannot be read is absent, never a fault.

use super::decode::{Said, say};
use super::points::{self, Point};
use crate::diagnostic::tree::Node;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::Raw;
use crate::model::draft::DeviceTime;
use crate::model::plan::PointIx;
use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// Where a device's time is and how it is written.
#[derive(Debug)]
pub(super) struct Stamp {
    pub(super) points: Vec<PointIx>,
    pub(super) format: Format,
    pub(super) zone: TimeZone,
}

/// How it is written.
#[derive(Debug)]
pub(super) enum Format {
    /// Seconds since 1970, UTC.
    Unix,
    /// Milliseconds since 1970, UTC.
    UnixMs,
    /// A moment with its zone, as servers of OPC UA say times: 2026-11-22T10:15:03.171Z.
    Rfc3339,
    /// strftime.
    Text(String),
}

/// 9999-01-01 in milliseconds: clocks that say so say nothing.
const NEVER: i64 = 253_370_764_800_000;

/// Compiles `time`.
pub(super) fn compile(node: &Node, points: &[Point], out: &mut Diagnostics) -> Option<Stamp> {
    if let Some(name) = node.as_text() {
        let point = points::find(points, name, &node.place, out)?;
        let of_server = points
            .get(point)
            .is_some_and(|point| point.at.opcua().is_some() || point.faulty);
        if !of_server {
            out.push(Diagnostic::error(&node.place, "`time` needs `format`").help(format!(
                "time = {{ point = \"{name}\", format = \"%Y-%m-%d %H:%M:%S\" }}, or unix, unix_ms, rfc3339"
            )));
        }
        return Some(Stamp {
            points: vec![point],
            format: Format::Rfc3339,
            zone: TimeZone::UTC,
        });
    }
    let keys = node.as_table()?;
    let names: Vec<&Node> = match (keys.get("point"), keys.get("points")) {
        (Some(point), None) => vec![point],
        (None, Some(list)) => list.one_or_more().iter().collect(),
        _ => {
            out.push(Diagnostic::error(
                &node.place,
                "`time` needs `point`, or `points` and not both",
            ));
            return None;
        }
    };
    let found: Vec<PointIx> = names
        .iter()
        .filter_map(|name| points::find(points, name.as_text()?, &name.place, out))
        .collect();
    let of_server = |index: &PointIx| points.get(*index).is_some_and(|point| point.at.opcua().is_some());
    let usual = (found.len() == 1 && found.iter().all(of_server)).then_some(("rfc3339", &node.place));
    let written = keys.get("format").and_then(|node| Some((node.as_text()?, &node.place)));
    let Some((format, place)) = written.or(usual.filter(|_| keys.get("format").is_none())) else {
        if keys.get("format").is_none() {
            out.push(
                Diagnostic::error(&node.place, "`time` needs `format`")
                    .help("unix, unix_ms, rfc3339, or strftime: \"%Y-%m-%d %H:%M:%S\""),
            );
        }
        return None;
    };
    let format = match format {
        "unix" => Format::Unix,
        "unix_ms" => Format::UnixMs,
        "rfc3339" => Format::Rfc3339,
        text if text.contains('%') => Format::Text(text.to_owned()),
        text => {
            out.push(
                Diagnostic::error(place, format!("`{text}` is no format of time"))
                    .help("unix, unix_ms, rfc3339, or strftime: \"%Y-%m-%d %H:%M:%S\""),
            );
            return None;
        }
    };
    if let Format::Text(text) = &format {
        let sample = jiff::civil::date(2026, 11, 22)
            .at(10, 15, 3, 0)
            .to_zoned(TimeZone::UTC)
            .ok()?;
        match jiff::fmt::strtime::format(text, &sample) {
            Err(fault) => out.push(Diagnostic::error(
                place,
                format!("`{text}` is no strftime format: {fault}"),
            )),
            // What cannot be read back as a moment would make every time absent.
            Ok(said) => {
                let whole = BrokenDownTime::parse(text, &said)
                    .is_ok_and(|broken| broken.to_timestamp().is_ok() || broken.to_datetime().is_ok());
                if !whole {
                    out.push(
                        Diagnostic::error(place, format!("`{text}` does not say a moment"))
                            .help("a time needs its date as well: \"%Y-%m-%d %H:%M:%S\""),
                    );
                }
            }
        }
    } else if found.len() > 1 {
        out.push(Diagnostic::error(&node.place, "a time of this format is one point"));
    }
    let zone = match keys.get("zone").and_then(|node| Some((node.as_text()?, &node.place))) {
        Some((_, place)) if !matches!(format, Format::Text(_)) => {
            out.push(Diagnostic::warning(
                place,
                "a time of this format says its zone itself: `zone` means nothing here",
            ));
            TimeZone::UTC
        }
        None if !matches!(format, Format::Text(_)) => TimeZone::UTC,
        None | Some(("local", _)) => TimeZone::system(),
        Some(("utc" | "UTC", _)) => TimeZone::UTC,
        Some((name, place)) => {
            let Ok(zone) = TimeZone::get(name) else {
                out.push(
                    Diagnostic::error(place, format!("`{name}` is no time zone"))
                        .help("write \"Europe/Berlin\", \"local\" or \"utc\""),
                );
                return None;
            };
            zone
        }
    };
    Some(Stamp {
        points: found,
        format,
        zone,
    })
}

impl Stamp {
    /// How it is written, and where its clock is: `%Y-%m-%d %H:%M:%S, Europe/Berlin`.
    pub(super) fn text(&self) -> String {
        match &self.format {
            Format::Unix => "unix".to_owned(),
            Format::UnixMs => "unix_ms".to_owned(),
            Format::Rfc3339 => "rfc3339".to_owned(),
            Format::Text(format) => {
                let zone = self.zone.iana_name().unwrap_or("local");
                format!("{format}, {zone}")
            }
        }
    }

    /// What its points say at this time (wall milliseconds): for a virtual device.
    pub(super) fn write(&self, wall: i64) -> Vec<(PointIx, String)> {
        let text = match &self.format {
            Format::Unix => (wall / 1_000).to_string(),
            Format::UnixMs => wall.to_string(),
            Format::Rfc3339 => Timestamp::from_millisecond(wall)
                .unwrap_or(Timestamp::UNIX_EPOCH)
                .to_string(),
            Format::Text(format) => {
                let timestamp = Timestamp::from_millisecond(wall).unwrap_or(Timestamp::UNIX_EPOCH);
                timestamp.to_zoned(self.zone.clone()).strftime(format).to_string()
            }
        };
        match self.points.as_slice() {
            [point] => vec![(*point, text)],
            points => points
                .iter()
                .copied()
                .zip(text.split_whitespace().map(str::to_owned))
                .collect(),
        }
    }

    /// The device's time, where it can be read.
    pub(super) fn read(&self, points: &[Point], values: &[Option<Raw>]) -> Option<DeviceTime> {
        let parts: Vec<_> = self
            .points
            .iter()
            .map(|index| match say(points, *index, values) {
                Said::Good(value) => Some(value),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let timestamp = match &self.format {
            Format::Unix => {
                let millis = parts.first()?.number()?.times(1_000_i64.into());
                return unix(i64::try_from(millis.round_significant(30).to_i128()?).ok()?);
            }
            Format::UnixMs => return unix(i64::try_from(parts.first()?.number()?.to_i128()?).ok()?),
            Format::Rfc3339 => {
                let timestamp: Timestamp = parts.first()?.text().trim().parse().ok()?;
                // No time at all is the first or the last that there is (OPC 10000-6, 5.2.2.5).
                let wall = timestamp.as_millisecond();
                return (wall > 0 && wall < NEVER).then(|| DeviceTime {
                    said: timestamp.to_string(),
                    wall,
                });
            }
            Format::Text(format) => {
                let text = parts
                    .iter()
                    .map(super::decode::Value::text)
                    .collect::<Vec<_>>()
                    .join(" ");
                let broken = BrokenDownTime::parse(format, &text).ok()?;
                match broken.to_timestamp() {
                    Ok(timestamp) => timestamp,
                    Err(_) => self.zone.to_timestamp(broken.to_datetime().ok()?).ok()?,
                }
            }
        };
        let said = if self.zone == TimeZone::UTC {
            timestamp.to_string()
        } else {
            timestamp
                .display_with_offset(self.zone.to_offset(timestamp))
                .to_string()
        };
        Some(DeviceTime {
            said,
            wall: timestamp.as_millisecond(),
        })
    }
}

/// A clock that says 1970 was never set: absent.
fn unix(millis: i64) -> Option<DeviceTime> {
    let timestamp = Timestamp::from_millisecond(millis).ok()?;
    (millis > 0).then(|| DeviceTime {
        said: timestamp.to_string(),
        wall: millis,
    })
}
