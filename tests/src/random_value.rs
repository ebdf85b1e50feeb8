//! Random expressions: every operation of the tile IR on every type that has it.
//!
//! Not statements (`random_kernel.rs`). The idea: the result's type is given and the operands' types follow from it.

use crate::random_kernel::Maker;
use cranelite_tile::*;

/// Choices from a list; zero once it is at its end.
pub struct Numbers<'c> {
    choices: std::slice::Iter<'c, u32>,
}

impl<'c> Numbers<'c> {
    pub fn new(choices: &'c [u32]) -> Self {
        Numbers { choices: choices.iter() }
    }
    pub fn below(&mut self, n: usize) -> usize {
        self.choices.next().map_or(0, |&c| c as usize % n)
    }
    pub fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
    pub fn seed(&mut self) -> u64 {
        self.below(1 << 30) as u64
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let x = *seed ^ (*seed >> 33);
    x.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ (x >> 29)
}

/// The bits of a number, often a special one.
pub fn pick(seed: &mut u64, elem: Elem) -> u64 {
    const SPECIAL: [f64; 18] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -2.5,
        1.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1e-40,
        -1e300,
        127.5,
        -128.5,
        2_147_483_648.0,
        -2_147_483_649.0,
        8_388_607.5,
        9.3e18,
    ];
    let (kind, number) = (random(seed) % 4, random(seed));
    if elem.is_float() {
        let v = match kind {
            0 => SPECIAL[number as usize % SPECIAL.len()],
            1 => f64::from(number as i16) / 64.0,
            2 => f64::from(number as i32) * 1.5,
            _ => return if elem == Elem::F64 { number } else { number >> 32 },
        };
        return if elem == Elem::F64 { v.to_bits() } else { u64::from((v as f32).to_bits()) };
    }
    let (low, high) = elem.int_range();
    match kind {
        0 => [low, high, 0, 1, -1, low + 1, high - 1, high / 2][number as usize % 8] as u64,
        1 => number % 41,
        _ => number,
    }
}

const FLOATS: [Elem; 2] = [Elem::F32, Elem::F64];
const INTS: [Elem; 7] = [Elem::I8, Elem::U8, Elem::I16, Elem::U16, Elem::I32, Elem::U32, Elem::I64];
const BITWISE: [Binary; 3] = [Binary::And, Binary::Or, Binary::Xor];
const CONDITIONS: [Cond; 6] = [Cond::Eq, Cond::Ne, Cond::Lt, Cond::Le, Cond::Gt, Cond::Ge];

/// Some operation with a result of that type.
pub(crate) fn operation(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    if let Elem::Mask(bits) = ty.elem {
        return mask(m, k, ty, bits, fuel);
    }
    let lanes = ty.lanes as usize;
    let found = match m.n.below(16) {
        0 | 1 => None,
        2 => Some(unary(m, k, ty, fuel)),
        3 => {
            let mask = m.value(k, ty.with_elem(Elem::Mask(ty.elem.bits() as u8)), fuel);
            let (a, b) = (m.value(k, ty, fuel), m.value(k, ty, fuel));
            Some(k.select(mask, a, b))
        }
        4 | 5 => Some(other_element(m, k, ty, fuel)),
        6 => bitcast(m, k, ty, fuel),
        7 | 8 => Some(moved(m, k, ty, fuel)),
        9 if lanes == 1 => {
            let of = m.n.one_of(&[1, 2, 4, 8, 16, 32, 64]);
            let (op, v) = (m.n.one_of(&[Reduce::Add, Reduce::Min, Reduce::Max]), m.value(k, ty.with_lanes(of), fuel));
            Some(k.reduce(op, v))
        }
        9 if m.n.below(2) == 0 => {
            let (times, start) = (m.n.one_of(&[1, 2, 3, 5]), m.n.one_of(&[0, 1, 4]));
            let v = m.value(k, ty.with_lanes(((start + lanes - 1) / times + 1) as u32), fuel);
            Some(k.repeat_lanes(v, times, start, lanes))
        }
        9 if !m.is_common && matches!(ty.bytes(), 16 | 32 | 64) && matches!(ty.elem.bits(), 8 | 32) && m.n.below(2) == 0 => {
            let segments: Vec<usize> =
                [16, 32, 64].into_iter().filter(|b| *b <= ty.bytes()).map(|b| (b / ty.elem.bytes()) as usize).collect();
            let segment = m.n.one_of(&segments);
            let indices = ty.with_elem(if ty.elem.bits() == 8 { Elem::U8 } else { Elem::I32 });
            let (a, index) = (m.value(k, ty, fuel), m.value(k, indices, fuel));
            let most = k.int(indices, segment as i64 - 1);
            let index = k.and(index, most);
            Some(k.permute(a, index, segment))
        }
        9 if lanes <= 16 => {
            let of = m.n.one_of(&[1, 2, 4, 8, 16]);
            let op = m.n.one_of(&[Reduce::Add, Reduce::Min, Reduce::Max]);
            let some: Vec<Value> = (0..lanes.min(3)).map(|_| m.value(k, ty.with_lanes(of), fuel)).collect();
            let all: Vec<Value> = (0..lanes).map(|i| some[i % some.len()]).collect();
            Some(k.reduce_each(op, &all))
        }
        10 if !m.is_common => {
            let index = m.value(k, ty.with_elem(Elem::U8), fuel);
            let place = m.table(ty.elem);
            Some(k.lookup(ty.elem, place, index))
        }
        11 if ty.elem.is_int() => Some(shift(m, k, ty, fuel)),
        _ if ty.elem.is_float() => Some(fused(m, k, ty, fuel)),
        _ if ty.elem == Elem::I64 => {
            let (a, b) = (m.value(k, ty.with_elem(Elem::I32), fuel), m.value(k, ty.with_elem(Elem::I32), fuel));
            Some(k.mul_wide(a, b))
        }
        12 | 13 if ty.elem == Elem::I32 => dot(m, k, ty, fuel),
        _ if ty.elem == Elem::I32 => Some(requantize(m, k, ty, fuel)),
        _ => None,
    };
    found.unwrap_or_else(|| binary(m, k, ty, fuel))
}

fn mask(m: &mut Maker, k: &mut KernelBuilder, ty: Type, bits: u8, fuel: usize) -> Value {
    match m.n.below(3) {
        0 => {
            let all: Vec<Elem> = INTS.into_iter().chain(FLOATS).filter(|e| e.bits() == u32::from(bits)).collect();
            let of = ty.with_elem(m.n.one_of(&all));
            let (cond, a, b) = (m.n.one_of(&CONDITIONS), m.value(k, of, fuel), m.value(k, of, fuel));
            k.compare(cond, a, b)
        }
        1 => {
            let (op, a, b) = (m.n.one_of(&BITWISE), m.value(k, ty, fuel), m.value(k, ty, fuel));
            k.binary(op, a, b)
        }
        _ => {
            let a = m.value(k, ty, fuel);
            k.unary(Unary::Not, a)
        }
    }
}

fn binary(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    use Binary::*;
    let mut all = vec![Add, Sub, Mul, Min, Max];
    if ty.elem.is_float() || !m.is_common {
        all.push(Div);
    }
    if ty.elem.is_int() {
        all.extend([And, Or, Xor, Shl, Shr]);
        if !m.is_common {
            all.push(Rem);
        }
        if ty.elem.bits() <= 16 {
            all.extend([AddSat, SubSat]);
        }
        if ty.elem == Elem::I32 {
            all.extend([MulHighRound, MulHigh]);
        }
    }
    let (op, a, b) = (m.n.one_of(&all), m.value(k, ty, fuel), m.value(k, ty, fuel));
    k.binary(op, a, b)
}

fn unary(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    use Unary::*;
    let all: &[Unary] = if ty.elem.is_int() { &[Neg, Abs, Not, LeadingZeros] } else { &[Neg, Abs, Sqrt, Floor, Ceil, RoundEven, Trunc] };
    let (op, a) = (m.n.one_of(all), m.value(k, ty, fuel));
    k.unary(op, a)
}

fn shift(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    let (n, a) = (m.n.below(ty.elem.bits() as usize) as u8, m.value(k, ty, fuel));
    match m.n.below(3) {
        0 => k.shl_imm(a, n),
        1 if ty.elem.is_signed() => k.rounding_shr(a, n),
        _ => k.shr_imm(a, n),
    }
}

/// From another type of as many lanes.
fn other_element(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    let to = ty.elem;
    let from = m.n.one_of(&INTS);
    if to == Elem::F32 && m.n.below(4) == 3 {
        let v = m.value(k, ty.with_elem(Elem::U16), fuel);
        return k.from_half(v);
    }
    if to.is_float() || m.n.below(4) == 3 {
        let all: Vec<Elem> = FLOATS.into_iter().chain(to.is_float().then_some(from)).filter(|&e| e != to).collect();
        let of = ty.with_elem(m.n.one_of(&all));
        let (rounding, v) = (m.n.one_of(&[Rounding::NearestEven, Rounding::TowardZero]), m.value(k, of, fuel));
        return k.convert(v, to, rounding);
    }
    if to == Elem::U16 && m.n.below(4) == 3 {
        let v = m.value(k, ty.with_elem(Elem::F32), fuel);
        let v = without_nan(k, v);
        return k.to_half(v);
    }
    let v = m.value(k, ty.with_elem(from), fuel);
    match m.n.below(2) {
        _ if from.bits() < to.bits() => k.widen(v, to),
        0 if to.bits() < from.bits() => k.narrow(v, to),
        _ => k.narrow_sat(v, to),
    }
}

/// NaNs become zero, as their bits are not defined.
fn without_nan(k: &mut KernelBuilder, v: Value) -> Value {
    let (number, zero) = (k.compare(Cond::Eq, v, v), k.op(k.ty(v), Op::Const(Scalar::Float(0))));
    k.select(number, v, zero)
}

fn bitcast(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Option<Value> {
    let all: Vec<Elem> = INTS
        .into_iter()
        .chain(FLOATS)
        .filter(|e| ty.bytes().is_multiple_of(e.bytes()) && ty.bytes() / e.bytes() <= m.lanes_limit() as u32)
        .collect();
    if all.is_empty() {
        return None;
    }
    let elem = m.n.one_of(&all);
    let of = elem.x((ty.bytes() / elem.bytes()) as usize);
    let mut v = m.value(k, of, fuel);
    if elem.is_float() {
        v = without_nan(k, v);
    }
    Some(k.bitcast(v, ty))
}

/// Lanes of other vectors of the element.
fn moved(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    let (lanes, limit) = (ty.lanes as usize, m.lanes_limit());
    let of = |lanes: usize| ty.with_lanes(lanes as u32);
    match m.n.below(6) {
        0 if lanes == 1 => {
            let from = 1 + m.n.below(limit);
            let (lane, v) = (m.n.below(from), m.value(k, of(from), fuel));
            k.lane(v, lane)
        }
        1 if 1 < lanes => {
            let low = 1 + m.n.below(lanes - 1);
            let (a, b) = (m.value(k, of(low), fuel), m.value(k, of(lanes - low), fuel));
            k.concat(a, b)
        }
        2 => {
            let from = lanes + m.n.below(limit - lanes + 1);
            let (start, v) = (m.n.below(from - lanes + 1), m.value(k, of(from), fuel));
            k.slice(v, start, lanes)
        }
        3 if lanes.is_multiple_of(2) => {
            let (a, b) = (m.value(k, of(lanes / 2), fuel), m.value(k, of(lanes / 2), fuel));
            k.interleave(a, b)
        }
        4 if lanes * 2 <= limit => {
            let (parity, v) = (m.n.below(2), m.value(k, of(lanes * 2), fuel));
            k.deinterleave(v, parity)
        }
        _ => {
            let scalar = m.value(k, of(1), fuel);
            k.splat(scalar, lanes)
        }
    }
}

fn fused(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    let (a, b) = (m.value(k, ty, fuel), m.value(k, ty, fuel));
    if m.n.below(2) == 0 {
        let c = m.value(k, ty, fuel);
        return k.fma(a, b, c);
    }
    let lanes = m.n.one_of(&[4, 1, 2, 8, 16]);
    let (lane, of) = (m.n.below(lanes), m.value(k, ty.with_lanes(lanes as u32), fuel));
    k.fma_lane(a, of, lane, b)
}

fn dot(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Option<Value> {
    let (group, a, b) =
        m.n.one_of(&[(4, Elem::I8, Elem::I8), (4, Elem::U8, Elem::I8), (2, Elem::I16, Elem::I16), (1, Elem::I16, Elem::I16)]);
    let lanes = ty.lanes as usize * group;
    if group == 4 && ty.lanes.is_multiple_of(4) && lanes <= m.lanes_limit() && m.n.below(3) == 0 {
        let acc = m.value(k, ty, fuel);
        let (a, b) = (m.value(k, a.x(lanes), fuel), m.value(k, b.x(lanes), fuel));
        return Some(k.dot_matrix(acc, a, b));
    }
    if m.lanes_limit() < lanes {
        return None;
    }
    let (acc, b) = (m.value(k, ty, fuel), m.value(k, b.x(lanes), fuel));
    if m.n.below(2) == 0 {
        let a = m.value(k, a.x(lanes), fuel);
        return Some(k.dot(group, acc, a, b));
    }
    let groups = 1 + m.n.below(8);
    let (lane, a) = (m.n.below(groups), m.value(k, a.x(groups * group), fuel));
    Some(k.dot_lane(group, acc, a, lane, b))
}

fn requantize(m: &mut Maker, k: &mut KernelBuilder, ty: Type, fuel: usize) -> Value {
    let (x, multiplier) = (m.value(k, ty, fuel), m.value(k, ty, fuel));
    let most_negative = k.int(ty, i64::from(-i32::MAX));
    let multiplier = k.max(multiplier, most_negative);
    let (range, low, high) = match m.n.below(3) {
        0 => {
            let shift = m.n.below(62) as i64 - 31;
            (ShiftRange::Uniform(shift as i8), shift, shift)
        }
        1 => (ShiftRange::Right, -31, -1),
        _ => (ShiftRange::Any, -31, 30),
    };
    let shift = m.value(k, ty, fuel);
    let shift = if low == high { k.int(ty, low) } else { k.clamp_int(shift, low, high) };
    k.requantize(x, multiplier, shift, range)
}
