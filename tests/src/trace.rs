//! Which instructions of a kernel are executed, one after the other, and which of its loops a part of that is one turn of.
//!
//! Not an emulator of what kernels compute: only indices, pointers and counters have values; vectors and what is in buffers have none. The idea:
//! how often a loop runs, which rests there are and where a schedule spends its time need not be known, because all of it is seen.

use anyhow::{Context, Result, bail, ensure};
use cranelite_codegen::object::KernelFacts;
use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, Mnemonic, OpKind, Register};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::collections::HashMap;
use std::ops::Range;

/// The instructions of a kernel, and the numbers of those that a call executes.
pub struct Trace {
    pub code: Vec<Instruction>,
    pub executed: Vec<usize>,
}

/// The code of a kernel in an object for x86-64.
pub fn code(object: &[u8], kernel: &KernelFacts) -> Result<Vec<Instruction>> {
    let file = object::File::parse(object)?;
    let symbol = file.symbols().find(|s| s.name() == Ok(&kernel.symbol)).context("a symbol for the kernel")?;
    let section = file.section_by_index(symbol.section_index().context("a section")?)?;
    let start = (symbol.address() - section.address()) as usize;
    let bytes = &section.data()?[start..start + kernel.code_bytes as usize];
    Ok(Decoder::new(64, bytes, DecoderOptions::NONE).iter().collect())
}

/// Where the stack is, and where the first buffer: far from each other and from 0.
const STACK: u64 = 1 << 40;
const BUFFER: u64 = 1 << 32;

/// The numbers that the code of kernels computes with.
#[derive(Default)]
struct Machine {
    registers: HashMap<Register, u64>,
    memory: HashMap<u64, u64>,
    /// What was compared last.
    compared: (i64, i64),
}

impl Machine {
    fn register(&self, r: Register) -> u64 {
        let value = self.registers.get(&full(r)).copied().unwrap_or(0);
        if is_half(r) { value & 0xffff_ffff } else { value }
    }

    fn address(&self, i: &Instruction) -> u64 {
        let base = if i.is_ip_rel_memory_operand() { return i.ip_rel_memory_address() } else { self.register(i.memory_base()) };
        let index = self.register(i.memory_index()).wrapping_mul(i.memory_index_scale().into());
        base.wrapping_add(index).wrapping_add(i.memory_displacement64())
    }

    fn read(&self, i: &Instruction, operand: u32) -> u64 {
        match i.op_kind(operand) {
            OpKind::Register => self.register(i.op_register(operand)),
            OpKind::Memory => self.memory.get(&self.address(i)).copied().unwrap_or(0),
            _ => i.immediate(operand),
        }
    }

    fn write(&mut self, i: &Instruction, value: u64) {
        match i.op0_kind() {
            OpKind::Memory => {
                let at = self.address(i);
                self.memory.insert(at, value);
            }
            _ => {
                let r = i.op0_register();
                let value = if is_half(r) { value & 0xffff_ffff } else { value };
                self.registers.insert(full(r), value);
            }
        }
    }

    /// Executes one instruction; whether it jumps.
    fn step(&mut self, i: &Instruction, is_general: bool) -> Result<bool> {
        use Mnemonic as M;
        let (a, b) = self.compared;
        let is_half = if i.op0_kind() == OpKind::Register { is_half(i.op0_register()) } else { i.memory_size().size() == 4 };
        let signed = |v: u64| if is_half { i64::from(v as i32) } else { v as i64 };
        let (x, y) = match (i.op_count(), i.mnemonic()) {
            _ if !is_general => (0, 0),
            (3, M::Imul) => (self.read(i, 1), self.read(i, 2)),
            (1, _) => (self.read(i, 0), 0),
            _ => (self.read(i, 0), self.read(i, 1)),
        };
        match i.mnemonic() {
            M::Mov | M::Movzx => self.write(i, y),
            M::Movsxd => self.write(i, i64::from(y as i32) as u64),
            M::Lea => self.write(i, self.address(i)),
            M::Push => {
                let to = self.register(Register::RSP) - 8;
                self.registers.insert(Register::RSP, to);
                self.memory.insert(to, x);
            }
            M::Pop => {
                let from = self.register(Register::RSP);
                self.registers.insert(Register::RSP, from + 8);
                self.write(i, self.memory.get(&from).copied().unwrap_or(0));
            }
            M::Cmp => self.compared = (signed(x), signed(y)),
            M::Test => self.compared = (signed(x & y), 0),
            M::Add | M::Sub | M::Xor | M::And | M::Or | M::Shl | M::Shr | M::Sar | M::Inc | M::Dec | M::Neg | M::Imul => {
                let value = match i.mnemonic() {
                    M::Add => x.wrapping_add(y),
                    M::Sub => x.wrapping_sub(y),
                    M::Xor => x ^ y,
                    M::And => x & y,
                    M::Or => x | y,
                    M::Shl => x.wrapping_shl(y as u32),
                    M::Shr => x.wrapping_shr(y as u32),
                    M::Sar => signed(x).wrapping_shr(y as u32) as u64,
                    M::Inc => x.wrapping_add(1),
                    M::Dec => x.wrapping_sub(1),
                    M::Neg => x.wrapping_neg(),
                    _ => x.wrapping_mul(y),
                };
                self.write(i, value);
                self.compared = (signed(value), 0);
            }
            M::Je => return Ok(a == b),
            M::Jne => return Ok(a != b),
            M::Jl => return Ok(a < b),
            M::Jle => return Ok(a <= b),
            M::Jg => return Ok(b < a),
            M::Jge => return Ok(b <= a),
            M::Jb => return Ok((a as u64) < b as u64),
            M::Jbe => return Ok((a as u64) <= b as u64),
            M::Ja => return Ok((b as u64) < a as u64),
            M::Jae => return Ok((b as u64) <= a as u64),
            M::Jmp => return Ok(true),
            M::Cmove | M::Cmovne | M::Cmovl | M::Cmovle | M::Cmovg | M::Cmovge | M::Cmovb | M::Cmovbe | M::Cmova | M::Cmovae => {
                let (ua, ub) = (a as u64, b as u64);
                let moves = match i.mnemonic() {
                    M::Cmove => a == b,
                    M::Cmovne => a != b,
                    M::Cmovl => a < b,
                    M::Cmovle => a <= b,
                    M::Cmovg => b < a,
                    M::Cmovge => b <= a,
                    M::Cmovb => ua < ub,
                    M::Cmovbe => ua <= ub,
                    M::Cmova => ub < ua,
                    _ => ub <= ua,
                };
                self.write(i, if moves { y } else { x });
            }
            // What comes from vectors is not known; no index depends on it in what is looked at here.
            _ => ensure!(!is_general || name(i).starts_with('V'), "{i:?} is not known here"),
        }
        Ok(false)
    }
}

/// Registers of 32 bits are the lower halves of those of 64, in the same order.
fn is_half(r: Register) -> bool {
    (Register::EAX..=Register::R15D).contains(&r)
}

fn full(r: Register) -> Register {
    let number = (r as usize).saturating_sub(Register::EAX as usize);
    if is_half(r) { Register::try_from(Register::RAX as usize + number).unwrap_or(r) } else { r }
}

fn is_jump(i: &Instruction) -> bool {
    name(i).starts_with('J')
}

fn name(i: &Instruction) -> String {
    format!("{:?}", i.mnemonic())
}

/// Whether it computes with general registers; jumps do not.
fn is_general(i: &Instruction) -> bool {
    let of = |n| i.op_kind(n) == OpKind::Register && i.op_register(n).is_gpr();
    (0..i.op_count()).any(of) || (!name(i).starts_with(['V', 'P', 'N', 'E', 'J']) && i.op_count() != 0)
}

/// What a call executes with these parameters, which come after pointers to so many buffers.
pub fn run(code: Vec<Instruction>, buffers: usize, parameters: &[i64]) -> Result<Trace> {
    const LIMIT: usize = 20_000_000;
    let mut machine = Machine::default();
    let pointers = (1..=buffers as u64).map(|n| n * BUFFER);
    let arguments: Vec<u64> = pointers.chain(parameters.iter().map(|p| *p as u64)).collect();
    let in_registers = [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];
    machine.registers.extend(in_registers.into_iter().zip(arguments.iter().copied()));
    let stack = (0u64..).map(|n| STACK + 8 + 8 * n);
    machine.memory.extend(stack.zip(arguments.iter().copied().skip(in_registers.len())));
    machine.registers.insert(Register::RSP, STACK);
    let places: HashMap<u64, usize> = code.iter().enumerate().map(|(n, i)| (i.ip(), n)).collect();
    let general: Vec<bool> = code.iter().map(is_general).collect();
    let (mut at, mut executed) = (0, vec![]);
    while executed.len() < LIMIT {
        let i = code.get(at).context("the code goes on")?;
        if matches!(i.mnemonic(), Mnemonic::Ret | Mnemonic::Retf) {
            return Ok(Trace { code, executed });
        }
        executed.push(at);
        at = if machine.step(i, general[at])? { *places.get(&i.near_branch_target()).context("a jump into the kernel")? } else { at + 1 };
    }
    bail!("the kernel does not end")
}

impl Trace {
    /// Jumps back: a loop is from where they go to the jump.
    pub fn loops(&self) -> Vec<Range<usize>> {
        let places: HashMap<u64, usize> = self.code.iter().enumerate().map(|(n, i)| (i.ip(), n)).collect();
        let jumps = self.code.iter().enumerate().filter(|(_, i)| is_jump(i));
        jumps.filter_map(|(n, i)| places.get(&i.near_branch_target()).filter(|to| **to <= n).map(|&to| to..n + 1)).collect()
    }

    /// Every turn of a loop: the instructions from one time at its beginning to the next.
    pub fn turns(&self, of: &Range<usize>) -> Vec<&[usize]> {
        let mut turns = vec![];
        let mut start = None;
        for (n, at) in self.executed.iter().enumerate() {
            if *at == of.start {
                start = Some(n);
            }
            if *at + 1 == of.end
                && let Some(start) = start.take()
            {
                turns.push(&self.executed[start..=n]);
            }
        }
        turns
    }

    /// As assemblers take it, line by line. Jumps lead nowhere: what is executed is written one after the other.
    pub fn text(&self, executed: &[usize]) -> String {
        let mut formatter = GasFormatter::new();
        formatter.options_mut().set_rip_relative_addresses(true);
        let mut out = String::new();
        for at in executed {
            let mut line = String::new();
            formatter.format(&self.code[*at], &mut line);
            out += &format!("{line}\n");
        }
        out
    }
}

/// Writes a whole vector, or a part of one, to memory.
pub fn is_store(i: &Instruction) -> bool {
    i.op_count() != 0 && i.op0_kind() == OpKind::Memory && i.memory_base() != Register::RSP && name(i).starts_with('V')
}
