//! Poolings: a window slides over an image and keeps one number of the pixels in it that lie in the image, channel by channel; NHWC.
//!
//! f32, i8, u8, i16; integers keep their quantisation. The result is clamped by the fused activation.

use super::attributes::Activation;
use super::channels::{Channels, Interval, Intervals};
use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::requantize::Target;
use crate::lower::window::Kind;
pub use crate::lower::window::Pooling as Attributes;
use crate::tensor::ElementType::F32;
use crate::text::fields::fields;

fields!(filter, stride, padding, activation);

pub struct Pool {
    types: &'static [Row],
    kind: Kind,
}

family! { Pool:
    /// Σ x / n over n pixels; means of integers round halves away from zero.
    average_pool_2d = Pool { types: &[Row::Same(types::REAL)], kind: Kind::Average };
    /// √(Σ x² / n) over n pixels
    l2_pool_2d = Pool { types: &[Row::Same(&[F32])], kind: Kind::Root };
    /// max x; NaN is skipped, as in the reference: a window of nothing else gives the lowest finite number.
    max_pool_2d = Pool { types: &[Row::Same(types::REAL)], kind: Kind::Max };
}

impl Family for Pool {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        Attributes::decode(source)
    }

    fn infer(&self, a: &Attributes, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        a.infer(signature)
    }

    fn activation<'a>(&self, a: &'a mut Attributes) -> Option<&'a mut Activation> {
        Some(&mut a.activation)
    }

    fn channels(&self, _: &Attributes, _: &Signature) -> Channels {
        Channels::Same
    }

    /// Neither the largest nor the mean is beyond what it is taken of.
    fn intervals(&self, a: &Attributes, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        let Target { low, high, .. } = Target::new(s.output(0), a.activation).ok()?;
        Some(operands[0].map(|x| x.within(Interval::new(low.into(), high.into()))))
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        // The mean rounds halves away from the zero of bytes, not from the zero point.
        if self.kind == Kind::Max { Moves::Together } else { Moves::None }
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        a.lower(cx, node, self.kind)
    }
}
