//! What retention is asked for in: counts, spans of time, what groups are made by.

use super::BadValue;
use crate::ops::forget::{Count, GroupBy, Reach};

/// Understands a number, or `unlimited`.
pub fn parse_count(text: &str) -> Result<Count, BadValue> {
    match (text, text.parse()) {
        ("unlimited", _) => Ok(Count::Unlimited),
        (_, Ok(count)) if !text.starts_with('+') => Ok(Count::Newest(count)),
        _ => Err(BadValue::expected("a number, or unlimited")),
    }
}

/// Understands years, months, days and hours, each at most once: `2y5m7d3h`.
pub fn parse_reach(text: &str) -> Result<Reach, BadValue> {
    read_reach(text).ok_or_else(|| BadValue::expected("years, months, days and hours such as 2y5m7d3h"))
}

fn read_reach(text: &str) -> Option<Reach> {
    let mut parts: [Option<u32>; 4] = [None; 4];
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let part = parts.get_mut("ymdh".find(rest[unit..].chars().next()?)?)?;
        let number = rest[..unit].parse().ok()?;
        if part.replace(number).is_some() {
            return None;
        }
        rest = &rest[unit + 1..];
    }
    parts.iter().any(Option::is_some).then(|| {
        let [years, months, days, hours] = parts.map(Option::unwrap_or_default);
        Reach { years, months, days, hours }
    })
}

/// Understands words of `host`, `paths`, `tags` with commas between them; none of them makes one group of all.
pub fn parse_group_by(text: &str) -> Result<GroupBy, BadValue> {
    let mut by = GroupBy { host: false, paths: false, tags: false };
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "host" | "hosts" => by.host = true,
            "path" | "paths" => by.paths = true,
            "tag" | "tags" => by.tags = true,
            _ => return Err(BadValue::expected("host, paths or tags with commas between them, or nothing")),
        }
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_or_unlimited() {
        let cases = [("1", Count::Newest(1)), ("unlimited", Count::Unlimited), ("0", Count::Newest(0))];
        for (text, count) in cases {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for text in ["", "-1", "+1", "1.5", "all", "99999999999999999999"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_names_its_units() {
        let reach = |years, months, days, hours| Reach { years, months, days, hours };
        let cases = [
            ("2y5m7d3h", reach(2, 5, 7, 3)),
            ("30d", reach(0, 0, 30, 0)),
            ("3h1d", reach(0, 0, 1, 3)),
            ("0d", Reach::default()),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_reach(text), Ok(expected), "{text}");
        }
        for text in ["", "7", "d", "7w", "1d1d", "-1d", "1 d", "1D", "99999999999d", "1ü", "7d "] {
            assert!(parse_reach(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groups_are_made_by_what_is_named() {
        assert_eq!(parse_group_by("host,paths"), Ok(GroupBy::default()));
        assert_eq!(parse_group_by("tags"), Ok(GroupBy { host: false, paths: false, tags: true }));
        assert_eq!(parse_group_by(""), Ok(GroupBy { host: false, paths: false, tags: false }));
        assert!(parse_group_by("host,user").is_err());
    }
}
