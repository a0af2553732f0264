//! Normal weeks say nothing; each kind of drift that is put into them is told in time, with its evidence.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "made weeks are rounded as they like"
)]

mod injected;
mod normal;
mod swaps;
mod week;
