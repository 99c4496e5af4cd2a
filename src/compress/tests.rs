use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn pseudorandom(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|n: u64| format!("line {n}: {}\n", n * n % 977).into_bytes());
    lines.take(len).collect()
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    Compressor::new(3).unwrap().compress(plain).expect("text shrinks")
}

fn decompressed(stored: &[u8], plain_len: usize) -> Result<Vec<u8>, DecompressError> {
    Decompressor::new().decompress(stored, plain_len)
}

#[test]
fn what_was_compressed_comes_back_at_every_level_and_length() {
    let mut decompressor = Decompressor::new();
    for level in 1..=19 {
        let mut compressor = Compressor::new(level).unwrap();
        for len in [100, 255, 256, 511, 3000, 65_791, 65_792, 300_000] {
            let plain = text(len);
            let stored = compressor.compress(&plain).unwrap();
            assert_eq!(decompressor.decompress(&stored, len), Ok(plain));
        }
    }
}

#[test]
fn the_longest_blob_comes_back_even_from_the_highest_level() {
    for level in [1, 19] {
        let mut plain = text(1 << 20);
        plain.resize(MAX_PLAIN_LEN, b'z');
        let stored = Compressor::new(level).unwrap().compress(&plain).unwrap();
        assert!(decompressed(&stored, MAX_PLAIN_LEN) == Ok(plain));
    }
}

#[test]
fn levels_that_are_not_offered_are_refused() {
    for level in [i32::MIN, -1, 0, 20, 22, i32::MAX] {
        assert_eq!(Compressor::new(level).err(), Some(LevelError(level)));
    }
}

#[test]
fn what_does_not_shrink_is_left_alone() {
    let mut compressor = Compressor::new(3).unwrap();
    for len in [0, 1, 10, 1000, 65_536, 1 << 20] {
        assert_eq!(compressor.compress(&pseudorandom(len)), None);
    }
    let mut plain = pseudorandom(6400);
    plain.extend_from_within(..200);
    assert!(compressor.compress(&plain).is_some());
}

#[test]
fn text_around_a_hard_middle_is_still_compressed() {
    let plain = [text(100_000), pseudorandom(50_000), text(100_000)].concat();

    let stored = compressed(&plain);

    assert!(stored.len() < 120_000, "{}", stored.len());
    assert_eq!(decompressed(&stored, plain.len()), Ok(plain));
}

#[test]
fn one_plaintext_gives_one_frame_whatever_came_before() {
    let plain = text(5000);
    let mut used = Compressor::new(3).unwrap();
    used.compress(&text(2_000_000));
    used.compress(&pseudorandom(100_000));

    assert_eq!(used.compress(&plain), Some(compressed(&plain)));
}

#[test]
fn another_plaintext_length_is_refused() {
    let stored = compressed(&text(5000));
    for plain_len in [0, 4999, 5001, MAX_PLAIN_LEN] {
        let refused = decompressed(&stored, plain_len);
        assert_eq!(refused, Err(DecompressError::PlainLen(plain_len)));
    }
    let refused = decompressed(&stored, MAX_PLAIN_LEN + 1);
    assert_eq!(refused, Err(DecompressError::TooLong(MAX_PLAIN_LEN + 1)));
}

#[test]
fn a_frame_that_does_not_state_its_length_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(&text(5000)).unwrap();
    let stored = encoder.finish().unwrap();

    assert_eq!(decompressed(&stored, 5000), Err(DecompressError::PlainLen(5000)));
}

#[test]
fn more_or_less_than_one_frame_is_refused() {
    let stored = compressed(&text(5000));
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9];

    for tail in [&stored[..], &skippable, b"x"] {
        let refused = decompressed(&[&stored, tail].concat(), 5000);
        assert_eq!(refused, Err(DecompressError::NotOneFrame));
    }
    let refused = decompressed(&[&skippable, &stored[..]].concat(), 5000);
    assert_eq!(refused, Err(DecompressError::NotAFrame));
    for len in 0..stored.len() {
        assert!(decompressed(&stored[..len], 5000).is_err());
    }
}

#[test]
fn a_frame_with_a_dictionary_is_refused() {
    let mut stored = compressed(&text(5000));
    stored[4] |= 1;
    stored.insert(6, 0);

    assert_eq!(decompressed(&stored, 5000), Err(DecompressError::Dictionary));
}

#[test]
fn a_frame_that_needs_a_large_window_is_refused() {
    let header = |window| [&0xFD2F_B528_u32.to_le_bytes()[..], &[0b1000_0000, window]].concat();
    let last_raw_block = [5, 0, 0, 0, 0x29, 0, 0, b'h', b'e', b'l', b'l', b'o'];
    let frame = |window| [header(window), last_raw_block.to_vec()].concat();

    assert_eq!(decompressed(&frame(14 << 3), 5), Ok(b"hello".to_vec()));
    let refused = decompressed(&frame(14 << 3 | 1), 5);
    assert_eq!(refused, Err(DecompressError::Window((16 << 20) + (2 << 20))));
    let refused = decompressed(&frame(u8::MAX), 5);
    assert_eq!(refused, Err(DecompressError::Window(15 << 38)));
}

#[test]
fn a_frame_that_produces_more_or_less_than_it_states_is_damaged() {
    for stated in [1, 100, 4999, 5001, 1 << 20] {
        let mut stored = zstd::bulk::compress(&text(5000), 3).unwrap();
        assert_eq!(stored[4], 0b0110_0000, "one segment, length in two bytes");
        stored[4] = 0b1010_0000;
        stored.splice(5..7, u32::to_le_bytes(stated));

        let refused = decompressed(&stored, stated as usize);

        assert_eq!(refused, Err(DecompressError::Damaged), "{stated}");
    }
}

#[test]
fn a_decompressor_serves_after_a_failure() {
    let plain = text(5000);
    let stored = compressed(&plain);
    let mut damaged = stored.clone();
    damaged[20..60].fill(0xFF);
    let mut decompressor = Decompressor::new();

    assert_ne!(decompressor.decompress(&damaged, 5000), Ok(plain.clone()));
    assert_eq!(decompressor.decompress(&stored, 5000), Ok(plain));
}

proptest! {
    #[test]
    fn any_bytes_come_back_or_stay_raw(plain in vec(0u8..8, 0..5000), level in 1..=19) {
        if let Some(stored) = Compressor::new(level).unwrap().compress(&plain) {
            prop_assert!(stored.len() < plain.len());
            prop_assert_eq!(decompressed(&stored, plain.len()), Ok(plain));
        }
    }

    #[test]
    fn any_bytes_behind_a_header_give_the_stated_length_or_an_error(
        descriptor: u8, tail in vec(any::<u8>(), 0..200), plain_len in 0usize..100_000,
    ) {
        let stored = [&0xFD2F_B528_u32.to_le_bytes()[..], &[descriptor], &tail].concat();
        if let Ok(plain) = decompressed(&stored, plain_len) {
            prop_assert_eq!(plain.len(), plain_len);
        }
        prop_assert!(decompressed(&tail, plain_len).is_err());
    }

    #[test]
    fn an_altered_frame_gives_the_stated_length_or_an_error(
        alterations in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut: prop::sample::Index,
    ) {
        let mut stored = compressed(&text(20_000));
        for (index, byte) in alterations {
            let at = index.index(stored.len());
            stored[at] ^= byte;
        }
        for stored in [&stored[..], &stored[..cut.index(stored.len())]] {
            if let Ok(plain) = decompressed(stored, 20_000) {
                prop_assert_eq!(plain.len(), 20_000);
                prop_assert_eq!(plain.capacity(), 20_000);
            }
        }
    }
}
