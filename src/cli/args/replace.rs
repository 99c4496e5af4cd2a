//! `tag` and `rewrite`: snapshots that are replaced by others.

use std::path::PathBuf;

use clap::Args;

use super::filter::FilterArgs;
use crate::cli::values::{SnapshotName, TagList};
use crate::ops::replace::TagChange;

/// Change the tags of snapshots, which get new ids
#[derive(Debug, Args)]
pub struct TagArgs {
    /// Only these [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<SnapshotName>,
    #[command(flatten)]
    pub change: TagChangeArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// How tags are changed.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
pub struct TagChangeArgs {
    /// Add these tags; may be repeated
    #[arg(long, value_name = "TAG,…")]
    add: Vec<TagList>,
    /// Remove these tags; may be repeated
    #[arg(long, value_name = "TAG,…")]
    remove: Vec<TagList>,
    /// Set these tags instead of those that are there; '' for none
    #[arg(long, value_name = "TAG,…", conflicts_with_all = ["add", "remove"])]
    set: Vec<TagList>,
}

impl TagChangeArgs {
    /// The change.
    pub fn change(&self) -> TagChange {
        let all = |lists: &[TagList]| lists.iter().flat_map(|list| list.tags().to_vec()).collect();
        match self.set.is_empty() {
            false => TagChange::Set(all(&self.set)),
            true => TagChange::Edit { add: all(&self.add), remove: all(&self.remove) },
        }
    }
}

/// Take paths out of snapshots that are already made
#[derive(Debug, Args)]
#[command(after_help = "\
    For each snapshot that holds something of what is excluded a new one is made without it, tagged \"rewrite\"; the \
    original stays unless --forget is given. What only the originals held takes room until they are forgotten and \
    the repository is pruned.")]
pub struct RewriteArgs {
    /// Only these [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<SnapshotName>,
    #[command(flatten)]
    pub excludes: RewriteExcludeArgs,
    /// Forget the originals
    #[arg(long)]
    pub forget: bool,
    /// Only say what would be taken out
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What is taken out.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
#[command(next_help_heading = "What to take out")]
pub struct RewriteExcludeArgs {
    /// Take out what matches this pattern, a path in the snapshot
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// The same, regardless of upper and lower case
    #[arg(long, value_name = "PATTERN")]
    pub iexclude: Vec<String>,
    /// Take out what the patterns in this file match
    #[arg(long, value_name = "FILE")]
    pub exclude_file: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn tags_are_added_and_removed_or_set() {
        let change = |words: &str| match parse(words).unwrap().command {
            Command::Tag(args) => args.change.change(),
            other => panic!("{other:?}"),
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let edit = TagChange::Edit { add: words(&["a", "b", "c"]), remove: words(&["d"]) };
        assert_eq!(change("tag --add a,b --add c --remove d latest --tag x"), edit);
        assert_eq!(change("tag --set a"), TagChange::Set(words(&["a"])));
        for words in ["tag", "tag latest", "tag --set a --add b"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_rewrite_takes_something_out() {
        assert!(parse("rewrite -e *.iso --iexclude *.TMP --exclude-file f --forget -n latest --host a").is_ok());
        for words in ["rewrite", "rewrite latest --forget"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
