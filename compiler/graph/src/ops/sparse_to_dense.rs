//! SPARSE_TO_DENSE: an array of one number with others at some places, which a list of indices says.
//!
//! f32, i8, u8, i32, i64; up to 4 axes; one number for all places, or one for each. The shape is a constant. A constant index beyond an axis is
//! refused; one that is only known at run time ends the invocation.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::copy::{container, each};
use crate::lower::moves::{self, Axis};
use crate::lower::{Context, indices};
use crate::ops::types::{Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I8, I32, I64, U8};
use crate::text::fields::fields;
use cranelite_tile::{Index, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub shape: Vec<usize>,
}
fields!(shape);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 4..=4, kept: Kept::These(&[0, 2, 3]), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(&[F32, I8, U8, I32, I64], &[&[I32, I64], T, T], &[T])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let rank = s.input(1)?.element_count();
        Ok(Attributes { shape: s.constant_counts(1, "the shape of the result", &[rank])? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (list, values, fill) = (s.input(0)?, s.input(1)?, s.input(2)?);
        let (count, axes) = match list.shape[..] {
            [] => (1, 1),
            [count] => (count, 1),
            [count, axes] => (count, axes),
            _ => (0, usize::MAX),
        };
        if axes != self.shape.len() || 4 < axes || !(values.rank() == 0 || values.shape == [count]) || fill.element_count() != 1 {
            return Err(Diagnostic::new(Code::OPERAND, "indices, numbers and shape do not fit each other")
                .expected("one number or one for each tuple of indices, at most 4 axes, and one number for all other places")
                .found(format!("indices {:?}, numbers {:?}, shape {:?}, and {:?}", list.shape, values.shape, self.shape, fill.shape)));
        }
        checks::sized(self.shape.clone())
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (list, values, y) = (cx.input_type(node, 0), cx.input_type(node, 1), cx.output_type(node, 0));
        let axes = self.shape.len();
        let count = list.element_count() / axes.max(1);
        indices::in_axes(cx, node, 0, count, &self.shape)?;
        if y.element_count() == 0 {
            return Ok(());
        }
        let bytes = y.element.bytes().expect("infer has seen the type");
        let (numbers, from, fill, to) = (cx.input(node, 0), cx.input(node, 1), cx.input(node, 2), cx.output(node, 0));
        moves::elements(cx, fill, to, bytes, (0, 0), &[Axis { count: y.element_count(), from: 0, to: 1 }]);
        if count == 0 {
            return Ok(());
        }
        let index = indices::elem(list.element).expect("infer has seen the type");
        let elem = container(bytes).expect("1, 4 or 8 bytes");
        let is_one = values.rank() == 0;
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let mut k = KernelBuilder::new(format!("sparse_to_dense_{elem}_{}_{count}", shape.join("x")));
        let (picks, x, y) = (k.read("indices"), k.read("x"), k.read_write("y"));
        each(&mut k, "n", count, |k, n| {
            let mut at = Index::from(0);
            for (j, &size) in self.shape.iter().enumerate() {
                let v = k.load(index.x(1), picks.at((n.clone() * axes as i64 + j) * i64::from(index.bytes())));
                at = at * size as i64 + Index::from(k.clamped_index("index", v, 0, size as i64 - 1));
            }
            let v = k.load(elem.x(1), x.at(if is_one { 0.into() } else { n * bytes as i64 }));
            k.store(y.at(at * bytes as i64), v);
        });
        cx.call(k.finish(), &[numbers, from, to], &[]);
        Ok(())
    }
}
