//! Every name that decoding can give, what it is, and which telegrams carry it.

/// What kind of value a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A whole number.
    Integer,
    /// An exact decimal.
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text, trimmed.
    Text,
    /// `YYYY-MM-DD:HH:MM:SS`, the controller's local time.
    Time,
    /// true or false.
    Bool,
    /// Several values.
    List,
}

/// One name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// The name; `pid_*` stands for any PID.
    pub name: &'static str,
    /// Its kind of value.
    pub kind: FieldKind,
    /// Unit of measure where it has one; torque may come in the telegram's own.
    pub uom: Option<&'static str>,
    /// Telegrams that carry it: `0061 r2+, 0065 r2+`.
    pub from: &'static str,
    /// What it says.
    pub about: &'static str,
}

/// Every name.
pub const FIELDS: &[FieldInfo] = &[];

/// The entry of a name; any `pid_N` has that of `pid_*`.
#[must_use]
pub fn info(name: &str) -> Option<&'static FieldInfo> {
    let name = if name.starts_with("pid_") { "pid_*" } else { name };
    FIELDS.iter().find(|f| f.name == name)
}
