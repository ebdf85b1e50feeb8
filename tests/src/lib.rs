//! What several tests share. The tests themselves are in `tests/tests`.

pub mod cross;
pub mod differential;
pub mod guarded;
