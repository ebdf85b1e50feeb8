//! The order of instructions, for a core.
//!
//! Not their selection and not the allocation of registers, which comes after. The ideas: code between labels, branches and the borders of loops is put in
//! an order that a core executes in few cycles (`list.rs`), tried with several limits on the values that live at once; of the orders that need no more
//! registers than there are, the one that the scoreboard finds best is taken, and the original one when none is better. On cores in order, turns of loops
//! load for the next one where that pays (`ahead.rs`).

mod ahead;
mod graph;
mod list;
mod pack;
mod rotate;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod whole;

use super::cores::{Core, Issue};
use super::inst::{Inst, Touched};
use super::kind::Kind;
use super::scoreboard::{self, Timed};
use crate::alloc::{self, Class, Event, Lives, Registers, Virtual};
use graph::{Graph, Memory, Node};
use list::{Around, Counts, Tried};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// What values in the frame cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spills {
    /// Accesses to such values in innermost loops.
    pub inner: u32,
    /// All accesses, those in a loop eight times.
    pub weight: u64,
}

/// The instructions in an order for the core. `spills` says what goes to the frame: nothing in innermost loops if there was nothing before, and elsewhere only what
/// is worth it. Moves that would do nothing are gone.
pub fn schedule(
    insts: Vec<Inst>,
    classes: &mut Vec<Class>,
    core: &'static Core,
    registers: Registers,
    spills: impl Fn(&[Inst], &[Class]) -> Spills,
) -> Vec<Inst> {
    const CYCLES_OF_ACCESS: f64 = 3.0;
    let leaders = alloc::lives(&events(&insts), classes).leaders;
    let merged: Vec<Inst> = insts.iter().filter_map(|i| renamed(i, &leaders)).collect();
    let lives = alloc::lives(&events(&merged), classes);
    let mut counts = counts(&merged, classes);
    let mut code = Code { insts: &merged, lives: &lives, core, found: BTreeMap::new() };
    let mut before = None;
    let mut best: Option<(f64, Vec<Inst>)> = None;
    let ahead: &[Option<i32>] = if core.issue == Issue::InOrder { &[Some(2), Some(0), None] } else { &[None] };
    for ahead in ahead {
        // What few registers below 16 there are can ask for more than is counted here.
        for less in [0, 3, 8] {
            let there =
                [i32::from(registers.vector) - less, i32::from(registers.general) - less / 2, i32::from(registers.vector.min(16)) - less];
            let (out, gain) = code.in_order(classes, &mut counts, there, *ahead);
            let now = spills(&out, classes);
            if now == Spills::default() && best.is_none() {
                return out;
            }
            let before = *before.get_or_insert_with(|| spills(&insts, classes));
            let gain = gain - now.weight.saturating_sub(before.weight) as f64 * CYCLES_OF_ACCESS;
            if (now.inner == 0 || before.inner > 0) && 0.0 <= gain {
                if best.as_ref().is_none_or(|b| b.0 < gain) {
                    best = Some((gain, out));
                }
                break;
            }
        }
    }
    best.map_or(insts, |b| b.1)
}

/// What is to be put in order, and what was found so far.
struct Code<'a> {
    insts: &'a [Inst],
    lives: &'a Lives,
    core: &'static Core,
    /// By the beginning of a run and the registers that were there.
    found: BTreeMap<(usize, Counts), Rc<Found>>,
}

impl Code<'_> {
    /// All runs in the best order that is found, and the cycles that this saves. `ahead`: turns load for the next one, for which so many general registers of others may
    /// be asked.
    fn in_order(&mut self, classes: &mut Vec<Class>, counts: &mut Vec<Counts>, there: Counts, ahead: Option<i32>) -> (Vec<Inst>, f64) {
        let Code { insts, lives, core, .. } = *self;
        let mut out: Vec<Inst> = Vec::with_capacity(insts.len());
        let (mut gain, mut depth) = (0.0, 0u32);
        for run in runs(insts) {
            match insts[run.start] {
                Inst::LoopBegin => depth += 1,
                Inst::LoopEnd => depth -= 1,
                _ => {}
            }
            if run.len() < 3 {
                out.extend_from_slice(&insts[run]);
                continue;
            }
            let around = Surroundings { insts, run: &run, lives };
            let piece = Piece::new(&insts[run.clone()], &around, classes, counts);
            let order = || Rc::new(best(&piece.nodes, &piece.around, core, there, piece.tail.as_deref()));
            let found = self.found.entry((run.start, there)).or_insert_with(order).clone();
            let turn =
                ahead.and_then(|more| ahead::loads(&around, &piece, &found, classes, counts, core, [there[0], there[1] + more, there[2]]));
            let (body, saved) = match turn {
                Some(turn) => {
                    let begin = out.iter().rposition(|i| matches!(i, Inst::LoopBegin)).expect("a loop begins");
                    out.splice(begin..begin, turn.ahead);
                    (turn.body, found.saved + turn.saved)
                }
                None => (found.order.iter().map(|n| insts[run.start + n].clone()).collect(), found.saved),
            };
            gain += saved * f64::from(1u32 << (3 * depth.min(8)));
            out.extend(body);
        }
        (out, gain)
    }
}

/// Of which registers each virtual register needs one.
fn counts(insts: &[Inst], classes: &[Class]) -> Vec<Counts> {
    let mut out: Vec<Counts> = classes.iter().map(|c| if *c == Class::Vector { [1, 0, 0] } else { [0, 1, 0] }).collect();
    for inst in insts {
        if let Inst::Op { form, registers, .. } = inst {
            let low = registers.iter().zip(form.roles()).filter(|(_, role)| role.class == Class::Vector && role.limit <= 16);
            low.for_each(|(v, _)| out[v.0 as usize] = [1, 0, 1]);
        }
    }
    out
}

/// What each register is to an instruction: read, written.
fn accesses(inst: &Inst) -> Vec<(Virtual, bool, bool)> {
    match inst {
        Inst::Op { form, registers, .. } => registers.iter().zip(form.roles()).map(|(v, r)| (*v, r.reads, r.writes)).collect(),
        Inst::Move { to, from } => vec![(*from, true, false), (*to, false, true)],
        Inst::Argument { to, .. } => vec![(*to, false, true)],
        Inst::Label(_) | Inst::LoopBegin | Inst::LoopEnd => vec![],
    }
}

fn events(insts: &[Inst]) -> Vec<Event> {
    let of = |inst: &Inst| match inst {
        Inst::LoopBegin => Event::LoopBegin,
        Inst::LoopEnd => Event::LoopEnd,
        Inst::Move { to, from } => Event::Move { to: *to, from: *from },
        _ => {
            let all = accesses(inst);
            let uses = all.iter().filter(|a| a.1).map(|a| a.0).collect();
            Event::Op { uses, defs: all.iter().filter(|a| a.2).map(|a| a.0).collect() }
        }
    };
    insts.iter().map(of).collect()
}

/// With leaders for registers; nothing where that leaves a move of a register to itself.
fn renamed(inst: &Inst, leaders: &[Virtual]) -> Option<Inst> {
    let of = |v: Virtual| leaders[v.0 as usize];
    let mut inst = inst.clone();
    match &mut inst {
        Inst::Op { registers, touched, .. } => {
            registers.iter_mut().for_each(|r| *r = of(*r));
            if let Some(t) = touched {
                t.base = t.base.map(of);
            }
        }
        Inst::Move { to, from } => {
            (*to, *from) = (of(*to), of(*from));
            if to == from {
                return None;
            }
        }
        Inst::Argument { to, .. } => *to = of(*to),
        Inst::Label(_) | Inst::LoopBegin | Inst::LoopEnd => {}
    }
    Some(inst)
}

/// May the instruction move among its neighbours?
fn moves(inst: &Inst) -> bool {
    match inst {
        Inst::Op { form, .. } => form.kind != Kind::Branch,
        Inst::Move { .. } => true,
        Inst::Argument { .. } | Inst::Label(_) | Inst::LoopBegin | Inst::LoopEnd => false,
    }
}

/// The code in pieces: what moves together, and what does not one by one.
fn runs(insts: &[Inst]) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = vec![];
    for (i, inst) in insts.iter().enumerate() {
        match out.last_mut() {
            Some(last) if moves(inst) && moves(&insts[last.end - 1]) => last.end = i + 1,
            _ => out.push(i..i + 1),
        }
    }
    out
}

/// What is around a run.
struct Surroundings<'a> {
    insts: &'a [Inst],
    run: &'a Range<usize>,
    lives: &'a Lives,
}

impl Surroundings<'_> {
    /// The branches between the run and the end of the loop whose whole body it is.
    fn tail(&self) -> Option<Vec<&Inst>> {
        let (before, after) = (&self.insts[..self.run.start], &self.insts[self.run.end..]);
        let begin = before.iter().rfind(|i| !matches!(i, Inst::Label(_)));
        let tail: Vec<&Inst> = after.iter().take_while(|i| matches!(i, Inst::Label(_)) || !moves(i) && !is_border(i)).collect();
        let is_loop = matches!(begin, Some(Inst::LoopBegin)) && matches!(after.get(tail.len()), Some(Inst::LoopEnd));
        is_loop.then(|| tail.into_iter().filter(|i| matches!(i, Inst::Op { .. })).collect())
    }
}

/// A run, or what becomes of it, as the list scheduler sees it.
struct Piece {
    nodes: Vec<Node>,
    around: Around,
    /// The branches at the end of a loop.
    tail: Option<Vec<Timed>>,
    /// Registers by small numbers; the last one stands for the flags.
    numbers: BTreeMap<Virtual, u32>,
}

impl Piece {
    fn new(body: &[Inst], around: &Surroundings, classes: &[Class], counts: &[Counts]) -> Piece {
        let accessed: BTreeSet<Virtual> = body.iter().flat_map(accesses).map(|a| a.0).collect();
        let based = body.iter().filter_map(|i| if let Inst::Op { touched: Some(t), .. } = i { t.base } else { None });
        let numbers: BTreeMap<Virtual, u32> = accessed.iter().copied().chain(based).collect::<BTreeSet<_>>().into_iter().zip(0..).collect();
        let nodes: Vec<Node> = body.iter().map(|i| node(i, classes, &numbers)).collect();
        let mut out = Around {
            counts: vec![[0; 3]; numbers.len() + 1],
            before: vec![false; numbers.len() + 1],
            after: vec![false; numbers.len() + 1],
            through: [0; 3],
        };
        accessed.iter().for_each(|v| out.counts[numbers[v] as usize] = counts[v.0 as usize]);
        for &(root, start, end) in &around.lives.intervals {
            let (before, after) = (start < 2 * around.run.start, end >= 2 * around.run.end);
            if accessed.contains(&root) {
                let at = numbers[&root] as usize;
                (out.before[at], out.after[at]) = (before, after);
            } else if before && after {
                out.through.iter_mut().zip(counts[root.0 as usize]).for_each(|(t, c)| *t += c);
            }
        }
        // A whole loop's body ends with the branch back.
        let branch = Timed { kind: Kind::Branch, reads: vec![numbers.len() as u32], writes: vec![], address: None };
        let tail = around.tail().map(|tail| tail.iter().map(|_| branch.clone()).collect());
        Piece { nodes, around: out, tail, numbers }
    }
}

fn is_border(inst: &Inst) -> bool {
    matches!(inst, Inst::LoopBegin | Inst::LoopEnd)
}

fn node(inst: &Inst, classes: &[Class], numbers: &BTreeMap<Virtual, u32>) -> Node {
    let all = accesses(inst);
    let mut reads: Vec<u32> = all.iter().filter(|a| a.1).map(|a| numbers[&a.0]).collect();
    let mut writes: Vec<u32> = all.iter().filter(|a| a.2).map(|a| numbers[&a.0]).collect();
    let flags = numbers.len() as u32;
    match inst {
        Inst::Op { form, touched, label, .. } => {
            if form.reads_flags() {
                reads.push(flags);
            }
            if form.sets_flags() {
                writes.push(flags);
            }
            let is_general = |v: Virtual| classes[v.0 as usize] == Class::General;
            let address = all.iter().find(|a| form.kind.touches_memory() && a.1 && a.2 && is_general(a.0)).map(|a| numbers[&a.0]);
            let memory = match touched {
                Some(t) => Memory::Known(Touched { base: t.base.map(|b| Virtual(numbers[&b])), ..*t }),
                // The code's own constants.
                None if label.is_some() || !form.kind.loads() && !form.kind.stores() => Memory::None,
                None => Memory::Anything,
            };
            Node { timed: Timed { kind: form.kind, reads, writes, address }, memory }
        }
        Inst::Move { to, .. } => {
            let kind = if classes[to.0 as usize] == Class::Vector { Kind::Logic } else { Kind::Integer };
            Node { timed: Timed { kind, reads, writes, address: None }, memory: Memory::None }
        }
        _ => unreachable!("such instructions do not move"),
    }
}

/// An order, its cycles, and how many of them fewer than in the original one they are.
struct Found {
    order: Vec<usize>,
    cycles: f64,
    saved: f64,
    /// There is nothing to gain by others.
    is_bound: bool,
}

/// An order of the run for a core. A run that is a loop's whole body, up to the branch back in `tail`, is judged by its cycles per turn.
fn best(nodes: &[Node], around: &Around, core: &'static Core, there: Counts, tail: Option<&[Timed]>) -> Found {
    best_of(&Wanted { nodes, alive: nodes, around, tail, is_strict: false }, core, there, |order| list::excess(nodes, around, order, there))
}

/// What is to be put in order.
struct Wanted<'a> {
    nodes: &'a [Node],
    /// The same with the registers by which values that live are counted.
    alive: &'a [Node],
    around: &'a Around,
    tail: Option<&'a [Timed]>,
    /// No order that needs registers too many will do.
    is_strict: bool,
}

/// The same, where `excess` says how many registers too many an order needs.
fn best_of(wanted: &Wanted, core: &'static Core, there: Counts, excess: impl Fn(&[usize]) -> Counts) -> Found {
    let Wanted { nodes, alive, around, tail, is_strict } = *wanted;
    let original: Vec<usize> = (0..nodes.len()).collect();
    if nodes.len() < 3 {
        return Found { order: original, cycles: 0.0, saved: 0.0, is_bound: true };
    }
    let cost = |order: &[usize]| {
        let mut steps: Vec<Timed> = order.iter().map(|n| nodes[*n].timed.clone()).collect();
        match tail {
            Some(tail) if nodes.len() < 400 => {
                steps.extend(tail.iter().cloned());
                scoreboard::turns_of(&steps, core, 6)
            }
            _ => f64::from(scoreboard::once(&steps, core)),
        }
    };
    let needed = excess(&original);
    let graph = Graph::new(nodes, core);
    let steps: Vec<Timed> = nodes.iter().map(|n| n.timed.clone()).collect();
    let bound = scoreboard::bound(&steps, core);
    let before = cost(&original);
    let mut best = (if is_strict && needed != [0; 3] { f64::INFINITY } else { before }, original);
    // Fewer values at once, fewer loads ahead of what they are for, and less far ahead.
    const FAR: usize = 160;
    const TRIES: [(i32, i32, usize); 12] = [
        (0, 0, FAR),
        (0, 0, 48),
        (0, 0, 24),
        (1, 1, FAR),
        (2, 3, FAR),
        (0, 2, 72),
        (4, 0, FAR),
        (1, 5, FAR),
        (3, 5, FAR),
        (7, 0, FAR),
        (0, 10, FAR),
        (11, 0, FAR),
    ];
    for (less, reserve, stretch) in TRIES {
        let order = list::order(alive, &graph, around, core, Tried { limit: there.map(|r| r - less), reserve, stretch });
        let needs = excess(&order);
        // Where something is in the frame anyway, a little more may be worth it; the driver looks at the whole.
        let more: i32 = (0..3).map(|c| (needs[c] - needed[c]).max(0)).sum();
        if more > 0 && needed == [0; 3] || is_strict && needs != [0; 3] {
            continue;
        }
        let cycles = cost(&order) + f64::from(more);
        if cycles < best.0 {
            best = (cycles, order);
        }
        if best.0 <= 1.03 * bound {
            break;
        }
    }
    Found { order: best.1, cycles: best.0, saved: before - best.0, is_bound: best.0 <= 1.03 * bound }
}
