//! Loads of 16 bytes in three instructions, for cores on which one instruction issues alone.
//!
//! Not for others, and not where nothing would issue beside the three. The idea: in-order cores pair a vector operation with a load of 8 bytes, with one to a general
//! register and with the move of that into the upper half, and take two cycles for a load of 16 bytes, in which nothing else issues. So as many loads are split as
//! there are vector operations without a companion.

use super::cores::Core;
use super::forms::{self, Arrangement};
use super::inst::{Inst, Touched};
use super::kind::Kind;
use crate::alloc::{Class, Virtual};

/// Instructions that take the place of one load.
const PARTS: usize = 3;

pub(super) fn split_loads(insts: Vec<Inst>, classes: &mut Vec<Class>, core: &Core) -> Vec<Inst> {
    if core.row(Kind::LoadVectorLong).alone == 0 {
        return insts;
    }
    let mut out = Vec::with_capacity(insts.len());
    let mut run = vec![];
    for inst in insts {
        if is_border(&inst) {
            split_run(&mut run, classes, &mut out);
            out.push(inst);
        } else {
            run.push(inst);
        }
    }
    split_run(&mut run, classes, &mut out);
    out
}

fn is_border(inst: &Inst) -> bool {
    match inst {
        Inst::Label(_) | Inst::LoopBegin | Inst::LoopEnd => true,
        Inst::Op { form, .. } => form.kind == Kind::Branch,
        _ => false,
    }
}

fn split_run(run: &mut Vec<Inst>, classes: &mut Vec<Class>, out: &mut Vec<Inst>) {
    let vectors = run.iter().filter(|inst| is_vector_operation(inst)).count();
    let loads = run.iter().filter(|inst| long_load(inst).is_some()).count();
    // Moves are mostly none in the end.
    let moves = run.iter().filter(|inst| matches!(inst, Inst::Move { .. })).count();
    let others = run.len() - vectors - loads - moves;
    let mut left = vectors.saturating_sub(others) / PARTS;
    for inst in run.drain(..) {
        let Some((to, base, touched)) = long_load(&inst).filter(|_| 0 < left) else {
            out.push(inst);
            continue;
        };
        left -= 1;
        let upper = Virtual(classes.len() as u32);
        classes.push(Class::General);
        let part = |form, to, offset| Inst::Op {
            form,
            arrangement: Arrangement::None,
            registers: vec![to, base],
            numbers: vec![offset],
            label: None,
            touched: Some(Touched { offset, bytes: 8, ..touched }),
        };
        out.push(part(&forms::LDR_D, to, touched.offset));
        out.push(part(&forms::LDR_X, upper, touched.offset + 8));
        out.push(Inst::Op {
            form: &forms::INS_GENERAL,
            arrangement: Arrangement::D2,
            registers: vec![to, upper],
            numbers: vec![1],
            label: None,
            touched: None,
        });
    }
}

/// Neither a load nor a store, and not made of general registers.
fn is_vector_operation(inst: &Inst) -> bool {
    match inst {
        Inst::Op { form, touched: None, .. } => {
            form.kind != Kind::FromGeneral && form.roles().iter().any(|role| role.writes && role.class == Class::Vector)
        }
        _ => false,
    }
}

/// Register, base and place of a load of 16 bytes whose halves can be loaded by themselves.
fn long_load(inst: &Inst) -> Option<(Virtual, Virtual, Touched)> {
    match inst {
        Inst::Op { form, registers, touched: Some(touched), .. } if *form == &forms::LDR_Q => {
            let fits = touched.offset % 8 == 0 && (0..8 * 4094).contains(&touched.offset);
            fits.then(|| (registers[0], registers[1], *touched))
        }
        _ => None,
    }
}
