//! The machine code of the innermost loops of matrix products, per target: how many products one turn has, in how many instructions,
//! and that nothing is kept on the stack there.
//!
//! Not a measurement. The idea: a change of Cranelift, of a schedule or of an emitter that costs half the speed shows here, on every
//! machine, as another number.

use cranelite::facts::Arithmetic;
use cranelite::peaks;
use cranelite_codegen::{Target, object};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::text;
use cranelite_tile::{ByteDot, Machine, arena};

/// A 1 x 1 convolution from 64 to 64 channels over a row of 64 pixels; of bytes as the machine wants them from the operator before.
fn program(float: bool, machine: &Machine) -> String {
    // Weights that are zero would be left out.
    let (zeros, ones) = (|n: usize| "00".repeat(n), |n: usize| "01".repeat(n));
    if float {
        format!(
            "graph \"g\"\ninputs %0\noutputs %3\n%0: f32[1,1,64,64] \"x\"\n%1 = const f32[64,1,1,64] \"w\" 0x{}\n%2 = const f32[64] \"b\" 0x{}\n%3: f32[1,1,64,64] \"y\" = conv_2d %0, %1, %2 {{stride=[1,1], dilation=[1,1], padding=[0,0,0,0], activation=relu}} @0\n",
            ones(4 * 64 * 64),
            zeros(4 * 64)
        )
    } else {
        let x = if machine.has_vectors() && machine.byte_dot == ByteDot::U8S8 {
            "u8[1,1,64,64] q(0.1, 131)"
        } else {
            "i8[1,1,64,64] q(0.1, 3)"
        };
        format!(
            "graph \"g\"\ninputs %0\noutputs %3\n%0: {x} \"x\"\n%1 = const i8[64,1,1,64] q(0.02, 0) \"w\" 0x{}\n%2 = const i32[64] \"b\" 0x{}\n%3: i8[1,1,64,64] q(0.05, -128) \"y\" = conv_2d %0, %1, %2 {{stride=[1,1], dilation=[1,1], padding=[0,0,0,0], activation=relu}} @0\n",
            ones(64 * 64),
            zeros(4 * 64)
        )
    }
}

fn assembly(triple: &str, cpu: &str, float: bool) -> String {
    let target = Target::new(triple, Some(cpu)).expect("a target");
    let graph = text::parse(&program(float, &target.machine)).expect("a graph");
    let mut program = lower(&graph, &target.machine, Goal::Speed).expect("a program");
    arena::plan(&mut program);
    let options = object::Options { prefix: "t".into(), asm: true, ..object::Options::default() };
    object::emit(&[object::Level { program: &program, target: &target }], &options).expect("an object").asm.expect("asked for")
}

/// The stretches of code between labels, or between the target of a jump back and the jump.
fn stretches(asm: &str) -> Vec<Vec<&str>> {
    let mut out = vec![vec![]];
    // Cranelift's text has labels.
    for line in asm.lines() {
        if line.ends_with(':') {
            out.push(vec![]);
        } else {
            out.last_mut().expect("never empty").push(line);
        }
    }
    // The other one has addresses, and jumps name them; a loop without a loop in it has one jump back.
    let address = |l: &str| l.split(':').next().and_then(|a| u64::from_str_radix(a.trim(), 16).ok());
    let jump_back = |l: &str| {
        let is_jump = l.split_whitespace().nth(1).is_some_and(|m| m.starts_with('j') || m.starts_with("b.") || m.starts_with("cb"));
        let to = l.split_whitespace().last().and_then(|t| u64::from_str_radix(t.trim_start_matches("0x").trim_end_matches('h'), 16).ok());
        to.filter(|to| is_jump && address(l).is_some_and(|here| *to < here))
    };
    for function in out.clone() {
        for (i, line) in function.iter().enumerate() {
            let Some(to) = jump_back(line) else { continue };
            let start = function.iter().position(|l| address(l).is_some_and(|a| to <= a)).unwrap_or(0);
            if function[start..i].iter().all(|l| jump_back(l).is_none()) {
                out.push(function[start..=i].to_vec());
            }
        }
    }
    let is_wide = |s: &Vec<&str>| s.first().is_some_and(|l| address(l).is_some());
    out.retain(|s| !is_wide(s) || s.last().is_some_and(|l| jump_back(l).is_some()));
    out
}

/// The most products in one stretch, its length, and its lines that touch the stack.
fn inner_loop(asm: &str, mnemonic: &str) -> (usize, usize, Vec<String>) {
    let count = |s: &Vec<&str>| s.iter().filter(|l| l.contains(mnemonic)).count();
    let all = stretches(asm);
    let Some(best) = all.iter().max_by_key(|s| count(s)) else { return (0, 0, vec![]) };
    let stack = best.iter().filter(|l| l.contains("rsp") || l.contains("[sp") || l.contains("(sp")).map(|l| l.trim().to_string()).collect();
    (count(best), best.len(), stack)
}

const X86: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";

#[rustfmt::skip] // A table.
const LOOPS: &[(&str, &str, bool, &str, usize, usize)] = &[
    (X86, "x86-64", true, "mulps", 9, 38),
    (X86, "x86-64", false, "pmaddwd", 32, 123),
    (X86, "x86-64-v3+prefer128", true, "vfmadd", 22, 51),
    (X86, "x86-64-v3+avxvnni+prefer128", false, "vpdpbusd", 16, 37),
    (X86, "x86-64-v4+avx512vnni+prefer128", false, "vpdpbusd", 16, 37),
    (X86, "x86-64-v3", true, "vfmadd", 12, 25),
    (X86, "x86-64-v3", false, "vpmaddwd", 12, 43),
    (X86, "x86-64-v3+avxvnni", false, "vpdpbusd", 12, 25),
    (X86, "x86-64-v4", true, "vfmadd", 26, 46),
    (X86, "x86-64-v4+avx512vnni", false, "vpdpbusd", 26, 46),
    (ARM, "generic", true, "fmla", 84, 108),
    (ARM, "generic", false, "smull", 16, 72),
    (ARM, "generic+dotprod", false, "sdot", 42, 60),
    (ARM, "generic+i8mm", false, "smmla", 48, 81),
    (ARM, "neoverse-v1", false, "smmla", 48, 81),
];

/// What measures a machine's peak must not wait for the stack.
#[test]
fn peaks_stay_in_registers() {
    let mut wrong = vec![];
    for &(triple, cpu, ..) in LOOPS {
        let target = Target::new(triple, Some(cpu)).expect("a target");
        for arithmetic in Arithmetic::ALL {
            let (program, _) = peaks::products(&target.machine, arithmetic);
            let options = object::Options { prefix: "t".into(), asm: true, ..object::Options::default() };
            let level = object::Level { program: &program, target: &target };
            let asm = object::emit(&[level], &options).expect("an object").asm.expect("asked for");
            let mnemonics = ["vfmadd", "mulps", "pmaddwd", "vpdpbusd", "vpdpwssd", "fmla", "smull", "sdot", "smmla"];
            let loops = mnemonics.map(|m| inner_loop(&asm, m));
            let (products, lines, stack) = loops.into_iter().max_by_key(|l| l.0).expect("there are mnemonics");
            assert!(9 <= products, "{cpu} {}: {products}", arithmetic.name());
            if !stack.is_empty() {
                wrong.push(format!("{cpu} {}: {products} products in {lines} instructions; on the stack: {stack:?}", arithmetic.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn products_per_turn_and_no_stack() {
    let mut wrong = vec![];
    for &(triple, cpu, float, mnemonic, products, length) in LOOPS {
        let (found, lines, stack) = inner_loop(&assembly(triple, cpu, float), mnemonic);
        if (found, lines) != (products, length) || !stack.is_empty() {
            let expected = format!("{products} in {length}");
            wrong.push(format!("{triple} {cpu}: {found} {mnemonic} in {lines} instructions, expected {expected}; on the stack: {stack:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
