//! keepstone as a user drives it: commands in a row on one repository, with what they print and how they end.

#[path = "cli/copy.rs"]
mod copy;
#[path = "cli/desk.rs"]
mod desk;
#[path = "cli/forget.rs"]
mod forget;
#[path = "cli/interruptions.rs"]
mod interruptions;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/refusals.rs"]
mod refusals;
#[path = "cli/repair.rs"]
mod repair;
#[path = "cli/replace.rs"]
mod replace;
#[path = "cli/round_trip.rs"]
mod round_trip;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/words.rs"]
mod words;
