//! `cache`: what this machine keeps of repositories, all of which can be made again. Touches the world:
//! disk, clock.
//!
//! A cache is a directory named by a repository's id. Beside them lies `pins/`, what this machine has seen
//! of each place: it tells a rolled-back store, so it goes only with the repository that it is about.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::cli::args::repository::{CacheAction, CacheArgs};
use crate::cli::render::{Align, Table, local, rfc3339, size};
use crate::cli::settings::Cache;
use crate::cli::{Context, Exit, Failure, open};
use crate::format::keys::Config;
use crate::format::limits::OBJECT_MAX;
use crate::format::tree::Time;
use crate::id::RepositoryId;
use crate::repo;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Does what is asked with caches.
pub fn run(context: &Context, args: &CacheArgs) -> Result<Exit, Failure> {
    let Cache::At(root) = &context.settings().cache else {
        return Err(Failure::usage("no cache directory is named").hint("give --cache-dir, or set KEEPSTONE_CACHE_DIR"));
    };
    match args.action {
        CacheAction::List => list(context, root)?,
        CacheAction::PruneOld { max_age } => {
            let now = SystemTime::now();
            let old = |cache: &Kept| now.duration_since(cache.used).is_ok_and(|unused| unused > DAY * max_age);
            remove(context, kept(root)?.into_iter().filter(old).collect())?;
        }
        CacheAction::Clear => clear(context, root)?,
    }
    Ok(Exit::Success)
}

/// The cache of one repository.
struct Kept {
    id: RepositoryId,
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

#[derive(Serialize)]
struct Listed {
    repository: String,
    path: String,
    size: u64,
    last_used: String,
}

impl From<&Kept> for Listed {
    fn from(cache: &Kept) -> Self {
        Listed {
            repository: cache.id.to_hex(),
            path: cache.path.to_string_lossy().into_owned(),
            size: cache.bytes,
            last_used: rfc3339(time(cache.used)),
        }
    }
}

fn time(at: SystemTime) -> Time {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}

fn list(context: &Context, root: &Path) -> Result<(), Failure> {
    let caches = kept(root)?;
    if open::is_json(context) {
        return context.out().json(&caches.iter().map(Listed::from).collect::<Vec<_>>());
    }
    if caches.is_empty() {
        context.note(format!("{} holds no caches", root.display()));
        return Ok(());
    }
    let mut table = Table::new([("Repository", Align::Left), ("Last used", Align::Left), ("Size", Align::Right)]);
    for cache in &caches {
        table.row([cache.id.to_hex(), local(time(cache.used)), size(cache.bytes)]);
    }
    context.out().text(&table)
}

/// The cache and the pins of the given repository, or all caches.
fn clear(context: &Context, root: &Path) -> Result<(), Failure> {
    if !context.settings().names_repository() {
        return remove(context, kept(root)?);
    }
    let id = repository_id(context)?;
    remove(context, kept(root)?.into_iter().filter(|cache| cache.id == id).collect())?;
    for pin in pins(root)?.into_iter().filter(|pin| pin.id == id) {
        fs::remove_file(&pin.path).map_err(|error| failed("remove", &pin.path, &error))?;
    }
    Ok(())
}

/// Which repository it is, without a password.
fn repository_id(context: &Context) -> Result<RepositoryId, Failure> {
    let store = open::store(context)?;
    let name = repo::config_name();
    let bytes = store.get(&name, OBJECT_MAX).map_err(|error| open::failure(error.into()))?;
    let config = Config::from_bytes(&bytes);
    config.map(|config| config.repository).map_err(|error| open::failure(repo::RepoError::malformed(&name, error)))
}

#[derive(Serialize)]
struct Removed {
    message_type: &'static str,
    removed: Vec<Listed>,
    bytes: u64,
}

fn remove(context: &Context, caches: Vec<Kept>) -> Result<(), Failure> {
    for cache in &caches {
        fs::remove_dir_all(&cache.path).map_err(|error| failed("remove", &cache.path, &error))?;
    }
    let bytes = caches.iter().map(|cache| cache.bytes).sum();
    if open::is_json(context) {
        let removed = caches.iter().map(Listed::from).collect();
        return context.out().json(&Removed { message_type: "summary", removed, bytes });
    }
    for cache in &caches {
        context.out().line(format_args!("removed {} ({})", cache.path.display(), size(cache.bytes)))?;
    }
    if caches.is_empty() {
        context.note("there was nothing to remove");
    }
    Ok(())
}

/// The caches in this directory, by id. One that vanishes meanwhile is passed over.
fn kept(root: &Path) -> Result<Vec<Kept>, Failure> {
    let pins = pins(root)?;
    let mut caches = Vec::new();
    for path in entries(root)? {
        let id = path.file_name().and_then(|name| RepositoryId::from_hex(name.to_str()?));
        let Some(id) = id.filter(|_| path.symlink_metadata().is_ok_and(|found| found.is_dir())) else { continue };
        let pinned = pins.iter().filter(|pin| pin.id == id).map(|pin| pin.used);
        let (bytes, touched) = below(&path).map_err(|error| failed("look at", &path, &error))?;
        let used = pinned.fold(touched, SystemTime::max);
        caches.push(Kept { id, path, bytes, used });
    }
    caches.sort_by_key(|cache| cache.id);
    Ok(caches)
}

/// What was seen at some place: written anew whenever a repository is opened there.
struct Pin {
    id: RepositoryId,
    path: PathBuf,
    used: SystemTime,
}

fn pins(root: &Path) -> Result<Vec<Pin>, Failure> {
    let pin = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        let id = RepositoryId::from_hex(text.lines().next()?.strip_prefix("repository ")?)?;
        let used = path.metadata().and_then(|found| found.modified()).ok()?;
        Some(Pin { id, path, used })
    };
    Ok(entries(&root.join("pins"))?.into_iter().filter_map(pin).collect())
}

/// What is in a directory; nothing if there is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|error| failed("list", directory, &error)),
    }
}

/// Bytes of all files, and when the newest of them or of the directories changed.
fn below(directory: &Path) -> io::Result<(u64, SystemTime)> {
    let (mut bytes, mut newest) = (0, directory.symlink_metadata()?.modified()?);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(found) = entry.metadata() else { continue };
        let (len, at) = match found.is_dir() {
            true => below(&entry.path())?,
            false => (found.len(), found.modified()?),
        };
        (bytes, newest) = (bytes + len, newest.max(at));
    }
    Ok((bytes, newest))
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot {verb} the cache {}: {error}", path.display()))
}
