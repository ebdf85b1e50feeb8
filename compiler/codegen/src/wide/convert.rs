//! Conversions: longer and shorter integers, floats.
//!
//! The idea: lengthening reads the bottom of a register, shortening joins bottoms; halving twice is cheaper than quartering once where
//! two registers can be packed together.

use super::Emitter;
use super::asm::{Mem, vm, vv, vvi, vvv};
use crate::alloc::Virtual;
use crate::floats;
use cranelite_tile::{Binary, Cond, Elem, Op, Rounding, Scalar, Type, Unary, Value};

/// How VCVTPS2PH rounds, whatever else is set.
const TO_NEAREST_EVEN: i32 = 0;

impl Emitter<'_> {
    pub(super) fn widen(&mut self, ty: Type, a: Value) -> Vec<Virtual> {
        let from = self.ty(a);
        let ratio = (ty.elem.bytes() / from.elem.bytes()) as usize;
        let signed = from.elem.is_signed();
        let sizes = self.piece_sizes(ty);
        let full = self.features.vector_bytes;
        if let Some(mem) = self.folded.get(&a).copied() {
            let exact = (ty.bytes() as usize).is_multiple_of(full) || sizes == [ty.bytes() as usize];
            if exact {
                self.folded.remove(&a);
                return sizes
                    .iter()
                    .enumerate()
                    .map(|(i, &size)| self.extend(from.elem, ratio, signed, size, Source::Memory(mem.plus((i * full / ratio) as i32))))
                    .collect();
            }
        }
        let pieces = self.pieces(a);
        sizes
            .iter()
            .enumerate()
            .map(|(i, &size)| {
                let length = (size / ratio).min(from.bytes() as usize - i * full / ratio);
                let low = self.bytes_at(&pieces, i * full / ratio, length);
                self.extend(from.elem, ratio, signed, size, Source::Register(low))
            })
            .collect()
    }

    fn extend(&mut self, from: Elem, ratio: usize, signed: bool, size: usize, source: Source) -> Virtual {
        let d = self.vector();
        let uses = match &source {
            Source::Register(v) => vec![*v],
            Source::Memory(m) => m.registers(),
        };
        macro_rules! extend {
            ($m:ident, $half:tt) => {
                match source {
                    Source::Memory(mem) => self.push(&uses, &[d], move |s, r| match size {
                        16 => s.$m(r.x(d), r.m(&mem)),
                        32 => s.$m(r.y(d), r.m(&mem)),
                        _ => s.$m(r.z(d), r.m(&mem)),
                    }),
                    Source::Register(v) => extend!(@ $m, $half, v),
                }
            };
            (@ $m:ident, true, $v:expr) => {{
                let v = $v;
                self.push(&uses, &[d], move |s, r| match size {
                    16 => s.$m(r.x(d), r.x(v)),
                    32 => s.$m(r.y(d), r.x(v)),
                    _ => s.$m(r.z(d), r.y(v)),
                })
            }};
            (@ $m:ident, false, $v:expr) => {{
                let v = $v;
                self.push(&uses, &[d], move |s, r| match size {
                    16 => s.$m(r.x(d), r.x(v)),
                    32 => s.$m(r.y(d), r.x(v)),
                    _ => s.$m(r.z(d), r.x(v)),
                })
            }};
        }
        match (from.bytes(), ratio, signed) {
            (1, 2, true) => extend!(vpmovsxbw, true),
            (1, 2, false) => extend!(vpmovzxbw, true),
            (1, 4, true) => extend!(vpmovsxbd, false),
            (1, 4, false) => extend!(vpmovzxbd, false),
            (1, _, true) => extend!(vpmovsxbq, false),
            (1, _, false) => extend!(vpmovzxbq, false),
            (2, 2, true) => extend!(vpmovsxwd, true),
            (2, 2, false) => extend!(vpmovzxwd, true),
            (2, _, true) => extend!(vpmovsxwq, false),
            (2, _, false) => extend!(vpmovzxwq, false),
            (_, _, true) => extend!(vpmovsxdq, true),
            (_, _, false) => extend!(vpmovzxdq, true),
        }
        d
    }

    pub(super) fn narrow(&mut self, ty: Type, a: Value) -> Vec<Virtual> {
        let (from, pieces) = (self.ty(a), self.pieces(a));
        self.truncate_pieces(from, ty, pieces)
    }

    pub(super) fn widen_half(&mut self, ty: Type, a: Value) -> Vec<Virtual> {
        let (sizes, full) = (self.piece_sizes(ty), self.features.vector_bytes);
        let exact = (ty.bytes() as usize).is_multiple_of(full) || sizes == [ty.bytes() as usize];
        if let Some(mem) = self.folded.get(&a).copied().filter(|_| exact) {
            self.folded.remove(&a);
            return sizes.iter().enumerate().map(|(i, &size)| vm!(self, vcvtph2ps, size, mem.plus((i * full / 2) as i32))).collect();
        }
        self.lengthen(ty, a, |s, r, size, d, v| match size {
            16 => s.vcvtph2ps(r.x(d), r.x(v)),
            32 => s.vcvtph2ps(r.y(d), r.x(v)),
            _ => s.vcvtph2ps(r.z(d), r.y(v)),
        })
    }

    pub(super) fn narrow_half(&mut self, a: Value) -> Vec<Virtual> {
        let (pieces, sizes) = (self.pieces(a), self.piece_sizes(self.ty(a)));
        let halves: Vec<Virtual> = pieces
            .iter()
            .zip(sizes)
            .map(|(&x, size)| {
                let d = self.vector();
                self.push(&[x], &[d], move |s, r| match size {
                    16 => s.vcvtps2ph(r.x(d), r.x(x), TO_NEAREST_EVEN),
                    32 => s.vcvtps2ph(r.x(d), r.y(x), TO_NEAREST_EVEN),
                    _ => s.vcvtps2ph(r.y(d), r.z(x), TO_NEAREST_EVEN),
                });
                d
            })
            .collect();
        let bytes = self.features.vector_bytes / 2;
        self.assemble(&halves, bytes)
    }

    /// The low bits of every lane.
    pub(super) fn truncate_pieces(&mut self, from: Type, to: Type, mut pieces: Vec<Virtual>) -> Vec<Virtual> {
        let mut ty = from;
        while to.elem.bits() < ty.elem.bits() {
            // Clear what saturation would look at, then pack with it.
            let half = match ty.elem.bits() {
                64 => Elem::U32,
                32 => Elem::U16,
                _ => Elem::U8,
            };
            if half != Elem::U32 {
                let sizes = self.piece_sizes(ty);
                let low = (1i64 << half.bits()) - 1;
                pieces = pieces
                    .iter()
                    .zip(sizes)
                    .map(|(&v, size)| {
                        let mask = self.int_constant(ty.elem, low, size);
                        vvv!(self, vandps, size, v, mask)
                    })
                    .collect();
            }
            let pack = match half {
                Elem::U32 => Pack::Words,
                Elem::U16 => Pack::ToU16,
                _ => Pack::ToU8,
            };
            pieces = self.halve(ty, half, pack, &pieces);
            ty = ty.with_elem(half);
        }
        pieces
    }

    pub(super) fn narrow_sat(&mut self, ty: Type, a: Value) -> Vec<Virtual> {
        // Twice is the same as at once, with something that is added in between or without.
        let (a, moved) = self.halved(ty, a).unwrap_or((a, None));
        let (from, mut pieces) = (self.ty(a), self.pieces(a));
        let sizes = self.piece_sizes(from);
        let (low, high) = ty.elem.int_range();
        if ty.elem.bits() == from.elem.bits() || from.elem == Elem::I64 || !from.elem.is_signed() {
            // Clamp first, then cut.
            let (from_low, from_high) = from.elem.int_range();
            let bounds = [(Binary::Max, low, from_low < low), (Binary::Min, high, high < from_high)];
            for (op, bound, needed) in bounds {
                if needed {
                    pieces = pieces
                        .iter()
                        .zip(&sizes)
                        .map(|(&v, &size)| {
                            let b = self.int_constant(from.elem, bound, size);
                            self.binary(from.elem, op, size, v, b)
                        })
                        .collect();
                }
            }
            return self.truncate_pieces(from, ty, pieces);
        }
        let full = self.features.vector_bytes;
        if from.elem == Elem::I32 && ty.elem.bits() == 8 && self.quarters(from) {
            let moved = moved.map(|n| self.int_constant(Elem::I16, n, full));
            return pieces.chunks(4).map(|all| self.quarter(ty.elem, all, moved)).collect();
        }
        let mut current = from;
        if current.elem == Elem::I32 && ty.elem.bits() <= 16 {
            let (half, pack) = if ty.elem == Elem::U16 { (Elem::U16, Pack::ToU16) } else { (Elem::I16, Pack::ToI16) };
            pieces = self.halve(current, half, pack, &pieces);
            current = current.with_elem(half);
        }
        if current.elem == Elem::I16 && ty.elem.bits() == 8 {
            let pack = if ty.elem == Elem::U8 { Pack::ToU8 } else { Pack::ToI8 };
            pieces = self.halve(current, ty.elem, pack, &pieces);
        }
        pieces
    }

    /// The 32-bit lanes that 16-bit lanes `a` come from by saturation, and what was added to all of them with saturation after that.
    fn halved(&self, ty: Type, a: Value) -> Option<(Value, Option<i64>)> {
        if self.ty(a).elem != Elem::I16 || ty.elem.bits() != 8 {
            return None;
        }
        let definition = |v: Value| self.definitions[v.0 as usize];
        let (half, moved) = match definition(a)? {
            Op::Binary(Binary::AddSat, x, n) => match definition(*n)? {
                Op::Const(Scalar::Int(n)) => (*x, Some(*n)),
                _ => return None,
            },
            _ => (a, None),
        };
        let Op::NarrowSat(x) = definition(half)? else { return None };
        let fits = self.ty(*x).elem == Elem::I32 && self.is_held(*x) && (moved.is_none() || self.quarters(self.ty(*x)));
        fits.then_some((*x, moved))
    }

    /// Whether 32-bit lanes become bytes at once.
    fn quarters(&self, from: Type) -> bool {
        let registers = from.bytes() as usize / self.features.vector_bytes;
        (from.bytes() as usize).is_multiple_of(self.features.vector_bytes) && (registers < 3 || registers.is_multiple_of(4))
    }

    /// Lanes of half the length, two registers into one.
    fn halve(&mut self, from: Type, half: Elem, pack: Pack, pieces: &[Virtual]) -> Vec<Virtual> {
        let full = self.features.vector_bytes;
        let sizes = self.piece_sizes(from);
        let mut out = vec![];
        for (pair, size) in pieces.chunks(2).zip(sizes.chunks(2)) {
            let v = match (pair, size) {
                ([a, b], [x, y]) if x == y && *x == full => {
                    let packed = self.pack(pack, full, *a, *b);
                    self.gather_packed(packed, full)
                }
                ([a, b], _) => {
                    let (low, high) = (self.halve_one(pack, full, *a), self.halve_one(pack, size[1], *b));
                    self.join(low, high, full / 2)
                }
                ([a], _) => self.halve_one(pack, size[0], *a),
                _ => continue,
            };
            out.push(v);
        }
        let _ = half;
        out
    }

    /// The upper halves of 64-bit lanes.
    pub(super) fn upper_words(&mut self, from: Type, pieces: &[Virtual]) -> Vec<Virtual> {
        self.halve(from, Elem::U32, Pack::UpperWords, pieces)
    }

    /// One, two or four whole registers of i32 into one of bytes; `moved` is added, with saturation, on the way.
    fn quarter(&mut self, elem: Elem, all: &[Virtual], moved: Option<Virtual>) -> Virtual {
        let full = self.features.vector_bytes;
        if let ([x], None, true, Elem::I8) = (all, moved, self.features.avx512, elem) {
            let (x, d) = (*x, self.vector());
            self.push(&[x], &[d], move |s, r| if full == 32 { s.vpmovsdb(r.x(d), r.y(x)) } else { s.vpmovsdb(r.x(d), r.z(x)) });
            return d;
        }
        let half = |e: &mut Self, i: usize| {
            let packed = e.pack(Pack::ToI16, full, all[i % all.len()], all[(i + 1) % all.len()]);
            moved.map_or(packed, |n| vvv!(e, vpaddsw, full, packed, n))
        };
        let a = half(self, 0);
        let b = if all.len() == 4 { half(self, 2) } else { a };
        let packed = self.pack(if elem == Elem::U8 { Pack::ToU8 } else { Pack::ToI8 }, full, a, b);
        // Every 128 bits hold four bytes of each.
        let lanes = full as u32 / 16;
        let order: Vec<u8> = (0..4).flat_map(|part| (0..lanes).flat_map(move |lane| (4 * lane + part).to_le_bytes())).collect();
        let order = self.constant(&order, full);
        let d = self.vector();
        self.push(&[packed, order], &[d], move |s, r| match full {
            32 => s.vpermd(r.y(d), r.y(order), r.y(packed)),
            _ => s.vpermd(r.z(d), r.z(order), r.z(packed)),
        });
        d
    }

    /// Packing works in quarters of 128 bits; this puts the 64-bit words in order.
    fn gather_packed(&mut self, v: Virtual, size: usize) -> Virtual {
        if size == 32 {
            let d = self.vector();
            self.push(&[v], &[d], move |s, r| s.vpermq(r.y(d), r.y(v), 0xd8));
            return d;
        }
        let bytes: Vec<u8> = [0u64, 2, 4, 6, 1, 3, 5, 7].iter().flat_map(|o| o.to_le_bytes()).collect();
        let order = self.constant(&bytes, 64);
        let d = self.vector();
        self.push(&[v, order], &[d], move |s, r| s.vpermq(r.z(d), r.z(order), r.z(v)));
        d
    }

    /// One register into the lower half of another.
    fn halve_one(&mut self, pack: Pack, size: usize, a: Virtual) -> Virtual {
        if size == 16 {
            return self.pack(pack, 16, a, a);
        }
        if self.features.avx512 {
            let a = if pack == Pack::UpperWords { self.logical_down(Elem::I64, size, a, 32) } else { a };
            let d = self.vector();
            macro_rules! down {
                ($m:ident) => {
                    self.push(&[a], &[d], move |s, r| if size == 32 { s.$m(r.x(d), r.y(a)) } else { s.$m(r.y(d), r.z(a)) })
                };
            }
            match pack {
                Pack::Words | Pack::UpperWords => down!(vpmovqd),
                Pack::ToI16 => down!(vpmovsdw),
                Pack::ToI8 => down!(vpmovswb),
                // Unsigned saturation looks at unsigned numbers, so negative ones are raised first.
                Pack::ToU16 | Pack::ToU8 => {
                    let zero = self.zero();
                    let elem = if pack == Pack::ToU16 { Elem::I32 } else { Elem::I16 };
                    let a = self.binary(elem, Binary::Max, size, a, zero);
                    if pack == Pack::ToU16 {
                        self.push(
                            &[a],
                            &[d],
                            move |s, r| if size == 32 { s.vpmovusdw(r.x(d), r.y(a)) } else { s.vpmovusdw(r.y(d), r.z(a)) },
                        );
                    } else {
                        self.push(
                            &[a],
                            &[d],
                            move |s, r| if size == 32 { s.vpmovuswb(r.x(d), r.y(a)) } else { s.vpmovuswb(r.y(d), r.z(a)) },
                        );
                    }
                }
            }
            return d;
        }
        let high = self.extract128(a, 1);
        self.pack(pack, 16, a, high)
    }

    fn pack(&mut self, pack: Pack, size: usize, a: Virtual, b: Virtual) -> Virtual {
        match pack {
            Pack::ToI16 => vvv!(self, vpackssdw, size, a, b),
            Pack::ToU16 => vvv!(self, vpackusdw, size, a, b),
            Pack::ToI8 => vvv!(self, vpacksswb, size, a, b),
            Pack::ToU8 => vvv!(self, vpackuswb, size, a, b),
            Pack::Words | Pack::UpperWords => {
                let (d, order) = (self.vector(), if pack == Pack::Words { 0x88 } else { 0xdd });
                self.push(&[a, b], &[d], move |s, r| match size {
                    16 => s.vshufps(r.x(d), r.x(a), r.x(b), order),
                    32 => s.vshufps(r.y(d), r.y(a), r.y(b), order),
                    _ => s.vshufps(r.z(d), r.z(a), r.z(b), order),
                });
                d
            }
        }
    }

    pub(super) fn convert(&mut self, ty: Type, a: Value, rounding: Rounding) -> Vec<Virtual> {
        let from = self.ty(a);
        match (from.elem, ty.elem) {
            (Elem::I32, Elem::F32) => self.each(ty, &[a], |e, size, x| vv!(e, vcvtdq2ps, size, x[0])),
            (Elem::F32, Elem::I32) => {
                let cut = floats::cut_on_x86(&self.definitions, a).filter(|_| rounding == Rounding::TowardZero);
                // What is below all integers becomes the smallest one in any case.
                let below = floats::bounds(self.kernel, &self.definitions, a).is_some_and(|(_, high)| high <= 2147483520.0);
                let plain = cut.is_some() || below;
                self.each(
                    ty,
                    &[cut.unwrap_or(a)],
                    |e, size, x| if plain { e.cut(size, x[0], rounding) } else { e.float_to_int(size, x[0], rounding) },
                )
            }
            (Elem::I32, Elem::F64) => self.lengthen(ty, a, |s, r, size, d, v| match size {
                16 => s.vcvtdq2pd(r.x(d), r.x(v)),
                32 => s.vcvtdq2pd(r.y(d), r.x(v)),
                _ => s.vcvtdq2pd(r.z(d), r.y(v)),
            }),
            (Elem::F32, Elem::F64) => self.lengthen(ty, a, |s, r, size, d, v| match size {
                16 => s.vcvtps2pd(r.x(d), r.x(v)),
                32 => s.vcvtps2pd(r.y(d), r.x(v)),
                _ => s.vcvtps2pd(r.z(d), r.y(v)),
            }),
            (Elem::I64, Elem::F64) => self.each(ty, &[a], |e, size, x| e.double_of_word(size, x[0])),
            (Elem::F64, Elem::I64) => self.each(ty, &[a], |e, size, x| e.double_to_word(size, x[0], rounding)),
            (Elem::F32, Elem::I64) => {
                let doubles = self.lengthen(ty, a, |s, r, size, d, v| match size {
                    16 => s.vcvtps2pd(r.x(d), r.x(v)),
                    32 => s.vcvtps2pd(r.y(d), r.x(v)),
                    _ => s.vcvtps2pd(r.z(d), r.y(v)),
                });
                doubles.iter().zip(self.piece_sizes(ty)).map(|(&v, size)| self.double_to_word(size, v, rounding)).collect()
            }
            (Elem::F64, Elem::F32 | Elem::I32) | (Elem::I64, Elem::F32) => {
                let (pieces, sizes) = (self.pieces(a), self.piece_sizes(from));
                let halves: Vec<Virtual> = pieces
                    .iter()
                    .zip(sizes)
                    .map(|(&v, size)| match (from.elem, ty.elem) {
                        (Elem::I64, _) => self.single_of_word(size, v),
                        (_, Elem::I32) => self.double_to_int(size, v, rounding),
                        _ => self.single_of_double(size, v),
                    })
                    .collect();
                let bytes = self.features.vector_bytes / 2;
                self.assemble(&halves, bytes)
            }
            _ => {
                self.fail(format!("conversion of {} to {}", from.elem, ty.elem));
                vec![]
            }
        }
    }

    /// Both halves in the last bits of doubles, whose sum is rounded once.
    fn double_of_word(&mut self, size: usize, x: Virtual) -> Virtual {
        if self.features.avx512 {
            return vv!(self, vcvtqq2pd, size, x);
        }
        let double = |e: &mut Self, bits: u64| e.constant(&bits.to_le_bytes(), size);
        let (low, low_exponent) = (double(self, 0xffff_ffff), double(self, 0x4330_0000_0000_0000));
        let lower = vvv!(self, vandps, size, x, low);
        let lower = vvv!(self, vorps, size, lower, low_exponent);
        // 2^84 + 2^63 + the signed upper half times 2^32.
        let high_exponent = double(self, 0x4530_0000_8000_0000);
        let upper = vvi!(self, vpsrlq, size, x, 32);
        let upper = vvv!(self, vxorps, size, upper, high_exponent);
        let excess = double(self, 0x4530_0000_8010_0000);
        let upper = vvv!(self, vsubpd, size, upper, excess);
        vvv!(self, vaddpd, size, upper, lower)
    }

    /// The result is half as long.
    fn single_of_double(&mut self, size: usize, x: Virtual) -> Virtual {
        let d = self.vector();
        self.push(&[x], &[d], move |s, r| match size {
            16 => s.vcvtpd2ps(r.x(d), r.x(x)),
            32 => s.vcvtpd2ps(r.x(d), r.y(x)),
            _ => s.vcvtpd2ps(r.y(d), r.z(x)),
        });
        d
    }

    /// Rounded once. The result is half as long.
    fn single_of_word(&mut self, size: usize, x: Virtual) -> Virtual {
        if self.features.avx512 {
            let d = self.vector();
            self.push(&[x], &[d], move |s, r| match size {
                16 => s.vcvtqq2ps(r.x(d), r.x(x)),
                32 => s.vcvtqq2ps(r.x(d), r.y(x)),
                _ => s.vcvtqq2ps(r.y(d), r.z(x)),
            });
            return d;
        }
        // A double must hold the number without rounding: of what is longer, bits far below the last one of the float become a single one.
        let word = |e: &mut Self, v: i64| e.int_constant(Elem::I64, v, size);
        let (low, high) = (word(self, 0x7ff), word(self, !0x7ff));
        let rest = vvv!(self, vandps, size, x, low);
        let rest = vvv!(self, vpaddq, size, rest, low);
        let sticky = vvv!(self, vorps, size, x, rest);
        let sticky = vvv!(self, vandps, size, sticky, high);
        let (most, least) = (word(self, 1 << 53), word(self, -(1 << 53)));
        let (above, below) = (self.compare(Elem::I64, Cond::Gt, size, x, most), self.compare(Elem::I64, Cond::Lt, size, x, least));
        let is_long = vvv!(self, vorps, size, above, below);
        let x = self.select(size, is_long, sticky, x);
        let x = self.double_of_word(size, x);
        self.single_of_double(size, x)
    }

    /// Saturating; NaN becomes 0.
    fn double_to_word(&mut self, size: usize, x: Virtual, rounding: Rounding) -> Virtual {
        let double = |e: &mut Self, v: f64| e.constant(&v.to_bits().to_le_bytes(), size);
        let end = double(self, 9_223_372_036_854_775_808.0);
        let number = self.compare(Elem::F64, Cond::Eq, size, x, x);
        if self.features.avx512 {
            // The smallest number for all that does not fit.
            let cut = match rounding {
                Rounding::TowardZero => vv!(self, vcvttpd2qq, size, x),
                Rounding::NearestEven => vv!(self, vcvtpd2qq, size, x),
            };
            let too_large = self.compare(Elem::F64, Cond::Ge, size, x, end);
            let saturated = vvv!(self, vxorps, size, cut, too_large);
            return vvv!(self, vandps, size, saturated, number);
        }
        let x = vvv!(self, vandps, size, x, number);
        let whole = self.unary(Elem::F64, if rounding == Rounding::TowardZero { Unary::Trunc } else { Unary::RoundEven }, size, x);
        let too_large = self.compare(Elem::F64, Cond::Ge, size, whole, end);
        let (least, most) = (double(self, -9_223_372_036_854_775_808.0), double(self, 9_223_372_036_854_774_784.0));
        let whole = vvv!(self, vmaxpd, size, whole, least);
        let whole = vvv!(self, vminpd, size, whole, most);
        // Both halves are exact: the upper one as an integer with sign, the lower one in the last bits of a double.
        let (down, up, exponent) =
            (double(self, 1.0 / 4_294_967_296.0), double(self, 4_294_967_296.0), double(self, 4_503_599_627_370_496.0));
        let upper = vvv!(self, vmulpd, size, whole, down);
        let upper = self.unary(Elem::F64, Unary::Floor, size, upper);
        let taken = vvv!(self, vmulpd, size, upper, up);
        let lower = vvv!(self, vsubpd, size, whole, taken);
        let lower = vvv!(self, vaddpd, size, lower, exponent);
        let lower = vvv!(self, vxorps, size, lower, exponent);
        let (short, long) = (self.vector(), self.vector());
        self.push(
            &[upper],
            &[short],
            move |s, r| if size == 16 { s.vcvttpd2dq(r.x(short), r.x(upper)) } else { s.vcvttpd2dq(r.x(short), r.y(upper)) },
        );
        self.push(
            &[short],
            &[long],
            move |s, r| if size == 16 { s.vpmovsxdq(r.x(long), r.x(short)) } else { s.vpmovsxdq(r.y(long), r.x(short)) },
        );
        let long = vvi!(self, vpsllq, size, long, 32);
        let word = vvv!(self, vpaddq, size, long, lower);
        let largest = self.int_constant(Elem::I64, i64::MAX, size);
        self.select(size, too_large, largest, word)
    }

    /// Saturating; NaN becomes 0. The result is half as long.
    fn double_to_int(&mut self, size: usize, x: Virtual, rounding: Rounding) -> Virtual {
        let number = self.compare(Elem::F64, Cond::Eq, size, x, x);
        let x = vvv!(self, vandps, size, x, number);
        // What is below all integers becomes the smallest one by itself.
        let most = self.constant(&2_147_483_647f64.to_bits().to_le_bytes(), size);
        let x = vvv!(self, vminpd, size, x, most);
        let d = self.vector();
        macro_rules! shorten {
            ($m:ident) => {
                self.push(&[x], &[d], move |s, r| match size {
                    16 => s.$m(r.x(d), r.x(x)),
                    32 => s.$m(r.x(d), r.y(x)),
                    _ => s.$m(r.y(d), r.z(x)),
                })
            };
        }
        match rounding {
            Rounding::TowardZero => shorten!(vcvttpd2dq),
            Rounding::NearestEven => shorten!(vcvtpd2dq),
        }
        d
    }

    fn lengthen(
        &mut self,
        ty: Type,
        a: Value,
        convert: impl Fn(&mut iced_x86::code_asm::CodeAssembler, &super::Registers, usize, Virtual, Virtual) -> Result<(), iced_x86::IcedError>
        + Copy
        + 'static,
    ) -> Vec<Virtual> {
        let (from, pieces, full) = (self.ty(a), self.pieces(a), self.features.vector_bytes);
        let sizes = self.piece_sizes(ty);
        sizes
            .iter()
            .enumerate()
            .map(|(i, &size)| {
                let length = (size / 2).min(from.bytes() as usize - i * full / 2);
                let v = self.bytes_at(&pieces, i * full / 2, length);
                let d = self.vector();
                self.push(&[v], &[d], move |s, r| convert(s, r, size, d, v));
                d
            })
            .collect()
    }

    /// The smallest number for all that does not fit.
    fn cut(&mut self, size: usize, x: Virtual, rounding: Rounding) -> Virtual {
        match rounding {
            Rounding::TowardZero => vv!(self, vcvttps2dq, size, x),
            Rounding::NearestEven => vv!(self, vcvtps2dq, size, x),
        }
    }

    /// Saturating; NaN becomes 0.
    fn float_to_int(&mut self, size: usize, x: Virtual, rounding: Rounding) -> Virtual {
        let converted = self.cut(size, x, rounding);
        let limit = self.constant(&2147483648f32.to_bits().to_le_bytes(), size);
        let too_large = self.compare(Elem::F32, Cond::Ge, size, x, limit);
        let saturated = vvv!(self, vxorps, size, converted, too_large);
        let number = self.compare(Elem::F32, Cond::Eq, size, x, x);
        vvv!(self, vandps, size, saturated, number)
    }
}

/// Where lanes that are to be lengthened are.
enum Source {
    Register(Virtual),
    Memory(Mem),
}

/// Two registers into one with lanes half as long; saturating but for `Words`, which takes the lower halves of 64-bit lanes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pack {
    /// The lower and the upper halves of 64-bit lanes.
    Words,
    UpperWords,
    ToI16,
    ToU16,
    ToI8,
    ToU8,
}
