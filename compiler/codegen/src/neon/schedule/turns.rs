//! Random loops whose turns load for the next one, on a machine with addresses, flags and branches: they leave the same in memory, in every number of turns, and
//! read nothing that they did not read before.

use super::super::cores::{CORTEX_A53, CORTEX_A55};
use super::super::forms::{self, Form};
use super::super::inst::{Inst, Label, Touched};
use super::*;

const REGISTERS: Registers = Registers { vector: 32, general: 26 };
const POINTERS: u32 = 3;
const COUNTER: u32 = 3;
const LIMIT: u32 = 4;
const STRIDE: u32 = 5;
const OUT: u32 = 6;
const SUMS: u32 = 10;

struct Made {
    insts: Vec<Inst>,
    classes: Vec<Class>,
}

impl Made {
    fn fresh(&mut self, class: Class) -> u32 {
        self.classes.push(class);
        self.classes.len() as u32 - 1
    }
    fn refer(&mut self, form: &'static Form, registers: &[u32], numbers: &[i64], label: Option<Label>, touched: Option<Touched>) {
        let arrangement = *form.arrangements.last().expect("a form has one");
        let registers = registers.iter().map(|r| Virtual(*r)).collect();
        self.insts.push(Inst::Op { form, arrangement, registers, numbers: numbers.to_vec(), label, touched });
    }
    fn put(&mut self, form: &'static Form, registers: &[u32], numbers: &[i64]) {
        self.refer(form, registers, numbers, None, None);
    }
    fn touch(&mut self, form: &'static Form, registers: &[u32], offset: i64, base: u32, is_write: bool, is_constant: bool) {
        let numbers = if form == &forms::LD1R_V { vec![] } else { vec![offset] };
        let touched = Touched { base: Some(Virtual(base)), offset, bytes: 16, is_write, is_constant };
        self.refer(form, registers, &numbers, None, Some(touched));
    }
}

fn loops(random: &mut impl FnMut(usize) -> usize, turns: i64) -> Made {
    let sums = 4 + random(20) as u32;
    let mut m = Made { insts: vec![], classes: vec![Class::General; SUMS as usize] };
    m.insts.extend((0..SUMS).map(|r| Inst::Argument { to: Virtual(r), index: r as usize }));
    for _ in 0..sums {
        let sum = m.fresh(Class::Vector);
        m.put(&forms::MOVI_S, &[sum], &[i64::from(sum)]);
    }
    let (step, end) = (1 + random(3) as i64, turns * 2);
    let (counts_down, is_long) = (random(2) == 0, random(3) == 0);
    m.put(&forms::MOVZ, &[COUNTER], &[if counts_down { turns } else { 0 }, 0]);
    m.put(&forms::MOVZ, &[LIMIT], &[turns * step, 0]);
    let (stores, is_constant) = (random(3) == 0, random(4) > 0);
    if !is_constant {
        // What is stored is read in a later turn.
        m.insts.push(Inst::Move { to: Virtual(2), from: Virtual(OUT) });
    }
    m.insts.extend([Inst::LoopBegin, Inst::Label(Label(0))]);
    let mut values = vec![];
    for _ in 0..2 + random(9) {
        let (p, v) = (random(POINTERS as usize) as u32, m.fresh(Class::Vector));
        let offset = 16 * random(4) as i64;
        match random(4) {
            0 => m.touch(&forms::LDR_Q, &[v, p], offset, p, false, is_constant),
            1 => m.touch(&forms::LDR_D, &[v, p], offset, p, false, is_constant),
            2 => {
                let upper = m.fresh(Class::General);
                m.touch(&forms::LDR_D, &[v, p], offset, p, false, is_constant);
                m.touch(&forms::LDR_X, &[upper, p], offset + 8, p, false, is_constant);
                m.put(&forms::INS_GENERAL, &[v, upper], &[1]);
            }
            _ => {
                let address = m.fresh(Class::General);
                m.put(&forms::ADD_IMM, &[address, p], &[offset]);
                m.touch(&forms::LD1R_V, &[v, address], offset, p, false, is_constant);
                if random(2) == 0 {
                    // An address with another reader.
                    let w = m.fresh(Class::Vector);
                    m.touch(&forms::LDR_Q, &[w, address], 16, address, false, is_constant);
                    values.push(w);
                }
            }
        }
        values.push(v);
        for _ in 0..random(4) {
            let mut value = || values[random(values.len())];
            let (a, b) = (value(), value());
            let sum = SUMS + random(sums as usize) as u32;
            m.put(&forms::SDOT, &[sum, a, b], &[]);
            if stores && random(3) == 0 {
                m.touch(&forms::STR_Q, &[sum, OUT], 16 * random(4) as i64, OUT, true, false);
            }
        }
    }
    for v in values {
        m.put(&forms::SDOT, &[SUMS + random(sums as usize) as u32, v, v], &[]);
    }
    if random(4) == 0 {
        let t = m.fresh(Class::Vector);
        m.put(&forms::DUP_GENERAL, &[t, COUNTER], &[]);
        m.put(&forms::SDOT, &[SUMS, t, t], &[]);
    }
    for p in 0..POINTERS {
        match random(4) {
            0 => m.put(&forms::ADD_X, &[p, p, STRIDE], &[]),
            1 => m.put(&forms::SUB_IMM, &[p, p], &[16]),
            2 if is_long => {
                m.put(&forms::ADD_IMM_LSL12, &[p, p], &[1]);
                m.put(&forms::ADD_IMM, &[p, p], &[64]);
            }
            _ => m.put(&forms::ADD_IMM, &[p, p], &[32]),
        }
    }
    match random(2) {
        _ if counts_down => {
            m.put(&forms::SUB_IMM, &[COUNTER, COUNTER], &[1]);
            m.refer(&forms::CBNZ, &[COUNTER], &[], Some(Label(0)), None);
        }
        0 => {
            m.put(&forms::ADD_IMM, &[COUNTER, COUNTER], &[2]);
            m.put(&forms::CMP_IMM, &[COUNTER], &[end]);
            m.refer(&forms::B_COND, &[], &[forms::condition::LT], Some(Label(0)), None);
        }
        _ => {
            m.put(&forms::ADD_IMM, &[COUNTER, COUNTER], &[step]);
            m.put(&forms::CMP_X, &[COUNTER, LIMIT], &[]);
            m.refer(&forms::B_COND, &[], &[forms::condition::LT], Some(Label(0)), None);
        }
    }
    m.insts.push(Inst::LoopEnd);
    (0..sums).for_each(|n| m.touch(&forms::STR_Q, &[SUMS + n, OUT], 16 * i64::from(n), OUT, true, false));
    m
}

fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15)).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

/// What is in memory afterwards where it was written, and the places that were read.
fn execute(insts: &[Inst], virtuals: usize) -> (BTreeMap<u64, u64>, BTreeSet<u64>) {
    let (mut written, mut read) = (BTreeMap::new(), BTreeSet::new());
    let (mut values, mut flags, mut at) = (vec![0u64; virtuals], 0i64, 0);
    let holds = |condition: i64, flags: i64| match condition {
        forms::condition::LT => flags < 0,
        forms::condition::NE => flags != 0,
        other => panic!("condition {other}"),
    };
    let mut steps = 0;
    while at < insts.len() {
        steps += 1;
        assert!(steps < 10_000, "it does not end");
        at += 1;
        match &insts[at - 1] {
            Inst::Argument { to, index } => values[to.0 as usize] = if *index == STRIDE as usize { 48 } else { (*index as u64 + 1) << 32 },
            Inst::Move { to, from } => values[to.0 as usize] = values[from.0 as usize],
            Inst::Label(_) | Inst::LoopBegin | Inst::LoopEnd => {}
            Inst::Op { form, registers, numbers, touched, .. } => {
                let r: Vec<usize> = registers.iter().map(|v| v.0 as usize).collect();
                let n = |i: usize| numbers[i] as u64;
                let head = || insts.iter().position(|i| matches!(i, Inst::Label(_))).unwrap();
                let result = match form.name() {
                    "ADD_IMM" => values[r[1]].wrapping_add(n(0)),
                    "ADD_IMM_LSL12" => values[r[1]].wrapping_add(n(0) << 12),
                    "SUB_IMM" => values[r[1]].wrapping_sub(n(0)),
                    "SUBS_IMM" => {
                        flags = values[r[1]].wrapping_sub(n(0)) as i64;
                        flags as u64
                    }
                    "ADD_X" => values[r[1]].wrapping_add(values[r[2]]),
                    "MOVZ" => n(0),
                    "CSEL" => values[if holds(numbers[0], flags) { r[1] } else { r[2] }],
                    "CMP_IMM" | "CMP_X" => {
                        flags = values[r[0]].wrapping_sub(if form.name() == "CMP_X" { values[r[1]] } else { n(0) }) as i64;
                        continue;
                    }
                    "B_COND" | "CBNZ" => {
                        if form.name() == "CBNZ" && values[r[0]] != 0 || form.name() == "B_COND" && holds(numbers[0], flags) {
                            at = head();
                        }
                        continue;
                    }
                    name => {
                        let hash = name.bytes().fold(numbers.iter().fold(7, |h, n| mix(h, *n as u64)), |h, b| mix(h, u64::from(b)));
                        if touched.is_some() {
                            let address = values[r[1]].wrapping_add(numbers.first().copied().unwrap_or(0) as u64);
                            if form.kind.stores() {
                                written.insert(address, values[r[0]]);
                                continue;
                            }
                            read.insert(address);
                            mix(name.len() as u64, written.get(&address).copied().unwrap_or(address))
                        } else {
                            let roles = r.iter().zip(form.roles()).filter(|(_, role)| role.reads);
                            roles.fold(hash, |h, (v, _)| mix(h, values[*v]))
                        }
                    }
                };
                values[r[0]] = result;
            }
        }
    }
    (written, read)
}

#[test]
fn loops_do_the_same_and_read_no_more() {
    let mut state = 3u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut ahead = 0;
    for case in 0..160 {
        let Made { insts, classes } = loops(&mut random, 1 + case % 5);
        let core = [&CORTEX_A55, &CORTEX_A53][case as usize % 2];
        let spilled = |insts: &[Inst], classes: &[Class]| {
            let inner = alloc::allocate(&events(insts), classes, REGISTERS).map_or(u32::MAX, |a| a.vector_slots);
            Spills { inner, weight: inner.into() }
        };
        let mut all = classes.clone();
        let scheduled = schedule(insts.clone(), &mut all, core, REGISTERS, spilled);
        let (expected, found) = (execute(&insts, classes.len()), execute(&scheduled, all.len()));
        assert_eq!(found.0, expected.0, "case {case}");
        let more: Vec<&u64> = found.1.difference(&expected.1).collect();
        assert!(more.is_empty(), "case {case}: reads {more:x?}");
        assert!(spilled(&scheduled, &all).inner <= spilled(&insts, &classes).inner, "case {case}");
        let begin = |insts: &[Inst]| insts.iter().position(|i| matches!(i, Inst::LoopBegin));
        ahead += usize::from(begin(&scheduled) > begin(&insts));
    }
    assert!(ahead > 60, "{ahead} of 160 loops load ahead");
}
