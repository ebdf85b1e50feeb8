//! Constants that stay packed: of at most sixteen numbers, four bits each, which whatever reads them looks up in a register; or floats that are all half floats, which
//! become longer when they are loaded.
//!
//! Not how kernels are changed, which is `rewrite.rs`. Nothing is decoded ahead, so this takes neither memory nor a call. The ideas: it is a change of kernels that were written for the numbers themselves, so every product has it that
//! loads weights as whole vectors; a unit is one vector or two that follow each other, its first half in the low bits of bytes and its second half in the high bits,
//! so that lanes need no shuffle; and two vectors of one unit share the load. Numbers of 16 bits that are no more than four bits with a sign need no table: they are shifted
//! down from where they are. Half floats are read by any load of consecutive numbers, each being half as far from the beginning;
//! they stay so where the machine has an instruction for them. A number for all lanes would have to be converted in all of them, where products take it from memory as it is.

use super::LEAST_BYTES;
use super::form::{ENTRIES, HALVES, Inside, InsideForm, InsideMeans};
use super::half;
use super::rewrite::Rewriter;
use crate::cost;
use crate::index::{Counter, Index, Monomial, Param};
use crate::machine::Machine;
use crate::program::*;
use crate::types::{Elem, Type};
use bytes::Bytes;
use std::collections::BTreeMap;

/// By what they were.
pub type Kept = BTreeMap<Bytes, Inside>;

/// What a kernel loads from an argument at once.
struct Vector<'a> {
    ty: Type,
    at: &'a Index,
    /// How often in one call.
    times: u64,
    /// It becomes a vector of numbers of 16 bits at once, and is read by nothing else.
    is_widened: bool,
}

fn widens(kernel: &Kernel, v: Value, s: &Stmt) -> bool {
    matches!(s, Stmt::Let(wide, Op::Widen(a)) if *a == v && kernel.ty(*wide).elem == Elem::I16)
}

/// How often a value is read.
fn uses(v: Value, stmts: &[Stmt]) -> usize {
    let of = |s: &Stmt| match s {
        Stmt::Let(_, op) => op.operands().iter().filter(|o| **o == v).count(),
        Stmt::Store { value, .. } | Stmt::Clamp { value, .. } => usize::from(*value == v),
        Stmt::Loop(l) => l.carried.iter().map(|c| [c.init, c.next].iter().filter(|o| **o == v).count()).sum::<usize>() + uses(v, &l.body),
        Stmt::Prefetch(_) | Stmt::Row { .. } | Stmt::Split { .. } => 0,
    };
    stmts.iter().map(of).sum()
}

/// What a kernel does with an argument; `None`: something else than loading vectors, or consecutive floats.
fn vectors<'a>(kernel: &'a Kernel, arg: Arg, params: &[i64]) -> Option<(Vec<Vector<'a>>, BTreeMap<Counter, i64>)> {
    fn walk<'a>(
        kernel: &'a Kernel,
        of: (Arg, &[i64]),
        stmts: &'a [Stmt],
        times: u64,
        found: &mut (Vec<Vector<'a>>, BTreeMap<Counter, i64>),
    ) -> Option<()> {
        let is_of = |place: &Place| place.base == Base::Arg(of.0);
        for (i, s) in stmts.iter().enumerate() {
            match s {
                Stmt::Let(v, Op::Load { place, count: None }) if is_of(place) => {
                    let is_widened = stmts.get(i + 1).is_some_and(|next| widens(kernel, *v, next)) && uses(*v, &kernel.body) == 1;
                    found.0.push(Vector { ty: kernel.ty(*v), at: &place.at, times, is_widened })
                }
                Stmt::Let(v, Op::Load { place, .. }) if is_of(place) && kernel.ty(*v).elem == Elem::F32 => {
                    found.0.push(Vector { ty: kernel.ty(*v), at: &place.at, times, is_widened: false })
                }
                Stmt::Let(_, op) if op.place().is_some_and(is_of) => return None,
                Stmt::Store { place, .. } if is_of(place) => return None,
                Stmt::Row { arg, fill, .. } if *arg == of.0 || *fill == of.0 => return None,
                Stmt::Loop(l) => {
                    found.1.insert(l.counter, l.step);
                    walk(kernel, of, &l.body, times.saturating_mul(cost::iterations(l, of.1)), found)?;
                }
                _ => {}
            }
        }
        Some(())
    }
    let mut found = (vec![], BTreeMap::new());
    kernel.foreign.is_none().then_some(())?;
    walk(kernel, (arg, params), &kernel.body, 1, &mut found)?;
    Some(found)
}

/// How a call reads a constant.
struct Use {
    elem: Elem,
    lanes: usize,
    /// The first and the second vector of every unit of two are loaded by different statements.
    is_paired: bool,
    /// All vectors are.
    is_widened: bool,
    /// Of each load, in the order of the text: its distance from the beginning of the constant, in vectors of the form, without what varies.
    places: Vec<i64>,
    loaded: u64,
}

impl Use {
    fn of(kernel: &Kernel, arg: Arg, call: &Call) -> Option<Use> {
        let (vectors, steps) = vectors(kernel, arg, &call.params)?;
        let ty = vectors.first()?.ty;
        let own = match ty.elem {
            Elem::F32 if vectors.iter().all(|v| v.ty.elem == Elem::F32) => HALVES,
            Elem::I8 | Elem::U8 | Elem::I16 if ty.lanes.is_multiple_of(8) && vectors.iter().all(|v| v.ty == ty) => {
                InsideForm { elem: ty.elem, lanes: ty.lanes as usize, vectors: 1, means: InsideMeans::Entry }
            }
            _ => return None,
        };
        let (mut is_paired, mut places, mut loaded) = (true, vec![], 0u64);
        for v in &vectors {
            let mut first = 0i64;
            for t in v.at.terms() {
                // Where divided indices have whole coefficients, or whole parameters.
                let is_single = t.counter.is_none() && t.params.len() == 1;
                let param = t.params.first().map(|p| call.params[p.0 as usize]);
                if t.coefficient % own.ratio() != 0 && !param.is_some_and(|p| is_single && p % own.ratio() == 0) && !is_number(t) {
                    return None;
                }
                if t.params.iter().any(|p| call.advance.get(p.0 as usize).is_some_and(|a| *a != 0)) {
                    return None;
                }
                let value = t.params.iter().try_fold(t.coefficient, |v, p| v.checked_mul(call.params[p.0 as usize]))?;
                match t.counter {
                    None => first = first.checked_add(value)?,
                    Some(c) => {
                        let stride = value.checked_mul(steps.get(&c).copied().unwrap_or(1))?;
                        (stride % own.vector_bytes() == 0).then_some(())?;
                        is_paired &= stride % (2 * own.vector_bytes()) == 0;
                    }
                }
            }
            (0 <= first && first % own.vector_bytes() == 0).then_some(())?;
            places.push(first / own.vector_bytes());
            loaded = loaded.saturating_add(v.times.saturating_mul(v.ty.bytes().into()));
        }
        let is_widened = vectors.iter().all(|v| v.is_widened);
        Some(Use { elem: ty.elem, lanes: own.lanes, is_paired, is_widened, places, loaded })
    }

    /// Of each load, whether it is the second vector of its unit.
    fn seconds(&self, form: InsideForm) -> Vec<bool> {
        self.places.iter().map(|p| form.vectors == 2 && p % 2 == 1).collect()
    }
}

pub(super) fn is_number(t: &Monomial) -> bool {
    t.counter.is_none() && t.params.is_empty()
}

/// Of a constant: how each call reads it, by which argument, and how often the call comes.
type Uses<'a> = Vec<(Use, &'a Call, Arg, u64)>;

/// Before kernels are looked at, which takes longer.
fn may_stay(data: &[u8], machine: &Machine) -> bool {
    has_few_bytes(data) || machine.half_floats && half::pack(data).is_some()
}

/// Of numbers of 8 bits that are not too many, or of 16 bits whose high bytes only tell the sign.
fn has_few_bytes(data: &[u8]) -> bool {
    let (mut seen, mut count) = ([false; 256], 0);
    data.iter().all(|b| {
        count += usize::from(!std::mem::replace(&mut seen[usize::from(*b)], true));
        count <= ENTRIES + 2
    })
}

/// The constants of a program that can stay packed, by what they are; `None` of those that it reads in another way.
fn of_program(program: &Program, machine: &Machine) -> BTreeMap<Bytes, Option<Inside>> {
    let line = Line::of(&program.schedule);
    let mut uses: BTreeMap<Bytes, Option<Uses>> = BTreeMap::new();
    let mut few: BTreeMap<BufferId, bool> = BTreeMap::new();
    let mut data = |b: BufferId| {
        let (root, offset) = program.root(b);
        let buffer = program.buffer(root);
        let is_large = buffer.role == Role::Const && LEAST_BYTES <= buffer.size_bytes;
        let data = buffer.data.clone().filter(|_| is_large)?;
        few.entry(root).or_insert_with(|| may_stay(&data, machine)).then_some((data, offset))
    };
    for m in &line.moments {
        if let Some((data, _)) = m.looks_at.and_then(&mut data) {
            uses.insert(data, None);
        }
        for call in m.calls {
            for (arg, &b) in call.buffers.iter().enumerate() {
                let Some((data, offset)) = data(b) else { continue };
                let known = uses.entry(data).or_insert_with(|| Some(vec![]));
                let arg = Arg(arg as u32);
                let own = (offset == 0).then(|| Use::of(program.kernel(call.kernel), arg, call)).flatten();
                match (known.as_mut(), own) {
                    (Some(all), Some(own)) => all.push((own, call, arg, m.turns)),
                    _ => *known = None,
                }
            }
        }
    }
    let packed = |data: &Bytes, all: Uses| {
        let first = &all.first()?.0;
        let is_paired = all.iter().all(|u| u.0.is_paired);
        if all.iter().any(|(u, ..)| u.elem != first.elem || u.lanes != first.lanes) {
            return None;
        }
        let tables = ENTRIES as u32 <= machine.permutes.bytes;
        let wide = first.elem == Elem::I16 || all.iter().all(|u| u.0.is_widened);
        let mut packed = match first.elem {
            Elem::F32 => machine.half_floats.then(|| Inside::of_halves(data)).flatten()?,
            elem => Inside::of(data, elem, first.lanes, if is_paired { 2 } else { 1 }, tables, wide)?,
        };
        let form = packed.form;
        (packed.packed_bytes() * 2 <= data.len() as u64 + 2 * ENTRIES as u64 + 64).then_some(())?;
        let mut loaded = 0u64;
        for (own, call, arg, turns) in all {
            let kernel = program.kernel(call.kernel);
            let (new, halved) = Rewriter::rewrite(kernel, arg, form, &own.seconds(form));
            let params = with_halved(&call.params, &halved, form);
            let of = |k: &Kernel, params: &[i64]| cost::of_block(k, params, &k.body);
            let added = of(&new, &params).saturating_sub(of(kernel, &call.params));
            packed.added_cost = packed.added_cost.saturating_add(added.saturating_mul(turns));
            loaded = loaded.saturating_add(own.loaded.saturating_mul(turns));
        }
        packed.loads = loaded.div_ceil(data.len() as u64);
        Some(packed)
    };
    uses.into_iter().map(|(data, all)| (data.clone(), all.and_then(|all| packed(&data, all)))).collect()
}

fn with_halved(params: &[i64], halved: &[Param], form: InsideForm) -> Vec<i64> {
    let new = halved.iter().map(|p| params[p.0 as usize] / form.ratio());
    params.iter().copied().chain(new).collect()
}

/// The constants that can stay packed in all programs which read them.
pub fn possible(programs: &[(&Program, &Machine)]) -> Kept {
    let mut all: BTreeMap<Bytes, Option<Inside>> = BTreeMap::new();
    for (program, machine) in programs {
        for (data, own) in of_program(program, machine) {
            let Some(known) = all.get_mut(&data) else {
                all.insert(data, own);
                continue;
            };
            *known = match (known.take(), own) {
                (Some(a), Some(b)) if a.form == b.form => {
                    Some(Inside { added_cost: a.added_cost.max(b.added_cost), loads: a.loads.max(b.loads), ..a })
                }
                // Another program's calls may not know the second vectors of units.
                (Some(a), Some(b)) if a.form == (InsideForm { vectors: a.form.vectors, ..b.form }) => {
                    Some(if a.form.vectors == 1 { a } else { b })
                }
                _ => None,
            };
        }
    }
    all.into_iter().filter_map(|(data, n)| Some((data, n?))).collect()
}

/// What decides about a kernel that is written anew: which it was, which argument is packed and how, and which loads have second vectors of units.
type Changed = (KernelId, u32, InsideForm, Vec<bool>);

/// Replaces those constants, and the kernels that read them.
pub fn keep_packed(program: &mut Program, chosen: &Kept) {
    let mut constants: BTreeMap<Vec<u8>, BufferId> = BTreeMap::new();
    let mut kernels: BTreeMap<Changed, (KernelId, Vec<Param>)> = BTreeMap::new();
    let mut schedule = std::mem::take(&mut program.schedule);
    let mut calls = Program { schedule: std::mem::take(&mut schedule), ..Program::default() };
    for call in calls.calls_mut() {
        for arg in 0..call.buffers.len() {
            let buffer = program.buffer(program.root(call.buffers[arg]).0);
            let old = buffer.clone();
            let Some(packed) = buffer.data.as_ref().filter(|_| buffer.role == Role::Const).and_then(|data| chosen.get(data)) else {
                continue;
            };
            let (form, arg) = (packed.form, Arg(arg as u32));
            let own = Use::of(program.kernel(call.kernel), arg, call).expect("what was possible before");
            let seconds = own.seconds(form);
            let (kernel, halved) = kernels
                .entry((call.kernel, arg.0, form, seconds.clone()))
                .or_insert_with(|| {
                    let (kernel, halved) = Rewriter::rewrite(program.kernel(call.kernel), arg, form, &seconds);
                    program.kernels.push(kernel);
                    (KernelId(program.kernels.len() as u32 - 1), halved)
                })
                .clone();
            call.kernel = kernel;
            call.params = with_halved(&call.params, &halved, form);
            if !call.advance.is_empty() {
                call.advance.resize(call.params.len(), 0);
            }
            let mut constant = |bytes: &[u8], old: &Buffer| {
                *constants.entry(bytes.to_vec()).or_insert_with(|| {
                    let data = Some(Bytes::copy_from_slice(bytes));
                    program.buffers.push(Buffer { size_bytes: bytes.len() as u64, data, ..old.clone() });
                    BufferId(program.buffers.len() as u32 - 1)
                })
            };
            call.buffers[arg.0 as usize] = constant(&packed.bytes, &old);
            if form.means == InsideMeans::Entry {
                call.buffers.push(constant(&packed.palette, &Buffer { name: "palette".into(), ..old }));
            }
        }
    }
    program.schedule = calls.schedule;
    program.remove_unused_kernels();
}
