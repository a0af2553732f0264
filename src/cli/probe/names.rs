//! Names of points out of what servers call their nodes: snake_case, each once.

use std::collections::{HashMap, HashSet};

/// Longest name of a point.
const LONGEST: usize = 64;

/// What a letter is written as in a name; empty: it divides words.
fn plain(letter: char) -> String {
    match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_string(),
        'ä' | 'æ' => "ae".to_owned(),
        'ö' | 'ø' => "oe".to_owned(),
        'ü' => "ue".to_owned(),
        'Ä' | 'Æ' => "Ae".to_owned(),
        'Ö' | 'Ø' => "Oe".to_owned(),
        'Ü' => "Ue".to_owned(),
        'å' | 'á' | 'à' | 'â' | 'ã' => "a".to_owned(),
        'é' | 'è' | 'ê' | 'ë' => "e".to_owned(),
        'í' | 'ì' | 'î' | 'ï' => "i".to_owned(),
        'ó' | 'ò' | 'ô' | 'õ' => "o".to_owned(),
        'ú' | 'ù' | 'û' => "u".to_owned(),
        'ç' => "c".to_owned(),
        'ñ' => "n".to_owned(),
        'ß' => "ss".to_owned(),
        _ => String::new(),
    }
}

/// A browse name in snake_case: `ResultCount`, `"Result"."Count"` and `result-count` are `result_count`.
pub(super) fn snake(name: &str) -> String {
    let mut words = String::new();
    let letters: Vec<char> = name
        .chars()
        .flat_map(|letter| {
            let plain = plain(letter);
            if plain.is_empty() { "_".to_owned() } else { plain }
                .chars()
                .collect::<Vec<_>>()
        })
        .collect();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(at + 1);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase)
            });
        if begins || *letter == '_' {
            words.push('_');
        }
        if *letter != '_' {
            words.push(letter.to_ascii_lowercase());
        }
    }
    let words: Vec<&str> = words.split('_').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("_");
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert_str(0, "p_");
    }
    name.truncate(LONGEST);
    if name.is_empty() { "point".to_owned() } else { name }
}

/// A name for each of these places (names from the outside in): the last word of it, and as many before it as make it the only
/// one. Each name is there once.
pub(super) fn unique(places: &[Vec<String>]) -> Vec<String> {
    let deepest = places.iter().map(Vec::len).max().unwrap_or(0);
    let short = |place: &[String], words: usize| {
        let begin = place.len().saturating_sub(words);
        snake(&place.get(begin..).unwrap_or_default().join("_"))
    };
    let mut names: Vec<Option<String>> = vec![None; places.len()];
    for words in 1..=deepest {
        let tried: Vec<String> = places.iter().map(|place| short(place, words)).collect();
        let mut times: HashMap<&str, usize> = HashMap::new();
        for name in &tried {
            *times.entry(name).or_default() += 1;
        }
        for (name, tried) in names.iter_mut().zip(&tried) {
            if name.is_none() && times.get(tried.as_str()) == Some(&1) {
                *name = Some(tried.clone());
            }
        }
    }
    let mut taken = HashSet::new();
    let named = names.into_iter().zip(places).map(|(name, place)| {
        let name = name.unwrap_or_else(|| short(place, deepest));
        let mut one = name.clone();
        let mut number = 1;
        while !taken.insert(one.clone()) {
            number += 1;
            let end = format!("_{number}");
            one.clone_from(&name);
            one.truncate(LONGEST - end.len());
            one.push_str(&end);
        }
        one
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browse_names_become_names_of_points() {
        for (name, point) in [
            ("ResultCount", "result_count"),
            ("result_count", "result_count"),
            ("\"Lineside\".\"TorqueMin\"", "lineside_torque_min"),
            ("VINNumber", "vin_number"),
            ("VIN", "vin"),
            ("torque-min [N·m]", "torque_min_n_m"),
            ("Drehmoment_Größe", "drehmoment_groesse"),
            ("v00001", "v00001"),
            ("Torque2Max", "torque2_max"),
            ("1stTorque", "p_1st_torque"),
            ("扭矩", "point"),
            ("", "point"),
        ] {
            assert_eq!(snake(name), point, "{name}");
        }
        assert_eq!(snake(&"x".repeat(100)).len(), LONGEST);
    }

    #[test]
    fn names_are_told_apart_by_what_they_belong_to() {
        let place = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let places = [
            "Left/Torque",
            "Right/Torque",
            "Left/Angle",
            "Left/Torque",
            "Left_Torque",
        ]
        .map(place);
        assert_eq!(
            unique(&places),
            ["left_torque", "right_torque", "angle", "left_torque_2", "left_torque_3"]
        );
    }

    #[test]
    fn long_names_stay_within_what_a_point_can_be_called() {
        let places = vec![vec!["y".repeat(90)]; 12];
        let names = unique(&places);
        assert!(names.iter().all(|name| name.len() <= LONGEST), "{names:?}");
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 12);
    }
}
