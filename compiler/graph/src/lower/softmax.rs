//! Rows of SOFTMAX: the largest element, exponentials of the distances from it and their sum, and the quotients.
//!
//! Not reductions in general. The idea: every pass over a row is full vectors and one partial vector, in which a mask takes the
//! lanes beyond the row out of maximum and sum. Integer rows are sums in any order; the quantised reciprocal is one lane of
//! fixed-point steps, per row.

use super::rows::{Row, Shape, each_row, row_start};
use super::{Context, Goal, math, table};
use crate::graph::Node;
use crate::lower::requantize::{Scale, Target, elem};
use crate::quantize::{
    SOFTMAX_SCALED_DIFF_INTEGER_BITS, calculate_input_radius, element_range, exp_on_negative_values, multiply_by_quantized_multiplier,
    preprocess_softmax_scaling, softmax_exp_lut_i16, softmax_multiplier_i16, softmax_one_over_one_plus_x_lut_i16,
};
use crate::tensor::ElementType;
use cranelite_tile::{Arg, Binary, Cond, Elem, Index, KernelBuilder, Machine, Reduce, Unary, Value};

pub fn lower(cx: &mut Context, node: &Node, beta: f32) {
    match cx.input_type(node, 0).element {
        ElementType::F32 => float(cx, node, beta),
        ElementType::I16 => int16(cx, node, beta),
        _ => bytes(cx, node, beta),
    }
}

fn float(cx: &mut Context, node: &Node, beta: f32) {
    let Some(shape) = Shape::of_node(cx, node, Elem::F32) else { return };
    let machine: &Machine = cx.machine;
    let mut k = KernelBuilder::new("softmax_f32");
    let (x, mask) = (k.read("x"), k.read("mask"));
    let y = k.read_write_in_place("y", x);
    let row = shape.row(mask);
    let ty = Elem::F32.x(shape.lanes);
    each_row(&mut k, shape.rows, |k, r| {
        let start = row_start(r, shape.depth, Elem::F32);
        let max = row.max(k, x, &start, Elem::F32);
        let (max, zero) = (k.splat(max, shape.lanes), k.float(ty, 0.0));
        let sum = row.walk(k, "exp", &[zero], |k, i, count, sum| {
            let v = k.load_part(ty, x.at(start.clone() + i.clone() * 4), count);
            let mut v = k.sub(v, max);
            if beta != 1.0 {
                let beta = k.float(ty, beta);
                v = k.mul(v, beta);
            }
            // A negative beta makes positive arguments.
            let e = if 0.0 <= beta { math::exp_of_negative(k, machine, v) } else { math::exp(k, machine, v) };
            k.store_part(y.at(start.clone() + i * 4), e, count);
            let e = row.masked(k, e, count, zero);
            vec![k.add(sum[0], e)]
        });
        let (sum, one) = (k.reduce(Reduce::Add, sum[0]), k.float(Elem::F32.x(1), 1.0));
        let factor = k.div(one, sum);
        let factor = k.splat(factor, shape.lanes);
        row.walk(k, "scale", &[], |k, i, count, _| {
            let place = y.at(start.clone() + i * 4);
            let e = k.load_part(ty, place.clone(), count);
            let e = k.mul(e, factor);
            k.store_part(place, e, count);
            vec![]
        });
    });
    let mask = shape.mask(cx);
    let buffers = [cx.input(node, 0), mask, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}

/// e^-d in Q0 for every distance d of bytes: 0 where the reference skips it.
fn exp_table(beta: f32, scale: f32) -> Vec<i32> {
    let bits = SOFTMAX_SCALED_DIFF_INTEGER_BITS;
    let (multiplier, shift) = preprocess_softmax_scaling(beta, scale, bits);
    let radius = calculate_input_radius(bits, shift, 31);
    (0..256)
        .map(|d| match d <= radius {
            true => exp_on_negative_values(multiply_by_quantized_multiplier(-d, multiplier, shift), bits),
            false => 0,
        })
        .collect()
}

/// e^-d for every distance d of bytes: in Q0, and as what is added up, in Q12, rounded.
pub fn exp_tables(beta: f32, scale: f32) -> (Vec<i32>, Vec<i32>) {
    let exponentials = exp_table(beta, scale);
    let addends = exponentials.iter().map(|&e| ((e as u32 + (1 << 11)) >> 12) as i32).collect();
    (exponentials, addends)
}

/// int8 and uint8 to bytes or int16.
///
/// Every element is its distance from the largest one, of which there are 256. Exponentials are looked up; so are results where a
/// row is longer than the distances whose result is not nothing.
fn bytes(cx: &mut Context, node: &Node, beta: f32) {
    let (from, to) = (cx.input_type(node, 0), cx.output_type(node, 0));
    let input = elem(from.element).expect("bytes, checked by infer");
    let output = elem(to.element).expect("an integer, checked by infer");
    let Some(shape) = Shape::of_node(cx, node, input) else { return };
    let (low, high) = element_range(to.element).expect("an integer, checked by infer");
    let target = Target { elem: output, zero_point: low, low, high };
    let (exponentials, addends) = exp_tables(beta, from.scale().unwrap_or(1.0));
    // Smaller ones round to nothing, whatever the sum.
    let distances = exponentials.iter().take_while(|&&e| 1 << (29 - output.bits()) <= e).count();
    let (exponentials, addends) = (cx.constant_i32("exp", &exponentials), cx.constant_i32("exp_q12", &addends));
    let mut buffers = vec![cx.input(node, 0), exponentials, addends, shape.mask(cx)];

    let mut k = KernelBuilder::new(format!("softmax_{}_{}", from.element, to.element));
    let (x, exp, addend, mask) = (k.read("x"), k.read("exp"), k.read("exp_q12"), k.read("mask"));
    let results = (distances < shape.depth).then(|| {
        buffers.push(cx.scratch("results", 256 * u64::from(output.bytes())));
        k.read_write("results")
    });
    let y = if input.bytes() == output.bytes() { k.write_in_place("y", x) } else { k.write("y") };
    buffers.push(cx.output(node, 0));
    let row = shape.row(mask);
    let (words, gathers) = (cx.machine.lanes(Elem::I32), 32 < cx.machine.vector_bytes && cx.goal == Goal::Speed);
    // So many additions are under way at once.
    let chains = if cx.goal == Goal::Size { 1 } else { 4 };
    // 32 bits hold the sum of this many exponentials of 1.
    let sum_elem = if shape.depth < 8192 { Elem::U32 } else { Elem::I64 };
    // Vectors of distances; both sizes are powers of two.
    let step = cx.machine.lanes(output);
    let computed = distances.next_multiple_of(step);
    let result = |k: &mut KernelBuilder, e: Value, (scale, power): (Value, Value)| {
        let lanes = k.ty(e).lanes as usize;
        let (scale, power) = (k.splat(scale, lanes), k.splat(power, lanes));
        let q = k.mul_high_round(e, scale);
        let q = k.mul_high_round(q, power);
        target.apply(k, q)
    };
    if let Some(results) = results {
        let nothing = k.int(output.x(step), low.into());
        for d in (computed..256).step_by(step) {
            k.store(results.at(d * output.bytes() as usize), nothing);
        }
    }
    each_row(&mut k, shape.rows, |k, r| {
        let (start, out_start) = (row_start(r, shape.depth, input), row_start(r, shape.depth, output));
        let max = row.max(k, x, &start, input);
        let distance = |k: &mut KernelBuilder, i: Index, lanes: usize, count: usize| {
            let max = k.splat(max, lanes);
            let v = k.load_part(input.x(lanes), x.at(start.clone() + i), count);
            let distance = k.sub(max, v);
            k.bitcast(distance, Elem::U8.x(lanes))
        };
        // The longest vectors gather; shorter ones would be put together and taken apart again.
        let sum = if gathers {
            let zero = k.int(sum_elem.x(row.lanes), 0);
            let sums = row.walk(k, "sum", &[zero], |k, i, count, sum| {
                let d = distance(k, i, row.lanes, count);
                let e = k.lookup(Elem::U32, addend.at(0), d);
                let nothing = k.int(k.ty(e), 0);
                let e = row.masked(k, e, count, nothing);
                let e = k.widen(e, sum_elem);
                vec![k.add(sum[0], e)]
            });
            k.reduce(Reduce::Add, sums[0])
        } else {
            sum_of_bytes(k, x, &start, shape.depth, max, (addend, sum_elem), chains)
        };
        let scale = reciprocal(k, sum, output.bits());
        let place = |i: Index| y.at(out_start.clone() + i * i64::from(output.bytes()));
        match results {
            Some(results) => {
                k.each("d", computed, step as i64, |k, d| {
                    let e = k.load(Elem::I32.x(step), exp.at(d * 4));
                    let q = result(k, e, scale);
                    k.store(results.at(d * i64::from(output.bytes())), q);
                });
                row.walk(k, "look_up", &[], |k, i, count, _| {
                    let d = distance(k, i.clone(), row.lanes, count);
                    let q = k.lookup(output, results.at(0), d);
                    k.store_part(place(i), q, count);
                    vec![]
                });
            }
            None => {
                let row = Row { lanes: words.min(row.lanes), ..row };
                row.walk(k, "scale", &[], |k, i, count, _| {
                    let d = distance(k, i.clone(), row.lanes, count);
                    let e = k.lookup(Elem::I32, exp.at(0), d);
                    let q = result(k, e, scale);
                    k.store_part(place(i), q, count);
                    vec![]
                });
            }
        }
    });
    cx.call(k.finish(), &buffers, &[]);
}

/// The sum of the table's entries for the distances of a row from its largest element, a scalar.
pub fn sum_of_bytes(
    k: &mut KernelBuilder,
    x: Arg,
    start: &Index,
    depth: usize,
    max: Value,
    (table, elem): (Arg, Elem),
    chains: usize,
) -> Value {
    let max = k.bitcast(max, Elem::U8.x(1));
    let add = |k: &mut KernelBuilder, sum: Value, i: Index| {
        let v = k.load(Elem::U8.x(1), x.at(start.clone() + i));
        let distance = k.sub(max, v);
        let e = k.lookup(Elem::U32, table.at(0), distance);
        let e = k.widen(e, elem);
        k.add(sum, e)
    };
    let zero = k.int(elem.x(1), 0);
    let full = if depth < 2 * chains { 0 } else { depth / chains * chains };
    let mut sums = vec![zero; chains];
    if 0 < full {
        sums = k.repeat("sum", full, chains as i64, &sums, |k, i, sums| (0..chains).map(|c| add(k, sums[c], i + c)).collect());
    }
    for i in full..depth {
        sums[i % chains] = add(k, sums[i % chains], i.into());
    }
    while 1 < sums.len() {
        sums = sums.chunks(2).map(|pair| k.add(pair[0], pair[1])).collect();
    }
    sums[0]
}

/// The reciprocal of a sum of exponentials in Q12 (a scalar u32, or i64 where that may not do): a factor in Q0 and the power of
/// two whose high multiplication is the rounding shift that follows, for results of `bits`.
///
/// gemmlowp's `GetReciprocal`: three Newton steps. Where the reference would shift by more than 31, and aborts, the result is 0.
fn reciprocal(k: &mut KernelBuilder, sum: Value, bits: u32) -> (Value, Value) {
    let int = Elem::I32.x(1);
    // 2^31 · (1 + a), and by how many bits that is to the left of the sum.
    let zeros = k.unary(Unary::LeadingZeros, sum);
    let shifted = k.binary(Binary::Shl, sum, zeros);
    let (normal, headroom) = if k.ty(sum).elem == Elem::U32 {
        (shifted, k.bitcast(zeros, int))
    } else {
        let (upper, thirty_two) = (k.shr_imm(shifted, 32), k.int(int, 32));
        let zeros = k.narrow(zeros, Elem::I32);
        (k.narrow(upper, Elem::U32), k.sub(zeros, thirty_two))
    };
    let half_denominator = k.shr_imm(normal, 1);
    let half_denominator = k.bitcast(half_denominator, int);
    // From the line 48/17 − 32/17 · x, numbers in Q2.
    let (intercept, slope, one) = (k.int(int, 1_515_870_810), k.int(int, -1_010_580_540), k.int(int, 1 << 29));
    let product = k.mul_high_round(half_denominator, slope);
    let mut x = k.add(intercept, product);
    for _ in 0..3 {
        let product = k.mul_high_round(half_denominator, x);
        let error = k.sub(one, product);
        let step = k.mul_high_round(x, error);
        // |step| < 2^26: this does not overflow.
        let step = k.shl_imm(step, 2);
        x = k.add(x, step);
    }
    // To Q0, saturated at 1.
    let (limit, largest) = (k.int(int, 1 << 30), k.int(int, i64::from(i32::MAX)));
    let doubled = k.shl_imm(x, 1);
    let saturates = k.compare(Cond::Ge, x, limit);
    let scale = k.select(saturates, largest, doubled);
    // The reference shifts by 43 − bits − headroom.
    let (offset, zero, unit) = (k.int(int, 12 - i64::from(bits)), k.int(int, 0), k.int(int, 1));
    let exponent = k.sub(headroom, offset);
    let power = k.binary(Binary::Shl, unit, exponent);
    let vanishes = k.compare(Cond::Lt, exponent, zero);
    (scale, k.select(vanishes, zero, power))
}

fn int16(cx: &mut Context, node: &Node, beta: f32) {
    let Some(shape) = Shape::of_node(cx, node, Elem::I16) else { return };
    let (multiplier, shift) = softmax_multiplier_i16(beta, cx.input_type(node, 0).scale().unwrap_or(1.0));
    let exp = table::lines_i16(cx, "exp", &softmax_exp_lut_i16());
    let one_over = table::lines_i16(cx, "one_over_one_plus_x", &softmax_one_over_one_plus_x_lut_i16());
    let mut k = KernelBuilder::new("softmax_i16");
    let (x, exp_arg, one_over_arg, mask) = (k.read("x"), k.read("exp"), k.read("one_over_one_plus_x"), k.read("mask"));
    let y = k.read_write_in_place("y", x);
    let row = shape.row(mask);
    let (narrow, ty, int) = (Elem::I16.x(shape.lanes), Elem::I32.x(shape.lanes), Elem::I32.x(1));
    each_row(&mut k, shape.rows, |k, r| {
        let start = row_start(r, shape.depth, Elem::I16);
        let max = row.max(k, x, &start, Elem::I16);
        let max = k.widen(max, Elem::I32);
        let (max, zero) = (k.splat(max, shape.lanes), k.int(ty, 0));
        let sum = row.walk(k, "exp", &[zero], |k, i, count, sum| {
            let v = k.load_part(narrow, x.at(start.clone() + i.clone() * 2), count);
            let v = k.widen(v, Elem::I32);
            let v = k.sub(v, max);
            let v = Scale::constant(k, shape.lanes, multiplier, shift).apply(k, v);
            let end = k.int(ty, 32767);
            let v = k.add(v, end);
            let v = k.clamp_int(v, -32768, 32767);
            let e = table::look_up_i16(k, exp_arg, v);
            let short = k.narrow(e, Elem::I16);
            k.store_part(y.at(start.clone() + i * 2), short, count);
            let e = row.masked(k, e, count, zero);
            vec![k.add(sum[0], e)]
        });
        let sum = k.reduce(Reduce::Add, sum[0]);
        // The sum's leading one goes to bit 30; what follows it, in 16 bits, is the argument of 1 / (1 + x).
        let (one, rounding, centre) = (k.int(int, 1), k.int(Elem::U32.x(1), 1 << 13), k.int(int, 3 << 15));
        let headroom = k.unary(Unary::LeadingZeros, sum);
        let left = k.sub(headroom, one);
        let normal = k.binary(Binary::Shl, sum, left);
        let normal = k.bitcast(normal, Elem::U32.x(1));
        let normal = k.add(normal, rounding);
        let normal = k.shr_imm(normal, 14);
        let argument = k.bitcast(normal, int);
        let argument = k.sub(argument, centre);
        let argument = k.clamp_int(argument, -32768, 32767);
        let scale = table::look_up_i16(k, one_over_arg, argument);
        // A rounding shift to the right by 31 − headroom.
        let power = k.binary(Binary::Shl, one, headroom);
        let (scale, power) = (k.splat(scale, shape.lanes), k.splat(power, shape.lanes));
        row.walk(k, "scale", &[], |k, i, count, _| {
            let place = y.at(start.clone() + i * 2);
            let e = k.load_part(narrow, place.clone(), count);
            let e = k.widen(e, Elem::I32);
            let product = k.mul(e, scale);
            let q = k.mul_high_round(product, power);
            let q = k.max(q, zero);
            let q = k.narrow_sat(q, Elem::I16);
            k.store_part(place, q, count);
            vec![]
        });
    });
    let mask = shape.mask(cx);
    let buffers = [cx.input(node, 0), exp, one_over, mask, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}
