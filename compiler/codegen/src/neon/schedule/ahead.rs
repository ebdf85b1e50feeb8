//! Which loads the turns of a loop do for the next one.
//!
//! The ideas: values that are loaded ahead need a register from turn to turn, so not all of them can be; those that a turn wants first are, and how many of them is
//! tried, as orders are, with the scoreboard as the judge.

use super::super::cores::Core;
use super::super::inst::Inst;
use super::super::scoreboard::{self, Timed};
use super::graph::Node;
use super::list::Counts;
use super::pack::{self, Carried};
use super::rotate::{Life, Rotated, Turn};
use super::{Found, Piece, Surroundings, Wanted, best_of, list, node, renamed};
use crate::alloc::{Class, Virtual};

/// A loop whose turns load for the next one.
pub(super) struct Ahead {
    /// What is loaded before the loop.
    pub ahead: Vec<Inst>,
    pub body: Vec<Inst>,
    /// Cycles per turn, fewer than without, if loops had twice as many turns.
    pub saved: f64,
}

/// Turns that a loop is taken to have: what is loaded before it costs something, too.
const TURNS: u32 = 4;
/// Longer bodies hide the loads at their head.
const LONGEST: usize = 300;
/// Numbers of values ahead that are tried.
const TRIED: usize = 8;

/// Nothing where it does not pay.
pub(super) fn loads(
    around: &Surroundings,
    piece: &Piece,
    plain: &Found,
    classes: &mut Vec<Class>,
    counts: &mut Vec<Counts>,
    core: &'static Core,
    there: Counts,
) -> Option<Ahead> {
    let tail = around.tail()?;
    let [branch] = tail[..] else { return None };
    let run = around.run;
    if plain.is_bound || LONGEST < run.len() {
        return None;
    }
    let end = around.insts[run.end..].iter().position(|i| matches!(i, Inst::LoopEnd))? + run.end;
    let life = |v: Virtual| match around.lives.intervals.iter().find(|i| i.0 == v) {
        Some((_, start, last)) if 2 * run.start <= *start && *last < 2 * run.end => Life::Turn,
        Some((_, _, last)) if *last <= 2 * end + 1 => Life::Loop,
        _ => Life::Beyond,
    };
    let body = &around.insts[run.clone()];
    let turn = Turn::of(body, branch, life)?;
    let most = turn.loaded.len();
    let steps = |nodes: &[Node], order: &[usize]| order.iter().map(|n| nodes[*n].timed.clone()).collect::<Vec<Timed>>();
    let turns = |mut all: Vec<Timed>, piece: &Piece, order: &[usize]| {
        let mut turn = steps(&piece.nodes, order);
        turn.extend(piece.tail.iter().flatten().cloned());
        (0..TURNS).for_each(|_| all.extend_from_slice(&turn));
        f64::from(scoreboard::once(&all, core)) / f64::from(TURNS)
    };
    let without = turns(vec![], piece, &plain.order);
    let mut best: Option<(f64, Ahead)> = None;
    for part in (1..=TRIED.min(most)).rev() {
        let count = (part * most).div_ceil(TRIED.min(most));
        let rotated = turn.rotated(&turn.loaded[..count], classes);
        rotated.fresh.iter().for_each(|f| counts.push(counts[f.1.0 as usize]));
        let Some(candidate) = Candidate::new(&rotated, around, classes, counts, core, there) else { continue };
        let piece = Piece::new(&rotated.ahead, around, classes, counts);
        let mut first = piece.around;
        for v in &rotated.carried {
            let at = piece.numbers[v] as usize;
            (first.before[at], first.after[at]) = (false, true);
        }
        let order = super::best(&piece.nodes, &first, core, there, None).order;
        let ahead: Vec<Inst> = order.iter().map(|n| rotated.ahead[*n].clone()).collect();
        let first = ahead.iter().map(|i| node(i, classes, &candidate.piece.numbers).timed).collect();
        let cycles = turns(first, &candidate.piece, &candidate.found.order);
        if without <= cycles || best.as_ref().is_some_and(|b| b.0 <= cycles) {
            continue;
        }
        best = Some((cycles, Ahead { ahead, body: candidate.insts(&rotated.body, classes.len()), saved: (without - cycles) / 2.0 }));
        if candidate.found.is_bound {
            break;
        }
    }
    Some(best?.1)
}

struct Candidate {
    piece: Piece,
    found: Found,
    /// Registers that get the names of others.
    names: Vec<(Virtual, Virtual)>,
}

impl Candidate {
    /// The best order in which what goes from turn to turn has registers.
    fn new(
        rotated: &Rotated,
        around: &Surroundings,
        classes: &[Class],
        counts: &[Counts],
        core: &'static Core,
        there: Counts,
    ) -> Option<Candidate> {
        let piece = Piece::new(&rotated.body, around, classes, counts);
        let mut always = piece.around.through;
        let is_always = |v: &Virtual| {
            let at = piece.numbers[v] as usize;
            piece.around.before[at] && piece.around.after[at] || rotated.carried.contains(v)
        };
        for v in piece.numbers.keys().filter(|v| is_always(v)) {
            always.iter_mut().zip(counts[v.0 as usize]).for_each(|(a, c)| *a += c);
        }
        if (0..3).any(|c| there[c] < always[c]) {
            return None;
        }
        // What a turn finds and what it leaves are two values in one register.
        let (mut alive, mut lives) = (piece.nodes.clone(), piece.around.clone());
        let mut carried: Vec<Carried> = vec![];
        for v in &rotated.carried {
            let (old, new) = (piece.numbers[v], lives.counts.len() as u32);
            lives.counts.push(lives.counts[old as usize]);
            lives.before.push(false);
            lives.after.push(true);
            (lives.before[old as usize], lives.after[old as usize]) = (true, false);
            for node in &mut alive[rotated.next..] {
                let step = &mut node.timed;
                step.reads.iter_mut().chain(&mut step.writes).filter(|r| **r == old).for_each(|r| *r = new);
            }
            carried.push((old, new));
        }
        let wanted = Wanted { nodes: &piece.nodes, alive: &alive, around: &lives, tail: piece.tail.as_deref(), is_strict: true };
        let needs = |order: &[usize]| {
            let (names, packed) = pack::packed(&alive, &lives, order, &carried, there);
            let list = list::excess(&alive, &lives, order, there);
            (names, [0, 1, 2].map(|c| packed[c].max(list[c])))
        };
        let found = best_of(&wanted, core, there, |order| needs(order).1);
        if found.cycles.is_infinite() {
            return None;
        }
        let (names, _) = needs(&found.order);
        let virtuals: Vec<Virtual> = piece.numbers.keys().copied().collect();
        let names = names.iter().map(|n| (virtuals[n.0 as usize], virtuals[n.1 as usize])).collect();
        Some(Candidate { piece, found, names })
    }

    fn insts(&self, body: &[Inst], virtuals: usize) -> Vec<Inst> {
        let mut leaders: Vec<Virtual> = (0..virtuals as u32).map(Virtual).collect();
        self.names.iter().for_each(|n| leaders[n.0.0 as usize] = n.1);
        self.found.order.iter().filter_map(|n| renamed(&body[*n], &leaders)).collect()
    }
}
