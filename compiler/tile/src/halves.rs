//! Conversions of half floats written out, for machines that have no instruction for them.
//!
//! Not what conversions mean, which the interpreter says. The idea: a kernel becomes another one in which they are a dozen operations on integers of 32 bits, bit for bit
//! the same, NaN included: as instructions do, NaN keeps the upper bits of its payload and becomes quiet.

use crate::program::*;
use crate::types::{Elem, Type};

/// The kernel without [`Op::FromHalf`] and [`Op::ToHalf`]; `None` if it has none.
pub fn expanded(kernel: &Kernel) -> Option<Kernel> {
    has_any(&kernel.body).then(|| {
        let mut e = Expansion { kernel: kernel.clone(), out: vec![] };
        let body = std::mem::take(&mut e.kernel.body);
        e.kernel.body = e.block(body);
        e.kernel
    })
}

fn has_any(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Let(_, op) => matches!(op, Op::FromHalf(_) | Op::ToHalf(_)),
        Stmt::Loop(l) => has_any(&l.body),
        _ => false,
    })
}

struct Expansion {
    kernel: Kernel,
    out: Vec<Stmt>,
}

impl Expansion {
    fn block(&mut self, stmts: Vec<Stmt>) -> Vec<Stmt> {
        let before = std::mem::take(&mut self.out);
        for s in stmts {
            match s {
                Stmt::Let(v, Op::FromHalf(a)) => self.float_of_half(v, a),
                Stmt::Let(v, Op::ToHalf(a)) => self.half_of_float(v, a),
                Stmt::Loop(mut l) => {
                    l.body = self.block(std::mem::take(&mut l.body));
                    self.out.push(Stmt::Loop(l));
                }
                other => self.out.push(other),
            }
        }
        std::mem::replace(&mut self.out, before)
    }

    fn op(&mut self, ty: Type, op: Op) -> Value {
        self.kernel.types.push(ty);
        let v = Value(self.kernel.types.len() as u32 - 1);
        self.out.push(Stmt::Let(v, op));
        v
    }
    fn int(&mut self, ty: Type, n: i64) -> Value {
        self.op(ty, Op::Const(Scalar::Int(n)))
    }
    fn float(&mut self, ty: Type, x: f32) -> Value {
        self.op(ty, Op::Const(Scalar::Float(x.to_bits().into())))
    }
    fn binary(&mut self, op: Binary, a: Value, b: Value) -> Value {
        self.op(self.kernel.ty(a), Op::Binary(op, a, b))
    }
    fn shl(&mut self, a: Value, n: u8) -> Value {
        self.op(self.kernel.ty(a), Op::ShlImm(a, n))
    }
    fn shr(&mut self, a: Value, n: u8) -> Value {
        self.op(self.kernel.ty(a), Op::ShrImm(a, n))
    }
    /// `a` where the comparison is true, else `b`.
    fn choose(&mut self, cond: Cond, x: Value, limit: Value, a: Value, b: Value) -> Value {
        let mask = self.op(self.kernel.ty(x).with_elem(Elem::Mask(32)), Op::Compare(cond, x, limit));
        self.op(self.kernel.ty(a), Op::Select(mask, a, b))
    }

    /// Exponent and mantissa move, then a multiplication corrects the bias of the exponent, which also makes denormals right; infinity and NaN keep the largest
    /// exponent.
    fn float_of_half(&mut self, v: Value, x: Value) {
        let float = self.kernel.ty(v);
        let ty = float.with_elem(Elem::I32);
        let half = self.op(ty, Op::Widen(x));
        let (low, top) = (self.int(ty, 0x7FFF), self.int(ty, 0x8000));
        let magnitude = self.binary(Binary::And, half, low);
        let bits = self.shl(magnitude, 13);
        let (real, power) = (self.op(float, Op::Bitcast(bits)), self.float(float, f32::from_bits((127 + 112) << 23)));
        let real = self.binary(Binary::Mul, real, power);
        let number = self.op(ty, Op::Bitcast(real));
        let (infinity, exponent, quiet) = (self.int(ty, 0x7C00), self.int(ty, 0xFF << 23), self.int(ty, 0x7FC0_0000));
        let exponent = self.choose(Cond::Gt, magnitude, infinity, quiet, exponent);
        let special = self.binary(Binary::Or, bits, exponent);
        let number = self.choose(Cond::Ge, magnitude, infinity, special, number);
        let sign = self.binary(Binary::And, half, top);
        let sign = self.shl(sign, 16);
        let bits = self.binary(Binary::Or, number, sign);
        self.out.push(Stmt::Let(v, Op::Bitcast(bits)));
    }

    /// To nearest, ties to even. Denormal halves are what is left of the last bits of a sum with 1/2; others are rounded by an addition below the bits that stay, which may
    /// carry into the exponent.
    fn half_of_float(&mut self, v: Value, x: Value) {
        let float = self.kernel.ty(x);
        let ty = float.with_elem(Elem::I32);
        let bits = self.op(ty, Op::Bitcast(x));
        let (rest, half, one) = (self.int(ty, 0x7FFF_FFFF), self.float(float, 0.5), self.int(ty, 1));
        let magnitude = self.binary(Binary::And, bits, rest);
        let real = self.op(float, Op::Bitcast(magnitude));
        let sum = self.binary(Binary::Add, real, half);
        let (sum, base) = (self.op(ty, Op::Bitcast(sum)), self.int(ty, 0.5f32.to_bits().into()));
        let denormal = self.binary(Binary::Sub, sum, base);
        let (bias, short) = (self.int(ty, 0xFFF - (112 << 23)), self.shr(magnitude, 13));
        let (last, normal) = (self.binary(Binary::And, short, one), self.binary(Binary::Add, magnitude, bias));
        let normal = self.binary(Binary::Add, normal, last);
        let (normal, infinity) = (self.shr(normal, 13), self.int(ty, 0x7C00));
        let normal = self.binary(Binary::Min, normal, infinity);
        let (payload, quiet) = (self.int(ty, 0x1FF), self.int(ty, 0x7E00));
        let nan = self.binary(Binary::And, short, payload);
        let nan = self.binary(Binary::Or, nan, quiet);
        let (least, largest) = (self.int(ty, 113 << 23), self.int(ty, 0xFF << 23));
        let number = self.choose(Cond::Lt, magnitude, least, denormal, normal);
        let number = self.choose(Cond::Gt, magnitude, largest, nan, number);
        let (sign, top) = (self.shr(bits, 16), self.int(ty, 0x8000));
        let sign = self.binary(Binary::And, sign, top);
        let y = self.binary(Binary::Or, number, sign);
        self.out.push(Stmt::Let(v, Op::Narrow(y)));
    }
}
