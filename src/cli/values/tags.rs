//! Tags.

use std::str::FromStr;

use super::BadValue;
use crate::format::limits::LABEL_MAX;

/// The tags of one `--tag`: `a,b`. As a filter, a snapshot must have all of them, or, if there are none
/// (`--tag ''`), no tag at all; of several `--tag`, one is enough. At a backup, all are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList(Vec<String>);

impl TagList {
    /// The tags.
    pub fn tags(&self) -> &[String] {
        &self.0
    }

    /// Whether a snapshot with these tags is meant.
    pub fn matches<S: AsRef<str>>(&self, tags: &[S]) -> bool {
        match self.0.is_empty() {
            true => tags.is_empty(),
            false => self.0.iter().all(|wanted| tags.iter().any(|tag| tag.as_ref() == wanted)),
        }
    }
}

impl FromStr for TagList {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.is_empty() {
            return Ok(TagList(Vec::new()));
        }
        let tags = text.split(',').map(|tag| tag.trim().to_owned()).collect::<Vec<_>>();
        let is_tag = |tag: &String| !tag.is_empty() && tag.len() <= LABEL_MAX && !tag.contains(char::is_control);
        match tags.iter().all(is_tag) {
            true => Ok(TagList(tags)),
            false => Err(BadValue::expected(format!("tags of 1 to {LABEL_MAX} bytes with commas between them"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_is_and() {
        let list: TagList = "nightly, db".parse().unwrap();
        assert_eq!(list.tags(), ["nightly", "db"]);
        assert!(list.matches(&["db", "web", "nightly"]));
        assert!(!list.matches(&["db"]));
    }

    #[test]
    fn no_tags_means_snapshots_without_any() {
        let list: TagList = "".parse().unwrap();
        assert!(list.matches::<&str>(&[]));
        assert!(!list.matches(&["db"]));
    }

    #[test]
    fn an_empty_tag_is_a_mistake() {
        for text in [",", "a,", "a,,b", " ", "a\nb", &"x".repeat(LABEL_MAX + 1)] {
            assert!(text.parse::<TagList>().is_err(), "{text}");
        }
    }
}
