//! What chunking promises (format-spec/chunking.md), tried on random streams, and the spec's vectors.

use std::collections::HashSet;
use std::io::{self, Read};

use keepstone::chunk::{Chunker, ChunkerParams, Chunks};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;

/// The pseudo-code of the spec, byte by byte, leaning on nothing of the library's.
mod spec {
    pub struct Params {
        pub min: usize,
        pub avg: usize,
        pub max: usize,
    }

    pub fn table(key: &[u8; 32]) -> Vec<u64> {
        let mut table_bytes = [0; 2048];
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(b"keepstone v1 gear table");
        hasher.finalize_xof().fill(&mut table_bytes);
        let word = |i: usize| table_bytes[8 * i..8 * i + 8].try_into().unwrap();
        (0..256).map(|i| u64::from_le_bytes(word(i))).collect()
    }

    fn mask(n: u32) -> u64 {
        (2u64.pow(n) - 1) * 2u64.pow(63 - n)
    }

    fn cut(rest: &[u8], table: &[u64], params: &Params) -> usize {
        let b = params.avg.trailing_zeros();
        let (strict, relaxed) = (mask(b + 2), mask(b - 2));
        let n = rest.len().min(params.max);
        if n <= params.min {
            return n;
        }
        let mut hash = 0u64;
        for i in params.min..n - n % 2 {
            hash = hash.wrapping_mul(2).wrapping_add(table[rest[i] as usize]);
            let mask = if i < params.avg { strict } else { relaxed };
            if hash & mask == 0 {
                return i;
            }
        }
        n
    }

    pub fn chunk_lengths(mut rest: &[u8], key: &[u8; 32], params: &Params) -> Vec<usize> {
        let table = table(key);
        let mut lengths = Vec::new();
        while !rest.is_empty() {
            let len = cut(rest, &table, params);
            lengths.push(len);
            rest = &rest[len..];
        }
        lengths
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    key: String,
    params: VectorParams,
    input: VectorInput,
    table: Vec<String>,
    chunks: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorParams {
    min: u32,
    avg: u32,
    max: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorInput {
    seed: String,
    length: usize,
    and: u8,
}

impl Vector {
    fn key(&self) -> [u8; 32] {
        *blake3::Hash::from_hex(&self.key).unwrap().as_bytes()
    }

    fn chunker(&self) -> Chunker {
        let VectorParams { min, avg, max } = self.params;
        Chunker::new(&self.key(), ChunkerParams::new(min, avg, max).unwrap())
    }

    fn spec_params(&self) -> spec::Params {
        spec::Params { min: self.params.min as usize, avg: self.params.avg as usize, max: self.params.max as usize }
    }
}

impl VectorInput {
    fn stream(&self) -> Vec<u8> {
        let mut stream = pseudorandom(self.seed.as_bytes(), self.length);
        stream.iter_mut().for_each(|byte| *byte &= self.and);
        stream
    }
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../format-spec/vectors/chunking.json")).unwrap();
    assert_eq!(vectors.len(), 14);
    vectors
}

fn pseudorandom(seed: &[u8], len: usize) -> Vec<u8> {
    let mut stream = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed);
    hasher.finalize_xof().fill(&mut stream);
    stream
}

fn lengths(chunker: &Chunker, stream: &[u8]) -> Vec<usize> {
    chunker.split(stream).map(<[u8]>::len).collect()
}

fn read_chunks(chunker: &Chunker, reader: impl Read, size_hint: Option<u64>) -> Vec<Vec<u8>> {
    let mut chunks = Chunks::new(chunker, reader, size_hint);
    std::iter::from_fn(|| chunks.next_chunk().unwrap()).collect()
}

/// Reads as many bytes at a time as it is told, over and over.
struct Dribbling<'a> {
    rest: &'a [u8],
    steps: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Dribbling<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let step = self.steps.next().unwrap_or(1).min(room.len());
        self.rest.read(&mut room[..step])
    }
}

#[test]
fn the_library_cuts_as_the_vectors_say() {
    for vector in vectors() {
        let stream = vector.input.stream();
        let chunker = vector.chunker();
        let read = read_chunks(&chunker, &stream[..], Some(stream.len() as u64));

        assert_eq!(lengths(&chunker, &stream), vector.chunks, "{}", vector.name);
        assert_eq!(read.concat(), stream, "{}", vector.name);
        let read: Vec<usize> = read.iter().map(Vec::len).collect();
        assert_eq!(read, vector.chunks, "{}", vector.name);
    }
}

#[test]
fn the_text_of_the_spec_cuts_as_the_vectors_say() {
    for vector in vectors() {
        let table = spec::table(&vector.key());
        let words: Vec<String> = table[..4].iter().map(|word| format!("{word:016x}")).collect();
        assert_eq!(words, vector.table, "{}", vector.name);

        let stream = vector.input.stream();
        let cut = spec::chunk_lengths(&stream, &vector.key(), &vector.spec_params());
        assert_eq!(cut, vector.chunks, "{}", vector.name);
    }
}

#[test]
fn random_chunks_of_the_default_are_about_one_mebibyte() {
    let chunker = Chunker::new(&[3; 32], ChunkerParams::default());
    let stream = pseudorandom(b"average", 64 << 20);

    let count = chunker.split(&stream).count();

    assert!((45..75).contains(&count), "{count} chunks of 64 MiB");
}

prop_compose! {
    fn any_params()(
        log_avg in 7u32..11,
        min in 0.0..1.0f64,
        max in 0.0..1.0f64,
    ) -> ChunkerParams {
        let avg = 1u32 << log_avg;
        let min = 64 + ((f64::from(avg - 64 - 2) * min) as u32 & !1);
        let max = avg + 2 + ((f64::from(3 * avg) * max) as u32 & !1);
        ChunkerParams::new(min, avg, max).unwrap()
    }
}

/// Streams of much and of little variety; in the latter, cuts at `max` and runs of zeros are common.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..20_000),
        vec(0u8..2, 0..20_000),
        vec((any::<u8>(), 1usize..2000), 0..20)
            .prop_map(|runs| runs.iter().flat_map(|&(byte, len)| vec![byte; len]).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_library_cuts_as_the_text_of_the_spec_says(
        key: [u8; 32], params in any_params(), stream in any_stream(),
    ) {
        let spec_params = spec::Params {
            min: params.min() as usize,
            avg: params.avg() as usize,
            max: params.max() as usize,
        };

        let cut = lengths(&Chunker::new(&key, params), &stream);

        prop_assert_eq!(cut, spec::chunk_lengths(&stream, &key, &spec_params));
    }

    #[test]
    fn chunks_make_up_the_stream_and_keep_the_bounds(
        key: [u8; 32], params in any_params(), stream in any_stream(),
    ) {
        let chunker = Chunker::new(&key, params);
        let chunks: Vec<&[u8]> = chunker.split(&stream).collect();

        prop_assert_eq!(&chunks.concat(), &stream);
        if let Some((last, others)) = chunks.split_last() {
            prop_assert!((1..=params.max() as usize).contains(&last.len()));
            let bounds = params.min() as usize..=params.max() as usize;
            prop_assert!(others.iter().all(|chunk| bounds.contains(&chunk.len())));
        }
    }

    #[test]
    fn neither_read_sizes_nor_the_size_hint_move_a_cut(
        params in any_params(),
        stream in any_stream(),
        steps in vec(1usize..3000, 1..10),
        hint in proptest::option::of(0u64..30_000),
    ) {
        let chunker = Chunker::new(&[9; 32], params);
        let reader = Dribbling { rest: &stream, steps: steps.into_iter().cycle() };

        let read = read_chunks(&chunker, reader, hint);

        let whole: Vec<&[u8]> = chunker.split(&stream).collect();
        prop_assert_eq!(read, whole);
    }

    #[test]
    fn who_goes_on_after_any_cut_cuts_as_if_he_had_begun_at_the_beginning(
        params in any_params(), stream in any_stream(), at: proptest::sample::Index, hint in proptest::option::of(0u64..30_000),
    ) {
        let chunker = Chunker::new(&[9; 32], params);
        let whole: Vec<&[u8]> = chunker.split(&stream).collect();
        let kept = at.index(whole.len() + 1);
        let offset: usize = whole[..kept].iter().map(|chunk| chunk.len()).sum();

        let rest = read_chunks(&chunker, &stream[offset..], hint);

        prop_assert_eq!(rest, &whole[kept..]);
    }

    #[test]
    fn an_inserted_byte_moves_only_the_cuts_near_it(
        seed: [u8; 16], at in 0usize..500, byte: u8,
    ) {
        let chunker = Chunker::new(&[4; 32], ChunkerParams::new(64, 256, 1024).unwrap());
        let before = pseudorandom(&seed, 100_000);
        let mut after = before.clone();
        after.insert(at, byte);

        let known: HashSet<&[u8]> = chunker.split(&before).collect();
        let new: usize = chunker
            .split(&after)
            .filter(|chunk| !known.contains(chunk))
            .map(<[u8]>::len)
            .sum();

        prop_assert!(new < 20_000, "{new} of 100001 bytes are new");
    }
}
