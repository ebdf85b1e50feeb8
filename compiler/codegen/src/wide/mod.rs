//! The wide emitter: a tile kernel becomes AVX2 or AVX-512 machine code with 256- or 512-bit vectors.
//!
//! Not Cranelift: Cranelift has no vectors above 128 bits, so instructions are chosen here and assembled with iced-x86; the bytes go into
//! the same object. The ideas: every value lives in vector registers, in pieces of the vector's size; instructions are listed
//! with virtual registers (`asm.rs`), registers are found for the whole list (`alloc.rs`), then the list is encoded. A
//! kernel with something that is not done here is refused as a whole and left to the clif emitter: the text means the same.

mod asm;
mod convert;
mod fixed;
mod lanes;
mod loops;
mod memory;
mod ops;

use crate::addresses::{CounterValue, PointerKey};
use crate::alloc::{self, Class, Event, Home, Virtual};
use crate::facts::Facts;
use crate::floats;
use asm::{Entry, Mem, Registers};
use cranelite_tile::{Base, Counter, Kernel, Op, Type, Value, halves};
use iced_x86::code_asm::{AsmMemoryOperand, CodeAssembler, CodeLabel, dword_ptr, ptr, qword_ptr, registers};
use std::collections::{BTreeMap, BTreeSet};

/// Which instructions there are beyond AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// AVX-512 F, VL, BW, DQ and CD: 32 registers, masks, 512 bits if the vectors are that long.
    pub avx512: bool,
    /// The dot product of bytes, VEX or EVEX.
    pub vnni: bool,
    /// VCVTPH2PS and VCVTPS2PH.
    pub f16c: bool,
    /// Byte permutations.
    pub vbmi: bool,
    /// 32 or 64.
    pub vector_bytes: usize,
}

/// Machine code of one kernel's function. Its address must be a multiple of 64.
#[derive(Clone, Debug)]
pub struct Code {
    pub bytes: Vec<u8>,
    /// Return address, saved registers, frame, and what moves push below it.
    pub stack_bytes: u32,
}

/// Why a kernel is left to the clif emitter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel {kernel}: {what}")]
pub struct Unsupported {
    pub kernel: String,
    pub what: String,
}

pub fn emit(kernel: &Kernel, features: Features) -> Result<Code, Unsupported> {
    let expanded = if features.f16c { None } else { halves::expanded(kernel) };
    let kernel = expanded.as_ref().unwrap_or(kernel);
    let unsupported = |what: String| Unsupported { kernel: kernel.name.clone(), what };
    let assembler = CodeAssembler::new(64).map_err(|e| unsupported(e.to_string()))?;
    let mut e = Emitter {
        kernel,
        features,
        assembler,
        events: vec![],
        entries: vec![],
        classes: vec![],
        values: vec![vec![]; kernel.types.len()],
        params: vec![],
        counters: vec![None; kernel.counters.len()],
        pointers: vec![BTreeMap::new()],
        facts: Facts::of(kernel),
        read_counters: BTreeSet::new(),
        definitions: floats::definitions(kernel),
        folded: BTreeMap::new(),
        pool: BTreeMap::new(),
        constants: BTreeMap::new(),
        preamble: (vec![], vec![]),
        scratch_bytes: 0,
        error: None,
    };
    e.function();
    let finished = e.error.take();
    match finished {
        Some(what) => Err(unsupported(what)),
        None => e.encode().map_err(unsupported),
    }
}

/// The instructions as text, for people.
pub fn listing(bytes: &[u8]) -> String {
    use iced_x86::{Decoder, DecoderOptions, FastFormatter};
    let mut formatter = FastFormatter::new();
    let mut out = String::new();
    for instruction in Decoder::new(64, bytes, DecoderOptions::NONE) {
        out.push_str(&format!("{:6x}: ", instruction.ip()));
        formatter.format(&instruction, &mut out);
        out.push('\n');
    }
    out
}

struct Emitter<'a> {
    kernel: &'a Kernel,
    features: Features,
    assembler: CodeAssembler,
    events: Vec<Event>,
    entries: Vec<Entry>,
    classes: Vec<Class>,
    /// Pieces of every tile value, once defined.
    values: Vec<Vec<Virtual>>,
    params: Vec<Virtual>,
    counters: Vec<Option<CounterValue>>,
    /// Per open loop, outermost first: the pointers to `base[index]`; indices have no constant part.
    pointers: Vec<BTreeMap<(Base, PointerKey), Virtual>>,
    facts: Facts,
    /// Indices that come from memory.
    read_counters: BTreeSet<Counter>,
    /// The operation that defines each value, if one does.
    definitions: Vec<Option<&'a Op>>,
    /// Loads that become part of the one operation that uses them.
    folded: BTreeMap<Value, Mem>,
    /// Constants after the code: bytes (4, 8 or a whole vector) to label.
    pool: BTreeMap<Vec<u8>, CodeLabel>,
    /// Constants that are in registers, loaded by the preamble.
    constants: BTreeMap<(Vec<u8>, usize), Virtual>,
    preamble: (Vec<Event>, Vec<Entry>),
    scratch_bytes: i32,
    /// The first thing that could not be done.
    error: Option<String>,
}

/// What lies where below the return address: spilled registers, one spare slot, scratch, the register parameters.
pub(crate) struct Frame {
    vector_bytes: usize,
    vector_slots: u32,
    general_slots: u32,
    scratch_offset: i32,
    homes_offset: i32,
    size: i32,
    /// Callee-saved registers pushed before the frame.
    saved: i32,
}

/// The smallest page of the systems that the code is for.
const PAGE_BYTES: i32 = 4096;

/// Parameters of the System V convention that come in registers.
const PARAMETER_REGISTERS: [iced_x86::code_asm::AsmRegister64; 6] =
    [registers::rdi, registers::rsi, registers::rdx, registers::rcx, registers::r8, registers::r9];

impl Frame {
    fn new(allocation: &alloc::Allocation, vector_bytes: usize, scratch_bytes: i32, saved: usize) -> Frame {
        let spills = (allocation.vector_slots as usize + 1) * vector_bytes + allocation.general_slots as usize * 8;
        let scratch_offset = spills as i32;
        let homes_offset = scratch_offset + (scratch_bytes + 7) / 8 * 8;
        Frame {
            vector_bytes,
            vector_slots: allocation.vector_slots,
            general_slots: allocation.general_slots,
            scratch_offset,
            homes_offset,
            size: homes_offset + 8 * PARAMETER_REGISTERS.len() as i32,
            saved: saved as i32,
        }
    }
    fn slot(&self, slot: u32) -> AsmMemoryOperand {
        let vectors = self.vector_slots + 1;
        let offset = if slot < self.vector_slots {
            slot as usize * self.vector_bytes
        } else if slot < self.vector_slots + self.general_slots {
            vectors as usize * self.vector_bytes + (slot - self.vector_slots) as usize * 8
        } else {
            self.vector_slots as usize * self.vector_bytes
        };
        ptr(registers::rsp + offset as i32)
    }
    /// A vector slot that belongs to nobody.
    fn spare_slot(&self) -> u32 {
        self.vector_slots + self.general_slots
    }
    fn argument_offset(&self, i: usize) -> i32 {
        match i.checked_sub(PARAMETER_REGISTERS.len()) {
            None => self.homes_offset + 8 * i as i32,
            Some(on_stack) => self.size + 8 * self.saved + 8 + 8 * on_stack as i32,
        }
    }
}

impl Emitter<'_> {
    fn fail(&mut self, what: impl Into<String>) {
        self.error.get_or_insert(what.into());
    }

    fn ty(&self, v: Value) -> Type {
        self.kernel.ty(v)
    }

    fn pieces(&mut self, v: Value) -> Vec<Virtual> {
        if let Some(mem) = self.folded.remove(&v) {
            // Folding was prepared for, but the user wants a register.
            let ty = self.ty(v);
            self.values[v.0 as usize] = self.load_at(mem, ty, None);
        }
        self.values[v.0 as usize].clone()
    }

    /// Bytes of every register that a value of this type is held in.
    fn piece_sizes(&self, ty: Type) -> Vec<usize> {
        let (total, full) = (ty.bytes() as usize, self.features.vector_bytes);
        let mut sizes = vec![full; total / full];
        match total % full {
            0 => {}
            1..=16 => sizes.push(16),
            17..=32 => sizes.push(32),
            _ => sizes.push(64),
        }
        sizes
    }

    fn function(&mut self) {
        let (args, params) = (self.kernel.args.len(), self.kernel.params.len());
        for i in 0..args + params {
            let v = self.general();
            self.push(&[], &[v], move |s, r| s.mov(r.q(v), qword_ptr(r.m(&Mem::Argument(i)))));
            if i < args {
                let base = Base::Arg(cranelite_tile::Arg(i as u32));
                self.pointers[0].insert((base, vec![]), v);
            } else {
                self.params.push(v);
            }
        }
        let kernel = self.kernel;
        self.stmts(&kernel.body);
    }

    /// Removes instructions whose vectors nobody reads: what became part of others. General registers may carry flags and stay.
    fn sweep(&mut self) {
        fn sides(e: &Event) -> (&[Virtual], &[Virtual]) {
            match e {
                Event::Op { uses, defs } => (uses, defs),
                Event::Move { to, from } => (std::slice::from_ref(from), std::slice::from_ref(to)),
                Event::LoopBegin | Event::LoopEnd => (&[], &[]),
            }
        }
        let mut reads = vec![0; self.classes.len()];
        let mut writers: Vec<Vec<usize>> = vec![vec![]; self.classes.len()];
        for (i, e) in self.events.iter().enumerate() {
            let (uses, defs) = sides(e);
            // What changes one register in place does not read it for others.
            uses.iter().filter(|u| defs != [**u]).for_each(|u| reads[u.0 as usize] += 1);
            defs.iter().for_each(|d| writers[d.0 as usize].push(i));
        }
        let mut kept = vec![true; self.events.len()];
        let mut unread: Vec<usize> = (0..reads.len()).filter(|&v| reads[v] == 0).collect();
        while let Some(v) = unread.pop() {
            for &i in &writers[v] {
                let (uses, defs) = sides(&self.events[i]);
                let is_dead = |d: &Virtual| reads[d.0 as usize] == 0 && self.classes[d.0 as usize] == Class::Vector;
                if !defs.iter().all(is_dead) || !std::mem::replace(&mut kept[i], false) {
                    continue;
                }
                for u in uses.iter().filter(|u| defs != [**u]) {
                    reads[u.0 as usize] -= 1;
                    if reads[u.0 as usize] == 0 {
                        unread.push(u.0 as usize);
                    }
                }
            }
        }
        let mut keep = kept.iter();
        self.events.retain(|_| keep.next() == Some(&true));
        let mut keep = kept.iter();
        self.entries.retain(|_| keep.next() == Some(&true));
    }

    /// Whether a move goes from one place of the frame to another by way of the stack below it.
    fn passes_the_stack(&self, allocation: &alloc::Allocation, to: Virtual, from: Virtual) -> bool {
        let (target, source) = (allocation.home(to), allocation.home(from));
        let both = matches!((target, source), (Home::Slot(_), Home::Slot(_)));
        both && target != source && self.classes[to.0 as usize] == Class::General
    }

    fn encode(mut self) -> Result<Code, String> {
        let (mut events, mut entries) = std::mem::take(&mut self.preamble);
        events.append(&mut self.events);
        entries.append(&mut self.entries);
        (self.events, self.entries) = (events, entries);
        self.sweep();
        let registers = alloc::Registers { vector: if self.features.avx512 { 32 } else { 16 }, general: asm::GENERAL.len() as u8 };
        let allocation = alloc::allocate(&self.events, &self.classes, registers).map_err(|_| "more registers are needed than there are")?;
        let used: Vec<u8> = (0..self.classes.len() as u32)
            .filter(|&v| self.classes[v as usize] == Class::General)
            .flat_map(|v| allocation.registers_of(Virtual(v)))
            .collect();
        let saved: Vec<u8> = (asm::CALLER_SAVED as u8..asm::GENERAL.len() as u8).filter(|r| used.contains(r)).collect();
        let frame = Frame::new(&allocation, self.features.vector_bytes, self.scratch_bytes, saved.len());

        let moves = self.events.iter().any(|e| matches!(e, Event::Move { to, from } if self.passes_the_stack(&allocation, *to, *from)));
        let stack_bytes = frame.size + 8 * frame.saved + 8 + if moves { asm::MOVE_STACK_BYTES } else { 0 };

        let mut s = self.assembler;
        s.set_prefer_vex(!self.features.avx512);
        let encoded = (|| {
            for &r in &saved {
                s.push(asm::general(r.into()))?;
            }
            // Systems that give a stack its pages one after the other want them touched in that order.
            for page in 1..=frame.size / PAGE_BYTES {
                s.test(dword_ptr(registers::rsp - page * PAGE_BYTES), registers::eax)?;
            }
            s.sub(registers::rsp, frame.size)?;
            let in_registers = (self.kernel.args.len() + self.kernel.params.len()).min(PARAMETER_REGISTERS.len());
            for (i, &r) in PARAMETER_REGISTERS[..in_registers].iter().enumerate() {
                s.mov(ptr(registers::rsp + frame.argument_offset(i)), r)?;
            }
            for (at, (event, entry)) in self.events.iter().zip(&self.entries).enumerate() {
                let r = Registers { allocation: &allocation, at, frame: &frame };
                match entry {
                    Entry::Marker => {}
                    Entry::Move { to, from, size } => asm::encode_move(&mut s, &r, *to, *from, *size, self.classes[to.0 as usize])?,
                    Entry::Code(encode) => {
                        let Event::Op { uses, defs } = event else { continue };
                        asm::fetch_spilled(&mut s, &r, uses, &self.classes)?;
                        encode(&mut s, &r)?;
                        asm::keep_spilled(&mut s, &r, defs, &self.classes)?;
                    }
                }
            }
            s.add(registers::rsp, frame.size)?;
            for &r in saved.iter().rev() {
                s.pop(asm::general(r.into()))?;
            }
            s.vzeroupper()?;
            s.ret()?;
            for (bytes, label) in &mut self.pool {
                s.set_label(label)?;
                s.db(bytes)?;
            }
            s.assemble(0)
        })();
        let bytes = encoded.map_err(|e: iced_x86::IcedError| e.to_string())?;
        Ok(Code { bytes, stack_bytes: stack_bytes as u32 })
    }
}
