//! Touches the world. Limits on how fast bytes go up and come down.

use super::{Listed, ObjectName, Result, Staged, Store};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bucket of tokens, one a byte: it fills at a constant rate, and is never fuller than what a quarter of a
/// second brings.
#[derive(Debug)]
pub struct Rate {
    bytes_per_s: u64,
    /// When all that was taken so far has been paid for.
    paid: Mutex<Option<Instant>>,
}

impl Rate {
    /// So many bytes a second; at least 1.
    pub fn new(bytes_per_s: u64) -> Self {
        Rate { bytes_per_s: bytes_per_s.max(1), paid: Mutex::new(None) }
    }

    /// Takes `bytes` now, and says how long to wait before they may be used.
    pub fn take(&self, bytes: u64, now: Instant) -> Duration {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let idle_since = now.checked_sub(BURST).unwrap_or(now);
        let from = paid.map_or(idle_since, |paid| paid.max(idle_since));
        let next = from + Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        *paid = Some(next);
        next.saturating_duration_since(now)
    }

    /// Pieces of at most this length make an even flow.
    pub fn piece_len(&self) -> usize {
        usize::try_from(self.bytes_per_s / 4).unwrap_or(usize::MAX).clamp(1 << 10, 1 << 16)
    }
}

/// What limits a store. Clones share the tokens: all transfers together keep to the limit.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// What goes to the store.
    pub upload: Option<Arc<Rate>>,
    /// What comes from it.
    pub download: Option<Arc<Rate>>,
}

const BURST: Duration = Duration::from_millis(250);

/// A store that keeps to limits which the one below knows nothing of. Reads are paid for after they were done.
#[derive(Debug)]
pub struct LimitedStore<S> {
    below: S,
    limits: Limits,
}

impl<S: Store> LimitedStore<S> {
    /// `below`, no faster than `limits`.
    pub fn new(below: S, limits: Limits) -> Self {
        LimitedStore { below, limits }
    }

    fn read(&self, bytes: Vec<u8>) -> Vec<u8> {
        pay(&self.limits.download, bytes.len());
        bytes
    }
}

/// Waits until so many bytes may pass.
fn pay(rate: &Option<Arc<Rate>>, bytes: usize) {
    if let Some(rate) = rate {
        std::thread::sleep(rate.take(bytes as u64, Instant::now()));
    }
}

impl<S: Store> Store for LimitedStore<S> {
    fn place(&self) -> String {
        self.below.place()
    }

    fn get(&self, name: &ObjectName, max_len: u64) -> Result<Vec<u8>> {
        Ok(self.read(self.below.get(name, max_len)?))
    }

    fn get_range(&self, name: &ObjectName, offset: u64, len: u64) -> Result<Vec<u8>> {
        Ok(self.read(self.below.get_range(name, offset, len)?))
    }

    fn len(&self, name: &ObjectName) -> Result<u64> {
        self.below.len(name)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        pay(&self.limits.upload, bytes.len());
        self.below.put(name, bytes)
    }

    fn put_once(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        pay(&self.limits.upload, bytes.len());
        self.below.put_once(name, bytes)
    }

    fn stage(&self) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedLimited { below: self.below.stage()?, upload: self.limits.upload.clone() }))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.below.delete(name)
    }

    fn list(&self, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        self.below.list(dir, each)
    }
}

struct StagedLimited {
    below: Box<dyn Staged>,
    upload: Option<Arc<Rate>>,
}

impl Staged for StagedLimited {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(1 << 20) {
            pay(&self.upload, piece.len());
            self.below.write(piece)?;
        }
        Ok(())
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<()> {
        self.below.commit(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_brings_the_bytes_of_a_second() {
        let (rate, start) = (Rate::new(1000), Instant::now());
        let mut now = start;
        for _ in 0..100 {
            now += rate.take(100, now);
        }
        // 10,000 bytes, of which the first 250 were saved up.
        assert_eq!((now - start).as_millis(), 9750);
    }

    #[test]
    fn nothing_is_saved_up_in_a_pause() {
        let (rate, start) = (Rate::new(1000), Instant::now());
        let later = start + Duration::from_secs(3600);
        assert_eq!(rate.take(250, start), Duration::ZERO);
        assert_eq!(rate.take(250, later), Duration::ZERO);
        assert_eq!(rate.take(1000, later), Duration::from_secs(1));
    }
}
