//! Elementwise kernels: any number of inputs with broadcasting, one output, one function of vectors.
//!
//! Not an operator: what is computed comes as a closure. The idea: neighbouring dimensions that every operand walks in the same way
//! are one dimension; what remains is a nest of scalar loops around runs of full vectors with one partial vector at the end. In a
//! run an input either advances with the output or is one element for all lanes.

use super::requantize::elem;
use super::{Context, Goal};
use crate::graph::{Node, ValueId};
use crate::tensor::{ElementType, TensorType};
use cranelite_tile::{Arg, BufferId, Counter, Elem, Index, Kernel, KernelBuilder, Machine, Type, Value};

/// Elements of a constant that is repeated for the sake of vectors.
const MOST_REPEATED: usize = 1024;
/// Vectors of a run whose elements are repeated in registers.
const MOST_VECTORS: usize = 8;

/// One operand of an elementwise operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    pub buffer: BufferId,
    pub elem: Elem,
    pub shape: Vec<usize>,
}

pub struct Elementwise {
    name: String,
    inputs: Vec<Operand>,
    /// Read at places that depend on data, whole.
    tables: Vec<BufferId>,
    output: Operand,
    /// Input whose bytes the output may take.
    in_place: Option<usize>,
    unroll: usize,
    /// How often each element of an input comes in a run, one after the other; 1 if it is not here.
    times: Vec<usize>,
}

impl Elementwise {
    pub fn new(name: impl Into<String>, inputs: Vec<Operand>, output: Operand) -> Self {
        Elementwise { name: name.into(), inputs, tables: vec![], output, in_place: None, unroll: 1, times: vec![] }
    }

    /// Over the inputs of `node`, all present, then the operands of what becomes of its result, and its first output.
    pub fn of_node(cx: &mut Context, name: impl Into<String>, node: &Node) -> Self {
        let inputs = node.reads().map(|v| Operand::of_value(cx, v)).collect();
        let output = Operand::of_value(cx, node.outputs[0]);
        let mut e = Elementwise::new(name, inputs, output);
        e.in_place = e.in_place_input(cx, node);
        e
    }

    /// An input beyond those of the node, such as scales per channel.
    pub fn input(mut self, operand: Operand) -> Self {
        self.inputs.push(operand);
        self
    }
    /// An input as if it had another shape of as many elements.
    pub fn reshape_input(mut self, index: usize, operand: Operand) -> Self {
        self.inputs[index] = operand;
        self
    }
    /// The output is where this input is, which is a buffer of the kernel's own operator.
    pub fn in_place(mut self, input: usize) -> Self {
        self.in_place = Some(input);
        self
    }
    pub fn table(mut self, table: BufferId) -> Self {
        self.tables.push(table);
        self
    }
    /// Vectors per iteration: for operations so cheap that the loop itself shows.
    pub fn unroll(mut self, vectors: usize) -> Self {
        self.unroll = vectors;
        self
    }

    /// The input that may give its memory to the output: in the arena, as large in every way, and needed by nobody later.
    fn in_place_input(&self, cx: &Context, node: &Node) -> Option<usize> {
        if cx.is_output(node.outputs[0]) {
            return None;
        }
        let needed = |v: ValueId| cx.is_needed_later(v) || cx.is_input(v) || cx.graph.value(v).data.is_some();
        (0..self.inputs.len()).find(|&i| {
            let x = &self.inputs[i];
            let same = x.elem.bytes() == self.output.elem.bytes() && x.shape.iter().product::<usize>() == self.count();
            // The same memory may be walked in another way, too.
            let twin = self.inputs.iter().any(|o| o.buffer == x.buffer && o != x);
            same && !twin && node.reads().nth(i).is_some_and(|v| !needed(v))
        })
    }

    fn nest(&self) -> Nest {
        Nest::new(&self.output.shape, &self.inputs.iter().map(|x| &x.shape[..]).collect::<Vec<_>>())
    }

    /// Elements of a vector.
    fn lanes(&self, machine: &Machine) -> usize {
        self.inputs.iter().map(|x| x.elem).chain([self.output.elem]).map(|e| machine.lanes(e)).max().unwrap_or(1)
    }

    /// Runs of a few elements, such as the three colours of a pixel, several at once: what would be read again in each of them is a constant that
    /// is repeated, and what is one element for all of a run is repeated in registers.
    fn lengthened(mut self, cx: &mut Context) -> Self {
        let (nest, wanted) = (self.nest(), 2 * self.lanes(cx.machine));
        let [outer @ .., count, run] = &nest.dims[..] else { return self };
        if cx.goal == Goal::Size || wanted <= *run {
            return self;
        }
        // Elements that come several times are in one register for each vector, which must not reach beyond them.
        let lanes = self.lanes(cx.machine);
        let spread = self.inputs.iter().zip(&nest.strides).filter(|(_, s)| s[outer.len()..] == [1, 0]);
        let register = spread.map(|(x, _)| if 4 <= x.elem.bytes() { cx.machine.lanes(x.elem) } else { 16 / x.elem.bytes() as usize }).max();
        let fits = |n: usize| register.is_none_or(|least| least <= n && (n * run).is_multiple_of(lanes) && n * run <= MOST_VECTORS * lanes);
        let runs = (2..=*count).find(|&n| count.is_multiple_of(n) && wanted <= n * run && fits(n) || MOST_REPEATED < n * run);
        let Some(runs) = runs.filter(|n| n * run <= MOST_REPEATED) else {
            return self;
        };
        let inner = [count / runs, runs * run];
        let (mut inputs, mut times) = (vec![], vec![]);
        for (x, strides) in self.inputs.iter().zip(&nest.strides) {
            let (around, last) = (&strides[..outer.len()], [strides[outer.len()], strides[outer.len() + 1]]);
            let mut shape: Vec<usize> = outer.iter().zip(around).map(|(n, stride)| if *stride == 0 { 1 } else { *n }).collect();
            let constant = cx.program.buffer(x.buffer).data.clone();
            match (last, constant) {
                ([0, 0], _) => shape.extend([1, 1]),
                ([1, 0], _) if x.elem.bytes() <= 4 && cx.machine.has_vectors() => {
                    times.resize(inputs.len(), 1);
                    times.push(*run);
                    shape.extend([inner[0], runs]);
                }
                ([_, 1], _) if last[0] == *run => shape.extend(inner),
                ([0, 1], Some(data)) if around.iter().all(|stride| *stride == 0) => {
                    shape.extend([1, inner[1]]);
                    let buffer = cx.constant("repeated", data.repeat(runs), 64);
                    inputs.push(Operand { buffer, shape, ..*x });
                    continue;
                }
                _ => return self,
            }
            inputs.push(Operand { shape, ..x.clone() });
        }
        (self.inputs, self.times) = (inputs, times);
        self.output.shape = [outer, &inner].concat();
        self
    }

    fn count(&self) -> usize {
        self.output.shape.iter().product()
    }

    /// Writes the call. `compute` gets a vector of every input, all with the output's lanes, and the tables; it returns the
    /// output's vector. It runs several times while the kernel is built and must not depend on that.
    pub fn lower(self, cx: &mut Context, compute: impl Fn(&mut KernelBuilder, &[Value], &[Arg]) -> Value) {
        if self.count() == 0 {
            return;
        }
        let spec = self.lengthened(cx);
        let nest = spec.nest();
        let (kernel, buffers, params) = Writer::write(&spec, &nest, cx.machine, &compute);
        cx.call(kernel, &buffers, &params);
    }
}

impl Operand {
    pub fn new(buffer: BufferId, elem: Elem, shape: impl Into<Vec<usize>>) -> Self {
        Operand { buffer, elem, shape: shape.into() }
    }

    /// A value of the graph whose element type has a tile type, which `infer` has checked; of short floats and complex numbers their bits.
    pub fn of_value(cx: &mut Context, v: ValueId) -> Self {
        let ty: &TensorType = cx.graph.ty(v);
        let elem = match ty.element {
            ElementType::F16 | ElementType::BF16 => Elem::U16,
            ElementType::Complex64 => Elem::I64,
            other => elem(other).expect("an element type checked by infer"),
        };
        Operand { buffer: cx.buffer(v), elem, shape: ty.shape.clone() }
    }
}

/// The dimensions that are left when those that all operands walk alike are merged.
struct Nest {
    /// Outermost first; none is 1; the last is the run, and there is always one.
    dims: Vec<usize>,
    /// Elements per step of each dimension, per input.
    strides: Vec<Vec<usize>>,
}

impl Nest {
    fn new(output: &[usize], inputs: &[&[usize]]) -> Nest {
        let mut nest = Nest { dims: vec![], strides: vec![vec![]; inputs.len()] };
        for (d, &n) in output.iter().enumerate() {
            if n == 1 {
                continue;
            }
            let steps: Vec<usize> = inputs.iter().map(|shape| stride(shape, output.len(), d)).collect();
            let merges = nest.strides.iter().zip(&steps).all(|(s, &step)| s.last() == Some(&(step * n)));
            match nest.dims.last_mut() {
                Some(last) if merges => *last *= n,
                _ => {
                    nest.dims.push(n);
                    nest.strides.iter_mut().for_each(|s| s.push(0));
                }
            }
            for (s, step) in nest.strides.iter_mut().zip(steps) {
                *s.last_mut().expect("a dimension") = step;
            }
        }
        if nest.dims.is_empty() {
            nest.dims.push(1);
            nest.strides.iter_mut().for_each(|s| s.push(1));
        }
        nest
    }
}

/// Elements that an input of `shape` moves per step of dimension `d` of an output of that rank; 0 where it is broadcast.
fn stride(shape: &[usize], rank: usize, d: usize) -> usize {
    match (d + shape.len()).checked_sub(rank) {
        Some(own) if shape[own] != 1 => shape[own + 1..].iter().product(),
        _ => 0,
    }
}

struct Writer<'a, F> {
    spec: &'a Elementwise,
    nest: &'a Nest,
    /// Argument of every input; equal inputs share one.
    inputs: Vec<Arg>,
    tables: Vec<Arg>,
    output: Arg,
    compute: &'a F,
    lanes: usize,
    machine: &'a Machine,
}

impl<'a, F: Fn(&mut KernelBuilder, &[Value], &[Arg]) -> Value> Writer<'a, F> {
    fn write(spec: &'a Elementwise, nest: &'a Nest, machine: &'a Machine, compute: &'a F) -> (Kernel, Vec<BufferId>, Vec<i64>) {
        let mut k = KernelBuilder::new(spec.name.clone());
        let mut buffers = vec![];
        let mut inputs: Vec<Arg> = vec![];
        for (i, x) in spec.inputs.iter().enumerate() {
            // The same tensor twice is one argument, or it could not be given away.
            let arg = match spec.inputs[..i].iter().position(|o| o == x) {
                Some(first) => inputs[first],
                None => {
                    buffers.push(x.buffer);
                    k.read(&format!("x{i}"))
                }
            };
            inputs.push(arg);
        }
        let tables = spec.tables.iter().enumerate().map(|(i, &t)| {
            buffers.push(t);
            k.read(&format!("table{i}"))
        });
        let tables = tables.collect();
        buffers.push(spec.output.buffer);
        let output = match spec.in_place {
            Some(i) => k.write_in_place("y", inputs[i]),
            None => k.write("y"),
        };
        let lanes = spec.lanes(machine);
        let writer = Writer { spec, nest, inputs, tables, output, compute, lanes, machine };
        let params = writer.outer(&mut k, &mut vec![]);
        (k.finish(), buffers, params)
    }

    /// The loops around the runs; gives the parameters of the call.
    fn outer(&self, k: &mut KernelBuilder, counters: &mut Vec<Counter>) -> Vec<i64> {
        let depth = counters.len();
        if depth + 1 == self.nest.dims.len() {
            return self.run(k, counters);
        }
        let mut params = vec![];
        k.each(&format!("i{depth}"), self.nest.dims[depth], 1, |k, i| {
            counters.push(i);
            params = self.outer(k, counters);
            counters.pop();
        });
        params
    }

    fn run(&self, k: &mut KernelBuilder, counters: &[Counter]) -> Vec<i64> {
        let n = *self.nest.dims.last().expect("a dimension");
        let place = |stride: &dyn Fn(usize) -> usize, bytes: u32| {
            counters.iter().enumerate().fold(Index::default(), |at, (d, &i)| at + i * (stride(d) * bytes as usize) as i64)
        };
        let inner = counters.len();
        let output_stride = |d: usize| self.nest.dims[d + 1..].iter().product();
        let run = Run {
            inputs: (0..self.inputs.len())
                .map(|i| {
                    let (strides, x) = (&self.nest.strides[i], &self.spec.inputs[i]);
                    (place(&|d| strides[d], x.elem.bytes()), strides[inner] != 0)
                })
                .collect(),
            output: place(&output_stride, self.spec.output.elem.bytes()),
        };
        let lanes = self.lanes;
        let step = lanes * self.spec.unroll;
        let full = n / lanes * lanes;
        let once = self.once(k, &run);
        if n <= 2 * step || !self.spec.times.is_empty() {
            for at in (0..full).step_by(lanes) {
                self.vector(k, &run, &once, at.into(), lanes, lanes);
            }
            self.rest(k, &run, &once, full.into(), n - full);
            return vec![];
        }
        let unrolled = n / step * step;
        // A flat kernel serves every length with the same rest, so the counts are the call's.
        let flat = counters.is_empty();
        let (main, left, params): (Index, Index, Vec<i64>) = match (flat, self.spec.unroll) {
            (true, 1) => (k.param("n").into(), 0.into(), vec![full as i64]),
            (true, _) => (k.param("n").into(), k.param("left").into(), vec![unrolled as i64, (full - unrolled) as i64]),
            (false, _) => (unrolled.into(), (full - unrolled).into(), vec![]),
        };
        k.each("i", main.clone(), step as i64, |k, i| {
            for u in 0..self.spec.unroll {
                self.vector(k, &run, &once, i + (u * lanes), lanes, lanes);
            }
        });
        if left != Index::default() {
            k.each("j", left.clone(), lanes as i64, |k, j| self.vector(k, &run, &once, main.clone() + j, lanes, lanes));
        }
        self.rest(k, &run, &once, main + left, n - full);
        params
    }

    /// Elements that serve the whole run, in one lane.
    fn once(&self, k: &mut KernelBuilder, run: &Run) -> Vec<Option<Value>> {
        (0..self.inputs.len())
            .map(|i| {
                let (at, advances) = &run.inputs[i];
                (!advances).then(|| k.load_splat(self.spec.inputs[i].elem.x(self.lanes), 1, self.inputs[i].at(at)))
            })
            .collect()
    }

    /// The last elements, in a vector no longer than they need.
    fn rest(&self, k: &mut KernelBuilder, run: &Run, once: &[Option<Value>], at: Index, count: usize) {
        if 0 < count {
            self.vector(k, run, once, at, count.next_power_of_two(), count);
        }
    }

    fn times(&self, input: usize) -> usize {
        self.spec.times.get(input).copied().unwrap_or(1)
    }

    /// A vector from element `first` of the run on, of an input whose elements come several times. Registers are loaded whole, the last of them
    /// so that they end where the input's elements of the run do.
    fn repeated(&self, k: &mut KernelBuilder, (arg, start): (Arg, &Index), ty: Type, times: usize, first: usize) -> Value {
        let bytes = ty.elem.bytes() as usize;
        let register = if bytes == 4 { self.machine.lanes(ty.elem) } else { 16 / bytes };
        let elements = self.nest.dims.last().expect("a dimension") / times;
        let parts: Vec<Value> = (first..first + ty.lanes as usize)
            .step_by(register)
            .map(|at| {
                let from = (at / times).min(elements - register);
                let v = k.load(ty.elem.x(register), arg.at(start.clone() + (from * bytes) as i64));
                k.repeat_lanes(v, times, at - from * times, register)
            })
            .collect();
        parts.into_iter().reduce(|a, b| k.concat(a, b)).expect("a part")
    }

    /// `count` elements from element `at` of the run on, in a vector of `lanes`.
    fn vector(&self, k: &mut KernelBuilder, run: &Run, once: &[Option<Value>], at: Index, lanes: usize, count: usize) {
        let mut loaded: Vec<(Arg, Type, Index, Value)> = vec![];
        let mut values = vec![];
        for (i, (start, _)) in run.inputs.iter().enumerate() {
            let (arg, ty) = (self.inputs[i], self.spec.inputs[i].elem.x(lanes));
            let value = match once[i] {
                Some(v) if lanes < self.lanes => k.slice(v, 0, lanes),
                Some(v) => v,
                None if 1 < self.times(i) => {
                    let first = at.as_constant().expect("a run that is written out") as usize;
                    self.repeated(k, (arg, start), ty, self.times(i), first)
                }
                None => {
                    let place = start.clone() + at.clone() * i64::from(ty.elem.bytes());
                    match loaded.iter().find(|l| (l.0, l.1, &l.2) == (arg, ty, &place)) {
                        Some(l) => l.3,
                        None => {
                            let v = k.load_part(ty, arg.at(&place), count);
                            loaded.push((arg, ty, place, v));
                            v
                        }
                    }
                }
            };
            values.push(value);
        }
        let y = (self.compute)(k, &values, &self.tables);
        assert_eq!(k.ty(y), self.spec.output.elem.x(lanes), "result of {}", self.spec.name);
        let place = run.output.clone() + at * i64::from(self.spec.output.elem.bytes());
        k.store_part(self.output.at(place), y, count);
    }
}

/// Where a run starts, in bytes.
struct Run {
    /// And whether the input advances in it.
    inputs: Vec<(Index, bool)>,
    output: Index,
}
