//! Objects as a linker and a caller see them: symbols, sections, the entry point's checks, the descriptor, the same bytes every time.

use ::object as object_file;
use cranelite_codegen::Target;
use cranelite_codegen::loader::{Loaded, Pool};
use cranelite_codegen::object::{self, Error, Options, model};
use cranelite_tile::*;
use object_file::{Object as _, ObjectSection as _, ObjectSymbol as _};

const TRIPLES: [&str; 3] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-none-elf", "riscv64gc-unknown-linux-gnu"];

/// y = x + constant, through two scratch buffers, by two operators; 33 bytes, so that constants end oddly.
fn program() -> Program {
    let mut k = KernelBuilder::new("add bytes");
    let (x, c, y) = (k.read("x"), k.read("c"), k.write("y"));
    let n = k.param("n");
    k.each("i", n, 1, |k, i| {
        let (a, b) = (k.load(Elem::U8.x(1), x.at(i)), k.load(Elem::U8.x(1), c.at(i)));
        let v = k.add(a, b);
        k.store(y.at(i), v);
    });
    let add = k.finish();
    let buffer = |role, data: Option<Vec<u8>>, offset_bytes| Buffer {
        name: "b".into(),
        role,
        size_bytes: 33,
        align: if role == Role::Scratch { 64 } else { 1 },
        data: data.map(Into::into),
        view: None,
        offset_bytes,
    };
    let buffers = vec![
        buffer(Role::Input(0), None, None),
        buffer(Role::Output(0), None, None),
        buffer(Role::Const, Some((0..33).collect()), None),
        buffer(Role::Const, Some(vec![100; 33]), None),
        buffer(Role::Scratch, None, Some(0)),
        buffer(Role::Scratch, None, Some(64)),
    ];
    let call = |buffers: [u32; 3], operator| {
        Step::Call(Call { kernel: KernelId(0), buffers: buffers.map(BufferId).to_vec(), params: vec![33], advance: vec![], operator })
    };
    let schedule = vec![call([0, 2, 4], Some(5)), call([4, 3, 5], Some(5)), call([5, 2, 1], Some(9)), call([5, 3, 1], None)];
    Program { name: "p".into(), buffers, kernels: vec![add.clone(), Kernel { name: "add/bytes".into(), ..add }], schedule }
}

fn options() -> Options {
    let tensor = |name: &str| model::Tensor {
        name: name.into(),
        identifier: name.into(),
        dims: vec![1, 33],
        ty: 3,
        size_bytes: 33,
        scale: 0.5,
        zero_point: -7,
        tensor_name: format!("{name}:0"),
        tensor_index: Some(5),
        count: None,
    };
    Options {
        prefix: "some".into(),
        inputs: vec![tensor("the input")],
        outputs: vec![tensor("Identity")],
        profile: true,
        verify: true,
        ..Options::default()
    }
}

/// An object of one level.
fn one(program: &Program, target: &Target, options: &Options) -> Result<object::Object, Error> {
    object::emit(&[object::Level { program, target }], options)
}

fn emit(triple: &str) -> object::Object {
    one(&program(), &Target::new(triple, None).unwrap(), &options()).unwrap()
}

#[test]
fn nothing_is_undefined_and_only_the_documented_is_global() {
    for triple in TRIPLES {
        let object = emit(triple);
        let file = object_file::File::parse(&object.bytes[..]).unwrap();
        assert!(file.symbols().all(|s| s.is_definition() || s.name() == Ok("") || s.kind() == object_file::SymbolKind::File), "{triple}");
        let mut globals: Vec<&str> = file.symbols().filter(|s| s.is_global()).map(|s| s.name().unwrap()).collect();
        globals.sort();
        assert_eq!(globals, ["some_invoke", "some_model", "some_profile"]);
        // Kernels of one name keep apart.
        for local in ["some.add_bytes", "some.add_bytes.1", "some.c2", "some.c3"] {
            assert!(file.symbols().any(|s| s.name() == Ok(local) && s.is_local()), "{triple} {local}");
        }
    }
}

#[test]
fn constants_are_aligned_and_readable_beyond_their_end() {
    for triple in TRIPLES {
        let object = emit(triple);
        let file = object_file::File::parse(&object.bytes[..]).unwrap();
        let section = file.section_by_name(".rodata").unwrap();
        assert!(64 <= section.align());
        for (name, first) in [("some.c2", 0), ("some.c3", 100)] {
            let at = file.symbols().find(|s| s.name() == Ok(name)).unwrap().address();
            assert_eq!((at % 64, section.data().unwrap()[at as usize]), (0, first));
            assert!(at + 33 + 64 <= section.size(), "{triple}: {name} at {at} of {}", section.size());
        }
        assert_eq!(object.const_bytes, 66);
    }
}

#[test]
fn the_same_bytes_every_time() {
    let mut program = program();
    // Enough kernels for threads to finish in any order.
    for i in 0..40 {
        let kernel = Kernel { name: format!("k{i}"), ..program.kernels[0].clone() };
        program.kernels.push(kernel);
    }
    for triple in TRIPLES {
        let target = Target::new(triple, None).unwrap();
        let bytes = |threads| one(&program, &target, &Options { threads, ..options() }).unwrap().bytes;
        assert!(bytes(1) == bytes(4) && bytes(0) == bytes(3));
    }
}

#[test]
fn too_many_constants_are_refused() {
    let mut program = program();
    program.buffers[2].size_bytes = object::MAX_CONST_BYTES - 32;
    let error = one(&program, &Target::new(TRIPLES[0], None).unwrap(), &options()).unwrap_err();
    assert!(matches!(error, Error::TooManyConstants(n) if n == object::MAX_CONST_BYTES + 1), "{error}");
    assert!(error.to_string().contains("--weights"));
    let outside = one(&program, &Target::new(TRIPLES[0], None).unwrap(), &Options { weights: true, ..options() }).unwrap();
    assert!(outside.weights.is_some_and(|file| file.len() == 64 + 128 + 64));
    let both = Options { weights: true, const_section: Some(".flash".into()), ..options() };
    assert!(matches!(one(&program, &Target::new(TRIPLES[0], None).unwrap(), &both), Err(Error::Combination)));
    let mut program = self::program();
    program.buffers[5].offset_bytes = None;
    assert!(matches!(one(&program, &Target::new(TRIPLES[0], None).unwrap(), &options()), Err(Error::Unplaced(_))));
}

type Invoke = unsafe extern "C" fn(*const *const u8, *const *mut u8, *mut u8) -> i32;

#[test]
fn the_entry_point_checks_before_it_touches_anything() {
    let Ok(target) = Target::native() else { return };
    let object = one(&program(), &target, &options()).unwrap();
    let loaded = Loaded::load(&object.bytes).unwrap();
    // SAFETY: the symbol is a function of that type.
    let invoke = unsafe { std::mem::transmute::<*const u8, Invoke>(loaded.symbol("some_invoke").unwrap()) };
    let x: Vec<u8> = (0..33).map(|i| i * 3).collect();
    let (mut y, mut space) = (vec![1u8; 33], vec![2u8; 256]);
    let start = space.as_ptr().align_offset(64);
    let null = std::ptr::null();
    for (input, output, inputs, outputs, arena, status) in [
        (true, true, false, true, Some(0), 1),
        (true, true, true, false, Some(0), 1),
        (false, true, true, true, Some(0), 1),
        (true, false, true, true, Some(0), 1),
        (true, true, true, true, None, 1),
        (true, true, true, true, Some(1), 2),
        (true, true, true, true, Some(32), 2),
        (true, true, true, true, Some(0), 0),
    ] {
        let held_input = [if input { x.as_ptr() } else { null }];
        let held_output = [if output { y.as_mut_ptr() } else { std::ptr::null_mut() }];
        let arena = arena.map_or(std::ptr::null_mut(), |at: usize| space[start + at..].as_mut_ptr());
        // SAFETY: what is not null is large enough, and what is null or misaligned is refused.
        let got = unsafe {
            invoke(
                if inputs { held_input.as_ptr() } else { std::ptr::null() },
                if outputs { held_output.as_ptr() } else { std::ptr::null() },
                arena,
            )
        };
        assert_eq!(got, status);
        if status == 0 {
            assert!((0..33).all(|i| y[i] == x[i].wrapping_add(200).wrapping_add(i as u8)));
        } else {
            assert!(y.iter().all(|b| *b == 1) && space.iter().all(|b| *b == 2));
        }
    }
}

#[test]
fn the_descriptor_and_the_profile_say_what_there_is() {
    let Ok(target) = Target::native() else { return };
    let object = one(&program(), &target, &options()).unwrap();
    let loaded = Loaded::load(&object.bytes).unwrap();
    let model = loaded.model("some").unwrap();
    assert_eq!((model.inputs[0].name.as_str(), model.inputs[0].size_bytes), ("the input", 33));
    assert_eq!(model.outputs[0].name, "Identity");
    assert_eq!((model.arena_bytes, model.arena_align), (object.arena_bytes as usize, 64));
    assert!(97 <= model.arena_bytes);
    assert_eq!(model.stack_bytes, object.stack_bytes as usize);
    assert!(loaded.model("other").is_none());
    let (x, mut y, mut space) = ([1u8; 33], [0u8; 33], vec![0u8; 256]);
    let start = space.as_ptr().align_offset(64);
    let mut calls = vec![];
    let inputs: [&[u8]; 1] = [&x];
    let mut outputs: [&mut [u8]; 1] = [&mut y];
    let arena = &mut space[start..start + model.arena_bytes];
    let status = model.bind(&inputs, &mut outputs, arena).profile(&mut |operator, call| calls.push((operator, call)));
    assert_eq!(status, Some(0));
    assert_eq!(calls, [(5, 0), (5, 1), (9, 2), (u32::MAX, 3), (u32::MAX, 4)]);
    // An object without profile has none.
    let object = one(&program(), &target, &Options { profile: false, ..options() }).unwrap();
    let loaded = Loaded::load(&object.bytes).unwrap();
    assert!(loaded.symbol("some_profile").is_none());
    let model = loaded.model("some").unwrap();
    let arena = &mut space[start..start + model.arena_bytes];
    assert_eq!(model.bind(&inputs, &mut outputs, arena).profile(&mut |_, _| {}), None);
}

#[test]
fn the_loader_refuses_what_it_does_not_know() {
    assert!(Loaded::load(b"no object").is_err());
    let other = if cfg!(target_arch = "x86_64") { TRIPLES[1] } else { TRIPLES[0] };
    assert!(Loaded::load(&emit(other).bytes).is_err());
    let object = emit(TRIPLES[0]);
    for cut in [10, 64, object.bytes.len() / 2, object.bytes.len() - 1] {
        let _ = Loaded::load(&object.bytes[..cut]);
    }
}

/// How many bytes of stack a call uses, measured by what it overwrites.
#[cfg(target_arch = "x86_64")]
fn stack_used(invoke: *const u8, inputs: &[*const u8], outputs: &[*mut u8]) -> usize {
    stack_used_in(invoke, inputs, outputs, std::ptr::null_mut())
}

#[cfg(target_arch = "x86_64")]
fn stack_used_in(invoke: *const u8, inputs: &[*const u8], outputs: &[*mut u8], arena: *mut u8) -> usize {
    let mut stack = vec![0xa5a5_a5a5_a5a5_a5a5u64; 1 << 13];
    let top = stack.as_mut_ptr_range().end.map_addr(|a| a & !15);
    // SAFETY: the function gets a stack of its own, of 64 KiB, and the arguments it wants; r12 survives it.
    unsafe {
        std::arch::asm!(
            "xchg rsp, r12", "call rax", "mov rsp, r12",
            inout("r12") top => _, inout("rax") invoke => _,
            in("rdi") inputs.as_ptr(), in("rsi") outputs.as_ptr(), in("rdx") arena, in("rcx") std::ptr::null::<u8>(),
            clobber_abi("C"),
        );
    }
    let untouched = stack.iter().take_while(|w| **w == 0xa5a5_a5a5_a5a5_a5a5).count();
    top.addr() - stack.as_ptr().addr() - 8 * untouched
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_stack_is_as_deep_as_said_and_hardly_less() {
    // Forty vectors that are all needed at the end do not fit the registers.
    let mut k = KernelBuilder::new("many");
    let (x, y) = (k.read("x"), k.write("y"));
    let ty = Elem::F32.x(4);
    let loaded: Vec<Value> = (0..40).map(|i| k.load(ty, x.at(16 * i))).collect();
    let squares: Vec<Value> = loaded.iter().map(|&v| k.mul(v, v)).collect();
    for (i, &v) in squares.iter().rev().enumerate() {
        let v = k.div(v, loaded[i]);
        k.store(y.at(16 * i as i64), v);
    }
    let buffer = |role| Buffer { name: "b".into(), role, size_bytes: 640, align: 4, data: None, view: None, offset_bytes: None };
    let call = Call { kernel: KernelId(0), buffers: vec![BufferId(0), BufferId(1)], params: vec![], advance: vec![], operator: None };
    let program = Program {
        name: "p".into(),
        buffers: vec![buffer(Role::Input(0)), buffer(Role::Output(0))],
        kernels: vec![k.finish()],
        schedule: vec![Step::Call(call)],
    };
    let (x, mut y) = ([1f32; 160], [0f32; 160]);
    for cpu in ["x86-64", "x86-64-v2", "x86-64-v3+prefer128", "x86-64-v3", "x86-64-v4"] {
        let target = Target::new(TRIPLES[0], Some(cpu)).unwrap();
        if !target.runs_here() {
            continue;
        }
        let object = one(&program, &target, &Options { prefix: "m".into(), ..Options::default() }).unwrap();
        let invoke = Loaded::load(&object.bytes).unwrap();
        let used = stack_used(invoke.symbol("m_invoke").unwrap(), &[x.as_ptr().cast()], &[y.as_mut_ptr().cast()]);
        assert!(200 < used && used <= object.stack_bytes as usize, "{cpu}: {used} of {}", object.stack_bytes);
        assert!(object.stack_bytes as usize <= used + 96, "{cpu}: {used} of {}", object.stack_bytes);
    }
    // Of several levels, whichever runs.
    let targets = Target::list(TRIPLES[0], Some("x86-64,x86-64-v2,x86-64-v3")).unwrap();
    let levels: Vec<_> = targets.iter().map(|target| object::Level { program: &program, target }).collect();
    let object = object::emit(&levels, &Options { prefix: "m".into(), ..Options::default() }).unwrap();
    let loaded = Loaded::load(&object.bytes).unwrap();
    let used = stack_used(loaded.symbol("m_invoke").unwrap(), &[x.as_ptr().cast()], &[y.as_mut_ptr().cast()]);
    assert!(200 < used && used <= object.stack_bytes as usize, "{used} of {}", object.stack_bytes);
    // By way of the function that makes one of a step's calls, and from one entry point to the other where there is no executor.
    let step = [program.schedule[0].calls(), program.schedule[0].calls()].concat();
    let program = Program { schedule: vec![Step::Parallel(step)], ..program };
    for levels in [&targets[..1], &targets] {
        let levels: Vec<_> = levels.iter().map(|target| object::Level { program: &program, target }).collect();
        let object = object::emit(&levels, &Options { prefix: "m".into(), parallel: true, ..Options::default() }).unwrap();
        let loaded = Loaded::load(&object.bytes).unwrap();
        for name in ["m_invoke", "m_invoke_parallel"] {
            let used = stack_used(loaded.symbol(name).unwrap(), &[x.as_ptr().cast()], &[y.as_mut_ptr().cast()]);
            assert!(250 < used && used <= object.stack_bytes as usize, "{name}: {used} of {}", object.stack_bytes);
            assert!(object.stack_bytes as usize <= used + 250, "{name}: {used} of {}", object.stack_bytes);
        }
    }
}

/// So many steps that even their parts are divided into parts, and more inputs and outputs than are checked one by one: `y = x + 1` of one byte
/// from each input to the output of its number, and of the last output's again and again. Every hundredth step is two calls that may run at the same time.
fn long_program(tensors: u32, steps: u32) -> Program {
    let mut k = KernelBuilder::new("one more");
    let (x, y) = (k.read("x"), k.write("y"));
    let (v, one) = (k.load(Elem::U8.x(1), x.at(0)), k.int(Elem::U8.x(1), 1));
    let sum = k.add(v, one);
    k.store(y.at(0), sum);
    let buffer = |role, offset_bytes| Buffer { name: "b".into(), role, size_bytes: 1, align: 1, data: None, view: None, offset_bytes };
    let mut buffers: Vec<Buffer> = (0..tensors).map(|i| buffer(Role::Input(i), None)).collect();
    buffers.extend((0..tensors).map(|i| buffer(Role::Output(i), None)));
    buffers.extend((0..3).map(|i| buffer(Role::Scratch, Some(i))));
    let last = 2 * tensors - 1;
    let call = |x: u32, y: u32, i: u32| Call {
        kernel: KernelId(0),
        buffers: vec![BufferId(x), BufferId(y)],
        params: vec![],
        advance: vec![],
        operator: Some(i),
    };
    let mut schedule: Vec<Step> = (0..tensors).map(|i| Step::Call(call(i, tensors + i, i))).collect();
    for i in 0..steps {
        let (from, to) = if i % 2 == 0 { (last, 2 * tensors) } else { (2 * tensors, last) };
        schedule.push(match i % 100 {
            99 => Step::Parallel(vec![call(from, to, i), call(from, 2 * tensors + 1, i)]),
            _ => Step::Call(call(from, to, i)),
        });
    }
    Program { name: "p".into(), buffers, kernels: vec![k.finish()], schedule }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn long_schedules_and_signatures() {
    let tensors = 70usize;
    for steps in [2_000u32, 66_000] {
        let program = long_program(tensors as u32, steps);
        let targets = Target::list(TRIPLES[0], Some("x86-64,x86-64-v2")).unwrap();
        for targets in [&targets[..1], &targets] {
            let levels: Vec<_> = targets.iter().map(|target| object::Level { program: &program, target }).collect();
            let tensor = model::Tensor { dims: vec![1], ty: 3, size_bytes: 1, ..model::Tensor::default() };
            let described = vec![tensor; tensors];
            let options = Options { inputs: described.clone(), outputs: described, parallel: true, ..options() };
            let object = object::emit(&levels, &options).unwrap();
            let loaded = Loaded::load(&object.bytes).unwrap();
            let model = loaded.model("some").unwrap();
            let x: Vec<u8> = (0..tensors as u8).collect();
            let inputs: Vec<&[u8]> = x.chunks(1).collect();
            let mut expected: Vec<u8> = x.iter().map(|x| x + 1).collect();
            expected[tensors - 1] = expected[tensors - 1].wrapping_add(steps as u8);
            let mut arena = [0u8; 4];
            let mut pool = Pool::new(2).unwrap();
            let mut calls = vec![];
            for way in 0..3 {
                let mut y = vec![0u8; tensors];
                let mut outputs: Vec<&mut [u8]> = y.chunks_mut(1).collect();
                let mut bound = model.bind(&inputs, &mut outputs, &mut arena[..model.arena_bytes]);
                let status = match way {
                    0 => Some(bound.invoke()),
                    1 => bound.invoke_parallel(&mut pool),
                    _ => bound.profile(&mut |_, call| calls.push(call)),
                };
                drop(outputs);
                assert_eq!((status, &y), (Some(0), &expected), "{steps} {way}");
            }
            let count = program.calls().count() as u32;
            assert!(calls.into_iter().eq(0..=count), "every call once, in order");
            // The stack, and every pointer.
            let mut y = vec![0u8; tensors];
            let invoke = loaded.symbol("some_invoke").unwrap();
            // SAFETY: the symbol is a function of that type.
            let checked = unsafe { std::mem::transmute::<*const u8, Invoke>(invoke) };
            for absent in 0..2 * tensors {
                let mut held: Vec<*mut u8> = x.iter().map(|x| std::ptr::from_ref(x).cast_mut()).collect();
                held.extend(y.iter_mut().map(std::ptr::from_mut));
                held[absent] = std::ptr::null_mut();
                // SAFETY: one is null, so nothing is touched.
                let status = unsafe { checked(held.as_ptr().cast(), held[tensors..].as_ptr(), arena.as_mut_ptr()) };
                assert_eq!(status, 1, "{absent}");
            }
            assert!(y.iter().all(|y| *y == 0));
            let said = object.stack_bytes as usize;
            assert!(said < 2000, "{said}");
            let held_inputs: Vec<*const u8> = x.iter().map(std::ptr::from_ref).collect();
            let held_outputs: Vec<*mut u8> = y.iter_mut().map(std::ptr::from_mut).collect();
            let used = stack_used_in(invoke, &held_inputs, &held_outputs, arena.as_mut_ptr());
            assert!(100 < used && used <= said && said <= used + 250, "{used} of {said}");
        }
    }
}

/// Bytes go through a table one by one only where none is read that was written before: the same index of a row, which begins anywhere, is
/// another byte.
#[test]
fn a_table_is_applied_one_by_one_in_the_same_place_only() {
    let bytes = Elem::U8.x(16);
    let target = Target::new(TRIPLES[0], Some("x86-64")).unwrap();
    let loads_a_vector = |row: bool| {
        let mut k = KernelBuilder::new("look up");
        let (x, table) = (k.read("x"), k.read("table"));
        let y = k.write_in_place("y", x);
        let from = if row { k.row(x, 8, 16, vec![], table).at(0) } else { x.at(0) };
        let v = k.load(bytes, from);
        let v = k.lookup(Elem::U8, table.at(0), v);
        k.store(y.at(0), v);
        let function = cranelite_codegen::clif::emit(&k.finish(), &target.features, cranelift_codegen::isa::CallConv::SystemV).unwrap();
        function.display().to_string().contains("load.i8x16")
    };
    assert_eq!([false, true].map(loads_a_vector), [false, true]);
}

/// A program that calls a function of the user's, on which a loop depends and which may fail.
fn foreign_program(symbol: &str) -> Program {
    let mut program = program();
    let mut k = KernelBuilder::new("mine");
    let _x = k.read("x");
    let options = k.read("options");
    let _y = k.write("y");
    program.kernels.push(k.finish_foreign(symbol, Some(options)));
    let call = |buffers: [u32; 3], operator| {
        Step::Call(Call { kernel: KernelId(2), buffers: buffers.map(BufferId).to_vec(), params: vec![], advance: vec![], operator })
    };
    let repeated = Step::Repeat { count: 3, body: vec![call([5, 2, 4], None), call([4, 3, 5], None)] };
    program.schedule.splice(2..2, [call([5, 2, 4], Some(7)), call([4, 3, 5], Some(8)), repeated]);
    program
}

#[test]
fn a_function_of_the_user_is_all_that_is_undefined() {
    for triple in cranelite_codegen::targets::TRIPLES.iter().map(|t| t.triple) {
        let target = Target::new(triple, None).unwrap();
        if target.is_c() {
            continue;
        }
        let object = one(&foreign_program("my_function"), &target, &options()).unwrap();
        let file = object_file::File::parse(&object.bytes[..]).unwrap();
        let undefined: Vec<&str> = file.symbols().filter(|s| s.is_undefined() && s.is_global()).map(|s| s.name().unwrap()).collect();
        assert_eq!(
            undefined,
            [if triple.contains("darwin") || triple.contains("ios") { "_my_function" } else { "my_function" }],
            "{triple}"
        );
    }
}

#[test]
fn names_that_cannot_be_imported_are_refused() {
    for symbol in ["some_invoke", "some_", "no name", "", "7up"] {
        let error = one(&foreign_program(symbol), &Target::new(TRIPLES[0], None).unwrap(), &options()).err();
        assert!(matches!(error, Some(Error::Import(_))), "{symbol}");
    }
}
