//! What follows from a frame's plan: silences, room for digits, and what is impossible among its keys.
//!
//! Owns no bytes; those are [`super::framer`]'s.

use crate::model::plan::{Checksum, ChecksumAt, FramePlan};
use std::time::Duration;

/// Longest frame where nothing is said, in bytes.
pub const MAX: usize = 4096;
/// No frame may be said to be longer than this, in bytes.
pub const LIMIT: usize = 65_536;
/// Silence that ends a frame where nothing else does. Adapters hold bytes back for up to 16 ms.
pub const GAP: Duration = Duration::from_millis(100);
/// Silence after which half a frame is none.
pub const HALF: Duration = Duration::from_secs(1);

/// Whether only silence (or the next start) ends a frame.
#[must_use]
pub fn ends_by_gap(frame: &FramePlan) -> bool {
    frame.end.is_empty() && frame.lengths.is_empty()
}

/// The silence that counts, at least 1 ms.
#[must_use]
pub fn gap(frame: &FramePlan) -> Duration {
    let default = if ends_by_gap(frame) { GAP } else { HALF };
    frame.idle.unwrap_or(default).max(Duration::from_millis(1))
}

/// Bytes that the digits of the check sum take.
#[must_use]
pub fn digits(frame: &FramePlan) -> usize {
    match frame.checksum {
        Checksum::None => 0,
        Checksum::Xor | Checksum::Sum8 | Checksum::Lrc => 2,
        Checksum::Crc16 => 4,
    }
}

/// Bytes of a frame behind its `end`.
#[must_use]
pub fn trailer(frame: &FramePlan) -> usize {
    match frame.checksum_at {
        ChecksumAt::BeforeEnd => 0,
        ChecksumAt::AfterEnd => digits(frame),
    }
}

/// Bytes of a frame without content.
#[must_use]
pub fn least(frame: &FramePlan) -> usize {
    frame
        .start
        .len()
        .saturating_add(digits(frame))
        .saturating_add(frame.end.len())
}

/// What cannot be cut so.
///
/// # Errors
/// A sentence that names the key of `[frame]` and says what to do.
pub fn check(frame: &FramePlan) -> Result<(), String> {
    if frame.max == 0 || frame.max > LIMIT {
        return Err(format!("`max` is a number of bytes from 1 to {LIMIT}"));
    }
    if let Some(long) = frame.lengths.iter().find(|length| **length > frame.max) {
        return Err(format!(
            "`length` {long} is beyond `max` ({} bytes): write a larger `max`",
            frame.max
        ));
    }
    if let Some(short) = frame.lengths.iter().find(|length| **length < least(frame).max(1)) {
        return Err(format!(
            "`length` {short} has no room for start, check sum and end ({} bytes): lengths are of the whole frame",
            least(frame)
        ));
    }
    if frame.lengths.len() > 1 && frame.end.is_empty() {
        return Err("several `lengths` need an `end`, which tells which of them it is".to_owned());
    }
    if frame.max < least(frame) {
        return Err(format!(
            "`max` has no room for start, check sum and end ({} bytes)",
            least(frame)
        ));
    }
    if !frame.start.is_empty() && frame.start == frame.end && frame.lengths.is_empty() {
        return Err("`start` and `end` are the same bytes: leave `start` out, or write the `length`".to_owned());
    }
    if frame.checksum != Checksum::None && ends_by_gap(frame) && frame.start.is_empty() {
        return Err("a `checksum` needs a `start`, an `end` or a `length`, which say what it is of".to_owned());
    }
    Ok(())
}
