//! Ratios by which values change when a unit of measure, a decimal point or an order of words does.
//!
//! Owns the table and which of them a ratio is. Ratios that a re-parameterized program has as well are told apart.

/// A known ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Factor {
    /// Now over before.
    pub(super) ratio: f64,
    /// So near to 1 that a program may have been given such a target.
    pub(super) near: bool,
    /// What it is the ratio of.
    meaning: &'static str,
    /// Another one that is as near.
    other: Option<&'static str>,
}

impl Factor {
    /// What it is the ratio of, and what to ask.
    pub(super) fn words(&self) -> String {
        let ask = if self.meaning == WORDS {
            "is `word_order` of the profile right?"
        } else {
            "was the unit or the scale of the device changed?"
        };
        match self.other {
            Some(other) => format!("{} or {other}; {ask}", self.meaning),
            None => format!("{}; {ask}", self.meaning),
        }
    }
}

/// What a uom measures, as far as it matters for conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Torque,
    Angle,
    Force,
    Pressure,
    Length,
    Other,
}

const DECIMAL: &str = "a decimal point that moved";
const WORDS: &str = "as if the two words of a 32-bit value were exchanged";
const IN_LBF: &str = "the factor between N.m and in.lbf";
const FT_LBF: &str = "the factor between N.m and ft.lbf";
const KGF_M: &str = "the factor between N.m and kgf.m";
const KGF_CM: &str = "the factor between N.m and kgf.cm";
const OZF_IN: &str = "the factor between N.m and ozf.in";
const FT_IN: &str = "the factor between ft.lbf and in.lbf";
const RAD: &str = "the factor between rad and deg";
const TURNS: &str = "the factor between turns and deg";
const KGF: &str = "the factor between N and kgf";
const LBF: &str = "the factor between N and lbf";
const PSI_BAR: &str = "the factor between bar and psi";
const PSI_KPA: &str = "the factor between kPa and psi";
const INCH: &str = "the factor between mm and inch";

/// Of every quantity; upwards, and its reciprocal downwards.
const ANY: &[(f64, &str)] = &[
    (10.0, DECIMAL),
    (100.0, DECIMAL),
    (1_000.0, DECIMAL),
    (10_000.0, DECIMAL),
    (65_536.0, WORDS),
];
/// NIST SP 811, appendix B.9: 1 lbf.in = 0.112 984 8 N.m, 1 lbf.ft = 1.355 818 N.m, 1 kgf.m = 9.806 65 N.m.
const TORQUE: &[(f64, &str)] = &[
    (8.850_746, IN_LBF),
    (1.355_818, FT_LBF),
    (9.806_65, KGF_M),
    (10.197_16, KGF_CM),
    (141.611_9, OZF_IN),
    (12.0, FT_IN),
];
const ANGLE: &[(f64, &str)] = &[(57.295_78, RAD), (360.0, TURNS)];
const FORCE: &[(f64, &str)] = &[(9.806_65, KGF), (4.448_222, LBF)];
const PRESSURE: &[(f64, &str)] = &[(14.503_77, PSI_BAR), (6.894_757, PSI_KPA)];
const LENGTH: &[(f64, &str)] = &[(25.4, INCH)];

/// Ratios below this, and above its reciprocal, are what programs are given as well.
const NEAR: f64 = 2.5;
/// Ratios that are as near as this, as logarithms, cannot be told apart by what is measured.
const ALIKE: f64 = 0.03;

impl Quantity {
    fn of(uom: &str) -> Self {
        match uom {
            "N.m" | "cN.m" | "kN.m" | "mN.m" | "dN.m" => Self::Torque,
            "deg" | "rad" => Self::Angle,
            "N" | "kN" | "daN" | "mN" | "kgf" => Self::Force,
            "bar" | "mbar" | "Pa" | "hPa" | "kPa" | "MPa" => Self::Pressure,
            "mm" | "cm" | "m" | "um" => Self::Length,
            _ if uom.contains("lbf") && uom.contains('.') => Self::Torque,
            _ => Self::Other,
        }
    }

    const fn factors(self) -> &'static [(f64, &'static str)] {
        match self {
            Self::Torque => TORQUE,
            Self::Angle => ANGLE,
            Self::Force => FORCE,
            Self::Pressure => PRESSURE,
            Self::Length => LENGTH,
            Self::Other => &[],
        }
    }
}

/// The known ratio nearest to one whose natural logarithm is `log`, within `tolerance` of that logarithm.
pub(super) fn nearest(log: f64, uom: &str, tolerance: f64) -> Option<Factor> {
    let all = || ANY.iter().chain(Quantity::of(uom).factors());
    let directed = all().flat_map(|(ratio, meaning)| [(*ratio, *meaning), (ratio.recip(), *meaning)]);
    let mut found: Vec<(f64, f64, &'static str)> = directed
        .map(|(ratio, meaning)| ((ratio.ln() - log).abs(), ratio, meaning))
        .filter(|(distance, _, _)| *distance <= tolerance + ALIKE)
        .collect();
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (distance, ratio, meaning) = *found.first().filter(|(distance, _, _)| *distance <= tolerance)?;
    let other = found.get(1).filter(|(other, _, _)| *other <= distance + ALIKE);
    Some(Factor {
        ratio,
        near: (NEAR.recip()..NEAR).contains(&ratio),
        meaning,
        other: other.map(|(_, _, meaning)| *meaning),
    })
}
