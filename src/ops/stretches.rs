//! Stretches: neighbours in one pack that are read in one go.

use std::ops::Range;

use crate::repo::Location;

/// Bytes between two blobs that are read and thrown away rather than asked around.
const GAP_MAX: u64 = 64 << 10;
/// Bytes that are read in one go: enough to keep a disk or a distant store busy, and little enough for
/// each thread to hold them.
const STRETCH_LEN: std::ops::RangeInclusive<u64> = (1 << 20)..=(8 << 20);
/// Stretches for each thread at least, so that none is left with nothing to do for long.
const STRETCHES_PER_THREAD: u64 = 8;

/// Cuts `needs`, in the order of packs and offsets, into what is read in one go.
pub(super) fn stretches<T>(needs: &[T], location: impl Fn(&T) -> &Location) -> Vec<Range<usize>> {
    let bytes: u64 = needs.iter().map(|need| location(need).placed.blob.sealed_len()).sum();
    let share = bytes / (rayon::current_num_threads() as u64 * STRETCHES_PER_THREAD);
    let len_max = share.clamp(*STRETCH_LEN.start(), *STRETCH_LEN.end());
    let mut stretches = Vec::new();
    let mut first = 0;
    for next in 1..=needs.len() {
        let ends = |next| {
            !belong_together(location(&needs[first]), location(&needs[next - 1]), location(&needs[next]), len_max)
        };
        if next == needs.len() || ends(next) {
            stretches.push(first..next);
            first = next;
        }
    }
    stretches
}

fn belong_together(first: &Location, last: &Location, next: &Location, len_max: u64) -> bool {
    let (begin, end) = (first.placed.offset, next.placed.end());
    first.pack == next.pack
        && next.placed.offset.saturating_sub(last.placed.end()) <= GAP_MAX
        && end.saturating_sub(begin) <= len_max
}
