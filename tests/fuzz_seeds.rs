//! The seeds of the fuzz targets (fuzz/corpus): each target has some, and the vectors of the spec are
//! among them. `KEEPSTONE_WRITE_SEEDS=1 cargo test --test fuzz_seeds` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// Longer cases are about lengths, and cost the fuzzer more than they teach it.
const SEED_MAX: usize = 4 << 10;

/// Targets that take the bytes of the vectors of the same name as they are.
const STRUCTURES: [&str; 22] = [
    "beginning_of_a_file",
    "blob_record",
    "closing",
    "condemned_record",
    "config",
    "content",
    "envelope",
    "epoch_record",
    "extended_attributes",
    "forgotten_record",
    "hard_link_identity",
    "index_segment",
    "key_slot",
    "keyring",
    "list_node",
    "padding",
    "pairs",
    "run",
    "sealed_keyring",
    "session",
    "snapshot",
    "tree_node",
];

/// Seeds by target and name.
type Seeds = BTreeMap<(String, String), Vec<u8>>;

#[test]
fn every_target_has_its_seeds_and_the_vectors_are_among_them() {
    let seeds = seeds();
    if std::env::var_os("KEEPSTONE_WRITE_SEEDS").is_some() {
        seeds.iter().for_each(|((target, name), seed)| write(target, name, seed));
    }
    for ((target, name), seed) in &seeds {
        let stored = fs::read(corpus(target).join(name)).ok();
        assert!(stored.as_ref() == Some(seed), "{target}/{name} is not up to date: see the top of this test");
    }
    let with_seeds: BTreeSet<String> = seeds.into_keys().map(|(target, _)| target).collect();
    assert_eq!(with_seeds, targets());
}

fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for structure in STRUCTURES {
        add_vectors(&mut seeds, structure, |_| Vec::new());
    }
    // What these targets take beside the bytes stands before them.
    add_vectors(&mut seeds, "pack_directory", |case| vec![given(case, "pack kind").unwrap_or(1) as u8]);
    add_vectors(&mut seeds, "pack_trailer", |case| given(case, "pack length").unwrap_or(1000).to_le_bytes().to_vec());
    let plain_len = |case: &Value| given(case, "plaintext length").unwrap_or(100) as u32;
    add_vectors(&mut seeds, "compression", |case| plain_len(case).to_le_bytes().to_vec());
    add_names(&mut seeds);
    add_tampering(&mut seeds);
    seeds
}

fn add_vectors(seeds: &mut Seeds, structure: &str, before: impl Fn(&Value) -> Vec<u8>) {
    let path = root().join("format-spec/vectors").join(structure).with_extension("json");
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let cases = ["valid", "invalid"].into_iter().flat_map(|list| vectors[list].as_array().unwrap());
    for case in cases {
        let Some(bytes) = case["bytes"].as_str() else { continue };
        let seed = [before(case), from_hex(bytes)].concat();
        let name = case["name"].as_str().unwrap().rsplit('/').next().unwrap();
        if seed.len() <= SEED_MAX {
            seeds.insert((structure.to_owned(), name.to_owned()), seed);
        }
    }
}

fn given(case: &Value, what: &str) -> Option<u64> {
    case["given"][what].as_str()?.parse().ok()
}

fn add_names(seeds: &mut Seeds) {
    let id = "0123456789abcdef".repeat(4);
    let names = [
        ("config", "config".to_owned()),
        ("id", id.clone()),
        ("pack", format!("packs/{}/{id}", &id[..2])),
        ("lease", format!("sessions/{id}.beat")),
        ("leaves_the_store", "../config".to_owned()),
    ];
    for (name, seed) in names {
        seeds.insert(("names".to_owned(), name.to_owned()), seed.into_bytes());
    }
}

/// Each act of `fuzz/src/tamper.rs`, twice in a row, under the old name and a new one; and lying segments.
fn add_tampering(seeds: &mut Seeds) {
    let decisions = |act: u8| [act, 0, act.wrapping_mul(37), 2, act, 90, 1, 255];
    for act in 0..8u8 {
        for naming in [0, 0x80] {
            let acts = [decisions(act | naming), decisions((act + 3) | naming)].concat();
            let name = format!("act_{act}_{naming:02x}");
            seeds.insert(("repository".to_owned(), name.clone()), [&[0], &acts[..]].concat());
            seeds.insert(("cache".to_owned(), name), acts);
        }
        let lies: Vec<u8> = (0..48u8).map(|n| n.wrapping_mul(act * 2 + 3)).collect();
        seeds.insert(("repository".to_owned(), format!("lies_{act}")), [&[1], &lies[..]].concat());
    }
}

/// The targets that `fuzz/Cargo.toml` names.
fn targets() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let names = manifest.split("[[bin]]").skip(1).filter_map(|bin| bin.split('"').nth(1).map(str::to_owned));
    names.collect()
}

fn write(target: &str, name: &str, seed: &[u8]) {
    fs::create_dir_all(corpus(target)).unwrap();
    fs::write(corpus(target).join(name), seed).unwrap();
}

fn corpus(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(target)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
