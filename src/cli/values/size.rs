//! Quantities of bytes.

use std::str::FromStr;

use super::BadValue;
use crate::format::limits::PACK_MAX;

/// A number of bytes: `512`, `5G`, `100 MiB`, `1.5TB`. A bare letter means what it means to restic and to
/// `ls`: a power of 1024; `KB`, `MB`… are powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        parse(text).map(Size).ok_or_else(|| BadValue::expected("a size such as 512, 5G, 100 MiB or 1.5TB"))
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = u128::from(unit_bytes(unit.trim_start())?);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine digits after the point tell bytes apart in a GiB; floats would lose bytes of large sizes.
    if whole.is_empty() || whole.len() > 20 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let (whole, fraction): (u128, u128) = (whole.parse().ok()?, fraction.parse().ok()?);
    u64::try_from((whole * scale + fraction) * unit / scale).ok()
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if unit.is_empty() || unit == "b" {
        return Some(1);
    }
    let (letter, kind) = unit.split_at_checked(1)?;
    let power = u32::try_from("kmgtpe".find(letter)?).ok()? + 1;
    match kind {
        "" | "i" | "ib" => Some(1024u64.pow(power)),
        "b" => Some(1000u64.pow(power)),
        _ => None,
    }
}

/// How large packs are made: 4 MiB to 256 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackSize(u64);

impl PackSize {
    const MIN: u64 = 4 << 20;

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for PackSize {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse::<Size>() {
            Ok(Size(bytes @ Self::MIN..=PACK_MAX)) => Ok(PackSize(bytes)),
            _ => Err(BadValue::expected("a size from 4 MiB to 256 MiB, such as 64M")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_suffixes_of_both_schools() {
        let cases = [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("5G", 5 << 30),
            ("5g", 5 << 30),
            ("100 MiB", 100 << 20),
            ("100Mi", 100 << 20),
            ("1.5TB", 1_500_000_000_000),
            ("2kB", 2000),
            ("0.5K", 512),
            (" 7 P ", 7 << 50),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Size>().map(Size::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_words_are_no_sizes() {
        let words = [
            "",
            "G",
            "-1",
            "1.2.3",
            "1.",
            ".5G",
            "5X",
            "5 GiBs",
            "5ё",
            "1e9",
            "0x10",
            "16E",
            "99999999999999999999999",
        ];
        for text in words {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn packs_are_neither_tiny_nor_over_the_limit() {
        assert_eq!("64M".parse().map(PackSize::bytes), Ok(64 << 20));
        assert!("256MiB".parse::<PackSize>().is_ok());
        for text in ["3M", "257M", "16"] {
            assert!(text.parse::<PackSize>().is_err(), "{text}");
        }
    }
}
