//! COMPLEX_ABS, IMAG and REAL: numbers that a complex number has.
//!
//! Of two f32 or two f64. The absolute value of f32 is computed in f64, which neither overflows nor loses anything; that of f64 in parts of the
//! larger number.

use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::lower::moves::{self, Axis};
use crate::tensor::ElementType::{Complex64, Complex128, F32, F64};
use crate::text::fields::fields;
use cranelite_tile::{Cond, Elem, KernelBuilder, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

pub struct Part {
    types: &'static [Row],
    /// Which of the two; none: both together.
    position: Option<usize>,
}

const TYPES: &[Row] = &[Row::Of(&[&[Complex64]], &[&[F32]]), Row::Of(&[&[Complex128]], &[&[F64]])];

family! { Part:
    /// √(re² + im²)
    complex_abs = Part { types: TYPES, position: None };
    /// The imaginary part
    imag = Part { types: TYPES, position: Some(1) };
    /// The real part
    real = Part { types: TYPES, position: Some(0) };
}

impl Family for Part {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, _: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, _: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        Ok(vec![s.input(0)?.shape.clone()])
    }

    fn lower(&self, _: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let y = cx.output_type(node, 0);
        let count = y.element_count();
        if let Some(position) = self.position {
            moves::of_node(cx, node, (position, 0), &[Axis { count, from: 2, to: 1 }]);
            return Ok(());
        }
        if count == 0 {
            return Ok(());
        }
        let elem = if y.element == F32 { Elem::F32 } else { Elem::F64 };
        let lanes = cx.machine.lanes(Elem::F64);
        let bytes = i64::from(elem.bytes());
        let mut k = KernelBuilder::new(format!("complex_abs_{elem}_{count}"));
        let (x, y) = (k.read("x"), k.write("y"));
        each_block(&mut k, count, lanes, 2, |k, b| {
            let v = k.load_part(elem.x(2 * b.lanes), x.at(b.first.clone() * (2 * bytes)), 2 * b.count);
            let parts = [0, 1].map(|i| k.deinterleave(v, i));
            let v = if elem == Elem::F32 { of_floats(k, parts) } else { of_doubles(k, parts) };
            b.store(k, y.at(b.first.clone() * bytes), v);
        });
        let buffers = [cx.input(node, 0), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

/// The larger magnitude, or infinity beside what is none.
fn infinite_or(k: &mut KernelBuilder, parts: [Value; 2], length: Value) -> Value {
    let infinity = k.float(k.ty(length), f32::INFINITY);
    let mut length = length;
    for part in parts {
        let magnitude = k.unary(Unary::Abs, part);
        let is_infinite = k.compare(Cond::Eq, magnitude, infinity);
        length = k.select(is_infinite, infinity, length);
    }
    length
}

fn of_floats(k: &mut KernelBuilder, parts: [Value; 2]) -> Value {
    let squares = parts.map(|v| {
        let v = k.to_float(v, Elem::F64);
        k.mul(v, v)
    });
    let sum = k.add(squares[0], squares[1]);
    let root = k.unary(Unary::Sqrt, sum);
    let root = k.to_float(root, Elem::F32);
    infinite_or(k, parts, root)
}

fn of_doubles(k: &mut KernelBuilder, parts: [Value; 2]) -> Value {
    let ty = k.ty(parts[0]);
    let magnitudes = parts.map(|v| k.unary(Unary::Abs, v));
    let (large, small) = (k.max(magnitudes[0], magnitudes[1]), k.min(magnitudes[1], magnitudes[0]));
    let (zero, one) = (k.float(ty, 0.0), k.float(ty, 1.0));
    let is_zero = k.compare(Cond::Eq, large, zero);
    let divisor = k.select(is_zero, one, large);
    let ratio = k.div(small, divisor);
    let square = k.mul(ratio, ratio);
    let sum = k.add(one, square);
    let root = k.unary(Unary::Sqrt, sum);
    let length = k.mul(large, root);
    infinite_or(k, parts, length)
}
