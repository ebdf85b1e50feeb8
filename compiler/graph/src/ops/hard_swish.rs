//! HARD_SWISH: x · min(max(x + 3, 0), 6) / 6.
//!
//! f32; i8, u8 quantised per tensor, by a table of all 256 results, whose entries are computed in the 16-bit fixed point of the reference. It
//! demands an output scale that is not much smaller than that of the input.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::{Context, table};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::HardSwish;
use crate::tensor::ElementType::{F32, I8, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(&[F32, I8, U8])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if checks::is_quantized(y.element) {
            checks::all_per_tensor(s)?;
            if numbers(x, y).is_none() {
                return Err(Diagnostic::new(Code::SCALE, "the scale of the output is too small for that of the input")
                    .expected("more than 1/128 of it")
                    .found(format!("{} and {}", y.scale().unwrap_or(1.0), x.scale().unwrap_or(1.0))));
            }
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let e = Elementwise::of_node(cx, node.op.kernel_name(y.element), node);
        if let Some(numbers) = numbers(x, y).filter(|_| y.element != F32) {
            table::bytes(cx, e, &table::entries(y.element, |q| numbers.apply(q)));
            return Ok(());
        }
        e.unroll(2).lower(cx, |k, x, _| {
            let ty = k.ty(x[0]);
            let (zero, three, six) = (k.float(ty, 0.0), k.float(ty, 3.0), k.float(ty, 6.0));
            let moved = k.add(x[0], three);
            let moved = k.max(zero, moved);
            let bounded = k.min(six, moved);
            let product = k.mul(x[0], bounded);
            k.div(product, six)
        });
        Ok(())
    }
}

fn numbers(x: &TensorType, y: &TensorType) -> Option<HardSwish> {
    let parameters = |t: &TensorType| (t.scale().unwrap_or(1.0), t.zero_point() as i32);
    HardSwish::new(parameters(x), parameters(y))
}
