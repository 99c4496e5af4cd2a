//! A desk whose repository is on a server.

use crate::desk::{Desk, Ran, tree};
use crate::servers::Spot;

/// Bytes that neither compress nor repeat.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(step).collect()
}

pub struct Scene {
    pub desk: Desk,
    pub spot: Spot,
}

impl Scene {
    pub fn at(spot: Spot) -> Self {
        Scene { desk: Desk::new(), spot }
    }

    /// Runs the words of one line with the repository at the spot.
    pub fn run(&self, line: &str) -> Ran {
        self.run_at(&self.spot, line)
    }

    /// The same, by another way.
    pub fn run_at(&self, spot: &Spot, line: &str) -> Ran {
        let mut command = self.desk.keepstone();
        command.args(line.split_whitespace()).env("KEEPSTONE_REPOSITORY", &spot.address);
        for (key, value) in &spot.options {
            command.arg("-o").arg(format!("{key}={value}"));
        }
        command.envs(spot.variables.iter().map(|(name, value)| (name, value)));
        Ran::of(line, command.output().unwrap())
    }

    /// Restores the newest snapshot, and compares it with the source.
    pub fn restores(&self) {
        self.restores_from(&self.spot);
    }

    /// The same, by another way.
    pub fn restores_from(&self, spot: &Spot) {
        let target = tempfile::tempdir().unwrap();
        let shown = target.path().display();
        self.run_at(spot, &format!("restore latest --target {shown}")).succeeds();
        assert_eq!(tree(&target.path().join("source")), tree(&self.desk.path("source")));
    }
}
