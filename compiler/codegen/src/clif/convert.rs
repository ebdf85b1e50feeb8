//! From one element type to another: widening, narrowing, floats to integers and back, casts.
//!
//! Saturating and rounding to 8 or 16 bits goes through 32 bits, where registers have instructions for it.

use super::{Arch, Emitter};
use crate::floats;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, ConstantData, InstBuilder, types};
use cranelite_tile::{Binary, Elem, Op, Rounding, Type, Unary, Value};

impl<'a> Emitter<'a> {
    pub(super) fn widen_value(&mut self, to: Type, a: Value) -> Vec<ir::Value> {
        match self.def(a) {
            Some(Op::Load { place, .. }) if self.skipped[a.0 as usize] => {
                let from = self.ty(a);
                let halves = self.load_widened(place, from);
                let elem = [Elem::I16, Elem::I32, Elem::I64][from.elem.bytes().ilog2() as usize];
                // Only the sign matters from here on, and widened numbers without sign have none.
                let elem = if from.elem.is_signed() || elem == Elem::I64 {
                    elem
                } else {
                    [Elem::U16, Elem::U32][from.elem.bytes().ilog2() as usize]
                };
                if elem.bits() == to.elem.bits() { halves } else { self.widen(to, from.with_elem(elem), &halves) }
            }
            _ => self.widen(to, self.ty(a), &self.pieces(a)),
        }
    }

    pub(super) fn widen(&mut self, to: Type, from: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        if self.is_scalar(to) {
            let scalar = self.scalar_type(to.elem);
            return self.map(a, |e, x| e.extend_scalar(from.elem, x, scalar));
        }
        let (mut pieces, mut bits) = (a.to_vec(), from.elem.bits());
        while bits < to.elem.bits() {
            bits *= 2;
            let needed = (to.lanes * bits).div_ceil(128) as usize;
            pieces = (0..needed).map(|i| self.half(from.elem.is_signed(), pieces[i / 2], i % 2 == 1)).collect();
        }
        pieces
    }

    /// The lower or upper lanes of a register with twice the bits.
    pub(super) fn half(&mut self, signed: bool, x: ir::Value, upper: bool) -> ir::Value {
        match (signed, upper) {
            (true, false) => self.ins().swiden_low(x),
            (true, true) => self.ins().swiden_high(x),
            (false, false) => self.ins().uwiden_low(x),
            (false, true) => self.ins().uwiden_high(x),
        }
    }

    /// To fewer bits, dropping the upper ones.
    pub(super) fn narrow(&mut self, to: Type, from: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        if self.is_scalar(to) {
            return self.map(a, |e, x| e.reduce_scalar(x, to.elem));
        }
        let (mut pieces, mut bits) = (a.to_vec(), from.elem.bits());
        while to.elem.bits() < bits {
            bits /= 2;
            pieces = pieces.chunks(2).map(|c| self.low_halves(c[0], c[c.len() - 1], bits, to.elem.bits())).collect();
        }
        pieces
    }

    /// The low `bits` bits of every lane of two registers, of which only `wanted` matter.
    fn low_halves(&mut self, x: ir::Value, y: ir::Value, bits: u32, wanted: u32) -> ir::Value {
        let size = bits as usize / 8;
        if 4 <= size || self.features.arch != Arch::X86 {
            let v = self.shuffle(x, y, size, |i| 2 * i);
            return self.cast(
                v,
                if size == 4 {
                    types::I32X4
                } else if size == 2 {
                    types::I16X8
                } else {
                    types::I8X16
                },
            );
        }
        // Packing saturates: make it so that there is nothing to saturate.
        if wanted == 8 {
            let (x, y) = (self.masked(x, 0xff), self.masked(y, 0xff));
            return if bits == 8 { self.ins().unarrow(x, y) } else { self.ins().snarrow(x, y) };
        }
        let sixteen = self.amount(16);
        let [x, y] = [x, y].map(|v| {
            let up = self.ins().ishl(v, sixteen);
            self.ins().sshr(up, sixteen)
        });
        self.ins().snarrow(x, y)
    }

    fn masked(&mut self, x: ir::Value, mask: i64) -> ir::Value {
        let mask = self.int_constant(self.value_type(x), mask);
        self.ins().band(x, mask)
    }

    /// To fewer bits or the other sign, to the nearest number there is.
    pub(super) fn narrow_sat(&mut self, to: Type, from: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        if self.is_scalar(to) || from.elem == Elem::I64 {
            return self.by_lane(to, &[(from, a)], |e, x| e.narrow_sat_scalar(to.elem, from.elem, x[0]));
        }
        let mut pieces = a.to_vec();
        let (low, high) = to.elem.int_range();
        // Packing takes its operands for signed ones.
        if !from.elem.is_signed() {
            pieces = self.map(&pieces, |e, x| {
                let high = e.int_constant(e.value_type(x), high);
                e.ins().umin(x, high)
            });
        } else if from.elem.bits() == to.elem.bits() {
            pieces = self.map(&pieces, |e, x| {
                let low = e.int_constant(e.value_type(x), low);
                e.ins().smax(x, low)
            });
        }
        let mut bits = from.elem.bits();
        while to.elem.bits() < bits {
            bits /= 2;
            let unsigned = bits == to.elem.bits() && !to.elem.is_signed();
            pieces = pieces
                .chunks(2)
                .map(|c| {
                    let (x, y) = (c[0], c[c.len() - 1]);
                    if unsigned { self.ins().unarrow(x, y) } else { self.ins().snarrow(x, y) }
                })
                .collect();
        }
        pieces
    }

    fn narrow_sat_scalar(&mut self, to: Elem, from: Elem, x: ir::Value) -> ir::Value {
        let ty = self.value_type(x);
        let ((low, high), (least, most)) = (to.int_range(), from.int_range());
        let mut v = x;
        if high < most {
            let high = self.int_constant(ty, high);
            v = if from.is_signed() { self.ins().smin(v, high) } else { self.ins().umin(v, high) };
        }
        if least < low {
            let low = self.int_constant(ty, low);
            v = self.ins().smax(v, low);
        }
        self.reduce_scalar(v, to)
    }

    pub(super) fn convert(&mut self, to: Type, a: Value, rounding: Rounding) -> Vec<ir::Value> {
        let (from, pieces) = (self.ty(a), self.pieces(a));
        match (from.elem.is_float(), to.elem.is_float()) {
            (true, true) => self.float_to_float(to, from, &pieces),
            (false, true) => self.int_to_float(to, from, &pieces),
            (true, false) => {
                let cut = floats::cut_on_x86(&self.defs, a).filter(|_| {
                    let one_instruction = self.features.arch == Arch::X86 && !self.is_scalar(to);
                    one_instruction && rounding == Rounding::TowardZero && (from.elem, to.elem) == (Elem::F32, Elem::I32)
                });
                if let Some(x) = cut {
                    return self.map(&self.pieces(x), |e, x| e.ins().x86_cvtt2dq(types::I32X4, x));
                }
                let bounds = floats::bounds(self.kernel, &self.defs, a);
                self.float_to_int(to, from, &pieces, rounding, bounds)
            }
            (false, false) => {
                self.fail(format!("conversion of {from} to {to}"));
                pieces
            }
        }
    }

    fn float_to_float(&mut self, to: Type, from: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        match (from.elem, to.elem) {
            (Elem::F32, Elem::F64) if self.is_scalar(to) => self.map(a, |e, x| e.ins().fpromote(types::F64, x)),
            (Elem::F64, Elem::F32) if self.is_scalar(to) => self.map(a, |e, x| e.ins().fdemote(types::F32, x)),
            (Elem::F32, Elem::F64) => (0..self.piece_count(to))
                .map(|i| {
                    let x = a[i / 2];
                    let x = if i % 2 == 0 { x } else { self.shuffle(x, x, 8, |_| 1) };
                    self.ins().fvpromote_low(x)
                })
                .collect(),
            (Elem::F64, Elem::F32) => a
                .chunks(2)
                .map(|c| {
                    let (x, y) = (self.ins().fvdemote(c[0]), self.ins().fvdemote(c[c.len() - 1]));
                    self.shuffle(x, y, 8, |i| 2 * i)
                })
                .collect(),
            _ => a.to_vec(),
        }
    }

    pub(super) fn int_to_float(&mut self, to: Type, from: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        if self.is_scalar(to) || from.elem == Elem::I64 {
            let float = self.scalar_type(to.elem);
            return self.by_lane(to, &[(from, a)], |e, x| {
                let wide = if from.elem.bits() < 32 { types::I32 } else { types::I64 };
                let x = e.extend_scalar(from.elem, x[0], wide);
                e.ins().fcvt_from_sint(float, x)
            });
        }
        let signed = from.elem != Elem::U32;
        let words = if from.elem.bits() < 32 { self.widen(from.with_elem(Elem::I32), from, a) } else { a.to_vec() };
        if to.elem == Elem::F32 {
            return self.map(&words, |e, x| {
                if signed { e.ins().fcvt_from_sint(types::F32X4, x) } else { e.ins().fcvt_from_uint(types::F32X4, x) }
            });
        }
        (0..self.piece_count(to))
            .map(|i| {
                let wide = self.half_low(signed, words[i / 2], i % 2 == 1);
                if signed { self.ins().fcvt_from_sint(types::F64X2, wide) } else { self.ins().fcvt_from_uint(types::F64X2, wide) }
            })
            .collect()
    }

    /// As [`Emitter::half`], always from the lower lanes: the form that Cranelift converts to doubles in one instruction.
    fn half_low(&mut self, signed: bool, x: ir::Value, upper: bool) -> ir::Value {
        let x = if upper { self.shuffle(x, x, 8, |_| 1) } else { x };
        self.half(signed, x, false)
    }

    fn float_to_int(&mut self, to: Type, from: Type, a: &[ir::Value], rounding: Rounding, bounds: Option<(f64, f64)>) -> Vec<ir::Value> {
        let nearest = rounding == Rounding::NearestEven;
        if self.is_scalar(to) || from.elem == Elem::F64 || to.elem == Elem::I64 {
            return self.by_lane(to, &[(from, a)], |e, x| {
                let x = if nearest { e.round(Unary::RoundEven, x[0]) } else { x[0] };
                match to.elem {
                    Elem::I64 => e.ins().fcvt_to_sint_sat(types::I64, x),
                    Elem::U32 => e.ins().fcvt_to_uint_sat(types::I32, x),
                    elem => {
                        let word = e.ins().fcvt_to_sint_sat(types::I32, x);
                        e.narrow_sat_scalar(elem, Elem::I32, word)
                    }
                }
            });
        }
        let within = |limit: f64| bounds.is_some_and(|(low, high)| -limit <= low && high <= limit);
        // What is below all integers becomes the smallest one in any case.
        let below = |limit: f64| bounds.is_some_and(|(_, high)| high <= limit);
        let words = self.map(a, |e, x| {
            if e.features.arch == Arch::X86 && nearest && to.elem != Elem::U32 && within(4194304.0) {
                return e.nearest_by_addition(x);
            }
            let x = if nearest { e.round(Unary::RoundEven, x) } else { x };
            match to.elem {
                Elem::U32 => e.ins().fcvt_to_uint_sat(types::I32X4, x),
                _ if e.features.arch == Arch::X86 && below(2147483520.0) => e.ins().x86_cvtt2dq(types::I32X4, x),
                _ => e.ins().fcvt_to_sint_sat(types::I32X4, x),
            }
        });
        match to.elem {
            Elem::U32 | Elem::I32 => words,
            _ => self.narrow_sat(to, from.with_elem(Elem::I32), &words),
        }
    }

    /// The integer nearest to a float of at most 2^22: in the sum with 1.5 · 2^23 the last bit is worth 1.
    fn nearest_by_addition(&mut self, x: ir::Value) -> ir::Value {
        let magic = self.int_constant(types::I32X4, i64::from(12582912f32.to_bits()));
        let float = self.cast(magic, types::F32X4);
        let sum = self.ins().fadd(x, float);
        let sum = self.cast(sum, types::I32X4);
        self.ins().isub(sum, magic)
    }

    /// Division of integers that fit a float's mantissa: the quotient differs from an integer by more than its rounding error, so
    /// truncating it is exact.
    pub(super) fn divide_as_floats(&mut self, op: Binary, ty: Type, a: &[ir::Value], b: &[ir::Value]) -> Vec<ir::Value> {
        let words = ty.with_elem(Elem::I32);
        let (x, y) = if ty.elem.bits() < 32 { (self.widen(words, ty, a), self.widen(words, ty, b)) } else { (a.to_vec(), b.to_vec()) };
        // Where the divisor is 0, as beyond the value, it becomes 1: ones for true are -1.
        let by_zero = self.map(&y, |e, y| {
            let zero = e.zero(types::I32X4);
            e.ins().icmp(IntCC::Equal, y, zero)
        });
        let y = self.zip(&y, &by_zero, |e, y, is_zero| e.ins().isub(y, is_zero));
        let quotients = if ty.elem.bits() < 32 {
            let float = words.with_elem(Elem::F32);
            let (f, g) = (self.int_to_float(float, words, &x), self.int_to_float(float, words, &y));
            self.zip(&f, &g, |e, f, g| {
                let q = e.ins().fdiv(f, g);
                if e.features.arch == Arch::X86 { e.ins().x86_cvtt2dq(types::I32X4, q) } else { e.ins().fcvt_to_sint_sat(types::I32X4, q) }
            })
        } else {
            let float = words.with_elem(Elem::F64);
            let (f, g) = (self.int_to_float(float, words, &x), self.int_to_float(float, words, &y));
            let halves = self.zip(&f, &g, |e, f, g| {
                let q = e.ins().fdiv(f, g);
                e.truncate_doubles(q)
            });
            let packed = self.features.arch == Arch::X86;
            let lane = |i| if packed { i / 2 * 4 + i % 2 } else { 2 * i };
            halves.chunks(2).map(|c| self.shuffle(c[0], c[c.len() - 1], 4, lane)).collect()
        };
        let results: Vec<ir::Value> = (0..x.len())
            .map(|i| {
                let r = match op {
                    Binary::Div => quotients[i],
                    _ => {
                        let whole = self.ins().imul(quotients[i], y[i]);
                        self.ins().isub(x[i], whole)
                    }
                };
                let defined = self.ins().bnot(by_zero[i]);
                self.ins().band(r, defined)
            })
            .collect();
        if ty.elem.bits() < 32 { self.narrow(ty, words, &results) } else { results }
    }

    /// Two doubles to integers: 32 bits in the lower half on x86, 64 bits elsewhere.
    fn truncate_doubles(&mut self, q: ir::Value) -> ir::Value {
        if self.features.arch == Arch::X86 {
            let q = self.ins().x86_cvtt2dq(types::I64X2, q);
            // A fresh constant: Cranelift recognises it only as such.
            let zero = self.cursor.func.dfg.constants.insert(ConstantData::from(&[0u8; 16][..]));
            let zero = self.ins().vconst(types::I64X2, zero);
            self.ins().snarrow(q, zero)
        } else {
            let q = self.ins().fcvt_to_sint_sat(types::I64X2, q);
            self.cast(q, types::I32X4)
        }
    }

    pub(super) fn bitcast(&mut self, to: Type, from: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        match (self.is_scalar(to), self.is_scalar(from)) {
            (false, false) => {
                let vector = self.vector_type(to.elem);
                self.map(a, |e, x| e.cast(x, vector))
            }
            (true, true) if to.lanes == from.lanes => {
                let scalar = self.scalar_type(to.elem);
                self.map(a, |e, x| e.cast(x, scalar))
            }
            (true, true) => self.regroup(to, from, a),
            // One lane and several in a register.
            (true, false) => {
                let vector = self.vector_type(to.elem);
                let v = self.cast(a[0], vector);
                vec![self.ins().extractlane(v, 0)]
            }
            (false, true) => {
                let vector = self.vector_type(from.elem);
                let v = self.first_lane(vector, a[0]);
                let vector = self.vector_type(to.elem);
                vec![self.cast(v, vector)]
            }
        }
    }

    /// Scalars of one size as scalars of another, little-endian.
    fn regroup(&mut self, to: Type, from: Type, a: &[ir::Value]) -> Vec<ir::Value> {
        let integer = |bits: u32| ir::Type::int(bits as u16).expect("an element's size");
        let (wide, narrow) = (to.elem.bits().max(from.elem.bits()), to.elem.bits().min(from.elem.bits()));
        let ratio = (wide / narrow) as usize;
        let ints = self.map(a, |e, x| e.cast(x, integer(from.elem.bits())));
        let parts: Vec<ir::Value> = if to.elem.bits() < from.elem.bits() {
            let mut parts = vec![];
            for x in ints {
                for i in 0..ratio {
                    let n = self.amount(i as u32 * narrow);
                    let down = self.ins().ushr(x, n);
                    parts.push(self.ins().ireduce(integer(narrow), down));
                }
            }
            parts
        } else {
            let join = |e: &mut Self, c: &[ir::Value]| {
                let first = e.ins().uextend(integer(wide), c[0]);
                c.iter().enumerate().skip(1).fold(first, |sum, (i, &x)| {
                    let x = e.ins().uextend(integer(wide), x);
                    let n = e.amount(i as u32 * narrow);
                    let up = e.ins().ishl(x, n);
                    e.ins().bor(sum, up)
                })
            };
            ints.chunks(ratio).map(|c| join(self, c)).collect()
        };
        let scalar = self.scalar_type(to.elem);
        self.map(&parts, |e, x| e.cast(x, scalar))
    }
}
