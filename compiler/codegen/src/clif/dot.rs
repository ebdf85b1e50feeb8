//! Sums of products: dot products in their native form where there is one, and multiply-adds.
//!
//! The idea: Cranelift has no operation for a dot product but recognises one tree of widening, multiplying and pairwise adding,
//! which is therefore written in one place, [`Emitter::dot4_tree`].

use super::{Arch, Emitter};
use cranelift_codegen::ir::{self, InstBuilder, types};
use cranelite_tile::{Elem, Type, Value};

type Operand = (Type, Vec<ir::Value>);

impl<'a> Emitter<'a> {
    pub(super) fn dot(&mut self, ty: Type, group: u32, acc: &[ir::Value], a: Operand, b: Operand) -> Vec<ir::Value> {
        if !self.features.vectors {
            return (0..ty.lanes as usize)
                .map(|i| self.dot_scalar(acc[i], (&a, i * group as usize), (&b, i * group as usize), group))
                .collect();
        }
        if group == 1 && 1 < ty.lanes && (a.0.elem, b.0.elem) == (Elem::I16, Elem::I16) {
            return acc.iter().enumerate().map(|(i, acc)| self.products(*acc, a.1[i / 2], b.1[i / 2], i % 2 == 1)).collect();
        }
        // Groups that no machine with vectors of this emitter's asks for.
        if !matches!(group, 2 | 4) {
            return self.dot_by_lane(ty, group, acc, (&a, 0, group as usize), &b);
        }
        let acc = self.in_registers(ty, acc);
        let sums = (0..acc.len()).map(|i| self.dot_piece(acc[i], (a.0.elem, a.1[i]), (b.0.elem, b.1[i]))).collect();
        self.out_of_registers(ty, sums)
    }

    pub(super) fn dot_lane(&mut self, ty: Type, group: u32, acc: &[ir::Value], a: Operand, lane: u32, b: Operand) -> Vec<ir::Value> {
        let first = (lane * group) as usize;
        if !self.features.vectors {
            return (0..ty.lanes as usize).map(|i| self.dot_scalar(acc[i], (&a, first), (&b, i * group as usize), group)).collect();
        }
        if !matches!(group, 2 | 4) {
            return self.dot_by_lane(ty, group, acc, (&a, first, 0), &b);
        }
        // A group is 32 bits.
        let source = self.cast(a.1[lane as usize / 4], types::I32X4);
        let everywhere = self.shuffle(source, source, 4, |_| lane as usize % 4);
        let everywhere = self.cast(everywhere, self.vector_type(a.0.elem));
        let acc = self.in_registers(ty, acc);
        let sums = (0..acc.len()).map(|i| self.dot_piece(acc[i], (a.0.elem, everywhere), (b.0.elem, b.1[i]))).collect();
        self.out_of_registers(ty, sums)
    }

    /// Without an instruction for it: each row of `a` twice by both of `b`, as products of groups of four whose pairs of sums are added.
    pub(super) fn dot_matrix(&mut self, ty: Type, acc: &[ir::Value], a: Operand, b: Operand) -> Vec<ir::Value> {
        if !self.features.vectors {
            let sum = |e: &mut Self, i: usize| {
                let (first, row, column) = (i / 4 * 16, i / 2 % 2 * 8, i % 2 * 8);
                e.dot_scalar(acc[i], (&a, first + row), (&b, first + column), 8)
            };
            return (0..ty.lanes as usize).map(|i| sum(self, i)).collect();
        }
        let zero = self.int_constant(types::I32X4, 0);
        (0..acc.len())
            .map(|i| {
                let rows = self.cast(a.1[i], types::I64X2);
                let [upper, lower] = [0, 1].map(|row| {
                    let twice = self.shuffle(rows, rows, 8, |_| row);
                    let twice = self.cast(twice, self.vector_type(a.0.elem));
                    self.dot_piece(zero, (a.0.elem, twice), (b.0.elem, b.1[i]))
                });
                let sums = self.ins().iadd_pairwise(upper, lower);
                self.ins().iadd(sums, acc[i])
            })
            .collect()
    }

    /// Each lane by itself: that of `a` begins at its first lane and so many lanes for each further one.
    fn dot_by_lane(
        &mut self,
        ty: Type,
        group: u32,
        acc: &[ir::Value],
        (a, first, step): (&Operand, usize, usize),
        b: &Operand,
    ) -> Vec<ir::Value> {
        let sums: Vec<ir::Value> = (0..ty.lanes as usize)
            .map(|i| {
                let start = self.extract(ty, acc, i);
                (0..group as usize).fold(start, |sum, g| {
                    let x = self.extract(a.0, &a.1, first + i * step + g);
                    let x = self.extend_scalar(a.0.elem, x, types::I32);
                    let y = self.extract(b.0, &b.1, i * group as usize + g);
                    let y = self.extend_scalar(b.0.elem, y, types::I32);
                    let product = self.ins().imul(x, y);
                    self.ins().iadd(sum, product)
                })
            })
            .collect();
        self.assemble(ty, &sums)
    }

    fn dot_scalar(&mut self, acc: ir::Value, a: (&Operand, usize), b: (&Operand, usize), group: u32) -> ir::Value {
        let ((a, i), (b, j)) = (a, b);
        (0..group as usize).fold(acc, |sum, g| {
            let x = self.extend_scalar(a.0.elem, a.1[i + g], types::I32);
            let y = self.extend_scalar(b.0.elem, b.1[j + g], types::I32);
            let product = self.ins().imul(x, y);
            self.ins().iadd(sum, product)
        })
    }

    /// Four sums of 32 bits.
    fn dot_piece(&mut self, acc: ir::Value, a: (Elem, ir::Value), b: (Elem, ir::Value)) -> ir::Value {
        match (a.0, b.0) {
            (Elem::I16, Elem::I16) => {
                let pairs = self.dot2(a.1, b.1);
                self.ins().iadd(pairs, acc)
            }
            (Elem::U8, Elem::I8) => self.dot4(acc, b, a),
            (Elem::I8 | Elem::U8, Elem::I8 | Elem::U8) => self.dot4(acc, a, b),
            _ => {
                self.fail(format!("a dot product of {} and {}", a.0, b.0));
                acc
            }
        }
    }

    /// Products of the lower or upper lanes of 16 bits.
    fn products(&mut self, acc: ir::Value, a: ir::Value, b: ir::Value, upper: bool) -> ir::Value {
        let (x, y) = (self.half(true, a, upper), self.half(true, b, upper));
        let product = self.ins().imul(x, y);
        self.ins().iadd(acc, product)
    }

    /// Products of pairs of 16 bits with ones.
    pub(super) fn sums_of_pairs(&mut self, ty: Type, acc: &[ir::Value], a: &[ir::Value]) -> Vec<ir::Value> {
        let acc = self.in_registers(ty, acc);
        let one = |e: &mut Self, acc, a| {
            let (low, high) = (e.ins().swiden_low(a), e.ins().swiden_high(a));
            let pairs = e.ins().iadd_pairwise(low, high);
            e.ins().iadd(acc, pairs)
        };
        let sums = acc.iter().zip(a).map(|(acc, a)| one(self, *acc, *a)).collect();
        self.out_of_registers(ty, sums)
    }

    /// Sums of two products of 16 bits.
    fn dot2(&mut self, a: ir::Value, b: ir::Value) -> ir::Value {
        let (x, y) = (self.ins().swiden_low(a), self.ins().swiden_low(b));
        let low = self.ins().imul(x, y);
        let (x, y) = (self.ins().swiden_high(a), self.ins().swiden_high(b));
        let high = self.ins().imul(x, y);
        self.ins().iadd_pairwise(low, high)
    }

    /// The sign of the first comes first: if one is unsigned it is the second.
    fn dot4(&mut self, acc: ir::Value, a: (Elem, ir::Value), b: (Elem, ir::Value)) -> ir::Value {
        let native = match self.features.arch {
            Arch::X86 => self.features.byte_dot && (a.0, b.0) == (Elem::I8, Elem::U8),
            // Its expansion of the tree is short even without the instruction, unless products exceed 16 bits.
            _ => (a.0, b.0) != (Elem::U8, Elem::U8),
        };
        if native {
            return self.dot4_tree(acc, a, b);
        }
        let ((a_low, a_high), (b_low, b_high)) = (self.halves(a), self.halves(b));
        let (low, high) = (self.dot2(a_low, b_low), self.dot2(a_high, b_high));
        let sums = self.ins().iadd_pairwise(low, high);
        self.ins().iadd(sums, acc)
    }

    /// Bytes widened to 16 bits.
    fn halves(&mut self, x: (Elem, ir::Value)) -> (ir::Value, ir::Value) {
        if x.0 == Elem::I8 {
            (self.ins().swiden_low(x.1), self.ins().swiden_high(x.1))
        } else {
            (self.ins().uwiden_low(x.1), self.ins().uwiden_high(x.1))
        }
    }

    /// The pattern that becomes `vpdpbusd` (signed by unsigned) or `sdot` (signed by signed). Do not change a single node.
    fn dot4_tree(&mut self, acc: ir::Value, a: (Elem, ir::Value), b: (Elem, ir::Value)) -> ir::Value {
        let ((a_low, a_high), (b_low, b_high)) = (self.halves(a), self.halves(b));
        let quarter = |e: &mut Self, a, b| {
            let products = e.ins().imul(a, b);
            let (low, high) = (e.ins().swiden_low(products), e.ins().swiden_high(products));
            e.ins().iadd_pairwise(low, high)
        };
        let (low, high) = (quarter(self, a_low, b_low), quarter(self, a_high, b_high));
        let sums = self.ins().iadd_pairwise(low, high);
        self.ins().iadd(sums, acc)
    }

    pub(super) fn fma(&mut self, ty: Type, a: Value, b: Value, c: &[ir::Value]) -> Vec<ir::Value> {
        // On x86 the first factor's register is overwritten: better the one that nobody needs again.
        let (a, b) = if self.is_shared(a) && !self.is_shared(b) { (b, a) } else { (a, b) };
        let (x, y) = (self.pieces(a), self.pieces(b));
        (0..c.len()).map(|i| self.fma_piece(ty, x[i], y[i], c[i])).collect()
    }

    pub(super) fn fma_lane(&mut self, ty: Type, acc: &[ir::Value], a: Value, lane: u32, b: Value) -> Vec<ir::Value> {
        let (a_ty, a, b) = (self.ty(a), self.pieces(a), self.pieces(b));
        if self.is_scalar(ty) {
            let x = self.extract(a_ty, &a, lane as usize);
            return (0..acc.len()).map(|i| self.fma_piece(ty, b[i], x, acc[i])).collect();
        }
        let everywhere = if self.is_scalar(a_ty) {
            self.splat(ty.with_lanes(self.lanes_per_piece(ty) as u32), a[0])[0]
        } else {
            // In this form the multiplication by a lane needs no instruction of its own on Arm.
            let per = self.lanes_per_piece(a_ty);
            let source = a[lane as usize / per];
            self.shuffle(source, source, 16 / per, |_| lane as usize % per)
        };
        (0..acc.len()).map(|i| self.fma_piece(ty, b[i], everywhere, acc[i])).collect()
    }

    fn fma_piece(&mut self, ty: Type, x: ir::Value, y: ir::Value, z: ir::Value) -> ir::Value {
        if self.features.fma {
            return self.ins().fma(x, y, z);
        }
        if ty.elem != Elem::F32 {
            self.fail("fma of doubles on a machine without it");
            return z;
        }
        if self.is_scalar(ty) {
            self.fma_by_double(x, y, z)
        } else {
            let per = ty.with_lanes(4);
            self.by_lane(per, &[(per, &[x]), (per, &[y]), (per, &[z])], |e, v| e.fma_by_double(v[0], v[1], v[2]))[0]
        }
    }

    /// x · y + z with one rounding on a machine without such an instruction. In double precision the product is exact; the sum is
    /// rounded to odd (an inexact result gets an odd last bit), after which the rounding to single is as if it were the only one.
    fn fma_by_double(&mut self, x: ir::Value, y: ir::Value, z: ir::Value) -> ir::Value {
        let [x, y, z] = [x, y, z].map(|v| self.ins().fpromote(types::F64, v));
        let product = self.ins().fmul(x, y);
        let sum = self.ins().fadd(product, z);
        // What the addition lost.
        let z_part = self.ins().fsub(sum, product);
        let product_part = self.ins().fsub(sum, z_part);
        let (e1, e2) = (self.ins().fsub(product, product_part), self.ins().fsub(z, z_part));
        let error = self.ins().fadd(e1, e2);
        let zero = self.ins().f64const(0.0);
        let bits = self.cast(sum, types::I64);
        let even = self.ins().bnot(bits);
        let even = self.ins().band_imm_s(even, 1);
        // Toward the error: away from zero if it has the sum's sign.
        use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
        let inexact = self.ins().fcmp(FloatCC::OrderedNotEqual, error, zero);
        let error_bits = self.cast(error, types::I64);
        let differ = self.ins().bxor(error_bits, bits);
        let inward = self.ins().icmp_imm_s(IntCC::SignedLessThan, differ, 0);
        let down = self.ins().ineg(even);
        let change = self.ins().select(inward, down, even);
        let none = self.i64(0);
        let change = self.ins().select(inexact, change, none);
        let odd = self.ins().iadd(bits, change);
        let odd = self.cast(odd, types::F64);
        self.ins().fdemote(types::F32, odd)
    }

    /// i32 by i32 to i64.
    pub(super) fn mul_wide(&mut self, ty: Type, a: &[ir::Value], b: &[ir::Value]) -> Vec<ir::Value> {
        if self.is_scalar(ty) {
            return self.zip(a, b, |e, x, y| {
                let (x, y) = (e.ins().sextend(types::I64, x), e.ins().sextend(types::I64, y));
                e.ins().imul(x, y)
            });
        }
        let mut out = vec![];
        for (&x, &y) in a.iter().zip(b) {
            let (xl, yl) = (self.ins().swiden_low(x), self.ins().swiden_low(y));
            out.push(self.ins().imul(xl, yl));
            let (xh, yh) = (self.ins().swiden_high(x), self.ins().swiden_high(y));
            out.push(self.ins().imul(xh, yh));
        }
        out.truncate(self.piece_count(ty.with_elem(Elem::I64)));
        out
    }
}
