//! The words that all rooms share. Owns no behaviour beyond their own arithmetic and text forms,
//! does no I/O, reads no clock, and knows no other room.
//!
//! The way of a reading: [`plan`] says what to read and when a device has something to say;
//! a [`sample`] is what it said; a [`draft`] what that means; a [`commit`] what becomes durable together.

pub mod commit;
pub mod decimal;
pub mod draft;
pub mod event;
pub mod name;
pub mod plan;
pub mod sample;
pub mod time;
pub mod uom;
pub mod value;

pub use commit::{Commit, Sealed, StateChange};
pub use decimal::Decimal;
pub use draft::{DeviceIdentity, Draft, Fields};
pub use event::EventType;
pub use name::{Plant, SlotName};
pub use sample::{Report, Sample};
pub use time::Moment;
pub use uom::Uom;
pub use value::Raw;
