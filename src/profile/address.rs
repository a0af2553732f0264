//! Where a point is: `at`, `type`, widths, bits, arrays, strings. Owns which combinations of them are possible;
//! reads no register ([`crate::wire::modbus`]) and gives no meaning ([`super::points`]).

use super::format::ORDERS;
use crate::diagnostic::tree::{Node, Table, Value as Toml};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Severity};
use crate::model::plan::{ModbusPoint, ModbusType, WordOrder};
use crate::wire::modbus;

/// `at`, `type`, `word_order`, `bit`, `bits`, `count`, `length`, `clears`.
pub(super) fn compile(
    name: &str,
    place: &Place,
    keys: &Table,
    order: WordOrder,
    out: &mut Diagnostics,
) -> Option<ModbusPoint> {
    let before = out.iter().count();
    let Some(at) = keys.get("at") else {
        out.push(
            Diagnostic::error(place, format!("point `{name}` needs `at`")).help(
                "say where it is: at = \"holding:100\". A point that overrides an inherited one is written whole",
            ),
        );
        return None;
    };
    let (table, address) = match modbus::parse_at(at.as_text()?) {
        Ok(found) => found,
        Err(fault) => {
            out.push(Diagnostic::error(&at.place, fault.to_string()));
            return None;
        }
    };
    let kind = kind(name, place, keys, table.is_bits(), out)?;
    let bits = bits(keys, kind, table.is_bits(), out);
    let count = keys
        .get("count")
        .and_then(Node::as_integer)
        .and_then(|count| u16::try_from(count).ok());
    if let Some((at, _)) = keys.entry("count")
        && (bits.is_some() || matches!(kind, ModbusType::Text(_)))
    {
        out.push(Diagnostic::error(
            &at.place,
            "an array is of plain numbers or coils, not of bits or strings",
        ));
    }
    let width = u32::from(kind.width()) * u32::from(count.unwrap_or(1));
    let (most, what) = if table.is_bits() {
        (2000, "bits")
    } else {
        (125, "registers")
    };
    if width > most {
        out.push(
            Diagnostic::error(
                &at.place,
                format!("`{name}` takes {width} {what}, but one request reads {most} at most"),
            )
            .help("make it several points: a value is never put together from two requests"),
        );
    }
    if u32::from(address) + width > 65_536 {
        out.push(Diagnostic::error(
            &at.place,
            format!("`{name}` takes {width} {what} and ends beyond address 65535"),
        ));
    }
    let own = keys.get("word_order");
    if let Some(node) = own
        && (table.is_bits() || (kind.width() == 1 && count.is_none() && !matches!(kind, ModbusType::Text(_))))
        && matches!(node.as_text(), Some("cdab"))
    {
        out.push(
            // It does no harm: a map may say it of every point alike.
            Diagnostic::warning(
                &node.place,
                format!(
                    "`{name}` is one {}: there are no words to swap",
                    if table.is_bits() { "bit" } else { "register" }
                ),
            )
            .help("leave `word_order` out"),
        );
    }
    let order = own
        .and_then(Node::as_text)
        .and_then(|word| ORDERS.iter().find(|(known, _)| *known == word))
        // That of [connection] is for values of several registers; only a point itself swaps the bytes of one.
        .map_or_else(
            || {
                if kind.width() > 1 || matches!(kind, ModbusType::Text(_)) {
                    order
                } else {
                    WordOrder::Abcd
                }
            },
            |(_, order)| *order,
        );
    let faulty = out.iter().skip(before).any(|fault| fault.severity == Severity::Error);
    (!faulty).then_some(ModbusPoint {
        table,
        address,
        kind,
        order,
        bits,
        count,
        clears: matches!(keys.get("clears").map(|node| &node.value), Some(Toml::Bool(true))),
    })
}

fn kind(name: &str, place: &Place, keys: &Table, bit_table: bool, out: &mut Diagnostics) -> Option<ModbusType> {
    let length = keys.get("length").and_then(Node::as_integer);
    let node = keys.get("type");
    let kind = match node.map(|node| node.as_text().unwrap_or_default()) {
        Some("bool") => ModbusType::Bool,
        Some("u16") => ModbusType::U16,
        Some("i16") => ModbusType::I16,
        Some("u32") => ModbusType::U32,
        Some("i32") => ModbusType::I32,
        Some("u64") => ModbusType::U64,
        Some("i64") => ModbusType::I64,
        Some("f32") => ModbusType::F32,
        Some("f64") => ModbusType::F64,
        Some("bcd16") => ModbusType::Bcd16,
        Some("bcd32") => ModbusType::Bcd32,
        Some("string") => {
            if keys.get("length").is_none() {
                let place = node.map_or(place, |node| &node.place);
                out.push(
                    Diagnostic::error(place, format!("string `{name}` needs `length`"))
                        .help("in bytes, two a register: length = 17"),
                );
            }
            ModbusType::Text(u16::try_from(length?).ok()?)
        }
        Some(word) => {
            let known = ["text", "decimal", "u8", "i8"].contains(&word);
            if let Some(node) = node.filter(|_| known) {
                let help = match word {
                    "text" => "a text in registers is type = \"string\" with its `length`",
                    "decimal" => "write how the registers are read: u16, i16, u32, f32 …, and `scale` for decimals",
                    _ => "a register has 16 bits: write type = \"u16\" with bits = [0, 7] or [8, 15]",
                };
                out.push(Diagnostic::error(&node.place, format!("`{word}` is no type of registers")).help(help));
            }
            return None;
        }
        None if bit_table || keys.get("bit").is_some() => ModbusType::Bool,
        None if keys.get("bits").is_some() => ModbusType::U16,
        None if length.is_some() => ModbusType::Text(u16::try_from(length?).ok()?),
        None => {
            out.push(
                Diagnostic::error(place, format!("point `{name}` needs `type`"))
                    .help("registers do not say what is in them: type = \"u16\", i16, u32, f32, string …"),
            );
            return None;
        }
    };
    if bit_table && kind != ModbusType::Bool {
        let place = node.map_or(place, |node| &node.place);
        out.push(
            Diagnostic::error(
                place,
                format!("`{name}` stands in a table of single bits, so it is a bool"),
            )
            .help("write type = \"bool\", or another table: holding, input"),
        );
        return None;
    }
    if let Some((at, _)) = keys.entry("length")
        && !matches!(kind, ModbusType::Text(_))
    {
        out.push(Diagnostic::error(&at.place, "only a string has a `length`").help("an array has a `count`"));
    }
    Some(kind)
}

/// `bit` or `bits`, as lowest bit and number of bits.
fn bits(keys: &Table, kind: ModbusType, bit_table: bool, out: &mut Diagnostics) -> Option<(u8, u8)> {
    let (key, low, high) = match (keys.entry("bit"), keys.entry("bits")) {
        (Some((key, _)), Some((other, _))) => {
            out.push(
                Diagnostic::error(&other.place, "`bit` and `bits` cannot go together").related(&key.place, "here"),
            );
            return None;
        }
        (Some((key, node)), None) => {
            if kind != ModbusType::Bool {
                out.push(
                    Diagnostic::error(&key.place, "one bit is a bool")
                        .help("write type = \"bool\", or bits = [low, high] for a number"),
                );
                return None;
            }
            let bit = node.as_integer()?;
            (key, bit, bit)
        }
        (None, Some((key, node))) => {
            let ends: Vec<i64> = node.as_list()?.iter().filter_map(Node::as_integer).collect();
            let [low, high] = ends[..] else {
                out.push(
                    Diagnostic::error(&node.place, "`bits` are two numbers")
                        .help("the lowest and the highest bit: bits = [4, 7]"),
                );
                return None;
            };
            if !matches!(kind, ModbusType::U16 | ModbusType::U32 | ModbusType::U64) {
                out.push(
                    Diagnostic::error(&key.place, "bits of a word are an unsigned number")
                        .help("write type = \"u16\" (u32, u64), or bit = N for a bool"),
                );
                return None;
            }
            (key, low, high)
        }
        (None, None) => return None,
    };
    if bit_table {
        out.push(Diagnostic::error(
            &key.place,
            "a coil or discrete input is one bit already",
        ));
        return None;
    }
    let width = i64::from(kind.width()) * 16;
    if high >= width || low > high {
        out.push(
            Diagnostic::error(
                &key.place,
                format!("there are bits 0 to {} here, lowest first", width - 1),
            )
            .help("bit 0 is the least significant"),
        );
        return None;
    }
    Some((u8::try_from(low).ok()?, u8::try_from(high - low + 1).ok()?))
}
