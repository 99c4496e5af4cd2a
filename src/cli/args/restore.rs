//! `restore` and `dump`: what gives files back.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::bucket::BucketArgs;
use super::filter::FilterArgs;
use super::os;
use crate::cli::values::SnapshotSpec;

const EXAMPLES: &str = "\
EXAMPLES
  Restore the latest snapshot of a host:
    keepstone restore latest --host web1 --target /mnt/restore
  Restore what was in one directory yesterday, straight into place:
    keepstone restore latest~1:/etc/nginx --target /etc/nginx
  See first what would be done, and what --delete would remove:
    keepstone restore 4f2a --target /srv --delete --dry-run
  Restore only some files, and read them back:
    keepstone restore latest -t /tmp/r -i '*.conf' --verify
  Give back a bucket, every key with its content and metadata; what is right already is not sent again:
    keepstone restore latest --path s3://documents -t s3://documents -b endpoint=http://minio:9000";

/// Write the files of a snapshot into a directory, or into a bucket
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    /// Which snapshot: latest, latest~N or an id; with :PATH, what is in that directory
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = os(SnapshotSpec::parse))]
    pub snapshot: SnapshotSpec,
    /// The directory to restore into, made if need be; or a bucket, s3://BUCKET/PREFIX
    #[arg(short, long, value_name = "DIR")]
    pub target: PathBuf,
    /// Restore only what matches this pattern; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub include: Vec<String>,
    /// Leave out what matches this pattern; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Which files that are there already to replace
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub overwrite: Overwrite,
    /// Remove what is in the target and not in the snapshot
    #[arg(long)]
    pub delete: bool,
    /// Read all restored files back and compare
    #[arg(long)]
    pub verify: bool,
    /// Make holes of long runs of zeros
    #[arg(long)]
    pub sparse: bool,
    /// Write nothing; say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub bucket: BucketArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Which files that are there already a restore replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Overwrite {
    /// All; what is right already is not written again
    #[default]
    Always,
    /// Those whose size or time of change is another
    IfChanged,
    /// Those that the snapshot has newer
    IfNewer,
    /// None
    Never,
}

/// Write one file to standard output, or a directory as an archive
#[derive(Debug, Args)]
pub struct DumpArgs {
    /// Which snapshot: latest, latest~N or an id, and perhaps a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = os(SnapshotSpec::parse))]
    pub snapshot: SnapshotSpec,
    /// The file or directory, below the path in SNAPSHOT:PATH if one is given [default: all of it]
    #[arg(value_name = "PATH")]
    pub path: Option<OsString>,
    /// How to write a directory
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub archive: Archive,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// How a directory is written as a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Archive {
    /// With owners, times, links and attributes
    #[default]
    Tar,
    /// For systems that know no tar
    Zip,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn a_restore_needs_a_snapshot_and_a_target() {
        assert!(parse("restore latest").is_err());
        assert!(parse("restore -t /x").is_err());
        let Command::Restore(args) =
            parse("restore latest:/etc -t /x -i a -i b -e c --tag a,b --tag c").unwrap().command
        else {
            panic!("not a restore")
        };
        assert_eq!(args.snapshot.path, b"/etc");
        assert_eq!((args.include.len(), args.filter.tags.len(), args.overwrite), (2, 2, Overwrite::Always));
    }

    #[test]
    fn a_dump_names_its_path_in_either_place() {
        for words in ["dump latest /etc/hosts", "dump latest:/etc/hosts", "dump latest:/etc hosts --archive zip"] {
            assert!(matches!(parse(words).unwrap().command, Command::Dump(_)), "{words}");
        }
    }
}
