//! From graph to tile program: the context in which operators' `lower` functions write buffers, kernels and calls.
//!
//! Not an operator and not a schedule: operators are in `ops/`, the schedules they share in this folder's other files. The idea: a
//! graph value becomes a buffer, a node becomes calls, equal kernels and equal constants become one.

pub mod atan2_double;
pub mod boxes;
pub mod channels;
pub mod clip;
pub mod control;
pub mod convert;
pub mod copy;
pub mod counts;
pub mod depthwise;
pub mod elementwise;
pub mod fixed;
pub mod fourier;
pub mod frame;
pub mod gather;
pub mod gemm;
pub mod hash;
mod in_rows;
pub mod indices;
pub mod integers;
pub mod join;
pub mod largest;
pub mod lstm;
pub mod math;
pub mod moves;
pub mod narrow;
pub mod normalize;
pub mod pad;
pub mod part;
pub mod pointwise;
pub mod proved;
pub mod radix;
pub mod recurrent;
pub mod reduce;
pub mod requantize;
pub mod resize;
pub mod rnn;
pub mod rows;
pub mod scan;
pub mod scatter;
pub mod select;
pub mod sigmoid_16;
pub mod sizes;
pub mod slice;
pub mod slices;
pub mod sliding;
pub mod softmax;
pub mod spaced;
pub(crate) mod spare;
pub mod sum;
pub mod table;
pub mod volume;
pub mod window;

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Folding, Graph, Node, ValueId};
use crate::ops::channels::Channels;
use crate::tensor::{ElementType, TensorType};
use bytes::Bytes;
use cranelite_tile::strided::Rows;
use cranelite_tile::{Arg, Buffer, BufferId, Call, Kernel, KernelId, Machine, Program, Role, Step, View, arena, bands, moving};
use gemm::hybrid::{Bytes as QuantizedBytes, Quantized};
use in_rows::RowCopy;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What to prefer where speed costs memory or code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Goal {
    #[default]
    Speed,
    Size,
}

/// What the user prefers where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    pub goal: Goal,
    /// Convolutions of floats may have fewer multiplications, and other roundings within a bound: `gemm/winograd.rs`.
    pub winograd: bool,
    /// What weights of zeros add is left out: `gemm/sparse`.
    pub sparse: bool,
    /// The most that an arena may have, if that is limited.
    pub arena_bytes: Option<u64>,
    /// Operators may be done in bands with their readers (`bands`), each a step of its own, for which threads would wait.
    pub in_bands: bool,
}

impl From<Goal> for Preferences {
    fn from(goal: Goal) -> Preferences {
        Preferences { goal, winograd: true, sparse: true, arena_bytes: None, in_bands: true }
    }
}

impl Default for Preferences {
    fn default() -> Preferences {
        Goal::default().into()
    }
}

pub struct Context<'a> {
    /// The model, or the body whose nodes are being lowered.
    pub graph: &'a Graph,
    pub machine: &'a Machine,
    pub goal: Goal,
    pub winograd: bool,
    pub sparse: bool,
    arena_bytes: Option<u64>,
    program: Program,
    scope: Scope,
    /// Candidates by hash of their code.
    kernels: HashMap<u64, Vec<KernelId>>,
    constants: HashMap<u64, Vec<BufferId>>,
    /// By their byte.
    fills: BTreeMap<u8, BufferId>,
    /// Views that are further on in every turn of a `repeat`: by so many bytes.
    moving: BTreeMap<BufferId, i64>,
    rescalings: Vec<Rescaled>,
    /// As in [`Lowered`].
    number_bytes: BTreeMap<BufferId, Option<u32>>,
    operator: Option<u32>,
    align: u32,
    /// Of the model.
    pub constants_bytes: usize,
    /// Constants do not stay in the second-level cache from one run to the next.
    pub constants_stream: bool,
    /// No arena is smaller.
    least_bytes: u64,
    /// What concatenations and parts of rows may still look at.
    join_budget: u64,
    row_copies: Vec<RowCopy>,
    /// Bytes of scratch that the node which is being lowered may take to be faster.
    pub spare_bytes: u64,
}

/// What is known of the values of one graph while its nodes are lowered.
pub struct Scope {
    /// Of values that have one already.
    buffers: BTreeMap<ValueId, BufferId>,
    /// By root of the buffers: after which node nobody reads any of the values in it.
    holdings: BTreeMap<BufferId, Option<usize>>,
    /// Roots of buffers that belong to the graph around this one.
    outer: BTreeSet<BufferId>,
    /// Where values should be, if nobody reads what is there when they are computed or later.
    wanted: BTreeMap<ValueId, BufferId>,
    /// Position of the node that is being lowered.
    here: usize,
    /// By value: after which node nobody reads it; of an output after none.
    last_read: Vec<Option<usize>>,
    /// By value: which node is the last that changes it, of a state.
    last_change: Vec<Option<usize>>,
    is_input: Vec<bool>,
    /// For messages: which values all nodes of constants would give.
    computed: OnceCell<Vec<bool>>,
    /// By value: how often nodes and outputs read it.
    reads: OnceCell<Vec<u32>>,
    /// By node: bytes of scratch that it may take to be faster.
    spare_bytes: Vec<u64>,
    /// Values that were quantised by nodes before this one, and by which.
    quantized: BTreeMap<QuantizedKey, (Quantized, usize)>,
    /// Within how many parts of the schedule that do not simply follow each other.
    depth: u32,
}

/// A value, the length of its rows, whether they have an offset.
type QuantizedKey = (ValueId, usize, bool, QuantizedBytes);

impl Scope {
    fn of(graph: &Graph) -> Scope {
        let mut is_input = vec![false; graph.values.len()];
        graph.inputs.iter().for_each(|v| is_input[v.0 as usize] = true);
        Scope {
            buffers: BTreeMap::new(),
            holdings: BTreeMap::new(),
            outer: BTreeSet::new(),
            wanted: BTreeMap::new(),
            here: 0,
            last_read: last_reads(graph),
            last_change: last_changes(graph),
            is_input,
            computed: OnceCell::new(),
            reads: OnceCell::new(),
            spare_bytes: vec![],
            quantized: BTreeMap::new(),
            depth: 0,
        }
    }
}

/// Stands for what reads the outputs after the last node.
const AFTER_ALL: usize = usize::MAX;

/// So many channels of an operator are rescaled in this form, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescaled {
    pub operator: u32,
    pub form: &'static str,
    pub channels: u64,
}

/// A program, and how its integers are rescaled.
pub struct Lowered {
    pub program: Program,
    pub rescalings: Vec<Rescaled>,
    /// Of buffers that hold tensors of the graph: how many bytes a number in them has. None: they hold tensors of several types.
    pub number_bytes: BTreeMap<BufferId, Option<u32>>,
}

/// Lowers a graph for a machine. Scratch buffers have no place yet.
pub fn lower(graph: &Graph, machine: &Machine, prefer: impl Into<Preferences>) -> Result<Program, Vec<Diagnostic>> {
    lower_reported(graph, machine, prefer).map(|l| l.program)
}

pub fn lower_reported(graph: &Graph, machine: &Machine, prefer: impl Into<Preferences>) -> Result<Lowered, Vec<Diagnostic>> {
    let Preferences { goal, winograd, sparse, arena_bytes, in_bands } = prefer.into();
    let align = match goal {
        Goal::Size => 16,
        Goal::Speed => machine.vector_bytes.max(16),
    };
    let constants = graph.with_bodies().into_iter().flat_map(|g| &g.values).filter_map(|v| v.data.as_ref());
    let constants_bytes: usize = constants.map(|d| d.len()).sum();
    let mut cx = Context {
        graph,
        machine,
        goal,
        winograd,
        sparse,
        arena_bytes,
        program: Program { name: graph.name.clone(), buffers: Vec::with_capacity(graph.values.len()), ..Program::default() },
        scope: Scope::of(graph),
        kernels: HashMap::new(),
        constants: HashMap::new(),
        fills: BTreeMap::new(),
        moving: BTreeMap::new(),
        rescalings: vec![],
        number_bytes: BTreeMap::new(),
        operator: None,
        align,
        constants_bytes,
        constants_stream: machine.l2_bytes as usize <= constants_bytes,
        least_bytes: 0,
        join_budget: join::BUDGET,
        row_copies: vec![],
        spare_bytes: 0,
    };
    for (i, &v) in graph.inputs.iter().enumerate() {
        cx.new_caller_buffer(v, Role::Input(i as u32));
    }
    for (i, &v) in graph.outputs.iter().enumerate() {
        // An input or constant that is also an output, or one value returned twice, is copied at the end.
        if !cx.scope.buffers.contains_key(&v) && graph.value(v).data.is_none() {
            cx.new_caller_buffer(v, Role::Output(i as u32));
        }
    }
    for s in &graph.states {
        let value = graph.value(s.value);
        let size_bytes = value.ty.size_bytes() as u64;
        let id = cx.program.add_state(&value.name, size_bytes, element_align(&value.ty).max(8), s.initial.clone());
        cx.bind(s.value, id);
    }
    cx.least_bytes = spare::Spare::of(graph, goal).least_bytes;
    let problems = cx.lower_nodes();
    if !problems.is_empty() {
        return Err(problems);
    }
    for (i, &v) in graph.outputs.iter().enumerate() {
        let source = cx.buffer(v);
        if cx.program.buffer(source).role != Role::Output(i as u32) || cx.program.buffer(source).view.is_some() {
            let ty = graph.ty(v);
            let target = cx.add_buffer(&graph.value(v).name, Role::Output(i as u32), ty.size_bytes() as u64, element_align(ty));
            copy::whole(&mut cx, source, target);
        }
    }
    in_rows::leave_out(&mut cx);
    if goal == Goal::Speed && in_bands {
        let limit = (cx.least_bytes + cx.least_bytes / 10).max(arena::least_bytes(&cx.program));
        bands::cut(&mut cx.program, machine, limit);
    }
    cx.program.remove_unused_kernels();
    Ok(Lowered { program: cx.program, rescalings: cx.rescalings, number_bytes: cx.number_bytes })
}

/// Of a number of a tensor; complex ones are two.
fn number_bytes(ty: &TensorType) -> u32 {
    match ty.element {
        ElementType::Complex64 => 4,
        ElementType::Complex128 => 8,
        element => element.bytes().unwrap_or(1) as u32,
    }
}

fn last_reads(graph: &Graph) -> Vec<Option<usize>> {
    let mut last = vec![None; graph.values.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        graph.reads(node).for_each(|v| last[v.0 as usize] = Some(i));
    }
    graph.outputs.iter().for_each(|v| last[v.0 as usize] = Some(AFTER_ALL));
    // The next invocation reads it.
    graph.states.iter().for_each(|s| last[s.value.0 as usize] = Some(AFTER_ALL));
    last
}

fn last_changes(graph: &Graph) -> Vec<Option<usize>> {
    let mut last = vec![None; graph.values.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        node.writes().for_each(|v| last[v.0 as usize] = Some(i));
    }
    last
}

/// Alignment that a caller must give a tensor.
fn element_align(ty: &TensorType) -> u32 {
    (ty.element.bits().unwrap_or(8) / 8).max(1)
}

impl<'a> Context<'a> {
    /// Lowers the nodes of the graph; the problems that there are.
    fn lower_nodes(&mut self) -> Vec<Diagnostic> {
        let (graph, around) = (self.graph, (self.operator, self.spare_bytes));
        let mut problems = vec![];
        self.scope.spare_bytes = spare::Spare::of(graph, self.goal).by_node;
        for (here, node) in graph.nodes.iter().enumerate() {
            (self.scope.here, self.operator, self.spare_bytes) = (here, Some(node.operator), self.scope.spare_bytes[here]);
            counts::all_agree(self, node);
            if let Err(d) = node.op.lower(self, node) {
                problems.push(d.in_node(graph, node));
            }
        }
        (self.operator, self.spare_bytes) = around;
        problems
    }

    /// A body of the node that is being lowered.
    fn body(&self, number: usize) -> &'a Graph {
        &self.graph.nodes[self.scope.here].op.bodies()[number]
    }

    /// Does something with the values of another graph.
    fn within<T>(&mut self, graph: &'a Graph, scope: Scope, write: impl FnOnce(&mut Self) -> T) -> T {
        let outer = (std::mem::replace(&mut self.graph, graph), std::mem::replace(&mut self.scope, scope));
        let result = write(self);
        (self.graph, self.scope) = outer;
        result
    }

    /// What is written meanwhile, instead of at the end of the schedule.
    fn apart<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> (T, Vec<Step>) {
        let before = std::mem::take(&mut self.program.schedule);
        self.scope.depth += 1;
        let result = write(self);
        self.scope.depth -= 1;
        (result, std::mem::replace(&mut self.program.schedule, before))
    }

    /// What an earlier node made of a value by quantising it, if keeping that for so long, which takes so many bytes, makes no arena grow.
    fn quantized_before(&self, key: QuantizedKey, size_bytes: u64) -> Option<Quantized> {
        let &(q, at) = self.scope.quantized.get(&key).filter(|_| self.scope.depth == 0)?;
        self.scope.spare_bytes[at..self.scope.here].iter().all(|spare| size_bytes <= *spare).then_some(q)
    }

    /// Notes it for later nodes. What is in a state may change, and what a loop or a branch computes may be gone after it.
    fn note_quantized(&mut self, key: QuantizedKey, q: Quantized) {
        if self.scope.depth == 0 && !self.graph.is_state(key.0) {
            self.scope.quantized.insert(key, (q, self.scope.here));
        }
    }

    /// Appends a step.
    pub fn step(&mut self, step: Step) {
        self.program.schedule.push(step);
    }

    /// The bytes of `v` are in a buffer of the graph around this one.
    fn bind_outer(&mut self, v: ValueId, buffer: BufferId) {
        self.bind(v, buffer);
        let root = self.root(buffer);
        self.scope.outer.insert(root);
    }

    /// Where results of the graph should be: those that nodes compute, and each in one place.
    fn want(&mut self, wanted: &[(ValueId, BufferId)]) {
        let computed: BTreeSet<ValueId> = self.graph.nodes.iter().flat_map(|n| n.outputs.iter().copied()).collect();
        for &(v, buffer) in wanted.iter().filter(|(v, _)| computed.contains(v)) {
            self.scope.wanted.entry(v).or_insert(buffer);
        }
        let roots: Vec<BufferId> = wanted.iter().map(|(_, b)| self.root(*b)).collect();
        self.scope.outer.extend(roots);
    }

    fn root(&self, buffer: BufferId) -> BufferId {
        self.program.root(buffer).0
    }

    fn new_caller_buffer(&mut self, v: ValueId, role: Role) {
        let value = self.graph.value(v);
        let id = self.add_buffer(&value.name, role, value.ty.size_bytes() as u64, element_align(&value.ty));
        self.bind(v, id);
    }

    /// From now on the bytes of `v` are in `buffer`.
    fn bind(&mut self, v: ValueId, buffer: BufferId) {
        self.scope.buffers.insert(v, buffer);
        let root = self.program.root(buffer).0;
        let last_read = self.scope.holdings.entry(root).or_default();
        *last_read = self.scope.last_read[v.0 as usize].max(*last_read);
        let own = number_bytes(self.graph.ty(v));
        let known = self.number_bytes.entry(root).or_insert(Some(own));
        *known = known.filter(|known| *known == own);
    }

    /// Whether a later node reads the value, or whoever gets the results of the graph.
    pub fn is_needed_later(&self, v: ValueId) -> bool {
        self.scope.last_read[v.0 as usize].is_some_and(|at| self.scope.here < at)
    }
    pub fn is_output(&self, v: ValueId) -> bool {
        self.scope.last_read[v.0 as usize] == Some(AFTER_ALL)
    }
    pub fn is_input(&self, v: ValueId) -> bool {
        self.scope.is_input[v.0 as usize]
    }

    /// How often nodes and the outputs of the graph read a value.
    pub fn count_reads(&self, v: ValueId) -> u32 {
        let count = || {
            let mut reads = vec![0; self.graph.values.len()];
            let all = self.graph.nodes.iter().flat_map(Node::reads).chain(self.graph.outputs.iter().copied());
            all.for_each(|v| reads[v.0 as usize] += 1);
            reads
        };
        self.scope.reads.get_or_init(count)[v.0 as usize]
    }

    /// Whether what the node that is being lowered computes may become parts of rows: every access should stay in one row of it.
    pub fn is_joined_later(&self) -> bool {
        let mut node = &self.graph.nodes[self.scope.here];
        loop {
            let last = node.outputs.first().and_then(|v| self.scope.last_read[v.0 as usize]);
            let Some(reader) = last.and_then(|at| self.graph.nodes.get(at)) else { return false };
            match reader.op.channels(&self.graph.signature(reader)) {
                Channels::Joined => return true,
                Channels::View => node = reader,
                _ => return false,
            }
        }
    }

    /// Whether a later node changes a state.
    pub fn changes_later(&self, state: ValueId) -> bool {
        self.scope.last_change[state.0 as usize].is_some_and(|at| self.scope.here < at)
    }

    fn add_buffer(&mut self, name: &str, role: Role, size_bytes: u64, align: u32) -> BufferId {
        self.program.buffers.push(Buffer { name: name.into(), role, size_bytes, align, data: None, view: None, offset_bytes: None });
        BufferId(self.program.buffers.len() as u32 - 1)
    }

    /// Notes that the node rescales so many channels in this form.
    pub fn note_rescaling(&mut self, form: &'static str, channels: usize) {
        self.rescalings.extend(self.operator.map(|operator| Rescaled { operator, form, channels: channels as u64 }));
    }

    /// Type of a node's input that must be present.
    pub fn input_type(&self, node: &Node, index: usize) -> &'a TensorType {
        self.graph.ty(node.input(index).expect("a required input, checked by infer"))
    }
    /// Type of the result of a node's operator, before what becomes of it.
    pub fn own_type(&self, node: &'a Node) -> &'a TensorType {
        node.then.first().map_or(self.output_type(node, 0), |t| &t.from)
    }
    pub fn output_type(&self, node: &Node, index: usize) -> &'a TensorType {
        self.graph.ty(node.outputs[index])
    }
    /// Bytes of a node's input if it is a constant.
    pub fn constant_input(&self, node: &Node, index: usize) -> Option<&'a Bytes> {
        self.graph.value(node.input(index)?).data.as_ref()
    }
    /// The problem of an operand that is packed when the model is compiled, and is no constant.
    pub fn not_constant(&self, node: &Node, index: usize, what: &str) -> Diagnostic {
        let all = self.scope.computed.get_or_init(|| self.graph.computed_from_constants());
        let computed = node.input(index).is_some_and(|v| all[v.0 as usize]);
        let d = match computed {
            true => Folding::exceeded(what),
            false => Diagnostic::new(Code::CONSTANT, format!("{what} must be a constant"))
                .help("store it in the model; here it cannot be computed at run time yet"),
        };
        d.detail(format!("input {index}"))
    }
    pub fn input(&mut self, node: &Node, index: usize) -> BufferId {
        self.buffer(node.input(index).expect("a required input, checked by infer"))
    }
    pub fn output(&mut self, node: &Node, index: usize) -> BufferId {
        self.buffer(node.outputs[index])
    }

    /// The buffer that holds a value: the caller's, a constant's, or one in the arena.
    pub fn buffer(&mut self, v: ValueId) -> BufferId {
        if let Some(&b) = self.scope.buffers.get(&v) {
            return b;
        }
        if let Some(&wanted) = self.scope.wanted.get(&v)
            && self.scope.holdings.get(&self.root(wanted)).is_none_or(|last| last.is_none_or(|at| at < self.scope.here))
        {
            self.bind(v, wanted);
            return wanted;
        }
        let value = self.graph.value(v);
        let id = match &value.data {
            Some(data) => self.constant(&value.name, data.clone(), 64),
            None => self.scratch(&value.name, value.ty.size_bytes() as u64),
        };
        self.bind(v, id);
        id
    }

    /// Makes `v` another name for the bytes of `of`; false when that cannot be (the value already has a buffer, such as the
    /// caller's output) and the bytes must be copied.
    pub fn alias(&mut self, v: ValueId, of: ValueId) -> bool {
        if self.scope.buffers.contains_key(&v) {
            return false;
        }
        let b = self.buffer(of);
        self.bind(v, b);
        true
    }

    /// As `alias`, for the bytes from `offset_bytes` on.
    pub fn alias_part(&mut self, v: ValueId, of: ValueId, offset_bytes: usize) -> bool {
        if self.scope.buffers.contains_key(&v) {
            return false;
        }
        let (parent, value) = (self.buffer(of), self.graph.value(v));
        let b = match value.ty.size_bytes() as u64 {
            all if all == self.size_bytes(parent) => parent,
            part => self.view(&value.name, parent, offset_bytes as u64, part),
        };
        self.bind(v, b);
        true
    }

    /// Whether the bytes of `v` are in the arena, whole, and neither what `node` itself is computed from nor what anybody needs later.
    fn is_free_after(&self, node: &Node, v: ValueId) -> bool {
        let Some(&buffer) = self.scope.buffers.get(&v) else { return false };
        self.is_last_read(node, buffer) && !node.inputs.iter().flatten().any(|w| self.shares(*w, buffer))
    }

    /// Whether a node may change a buffer that it reads, because nobody needs what is there: of the arena's, and of a body's those of its operands that
    /// change.
    pub fn may_overwrite(&self, node: &Node, buffer: BufferId) -> bool {
        let is_place = self.scope.wanted.values().any(|b| *b == buffer) && self.program.buffer(buffer).view.is_none();
        let reads = node.reads().filter(|w| self.shares(*w, buffer)).count();
        self.is_last_read(node, buffer) || is_place && reads == 1 && !self.is_read_later(buffer)
    }

    /// Whether a buffer is in the arena, whole, read once by `node`, and nobody needs anything of it later.
    pub fn is_last_read(&self, node: &Node, buffer: BufferId) -> bool {
        let b = self.program.buffer(buffer);
        b.role == Role::Scratch
            && b.view.is_none()
            && !self.scope.outer.contains(&buffer)
            && node.reads().filter(|w| self.shares(*w, buffer)).count() == 1
            && !self.is_read_later(buffer)
    }

    /// Whether a later node, or the caller, reads anything of a buffer that owns its own bytes.
    pub fn is_read_later(&self, buffer: BufferId) -> bool {
        self.scope.holdings.get(&buffer).is_some_and(|last| last.is_some_and(|at| self.scope.here < at))
    }

    /// Whether the bytes of `v` are among those of a buffer that owns its own.
    fn shares(&self, v: ValueId, buffer: BufferId) -> bool {
        self.scope.buffers.get(&v).is_some_and(|&b| self.program.root(b).0 == buffer)
    }

    pub fn size_bytes(&self, buffer: BufferId) -> u64 {
        self.program.buffer(buffer).size_bytes
    }

    /// Bytes in the arena that live from the first to the last call that names them.
    pub fn scratch(&mut self, name: &str, size_bytes: u64) -> BufferId {
        // The largest alignment, up to a vector's, whose rounding costs a tenth of the bytes at most.
        let fits = |align: &u32| size_bytes.next_multiple_of(u64::from(*align)) * 10 <= size_bytes * 11;
        let align = std::iter::successors(Some(self.align), |a| Some(a / 2)).find(|a| *a <= 8 || fits(a)).unwrap_or(8);
        self.add_buffer(name, Role::Scratch, size_bytes, align)
    }

    /// Part of another buffer.
    pub fn view(&mut self, name: &str, parent: BufferId, offset_bytes: u64, size_bytes: u64) -> BufferId {
        let role = self.program.buffer(parent).role;
        let id = self.add_buffer(name, role, size_bytes, 1);
        self.program.buffers[id.0 as usize].view = Some(View { parent, offset_bytes });
        id
    }

    /// The most that constants are aligned to: a cache line, or what short vectors want.
    fn constant_align(&self) -> u32 {
        if self.goal == Goal::Size { 16 } else { 64 }
    }

    /// Constant bytes; the same bytes twice are one buffer.
    pub fn constant(&mut self, name: &str, data: impl Into<Bytes>, align: u32) -> BufferId {
        let data: Bytes = data.into();
        let align = align.min(self.constant_align());
        let mut hasher = DefaultHasher::new();
        (align, &data).hash(&mut hasher);
        let found = self.constants.entry(hasher.finish()).or_default();
        if let Some(&id) = found.iter().find(|id| {
            let b = &self.program.buffers[id.0 as usize];
            b.align == align && b.data.as_ref() == Some(&data)
        }) {
            return id;
        }
        let id = BufferId(self.program.buffers.len() as u32);
        found.push(id);
        self.program.buffers.push(Buffer {
            name: name.into(),
            role: Role::Const,
            size_bytes: data.len() as u64,
            align,
            data: Some(data),
            view: None,
            offset_bytes: None,
        });
        id
    }

    /// At least so many bytes that are all the same: what lies outside of images. One constant per byte serves the whole program.
    pub fn fill(&mut self, byte: u8, size_bytes: usize) -> BufferId {
        let id = match self.fills.get(&byte) {
            Some(&id) => id,
            None => {
                let id = self.add_buffer(&format!("fill_{byte:02x}"), Role::Const, 0, self.constant_align());
                self.fills.insert(byte, id);
                id
            }
        };
        let buffer = &mut self.program.buffers[id.0 as usize];
        if buffer.size_bytes < size_bytes as u64 {
            buffer.size_bytes = size_bytes as u64;
            buffer.data = Some(vec![byte; size_bytes].into());
        }
        id
    }

    /// Little-endian bytes of 32-bit integers as a constant.
    pub fn constant_i32(&mut self, name: &str, values: &[i32]) -> BufferId {
        self.constant(name, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>(), 64)
    }
    pub fn constant_f32(&mut self, name: &str, values: &[f32]) -> BufferId {
        self.constant(name, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>(), 64)
    }

    /// Appends a call of `kernel`; a kernel with the same code as an earlier one is not added again.
    pub fn call(&mut self, kernel: Kernel, buffers: &[BufferId], params: &[i64]) {
        assert_eq!(kernel.args.len(), buffers.len(), "arguments of kernel {}", kernel.name);
        assert_eq!(kernel.params.len(), params.len(), "parameters of kernel {}", kernel.name);
        self.call_advancing(kernel, buffers, params, &[]);
    }

    /// The same, with what each turn of the innermost `repeat` adds to the parameters.
    pub fn call_advancing(&mut self, kernel: Kernel, buffers: &[BufferId], params: &[i64], advance: &[i64]) {
        let (mut buffers, mut params, mut advance) = (buffers.to_vec(), params.to_vec(), advance.to_vec());
        if advance.iter().all(|a| *a == 0) {
            advance.clear();
        }
        let moving: Vec<usize> = (0..buffers.len()).filter(|&i| self.moving.contains_key(&buffers[i])).collect();
        let kernel = match moving[..] {
            [] => kernel,
            _ => moving::with_offsets(&kernel, &moving.iter().map(|&i| Arg(i as u32)).collect::<Vec<_>>()),
        };
        for i in moving {
            let view = self.program.buffer(buffers[i]).view.expect("a view");
            advance.resize(params.len(), 0);
            advance.push(self.moving[&buffers[i]]);
            params.push(view.offset_bytes as i64);
            buffers[i] = view.parent;
        }
        let kernel = self.kernel(kernel);
        self.program.schedule.push(Step::Call(Call { kernel, buffers, params, advance, operator: self.operator }));
    }

    /// The calls that `write` makes, so many times.
    pub fn repeat(&mut self, count: usize, write: impl FnOnce(&mut Self) -> Result<(), Diagnostic>) -> Result<(), Diagnostic> {
        let (written, body) = self.apart(write);
        if 0 < count && !body.is_empty() {
            self.program.schedule.push(Step::Repeat { count: count as u64, body });
        }
        written
    }

    /// Part of another buffer that is further on by `step_bytes` in every turn of the innermost `repeat`; for calls in that alone.
    pub fn moving(&mut self, name: &str, parent: BufferId, offset_bytes: u64, size_bytes: u64, step_bytes: i64) -> BufferId {
        let view = self.view(name, parent, offset_bytes, size_bytes);
        self.moving.insert(view, step_bytes);
        view
    }

    /// Notes that the last call copies a part of every row of an array to `to`, and nothing else.
    fn note_row_copy(&mut self, to: BufferId, rows: Rows) {
        if self.scope.depth == 0 {
            let of = self.program.buffer(rows.of).view;
            self.row_copies.push(RowCopy { step: self.program.schedule.len() - 1, to, rows, of });
        }
    }

    /// Ends the invocation here unless the word in `status` is 0.
    pub fn check(&mut self, status: BufferId) {
        self.program.schedule.push(Step::Check(status));
    }

    fn kernel(&mut self, mut kernel: Kernel) -> KernelId {
        let mut hasher = DefaultHasher::new();
        kernel.body.hash(&mut hasher);
        let found = self.kernels.entry(hasher.finish()).or_default();
        if let Some(&id) = found.iter().find(|id| self.program.kernels[id.0 as usize].same_code(&kernel)) {
            return id;
        }
        let id = KernelId(self.program.kernels.len() as u32);
        found.push(id);
        kernel.shrink_to_fit();
        self.program.kernels.push(kernel);
        id
    }
}
