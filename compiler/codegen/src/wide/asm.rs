//! Instructions on virtual registers: what is remembered of each until registers are known.
//!
//! Not a selection of instructions (`ops.rs` and its neighbours choose). The idea: one entry is one machine instruction, as a
//! function of the registers it will get; its mnemonic is written once for all vector sizes.

use super::{Emitter, Frame};
use crate::alloc::{Allocation, Class, Event, Home, Virtual};
use iced_x86::code_asm::{
    AsmMemoryOperand, AsmRegister32, AsmRegister64, AsmRegisterXmm, AsmRegisterYmm, AsmRegisterZmm, CodeAssembler, CodeLabel, get_gpr32,
    get_gpr64, get_xmm, get_ymm, get_zmm, ptr, qword_ptr, registers,
};
use iced_x86::{IcedError, Register};

pub(super) type Encode = Box<dyn Fn(&mut CodeAssembler, &Registers) -> Result<(), IcedError>>;

/// One entry of the list beside its [`Event`].
pub(super) enum Entry {
    Code(Encode),
    /// Bytes of the vector, or 8 for a general register.
    Move {
        to: Virtual,
        from: Virtual,
        size: usize,
    },
    Marker,
}

/// General registers in the order of preference: those that a function need not save come first.
pub(super) const GENERAL: [Register; 15] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];
/// What a move from one place of the frame to another takes below the frame.
pub(super) const MOVE_STACK_BYTES: i32 = 8;
/// How many of [`GENERAL`] may be changed freely.
pub(super) const CALLER_SAVED: usize = 9;

/// The registers of one instruction.
pub(super) struct Registers<'a> {
    pub allocation: &'a Allocation,
    pub at: usize,
    pub frame: &'a Frame,
}

impl Registers<'_> {
    fn number(&self, v: Virtual) -> u32 {
        u32::from(self.allocation.register(self.at, v))
    }
    pub fn x(&self, v: Virtual) -> AsmRegisterXmm {
        xmm(self.number(v))
    }
    pub fn y(&self, v: Virtual) -> AsmRegisterYmm {
        ymm(self.number(v))
    }
    pub fn z(&self, v: Virtual) -> AsmRegisterZmm {
        zmm(self.number(v))
    }
    pub fn q(&self, v: Virtual) -> AsmRegister64 {
        general(self.number(v))
    }
    pub fn d(&self, v: Virtual) -> AsmRegister32 {
        get_gpr32(Register::EAX + (GENERAL[self.number(v) as usize] as u32 - Register::RAX as u32)).expect("a general register")
    }
    pub fn m(&self, m: &Mem) -> AsmMemoryOperand {
        match m {
            Mem::At { base, index: None, displacement } => ptr(self.q(*base) + *displacement),
            Mem::At { base, index: Some(i), displacement } => ptr(self.q(*base) + self.q(*i) + *displacement),
            Mem::Pool(label) => ptr(*label),
            Mem::Scratch(offset) => ptr(registers::rsp + self.frame.scratch_offset + *offset),
            Mem::Argument(i) => ptr(registers::rsp + self.frame.argument_offset(*i)),
        }
    }
}

pub(super) fn xmm(n: u32) -> AsmRegisterXmm {
    get_xmm(Register::XMM0 + n).expect("a vector register")
}
pub(super) fn ymm(n: u32) -> AsmRegisterYmm {
    get_ymm(Register::YMM0 + n).expect("a vector register")
}
pub(super) fn zmm(n: u32) -> AsmRegisterZmm {
    get_zmm(Register::ZMM0 + n).expect("a vector register")
}
pub(super) fn general(n: u32) -> AsmRegister64 {
    get_gpr64(GENERAL[n as usize]).expect("a general register")
}

/// A place in memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mem {
    At {
        base: Virtual,
        index: Option<Virtual>,
        displacement: i32,
    },
    /// Constants after the code.
    Pool(CodeLabel),
    /// Bytes of the frame that live for the length of one operation.
    Scratch(i32),
    /// Parameter of the function, by position.
    Argument(usize),
}

impl Mem {
    pub fn plus(self, bytes: i32) -> Mem {
        match self {
            Mem::At { base, index, displacement } => Mem::At { base, index, displacement: displacement + bytes },
            Mem::Scratch(o) => Mem::Scratch(o + bytes),
            Mem::Pool(_) | Mem::Argument(_) => self,
        }
    }
    /// Virtual registers that the address needs.
    pub fn registers(&self) -> Vec<Virtual> {
        match self {
            Mem::At { base, index, .. } => [Some(*base), *index].into_iter().flatten().collect(),
            _ => vec![],
        }
    }
}

impl Emitter<'_> {
    pub(super) fn fresh(&mut self, class: Class) -> Virtual {
        self.classes.push(class);
        Virtual(self.classes.len() as u32 - 1)
    }
    pub(super) fn vector(&mut self) -> Virtual {
        self.fresh(Class::Vector)
    }
    pub(super) fn general(&mut self) -> Virtual {
        self.fresh(Class::General)
    }

    pub(super) fn push(
        &mut self,
        uses: &[Virtual],
        defs: &[Virtual],
        encode: impl Fn(&mut CodeAssembler, &Registers) -> Result<(), IcedError> + 'static,
    ) {
        self.events.push(Event::Op { uses: uses.to_vec(), defs: defs.to_vec() });
        self.entries.push(Entry::Code(Box::new(encode)));
    }

    pub(super) fn move_to(&mut self, to: Virtual, from: Virtual, size: usize) {
        if to != from {
            self.events.push(Event::Move { to, from });
            self.entries.push(Entry::Move { to, from, size });
        }
    }

    /// A copy that may be changed in place.
    pub(super) fn copy(&mut self, from: Virtual, size: usize) -> Virtual {
        let to = self.vector();
        self.move_to(to, from, size);
        to
    }

    pub(super) fn marker(&mut self, event: Event) {
        self.events.push(event);
        self.entries.push(Entry::Marker);
    }
}

/// `d = mnemonic a, b` for any vector size; `b` is a register or, in the second form, memory.
macro_rules! vvv {
    ($e:expr, $m:ident, $size:expr, $a:expr, $b:expr) => {{
        let (a, b, size) = ($a, $b, $size);
        let d = $e.vector();
        $e.push(&[a, b], &[d], move |s, r| match size {
            16 => s.$m(r.x(d), r.x(a), r.x(b)),
            32 => s.$m(r.y(d), r.y(a), r.y(b)),
            _ => s.$m(r.z(d), r.z(a), r.z(b)),
        });
        d
    }};
}
/// The same for instructions without a 512-bit form.
macro_rules! vvv_short {
    ($e:expr, $m:ident, $size:expr, $a:expr, $b:expr $(, $imm:expr)?) => {{
        let (a, b, size) = ($a, $b, $size);
        let d = $e.vector();
        $e.push(&[a, b], &[d], move |s, r| match size {
            16 => s.$m(r.x(d), r.x(a), r.x(b) $(, $imm)?),
            _ => s.$m(r.y(d), r.y(a), r.y(b) $(, $imm)?),
        });
        d
    }};
}
/// `acc = mnemonic acc, a, b` in place.
macro_rules! in_place {
    ($e:expr, $m:ident, $size:expr, $acc:expr, $a:expr, $b:expr) => {{
        let (acc, a, b, size) = ($acc, $a, $b, $size);
        $e.push(&[acc, a, b], &[acc], move |s, r| match size {
            16 => s.$m(r.x(acc), r.x(a), r.x(b)),
            32 => s.$m(r.y(acc), r.y(a), r.y(b)),
            _ => s.$m(r.z(acc), r.z(a), r.z(b)),
        });
    }};
}
/// `d = mnemonic a`.
macro_rules! vv {
    ($e:expr, $m:ident, $size:expr, $a:expr) => {{
        let (a, size) = ($a, $size);
        let d = $e.vector();
        $e.push(&[a], &[d], move |s, r| match size {
            16 => s.$m(r.x(d), r.x(a)),
            32 => s.$m(r.y(d), r.y(a)),
            _ => s.$m(r.z(d), r.z(a)),
        });
        d
    }};
}
/// `d = mnemonic a, immediate`.
macro_rules! vvi {
    ($e:expr, $m:ident, $size:expr, $a:expr, $imm:expr) => {{
        let (a, size, imm) = ($a, $size, $imm);
        let d = $e.vector();
        $e.push(&[a], &[d], move |s, r| match size {
            16 => s.$m(r.x(d), r.x(a), imm),
            32 => s.$m(r.y(d), r.y(a), imm),
            _ => s.$m(r.z(d), r.z(a), imm),
        });
        d
    }};
}
/// `d = mnemonic memory`.
macro_rules! vm {
    ($e:expr, $m:ident, $size:expr, $mem:expr) => {{
        let (mem, size) = ($mem, $size);
        let d = $e.vector();
        $e.push(&mem.registers(), &[d], move |s, r| match size {
            16 => s.$m(r.x(d), r.m(&mem)),
            32 => s.$m(r.y(d), r.m(&mem)),
            _ => s.$m(r.z(d), r.m(&mem)),
        });
        d
    }};
}
/// `mnemonic memory, a`.
macro_rules! store {
    ($e:expr, $m:ident, $size:expr, $mem:expr, $a:expr) => {{
        let (mem, a, size) = ($mem, $a, $size);
        let mut uses = mem.registers();
        uses.push(a);
        $e.push(&uses, &[], move |s, r| match size {
            16 => s.$m(r.m(&mem), r.x(a)),
            32 => s.$m(r.m(&mem), r.y(a)),
            _ => s.$m(r.m(&mem), r.z(a)),
        });
    }};
}
pub(super) use {in_place, store, vm, vv, vvi, vvv, vvv_short};

/// The moves that `Entry::Move` stands for, once both homes are known.
pub(super) fn encode_move(
    s: &mut CodeAssembler,
    r: &Registers,
    to: Virtual,
    from: Virtual,
    size: usize,
    class: Class,
) -> Result<(), IcedError> {
    let (to, from) = (r.allocation.home(to), r.allocation.home(from));
    if to == from {
        return Ok(());
    }
    match (class, to, from) {
        (Class::General, Home::Register(t), Home::Register(f)) => s.mov(general(t.into()), general(f.into())),
        (Class::General, Home::Register(t), Home::Slot(f)) => s.mov(general(t.into()), r.frame.slot(f)),
        (Class::General, Home::Slot(t), Home::Register(f)) => s.mov(r.frame.slot(t), general(f.into())),
        (Class::General, Home::Slot(t), Home::Slot(f)) => {
            s.push(qword_ptr(r.frame.slot(f)))?;
            s.pop(qword_ptr(r.frame.slot(t)))
        }
        (Class::Vector, Home::Register(t), Home::Register(f)) => match size {
            16 => s.vmovaps(xmm(t.into()), xmm(f.into())),
            32 => s.vmovaps(ymm(t.into()), ymm(f.into())),
            _ => s.vmovaps(zmm(t.into()), zmm(f.into())),
        },
        (Class::Vector, Home::Register(t), Home::Slot(f)) => load_slot(s, r.frame, t, f),
        (Class::Vector, Home::Slot(t), Home::Register(f)) => store_slot(s, r.frame, t, f),
        (Class::Vector, Home::Slot(t), Home::Slot(f)) => {
            // Register 0 is borrowed; its old value waits in the frame.
            store_slot(s, r.frame, r.frame.spare_slot(), 0)?;
            load_slot(s, r.frame, 0, f)?;
            store_slot(s, r.frame, t, 0)?;
            load_slot(s, r.frame, 0, r.frame.spare_slot())
        }
    }
}

pub(super) fn load_slot(s: &mut CodeAssembler, frame: &Frame, register: u8, slot: u32) -> Result<(), IcedError> {
    match frame.vector_bytes {
        32 => s.vmovups(ymm(register.into()), frame.slot(slot)),
        _ => s.vmovups(zmm(register.into()), frame.slot(slot)),
    }
}

pub(super) fn store_slot(s: &mut CodeAssembler, frame: &Frame, slot: u32, register: u8) -> Result<(), IcedError> {
    match frame.vector_bytes {
        32 => s.vmovups(frame.slot(slot), ymm(register.into())),
        _ => s.vmovups(frame.slot(slot), zmm(register.into())),
    }
}

/// Loads the stand-ins of spilled registers that an instruction reads.
pub(super) fn fetch_spilled(s: &mut CodeAssembler, r: &Registers, uses: &[Virtual], classes: &[Class]) -> Result<(), IcedError> {
    for &v in uses {
        if let Home::Slot(slot) = r.allocation.home(v)
            && r.allocation.is_fetched(r.at, v)
        {
            let register = r.allocation.register(r.at, v);
            match classes[v.0 as usize] {
                Class::General => s.mov(general(register.into()), r.frame.slot(slot))?,
                Class::Vector => load_slot(s, r.frame, register, slot)?,
            }
        }
    }
    Ok(())
}

/// Stores the stand-ins of spilled registers that an instruction has written.
pub(super) fn keep_spilled(s: &mut CodeAssembler, r: &Registers, defs: &[Virtual], classes: &[Class]) -> Result<(), IcedError> {
    for &v in defs {
        if let Home::Slot(slot) = r.allocation.home(v) {
            let register = r.allocation.register(r.at, v);
            match classes[v.0 as usize] {
                Class::General => s.mov(r.frame.slot(slot), general(register.into()))?,
                Class::Vector => store_slot(s, r.frame, slot, register)?,
            }
        }
    }
    Ok(())
}
