//! The layouts of all MIDs that are decoded, as data.
//!
//! Owns which table holds for which MID and revision. Widths, names and codes stand in the tables below.

pub mod codes;
pub mod pids;
pub mod results;
pub mod state;

use super::layout::Layout;

/// Every layout. A revision beyond the last of a MID is read by its last one.
pub static LAYOUTS: &[Layout] = &[
    state::M0002,
    state::M0004_1,
    state::M0004_2,
    state::M0005,
    state::M0013,
    state::M0015_1,
    state::M0015_2,
    state::M0022,
    state::M0035_1,
    state::M0035_2,
    state::M0041,
    state::M0052_1,
    state::M0052_2,
    results::M0061_1,
    results::M0061_2,
    results::M0061_998,
    results::M0061_999,
    results::M0065_1,
    results::M0065_2,
    state::M0066_1,
    state::M0066_2,
    state::M0071_1,
    state::M0071_2,
    state::M0074_1,
    state::M0074_2,
    state::M0076_1,
    state::M0076_2,
    state::M0081,
    state::M0082,
    results::M0091,
    results::M0101,
    state::M0152,
    state::M0211,
    state::M0901,
    state::M0902,
    results::M1201_1,
    results::M1201_2,
    results::M1201_3,
    results::M1202,
];

/// The layout of a MID in a revision.
#[must_use]
pub fn layout(mid: u16, revision: u16) -> Option<&'static Layout> {
    let known = LAYOUTS.iter().filter(|l| l.mid == mid && l.from <= revision);
    // The last that began; 998 and 999 of 0061 hold for themselves alone.
    known.max_by_key(|l| l.from)
}
