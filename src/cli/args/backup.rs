//! `backup`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Args;

use super::bucket::BucketArgs;
use super::os;
use crate::cli::values::{Compression, Marker, PackSize, Size, SnapshotName, TagList, parse_time};
use crate::format::tree::Time;

const EXAMPLES: &str = "\
EXAMPLES
  Back up two directories, with a tag:
    keepstone -r /mnt/nas/backup backup --tag nightly /etc /home
  Leave out what can be made again, and large files:
    keepstone backup -e '*.tmp' --exclude-caches --exclude-larger-than 5G /srv
  Back up a database dump; if pg_dump fails, no snapshot is made:
    keepstone backup --stdin-filename app.sql --stdin-from-command -- pg_dump app
  Back up a bucket, with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY:
    keepstone backup -b endpoint=http://minio:9000 s3://documents
  Back up a staging directory under the name it stands for:
    keepstone backup --as /srv/app /mnt/staging/app";

/// Make a snapshot of files and directories, of a bucket, or of a stream
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BackupArgs {
    /// What to back up; after --stdin-from-command, the command and its arguments
    #[arg(value_name = "PATH", required_unless_present_any = ["files_from", "files_from_raw", "files_from_verbatim", "stdin"])]
    words: Vec<OsString>,
    #[command(flatten)]
    pub lists: ListArgs,
    /// How hard to compress: none, fast, default, max or a zstd level (or KEEPSTONE_COMPRESSION)
    #[arg(long, value_name = "HOW")]
    pub compression: Option<Compression>,
    /// With --init: how large its packs are, 4 MiB to 256 MiB (or KEEPSTONE_PACK_SIZE)
    #[arg(long, value_name = "SIZE", requires = "init")]
    pub pack_size: Option<PackSize>,
    /// Read everything again, even what looks unchanged
    #[arg(short, long, conflicts_with = "parent")]
    pub force: bool,
    /// Write nothing; say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Make no snapshot if it would be the same as its parent
    #[arg(long)]
    pub skip_if_unchanged: bool,
    /// Make the repository if there is none
    #[arg(long)]
    pub init: bool,
    // Those with headings come last: a heading holds until the next.
    #[command(flatten)]
    stream: StreamArgs,
    #[command(flatten)]
    pub exclude: ExcludeArgs,
    #[command(flatten)]
    pub bucket: BucketArgs,
    #[command(flatten)]
    pub snapshot: SnapshotArgs,
}

/// Files that list what to back up.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Back up what the patterns in this file match, one a line
    #[arg(long, value_name = "FILE")]
    pub files_from: Vec<PathBuf>,
    /// Back up the paths in this file, each ended by a NUL byte
    #[arg(long, value_name = "FILE")]
    pub files_from_raw: Vec<PathBuf>,
    /// Back up the paths in this file, one a line, taken as they are
    #[arg(long, value_name = "FILE")]
    pub files_from_verbatim: Vec<PathBuf>,
}

/// A stream instead of files.
#[derive(Debug, Args)]
#[command(next_help_heading = "A stream")]
struct StreamArgs {
    /// Back up what comes from standard input
    #[arg(long, conflicts_with_all = ["words", "files_from", "files_from_raw", "files_from_verbatim", "stdin_from_command"])]
    stdin: bool,
    /// Back up what a command prints; no snapshot is made if it fails
    #[arg(long, conflicts_with_all = ["files_from", "files_from_raw", "files_from_verbatim"])]
    stdin_from_command: bool,
    /// Name of the stream in the snapshot
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    stdin_filename: OsString,
}

/// What to leave out.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to leave out")]
pub struct ExcludeArgs {
    /// Leave out what matches this pattern
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// The same, regardless of upper and lower case
    #[arg(long, value_name = "PATTERN")]
    pub iexclude: Vec<String>,
    /// Leave out what the patterns in this file match
    #[arg(long, value_name = "FILE")]
    pub exclude_file: Vec<PathBuf>,
    /// Leave out what is in a directory that holds this file; NAME:HEADER if it begins so
    #[arg(long, value_name = "NAME[:HEADER]", value_parser = os(Marker::parse))]
    pub exclude_if_present: Vec<Marker>,
    /// Leave out what is in directories marked by a CACHEDIR.TAG
    #[arg(long)]
    pub exclude_caches: bool,
    /// Leave out files larger than this
    #[arg(long, value_name = "SIZE")]
    pub exclude_larger_than: Option<Size>,
    /// Obey files of this name with gitignore rules
    #[arg(long, value_name = "NAME")]
    pub ignore_file: Vec<OsString>,
    /// Stay on the file systems of the given paths
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
}

/// What the snapshot says of itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "The snapshot")]
pub struct SnapshotArgs {
    /// Tag the snapshot; several with commas, or repeated
    #[arg(long = "tag", value_name = "TAG,…")]
    tag_lists: Vec<TagList>,
    /// Name of the host [default: this host's; KEEPSTONE_HOST]
    #[arg(short = 'H', long)]
    pub host: Option<String>,
    /// Time of the snapshot: RFC 3339, or "YYYY-MM-DD HH:MM:SS" [default: now]
    #[arg(long, value_parser = parse_time)]
    pub time: Option<Time>,
    /// Compare with this snapshot [default: the latest of the same host and paths]
    #[arg(long, value_name = "SNAPSHOT")]
    pub parent: Option<SnapshotName>,
    /// Record this path instead of the one that is read; for one PATH
    #[arg(long = "as", value_name = "PATH")]
    pub as_path: Option<PathBuf>,
}

impl ListArgs {
    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.files_from.is_empty() && self.files_from_raw.is_empty() && self.files_from_verbatim.is_empty()
    }
}

impl ExcludeArgs {
    /// The first flag that is given and means something only for files in a directory.
    pub fn for_files_only(&self) -> Option<&'static str> {
        let given = [
            (!self.exclude_if_present.is_empty(), "--exclude-if-present"),
            (self.exclude_caches, "--exclude-caches"),
            (!self.ignore_file.is_empty(), "--ignore-file"),
            (self.one_file_system, "--one-file-system"),
        ];
        given.into_iter().find_map(|(is_given, flag)| is_given.then_some(flag))
    }
}

impl SnapshotArgs {
    /// All tags, each once, in order.
    pub fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.tag_lists.iter().flat_map(|list| list.tags().iter().cloned()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

/// What is to be backed up.
#[derive(Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// These paths, and those in [`BackupArgs::lists`].
    Paths(Vec<PathBuf>),
    /// Standard input.
    Stdin {
        /// Its name in the snapshot.
        name: &'a OsStr,
    },
    /// The output of a command.
    Command {
        /// Its name in the snapshot.
        name: &'a OsStr,
        /// The program and its arguments; at least one word.
        words: &'a [OsString],
    },
}

impl BackupArgs {
    /// What is to be backed up.
    pub fn what(&self) -> What<'_> {
        let name = &self.stream.stdin_filename;
        match (self.stream.stdin, self.stream.stdin_from_command) {
            (true, _) => What::Stdin { name },
            (_, true) => What::Command { name, words: &self.words },
            _ => What::Paths(self.words.iter().map(PathBuf::from).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parse;
    use super::*;

    fn backup(words: &str) -> Result<BackupArgs, clap::Error> {
        match parse(&format!("backup {words}"))?.command {
            Command::Backup(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_backup_is_of_paths_a_stream_or_a_command() {
        assert_eq!(backup("/a b").unwrap().what(), What::Paths(vec!["/a".into(), "b".into()]));
        assert_eq!(backup("--files-from list").unwrap().what(), What::Paths(vec![]));
        assert_eq!(backup("--stdin").unwrap().what(), What::Stdin { name: OsStr::new("stdin") });
        let args = backup("--stdin-filename a.sql --stdin-from-command -- pg_dump --json -n app").unwrap();
        let words = ["pg_dump", "--json", "-n", "app"].map(OsString::from);
        assert_eq!(args.what(), What::Command { name: OsStr::new("a.sql"), words: &words });
    }

    #[test]
    fn a_backup_of_nothing_or_of_two_things_is_refused() {
        let cases = [
            "",
            "--stdin /a",
            "--stdin --files-from x",
            "--stdin --stdin-from-command -- a",
            "--stdin-from-command",
            "--files-from x --stdin-from-command",
            "--force --parent latest /a",
        ];
        for words in cases {
            assert!(backup(words).is_err(), "{words}");
        }
    }

    #[test]
    fn tags_of_a_backup_are_a_set() {
        let args = backup("--tag b,a --tag c --tag a /x").unwrap();
        assert_eq!(args.snapshot.tags(), ["a", "b", "c"]);
    }

    #[test]
    fn options_of_a_backup_are_understood() {
        let args = backup(
            "-e *.tmp --exclude b --iexclude *.ISO --exclude-file f --exclude-if-present .nobackup --exclude-caches \
             --exclude-larger-than 5G --ignore-file .gitignore -x -H web1 --time 2026-07-31T00:15:00Z --parent latest~1 \
             --as /srv -n --skip-if-unchanged --init --compression max --pack-size 64M /a",
        );
        let args = args.unwrap();
        assert_eq!(args.exclude.exclude, ["*.tmp", "b"]);
        assert_eq!(args.exclude.exclude_larger_than.map(Size::bytes), Some(5 << 30));
        assert_eq!(args.snapshot.time, Some(Time { secs: 1_785_456_900, nanos: 0 }));
        assert_eq!(args.snapshot.parent, Some(SnapshotName::Latest { back: 1 }));
        assert!(args.exclude.one_file_system && args.dry_run && args.skip_if_unchanged && args.init);
    }
}
