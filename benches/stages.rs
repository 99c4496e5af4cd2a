//! How fast each stage of a backup is by itself, on one thread: cut, name, compress, seal, and the way
//! back. On 1 MiB of noise (photographs, archives) and of text, the average length of a chunk.

use std::hint::black_box;
use std::time::Duration;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use keepstone::chunk::{Chunker, ChunkerParams, Chunks};
use keepstone::compress::{Compressor, Decompressor};

const LEN: usize = 1 << 20;

fn noise() -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Words from a small vocabulary in no order, which compress about as well as prose or source code.
fn text() -> Vec<u8> {
    let vocabulary: Vec<String> = (0..400u64).map(|n| format!("{:x} ", (n * n * 2_654_435_761) % 10_000_019)).collect();
    let picks = noise();
    let words = picks.chunks_exact(2).map(|pick| {
        let pick = usize::from(u16::from_le_bytes([pick[0], pick[1]]));
        vocabulary[pick % vocabulary.len()].as_bytes()
    });
    words.flatten().copied().take(LEN).collect()
}

fn stages(criterion: &mut Criterion) {
    for (name, plain) in [("noise", noise()), ("text", text())] {
        assert_eq!(plain.len(), LEN);
        let mut group = criterion.benchmark_group(name);
        group
            .throughput(Throughput::Bytes(LEN as u64))
            .sample_size(20)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1));
        bench_cut(&mut group, &plain);
        bench_name(&mut group, &plain);
        bench_compress(&mut group, &plain);
        bench_seal(&mut group, &plain);
        group.finish();
    }
}

fn bench_cut(group: &mut BenchmarkGroup<'_, WallTime>, plain: &[u8]) {
    // A least length far below the stream's, so that all of it but a thousandth is scanned.
    let params = ChunkerParams::new(1 << 10, 8 << 20, 16 << 20).expect("within the bounds");
    let scanning = Chunker::new(&[1; 32], params);
    group.bench_function("cut, every byte scanned", |bencher| {
        bencher.iter(|| scanning.split(black_box(plain)).count());
    });

    let usual = Chunker::new(&[1; 32], ChunkerParams::default());
    group.bench_function("cut and copy from a reader", |bencher| {
        bencher.iter(|| {
            let mut chunks = Chunks::new(&usual, black_box(plain), Some(LEN as u64));
            while let Ok(Some(chunk)) = chunks.next_chunk() {
                black_box(chunk);
            }
        });
    });
}

fn bench_name(group: &mut BenchmarkGroup<'_, WallTime>, plain: &[u8]) {
    group.bench_function("name by keyed BLAKE3", |bencher| {
        bencher.iter(|| blake3::keyed_hash(&[2; 32], black_box(plain)));
    });
}

fn bench_compress(group: &mut BenchmarkGroup<'_, WallTime>, plain: &[u8]) {
    let mut compressor = Compressor::new(Compressor::DEFAULT_LEVEL).expect("a level we offer");
    group.bench_function("compress", |bencher| {
        bencher.iter(|| compressor.compress(black_box(plain)));
    });

    let Some(stored) = compressor.compress(plain) else {
        return; // stored raw: there is nothing to decompress
    };
    let mut decompressor = Decompressor::new();
    group.bench_function("decompress", |bencher| {
        bencher.iter(|| decompressor.decompress(black_box(&stored), LEN));
    });
}

fn bench_seal(group: &mut BenchmarkGroup<'_, WallTime>, plain: &[u8]) {
    let cipher = ChaCha20Poly1305::new(&Key::from([3; 32]));
    let nonce = Nonce::from([4; 12]);
    let mut buffer = plain.to_vec();
    group.bench_function("seal in place", |bencher| {
        bencher.iter(|| {
            let buffer = InOutBuf::from(&mut buffer[..]);
            cipher.encrypt_inout_detached(&nonce, b"claim", buffer)
        });
    });

    let mut sealed = plain.to_vec();
    let tag = cipher
        .encrypt_inout_detached(&nonce, b"claim", InOutBuf::from(&mut sealed[..]))
        .expect("1 MiB is within the cipher's bounds");
    let mut buffer = sealed.clone();
    group.bench_function("copy and open", |bencher| {
        bencher.iter(|| {
            buffer.copy_from_slice(&sealed); // opening in place destroys what it opened
            let buffer = InOutBuf::from(&mut buffer[..]);
            cipher.decrypt_inout_detached(&nonce, b"claim", buffer, &tag)
        });
    });
}

criterion_group!(benches, stages);
criterion_main!(benches);
