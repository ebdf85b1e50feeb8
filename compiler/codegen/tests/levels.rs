//! Objects of several feature levels: which one runs, what they share, what is there only when it is needed.
//!
//! The programs of the levels differ on purpose, so that the result tells which of them ran.

use ::object as object_file;
use cranelite_codegen::loader::Pool;
use cranelite_codegen::object::{self, Error, Level, Options, model};
use cranelite_codegen::targets;
use cranelite_codegen::{Target, loader::Loaded};
use cranelite_tile::*;
use object_file::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, elf::SHF_WRITE};

const X86: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";
const N: u64 = 33;

/// y = x + number + 100 by way of the arena, of which it needs `arena_bytes`.
fn program(number: u8, arena_bytes: u64, align: u32) -> Program {
    let mut k = KernelBuilder::new("add");
    let (x, c, y) = (k.read("x"), k.read("c"), k.write("y"));
    // Vectors, since code of single integers is the same at many levels.
    const LANES: usize = 11;
    k.each("i", N as i64, LANES as i64, |k, i| {
        let (a, b) = (k.load(Elem::U8.x(LANES), x.at(i)), k.load(Elem::U8.x(LANES), c.at(i)));
        let v = k.add(a, b);
        k.store(y.at(i), v);
    });
    let buffer = |role, data: Option<Vec<u8>>| Buffer {
        name: "b".into(),
        role,
        size_bytes: if role == Role::Scratch { arena_bytes } else { N },
        align: if role == Role::Scratch { align } else { 1 },
        data: data.map(Into::into),
        view: None,
        offset_bytes: (role == Role::Scratch).then_some(0),
    };
    let constant = |byte: u8| buffer(Role::Const, Some(vec![byte; N as usize]));
    let buffers =
        vec![buffer(Role::Input(0), None), buffer(Role::Output(0), None), constant(number), constant(100), buffer(Role::Scratch, None)];
    let call = |buffers: [u32; 3]| {
        Step::Call(Call {
            kernel: KernelId(0),
            buffers: buffers.map(BufferId).to_vec(),
            params: vec![],
            advance: vec![],
            operator: Some(0),
        })
    };
    let last = Step::Parallel(call([4, 3, 1]).calls().to_vec());
    Program { name: "p".into(), buffers, kernels: vec![k.finish()], schedule: vec![call([0, 2, 4]), last] }
}

fn options() -> Options {
    let tensor = |name: &str| model::Tensor { name: name.into(), dims: vec![33], ty: 3, size_bytes: N, ..model::Tensor::default() };
    Options {
        prefix: "some".into(),
        parallel: true,
        inputs: vec![tensor("x")],
        outputs: vec![tensor("y")],
        verify: true,
        ..Options::default()
    }
}

/// One level per target; the `i`th adds `i`, and needs other amounts of memory than its neighbours.
fn emit(targets: &[Target], options: &Options) -> Result<object::Object, Error> {
    let program = |i: usize| program(i as u8, 40 + 100 * (i as u64 % 2), 64 >> (i % 3));
    let programs: Vec<Program> = (0..targets.len()).map(program).collect();
    let levels: Vec<Level> = programs.iter().zip(targets).map(|(program, target)| Level { program, target }).collect();
    object::emit(&levels, options)
}

fn list(triple: &str, cpus: &str) -> Vec<Target> {
    Target::list(triple, Some(cpus)).unwrap()
}

/// Statuses of the entry points that choose and of each level, one more than there is, and which level gave the result.
fn run(object: &object::Object, levels: usize) -> Vec<(i32, Option<u8>)> {
    let loaded = Loaded::load(&object.bytes).unwrap();
    let model = loaded.model("some").unwrap();
    assert_eq!(model.levels.len(), levels);
    let (x, mut arena) = (vec![5u8; N as usize], vec![1u8; 1024]);
    let start = arena.as_ptr().align_offset(64);
    let mut results = vec![];
    let mut pool = Pool::new(2).unwrap();
    for call in 0..levels as u32 + 3 {
        let mut y = vec![1u8; N as usize];
        arena.fill(1);
        let status = {
            let inputs: [&[u8]; 1] = [&x];
            let mut outputs: [&mut [u8]; 1] = [&mut y];
            let mut bound = model.bind(&inputs, &mut outputs, &mut arena[start..start + model.arena_bytes]);
            match call {
                0 => bound.invoke(),
                1 => bound.invoke_parallel(&mut pool).unwrap(),
                _ => bound.invoke_at(call - 2).unwrap(),
            }
        };
        if status != 0 {
            assert!(y.iter().chain(&arena).all(|b| *b == 1), "a refused call touches nothing");
        }
        assert!(y.iter().all(|b| *b == y[0]));
        results.push((status, (status == 0).then(|| y[0] - 105)));
    }
    results
}

/// What a machine with these levels must answer.
fn expected(targets: &[Target]) -> Vec<(i32, Option<u8>)> {
    let of = |i: usize| if targets[i].runs_here() { (0, Some(i as u8)) } else { (4, None) };
    let order = Target::best_first(&targets.iter().collect::<Vec<_>>());
    let best = order.into_iter().find(|&i| targets[i].runs_here()).map_or((4, None), of);
    [best; 2].into_iter().chain((0..targets.len()).map(of)).chain([(4, None)]).collect()
}

#[test]
fn the_best_level_runs_unless_another_is_pinned() {
    let (triple, lists): (&str, &[&str]) = match targets::native_cpu() {
        Some(_) if cfg!(target_arch = "x86_64") => (
            X86,
            &["x86-64,x86-64-v3,x86-64-v4+avx512vnni", "x86-64-v4,x86-64,x86-64-v2,native+prefer128", "x86-64-v3,x86-64-v4+avx512vbmi"],
        ),
        Some(_) => (ARM, &["generic,generic+dotprod", "native+dotprod,generic"]),
        None => return,
    };
    for cpus in lists {
        let targets = list(triple, cpus);
        let object = emit(&targets, &options()).unwrap();
        assert_eq!(run(&object, targets.len()), expected(&targets), "{cpus}");
    }
}

/// The object's question to the CPU, one feature at a time, gets the same answer as the standard library's.
#[test]
fn every_feature_is_recognised() {
    let Some(native) = targets::native_cpu() else { return };
    let (triple, levels) = if cfg!(target_arch = "x86_64") { (X86, 0) } else { (ARM, 1) };
    let levels = &targets::list()[levels];
    let mut found = 0;
    for feature in &levels.features {
        let targets = list(triple, &format!("{0},{0}+{feature}", levels.levels[0].name));
        found += usize::from(targets[1].runs_here());
        assert_eq!(run(&emit(&targets, &options()).unwrap(), 2), expected(&targets), "{feature} on {native}");
    }
    assert!(0 < found);
}

#[test]
fn what_levels_have_in_common_is_there_once() {
    let targets = list(X86, "x86-64,x86-64-v3,x86-64-v3+avxvnni");
    let object = emit(&targets, &Options { profile: true, ..options() }).unwrap();
    // Three numbers, and 100.
    assert_eq!(object.const_bytes, 4 * N);
    let facts: Vec<_> = object.levels.iter().map(|l| (l.name.as_str(), l.const_bytes, l.arena_bytes, l.arena_align)).collect();
    assert_eq!(facts, [("x86-64", 2 * N, 64, 64), ("x86-64-v3", 2 * N, 160, 32), ("x86-64-v3+avxvnni", 2 * N, 48, 16)]);
    // Enough for each, in bytes and in alignment.
    assert_eq!((object.arena_bytes, object.arena_align), (192, 64));
    assert_eq!(object.levels[2].kernels, object.levels[1].kernels);
    assert!(object.levels.iter().map(|l| l.code_bytes).sum::<u64>() - object.levels[2].kernels[0].code_bytes < object.code_bytes);

    let file = object_file::File::parse(&object.bytes[..]).unwrap();
    assert!(file.symbols().all(|s| s.is_definition() || s.name() == Ok("") || s.kind() == object_file::SymbolKind::File));
    let mut globals: Vec<&str> = file.symbols().filter(|s| s.is_global()).map(|s| s.name().unwrap()).collect();
    globals.sort();
    assert_eq!(globals, ["some_invoke", "some_invoke_at", "some_invoke_parallel", "some_model", "some_profile"]);
    for local in ["some.x86_64.add", "some.x86_64_v3.add", "some.x86_64.c3", "some.x86_64_v3.c2", "some.cpu"] {
        assert_eq!(file.symbols().filter(|s| s.name() == Ok(local) && s.is_local()).count(), 1, "{local}");
    }
    // A constant, and code that is the same at two levels.
    for absent in ["some.x86_64_v3.c3", "some.x86_64_v3_avxvnni.add"] {
        assert!(file.symbols().all(|s| s.name() != Ok(absent)), "{absent}");
    }

    let bytes = |threads| emit(&targets, &Options { threads, ..options() }).unwrap().bytes;
    assert!(bytes(1) == bytes(3));
}

/// Levels that differ in what they are tuned for only have names, functions and bodies of their own, and share code that is the same.
#[test]
fn tuned_levels_share_what_is_the_same() {
    let targets = list(ARM, "cortex-a55,cortex-a55+no-fp16,cortex-a72");
    let same = program(7, 40, 64);
    let levels: Vec<Level> = targets.iter().map(|target| Level { program: &same, target }).collect();
    let object = object::emit(&levels, &options()).unwrap();
    let names: Vec<&str> = object.levels.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["cortex-a55", "cortex-a55+no-fp16", "cortex-a72"]);
    assert_eq!(object.levels[1].kernels, object.levels[0].kernels);
    let file = object_file::File::parse(&object.bytes[..]).unwrap();
    for (local, count) in [("some.cortex_a55.add", 1), ("some.cortex_a55_no_fp16.add", 0), ("some.cortex_a55_no_fp16.invoke", 1)] {
        assert_eq!(file.symbols().filter(|s| s.name() == Ok(local) && s.is_local()).count(), count, "{local}");
    }
}

/// Bytes that the object itself writes.
fn written_bytes(triple: &str, cpus: &str, no_cpu_check: bool) -> u64 {
    let object = emit(&list(triple, cpus), &Options { no_cpu_check, profile: true, ..options() }).unwrap();
    let file = object_file::File::parse(&object.bytes[..]).unwrap();
    let is_written = |s: &object_file::Section| {
        let SectionFlags::Elf { sh_flags } = s.flags() else { panic!("ELF") };
        sh_flags & u64::from(SHF_WRITE) != 0 && !s.name().unwrap().starts_with(".data.rel.ro")
    };
    file.sections().filter(is_written).map(|s| s.size()).sum()
}

#[test]
fn one_word_is_written_where_a_choice_is_made_and_none_elsewhere() {
    for (triple, cpus, no_cpu_check, bytes) in [
        (X86, "x86-64", false, 0),
        (X86, "x86-64+prefer128", false, 0),
        (X86, "x86-64-v3", true, 0),
        (X86, "x86-64-v3", false, 4),
        (X86, "x86-64,x86-64-v3", false, 4),
        (ARM, "generic", false, 0),
        (ARM, "cortex-a53", false, 0),
        (ARM, "generic+dotprod", true, 0),
        (ARM, "generic+dotprod", false, 4),
        ("riscv64gc-unknown-none-elf", "rv64gc", false, 0),
        ("riscv64gc-unknown-none-elf", "rva22", true, 0),
    ] {
        assert_eq!(written_bytes(triple, cpus, no_cpu_check), bytes, "{cpus}, no check: {no_cpu_check}");
    }
    // A tuned copy of the baseline is chosen by number, and no CPU is asked.
    assert_eq!(written_bytes(X86, "x86-64,x86-64+prefer128", false), 0);
    assert_eq!(written_bytes(ARM, "generic,cortex-a53,cortex-a72", false), 0);
    assert_eq!(written_bytes(ARM, "cortex-a55,cortex-a76,cortex-a53", false), 4);
}

#[test]
fn a_choice_that_cannot_be_made_is_refused() {
    let error = emit(&list("riscv64gc-unknown-linux-gnu", "rv64gc,rva22"), &options()).unwrap_err();
    assert!(matches!(error, Error::CannotAsk(..)), "{error}");
    let error = emit(&list(X86, "x86-64,x86-64-v3"), &Options { no_cpu_check: true, ..options() }).unwrap_err();
    assert!(matches!(error, Error::Unchecked(2)), "{error}");
}

/// That a kernel's vectors are split is said where the level has longer ones, and with a reason.
#[test]
fn split_vectors_have_a_reason() {
    let with = |lanes: usize| {
        let mut k = KernelBuilder::new("odd");
        let (x, y) = (k.read("x"), k.write("y"));
        let v = k.load(Elem::I64.x(2 * lanes), x.at(0));
        let odd = k.deinterleave(v, 1);
        k.store(y.at(0), odd);
        let buffer = |role, bytes: usize| Buffer {
            name: "b".into(),
            role,
            size_bytes: bytes as u64,
            align: 8,
            data: None,
            view: None,
            offset_bytes: None,
        };
        let call = Call { kernel: KernelId(0), buffers: vec![BufferId(0), BufferId(1)], params: vec![], advance: vec![], operator: None };
        Program {
            name: "odd".into(),
            buffers: vec![buffer(Role::Input(0), 16 * lanes), buffer(Role::Output(0), 8 * lanes)],
            kernels: vec![k.finish()],
            schedule: vec![Step::Call(call)],
        }
    };
    let reason = |level: &str, lanes: usize| {
        let target = Target::new("x86_64-unknown-linux-gnu", Some(level)).unwrap();
        let options = Options { prefix: "odd".into(), ..Options::default() };
        object::emit(&[Level { program: &with(lanes), target: &target }], &options).unwrap().levels[0].kernels[0].fallback.clone()
    };
    assert_eq!(reason("x86-64-v4", 4).as_deref(), Some("deinterleaving 64-bit lanes"));
    assert_eq!([reason("x86-64-v4", 1), reason("x86-64-v2", 4)], [None, None]);
}
