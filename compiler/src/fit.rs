//! Do the arrays given to `run` fit the model, and for which shapes must it be compiled?
//!
//! The idea: number and element types must be the model's; shapes need not be, the model is then compiled for the arrays', and that is
//! said, since height and width are easily swapped.

use crate::array::{Array, Shape};
use crate::signature::Signature;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::import::{self, InputKey};

pub type InputShapes = Vec<(InputKey, Vec<usize>)>;

/// The shapes to compile for, with those functions for custom operators; empty when they are the model's own, and what to say of those that are not. All steps must have the same types.
pub fn input_shapes(
    model: &[u8],
    custom: &[(String, String)],
    steps: &[Vec<Array>],
) -> Result<(InputShapes, Vec<String>), Vec<Diagnostic>> {
    let shapes: InputShapes = steps[0].iter().enumerate().map(|(i, a)| (InputKey::Index(i), a.shape.clone())).collect();
    let import = |input_shapes: &InputShapes| {
        let options = import::Options { input_shapes: input_shapes.clone(), custom: custom.to_vec() };
        import::read(model, &options).map(|imported| Signature::of(&imported))
    };
    let own = match import(&vec![]) {
        Ok(signature) => signature,
        // Dimensions may be open in the model: only the arrays say what they are.
        Err(problems) => {
            let signature = import(&shapes).map_err(|_| problems)?;
            check(steps, &signature)?;
            return Ok((shapes, vec![]));
        }
    };
    check(steps, &own)?;
    let differing: Vec<_> = (0..shapes.len()).filter(|&i| shapes[i].1 != own.inputs[i].ty.shape).collect();
    if differing.is_empty() {
        return Ok((vec![], vec![]));
    }
    import(&shapes).map_err(|problems| {
        let help = "the model was compiled for the array's shape instead of its own, with the problems that follow";
        differing.iter().map(|&i| mismatch(i, &own, &steps[0][i]).help(help)).chain(problems).collect::<Vec<_>>()
    })?;
    let notes = differing.iter().map(|&i| recompiled(i, &own, &shapes[i].1)).collect();
    Ok((shapes, notes))
}

fn recompiled(index: usize, signature: &Signature, shape: &[usize]) -> String {
    let own = &signature.inputs[index].ty.shape;
    let sorted = |shape: &[usize]| {
        let mut dims = shape.to_vec();
        dims.sort_unstable();
        dims
    };
    let order = if sorted(own) == sorted(shape) { ", which has the same dimensions in another order" } else { "" };
    let name = quoted(&signature.inputs[index].name);
    format!("note: compiled for input {index} {name} of shape {}, not for the model's own, {}{order}", Shape(shape), Shape(own))
}

/// Every step has the model's number of arrays, with its element types, in the shapes of the first step.
fn check(steps: &[Vec<Array>], signature: &Signature) -> Result<(), Vec<Diagnostic>> {
    let mut problems = vec![];
    for (k, step) in steps.iter().enumerate() {
        let of_step = if k == 0 { String::new() } else { format!("step {k}: ") };
        if step.len() != signature.inputs.len() {
            let all: Vec<_> = signature.inputs.iter().map(|t| format!("{} {}", quoted(&t.name), t.describe())).collect();
            let expected = if all.is_empty() { "none".into() } else { format!("{}: {}", all.len(), all.join(", ")) };
            let d = Diagnostic::new(Code::INPUT, format!("{of_step}wrong number of arrays")).expected(expected);
            problems.push(d.found(step.len().to_string()).help("give one --input for each input of the model, in its order"));
            continue;
        }
        for (i, array) in step.iter().enumerate() {
            if array.element != signature.inputs[i].ty.element {
                let mut d = mismatch(i, signature, array);
                d.message.insert_str(0, &of_step);
                problems.push(d);
            } else if array.shape != steps[0][i].shape {
                let d = Diagnostic::new(Code::INPUT, format!("{of_step}the array for input {i} has another shape than in the first step"));
                let d = d.expected(Shape(&steps[0][i].shape).to_string()).found(Shape(&array.shape).to_string());
                problems.push(d.help("run steps of other shapes by themselves"));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn mismatch(index: usize, signature: &Signature, array: &Array) -> Diagnostic {
    let input = &signature.inputs[index];
    let d = Diagnostic::new(Code::INPUT, format!("the array for input {index} {} does not fit", quoted(&input.name)));
    d.expected(input.describe()).found(array.describe())
}
