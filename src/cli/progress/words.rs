//! What was seen, in words for people and for programs.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::pace::Pace;
use crate::cli::render::{duration, percent, size};
use crate::ops::progress::Seen;

/// What was seen without totals that turned out too low: a backup takes its own from the snapshot before.
pub(super) fn believable(mut seen: Seen) -> Seen {
    if seen.bytes_total.is_some_and(|total| seen.bytes_done > total)
        || seen.total.is_some_and(|total| seen.done > total)
    {
        (seen.total, seen.bytes_total) = (None, None);
    }
    seen
}

/// How much of how much: of bytes if their total is known, else of things.
pub(super) fn fraction(seen: &Seen) -> Option<(u64, u64)> {
    let bytes = seen.bytes_total.map(|total| (seen.bytes_done, total));
    bytes.or_else(|| seen.total.map(|total| (seen.done, total)))
}

/// One line for people, with everything in it.
pub(super) fn line(operation: &str, seen: &Seen, pace: &Pace) -> String {
    let parts: Vec<String> = main(seen, pace).into_iter().chain(beside(seen)).collect();
    format!("{operation}: {}", parts.join(", "))
}

/// How far it is, what matters most first: a narrow terminal cuts the end.
pub(super) fn main(seen: &Seen, pace: &Pace) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some((done, total)) = fraction(seen) {
        parts.push(percent(done, total));
    }
    if seen.bytes_done > 0 || seen.bytes_total.is_some() {
        parts.push(of(&size(seen.bytes_done), seen.bytes_total.map(size)));
    }
    if seen.bytes_done > 0 {
        parts.push(format!("{}/s", size(pace.rate().round() as u64)));
    }
    if let Some(left) = seen.bytes_total.and_then(|total| pace.remaining(total)) {
        parts.push(format!("{} left", duration(left)));
    }
    parts
}

/// What else is worth knowing: how many things, what a backup adds, and what went wrong.
pub(super) fn beside(seen: &Seen) -> Vec<String> {
    let mut parts = vec![of(&seen.done.to_string(), seen.total.map(|total| total.to_string())) + " " + seen.noun];
    if let Some(added) = seen.added {
        let known = seen.bytes_done.saturating_sub(added.bytes_new);
        parts.push(format!("{} new, {} known", size(added.bytes_new), size(known)));
    }
    match seen.troubles {
        0 => {}
        1 => parts.push("1 trouble".into()),
        many => parts.push(format!("{many} troubles")),
    }
    parts
}

fn of(done: &str, total: Option<String>) -> String {
    total.map_or_else(|| done.to_owned(), |total| format!("{done} of {total}"))
}

/// One object for programs, with restic's names where it has one.
pub(super) fn status(seen: &Seen, pace: &Pace) -> Status {
    let mut fields = Vec::new();
    let mut put = |key: &str, value: Value| fields.push((key.to_owned(), value));
    put("message_type", "status".into());
    put("seconds_elapsed", pace.elapsed().as_secs().into());
    if let Some(left) = seen.bytes_total.and_then(|total| pace.remaining(total)) {
        put("seconds_remaining", left.as_secs().into());
    }
    if let Some((done, total)) = fraction(seen) {
        put("percent_done", (done as f64 / total as f64).min(1.0).into());
    }
    if let Some(total) = seen.total {
        put(&format!("total_{}", seen.noun), total.into());
    }
    put(&format!("{}_done", seen.noun), seen.done.into());
    if let Some(total) = seen.bytes_total {
        put("total_bytes", total.into());
    }
    put("bytes_done", seen.bytes_done.into());
    if let Some(added) = seen.added {
        put("bytes_new", added.bytes_new.into());
        put("bytes_stored", added.bytes_stored.into());
    }
    put("error_count", seen.troubles.into());
    if !seen.current.is_empty() {
        put("current_files", vec![String::from_utf8_lossy(&seen.current)].into());
    }
    Status(fields)
}

/// A JSON object whose fields are named after what is counted.
pub(super) struct Status(Vec<(String, Value)>);

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ops::progress::Added;

    fn backup() -> (Seen, Pace) {
        let mut pace = Pace::default();
        pace.note(Duration::from_secs(10), 100 << 20);
        let added = Some(Added { bytes_new: 30 << 20, bytes_stored: 20 << 20 });
        let current = b"/etc/\xffhosts".to_vec();
        (Seen { noun: "files", done: 12, bytes_done: 100 << 20, added, current, troubles: 1, ..Seen::default() }, pace)
    }

    #[test]
    fn people_are_told_what_is_known() {
        let (mut seen, pace) = backup();
        let line = line("backup", &seen, &pace);
        assert_eq!(line, "backup: 100 MiB, 10.0 MiB/s, 12 files, 30.0 MiB new, 70.0 MiB known, 1 trouble");
        (seen.total, seen.bytes_total) = (Some(48), Some(400 << 20));
        let line = super::line("backup", &seen, &pace);
        let expected = "backup: 25 %, 100 MiB of 400 MiB, 10.0 MiB/s, 30 s left, 12 of 48 files, 30.0 MiB new";
        assert!(line.starts_with(expected), "{line}");
        let checked = Seen { noun: "packs", done: 1, total: Some(4), ..Seen::default() };
        assert_eq!(super::line("check", &checked, &Pace::default()), "check: 25 %, 1 of 4 packs");
    }

    #[test]
    fn a_total_that_is_exceeded_is_none() {
        let (mut seen, pace) = backup();
        (seen.total, seen.bytes_total) = (Some(48), Some(1 << 20));
        let line = line("backup", &believable(seen), &pace);
        assert!(line.starts_with("backup: 100 MiB, 10.0 MiB/s, 12 files"), "{line}");
    }

    #[test]
    fn programs_are_told_in_restics_words() {
        let (mut seen, pace) = backup();
        (seen.total, seen.bytes_total) = (Some(48), Some(400 << 20));
        let status = serde_json::to_value(status(&seen, &pace)).unwrap();
        let expected = serde_json::json!({
            "message_type": "status", "seconds_elapsed": 10, "seconds_remaining": 30, "percent_done": 0.25,
            "total_files": 48, "files_done": 12, "total_bytes": 419_430_400u64, "bytes_done": 104_857_600,
            "bytes_new": 31_457_280, "bytes_stored": 20_971_520, "error_count": 1,
            "current_files": ["/etc/\u{fffd}hosts"],
        });
        assert_eq!(status, expected);
    }
}
