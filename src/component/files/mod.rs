//! Files: trees of a file system, one or several in one snapshot; and a directory to restore into.

pub mod files_from;
pub mod filter;
pub(crate) mod owners;
pub mod source;
pub mod target;

mod describe;
mod directory;
mod grafts;
mod ignore_rules;
mod listing;
mod names;
mod reading;
mod stat;
mod xattrs;

pub use directory::raise_open_files_limit;
pub use filter::Filter;
pub use source::{BadSources, FilesSource};
pub use target::FilesTarget;
