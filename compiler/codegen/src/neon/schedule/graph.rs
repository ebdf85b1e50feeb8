//! What must stay in order in straight-line code.
//!
//! The idea: every instruction names the earlier ones that it must follow, for registers (a value before its readers, readers before the next value of the
//! same register) and for memory, with the cycles from the one's issue to the other's.

use super::super::cores::{Core, Row};
use super::super::inst::Touched;
use super::super::scoreboard::Timed;
use std::collections::BTreeMap;

/// An instruction as the scheduler sees it: registers are numbers, flags are one of them.
#[derive(Clone, Debug)]
pub struct Node {
    pub timed: Timed,
    pub memory: Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    None,
    Known(Touched),
    /// It may read or write anything.
    Anything,
}

pub struct Graph {
    /// By instruction: those that follow it, and after how many cycles.
    pub followers: Vec<Vec<(u32, u32)>>,
    /// How many each follows.
    pub leaders: Vec<u32>,
    /// Cycles from its issue to the end of the longest chain that begins with it.
    pub height: Vec<u32>,
    /// What each is to the core.
    pub rows: Vec<Row>,
}

/// An access to memory so far: which value of its base register the address was made of.
struct Place {
    node: usize,
    touched: Option<Touched>,
    version: u32,
}

impl Place {
    fn writes(&self) -> bool {
        self.touched.is_none_or(|t| t.is_write)
    }
    /// May the two be the same place, one of them written?
    fn conflicts(&self, other: &Place) -> bool {
        if !self.writes() && !other.writes() {
            return false;
        }
        let (Some(a), Some(b)) = (self.touched, other.touched) else { return true };
        if a.is_constant || b.is_constant {
            return false;
        }
        let apart = a.offset + i64::from(a.bytes) <= b.offset || b.offset + i64::from(b.bytes) <= a.offset;
        !(a.base.is_some() && a.base == b.base && self.version == other.version && apart)
    }
}

impl Graph {
    pub fn new(nodes: &[Node], core: &Core) -> Graph {
        let mut graph = Graph {
            followers: vec![vec![]; nodes.len()],
            leaders: vec![0; nodes.len()],
            height: vec![0; nodes.len()],
            rows: nodes.iter().map(|n| core.row(n.timed.kind)).collect(),
        };
        let mut written: BTreeMap<u32, usize> = BTreeMap::new();
        let mut readers: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut versions: BTreeMap<u32, u32> = BTreeMap::new();
        let mut places: Vec<Place> = vec![];
        for (n, node) in nodes.iter().enumerate() {
            let step = &node.timed;
            let mut before: BTreeMap<usize, u32> = BTreeMap::new();
            let mut follow = |m: usize, cycles: u32| {
                let most = before.entry(m).or_default();
                *most = cycles.max(*most);
            };
            for r in &step.reads {
                if let Some(&m) = written.get(r) {
                    follow(m, latency(&nodes[m].timed, step, *r, core));
                }
            }
            for w in &step.writes {
                readers.get(w).into_iter().flatten().for_each(|&m| follow(m, 0));
                if let Some(&m) = written.get(w) {
                    follow(m, 1);
                }
            }
            let place = match node.memory {
                Memory::None => None,
                Memory::Anything => Some(Place { node: n, touched: None, version: 0 }),
                Memory::Known(t) => {
                    let version = t.base.and_then(|b| versions.get(&b.0)).copied().unwrap_or(0);
                    Some(Place { node: n, touched: Some(t), version })
                }
            };
            if let Some(place) = place {
                let is_constant = !place.writes() && place.touched.is_some_and(|t| t.is_constant);
                places.iter().filter(|p| p.conflicts(&place)).for_each(|p| follow(p.node, 1));
                if !is_constant {
                    places.push(place);
                }
            }
            for r in &step.reads {
                readers.entry(*r).or_default().push(n);
            }
            for w in &step.writes {
                written.insert(*w, n);
                readers.insert(*w, vec![]);
                *versions.entry(*w).or_default() += 1;
            }
            graph.leaders[n] = before.len() as u32;
            for (m, cycles) in before {
                graph.followers[m].push((n as u32, cycles));
            }
        }
        for n in (0..nodes.len()).rev() {
            let own = u32::from(graph.rows[n].latency);
            let longest = graph.followers[n].iter().map(|(m, cycles)| cycles + graph.height[*m as usize]).max();
            graph.height[n] = own.max(longest.unwrap_or(0));
        }
        graph
    }
}

/// Cycles from the issue of `from` until `to` may read the register.
fn latency(from: &Timed, to: &Timed, register: u32, core: &Core) -> u32 {
    let row = core.row(from.kind);
    if from.address == Some(register) {
        1
    } else if from.kind == to.kind && from.reads.contains(&register) && to.writes.contains(&register) {
        u32::from(row.accumulate)
    } else {
        u32::from(row.latency)
    }
}
