//! Sums of each pixel's activations, ahead of a product whose weights have a zero point.
//!
//! Not the product. Such a product owes every result the zero point times the sum of the pixel's activations. In the product that is one more
//! column of accumulators per panel; here it is done once per pixel, and the product adds a number that lies in scratch. Only for pixels
//! that see nothing but themselves, which are one long row. The numbers are the operands', as the constants of the product expect.

use super::numbers::{Form, Numbers};
use super::{Axis, Product, Rescale};
use crate::lower::Context;
use cranelite_tile::{Arg, BufferId, Elem, Index, KernelBuilder, Reduce, Value};

/// Pixels whose sums are in the making at the same time.
const PIXELS: usize = 4;
/// What a pixel costs here beside its products, in vector operations.
const PER_PIXEL: usize = 8;

/// Whether the sums cost less here than in `panels` panels.
pub fn pays(cx: &Context, p: &Product, n: &Numbers, panels: usize) -> bool {
    let alone = p.rows == Axis::plain(1) && p.columns == Axis::plain(p.columns.output) && 1 < p.columns.output;
    let bytes = matches!(n.form, Form::Bytes { .. }) && p.channels.is_multiple_of(n.group) && cx.machine.has_vectors();
    let needed = n.sum_factor(p.weight_zero_point) != 0 && matches!(p.rescale, Rescale::Sum(_)) && p.groups() == 1;
    let there = p.channels / n.group * panels;
    alone && bytes && needed && p.channels.div_ceil(cx.machine.lanes(Elem::U8)) + PER_PIXEL < there
}

/// Writes the call that computes them; the buffer has an i32 per pixel.
pub fn write(cx: &mut Context, p: &Product, n: &Numbers, input: BufferId) -> BufferId {
    let (pixels, channels, lanes) = (p.columns.output, p.channels, cx.machine.lanes(Elem::U8));
    let to = cx.scratch("sums", 4 * pixels as u64);
    // The last vector of a pixel counts so many of its bytes: as many ones as there are, found by an offset.
    let ones: Vec<u8> = (0..2 * lanes).map(|i| u8::from(i < lanes)).collect();
    let ones = cx.constant("ones", ones, 64);
    let mut k = KernelBuilder::new(format!("sums_{channels}"));
    let sums =
        Sums { x: k.read("x"), ones: k.read("ones"), y: k.write("y"), channels, lanes, n: *n, factor: n.sum_factor(p.weight_zero_point) };
    let main = pixels / PIXELS * PIXELS;
    k.each("p", main, PIXELS as i64, |k, i| sums.pixels(k, i.into(), PIXELS));
    (main..pixels).for_each(|i| sums.pixels(&mut k, i.into(), 1));
    cx.call(k.finish(), &[input, ones, to], &[]);
    to
}

struct Sums {
    x: Arg,
    ones: Arg,
    y: Arg,
    channels: usize,
    lanes: usize,
    n: Numbers,
    factor: i64,
}

impl Sums {
    fn pixels(&self, k: &mut KernelBuilder, first: Index, count: usize) {
        let (lanes, n) = (self.lanes, &self.n);
        let operands = n.operand.x(lanes);
        let flip = n.flip(k, lanes);
        let all = k.load(n.weight.x(lanes), self.ones.at(0));
        let zero = k.int(Elem::I32.x(lanes / n.group), 0);
        let add = |k: &mut KernelBuilder, acc: &[Value], c: Index, exist: usize, ones: Value| -> Vec<Value> {
            let one = |(i, &acc): (usize, &Value)| {
                let at = (first.clone() + i) * self.channels as i64 + c.clone();
                let x = k.load_part(operands, self.x.at(at), exist);
                let x = flip.map_or(x, |flip| k.xor(x, flip));
                k.dot(n.group, acc, x, ones)
            };
            acc.iter().enumerate().map(one).collect()
        };
        let mut acc = vec![zero; count];
        let main = self.channels / lanes * lanes;
        if lanes <= main {
            acc = k.repeat("c", main, lanes as i64, &acc, |k, c, acc| add(k, acc, c.into(), lanes, all));
        }
        if main < self.channels {
            let exist = self.channels - main;
            let ones = k.load(n.weight.x(lanes), self.ones.at((lanes - exist) as i64));
            acc = add(k, &acc, main.into(), exist, ones);
        }
        for (i, acc) in acc.into_iter().enumerate() {
            let sum = k.reduce(Reduce::Add, acc);
            let factor = k.int(Elem::I32.x(1), self.factor);
            let product = k.mul(sum, factor);
            k.store(self.y.at((first.clone() + i) * 4), product);
        }
    }
}
