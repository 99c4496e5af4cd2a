//! Buckets: the objects of an S3-compatible store, of Azure or of Google, backed up as they are and given back as they were.
//!
//! Keys are no paths, and reach the store byte for byte: that is why this is not the client that holds repositories
//! (`storage::remote`), which folds `a//b`. It shares with it how a store is found and what its refusals mean.

mod address;
mod azure;
mod client;
mod error;
mod fetch;
mod http;
mod listing;
mod meta;
mod route;
mod s3;
mod sign;
mod source;
mod target;
mod upload;
mod words;

pub use address::{BadBucket, BucketAddress, StoreKind};
pub use client::{CONNECTIONS, Client};
pub use source::{BucketSource, KeyFilter, ObjectPlace, Place};
pub use target::BucketTarget;
