//! A list scheduler for one run of straight-line code.
//!
//! The ideas: cycle by cycle, of the instructions whose operands and pipes are there the one at the head of the longest chain is next; no instruction is
//! taken that would bring more values to life than a limit allows, but the first of the original order always may go, so that there is always
//! one. Only a stretch of the original order is looked at, which bounds the work and how far an instruction moves ahead.

use super::super::cores::Core;
use super::super::kind::Kind;
use super::super::scoreboard::InOrder;
use super::graph::{Graph, Node};

/// Numbers of vectors, of general registers, and of the vectors that must be in a register below 16.
pub type Counts = [i32; 3];

/// What lives before and after the run.
#[derive(Clone)]
pub struct Around {
    /// By register of the run: 1 where it counts (flags do nowhere).
    pub counts: Vec<Counts>,
    /// By register: does it hold a value before the run, after it?
    pub before: Vec<bool>,
    pub after: Vec<bool>,
    /// Values that live through the run and that no instruction of it names.
    pub through: Counts,
}

/// Values alive while instructions are placed one after the other.
#[derive(Clone)]
struct Pressure<'a> {
    around: &'a Around,
    nodes: &'a [Node],
    alive: Vec<bool>,
    /// Accesses that are still to come.
    left: Vec<u32>,
    count: Counts,
    most: Counts,
}

fn add(to: &mut Counts, counts: &Counts) {
    to.iter_mut().zip(counts).for_each(|(t, c)| *t += c);
}

impl<'a> Pressure<'a> {
    fn new(nodes: &'a [Node], around: &'a Around) -> Self {
        let mut left = vec![0; around.counts.len()];
        for node in nodes {
            registers(node).for_each(|r| left[r as usize] += 1);
        }
        let mut count = around.through;
        around.counts.iter().zip(&around.before).filter(|c| *c.1).for_each(|c| add(&mut count, c.0));
        Pressure { around, nodes, alive: around.before.clone(), left, count, most: count }
    }
    /// Values that an instruction ends by reading them last, and that it begins by writing them.
    fn change(&self, node: usize) -> (Counts, Counts) {
        let (mut ends, mut begins) = ([0; 3], [0; 3]);
        let step = &self.nodes[node].timed;
        for r in registers(&self.nodes[node]) {
            let counts = &self.around.counts[r as usize];
            let written = step.writes.contains(&r);
            if !self.alive[r as usize] {
                add(&mut begins, counts);
            } else if self.left[r as usize] == 1 && !self.around.after[r as usize] && !written {
                add(&mut ends, counts);
            }
        }
        (ends, begins)
    }
    /// May it go without exceeding the limit, or does it end at least as many as it begins? What begins chains leaves some for what goes on with them.
    fn allows(&self, node: usize, limit: Counts, reserve: i32) -> bool {
        let (ends, begins) = self.change(node);
        let kind = self.nodes[node].timed.kind;
        let reserve = if kind.loads() || kind == Kind::Logic { reserve } else { 0 };
        (0..3).all(|c| begins[c] <= ends[c] || self.count[c] - ends[c] + begins[c] <= limit[c] - reserve)
    }
    fn place(&mut self, node: usize) {
        let (ends, begins) = self.change(node);
        for c in 0..3 {
            self.count[c] += begins[c] - ends[c];
            self.most[c] = self.most[c].max(self.count[c]);
        }
        for r in registers(&self.nodes[node]) {
            let at = r as usize;
            self.left[at] -= 1;
            let lives = self.left[at] > 0 || self.around.after[at];
            // What is written and never read dies at once.
            if !lives && self.nodes[node].timed.writes.contains(&r) {
                self.count.iter_mut().zip(&self.around.counts[at]).for_each(|(t, c)| *t -= c);
            }
            self.alive[at] = lives;
        }
    }
}

/// Registers of an instruction, each once.
fn registers(node: &Node) -> impl Iterator<Item = u32> + '_ {
    let (reads, writes) = (&node.timed.reads, &node.timed.writes);
    let first = reads.iter().enumerate().filter(|(n, r)| !reads[..*n].contains(r)).map(|(_, r)| *r);
    let second = writes.iter().enumerate().filter(|(n, w)| !reads.contains(w) && !writes[..*n].contains(w)).map(|(_, w)| *w);
    first.chain(second)
}

/// Values for which there is no place in this order, summed over all instructions.
pub fn excess(nodes: &[Node], around: &Around, order: &[usize], there: Counts) -> Counts {
    let mut pressure = Pressure::new(nodes, around);
    let mut out = [0; 3];
    for n in order {
        // The most while this one executes.
        pressure.most = [0; 3];
        pressure.place(*n);
        (0..3).for_each(|c| out[c] += (pressure.most[c] - there[c]).max(0));
    }
    out
}

/// What an order is made by.
#[derive(Clone, Copy)]
pub struct Tried {
    /// No more values than these live at once where that is possible.
    pub limit: Counts,
    /// Loads leave so many of them to others.
    pub reserve: i32,
    /// How far ahead of the first instruction that has not been placed others are looked for.
    pub stretch: usize,
}

/// An order that takes few cycles.
pub fn order(nodes: &[Node], graph: &Graph, around: &Around, core: &'static Core, tried: Tried) -> Vec<usize> {
    let Tried { limit, reserve, stretch } = tried;
    let mut pressure = Pressure::new(nodes, around);
    let mut machine = InOrder::new(core);
    let mut waits = graph.leaders.clone();
    // First cycle in which the operands of an open instruction are there.
    let mut operands = vec![0; nodes.len()];
    let mut placed = vec![false; nodes.len()];
    let mut out = Vec::with_capacity(nodes.len());
    let mut first = 0;
    // Instructions that follow nothing that is not placed, the longest chain first.
    let mut open: Vec<usize> = vec![];
    let mut seen = 0;
    let urgent = |n: &usize| (std::cmp::Reverse(graph.height[*n]), *n);
    while out.len() < nodes.len() {
        while placed.get(first) == Some(&true) {
            first += 1;
        }
        let end = nodes.len().min(first + stretch);
        while seen < end {
            if waits[seen] == 0 {
                operands[seen] = machine.operands(&nodes[seen].timed);
                let at = open.binary_search_by_key(&urgent(&seen), urgent).unwrap_or_else(|at| at);
                open.insert(at, seen);
            }
            seen += 1;
        }
        let mut best: Option<(u32, usize)> = None;
        for &n in &open {
            if n >= end || best.is_some_and(|b| b.0 <= machine.cycle().max(operands[n])) {
                continue;
            }
            let at = machine.earliest_with(&graph.rows[n], operands[n]);
            if best.is_none_or(|b| at < b.0) && pressure.allows(n, limit, reserve) {
                best = Some((at, n));
            }
        }
        let next = best.map_or(first, |b| b.1);
        machine.issue(&nodes[next].timed);
        pressure.place(next);
        placed[next] = true;
        open.retain(|n| *n != next);
        out.push(next);
        for &(follower, _) in &graph.followers[next] {
            let follower = follower as usize;
            waits[follower] -= 1;
            if waits[follower] == 0 && follower < seen {
                operands[follower] = machine.operands(&nodes[follower].timed);
                let at = open.binary_search_by_key(&urgent(&follower), urgent).unwrap_or_else(|at| at);
                open.insert(at, follower);
            }
        }
    }
    out
}
