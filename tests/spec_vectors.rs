//! The vectors of the spec (format-spec/vectors): each valid one decodes and gives its bytes back, each
//! invalid one is refused for the rule that it is named after, and none is missing.
//!
//! The vectors are written by this test from the text of the spec, with an encoder and a sealer of their
//! own that lean on nothing of the library's: `KEEPSTONE_WRITE_VECTORS=1 cargo test --test spec_vectors`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use keepstone::format::limits;

#[path = "spec_vectors/check.rs"]
mod check;
#[path = "spec_vectors/control.rs"]
mod control;
#[path = "spec_vectors/draft.rs"]
mod draft;
#[path = "spec_vectors/keys.rs"]
mod keys;
#[path = "spec_vectors/packs.rs"]
mod packs;
#[path = "spec_vectors/sealing.rs"]
mod sealing;
#[path = "spec_vectors/spec.rs"]
mod spec;
#[path = "spec_vectors/trees.rs"]
mod trees;

use draft::{Case, File};

fn files() -> Vec<File> {
    let chapters = [sealing::files(), keys::files(), packs::files(), trees::files(), control::files()];
    let mut files: Vec<File> = chapters.into_iter().flatten().collect();
    files.sort_by(|a, b| a.structure.cmp(&b.structure));
    files
}

fn spec_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec")
}

/// What is stored under format-spec/vectors, but the vectors of chunking, which have a test of their own.
fn stored() -> Vec<File> {
    static WRITTEN: Once = Once::new();
    if std::env::var_os("KEEPSTONE_WRITE_VECTORS").is_some() {
        WRITTEN.call_once(|| write(&files()));
    }
    let mut files: Vec<File> = fs::read_dir(spec_dir().join("vectors"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| !path.ends_with("chunking.json"))
        .map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    files.sort_by(|a, b| a.structure.cmp(&b.structure));
    files
}

/// The worked examples of the spec: what is in these vectors, field by field.
const EXAMPLES: [&str; 9] = [
    "envelope/of_a_snapshot",
    "padding/to_the_floor",
    "sealed_session/of_one_record",
    "session/of_a_backup",
    "key_slot/of_the_least_cost",
    "pack/two_blobs_and_padding",
    "pack_directory/of_a_data_pack",
    "tree_node/one_file",
    "index_segment/two_packs_and_a_blob_at_two_places",
];

fn examples(files: &[File]) -> String {
    let named = |name: &str| files.iter().flat_map(|file| &file.valid).find(|case| case.name == name).unwrap();
    let intro = "# Worked examples\n\nThese are the vectors of the same names, field by field in the order of their \
                 bytes. All numbers are\nhexadecimal bytes as they are stored; long fields are cut here and whole in \
                 `vectors/`. A test keeps this page.\n";
    EXAMPLES.into_iter().fold(intro.to_owned(), |page, name| page + &example(named(name)))
}

fn example(case: &Case) -> String {
    let mut page = format!("\n## {}\n\n", case.name);
    for (name, value) in &case.given {
        page += &format!("Given {name}: `{}`\n\n", cut(value));
    }
    page += "| offset | length | field | bytes |\n|---|---|---|---|\n";
    let mut offset = 0;
    for (label, hex) in &case.fields {
        let len = hex.len() / 2;
        page += &format!("| {offset} | {len} | {label} | `{}` |\n", cut(hex));
        offset += len;
    }
    page
}

fn cut(hex: &str) -> String {
    match hex.get(..64) {
        Some(begin) if hex.len() > 64 => format!("{begin}…"),
        _ => hex.to_owned(),
    }
}

fn write(files: &[File]) {
    fs::write(spec_dir().join("examples.md"), examples(files)).unwrap();
    for file in files {
        let path = spec_dir().join("vectors").join(format!("{}.json", file.structure));
        fs::write(path, serde_json::to_string_pretty(file).unwrap() + "\n").unwrap();
    }
}

#[test]
fn the_stored_vectors_are_the_whole_set() {
    let files = files();

    let stored = stored();

    let structures = |files: &[File]| files.iter().map(|file| file.structure.clone()).collect::<Vec<_>>();
    assert_eq!(structures(&stored), structures(&files));
    for (stored, file) in stored.iter().zip(&files) {
        assert!(!stored.valid.is_empty(), "{} has no valid vector", stored.structure);
        assert!(stored == file, "{} differs from what the spec's text gives", stored.structure);
        let names: BTreeSet<_> = stored.cases().map(|case| &case.name).collect();
        assert_eq!(names.len(), stored.cases().count(), "{} names a vector twice", stored.structure);
    }
}

#[test]
fn the_worked_examples_are_what_the_vectors_say() {
    assert!(fs::read_to_string(spec_dir().join("examples.md")).unwrap() == examples(&stored()));
}

#[test]
fn every_valid_vector_decodes_and_gives_its_bytes_back() {
    for file in stored() {
        for case in &file.valid {
            let bytes = file.bytes_of(case);
            assert_eq!(check::run(&file.structure, &case.given, &bytes).as_deref(), Ok(&bytes[..]), "{}", case.name);
            let joined: String = case.fields.iter().map(|(_, hex)| &hex[..]).collect();
            assert!(case.fields.is_empty() || joined == case.bytes, "{}: fields are not the bytes", case.name);
        }
    }
}

#[test]
fn every_invalid_vector_is_refused_for_its_rule() {
    let mut refused = 0;
    for file in stored() {
        for case in &file.invalid {
            assert!(case.name.starts_with(&format!("{}/", file.structure)), "{}", case.name);
            let rule = case.rule.as_deref().expect("an invalid vector says which rule it breaks");
            let error = check::run(&file.structure, &case.given, &file.bytes_of(case)).expect_err(&case.name);
            assert!(error.contains(rule), "{}: refused because: {error}", case.name);
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Names and values of a list of constants.
macro_rules! constants {
    ($($name:ident)*) => { vec![$((stringify!($name), shown(&format!("{:?}", limits::$name)))),*] };
}

/// `a..=b` as the spec writes it.
fn shown(value: &str) -> String {
    value.replace("..=", " to ")
}

#[test]
fn the_limits_of_the_spec_are_those_of_the_code() {
    let mut code = constants! {
        BLOB_PLAIN_MAX BLOB_STORED_MAX PACK_MAX PACK_BLOBS_MAX OBJECT_MAX SEGMENT_MAX SEGMENT_PACKS_MAX
        SEGMENT_BLOBS_MAX SEGMENT_REPLACES_MAX RECORD_LEN PADDING_FLOOR NAME_MAX TARGET_MAX OWNER_NAME_MAX
        INLINE_MAX ITEMS_IN_ENTRY_MAX NODE_ENTRIES_MAX NODE_BYTES_MAX LEVEL_MAX TREE_DEPTH_MAX EXTRAS_MAX
        EXTRA_MAX XATTRS_MAX XATTR_NAME_MAX XATTR_VALUE_MAX XATTRS_ENCODED_MAX PAIRS_MAX PAIR_NAME_MAX PAIR_VALUE_MAX LABEL_MAX TAGS_MAX PATHS_MAX
        PATH_MAX TROUBLES_MAX SIGNATURE_MAX SLOTS_MAX EPOCHS_MAX CLOSING_RECORDS_MAX VALID_MAX FEATURES_MAX CONDEMNED_MAX RECORDED_MAX
        ARGON2_MEMORY_KIB ARGON2_PASSES ARGON2_LANES
    };
    let source = include_str!("../src/format/limits.rs");
    let declared = source.lines().filter(|line| line.starts_with("pub const ")).count();
    assert_eq!(code.len(), declared, "a constant of limits.rs is not compared here");

    let text = fs::read_to_string(spec_dir().join("limits.md")).unwrap();
    let mut spec: Vec<(&str, String)> = text.lines().filter_map(limit_row).collect();
    code.sort();
    spec.sort();
    assert_eq!(spec, code);
}

/// Name and value in a row of the table: "| `NAME` | value | of |".
fn limit_row(line: &str) -> Option<(&str, String)> {
    let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    Some((name, rest.split_once(" |")?.0.to_owned()))
}
