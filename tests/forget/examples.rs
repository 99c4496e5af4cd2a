//! The rules of retention by example.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use keepstone::format::tree::Time;
use keepstone::ops::forget::policy::decide;
use keepstone::ops::forget::{Candidate, Count, Each, Policy, Reach, Rule, Verdict};

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn zone(posix: &str) -> TimeZone {
    TimeZone::posix(posix).unwrap()
}

/// A time of day in a zone.
fn at(text: &str, posix: &str) -> Time {
    let local: DateTime = text.parse().unwrap();
    Time { secs: local.to_zoned(zone(posix)).unwrap().timestamp().as_second(), nanos: 0 }
}

fn complete(text: &str) -> Candidate<'static> {
    Candidate { time: at(text, "UTC0"), is_complete: true, tags: Vec::new() }
}

fn partial(text: &str) -> Candidate<'static> {
    Candidate { is_complete: false, ..complete(text) }
}

fn newest(each: Each, count: u64) -> Rule {
    Rule::Newest(each, Count::Newest(count))
}

/// Why each stays, in words; empty for those that go.
fn whys(candidates: &[Candidate<'_>], rules: &[Rule], now: &str, posix: &str) -> Vec<String> {
    let verdicts = decide(candidates, &Policy::new(rules.to_vec()), at(now, "UTC0"), &zone(posix));
    let why = |verdict: Verdict| match verdict {
        Verdict::Remove => String::new(),
        Verdict::Keep(reasons) => reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    verdicts.into_iter().map(why).collect()
}

fn in_utc(candidates: &[Candidate<'_>], rules: &[Rule]) -> Vec<String> {
    whys(candidates, rules, "2030-01-01T00:00", "UTC0")
}

#[test]
fn of_each_day_the_newest_stays_and_of_all_the_oldest_while_there_are_counts_left() {
    let times = ["2026-05-01T02:00", "2026-05-02T02:00", "2026-05-02T14:00", "2026-05-03T02:00"];
    let list = times.map(complete);
    assert_eq!(in_utc(&list, &[newest(Each::Day, 2)]), ["", "", "daily snapshot", "daily snapshot"]);
    let list = &list[1..];
    let two = in_utc(list, &[newest(Each::Day, 3)]);
    assert_eq!(two, ["oldest daily snapshot", "daily snapshot", "daily snapshot"]);
}

#[test]
fn a_partial_snapshot_never_takes_the_place_of_a_complete_one() {
    let same_day = [complete("2026-05-01T02:00"), partial("2026-05-01T14:00")];
    assert_eq!(in_utc(&same_day, &[newest(Each::Day, 1)]), ["daily snapshot", ""]);
    assert_eq!(in_utc(&same_day, &[newest(Each::Snapshot, 1)]), ["last snapshot", "last snapshot"]);

    let next_day = [complete("2026-05-01T02:00"), partial("2026-05-02T02:00")];
    assert_eq!(in_utc(&next_day, &[newest(Each::Day, 1)]), ["daily snapshot", "daily snapshot"]);

    let week_of_trouble = [
        complete("2026-05-01T02:00"),
        complete("2026-05-02T02:00"),
        partial("2026-05-03T02:00"),
        partial("2026-05-04T02:00"),
        partial("2026-05-05T02:00"),
    ];
    let day = "daily snapshot";
    assert_eq!(in_utc(&week_of_trouble, &[newest(Each::Day, 2)]), [day, day, "", day, day]);

    let within = Rule::Within(Each::Snapshot, Reach { days: 2, ..Reach::default() });
    let words = in_utc(&week_of_trouble, &[within]);
    assert_eq!(words, ["within 2d", "within 2d", "", "within 2d", "within 2d"], "nor does it move the window on");
}

#[test]
fn partial_snapshots_stay_where_there_are_no_others() {
    let list = [partial("2026-05-01T02:00"), partial("2026-05-02T02:00"), partial("2026-05-02T14:00")];
    assert_eq!(in_utc(&list, &[newest(Each::Day, 1)]), ["", "", "daily snapshot"]);
}

#[test]
fn the_newest_complete_snapshot_stays_whatever_the_policy_says() {
    let list = [complete("2026-05-01T02:00"), complete("2026-05-02T02:00"), partial("2026-05-03T02:00")];
    assert_eq!(in_utc(&list, &[Rule::Tagged(vec!["keep".into()])]), ["", "newest complete snapshot", ""]);
}

#[test]
fn what_is_dated_in_the_future_stays_and_counts_for_nothing() {
    let list = ["2026-05-01T02:00", "2026-05-02T02:00", "2035-01-01T00:00"].map(complete);
    let words = whys(&list, &[newest(Each::Snapshot, 1)], "2026-05-02T03:00", "UTC0");
    assert_eq!(words, ["", "last snapshot", "dated in the future"]);
    let within = Rule::Within(Each::Snapshot, Reach { days: 1, ..Reach::default() });
    let words = whys(&list, &[within], "2026-05-02T03:00", "UTC0");
    assert_eq!(words, ["", "within 1d", "dated in the future"], "a span begins at the newest that is not");
    let before_all = whys(&list, &[newest(Each::Snapshot, 1)], "1970-01-01T00:00", "UTC0");
    assert_eq!(before_all, ["dated in the future"; 3], "a clock that is years behind removes nothing");
}

#[test]
fn times_beyond_the_calendar_are_kept_or_are_the_oldest() {
    let mut list = [complete("2026-05-01T02:00"), complete("2026-05-02T02:00"), complete("2026-05-03T02:00")];
    list[0].time = Time { secs: i64::MIN, nanos: 0 };
    list[2].time = Time { secs: i64::MAX, nanos: 999_999_999 };
    for each in Each::ALL {
        let words = in_utc(&list, &[newest(each, 1)]);
        assert_eq!(words, [String::new(), format!("{} snapshot", each.word()), "dated in the future".into()]);
    }
    let years = Rule::Within(Each::Snapshot, Reach { years: u32::MAX, hours: u32::MAX, ..Reach::default() });
    assert!(in_utc(&list, &[years]).iter().all(|why| !why.is_empty()));
}

#[test]
fn days_are_those_of_the_zone() {
    let list = ["2026-05-01T21:00", "2026-05-01T23:00"].map(complete);
    assert_eq!(in_utc(&list, &[newest(Each::Day, 2)]), ["oldest daily snapshot", "daily snapshot"]);
    let berlin = whys(&list, &[newest(Each::Day, 2)], "2030-01-01T00:00", BERLIN);
    assert_eq!(berlin, ["daily snapshot", "daily snapshot"]);
}

#[test]
fn an_hour_that_the_clocks_repeat_is_two_and_one_that_they_skip_is_none() {
    let autumn = ["2026-10-24T23:30", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"].map(complete);
    let hourly = |list: &[Candidate<'_>], count| whys(list, &[newest(Each::Hour, count)], "2030-01-01T00:00", BERLIN);
    assert_eq!(hourly(&autumn, 3), ["", "hourly snapshot", "hourly snapshot", "hourly snapshot"]);
    let spring = ["2026-03-29T00:30", "2026-03-29T01:00", "2026-03-29T01:30"].map(complete);
    assert_eq!(hourly(&spring, 2), ["hourly snapshot", "", "hourly snapshot"]);
}

#[test]
fn weeks_are_iso_weeks_at_the_ends_of_years_too() {
    // 2020-12-28 to 2021-01-03 is week 53 of 2020; 2024-12-30 to 2025-01-05 is week 1 of 2025.
    let list = ["2020-12-27T12:00", "2020-12-31T12:00", "2021-01-03T12:00", "2021-01-04T12:00"].map(complete);
    let week = "weekly snapshot";
    assert_eq!(in_utc(&list, &[newest(Each::Week, 3)]), [week, "", week, week]);
    let list = ["2024-12-29T12:00", "2024-12-30T12:00", "2025-01-05T12:00", "2025-01-06T12:00"].map(complete);
    assert_eq!(in_utc(&list, &[newest(Each::Week, 3)]), [week, "", week, week]);
}

#[test]
fn a_span_of_months_ends_on_the_last_day_of_a_short_one() {
    let month = Rule::Within(Each::Snapshot, Reach { months: 1, ..Reach::default() });
    let list = ["2024-02-29T11:00", "2024-02-29T13:00", "2024-03-31T12:00"].map(complete);
    assert_eq!(in_utc(&list, std::slice::from_ref(&month)), ["", "within 1m", "within 1m"]);
    let year = Rule::Within(Each::Year, Reach { years: 1, ..Reach::default() });
    let list = ["2023-02-28T11:00", "2023-02-28T13:00", "2024-02-29T12:00"].map(complete);
    assert_eq!(in_utc(&list, &[year]), ["", "yearly within 1y", "yearly within 1y"]);
}

#[test]
fn tags_keep_what_bears_all_of_one_list() {
    let mut list = ["2026-05-01T02:00", "2026-05-02T02:00", "2026-05-03T02:00"].map(complete);
    (list[0].tags, list[1].tags) = (vec!["a", "b"], vec!["a"]);
    let tagged = |tags: &[&str]| Rule::Tagged(tags.iter().map(|tag| (*tag).to_owned()).collect());
    assert_eq!(in_utc(&list, &[tagged(&["a", "b"]), tagged(&[])]), ["has tags a,b", "", "has no tags"]);
}

#[test]
fn rules_that_keep_none_make_an_empty_policy() {
    let none = [newest(Each::Day, 0), Rule::Within(Each::Hour, Reach::default())];
    assert!(Policy::new(none).is_empty());
    assert!(!Policy::new([newest(Each::Day, 1)]).is_empty());
}
