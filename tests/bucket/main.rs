//! Buckets as what is backed up, and as what is restored to: keys byte for byte, nothing read that is known, nothing
//! left out in silence, and everything given back as it was.

#[path = "../servers/buckets.rs"]
mod buckets;
#[path = "../cli/desk.rs"]
#[allow(dead_code)] // Much of the desk is for other tests.
mod desk;
#[path = "../servers/mod.rs"]
mod servers;

mod giving;
mod looking;
mod others;
mod proxy;
mod reading;
mod scene;
mod trouble;
