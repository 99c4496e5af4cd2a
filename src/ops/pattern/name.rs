//! Patterns over one name: `*` any bytes, `?` one character, `[a-z]` and `[^a-z]` one of a class, `\` takes
//! the next character as it is (Go's `filepath.Match`, which restic and its users' exclude files rely on).

/// A pattern over one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Star,
    AnyChar,
    Literal(Vec<u8>),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl NamePattern {
    /// The pattern in `word`, or what is wrong with it.
    pub fn parse(word: &[u8]) -> Result<Self, &'static str> {
        let mut tokens = Vec::new();
        let mut rest = word;
        while let Some((&first, after)) = rest.split_first() {
            rest = match first {
                b'*' => push(&mut tokens, Token::Star, after),
                b'?' => push(&mut tokens, Token::AnyChar, after),
                b'[' => {
                    let (class, after) = parse_class(after)?;
                    push(&mut tokens, class, after)
                }
                b'\\' => {
                    let (&escaped, after) = after.split_first().ok_or("it ends in a backslash")?;
                    push_literal(&mut tokens, escaped);
                    after
                }
                literal => {
                    push_literal(&mut tokens, literal);
                    after
                }
            };
        }
        Ok(NamePattern(tokens))
    }

    /// The only name that it matches, if there is only one.
    pub fn literal(&self) -> Option<&[u8]> {
        match &self.0[..] {
            [Token::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// Whether it matches all of `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        // Nearly all patterns in use are of the first two shapes, and each is held against every name.
        match &self.0[..] {
            [Token::Literal(whole)] => name == whole,
            [Token::Star, Token::Literal(end)] => name.ends_with(end),
            _ => self.matches_token_by_token(name),
        }
    }

    /// One way back, to the last `*`, is enough.
    fn matches_token_by_token(&self, name: &[u8]) -> bool {
        let (mut token, mut rest) = (0, name);
        let mut way_back: Option<(usize, &[u8])> = None;
        loop {
            let taken = match self.0.get(token) {
                None if rest.is_empty() => return true,
                None => None,
                Some(Token::Star) => {
                    way_back = Some((token + 1, rest));
                    Some(0)
                }
                Some(one) => one.take(rest),
            };
            match (taken.and_then(|taken| rest.get(taken..)), way_back) {
                (Some(after), _) => (token, rest) = (token + 1, after),
                (None, Some((after, [_, shorter @ ..]))) => {
                    way_back = Some((after, shorter));
                    (token, rest) = (after, shorter);
                }
                (None, _) => return false,
            }
        }
    }
}

impl Token {
    /// How many bytes it takes from the front; `None` if it does not match there.
    fn take(&self, name: &[u8]) -> Option<usize> {
        match self {
            Token::Star => Some(0),
            Token::AnyChar => first_char(name).map(|(_, len)| len),
            Token::Literal(bytes) => name.starts_with(bytes).then_some(bytes.len()),
            Token::Class { negated, ranges } => {
                let (found, len) = first_char(name)?;
                let within = ranges.iter().any(|&(low, high)| (low..=high).contains(&found));
                (within != *negated).then_some(len)
            }
        }
    }
}

fn push<'a>(tokens: &mut Vec<Token>, token: Token, after: &'a [u8]) -> &'a [u8] {
    if !(token == Token::Star && tokens.last() == Some(&Token::Star)) {
        tokens.push(token);
    }
    after
}

fn push_literal(tokens: &mut Vec<Token>, byte: u8) {
    match tokens.last_mut() {
        Some(Token::Literal(bytes)) => bytes.push(byte),
        _ => tokens.push(Token::Literal(vec![byte])),
    }
}

/// What follows a `[`, and what comes after its `]`.
fn parse_class(mut rest: &[u8]) -> Result<(Token, &[u8]), &'static str> {
    let negated = rest.first() == Some(&b'^');
    rest = if negated { rest.get(1..).unwrap_or_default() } else { rest };
    let mut ranges = Vec::new();
    loop {
        if let (Some(b']'), false) = (rest.first(), ranges.is_empty()) {
            return Ok((Token::Class { negated, ranges }, rest.get(1..).unwrap_or_default()));
        }
        let (low, after) = parse_class_char(rest)?;
        let (high, after) = match after.strip_prefix(b"-") {
            Some(after) => parse_class_char(after)?,
            None => (low, after),
        };
        ranges.push((low, high));
        rest = after;
    }
}

fn parse_class_char(rest: &[u8]) -> Result<(char, &[u8]), &'static str> {
    let rest = match rest {
        [] => return Err("a `[` without its `]`"),
        [b'-' | b']', ..] => return Err("a `-` or `]` without a backslash where a character of `[…]` should be"),
        [b'\\', escaped @ ..] => escaped,
        plain => plain,
    };
    let (found, len) = first_char(rest).ok_or("a `[` without its `]`")?;
    Ok((found, rest.get(len..).unwrap_or_default()))
}

/// The first character and its length; a byte that is not UTF-8 counts as one.
fn first_char(bytes: &[u8]) -> Option<(char, usize)> {
    let &first = bytes.first()?;
    let text = (1..=4).find_map(|len| std::str::from_utf8(bytes.get(..len)?).ok());
    let whole = text.and_then(|text| text.chars().next());
    Some(match whole {
        _ if first.is_ascii() => (char::from(first), 1),
        Some(found) => (found, found.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    })
}
