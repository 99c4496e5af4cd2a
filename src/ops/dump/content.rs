//! One file's content as a reader: always as long as its header says, whatever is missing of it.

use std::io::{self, Read};

use super::ahead::{Piece, Pieces, Ready};
use crate::format::content::{Body, Content};
use crate::repo::RepoError;

/// Reads one file's content from the pieces up to its end.
pub(super) struct ContentReader<'p> {
    pieces: &'p mut Pieces,
    interrupted: &'p (dyn Fn() -> bool + Sync),
    buffer: Vec<u8>,
    at: usize,
    /// Zeros that come before the next piece.
    zeros: u64,
    /// Bytes that are still to be given.
    left: u64,
    ended: bool,
    /// The first thing that could not be read; zeros stand for it.
    pub failure: Option<RepoError>,
}

impl<'p> ContentReader<'p> {
    /// Gets ready, with the first piece at hand; fails if that cannot be read.
    pub fn new(pieces: &'p mut Pieces, content: &Content, interrupted: &'p (dyn Fn() -> bool + Sync)) -> Self {
        let buffer = match &content.body {
            Body::Inline(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        };
        let (at, zeros, left) = (0, 0, content.size);
        let mut reader = ContentReader { pieces, interrupted, buffer, at, zeros, left, ended: false, failure: None };
        if reader.buffer.is_empty() {
            reader.next_piece();
        }
        reader
    }

    fn next_piece(&mut self) {
        (self.at, self.zeros) = (0, 0);
        self.buffer.clear();
        let failure = match self.pieces.next() {
            Some(Ready::Chunk { plain: Ok(plain), .. }) => {
                self.buffer = plain;
                return;
            }
            Some(Ready::Chunk { len, plain: Err(error) }) => {
                self.zeros = u64::from(len);
                error
            }
            Some(Ready::Other(Piece::Hole(len))) => {
                self.zeros = len;
                return;
            }
            Some(Ready::Other(Piece::Broken(error))) => error,
            // Whatever its parts add up to, the header has promised its size.
            Some(Ready::Other(_)) | None => {
                self.ended = true;
                self.zeros = self.left;
                return;
            }
        };
        self.failure.get_or_insert(failure);
    }

    /// Passes over what was not read.
    pub fn finish(mut self) -> Option<RepoError> {
        while !self.ended {
            self.next_piece();
        }
        self.failure
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if (self.interrupted)() {
            return Err(io::Error::other("interrupted"));
        }
        while self.at == self.buffer.len() && self.zeros == 0 && !self.ended {
            self.next_piece();
        }
        let room = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let given = match &self.buffer[self.at..] {
            [] => {
                let zeros = room.min(usize::try_from(self.zeros).unwrap_or(usize::MAX));
                out[..zeros].fill(0);
                self.zeros -= zeros as u64;
                zeros
            }
            rest => {
                let given = room.min(rest.len());
                out[..given].copy_from_slice(&rest[..given]);
                self.at += given;
                given
            }
        };
        self.left -= given as u64;
        Ok(given)
    }
}
