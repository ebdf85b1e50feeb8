//! A case: a few small numbers, and the graph and inputs that they stand for.
//!
//! Small sizes are likely, because most of what can go wrong goes wrong at one: one image, one row, one column, one channel, a window of one
//! pixel, a stride that leaves all but one pixel out. Floats are multiples of 1/8 whose sums have no rounding, and activations that are
//! quantised at run time are integers times the scale that will be found, so that the order of additions never matters.

use crate::support::{bytes, f32_bytes, noise};
use cranelite_graph::graph::{Graph, Node, Value, ValueId};
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::*;
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use proptest::prelude::*;
use std::sync::Arc;

/// Operators that are tried together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Convolution,
    Depthwise,
    FullyConnected,
    Transposed,
    Matrices,
    /// Convolutions of either kind whose weights or bias, or both, are inputs.
    RunTime,
    Window,
    Copy,
    /// Convolutions of 3 x 3 floats that can have fewer multiplications.
    Winograd,
    /// Products with weights that are mostly zeros.
    Sparse,
}

/// Element types of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    F32,
    I8,
    I8PerChannel,
    U8,
    I16,
    /// With a bias of 32 bits.
    I16Bias32,
    /// Floats that are quantised at run time.
    Hybrid,
    HybridPerChannel,
    /// FULLY_CONNECTED only: weights with a zero point, a result of i16, weights of i16.
    I8Offset,
    U8To16,
    I16Words,
    /// BATCH_MATMUL only: sums as they are.
    I8To32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Main {
    Convolution {
        outputs: usize,
        groups: usize,
    },
    Depthwise {
        multiplier: usize,
    },
    FullyConnected {
        units: usize,
        keep_num_dims: bool,
        asymmetric: bool,
    },
    /// Rows and columns that are cut off before the first ones of the result, and how many it has.
    Transposed {
        outputs: usize,
        before: [usize; 2],
        result: [usize; 2],
    },
    /// Of the image's two outer axes, which are 1 on the left, and on the right.
    BatchMatmul {
        columns: usize,
        ones: [[bool; 2]; 2],
        adj: [bool; 2],
        asymmetric: bool,
    },
    AveragePool,
    MaxPool,
    Mean {
        axes: [bool; 4],
        keep_dims: bool,
    },
    Concatenation {
        axis: usize,
        pieces: usize,
    },
    Pad {
        before: [usize; 4],
        after: [usize; 4],
    },
    Slice {
        first: [usize; 4],
        stride: [usize; 4],
        backwards: [bool; 4],
    },
}

/// What becomes of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    Nothing,
    Relu,
    Relu6,
    /// ADD or SUB of another tensor, which is the second operand or the first, an input of the graph or in the arena.
    Sum {
        subtract: bool,
        swapped: bool,
        in_arena: bool,
        activation: Activation,
    },
    /// Products that read pixels by themselves, every s-th row and column, of the result or of its sum with another tensor; in the arena or
    /// not.
    Product {
        stride: [usize; 2],
        readers: usize,
        sum: Option<bool>,
    },
}

#[derive(Clone, Debug)]
pub struct Case {
    pub main: Main,
    pub types: Types,
    pub image: [usize; 4],
    pub filter: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub same: bool,
    pub activation: Activation,
    pub bias: bool,
    /// FULLY_CONNECTED and BATCH_MATMUL: the weights are an input.
    pub weights_at_run_time: bool,
    /// Rows and columns that a PAD puts around the image: above, below, left, right.
    pub before: [usize; 4],
    pub after: After,
    /// Weights and bias of the operator are inputs.
    pub at_run_time: [bool; 2],
    /// A tensor of so many thirds of the image's bytes in 16 bits lies beside it in the arena, and leaves memory to spare.
    pub beside: usize,
    /// Of every so many weights beside each other so many are not zero.
    pub kept: Option<[usize; 2]>,
    pub seed: u64,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(1usize), 4 => 2usize..5, 3 => 5usize..10, 1 => 10usize..20]
}

fn few(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(1usize), 2 => 1..=most]
}

fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(1usize), 4 => 2usize..6, 4 => 6usize..20, 1 => 20usize..70, 2 => proptest::sample::select(vec![16usize, 32, 64])]
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![3 => Just(Activation::None), 1 => Just(Activation::Relu), 1 => Just(Activation::ReluN1To1), 1 => Just(Activation::Relu6)]
}

fn types(family: Family) -> impl Strategy<Value = Types> {
    use Types::*;
    let all = match family {
        Family::Winograd => vec![F32],
        Family::Sparse => vec![F32, I8, I8PerChannel, I16, I16Bias32, Hybrid, HybridPerChannel],
        Family::Window | Family::Copy => vec![F32, I8, U8, I16],
        Family::FullyConnected => vec![F32, I8, I8PerChannel, U8, I16, I16Bias32, Hybrid, HybridPerChannel, I8Offset, U8To16, I16Words],
        Family::Transposed => vec![F32, I8, I8PerChannel, U8, I16, I16Bias32, Hybrid, HybridPerChannel],
        Family::Matrices => vec![F32, I8, I8Offset, I8To32, I16Words, Hybrid],
        _ => vec![F32, I8, I8PerChannel, U8, I16, I16Bias32, Hybrid, HybridPerChannel],
    };
    proptest::sample::select(all)
}

fn main(family: Family) -> BoxedStrategy<Main> {
    let outputs = prop_oneof![1 => Just(1usize), 3 => 2usize..12, 2 => 12usize..40, 2 => proptest::sample::select(vec![32usize, 64, 100])];
    match family {
        Family::Convolution | Family::Winograd => {
            let groups = prop_oneof![6 => Just(1usize), 1 => 2usize..4];
            (outputs, groups).prop_map(|(outputs, groups)| Main::Convolution { outputs, groups }).boxed()
        }
        Family::Sparse => {
            let outputs = || proptest::sample::select(vec![16usize, 20, 33, 48, 64]);
            let rows = (outputs(), any::<bool>(), any::<bool>()).prop_map(|(units, keep_num_dims, asymmetric)| Main::FullyConnected {
                units,
                keep_num_dims,
                asymmetric,
            });
            prop_oneof![outputs().prop_map(|outputs| Main::Convolution { outputs, groups: 1 }), rows].boxed()
        }
        Family::RunTime => prop_oneof![main(Family::Convolution), main(Family::Depthwise)].boxed(),
        Family::Depthwise => prop_oneof![3 => Just(1usize), 1 => 2usize..10].prop_map(|multiplier| Main::Depthwise { multiplier }).boxed(),
        Family::FullyConnected => (outputs, any::<bool>(), any::<bool>())
            .prop_map(|(units, keep_num_dims, asymmetric)| Main::FullyConnected { units, keep_num_dims, asymmetric })
            .boxed(),
        Family::Transposed => {
            // Results smaller than what the filters reach, and larger.
            let result = || prop_oneof![1 => Just(1usize), 4 => 2usize..24];
            (outputs, [0usize..6, 0..6], [result(), result()])
                .prop_map(|(outputs, before, result)| Main::Transposed { outputs, before, result })
                .boxed()
        }
        Family::Matrices => (outputs, any::<[[bool; 2]; 2]>(), any::<[bool; 2]>(), any::<bool>())
            .prop_map(|(columns, ones, adj, asymmetric)| Main::BatchMatmul { columns, ones, adj, asymmetric })
            .boxed(),
        Family::Window => {
            let mean = (any::<[bool; 4]>(), any::<bool>()).prop_map(|(axes, keep_dims)| Main::Mean { axes, keep_dims });
            prop_oneof![Just(Main::AveragePool), Just(Main::MaxPool), mean].boxed()
        }
        Family::Copy => {
            let margin = || prop_oneof![2 => Just(0usize), 1 => 1usize..4];
            let margins = || [margin(), margin(), margin(), margin()];
            let concatenation = (0usize..4, 1usize..9).prop_map(|(axis, pieces)| Main::Concatenation { axis, pieces });
            let pad = (margins(), margins()).prop_map(|(before, after)| Main::Pad { before, after });
            let slice = (margins(), [few(4), few(4), few(4), few(4)], any::<[bool; 4]>())
                .prop_map(|(first, stride, backwards)| Main::Slice { first, stride, backwards });
            prop_oneof![concatenation, pad, slice].boxed()
        }
    }
}

fn after() -> impl Strategy<Value = After> {
    let sum = (any::<bool>(), any::<bool>(), any::<bool>(), activation())
        .prop_map(|(subtract, swapped, in_arena, activation)| After::Sum { subtract, swapped, in_arena, activation });
    let other = prop_oneof![Just(None), any::<bool>().prop_map(Some)];
    let product = ([few(3), few(3)], 1usize..3, other).prop_map(|(stride, readers, sum)| After::Product { stride, readers, sum });
    prop_oneof![4 => Just(After::Nothing), 1 => Just(After::Relu), 1 => Just(After::Relu6), 2 => sum, 2 => product]
}

pub fn cases(family: Family) -> impl Strategy<Value = Case> {
    let tap = || prop_oneof![3 => Just(1usize), 2 => Just(3usize), 3 => 1usize..6];
    let filter = prop_oneof![12 => [tap(), tap()], 1 => [6usize..9, 6usize..9]];
    let windows = (filter, [few(4), few(4)], [few(3), few(3)], any::<bool>());
    let margin = || prop_oneof![3 => Just(0usize), 3 => 1usize..4];
    let before = prop_oneof![3 => Just([0usize; 4]), 1 => [margin(), margin(), margin(), margin()]];
    let is_winograd = family == Family::Winograd;
    // What pays, mostly.
    let depth = match family {
        Family::Winograd => proptest::sample::select(vec![12usize, 16, 17, 32, 40]).boxed(),
        Family::Sparse => proptest::sample::select(vec![16usize, 32, 40, 64, 67, 128]).boxed(),
        _ => channels().boxed(),
    };
    let kept = match family {
        Family::Sparse => proptest::sample::select(vec![[1usize, 4], [1, 8], [2, 4], [2, 64], [9, 64], [16, 64]]).prop_map(Some).boxed(),
        _ => Just(None).boxed(),
    };
    let extent = || if is_winograd { (2usize..14).boxed() } else { size().boxed() };
    let image = (1usize..4, extent(), extent(), depth);
    let at_run_time = match family {
        Family::RunTime => prop_oneof![3 => Just([true, false]), 1 => Just([false, true]), 2 => Just([true; 2])].boxed(),
        _ => Just([false; 2]).boxed(),
    };
    let rest = (activation(), any::<[bool; 2]>(), before, after(), at_run_time, 0usize..4, kept, any::<u32>());
    (main(family), types(family), image, windows, rest).prop_map(move |(main, types, (n, h, w, c), windows, rest)| {
        let (mut filter, mut stride, mut dilation, same) = windows;
        let (activation, [bias, weights_at_run_time], before, after, at_run_time, mut beside, kept, seed) = rest;
        if is_winograd {
            // Much memory, little, or none.
            (filter, stride, dilation, beside) = ([3; 2], [1; 2], [1; 2], [0, 3, 30, 300][beside]);
        }
        if family == Family::Sparse {
            filter = filter.map(|n| n.min(3));
        }
        let image = [n, h, w, c];
        Case {
            main,
            types,
            image,
            filter,
            stride,
            dilation,
            same,
            activation,
            bias,
            weights_at_run_time,
            before,
            after,
            at_run_time,
            beside,
            kept,
            seed: seed.into(),
        }
        .possible()
    })
}

/// Scales of activations and weights.
const SCALE: f32 = 0.05;

impl Case {
    pub fn is_hybrid(&self) -> bool {
        matches!(self.types, Types::Hybrid | Types::HybridPerChannel)
    }

    fn has_weights(&self) -> bool {
        matches!(
            self.main,
            Main::Convolution { .. }
                | Main::Depthwise { .. }
                | Main::FullyConnected { .. }
                | Main::Transposed { .. }
                | Main::BatchMatmul { .. }
        )
    }

    fn slides(&self) -> bool {
        !matches!(
            self.main,
            Main::FullyConnected { .. }
                | Main::BatchMatmul { .. }
                | Main::Mean { .. }
                | Main::Concatenation { .. }
                | Main::Pad { .. }
                | Main::Slice { .. }
        )
    }

    /// The nearest case that is a valid graph; what plays no part in it becomes what it mostly is.
    fn possible(mut self) -> Case {
        if !self.slides() {
            (self.filter, self.stride, self.dilation, self.before, self.same) = ([1; 2], [1; 2], [1; 2], [0; 4], false);
        }
        if let Main::Convolution { outputs, groups } = &mut self.main {
            self.image[3] = self.image[3].div_ceil(*groups) * *groups;
            *outputs = outputs.div_ceil(*groups) * *groups;
        }
        if let Main::Depthwise { multiplier } = self.main {
            self.image[3] = self.image[3].min(200 / multiplier);
        }
        if let Main::Concatenation { axis, pieces } = &mut self.main {
            *pieces = (*pieces).min(200 / self.image[*axis]);
        }
        if let Main::Transposed { before, .. } = &mut self.main {
            *before = [before[0] % self.filter[0], before[1] % self.filter[1]];
            (self.dilation, self.before, self.same) = ([1; 2], [0; 4], true);
        }
        if let Main::BatchMatmul { adj, .. } = &mut self.main {
            // Rows are quantised at run time, and the case has rows that are exact.
            adj[0] &= !matches!(self.types, Types::Hybrid);
            (self.activation, self.bias, self.after) = (Activation::None, false, After::Nothing);
        }
        self.weights_at_run_time &= match self.main {
            Main::FullyConnected { .. } => !matches!(self.types, Types::I16 | Types::I16Bias32),
            main => matches!(main, Main::BatchMatmul { .. }),
        };
        if !self.has_weights() {
            (self.bias, self.after, self.beside) = (false, After::Nothing, 0);
        }
        if matches!(self.main, Main::AveragePool | Main::MaxPool) {
            (self.dilation, self.before) = ([1; 2], [0; 4]);
        } else if !self.has_weights() {
            self.activation = Activation::None;
        }
        if let (Main::FullyConnected { .. }, After::Product { stride, .. }) = (self.main, &mut self.after) {
            *stride = [1; 2];
        }
        // Activations that are quantised at run time want a constant bias, and depthwise constant weights.
        if self.is_hybrid() {
            self.at_run_time[0] &= !matches!(self.main, Main::Depthwise { .. });
            self.at_run_time[1] = false;
        }
        // What comes after has the types of the result.
        if self.types == Types::U8To16 || (self.is_hybrid() && matches!(self.after, After::Product { .. })) {
            self.after = After::Nothing;
        }
        for i in [0, 1] {
            // Large windows are for loops over taps; dilated they would only be large.
            if 5 < self.filter[i] {
                self.dilation[i] = 1;
            }
            let size = self.padded()[i + 1];
            while !self.same && size < (self.filter[i] - 1) * self.dilation[i] + 1 {
                if 1 < self.dilation[i] { self.dilation[i] -= 1 } else { self.filter[i] -= 1 }
            }
        }
        self
    }

    /// The image after PAD.
    fn padded(&self) -> [usize; 4] {
        let ([n, h, w, c], [top, bottom, left, right]) = (self.image, self.before);
        [n, h + top + bottom, w + left + right, c]
    }

    fn element(&self) -> ElementType {
        match self.types {
            Types::F32 | Types::Hybrid | Types::HybridPerChannel => ElementType::F32,
            Types::I8 | Types::I8PerChannel | Types::I8Offset | Types::I8To32 => ElementType::I8,
            Types::U8 | Types::U8To16 => ElementType::U8,
            Types::I16 | Types::I16Bias32 | Types::I16Words => ElementType::I16,
        }
    }

    fn padding(&self) -> Padding {
        let image = self.padded();
        let axis = |i: usize| attributes::Window {
            input: image[i + 1],
            filter: self.filter[i],
            stride: self.stride[i],
            dilation: self.dilation[i],
        };
        let padding = if self.same { cranelite_schema::Padding::SAME } else { cranelite_schema::Padding::VALID };
        Padding::decode(padding, axis(0), axis(1)).expect("a padding")
    }

    /// The shape of a side of a BATCH_MATMUL.
    fn side(&self, ones: [bool; 2], matrix: [usize; 2], adj: bool) -> [usize; 4] {
        let [rows, columns] = if adj { [matrix[1], matrix[0]] } else { matrix };
        let batches = [0, 1].map(|d| if ones[d] { 1 } else { self.image[d] });
        [batches[0], batches[1], rows, columns]
    }

    /// The graph, and what its inputs hold.
    pub fn graph(&self) -> (Graph, Vec<Vec<u8>>) {
        let mut m = Maker { graph: Graph { name: "case".into(), ..Graph::default() }, inputs: vec![], case: self, seed: self.seed };
        let y = match self.main {
            Main::Concatenation { axis, pieces } => m.concatenation(axis, pieces),
            Main::BatchMatmul { ones, adj, .. } => {
                let shape = self.side(ones[0], [self.image[2], self.image[3]], adj[0]);
                let x = m.input(&shape);
                m.main(x)
            }
            _ => {
                let x = m.input(&self.image);
                let x = if self.before == [0; 4] { x } else { m.pad(x) };
                m.main(x)
            }
        };
        m.give([1, 2]);
        let outputs = m.after(y);
        m.graph.outputs.extend(outputs);
        m.beside();
        (m.graph, m.inputs)
    }
}

struct Maker<'a> {
    graph: Graph,
    inputs: Vec<Vec<u8>>,
    case: &'a Case,
    seed: u64,
}

impl Maker<'_> {
    /// Another number every time.
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.seed >> 24
    }

    fn ty(&mut self, shape: &[usize], scale: f32) -> TensorType {
        let element = self.case.element();
        let zero = self.next() as i64;
        match element {
            ElementType::F32 => TensorType::new(element, shape),
            ElementType::I8 => TensorType::quantized(element, shape, scale, zero % 256 - 128),
            ElementType::U8 => TensorType::quantized(element, shape, scale, zero % 256),
            _ => TensorType::quantized(element, shape, scale, 0),
        }
    }

    fn value(&mut self, ty: TensorType, data: Option<Vec<u8>>) -> ValueId {
        self.graph.add_value(Value { name: format!("v{}", self.graph.values.len()), ty, data: data.map(Into::into) })
    }

    /// Adds a node; its result has the shape that `infer` says.
    fn node(&mut self, op: Op, inputs: &[Option<ValueId>], result: TensorType) -> ValueId {
        let operand = |v: &Option<ValueId>| {
            let value = self.graph.value((*v)?);
            Some(Operand { ty: &value.ty, data: value.data.as_deref() })
        };
        let signature = Signature { inputs: inputs.iter().map(operand).collect(), outputs: vec![&result] };
        let shape = op.infer(&signature).unwrap_or_else(|d| panic!("{op:?}: {d}")).remove(0);
        let y = self.value(TensorType { shape, ..result }, None);
        let operator = self.graph.nodes.len() as u32;
        self.graph.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: vec![y], operator, then: vec![] });
        y
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        let ty = self.ty(shape, SCALE);
        let seed = self.next();
        let is_image = self.inputs.is_empty();
        let data = match (ty.element, self.case.is_hybrid() && is_image) {
            (ElementType::F32, true) => f32_bytes(&self.quantizable(shape, seed)),
            (ElementType::F32, false) => f32_bytes(&eighths(seed, ty.element_count(), 16)),
            _ => bytes(seed, ty.size_bytes()),
        };
        let v = self.value(ty, Some(data.clone()));
        self.graph.value_mut(v).data = None;
        self.graph.inputs.push(v);
        self.inputs.push(data);
        v
    }

    /// Activations of which the quantisation at run time finds a power of two as scale, another one for every row that has its own.
    fn quantizable(&self, shape: &[usize], seed: u64) -> Vec<f32> {
        let asymmetric = match self.case.main {
            Main::FullyConnected { asymmetric, .. } | Main::BatchMatmul { asymmetric, .. } => asymmetric,
            Main::Convolution { groups, .. } => groups != 1 || self.scales_differ(),
            _ => true,
        };
        let of_rows = matches!(self.case.main, Main::FullyConnected { .. } | Main::BatchMatmul { .. });
        let row: usize = if of_rows { shape[3] } else { shape[1..].iter().product() };
        let count: usize = shape.iter().product();
        let mut all = vec![];
        for (i, start) in (0..count).step_by(row).enumerate() {
            let unit = 1.0 / (64 << (i % 3)) as f32;
            // Lowest and highest integer less the zero point; 0 is between them.
            let zero = noise(seed + i as u64, 1).next().expect("a number") as i64 % 256 - 128;
            let (low, high) = match (asymmetric, row) {
                (false, _) => (-127, 127),
                (true, 1) => (0, 255),
                (true, _) => (-128 - zero, 127 - zero),
            };
            let mut integers: Vec<i64> = noise(seed + start as u64 + 99, row).map(|n| low + n as i64 % (high - low + 1)).collect();
            integers[row - 1] = low;
            integers[0] = high;
            all.extend(integers.iter().map(|v| *v as f32 * unit));
        }
        all
    }

    /// Weights per channel have scales that are not the same if there is more than one.
    fn scales_differ(&self) -> bool {
        let Main::Convolution { outputs, .. } = self.case.main else { return false };
        self.case.types == Types::HybridPerChannel && outputs != 1
    }

    fn pad(&mut self, x: ValueId) -> ValueId {
        let [top, bottom, left, right] = self.case.before;
        let ty = self.graph.ty(x).clone();
        self.node(Op::Pad(pad::Attributes { before: vec![0, top, left, 0], after: vec![0, bottom, right, 0] }), &[Some(x)], ty)
    }

    /// Weights of that shape with the channels of the result on an axis, and the type of the result for so many products per sum.
    fn weights(&mut self, types: Types, shape: &[usize], axis: usize, depth: usize) -> (ValueId, TensorType) {
        use Types::*;
        let (element, per_channel, zero) = match types {
            F32 => (ElementType::F32, false, 0),
            U8 | U8To16 => (ElementType::U8, false, self.next() as i64 % 256),
            I8Offset | I8To32 => (ElementType::I8, false, self.next() as i64 % 60 - 30),
            I16Words => (ElementType::I16, false, 0),
            I8PerChannel | HybridPerChannel => (ElementType::I8, true, 0),
            _ => (ElementType::I8, false, 0),
        };
        let scales: Vec<f32> =
            (0..if per_channel { shape[axis] } else { 1 }).map(|i| 0.01 + (self.seed % 7 + i as u64 % 5) as f32 * 1e-3).collect();
        let zero_points = vec![zero; scales.len()];
        let quantization = (element != ElementType::F32).then(|| Arc::new(Quantization { scales, zero_points, axis }));
        let ty = TensorType { element, shape: shape.to_vec(), quantization };
        let seed = self.next();
        let mut data = match element {
            ElementType::F32 => f32_bytes(&eighths(seed, ty.element_count(), 8)),
            _ => bytes(seed, ty.size_bytes()),
        };
        if let Some([count, of]) = self.case.kept {
            let size = data.len() / ty.element_count();
            let starts: Vec<u64> = noise(seed, ty.element_count() / of + 1).collect();
            for (i, weight) in data.chunks_exact_mut(size).enumerate() {
                if count <= (i + starts[i / of] as usize % of) % of {
                    weight.fill(0);
                }
            }
        }
        let w = self.value(ty, Some(data.clone()));
        if self.case.weights_at_run_time && self.inputs.len() == 1 {
            self.graph.value_mut(w).data = None;
            self.graph.inputs.push(w);
            self.inputs.push(data);
        }
        // Results that use their range, most of them without being cut off.
        let spread = match types {
            I16 | I16Bias32 | U8To16 => 5e-2,
            I16Words => 12.0,
            _ => 2e-2,
        };
        let scale = spread * (depth as f32).sqrt();
        let result = match types {
            U8To16 => TensorType::quantized(ElementType::I16, [], scale / 100.0, 0),
            I8To32 => TensorType::new(ElementType::I32, []),
            _ => self.ty(&[], scale),
        };
        (w, result)
    }

    fn bias(&mut self, types: Types, channels: usize) -> Option<ValueId> {
        let seed = self.next();
        let element = match types {
            Types::F32 | Types::Hybrid | Types::HybridPerChannel => ElementType::F32,
            Types::I16 | Types::I16Words => ElementType::I64,
            _ => ElementType::I32,
        };
        // With 32 bits, i16 has other sums only if there is a bias.
        if !self.case.bias && types != Types::I16Bias32 {
            return None;
        }
        let data = match element {
            ElementType::F32 => f32_bytes(&eighths(seed, channels, 64)),
            ElementType::I32 => noise(seed, channels).flat_map(|n| (n as i32 % 20000).to_le_bytes()).collect(),
            _ => noise(seed, channels).flat_map(|n| (n as i64 % 2000000).to_le_bytes()).collect(),
        };
        Some(self.value(TensorType::new(element, [channels]), Some(data)))
    }

    fn main(&mut self, x: ValueId) -> ValueId {
        let c = self.case;
        let (types, padding, [_, _, _, channels]) = (c.types, c.padding(), c.padded());
        let Case { filter: [fh, fw], stride, dilation, activation, .. } = *c;
        match c.main {
            Main::Convolution { outputs, groups } => {
                let depth = fh * fw * channels / groups;
                let (w, y) = self.weights(types, &[outputs, fh, fw, channels / groups], 0, depth);
                let b = self.bias(types, outputs);
                self.node(Op::Conv2d(conv_2d::Attributes { stride, dilation, padding, activation }), &[Some(x), Some(w), b], y)
            }
            Main::Depthwise { multiplier } => {
                let outputs = channels * multiplier;
                let (w, y) = self.weights(types, &[1, fh, fw, outputs], 3, fh * fw);
                let b = self.bias(types, outputs);
                let attributes = depthwise_conv_2d::Attributes { stride, dilation, padding, depth_multiplier: multiplier, activation };
                self.node(Op::DepthwiseConv2d(attributes), &[Some(x), Some(w), b], y)
            }
            Main::FullyConnected { units, keep_num_dims, asymmetric } => {
                let (w, y) = self.weights(types, &[units, channels], 0, channels);
                let b = self.bias(types, units);
                let attributes = fully_connected::Attributes { activation, keep_num_dims, asymmetric_quantize_inputs: asymmetric };
                self.node(Op::FullyConnected(attributes), &[Some(x), Some(w), b], y)
            }
            Main::Transposed { outputs, before, result: [h, w] } => {
                let shape = vec![c.image[0], h, w, outputs];
                let (w, y) = self.weights(types, &[outputs, fh, fw, channels], 0, fh * fw * channels);
                let b = self.bias(types, outputs);
                self.node(
                    Op::TransposeConv(transpose_conv::Attributes(cranelite_graph::ops::transposed::Attributes {
                        shape,
                        stride,
                        before,
                        activation,
                    })),
                    &[Some(x), Some(w), b],
                    y,
                )
            }
            Main::BatchMatmul { columns, ones, adj: [adj_x, adj_y], asymmetric } => {
                let (w, y) = self.weights(types, &c.side(ones[1], [channels, columns], adj_y), 3, channels);
                let attributes = batch_matmul::Attributes { adj_x, adj_y, asymmetric_quantize_inputs: asymmetric };
                self.node(Op::BatchMatmul(attributes), &[Some(x), Some(w)], y)
            }
            Main::AveragePool => {
                let y = self.graph.ty(x).clone();
                self.node(
                    Op::AveragePool2d(average_pool_2d::Attributes(pools::Attributes { filter: c.filter, stride, padding, activation })),
                    &[Some(x)],
                    y,
                )
            }
            Main::MaxPool => {
                let y = self.graph.ty(x).clone();
                self.node(
                    Op::MaxPool2d(max_pool_2d::Attributes(pools::Attributes { filter: c.filter, stride, padding, activation })),
                    &[Some(x)],
                    y,
                )
            }
            Main::Mean { axes, keep_dims } => {
                let y = self.ty(&[], SCALE * 0.4);
                let axes = (0..4).filter(|i| axes[*i]).collect();
                self.node(Op::Mean(mean::Attributes(reductions::Attributes { axes, keep_dims })), &[Some(x)], y)
            }
            Main::Pad { before, after } => {
                let y = self.graph.ty(x).clone();
                self.node(Op::Pad(pad::Attributes { before: before.to_vec(), after: after.to_vec() }), &[Some(x)], y)
            }
            Main::Slice { first, stride, backwards } => {
                let y = self.graph.ty(x).clone();
                // From the first element on, or to it from the last one.
                let starts: Vec<usize> = (0..4).map(|d| first[d].min(c.image[d] - 1)).collect();
                let count: Vec<usize> = (0..4).map(|d| (c.image[d] - starts[d]).div_ceil(stride[d])).collect();
                let first = (0..4).map(|d| if backwards[d] { c.image[d] - 1 - starts[d] } else { starts[d] }).collect();
                let stride = (0..4).map(|d| stride[d] as i64 * if backwards[d] { -1 } else { 1 }).collect();
                self.node(Op::StridedSlice(strided_slice::Attributes { first, stride, shape: count.clone(), count }), &[Some(x)], y)
            }
            Main::Concatenation { .. } => unreachable!("it has several operands"),
        }
    }

    /// Pieces whose lengths differ along the axis.
    fn concatenation(&mut self, axis: usize, pieces: usize) -> ValueId {
        let x = self.input(&self.case.image);
        let ty = self.graph.ty(x).clone();
        let mut all = vec![Some(x)];
        for i in 1..pieces {
            let mut shape = ty.shape.clone();
            shape[axis] = 1 + (shape[axis] + i) % 4;
            let piece = self.input(&shape);
            self.graph.value_mut(piece).ty.quantization = ty.quantization.clone();
            all.push(Some(piece));
        }
        self.node(Op::Concatenation(concatenation::Attributes { axis, activation: Activation::None }), &all, ty)
    }

    fn sum(&mut self, y: ValueId, subtract: bool, swapped: bool, in_arena: bool, activation: Activation) -> ValueId {
        let ty = self.graph.ty(y).clone();
        let mut other = self.input(&ty.shape);
        if in_arena {
            let ty = self.graph.ty(other).clone();
            other = self.node(Op::Relu(relu::Attributes(clips::Attributes {})), &[Some(other)], ty);
            // It must be there before the product begins.
            let node = self.graph.nodes.pop().expect("the node");
            self.graph.nodes.insert(0, node);
        }
        let scale = ty.scale().unwrap_or(1.0) * 1.3;
        let result = self.ty(&[], scale);
        // The other operand counts as much as the result, whatever its numbers.
        if let Some(q) = &self.graph.ty(other).quantization.clone() {
            let q = Quantization { scales: vec![ty.scale().expect("a scale") * 0.8], ..(**q).clone() };
            let input = *self.graph.inputs.last().expect("the operand");
            for v in [input, other] {
                self.graph.value_mut(v).ty.quantization = Some(Arc::new(q.clone()));
            }
        }
        let inputs = if swapped { [Some(other), Some(y)] } else { [Some(y), Some(other)] };
        let op = match subtract {
            false => Op::Add(add::Attributes(sums::Attributes { activation, pot_scale_int16: false })),
            true => Op::Sub(sub::Attributes(sums::Attributes { activation, pot_scale_int16: false })),
        };
        self.node(op, &inputs, result)
    }

    fn after(&mut self, y: ValueId) -> Vec<ValueId> {
        let ty = self.graph.ty(y).clone();
        match self.case.after {
            After::Nothing => vec![y],
            After::Relu => vec![self.node(Op::Relu(relu::Attributes(clips::Attributes {})), &[Some(y)], ty)],
            After::Relu6 => vec![self.node(Op::Relu6(relu6::Attributes(clips::Attributes {})), &[Some(y)], ty)],
            After::Sum { subtract, swapped, in_arena, activation } => vec![self.sum(y, subtract, swapped, in_arena, activation)],
            After::Product { stride, readers, sum } => {
                let y = sum.map_or(y, |in_arena| self.sum(y, false, false, in_arena, Activation::None));
                let channels = *ty.shape.last().expect("channels");
                (0..readers).map(|i| self.reader(y, stride, 3 + 2 * i, channels)).collect()
            }
        }
    }

    /// A product that takes pixels by themselves.
    fn reader(&mut self, x: ValueId, stride: [usize; 2], outputs: usize, channels: usize) -> ValueId {
        let (types, activation) = (self.case.types, Activation::None);
        let (op, shape) = if let Main::FullyConnected { keep_num_dims, .. } = self.case.main {
            let a = fully_connected::Attributes { activation, keep_num_dims, asymmetric_quantize_inputs: false };
            (Op::FullyConnected(a), vec![outputs, channels])
        } else {
            let a = conv_2d::Attributes { stride, dilation: [1, 1], padding: Padding::default(), activation };
            (Op::Conv2d(a), vec![outputs, 1, 1, channels])
        };
        let (w, result) = self.weights(types, &shape, 0, channels);
        let b = self.bias(types, outputs);
        self.node(op, &[Some(x), Some(w), b], result)
    }

    /// Makes inputs of the graph of what the last node reads there, as the case wants it.
    fn give(&mut self, inputs: [usize; 2]) {
        for (i, _) in inputs.iter().zip(self.case.at_run_time).filter(|(_, at_run_time)| *at_run_time) {
            let Some(v) = self.graph.nodes.last().and_then(|n| n.input(*i)) else { continue };
            let data = self.graph.value_mut(v).data.take().expect("a constant");
            self.graph.inputs.push(v);
            self.inputs.push(data.to_vec());
        }
    }

    /// Two operators that have a tensor between them.
    fn beside(&mut self) {
        let bytes = 2 * self.case.image.iter().product::<usize>() * self.case.beside / 3;
        if bytes == 0 {
            return;
        }
        let ty = TensorType::new(ElementType::I8, [1]);
        let from = self.value(ty.clone(), None);
        self.graph.inputs.push(from);
        self.inputs.push(vec![7]);
        let mut v = from;
        for after in [bytes, 1] {
            v = self.node(Op::Pad(pad::Attributes { before: vec![0], after: vec![after] }), &[Some(v)], ty.clone());
        }
        self.graph.outputs.push(v);
    }
}

/// Multiples of 1/8, up to `most` of them.
fn eighths(seed: u64, count: usize, most: i64) -> Vec<f32> {
    noise(seed, count).map(|n| (n as i64 % (2 * most + 1) - most) as f32 / 8.0).collect()
}
