//! Exact instructions of a call on another machine, by operator: the model linked into a program that an emulator runs with a plugin of ours.
//!
//! Not a measurement of time. The ideas: the plugin counts blocks of code by their addresses, so the linked program's symbols say which kernel they are of; a
//! program that calls once more has executed one call more; and the hook of profiles passes marks that the plugin sees, so that a kernel
//! that several operators call is counted for each.

mod cycles;

pub use cycles::{Model, Taken};

use crate::diagnostic::internal;
use crate::files::{self, Files};
use crate::foreign::Tools;
use crate::pipeline::Compiled;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use object::{Object as _, ObjectKind, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// What one call executes.
pub struct Counted {
    /// Kernels, by the operator that calls them; what belongs to none has no index.
    pub operators: BTreeMap<Option<u32>, Executed>,
    /// The rest of the object: entry points, and what calls kernels.
    pub calls: Executed,
    /// The program's machine code, from an address on.
    pub code: (u64, Vec<u8>),
}

/// How often instructions were executed, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed(pub BTreeMap<u64, u64>);

impl Executed {
    pub fn instructions(&self) -> u64 {
        self.0.values().sum()
    }

    fn add(&mut self, address: u64, count: u64) {
        if count != 0 {
            *self.0.entry(address).or_default() += count;
        }
    }
}

impl Counted {
    pub fn instructions(&self) -> u64 {
        self.operators.values().map(Executed::instructions).sum::<u64>() + self.calls.instructions()
    }
}

/// Why nothing was counted.
pub enum Uncounted {
    /// An index in the inputs is out of range.
    OutOfRange,
    Failed(Diagnostic),
}

impl From<Diagnostic> for Uncounted {
    fn from(d: Diagnostic) -> Self {
        Uncounted::Failed(d)
    }
}

/// The instructions of AArch64 have so many bytes.
const INSTRUCTION_BYTES: u64 = 4;

/// A linked program, and a plugin that the emulator takes.
pub struct Counter<'t> {
    tools: &'t Tools,
    folder: TempDir,
    /// Addresses of the object's functions.
    functions: Vec<Function>,
    marks: u64,
    mark_count: u64,
    inputs: usize,
    code: (u64, Vec<u8>),
}

struct Function {
    from: u64,
    to: u64,
    is_kernel: bool,
}

/// By group, how often each instruction was executed.
type Groups = BTreeMap<u64, Executed>;

impl<'t> Counter<'t> {
    /// Of a model with one signature and one level for AArch64 under Linux, compiled with a hook.
    pub fn new(compiled: &Compiled, tools: &'t Tools) -> Result<Self, Diagnostic> {
        let folder = tempfile::tempdir().map_err(|e| Diagnostic::new(Code::FILE_ACCESS, format!("cannot create a folder: {e}")))?;
        let path = |name: &str| folder.path().join(name);
        let entry = compiled.main();
        let mark_count = entry.facts.operators.iter().map(|o| u64::from(o.index) + 2).max().unwrap_or(1);
        let mut files = Files::default();
        files.add(path("model.o"), compiled.object.bytes.as_slice());
        files.add(path("model.h"), compiled.header.as_str());
        files.add(path("program.c"), include_str!("count/program.c"));
        files.add(path("plugin.c"), include_str!("count/plugin.c"));
        files.write()?;
        let mut link = Command::new(&tools.linker[0]);
        link.args(&tools.linker[1..]).current_dir(&folder);
        link.args(["-O2", "-static", "-no-pie", &format!("-DMODEL={}_model", entry.prefix), &format!("-DMARKS={mark_count}")]);
        let done = output(link.args(["program.c", "model.o", "-o", "program"]));
        done.map_err(|d| d.help("--linker is a C compiler for the target, with a static C library: Debian's gcc-aarch64-linux-gnu"))?;
        let program = files::read(&path("program"))?;
        let kernels: BTreeSet<&str> =
            compiled.object.entries[0].levels.iter().flat_map(|l| &l.kernels).map(|k| k.symbol.as_str()).collect();
        let Linked { functions, marks, code } = linked(&program, &compiled.prefix, &kernels)?;
        let counter = Counter { tools, functions, marks, mark_count, inputs: entry.signature.inputs.len(), code, folder };
        counter.plug_in()?;
        Ok(counter)
    }

    /// Compiles the plugin for the interface that the emulator has.
    fn plug_in(&self) -> Result<(), Diagnostic> {
        let mut refusal = None;
        for version in 1..=8 {
            let mut compile = Command::new("cc");
            compile.args(["-O2", "-shared", "-fPIC", &format!("-DPLUGIN_VERSION={version}"), "plugin.c", "-o", "plugin.so"]);
            output(compile.current_dir(&self.folder))
                .map_err(|d| d.help("--count compiles a plugin of the emulator's for this machine"))?;
            match output(&mut self.command(0, false, 0)) {
                Ok(_) => return Ok(()),
                Err(d) => refusal = refusal.or(Some(d)),
            }
        }
        let help = "plugins need the dynamically linked emulator, qemu-aarch64 of Debian's qemu-user; qemu-aarch64-static of qemu-user-static takes none";
        Err(refusal.expect("a version was tried").help(help))
    }

    /// The emulator with the plugin and the program. `inputs`: so many of the model's.
    fn command(&self, calls: u32, hooked: bool, inputs: usize) -> Command {
        let range = |f: fn(&Function) -> u64| self.functions.iter().map(f);
        let (from, to) = (range(|f| f.from).min().unwrap_or(0), range(|f| f.to).max().unwrap_or(0));
        let plugin = format!("./plugin.so,out=counts,from={from:x},to={to:x},marks={:x},count={}", self.marks, self.mark_count);
        let mut command = Command::new(&self.tools.runner[0]);
        command.args(&self.tools.runner[1..]).args(["-plugin", &plugin]).current_dir(&self.folder);
        command.arg("./program").args([calls.to_string(), u32::from(hooked).to_string()]);
        command.args((0..inputs).map(|i| format!("in{i}")));
        command
    }

    /// What a call with these inputs executes.
    pub fn count(&self, inputs: &[Vec<u8>]) -> Result<Counted, Uncounted> {
        let mut files = Files::default();
        for (i, input) in inputs.iter().enumerate() {
            files.add(self.folder.path().join(format!("in{i}")), input.as_slice());
        }
        files.write()?;
        // What is asked or kept at first is no part of a call.
        let one_call = |hooked| Ok::<Groups, Uncounted>(difference(&self.run(2, hooked)?, &self.run(1, hooked)?));
        let (plain, hooked) = (one_call(false)?, one_call(true)?);
        let is_kernel = |address: u64| self.functions.iter().any(|f| f.from <= address && address < f.to && f.is_kernel);
        let kernels = |executed: &Executed| Executed(executed.0.iter().filter(|(a, _)| is_kernel(**a)).map(|(a, n)| (*a, *n)).collect());
        let (mut all, mut calls) = (Executed::default(), Executed::default());
        for (&address, &count) in plain.values().flat_map(|e| &e.0) {
            if is_kernel(address) { all.add(address, count) } else { calls.add(address, count) }
        }
        // Mark 0, which is of no operator, begins group 1.
        let operators: BTreeMap<Option<u32>, Executed> = hooked
            .iter()
            .map(|(&group, e)| (group.checked_sub(2).map(|i| i as u32), kernels(e)))
            .filter(|(_, e)| !e.0.is_empty())
            .collect();
        let mut sum = Executed::default();
        operators.values().flat_map(|e| &e.0).for_each(|(&address, &count)| sum.add(address, count));
        if sum != all {
            let found = format!("{} instructions, not {}", sum.instructions(), all.instructions());
            return Err(internal("a call with a hook executes other kernels than one without", found).into());
        }
        Ok(Counted { operators, calls, code: self.code.clone() })
    }

    fn run(&self, calls: u32, hooked: bool) -> Result<Groups, Uncounted> {
        let mut command = self.command(calls, hooked, self.inputs);
        let done = command.output().map_err(|e| failed(&command, &format!("does not start: {e}")))?;
        match done.status.code() {
            Some(0) => {}
            Some(13) => return Err(Uncounted::OutOfRange),
            Some(14) => {
                let message = "the emulated CPU lacks what the level needs";
                return Err(Diagnostic::new(Code::CPU, message).help("let --runner emulate another: `qemu-aarch64 -cpu max`").into());
            }
            _ => return Err(failed(&command, &ended(&done)).help("the command is what --runner gave").into()),
        }
        let text = files::read(&self.folder.path().join("counts"))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        groups(&text).ok_or_else(|| failed(&command, "has written no counts").into())
    }
}

/// What the plugin has written.
fn groups(text: &str) -> Option<Groups> {
    let mut all = Groups::new();
    for line in text.lines().skip(1) {
        let mut words = line.split(' ');
        let group = words.next()?.parse().ok()?;
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let (instructions, executions): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let executed: &mut Executed = all.entry(group).or_default();
        (0..instructions).for_each(|i| executed.add(address + i * INSTRUCTION_BYTES, executions));
    }
    text.ends_with('\n').then_some(all)
}

/// What is in the first beyond the second.
fn difference(more: &Groups, less: &Groups) -> Groups {
    let of = |group: &u64, address: &u64| less.get(group).and_then(|e| e.0.get(address)).copied().unwrap_or(0);
    let rest = |(group, e): (&u64, &Executed)| {
        let counts = e.0.iter().map(|(address, n)| (*address, n - of(group, address).min(*n)));
        (*group, Executed(counts.filter(|(_, n)| *n != 0).collect()))
    };
    more.iter().map(rest).collect()
}

struct Linked {
    functions: Vec<Function>,
    marks: u64,
    code: (u64, Vec<u8>),
}

/// What the symbols of a linked program say.
fn linked(program: &[u8], prefix: &str, kernels: &BTreeSet<&str>) -> Result<Linked, Diagnostic> {
    let refused = |why: &str| Diagnostic::new(Code::TOOL, format!("what --linker has made cannot be counted: {why}"));
    let file = object::File::parse(program).map_err(|_| refused("it is no ELF file"))?;
    if file.kind() != ObjectKind::Executable {
        return Err(refused("its addresses are known only when it runs").help("the linker must make a static program (-static -no-pie)"));
    }
    let is_ours = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['.', '_']));
    let function = |s: object::Symbol| {
        let name = s.name().ok().filter(|name| is_ours(name) && s.kind() == SymbolKind::Text)?;
        Some(Function { from: s.address(), to: s.address() + s.size(), is_kernel: kernels.contains(name) })
    };
    let functions: Vec<Function> = file.symbols().filter_map(function).collect();
    let marks = file.symbol_by_name("count_marks").map(|s| s.address()).ok_or_else(|| refused("it has no symbols"))?;
    let begin = functions.iter().map(|f| f.from).min().ok_or_else(|| refused("it has no symbols of the model"))?;
    let section = file.sections().find(|s| s.address() <= begin && begin < s.address() + s.size());
    let code = section.and_then(|s| Some((s.address(), s.data().ok()?.to_vec()))).ok_or_else(|| refused("it has no code of the model"))?;
    Ok(Linked { functions, marks, code })
}

fn output(command: &mut Command) -> Result<Output, Diagnostic> {
    match command.output() {
        Ok(out) if out.status.success() => Ok(out),
        Ok(out) => Err(failed(command, &ended(&out))),
        Err(e) => Err(failed(command, &format!("does not start: {e}"))),
    }
}

fn ended(out: &Output) -> String {
    format!("ends with {}:\n{}", out.status, String::from_utf8_lossy(&out.stderr).trim_end())
}

fn failed(command: &Command, what: &str) -> Diagnostic {
    let name = Path::new(command.get_program()).to_string_lossy().into_owned();
    Diagnostic::new(Code::TOOL, format!("`{name}` {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_apart_and_subtracted() {
        let of = |text: &str| groups(text).unwrap();
        // The second block was translated twice.
        let one = of("99\n0 1000 2 1\n2 1008 1 3\n2 1008 1 1\n");
        assert_eq!(one[&0].0, [(0x1000, 1), (0x1004, 1)].into());
        assert_eq!((one[&2].instructions(), one[&2].0[&0x1008]), (4, 4));
        let two = of("200\n0 1000 2 1\n2 1008 1 8\n3 1004 1 5\n");
        let rest = difference(&two, &one);
        assert_eq!(rest[&2].0, [(0x1008, 4)].into());
        assert_eq!((rest[&0].instructions(), rest[&3].instructions()), (0, 5));
        assert!(groups("5\n0 1000 2").is_none() && groups("5\n0 1000 2 x\n").is_none());
    }
}
