//! Retention: which snapshots stay, and why. Pure: the snapshots, the policy, the time and the time zone come
//! in, a verdict for each snapshot comes out.
//!
//! The rules in one place:
//!
//! - A counted rule keeps of each of the newest N periods (hours, days, ISO weeks, months, years in the given
//!   zone; or snapshots themselves) the newest snapshot. While it has counts left it also keeps the oldest
//!   snapshot, so that history reaches as far back as it can.
//! - A *within* rule keeps everything, or the newest of each period, after the newest snapshot's time less a span.
//! - Tags keep what bears them.
//! - **A partial snapshot never takes the place of a complete one.** Each rule is applied twice: to the complete
//!   snapshots as if there were no others, and to all, where a period that has a complete snapshot is
//!   represented by the newest complete one. What either keeps stays. So a partial snapshot stays where a complete
//!   one would have stayed and none is there, and costs no complete one its place.
//! - What is dated in the future is kept, and counts for nothing: a clock was wrong, and no rule can tell which.
//! - The newest complete snapshot that is not dated in the future is kept whatever the policy says.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::calendar::{Each, Period, Reach, instant};
use crate::format::tree::Time;

/// What a policy looks at of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'s> {
    /// What it is dated by.
    pub time: Time,
    /// Whether everything that was asked for is in it.
    pub is_complete: bool,
    /// Its tags.
    pub tags: Vec<&'s str>,
}

/// How many periods a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The newest so many.
    Newest(u64),
    /// All of them.
    Unlimited,
}

/// One reason to keep snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The newest snapshot of each of the newest periods (`--keep-last`, `--keep-daily` …).
    Newest(Each, Count),
    /// The newest snapshot of each period that is not older than this (`--keep-within`, `--keep-within-daily` …).
    Within(Each, Reach),
    /// Those with all of these tags; with no tags given, those without any (`--keep-tag`).
    Tagged(Vec<String>),
}

/// What is kept of a group of snapshots: what any of its rules keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// These rules; those that keep none are as good as not given.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let keeps_none = |rule: &Rule| match rule {
            Rule::Newest(_, count) => *count == Count::Newest(0),
            Rule::Within(_, reach) => reach.is_zero(),
            Rule::Tagged(_) => false,
        };
        Policy { rules: rules.into_iter().filter(|rule| !keeps_none(rule)).collect() }
    }

    /// Whether it has no rule, so that it would keep nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A rule keeps it.
    Rule(Rule),
    /// It is the oldest of all, and the rule has counts left.
    Oldest(Rule),
    /// A clock was wrong.
    Future,
    /// No rule keeps it, but nothing newer is complete.
    NewestComplete,
}

impl Reason {
    /// Whether it is a rule of the policy that keeps the snapshot.
    pub fn is_rule(&self) -> bool {
        matches!(self, Reason::Rule(_) | Reason::Oldest(_))
    }
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, for at least one reason.
    Keep(Vec<Reason>),
    /// It goes.
    Remove,
}

impl Verdict {
    /// Whether it stays.
    pub fn keeps(&self) -> bool {
        matches!(self, Verdict::Keep(_))
    }
}

/// Decides about one group of snapshots, in any order; the verdicts are in the same one. Of two snapshots of the
/// same time the later one in the list counts as newer.
pub fn decide(candidates: &[Candidate<'_>], policy: &Policy, now: Time, zone: &TimeZone) -> Vec<Verdict> {
    let past = newest_first(candidates, now);
    let complete: Vec<Dated<'_>> = past.iter().filter(|dated| dated.of.is_complete).cloned().collect();
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); candidates.len()];
    for rule in &policy.rules {
        for (at, reason) in apply(rule, &complete, zone).into_iter().chain(apply(rule, &past, zone)) {
            if !reasons[at].contains(&reason) {
                reasons[at].push(reason);
            }
        }
    }
    let newest = complete.first().map(|dated| dated.at);
    let verdict = |(at, mut reasons): (usize, Vec<Reason>)| {
        if candidates[at].time > now {
            reasons.push(Reason::Future);
        }
        if reasons.is_empty() && newest == Some(at) {
            reasons.push(Reason::NewestComplete);
        }
        if reasons.is_empty() { Verdict::Remove } else { Verdict::Keep(reasons) }
    };
    reasons.into_iter().enumerate().map(verdict).collect()
}

/// A candidate, where it stands in the list, and its place in time.
#[derive(Clone)]
struct Dated<'c> {
    at: usize,
    when: Timestamp,
    of: &'c Candidate<'c>,
}

/// What is not dated in the future.
fn newest_first<'c>(candidates: &'c [Candidate<'c>], now: Time) -> Vec<Dated<'c>> {
    let all = candidates.iter().enumerate().map(|(at, of)| Dated { at, when: instant(of.time), of });
    let mut past: Vec<Dated<'c>> = all.filter(|dated| dated.of.time <= now).collect();
    past.sort_by_key(|dated| std::cmp::Reverse((dated.of.time, dated.at)));
    past
}

/// What one rule keeps of the candidates, newest first: where they stand, and why.
fn apply(rule: &Rule, candidates: &[Dated<'_>], zone: &TimeZone) -> Vec<(usize, Reason)> {
    let (each, count, reached) = match rule {
        Rule::Tagged(tags) => {
            let tagged = candidates.iter().filter(|dated| has_tags(dated.of, tags));
            return tagged.map(|dated| (dated.at, Reason::Rule(rule.clone()))).collect();
        }
        Rule::Newest(each, Count::Newest(count)) => (*each, *count, candidates),
        Rule::Newest(each, Count::Unlimited) => (*each, u64::MAX, candidates),
        Rule::Within(each, reach) => (*each, u64::MAX, within(candidates, reach, zone)),
    };
    let periods = best_of_each_period(reached, each, zone);
    let mut kept: Vec<usize> = periods.values().rev().zip(0..count).map(|(best, _)| best.at).collect();
    let has_counts_left = (kept.len() as u64) < count;
    let oldest = candidates.last().filter(|_| has_counts_left && reached.len() == candidates.len());
    let oldest = oldest.map(|dated| dated.at).filter(|at| !kept.contains(at));
    let kept = kept.drain(..).map(|at| (at, Reason::Rule(rule.clone())));
    kept.chain(oldest.map(|at| (at, Reason::Oldest(rule.clone())))).collect()
}

/// Of each period the newest complete candidate, or, if it has none, the newest.
fn best_of_each_period<'a, 'c>(
    newest_first: &'a [Dated<'c>],
    each: Each,
    zone: &TimeZone,
) -> BTreeMap<Period, &'a Dated<'c>> {
    let mut best: BTreeMap<Period, &Dated<'_>> = BTreeMap::new();
    for (age, dated) in newest_first.iter().enumerate() {
        let so_far = best.entry(Period::of(each, dated.when, age, zone)).or_insert(dated);
        if dated.of.is_complete && !so_far.of.is_complete {
            *so_far = dated;
        }
    }
    best
}

/// The candidates that are not older than `reach` before the newest of them.
fn within<'a, 'c>(newest_first: &'a [Dated<'c>], reach: &Reach, zone: &TimeZone) -> &'a [Dated<'c>] {
    let since = newest_first.first().and_then(|newest| reach.before(newest.when, zone));
    let end = match since {
        Some(since) => newest_first.partition_point(|dated| dated.when > since),
        None => newest_first.len(),
    };
    &newest_first[..end]
}

fn has_tags(candidate: &Candidate<'_>, tags: &[String]) -> bool {
    match tags.is_empty() {
        true => candidate.tags.is_empty(),
        false => tags.iter().all(|tag| candidate.tags.contains(&&**tag)),
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Newest(each, _) => write!(f, "{} snapshot", each.word()),
            Rule::Within(Each::Snapshot, reach) => write!(f, "within {reach}"),
            Rule::Within(each, reach) => write!(f, "{} within {reach}", each.word()),
            Rule::Tagged(tags) if tags.is_empty() => f.write_str("has no tags"),
            Rule::Tagged(tags) => write!(f, "has tags {}", tags.join(",")),
        }
    }
}

/// In restic's words, where it has some.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Rule(rule) => rule.fmt(f),
            Reason::Oldest(rule) => write!(f, "oldest {rule}"),
            Reason::Future => f.write_str("dated in the future"),
            Reason::NewestComplete => f.write_str("newest complete snapshot"),
        }
    }
}

/// What it keeps, in a line: "3 last, 7 daily, all within 2d".
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.rules.iter().map(|rule| match rule {
            Rule::Newest(each, Count::Newest(count)) => format!("{count} {}", each.word()),
            Rule::Newest(each, Count::Unlimited) => format!("all {}", each.word()),
            Rule::Within(Each::Snapshot, reach) => format!("all within {reach}"),
            Rule::Within(each, reach) => format!("{} within {reach}", each.word()),
            Rule::Tagged(tags) if tags.is_empty() => "all without tags".into(),
            Rule::Tagged(tags) => format!("all with tags {}", tags.join(",")),
        });
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}
