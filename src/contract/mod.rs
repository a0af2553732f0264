//! The contract with the MES: envelope, ids, incarnation, sequence, duplicates, quarantine, gap, schema
//! (interface 5). Pure: drafts come in, commits go out.
//!
//! Owns what an event looks like as bytes and which number it has. Does not own types and fields (the table in
//! [`crate::model::event`] is the contract), the store, or which unit an event is bound to.

mod allocator;
mod envelope;
mod identity;
mod schema;
mod shape;
mod slot;

pub use allocator::{Allocator, KnownIds, Missing, Sealing, Subject};
pub use schema::schema;
pub use slot::slot_of;

#[cfg(test)]
mod tests;
