//! Objects of several feature levels on CPUs of all ages, most of them emulated: the entry point takes the best level that the CPU has,
//! a level that it lacks is refused with status 4, and no instruction is ever illegal.

use super::{array, compile, failed};
use anyhow::{Result, ensure};
use cranelite::files::Files;
use cranelite_codegen::object::{self, Level, Options, model};
use cranelite_codegen::targets::Target;
use cranelite_tests::models;
use cranelite_tests::tools::{MACHINES, Machine, WARNINGS, exists, is_required, output};
use cranelite_tile::{Buffer, BufferId, Call, Elem, KernelBuilder, KernelId, Program, Role, Step};
use libtest_mimic::Trial;
use std::process::Command;

/// A CPU, and the levels of a list that it has.
struct Cpu {
    machine: &'static Machine,
    emulator: Vec<&'static str>,
    lists: &'static Lists,
    has: &'static [&'static str],
}

/// Levels of an object each, not in order of what they need.
struct Lists {
    name: &'static str,
    all: &'static str,
    /// More than the baseline.
    above: &'static str,
    one: &'static str,
}

const X86_LEVELS: Lists =
    Lists { name: "", all: "x86-64-v3,x86-64,x86-64-v4+avx512vnni,x86-64-v2", above: "x86-64-v3,x86-64-v4", one: "x86-64-v3" };
const ARM_LEVELS: Lists = Lists { name: "", all: "generic+dotprod,generic", above: "generic+dotprod", one: "generic" };
/// Of equal features, the first named runs by itself, and every other by its number.
const ARM_CORES: Lists = Lists {
    name: "cores/",
    all: "cortex-a53,cortex-a76,generic+fp16,cortex-a72,neoverse-v1,cortex-a55,generic",
    above: "cortex-a55,cortex-a76,neoverse-v1",
    one: "cortex-a53",
};

const X86_EMULATOR: &str = "qemu-x86_64-static";
const ARM_EMULATOR: &str = "qemu-aarch64-static";

pub fn trials() -> Vec<Trial> {
    let machine = |name: &str| MACHINES.iter().find(|m| m.name == name).expect("a known machine");
    let (x86, aarch64) = (machine("x86_64"), machine("aarch64"));
    let x86_on = |emulator: Vec<&'static str>, has: &'static [&'static str]| Cpu { machine: x86, emulator, lists: &X86_LEVELS, has };
    let x86 = [
        x86_on(vec![], &[]),
        x86_on(vec![X86_EMULATOR, "-cpu", "qemu64"], &["x86-64"]),
        x86_on(vec![X86_EMULATOR, "-cpu", "Conroe"], &["x86-64"]),
        x86_on(vec![X86_EMULATOR, "-cpu", "Nehalem"], &["x86-64", "x86-64-v2"]),
        x86_on(vec![X86_EMULATOR, "-cpu", "SandyBridge"], &["x86-64", "x86-64-v2"]),
        x86_on(vec![X86_EMULATOR, "-cpu", "Haswell"], &["x86-64", "x86-64-v2", "x86-64-v3"]),
        x86_on(vec![X86_EMULATOR, "-cpu", "max"], &["x86-64", "x86-64-v2", "x86-64-v3"]),
        // An operating system that does not save the registers of AVX; a hypervisor that hides one feature.
        x86_on(vec![X86_EMULATOR, "-cpu", "Haswell,-xsave"], &["x86-64", "x86-64-v2"]),
        x86_on(vec![X86_EMULATOR, "-cpu", "Haswell,-bmi2"], &["x86-64", "x86-64-v2"]),
    ];
    // Kernels before 4.11 kill a program that asks the CPU.
    let arm = [
        ("cortex-a53", "6.1.0", false),
        ("neoverse-n1", "6.1.0", true),
        ("neoverse-n1", "10.0.0", true),
        ("neoverse-n1", "4.19.112-perf+", true),
        ("neoverse-n1", "4.20.0", true),
        ("neoverse-n1", "4.11.0", true),
        ("neoverse-n1", "4.10.17", false),
        ("neoverse-n1", "4.9.112", false),
        ("neoverse-n1", "3.18.31", false),
    ]
    .map(|(cpu, kernel, has_dotprod)| Cpu {
        machine: aarch64,
        emulator: vec![ARM_EMULATOR, "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu, "-r", kernel],
        lists: &ARM_LEVELS,
        has: if has_dotprod { &["generic", "generic+dotprod"] } else { &["generic"] },
    });
    let cores = [
        ("cortex-a53", &["cortex-a53", "cortex-a72", "generic"][..]),
        ("cortex-a72", &["cortex-a53", "cortex-a72", "generic"]),
        ("cortex-a76", &["cortex-a53", "cortex-a72", "generic", "generic+fp16", "cortex-a55", "cortex-a76"]),
        ("neoverse-n1", &["cortex-a53", "cortex-a72", "generic", "generic+fp16", "cortex-a55", "cortex-a76"]),
        ("max", &["cortex-a53", "cortex-a72", "generic", "generic+fp16", "cortex-a55", "cortex-a76", "neoverse-v1"]),
    ]
    .map(|(cpu, has)| Cpu {
        machine: aarch64,
        emulator: vec![ARM_EMULATOR, "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu],
        lists: &ARM_CORES,
        has,
    });
    x86.into_iter()
        .chain(arm)
        .chain(cores)
        .map(|cpu| {
            let after = |option: &str| cpu.emulator.iter().skip_while(|w| **w != option).nth(1).copied();
            let (of, kernel) = (after("-cpu").unwrap_or("host"), after("-r").map(|k| format!("/{k}")).unwrap_or_default());
            let name = format!("levels/{}/{}{of}{kernel}", cpu.machine.name, cpu.lists.name);
            let is_ignored = cpu.machine.is_to_be_ignored() || !cpu.emulator.first().is_none_or(|e| exists(e) || is_required());
            Trial::test(name, move || levels(&cpu).map_err(failed)).with_ignored_flag(is_ignored)
        })
        .collect()
}

fn levels(cpu: &Cpu) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let triple = cpu.machine.triple;
    let Lists { all, above, one, .. } = *cpu.lists;
    let has = |t: &Target| if cpu.emulator.is_empty() { t.runs_here() } else { cpu.has.contains(&t.level.as_str()) };
    let (mut files, mut headers, mut table, mut data, mut expected) =
        (Files::default(), String::new(), String::new(), String::new(), String::new());
    for (case, list) in models::all().iter().zip([above, one, all]) {
        let targets = Target::list(triple, Some(list))?;
        let compiled = compile(case, &targets)?;
        let name = case.name;
        files.add(folder.path().join(format!("{name}.o")), compiled.object.bytes);
        files.add(folder.path().join(format!("{name}.h")), compiled.header);
        headers += &format!("#include \"{name}.h\"\n");
        table += &format!("    {{&{name}_model, {name}_in, {name}_out}},\n");
        for (kind, a) in [("in", &case.steps[0].0), ("out", &case.steps[0].1)] {
            data += &array(&format!("{name}_{kind}"), a, &MACHINES[0]);
        }
        let status = |has: bool| if has { 0 } else { 4 };
        let any = status(targets.iter().any(has));
        expected += &format!("{any} {any}");
        if 1 < targets.len() {
            targets.iter().for_each(|t| expected += &format!(" {}={}", t.level, status(has(t))));
            expected += " none=4";
        }
        expected += "\n";
    }
    let targets = Target::list(triple, Some(all))?;
    let order = Target::best_first(&targets.iter().collect::<Vec<_>>());
    let best = order.into_iter().find(|&i| has(&targets[i])).expect("the baseline is in the list");
    expected += &format!("which 0 {best}\n");
    files.add(folder.path().join("which.o"), which(&targets)?);
    let structure = "const cranelite_model *model;\n    const unsigned char *input, *expected;\n";
    let table = format!("static const struct {{\n    {structure}}} models[] = {{\n{table}}};\nextern const cranelite_model which_model;\n");
    files.add(folder.path().join("models.h"), headers + &table);
    files.add(folder.path().join("data.h"), data);
    files.add(folder.path().join("levels.c"), include_str!("levels.c"));
    files.write()?;
    let objects = ["perceptron.o", "tiny_f32.o", "tiny_i8.o", "which.o"];
    let mut link = Command::new(cpu.machine.compiler);
    output(link.current_dir(&folder).args(WARNINGS).args(["-std=c99", "-O1", "levels.c", "-o", "levels"]).args(objects))?;
    for object in objects {
        let undefined = output(Command::new(cpu.machine.nm).arg("-u").arg(folder.path().join(object)))?;
        ensure!(undefined.is_empty(), "{object} needs {undefined}");
    }
    let words: Vec<_> = cpu.emulator.iter().map(|w| w.into()).chain([folder.path().join("levels").into_os_string()]).collect();
    let found = output(Command::new(&words[0]).args(&words[1..]))?;
    ensure!(found == expected, "expected:\n{expected}found:\n{found}");
    Ok(())
}

/// A model whose output is the number of the level that ran.
fn which(targets: &[Target]) -> Result<Vec<u8>> {
    let program = |number: u8| {
        let mut k = KernelBuilder::new("copy");
        let (c, y) = (k.read("c"), k.write("y"));
        let v = k.load(Elem::U8.x(1), c.at(0));
        k.store(y.at(0), v);
        let buffer = |role, data: Option<Vec<u8>>| Buffer {
            name: "b".into(),
            role,
            size_bytes: 1,
            align: 1,
            data: data.map(Into::into),
            view: None,
            offset_bytes: None,
        };
        let call = Call { kernel: KernelId(0), buffers: vec![BufferId(0), BufferId(1)], params: vec![], advance: vec![], operator: None };
        let buffers = vec![buffer(Role::Const, Some(vec![number])), buffer(Role::Output(0), None), buffer(Role::Input(0), None)];
        Program { name: "which".into(), buffers, kernels: vec![k.finish()], schedule: vec![Step::Call(call)] }
    };
    let programs: Vec<Program> = (0..targets.len()).map(|i| program(i as u8)).collect();
    let levels: Vec<Level> = programs.iter().zip(targets).map(|(program, target)| Level { program, target }).collect();
    let tensor = |name: &str| model::Tensor { name: name.into(), dims: vec![1], ty: 3, size_bytes: 1, ..model::Tensor::default() };
    let options = Options { prefix: "which".into(), inputs: vec![tensor("x")], outputs: vec![tensor("y")], ..Options::default() };
    Ok(object::emit(&levels, &options)?.bytes)
}
