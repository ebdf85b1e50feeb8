//! Operators that are one function of the elements at the same place: by themselves, or as the last steps of the operator before them.
//!
//! Not the functions (`ops/`). The idea: what becomes of a result that is in registers costs a load of the other operand, where an
//! operator of its own costs reading and writing everything again. The function is given whole vectors of elements as they
//! would have been stored, so that the result is the same.

use super::Context;
use super::elementwise::Elementwise;
use super::requantize::{Target, elem};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use cranelite_tile::{Arg, BufferId, Elem, Index, KernelBuilder, Value};

type Function<'a> = Box<dyn Fn(&mut KernelBuilder, &[Value]) -> Value + 'a>;

/// From vectors of the operands to the vector of the result.
pub struct Pointwise<'a> {
    /// Integer operands may come in i32 lanes.
    f: Function<'a>,
    /// Of integers: what becomes of the i32 lanes that `f` gives.
    target: Option<Target>,
    /// How integers are rescaled, for reports.
    form: Option<&'static str>,
    /// Vectors of results at once, where it stands alone.
    unroll: usize,
}

impl<'a> Pointwise<'a> {
    /// `f` gives elements: floats, or integers that are not rescaled.
    pub fn elements(f: impl Fn(&mut KernelBuilder, &[Value]) -> Value + 'a) -> Self {
        Pointwise { f: Box::new(f), target: None, form: None, unroll: 4 }
    }
    /// Fewer vectors at once than four: for functions that take more time than the loop around them.
    pub fn unroll(self, vectors: usize) -> Self {
        Pointwise { unroll: vectors, ..self }
    }
    /// How integers are rescaled.
    pub fn form(self, form: &'static str) -> Self {
        Pointwise { form: Some(form), ..self }
    }
    /// `f` gives i32 lanes.
    pub fn integers(target: Target, form: &'static str, f: impl Fn(&mut KernelBuilder, &[Value]) -> Value + 'a) -> Self {
        Pointwise { f: Box::new(f), target: Some(target), form: Some(form), unroll: 1 }
    }
    fn note(&self, cx: &mut Context, operator: u32) {
        if let Some(form) = self.form {
            let node = cx.operator.replace(operator);
            cx.note_rescaling(form, 1);
            cx.operator = node;
        }
    }
    fn apply(&self, k: &mut KernelBuilder, x: &[Value]) -> Value {
        let y = (self.f)(k, x);
        self.target.map_or(y, |t| t.apply(k, y))
    }
}

/// Writes the call of an operator that is nothing but its function, and of what becomes of its result, with broadcasting.
pub fn lower(cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
    let graph = cx.graph;
    let signature = graph.signature(node);
    let f = node.op.pointwise(cx.machine, &signature)?.ok_or_else(not_pointwise)?;
    f.note(cx, node.operator);
    // Of each step its operands among those of the kernel; `None`: what has been computed so far.
    let mut next = node.inputs.len();
    let (mut steps, mut unroll) = (vec![], f.unroll);
    for (i, t) in node.then.iter().enumerate() {
        let step = t.op.pointwise(cx.machine, &graph.signature_of_step(node, i))?.ok_or_else(not_pointwise)?;
        step.note(cx, t.operator);
        unroll = unroll.min(step.unroll);
        let mut operands = vec![];
        for v in &t.inputs {
            operands.push(v.map(|_| next));
            next += usize::from(v.is_some());
        }
        steps.push((step, operands));
    }
    let names: Vec<String> = node.then.iter().map(|t| t.op.name().to_ascii_lowercase()).collect();
    let element = signature.inputs.first().copied().flatten().map_or(cx.own_type(node).element, |x| x.ty.element);
    let name = [vec![node.op.kernel_name(element)], names].concat().join("_");
    Elementwise::of_node(cx, name, node).unroll(unroll).lower(cx, |k, x, _| {
        let first = f.apply(k, &x[..node.inputs.len()]);
        steps.iter().fold(first, |so_far, (step, operands)| {
            let x: Vec<Value> = operands.iter().map(|o| o.map_or(so_far, |i| x[i])).collect();
            step.apply(k, &x)
        })
    });
    Ok(())
}

fn not_pointwise() -> Diagnostic {
    Diagnostic::new(Code::FEATURE, "the operator does not work element by element")
}

/// Where the result of a node goes, and what becomes of it on the way.
pub struct Destination<'a> {
    buffer: BufferId,
    steps: Vec<Step<'a>>,
}

struct Step<'a> {
    f: Pointwise<'a>,
    /// `None`: what has been computed so far.
    operands: Vec<Option<(BufferId, Elem)>>,
}

impl<'a> Destination<'a> {
    /// Of `node`, which writes every element once. The memory of an operand that nobody needs later becomes that of the result.
    pub fn of_node(cx: &mut Context<'a>, node: &Node) -> Result<Destination<'a>, Diagnostic> {
        let (graph, result) = (cx.graph, node.outputs[0]);
        let mut steps = vec![];
        for (i, t) in node.then.iter().enumerate() {
            let f = t.op.pointwise(cx.machine, &graph.signature_of_step(node, i))?.ok_or_else(not_pointwise)?;
            f.note(cx, t.operator);
            let operands =
                t.inputs.iter().map(|v| v.map(|v| (cx.buffer(v), elem(graph.ty(v).element).expect("checked by infer")))).collect();
            steps.push(Step { f, operands });
        }
        let operands = node.then.iter().flat_map(|t| &t.inputs).flatten();
        if let Some(&v) = operands.into_iter().find(|v| cx.is_free_after(node, **v)) {
            cx.alias(result, v);
        }
        Ok(Destination { buffer: cx.buffer(result), steps })
    }

    /// A buffer of the operator's own.
    pub fn of_buffer(buffer: BufferId) -> Destination<'a> {
        Destination { buffer, steps: vec![] }
    }

    /// Nothing becomes of the result on the way.
    pub fn is_plain(&self) -> bool {
        self.steps.is_empty()
    }

    /// Elements are read where the result is written, so none may be written twice.
    pub fn is_in_place(&self) -> bool {
        self.steps.iter().flat_map(|s| &s.operands).flatten().any(|o| o.0 == self.buffer)
    }

    /// The buffers of a call, in the order of [`Output::declare`].
    pub fn buffers(&self) -> Vec<BufferId> {
        let operands = self.steps.iter().flat_map(|s| &s.operands).flatten().map(|o| o.0).filter(|b| *b != self.buffer);
        operands.chain([self.buffer]).collect()
    }
}

/// A destination in a kernel.
pub struct Output<'d, 'a> {
    to: &'d Destination<'a>,
    /// Of the operands that are not the result's own memory.
    operands: Vec<Arg>,
    y: Arg,
}

impl<'d, 'a> Output<'d, 'a> {
    pub fn declare(k: &mut KernelBuilder, to: &'d Destination<'a>) -> Self {
        let buffers = to.buffers();
        let operands = buffers[1..].iter().map(|_| k.read("operand")).collect();
        Output { to, operands, y: if to.is_in_place() { k.read_write("y") } else { k.write("y") } }
    }

    /// As `store`, of several pixels with as many vectors each. Bytes of as many as fill a register are made at once where that is cheaper.
    pub fn store_pixels(
        &self,
        k: &mut KernelBuilder,
        pixels: &[(Index, Vec<Value>)],
        at_once: usize,
        target: Option<Target>,
        count: usize,
    ) {
        let each = pixels.first().map_or(1, |p| p.1.len());
        let together = if self.to.is_plain() && target.is_some_and(|t| t.elem.bits() == 8) { at_once / each } else { 1 };
        let mut rest = pixels;
        while let [(at, vectors), ..] = rest {
            // Vectors have a power of two of lanes.
            let n = if together < 2 || !each.is_power_of_two() { 1 } else { together.min(1 << rest.len().ilog2()) };
            let (these, after) = rest.split_at(n);
            rest = after;
            let (1.., Some(target)) = (n - 1, target) else {
                self.store(k, at, vectors, target, count);
                continue;
            };
            let all = these.iter().flat_map(|p| &p.1).copied().reduce(|a, b| k.concat(a, b)).expect("at least one vector");
            let elements = target.apply(k, all);
            let width = k.ty(all).lanes as usize / n;
            for (i, (at, _)) in these.iter().enumerate() {
                let part = k.slice(elements, i * width, width);
                k.store_part(self.y.at(at.clone()), part, count);
            }
        }
    }

    /// Stores the first `count` elements of the vectors, one after the other, at byte `at`. `target`: what becomes of integers, which
    /// come in lanes of 32 bits.
    pub fn store(&self, k: &mut KernelBuilder, at: &Index, vectors: &[Value], target: Option<Target>, count: usize) {
        let lanes = k.ty(vectors[0]).lanes as usize;
        let (mut target, mut vectors) = (target, vectors.to_vec());
        let mut operands = self.operands.iter();
        for step in &self.to.steps {
            let operands: Vec<Option<(Arg, Elem)>> = step
                .operands
                .iter()
                .map(|o| o.map(|(b, elem)| (if b == self.to.buffer { self.y } else { *operands.next().expect("an argument") }, elem)))
                .collect();
            // Vector by vector, so that few registers are needed.
            for (j, v) in vectors.iter_mut().enumerate().filter(|(j, _)| j * lanes < count) {
                let it = target.map_or(*v, |t| t.apply_wide(k, *v));
                let operand = |(arg, elem): (Arg, Elem)| {
                    let at = at.clone() + (j * lanes) as i64 * i64::from(elem.bytes());
                    k.load_part(elem.x(lanes), arg.at(at), (count - j * lanes).min(lanes))
                };
                let mut operand = operand;
                let x: Vec<Value> = operands.iter().map(|o| o.map_or(it, &mut operand)).collect();
                *v = (step.f.f)(k, &x);
            }
            target = step.f.target;
        }
        let Some(target) = target else {
            for (j, &v) in vectors.iter().enumerate().filter(|(j, _)| j * lanes < count) {
                let at = at.clone() + (j * lanes) as i64 * i64::from(k.ty(v).elem.bytes());
                k.store_part(self.y.at(at), v, (count - j * lanes).min(lanes));
            }
            return;
        };
        let all = vectors.into_iter().reduce(|a, b| k.concat(a, b)).expect("at least one vector");
        let elements = target.apply(k, all);
        k.store_part(self.y.at(at.clone()), elements, count);
    }
}
