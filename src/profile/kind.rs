//! What raw values a point has, and which constants it can be compared with.
//!
//! Owns ranges and conversions of constants in a file. Does not own where a point is.

use crate::diagnostic::tree::{Node, Value as Toml};
use crate::diagnostic::{Diagnostic, meant};
use crate::model::plan::{ModbusPoint, ModbusType, OpcuaType, TextKind};
use crate::model::{Decimal, Raw};
use crate::wire::open_protocol::FieldKind;

/// What kind of raw values a point has; of an array, its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// Whole numbers, lowest and highest.
    Whole(i128, i128),
    /// Decimals.
    Number,
    /// IEEE 754 single.
    Single,
    /// IEEE 754 double.
    Double,
    Text,
    /// One of these words of the contract.
    Word(&'static [&'static str]),
    /// Whatever the device says: number or text.
    Open,
}

impl Kind {
    /// Of registers.
    pub(super) fn registers(at: &ModbusPoint) -> Self {
        if let Some((_, width)) = at.bits {
            return if at.kind == ModbusType::Bool {
                Self::Bool
            } else {
                Self::Whole(0, (1_i128 << width) - 1)
            };
        }
        match at.kind {
            ModbusType::Bool => Self::Bool,
            ModbusType::U16 => Self::Whole(0, u16::MAX.into()),
            ModbusType::I16 => Self::Whole(i16::MIN.into(), i16::MAX.into()),
            ModbusType::U32 => Self::Whole(0, u32::MAX.into()),
            ModbusType::I32 => Self::Whole(i32::MIN.into(), i32::MAX.into()),
            ModbusType::U64 => Self::Whole(0, u64::MAX.into()),
            ModbusType::I64 => Self::Whole(i64::MIN.into(), i64::MAX.into()),
            ModbusType::Bcd16 => Self::Whole(0, 9_999),
            ModbusType::Bcd32 => Self::Whole(0, 99_999_999),
            ModbusType::F32 => Self::Single,
            ModbusType::F64 => Self::Double,
            ModbusType::Text(_) => Self::Text,
        }
    }

    /// Of a part of a frame.
    pub(super) fn frame(kind: TextKind) -> Self {
        match kind {
            TextKind::Text => Self::Text,
            TextKind::Decimal => Self::Number,
            TextKind::Bool => Self::Bool,
            TextKind::U16 => Self::Whole(0, u16::MAX.into()),
            TextKind::I16 => Self::Whole(i16::MIN.into(), i16::MAX.into()),
            TextKind::U32 => Self::Whole(0, u32::MAX.into()),
            TextKind::I32 => Self::Whole(i32::MIN.into(), i32::MAX.into()),
            TextKind::U64 => Self::Whole(0, u64::MAX.into()),
            TextKind::I64 => Self::Whole(i64::MIN.into(), i64::MAX.into()),
        }
    }

    /// Of a variable whose type the profile says.
    pub(super) fn variable(kind: OpcuaType) -> Self {
        match kind {
            OpcuaType::Bool => Self::Bool,
            OpcuaType::I8 => Self::Whole(i8::MIN.into(), i8::MAX.into()),
            OpcuaType::U8 => Self::Whole(0, u8::MAX.into()),
            OpcuaType::I16 => Self::Whole(i16::MIN.into(), i16::MAX.into()),
            OpcuaType::U16 => Self::Whole(0, u16::MAX.into()),
            OpcuaType::I32 => Self::Whole(i32::MIN.into(), i32::MAX.into()),
            OpcuaType::U32 => Self::Whole(0, u32::MAX.into()),
            OpcuaType::I64 => Self::Whole(i64::MIN.into(), i64::MAX.into()),
            OpcuaType::U64 => Self::Whole(0, u64::MAX.into()),
            OpcuaType::F32 => Self::Single,
            OpcuaType::F64 => Self::Double,
            OpcuaType::Text => Self::Text,
        }
    }

    /// Of a field of telegrams.
    pub(super) fn field(kind: FieldKind) -> Self {
        match kind {
            FieldKind::Integer => Self::Whole(i64::MIN.into(), i64::MAX.into()),
            FieldKind::Number => Self::Number,
            FieldKind::Word(words) => Self::Word(words),
            FieldKind::Text | FieldKind::Time => Self::Text,
            FieldKind::Bool => Self::Bool,
            FieldKind::List => Self::Open,
        }
    }

    /// Smallest and largest whole number; `None` where there is no such thing.
    fn range(self) -> Option<(i128, i128)> {
        match self {
            Self::Bool => Some((0, 1)),
            Self::Whole(low, high) => Some((low, high)),
            _ => None,
        }
    }

    /// Whether a raw value can ever be this number.
    pub(super) fn holds(self, number: Decimal) -> bool {
        self.range()
            .is_none_or(|(low, high)| number.to_i128().is_some_and(|whole| (low..=high).contains(&whole)))
    }

    /// The raw value that a constant in the file stands for; `None` where there is none.
    pub(super) fn raw(self, node: &Node) -> Option<Raw> {
        match (&node.value, self) {
            (Toml::Text(text), Self::Word(words)) => words.contains(&text.as_str()).then(|| Raw::Text(text.clone())),
            (Toml::Text(text), Self::Text | Self::Open) => Some(Raw::Text(text.clone())),
            (Toml::Bool(value), Self::Bool | Self::Open) => Some(Raw::Bool(*value)),
            (Toml::Bool(value), _) => self.raw_number(i64::from(*value).into()),
            _ => self.raw_number(node.as_number()?),
        }
    }

    fn raw_number(self, number: Decimal) -> Option<Raw> {
        match self {
            Self::Text | Self::Word(_) => None,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the nearest single is what the device holds"
            )]
            Self::Single => Some(Raw::F32((number.to_f64() as f32).to_bits())),
            Self::Double => Some(Raw::F64(number.to_f64().to_bits())),
            Self::Number | Self::Open => Some(Raw::Dec(number)),
            _ if !self.holds(number) => None,
            Self::Bool => Some(Raw::Bool(number != Decimal::ZERO)),
            Self::Whole(..) => {
                let whole = number.to_i128()?;
                match i64::try_from(whole) {
                    Ok(value) => Some(Raw::Int(value)),
                    Err(_) => u64::try_from(whole).ok().map(Raw::Big),
                }
            }
        }
    }

    /// What is said of a constant that a point can never be.
    pub(super) fn never(self, point: &str, node: &Node) -> Diagnostic {
        let fault = Diagnostic::error(&node.place, format!("`{point}` can never be this"));
        if let Self::Word(words) = self {
            return fault.maybe_help(meant(node.as_text().unwrap_or_default(), words));
        }
        match (self.range(), node.as_integer()) {
            (Some((low, high)), Some(value))
                if low == i128::from(i16::MIN)
                    && high == i128::from(i16::MAX)
                    && (32_768..=65_535).contains(&value) =>
            {
                fault
                    .label(format!("raw values here are {low} to {high}"))
                    .help(format!("as i16 that is {}", value - 65_536))
            }
            (Some((low, high)), _) => fault.label(format!("raw values here are {low} to {high}")),
            (None, _) if self == Self::Text => fault.help("a string is compared with text"),
            (None, _) => fault.help("a number is compared with a number"),
        }
    }
}
