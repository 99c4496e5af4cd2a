//! An allocator that knows how much each thread holds, so that a target can bound it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a decoder may hold however short its input is, in bytes: messages, a first few items.
const ALLOWANCE: usize = 64 << 10;
/// What it may hold for each byte of input. A list grows by doubling, its items are larger in memory than
/// encoded (an empty text: 24 bytes for 4), and old and new room are held while it grows.
const PER_INPUT_BYTE: usize = 64;

#[global_allocator]
static COUNTED: Counted = Counted;

struct Counted;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(more: isize) {
    // Allocations after a thread's locals are gone are nobody's concern.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + more);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize);
        count(-(layout.size() as isize));
        unsafe { System.realloc(at, layout, new_size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
}

/// What `work` gives. Panics if this thread held more memory meanwhile than `input_len` bytes of input,
/// and `known_len` bytes that are authentic, account for.
pub fn bounded<T>(input_len: usize, known_len: usize, work: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    MOST.set(before);
    let result = work();
    let most = usize::try_from(MOST.get() - before).expect("the most is never less than the beginning");
    let allowed = ALLOWANCE + PER_INPUT_BYTE * input_len + known_len;
    assert!(most <= allowed, "{most} bytes of memory for {input_len} bytes of input, {allowed} are allowed");
    result
}
