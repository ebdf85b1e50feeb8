//! Random lists, followed twice: as they are, on as many registers as they name, and as encoded, on those that there are.
//!
//! Not an emulator of AArch64: the few instructions of these lists do something that tells operands and lanes apart, the same in both.

use super::*;
use crate::neon::forms::{Arrangement::B16, decode};
use std::collections::BTreeMap;

/// A generator of numbers: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
    fn of(&mut self, all: &[u32]) -> u32 {
        all[self.below(all.len() as u64) as usize]
    }
}

const ARGUMENTS: usize = 11;
/// The parameters, a pointer to the results first.
const GIVEN: [u64; ARGUMENTS] = [0x10_0000, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31];
const STACK: u64 = 0x8_0000;

/// Registers and memory. Register 31 of the general ones is the stack pointer where it is an address or is stepped.
#[derive(Default)]
struct State {
    general: BTreeMap<u32, u64>,
    vectors: BTreeMap<u32, u128>,
    memory: BTreeMap<u64, u64>,
}

impl State {
    fn get(&self, class: Class, register: u32) -> u128 {
        match class {
            General => self.general.get(&register).copied().expect("a register with a value").into(),
            Vector => self.vectors.get(&register).copied().expect("a register with a value"),
        }
    }
    fn set(&mut self, class: Class, register: u32, value: u128) {
        match class {
            General => drop(self.general.insert(register, value as u64)),
            Vector => drop(self.vectors.insert(register, value)),
        }
    }
    fn word(&self, address: u64) -> u64 {
        assert_eq!(address % 8, 0);
        self.memory.get(&address).copied().unwrap_or(0xdead)
    }

    /// Whether a branch is taken.
    fn follow(&mut self, form: &'static Form, registers: &[u32], numbers: &[i64]) -> bool {
        let roles = form.roles();
        let value = |i: usize| self.get(roles[i].class, registers[i]);
        let number = numbers.first().map_or(0, |&n| n as u64);
        let result = match form.name() {
            "ADD_X" => value(1).wrapping_add(value(2)),
            "SUB_X" => value(1).wrapping_sub(value(2)),
            "MADD" => (value(1) as u64).wrapping_mul(value(2) as u64).wrapping_add(value(3) as u64).into(),
            "ADD_IMM" => u128::from((value(1) as u64).wrapping_add(number)),
            "ADD_IMM_LSL12" => u128::from((value(1) as u64).wrapping_add(number << 12)),
            "SUB_IMM" => u128::from((value(1) as u64).wrapping_sub(number)),
            "SUB_IMM_LSL12" => u128::from((value(1) as u64).wrapping_sub(number << 12)),
            "MOVZ" => number.into(),
            "MOV_X" | "MOV_V" => value(1),
            "ADD_V" => value(1).wrapping_add(value(2).rotate_left(8)),
            "DUP_GENERAL" => value(1) * 0x1_0000_0001_0000_0001,
            "FMOV_FROM_D" => value(1) as u64 as u128,
            "MLA_LANE" => value(0).rotate_left(3).wrapping_add(value(1) ^ value(2).rotate_left(8 * number as u32)),
            "CBNZ" => return value(0) != 0,
            "LDRB" => 0,
            "LDR_X" | "LDR_D" => self.word(value(1) as u64 + number).into(),
            "LDR_Q" => {
                let at = value(1) as u64 + number;
                u128::from(self.word(at)) | u128::from(self.word(at + 8)) << 64
            }
            "LDP_X" | "LDP_D" => {
                let at = value(2) as u64 + number;
                self.set(roles[0].class, registers[0], self.word(at).into());
                self.word(at + 8).into()
            }
            "STR_X" | "STR_D" | "STR_Q" | "STP_X" | "STP_D" => {
                let at = value(registers.len() - 1) as u64 + number;
                let (low, high) = (value(0) as u64, (value(0) >> 64) as u64);
                let second = if registers.len() == 3 { Some(value(1) as u64) } else { (form.name() == "STR_Q").then_some(high) };
                self.memory.insert(at, low);
                second.map(|second| self.memory.insert(at + 8, second));
                return false;
            }
            other => unreachable!("{other}"),
        };
        let last = roles.iter().rposition(|role| role.writes).unwrap();
        self.set(roles[last].class, registers[last], result);
        false
    }
}

/// The list on its virtual registers.
fn followed(insts: &[Inst]) -> BTreeMap<u64, u64> {
    let mut state = State::default();
    let mut at = 0;
    while let Some(inst) = insts.get(at) {
        at += 1;
        match inst {
            Inst::Argument { to, index } => state.set(General, to.0, GIVEN[*index].into()),
            Inst::Move { to, from } if state.general.contains_key(&from.0) => state.set(General, to.0, state.get(General, from.0)),
            Inst::Move { to, from } => state.set(Vector, to.0, state.get(Vector, from.0)),
            Inst::Op { form, registers, numbers, label, .. } => {
                let registers: Vec<u32> = registers.iter().map(|v| v.0).collect();
                if state.follow(form, &registers, numbers) {
                    at = insts.iter().position(|i| matches!(i, Inst::Label(l) if Some(*l) == *label)).unwrap();
                }
            }
            Inst::Label(_) | Inst::LoopBegin | Inst::LoopEnd => {}
        }
    }
    state.memory
}

/// The code on the machine's registers.
fn executed(code: &Code) -> BTreeMap<u64, u64> {
    let mut state = State::default();
    // What is the caller's, and must be so at the end.
    let general: Vec<(u32, u64)> = (18..31).map(|r| (r, 1000 + u64::from(r))).chain([(31, STACK)]).collect();
    let vectors: Vec<(u32, u128)> = (8..16).map(|r| (r, 2000 + u128::from(r) + (1 << 100))).collect();
    state.general.extend(general.clone());
    state.vectors.extend(vectors.clone());
    state.general.extend((0..8).zip(GIVEN));
    state.memory.extend((0..).map(|i| STACK + 8 * i).zip(GIVEN[8..].iter().copied()));
    let words = code.bytes.chunks_exact(4).map(|w| u32::from_le_bytes(w.try_into().unwrap()));
    let decoded: Vec<_> = words.map(|w| decode(w).unwrap()).collect();
    let mut at = 0;
    loop {
        let d = &decoded[at / 4];
        if d.form == &forms::RET {
            break;
        }
        if d.form == &forms::BTI_C {
            at += 4;
            continue;
        }
        let registers: Vec<u32> = d.registers.iter().map(|&r| r.into()).collect();
        at = if state.follow(d.form, &registers, &d.numbers) { (at as i64 + d.numbers[0]) as usize } else { at + 4 };
        assert!(STACK - u64::from(code.stack_bytes) <= state.general[&31]);
    }
    general.iter().for_each(|(r, value)| assert_eq!(state.general[r], *value, "x{r}"));
    vectors.iter().for_each(|(r, value)| assert_eq!(state.vectors[r] as u64, *value as u64, "v{r}"));
    state.memory.retain(|address, _| GIVEN[0] <= *address);
    state.memory
}

struct List {
    random: Random,
    general: Vec<u32>,
    vectors: Vec<u32>,
    /// Counters of open loops, which are only read.
    counters: Vec<u32>,
    insts: Vec<Inst>,
    classes: Vec<Class>,
    labels: u32,
}

impl List {
    fn body(&mut self, depth: usize) {
        for _ in 0..3 + self.random.below(20) {
            let r = &mut self.random;
            let readable = [self.general.as_slice(), &self.counters].concat();
            let (d, n, m, a) = (r.of(&self.general), r.of(&readable), r.of(&readable), r.of(&readable));
            let (vd, vn, vm) = (r.of(&self.vectors), r.of(&self.vectors), r.of(&self.vectors));
            let inst = match r.below(if depth < 3 { 10 } else { 9 }) {
                0 => plain(&forms::ADD_X, &[d, n, m], &[]),
                1 => plain(&forms::MADD, &[d, n, m, a], &[]),
                2 => Inst::Move { to: Virtual(d), from: Virtual(n) },
                3 | 4 => Inst::Move { to: Virtual(vd), from: Virtual(vn) },
                5 => op(&forms::ADD_V, B16, &[vd, vn, vm], &[]),
                6 => op(&forms::MLA_LANE, H8, &[vd, vn, vm], &[r.below(8) as i64]),
                7 => op(&forms::DUP_GENERAL, Arrangement::D2, &[vd, n], &[]),
                8 => plain(&forms::FMOV_FROM_D, &[d, vn], &[]),
                _ => {
                    self.turns(depth);
                    continue;
                }
            };
            self.insts.push(inst);
        }
    }

    fn turns(&mut self, depth: usize) {
        let counter = self.classes.len() as u32;
        self.classes.push(General);
        let (label, turns) = (self.labels, 1 + self.random.below(3) as i64);
        self.labels += 1;
        self.insts.extend([plain(&forms::MOVZ, &[counter], &[turns, 0]), Inst::LoopBegin, Inst::Label(Label(label))]);
        self.counters.push(counter);
        self.body(depth + 1);
        self.counters.pop();
        self.insts.push(plain(&forms::SUB_IMM, &[counter, counter], &[1]));
        self.insts.extend([to(&forms::CBNZ, &[counter], &[], label), Inst::LoopEnd]);
    }
}

fn list(seed: u64) -> (Vec<Inst>, Vec<Class>) {
    let mut random = Random(seed);
    let general = ARGUMENTS as u64 + random.below(24);
    let vectors = 2 + random.below(40);
    let mut classes = vec![General; general as usize];
    classes.extend(vec![Vector; vectors as usize]);
    let (first, last) = (general as u32, (general + vectors) as u32);
    let mut l = List {
        random,
        general: (1..first).collect(),
        vectors: (first..last).collect(),
        counters: vec![],
        insts: vec![],
        classes,
        labels: 0,
    };
    l.insts.extend((0..ARGUMENTS).map(|i| argument(i as u32, i)));
    l.insts.extend((ARGUMENTS as u32..first).map(|v| plain(&forms::MOVZ, &[v], &[40 + i64::from(v), 0])));
    l.insts.extend((first..last).map(|v| op(&forms::DUP_GENERAL, Arrangement::D2, &[v, v % 11], &[])));
    l.body(0);
    l.insts.extend((1..first).map(|v| plain(&forms::STR_X, &[v, 0], &[8 * i64::from(v)])));
    l.insts.extend((first..last).map(|v| plain(&forms::STR_Q, &[v, 0], &[16 * i64::from(v)])));
    (l.insts, l.classes)
}

#[test]
fn encoded_lists_do_what_lists_do() {
    let mut spills = 0;
    for seed in 0..300 {
        let (insts, classes) = list(seed);
        let code = encode(insts.clone(), &classes, ARGUMENTS, &[]).unwrap();
        spills += u32::from(code.inner_spills != 0);
        assert!(followed(&insts) == executed(&code), "seed {seed}:\n{}", listing(&code.bytes));
    }
    assert!(20 < spills && spills < 280, "{spills} lists have spills in their innermost loops");
}
