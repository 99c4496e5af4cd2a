//! Planted violations: each is found, and what only looks like one is not.

use super::{scan, unsaid, wrong_arrows};

/// What is wrong with `source` as a file of `module`.
fn arrows(module: &[&str], source: &str) -> Vec<String> {
    let names: Vec<String> = module.iter().map(|name| name.to_string()).collect();
    wrong_arrows(&names, &scan(source, module))
}

#[test]
fn an_arrow_that_points_up_is_found_however_it_is_written() {
    for planted in [
        "use crate::ops::backup;",
        "use crate::{id::BlobId, ops::{source, backup::{Shrink as S, backup}}};",
        "pub(crate) use crate::ops::backup;",
        "pub use super::super::ops::source::Source;",
        "use keepstone::ops;",
        "fn f() { crate::ops::backup::backup() }",
        "fn f(x: &super::super::ops::source::Trouble) {}",
        "macro_rules! m { () => { $crate::ops::source::Trouble } }",
        "mod inner { use super::super::super::ops::source; }",
        "mod inner { fn f() { self::super::super::super::ops::x() } }",
        "#[cfg(not(test))] use crate::ops::backup;",
        "fn f() { if true { vec![crate::ops::x()] } else { vec![] } }",
        "#[derive(Debug)] struct S { #[cfg(test)] a: u8, b: crate::ops::progress::Seen }",
        "#[cfg(test)] mod tests { use crate::ops; } use crate::ops::source;",
        "#[cfg(test)] #[allow(unused)] fn f<A, B>() {} use crate::ops::source;",
        "const QUOTE: char = '\"'; use crate::ops::source; const OTHER: &str = \"\";",
        "fn f<'a>(x: &'a str) { crate::ops::y(x) }",
    ] {
        assert!(!arrows(&["repo", "reader"], planted).is_empty(), "{planted}");
    }
}

#[test]
fn a_name_for_the_whole_crate_hides_what_is_used() {
    for planted in
        ["use crate::*;", "use super::*;", "use crate as all;", "use crate::{self as all};", "use super::{*};"]
    {
        assert_eq!(arrows(&["repo"], planted).len(), 1, "{planted}");
    }
}

#[test]
fn what_the_compiler_does_not_ship_is_no_arrow() {
    for innocent in [
        "#[cfg(test)] mod tests { use crate::ops::backup; }",
        "#[cfg(test)] use crate::{ops, cli};",
        "#[cfg(all(test, unix))] fn helper() { crate::cli::main() }",
        "struct S { #[cfg(test)] seen: crate::ops::progress::Seen, other: u8 }",
        "#![cfg(test)] use crate::ops;",
        "// use crate::ops;\n/* use crate::ops; /* crate::cli */ */",
        "/// Like [`crate::ops::source::Source`].\nfn f() {}",
        "const S: &str = \"use crate::ops;\"; const R: &str = r#\"crate::ops::x\"#;",
        "use crate::format::*; use super::*; use super::super::id::{self, BlobId};",
        "pub(crate) struct S(pub(super) u8);",
        "fn f(&self) -> impl Iterator + use<'_> { self.ops() }",
    ] {
        assert_eq!(arrows(&["repo", "reader"], innocent), Vec::<String>::new(), "{innocent}");
    }
}

#[test]
fn engines_do_not_know_each_other_and_a_new_module_needs_a_row() {
    assert_eq!(arrows(&["storage"], "use crate::format::limits;").len(), 1);
    assert_eq!(arrows(&["compress"], "use crate::crypto::Chance;").len(), 1);
    assert_eq!(arrows(&["utils", "strings"], "").len(), 1);
    assert_eq!(arrows(&[], "pub use repo::Repository;").len(), 1);
    assert_eq!(arrows(&[], "pub mod repo; pub mod id;"), Vec::<String>::new());
}

#[test]
fn whatever_touches_something_is_found_unless_the_first_line_says_so() {
    let touches = [
        ("use std::{io, fs::{self, File}};", "Touches the disk"),
        ("fn f() { std::fs::read(\"x\"); }", "Touches the disk"),
        ("use rustix::fs as raw;", "Touches the disk"),
        ("use std::time::{Duration, Instant};", "Touches the world"),
        ("fn f() { time::SystemTime::now() }", "Touches the world"),
        ("fn f() { getrandom::fill(&mut x) }", "Touches the world"),
        ("fn f() { ::std::net::TcpStream::connect(x) }", "Touches the world"),
        ("use std::process::{self, Command};", "Runs commands"),
        ("fn f() { process::Command::new(\"sh\") }", "Runs commands"),
    ];
    for (planted, words) in touches {
        let found = scan(planted, &["repo", "reader"]);
        let saying = |words: &str| unsaid(&format!("//! Something. {words}."), &found).len();
        assert_ne!(saying("Pure"), 0, "{planted}");
        assert_eq!(saying(words), 0, "{planted}");
        assert_eq!(saying("Touches the world"), 0, "{planted}");
        assert_ne!(unsaid(&format!("// {words}"), &found).len(), 0, "only the file's own doc counts: {planted}");
    }
    let innocent = scan("#[cfg(test)] mod tests { use std::fs; }\nfn f(c: Command) { c.fs() }", &["cli"]);
    assert_eq!(unsaid("//! Pure.", &innocent), Vec::<String>::new());
}
