//! Application identifiers (GS1 General Specifications, section 3.2): how long each is, and which of it are digits.

/// How long an element is, in characters, its identifier not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Exactly.
    Fixed(usize),
    /// One to so many; a separator or the end of the code ends it.
    Upto(usize),
}

/// What an element looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) length: Length,
    /// So many first characters are digits, as far as it has so many.
    pub(super) digits: usize,
    /// Fewest characters.
    pub(super) least: usize,
}

const fn fixed(length: usize) -> Format {
    Format {
        length: Length::Fixed(length),
        digits: length,
        least: length,
    }
}

const fn digits(most: usize) -> Format {
    Format {
        length: Length::Upto(most),
        digits: most,
        least: 1,
    }
}

const fn text(most: usize) -> Format {
    Format {
        length: Length::Upto(most),
        digits: 0,
        least: 1,
    }
}

/// So many digits, then up to so many characters.
const fn headed(digits: usize, more: usize) -> Format {
    Format {
        length: Length::Upto(digits + more),
        digits,
        least: digits,
    }
}

const fn exactly(length: usize, digits: usize) -> Format {
    Format {
        length: Length::Fixed(length),
        digits,
        least: length,
    }
}

/// The application identifier that `code` begins with; `None`: none.
pub(super) fn format(code: &str) -> Option<(&str, Format)> {
    let known = |length: usize| {
        let ai = code.get(..length)?;
        let number: u16 = ai
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| ai.parse().ok())??;
        let format = match length {
            2 => two(number),
            3 => three(number),
            _ => four(number),
        }?;
        Some((ai, format))
    };
    known(2).or_else(|| known(3)).or_else(|| known(4))
}

fn two(ai: u16) -> Option<Format> {
    Some(match ai {
        0 => fixed(18),
        1..=3 => fixed(14),
        10 | 21 | 22 => text(20),
        11..=19 => fixed(6),
        20 => fixed(2),
        30 | 37 => digits(8),
        90 => text(30),
        91..=99 => text(90),
        _ => return None,
    })
}

#[expect(clippy::match_same_arms, reason = "the table has the order of the specification")]
fn three(ai: u16) -> Option<Format> {
    Some(match ai {
        235 => text(28),
        240 | 241 | 250 | 251 => text(30),
        242 => digits(6),
        243 | 254 => text(20),
        253 => headed(13, 17),
        255 => Format {
            digits: 25,
            ..headed(13, 12)
        },
        400 | 401 | 403 => text(30),
        402 => fixed(17),
        410..=417 => fixed(13),
        420 => text(20),
        421 => headed(3, 9),
        422 | 424 | 426 => fixed(3),
        423 | 425 => digits(15),
        427 => text(3),
        710..=719 => text(20),
        _ => return None,
    })
}

#[expect(clippy::match_same_arms, reason = "the table has the order of the specification")]
fn four(ai: u16) -> Option<Format> {
    Some(match ai {
        3100..=3699 => fixed(6),
        3900..=3909 | 3920..=3929 => digits(15),
        3910..=3919 | 3930..=3939 => digits(18),
        3940..=3949 => fixed(4),
        3950..=3959 => fixed(6),
        4300..=4333 => text(70),
        7001 => fixed(13),
        7002 => text(30),
        7003 => fixed(10),
        7004 => digits(4),
        7005 => text(12),
        7006 => fixed(6),
        7007 => digits(12),
        7008 => text(3),
        7009 => text(10),
        7010 => text(2),
        7011 => digits(10),
        7020..=7022 => text(20),
        7023 => text(30),
        7030..=7039 => headed(3, 27),
        7040 => exactly(4, 1),
        7230..=7239 => text(30),
        8001 => fixed(14),
        8002 | 8012 => text(20),
        8003 => headed(14, 16),
        8004 => text(30),
        8005 => fixed(6),
        8006 | 8017 | 8018 | 8026 => fixed(18),
        8007 => text(34),
        8008 => digits(12),
        8009 => text(50),
        8010 => text(30),
        8011 => digits(12),
        8013 | 8014 | 8020 => text(25),
        8019 => digits(10),
        8110 | 8112 | 8200 => text(70),
        8111 => fixed(4),
        _ => return None,
    })
}
