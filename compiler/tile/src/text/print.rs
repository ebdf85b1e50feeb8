//! Program to text: buffers and calls; kernels are in `print_kernel.rs`.
//!
//! The idea: print whatever is there, also of a program that the verifier refuses, so that its errors can be understood.

use super::names::{is_word, name, quoted};
use super::print_kernel::print_kernel;
use crate::program::*;
use std::fmt::Write;

/// The whole program, to be parsed again.
pub fn print(program: &Program) -> String {
    text(program, usize::MAX)
}

/// For reading: long constants are given by size and hash only, which does not parse.
pub fn display(program: &Program) -> String {
    text(program, 32)
}

fn text(program: &Program, data_limit_bytes: usize) -> String {
    let mut out = format!("program {}\n", quoted(&program.name));
    if !program.buffers.is_empty() {
        out.push('\n');
    }
    for (i, b) in program.buffers.iter().enumerate() {
        let _ = writeln!(out, "b{i} = {}", buffer(b, data_limit_bytes));
    }
    for k in &program.kernels {
        out.push('\n');
        out.push_str(&print_kernel(k));
    }
    if !program.schedule.is_empty() {
        out.push('\n');
    }
    steps(&mut out, program, &program.schedule, 0);
    out
}

fn steps(out: &mut String, program: &Program, list: &[Step], depth: usize) {
    let indent = "  ".repeat(depth);
    for step in list {
        let mut line = |text: String| {
            let _ = writeln!(out, "{indent}{text}");
        };
        match step {
            Step::Call(c) => line(call(program, c)),
            Step::Parallel(calls) => {
                line("parallel {".into());
                calls.iter().for_each(|c| line(format!("  {}", call(program, c))));
                line("}".into());
            }
            Step::Check(b) => line(format!("check b{}", b.0)),
            Step::Repeat { count, body } => {
                line(format!("repeat {count} {{"));
                steps(out, program, body, depth + 1);
                let _ = writeln!(out, "{indent}}}");
            }
            Step::If { condition: b, then: first, otherwise: second } | Step::While { condition: b, test: first, body: second } => {
                let (word, between) = if let Step::If { .. } = step { ("if", "else") } else { ("while", "do") };
                line(format!("{word} b{} {{", b.0));
                steps(out, program, first, depth + 1);
                let _ = writeln!(out, "{indent}}} {between} {{");
                steps(out, program, second, depth + 1);
                let _ = writeln!(out, "{indent}}}");
            }
        }
    }
}

fn buffer(b: &Buffer, data_limit_bytes: usize) -> String {
    let role = match b.role {
        Role::Input(i) => format!("input {i}"),
        Role::Output(i) => format!("output {i}"),
        Role::Const => "const".into(),
        Role::Scratch => "scratch".into(),
        Role::State => "state".into(),
    };
    let mut out = format!("{role} {} {} bytes align {}", quoted(&b.name), b.size_bytes, b.align);
    if let Some(v) = b.view {
        let _ = write!(out, " view of b{} + {}", v.parent.0, v.offset_bytes);
    }
    if let Some(at) = b.offset_bytes {
        let _ = write!(out, " at {at}");
    }
    if let Some(data) = &b.data {
        out.push(' ');
        out.push_str(&bytes(data, data_limit_bytes));
    }
    out
}

fn bytes(data: &[u8], limit_bytes: usize) -> String {
    if let [first, _, ..] = data
        && data.iter().all(|b| b == first)
    {
        return format!("0x{first:02x} x{}", data.len());
    }
    if limit_bytes < data.len() {
        return format!("(hash {:016x})", hash(data));
    }
    let mut out = String::with_capacity(2 + 2 * data.len());
    out.push_str("0x");
    for byte in data {
        for half in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(half), 16).unwrap_or('?'));
        }
    }
    out
}

/// FNV-1a of 64 bits: stable over hosts and versions, good enough to see that constants differ.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn call(program: &Program, c: &Call) -> String {
    let kernel = program.kernels.get(c.kernel.0 as usize);
    let empty: (&[KernelArg], &[String]) = (&[], &[]);
    let (args, params) = kernel.map_or(empty, |k| (&k.args, &k.params));
    let mut out = format!("call {}(", kernel_name(program, c.kernel));
    for (i, b) in c.buffers.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        if let Some(a) = args.get(i) {
            let _ = write!(out, "{}: ", name(&a.name));
        }
        let _ = write!(out, "b{}", b.0);
    }
    for (i, v) in c.params.iter().enumerate() {
        out.push_str(if i == 0 { "; " } else { ", " });
        if let Some(p) = params.get(i) {
            let _ = write!(out, "{}: ", name(p));
        }
        let _ = write!(out, "{v}");
        if let Some(advance) = c.advance.get(i).filter(|a| **a != 0) {
            let _ = write!(out, " + {advance} turn");
        }
    }
    out.push(')');
    if let Some(operator) = c.operator {
        let _ = write!(out, " operator {operator}");
    }
    out
}

fn kernel_name(program: &Program, id: KernelId) -> String {
    let Some(k) = program.kernels.get(id.0 as usize) else {
        return format!("?.{}", id.0);
    };
    let unique = program.kernels.iter().filter(|other| other.name == k.name).count() == 1;
    if unique && is_word(&k.name) { k.name.clone() } else { format!("{}.{}", name(&k.name), id.0) }
}
