//! Points in time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::BadValue;
use crate::format::tree::Time;

/// Understands RFC 3339 (`2026-07-31T02:15:00+02:00`), and a date and a time of day in the zone of this
/// machine (`2026-07-31 02:15:00`). A time that daylight saving skips or repeats is the later or the
/// earlier one, as the calendar standards have it.
pub fn parse_time(text: &str) -> Result<Time, BadValue> {
    parse_in(text, TimeZone::system())
        .ok_or_else(|| BadValue::expected("a time such as 2026-07-31T02:15:00+02:00 or \"2026-07-31 02:15:00\""))
}

fn parse_in(text: &str, zone: TimeZone) -> Option<Time> {
    let at = text.parse::<Timestamp>().ok().or_else(|| local(text, zone).map(|at| at.timestamp()))?;
    // Before 1970 seconds round down, so that nanoseconds count up.
    let nanos = at.as_nanosecond();
    Some(Time {
        secs: i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
        nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
    })
}

fn local(text: &str, zone: TimeZone) -> Option<Zoned> {
    // A date alone, or a zone in brackets, would be read too, and not as it was meant.
    let is_plain = text.contains(':') && text.bytes().all(|byte| b"0123456789-:. Tt".contains(&byte));
    let at: DateTime = is_plain.then(|| text.parse().ok())??;
    at.to_zoned(zone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(i64, u32)> {
        let berlin = TimeZone::fixed(jiff::tz::offset(2));
        parse_in(text, berlin).map(|time| (time.secs, time.nanos))
    }

    #[test]
    fn times_are_rfc_3339_or_local() {
        let cases = [
            ("2026-07-31T02:15:00+02:00", (1_785_456_900, 0)),
            ("2026-07-31T00:15:00Z", (1_785_456_900, 0)),
            ("2026-07-31T00:15:00.25z", (1_785_456_900, 250_000_000)),
            ("2026-07-31 02:15:00", (1_785_456_900, 0)),
            ("2026-07-31T02:15", (1_785_456_900, 0)),
            ("1969-12-31T23:59:59.5Z", (-1, 500_000_000)),
        ];
        for (text, time) in cases {
            assert_eq!(parse(text), Some(time), "{text}");
        }
    }

    #[test]
    fn other_words_are_no_times() {
        let words =
            ["", "now", "2026-07-31", "31.07.2026 02:15", "2026-02-30 00:00:00", "2026-07-31T02:15:00[Asia/Tokyo]"];
        for text in words {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
