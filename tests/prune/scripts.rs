//! The orders of steps that lose data when a step of the protocol is left out: the real code is driven along each of them
//! as far as it goes, and loses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cast::*;
use crate::scene::{forget, names, scratch};
use crate::stage::Ask;
use keepstone::storage::{ObjectName, Verb};

const SCRIPTS: &str = include_str!("scripts.txt");

struct Script {
    world: u64,
    weakness: &'static str,
    lines: Vec<(&'static str, &'static str)>,
}

fn scripts() -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    for line in SCRIPTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("== ") {
            Some(title) => {
                let (world, weakness) = title.split_once(' ').expect("a world and a weakness");
                scripts.push(Script { world: world.parse().expect("a number"), weakness, lines: Vec::new() });
            }
            None => {
                let script = scripts.last_mut().expect("a title comes first");
                script.lines.push(line.split_once(' ').expect("an actor and a step"));
            }
        }
    }
    scripts
}

/// A step as scripts write it.
fn step_of(ask: &Ask) -> String {
    let verb = format!("{:?}", ask.verb).to_lowercase();
    format!("{verb} {}", ask.dir)
}

/// What follows upon a listing, or goes before a put, is part of the step.
fn is_part_of_a_step(ask: &Ask) -> bool {
    matches!(ask.verb, Verb::Get | Verb::GetRange | Verb::Stage | Verb::Write)
}

/// Those who have come on the stage, and whose sessions are whose.
struct Cast {
    play: Play,
    actors: BTreeMap<&'static str, usize>,
    sessions: BTreeMap<&'static str, ObjectName>,
    /// Steps that were done as written.
    done: usize,
}

impl Cast {
    /// The number of an actor, who has opened the repository.
    fn enter(&mut self, name: &'static str) -> usize {
        let is_new = !self.actors.contains_key(name);
        let actor = self.actor(name);
        let begins = |ask: &Ask| step_of(ask) == "list condemned";
        while is_new && self.play.stage.next(actor).is_some_and(|ask| !begins(&ask)) {
            self.play.stage.step(actor);
        }
        actor
    }

    fn actor(&mut self, name: &'static str) -> usize {
        let (play, promised) = (&self.play, Arc::clone(&self.play.promised));
        *self.actors.entry(name).or_insert_with(|| {
            play.stage.enter(&play.world, move |store| {
                // No two may draw the same: ids never recur.
                let (cache, seed) = (scratch(), 1000 * u64::from(name.as_bytes()[0] ^ name.as_bytes()[1]));
                match name {
                    "B1" => act_backup(store, cache.path(), seed, source_of(&["x", "y"]), &promised),
                    "B2" => act_backup(store, cache.path(), seed, source_of(&["y"]), &promised),
                    "P1" | "P2" => act_prune(store, cache.path(), seed),
                    other => panic!("{other} does not act"),
                }
            })
        })
    }

    /// Lets an actor come to this step and do it. If it has come to one that is later in the script, it has left this one
    /// out, or done it before.
    fn act(&mut self, name: &'static str, step: &str, later: &[&str]) {
        let actor = self.enter(name);
        while let Some(ask) = self.play.stage.next(actor) {
            let asked = step_of(&ask);
            let is_it = asked == step;
            if !is_it && later.contains(&asked.as_str()) {
                return;
            }
            let before = names(&self.play.world, "sessions/");
            let mut next = self.play.stage.step(actor);
            let announced = names(&self.play.world, "sessions/")
                .into_iter()
                .find(|session| !before.contains(session) && !session.as_str().ends_with(".beat"));
            self.sessions.extend(announced.map(|session| (name, session)));
            if is_it {
                self.done += 1;
                while next.as_ref().is_some_and(is_part_of_a_step) {
                    next = self.play.stage.step(actor);
                }
                return;
            }
        }
    }

    fn bury(&self, name: &str) {
        if let Some(session) = self.sessions.get(name) {
            self.play.stage.tell(format!("- {name} is taken for dead"));
            self.play.world.remove(session);
        }
    }

    /// Forgets a snapshot of the world as it began; one of a backup only if it was promised.
    fn forget(&self) {
        let first = self.play.promised.lock().unwrap().0.pop_first();
        if let Some((id, _)) = first {
            self.play.stage.tell("- a snapshot is forgotten".into());
            forget(&self.play.world, &id);
        }
    }
}

/// How many steps were done as written.
fn play(script: &Script) -> usize {
    let mut cast = Cast {
        play: Play::of(World::numbered(script.world)),
        actors: BTreeMap::new(),
        sessions: BTreeMap::new(),
        done: 0,
    };
    for (at, (name, step)) in script.lines.iter().enumerate() {
        let later: Vec<&str> =
            script.lines[at + 1..].iter().filter(|(of, _)| of == name).map(|(_, step)| *step).collect();
        match (*name, step.split_once(' ')) {
            ("X", Some(("bury", whose))) => cast.bury(whose),
            ("F", Some(("forget", _))) => cast.forget(),
            _ => cast.act(name, step, &later),
        }
    }
    cast.play.end();
    cast.done
}

#[test]
fn what_breaks_a_weaker_protocol_does_not_break_this_one() {
    let scripts = scripts();
    assert_eq!(scripts.len(), 37, "the set of scripts is whole");
    for script in &scripts {
        let done = std::panic::catch_unwind(|| play(script)).unwrap_or_else(|panic| {
            eprintln!("in: {}", script.weakness);
            std::panic::resume_unwind(panic);
        });
        eprintln!("{done} of {}: {}", script.lines.len(), script.weakness);
        // Ids are drawn anew each time, and with them the order in which a few calls come.
        assert!(done >= 6, "only {done} steps were done as written: {}", script.weakness);
    }
}
