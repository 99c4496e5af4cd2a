//! Compression: each blob by itself with zstd, before it is sealed.
//!
//! [`Compressor`] says whether a blob is worth it; [`Decompressor`] takes back exactly what was put in and
//! refuses everything else. Both keep their zstd contexts: make one per thread, not one per blob.

mod frame;

use thiserror::Error;
use zstd::zstd_safe;

/// The longest plaintext of a blob, in bytes, and the largest window a frame may ask for.
pub const MAX_PLAIN_LEN: usize = 16 << 20;

/// Compresses blobs at one level; keeps its context and one output buffer as long as the longest blob.
pub struct Compressor {
    context: zstd::bulk::Compressor<'static>,
    output: Vec<u8>,
}

/// A compression level that we do not offer.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("compression level {0} is not between 1 and 19")]
pub struct LevelError(i32);

impl Compressor {
    /// zstd's own default, and ours: one level more costs a third of the speed for 2 % of the size.
    pub const DEFAULT_LEVEL: i32 = 3;

    /// A compressor for `level`, 1 (quick) to 19 (small). Higher levels would need windows and memory
    /// beyond what a reader must accept.
    pub fn new(level: i32) -> Result<Self, LevelError> {
        if !(1..=19).contains(&level) {
            return Err(LevelError(level));
        }
        let context = zstd::bulk::Compressor::new(level).map_err(|_| LevelError(level))?;
        Ok(Self { context, output: Vec::new() })
    }

    /// One zstd frame that holds `plain`, or `None` when it would not be shorter, or zstd reports an error.
    ///
    /// What is hard to compress (PDF, JPEG, archives) is not spared: on real PDF files, quicker ways
    /// cost 0.5 % of the bytes, and sealing and hashing take longer than zstd's own giving up.
    pub fn compress(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let len = compress_into(&mut self.output, &mut self.context, plain)?;
        (len < plain.len()).then(|| self.output.to_vec())
    }
}

/// The room is zstd's bound, not what would be worthwhile: zstd's choices may depend on the room, and
/// one plaintext should give one frame.
fn compress_into(output: &mut Vec<u8>, context: &mut zstd::bulk::Compressor<'static>, plain: &[u8]) -> Option<usize> {
    output.clear();
    output.reserve(zstd_safe::compress_bound(plain.len()));
    context.compress_to_buffer(plain, output).ok()
}

/// Takes compressed blobs apart; keeps its context.
#[derive(Default)]
pub struct Decompressor {
    context: zstd::bulk::Decompressor<'static>,
}

/// Why stored bytes are not the compressed form of a blob. Always damage, or a writer that broke the
/// format: what is decompressed has been authenticated before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecompressError {
    /// The plaintext length is above [`MAX_PLAIN_LEN`].
    #[error("a blob of {0} bytes is longer than the format allows")]
    TooLong(usize),
    /// No zstd frame begins here; a skippable or legacy one is none.
    #[error("the compressed blob does not begin with a zstd frame")]
    NotAFrame,
    /// The frame names a dictionary; there are none.
    #[error("the compressed blob asks for a dictionary")]
    Dictionary,
    /// The frame's window in bytes is above [`MAX_PLAIN_LEN`].
    #[error("the compressed blob asks for a window of {0} bytes, more than the format allows")]
    Window(u64),
    /// The frame does not state the plaintext length that the blob is known to have.
    #[error("the compressed blob does not state its plaintext length of {0} bytes")]
    PlainLen(usize),
    /// The frame ends before or after the stored bytes do.
    #[error("the compressed blob is not exactly one zstd frame")]
    NotOneFrame,
    /// zstd cannot make sense of the frame.
    #[error("the compressed blob is damaged")]
    Damaged,
}

impl Decompressor {
    /// A decompressor with a context of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `plain_len` bytes that `stored` is the compressed form of.
    ///
    /// `plain_len` must be authentic: that much memory is taken, once the frame's header agrees with it.
    ///
    /// # Errors
    ///
    /// Unless `stored` is exactly one frame that states and produces `plain_len` bytes, without a dictionary.
    pub fn decompress(&mut self, stored: &[u8], plain_len: usize) -> Result<Vec<u8>, DecompressError> {
        check_frame(stored, plain_len)?;
        let mut plain = Vec::with_capacity(plain_len);
        let len = self.context.decompress_to_buffer(stored, &mut plain).map_err(|_| DecompressError::Damaged)?;
        if len != plain_len {
            return Err(DecompressError::Damaged);
        }
        Ok(plain)
    }
}

/// What can be told from the headers of the frame and its blocks, before memory is given to it.
fn check_frame(stored: &[u8], plain_len: usize) -> Result<(), DecompressError> {
    if plain_len > MAX_PLAIN_LEN {
        return Err(DecompressError::TooLong(plain_len));
    }
    let header = frame::Header::decode(stored).ok_or(DecompressError::NotAFrame)?;
    if header.names_dictionary {
        return Err(DecompressError::Dictionary);
    }
    if header.content_len != Some(plain_len as u64) {
        return Err(DecompressError::PlainLen(plain_len));
    }
    if header.window_len > MAX_PLAIN_LEN as u64 {
        return Err(DecompressError::Window(header.window_len));
    }
    // zstd itself would go on with further frames behind the first.
    match zstd_safe::find_frame_compressed_size(stored) {
        Ok(len) if len == stored.len() => Ok(()),
        _ => Err(DecompressError::NotOneFrame),
    }
}

#[cfg(test)]
mod tests;
