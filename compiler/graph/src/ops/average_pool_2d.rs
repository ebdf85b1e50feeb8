//! AVERAGE_POOL_2D: y = clamp(Σ x / n) over the n pixels of a window that lie in the image, channel by channel; NHWC.
//!
//! f32, i8, u8, i16; integers keep their quantisation, and their means round halves away from zero.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::window::{Kind, Pooling};
use crate::ops::attributes::{Activation, Padding};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub filter: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
    pub activation: Activation,
}
fields!(filter, stride, padding, activation);

impl Attributes {
    fn pooling(&self) -> Pooling {
        let Attributes { filter, stride, padding, activation } = *self;
        Pooling { filter, stride, padding, activation }
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::REAL)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Pooling { filter, stride, padding, activation } = Pooling::decode(source)?;
        Ok(Attributes { filter, stride, padding, activation })
    }

    fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        self.pooling().infer(signature)
    }

    fn activation(&mut self) -> Option<&mut Activation> {
        Some(&mut self.activation)
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        self.pooling().lower(cx, node, Kind::Average)
    }
}
