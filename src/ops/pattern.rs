//! Patterns over paths, as restic has them: what is left out of a backup, what is taken of a snapshot.
//!
//! A pattern is a path of names; each may hold `*`, `?` and `[…]` (see [`NamePattern`]), and `**` stands
//! for any number of names, none included. A pattern that begins with `/` is held against the path from
//! its top, any other anywhere within it. What matches a path matches everything below it. A pattern with
//! `!` in front takes back what the ones before it matched. Pure: no file system is asked.

use std::fmt;

pub use name::NamePattern;

mod name;

/// A path as the names that lead to it from the top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Steps {
    /// The top.
    pub fn new() -> Self {
        Steps::default()
    }

    /// The names between the slashes of `path`.
    pub fn from_path(path: &[u8]) -> Self {
        let mut steps = Steps::new();
        steps.extend(path);
        steps
    }

    /// One name further.
    pub fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    /// As many names further as there are between the slashes of `path`.
    pub fn extend(&mut self, path: &[u8]) {
        path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).for_each(|name| self.push(name));
    }

    /// Back to so many names.
    pub fn truncate(&mut self, len: usize) {
        while self.len() > len {
            self.pop();
        }
    }

    /// One name back; nothing at the top.
    pub fn pop(&mut self) {
        self.ends.pop();
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether this is the top.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name at a depth, the first at 0.
    pub fn get(&self, depth: usize) -> Option<&[u8]> {
        let end = *self.ends.get(depth)?;
        let start = depth.checked_sub(1).and_then(|above| self.ends.get(above)).copied().unwrap_or(0);
        self.bytes.get(start..end)
    }

    /// The names, from the top.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map_while(|depth| self.get(depth))
    }

    /// The path with a slash before each name; `/` at the top.
    pub fn to_path(&self) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.bytes.len() + self.len().max(1));
        self.iter().for_each(|name| {
            path.push(b'/');
            path.extend_from_slice(name);
        });
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }

    fn folded(&self) -> Steps {
        let mut folded = Steps::new();
        self.iter().for_each(|name| folded.push(&fold(name)));
        folded
    }
}

/// Whether upper and lower case differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// They do.
    #[default]
    Sensitive,
    /// They do not (`--iexclude`, `--iinclude`).
    Insensitive,
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} cannot be used: {why}")]
pub struct BadPattern {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Patterns in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    case: Case,
}

/// What patterns say of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The path itself matches.
    pub matched: bool,
    /// Something below it may match.
    pub below: bool,
}

impl Patterns {
    /// These patterns; empty ones are passed over.
    pub fn parse<P: AsRef<[u8]>>(words: impl IntoIterator<Item = P>, case: Case) -> Result<Self, BadPattern> {
        let words = words.into_iter();
        let patterns = words.filter(|word| !word.as_ref().is_empty()).map(|word| Pattern::parse(word.as_ref(), case));
        Ok(Patterns { patterns: patterns.collect::<Result<_, _>>()?, case })
    }

    /// Whether there are none, so that nothing matches.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether `path` matches, itself or through something above it.
    pub fn matches(&self, path: &Steps) -> bool {
        self.judge(path).matched
    }

    /// Whether something below the directory `path` may match.
    pub fn may_contain(&self, path: &Steps) -> bool {
        self.judge(path).below
    }

    /// Both at once.
    pub fn judge(&self, path: &Steps) -> Verdict {
        match self.case {
            _ if self.is_empty() => Verdict { matched: false, below: false },
            Case::Sensitive => self.judge_as_is(path),
            Case::Insensitive => self.judge_as_is(&path.folded()),
        }
    }

    fn judge_as_is(&self, path: &Steps) -> Verdict {
        let nothing = Verdict { matched: false, below: false };
        self.patterns.iter().fold(nothing, |so_far, pattern| {
            let matched = pattern.matches(path);
            if pattern.negated {
                Verdict { matched: so_far.matched && !matched, below: so_far.below && !matched }
            } else {
                Verdict { matched: so_far.matched || matched, below: so_far.below || pattern.may_contain(path) }
            }
        })
    }
}

/// What of a snapshot is wanted. Sets of patterns stand beside each other: one that matches is enough.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only what matches one of these; everything, if there is no pattern.
    pub includes: Vec<Patterns>,
    /// And nothing that matches one of these.
    pub excludes: Vec<Patterns>,
}

/// What a selection says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// The entry itself is wanted.
    pub wanted: bool,
    /// Something below it may be wanted: a directory is to be looked into.
    pub below: bool,
}

impl Selection {
    /// Whether the entry at `path` is wanted, and what is below it.
    pub fn select(&self, path: &Steps) -> Selected {
        if self.excludes.iter().any(|patterns| patterns.matches(path)) {
            return Selected { wanted: false, below: false };
        }
        if self.includes.iter().all(Patterns::is_empty) {
            return Selected { wanted: true, below: true };
        }
        self.includes.iter().map(|patterns| patterns.judge(path)).fold(
            Selected { wanted: false, below: false },
            |so_far, verdict| Selected {
                wanted: so_far.wanted || verdict.matched,
                below: so_far.below || verdict.matched || verdict.below,
            },
        )
    }
}

#[derive(Debug, Clone)]
struct Pattern {
    /// A relative pattern begins with [`Part::AnyDepth`].
    parts: Vec<Part>,
    negated: bool,
}

#[derive(Debug, Clone)]
enum Part {
    AnyDepth,
    Name(NamePattern),
}

impl Pattern {
    fn parse(word: &[u8], case: Case) -> Result<Self, BadPattern> {
        let bad = |why| BadPattern { pattern: String::from_utf8_lossy(word).into_owned(), why };
        let folded = match case {
            Case::Sensitive => word.to_vec(),
            Case::Insensitive => fold(word),
        };
        let (negated, path) = match folded.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, &folded[..]),
        };
        let absolute = path.starts_with(b"/");
        let names = clean(path, absolute).ok_or_else(|| bad("`..` leads out of it"))?;
        if names.is_empty() && !absolute {
            return Err(bad("it names nothing"));
        }
        let anywhere = (!absolute).then_some(Ok(Part::AnyDepth));
        let parts = anywhere.into_iter().chain(names.into_iter().map(Part::parse)).collect::<Result<_, _>>();
        Ok(Pattern { parts: parts.map_err(bad)?, negated })
    }

    /// Whether it matches the path or something above it. Linear in names but for one way back, to the
    /// last `**`: an earlier one has no better place to offer.
    fn matches(&self, path: &Steps) -> bool {
        let (mut part, mut depth) = (0, 0);
        let mut way_back = None;
        while let Some(next) = self.parts.get(part) {
            match (next, path.get(depth)) {
                (Part::AnyDepth, _) => {
                    part += 1;
                    way_back = Some((part, depth));
                }
                (Part::Name(pattern), Some(name)) if pattern.matches(name) => {
                    part += 1;
                    depth += 1;
                }
                _ => match way_back {
                    Some((after, from)) if from < path.len() => {
                        way_back = Some((after, from + 1));
                        (part, depth) = (after, from + 1);
                    }
                    _ => return false,
                },
            }
        }
        true
    }

    fn may_contain(&self, path: &Steps) -> bool {
        let until_any = self.parts.iter().map_while(|part| match part {
            Part::AnyDepth => None,
            Part::Name(pattern) => Some(pattern),
        });
        until_any.zip(path.iter()).all(|(pattern, name)| pattern.matches(name))
    }
}

impl Part {
    fn parse(name: &[u8]) -> Result<Self, &'static str> {
        match name {
            b"**" => Ok(Part::AnyDepth),
            name => NamePattern::parse(name).map(Part::Name),
        }
    }
}

/// The names of a path without empty ones, `.` and `..`; `None` if a `..` has nothing before it to undo.
fn clean(path: &[u8], absolute: bool) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.pop().is_none() && !absolute => return None,
            b".." => {}
            name => names.push(name),
        }
    }
    Some(names)
}

/// Lower case; bytes that are not UTF-8 keep theirs but for ASCII.
fn fold(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => bytes.to_ascii_lowercase(),
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_path()))
    }
}

#[cfg(test)]
mod tests;
