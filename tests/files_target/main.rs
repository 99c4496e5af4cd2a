//! Restoring into a directory: what comes back, and what never happens to anything outside.

mod escapes;
mod making;
mod metadata;
mod scene;
