//! Points in time, for people and for programs.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::format::tree::Time;

/// For people, in the zone of this machine: "2026-07-31 02:15:00".
pub fn local(time: Time) -> String {
    in_zone(time, TimeZone::system()).map_or_else(|| beyond(time), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// For programs: RFC 3339 with the offset of this machine's zone, "2026-07-31T02:15:00.5+02:00".
pub fn rfc3339(time: Time) -> String {
    in_zone(time, TimeZone::system()).map_or_else(|| beyond(time), |at| with_offset(&at))
}

fn with_offset(at: &Zoned) -> String {
    at.timestamp().display_with_offset(at.offset()).to_string()
}

fn in_zone(time: Time, zone: TimeZone) -> Option<Zoned> {
    let nanos = i32::try_from(time.nanos).ok()?;
    Timestamp::new(time.secs, nanos).ok().map(|at| at.to_zoned(zone))
}

/// A file may claim any time that fits its bytes; years over 9999 have no other spelling.
fn beyond(time: Time) -> String {
    format!("@{}", time.secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_offset() {
        let time = Time { secs: 1_785_456_900, nanos: 500_000_000 };
        let at = in_zone(time, TimeZone::fixed(jiff::tz::offset(2))).unwrap();
        assert_eq!(with_offset(&at), "2026-07-31T02:15:00.5+02:00");
    }

    #[test]
    fn a_time_beyond_the_calendar_is_still_told() {
        let time = Time { secs: i64::MAX, nanos: 0 };
        assert_eq!(local(time), format!("@{}", i64::MAX));
        assert_eq!(rfc3339(time), format!("@{}", i64::MAX));
    }
}
