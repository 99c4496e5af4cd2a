//! How results look: names, sizes, times, tables.

mod name;
mod table;
mod time;
mod unit;

pub use name::{NameFields, PathFields, printable};
pub use table::{Align, Table};
pub use time::{local, rfc3339};
pub use unit::{duration, percent, size};
