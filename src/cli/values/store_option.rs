//! Options of a store.

use std::fmt;
use std::str::FromStr;

use super::BadValue;

/// `-o key=value`: what only one kind of store understands.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreOption {
    /// What is set.
    pub key: String,
    /// To which value.
    pub value: String,
}

impl FromStr for StoreOption {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(StoreOption { key: key.into(), value: value.into() }),
            _ => Err(BadValue::expected("key=value")),
        }
    }
}

/// Some options are secrets; which, only the store knows.
impl fmt::Debug for StoreOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=(redacted)", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_a_key_and_a_value_that_debug_does_not_tell() {
        let option: StoreOption = "endpoint=http://a=b".parse().unwrap();
        assert_eq!((&*option.key, &*option.value), ("endpoint", "http://a=b"));
        assert_eq!(format!("{option:?}"), "endpoint=(redacted)");
        for text in ["", "endpoint", "=x"] {
            assert!(text.parse::<StoreOption>().is_err(), "{text}");
        }
    }
}
