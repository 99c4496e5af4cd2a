//! The system's clock and chance: the one place that asks for them. Touches the world.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::crypto::Chance;
use crate::format::tree::Time;

/// The system's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("a system without randomness cannot keep secrets; there is no going on");
        bytes
    }

    fn now(&self) -> Time {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Time { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() },
            Err(before) => Time { secs: -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX), nanos: 0 },
        }
    }
}
