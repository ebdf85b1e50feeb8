//! Whole random functions with loops and moves, before and after scheduling, on a machine that mixes values; and a loop as the emitter writes it.

use super::super::cores::{CORES, CORTEX_A55};
use super::super::forms::{self, Arrangement, Form};
use super::super::inst::{Inst, Touched};
use super::super::scoreboard::{self, Timed};
use super::*;

const REGISTERS: Registers = Registers { vector: 32, general: 26 };

fn op(form: &'static Form, arrangement: Arrangement, registers: &[u32], numbers: &[i64], touched: Option<Touched>) -> Inst {
    let registers = registers.iter().map(|r| Virtual(*r)).collect();
    Inst::Op { form, arrangement, registers, numbers: numbers.to_vec(), label: None, touched }
}

fn place(base: u32, offset: i64, is_write: bool) -> Option<Touched> {
    Some(Touched { base: Some(Virtual(base)), offset, bytes: 16, is_write, is_constant: false })
}

/// Vectors are the registers from here on.
const VECTORS: u32 = 8;
const COUNT: u32 = 40;

fn function(random: &mut impl FnMut(usize) -> usize) -> Vec<Inst> {
    let mut insts: Vec<Inst> = (0..VECTORS).map(|r| Inst::Argument { to: Virtual(r), index: r as usize }).collect();
    for v in VECTORS..COUNT {
        insts.push(op(&forms::LDR_Q, Arrangement::None, &[v, v % 4], &[16 * i64::from(v)], place(v % 4, 16 * i64::from(v), false)));
    }
    let mut depth = 0;
    for _ in 0..20 + random(100) {
        let mut general = || random(VECTORS as usize) as u32;
        let (x, y) = (general(), general());
        let mut vector = || VECTORS + random((COUNT - VECTORS) as usize) as u32;
        let (a, b, d) = (vector(), vector(), vector());
        let (base, offset) = (random(4) as u32, 16 * random(6) as i64);
        match random(12) {
            0 | 1 => insts.push(op(&forms::LDR_Q, Arrangement::None, &[d, base], &[offset], place(base, offset, false))),
            2 => insts.push(op(&forms::STR_Q, Arrangement::None, &[a, base], &[offset], place(base, offset, true))),
            3 => insts.push(op(&forms::ADD_V, Arrangement::S4, &[d, a, b], &[], None)),
            4 | 5 => insts.push(op(&forms::SDOT, Arrangement::B16, &[d, a, b], &[], None)),
            6 | 7 => insts.push(Inst::Move { to: Virtual(d), from: Virtual(a) }),
            8 => insts.push(op(&forms::ADD_IMM, Arrangement::None, &[x, y], &[offset], None)),
            9 => {
                insts.push(op(&forms::CMP_X, Arrangement::None, &[x, y], &[], None));
                insts.push(op(&forms::CSEL, Arrangement::None, &[x, y, x], &[3], None));
            }
            10 if depth < 2 => {
                insts.push(Inst::LoopBegin);
                depth += 1;
            }
            11 if depth > 0 => {
                insts.push(Inst::LoopEnd);
                depth -= 1;
            }
            _ => {}
        }
    }
    insts.extend((0..depth).map(|_| Inst::LoopEnd));
    insts
}

fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15)).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

/// What the function leaves in memory; every loop turns three times.
fn execute(insts: &[Inst]) -> Vec<u64> {
    let mut memory: Vec<u64> = (0..64).collect();
    let (mut values, mut flags) = (vec![0; COUNT as usize], 0);
    let mut open: Vec<(usize, u32)> = vec![];
    let mut at = 0;
    while at < insts.len() {
        match &insts[at] {
            Inst::LoopBegin => open.push((at, 1)),
            Inst::LoopEnd => {
                let (begin, turns) = open.pop().unwrap();
                if turns < 3 {
                    open.push((begin, turns + 1));
                    at = begin;
                }
            }
            Inst::Argument { to, index } => values[to.0 as usize] = mix(*index as u64, 1),
            Inst::Move { to, from } => values[to.0 as usize] = values[from.0 as usize],
            Inst::Label(_) => {}
            Inst::Op { form, registers, numbers, touched, .. } => {
                let roles = registers.iter().zip(form.roles());
                let named = form.name().bytes().fold(0, |h, b| mix(h, u64::from(b)));
                let mut hash = numbers.iter().fold(named, |h, n| mix(h, *n as u64));
                if let Some(t) = touched {
                    // The address is made of the base: different bases do meet.
                    let place = (values[t.base.unwrap().0 as usize] % 8) as usize + t.offset as usize / 16;
                    hash = roles
                        .clone()
                        .filter(|(_, role)| role.reads && role.class == Class::Vector)
                        .fold(hash, |h, (v, _)| mix(h, values[v.0 as usize]));
                    if t.is_write {
                        memory[place] = hash;
                    }
                    hash = memory[place];
                } else {
                    hash = roles.clone().filter(|(_, role)| role.reads).fold(hash, |h, (v, _)| mix(h, values[v.0 as usize]));
                }
                if form.reads_flags() {
                    hash = mix(hash, flags);
                }
                if form.sets_flags() {
                    flags = hash;
                }
                for (v, _) in roles.filter(|(_, role)| role.writes) {
                    values[v.0 as usize] = hash;
                }
            }
        }
        at += 1;
    }
    memory
}

fn slots(insts: &[Inst], classes: &[Class], registers: Registers) -> u32 {
    alloc::allocate(&events(insts), classes, registers).map_or(u32::MAX, |a| a.vector_slots + a.general_slots)
}

/// Whatever goes to the frame, as if it were in an innermost loop.
fn spills(insts: &[Inst], classes: &[Class], registers: Registers) -> Spills {
    let inner = slots(insts, classes, registers);
    Spills { inner, weight: inner.into() }
}

#[test]
fn functions_do_the_same_and_spill_no_more() {
    let classes: Vec<Class> = (0..COUNT).map(|v| if v < VECTORS { Class::General } else { Class::Vector }).collect();
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut moved = 0;
    for case in 0..100 {
        let insts = function(&mut random);
        let registers = Registers { vector: 24 + random(9) as u8, general: 12 };
        let core = CORES[case % CORES.len()];
        let scheduled = schedule(insts.clone(), &mut classes.clone(), core, registers, |i, classes| spills(i, classes, registers));
        assert_eq!(execute(&scheduled), execute(&insts), "case {case}");
        let (before, after) = (slots(&insts, &classes, registers), slots(&scheduled, &classes, registers));
        assert!(after == 0 || before > 0, "case {case}: {after} values in the frame, {before} before");
        moved += usize::from(format!("{scheduled:?}") != format!("{insts:?}"));
    }
    assert!(moved > 75, "{moved}");
}

/// Products of bytes: 12 pixels by 8 channels, as the listing that takes 79 cycles on Cortex-A55 in the order of the text.
#[test]
fn a_loop_of_products_is_bound_by_its_products() {
    let (weights, image, count) = (0, 1, 2);
    let sum = |n: u32| 10 + n;
    let mut classes = vec![Class::General; 3];
    classes.resize(80, Class::Vector);
    let mut insts: Vec<Inst> = (0..3).map(|r| Inst::Argument { to: Virtual(r), index: r as usize }).collect();
    insts.extend((0..24).map(|n| op(&forms::MOVI_S, Arrangement::S4, &[sum(n)], &[0], None)));
    insts.push(Inst::LoopBegin);
    let mut next = 40;
    let mut load = |insts: &mut Vec<Inst>, form, base, offset| {
        next += 1;
        insts.push(op(form, Arrangement::None, &[next, base], &[offset], place(base, offset, false)));
        next
    };
    let halves = [0, 16].map(|o| load(&mut insts, &forms::LDR_Q, weights, o));
    for pixel in 0..12 {
        let value = load(&mut insts, &forms::LDR_S, image, 16 * i64::from(pixel));
        for (h, w) in halves.into_iter().enumerate() {
            insts.push(op(&forms::SDOT_LANE, Arrangement::B16, &[sum(2 * pixel + h as u32), w, value], &[0], None));
        }
    }
    insts.push(op(&forms::ADD_IMM, Arrangement::None, &[weights, weights], &[32], None));
    insts.push(op(&forms::ADD_IMM, Arrangement::None, &[image, image], &[4], None));
    insts.push(op(&forms::SUBS_IMM, Arrangement::None, &[count, count], &[1], None));
    insts.push(op(&forms::B_COND, Arrangement::None, &[], &[1, 0], None));
    insts.push(Inst::LoopEnd);
    insts.extend((0..24).map(|n| op(&forms::STR_Q, Arrangement::None, &[sum(n), weights], &[16 * i64::from(n)], None)));
    let mut all = classes.clone();
    let scheduled = schedule(insts.clone(), &mut all, &CORTEX_A55, REGISTERS, |i, classes| spills(i, classes, REGISTERS));
    let body = |insts: &[Inst]| {
        let is = |border: fn(&Inst) -> bool| insts.iter().position(border).unwrap();
        let inside = is(|i| matches!(i, Inst::LoopBegin)) + 1..is(|i| matches!(i, Inst::LoopEnd));
        let numbers: BTreeMap<Virtual, u32> = (0..120).map(|v| (Virtual(v), v)).collect();
        insts[inside].iter().map(|i| node(i, &all, &numbers).timed).collect::<Vec<Timed>>()
    };
    let before = scoreboard::cycles(&body(&insts), &CORTEX_A55);
    let after = scoreboard::cycles(&body(&scheduled), &CORTEX_A55);
    assert_eq!(slots(&scheduled, &all, REGISTERS), 0);
    assert!(before > 50.0 && after <= 28.0, "{before} before, {after} now");
}
