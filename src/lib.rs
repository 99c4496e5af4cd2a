//! keepstone: content-addressed, deduplicating, encrypting backups.
//!
//! The layers, from the top; a module may use what stands below it, never what stands above:
//!
//! ```text
//! cli                      words in, words out
//! component                what can be backed up: files, streams
//! ops                      backup, restore, check, list, diff
//! repo                     naming, packing, indexing, sessions, order of writes
//! chunk compress crypto    pure engines            storage   opaque objects in a place
//! format                   bytes <-> values; hostile input; no I/O
//! id
//! ```
//!
//! The bytes are specified in `format-spec/`; this library implements that text.

#![deny(missing_docs)]

pub mod chunk;
pub mod cli;
pub mod component;
pub mod compress;
pub mod crypto;
pub mod format;
pub mod id;
pub mod ops;
pub mod repo;
pub mod storage;
