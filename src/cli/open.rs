//! From settings to an opened repository, and from its errors to exit codes. Touches the world: host and
//! account names.

use std::time::{Duration, SystemTime};

use super::args::from::FromArgs;
use super::exit::{Exit, Failure};
use super::settings::{self, Cache};
use super::values::Place;
use super::{Context, Form, stores};
use crate::repo::{CacheDir, RepoError, Repository, SystemChance, Who};
use crate::storage::remote::Address;
use crate::storage::{LocalStore, Store, StoreError};

/// Opens the repository that the settings name, with the password that they lead to.
pub fn repository(context: &Context) -> Result<Repository, Failure> {
    let repository = with_cache(context, &cache_dir(context))?;
    tell_of_sync(context, &repository);
    Ok(repository)
}

/// Opens the second repository, which `from` or the environment names.
pub fn second_repository(context: &Context, from: &FromArgs) -> Result<Repository, Failure> {
    let place = settings::second_repository(from, context.environment())?.ok_or_else(|| {
        Failure::usage("no repository to copy from is named")
            .hint("give --from-repo PLACE or --from-repository-file FILE, or set KEEPSTONE_FROM_REPOSITORY")
    })?;
    let store = stores::existing(context, &place, &from.from_options)?;
    let password = context.second_password(from)?;
    let repository = Repository::open(store, password.as_bytes(), &cache_dir(context), Box::new(SystemChance));
    let repository = repository.map_err(failure)?;
    tell_of_sync(context, &repository);
    Ok(repository)
}

fn tell_of_sync(context: &Context, repository: &Repository) {
    let sync = repository.first_sync();
    for lost in &sync.unusable {
        context.note(format!("rebuilt a part of the local index: {lost}"));
    }
    for (id, why) in &sync.damaged {
        context.complain(&format!("index segment {}", id.short()), &format!("{why}; run keepstone check"));
    }
    for (id, why) in &sync.late {
        context.complain(&format!("index segment {}", id.short()), &format!("{why}; what it lists is not believed"));
    }
    if !sync.vanished.is_empty() {
        context.note(format!(
            "warning: {} index segments that this machine has seen are gone and nothing replaces them: the store was rolled back, or objects were lost; run keepstone check",
            sync.vanished.len()
        ));
    }
}

/// Opens the repository for a check, which believes nothing that this machine kept: all of the index is read
/// from the store. What this machine has seen is compared first, for that is how a rolled-back store shows.
pub fn repository_to_check(context: &Context) -> Result<Repository, Failure> {
    drop(repository(context)?);
    with_cache(context, &CacheDir::Temporary)
}

fn with_cache(context: &Context, cache: &CacheDir) -> Result<Repository, Failure> {
    let store = store(context)?;
    let password = context.password()?;
    Repository::open(store, password.as_bytes(), cache, Box::new(SystemChance)).map_err(failure)
}

/// Removes from a directory what killed backups left unfinished a week ago and nobody has touched since.
pub fn sweep(context: &Context) {
    // It only takes room; a backup does not fail for it.
    let Ok(Place::Path(path)) = context.settings().repository() else { return };
    let store = LocalStore::open(&path).ok();
    tell_swept(context, store.zip(a_week_ago()).and_then(|(store, since)| store.discard_abandoned(since).ok()));
}

/// The same on a server, which takes a connection of its own.
pub fn sweep_remote(context: &Context) {
    let Ok(Place::Url(address @ Address::Sftp(_))) = context.settings().repository() else { return };
    let store = stores::connect(context, &address, &context.settings().store_options).ok();
    tell_swept(context, store.zip(a_week_ago()).and_then(|(store, since)| store.discard_abandoned(since).ok()));
}

fn a_week_ago() -> Option<SystemTime> {
    SystemTime::now().checked_sub(Duration::from_secs(7 * 24 * 60 * 60))
}

fn tell_swept(context: &Context, swept: Option<u64>) {
    if let Some(removed @ 1..) = swept {
        context.note(format!("removed {removed} files that killed backups had left unfinished"));
    }
}

/// The store of an existing repository.
pub fn store(context: &Context) -> Result<Box<dyn Store>, Failure> {
    let settings = context.settings();
    stores::existing(context, &settings.repository()?, &settings.store_options)
}

/// Where the cache of this command is.
pub fn cache_dir(context: &Context) -> CacheDir {
    match &context.settings().cache {
        Cache::At(dir) => CacheDir::Kept(dir.clone()),
        Cache::Off => CacheDir::Temporary,
    }
}

/// Threads that work at a time.
pub fn threads(context: &Context) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    context.settings().threads.map_or_else(all, usize::from)
}

/// Whether results are for programs.
pub fn is_json(context: &Context) -> bool {
    context.output().form == Form::Json
}

/// Who runs this, and where; a host that was named wins over the machine's own name.
pub fn who(context: &Context, host: Option<&str>) -> Who {
    let named = host.map(str::to_owned).or_else(|| context.settings().host.clone());
    let host = named.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let uid = rustix::process::getuid();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid.as_raw())).ok().flatten();
    Who { host, user: user.map_or_else(|| uid.as_raw().to_string(), |user| user.name) }
}

/// What a repository's error means to whoever called the command.
pub fn failure(error: RepoError) -> Failure {
    let exit = match &error {
        RepoError::NoRepository { .. } => Exit::NoRepository,
        RepoError::WrongPassword => Exit::WrongPassword,
        RepoError::NeedsNewer { .. } => Exit::TooNew,
        RepoError::Damaged { .. } | RepoError::AfterClosing { .. } | RepoError::Missing { .. } => Exit::Damage,
        RepoError::Conflict(_) => Exit::Busy,
        RepoError::Interrupted => Exit::Interrupted,
        RepoError::Occupied { .. } | RepoError::Refused(_) | RepoError::Store(_) | RepoError::Local { .. } => {
            Exit::Failed
        }
    };
    let hint = match &error {
        RepoError::NoRepository { .. } => Some("make one with: keepstone init"),
        RepoError::WrongPassword => Some("see KEEPSTONE_PASSWORD_FILE and --password-file for where it comes from"),
        RepoError::NeedsNewer { .. } => Some("update keepstone on this machine"),
        RepoError::Damaged { .. } | RepoError::AfterClosing { .. } | RepoError::Missing { .. } => {
            Some("find out what is harmed with: keepstone check")
        }
        RepoError::Store(StoreError::Full { .. }) => {
            Some("nothing that was stored before is harmed; make room and run it again")
        }
        _ => None,
    };
    let failure = Failure::new(exit, error.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
