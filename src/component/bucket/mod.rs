//! Buckets: the objects of an S3-compatible store, backed up as they are and given back as they were.
//!
//! Keys are no paths, and reach the store byte for byte: that is why this is not the client that holds repositories
//! (`storage::remote`), which folds `a//b`. It shares with it how a store is found and what its refusals mean.

mod address;
mod client;
mod error;
mod fetch;
mod http;
mod listing;
mod meta;
mod s3;
mod source;
mod target;
mod upload;

pub use address::{BadBucket, BucketAddress};
pub use client::{CONNECTIONS, Client};
pub use source::{BucketSource, KeyFilter, ObjectPlace, Place};
pub use target::BucketTarget;
