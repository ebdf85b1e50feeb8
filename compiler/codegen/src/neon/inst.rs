//! Instructions on virtual registers, as data.
//!
//! Not their selection (`ops.rs` and its neighbours) and not their encoding (`forms.rs`). The idea: an instruction is a form, registers and numbers, so that the
//! scheduler can move it, the allocator can name its registers, and the encoder needs nothing else.

use super::forms::{Arrangement, Form};
use crate::alloc::Virtual;

/// A place in the code that branches and loads of constants refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(pub u32);

/// What an instruction touches in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The register that the address is made of: places at different offsets from one value of it are different places.
    pub base: Option<Virtual>,
    pub offset: i64,
    pub bytes: u32,
    pub is_write: bool,
    /// Memory that nobody writes while the function runs.
    pub is_constant: bool,
}

#[derive(Clone, Debug)]
pub enum Inst {
    /// Registers in the order of the form's text, numbers likewise; where there is a label, without the distance to it, which is the last number.
    Op {
        form: &'static Form,
        arrangement: Arrangement,
        registers: Vec<Virtual>,
        numbers: Vec<i64>,
        label: Option<Label>,
        touched: Option<Touched>,
    },
    /// A copy of a whole register of either class.
    Move {
        to: Virtual,
        from: Virtual,
    },
    /// The parameter of the function, a pointer or a 64-bit integer, by position. At the beginning of the list.
    Argument {
        to: Virtual,
        index: usize,
    },
    Label(Label),
    LoopBegin,
    LoopEnd,
}
