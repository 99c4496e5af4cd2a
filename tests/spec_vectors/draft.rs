//! Vectors in the making: labelled bytes, written by the rules of "Encoding" and by nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a vector needs beside its bytes; values are hex, or decimal numbers.
pub type Given = BTreeMap<String, String>;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub structure: String,
    pub shows: String,
    pub valid: Vec<Case>,
    pub invalid: Vec<Case>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: Given,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
    /// Instead of `bytes`: these stretches (from, to) of the file's first valid vector, one behind the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<(usize, usize)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bytes: String,
}

impl File {
    pub fn new(structure: &str, shows: &str) -> Self {
        File { structure: structure.into(), shows: shows.into(), valid: Vec::new(), invalid: Vec::new() }
    }

    pub fn bytes_of(&self, case: &Case) -> Vec<u8> {
        if case.ranges.is_empty() {
            return unhex(&case.bytes);
        }
        let whole = unhex(&self.valid[0].bytes);
        case.ranges.iter().flat_map(|&(from, to)| whole[from..to].to_vec()).collect()
    }

    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.valid.iter().chain(&self.invalid)
    }

    pub fn valid(mut self, name: &str, given: &[(&str, String)], draft: &Draft) -> Self {
        let fields = draft.0.iter().map(|(label, bytes)| (label.clone(), hex(bytes))).collect();
        let name = format!("{}/{name}", self.structure);
        let bytes = hex(draft.bytes());
        self.valid.push(Case { name, given: owned(given), fields, bytes, ..Case::default() });
        self
    }

    /// A valid vector whose bytes are a result, or too long to be shown field by field.
    pub fn plain(mut self, name: &str, given: &[(&str, String)], bytes: &[u8]) -> Self {
        let name = format!("{}/{name}", self.structure);
        self.valid.push(Case { name, given: owned(given), bytes: hex(bytes), ..Case::default() });
        self
    }

    pub fn invalid(mut self, name: &str, rule: &str, given: &[(&str, String)], bytes: &[u8]) -> Self {
        let name = format!("{}/{name}", self.structure);
        let rule = Some(rule.into());
        self.invalid.push(Case { name, rule, given: owned(given), bytes: hex(bytes), ..Case::default() });
        self
    }

    /// An invalid vector made of stretches of the first valid one.
    pub fn ranges(mut self, name: &str, rule: &str, given: &[(&str, String)], ranges: &[(usize, usize)]) -> Self {
        let (name, rule) = (format!("{}/{name}", self.structure), Some(rule.into()));
        self.invalid.push(Case { name, rule, given: owned(given), ranges: ranges.to_vec(), ..Case::default() });
        self
    }

    /// What every encoded structure refuses.
    pub fn refuses_other_lengths(self, draft: &Draft) -> Self {
        let bytes = draft.bytes();
        self.invalid("ends_too_early", "ends too early", &[], &bytes[..bytes.len() - 1]).invalid(
            "bytes_after_its_end",
            "bytes after its end",
            &[],
            &[&bytes[..], &[0]].concat(),
        )
    }
}

fn owned(given: &[(&str, String)]) -> Given {
    given.iter().map(|(name, value)| (String::from(*name), value.clone())).collect()
}

/// Labelled bytes.
#[derive(Clone, Default)]
pub struct Draft(Vec<(String, Vec<u8>)>);

impl Draft {
    pub fn new() -> Self {
        Draft::default()
    }

    pub fn raw(mut self, label: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.0.push((label.into(), bytes.as_ref().to_vec()));
        self
    }

    pub fn u8(self, label: &str, value: u8) -> Self {
        self.raw(label, [value])
    }

    pub fn u16(self, label: &str, value: u16) -> Self {
        self.raw(label, value.to_le_bytes())
    }

    pub fn u32(self, label: &str, value: u32) -> Self {
        self.raw(label, value.to_le_bytes())
    }

    pub fn u64(self, label: &str, value: u64) -> Self {
        self.raw(label, value.to_le_bytes())
    }

    pub fn i64(self, label: &str, value: i64) -> Self {
        self.raw(label, value.to_le_bytes())
    }

    /// Bytes or text with their length before them.
    pub fn sized(self, label: &str, bytes: impl AsRef<[u8]>) -> Self {
        let len = u32::try_from(bytes.as_ref().len()).unwrap();
        self.u32(&format!("{label} length"), len).raw(label, bytes)
    }

    /// A list or set with its count before it.
    pub fn list(self, label: &str, items: impl IntoIterator<Item = Draft>) -> Self {
        let items: Vec<Draft> = items.into_iter().collect();
        let counted = self.u32(&format!("{label} count"), u32::try_from(items.len()).unwrap());
        let numbered = items.into_iter().enumerate();
        numbered.fold(counted, |draft, (at, item)| draft.part(&format!("{label}[{at}]"), item))
    }

    pub fn ids(self, label: &str, ids: &[[u8; 32]]) -> Self {
        self.list(label, ids.iter().map(|id| Draft::new().raw("id", id)))
    }

    /// A structure within this one.
    pub fn part(mut self, label: &str, part: Draft) -> Self {
        self.0.extend(part.0.into_iter().map(|(inner, bytes)| (format!("{label}.{inner}"), bytes)));
        self
    }

    pub fn time(self, label: &str, secs: i64, nanos: u32) -> Self {
        self.part(label, Draft::new().i64("secs", secs).u32("nanos", nanos))
    }

    /// This draft with other bytes under one label.
    pub fn with(mut self, label: &str, bytes: impl AsRef<[u8]>) -> Self {
        let mut fields = self.0.iter_mut().filter(|(known, _)| known == label);
        fields.next().unwrap_or_else(|| panic!("no field {label}")).1 = bytes.as_ref().to_vec();
        assert!(fields.next().is_none(), "two fields {label}");
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "hex has two digits a byte");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// 32 bytes that only this label gives.
pub fn secret(label: &str) -> [u8; 32] {
    *blake3::hash(format!("keepstone vectors: {label}").as_bytes()).as_bytes()
}

pub fn id(label: &str) -> [u8; 32] {
    secret(&format!("id of {label}"))
}

/// Ids in ascending order.
pub fn ids(labels: &[&str]) -> Vec<[u8; 32]> {
    let mut ids: Vec<_> = labels.iter().map(|label| id(label)).collect();
    ids.sort();
    ids
}

pub fn extras(draft: Draft, extras: &[(u32, &[u8])]) -> Draft {
    draft.list("extras", extras.iter().map(|(tag, value)| Draft::new().u32("tag", *tag).sized("value", value)))
}

pub fn lineage(draft: Draft) -> Draft {
    draft.part("lineage", Draft::new().raw("writer", [0; 32]).u64("sequence", 0).raw("predecessor", [0; 32]))
}

pub fn signature(draft: Draft) -> Draft {
    draft.part("signature", Draft::new().u32("algorithm", 0).sized("bytes", b""))
}
