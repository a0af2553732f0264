//! How an OPC UA server is reached, and where its points are. Owns only the data; texts are parsed and trees are walked in
//! [`crate::wire::opcua`].

use crate::model::{Decimal, Raw};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of an OPC UA link; all of them belong to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpcuaLink {
    /// `opc.tcp://host[:port][/path]`, port 4840 filled in. It is what is connected to, whatever host the server says of itself.
    pub address: String,
    /// What travels how.
    pub security: Security,
    /// Which server certificates are taken.
    pub trust: Trust,
    /// Who the gateway says it is.
    pub identity: Identity,
    /// How long an answer may take; also for connecting.
    pub timeout: Duration,
    /// How often the server publishes what changed.
    pub publishing: Duration,
    /// How often the server looks at a value; `None`: as often as it publishes.
    pub sampling: Option<Duration>,
    /// Changes of one value that the server keeps between two publishings, 1 or more.
    pub queue: u32,
    /// Values are asked for instead of subscribed to, every `publishing`.
    pub polled: bool,
}

/// The address with its port: 4840 where none is said. `host`, `host:port` and a path without `opc.tcp://` are taken, too.
pub(super) fn filled(text: &str) -> String {
    let rest = text.strip_prefix("opc.tcp://").unwrap_or(text);
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let named = match host.rsplit_once(':') {
        Some((name, port)) => (name.ends_with(']') || !name.contains(':')) && port.parse::<u16>().is_ok(),
        None => false,
    };
    let port = if named { "" } else { ":4840" };
    format!("opc.tcp://{host}{port}{path}")
}

/// What travels how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// The strongest that the server offers; never none.
    #[default]
    Strongest,
    /// Exactly this.
    Exactly(SecurityPolicy, SecurityMode),
    /// Neither signed nor encrypted: must be written.
    None,
}

/// Security policies that are built, weakest first (OPC 10000-7). `Basic128Rsa15` and `Basic256` are not safe any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecurityPolicy {
    /// `Basic256Sha256`
    Basic256Sha256,
    /// `Aes128_Sha256_RsaOaep`
    Aes128Sha256RsaOaep,
    /// `Aes256_Sha256_RsaPss`
    Aes256Sha256RsaPss,
}

impl SecurityPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::Basic256Sha256,
        Self::Aes128Sha256RsaOaep,
        Self::Aes256Sha256RsaPss,
    ];

    /// The word that profiles use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Basic256Sha256 => "Basic256Sha256",
            Self::Aes128Sha256RsaOaep => "Aes128Sha256RsaOaep",
            Self::Aes256Sha256RsaPss => "Aes256Sha256RsaPss",
        }
    }

    /// Its URI (OPC 10000-7, 6.6).
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Basic256Sha256 => "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256",
            Self::Aes128Sha256RsaOaep => "http://opcfoundation.org/UA/SecurityPolicy#Aes128_Sha256_RsaOaep",
            Self::Aes256Sha256RsaPss => "http://opcfoundation.org/UA/SecurityPolicy#Aes256_Sha256_RsaPss",
        }
    }
}

/// Whether messages are also encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecurityMode {
    /// Signed.
    Sign,
    /// Signed and encrypted.
    SignAndEncrypt,
}

impl SecurityMode {
    /// The word that profiles use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sign => "Sign",
            Self::SignAndEncrypt => "SignAndEncrypt",
        }
    }
}

/// Which server certificates are taken. Of several, any one suffices; of none, no certificate is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// SHA-256 of server certificates (DER).
    pub pins: Vec<[u8; 32]>,
    /// A file of certificates (PEM or DER): the server's own, or those of authorities that sign it.
    pub file: Option<PathBuf>,
}

/// Who the gateway says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// Nobody.
    #[default]
    Anonymous,
    /// A user with a password, which stands in a file.
    User {
        /// The name.
        name: String,
        /// Where the password is.
        password_file: PathBuf,
    },
    /// A user with a certificate.
    Certificate {
        /// PEM or DER.
        cert_file: PathBuf,
        /// PKCS 8 or PKCS 1, PEM or DER.
        key_file: PathBuf,
    },
}

/// A node, its namespace as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeRef {
    /// Which namespace.
    pub namespace: Namespace,
    /// The rest.
    pub id: Identifier,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// By its URI: looked up in each session.
    Uri(Arc<str>),
    /// By its index: may be another after the server was configured otherwise.
    Index(u16),
}

/// The identifier of a node in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// `i=`
    Number(u32),
    /// `s=`
    Text(Arc<str>),
    /// `g=`, as its 16 bytes in the order of the text.
    Guid([u8; 16]),
    /// `b=`, base 64.
    Bytes(Arc<[u8]>),
}

/// A point of an OPC UA server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpcuaPoint {
    /// Which variable; `None`: a field of an event.
    pub node: Option<NodeRef>,
    /// Where it is inside the value, or in the event: the first of these that exists. Empty: the value itself.
    pub paths: Vec<FieldPath>,
    /// What of the value is meant.
    pub part: OpcuaPart,
    /// Of a whole number only these are meant: `(lowest bit, number of bits)`, bit 0 the least significant; of one bit it is
    /// true or false.
    pub bits: Option<(u8, u8)>,
    /// How a raw value written to it is typed; `None`: as the server says.
    pub kind: Option<OpcuaType>,
    /// How often the server looks at it; `None`: as the link says.
    pub sampling: Option<Duration>,
}

impl OpcuaPoint {
    /// What the point says where its value says `raw`: its bits, or all of it. `None` where bits are meant of what is no whole number.
    #[must_use]
    pub fn cut(&self, raw: Raw) -> Option<Raw> {
        let Some((low, width)) = self.bits else {
            return Some(raw);
        };
        // Two's complement: a signed word of a PLC is bits like an unsigned one.
        let number = raw.number()?.to_i128()?;
        let bits = number.checked_shr(u32::from(low))? & ((1_i128 << width.min(64)) - 1);
        Some(match width {
            1 => Raw::Bool(bits == 1),
            _ => i64::try_from(bits).map_or_else(|_| Raw::Big(u64::try_from(bits).unwrap_or(u64::MAX)), Raw::Int),
        })
    }

    /// What stands in it once `raw` was written there: of a number wider than its `kind` the low bits. Without `kind`, `raw`.
    #[must_use]
    pub fn narrowed(&self, raw: &Raw) -> Raw {
        let (bits, signed) = match self.kind {
            Some(OpcuaType::I8) => (8, true),
            Some(OpcuaType::U8) => (8, false),
            Some(OpcuaType::I16) => (16, true),
            Some(OpcuaType::U16) => (16, false),
            Some(OpcuaType::I32) => (32, true),
            Some(OpcuaType::U32) => (32, false),
            _ => return raw.clone(),
        };
        let Some(number) = raw.number().and_then(Decimal::to_i128) else {
            return raw.clone();
        };
        let low = number & ((1_i128 << bits) - 1);
        let negative = signed && low >> (bits - 1) == 1;
        let value = if negative { low - (1_i128 << bits) } else { low };
        i64::try_from(value).map_or_else(|_| raw.clone(), Raw::Int)
    }

    /// Whether one of its ways chooses each element of an array.
    #[must_use]
    pub fn is_of_each(&self) -> bool {
        let each = |step: &FieldStep| {
            step.selectors
                .iter()
                .any(|selector| matches!(selector, Selector::Each(_)))
        };
        self.paths.iter().any(|path| path.steps.iter().any(each))
    }
}

impl OpcuaType {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Bool,
        Self::I8,
        Self::U8,
        Self::I16,
        Self::U16,
        Self::I32,
        Self::U32,
        Self::I64,
        Self::U64,
        Self::F32,
        Self::F64,
        Self::Text,
    ];
}

/// What of a variable is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpcuaPart {
    /// Its value.
    #[default]
    Value,
    /// When its source says it became so.
    SourceTimestamp,
    /// When the server says it became so.
    ServerTimestamp,
    /// Its status code, as the name of the specification (`Good`, `BadSensorFailure`).
    Status,
}

/// Built-in scalar types (OPC 10000-6, 5.1.2) that a profile may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpcuaType {
    /// `bool`
    Bool,
    /// `i8`, `SByte`
    I8,
    /// `u8`, `Byte`
    U8,
    /// `i16`
    I16,
    /// `u16`
    U16,
    /// `i32`
    I32,
    /// `u32`
    U32,
    /// `i64`
    I64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `string`
    Text,
}

/// A way through structures: `Result/ResultContent[0]/OverallResultValues[PhysicalQuantity=2,ValueTag=1]/MeasuredValue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    /// As it is written.
    pub text: Arc<str>,
    /// Step by step, at least one.
    pub steps: Vec<FieldStep>,
}

/// One step of a way: a name, then what is chosen of the array that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldStep {
    /// Names of the field, any of which is it (`High|HighLimit`), without a namespace.
    pub names: Vec<Arc<str>>,
    /// What is chosen, one behind the other. Without any, an array is meant whole.
    pub selectors: Vec<Selector>,
}

/// What is chosen of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `[0]`, `[-1]` the last.
    Index(i32),
    /// `[*]`: all of them, what follows is collected into one list.
    All,
    /// `[each]`: an event for each of them; with conditions, of those that fulfil all.
    Each(Vec<Condition>),
    /// `[PhysicalQuantity=2,ValueTag=1]`: the first that fulfils all.
    First(Vec<Condition>),
    /// `[last,ValueTag=1]`: the last that fulfils all.
    Last(Vec<Condition>),
    /// `[*,PhysicalQuantity=2]`: all that fulfil all.
    Where(Vec<Condition>),
}

/// A condition on an element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The way to a field of the element.
    pub field: FieldPath,
    /// It says one of these texts (numbers in shortest form); empty: it exists, and is not null, empty or an empty list.
    pub is: Vec<Arc<str>>,
}

/// Events that a server tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which type, its subtypes with it.
    pub event_type: NodeRef,
    /// The object that tells them; the `Server` object unless said.
    pub notifier: NodeRef,
}

impl NodeRef {
    /// Of namespace 0.
    #[must_use]
    pub const fn core(id: u32) -> Self {
        Self {
            namespace: Namespace::Index(0),
            id: Identifier::Number(id),
        }
    }

    /// The `Server` object (OPC 10000-5, 8.3.2).
    pub const SERVER: Self = Self::core(2253);
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for OpcuaPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.node.iter().map(ToString::to_string).collect::<Vec<_>>();
        parts.extend(self.paths.first().map(ToString::to_string));
        parts.extend(match self.part {
            OpcuaPart::Value => None,
            OpcuaPart::SourceTimestamp => Some("source timestamp".to_owned()),
            OpcuaPart::ServerTimestamp => Some("server timestamp".to_owned()),
            OpcuaPart::Status => Some("status".to_owned()),
        });
        parts.extend(self.bits.map(|(low, width)| match width {
            1 => format!("bit {low}"),
            _ => format!("bits {low} to {}", u32::from(low) + u32::from(width) - 1),
        }));
        f.write_str(&parts.join(" "))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Its reserved characters, as OPC 10000-6, 5.3.1.11 writes them.
            Self::Uri(uri) => write!(f, "nsu={};", uri.replace('%', "%25").replace(';', "%3B")),
            Self::Index(0) => Ok(()),
            Self::Index(index) => write!(f, "ns={index};"),
        }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.namespace, self.id)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        match self {
            Self::Number(number) => write!(f, "i={number}"),
            Self::Text(text) => write!(f, "s={text}"),
            Self::Guid(bytes) => {
                write!(f, "g=")?;
                for (at, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
            Self::Bytes(bytes) => {
                write!(f, "b=")?;
                for chunk in bytes.chunks(3) {
                    let byte = |at: usize| chunk.get(at).copied().map_or(0, u32::from);
                    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
                    for at in 0..4_u32 {
                        let digit = usize::try_from(bits >> (18 - 6 * at) & 63).unwrap_or(0);
                        let shown = usize::try_from(at).is_ok_and(|at| at <= chunk.len());
                        let digit = BASE64.get(digit).copied().filter(|_| shown).unwrap_or(b'=');
                        write!(f, "{}", char::from(digit))?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(bits: Option<(u8, u8)>, kind: Option<OpcuaType>) -> OpcuaPoint {
        OpcuaPoint {
            node: Some(NodeRef::SERVER),
            paths: Vec::new(),
            part: OpcuaPart::Value,
            bits,
            kind,
            sampling: None,
        }
    }

    #[test]
    fn bits_are_of_whole_numbers() {
        let cut = |bits, raw| point(Some(bits), None).cut(raw);
        assert_eq!(cut((3, 1), Raw::Int(0b1000)), Some(Raw::Bool(true)));
        assert_eq!(cut((3, 1), Raw::Int(0b0111)), Some(Raw::Bool(false)));
        assert_eq!(cut((4, 4), Raw::Int(0x1a5)), Some(Raw::Int(0xa)));
        assert_eq!(cut((15, 1), Raw::Int(-1)), Some(Raw::Bool(true)));
        assert_eq!(cut((0, 64), Raw::Big(u64::MAX)), Some(Raw::Big(u64::MAX)));
        assert_eq!(cut((0, 1), Raw::F64(0.5_f64.to_bits())), None);
        assert_eq!(cut((0, 1), Raw::Text("1".into())), None);
        assert_eq!(
            point(None, None).cut(Raw::Text("1".into())),
            Some(Raw::Text("1".into()))
        );
    }

    #[test]
    fn what_is_written_keeps_its_low_bits() {
        let wrote = |kind, raw| point(None, kind).narrowed(&raw);
        assert_eq!(wrote(Some(OpcuaType::U16), Raw::Int(65_537)), Raw::Int(1));
        assert_eq!(wrote(Some(OpcuaType::I16), Raw::Int(40_000)), Raw::Int(-25_536));
        assert_eq!(wrote(Some(OpcuaType::U8), Raw::Int(255)), Raw::Int(255));
        assert_eq!(wrote(None, Raw::Int(65_537)), Raw::Int(65_537));
        assert_eq!(wrote(Some(OpcuaType::Bool), Raw::Bool(true)), Raw::Bool(true));
    }
}
