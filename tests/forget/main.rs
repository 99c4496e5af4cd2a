//! What retention promises: what stays and what goes, and that removing is recorded before it is done.

mod carrying_out;
mod examples;
mod plain_reading;
mod properties;
#[path = "../stored/mod.rs"]
mod stored;
