//! Packed constants that are decoded into scratch right before what reads them.
//!
//! The ideas: the calls of one operator decode once, those of another one later decode again, so memory is taken only while it is used, and the planner gives
//! the same place to others; what a loop reads is decoded before the loop.

use super::decoders::Decoders;
use super::{Content, LEAST_BYTES, Packing, rans};
use crate::machine::Machine;
use crate::program::{Base, Buffer, BufferId, Call, Line, Op, Program, Role, Step, Stmt};
use crate::verify::CONST_SLACK_BYTES;
use std::collections::{BTreeMap, BTreeSet};

/// Constants of a program that may be packed, and what numbers are in them; `number_bytes`: where that is known.
pub fn candidates(program: &Program, number_bytes: &BTreeMap<BufferId, Option<u32>>) -> BTreeMap<BufferId, Content> {
    let line = Line::of(&program.schedule);
    let mut refused: BTreeSet<BufferId> = line.moments.iter().filter_map(|m| m.looks_at).map(|b| program.root(b).0).collect();
    // What indices come from is what was proved, and not what a kernel has written.
    refused.extend(program.tables());
    let mut widths: BTreeMap<BufferId, BTreeSet<u32>> = BTreeMap::new();
    let mut of_kernel: BTreeMap<u32, Vec<BTreeSet<u32>>> = BTreeMap::new();
    for call in program.calls() {
        let kernel = program.kernel(call.kernel);
        if kernel.foreign.is_some() {
            refused.extend(call.buffers.iter().map(|&b| program.root(b).0));
        }
        let of_args = of_kernel.entry(call.kernel.0).or_insert_with(|| {
            let mut of_args = vec![BTreeSet::new(); kernel.args.len()];
            read_widths(&kernel.body, &|v| kernel.ty(v).elem.bytes(), &mut BTreeMap::new(), &mut of_args);
            of_args
        });
        for (&b, own) in call.buffers.iter().zip(of_args.iter()) {
            let root = program.root(b).0;
            if program.buffer(root).role == Role::Const {
                widths.entry(root).or_default().extend(own);
            }
        }
    }
    let candidate = |(root, widths): (BufferId, BTreeSet<u32>)| {
        let buffer = program.buffer(root);
        let data = buffer.data.clone().filter(|_| LEAST_BYTES <= buffer.size_bytes && !refused.contains(&root))?;
        let read = widths.first().copied().filter(|_| widths.len() == 1);
        let number_bytes = number_bytes.get(&root).copied().unwrap_or(read);
        Some((root, Content { data, number_bytes }))
    };
    widths.into_iter().filter_map(candidate).collect()
}

/// How many bytes elements have that a kernel loads, by argument.
fn read_widths(stmts: &[Stmt], width: &impl Fn(crate::Value) -> u32, rows: &mut BTreeMap<u32, [u32; 2]>, of_args: &mut [BTreeSet<u32>]) {
    for s in stmts {
        match s {
            Stmt::Loop(l) => read_widths(&l.body, width, rows, of_args),
            Stmt::Row { row, arg, fill, .. } => drop(rows.insert(row.0, [arg.0, fill.0])),
            Stmt::Let(v, op) => {
                let args: &[u32] = match op.place().map(|p| p.base) {
                    Some(Base::Arg(a)) => &[a.0],
                    Some(Base::Row(r)) => rows.get(&r.0).map_or(&[], |args| &args[..]),
                    None => &[],
                };
                if !matches!(op, Op::Const(_)) {
                    for &a in args {
                        of_args[a as usize].insert(width(*v));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Replaces constants whose bytes are packed. Answers which scratch buffers have them then, and which constants those are.
pub fn into_scratch(program: &mut Program, machine: &Machine, packing: &Packing) -> Vec<(BufferId, usize)> {
    let (by_data, tables) = (packing.by_data(), program.tables());
    let packed = |b: BufferId| {
        let buffer = program.buffer(b);
        buffer.data.as_ref().filter(|_| buffer.role == Role::Const && !tables.contains(&b)).and_then(|data| by_data.get(&data[..])).copied()
    };
    // By root: of each operator that reads it, the first and the last step.
    let mut uses: BTreeMap<BufferId, BTreeMap<Option<u32>, [usize; 2]>> = BTreeMap::new();
    for (i, step) in program.schedule.iter().enumerate() {
        for call in Line::of(std::slice::from_ref(step)).moments.iter().flat_map(|m| m.calls) {
            for root in call.buffers.iter().map(|&b| program.root(b).0) {
                let range = uses.entry(root).or_default().entry(call.operator).or_insert([i, i]);
                range[1] = i;
            }
        }
    }
    let mut work: Vec<(usize, BufferId, [usize; 2], Option<u32>)> = vec![];
    for (root, by_operator) in uses {
        let Some(number) = packed(root) else { continue };
        let mut ranges: Vec<([usize; 2], Option<u32>)> = by_operator.into_iter().map(|(operator, range)| (range, operator)).collect();
        ranges.sort_by_key(|r| r.0);
        let mut apart: Vec<([usize; 2], Option<u32>)> = vec![];
        for (range, operator) in ranges {
            match apart.last_mut() {
                Some((last, _)) if range[0] <= last[1] => last[1] = last[1].max(range[1]),
                _ => apart.push((range, operator)),
            }
        }
        work.extend(apart.into_iter().map(|(range, operator)| (number, root, range, operator)));
    }
    let mut decoders = Decoders::new(packing, machine);
    let (mut before, mut made): (BTreeMap<usize, Vec<Call>>, _) = (BTreeMap::new(), vec![]);
    for (number, root, [first, last], operator) in work {
        let old = program.buffer(root).clone();
        let size_bytes = packing.constants[number].decoded_bytes.max(old.size_bytes + CONST_SLACK_BYTES);
        let to = add_scratch(program, old.name, size_bytes, old.align);
        let mut changed = BTreeMap::from([(root, to)]);
        for i in first..=last {
            let mut step = std::mem::replace(&mut program.schedule[i], Step::Repeat { count: 1, body: vec![] });
            replace(program, &mut step, root, &mut changed);
            program.schedule[i] = step;
        }
        let calls = decoders.calls(program, number, to, operator, |program| {
            add_scratch(program, "tables of packed constants".into(), rans::SCRATCH_BYTES as u64, 64)
        });
        before.entry(first).or_default().extend(calls);
        made.push((to, number));
    }
    let steps = std::mem::take(&mut program.schedule);
    for (i, step) in steps.into_iter().enumerate() {
        program.schedule.extend(before.remove(&i).unwrap_or_default().into_iter().map(Step::Call));
        program.schedule.push(step);
    }
    made
}

pub(super) fn add_scratch(program: &mut Program, name: String, size_bytes: u64, align: u32) -> BufferId {
    program.buffers.push(Buffer { name, role: Role::Scratch, size_bytes, align, data: None, view: None, offset_bytes: None });
    BufferId(program.buffers.len() as u32 - 1)
}

/// Whatever a step reads of `root` it reads of what has taken its place: `changed` has that, and views of it.
fn replace(program: &mut Program, step: &mut Step, root: BufferId, changed: &mut BTreeMap<BufferId, BufferId>) {
    let in_call = |program: &mut Program, call: &mut Call, changed: &mut BTreeMap<BufferId, BufferId>| {
        for b in &mut call.buffers {
            if program.root(*b).0 == root {
                *b = moved(program, *b, changed);
            }
        }
    };
    match step {
        Step::Call(c) => in_call(program, c, changed),
        Step::Parallel(all) => all.iter_mut().for_each(|c| in_call(program, c, changed)),
        _ => {
            for body in step.bodies_mut() {
                body.iter_mut().for_each(|s| replace(program, s, root, changed));
            }
        }
    }
}

fn moved(program: &mut Program, b: BufferId, changed: &mut BTreeMap<BufferId, BufferId>) -> BufferId {
    if let Some(new) = changed.get(&b) {
        return *new;
    }
    let mut view = program.buffer(b).clone();
    let parent = view.view.map(|v| v.parent).unwrap_or(b);
    let parent = moved(program, parent, changed);
    view.view = view.view.map(|v| crate::View { parent, ..v });
    view.role = Role::Scratch;
    program.buffers.push(view);
    let new = BufferId(program.buffers.len() as u32 - 1);
    changed.insert(b, new);
    new
}
