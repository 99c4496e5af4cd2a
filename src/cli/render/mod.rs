//! How results look: names, sizes, times, tables.

mod entry;
mod name;
mod table;
mod time;
mod unit;

pub use entry::{EntryFields, details, link_target, permissions};
pub use name::{NameFields, PathFields, hex, printable};
pub use table::{Align, Table};
pub use time::{local, rfc3339};
pub use unit::{duration, percent, size};
