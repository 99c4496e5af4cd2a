//! Touches the world. From an address, options and the environment to a client of opendal's. The libraries below
//! look for profile files and instance roles themselves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use opendal::layers::RetryLayer;
use opendal::services::{Azblob, Gcs, S3, Sftp, Webdav};
use opendal::{HttpTransporter, OperationContext, Operator};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::super::limit::Limits;
use super::again::{FIRST_WAIT, LONGEST_WAIT};
use super::options::{self, KnownHosts, Options, Secret, Variables};
use super::transport::Transport;
use super::{Address, Bucket, Host};

/// The store cannot even be asked: something is missing, or makes no sense.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{0}")]
pub struct BadSetup(pub(crate) String);

impl From<options::BadOption> for BadSetup {
    fn from(error: options::BadOption) -> Self {
        BadSetup(error.to_string())
    }
}

/// Clients of one store.
pub(super) struct Clients {
    /// Tries again what may pass.
    pub(super) steady: Operator,
    /// Sends each request once.
    pub(super) once: Operator,
}

/// Makes the clients of the store at `address`. Nothing is sent yet.
pub(super) fn clients(
    address: &Address,
    options: &Options,
    variables: &dyn Variables,
    limits: &Limits,
) -> Result<Clients, BadSetup> {
    let client = http_client(options)?;
    let operator = match address {
        Address::S3(bucket) => s3(bucket, options, variables),
        Address::Azblob(bucket) => azblob(bucket, options, variables),
        Address::Gcs(bucket) => gcs(bucket, options, variables),
        Address::Sftp(host) => sftp(host, options),
        Address::Webdav { plain, host } => webdav(*plain, host, variables),
    }?;
    let transport = Transport {
        client,
        limits: limits.clone(),
        patience: options.timeout,
        reached: Arc::new(AtomicBool::new(false)),
    };
    let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
    let once = operator.with_context(context);
    let retry = RetryLayer::new()
        .with_jitter()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_factor(2.0)
        .with_max_times(options.retries)
        .with_notify(|event: opendal::layers::RetryEvent<'_>| {
            let wait_ms = event.retry_after.as_millis();
            tracing::info!("{} is tried again in {wait_ms} ms: {}", event.op, event.err.message());
        });
    let steady = match address {
        // Whole operations are tried again, by ourselves.
        Address::Sftp(_) => once.clone(),
        _ => once.clone().layer(retry),
    };
    Ok(Clients { steady, once })
}

/// No redirects: a signed request is good for one host. Proxies as the environment says.
fn http_client(options: &Options) -> Result<reqwest::Client, BadSetup> {
    // Another library in this process may have installed one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.timeout.min(Duration::from_secs(15)))
        .pool_max_idle_per_host(options.connections)
        .user_agent(concat!("keepstone/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = &options.ca {
        let authorities = authorities(file)?.into_iter().map(|der| reqwest::Certificate::from_der(&der));
        let authorities = authorities.collect::<Result<Vec<_>, _>>();
        builder = builder.tls_certs_merge(authorities.map_err(|error| BadSetup(error.to_string()))?);
    }
    builder.build().map_err(|error| BadSetup(format!("cannot make an HTTP client: {error}")))
}

/// The certificates in a file of the user's, as DER.
pub(crate) fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadSetup> {
    let bad = |why: String| BadSetup(format!("cannot take certificates from {}: {why}", file.display()));
    let found = CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| bad(error.to_string()))?;
    if found.is_empty() { Err(bad("there is none in it".into())) } else { Ok(found) }
}

/// How a bucket of an S3-compatible store is reached.
pub(crate) struct S3Setup {
    /// `https://host`, if it is not AWS's own.
    pub(crate) endpoint: Option<String>,
    /// What requests are signed for.
    pub(crate) region: String,
    /// Whether the bucket stands in the host's name.
    pub(crate) virtual_host: bool,
    /// Where keys come from.
    pub(crate) keys: S3Keys,
}

/// Where the keys to a bucket come from.
pub(crate) enum S3Keys {
    /// Nothing is signed.
    None,
    /// They are given.
    Given {
        /// Access key.
        id: Secret,
        /// Secret key.
        secret: Secret,
        /// Of keys that are good for a while.
        token: Option<Secret>,
    },
    /// A profile in the files of the AWS tools.
    Profile(String),
    /// Wherever the AWS tools look.
    Anywhere,
}

/// What options and the environment say about a bucket.
pub(crate) fn s3_setup(bucket: &str, options: &Options, variables: &dyn Variables) -> Result<S3Setup, BadSetup> {
    let endpoint = match &options.endpoint {
        Some(endpoint) => Some(endpoint.clone()),
        None => first(variables, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
            .map(|found| options::endpoint(found.reveal()))
            .transpose()?,
    };
    let region = options.region.clone().or_else(|| text(variables, &["AWS_REGION", "AWS_DEFAULT_REGION"]));
    let named = options.profile.clone().or_else(|| text(variables, &["AWS_PROFILE"]));
    let keys = (variables.find("AWS_ACCESS_KEY_ID"), variables.find("AWS_SECRET_ACCESS_KEY"));
    if let ((Some(_), _) | (_, Some(_)), Some(profile)) = (&keys, &options.profile) {
        // The library would take the keys, whoever they are of.
        let why = format!(
            "the option profile={profile} is given, and keys in the environment (AWS_ACCESS_KEY_ID) go before it; unset them"
        );
        return Err(BadSetup(why));
    }
    let keys = match (keys, named) {
        _ if options.unsigned => S3Keys::None,
        ((Some(id), Some(secret)), _) => S3Keys::Given { id, secret, token: variables.find("AWS_SESSION_TOKEN") },
        ((Some(_), None), _) => return Err(half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        ((None, Some(_)), _) => return Err(half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")),
        (_, Some(profile)) => S3Keys::Profile(profile),
        _ => S3Keys::Anywhere,
    };
    Ok(S3Setup {
        virtual_host: options.virtual_host.unwrap_or(endpoint.is_none() && !bucket.contains('.')),
        endpoint,
        // A store of one's own takes any region, or says which one it wants.
        region: region.unwrap_or_else(|| "us-east-1".into()),
        keys,
    })
}

fn s3(bucket: &Bucket, options: &Options, variables: &dyn Variables) -> Result<Operator, BadSetup> {
    let setup = s3_setup(&bucket.name, options, variables)?;
    let mut builder = S3::default().bucket(&bucket.name).root(&bucket.prefix).region(&setup.region);
    if let Some(endpoint) = &setup.endpoint {
        // No instance of a cloud has credentials for it.
        builder = builder.endpoint(endpoint).disable_ec2_metadata();
    }
    if setup.virtual_host {
        builder = builder.enable_virtual_host_style();
    }
    // Without TLS nobody else would notice a bit that flips on its way up; and AWS asks for it where objects are locked.
    let is_plain = setup.endpoint.as_ref().is_none_or(|endpoint| endpoint.starts_with("http://"));
    if options.checksum.unwrap_or(is_plain) {
        builder = builder.checksum_algorithm("crc32c");
    }
    builder = match &setup.keys {
        S3Keys::None => builder.skip_signature(),
        S3Keys::Given { id, secret, token } => {
            let builder = builder.access_key_id(id.reveal()).secret_access_key(secret.reveal());
            match token {
                Some(token) => builder.session_token(token.reveal()),
                None => builder,
            }
        }
        S3Keys::Profile(profile) => builder.profile(profile),
        S3Keys::Anywhere => builder,
    };
    if let Some(class) = &options.storage_class {
        builder = builder.default_storage_class(class);
    }
    operator(builder)
}

/// How a container of Azure's is reached.
pub(crate) struct AzblobSetup {
    /// `https://host`, and the account if it stands in the path.
    pub(crate) endpoint: String,
    /// The storage account.
    pub(crate) account: Option<String>,
    /// Its key.
    pub(crate) key: Option<Secret>,
    /// A token in place of the key.
    pub(crate) sas: Option<Secret>,
}

/// What options and the environment say about a container.
pub(crate) fn azblob_setup(options: &Options, variables: &dyn Variables) -> Result<AzblobSetup, BadSetup> {
    let account =
        options.account.clone().or_else(|| text(variables, &["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"]));
    let endpoint = match (&options.endpoint, &account) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Some(account)) => format!("https://{account}.blob.core.windows.net"),
        (None, None) => {
            return Err(BadSetup(
                "no storage account is named: give the option account=NAME, or set AZURE_STORAGE_ACCOUNT".into(),
            ));
        }
    };
    let key = first(variables, &["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"]);
    Ok(AzblobSetup { endpoint, account, key, sas: variables.find("AZURE_STORAGE_SAS_TOKEN") })
}

fn azblob(bucket: &Bucket, options: &Options, variables: &dyn Variables) -> Result<Operator, BadSetup> {
    let AzblobSetup { endpoint, account, key, sas } = azblob_setup(options, variables)?;
    let mut builder = Azblob::default().container(&bucket.name).root(&bucket.prefix).endpoint(&endpoint);
    if let Some(account) = &account {
        builder = builder.account_name(account);
    }
    if let Some(key) = key {
        builder = builder.account_key(key.reveal());
    }
    if let Some(token) = sas {
        builder = builder.sas_token(token.reveal());
    }
    operator(builder)
}

/// How a bucket of Google's is reached.
pub(crate) struct GcsSetup {
    /// `https://host`, if it is not Google's own.
    pub(crate) endpoint: Option<String>,
    /// A file of credentials.
    pub(crate) credentials: Option<String>,
    /// Nothing is signed.
    pub(crate) unsigned: bool,
}

/// What options and the environment say about a bucket of Google's.
pub(crate) fn gcs_setup(options: &Options, variables: &dyn Variables) -> Result<GcsSetup, BadSetup> {
    let emulator = text(variables, &["STORAGE_EMULATOR_HOST"]);
    let endpoint = options.endpoint.as_ref().or(emulator.as_ref()).map(|text| options::endpoint(text)).transpose()?;
    let unsigned = options.unsigned || (options.endpoint.is_none() && emulator.is_some());
    Ok(GcsSetup { endpoint, credentials: text(variables, &["GOOGLE_APPLICATION_CREDENTIALS"]), unsigned })
}

fn gcs(bucket: &Bucket, options: &Options, variables: &dyn Variables) -> Result<Operator, BadSetup> {
    let setup = gcs_setup(options, variables)?;
    let mut builder = Gcs::default().bucket(&bucket.name).root(&bucket.prefix);
    if let Some(endpoint) = &setup.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(file) = &setup.credentials {
        builder = builder.credential_path(file);
    }
    if setup.unsigned {
        builder = builder.skip_signature();
    }
    if let Some(class) = &options.storage_class {
        builder = builder.default_storage_class(class);
    }
    operator(builder)
}

fn sftp(host: &Host, options: &Options) -> Result<Operator, BadSetup> {
    let mut builder = Sftp::default().endpoint(&ssh_destination(host)).root(&host.path).known_hosts_strategy(
        match options.known_hosts {
            KnownHosts::Strict => "strict",
            KnownHosts::Add => "add",
        },
    );
    if let Some(user) = &host.user {
        builder = builder.user(user);
    }
    if let Some(key) = &options.key {
        let key = key.to_str().ok_or_else(|| BadSetup("the path of the SSH key is not UTF-8".into()))?;
        builder = builder.key(key);
    }
    operator(builder)
}

/// What the SSH client is told to connect to; it has names of its own in its configuration.
pub(super) fn ssh_destination(host: &Host) -> String {
    format!("ssh://{}", host.name)
}

fn webdav(plain: bool, host: &Host, variables: &dyn Variables) -> Result<Operator, BadSetup> {
    let scheme = if plain { "http" } else { "https" };
    let mut builder =
        Webdav::default().endpoint(&format!("{scheme}://{}", host.name)).root(&host.path).disable_create_dir(true);
    let user = host.user.clone().or_else(|| text(variables, &["KEEPSTONE_WEBDAV_USER"]));
    match (user, variables.find("KEEPSTONE_WEBDAV_PASSWORD")) {
        (Some(user), password) => {
            builder = builder.username(&user).password(password.as_ref().map_or("", Secret::reveal));
        }
        (None, Some(_)) => {
            return Err(BadSetup("KEEPSTONE_WEBDAV_PASSWORD is set, and no user: write webdav+https://USER@…".into()));
        }
        (None, None) => {}
    }
    if let Some(token) = variables.find("KEEPSTONE_WEBDAV_TOKEN") {
        builder = builder.token(token.reveal());
    }
    operator(builder)
}

fn operator(builder: impl opendal::Builder) -> Result<Operator, BadSetup> {
    // Its message names no value, only what is wrong with one.
    Operator::new(builder).map_err(|error| BadSetup(error.message().to_owned()))
}

fn first(variables: &dyn Variables, names: &[&str]) -> Option<Secret> {
    names.iter().find_map(|name| variables.find(name))
}

fn text(variables: &dyn Variables, names: &[&str]) -> Option<String> {
    first(variables, names).map(|found| found.reveal().to_owned())
}

fn half(there: &str, missing: &str) -> BadSetup {
    BadSetup(format!("{there} is set, and {missing} is not"))
}
