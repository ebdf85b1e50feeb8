//! Random straight-line code in its original order and scheduled, on a machine that mixes values.

use super::super::cores::{CORES, Issue};
use super::super::inst::Touched;
use super::super::kind::Kind;
use super::super::scoreboard::{self, Timed};
use super::graph::{Memory, Node};
use super::list::{self, Around};
use crate::alloc::Virtual;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
    fn is(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Addresses in general registers 0 to 3, sums in vector registers, values written more than once, flags.
fn code(random: &mut Random) -> (Vec<Node>, Around) {
    let (generals, vectors) = (6 + random.below(4), 4 + random.below(28));
    let flags = (generals + vectors) as u32;
    let general = |r: &mut Random| r.below(generals) as u32;
    let vector = |r: &mut Random| (generals + r.below(vectors)) as u32;
    let mut nodes = vec![];
    for _ in 0..5 + random.below(120) {
        let touched = |r: &mut Random, base: u32, is_write| Touched {
            base: Some(Virtual(base)).filter(|_| !r.is(5)),
            offset: r.below(12) as i64 * 4,
            bytes: [4, 8, 16][r.below(3)],
            is_write,
            is_constant: !is_write && r.is(20),
        };
        let step = |kind, reads, writes| Timed { kind, reads, writes, address: None };
        let none = |timed| Node { timed, memory: Memory::None };
        let (a, b, d) = (vector(random), vector(random), vector(random));
        nodes.push(match random.below(10) {
            0..3 => {
                let base = random.below(4) as u32;
                let kind = [Kind::LoadVector, Kind::LoadVectorLong, Kind::LoadSplat][random.below(3)];
                let mut timed = step(kind, vec![base], vec![d]);
                if random.is(20) {
                    timed.writes.push(base);
                    timed.address = Some(base);
                }
                Node { timed, memory: Memory::Known(touched(random, base, false)) }
            }
            3 => {
                let base = random.below(4) as u32;
                Node { timed: step(Kind::StoreVectorLong, vec![a, base], vec![]), memory: Memory::Known(touched(random, base, true)) }
            }
            4 => Node {
                timed: step(Kind::Store, vec![general(random)], vec![]),
                memory: if random.is(30) { Memory::Anything } else { Memory::None },
            },
            5 => none(step(Kind::Integer, vec![general(random)], vec![general(random)])),
            6 => none(step(Kind::Integer, vec![general(random), general(random)], vec![flags])),
            7 => none(step(Kind::Integer, vec![flags, general(random)], vec![general(random)])),
            8 => none(step(Kind::Add, vec![a, b], vec![d])),
            _ => none(step([Kind::Dot, Kind::FloatMultiplyAdd][random.below(2)], vec![a, b, d], vec![d])),
        });
    }
    let counts = (0..=flags).map(|r| match r as usize {
        r if r < generals => [0, 1, 0],
        r if r < generals + vectors => [1, 0, i32::from(r % 4 == 0)],
        _ => [0; 3],
    });
    // What is read before it is written comes from outside.
    let mut before = vec![false; flags as usize + 1];
    let mut written = before.clone();
    for node in &nodes {
        node.timed.reads.iter().for_each(|r| before[*r as usize] |= !written[*r as usize]);
        node.timed.writes.iter().for_each(|w| written[*w as usize] = true);
    }
    let after = (0..=flags).map(|_| random.is(50)).collect();
    let around = Around { counts: counts.collect(), before, after, through: [random.below(4) as i32, 2, 1] };
    (nodes, around)
}

fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15)).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

/// Registers and memory after the code. Addresses are small, so that different bases do meet.
fn execute(nodes: &[Node], order: &[usize], registers: usize) -> (Vec<u64>, Vec<u8>) {
    let mut values: Vec<u64> = (0..registers as u64).map(|r| mix(r, 7)).collect();
    let mut memory: Vec<u8> = (0..256).map(|b| b as u8).collect();
    for &n in order {
        let Node { timed, memory: place } = &nodes[n];
        let mut hash = timed.reads.iter().fold(n as u64, |h, r| mix(h, values[*r as usize]));
        let (span, is_write, is_constant) = match place {
            Memory::None => (0..0, false, false),
            Memory::Anything => (0..256, true, false),
            Memory::Known(t) => {
                let base = t.base.map_or(0, |b| values[b.0 as usize] % 64 * 2);
                let at = base as usize + t.offset as usize;
                (at..at + t.bytes as usize, t.is_write, t.is_constant)
            }
        };
        if is_write {
            memory[span].iter_mut().for_each(|b| *b = mix(hash, u64::from(*b)) as u8);
        } else if !is_constant {
            hash = memory[span].iter().fold(hash, |h, b| mix(h, u64::from(*b)));
        }
        for (k, w) in timed.writes.iter().enumerate() {
            values[*w as usize] = mix(hash, k as u64);
        }
    }
    (values, memory)
}

fn tail(is_loop: bool) -> Option<Vec<Timed>> {
    is_loop.then(|| vec![Timed { kind: Kind::Branch, reads: vec![], writes: vec![], address: None }])
}

#[test]
fn scheduled_code_does_the_same_in_as_few_registers_and_no_more_cycles() {
    let mut random = Random(1);
    let mut better = 0;
    for case in 0..120 {
        let (nodes, around) = code(&mut random);
        let core = CORES[case % CORES.len()];
        let registers = [12 + random.below(21) as i32, 8 + random.below(16) as i32, 3 + random.below(14) as i32];
        let original: Vec<usize> = (0..nodes.len()).collect();
        let is_loop = random.is(50);
        let order = super::best(&nodes, &around, core, registers, tail(is_loop).as_deref()).order;
        assert_eq!(
            order,
            super::best(&nodes, &around, core, registers, tail(is_loop).as_deref()).order,
            "case {case}: another order the second time"
        );
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(sorted, original, "case {case}: every instruction once");
        let count = around.counts.len();
        assert_eq!(execute(&nodes, &order, count), execute(&nodes, &original, count), "case {case}: {nodes:?}");
        let needs = |order: &[usize]| list::excess(&nodes, &around, order, registers);
        let (before, after) = (needs(&original), needs(&order));
        assert!(before != [0; 3] || after == [0; 3], "case {case}: {after:?} too many registers, {before:?} before");
        let cycles = |order: &[usize]| {
            let steps: Vec<Timed> = order.iter().map(|n| nodes[*n].timed.clone()).collect();
            scoreboard::once(&steps, core)
        };
        if core.issue == Issue::InOrder && !is_loop {
            assert!(cycles(&order) <= cycles(&original), "case {case}");
        }
        better += usize::from(cycles(&order) < cycles(&original));
    }
    assert!(better > 40, "{better} of 120 became faster");
}

/// Six pixels, eight channels: a load, a copy to all lanes and two products of bytes per pixel, all through one register.
#[test]
fn products_no_longer_wait_for_their_loads() {
    let (base, weights, sums) = (0, 2, 10);
    let mut nodes = vec![];
    let mut add = |kind, reads: &[u32], writes: &[u32]| {
        let timed = Timed { kind, reads: reads.to_vec(), writes: writes.to_vec(), address: None };
        nodes.push(Node { timed, memory: Memory::None });
    };
    add(Kind::LoadVectorLong, &[base], &[weights]);
    add(Kind::LoadVectorLong, &[base], &[weights + 1]);
    for pixel in 0..12 {
        let value = 50 + pixel;
        add(Kind::LoadSplat, &[base], &[value]);
        for half in 0..2 {
            let sum = sums + 2 * pixel + half;
            add(Kind::Dot, &[sum, value, weights + half], &[sum]);
        }
    }
    let lives: Vec<bool> = (0..70).map(|r| r == base || (sums..sums + 24).contains(&r)).collect();
    let counts = (0..70).map(|r| if r == base { [0, 1, 0] } else { [1, 0, 0] }).collect();
    let around = Around { counts, before: lives.clone(), after: lives, through: [0, 2, 0] };
    let registers = [32, 26, 16];
    let cycles = |order: &[usize]| {
        let steps: Vec<Timed> = order.iter().map(|n| nodes[*n].timed.clone()).collect();
        scoreboard::cycles(&steps, &super::super::cores::CORTEX_A55)
    };
    let super::Found { order, saved, .. } =
        super::best(&nodes, &around, &super::super::cores::CORTEX_A55, registers, tail(true).as_deref());
    let original: Vec<usize> = (0..nodes.len()).collect();
    assert!(saved > 20.0, "{saved}");
    assert!(cycles(&original) > 50.0 && cycles(&order) < 32.0, "{} before, {} now", cycles(&original), cycles(&order));
}
