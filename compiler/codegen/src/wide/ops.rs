//! One tile operation as instructions: arithmetic on whole vectors.
//!
//! Not conversions (`convert.rs`), fixed point (`fixed.rs`) or movements of lanes (`lanes.rs`). The idea: a function per operation that
//! maps pieces to pieces; the instruction set only shows where forms differ.

use super::Emitter;
use super::asm::{Mem, in_place, vv, vvi, vvv, vvv_short};
use crate::alloc::Virtual;
use cranelite_tile::{Binary, Cond, Elem, Op, Scalar, Type, Unary, Value};
use iced_x86::code_asm::{qword_ptr, registers};

impl Emitter<'_> {
    pub(super) fn op(&mut self, ty: Type, op: &Op) -> Vec<Virtual> {
        match op {
            Op::Const(c) => self.constant_of(ty, *c),
            Op::Load { place, count } => self.load(place, ty, *count),
            Op::LoadSplat { place, group, count } => self.load_splat(place, ty, *group, *count),
            Op::Unary(u, a) => self.each(ty, &[*a], |e, size, x| e.unary(ty.elem, *u, size, x[0])),
            Op::Binary(Binary::MulHighRound, a, b) => self.each(ty, &[*a, *b], |e, size, x| e.mul_high_round(size, x[0], x[1])),
            Op::Binary(Binary::MulHigh, a, b) => self.each(ty, &[*a, *b], |e, size, x| e.mul_high(size, x[0], x[1])),
            Op::Binary(Binary::Or, x, y) if self.features.avx512 && self.masked(*x).is_some() => {
                let (a, mask) = self.masked(*x).expect("just seen");
                self.each(ty, &[a, mask, *y], |e, size, v| e.masked_or(size, v[0], v[1], v[2]))
            }
            Op::Binary(Binary::Div, x, y) if ty.elem.is_float() => self.divide(ty, *x, *y),
            Op::Binary(b, x, y) => self.each(ty, &[*x, *y], |e, size, v| e.binary(ty.elem, *b, size, v[0], v[1])),
            Op::ShlImm(a, n) => self.each(ty, &[*a], |e, size, x| e.shl(ty.elem, size, x[0], *n)),
            Op::ShrImm(a, n) => self.each(ty, &[*a], |e, size, x| e.shr(ty.elem, size, x[0], *n)),
            Op::RoundingShr(a, n) => self.each(ty, &[*a], |e, size, x| e.rounding_shr(ty.elem, size, x[0], *n)),
            Op::Compare(c, a, b) => {
                let operands = self.ty(*a);
                self.each(operands, &[*a, *b], |e, size, x| e.compare(operands.elem, *c, size, x[0], x[1]))
            }
            Op::Select(m, a, b) => self.each(ty, &[*m, *a, *b], |e, size, x| e.select(size, x[0], x[1], x[2])),
            Op::Fma(a, b, c) => self.fma(ty, *a, *b, *c),
            Op::FmaLane { acc, a, lane, b } => {
                let (one, a_ty) = (self.ty(*a).with_lanes(1), self.ty(*a));
                let pieces = self.pieces(*a);
                let scalar = self.lane(a_ty, &pieces, *lane as usize);
                let size = self.piece_sizes(ty)[0];
                let a = self.broadcast(scalar, one.bytes() as usize, size);
                self.each(ty, &[*acc, *b], |e, size, x| e.multiply_add(ty.elem, size, a, x[1], x[0]))
            }
            Op::MulWide(a, b) => self.mul_wide(ty, *a, *b),
            Op::Dot { group, acc, a, b } => self.dot(ty, *group, *acc, *a, *b),
            Op::DotLane { group, acc, a, lane, b } => self.dot_lane(ty, *group, *acc, *a, *lane, *b),
            // Of machines that have an instruction for it, which these are not.
            Op::DotMatrix { .. } => vec![self.unsupported("a product of matrices", ty.elem)],
            Op::Convert(a, rounding) => self.convert(ty, *a, *rounding),
            Op::FromHalf(a) => self.widen_half(ty, *a),
            Op::ToHalf(a) => self.narrow_half(*a),
            Op::Widen(a) => self.widen(ty, *a),
            Op::Narrow(a) => self.narrow(ty, *a),
            Op::NarrowSat(a) => self.narrow_sat(ty, *a),
            Op::Bitcast(a) => self.pieces(*a),
            Op::Splat(a) => {
                let v = self.pieces(*a)[0];
                let sizes = self.piece_sizes(ty);
                let v = self.broadcast(v, ty.elem.bytes() as usize, sizes[0]);
                vec![v; sizes.len()]
            }
            Op::Lane(a, lane) => {
                let (a_ty, pieces) = (self.ty(*a), self.pieces(*a));
                vec![self.lane(a_ty, &pieces, *lane as usize)]
            }
            Op::Concat(a, b) => self.concat(ty, *a, *b),
            Op::Slice(a, start) => self.slice(ty, *a, *start as usize),
            Op::Interleave(a, b) => self.interleave(ty, *a, *b),
            Op::Deinterleave(a, parity) => self.deinterleave(ty, *a, *parity as usize),
            Op::Repeat { a, times, start } => self.repeat(ty, *a, *times as usize, *start as usize),
            Op::Permute { a, index, segment } => self.permute(ty, *a, *index, *segment as usize),
            Op::Reduce(r, a) => {
                let pieces = self.pieces(*a);
                vec![self.reduce(*r, self.ty(*a), pieces)]
            }
            Op::ReduceEach(r, all) => self.reduce_each(*r, all),
            Op::Lookup { place, index } => self.lookup(ty, place, *index),
            Op::Requantize { x, multiplier, shift, range } => {
                let range = *range;
                self.each(ty, &[*x, *multiplier, *shift], |e, size, v| e.requantize(size, v[0], v[1], v[2], range))
            }
        }
    }

    /// Registers may be longer than the value: what they hold beyond it is divided by 1, since nobody asked for an exception.
    fn divide(&mut self, ty: Type, x: Value, y: Value) -> Vec<Virtual> {
        // These fill their registers.
        let is_filled = matches!(self.definitions[y.0 as usize], Some(Op::Const(_) | Op::Splat(_)));
        let mut left = ty.bytes() as usize;
        self.each(ty, &[x, y], |e, size, v| {
            let here = left.min(size);
            left -= here;
            let (a, mut b) = (v[0], v[1]);
            if here == ty.elem.bytes() as usize {
                let d = e.vector();
                e.push(&[a, b], &[d], move |s, r| match here {
                    4 => s.vdivss(r.x(d), r.x(a), r.x(b)),
                    _ => s.vdivsd(r.x(d), r.x(a), r.x(b)),
                });
                return d;
            }
            if here < size && !is_filled {
                let one = if ty.elem == Elem::F32 { 1f32.to_le_bytes().to_vec() } else { 1f64.to_le_bytes().to_vec() };
                let used: Vec<u8> = (0..size).map(|i| if i < here { 0xff } else { 0 }).collect();
                let (used, one) = (e.constant(&used, size), e.constant(&one, size));
                b = e.select(size, used, b, one);
            }
            e.binary(ty.elem, Binary::Div, size, a, b)
        })
    }

    /// The operands of `v` if it is an `and` for one reader, and they are in registers.
    fn masked(&self, v: Value) -> Option<(Value, Value)> {
        match self.definitions[v.0 as usize] {
            Some(&Op::Binary(Binary::And, a, b)) if self.facts.use_counts[v.0 as usize] == 1 && self.is_held(a) && self.is_held(b) => {
                Some((a, b))
            }
            _ => None,
        }
    }

    /// Whether registers hold the value: not where a load has become part of its only reader.
    pub(super) fn is_held(&self, v: Value) -> bool {
        !self.values[v.0 as usize].is_empty()
    }

    /// `a & mask | c`
    fn masked_or(&mut self, size: usize, a: Virtual, mask: Virtual, c: Virtual) -> Virtual {
        let d = self.copy(c, size);
        self.push(&[d, a, mask], &[d], move |s, r| match size {
            16 => s.vpternlogd(r.x(d), r.x(a), r.x(mask), 0xf8),
            32 => s.vpternlogd(r.y(d), r.y(a), r.y(mask), 0xf8),
            _ => s.vpternlogd(r.z(d), r.z(a), r.z(mask), 0xf8),
        });
        d
    }

    /// Applies `f` to corresponding pieces of operands of the same length. Loads that were left for later are done piece by piece, so
    /// that few registers hold them.
    pub(super) fn each(
        &mut self,
        ty: Type,
        operands: &[Value],
        mut f: impl FnMut(&mut Self, usize, &[Virtual]) -> Virtual,
    ) -> Vec<Virtual> {
        let sizes = self.piece_sizes(ty);
        let sources: Vec<Result<Vec<Virtual>, Mem>> = operands
            .iter()
            .map(|&v| {
                let alike = self.piece_sizes(self.ty(v)) == sizes;
                if alike && let Some(mem) = self.folded.remove(&v) { Err(mem) } else { Ok(self.pieces(v)) }
            })
            .collect();
        let mut at = 0;
        sizes
            .iter()
            .enumerate()
            .map(|(i, &size)| {
                let piece = |e: &mut Self, source: &Result<Vec<Virtual>, Mem>| match source {
                    Ok(pieces) => pieces.get(i).copied().unwrap_or(Virtual(0)),
                    Err(mem) => e.load_bytes(mem.plus(at), size, size),
                };
                let x: Vec<Virtual> = sources.iter().map(|s| piece(self, s)).collect();
                at += size as i32;
                f(self, size, &x)
            })
            .collect()
    }

    pub(super) fn unsupported(&mut self, what: &str, elem: Elem) -> Virtual {
        self.fail(format!("{what} of {elem}"));
        self.zero()
    }

    fn constant_of(&mut self, ty: Type, c: Scalar) -> Vec<Virtual> {
        let sizes = self.piece_sizes(ty);
        sizes
            .iter()
            .map(|&size| match c {
                Scalar::Int(v) => self.int_constant(ty.elem, v, size),
                Scalar::Float(bits) => self.constant(&bits.to_le_bytes()[..ty.elem.bytes() as usize], size),
            })
            .collect()
    }

    fn all_ones(&mut self, size: usize) -> Virtual {
        self.constant(&[0xff; 4], size)
    }

    pub(super) fn unary(&mut self, elem: Elem, op: Unary, size: usize, a: Virtual) -> Virtual {
        let evex = self.features.avx512;
        match (op, elem) {
            (Unary::Neg, Elem::F32) => {
                let sign = self.constant(&0x8000_0000u32.to_le_bytes(), size);
                vvv!(self, vxorps, size, a, sign)
            }
            (Unary::Neg, Elem::F64) => {
                let sign = self.constant(&(1u64 << 63).to_le_bytes(), size);
                vvv!(self, vxorps, size, a, sign)
            }
            (Unary::Neg, _) if elem.is_int() => {
                let zero = self.zero();
                self.binary(elem, Binary::Sub, size, zero, a)
            }
            (Unary::Abs, Elem::F32) => {
                let rest = self.constant(&0x7fff_ffffu32.to_le_bytes(), size);
                vvv!(self, vandps, size, a, rest)
            }
            (Unary::Abs, Elem::F64) => {
                let rest = self.constant(&(u64::MAX >> 1).to_le_bytes(), size);
                vvv!(self, vandps, size, a, rest)
            }
            (Unary::Abs, Elem::I8) => vv!(self, vpabsb, size, a),
            (Unary::Abs, Elem::I16) => vv!(self, vpabsw, size, a),
            (Unary::Abs, Elem::I32) => vv!(self, vpabsd, size, a),
            (Unary::Abs, Elem::I64) if evex => vv!(self, vpabsq, size, a),
            (Unary::Abs, Elem::U8 | Elem::U16 | Elem::U32) => a,
            (Unary::Not, _) => {
                let ones = self.all_ones(size);
                vvv!(self, vxorps, size, a, ones)
            }
            (Unary::Sqrt, Elem::F32) => vv!(self, vsqrtps, size, a),
            (Unary::Sqrt, Elem::F64) => vv!(self, vsqrtpd, size, a),
            (Unary::RoundEven, Elem::F32 | Elem::F64) => self.round(elem, size, a, 8),
            (Unary::Floor, Elem::F32 | Elem::F64) => self.round(elem, size, a, 9),
            (Unary::Ceil, Elem::F32 | Elem::F64) => self.round(elem, size, a, 10),
            (Unary::Trunc, Elem::F32 | Elem::F64) => self.round(elem, size, a, 11),
            (Unary::LeadingZeros, Elem::I32 | Elem::U32) if evex => vv!(self, vplzcntd, size, a),
            (Unary::LeadingZeros, Elem::I64) if evex => vv!(self, vplzcntq, size, a),
            (Unary::LeadingZeros, Elem::I32 | Elem::U32) => self.leading_zeros_32(size, a),
            (Unary::LeadingZeros, Elem::I64) => {
                // Of both halves; those of the lower one count where the upper one is zero.
                let halves = self.leading_zeros_32(size, a);
                let upper = vvi!(self, vpsrlq, size, halves, 32);
                let all = self.int_constant(Elem::I64, 32, size);
                let low = self.int_constant(Elem::I64, 0xffff_ffff, size);
                let empty = vvv_short!(self, vpcmpeqq, size, upper, all);
                let lower = vvv!(self, vandps, size, halves, low);
                let lower = vvv!(self, vandps, size, lower, empty);
                vvv!(self, vpaddq, size, upper, lower)
            }
            _ => self.unsupported("a unary operation", elem),
        }
    }

    /// The exponent of the number as a float, which is not rounded up, because the bit after the first one is cleared. Numbers with
    /// the top bit set are negative ones.
    fn leading_zeros_32(&mut self, size: usize, a: Virtual) -> Virtual {
        let half = vvi!(self, vpsrld, size, a, 1);
        let cleared = vvv!(self, vandnps, size, half, a);
        let float = vv!(self, vcvtdq2ps, size, cleared);
        let exponent = vvi!(self, vpsrld, size, float, 23);
        let (most, all, zero) = (self.int_constant(Elem::I32, 127 + 31, size), self.int_constant(Elem::I32, 32, size), self.zero());
        let zeros = vvv!(self, vpsubd, size, most, exponent);
        let zeros = vvv!(self, vpminsd, size, zeros, all);
        vvv!(self, vpmaxsd, size, zeros, zero)
    }

    fn round(&mut self, elem: Elem, size: usize, a: Virtual, mode: i32) -> Virtual {
        match (elem, self.features.avx512) {
            (Elem::F32, true) => vvi!(self, vrndscaleps, size, a, mode),
            (Elem::F32, false) => {
                let d = self.vector();
                self.push(
                    &[a],
                    &[d],
                    move |s, r| if size == 16 { s.vroundps(r.x(d), r.x(a), mode) } else { s.vroundps(r.y(d), r.y(a), mode) },
                );
                d
            }
            (_, true) => vvi!(self, vrndscalepd, size, a, mode),
            (_, false) => {
                let d = self.vector();
                self.push(
                    &[a],
                    &[d],
                    move |s, r| if size == 16 { s.vroundpd(r.x(d), r.x(a), mode) } else { s.vroundpd(r.y(d), r.y(a), mode) },
                );
                d
            }
        }
    }

    pub(super) fn binary(&mut self, elem: Elem, op: Binary, size: usize, a: Virtual, b: Virtual) -> Virtual {
        use Elem::*;
        let evex = self.features.avx512;
        match (op, elem) {
            (Binary::And, _) => vvv!(self, vandps, size, a, b),
            (Binary::Or, _) => vvv!(self, vorps, size, a, b),
            (Binary::Xor, _) => vvv!(self, vxorps, size, a, b),
            (Binary::Add, F32) => vvv!(self, vaddps, size, a, b),
            (Binary::Add, F64) => vvv!(self, vaddpd, size, a, b),
            (Binary::Add, I8 | U8) => vvv!(self, vpaddb, size, a, b),
            (Binary::Add, I16 | U16) => vvv!(self, vpaddw, size, a, b),
            (Binary::Add, I32 | U32) => vvv!(self, vpaddd, size, a, b),
            (Binary::Add, I64) => vvv!(self, vpaddq, size, a, b),
            (Binary::Sub, F32) => vvv!(self, vsubps, size, a, b),
            (Binary::Sub, F64) => vvv!(self, vsubpd, size, a, b),
            (Binary::Sub, I8 | U8) => vvv!(self, vpsubb, size, a, b),
            (Binary::Sub, I16 | U16) => vvv!(self, vpsubw, size, a, b),
            (Binary::Sub, I32 | U32) => vvv!(self, vpsubd, size, a, b),
            (Binary::Sub, I64) => vvv!(self, vpsubq, size, a, b),
            (Binary::Mul, F32) => vvv!(self, vmulps, size, a, b),
            (Binary::Mul, F64) => vvv!(self, vmulpd, size, a, b),
            (Binary::Mul, I16 | U16) => vvv!(self, vpmullw, size, a, b),
            (Binary::Mul, I32 | U32) => vvv!(self, vpmulld, size, a, b),
            (Binary::Mul, I64) if evex => vvv!(self, vpmullq, size, a, b),
            (Binary::Mul, I64) => {
                // Low halves, plus the crossed products in the high half.
                let (ah, bh) = (vvi!(self, vpsrlq, size, a, 32), vvi!(self, vpsrlq, size, b, 32));
                let (x, y) = (vvv!(self, vpmuludq, size, ah, b), vvv!(self, vpmuludq, size, a, bh));
                let crossed = vvv!(self, vpaddq, size, x, y);
                let crossed = vvi!(self, vpsllq, size, crossed, 32);
                let low = vvv!(self, vpmuludq, size, a, b);
                vvv!(self, vpaddq, size, low, crossed)
            }
            (Binary::Div, F32) => vvv!(self, vdivps, size, a, b),
            (Binary::Div, F64) => vvv!(self, vdivpd, size, a, b),
            // These compare a < b (a > b) and return the second operand otherwise: the meaning of the text.
            (Binary::Min, F32) => vvv!(self, vminps, size, a, b),
            (Binary::Max, F32) => vvv!(self, vmaxps, size, a, b),
            (Binary::Min, F64) => vvv!(self, vminpd, size, a, b),
            (Binary::Max, F64) => vvv!(self, vmaxpd, size, a, b),
            (Binary::Min, I8) => vvv!(self, vpminsb, size, a, b),
            (Binary::Max, I8) => vvv!(self, vpmaxsb, size, a, b),
            (Binary::Min, U8) => vvv!(self, vpminub, size, a, b),
            (Binary::Max, U8) => vvv!(self, vpmaxub, size, a, b),
            (Binary::Min, I16) => vvv!(self, vpminsw, size, a, b),
            (Binary::Max, I16) => vvv!(self, vpmaxsw, size, a, b),
            (Binary::Min, U16) => vvv!(self, vpminuw, size, a, b),
            (Binary::Max, U16) => vvv!(self, vpmaxuw, size, a, b),
            (Binary::Min, I32) => vvv!(self, vpminsd, size, a, b),
            (Binary::Max, I32) => vvv!(self, vpmaxsd, size, a, b),
            (Binary::Min, U32) => vvv!(self, vpminud, size, a, b),
            (Binary::Max, U32) => vvv!(self, vpmaxud, size, a, b),
            (Binary::Min, I64) if evex => vvv!(self, vpminsq, size, a, b),
            (Binary::Max, I64) if evex => vvv!(self, vpmaxsq, size, a, b),
            (Binary::Min | Binary::Max, I64) => {
                let less = vvv_short!(self, vpcmpgtq, size, b, a);
                if op == Binary::Min { self.select(size, less, a, b) } else { self.select(size, less, b, a) }
            }
            (Binary::AddSat, I8) => vvv!(self, vpaddsb, size, a, b),
            (Binary::AddSat, U8) => vvv!(self, vpaddusb, size, a, b),
            (Binary::AddSat, I16) => vvv!(self, vpaddsw, size, a, b),
            (Binary::AddSat, U16) => vvv!(self, vpaddusw, size, a, b),
            (Binary::SubSat, I8) => vvv!(self, vpsubsb, size, a, b),
            (Binary::SubSat, U8) => vvv!(self, vpsubusb, size, a, b),
            (Binary::SubSat, I16) => vvv!(self, vpsubsw, size, a, b),
            (Binary::SubSat, U16) => vvv!(self, vpsubusw, size, a, b),
            (Binary::Shl | Binary::Shr, I32 | U32 | I64) => {
                let mask = self.int_constant(elem, i64::from(elem.bits()) - 1, size);
                let count = vvv!(self, vandps, size, b, mask);
                self.shift_by_lanes(elem, op == Binary::Shl, size, a, count)
            }
            (Binary::Shl | Binary::Shr, I16 | U16) if evex => {
                let mask = self.int_constant(elem, 15, size);
                let count = vvv!(self, vandps, size, b, mask);
                match (op, elem) {
                    (Binary::Shl, _) => vvv!(self, vpsllvw, size, a, count),
                    (_, I16) => vvv!(self, vpsravw, size, a, count),
                    _ => vvv!(self, vpsrlvw, size, a, count),
                }
            }
            (Binary::Shl | Binary::Shr, I8 | U8 | I16 | U16) => {
                let mask = self.int_constant(elem, i64::from(elem.bits()) - 1, size);
                let count = vvv!(self, vandps, size, b, mask);
                self.shift_by_short_lanes(elem, op, size, a, count)
            }
            (Binary::Div | Binary::Rem, I64) => self.divide_words(op, size, a, b),
            _ => {
                self.fail(format!("{} of {elem}", format!("{op:?}").to_lowercase()));
                self.zero()
            }
        }
    }

    /// Even and odd lanes as lanes twice as long. Counts are below the lane's bits.
    fn shift_by_short_lanes(&mut self, elem: Elem, op: Binary, size: usize, a: Virtual, count: Virtual) -> Virtual {
        use Elem::*;
        let bits = elem.bits() as u8;
        let double = match elem {
            I8 => I16,
            U8 => U16,
            I16 => I32,
            _ => U32,
        };
        let lower = self.int_constant(double, (1 << bits) - 1, size);
        let up = self.shl(double, size, a, bits);
        let (even, odd) = (self.shr(double, size, up, bits), self.shr(double, size, a, bits));
        let even_count = vvv!(self, vandps, size, count, lower);
        let odd_count = self.logical_down(double, size, count, bits);
        let (even, odd) = (self.binary(double, op, size, even, even_count), self.binary(double, op, size, odd, odd_count));
        let even = vvv!(self, vandps, size, even, lower);
        let odd = self.shl(double, size, odd, bits);
        vvv!(self, vorps, size, even, odd)
    }

    /// 64-bit lanes one by one, in the frame: no vector unit divides them. What is divided by zero gives 0.
    fn divide_words(&mut self, op: Binary, size: usize, a: Virtual, b: Virtual) -> Virtual {
        // By 1 instead of 0, at which the instruction stops, and of -1, where it may overflow; there is no remainder in either case.
        let (zero, one, minus_one) = (self.zero(), self.int_constant(Elem::I64, 1, size), self.all_ones(size));
        let by_zero = self.compare(Elem::I64, Cond::Eq, size, b, zero);
        let by_minus_one = self.compare(Elem::I64, Cond::Eq, size, b, minus_one);
        let is_special = vvv!(self, vorps, size, by_zero, by_minus_one);
        let divisor = self.select(size, is_special, one, b);
        let [dividends, divisors, kept] = [0, size as i32, 2 * size as i32];
        self.scratch_bytes = self.scratch_bytes.max(kept + 16);
        self.store_bytes(Mem::Scratch(dividends), a, size, size);
        self.store_bytes(Mem::Scratch(divisors), divisor, size, size);
        self.push(&[], &[], move |s, r| {
            let word = |at: i32| qword_ptr(r.m(&Mem::Scratch(at)));
            // They may be anybody's.
            s.mov(word(kept), registers::rax)?;
            s.mov(word(kept + 8), registers::rdx)?;
            for at in (0..size as i32).step_by(8) {
                s.mov(registers::rax, word(dividends + at))?;
                s.cqo()?;
                s.idiv(word(divisors + at))?;
                s.mov(word(dividends + at), if op == Binary::Div { registers::rax } else { registers::rdx })?;
            }
            s.mov(registers::rax, word(kept))?;
            s.mov(registers::rdx, word(kept + 8))
        });
        let result = self.load_bytes(Mem::Scratch(dividends), size, size);
        if op == Binary::Rem {
            return result;
        }
        let negated = vvv!(self, vpsubq, size, zero, a);
        let result = self.select(size, by_minus_one, negated, result);
        self.select(size, by_zero, zero, result)
    }

    /// Counts are below the lane's bits.
    pub(super) fn shift_by_lanes(&mut self, elem: Elem, left: bool, size: usize, a: Virtual, count: Virtual) -> Virtual {
        match (left, elem) {
            (true, Elem::I32 | Elem::U32) => vvv!(self, vpsllvd, size, a, count),
            (true, _) => vvv!(self, vpsllvq, size, a, count),
            (_, Elem::I32) => vvv!(self, vpsravd, size, a, count),
            (_, Elem::U32) => vvv!(self, vpsrlvd, size, a, count),
            _ if self.features.avx512 => vvv!(self, vpsravq, size, a, count),
            _ => {
                // (a ^ s) >> n ^ s with s the sign: the logical shift of a number that is not negative.
                let zero = self.zero();
                let sign = vvv_short!(self, vpcmpgtq, size, zero, a);
                let x = vvv!(self, vxorps, size, a, sign);
                let x = vvv!(self, vpsrlvq, size, x, count);
                vvv!(self, vxorps, size, x, sign)
            }
        }
    }

    pub(super) fn shl(&mut self, elem: Elem, size: usize, a: Virtual, n: u8) -> Virtual {
        let count = u32::from(n) & (elem.bits() - 1);
        match elem.bits() {
            16 => vvi!(self, vpsllw, size, a, count),
            32 => vvi!(self, vpslld, size, a, count),
            64 => vvi!(self, vpsllq, size, a, count),
            _ => {
                let wide = vvi!(self, vpsllw, size, a, count);
                let mask = self.int_constant(Elem::U8, 0xff << count & 0xff, size);
                vvv!(self, vandps, size, wide, mask)
            }
        }
    }

    pub(super) fn shr(&mut self, elem: Elem, size: usize, a: Virtual, n: u8) -> Virtual {
        let count = u32::from(n) & (elem.bits() - 1);
        match elem {
            Elem::I16 => vvi!(self, vpsraw, size, a, count),
            Elem::U16 => vvi!(self, vpsrlw, size, a, count),
            Elem::I32 => vvi!(self, vpsrad, size, a, count),
            Elem::U32 => vvi!(self, vpsrld, size, a, count),
            Elem::I64 if self.features.avx512 => vvi!(self, vpsraq, size, a, count),
            Elem::I64 => {
                let count = self.int_constant(Elem::I64, count.into(), size);
                self.shift_by_lanes(elem, false, size, a, count)
            }
            Elem::U8 | Elem::I8 => {
                let wide = vvi!(self, vpsrlw, size, a, count);
                let mask = self.int_constant(Elem::U8, 0xff >> count, size);
                let x = vvv!(self, vandps, size, wide, mask);
                if elem == Elem::U8 {
                    return x;
                }
                // Extend the sign from where it is now.
                let sign = self.int_constant(Elem::U8, 0x80 >> count, size);
                let x = vvv!(self, vxorps, size, x, sign);
                vvv!(self, vpsubb, size, x, sign)
            }
            _ => self.unsupported("a shift", elem),
        }
    }

    /// A mask: all ones where the comparison holds.
    pub(super) fn compare(&mut self, elem: Elem, cond: Cond, size: usize, a: Virtual, b: Virtual) -> Virtual {
        if elem.is_float() {
            // Ordered and quiet; not-equal is true of NaN.
            let predicate = match cond {
                Cond::Eq => 0x00,
                Cond::Ne => 0x04,
                Cond::Lt => 0x11,
                Cond::Le => 0x12,
                Cond::Gt => 0x1e,
                Cond::Ge => 0x1d,
            };
            return match (elem, self.features.avx512) {
                (Elem::F32, true) => self.compare_into_mask(
                    size,
                    a,
                    b,
                    move |s, r, size, a, b| match size {
                        16 => s.vcmpps(registers::k1, r.x(a), r.x(b), predicate),
                        32 => s.vcmpps(registers::k1, r.y(a), r.y(b), predicate),
                        _ => s.vcmpps(registers::k1, r.z(a), r.z(b), predicate),
                    },
                    4,
                ),
                (_, true) => self.compare_into_mask(
                    size,
                    a,
                    b,
                    move |s, r, size, a, b| match size {
                        16 => s.vcmppd(registers::k1, r.x(a), r.x(b), predicate),
                        32 => s.vcmppd(registers::k1, r.y(a), r.y(b), predicate),
                        _ => s.vcmppd(registers::k1, r.z(a), r.z(b), predicate),
                    },
                    8,
                ),
                (Elem::F32, false) => vvv_short!(self, vcmpps, size, a, b, predicate),
                (_, false) => vvv_short!(self, vcmppd, size, a, b, predicate),
            };
        }
        if self.features.avx512 {
            let predicate = match cond {
                Cond::Eq => 0,
                Cond::Lt => 1,
                Cond::Le => 2,
                Cond::Ne => 4,
                Cond::Ge => 5,
                Cond::Gt => 6,
            };
            macro_rules! with {
                ($m:ident, $bytes:expr) => {
                    self.compare_into_mask(
                        size,
                        a,
                        b,
                        move |s, r, size, a, b| match size {
                            16 => s.$m(registers::k1, r.x(a), r.x(b), predicate),
                            32 => s.$m(registers::k1, r.y(a), r.y(b), predicate),
                            _ => s.$m(registers::k1, r.z(a), r.z(b), predicate),
                        },
                        $bytes,
                    )
                };
            }
            return match elem {
                Elem::I8 => with!(vpcmpb, 1),
                Elem::U8 => with!(vpcmpub, 1),
                Elem::I16 => with!(vpcmpw, 2),
                Elem::U16 => with!(vpcmpuw, 2),
                Elem::I32 => with!(vpcmpd, 4),
                Elem::U32 => with!(vpcmpud, 4),
                _ => with!(vpcmpq, 8),
            };
        }
        // Greater-than and equal are what there is; unsigned numbers move by half their range first.
        let (a, b) = if matches!(elem, Elem::U8 | Elem::U16 | Elem::U32) {
            let half = self.int_constant(elem, 1 << (elem.bits() - 1), size);
            (vvv!(self, vxorps, size, a, half), vvv!(self, vxorps, size, b, half))
        } else {
            (a, b)
        };
        let (greater, x, y, negate) = match cond {
            Cond::Eq => (false, a, b, false),
            Cond::Ne => (false, a, b, true),
            Cond::Gt => (true, a, b, false),
            Cond::Le => (true, a, b, true),
            Cond::Lt => (true, b, a, false),
            Cond::Ge => (true, b, a, true),
        };
        let m = match (greater, elem.bits()) {
            (true, 8) => vvv_short!(self, vpcmpgtb, size, x, y),
            (true, 16) => vvv_short!(self, vpcmpgtw, size, x, y),
            (true, 32) => vvv_short!(self, vpcmpgtd, size, x, y),
            (true, _) => vvv_short!(self, vpcmpgtq, size, x, y),
            (false, 8) => vvv_short!(self, vpcmpeqb, size, x, y),
            (false, 16) => vvv_short!(self, vpcmpeqw, size, x, y),
            (false, 32) => vvv_short!(self, vpcmpeqd, size, x, y),
            (false, _) => vvv_short!(self, vpcmpeqq, size, x, y),
        };
        if negate { self.unary(elem, Unary::Not, size, m) } else { m }
    }

    fn compare_into_mask(
        &mut self,
        size: usize,
        a: Virtual,
        b: Virtual,
        compare: impl Fn(&mut iced_x86::code_asm::CodeAssembler, &super::Registers, usize, Virtual, Virtual) -> Result<(), iced_x86::IcedError>
        + 'static,
        lane_bytes: usize,
    ) -> Virtual {
        let d = self.vector();
        self.push(&[a, b], &[d], move |s, r| {
            compare(s, r, size, a, b)?;
            match (lane_bytes, size) {
                (1, 16) => s.vpmovm2b(r.x(d), registers::k1),
                (1, 32) => s.vpmovm2b(r.y(d), registers::k1),
                (1, _) => s.vpmovm2b(r.z(d), registers::k1),
                (2, 16) => s.vpmovm2w(r.x(d), registers::k1),
                (2, 32) => s.vpmovm2w(r.y(d), registers::k1),
                (2, _) => s.vpmovm2w(r.z(d), registers::k1),
                (4, 16) => s.vpmovm2d(r.x(d), registers::k1),
                (4, 32) => s.vpmovm2d(r.y(d), registers::k1),
                (4, _) => s.vpmovm2d(r.z(d), registers::k1),
                (_, 16) => s.vpmovm2q(r.x(d), registers::k1),
                (_, 32) => s.vpmovm2q(r.y(d), registers::k1),
                (_, _) => s.vpmovm2q(r.z(d), registers::k1),
            }
        });
        d
    }

    pub(super) fn select(&mut self, size: usize, mask: Virtual, a: Virtual, b: Virtual) -> Virtual {
        if self.features.avx512 {
            let d = self.copy(mask, size);
            self.push(&[d, a, b], &[d], move |s, r| match size {
                16 => s.vpternlogd(r.x(d), r.x(a), r.x(b), 0xca),
                32 => s.vpternlogd(r.y(d), r.y(a), r.y(b), 0xca),
                _ => s.vpternlogd(r.z(d), r.z(a), r.z(b), 0xca),
            });
            return d;
        }
        let d = self.vector();
        self.push(&[mask, a, b], &[d], move |s, r| match size {
            16 => s.vpblendvb(r.x(d), r.x(b), r.x(a), r.x(mask)),
            _ => s.vpblendvb(r.y(d), r.y(b), r.y(a), r.y(mask)),
        });
        d
    }

    pub(super) fn multiply_add(&mut self, elem: Elem, size: usize, a: Virtual, b: Virtual, c: Virtual) -> Virtual {
        let acc = self.copy(c, size);
        match elem {
            Elem::F32 => in_place!(self, vfmadd231ps, size, acc, a, b),
            _ => in_place!(self, vfmadd231pd, size, acc, a, b),
        }
        acc
    }

    /// A load that is used only here becomes the memory operand of the last piece-wise instruction.
    fn fma(&mut self, ty: Type, a: Value, b: Value, c: Value) -> Vec<Virtual> {
        let (a, b) = if self.folded.contains_key(&a) { (b, a) } else { (a, b) };
        let Some(mem) = self.folded.remove(&b) else {
            return self.each(ty, &[a, b, c], |e, size, x| e.multiply_add(ty.elem, size, x[0], x[1], x[2]));
        };
        let single = ty.elem == Elem::F32;
        let mut at = 0;
        self.each(ty, &[a, c], |e, size, x| {
            let (a, acc, mem) = (x[0], e.copy(x[1], size), mem.plus(at));
            at += size as i32;
            let mut uses = mem.registers();
            uses.extend([acc, a]);
            e.push(&uses, &[acc], move |s, r| match (single, size) {
                (true, 16) => s.vfmadd231ps(r.x(acc), r.x(a), r.m(&mem)),
                (true, 32) => s.vfmadd231ps(r.y(acc), r.y(a), r.m(&mem)),
                (true, _) => s.vfmadd231ps(r.z(acc), r.z(a), r.m(&mem)),
                (false, 16) => s.vfmadd231pd(r.x(acc), r.x(a), r.m(&mem)),
                (false, 32) => s.vfmadd231pd(r.y(acc), r.y(a), r.m(&mem)),
                (false, _) => s.vfmadd231pd(r.z(acc), r.z(a), r.m(&mem)),
            });
            acc
        })
    }

    fn mul_wide(&mut self, ty: Type, a: Value, b: Value) -> Vec<Virtual> {
        let signed = self.ty(a).elem == Elem::I32;
        let (a, b) = (self.widen(ty, a), self.widen(ty, b));
        let sizes = self.piece_sizes(ty);
        (0..sizes.len())
            .map(|i| if signed { vvv!(self, vpmuldq, sizes[i], a[i], b[i]) } else { vvv!(self, vpmuludq, sizes[i], a[i], b[i]) })
            .collect()
    }

    fn dot(&mut self, ty: Type, group: u32, acc: Value, a: Value, b: Value) -> Vec<Virtual> {
        let (x, y) = (self.ty(a).elem, self.ty(b).elem);
        if group == 4
            && x == Elem::U8
            && y == Elem::I8
            && self.features.vnni
            && let Some(mem) = self.folded.remove(&b)
        {
            let mut at = 0;
            return self.each(ty, &[acc, a], |e, size, v| {
                let (acc, a, mem) = (e.copy(v[0], size), v[1], mem.plus(at));
                at += size as i32;
                let mut uses = mem.registers();
                uses.extend([acc, a]);
                e.push(&uses, &[acc], move |s, r| match size {
                    16 => s.vpdpbusd(r.x(acc), r.x(a), r.m(&mem)),
                    32 => s.vpdpbusd(r.y(acc), r.y(a), r.m(&mem)),
                    _ => s.vpdpbusd(r.z(acc), r.z(a), r.m(&mem)),
                });
                acc
            });
        }
        if group == 2
            && x == Elem::I16
            && y == Elem::I16
            && !self.features.vnni
            && let Some(mem) = self.folded.remove(&b)
        {
            let mut at = 0;
            return self.each(ty, &[acc, a], |e, size, v| {
                let (p, a, mem) = (e.vector(), v[1], mem.plus(at));
                at += size as i32;
                let mut uses = mem.registers();
                uses.push(a);
                e.push(&uses, &[p], move |s, r| match size {
                    16 => s.vpmaddwd(r.x(p), r.x(a), r.m(&mem)),
                    32 => s.vpmaddwd(r.y(p), r.y(a), r.m(&mem)),
                    _ => s.vpmaddwd(r.z(p), r.z(a), r.m(&mem)),
                });
                vvv!(e, vpaddd, size, v[0], p)
            });
        }
        self.each(ty, &[acc, a, b], |e, size, v| e.dot_piece(group, x, y, size, v[0], v[1], v[2]))
    }

    #[allow(clippy::too_many_arguments)] // a product has two types and three operands
    fn dot_piece(&mut self, group: u32, x: Elem, y: Elem, size: usize, acc: Virtual, a: Virtual, b: Virtual) -> Virtual {
        match (group, x, y) {
            (4, Elem::U8, Elem::I8) if self.features.vnni => {
                let d = self.copy(acc, size);
                in_place!(self, vpdpbusd, size, d, a, b);
                d
            }
            (4, Elem::I8 | Elem::U8, Elem::I8) => {
                // Even and odd bytes as 16-bit numbers, two products of pairs.
                let even = |e: &mut Self, elem: Elem, v: Virtual| {
                    let up = vvi!(e, vpsllw, size, v, 8);
                    if elem == Elem::I8 { vvi!(e, vpsraw, size, up, 8) } else { vvi!(e, vpsrlw, size, up, 8) }
                };
                let odd = |e: &mut Self, elem: Elem, v: Virtual| {
                    if elem == Elem::I8 { vvi!(e, vpsraw, size, v, 8) } else { vvi!(e, vpsrlw, size, v, 8) }
                };
                let (ae, be, ao, bo) = (even(self, x, a), even(self, y, b), odd(self, x, a), odd(self, y, b));
                let (p, q) = (vvv!(self, vpmaddwd, size, ae, be), vvv!(self, vpmaddwd, size, ao, bo));
                let sum = vvv!(self, vpaddd, size, p, q);
                vvv!(self, vpaddd, size, acc, sum)
            }
            (2, Elem::I16, Elem::I16) if self.features.vnni => {
                let d = self.copy(acc, size);
                in_place!(self, vpdpwssd, size, d, a, b);
                d
            }
            (2, Elem::I16, Elem::I16) => {
                let p = vvv!(self, vpmaddwd, size, a, b);
                vvv!(self, vpaddd, size, acc, p)
            }
            _ => self.unsupported("a dot product", x),
        }
    }

    fn dot_lane(&mut self, ty: Type, group: u32, acc: Value, a: Value, lane: u32, b: Value) -> Vec<Virtual> {
        let (a_ty, b_ty) = (self.ty(a), self.ty(b));
        let pieces = self.pieces(a);
        let bytes = (group * a_ty.elem.bytes()) as usize;
        let low = self.bytes_at(&pieces, lane as usize * bytes, bytes);
        let size = self.piece_sizes(b_ty)[0];
        let a = self.broadcast(low, bytes, size);
        self.each(ty, &[acc, b], |e, size, v| e.dot_piece(group, a_ty.elem, b_ty.elem, size, v[0], a, v[1]))
    }
}
