//! The text form of tile programs, `.tile`: what `--emit tile` writes and what tests are written in.
//!
//! Not a language for people to program in (that is the builder). The idea: one statement per line, everything by the name or
//! number that it has in memory, and `parse(print(p)) == p` for every program whose numbers are defined.
//!
//! ```text
//! program "tiny"
//!
//! b0 = input 0 "x" 48 bytes align 1
//! b1 = const "zero" 16 bytes align 64 0x83 x16
//! b2 = scratch "sum" 64 bytes align 16 at 128
//! b3 = scratch "half" 32 bytes align 1 view of b2 + 32
//!
//! kernel window(x: read, fill: read, y: write in place of x; C, n) {
//!   v0: i32x4 = const 0
//!   loop i in 0..n step 2 carry v1 = v0 -> v2 {
//!     row r0 = x[(i - 1)*C, 4 bytes] if 0 <= i - 1 < n else fill
//!     v3: i8x4 = load r0[0] first 3
//!     v4: i32x4 = widen v3
//!     v5: i32x4 = add v1, v4
//!     next v5
//!   }
//!   store y[0] = v2
//! }
//!
//! call window(x: b0, fill: b1, y: b2; C: 4, n: 12) operator 7
//! parallel {
//!   call window(x: b0, fill: b1, y: b3; C: 4, n: 12) operator 8
//! }
//! ```
//!
//! - A value is `v` and its number, a row `r` and its number; a run of values is written `v3..=v9`, one value n times `v0 x4`.
//! - `carry INSIDE = INIT -> RESULT` are the values that go round a loop; `next` ends its body. Their type is that of INIT.
//! - Loops, `split q, r = INDEX by N` and `clamp i = VALUE to LOW..=HIGH` declare counters. A name means the innermost counter of that
//!   name that is visible, else a parameter. Where that would be another one, or the name is no word, it is written `name.NUMBER`
//!   (counters, arguments, kernels) or `name$NUMBER` (parameters); any name can be in double quotes.
//! - The count of a loop may be a clamped counter, `clamp n = v0 to 0..=12` and `loop i in 0..n`: so many turns as memory says, 12 at most.
//! - An index is any sum and product in which no two counters are multiplied.
//! - The calls of `parallel` may run at the same time.
//! - `repeat 49 { … }`, `if b5 { … } else { … }`, `while b5 { TEST } do { BODY }` and `check b5` are steps, too. In a call inside of `repeat`
//!   a parameter may be `3 + 16 turn`: 3 in the first turn, 19 in the second.
//! - `first N` limits a load or store to its first lanes, `group N` is the length of what `load_splat` repeats.
//! - A float is a decimal number with a point, or the bits as `0x…`; an integer has neither.
//! - `unused` names what a kernel numbers but does not define. `#` starts a comment.

mod names;
mod parse;
mod parse_kernel;
mod print;
mod print_kernel;
#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;

pub use names::{quoted, unquoted};
pub use parse::parse;
pub use print::{display, print};
pub use print_kernel::{print_index, print_kernel, print_statement};

/// Where a text is wrong and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Error {
    /// From 1.
    pub line: usize,
    pub message: String,
}
