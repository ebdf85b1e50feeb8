//! What a graph computes, operator by operator, from the definitions.
//!
//! Nothing of the lowerings: loops over every index, the reference of products that the tests of operators have, and `quantize.rs` for the
//! rounding of a number. Graphs must be as they are made, before any rewrite.

use crate::reference::{Case, Kind, Operands, Want};
use crate::support::{Input, f32_bytes, f32s, integers};
use cranelite_graph::graph::{Graph, Node};
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, add, average_pool_2d, max_pool_2d, sub};
use cranelite_graph::quantize::*;
use cranelite_graph::tensor::{ElementType, TensorType};

/// Bytes of every output.
pub fn evaluate(graph: &Graph, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut values: Vec<Option<Vec<u8>>> = graph.values.iter().map(|v| v.data.as_ref().map(|d| d.to_vec())).collect();
    for (v, data) in graph.inputs.iter().zip(inputs) {
        values[v.0 as usize] = Some(data.clone());
    }
    for node in &graph.nodes {
        let operand = |v: &Option<_>| {
            v.map(|v: cranelite_graph::graph::ValueId| {
                let data = values[v.0 as usize].clone().expect("computed before it is read");
                Input::new(graph.ty(v).clone(), data)
            })
        };
        let operands: Vec<Option<Input>> = node.inputs.iter().map(operand).collect();
        let y = node.outputs[0];
        values[y.0 as usize] = Some(result(node, operands, graph.ty(y)));
    }
    graph.outputs.iter().map(|v| values[v.0 as usize].clone().expect("an output is computed")).collect()
}

fn result(node: &Node, mut operands: Vec<Option<Input>>, y: &TensorType) -> Vec<u8> {
    let four = |ty: &TensorType| <[usize; 4]>::try_from(&ty.shape[..]).expect("four dimensions");
    match &node.op {
        Op::Conv2d(a) => {
            let p = take(&mut operands, y);
            let different = p.w.ty.quantization.as_ref().is_some_and(|q| q.scales.iter().any(|s| *s != q.scales[0]));
            let (input, filter) = (four(&p.x.ty), four(&p.w.ty));
            let kind = kind(&p, different || input[3] != filter[3]);
            bytes(y, product(kind, input, filter, (a.stride, a.dilation, a.padding, a.activation), &p).convolution(&p))
        }
        Op::DepthwiseConv2d(a) => {
            let mut p = take(&mut operands, y);
            let [_, h, w, channels] = four(&p.w.ty);
            let size = p.w.data.len() / (h * w * channels);
            let tap = |c: usize, t: usize| &p.w.data[(t * channels + c) * size..][..size];
            p.w.data = (0..channels).flat_map(|c| (0..h * w).flat_map(move |t| tap(c, t))).copied().collect();
            p.w.ty.shape = vec![channels, h, w, 1];
            let attributes = (a.stride, a.dilation, a.padding, a.activation);
            bytes(y, product(kind(&p, true), four(&p.x.ty), [channels, h, w, 1], attributes, &p).convolution(&p))
        }
        Op::FullyConnected(a) => {
            let p = take(&mut operands, y);
            let [units, depth] = p.w.ty.shape[..] else { panic!("two dimensions") };
            let (input, filter) = ([p.x.ty.element_count() / depth, 1, 1, depth], [units, 1, 1, depth]);
            let attributes = ([1, 1], [1, 1], Padding::default(), a.activation);
            bytes(y, product(kind(&p, a.asymmetric_quantize_inputs), input, filter, attributes, &p).fully_connected(&p))
        }
        Op::TransposeConv(a) => {
            let p = take(&mut operands, y);
            let padding = Padding { top: a.0.before[0], left: a.0.before[1], ..Padding::default() };
            let attributes = (a.0.stride, [1, 1], padding, a.0.activation);
            let case = product(kind(&p, true), four(&p.x.ty), four(&p.w.ty), attributes, &p);
            bytes(y, Case { transposed: Some([a.0.shape[1], a.0.shape[2]]), ..case }.convolution(&p))
        }
        Op::BatchMatmul(a) => {
            let [Some(x), Some(w)] = &operands[..] else { panic!("two operands") };
            bytes(y, matrices([x, w], [a.adj_x, a.adj_y], y))
        }
        Op::AveragePool2d(average_pool_2d::Attributes(a)) => pool(&operands[0], y, (a.filter, a.stride, a.padding), a.activation, true),
        Op::MaxPool2d(max_pool_2d::Attributes(a)) => pool(&operands[0], y, (a.filter, a.stride, a.padding), a.activation, false),
        Op::Mean(a) => mean(operands[0].as_ref().expect("an operand"), y, &a.0.axes),
        Op::Relu(_) => clamp(&operands[0], y, Activation::Relu),
        Op::Relu6(_) => clamp(&operands[0], y, Activation::Relu6),
        Op::Add(add::Attributes(a)) => sum(&operands, y, a.activation, 1),
        Op::Sub(sub::Attributes(a)) => sum(&operands, y, a.activation, -1),
        Op::Pad(a) => {
            let x = operands[0].as_ref().expect("an operand");
            let zero = match x.ty.element {
                ElementType::F32 => vec![0; 4],
                ElementType::I16 => vec![0; 2],
                _ => vec![x.ty.zero_point() as u8],
            };
            gather(y, |at| {
                let from: Vec<usize> = at.iter().zip(&a.before).map(|(i, b)| i.wrapping_sub(*b)).collect();
                let inside = from.iter().zip(&x.ty.shape).all(|(i, d)| i < d);
                if inside { element(x, &from).to_vec() } else { zero.clone() }
            })
        }
        Op::StridedSlice(a) => {
            let x = operands[0].as_ref().expect("an operand");
            let place = |(d, i): (usize, &usize)| (a.first[d] as i64 + *i as i64 * a.stride[d]) as usize;
            gather(y, |at| element(x, &at.iter().enumerate().map(place).collect::<Vec<_>>()).to_vec())
        }
        Op::Concatenation(a) => gather(y, |at| {
            let mut at = at.to_vec();
            for x in operands.iter().flatten() {
                let length = x.ty.shape[a.axis];
                if at[a.axis] < length {
                    return element(x, &at).to_vec();
                }
                at[a.axis] -= length;
            }
            panic!("the pieces are shorter than the result")
        }),
        other => panic!("no definition of {other:?}"),
    }
}

fn take(operands: &mut [Option<Input>], y: &TensorType) -> Operands {
    let [x, w, bias] = operands else { panic!("three operands") };
    Operands { x: x.take().expect("an image"), w: w.take().expect("weights"), bias: bias.take(), result: y.clone() }
}

fn kind(p: &Operands, asymmetric: bool) -> Kind {
    use ElementType::*;
    let per_channel = p.w.ty.quantization.as_ref().is_some_and(|q| !q.is_per_tensor());
    match (p.x.ty.element, p.w.ty.element, p.result.element) {
        (F32, F32, _) => Kind::Float,
        (F32, ..) => Kind::Hybrid { per_channel, asymmetric },
        (I8, ..) => Kind::Int8 { per_channel },
        (U8, _, I16) => Kind::Uint8To16,
        (U8, ..) => Kind::Uint8,
        (_, I16, _) => Kind::Int16Words,
        _ => Kind::Int16 { bias: p.bias.as_ref().map_or(I64, |b| b.ty.element) },
    }
}

/// Products of matrices of which either side may be transposed, and their batches 1.
fn matrices([x, w]: [&Input; 2], adj: [bool; 2], y: &TensorType) -> Want {
    let depth = x.ty.shape[if adj[0] { 2 } else { 3 }];
    let place = |side: &Input, at: &[usize], matrix: [usize; 2], adj: bool| {
        let [row, column] = if adj { [matrix[1], matrix[0]] } else { matrix };
        let shape = &side.ty.shape;
        flat(shape, &[at[0] % shape[0], at[1] % shape[1], row, column])
    };
    let pairs = |at: &[usize]| -> Vec<(usize, usize)> {
        (0..depth).map(|k| (place(x, at, [at[2], k], adj[0]), place(w, at, [k, at[3]], adj[1]))).collect()
    };
    if x.ty.element == ElementType::F32 {
        // Activations that are quantised at run time are integers times the scale that is found.
        let left = f32s(&x.data);
        let right: Vec<f64> = match w.ty.scale() {
            None => f32s(&w.data).into_iter().map(f64::from).collect(),
            Some(scale) => integers(&w.ty, &w.data).into_iter().map(|n| n as f64 * f64::from(scale)).collect(),
        };
        let sum = |at: Vec<usize>| pairs(&at).into_iter().map(|(a, b)| f64::from(left[a]) * right[b]).sum::<f64>() as f32;
        return Want::Floats(indices(&y.shape).map(sum).collect());
    }
    let (left, right) = (integers(&x.ty, &x.data), integers(&w.ty, &w.data));
    let scales = [&x.ty, &w.ty, y].map(|ty| ty.scale().unwrap_or(1.0));
    let (m, s) = quantize_multiplier(convolution_multiplier_per_tensor(scales[0], scales[1], scales[2]));
    let rescaled = |sum: i64| match y.element {
        ElementType::I32 => sum,
        ElementType::I16 => i64::from(multiply_by_quantized_multiplier_64(sum, m, s)).clamp(-32768, 32767),
        _ => (i64::from(multiply_by_quantized_multiplier(sum as i32, m, s)) + y.zero_point()).clamp(-128, 127),
    };
    let sum = |at: Vec<usize>| {
        let term = |(a, b): (usize, usize)| (left[a] - x.ty.zero_point()) * (right[b] - w.ty.zero_point());
        rescaled(pairs(&at).into_iter().map(term).sum())
    };
    Want::Integers(indices(&y.shape).map(sum).collect())
}

type Attributes = ([usize; 2], [usize; 2], Padding, Activation);

fn product(kind: Kind, input: [usize; 4], filter: [usize; 4], attributes: Attributes, p: &Operands) -> Case {
    let (stride, dilation, padding, activation) = attributes;
    Case { kind, input, filter, stride, dilation, padding, activation, bias: p.bias.is_some(), seed: 0, transposed: None }
}

fn bytes(ty: &TensorType, want: Want) -> Vec<u8> {
    match want {
        Want::Floats(all) => f32_bytes(&all),
        Want::Integers(all) => integer_bytes(ty, all),
    }
}

fn integer_bytes(ty: &TensorType, all: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let size = ty.element.bits().expect("a size") as usize / 8;
    all.into_iter().flat_map(|v| v.to_le_bytes().into_iter().take(size)).collect()
}

/// The indices of every element of a shape, in order.
fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    (0..shape.iter().product::<usize>()).map(move |mut n| {
        let mut at = vec![0; shape.len()];
        for (i, d) in shape.iter().enumerate().rev() {
            (at[i], n) = (n % d, n / d);
        }
        at
    })
}

fn flat(shape: &[usize], at: &[usize]) -> usize {
    shape.iter().zip(at).fold(0, |n, (d, i)| n * d + i)
}

fn element<'a>(x: &'a Input, at: &[usize]) -> &'a [u8] {
    let size = x.ty.element.bits().expect("a size") as usize / 8;
    &x.data[flat(&x.ty.shape, at) * size..][..size]
}

fn gather(y: &TensorType, f: impl Fn(&[usize]) -> Vec<u8>) -> Vec<u8> {
    indices(&y.shape).flat_map(|at| f(&at)).collect()
}

/// The range of integers that an activation leaves.
fn range(activation: Activation, y: &TensorType) -> (i64, i64) {
    let (low, high) =
        calculate_activation_range_quantized(activation, y.element, y.scale().expect("a scale"), y.zero_point() as i32).expect("a range");
    (low.into(), high.into())
}

fn clamp(x: &Option<Input>, y: &TensorType, activation: Activation) -> Vec<u8> {
    let x = x.as_ref().expect("an operand");
    assert_eq!(x.ty, *y, "the same scale");
    if y.element == ElementType::F32 {
        let (low, high) = activation_range_float(activation);
        return f32_bytes(&f32s(&x.data).into_iter().map(|v| v.max(low).min(high)).collect::<Vec<_>>());
    }
    let (low, high) = range(activation, y);
    integer_bytes(y, integers(&x.ty, &x.data).into_iter().map(|v| v.max(low).min(high)))
}

/// ADD (sign 1) and SUB (sign -1) of tensors of one shape.
fn sum(operands: &[Option<Input>], y: &TensorType, activation: Activation, sign: i32) -> Vec<u8> {
    let [Some(a), Some(b)] = operands else { panic!("two operands") };
    if y.element == ElementType::F32 {
        let (low, high) = activation_range_float(activation);
        let sums = f32s(&a.data).into_iter().zip(f32s(&b.data)).map(|(a, b)| (a + sign as f32 * b).max(low).min(high));
        return f32_bytes(&sums.collect::<Vec<_>>());
    }
    let scale = |ty: &TensorType| f64::from(ty.scale().expect("a scale"));
    let raise = if y.element == ElementType::I16 { 15 } else { 20 };
    let twice = 2.0 * scale(&a.ty).max(scale(&b.ty));
    let term = |x: i64, ty: &TensorType| {
        let (m, s) = quantize_multiplier(scale(ty) / twice);
        multiply_by_quantized_multiplier((x - ty.zero_point()) as i32 * (1 << raise), m, s)
    };
    let (m, s) = quantize_multiplier(twice / (f64::from(1 << raise) * scale(y)));
    let (low, high) = range(activation, y);
    let pairs = integers(&a.ty, &a.data).into_iter().zip(integers(&b.ty, &b.data));
    let one = |(p, q): (i64, i64)| {
        let total = multiply_by_quantized_multiplier(term(p, &a.ty) + sign * term(q, &b.ty), m, s);
        (i64::from(total) + y.zero_point()).max(low).min(high)
    };
    integer_bytes(y, pairs.map(one))
}

/// Halves away from zero.
fn mean_of_integers(sum: i64, count: i64) -> i64 {
    if 0 < sum { (sum + count / 2) / count } else { (sum - count / 2) / count }
}

fn pool(x: &Option<Input>, y: &TensorType, windows: ([usize; 2], [usize; 2], Padding), activation: Activation, average: bool) -> Vec<u8> {
    let x = x.as_ref().expect("an operand");
    let (filter, stride, padding) = windows;
    let seen = |at: &[usize]| -> Vec<usize> {
        let axis = |i: usize, before: usize| {
            (0..filter[i]).filter_map(move |k| (at[i + 1] * stride[i] + k).checked_sub(before)).filter(move |p| *p < x.ty.shape[i + 1])
        };
        axis(0, padding.top).flat_map(|r| axis(1, padding.left).map(move |c| flat(&x.ty.shape, &[at[0], r, c, at[3]]))).collect()
    };
    if y.element == ElementType::F32 {
        let (values, (low, high)) = (f32s(&x.data), activation_range_float(activation));
        let one = |at: Vec<usize>| {
            let seen: Vec<f32> = seen(&at).iter().map(|i| values[*i]).collect();
            let v = if average { seen.iter().sum::<f32>() / seen.len() as f32 } else { seen.iter().copied().fold(f32::MIN, f32::max) };
            v.max(low).min(high)
        };
        return f32_bytes(&indices(&y.shape).map(one).collect::<Vec<_>>());
    }
    let (values, (low, high)) = (integers(&x.ty, &x.data), range(activation, y));
    let one = |at: Vec<usize>| {
        let seen: Vec<i64> = seen(&at).iter().map(|i| values[*i]).collect();
        let v = if average { mean_of_integers(seen.iter().sum(), seen.len() as i64) } else { *seen.iter().max().expect("a window") };
        v.max(low).min(high)
    };
    integer_bytes(y, indices(&y.shape).map(one))
}

fn mean(x: &Input, y: &TensorType, axes: &[usize]) -> Vec<u8> {
    // The result's index, with ones for the axes that are gone.
    let kept: Vec<usize> = x.ty.shape.iter().enumerate().map(|(i, d)| if axes.contains(&i) { 1 } else { *d }).collect();
    let mut groups = vec![vec![]; kept.iter().product()];
    for (i, at) in indices(&x.ty.shape).enumerate() {
        let to: Vec<usize> = at.iter().enumerate().map(|(i, p)| if axes.contains(&i) { 0 } else { *p }).collect();
        groups[flat(&kept, &to)].push(i);
    }
    let count = groups[0].len();
    if y.element == ElementType::F32 {
        let values = f32s(&x.data);
        return f32_bytes(&groups.iter().map(|g| g.iter().map(|i| values[*i]).sum::<f32>() / count as f32).collect::<Vec<_>>());
    }
    let (multiplier, shift) = quantize_multiplier(requantize_multiplier(x.ty.scale().expect("a scale"), y.scale().expect("a scale")));
    let (multiplier, shift) = mean_multiplier(multiplier, shift, count as u64);
    let (values, (low, high)) = (integers(&x.ty, &x.data), range(Activation::None, y));
    let one = |g: &Vec<usize>| {
        let sum = g.iter().map(|i| values[*i] - x.ty.zero_point()).sum::<i64>();
        (i64::from(multiply_by_quantized_multiplier(sum as i32, multiplier, shift)) + y.zero_point()).max(low).min(high)
    };
    integer_bytes(y, groups.iter().map(one))
}
