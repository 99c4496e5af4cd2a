//! `copy`.

use clap::Args;

use super::filter::FilterArgs;
use super::from::FromArgs;
use crate::cli::values::SnapshotName;

/// Copy snapshots from another repository into this one
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// Only these of the other repository [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<SnapshotName>,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub from: FromArgs,
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn the_other_repository_is_named_in_one_way() {
        for words in ["copy --from-repo /a", "copy --from-repository-file f latest 4f2a", "copy -H nas --tag a,b"] {
            assert!(parse(words).is_ok(), "{words}");
        }
        for words in
            ["copy --from-repo /a --from-repository-file f", "copy --from-password-file a --from-password-command b"]
        {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
