//! Ids as people type them.

use std::fmt;
use std::str::FromStr;

use super::BadValue;
use crate::id::ID_LEN;

/// The first hex digits of an id, in lower case; whether it is unambiguous shows in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix(String);

impl IdPrefix {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdPrefix {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && text.len() <= 2 * ID_LEN {
            return Ok(IdPrefix(text.to_ascii_lowercase()));
        }
        Err(BadValue::expected(format!("an id or its first hex digits (at most {})", 2 * ID_LEN)))
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_up_to_a_whole_id_of_hex() {
        assert_eq!("0aF3".parse::<IdPrefix>().unwrap().as_str(), "0af3");
        assert!("f".repeat(64).parse::<IdPrefix>().is_ok());
        for text in [String::new(), "0xaf".into(), "latest".into(), "f".repeat(65), "äf".into()] {
            assert!(text.parse::<IdPrefix>().is_err(), "{text}");
        }
    }
}
