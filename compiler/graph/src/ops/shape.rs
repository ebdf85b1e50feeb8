//! SHAPE: the dimensions of the input as a vector of i32 or i64.
//!
//! Of any tensor: shapes are known when a model is compiled, so the result is a constant, unless the first dimension is counted at run time.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::{Context, copy, counts, indices};
use crate::ops::counts::Count;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, I64};
use crate::text::fields::fields;
use cranelite_schema::TensorType;
use cranelite_tile::{Elem, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// With the most that the first dimension can be if it is counted; the input is an input of the node then.
    pub shape: Vec<usize>,
    pub is_counted: bool,
}
fields!(shape, is_counted);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(0), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[types::SIZED], &[&[I32, I64]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let options = source.operator.builtin_options_as_shape_options();
        checks::index_type(options.map_or(TensorType::FLOAT32, |o| o.out_type()), source.signature.output(0))?;
        Ok(Attributes { shape: source.signature.input(0)?.shape.clone(), is_counted: source.counted.first() == Some(&true) })
    }

    fn kept(&self) -> Kept {
        Kept::First(usize::from(self.is_counted))
    }

    fn counts(&self, _: &Signature, _: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        Ok(vec![None])
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        if self.is_counted && (self.shape.is_empty() || s.input(0)?.shape != self.shape) {
            let d = Diagnostic::new(Code::OPERAND, "the input has another shape").detail("input 0");
            return Err(d.expected(format!("{:?}, which is not empty", self.shape)).found(format!("{:?}", s.input(0)?.shape)));
        }
        self.shape.iter().try_for_each(|&d| checks::dimension("a dimension", i64::try_from(d).unwrap_or(i64::MAX)).map(|_| ()))?;
        Ok(vec![vec![self.shape.len()]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let ty = cx.output_type(node, 0);
        if let Some(count) = node.input(0).and_then(|v| counts::of(cx, v)) {
            let elem = indices::elem(ty.element).expect("infer has seen the type");
            let shown: Vec<String> = self.shape[1..].iter().map(usize::to_string).collect();
            let mut k = KernelBuilder::new(format!("shape_{elem}_{}", shown.join("x")));
            let (x, y) = (k.read("count"), k.write("y"));
            let v = k.load(Elem::I32.x(1), x.at(0));
            let v = k.widen(v, elem);
            k.store(y.at(0), v);
            for (d, &n) in self.shape.iter().enumerate().skip(1) {
                let v = k.int(elem.x(1), n as i64);
                k.store(y.at(d * elem.bytes() as usize), v);
            }
            let to = cx.output(node, 0);
            cx.call(k.finish(), &[count, to], &[]);
            return Ok(());
        }
        copy::constant(cx, node, ty.element.integer_bytes(self.shape.iter().map(|&d| d as i64)));
        Ok(())
    }
}
