//! Touches the world: the clock. What went wrong with a store behind a network, in one line: which store, what was tried, what to do. What
//! libraries say of themselves is for the log.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::SystemTime;

use opendal::{Error, ErrorKind};

use super::super::StoreError;

/// Why a request was not answered as it should be. Travels inside opendal's error as its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection came about.
    Unreachable {
        /// Host and port.
        host: String,
        /// In a few words.
        why: String,
        /// Whether it was reached before: if not, a wrong address is likelier than a server that restarts.
        reached_before: bool,
    },
    /// There is a server, and it is not proven to be the right one.
    BadCertificate {
        /// Host and port.
        host: String,
        /// In a few words.
        why: String,
    },
    /// For so long, nothing has moved.
    Stalled {
        /// Host and port.
        host: String,
        /// Seconds.
        after_s: u64,
    },
    /// The connection broke.
    Broken {
        /// Host and port.
        host: String,
        /// In a few words.
        why: String,
    },
    /// The server answered, and refused.
    Refused(Refusal),
}

/// A server's answer that is not what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Host and port.
    pub host: String,
    /// The status line's number.
    pub status: u16,
    /// What the store calls it: `NoSuchBucket`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// The region that the store says is right.
    pub region: Option<String>,
    /// How far our clock is ahead of the server's, in seconds.
    pub ahead_s: Option<i64>,
}

/// Signatures are good for fifteen minutes; a clock that is five off is worth a word.
const SKEW_S: i64 = 300;

impl Trouble {
    /// Whether the same request may do better in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Trouble::Unreachable { reached_before, .. } => *reached_before,
            Trouble::Stalled { .. } | Trouble::Broken { .. } => true,
            Trouble::BadCertificate { .. } => false,
            Trouble::Refused(refusal) => refusal.may_pass(),
        }
    }

    fn is_denial(&self) -> bool {
        matches!(self, Trouble::Refused(refusal) if matches!(refusal.status, 401 | 403))
    }

    /// Whether it is known who asks, and he may not.
    fn is_about_permissions(&self) -> bool {
        matches!(self, Trouble::Refused(refusal) if refusal.is_about_permissions())
    }

    /// As opendal hands it on.
    pub(super) fn into_error(self) -> Error {
        let kind = if self.is_denial() { ErrorKind::PermissionDenied } else { ErrorKind::Unexpected };
        let may_pass = self.may_pass();
        Error::new(kind, self.to_string()).with_temporary(may_pass).set_source(self)
    }

    /// The trouble inside an error of opendal's, however deep.
    fn within(error: &Error) -> Option<&Trouble> {
        let mut source = StdError::source(error);
        while let Some(inner) = source {
            if let Some(trouble) = inner.downcast_ref::<Trouble>() {
                return Some(trouble);
            }
            source = match inner.downcast_ref::<Error>() {
                Some(nested) => StdError::source(nested),
                None => inner.source(),
            };
        }
        None
    }
}

impl Refusal {
    /// What an answer that refuses says: its status, its headers, and as much as was read of its body.
    pub(crate) fn new(host: String, status: http::StatusCode, headers: &http::HeaderMap, text: &str) -> Refusal {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let code = between(text, "<Code>", "</Code>").or_else(|| header("x-ms-error-code")).unwrap_or_default();
        let no_bucket = matches!(&*code, "NoSuchBucket" | "ContainerNotFound")
            || (status == 404 && text.contains("specified bucket does not exist"));
        let about_region = matches!(status.as_u16(), 301 | 307) || code == "AuthorizationHeaderMalformed";
        let region = between(text, "<Region>", "</Region>").or_else(|| header("x-amz-bucket-region"));
        Refusal {
            host,
            status: status.as_u16(),
            message: between(text, "<Message>", "</Message>").unwrap_or_default(),
            code: if no_bucket { "NoSuchBucket".into() } else { code },
            region: region.filter(|_| about_region),
            ahead_s: header("date").and_then(|date| ahead_of(&date, SystemTime::now())),
        }
    }

    /// Whether it is the bucket that is not there.
    pub(crate) fn is_no_bucket(&self) -> bool {
        self.code == "NoSuchBucket"
    }

    fn may_pass(&self) -> bool {
        let passing = [
            "SlowDown",
            "RequestTimeout",
            "InternalError",
            "ServiceUnavailable",
            "ServerBusy",
            // Other bytes arrived than were sent.
            "BadDigest",
            "XAmzContentChecksumMismatch",
            "XMinioContentChecksumMismatch",
        ];
        matches!(self.status, 408 | 429 | 499 | 500 | 502 | 503 | 504) || passing.contains(&&*self.code)
    }

    fn is_about_permissions(&self) -> bool {
        let names_another_reason = matches!(
            &*self.code,
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthenticationFailed" | "ExpiredToken" | "InvalidToken"
        );
        self.status == 403 && !names_another_reason && self.is_skewed().is_none() && self.region.is_none()
    }

    fn is_skewed(&self) -> Option<i64> {
        let about_time = matches!(&*self.code, "RequestTimeTooSkewed" | "RequestExpired");
        self.ahead_s.filter(|ahead| about_time || (matches!(self.status, 400 | 401 | 403) && ahead.abs() > SKEW_S))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable { host, why, .. } => {
                write!(f, "{host} cannot be reached ({why}); is the address right, and does the server run?")
            }
            Trouble::BadCertificate { host, why } => write!(
                f,
                "the certificate of {host} is not to be trusted ({why}); if it is right, give the file of who signed it: -o ca=FILE"
            ),
            Trouble::Stalled { host, after_s } => {
                write!(f, "{host} took and gave nothing for {after_s} s; -o timeout=SECONDS waits longer")
            }
            Trouble::Broken { host, why } => write!(f, "the connection to {host} broke ({why})"),
            Trouble::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        if let Some(ahead) = self.is_skewed() {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            return write!(f, "the clock of this machine is {} s {side} that of {host}; set it right", ahead.abs());
        }
        if let Some(region) = &self.region {
            return write!(f, "the bucket is in another region; use -o region={region}");
        }
        match (&*self.code, self.status) {
            ("NoSuchBucket" | "ContainerNotFound", _) => {
                write!(f, "there is no such bucket at {host}; make it first, or look at how it is spelt")
            }
            ("InvalidAccessKeyId", _) => write!(f, "{host} does not know the access key; look at the credentials"),
            ("SignatureDoesNotMatch" | "AuthenticationFailed", _) => {
                write!(f, "the secret key is not the one {host} knows; look at the credentials")
            }
            ("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken", _) => {
                write!(f, "the credentials have expired or are no longer valid at {host}; get new ones")
            }
            (_, 401) => write!(f, "{host} asks for other credentials{}", self.told()),
            (_, 403) => write!(f, "{host} denies access{}; look at the credentials and what they allow", self.told()),
            (_, 507) => write!(f, "{host} has no room left{}", self.told()),
            (_, 429 | 503) => write!(f, "{host} is overloaded{}", self.told()),
            (_, status) => write!(f, "{host} answered {status}{}", self.told()),
        }
    }
}

impl Refusal {
    /// What the server calls it, in brackets.
    fn told(&self) -> String {
        let words = if self.code.is_empty() { &self.message } else { &self.code };
        let words: String = words.chars().filter(|char| !char.is_control()).take(120).collect();
        if words.trim().is_empty() { String::new() } else { format!(" ({})", words.trim()) }
    }
}

impl StdError for Trouble {}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    Some(found.chars().take(200).collect())
}

/// How many seconds `now` is ahead of a date in an answer.
fn ahead_of(date: &str, now: SystemTime) -> Option<i64> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let ours = jiff::Timestamp::try_from(now).ok()?;
    Some(ours.as_second() - theirs.as_second())
}

/// Whether this error came about on the way to the store, or is the store's refusal.
pub(super) fn is_noted(error: &Error) -> bool {
    Trouble::within(error).is_some()
}

/// What the layers above are told. `attempted` is verb, object and place; `takes` the permission for it, as the store
/// calls it.
pub(super) fn store_error(attempted: String, takes: Option<&str>, error: &Error) -> StoreError {
    tracing::debug!("cannot {attempted}: {error:?}");
    let trouble = Trouble::within(error);
    let mut words = trouble.map_or_else(|| plain(error), Trouble::to_string);
    if let Some(takes) = takes.filter(|_| trouble.is_some_and(Trouble::is_about_permissions)) {
        words.push_str(&format!("; this takes {takes}"));
    }
    if error.is_persistent() && trouble.is_some_and(Trouble::may_pass) {
        words.push_str("; it was tried several times");
    }
    let kind = match (trouble, error.kind()) {
        (Some(Trouble::Refused(Refusal { status: 507, .. })), _) => io::ErrorKind::StorageFull,
        (_, ErrorKind::PermissionDenied) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    StoreError::from_io(attempted, io::Error::new(kind, words))
}

/// Where no trouble was noted: what can be said without the library's own story.
fn plain(error: &Error) -> String {
    let mut deepest: Option<String> = None;
    let mut source = StdError::source(error);
    while let Some(inner) = source {
        deepest = Some(inner.to_string());
        source = inner.source();
    }
    if [error.message(), deepest.as_deref().unwrap_or_default()].iter().any(|text| text.contains("credential")) {
        return "no credentials were found for it; set them in the environment, or in the files of its own tools"
            .into();
    }
    let message = deepest.filter(|text| !text.is_empty()).unwrap_or_else(|| error.message().to_owned());
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
    line.trim().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refusal(status: u16, code: &str) -> Refusal {
        Refusal { host: "minio:9000".into(), status, code: code.into(), ..Refusal::default() }
    }

    #[test]
    fn each_refusal_is_a_line_that_says_what_to_do() {
        let cases = [
            (refusal(404, "NoSuchBucket"), "no such bucket"),
            (refusal(403, "AccessDenied"), "denies access (AccessDenied)"),
            (refusal(403, "SignatureDoesNotMatch"), "secret key"),
            (refusal(403, "InvalidAccessKeyId"), "access key"),
            (refusal(400, "ExpiredToken"), "expired"),
            (Refusal { region: Some("eu-west-1".into()), ..refusal(301, "PermanentRedirect") }, "-o region=eu-west-1"),
            (Refusal { ahead_s: Some(7200), ..refusal(403, "AccessDenied") }, "7200 s ahead"),
            (Refusal { ahead_s: Some(-7200), ..refusal(403, "RequestTimeTooSkewed") }, "7200 s behind"),
        ];
        for (refusal, words) in cases {
            let line = refusal.to_string();
            assert!(line.contains(words) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, code) in
            [(503, "SlowDown"), (429, ""), (500, "InternalError"), (400, "RequestTimeout"), (400, "BadDigest")]
        {
            assert!(refusal(status, code).may_pass(), "{status} {code}");
        }
        for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket"), (400, "ExpiredToken"), (507, "")] {
            assert!(!refusal(status, code).may_pass(), "{status} {code}");
        }
        let host = || "minio:9000".to_owned();
        assert!(Trouble::Broken { host: host(), why: String::new() }.may_pass());
        assert!(!Trouble::BadCertificate { host: host(), why: String::new() }.may_pass());
    }

    #[test]
    fn trouble_comes_through_the_library_as_it_is() {
        let trouble = Trouble::Refused(refusal(403, "AccessDenied"));
        let wrapped = Error::new(ErrorKind::Unexpected, "outer").set_source(trouble.clone().into_error());
        assert_eq!(Trouble::within(&wrapped), Some(&trouble));
        let error = store_error("get config in s3://b".into(), Some("s3:GetObject"), &trouble.into_error());
        assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
        let line = "cannot get config in s3://b: minio:9000 denies access (AccessDenied); look at the credentials and what they allow; this takes s3:GetObject";
        assert_eq!(error.to_string(), line);
    }

    #[test]
    fn clocks_are_compared_by_the_date_of_an_answer() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 + 60);
        assert_eq!(ahead_of("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(60));
        assert_eq!(ahead_of("yesterday", now), None);
    }

    #[test]
    fn what_stands_between_is_found_or_not() {
        assert_eq!(between("<Error><Code>SlowDown</Code>", "<Code>", "</Code>").unwrap(), "SlowDown");
        assert_eq!(between("<Code>SlowDown", "<Code>", "</Code>"), None);
    }
}
