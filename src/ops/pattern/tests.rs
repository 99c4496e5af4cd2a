use super::*;

fn at(path: &str) -> Steps {
    Steps::from_path(path.as_bytes())
}

fn sensitive(words: &[&str]) -> Patterns {
    Patterns::parse(words, Case::Sensitive).unwrap()
}

#[test]
fn patterns_match_as_restic_documents_it() {
    let cases = [
        // Whole names only.
        ("foo", "/dir1/foo/dir2/file", true),
        ("foo", "/dir/foo", true),
        ("foo", "/dir/foobar", false),
        ("foo", "/barfoo", false),
        // A leading slash anchors, a trailing one means nothing.
        ("/bin", "/bin/bash", true),
        ("/bin", "/usr/bin/restic", false),
        ("/bin/", "/bin", true),
        ("bin///sh/", "/bin/sh", true),
        ("/a/../bin", "/bin", true),
        // Wildcards stay within a name.
        ("b*ash", "/bin/bash", true),
        ("b*ash", "/bin/ash", false),
        ("*.c", "/home/al/work/x.c", true),
        ("*.c", "/home/al/work/x.cc", false),
        ("*.c", "/home/x.c/inside", true),
        ("/home/*", "/home", false),
        ("/home/*/x", "/home/al/x", true),
        ("/home/*/x", "/home/al/b/x", false),
        ("/home/[uU]ser/?.go", "/home/user/F.go", true),
        // `**` is any number of names, none included.
        ("foo/**/bar", "/dir1/foo/dir2/bar/file", true),
        ("foo/**/bar", "/foo/bar/file", true),
        ("foo/**/bar", "/tmp/foo/bar", true),
        ("foo/**/bar", "/foo/x/y/z/bar", true),
        ("foo/**/bar", "/bar/foo", false),
        ("/home/user/repos/**/target", "/home/user/repos/repo2/project1/target", true),
        ("/home/user/repos/**/target", "/home/user/repos/repo1/src", false),
        ("a/**/b/**/c", "/x/a/1/b/2/b/3/c/y", true),
        ("a/**/b/**/c", "/x/b/1/a/2/c", false),
        ("**", "/anything", true),
        ("/**/x", "/x", true),
        // A backslash and braces are what Go makes of them.
        ("a\\*b", "/a*b", true),
        ("a\\*b", "/axb", false),
        ("{a,b}", "/{a,b}", true),
        ("{a,b}", "/a", false),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(sensitive(&[pattern]).matches(&at(path)), expected, "{pattern} on {path}");
    }
}

#[test]
fn a_later_pattern_with_an_exclamation_mark_takes_back() {
    let cases = [
        (&["/home/al/*", "!/home/al/Documents", "*.o"][..], "/home/al/Music", true),
        (&["/home/al/*", "!/home/al/Documents", "*.o"], "/home/al/Documents", false),
        (&["/home/al/*", "!/home/al/Documents", "*.o"], "/home/al/Documents/x", false),
        (&["/home/al/*", "!/home/al/Documents", "*.o"], "/home/al/Documents/x.o", true),
        (&["!*.c", "*.c"], "/x.c", true),
        (&["!*.c"], "/x.c", false),
        (&[""], "/x.c", false),
    ];
    for (patterns, path, expected) in cases {
        assert_eq!(sensitive(patterns).matches(&at(path)), expected, "{patterns:?} on {path}");
    }
}

#[test]
fn a_directory_is_looked_into_only_where_something_below_may_match() {
    let cases = [
        ("x.c", "/home/al", true),
        ("/home/al/docs", "/", true),
        ("/home/al/docs", "/home", true),
        ("/home/al/docs", "/home/al/docs/deep", true),
        ("/home/al/docs", "/home/bo", false),
        ("/home/al/docs", "/etc", false),
        ("/home/*/docs", "/home/bo", true),
        ("/home/*/docs", "/home/bo/music", false),
        ("/home/**/docs", "/home/bo/music/old", true),
        ("/home/**/docs", "/etc", false),
    ];
    for (pattern, directory, expected) in cases {
        assert_eq!(sensitive(&[pattern]).may_contain(&at(directory)), expected, "{pattern} in {directory}");
    }
}

#[test]
fn case_is_ignored_when_asked() {
    let patterns = Patterns::parse(["/Home/*.JPG", "ÄRGER"], Case::Insensitive).unwrap();
    assert!(patterns.matches(&at("/home/x.Jpg")));
    assert!(patterns.matches(&at("/ärger/x")));
    assert!(!sensitive(&["*.JPG"]).matches(&at("/x.jpg")));
}

#[test]
fn names_that_are_not_utf8_match_byte_by_byte() {
    let mut path = Steps::new();
    path.push(b"a\xff\xfeb");
    for (pattern, expected) in [(&b"a??b"[..], true), (b"a*b", true), (b"a\xff\xfeb", true), (b"a?b", false)] {
        assert_eq!(Patterns::parse([pattern], Case::Sensitive).unwrap().matches(&path), expected, "{pattern:?}");
    }
}

#[test]
fn classes_are_gos() {
    let cases = [
        ("[a-c]x", "/bx", true),
        ("[a-c]x", "/dx", false),
        ("[^a-c]x", "/dx", true),
        ("[^a-c]x", "/ax", false),
        ("[!a]", "/!", true),
        ("[\\]]", "/]", true),
        ("[α-ω]", "/λ", true),
        ("?", "/λ", true),
        ("*λ", "/xλ", true),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(sensitive(&[pattern]).matches(&at(path)), expected, "{pattern} on {path}");
    }
}

#[test]
fn a_pattern_that_cannot_be_used_is_named() {
    let bad = ["test/[", "test/**/[", "a[]", "a[b-]", "a\\", "[a", "!", ".", "a/..", "../x"];
    for pattern in bad {
        let error = Patterns::parse([pattern], Case::Sensitive).unwrap_err();
        assert!(error.to_string().contains(&format!("{pattern:?}")), "{error}");
    }
}

#[test]
fn stars_do_not_cost_more_than_their_product() {
    let stars = sensitive(&["*a*a*a*a*a*a*a*a*a*a*a*a*b", "**/x/**/x/**/x/**/x/**/x/**/y"]);
    let path = format!("/{}/{}", "a".repeat(200), "x/".repeat(500));
    assert!(!stars.matches(&at(&path)));
}

#[test]
fn a_selection_takes_what_is_included_and_not_excluded() {
    let selection =
        Selection { includes: vec![sensitive(&["/etc/**/*.conf"])], excludes: vec![sensitive(&["secret*"])] };
    let cases = [
        ("/etc", false, true),
        ("/etc/a.conf", true, true),
        ("/etc/secret.conf", false, false),
        ("/home", false, false),
    ];
    for (path, wanted, below) in cases {
        assert_eq!(selection.select(&at(path)), Selected { wanted, below }, "{path}");
    }
    assert_eq!(Selection::default().select(&at("/x")), Selected { wanted: true, below: true });
}

#[test]
fn steps_go_down_and_back() {
    let mut steps = at("//a/bc//d/");
    assert_eq!((steps.len(), steps.get(1), steps.get(3)), (3, Some(&b"bc"[..]), None));
    steps.pop();
    steps.push(b"x");
    assert_eq!(steps.to_path(), b"/a/bc/x");
    (0..5).for_each(|_| steps.pop());
    assert_eq!((steps.is_empty(), steps.to_path()), (true, b"/".to_vec()));
}
