//! How a plan looks: for people in four sections, and as JSON.

use super::Swap;
use super::recorded::{Change, Heard, Sum, known_factor, noticed};
use crate::cli::replay::{event, many, two_json};
use crate::diagnostic::Diagnostics;
use crate::model::{Decimal, DeviceIdentity};
use crate::profile::Profile;
use crate::profile::compare::Difference;
use crate::replay::Replayed;
use crate::replay::differ::Pair;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

/// Events that are shown of a record one by one.
const SHOWN: usize = 5;

/// Adds to a text, which does not fail.
fn add(text: &mut String, part: fmt::Arguments<'_>) {
    let added = text.write_fmt(part);
    debug_assert!(added.is_ok());
}

/// For people.
pub(super) fn text(swaps: &[Swap]) -> String {
    let mut sections: Vec<String> = swaps.iter().map(one).collect();
    let promised = swaps.iter().all(|swap| swap.comparison.keeps_contract());
    let changing = swaps.iter().filter(|swap| !swap.keeps()).count();
    sections.push(match (swaps.len(), changing) {
        (0, _) => "no slot has a device file: nothing changes".to_owned(),
        (_, 0) => "the contract is kept: the MES notices nothing that it relies on".to_owned(),
        _ if promised => {
            "the fields stay, the values do not: what is recorded would reach the MES otherwise; see above before you swap"
                .to_owned()
        }
        (1, _) => "the contract changes: see \"For the MES\" before you swap".to_owned(),
        (all, changing) => format!("the contract changes in {changing} of {all} slots"),
    });
    sections.join("\n\n")
}

fn one(swap: &Swap) -> String {
    let mut text = format!("{}: {}", swap.slot(), devices(swap));
    let comparison = &swap.comparison;
    if swap.before.is_none() {
        text.push_str("\n\nFor the MES\n  ");
        let kinds: Vec<&str> = swap.after.events().map(|(_, kind)| kind.word()).collect();
        add(
            &mut text,
            format_args!("nothing filled this slot before; it will send {}", kinds.join(", ")),
        );
    } else {
        section(&mut text, "For the MES", &comparison.contract, "");
        if !comparison.gained.is_empty() {
            text.push_str("\n  besides, and no break of the contract:");
            lines(&mut text, &comparison.gained, "  ");
        }
        section(&mut text, "For the device link", &comparison.link, "");
        section(&mut text, "In extra and identity", &comparison.beside, "");
    }
    text.push_str("\n\nWhat recorded data says");
    if swap.heard.is_empty() {
        let slot = swap.slot();
        add(
            &mut text,
            format_args!(
                "\n  nothing is recorded of {slot}: `lineside record {slot} --out FILE` keeps what the device says now,\n  \
             and `plan … --record FILE` runs both device files over it"
            ),
        );
    }
    for heard in &swap.heard {
        recorded(&mut text, heard);
    }
    text
}

fn devices(swap: &Swap) -> String {
    let named = |identity: &DeviceIdentity| {
        let serial = identity.serial.as_ref().map(|serial| format!(" ({serial})"));
        let name = format!("{} {}{}", identity.vendor, identity.model, serial.unwrap_or_default());
        let name = name.trim().to_owned();
        if name.is_empty() {
            "a device without a name".to_owned()
        } else {
            name
        }
    };
    let after = named(swap.after.identity());
    match swap.before.as_deref().map(Profile::identity) {
        Some(before) => format!("{} ({}) → {after} ({})", named(before), swap.from, swap.to),
        None => format!("nothing → {after} ({})", swap.to),
    }
}

fn section(text: &mut String, title: &str, list: &[Difference], indent: &str) {
    add(text, format_args!("\n\n{title}"));
    if list.is_empty() {
        text.push_str("\n  nothing");
    }
    lines(text, list, indent);
}

fn lines(text: &mut String, list: &[Difference], indent: &str) {
    for difference in list {
        let what = &difference.what;
        let line = match (&difference.from, &difference.to) {
            (Some(from), Some(to)) => format!("{what}: {} → {}", short(from), short(to)),
            (Some(from), None) => format!("{what}: no longer (was: {})", short(from)),
            (None, Some(to)) => format!("{what}: new: {}", short(to)),
            (None, None) => what.clone(),
        };
        add(text, format_args!("\n  {indent}{line}"));
    }
}

/// A digest in full is for machines.
fn short(value: &str) -> String {
    match value.strip_prefix("sha256:") {
        Some(digest) if digest.len() > 12 => format!("sha256:{}…", digest.get(..12).unwrap_or(digest)),
        _ => value.to_owned(),
    }
}

/// `12 tightening, 1 quarantine`.
fn counted(made: &Replayed) -> String {
    let counts = counts(made);
    if counts.is_empty() {
        return "no event".to_owned();
    }
    let counts: Vec<String> = counts.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    counts.join(", ")
}

fn counts(made: &Replayed) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for event in &made.events {
        let kind = event.json.get("type").and_then(Value::as_str).unwrap_or_default();
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

fn recorded(text: &mut String, heard: &Heard) {
    add(
        text,
        format_args!("\n  {} ({}):", heard.name, many(heard.lines, "line")),
    );
    for note in &heard.notes {
        add(text, format_args!("\n    {note}"));
    }
    for (which, made) in [("present", &heard.before), ("new", &heard.after)] {
        let Some(made) = made else { continue };
        add(
            text,
            format_args!("\n    the {which} device file makes of it: {}", counted(made)),
        );
        for note in &made.notes {
            add(text, format_args!("\n      {note}"));
        }
        if !made.torn.is_empty() {
            add(
                text,
                format_args!(
                    "\n      {} without a picture of one moment",
                    many(made.torn.len(), "change")
                ),
            );
        }
    }
    if let Some((pairs, sum)) = heard.pairs().zip(heard.sum()).filter(|_| heard.counts) {
        both(text, &pairs, &sum);
    } else {
        let alone = heard.after.as_ref().or(heard.before.as_ref());
        for made in alone.iter().flat_map(|made| made.events.iter().take(SHOWN)) {
            add(text, format_args!("\n    {}", event(made)));
        }
        rest(text, alone.map_or(0, |made| made.events.len()));
    }
}

fn rest(text: &mut String, all: usize) {
    if all > SHOWN {
        add(
            text,
            format_args!("\n    … and {} more: `lineside replay` shows all", all - SHOWN),
        );
    }
}

fn both(text: &mut String, pairs: &[Pair<'_>], sum: &Sum) {
    let mut put = |line: String| {
        add(text, format_args!("\n    {line}"));
    };
    let differ = sum.otherwise + sum.only_before + sum.only_after;
    if differ == 0 && sum.same == 0 {
        put("neither makes an event of it: it shows nothing".to_owned());
    } else if differ == 0 {
        put(format!("the MES would see the same: {}", many(sum.same, "event")));
    } else {
        put(format!(
            "the MES would see {differ} of {} otherwise",
            many(pairs.len(), "event")
        ));
    }
    if sum.only_before > 0 {
        put(format!("{} would not come any more", many(sum.only_before, "event")));
    }
    if sum.only_after > 0 {
        put(format!(
            "{} would come that do not come now",
            many(sum.only_after, "event")
        ));
    }
    for (field, change) in &sum.fields {
        put(format!("{field}: {}", changed(change)));
    }
    for (field, change) in &sum.gained {
        put(format!("{field} is new, in {}", many(change.events, "event")));
    }
    if !sum.beside.is_empty() {
        let fields: Vec<&str> = sum.beside.keys().map(String::as_str).collect();
        put(format!("beside the contract: {} differ", fields.join(", ")));
    }
    let noticed: Vec<&Pair<'_>> = pairs.iter().filter(|pair| noticed(pair)).collect();
    for pair in noticed.iter().take(SHOWN) {
        match pair {
            Pair::First(made) => put(format!("- {}", event(made))),
            Pair::Second(made) => put(format!("+ {}", event(made))),
            Pair::Both { first, second, .. } => {
                put(format!("- {}", event(first)));
                put(format!("+ {}", event(second)));
            }
        }
    }
    rest(text, noticed.len());
}

fn changed(change: &Change) -> String {
    let say = |value: &Option<Value>| match value {
        None => "absent".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let mut line = format!(
        "otherwise in {}, {} → {}",
        many(change.events, "event"),
        say(&change.first),
        say(&change.second)
    );
    if let Some(factor) = change.factor {
        add(&mut line, format_args!(", always ×{}", rounded(factor)));
        if let Some(known) = known_factor(factor) {
            add(&mut line, format_args!(" ({known})"));
        }
    }
    line
}

/// Four significant digits.
fn rounded(factor: f64) -> String {
    Decimal::from_f64(factor).map_or_else(|| factor.to_string(), |factor| factor.round_significant(4).to_string())
}

/// For machines.
pub(super) fn json(swaps: &[Swap], out: &Diagnostics) -> Value {
    let slots: Vec<Value> = swaps.iter().map(swap_json).collect();
    json!({
        "ok": true,
        "contract_kept": swaps.iter().all(Swap::keeps),
        "slots": slots,
        "diagnostics": out.to_json(),
    })
}

fn swap_json(swap: &Swap) -> Value {
    let identity = |profile: &Profile| {
        let identity = profile.identity();
        json!({
            "vendor": identity.vendor, "model": identity.model, "serial": identity.serial, "digest": identity.digest,
        })
    };
    let list = |list: &[Difference]| -> Value {
        let one = |one: &Difference| json!({ "what": one.what, "from": one.from, "to": one.to });
        list.iter().map(one).collect()
    };
    let comparison = &swap.comparison;
    json!({
        "slot": swap.slot().to_string(),
        "from": swap.before.as_deref().map(identity),
        "to": identity(&swap.after),
        "file": swap.to,
        "contract_kept": swap.keeps(),
        "sentence": comparison.sentence(),
        "contract": list(&comparison.contract),
        "gained": list(&comparison.gained),
        "link": list(&comparison.link),
        "beside": list(&comparison.beside),
        "recorded": swap.heard.iter().map(|heard| heard_json(swap, heard)).collect::<Vec<_>>(),
    })
}

fn heard_json(swap: &Swap, heard: &Heard) -> Value {
    let made = |made: &Option<Replayed>| {
        made.as_ref()
            .map(|made| json!({ "events": counts(made), "ignored": made.ignored, "torn": made.torn.len(), "notes": made.notes }))
    };
    let changes = |list: &BTreeMap<String, Change>| -> Value {
        let one = |(field, change): (&String, &Change)| {
            json!({
                "field": field, "events": change.events, "first": change.first, "second": change.second,
                "factor": change.factor.map(rounded),
            })
        };
        list.iter().map(one).collect()
    };
    let sum = heard.sum().filter(|_| heard.counts).map(|sum| {
        json!({
            "same": sum.same, "otherwise": sum.otherwise, "only_before": sum.only_before, "only_after": sum.only_after,
            "fields": changes(&sum.fields), "gained": changes(&sum.gained), "beside": changes(&sum.beside),
        })
    });
    let shown = match (&heard.before, &heard.after, heard.pairs()) {
        (Some(first), Some(second), Some(pairs)) if heard.counts => {
            let (from, to) = (Path::new(&swap.from), Path::new(&swap.to));
            Some(two_json(&pairs, (from, first), (to, second)))
        }
        _ => None,
    };
    json!({
        "record": heard.name, "lines": heard.lines, "contract_kept": heard.keeps(), "compared": heard.counts,
        "before": made(&heard.before), "after": made(&heard.after), "notes": heard.notes,
        "summary": sum, "events": shown,
    })
}
