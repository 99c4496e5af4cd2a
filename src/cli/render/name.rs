//! Names as bytes are given by whoever made the files: they may hold anything but NUL.

use std::fmt::Write;

use serde::Serialize;

/// The name for people: nothing in it steers a terminal or turns text around. A name that needs it is
/// escaped as in Rust, `\n`, `\x1b`, `\u{202e}`, `\xff` for a byte that is not UTF-8, its backslashes
/// doubled; any other is shown as it is.
pub fn printable(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.chars().any(misleads) => text.to_owned(),
        _ => escaped(name),
    }
}

fn escaped(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            push_escaped(&mut shown, char);
        }
        for byte in chunk.invalid() {
            push_hex(&mut shown, *byte);
        }
    }
    shown
}

fn push_escaped(shown: &mut String, char: char) {
    match char {
        '\\' => shown.push_str("\\\\"),
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        '\0'..='\x7f' if char.is_control() => push_hex(shown, char as u8),
        _ if misleads(char) => shown.extend(char.escape_unicode()),
        _ => shown.push(char),
    }
}

fn push_hex(shown: &mut String, byte: u8) {
    write!(shown, "\\x{byte:02x}").expect("writing to a string never fails");
}

/// Controls, line breaks of Unicode, marks that are not seen, and those that reverse the text after them.
fn misleads(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A name in JSON, without loss: `name`, and `name_raw` in hex if `name` is not the whole truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameFields {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_raw: Option<String>,
}

impl NameFields {
    /// The fields for this name; `#[serde(flatten)]` them.
    pub fn of(name: &[u8]) -> Self {
        let (name, name_raw) = lossless(name);
        NameFields { name, name_raw }
    }
}

/// A path in JSON, without loss: `path`, and `path_raw` in hex if `path` is not the whole truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathFields {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_raw: Option<String>,
}

impl PathFields {
    /// The fields for this path; `#[serde(flatten)]` them.
    pub fn of(path: &[u8]) -> Self {
        let (path, path_raw) = lossless(path);
        PathFields { path, path_raw }
    }
}

fn lossless(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(hex(bytes))),
    }
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_so_that_they_cannot_mislead() {
        let cases: [(&[u8], &str); 9] = [
            (b"plain name", "plain name"),
            (b"back\\slash", "back\\slash"),
            ("Übergröße 文".as_bytes(), "Übergröße 文"),
            (b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
            (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
            (b"\xff\\n", "\\xff\\\\n"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("exe.\u{202e}gpj".as_bytes(), "exe.\\u{202e}gpj"),
            (b"cut\xe2\x82", "cut\\xe2\\x82"),
        ];
        for (name, shown) in cases {
            assert_eq!(printable(name), shown, "{name:?}");
        }
    }

    #[test]
    fn json_keeps_every_byte_of_a_name() {
        let json = |bytes| serde_json::to_string(&NameFields::of(bytes)).unwrap();
        assert_eq!(json(b"a\x1b"), r#"{"name":"a\u001b"}"#);
        assert_eq!(json(b"a\xff"), "{\"name\":\"a\u{fffd}\",\"name_raw\":\"61ff\"}");
        let json = serde_json::to_string(&PathFields::of(b"/\xff")).unwrap();
        assert_eq!(json, "{\"path\":\"/\u{fffd}\",\"path_raw\":\"2fff\"}");
    }
}
