//! Small models with inputs and the outputs they must give, computed here in plain loops.
//!
//! Not the compiler's arithmetic: sums in f64 and i64, the rounding of integers written down from its definition. The idea: a machine
//! without any golden file still finds out whether the whole path computes the right numbers.

use crate::maker::{Activation, Code, Element, Maker, Padding, Quantization, per_tensor};
use anyhow::{Context, Result, ensure};
use cranelite::array::Array;
use cranelite_graph::tensor::ElementType;

/// A model, and its input and output at each step.
pub struct Case {
    pub name: &'static str,
    pub model: Vec<u8>,
    pub steps: Vec<(Array, Array)>,
    /// Outputs are f32 and may differ by that, absolutely and relatively; 0: equal bytes.
    pub tolerance: f32,
}

impl Case {
    pub fn inputs(&self) -> Vec<Vec<Array>> {
        self.steps.iter().map(|(input, _)| vec![input.clone()]).collect()
    }

    /// Fails unless the outputs of all steps are as computed here.
    pub fn judge(&self, outputs: &[Vec<Array>]) -> Result<()> {
        ensure!(outputs.len() == self.steps.len(), "{} steps", outputs.len());
        for (step, (found, (_, expected))) in outputs.iter().zip(&self.steps).enumerate() {
            let [found] = &found[..] else { anyhow::bail!("{} outputs", found.len()) };
            self.compare(found, expected).with_context(|| format!("step {step}"))?;
        }
        Ok(())
    }

    fn compare(&self, found: &Array, expected: &Array) -> Result<()> {
        if self.tolerance == 0.0 {
            ensure!(found == expected, "{found:?} is not {expected:?}");
            return Ok(());
        }
        let floats = |a: &Array| a.data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect::<Vec<_>>();
        ensure!(found.shape == expected.shape && found.element == expected.element, "{} is not {}", found.describe(), expected.describe());
        for (f, e) in floats(found).into_iter().zip(floats(expected)) {
            ensure!((f - e).abs() <= self.tolerance * (1.0 + e.abs()), "{f} is not {e}");
        }
        Ok(())
    }
}

pub fn all() -> Vec<Case> {
    vec![perceptron(), tiny_f32(), tiny_i8()]
}

/// Deterministic numbers, uniform enough: an LCG's high bits.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }
    fn i8s(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.next() as i8).collect()
    }
    /// -1 to 1.
    fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() as i32 as f32 / 2147483648.0).collect()
    }
}

fn array_f32(shape: &[usize], v: &[f64]) -> Array {
    Array { element: ElementType::F32, shape: shape.into(), data: v.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect() }
}
fn array_i8(shape: &[usize], v: &[i8]) -> Array {
    Array { element: ElementType::I8, shape: shape.into(), data: v.iter().map(|v| *v as u8).collect() }
}
fn widen(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

/// Two fully connected layers of floats on 5 numbers.
fn perceptron() -> Case {
    let mut random = Random(1);
    let (w1, b1, w2, b2) = (random.f32s(7 * 5), random.f32s(7), random.f32s(3 * 7), random.f32s(3));
    let mut m = Maker::default();
    let x = m.f32("x", &[1, 5], None);
    let (w1_, b1_) = (m.f32("w1", &[7, 5], Some(&w1)), m.f32("b1", &[7], Some(&b1)));
    let h = m.f32("hidden", &[1, 7], None);
    let (w2_, b2_) = (m.f32("w2", &[3, 7], Some(&w2)), m.f32("b2", &[3], Some(&b2)));
    let y = m.f32("y", &[1, 3], None);
    m.fully_connected(&[x, w1_, b1_], h, Activation::RELU);
    m.fully_connected(&[h, w2_, b2_], y, Activation::NONE);
    let model = m.finish(&[x], &[y]);
    let steps = (0..3).map(|_| {
        let x = widen(&random.f32s(5));
        let h: Vec<f64> = fully_connected(&x, &w1, &b1).iter().map(|v| v.max(0.0)).collect();
        (array_f32(&[1, 5], &x), array_f32(&[1, 3], &fully_connected(&h, &w2, &b2)))
    });
    Case { name: "perceptron", model, steps: steps.collect(), tolerance: 1e-5 }
}

fn fully_connected(x: &[f64], w: &[f32], b: &[f32]) -> Vec<f64> {
    b.iter().zip(w.chunks(x.len())).map(|(b, w)| f64::from(*b) + x.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum::<f64>()).collect()
}

/// Sizes of a convolution on a square image with a square window.
#[derive(Clone, Copy)]
struct Window {
    size: usize,
    input: usize,
    output: usize,
    stride: usize,
    padding: usize,
}

impl Window {
    fn same(size: usize, input: usize, stride: usize) -> Window {
        let output = input.div_ceil(stride);
        Window { size, input, output, stride, padding: ((output - 1) * stride + size).saturating_sub(input) / 2 }
    }
    fn valid(size: usize, input: usize, stride: usize) -> Window {
        Window { size, input, output: (input - size) / stride + 1, stride, padding: 0 }
    }
    /// Calls `f(output pixel, input pixel, tap)` for all taps inside the image.
    fn each(self, mut f: impl FnMut(usize, usize, usize)) {
        for (oy, ox) in (0..self.output * self.output).map(|o| (o / self.output, o % self.output)) {
            for (ky, kx) in (0..self.size * self.size).map(|k| (k / self.size, k % self.size)) {
                let (y, x) = (oy * self.stride + ky, ox * self.stride + kx);
                let inside = |v: usize| (self.padding..self.padding + self.input).contains(&v);
                if inside(y) && inside(x) {
                    let pixel = (y - self.padding) * self.input + x - self.padding;
                    f(oy * self.output + ox, pixel, ky * self.size + kx);
                }
            }
        }
    }
}

/// CONV_2D, MAX_POOL_2D, RESHAPE, FULLY_CONNECTED and SOFTMAX of floats on a 9 by 9 image with 3 channels.
fn tiny_f32() -> Case {
    let mut random = Random(2);
    let (conv, pool) = (Window::same(3, 9, 1), Window::valid(2, 9, 2));
    let (wc, bc, wf, bf) = (random.f32s(6 * 9 * 3), random.f32s(6), random.f32s(4 * 96), random.f32s(4));
    let mut m = Maker::default();
    let x = m.f32("image", &[1, 9, 9, 3], None);
    let (wc_, bc_) = (m.f32("conv/w", &[6, 3, 3, 3], Some(&wc)), m.f32("conv/b", &[6], Some(&bc)));
    let (c, p) = (m.f32("conv", &[1, 9, 9, 6], None), m.f32("pool", &[1, 4, 4, 6], None));
    let (shape, r) = (m.i32("shape", &[2], None, &[1, 96]), m.f32("flat", &[1, 96], None));
    let (wf_, bf_, f) = (m.f32("fc/w", &[4, 96], Some(&wf)), m.f32("fc/b", &[4], Some(&bf)), m.f32("fc", &[1, 4], None));
    let y = m.f32("probabilities", &[1, 4], None);
    m.conv_2d(&[x, wc_, bc_], c, Padding::SAME, 1, Activation::RELU);
    m.pool_2d(Code::MAX_POOL_2D, c, p, 2);
    m.operator(Code::RESHAPE, &[p, shape], &[r], None);
    m.fully_connected(&[r, wf_, bf_], f, Activation::NONE);
    m.softmax(f, y);
    let model = m.finish(&[x], &[y]);
    let steps = (0..2).map(|_| {
        let x = widen(&random.f32s(9 * 9 * 3));
        let mut c: Vec<f64> = (0..81 * 6).map(|i| f64::from(bc[i % 6])).collect();
        conv.each(|o, i, k| {
            for (oc, ic) in (0..6 * 3).map(|n| (n / 3, n % 3)) {
                c[o * 6 + oc] += x[i * 3 + ic] * f64::from(wc[(oc * 9 + k) * 3 + ic]);
            }
        });
        let mut p = vec![0.0f64; 16 * 6];
        pool.each(|o, i, _| (0..6).for_each(|ch| p[o * 6 + ch] = p[o * 6 + ch].max(c[i * 6 + ch])));
        let e: Vec<f64> = fully_connected(&p, &wf, &bf).iter().map(|v| libm::exp(*v)).collect();
        let y: Vec<f64> = e.iter().map(|v| v / e.iter().sum::<f64>()).collect();
        (array_f32(&[1, 9, 9, 3], &x), array_f32(&[1, 4], &y))
    });
    Case { name: "tiny_f32", model, steps: steps.collect(), tolerance: 2e-5 }
}

/// Multiplies by `scale`, as TensorFlow Lite does: a multiplier of 31 bits, rounded twice.
fn requantize(acc: i64, scale: f64) -> i64 {
    let mut exponent = 0;
    let mut fraction = scale;
    while fraction < 0.5 {
        fraction *= 2.0;
        exponent += 1;
    }
    let multiplier = (fraction * 2147483648.0).round() as i64;
    // Rounded to nearest, ties up; then to nearest, ties away from zero.
    let product = acc * multiplier;
    let high = if product < 0 { -((-product + (1 << 30) - 1) >> 31) } else { (product + (1 << 30)) >> 31 };
    let half = (1i64 << exponent) >> 1;
    if high < 0 { -((-high + half) >> exponent) } else { (high + half) >> exponent }
}

/// CONV_2D (per channel), DEPTHWISE_CONV_2D, AVERAGE_POOL_2D, RESHAPE and FULLY_CONNECTED of int8 on an 8 by 8 image with 2 channels.
fn tiny_i8() -> Case {
    let mut random = Random(3);
    let (conv, depthwise, pool) = (Window::same(3, 8, 1), Window::same(3, 8, 2), Window::valid(2, 4, 2));
    let channel_scales: Vec<f32> = (0..5).map(|i| 0.002 + 0.0007 * i as f32).collect();
    let per_channel = |axis| Quantization { scales: channel_scales.clone(), zero_points: vec![0; 5], axis };
    // Symmetric weights, as the format demands: never -128.
    let weights = |random: &mut Random, n| random.i8s(n).iter().map(|v| (*v).max(-127)).collect::<Vec<i8>>();
    let biases = |random: &mut Random, n: usize| (0..n).map(|_| random.next() as i32 >> 20).collect::<Vec<i32>>();
    let (wc, bc) = (weights(&mut random, 5 * 9 * 2), biases(&mut random, 5));
    let (wd, bd) = (weights(&mut random, 9 * 5), biases(&mut random, 5));
    let (wf, bf) = (weights(&mut random, 3 * 20), biases(&mut random, 3));
    let (x_q, c_q, d_q, y_q) = ((0.05f32, -7i64), (0.04f32, 3i64), (0.03f32, -20i64), (0.09f32, 11i64));
    let q = |(scale, zero_point)| per_tensor(scale, zero_point);

    let mut m = Maker::default();
    let x = m.i8("image", &[1, 8, 8, 2], q(x_q), None);
    let (wc_, bc_) = (m.i8("conv/w", &[5, 3, 3, 2], per_channel(0), Some(&wc)), m.i32("conv/b", &[5], None, &bc));
    let c = m.i8("conv", &[1, 8, 8, 5], q(c_q), None);
    let (wd_, bd_) = (m.i8("depthwise/w", &[1, 3, 3, 5], per_channel(3), Some(&wd)), m.i32("depthwise/b", &[5], None, &bd));
    let (d, p) = (m.i8("depthwise", &[1, 4, 4, 5], q(d_q), None), m.i8("pool", &[1, 2, 2, 5], q(d_q), None));
    let (shape, r) = (m.i32("shape", &[2], None, &[1, 20]), m.i8("flat", &[1, 20], q(d_q), None));
    let (wf_, bf_) = (m.i8("fc/w", &[3, 20], per_tensor(0.004, 0), Some(&wf)), m.i32("fc/b", &[3], None, &bf));
    let y = m.i8("scores", &[1, 3], q(y_q), None);
    m.conv_2d(&[x, wc_, bc_], c, Padding::SAME, 1, Activation::RELU);
    m.depthwise_conv_2d(&[c, wd_, bd_], d, Padding::SAME, 2, Activation::NONE);
    m.pool_2d(Code::AVERAGE_POOL_2D, d, p, 2);
    m.operator(Code::RESHAPE, &[p, shape], &[r], None);
    m.fully_connected(&[r, wf_, bf_], y, Activation::NONE);
    let model = m.finish(&[x], &[y]);

    // The product of scales in double precision, each scale rounded to single first, as the format stores them.
    let ratio = |input: f32, weight: f32, output: f32| f64::from(input) * f64::from(weight) / f64::from(output);
    let to_i8 = |acc: i64, scale: f64, zero_point: i64, low: i64| (requantize(acc, scale) + zero_point).clamp(low, 127) as i8;
    let steps = (0..3).map(|_| {
        let x = random.i8s(64 * 2);
        let mut acc: Vec<i64> = (0..64 * 5).map(|i| i64::from(bc[i % 5])).collect();
        conv.each(|o, i, k| {
            for (oc, ic) in (0..5 * 2).map(|n| (n / 2, n % 2)) {
                acc[o * 5 + oc] += (i64::from(x[i * 2 + ic]) - x_q.1) * i64::from(wc[(oc * 9 + k) * 2 + ic]);
            }
        });
        let c: Vec<i8> = acc.iter().enumerate().map(|(i, a)| to_i8(*a, ratio(x_q.0, channel_scales[i % 5], c_q.0), c_q.1, c_q.1)).collect();
        let mut acc: Vec<i64> = (0..16 * 5).map(|i| i64::from(bd[i % 5])).collect();
        depthwise.each(|o, i, k| {
            for ch in 0..5 {
                acc[o * 5 + ch] += (i64::from(c[i * 5 + ch]) - c_q.1) * i64::from(wd[k * 5 + ch]);
            }
        });
        let d: Vec<i8> = acc.iter().enumerate().map(|(i, a)| to_i8(*a, ratio(c_q.0, channel_scales[i % 5], d_q.0), d_q.1, -128)).collect();
        let mut sums = [0i64; 4 * 5];
        pool.each(|o, i, _| (0..5).for_each(|ch| sums[o * 5 + ch] += i64::from(d[i * 5 + ch])));
        // A mean of four, ties away from zero.
        let p: Vec<i64> = sums.iter().map(|s| if *s < 0 { (*s - 2) / 4 } else { (*s + 2) / 4 }).collect();
        let y: Vec<i8> = (0..3)
            .map(|o| {
                let acc = (0..20).map(|i| (p[i] - d_q.1) * i64::from(wf[o * 20 + i])).sum::<i64>() + i64::from(bf[o]);
                to_i8(acc, ratio(d_q.0, 0.004, y_q.0), y_q.1, -128)
            })
            .collect();
        (array_i8(&[1, 8, 8, 2], &x), array_i8(&[1, 3], &y))
    });
    Case { name: "tiny_i8", model, steps: steps.collect(), tolerance: 0.0 }
}

/// CONV_2D, DEPTHWISE_CONV_2D and CONV_2D of floats on a 33 by 31 image with 12 channels: enough to be divided among threads.
pub fn divisible() -> Vec<u8> {
    let mut random = Random(4);
    let (w1, wd, w2) = (random.f32s(40 * 9 * 12), random.f32s(9 * 40), random.f32s(24 * 40));
    let (b1, bd, b2) = (random.f32s(40), random.f32s(40), random.f32s(24));
    let mut m = Maker::default();
    let x = m.f32("image", &[1, 33, 31, 12], None);
    let first = [x, m.f32("first/w", &[40, 3, 3, 12], Some(&w1)), m.f32("first/b", &[40], Some(&b1))];
    let c = m.f32("first", &[1, 33, 31, 40], None);
    let depthwise = [c, m.f32("depthwise/w", &[1, 3, 3, 40], Some(&wd)), m.f32("depthwise/b", &[40], Some(&bd))];
    let d = m.f32("depthwise", &[1, 33, 31, 40], None);
    let second = [d, m.f32("second/w", &[24, 1, 1, 40], Some(&w2)), m.f32("second/b", &[24], Some(&b2))];
    let y = m.f32("y", &[1, 33, 31, 24], None);
    m.conv_2d(&first, c, Padding::SAME, 1, Activation::RELU);
    m.depthwise_conv_2d(&depthwise, d, Padding::SAME, 1, Activation::NONE);
    m.conv_2d(&second, y, Padding::SAME, 1, Activation::NONE);
    m.finish(&[x], &[y])
}

/// Two outputs of one input, bytes and floats, from weights of their own; sizes are odd.
pub fn two_headed() -> Vec<u8> {
    let mut random = Random(5);
    let weights = |random: &mut Random, n| random.i8s(n).iter().map(|v| (*v).max(-127)).collect::<Vec<i8>>();
    let (wa, wb) = (weights(&mut random, 5 * 19), weights(&mut random, 7 * 19));
    let biases = |random: &mut Random, n: usize| (0..n).map(|_| random.next() as i32 >> 22).collect::<Vec<i32>>();
    let (ba, bb) = (biases(&mut random, 5), biases(&mut random, 7));
    let mut m = Maker::default();
    let x = m.i8("x", &[1, 19], per_tensor(0.05, -7), None);
    let a = [x, m.i8("a/w", &[5, 19], per_tensor(0.01, 0), Some(&wa)), m.i32("a/b", &[5], None, &ba)];
    let b = [x, m.i8("b/w", &[7, 19], per_tensor(0.01, 0), Some(&wb)), m.i32("b/b", &[7], None, &bb)];
    let bytes = m.i8("bytes", &[1, 5], per_tensor(0.2, 3), None);
    let (inner, floats) = (m.i8("inner", &[1, 7], per_tensor(0.2, -4), None), m.f32("floats", &[1, 7], None));
    m.fully_connected(&a, bytes, Activation::NONE);
    m.fully_connected(&b, inner, Activation::NONE);
    m.operator(Code::DEQUANTIZE, &[inner], &[floats], None);
    m.finish(&[x], &[bytes, floats])
}

/// Weights that take fewer bytes: some of four bits, some mostly near 0, and floats of few kinds.
pub fn packable() -> Vec<u8> {
    let mut random = Random(6);
    let (first, rest) = packable_layers(&mut random);
    let mut m = Maker::default();
    let x = m.i8("x", &[1, 64], per_tensor(0.05, -7), None);
    let hidden = first(&mut m, x);
    let y = rest(&mut m, hidden);
    m.finish(&[x], &[y])
}

/// A float16 model as the converter makes them: a DEQUANTIZE makes floats of weights of 16 bits, all below 2.
pub fn half_floats() -> Vec<u8> {
    let mut random = Random(8);
    let mut m = Maker::default();
    let x = m.i8("x", &[1, 64], per_tensor(0.05, -7), None);
    let (mut from, mut depth) = (m.f32("real", &[1, 64], None), 64);
    m.operator(Code::DEQUANTIZE, &[x], &[from], None);
    for (name, units) in [("a", 128), ("b", 64), ("c", 64)] {
        let bits = (0..units * depth).map(|_| random.next() as u16 & 0xbfff);
        let halves: Vec<u8> = bits.flat_map(u16::to_le_bytes).collect();
        let weights = m.tensor(&format!("{name}/w16"), Element::FLOAT16, &[units, depth], None, Some(&halves));
        let (w, y) = (m.f32(&format!("{name}/w"), &[units, depth], None), m.f32(name, &[1, units], None));
        m.operator(Code::DEQUANTIZE, &[weights], &[w], None);
        let bias = m.f32(&format!("{name}/b"), &[units], Some(&vec![0.25; units as usize]));
        m.fully_connected(&[from, w, bias], y, Activation::NONE);
        (from, depth) = (y, units);
    }
    m.finish(&[x], &[from])
}

/// Three signatures: `all` is [`packable`], `end` its last layers, which have the same weights, and `sparse` multiplies 48 rows by weights of which few are not zero.
pub fn packable_parts() -> Vec<u8> {
    let mut random = Random(6);
    let (first, rest) = packable_layers(&mut random);
    let few: Vec<f32> = (0..64 * 64).map(|i| if i % 13 == 0 { ((random.next() >> 16) % 11) as f32 * 0.173 - 0.8 } else { 0.0 }).collect();
    let mut m = Maker::default();
    let x = m.i8("x", &[1, 64], per_tensor(0.05, -7), None);
    let hidden = first(&mut m, x);
    let y = rest(&mut m, hidden);
    m.signature("all", &[("x", x)], &[("y", y)]);
    m.end_subgraph(&[x], &[y]);
    let x = m.i8("x", &[1, 96], per_tensor(0.2, 3), None);
    let y = rest(&mut m, x);
    m.signature("end", &[("x", x)], &[("y", y)]);
    m.end_subgraph(&[x], &[y]);
    let (x, y) = (m.i8("x", &[48, 64], per_tensor(0.05, -7), None), m.f32("y", &[48, 64], None));
    let real = m.f32("real", &[48, 64], None);
    let product = [real, m.f32("few", &[64, 64], Some(&few)), m.f32("biases", &[64], Some(&[0.5; 64]))];
    m.operator(Code::DEQUANTIZE, &[x], &[real], None);
    m.fully_connected(&product, y, Activation::NONE);
    m.signature("sparse", &[("x", x)], &[("y", y)]);
    m.finish(&[x], &[y])
}

/// What writes the first layer of [`packable`], and what writes the others.
fn packable_layers(random: &mut Random) -> (impl Fn(&mut Maker, i32) -> i32 + use<>, impl Fn(&mut Maker, i32) -> i32 + use<>) {
    let nibbles: Vec<i8> = (0..96 * 64).map(|_| (random.next() >> 28) as i8 - 8).collect();
    let near: Vec<i8> = (0..80 * 96).map(|_| (0..4).map(|_| (random.next() >> 27) as i8 - 16).sum::<i8>() + 2).collect();
    let floats: Vec<f32> = (0..24 * 80).map(|_| ((random.next() >> 16) % 11) as f32 * 0.173 - 0.8).collect();
    let biases = |random: &mut Random, n: usize| (0..n).map(|_| random.next() as i32 >> 22).collect::<Vec<i32>>();
    let (ba, bb) = (biases(random, 96), biases(random, 80));
    let first = move |m: &mut Maker, x| {
        let a = [x, m.i8("a/w", &[96, 64], per_tensor(0.02, 0), Some(&nibbles)), m.i32("a/b", &[96], None, &ba)];
        let hidden = m.i8("a", &[1, 96], per_tensor(0.2, 3), None);
        m.fully_connected(&a, hidden, Activation::RELU);
        hidden
    };
    let rest = move |m: &mut Maker, x| {
        let b = [x, m.i8("b/w", &[80, 96], per_tensor(0.01, 0), Some(&near)), m.i32("b/b", &[80], None, &bb)];
        let (second, real) = (m.i8("b", &[1, 80], per_tensor(0.3, -4), None), m.f32("real", &[1, 80], None));
        let c = [real, m.f32("c/w", &[24, 80], Some(&floats)), m.f32("c/b", &[24], Some(&[0.5; 24]))];
        let y = m.f32("y", &[1, 24], None);
        m.fully_connected(&b, second, Activation::NONE);
        m.operator(Code::DEQUANTIZE, &[second], &[real], None);
        m.fully_connected(&c, y, Activation::NONE);
        y
    };
    (first, rest)
}

/// Rows of a table of seven, as four indices say; row i has the numbers 10 i, 10 i + 1 and 10 i + 2.
pub fn picked() -> Vec<u8> {
    let mut m = Maker::default();
    let numbers: Vec<f32> = (0..21).map(|i| (i / 3 * 10 + i % 3) as f32).collect();
    let (table, picks) = (m.f32("table", &[7, 3], Some(&numbers)), m.tensor("picks", Element::INT32, &[4], None, None));
    let rows = m.f32("rows", &[4, 3], None);
    m.operator(Code::GATHER, &[table, picks], &[rows], None);
    m.finish(&[picks], &[rows])
}

/// Models in which careless code would raise exceptions: sums that are scaled beyond 32 bits, and floats quantised at run time in vectors that are
/// longer than they are.
pub fn exceptional() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Random(6);
    let mut m = Maker::default();
    let w: Vec<i8> = (0..5 * 9 * 3).map(|i| if i / 27 % 2 == 0 { 127 } else { -127 }).collect();
    let x = m.i8("x", &[1, 6, 6, 3], per_tensor(1.0, -128), None);
    let scales = Quantization { scales: (0..5).map(|i| 1.0 + 1e5 * i as f32).collect(), zero_points: vec![0; 5], axis: 0 };
    let (w_, b_) = (m.i8("w", &[5, 3, 3, 3], scales, Some(&w)), m.i32("b", &[5], None, &[0, 1 << 30, -(1 << 30), i32::MAX, i32::MIN]));
    let y = m.i8("y", &[1, 6, 6, 5], per_tensor(0.01, 3), None);
    m.conv_2d(&[x, w_, b_], y, Padding::SAME, 1, Activation::NONE);
    let scaled_up = m.finish(&[x], &[y]);

    let mut m = Maker::default();
    let x = m.f32("x", &[3, 13], None);
    let (w, b) = (random.i8s(5 * 13).iter().map(|v| (*v).max(-127)).collect::<Vec<i8>>(), random.f32s(5));
    let (w_, b_) = (m.i8("w", &[5, 13], per_tensor(0.01, 0), Some(&w)), m.f32("b", &[5], Some(&b)));
    let (h, y) = (m.f32("h", &[3, 5], None), m.f32("y", &[3, 5], None));
    m.fully_connected(&[x, w_, b_], h, Activation::NONE);
    m.softmax(h, y);
    let hybrid = m.finish(&[x], &[y]);

    let mut m = Maker::default();
    let x = m.f32("x", &[1, 5, 5, 3], None);
    let w = random.i8s(3 * 9 * 3).iter().map(|v| (*v).max(-127)).collect::<Vec<i8>>();
    let scales = Quantization { scales: vec![0.01, 0.02, 0.03], zero_points: vec![0; 3], axis: 0 };
    let (w_, b_) = (m.i8("w", &[3, 3, 3, 3], scales, Some(&w)), m.f32("b", &[3], Some(&random.f32s(3))));
    let (c, l, y) = (m.f32("c", &[1, 5, 5, 3], None), m.f32("l", &[1, 5, 5, 3], None), m.f32("y", &[1, 2, 2, 3], None));
    m.conv_2d(&[x, w_, b_], c, Padding::SAME, 1, Activation::NONE);
    m.operator(Code::LOGISTIC, &[c], &[l], None);
    m.pool_2d(Code::AVERAGE_POOL_2D, l, y, 2);
    let convolution = m.finish(&[x], &[y]);

    let mut m = Maker::default();
    let x = m.f32("x", &[1, 7], None);
    let q = m.i8("q", &[1, 7], per_tensor(0.02, 5), None);
    let y = m.i8("y", &[1, 7], per_tensor(1.0 / 256.0, -128), None);
    m.operator(Code::QUANTIZE, &[x], &[q], None);
    m.softmax(q, y);
    let quantized = m.finish(&[x], &[y]);
    vec![("scaled up", scaled_up), ("hybrid", hybrid), ("hybrid convolution", convolution), ("quantized", quantized)]
}

/// Two custom operators: Sum adds a constant to `x` and multiplies by the first byte of its options, also giving signs; Check copies what is
/// positive of that. Both are unknown.
pub fn custom() -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[1, 5], None);
    let b = m.f32("b", &[5], Some(&[0.5, 1.5, 2.5, 3.5, 4.5]));
    let [sum, positive, y] = ["sum", "positive", "y"].map(|name| m.f32(name, &[1, 5], None));
    let z = m.tensor("z", Element::INT8, &[1, 5], None, None);
    m.custom("Sum", &[x, b], &[sum, z], &[3, 7]);
    m.operator(Code::RELU, &[sum], &[positive], None);
    m.custom("Check", &[positive], &[y], &[]);
    m.finish(&[x], &[y, z])
}

/// What [`learner`] has in its variable `v` at first, and its weights and biases: small integers, so that sums are exact.
pub fn learner_numbers() -> [Vec<f32>; 3] {
    let weight = |i: usize| ((i / 12 * 5 + i % 12 * 3) % 7) as f32 - 3.0;
    [(0..12).map(|i| (i % 3) as f32).collect(), (0..96).map(weight).collect(), (0..8).map(|o| o as f32 - 2.0).collect()]
}

/// Three signatures over two variables. `update` adds `x` to `v` and gives weights times `v` and biases; `infer` gives the same of `x` and `v` without a change;
/// `tick` counts its calls in `n`, which follows `v`, and adds that to `x`.
pub fn learner() -> Vec<u8> {
    learner_named(["update", "infer", "tick"])
}

/// With other keys.
pub fn learner_named([update, infer, tick]: [&str; 3]) -> Vec<u8> {
    let [v, w, b] = learner_numbers();
    let mut m = Maker::default();
    for (key, changes) in [(update, true), (infer, false)] {
        m.call_once(3);
        let handle = m.variable("v");
        let [x, old, new] = ["x", "old", "new"].map(|name| m.f32(name, &[1, 12], None));
        let (w, b, y) = (m.f32("w", &[8, 12], Some(&w)), m.f32("b", &[8], Some(&b)), m.f32("y", &[1, 8], None));
        m.operator(Code::READ_VARIABLE, &[handle], &[old], None);
        m.operator(Code::ADD, &[old, x], &[new], None);
        if changes {
            m.operator(Code::ASSIGN_VARIABLE, &[handle, new], &[], None);
        }
        m.fully_connected(&[new, w, b], y, Activation::NONE);
        m.signature(key, &[("x", x)], &[("y", y)]);
        m.end_subgraph(&[x], &[y]);
    }
    m.call_once(3);
    let handle = m.variable("n");
    let [x, old, new, y] = ["x", "old", "new", "sum"].map(|name| m.f32(name, &[1], None));
    let one = m.f32("one", &[1], Some(&[1.0]));
    m.operator(Code::READ_VARIABLE, &[handle], &[old], None);
    m.operator(Code::ADD, &[old, one], &[new], None);
    m.operator(Code::ASSIGN_VARIABLE, &[handle, new], &[], None);
    m.operator(Code::ADD, &[new, x], &[y], None);
    m.signature(tick, &[("x", x)], &[("sum", y)]);
    m.end_subgraph(&[x], &[y]);
    for (name, first) in [("v", &v[..]), ("n", &[100.0])] {
        let handle = m.variable(name);
        let first = m.f32("first", &if name == "v" { vec![1, 12] } else { vec![1] }, Some(first));
        m.operator(Code::ASSIGN_VARIABLE, &[handle, first], &[], None);
    }
    m.finish(&[], &[])
}
