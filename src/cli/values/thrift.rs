//! How thrifty a prune is.

use std::str::FromStr;
use std::time::Duration;

use super::{BadValue, Size};
use crate::ops::prune;

/// How much room may be taken by what nobody needs: `5%`, `10G`, `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxUnused(prune::MaxUnused);

impl MaxUnused {
    /// As the operation takes it.
    pub fn limit(self) -> prune::MaxUnused {
        self.0
    }
}

impl FromStr for MaxUnused {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let limit = match text.trim() {
            "unlimited" => Some(prune::MaxUnused::Unlimited),
            text => match text.strip_suffix('%') {
                Some(percent) => percent_of(percent.trim_end()).map(prune::MaxUnused::Percent),
                None => text.parse::<Size>().ok().map(|size| prune::MaxUnused::Bytes(size.bytes())),
            },
        };
        limit
            .map(MaxUnused)
            .ok_or_else(|| BadValue::expected("a percentage below 100 such as 5%, a size such as 10G, or unlimited"))
    }
}

fn percent_of(text: &str) -> Option<f64> {
    text.parse().ok().filter(|percent| (0.0..100.0).contains(percent))
}

/// A stretch of time: `90s`, `20m`, `2h`, `1d`; a bare number is seconds.
pub fn parse_timeout(text: &str) -> Result<Duration, BadValue> {
    let text = text.trim();
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        _ => None,
    };
    let secs = unit.and_then(|unit: u64| number.parse::<u64>().ok()?.checked_mul(unit));
    secs.map(Duration::from_secs).ok_or_else(|| BadValue::expected("a time such as 90s, 20m, 2h or 1d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_percentage_a_size_or_none() {
        let limit = |text: &str| text.parse().ok().map(MaxUnused::limit);
        assert_eq!(limit("5%"), Some(prune::MaxUnused::Percent(5.0)));
        assert_eq!(limit("0.5 %"), Some(prune::MaxUnused::Percent(0.5)));
        assert_eq!(limit("2G"), Some(prune::MaxUnused::Bytes(2 << 30)));
        assert_eq!(limit("unlimited"), Some(prune::MaxUnused::Unlimited));
        for text in ["", "100%", "-1%", "NaN%", "much"] {
            assert_eq!(limit(text), None, "{text}");
        }
    }

    #[test]
    fn a_timeout_has_a_unit_or_is_in_seconds() {
        let secs = |text| parse_timeout(text).ok().map(|time| time.as_secs());
        let cases = [("90", 90), ("90s", 90), ("20m", 1200), ("2h", 7200), ("1d", 86400)];
        cases.iter().for_each(|(text, expected)| assert_eq!(secs(text), Some(*expected), "{text}"));
        for text in ["", "m", "-1s", "1w", "99999999999999999999", "9999999999999999d"] {
            assert_eq!(secs(text), None, "{text}");
        }
    }
}
