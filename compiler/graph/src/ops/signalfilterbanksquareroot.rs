//! SignalFilterBankSquareRoot: the square root of each sum, rounded to nearest, shifted down by a number of bits that is known at run time.
//!
//! u64 to u32; of the number of bits the lower five count, as on most machines that run the reference, where more are undefined. The two roots that would
//! need one more bit of 16 or 32 are not rounded up.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{I32, U32, U64};
use crate::text::fields::fields;
use cranelite_tile::{Binary, Cond, Elem, KernelBuilder, Rounding, Unary, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {}
fields!();

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[U64], &[I32]], &[&[U32]])];

    fn decode(_: &Source) -> Result<Self, Diagnostic> {
        Ok(Attributes {})
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let length = checks::vector("the sums", s.input(0)?)?;
        checks::shape("the number of bits", 1, s.input(1)?, &[])?;
        Ok(vec![vec![length]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let count = cx.input_type(node, 0).element_count();
        if count == 0 {
            return Ok(());
        }
        let mut k = KernelBuilder::new(format!("square_roots_{count}"));
        let (x, bits, y) = (k.read("x"), k.read("bits"), k.write("y"));
        let bits = k.load(Elem::U32.x(1), bits.at(0));
        k.each("i", count, 1, |k, i| {
            let v = k.load(Elem::I64.x(1), x.at(i * 8));
            let root = rounded_root(k, v);
            let root = k.narrow(root, Elem::U32);
            let root = k.binary(Binary::Shr, root, bits);
            k.store(y.at(i * 4), root);
        });
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

/// Of a number without sign, whose bits `x` has.
fn rounded_root(k: &mut KernelBuilder, x: Value) -> Value {
    let ty = k.ty(x);
    let (low, zero, one) = (k.int(ty, 0xffff_ffff), k.int(ty, 0), k.int(ty, 1));
    let upper = k.shr_imm(x, 32);
    let [upper, lower] = [upper, x].map(|half| {
        let half = k.and(half, low);
        k.to_float(half, Elem::F64)
    });
    let word = k.double(k.ty(upper), 4_294_967_296.0);
    let upper = k.mul(upper, word);
    let float = k.add(upper, lower);
    let root = k.unary(Unary::Sqrt, float);
    let root = k.convert(root, Elem::I64, Rounding::TowardZero);
    let root = k.min(root, low);
    // The float is off by less than one, so the root is at most one off; what is left of x then has 34 bits, with sign.
    let square = k.mul(root, root);
    let rest = k.sub(x, square);
    let is_above = k.compare(Cond::Lt, rest, zero);
    let down = k.select(is_above, one, zero);
    let root = k.sub(root, down);
    let square = k.mul(root, root);
    let rest = k.sub(x, square);
    let twice = k.add(root, root);
    let is_below = k.compare(Cond::Gt, rest, twice);
    let up = k.select(is_below, one, zero);
    let root = k.add(root, up);
    let square = k.mul(root, root);
    let rest = k.sub(x, square);
    let (half, is_over) = (k.int(ty, 0xffff), k.compare(Cond::Gt, rest, root));
    let (fits_half, fits) = (k.compare(Cond::Ne, root, half), k.compare(Cond::Ne, root, low));
    let may_grow = k.and(fits_half, fits);
    let grows = k.and(is_over, may_grow);
    let more = k.select(grows, one, zero);
    k.add(root, more)
}
