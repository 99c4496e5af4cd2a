//! What a backup promises: what is in a snapshot, what is read again and what is not, and what a crash,
//! a prune and a damaged cache may do to it: nothing.

mod append_only;
mod cache;
mod content;
mod crashes;
mod making;
mod resume;
mod runs;
mod sessions;
mod support;
mod trees;
