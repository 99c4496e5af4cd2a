//! Real processes at work on one repository at once, killed and stopped at any moment, on real file systems whose power is
//! cut, and on disks that are full or fail: what was reported good comes back, and every process ends in a way that is
//! documented.

mod crowd;
mod disks;
mod failing;
mod house;
mod paused;
