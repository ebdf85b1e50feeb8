//! SignalRfft and SignalIrfft: the discrete Fourier transform of rows of real numbers, and back.
//!
//! f32, i16 and i32, complex numbers being their real and imaginary parts by turns. A row that is shorter than the transform has zeros behind it. Integers are
//! divided before each step and rounded after it, in the same order of steps as in the reference (`lower/radix.rs`), so that they are the same; sums that
//! do not fit wrap, as there. Of the lengths, which are even, half must have no factors but 2, 3 and 5, and be more than 1: the reference
//! has no memory for others.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, radix};
use crate::ops::family::{Family, family};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I16, I32};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub fft_length: usize,
}
fields!(fft_length);

pub struct Transform {
    types: &'static [Row],
    is_inverse: bool,
}

family! { Transform:
    /// From samples to half of the spectrum, and one more.
    signalrfft = Transform { types: &[Row::Same(&[F32, I16, I32])], is_inverse: false };
    /// From the spectrum to samples; floats are divided by the length.
    signalirfft = Transform { types: &[Row::Same(&[F32, I16, I32])], is_inverse: true };
}

impl Family for Transform {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        let o = source.named_options()?;
        o.check_type(source.signature.input(0)?.element)?;
        Ok(Attributes { fft_length: o.needed("fft_length")? })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, n) = (s.input(0)?, a.fft_length);
        checks::at_most("fft_length", n, 1 << 20)?;
        if n % 2 != 0 || radix::factors(n / 2).is_none() {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`fft_length` is none that can be transformed")
                .expected("an even number from 4 on with no factors but 2, 3 and 5")
                .found(n.to_string())
                .help("pad the samples with zeros, up to a power of two"));
        }
        let Some((&length, outer)) = x.shape.split_last() else {
            return Err(Diagnostic::new(Code::OPERAND, "input has the wrong rank").expected("at least 1 dimension").found("a scalar"));
        };
        let (fits, expected) = match self.is_inverse {
            true => (length == n + 2, format!("{} numbers in each row", n + 2)),
            false => (0 < length && length <= n, format!("1 to {n} samples in each row")),
        };
        if !fits {
            return Err(Diagnostic::new(Code::OPERAND, "the rows do not fit the transform")
                .detail("input 0")
                .expected(expected)
                .found(format!("{:?}", x.shape)));
        }
        checks::sized([outer, &[if self.is_inverse { n } else { n + 2 }]].concat())
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if cx.output_type(node, 0).element_count() != 0 {
            radix::transform(cx, node, a.fft_length, self.is_inverse);
        }
        Ok(())
    }
}
