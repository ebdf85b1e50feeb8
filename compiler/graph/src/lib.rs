//! The graph side of cranelite: what a model means, how it is rewritten, and how it is lowered to tile programs.
//!
//! It never sees Cranelift, a file or a command line. The idea: import trusts nothing, rewrites keep every integer, and an
//! operator's only implementation is its lowering.

pub mod diagnostic;
pub mod graph;
pub mod import;
pub mod lower;
pub mod ops;
pub mod pipeline;
pub mod quantize;
pub mod rewrite;
pub mod tensor;
pub mod text;
pub mod verify;
