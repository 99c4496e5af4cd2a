//! A model of backup, prune and forget at work on one store, which is explored state by state; README.md beside it says
//! what is in it and what came of it. One transition is one call of the store with what is computed from it. A crash or a pause
//! is an actor that takes no more steps: every prefix of a run is a run. "Taken for dead" may befall any session at any
//! time: that is the worst possible clock.
//!
//! `main NAME MAX` explores all variants whose name begins with NAME, up to MAX states; `main NAME 0 SECONDS [SEED]` walks
//! at random.

#![allow(clippy::all, dead_code)]

pub mod backup;
pub mod explore;
pub mod prune;
pub mod state;
pub mod variants;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let begin = words.get(1).map_or("", String::as_str);
    for (name, variant) in variants::variants().iter().filter(|(name, _)| name.starts_with(begin)) {
        match number(3) {
            Some(secs) => explore::sim(name, variant, secs as f32, number(4).unwrap_or(88_172_645_463_325_252)),
            None => explore::explore(name, variant, number(2).unwrap_or(20_000_000) as usize),
        };
    }
}
