//! Chance and time, as arguments.

use crate::format::tree::Time;

/// Where random bytes and the time come from: the system, or a script in tests.
pub trait Chance: Send + Sync + std::fmt::Debug {
    /// 32 bytes that nobody can predict.
    fn random(&self) -> [u8; 32];
    /// The time now, by a clock that may be wrong.
    fn now(&self) -> Time;
}

/// A salt that stays unique when one of its sources fails: chance, clock, and what is sealed
/// (format-spec, "Salts").
pub(super) fn hedged_salt(chance: &dyn Chance, context: &[u8]) -> [u8; 32] {
    let now = chance.now();
    blake3::Hasher::new_derive_key("keepstone v1 2026-11-21 hedged salt")
        .update(&chance.random())
        .update(&now.secs.to_le_bytes())
        .update(&now.nanos.to_le_bytes())
        .update(context)
        .finalize()
        .into()
}
