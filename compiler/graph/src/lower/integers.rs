//! Arithmetic of whole numbers that no vector unit has: quotients and powers.
//!
//! Not fixed point (`requantize.rs`). The idea: the quotient of floats that have more bits than the integers differs from an integer by more
//! than its rounding error, so that cutting it off is exact. What is divided by zero, at which the reference stops, gives 0 and
//! leaves all of it.

use cranelite_tile::{Binary, Cond, Elem, KernelBuilder, Rounding, Unary, Value};

/// x / y of at most 32 bits with sign, toward zero or downwards.
pub fn divide(k: &mut KernelBuilder, x: Value, y: Value, downwards: bool) -> Value {
    let (from, zero) = (k.ty(x), k.int(k.ty(x), 0));
    let float = if from.elem.bits() < 32 { Elem::F32 } else { Elem::F64 };
    let [f, g] = [x, y].map(|v| {
        let wide = k.widen(v, Elem::I32);
        k.to_float(wide, float)
    });
    let mut quotient = k.div(f, g);
    if downwards {
        quotient = k.unary(Unary::Floor, quotient);
    }
    let quotient = k.convert(quotient, Elem::I32, Rounding::TowardZero);
    let quotient = k.narrow(quotient, from.elem);
    let by_zero = k.compare(Cond::Eq, y, zero);
    k.select(by_zero, zero, quotient)
}

/// What is left of x after division downwards: it has the sign of y.
pub fn modulo(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    if k.ty(x).elem == Elem::I64 {
        let (rest, zero) = (k.binary(Binary::Rem, x, y), k.int(k.ty(x), 0));
        let signs = k.xor(rest, y);
        let (differs, is_rest) = (k.compare(Cond::Lt, signs, zero), k.compare(Cond::Ne, rest, zero));
        let (differs, moved) = (k.and(differs, is_rest), k.add(rest, y));
        let (rest, by_zero) = (k.select(differs, moved, rest), k.compare(Cond::Eq, y, zero));
        return k.select(by_zero, x, rest);
    }
    // In bytes there is no multiplication.
    let elem = if k.ty(x).elem.bits() == 8 { Elem::I16 } else { k.ty(x).elem };
    let narrow = k.ty(x).elem;
    let [x, y] = [x, y].map(|v| k.widen(v, elem));
    let quotient = divide(k, x, y, true);
    let whole = k.mul(quotient, y);
    let rest = k.sub(x, whole);
    k.narrow(rest, narrow)
}

/// x to the power of y, which wraps, of i32; negative powers, at which the reference stops, give what their bits say.
pub fn power(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    let ty = k.ty(x);
    let (one, zero) = (k.int(ty, 1), k.int(ty, 0));
    let result = k.repeat("bit", 32, 1, &[one, x, y], |k, _, carried| {
        let &[product, square, left] = carried else { unreachable!("three are carried") };
        let bit = k.and(left, one);
        let (is_set, more) = (k.compare(Cond::Ne, bit, zero), k.mul(product, square));
        let product = k.select(is_set, more, product);
        vec![product, k.mul(square, square), k.shr_imm(left, 1)]
    });
    result[0]
}

/// x moved by y bits to the right, where y is brought into 0 to the number of bits less one.
pub fn shift_right(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    let ty = k.ty(x);
    let count = k.clamp_int(y, 0, i64::from(ty.elem.bits()) - 1);
    shift(k, Binary::Shr, x, count)
}

/// x moved by y bits to the left, whose lower bits alone count.
pub fn shift_left(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    shift(k, Binary::Shl, x, y)
}

/// In 32 bits, because shorter lanes are not shifted one by one.
fn shift(k: &mut KernelBuilder, op: Binary, x: Value, count: Value) -> Value {
    let elem = k.ty(x).elem;
    let wide = if elem.is_signed() { Elem::I32 } else { Elem::U32 };
    let [x, count] = [x, count].map(|v| if elem.bits() < 32 { k.widen(v, wide) } else { v });
    let y = k.binary(op, x, count);
    k.narrow(y, elem)
}

/// x · y, which wraps.
pub fn multiply(k: &mut KernelBuilder, x: Value, y: Value) -> Value {
    let elem = k.ty(x).elem;
    if elem.bits() != 8 {
        return k.mul(x, y);
    }
    let wide = if elem.is_signed() { Elem::I16 } else { Elem::U16 };
    let [x, y] = [x, y].map(|v| k.widen(v, wide));
    let product = k.mul(x, y);
    k.narrow(product, elem)
}

/// x shifted down by so many bits, less than 64, as a number without sign whose bits an i64 has.
pub fn shift_down(k: &mut KernelBuilder, x: Value, bits: usize) -> Value {
    if bits == 0 {
        return x;
    }
    let (shifted, left) = (k.shr_imm(x, bits as u8), k.int(k.ty(x), (u64::MAX >> bits) as i64));
    k.and(shifted, left)
}

/// How many bits a u32 has without the zeros before them; of 0 none.
pub fn bit_length(k: &mut KernelBuilder, x: Value) -> Value {
    let (zeros, all) = (k.unary(Unary::LeadingZeros, x), k.int(k.ty(x), 32));
    k.sub(all, zeros)
}
