//! Device profiles: what is particular to a device, as a file. Owns the format, `extends`, checks, the read
//! plan, decoding, mapping to contract fields, and examples.
//!
//! Pure: no I/O, no clock, no async. Files come through [`Files`]; samples come from drivers, drafts go to the
//! unit room. Owns no ids, no sequence and no envelope ([`crate::contract`]), and no state machine of triggers
//! ([`crate::watch`]).

use crate::diagnostic::{Diagnostics, Place};
use crate::model::event::EventType;
use crate::model::plan::SlotPlan;
use crate::model::{DeviceIdentity, Draft, Sample, SlotName, Uom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How files are read. The caller implements it; `path` is ready to be opened: the profiles folder joined with
/// the path of a catalog file, or the installed file itself.
pub trait Files {
    /// The text of `path`.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn read(&self, path: &Path) -> Result<String, FileFault>;
}

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It is there, but could not be read: permissions, no UTF-8, a folder.
    #[error("{0}")]
    Unreadable(String),
}

/// What `gateway.toml` says of one slot, with places, so that both files are shown where they disagree.
#[derive(Debug, Clone)]
pub struct SlotContract {
    /// Which slot.
    pub slot: SlotName,
    /// Types of events that the MES gets from it.
    pub delivers: Vec<(EventType, Place)>,
    /// Fields that the MES relies on beyond the required ones, dotted: `torque.min`.
    pub requires: Vec<(String, Place)>,
    /// Names and uoms of measurements and readings that the MES knows.
    pub values: Vec<(String, Uom, Place)>,
    /// Where the slot stands.
    pub place: Place,
}

/// How much is known of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maturity {
    /// Read from a manual.
    #[default]
    Document,
    /// Has a capture of a real device.
    Bench,
    /// Ran in a plant.
    Line,
}

/// What one sample means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// An event, or a quarantine where it has reasons.
    Draft(Box<Draft>),
    /// Turned away by `only` or `except`; counted.
    Ignored,
}

/// How the examples of a profile went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExampleReport {
    /// As expected.
    pub passed: usize,
    /// Not; each is a diagnostic.
    pub failed: usize,
}

/// A checked profile. What is in it holds: every point that is named is there, every uom converts.
#[derive(Debug)]
pub struct Profile {}

impl Profile {
    /// Reads, merges, checks and compiles `file` (relative to `root`, or absolute). Some even with warnings;
    /// `None` where there are errors.
    pub fn load(file: &Path, root: &Path, files: &dyn Files, out: &mut Diagnostics) -> Option<Self> {
        let _ = (file, root, files, out);
        todo!()
    }
    /// Vendor, model, serial and digest.
    #[must_use]
    pub fn identity(&self) -> &Arc<DeviceIdentity> {
        todo!()
    }
    /// Every file that it was read from, the installed one first.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        todo!()
    }
    /// How much is known of it.
    #[must_use]
    pub fn maturity(&self) -> Maturity {
        todo!()
    }
    /// What it is, in a sentence.
    #[must_use]
    pub fn about(&self) -> &str {
        todo!()
    }
    /// Known faults of the device.
    #[must_use]
    pub fn caveats(&self) -> &[String] {
        todo!()
    }
    /// Holds it against what the MES relies on.
    pub fn check_slot(&self, contract: &SlotContract, out: &mut Diagnostics) {
        let _ = (contract, out);
        todo!()
    }
    /// What a driver reads for this slot.
    #[must_use]
    pub fn plan(&self, slot: &SlotName) -> SlotPlan {
        let _ = slot;
        todo!()
    }
    /// What a sample means. Never fails: what cannot be a contract event is a draft with reasons for quarantine.
    #[must_use]
    pub fn drafts(&self, contract: &SlotContract, sample: &Sample) -> Vec<Meaning> {
        let _ = (contract, sample);
        todo!()
    }
    /// Runs every `[[example]]`.
    pub fn run_examples(&self, contract: Option<&SlotContract>, out: &mut Diagnostics) -> ExampleReport {
        let _ = (contract, out);
        todo!()
    }
}

/// JSON Schema of the profile format, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    todo!()
}
