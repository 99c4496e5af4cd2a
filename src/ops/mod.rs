//! Operations: backup, restore, check, list, diff; and the ports that say what they need of a source or
//! a target.

pub mod backup;
pub mod dump;
pub mod pattern;
pub mod progress;
pub mod restore;
pub mod source;
pub mod target;
