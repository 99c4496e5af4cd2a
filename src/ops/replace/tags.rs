//! Tags as they are changed.

use crate::format::codec::Ascending;
use crate::format::control::Label;
use crate::format::limits::TAGS_MAX;
use crate::repo::{RepoError, Result};

/// The tags of a snapshot.
pub(super) type Tags = Ascending<Label, TAGS_MAX>;

/// How tags are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagChange {
    /// These instead of those that are there.
    Set(Vec<String>),
    /// Some more, some less; what is both added and removed is removed.
    Edit {
        /// More.
        add: Vec<String>,
        /// Less.
        remove: Vec<String>,
    },
}

impl TagChange {
    /// The tags afterwards; `None` if they are the same.
    pub(super) fn apply(&self, tags: &Tags) -> Result<Option<Tags>> {
        let label = |tag: &String| {
            Label::new(tag.as_str()).map_err(|error| RepoError::Refused(format!("the tag {tag:?}: {error}")))
        };
        let wanted: Vec<Label> = match self {
            TagChange::Set(all) => all.iter().map(label).collect::<Result<_>>()?,
            TagChange::Edit { add, remove } => {
                let more = add.iter().map(label).collect::<Result<Vec<_>>>()?;
                let all = tags.iter().cloned().chain(more);
                all.filter(|tag| !remove.iter().any(|less| **less == **tag)).collect()
            }
        };
        let too_many = |error| RepoError::Refused(format!("more tags than a snapshot holds: {error}"));
        let changed = Tags::new(wanted).map_err(too_many)?;
        Ok((changed != *tags).then_some(changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(words: &[&str]) -> Tags {
        Tags::new(words.iter().map(|word| Label::truncated(word)).collect()).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn tags_are_added_removed_and_set() {
        let edit = |add: &[&str], remove: &[&str]| TagChange::Edit { add: words(add), remove: words(remove) };
        let before = tags(&["a", "b"]);
        let cases = [
            (edit(&["c"], &["a"]), Some(tags(&["b", "c"]))),
            (edit(&["b"], &["z"]), None),
            (edit(&["c"], &["c"]), None),
            (TagChange::Set(words(&["b", "a", "b"])), None),
            (TagChange::Set(Vec::new()), Some(tags(&[]))),
        ];
        for (change, after) in cases {
            assert_eq!(change.apply(&before).unwrap(), after, "{change:?}");
        }
    }

    #[test]
    fn more_tags_than_a_snapshot_holds_are_refused() {
        let many = TagChange::Set((0..=TAGS_MAX).map(|number| number.to_string()).collect());
        assert!(many.apply(&tags(&[])).is_err());
        assert!(TagChange::Set(vec!["x".repeat(2000)]).apply(&tags(&[])).is_err());
    }
}
