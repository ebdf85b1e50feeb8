//! Calls divided among threads: a program becomes one whose long steps are calls that may run at the same time.
//!
//! Not threads, and no machine: who runs the calls is decided when the program runs, and fewer threads than hoped for do them as well. The
//! ideas: an operator's calls that do not depend on each other form one step (a convolution is several, for its inside and its
//! borders); a long call becomes pieces, each some iterations of one of its outer loops (`ranged.rs`); which loop is a question of how
//! evenly it divides (`cost.rs`). An iteration is never divided, so every number of threads computes the same bits. Whatever is put
//! together here has been proved to be independent, and the verifier proves it again.

#[cfg(test)]
mod tests;

use crate::cost;
use crate::program::*;
use crate::ranged::{self, Candidate, Path, Ranged};
use crate::verify::Group;
use std::collections::BTreeMap;
use std::ops::Range;

/// Steps that cost less are not worth that threads wait for each other.
const STEP_COST: u64 = 10_000;
/// What handing out a call costs.
const CALL_COST: u64 = 800;
/// The part of a call by which threads end at different times, because none of them is alone on its core.
const DELAY: u64 = 16;
/// Pieces of a call, for each thread.
const PIECES_LIMIT: usize = 4;
/// Calls that are looked at for one step.
const CALLS_LIMIT: usize = 64;

/// Part of a call: of one loop the iterations whose counters are in the range.
#[derive(Clone, Debug)]
struct Piece {
    range: Range<i64>,
    cost: u64,
}

/// How a call is divided: by which loop.
#[derive(Clone, Debug)]
struct Division {
    path: Path,
    pieces: Vec<Piece>,
}

impl Division {
    fn costs(&self) -> Vec<u64> {
        self.pieces.iter().map(|p| p.cost).collect()
    }
}

/// A call, and how it is divided if it is not left whole.
struct Divided {
    call: Call,
    cost: u64,
    division: Option<Division>,
}

impl Divided {
    fn costs(&self) -> Vec<u64> {
        self.division.as_ref().map_or(vec![self.cost], Division::costs)
    }
}

/// Divides the calls of a program whose steps have single calls, for so many threads.
pub fn divide(program: &mut Program, threads: usize) {
    if threads < 2 {
        return;
    }
    let steps = std::mem::take(&mut program.schedule);
    let mut parts = vec![];
    let tree = divide_steps(program, steps, threads, &mut parts);
    let mut parts = rewrite(program, parts, threads).into_iter();
    program.schedule = put_together(tree, &mut parts);
}

/// A schedule in which runs of calls are parts, by their order.
enum Tree {
    Part,
    /// A step, and its bodies.
    Inner(Step, Vec<Vec<Tree>>),
}

/// Calls, and whether they are worth to be run at the same time.
type Part = Vec<(bool, Vec<Divided>)>;

fn divide_steps(program: &Program, steps: Vec<Step>, threads: usize, parts: &mut Vec<Part>) -> Vec<Tree> {
    let (mut tree, mut calls) = (vec![], vec![]);
    let end_run = |calls: &mut Vec<Call>, tree: &mut Vec<Tree>, parts: &mut Vec<Part>| {
        if !calls.is_empty() {
            parts.push(divide_calls(program, &std::mem::take(calls), threads));
            tree.push(Tree::Part);
        }
    };
    for mut step in steps {
        if let Step::Call(_) | Step::Parallel(_) = step {
            calls.extend_from_slice(step.calls());
            continue;
        }
        end_run(&mut calls, &mut tree, parts);
        let bodies: Vec<Vec<Step>> = step.bodies_mut().into_iter().map(std::mem::take).collect();
        let bodies = bodies.into_iter().map(|b| divide_steps(program, b, threads, parts)).collect();
        tree.push(Tree::Inner(step, bodies));
    }
    end_run(&mut calls, &mut tree, parts);
    tree
}

fn put_together(tree: Vec<Tree>, parts: &mut impl Iterator<Item = Vec<Step>>) -> Vec<Step> {
    let mut steps = vec![];
    for t in tree {
        match t {
            Tree::Part => steps.extend(parts.next().expect("a part")),
            Tree::Inner(mut step, bodies) => {
                let bodies: Vec<Vec<Step>> = bodies.into_iter().map(|b| put_together(b, parts)).collect();
                step.bodies_mut().into_iter().zip(bodies).for_each(|(to, body)| *to = body);
                steps.push(step);
            }
        }
    }
    steps
}

fn divide_calls(program: &Program, calls: &[Call], threads: usize) -> Part {
    let mut groups = vec![];
    let mut rest = calls;
    while let Some(n) = independent(program, rest) {
        let (step, others) = rest.split_at(n);
        rest = others;
        groups.push(divided(program, step, threads));
    }
    groups
}

/// How many of the first calls belong to one operator and do not depend on each other.
fn independent(program: &Program, calls: &[Call]) -> Option<usize> {
    let first = calls.first()?;
    let mut group = Group::default();
    // What advances from turn to turn stays whole.
    let is_own = |c: &Call| program.kernel(c.kernel).foreign.is_none();
    let alike = |c: &&Call| c.operator.is_some() && c.operator == first.operator && c.advance.is_empty() && is_own(c);
    let mut n = 0;
    for call in calls.iter().take(CALLS_LIMIT).take_while(alike) {
        if !group.admits(program, program.kernel(call.kernel), call) {
            break;
        }
        n += 1;
    }
    Some(n.max(1))
}

/// Calls that do not depend on each other, divided; and whether they are worth to be run at the same time.
fn divided(program: &Program, calls: &[Call], threads: usize) -> (bool, Vec<Divided>) {
    let cost = |c: &Call| cost::of_block(program.kernel(c.kernel), &c.params, &program.kernel(c.kernel).body);
    let mut all: Vec<Divided> = calls.iter().map(|c| Divided { call: c.clone(), cost: cost(c), division: None }).collect();
    let total: u64 = all.iter().map(|d| d.cost).fold(0, u64::saturating_add);
    if total < STEP_COST || calls.iter().any(|c| !c.advance.is_empty()) {
        return (false, all);
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(all[i].cost));
    let mut fixed: Vec<u64> = vec![];
    for i in order {
        all[i].division = best(program, &all[i], &fixed, total, threads);
        fixed.extend(all[i].costs());
    }
    let worth = estimate(&fixed, total, threads) < total;
    if !worth {
        all.iter_mut().for_each(|d| d.division = None);
    }
    (worth, all)
}

/// How a call is best divided when others that cost `fixed` run at the same time, and the rest of `total` fills all gaps.
fn best(program: &Program, d: &Divided, fixed: &[u64], total: u64, threads: usize) -> Option<Division> {
    let kernel = program.kernel(d.call.kernel);
    let with = |costs: Vec<u64>| estimate(&[fixed, &costs].concat(), total, threads);
    let limit = with(vec![d.cost]);
    let mut options: Vec<(u64, Division)> = vec![];
    for c in ranged::candidates(kernel, &d.call.params) {
        for n in 2..=(PIECES_LIMIT * threads).min(c.iterations() as usize) {
            let division = Division { path: c.path.clone(), pieces: pieces(&c, n as i64) };
            options.push((with(division.costs()), division));
        }
    }
    options.retain(|o| o.0 < limit);
    // The outermost loop of those that are equally good.
    options.sort_by_key(|(time, d)| (*time, d.path.len(), d.pieces.len()));
    let mut refused: Vec<Path> = vec![];
    for (_, division) in options {
        if refused.contains(&division.path) {
            continue;
        }
        if may_run_at_once(program, &d.call, &division) {
            return Some(division);
        }
        refused.push(division.path);
    }
    None
}

/// `n` pieces whose iterations differ by one at most.
fn pieces(c: &Candidate, n: i64) -> Vec<Piece> {
    let iterations = c.iterations();
    let piece = |i: i64| {
        let (from, to) = (iterations * i / n, iterations * (i + 1) / n);
        let lead = if i == 0 { c.lead } else { 0 };
        let tail = if i == n - 1 { c.tail } else { 0 };
        let cost = c.iteration.saturating_mul((to - from).unsigned_abs()).saturating_add(c.repeated + lead + tail);
        Piece { range: from * c.step..(to * c.step).min(c.count), cost }
    };
    (0..n).map(piece).collect()
}

/// Whether the pieces do not depend on each other, also where a result takes the place of an operand.
fn may_run_at_once(program: &Program, call: &Call, division: &Division) -> bool {
    let old = program.kernel(call.kernel);
    let ranged = Ranged::new(old, std::slice::from_ref(&division.path));
    let mut group = Group::default();
    let mut admits = |p: &Piece| {
        let params = ranged.params(old, &call.params, Some((&division.path, &p.range)));
        group.admits(program, &ranged.kernel, &Call { params, ..call.clone() })
    };
    if !division.pieces.iter().all(&mut admits) {
        return false;
    }
    let in_place = old.args.iter().enumerate().filter_map(|(i, a)| Some((call.buffers[i], call.buffers[a.in_place_of?.0 as usize])));
    in_place.into_iter().all(|(new, old)| group.is_apart_in_place(program, new, old))
}

/// How long calls take on so many threads, each taking the longest that is left; what `total` has beside them fills all gaps.
fn estimate(calls: &[u64], total: u64, threads: usize) -> u64 {
    let mut order = calls.to_vec();
    order.sort_unstable_by_key(|&c| std::cmp::Reverse(c));
    let mut busy = vec![0u64; threads];
    for c in &order {
        let least = busy.iter_mut().min().expect("a thread");
        *least = least.saturating_add(c + CALL_COST);
    }
    let longest = busy.into_iter().max().unwrap_or(0);
    let last = order.first().copied().unwrap_or(0);
    longest.max(total / threads as u64).saturating_add(last / DELAY).saturating_add(STEP_COST / 4)
}

/// The steps of each part, with kernels that can be called for a piece of their work.
fn rewrite(program: &mut Program, parts: Vec<Part>, threads: usize) -> Vec<Vec<Step>> {
    let mut paths: BTreeMap<KernelId, Vec<Path>> = BTreeMap::new();
    for d in parts.iter().flatten().flat_map(|g| &g.1) {
        if let Some(division) = &d.division {
            let known = paths.entry(d.call.kernel).or_default();
            if !known.contains(&division.path) {
                known.push(division.path.clone());
            }
        }
    }
    let ranged: BTreeMap<KernelId, Ranged> = paths.iter().map(|(&id, paths)| (id, Ranged::new(program.kernel(id), paths))).collect();
    let steps = parts.into_iter().map(|groups| rewritten(program, groups, &ranged, threads)).collect();
    for (id, r) in ranged {
        program.kernels[id.0 as usize] = r.kernel;
    }
    steps
}

fn rewritten(program: &Program, groups: Part, ranged: &BTreeMap<KernelId, Ranged>, threads: usize) -> Vec<Step> {
    let mut steps = vec![];
    for (at_once, calls) in groups {
        // What each thread begins with: its share of every divided call, and whole calls where there is most room.
        let mut shares: Vec<(u64, Vec<Call>)> = vec![(0, vec![]); threads];
        let mut whole: Vec<(u64, Call)> = vec![];
        for d in calls {
            let old = program.kernel(d.call.kernel);
            let part = |piece: Option<(&Path, &Range<i64>)>| match ranged.get(&d.call.kernel) {
                Some(r) => {
                    let params = r.params(old, &d.call.params, piece);
                    let mut advance = d.call.advance.clone();
                    if !advance.is_empty() {
                        advance.resize(params.len(), 0);
                    }
                    Call { params, advance, ..d.call.clone() }
                }
                None => d.call.clone(),
            };
            let Some(division) = &d.division else {
                whole.push((d.cost, part(None)));
                continue;
            };
            for (i, p) in division.pieces.iter().enumerate() {
                let share = &mut shares[i * threads / division.pieces.len()];
                share.0 += p.cost;
                share.1.push(part(Some((&division.path, &p.range))));
            }
        }
        if at_once {
            // The longest first, so that the last to be taken are short.
            whole.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            for (cost, call) in whole {
                let share = shares.iter_mut().min_by_key(|s| s.0).expect("a thread");
                share.0 += cost;
                share.1.push(call);
            }
            steps.push(Step::Parallel(shares.into_iter().flat_map(|s| s.1).collect()));
        } else {
            steps.extend(whole.into_iter().map(|(_, call)| Step::Call(call)));
        }
    }
    steps
}
