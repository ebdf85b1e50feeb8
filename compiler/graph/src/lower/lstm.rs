//! Cells with a memory (LSTM): rules, numbers and kernels that all operators made of them share.
//!
//! Not the walk over the steps (`recurrent.rs`). The idea: of each step, the products of the input and of the last output with the weights
//! of all gates are one call each; then one call computes the gates, the new memory and the output of every cell. With layer
//! normalisation that call becomes three, since a gate is normalised over all cells first, the output gate after the memory has changed.
//!
//! Of integers, each product is rescaled by a number of its gate, and sums of 16 bits saturate after every summand, in the reference's order.

use super::fixed;
use super::math;
use super::recurrent::{self, Cells, Form, Rows, Sequence, Weights, each_cell, floats, integers, product, shaped, state_of};
use super::requantize::{Scale, Target, shift_range};
use super::{Context, sigmoid_16};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::gemm::Bias;
use crate::lower::recurrent::SplatTo;
use crate::ops::attributes::Curve;
use crate::ops::types::{Row, Set};
use crate::ops::{Signature, Source, checks};
use crate::quantize::{checked_log2, quantize_multiplier};
use crate::tensor::ElementType::{self, F32, I8, I16, I32};
use crate::tensor::TensorType;
use cranelite_tile::{Arg, BufferId, Cond, Elem, KernelBuilder, ShiftRange, Value};

/// Of an operator whose operands are one layer's, in their order.
pub const TYPES: &[Row] = &[
    Row::Same(&[F32]),
    Row::Of(&concat::<24>(&[(&[F32], 1), (&[I8], 11), (&[F32], 4), (&[I8], 1), (&[F32], 7)]), &[&[F32]]),
    Row::Of(&concat::<24>(&[(&[I8], 1), (&[I8], 8), (&[I16], 3), (&[I32], 4), (&[I8], 1), (&[I32], 1), (&[I8], 1), (&[I16], 5)]), &[&[I8]]),
];

/// Sets of types, each for so many operands.
pub const fn concat<const N: usize>(runs: &[(Set, usize)]) -> [Set; N] {
    let mut all: [Set; N] = [&[]; N];
    let (mut run, mut at) = (0, 0);
    while run < runs.len() {
        let mut n = 0;
        while n < runs[run].1 {
            all[at] = runs[run].0;
            (at, n) = (at + 1, n + 1);
        }
        run += 1;
    }
    assert!(at == N);
    all
}

/// Where the operands of a layer are among the inputs of an operator.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// Of the input gate's weights; the others follow: input and recurrent weights of the gates i, f, c, o, peephole weights of i, f, o, biases,
    /// weights and bias of the projection.
    pub first: usize,
    /// Of the last output and the memory.
    pub states: [usize; 2],
    /// Coefficients of layer normalisation.
    pub norms: Option<usize>,
    /// A second input, and its weights.
    pub second: Option<[usize; 2]>,
}

/// What the options say.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    pub curve: Curve,
    pub cell_clip: f32,
    pub proj_clip: f32,
    pub asymmetric: bool,
    /// Of the intermediate results of integer layers: what layer normalisation is given, by gate, and what is projected.
    pub inner_scales: &'a [f32],
    pub inner_zero_points: &'a [i64],
}

/// Scales and zero points of the intermediate results, 0 where there are none.
pub fn inner(source: &Source) -> (Vec<f32>, Vec<i64>) {
    let number = |ty: &Option<&TensorType>| ty.map_or((0.0, 0), |ty| (ty.scale().unwrap_or(0.0), ty.zero_point()));
    source.intermediates.iter().map(number).unzip()
}

const GATES: [&str; 4] = ["the input gate", "the forget gate", "the cell gate", "the output gate"];
const INPUT: usize = 0;
const FORGET: usize = 1;
const CELL: usize = 2;
const OUTPUT: usize = 3;

/// One direction of one operator.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    at: Operands,
    options: Options<'a>,
    element: ElementType,
    pub inputs: usize,
    pub second_inputs: usize,
    pub cells: usize,
    pub outputs: usize,
    has_input_gate: bool,
    has_peepholes: bool,
    has_norms: bool,
    has_projection: bool,
    numbers: Option<Numbers>,
    /// Of bytes without sign, where sums are added up before they are rescaled: the multiplier and the shift.
    basic: Option<(i32, i32)>,
}

/// Constants of a layer.
pub struct Material {
    pub weights: Weights,
    /// A second input, and its weights.
    pub second: Option<(BufferId, Weights)>,
    pub recurrent: Weights,
    pub bias: Bias,
    projection: Option<(Weights, Bias)>,
    peepholes: Option<BufferId>,
    norms: Option<[BufferId; 2]>,
}

impl Material {
    pub fn plain(weights: Weights, recurrent: Weights, bias: Bias) -> Material {
        Material { weights, second: None, recurrent, bias, projection: None, peepholes: None, norms: None }
    }
}

/// Multipliers and shifts, and what else integers need.
#[derive(Clone, Debug)]
struct Numbers {
    input: [(i32, i32); 4],
    recurrent: [(i32, i32); 4],
    /// Of the gates; that of the cell has none.
    peephole: [(i32, i32); 4],
    norm: [(i32, i32); 4],
    least_variance: [i32; 4],
    hidden: (i32, i32),
    projection: (i32, i32),
    input_zero_point: i64,
    state_zero_point: i64,
    hidden_zero_point: i64,
    /// The memory's scale is 2 to this power.
    cell_log2: i32,
    cell_clip: i32,
    proj_clip: i32,
}

impl<'a> Layer<'a> {
    fn input_weights(&self, gate: usize) -> usize {
        self.at.first + gate
    }
    fn recurrent_weights(&self, gate: usize) -> usize {
        self.at.first + 4 + gate
    }
    /// The cell gate has none.
    fn peephole(&self, gate: usize) -> usize {
        self.at.first + 8 + [0, 1, usize::MAX, 2][gate]
    }
    fn bias(&self, gate: usize) -> usize {
        self.at.first + 11 + gate
    }
    fn projection(&self) -> [usize; 2] {
        [self.at.first + 15, self.at.first + 16]
    }
    /// Gates that are there, in the order of their sums.
    fn gates(&self) -> std::ops::Range<usize> {
        if self.has_input_gate { INPUT..4 } else { FORGET..4 }
    }
    /// Which of the sums.
    fn slot(&self, gate: usize) -> usize {
        gate - self.gates().start
    }
    /// Sums of an element of the batch.
    fn row(&self) -> usize {
        self.gates().len() * self.cells
    }

    /// Everything that types say; the first operand is the input.
    pub fn new(s: &Signature, sequence: &Sequence, at: Operands, options: Options<'a>) -> Result<Layer<'a>, Diagnostic> {
        let wrong = |message: String| Diagnostic::new(Code::OPERAND, message);
        let x = s.input(0)?;
        let has = |i: usize| s.optional(i).is_some();
        let inputs = x.shape.last().copied().unwrap_or(0);
        let matrix = |i: usize| {
            let ty = s.input(i)?;
            match ty.shape[..] {
                [rows, columns] => Ok([rows, columns]),
                [_] => Err(Diagnostic::new(Code::FEATURE, "recurrent weights that are a diagonal are not supported")
                    .detail(format!("input {i}"))
                    .help("store them as a matrix")),
                _ => Err(wrong("weights have the wrong rank".into()).detail(format!("input {i}")).expected("2 dimensions")),
            }
        };
        let [cells, _] = matrix(at.first + OUTPUT)?;
        let [_, outputs] = matrix(at.first + 4 + OUTPUT)?;
        let second_inputs = match at.second {
            Some([second, _]) if has(second) => s.input(second)?.shape.last().copied().unwrap_or(0),
            _ => 0,
        };
        let mut layer = Layer {
            at,
            options,
            element: x.element,
            inputs,
            second_inputs,
            cells,
            outputs,
            has_input_gate: has(at.first),
            has_peepholes: has(at.first + 8 + 2),
            has_norms: at.norms.is_some_and(|n| has(n + FORGET)),
            has_projection: has(at.first + 15),
            numbers: None,
            basic: None,
        };
        for (what, n) in [("the sequence", sequence.steps), ("the batch", sequence.batch), ("the input", inputs)] {
            recurrent::not_empty(what, n)?;
        }
        recurrent::not_empty("the weights", cells.min(outputs))?;
        for clip in [options.cell_clip, options.proj_clip] {
            if clip.is_nan() || clip < 0.0 {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "a limit of a clip is negative")
                    .expected("0, or more")
                    .found(clip.to_string()));
            }
        }
        if options.curve == Curve::None {
            // There the reference multiplies the output gate by what is in memory of its own.
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the activation of the cells is absent").expected("TANH, RELU or the like"));
        }
        layer.check_operands(s, sequence)?;
        if x.element == I8 {
            layer.numbers = Some(layer.numbers(s)?);
        }
        Ok(layer)
    }

    fn check_operands(&self, s: &Signature, sequence: &Sequence) -> Result<(), Diagnostic> {
        let has = |i: usize| s.optional(i).is_some();
        let is_integer = self.element == I8;
        // An operand that must be there, or must not.
        let present = |what: String, i: usize, wanted: bool| match has(i) == wanted {
            true => Ok(()),
            false => Err(Diagnostic::new(Code::OPERAND, format!("{what} must {}be there", if wanted { "" } else { "not " }))
                .detail(format!("input {i}"))
                .expected(if wanted { "all of a kind, or none" } else { "none" })),
        };
        let weights = |what: &str, i: usize, shape: &[usize]| {
            let ty = s.input(i)?;
            if ty.rank() == 1 && shape.len() == 2 {
                return Err(Diagnostic::new(Code::FEATURE, "recurrent weights that are a diagonal are not supported")
                    .detail(format!("input {i}"))
                    .help("store them as a matrix"));
            }
            shaped(what, i, ty, shape)?;
            if ty.element != F32 && ty.element != ElementType::I32 {
                checks::per_tensor(what, ty)?;
                checks::symmetric(what, ty)?;
            }
            Ok(())
        };
        let first = s.input(self.input_weights(OUTPUT))?.element;
        let same_type = |i: usize| match s.optional(i) {
            Some(o) if o.ty.element != first => Err(Diagnostic::new(Code::TYPES, "weights of different types")
                .detail(format!("input {i}"))
                .expected(first.name())
                .found(o.ty.element.name())),
            _ => Ok(()),
        };
        for (gate, name) in GATES.iter().enumerate() {
            let wanted = gate != INPUT || self.has_input_gate;
            for (what, i) in
                [("weights", self.input_weights(gate)), ("recurrent weights", self.recurrent_weights(gate)), ("bias", self.bias(gate))]
            {
                present(format!("the {what} of {name}"), i, wanted)?;
            }
            if gate != CELL {
                present(format!("the peephole weights of {name}"), self.peephole(gate), wanted && self.has_peepholes)?;
            }
            if let Some(norms) = self.at.norms.filter(|n| n + gate < s.inputs.len()) {
                present(format!("the normalisation of {name}"), norms + gate, wanted && self.has_norms)?;
            }
            if !wanted {
                continue;
            }
            weights("the input weights", self.input_weights(gate), &[self.cells, self.inputs])?;
            weights("the recurrent weights", self.recurrent_weights(gate), &[self.cells, self.outputs])?;
            same_type(self.input_weights(gate))?;
            same_type(self.recurrent_weights(gate))?;
            weights("the bias", self.bias(gate), &[self.cells])?;
            if self.has_peepholes && gate != CELL {
                weights("the peephole weights", self.peephole(gate), &[self.cells])?;
                if !is_integer {
                    same_type(self.peephole(gate))?;
                }
            }
            if let (true, Some(norms)) = (self.has_norms, self.at.norms) {
                weights("the normalisation", norms + gate, &[self.cells])?;
            }
            if let Some([second, second_weights]) = self.at.second {
                present(format!("the second input's weights of {name}"), second_weights + gate, has(second))?;
                if has(second) {
                    weights("the second input's weights", second_weights + gate, &[self.cells, self.second_inputs])?;
                    same_type(second_weights + gate)?;
                }
            }
        }
        let [projection, projection_bias] = self.projection();
        match self.has_projection {
            true => {
                weights("the projection", projection, &[self.outputs, self.cells])?;
                same_type(projection)?;
                if has(projection_bias) {
                    weights("the projection's bias", projection_bias, &[self.outputs])?;
                }
            }
            false if self.outputs != self.cells => {
                return Err(Diagnostic::new(Code::OPERAND, "without projection there are as many outputs as cells")
                    .expected(self.cells.to_string())
                    .found(self.outputs.to_string()));
            }
            false => present("the projection's bias".into(), projection_bias, false)?,
        }
        for (i, (what, elements)) in
            [("the state of the outputs", self.outputs), ("the state of the cells", self.cells)].into_iter().enumerate()
        {
            state_of(what, self.at.states[i], s.input(self.at.states[i])?, sequence.batch * elements)?;
        }
        if is_integer && self.has_peepholes && self.outputs != self.cells {
            // The reference walks over the cells in rows of as many as there are outputs.
            return Err(Diagnostic::new(Code::FEATURE, "integer peephole weights beside a projection are not supported"));
        }
        Ok(())
    }

    fn numbers(&self, s: &Signature) -> Result<Numbers, Diagnostic> {
        let missing = |what: &str| {
            Diagnostic::new(Code::SCALE, format!("{what} of an integer layer has no quantisation")).expected("one scale and zero point")
        };
        let per_tensor = |what: &str, i: usize| checks::per_tensor(what, s.input(i)?);
        let scale = |i: usize| s.optional(i).map_or(1.0, |o| o.ty.scale().unwrap_or(1.0));
        let (input_scale, input_zero_point) = per_tensor("the input", 0)?;
        let [state, cell] = self.at.states;
        let (state_scale, state_zero_point) = per_tensor("the state of the outputs", state)?;
        let (cell_scale, cell_zero_point) = per_tensor("the state of the cells", cell)?;
        let (output_scale, _) = checks::per_tensor("the output", s.output(0))?;
        let cell_log2 = match checked_log2(cell_scale) {
            Some((n @ -15..=-9, true)) if cell_zero_point == 0 => n,
            _ => {
                return Err(Diagnostic::new(Code::SCALE, "the scale of the cells' state is not supported")
                    .detail(format!("input {cell}"))
                    .expected("a power of two from 2^-15 to 2^-9, and the zero point 0")
                    .found(format!("{cell_scale} and {cell_zero_point}")));
            }
        };
        if self.options.curve != Curve::Tanh {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the activation of integer cells is not supported").expected("TANH"));
        }
        if self.options.inner_scales.len() != 5 || self.options.inner_zero_points.len() != 5 {
            return Err(Diagnostic::new(Code::FEATURE, "the intermediate results of an integer layer are not supported")
                .expected("5 of them")
                .found(self.options.inner_scales.len().to_string())
                .help("convert the model with sums of 16 bits"));
        }
        let inner = |i: usize| {
            let scale = self.options.inner_scales[i];
            if scale <= 0.0 { Err(missing("an intermediate result")) } else { Ok(scale) }
        };
        let hidden_scale = inner(4)?;
        let mut n = Numbers {
            input: [(0, 0); 4],
            recurrent: [(0, 0); 4],
            peephole: [(0, 0); 4],
            norm: [(0, 0); 4],
            least_variance: [1; 4],
            hidden: quantize_multiplier((libm::exp2(-15.0) / f64::from(hidden_scale) * libm::exp2(-15.0)) as f32 as f64),
            projection: (0, 0),
            input_zero_point: input_zero_point.into(),
            state_zero_point: state_zero_point.into(),
            hidden_zero_point: self.options.inner_zero_points[4],
            cell_log2,
            cell_clip: quantized_clip(self.options.cell_clip, cell_scale, 32768.0),
            proj_clip: quantized_clip(self.options.proj_clip, output_scale, 128.0),
        };
        for gate in self.gates() {
            let inner = if self.has_norms { inner(gate)? } else { libm::exp2f(-12.0) };
            n.input[gate] = quantize_multiplier((scale(self.input_weights(gate)) * input_scale / inner).into());
            n.recurrent[gate] = quantize_multiplier((scale(self.recurrent_weights(gate)) * state_scale / inner).into());
            if self.has_peepholes && gate != CELL {
                let real = libm::exp2(cell_log2.into()) * f64::from(scale(self.peephole(gate))) / f64::from(inner);
                n.peephole[gate] = quantize_multiplier((real as f32).into());
            }
            if let (true, Some(norms)) = (self.has_norms, self.at.norms) {
                let scale = scale(norms + gate);
                let (multiplier, shift) = quantize_multiplier(scale.into());
                n.norm[gate] = (multiplier, shift + 12);
                n.least_variance[gate] = ((10000.0 * scale) as i32).max(1);
            }
        }
        if self.has_projection {
            n.projection = quantize_multiplier((scale(self.projection()[0]) * hidden_scale / state_scale).into());
        }
        for (_, shift) in n.input.iter().chain(&n.recurrent).chain(&n.peephole).chain(&n.norm).chain([&n.hidden, &n.projection]) {
            shift_range(&[*shift])?;
        }
        Ok(n)
    }

    /// Of bytes without sign.
    pub fn is_basic(&self) -> bool {
        self.basic.is_some()
    }

    pub fn macs(&self, sequence: &Sequence) -> u64 {
        let gates = self.row() * (self.inputs + self.second_inputs + self.outputs);
        let projection = if self.has_projection { self.cells * self.outputs } else { 0 };
        ((gates + projection) * sequence.batch * sequence.steps) as u64
    }

    /// A layer of which there is nothing but the gates: f32, or u8 whose sums are rescaled by `basic`.
    pub fn plain(element: ElementType, inputs: usize, cells: usize, basic: Option<(i32, i32)>) -> Layer<'static> {
        let options =
            Options { curve: Curve::Tanh, cell_clip: 0.0, proj_clip: 0.0, asymmetric: false, inner_scales: &[], inner_zero_points: &[] };
        Layer {
            at: Operands { first: 0, states: [0; 2], norms: None, second: None },
            options,
            element,
            inputs,
            second_inputs: 0,
            cells,
            outputs: cells,
            has_input_gate: true,
            has_peepholes: false,
            has_norms: false,
            has_projection: false,
            numbers: None,
            basic,
        }
    }

    /// Writes the calls of all steps. `input`, `second`: tensors of rows; `output`: a tensor, the bytes of its rows, and where in them ours begin.
    pub fn lower(
        &self,
        cx: &mut Context,
        node: &Node,
        sequence: &Sequence,
        [input, second]: [Option<BufferId>; 2],
        output: (BufferId, usize, usize),
    ) -> Result<(), Diagnostic> {
        let gates: Vec<usize> = self.gates().collect();
        let of = |f: &dyn Fn(usize) -> usize| gates.iter().map(|&g| f(g)).collect::<Vec<_>>();
        let biases = of(&|g| self.bias(g));
        let material = Material {
            weights: Weights::of_node(cx, node, &of(&|g| self.input_weights(g)))?,
            recurrent: Weights::of_node(cx, node, &of(&|g| self.recurrent_weights(g)))?,
            second: match (second, self.at.second) {
                (Some(buffer), Some([_, w])) => Some((buffer, Weights::of_node(cx, node, &of(&|g| w + g))?)),
                _ => None,
            },
            bias: match (self.has_norms, self.element) {
                (true, _) => Bias::None,
                (_, F32) => Bias::Float(floats(cx, node, &biases)?.unwrap_or_default()),
                _ => Bias::Int(integers(cx, node, &biases)?.unwrap_or_default()),
            },
            projection: if self.has_projection { Some(self.projection_of(cx, node)?) } else { None },
            peepholes: self.peepholes(cx, node)?,
            norms: self.norms(cx, node)?,
        };
        let states = self.at.states.map(|i| cx.input(node, i));
        self.steps(cx, sequence, &material, input.expect("the input"), states, output)
    }

    /// The same for given constants.
    pub fn steps(
        &self,
        cx: &mut Context,
        sequence: &Sequence,
        material: &Material,
        input: BufferId,
        [state, memory]: [BufferId; 2],
        output: (BufferId, usize, usize),
    ) -> Result<(), Diagnostic> {
        let batch = sequence.batch;
        let element_bytes = if self.element == F32 { 4 } else { 1 };
        let (form, recurrent_form) = match (&self.numbers, self.basic) {
            (Some(n), _) => (Form::Sums { zero_point: n.input_zero_point }, Form::Sums { zero_point: n.state_zero_point }),
            (_, Some(_)) => (Form::Sums { zero_point: 128 }, Form::Sums { zero_point: 128 }),
            _ => (Form::Float { asymmetric: self.options.asymmetric }, Form::Float { asymmetric: self.options.asymmetric }),
        };
        cx.repeat(sequence.steps, |cx| {
            let mut sums = vec![];
            let mut add = |cx: &mut Context, w: &Weights, form: Form, bias: Bias, from: BufferId| {
                let to = cx.scratch("sums", (4 * batch * w.rows) as u64);
                sums.push(to);
                product(cx, w, batch, form, bias, from, to)
            };
            let row = |w: &Weights| w.depth * element_bytes;
            let rows = sequence.rows(cx, input, row(&material.weights), 0, row(&material.weights));
            let x = sequence.gathered(cx, rows);
            add(cx, &material.weights, form, material.bias.clone(), x)?;
            if let Some((buffer, w)) = &material.second {
                let rows = sequence.rows(cx, *buffer, row(w), 0, row(w));
                let x = sequence.gathered(cx, rows);
                add(cx, w, form, Bias::None, x)?;
            }
            add(cx, &material.recurrent, recurrent_form, Bias::None, state)?;
            let y = sequence.rows(cx, output.0, output.1, output.2, self.outputs * element_bytes);
            let hidden = match material.projection {
                Some(_) => cx.scratch("hidden", (batch * self.cells * element_bytes) as u64),
                None => state,
            };
            let direct = material.projection.is_none().then_some(y);
            let step = Step { layer: self, batch, sums: &sums, memory, peepholes: material.peepholes, hidden, y: direct };
            match &material.norms {
                Some(norms) => {
                    let gates = cx.scratch("gates", (4 * batch * self.row()) as u64);
                    let read = [gates];
                    let normal = Step { sums: &read, peepholes: None, ..step };
                    self.gates().filter(|g| *g != OUTPUT).for_each(|gate| step.normalize(cx, gate, gates, norms));
                    normal.cells(cx, Part::Memory);
                    step.normalize(cx, OUTPUT, gates, norms);
                    normal.cells(cx, Part::Output);
                }
                None => step.cells(cx, Part::Both),
            }
            if let Some((w, bias)) = &material.projection {
                self.project(cx, w, bias.clone(), batch, hidden, state)?;
                sequence.scatter(cx, state, y);
            }
            Ok(())
        })
    }

    fn projection_of(&self, cx: &Context, node: &Node) -> Result<(Weights, Bias), Diagnostic> {
        let [weights, bias] = self.projection();
        let w = Weights::of_node(cx, node, &[weights])?;
        let bias = match &self.numbers {
            Some(n) => {
                // What is projected has the negative zero point, as in the reference.
                let own = integers(cx, node, &[bias])?.unwrap_or_else(|| vec![0; w.rows]);
                Bias::Int(own.iter().zip(w.sums()).map(|(b, sum)| i64::from((b + n.hidden_zero_point * sum) as i32)).collect())
            }
            None => floats(cx, node, &[bias])?.map_or(Bias::None, Bias::Float),
        };
        Ok((w, bias))
    }

    fn project(
        &self,
        cx: &mut Context,
        w: &Weights,
        bias: Bias,
        batch: usize,
        hidden: BufferId,
        state: BufferId,
    ) -> Result<(), Diagnostic> {
        if let Some(n) = &self.numbers {
            let (low, high) = if 0 < n.proj_clip { (-n.proj_clip, n.proj_clip) } else { (-128, 127) };
            let target = Target { elem: Elem::I8, zero_point: n.state_zero_point as i32, low, high };
            return product(cx, w, batch, Form::Rescaled { zero_point: 0, scale: n.projection, target }, bias, hidden, state);
        }
        product(cx, w, batch, Form::Float { asymmetric: self.options.asymmetric }, bias, hidden, state)?;
        if 0.0 < self.options.proj_clip {
            let mut k = KernelBuilder::new(format!("clip_f32_{}", w.rows));
            let y = k.read_write("y");
            each_cell(&mut k, 1, batch * w.rows, cx.machine.lanes(Elem::F32), |k, c| {
                let v = k.load_part(Elem::F32.x(c.lanes), y.at(c.first.clone() * 4), c.count);
                let v = recurrent::clip(k, v, self.options.proj_clip);
                k.store_part(y.at(c.first.clone() * 4), v, c.count);
            });
            cx.call(k.finish(), &[state], &[]);
        }
        Ok(())
    }

    /// Gate after gate as they are multiplied: f32, or i16.
    fn peepholes(&self, cx: &mut Context, node: &Node) -> Result<Option<BufferId>, Diagnostic> {
        if !self.has_peepholes {
            return Ok(None);
        }
        let inputs: Vec<usize> = self.gates().filter(|g| *g != CELL).map(|g| self.peephole(g)).collect();
        let mut bytes = vec![];
        for i in inputs {
            let data = cx.constant_input(node, i).ok_or_else(|| cx.not_constant(node, i, "the peephole weights"))?;
            let ty = cx.input_type(node, i);
            match ty.element {
                I8 => {
                    let scale = ty.scale().unwrap_or(1.0);
                    bytes.extend(data.iter().flat_map(|&b| (scale * f32::from(b as i8)).to_le_bytes()));
                }
                _ => bytes.extend_from_slice(data),
            }
        }
        Ok(Some(cx.constant("peepholes", bytes, 64)))
    }

    /// Coefficients and biases, gate after gate; coefficients are f32, or i32.
    fn norms(&self, cx: &mut Context, node: &Node) -> Result<Option<[BufferId; 2]>, Diagnostic> {
        let Some(norms) = self.at.norms.filter(|_| self.has_norms) else { return Ok(None) };
        let (mut coefficients, mut bias) = (vec![], vec![]);
        for gate in self.gates() {
            for (i, bytes) in [(norms + gate, &mut coefficients), (self.bias(gate), &mut bias)] {
                let data = cx.constant_input(node, i).ok_or_else(|| cx.not_constant(node, i, "the layer normalisation"))?;
                match cx.input_type(node, i).element {
                    ElementType::I16 => {
                        bytes.extend(data.chunks_exact(2).flat_map(|c| i32::from(i16::from_le_bytes([c[0], c[1]])).to_le_bytes()))
                    }
                    _ => bytes.extend_from_slice(data),
                }
            }
        }
        Ok(Some([cx.constant("coefficients", coefficients, 64), cx.constant("biases", bias, 64)]))
    }
}

/// The limit in integers; 0: none.
fn quantized_clip(clip: f32, scale: f32, end: f32) -> i32 {
    if clip <= 0.0 { 0 } else { (clip / scale).clamp(-end, end - 1.0) as i32 }
}

/// Integer bits of the memory of bytes without sign.
const BASIC_BITS: u32 = 4;

/// What of a cell a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Both,
    Memory,
    Output,
}

/// One step of a layer: its buffers.
#[derive(Clone, Copy)]
struct Step<'s, 'a> {
    layer: &'s Layer<'a>,
    batch: usize,
    /// To be added up; in the end every one has a row of gates for each element of the batch.
    sums: &'s [BufferId],
    memory: BufferId,
    peepholes: Option<BufferId>,
    hidden: BufferId,
    y: Option<Rows>,
}

impl Step<'_, '_> {
    fn elements(&self) -> (Elem, Elem, Elem) {
        match (&self.layer.numbers, self.layer.basic) {
            (Some(_), _) => (Elem::I32, Elem::I16, Elem::I8),
            (_, Some(_)) => (Elem::I32, Elem::I16, Elem::U8),
            _ => (Elem::F32, Elem::F32, Elem::F32),
        }
    }

    /// Writes the call that computes a part of all cells.
    fn cells(&self, cx: &mut Context, part: Part) {
        let (layer, m) = (self.layer, cx.machine);
        let (sum, cell, output) = self.elements();
        let name = match part {
            Part::Both => "cells",
            Part::Memory => "memory",
            Part::Output => "outputs",
        };
        let mut k = KernelBuilder::new(format!("lstm_{name}_{output}_{}", layer.cells));
        let sums: Vec<Arg> = self.sums.iter().map(|_| k.read("sums")).collect();
        let memory = if part == Part::Output { k.read("memory") } else { k.read_write("memory") };
        let mut buffers = [self.sums, &[self.memory]].concat();
        let peepholes = self.peepholes.map(|b| {
            buffers.push(b);
            k.read("peepholes")
        });
        let mut params = vec![];
        let results = (part != Part::Memory).then(|| {
            buffers.push(self.hidden);
            let hidden = k.write("hidden");
            let y = self.y.map(|rows| {
                buffers.push(rows.buffer);
                params.push(rows.distance_bytes as i64);
                (k.write("y"), k.param("distance"))
            });
            (hidden, y)
        });
        let bytes = [cell, output].map(|e| i64::from(e.bytes()));
        each_cell(&mut k, self.batch, layer.cells, m.lanes(sum), |k, c| {
            let place = memory.at(c.at(layer.cells, 0, bytes[0]));
            let wide = |k: &mut KernelBuilder, v: Value| if sum == Elem::I32 { k.widen(v, Elem::I32) } else { v };
            let old = k.load_part(cell.x(c.lanes), place.clone(), c.count);
            let mut value = wide(k, old);
            let gate = |k: &mut KernelBuilder, gate: usize, memory: Value| {
                let x = self.gate(k, gate, &sums, peepholes.map(|p| (p, memory)), c);
                match (sum.is_float(), gate) {
                    (true, CELL) => recurrent::apply(k, m, layer.options.curve, x),
                    (true, _) => math::logistic(k, m, x),
                    (false, CELL) => sigmoid_16::tanh(k, x, 3),
                    (false, _) => sigmoid_16::logistic(k, x),
                }
            };
            if part != Part::Output {
                let forget = gate(k, FORGET, value);
                let new = gate(k, CELL, value);
                let input = match layer.has_input_gate {
                    true => gate(k, INPUT, value),
                    false => {
                        let ty = k.ty(forget);
                        let one = if sum.is_float() { k.float(ty, 1.0) } else { k.int(ty, i16::MAX.into()) };
                        k.sub(one, forget)
                    }
                };
                value = self.memory(k, forget, value, input, new);
                let stored = k.narrow_to(value, cell);
                k.store_part(place, stored, c.count);
            }
            let Some((hidden, y)) = results else { return };
            let open = gate(k, OUTPUT, value);
            let result = match &layer.numbers {
                None if sum.is_float() => {
                    let curve = recurrent::apply(k, m, layer.options.curve, value);
                    k.mul(open, curve)
                }
                None => {
                    // One integer bit less, saturated: the reference has one curve for both.
                    let twice = k.shl_imm(value, 1);
                    let twice = k.clamp_int(twice, i16::MIN.into(), i16::MAX.into());
                    let curve = sigmoid_16::tanh(k, twice, BASIC_BITS - 1);
                    let product = sigmoid_16::mul(k, open, curve);
                    let byte = k.rounding_shr(product, 8);
                    let zero_point = k.int(k.ty(byte), 128);
                    let moved = k.add(byte, zero_point);
                    let clamped = k.clamp_int(moved, 0, 255);
                    k.narrow(clamped, Elem::U8)
                }
                Some(n) => {
                    let curve = sigmoid_16::tanh(k, value, (15 + n.cell_log2) as u32);
                    let product = k.mul(open, curve);
                    let scaled = rescale(k, product, n.hidden);
                    let zero_point = if layer.has_projection { -n.hidden_zero_point } else { n.hidden_zero_point };
                    let zero_point = k.int(k.ty(scaled), zero_point);
                    let moved = k.add(scaled, zero_point);
                    let clamped = k.clamp_int(moved, -128, 127);
                    k.narrow(clamped, Elem::I8)
                }
            };
            k.store_part(hidden.at(c.at(layer.cells, 0, bytes[1])), result, c.count);
            if let Some((y, distance)) = y {
                k.store_part(y.at(c.batch.clone() * distance + c.first.clone() * bytes[1]), result, c.count);
            }
        });
        cx.call(k.finish(), &buffers, &params);
    }

    /// The sums of a gate before its curve.
    fn gate(&self, k: &mut KernelBuilder, gate: usize, sums: &[Arg], peephole: Option<(Arg, Value)>, c: &Cells) -> Value {
        let layer = self.layer;
        let ty = self.elements().0.x(c.lanes);
        let at = c.at(layer.row(), layer.slot(gate) * layer.cells, 4);
        let all: Vec<Value> = sums.iter().map(|s| k.load_part(ty, s.at(at.clone()), c.count)).collect();
        let peephole = peephole.filter(|_| gate != CELL).map(|(p, memory)| {
            let elem = if layer.numbers.is_some() { Elem::I16 } else { Elem::F32 };
            let slot = layer.slot(gate) - (gate == OUTPUT) as usize;
            let place = p.at((c.first.clone() + slot * layer.cells) * i64::from(elem.bytes()));
            let w = k.load_part(elem.x(c.lanes), place, c.count);
            let w = if elem == Elem::I16 { k.widen(w, Elem::I32) } else { w };
            k.mul(w, memory)
        });
        let Some(n) = &layer.numbers else {
            let sum = all.into_iter().chain(peephole).reduce(|a, b| k.add(a, b)).expect("a sum");
            let Some(scale) = layer.basic else { return sum };
            let sum = rescale_upwards(k, sum, scale);
            return k.clamp_int(sum, i16::MIN.into(), i16::MAX.into());
        };
        if all.len() == 1 {
            // Rescaled and normalised.
            return all[0];
        }
        let mut sum = rescale(k, all[0], n.input[gate]);
        sum = k.clamp_int(sum, i16::MIN.into(), i16::MAX.into());
        let others = [(Some(all[1]), n.recurrent[gate]), (peephole, n.peephole[gate])];
        for (x, scale) in others.into_iter().filter_map(|(x, scale)| Some((x?, scale))) {
            let x = rescale(k, x, scale);
            let next = k.add(sum, x);
            sum = k.clamp_int(next, i16::MIN.into(), i16::MAX.into());
        }
        sum
    }

    fn memory(&self, k: &mut KernelBuilder, forget: Value, old: Value, input: Value, new: Value) -> Value {
        if self.layer.basic.is_some() {
            let (kept, added) = (sigmoid_16::mul(k, forget, old), sigmoid_16::mul(k, input, new));
            let added = k.rounding_shr(added, BASIC_BITS as u8);
            let value = k.add(kept, added);
            return k.clamp_int(value, i16::MIN.into(), i16::MAX.into());
        }
        let kept = k.mul(forget, old);
        let added = k.mul(input, new);
        match &self.layer.numbers {
            None => {
                let value = k.add(kept, added);
                match self.layer.options.cell_clip {
                    limit if 0.0 < limit => recurrent::clip(k, value, limit),
                    _ => value,
                }
            }
            Some(n) => {
                let kept = k.rounding_shr(kept, 15);
                let added = k.rounding_shr(added, (30 + n.cell_log2) as u8);
                let value = k.add(kept, added);
                let value = k.clamp_int(value, i16::MIN.into(), i16::MAX.into());
                match n.cell_clip {
                    limit @ 1.. => k.clamp_int(value, (-limit).into(), limit.into()),
                    _ => value,
                }
            }
        }
    }

    /// Writes the calls that add up a gate's sums and normalise them, into the rows of `gates`.
    fn normalize(&self, cx: &mut Context, gate: usize, gates: BufferId, [coefficients, bias]: &[BufferId; 2]) {
        let (layer, m) = (self.layer, cx.machine);
        let (sum, cell, _) = self.elements();
        let mut k = KernelBuilder::new(format!("lstm_gate_{sum}_{}", layer.cells));
        let sums: Vec<Arg> = self.sums.iter().map(|_| k.read("sums")).collect();
        let mut buffers = self.sums.to_vec();
        let peepholes = self.peepholes.filter(|_| gate != CELL).map(|b| {
            buffers.extend([self.memory, b]);
            (k.read("memory"), k.read("peepholes"))
        });
        let y = k.read_write("gates");
        buffers.push(gates);
        each_cell(&mut k, self.batch, layer.cells, m.lanes(sum), |k, c| {
            let peephole = peepholes.map(|(memory, p)| {
                let v = k.load_part(cell.x(c.lanes), memory.at(c.at(layer.cells, 0, cell.bytes().into())), c.count);
                (p, if sum == Elem::I32 { k.widen(v, Elem::I32) } else { v })
            });
            let x = self.gate(k, gate, &sums, peephole, c);
            k.store_part(y.at(c.at(layer.row(), layer.slot(gate) * layer.cells, 4)), x, c.count);
        });
        cx.call(k.finish(), &buffers, &[]);
        let buffers = [gates, *coefficients, *bias];
        match &layer.numbers {
            None => recurrent::normalize(cx, self.batch, layer.row(), layer.cells, layer.slot(gate), buffers),
            Some(n) => normalize_integers(
                cx,
                self.batch,
                layer.row(),
                layer.cells,
                layer.slot(gate),
                n.norm[gate],
                n.least_variance[gate],
                buffers,
            ),
        }
    }
}

/// As `rescale`, but halves of the shift are rounded up: what the library computes in which the reference has this product.
fn rescale_upwards(k: &mut KernelBuilder, x: Value, (multiplier, shift): (i32, i32)) -> Value {
    let x = if 0 < shift { k.shl_imm(x, shift as u8) } else { x };
    let multiplier = k.int(k.ty(x), multiplier.into());
    let x = k.mul_high_round(x, multiplier);
    if 0 <= shift {
        return x;
    }
    let half = k.int(k.ty(x), 1 << (-shift - 1));
    let x = k.add(x, half);
    k.shr_imm(x, -shift as u8)
}

fn rescale(k: &mut KernelBuilder, x: Value, (multiplier, shift): (i32, i32)) -> Value {
    Scale::constant(k, k.ty(x).lanes as usize, multiplier, shift).apply(k, x)
}

/// Values in the type that memory has.
trait NarrowTo {
    fn narrow_to(&mut self, v: Value, elem: Elem) -> Value;
}

impl NarrowTo for KernelBuilder {
    fn narrow_to(&mut self, v: Value, elem: Elem) -> Value {
        if self.ty(v).elem == elem { v } else { self.narrow(v, elem) }
    }
}

/// The normalisation of rows of integers as in the reference, in place; of the gate that begins at element `slot · cells` of each row.
#[allow(clippy::too_many_arguments)]
fn normalize_integers(
    cx: &mut Context,
    batch: usize,
    row: usize,
    cells: usize,
    slot: usize,
    scale: (i32, i32),
    least_variance: i32,
    [gates, coefficients, bias]: [BufferId; 3],
) {
    let lanes = cx.machine.lanes(Elem::I32);
    let mut k = KernelBuilder::new(format!("normalize_i16_{cells}"));
    let (x, coefficient, bias_arg) = (k.read_write("x"), k.read("coefficient"), k.read("bias"));
    let first = 4 * (slot * cells) as i64;
    let (word, long) = (Elem::I32.x(1), Elem::I64.x(1));
    k.each("row", batch, 1, |k, b| {
        let at = b * (4 * row as i64) + first;
        let zero = k.int(long, 0);
        let sums = k.repeat("i", cells, 1, &[zero, zero], |k, i, sums| {
            let v = k.load(word, x.at(at.clone() + i * 4));
            let (wide, square) = (k.widen(v, Elem::I64), k.mul_wide(v, v));
            vec![k.add(sums[0], wide), k.add(sums[1], square)]
        });
        let number = |k: &mut KernelBuilder, n: i64| k.int(long, n);
        // 2^10 times the mean, 2^20 times the squares' mean.
        let (thousand, count, million, part) =
            (number(k, 1 << 10), number(k, cells as i64), number(k, 1 << 20), number(k, (1 << 20) / cells as i64));
        let sum = k.mul(sums[0], thousand);
        let mean = k.div(sum, count);
        let mean = k.narrow(mean, Elem::I32);
        let (squares, square) = (k.mul(sums[1], part), k.mul_wide(mean, mean));
        let variance = k.sub(squares, square);
        let variance = k.div(variance, million);
        let variance = k.narrow(variance, Elem::I32);
        let (one, least) = (k.int(word, 1), k.int(word, least_variance.into()));
        let is_small = k.compare(Cond::Lt, variance, one);
        let variance = k.select(is_small, least, variance);
        let (multiplier, right) = fixed::reciprocal_root(k, variance);
        let shift = k.neg(right);
        each_cell(k, 1, cells, lanes, |k, c| {
            let place = x.at(at.clone() + c.first.clone() * 4);
            let at = c.first.clone() * 4 + first;
            let [v, w, bias] =
                [place.clone(), coefficient.at(at.clone()), bias_arg.at(at)].map(|p| k.load_part(Elem::I32.x(c.lanes), p, c.count));
            let [mean, multiplier, shift] = [mean, multiplier, shift].map(|s| k.splat_to(s, v));
            let v = k.shl_imm(v, 10);
            let v = k.sub(v, mean);
            let v = k.requantize(v, multiplier, shift, ShiftRange::Any);
            let v = k.mul(v, w);
            let v = k.add(v, bias);
            let v = k.rounding_shr(v, 10);
            let v = rescale(k, v, scale);
            let v = k.clamp_int(v, i16::MIN.into(), i16::MAX.into());
            k.store_part(place, v, c.count);
        });
    });
    cx.call(k.finish(), &[gates, coefficients, bias], &[]);
}
