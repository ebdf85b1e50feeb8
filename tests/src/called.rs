//! Functions of kernels for 64-bit Arm, called one by one under an emulator: hundreds of them in one process.
//!
//! Not objects (`cross.rs`): nothing is linked, so that a case costs no more than the emission of its code. The idea: besides what the kernels leave
//! in memory, the caller sees what they do to registers and to the stack. Needs qemu-user, clang and the linker that comes with Rust; says so and
//! runs nothing when one is missing, unless `CRANELITE_REQUIRE_TOOLS` is set.

use crate::cross::Machine;
use crate::differential::{self, Case};
use cranelite_codegen::clif::Arch;
use cranelite_codegen::neon::{self, Features, cores};
use cranelite_tile::{BufferId, Role, Step, text};
use std::collections::BTreeMap;

/// Sets of instructions, and all cores.
pub fn features() -> Vec<Features> {
    let with = |dotprod, i8mm, core| Features { dotprod, i8mm, core, is_tuned: true };
    vec![
        with(false, false, &cores::CORTEX_A53),
        with(false, false, &cores::CORTEX_A72),
        with(true, false, &cores::CORTEX_A55),
        with(true, false, &cores::CORTEX_A76),
        with_all(),
        with(true, false, &cores::APPLE_M1),
    ]
}

/// All instructions.
pub fn with_all() -> Features {
    Features { dotprod: true, i8mm: true, core: &cores::NEOVERSE_V1, is_tuned: true }
}

/// Cases with their code.
#[derive(Default)]
pub struct Calls {
    code: Vec<u8>,
    stdin: Vec<u8>,
    ready: Vec<CalledCase>,
    /// Kernels that were left to the other emitter, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Loads and stores of values without register in innermost loops, of all functions.
    pub inner_spills: u32,
    /// Functions.
    pub count: usize,
}

struct CalledCase {
    what: String,
    memories: Vec<CalledMemory>,
    text: String,
}

struct CalledMemory {
    bytes: Vec<u8>,
    align: u32,
    /// What is to be there at the end: the number of an output, or its bytes.
    end: CalledEnd,
}

enum CalledEnd {
    Output(usize, Vec<u8>, cranelite_tile::Elem),
    Same,
    /// The arena.
    Anything,
}

impl Calls {
    /// Adds a case, whose schedule is calls and nothing else, for some features: false when one of its kernels is refused.
    pub fn add(&mut self, what: &str, case: &Case, features: Features) -> Result<bool, String> {
        let program = &case.program;
        let mut places = vec![];
        for kernel in &program.kernels {
            match neon::emit(kernel, features) {
                Ok(code) => {
                    self.code.resize(self.code.len().next_multiple_of(64), 0);
                    places.push(self.code.len());
                    self.code.extend(code.bytes);
                    self.inner_spills += code.inner_spills;
                    self.count += 1;
                }
                Err(refused) => {
                    *self.refused.entry(refused.what).or_default() += 1;
                    return Ok(false);
                }
            }
        }
        let expected = differential::expected(case)?;
        let (mut memories, mut at) = (vec![], BTreeMap::new());
        let arena = program.buffers.iter().filter_map(|b| Some(b.offset_bytes? + b.size_bytes)).max();
        if let Some(bytes) = arena {
            memories.push(CalledMemory { bytes: vec![0x5a; bytes as usize], align: 64, end: CalledEnd::Anything });
        }
        for (id, b) in program.buffers.iter().enumerate() {
            let (bytes, end) = match (b.offset_bytes, b.role) {
                (Some(offset), _) => {
                    at.insert(BufferId(id as u32), (0, offset));
                    continue;
                }
                (None, Role::Input(i)) => (case.inputs[i as usize].clone(), CalledEnd::Same),
                (None, Role::Output(i)) => {
                    let i = i as usize;
                    (case.outputs[i].clone(), CalledEnd::Output(i, expected[i].clone(), case.elems[i]))
                }
                (None, Role::Const) => (b.data.as_ref().map(|d| d.to_vec()).unwrap_or_default(), CalledEnd::Same),
                (None, role) => return Err(format!("{role:?}")),
            };
            at.insert(BufferId(id as u32), (memories.len() as u64, 0));
            memories.push(CalledMemory { bytes, align: b.align, end });
        }

        let numbers = |stdin: &mut Vec<u8>, all: &[u64]| all.iter().for_each(|n| stdin.extend(n.to_le_bytes()));
        let stdin = &mut self.stdin;
        numbers(stdin, &[1, memories.len() as u64]);
        for m in &memories {
            numbers(stdin, &[m.bytes.len() as u64, m.align.into()]);
            stdin.extend(&m.bytes);
        }
        numbers(stdin, &[program.schedule.len() as u64]);
        for step in &program.schedule {
            let Step::Call(call) = step else { return Err("not a call".into()) };
            numbers(stdin, &[places[call.kernel.0 as usize] as u64, (call.buffers.len() + call.params.len()) as u64]);
            for b in &call.buffers {
                let (memory, offset) = at[b];
                numbers(stdin, &[memory, offset]);
            }
            call.params.iter().for_each(|&p| numbers(stdin, &[u64::MAX, p as u64]));
        }
        let what = format!("{what}, {}{}", features.core.name, if features.dotprod { ", dot products" } else { "" });
        self.ready.push(CalledCase { what, memories, text: text::print(program) });
        Ok(true)
    }

    /// Runs them all: what is wrong, the first thing of each case, and the text of its program. `None` where there is no emulator.
    pub fn wrong(&self) -> Option<Vec<(String, String)>> {
        let machine = Machine::find(Arch::Arm)?;
        let mut stdin = (self.code.len() as u64).to_le_bytes().to_vec();
        stdin.extend(&self.code);
        stdin.extend(&self.stdin);
        stdin.extend(0u64.to_le_bytes());
        let dir = tempfile::tempdir().expect("a folder");
        let program = machine.program(dir.path(), include_bytes!("called.c"), &[]).expect("a program");
        let (status, stdout) = machine.execute(&program, stdin).expect("the emulator starts");
        let mut rest = &stdout[..];
        let mut wrong = vec![];
        for case in &self.ready {
            let mut found = None;
            for end in ["first", "last"] {
                let Some((own, after)) = rest.split_at_checked(8 + case.memories.iter().map(|m| m.bytes.len()).sum::<usize>()) else {
                    wrong.push((format!("{}: {status}, with the {end} byte at the page", case.what), case.text.clone()));
                    return Some(wrong);
                };
                rest = after;
                found = found.or_else(|| Some(format!("{}: {}, with the {end} byte at the page", case.what, case.difference(own)?)));
            }
            wrong.extend(found.map(|found| (found, case.text.clone())));
        }
        Some(wrong)
    }
}

impl CalledCase {
    /// What one run should not have done, or left.
    fn difference(&self, run: &[u8]) -> Option<String> {
        let (registers, mut rest) = run.split_at(8);
        let registers = u64::from_le_bytes(registers.try_into().unwrap_or_default());
        if registers != 0 {
            return Some(format!("registers are not kept: {registers:#b}"));
        }
        for (i, m) in self.memories.iter().enumerate() {
            let (own, after) = rest.split_at(m.bytes.len());
            rest = after;
            match &m.end {
                CalledEnd::Output(n, expected, elem) => {
                    let difference = differential::difference_of(*elem, expected, own);
                    if let Some(d) = difference {
                        return Some(format!("output {n} {d}"));
                    }
                }
                CalledEnd::Same if own != m.bytes => return Some(format!("memory {i} is written")),
                CalledEnd::Same | CalledEnd::Anything => {}
            }
        }
        None
    }
}
