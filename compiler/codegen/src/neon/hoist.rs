//! What is the same in every turn of a loop is done before it.
//!
//! Not a general motion of code: tables that are read in every turn, addresses and numbers, one loop after the other from the inside outwards. The idea: the text
//! reads a channel's bias, weights and scales where it uses them, which is right for machines with few registers; here as many of them stay in registers as
//! there are registers for, and the driver asks the allocator how many that are.

use super::inst::{Inst, Label};
use super::kind::Kind;
use crate::alloc::{Class, Virtual};

/// Moves at most `limit` instructions out of loops: out of the innermost ones, or out of the others, those of inner loops first. Gives the list, and how many
/// were moved.
pub(super) fn hoist(insts: &[Inst], virtuals: usize, limit: usize, innermost: bool) -> (Vec<Inst>, usize) {
    let mut list = insts.to_vec();
    let mut writes = vec![0u32; virtuals];
    for inst in &list {
        written(inst, |v| writes[v.0 as usize] += 1);
    }
    let mut moved = 0;
    // Loops by their ends: inner ones end first.
    let mut end = 0;
    while let Some(found) = list[end..].iter().position(|i| matches!(i, Inst::LoopEnd)) {
        end += found;
        let Some(begin) = begin_of(&list, end) else { break };
        if innermost == list[begin + 1..end].iter().any(|i| matches!(i, Inst::LoopBegin)) {
            end += 1;
            continue;
        }
        let mut inside = vec![false; virtuals];
        list[begin..end].iter().for_each(|i| written(i, |v| inside[v.0 as usize] = true));
        let (mut out, mut kept) = (vec![], vec![]);
        // What a branch may pass over stays.
        let mut passed: Option<Label> = None;
        let mut depth = 0;
        for inst in list.drain(begin + 1..end) {
            match &inst {
                Inst::LoopBegin => depth += 1,
                Inst::LoopEnd => depth -= 1,
                Inst::Label(l) if passed == Some(*l) => passed = None,
                Inst::Op { form, label: Some(l), .. } if depth == 0 && form.kind == Kind::Branch && passed.is_none() => passed = Some(*l),
                _ => {}
            }
            let is_free = depth == 0 && moved < limit && is_movable(&inst, &inside, &writes, passed.is_some());
            if is_free {
                written(&inst, |v| inside[v.0 as usize] = false);
                out.push(inst);
                moved += 1;
            } else {
                kept.push(inst);
            }
        }
        let length = out.len() + kept.len();
        out.push(Inst::LoopBegin);
        out.append(&mut kept);
        list.splice(begin..begin + 1, out);
        debug_assert!(matches!(list[begin + 1 + length], Inst::LoopEnd));
        end = begin + 1 + length + 1;
    }
    (list, moved)
}

fn begin_of(list: &[Inst], end: usize) -> Option<usize> {
    let mut depth = 0;
    (0..end).rev().find(|&i| {
        match list[i] {
            Inst::LoopEnd => depth += 1,
            Inst::LoopBegin if depth == 0 => return true,
            Inst::LoopBegin => depth -= 1,
            _ => {}
        }
        false
    })
}

fn written(inst: &Inst, mut f: impl FnMut(Virtual)) {
    match inst {
        Inst::Op { form, registers, .. } => {
            form.roles().iter().zip(registers).filter(|(r, _)| r.writes).for_each(|(_, v)| f(*v));
        }
        Inst::Move { to, .. } | Inst::Argument { to, .. } => f(*to),
        Inst::Label(_) | Inst::LoopBegin | Inst::LoopEnd => {}
    }
}

/// Whether it gives the same in every turn, and may be done even in a loop of which it is not known which of its instructions are done.
fn is_movable(inst: &Inst, inside: &[bool], writes: &[u32], is_passed: bool) -> bool {
    let Inst::Op { form, registers, label, touched, .. } = inst else { return false };
    // A label without a branch is a constant's.
    let is_plain = label.is_none() || form.kind != Kind::Branch;
    if form.sets_flags() || form.reads_flags() || !is_plain {
        return false;
    }
    if touched.is_some_and(|t| t.is_write || !t.is_constant || is_passed) {
        return false;
    }
    let roles = form.roles();
    // Arithmetic of vectors stays: what comes of it would take registers that operands share.
    let is_table = touched.is_some() || registers.len() == 1;
    let is_general = roles.iter().filter(|r| r.writes).all(|r| r.class == Class::General);
    if !is_table && !is_general {
        return false;
    }
    roles.iter().any(|r| r.writes)
        && roles.iter().zip(registers).all(|(r, v)| {
            let v = v.0 as usize;
            // What is changed in place belongs to its turn.
            if r.writes { !r.reads && writes[v] == 1 } else { !inside[v] }
        })
}
