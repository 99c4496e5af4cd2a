//! What the commands do: each file is one command, `run(&Context, args)`.

pub mod backup;
pub mod completions;
pub mod init;
pub mod man;
pub mod version;
