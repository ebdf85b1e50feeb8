//! A quantised model beside the float model that it was made from, operator by operator: which of them loses the numbers.
//!
//! Not a test of the compiler, whose integers are those of TensorFlow Lite. The idea: an error travels, so each operator is also run by itself, on what the
//! float model computed before it, rounded to the operator's types; what is wrong then is its own. Tensors belong together by their names, which the
//! converter keeps. The measure is per channel, since one scale for channels of very different sizes loses the small ones, which the large ones
//! would hide in a sum: the root mean square of the error over that of the numbers, at most 1, averaged over the channels.

use crate::array::Array;
use crate::diagnostic::Failure;
use crate::dump::Exposed;
use crate::instance::Instance;
use crate::pipeline::{self, Compiled, Options, Visible};
use crate::signature::{Signature, Tensor};
use crate::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::lower::Preferences;
use cranelite_graph::quantize;
use cranelite_graph::tensor::{ElementType, TensorType};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A model's bytes, and its file for messages.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub file: &'a Path,
    pub model: &'a [u8],
}

pub struct Comparison {
    /// Those with the largest error of their own first.
    pub operators: Vec<Operator>,
    pub outputs: Vec<Output>,
    /// Results that have no counterpart in the float model.
    pub unmatched: usize,
    pub samples: usize,
    pub what: Compared,
}

/// What the second model is to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    Quantised,
    Optimised,
}

impl Compared {
    /// What both models are called.
    fn names(self) -> [&'static str; 2] {
        match self {
            Compared::Quantised => ["float", "quantised"],
            Compared::Optimised => ["original", "optimised"],
        }
    }
}

/// A result of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// In the quantised model.
    pub index: u32,
    pub name: &'static str,
    pub tensor: String,
    /// Of the operator by itself.
    pub own: Measure,
    /// Together with those of all before it.
    pub in_model: Measure,
    /// How many steps of the result's scale the largest number of a channel is, in the median of all channels; `None` of floats.
    pub steps: Option<f64>,
    /// Share of the float model's numbers that the result's type cannot hold.
    pub clipped: f64,
}

/// An output of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub name: String,
    pub error: Measure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measure {
    /// Root mean square over that of the numbers, at most 1; the mean over the channels.
    pub relative: f64,
    /// Of a single number, in real numbers.
    pub largest: f64,
}

/// Runs both models on the samples, each of which has an array for every input of the float model, of its type and shape. The first model may be quantised, too,
/// where the second one was made from it by other means.
pub fn compare(reference: Source, quantised: Source, samples: &[Vec<Array>], what: Compared) -> Result<Comparison, Failure> {
    let [mut float, mut float_apart] = Run::whole_and_apart(reference)?;
    let [mut whole, mut apart] = Run::whole_and_apart(quantised)?;
    check(&float, &whole, samples, what)?;
    let counterparts = counterparts(float.signature(), apart.signature());
    let mut tallies: Vec<Option<Tallies>> = counterparts.iter().map(|c| c.map(|_| Tallies::default())).collect();
    for sample in samples {
        let real = float.call(sample)?;
        let own = sample.iter().zip(&float.signature().inputs).zip(&whole.signature().inputs);
        let inputs: Vec<Array> = own.filter_map(|((a, from), t)| converted(a, Some(&from.ty), &t.ty)).collect();
        let integers = whole.call(&inputs)?;
        // Operators by themselves: those of the quantised model on the float model's numbers, rounded; those of the float model on the same ones.
        let (by_name, computed) = (float.outputs_by_name(&real), whole.outputs_by_name(&integers));
        let rounded = apart.operands(&inputs, |t| {
            let of_float = by_name.get(t.tensor_name.as_str()).and_then(|(a, ty)| converted(a, Some(ty), &t.ty));
            of_float.or_else(|| computed.get(t.tensor_name.as_str()).map(|(a, _)| (*a).clone()))
        });
        let single = apart.call(&rounded)?;
        let all_inputs = &apart.signature().inputs;
        let own_inputs: Vec<Array> = (0..sample.len())
            .map(|i| converted(&rounded[i], Some(&all_inputs[i].ty), &float.signature().inputs[i].ty).unwrap_or_else(|| sample[i].clone()))
            .collect();
        let by_input: BTreeMap<&str, usize> = (sample.len()..all_inputs.len()).map(|i| (all_inputs[i].tensor_name.as_str(), i)).collect();
        let as_floats = float_apart.operands(&own_inputs, |t| {
            let same = by_input.get(t.tensor_name.as_str()).and_then(|&i| converted(&rounded[i], Some(&all_inputs[i].ty), &t.ty));
            same.or_else(|| by_name.get(t.tensor_name.as_str()).map(|(a, _)| (*a).clone()))
        });
        let float_single = float_apart.call(&as_floats)?;
        for ((e, tallies), counterpart) in apart.signature().exposed.iter().zip(&mut tallies).zip(&counterparts) {
            let (Some(tallies), &Some(counterpart)) = (tallies, counterpart) else { continue };
            let ty = &apart.signature().outputs[e.output].ty;
            let numbers = |a: &Array, ty: &TensorType| Reals::of(a, ty, e.name).expect("counterparts are numbers");
            let float_ty = &float.signature().outputs[counterpart].ty;
            tallies.own.add(&numbers(&float_single[counterpart], float_ty), &numbers(&single[e.output], ty));
            let expected = numbers(&real[counterpart], float_ty);
            tallies.in_model.add(&expected, &numbers(&integers[e.output], ty));
            tallies.range.add(&expected, ty);
        }
    }
    let signature = apart.signature();
    let unmatched = counterparts.iter().filter(|c| c.is_none()).count();
    let measured = signature.exposed.iter().zip(&tallies).filter_map(|(e, tallies)| Some((e, tallies.as_ref()?)));
    let operator = |(e, tallies): (&Exposed, &Tallies)| Operator {
        index: e.operator,
        name: e.name,
        tensor: signature.outputs[e.output].tensor_name.clone(),
        own: tallies.own.measure(),
        in_model: tallies.in_model.measure(),
        steps: tallies.range.steps(&signature.outputs[e.output].ty),
        clipped: tallies.range.clipped as f64 / tallies.range.count.max(1) as f64,
    };
    let mut operators: Vec<Operator> = measured.map(operator).collect();
    operators.sort_by(|a, b| b.own.relative.total_cmp(&a.own.relative).then(a.index.cmp(&b.index)));
    let outputs = (0..signature.own_output_count).filter_map(|i| {
        let at = signature.exposed.iter().position(|e| e.output == i)?;
        Some(Output { name: signature.outputs[i].name.clone(), error: tallies[at].as_ref()?.in_model.measure() })
    });
    Ok(Comparison { operators, outputs: outputs.collect(), unmatched, samples: samples.len(), what })
}

/// A model in this process.
struct Run {
    compiled: Compiled,
    instance: Instance,
}

impl Run {
    fn whole_and_apart(source: Source) -> Result<[Run; 2], Failure> {
        Ok([Run::new(source, Visible::Operators)?, Run::new(source, Visible::Apart)?])
    }

    fn new(source: Source, visible: Visible) -> Result<Run, Failure> {
        let prefer = Preferences { winograd: false, ..Preferences::default() };
        let options = Options { visible, prefer, ..Options::named_after(source.file) };
        let target = Target::native().map_err(|e| Diagnostic::new(Code::TARGET, e.to_string()))?;
        let compiled = pipeline::compile(source.model, &[target], &options, &mut Stages::none()).map_err(Failure::in_file(source.file))?;
        let instance = Instance::new(&compiled)?;
        Ok(Run { compiled, instance })
    }

    fn signature(&self) -> &Signature {
        &self.compiled.main().signature
    }

    /// One invocation, with states as they are at first.
    fn call(&mut self, inputs: &[Array]) -> Result<Vec<Array>, Diagnostic> {
        self.instance.reset();
        Ok(self.instance.run(&[inputs.to_vec()])?.swap_remove(0))
    }

    /// Arrays for all inputs of operators by themselves: the model's own ones, and behind them what `of` says, or zeros.
    fn operands(&self, own: &[Array], of: impl Fn(&Tensor) -> Option<Array>) -> Vec<Array> {
        let stand_ins = self.signature().inputs[own.len()..].iter().map(|t| of(t).unwrap_or_else(|| Array::zeros(&t.ty)));
        own.iter().cloned().chain(stand_ins).collect()
    }

    /// Arrays of all visible tensors, by the tensors' names; those that two have belong to neither.
    fn outputs_by_name<'a>(&'a self, outputs: &'a [Array]) -> BTreeMap<&'a str, (&'a Array, &'a TensorType)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let all = || self.signature().outputs.iter().zip(outputs).map(|(t, a)| (t.tensor_name.as_str(), (a, &t.ty)));
        all().for_each(|(name, _)| *counts.entry(name).or_default() += 1);
        all().filter(|(name, _)| counts[name] == 1).collect()
    }
}

/// The models have the same inputs, but for types, and the samples fit the float model.
fn check(float: &Run, whole: &Run, samples: &[Vec<Array>], what: Compared) -> Result<(), Diagnostic> {
    let [first, second] = what.names();
    let (expected, own) = (&float.signature().inputs, &whole.signature().inputs);
    let describe =
        |tensors: &[Tensor]| tensors.iter().map(|t| format!("{} {}", quoted(&t.name), t.describe())).collect::<Vec<_>>().join(", ");
    let fits = |(a, b): (&Tensor, &Tensor)| converted(&Array::zeros(&a.ty), None, &b.ty).is_some();
    if expected.len() != own.len() || !expected.iter().zip(own).all(fits) {
        let d = Diagnostic::new(Code::INPUT, format!("the {second} model has other inputs than the {first} model"));
        let d = d.expected(describe(expected)).found(describe(own));
        return Err(d.help("compare a model with the one that it was made from; inputs may differ in nothing but their types"));
    }
    if samples.is_empty() {
        return Err(Diagnostic::new(Code::INPUT, "there are no samples to compare the models on").help("give at least one"));
    }
    for (k, sample) in samples.iter().enumerate() {
        let fits = |(a, t): (&Array, &Tensor)| a.element == t.ty.element && a.shape == t.ty.shape;
        if sample.len() != expected.len() || !sample.iter().zip(expected).all(fits) {
            let found: Vec<String> = sample.iter().map(Array::describe).collect();
            let found = if found.is_empty() { "none".into() } else { found.join(", ") };
            let d = Diagnostic::new(Code::INPUT, format!("sample {k} does not fit the {first} model"));
            let help = format!("give one array for each input of the {first} model, in its order");
            return Err(d.expected(describe(expected)).found(found).help(help));
        }
    }
    Ok(())
}

/// For every visible result of the quantised model: the output of the float model that has its name, or its place among the model's outputs.
fn counterparts(float: &Signature, quantised: &Signature) -> Vec<Option<usize>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, t) in float.outputs.iter().enumerate() {
        by_name.entry(t.tensor_name.as_str()).or_default().push(i);
    }
    let counterpart = |e: &Exposed| {
        let t = &quantised.outputs[e.output];
        let named = by_name.get(t.tensor_name.as_str()).and_then(|all| match all[..] {
            [only] => Some(only),
            _ => None,
        });
        let at = named.or((e.output < quantised.own_output_count && e.output < float.own_output_count).then_some(e.output))?;
        let is_real = |ty: &TensorType| ty.element == ElementType::F32 || scale(ty).is_some();
        let ty = &float.outputs[at].ty;
        (ty.shape == t.ty.shape && is_real(ty) && is_real(&t.ty)).then_some(at)
    };
    quantised.exposed.iter().map(counterpart).collect()
}

/// Scale and zero point of integers that stand for real numbers.
fn scale(ty: &TensorType) -> Option<(f32, i32)> {
    quantize::element_range(ty.element)?;
    let q = ty.quantization.as_ref().filter(|q| q.is_per_tensor())?;
    Some((q.scales[0], q.zero_points[0] as i32))
}

/// The real numbers of a tensor.
struct Reals {
    numbers: Vec<f32>,
    /// How long the innermost axis is.
    channels: usize,
}

/// Shares of one whole, of which small ones do not matter: measured together.
const SHARES: [&str; 2] = ["SOFTMAX", "LOG_SOFTMAX"];

impl Reals {
    fn of(array: &Array, ty: &TensorType, operator: &str) -> Option<Reals> {
        let channels = if SHARES.contains(&operator) { 1 } else { ty.shape.last().copied().unwrap_or(1).max(1) };
        Some(Reals { numbers: reals(array, ty)?, channels })
    }
}

fn reals(array: &Array, ty: &TensorType) -> Option<Vec<f32>> {
    let integers = |size: usize, read: &dyn Fn(&[u8]) -> i32| {
        let (scale, zero_point) = scale(ty)?;
        Some(array.data.chunks_exact(size).map(|c| quantize::dequantize(read(c), scale, zero_point)).collect())
    };
    match ty.element {
        ElementType::F32 => Some(array.data.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()),
        ElementType::I8 => integers(1, &|c| i32::from(c[0] as i8)),
        ElementType::U8 => integers(1, &|c| i32::from(c[0])),
        ElementType::I16 => integers(2, &|c| i32::from(i16::from_le_bytes([c[0], c[1]]))),
        _ => None,
    }
}

/// The same numbers as a tensor of that type, rounded where it must be; `from` is the array's own type, where it is quantised.
fn converted(array: &Array, from: Option<&TensorType>, to: &TensorType) -> Option<Array> {
    if array.shape != to.shape {
        return None;
    }
    if array.element == to.element {
        return Some(array.clone());
    }
    let plain = TensorType::new(array.element, array.shape.clone());
    let numbers = reals(array, from.unwrap_or(&plain))?;
    let data = if to.element == ElementType::F32 {
        numbers.into_iter().flat_map(f32::to_le_bytes).collect()
    } else {
        let (scale, zero_point) = scale(to)?;
        let range = quantize::element_range(to.element)?;
        to.element.integer_bytes(numbers.into_iter().map(|x| i64::from(quantize::quantize(x, scale, zero_point, range))))
    };
    Some(Array { element: to.element, shape: array.shape.clone(), data })
}

/// Sums over samples, of one result.
#[derive(Default)]
struct Tallies {
    own: Errors,
    in_model: Errors,
    range: Range,
}

#[derive(Default)]
struct Errors {
    /// By channel, the innermost axis: sums of squares of numbers and of errors.
    channels: Vec<(f64, f64)>,
    largest: f64,
}

impl Errors {
    fn add(&mut self, expected: &Reals, found: &Reals) {
        self.channels.resize(expected.channels, (0.0, 0.0));
        for (i, (&x, &y)) in expected.numbers.iter().zip(&found.numbers).enumerate() {
            // What is no number is compared as 0: an error of any other number.
            let (x, y) = (finite(x), finite(y));
            let (numbers, errors) = &mut self.channels[i % expected.channels];
            *numbers += x * x;
            *errors += (x - y) * (x - y);
            self.largest = self.largest.max((x - y).abs());
        }
    }

    fn measure(&self) -> Measure {
        // A channel of zeros that stay zeros says nothing.
        let said = self.channels.iter().filter(|(numbers, errors)| *numbers != 0.0 || *errors != 0.0);
        let relative = said.map(|(numbers, errors)| (errors / numbers.max(f64::MIN_POSITIVE)).sqrt().min(1.0));
        let (sum, count) = relative.fold((0.0, 0), |(sum, n), e| (sum + e, n + 1));
        Measure { relative: sum / f64::from(count.max(1)), largest: self.largest }
    }
}

/// How the numbers lie in what the result's type can hold.
#[derive(Default)]
struct Range {
    /// By channel.
    largest: Vec<f64>,
    clipped: usize,
    count: usize,
}

impl Range {
    fn add(&mut self, expected: &Reals, ty: &TensorType) {
        self.largest.resize(expected.channels, 0.0);
        let range = scale(ty).map(|(scale, zero_point)| (quantize::real_range(ty.element, (scale, zero_point)), scale));
        for (i, x) in expected.numbers.iter().map(|x| finite(*x)).enumerate() {
            let largest = &mut self.largest[i % expected.channels];
            *largest = largest.max(x.abs());
            let is_beyond = range.is_some_and(|((low, high), step)| x < f64::from(low - step) || f64::from(high + step) < x);
            self.clipped += usize::from(is_beyond);
        }
        self.count += expected.numbers.len();
    }

    fn steps(&self, ty: &TensorType) -> Option<f64> {
        let (scale, _) = scale(ty)?;
        let mut all: Vec<f64> = self.largest.iter().map(|x| x / f64::from(scale)).filter(|s| 0.0 < *s).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    }
}

fn finite(x: f32) -> f64 {
    if x.is_finite() { f64::from(x) } else { 0.0 }
}

/// An operator with an error of its own from here on is worth a word.
const LARGE: f64 = 0.1;
/// A channel of fewer steps has lost its numbers.
const FEW_STEPS: f64 = 16.0;
const MUCH_CLIPPED: f64 = 0.001;

impl Operator {
    /// What is wrong, and what helps, where that can be known.
    fn advice(&self, what: Compared) -> Option<String> {
        let (index, name) = (self.index, self.name);
        if self.own.relative < LARGE {
            return None;
        }
        if what == Compared::Optimised {
            return Some(format!(
                "operator {index} {name}: its weights have lost much: change them less, or leave them alone with --skip {index}"
            ));
        }
        let steps = self.steps.filter(|s| *s < FEW_STEPS);
        if MUCH_CLIPPED < self.clipped {
            let percent = self.clipped * 100.0;
            return Some(format!(
                "operator {index} {name}: {percent:.1} % of the numbers are beyond the range of its result: calibrate with data like these samples"
            ));
        }
        Some(match steps {
            Some(steps) => format!(
                "operator {index} {name}: the range of its result is so large that half of its channels have at most {steps:.1} steps: a few numbers or \
                 channels are much larger than the others; limit them (an activation such as RELU6, a penalty on weights, another normalisation), or \
                 quantise with int16x8"
            ),
            None => format!(
                "operator {index} {name}: operands or weights are rounded too much: weights of very different sizes have one scale, or their sum is \
                 small beside its terms"
            ),
        })
    }
}

impl Comparison {
    /// The `most` operators with the largest errors.
    pub fn text(&self, most: usize) -> String {
        let mut out = format!(
            "{} and {} model, operator by operator, over {} sample{}: the error of each by itself, largest first, and with all before it\n",
            self.what.names()[0],
            self.what.names()[1],
            self.samples,
            if self.samples == 1 { "" } else { "s" }
        );
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        writeln!(out, "index  operator                  own error    in model     largest   steps  clipped  tensor")
            .expect("a string takes everything");
        for o in self.operators.iter().take(most) {
            let steps = o.steps.map_or("-".into(), |s| format!("{s:.0}"));
            writeln!(
                out,
                "{:>5}  {:<24} {:>10}  {:>10}  {:>10.2e}  {:>6}  {:>7}  {}",
                o.index,
                o.name,
                percent(o.own.relative),
                percent(o.in_model.relative),
                o.in_model.largest,
                steps,
                percent(o.clipped),
                quoted(&o.tensor)
            )
            .expect("a string takes everything");
        }
        let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
        if let Some(next) = self.operators.get(most) {
            line(format!("and {} more, whose own error is {} or less", self.operators.len() - most, percent(next.own.relative)));
        }
        if 0 < self.unmatched {
            let first = self.what.names()[0];
            line(format!("not compared: {} results that have no {first} tensor of the same name and shape", self.unmatched));
        }
        for output in &self.outputs {
            let Output { name, error } = output;
            line(format!("output {}: error {}, at most {:.2e}", quoted(name), percent(error.relative), error.largest));
        }
        self.operators.iter().take(3).filter_map(|o| o.advice(self.what)).for_each(|advice| line(format!("hint: {advice}")));
        out
    }

    pub fn to_json(&self) -> Value {
        let measure = |m: Measure| json!({ "relative": m.relative, "largest": m.largest });
        let operator = |o: &Operator| {
            json!({
                "index": o.index,
                "operator": o.name,
                "tensor": o.tensor,
                "own": measure(o.own),
                "in_model": measure(o.in_model),
                "steps": o.steps,
                "clipped": o.clipped,
                "hint": o.advice(self.what),
            })
        };
        let output = |o: &Output| json!({ "name": o.name, "error": measure(o.error) });
        json!({
            "samples": self.samples,
            "operators": self.operators.iter().map(operator).collect::<Vec<_>>(),
            "outputs": self.outputs.iter().map(output).collect::<Vec<_>>(),
            "not_compared": self.unmatched,
        })
    }
}
