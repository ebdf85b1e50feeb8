//! Which instructions an operation becomes: the table of all operations, and those of one or two operands.
//!
//! The idea: most CLIF instructions take scalars and registers alike, so one line serves both; exceptions name the machine that
//! makes them necessary.

use super::{Arch, Emitter};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self, InstBuilder, types};
use cranelite_tile::{Binary, Cond, Elem, Op, Reduce, Scalar, Type, Unary, Value};

fn combining(op: Reduce) -> Binary {
    match op {
        Reduce::Add => Binary::Add,
        Reduce::Min => Binary::Min,
        Reduce::Max => Binary::Max,
    }
}

impl<'a> Emitter<'a> {
    /// Pieces of `result`, which `op` defines.
    pub(super) fn op(&mut self, result: Value, op: &'a Op) -> Vec<ir::Value> {
        let ty = self.ty(result);
        match *op {
            Op::Const(s) => self.constant(ty, s),
            Op::Load { ref place, count } => self.load(place, ty, count),
            Op::LoadSplat { ref place, group, count } => self.load_splat(place, ty, group, count),
            Op::Unary(op, a) => self.unary(op, ty, &self.pieces(a)),
            Op::Binary(op, a, b) => self.binary(op, ty, a, b),
            Op::ShlImm(a, n) => self.shift(ty, &self.pieces(a), |e, x, n| e.ins().ishl(x, n), n),
            Op::ShrImm(a, n) => self.shift_right(ty, &self.pieces(a), n),
            Op::RoundingShr(a, n) => self.rounding_shr(ty, &self.pieces(a), n),
            Op::Compare(cond, a, b) => {
                let ty = self.ty(a);
                self.zip(&self.pieces(a), &self.pieces(b), |e, x, y| e.compare(cond, ty, x, y))
            }
            Op::Select(mask, a, b) => self.select(ty, (self.ty(mask), &self.pieces(mask)), &self.pieces(a), &self.pieces(b)),
            Op::Fma(a, b, c) => self.fma(ty, a, b, &self.pieces(c)),
            Op::FmaLane { acc, a, lane, b } => self.fma_lane(ty, &self.pieces(acc), a, lane, b),
            Op::MulWide(a, b) => self.mul_wide(self.ty(a), &self.pieces(a), &self.pieces(b)),
            Op::Dot { group: 2, acc, a, b } if self.features.vectors && matches!(self.def(b), Some(Op::Const(Scalar::Int(1)))) => {
                self.sums_of_pairs(ty, &self.pieces(acc), &self.pieces(a))
            }
            Op::Dot { group, acc, a, b } => {
                let (a, b) = ((self.ty(a), self.pieces(a)), (self.ty(b), self.pieces(b)));
                self.dot(ty, group, &self.pieces(acc), a, b)
            }
            Op::DotLane { group, acc, a, lane, b } => {
                let (a, b) = ((self.ty(a), self.pieces(a)), (self.ty(b), self.pieces(b)));
                self.dot_lane(ty, group, &self.pieces(acc), a, lane, b)
            }
            Op::DotMatrix { acc, a, b } => {
                let (a, b) = ((self.ty(a), self.pieces(a)), (self.ty(b), self.pieces(b)));
                self.dot_matrix(ty, &self.pieces(acc), a, b)
            }
            Op::Convert(a, rounding) => self.convert(ty, a, rounding),
            // Written out before.
            Op::FromHalf(a) | Op::ToHalf(a) => {
                self.fail("conversion of half floats");
                self.pieces(a)
            }
            Op::Widen(a) => self.widen_value(ty, a),
            Op::Narrow(a) => self.narrow(ty, self.ty(a), &self.pieces(a)),
            Op::NarrowSat(a) => self.narrow_sat(ty, self.ty(a), &self.pieces(a)),
            Op::Bitcast(a) => self.bitcast(ty, self.ty(a), &self.pieces(a)),
            Op::Splat(a) => self.splat(ty, self.pieces(a)[0]),
            Op::Lane(a, lane) => vec![self.extract(self.ty(a), &self.pieces(a), lane as usize)],
            Op::Concat(a, b) => self.concat(ty, (self.ty(a), &self.pieces(a)), (self.ty(b), &self.pieces(b))),
            Op::Slice(a, start) => self.slice(ty, (self.ty(a), &self.pieces(a)), start as usize),
            Op::Interleave(a, b) => self.interleave(ty, (self.ty(a), &self.pieces(a)), (self.ty(b), &self.pieces(b))),
            Op::Deinterleave(a, parity) => self.deinterleave(ty, (self.ty(a), &self.pieces(a)), parity as usize),
            Op::Repeat { a, times, start } => self.repeat(ty, (self.ty(a), &self.pieces(a)), times as usize, start as usize),
            Op::Permute { a, index, segment } => {
                let (index, a) = ((self.ty(index), self.pieces(index)), self.pieces(a));
                self.permute_segments(ty, &a, (index.0, &index.1), segment as usize)
            }
            Op::Reduce(op, a) => {
                let op = combining(op);
                vec![self.reduce((self.ty(a), &self.pieces(a)), |e, ty, x, y| e.binary_piece(op, ty, x, y))]
            }
            Op::ReduceEach(op, ref all) => {
                let (op, from) = (combining(op), self.ty(all[0]));
                let all: Vec<Vec<ir::Value>> = all.iter().map(|&v| self.pieces(v)).collect();
                self.reduce_each(ty, from, &all, |e, ty, x, y| e.binary_piece(op, ty, x, y))
            }
            Op::Lookup { ref place, index } => self.lookup(place, ty, index),
            Op::Requantize { x, multiplier, shift, range } => self.requantize(ty, x, multiplier, shift, range),
        }
    }

    fn constant(&mut self, ty: Type, value: Scalar) -> Vec<ir::Value> {
        let piece = self.piece_type(ty);
        let v = match value {
            Scalar::Int(i) => self.int_constant(piece, i),
            Scalar::Float(bits) if piece.is_vector() => {
                let bits = if ty.elem == Elem::F32 { bits & 0xffff_ffff | bits << 32 } else { bits };
                let ints = self.int_constant(types::I64X2, bits as i64);
                self.cast(ints, piece)
            }
            Scalar::Float(bits) if ty.elem == Elem::F32 => self.ins().f32const(f32::from_bits(bits as u32)),
            Scalar::Float(bits) => self.ins().f64const(f64::from_bits(bits)),
        };
        vec![v; self.piece_count(ty)]
    }

    fn unary(&mut self, op: Unary, ty: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        let float = ty.elem.is_float();
        match op {
            Unary::Neg if float => self.map(a, |e, x| e.ins().fneg(x)),
            Unary::Neg => self.map(a, |e, x| e.ins().ineg(x)),
            Unary::Abs if float => self.map(a, |e, x| e.ins().fabs(x)),
            Unary::Abs if !ty.elem.is_signed() => a.to_vec(),
            Unary::Abs => self.map(a, |e, x| e.ins().iabs(x)),
            Unary::Not if ty.elem.is_mask() && self.is_scalar(ty) => self.map(a, |e, x| e.ins().bxor_imm_u(x, 1)),
            Unary::Not => self.map(a, |e, x| e.ins().bnot(x)),
            Unary::Sqrt => self.map(a, |e, x| e.ins().sqrt(x)),
            Unary::Floor | Unary::Ceil | Unary::RoundEven | Unary::Trunc => self.map(a, |e, x| e.round(op, x)),
            Unary::LeadingZeros => self.by_lane(ty, &[(ty, a)], |e, x| e.ins().clz(x[0])),
        }
    }

    fn binary(&mut self, op: Binary, ty: Type, a: Value, b: Value) -> Vec<ir::Value> {
        match op {
            Binary::Shl | Binary::Shr => return self.shift_by_value(op, ty, a, b),
            Binary::Div | Binary::Rem if ty.elem.is_int() => return self.divide(op, ty, a, b),
            Binary::Div => return self.divide_floats(ty, a, b),
            Binary::MulHighRound => return self.mul_high_round(ty, &self.pieces(a), &self.pieces(b)),
            Binary::MulHigh => return self.mul_high(ty, &self.pieces(a), &self.pieces(b)),
            _ => {}
        }
        // The first operand of an instruction with two operands is lost: better the one that nobody needs again.
        let commutes = matches!(op, Binary::Add | Binary::Mul | Binary::And | Binary::Or | Binary::Xor);
        let swap = commutes && self.features.arch == Arch::X86 && !self.features.avx && self.is_shared(a) && !self.is_shared(b);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        self.zip(&self.pieces(a), &self.pieces(b), |e, x, y| e.binary_piece(op, ty, x, y))
    }

    /// The last register may be longer than the value: what it holds beyond is divided by 1, since nobody asked for an exception.
    fn divide_floats(&mut self, ty: Type, a: Value, b: Value) -> Vec<ir::Value> {
        let (x, mut y) = (self.pieces(a), self.pieces(b));
        let used = ty.bytes() as usize % 16;
        // These fill their registers.
        let is_filled = matches!(self.def(b), Some(Op::Const(_) | Op::Splat(_)));
        if !self.is_scalar(ty) && used != 0 && !is_filled {
            let (mut ones, mut kept) = ([0; 16], [0; 16]);
            let one = if ty.elem == Elem::F32 { 1f32.to_le_bytes().to_vec() } else { 1f64.to_le_bytes().to_vec() };
            ones[used..].iter_mut().zip(one.iter().cycle()).for_each(|(to, from)| *to = *from);
            kept[..used].fill(0xff);
            let last = y.len() - 1;
            let (ones, kept) = (self.vector_constant(types::I32X4, &ones), self.vector_constant(types::I32X4, &kept));
            let own = self.cast(y[last], types::I32X4);
            let own = self.ins().band(own, kept);
            let filled = self.ins().bor(own, ones);
            y[last] = self.cast(filled, self.value_type(y[last]));
        }
        self.zip(&x, &y, |e, x, y| e.ins().fdiv(x, y))
    }

    /// Does another operation need the registers of `v`, too?
    pub(super) fn is_shared(&self, v: Value) -> bool {
        let pieces = &self.values[v.0 as usize];
        1 < self.uses[v.0 as usize] || self.value_levels[v.0 as usize] < self.level || pieces.windows(2).any(|w| w[0] == w[1])
    }

    /// One piece of a result from one piece of each operand.
    pub(super) fn binary_piece(&mut self, op: Binary, ty: Type, x: ir::Value, y: ir::Value) -> ir::Value {
        let (float, signed) = (ty.elem.is_float(), ty.elem.is_signed());
        match op {
            Binary::Add if float => self.ins().fadd(x, y),
            Binary::Add => self.ins().iadd(x, y),
            Binary::Sub if float => self.ins().fsub(x, y),
            Binary::Sub => self.ins().isub(x, y),
            Binary::Mul if float => self.ins().fmul(x, y),
            Binary::Mul => self.multiply(x, y),
            Binary::Div if float => self.ins().fdiv(x, y),
            Binary::And => self.ins().band(x, y),
            Binary::Or => self.ins().bor(x, y),
            Binary::Xor => self.ins().bxor(x, y),
            Binary::Min | Binary::Max if float => {
                // The comparison and the choice together are one instruction on x86, which defines exactly this.
                let less =
                    if op == Binary::Min { self.ins().fcmp(FloatCC::LessThan, x, y) } else { self.ins().fcmp(FloatCC::LessThan, y, x) };
                self.choose(less, x, y)
            }
            Binary::Min if self.value_type(x) == types::I64X2 => self.extreme(Cond::Lt, ty, x, y),
            Binary::Max if self.value_type(x) == types::I64X2 => self.extreme(Cond::Gt, ty, x, y),
            Binary::Min if signed => self.ins().smin(x, y),
            Binary::Min => self.ins().umin(x, y),
            Binary::Max if signed => self.ins().smax(x, y),
            Binary::Max => self.ins().umax(x, y),
            Binary::AddSat | Binary::SubSat => self.saturating(op, ty, x, y),
            _ => {
                self.fail(format!("{op:?} of {ty}"));
                x
            }
        }
    }

    pub(super) fn value_type(&self, v: ir::Value) -> ir::Type {
        self.cursor.func.dfg.value_type(v)
    }

    /// `x` where `condition` holds, a truth value or lanes of ones and zeros, else `y`.
    pub(super) fn choose(&mut self, condition: ir::Value, x: ir::Value, y: ir::Value) -> ir::Value {
        let ty = self.value_type(x);
        if !ty.is_vector() {
            return self.ins().select(condition, x, y);
        }
        let condition = self.cast(condition, ty);
        self.ins().bitselect(condition, x, y)
    }

    fn extreme(&mut self, cond: Cond, ty: Type, x: ir::Value, y: ir::Value) -> ir::Value {
        let condition = self.compare(cond, ty, x, y);
        self.choose(condition, x, y)
    }

    fn multiply(&mut self, x: ir::Value, y: ir::Value) -> ir::Value {
        if self.value_type(x) != types::I8X16 || self.features.arch != Arch::X86 {
            return self.ins().imul(x, y);
        }
        // Even bytes in the low halves of 16-bit products; odd bytes moved down and the product moved up again.
        let (x, y) = (self.cast(x, types::I16X8), self.cast(y, types::I16X8));
        let (low, eight) = (self.int_constant(types::I16X8, 0xff), self.amount(8));
        let even = self.ins().imul(x, y);
        let even = self.ins().band(even, low);
        let (x, y) = (self.ins().ushr(x, eight), self.ins().ushr(y, eight));
        let odd = self.ins().imul(x, y);
        let odd = self.ins().ishl(odd, eight);
        let both = self.ins().bor(even, odd);
        self.cast(both, types::I8X16)
    }

    /// Cranelift takes the second operand of CMPPS and CMPPD from memory, but does not heed that without AVX such memory must be aligned
    /// (instructions/cmp.rs of its assembler lacks the mark that others have). A cast, which costs nothing, hides the load.
    fn in_register(&mut self, v: ir::Value) -> ir::Value {
        let ty = self.value_type(v);
        if self.features.arch != Arch::X86 || self.features.avx || !ty.is_vector() {
            return v;
        }
        let hidden = self.cast(v, types::I8X16);
        self.cast(hidden, ty)
    }

    pub(super) fn compare(&mut self, cond: Cond, ty: Type, x: ir::Value, y: ir::Value) -> ir::Value {
        if ty.elem.is_float() {
            let cc = match cond {
                Cond::Eq => FloatCC::Equal,
                Cond::Ne => FloatCC::NotEqual,
                Cond::Lt => FloatCC::LessThan,
                Cond::Le => FloatCC::LessThanOrEqual,
                Cond::Gt => FloatCC::GreaterThan,
                Cond::Ge => FloatCC::GreaterThanOrEqual,
            };
            let (x, y) = (self.in_register(x), self.in_register(y));
            return self.ins().fcmp(cc, x, y);
        }
        let cc = match (cond, ty.elem.is_signed()) {
            (Cond::Eq, _) => IntCC::Equal,
            (Cond::Ne, _) => IntCC::NotEqual,
            (Cond::Lt, true) => IntCC::SignedLessThan,
            (Cond::Le, true) => IntCC::SignedLessThanOrEqual,
            (Cond::Gt, true) => IntCC::SignedGreaterThan,
            (Cond::Ge, true) => IntCC::SignedGreaterThanOrEqual,
            (Cond::Lt, false) => IntCC::UnsignedLessThan,
            (Cond::Le, false) => IntCC::UnsignedLessThanOrEqual,
            (Cond::Gt, false) => IntCC::UnsignedGreaterThan,
            (Cond::Ge, false) => IntCC::UnsignedGreaterThanOrEqual,
        };
        self.ins().icmp(cc, x, y)
    }

    fn select(&mut self, ty: Type, mask: (Type, &[ir::Value]), a: &[ir::Value], b: &[ir::Value]) -> Vec<ir::Value> {
        if mask.0.lanes != ty.lanes || mask.0.elem.bits() != ty.elem.bits() {
            self.fail(format!("select of {ty} by {}", mask.0));
        }
        a.iter().zip(b).zip(mask.1).map(|((&x, &y), &m)| self.choose(m, x, y)).collect()
    }

    fn shift(&mut self, ty: Type, a: &[ir::Value], f: impl Fn(&mut Self, ir::Value, ir::Value) -> ir::Value, n: u8) -> Vec<ir::Value> {
        let n = u32::from(n) % ty.elem.bits();
        if n == 0 {
            return a.to_vec();
        }
        let amount = self.amount(n);
        self.map(a, |e, x| f(e, x, amount))
    }

    pub(super) fn shift_right(&mut self, ty: Type, a: &[ir::Value], n: u8) -> Vec<ir::Value> {
        if ty.elem.is_signed() {
            self.shift(ty, a, |e, x, n| e.ins().sshr(x, n), n)
        } else {
            self.shift(ty, a, |e, x, n| e.ins().ushr(x, n), n)
        }
    }

    /// By a count per lane. Registers shift all lanes alike, so that is a shift only if the counts are known to be one.
    fn shift_by_value(&mut self, op: Binary, ty: Type, a: Value, counts: Value) -> Vec<ir::Value> {
        let shift = |e: &mut Self, x, n| match op {
            Binary::Shl => e.ins().ishl(x, n),
            _ if ty.elem.is_signed() => e.ins().sshr(x, n),
            _ => e.ins().ushr(x, n),
        };
        let pieces = self.pieces(a);
        match self.def(counts) {
            Some(Op::Const(Scalar::Int(n))) => return self.shift(ty, &pieces, shift, (n & i64::from(ty.elem.bits() - 1)) as u8),
            Some(Op::Splat(n)) => {
                let n = self.pieces(*n)[0];
                return self.map(&pieces, |e, x| shift(e, x, n));
            }
            _ => {}
        }
        let counts = self.pieces(counts);
        self.by_lane(ty, &[(ty, &pieces), (ty, &counts)], |e, x| shift(e, x[0], x[1]))
    }

    /// Integer division, defined for every divisor.
    fn divide(&mut self, op: Binary, ty: Type, a: Value, b: Value) -> Vec<ir::Value> {
        let (x, y) = (self.pieces(a), self.pieces(b));
        if !self.is_scalar(ty) && ty.elem != Elem::I64 && ty.elem != Elem::U32 {
            return self.divide_as_floats(op, ty, &x, &y);
        }
        self.by_lane(ty, &[(ty, &x), (ty, &y)], |e, v| e.divide_scalar(op, ty.elem, v[0], v[1]))
    }

    fn divide_scalar(&mut self, op: Binary, elem: Elem, x: ir::Value, y: ir::Value) -> ir::Value {
        let wide = if elem.bits() < 32 { types::I32 } else { self.scalar_type(elem) };
        let (x, y) = (self.extend_scalar(elem, x, wide), self.extend_scalar(elem, y, wide));
        let (zero, one) = (self.ins().iconst(wide, 0), self.ins().iconst(wide, 1));
        let by_zero = self.ins().icmp(IntCC::Equal, y, zero);
        let mut safe = self.ins().select(by_zero, one, y);
        let mut by_minus_one = None;
        if elem.is_signed() {
            // The smallest number by -1 overflows, and traps on x86.
            let is = self.ins().icmp_imm_s(IntCC::Equal, y, -1);
            safe = self.ins().select(is, one, safe);
            by_minus_one = Some(is);
        }
        let mut r = match (op, elem.is_signed()) {
            (Binary::Div, true) => self.ins().sdiv(x, safe),
            (Binary::Div, false) => self.ins().udiv(x, safe),
            (_, true) => self.ins().srem(x, safe),
            (_, false) => self.ins().urem(x, safe),
        };
        if let (Binary::Div, Some(is)) = (op, by_minus_one) {
            let negated = self.ins().ineg(x);
            r = self.ins().select(is, negated, r);
        }
        let r = self.ins().select(by_zero, zero, r);
        self.reduce_scalar(r, elem)
    }

    /// A scalar integer with more bits.
    pub(super) fn extend_scalar(&mut self, elem: Elem, x: ir::Value, to: ir::Type) -> ir::Value {
        if self.value_type(x) == to {
            x
        } else if elem.is_signed() {
            self.ins().sextend(to, x)
        } else {
            self.ins().uextend(to, x)
        }
    }

    /// The low bits of a scalar integer.
    pub(super) fn reduce_scalar(&mut self, x: ir::Value, elem: Elem) -> ir::Value {
        let to = self.scalar_type(elem);
        if self.value_type(x) == to { x } else { self.ins().ireduce(to, x) }
    }
}
