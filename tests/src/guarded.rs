//! Memory between two pages that nobody may touch.
//!
//! The idea: code that reads or writes one byte too many crashes at once, at either end, instead of being right by luck.

use std::ops::{Deref, DerefMut};

/// Which end lies against a forbidden page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    First,
    Last,
}

pub struct Guarded {
    mapping: *mut u8,
    mapped_bytes: usize,
    start: usize,
    size: usize,
}

impl Guarded {
    /// A copy of `contents`. At the last end the start is aligned to `align`, so up to `align - 1` bytes remain behind it.
    pub fn new(contents: &[u8], align: usize, end: End) -> Guarded {
        let page = 4096;
        let inner = contents.len().next_multiple_of(page).max(page);
        let mapped_bytes = inner + 2 * page;
        // SAFETY: a fresh private mapping, of which the middle is made accessible.
        let mapping = unsafe {
            let p = libc::mmap(std::ptr::null_mut(), mapped_bytes, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            assert_ne!(p, libc::MAP_FAILED);
            let middle = p.cast::<u8>().add(page);
            assert_eq!(libc::mprotect(middle.cast(), inner, libc::PROT_READ | libc::PROT_WRITE), 0);
            p.cast::<u8>()
        };
        let start = match end {
            End::First => page,
            End::Last => page + (inner - contents.len()) / align * align,
        };
        let mut g = Guarded { mapping, mapped_bytes, start, size: contents.len() };
        g.copy_from_slice(contents);
        g
    }
}

impl Deref for Guarded {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: inside the accessible part, which lives as long as self.
        unsafe { std::slice::from_raw_parts(self.mapping.add(self.start), self.size) }
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.add(self.start), self.size) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, made in `new`.
        unsafe {
            libc::munmap(self.mapping.cast(), self.mapped_bytes);
        }
    }
}
