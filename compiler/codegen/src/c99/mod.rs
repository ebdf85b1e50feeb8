//! The C99 emitter: a placed program becomes one C file, for targets without a back end of Cranelift's and for any C compiler.
//!
//! The same plan and the same proofs as an object's. It knows no operator and no model: kernels are scalar code (`kernel.rs`), over functions that say what
//! tile operations mean (`library.rs`), constants are tables of the numbers that kernels read (`elements.rs`, `tables.rs`), the schedule is a function (`body.rs`),
//! and what the header declares (`entry.rs`, `self_test.rs`, `describe.rs`) follows the same plan as an object's. `program.rs` puts all together; `calls.rs` reads back
//! which function calls which.

mod body;
mod calls;
mod describe;
mod dots;
mod elements;
mod entry;
mod kernel;
mod lanes;
mod library;
mod program;
mod self_test;
mod tables;
mod text;

pub use calls::{calls, pushed_bytes};
pub use program::emit;
