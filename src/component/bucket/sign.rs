//! Touches the world. How requests are signed, and where credentials come from: files, instances and identity services, as
//! the libraries below know them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use reqsign_core::{Context, HttpSend, OsEnv, ProvideCredentialChain, Signer};
use reqsign_file_read_tokio::TokioFileRead;

use super::error::BucketError;
use super::http::Http;
use crate::storage::remote::{AzblobSetup, GcsSetup, S3Keys, S3Setup};

/// Of an answer that holds credentials, no more than this is read.
const ANSWER_MAX: usize = 1 << 20;
/// What Azure's requests say they are; `2021-08-06` lists keys that XML cannot say.
const AZURE_VERSION: HeaderValue = HeaderValue::from_static("2021-08-06");

/// How requests to a bucket are signed.
pub(super) enum Signing {
    /// Not at all.
    None,
    /// As S3 wants it.
    Aws(Signer<reqsign_aws_v4::Credential>),
    /// As Azure wants it.
    Azure(Signer<reqsign_azure_storage::Credential>),
    /// As Google wants it.
    Google(Signer<reqsign_google::Credential>),
}

/// Keys in the environment are taken by whoever knows which of them are meant: those of a repository are not sent to
/// a bucket elsewhere (`no_env`).
impl Signing {
    /// Signs a request.
    pub(super) async fn sign(&self, parts: &mut Parts) -> Result<(), BucketError> {
        let signed = match self {
            Signing::None => Ok(()),
            Signing::Aws(signer) => signer.sign(parts, None).await,
            Signing::Azure(signer) => {
                parts.headers.insert("x-ms-version", AZURE_VERSION);
                signer.sign(parts, None).await
            }
            Signing::Google(signer) => {
                // Otherwise what is stored compressed comes unpacked.
                parts.headers.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
                signer.sign(parts, None).await
            }
        };
        signed.map_err(|error| unsigned(&error))
    }

    /// For a bucket of an S3-compatible store.
    pub(super) fn s3(setup: &S3Setup, http: &Arc<Http>) -> Signing {
        use reqsign_aws_v4::{DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
        let chain = ProvideCredentialChain::new();
        let chain = match &setup.keys {
            S3Keys::None => return Signing::None,
            S3Keys::Given { id, secret, token } => {
                let given = StaticCredentialProvider::new(id.reveal(), secret.reveal());
                chain.push(match token {
                    Some(token) => given.with_session_token(token.reveal()),
                    None => given,
                })
            }
            S3Keys::Profile(profile) => {
                chain.push(DefaultCredentialProvider::builder().no_env().with_profile(profile).build())
            }
            S3Keys::Anywhere if setup.endpoint.is_some() => {
                // No instance of a cloud has credentials for it.
                chain.push(DefaultCredentialProvider::builder().no_env().no_imds().build())
            }
            S3Keys::Anywhere => chain.push(DefaultCredentialProvider::builder().no_env().build()),
        };
        Signing::Aws(Signer::new(context(http), chain, RequestSigner::new("s3", &setup.region)))
    }

    /// For a container of Azure's.
    pub(super) fn azblob(setup: &AzblobSetup, http: &Arc<Http>) -> Signing {
        use reqsign_azure_storage::{DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
        let chain = ProvideCredentialChain::new();
        let chain = match (&setup.sas, &setup.account, &setup.key) {
            (Some(sas), ..) => chain.push(StaticCredentialProvider::new_sas_token(sas.reveal())),
            (None, Some(account), Some(key)) => {
                chain.push(StaticCredentialProvider::new_shared_key(account, key.reveal()))
            }
            _ => chain.push(DefaultCredentialProvider::builder().no_env().build()),
        };
        Signing::Azure(Signer::new(context(http), chain, RequestSigner::new()))
    }

    /// For a bucket of Google's.
    pub(super) fn gcs(setup: &GcsSetup, http: &Arc<Http>) -> Signing {
        use reqsign_google::{DefaultCredentialProvider, FileCredentialProvider, RequestSigner};
        if setup.unsigned {
            return Signing::None;
        }
        let chain = ProvideCredentialChain::new();
        let chain = match &setup.credentials {
            Some(file) => chain.push(FileCredentialProvider::new(file).with_scope(GOOGLE_SCOPE)),
            None => chain.push(DefaultCredentialProvider::builder().no_env().build()),
        };
        Signing::Google(Signer::new(context(http), chain, RequestSigner::new("storage").with_scope(GOOGLE_SCOPE)))
    }
}

/// What credentials from a file are asked to be good for.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";

fn context(http: &Arc<Http>) -> Context {
    let identity = Identity(Arc::clone(http));
    Context::new().with_file_read(TokioFileRead).with_env(OsEnv).with_http_send(identity)
}

/// What the signer says of itself is for the log: it may say more than people should read.
fn unsigned(error: &reqsign_core::Error) -> BucketError {
    tracing::debug!("cannot sign a request: {error:?}");
    let none = "no credentials were found for it, or they are no longer valid; set them in the environment, or in the files of its own tools";
    BucketError::Setup(none.into())
}

/// Asks instances and identity services for credentials.
struct Identity(Arc<Http>);

impl HttpSend for Identity {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let answer = self.0.send(request, ANSWER_MAX).await;
        let answer = answer.map_err(|trouble| reqsign_core::Error::unexpected(trouble.to_string()))?;
        let mut response = Response::new(answer.body);
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
        Ok(response)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
