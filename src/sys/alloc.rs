//! The allocator of debug builds: it aborts when the child allocates between clone and exec.
//! A forked child must not allocate (signal-safety(7)); checking it in every test costs nothing in release builds.
#![allow(unsafe_code, reason = "a global allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// From here on this process aborts when it allocates (debug builds only).
pub fn forbid() {
    FORBIDDEN.store(true, Ordering::Relaxed);
}

/// The system's allocator with the check in front.
#[derive(Debug)]
pub struct Watched;

// SAFETY: every method hands its arguments to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if FORBIDDEN.load(Ordering::Relaxed) {
            std::process::abort();
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(debug_assertions)]
#[global_allocator]
static ALLOCATOR: Watched = Watched;
