//! `prune`.

use std::time::Duration;

use clap::Args;

use crate::cli::values::{MaxUnused, Size, parse_timeout};

/// Give back the room that no snapshot needs any more
#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    pub thrift: ThriftArgs,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// How a prune goes about it; `forget --prune` takes the same.
#[derive(Debug, Clone, Default, Args)]
pub struct ThriftArgs {
    /// Leave so much room to what nobody needs: a percentage of the repository, a size, or unlimited
    /// [default: 5%]
    #[arg(long, value_name = "LIMIT")]
    pub max_unused: Option<MaxUnused>,
    /// Rewrite packs of at most so much at a time
    #[arg(long, value_name = "SIZE")]
    pub max_repack_size: Option<Size>,
    /// Rewrite all packs that are sealed under earlier keys
    #[arg(long)]
    pub reseal: bool,
    /// Take a session for dead that has not renewed its lease for so long: 90s, 20m, 2h [default: 20m]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    pub session_timeout: Option<Duration>,
}
