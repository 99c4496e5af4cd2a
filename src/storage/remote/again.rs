//! Touches the world. Trying again, and giving up on what hangs, where opendal does neither as it should.

use std::time::Duration;

use opendal::{Error, ErrorKind};

use super::trouble::Trouble;
use super::{Opendal, Publish, Shared};

/// Retries begin this long after a failure, and wait twice as long each time, give or take.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(300);
/// No retry waits longer than this.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Shared {
    /// Does `work` until it is done, or until what it met will not pass.
    pub(super) async fn again<T>(&self, work: impl AsyncFn() -> Opendal<T>) -> Opendal<T> {
        let mut tried = 0;
        loop {
            match work().await {
                Err(error) if error.is_temporary() && tried < self.retries => {
                    tracing::info!("it is tried again: {}", error.message());
                    tokio::time::sleep(wait(tried)).await;
                    tried += 1;
                }
                Err(error) if tried > 0 => return Err(error.set_persistent()),
                done => return done,
            }
        }
    }

    /// One step of a transfer. HTTP has its own patience; an SSH client has none.
    pub(super) async fn patiently<T>(&self, step: impl Future<Output = Opendal<T>>) -> Opendal<T> {
        match &self.publish {
            Publish::Renamed(syncer) => match tokio::time::timeout(self.patience, step).await {
                Ok(done) => done,
                Err(_) => {
                    let host = syncer.destination().to_owned();
                    Err(Trouble::Stalled { host, after_s: self.patience.as_secs() }.into_error())
                }
            },
            Publish::Whole | Publish::WholeInDirectory => step.await,
        }
    }
}

/// Doubles, up to a bound, and is longer at random, so that many clients do not come back at once.
pub(crate) fn wait(tried: usize) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << tried.min(10)).min(LONGEST_WAIT);
    let mut chance = [0];
    // Without chance it is only less well spread.
    let _ = getrandom::fill(&mut chance);
    doubled + doubled.mul_f64(f64::from(chance[0]) / 256.0)
}

/// A semaphore that nobody closes was closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unexpected, "the store was closed")
}
