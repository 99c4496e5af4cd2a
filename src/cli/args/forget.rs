//! `forget`: which snapshots stay.

use clap::Args;

use super::filter::FilterArgs;
use super::prune::ThriftArgs;
use crate::cli::values::{SnapshotName, TagList, parse_count, parse_group_by, parse_reach};
use crate::ops::forget::{Count, Each, GroupBy, Policy, Reach, Rule};

/// Remove snapshots: by a policy, or those that are named
#[derive(Debug, Args)]
#[command(mut_arg("hosts", |arg| arg.short(None)))] // -H is --keep-hourly
#[command(mut_args(|arg| if ["max_unused", "max_repack_size", "reseal", "session_timeout"].contains(&arg.get_id().as_str()) {
    arg.requires("prune")
} else {
    arg
}))]
#[command(after_help = "\
    A policy is applied to each group of snapshots by itself. It never removes a snapshot that is dated in the future, \
    nor the newest complete one of a group; a partial snapshot never takes the place of a complete one. \
    What only the removed snapshots held takes room until it is pruned.")]
pub struct ForgetArgs {
    /// Remove just these
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<SnapshotName>,
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Apply the policy to each group with the same host, paths, tags; '' for one group of all
    #[arg(short, long, value_name = "WHAT,…", default_value = "host,paths", value_parser = parse_group_by)]
    pub group_by: GroupBy,
    /// And give back the room that only the removed ones took, as prune does
    #[arg(long)]
    pub prune: bool,
    /// Only say what would be removed
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not refuse to remove all snapshots of a group; without a policy, remove all that the filters leave
    #[arg(long)]
    pub unsafe_allow_remove_all: bool,
    #[command(flatten)]
    pub thrift: ThriftArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What is kept; whatever one of these keeps stays.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What stays (N is a number, or unlimited)")]
pub struct KeepArgs {
    /// Keep the newest N snapshots
    #[arg(short = 'l', long, value_name = "N", value_parser = parse_count)]
    keep_last: Option<Count>,
    /// Keep the newest snapshot of each of the newest N hours that have one
    #[arg(short = 'H', long, value_name = "N", value_parser = parse_count)]
    keep_hourly: Option<Count>,
    /// Keep the newest snapshot of each of the newest N days that have one
    #[arg(short = 'd', long, value_name = "N", value_parser = parse_count)]
    keep_daily: Option<Count>,
    /// Keep the newest snapshot of each of the newest N ISO weeks that have one
    #[arg(short = 'w', long, value_name = "N", value_parser = parse_count)]
    keep_weekly: Option<Count>,
    /// Keep the newest snapshot of each of the newest N months that have one
    #[arg(short = 'm', long, value_name = "N", value_parser = parse_count)]
    keep_monthly: Option<Count>,
    /// Keep the newest snapshot of each of the newest N years that have one
    #[arg(short = 'y', long, value_name = "N", value_parser = parse_count)]
    keep_yearly: Option<Count>,
    /// Keep all that are at most so much older than the newest, such as 2y5m7d3h
    #[arg(long, value_name = "SPAN", value_parser = parse_reach)]
    keep_within: Option<Reach>,
    /// Keep of those that are at most so much older the newest of each hour
    #[arg(long, value_name = "SPAN", value_parser = parse_reach)]
    keep_within_hourly: Option<Reach>,
    /// Keep of those that are at most so much older the newest of each day
    #[arg(long, value_name = "SPAN", value_parser = parse_reach)]
    keep_within_daily: Option<Reach>,
    /// Keep of those that are at most so much older the newest of each ISO week
    #[arg(long, value_name = "SPAN", value_parser = parse_reach)]
    keep_within_weekly: Option<Reach>,
    /// Keep of those that are at most so much older the newest of each month
    #[arg(long, value_name = "SPAN", value_parser = parse_reach)]
    keep_within_monthly: Option<Reach>,
    /// Keep of those that are at most so much older the newest of each year
    #[arg(long, value_name = "SPAN", value_parser = parse_reach)]
    keep_within_yearly: Option<Reach>,
    /// Keep those with all these tags (a,b); repeated: one of the lists is enough
    #[arg(long = "keep-tag", value_name = "TAG,…")]
    keep_tags: Vec<TagList>,
}

impl KeepArgs {
    /// The policy that they make.
    pub fn policy(&self) -> Policy {
        let counts =
            [self.keep_last, self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly];
        let spans = [
            self.keep_within,
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ];
        let newest = Each::ALL.into_iter().zip(counts).filter_map(|(each, count)| Some(Rule::Newest(each, count?)));
        let within = Each::ALL.into_iter().zip(spans).filter_map(|(each, reach)| Some(Rule::Within(each, reach?)));
        let tagged = self.keep_tags.iter().map(|list| Rule::Tagged(list.tags().to_vec()));
        Policy::new(newest.chain(within).chain(tagged))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parse;
    use super::*;

    fn policy(words: &str) -> String {
        match parse(words).unwrap_or_else(|error| panic!("{words}: {error}")).command {
            Command::Forget(args) => args.keep.policy().to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_policy_is_read_with_short_words_and_long_ones() {
        let counts = "3 last, 24 hourly, 7 daily, all weekly, 12 monthly, 10 yearly";
        assert_eq!(policy("forget -l 3 -H 24 -d 7 -w unlimited -m 12 -y 10"), counts);
        let long = "forget --keep-last 3 --keep-hourly 24 --keep-daily 7 --keep-weekly unlimited --keep-monthly 12 \
                    --keep-yearly 10";
        assert_eq!(policy(long), counts);
        let within = "forget --keep-within 2d3h --keep-within-hourly 7d --keep-within-daily 1m --keep-within-weekly 6m \
                      --keep-within-monthly 2y --keep-within-yearly 10y --keep-tag a,b --keep-tag c";
        let told = "all within 2d3h, hourly within 7d, daily within 1m, weekly within 6m, monthly within 2y, yearly \
                    within 10y, all with tags a,b, all with tags c";
        assert_eq!(policy(within), told);
        assert_eq!(policy("forget --keep-last 0 --keep-within 0d"), "");
    }

    #[test]
    fn hourly_has_the_short_word_that_is_the_hosts_elsewhere() {
        let Command::Forget(args) =
            parse("forget -H 24 --host a --host b -g host -n latest 4f2a --prune --max-unused 0").unwrap().command
        else {
            panic!("not forget")
        };
        assert_eq!((args.filter.hosts.len(), args.snapshots.len(), args.dry_run), (2, 2, true));
        assert_eq!(args.group_by, GroupBy { host: true, paths: false, tags: false });
        for words in [
            "forget -H web1",
            "forget -d seven",
            "forget --keep-within 7",
            "forget --group-by user",
            "forget -l 1 --max-unused 0",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
