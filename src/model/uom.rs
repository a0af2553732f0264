//! Units of measure (uom): UCUM codes, what people write instead of them, and conversion.
//!
//! Owns dimensions and factors. Never called "unit": that is the production unit.
//! Codes and factors are those of the Unified Code for Units of Measure, version 2.2
//! (<https://ucum.org/ucum>), case sensitive; only what is measured at a line is known.

use super::Decimal;

/// Dimensions, each with its base: g, m, s, A, K, deg (an angle is no number), mol, cd, B (a level).
type Dimension = [i8; 9];

/// Longest text that is looked at, in bytes.
const LONGEST: usize = 80;
/// Largest exponent of an atom.
const MAX_EXPONENT: i32 = 9;
/// Deepest nesting of parentheses.
const MAX_DEPTH: u8 = 4;

/// A unit of measure, known by its UCUM code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uom {
    code: String,
    measure: Measure,
}

/// `(value + offset) × over / under` is the value in base units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measure {
    dimension: Dimension,
    over: Decimal,
    under: Decimal,
    offset: Decimal,
}

/// Why a text is no unit of measure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UomFault {
    /// Not known.
    #[error("`{0}` is no unit of measure")]
    Unknown(String),
}

impl Uom {
    /// Reads UCUM (`N.m`, `[lbf_av].[in_i]`, `Cel`) or what people write (Nm, lbf.in, in-lb, kgf.cm, ft-lb).
    /// Where a text is both, it is UCUM: `nm` is a nanometre, `C` a coulomb, `kg.cm` no torque.
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse(text: &str) -> Result<Self, UomFault> {
        let fault = || UomFault::Unknown(text.to_owned());
        if text.len() > LONGEST {
            return Err(UomFault::Unknown(text.chars().take(LONGEST / 2).collect()));
        }
        let plain = plain(text.trim());
        if let Some(whole) = word(WHOLE, &plain.to_lowercase()) {
            return ucum(whole).ok_or_else(fault);
        }
        ucum(&plain)
            .or_else(|| written(&plain).and_then(|code| ucum(&code)))
            .ok_or_else(fault)
    }

    /// The UCUM code, as it is published.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether values can be converted to `other`: same dimension.
    #[must_use]
    pub fn converts_to(&self, other: &Self) -> bool {
        self.measure.dimension == other.measure.dimension
    }

    /// `value`, of this uom, in `other`, rounded to `digits` significant digits; unchanged and unrounded where
    /// both are the same measure. `None` where the dimensions differ.
    #[must_use]
    pub fn convert(&self, value: Decimal, other: &Self, digits: u32) -> Option<Decimal> {
        let (from, to) = (&self.measure, &other.measure);
        if from.dimension != to.dimension {
            return None;
        }
        if from == to {
            return Some(value);
        }
        let top = value.plus(from.offset).times(from.over.times(to.under));
        let converted = top.over(from.under.times(to.over))?.minus(to.offset);
        Some(converted.round_significant(digits))
    }
}

/// One spelling of the signs that people and devices write.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '·' | '⋅' | '×' | '•' | '∙' | '*' => out.push('.'),
            'µ' | 'μ' => out.push('u'),
            '²' => out.push('2'),
            '³' => out.push('3'),
            '\u{2126}' | 'Ω' => out.push_str("Ohm"),
            '°' | 'º' => out.push_str("deg"),
            '℃' => out.push_str("Cel"),
            '℉' => out.push_str("[degF]"),
            '‑' | '–' | '−' => out.push('-'),
            '^' => {}
            other => out.push(other),
        }
    }
    out
}

// ---- UCUM ----

/// An atom: its code, `mantissa × 10^-scale` base units, divided by a whole number where that is no decimal,
/// its dimension, and whether prefixes go with it.
struct Atom {
    code: &'static str,
    mantissa: i128,
    scale: i32,
    dimension: Dimension,
    metric: bool,
}

const fn metric(code: &'static str, mantissa: i128, scale: i32, dimension: Dimension) -> Atom {
    Atom {
        code,
        mantissa,
        scale,
        dimension,
        metric: true,
    }
}

const fn other(code: &'static str, mantissa: i128, scale: i32, dimension: Dimension) -> Atom {
    Atom {
        metric: false,
        ..metric(code, mantissa, scale, dimension)
    }
}

const NUMBER: Dimension = [0; 9];
const MASS: Dimension = [1, 0, 0, 0, 0, 0, 0, 0, 0];
const LENGTH: Dimension = [0, 1, 0, 0, 0, 0, 0, 0, 0];
const VOLUME: Dimension = [0, 3, 0, 0, 0, 0, 0, 0, 0];
const TIME: Dimension = [0, 0, 1, 0, 0, 0, 0, 0, 0];
const TEMPERATURE: Dimension = [0, 0, 0, 0, 1, 0, 0, 0, 0];
const ANGLE: Dimension = [0, 0, 0, 0, 0, 1, 0, 0, 0];
const FORCE: Dimension = [1, 1, -2, 0, 0, 0, 0, 0, 0];
const PRESSURE: Dimension = [1, -1, -2, 0, 0, 0, 0, 0, 0];
const ENERGY: Dimension = [1, 2, -2, 0, 0, 0, 0, 0, 0];

/// 180/π, to 34 digits.
const RADIAN: i128 = 5_729_577_951_308_232_087_679_815_481_410_517;

const ATOMS: &[Atom] = &[
    metric("m", 1, 0, LENGTH),
    metric("g", 1, 0, MASS),
    metric("s", 1, 0, TIME),
    metric("A", 1, 0, [0, 0, 0, 1, 0, 0, 0, 0, 0]),
    metric("K", 1, 0, TEMPERATURE),
    metric("Cel", 1, 0, TEMPERATURE),
    metric("mol", 1, 0, [0, 0, 0, 0, 0, 0, 1, 0, 0]),
    metric("cd", 1, 0, [0, 0, 0, 0, 0, 0, 0, 1, 0]),
    metric("lm", 1, 0, [0, 0, 0, 0, 0, 0, 0, 1, 0]),
    metric("lx", 1, 0, [0, -2, 0, 0, 0, 0, 0, 1, 0]),
    metric("B", 1, 0, [0, 0, 0, 0, 0, 0, 0, 0, 1]),
    metric("rad", RADIAN, 32, ANGLE),
    metric("Hz", 1, 0, [0, 0, -1, 0, 0, 0, 0, 0, 0]),
    metric("N", 1_000, 0, FORCE),
    metric("gf", 980_665, 5, FORCE),
    metric("Pa", 1_000, 0, PRESSURE),
    metric("bar", 100_000_000, 0, PRESSURE),
    metric("m[Hg]", 133_322_000, 0, PRESSURE),
    metric("m[H2O]", 9_806_650, 0, PRESSURE),
    metric("J", 1_000, 0, ENERGY),
    metric("W", 1_000, 0, [1, 2, -3, 0, 0, 0, 0, 0, 0]),
    metric("V", 1_000, 0, [1, 2, -3, -1, 0, 0, 0, 0, 0]),
    metric("Ohm", 1_000, 0, [1, 2, -3, -2, 0, 0, 0, 0, 0]),
    metric("S", 1, 3, [-1, -2, 3, 2, 0, 0, 0, 0, 0]),
    metric("F", 1, 3, [-1, -2, 4, 2, 0, 0, 0, 0, 0]),
    metric("H", 1_000, 0, [1, 2, -2, -2, 0, 0, 0, 0, 0]),
    metric("C", 1, 0, [0, 0, 1, 1, 0, 0, 0, 0, 0]),
    metric("Wb", 1_000, 0, [1, 2, -2, -1, 0, 0, 0, 0, 0]),
    metric("T", 1_000, 0, [1, 0, -2, -1, 0, 0, 0, 0, 0]),
    metric("l", 1, 3, VOLUME),
    metric("L", 1, 3, VOLUME),
    other("t", 1_000_000, 0, MASS),
    other("min", 60, 0, TIME),
    other("h", 3_600, 0, TIME),
    other("d", 86_400, 0, TIME),
    other("deg", 1, 0, ANGLE),
    other("gon", 9, 1, ANGLE),
    other("circ", 360, 0, ANGLE),
    other("atm", 101_325_000, 0, PRESSURE),
    other("att", 98_066_500, 0, PRESSURE),
    other("%", 1, 2, NUMBER),
    other("[ppth]", 1, 3, NUMBER),
    other("[ppm]", 1, 6, NUMBER),
    other("[ppb]", 1, 9, NUMBER),
    other("[degF]", 5, 0, TEMPERATURE),
    other("[in_i]", 254, 4, LENGTH),
    other("[ft_i]", 3_048, 4, LENGTH),
    other("[yd_i]", 9_144, 4, LENGTH),
    other("[mi_i]", 1_609_344, 3, LENGTH),
    other("[mil_i]", 254, 7, LENGTH),
    other("[gal_us]", 3_785_411_784, 12, VOLUME),
    other("[lb_av]", 45_359_237, 5, MASS),
    other("[oz_av]", 28_349_523_125, 9, MASS),
    other("[lbf_av]", 44_482_216_152_605, 10, FORCE),
    other("[in_i'Hg]", 33_863_788, 1, PRESSURE),
    other("[in_i'H2O]", 24_908_891, 2, PRESSURE),
];

/// Pounds-force of a pound-force per square inch, in base units: `[lbf_av]` over `[in_i]2`.
const PSI: (i128, i32, i128, i32) = (44_482_216_152_605, 10, 64_516, 8);

const PREFIXES: &[(&str, i32)] = &[
    ("da", 1),
    ("h", 2),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
];

impl Measure {
    const ONE: Self = Self {
        dimension: NUMBER,
        over: Decimal::ONE,
        under: Decimal::ONE,
        offset: Decimal::ZERO,
    };

    /// The atom of this code, prefixed or not.
    fn atom(code: &str) -> Option<Self> {
        if code == "[psi]" {
            let (mantissa, scale, under, under_scale) = PSI;
            return Some(Self {
                dimension: PRESSURE,
                over: Decimal::new(mantissa, scale),
                under: Decimal::new(under, under_scale),
                offset: Decimal::ZERO,
            });
        }
        let find = |code: &str| ATOMS.iter().find(|atom| atom.code == code);
        let (atom, power) = match find(code) {
            Some(atom) => (atom, 0),
            None => PREFIXES.iter().find_map(|(prefix, power)| {
                let atom = find(code.strip_prefix(prefix)?)?;
                atom.metric.then_some((atom, *power))
            })?,
        };
        let mut measure = Self {
            dimension: atom.dimension,
            over: Decimal::new(atom.mantissa, atom.scale.saturating_sub(power)),
            ..Self::ONE
        };
        match atom.code {
            // A prefixed degree Celsius is a difference only; nobody writes it.
            "Cel" if power == 0 => measure.offset = Decimal::new(27_315, 2),
            "Cel" => return None,
            "[degF]" => {
                measure.under = Decimal::new(9, 0);
                measure.offset = Decimal::new(45_967, 2);
            }
            _ => {}
        }
        Some(measure)
    }

    /// Times `other` to this power. Scales with an offset become differences.
    fn times(self, other: Self, exponent: i32) -> Option<Self> {
        let mut out = self;
        let (over, under) = if exponent < 0 {
            (other.under, other.over)
        } else {
            (other.over, other.under)
        };
        for _ in 0..exponent.unsigned_abs() {
            out.over = out.over.times(over);
            out.under = out.under.times(under);
        }
        for (mine, theirs) in out.dimension.iter_mut().zip(other.dimension) {
            let theirs = i32::from(theirs).checked_mul(exponent)?;
            *mine = i8::try_from(i32::from(*mine).checked_add(theirs)?).ok()?;
        }
        out.offset = Decimal::ZERO;
        Some(out)
    }
}

/// A factor of a uom as it stands in its code: text and power.
type Term = (String, i32);

/// Reads UCUM; `None` where it is none.
fn ucum(text: &str) -> Option<Uom> {
    let mut terms = Vec::new();
    let rest = product(text, 1, MAX_DEPTH, &mut terms)?;
    if !rest.is_empty() || terms.is_empty() {
        return None;
    }
    let mut measure = Measure::ONE;
    let mut code = String::new();
    let single = terms.len() == 1;
    for (atom, exponent) in &terms {
        let one = if atom.starts_with('{') {
            Measure::ONE
        } else if atom.starts_with(|c: char| c.is_ascii_digit()) {
            let factor: i64 = atom.parse().ok().filter(|factor| *factor > 0)?;
            if factor == 1 {
                continue;
            }
            Measure {
                over: factor.into(),
                ..Measure::ONE
            }
        } else {
            let bare = atom.split('{').next().unwrap_or(atom);
            Measure::atom(bare)?
        };
        measure = if single && *exponent == 1 {
            one
        } else {
            measure.times(one, *exponent)?
        };
        if *exponent < 0 {
            code.push('/');
        } else if !code.is_empty() {
            code.push('.');
        }
        code.push_str(atom);
        if exponent.abs() != 1 {
            code.push_str(&exponent.abs().to_string());
        }
    }
    if code.is_empty() {
        code.push('1');
    }
    Some(Uom { code, measure })
}

/// Reads `a.b/c`, up to a closing parenthesis or the end; what is left.
fn product<'a>(text: &'a str, sign: i32, depth: u8, terms: &mut Vec<Term>) -> Option<&'a str> {
    let mut rest = text;
    let mut sign_here = sign;
    if let Some(after) = rest.strip_prefix('/') {
        rest = after;
        sign_here = -sign;
    }
    loop {
        rest = if let Some(inside) = rest.strip_prefix('(') {
            product(inside, sign_here, depth.checked_sub(1)?, terms)?.strip_prefix(')')?
        } else {
            component(rest, sign_here, terms)?
        };
        if let Some(after) = rest.strip_prefix('.') {
            (rest, sign_here) = (after, sign);
        } else if let Some(after) = rest.strip_prefix('/') {
            (rest, sign_here) = (after, -sign);
        } else {
            return Some(rest);
        }
    }
}

/// Reads one atom with prefix, exponent and annotation, or a whole number.
fn component<'a>(text: &'a str, sign: i32, terms: &mut Vec<Term>) -> Option<&'a str> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits > 0 {
        let (number, rest) = text.split_at_checked(digits)?;
        (number.len() <= 9).then(|| terms.push((number.to_owned(), sign)))?;
        return Some(rest);
    }
    let mut end = 0;
    let mut bracket = false;
    for (at, c) in text.char_indices() {
        let inside = bracket;
        match c {
            '[' => bracket = true,
            ']' => bracket = false,
            _ if bracket => {}
            c if c.is_ascii_alphabetic() || c == '%' || c == '\'' => {}
            _ => break,
        }
        if inside && !(c.is_ascii_alphanumeric() || matches!(c, '_' | '\'' | ']')) {
            return None;
        }
        end = at + c.len_utf8();
    }
    let (atom, mut rest) = text.split_at_checked(end)?;
    let mut exponent: i32 = 1;
    if !atom.is_empty() {
        let signs = usize::from(rest.starts_with(['+', '-']));
        let unsigned = rest.get(signs..)?;
        let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            let (power, after) = rest.split_at_checked(signs + digits)?;
            exponent = power.parse().ok()?;
            rest = after;
        }
        if exponent == 0 || exponent.abs() > MAX_EXPONENT {
            return None;
        }
    }
    let mut name = atom.to_owned();
    if let Some(annotation) = rest.strip_prefix('{') {
        let (inside, after) = annotation.split_once('}')?;
        if !inside.chars().all(|c| c.is_ascii_graphic() && c != '{') || (exponent != 1 && !atom.is_empty()) {
            return None;
        }
        name = format!("{atom}{{{inside}}}");
        rest = after;
    }
    if name.is_empty() {
        return None;
    }
    terms.push((name, exponent * sign));
    Some(rest)
}

// ---- what people write ----

/// Whole texts, lower case.
const WHOLE: &[(&str, &str)] = &[
    ("rpm", "/min"),
    ("r/min", "/min"),
    ("u/min", "/min"),
    ("rev/min", "/min"),
    ("rps", "/s"),
    ("rev/s", "/s"),
    ("lpm", "l/min"),
    ("cfm", "[ft_i]3/min"),
    ("gpm", "[gal_us]/min"),
    ("mph", "[mi_i]/h"),
    ("kph", "km/h"),
    ("kmh", "km/h"),
    ("fpm", "[ft_i]/min"),
    ("ipm", "[in_i]/min"),
    ("ccm", "cm3"),
    ("cc", "cm3"),
];

/// Single words, lower case.
const WORDS: &[(&str, &str)] = &[
    ("in", "[in_i]"),
    ("inch", "[in_i]"),
    ("inches", "[in_i]"),
    ("\"", "[in_i]"),
    ("ft", "[ft_i]"),
    ("foot", "[ft_i]"),
    ("feet", "[ft_i]"),
    ("yd", "[yd_i]"),
    ("mi", "[mi_i]"),
    ("mil", "[mil_i]"),
    ("mile", "[mi_i]"),
    ("lb", "[lb_av]"),
    ("lbs", "[lb_av]"),
    ("lbm", "[lb_av]"),
    ("oz", "[oz_av]"),
    ("lbf", "[lbf_av]"),
    ("lbsf", "[lbf_av]"),
    ("kip", "1000.[lbf_av]"),
    ("ozf", "[lbf_av]/16"),
    ("kp", "kgf"),
    ("kgf", "kgf"),
    ("psi", "[psi]"),
    ("ksi", "1000.[psi]"),
    ("kpa", "kPa"),
    ("mpa", "MPa"),
    ("hpa", "hPa"),
    ("pa", "Pa"),
    ("bar", "bar"),
    ("mbar", "mbar"),
    ("torr", "mm[Hg]"),
    ("mmhg", "mm[Hg]"),
    ("mmh2o", "mm[H2O]"),
    ("cmh2o", "cm[H2O]"),
    ("inhg", "[in_i'Hg]"),
    ("inh2o", "[in_i'H2O]"),
    ("degc", "Cel"),
    ("celsius", "Cel"),
    ("cel", "Cel"),
    ("degf", "[degF]"),
    ("fahrenheit", "[degF]"),
    ("kelvin", "K"),
    ("degk", "K"),
    ("degree", "deg"),
    ("degrees", "deg"),
    ("deg", "deg"),
    ("radian", "rad"),
    ("radians", "rad"),
    ("grad", "gon"),
    ("rev", "circ"),
    ("revs", "circ"),
    ("turn", "circ"),
    ("turns", "circ"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("min", "min"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("percent", "%"),
    ("pct", "%"),
    ("ppm", "[ppm]"),
    ("ppb", "[ppb]"),
    ("hz", "Hz"),
    ("khz", "kHz"),
    ("ohm", "Ohm"),
    ("ohms", "Ohm"),
    ("kohm", "kOhm"),
    ("volt", "V"),
    ("volts", "V"),
    ("amp", "A"),
    ("amps", "A"),
    ("ampere", "A"),
    ("watt", "W"),
    ("watts", "W"),
    ("kw", "kW"),
    ("joule", "J"),
    ("joules", "J"),
    ("newton", "N"),
    ("newtons", "N"),
    ("kn", "kN"),
    ("liter", "l"),
    ("litre", "l"),
    ("liters", "l"),
    ("ltr", "l"),
    ("ml", "ml"),
    ("gal", "[gal_us]"),
    ("gram", "g"),
    ("grams", "g"),
    ("kg", "kg"),
    ("kgs", "kg"),
    ("micron", "um"),
    ("microns", "um"),
    ("meter", "m"),
    ("metre", "m"),
    ("wh", "W.h"),
    ("kwh", "kW.h"),
    ("ah", "A.h"),
    ("mah", "mA.h"),
    ("va", "V.A"),
    ("kva", "kV.A"),
    ("db", "dB"),
];

/// Forces as they stand in a torque, with prefixes told apart by case.
const NEWTONS: &[&str] = &["N", "cN", "dN", "mN", "uN", "kN", "MN", "daN"];
/// Forces as they stand in a torque, lower case. A second code is put behind the length.
const FORCES: &[(&str, &str, &str)] = &[
    ("lbf", "[lbf_av]", ""),
    ("lb", "[lbf_av]", ""),
    ("lbs", "[lbf_av]", ""),
    ("lbsf", "[lbf_av]", ""),
    ("ozf", "[lbf_av]", "/16"),
    ("oz", "[lbf_av]", "/16"),
    ("kgf", "kgf", ""),
    ("kp", "kgf", ""),
    ("kg", "kgf", ""),
    ("gf", "gf", ""),
    ("p", "gf", ""),
    ("n", "N", ""),
    ("cn", "cN", ""),
];
/// Lengths as they stand in a torque, lower case.
const LENGTHS: &[(&str, &str)] = &[
    ("in", "[in_i]"),
    ("inch", "[in_i]"),
    ("ft", "[ft_i]"),
    ("foot", "[ft_i]"),
    ("m", "m"),
    ("cm", "cm"),
    ("mm", "mm"),
];

fn word<'a>(table: &[(&str, &'a str)], text: &str) -> Option<&'a str> {
    table.iter().find(|(word, _)| *word == text).map(|(_, code)| *code)
}

/// UCUM for what people write, piece by piece between slashes.
fn written(text: &str) -> Option<String> {
    let mut out = String::new();
    for (index, piece) in text.split('/').enumerate() {
        let piece = piece.trim();
        let code = if ucum(piece).is_some() {
            piece.to_owned()
        } else {
            torque(piece).or_else(|| factors(piece))?
        };
        if index == 0 {
            out = code;
        } else {
            out = format!("{out}/({code})");
        }
    }
    Some(out)
}

/// A force and a length in either order, however they are joined.
fn torque(piece: &str) -> Option<String> {
    let joint = |c: char| matches!(c, '.' | '-' | '_' | ' ');
    if piece.split(joint).any(str::is_empty) {
        return None;
    }
    let tight: String = piece.chars().filter(|c| !joint(*c)).collect();
    for newton in NEWTONS {
        if let Some(length) = tight.strip_prefix(newton).and_then(|rest| word(LENGTHS, rest)) {
            return Some(format!("{newton}.{length}"));
        }
    }
    let tight = tight.to_lowercase();
    if tight == "kpm" {
        return Some("kgf.m".to_owned());
    }
    for (force, code, behind) in FORCES {
        let length = tight
            .strip_prefix(force)
            .and_then(|rest| word(LENGTHS, rest))
            .or_else(|| {
                // A length stands first only with the forces of the inch system.
                let first = tight.strip_suffix(force).and_then(|rest| word(LENGTHS, rest));
                first.filter(|_| code.starts_with('['))
            });
        if let Some(length) = length {
            return Some(format!("{code}.{length}{behind}"));
        }
    }
    None
}

/// Words joined by dots, each perhaps with an exponent: `in2`, `sec`, `ft3`.
fn factors(piece: &str) -> Option<String> {
    let mut out = Vec::new();
    for factor in piece.split('.') {
        let factor = factor.trim();
        if ucum(factor).is_some() {
            out.push(factor.to_owned());
            continue;
        }
        let name = factor.trim_end_matches(|c: char| c.is_ascii_digit());
        let exponent = factor.strip_prefix(name)?;
        let squeezed: String = name.chars().filter(|c| *c != ' ').collect();
        // Some words end in a digit of their own.
        let code = word(WORDS, &squeezed.to_lowercase());
        match (code, exponent) {
            (Some(code), "") => out.push(code.to_owned()),
            (Some(code), exponent) if !code.contains(['.', '/']) => out.push(format!("{code}{exponent}")),
            _ => return None,
        }
    }
    Some(out.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uom(text: &str) -> Uom {
        Uom::parse(text).unwrap()
    }

    fn converted(value: &str, from: &str, to: &str) -> String {
        uom(from)
            .convert(value.parse().unwrap(), &uom(to), 7)
            .unwrap()
            .to_string()
    }

    #[test]
    fn what_people_write_is_published_as_ucum() {
        for (written, code) in [
            ("Nm", "N.m"),
            ("N.m", "N.m"),
            ("N·m", "N.m"),
            ("N m", "N.m"),
            ("N-m", "N.m"),
            ("NM", "N.m"),
            ("Ncm", "N.cm"),
            ("cNm", "cN.m"),
            ("mNm", "mN.m"),
            ("kNm", "kN.m"),
            ("lbf.in", "[lbf_av].[in_i]"),
            ("in-lb", "[lbf_av].[in_i]"),
            ("in.lb", "[lbf_av].[in_i]"),
            ("in lbs", "[lbf_av].[in_i]"),
            ("lbf-in", "[lbf_av].[in_i]"),
            ("lbf·in", "[lbf_av].[in_i]"),
            ("inlb", "[lbf_av].[in_i]"),
            ("[lbf_av].[in_i]", "[lbf_av].[in_i]"),
            ("lbf.ft", "[lbf_av].[ft_i]"),
            ("ft-lb", "[lbf_av].[ft_i]"),
            ("ftlb", "[lbf_av].[ft_i]"),
            ("FT-LBS", "[lbf_av].[ft_i]"),
            ("kgf.cm", "kgf.cm"),
            ("kgf.m", "kgf.m"),
            ("kgcm", "kgf.cm"),
            ("kpm", "kgf.m"),
            ("gf.cm", "gf.cm"),
            ("ozf.in", "[lbf_av].[in_i]/16"),
            ("In.oz", "[lbf_av].[in_i]/16"),
            ("deg", "deg"),
            ("°", "deg"),
            ("rad", "rad"),
            ("Cel", "Cel"),
            ("°C", "Cel"),
            ("degC", "Cel"),
            ("degF", "[degF]"),
            ("°F", "[degF]"),
            ("K", "K"),
            ("bar", "bar"),
            ("mbar", "mbar"),
            ("kPa", "kPa"),
            ("MPa", "MPa"),
            ("psi", "[psi]"),
            ("kN", "kN"),
            ("lbf", "[lbf_av]"),
            ("um", "um"),
            ("µm", "um"),
            ("in", "[in_i]"),
            ("ft", "[ft_i]"),
            ("min", "min"),
            ("%", "%"),
            ("mV", "mV"),
            ("rpm", "/min"),
            ("1/min", "/min"),
            ("min-1", "/min"),
            ("/min", "/min"),
            ("{rev}/min", "{rev}/min"),
            ("lb", "[lb_av]"),
            ("l/min", "l/min"),
            ("mL/min", "mL/min"),
            ("in/sec", "[in_i]/s"),
            ("lb/in2", "[lb_av]/[in_i]2"),
            ("kgf/cm²", "kgf/cm2"),
            ("Nm/deg", "N.m/deg"),
            ("Nm/°", "N.m/deg"),
            ("N/(m.s)", "N/m/s"),
            ("Ohm", "Ohm"),
            ("kΩ", "kOhm"),
            ("mm[Hg]", "mm[Hg]"),
            ("nm", "nm"),
            ("1", "1"),
            ("dB", "dB"),
            ("kWh", "kW.h"),
            ("mbar.l/s", "mbar.l/s"),
            ("m/s2", "m/s2"),
            ("°/s", "deg/s"),
        ] {
            let read = Uom::parse(written).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(read.code(), code, "{written}");
            assert_eq!(uom(code), read, "{code} reads back");
        }
    }

    #[test]
    fn values_convert_by_exact_factors() {
        for (value, from, to, expected) in [
            ("12.34", "lbf.in", "N.m", "1.394233"),
            ("1", "ft-lb", "N.m", "1.355818"),
            ("16", "ozf.in", "lbf.in", "1"),
            ("10", "kgf.cm", "N.m", "0.980665"),
            ("250", "Ncm", "Nm", "2.5"),
            ("1", "circ", "deg", "360"),
            ("3.141592653589793", "rad", "deg", "180"),
            ("100", "psi", "bar", "6.894757"),
            ("1", "atm", "Pa", "101325"),
            ("-40", "degF", "Cel", "-40"),
            ("98.6", "degF", "Cel", "37"),
            ("0", "Cel", "K", "273.15"),
            ("300", "rpm", "Hz", "5"),
            ("36", "km/h", "m/s", "10"),
            ("1", "h", "s", "3600"),
            ("50", "%", "1", "0.5"),
            ("1", "J", "N.m", "1"),
            ("2", "V.A", "W", "2"),
            ("1", "kg.m/s2", "N", "1"),
            ("9", "degF/min", "K/min", "5"),
            ("1", "l", "cm3", "1000"),
        ] {
            assert_eq!(converted(value, from, to), expected, "{value} {from} in {to}");
        }
        assert_eq!(
            uom("lbf.in")
                .convert(Decimal::ONE, &uom("N.m"), 30)
                .unwrap()
                .to_string(),
            "0.1129848290276167"
        );
    }

    #[test]
    fn the_same_measure_is_not_rounded() {
        let value: Decimal = "1.23456789012".parse().unwrap();
        assert_eq!(uom("Nm").convert(value, &uom("N.m"), 7), Some(value));
        assert_eq!(uom("{rev}/min").convert(value, &uom("rpm"), 7), Some(value));
        assert_eq!(uom("psi").convert(value, &uom("lbf/in2"), 7), Some(value));
    }

    #[test]
    fn dimensions_are_kept_apart() {
        for (a, b) in [
            ("deg", "1"),
            ("N", "N.m"),
            ("N.m", "N.m/deg"),
            ("nm", "N.m"),
            ("kg.cm", "N.m"),
            ("dB", "1"),
        ] {
            assert!(!uom(a).converts_to(&uom(b)), "{a} {b}");
            assert_eq!(uom(a).convert(Decimal::ONE, &uom(b), 7), None);
        }
    }

    #[test]
    fn what_is_no_uom_is_refused() {
        for odd in [
            "", " ", "foo", "Nmx", "N.", "N..m", "/", "(N", "N)", "m0", "m99", "[in", "kmin", "{", "{ä}", "0", "mCel",
            "N.m.", "1e3", "\u{0}", "furlong", "gm",
        ] {
            assert!(Uom::parse(odd).is_err(), "{odd:?} is {:?}", Uom::parse(odd));
        }
        assert!(Uom::parse(&"m.".repeat(10_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,90}", like in "[NmkcgifntlbhsPa/.()\\[\\]{}_0-9 °·-]{0,24}") {
            for text in [text, like] {
                if let Ok(read) = Uom::parse(&text) {
                    let again = Uom::parse(read.code()).unwrap();
                    proptest::prop_assert_eq!(&again, &read, "{}", text);
                    proptest::prop_assert!(read.convert(Decimal::ONE, &again, 7).is_some());
                }
            }
        }
    }
}
