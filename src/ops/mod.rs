//! Operations: backup, restore, check, repair, list, diff, forget; and the ports that say what they need of a source or
//! a target.

pub mod backup;
pub mod cat;
pub mod check;
pub mod copy;
pub mod diff;
pub mod dump;
pub mod find;
pub mod forget;
pub mod links;
pub mod list;
pub mod pattern;
pub mod progress;
pub mod prune;
pub mod repair;
pub mod replace;
pub mod restore;
mod scan;
mod segments;
pub mod snapshots;
pub mod source;
pub mod stats;
mod stretches;
pub mod target;
pub mod walk;
