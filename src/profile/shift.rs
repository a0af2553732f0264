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
    let points = base.entries.iter_mut().find(|(key, _)| key.name == "points");
    if let Some((
        _,
        Node {
            value: Value::Table(points),
            ..
        },
    )) = points
    {
        for (name, point) in &mut points.entries {
            let Value::Table(keys) = &mut point.value else { continue };
            let Some((_, at)) = keys.entries.iter_mut().find(|(key, _)| key.name == "at") else {
                continue;
            };
            // What is no address is told where it is compiled.
            let Some(Ok((table, address))) = at.as_text().map(modbus::parse_at) else {
                continue;
            };
            let found = by.entries.iter().position(|(key, _)| key.name == table.word());
            let Some((index, distance)) = found.and_then(|index| Some((index, by.entries.get(index)?.1.as_integer()?)))
            else {
                continue;
            };
            if let Some(used) = used.get_mut(index) {
                *used = true;
            }
            match u16::try_from(i64::from(address).saturating_add(distance)) {
                Ok(moved) => at.value = Value::Text(format!("{}:{moved}", table.word())),
                Err(_) => {
                    let place = by.entries.get(index).map(|(_, node)| &node.place);
                    if let Some(place) = place {
                        out.push(
                            Diagnostic::error(place, format!("this puts `{}` beyond the table", name.name))
                                .label(format!("{address} and {distance} more; addresses are 0 to 65535"))
                                .related(&at.place, "the point"),
                        );
                    }
                }
            }
        }
    }
    for ((key, _), used) in by.entries.iter().zip(used) {
        if !used {
            out.push(
                Diagnostic::warning(
                    &key.place,
                    format!("no inherited point stands in the {} table", key.name),
                )
                .help("leave it out, or name the table that the points stand in"),
            );
        }
    }
}
