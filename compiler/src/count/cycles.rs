//! Modelled cycles of what was executed: those of each basic block, times how often it ran.
//!
//! Not a measurement: the caches hit, branches are foreseen, and a block's cycles are those of its turns one after the other, as in a loop. The idea: counts
//! by instruction tell basic blocks, together with the branches in the code; blocks that are the same are modelled once.

use super::Executed;
use cranelite_codegen::neon::cores::Core;
use cranelite_codegen::neon::scoreboard;
use std::collections::{BTreeMap, BTreeSet};

/// Cycles on some cores.
pub struct Model<'c> {
    cores: &'c [&'static Core],
    /// Machine code from an address on.
    code: (u64, Vec<u32>),
    known: BTreeMap<Vec<u32>, Block>,
}

#[derive(Clone)]
struct Block {
    /// By core.
    cycles: Vec<f64>,
    /// Instructions of which the model has to guess what they are.
    unknown: usize,
}

/// What a part of a program takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// By core.
    pub cycles: Vec<u64>,
    /// Executed instructions of which the model has to guess what they are.
    pub unknown: u64,
}

impl<'c> Model<'c> {
    pub fn new(cores: &'c [&'static Core], (from, bytes): (u64, &[u8])) -> Self {
        let words = bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().expect("four bytes")));
        Model { cores, code: (from, words.collect()), known: BTreeMap::new() }
    }

    pub fn of(&mut self, executed: &Executed) -> Taken {
        let (mut cycles, mut unknown) = (vec![0.0; self.cores.len()], 0);
        for (words, count) in self.blocks(executed) {
            let cores = self.cores;
            let block = self.known.entry(words).or_insert_with_key(|words| {
                let code = scoreboard::decode(words);
                Block { cycles: cores.iter().map(|core| scoreboard::cycles(&code.steps, core)).collect(), unknown: code.unknown }
            });
            cycles.iter_mut().zip(&block.cycles).for_each(|(all, one)| *all += one * count as f64);
            unknown += block.unknown as u64 * count;
        }
        Taken { cycles: cycles.into_iter().map(|c| c.round() as u64).collect(), unknown }
    }

    fn word(&self, address: u64) -> u32 {
        let index = address.checked_sub(self.code.0).map(|bytes| bytes as usize / 4);
        // What is not there is no instruction, and the model guesses.
        index.and_then(|i| self.code.1.get(i)).copied().unwrap_or(0)
    }

    /// Basic blocks, and how often each ran.
    fn blocks(&self, executed: &Executed) -> Vec<(Vec<u32>, u64)> {
        let branches = executed.0.keys().filter_map(|&at| Some((at, branch(self.word(at))?)));
        let targets: BTreeSet<u64> = branches.filter_map(|(at, branch)| Some(at.wrapping_add_signed(branch.distance?))).collect();
        let mut blocks: Vec<(Vec<u32>, u64)> = vec![];
        // Where the block that was begun goes on, if it does.
        let mut next = None;
        for (&at, &count) in &executed.0 {
            let word = self.word(at);
            match blocks.last_mut().filter(|b| next == Some(at) && b.1 == count && !targets.contains(&at)) {
                Some(block) => block.0.push(word),
                None => blocks.push((vec![word], count)),
            }
            next = branch(word).is_none().then_some(at + 4);
        }
        blocks
    }
}

struct Branch {
    /// In bytes, where the instruction says it.
    distance: Option<i64>,
}

/// What a word of AArch64 branches to, if it does.
fn branch(word: u32) -> Option<Branch> {
    // The signed field of so many bits from bit `low` on counts words.
    let field = |low: u32, bits: u32| Some(i64::from((word << (32 - low - bits)) as i32 >> (32 - bits)) * 4);
    let distance = match word {
        // B and BL.
        w if w & 0x7c00_0000 == 0x1400_0000 => field(0, 26),
        // B.cond, CBZ and CBNZ, TBZ and TBNZ.
        w if w & 0xff00_0000 == 0x5400_0000 || w & 0x7e00_0000 == 0x3400_0000 => field(5, 19),
        w if w & 0x7e00_0000 == 0x3600_0000 => field(5, 14),
        // BR, BLR and RET.
        w if w & 0xfe00_0000 == 0xd600_0000 => None,
        _ => return None,
    };
    Some(Branch { distance })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_codegen::neon::cores::{CORTEX_A53, CORTEX_A76};

    const NOP: u32 = 0xd503_201f;
    /// add x0, x0, x1
    const ADD: u32 = 0x8b01_0000;
    const RET: u32 = 0xd65f_03c0;

    #[test]
    fn branches_are_known() {
        let of = |word| branch(word).map(|b| b.distance);
        assert_eq!(of(0x17ff_fffe), Some(Some(-8)));
        assert_eq!(of(0x9400_0002), Some(Some(8)));
        // b.ne -4, cbnz x0 +16, tbz w3, #5, -8
        assert_eq!([of(0x54ff_ffe1), of(0xb500_0080), of(0x362f_ffc3)], [Some(Some(-4)), Some(Some(16)), Some(Some(-8))]);
        assert_eq!([of(RET), of(0xd63f_0100), of(ADD), of(NOP)], [Some(None), Some(None), None, None]);
    }

    #[test]
    fn a_block_begins_where_a_branch_leads() {
        // 0: add; 4: add; 8: cbnz x0, 4; 12: ret
        let words = [ADD, ADD, 0xb5ff_ffe0, RET];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let cores = [&CORTEX_A53, &CORTEX_A76];
        let mut model = Model::new(&cores, (0x1000, &bytes));
        let executed = |turns: u64| Executed([(0x1000, 1), (0x1004, turns), (0x1008, turns), (0x100c, 1)].into());
        let blocks = |turns| model.blocks(&executed(turns)).into_iter().map(|(words, count)| (words.len(), count)).collect::<Vec<_>>();
        assert_eq!(blocks(7), [(1, 1), (2, 7), (1, 1)]);
        // Even where it does not show in the counts.
        assert_eq!(blocks(1), [(1, 1), (2, 1), (1, 1)]);
        // A sum takes a cycle for each turn at least, since it goes on with the one before.
        let [few, many] = [7, 1007].map(|turns| model.of(&executed(turns)));
        for core in 0..2 {
            let each = (many.cycles[core] - few.cycles[core]) as f64 / 1000.0;
            assert!((1.0..=2.5).contains(&each), "{each}");
        }
        assert_eq!(many.unknown, 0);
    }
}
