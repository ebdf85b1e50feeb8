//! Does a plan destroy anything? Asked of the placed program alone.
//!
//! Not the planner, and no line of it is used here, so that a mistake there is found here. The idea: at every step, every two
//! buffers that hold something then must be apart, but for an output that replaces its input. In a loop whatever it uses holds something in all
//! turns, but what is used nowhere else, is written first in every turn, and as a whole as far as is known: by no call that advances. Buffers are looked at in the order in which they
//! begin to live, beside those that live then: these are apart, so whatever meets a new one is next to its place. Whether calls that
//! run at the same time then stay out of each other's way is the verifier's business.

use crate::program::*;
use std::collections::{BTreeMap, BTreeSet};

/// A buffer in the arena, from its first to its last step.
#[derive(Clone, Copy)]
struct Life {
    id: BufferId,
    start: u64,
    end: u64,
    first: usize,
    last: usize,
}

/// The first fault found, in words.
pub fn check(program: &Program) -> Result<(), String> {
    let walk = Walk::of(program);
    let (mut lives, rounds): (Vec<Life>, BTreeMap<BufferId, Rounds>) = {
        let all = lives(program, &walk)?;
        (all.iter().map(|l| l.0).collect(), all.into_iter().map(|(l, rounds)| (l.id, rounds)).collect())
    };
    lives.retain(|l| l.start < l.end);
    lives.sort_by_key(|l| (l.first, l.id));
    // What lives now, by start: no two of them meet. And by last step.
    let (mut now, mut ends): (BTreeMap<u64, Life>, BTreeSet<(usize, u64)>) = Default::default();
    // What lives in this very step and for the rest of it is in the same place as something of `now`.
    let (mut step, mut replaced): (usize, Vec<Life>) = (0, vec![]);
    for new in lives {
        if step < new.first {
            step = new.first;
            replaced.clear();
            while let Some(&(last, start)) = ends.first().filter(|e| e.0 < step) {
                ends.remove(&(last, start));
                now.remove(&start);
            }
        }
        let met: Vec<Life> = now.range(..new.end).rev().map(|(_, l)| *l).take_while(|l| new.start < l.end).collect();
        for &old in met.iter().chain(&replaced).filter(|l| l.start < new.end && new.start < l.end) {
            if !is_in_place(program, &walk, &rounds, old, new) {
                return Err(fault(program, old, new));
            }
        }
        // In place they begin at the same byte, so there is one at most, and one of the two ends in this step.
        match met.first() {
            Some(&old) if old.last == step => {
                ends.remove(&(old.last, old.start));
                replaced.push(old);
            }
            Some(_) => {
                replaced.push(new);
                continue;
            }
            None => {}
        }
        now.insert(new.start, new);
        ends.insert((new.last, new.start));
    }
    Ok(())
}

/// A schedule, its steps in the order of the text. Numbers of steps are positions in it.
#[derive(Default)]
struct Walk<'a> {
    /// Calls of every step, and what it looks at.
    steps: Vec<(&'a [Call], Option<BufferId>)>,
    /// Which loops each step is in, the innermost first.
    within: Vec<Vec<usize>>,
    /// First step of each loop, and the one after its last.
    loops: Vec<(usize, usize)>,
    around: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn of(program: &'a Program) -> Self {
        let mut walk = Walk::default();
        walk.all(&program.schedule);
        walk
    }

    fn all(&mut self, steps: &'a [Step]) {
        for step in steps {
            match step {
                Step::Call(_) | Step::Parallel(_) => self.step(step.calls(), None),
                Step::Check(b) => self.step(&[], Some(*b)),
                Step::Repeat { body, .. } => self.turns(|walk| walk.all(body)),
                Step::If { condition, then, otherwise } => {
                    self.step(&[], Some(*condition));
                    self.all(then);
                    self.all(otherwise);
                }
                Step::While { test, condition, body } => self.turns(|walk| {
                    walk.all(test);
                    walk.step(&[], Some(*condition));
                    walk.all(body);
                }),
            }
        }
    }

    fn step(&mut self, calls: &'a [Call], looks_at: Option<BufferId>) {
        self.steps.push((calls, looks_at));
        self.within.push(self.around.iter().rev().copied().collect());
    }

    fn turns(&mut self, inside: impl FnOnce(&mut Self)) {
        let number = self.loops.len();
        self.loops.push((self.steps.len(), 0));
        self.around.push(number);
        inside(self);
        self.around.pop();
        self.loops[number].1 = self.steps.len();
    }
}

/// Loops by their first and last steps.
type Rounds = Vec<(usize, usize)>;

/// How a step names a buffer, itself or through its views.
#[derive(Clone, Copy)]
struct Naming {
    step: usize,
    /// No call of the step reads it, and none advances.
    is_written_anew: bool,
}

/// By buffer, in the order of the steps, each step once.
fn namings(program: &Program, walk: &Walk) -> Vec<Vec<Naming>> {
    let mut all: Vec<Vec<Naming>> = vec![vec![]; program.buffers.len()];
    let mut add = |id: BufferId, step: usize, is_written_anew: bool| {
        let of = &mut all[owner(program, id).0 as usize];
        match of.last_mut() {
            Some(last) if last.step == step => last.is_written_anew &= is_written_anew,
            _ => of.push(Naming { step, is_written_anew }),
        }
    };
    for (step, (calls, looks_at)) in walk.steps.iter().enumerate() {
        for call in *calls {
            for (&b, arg) in call.buffers.iter().zip(&program.kernel(call.kernel).args) {
                // What a kernel reads and writes it may write first: the verifier knows.
                add(b, step, arg.access != Access::Read && !call.advances());
            }
        }
        looks_at.iter().for_each(|&b| add(b, step, false));
    }
    all
}

/// First and last step in which a buffer holds something, and the first and last steps of loops in all of whose turns it does.
fn life(walk: &Walk, role: Role, namings: &[Naming]) -> Option<(usize, usize, Rounds)> {
    let mut rounds = vec![];
    let end = walk.steps.len();
    let (mut first, mut last) = match (role, namings) {
        // What the caller writes must last until it is read, and what it reads until it does, after the last step.
        (Role::Input(_), [.., n]) => (0, n.step),
        (Role::Input(_), []) => return Some((0, 0, rounds)),
        (Role::Output(_), [n, ..]) => (n.step, end),
        (Role::Output(_), []) => return Some((0, end, rounds)),
        (_, [n, .., m]) => (n.step, m.step),
        (_, [n]) => (n.step, n.step),
        (_, []) => return None,
    };
    let loops: BTreeSet<usize> = namings.iter().flat_map(|n| walk.within[n.step].iter().copied()).collect();
    for l in loops {
        let (start, end) = walk.loops[l];
        let inside = |n: &&Naming| start <= n.step && n.step < end;
        let is_own = role == Role::Scratch && namings.iter().all(|n| inside(&n));
        let begins_anew = namings.iter().find(inside).is_some_and(|n| n.is_written_anew);
        // Parts of a buffer that are written turn by turn stay.
        let advances = namings.iter().filter(inside).any(|n| walk.steps[n.step].0.iter().any(Call::advances));
        if !(is_own && begins_anew && !advances) {
            (first, last) = (first.min(start), last.max(end - 1));
            rounds.push((start, end - 1));
        }
    }
    Some((first, last, rounds))
}

/// What has a place, if every place is one that can be.
fn lives(program: &Program, walk: &Walk) -> Result<Vec<(Life, Rounds)>, String> {
    let name = |id: BufferId| format!("`{}`", program.buffer(id).name);
    let mut lives = vec![];
    for (id, namings) in (0..).map(BufferId).zip(namings(program, walk)) {
        let buffer = program.buffer(id);
        let Some((first, last, rounds)) = life(walk, buffer.role, &namings) else { continue };
        if buffer.view.is_some() {
            continue;
        }
        match (buffer.role, buffer.offset_bytes) {
            (Role::Scratch, None) => return Err(format!("{} has no place", name(id))),
            (Role::Scratch | Role::Input(_) | Role::Output(_), Some(start)) => {
                if start % u64::from(buffer.align) != 0 {
                    return Err(format!("{} is at {start}, not aligned to {}", name(id), buffer.align));
                }
                let end = start.checked_add(buffer.size_bytes).ok_or_else(|| format!("{} has no end", name(id)))?;
                lives.push((Life { id, start, end, first, last }, rounds));
            }
            (Role::Const, Some(_)) => return Err(format!("{} is a constant, but has a place in the arena", name(id))),
            // A state's place is in the caller's state.
            (_, _) => {}
        }
    }
    Ok(lives)
}

/// The steps in which both live.
fn common(a: Life, b: Life) -> (usize, usize) {
    (a.first.max(b.first), a.last.min(b.last))
}

/// Whether one of two that share bytes takes the other one's place, in the only step in which both live.
fn is_in_place(program: &Program, walk: &Walk, rounds: &BTreeMap<BufferId, Rounds>, a: Life, b: Life) -> bool {
    let (from, to) = common(a, b);
    let replaces = |new: BufferId, old: BufferId| {
        // How often a call names a buffer, itself or through its views.
        let named = |id: BufferId, call: &Call| call.buffers.iter().filter(|&&b| owner(program, b) == id).count();
        let by = |call: &Call| {
            let position = |id| call.buffers.iter().position(|&x| x == id);
            let (Some(new_arg), Some(old_arg)) = (position(new), position(old)) else { return false };
            let allowed = program.kernel(call.kernel).args[new_arg].in_place_of == Some(Arg(old_arg as u32));
            allowed && named(new, call) == 1 && named(old, call) == 1
        };
        let mut naming = walk.steps.get(from).map_or(&[][..], |s| s.0).iter().filter(|c| 0 < named(new, c)).peekable();
        naming.peek().is_some() && naming.all(by)
    };
    // The next turn still needs what lives in all of them.
    let goes_on = |l: Life| rounds[&l.id].iter().any(|&(first, last)| first <= from && from <= last);
    from == to
        && a.start == b.start
        && !goes_on(a)
        && !goes_on(b)
        && (a.last == b.first && replaces(b.id, a.id) || b.last == a.first && replaces(a.id, b.id))
}

fn fault(program: &Program, a: Life, b: Life) -> String {
    let ((from, to), shared_bytes) = (common(a, b), a.end.min(b.end) - a.start.max(b.start));
    let [a, b] = [a.id.min(b.id), a.id.max(b.id)].map(|id| &program.buffer(id).name);
    format!("`{a}` and `{b}` share {shared_bytes} bytes in steps {from}..={to}")
}

fn owner(program: &Program, mut id: BufferId) -> BufferId {
    while let Some(view) = program.buffer(id).view {
        id = view.parent;
    }
    id
}
