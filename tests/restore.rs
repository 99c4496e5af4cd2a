//! Restoring: what was backed up comes back, in any target, from any repository that still holds it.

#[path = "restore/archives.rs"]
mod archives;
#[path = "restore/damage.rs"]
mod damage;
#[path = "restore/hostile.rs"]
mod hostile;
#[path = "restore/in_place.rs"]
mod in_place;
#[path = "restore/round_trip.rs"]
mod round_trip;
#[path = "restore/scene.rs"]
mod scene;
#[path = "restore/selecting.rs"]
mod selecting;
