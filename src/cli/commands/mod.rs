//! What the commands do: each file is one command, `run(&Context, args)`.

pub mod backup;
pub mod cache;
pub mod cat;
pub mod check;
pub mod completions;
pub mod copy;
pub mod diff;
pub mod dump;
pub mod epochs;
pub mod find;
pub mod fingerprint;
pub mod forget;
pub mod init;
pub mod key;
pub mod ls;
pub mod man;
pub mod prune;
pub mod repair;
pub mod replace;
pub mod restore;
pub mod snapshots;
pub mod stats;
pub mod version;
