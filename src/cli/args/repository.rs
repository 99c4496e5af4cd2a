//! `init`, `fingerprint` and `cache`: the repository as a whole.

use clap::{Args, Subcommand};

use super::from::FromArgs;
use crate::cli::values::PackSize;

/// Make a repository; one that is there is not touched
#[derive(Debug, Args)]
pub struct InitArgs {
    /// How large its packs are, 4 MiB to 256 MiB (or KEEPSTONE_PACK_SIZE)
    #[arg(long, value_name = "SIZE")]
    pub pack_size: Option<PackSize>,
    /// Cut streams and name blobs as another repository does, so that `copy` between them stores nothing twice;
    /// implied by --from-repo and --from-repository-file
    #[arg(long = "from")]
    pub like_other: bool,
    #[command(flatten)]
    pub from: FromArgs,
}

/// Print the repository's id and its newest state, to keep elsewhere
#[derive(Debug, Args)]
pub struct FingerprintArgs {}

/// Look after the local cache, which can always be made again
#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub action: CacheAction,
}

/// What is done with the cache.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CacheAction {
    /// List the repositories that have a cache here, its size and when it was last used
    List,
    /// Remove the caches that were not used for some time
    PruneOld {
        /// Not used for so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        max_age: u32,
    },
    /// Remove the cache of the given repository, or of all if none is given
    Clear,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn caches_are_old_after_a_month() {
        let Command::Cache(args) = parse("cache prune-old").unwrap().command else { panic!("not a cache") };
        assert_eq!(args.action, CacheAction::PruneOld { max_age: 30 });
        assert!(parse("cache prune-old --max-age -1").is_err());
        assert!(parse("cache").is_err());
    }
}
