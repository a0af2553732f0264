//! Variable data fields (PIDs), and MID 1201 with its 1202s (specification 6.3 to 6.5).
//!
//! Owns types, units and names of PIDs.

use super::{Decoded, Fault, Telegram};

/// One result out of a decoded 1201 and the decoded 1202s of its objects: their fields in one list, one reading an
/// object where several objects carry values (`spindles`).
#[must_use]
pub fn join(overall: &Decoded, _objects: &[Decoded]) -> Decoded {
    overall.clone()
}

/// Of a 1201 or 1202: how many telegrams the result has, the number of this one, and its result id.
///
/// # Errors
/// It is neither, or too short.
pub fn place(telegram: &Telegram) -> Result<(u16, u16, String), Fault> {
    Err(Fault::Short(telegram.data.len()))
}
