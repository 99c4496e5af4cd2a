//! What `-o key=value` and the environment say about a store, as values. An option that the store does not
//! know is an error: a misspelt one would otherwise be a backup in the wrong place.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Address;

/// How a store is reached.
#[derive(Debug)]
pub struct Options {
    /// Where it is, if not where its kind usually is.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// Whether the bucket stands in the host's name; `None`: as the store is wont to.
    pub virtual_host: Option<bool>,
    /// The profile in the files of the AWS tools.
    pub profile: Option<String>,
    /// The class that new objects are stored in.
    pub storage_class: Option<String>,
    /// Whether what is sent bears a checksum that the store compares; `None`: where nothing else would notice, or it
    /// may be asked for.
    pub checksum: Option<bool>,
    /// Requests are not signed: a store that asks for no credentials.
    pub unsigned: bool,
    /// The storage account.
    pub account: Option<String>,
    /// The private key of an SSH client.
    pub key: Option<PathBuf>,
    /// What an SSH client does about a host it does not know.
    pub known_hosts: KnownHosts,
    /// A file of certificates that are trusted beside the system's.
    pub ca: Option<PathBuf>,
    /// A transfer in which nothing has moved for so long is cut.
    pub timeout: Duration,
    /// Requests at a time.
    pub connections: usize,
    /// How often what may pass is tried again.
    pub retries: usize,
}

/// What is done about a host whose key is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownHosts {
    /// It is refused.
    Strict,
    /// It is trusted from now on; one whose key has changed is refused.
    Add,
}

/// An option makes no sense for this store.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{0}")]
pub struct BadOption(String);

const EVERYWHERE: [&str; 3] = ["connections", "retries", "timeout"];

/// The options that stores of this kind know.
fn known(address: &Address) -> Vec<&'static str> {
    let own: &[&str] = match address {
        Address::S3(_) => {
            &["ca", "checksum", "endpoint", "profile", "region", "storage-class", "unsigned", "virtual-host"]
        }
        Address::Azblob(_) => &["account", "ca", "endpoint"],
        Address::Gcs(_) => &["ca", "endpoint", "storage-class", "unsigned"],
        Address::Sftp(_) => &["key", "known-hosts"],
        Address::Webdav { .. } => &["ca"],
    };
    let mut known = [own, &EVERYWHERE].concat();
    known.sort_unstable();
    known
}

impl Options {
    /// What these say about the store at `address`.
    pub fn new<'a>(
        address: &Address,
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Options, BadOption> {
        let known = known(address);
        let mut options = Options::default();
        for (key, value) in given {
            if !known.contains(&key) {
                let (scheme, known) = (address.scheme(), known.join(", "));
                return Err(BadOption(format!("a store at {scheme}:// has no option '{key}'; it has {known}")));
            }
            options.set(key, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BadOption> {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match key {
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "region" => self.region = text(),
            "virtual-host" => self.virtual_host = Some(yes_or_no(key, value)?),
            "profile" => self.profile = text(),
            "storage-class" => self.storage_class = text(),
            "checksum" => self.checksum = Some(yes_or_no(key, value)?),
            "unsigned" => self.unsigned = yes_or_no(key, value)?,
            "account" => self.account = text(),
            "key" => self.key = text().map(PathBuf::from),
            "known-hosts" => self.known_hosts = known_hosts(value)?,
            "ca" => self.ca = text().map(PathBuf::from),
            "timeout" => self.timeout = Duration::from_secs(number(key, value, 1, 3600)?),
            "connections" => self.connections = number(key, value, 1, 64)? as usize,
            "retries" => self.retries = number(key, value, 0, 100)? as usize,
            _ => return Err(BadOption(format!("there is no option '{key}'"))),
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            endpoint: None,
            region: None,
            virtual_host: None,
            profile: None,
            storage_class: None,
            checksum: None,
            unsigned: false,
            account: None,
            key: None,
            known_hosts: KnownHosts::Strict,
            ca: None,
            timeout: Duration::from_secs(60),
            connections: 8,
            retries: 7,
        }
    }
}

/// An address that begins with `http://` or `https://`; a bare host is spoken to with TLS.
pub fn endpoint(text: &str) -> Result<String, BadOption> {
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        // A password in it would be shown in messages.
        Some(host) if !host.is_empty() && !host.contains(['@', ' ', '?', '#']) => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(BadOption("an endpoint is http://host:port or https://host:port, without a password in it".into())),
    }
}

fn yes_or_no(key: &str, value: &str) -> Result<bool, BadOption> {
    match value {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(BadOption(format!("invalid value '{value}' for option '{key}': expected yes or no"))),
    }
}

fn known_hosts(value: &str) -> Result<KnownHosts, BadOption> {
    match value {
        "strict" => Ok(KnownHosts::Strict),
        "add" => Ok(KnownHosts::Add),
        _ => Err(BadOption(format!("invalid value '{value}' for option 'known-hosts': expected strict or add"))),
    }
}

fn number(key: &str, value: &str, min: u64, max: u64) -> Result<u64, BadOption> {
    let bad = || BadOption(format!("invalid value '{value}' for option '{key}': expected {min} to {max}"));
    let number = value.parse().map_err(|_| bad())?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(bad()) }
}

/// Where credentials and addresses are looked up: the environment, by name. They are asked for when a store is
/// opened, and nothing that is found is shown by `Debug` or in a message.
pub trait Variables {
    /// The value of a variable that is set and not empty.
    fn find(&self, name: &str) -> Option<Secret>;
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn find(&self, name: &str) -> Option<Secret> {
        self(name).filter(|value| !value.is_empty()).map(Secret::new)
    }
}

/// A text that is never shown, and wiped when it is no longer used.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3() -> Address {
        Address::new("s3", "bucket").unwrap()
    }

    #[test]
    fn an_option_that_the_store_does_not_know_is_refused_with_those_it_knows() {
        let error = Options::new(&s3(), [("endpiont", "x")]).unwrap_err().to_string();
        assert!(error.contains("'endpiont'") && error.contains("endpoint, profile, region"), "{error}");
        assert!(Options::new(&s3(), [("key", "/id")]).is_err());
        let sftp = Address::new("sftp", "host/srv").unwrap();
        assert_eq!(Options::new(&sftp, [("key", "/id")]).unwrap().key, Some("/id".into()));
    }

    #[test]
    fn values_are_understood_or_refused() {
        let set = |key, value| Options::new(&s3(), [(key, value)]);
        assert_eq!(set("endpoint", "minio:9000").unwrap().endpoint.unwrap(), "https://minio:9000");
        assert_eq!(set("endpoint", "http://minio:9000/").unwrap().endpoint.unwrap(), "http://minio:9000");
        assert_eq!(set("timeout", "5").unwrap().timeout, Duration::from_secs(5));
        assert_eq!(set("virtual-host", "yes").unwrap().virtual_host, Some(true));
        let bad = [("endpoint", "ftp://x"), ("endpoint", "http://a:b@c"), ("timeout", "0"), ("connections", "many")];
        for (key, value) in bad {
            assert!(set(key, value).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hush".into())), "(redacted)");
    }
}
