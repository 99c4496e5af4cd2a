//! `cat`: an object of the repository, for whoever wants to look inside. No key is ever printed.

use serde_json::Value;

use crate::cli::args::filter::FilterArgs;
use crate::cli::args::listing::{CatArgs, CatWhat};
use crate::cli::values::IdPrefix;
use crate::cli::{Context, Exit, Failure, choose, open};
use crate::format::control::{Run, Session};
use crate::format::segment::Segment;
use crate::id::BlobId;
use crate::ops::cat;
use crate::repo::Repository;

/// Prints it as JSON, or a blob's plaintext in bytes.
pub fn run(context: &Context, args: &CatArgs) -> Result<Exit, Failure> {
    let repository = open::repository(context)?;
    match &args.what {
        CatWhat::Blob { id } => {
            let id = blob(&repository, id)?;
            let (_, plain) = cat::blob_bytes(&repository, &id).map_err(open::failure)?;
            context.out().bytes(&plain)?;
        }
        what => print(context, &object(&repository, what)?)?,
    }
    Ok(Exit::Success)
}

fn object(repository: &Repository, what: &CatWhat) -> Result<Value, Failure> {
    let no_filter = FilterArgs::default();
    let object = match what {
        CatWhat::Config => Ok(cat::config(repository)),
        CatWhat::Keyring => Ok(cat::keyring(repository)),
        CatWhat::Snapshot { snapshot } => {
            let (id, snapshot) = choose::one(repository, snapshot, &no_filter)?;
            Ok(cat::snapshot_value(&id, &snapshot))
        }
        CatWhat::Tree { snapshot } => cat::tree(repository, &choose::directory(repository, snapshot, &no_filter)?.tree),
        CatWhat::Blob { id } => cat::blob(repository, &blob(repository, id)?),
        CatWhat::Pack { id } => cat::pack_by_prefix(repository, id.as_str()).and_then(|id| cat::pack(repository, &id)),
        CatWhat::Index { id } => {
            cat::id_by_prefix::<Segment>(repository, id.as_str()).and_then(|id| cat::index(repository, &id))
        }
        CatWhat::Run { id } => {
            cat::id_by_prefix::<Run>(repository, id.as_str()).and_then(|id| cat::run(repository, &id))
        }
        CatWhat::Session { id } => {
            cat::id_by_prefix::<Session>(repository, id.as_str()).and_then(|id| cat::session(repository, &id))
        }
    };
    object.map_err(open::failure)
}

/// The blob whose id begins so, of those that the index lists.
fn blob(repository: &Repository, prefix: &IdPrefix) -> Result<BlobId, Failure> {
    if let Some(id) = BlobId::from_hex(prefix.as_str()) {
        return Ok(id);
    }
    let mut candidates = Vec::new();
    let each = &mut |location: crate::repo::Location| {
        let id = location.placed.blob.id;
        if id.to_hex().starts_with(prefix.as_str()) {
            candidates.push(id);
        }
    };
    repository.view().each(each).map_err(open::failure)?;
    candidates.sort_unstable();
    candidates.dedup();
    choose::one_id(prefix, candidates, "keepstone cat tree, keepstone cat pack")
}

fn print(context: &Context, object: &Value) -> Result<(), Failure> {
    match open::is_json(context) {
        true => context.out().json(object),
        false => context.out().line(format_args!("{object:#}")),
    }
}
