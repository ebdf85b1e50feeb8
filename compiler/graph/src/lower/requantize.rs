//! The last steps of an operator on its way from accumulators to stored elements: rescale, add the zero point, clamp, narrow.
//!
//! Not the arithmetic itself (`quantize.rs` computes the numbers, tile operations reproduce it) and not a schedule: short fragments
//! that a kernel calls with values in hand. The idea: the numbers per channel live in constants, so that equal kernels can be
//! shared; only what changes the code (the kind of shift, the range, the zero point) is fixed in it.

use super::math::copy_sign;
use crate::diagnostic::{Code, Diagnostic};
use crate::ops::attributes::Activation;
use crate::quantize::steps::{self, Form, Reference, Steps};
use crate::quantize::{activation_range_float, activation_range_integer, calculate_activation_range_quantized, wide_requantization};
use crate::quantize::{doubles, products};
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{Binary, Cond, Elem, KernelBuilder, Machine, Place, Rounding, ShiftRange, Unary, Value};

/// The tile type that holds an element type.
pub fn elem(element: ElementType) -> Option<Elem> {
    Some(match element {
        ElementType::I8 => Elem::I8,
        ElementType::U8 | ElementType::Bool => Elem::U8,
        ElementType::I16 => Elem::I16,
        ElementType::U16 => Elem::U16,
        ElementType::I32 => Elem::I32,
        ElementType::U32 => Elem::U32,
        ElementType::I64 => Elem::I64,
        ElementType::F32 => Elem::F32,
        ElementType::F64 => Elem::F64,
        _ => return None,
    })
}

/// The kind of shift that serves all of `shifts`. A scale of 2^30 or more is refused: its shift exists in no machine.
pub fn shift_range(shifts: &[i32]) -> Result<ShiftRange, Diagnostic> {
    let (low, high) = (shifts.iter().min().copied().unwrap_or(0), shifts.iter().max().copied().unwrap_or(0));
    if low < -31 || 30 < high {
        return Err(Diagnostic::new(Code::SCALE, "the quotient of input and output scales is out of range")
            .expected("below 2^30")
            .found(format!("about 2^{high}")));
    }
    Ok(match (low, high) {
        _ if low == high => ShiftRange::Uniform(low as i8),
        _ if high < 0 => ShiftRange::Right,
        _ => ShiftRange::Any,
    })
}

/// Multiplier and shift of i32 accumulators: vectors in a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub multiplier: Value,
    pub shift: Value,
    pub range: ShiftRange,
}

impl Scale {
    /// The same in every lane, part of the code.
    pub fn constant(k: &mut KernelBuilder, lanes: usize, multiplier: i32, shift: i32) -> Scale {
        let ty = Elem::I32.x(lanes);
        let range = if k.is_pooling() { ShiftRange::Any } else { ShiftRange::Uniform(shift as i8) };
        Scale { multiplier: k.int(ty, multiplier.into()), shift: k.int(ty, shift.into()), range }
    }

    /// One per lane from memory. A uniform shift is not read.
    pub fn load(k: &mut KernelBuilder, lanes: usize, multiplier: Place, shift: Place, range: ShiftRange) -> Scale {
        let ty = Elem::I32.x(lanes);
        let multiplier = k.load(ty, multiplier);
        let shift = match range {
            ShiftRange::Uniform(n) => k.int(ty, n.into()),
            _ => k.load(ty, shift),
        };
        Scale { multiplier, shift, range }
    }

    /// One for all lanes from memory. A uniform shift is not read.
    pub fn load_splat(k: &mut KernelBuilder, lanes: usize, multiplier: Place, shift: Place, range: ShiftRange) -> Scale {
        let ty = Elem::I32.x(lanes);
        let multiplier = k.load_splat(ty, 1, multiplier);
        let shift = match range {
            ShiftRange::Uniform(n) => k.int(ty, n.into()),
            _ => k.load_splat(ty, 1, shift),
        };
        Scale { multiplier, shift, range }
    }

    pub fn apply(self, k: &mut KernelBuilder, x: Value) -> Value {
        k.requantize(x, self.multiplier, self.shift, self.range)
    }
}

/// The operations that rescale i32 sums (i64 where the factor is real) and bring them to the result's type: the same for all channels
/// of a kernel, whose numbers come from memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescaling {
    sequence: Sequence,
    /// With the zero point that the sequence leaves to be added.
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sequence {
    /// Multipliers and shifts.
    Fixed(ShiftRange),
    /// Factors in f64; with a clamp where products may be beyond what an i32 holds.
    Real { clamp: bool },
    /// A few operations in f32, proved equal.
    Float(Form, Cut),
    /// Some more in f64.
    Double(doubles::Form),
    /// In f64 where the reference rounds once; the multiply-add may round once, too.
    Once { fma: bool },
    /// One product of integers, proved equal, with the zero point in it.
    Product(products::Form),
}

/// How a float that may be anything is cut off to an integer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// The machine's conversion saturates.
    Saturating,
    /// No sum leads beyond 32 bits, so it does not matter what the machine does with such floats.
    Bounded,
    /// By a minimum.
    Limited,
}

/// Names of forms that other files write.
pub const INTEGER: &str = "integer";
pub const INTEGER_64: &str = "integer_64";

/// The numbers of a [`Rescaling`]: arrays with one element per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    arrays: Vec<Vec<Vec<u8>>>,
    /// For lanes without a channel.
    absent: Vec<Vec<u8>>,
}

impl Numbers {
    fn new<T: Copy, const N: usize>(channels: impl Iterator<Item = [T; N]>, absent: [T; N], bytes: impl Fn(T) -> Vec<u8>) -> Numbers {
        let all: Vec<[T; N]> = channels.collect();
        let arrays = (0..N).map(|i| all.iter().map(|c| bytes(c[i])).collect()).collect();
        Numbers { arrays, absent: absent.map(bytes).into() }
    }

    /// Array after array, of these channels.
    pub fn table(&self, channels: &[Option<usize>]) -> Vec<u8> {
        let element = |i: usize, c: &Option<usize>| c.map_or(&self.absent[i], |c| &self.arrays[i][c]).clone();
        (0..self.arrays.len()).flat_map(|i| channels.iter().flat_map(move |c| element(i, c))).collect()
    }
}

impl Rescaling {
    /// For sums between the bounds of `reach`, channel by channel.
    pub fn new(
        machine: &Machine,
        references: &[Reference],
        reach: &[(i64, i64)],
        target: Target,
    ) -> Result<(Rescaling, Numbers), Diagnostic> {
        let real = references.iter().any(|r| matches!(r, Reference::Real(_)));
        if machine.has_vectors() && (real || !machine.high_multiply) {
            let Target { zero_point, low, high, .. } = target;
            let steps: Vec<Steps> = references
                .iter()
                .zip(reach)
                .map(|(&reference, &(least, most))| Steps { reference, zero_point, low, high, least, most })
                .collect();
            if let Some((form, all)) = steps::prove(&steps, machine.fma) {
                let zero_point = steps.first().map_or(zero_point, |s| s.zero_point(form));
                let cut = match machine.saturating_convert {
                    true => Cut::Saturating,
                    false if steps.iter().zip(&all).all(|(s, c)| c.is_bounded(s)) => Cut::Bounded,
                    false => Cut::Limited,
                };
                let bytes = |v: f32| v.to_le_bytes().to_vec();
                let numbers = match form.fine {
                    false => Numbers::new(all.iter().map(|c| [c.scale, c.offset]), [0.0; 2], bytes),
                    true => Numbers::new(all.iter().map(|c| [c.scale, c.offset, c.low]), [0.0; 3], bytes),
                };
                return Ok((Rescaling { sequence: Sequence::Float(form, cut), target: Target { zero_point, ..target } }, numbers));
            }
            if let Some((form, all)) = doubles::prove(&steps, machine.fma) {
                let numbers = Numbers::new(all.iter().map(|c| [c.scale, c.offset]), [0.0; 2], |v: f64| v.to_le_bytes().to_vec());
                return Ok((Rescaling { sequence: Sequence::Double(form), target }, numbers));
            }
        }
        if machine.mul_high_add {
            let Target { zero_point, low, high, .. } = target;
            let steps =
                references.iter().zip(reach).map(|(&reference, &(least, most))| Steps { reference, zero_point, low, high, least, most });
            if let Some((form, all)) = products::prove(&steps.collect::<Vec<_>>()) {
                let bytes = |v: i32| v.to_le_bytes().to_vec();
                let numbers = match form.signed {
                    false => Numbers::new(all.iter().map(|c| [c.multiplier, c.addend]), [0; 2], bytes),
                    true => Numbers::new(all.iter().map(|c| [c.multiplier, c.addend, c.negative]), [0; 3], bytes),
                };
                return Ok((Rescaling { sequence: Sequence::Product(form), target: Target { zero_point: 0, ..target } }, numbers));
            }
        }
        if real {
            let factors = references.iter().map(|r| [r.scale()]);
            // Saturation is what the conversion does anyway, but not without an exception.
            let products =
                references.iter().zip(reach).map(|(r, &(least, most))| r.scale() * least.unsigned_abs().max(most.unsigned_abs()) as f64);
            let clamp = products.fold(0.0, f64::max) >= f64::from(i32::MAX);
            return Ok((
                Rescaling { sequence: Sequence::Real { clamp }, target },
                Numbers::new(factors, [0.0], |v: f64| v.to_le_bytes().to_vec()),
            ));
        }
        let pairs: Vec<[i32; 2]> =
            references.iter().filter_map(|r| if let Reference::Fixed(m, s) = *r { Some([m, s]) } else { None }).collect();
        let range = shift_range(&pairs.iter().map(|p| p[1]).collect::<Vec<_>>())?;
        // Lanes without a channel must obey the kind of shift, too.
        let absent = [0, pairs.first().map_or(0, |p| p[1])];
        Ok((
            Rescaling { sequence: Sequence::Fixed(range), target },
            Numbers::new(pairs.into_iter(), absent, |v: i32| v.to_le_bytes().to_vec()),
        ))
    }

    /// Of the (multiplier, shift) with which the reference rescales i64 sums, where sums and results fit 32 bits.
    pub fn once(machine: &Machine, scales: &[(i32, i32)], reach: &[(i64, i64)], target: Target) -> Option<(Rescaling, Numbers)> {
        let channels: Option<Vec<[f64; 2]>> = scales.iter().zip(reach).map(|(&(m, s), &reach)| doubles::once(m, s, reach)).collect();
        let numbers = Numbers::new(channels.filter(|_| machine.has_vectors())?.into_iter(), [0.0; 2], |v: f64| v.to_le_bytes().to_vec());
        Some((Rescaling { sequence: Sequence::Once { fma: machine.fma }, target }, numbers))
    }

    pub fn elem(&self) -> Elem {
        self.target.elem
    }

    /// The same for kernels that serve several operators: integers whatever their shifts.
    pub fn of_any_shift(self) -> Rescaling {
        match self.sequence {
            Sequence::Fixed(_) => Rescaling { sequence: Sequence::Fixed(ShiftRange::Any), ..self },
            _ => self,
        }
    }

    /// The sequence's name in reports.
    pub fn form(&self) -> &'static str {
        match self.sequence {
            Sequence::Fixed(_) => INTEGER,
            Sequence::Real { .. } => "real",
            Sequence::Float(Form { signed, fine, .. }, _) => match (signed, fine) {
                (false, false) => "float",
                (false, true) => "float_fine",
                (true, false) => "float_signed",
                (true, true) => "float_signed_fine",
            },
            Sequence::Double(form) => {
                if form.signed {
                    "double_signed"
                } else {
                    "double"
                }
            }
            Sequence::Once { .. } => "double_once",
            Sequence::Product(form) => {
                if form.signed {
                    "product_signed"
                } else {
                    "product"
                }
            }
        }
    }

    /// Bytes per channel of all arrays.
    pub fn channel_bytes(&self) -> usize {
        match self.sequence {
            Sequence::Fixed(_) | Sequence::Real { .. } => 8,
            Sequence::Product(form) => {
                if form.signed {
                    12
                } else {
                    8
                }
            }
            Sequence::Double(_) | Sequence::Once { .. } => 16,
            Sequence::Float(form, _) => {
                if form.fine {
                    12
                } else {
                    8
                }
            }
        }
    }

    /// Rescales sums; `at(i, size)` is the place of their channels in array `i`, whose elements have `size` bytes.
    pub fn apply(&self, k: &mut KernelBuilder, x: Value, at: impl Fn(usize, usize) -> Place) -> Value {
        let lanes = k.ty(x).lanes as usize;
        match self.sequence {
            Sequence::Fixed(range) => Scale::load(k, lanes, at(0, 4), at(1, 4), range).apply(k, x),
            Sequence::Product(form) => {
                let [multiplier, addend] = [0, 1].map(|i| k.load(Elem::I32.x(lanes), at(i, 4)));
                let raised = k.shl_imm(x, form.left);
                let high = k.mul_high(raised, multiplier);
                let mut sum = k.add(high, addend);
                if form.signed {
                    let (negative, sign) = (k.load(Elem::I32.x(lanes), at(2, 4)), k.shr_imm(x, 31));
                    let negative = k.and(negative, sign);
                    sum = k.add(sum, negative);
                }
                k.shr_imm(sum, form.right)
            }
            Sequence::Real { clamp } => {
                let ty = Elem::F64.x(lanes);
                let factor = k.load(ty, at(0, 8));
                let x = k.to_float(x, Elem::F64);
                let mut scaled = k.mul(x, factor);
                if clamp {
                    let (low, high) = (k.double(ty, i32::MIN.into()), k.double(ty, i32::MAX.into()));
                    scaled = k.max(scaled, low);
                    scaled = k.min(scaled, high);
                }
                round_half_away(k, scaled)
            }
            Sequence::Double(form) => {
                let ty = Elem::F64.x(lanes);
                let f = k.to_float(x, Elem::F64);
                let [scale, mut t] = [0, 1].map(|i| k.load(ty, at(i, 8)));
                if form.signed {
                    t = copy_sign(k, t, f);
                }
                let mut t = if form.fma {
                    k.fma(f, scale, t)
                } else {
                    let product = k.mul(f, scale);
                    k.add(product, t)
                };
                if form.signed {
                    let rounder = k.double(ty, doubles::AFTER_SIGNED);
                    t = k.add(t, rounder);
                }
                let halves = k.bitcast(t, Elem::I32.x(2 * lanes));
                let high = k.deinterleave(halves, 1);
                let zero = k.int(Elem::I32.x(lanes), doubles::ROUNDER_HIGH.into());
                k.sub(high, zero)
            }
            Sequence::Once { fma } => {
                let ty = Elem::F64.x(lanes);
                let f = k.to_float(x, Elem::F64);
                let [scale, offset] = [0, 1].map(|i| k.load(ty, at(i, 8)));
                let t = if fma {
                    k.fma(f, scale, offset)
                } else {
                    let product = k.mul(f, scale);
                    k.add(product, offset)
                };
                let integers = k.double(ty, doubles::INTEGERS);
                let t = k.add(t, integers);
                let halves = k.bitcast(t, Elem::I32.x(2 * lanes));
                k.deinterleave(halves, 0)
            }
            Sequence::Float(form, cut) => {
                let ty = Elem::F32.x(lanes);
                let multiply_add = |k: &mut KernelBuilder, a, b, c| {
                    if form.fma {
                        k.fma(a, b, c)
                    } else {
                        let product = k.mul(a, b);
                        k.add(product, c)
                    }
                };
                let f = k.to_float(x, Elem::F32);
                let [scale, mut t] = [0, 1].map(|i| k.load(ty, at(i, 4)));
                if form.signed {
                    t = copy_sign(k, t, f);
                }
                if form.fine {
                    let low = k.load(ty, at(2, 4));
                    t = multiply_add(k, f, low, t);
                }
                let t = multiply_add(k, f, scale, t);
                let t = match cut {
                    Cut::Saturating => t,
                    Cut::Bounded => least_beyond(k, t),
                    Cut::Limited => {
                        let limit = k.float(ty, steps::LIMIT);
                        k.min(t, limit)
                    }
                };
                k.convert(t, Elem::I32, Rounding::TowardZero)
            }
        }
    }

    /// What rescaled sums become.
    pub fn target(&self) -> Target {
        self.target
    }
}

/// Multiplier, rounding addend and shift of i64 accumulators (int16 activations with an int64 bias): i64 vectors in a kernel.
#[derive(Clone, Copy, Debug)]
pub struct WideScale {
    multiplier: Value,
    rounding: Value,
    shift: Value,
}

impl WideScale {
    /// What memory holds per channel: [`WideScale::load`] reads the three arrays.
    pub fn tables(multipliers: &[i32], shifts: &[i32]) -> [Vec<i64>; 3] {
        let all: Vec<[i64; 3]> = multipliers.iter().zip(shifts).map(|(&m, &s)| wide_requantization(m, s)).collect();
        [0, 1, 2].map(|i| all.iter().map(|t| t[i]).collect())
    }

    pub fn load(k: &mut KernelBuilder, lanes: usize, tables: [Place; 3]) -> WideScale {
        let [multiplier, rounding, shift] = tables.map(|place| k.load(Elem::I64.x(lanes), place));
        WideScale { multiplier, rounding, shift }
    }

    /// i64 lanes to i32 lanes.
    pub fn apply(self, k: &mut KernelBuilder, x: Value) -> Value {
        let product = k.mul(x, self.multiplier);
        let sum = k.add(product, self.rounding);
        let shifted = k.binary(Binary::Shr, sum, self.shift);
        k.narrow(shifted, Elem::I32)
    }
}

/// Bytes of a target in memory: zero point as i32, bounds as i16. What follows is aligned.
pub const LIMITS_BYTES: usize = 16;

/// What a rescaled accumulator becomes: `clamp(x + zero_point, low, high)` as `elem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub elem: Elem,
    pub zero_point: i32,
    pub low: i32,
    pub high: i32,
}

impl Target {
    /// Of a quantised result with a fused activation.
    pub fn new(ty: &TensorType, activation: Activation) -> Result<Target, Diagnostic> {
        let quantization = ty.quantization.as_ref().filter(|q| q.is_per_tensor());
        let (Some(elem), Some(q)) = (elem(ty.element), quantization) else {
            return Err(Diagnostic::new(Code::SCALE, "the result has no quantisation").expected("one scale and zero point").found("none"));
        };
        let zero_point = q.zero_points[0] as i32;
        match calculate_activation_range_quantized(activation, ty.element, q.scales[0], zero_point) {
            Some((low, high)) => Ok(Target { elem, zero_point, low, high }),
            None => Err(Diagnostic::new(Code::SCALE, "the fused activation does not fit the result's quantisation")
                .expected("a bound within 32 bits")
                .found(format!("{activation:?} with scale {}", q.scales[0]))),
        }
    }

    /// From rescaled i32 lanes to the element. The zero point is added in 16 bits where that is the same, at half the cost.
    pub fn apply(self, k: &mut KernelBuilder, x: Value) -> Value {
        let ty = k.ty(x);
        if ty.lanes == 1 {
            let x = if self.zero_point == 0 { x } else { self.shifted(k, x, Elem::I32, Binary::Add) };
            if (i64::from(self.low), i64::from(self.high)) == self.elem.int_range() {
                return k.narrow_sat(x, self.elem);
            }
            let x = k.clamp_int(x, self.low.into(), self.high.into());
            return k.narrow(x, self.elem);
        }
        let least = i32::from(i8::MIN);
        let x = if self.elem == Elem::I8 && self.zero_point == least && !k.is_pooling() {
            // The same is an unsigned byte with its sign bit inverted, which is cheaper to do with bytes than adding with 16 bits.
            let half = k.narrow_sat(x, Elem::I16);
            let unsigned = k.narrow_sat(half, Elem::U8);
            let sign = k.int(ty.with_elem(Elem::U8), 128);
            let moved = k.xor(unsigned, sign);
            k.bitcast(moved, ty.with_elem(Elem::I8))
        } else if self.elem.bits() == 8 {
            let half = k.narrow_sat(x, Elem::I16);
            let moved = if self.zero_point == 0 && !k.is_pooling() { half } else { self.shifted(k, half, Elem::I16, Binary::AddSat) };
            k.narrow_sat(moved, self.elem)
        } else {
            let moved = if self.zero_point == 0 && !k.is_pooling() { x } else { self.shifted(k, x, Elem::I32, Binary::Add) };
            k.narrow_sat(moved, self.elem)
        };
        self.clamp(k, x)
    }

    /// As `apply`, but the elements stay in i32 lanes.
    pub fn apply_wide(self, k: &mut KernelBuilder, x: Value) -> Value {
        // In this order nothing overflows.
        let x = k.clamp_int(x, (self.low - self.zero_point).into(), (self.high - self.zero_point).into());
        if self.zero_point == 0 && !k.is_pooling() { x } else { self.shifted(k, x, Elem::I32, Binary::Add) }
    }

    /// The numbers in memory, for [`Target::apply_from`].
    pub fn limits(self) -> [u8; LIMITS_BYTES] {
        let mut bytes = [0; LIMITS_BYTES];
        bytes[..4].copy_from_slice(&self.zero_point.to_le_bytes());
        bytes[4..6].copy_from_slice(&(self.low as i16).to_le_bytes());
        bytes[6..8].copy_from_slice(&(self.high as i16).to_le_bytes());
        bytes
    }

    /// As `apply`, with the numbers in memory, so that the code is the same for all results of at most 16 bits.
    pub fn apply_from(self, k: &mut KernelBuilder, x: Value, at: impl Fn(usize) -> Place) -> Value {
        let (words, halves) = (k.ty(x), k.ty(x).with_elem(Elem::I16));
        let x = if self.elem.bits() == 8 {
            let half = k.narrow_sat(x, Elem::I16);
            let zero_point = k.load_splat(halves, 1, at(0));
            k.binary(Binary::AddSat, half, zero_point)
        } else {
            let zero_point = k.load_splat(words, 1, at(0));
            let moved = k.add(x, zero_point);
            k.narrow_sat(moved, Elem::I16)
        };
        let (low, high) = (k.load_splat(halves, 1, at(4)), k.load_splat(halves, 1, at(6)));
        let x = k.max(x, low);
        let x = k.min(x, high);
        k.narrow_sat(x, self.elem)
    }

    fn shifted(self, k: &mut KernelBuilder, x: Value, elem: Elem, add: Binary) -> Value {
        let zero_point = k.int(k.ty(x).with_elem(elem), self.zero_point.into());
        k.binary(add, x, zero_point)
    }

    /// Lanes of `elem` into the activation's range; nothing to do where that is the whole type, unless it is not to be told from the text.
    pub fn clamp(self, k: &mut KernelBuilder, mut x: Value) -> Value {
        let ((low, high), ty) = (self.elem.int_range(), k.ty(x));
        if low < self.low.into() || k.is_pooling() {
            let bound = k.int(ty, self.low.into());
            x = k.max(x, bound);
        }
        if i64::from(self.high) < high || k.is_pooling() {
            let bound = k.int(ty, self.high.into());
            x = k.min(x, bound);
        }
        x
    }
}

/// Fused activation of float lanes. NaN stays NaN, and without activation infinities become the largest finite numbers, as in the
/// reference.
pub fn clamp_float(k: &mut KernelBuilder, x: Value, activation: Activation) -> Value {
    let (low, high) = activation_range_float(activation);
    let ty = k.ty(x);
    let (low, high) = (k.float(ty, low), k.float(ty, high));
    let x = k.max(low, x);
    k.min(high, x)
}

/// Fused activation of integers that stand for themselves.
pub fn clamp_integer(k: &mut KernelBuilder, x: Value, activation: Activation) -> Value {
    let (low, high) = activation_range_integer(activation);
    let ty = k.ty(x);
    let x = low.map_or(x, |low| {
        let low = k.int(ty, low);
        k.max(x, low)
    });
    high.map_or(x, |high| {
        let high = k.int(ty, high);
        k.min(x, high)
    })
}

/// Floats to i32, to nearest with halves away from zero, saturating: C's `round`, for all that fits.
pub fn round_half_away(k: &mut KernelBuilder, x: Value) -> Value {
    let moved = moved_away(k, x);
    k.convert(moved, Elem::I32, Rounding::TowardZero)
}

/// The same of f32 where all from `limit`, an integer, on may count as that, and NaN does: the conversion needs no care then.
pub fn round_half_away_below(k: &mut KernelBuilder, x: Value, limit: f32) -> Value {
    let moved = moved_away(k, x);
    let limit = k.float(k.ty(x), limit);
    let bounded = k.min(moved, limit);
    k.convert(bounded, Elem::I32, Rounding::TowardZero)
}

/// f32 lanes, of which those that do not fit an i32 become the least one: what x86's conversion does with `x` itself, written out.
fn least_beyond(k: &mut KernelBuilder, x: Value) -> Value {
    let ty = k.ty(x);
    let magnitude = k.unary(Unary::Abs, x);
    let (limit, least) = (k.float(ty, 2_147_483_648.0), k.float(ty, -2_147_483_648.0));
    let fits = k.compare(Cond::Lt, magnitude, limit);
    k.select(fits, x, least)
}

/// What is cut off to round.
fn moved_away(k: &mut KernelBuilder, x: Value) -> Value {
    let ty = k.ty(x);
    // The largest number below one half, with the sign of x, before cutting off: exact also where x + 0.5 would round up.
    let half = if ty.elem == Elem::F64 { k.double(ty, 0.5f64.next_down()) } else { k.float(ty, 0.5f32.next_down()) };
    let half = copy_sign(k, half, x);
    k.add(x, half)
}

/// Refuses sums of products of bytes that may not fit 32 bits. Of each channel: the bias, and the bounds of the sum with it. The bias may
/// make a sum wrap, as in the reference.
pub fn sums_fit_32_bits(mut sums: impl Iterator<Item = (i64, (i64, i64))>, weights_per_channel: usize) -> Result<(), Diagnostic> {
    let fits = |(bias, (least, most)): (i64, (i64, i64))| {
        i64::from(i32::MIN) <= least.saturating_sub(bias) && most.saturating_sub(bias) <= i64::from(i32::MAX)
    };
    if sums.all(fits) {
        return Ok(());
    }
    Err(Diagnostic::new(Code::FEATURE, "the sums of products may not fit 32 bits")
        .expected("fewer or smaller weights per output channel")
        .found(format!("{weights_per_channel} weights per channel")))
}
