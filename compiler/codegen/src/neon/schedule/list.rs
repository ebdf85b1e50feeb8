//! A list scheduler for one run of straight-line code.
//!
//! The ideas: cycle by cycle, of the instructions whose operands and pipes are there the one at the head of the longest chain is next; no instruction is
//! taken that would bring more values to life than a limit allows, but the first of the original order always may go, so that there is always
//! one. Only a stretch of the original order is looked at, which bounds the work and how far an instruction moves ahead.

use super::super::cores::Core;
use super::super::scoreboard::InOrder;
use super::graph::{Graph, Node};
use crate::alloc::{Class, Registers};

/// How far ahead of the first instruction that has not been placed others are looked for.
const STRETCH: usize = 160;

/// What lives before and after the run.
pub struct Around {
    /// By register of the run: its class (flags have none).
    pub classes: Vec<Option<Class>>,
    /// By register: does it hold a value before the run, after it?
    pub before: Vec<bool>,
    pub after: Vec<bool>,
    /// Values that live through the run and that no instruction of it names, by class.
    pub through: Registers,
}

/// Values alive while instructions are placed one after the other.
#[derive(Clone)]
struct Pressure<'a> {
    around: &'a Around,
    nodes: &'a [Node],
    alive: Vec<bool>,
    /// Accesses that are still to come.
    left: Vec<u32>,
    count: [i32; 2],
    most: [i32; 2],
}

fn index(class: Class) -> usize {
    usize::from(class == Class::General)
}

impl<'a> Pressure<'a> {
    fn new(nodes: &'a [Node], around: &'a Around) -> Self {
        let mut left = vec![0; around.classes.len()];
        for node in nodes {
            registers(node).for_each(|r| left[r as usize] += 1);
        }
        let mut count = [i32::from(around.through.vector), i32::from(around.through.general)];
        for (class, before) in around.classes.iter().zip(&around.before) {
            if let (Some(class), true) = (class, before) {
                count[index(*class)] += 1;
            }
        }
        Pressure { around, nodes, alive: around.before.clone(), left, count, most: count }
    }
    /// Values that an instruction ends by reading them last, and that it begins by writing them, by class.
    fn change(&self, node: usize) -> ([i32; 2], [i32; 2]) {
        let (mut ends, mut begins) = ([0; 2], [0; 2]);
        let step = &self.nodes[node].timed;
        for r in registers(&self.nodes[node]) {
            let Some(class) = self.around.classes[r as usize] else { continue };
            let written = step.writes.contains(&r);
            if !self.alive[r as usize] {
                begins[index(class)] += 1;
            } else if self.left[r as usize] == 1 && !self.around.after[r as usize] && !written {
                ends[index(class)] += 1;
            }
        }
        (ends, begins)
    }
    /// May it go without exceeding the limit, or does it end at least as many as it begins?
    fn allows(&self, node: usize, limit: [i32; 2]) -> bool {
        let (ends, begins) = self.change(node);
        (0..2).all(|c| begins[c] <= ends[c] || self.count[c] - ends[c] + begins[c] <= limit[c])
    }
    fn place(&mut self, node: usize) {
        let (ends, begins) = self.change(node);
        for c in 0..2 {
            self.count[c] += begins[c] - ends[c];
            self.most[c] = self.most[c].max(self.count[c]);
        }
        for r in registers(&self.nodes[node]) {
            let at = r as usize;
            self.left[at] -= 1;
            let lives = self.left[at] > 0 || self.around.after[at];
            // What is written and never read dies at once.
            if let (Some(class), false, true) = (self.around.classes[at], lives, self.nodes[node].timed.writes.contains(&r)) {
                self.count[index(class)] -= 1;
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

/// Most values of each class that live at once in this order.
pub fn pressure(nodes: &[Node], around: &Around, order: &[usize]) -> [i32; 2] {
    let mut pressure = Pressure::new(nodes, around);
    order.iter().for_each(|n| pressure.place(*n));
    pressure.most
}

/// An order that takes few cycles, with few values alive where that is possible.
pub fn order(nodes: &[Node], graph: &Graph, around: &Around, core: &'static Core, limit: [i32; 2]) -> Vec<usize> {
    let mut pressure = Pressure::new(nodes, around);
    let mut machine = InOrder::new(core);
    let mut waits = graph.leaders.clone();
    // First cycle in which the values that an instruction follows are there.
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
        let end = nodes.len().min(first + STRETCH);
        while seen < end {
            if waits[seen] == 0 {
                let at = open.binary_search_by_key(&urgent(&seen), urgent).unwrap_or_else(|at| at);
                open.insert(at, seen);
            }
            seen += 1;
        }
        let mut best: Option<(u32, usize)> = None;
        for &n in &open {
            if n >= end || best.is_some_and(|b| b.0 <= machine.cycle()) {
                continue;
            }
            let at = machine.earliest(&nodes[n].timed);
            if best.is_none_or(|b| at < b.0) && pressure.allows(n, limit) {
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
                let at = open.binary_search_by_key(&urgent(&follower), urgent).unwrap_or_else(|at| at);
                open.insert(at, follower);
            }
        }
    }
    out
}
