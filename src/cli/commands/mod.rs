//! What the commands do: each file is one command, `run(&Context, args)`.

pub mod completions;
pub mod man;
pub mod version;
