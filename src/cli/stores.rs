//! From a place to a store: what options, limits and the environment say about it. Touches the world.

use super::exit::{Exit, Failure};
use super::open::failure;
use super::values::{Place, StoreOption};
use super::{Context, Environment};
use crate::repo::RepoError;
use crate::storage::remote::{Address, Options, RemoteStore};
use crate::storage::{LimitedStore, Limits, LocalStore, Rate, Store, StoreError};

/// The store at `place`, in which a repository is expected; what only its kind understands is set by `options`.
pub fn existing(context: &Context, place: &Place, options: &[StoreOption]) -> Result<Box<dyn Store>, Failure> {
    match place {
        Place::Path(path) => {
            no_options(options, place)?;
            match LocalStore::open(path) {
                Ok(store) => Ok(limited(store, &limits(context))),
                Err(StoreError::NoPlace { place }) => Err(failure(RepoError::NoRepository { place })),
                Err(error) => Err(failure(error.into())),
            }
        }
        Place::Url(address) => remote(context, address, options),
    }
}

/// The store at `place`, in which a repository is to be made: a directory is made with it.
pub fn new(context: &Context, place: &Place) -> Result<Box<dyn Store>, Failure> {
    match place {
        Place::Path(path) => {
            no_options(&context.settings().store_options, place)?;
            match LocalStore::create(path) {
                Ok(store) => Ok(limited(store, &limits(context))),
                Err(StoreError::Occupied { place }) => Err(failure(RepoError::Occupied { place })),
                Err(error) => Err(failure(error.into())),
            }
        }
        Place::Url(address) => remote(context, address, &context.settings().store_options),
    }
}

fn remote(context: &Context, address: &Address, options: &[StoreOption]) -> Result<Box<dyn Store>, Failure> {
    let store = connect(context, address, options)?;
    // What goes by HTTP is slowed where it flows.
    Ok(match address {
        Address::Sftp(_) => limited(store, &limits(context)),
        _ => Box::new(store),
    })
}

/// The store behind a network, as it is.
pub fn connect(context: &Context, address: &Address, options: &[StoreOption]) -> Result<RemoteStore, Failure> {
    let given = options.iter().map(|option| (&*option.key, &*option.value));
    let options = Options::new(address, given).map_err(|error| Failure::usage(error.to_string()))?;
    let limits = limits(context);
    let variables = variables(context.environment());
    RemoteStore::connect(address.clone(), &options, &variables, &limits)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot use {address}: {error}")))
}

/// A variable that is not UTF-8 holds no key that a store could have given out.
fn variables(environment: &Environment) -> impl Fn(&str) -> Option<String> {
    |name| environment.text(name).ok().flatten()
}

fn limited(store: impl Store + 'static, limits: &Limits) -> Box<dyn Store> {
    match limits {
        Limits { upload: None, download: None } => Box::new(store),
        _ => Box::new(LimitedStore::new(store, limits.clone())),
    }
}

fn limits(context: &Context) -> Limits {
    let rate = |kib_per_s: Option<std::num::NonZeroU32>| {
        kib_per_s.map(|kib| std::sync::Arc::new(Rate::new(u64::from(kib.get()) << 10)))
    };
    let settings = context.settings();
    Limits { upload: rate(settings.limit_upload), download: rate(settings.limit_download) }
}

fn no_options(options: &[StoreOption], place: &Place) -> Result<(), Failure> {
    match options.first() {
        None => Ok(()),
        Some(option) => {
            Err(Failure::usage(format!("a store in a directory, like {place}, has no option '{}'", option.key)))
        }
    }
}
