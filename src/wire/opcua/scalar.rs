//! What a tree says to a profile: scalars and lists of them. Owns what well-known structures say instead of their fields:
//! a text, a name, a unit of measure.

use super::{Structure, Tree};
use crate::model::Raw;

/// The namespace of UN/CEFACT unit ids (OPC 10000-8, 5.6.4.3).
const UNECE: &str = "http://www.opcfoundation.org/UA/units/un/cefact";

impl Tree {
    /// The scalar in it, or the list of scalars. A `LocalizedText` is its text, a `QualifiedName` its name, an `EUInformation`
    /// the text of its unit of measure: UCUM for a common code of UN/CEFACT that is known, else its display name. A null inside a
    /// list is an empty text. `None` for null and every other structure, also inside a list.
    #[must_use]
    pub fn raw(&self) -> Option<Raw> {
        match self {
            Self::Null => None,
            Self::Value(raw) => Some(raw.clone()),
            Self::Struct(structure) => structure.text().map(Raw::Text),
            Self::List(items) => {
                let raw = |item: &Self| match item {
                    Self::Null => Some(Raw::Text(String::new())),
                    other => other.raw(),
                };
                Some(Raw::List(items.iter().map(raw).collect::<Option<_>>()?))
            }
        }
    }
}

/// Structures that say one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// `LocalizedText`
    LocalizedText,
    /// `QualifiedName`
    QualifiedName,
    /// `EUInformation`
    EngineeringUnit,
}

impl Structure {
    /// Which of the well-known structures it is: by its name, or, where it has none, by its fields.
    pub(super) fn known(&self) -> Option<Known> {
        let only = |names: &[&str]| self.fields.iter().all(|(name, _)| names.contains(&&**name));
        let has = |name: &str| self.fields.iter().any(|(field, _)| &**field == name);
        match &*self.name {
            "LocalizedText" => Some(Known::LocalizedText),
            "QualifiedName" => Some(Known::QualifiedName),
            "EUInformation" => Some(Known::EngineeringUnit),
            "" if has("Text") && only(&["Locale", "Text"]) => Some(Known::LocalizedText),
            "" if has("NamespaceIndex") && has("Name") && only(&["NamespaceIndex", "Name"]) => {
                Some(Known::QualifiedName)
            }
            "" if has("UnitId") && only(&["NamespaceUri", "UnitId", "DisplayName", "Description"]) => {
                Some(Known::EngineeringUnit)
            }
            _ => None,
        }
    }

    fn get(&self, name: &str) -> Option<&Tree> {
        self.fields
            .iter()
            .find(|(field, _)| &**field == name)
            .map(|(_, tree)| tree)
    }

    fn text(&self) -> Option<String> {
        let said = |name: &str| match self.get(name)?.raw()? {
            Raw::List(_) => None,
            scalar => Some(scalar.text()).filter(|text| !text.is_empty()),
        };
        match self.known()? {
            Known::LocalizedText => said("Text"),
            Known::QualifiedName => said("Name"),
            Known::EngineeringUnit => {
                let ours = said("NamespaceUri").is_none_or(|uri| uri.trim_end_matches('/') == UNECE);
                let code = match self.get("UnitId") {
                    Some(Tree::Value(Raw::Int(id))) if ours => ucum(*id),
                    _ => None,
                };
                code.map(str::to_owned).or_else(|| said("DisplayName"))
            }
        }
    }
}

/// UCUM of a unit id: the letters of a common code of UN/CEFACT Recommendation 20 as a big-endian number.
fn ucum(id: i64) -> Option<&'static str> {
    let bytes = u32::try_from(id).ok()?.to_be_bytes();
    let start = bytes.iter().position(|byte| *byte != 0)?;
    let code = std::str::from_utf8(bytes.get(start..)?).ok()?;
    CODES.iter().find(|(known, _)| *known == code).map(|(_, ucum)| *ucum)
}

/// Common codes of UN/CEFACT Recommendation 20 and their UCUM, of what is measured where things are joined (codes as in
/// `UNECE_to_OPCUA.csv` of the OPC Foundation).
const CODES: &[(&str, &str)] = &[
    // torque
    ("NU", "N.m"),
    ("F88", "N.cm"),
    ("DN", "dN.m"),
    ("J72", "cN.m"),
    ("D83", "mN.m"),
    ("B93", "uN.m"),
    ("B48", "kN.m"),
    ("B38", "kgf.m"),
    ("M92", "[lbf_av].[ft_i]"),
    ("85", "[lbf_av].[ft_i]"),
    ("F21", "[lbf_av].[in_i]"),
    ("IA", "[lbf_av].[in_i]"),
    // angle, and torque over angle
    ("DD", "deg"),
    ("C81", "rad"),
    ("C25", "mrad"),
    ("A91", "gon"),
    ("M44", "circ"),
    ("F89", "N.m/deg"),
    ("M93", "N.m/rad"),
    // force
    ("NEW", "N"),
    ("B47", "kN"),
    ("B73", "MN"),
    ("C20", "mN"),
    ("B37", "kgf"),
    ("B51", "kgf"),
    ("C78", "[lbf_av]"),
    ("4P", "N/m"),
    ("F47", "N/mm"),
    // length and volume
    ("MTR", "m"),
    ("DMT", "dm"),
    ("CMT", "cm"),
    ("MMT", "mm"),
    ("4H", "um"),
    ("C45", "nm"),
    ("INH", "[in_i]"),
    ("FOT", "[ft_i]"),
    ("MTQ", "m3"),
    ("CMQ", "cm3"),
    ("MMQ", "mm3"),
    ("LTR", "l"),
    ("MLT", "ml"),
    // time and speed
    ("SEC", "s"),
    ("C26", "ms"),
    ("B98", "us"),
    ("MIN", "min"),
    ("HUR", "h"),
    ("DAY", "d"),
    ("HTZ", "Hz"),
    ("KHZ", "kHz"),
    ("RPM", "/min"),
    ("M46", "/min"),
    ("C94", "/min"),
    ("RPS", "/s"),
    ("C97", "/s"),
    ("E96", "deg/s"),
    ("2A", "rad/s"),
    ("MTS", "m/s"),
    ("C16", "mm/s"),
    ("MSK", "m/s2"),
    // pressure
    ("PAL", "Pa"),
    ("A97", "hPa"),
    ("KPA", "kPa"),
    ("MPA", "MPa"),
    ("BAR", "bar"),
    ("MBR", "mbar"),
    ("PS", "[psi]"),
    ("C56", "N/mm2"),
    // electricity, energy
    ("VLT", "V"),
    ("2Z", "mV"),
    ("AMP", "A"),
    ("4K", "mA"),
    ("OHM", "Ohm"),
    ("WTT", "W"),
    ("KWT", "kW"),
    ("JOU", "J"),
    ("KJO", "kJ"),
    ("KWH", "kW.h"),
    ("C57", "N.s"),
    // the rest
    ("KGM", "kg"),
    ("GRM", "g"),
    ("MGM", "mg"),
    ("CEL", "Cel"),
    ("KEL", "K"),
    ("FAH", "[degF]"),
    ("P1", "%"),
    ("C62", "1"),
];

#[cfg(test)]
mod tests;
