//! The format: bytes <-> values. Pure: no I/O, no clock, no chance, no keys (format-spec).
//!
//! Every parser is a function from bytes to a value; the bytes are hostile, so nothing here can panic
//! on an input or allocate what an input asks for. `encode(decode(x)) == x` for whatever is accepted.

// A parser that panics, truncates or overflows is a hole; the compiler holds the line.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap
    )
)]

pub mod codec;
pub mod content;
pub mod control;
pub mod envelope;
pub mod epochs;
pub mod extras;
pub mod keys;
pub mod limits;
pub mod object_meta;
pub mod pack;
pub mod segment;
pub mod tree;

pub use codec::{Malformed, Structure, TooLong};
