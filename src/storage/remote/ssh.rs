//! Touches the world. What opendal's SFTP leaves out: a file that was written is only durable when the server
//! has synced it.

use std::num::NonZeroUsize;

use opendal::{Error, ErrorKind};
use openssh::{ControlPersist, KnownHosts as SshKnownHosts, SessionBuilder};
use openssh_sftp_client::{Error as SftpError, Sftp, SftpOptions};
use tokio::sync::Mutex;

use super::connect::ssh_destination;
use super::{Host, KnownHosts, Opendal, Options};

/// A connection that nobody uses any more ends after so many seconds.
const IDLE_S: NonZeroUsize = NonZeroUsize::new(60).expect("it is not zero");

/// Syncs files on an SFTP server, over a connection of its own.
pub(super) struct Syncer {
    destination: String,
    root: String,
    builder: SessionBuilder,
    connection: Mutex<Option<Sftp>>,
}

impl Syncer {
    pub(super) fn new(host: &Host, options: &Options) -> Self {
        let mut builder = SessionBuilder::default();
        if let Some(user) = &host.user {
            builder.user(user.clone());
        }
        if let Some(key) = &options.key {
            builder.keyfile(key);
        }
        // If this process is killed, what it leaves running ends a while after.
        builder.control_persist(ControlPersist::IdleFor(IDLE_S));
        builder.connect_timeout(options.timeout).known_hosts_check(match options.known_hosts {
            KnownHosts::Strict => SshKnownHosts::Strict,
            KnownHosts::Add => SshKnownHosts::Add,
        });
        let root = format!("/{}", host.path);
        Syncer { destination: ssh_destination(host), root, builder, connection: Mutex::new(None) }
    }

    /// Where it connects to.
    pub(super) fn destination(&self) -> &str {
        &self.destination
    }

    /// Returns when the file's bytes are on the server's medium. A server that cannot say so is taken at its word
    /// that what was closed is kept.
    pub(super) async fn sync(&self, path: &str) -> Opendal<()> {
        let mut connection = self.connection.lock().await;
        let sftp = match connection.take() {
            Some(sftp) => sftp,
            None => self.connect().await?,
        };
        let synced = sync_file(&sftp, &format!("{}/{path}", self.root)).await;
        if matches!(synced, Ok(()) | Err(SftpError::UnsupportedExtension(_) | SftpError::SftpError(..))) {
            *connection = Some(sftp);
        }
        match synced {
            Err(SftpError::UnsupportedExtension(_)) => {
                tracing::debug!("{} cannot be asked to sync files", self.destination);
                Ok(())
            }
            synced => synced.map_err(|error| failed(&error)),
        }
    }

    async fn connect(&self) -> Opendal<Sftp> {
        let session = self.builder.connect(&self.destination).await.map_err(|error| failed(&error))?;
        Sftp::from_session(session, SftpOptions::default()).await.map_err(|error| failed(&error))
    }
}

async fn sync_file(sftp: &Sftp, path: &str) -> Result<(), SftpError> {
    let mut file = sftp.options().write(true).open(path).await?;
    file.sync_all().await?;
    file.close().await
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the file could not be synced: {error}")).set_temporary()
}
