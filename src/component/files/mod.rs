//! Files: directories of this machine.

pub mod target;
