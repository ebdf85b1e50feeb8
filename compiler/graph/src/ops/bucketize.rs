//! BUCKETIZE: how many boundaries are not above an element, that is, the number of its bucket.
//!
//! f32, f64, i32, i64, which are compared as floats, as in the reference; NaN is in the last bucket. The boundaries are attributes.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::elementwise::Elementwise;
use crate::lower::{Context, moves};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{F32, F64, I32, I64};
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Ascending.
    pub boundaries: Vec<f32>,
}
fields!(boundaries);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[F32, F64, I32, I64]], &[&[I32]])];
    const IS_ELEMENTWISE: bool = true;

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let boundaries = source.operator.builtin_options_as_bucketize_options().and_then(|o| o.boundaries());
        Ok(Attributes { boundaries: boundaries.map_or(vec![], |b| b.iter().collect()) })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        if !self.boundaries.is_sorted() {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "boundaries must be ascending").found(format!("{:?}", self.boundaries)));
        }
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let x = cx.input_type(node, 0);
        let count = self.boundaries.len();
        if count == 0 {
            moves::fill(cx, node, 0);
            return Ok(());
        }
        let (float, int) = if x.element == F64 { (Elem::F64, Elem::I64) } else { (Elem::F32, Elem::I32) };
        let bytes: Vec<u8> = match float {
            Elem::F64 => self.boundaries.iter().flat_map(|&b| f64::from(b).to_le_bytes()).collect(),
            _ => self.boundaries.iter().flat_map(|b| b.to_le_bytes()).collect(),
        };
        let table = cx.constant("boundaries", bytes, 64);
        let e = Elementwise::of_node(cx, format!("bucketize_{}_{count}", x.element), node).table(table);
        e.lower(cx, |k, x, tables| {
            let lanes = k.ty(x[0]).lanes as usize;
            let v = if k.ty(x[0]).elem == float { x[0] } else { k.to_float(x[0], float) };
            let [zero, one] = [0, 1].map(|n| k.int(int.x(lanes), n));
            let below = k.repeat("boundary", count, 1, &[zero], |k, i, below| {
                let boundary = k.load_splat(float.x(lanes), 1, tables[0].at(i * i64::from(float.bytes())));
                let is_above = k.compare(Cond::Lt, v, boundary);
                let step = k.select(is_above, zero, one);
                vec![k.add(below[0], step)]
            });
            k.narrow(below[0], Elem::I32)
        });
        Ok(())
    }
}
