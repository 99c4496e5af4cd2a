//! keepstone with repositories behind a network: what a user does and sees, how many requests it takes, and what
//! becomes of it when the network or the server fails.

#[path = "../cli/desk.rs"]
#[allow(dead_code)] // Much of the desk is for other tests.
mod desk;
#[path = "../servers/mod.rs"]
mod servers;

mod answers;
mod append_only;
mod conditions;
mod copies;
mod counting;
mod cycles;
mod faults;
mod proxy;
mod scene;
