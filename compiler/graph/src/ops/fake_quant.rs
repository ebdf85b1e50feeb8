//! FAKE_QUANT: the nearest of so many numbers of equal distance, 0 being one of them; f32.
//!
//! The range is moved so that 0 is in it, as in the reference, which refuses a narrow range.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::elementwise::Elementwise;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::quantize::nudged_range;
use crate::tensor::ElementType::F32;
use crate::text::fields::fields;
use cranelite_tile::Unary;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub min: f32,
    pub max: f32,
    pub bits: usize,
}
fields!(min, max, bits);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source
            .operator
            .builtin_options_as_fake_quant_options()
            .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"))?;
        if o.narrow_range() {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "a narrow range is of weights alone").expected("narrow_range false"));
        }
        Ok(Attributes { min: o.min(), max: o.max(), bits: usize::try_from(o.num_bits()).unwrap_or(0) })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        if !(1..=16).contains(&self.bits) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the number of bits is out of range")
                .expected("1 to 16")
                .found(self.bits.to_string()));
        }
        let is_range = self.min <= 0.0 && 0.0 <= self.max && self.min < self.max && (self.max - self.min).is_finite();
        if !is_range || nudged_range(self.min, self.max, self.bits as u32).2 < f32::MIN_POSITIVE {
            return Err(
                Diagnostic::new(Code::ATTRIBUTE, "the range is none that has 0 in it").found(format!("{} to {}", self.min, self.max))
            );
        }
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (least, largest, step) = nudged_range(self.min, self.max, self.bits as u32);
        let e = Elementwise::of_node(cx, node.op.kernel_name(F32), node);
        e.unroll(2).lower(cx, |k, x, _| {
            let ty = k.ty(x[0]);
            // In these orders NaN becomes the least.
            let [low, high, step, per_step] = [least, largest, step, 1.0 / step].map(|v| k.float(ty, v));
            let v = k.max(x[0], low);
            let v = k.min(v, high);
            let v = k.sub(v, low);
            let v = k.mul(v, per_step);
            let half = k.float(ty, 0.5f32.next_down());
            let v = k.add(v, half);
            let v = k.unary(Unary::Trunc, v);
            let v = k.mul(v, step);
            k.add(v, low)
        });
        Ok(())
    }
}
