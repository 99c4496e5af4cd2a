//! The index: where blobs lie. Segments in the repository are the truth; this is a local view of them
//! that can be thrown away at any time (format-spec, "Index segments").
//!
//! The view is a set of *levels*: redb files that are written once, renamed into place, and from then on
//! only read. So any number of processes use one cache without waiting for each other: new segments
//! become a new level, small levels are merged into larger ones, and whoever still reads a file that
//! was removed reads on. No command holds the index in memory.

mod build;
mod level;
mod view;

pub use level::Location;
pub use view::{ActiveSegment, IndexView, ListedPack, Source, SyncReport};
