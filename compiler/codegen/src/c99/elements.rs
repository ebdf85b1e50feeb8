//! What a buffer's bytes are to the kernels: numbers of one width, or of several.
//!
//! A table in C has its numbers in the machine's own order of bytes, so it must be known which bytes are a number together. The idea: of tensors of the model it is
//! known, and they may be moved as bytes; of what lowerings make, kernels say so themselves, by the types that they read, and what they contradict each other about is found.

use cranelite_tile::{Access, Arg, Base, BufferId, Call, Counter, Elem, Index, Kernel, Op, Place, Program, Row, Step, Stmt, Value};
use std::collections::{BTreeMap, BTreeSet};

/// So many addresses of one access are looked at one by one.
const ADDRESSES_LIMIT: usize = 1 << 22;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// No kernel of ours reads it.
    Unknown,
    All(Elem),
    /// One after the other; bytes that nobody reads are bytes.
    Each(Vec<Elem>),
    /// Some bytes are parts of several numbers, or it takes too long to find out.
    Contradicting,
}

/// By root buffer. `number_bytes`: of those of which it is known.
pub fn of(program: &Program, roots: &BTreeSet<BufferId>, number_bytes: &BTreeMap<BufferId, Option<u32>>) -> BTreeMap<BufferId, Elements> {
    let mut known: BTreeMap<u32, Vec<Seen>> = BTreeMap::new();
    let mut types: BTreeMap<BufferId, BTreeSet<Elem>> = BTreeMap::new();
    let calls = calls(&program.schedule, 1);
    for (call, _) in &calls {
        let kernel = program.kernel(call.kernel);
        let seen = known.entry(call.kernel.0).or_insert_with(|| seen(kernel));
        for s in seen.iter() {
            let root = program.root(call.buffers[s.arg.0 as usize]).0;
            if roots.contains(&root) {
                types.entry(root).or_default().insert(s.elem);
            }
        }
    }
    let mut all = BTreeMap::new();
    for &root in roots {
        let own = types.remove(&root).unwrap_or_default();
        let widths: BTreeSet<u32> = own.iter().map(|e| e.bytes()).collect();
        let data = program.buffer(root).data.as_deref().unwrap_or_default();
        // In any order they are the same.
        let are_equal = data.windows(2).all(|two| two[0] == two[1]);
        let elements = match (own.first(), number_bytes.get(&root)) {
            (Some(first), _) if are_equal => Elements::All(*first),
            (_, Some(None)) => Elements::Contradicting,
            (_, Some(Some(bytes))) => Elements::All(own.iter().copied().find(|e| e.bytes() == *bytes).unwrap_or(unsigned(*bytes))),
            (None, None) => Elements::Unknown,
            (Some(first), None) if widths.len() == 1 => Elements::All(*first),
            _ => each(program, root, &calls, &known),
        };
        all.insert(root, elements);
    }
    all
}

fn unsigned(bytes: u32) -> Elem {
    match bytes {
        2 => Elem::U16,
        4 => Elem::U32,
        8 => Elem::I64,
        _ => Elem::U8,
    }
}

/// Every call, and how many turns of a repetition it makes.
fn calls(steps: &[Step], turns: u64) -> Vec<(&Call, u64)> {
    let mut all = vec![];
    for step in steps {
        all.extend(step.calls().iter().map(|c| (c, turns)));
        let turns = if let Step::Repeat { count, .. } = step { *count } else { turns };
        for body in step.bodies() {
            all.extend(calls(body, turns));
        }
    }
    all
}

/// The root buffers of which kernels read bytes, and functions of the user's may.
pub fn read(program: &Program) -> BTreeSet<BufferId> {
    let (mut known, mut all): (BTreeMap<u32, Vec<usize>>, _) = (BTreeMap::new(), BTreeSet::new());
    for call in program.calls() {
        let kernel = program.kernel(call.kernel);
        let args = known.entry(call.kernel.0).or_insert_with(|| match kernel.foreign {
            Some(_) => (0..call.buffers.len()).collect(),
            None => seen(kernel).iter().map(|s| s.arg.0 as usize).collect(),
        });
        all.extend(args.iter().map(|i| program.root(call.buffers[*i]).0));
    }
    all
}

/// Something that a kernel reads.
struct Seen {
    arg: Arg,
    elem: Elem,
    at: Index,
    count: u32,
    /// Nothing becomes of it but bytes elsewhere.
    is_moved: bool,
}

fn seen(kernel: &Kernel) -> Vec<Seen> {
    let (mut all, mut rows, used) = (vec![], BTreeMap::new(), used(kernel));
    walk(&kernel.body, &mut |s| {
        let Stmt::Let(v, op) = s else {
            if let Stmt::Row { row, arg, at, fill, .. } = s {
                rows.insert(*row, (*arg, at.clone(), *fill));
            }
            return;
        };
        let ty = kernel.ty(*v);
        let (place, count) = match op {
            Op::Load { place, count } => (place, count.unwrap_or(ty.lanes)),
            Op::LoadSplat { place, group, count } => (place, count.unwrap_or(*group)),
            // A table of 256 elements.
            Op::Lookup { place, .. } => (place, 256),
            _ => return,
        };
        let is_moved = !used.contains(v);
        let mut add = |arg: Arg, at: Index| all.push(Seen { arg, elem: ty.elem, at, count, is_moved });
        match place.base {
            Base::Arg(arg) => add(arg, place.at.clone()),
            Base::Row(row) => {
                if let Some((arg, at, fill)) = rows.get::<Row>(&row) {
                    add(*arg, at.clone() + place.at.clone());
                    add(*fill, place.at.clone());
                }
            }
        }
    });
    all.retain(|s| kernel.args[s.arg.0 as usize].access != Access::Write);
    all
}

/// Values of which more becomes than bytes in memory.
fn used(kernel: &Kernel) -> BTreeSet<Value> {
    let mut all = BTreeSet::new();
    walk(&kernel.body, &mut |s| match s {
        Stmt::Let(_, op) => all.extend(op.operands()),
        Stmt::Clamp { value, .. } => drop(all.insert(*value)),
        Stmt::Loop(l) => all.extend(l.carried.iter().flat_map(|c| [c.init, c.next])),
        _ => {}
    });
    all
}

/// Whether some kernel looks at parts of a tensor's numbers, or makes numbers of parts: then results are those of the machine's order of bytes.
pub fn sees_bytes(program: &Program, number_bytes: &BTreeMap<BufferId, Option<u32>>) -> bool {
    let mut known: BTreeMap<u32, Vec<(Arg, u32)>> = BTreeMap::new();
    program.calls().any(|call| {
        let of_kernel = known.entry(call.kernel.0).or_insert_with(|| {
            let kernel = program.kernel(call.kernel);
            let read = seen(kernel).into_iter().filter(|s| !s.is_moved).map(|s| (s.arg, s.elem.bytes()));
            let mut all: Vec<(Arg, u32)> = read.chain(made(kernel)).collect();
            all.sort();
            all.dedup();
            all
        });
        let width = |arg: Arg| number_bytes.get(&program.root(call.buffers[arg.0 as usize]).0).copied().flatten();
        of_kernel.iter().any(|(arg, bytes)| width(*arg).is_some_and(|own| own != *bytes))
    })
}

/// What a kernel writes that it has not just read, and with how many bytes in a number.
fn made(kernel: &Kernel) -> Vec<(Arg, u32)> {
    let (mut loaded, mut all) = (BTreeSet::new(), vec![]);
    walk(&kernel.body, &mut |s| match s {
        Stmt::Let(v, Op::Load { .. } | Op::LoadSplat { .. } | Op::Const(_)) => drop(loaded.insert(*v)),
        Stmt::Store { place: Place { base: Base::Arg(arg), .. }, value, .. } if !loaded.contains(value) => {
            all.push((*arg, kernel.ty(*value).elem.bytes()));
        }
        _ => {}
    });
    all
}

fn walk(stmts: &[Stmt], visit: &mut impl FnMut(&Stmt)) {
    for s in stmts {
        visit(s);
        if let Stmt::Loop(l) = s {
            walk(&l.body, visit);
        }
    }
}

/// The values of something that varies: from 0 or less to the last, so far apart.
#[derive(Clone, Copy)]
struct Range {
    first: i64,
    last: i64,
    step: i64,
}

/// Of every counter, in one call.
fn ranges(kernel: &Kernel, params: &[i64]) -> Option<BTreeMap<Counter, Range>> {
    let (mut all, mut is_known) = (BTreeMap::new(), true);
    walk(&kernel.body, &mut |s| {
        let mut most = |index: &Index| largest(index, params, &all).unwrap_or_else(|| (is_known = false, 0).1);
        match s {
            Stmt::Loop(l) => {
                let last = (most(&l.count) - 1).max(0) / l.step * l.step;
                all.insert(l.counter, Range { first: 0, last, step: l.step });
            }
            Stmt::Split { quotient, remainder, of, by } => {
                let last = most(of) / by;
                all.insert(*quotient, Range { first: 0, last, step: 1 });
                all.insert(*remainder, Range { first: 0, last: by - 1, step: 1 });
            }
            Stmt::Clamp { index, low, high, .. } => {
                all.insert(*index, Range { first: *low, last: *high, step: 1 });
            }
            _ => {}
        }
    });
    is_known.then_some(all)
}

fn largest(index: &Index, params: &[i64], ranges: &BTreeMap<Counter, Range>) -> Option<i64> {
    let mut sum = 0i64;
    for t in index.substitute(params).terms() {
        let most = match t.counter {
            None => t.coefficient,
            Some(c) => {
                let r = ranges.get(&c)?;
                t.coefficient.checked_mul(if t.coefficient < 0 { r.first } else { r.last })?
            }
        };
        sum = sum.checked_add(most)?;
    }
    Some(sum)
}

/// Of a buffer that is read with several widths.
fn each(program: &Program, root: BufferId, calls: &[(&Call, u64)], known: &BTreeMap<u32, Vec<Seen>>) -> Elements {
    let size = program.buffer(root).size_bytes as usize;
    // Of every byte: the number that it is in, and which byte of that it is.
    let mut bytes: Vec<Option<(Elem, u32)>> = vec![None; size];
    for (call, turns) in calls {
        let kernel = program.kernel(call.kernel);
        for s in &known[&call.kernel.0] {
            let (own, offset) = program.root(call.buffers[s.arg.0 as usize]);
            if own != root {
                continue;
            }
            let Some(places) = places(kernel, call, *turns, s) else { return Elements::Contradicting };
            let width = s.elem.bytes();
            for place in places {
                for i in 0..i64::from(s.count * width) {
                    // What is beyond is not read, or is what was rounded up above.
                    let Some(byte) = usize::try_from(place + offset as i64 + i).ok().and_then(|at| bytes.get_mut(at)) else { continue };
                    let part = (i % i64::from(width)) as u32;
                    match byte {
                        Some((elem, known)) if elem.bytes() != width || *known != part => return Elements::Contradicting,
                        Some(_) => {}
                        None => *byte = Some((s.elem, part)),
                    }
                }
            }
        }
    }
    let (mut all, mut at) = (vec![], 0);
    while at < size {
        let elem = match bytes[at] {
            None => Elem::U8,
            Some((elem, 0)) if at + elem.bytes() as usize <= size => elem,
            Some(_) => return Elements::Contradicting,
        };
        at += elem.bytes() as usize;
        all.push(elem);
    }
    Elements::Each(all)
}

/// Where an access begins, in all turns of all loops.
fn places(kernel: &Kernel, call: &Call, turns: u64, seen: &Seen) -> Option<Vec<i64>> {
    let mut all: Vec<BTreeSet<i64>> = vec![];
    for turn in if call.advances() { 0..turns } else { 0..1 } {
        let advance = |i: usize| call.advance.get(i).copied().unwrap_or(0);
        let params: Vec<i64> = call.params.iter().enumerate().map(|(i, p)| p + advance(i) * turn as i64).collect();
        let ranges = ranges(kernel, &params)?;
        let mut places = BTreeSet::from([0i64]);
        for t in seen.at.substitute(&params).terms() {
            let r = t.counter.map_or(Some(Range { first: 1, last: 1, step: 1 }), |c| ranges.get(&c).copied())?;
            let count = usize::try_from((r.last - r.first) / r.step + 1).ok()?;
            if ADDRESSES_LIMIT < count.checked_mul(places.len())? {
                return None;
            }
            let values = (0..count as i64).map(|i| t.coefficient * (r.first + i * r.step));
            places = values.flat_map(|v| places.iter().map(move |p| p + v)).collect();
        }
        all.push(places);
    }
    let all: BTreeSet<i64> = all.into_iter().flatten().collect();
    Some(all.into_iter().collect())
}
