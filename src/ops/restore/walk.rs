//! Walking the snapshot's tree: directories are made, everything else is gathered in windows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::keys::{Keys, Step};
use super::report::Deed;
use super::run::Run;
use super::strays::Strays;
use super::window::{Wanted, Window};
use super::{Origin, Overwrite};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, Name, Node, TreeRef};
use crate::ops::pattern::Steps;
use crate::ops::source::{Kind, Trouble};
use crate::ops::target::DirPath;
use crate::repo::walk::{Entries, entries_below};
use crate::repo::{RepoError, Repository};

/// Entries in the first window, so that work begins at once, and in each after several doublings, so
/// that the chunks of many files are found beside each other.
const WINDOW_ENTRIES: std::ops::RangeInclusive<usize> = (4 << 10)..=(64 << 10);
/// What the entries of one window may take in memory, in bytes.
const WINDOW_BYTES: usize = 32 << 20;

/// Walks down and gathers.
pub(super) struct Walker<'r> {
    run: &'r Run<'r>,
    windows: Sender<Window>,
    levels: Vec<Level<'r>>,
    /// The way to the entry that is looked at.
    steps: Steps,
    window: Window,
    window_bytes: usize,
    window_entries: usize,
    /// What is restored were no files.
    is_adopted: bool,
    /// The tree does not say how much is wanted: it is counted as it is found.
    is_counted: bool,
}

/// What is in a directory, in order.
type Below<'r> = Box<dyn Iterator<Item = Result<Step<'r>, RepoError>> + 'r>;

/// A directory on the way down.
struct Level<'r> {
    entries: Below<'r>,
    dir: Arc<DirPath>,
    /// The directory's own entry, and where it is; the top has none.
    own: Option<(Arc<DirPath>, Entry)>,
    ground: Ground,
    strays: Option<Strays<'r>>,
}

/// Whether a directory of the snapshot stands in the target.
#[derive(Clone, Copy)]
enum Ground {
    /// Nobody has asked for it yet: it is not wanted itself, but something in it may be.
    Unmade,
    /// It does; nothing was in it when it was made.
    Fresh,
    /// It does, and did before.
    Old,
    /// It cannot: nothing below it is restored.
    Refused,
}

impl<'r> Walker<'r> {
    pub fn new(run: &'r Run<'r>, windows: Sender<Window>) -> Self {
        let (levels, steps, window) = (Vec::new(), Steps::new(), Window::default());
        Walker {
            run,
            windows,
            levels,
            steps,
            window,
            window_bytes: 0,
            window_entries: *WINDOW_ENTRIES.start(),
            is_adopted: false,
            is_counted: false,
        }
    }

    /// Walks everything that `origin` holds.
    pub fn walk(mut self, origin: &Origin) {
        self.announce(origin);
        self.begin(origin);
        while let Some(level) = self.levels.last_mut() {
            if !self.run.goes_on() {
                return;
            }
            match level.entries.next() {
                Some(Ok(Step::Entry(entry))) => self.entry(entry),
                Some(Ok(Step::Directory(entry, keys))) => self.directory(entry, Box::new(keys)),
                Some(Ok(Step::Unfit(trouble))) => self.run.trouble(trouble),
                Some(Err(error)) => self.broken(&error),
                None => self.leave(),
            }
        }
        self.run.counters().totals_known.store(true, Ordering::Relaxed);
        self.flush();
    }

    /// Without patterns the tree itself says how much there is.
    fn announce(&mut self, origin: &Origin) {
        self.is_counted = !self.run.takes_all() || matches!(origin, Origin::Keys { prefix, .. } if !prefix.is_empty());
        let (entries, bytes) = match origin {
            _ if self.is_counted => return,
            Origin::Directory(tree) => (tree.entries, tree.bytes),
            Origin::Single(entry) | Origin::Object(entry) => (entry.entries(), entry.bytes()),
            Origin::Keys { tree, .. } => (tree.entries, tree.bytes),
        };
        let counters = self.run.counters();
        counters.entries_total.store(entries, Ordering::Relaxed);
        counters.bytes_total.store(bytes, Ordering::Relaxed);
        counters.totals_known.store(true, Ordering::Relaxed);
    }

    fn begin(&mut self, origin: &Origin) {
        let dir = DirPath::top();
        let all_strays = |walker: &Self| walker.run.options.delete.then(|| Strays::list(walker.run, &dir)).flatten();
        let (entries, strays): (Below<'r>, _) = match origin {
            Origin::Directory(tree) => (below(self.run.repository, tree), all_strays(self)),
            // Beside one entry nothing is stray.
            Origin::Single(entry) => (Box::new(std::iter::once(Ok(Step::Entry(Entry::clone(entry))))), None),
            Origin::Object(entry) => {
                let prefix_len = entry.key.name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                (Box::new(std::iter::once(Ok(without_prefix(Entry::clone(entry), prefix_len)))), None)
            }
            Origin::Keys { tree, prefix } if self.run.target.takes_keys() => {
                let objects = entries_below(self.run.repository, tree, prefix);
                let len = prefix.len();
                (Box::new(objects.map(move |entry| entry.map(|entry| without_prefix(entry, len)))), all_strays(self))
            }
            Origin::Keys { tree, prefix } => (Box::new(Keys::new(self.run.repository, tree, prefix)), None),
        };
        self.is_adopted = matches!(origin, Origin::Keys { .. } | Origin::Object(_));
        self.levels.push(Level { entries, dir, own: None, ground: Ground::Old, strays });
    }

    fn entry(&mut self, entry: Entry) {
        let Some(level) = self.levels.last_mut() else { return };
        let strays = level.strays.as_mut().map(|strays| strays.before(self.run, &entry.key.name)).unwrap_or_default();
        self.remove(strays);
        let depth = self.steps.len();
        match &entry.node {
            Node::Directory(_) => self.steps.push(&entry.key.name),
            // It may be a key.
            _ => self.steps.extend(&entry.key.name),
        }
        let selected = self.run.options.selection.select(&self.steps);
        match &entry.node {
            Node::Directory(tree) if selected.wanted || selected.below => {
                let entries = below(self.run.repository, tree);
                return self.enter(entry, entries, selected.wanted);
            }
            Node::Directory(_) => {}
            _ if selected.wanted => self.gather(entry),
            _ => {}
        }
        self.steps.truncate(depth);
    }

    /// A directory that keys lead through.
    fn directory(&mut self, entry: Entry, entries: Below<'r>) {
        self.steps.push(&entry.key.name);
        let selected = self.run.options.selection.select(&self.steps);
        match selected.wanted || selected.below {
            // It is there for what is in it.
            true => self.enter(self.adopted(entry), entries, false),
            false => self.steps.pop(),
        }
    }

    fn adopted(&self, mut entry: Entry) -> Entry {
        if self.is_adopted {
            self.run.target.adopt(&mut entry.meta);
        }
        entry
    }

    fn enter(&mut self, entry: Entry, entries: Below<'r>, wanted: bool) {
        let Some(level) = self.levels.last() else { return };
        let dir = level.dir.child(&entry.key.name);
        if self.levels.len() > TREE_DEPTH_MAX {
            let why = "deeper than the limit".into();
            let path = level.dir.show(&entry.key.name);
            self.run.unreadable(path, &RepoError::Damaged { object: "its tree".into(), why });
            return self.steps.pop();
        }
        let own = Some((Arc::clone(&level.dir), entry));
        self.levels.push(Level { entries, dir, own, ground: Ground::Unmade, strays: None });
        if wanted && matches!(self.ground(), Ground::Refused) {
            self.levels.pop();
            return self.steps.pop();
        }
        if self.run.options.delete {
            self.look_for_strays();
        }
    }

    /// The ground under the innermost directory, made if it is not there yet with all above it.
    fn ground(&mut self) -> Ground {
        let unmade = self.levels.iter().position(|level| matches!(level.ground, Ground::Unmade));
        for at in unmade.unwrap_or(self.levels.len())..self.levels.len() {
            let above = at.checked_sub(1).map_or(Ground::Old, |above| self.levels[above].ground);
            let ground = match &self.levels[at].own {
                Some((dir, entry)) => self.make(above, dir, entry),
                None => Ground::Old,
            };
            self.levels[at].ground = ground;
            if self.is_counted && matches!(ground, Ground::Fresh | Ground::Old) {
                self.run.counters().entries_total.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.levels.last().map_or(Ground::Refused, |level| level.ground)
    }

    fn make(&self, above: Ground, dir: &Arc<DirPath>, entry: &Entry) -> Ground {
        let made = match above {
            Ground::Unmade | Ground::Refused => return Ground::Refused,
            Ground::Fresh => Ok(Ground::Fresh),
            Ground::Old => self.look(dir, entry),
        };
        let made = made.and_then(|ground| {
            if !matches!(ground, Ground::Refused) && !self.run.options.dry_run {
                self.run.target.make_dir(dir, &entry.key.name)?;
            }
            Ok(ground)
        });
        match made {
            Ok(Ground::Fresh) => self.run.done(Deed::Restored, dir, &entry.key.name),
            Ok(Ground::Refused) => self.run.done(Deed::Kept, dir, &entry.key.name),
            Ok(_) => {}
            Err(trouble) => {
                self.run.trouble(trouble);
                return Ground::Refused;
            }
        }
        made.unwrap_or(Ground::Refused)
    }

    fn look(&self, dir: &Arc<DirPath>, entry: &Entry) -> Result<Ground, Trouble> {
        Ok(match self.run.target.inspect(dir, &entry.key.name)? {
            None => Ground::Fresh,
            Some(standing) if standing.kind == Kind::Directory => Ground::Old,
            Some(_) if self.run.options.overwrite == Overwrite::Never => Ground::Refused,
            Some(_) => Ground::Fresh,
        })
    }

    fn look_for_strays(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let Some((parent, entry)) = &level.own else { return };
        let stands = match level.ground {
            Ground::Old => true,
            Ground::Fresh | Ground::Refused => false,
            Ground::Unmade => {
                let standing = self.run.target.inspect(parent, &entry.key.name).ok().flatten();
                standing.is_some_and(|standing| standing.kind == Kind::Directory)
            }
        };
        level.strays = if stands { Strays::list(self.run, &level.dir) } else { None };
    }

    fn remove(&mut self, strays: Vec<Vec<u8>>) {
        if strays.is_empty() {
            return;
        }
        let takes_all = self.run.takes_all();
        for name in strays {
            let Some(dir) = self.levels.last().map(|level| Arc::clone(&level.dir)) else { return };
            if takes_all || super::strays::wants_any(self.run, &mut self.steps, &name) {
                // What is not wanted itself may have to be made workable.
                self.ground();
                super::strays::remove(self.run, &mut self.steps, &dir, &name);
            }
        }
    }

    fn gather(&mut self, entry: Entry) {
        let fresh = match self.ground() {
            Ground::Fresh => true,
            Ground::Old => false,
            Ground::Unmade | Ground::Refused => return,
        };
        let Some(dir) = self.levels.last().map(|level| Arc::clone(&level.dir)) else { return };
        if self.is_counted {
            self.run.counters().entries_total.fetch_add(1, Ordering::Relaxed);
            self.run.counters().bytes_total.fetch_add(entry.bytes(), Ordering::Relaxed);
        }
        if entry.key.discriminator != 0 {
            let path = dir.show(&entry.key.name);
            return self.run.trouble(Trouble { path, why: "refused: another version of the same name".into() });
        }
        self.window_bytes += bytes_of(&entry);
        let entry = self.adopted(entry);
        self.window.wanted.push(Wanted::new(dir, entry, fresh));
        self.flush_full();
    }

    fn leave(&mut self) {
        let strays = self.levels.last_mut().and_then(|level| level.strays.take());
        let run = self.run;
        self.remove(strays.map(|strays| strays.rest(run)).unwrap_or_default());
        let Some(level) = self.levels.pop() else { return };
        let Some((dir, entry)) = level.own else { return };
        self.steps.pop();
        // One that stood there is not the snapshot's, if keys alone lead through it.
        if matches!(level.ground, Ground::Fresh) || matches!(level.ground, Ground::Old) && !self.is_adopted {
            self.window_bytes += bytes_of(&entry);
            self.window.done.push(Wanted::new(dir, entry, false));
            self.flush_full();
        }
    }

    /// Part of a directory cannot be read: what is missing is not known, so nothing in it is stray.
    fn broken(&mut self, error: &RepoError) {
        let Some(level) = self.levels.last_mut() else { return };
        level.strays = None;
        let path = match level.dir.show(b"") {
            path if path.is_empty() => ".".to_owned(),
            path => path,
        };
        self.run.unreadable(path, error);
    }

    fn flush_full(&mut self) {
        let entries = self.window.wanted.len() + self.window.done.len();
        if entries >= self.window_entries || self.window_bytes >= WINDOW_BYTES {
            self.flush();
            self.window_entries = (2 * self.window_entries).min(*WINDOW_ENTRIES.end());
        }
    }

    fn flush(&mut self) {
        self.window_bytes = 0;
        // Nobody takes it only if the restore was ended by a panic, which is on its way.
        let _ = self.windows.send(std::mem::take(&mut self.window));
    }
}

fn below<'r>(repository: &'r Repository, tree: &TreeRef) -> Below<'r> {
    Box::new(Entries::new(repository, tree).map(|entry| entry.map(Step::Entry)))
}

/// An object by the rest of its key.
fn without_prefix<'r>(mut entry: Entry, prefix_len: usize) -> Step<'r> {
    let rest = Name::new(entry.key.name.get(prefix_len..).unwrap_or_default());
    match rest {
        Ok(rest) if !rest.is_empty() => {
            entry.key.name = rest;
            Step::Entry(entry)
        }
        _ => {
            let path = String::from_utf8_lossy(&entry.key.name).into_owned();
            Step::Unfit(Trouble {
                path,
                why: "is left out: nothing is left of its key without what was asked for".into(),
            })
        }
    }
}

/// What an entry takes in memory, roughly.
fn bytes_of(entry: &Entry) -> usize {
    let target_len = match &entry.node {
        Node::Symlink(target) => target.len(),
        _ => 0,
    };
    let extras_len: usize = entry.extras.iter().map(|extra| extra.value.len() + 64).sum();
    512 + entry.key.name.len() + target_len + extras_len
}
