//! From a sample to drafts: fields in contract uoms, or reasons for quarantine.
//!
//! Owns how values take the shape of their field. Nothing here fails: what cannot be a contract event says why.
//! Owns no unit, no id of events and no sequence.

use super::curve;
use super::decode::{self, Said, Value, id_text, say};
use super::events::{Event, Filter, Filtered};
use super::fields::{Field, Reason, Source};
use super::points::Point;
use super::{Meaning, SlotContract};
use crate::model::draft::{CounterReading, Echo, EchoMatch};
use crate::model::event::{EventType, FieldSpec, Shape};
use crate::model::plan::Keep;
use crate::model::value::json_number;
use crate::model::{Decimal, DeviceIdentity, Draft, Fields, Raw, Sample, Uom};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::sync::Arc;

/// What a value is made from at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) points: &'a [Point],
    pub(super) values: &'a [Option<Raw>],
}

/// A value, absent, or why it has none.
type Got<T> = Result<Option<T>, String>;

/// The drafts of one sample.
pub(super) fn drafts(
    event: &Event,
    points: &[Point],
    device: &Arc<DeviceIdentity>,
    contract: &SlotContract,
    sample: &Sample,
) -> Vec<Meaning> {
    let values = without_bad(sample);
    let now = Moment {
        points,
        values: &values,
    };
    let mut reasons = Vec::new();
    let mut faulty = Vec::new();
    let mut data = match event.kind {
        EventType::Readings => now.readings(event, contract, &sample.quality, &mut reasons),
        EventType::Measurement => now.measurement(event, contract, &mut reasons, &mut faulty),
        _ => now.fields(event, &mut reasons, &mut faulty),
    };
    if event.kind == EventType::Curve && sample.faults.is_empty() {
        if curve::data(now, event, &mut data, &mut reasons, &mut faulty).is_none() {
            return vec![Meaning::Ignored];
        }
        data = ordered(data, event.kind.fields());
    }
    // What could be read of it still tells that it is none of this event's.
    let unread = !sample.faults.is_empty();
    if now.turned_away(event, &data, &faulty, unread) {
        let counter = event.counter.and_then(|_| now.counter(event, &sample.before));
        return vec![match counter {
            Some(_) => Meaning::Passed(Box::new(passed(event, device, contract, sample, counter))),
            None => Meaning::Ignored,
        }];
    }
    if unread {
        let draft = unreadable(event, device, contract, sample);
        return vec![Meaning::Draft(Box::new(draft))];
    }
    let mut id = now.id(event);
    if event.kind.field("result_id").is_some()
        && let Some(last) = id.as_ref().and_then(|id| id.last()).filter(|last| !last.is_empty())
    {
        data.insert("result_id".into(), last.clone().into());
    }
    if let Some(id) = &mut id {
        // Several of one result: told apart by what the contract calls them, never by the profile.
        id.extend(
            event
                .apart
                .iter()
                .filter_map(|name| shown(&data, name).pop())
                .map(|value| value.text()),
        );
    }
    let draft = Draft {
        slot: contract.slot.clone(),
        event: event.name.clone(),
        kind: event.kind,
        data,
        quarantine: reasons,
        id,
        counter: now.counter(event, &sample.before),
        seen: sample.seen,
        since: sample.since,
        device_time: event.time.as_ref().and_then(|stamp| stamp.read(points, &values)),
        backfill: sample.backfill,
        echo: now.echo(event),
        extra: now.extra(event),
        raw: (event.kind != EventType::Readings).then(|| sample.raw.clone()),
        device: device.clone(),
        keep: event.keep,
    };
    if event.alarms.is_empty() {
        let mut draft = required(draft, &[]);
        if !draft.quarantine.is_empty() {
            // Why something is missing.
            let bad = sample.quality.iter().filter(|(_, word)| is_bad(word));
            let named = bad.filter_map(|(index, word)| Some(format!("`{}` is {word}", points.get(*index)?.name)));
            draft.quarantine.extend(named);
        }
        return vec![Meaning::Draft(Box::new(draft))];
    }
    let changed = now.alarms(event, &sample.before, &draft);
    if changed.is_empty() {
        return vec![Meaning::Ignored];
    }
    changed
}

/// What is left of a result that was turned away: that it was there.
fn passed(
    event: &Event,
    device: &Arc<DeviceIdentity>,
    contract: &SlotContract,
    sample: &Sample,
    counter: Option<CounterReading>,
) -> Draft {
    Draft {
        slot: contract.slot.clone(),
        event: event.name.clone(),
        kind: event.kind,
        data: Fields::default(),
        quarantine: Vec::new(),
        id: None,
        counter,
        seen: sample.seen,
        since: sample.since,
        device_time: None,
        backfill: sample.backfill,
        echo: None,
        extra: Fields::default(),
        raw: None,
        device: device.clone(),
        keep: event.keep,
    }
}

/// Whether a status code says that there is no value (OPC 10000-4, 7.39.1).
fn is_bad(word: &str) -> bool {
    word.starts_with("Bad")
}

/// The values of a sample, those left out that the device itself calls bad. What is uncertain is a value.
fn without_bad(sample: &Sample) -> Cow<'_, [Option<Raw>]> {
    let mut values = Cow::Borrowed(sample.values.as_slice());
    for (index, _) in sample.quality.iter().filter(|(_, word)| is_bad(word)) {
        if let Some(slot) = values.to_mut().get_mut(*index) {
            *slot = None;
        }
    }
    values
}

/// What was said could not be read at all: nothing of it is believed but that it came.
fn unreadable(event: &Event, device: &Arc<DeviceIdentity>, contract: &SlotContract, sample: &Sample) -> Draft {
    Draft {
        slot: contract.slot.clone(),
        event: event.name.clone(),
        kind: event.kind,
        data: Fields::new(),
        quarantine: sample.faults.clone(),
        id: None,
        counter: None,
        seen: sample.seen,
        since: sample.since,
        device_time: None,
        backfill: sample.backfill,
        echo: None,
        extra: Fields::new(),
        raw: Some(sample.raw.clone()),
        device: device.clone(),
        keep: Keep::Stored,
    }
}

/// A draft without what every event of its type has is a quarantine; and a quarantine has no fields.
fn required(mut draft: Draft, beside: &[&str]) -> Draft {
    if draft.quarantine.is_empty() {
        for spec in draft.kind.fields().iter().filter(|spec| spec.required) {
            if !draft.data.contains_key(spec.name) && !beside.contains(&spec.name) {
                draft.quarantine.push(format!("`{}` is missing", spec.name));
            }
        }
    }
    if !draft.quarantine.is_empty() {
        draft.data.clear();
    }
    draft
}

impl Moment<'_> {
    fn fields(self, event: &Event, reasons: &mut Vec<String>, faulty: &mut Vec<&'static str>) -> Fields {
        let mut data = Fields::new();
        for member in &event.fields {
            match self.shape(member.spec, &member.field) {
                Ok(Some(json)) => {
                    data.insert(member.spec.name.into(), json);
                }
                Ok(None) => {}
                Err(reason) => {
                    faulty.push(member.spec.name);
                    reasons.push(reason);
                }
            }
        }
        data
    }

    fn shape(self, spec: &FieldSpec, field: &Field) -> Got<Json> {
        match field {
            Field::One(source) => self.one(source, spec),
            Field::Flags(words) => Ok(self.flags(spec.name, words)?.map(Json::from)),
            Field::Measure(contract, members) => {
                let mut object = Fields::new();
                for member in members {
                    let json = match &member.field {
                        Field::One(source) if !matches!(member.spec.shape, Shape::Words(_)) => {
                            self.number(source, Some(contract))?.map(json_number)
                        }
                        other => self.shape(member.spec, other)?,
                    };
                    if let Some(json) = json {
                        object.insert(member.spec.name.into(), json);
                    }
                }
                if object.is_empty() {
                    return Ok(None);
                }
                object.insert("uom".into(), contract.code().into());
                Ok(Some(Json::Object(ordered(object, crate::model::event::MEASURE))))
            }
            Field::Object(members) => {
                let mut object = Fields::new();
                for member in members {
                    if let Some(json) = self.shape(member.spec, &member.field)? {
                        object.insert(member.spec.name.into(), json);
                    }
                }
                let Shape::Object(specs) = spec.shape else {
                    return Ok(None);
                };
                let whole = specs
                    .iter()
                    .all(|spec| !spec.required || object.contains_key(spec.name));
                Ok((whole && !object.is_empty()).then(|| Json::Object(ordered(object, specs))))
            }
            Field::Errors(errors) => self.errors(errors),
            Field::Named(named) => {
                let mut object = Fields::new();
                for (name, source) in named {
                    if let Some(value) = self.value(source)? {
                        object.insert(name.clone(), value.text().into());
                    }
                }
                Ok((!object.is_empty()).then_some(Json::Object(object)))
            }
            // Both axes together say how long they are: [`curve::data`].
            Field::Axis(_) => Ok(None),
        }
    }

    /// The name of a source in a reason.
    fn name(self, source: &Source, otherwise: &str) -> String {
        match source {
            Source::Point(index) => self.points.get(*index).map_or("", |point| &*point.name).to_owned(),
            Source::Const(..) => otherwise.to_owned(),
        }
    }

    pub(super) fn value(self, source: &Source) -> Got<Value> {
        match source {
            Source::Const(value, _) => Ok(Some(value.clone())),
            Source::Point(index) => match say(self.points, *index, self.values) {
                Said::Good(value) => Ok(Some(value)),
                Said::Absent | Said::Invalid => Ok(None),
                Said::Implausible(reason) | Said::Bad(reason) => Err(reason),
            },
        }
    }

    /// A single value in the shape of its field.
    fn one(self, source: &Source, spec: &FieldSpec) -> Got<Json> {
        let Some(value) = self.value(source)? else {
            return Ok(None);
        };
        let name = || self.name(source, spec.name);
        match spec.shape {
            Shape::Words(words) => match &value {
                Value::Text(text) if words.contains(&text.as_str()) => Ok(Some(text.clone().into())),
                other => Err(format!("unknown code {} of `{}`", other.text(), name())),
            },
            Shape::Text => Ok(Some(value.text().into())),
            // Element strings of a code, as one text.
            Shape::Map(_) => match serde_json::from_str(&value.text()) {
                Ok(Json::Object(members)) if members.is_empty() => Ok(None),
                Ok(Json::Object(members)) => Ok(Some(Json::Object(members))),
                _ => Err(format!("`{}` has no names", name())),
            },
            Shape::Integer => match value.number().filter(|number| number.is_integer()) {
                Some(number) => Ok(Some(json_number(number))),
                None => Err(format!("`{}` is {}, which is no whole number", name(), value.text())),
            },
            Shape::Number => {
                let seconds = spec.name.ends_with("_s").then(|| Uom::parse("s").ok()).flatten();
                Ok(self.number(source, seconds.as_ref())?.map(json_number))
            }
            Shape::Bool => match &value {
                Value::Bool(value) => Ok(Some((*value).into())),
                other if other.is(&Value::Bool(true)) => Ok(Some(true.into())),
                other if other.is(&Value::Bool(false)) => Ok(Some(false.into())),
                other => Err(format!(
                    "`{}` is {}, which is neither true nor false",
                    name(),
                    other.text()
                )),
            },
            _ => Ok(Some(value.json())),
        }
    }

    /// A number, converted where both sides name a uom.
    fn number(self, source: &Source, contract: Option<&Uom>) -> Got<Decimal> {
        let Some(value) = self.value(source)? else {
            return Ok(None);
        };
        let name = || self.name(source, "const");
        let Some(number) = value.number() else {
            return Err(format!("`{}` is {}, which is no number", name(), value.text()));
        };
        let (own, digits) = match source {
            Source::Const(_, uom) => (uom.clone(), 7),
            Source::Point(index) => (decode::uom(self.points, *index, self.values)?, self.digits(*index)),
        };
        match (own, contract) {
            (Some(own), Some(contract)) => match own.convert(number, contract, digits) {
                Some(number) => Ok(Some(number)),
                None => Err(format!(
                    "`{}` is in {}, which cannot be converted to {}",
                    name(),
                    own.code(),
                    contract.code()
                )),
            },
            _ => Ok(Some(number)),
        }
    }

    /// Significant digits that a converted value of this point keeps.
    pub(super) fn digits(self, index: usize) -> u32 {
        let raw = self.values.get(index).and_then(Option::as_ref);
        self.points.get(index).map_or(7, |point| point.digits(raw))
    }

    fn truth(self, index: usize) -> Got<bool> {
        Ok(self
            .value(&Source::Point(index))?
            .map(|value| value.number().is_some_and(|number| number != Decimal::ZERO)))
    }

    /// The word whose flag is true: exactly one.
    fn flags(self, field: &str, words: &[(&'static str, Vec<usize>)]) -> Got<&'static str> {
        let mut known = false;
        let mut found = Vec::new();
        for (word, points) in words {
            let mut any = false;
            for point in points {
                let truth = self.truth(*point)?;
                known |= truth.is_some();
                any |= truth == Some(true);
            }
            if any {
                found.push(*word);
            }
        }
        match found[..] {
            [] if !known => Ok(None),
            [word] => Ok(Some(word)),
            [] => Err(format!("no flag of `{field}` is true")),
            _ => Err(format!("`{field}` is {} at once", found.join(" and "))),
        }
    }

    fn errors(self, errors: &[Reason]) -> Got<Json> {
        let mut list = Vec::new();
        for reason in errors {
            let Some(code) = self.value(&reason.code)? else {
                continue;
            };
            let said = reason
                .text
                .as_ref()
                .map(|source| self.value(source))
                .transpose()?
                .flatten();
            // An array is several reasons, and its texts another array.
            let codes = match code {
                Value::List(codes) => codes,
                code => vec![code],
            };
            for (at, code) in codes.into_iter().enumerate() {
                if reason.except.iter().any(|except| code.is(except)) {
                    continue;
                }
                let text = match (&said, &reason.text) {
                    (Some(Value::List(texts)), _) => texts.get(at).map(Value::text),
                    (Some(text), _) => Some(text.text()),
                    (None, Some(_)) => None,
                    (None, None) => reason
                        .texts
                        .iter()
                        .find(|(known, _)| code.is(known))
                        .map(|(_, text)| text.clone()),
                };
                let mut object = Fields::new();
                object.insert("code".into(), code.text().into());
                if let Some(text) = text {
                    object.insert("text".into(), text.into());
                }
                list.push(Json::Object(object));
            }
        }
        Ok((!list.is_empty()).then_some(Json::Array(list)))
    }

    /// A measurement speaks in the uom that the slot's `values` name for it, else in its point's own.
    fn measurement(
        self,
        event: &Event,
        contract: &SlotContract,
        reasons: &mut Vec<String>,
        faulty: &mut Vec<&'static str>,
    ) -> Fields {
        let one = |name: &str| match event.field(name).map(|member| &member.field) {
            Some(Field::One(source)) => Some(source),
            _ => None,
        };
        let name = one("name").and_then(|source| self.value(source).ok().flatten());
        let name = name.map(|name| name.text()).unwrap_or_default();
        let known = contract.values.iter().find(|(value, _, _)| *value == name);
        if known.is_none() && !contract.values.is_empty() {
            reasons.push(format!("`{name}` is no value that the MES knows of this slot"));
        }
        let own = match one("value") {
            Some(Source::Point(index)) => decode::uom(self.points, *index, self.values),
            Some(Source::Const(_, uom)) => Ok(uom.clone()),
            None => Ok(None),
        };
        let own = own.unwrap_or_else(|reason| {
            reasons.push(reason);
            None
        });
        let target = known.map(|(_, uom, _)| uom.clone()).or(own);
        let mut data = Fields::new();
        for member in &event.fields {
            let got = match &member.field {
                Field::One(source) if matches!(member.spec.shape, Shape::Number) => self
                    .number(source, target.as_ref())
                    .map(|number| number.map(json_number)),
                other => self.shape(member.spec, other),
            };
            match got {
                Ok(Some(json)) => {
                    data.insert(member.spec.name.into(), json);
                }
                Ok(None) => {}
                Err(reason) => {
                    faulty.push(member.spec.name);
                    if !reasons.contains(&reason) {
                        reasons.push(reason);
                    }
                }
            }
        }
        if let Some(target) = &target {
            data.insert("uom".into(), target.code().into());
        }
        ordered(data, event.kind.fields())
    }

    /// `doubts`: what the device says of points that it does not call good.
    fn readings(
        self,
        event: &Event,
        contract: &SlotContract,
        doubts: &[(usize, Arc<str>)],
        reasons: &mut Vec<String>,
    ) -> Fields {
        let (mut values, mut uoms, mut quality) = (Fields::new(), Fields::new(), Fields::new());
        for (name, index, _) in &event.values {
            let doubt = doubts.iter().find(|(point, _)| point == index).map(|(_, word)| word);
            if let Some(word) = doubt {
                quality.insert(name.clone(), word.to_string().into());
            }
            let said = say(self.points, *index, self.values);
            if doubt.is_some() && said == Said::Absent {
                continue;
            }
            let bad = match &said {
                Said::Good(_) => None,
                Said::Absent if self.values.get(*index).is_some_and(Option::is_some) => continue,
                Said::Absent | Said::Invalid => Some("invalid"),
                Said::Implausible(_) => Some("implausible"),
                Said::Bad(reason) => {
                    reasons.push(reason.clone());
                    continue;
                }
            };
            let Said::Good(value) = said else {
                quality.insert(name.clone(), bad.unwrap_or("invalid").into());
                continue;
            };
            let known = contract.values.iter().find(|(value, _, _)| value == name);
            let (json, uom) = match self.reading(*index, &value, known.map(|(_, uom, _)| uom)) {
                Ok(found) => found,
                Err(reason) => {
                    reasons.push(reason);
                    continue;
                }
            };
            values.insert(name.clone(), json);
            if let Some(uom) = uom {
                uoms.insert(name.clone(), uom.code().into());
            }
        }
        let mut data = Fields::new();
        data.insert("values".into(), Json::Object(values));
        for (name, map) in [("uoms", uoms), ("quality", quality)] {
            if !map.is_empty() {
                data.insert(name.into(), Json::Object(map));
            }
        }
        data
    }

    /// One reading and its uom.
    fn reading(self, index: usize, value: &Value, contract: Option<&Uom>) -> Result<(Json, Option<Uom>), String> {
        if !matches!(value, Value::Number(_)) {
            return Ok((value.json(), None));
        }
        let own = decode::uom(self.points, index, self.values)?;
        let number = self.number(&Source::Point(index), contract)?.unwrap_or(Decimal::ZERO);
        Ok((json_number(number), contract.cloned().or(own)))
    }

    fn id(self, event: &Event) -> Option<Vec<String>> {
        let found: Vec<Option<String>> = event
            .id
            .iter()
            .map(|index| id_text(self.points, *index, self.values))
            .collect();
        found
            .iter()
            .any(Option::is_some)
            .then(|| found.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn counter(self, event: &Event, before: &[Option<Raw>]) -> Option<CounterReading> {
        let Some(counter) = event.counter else {
            return self.ring(event, before);
        };
        let value = self.value(&Source::Point(counter.point)).ok()??;
        Some(CounterReading {
            value: i64::try_from(value.number()?.to_i128()?).ok()?,
            first: counter.first,
            from: counter.from,
            last: counter.last,
            before: before
                .get(counter.point)
                .and_then(Option::as_ref)
                .and_then(|raw| i64::try_from(raw.number()?.to_i128()?).ok()),
            waits: event.ack.is_some(),
        })
    }

    /// The index of a ring counts its records, where nothing in them does.
    fn ring(self, event: &Event, before: &[Option<Raw>]) -> Option<CounterReading> {
        let ring = event.ring.as_ref()?;
        let index = |values: &[Option<Raw>]| {
            let raw = values.get(ring.index).and_then(Option::as_ref)?;
            u64::try_from(raw.number()?.to_i128()?).ok()
        };
        let value = index(self.values)?;
        let before = index(before);
        let point = self.points.get(ring.index)?;
        let modulus = ring.modulus(point.at.registers(), before.unwrap_or(value), value);
        Some(CounterReading {
            value: i64::try_from(value).ok()?,
            first: 0,
            from: i64::from(!ring.newest),
            last: i64::try_from(modulus - 1).ok(),
            before: before.and_then(|before| i64::try_from(before).ok()),
            waits: event.ack.is_some(),
        })
    }

    fn echo(self, event: &Event) -> Option<Echo> {
        let (value, how) = match (event.echo, event.field("code")) {
            (Some((point, how)), _) => (self.value(&Source::Point(point)).ok()??, how),
            (None, Some(member)) if event.kind == EventType::Identification => match &member.field {
                Field::One(source) => (self.value(source).ok()??, EchoMatch::Exact),
                _ => return None,
            },
            _ => return None,
        };
        let value = value.text().trim().to_owned();
        (!value.is_empty()).then_some(Echo { value, how })
    }

    fn extra(self, event: &Event) -> Fields {
        let mut extra = Fields::new();
        for (name, index) in &event.extra {
            let Said::Good(value) = say(self.points, *index, self.values) else {
                continue;
            };
            let mut object = Fields::new();
            object.insert("value".into(), value.json());
            if let Ok(Some(uom)) = decode::uom(self.points, *index, self.values) {
                object.insert("uom".into(), uom.code().into());
            }
            extra.insert(name.clone(), Json::Object(object));
        }
        extra
    }

    /// Whether `only` or `except` turns it away. A field that could not be read decides nothing: quarantine does.
    /// `unread`: something could not be read; then a filter that finds nothing tells nothing.
    fn turned_away(self, event: &Event, data: &Fields, faulty: &[&str], unread: bool) -> bool {
        let undecided = |filter: &Filter| match &filter.what {
            Filtered::Field(path) => faulty.contains(&path.split('.').next().unwrap_or_default()),
            Filtered::Point(index) => matches!(
                say(self.points, *index, self.values),
                Said::Bad(_) | Said::Implausible(_)
            ),
        };
        let found = |filter: &Filter| -> Vec<Value> {
            match &filter.what {
                Filtered::Field(path) => shown(data, path),
                Filtered::Point(index) => self.value(&Source::Point(*index)).ok().flatten().into_iter().collect(),
            }
        };
        let matches = |filter: &Filter| {
            let found = found(filter);
            found
                .iter()
                .any(|value| filter.values.iter().any(|wanted| value.is(wanted)))
        };
        let open = |filter: &Filter| undecided(filter) || unread && found(filter).is_empty();
        event.only.iter().any(|filter| !open(filter) && !matches(filter)) || event.except.iter().any(matches)
    }

    /// One draft for each bit that changed.
    fn alarms(self, event: &Event, before: &[Option<Raw>], draft: &Draft) -> Vec<Meaning> {
        let mut found = Vec::new();
        for word in &event.alarms {
            let bits = |values: &[Option<Raw>]| match values.get(word.point).and_then(Option::as_ref) {
                Some(Raw::List(row)) => Some(
                    row.iter()
                        .rev()
                        .fold(0_i128, |word, bit| word << 1 | i128::from(bit.truth())),
                ),
                Some(raw) if !matches!(say(self.points, word.point, values), Said::Invalid) => {
                    raw.number().and_then(Decimal::to_i128)
                }
                _ => None,
            };
            let Some(now) = bits(self.values) else { continue };
            let changed = now ^ bits(before).unwrap_or(0);
            for bit in &word.bits {
                if changed >> bit.bit & 1 == 0 {
                    continue;
                }
                let mut draft = draft.clone();
                let mut put = |name: &str, json: Option<Json>| {
                    if let Some(json) = json {
                        draft.data.insert(name.into(), json);
                    }
                };
                put("code", Some(bit.code.clone().into()));
                put("active", Some((now >> bit.bit & 1 == 1).into()));
                put("category", bit.category.clone().map(Json::from));
                put("text", bit.text.clone().map(Json::from));
                put("severity", bit.severity.as_ref().map(Value::json));
                draft.data = ordered(draft.data, event.kind.fields());
                if let Some(id) = &mut draft.id {
                    id.push(bit.code.clone());
                }
                found.push(Meaning::Draft(Box::new(required(draft, &[]))));
            }
        }
        found
    }
}

/// Members in the order of the contract.
fn ordered(mut data: Fields, specs: &[FieldSpec]) -> Fields {
    let mut sorted = Fields::new();
    for spec in specs {
        if let Some(json) = data.shift_remove(spec.name) {
            sorted.insert(spec.name.into(), json);
        }
    }
    sorted.extend(data);
    sorted
}

/// What an event shows at a dotted path; of an object its `id`, `value` or `code`, of a list each.
fn shown(data: &Fields, path: &str) -> Vec<Value> {
    let mut parts = path.split('.');
    let mut at = parts.next().and_then(|first| data.get(first));
    for part in parts {
        at = at.and_then(|json| json.get(part));
    }
    match at {
        Some(Json::Array(items)) => items.iter().filter_map(plain).collect(),
        Some(json) => plain(json).into_iter().collect(),
        None => Vec::new(),
    }
}

fn plain(json: &Json) -> Option<Value> {
    match json {
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) => number.to_string().parse().ok().map(Value::Number),
        Json::Object(object) => ["id", "value", "code"]
            .iter()
            .find_map(|name| object.get(*name))
            .and_then(plain),
        _ => None,
    }
}
