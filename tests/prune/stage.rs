//! A stage on which actors take turns: each runs in a thread of its own, and stops before every call of the store until
//! it is told to go on. Who goes next is for the test to say, so a run can be told by a list, or by a number.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use keepstone::crypto::Chance;
use keepstone::format::tree::Time;
use keepstone::storage::{Call, Fault, FaultyStore, MemoryStore, Verb};

/// What an actor is about to ask of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub verb: Verb,
    /// The directory; the object itself matters to nobody here.
    pub dir: String,
}

impl Ask {
    pub fn of(call: &Call) -> Ask {
        let dir = call.name.split('/').next().unwrap_or_default();
        Ask { verb: call.verb, dir: dir.to_owned() }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.verb, self.dir)
    }
}

#[derive(Default)]
struct Actor {
    /// Calls that wait for their turn.
    waiting: VecDeque<(u64, Ask)>,
    /// Calls whose turn it is.
    called: HashSet<u64>,
    has_ended: bool,
    is_gone: bool,
}

/// Where actors wait.
pub struct Stage {
    actors: Mutex<Vec<Actor>>,
    changed: Condvar,
    tickets: AtomicU64,
    /// What was done so far, in order: printed when a test fails.
    story: Mutex<Vec<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Stage {
    pub fn new() -> Arc<Stage> {
        let (actors, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Stage {
            actors,
            changed,
            tickets: AtomicU64::new(0),
            story: Mutex::default(),
            threads: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Actor>> {
        self.actors.lock().unwrap()
    }

    /// An actor appears, and does `act` with a store that makes it wait. It has a pool of one thread for itself: it must
    /// not wait for one in which another actor waits for its turn.
    pub fn enter(self: &Arc<Self>, store: &MemoryStore, act: impl FnOnce(FaultyStore) + Send + 'static) -> usize {
        let number = {
            let mut actors = self.lock();
            actors.push(Actor::default());
            actors.len() - 1
        };
        let stage = Arc::clone(self);
        let watched = FaultyStore::new(store.clone()).rule(move |call| stage.wait_for_turn(number, call));
        let stage = Arc::clone(self);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(|_| ACTOR.into()).build().unwrap();
        let thread = std::thread::spawn(move || {
            let ended = Ended(stage, number);
            pool.install(|| act(watched));
            drop(ended);
        });
        self.threads.lock().unwrap().push(thread);
        number
    }

    fn wait_for_turn(&self, number: usize, call: &Call) -> Option<Fault> {
        let mut actors = self.lock();
        // A lease is renewed by a thread of its own, whenever it likes.
        if !call.name.ends_with(".beat") && !actors[number].is_gone {
            let ticket = self.tickets.fetch_add(1, Relaxed);
            actors[number].waiting.push_back((ticket, Ask::of(call)));
            self.changed.notify_all();
            while !actors[number].is_gone && !actors[number].called.remove(&ticket) {
                actors = self.changed.wait(actors).unwrap();
            }
        }
        actors[number].is_gone.then_some(Fault::Crash)
    }

    /// What an actor waits to do; `None` if it has ended.
    pub fn next(&self, actor: usize) -> Option<Ask> {
        let mut actors = self.lock();
        loop {
            match &actors[actor] {
                Actor { waiting, .. } if !waiting.is_empty() => return Some(waiting[0].1.clone()),
                Actor { has_ended: true, .. } => return None,
                _ => actors = self.changed.wait(actors).unwrap(),
            }
        }
    }

    /// Lets an actor do what it waits for, and waits until it waits again.
    pub fn step(&self, actor: usize) -> Option<Ask> {
        let ask = self.next(actor)?;
        self.tell(format!("{actor} {ask}"));
        {
            let mut actors = self.lock();
            let ticket = actors[actor].waiting.pop_front().map(|(ticket, _)| ticket);
            actors[actor].called.extend(ticket);
            self.changed.notify_all();
        }
        self.next(actor)
    }

    /// Notes what happens beside what actors do.
    pub fn tell(&self, what: String) {
        self.story.lock().unwrap().push(what);
    }

    /// The actor's process is gone: no call of it is done any more.
    pub fn crash(&self, actor: usize) {
        self.tell(format!("{actor} crashes"));
        let mut actors = self.lock();
        actors[actor].is_gone = true;
        actors[actor].waiting.clear();
        self.changed.notify_all();
        while !actors[actor].has_ended {
            actors = self.changed.wait(actors).unwrap();
        }
    }

    /// Lets all go on, one after the other, until all have ended. An actor that panicked ends the test.
    pub fn finish(&self) {
        let actors = self.lock().len();
        for actor in 0..actors {
            while self.step(actor).is_some() {}
        }
        for thread in std::mem::take(&mut *self.threads.lock().unwrap()) {
            thread.join().unwrap();
        }
    }
}

/// A failed test shows how it came to it.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story.lock().unwrap().join("\n"));
        }
    }
}

/// Says that an actor has ended, also when it panics.
struct Ended(Arc<Stage>, usize);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock()[self.1].has_ended = true;
        self.0.changed.notify_all();
    }
}

const ACTOR: &str = "actor";

/// Random bytes from a seed, so that the same numbers make the same run. Threads that actors start draw from a row of
/// their own: when they do is not for us to say.
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    actor: AtomicU64,
    others: AtomicU64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice { seed, actor: AtomicU64::new(0), others: AtomicU64::new(1 << 63) }
    }
}

impl Chance for Dice {
    fn random(&self) -> [u8; 32] {
        let row = if std::thread::current().name() == Some(ACTOR) { &self.actor } else { &self.others };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(&row.fetch_add(1, Relaxed).to_le_bytes());
        hasher.finalize().into()
    }

    fn now(&self) -> Time {
        Time { secs: 1_000_000, nanos: 0 }
    }
}
