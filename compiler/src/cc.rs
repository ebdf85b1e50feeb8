//! A file in C compiled by the user's own compiler: the object beside it, how large it is, and what stack a call takes.
//!
//! Not what is linked or run (that is `foreign.rs`). The ideas: the compiler runs where the user is, so that paths in the command mean what they mean to the user,
//! and writes into a folder of its own, so that nothing is left of a failure; sizes are read from the object, and the stack is what the compiler says of each function,
//! along the deepest chain of calls.

use crate::files::{self, Files};
use cranelite_codegen::c99::{calls, pushed_bytes};
use cranelite_codegen::object::Object;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use object::{Architecture, Object as _, ObjectSection, SectionFlags, SectionKind, elf};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A command: a program and its first arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler(Vec<String>);

impl Compiler {
    /// As a shell would take it apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shlex::split(text).ok_or("a quotation mark has no end")?;
        if words.is_empty() { Err("the command is empty".into()) } else { Ok(Compiler(words)) }
    }
}

/// What has become of the file.
pub struct Built {
    pub object: Vec<u8>,
    /// None: it is no object that can be read here, such as one for optimisation when a program is linked.
    pub sizes: Option<Sizes>,
    /// What the compiler says of every function, by its name, if it does.
    frames: Option<BTreeMap<String, u32>>,
    /// What the last function of a chain may use beyond its frame, as the machine's conventions have it.
    red_zone_bytes: u32,
    /// So many bytes has an argument that is pushed before a call, where no function's frame has them, and so many are in registers.
    pushed: (u32, usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub code_bytes: u64,
    /// Everything else that has contents in the program's memory.
    pub data_bytes: u64,
}

/// `name`: of the file and of the header that it includes, without extension.
pub fn build(compiler: &Compiler, name: &str, file: &[u8], header: &str) -> Result<Built, Diagnostic> {
    let folder = tempfile::tempdir().map_err(|e| Diagnostic::new(Code::FILE_ACCESS, format!("cannot create a folder: {e}")))?;
    let path = |extension: &str| folder.path().join(format!("{name}.{extension}"));
    let mut files = Files::default();
    files.add(path("c"), file);
    files.add(path("h"), header);
    files.write()?;
    // Compilers that do not know the option fail, and are asked again without it.
    if run(compiler, folder.path(), name, &["-fstack-usage"]).is_err() {
        run(compiler, folder.path(), name, &[])?;
    }
    let object = files::read(&path("o")).map_err(|_| {
        let d = Diagnostic::new(Code::TOOL, format!("`{}` has written no object {name}.o", compiler.0.join(" ")));
        d.help("the command is what --cc gave, with -c NAME.c -o NAME.o behind it")
    })?;
    let architecture = object::File::parse(&*object).ok().map(|f| f.architecture());
    let with_return = matches!(architecture, Some(Architecture::I386 | Architecture::X86_64));
    let mut frames = files::read(&path("su")).ok().and_then(|text| frames(&String::from_utf8_lossy(&text), with_return));
    if let (Some(frames), Some(Architecture::Arm)) = (&mut frames, architecture) {
        for (name, bytes) in pushed_bytes(&String::from_utf8_lossy(file)) {
            *frames.entry(name).or_default() += bytes;
        }
    }
    let red_zone_bytes = match architecture {
        Some(Architecture::X86_64) => 128,
        Some(Architecture::PowerPc64) => 288,
        _ => 0,
    };
    let pushed = match architecture {
        Some(Architecture::X86_64) => (8, 6),
        Some(Architecture::I386) => (4, 0),
        _ => (0, 0),
    };
    Ok(Built { sizes: sizes(&object), object, frames, red_zone_bytes, pushed })
}

fn run(compiler: &Compiler, folder: &Path, name: &str, more: &[&str]) -> Result<(), Diagnostic> {
    let mut command = Command::new(&compiler.0[0]);
    command.args(&compiler.0[1..]).args(more);
    // What is put off until a program is linked has no sizes yet.
    if compiler.0.iter().any(|word| word.starts_with("-flto")) {
        command.arg("-fno-lto");
    }
    command.arg("-c").arg(folder.join(format!("{name}.c"))).arg("-o").arg(folder.join(format!("{name}.o")));
    let what = match command.output() {
        Ok(out) if out.status.success() => return Ok(()),
        Ok(out) => {
            let said = [out.stderr, out.stdout].map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_string());
            let said = said.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("\n");
            format!("ends with {}:\n{said}", out.status)
        }
        Err(e) => format!("does not start: {e}"),
    };
    // Nobody knows the folder.
    let hidden = format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR);
    let what = what.replace(&hidden, "");
    let words = format!("{} -c {name}.c -o {name}.o", compiler.0.join(" "));
    Err(Diagnostic::new(Code::TOOL, format!("`{words}` {what}")).help("the command is what --cc gave; nothing was written"))
}

/// What the sections of an object come to.
fn sizes(object: &[u8]) -> Option<Sizes> {
    let file = object::File::parse(object).ok()?;
    let mut sizes = Sizes::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { return None };
        let has = |flag: u32| sh_flags & u64::from(flag) != 0;
        if !has(elf::SHF_ALLOC) || section.kind() == SectionKind::UninitializedData {
            continue;
        }
        if has(elf::SHF_EXECINSTR) {
            sizes.code_bytes += section.size();
        } else if !section.name().is_ok_and(|name| name.starts_with(".eh_frame") || name.starts_with(".note")) {
            sizes.data_bytes += section.size();
        }
    }
    (0 < sizes.code_bytes).then_some(sizes)
}

/// Of each function, as `-fstack-usage` writes them: place, name, bytes and kind, with tabs between; none if one of them is not bounded. Of copies of a function,
/// whose names have something behind a dot, the largest counts, and parts of one count beside it. `with_return`: an address is pushed by calls, which not all compilers count.
fn frames(text: &str, with_return: bool) -> Option<BTreeMap<String, u32>> {
    let (mut largest, mut parts): (BTreeMap<String, u32>, BTreeMap<String, u32>) = Default::default();
    for line in text.lines().filter(|l| !l.is_empty()) {
        let mut columns = line.split('\t');
        let (place, bytes, kind) = (columns.next()?, columns.next()?, columns.next()?);
        if kind == "dynamic" {
            return None;
        }
        let symbol = place.rsplit(':').next()?;
        let name = symbol.split('.').next()?.to_string();
        let bytes: u32 = bytes.parse().ok()?;
        let bytes = bytes + if with_return { 8 } else { 0 };
        if symbol.contains(".part") {
            *parts.entry(name).or_default() += bytes;
        } else {
            let known = largest.entry(name).or_default();
            *known = bytes.max(*known);
        }
    }
    for (name, bytes) in parts {
        *largest.entry(name).or_default() += bytes;
    }
    (!largest.is_empty()).then_some(largest)
}

impl Built {
    /// Notes sizes and stack in what is known of the file.
    pub fn note(&self, file: &mut Object, prefixes: &[&str]) {
        let Some(sizes) = self.sizes else { return };
        file.code_bytes = sizes.code_bytes;
        file.levels.iter_mut().for_each(|l| l.code_bytes = sizes.code_bytes);
        let Some(frames) = &self.frames else { return };
        let deepest = deepest(&String::from_utf8_lossy(&file.bytes), frames, self.pushed);
        let of = |prefix: &str| {
            let own = ["invoke", "profile", "invoke_parallel", "selftest", "call"].map(|kind| format!("{prefix}_{kind}"));
            own.iter().filter_map(|name| deepest.get(name)).copied().max().unwrap_or(0) + self.red_zone_bytes
        };
        for (entry, prefix) in file.entries.iter_mut().zip(prefixes) {
            entry.stack_bytes = of(prefix);
            entry.levels.iter_mut().for_each(|l| l.code_bytes = sizes.code_bytes);
        }
        file.stack_bytes = deepest.values().copied().max().unwrap_or(0) + self.red_zone_bytes;
    }
}

/// Of each function, what it and the deepest chain of functions that it calls take. One that the compiler has put into its callers takes nothing by itself.
fn deepest(file: &str, frames: &BTreeMap<String, u32>, pushed: (u32, usize)) -> BTreeMap<String, u32> {
    let (calls, arguments) = (calls(file), arguments(file));
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    // Functions call earlier ones: no chain is longer than there are functions, and most are short.
    for _ in 0..calls.len() {
        let mut is_new = false;
        for (name, called) in &calls {
            let below = called.iter().filter_map(|c| known.get(c)).copied().max().unwrap_or(0);
            let on_stack = arguments.get(name.as_str()).map_or(0, |n| n.saturating_sub(pushed.1)) as u32 * pushed.0;
            let all = frames.get(name).map_or(0, |own| own + on_stack) + below;
            is_new |= known.insert(name.clone(), all) != Some(all);
        }
        if !is_new {
            break;
        }
    }
    known
}

/// How many parameters each function has.
fn arguments(file: &str) -> BTreeMap<&str, usize> {
    let heads = file.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_alphabetic()) && !l.ends_with(';'));
    let of = |line: &'_ str| -> Option<(usize, usize, usize)> {
        let open = line.find('(')?;
        let begin = line[..open].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')? + 1;
        Some((begin, open, line[open..].split(')').next()?.matches(',').count() + 1))
    };
    heads.filter_map(|line| of(line).map(|(begin, end, count)| (&line[begin..end], count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_apart_as_by_a_shell() {
        assert_eq!(Compiler::parse("cc -D'A=1 2' \"x y\""), Ok(Compiler(["cc", "-DA=1 2", "x y"].map(String::from).to_vec())));
        assert!(Compiler::parse(" ").is_err() && Compiler::parse("cc 'x").is_err());
    }

    #[test]
    fn frames_of_copies_and_parts() {
        let text = "m.c:1:5:f.constprop\t32\tstatic\nm.c:1:5:f\t16\tstatic\nm.c:2:1:g.part.0\t40\tstatic\nm.c:2:1:g\t8\tdynamic,bounded\n";
        let of = |with_return| frames(text, with_return).unwrap().into_values().collect::<Vec<_>>();
        assert_eq!((of(false), of(true)), (vec![32, 48], vec![40, 64]));
        assert_eq!(frames("m.c:1:5:f\t32\tdynamic\n", false), None);
        assert_eq!(frames("", false), None);
    }

    #[test]
    fn the_deepest_chain_counts() {
        let file = "static void a(void)\n{\n}\n\nstatic void b(void)\n{\n    a();\n}\n\nvoid m_invoke(void)\n{\n    a();\n    b();\n}\n";
        let frames = [("a", 100), ("m_invoke", 20)].map(|(n, b)| (n.to_string(), b)).into();
        assert_eq!(deepest(file, &frames, (0, 0)), [("a", 100), ("b", 100), ("m_invoke", 120)].map(|(n, b)| (n.to_string(), b)).into());
    }
}
