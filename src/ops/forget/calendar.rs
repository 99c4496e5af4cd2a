//! The calendar that retention goes by: periods in a time zone, and spans of calendar units.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

use crate::format::tree::Time;

/// What a rule keeps one snapshot of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Each {
    /// Each snapshot by itself.
    Snapshot,
    /// Each hour. One that the clocks repeat is two.
    Hour,
    /// Each calendar day.
    Day,
    /// Each ISO week, from Monday to Sunday.
    Week,
    /// Each month.
    Month,
    /// Each year.
    Year,
}

impl Each {
    /// All of them, the shortest first.
    pub const ALL: [Each; 6] = [Each::Snapshot, Each::Hour, Each::Day, Each::Week, Each::Month, Each::Year];

    /// As in `--keep-daily`.
    pub fn word(self) -> &'static str {
        match self {
            Each::Snapshot => "last",
            Each::Hour => "hourly",
            Each::Day => "daily",
            Each::Week => "weekly",
            Each::Month => "monthly",
            Each::Year => "yearly",
        }
    }
}

/// One of the stretches of time that a rule counts; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Period {
    /// A snapshot, by how many are newer.
    Snapshot(std::cmp::Reverse<usize>),
    /// When it began.
    Hour(Timestamp),
    Day(Date),
    /// The year that the week belongs to, which at its ends is not the day's.
    Week(i16, i8),
    Month(i16, i8),
    Year(i16),
}

impl Period {
    /// The period that `when` lies in; `age` is how many snapshots are newer.
    pub(super) fn of(each: Each, when: Timestamp, age: usize, zone: &TimeZone) -> Self {
        let local = zone.to_datetime(when);
        match each {
            Each::Snapshot => Period::Snapshot(std::cmp::Reverse(age)),
            Each::Hour => {
                let into = SignedDuration::new(
                    i64::from(local.minute()) * 60 + i64::from(local.second()),
                    local.subsec_nanosecond(),
                );
                Period::Hour(when.checked_sub(into).unwrap_or(Timestamp::MIN))
            }
            Each::Day => Period::Day(local.date()),
            Each::Week => {
                let week = local.date().iso_week_date();
                Period::Week(week.year(), week.week())
            }
            Each::Month => Period::Month(local.year(), local.month()),
            Each::Year => Period::Year(local.year()),
        }
    }
}

/// How far back a rule reaches: `2y5m7d3h`. Years, months and days are the calendar's, hours are hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Reach {
    /// Whether it reaches nowhere.
    pub fn is_zero(&self) -> bool {
        *self == Reach::default()
    }

    /// The time so long before `when`, or nothing if the calendar does not go back so far. Where a month is
    /// too short for its day, its last day counts.
    pub(super) fn before(&self, when: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let Reach { years, months, days, hours } = *self;
        let calendar = Span::new().try_years(years).ok()?.try_months(months).ok()?.try_days(days).ok()?;
        let day = when.to_zoned(zone.clone()).checked_sub(calendar).ok()?;
        day.timestamp().checked_sub(SignedDuration::from_hours(i64::from(hours))).ok()
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reach { years, months, days, hours } = *self;
        let parts = [(years, 'y'), (months, 'm'), (days, 'd'), (hours, 'h')];
        parts.iter().filter(|(number, _)| *number > 0).try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

/// A snapshot may claim any time that fits its bytes; beyond the calendar it counts as the calendar's end.
pub(super) fn instant(time: Time) -> Timestamp {
    let end = if time.secs < 0 { Timestamp::MIN } else { Timestamp::MAX };
    i32::try_from(time.nanos).ok().and_then(|nanos| Timestamp::new(time.secs, nanos).ok()).unwrap_or(end)
}
