//! What a profile promises the MES: by type of event, each field with what may stand in it.
//!
//! Owns how a promise is read off compiled events. Does not own what a slot asks ([`super::super::slot`]).

use crate::model::Uom;
use crate::model::event::{EventType, FieldSpec, Shape, Verdict};
use crate::model::plan::{Keep, Link, PointIx, Recover};
use crate::profile::curve::Along;
use crate::profile::decode::Value;
use crate::profile::events::{Event, Filtered};
use crate::profile::fields::{Field, Member, Source};
use crate::profile::kind::Kind;
use crate::profile::points::{Code, Point};
use crate::profile::{Profile, SlotContract};
use std::collections::{BTreeMap, BTreeSet};

/// What may stand in one field of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Promise {
    /// Only one of these; `None`: whatever the device says.
    pub(super) words: Option<BTreeSet<String>>,
    /// In which uom.
    pub(super) uom: Option<String>,
    /// What kind of value, where that may change: `text`.
    pub(super) sort: Option<&'static str>,
    /// Every event of the type has it.
    pub(super) every: bool,
    /// It is no field, but turns events away: any difference is one for the MES.
    pub(super) filters: bool,
}

impl Promise {
    /// Whatever the device says.
    fn open() -> Self {
        Self {
            words: None,
            uom: None,
            sort: None,
            every: true,
            filters: false,
        }
    }

    fn words<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Self {
        Self {
            words: Some(words.into_iter().map(Into::into).collect()),
            ..Self::open()
        }
    }

    fn uom(self, uom: Option<String>) -> Self {
        Self { uom, ..self }
    }

    fn sort(self, sort: &'static str) -> Self {
        Self {
            sort: Some(sort),
            ..self
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = match &self.words {
            None => self.sort.unwrap_or("given").to_owned(),
            Some(words) => match words.iter().collect::<Vec<_>>()[..] {
                [] => "never said".to_owned(),
                [only] if self.filters => only.clone(),
                [only] => format!("always {only}"),
                ref many => many.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", "),
            },
        };
        if let Some(uom) = &self.uom {
            text = format!("{text} in {uom}");
        }
        if !self.every {
            text.push_str(", only in some events");
        }
        text
    }

    /// Whether who relied on `before` can go on: nothing that came comes no longer, or otherwise. A device that never leaves
    /// its verdict open takes nothing away.
    pub(super) fn keeps(&self, before: &Self) -> bool {
        if self.filters || before.filters {
            return self == before;
        }
        let open = [Verdict::Undecided.word(), Verdict::NotJudged.word()];
        let words = match (&before.words, &self.words) {
            (None, None) => true,
            (Some(before), Some(after)) => before.difference(after).all(|gone| open.contains(&gone.as_str())),
            _ => false,
        };
        words && before.uom == self.uom && before.sort == self.sort && (self.every || !before.every)
    }

    /// Of two events of one type.
    fn join(&mut self, other: &Self) {
        self.words = match (self.words.take(), &other.words) {
            (Some(mine), Some(others)) => Some(mine.union(others).cloned().collect()),
            _ => None,
        };
        if self.uom != other.uom {
            let both: BTreeSet<&str> = [&self.uom, &other.uom]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
            self.uom = Some(both.into_iter().collect::<Vec<_>>().join(" or "));
        }
        self.every &= other.every;
    }
}

/// Fields by dotted path, with the type in front.
type Fields = BTreeMap<String, Promise>;

/// By type of event.
pub(super) fn of(profile: &Profile, contract: &SlotContract) -> BTreeMap<&'static str, Fields> {
    let mut found: BTreeMap<&'static str, Fields> = BTreeMap::new();
    for event in &profile.events {
        found.entry(event.kind.word()).or_default();
    }
    for (kind, fields) in &mut found {
        let events: Vec<&Event> = profile
            .events
            .iter()
            .filter(|event| event.kind.word() == *kind)
            .collect();
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        for event in &events {
            for (path, promise) in one(event, profile, contract) {
                let path = format!("{kind}.{path}");
                *given.entry(path.clone()).or_default() += 1;
                match fields.get_mut(&path) {
                    Some(have) => have.join(&promise),
                    None => drop(fields.insert(path, promise)),
                }
            }
        }
        // Those that stand under a name of the plant's belong to that name, not to every event of the type.
        let named = matches!(
            events.first().map(|event| event.kind),
            Some(EventType::Measurement | EventType::Readings)
        );
        for (path, promise) in fields.iter_mut().filter(|_| !named) {
            promise.every &= given.get(path).is_some_and(|given| *given == events.len());
        }
    }
    found
}

/// What one event gives.
fn one(event: &Event, profile: &Profile, contract: &SlotContract) -> Fields {
    let reader = Reader {
        points: &profile.points,
        contract,
        found: Fields::new(),
    };
    let mut found = match event.kind {
        EventType::Measurement => reader.measurement(event),
        EventType::Readings => reader.readings(event),
        _ => reader.fields(event),
    };
    let mut put = |path: &str, promise: Promise| drop(found.insert(path.to_owned(), promise));
    if event.kind.field("result_id").is_some() && !event.id.is_empty() && event.kind != EventType::Measurement {
        put("result_id", Promise::open());
    }
    if event.counter.is_some() || event.ring.is_some() || fetched(event, profile) {
        put("gap", Promise::open().sort("told where results are missing"));
    }
    if event.time.is_some() {
        put("times.device", Promise::open());
    }
    if event.echo.is_some() && event.kind != EventType::Identification {
        put("unit", Promise::open().sort("compared with what the device says"));
    }
    if event.kind == EventType::Identification && event.echo.is_some() {
        put("unit", Promise::open().sort("a part of the code"));
    }
    for (word, filters) in [("only", &event.only), ("except", &event.except)] {
        for filter in filters {
            if let Filtered::Field(path) = &filter.what {
                put(
                    &format!("{word}.{path}"),
                    Promise {
                        filters: true,
                        ..Promise::words(filter.values.iter().map(Value::text))
                    },
                );
            }
        }
    }
    found
}

/// Whether the controller is asked for what was missed, and what cannot be fetched is told.
fn fetched(event: &Event, profile: &Profile) -> bool {
    use crate::model::plan::{Said, Trigger};
    matches!(&profile.connection.link, Link::OpenProtocol(link) if link.recover != Recover::None)
        && event.triggers.contains(&Trigger::Said(Said::Result))
}

/// Reads promises off fields.
struct Reader<'a> {
    points: &'a [Point],
    contract: &'a SlotContract,
    found: Fields,
}

impl Reader<'_> {
    fn put(&mut self, path: impl Into<String>, promise: Promise) {
        self.found.insert(path.into(), promise);
    }

    fn fields(mut self, event: &Event) -> Fields {
        for member in &event.fields {
            self.member(member.spec.name, member);
        }
        if !event.alarms.is_empty() {
            let bits = || event.alarms.iter().flat_map(|word| &word.bits);
            self.put("code", Promise::words(bits().map(|bit| bit.code.clone())));
            self.put("active", Promise::open());
            let mut some = |name: &str, given: usize, promise: Promise| {
                let every = given == bits().count();
                if given > 0 {
                    self.put(name, Promise { every, ..promise });
                }
            };
            let categories: Vec<String> = bits().filter_map(|bit| bit.category.clone()).collect();
            some("category", categories.len(), Promise::words(categories));
            some("text", bits().filter(|bit| bit.text.is_some()).count(), Promise::open());
            some(
                "severity",
                bits().filter(|bit| bit.severity.is_some()).count(),
                Promise::open(),
            );
        }
        self.found
    }

    fn member(&mut self, path: &str, member: &Member) {
        match &member.field {
            Field::One(source) => {
                let promise = self.source(source, member.spec);
                self.put(path, promise);
            }
            Field::Flags(words) => self.put(path, Promise::words(words.iter().map(|(word, _)| *word))),
            Field::Measure(uom, members) => {
                for member in members {
                    let name = member.spec.name;
                    let at = if name == "value" {
                        path.to_owned()
                    } else {
                        format!("{path}.{name}")
                    };
                    let promise = match &member.field {
                        Field::One(source @ Source::Const(..)) if name != "result" => self
                            .source(source, member.spec)
                            .uom(Some(Self::constant_uom(source, uom))),
                        Field::One(source) => self.source(source, member.spec),
                        _ => {
                            self.member(&at, member);
                            continue;
                        }
                    };
                    self.put(at, promise);
                }
            }
            Field::Object(members) => {
                for member in members {
                    self.member(&format!("{path}.{}", member.spec.name), member);
                }
            }
            Field::Errors(reasons) => {
                self.put(format!("{path}.code"), Promise::open());
                let with = |reason: &&crate::profile::fields::Reason| reason.text.is_some() || !reason.texts.is_empty();
                let given = reasons.iter().filter(with).count();
                if given > 0 {
                    let every = given == reasons.len();
                    self.put(
                        format!("{path}.text"),
                        Promise {
                            every,
                            ..Promise::open()
                        },
                    );
                }
            }
            Field::Named(named) => {
                for (name, source) in named {
                    let promise = match source {
                        Source::Const(value, _) => Promise::words([value.text()]),
                        Source::Point(_) => Promise::open(),
                    };
                    self.put(format!("{path}.{name}"), promise);
                }
            }
            Field::Axis(axis) => {
                let own = match &axis.along {
                    Along::Values(index) | Along::Step(Source::Point(index)) => self.point_uom(*index),
                    Along::Step(Source::Const(_, uom)) => uom.as_ref().map(|uom| uom.code().to_owned()),
                };
                let uom = axis.uom.as_ref().map(|uom| uom.code().to_owned()).or(own);
                let promise = match axis.name_from {
                    Some(_) => Promise::open(),
                    None => Promise::words([axis.name.clone()]),
                };
                self.put(path, promise.uom(uom));
            }
        }
    }

    /// The uom of a constant in a measure: its own, where it says one.
    fn constant_uom(source: &Source, contract: &Uom) -> String {
        match source {
            Source::Const(_, Some(own)) => own.code().to_owned(),
            _ => contract.code().to_owned(),
        }
    }

    fn point_uom(&self, index: PointIx) -> Option<String> {
        let point = self.points.get(index)?;
        if point.uom_from.is_some() {
            return Some("the uom that the device names".to_owned());
        }
        point.uom.as_ref().map(|uom| uom.code().to_owned())
    }

    /// What may stand in a field of this shape.
    fn source(&self, source: &Source, spec: &FieldSpec) -> Promise {
        let listed = matches!(spec.name, "code" | "symbology");
        match (source, spec.shape) {
            (Source::Const(value, _), _) => Promise::words([value.text()]),
            (Source::Point(index), Shape::Words(words)) => Promise::words(said(self.points.get(*index), words)),
            (Source::Point(index), _) if listed => match self.points.get(*index).and_then(|point| point.map.as_ref()) {
                Some(map) => Promise::words(map.meanings().map(|(value, _)| value.text())),
                None => Promise::open(),
            },
            (Source::Point(_), _) => Promise::open(),
        }
    }

    /// By its name of the plant's; in the uom of the slot's `values`, else in its own.
    fn measurement(mut self, event: &Event) -> Fields {
        let name = match event.field("name").map(|member| &member.field) {
            Some(Field::One(Source::Const(name, _))) => name.text(),
            _ => "(named by the device)".to_owned(),
        };
        let promised = self.contract.values.iter().find(|(value, _, _)| *value == name);
        let own = match event.field("value").map(|member| &member.field) {
            Some(Field::One(Source::Point(index))) => self.point_uom(*index),
            Some(Field::One(Source::Const(_, uom))) => uom.as_ref().map(|uom| uom.code().to_owned()),
            _ => None,
        };
        let uom = promised.map(|(_, uom, _)| uom.code().to_owned()).or(own);
        for member in event.fields.iter().filter(|member| member.spec.name != "name") {
            let path = match member.spec.name {
                "value" => name.clone(),
                other => format!("{name}.{other}"),
            };
            self.member(&path, member);
        }
        if let Some(promise) = self.found.get_mut(&name) {
            promise.uom = uom;
        }
        if !event.id.is_empty() {
            self.put(format!("{name}.result_id"), Promise::open());
        }
        self.found
    }

    fn readings(mut self, event: &Event) -> Fields {
        for (name, index, _) in &event.values {
            let Some(point) = self.points.get(*index) else { continue };
            let number = !point.is_text() && !point.is_bool() && point.map.is_none();
            let promised = self.contract.values.iter().find(|(value, _, _)| value == name);
            let uom = promised.map(|(_, uom, _)| uom.code().to_owned());
            let uom = uom.or_else(|| self.point_uom(*index)).filter(|_| number);
            let sort = match (&point.map, number, point.is_bool()) {
                (Some(_), _, _) => "a code's meaning",
                (None, true, _) => "a number",
                (None, false, true) => "true or false",
                (None, false, false) => "text",
            };
            self.put(name.clone(), Promise::open().sort(sort).uom(uom));
        }
        let kept = match event.keep {
            Keep::Stored => "stored, each with its sequence",
            Keep::Latest => "only the newest, without sequence",
        };
        self.put("kept", Promise::words([kept]));
        self.found
    }
}

/// Which of the contract's words a point can come to.
pub(in crate::profile) fn said(point: Option<&Point>, words: &[&'static str]) -> BTreeSet<String> {
    let all = || words.iter().map(|word| (*word).to_owned()).collect();
    let Some(point) = point else { return all() };
    let mut found: BTreeSet<String> = match (&point.map, point.kind) {
        (Some(map), _) => map.meanings().map(|(value, _)| value.text()).collect(),
        (None, Kind::Word(says)) => says.iter().map(|word| (*word).to_owned()).collect(),
        (None, _) => return all(),
    };
    if let (Some(map), Kind::Word(says)) = (&point.map, point.kind)
        && map.other.is_none()
    {
        // Words of the contract stay what they are, unless the map says otherwise.
        let mapped = |word: &str| {
            map.codes
                .iter()
                .any(|(code, _, _)| *code == Code::Text(word.to_owned()))
        };
        found.extend(says.iter().filter(|word| !mapped(word)).map(|word| (*word).to_owned()));
    }
    found.retain(|word| words.contains(&word.as_str()));
    found
}
