//! The bytes of an event: structured CloudEvents 1.0 JSON, members in the order of interface 5.

use crate::model::{DeviceIdentity, EventType, Fields};
use serde_json::Value;

/// All that an envelope states.
pub(super) struct Envelope<'a> {
    pub(super) id: &'a str,
    pub(super) source: &'a str,
    pub(super) kind: EventType,
    pub(super) subject: Option<&'a str>,
    /// RFC 3339.
    pub(super) time: String,
    /// Sequence and stream; what is not stored has neither.
    pub(super) numbered: Option<(u64, &'a str)>,
    pub(super) data: Fields,
}

impl Envelope<'_> {
    pub(super) fn body(self) -> Vec<u8> {
        let mut out = Fields::new();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        put("specversion", "1.0".into());
        put("id", self.id.into());
        put("source", self.source.into());
        put("type", self.kind.cloud_event_type().into());
        if let Some(subject) = self.subject {
            put("subject", subject.into());
        }
        put("time", self.time.into());
        put("datacontenttype", "application/json".into());
        put("dataschema", format!("urn:lineside:{}:1", self.kind).into());
        if let Some((sequence, stream)) = self.numbered {
            put("sequence", format!("{sequence:020}").into());
            put("stream", stream.into());
        }
        put("data", Value::Object(self.data));
        Value::Object(out).to_string().into_bytes()
    }
}

/// `data.origin`. The gateway's own events have no device; readings carry no raw bytes.
pub(super) fn origin(gateway: &str, device: Option<&DeviceIdentity>, raw: Option<&str>) -> Value {
    let mut out = Fields::new();
    out.insert("gateway".into(), gateway.into());
    if let Some(device) = device {
        for (name, value) in [
            ("vendor", &device.vendor),
            ("model", &device.model),
            ("digest", &device.digest),
        ] {
            if !value.is_empty() {
                out.insert(name.into(), value.clone().into());
            }
        }
    }
    if let Some(raw) = raw.filter(|raw| !raw.is_empty()) {
        out.insert("raw".into(), raw.into());
    }
    Value::Object(out)
}
