//! Building trees for the target: the same entries, whose content has other names there.

use std::cell::RefCell;

use super::fetch::Names;
use super::walk::Event;
use crate::compress::Compressor;
use crate::format::Structure;
use crate::format::codec::Bytes;
use crate::format::content::{Content, Item};
use crate::format::extras::{Extra, Extras};
use crate::format::pack::{BlobHeader, BlobKind, Compression};
use crate::format::tree::{Entry, Node, TreeRef, tag};
use crate::id::BlobId;
use crate::repo::split::{ContentBuilder, TreeBuilder};
use crate::repo::{RepoError, Repository, Result, Writer};

thread_local! {
    /// Making one costs more than compressing a node.
    static COMPRESSOR: RefCell<Option<Compressor>> = const { RefCell::new(None) };
}

/// A directory in the making.
struct Open {
    /// Its own entry; the root has none.
    entry: Option<Box<Entry>>,
    /// Its tree in the source.
    old: TreeRef,
    tree: TreeBuilder,
}

/// A tree of the target in the making.
pub(super) struct Build<'r> {
    into: &'r Repository,
    open: Vec<Open>,
    content: ContentBuilder,
    attributes: Option<Content>,
    root: Option<TreeRef>,
}

impl<'r> Build<'r> {
    /// The tree that is `old` in the source.
    pub fn new(into: &'r Repository, old: TreeRef) -> Self {
        let open = vec![Open { entry: None, old, tree: TreeBuilder::default() }];
        Build { into, open, content: ContentBuilder::default(), attributes: None, root: None }
    }

    /// Its reference, when the walk is over.
    pub fn root(self) -> TreeRef {
        self.root.expect("a walk leaves the root last")
    }

    /// Takes what comes next. Gives a directory that is complete now: its tree there, and here.
    pub fn take(&mut self, event: Event, names: &Names, writer: &Writer<'_>) -> Result<Option<(TreeRef, TreeRef)>> {
        let mut save = |kind, plain| save(self.into, writer, kind, plain);
        let keys = self.into.objects().keys();
        match event {
            Event::Item(item) => self.content.push(keys, renamed(item, names), &mut save)?,
            Event::Attributes => {
                self.attributes = Some(std::mem::take(&mut self.content).finish(keys, &mut save)?);
            }
            Event::File(mut entry) => {
                entry.node = Node::File(std::mem::take(&mut self.content).finish(keys, &mut save)?);
                self.add(entry, writer)?;
            }
            Event::Ready(entry) => self.add(entry, writer)?,
            Event::Enter(entry, old) => {
                let entry = Some(self.described(entry)?);
                self.open.push(Open { entry, old, tree: TreeBuilder::default() });
            }
            Event::Leave => return self.leave(writer).map(Some),
        }
        Ok(None)
    }

    fn leave(&mut self, writer: &Writer<'_>) -> Result<(TreeRef, TreeRef)> {
        let Open { entry, old, tree } = self.open.pop().expect("every directory is left once");
        let keys = self.into.objects().keys();
        let new = tree.finish(keys, &mut |kind, plain| save(self.into, writer, kind, plain))?;
        match entry {
            None => self.root = Some(new.clone()),
            Some(mut entry) => {
                entry.node = Node::Directory(new.clone());
                self.push(&entry, writer)?;
            }
        }
        Ok((old, new))
    }

    fn add(&mut self, entry: Box<Entry>, writer: &Writer<'_>) -> Result<()> {
        let entry = self.described(entry)?;
        self.push(&entry, writer)
    }

    fn push(&mut self, entry: &Entry, writer: &Writer<'_>) -> Result<()> {
        let Build { into, open, .. } = self;
        let open = open.last_mut().expect("entries come before their directory is left");
        open.tree.push(into.objects().keys(), entry, &mut |kind, plain| save(into, writer, kind, plain))
    }

    /// The entry with its extended attributes where the target has them.
    fn described(&mut self, mut entry: Box<Entry>) -> Result<Box<Entry>> {
        if let Some(content) = self.attributes.take() {
            let mut extras: Vec<Extra> = entry.extras.iter().cloned().collect();
            for extra in extras.iter_mut().filter(|extra| extra.tag == tag::XATTRS_CONTENT) {
                let too_long = |_| RepoError::Refused("extended attributes too long for an entry".into());
                extra.value = Bytes::new(content.to_bytes()).map_err(too_long)?;
            }
            entry.extras = Extras::new(extras).expect("they were as many before");
        }
        Ok(entry)
    }
}

fn renamed(item: Item, names: &Names) -> Item {
    match item {
        Item::Data { id, len } => Item::Data { id: names.of(&id), len },
        hole @ Item::Hole { .. } => hole,
    }
}

/// Stores a blob under its name in the target, if it is not there.
pub(super) fn save(into: &Repository, writer: &Writer<'_>, kind: BlobKind, plain: Vec<u8>) -> Result<BlobId> {
    let id = into.objects().keys().namer().name(kind, &plain);
    writer.save(&id, || {
        let plain_len = length(&plain)?;
        let (compression, stored) = match compressed(&plain)? {
            Some(shorter) => (Compression::Zstd, shorter),
            None => (Compression::None, plain),
        };
        Ok((BlobHeader { id, kind, compression, stored_len: length(&stored)?, plain_len }, stored))
    })?;
    Ok(id)
}

fn length(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| RepoError::Refused(format!("a blob of {} bytes is too long", bytes.len())))
}

fn compressed(plain: &[u8]) -> Result<Option<Vec<u8>>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            let made = Compressor::new(Compressor::DEFAULT_LEVEL);
            *slot = Some(made.map_err(|error| RepoError::Refused(error.to_string()))?);
        }
        Ok(slot.as_mut().and_then(|compressor| compressor.compress(plain)))
    })
}
