//! Choosing by what people type: one of many by how its id begins.

use super::exit::{Exit, Failure};
use super::values::IdPrefix;
use crate::id::{ID_LEN, Id, Named};

/// Candidates that an ambiguous prefix names.
const CANDIDATES_NAMED: usize = 10;

/// The one id that begins so. Where there is none, or more than one, the message names what there is, and
/// `listing` is the command that lists them.
pub fn one_id<T: Named>(
    prefix: &IdPrefix,
    ids: impl IntoIterator<Item = Id<T>>,
    listing: &str,
) -> Result<Id<T>, Failure> {
    let candidates: Vec<Id<T>> = ids.into_iter().filter(|id| id.to_hex().starts_with(prefix.as_str())).collect();
    match candidates[..] {
        [id] => Ok(id),
        [] => Err(Failure::new(Exit::Failed, format!("no {}'s id begins with {prefix}", T::NOUN))
            .hint(format!("list them with: {listing}"))),
        _ => Err(Failure::new(Exit::Failed, format!("{prefix} is ambiguous: {} ids begin so", candidates.len()))
            .hint(told(prefix, &candidates))),
    }
}

/// The candidates with a few digits more than were typed, a line each.
fn told<T>(prefix: &IdPrefix, candidates: &[Id<T>]) -> String {
    let digits = (prefix.as_str().len() + 4).clamp(8, 2 * ID_LEN);
    let mut lines: Vec<String> =
        candidates.iter().take(CANDIDATES_NAMED).map(|id| format!("  {}", &id.to_hex()[..digits])).collect();
    if candidates.len() > CANDIDATES_NAMED {
        lines.push(format!("  and {} more", candidates.len() - CANDIDATES_NAMED));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ID_LEN, PackId};

    fn pack(first: u8, second: u8) -> PackId {
        let mut bytes = [0; ID_LEN];
        (bytes[0], bytes[1]) = (first, second);
        PackId::from_bytes(bytes)
    }

    #[test]
    fn a_prefix_chooses_one_or_says_what_there_is() {
        let ids = [pack(0x4f, 0x2a), pack(0x4f, 0x2b), pack(0x10, 0)];
        let one = |prefix: &str| one_id(&prefix.parse().unwrap(), ids, "keepstone list");
        assert_eq!(one("1"), Ok(ids[2]));
        assert_eq!(one("4f2b"), Ok(ids[1]));
        let none = one("5").unwrap_err();
        assert_eq!((none.exit, none.message.as_str()), (Exit::Failed, "no pack's id begins with 5"));
        let many = one("4f2").unwrap_err();
        assert_eq!(many.hint.as_deref(), Some("  4f2a0000\n  4f2b0000"));
    }
}
