//! What the fuzz targets have in common: each target is one function from bytes in [`targets`].
//!
//! A target takes any bytes at all, and panics when keepstone breaks a promise about them: that it does
//! not panic itself, that what it accepts encodes to the same bytes, that it allocates no more than the
//! input can account for, and that a repository never gives back what was not backed up.

pub mod memory;
pub mod repository;
pub mod stored;
pub mod tamper;
pub mod targets;
