//! Touches the world. What is in a bucket, in order, a few pages at a time: stretches of a long listing are asked
//! for side by side where somebody knows keys to cut it at.

use std::collections::VecDeque;
use std::vec::IntoIter;

use http::Method;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::{Ask, Client};
use super::error::BucketError;
use super::s3::{Listed, PAGE, Page};
use super::words::Wanted;

/// Stretches that are asked for at a time.
const STRETCHES: usize = 8;
/// Pages of a stretch that wait to be taken. Marks are closer together than that, so that no stretch waits for those
/// before it.
const PAGES_WAITING: usize = 16;

/// The objects whose keys begin with a prefix, in the order of their bytes.
pub(super) struct Objects {
    client: Client,
    prefix: String,
    marks: IntoIter<Vec<u8>>,
    /// Where the next stretch begins; `None` when all have been begun.
    begin: Option<Vec<u8>>,
    stretches: VecDeque<Receiver<Result<Vec<Listed>, BucketError>>>,
    page: IntoIter<Listed>,
    last: Vec<u8>,
}

/// Keys after one and up to another.
struct Stretch {
    prefix: String,
    after: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Objects {
    /// The objects whose keys begin with `prefix`; where `marks` are, the listing is cut.
    pub fn new(client: &Client, prefix: &str, marks: Vec<Vec<u8>>) -> Self {
        Objects {
            client: client.clone(),
            prefix: prefix.to_owned(),
            marks: marks.into_iter(),
            begin: Some(Vec::new()),
            stretches: VecDeque::new(),
            page: Vec::new().into_iter(),
            last: Vec::new(),
        }
    }

    fn step(&mut self) -> Result<Option<Listed>, BucketError> {
        loop {
            if let Some(object) = self.page.next() {
                return self.in_order(object).map(Some);
            }
            self.begin_stretches();
            let Some(stretch) = self.stretches.front_mut() else { return Ok(None) };
            match stretch.blocking_recv() {
                Some(page) => self.page = page?.into_iter(),
                None => {
                    self.stretches.pop_front();
                }
            }
        }
    }

    /// A store that lists in another order than that of bytes would have trees split anew each night, and objects
    /// listed twice.
    fn in_order(&mut self, object: Listed) -> Result<Listed, BucketError> {
        if !self.last.is_empty() && object.key <= self.last {
            let key = String::from_utf8_lossy(&object.key).into_owned();
            return Err(BucketError::Odd(format!("the store does not list keys in the order of their bytes: {key}")));
        }
        self.last.clone_from(&object.key);
        Ok(object)
    }

    fn begin_stretches(&mut self) {
        while self.stretches.len() < STRETCHES
            && let Some(after) = self.begin.take()
        {
            let prefix = self.prefix.as_bytes();
            // What is no text was listed by another kind of store.
            let is_mark = |mark: &Vec<u8>| mark.starts_with(prefix) && *mark > after && str::from_utf8(mark).is_ok();
            let end = match self.client.words().lists_after {
                true => self.marks.by_ref().find(is_mark),
                false => None,
            };
            self.begin.clone_from(&end);
            let (sender, receiver) = channel(PAGES_WAITING);
            let stretch = Stretch { prefix: self.prefix.clone(), after, end };
            let client = self.client.clone();
            self.client.spawn(async move { stretch.list(&client, &sender).await });
            self.stretches.push_back(receiver);
        }
    }
}

impl Stretch {
    /// Sends its pages until there is none left, or nobody wants them.
    async fn list(self, client: &Client, pages: &Sender<Result<Vec<Listed>, BucketError>>) {
        let mut token = None;
        loop {
            let page = client.page(&self.prefix, &self.after, token.as_deref(), PAGE).await;
            let (objects, is_last) = match page {
                Ok(Page { objects, next }) => {
                    token = next;
                    let (objects, is_last) = self.within(objects, token.is_some());
                    (Ok(objects), is_last)
                }
                Err(error) => (Err(error), true),
            };
            if pages.send(objects).await.is_err() || is_last {
                return;
            }
        }
    }

    /// The objects of a page that are in this stretch, and whether it was the last such page.
    fn within(&self, mut objects: Vec<Listed>, is_more: bool) -> (Vec<Listed>, bool) {
        let Some(end) = &self.end else { return (objects, !is_more) };
        let before = objects.len();
        objects.truncate(objects.partition_point(|object| object.key <= *end));
        let is_last = !is_more || objects.len() < before || objects.last().is_some_and(|last| last.key == *end);
        (objects, is_last)
    }
}

impl Client {
    /// A page of the listing: keys that begin with `prefix` and come after `after`, or where `token` says.
    pub(super) async fn page(
        &self,
        prefix: &str,
        after: &[u8],
        token: Option<&str>,
        most: usize,
    ) -> Result<Page, BucketError> {
        let words = self.words();
        let after = String::from_utf8_lossy(after);
        let query = (words.list)(&Wanted { prefix, after: &after, token, most });
        let answer = self.ask(&Ask::bucket(Method::GET, query)).await?;
        match answer.status.is_success() {
            true => (words.page)(&answer.body),
            false => Err(BucketError::Odd(format!("the store answered {} to a listing", answer.status.as_u16()))),
        }
    }
}

impl Iterator for Objects {
    type Item = Result<Listed, BucketError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            (self.begin, self.page) = (None, Vec::new().into_iter());
            self.stretches.clear();
        }
        step.transpose()
    }
}
