//! Models of any number of operators, tensors or outputs, and what compiling one takes: time, memory and stack must grow no faster than the file.
//!
//! Not a test of numbers. The ideas: each shape strains another part of the compiler; a process compiles one model, on a stack that is far smaller
//! than usual, and tells by itself what it has taken.

use crate::maker::{Activation, Code, Element, Maker, Padding, per_tensor};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Where a process that is `cranelite` writes what it has taken.
const USED: &str = "CRANELITE_TESTS_USED";
pub const STACK_KIB: u32 = 256;

/// A name, what there are many of, and how such a file is made.
pub struct Shape {
    pub name: &'static str,
    pub about: &'static str,
    pub make: fn(usize) -> Vec<u8>,
    /// An item takes a millisecond or so, as code or data of its own does.
    pub is_slow: bool,
}

#[rustfmt::skip] // A table.
pub const SHAPES: &[Shape] = &[
    Shape { name: "relus", about: "RELU after RELU", make: relus, is_slow: false },
    Shape { name: "adds", about: "ADD of the last two results", make: adds, is_slow: false },
    Shape { name: "fan_out", about: "RELU of one input, each an output", make: fan_out, is_slow: false },
    Shape { name: "inputs", about: "inputs, added one after the other", make: inputs, is_slow: false },
    Shape { name: "constants", about: "constants, added one after the other", make: constants, is_slow: false },
    Shape { name: "unused", about: "tensors that nobody uses", make: unused, is_slow: false },
    Shape { name: "convolutions", about: "CONV_2D after CONV_2D, each with weights of its own and a RELU", make: convolutions, is_slow: true },
    Shape { name: "sums", about: "CONV_2D, to which its own input is added", make: sums, is_slow: true },
    Shape { name: "one_sum", about: "constants, added to one CONV_2D", make: one_sum, is_slow: false },
    Shape { name: "stride", about: "RELU before a CONV_2D with a stride", make: stride, is_slow: false },
    Shape { name: "strides", about: "CONV_2D, each before one with a stride", make: strides, is_slow: true },
    Shape { name: "strided", about: "1 x 1 CONV_2D before one with a stride", make: strided, is_slow: true },
    Shape { name: "pads", about: "PAD of PAD, before a CONV_2D as wide as that", make: pads, is_slow: false },
    Shape { name: "nested", about: "results that live until ADD takes them, the last first", make: nested, is_slow: false },
    Shape { name: "joined", about: "results that a few CONCATENATIONs join", make: joined, is_slow: false },
    Shape { name: "reshapes", about: "RESHAPE of one tensor, and a RELU of each", make: reshapes, is_slow: false },
    Shape { name: "round_trips", about: "DEQUANTIZE and QUANTIZE", make: round_trips, is_slow: false },
    Shape { name: "variables", about: "variables, each assigned, read and added", make: variables, is_slow: false },
    Shape { name: "kernels", about: "CONCATENATION, each of other sizes", make: kernels, is_slow: true },
    SPARSE,
];

/// Lists of weights for many rows, and permuted activations for one where the target has permutations.
pub const SPARSE: Shape = Shape {
    name: "sparse",
    about: "eight weights that are not zero among 64, in FULLY_CONNECTED of 64 rows and of one",
    make: sparse,
    is_slow: false,
};

fn relus(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let y = chain(&mut m, n, x, |m, x, i| relu(m, x, &[4], i));
    m.finish(&[x], &[y])
}

fn adds(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let mut before = x;
    let y = chain(&mut m, n, x, |m, y, i| {
        let sum = add(m, [before, y], &[4], i);
        before = y;
        sum
    });
    m.finish(&[x], &[y])
}

fn fan_out(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let outputs: Vec<i32> = (0..n).map(|i| relu(&mut m, x, &[4], i)).collect();
    m.finish(&[x], &outputs)
}

fn inputs(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x: Vec<i32> = (0..=n).map(|i| m.f32(&format!("x{i}"), &[4], None)).collect();
    let y = chain(&mut m, n, x[0], |m, y, i| add(m, [y, x[i + 1]], &[4], i));
    m.finish(&x, &[y])
}

fn constants(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let y = chain(&mut m, n, x, |m, y, i| {
        let c = m.f32(&format!("c{i}"), &[4], Some(&[i as f32, 1.0, 2.0, 3.0]));
        add(m, [y, c], &[4], i)
    });
    m.finish(&[x], &[y])
}

fn unused(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    for i in 0..n {
        m.f32(&format!("unused{i}"), &[4], None);
    }
    let y = relu(&mut m, x, &[4], 0);
    m.finish(&[x], &[y])
}

const IMAGE: [i32; 4] = [1, 4, 4, 4];

fn convolutions(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = i8s(&mut m, "x", &IMAGE);
    let y = chain(&mut m, n, x, |m, x, i| {
        let y = conv(m, x, &IMAGE, 1, i);
        let z = i8s(m, &format!("z{i}"), &IMAGE);
        m.operator(Code::RELU, &[y], &[z], None);
        z
    });
    m.finish(&[x], &[y])
}

fn sums(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = i8s(&mut m, "x", &IMAGE);
    let y = chain(&mut m, n, x, |m, x, i| {
        let y = conv(m, x, &IMAGE, 1, i);
        let z = i8s(m, &format!("z{i}"), &IMAGE);
        m.operator(Code::ADD, &[y, x], &[z], None);
        z
    });
    m.finish(&[x], &[y])
}

fn one_sum(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &IMAGE, None);
    let y = conv_f32(&mut m, x, &IMAGE, 1, 0);
    let y = chain(&mut m, n, y, |m, y, i| {
        let c = m.f32(&format!("c{i}"), &IMAGE, Some(&[i as f32; 64]));
        add(m, [y, c], &IMAGE, i)
    });
    m.finish(&[x], &[y])
}

fn stride(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &IMAGE, None);
    let y = conv_f32(&mut m, x, &IMAGE, 1, 0);
    let y = chain(&mut m, n, y, |m, x, i| relu(m, x, &IMAGE, i));
    let z = conv_f32(&mut m, y, &[1, 2, 2, 4], 2, 1);
    m.finish(&[x], &[z])
}

fn strides(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &IMAGE, None);
    let small = m.f32("small", &[1, 2, 2, 4], None);
    let y = chain(&mut m, n, small, |m, y, i| {
        let a = conv_f32(m, x, &IMAGE, 1, 2 * i);
        let b = conv_f32(m, a, &[1, 2, 2, 4], 2, 2 * i + 1);
        add(m, [b, y], &[1, 2, 2, 4], i)
    });
    m.finish(&[x, small], &[y])
}

fn strided(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &IMAGE, None);
    let y = chain(&mut m, n, x, |m, x, i| conv_f32(m, x, &IMAGE, 1, i));
    let z = conv_f32(&mut m, y, &[1, 2, 2, 4], 2, n);
    m.finish(&[x], &[z])
}

fn pads(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[1, 1, 4, 1], None);
    let by = m.i32("by", &[4, 2], None, &[0, 0, 0, 0, 1, 0, 0, 0]);
    let mut width = 4;
    let y = chain(&mut m, n, x, |m, x, i| {
        width += 1;
        let y = m.f32(&format!("y{i}"), &[1, 1, width, 1], None);
        m.operator(Code::PAD, &[x, by], &[y], None);
        y
    });
    let w = m.f32("w", &[16, 1, n as i32 + 1, 1], Some(&vec![0.5; 16 * (n + 1)]));
    let bias = m.f32("bias", &[16], Some(&[1.0; 16]));
    let z = m.f32("z", &[1, 1, 4, 16], None);
    m.conv_2d(&[y, w, bias], z, Padding::VALID, 1, Activation::NONE);
    m.finish(&[x], &[z])
}

fn nested(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let mut all: Vec<i32> = (0..n).map(|i| relu(&mut m, x, &[4], i)).collect();
    let y = chain(&mut m, n, x, |m, y, i| add(m, [y, all.pop().expect("one for each")], &[4], n + i));
    m.finish(&[x], &[y])
}

fn joined(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let all: Vec<i32> = (0..n).map(|i| relu(&mut m, x, &[4], i)).collect();
    // As many as an operator can have.
    let join = |some: &[i32]| {
        let y = m.f32("y", &[4 * some.len() as i32], None);
        m.concatenation(some, y);
        y
    };
    let outputs: Vec<i32> = all.chunks(1024).map(join).collect();
    m.finish(&[x], &outputs)
}

fn reshapes(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let y = relu(&mut m, x, &[4], n);
    let shape = m.i32("shape", &[2], None, &[2, 2]);
    let reshaped = |m: &mut Maker, i: usize| {
        let z = m.f32(&format!("z{i}"), &[2, 2], None);
        m.operator(Code::RESHAPE, &[y, shape], &[z], None);
        relu(m, z, &[2, 2], i)
    };
    let all: Vec<i32> = (0..n).map(|i| reshaped(&mut m, i)).collect();
    m.finish(&[x], &all)
}

fn round_trips(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = i8s(&mut m, "x", &[4]);
    let y = chain(&mut m, n, x, |m, x, i| {
        let (f, q) = (m.f32(&format!("f{i}"), &[4], None), i8s(m, &format!("q{i}"), &[4]));
        m.operator(Code::DEQUANTIZE, &[x], &[f], None);
        m.operator(Code::QUANTIZE, &[f], &[q], None);
        q
    });
    let real = m.f32("real", &[4], None);
    m.operator(Code::DEQUANTIZE, &[y], &[real], None);
    m.finish(&[x], &[real])
}

fn variables(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.f32("x", &[4], None);
    let handles: Vec<i32> = (0..n).map(|i| m.variable(&format!("v{i}"))).collect();
    let y = chain(&mut m, n, x, |m, y, i| {
        m.operator(Code::ASSIGN_VARIABLE, &[handles[i], y], &[], None);
        let kept = m.f32(&format!("kept{i}"), &[4], None);
        m.operator(Code::READ_VARIABLE, &[handles[i]], &[kept], None);
        add(m, [kept, x], &[4], i)
    });
    m.finish(&[x], &[y])
}

fn kernels(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let x: Vec<i32> = (0..100).map(|i| m.f32(&format!("x{i}"), &[2, i + 1], None)).collect();
    let pair = |m: &mut Maker, i: usize| {
        let (a, b) = (i % 100, i / 100 % 100);
        let y = m.f32(&format!("y{i}"), &[2, (a + b + 2) as i32], None);
        m.concatenation(&[x[a], x[b]], y);
        y
    };
    let all: Vec<i32> = (0..n).map(|i| pair(&mut m, i)).collect();
    m.finish(&x, &all)
}

fn sparse(n: usize) -> Vec<u8> {
    let mut m = Maker::default();
    let side = (64 * n).isqrt().next_multiple_of(8);
    let shape = [side as i32; 2];
    let mut weights = vec![0.0; side * side];
    // One in each eight, in another place.
    (0..8 * n).for_each(|i| weights[8 * i + i * i % 7] = i as f32 - 0.5);
    let w = m.f32("w", &shape, Some(&weights));
    let bias = m.f32("bias", &shape[1..], Some(&vec![1.0; side]));
    let results = [64, 1].map(|rows| {
        let [x, y] = ["x", "y"].map(|name| m.f32(name, &[rows, shape[0]], None));
        m.fully_connected(&[x, w, bias], y, Activation::NONE);
        [x, y]
    });
    m.finish(&results.map(|r| r[0]), &results.map(|r| r[1]))
}

fn chain(m: &mut Maker, n: usize, first: i32, mut next: impl FnMut(&mut Maker, i32, usize) -> i32) -> i32 {
    (0..n).fold(first, |x, i| next(m, x, i))
}

fn relu(m: &mut Maker, x: i32, shape: &[i32], i: usize) -> i32 {
    let y = m.f32(&format!("relu{i}"), shape, None);
    m.operator(Code::RELU, &[x], &[y], None);
    y
}

fn add(m: &mut Maker, x: [i32; 2], shape: &[i32], i: usize) -> i32 {
    let y = m.f32(&format!("sum{i}"), shape, None);
    m.operator(Code::ADD, &x, &[y], None);
    y
}

fn i8s(m: &mut Maker, name: &str, shape: &[i32]) -> i32 {
    m.tensor(name, Element::INT8, shape, Some(per_tensor(0.05, 3)), None)
}

/// 1 x 1, from four channels to four.
fn conv(m: &mut Maker, x: i32, result: &[i32], stride: i32, i: usize) -> i32 {
    let own: Vec<i8> = (0..16).map(|k| (i / 50usize.pow(k / 4) % 50) as i8 + k as i8).collect();
    let w = m.i8(&format!("w{i}"), &[4, 1, 1, 4], per_tensor(0.01, 0), Some(&own));
    let bias = m.i32(&format!("b{i}"), &[4], Some(per_tensor(0.0005, 0)), &[i as i32, 1, -2, 3]);
    let y = i8s(m, &format!("conv{i}"), result);
    m.conv_2d(&[x, w, bias], y, Padding::VALID, stride, Activation::NONE);
    y
}

fn conv_f32(m: &mut Maker, x: i32, result: &[i32], stride: i32, i: usize) -> i32 {
    let w = m.f32(&format!("w{i}"), &[4, 1, 1, 4], Some(&[i as f32; 16]));
    let bias = m.f32(&format!("b{i}"), &[4], Some(&[i as f32; 4]));
    let y = m.f32(&format!("conv{i}"), result, None);
    m.conv_2d(&[x, w, bias], y, Padding::VALID, stride, Activation::NONE);
    y
}

/// What a process has taken.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Of all its threads.
    pub cpu_time: Duration,
    pub memory_bytes: u64,
}

/// Is `cranelite` if that is what a process of this program was started for.
pub fn as_cranelite() -> Option<ExitCode> {
    let file = std::env::var_os(USED)?;
    let code = cranelite::cli::main();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    let used = format!("{} {}", cpu_time().as_micros(), peak.unwrap_or(0) << 10);
    std::fs::write(file, used).expect("a file for what was used");
    Some(code)
}

fn cpu_time() -> Duration {
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, 1000 * t.tv_usec as u32);
    // SAFETY: plain numbers, which the call overwrites.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Runs a process of this very program as `cranelite` with a small stack. It must succeed.
pub fn run(arguments: &[&str], folder: &Path) -> Result<Used> {
    let file = folder.join("used");
    let script = format!("ulimit -s {STACK_KIB} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(std::env::current_exe()?).args(arguments).current_dir(folder).env(USED, &file);
    let out = command.output()?;
    let stderr = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{arguments:?}: {}\n{}", out.status, &stderr[..stderr.floor_char_boundary(2000)]);
    let text = std::fs::read_to_string(file)?;
    let (micros, bytes) = text.split_once(' ').context("two numbers")?;
    Ok(Used { cpu_time: Duration::from_micros(micros.parse()?), memory_bytes: bytes.parse()? })
}

/// What a process may take at most for a file.
pub fn memory_limit_bytes(file_bytes: u64) -> u64 {
    (64 << 20) + 20 * file_bytes
}
