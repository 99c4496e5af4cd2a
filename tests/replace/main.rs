//! What replacing snapshots promises: the new one is whole before the old one goes, holds what it should, and is
//! built as a backup would have built it; what is damaged is left as it is.

mod crashes;
mod rewriting;
mod scene;
#[path = "../stored/mod.rs"]
mod stored;
mod tagging;
