//! `shift`: the same map once more, further on, so that ten stations of one PLC are one profile and ten short files.
//!
//! Owns the addition. Moves inherited points only; connects to nothing.

use crate::diagnostic::tree::{Node, Table, Value};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::wire::modbus;

/// Adds what `by` says to the address of every point in `base`.
pub(super) fn points(base: &mut Table, by: &Node, out: &mut Diagnostics) {
    let Some(by) = by.as_table() else { return };
    let mut used = vec![false; by.entries.len()];
    for (name, at) in addresses(base) {
        // What is no address is told where it is compiled.
        let Some(Ok((table, address))) = at.as_text().map(modbus::parse_at) else {
            continue;
        };
        for ((key, node), used) in by.entries.iter().zip(&mut used) {
            let Some(distance) = node.as_integer().filter(|_| key.name == table.word()) else {
                continue;
            };
            *used = true;
            if let Ok(moved) = u16::try_from(i64::from(address).saturating_add(distance)) {
                at.value = Value::Text(format!("{}:{moved}", table.word()));
            } else {
                out.push(
                    Diagnostic::error(&node.place, format!("this puts `{name}` beyond the table"))
                        .label(format!("{address} and {distance} more; addresses are 0 to 65535"))
                        .related(&at.place, "the point"),
                );
            }
        }
    }
    for ((key, _), _) in by.entries.iter().zip(used).filter(|(_, used)| !used) {
        out.push(
            Diagnostic::warning(
                &key.place,
                format!("no inherited point stands in the {} table", key.name),
            )
            .help("leave it out, or name the table that the points stand in"),
        );
    }
}

/// Name and `at` of every point.
fn addresses(base: &mut Table) -> impl Iterator<Item = (&str, &mut Node)> {
    let points = base.entries.iter_mut().filter(|(key, _)| key.name == "points");
    points
        .filter_map(|(_, node)| match &mut node.value {
            Value::Table(points) => Some(points),
            _ => None,
        })
        .flat_map(|points| &mut points.entries)
        .filter_map(|(name, point)| match &mut point.value {
            Value::Table(keys) => Some((name.name.as_str(), keys)),
            _ => None,
        })
        .filter_map(|(name, keys)| {
            let at = keys.entries.iter_mut().find(|(key, _)| key.name == "at");
            Some((name, &mut at?.1))
        })
}
