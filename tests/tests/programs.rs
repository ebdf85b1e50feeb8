//! The programs of tests/filetests/tile/run: schedules with loops, branches, checks and states, run by the interpreter and as machine code.
//!
//! A line `# step: …` is a call with its inputs, in hexadecimal digits or as `numbers SEED`, with `|` between two inputs; calls of one file are calls
//! of one instance. `# gives: …` lines are the statuses and outputs, which CRANELITE_BLESS=1 writes anew: the meaning is read beside the
//! program. Machine code of every level, option and entry point must give the same bytes, with forbidden pages around every buffer.

use cranelite_codegen::Target;
use cranelite_codegen::object::{self, Level, Options};
use cranelite_tests::cross::Machine;
use cranelite_tests::differential::{self, Entry, Step};
use cranelite_tests::guarded::End;
use cranelite_tests::in_c;
use cranelite_tests::tools::{exists, is_required};
use cranelite_tile::text::parse;
use cranelite_tile::{Line, Program, Role, arena, parallel, verify};
use std::path::{Path, PathBuf};

const STEP: &str = "# step: ";
const GIVES: &str = "# gives: ";

struct File {
    path: PathBuf,
    text: String,
    program: Program,
    steps: Vec<Vec<Vec<u8>>>,
    outputs: Vec<Vec<u8>>,
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests/tile/run");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(file).collect()
}

fn file(path: PathBuf) -> File {
    let text = std::fs::read_to_string(&path).expect("a readable file");
    let program = parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let sizes = |role: fn(u32) -> Role| -> Vec<usize> {
        let find = |i: u32| program.buffers.iter().find(|b| b.role == role(i) && b.view.is_none());
        (0..).map_while(find).map(|b| b.size_bytes as usize).collect()
    };
    let inputs = sizes(Role::Input);
    let step = |line: &str| -> Vec<Vec<u8>> {
        let given: Vec<Vec<u8>> = line.split('|').zip(&inputs).map(|(text, size)| bytes(text.trim(), *size)).collect();
        assert!(given.iter().map(Vec::len).eq(inputs.iter().copied()), "{}: {line}", path.display());
        given
    };
    let steps: Vec<_> = text.lines().filter_map(|l| l.strip_prefix(STEP)).map(step).collect();
    assert!(!steps.is_empty(), "{}", path.display());
    let outputs = sizes(Role::Output).into_iter().map(|size| vec![0xa5; size]).collect();
    File { path, text, program, steps, outputs }
}

fn bytes(text: &str, size: usize) -> Vec<u8> {
    if let Some(seed) = text.strip_prefix("numbers ") {
        let seed: usize = seed.parse().expect("a number");
        return (0..size).map(|i| (i * 37 + i / 7 * 11 + seed * 101) as u8).collect();
    }
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).expect("ASCII"), 16).expect("digits")).collect()
}

fn proved(mut program: Program, io: bool) -> Program {
    if io {
        arena::plan_with_io(&mut program, 16)
    } else {
        arena::plan(&mut program)
    };
    assert_eq!(arena::check(&program), Ok(()));
    if let Err(errors) = verify::verify(&program) {
        panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    program
}

/// What a call that ended with another status has in its outputs is not specified.
fn same(file: &File, what: &str, got: &[Step], expected: &[Step]) {
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let is_same = got.status == expected.status && (got.status != 0 || got.outputs == expected.outputs);
        assert!(is_same, "{}, {what}, step {i}:\n{got:?}\nexpected:\n{expected:?}", file.path.display());
    }
    assert_eq!(got.len(), expected.len());
}

#[test]
fn interpreted() {
    for file in files() {
        let apart = differential::expected_steps(&file.program, &file.steps, &file.outputs).expect("it runs");
        for io in [false, true] {
            let planned = differential::expected_steps(&proved(file.program.clone(), io), &file.steps, &file.outputs).expect("it runs");
            same(&file, "planned", &planned, &apart);
        }
        let hex = |bytes: &Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let line = |s: &Step| match s.status {
            0 => s.outputs.iter().map(hex).collect::<Vec<_>>().join(" | "),
            status => format!("status {status}"),
        };
        let gives: Vec<String> = apart.iter().map(line).collect();
        if std::env::var_os("CRANELITE_BLESS").is_some() {
            let rest: Vec<&str> = file.text.lines().filter(|l| !l.starts_with(GIVES)).collect();
            let lines: String = gives.iter().map(|g| format!("{GIVES}{g}\n")).collect();
            std::fs::write(&file.path, format!("{}\n{lines}", rest.join("\n").trim_end())).expect("a writable file");
        } else {
            let expected: Vec<&str> = file.text.lines().filter_map(|l| l.strip_prefix(GIVES)).collect();
            assert_eq!(gives, expected, "{}", file.path.display());
        }
    }
}

#[test]
fn compiled() {
    for file in files() {
        let expected = differential::expected_steps(&file.program, &file.steps, &file.outputs).expect("it runs");
        let program = proved(file.program.clone(), false);
        let run = |what: &str, object: &object::Object, entry: Entry| {
            for end in [End::First, End::Last] {
                let got = differential::native_steps(object, &program, &file.steps, &file.outputs, entry, end).expect(what);
                same(&file, what, &got, &expected);
            }
        };
        let options = Options { profile: true, parallel: true, ..differential::options(&program) };
        let here = differential::native_levels();
        for target in &here {
            for weights in [false, true] {
                let options = Options { weights, ..options.clone() };
                let object = object::emit(&[Level { program: &program, target }], &options).expect("an object");
                for entry in [Entry::Invoke, Entry::Parallel, Entry::Profile] {
                    run(&format!("{} {entry:?}, weights outside: {weights}", target.level), &object, entry);
                }
            }
        }
        // All levels in one object, which share the state.
        let levels: Vec<Level> = here.iter().map(|target| Level { program: &program, target }).collect();
        if 1 < levels.len() {
            let object = object::emit(&levels, &options).expect("an object");
            for entry in [Entry::Invoke, Entry::Parallel, Entry::At(0), Entry::At(levels.len() as u32 - 1)] {
                run(&format!("all levels, {entry:?}"), &object, entry);
            }
        }
    }
}

#[test]
fn compiled_from_c() {
    for compiler in [&["gcc", "-O2"][..], &["clang", "-O1"]] {
        if !exists(compiler[0]) && !is_required() {
            continue;
        }
        for file in files() {
            let expected = differential::expected_steps(&file.program, &file.steps, &file.outputs).expect("it runs");
            let program = proved(file.program.clone(), false);
            let object = in_c::object(&program, &differential::options(&program), compiler).expect("an object");
            for end in [End::First, End::Last] {
                let got = differential::native_steps(&object, &program, &file.steps, &file.outputs, Entry::Invoke, end).expect("it runs");
                same(&file, compiler[0], &got, &expected);
            }
        }
    }
}

#[test]
fn compiled_for_other_machines() {
    for (triple, cpu) in [("aarch64-unknown-linux-gnu", "generic"), ("riscv64gc-unknown-linux-gnu", "rv64gc")] {
        let target = Target::new(triple, Some(cpu)).expect("a target");
        let Some(machine) = Machine::find(target.features.arch) else { continue };
        for file in files() {
            let expected = differential::expected_steps(&file.program, &file.steps, &file.outputs).expect("it runs");
            let program = proved(file.program.clone(), false);
            for got in machine.run_steps(&program, &file.steps, &file.outputs, &target).expect("it runs") {
                same(&file, triple, &got, &expected);
            }
        }
    }
}

/// What one call of a kernel does in many turns, as a loop in the body.
fn repeated(turns: u64) -> Program {
    let size = 16 * turns;
    let text = format!(
        "program \"repeated\"\n\
         b0 = input 0 \"x\" {size} bytes align 4\n\
         b1 = output 0 \"y\" {size} bytes align 4\n\
         b2 = state \"h\" 16 bytes align 16 at 0\n\
         kernel step(x: read, h: read write, y: write; at) {{\n\
           v0: i32x4 = load h[0]\n\
           v1: i32x4 = load x[at]\n\
           v2: i32x4 = add v0, v1\n\
           store h[0] = v2\n\
           store y[at] = v2\n\
         }}\n\
         repeat {turns} {{\n\
           call step(x: b0, h: b2, y: b1; at: 0 + 16 turn) operator 0\n\
         }}\n"
    );
    proved(parse(&text).expect("a program"), false)
}

#[test]
fn code_does_not_grow_with_the_turns() {
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let target = Target::new(triple, None).expect("a target");
        let object = |turns: u64| {
            let program = repeated(turns);
            object::emit(&[Level { program: &program, target: &target }], &differential::options(&program)).expect("an object")
        };
        let [few, many] = [49, 4900].map(|turns| object(turns).code_bytes);
        assert_eq!(few, many, "{triple}");
    }
}

/// Bodies of loops and branches that are too long for one function are divided, too, and their parts know the turn and the status.
#[test]
fn long_bodies_are_divided() {
    let mut text = String::from(
        "program \"long\"\n\
         b0 = input 0 \"x\" 3000 bytes align 1\n\
         b1 = output 0 \"y\" 1 bytes align 1\n\
         b2 = state \"sum\" 1 bytes align 1 at 0\n\
         b3 = scratch \"status\" 4 bytes align 4\n\
         kernel add(x: read, sum: read write, y: write, status: write; at) {\n\
           v0: u8 = load sum[0]\n\
           v1: u8 = load x[at]\n\
           v2: u8 = add v0, v1\n\
           store sum[0] = v2\n\
           store y[0] = v2\n\
           v3: u8x4 = const 0\n\
           store status[0] = v3\n\
           v4: u8 = const 255\n\
           v5: u8 = sub v1, v4\n\
           v6: u8 = const 1\n\
           v7: u8 = min v5, v6\n\
           v8: u8 = sub v6, v7\n\
           store status[1] = v8\n\
         }\n",
    );
    let call = |at: u64| format!("call add(x: b0, sum: b2, y: b1, status: b3; at: {at} + 1000 turn) operator 0\n");
    text.push_str("repeat 3 {\n");
    for at in 0..400 {
        text += &call(at);
    }
    text += "if b0 {\n";
    for at in 400..700 {
        text += &call(at);
        text += if at % 50 == 7 { "check b3\n" } else { "" };
    }
    text += "} else {\n";
    text += &call(999);
    text += "}\n}\n";
    let program = proved(parse(&text).expect("a program"), false);
    assert_eq!(Line::of(&program.schedule).moments.iter().map(|m| m.calls.len()).sum::<usize>(), 701);
    let mut x: Vec<u8> = (0..3000).map(|i| (i * 31 % 251) as u8).collect();
    let mut steps = vec![vec![x.clone()]];
    x[0] = 0;
    steps.push(vec![x.clone()]);
    x[0] = 1;
    x[1607] = 255;
    steps.push(vec![x.clone()]);
    x[1607] = 3;
    steps.push(vec![x]);
    let outputs = vec![vec![0; 1]];
    let expected = differential::expected_steps(&program, &steps, &outputs).expect("it runs");
    assert_eq!(expected.iter().map(|s| s.status).collect::<Vec<_>>(), [0, 0, 3, 0]);
    let file = File { path: "long".into(), text, program: program.clone(), steps, outputs };
    for target in differential::native_levels().iter().take(1) {
        let options = Options { profile: true, parallel: true, ..differential::options(&program) };
        let object = object::emit(&[Level { program: &program, target }], &options).expect("an object");
        for entry in [Entry::Invoke, Entry::Parallel, Entry::Profile] {
            let got = differential::native_steps(&object, &program, &file.steps, &file.outputs, entry, End::Last).expect("it runs");
            same(&file, "divided", &got, &expected);
        }
    }
}

/// Two instances of one object, called in turn, are two separate ones; `reset` starts one afresh. The states of levels must agree.
#[test]
fn instances_share_an_object() {
    let file = file(Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests/tile/run/recurrent.tile"));
    let program = proved(file.program.clone(), false);
    let Some(target) = differential::native_levels().pop() else { return };
    let object = object::emit(&[Level { program: &program, target: &target }], &differential::options(&program)).expect("an object");
    let expected = differential::expected_steps(&program, &file.steps, &file.outputs).expect("it runs");
    let loaded = cranelite_codegen::loader::Loaded::load(&object.bytes).expect("it loads");
    let model = loaded.model("test").expect("a model");
    assert_eq!((model.state_bytes, model.state_align), (32, 16));
    let mut memory = [vec![0u8; 64], vec![0u8; 64], vec![0u8; 1024]];
    let starts = [16, 16, 64].into_iter().zip(&memory).map(|(align, m)| m.as_ptr().align_offset(align)).collect::<Vec<_>>();
    let mut call = |instance: usize, step: usize, afresh: bool| {
        let [a, b, arena] = &mut memory;
        let state = &mut [a, b][instance][starts[instance]..][..32];
        if afresh {
            model.reset(state);
        }
        let mut y = file.outputs[0].clone();
        let inputs: Vec<&[u8]> = file.steps[step].iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<&mut [u8]> = vec![&mut y];
        assert_eq!(model.bind_with_state(&inputs, &mut outputs, &mut arena[starts[2]..], state).invoke(), 0);
        y
    };
    for (step, expected) in expected.iter().enumerate().take(3) {
        for instance in 0..2 {
            assert_eq!(call(instance, step, step == 0), expected.outputs[0]);
        }
    }
    assert_eq!(call(1, 0, true), expected[0].outputs[0]);
    assert_ne!(call(0, 0, false), expected[0].outputs[0]);

    let mut other = program.clone();
    other.buffers[2].data = Some(vec![1; 32].into());
    let [a, b] = [&program, &other].map(|program| Level { program, target: &target });
    let error = object::emit(&[a, b], &differential::options(&program)).expect_err("other states");
    assert!(matches!(error, object::Error::StateByLevel), "{error}");
}

/// Null and misaligned states are refused before anything is touched.
#[test]
fn states_are_checked() {
    type Invoke = unsafe extern "C" fn(*const *const u8, *const *mut u8, *mut u8, *mut u8) -> i32;
    type Reset = unsafe extern "C" fn(*mut u8) -> i32;
    let Some(target) = differential::native_levels().pop() else { return };
    let program = repeated(1);
    let object = object::emit(&[Level { program: &program, target: &target }], &differential::options(&program)).expect("an object");
    let loaded = cranelite_codegen::loader::Loaded::load(&object.bytes).expect("it loads");
    let (invoke, reset) = (loaded.symbol("test_invoke").expect("invoke"), loaded.symbol("test_reset").expect("reset"));
    // SAFETY: the symbols are functions of these types.
    let (invoke, reset) = unsafe { (std::mem::transmute::<*const u8, Invoke>(invoke), std::mem::transmute::<*const u8, Reset>(reset)) };
    let (x, mut y, mut state) = ([7u8; 16], [1u8; 16], [1u8; 64]);
    let at = state.as_mut_ptr().wrapping_add(state.as_ptr().align_offset(16));
    let (inputs, outputs) = ([x.as_ptr()], [y.as_mut_ptr()]);
    // SAFETY: every buffer is as large as the model wants.
    let status = |state: *mut u8| unsafe { (invoke(inputs.as_ptr(), outputs.as_ptr(), std::ptr::null_mut(), state), reset(state)) };
    assert_eq!(status(std::ptr::null_mut()), (1, 1));
    for off in [1, 4, 8] {
        assert_eq!(status(at.wrapping_add(off)), (2, 2));
    }
    assert!(y == [1; 16] && state == [1; 64], "a refused call touches nothing");
    assert_eq!(status(at), (0, 0));
    assert!(y == [8; 16] || y != [1; 16]);
}

/// Long calls in loops are divided among threads as others are.
#[test]
fn calls_in_loops_are_divided() {
    let mut program = parse(
        "program \"wide\"\n\
         b0 = input 0 \"x\" 64000 bytes align 4\n\
         b1 = output 0 \"y\" 64000 bytes align 4\n\
         b2 = state \"h\" 64000 bytes align 16 at 0\n\
         b3 = scratch \"sum\" 64000 bytes align 16\n\
         kernel step(x: read, h: read, sum: write) {\n\
           loop i in 0..4000 {\n\
             v0: f32x4 = load h[i*16]\n\
             v1: f32x4 = load x[i*16]\n\
             v2: f32x4 = add v0, v1\n\
             v3: f32x4 = div v2, v1\n\
             v4: f32x4 = div v3, v1\n\
             store sum[i*16] = v4\n\
           }\n\
         }\n\
         kernel copy(x: read, y: write) {\n\
           loop i in 0..4000 {\n\
             v0: f32x4 = load x[i*16]\n\
             store y[i*16] = v0\n\
           }\n\
         }\n\
         repeat 5 {\n\
           call step(x: b0, h: b2, sum: b3) operator 0\n\
           call copy(x: b3, y: b2) operator 0\n\
         }\n\
         call copy(x: b2, y: b1) operator 1\n",
    )
    .expect("a program");
    let steps = vec![vec![(0..16000).flat_map(|i| (1.5f32 + (i % 100) as f32).to_le_bytes()).collect::<Vec<u8>>()]; 2];
    let outputs = vec![vec![0; 64000]];
    let expected = differential::expected_steps(&program, &steps, &outputs).expect("it runs");
    parallel::divide(&mut program, 2);
    let program = proved(program, false);
    assert!(Line::of(&program.schedule).moments.iter().any(|m| m.at_once && m.turns == 5), "nothing in the loop was divided");
    let file = File { path: "wide".into(), text: String::new(), program: program.clone(), steps, outputs };
    for target in differential::native_levels() {
        let options = Options { profile: true, parallel: true, ..differential::options(&program) };
        let object = object::emit(&[Level { program: &program, target: &target }], &options).expect("an object");
        for entry in [Entry::Invoke, Entry::Parallel, Entry::Profile] {
            let got = differential::native_steps(&object, &program, &file.steps, &file.outputs, entry, End::Last).expect("it runs");
            same(&file, &target.level, &got, &expected);
        }
    }
}
