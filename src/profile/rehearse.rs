//! What a virtual device needs to know of a profile: start values, which points are measured, judged and counted, and raw
//! values for what people type. Pure; the device itself is the command's.

use super::decode::{self, Said, Value};
use super::fields::{Field, Source};
use super::kind::Kind;
use super::points::{Code, Point};
use super::{Profile, examples};
use crate::diagnostic::Diagnostics;
use crate::diagnostic::tree::Node;
use crate::model::plan::PointIx;
use crate::model::{Decimal, Raw, SlotName};
use crate::wire::framed::Framed;
use crate::wire::modbus::Image;
use crate::wire::opcua::Tree;
use crate::wire::open_protocol::Telegram;

/// What one event of a profile is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rehearsal {
    /// Measured values.
    pub measures: Vec<Measured>,
    /// The verdict on the whole.
    pub verdicts: Vec<Judged>,
    /// The counter, what it starts from, and after which it wraps.
    pub counter: Option<(PointIx, i64, Option<i64>)>,
    /// Points that hold a time of the device ([`Profile::clock`]).
    pub stamps: Vec<PointIx>,
    /// Alarm words and their bits.
    pub alarms: Vec<(PointIx, Vec<u32>)>,
}

/// A measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Where it stands.
    pub value: PointIx,
    /// Its lower limit.
    pub min: Option<PointIx>,
    /// Its upper limit.
    pub max: Option<PointIx>,
    /// The verdict on it.
    pub verdicts: Vec<Judged>,
}

/// Where a verdict stands: a point and its raw value for each word, or a flag for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The point.
    pub point: PointIx,
    /// Word of the contract and the raw value that means it.
    pub words: Vec<(String, Raw)>,
}

impl Profile {
    /// The registers that a device begins with: those of the first example (of a sequence, of the step that says most),
    /// else 0.
    #[must_use]
    pub fn start_image(&self) -> Image {
        let plan = self.plan(&SlotName::new("a", "a"));
        let inherited = self.inherited.iter().flat_map(|(_, examples)| examples);
        let first = self.examples.iter().chain(inherited).find_map(|example| {
            let given = example.as_table()?.get("given")?;
            let mut aside = Diagnostics::new();
            let steps = given.one_or_more().iter().filter_map(Node::as_table);
            let images = steps.filter_map(|step| examples::image(&plan, step, &mut aside));
            let says = |image: &Image| {
                let words = plan.points.iter().filter_map(|point| {
                    let at = point.at.registers();
                    image.words(at.table, at.address, crate::wire::modbus::span(at))
                });
                words.flatten().filter(|word| *word != 0).count()
            };
            images.max_by_key(says)
        });
        first.unwrap_or_else(|| examples::zeros(&plan))
    }

    /// The telegrams of its examples, then of those of what it extends, as they stand on the wire: a virtual controller sends the like.
    #[must_use]
    pub fn start_telegrams(&self) -> Vec<Telegram> {
        let mut found = Vec::new();
        for given in self.given() {
            if let examples::Given::Telegrams(telegrams) = given {
                found.extend(telegrams);
            }
        }
        found
    }

    /// The whole frames of its examples that are in order, then of those of what it extends.
    #[must_use]
    pub fn start_frames(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for given in self.given() {
            if let examples::Given::Frames(frames) = given {
                found.extend(frames.into_iter().filter_map(|framed| match framed {
                    Framed::Frame { whole, fault: None, .. } => Some(whole),
                    Framed::Frame { .. } | Framed::Noise(_) => None,
                }));
            }
        }
        found
    }

    /// What the variables of a server begin with, by point: the step of its examples that says most, what others say besides.
    #[must_use]
    pub fn start_values(&self) -> Vec<Option<Raw>> {
        let said = |values: &[Option<Raw>]| values.iter().flatten().count();
        let mut steps: Vec<Vec<Option<Raw>>> = Vec::new();
        for given in self.given() {
            if let examples::Given::Nodes(values) | examples::Given::Event(_, _, values) = given {
                steps.push(values);
            }
        }
        let points = self.points.len();
        steps.sort_by_key(|values| std::cmp::Reverse(said(values)));
        let first = |point: usize| steps.iter().find_map(|values| values.get(point).cloned().flatten());
        (0..points).map(first).collect()
    }

    /// Events that a server tells in its examples, then in those of what it extends: index into the plan's notices, and the fields.
    #[must_use]
    pub fn start_events(&self) -> Vec<(u16, Tree)> {
        let events = self.given().into_iter().filter_map(|given| match given {
            examples::Given::Event(notice, fields, _) => Some((notice, fields)),
            _ => None,
        });
        events.collect()
    }

    /// Events of a server of which its examples give only what the points that are their fields say: index into the plan's notices,
    /// and values by point.
    #[must_use]
    pub fn start_noticed(&self) -> Vec<(u16, Vec<Option<Raw>>)> {
        let events = self.given().into_iter().filter_map(|given| match given {
            examples::Given::Noticed(notice, values) => Some((notice, values)),
            _ => None,
        });
        events.collect()
    }

    /// What all examples give, step by step.
    fn given(&self) -> Vec<examples::Given> {
        let plan = self.plan(&SlotName::new("a", "a"));
        let inherited = self.inherited.iter().flat_map(|(_, examples)| examples);
        let mut aside = Diagnostics::new();
        let mut found = Vec::new();
        for example in self.examples.iter().chain(inherited) {
            let given = example.as_table().and_then(|keys| keys.get("given"));
            let steps = given.map(Node::one_or_more).unwrap_or_default();
            found.extend(
                steps
                    .iter()
                    .filter_map(|step| examples::given(self, &plan, step, &mut aside)),
            );
        }
        found
    }

    /// What event number `event` is made of.
    #[must_use]
    pub fn rehearsal(&self, event: usize) -> Rehearsal {
        let mut found = Rehearsal::default();
        let Some(event) = self.events.get(event) else {
            return found;
        };
        found.counter = event
            .counter
            .map(|counter| (counter.point, counter.first, counter.last));
        found.alarms = event
            .alarms
            .iter()
            .map(|word| (word.point, word.bits.iter().map(|bit| bit.bit).collect()))
            .collect();
        found.stamps = event
            .time
            .as_ref()
            .map(|stamp| stamp.points.clone())
            .unwrap_or_default();
        for member in &event.fields {
            let measured = match &member.field {
                Field::Measure(_, members) => {
                    let of = |name: &str| members.iter().find(|member| member.spec.name == name);
                    let point = |name: &str| match of(name).map(|member| &member.field) {
                        Some(Field::One(Source::Point(point))) => Some(*point),
                        _ => None,
                    };
                    if point("value").is_none()
                        && let Some(result) = of("result")
                    {
                        found.verdicts.extend(self.judged(&result.field));
                    }
                    point("value").map(|value| Measured {
                        value,
                        min: point("min"),
                        max: point("max"),
                        verdicts: of("result")
                            .map(|member| self.judged(&member.field))
                            .unwrap_or_default(),
                    })
                }
                Field::One(Source::Point(point)) if member.spec.name == "value" => Some(Measured {
                    value: *point,
                    min: None,
                    max: None,
                    verdicts: Vec::new(),
                }),
                _ => None,
            };
            found.measures.extend(measured);
            if member.spec.name == "result" {
                found.verdicts.extend(self.judged(&member.field));
            }
        }
        let plain = |point: &&(String, PointIx, super::Place)| !found.measures.iter().any(|m| m.value == point.1);
        let values: Vec<PointIx> = event.values.iter().filter(plain).map(|(_, point, _)| *point).collect();
        for value in values {
            let numeric = self
                .points
                .get(value)
                .is_some_and(|point| !point.is_text() && !point.is_bool() && !point.is_list() && point.map.is_none());
            if numeric {
                found.measures.push(Measured {
                    value,
                    min: None,
                    max: None,
                    verdicts: Vec::new(),
                });
            }
        }
        found
    }

    /// What the device's time of event number `event` is at `wall` (milliseconds), by point.
    #[must_use]
    pub fn clock(&self, event: usize, wall: i64) -> Vec<(PointIx, String)> {
        let stamp = self.events.get(event).and_then(|event| event.time.as_ref());
        stamp.map(|stamp| stamp.write(wall)).unwrap_or_default()
    }

    /// Which raw values stand for which words.
    fn judged(&self, field: &Field) -> Vec<Judged> {
        match field {
            Field::One(Source::Point(point)) => vec![Judged {
                point: *point,
                words: self.codes(*point),
            }],
            Field::Flags(words) => {
                let mut flags: Vec<Judged> = Vec::new();
                for (_, points) in words {
                    for point in points {
                        let said = |(word, points): &(&'static str, Vec<PointIx>)| {
                            // The first flag of a word stands for it.
                            (word.to_string(), Raw::Bool(points.first() == Some(point)))
                        };
                        flags.push(Judged {
                            point: *point,
                            words: words.iter().map(said).collect(),
                        });
                    }
                }
                flags
            }
            _ => Vec::new(),
        }
    }

    /// The codes that a point knows: what each means, and its raw value.
    #[must_use]
    pub fn codes(&self, point: PointIx) -> Vec<(String, Raw)> {
        let Some(map) = self.points.get(point).and_then(|point| point.map.as_ref()) else {
            return Vec::new();
        };
        let raw = |code: &Code| match code {
            Code::Number(number) => Raw::Dec(*number),
            Code::Text(text) => Raw::Text(text.clone()),
        };
        map.codes
            .iter()
            .map(|(code, value, _)| (value.text(), raw(code)))
            .collect()
    }

    /// The number that a point means, in its own uom; `None` where it means none.
    #[must_use]
    pub fn number(&self, point: PointIx, values: &[Option<Raw>]) -> Option<Decimal> {
        match decode::say(&self.points, point, values) {
            Said::Good(value @ (Value::Number(_) | Value::Bool(_))) => value.number(),
            _ => None,
        }
    }

    /// Whether two points speak in one uom.
    #[must_use]
    pub fn same_uom(&self, a: PointIx, b: PointIx) -> bool {
        let uom = |point: PointIx| self.points.get(point).map(|point| (&point.uom, point.uom_from));
        uom(a) == uom(b)
    }

    /// What is plausible for a point, in its uom.
    #[must_use]
    pub fn plausible(&self, point: PointIx) -> Option<(Decimal, Decimal)> {
        self.points.get(point)?.plausible
    }

    /// The raw value that means `text` in a point: a word of its `map`, or a number in its uom, or a text.
    ///
    /// # Errors
    /// A sentence: the point cannot say that.
    pub fn raw_for(&self, point: PointIx, text: &str, values: &[Option<Raw>]) -> Result<Raw, String> {
        let Some(of) = self.points.get(point) else {
            return Err("there is no such point".to_owned());
        };
        if let Some((_, raw)) = self.codes(point).into_iter().find(|(word, _)| word == text) {
            return Ok(raw);
        }
        if of.is_text() {
            return Ok(Raw::Text(text.to_owned()));
        }
        if of.is_list() {
            return Err(format!("`{}` is an array, which cannot be set", of.name));
        }
        match (text, of.is_bool()) {
            ("true" | "on", true) => return Ok(Raw::Bool(true)),
            ("false" | "off", true) => return Ok(Raw::Bool(false)),
            _ => {}
        }
        let number: Decimal = text.parse().map_err(|_| {
            let words: Vec<String> = self.codes(point).into_iter().map(|(word, _)| word).collect();
            if words.is_empty() {
                format!("`{}` is a number, not `{text}`", of.name)
            } else {
                format!(
                    "`{}` is one of {} or a raw number, not `{text}`",
                    of.name,
                    words.join(", ")
                )
            }
        })?;
        if of.map.is_some() || of.is_bool() {
            return Ok(Raw::Dec(number));
        }
        unscaled(&self.points, of, number, values)
            .ok_or_else(|| format!("`{}` has no number of decimals yet: set that first", of.name))
    }
}

/// The raw number that scale and offset make `number` of; of integers the nearest.
fn unscaled(points: &[Point], of: &Point, number: Decimal, values: &[Option<Raw>]) -> Option<Raw> {
    let mut raw = number.minus(of.offset.unwrap_or(Decimal::ZERO));
    let decimals = decode::decimals(points, of, values).ok()?;
    for factor in [of.scale, decimals].into_iter().flatten() {
        raw = raw.over(factor)?;
    }
    if !matches!(of.kind, Kind::Single | Kind::Double | Kind::Number | Kind::Open) && !raw.is_integer() {
        raw = Decimal::from_f64(raw.to_f64().round())?;
    }
    Some(Raw::Dec(raw))
}
