//! Exact decimal numbers: what a device said, scaled and converted without binary rounding.
//!
//! Owns the arithmetic and the text form that the MES reads (no exponents). Does not own
//! units of measure ([`super::uom`]) or JSON field names.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// `mantissa × 10^-scale`, exact, normalised so that equal numbers are equal values.
///
/// Covers every 64-bit integer, every finite `f32` and `f64` by its shortest decimal, and
/// the products of those with a scale. A result that needs more than 38 digits is rounded to
/// 30 significant ones, half away from zero; a product of two such long numbers keeps 19.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i128,
    scale: i32,
}

/// Text that is no decimal number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a decimal number")]
pub struct NotDecimal(pub String);

/// Digits kept where an exact result does not fit.
const KEPT_DIGITS: u32 = 30;
/// Largest power of ten in an `i128`.
const MAX_POW: u32 = 38;
/// Exponents beyond this are no measurement; `f64` ends at 308 + 17 digits.
const MAX_SCALE: i32 = 400;

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };
    /// One.
    pub const ONE: Self = Self { mantissa: 1, scale: 0 };

    /// `mantissa × 10^-scale`.
    #[must_use]
    pub fn new(mantissa: i128, scale: i32) -> Self {
        Self { mantissa, scale }.normal()
    }

    /// The shortest decimal that reads back as this `f32`; `None` for NaN and infinity.
    #[must_use]
    pub fn from_f32(value: f32) -> Option<Self> {
        value.is_finite().then(|| format!("{value:e}").parse().ok()).flatten()
    }

    /// The shortest decimal that reads back as this `f64`; `None` for NaN and infinity.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| format!("{value:e}").parse().ok()).flatten()
    }

    /// The value as an integer, when it is one.
    #[must_use]
    pub fn to_i128(self) -> Option<i128> {
        if self.scale > 0 {
            return None;
        }
        let power = 10_i128.checked_pow(self.scale.unsigned_abs())?;
        self.mantissa.checked_mul(power)
    }

    /// The nearest `f64`. For display and metrics only, never for what is published.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Whether it is an integer.
    #[must_use]
    pub fn is_integer(self) -> bool {
        self.scale <= 0
    }

    /// Sum, rounded only where 38 digits do not hold it.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (fine, coarse) = if self.scale >= other.scale {
            (self, other)
        } else {
            (other, self)
        };
        let shift = fine.scale.abs_diff(coarse.scale);
        let exact = (shift <= MAX_POW)
            .then(|| 10_i128.checked_pow(shift))
            .flatten()
            .and_then(|power| coarse.mantissa.checked_mul(power))
            .and_then(|aligned| aligned.checked_add(fine.mantissa));
        if let Some(mantissa) = exact {
            return Self::new(mantissa, fine.scale);
        }
        if coarse.mantissa == 0 {
            return fine;
        }
        if fine.mantissa == 0 {
            return coarse;
        }
        // Too far apart: bring the coarse one as far down as it goes and round the fine one to it.
        let coarse = coarse.widened();
        let fine = fine.rescaled(coarse.scale);
        Self::new(coarse.mantissa.saturating_add(fine.mantissa), coarse.scale)
    }

    /// Difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// The number with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            mantissa: self.mantissa.saturating_neg(),
            scale: self.scale,
        }
    }

    /// The number without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        if self.mantissa < 0 { self.negated() } else { self }
    }

    /// Product, rounded only where 38 digits do not hold it.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let (mut a, mut b) = (self, other);
        loop {
            if let Some(mantissa) = a.mantissa.checked_mul(b.mantissa) {
                return Self::new(mantissa, a.scale.saturating_add(b.scale));
            }
            let wider = if a.digits() >= b.digits() { &mut a } else { &mut b };
            *wider = wider.round_significant(wider.digits().saturating_sub(1).max(1));
        }
    }

    /// Quotient to 30 significant digits; `None` when `other` is zero.
    #[must_use]
    pub fn over(self, other: Self) -> Option<Self> {
        if other.mantissa == 0 {
            return None;
        }
        let divisor = if other.digits() > 19 {
            other.round_significant(19)
        } else {
            other
        };
        let top = self.widened();
        let quotient = top.mantissa.checked_div(divisor.mantissa)?;
        Some(Self::new(quotient, top.scale.saturating_sub(divisor.scale)).round_significant(KEPT_DIGITS))
    }

    /// Rounded to `digits` significant digits, half away from zero.
    #[must_use]
    pub fn round_significant(self, digits: u32) -> Self {
        let have = self.digits();
        if have <= digits {
            return self;
        }
        self.rescaled(self.scale.saturating_sub((have - digits).cast_signed()))
    }

    /// How many digits the mantissa has; 1 for zero.
    #[must_use]
    pub fn digits(self) -> u32 {
        self.mantissa.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)
    }

    /// The same number with `scale` decimals at most, rounded half away from zero.
    fn rescaled(self, scale: i32) -> Self {
        let drop = self.scale.saturating_sub(scale);
        if drop <= 0 {
            return self;
        }
        let Some(power) = u32::try_from(drop).ok().and_then(|drop| 10_i128.checked_pow(drop)) else {
            return Self::ZERO;
        };
        let half = power / 2;
        let rounded = if self.mantissa < 0 {
            self.mantissa.saturating_sub(half) / power
        } else {
            self.mantissa.saturating_add(half) / power
        };
        Self::new(rounded, scale)
    }

    /// As many trailing digits as an `i128` holds.
    fn widened(self) -> Self {
        let room = (MAX_POW - 1).saturating_sub(self.digits());
        match 10_i128
            .checked_pow(room)
            .and_then(|power| self.mantissa.checked_mul(power))
        {
            Some(mantissa) => Self {
                mantissa,
                scale: self.scale.saturating_add(room.cast_signed()),
            },
            None => self,
        }
    }

    fn normal(mut self) -> Self {
        if self.mantissa == 0 {
            return Self::ZERO;
        }
        while self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale = self.scale.saturating_sub(1);
        }
        self
    }
}

impl From<i128> for Decimal {
    fn from(value: i128) -> Self {
        Self::new(value, 0)
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::new(i128::from(value), 0)
    }
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Self {
        Self::new(i128::from(value), 0)
    }
}

impl FromStr for Decimal {
    type Err = NotDecimal;

    /// Reads `[+-]digits[.digits][e[+-]digits]`; at least one digit, no blanks.
    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let fault = || NotDecimal(text.to_owned());
        let (body, exponent) = match text.split_once(['e', 'E']) {
            Some((body, exponent)) => (body, exponent.parse::<i32>().map_err(|_| fault())?),
            None => (text, 0),
        };
        let (negative, body) = match body.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, body.strip_prefix('+').unwrap_or(body)),
        };
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(fault());
        }
        let mut mantissa: i128 = 0;
        let mut scale: i32 = 0;
        for (index, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
            if !byte.is_ascii_digit() {
                return Err(fault());
            }
            let after_point = index >= whole.len();
            match mantissa
                .checked_mul(10)
                .and_then(|m| m.checked_add(i128::from(byte - b'0')))
            {
                Some(next) => {
                    mantissa = next;
                    scale = scale.saturating_add(i32::from(after_point));
                }
                // Beyond 38 digits: before the point they still count, behind it they are dropped.
                None => scale = scale.saturating_sub(i32::from(!after_point)),
            }
        }
        let scale = scale.saturating_sub(exponent);
        if scale.abs() > MAX_SCALE && mantissa != 0 {
            return Err(fault());
        }
        Ok(Self::new(if negative { -mantissa } else { mantissa }, scale))
    }
}

impl fmt::Display for Decimal {
    /// Plain digits, no exponent: what the MES reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        if self.scale <= 0 {
            let zeros = usize::try_from(self.scale.unsigned_abs()).unwrap_or(0);
            return write!(f, "{sign}{digits}{:0<zeros$}", "");
        }
        let scale = usize::try_from(self.scale).unwrap_or(0);
        if digits.len() > scale {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            write!(f, "{sign}{whole}.{fraction}")
        } else {
            write!(f, "{sign}0.{digits:0>scale$}")
        }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.mantissa.signum().cmp(&other.mantissa.signum());
        if sign != Ordering::Equal || self.mantissa == 0 {
            return sign;
        }
        // Same sign: the magnitude of the leading digit decides, then exact digits.
        let lead = |d: &Self| i64::from(d.digits()) - i64::from(d.scale);
        let magnitude = match lead(self).cmp(&lead(other)) {
            Ordering::Equal => {
                let (a, b) = (self.widened(), other.widened());
                a.mantissa.unsigned_abs().cmp(&b.mantissa.unsigned_abs())
            }
            unequal => unequal,
        };
        if self.mantissa < 0 {
            magnitude.reverse()
        } else {
            magnitude
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl serde::Serialize for Decimal {
    /// A JSON number of exactly these digits.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number: serde_json::Number = self
            .to_string()
            .parse()
            .map_err(|_| serde::ser::Error::custom("a decimal is a JSON number"))?;
        serde::Serialize::serialize(&number, serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        number.to_string().parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_scale_is_exact() {
        assert_eq!(dec("1234").times(dec("0.01")).to_string(), "12.34");
        assert_eq!(dec("3").times(dec("0.1")).to_string(), "0.3");
        assert_eq!(dec("0.1").plus(dec("0.2")), dec("0.3"));
        assert_eq!(dec("5").minus(dec("5.5")).to_string(), "-0.5");
    }

    #[test]
    fn an_f32_is_its_shortest_decimal() {
        assert_eq!(Decimal::from_f32(12.34).unwrap().to_string(), "12.34");
        assert_eq!(
            Decimal::from_f32(1e-30).unwrap().to_string(),
            "0.000000000000000000000000000001"
        );
        assert_eq!(
            Decimal::from_f32(f32::MAX).unwrap().to_string(),
            "340282350000000000000000000000000000000"
        );
        assert_eq!(Decimal::from_f32(f32::NAN), None);
        assert_eq!(Decimal::from_f64(f64::MAX).unwrap().to_string().len(), 309);
    }

    #[test]
    fn lbf_in_to_newton_metre_has_seven_digits() {
        let value = dec("12.34").times(dec("0.1129848290276167")).round_significant(7);
        assert_eq!(value.to_string(), "1.394233");
    }

    #[test]
    fn order_is_numeric() {
        assert!(dec("9.99") < dec("10"));
        assert!(dec("-10") < dec("-9.99"));
        assert!(dec("1e300") > dec("1e299"));
        assert!(dec("-1") < Decimal::ZERO);
        assert_eq!(dec("1.0"), dec("1"));
        assert_eq!(dec("100").to_i128(), Some(100));
        assert_eq!(dec("1.5").to_i128(), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1.2.3", "0x10", "1e", "------", " 1", "1e999"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        assert_eq!(dec(".234").to_string(), "0.234");
        assert_eq!(dec("+41.2597").to_string(), "41.2597");
    }

    #[test]
    fn too_many_digits_are_rounded_not_wrong() {
        let big = dec("123456789012345678901234567890");
        let product = big.times(big);
        let expected = dec("1.524157875323883675049535156e58");
        let error = product.minus(expected).abs();
        assert!(error < dec("1e40"), "{product}");
        assert_eq!(
            dec("1").over(dec("3")).unwrap().round_significant(7).to_string(),
            "0.3333333"
        );
        assert_eq!(dec("1").over(Decimal::ZERO), None);
    }

    proptest::proptest! {
        #[test]
        fn text_and_arithmetic_are_total(a in ".{0,24}", m in proptest::num::i128::ANY, s in -60_i32..60, n in proptest::num::i128::ANY, t in -60_i32..60) {
            if let Ok(number) = a.parse::<Decimal>() {
                proptest::prop_assert_eq!(number.to_string().parse::<Decimal>(), Ok(number));
            }
            let (x, y) = (Decimal::new(m, s), Decimal::new(n, t));
            // None of these panics, and order is total.
            let results = [x.plus(y), x.times(y), x.over(y).unwrap_or_default(), x.round_significant(7)];
            proptest::prop_assert_eq!(results.len(), 4);
            proptest::prop_assert_eq!(x.cmp(&y), y.cmp(&x).reverse());
            proptest::prop_assert_eq!(x.to_string().parse::<Decimal>().unwrap(), x);
        }
    }
}
