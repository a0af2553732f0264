//! Stored results that clients ask for: `RequestResults` of OPC 40450-1 (1.01), 7.5.3.
//!
//! Owns the memory of results and the method's answer. Results are told as `RequestedResultEventType`.

use super::table::Table;
use super::{Shared, joining, lock, value};
use crate::model::Decimal;
use crate::model::plan::NodeRef;
use crate::wire::opcua::Tree;
use opcua::types::{LocalizedText, NodeId, StatusCode, Variant};

/// Results that are remembered.
const MEMORY: usize = 10_000;

impl Shared {
    /// Remembers a result, where the server does that: by `Result/ResultMetaData/SequenceNumber`.
    pub(super) fn store(&self, event_type: &NodeRef, fields: &Tree) {
        if !lock(&self.setup).stores || !joining::is_of(event_type) {
            return;
        }
        let meta = fields.field("Result").and_then(|result| result.field("ResultMetaData"));
        let number = meta
            .and_then(|meta| value::plain(meta.field("SequenceNumber")?)?.number())
            .and_then(Decimal::to_i128)
            .and_then(|number| u64::try_from(number).ok());
        let Some(number) = number else { return };
        let mut store = lock(&self.store);
        store.results.insert(number, fields.clone());
        while store.results.len() > MEMORY {
            store.results.pop_first();
        }
    }

    /// A client calls a method: results of these sequence numbers, or all where both are 0 (times are not looked at), come
    /// as events.
    pub(super) fn called(
        &self,
        table: &Table,
        method: &NodeId,
        arguments: &[Variant],
    ) -> Result<Vec<Variant>, StatusCode> {
        if table.node(&joining::request()).as_ref() != Some(method) {
            return Err(StatusCode::BadMethodInvalid);
        }
        let [Variant::UInt64(from), Variant::UInt64(to), _, _, Variant::Double(pause)] = arguments else {
            return Err(StatusCode::BadInvalidArgument);
        };
        let (from, to) = match (*from, *to) {
            (0, 0) => (0, u64::MAX),
            range => range,
        };
        let found: Vec<Tree> = {
            let mut store = lock(&self.store);
            store.counts.requests += 1;
            let all = store.results.iter();
            all.filter(|(number, _)| (from..=to).contains(number))
                .map(|(_, tree)| tree.clone())
                .collect()
        };
        let mut told = 0_usize;
        for tree in &found {
            if self.raise(&joining::requested(), tree).is_ok() {
                told += 1;
            }
        }
        let text = LocalizedText::from(format!("{told} results").as_str());
        Ok(vec![
            Variant::Double(*pause),
            Variant::Int64(0),
            Variant::LocalizedText(Box::new(text)),
        ])
    }
}
