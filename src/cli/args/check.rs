//! `check`.

use clap::Args;

use crate::cli::values::ReadDataSubset;

/// Look for damage, and name every object and file that it harms
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Read every pack
    #[arg(long, conflicts_with = "read_data_subset")]
    read_data: bool,
    /// Read some packs: n/t (the n-th of t parts), x% or a size
    #[arg(long, value_name = "SUBSET")]
    read_data_subset: Option<ReadDataSubset>,
}

/// How much of the stored data a check reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadData {
    /// None: that packs are there, and as long as the index says.
    Nothing,
    /// Some of the packs.
    Some(ReadDataSubset),
    /// All packs.
    All,
}

impl CheckArgs {
    /// How much of the stored data to read.
    pub fn read_data(&self) -> ReadData {
        match (self.read_data, self.read_data_subset) {
            (true, _) => ReadData::All,
            (false, Some(subset)) => ReadData::Some(subset),
            (false, None) => ReadData::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parse;
    use super::*;

    fn read_data(words: &str) -> Option<ReadData> {
        match parse(words).ok()?.command {
            Command::Check(args) => Some(args.read_data()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_check_reads_nothing_some_or_all() {
        assert_eq!(read_data("check"), Some(ReadData::Nothing));
        assert_eq!(read_data("check --read-data"), Some(ReadData::All));
        let half = ReadData::Some(ReadDataSubset::Percent(50.0));
        assert_eq!(read_data("check --read-data-subset 50%"), Some(half));
        assert_eq!(read_data("check --read-data --read-data-subset 50%"), None);
    }
}
