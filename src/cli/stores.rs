//! From a place to a store: what options, limits and the environment say about it. Touches the world.

use super::args::bucket::BucketArgs;
use super::exit::{Exit, Failure};
use super::open::failure;
use super::values::{Place, StoreOption};
use super::{Context, Environment, signals};
use crate::component::bucket::{BucketAddress, CONNECTIONS, Client, StoreKind};
use crate::repo::RepoError;
use crate::storage::remote::{Address, Options, RemoteStore, Variables, azblob_setup, gcs_setup, s3_setup};
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

/// The bucket at `address`, which is to be backed up or restored to. What the environment says of it stands in
/// `KEEPSTONE_BUCKET_AWS_…` and the like, or if there is none of these in `AWS_…`.
pub fn bucket(context: &Context, address: BucketAddress, args: &BucketArgs) -> Result<Client, Failure> {
    let unusable = |why: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("cannot use {address}: {why}"));
    let known =
        Address::new(address.kind.scheme(), &address.bucket).map_err(|error| Failure::usage(error.to_string()))?;
    let given: Vec<(&str, &str)> = args.bucket_options.iter().map(|option| (&*option.key, &*option.value)).collect();
    let mut options = Options::new(&known, given.iter().copied()).map_err(|error| Failure::usage(error.to_string()))?;
    if !given.iter().any(|(key, _)| *key == "connections") {
        options.connections = CONNECTIONS;
    }
    let all = variables(context.environment());
    let own = |name: &str| all(&format!("{BUCKET_VARIABLES}{name}"));
    let has_own = OWN_VARIABLES.iter().any(|name| own(name).is_some());
    let variables = |name: &str| if has_own { own(name) } else { all(name) };
    refuse_own_place(context, &address, &options, &variables)?;
    let client = Client::connect(address.clone(), &options, &variables, &limits(context), signals::flag());
    client.map_err(|error| unusable(&error))
}

/// What the variables of a bucket begin with that is not at the repository's own store.
const BUCKET_VARIABLES: &str = "KEEPSTONE_BUCKET_";
/// Any of these, so begun, says that none of the repository's store is meant: keys of one are not sent to the other.
const OWN_VARIABLES: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

/// A repository would be backed up into itself, or overwritten by what is restored from it.
fn refuse_own_place(
    context: &Context,
    address: &BucketAddress,
    options: &Options,
    variables: &dyn Variables,
) -> Result<(), Failure> {
    let Ok(Place::Url(repository)) = context.settings().repository() else { return Ok(()) };
    let given = context.settings().store_options.iter().map(|option| (&*option.key, &*option.value));
    let Ok(theirs) = Options::new(&repository, given) else { return Ok(()) };
    let all = self::variables(context.environment());
    let place = |options: &Options, variables: &dyn Variables| match address.kind {
        StoreKind::S3 => s3_setup(&address.bucket, options, variables).ok().and_then(|setup| setup.endpoint),
        StoreKind::Azblob => azblob_setup(options, variables).ok().map(|setup| setup.endpoint),
        StoreKind::Gcs => gcs_setup(options, variables).ok().and_then(|setup| setup.endpoint),
    };
    match address.meets(&repository) && place(options, variables) == place(&theirs, &all) {
        false => Ok(()),
        true => Err(Failure::usage(format!("{address} is where the repository is: it cannot be in itself"))
            .hint("name a prefix that the repository is not below, or keep the repository in another bucket")),
    }
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
