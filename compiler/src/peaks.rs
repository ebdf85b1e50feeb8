//! What this machine can do at most, measured: products per second, bytes read per second, clock.
//!
//! Not a model of a CPU and no list of CPUs: kernels like those of a model, compiled and loaded on the same path, that do one thing only.
//! The idea: a short burst at a time, so that bursts can take turns with what is compared with them; the clock of a machine is not constant.

use crate::diagnostic::internal;
use crate::facts::Arithmetic;
use crate::instance::{Block, check_status};
use cranelite_codegen::loader::Loaded;
use cranelite_codegen::object::{self, model};
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_tile::{Binary, Buffer, BufferId, ByteDot, Call, Elem, Kernel, KernelBuilder, KernelId, Machine, Program, Role, Step};
use std::time::Instant;

/// A kernel that does so much of one thing.
pub struct Probe {
    loaded: Loaded,
    targets: [Target; 1],
    input: Block,
    output: Block,
    arena: Block,
    /// Per call: operations, bytes or cycles.
    work: f64,
}

/// Products of each sum: some 25 µs.
const DEPTH: usize = 8192;
const OUTPUT_BYTES: usize = 64;
/// As a float, a short and a byte this is a number that stays one however often it is multiplied and added.
const BYTE: u8 = 0x3c;
const NAME: &str = "peak";
/// As the descriptor numbers types.
const INT8: u32 = 9;

impl Probe {
    /// Multiply-accumulates of independent sums in registers, each counted as two operations.
    pub fn of_products(target: &Target, arithmetic: Arithmetic) -> Result<Probe, Diagnostic> {
        let (program, operations) = products(&target.machine, arithmetic);
        Probe::new(target, &program, operations as f64)
    }

    /// Reading so many bytes again and again.
    pub fn of_reading(target: &Target, size_bytes: usize) -> Result<Probe, Diagnostic> {
        let repeats = ((1 << 20) / size_bytes).max(1);
        let (kernel, read_bytes) = reading(&target.machine, size_bytes, repeats);
        Probe::new(target, &program(kernel, size_bytes), read_bytes as f64)
    }

    /// Cycles: each of these additions waits for the one before it.
    pub fn of_clock(target: &Target) -> Result<Probe, Diagnostic> {
        let (kernel, additions) = additions();
        Probe::new(target, &program(kernel, 64), additions as f64)
    }

    fn new(target: &Target, program: &Program, work: f64) -> Result<Probe, Diagnostic> {
        cranelite_tile::verify::verify(program).map_err(|e| internal("the program is not proved", &e[0]))?;
        let tensor = |size_bytes: usize| model::Tensor { ty: INT8, size_bytes: size_bytes as u64, ..model::Tensor::default() };
        let input_bytes = program.buffers[0].size_bytes as usize;
        let options = object::Options {
            prefix: NAME.into(),
            inputs: vec![tensor(input_bytes)],
            outputs: vec![tensor(OUTPUT_BYTES)],
            ..object::Options::default()
        };
        let level = object::Level { program, target };
        let object = object::emit(&[level], &options).map_err(|e| internal("there is no machine code for the program", e))?;
        let loaded = Loaded::load(&object.bytes).map_err(|e| internal("the object does not load", e))?;
        let (mut input, output) = (Block::new(input_bytes, 64)?, Block::new(OUTPUT_BYTES, 64)?);
        input.bytes_mut().fill(BYTE);
        let arena = Block::new(object.arena_bytes as usize, object.arena_align as usize)?;
        let mut probe = Probe { loaded, targets: [target.clone()], input, output, arena, work };
        // The first call finds out what CPU this is.
        probe.burst()?;
        Ok(probe)
    }

    /// One call: work per second.
    pub fn burst(&mut self) -> Result<f64, Diagnostic> {
        let model = self.loaded.model(NAME).ok_or_else(|| internal("the object does not describe itself", NAME))?;
        let (inputs, mut outputs) = ([self.input.bytes()], [self.output.bytes_mut()]);
        let mut bound = model.bind(&inputs, &mut outputs, self.arena.bytes_mut());
        let start = Instant::now();
        let status = bound.invoke();
        let seconds = start.elapsed().as_secs_f64();
        check_status(&self.targets, status)?;
        Ok(self.work / seconds)
    }
}

fn program(mut kernel: Kernel, input_bytes: usize) -> Program {
    let buffer = |name: &str, role, size_bytes: usize| Buffer {
        name: name.into(),
        role,
        size_bytes: size_bytes as u64,
        align: 1,
        data: None,
        view: None,
        offset_bytes: None,
    };
    kernel.name = NAME.into();
    Program {
        name: NAME.into(),
        buffers: vec![buffer("x", Role::Input(0), input_bytes), buffer("y", Role::Output(0), OUTPUT_BYTES)],
        kernels: vec![kernel],
        schedule: vec![Step::Call(Call {
            kernel: KernelId(0),
            buffers: vec![BufferId(0), BufferId(1)],
            params: vec![],
            advance: vec![],
            operator: None,
        })],
    }
}

/// Independent sums of products in registers, and the number of operations. One operand comes from memory in every turn, or the
/// products would be moved out of the loop.
pub fn products(m: &Machine, arithmetic: Arithmetic) -> (Program, u64) {
    let lanes = m.lanes(Elem::F32);
    if arithmetic == Arithmetic::I8 && m.byte_dot == ByteDot::S8S8Pairs {
        return pairs(lanes);
    }
    // No less than the latency of a product times the products that begin in a cycle; some registers remain.
    let sums = m.vector_registers as usize - 6;
    // Twice as many products as a group of four has for each lane.
    let are_matrices = arithmetic == Arithmetic::I8 && m.tile_matrix.is_some();
    let (accumulator, group, a, b) = match (arithmetic, m.byte_dot) {
        (Arithmetic::F32, _) => (Elem::F32, 1, Elem::F32, Elem::F32),
        (Arithmetic::I8, ByteDot::U8S8) => (Elem::I32, 4, Elem::U8, Elem::I8),
        (Arithmetic::I8, ByteDot::S8S8 | ByteDot::S8S8Pairs | ByteDot::Runs { .. }) => (Elem::I32, 4, Elem::I8, Elem::I8),
        (Arithmetic::I8, ByteDot::S16S16) | (Arithmetic::I16, _) => (Elem::I32, 2, Elem::I16, Elem::I16),
    };
    let mut k = KernelBuilder::new(NAME);
    let (x, y) = (k.read("x"), k.write("y"));
    // Where a product and its sum are one instruction, two of them in a turn hide more of the loop; else emitters would want the stack.
    let steps = match arithmetic {
        Arithmetic::F32 if m.fma => 2,
        Arithmetic::I8 | Arithmetic::I16 if m.byte_dot != ByteDot::S16S16 => 2,
        _ => 1,
    };
    let zero = match arithmetic {
        Arithmetic::F32 => k.float(accumulator.x(lanes), 0.0),
        _ => k.int(accumulator.x(lanes), 0),
    };
    let fixed = k.load(b.x(lanes * group), x.at(0));
    let sums = k.repeat("n", DEPTH, steps as i64, &vec![zero; sums], |k, n, sums| {
        let mut sums = sums.to_vec();
        for step in 0..steps {
            let varying = k.load(a.x(lanes * group), x.at(n + step));
            for sum in &mut sums {
                *sum = match arithmetic {
                    Arithmetic::F32 if m.fma => k.fma(varying, fixed, *sum),
                    Arithmetic::F32 => {
                        let product = k.mul(varying, fixed);
                        k.add(product, *sum)
                    }
                    _ if are_matrices => k.dot_matrix(*sum, varying, fixed),
                    _ => k.dot(group, *sum, varying, fixed),
                };
            }
        }
        sums
    });
    let of_lane = if are_matrices { 2 * group } else { group };
    let operations = 2 * (DEPTH * sums.len() * lanes * of_lane) as u64;
    let total = sums.into_iter().reduce(|a, b| k.add(a, b)).expect("there are sums");
    k.store(y.at(0), total);
    (program(k.finish(), DEPTH + 64), operations)
}

/// Products of bytes of which two have a sum of 16 bits before that is added to one of 32: a square of sums, since no two may have the same products.
fn pairs(lanes: usize) -> (Program, u64) {
    const SIDE: usize = 4;
    let mut k = KernelBuilder::new(NAME);
    let (x, y) = (k.read("x"), k.write("y"));
    let (zero, one_each) = (k.int(Elem::I32.x(lanes), 0), k.int(Elem::I16.x(2 * lanes), 1));
    let sums = k.repeat("n", DEPTH, 1, &[zero; SIDE * SIDE], |k, n, sums| {
        let operands = |k: &mut KernelBuilder, at: usize| {
            [at, at + 1].map(|i| {
                let bytes = k.load(Elem::I8.x(2 * lanes), x.at(n + i * 2 * lanes));
                k.widen(bytes, Elem::I16)
            })
        };
        let rows: Vec<_> = (0..SIDE).map(|row| operands(k, 2 * row)).collect();
        let mut sums = sums.to_vec();
        for column in 0..SIDE {
            let column_operands = operands(k, 2 * (SIDE + column));
            for (row, sum) in rows.iter().zip(sums.iter_mut().skip(column * SIDE)) {
                let products = [0, 1].map(|i| k.mul(row[i], column_operands[i]));
                let both = k.add(products[0], products[1]);
                *sum = k.dot(2, *sum, both, one_each);
            }
        }
        sums
    });
    let operations = 2 * (DEPTH * sums.len() * lanes * 4) as u64;
    let total = sums.into_iter().reduce(|a, b| k.add(a, b)).expect("there are sums");
    k.store(y.at(0), total);
    (program(k.finish(), DEPTH + 4 * SIDE * 2 * lanes), operations)
}

/// The kernel, and the bytes that it reads.
fn reading(m: &Machine, size_bytes: usize, repeats: usize) -> (Kernel, u64) {
    let lanes = m.lanes(Elem::I32);
    let (ty, sums, vectors) = (Elem::I32.x(lanes), 8, 16);
    let step = 4 * lanes * vectors;
    let size_bytes = size_bytes / step * step;
    let mut k = KernelBuilder::new(NAME);
    let (x, y) = (k.read("x"), k.write("y"));
    let zeros = vec![k.int(ty, 0); sums];
    let all = k.repeat("again", repeats as i64, 1, &zeros, |k, _, all| {
        k.repeat("at", size_bytes as i64, step as i64, all, |k, at, all| {
            let mut all = all.to_vec();
            for i in 0..vectors {
                let loaded = k.load(ty, x.at(at + i * 4 * lanes));
                all[i % sums] = k.binary(Binary::Or, all[i % sums], loaded);
            }
            all
        })
    });
    let total = all.into_iter().reduce(|a, b| k.binary(Binary::Or, a, b)).expect("there are sums");
    k.store(y.at(0), total);
    (k.finish(), (size_bytes * repeats) as u64)
}

/// The kernel, and how many additions wait for each other.
fn additions() -> (Kernel, u64) {
    let mut k = KernelBuilder::new(NAME);
    let (x, y) = (k.read("x"), k.write("y"));
    let one = k.load(Elem::I32.x(1), x.at(0));
    let (turns, per_turn) = (1024, 64);
    let sum = k.repeat("n", turns, 1, &[one], |k, _, sum| vec![(0..per_turn).fold(sum[0], |sum, _| k.add(sum, one))]);
    k.store(y.at(0), sum[0]);
    (k.finish(), (turns * per_turn) as u64)
}
