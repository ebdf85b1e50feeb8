//! The own emitter of AArch64: a tile kernel becomes machine code with 128-bit vectors.
//!
//! Not Cranelift: instructions are chosen, scheduled and encoded here.

pub mod encode;
pub mod forms;
pub mod inst;
pub mod kind;
