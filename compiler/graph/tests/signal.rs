//! The operators of an audio front end (Signal…), lowered for several machines and interpreted, against plain loops, over several invocations where they keep
//! a state; and some numbers that TensorFlow Lite for Microcontrollers gives.

#[allow(dead_code)]
#[path = "windows/support.rs"]
mod support;

use cranelite_graph::diagnostic::Code;
use cranelite_graph::graph::{Graph, Node, Origin, State, Value};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::{Op, Operand, Signature};
use cranelite_graph::ops::{
    signaldelay, signalenergy, signalfftautoscale, signalfilterbank, signalfilterbanklog, signalfilterbankspectralsubtraction,
    signalfilterbanksquareroot, signalframer, signalirfft, signaloverlapadd, signalpcan, signalrfft, signals, signalstacker, signalwindow,
};
use cranelite_graph::quantize;
use cranelite_graph::tensor::ElementType::{self, Bool, F32, I16, I32, U32, U64};
use cranelite_graph::tensor::TensorType;
use cranelite_tile::{arena, interpret, verify};
use std::collections::VecDeque;
use support::machines;

struct Random(u64);

impl Random {
    fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }
    fn below(&mut self, n: usize) -> usize {
        self.word() as usize % n
    }
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }
    /// Small and large ones, and those at the ends.
    fn words(&mut self, n: usize) -> Vec<i16> {
        let kind = self.below(3);
        (0..n)
            .map(|_| match kind {
                0 => self.word() as i16,
                1 => self.word() as i16 >> 9,
                _ => [i16::MIN, i16::MAX, 0, 1, -1, -3][self.below(6)],
            })
            .collect()
    }
    fn longs(&mut self, n: usize) -> Vec<u32> {
        const ODD: [u32; 9] = [0, 1, 2, 3, 4, 65535, 65536, 1 << 31, u32::MAX];
        (0..n).map(|_| if self.below(5) == 0 { ODD[self.below(9)] } else { (self.word() << 1) >> self.below(32) }).collect()
    }
    fn shape(&mut self) -> Vec<usize> {
        [vec![], vec![1], vec![3], vec![2, 2]][self.below(4)].clone()
    }
}

fn bytes<T: Copy, const N: usize>(numbers: &[T], to: fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|n| to(*n)).collect()
}
fn i16s(numbers: &[i16]) -> Vec<u8> {
    bytes(numbers, i16::to_le_bytes)
}
fn u32s(numbers: &[u32]) -> Vec<u8> {
    bytes(numbers, u32::to_le_bytes)
}
fn u64s(numbers: &[u64]) -> Vec<u8> {
    bytes(numbers, u64::to_le_bytes)
}
fn i32s(numbers: &[i32]) -> Vec<u8> {
    bytes(numbers, i32::to_le_bytes)
}
fn f32s(numbers: &[f32]) -> Vec<u8> {
    bytes(numbers, f32::to_le_bytes)
}

fn ty(element: ElementType, shape: &[usize]) -> TensorType {
    TensorType::new(element, shape)
}

fn infer(op: &Op, inputs: &[TensorType], outputs: &[ElementType]) -> Result<Vec<TensorType>, Code> {
    let results: Vec<TensorType> = outputs.iter().map(|e| ty(*e, &[])).collect();
    let mut all: Vec<Option<Operand>> = inputs.iter().map(|ty| Some(Operand { ty, data: None })).collect();
    let states = op.own_states(&Signature { inputs: all.clone(), outputs: results.iter().collect() }).map_err(|d| d.code)?;
    all.extend(states.iter().map(|ty| Some(Operand { ty, data: None })));
    let shapes = op.infer(&Signature { inputs: all, outputs: results.iter().collect() }).map_err(|d| d.code)?;
    Ok(outputs.iter().zip(shapes).map(|(e, shape)| ty(*e, &shape)).collect())
}

/// The results of several invocations, whose operands are `steps`; the same on all machines.
fn run(op: &Op, inputs: &[TensorType], outputs: &[ElementType], steps: &[Vec<Vec<u8>>]) -> Vec<Vec<Vec<u8>>> {
    let results = infer(op, inputs, outputs).unwrap_or_else(|code| panic!("{op:?} {inputs:?}: {code:?}"));
    let mut g = Graph { name: "test".into(), ..Graph::default() };
    let mut value = |ty: &TensorType| g.add_value(Value { name: "x".into(), ty: ty.clone(), data: None });
    let operands: Vec<_> = inputs.iter().map(&mut value).collect();
    let y: Vec<_> = results.iter().map(&mut value).collect();
    let all = inputs.iter().map(|ty| Some(Operand { ty, data: None })).collect();
    let states = op.own_states(&Signature { inputs: all, outputs: results.iter().collect() }).unwrap();
    let states: Vec<_> = states.iter().map(&mut value).collect();
    (g.inputs, g.outputs) = (operands.clone(), y.clone());
    g.states = states.iter().map(|v| State { value: *v, initial: None, origin: Origin::Operator(0, v.0) }).collect();
    let inputs = operands.into_iter().chain(states).map(Some).collect();
    g.nodes.push(Node { op: op.clone(), inputs, outputs: y, operator: 0, then: vec![] });
    cranelite_graph::verify::verify(&g).unwrap_or_else(|e| panic!("{e:?}"));
    let mut found: Option<Vec<Vec<Vec<u8>>>> = None;
    for machine in machines() {
        for goal in [Goal::Speed, Goal::Size] {
            let mut program = lower(&g, &machine, goal).unwrap_or_else(|e| panic!("{}", e[0]));
            arena::plan(&mut program);
            arena::check(&program).unwrap();
            verify::verify(&program).unwrap_or_else(|e| panic!("{}", e[0]));
            let mut state = interpret::initial_state(&program).unwrap();
            let mut step = |operands: &Vec<Vec<u8>>| {
                let mut outputs: Vec<Vec<u8>> = results.iter().map(|ty| vec![0xAA; ty.size_bytes()]).collect();
                let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
                let operands: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
                interpret::run_with_state(&program, &operands, &mut slices, &mut state, |_, _| ()).unwrap_or_else(|e| panic!("{e}"));
                outputs
            };
            let all: Vec<Vec<Vec<u8>>> = steps.iter().map(&mut step).collect();
            assert_eq!(&all, found.get_or_insert_with(|| all.clone()), "{op:?} {}", machine.name);
        }
    }
    found.expect("some machine")
}

fn run_once(op: &Op, inputs: &[TensorType], outputs: &[ElementType], operands: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    run(op, inputs, outputs, &[operands]).remove(0)
}

#[test]
fn windows() {
    let mut random = Random(1);
    for _ in 0..12 {
        let (length, shift) = (random.between(1, 70), random.below(18));
        let shape = [random.shape(), vec![length]].concat();
        let count = shape.iter().product();
        let (x, w) = (random.words(count), random.words(length));
        let op = Op::SignalWindow(signalwindow::Attributes { shift });
        let y: Vec<i16> =
            x.iter().zip(w.iter().cycle()).map(|(x, w)| ((i32::from(*x) * i32::from(*w)) >> shift).clamp(-32768, 32767) as i16).collect();
        let got = run_once(&op, &[ty(I16, &shape), ty(I16, &[length])], &[I16], vec![i16s(&x), i16s(&w)]);
        assert_eq!(got, [i16s(&y)], "{shape:?} {shift}");
    }
    let empty = run_once(
        &Op::SignalWindow(signalwindow::Attributes { shift: 1 }),
        &[ty(I16, &[0, 3]), ty(I16, &[3])],
        &[I16],
        vec![vec![], i16s(&[1; 3])],
    );
    assert_eq!(empty, [vec![]]);
}

#[test]
fn energies() {
    let mut random = Random(2);
    for _ in 0..12 {
        let n = random.between(1, 60);
        let end = random.between(0, n);
        let start = random.between(0, end);
        let x = random.words(2 * n);
        let square = |v: i16| i64::from(v) * i64::from(v);
        let energy = |i: usize| if (start..end).contains(&i) { (square(x[2 * i]) + square(x[2 * i + 1])) as u32 } else { 0 };
        let op = Op::SignalEnergy(signalenergy::Attributes { start_index: start, end_index: end });
        let got = run_once(&op, &[ty(I16, &[2 * n])], &[U32], vec![i16s(&x)]);
        assert_eq!(got, [u32s(&(0..n).map(energy).collect::<Vec<_>>())], "{n} {start} {end}");
    }
}

#[test]
fn scales() {
    let mut random = Random(3);
    let mut all: Vec<Vec<i16>> = (0..30)
        .map(|_| {
            let n = random.between(0, 70);
            random.words(n)
        })
        .collect();
    all.extend([vec![0; 40], vec![-1; 5], vec![i16::MIN; 33], vec![i16::MIN, -5, -3], vec![-7, i16::MIN, 3, -4], vec![3, i16::MIN]]);
    for x in all {
        let mut most = 0i16;
        for &v in &x {
            most = if most < v {
                v
            } else if i32::from(most) < -i32::from(v) {
                v.wrapping_neg()
            } else {
                most
            };
        }
        // Of 0 the reference takes all bits for used.
        let used = if most == 0 { 32 } else { 32 - (i32::from(most) as u32).leading_zeros() as i32 };
        let bits = (15 - used).max(0);
        let y: Vec<i16> = x.iter().map(|v| v.wrapping_mul(1 << bits)).collect();
        let got = run_once(&Op::SignalFftAutoScale(signalfftautoscale::Attributes {}), &[ty(I16, &[x.len()])], &[I16, I32], vec![i16s(&x)]);
        assert_eq!(got, [i16s(&y), i32s(&[bits])], "{x:?}");
    }
}

#[test]
fn filter_banks() {
    let mut random = Random(4);
    for _ in 0..12 {
        let (channels, bins, weights) = (random.between(0, 9), random.between(6, 40), random.between(6, 40));
        let widths: Vec<usize> = (0..=channels).map(|_| random.below(6)).collect();
        let frequency_starts: Vec<usize> = widths.iter().map(|w| random.between(0, bins - w)).collect();
        let weight_starts: Vec<usize> = widths.iter().map(|w| random.between(0, weights - w)).collect();
        let (x, w, u) = (random.longs(bins), random.words(weights), random.words(weights));
        let (mut sum, mut left, mut y) = (0u64, 0u64, vec![]);
        for c in 0..=channels {
            for j in 0..widths[c] {
                let (energy, at) = (u64::from(x[frequency_starts[c] + j]), weight_starts[c] + j);
                sum = sum.wrapping_add((w[at] as u64).wrapping_mul(energy));
                left = left.wrapping_add((u[at] as u64).wrapping_mul(energy));
            }
            y.push(sum);
            (sum, left) = (left, 0);
        }
        let op = Op::SignalFilterBank(signalfilterbank::Attributes { num_channels: channels, frequency_starts, weight_starts, widths });
        let inputs = [ty(U32, &[bins]), ty(I16, &[weights]), ty(I16, &[weights])];
        assert_eq!(run_once(&op, &inputs, &[U64], vec![u32s(&x), i16s(&w), i16s(&u)]), [u64s(&y[1..])], "{op:?}");
    }
}

#[test]
fn square_roots() {
    let mut random = Random(5);
    let mut x: Vec<u64> = (0..64).map(|i| u64::MAX >> i).collect();
    x.extend((0..200).map(|_| {
        let root = u64::from(random.word() << 1) >> random.below(32);
        (root * root + [0, 1, root, root + 1, 2 * root][random.below(5)]).wrapping_sub(random.below(2) as u64)
    }));
    // The largest of 16 and of 32 bits, which are not rounded up.
    x.extend([0, 1, 2, 3, 65535 * 65535 + 65535, 65535 * 65535 + 65536, 0xffff_ffff * 0xffff_ffff + 0xffff_ffff, (1 << 32) - 1, 1 << 32]);
    for bits in [0, 3, 31] {
        let root = |v: &u64| {
            let mut root = (*v as f64).sqrt() as u128;
            while u128::from(*v) < root * root {
                root -= 1;
            }
            while (root + 1) * (root + 1) <= u128::from(*v) {
                root += 1;
            }
            let up = root < u128::from(*v) - root * root && root != 0xffff && root != 0xffff_ffff;
            (root as u32 + u32::from(up)) >> bits
        };
        let y: Vec<u32> = x.iter().map(root).collect();
        let op = Op::SignalFilterBankSquareRoot(signalfilterbanksquareroot::Attributes {});
        assert_eq!(run_once(&op, &[ty(U64, &[x.len()]), ty(I32, &[])], &[U32], vec![u64s(&x), i32s(&[bits])]), [u32s(&y)], "{bits}");
    }
}

#[test]
fn noise_is_subtracted() {
    let mut random = Random(6);
    for _ in 0..10 {
        let n = random.between(1, 30);
        let mut coefficient = || {
            let bits = random.between(1, 16);
            1 + random.below(1 << bits)
        };
        let [smoothing, one_minus_smoothing, alternate_smoothing, alternate_one_minus_smoothing, min_signal_remaining] =
            std::array::from_fn(|_| coefficient());
        let a = signalfilterbankspectralsubtraction::Attributes {
            num_channels: n,
            smoothing,
            one_minus_smoothing,
            alternate_smoothing,
            alternate_one_minus_smoothing,
            min_signal_remaining,
            smoothing_bits: random.below(14),
            spectral_subtraction_bits: [0, 10, 14, 30, 33, 63][random.below(6)],
            clamping: random.below(2) == 0,
        };
        let mut noise = vec![0u32; n];
        let (mut steps, mut expected) = (vec![], vec![]);
        for _ in 0..5 {
            let x = random.longs(n);
            let mut y = vec![];
            for i in 0..n {
                let (s, o) = if i % 2 == 0 {
                    (a.smoothing, a.one_minus_smoothing)
                } else {
                    (a.alternate_smoothing, a.alternate_one_minus_smoothing)
                };
                let up = x[i] << a.smoothing_bits;
                let sum = (u64::from(up) * s as u64).wrapping_add(u64::from(noise[i]) * o as u64);
                noise[i] = (sum >> a.spectral_subtraction_bits) as u32;
                let estimate = noise[i].min(up);
                if a.clamping {
                    noise[i] = estimate;
                }
                let floor = ((u64::from(x[i]) * a.min_signal_remaining as u64) >> a.spectral_subtraction_bits) as u32;
                y.push(((up - estimate) >> a.smoothing_bits).max(floor));
            }
            expected.push(vec![u32s(&y), u32s(&noise)]);
            steps.push(vec![u32s(&x)]);
        }
        let op = Op::SignalFilterBankSpectralSubtraction(a);
        assert_eq!(run(&op, &[ty(U32, &[n])], &[U32, U32], &steps), expected, "{op:?}");
    }
}

#[test]
fn gains() {
    let mut random = Random(7);
    for _ in 0..8 {
        let (n, snr_shift) = (random.between(1, 60), random.below(40));
        let (x, noise, table) = (random.longs(n), random.longs(n), random.words(125));
        let gain = |noise: u32| {
            if noise <= 2 {
                return table[noise as usize];
            }
            let bits = 32 - noise.leading_zeros() as usize;
            let fraction = i64::from(if bits < 11 { noise << (11 - bits) } else { noise >> (bits - 11) } & 0x3ff);
            let [a, b, c] = [0, 1, 2].map(|i| i64::from(table[4 * bits - 6 + i]));
            let v = ((((c * fraction) >> 5) + (b << 5)) as i32).wrapping_mul(fraction as i32);
            ((v.wrapping_add(1 << 14) >> 15) + a as i32) as i16
        };
        let one = |(x, noise): (&u32, &u32)| {
            let ratio = (u64::from(*x).wrapping_mul(u64::from(gain(*noise) as u32)) >> snr_shift) as u32;
            if ratio < 2 << 12 { (ratio * ratio) >> 20 } else { (ratio >> 6) - 64 }
        };
        let y: Vec<u32> = x.iter().zip(&noise).map(one).collect();
        let op = Op::SignalPcan(signalpcan::Attributes { snr_shift });
        let inputs = [ty(U32, &[n]), ty(U32, &[n]), ty(I16, &[125])];
        assert_eq!(run_once(&op, &inputs, &[U32], vec![u32s(&x), u32s(&noise), i16s(&table)]), [u32s(&y)], "{snr_shift}");
    }
}

#[test]
fn logarithms() {
    let mut random = Random(8);
    for (scale, shift) in [(64, 3), (1600, 0), (65536, 0), (200_000, 7), (0, 1)] {
        let mut x = random.longs(150);
        x.extend((0..32).flat_map(|b| [1u32 << b, (1u32 << b).wrapping_sub(1)]));
        // Pieces of a table that is made here of the definition.
        let bend = |i: i64| (libm::log2(1.0 + i as f64 / 128.0) - i as f64 / 128.0) * 65536.0;
        let table: Vec<i64> = (0..=128).map(|i| (bend(i) + 0.5).floor() as i64).collect();
        let one = |v: &u32| {
            let v = v << shift;
            if v <= 1 {
                return 0;
            }
            let position = i64::from(31 - v.leading_zeros());
            let fraction = ((i64::from(v) << 16) >> position) - 65536;
            let (piece, within) = ((fraction >> 9) as usize, fraction & 511);
            let bend = table[piece] + (((table[piece + 1] - table[piece]) * within) >> 16);
            let log = (45426 * ((position << 16) + fraction + bend) + 32768) >> 16;
            ((scale as u32).wrapping_mul(log as u32).wrapping_add(32768) >> 16).min(32767) as i16
        };
        let y: Vec<i16> = x.iter().map(one).collect();
        let op = Op::SignalFilterBankLog(signalfilterbanklog::Attributes { output_scale: scale, input_correction_bits: shift });
        assert_eq!(run_once(&op, &[ty(U32, &[x.len()])], &[I16], vec![u32s(&x)]), [i16s(&y)], "{scale} {shift}");
    }
    // The first entries of the reference's table, those at its top and the last ones.
    let table = quantize::log_2_table(128);
    assert_eq!(
        (table[..4].to_vec(), table[55..60].to_vec(), table[125..].to_vec()),
        (vec![0, 224, 442, 654], vec![5637, 5640, 5641, 5638, 5633], vec![421, 282, 142, 0])
    );
}

#[test]
fn frames() {
    let mut random = Random(9);
    for turn in 0..16 {
        let (step, prefill) = (random.between(1, 12), turn % 2 == 0);
        let size = random.between(if prefill { step } else { 1 }, 40);
        let (outer, frames) = (random.shape(), random.between(1, 4));
        let rows: usize = outer.iter().product();
        let zeros = if prefill { size - step } else { 0 };
        let mut lines: Vec<VecDeque<i16>> = vec![vec![0; zeros].into(); rows];
        let (mut steps, mut expected) = (vec![], vec![]);
        for _ in 0..9 {
            let x = random.words(rows * frames * step);
            let (mut y, mut valid) = (vec![], 1);
            for (line, samples) in lines.iter_mut().zip(x.chunks(frames * step)) {
                for new in samples.chunks(step) {
                    line.extend(new);
                    let mut frame: Vec<i16> = line.iter().copied().take(size).collect();
                    if line.len() < size {
                        valid = 0;
                        // Zeros, as many as a whole number of steps leaves.
                        let whole = size.div_ceil(step) * step;
                        let all: Vec<i16> = vec![0; whole - line.len()].into_iter().chain(line.iter().copied()).collect();
                        frame = all[..size].to_vec();
                    } else {
                        line.drain(..step);
                    }
                    y.extend(frame);
                }
            }
            expected.push(vec![i16s(&y), vec![valid]]);
            steps.push(vec![i16s(&x)]);
        }
        let op = Op::SignalFramer(signalframer::Attributes { frame_size: size, frame_step: step, prefill });
        let shape = [outer, vec![frames * step]].concat();
        assert_eq!(run(&op, &[ty(I16, &shape)], &[I16, Bool], &steps), expected, "{op:?} {shape:?}");
    }
}

#[test]
fn stacks() {
    let mut random = Random(10);
    for _ in 0..16 {
        let (channels, left, right) = (random.between(1, 20), random.below(4), random.below(4));
        let whole = left + right + 1;
        let step = random.between(1, whole);
        let (mut line, mut is_first): (VecDeque<Vec<i16>>, bool) = (VecDeque::new(), true);
        let (mut steps, mut expected) = (vec![], vec![]);
        for _ in 0..13 {
            let x = random.words(channels);
            let times = if std::mem::take(&mut is_first) { left + 1 } else { 1 };
            line.extend(vec![x.clone(); times]);
            expected.push((line.len() == whole).then(|| line.iter().flatten().copied().collect::<Vec<i16>>()));
            if line.len() == whole {
                line.drain(..step);
            }
            steps.push(vec![i16s(&x)]);
        }
        let op = Op::SignalStacker(signalstacker::Attributes {
            num_channels: channels,
            stacker_left_context: left,
            stacker_right_context: right,
            stacker_step: step,
        });
        for (got, expected) in run(&op, &[ty(I16, &[channels])], &[I16, Bool], &steps).iter().zip(expected) {
            assert_eq!(got[1], [u8::from(expected.is_some())], "{op:?}");
            assert!(expected.is_none_or(|y| got[0] == i16s(&y)), "{op:?}");
        }
    }
}

#[test]
fn overlapping_frames_are_added() {
    let mut random = Random(11);
    for turn in 0..16 {
        let (size, frames, outer) = (random.between(1, 40), random.between(1, 4), random.shape());
        let (step, rows) = (random.between(1, size), outer.iter().product::<usize>());
        let shape = [outer, vec![frames, size]].concat();
        let op = Op::SignalOverlapAdd(signaloverlapadd::Attributes { frame_step: step });
        let mut sums = vec![vec![0.0f32; size]; rows];
        let is_float = turn % 2 == 0;
        let (mut steps, mut expected) = (vec![], vec![]);
        for _ in 0..4 {
            let x: Vec<f32> = random.words(rows * frames * size).into_iter().map(f32::from).collect();
            let mut y = vec![];
            for (i, frame) in x.chunks(size).enumerate() {
                let sum = &mut sums[i / frames];
                for (sum, v) in sum.iter_mut().zip(frame) {
                    *sum += v;
                    if !is_float {
                        *sum = sum.clamp(-32768.0, 32767.0);
                    }
                }
                y.extend(sum.drain(..step));
                sum.resize(size, 0.0);
            }
            let all = |v: &[f32]| if is_float { f32s(v) } else { i16s(&v.iter().map(|v| *v as i16).collect::<Vec<_>>()) };
            expected.push(vec![all(&y)]);
            steps.push(vec![all(&x)]);
        }
        let element = if is_float { F32 } else { I16 };
        assert_eq!(run(&op, &[ty(element, &shape)], &[element], &steps), expected, "{op:?} {shape:?}");
    }
}

#[test]
fn delays() {
    let mut random = Random(12);
    for _ in 0..12 {
        let (length, delay, outer) = (random.between(1, 40), random.below(60), random.shape());
        let mut lines: Vec<VecDeque<i16>> = vec![vec![0; delay].into(); outer.iter().product()];
        let shape = [outer, vec![length]].concat();
        let (mut steps, mut expected) = (vec![], vec![]);
        for _ in 0..5 {
            let x = random.words(lines.len() * length);
            let rows = lines.iter_mut().zip(x.chunks(length));
            let y: Vec<i16> = rows
                .flat_map(|(line, x)| {
                    line.extend(x);
                    line.drain(..length).collect::<Vec<_>>()
                })
                .collect();
            expected.push(vec![i16s(&y)]);
            steps.push(vec![i16s(&x)]);
        }
        let op = Op::SignalDelay(signaldelay::Attributes { delay_length: delay });
        assert_eq!(run(&op, &[ty(I16, &shape)], &[I16], &steps), expected, "{op:?} {shape:?}");
    }
}

type Pair = [i64; 2];

/// Transforms in so many bits as KISS FFT defines them: recursively, and divided before and rounded after each product.
struct Fixed {
    bits: u32,
    sign: f64,
}

impl Fixed {
    fn wrapped(&self, v: i64) -> i64 {
        v << (64 - self.bits) >> (64 - self.bits)
    }
    fn pair(&self, v: Pair) -> Pair {
        v.map(|v| self.wrapped(v))
    }
    fn rounded(&self, v: i64) -> i64 {
        self.wrapped((v + (1 << (self.bits - 2))) >> (self.bits - 1))
    }
    fn most(&self) -> i64 {
        (1 << (self.bits - 1)) - 1
    }
    fn root(&self, turns: f64) -> Pair {
        let angle = self.sign * 2.0 * std::f64::consts::PI * turns;
        [libm::cos(angle), libm::sin(angle)].map(|x| (0.5 + self.most() as f64 * x).floor() as i64)
    }
    fn divided(&self, v: Pair, by: i64) -> Pair {
        v.map(|v| self.rounded(v * (self.most() / by)))
    }
    fn product(&self, a: Pair, b: Pair) -> Pair {
        [self.rounded(a[0] * b[0] - a[1] * b[1]), self.rounded(a[0] * b[1] + a[1] * b[0])]
    }
    fn scaled(&self, a: Pair, by: i64) -> Pair {
        a.map(|v| self.rounded(v * by))
    }
    fn transform(&self, x: &[Pair]) -> Vec<Pair> {
        let n = x.len();
        if n == 1 {
            return x.to_vec();
        }
        // The largest radix is the last step of all.
        let radix = [4, 2, 3, 5].into_iter().find(|r| n.is_multiple_of(*r)).unwrap();
        let part = |p: usize| self.transform(&x.iter().copied().skip(p).step_by(radix).collect::<Vec<_>>());
        let parts: Vec<Vec<Pair>> = (0..radix).map(part).collect();
        let mut y = vec![[0; 2]; n];
        for u in 0..n / radix {
            let v = |p: usize| {
                let v = self.divided(parts[p][u], radix as i64);
                if p == 0 { v } else { self.product(v, self.root((p * u) as f64 / n as f64)) }
            };
            let v: Vec<Pair> = (0..radix).map(v).collect();
            let add = |a: Pair, b: Pair| [a[0] + b[0], a[1] + b[1]];
            let sub = |a: Pair, b: Pair| [a[0] - b[0], a[1] - b[1]];
            let turn = |a: Pair| [-a[1], a[0]];
            let all = match radix {
                2 => vec![add(v[0], v[1]), sub(v[0], v[1])],
                3 => {
                    let (sum, across) = (add(v[1], v[2]), self.scaled(sub(v[1], v[2]), self.root(1.0 / 3.0)[1]));
                    let middle = sub(v[0], sum.map(|v| v >> 1));
                    vec![add(v[0], sum), add(middle, turn(across)), sub(middle, turn(across))]
                }
                4 => {
                    let (a, b, c) = (add(v[0], v[2]), sub(v[0], v[2]), add(v[1], v[3]));
                    let d = turn(sub(v[1], v[3])).map(|v| v * self.sign as i64);
                    vec![add(a, c), add(b, d), sub(a, c), sub(b, d)]
                }
                _ => {
                    let [one, two] = [self.root(0.2), self.root(0.4)];
                    let (s, d, t, e) = (add(v[1], v[4]), sub(v[1], v[4]), add(v[2], v[3]), sub(v[2], v[3]));
                    let near = add(add(v[0], self.scaled(s, one[0])), self.scaled(t, two[0]));
                    let far = add(add(v[0], self.scaled(s, two[0])), self.scaled(t, one[0]));
                    let (p, q) = (add(self.scaled(d, one[1]), self.scaled(e, two[1])), sub(self.scaled(d, two[1]), self.scaled(e, one[1])));
                    vec![add(v[0], add(s, t)), add(near, turn(p)), add(far, turn(q)), sub(far, turn(q)), sub(near, turn(p))]
                }
            };
            for (q, v) in all.into_iter().enumerate() {
                y[u + q * n / radix] = self.pair(v);
            }
        }
        y
    }
    fn real_root(&self, i: usize, n: usize) -> Pair {
        self.root((i as f64 / n as f64 + 0.5) / 2.0)
    }
    fn forward(&self, x: &[i64]) -> Vec<i64> {
        let n = x.len() / 2;
        let z = self.transform(&x.chunks(2).map(|v| [v[0], v[1]]).collect::<Vec<_>>());
        let mut y = vec![[0; 2]; n + 1];
        let middle = self.divided(z[0], 2);
        (y[0], y[n]) = (self.pair([middle[0] + middle[1], 0]), self.pair([middle[0] - middle[1], 0]));
        for i in 1..=n / 2 {
            let (a, b) = (self.divided(z[i], 2), self.divided(self.pair([z[n - i][0], -z[n - i][1]]), 2));
            let (sum, difference) = (self.pair([a[0] + b[0], a[1] + b[1]]), self.pair([a[0] - b[0], a[1] - b[1]]));
            let t = self.product(difference, self.real_root(i, n));
            // Words are added as integers of 32 bits.
            let half = |v: i64| v << 32 >> 33;
            y[i] = [half(sum[0] + t[0]), half(sum[1] + t[1])];
            y[n - i] = [half(sum[0] - t[0]), half(t[1] - sum[1])];
        }
        y.into_iter().flat_map(|v| self.pair(v)).collect()
    }
    fn backward(&self, x: &[i64]) -> Vec<i64> {
        let n = x.len() / 2 - 1;
        let at = |i: usize| [x[2 * i], x[2 * i + 1]];
        let mut z = vec![[0; 2]; n];
        z[0] = self.divided(self.pair([at(0)[0] + at(n)[0], at(0)[0] - at(n)[0]]), 2);
        for i in 1..=n / 2 {
            let (a, b) = (self.divided(at(i), 2), self.divided(self.pair([at(n - i)[0], -at(n - i)[1]]), 2));
            let (sum, difference) = (self.pair([a[0] + b[0], a[1] + b[1]]), self.pair([a[0] - b[0], a[1] - b[1]]));
            let t = self.product(difference, self.real_root(i, n));
            z[i] = self.pair([sum[0] + t[0], sum[1] + t[1]]);
            z[n - i] = self.pair([sum[0] - t[0], t[1] - sum[1]]);
        }
        self.transform(&z).into_iter().flatten().collect()
    }
}

fn transform(length: usize, is_inverse: bool) -> Op {
    let a = signals::Attributes { fft_length: length };
    if is_inverse { Op::SignalIrfft(signalirfft::Attributes(a)) } else { Op::SignalRfft(signalrfft::Attributes(a)) }
}

const LENGTHS: [usize; 17] = [4, 6, 8, 10, 12, 16, 18, 20, 24, 30, 32, 50, 60, 64, 90, 128, 240];

#[test]
fn transforms_of_integers() {
    let mut random = Random(13);
    for length in LENGTHS {
        for (element, bits) in [(I16, 16), (I32, 32)] {
            let all = |v: &[i64]| element.integer_bytes(v.iter().copied());
            let mut numbers = |n: usize| -> Vec<i64> {
                match bits {
                    16 => random.words(n).into_iter().map(i64::from).collect(),
                    _ => random.longs(n).into_iter().map(|v| i64::from(v as i32)).collect(),
                }
            };
            let rows = 1 + length % 3;
            let given = length - length % 4 / 2 - length % 3 / 2;
            let x = numbers(rows * given);
            let padded = |row: &[i64]| [row, &vec![0; length - given]].concat();
            let y: Vec<i64> = x.chunks(given).flat_map(|row| Fixed { bits, sign: -1.0 }.forward(&padded(row))).collect();
            let got = run_once(&transform(length, false), &[ty(element, &[rows, given])], &[element], vec![all(&x)]);
            assert_eq!(got, [all(&y)], "{length} {element}");
            let x = numbers(rows * (length + 2));
            let y: Vec<i64> = x.chunks(length + 2).flat_map(|row| Fixed { bits, sign: 1.0 }.backward(row)).collect();
            let got = run_once(&transform(length, true), &[ty(element, &[rows, length + 2])], &[element], vec![all(&x)]);
            assert_eq!(got, [all(&y)], "{length} {element}, backwards");
        }
    }
}

#[test]
fn transforms_of_floats() {
    let mut random = Random(14);
    let floats = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>();
    for length in LENGTHS {
        let x: Vec<f32> = (0..length).map(|_| f32::from(random.word() as i16) / 32768.0).collect();
        let y = floats(&run_once(&transform(length, false), &[ty(F32, &[length])], &[F32], vec![f32s(&x)])[0]);
        for i in 0..=length / 2 {
            let angle = |j: usize| -2.0 * std::f64::consts::PI * (i * j % length) as f64 / length as f64;
            let sum = |part: fn(f64) -> f64| (0..length).map(|j| f64::from(x[j]) * part(angle(j))).sum::<f64>();
            let near = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-6 * length as f64;
            assert!(near(y[2 * i], sum(libm::cos)) && near(y[2 * i + 1], sum(libm::sin)), "{length} {i}");
        }
        // And back.
        let again = floats(&run_once(&transform(length, true), &[ty(F32, &[length + 2])], &[F32], vec![f32s(&y)])[0]);
        assert!(again.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-5), "{length}");
    }
}

type Known = (usize, usize, ElementType, &'static [i64], &'static [i64]);

/// Length, samples, type, and what tflite-micro gives for the numbers of a generator, forward and backward.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    (16, 16, I16, &[-1601, 0, 1005, 57, -1485, 788, 2911, -687, 444, 3674, -1136, 2676, 593, -1916, 6604, -4905, -1985, 0], &[-5676, -8393, -1102, 690, -5248, 1897, 4184, -7714, -1204, 759, -4818, 2906, -716, -1731, 12140, -4442]),
    (16, 16, I32, &[78672765, 0, 23120124, -12787181, -125306967, -158929779, 151267587, 58515395, 174596982, 55983286, -220087308, 133039688, -44449439, 161372009, -401532060, 74368902, 476295291, 0], &[555324322, 567163596, -158654225, -66952307, -224848131, -238293897, 347928689, -217870287, 349550228, -96629488, -484855599, -127972709, -113952151, 413929805, -597457117, -236224829]),
    (24, 21, I16, &[-4441, 0, 848, -2371, 2653, 205, -1730, 1874, 1340, 745, 768, -626, -1051, 3432, -644, -2057, 3554, 2105, 1044, -338, 3961, 2226, -647, -4318, -1461, 0], &[-7415, 3160, -7489, -743, 7570, -4319, -14, -895, 7472, -1046, 3559, -5970, -1391, 6710, -2187, -2355, 2628, 4725, -2160, 1269, 3744, 7108, 5163, -2832]),
    (30, 30, I16, &[-6338, 0, 560, -2005, -1487, 646, -1081, -3618, 189, -56, 2397, 576, -152, 661, -3484, -1786, 3414, -1046, 477, -946, 4011, 2108, 1854, -497, 1870, 1745, 5089, -333, -2125, -1121, -2434, 0], &[-5089, 5368, -1826, -1303, 72, 11665, -6679, 1094, -4522, -592, 3482, -2347, 304, -419, -3920, -2147, 10394, 705, 1677, -770, 3596, 4737, -1304, -2889, -180, -487, 4850, 1997, 3173, -4344]),
    (30, 30, I32, &[258448197, 0, 55637248, 123649367, -16265130, -20443206, 142461170, -74938333, -24964100, 70937343, -61304135, 189395394, 118374209, -29023425, 61744009, 268546537, -108129648, 66937733, -292094176, -65318164, -99927821, 116735846, -271847350, -61431184, 136647276, -220095478, -133654889, -11373917, 50939083, 245110378, 296506207, 0], &[534912126, 80762525, 448212317, 48712159, -151281968, -94549715, 23796124, -95759228, -127022857, -237634907, 5240481, 223367075, 167463237, -351636426, 137582814, 337155761, -270438644, 378854424, -554987723, -70763730, -367788947, 380400297, -506684599, 84177294, 494336214, -187367349, -188642624, -256456918, -275144211, 61372908]),
    (60, 60, I16, &[-3572, 0, 1761, 1662, 457, 370, -2107, -546, 708, -950, 791, 2239, -1517, -3666, 34, 419, 1153, -638, 305, 2230, 1113, -140, 62, 432, -1027, -2294, 5085, -1107, -669, 1613, 181, 4232, 804, 409, 337, 548, -824, 1273, -2096, 279, 3619, 1179, 441, 1579, 66, 409, -1502, 1028, -677, 336, 433, 485, 234, -980, 688, -5468, -93, -1367, 712, -1818, 892, 0], &[-2747, 1373, 3250, 2027, 1059, -751, -5992, 5529, 1476, -242, 5588, 4674, -4165, -3745, 1024, -2751, 1353, -6301, 1528, -385, 1127, 259, -2009, 2260, -4500, -1981, 8260, -5690, -2074, -2963, 295, 6387, 2212, 3349, 2453, 533, 668, 2449, -2188, -1996, 8210, 250, -163, 999, 952, -961, -4091, -1849, -356, 2145, -3271, 1525, 275, 2700, 3020, -81, -462, 672, 1566, -5445]),
];

#[test]
fn transforms_are_those_of_the_reference() {
    for &(length, given, element, forward, backward) in KNOWN {
        let numbers = |n: usize| {
            let mut random = Random(1);
            let one = |_| {
                let v = i64::from(random.word());
                if element == I16 { (v & 0xffff) - 0x8000 } else { 2 * v - (1 << 31) }
            };
            element.integer_bytes((0..n).map(one))
        };
        for (is_inverse, n, expected) in [(false, given, forward), (true, length + 2, backward)] {
            let got = run_once(&transform(length, is_inverse), &[ty(element, &[n])], &[element], vec![numbers(n)]);
            assert_eq!(got, [element.integer_bytes(expected.iter().copied())], "{length} {element} {is_inverse}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |op: Op, inputs: &[TensorType], outputs: &[ElementType], code: Code| {
        assert_eq!(infer(&op, inputs, outputs).expect_err(&format!("{op:?} {inputs:?}")), code, "{op:?} {inputs:?}");
    };
    let window = |shift| Op::SignalWindow(signalwindow::Attributes { shift });
    refused(window(32), &[ty(I16, &[4]), ty(I16, &[4])], &[I16], Code::ATTRIBUTE);
    refused(window(1), &[ty(I16, &[5]), ty(I16, &[4])], &[I16], Code::OPERAND);
    refused(window(1), &[ty(I16, &[]), ty(I16, &[1])], &[I16], Code::OPERAND);
    refused(window(1), &[ty(I16, &[4]), ty(I16, &[0])], &[I16], Code::OPERAND);
    refused(window(1), &[ty(I16, &[4]), ty(I16, &[2, 2])], &[I16], Code::OPERAND);
    refused(window(1), &[ty(I32, &[4]), ty(I16, &[4])], &[I16], Code::TYPES);
    let energy = |start_index, end_index| Op::SignalEnergy(signalenergy::Attributes { start_index, end_index });
    refused(energy(0, 4), &[ty(I16, &[6])], &[U32], Code::ATTRIBUTE);
    refused(energy(3, 2), &[ty(I16, &[6])], &[U32], Code::ATTRIBUTE);
    refused(energy(0, 1), &[ty(I16, &[5])], &[U32], Code::OPERAND);
    refused(energy(0, 1), &[ty(I16, &[2, 3])], &[U32], Code::OPERAND);
    refused(Op::SignalFftAutoScale(signalfftautoscale::Attributes {}), &[ty(I16, &[2, 3])], &[I16, I32], Code::OPERAND);
    let bank = |frequency: usize, weight: usize| {
        let (frequency_starts, weight_starts, widths) = (vec![0, frequency], vec![0, weight], vec![1, 3]);
        Op::SignalFilterBank(signalfilterbank::Attributes { num_channels: 1, frequency_starts, weight_starts, widths })
    };
    let operands = [ty(U32, &[9]), ty(I16, &[8]), ty(I16, &[7])];
    assert!(infer(&bank(6, 4), &operands, &[U64]).is_ok());
    refused(bank(7, 4), &operands, &[U64], Code::OPERAND);
    refused(bank(6, 5), &operands, &[U64], Code::OPERAND);
    refused(bank(usize::MAX, 0), &operands, &[U64], Code::OPERAND);
    refused(bank(0, 0), &[ty(U32, &[3, 3]), ty(I16, &[8]), ty(I16, &[8])], &[U64], Code::OPERAND);
    let short = Op::SignalFilterBank(signalfilterbank::Attributes {
        num_channels: 1,
        frequency_starts: vec![0],
        weight_starts: vec![0],
        widths: vec![0],
    });
    refused(short, &operands, &[U64], Code::ATTRIBUTE);
    let root = || Op::SignalFilterBankSquareRoot(signalfilterbanksquareroot::Attributes {});
    refused(root(), &[ty(U64, &[4]), ty(I32, &[1])], &[U32], Code::OPERAND);
    refused(root(), &[ty(U64, &[2, 2]), ty(I32, &[])], &[U32], Code::OPERAND);
    let subtraction = |smoothing_bits, spectral_subtraction_bits, smoothing| {
        Op::SignalFilterBankSpectralSubtraction(signalfilterbankspectralsubtraction::Attributes {
            num_channels: 4,
            smoothing,
            one_minus_smoothing: 1,
            alternate_smoothing: 1,
            alternate_one_minus_smoothing: 1,
            min_signal_remaining: 1,
            smoothing_bits,
            spectral_subtraction_bits,
            clamping: false,
        })
    };
    refused(subtraction(32, 1, 1), &[ty(U32, &[4])], &[U32, U32], Code::ATTRIBUTE);
    refused(subtraction(1, 64, 1), &[ty(U32, &[4])], &[U32, U32], Code::ATTRIBUTE);
    refused(subtraction(1, 1, 1 << 31), &[ty(U32, &[4])], &[U32, U32], Code::ATTRIBUTE);
    refused(subtraction(1, 1, 1), &[ty(U32, &[5])], &[U32, U32], Code::OPERAND);
    let pcan = |snr_shift| Op::SignalPcan(signalpcan::Attributes { snr_shift });
    refused(pcan(64), &[ty(U32, &[4]), ty(U32, &[4]), ty(I16, &[125])], &[U32], Code::ATTRIBUTE);
    refused(pcan(6), &[ty(U32, &[4]), ty(U32, &[3]), ty(I16, &[125])], &[U32], Code::OPERAND);
    refused(pcan(6), &[ty(U32, &[4]), ty(U32, &[4]), ty(I16, &[124])], &[U32], Code::OPERAND);
    let log = |output_scale, input_correction_bits| {
        Op::SignalFilterBankLog(signalfilterbanklog::Attributes { output_scale, input_correction_bits })
    };
    refused(log(1, 32), &[ty(U32, &[4])], &[I16], Code::ATTRIBUTE);
    refused(log(1 << 31, 1), &[ty(U32, &[4])], &[I16], Code::ATTRIBUTE);
    refused(log(1, 1), &[ty(U32, &[4, 1])], &[I16], Code::OPERAND);
    let framer = |frame_size, frame_step, prefill| Op::SignalFramer(signalframer::Attributes { frame_size, frame_step, prefill });
    refused(framer(4, 0, false), &[ty(I16, &[4])], &[I16, Bool], Code::ATTRIBUTE);
    refused(framer(0, 2, false), &[ty(I16, &[4])], &[I16, Bool], Code::ATTRIBUTE);
    refused(framer(1, 2, true), &[ty(I16, &[4])], &[I16, Bool], Code::ATTRIBUTE);
    refused(framer(4, 3, false), &[ty(I16, &[4])], &[I16, Bool], Code::OPERAND);
    refused(framer(4, 8, false), &[ty(I16, &[4])], &[I16, Bool], Code::OPERAND);
    refused(framer(4, 2, false), &[ty(I16, &[])], &[I16, Bool], Code::OPERAND);
    refused(framer(usize::MAX, 2, false), &[ty(I16, &[4])], &[I16, Bool], Code::SHAPE);
    let stacker = |num_channels, stacker_left_context, stacker_step| {
        Op::SignalStacker(signalstacker::Attributes { num_channels, stacker_left_context, stacker_right_context: 1, stacker_step })
    };
    refused(stacker(4, 1, 0), &[ty(I16, &[4])], &[I16, Bool], Code::ATTRIBUTE);
    refused(stacker(4, 1, 4), &[ty(I16, &[4])], &[I16, Bool], Code::ATTRIBUTE);
    refused(stacker(5, 1, 1), &[ty(I16, &[4])], &[I16, Bool], Code::OPERAND);
    refused(stacker(4, usize::MAX, 1), &[ty(I16, &[4])], &[I16, Bool], Code::ATTRIBUTE);
    let overlap = |frame_step| Op::SignalOverlapAdd(signaloverlapadd::Attributes { frame_step });
    refused(overlap(0), &[ty(I16, &[2, 4])], &[I16], Code::ATTRIBUTE);
    refused(overlap(5), &[ty(I16, &[2, 4])], &[I16], Code::ATTRIBUTE);
    refused(overlap(1), &[ty(I16, &[4])], &[I16], Code::OPERAND);
    refused(overlap(1), &[ty(I32, &[2, 4])], &[I32], Code::TYPES);
    let delay = |delay_length| Op::SignalDelay(signaldelay::Attributes { delay_length });
    refused(delay(1), &[ty(I16, &[])], &[I16], Code::OPERAND);
    refused(delay(1 << 50), &[ty(I16, &[4])], &[I16], Code::SHAPE);
    for length in [0, 1, 2, 7, 14, 22, 1 << 21] {
        refused(transform(length, false), &[ty(I16, &[4])], &[I16], Code::ATTRIBUTE);
    }
    refused(transform(8, false), &[ty(I16, &[9])], &[I16], Code::OPERAND);
    refused(transform(8, false), &[ty(I16, &[0])], &[I16], Code::OPERAND);
    refused(transform(8, false), &[ty(I16, &[])], &[I16], Code::OPERAND);
    refused(transform(8, true), &[ty(I16, &[8])], &[I16], Code::OPERAND);
}
