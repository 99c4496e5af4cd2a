//! What a prune promises: what a snapshot needs stays, what nobody needs goes, and neither crashes nor
//! others at work change that.

#[path = "../backup/support.rs"]
#[allow(dead_code)]
mod support;

mod cast;
mod crashes;
mod hostile;
mod lying;
mod packs;
mod reports;
mod scene;
mod schedules;
mod scripts;
mod sequences;
mod stage;
