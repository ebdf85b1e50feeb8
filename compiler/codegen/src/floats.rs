//! What a kernel's text shows of its floats, so that emitters may convert them to integers without care for what cannot occur.
//!
//! Not an analysis of ranges: definitions are looked at, a few levels deep. The idea: a lowering that knows bounds says them by a
//! minimum or maximum, and one that wants x86's conversion writes out what that does.

use cranelite_tile::{Binary, Cond, Kernel, Op, Scalar, Stmt, Unary, Value};

/// The operation that defines each value, if one does.
pub fn definitions(kernel: &Kernel) -> Vec<Option<&Op>> {
    fn walk<'a>(stmts: &'a [Stmt], definitions: &mut [Option<&'a Op>]) {
        for s in stmts {
            match s {
                Stmt::Let(v, op) => definitions[v.0 as usize] = Some(op),
                Stmt::Loop(l) => walk(&l.body, definitions),
                _ => {}
            }
        }
    }
    let mut definitions = vec![None; kernel.types.len()];
    walk(&kernel.body, &mut definitions);
    definitions
}

/// Bounds of a float that cannot be NaN, if its definition shows some.
pub fn bounds(kernel: &Kernel, definitions: &[Option<&Op>], v: Value) -> Option<(f64, f64)> {
    let of = |v| bounds(kernel, definitions, v);
    match *definitions[v.0 as usize]? {
        Op::Const(Scalar::Float(bits)) => {
            let x = if kernel.ty(v).elem.bits() == 32 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits) };
            (!x.is_nan()).then_some((x, x))
        }
        // A comparison with NaN is false, so of two operands the second one is chosen.
        Op::Binary(Binary::Min, a, b) => {
            let (low, high) = of(b)?;
            Some(of(a).map_or((f64::NEG_INFINITY, high), |(l, h)| (low.min(l), high.min(h))))
        }
        Op::Binary(Binary::Max, a, b) => {
            let (low, high) = of(b)?;
            Some(of(a).map_or((low, f64::INFINITY), |(l, h)| (low.max(l), high.max(h))))
        }
        Op::Convert(a, _) if kernel.ty(a).elem.is_int() => {
            let (low, high) = kernel.ty(a).elem.int_range();
            Some((low as f64, high as f64))
        }
        _ => None,
    }
}

/// `x` of `select(|x| < 2^31, x, -2^31)`: cutting that off is what x86's conversion to i32 does with `x` itself.
pub fn cut_on_x86(definitions: &[Option<&Op>], v: Value) -> Option<Value> {
    let limit = 2_147_483_648f32.to_bits();
    let is = |v: Value, bits: u32| definitions[v.0 as usize] == Some(&Op::Const(Scalar::Float(bits.into())));
    let Some(&Op::Select(mask, x, lowest)) = definitions[v.0 as usize] else { return None };
    let Some(&Op::Compare(Cond::Lt, magnitude, high)) = definitions[mask.0 as usize] else { return None };
    let absolute = definitions[magnitude.0 as usize] == Some(&Op::Unary(Unary::Abs, x));
    (absolute && is(high, limit) && is(lowest, limit | 1 << 31)).then_some(x)
}
