//! Discrete Fourier transforms of real numbers by steps of radix 2 to 5, each of which may be rounded.
//!
//! Not the transforms of powers of two (`fourier.rs`), whose order of steps is free. Here the steps are those of KISS FFT, because integers are divided and
//! rounded in each of them. The ideas: pairs of samples are complex numbers, of which half as many are transformed; a step finds the parts that it combines
//! next to each other (Stockham), so that nothing is permuted and lanes are independent transforms, or at the end frequencies; the real transform is put
//! together from both ends of the spectrum.

use super::Context;
use super::channels::each_block;
use super::copy::each;
use crate::graph::Node;
use crate::quantize::root_of_one;
use crate::tensor::ElementType;
use cranelite_tile::{Arg, Elem, Index, KernelBuilder, Value};
use std::f64::consts::PI;

/// Real and imaginary parts.
type Complex<T> = [T; 2];
type Number = Complex<Value>;

/// The radices of the steps for `n` complex numbers, the last step first; `None` where there is one that the reference has no memory for.
pub fn factors(n: usize) -> Option<Vec<usize>> {
    let (mut factors, mut rest) = (vec![], n);
    for radix in [4, 2, 3, 5] {
        while rest != 0 && rest % radix == 0 {
            factors.push(radix);
            rest /= radix;
        }
    }
    (rest == 1 && !factors.is_empty()).then_some(factors)
}

/// How numbers of one type are multiplied.
#[derive(Clone, Copy)]
struct Arithmetic {
    elem: Elem,
    is_inverse: bool,
}

impl Arithmetic {
    /// In registers, where words have room to grow.
    fn held(self) -> Elem {
        if self.elem == Elem::I16 { Elem::I32 } else { self.elem }
    }
    fn bytes(self) -> i64 {
        self.elem.bytes().into()
    }
    fn most(self) -> i32 {
        if self.elem == Elem::I16 { i16::MAX.into() } else { i32::MAX }
    }
    fn load(self, k: &mut KernelBuilder, lanes: usize, count: usize, arg: Arg, at: Index) -> Value {
        let v = k.load_part(self.elem.x(lanes), arg.at(at * self.bytes()), count);
        k.widen(v, self.held())
    }
    fn store(self, k: &mut KernelBuilder, v: Value, count: usize, arg: Arg, at: Index) {
        let v = k.narrow(v, self.elem);
        k.store_part(arg.at(at * self.bytes()), v, count);
    }
    fn product(self, k: &mut KernelBuilder, a: Value, b: Value) -> Value {
        if self.elem == Elem::I32 { k.mul_wide(a, b) } else { k.mul(a, b) }
    }
    /// A product, or a sum of two, in units of the numbers again: the nearest one, as many bits of it as there are.
    fn rounded(self, k: &mut KernelBuilder, v: Value) -> Value {
        match self.elem {
            Elem::I16 => {
                let half = k.int(k.ty(v), 1 << 14);
                let v = k.add(v, half);
                // With the bit above shifted out.
                let v = k.shl_imm(v, 1);
                k.shr_imm(v, 16)
            }
            Elem::I32 => {
                let half = k.int(k.ty(v), 1 << 30);
                let v = k.add(v, half);
                let v = k.shr_imm(v, 31);
                k.narrow(v, Elem::I32)
            }
            _ => v,
        }
    }
    /// As the number would be in memory.
    fn wrapped(self, k: &mut KernelBuilder, v: Value) -> Value {
        if self.elem != Elem::I16 {
            return v;
        }
        let v = k.shl_imm(v, 16);
        k.shr_imm(v, 16)
    }
    /// Integers divided by the radix.
    fn divided(self, k: &mut KernelBuilder, v: Number, by: usize) -> Number {
        if self.elem == Elem::F32 {
            return v;
        }
        v.map(|v| {
            let factor = k.int(k.ty(v), i64::from(self.most() / by as i32));
            let v = self.product(k, v, factor);
            self.rounded(k, v)
        })
    }
    fn half(self, k: &mut KernelBuilder, v: Value) -> Value {
        if self.elem != Elem::F32 {
            return k.shr_imm(v, 1);
        }
        let half = k.float(k.ty(v), 0.5);
        k.mul(v, half)
    }
    fn scaled(self, k: &mut KernelBuilder, v: Value, by: Value) -> Value {
        let v = self.product(k, v, by);
        self.rounded(k, v)
    }
    fn multiplied(self, k: &mut KernelBuilder, a: Number, b: Number) -> Number {
        let mut product = |i: usize, j: usize| self.product(k, a[i], b[j]);
        let (rr, ii, ri, ir) = (product(0, 0), product(1, 1), product(0, 1), product(1, 0));
        let (re, im) = (k.sub(rr, ii), k.add(ri, ir));
        [re, im].map(|v| self.rounded(k, v))
    }
    fn constant(self, k: &mut KernelBuilder, lanes: usize, angle: f64) -> Number {
        let ty = self.held().x(lanes);
        match self.elem {
            Elem::F32 => [libm::cos(angle), libm::sin(angle)].map(|x| k.float(ty, x as f32)),
            _ => root_of_one(angle, self.most()).map(|x| k.int(ty, x.into())),
        }
    }
    /// The bytes of roots of one as the numbers are in memory: real parts, imaginary parts.
    fn table(self, angles: &[f64]) -> Complex<Vec<u8>> {
        let mut parts = [vec![], vec![]];
        for &angle in angles {
            let bytes: Complex<[u8; 4]> = match self.elem {
                Elem::F32 => [libm::cos(angle), libm::sin(angle)].map(|x| (x as f32).to_le_bytes()),
                _ => root_of_one(angle, self.most()).map(i32::to_le_bytes),
            };
            parts.iter_mut().zip(bytes).for_each(|(part, bytes)| part.extend(&bytes[..self.bytes() as usize]));
        }
        parts
    }
    fn sign(self) -> f64 {
        if self.is_inverse { 1.0 } else { -1.0 }
    }
    /// Of the angles of `n` complex numbers, those that the steps want, from the first one on: by step, by part but the first, by frequency.
    fn angles(self, n: usize, radices: &[usize]) -> Vec<f64> {
        let (mut angles, mut length) = (vec![], 1);
        for &radix in radices {
            let apart = n / (length * radix);
            let angle = |i: usize| self.sign() * (2.0 * PI * i as f64 / n as f64);
            angles.extend((1..radix).flat_map(|part| (0..length).map(move |u| angle(part * u * apart))));
            length *= radix;
        }
        angles
    }
    /// Those that put a real transform together.
    fn real_angles(self, n: usize) -> Vec<f64> {
        (0..n / 2).map(|i| self.sign() * (PI * ((i + 1) as f64 / n as f64 + 0.5))).collect()
    }
}

fn add(k: &mut KernelBuilder, a: Number, b: Number) -> Number {
    [0, 1].map(|i| k.add(a[i], b[i]))
}
fn sub(k: &mut KernelBuilder, a: Number, b: Number) -> Number {
    [0, 1].map(|i| k.sub(a[i], b[i]))
}
/// a + ib, and a - ib.
fn turned(k: &mut KernelBuilder, a: Number, b: Number) -> [Number; 2] {
    [[k.sub(a[0], b[1]), k.add(a[1], b[0])], [k.add(a[0], b[1]), k.sub(a[1], b[0])]]
}

impl Arithmetic {
    /// Combines parts, all but the first of which have been multiplied by their roots.
    fn combined(self, k: &mut KernelBuilder, x: &[Number]) -> Vec<Number> {
        let lanes = k.ty(x[0][0]).lanes as usize;
        match *x {
            [a, b] => vec![add(k, a, b), sub(k, a, b)],
            [a, b, c] => {
                let root = self.constant(k, lanes, self.sign() * 2.0 * PI / 3.0);
                let (sum, difference) = (add(k, b, c), sub(k, b, c));
                let halves = sum.map(|v| self.half(k, v));
                let middle = sub(k, a, halves);
                let difference = difference.map(|v| self.scaled(k, v, root[1]));
                let [up, down] = turned(k, middle, difference);
                vec![add(k, a, sum), up, down]
            }
            [a, b, c, d] => {
                let (even, odd) = (sub(k, a, c), sub(k, b, d));
                let (a, b) = (add(k, a, c), add(k, b, d));
                let [up, down] = turned(k, even, odd);
                let (second, last) = if self.is_inverse { (up, down) } else { (down, up) };
                vec![add(k, a, b), second, sub(k, a, b), last]
            }
            [a, b, c, d, e] => {
                let [one, two] = [1.0, 2.0].map(|n| self.constant(k, lanes, self.sign() * 2.0 * PI * n / 5.0));
                let (outer, outer_difference) = (add(k, b, e), sub(k, b, e));
                let (inner, inner_difference) = (add(k, c, d), sub(k, c, d));
                let sum = add(k, outer, inner);
                let first = add(k, a, sum);
                let mut around = |x: Value, y: Value| {
                    let sum = |k: &mut KernelBuilder, i: usize| {
                        let (p, q) = (self.scaled(k, outer[i], x), self.scaled(k, inner[i], y));
                        let v = k.add(a[i], p);
                        k.add(v, q)
                    };
                    [sum(k, 0), sum(k, 1)]
                };
                let (near, far) = (around(one[0], two[0]), around(two[0], one[0]));
                let mut across =
                    |i: usize, x: Value, y: Value| (self.scaled(k, outer_difference[i], x), self.scaled(k, inner_difference[i], y));
                let (p, q, r, s) =
                    (across(1, one[1], two[1]), across(0, one[1], two[1]), across(1, two[1], one[1]), across(0, two[1], one[1]));
                let minus = k.neg(q.0);
                let near_across = [k.add(p.0, p.1), k.sub(minus, q.1)];
                let far_across = [k.sub(r.1, r.0), k.sub(s.0, s.1)];
                vec![first, sub(k, near, near_across), add(k, far, far_across), sub(k, far, far_across), add(k, near, near_across)]
            }
            _ => unreachable!("a radix of 2 to 5"),
        }
    }

    /// One step: `apart` transforms of `length` numbers become a `radix`th of as many. `roots` begin at `first`.
    #[allow(clippy::too_many_arguments)]
    fn step(
        self,
        k: &mut KernelBuilder,
        lanes: usize,
        [x, y]: [Complex<Arg>; 2],
        (radix, length, apart): (usize, usize, usize),
        roots: Complex<Arg>,
        first: usize,
    ) {
        let root = move |k: &mut KernelBuilder, lanes: usize, part: usize, u: Index| {
            roots.map(|r| self.load(k, lanes, lanes, r, u.clone() + first + (part - 1) * length))
        };
        let finish = |k: &mut KernelBuilder, parts: Vec<Number>, roots: Vec<Number>| {
            let mut numbers: Vec<Number> = parts.into_iter().map(|v| self.divided(k, v, radix)).collect();
            for (v, root) in numbers[1..].iter_mut().zip(roots) {
                *v = self.multiplied(k, *v, root);
            }
            self.combined(k, &numbers)
        };
        if apart == 1 && matches!(radix, 2 | 4) && 1 < lanes && length % lanes == 0 {
            // Lanes are frequencies, whose parts lie by turns.
            k.each("u", length, lanes as i64, |k, u| {
                let all: Complex<Value> = x.map(|x| self.load(k, radix * lanes, radix * lanes, x, u * radix as i64));
                let part = |k: &mut KernelBuilder, v: Value, part: usize| {
                    let v = k.deinterleave(v, part % 2);
                    if radix == 4 { k.deinterleave(v, part / 2) } else { v }
                };
                let parts = (0..radix).map(|p| all.map(|v| part(k, v, p))).collect();
                let roots = (1..radix).map(|p| root(k, lanes, p, u.into())).collect();
                for (q, v) in finish(k, parts, roots).into_iter().enumerate() {
                    (0..2).for_each(|i| self.store(k, v[i], lanes, y[i], Index::from(u) + q * length));
                }
            });
            return;
        }
        each(k, "u", length, |k, u| {
            let roots: Vec<Number> = (1..radix).map(|p| root(k, 1, p, u.clone())).collect();
            each_block(k, apart, lanes, 1, |k, b| {
                let at = u.clone() * (radix * apart) as i64 + b.first.clone();
                let parts = (0..radix).map(|p| x.map(|x| self.load(k, b.lanes, b.count, x, at.clone() + p * apart))).collect();
                let roots = roots.iter().map(|r| r.map(|r| if b.lanes == 1 { r } else { k.splat(r, b.lanes) })).collect();
                for (q, v) in finish(k, parts, roots).into_iter().enumerate() {
                    let to = (u.clone() + q * length) * apart as i64 + b.first.clone();
                    (0..2).for_each(|i| self.store(k, v[i], b.count, y[i], to.clone()));
                }
            });
        });
    }
}

/// Transforms the first input of a node, whose rows are at most `length` samples or, backwards, `length` + 2 numbers.
pub fn transform(cx: &mut Context, node: &Node, length: usize, is_inverse: bool) {
    let x = cx.input_type(node, 0);
    let elem = match x.element {
        ElementType::F32 => Elem::F32,
        ElementType::I16 => Elem::I16,
        _ => Elem::I32,
    };
    let m = Arithmetic { elem, is_inverse };
    let (n, given) = (length / 2, *x.shape.last().expect("infer has seen the rank"));
    let rows = x.element_count() / given;
    let mut radices = factors(n).expect("infer has seen the length");
    radices.reverse();
    // Products of integers have twice the bits.
    let lanes = cx.machine.lanes(if elem == Elem::I32 { Elem::I64 } else { Elem::I32 });
    let direction = if is_inverse { "irfft" } else { "rfft" };
    let mut k = KernelBuilder::new(format!("{direction}_{elem}_{length}_{given}"));
    let [samples, y] = [k.read("x"), k.write("y")];
    let mut pair = |name: &str, is_read: bool| {
        ["re", "im"].map(|part| if is_read { k.read(&format!("{name}_{part}")) } else { k.read_write(&format!("{name}_{part}")) })
    };
    let (roots, real_roots) = (pair("roots", true), pair("real_roots", true));
    let arrays = [pair("numbers", false), pair("others", false)];
    each(&mut k, "row", rows, |k, row| {
        let first = row.clone() * given as i64;
        match is_inverse {
            false => m.take_pairs(k, lanes, (samples, first), given, n, arrays[0]),
            true => m.split(k, (samples, first), n, real_roots, arrays[0]),
        }
        let (mut from, mut done, mut at) = (0, 1, 0);
        for &radix in &radices {
            m.step(k, lanes, [arrays[from], arrays[1 - from]], (radix, done, n / (done * radix)), roots, at);
            at += (radix - 1) * done;
            (done, from) = (done * radix, 1 - from);
        }
        match is_inverse {
            false => m.put_together(k, arrays[from], n, real_roots, (y, row * (length + 2) as i64)),
            true => m.give_pairs(k, lanes, arrays[from], n, (y, row * length as i64)),
        }
    });
    let mut buffers = vec![cx.input(node, 0), cx.output(node, 0)];
    for (name, angles) in [("roots", m.angles(n, &radices)), ("real_roots", m.real_angles(n))] {
        buffers.extend(m.table(&angles).map(|part| cx.constant(name, part, 64)));
    }
    buffers.extend((0..4).map(|_| cx.scratch("numbers", (n as i64 * m.bytes()) as u64)));
    cx.call(k.finish(), &buffers, &[]);
}

impl Arithmetic {
    /// Pairs of samples, and zeros behind them.
    fn take_pairs(self, k: &mut KernelBuilder, lanes: usize, (x, first): (Arg, Index), given: usize, n: usize, to: Complex<Arg>) {
        let whole = given / 2;
        each_block(k, whole, lanes, 2, |k, b| {
            let at = (first.clone() + b.first.clone() * 2) * self.bytes();
            let v = k.load_part(self.elem.x(2 * b.lanes), x.at(at), 2 * b.count);
            for (i, to) in to.into_iter().enumerate() {
                let v = k.deinterleave(v, i);
                b.store(k, to.at(b.first.clone() * self.bytes()), v);
            }
        });
        let zero = |k: &mut KernelBuilder, lanes: usize| {
            let ty = self.elem.x(lanes);
            if self.elem == Elem::F32 { k.float(ty, 0.0) } else { k.int(ty, 0) }
        };
        if !given.is_multiple_of(2) {
            let v = k.load(self.elem.x(1), x.at((first + 2 * whole) * self.bytes()));
            let zero = zero(k, 1);
            k.store(to[0].at(whole as i64 * self.bytes()), v);
            k.store(to[1].at(whole as i64 * self.bytes()), zero);
        }
        let there = given.div_ceil(2);
        each_block(k, n - there, lanes, 4, |k, b| {
            let zero = zero(k, b.lanes);
            to.iter().for_each(|to| b.store(k, to.at((b.first.clone() + there) * self.bytes()), zero));
        });
    }

    fn give_pairs(self, k: &mut KernelBuilder, lanes: usize, x: Complex<Arg>, n: usize, (y, first): (Arg, Index)) {
        each_block(k, n, lanes, 2, |k, b| {
            let parts = x.map(|x| {
                let v = b.load(k, self.elem, x.at(b.first.clone() * self.bytes()));
                if self.elem != Elem::F32 {
                    return v;
                }
                let length = k.float(k.ty(v), (2 * n) as f32);
                k.div(v, length)
            });
            let v = k.interleave(parts[0], parts[1]);
            k.store_part(y.at((first.clone() + b.first.clone() * 2) * self.bytes()), v, 2 * b.count);
        });
    }

    /// Both ends of a spectrum of `n` complex numbers, from the outer ones to the middle: `write` gets the places, the numbers, the second one conjugated,
    /// both divided by two, and the root between them.
    fn ends(
        self,
        k: &mut KernelBuilder,
        n: usize,
        roots: Complex<Arg>,
        load: impl Fn(&mut KernelBuilder, Index) -> Number,
        write: impl Fn(&mut KernelBuilder, [Index; 2], Number, Number),
    ) {
        each(k, "i", n / 2, |k, i| {
            let (front, back) = (i.clone() + 1, i.clone() * -1 + (n - 1));
            let (a, b) = (load(k, front.clone()), load(k, back.clone()));
            let minus = k.neg(b[1]);
            let b = [b[0], self.wrapped(k, minus)];
            let (a, b) = (self.divided(k, a, 2), self.divided(k, b, 2));
            let (sum, difference) = (add(k, a, b), sub(k, a, b));
            let root = roots.map(|r| self.load(k, 1, 1, r, i.clone()));
            let turned = self.multiplied(k, difference, root);
            write(k, [front, back], sum, turned);
        });
    }

    /// The spectrum of real numbers from that of their pairs.
    fn put_together(self, k: &mut KernelBuilder, x: Complex<Arg>, n: usize, roots: Complex<Arg>, (y, first): (Arg, Index)) {
        let store = |k: &mut KernelBuilder, at: Index, v: Number| {
            (0..2).for_each(|i| self.store(k, v[i], 1, y, first.clone() + at.clone() * 2 + i));
        };
        let load = |k: &mut KernelBuilder, at: Index| x.map(|x| self.load(k, 1, 1, x, at.clone()));
        let middle = load(k, 0.into());
        let middle = self.divided(k, middle, 2);
        let (sum, difference) = (k.add(middle[0], middle[1]), k.sub(middle[0], middle[1]));
        let ty = self.held().x(1);
        let zero = if self.elem == Elem::F32 { k.float(ty, 0.0) } else { k.int(ty, 0) };
        store(k, 0.into(), [sum, zero]);
        store(k, n.into(), [difference, zero]);
        self.ends(k, n, roots, load, |k, [front, back], sum, turned| {
            let near = add(k, sum, turned);
            let far = [k.sub(sum[0], turned[0]), k.sub(turned[1], sum[1])];
            let (near, far) = (near.map(|v| self.half(k, v)), far.map(|v| self.half(k, v)));
            store(k, front, near);
            store(k, back, far);
        });
    }

    /// The other way round: what pairs of samples are the inverse transform of.
    fn split(self, k: &mut KernelBuilder, (x, first): (Arg, Index), n: usize, roots: Complex<Arg>, to: Complex<Arg>) {
        let load = |k: &mut KernelBuilder, at: Index| [0, 1].map(|i| self.load(k, 1, 1, x, first.clone() + at.clone() * 2 + i));
        let store = |k: &mut KernelBuilder, at: Index, v: Number| (0..2).for_each(|i| self.store(k, v[i], 1, to[i], at.clone()));
        let (begin, end) = (load(k, 0.into()), load(k, n.into()));
        let both = [k.add(begin[0], end[0]), k.sub(begin[0], end[0])].map(|v| self.wrapped(k, v));
        let both = self.divided(k, both, 2);
        store(k, 0.into(), both);
        self.ends(k, n, roots, load, |k, [front, back], sum, turned| {
            let near = add(k, sum, turned);
            let far = sub(k, sum, turned);
            let far = [far[0], k.neg(far[1])];
            store(k, front, near);
            store(k, back, far);
        });
    }
}
