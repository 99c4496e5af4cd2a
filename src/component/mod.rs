//! Components: what can be backed up and restored.

pub mod files;
