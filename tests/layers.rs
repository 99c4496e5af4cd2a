//! The layers hold: a module uses only what the table allows it, and only files that say so on their
//! first line touch anything outside the process. The compiler enforces neither.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "layers/planted.rs"]
mod planted;
#[path = "layers/scanner.rs"]
mod scanner;

use scanner::{Scanned, scan};

/// Each module, from the top, and what it may use beside itself. Every arrow points down.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["component", "ops", "repo", "chunk", "compress", "crypto", "storage", "format", "id"]),
    ("component", &["ops", "repo", "chunk", "compress", "crypto", "storage", "format", "id"]),
    ("ops", &["repo", "chunk", "compress", "crypto", "storage", "format", "id"]),
    ("repo", &["chunk", "compress", "crypto", "storage", "format", "id"]),
    // Engines do not know each other, and only sealing knows what it seals.
    ("crypto", &["format", "id"]),
    ("compress", &[]),
    ("chunk", &[]),
    ("storage", &[]),
    ("format", &["id"]),
    ("id", &[]),
];

/// Words on a file's first line, and the names that it may use because of them. A name stands for all
/// paths that hold it.
const TOUCHES: &[(&str, &[&str])] =
    &[("Touches the disk", DISK), ("Touches the world", &[]), ("Runs commands", COMMANDS)];
/// Files and what is in them. Their times are the disk's, not the clock's.
const DISK: &[&str] = &["SystemTime", "std::fs", "unix::fs", "rustix::fs", "tempfile", "memmap2", "redb"];
/// Other programs.
const COMMANDS: &[&str] = &["process::Command"];
/// Clock, chance, environment, network, accounts: for files that touch the world, as is all of the above.
const WORLD: &[&str] = &[
    "SystemTime::now",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "getrandom",
    "env::args_os",
    "env::current_dir",
    "env::temp_dir",
    "env::var",
    "env::var_os",
    "env::vars_os",
    "std::net",
    "unix::net",
    "nix",
    "rustix::process",
    "rustix::system",
    "rustix::time",
    "rustix::net",
    "tokio",
    "reqwest",
    "hyper",
    "hyper_util",
    "openssh",
    "openssh_sftp_client",
];

/// A file of `src/`.
struct Source {
    path: PathBuf,
    module: Vec<String>,
    text: String,
}

/// All files of `src/` that are compiled into the program, scanned.
fn sources() -> Vec<(Source, Scanned)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    gather(&root, &root, &mut files);
    let scanned: Vec<(Source, Scanned)> =
        files.into_iter().map(|source| (scan_source(&source), source)).map(|(s, f)| (f, s)).collect();
    let only_for_tests: Vec<Vec<String>> = scanned.iter().flat_map(|(_, found)| found.only_for_tests.clone()).collect();
    let shipped = |source: &Source| !only_for_tests.iter().any(|module| source.module.starts_with(module));
    scanned.into_iter().filter(|(source, _)| shipped(source)).collect()
}

fn gather(root: &Path, dir: &Path, files: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push(Source { module: module_of(path.strip_prefix(root).unwrap()), path, text });
        }
    }
}

/// `repo/index/mod.rs` as `repo`, `index`; `lib.rs` is the root.
fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        path.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

fn scan_source(source: &Source) -> Scanned {
    let module: Vec<&str> = source.module.iter().map(String::as_str).collect();
    scan(&source.text, &module)
}

/// What is wrong with the paths that `module` names.
fn wrong_arrows(module: &[String], found: &Scanned) -> Vec<String> {
    let Some(layer) = module.first() else {
        let names = found.external.iter().chain(&found.internal).filter(|path| path.len() > 1);
        return names.map(|path| format!("the root names {}, and only declares", path.join("::"))).collect();
    };
    let Some((_, may_use)) = LAYERS.iter().find(|(name, _)| name == layer) else {
        return vec![format!("{layer} has no row in the table of layers")];
    };
    let wrong = found.internal.iter().filter_map(|path| match path.first() {
        None => Some(format!("{} names the whole crate, which hides what it uses", module.join("::"))),
        Some(used) if used == layer || may_use.contains(&used.as_str()) => None,
        Some(_) => Some(format!("{} may not use {}", module.join("::"), path.join("::"))),
    });
    wrong.collect()
}

/// The names by which a file touches what its first line does not say that it touches.
fn unsaid(first_line: &str, found: &Scanned) -> Vec<String> {
    let says = |words: &str| first_line.starts_with("//!") && first_line.contains(words);
    if says("Touches the world") {
        return Vec::new();
    }
    let said: Vec<&str> =
        TOUCHES.iter().filter(|(words, _)| says(words)).flat_map(|(_, names)| *names).copied().collect();
    let mut unsaid = BTreeSet::new();
    for name in [DISK, COMMANDS, WORLD].concat() {
        if !said.contains(&name) && found.external.iter().any(|path| holds(path, name)) {
            unsaid.insert(name.to_owned());
        }
    }
    unsaid.into_iter().collect()
}

fn holds(path: &[String], name: &str) -> bool {
    let name: Vec<&str> = name.split("::").collect();
    path.windows(name.len()).any(|part| part == name)
}

#[test]
fn every_module_uses_only_what_lies_below_it() {
    let wrong: Vec<String> = sources().iter().flat_map(|(source, found)| wrong_arrows(&source.module, found)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_file_that_touches_anything_outside_says_so_on_its_first_line() {
    let wrong: Vec<String> = sources()
        .iter()
        .map(|(source, found)| (source, unsaid(source.text.lines().next().unwrap_or_default(), found)))
        .filter(|(_, unsaid)| !unsaid.is_empty())
        .map(|(source, unsaid)| format!("{} names {}", source.path.display(), unsaid.join(", ")))
        .collect();
    let words: Vec<&str> = TOUCHES.iter().map(|(words, _)| *words).collect();
    assert!(wrong.is_empty(), "\n{}\nThe words for a first line are {words:?}", wrong.join("\n"));
}

#[test]
fn the_table_is_the_whole_set_of_modules_and_points_down() {
    let sources = sources();
    let (_, root) = sources.iter().find(|(source, _)| source.module.is_empty()).expect("src/lib.rs");
    let declared: BTreeSet<&str> = root.modules.iter().map(|module| module[0].as_str()).collect();
    let listed: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).filter(|name| *name != "main").collect();
    assert_eq!(declared, listed);
    for (at, (name, may_use)) in LAYERS.iter().enumerate() {
        let below: Vec<&str> = LAYERS[at + 1..].iter().map(|(name, _)| *name).collect();
        assert!(may_use.iter().all(|used| below.contains(used)), "{name} may use something above it");
    }
}

#[test]
fn nothing_moves_a_module_out_of_the_scanners_sight() {
    for (source, found) in sources() {
        let hidden = |path: &Vec<String>| ["include", "path"].contains(&path[0].as_str()) && path.len() == 1;
        let attribute = source.text.contains("#[path");
        let included = found.external.iter().any(hidden) && source.text.contains("include!(");
        assert!(!attribute && !included, "{}", source.path.display());
    }
}
