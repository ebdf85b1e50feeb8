//! Tile IR: structured vector code over flat buffers, the level at which cranelite optimises, proves and plans.
//!
//! It knows no model (that is `cranelite-graph`) and no machine code (that is `cranelite-codegen`), and depends on neither.
//! The idea: one kernel text means the same to the interpreter, to every emitter and to the verifier.

pub mod arena;
pub mod bands;
pub mod builder;
pub mod compress;
mod cost;
pub mod halves;
pub mod index;
pub mod interpret;
pub mod machine;
pub mod moving;
pub mod parallel;
pub mod pressure;
pub mod program;
mod ranged;
#[cfg(test)]
mod samples;
pub mod strided;
pub mod text;
pub mod types;
pub mod verify;

pub use builder::KernelBuilder;
pub use index::{Counter, Index, Param};
pub use machine::{ByteDot, Machine, MicroTile, Permutes, SparseCosts};
pub use program::*;
pub use types::{Elem, Type};
