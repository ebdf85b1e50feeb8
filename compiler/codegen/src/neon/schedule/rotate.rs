//! A turn of a loop that does the loads of the next one.
//!
//! Not the order within the turn (`list.rs`), nor which registers values are given. The ideas: a loop that begins with its loads waits for them in every turn; so
//! what is loaded at the beginning of a turn is loaded in the turn before it, and for the first turn before the loop. The last turn loads once more
//! what it has had: its pointers do not advance (CSEL by the loop's own condition), so that nothing beyond the end is read, and no turn is written twice.

use super::super::forms::{self, Arrangement, Form};
use super::super::inst::Inst;
use super::super::kind::Kind;
use super::accesses;
use crate::alloc::{Class, Virtual};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a register of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Within one turn.
    Turn,
    /// Over the turns, and not beyond the loop's end.
    Loop,
    Beyond,
}

/// Changes of a pointer by the same in every turn, after all that reads it.
type Steps = Vec<usize>;

/// The body of a loop, taken apart.
pub(super) struct Turn<'a> {
    body: &'a [Inst],
    /// Under which another turn follows, once the flags are set.
    condition: i64,
    /// The decrement that must set them.
    countdown: Option<usize>,
    pointers: BTreeMap<Virtual, Steps>,
    /// What loads and addresses are made by.
    groups: BTreeMap<Virtual, BTreeSet<usize>>,
    /// Values that are loaded for the rest of the turn, those that it wants first at first.
    pub loaded: Vec<Virtual>,
}

/// A body that begins with values which the turn before has loaded.
pub(super) struct Rotated {
    /// For the first turn.
    pub ahead: Vec<Inst>,
    pub body: Vec<Inst>,
    /// Where in the body the next turn's part begins.
    pub next: usize,
    /// What it leaves to the next turn.
    pub carried: Vec<Virtual>,
    /// Registers that are new, and the ones that they are like.
    pub fresh: Vec<(Virtual, Virtual)>,
}

fn form_of(inst: &Inst) -> Option<&'static Form> {
    if let Inst::Op { form, .. } = inst { Some(form) } else { None }
}

fn is(inst: &Inst, form: &'static Form) -> bool {
    form_of(inst) == Some(form)
}

fn registers_of(inst: &Inst) -> &[Virtual] {
    if let Inst::Op { registers, .. } = inst { registers } else { &[] }
}

fn writes(inst: &Inst, v: Virtual) -> bool {
    accesses(inst).iter().any(|a| a.0 == v && a.2)
}

fn reads(inst: &Inst, v: Virtual) -> bool {
    accesses(inst).iter().any(|a| a.0 == v && a.1)
}

fn stores(inst: &Inst) -> bool {
    match inst {
        Inst::Op { form, touched, .. } => form.kind.stores() || touched.is_some_and(|t| t.is_write),
        _ => false,
    }
}

impl<'a> Turn<'a> {
    /// Nothing where the loop does not end in one of the ways that the emitter writes it.
    pub fn of(body: &'a [Inst], branch: &Inst, life: impl Fn(Virtual) -> Life) -> Option<Turn<'a>> {
        let Inst::Op { form, registers, numbers, .. } = branch else { return None };
        let flags: Vec<usize> = (0..body.len()).filter(|i| form_of(&body[*i]).is_some_and(|f| f.sets_flags())).collect();
        if body.iter().any(|i| form_of(i).is_some_and(|f| f.reads_flags())) {
            return None;
        }
        let (condition, countdown) = if *form == &forms::B_COND && flags.len() == 1 {
            (*numbers.first()?, None)
        } else if *form == &forms::CBNZ && flags.is_empty() {
            let counter = registers[0];
            let mut all = (0..body.len()).filter(|i| writes(&body[*i], counter));
            let step = all.next().filter(|i| is(&body[*i], &forms::SUB_IMM) && registers_of(&body[*i]) == [counter, counter])?;
            (forms::condition::NE, all.next().is_none().then_some(step).map(Some)?)
        } else {
            return None;
        };
        let mut writers: BTreeMap<Virtual, Vec<usize>> = BTreeMap::new();
        for (i, inst) in body.iter().enumerate() {
            accesses(inst).iter().filter(|a| a.2).for_each(|a| writers.entry(a.0).or_default().push(i));
        }
        let mut turn = Turn { body, condition, countdown, pointers: BTreeMap::new(), groups: BTreeMap::new(), loaded: vec![] };
        for (&v, steps) in &writers {
            let is_step = |i: &usize| {
                let constant = [&forms::ADD_IMM, &forms::SUB_IMM, &forms::ADD_IMM_LSL12, &forms::SUB_IMM_LSL12];
                let r = registers_of(&body[*i]);
                constant.iter().any(|form| is(&body[*i], form)) && r == [v, v]
                    || is(&body[*i], &forms::ADD_X) && r[..2] == [v, v] && !writers.contains_key(&r[2])
            };
            let is_last = (steps[0]..body.len()).all(|i| !reads(&body[i], v) || steps.contains(&i));
            if life(v) == Life::Loop && is_last && steps.iter().all(is_step) {
                turn.pointers.insert(v, steps.clone());
            }
        }
        let is_kept = !body.iter().any(stores);
        // Operands come before what is made of them.
        for (i, inst) in body.iter().enumerate() {
            for v in accesses(inst).iter().filter(|a| a.2).map(|a| a.0) {
                let all = &writers[&v];
                if all.last() == Some(&i) && life(v) == Life::Turn {
                    turn.group(v, all, &writers, is_kept).into_iter().for_each(|g| {
                        turn.groups.insert(v, g);
                    });
                }
            }
        }
        let all: BTreeSet<usize> = turn.groups.values().flatten().copied().collect();
        let first_read = |v: Virtual| (0..body.len()).find(|i| !all.contains(i) && reads(&body[*i], v));
        let mut loaded: Vec<(usize, Virtual)> = vec![];
        for (&v, group) in &turn.groups {
            let loads = group.iter().any(|i| form_of(&body[*i]).is_some_and(|f| f.kind.loads()));
            loaded.extend(first_read(v).filter(|_| loads).map(|at| (at, v)));
        }
        loaded.sort();
        turn.loaded = loaded.into_iter().map(|l| l.1).collect();
        Some(turn)
    }

    /// All instructions that make the value, if the turn before can execute them.
    fn group(&self, v: Virtual, makers: &[usize], writers: &BTreeMap<Virtual, Vec<usize>>, is_kept: bool) -> Option<BTreeSet<usize>> {
        let (first, last) = (makers[0], makers[makers.len() - 1]);
        let mut out: BTreeSet<usize> = makers.iter().copied().collect();
        for &i in makers {
            let Inst::Op { form, label, touched, .. } = &self.body[i] else { return None };
            let loads = form.kind.loads() && touched.is_some_and(|t| !t.is_write && (is_kept || t.is_constant));
            let is_plain = !form.kind.touches_memory() && label.is_none() && (form.kind == Kind::Integer || form.kind == Kind::FromGeneral);
            if !(loads || is_plain) || form.sets_flags() {
                return None;
            }
            for (r, read, written) in accesses(&self.body[i]) {
                let is_right = match (r == v, read, written) {
                    // Written once, then changed in place.
                    (true, read, _) => read == (i != first),
                    (false, true, false) => {
                        !writers.contains_key(&r)
                            || self.pointers.contains_key(&r)
                            || self.groups.get(&r).inspect(|g| out.extend(g.iter().copied())).is_some()
                    }
                    _ => false,
                };
                if !is_right {
                    return None;
                }
            }
        }
        let is_early = (first..last).any(|i| reads(&self.body[i], v) && !makers.contains(&i));
        (!is_early).then_some(out)
    }

    /// The loop in which the values are loaded a turn ahead.
    pub fn rotated(&self, values: &[Virtual], classes: &mut Vec<Class>) -> Rotated {
        let mut fresh: Vec<(Virtual, Virtual)> = vec![];
        let mut new = |like: Virtual| {
            classes.push(classes[like.0 as usize]);
            fresh.push((Virtual(classes.len() as u32 - 1), like));
            Virtual(classes.len() as u32 - 1)
        };
        let next: BTreeSet<usize> = values.iter().flat_map(|v| self.groups[v].iter().copied()).collect();
        let rest = |i: &usize| !next.contains(i);
        // What both parts read is carried if it is loaded, and computed in both if not.
        let mut names: BTreeMap<Virtual, Virtual> = BTreeMap::new();
        let (mut carried, mut both): (Vec<Virtual>, BTreeSet<usize>) = (vec![], BTreeSet::new());
        let made: BTreeSet<Virtual> = next.iter().flat_map(|i| accesses(&self.body[*i])).filter(|a| a.2).map(|a| a.0).collect();
        for v in made {
            if (0..self.body.len()).filter(rest).any(|i| reads(&self.body[i], v)) {
                if self.groups[&v].iter().any(|i| form_of(&self.body[*i]).is_some_and(|f| f.kind.loads())) {
                    carried.push(v);
                } else {
                    both.extend(&self.groups[&v]);
                    self.groups[&v].iter().flat_map(|i| accesses(&self.body[*i])).filter(|a| a.2).for_each(|a| {
                        names.entry(a.0).or_insert_with(|| new(a.0));
                    });
                }
            }
        }
        // Pointers to what the next turn reads.
        let (mut advances, mut moved): (Vec<Inst>, BTreeSet<usize>) = (vec![], BTreeSet::new());
        for (&p, steps) in &self.pointers {
            if !next.iter().any(|i| reads(&self.body[*i], p)) {
                continue;
            }
            moved.extend(steps);
            let q = new(p);
            let is_read =
                (0..self.body.len()).filter(|i| rest(i) || both.contains(i)).any(|i| !steps.contains(&i) && reads(&self.body[i], p));
            for (n, i) in steps.iter().enumerate() {
                let Inst::Op { form, arrangement, registers, numbers, .. } = &self.body[*i] else { unreachable!("steps are operations") };
                let mut registers = registers.clone();
                (registers[0], registers[1]) = (q, if n == 0 { p } else { q });
                let (form, arrangement, numbers) = (*form, *arrangement, numbers.clone());
                advances.push(Inst::Op { form, arrangement, registers, numbers, label: None, touched: None });
            }
            let to = if is_read { q } else { p };
            advances.push(Inst::Op {
                form: &forms::CSEL,
                arrangement: Arrangement::None,
                registers: vec![to, q, p],
                numbers: vec![self.condition],
                label: None,
                touched: None,
            });
            if is_read {
                advances.extend(steps.iter().map(|i| self.body[*i].clone()));
                names.insert(p, q);
            }
        }
        let mut body: Vec<Inst> = vec![];
        for (i, inst) in self.body.iter().enumerate() {
            if moved.contains(&i) || next.contains(&i) && !both.contains(&i) {
                continue;
            }
            let mut inst = inst.clone();
            if let Inst::Op { form, .. } = &mut inst
                && self.countdown == Some(i)
            {
                *form = &forms::SUBS_IMM;
            }
            body.push(inst);
        }
        body.extend(advances);
        let begin = body.len();
        let named = |v: &mut Virtual| *v = names.get(v).copied().unwrap_or(*v);
        for i in &next {
            let mut inst = self.body[*i].clone();
            if let Inst::Op { registers, touched, .. } = &mut inst {
                registers.iter_mut().for_each(named);
                touched.iter_mut().filter_map(|t| t.base.as_mut()).for_each(named);
            }
            body.push(inst);
        }
        let ahead = next.iter().map(|i| self.body[*i].clone()).collect();
        Rotated { ahead, body, next: begin, carried, fresh }
    }
}
