//! What `--unwind` adds to objects: profilers, debuggers and `_Unwind_Backtrace` find the way from every instruction of ours to the program.

use super::{failed, on_every_machine};
use anyhow::{Context, Result, anyhow, ensure};
use cranelite::files::Files;
use cranelite::pipeline::{self, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{Machine, WARNINGS, X86, exists, is_required, output};
use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindContext, UnwindSection};
use libtest_mimic::Trial;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};
use std::path::Path;
use std::process::Command;

const X86_CPUS: [&str; 6] =
    ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4+prefer256", "x86-64-v4", "x86-64,x86-64-v3,x86-64-v4+avx512vnni"];

/// Triple, levels, and linkers that must have nothing to say of a library.
#[rustfmt::skip] // A table.
const LIBRARIES: [(&str, &str, &[&str]); 3] = [
    (X86, "x86-64,x86-64-v3,x86-64-v4+avx512vnni", &["ld", "ld.lld"]),
    ("aarch64-unknown-linux-gnu", "generic,generic+dotprod", &["aarch64-linux-gnu-ld", "ld.lld"]),
    ("riscv64gc-unknown-linux-gnu", "rv64gc", &["ld.lld"]),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = on_every_machine("unwind", |m| !m.is_c(), &X86_CPUS, way_to_main);
    for (triple, cpus, linkers) in LIBRARIES {
        let lacks = !linkers.iter().chain(&["readelf"]).all(|t| exists(t)) && !is_required();
        let test = move || every_function(triple, cpus, linkers).map_err(failed);
        trials.push(Trial::test(format!("unwind/{triple}"), test).with_ignored_flag(lacks));
    }
    trials
}

/// Compiles a model as m.o and m.h, or as plain.o without the option.
fn compile(folder: &Path, model: &[u8], targets: &[Target], options: Options) -> Result<Vec<u8>> {
    let compiled = pipeline::compile(model, targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))?;
    let mut files = Files::default();
    files.add(folder.join(if options.unwind { "m.o" } else { "plain.o" }), compiled.object.bytes.clone());
    files.add(folder.join("m.h"), compiled.header);
    files.add(folder.join("unwind.c"), include_str!("unwind.c"));
    files.write()?;
    Ok(compiled.object.bytes)
}

/// The program in unwind.c, which finds its way with the option and loses it without.
fn way_to_main(m: &Machine, cpu: &str, model: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let targets = Target::list(m.triple, Some(cpu))?;
    for unwind in [true, false] {
        compile(folder, model, &targets, Options { prefix: "m".into(), unwind, ..Options::default() })?;
    }
    let build = |options: &[&str]| {
        let mut link = Command::new(m.compiler);
        link.current_dir(folder).args(WARNINGS).args(["-std=c11", "-O1", "-funwind-tables", "unwind.c", "-o", "unwind"]).args(options);
        output(&mut link).map(|_| m.run(&folder.join("unwind")))
    };
    let kinds: &[&[&str]] = match m.compiler {
        "clang" => &[&["m.o", "-fuse-ld=lld", "-fPIE", "-pie", "-Wl,--gc-sections,--fatal-warnings"]],
        _ => &[&["m.o", "-fPIE", "-pie", "-Wl,--gc-sections,--fatal-warnings"], &["m.o", "-no-pie", "-fno-pie"]],
    };
    for options in kinds {
        output(&mut build(options)?).with_context(|| options.join(" "))?;
    }
    let lost = build(&["plain.o"])?.output()?;
    ensure!(lost.status.code() == Some(3), "without the option: {lost:?}");
    Ok(())
}

/// Every function is described, by one entry, as readers and linkers want it; nothing else is different.
fn every_function(triple: &str, cpus: &str, linkers: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let targets = Target::list(triple, Some(cpus))?;
    let options = |unwind| Options { prefix: "m".into(), threads: 3, profile: true, unwind, ..Options::default() };
    let plain = compile(folder, &models::divisible(), &targets, options(false))?;
    let bytes = compile(folder, &models::divisible(), &targets, options(true))?;
    let (plain, file) = (object::File::parse(&*plain)?, object::File::parse(&*bytes)?);
    ensure!(plain.section_by_name(".eh_frame").is_none(), "described without being asked");
    for section in plain.sections().filter(|s| !matches!(s.name(), Ok(".symtab" | ".strtab" | ".shstrtab") | Err(_))) {
        let same = file.section_by_name(section.name()?).context("a section is gone")?;
        ensure!(section.data()? == same.data()? || section.name()?.starts_with(".rela"), "{} is different", section.name()?);
    }
    ensure!(!file.symbols().any(|s| s.is_undefined()), "an undefined symbol");

    // Code and section begin at 0 here.
    let section = file.section_by_name(".eh_frame").context("nothing is described")?;
    let mut data = section.data()?.to_vec();
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else { anyhow::bail!("a relocation without a symbol") };
        let symbol = file.symbol_by_index(symbol)?;
        ensure!(symbol.kind() == SymbolKind::Section, "by the name {}, which another may take", symbol.name()?);
        let distance = relocation.addend() - offset as i64;
        data[offset as usize..][..4].copy_from_slice(&(distance as i32).to_le_bytes());
    }
    let frames = EhFrame::new(&data, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(0).set_text(0);
    let mut described = vec![];
    let mut entries = frames.entries(&bases);
    while let Some(entry) = entries.next()? {
        if let CieOrFde::Fde(partial) = entry {
            let fde = partial.parse(|frames, bases, offset| frames.cie_from_offset(bases, offset))?;
            let (mut context, mut end) = (UnwindContext::new(), fde.initial_address());
            let mut rows = fde.rows(&frames, &bases, &mut context)?;
            while let Some(row) = rows.next_row()? {
                ensure!(row.start_address() == end, "rows leave something out");
                end = row.end_address();
            }
            ensure!(end == fde.initial_address() + fde.len(), "rows end at {end:#x}");
            described.push((fde.initial_address(), fde.len()));
        }
    }
    let mut functions: Vec<_> = file.symbols().filter(|s| s.kind() == SymbolKind::Text).map(|s| (s.address(), s.size())).collect();
    described.sort_unstable();
    functions.sort_unstable();
    ensure!(8 < functions.len() && described == functions, "{described:x?} is not {functions:x?}");

    let read = Command::new("readelf").current_dir(folder).args(["--debug-dump=frames-interp", "m.o"]).output()?;
    ensure!(read.status.success() && read.stderr.is_empty(), "{}", String::from_utf8_lossy(&read.stderr));
    for linker in linkers {
        let files = ["-shared", "--gc-sections", "--eh-frame-hdr", "--fatal-warnings", "-z", "text", "m.o", "-o", "m.so"];
        output(Command::new(linker).current_dir(folder).args(files))?;
    }
    Ok(())
}
