//! How long chunks may be. A value of [`ChunkerParams`] is within the bounds of format-spec/chunking.md.

use thiserror::Error;

/// The smallest `min` in bytes: a test of the rolling hash looks back 63 bytes.
pub const MIN_CHUNK_LEN: u32 = 64;
/// The largest `max` in bytes: a blob is never longer.
pub const MAX_CHUNK_LEN: u32 = 16 << 20;

/// How many bits the two masks are away from the average (the literature's normalisation level 2).
const NORMALISATION: u32 = 2;
/// Mask bits end below bit 63: the scan shifts masks left by one and must not lose any.
const MASK_TOP: u32 = 63;

/// Least, aimed-at and greatest length of chunks, in bytes; only the last chunk of a stream may be
/// shorter than `min`.
///
/// All even, because the scan advances by two bytes; `min < avg < max`; `avg` a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkerParams {
    min: u32,
    avg: u32,
    max: u32,
}

/// Why three numbers are no chunker parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParamsError {
    /// `min` is below [`MIN_CHUNK_LEN`].
    #[error("the least chunk length must be {MIN_CHUNK_LEN} bytes or more, not {0}")]
    MinTooSmall(u32),
    /// `max` is above [`MAX_CHUNK_LEN`].
    #[error("the greatest chunk length must be {MAX_CHUNK_LEN} bytes or less, not {0}")]
    MaxTooLarge(u32),
    /// Not `min < avg < max`.
    #[error("chunk lengths must grow from least over average to greatest")]
    NotAscending,
    /// An odd `min` or `max`.
    #[error("least and greatest chunk length must be even, not {0}")]
    Odd(u32),
    /// `avg` has no exact logarithm to choose masks by.
    #[error("the average chunk length must be a power of two, not {0}")]
    AvgNotPowerOfTwo(u32),
}

impl ChunkerParams {
    /// Parameters within the bounds of the format, or what is wrong with them.
    pub fn new(min: u32, avg: u32, max: u32) -> Result<Self, ParamsError> {
        if min < MIN_CHUNK_LEN {
            return Err(ParamsError::MinTooSmall(min));
        }
        if max > MAX_CHUNK_LEN {
            return Err(ParamsError::MaxTooLarge(max));
        }
        if min >= avg || avg >= max {
            return Err(ParamsError::NotAscending);
        }
        if let Some(odd) = [min, max].into_iter().find(|len| len % 2 == 1) {
            return Err(ParamsError::Odd(odd));
        }
        if !avg.is_power_of_two() {
            return Err(ParamsError::AvgNotPowerOfTwo(avg));
        }
        Ok(Self { min, avg, max })
    }

    /// The least length of a chunk that is not the last, in bytes.
    pub fn min(self) -> u32 {
        self.min
    }

    /// The length from which on cuts are made likely, in bytes.
    pub fn avg(self) -> u32 {
        self.avg
    }

    /// The greatest length of a chunk, in bytes.
    pub fn max(self) -> u32 {
        self.max
    }

    /// What the hash is tested against before `avg`: rarely zero.
    pub(super) fn strict_mask(self) -> u64 {
        mask_of(self.avg.ilog2() + NORMALISATION)
    }

    /// What the hash is tested against from `avg` on: often zero.
    pub(super) fn relaxed_mask(self) -> u64 {
        mask_of(self.avg.ilog2() - NORMALISATION)
    }
}

/// 256 KiB, 1 MiB, 4 MiB.
impl Default for ChunkerParams {
    fn default() -> Self {
        Self { min: 256 << 10, avg: 1 << 20, max: 4 << 20 }
    }
}

/// The `ones` bits directly below bit 63: bit `k` of a gear hash depends on the last `k + 1` bytes, so
/// the highest bits see most of what came before.
fn mask_of(ones: u32) -> u64 {
    ((1 << ones) - 1) << (MASK_TOP - ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_within_the_bounds() {
        let default = ChunkerParams::default();

        let checked = ChunkerParams::new(default.min, default.avg, default.max);

        assert_eq!(checked, Ok(default));
    }

    #[test]
    fn the_masks_of_the_default_are_those_of_the_spec() {
        let default = ChunkerParams::default();

        assert_eq!(default.strict_mask(), 0x7FFF_FE00_0000_0000);
        assert_eq!(default.relaxed_mask(), 0x7FFF_E000_0000_0000);
    }

    #[test]
    fn every_mask_survives_the_shift_and_looks_back_39_bytes_or_more() {
        let averages: Vec<u32> = (7..24).map(|bits| 1 << bits).collect();
        assert_eq!(averages.last(), Some(&(MAX_CHUNK_LEN / 2)));

        for avg in averages {
            let params = ChunkerParams::new(MIN_CHUNK_LEN, avg, MAX_CHUNK_LEN).unwrap();
            assert_eq!(params.strict_mask() >> 63, 0);
            assert_eq!(params.strict_mask().count_ones(), avg.ilog2() + 2);
            assert_eq!(params.relaxed_mask().count_ones(), avg.ilog2() - 2);
            assert!(params.strict_mask().trailing_zeros() >= 38);
        }
    }

    #[test]
    fn what_the_format_does_not_allow_is_refused() {
        use ParamsError::*;
        let refused = [
            ((0, 128, 256), MinTooSmall(0)),
            ((62, 128, 256), MinTooSmall(62)),
            ((64, 128, MAX_CHUNK_LEN + 2), MaxTooLarge(MAX_CHUNK_LEN + 2)),
            ((64, 64, 256), NotAscending),
            ((128, 64, 256), NotAscending),
            ((64, 256, 256), NotAscending),
            ((65, 128, 256), Odd(65)),
            ((64, 128, 255), Odd(255)),
            ((64, 130, 256), AvgNotPowerOfTwo(130)),
        ];
        for ((min, avg, max), why) in refused {
            assert_eq!(ChunkerParams::new(min, avg, max), Err(why));
        }
    }
}
