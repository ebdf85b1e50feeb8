//! Do the arrays given to `run` fit the model, and for which shapes must it be compiled?
//!
//! The idea: number and element types must be the model's; shapes need not be, the model is then compiled for the arrays', and that is
//! said, since height and width are easily swapped. Inputs that decide about shapes are compiled in.

use crate::array::{Array, Shape};
use crate::signature::{Signature, Tensor};
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::import::{self, InputKey};
use std::collections::BTreeSet;

/// What to compile for arrays, and which of them the compiled model takes.
pub struct Fitted {
    pub import: import::Options,
    pub steps: Vec<Vec<Array>>,
    /// What is not as the model says.
    pub notes: Vec<String>,
}

type Problems = Vec<Diagnostic>;

/// How a model can be read for arrays.
struct Reading {
    signature: Signature,
    options: import::Options,
    /// Positions of inputs that are constants.
    settled: Vec<usize>,
}

/// `about`: what the user decided beside shapes and values. All steps must have the same types.
pub fn fit(model: &[u8], about: import::Options, steps: Vec<Vec<Array>>) -> Result<Fitted, Problems> {
    let shapes: Vec<(InputKey, Vec<usize>)> = steps[0].iter().enumerate().map(|(i, a)| (InputKey::Index(i), a.shape.clone())).collect();
    let read = |input_shapes: Vec<(InputKey, Vec<usize>)>| settled(model, import::Options { input_shapes, ..about.clone() }, &steps[0]);
    let own = match read(vec![]) {
        Ok(own) => own,
        // Dimensions may be open in the model: only the arrays say what they are.
        Err(problems) => {
            let reading = read(shapes).map_err(|_| problems)?;
            check(&numbered(&steps), &reading)?;
            return Ok(fitted(reading, steps, vec![]));
        }
    };
    check(&numbered(&steps), &own)?;
    let rest = rest(&own.settled, steps[0].len());
    let differing: Vec<(usize, usize)> =
        rest.into_iter().enumerate().filter(|&(at, i)| shapes[i].1 != own.signature.inputs[at].ty.shape).collect();
    if differing.is_empty() {
        return Ok(fitted(own, steps, vec![]));
    }
    let reading = read(shapes.clone()).map_err(|problems| {
        let help = "the model was compiled for the array's shape instead of its own, with the problems that follow";
        differing.iter().map(|&(at, i)| mismatch(i, &own.signature.inputs[at], &steps[0][i]).help(help)).chain(problems).collect::<Vec<_>>()
    })?;
    let notes = differing.iter().map(|&(at, i)| recompiled(i, &own.signature.inputs[at], &shapes[i].1)).collect();
    Ok(fitted(reading, steps, notes))
}

/// As [`fit`], of steps of several signatures, by their numbers; then all arrays have the model's own shapes.
pub fn fit_several(model: &[u8], about: import::Options, steps: Vec<Vec<Array>>, numbers: &[usize]) -> Result<Fitted, Problems> {
    let mut problems = vec![];
    for (number, entry) in import::read(model, &about)?.entries.iter().enumerate() {
        let own: Vec<(usize, &Vec<Array>)> = steps.iter().enumerate().filter(|(k, _)| numbers[*k] == number).collect();
        let reading = Reading { signature: Signature::of(entry), options: about.clone(), settled: vec![] };
        if let Err(more) = check(&own, &reading) {
            problems.extend(more);
            continue;
        }
        let first = own[0].1.iter().zip(&reading.signature.inputs).enumerate();
        let help = "steps of several signatures take arrays of the model's own shapes: run a signature by itself with others";
        let differing = first.filter(|(_, (array, input))| array.shape != input.ty.shape);
        problems.extend(differing.map(|(i, (array, input))| mismatch(i, input, array).help(help)));
    }
    if problems.is_empty() { Ok(Fitted { import: about, steps, notes: vec![] }) } else { Err(problems) }
}

/// Gives arrays for a model with a pipeline the shapes of its inputs: a frame may be any array with as many elements, of the right type.
pub fn fit_sensors(signature: &Signature, steps: &mut [Vec<Array>]) -> Result<(), Problems> {
    let mut problems = vec![];
    for (k, step) in steps.iter_mut().enumerate() {
        if step.len() != signature.inputs.len() {
            problems.push(wrong_number(k, signature, step.len()));
            continue;
        }
        for (i, (array, input)) in step.iter_mut().zip(&signature.inputs).enumerate() {
            if array.element == input.ty.element && array.shape.iter().product::<usize>() == input.ty.element_count() {
                array.shape.clone_from(&input.ty.shape);
            } else {
                let d = mismatch(i, input, array);
                problems.push(if input.sensor.is_empty() { d } else { d.help(format!("the pipeline says that it is: {}", input.sensor)) });
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn numbered(steps: &[Vec<Array>]) -> Vec<(usize, &Vec<Array>)> {
    steps.iter().enumerate().collect()
}

/// The model with as many inputs being constants, the arrays, as decide about shapes.
fn settled(model: &[u8], mut options: import::Options, arrays: &[Array]) -> Result<Reading, Problems> {
    let mut settled: Vec<usize> = vec![];
    loop {
        let problems = match import::read(model, &options) {
            Ok(module) => {
                settled.sort_unstable();
                return Ok(Reading { signature: Signature::of(&module.entries[0]), options, settled });
            }
            Err(problems) => problems,
        };
        let deciding: BTreeSet<usize> = problems.iter().flat_map(|d| d.deciding.iter().copied()).collect();
        let new: Vec<usize> = deciding.into_iter().filter(|i| *i < arrays.len() && !settled.contains(i)).collect();
        if new.is_empty() {
            return Err(problems);
        }
        options.input_values.extend(new.iter().map(|&i| (InputKey::Index(i), arrays[i].clone().into())));
        settled.extend(new);
    }
}

/// Positions of arrays that the compiled model takes.
fn rest(settled: &[usize], count: usize) -> Vec<usize> {
    (0..count).filter(|i| !settled.contains(i)).collect()
}

fn fitted(reading: Reading, steps: Vec<Vec<Array>>, mut notes: Vec<String>) -> Fitted {
    for i in &reading.settled {
        notes
            .push(format!("note: compiled for the numbers of input {i}, which decide about shapes: --input-value does that for `compile`"));
    }
    let kept = |step: Vec<Array>| {
        let all = step.into_iter().enumerate().filter(|(i, _)| !reading.settled.contains(i));
        all.map(|(_, a)| a).collect()
    };
    Fitted { steps: steps.into_iter().map(kept).collect(), import: reading.options, notes }
}

fn recompiled(index: usize, input: &Tensor, shape: &[usize]) -> String {
    let own = &input.ty.shape;
    let sorted = |shape: &[usize]| {
        let mut dims = shape.to_vec();
        dims.sort_unstable();
        dims
    };
    let order = if sorted(own) == sorted(shape) { ", which has the same dimensions in another order" } else { "" };
    let name = quoted(&input.name);
    format!("note: compiled for input {index} {name} of shape {}, not for the model's own, {}{order}", Shape(shape), Shape(own))
}

/// Every step has the model's number of arrays, with its element types, in the shapes of the first step; what is compiled in, with its numbers.
fn check(steps: &[(usize, &Vec<Array>)], reading: &Reading) -> Result<(), Problems> {
    let (signature, settled) = (&reading.signature, &reading.settled);
    let (mut problems, first) = (vec![], steps[0].1);
    for &(k, step) in steps {
        let of_step = if k == 0 { String::new() } else { format!("step {k}: ") };
        if step.len() != signature.inputs.len() + settled.len() {
            problems.push(wrong_number(k, signature, step.len()));
            continue;
        }
        for (at, i) in rest(settled, step.len()).into_iter().enumerate() {
            let array = &step[i];
            if array.element != signature.inputs[at].ty.element {
                let mut d = mismatch(i, &signature.inputs[at], array);
                d.message.insert_str(0, &of_step);
                problems.push(d);
            } else if array.shape != first[i].shape {
                let d = Diagnostic::new(Code::INPUT, format!("{of_step}the array for input {i} has another shape than in the first step"));
                let d = d.expected(Shape(&first[i].shape).to_string()).found(Shape(&array.shape).to_string());
                problems.push(d.help("run steps of other shapes by themselves"));
            }
        }
        for &i in settled.iter().filter(|i| step[**i] != first[**i]) {
            let d = Diagnostic::new(Code::INPUT, format!("{of_step}the array for input {i} has other numbers than in the first step"));
            problems.push(d.help("the numbers of this input decide about shapes: run steps of other numbers by themselves"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn wrong_number(step: usize, signature: &Signature, found: usize) -> Diagnostic {
    let of_step = if step == 0 { String::new() } else { format!("step {step}: ") };
    let all: Vec<_> = signature.inputs.iter().map(|t| format!("{} {}", quoted(&t.name), t.describe())).collect();
    let expected = if all.is_empty() { "none".into() } else { format!("{}: {}", all.len(), all.join(", ")) };
    let d = Diagnostic::new(Code::INPUT, format!("{of_step}wrong number of arrays")).expected(expected);
    d.found(found.to_string()).help("give one --input for each input of the model, in its order")
}

fn mismatch(index: usize, input: &Tensor, array: &Array) -> Diagnostic {
    let d = Diagnostic::new(Code::INPUT, format!("the array for input {index} {} does not fit", quoted(&input.name)));
    d.expected(input.describe()).found(array.describe())
}
