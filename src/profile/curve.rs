//! Axes of a curve: arrays, or a step from one point to the next; and how long the curve is.
//!
//! Owns the keys of `x` and `y` and what they come to. Does not own single values ([`super::mapping`]) nor what
//! is cut from an array ([`super::decode`]).

use super::decode::{self, Said, Value, say};
use super::events::Event;
use super::fields::{Field, Scope, Source, only, uom};
use super::mapping::Moment;
use super::points::{self, Point};
use crate::diagnostic::tree::{Node, Table, wrong};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::event::EventType;
use crate::model::plan::PointIx;
use crate::model::value::json_number;
use crate::model::{Decimal, Fields, Raw, Uom};
use serde_json::Value as Json;

/// One axis.
#[derive(Debug)]
pub(super) struct Axis {
    /// What is plotted.
    pub(super) name: String,
    /// The point that says so, where it says something.
    pub(super) name_from: Option<PointIx>,
    pub(super) along: Along,
    /// In which it is published; none: as the device says it.
    pub(super) uom: Option<Uom>,
}

/// Where the values of an axis come from.
#[derive(Debug)]
pub(super) enum Along {
    /// An array.
    Values(PointIx),
    /// From 0, by this much from one point to the next.
    Step(Source),
}

impl Axis {
    /// Every point that it looks at.
    pub(super) fn points(&self, found: &mut Vec<PointIx>) {
        if let Along::Values(point) | Along::Step(Source::Point(point)) = self.along {
            found.push(point);
        }
        found.extend(self.name_from);
    }
}

/// Whether a point says what is plotted: then one event is several curves.
pub(super) fn is_named_by_point(event: &Event) -> bool {
    axes(event).any(|(axis, _)| axis.name_from.is_some())
}

/// An axis: a bare array point, or a table of `name`, `values` or `step`, and `uom`.
pub(super) fn compile(scope: Scope<'_>, key: &str, node: &Node, out: &mut Diagnostics) -> Option<Axis> {
    let empty = Table::default();
    let (keys, bare) = match node.as_table() {
        Some(keys) => {
            only(keys, &["name", "name_from", "values", "step", "uom"], key, out);
            (keys, None)
        }
        None => (&empty, Some(node)),
    };
    let along = match (bare.or_else(|| keys.get("values")), keys.entry("step")) {
        (Some(_), Some((step, _))) => {
            out.push(
                Diagnostic::error(&step.place, format!("`{key}` has `values` and `step`"))
                    .help("an array says its values itself; a step is for an axis that the device does not send"),
            );
            return None;
        }
        (Some(values), None) => Along::Values(array(scope.points, key, values, out)?),
        (None, Some((_, node))) => {
            let step = scope.source("step", node, out)?;
            if let Source::Point(index) = step
                && scope
                    .points
                    .get(index)
                    .is_some_and(|point| !point.faulty && (point.is_list() || point.is_text() || point.is_bool()))
            {
                out.push(Diagnostic::error(&node.place, "a step is one number"));
                return None;
            }
            Along::Step(step)
        }
        (None, None) => {
            out.push(
                Diagnostic::error(&node.place, format!("`{key}` needs `values`: an array point"))
                    .help("a point with `count`; or `step`: a point or { const = … } that says how far it is from one value to the next"),
            );
            return None;
        }
    };
    let own = match &along {
        Along::Values(index) | Along::Step(Source::Point(index)) => scope.points.get(*index),
        Along::Step(Source::Const(..)) => None,
    };
    let wanted = keys.get("uom").and_then(|node| Some((uom(node, out)?, &node.place)));
    if let (Some((wanted, place)), Some(point)) = (&wanted, own)
        && let Some(have) = &point.uom
        && !have.converts_to(wanted)
    {
        out.push(
            Diagnostic::error(
                place,
                format!("`{}` cannot be converted to `{}`", have.code(), wanted.code()),
            )
            .related(point.uom_place.as_ref().unwrap_or(&point.place), "the point's"),
        );
    }
    let name_from = keys
        .get("name_from")
        .and_then(|node| points::find(scope.points, node.as_text()?, &node.place, out));
    // The name is text: a point that happens to be called so is not meant.
    let name = match (keys.get("name"), own) {
        (Some(node), _) => match node.as_table() {
            None => node.as_text().map(str::to_owned),
            Some(_) => match scope.source("name", node, out)? {
                Source::Const(name, _) => Some(name.text()),
                Source::Point(_) => None,
            },
        },
        (None, Some(point)) => Some(point.name.to_string()),
        (None, None) => Some(key.to_owned()),
    };
    let Some(name) = name else {
        if let Some(node) = keys.get("name") {
            wrong(node, "name", "text: what is plotted", out);
        }
        return None;
    };
    Some(Axis {
        name,
        name_from,
        along,
        uom: wanted.map(|(uom, _)| uom),
    })
}

fn array(points: &[Point], key: &str, node: &Node, out: &mut Diagnostics) -> Option<PointIx> {
    let Some(name) = node.as_text() else {
        out.push(
            Diagnostic::error(&node.place, format!("`{key}` needs `values`: an array point"))
                .help("a point with `count`"),
        );
        return None;
    };
    let index = points::find(points, name, &node.place, out)?;
    if let Some(found) = points.get(index)
        && !found.may_be_list()
        && !found.faulty
    {
        out.push(
            Diagnostic::error(&node.place, format!("`{name}` is no array")).related(&found.place, "give it a `count`"),
        );
    }
    Some(index)
}

/// Elements of an array of registers; of others that is known when they come.
fn count(point: &Point) -> Option<u16> {
    point.at.modbus().and_then(|at| at.count)
}

/// Both axes of an event: together they must say how long the curve is.
pub(super) fn check(event: &Event, points: &[Point], out: &mut Diagnostics) {
    if event.kind != EventType::Curve {
        return;
    }
    let axes: Vec<_> = axes(event).collect();
    let [(x, _), (y, at)] = axes[..] else { return };
    match (&x.along, &y.along) {
        (Along::Step(_), Along::Step(_)) => out.push(
            Diagnostic::error(&at.place, "nobody says how long this curve is")
                .label("both axes go by a step")
                .help("one of them must be an array: y = { name = \"torque\", values = \"torque_curve\" }"),
        ),
        (Along::Values(x), Along::Values(y)) => {
            let (Some(x), Some(y)) = (points.get(*x), points.get(*y)) else {
                return;
            };
            if count(x) != count(y) && x.cut.is_none() && y.cut.is_none() && !x.faulty && !y.faulty {
                out.push(
                    Diagnostic::error(&at.place, "`x` and `y` are not of one length")
                        .related(&x.place, "the one")
                        .related(&y.place, "the other")
                        .help("give both the same `count`, or say which trailing values are unused: trim = 0"),
                );
            }
        }
        _ => {}
    }
}

fn axes(event: &Event) -> impl Iterator<Item = (&Axis, &super::fields::Member)> {
    event.fields.iter().filter_map(|member| match &member.field {
        Field::Axis(axis) => Some((axis, member)),
        _ => None,
    })
}

/// Both axes of one moment, of the length of the shorter array. `None`: the device shows no curve at all.
pub(super) fn data(
    now: Moment<'_>,
    event: &Event,
    data: &mut Fields,
    reasons: &mut Vec<String>,
    faulty: &mut Vec<&'static str>,
) -> Option<()> {
    let mut arrays = Vec::new();
    for (axis, member) in axes(event) {
        let Along::Values(index) = axis.along else { continue };
        match say(now.points, index, now.values) {
            Said::Good(Value::List(values)) => arrays.push((index, values)),
            // It was read, and nothing is left of it.
            Said::Absent if now.values.get(index).is_some_and(Option::is_some) => return None,
            // An event of a server that carries none.
            Said::Absent if super::notice::is_noticed(event) => return None,
            Said::Absent | Said::Invalid | Said::Good(_) => {}
            Said::Implausible(reason) | Said::Bad(reason) => {
                faulty.push(member.spec.name);
                reasons.push(reason);
            }
        }
    }
    let length = arrays.iter().map(|(_, values)| values.len()).min().unwrap_or(0);
    for (axis, member) in axes(event) {
        let values = match &axis.along {
            Along::Values(index) => {
                let Some((_, values)) = arrays.iter().find(|(have, _)| have == index) else {
                    continue;
                };
                let own = decode::uom(now.points, *index, now.values);
                let digits = now.digits(*index);
                let numbers = values
                    .iter()
                    .take(length)
                    .map(|value| value.number().unwrap_or(Decimal::ZERO));
                own.and_then(|own| spread(numbers, own, axis.uom.as_ref(), digits))
            }
            Along::Step(step) => stepped(now, step, length, axis.uom.as_ref()),
        };
        match values {
            Ok(Some((values, uom))) => {
                let mut object = Fields::new();
                let said = axis.name_from.map(|point| say(now.points, point, now.values));
                let name = match said {
                    Some(Said::Good(name)) => name.text(),
                    _ => axis.name.clone(),
                };
                object.insert("name".into(), name.into());
                if let Some(uom) = uom {
                    object.insert("uom".into(), uom.code().into());
                }
                object.insert("values".into(), Json::Array(values));
                data.insert(member.spec.name.into(), Json::Object(object));
            }
            Ok(None) => {}
            Err(reason) => {
                faulty.push(member.spec.name);
                reasons.push(reason);
            }
        }
    }
    Some(())
}

/// Values and the uom that they are published in.
type Spread = Result<Option<(Vec<Json>, Option<Uom>)>, String>;

fn stepped(now: Moment<'_>, step: &Source, length: usize, wanted: Option<&Uom>) -> Spread {
    let Some(value) = now.value(step)? else { return Ok(None) };
    let (own, digits) = match step {
        Source::Point(index) => (decode::uom(now.points, *index, now.values)?, now.digits(*index)),
        Source::Const(_, uom) => (uom.clone(), 7),
    };
    let Some(number) = value.number() else {
        return Err(format!("the step is {}, which is no number", value.text()));
    };
    let at = |index: usize| number.times(i64::try_from(index).unwrap_or(i64::MAX).into());
    spread((0..length).map(at), own, wanted, digits)
}

fn spread(numbers: impl Iterator<Item = Decimal>, own: Option<Uom>, wanted: Option<&Uom>, digits: u32) -> Spread {
    let Some((own, wanted)) = own.as_ref().zip(wanted) else {
        // Without a uom of the device's, what is wanted is what it is taken as.
        let uom = own.or_else(|| wanted.cloned());
        return Ok(Some((numbers.map(json_number).collect(), uom)));
    };
    let converted: Option<Vec<Json>> = numbers
        .map(|number| own.convert(number, wanted, digits).map(json_number))
        .collect();
    match converted {
        Some(values) => Ok(Some((values, Some(wanted.clone())))),
        None => Err(format!("{} cannot be converted to {}", own.code(), wanted.code())),
    }
}

/// Trailing elements that mean: unused.
pub(super) fn used<'a>(point: &Point, items: &'a [Raw]) -> &'a [Raw] {
    let Some(unused) = &point.cut else { return items };
    let end = items
        .iter()
        .rposition(|item| !item.same_value(unused))
        .map_or(0, |last| last + 1);
    items.get(..end).unwrap_or_default()
}
