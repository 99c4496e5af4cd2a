//! The rules of retention, read slowly: for each snapshot alone it is asked whether a rule keeps it.
//! Shares no code with the program but the words of a policy and the calendar.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time as Clock};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use keepstone::ops::forget::{Count, Each, Reach, Rule};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snap {
    pub secs: i64,
    pub is_complete: bool,
    pub tags: Vec<&'static str>,
}

/// Which snapshots stay.
pub fn kept(snaps: &[Snap], rules: &[Rule], now: i64, zone: &TimeZone) -> BTreeSet<usize> {
    let past: Vec<usize> = (0..snaps.len()).filter(|at| snaps[*at].secs <= now).collect();
    let complete: Vec<usize> = past.iter().copied().filter(|at| snaps[*at].is_complete).collect();
    let future = (0..snaps.len()).filter(|at| snaps[*at].secs > now);
    let newest_complete = complete.iter().copied().max_by_key(|at| (snaps[*at].secs, *at));
    let by_rules = (0..snaps.len()).filter(|at| {
        let pools = [&complete, &past];
        rules
            .iter()
            .any(|rule| pools.iter().any(|pool| pool.contains(at) && Pool { snaps, pool, zone }.is_kept(*at, rule)))
    });
    future.chain(newest_complete).chain(by_rules).collect()
}

/// Some of the snapshots, as if there were no others.
struct Pool<'a> {
    snaps: &'a [Snap],
    pool: &'a [usize],
    zone: &'a TimeZone,
}

impl Pool<'_> {
    fn is_kept(&self, at: usize, rule: &Rule) -> bool {
        match rule {
            Rule::Tagged(tags) if tags.is_empty() => self.snaps[at].tags.is_empty(),
            Rule::Tagged(tags) => tags.iter().all(|tag| self.snaps[at].tags.contains(&&**tag)),
            Rule::Newest(each, Count::Unlimited) => self.is_counted(at, *each, usize::MAX),
            Rule::Newest(each, Count::Newest(count)) => self.is_counted(at, *each, *count as usize),
            Rule::Within(each, reach) => {
                let newest = self.pool.iter().map(|at| self.snaps[*at].secs).max().unwrap();
                let since = before(newest, *reach, self.zone);
                let inside: Vec<usize> = self.pool.iter().copied().filter(|at| self.snaps[*at].secs > since).collect();
                let pool = Pool { pool: &inside, ..*self };
                let oldest = inside.len() == self.pool.len() && Some(at) == self.oldest();
                inside.contains(&at) && (pool.stands_for_its_period(at, *each) || oldest)
            }
        }
    }

    fn is_counted(&self, at: usize, each: Each, count: usize) -> bool {
        let periods: BTreeSet<String> = self.pool.iter().map(|at| self.period(*at, each)).collect();
        let period = self.period(at, each);
        let newer = periods.iter().filter(|other| **other > period).count();
        let is_one = self.stands_for_its_period(at, each) && newer < count;
        is_one || (periods.len() < count && Some(at) == self.oldest())
    }

    fn stands_for_its_period(&self, at: usize, each: Each) -> bool {
        let period = self.period(at, each);
        let others = self.pool.iter().filter(|other| **other != at && self.period(**other, each) == period);
        let rank = |at: usize| (self.snaps[at].is_complete, self.snaps[at].secs, at);
        others.into_iter().all(|other| rank(*other) < rank(at))
    }

    fn oldest(&self) -> Option<usize> {
        self.pool.iter().copied().min_by_key(|at| (self.snaps[*at].secs, *at))
    }

    /// The period in words that sort by time.
    fn period(&self, at: usize, each: Each) -> String {
        let local = local(self.snaps[at].secs, self.zone);
        match each {
            Each::Snapshot => format!("{:020} {at:06}", self.snaps[at].secs),
            // Of two hours with one name the later one is further west.
            Each::Hour => format!("{} {:06}", local.strftime("%Y-%m-%d %H"), 100_000 - local.offset().seconds()),
            Each::Day => local.strftime("%Y-%m-%d").to_string(),
            Each::Week => local.strftime("%G-W%V").to_string(),
            Each::Month => local.strftime("%Y-%m").to_string(),
            Each::Year => local.strftime("%Y").to_string(),
        }
    }
}

fn local(secs: i64, zone: &TimeZone) -> Zoned {
    Timestamp::from_second(secs).unwrap().to_zoned(zone.clone())
}

/// Years and months back with the day as it was or the month's last, then days, then hours.
fn before(secs: i64, reach: Reach, zone: &TimeZone) -> i64 {
    let local = local(secs, zone);
    let hours = SignedDuration::from_hours(i64::from(reach.hours));
    if (reach.years, reach.months, reach.days) == (0, 0, 0) {
        return (local.timestamp() - hours).as_second();
    }
    let months = i32::from(local.year()) * 12 + i32::from(local.month()) - 1 - (reach.years * 12 + reach.months) as i32;
    let first = Date::new(months.div_euclid(12) as i16, months.rem_euclid(12) as i8 + 1, 1).unwrap();
    let day = local.day().min(first.days_in_month());
    let date = Date::new(first.year(), first.month(), day).unwrap() - i64::from(reach.days).days();
    let clock: Clock = local.time();
    (date.to_datetime(clock).to_zoned(zone.clone()).unwrap().timestamp() - hours).as_second()
}
