//! One tile operation as instructions: arithmetic on whole registers.
//!
//! Not products (`products.rs`), conversions (`convert.rs`) or movements of lanes (`lanes.rs`). The idea: a function per operation that maps registers to
//! registers; whatever is shorter than a register is computed as if it filled one.

use super::Emitter;
use super::forms::{self, Arrangement, Form};
use crate::alloc::Virtual;
use cranelite_tile::{Binary, Cond, Elem, Op, Scalar, ShiftRange, Type, Unary, Value};

pub(super) fn arrangement(elem: Elem) -> Arrangement {
    match elem.bytes() {
        1 => Arrangement::B16,
        2 => Arrangement::H8,
        4 => Arrangement::S4,
        _ => Arrangement::D2,
    }
}

impl<'a> Emitter<'a> {
    pub(super) fn op(&mut self, result: Value, op: &'a Op) -> Vec<Virtual> {
        let ty = self.ty(result);
        match op {
            Op::Const(c) => {
                let v = match c {
                    Scalar::Int(n) => self.int_constant(ty.elem, *n),
                    Scalar::Float(bits) if ty.elem == Elem::F32 => self.int_constant(Elem::U32, *bits as i64),
                    Scalar::Float(bits) => self.int_constant(Elem::I64, *bits as i64),
                };
                vec![v; super::piece_count(ty)]
            }
            Op::Load { place, count } => self.load(place, ty, *count),
            Op::LoadSplat { place, group, count } => self.load_splat(place, ty, *group, *count),
            Op::Unary(u, a) => self.each(&[*a], |e, x| e.unary(ty.elem, *u, x[0])),
            Op::Binary(Binary::Div, a, b) if ty.elem.is_float() => self.divide(ty, *a, *b),
            Op::Binary(b, x, y) => {
                self.sum_of_products(ty, *b, *x, *y).unwrap_or_else(|| self.each(&[*x, *y], |e, v| e.binary(ty.elem, *b, v[0], v[1])))
            }
            Op::ShlImm(a, n) => {
                let n = i64::from(u32::from(*n) % ty.elem.bits());
                self.each(&[*a], |e, x| if n == 0 { x[0] } else { e.vec(&forms::SHL_V, arrangement(ty.elem), &[x[0]], &[n]) })
            }
            Op::ShrImm(a, n) => {
                let n = i64::from(u32::from(*n) % ty.elem.bits());
                self.each(&[*a], |e, x| e.shr(ty.elem, x[0], n))
            }
            Op::RoundingShr(a, n) => {
                let n = i64::from(u32::from(*n) % ty.elem.bits());
                self.each(&[*a], |e, x| e.rounding_shr(ty.elem, x[0], n))
            }
            Op::Compare(c, a, b) => {
                let operands = self.ty(*a);
                self.each(&[*a, *b], |e, x| e.compare(operands.elem, *c, x[0], x[1]))
            }
            Op::Select(m, a, b) => self.each(&[*m, *a, *b], |e, x| e.select(x[0], x[1], x[2])),
            Op::Fma(a, b, c) => self.fma(ty, *a, *b, *c),
            Op::FmaLane { acc, a, lane, b } => self.fma_lane(ty, *acc, *a, *lane as usize, *b),
            Op::MulWide(a, b) => self.mul_wide(ty, *a, *b),
            Op::Dot { group, acc, a, b } => self.dot(*group, *acc, *a, *b),
            Op::DotLane { group, acc, a, lane, b } => self.dot_lane(*group, *acc, *a, *lane as usize, *b),
            Op::DotMatrix { acc, a, b } => self.dot_matrix(*acc, *a, *b),
            Op::Convert(a, rounding) => self.convert(ty, *a, *rounding),
            Op::FromHalf(a) => self.widen_half(ty, *a),
            Op::ToHalf(a) => self.narrow_half(*a),
            Op::Widen(a) => self.widen(ty, *a),
            Op::Narrow(a) => self.narrow(ty, *a),
            Op::NarrowSat(a) => self.narrow_sat(ty, *a),
            Op::Bitcast(a) => self.pieces(*a),
            Op::Splat(a) => {
                let v = self.pieces(*a)[0];
                let v = self.repeated(v, ty.elem.bytes());
                vec![v; super::piece_count(ty)]
            }
            Op::Lane(a, lane) => {
                let (elem, pieces) = (self.ty(*a).elem, self.pieces(*a));
                vec![self.bytes_at(&pieces, (*lane * elem.bytes()) as usize)]
            }
            Op::Concat(a, b) => self.concat(*a, *b),
            Op::Slice(a, start) => self.slice(ty, *a, *start),
            Op::Interleave(a, b) => self.interleave(ty, *a, *b),
            Op::Deinterleave(a, parity) => self.deinterleave(ty, *a, *parity),
            Op::Repeat { a, times, start } => self.repeat(ty, *a, *times, *start),
            Op::Permute { a, index, segment } => self.permute(ty, *a, *index, *segment),
            Op::Reduce(r, a) => {
                let pieces = self.pieces(*a);
                vec![self.reduce(*r, self.ty(*a), pieces)]
            }
            Op::ReduceEach(r, all) => self.reduce_each(*r, all),
            Op::Lookup { place, index } => self.lookup(ty, place, *index),
            Op::Requantize { x, multiplier, shift, range } => {
                let range = *range;
                self.each(&[*x, *multiplier, *shift], |e, v| e.requantize(v[0], v[1], v[2], range))
            }
        }
    }

    /// Applies `f` to corresponding registers of operands of the same length.
    pub(super) fn each(&mut self, operands: &[Value], mut f: impl FnMut(&mut Self, &[Virtual]) -> Virtual) -> Vec<Virtual> {
        let all: Vec<Vec<Virtual>> = operands.iter().map(|&v| self.pieces(v)).collect();
        (0..all[0].len())
            .map(|i| {
                let x: Vec<Virtual> = all.iter().map(|pieces| pieces[i.min(pieces.len() - 1)]).collect();
                f(self, &x)
            })
            .collect()
    }

    pub(super) fn unsupported(&mut self, what: impl std::fmt::Debug, elem: Elem) -> Virtual {
        self.fail(format!("{what:?} of {elem}"));
        self.zero()
    }

    pub(super) fn both(&mut self, form: &'static Form, elem: Elem, x: Virtual, y: Virtual) -> Virtual {
        self.vec(form, arrangement(elem), &[x, y], &[])
    }

    fn bits(&mut self, form: &'static Form, x: Virtual, y: Virtual) -> Virtual {
        self.vec(form, Arrangement::B16, &[x, y], &[])
    }

    fn unary(&mut self, elem: Elem, op: Unary, x: Virtual) -> Virtual {
        let (float, at) = (elem.is_float(), arrangement(elem));
        let form = match op {
            Unary::Neg if float => &forms::FNEG_V,
            Unary::Neg => &forms::NEG_V,
            Unary::Abs if float => &forms::FABS_V,
            Unary::Abs if !elem.is_signed() => return x,
            Unary::Abs => &forms::ABS_V,
            Unary::Not => return self.vec(&forms::NOT_V, Arrangement::B16, &[x], &[]),
            Unary::Sqrt => &forms::FSQRT_V,
            Unary::Floor => &forms::FRINTM_V,
            Unary::Ceil => &forms::FRINTP_V,
            Unary::RoundEven => &forms::FRINTN_V,
            Unary::Trunc => &forms::FRINTZ_V,
            Unary::LeadingZeros if elem.bytes() < 8 => &forms::CLZ_V,
            Unary::LeadingZeros => return self.unsupported(op, elem),
        };
        self.vec(form, at, &[x], &[])
    }

    pub(super) fn binary(&mut self, elem: Elem, op: Binary, x: Virtual, y: Virtual) -> Virtual {
        let (float, signed) = (elem.is_float(), elem.is_signed());
        let form = match op {
            Binary::Add if float => &forms::FADD_V,
            Binary::Sub if float => &forms::FSUB_V,
            Binary::Mul if float => &forms::FMUL_V,
            Binary::Div if float => &forms::FDIV_V,
            Binary::Add => &forms::ADD_V,
            Binary::Sub => &forms::SUB_V,
            Binary::Mul if elem.bytes() < 8 => &forms::MUL_V,
            Binary::And => return self.bits(&forms::AND_V, x, y),
            Binary::Or => return self.bits(&forms::ORR_V, x, y),
            Binary::Xor => return self.bits(&forms::EOR_V, x, y),
            // The second where the comparison is false, as for NaN: FMIN and FMAX would choose otherwise.
            Binary::Min | Binary::Max if float => {
                let (a, b) = if op == Binary::Min { (x, y) } else { (y, x) };
                let less = self.compare(elem, Cond::Lt, a, b);
                return self.select(less, x, y);
            }
            Binary::Min | Binary::Max if elem.bytes() == 8 => {
                let cond = if op == Binary::Min { Cond::Lt } else { Cond::Gt };
                let mask = self.compare(elem, cond, x, y);
                return self.select(mask, x, y);
            }
            Binary::Min if signed => &forms::SMIN_V,
            Binary::Min => &forms::UMIN_V,
            Binary::Max if signed => &forms::SMAX_V,
            Binary::Max => &forms::UMAX_V,
            Binary::AddSat if signed => &forms::SQADD_V,
            Binary::AddSat => &forms::UQADD_V,
            Binary::SubSat if signed => &forms::SQSUB_V,
            Binary::SubSat => &forms::UQSUB_V,
            Binary::MulHighRound if elem == Elem::I32 => &forms::SQRDMULH_V,
            Binary::MulHigh if elem == Elem::I32 => {
                let low = self.vec(&forms::SMULL_V, Arrangement::S2, &[x, y], &[]);
                let high = self.vec(&forms::SMULL2_V, Arrangement::S4, &[x, y], &[]);
                return self.both(&forms::UZP2_V, elem, low, high);
            }
            Binary::Shl | Binary::Shr => return self.shift_by_lanes(elem, op, x, y),
            _ => return self.unsupported(op, elem),
        };
        self.both(form, elem, x, y)
    }

    /// By counts that are masked to the lanes' bits. SSHL and USHL go to the right by negative ones.
    fn shift_by_lanes(&mut self, elem: Elem, op: Binary, x: Virtual, y: Virtual) -> Virtual {
        let mask = self.int_constant(elem, i64::from(elem.bits()) - 1);
        let mut count = self.bits(&forms::AND_V, y, mask);
        if op == Binary::Shr {
            count = self.vec(&forms::NEG_V, arrangement(elem), &[count], &[]);
        }
        let form = if elem.is_signed() { &forms::SSHL_V } else { &forms::USHL_V };
        self.both(form, elem, x, count)
    }

    pub(super) fn shr(&mut self, elem: Elem, x: Virtual, n: i64) -> Virtual {
        match (n, elem.is_signed()) {
            (0, _) => x,
            (_, true) => self.vec(&forms::SSHR_V, arrangement(elem), &[x], &[n]),
            (_, false) => self.vec(&forms::USHR_V, arrangement(elem), &[x], &[n]),
        }
    }

    /// SRSHR rounds halves up; away from zero is up for what is not negative, and one less before that for what is. The least number, of which there is no
    /// less, is no half.
    fn rounding_shr(&mut self, elem: Elem, x: Virtual, n: i64) -> Virtual {
        let at = arrangement(elem);
        match (n, elem.is_signed()) {
            (0, _) => x,
            (_, false) => self.vec(&forms::URSHR_V, at, &[x], &[n]),
            (_, true) => {
                let negative = self.vec(&forms::CMLT0_V, at, &[x], &[]);
                let x = self.both(&forms::SQADD_V, elem, x, negative);
                self.vec(&forms::SRSHR_V, at, &[x], &[n])
            }
        }
    }

    pub(super) fn compare(&mut self, elem: Elem, cond: Cond, x: Virtual, y: Virtual) -> Virtual {
        // NaN: all but "not equal" are false.
        let (form, x, y) = match (cond, elem.is_float(), elem.is_signed()) {
            (Cond::Ne, ..) => {
                let equal = self.compare(elem, Cond::Eq, x, y);
                return self.vec(&forms::NOT_V, Arrangement::B16, &[equal], &[]);
            }
            (Cond::Eq, true, _) => (&forms::FCMEQ_V, x, y),
            (Cond::Gt, true, _) => (&forms::FCMGT_V, x, y),
            (Cond::Ge, true, _) => (&forms::FCMGE_V, x, y),
            (Cond::Lt, true, _) => (&forms::FCMGT_V, y, x),
            (Cond::Le, true, _) => (&forms::FCMGE_V, y, x),
            (Cond::Eq, ..) => (&forms::CMEQ_V, x, y),
            (Cond::Gt, _, true) => (&forms::CMGT_V, x, y),
            (Cond::Ge, _, true) => (&forms::CMGE_V, x, y),
            (Cond::Lt, _, true) => (&forms::CMGT_V, y, x),
            (Cond::Le, _, true) => (&forms::CMGE_V, y, x),
            (Cond::Gt, ..) => (&forms::CMHI_V, x, y),
            (Cond::Ge, ..) => (&forms::CMHS_V, x, y),
            (Cond::Lt, ..) => (&forms::CMHI_V, y, x),
            (Cond::Le, ..) => (&forms::CMHS_V, y, x),
        };
        self.both(form, elem, x, y)
    }

    /// `a` where the mask is ones, else `b`.
    pub(super) fn select(&mut self, mask: Virtual, a: Virtual, b: Virtual) -> Virtual {
        self.change(&forms::BSL_V, Arrangement::B16, mask, &[a, b], &[])
    }

    /// What registers hold beyond a value is divided by 1, since nobody asked for an exception.
    fn divide(&mut self, ty: Type, x: Value, y: Value) -> Vec<Virtual> {
        let used = ty.bytes() as usize % 16;
        // These fill their registers.
        let is_filled = used == 0 || matches!(self.definition(y), Some(Op::Const(_) | Op::Splat(_)));
        let (x, mut y) = (self.pieces(x), self.pieces(y));
        if !is_filled {
            let one = if ty.elem == Elem::F32 { i64::from(1f32.to_bits()) } else { 1f64.to_bits() as i64 };
            let one = self.int_constant(if ty.elem == Elem::F32 { Elem::U32 } else { Elem::I64 }, one);
            let beyond = self.constant(std::array::from_fn(|i| if i < used { 0 } else { 0xff }));
            if let Some(last) = y.last_mut() {
                *last = self.change(&forms::BIT_V, Arrangement::B16, *last, &[one, beyond], &[]);
            }
        }
        (0..x.len()).map(|i| self.both(&forms::FDIV_V, ty.elem, x[i], y[i])).collect()
    }

    /// SQRDMULH is the reference's first rounding. Its second, of a half away from zero, is SRSHL of what is one less where it is negative and shifted to the right.
    fn requantize(&mut self, x: Virtual, multiplier: Virtual, shift: Virtual, range: ShiftRange) -> Virtual {
        let at = Arrangement::S4;
        match range {
            ShiftRange::Uniform(n) => {
                let x = if 0 < n { self.vec(&forms::SHL_V, at, &[x], &[n.into()]) } else { x };
                let y = self.vec(&forms::SQRDMULH_V, at, &[x, multiplier], &[]);
                if 0 <= n {
                    return y;
                }
                self.put(&forms::SSRA_V, at, &[y, y], &[31]);
                self.vec(&forms::SRSHR_V, at, &[y], &[-i64::from(n)])
            }
            ShiftRange::Right => {
                let y = self.vec(&forms::SQRDMULH_V, at, &[x, multiplier], &[]);
                self.put(&forms::SSRA_V, at, &[y, y], &[31]);
                self.vec(&forms::SRSHL_V, at, &[y, shift], &[])
            }
            ShiftRange::Any => {
                let zero = self.zero();
                let left = self.vec(&forms::SMAX_V, at, &[shift, zero], &[]);
                let right = self.vec(&forms::SMIN_V, at, &[shift, zero], &[]);
                let x = self.vec(&forms::SSHL_V, at, &[x, left], &[]);
                let y = self.vec(&forms::SQRDMULH_V, at, &[x, multiplier], &[]);
                let both_negative = self.vec(&forms::AND_V, Arrangement::B16, &[y, right], &[]);
                self.put(&forms::SSRA_V, at, &[y, both_negative], &[31]);
                self.vec(&forms::SRSHL_V, at, &[y, right], &[])
            }
        }
    }
}
