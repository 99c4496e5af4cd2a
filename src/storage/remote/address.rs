//! Where a repository is that is no directory: `s3://bucket/prefix` and its kind, as values.

use std::fmt;

/// The address of a place that is reached over a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A bucket of an S3-compatible store.
    S3(Bucket),
    /// A container of Azure Blob Storage.
    Azblob(Bucket),
    /// A bucket of Google Cloud Storage.
    Gcs(Bucket),
    /// A directory behind an SSH server.
    Sftp(Host),
    /// A collection of a WebDAV server.
    Webdav {
        /// Whether it is spoken to without TLS.
        plain: bool,
        /// The server, and the path on it.
        host: Host,
    },
}

/// A bucket or container, and what the names of all our objects in it begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub prefix: String,
}

/// A server, and a directory on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// As whom; the client's own default if nobody is named.
    pub user: Option<String>,
    /// `host` or `host:port`.
    pub name: String,
    /// Without slashes at its ends.
    pub path: String,
}

/// What was offered is no address.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{0}")]
pub struct BadAddress(String);

impl Address {
    /// The schemes there are.
    pub const SCHEMES: [&'static str; 6] = ["s3", "azblob", "gs", "sftp", "webdav+https", "webdav+http"];

    /// Understands what stands before and after `://`.
    pub fn new(scheme: &str, rest: &str) -> Result<Self, BadAddress> {
        match scheme {
            "s3" => Ok(Address::S3(bucket(rest, "s3://bucket/prefix")?)),
            "azblob" => Ok(Address::Azblob(bucket(rest, "azblob://container/prefix")?)),
            "gs" => Ok(Address::Gcs(bucket(rest, "gs://bucket/prefix")?)),
            "sftp" => Ok(Address::Sftp(host(rest, "sftp://user@host:port/path")?)),
            "webdav+https" => Ok(Address::Webdav { plain: false, host: host(rest, "webdav+https://host/path")? }),
            "webdav+http" => Ok(Address::Webdav { plain: true, host: host(rest, "webdav+http://host/path")? }),
            _ => Err(BadAddress(format!("{scheme}:// is no kind of store that is known"))),
        }
    }

    /// What a store of this kind calls the permission to do `verb`: `get`, `put`, `delete` or `list`.
    pub(super) fn permission(&self, verb: &str) -> Option<&'static str> {
        let [s3, azure, google] = match verb {
            "get" => ["s3:GetObject, and s3:ListBucket where it is not there", "read (r)", "storage.objects.get"],
            "put" => [
                "s3:PutObject",
                "create (c), and write (w) to replace",
                "storage.objects.create, and delete to replace",
            ],
            "delete" => ["s3:DeleteObject", "delete (d)", "storage.objects.delete"],
            "list" => ["s3:ListBucket", "list (l)", "storage.objects.list"],
            _ => return None,
        };
        match self {
            Address::S3(_) => Some(s3),
            Address::Azblob(_) => Some(azure),
            Address::Gcs(_) => Some(google),
            Address::Sftp(_) | Address::Webdav { .. } => None,
        }
    }

    /// What stands before `://`.
    pub fn scheme(&self) -> &'static str {
        match self {
            Address::S3(_) => "s3",
            Address::Azblob(_) => "azblob",
            Address::Gcs(_) => "gs",
            Address::Sftp(_) => "sftp",
            Address::Webdav { plain: false, .. } => "webdav+https",
            Address::Webdav { plain: true, .. } => "webdav+http",
        }
    }
}

fn bucket(rest: &str, form: &str) -> Result<Bucket, BadAddress> {
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'$');
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(BadAddress(format!("a bucket is named by letters, digits, '.', '_' and '-'; expected {form}")));
    }
    Ok(Bucket { name: name.to_owned(), prefix: path(prefix, form)? })
}

fn host(rest: &str, form: &str) -> Result<Host, BadAddress> {
    let (authority, below) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, name) = match authority.rsplit_once('@') {
        Some((user, name)) => (Some(user), name),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        // Everybody on this machine can read the command line.
        return Err(BadAddress(format!("a password cannot stand in an address; expected {form}")));
    }
    let foreign = |char: char| char.is_whitespace() || char.is_control() || matches!(char, '?' | '#' | '\\');
    let is_option = |word: &str| word.starts_with('-');
    if name.is_empty() || authority.contains(foreign) || is_option(authority) || is_option(name) {
        return Err(BadAddress(format!("expected {form}")));
    }
    let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
    Ok(Host { user, name: name.to_owned(), path: path(below, form)? })
}

/// What every store keeps apart: opendal folds empty segments, and servers fold dots.
fn path(text: &str, form: &str) -> Result<String, BadAddress> {
    let text = text.trim_matches('/');
    let odd = |segment: &str| matches!(segment, "" | "." | "..") || segment.trim() != segment;
    if !text.is_empty() && (text.split('/').any(odd) || text.contains(char::is_control)) {
        return Err(BadAddress(format!(
            "a path has no part that is empty, '.' or '..', or begins or ends with a space; expected {form}"
        )));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        let path = match self {
            Address::S3(bucket) | Address::Azblob(bucket) | Address::Gcs(bucket) => {
                f.write_str(&bucket.name)?;
                &bucket.prefix
            }
            Address::Sftp(host) | Address::Webdav { host, .. } => {
                if let Some(user) = &host.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&host.name)?;
                &host.path
            }
        };
        if path.is_empty() { Ok(()) } else { write!(f, "/{path}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, BadAddress> {
        let (scheme, rest) = text.split_once("://").unwrap();
        Address::new(scheme, rest)
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        let texts = [
            "s3://bucket",
            "s3://bucket/a/b",
            "azblob://container/x",
            "gs://bucket/y",
            "sftp://me@host:2222/srv/backup",
            "sftp://host/srv",
            "webdav+https://cloud.example/remote.php/dav",
            "webdav+http://127.0.0.1:8080/dav",
        ];
        assert_eq!(texts.map(|text| parse(text).unwrap().to_string()), texts);
        assert_eq!(parse("s3://bucket/a/").unwrap(), parse("s3://bucket/a").unwrap());
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let bad = [
            "s3:///prefix",
            "s3://bu cket",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "sftp://me:secret@host/srv",
            "sftp://-oProxyCommand=x/srv",
            "sftp://me@-oProxyCommand=x/srv",
            "webdav+https://",
            "webdav+https://host/a?b=c/../d",
            "ftp://host",
        ];
        for text in bad {
            let error = parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
