//! From a list of instructions on virtual registers to the bytes of a function.
//!
//! Not a choice of instructions nor of their order. The ideas: what forms say of their registers becomes the events of the allocator; every instruction is then one
//! word, with loads and stores of what has no register around it; distances are filled in once all words are there. The function calls nobody, so the link register
//! stays where it is.

mod frame;
#[cfg(test)]
mod tests;

use super::forms::{self, Arrangement, Form};
use super::inst::{Inst, Label};
use super::schedule::Spills;
use crate::alloc::{self, Allocation, Class, Event, Home, Virtual};
use frame::Frame;
use std::collections::BTreeMap;

/// Machine code of one kernel's function. Its address must be a multiple of 16.
#[derive(Clone, Debug)]
pub struct Code {
    pub bytes: Vec<u8>,
    /// Saved registers and frame.
    pub stack_bytes: u32,
    /// Loads and stores of values without register, in loops that have no loops in them.
    pub inner_spills: u32,
}

/// Those that values may have.
pub const REGISTERS: alloc::Registers = alloc::Registers { vector: frame::VECTORS.len() as u8, general: frame::GENERAL.len() as u8 };
/// Parameters that come in registers.
const REGISTER_ARGUMENTS: usize = 8;
/// Registers of the encoder's own: an address or the value that goes round in a circle of moves, and the value of a move from slot to slot.
const ADDRESS: u8 = 16;
const VALUE: u8 = 17;
const SP: u8 = 31;

/// `pool`: constants that labels name.
pub fn encode(insts: Vec<Inst>, classes: &[Class], arguments: usize, pool: &[(Label, Vec<u8>)]) -> Result<Code, String> {
    let insts = sweep(insts, classes);
    // All at once: before any of them is overwritten.
    let (in_registers, insts): (Vec<Inst>, Vec<Inst>) =
        insts.into_iter().partition(|inst| matches!(inst, Inst::Argument { index, .. } if *index < REGISTER_ARGUMENTS));
    let in_registers: Vec<(Virtual, u8)> = in_registers
        .iter()
        .filter_map(|inst| match inst {
            Inst::Argument { to, index } => Some((*to, *index as u8)),
            _ => None,
        })
        .collect();
    let mut events = vec![Event::Op { uses: vec![], defs: in_registers.iter().map(|a| a.0).collect() }];
    let mut allowed = vec![alloc::ANY; classes.len()];
    for inst in &insts {
        check(inst, classes, arguments)?;
        limit(inst, &mut allowed);
        events.push(event(inst));
    }
    let allocation = alloc::allocate_among(&events, classes, REGISTERS, allowed).map_err(|_| "more registers are needed than there are")?;

    let used = |class, all: &[u8]| -> Vec<u8> {
        let of_class = (0..classes.len() as u32).filter(|&v| classes[v as usize] == class);
        let mut used: Vec<u8> = of_class.flat_map(|v| allocation.registers_of(Virtual(v))).map(|r| all[r as usize]).collect();
        used.sort();
        used.dedup();
        used
    };
    let general: Vec<u8> = used(Class::General, &frame::GENERAL).into_iter().filter(|r| frame::SAVED_GENERAL <= *r).collect();
    let vectors: Vec<u8> = used(Class::Vector, &frame::VECTORS).into_iter().filter(|r| frame::SAVED_VECTORS.contains(r)).collect();
    let frame = Frame::new(&allocation, &general, &vectors);

    let stack_bytes = frame.bytes + frame.saved_bytes;
    let mut out = Writer { classes, allocation, frame, words: vec![], labels: BTreeMap::new(), distances: vec![], spills: 0 };
    out.prologue()?;
    out.arguments(&in_registers)?;
    let inner_spills = out.body(&insts)?;
    out.epilogue()?;
    Ok(Code { bytes: out.finish(pool)?, stack_bytes, inner_spills })
}

/// Values that the allocator would put into the frame; as many as there can be where it finds no way.
pub fn slots(insts: &[Inst], classes: &[Class], registers: alloc::Registers) -> u32 {
    let mut allowed = vec![alloc::ANY; classes.len()];
    insts.iter().for_each(|inst| limit(inst, &mut allowed));
    let events: Vec<Event> = insts.iter().map(event).collect();
    alloc::allocate_among(&events, classes, registers, allowed).map_or(u32::MAX, |a| a.vector_slots + a.general_slots)
}

/// What the values in the frame cost; more than anything where the allocator finds no way.
pub fn spills(insts: &[Inst], classes: &[Class]) -> Spills {
    let mut allowed = vec![alloc::ANY; classes.len()];
    insts.iter().for_each(|inst| limit(inst, &mut allowed));
    let events: Vec<Event> = insts.iter().map(event).collect();
    let Ok(allocation) = alloc::allocate_among(&events, classes, REGISTERS, allowed) else {
        return Spills { inner: u32::MAX, weight: u64::MAX };
    };
    let (mut out, mut depth, mut since) = (Spills::default(), 0u32, None);
    for e in &events {
        let touched: Vec<Virtual> = match e {
            Event::LoopBegin => {
                (depth, since) = (depth + 1, Some(0));
                continue;
            }
            Event::LoopEnd => {
                depth -= 1;
                out.inner += since.take().unwrap_or(0);
                continue;
            }
            Event::Op { uses, defs } => uses.iter().chain(defs).copied().collect(),
            Event::Move { to, from } => vec![*to, *from],
        };
        let count = touched.iter().filter(|v| matches!(allocation.home(**v), Home::Slot(_))).count() as u32;
        out.weight += u64::from(count) << (3 * depth.min(6));
        since = since.map(|s: u32| s + count);
    }
    out
}

/// Removes instructions whose vectors nobody reads: what became part of others. General registers may carry flags and stay.
pub fn sweep(insts: Vec<Inst>, classes: &[Class]) -> Vec<Inst> {
    let sides: Vec<(Vec<Virtual>, Vec<Virtual>)> = insts
        .iter()
        .map(|inst| match event(inst) {
            Event::Op { uses, defs } => (uses, defs),
            Event::Move { to, from } => (vec![from], vec![to]),
            Event::LoopBegin | Event::LoopEnd => (vec![], vec![]),
        })
        .collect();
    let mut reads = vec![0; classes.len()];
    let mut writers: Vec<Vec<usize>> = vec![vec![]; classes.len()];
    for (i, (uses, defs)) in sides.iter().enumerate() {
        // What changes one register in place does not read it for others.
        uses.iter().filter(|u| defs != &[**u]).for_each(|u| reads[u.0 as usize] += 1);
        defs.iter().for_each(|d| writers[d.0 as usize].push(i));
    }
    let mut kept = vec![true; insts.len()];
    let mut unread: Vec<usize> = (0..reads.len()).filter(|&v| reads[v] == 0).collect();
    while let Some(v) = unread.pop() {
        for &i in &writers[v] {
            let (uses, defs) = &sides[i];
            let is_dead = |d: &Virtual| reads[d.0 as usize] == 0 && classes[d.0 as usize] == Class::Vector;
            if !defs.iter().all(is_dead) || !std::mem::replace(&mut kept[i], false) {
                continue;
            }
            for u in uses.iter().filter(|u| defs != &[**u]) {
                reads[u.0 as usize] -= 1;
                if reads[u.0 as usize] == 0 {
                    unread.push(u.0 as usize);
                }
            }
        }
    }
    insts.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(inst, _)| inst).collect()
}

/// What the allocator sees of an instruction.
fn event(inst: &Inst) -> Event {
    match inst {
        Inst::Op { form, registers, .. } => {
            let with = |wanted: fn(&forms::Role) -> bool| {
                let all = form.roles().iter().zip(registers).filter(|(role, _)| wanted(role));
                all.map(|(_, v)| *v).collect()
            };
            Event::Op { uses: with(|role| role.reads), defs: with(|role| role.writes) }
        }
        Inst::Move { to, from } => Event::Move { to: *to, from: *from },
        Inst::Argument { to, .. } => Event::Op { uses: vec![], defs: vec![*to] },
        Inst::Label(_) => Event::Op { uses: vec![], defs: vec![] },
        Inst::LoopBegin => Event::LoopBegin,
        Inst::LoopEnd => Event::LoopEnd,
    }
}

/// An instruction with the right number of registers, each of the right class.
fn check(inst: &Inst, classes: &[Class], arguments: usize) -> Result<(), String> {
    let is_right = match inst {
        Inst::Op { form, registers, .. } => {
            let roles = form.roles();
            roles.len() == registers.len() && roles.iter().zip(registers).all(|(role, v)| role.class == classes[v.0 as usize])
        }
        Inst::Argument { index, .. } => *index < arguments,
        Inst::Move { to, from } => classes[to.0 as usize] == classes[from.0 as usize],
        _ => true,
    };
    if is_right { Ok(()) } else { Err(format!("wrong operands: {inst:?}")) }
}

fn limit(inst: &Inst, allowed: &mut [u64]) {
    let Inst::Op { form, registers, .. } = inst else { return };
    for (role, v) in form.roles().iter().zip(registers).filter(|(role, _)| role.limit < 32) {
        let below = frame::VECTORS.iter().enumerate().filter(|(_, register)| **register < role.limit);
        allowed[v.0 as usize] &= below.fold(0, |mask, (i, _)| mask | 1 << i);
    }
}

/// A word that waits for a distance.
struct Distance {
    /// Its place among the words.
    at: usize,
    label: Label,
    form: &'static Form,
    arrangement: Arrangement,
    registers: Vec<u8>,
    numbers: Vec<i64>,
}

struct Writer<'a> {
    classes: &'a [Class],
    allocation: Allocation,
    frame: Frame,
    words: Vec<u32>,
    /// In bytes from the beginning.
    labels: BTreeMap<Label, usize>,
    distances: Vec<Distance>,
    /// Loads and stores of slots so far.
    spills: u32,
}

impl Writer<'_> {
    fn emit(&mut self, form: &'static Form, arrangement: Arrangement, registers: &[u8], numbers: &[i64]) -> Result<(), String> {
        self.words.push(form.encode(arrangement, registers, numbers).map_err(|e| e.to_string())?);
        Ok(())
    }
    fn plain(&mut self, form: &'static Form, registers: &[u8], numbers: &[i64]) -> Result<(), String> {
        self.emit(form, Arrangement::None, registers, numbers)
    }

    fn general(&self, at: usize, v: Virtual) -> u8 {
        frame::GENERAL[self.allocation.register(at, v) as usize]
    }
    /// The number by which an instruction names it.
    fn named(&self, v: Virtual, register: u8) -> u8 {
        match self.classes[v.0 as usize] {
            Class::General => frame::GENERAL[register as usize],
            Class::Vector => frame::VECTORS[register as usize],
        }
    }

    /// Adds to or subtracts from the stack pointer.
    fn step(&mut self, low: &'static Form, high: &'static Form, bytes: u32) -> Result<(), String> {
        for (form, part) in [(high, bytes >> 12), (low, bytes & 0xfff)] {
            if part != 0 {
                self.plain(form, &[SP, SP], &[part.into()])?;
            }
        }
        Ok(())
    }

    fn prologue(&mut self) -> Result<(), String> {
        // What linkers put between a call and a function far away lands here with an indirect branch.
        self.plain(&forms::BTI_C, &[], &[])?;
        self.step(&forms::SUB_IMM, &forms::SUB_IMM_LSL12, self.frame.saved_bytes)?;
        self.saved(|saved| saved.store)?;
        // Systems that give a stack its pages one after the other want them touched in that order.
        for page in 1..=self.frame.bytes / frame::PAGE_BYTES {
            self.plain(&forms::SUB_IMM_LSL12, &[ADDRESS, SP], &[page.into()])?;
            self.plain(&forms::LDRB, &[VALUE, ADDRESS], &[0])?;
        }
        self.step(&forms::SUB_IMM, &forms::SUB_IMM_LSL12, self.frame.bytes)
    }

    fn epilogue(&mut self) -> Result<(), String> {
        self.step(&forms::ADD_IMM, &forms::ADD_IMM_LSL12, self.frame.bytes)?;
        self.saved(|saved| saved.load)?;
        self.step(&forms::ADD_IMM, &forms::ADD_IMM_LSL12, self.frame.saved_bytes)?;
        self.plain(&forms::RET, &[], &[])
    }

    fn saved(&mut self, form: fn(&frame::Saved) -> &'static Form) -> Result<(), String> {
        let all: Vec<_> = self.frame.saved.iter().map(|s| (form(s), [s.registers.as_slice(), &[SP]].concat(), s.offset)).collect();
        all.into_iter().try_for_each(|(form, registers, offset)| self.plain(form, &registers, &[offset]))
    }

    /// Moves parameters to where they are wanted, all at once.
    fn arguments(&mut self, arguments: &[(Virtual, u8)]) -> Result<(), String> {
        let mut moves: Vec<(u8, u8)> =
            arguments.iter().map(|&(v, from)| (self.general(0, v), from)).filter(|(to, from)| to != from).collect();
        while !moves.is_empty() {
            match moves.iter().position(|&(to, _)| moves.iter().all(|m| m.1 != to)) {
                Some(i) => {
                    let (to, from) = moves.swap_remove(i);
                    self.plain(&forms::MOV_X, &[to, from], &[])?;
                }
                None => {
                    // They go round in circles, one of which is cut open.
                    let from = moves[0].1;
                    self.plain(&forms::MOV_X, &[ADDRESS, from], &[])?;
                    moves.iter_mut().filter(|m| m.1 == from).for_each(|m| m.1 = ADDRESS);
                }
            }
        }
        arguments.iter().try_for_each(|&(v, _)| self.store_spilled(0, v))
    }

    /// Loads or stores bytes of the frame.
    fn access(&mut self, form: &'static Form, register: u8, offset: u32) -> Result<(), String> {
        if let Ok(word) = form.encode(Arrangement::None, &[register, SP], &[offset.into()]) {
            self.words.push(word);
            return Ok(());
        }
        self.plain(&forms::ADD_IMM_LSL12, &[ADDRESS, SP], &[i64::from(offset >> 12)])?;
        self.plain(form, &[register, ADDRESS], &[i64::from(offset & 0xfff)])
    }

    fn load_slot(&mut self, class: Class, register: u8, slot: u32) -> Result<(), String> {
        self.spills += 1;
        self.access(if class == Class::General { &forms::LDR_X } else { &forms::LDR_Q }, register, self.frame.slot(slot))
    }
    fn store_slot(&mut self, class: Class, register: u8, slot: u32) -> Result<(), String> {
        self.spills += 1;
        self.access(if class == Class::General { &forms::STR_X } else { &forms::STR_Q }, register, self.frame.slot(slot))
    }

    /// Loads the stand-in of a register without place that instruction `at` reads.
    fn load_spilled(&mut self, at: usize, v: Virtual) -> Result<(), String> {
        match self.allocation.home(v) {
            Home::Slot(slot) if self.allocation.is_fetched(at, v) => {
                let register = self.named(v, self.allocation.register(at, v));
                self.load_slot(self.classes[v.0 as usize], register, slot)
            }
            _ => Ok(()),
        }
    }
    /// Stores the stand-in of one that it has written.
    fn store_spilled(&mut self, at: usize, v: Virtual) -> Result<(), String> {
        match self.allocation.home(v) {
            Home::Slot(slot) => {
                let register = self.named(v, self.allocation.register(at, v));
                self.store_slot(self.classes[v.0 as usize], register, slot)
            }
            Home::Register(_) => Ok(()),
        }
    }

    /// Gives what spills cost in innermost loops.
    fn body(&mut self, insts: &[Inst]) -> Result<u32, String> {
        let mut inner = 0;
        // Per open loop what there was before it, and whether it is an innermost one.
        let mut open: Vec<(u32, bool)> = vec![];
        for (i, inst) in insts.iter().enumerate() {
            let at = i + 1;
            match inst {
                Inst::LoopBegin => {
                    open.last_mut().into_iter().for_each(|l| l.1 = false);
                    open.push((self.spills, true));
                }
                Inst::LoopEnd => {
                    if let Some((before, true)) = open.pop() {
                        inner += self.spills - before;
                    }
                }
                Inst::Label(label) => {
                    if self.labels.insert(*label, 4 * self.words.len()).is_some() {
                        return Err(format!("{label:?} stands twice"));
                    }
                }
                Inst::Move { to, from } => self.move_to(*to, *from)?,
                _ => {
                    let Event::Op { uses, defs } = event(inst) else { continue };
                    for (i, &v) in uses.iter().enumerate() {
                        if !uses[..i].contains(&v) {
                            self.load_spilled(at, v)?;
                        }
                    }
                    self.instruction(at, inst)?;
                    defs.iter().try_for_each(|&v| self.store_spilled(at, v))?;
                }
            }
        }
        Ok(inner)
    }

    fn instruction(&mut self, at: usize, inst: &Inst) -> Result<(), String> {
        match inst {
            Inst::Argument { to, index } => {
                let offset = self.frame.stack_argument((index - REGISTER_ARGUMENTS) as u32);
                self.access(&forms::LDR_X, self.general(at, *to), offset)
            }
            Inst::Op { form, arrangement, registers, numbers, label, .. } => {
                let registers: Vec<u8> = registers.iter().map(|&v| self.named(v, self.allocation.register(at, v))).collect();
                match label {
                    None => self.emit(form, *arrangement, &registers, numbers),
                    Some(label) => {
                        self.distances.push(Distance {
                            at: self.words.len(),
                            label: *label,
                            form,
                            arrangement: *arrangement,
                            registers,
                            numbers: numbers.clone(),
                        });
                        self.words.push(0);
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn move_to(&mut self, to: Virtual, from: Virtual) -> Result<(), String> {
        let class = self.classes[to.0 as usize];
        let (target, source) = (self.allocation.home(to), self.allocation.home(from));
        match (target, source) {
            _ if target == source => Ok(()),
            (Home::Register(t), Home::Register(f)) if class == Class::General => {
                self.plain(&forms::MOV_X, &[self.named(to, t), self.named(from, f)], &[])
            }
            (Home::Register(t), Home::Register(f)) => {
                self.emit(&forms::MOV_V, Arrangement::B16, &[self.named(to, t), self.named(from, f)], &[])
            }
            (Home::Register(t), Home::Slot(f)) => self.load_slot(class, self.named(to, t), f),
            (Home::Slot(t), Home::Register(f)) => self.store_slot(class, self.named(from, f), t),
            (Home::Slot(t), Home::Slot(f)) => {
                self.spills += 2;
                let (t, f) = (self.frame.slot(t), self.frame.slot(f));
                for part in 0..if class == Class::General { 1 } else { 2 } {
                    self.access(&forms::LDR_X, VALUE, f + 8 * part)?;
                    self.access(&forms::STR_X, VALUE, t + 8 * part)?;
                }
                Ok(())
            }
        }
    }

    /// Places the constants that are used, fills in distances, and gives the bytes.
    fn finish(mut self, pool: &[(Label, Vec<u8>)]) -> Result<Vec<u8>, String> {
        let code_bytes = 4 * self.words.len();
        let mut constants: Vec<u8> = vec![];
        for (label, bytes) in pool.iter().filter(|(label, _)| self.distances.iter().any(|d| d.label == *label)) {
            let aligned = (code_bytes + constants.len()).next_multiple_of(bytes.len().next_power_of_two().clamp(4, 16));
            constants.resize(aligned - code_bytes, 0);
            self.labels.insert(*label, aligned);
            constants.extend(bytes);
        }
        for d in std::mem::take(&mut self.distances) {
            let target = self.labels.get(&d.label).ok_or_else(|| format!("{:?} stands nowhere", d.label))?;
            let numbers = [d.numbers.as_slice(), &[*target as i64 - 4 * d.at as i64]].concat();
            self.words[d.at] = d.form.encode(d.arrangement, &d.registers, &numbers).map_err(|e| e.to_string())?;
        }
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.extend(constants);
        Ok(bytes)
    }
}
