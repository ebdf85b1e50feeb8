//! Packed constants: kernels that decode beside the interpreter, with forbidden pages around every buffer, on every level, from C and on other machines; and
//! a model whose outputs are the same bits however its constants are packed and whatever else is asked for.

use cranelite::compression::Compress;
use cranelite::instance::Instance;
use cranelite::limits::Limits;
use cranelite::pipeline::{self, Compiled, Io, Options};
use cranelite::stages::Stages;
use cranelite_codegen::Target;
use cranelite_codegen::object::{self, Level};
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::quantize::f16_to_f32;
use cranelite_tests::cross::Machine;
use cranelite_tests::differential::{self, Entry, Step};
use cranelite_tests::guarded::End;
use cranelite_tests::in_c;
use cranelite_tests::models;
use cranelite_tests::tools::{exists, is_required};
use cranelite_tile::compress::{self, Packing, Prefer, Prepared};
use cranelite_tile::{Buffer, BufferId, Call, Elem, KernelBuilder, KernelId, Program, Role, verify};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of every kind, and how many bytes their numbers have.
fn kinds() -> Vec<(Vec<u8>, u32)> {
    let mut x = 9u32;
    let mut next = move || {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        x >> 16
    };
    let mut all = vec![];
    for bits in [1, 2, 4, 5, 7] {
        let noise: Vec<u8> = (0..2900).map(|_| (next() % (1 << bits)) as u8).collect();
        all.push((noise.iter().map(|n| n.wrapping_sub(5)).collect(), 1));
        all.push((noise.iter().map(|n| n.wrapping_mul(89)).collect(), 1));
        all.push((noise.iter().flat_map(|n| (f32::from(*n) * 0.3 - 2.0).to_le_bytes()).collect(), 4));
        all.push((noise.iter().flat_map(|n| (i16::from(*n) * 257 - 300).to_le_bytes()).collect(), 2));
    }
    let halves = (0..3003).map(|_| f16_to_f32(next() as u16)).map(|x| if x.is_nan() { 1.0 } else { x });
    all.push((halves.flat_map(f32::to_le_bytes).collect(), 4));
    all.push(((0..9003).map(|_| (0..5).map(|_| next() % 40).sum::<u32>() as u8).collect(), 1));
    all.push(((0..3000).flat_map(|_| ((next() as f32 + 1.0) * 1.37e-6).to_le_bytes()).collect(), 4));
    all.push((vec![3; 5000], 1));
    // Packed, the first of these is the second, which is packed as well.
    let nibbles: Vec<u8> = (0..1040).map(|i| if i < 16 { 0 } else { (next() % 16) as u8 }).collect();
    all.push(((0..8192).map(|i| (nibbles[16 + i / 512 * 64 + i % 64] >> (i / 64 % 8)) & 1).collect(), 1));
    all.push((nibbles, 1));
    all
}

/// A program that copies each of these constants to an output, number by number.
fn copying() -> Program {
    let mut program = Program::default();
    for (i, (data, number_bytes)) in kinds().into_iter().enumerate() {
        let size_bytes = data.len() as u64;
        let buffer = |role, data, align| Buffer { name: "b".into(), role, size_bytes, align, data, view: None, offset_bytes: None };
        program.buffers.push(buffer(Role::Const, Some(data.into()), 64));
        program.buffers.push(buffer(Role::Output(i as u32), None, 4));
        let elem = [Elem::U8, Elem::U16, Elem::U32][number_bytes.trailing_zeros() as usize];
        let mut k = KernelBuilder::new(format!("copy_{number_bytes}"));
        let (x, y) = (k.read("x"), k.write("y"));
        let count = k.param("count");
        k.each("i", count, 1, |k, i| {
            let v = k.load(elem.x(1), x.at(i * i64::from(number_bytes)));
            k.store(y.at(i * i64::from(number_bytes)), v);
        });
        program.kernels.push(k.finish());
        let at = 2 * i as u32;
        program.schedule.push(cranelite_tile::Step::Call(Call {
            kernel: KernelId(i as u32),
            buffers: vec![BufferId(at), BufferId(at + 1)],
            params: vec![(size_bytes / u64::from(number_bytes)) as i64],
            advance: vec![],
            operator: Some(i as u32),
        }));
    }
    program
}

fn packing(program: &Program) -> Packing {
    let contents = compress::candidates(program, &BTreeMap::new()).into_values().collect();
    Packing::of(contents, Prefer::Small).expect("decodes to the same")
}

fn planned(mut program: Program) -> Program {
    cranelite_tile::arena::plan(&mut program);
    cranelite_tile::arena::check(&program).expect("the plan is right");
    verify::verify(&program).expect("proved");
    program
}

fn expected() -> (Vec<Vec<u8>>, Vec<Step>) {
    let all: Vec<Vec<u8>> = kinds().into_iter().map(|k| k.0).collect();
    let empty = all.iter().map(|d| vec![0xa5; d.len()]).collect();
    (empty, vec![Step { status: 0, outputs: all }])
}

#[test]
fn every_kind_is_packed() {
    let packing = packing(&copying());
    assert_eq!(packing.constants.len(), kinds().len());
    let schemes: Vec<String> = packing.constants.iter().map(compress::Packed::scheme).collect();
    let bits =
        ["4 bits", "5 bits", "palette of 7 bits", "palette of 4 bits, 4 bytes each", "palette of 5 bits, 2 bytes each", "half floats"];
    for what in bits.into_iter().chain(["entropy", "entropy of 4 planes"]) {
        assert!(schemes.iter().any(|s| s == what), "{what}: {schemes:?}");
    }
}

#[test]
fn compiled() {
    let (program, (empty, expected)) = (copying(), expected());
    let packing = packing(&program);
    for target in differential::native_levels() {
        let mut packed = program.clone();
        compress::into_scratch(&mut packed, &target.machine, &packing);
        let (packed, dense) = (planned(packed), planned(program.clone()));
        let prepared = Some(Arc::new(Prepared::of(packing.clone())));
        for (program, prepared) in [(&packed, None), (&dense, prepared)] {
            let options = object::Options { prepared, ..differential::options(program) };
            let object = object::emit(&[Level { program, target: &target }], &options).expect("an object");
            assert!(
                object.const_bytes < dense.buffers.iter().filter(|b| b.role == Role::Const).map(|b| b.size_bytes).sum::<u64>() * 7 / 10
            );
            for end in [End::First, End::Last] {
                let got = differential::native_steps(&object, program, &[vec![]], &empty, Entry::Invoke, end).expect("it runs");
                assert!(got == expected, "{} {end:?}", target.level);
            }
        }
    }
}

#[test]
fn compiled_from_c() {
    let target = Target::new("c99", None).expect("a target");
    let (program, (empty, expected)) = (copying(), expected());
    let packing = packing(&program);
    let mut packed = program.clone();
    compress::into_scratch(&mut packed, &target.machine, &packing);
    let (packed, dense) = (planned(packed), planned(program));
    for compiler in [&["gcc", "-O2"][..], &["clang", "-O1"]] {
        if !exists(compiler[0]) && !is_required() {
            continue;
        }
        for (program, prepared) in [(&packed, None), (&dense, Some(Arc::new(Prepared::of(packing.clone()))))] {
            let options = object::Options { prepared, ..differential::options(program) };
            let object = in_c::object(program, &options, compiler).unwrap_or_else(|e| panic!("{e}"));
            for end in [End::First, End::Last] {
                let got = differential::native_steps(&object, program, &[vec![]], &empty, Entry::Invoke, end).expect("it runs");
                assert!(got == expected, "{compiler:?} {end:?}");
            }
        }
    }
}

#[test]
fn compiled_for_other_machines() {
    let (program, (empty, expected)) = (copying(), expected());
    let packing = packing(&program);
    for (triple, cpu) in [("aarch64-unknown-linux-gnu", "generic"), ("riscv64gc-unknown-linux-gnu", "rv64gc")] {
        let target = Target::new(triple, Some(cpu)).expect("a target");
        let Some(machine) = Machine::find(target.features.arch) else { continue };
        let mut packed = program.clone();
        compress::into_scratch(&mut packed, &target.machine, &packing);
        for got in machine.run_steps(&planned(packed), &[vec![]], &empty, &target).expect("it runs") {
            assert!(got == expected, "{triple}");
        }
    }
}

fn compile(model: &[u8], levels: &str, options: &Options) -> Result<Compiled, Vec<Diagnostic>> {
    let triple = Target::native().expect("this machine").triple.to_string();
    let targets = Target::list(&triple, Some(levels)).expect("levels");
    let options = Options { prefix: "model".into(), ..options.clone() };
    pipeline::compile(model, &targets, &options, &mut Stages::none())
}

fn outputs(compiled: &Compiled) -> Vec<Vec<u8>> {
    let mut instance = Instance::new(compiled).expect("it loads");
    let call = |step: u8| {
        let bytes: Vec<u8> = (0..64).map(|i| (i as u8).wrapping_mul(37).wrapping_add(step.wrapping_mul(91))).collect();
        instance.set_input(0, &bytes);
        let array = cranelite::array::Array { element: compiled.main().signature.inputs[0].ty.element, shape: vec![1, 64], data: bytes };
        instance.run(&[vec![array]]).expect("it runs").remove(0).remove(0).data
    };
    (0..4).map(call).collect()
}

#[test]
fn outputs_are_the_same() {
    let model = models::packable();
    let levels = differential::native_levels();
    let Some(first) = levels.first() else { return };
    let (one, all) = (first.level.clone(), [&levels[0], &levels[levels.len() - 1]].map(|l| l.level.as_str()).join(","));
    for names in [&one, &all] {
        let plain = compile(&model, names, &Options::default()).expect("compiles");
        let expected = outputs(&plain);
        for compress in Compress::ALL {
            for bits in 0..8 {
                let options = Options {
                    compress: Some(compress),
                    io: if bits & 1 == 0 { Io::Caller } else { Io::Arena },
                    threads: if bits & 2 == 0 { 1 } else { 3 },
                    profile: bits & 4 != 0,
                    self_test: bits & 4 != 0,
                    ..Options::default()
                };
                let packed = compile(&model, names, &options).unwrap_or_else(|e| panic!("{compress:?}: {e:?}"));
                // One of the three constants has few enough numbers for a product to look them up.
                let most = if compress == Compress::Products { 19 } else { 15 };
                assert!(packed.object.const_bytes < plain.object.const_bytes * most / 20, "{compress:?}");
                assert_eq!(0 < packed.object.prepared_bytes, compress == Compress::Fastest);
                if options.io == Io::Caller {
                    assert!(outputs(&packed) == expected, "{compress:?} {names} {bits}");
                }
            }
        }
    }
}

#[test]
fn float16_models_stay_as_small_as_their_files() {
    let model = models::half_floats();
    for level in differential::native_levels() {
        let plain = compile(&model, &level.level, &Options::default()).expect("compiles");
        let expected = outputs(&plain);
        for compress in Compress::ALL {
            let options = Options { compress: Some(compress), ..Options::default() };
            let packed = compile(&model, &level.level, &options).unwrap_or_else(|e| panic!("{compress:?}: {e:?}"));
            assert!(outputs(&packed) == expected, "{compress:?} {}", level.level);
            // In products where the machine has an instruction for them; what is decoded takes memory.
            if level.machine.half_floats || matches!(compress, Compress::Arena | Compress::Fastest) {
                assert!(packed.object.const_bytes < plain.object.const_bytes * 11 / 20, "{compress:?} {}", level.level);
                assert!(packed.object.const_bytes < model.len() as u64, "{compress:?} {}", level.level);
            }
        }
    }
}

#[test]
fn less_flash_is_picked_and_said() {
    let model = models::packable();
    let levels = differential::native_levels();
    let Some(level) = levels.last().map(|l| l.level.clone()) else { return };
    let limited = |flash_bytes| {
        let limits = Limits { flash_bytes: Some(flash_bytes), ..Limits::default() };
        compile(&model, &level, &Options { limits, ..Options::default() })
    };
    let flash = |c: &Compiled| c.object.code_bytes + c.object.const_bytes;
    let plain = compile(&model, &level, &Options::default()).expect("compiles");
    assert!(limited(flash(&plain)).expect("as it is").compressed.is_none());
    let is_picked = |c: &Compiled, how| c.compressed.as_ref().is_some_and(|c| c.picked && c.how == how);
    // What takes no memory comes first.
    let in_products = limited(flash(&plain) - 1).expect("packed");
    assert!(flash(&in_products) < flash(&plain) && is_picked(&in_products, Compress::Products));
    assert_eq!(in_products.object.arena_bytes, plain.object.arena_bytes);
    let picked = limited(flash(&in_products) - 1).expect("packed");
    assert!(flash(&picked) < flash(&in_products) && is_picked(&picked, Compress::Arena));
    let problems = limited(flash(&picked) / 4).err().expect("too little");
    assert!(problems[0].code == Code::FLASH && problems[0].message.contains("even with --compress constants=smallest"), "{problems:?}");
    // An arena that has no room for the largest of them.
    let limits = Limits { arena_bytes: Some(plain.object.arena_bytes + 100), ..Limits::default() };
    let options = Options { limits, compress: Some(Compress::Arena), ..Options::default() };
    let tight = compile(&model, &level, &options).expect("fits");
    assert!(tight.object.arena_bytes <= plain.object.arena_bytes + 100);
}
