//! How a bucket is reached that is backed up, or restored to.

use clap::Args;

use crate::cli::values::StoreOption;

/// How a bucket is reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "A bucket")]
pub struct BucketArgs {
    /// Option of the bucket's store, as -o is of the repository's: endpoint, region, profile, …
    #[arg(short = 'b', long = "bucket-option", value_name = "KEY=VALUE")]
    pub bucket_options: Vec<StoreOption>,
}
