//! What several tests share: models made here, golden suites, other programs, guarded memory.
//!
//! Not the tests themselves, which are the files beside `Cargo.toml` and those in `tests/tests`.

pub mod batch;
pub mod called;
pub mod cross;
pub mod described;
pub mod differential;
pub mod guarded;
pub mod hot;
pub mod in_c;
pub mod maker;
pub mod matrix;
pub mod models;
pub mod operator;
pub mod random_kernel;
pub mod random_value;
pub mod scale;
pub mod suite;
pub mod tools;
pub mod trace;
