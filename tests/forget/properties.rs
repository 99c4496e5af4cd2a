//! Policies against a plain reading of the rules, where calendars are difficult.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use keepstone::format::tree::Time;
use keepstone::ops::forget::policy::decide;
use keepstone::ops::forget::{Candidate, Count, Each, Policy, Reach, Rule, Verdict};
use proptest::prelude::*;

use crate::plain_reading::{self, Snap};

/// Zones by their rules, so that no database of zones is needed: whole hours and parts of hours, both
/// hemispheres, changes of half an hour, at midnight and a minute after it, ends of the world.
const ZONES: [&str; 9] = [
    "UTC0",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT,M3.2.0,M11.1.0",
    "NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "<+0545>-5:45",
    "CST5CDT,M3.2.0/0,M11.1.0/1",
    "<+14>-14",
    "<-12>12",
];

/// Days at which something happens: changes of clocks, leap days, the ends of years and of their weeks.
const DAYS: [&str; 14] = [
    "2020-12-31",
    "2021-01-03",
    "2023-12-31",
    "2024-02-29",
    "2024-12-30",
    "2025-02-28",
    "2025-03-30",
    "2025-04-06",
    "2025-10-05",
    "2025-10-26",
    "2025-11-02",
    "2026-03-08",
    "2026-12-28",
    "2027-01-03",
];

fn moment() -> impl Strategy<Value = i64> {
    let near = (prop::sample::select(&DAYS[..]), -200i64..400).prop_map(|(day, quarters)| {
        let day: jiff::civil::Date = day.parse().unwrap();
        day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second() + quarters * 900
    });
    prop_oneof![4 => near, 1 => 1_577_836_800i64..1_830_000_000]
}

fn snaps() -> impl Strategy<Value = Vec<Snap>> {
    let tags = prop::sample::subsequence(vec!["a", "b", "c"], 0..=3);
    let snap = (moment(), prop::bool::weighted(0.7), tags).prop_map(|(secs, is_complete, tags)| Snap {
        secs,
        is_complete,
        tags,
    });
    prop::collection::vec(snap, 0..40)
}

fn rule() -> impl Strategy<Value = Rule> {
    let each = prop::sample::select(&Each::ALL[..]);
    let count = prop_oneof![6 => (1u64..8).prop_map(Count::Newest), 1 => Just(Count::Unlimited)];
    let reach = (0u32..3, 0u32..14, 0u32..40, 0u32..50)
        .prop_map(|(years, months, days, hours)| Reach { years, months, days, hours })
        .prop_filter("reaches somewhere", |reach| !reach.is_zero());
    let tags = prop::sample::subsequence(vec!["a".to_owned(), "b".to_owned()], 0..=2);
    prop_oneof![
        5 => (each.clone(), count).prop_map(|(each, count)| Rule::Newest(each, count)),
        3 => (each, reach).prop_map(|(each, reach)| Rule::Within(each, reach)),
        1 => tags.prop_map(Rule::Tagged),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(rule(), 1..4)
}

fn now() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(1_900_000_000i64), 1 => moment()]
}

fn kept(snaps: &[Snap], rules: &[Rule], now: i64, zone: &TimeZone) -> BTreeSet<usize> {
    let time = |secs| Time { secs, nanos: 0 };
    let candidate =
        |snap: &Snap| Candidate { time: time(snap.secs), is_complete: snap.is_complete, tags: snap.tags.clone() };
    let candidates: Vec<Candidate<'_>> = snaps.iter().map(candidate).collect();
    let verdicts = decide(&candidates, &Policy::new(rules.to_vec()), time(now), zone);
    verdicts.iter().enumerate().filter(|(_, verdict)| verdict.keeps()).map(|(at, _)| at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_policy_keeps_what_a_plain_reading_keeps(
        snaps in snaps(), rules in rules(), now in now(), zone in prop::sample::select(&ZONES[..]),
    ) {
        let zone = TimeZone::posix(zone).unwrap();
        let plain = plain_reading::kept(&snaps, &rules, now, &zone);
        prop_assert_eq!(kept(&snaps, &rules, now, &zone), plain);
    }

    #[test]
    fn partial_snapshots_cost_no_complete_one_its_place(
        snaps in snaps(), rules in rules(), now in now(), zone in prop::sample::select(&ZONES[..]),
    ) {
        let zone = TimeZone::posix(zone).unwrap();
        let among_all: Vec<Snap> = kept(&snaps, &rules, now, &zone).into_iter().map(|at| snaps[at].clone()).collect();
        let complete: Vec<Snap> = snaps.iter().filter(|snap| snap.is_complete).cloned().collect();
        for at in kept(&complete, &rules, now, &zone) {
            prop_assert!(among_all.contains(&complete[at]));
        }
    }

    /// A partial one may go the second time: where the newest was partial and went, spans begin earlier, and reach
    /// a complete one of the same period.
    #[test]
    fn a_policy_that_is_applied_again_removes_no_complete_snapshot_more(
        snaps in snaps(), rules in rules(), now in now(), zone in prop::sample::select(&ZONES[..]),
    ) {
        let zone = TimeZone::posix(zone).unwrap();
        let left: Vec<Snap> = kept(&snaps, &rules, now, &zone).into_iter().map(|at| snaps[at].clone()).collect();
        let again = kept(&left, &rules, now, &zone);
        prop_assert!((0..left.len()).all(|at| again.contains(&at) || !left[at].is_complete));
    }

    #[test]
    fn the_future_and_the_newest_complete_snapshot_are_safe(
        snaps in snaps(), rules in rules(), now in now(), zone in prop::sample::select(&ZONES[..]),
    ) {
        let zone = TimeZone::posix(zone).unwrap();
        let kept = kept(&snaps, &rules, now, &zone);
        let newest = (0..snaps.len()).filter(|at| snaps[*at].is_complete).max_by_key(|at| (snaps[*at].secs, *at));
        let future = (0..snaps.len()).filter(|at| snaps[*at].secs > now);
        for at in newest.into_iter().chain(future) {
            prop_assert!(kept.contains(&at));
        }
    }

    #[test]
    fn what_stays_has_a_reason(snaps in snaps(), rules in rules(), now in now()) {
        let time = |secs| Time { secs, nanos: 0 };
        let candidates: Vec<Candidate<'_>> = snaps
            .iter()
            .map(|snap| Candidate { time: time(snap.secs), is_complete: snap.is_complete, tags: snap.tags.clone() })
            .collect();
        for verdict in decide(&candidates, &Policy::new(rules), time(now), &TimeZone::UTC) {
            prop_assert!(!matches!(verdict, Verdict::Keep(reasons) if reasons.is_empty()));
        }
    }
}
