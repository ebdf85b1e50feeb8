//! SVDF: a filter over time of rank r for every unit. A new value of each feature, w · x, enters a memory of the last ones, the oldest leaves it;
//! y = activation(bias + Σ of the unit's r features and of their times: memory · weight).
//!
//! f32; f32 with i8 weights, for which the input is quantised at run time; i8 with a memory and time weights of i16, as the reference in
//! every number: the options' activation must be RELU there, and does nothing. Weights and bias are constants.
//!
//! The memory is a state, which the model's variable tensor names. In it times are the outer and features the inner axis, and the features of a
//! unit are as far from each other as there are units, so that all lanes of a vector do the same; so nothing else may use the state.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::gemm::Bias;
use crate::lower::recurrent::{self, Cells, Form, Weights, each_cell, floats, integers, not_empty, product, shaped};
use crate::lower::requantize::{Scale, Target, shift_range};
use crate::lower::{Context, math};
use crate::ops::attributes::{Activation, Curve, positive};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::quantize_multiplier;
use crate::tensor::ElementType::{F32, I8, I16, I32};
use crate::text::fields::fields;
use cranelite_tile::{Elem, Index, KernelBuilder, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub rank: usize,
    pub activation: Curve,
    pub asymmetric_quantize_inputs: bool,
}
fields!(rank, activation, asymmetric_quantize_inputs);

const INPUT: usize = 0;
const FEATURES: usize = 1;
const TIMES: usize = 2;
const BIAS: usize = 3;
const STATE: usize = 4;

impl Attributes {
    /// Of integers: the rescalings of features and of sums.
    fn scales(&self, s: &Signature) -> Result<[(i32, i32); 2], Diagnostic> {
        let scale = |what: &str, i: usize| Ok::<_, Diagnostic>(checks::per_tensor(what, s.input(i)?)?.0);
        let (state, y) = (scale("the state", STATE)?, checks::per_tensor("the output", s.output(0))?.0);
        let features = scale("the input", INPUT)? * scale("the weights of the features", FEATURES)? / state;
        let sums = state * scale("the weights of the times", TIMES)? / y;
        Ok([features, sums].map(|real| quantize_multiplier(real.into())))
    }
}

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 5..=5, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[
        Row::Same(&[F32]),
        Row::Of(&[&[F32], &[I8], &[I8], &[F32], &[F32]], &[&[F32]]),
        Row::Of(&[&[I8], &[I8], &[I16], &[I32], &[I16]], &[&[I8]]),
    ];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let Some(o) = source.operator.builtin_options_as_svdfoptions() else {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"));
        };
        Ok(Attributes {
            rank: positive("rank", o.rank())?,
            activation: Curve::decode(o.fused_activation_function())?,
            asymmetric_quantize_inputs: o.asymmetric_quantize_inputs(),
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, features, times, state) = (s.input(INPUT)?, s.input(FEATURES)?, s.input(TIMES)?, s.input(STATE)?);
        let matrix = |what: &str, i: usize| match s.input(i)?.shape[..] {
            [rows, columns] => Ok([rows, columns]),
            _ => Err(Diagnostic::new(Code::OPERAND, format!("{what} has the wrong rank"))
                .detail(format!("input {i}"))
                .expected("2 dimensions")),
        };
        let ([batch, inputs], [filters, _], [_, memory]) =
            (matrix("the input", INPUT)?, matrix("the weights of the features", FEATURES)?, matrix("the weights of the times", TIMES)?);
        for (what, n) in [("the batch", batch), ("the input", inputs), ("the weights of the features", filters), ("the memory", memory)] {
            not_empty(what, n)?;
        }
        if self.rank == 0 || !filters.is_multiple_of(self.rank) {
            return Err(Diagnostic::new(Code::OPERAND, "the number of features is no multiple of the rank")
                .detail(format!("input {FEATURES}"))
                .expected(format!("a multiple of {}", self.rank))
                .found(filters.to_string()));
        }
        shaped("the weights of the features", FEATURES, features, &[filters, inputs])?;
        shaped("the weights of the times", TIMES, times, &[filters, memory])?;
        shaped("the state", STATE, state, &[batch, memory * filters])?;
        checks::bias(s, BIAS, filters / self.rank).map_err(|d| d.detail(format!("input {BIAS}")))?;
        for (what, ty) in [("the weights of the features", features), ("the weights of the times", times)] {
            if ty.element != F32 {
                checks::per_tensor(what, ty)?;
                checks::symmetric(what, ty)?;
            }
        }
        if x.element == I8 {
            checks::no_zero_point("the state", state)?;
            for (_, shift) in self.scales(s)? {
                shift_range(&[shift])?;
            }
            if self.activation != Curve::Relu {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "the activation of integers is not supported").expected("RELU"));
            }
        }
        Ok(vec![vec![batch, filters / self.rank]])
    }

    fn writes(&self) -> Vec<usize> {
        vec![STATE]
    }

    fn macs(&self, s: &Signature) -> u64 {
        let (features, times) = (s.inputs[FEATURES], s.inputs[TIMES]);
        let elements = features.map_or(0, |o| o.ty.element_count()) + times.map_or(0, |o| o.ty.element_count());
        (elements * s.output(0).shape.first().copied().unwrap_or(0)) as u64
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let state = node.input(STATE).expect("checked by infer");
        if cx.count_reads(state) != 1 {
            return Err(
                Diagnostic::new(Code::FEATURE, "the state of the operator is used by another one, too").detail(format!("input {STATE}"))
            );
        }
        let (x, y) = (cx.input_type(node, INPUT), cx.output_type(node, 0));
        let (batch, units, rank) = (y.shape[0], y.shape[1], self.rank);
        let filters = units * rank;
        // Of a unit the features are `units` apart: feature f of the model is the one at `place(f)`.
        let place = |f: usize| f % rank * units + f / rank;
        let weights = Weights::of_node(cx, node, &[FEATURES])?;
        let row_bytes = weights.data.len() / filters;
        let mut data = weights.data.clone();
        for (f, row) in weights.data.chunks(row_bytes).enumerate() {
            data[place(f) * row_bytes..][..row_bytes].copy_from_slice(row);
        }
        let weights = Weights { data, ..weights };

        let times_type = cx.input_type(node, TIMES);
        let memory = times_type.shape[1];
        let data = cx.constant_input(node, TIMES).ok_or_else(|| cx.not_constant(node, TIMES, "the weights"))?;
        let (is_integer, scale) = (x.element == I8, times_type.scale().unwrap_or(1.0));
        let element_bytes = data.len() / (filters * memory);
        let mut times = vec![vec![]; filters * memory];
        for (i, bytes) in data.chunks(element_bytes).enumerate() {
            times[i % memory * filters + place(i / memory)] =
                if times_type.element == I8 { (f32::from(bytes[0] as i8) * scale).to_le_bytes().to_vec() } else { bytes.to_vec() };
        }
        let times = cx.constant("times", times.concat(), 64);
        let bias = match is_integer {
            true => integers(cx, node, &[BIAS])?.map(|b| b.iter().flat_map(|&b| (b as i32).to_le_bytes()).collect::<Vec<u8>>()),
            false => floats(cx, node, &[BIAS])?.map(|b| b.iter().flat_map(|b| b.to_le_bytes()).collect()),
        };
        let bias = bias.map(|bytes| cx.constant("bias", bytes, 64));

        let scales = if is_integer { Some(self.scales(&cx.graph.signature(node))?) } else { None };
        let form = match scales {
            Some([scale, _]) => {
                let target = Target { elem: Elem::I16, zero_point: 0, low: i16::MIN.into(), high: i16::MAX.into() };
                Form::Rescaled { zero_point: x.zero_point(), scale, target }
            }
            None => Form::Float { asymmetric: self.asymmetric_quantize_inputs },
        };
        let (elem, sum) = if is_integer { (Elem::I16, Elem::I32) } else { (Elem::F32, Elem::F32) };
        let bytes = i64::from(elem.bytes());
        let features = cx.scratch("features", (batch * filters) as u64 * bytes as u64);
        let from = cx.input(node, INPUT);
        product(cx, &weights, batch, form, Bias::None, from, features)?;

        let m = cx.machine;
        let mut k = KernelBuilder::new(format!("svdf_{elem}_{units}x{rank}"));
        let (new, weight, state) = (k.read("new"), k.read("times"), k.read_write("state"));
        let mut buffers = vec![features, times, cx.input(node, STATE)];
        let bias = bias.map(|b| {
            buffers.push(b);
            k.read("bias")
        });
        let result = k.write("y");
        buffers.push(cx.output(node, 0));
        let target = if is_integer { Some(Target::new(y, Activation::None)?) } else { None };
        each_cell(&mut k, batch, units, m.lanes(sum), |k, c: &Cells| {
            let ty = sum.x(c.lanes);
            let wide = |k: &mut KernelBuilder, v: Value| if is_integer { k.widen(v, Elem::I32) } else { v };
            let start = match bias {
                Some(b) => k.load_part(ty, b.at(c.first.clone() * 4), c.count),
                None if is_integer => k.int(ty, 0),
                None => k.float(ty, 0.0),
            };
            let total = k.repeat("feature", rank, 1, &[start], |k, r, sums| {
                let multiply_add = |k: &mut KernelBuilder, sum: Value, v: Value, time: Index| {
                    let at = (time * filters as i64 + r * units as i64 + c.first.clone()) * bytes;
                    let w = k.load_part(elem.x(c.lanes), weight.at(at), c.count);
                    let (v, w) = (wide(k, v), wide(k, w));
                    if is_integer {
                        let product = k.mul(v, w);
                        k.add(sum, product)
                    } else {
                        math::mul_add(k, m, v, w, sum)
                    }
                };
                let at = |c: &Cells, time: Index| {
                    let row = c.batch.clone() * (memory * filters) as i64 + time * filters as i64;
                    (row + r * units as i64 + c.first.clone()) * bytes
                };
                let sum = k.repeat("time", memory - 1, 1, sums, |k, t, sums| {
                    let v = k.load_part(elem.x(c.lanes), state.at(at(c, Index::from(t) + 1)), c.count);
                    k.store_part(state.at(at(c, t.into())), v, c.count);
                    vec![multiply_add(k, sums[0], v, t.into())]
                });
                let v = k.load_part(elem.x(c.lanes), new.at(c.at(filters, r * units as i64, bytes)), c.count);
                k.store_part(state.at(at(c, (memory - 1).into())), v, c.count);
                vec![multiply_add(k, sum[0], v, (memory - 1).into())]
            });
            let place = result.at(c.at(units, 0, if is_integer { 1 } else { 4 }));
            let v = match (scales, target) {
                (Some([_, (multiplier, shift)]), Some(target)) => {
                    let scaled = Scale::constant(k, c.lanes, multiplier, shift).apply(k, total[0]);
                    target.apply(k, scaled)
                }
                _ => recurrent::apply(k, m, self.activation, total[0]),
            };
            k.store_part(place, v, c.count);
        });
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
