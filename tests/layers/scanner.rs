//! What a source file names: every path in it, with `use` trees taken apart and `self` and `super`
//! followed. Code under `#[cfg(test)]` is passed over.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What a file names and declares.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Paths into this crate, from its root; an empty one is the root itself.
    pub internal: Vec<Vec<String>>,
    /// All other paths and names, as they are written.
    pub external: Vec<Vec<String>>,
    /// Modules that are declared under `#[cfg(test)]`, from the root.
    pub only_for_tests: Vec<Vec<String>>,
    /// Modules that are declared otherwise, from the root.
    pub modules: Vec<Vec<String>>,
}

/// Scans `source`, which is the module with the path `module`.
pub fn scan(source: &str, module: &[&str]) -> Scanned {
    let tokens: TokenStream = source.parse().expect("what the compiler takes are tokens");
    let mut scanner = Scanner::default();
    let module: Vec<String> = module.iter().map(|name| name.to_string()).collect();
    scanner.stream(tokens, &module);
    scanner.0
}

#[derive(Default)]
struct Scanner(Scanned);

impl Scanner {
    fn stream(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += self.step(&tokens[at..], module);
        }
    }

    /// Looks at what `tokens` begin with, and tells how many of them that were.
    fn step(&mut self, tokens: &[TokenTree], module: &[String]) -> usize {
        match tokens {
            // `#![cfg(test)]` is about everything around it.
            [TokenTree::Punct(hash), TokenTree::Punct(bang), TokenTree::Group(attribute), ..]
                if hash.as_char() == '#' && bang.as_char() == '!' && is_cfg_test(attribute) =>
            {
                tokens.len()
            }
            [TokenTree::Punct(hash), TokenTree::Group(attribute), after @ ..]
                if hash.as_char() == '#' && is_cfg_test(attribute) =>
            {
                let len = item_len(after);
                self.0.only_for_tests.extend(declared_module(&after[..len]).map(|name| child(module, name)));
                2 + len
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), rest @ ..] if word == "mod" => {
                let inner = child(module, name.to_string());
                self.0.modules.push(inner.clone());
                if let [TokenTree::Group(body), ..] = rest {
                    self.stream(body.stream(), &inner);
                    return 3;
                }
                2
            }
            // Not `use<'a>`, which names what a type captures.
            [TokenTree::Ident(word), next, ..] if word == "use" && !is(next, '<') => {
                let len = tokens.iter().position(|token| is(token, ';')).unwrap_or(tokens.len());
                self.use_tree(&tokens[1..len], &[], module);
                len
            }
            // `pub(crate)` says who sees something, not what is used.
            [TokenTree::Ident(word), TokenTree::Group(_), ..] if word == "pub" => 2,
            [TokenTree::Ident(_), ..] => {
                let (path, len) = path_at(tokens);
                self.name(path, module);
                len
            }
            [TokenTree::Group(group), ..] => {
                self.stream(group.stream(), module);
                1
            }
            _ => 1,
        }
    }

    /// `before::{tree, tree}`; a glob counts as a use of what it is a glob of.
    fn use_tree(&mut self, tokens: &[TokenTree], before: &[String], module: &[String]) {
        for tree in tokens.split(|token| is(token, ',')).filter(|tree| !tree.is_empty()) {
            let start = tree.iter().position(|token| !is(token, ':') && !is(token, '$')).unwrap_or(tree.len());
            let (path, len) = path_at(&tree[start..]);
            // `a::{self}` is `a`; only at the beginning is `self` the module at hand.
            let path: Vec<String> = path.into_iter().filter(|name| before.is_empty() || name != "self").collect();
            let path = [before, &path].concat();
            match tree[start + len..].iter().find_map(braced) {
                Some(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.use_tree(&inner, &path, module);
                }
                None => self.name(path, module),
            }
        }
    }

    fn name(&mut self, path: Vec<String>, module: &[String]) {
        match resolve(&path, module) {
            Some(internal) => self.0.internal.push(internal),
            None => self.0.external.push(path),
        }
    }
}

/// The path from the crate's root, if `path` begins where one can tell.
fn resolve(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let (first, mut rest) = path.split_first()?;
    let mut from = match first.as_str() {
        // A value's own `self` has no path behind it.
        "self" if rest.is_empty() => return None,
        "crate" | "keepstone" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        _ => return None,
    };
    while let [first, after @ ..] = rest
        && first == "super"
    {
        from.pop();
        rest = after;
    }
    from.extend_from_slice(rest);
    Some(from)
}

/// The names joined by `::` that `tokens` begin with, and how many tokens they are.
fn path_at(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        path.push(name.to_string());
        at += 1;
        match tokens.get(at..at + 3) {
            Some([a, b, TokenTree::Ident(_)]) if is(a, ':') && is(b, ':') => at += 2,
            _ => break,
        }
    }
    (path, at)
}

/// How many tokens the item is that stands behind an attribute.
fn item_len(tokens: &[TokenTree]) -> usize {
    const ITEMS: [&str; 16] = [
        "async",
        "const",
        "enum",
        "extern",
        "fn",
        "impl",
        "let",
        "macro_rules",
        "mod",
        "pub",
        "static",
        "struct",
        "trait",
        "type",
        "unsafe",
        "use",
    ];
    let attributes = tokens.chunks(2).take_while(|pair| matches!(pair, [hash, TokenTree::Group(_)] if is(hash, '#')));
    let start = 2 * attributes.count();
    let begins_item =
        |token: &TokenTree| matches!(token, TokenTree::Ident(word) if ITEMS.iter().any(|item| word == item));
    // Of fields, arms and elements a comma is the end; an item may have some within.
    let comma_ends = !tokens.get(start).is_some_and(begins_item);
    let ends = |token: &TokenTree| is(token, ';') || braced(token).is_some() || (comma_ends && is(token, ','));
    let end = tokens[start..].iter().position(ends);
    end.map_or(tokens.len(), |end| start + end + 1)
}

/// The name in `mod name;`, whatever stands before it.
fn declared_module(item: &[TokenTree]) -> Option<String> {
    item.windows(3).find_map(|three| match three {
        [TokenTree::Ident(word), TokenTree::Ident(name), end] if word == "mod" && is(end, ';') => {
            Some(name.to_string())
        }
        _ => None,
    })
}

/// Whether an attribute is `cfg(test)` or `cfg(all(test, …))`.
fn is_cfg_test(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn child(module: &[String], name: String) -> Vec<String> {
    [module, &[name]].concat()
}

fn is(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn braced(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}
