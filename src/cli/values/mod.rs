//! What stands behind the words of the command line and of the environment: each type is made from text
//! in one place, and says in its error what would be right.

mod compression;
mod fps;
mod id;
mod marker;
mod place;
mod retention;
mod size;
mod snapshot;
mod store_option;
mod subset;
mod tags;
mod thrift;
mod time;

pub use compression::Compression;
pub use fps::FramesPerSecond;
pub use id::IdPrefix;
pub use marker::Marker;
pub use place::Place;
pub use retention::{parse_count, parse_group_by, parse_reach};
pub use size::{PackSize, Size};
pub use snapshot::{SnapshotName, SnapshotSpec};
pub use store_option::StoreOption;
pub use subset::ReadDataSubset;
pub use tags::TagList;
pub use thrift::{MaxUnused, parse_timeout};
pub use time::parse_time;

/// Words that make no sense, and those that would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

impl BadValue {
    /// What was expected instead.
    pub fn expected(what: impl std::fmt::Display) -> Self {
        BadValue(format!("expected {what}"))
    }

    /// What is wrong with it, in a sentence.
    pub fn because(why: impl std::fmt::Display) -> Self {
        BadValue(why.to_string())
    }
}
