//! The arithmetic of a product: which operation multiplies, and what integers it sees.
//!
//! Not how results are rescaled (`epilogue.rs`). The idea: the operation takes `x − a` and `w − b` with constants `a`, `b` that make both
//! fit its operands; what that and the zero points add to a sum is the same for all pixels that see the same taps, and so belongs into
//! the number that the accumulator starts from. Only if weights keep an offset is the sum of the activations needed as well.

use super::matrices;
use crate::tensor::ElementType;
use cranelite_tile::{ByteDot, Elem, KernelBuilder, Machine, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// f32 by f32.
    Float,
    /// Groups of four bytes; `flip`: the sign bit of the activations is inverted after loading.
    Bytes { flip: bool },
    /// Pairs of bytes. Two of them in a row are multiplied together: their products are summed in 16 bits, and those sums in 32.
    BytePairs { flip: bool },
    /// Matrices of bytes, two rows of eight by as many; `flip` as of `Bytes`.
    ByteMatrices { flip: bool },
    /// Pairs of i16, widened from what is in memory.
    Pairs,
    /// Single i16 by i16 into 64 bits.
    Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numbers {
    pub form: Form,
    /// Activations in memory.
    pub memory: Elem,
    /// Activations and weights as the operation takes them.
    pub operand: Elem,
    pub weight: Elem,
    /// Weights in memory.
    pub packed: Elem,
    pub accumulator: Elem,
    /// Elements of the depth that one operation takes per lane.
    pub group: usize,
    /// The operation sees `x − input_shift` and `w − weight_shift`.
    pub input_shift: i64,
    pub weight_shift: i64,
}

impl Numbers {
    pub const FLOAT: Numbers = Numbers {
        form: Form::Float,
        memory: Elem::F32,
        operand: Elem::F32,
        weight: Elem::F32,
        packed: Elem::F32,
        accumulator: Elem::F32,
        group: 1,
        input_shift: 0,
        weight_shift: 0,
    };

    /// Of 8-bit activations and weights.
    pub fn bytes(machine: &Machine, activation: ElementType, weight: ElementType, weight_zero_point: i64) -> Numbers {
        let memory = if activation == ElementType::U8 { Elem::U8 } else { Elem::I8 };
        let (operand, group) = match machine.byte_dot {
            ByteDot::U8S8 => (Elem::U8, 4),
            ByteDot::S8S8 | ByteDot::S8S8Pairs => (Elem::I8, 4),
            ByteDot::S16S16 => (Elem::I16, 2),
            ByteDot::Runs { group, .. } => (memory, group as usize),
        };
        if operand == Elem::I16 || (!machine.has_vectors() && !matches!(machine.byte_dot, ByteDot::Runs { .. })) {
            return Numbers { weight_shift: weight_zero_point, memory, ..Numbers::words(Elem::I32) };
        }
        let unsigned = matches!(machine.byte_dot, ByteDot::Runs { unsigned: true, .. });
        let input_shift = match (memory, operand) {
            (Elem::I8, Elem::U8) => -128,
            (Elem::U8, Elem::I8) => 128,
            _ => 0,
        };
        Numbers {
            form: Form::Bytes { flip: memory != operand },
            memory,
            operand,
            weight: if unsigned { Elem::U8 } else { Elem::I8 },
            packed: if unsigned { Elem::U8 } else { Elem::I8 },
            accumulator: Elem::I32,
            group,
            input_shift,
            weight_shift: match (weight, unsigned) {
                (ElementType::U8, true) => 0,
                (_, true) => -128,
                (ElementType::U8, false) => 128,
                (_, false) => 0,
            },
        }
    }

    /// Signed bytes by signed bytes with sums of two products in 16 bits.
    pub fn in_pairs(self) -> Numbers {
        match self.form {
            Form::Bytes { flip } if self.operand == Elem::I8 => Numbers { form: Form::BytePairs { flip }, group: 2, ..self },
            _ => self,
        }
    }

    /// Signed bytes by signed bytes as products of matrices.
    pub fn in_matrices(self) -> Numbers {
        match self.form {
            Form::Bytes { flip } if self.operand == Elem::I8 => {
                Numbers { form: Form::ByteMatrices { flip }, group: matrices::GROUP, ..self }
            }
            _ => self,
        }
    }

    pub fn are_matrices(&self) -> bool {
        matches!(self.form, Form::ByteMatrices { .. })
    }

    /// Groups in a row that one product takes.
    pub fn chain(&self) -> usize {
        if matches!(self.form, Form::BytePairs { .. }) { 2 } else { 1 }
    }

    /// Of 16-bit activations and weights of at most 9 bits.
    pub fn words(accumulator: Elem) -> Numbers {
        Numbers {
            form: Form::Pairs,
            memory: Elem::I16,
            operand: Elem::I16,
            weight: Elem::I16,
            packed: Elem::I16,
            accumulator,
            group: 2,
            input_shift: 0,
            weight_shift: 0,
        }
    }

    /// The same with weights of bytes that are widened when they are used: for those that come from far away and are used once.
    pub fn with_short_weights(self) -> Numbers {
        Numbers { packed: Elem::I8, ..self }
    }

    /// The same with signed weights, for results that count on them.
    pub fn with_signed_weights(self, weight: ElementType) -> Numbers {
        let shift = if weight == ElementType::U8 { 128 } else { 0 };
        match self.weight {
            Elem::U8 => Numbers { weight: Elem::I8, packed: Elem::I8, weight_shift: shift, ..self },
            _ => self,
        }
    }

    /// The same with activations that are in memory as the operation takes them.
    pub fn made(self) -> Numbers {
        let form = match self.form {
            Form::Bytes { .. } => Form::Bytes { flip: false },
            Form::BytePairs { .. } => Form::BytePairs { flip: false },
            Form::ByteMatrices { .. } => Form::ByteMatrices { flip: false },
            other => other,
        };
        Numbers { memory: self.operand, form, ..self }
    }

    /// Of 16-bit activations and 16-bit weights: every product may need 31 bits.
    pub const WORDS_64: Numbers = Numbers {
        form: Form::Words,
        memory: Elem::I16,
        operand: Elem::I16,
        weight: Elem::I16,
        packed: Elem::I16,
        accumulator: Elem::I64,
        group: 1,
        input_shift: 0,
        weight_shift: 0,
    };

    /// Whether the sign bit of activations is inverted after loading.
    pub fn flips(&self) -> bool {
        matches!(self.form, Form::Bytes { flip: true } | Form::BytePairs { flip: true } | Form::ByteMatrices { flip: true })
    }

    /// What makes so many operands of bytes in memory that have the other sign, by exclusive or.
    pub fn flip(&self, k: &mut KernelBuilder, lanes: usize) -> Option<Value> {
        self.flips().then(|| self.sign(k, lanes))
    }

    /// The sign bit of so many bytes.
    pub fn sign(&self, k: &mut KernelBuilder, lanes: usize) -> Value {
        k.int(self.operand.x(lanes), if self.operand == Elem::U8 { 128 } else { -128 })
    }

    /// What the sum of the operands of a pixel must be multiplied with and added; 0: it is not needed.
    pub fn sum_factor(&self, weight_zero_point: i64) -> i64 {
        self.weight_shift - weight_zero_point
    }

    /// What an accumulator starts from so that it ends as Σ (x − input zero point)(w − weight zero point): `sum` is that of the weights
    /// that take part, as the operation sees them, and `count` their number.
    pub fn start(&self, input_zero_point: i64, weight_zero_point: i64, sum: i64, count: i64) -> i64 {
        (self.input_shift - input_zero_point).wrapping_mul(sum.wrapping_add(count.wrapping_mul(self.sum_factor(weight_zero_point))))
    }
}
