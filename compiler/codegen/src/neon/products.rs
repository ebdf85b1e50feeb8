//! Sums of products.
//!
//! The ideas: what is multiplied with everything is an element of a register, not a copy in every lane (`SDOT v.4b[i]`, `FMLA v.s[i]`); without dot products,
//! bytes are multiplied in 16 bits, two products to a sum, and pairs of sums go into 32 bits (SMULL, SMLAL, SADALP).

use super::convert::{half, whole};
use super::forms::{self, Arrangement, Form};
use super::{Delayed, Emitter, piece_count};
use crate::alloc::Virtual;
use cranelite_tile::{Binary, Elem, Kernel, Op, Scalar, Stmt, Type, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Groups that are loaded for nothing but products by element.
pub(super) fn by_element(kernel: &Kernel, dotprod: bool, uses: &[u32]) -> BTreeSet<Value> {
    fn walk(kernel: &Kernel, dotprod: bool, stmts: &[Stmt], counts: &mut BTreeMap<Value, u32>) {
        for s in stmts {
            match s {
                Stmt::Let(_, Op::Dot { group: 4, a, b, .. }) if dotprod && kernel.ty(*a).elem == kernel.ty(*b).elem && a != b => {
                    *counts.entry(*a).or_default() += 1;
                }
                Stmt::Let(_, Op::Fma(a, b, c)) if kernel.ty(*a).elem == Elem::F32 && a != b && a != c => {
                    *counts.entry(*a).or_default() += 1;
                }
                Stmt::Loop(l) => walk(kernel, dotprod, &l.body, counts),
                _ => {}
            }
        }
    }
    fn groups(kernel: &Kernel, stmts: &[Stmt], all: &mut BTreeSet<Value>) {
        for s in stmts {
            match s {
                Stmt::Let(v, Op::LoadSplat { group, .. }) if group * kernel.ty(*v).elem.bytes() == 4 => drop(all.insert(*v)),
                Stmt::Loop(l) => groups(kernel, &l.body, all),
                _ => {}
            }
        }
    }
    let (mut counts, mut all) = (BTreeMap::new(), BTreeSet::new());
    walk(kernel, dotprod, &kernel.body, &mut counts);
    groups(kernel, &kernel.body, &mut all);
    all.retain(|v| counts.get(v) == Some(&uses[v.0 as usize]));
    all
}

impl<'a> Emitter<'a> {
    pub(super) fn is_by_element(&self, v: Value) -> bool {
        self.by_element.contains(&v)
    }

    fn group_of(&self, v: Value) -> Option<Virtual> {
        match self.delayed.get(&v) {
            Some(Delayed::Group(group)) => Some(*group),
            _ => None,
        }
    }

    pub(super) fn fma(&mut self, ty: Type, a: Value, b: Value, c: Value) -> Vec<Virtual> {
        if !ty.elem.is_float() {
            return vec![self.unsupported("a multiply-add", ty.elem)];
        }
        let at = super::ops::arrangement(ty.elem);
        if let Some(group) = self.group_of(a) {
            return self.each(&[c, b], |e, x| e.change(&forms::FMLA_LANE, at, x[0], &[x[1], group], &[0]));
        }
        self.each(&[c, a, b], |e, x| e.change(&forms::FMLA_V, at, x[0], &[x[1], x[2]], &[]))
    }

    pub(super) fn fma_lane(&mut self, ty: Type, acc: Value, a: Value, lane: usize, b: Value) -> Vec<Virtual> {
        let per = 16 / ty.elem.bytes() as usize;
        let source = self.pieces(a)[lane / per];
        let at = super::ops::arrangement(ty.elem);
        let form = if ty.elem == Elem::F32 { &forms::FMLA_LANE } else { &forms::FMLA_LANE_D };
        self.each(&[acc, b], |e, x| e.change(form, at, x[0], &[x[1], source], &[(lane % per) as i64]))
    }

    /// i32 by i32 to i64.
    pub(super) fn mul_wide(&mut self, ty: Type, a: Value, b: Value) -> Vec<Virtual> {
        let (x, y) = (self.pieces(a), self.pieces(b));
        (0..piece_count(ty))
            .map(|i| match i % 2 {
                0 => self.vec(&forms::SMULL_V, Arrangement::S2, &[x[i / 2], y[i / 2]], &[]),
                _ => self.vec(&forms::SMULL2_V, Arrangement::S4, &[x[i / 2], y[i / 2]], &[]),
            })
            .collect()
    }

    pub(super) fn dot(&mut self, group: u32, acc: Value, a: Value, b: Value) -> Vec<Virtual> {
        let (x, y) = (self.ty(a).elem, self.ty(b).elem);
        if group == 4 && self.features.dotprod && x == y {
            let forms = if x == Elem::I8 { [&forms::SDOT, &forms::SDOT_LANE] } else { [&forms::UDOT, &forms::UDOT_LANE] };
            return match self.group_of(a) {
                Some(all) => self.each(&[acc, b], |e, v| e.change(forms[1], Arrangement::S4, v[0], &[v[1], all], &[0])),
                None => self.each(&[acc, a, b], |e, v| e.change(forms[0], Arrangement::S4, v[0], &[v[1], v[2]], &[])),
            };
        }
        match group {
            4 => self.each(&[acc, a, b], |e, v| e.dot_of_bytes(v[0], (x, v[1]), (y, v[2]))),
            2 if x == Elem::I16 && self.are_ones(b) => {
                self.each(&[acc, a], |e, v| e.change(&forms::SADALP_V, Arrangement::H8, v[0], &[v[1]], &[]))
            }
            2 if x == Elem::I16 => self.each(&[acc, a, b], |e, v| e.dot_of_words(v[0], v[1], v[2])),
            1 if x == Elem::I16 => {
                let (sums, x, y) = (self.pieces(acc), self.pieces(a), self.pieces(b));
                (0..sums.len())
                    .map(|i| {
                        let (form, at) = [(&forms::SMLAL_V, Arrangement::H4), (&forms::SMLAL2_V, Arrangement::H8)][i % 2];
                        self.change(form, at, sums[i], &[x[i / 2], y[i / 2]], &[])
                    })
                    .collect()
            }
            _ => vec![self.unsupported("a dot product", x)],
        }
    }

    /// A sum in the register that it is in already: where it goes round in a loop it must not have two.
    fn add_to_sum(&mut self, form: &'static Form, arrangement: Arrangement, sum: Virtual, v: Virtual) -> Virtual {
        let d = self.copy(sum);
        self.put(form, arrangement, &[d, d, v], &[]);
        d
    }

    fn are_ones(&self, v: Value) -> bool {
        matches!(self.definition(v), Some(Op::Const(Scalar::Int(1))))
    }

    /// Four sums of two products of 16 bits each.
    fn dot_of_words(&mut self, acc: Virtual, x: Virtual, y: Virtual) -> Virtual {
        let low = self.vec(&forms::SMULL_V, Arrangement::H4, &[x, y], &[]);
        let high = self.vec(&forms::SMULL2_V, Arrangement::H8, &[x, y], &[]);
        let sums = self.vec(&forms::ADDP_V, Arrangement::S4, &[low, high], &[]);
        self.add_to_sum(&forms::ADD_V, Arrangement::S4, acc, sums)
    }

    /// Four sums of four products of bytes each, without an instruction for them unless it is that for bytes of both signs. One product fits 16 bits, and two
    /// of them may not.
    fn dot_of_bytes(&mut self, acc: Virtual, a: (Elem, Virtual), b: (Elem, Virtual)) -> Virtual {
        if self.features.i8mm && a.0 != b.0 {
            let (unsigned, signed) = if a.0 == Elem::U8 { (a.1, b.1) } else { (b.1, a.1) };
            return self.change(&forms::USDOT, Arrangement::S4, acc, &[unsigned, signed], &[]);
        }
        let sums = if a.0 == b.0 {
            let signed = a.0 == Elem::I8;
            let products = if signed { [&forms::SMULL_V, &forms::SMULL2_V] } else { [&forms::UMULL_V, &forms::UMULL2_V] };
            let pairs = if signed { &forms::SADDLP_V } else { &forms::UADDLP_V };
            let low = self.vec(products[0], Arrangement::B8, &[a.1, b.1], &[]);
            let high = self.vec(products[1], Arrangement::B16, &[a.1, b.1], &[]);
            [low, high].map(|v| self.vec(pairs, Arrangement::H8, &[v], &[]))
        } else {
            let [a, b] = [a, b].map(|(elem, v)| {
                let forms = if elem == Elem::I8 { [&forms::SSHLL_V, &forms::SSHLL2_V] } else { [&forms::USHLL_V, &forms::USHLL2_V] };
                [self.vec(forms[0], Arrangement::B8, &[v], &[0]), self.vec(forms[1], Arrangement::B16, &[v], &[0])]
            });
            [0, 1].map(|i| {
                let low = self.vec(&forms::SMULL_V, Arrangement::H4, &[a[i], b[i]], &[]);
                let high = self.vec(&forms::SMULL2_V, Arrangement::H8, &[a[i], b[i]], &[]);
                self.vec(&forms::ADDP_V, Arrangement::S4, &[low, high], &[])
            })
        };
        let sums = self.vec(&forms::ADDP_V, Arrangement::S4, &sums, &[]);
        self.add_to_sum(&forms::ADD_V, Arrangement::S4, acc, sums)
    }

    pub(super) fn dot_matrix(&mut self, acc: Value, a: Value, b: Value) -> Vec<Virtual> {
        let (x, y) = (self.ty(a).elem, self.ty(b).elem);
        let form = match (x, y) {
            (Elem::I8, Elem::I8) => Some(&forms::SMMLA),
            (Elem::U8, Elem::U8) => Some(&forms::UMMLA),
            (Elem::U8, Elem::I8) => Some(&forms::USMMLA),
            _ => None,
        };
        if let Some(form) = form.filter(|_| self.features.i8mm) {
            return self.each(&[acc, a, b], |e, v| e.change(form, Arrangement::S4, v[0], &[v[1], v[2]], &[]));
        }
        // No lowering makes one where that has no instruction: each row by both of the other side.
        self.each(&[acc, a, b], |e, v| {
            let sums = [0, 1].map(|row| {
                let (twice, zero) = (e.vec(&forms::DUP_LANE, Arrangement::D2, &[v[1]], &[row]), e.zero());
                e.dot_of_bytes(zero, (x, twice), (y, v[2]))
            });
            let sums = e.vec(&forms::ADDP_V, Arrangement::S4, &sums, &[]);
            e.add_to_sum(&forms::ADD_V, Arrangement::S4, v[0], sums)
        })
    }

    pub(super) fn dot_lane(&mut self, group: u32, acc: Value, a: Value, lane: usize, b: Value) -> Vec<Virtual> {
        let (x, y) = (self.ty(a).elem, self.ty(b).elem);
        let offset = lane * (group * x.bytes()) as usize;
        let source = self.pieces(a)[offset / 16];
        let within = offset % 16;
        match group {
            1 if x == Elem::I16 => {
                let (sums, y) = (self.pieces(acc), self.pieces(b));
                (0..sums.len())
                    .map(|i| {
                        let (form, at) = [(&forms::SMLAL_LANE, Arrangement::H4), (&forms::SMLAL2_LANE, Arrangement::H8)][i % 2];
                        self.change(form, at, sums[i], &[y[i / 2], source], &[within as i64 / 2])
                    })
                    .collect()
            }
            4 if self.features.dotprod && x == y => {
                let form = if x == Elem::I8 { &forms::SDOT_LANE } else { &forms::UDOT_LANE };
                self.each(&[acc, b], |e, v| e.change(form, Arrangement::S4, v[0], &[v[1], source], &[within as i64 / 4]))
            }
            2 | 4 => {
                let all = self.vec(&forms::DUP_LANE, Arrangement::S4, &[source], &[within as i64 / 4]);
                self.each(
                    &[acc, b],
                    |e, v| if group == 4 { e.dot_of_bytes(v[0], (x, all), (y, v[1])) } else { e.dot_of_words(v[0], all, v[1]) },
                )
            }
            _ => vec![self.unsupported("a dot product by lane", x)],
        }
    }

    /// Products and sums of widened elements, which have instructions without the widening; `None` if these are none.
    pub(super) fn sum_of_products(&mut self, ty: Type, op: Binary, x: Value, y: Value) -> Option<Vec<Virtual>> {
        match op {
            Binary::Mul => {
                let (a, b) = (self.widened_once(ty, x)?, self.widened_once(ty, y)?);
                let signed = self.ty(a).elem.is_signed();
                if self.ty(b).elem.is_signed() != signed {
                    return None;
                }
                let forms = if signed { [&forms::SMULL_V, &forms::SMULL2_V] } else { [&forms::UMULL_V, &forms::UMULL2_V] };
                Some(self.long(ty, &[a, b], |e, upper, at, _, v| e.vec(forms[upper], at, v, &[])))
            }
            Binary::Add => {
                if let Some((sum, (a, b))) = self.product_in(ty, y).map(|p| (x, p)).or_else(|| self.product_in(ty, x).map(|p| (y, p))) {
                    let signed = self.ty(a).elem.is_signed();
                    let forms = if signed { [&forms::SMLAL_V, &forms::SMLAL2_V] } else { [&forms::UMLAL_V, &forms::UMLAL2_V] };
                    let sums = self.pieces(sum);
                    return Some(self.long(ty, &[a, b], |e, upper, at, i, v| e.change(forms[upper], at, sums[i], v, &[])));
                }
                let (sum, a) = match (self.widened_once(ty, y), self.widened_once(ty, x)) {
                    (Some(a), _) => (x, a),
                    (None, Some(a)) => (y, a),
                    (None, None) => return None,
                };
                let signed = self.ty(a).elem.is_signed();
                let forms = if signed { [&forms::SADDW_V, &forms::SADDW2_V] } else { [&forms::UADDW_V, &forms::UADDW2_V] };
                let sums = self.pieces(sum);
                Some(self.long(ty, &[a], |e, upper, at, i, v| e.add_to_sum(forms[upper], at, sums[i], v[0])))
            }
            _ => None,
        }
    }

    /// Registers of a result of `ty` made of elements half as long: `f` gets 1 where the sources' upper halves count, the sources' arrangement, the number
    /// of the register and the sources.
    fn long(
        &mut self,
        ty: Type,
        sources: &[Value],
        mut f: impl FnMut(&mut Self, usize, Arrangement, usize, &[Virtual]) -> Virtual,
    ) -> Vec<Virtual> {
        let bytes = ty.elem.bytes() / 2;
        if let Some(v) = self.upper_halves(sources) {
            return vec![f(self, 1, whole(bytes), 0, &v)];
        }
        let all: Vec<Vec<Virtual>> = sources.iter().map(|&v| self.pieces(v)).collect();
        (0..piece_count(ty))
            .map(|i| {
                let v: Vec<Virtual> = all.iter().map(|pieces| pieces[i / 2]).collect();
                f(self, i % 2, if i % 2 == 0 { half(bytes) } else { whole(bytes) }, i, &v)
            })
            .collect()
    }

    /// The registers whose upper halves the sources are: parts of longer values, or groups that are repeated all over their registers.
    fn upper_halves(&mut self, sources: &[Value]) -> Option<Vec<Virtual>> {
        let is_part = |e: &Self, v: Value| match e.definition(v) {
            Some(&Op::Slice(of, start)) => start * e.ty(v).elem.bytes() == 8 && e.ty(v).bytes() == 8 && e.ty(of).bytes() == 16,
            _ => false,
        };
        let is_group = |e: &Self, v: Value| {
            let bytes = e.group_bytes(v);
            matches!(e.definition(v), Some(Op::LoadSplat { .. })) && bytes <= 8 && bytes.is_power_of_two() && e.ty(v).bytes() == 8
        };
        if !sources.iter().any(|&v| is_part(self, v)) || !sources.iter().all(|&v| is_part(self, v) || is_group(self, v)) {
            return None;
        }
        Some(
            sources
                .iter()
                .map(|&v| match self.definition(v) {
                    Some(&Op::Slice(of, _)) => self.pieces(of)[0],
                    _ => self.pieces(v)[0],
                })
                .collect(),
        )
    }

    /// What `v` is widened from, if it is integers of half the length.
    fn widened_once(&self, ty: Type, v: Value) -> Option<Value> {
        match self.definition(v) {
            Some(&Op::Widen(a)) if ty.elem.is_int() && self.ty(a).elem.bytes() * 2 == ty.elem.bytes() && ty.elem.bytes() < 8 => Some(a),
            _ => None,
        }
    }

    /// The factors of a product of widened elements that nobody else reads.
    fn product_in(&self, ty: Type, v: Value) -> Option<(Value, Value)> {
        match self.definition(v) {
            Some(&Op::Binary(Binary::Mul, x, y)) if self.uses[v.0 as usize] == 1 => {
                let (a, b) = (self.widened_once(ty, x)?, self.widened_once(ty, y)?);
                (self.ty(a).elem.is_signed() == self.ty(b).elem.is_signed()).then_some((a, b))
            }
            _ => None,
        }
    }
}
