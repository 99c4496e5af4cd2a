//! Compression: each blob by itself with zstd, before it is sealed.
//!
//! [`Compressor`] says whether a blob is worth it; [`Decompressor`] takes back exactly what was put in and
//! refuses everything else. Both keep their zstd contexts: make one per thread, not one per blob.

mod frame;

use thiserror::Error;
use zstd::zstd_safe;

/// The longest plaintext of a blob, in bytes, and the largest window a frame may ask for.
pub const MAX_PLAIN_LEN: usize = 16 << 20;

/// From this length in bytes on, a sample tells whether a blob is hard to compress.
const PROBED_LEN: usize = 64 << 10;
const SAMPLE_LEN: usize = 16 << 10;
/// Hard is a sample that keeps more than this many hundredths of its length.
const HARD_PERCENT: usize = 97;
/// zstd's quickest way of looking for repetitions that still codes literals.
const HARD_LEVEL: i32 = -1;
/// Whoever asks for more than this wants few bytes, not little time: nothing is probed.
const LAST_PROBED_LEVEL: i32 = 9;

/// Compresses blobs at one level; keeps its contexts and one output buffer as long as the longest blob.
pub struct Compressor {
    usual: zstd::bulk::Compressor<'static>,
    hard: Option<zstd::bulk::Compressor<'static>>,
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
        let context = |level| zstd::bulk::Compressor::new(level).map_err(|_| LevelError(level));
        Ok(Self {
            usual: context(level)?,
            hard: (level <= LAST_PROBED_LEVEL).then(|| context(HARD_LEVEL)).transpose()?,
            output: Vec::new(),
        })
    }

    /// One zstd frame that holds `plain`, or `None` when `plain` had better be stored as it is: because
    /// it would not shrink by a 64th of its length (rounded up), or because zstd reports an error.
    ///
    /// What is long and hard to compress (PDF, JPEG, archives) is compressed at zstd's level −1: measured
    /// on PDF files that doubles the speed and costs 0.5 % of the bytes, whereas storing all of it raw
    /// on the evidence of a sample would cost 3 %.
    pub fn compress(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let worthwhile = plain.len() - plain.len().div_ceil(64);
        let hard = self.is_hard(plain);
        let context = match &mut self.hard {
            Some(context) if hard => context,
            _ => &mut self.usual,
        };
        let len = compress_into(&mut self.output, context, plain)?;
        (len <= worthwhile).then(|| self.output.to_vec())
    }

    /// Whether a sample from the middle hardly shrinks: headers and trailers are no evidence.
    fn is_hard(&mut self, plain: &[u8]) -> bool {
        let Some(context) = &mut self.hard else {
            return false;
        };
        if plain.len() < PROBED_LEN {
            return false;
        }
        let begin = (plain.len() - SAMPLE_LEN) / 2;
        let sample = &plain[begin..begin + SAMPLE_LEN];
        compress_into(&mut self.output, context, sample).is_none_or(|len| len > SAMPLE_LEN / 100 * HARD_PERCENT)
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
