//! How hard blobs are compressed.

use std::str::FromStr;

use super::BadValue;

/// How hard blobs are compressed before they are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// Quickly: zstd level 1.
    Fast,
    /// zstd level 3.
    #[default]
    Default,
    /// As far as is sensible: zstd level 19.
    Max,
    /// This zstd level, 1 to 22.
    Level(u8),
}

impl Compression {
    /// The zstd level; `None` is no compression.
    pub fn zstd_level(self) -> Option<i32> {
        match self {
            Compression::None => None,
            Compression::Fast => Some(1),
            Compression::Default => Some(3),
            Compression::Max => Some(19),
            Compression::Level(level) => Some(i32::from(level)),
        }
    }
}

impl FromStr for Compression {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "none" => Ok(Compression::None),
            "fast" => Ok(Compression::Fast),
            "default" => Ok(Compression::Default),
            "max" => Ok(Compression::Max),
            _ => match text.parse() {
                Ok(level @ 1..=22) => Ok(Compression::Level(level)),
                _ => Err(BadValue::expected("none, fast, default, max or a zstd level from 1 to 22")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_a_word_or_a_level() {
        let levels = [("none", None), ("fast", Some(1)), ("default", Some(3)), ("max", Some(19)), ("22", Some(22))];
        for (text, level) in levels {
            assert_eq!(text.parse().map(Compression::zstd_level), Ok(level), "{text}");
        }
        for text in ["", "0", "23", "-1", "auto", "MAX", "3.5"] {
            let error = text.parse::<Compression>().unwrap_err().to_string();
            assert!(error.contains("none, fast, default, max"), "{error}");
        }
    }
}
