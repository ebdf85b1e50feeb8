//! The neon emitter: a tile kernel becomes AArch64 machine code whose instructions are scheduled for a named core.
//!
//! Not Cranelift, which has no schedule and lacks the instructions that products live on: by element, accumulating pairs, rounding shifts. The ideas: every value
//! lies in vector registers of 16 bytes, scalars in the lowest lane, and what lies beyond a value's bytes has no meaning; instructions are data with virtual
//! registers (`inst.rs`), put into an order for the core (`schedule.rs`), given registers and encoded (`encode.rs`) by a table of forms (`forms.rs`). A kernel with
//! something that is not done here is left to the clif emitter as a whole: the text means the same.

mod convert;
pub mod cores;
pub mod encode;
pub mod forms;
mod hoist;
pub mod inst;
pub mod kind;
mod lanes;
mod loops;
mod memory;
mod ops;
mod products;
pub mod schedule;
pub mod scoreboard;
mod split;

use crate::addresses::{CounterValue, PointerKey};
use crate::alloc::{self, Class, Virtual};
use crate::facts::Facts;
use crate::floats;
use cranelite_tile::{Base, Counter, Kernel, Op, Type, Value};
pub use encode::Code;
use forms::{Arrangement, Form};
use inst::{Inst, Label, Touched};
use memory::Mem;
use std::collections::{BTreeMap, BTreeSet};

/// Which instructions there are beyond the baseline, and for which core they are put in order.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// SDOT and UDOT.
    pub dotprod: bool,
    /// USDOT, SMMLA.
    pub i8mm: bool,
    pub core: &'static cores::Core,
    /// Nobody but that core matters: else nothing is done for it that would cost others.
    pub is_tuned: bool,
}

/// Why a kernel is left to the clif emitter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel {kernel}: {what}")]
pub struct Refused {
    pub kernel: String,
    pub what: String,
}

pub fn emit(kernel: &Kernel, features: Features) -> Result<Code, Refused> {
    emit_in_order(kernel, features, |insts, classes| schedule::schedule(insts, classes, features.core, encode::REGISTERS, encode::spills))
}

/// The same function in the order in which instructions are selected: what the schedule is measured against.
pub fn emit_unscheduled(kernel: &Kernel, features: Features) -> Result<Code, Refused> {
    emit_in_order(kernel, features, |insts, _| insts)
}

fn emit_in_order(kernel: &Kernel, features: Features, order: impl Fn(Vec<Inst>, &mut Vec<Class>) -> Vec<Inst>) -> Result<Code, Refused> {
    let refused = |what: String| Refused { kernel: kernel.name.clone(), what };
    // What is kept to be used again takes registers: not where that many are not there.
    let mut chosen = selected(kernel, features, true).map_err(refused)?;
    let spills = chosen.slots();
    if 0 < spills {
        let other = selected(kernel, features, false).map_err(refused)?;
        if other.slots() < spills {
            chosen = other;
        }
    }
    let Selected { insts, mut classes, pool } = chosen;
    let mut insts = hoisted(insts, &classes);
    if features.is_tuned {
        let slots = encode::slots(&insts, &classes, encode::REGISTERS);
        let split = split::split_loads(insts.clone(), &mut classes, features.core);
        if encode::slots(&split, &classes, encode::REGISTERS) <= slots {
            insts = split;
        }
    }
    let insts = order(insts, &mut classes);
    encode::encode(insts, &classes, kernel.args.len() + kernel.params.len(), &pool).map_err(refused)
}

/// A kernel's instructions before they are put in order.
struct Selected {
    insts: Vec<Inst>,
    classes: Vec<Class>,
    pool: Vec<(Label, Vec<u8>)>,
}

impl Selected {
    fn slots(&self) -> u32 {
        encode::slots(&self.insts, &self.classes, encode::REGISTERS)
    }
}

fn selected(kernel: &Kernel, features: Features, reuses: bool) -> Result<Selected, String> {
    let Facts { use_counts: uses, indices: clamped, .. } = Facts::of(kernel);
    let mut e = Emitter {
        kernel,
        features,
        insts: vec![],
        reuses,
        classes: vec![],
        values: vec![vec![]; kernel.types.len()],
        params: vec![],
        counters: vec![None; kernel.counters.len()],
        pointers: vec![BTreeMap::new()],
        by_element: products::by_element(kernel, features.dotprod, &uses),
        clamped,
        uses,
        definitions: floats::definitions(kernel),
        delayed: BTreeMap::new(),
        available: vec![BTreeMap::new()],
        read_counters: BTreeSet::new(),
        pool: vec![],
        labels: 0,
        error: None,
    };
    e.function();
    match e.error {
        Some(what) => Err(what),
        None => Ok(Selected { insts: encode::sweep(e.insts, &e.classes), classes: e.classes, pool: e.pool }),
    }
}

/// As much as possible done before the loops, without more values in the frame.
fn hoisted(insts: Vec<Inst>, classes: &[Class]) -> Vec<Inst> {
    let before = encode::slots(&insts, classes, encode::REGISTERS);
    // From innermost loops; then from others, whose values live through those, and must leave them registers to load into ahead of use.
    let inner = most(insts, classes, true, |some| encode::slots(some, classes, encode::REGISTERS) <= before);
    let fewer = alloc::Registers { vector: encode::REGISTERS.vector - ROOM, ..encode::REGISTERS };
    let tight = encode::slots(&inner, classes, fewer);
    most(inner, classes, false, |some| encode::slots(some, classes, fewer) <= tight)
}

/// Vector registers for what an innermost loop loads.
const ROOM: u8 = 6;

/// Moves the largest number of instructions that is allowed.
fn most(insts: Vec<Inst>, classes: &[Class], innermost: bool, is_allowed: impl Fn(&[Inst]) -> bool) -> Vec<Inst> {
    let (all, count) = hoist::hoist(&insts, classes.len(), usize::MAX, innermost);
    if count == 0 || is_allowed(&all) {
        return all;
    }
    let (mut best, mut low, mut high) = (insts.clone(), 0, count);
    while low + 1 < high {
        let middle = (low + high) / 2;
        let (some, _) = hoist::hoist(&insts, classes.len(), middle, innermost);
        if is_allowed(&some) {
            (best, low) = (some, middle);
        } else {
            high = middle;
        }
    }
    best
}

struct Emitter<'a> {
    kernel: &'a Kernel,
    features: Features,
    insts: Vec<Inst>,
    /// Whether what was loaded once is kept for the next who wants it.
    reuses: bool,
    classes: Vec<Class>,
    /// Pieces of 16 bytes of every tile value, once defined.
    values: Vec<Vec<Virtual>>,
    params: Vec<Virtual>,
    counters: Vec<Option<CounterValue>>,
    /// Per open loop, outermost first: the pointers to `base[index]`; indices have no constant part.
    pointers: Vec<BTreeMap<(Base, PointerKey), Virtual>>,
    /// How often each value is read.
    uses: Vec<u32>,
    /// Groups that are loaded for nothing but products by element.
    by_element: BTreeSet<Value>,
    /// Values that become indices.
    clamped: BTreeSet<Value>,
    /// The operation that defines each value, if one does.
    definitions: Vec<Option<&'a Op>>,
    /// Values that their readers make: loads of a group for one lane, parts of larger patterns.
    delayed: BTreeMap<Value, Delayed>,
    /// Per open loop, outermost first: constants, and what was loaded from memory that nobody writes.
    available: Vec<BTreeMap<Known, Virtual>>,
    /// Indices that come from memory.
    read_counters: BTreeSet<Counter>,
    pool: Vec<(Label, Vec<u8>)>,
    labels: u32,
    /// The first thing that could not be done.
    error: Option<String>,
}

/// A vector that is known by where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Constant([u8; 16]),
    /// So many bytes at an offset from the register.
    Loaded(Virtual, i64, u32),
    /// The same, in all lanes.
    Repeated(Virtual, i64, u32),
}

/// A value that is not in registers yet.
#[derive(Clone, Debug)]
enum Delayed {
    /// A group of elements that repeats: at the bottom of a register, for products by element.
    Group(Virtual),
    /// An element that becomes an index.
    Index(Mem),
}

/// Registers that a value of this type is held in.
fn piece_count(ty: Type) -> usize {
    (ty.bytes() as usize).div_ceil(16)
}

impl<'a> Emitter<'a> {
    fn fail(&mut self, what: impl Into<String>) {
        self.error.get_or_insert(what.into());
    }

    fn ty(&self, v: Value) -> Type {
        self.kernel.ty(v)
    }

    /// The operation that defines `v`.
    fn definition(&self, v: Value) -> Option<&'a Op> {
        self.definitions[v.0 as usize]
    }

    fn vector(&mut self) -> Virtual {
        self.fresh(Class::Vector)
    }

    fn general(&mut self) -> Virtual {
        self.fresh(Class::General)
    }

    fn fresh(&mut self, class: Class) -> Virtual {
        self.classes.push(class);
        Virtual(self.classes.len() as u32 - 1)
    }

    fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    fn pieces(&mut self, v: Value) -> Vec<Virtual> {
        match self.delayed.get(&v) {
            Some(Delayed::Group(group)) => {
                let (group, ty) = (*group, self.ty(v));
                let bytes = self.group_bytes(v);
                let all = self.repeated(group, bytes);
                self.values[v.0 as usize] = vec![all; piece_count(ty)];
                self.delayed.remove(&v);
            }
            Some(Delayed::Index(mem)) => {
                let (mem, ty) = (*mem, self.ty(v));
                self.values[v.0 as usize] = vec![self.load_bytes(mem, ty.bytes())];
                self.delayed.remove(&v);
            }
            None => {}
        }
        self.values[v.0 as usize].clone()
    }

    /// One instruction.
    fn put(&mut self, form: &'static Form, arrangement: Arrangement, registers: &[Virtual], numbers: &[i64]) {
        // Some forms have no choice.
        let arrangement = if let [only] = form.arrangements { *only } else { arrangement };
        self.insts.push(Inst::Op {
            form,
            arrangement,
            registers: registers.to_vec(),
            numbers: numbers.to_vec(),
            label: None,
            touched: None,
        });
    }

    /// One that touches memory.
    fn touch(&mut self, form: &'static Form, registers: &[Virtual], numbers: &[i64], touched: Touched) {
        let (registers, numbers) = (registers.to_vec(), numbers.to_vec());
        self.insts.push(Inst::Op { form, arrangement: Arrangement::None, registers, numbers, label: None, touched: Some(touched) });
    }

    /// One that refers to a place in the code.
    fn refer(&mut self, form: &'static Form, registers: &[Virtual], numbers: &[i64], label: Label) {
        let (registers, numbers) = (registers.to_vec(), numbers.to_vec());
        self.insts.push(Inst::Op { form, arrangement: Arrangement::None, registers, numbers, label: Some(label), touched: None });
    }

    /// A vector instruction with a result of its own.
    fn vec(&mut self, form: &'static Form, arrangement: Arrangement, sources: &[Virtual], numbers: &[i64]) -> Virtual {
        let d = self.vector();
        let registers: Vec<Virtual> = std::iter::once(d).chain(sources.iter().copied()).collect();
        self.put(form, arrangement, &registers, numbers);
        d
    }

    /// A vector instruction that changes its first operand: a copy of `changed` is.
    fn change(&mut self, form: &'static Form, arrangement: Arrangement, changed: Virtual, sources: &[Virtual], numbers: &[i64]) -> Virtual {
        let d = self.copy(changed);
        let registers: Vec<Virtual> = std::iter::once(d).chain(sources.iter().copied()).collect();
        self.put(form, arrangement, &registers, numbers);
        d
    }

    /// A general instruction with a result of its own.
    fn gen_op(&mut self, form: &'static Form, sources: &[Virtual], numbers: &[i64]) -> Virtual {
        let d = self.general();
        let registers: Vec<Virtual> = std::iter::once(d).chain(sources.iter().copied()).collect();
        self.put(form, Arrangement::None, &registers, numbers);
        d
    }

    fn copy(&mut self, v: Virtual) -> Virtual {
        let d = self.fresh(self.classes[v.0 as usize]);
        self.move_to(d, v);
        d
    }

    fn move_to(&mut self, to: Virtual, from: Virtual) {
        if to != from {
            self.insts.push(Inst::Move { to, from });
        }
    }

    fn function(&mut self) {
        let (args, params) = (self.kernel.args.len(), self.kernel.params.len());
        for i in 0..args + params {
            let v = self.general();
            self.insts.push(Inst::Argument { to: v, index: i });
            if i < args {
                let base = Base::Arg(cranelite_tile::Arg(i as u32));
                self.pointers[0].insert((base, vec![]), v);
            } else {
                self.params.push(v);
            }
        }
        let kernel = self.kernel;
        self.stmts(&kernel.body);
    }
}
