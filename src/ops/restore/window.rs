//! A window: some thousand entries that are restored together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::fetch;
use super::file::File;
use super::links::Links;
use super::report::Deed;
use super::run::{Decision, Run};
use super::sift::sift;
use super::standing::StandingFile;
use crate::format::content::{Body, Content, Item};
use crate::format::tree::{Entry, Node};
use crate::ops::links::SameFile;
use crate::ops::source::Trouble;
use crate::ops::target::DirPath;
use crate::repo::walk::Items;

/// Files of several chunks that are in the making at one time: each holds a descriptor.
const OPEN_FILES_MAX: usize = 128;
/// Chunks that are asked for at one time on behalf of such files.
const CHUNKS_AT_ONCE: u64 = 1 << 15;

/// Files that are restored from start to end at one time, where the target wants them so.
const STREAMS: usize = 4;

/// What is restored together.
#[derive(Default)]
pub(super) struct Window {
    /// Everything but directories.
    pub wanted: Vec<Wanted>,
    /// Directories that nothing is left to be done in after this window, each before the one it is in.
    pub done: Vec<Wanted>,
}

/// An entry that is wanted, and where.
pub(super) struct Wanted {
    pub dir: Arc<DirPath>,
    pub entry: Entry,
    /// Its directory was just made: nothing stands there.
    pub fresh: bool,
    pub fate: Fate,
    /// Bytes of its content that were counted as done.
    pub bytes_done: AtomicU64,
}

/// What became of an entry, as far as others have to know.
#[derive(Default)]
pub(super) struct Fate(AtomicU8);

impl Fate {
    /// It stands in the target.
    pub const STANDS: u8 = 1;
    /// It does not.
    pub const FAILED: u8 = 2;
    /// It does not, because the repository does not give it.
    pub const UNREADABLE: u8 = 3;

    pub fn set(&self, fate: u8) {
        self.0.store(fate, Ordering::Release);
    }

    pub fn is(&self, fate: u8) -> bool {
        self.0.load(Ordering::Acquire) == fate
    }
}

impl Wanted {
    pub fn new(dir: Arc<DirPath>, entry: Entry, fresh: bool) -> Self {
        Wanted { dir, entry, fresh, fate: Fate::default(), bytes_done: AtomicU64::new(0) }
    }

    pub fn name(&self) -> &[u8] {
        &self.entry.key.name
    }

    /// Its path, for people.
    pub fn path(&self) -> String {
        self.dir.show(self.name())
    }

    /// Its link identity. One that makes no sense links it to nothing: it is restored by itself.
    pub fn hard_link(&self) -> Option<SameFile> {
        SameFile::of(&self.entry).ok().flatten()
    }
}

/// Restores everything in a window, and then settles the directories that are done with it.
pub(super) fn restore(run: &Run<'_>, window: Window, links: &mut Links) {
    let Window { wanted, done } = window;
    links.restore(run, wanted);
    // A directory that loses its owner's right to enter is settled after all below it: so they come in order.
    for directory in &done {
        if !run.goes_on() {
            return;
        }
        run.settle(directory);
        run.counters().entries.fetch_add(1, Ordering::Relaxed);
    }
}

/// Restores entries that are no links to others, and verifies them.
pub(super) fn restore_content(run: &Run<'_>, wanted: &[Wanted]) {
    let files: Vec<File<'_>> = wanted.par_iter().filter_map(|wanted| begin(run, wanted)).collect();
    let (single, several): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.chunks() <= 1);
    batch(run, &single);
    drop(single);
    match run.target.takes_any_order() {
        true => in_batches(run, several),
        false => in_order(run, &several),
    }
    if run.options.verify && !run.options.dry_run {
        wanted.par_iter().for_each(|wanted| verify(run, wanted));
    }
}

/// Restores files from start to end, a few at a time.
fn in_order(run: &Run<'_>, files: &[File<'_>]) {
    let next = AtomicUsize::new(0);
    let take = || files.get(next.fetch_add(1, Ordering::Relaxed));
    std::thread::scope(|scope| {
        for _ in 0..STREAMS.min(files.len()) {
            scope.spawn(|| {
                while let Some(file) = take()
                    && run.goes_on()
                {
                    stream(run, file);
                }
            });
        }
    });
}

fn stream(run: &Run<'_>, file: &File<'_>) {
    let standing = StandingFile::open(run, file).filter(|_| file.may_stay);
    match standing.map(|mut standing| standing.holds_all(run, file.content)) {
        Some(Ok(true)) => return file.stay(run),
        Some(Err(error)) => return file.unreadable(run, &error),
        _ => {}
    }
    let mut offset = 0;
    for item in Items::new(run.repository, file.content) {
        if !run.goes_on() || file.is_over() {
            return;
        }
        let written = item.and_then(|item| {
            if let Item::Data { id, len } = item {
                let plain = run.repository.read_chunk(&id, len)?;
                run.counters().bytes_fetched.fetch_add(plain.len() as u64, Ordering::Relaxed);
                file.write(run, offset, &plain);
            }
            offset += item.len();
            Ok(())
        });
        if let Err(error) = written {
            return file.unreadable(run, &error);
        }
    }
    file.part_done(run);
}

fn in_batches(run: &Run<'_>, files: Vec<File<'_>>) {
    let mut files = files.into_iter().peekable();
    while files.peek().is_some() {
        let mut chunks = 0;
        let mut fits = |file: &File<'_>| {
            chunks += file.chunks();
            chunks <= CHUNKS_AT_ONCE
        };
        let mut together: Vec<File<'_>> = Vec::new();
        while together.len() < OPEN_FILES_MAX
            && let Some(file) = files.next_if(&mut fits)
        {
            together.push(file);
        }
        match (together.is_empty(), files.peek()) {
            // Too large to go with others.
            (true, Some(_)) => files.by_ref().take(1).for_each(|file| alone(run, &file)),
            _ => batch(run, &together),
        }
    }
}

/// Restores files whose chunks are few enough to be asked for at once.
fn batch(run: &Run<'_>, files: &[File<'_>]) {
    let chunks = files.par_iter().flat_map_iter(|file| {
        let mut wants = Vec::new();
        if run.goes_on() {
            sift(run, file, &mut wants, &mut |_| {});
            file.expects(wants.len());
            file.part_done(run);
        }
        wants
    });
    fetch::fetch(run, chunks.collect());
}

/// Restores a file of any number of chunks.
fn alone(run: &Run<'_>, file: &File<'_>) {
    let fetch_some = |wants: &mut Vec<fetch::Want<'_>>| {
        file.expects(wants.len());
        fetch::fetch(run, std::mem::take(wants));
    };
    let mut wants = Vec::new();
    sift(run, file, &mut wants, &mut |wants| {
        if wants.len() as u64 >= CHUNKS_AT_ONCE {
            fetch_some(wants);
        }
    });
    fetch_some(&mut wants);
    file.part_done(run);
}

/// Does what can be done without a chunk; a file that needs chunks is given back.
fn begin<'w>(run: &Run<'_>, wanted: &'w Wanted) -> Option<File<'w>> {
    if !run.goes_on() {
        return None;
    }
    let decision = match run.decide(wanted) {
        Ok(decision) => decision,
        Err(trouble) => {
            wanted.failed(run, trouble);
            return None;
        }
    };
    match (decision, &wanted.entry.node) {
        (Decision::Keep, _) => wanted.kept(run),
        (Decision::Settle, _) => stay(run, wanted),
        (Decision::Make(deed), Node::File(content)) => return make_file(run, wanted, content, deed),
        (Decision::Make(deed), _) => make_node(run, wanted, deed),
        (Decision::Compare { size, may_stay }, Node::File(content)) => {
            return compare(run, File::over(wanted, content, size, may_stay));
        }
        (Decision::Compare { .. }, _) => make_node(run, wanted, Deed::Replaced),
    }
    None
}

/// What stands there is right, but for its metadata perhaps.
pub(super) fn stay(run: &Run<'_>, wanted: &Wanted) {
    run.settle(wanted);
    wanted.stands(run, Deed::Unchanged);
}

fn make_node(run: &Run<'_>, wanted: &Wanted, deed: Deed) {
    if run.options.dry_run {
        return wanted.stands(run, deed);
    }
    match run.target.make_node(&wanted.dir, &wanted.entry, &run.xattrs(wanted)) {
        Ok(()) => wanted.stands(run, deed),
        Err(trouble) => wanted.failed(run, trouble),
    }
}

fn make_file<'w>(run: &Run<'_>, wanted: &'w Wanted, content: &'w Content, deed: Deed) -> Option<File<'w>> {
    if run.options.dry_run {
        wanted.stands(run, deed);
        return None;
    }
    make_inline(run, File::new(wanted, content, deed))
}

/// A file that stands may be right as it is. For a dry run that is all there is to know; short content
/// is compared at once, the rest on the way.
fn compare<'w>(run: &Run<'_>, file: File<'w>) -> Option<File<'w>> {
    let inline = matches!(file.content.body, Body::Inline(_));
    if !inline && !run.options.dry_run {
        return Some(file);
    }
    let same = match StandingFile::open(run, &file) {
        Some(mut standing) => standing.holds_all(run, file.content),
        None => Ok(false),
    };
    match same {
        // It was not looked at to its end.
        _ if !run.goes_on() => {}
        Err(error) => file.wanted.unreadable(run, &error),
        Ok(true) if file.may_stay => stay(run, file.wanted),
        Ok(_) if run.options.dry_run => file.wanted.stands(run, Deed::Replaced),
        Ok(_) => return make_inline(run, file),
    }
    None
}

fn make_inline<'w>(run: &Run<'_>, file: File<'w>) -> Option<File<'w>> {
    let Body::Inline(bytes) = &file.content.body else { return Some(file) };
    if !bytes.is_empty() {
        file.write(run, 0, bytes);
    }
    file.part_done(run);
    None
}

fn verify(run: &Run<'_>, wanted: &Wanted) {
    let Node::File(content) = &wanted.entry.node else { return };
    if !wanted.fate.is(Fate::STANDS) || !run.goes_on() {
        return;
    }
    match StandingFile::verify(run, wanted, content) {
        Ok(()) => {
            run.counters().verified.fetch_add(1, Ordering::Relaxed);
        }
        Err(_) if !run.goes_on() => {}
        Err(why) => run.trouble(Trouble { path: wanted.path(), why }),
    }
}
