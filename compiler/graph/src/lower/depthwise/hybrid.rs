//! Activations quantised at run time, as the reference's hybrid kernels do: one scale and zero point per image, found in its values.
//!
//! The idea: what is stored is the quantised value *less* its zero point, as i16, so that nothing later needs the zero point and padding
//! is 0.

use crate::lower::Context;
use crate::lower::channels::each_block;
use crate::lower::gemm::hybrid::with_offset;
use crate::lower::requantize::round_half_away;
use cranelite_tile::{BufferId, Elem, Index, Kernel, KernelBuilder, Machine, Reduce, Value};

/// (values as i16, scales as f32) of so many images of `size` floats.
pub fn quantize(cx: &mut Context, images: usize, size: usize, x: BufferId) -> (BufferId, BufferId) {
    let values = cx.scratch("quantized", 2 * (images * size) as u64);
    let scales = cx.scratch("scales", 4 * images as u64);
    let kernel = kernel(cx.machine, images, size);
    cx.call(kernel, &[x, values, scales], &[]);
    (values, scales)
}

fn kernel(machine: &Machine, images: usize, size: usize) -> Kernel {
    let mut k = KernelBuilder::new(format!("quantize_images_{images}_{size}"));
    let (x, y, scales) = (k.read("x"), k.write("y"), k.write("scales"));
    let lanes = machine.lanes(Elem::F32);
    k.each("n", images, 1, |k, n| {
        let from = n * (4 * size as i64);
        let (low, high) = range(k, x.at(from.clone()), lanes, size);
        let (scale, inverse, zero_point) = with_offset(k, low, high);
        k.store(scales.at(n * 4), scale);
        each_block(k, size, lanes, 4, |k, b| {
            let v = b.load(k, Elem::F32, x.at(from.clone() + b.first.clone() * 4));
            let (inverse, zero_point) = (k.splat(inverse, b.lanes), k.splat(zero_point, b.lanes));
            let scaled = k.mul(v, inverse);
            let rounded = round_half_away(k, scaled);
            let moved = k.add(rounded, zero_point);
            let q = k.clamp_int(moved, -128, 127);
            let q = k.sub(q, zero_point);
            let q = k.narrow(q, Elem::I16);
            b.store(k, y.at(n * (2 * size as i64) + b.first.clone() * 2), q);
        });
    });
    k.finish()
}

/// Smallest and largest of `size` floats and 0.
fn range(k: &mut KernelBuilder, x: cranelite_tile::Place, lanes: usize, size: usize) -> (Value, Value) {
    let ty = Elem::F32.x(lanes);
    let zero = k.float(ty, 0.0);
    let at = |i: Index| cranelite_tile::Place { base: x.base, at: x.at.clone() + i * 4 };
    let step = |k: &mut KernelBuilder, v: Value, low: Value, high: Value| (k.min(v, low), k.max(v, high));
    let whole = size / lanes * lanes;
    let results = k.repeat("i", whole, lanes as i64, &[zero, zero], |k, i, r| {
        let v = k.load(ty, at(i.into()));
        let (low, high) = step(k, v, r[0], r[1]);
        vec![low, high]
    });
    let (mut low, mut high) = (results[0], results[1]);
    if whole < size {
        let v = k.load_part(ty, at(whole.into()), size - whole);
        (low, high) = step(k, v, low, high);
    }
    if 1 < lanes {
        (low, high) = (k.reduce(Reduce::Min, low), k.reduce(Reduce::Max, high));
    }
    (low, high)
}
