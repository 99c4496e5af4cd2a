//! Components: what can be backed up, each as a source that the engine asks.

pub mod bucket;
pub mod files;
pub mod stream;
