//! The C99 emitter: a placed program becomes one C file, for targets without a back end of Cranelift's and for any C compiler.
//!
//! The same plan and the same proofs as an object's. It knows no operator and no model: kernels are scalar code (`kernel.rs`), over functions that say what
//! tile operations mean (`library.rs`), called as the schedule says (`program.rs`).

mod dots;
mod kernel;
mod lanes;
mod library;
mod program;

pub use program::emit;
