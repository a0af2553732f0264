//! Numbers as a person reads them in an alarm. Owns no judgement.

/// Below this and beyond its reciprocal a number is shown with an exponent.
const TINY: f64 = 1e-4;
const HUGE: f64 = 1e7;

/// Four significant digits, no trailing zeros: `12.1`, `107`, `0.0123`, `3.1e20`.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !size.is_finite() || !(TINY..HUGE).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = if size >= 1_000.0 {
        0
    } else if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else if size >= 1.0 {
        3
    } else {
        5
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// `12.1 to 12.6 N.m`, or one number where both are shown alike.
pub(super) fn range(low: f64, high: f64, uom: &str) -> String {
    let (low, high) = (number(low.min(high)), number(low.max(high)));
    let uom = if uom.is_empty() {
        String::new()
    } else {
        format!(" {uom}")
    };
    if low == high {
        format!("{low}{uom}")
    } else {
        format!("{low} to {high}{uom}")
    }
}

/// A span of time in the largest unit of which there are at least two: `26 h`, `9 days`.
pub(super) fn span(millis: i64) -> String {
    let rounded = |size: i64| (millis.abs() + size / 2) / size;
    match millis.abs() / 1_000 {
        0..120 => {
            let tenths = (millis.abs() + 50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        120..7_200 => format!("{} min", rounded(60_000)),
        7_200..172_800 => format!("{} h", rounded(3_600_000)),
        _ => format!("{} days", rounded(86_400_000)),
    }
}
