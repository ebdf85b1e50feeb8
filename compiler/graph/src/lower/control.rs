//! Branches and loops: bodies of nodes as steps inside of a step.
//!
//! The idea: a body is lowered as the graph around it is, with buffers of that graph for its inputs and its states. What it computes goes where the
//! graph around it wants it, unless somebody still reads what is there; then it is copied at the end.

use super::{Context, Scope, convert, copy, counts, indices};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Graph, Node, ValueId};
use cranelite_tile::{BufferId, Cond, Elem, KernelBuilder, Step};

/// The steps of body `number` of a node that gets the inputs from `first` on, as one of the ways to the node's results.
pub fn branch(cx: &mut Context, node: &Node, number: usize, first: usize) -> Result<Vec<Step>, Diagnostic> {
    let operands: Vec<BufferId> = (first..node.inputs.len()).map(|i| cx.input(node, i)).collect();
    let results: Vec<BufferId> = (0..node.outputs.len()).map(|i| cx.output(node, i)).collect();
    let body = cx.body(number);
    let wanted: Vec<(ValueId, BufferId)> = body.outputs.iter().copied().zip(results).collect();
    inside(cx, body, &operands, &wanted, |cx| wanted.iter().for_each(|(v, to)| copied(cx, *v, *to)))
}

/// One of `count` bodies of a node, by the number in its first input; the last one where there is no such number.
pub fn branches(cx: &mut Context, node: &Node, count: usize) -> Result<(), Diagnostic> {
    let number = cx.input(node, 0);
    let mut all = (0..count).map(|i| branch(cx, node, i, 1)).collect::<Result<Vec<_>, _>>()?;
    let mut otherwise = all.pop().unwrap_or_default();
    for (i, then) in all.into_iter().enumerate().rev() {
        let condition = cx.scratch("is_chosen", 1);
        let ((), mut steps) = cx.apart(|cx| {
            let mut k = KernelBuilder::new("is_number");
            let (x, y, wanted) = (k.read("number"), k.write("is_chosen"), i as i64);
            let (found, wanted) = (k.load(Elem::I32.x(1), x.at(0)), k.int(Elem::I32.x(1), wanted));
            let is_equal = k.compare(Cond::Eq, found, wanted);
            let byte = convert::truth(&mut k, is_equal);
            k.store(y.at(0), byte);
            cx.call(k.finish(), &[number, condition], &[]);
        });
        steps.push(Step::If { condition, then, otherwise });
        otherwise = steps;
    }
    otherwise.into_iter().for_each(|s| cx.step(s));
    Ok(())
}

/// The second body of a node again and again, as long as the first one gives true. An operand that changes from turn to turn is where the node's
/// result is.
pub fn repeat(cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
    let (test, body) = (cx.body(0), cx.body(1));
    let changes: Vec<bool> = body.outputs.iter().zip(&body.inputs).map(|(after, before)| after != before).collect();
    let mut places = vec![];
    for i in 0..node.inputs.len() {
        let from = cx.input(node, i);
        places.push(match changes.get(i) {
            Some(true) => {
                let to = cx.output(node, i);
                copy::whole(cx, from, to);
                to
            }
            _ => from,
        });
    }
    let condition = cx.scratch("goes_on", 1);
    let wanted: Vec<(ValueId, BufferId)> = test.outputs.iter().map(|v| (*v, condition)).collect();
    if let Some(data) = wanted.first().and_then(|(v, _)| test.value(*v).data.as_ref())
        && data.iter().any(|b| *b != 0)
    {
        return Err(Diagnostic::new(Code::FEATURE, "the loop never ends: its condition is always true"));
    }
    let test_steps = inside(cx, test, &places, &wanted, |cx| wanted.iter().for_each(|(v, to)| copied(cx, *v, *to)))?;
    let all: Vec<(ValueId, BufferId)> = (0..changes.len()).filter(|&i| changes[i]).map(|i| (body.outputs[i], places[i])).collect();
    // What may have more rows than there is room for is copied.
    let wanted: Vec<(ValueId, BufferId)> =
        all.iter().copied().filter(|(v, to)| body.ty(*v).size_bytes() as u64 == cx.size_bytes(*to)).collect();
    let rows: Vec<usize> = node.inputs.iter().map(|v| v.and_then(|v| cx.graph.ty(v).shape.first().copied()).unwrap_or(0)).collect();
    let body_steps = inside(cx, body, &places, &wanted, |cx| {
        for (&v, &rows) in body.outputs.iter().zip(&rows) {
            if rows < body.ty(v).shape.first().copied().unwrap_or(0) {
                let count = counts::of(cx, v).expect("more rows than an operand has are counted");
                indices::check(cx, count, Elem::I32, 1, &[(Some(0), rows as i64)]);
            }
        }
        // Operands that others become are saved before any changes.
        let mut moves = vec![];
        for &(v, to) in &all {
            let from = cx.buffer(v);
            let from = match cx.size_bytes(to) {
                part if part < cx.size_bytes(from) => cx.view("rows", from, 0, part),
                _ => from,
            };
            let is_operand = from != to && places.iter().any(|p| cx.root(*p) == cx.root(from));
            moves.push((if is_operand { saved(cx, from) } else { from }, to));
        }
        for (from, to) in moves.into_iter().filter(|(from, to)| from != to) {
            copy::whole(cx, from, to);
        }
    })?;
    cx.step(Step::While { test: test_steps, condition, body: body_steps });
    // What has stayed is the operand.
    for (i, &v) in node.outputs.iter().enumerate().filter(|(i, _)| !changes[*i]) {
        let of = node.input(i).expect("a loop has as many operands as results");
        if !cx.alias(v, of) {
            let to = cx.buffer(v);
            copied(cx, of, to);
        }
    }
    Ok(())
}

fn saved(cx: &mut Context, from: BufferId) -> BufferId {
    let to = cx.scratch("saved", cx.size_bytes(from));
    copy::whole(cx, from, to);
    to
}

/// Puts the bytes of a value into a buffer, unless they are there.
fn copied(cx: &mut Context, v: ValueId, to: BufferId) {
    let from = cx.buffer(v);
    if from != to {
        copy::whole(cx, from, to);
    }
}

/// The steps of a body whose inputs, and states after them, are in `operands`; some values that it computes are wanted in buffers of the graph around it.
fn inside<'a>(
    cx: &mut Context<'a>,
    body: &'a Graph,
    operands: &[BufferId],
    wanted: &[(ValueId, BufferId)],
    finish: impl FnOnce(&mut Context<'a>),
) -> Result<Vec<Step>, Diagnostic> {
    let scope = Scope::of(body);
    let (result, steps) = cx.apart(|cx| {
        cx.within(body, scope, |cx| {
            let values = body.inputs.iter().copied().chain(body.states.iter().map(|s| s.value));
            values.zip(operands).for_each(|(v, b)| cx.bind_outer(v, *b));
            cx.want(wanted);
            let problems = cx.lower_nodes();
            if problems.is_empty() {
                finish(cx);
            }
            problems
        })
    });
    match result.into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(steps),
    }
}
