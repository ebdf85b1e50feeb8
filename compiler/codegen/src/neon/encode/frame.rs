//! The frame of a function of ours, and how it is reached.
//!
//! Not registers (`alloc.rs`) and not instructions (`mod.rs`). From the stack pointer up: vectors without register, general registers without; then
//! the caller's registers, above which its own frame begins. The idea: two steps of the stack pointer, so that pairs of saved registers are always near it.

use crate::alloc::Allocation;
use crate::neon::forms::{self, Form};

/// General registers in the order of preference: those that a function need not save come first. 16 and 17 are the encoder's own, 18 belongs to the system.
pub const GENERAL: [u8; 26] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28];
/// Vectors likewise. Instructions with an element of 16 bits have it in one of the lower half, which is left to them as long as that is possible.
pub const VECTORS: [u8; 32] =
    [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// From this one on they are saved; of vectors the lower eight bytes, and those from 16 on not.
pub const SAVED_GENERAL: u8 = 19;
pub const SAVED_VECTORS: std::ops::Range<u8> = 8..16;

/// The smallest page of the systems that the code is for.
pub const PAGE_BYTES: u32 = 4096;

pub struct Frame {
    vector_slots: u32,
    /// Of slots.
    pub bytes: u32,
    /// Registers to give back, as instructions name them, and where they are stored.
    pub saved: Vec<Saved>,
    pub saved_bytes: u32,
}

/// One or two registers.
pub struct Saved {
    pub store: &'static Form,
    pub load: &'static Form,
    pub registers: Vec<u8>,
    pub offset: i64,
}

impl Frame {
    pub fn new(allocation: &Allocation, general: &[u8], vectors: &[u8]) -> Frame {
        let slots = allocation.vector_slots * 16 + allocation.general_slots * 8;
        let mut saved = vec![];
        let mut offset = 0;
        for (registers, one, two) in [
            (general, (&forms::STR_X, &forms::LDR_X), (&forms::STP_X, &forms::LDP_X)),
            (vectors, (&forms::STR_D, &forms::LDR_D), (&forms::STP_D, &forms::LDP_D)),
        ] {
            for pair in registers.chunks(2) {
                let (store, load) = if pair.len() == 1 { one } else { two };
                saved.push(Saved { store, load, registers: pair.to_vec(), offset });
                offset += 8 * pair.len() as i64;
            }
        }
        Frame {
            vector_slots: allocation.vector_slots,
            bytes: slots.next_multiple_of(16),
            saved,
            saved_bytes: (offset as u32).next_multiple_of(16),
        }
    }

    /// Above the stack pointer.
    pub fn slot(&self, slot: u32) -> u32 {
        let vectors = 16 * self.vector_slots.min(slot);
        vectors + 8 * slot.saturating_sub(self.vector_slots)
    }
    /// The parameter of that number after those in registers.
    pub fn stack_argument(&self, number: u32) -> u32 {
        self.bytes + self.saved_bytes + 8 * number
    }
}
