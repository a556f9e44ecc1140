//! Sizes and offsets as people write them, and as they read them.

/// The units that a size may have, with the bytes that each stands for.
const UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

/// What is wrong with a number that no size has.
const TOO_LARGE: &str = "it has more than 64 bits";

/// Reads a number of bytes: `4096`, `0x1000`, `4KiB` (or `4k`: powers of 1024), `4kB` (powers of
/// 1000); case and underscores do not matter. For clap's `value_parser`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let plain = text.trim().to_ascii_lowercase().replace('_', "");
    if let Some(digits) = plain.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map_err(|error| error.to_string());
    }
    let digits = plain.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = plain.split_at(digits);
    if number.is_empty() {
        return Err(String::from("a size begins with a number"));
    }
    let number: u64 = number.parse().map_err(|_| String::from(TOO_LARGE))?;
    let unit = unit.trim_start();
    let scale = match unit {
        "" => 1,
        _ => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale).ok_or_else(
            || format!("no unit `{unit}`: use B, KiB, MiB, GiB, TiB, or kB, MB, GB, TB"),
        )?,
    };
    number.checked_mul(scale).ok_or_else(|| String::from(TOO_LARGE))
}

/// A size as people read it: `29 KiB`, `1.5 GiB`, with three digits at least where it is rounded.
pub(crate) fn human(bytes: u64) -> String {
    const NAMES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (bytes.max(1).ilog2() / 10) as usize;
    let scaled = bytes as f64 / (1_u64 << (10 * power)) as f64;
    let decimals = match scaled {
        _ if bytes.is_multiple_of(1 << (10 * power)) => 0,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$} {}", NAMES[power])
}

/// So many of something: `1 page`, `2,048 pages`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with its thousands apart: `29,431`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part in whole percent, rounded down, so that only all is 100; of nothing there is no part.
pub(crate) fn percent(part: u64, all: u64) -> Option<u64> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(all))?;
    Some(u64::try_from(percent).unwrap_or(u64::MAX))
}

/// A part in percent, to stand behind what it is a part of; empty where that is nothing.
pub(crate) fn share(part: u64, all: u64) -> String {
    percent(part, all).map_or_else(String::new, |percent| format!(" ({percent} %)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_is_a_hundred_percent() {
        for (part, all, text) in [
            (0, 7, " (0 %)"),
            (999, 1000, " (99 %)"),
            (7, 7, " (100 %)"),
            (u64::MAX - 1, u64::MAX, " (99 %)"),
            (0, 0, ""),
        ] {
            assert_eq!(share(part, all), text);
        }
    }

    #[test]
    fn sizes_have_units_and_bases() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("0x1F", 31),
            ("0xffff_ffff_ffff_ffff", u64::MAX),
            ("4KiB", 4096),
            ("4 kib", 4096),
            ("4k", 4096),
            ("3MB", 3_000_000),
            ("2GiB", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "0x", "0xg", "-1", "1.5MiB", "4 parsecs", "16777216TiB", "1e3"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["18446744073709551616", "16777216TiB", "99999999999999999999k"] {
            assert_eq!(parse(text), Err(TOO_LARGE.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_short_and_say_their_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.50 KiB"),
            (29_431, "28.7 KiB"),
            (200 << 20 | 1, "200 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn one_thing_is_no_plural() {
        for (number, text) in [(0, "0 pages"), (1, "1 page"), (2048, "2,048 pages")] {
            assert_eq!(counted(number, "page"), text);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
