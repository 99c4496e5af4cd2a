//! Backups, prunes and forgets of several machines, cut into each other at every call of the store, as numbers say.

use std::sync::{Arc, OnceLock};

use crate::cast::*;
use crate::scene::scratch;

/// So many schedules are played, unless the environment says for how many seconds.
const SCHEDULES: u64 = 1500;
const SECONDS: &str = "KEEPSTONE_TEST_SCHEDULES_SECS";
/// Begins with this one instead of 0.
pub const FIRST: &str = "KEEPSTONE_TEST_SEED";

/// Numbers from a seed.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn worlds() -> &'static [World; 2] {
    static WORLDS: OnceLock<[World; 2]> = OnceLock::new();
    WORLDS.get_or_init(|| [World::numbered(1), World::numbered(2)])
}

const SOURCES: [&[&str]; 5] = [&["x", "y"], &["y"], &["x"], &["x", "y", "z"], &["z"]];

/// One machine, and what it does one after the other.
fn enter(play: &Play, numbers: &mut Numbers) -> usize {
    let deeds: Vec<u64> = (0..1 + numbers.below(2)).map(|_| numbers.below(100)).collect();
    let (promised, seed) = (Arc::clone(&play.promised), numbers.below(1 << 40));
    play.stage.enter(&play.world, move |store| {
        let cache = scratch();
        for (nth, deed) in deeds.into_iter().enumerate() {
            let seed = seed + 10 * nth as u64;
            match deed {
                0..40 => {
                    let source = source_of(SOURCES[deed as usize % SOURCES.len()]);
                    act_backup(store.clone(), cache.path(), seed, source, &promised);
                }
                40..85 => act_prune(store.clone(), cache.path(), seed),
                _ => act_forget(store.clone(), cache.path(), seed, &promised),
            }
        }
    })
}

fn play(seed: u64) {
    let mut numbers = Numbers::new(seed);
    let play = Play::of(worlds()[(seed % 2) as usize].copy());
    let mut actors: Vec<usize> = (0..3 + numbers.below(2)).map(|_| enter(&play, &mut numbers)).collect();
    let stays = [50, 75, 88, 94, 98][numbers.below(5) as usize];
    let (mut burials, mut crashes) = (numbers.below(3), numbers.below(2));
    let mut at = 0;
    while !actors.is_empty() {
        if !numbers.chance(stays) {
            at = numbers.below(actors.len() as u64) as usize;
        }
        if burials > 0 && numbers.below(150) == 0 {
            burials -= 1;
            play.bury(numbers.below(1 << 30));
        }
        let ended = match crashes > 0 && numbers.below(200) == 0 {
            true => {
                crashes -= 1;
                play.stage.crash(actors[at]);
                true
            }
            false => play.stage.step(actors[at]).is_none(),
        };
        if ended {
            actors.swap_remove(at);
            at = 0;
        }
    }
    play.end();
}

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_order_of_steps_loses_anything() {
    let (began, first) = (std::time::Instant::now(), number(FIRST).unwrap_or(0));
    let goes_on = |played: u64| match number(SECONDS) {
        Some(secs) => began.elapsed().as_secs() < secs,
        None => played < SCHEDULES,
    };
    let mut played = 0;
    while goes_on(played) {
        let seed = first + played;
        if let Err(panic) = std::panic::catch_unwind(|| play(seed)) {
            eprintln!("with {FIRST}={seed}");
            std::panic::resume_unwind(panic);
        }
        played += 1;
    }
    eprintln!("{played} schedules from {first} in {:?}", began.elapsed());
}
