//! Rows that are normalised: to the length 1, or to probabilities whose logarithms they become; and channels by what is next to them.
//!
//! Not SOFTMAX (`softmax.rs`). The idea is the same: passes over a row in full vectors and one partial vector; of integers one number per row is
//! made in fixed point, in one lane.

use super::channels::each_block;
use super::requantize::{Scale, Target, elem};
use super::rows::{Shape, each_row, row_start};
use super::softmax::{exp_tables, sum_of_bytes};
use super::{Context, Goal, fixed, math};
use crate::graph::Node;
use crate::quantize::{
    SOFTMAX_SCALED_DIFF_INTEGER_BITS, calculate_input_radius, element_range, log_softmax_reverse, multiply_by_quantized_multiplier,
    preprocess_softmax_scaling,
};
use crate::tensor::ElementType::{F32, U8};
use cranelite_tile::{Cond, Elem, KernelBuilder, Reduce, ShiftRange, Unary};

/// No length is taken to be less.
const SHORTEST: f32 = 1e-6;

/// Each row divided by its length.
pub fn l2(cx: &mut Context, node: &Node) {
    if cx.input_type(node, 0).element == F32 { l2_float(cx, node) } else { l2_bytes(cx, node) }
}

fn l2_float(cx: &mut Context, node: &Node) {
    let Some(shape) = Shape::of_node(cx, node, Elem::F32) else { return };
    let machine = cx.machine;
    let mut k = KernelBuilder::new("l2_normalization_f32");
    let (x, mask) = (k.read("x"), k.read("mask"));
    let y = k.write("y");
    let row = shape.row(mask);
    let ty = Elem::F32.x(shape.lanes);
    each_row(&mut k, shape.rows, |k, r| {
        let start = row_start(r, shape.depth, Elem::F32);
        let zero = k.float(ty, 0.0);
        let sum = row.walk(k, "squares", &[zero], |k, i, count, sum| {
            let v = k.load_part(ty, x.at(start.clone() + i * 4), count);
            vec![math::mul_add(k, machine, v, v, sum[0])]
        });
        let sum = k.reduce(Reduce::Add, sum[0]);
        let (length, shortest) = (k.unary(Unary::Sqrt, sum), k.float(Elem::F32.x(1), SHORTEST));
        // NaN stays what it is.
        let length = k.max(shortest, length);
        let length = k.splat(length, shape.lanes);
        row.walk(k, "scale", &[], |k, i, count, _| {
            let v = k.load_part(ty, x.at(start.clone() + i.clone() * 4), count);
            let v = k.div(v, length);
            k.store_part(y.at(start.clone() + i * 4), v, count);
            vec![]
        });
    });
    let mask = shape.mask(cx);
    let buffers = [cx.input(node, 0), mask, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}

fn l2_bytes(cx: &mut Context, node: &Node) {
    let Some(shape) = Shape::of_node(cx, node, Elem::I32) else { return };
    let (from, to) = (cx.input_type(node, 0), cx.output_type(node, 0));
    let stored = elem(from.element).expect("bytes, checked by infer");
    let (low, high) = element_range(to.element).expect("bytes, checked by infer");
    let target = Target { elem: stored, zero_point: to.zero_point() as i32, low, high };
    let mut k = KernelBuilder::new(format!("l2_normalization_{}", from.element));
    let (x, mask) = (k.read("x"), k.read("mask"));
    let y = k.write("y");
    let row = shape.row(mask);
    let (ty, one_lane) = (Elem::I32.x(shape.lanes), Elem::I32.x(1));
    each_row(&mut k, shape.rows, |k, r| {
        let start = row_start(r, shape.depth, stored);
        let zero_point = k.int(ty, from.zero_point());
        let zero = k.int(ty, 0);
        let sum = row.walk(k, "squares", &[zero], |k, i, count, sum| {
            let v = k.load_part(stored.x(shape.lanes), x.at(start.clone() + i), count);
            let v = k.widen(v, Elem::I32);
            let v = k.sub(v, zero_point);
            let v = row.masked(k, v, count, zero);
            let square = k.mul(v, v);
            vec![k.add(sum[0], square)]
        });
        let sum = k.reduce(Reduce::Add, sum[0]);
        let (multiplier, right) = fixed::reciprocal_root(k, sum);
        // The scale 1/128 of the result: of i8 it is in the shift, of u8 in the number that is multiplied.
        let left = k.int(one_lane, if from.element == U8 { 0 } else { 7 });
        let shift = k.sub(left, right);
        let scale = Scale { multiplier: k.splat(multiplier, shape.lanes), shift: k.splat(shift, shape.lanes), range: ShiftRange::Any };
        row.walk(k, "scale", &[], |k, i, count, _| {
            let v = k.load_part(stored.x(shape.lanes), x.at(start.clone() + i.clone()), count);
            let v = k.widen(v, Elem::I32);
            let mut v = k.sub(v, zero_point);
            if from.element == U8 {
                v = k.shl_imm(v, 7);
            }
            let v = scale.apply(k, v);
            let v = target.apply(k, v);
            k.store_part(y.at(start.clone() + i), v, count);
            vec![]
        });
    });
    let mask = shape.mask(cx);
    let buffers = [cx.input(node, 0), mask, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}

/// Each row less the logarithm of the sum of its exponentials.
pub fn log_softmax(cx: &mut Context, node: &Node) {
    if cx.input_type(node, 0).element == F32 { log_softmax_float(cx, node) } else { log_softmax_bytes(cx, node) }
}

fn log_softmax_float(cx: &mut Context, node: &Node) {
    let Some(shape) = Shape::of_node(cx, node, Elem::F32) else { return };
    let machine = cx.machine;
    let mut k = KernelBuilder::new("log_softmax_f32");
    let (x, mask) = (k.read("x"), k.read("mask"));
    let y = k.write("y");
    let row = shape.row(mask);
    let ty = Elem::F32.x(shape.lanes);
    each_row(&mut k, shape.rows, |k, r| {
        let start = row_start(r, shape.depth, Elem::F32);
        let max = row.max(k, x, &start, Elem::F32);
        let (max, zero) = (k.splat(max, shape.lanes), k.float(ty, 0.0));
        let sum = row.walk(k, "exp", &[zero], |k, i, count, sum| {
            let v = k.load_part(ty, x.at(start.clone() + i * 4), count);
            let v = k.sub(v, max);
            let e = math::exp_of_negative(k, machine, v);
            let e = row.masked(k, e, count, zero);
            vec![k.add(sum[0], e)]
        });
        let sum = k.reduce(Reduce::Add, sum[0]);
        let log = math::log(k, machine, sum);
        let log = k.splat(log, shape.lanes);
        row.walk(k, "subtract", &[], |k, i, count, _| {
            let v = k.load_part(ty, x.at(start.clone() + i.clone() * 4), count);
            let v = k.sub(v, max);
            let v = k.sub(v, log);
            k.store_part(y.at(start.clone() + i * 4), v, count);
            vec![]
        });
    });
    let mask = shape.mask(cx);
    let buffers = [cx.input(node, 0), mask, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}

/// Every element is its distance from the largest one, of which there are 256.
fn log_softmax_bytes(cx: &mut Context, node: &Node) {
    let Some(shape) = Shape::of_node(cx, node, Elem::I32) else { return };
    let (from, to) = (cx.input_type(node, 0), cx.output_type(node, 0));
    let stored = elem(from.element).expect("bytes, checked by infer");
    let (low, high) = element_range(to.element).expect("bytes, checked by infer");
    let target = Target { elem: stored, zero_point: to.zero_point() as i32, low, high };
    let bits = SOFTMAX_SCALED_DIFF_INTEGER_BITS;
    let scale = from.scale().unwrap_or(1.0);
    let (multiplier, shift) = preprocess_softmax_scaling(1.0, scale, bits);
    let least = -calculate_input_radius(bits, shift, 31);
    let (back, back_shift) = log_softmax_reverse(multiplier, shift).expect("infer has seen the scale");
    let rescaled: Vec<i32> = (0..256).map(|d| multiply_by_quantized_multiplier(-d, multiplier, shift)).collect();
    let (_, addends) = exp_tables(1.0, scale);

    let mut k = KernelBuilder::new(format!("log_softmax_{}", from.element));
    let (x, addend, table, mask, y) = (k.read("x"), k.read("exp_q12"), k.read("rescaled"), k.read("mask"), k.write("y"));
    let row = shape.row(mask);
    let (ty, one_lane) = (Elem::I32.x(shape.lanes), Elem::I32.x(1));
    let chains = if cx.goal == Goal::Size { 1 } else { 4 };
    each_row(&mut k, shape.rows, |k, r| {
        let start = row_start(r, shape.depth, stored);
        let max = row.max(k, x, &start, stored);
        let sum = sum_of_bytes(k, x, &start, shape.depth, max, (addend, Elem::U32), chains);
        let sum = k.bitcast(sum, one_lane);
        let log = fixed::log_of_sum(k, sum);
        // What is further away is less than the least number of Q5.
        let (lowest, end) = (k.int(one_lane, i32::MIN.into()), k.int(one_lane, i64::from(least) - 1));
        let furthest = k.add(log, lowest);
        let furthest = Scale::constant(k, 1, back, back_shift).apply(k, furthest);
        let furthest = k.max(furthest, end);
        let [furthest, log] = [furthest, log].map(|v| k.splat(v, shape.lanes));
        let max = k.splat(max, shape.lanes);
        let (zero, none) = (k.int(ty, 0), k.int(stored.x(shape.lanes), low.into()));
        row.walk(k, "subtract", &[], |k, i, count, _| {
            let v = k.load_part(stored.x(shape.lanes), x.at(start.clone() + i.clone()), count);
            let distance = k.sub(max, v);
            let distance = k.bitcast(distance, Elem::U8.x(shape.lanes));
            let v = k.lookup(Elem::I32, table.at(0), distance);
            let v = k.sub(v, log);
            let v = k.rounding_shr(v, 22);
            let v = target.apply(k, v);
            let distance = k.widen(distance, Elem::I32);
            let difference = k.sub(zero, distance);
            let is_near = k.compare(Cond::Gt, difference, furthest);
            let near = super::convert::truth(k, is_near);
            let is_near = super::convert::mask(k, near, stored);
            let v = k.select(is_near, v, none);
            k.store_part(y.at(start.clone() + i), v, count);
            vec![]
        });
    });
    let addends = cx.constant_i32("exp_q12", &addends);
    let rescaled = cx.constant_i32("rescaled", &rescaled);
    let mask = shape.mask(cx);
    let buffers = [cx.input(node, 0), addends, rescaled, mask, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}

/// What channels are divided by: (bias + alpha · the sum of the squares of channels up to `radius` before and less than that after it)^beta.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    pub radius: usize,
    pub bias: f32,
    pub alpha: f32,
    pub beta: f32,
}

/// Squares of a row are in scratch with zeros on both sides, so that all channels have as many next to them.
pub fn local(cx: &mut Context, node: &Node, local: Local) {
    let Some(shape) = Shape::of_node(cx, node, Elem::F32) else { return };
    let machine = cx.machine;
    let lanes = machine.lanes(Elem::F32);
    let (depth, radius) = (shape.depth, local.radius.min(shape.depth));
    let padded = depth + 2 * radius;
    let mut k = KernelBuilder::new(format!("local_response_normalization_{depth}_{radius}"));
    let (x, squares, y) = (k.read("x"), k.read_write("squares"), k.write("y"));
    each_block(&mut k, padded, lanes, 4, |k, b| {
        let zero = k.float(Elem::F32.x(b.lanes), 0.0);
        b.store(k, squares.at(b.first.clone() * 4), zero);
    });
    each_row(&mut k, shape.rows, |k, r| {
        let start = row_start(r, depth, Elem::F32);
        each_block(k, depth, lanes, 4, |k, b| {
            let v = b.load(k, Elem::F32, x.at(start.clone() + b.first.clone() * 4));
            let square = k.mul(v, v);
            b.store(k, squares.at((b.first.clone() + radius) * 4), square);
        });
        each_block(k, depth, lanes, 1, |k, b| {
            let ty = Elem::F32.x(b.lanes);
            let zero = k.float(ty, 0.0);
            let sum = k.repeat("near", 2 * radius, 1, &[zero], |k, i, sum| {
                let v = b.load(k, Elem::F32, squares.at((b.first.clone() + i) * 4));
                vec![k.add(sum[0], v)]
            });
            let [bias, alpha, power] = [local.bias, local.alpha, -local.beta].map(|v| k.float(ty, v));
            let sum = k.mul(alpha, sum[0]);
            let sum = k.add(bias, sum);
            let factor = math::pow(k, machine, sum, power);
            let v = b.load(k, Elem::F32, x.at(start.clone() + b.first.clone() * 4));
            let v = k.mul(v, factor);
            b.store(k, y.at(start.clone() + b.first.clone() * 4), v);
        });
    });
    let squares = cx.scratch("squares", 4 * padded as u64);
    let buffers = [cx.input(node, 0), squares, cx.output(node, 0)];
    cx.call(k.finish(), &buffers, &[]);
}
