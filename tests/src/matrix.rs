//! Many kernels in one program, against the interpreter, on every machine there is.
//!
//! One program, because linking and starting an emulator costs far more than a kernel.

use crate::cross::Machine;
use crate::differential::{self, Case};
use cranelite_codegen::{Target, neon};
use cranelite_tile::*;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Blocks of lanes per case.
const BLOCKS: usize = 24;

/// A small generator of numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let x = self.0 ^ self.0 >> 33;
        x.wrapping_mul(0xff51afd7ed558ccd) ^ x >> 29
    }

    /// A number of that type, often a special one.
    pub fn lane(&mut self, elem: Elem) -> Vec<u8> {
        let pick = self.number();
        let bits = match elem {
            Elem::F32 => match pick % 4 {
                0 => {
                    let special = [
                        0f32,
                        -0.0,
                        1.0,
                        -1.0,
                        0.5,
                        -0.5,
                        1.5,
                        2.5,
                        -2.5,
                        f32::INFINITY,
                        f32::NEG_INFINITY,
                        f32::NAN,
                        f32::MIN_POSITIVE,
                        1e-40,
                        -1e-40,
                        f32::MAX,
                        8388607.5,
                        8388608.0,
                        -8388609.0,
                        2147483647.0,
                        -2147483648.0,
                        4294967295.0,
                        127.5,
                        -128.5,
                        255.5,
                        32767.5,
                    ];
                    u64::from(special[self.number() as usize % special.len()].to_bits())
                }
                1 => u64::from((self.number() as i16 as f32 / 64.0).to_bits()),
                2 => u64::from((self.number() as i32 as f32 * 1.5).to_bits()),
                _ => self.number() & 0xffff_ffff,
            },
            Elem::F64 => match pick % 4 {
                0 => {
                    let special = [
                        0f64,
                        -0.0,
                        1.0,
                        -1.0,
                        0.5,
                        -0.5,
                        1.5,
                        2.5,
                        -2.5,
                        f64::INFINITY,
                        f64::NEG_INFINITY,
                        f64::NAN,
                        f64::MIN_POSITIVE,
                        5e-324,
                        f64::MAX,
                        4503599627370495.5,
                        4503599627370496.0,
                        2147483647.5,
                        -2147483648.5,
                        9.3e18,
                        -9.3e18,
                        4294967295.5,
                    ];
                    special[self.number() as usize % special.len()].to_bits()
                }
                1 => (self.number() as i16 as f64 / 64.0).to_bits(),
                2 => (self.number() as i32 as f64 * 1.5).to_bits(),
                _ => self.number(),
            },
            _ => match pick % 4 {
                0 => {
                    let (low, high) = elem.int_range();
                    let special = [low, high, 0, 1, -1, low + 1, high - 1, high / 2, low / 2, 2, 3, 7, 127, 128, 255, -128];
                    special[self.number() as usize % special.len()] as u64
                }
                1 => (self.number() % 41).wrapping_sub(20),
                _ => self.number() >> (self.number() % 48),
            },
        };
        bits.to_le_bytes()[..elem.bytes() as usize].to_vec()
    }
}

/// Builds one program of many kernels, each with buffers of its own, and compares all machines on it.
pub struct Matrix {
    case: Case,
    names: Vec<String>,
    random: Random,
}

impl Default for Matrix {
    fn default() -> Matrix {
        let case =
            Case { program: Program { name: "operations".into(), ..Program::default() }, inputs: vec![], outputs: vec![], elems: vec![] };
        Matrix { case, names: vec![], random: Random(1) }
    }
}

impl Matrix {
    fn buffer(&mut self, role: Role, elem: Elem, size: usize) -> BufferId {
        let p = &mut self.case.program;
        p.buffers.push(Buffer {
            name: "b".into(),
            role,
            size_bytes: size as u64,
            align: elem.bytes(),
            data: None,
            view: None,
            offset_bytes: None,
        });
        BufferId(p.buffers.len() as u32 - 1)
    }

    pub fn add(&mut self, name: String, operands: &[Type], f: impl Fn(&mut KernelBuilder, &[Value]) -> Value) {
        self.add_with(name, operands, |r, ty| r.lane(ty.elem), f);
    }

    pub fn add_with(
        &mut self,
        name: String,
        operands: &[Type],
        lane: impl Fn(&mut Random, Type) -> Vec<u8>,
        f: impl Fn(&mut KernelBuilder, &[Value]) -> Value,
    ) {
        let mut k = KernelBuilder::new(name.clone());
        let args: Vec<Arg> = (0..operands.len()).map(|i| k.read(&format!("x{i}"))).collect();
        let out = k.write("out");
        let mut result = None;
        k.each("i", BLOCKS, 1, |k, i| {
            let values: Vec<Value> = args.iter().zip(operands).map(|(a, ty)| k.load(*ty, a.at(i * i64::from(ty.bytes())))).collect();
            let mut v = f(k, &values);
            if k.ty(v).elem.is_mask() {
                let ty = k.ty(v);
                let elem = [Elem::I8, Elem::I16, Elem::I32, Elem::I64][ty.elem.bytes().ilog2() as usize];
                let (one, zero) = (k.int(ty.with_elem(elem), 1), k.int(ty.with_elem(elem), 0));
                v = k.select(v, one, zero);
            }
            let ty = k.ty(v);
            k.store(out.at(i * i64::from(ty.bytes())), v);
            result = Some(ty);
        });
        let result = result.expect("the body ran");
        let mut buffers: Vec<(Elem, Vec<u8>)> = operands
            .iter()
            .map(|ty| (ty.elem, (0..BLOCKS * ty.lanes as usize).flat_map(|_| lane(&mut self.random, *ty)).collect()))
            .collect();
        buffers.push((result.elem, vec![0xa5; BLOCKS * result.bytes() as usize]));
        self.kernel(k.finish(), &[], buffers);
    }

    /// A kernel as it is, with its parameters and what its buffers hold. An argument in place of another shares its buffer.
    pub fn kernel(&mut self, kernel: Kernel, params: &[i64], contents: Vec<(Elem, Vec<u8>)>) {
        let mut buffers: Vec<BufferId> = vec![];
        for (i, (arg, (elem, bytes))) in kernel.args.iter().zip(contents).enumerate() {
            let overwritten = kernel.args.iter().any(|a| a.in_place_of == Some(Arg(i as u32)));
            if let Some(of) = arg.in_place_of {
                buffers.push(buffers[of.0 as usize]);
            } else if arg.access == Access::Read && !overwritten {
                buffers.push(self.buffer(Role::Input(self.case.inputs.len() as u32), elem, bytes.len()));
                self.case.inputs.push(bytes);
            } else {
                buffers.push(self.buffer(Role::Output(self.case.outputs.len() as u32), elem, bytes.len()));
                self.case.outputs.push(bytes);
                self.case.elems.push(elem);
                self.names.push(kernel.name.clone());
            }
        }
        let p = &mut self.case.program;
        p.kernels.push(kernel);
        p.schedule.push(Step::Call(Call {
            kernel: KernelId(p.kernels.len() as u32 - 1),
            buffers,
            params: params.to_vec(),
            advance: vec![],
            operator: None,
        }));
    }

    /// Its kernels, all in one program.
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// Compares with the interpreter at all levels.
    pub fn check(self) {
        let is_blessed = self.check_refused();
        if is_blessed {
            return;
        }
        let expected = differential::expected(&self.case).expect("the interpreter runs it");
        let mut failures = vec![];
        let here = differential::native_levels().into_iter().map(|t| (None, t));
        let elsewhere = [
            ("aarch64-unknown-linux-gnu", "generic"),
            ("aarch64-unknown-linux-gnu", "generic+dotprod"),
            ("aarch64-unknown-linux-gnu", "neoverse-v1"),
            ("riscv64gc-unknown-linux-gnu", "rv64gc"),
            ("riscv64gc-unknown-linux-gnu", "rva22"),
        ];
        let elsewhere = elsewhere.into_iter().filter_map(|(triple, cpu)| {
            let target = Target::new(triple, Some(cpu)).expect("a target");
            Some((Some(Machine::find(target.features.arch)?), target))
        });
        let mut elsewhere: Vec<_> = elsewhere.collect();
        if elsewhere.iter().any(|(_, target)| target.neon.is_some()) {
            // What is emitted by the one emitter there is to be right by the other one, too.
            let mut target = Target::new("aarch64-unknown-linux-gnu", Some("generic")).expect("a target");
            (target.neon, target.level) = (None, "generic by clif".into());
            let machine = Machine::find(target.features.arch);
            elsewhere.push((machine, target));
        }
        for (machine, target) in here.chain(elsewhere) {
            let run = match machine {
                None => differential::native(&self.case, &target),
                Some(machine) => machine.run(&self.case, &target),
            };
            for got in run.unwrap_or_else(|e| panic!("{}: {e}", target.level)) {
                for (i, name) in self.names.iter().enumerate() {
                    let one = Case { program: Program::default(), inputs: vec![], outputs: vec![], elems: vec![self.case.elems[i]] };
                    if let Some(d) = differential::difference(&one, &expected[i..=i], &got[i..=i]) {
                        failures.push(format!("{} {name}: {d}", target.level));
                    }
                }
            }
        }
        failures.dedup();
        assert!(
            failures.is_empty(),
            "{} of {} outputs differ:\n{}",
            failures.len(),
            self.names.len(),
            failures[..failures.len().min(40)].join("\n")
        );
    }

    /// Every reason for which the neon emitter leaves a kernel to clif is in the list; `CRANELITE_BLESS=1` adds it,
    /// which is then all there is to do.
    fn check_refused(&self) -> bool {
        let target = Target::new("aarch64-unknown-linux-gnu", Some("neoverse-v1")).expect("a target");
        let features = target.neon.expect("the level has it");
        static LIST: Mutex<()> = Mutex::new(());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/refused_by_neon.txt");
        let refused = self.case.program.kernels.iter().filter_map(|k| Some(neon::emit(k, features).err()?.what));
        let _one_at_a_time = LIST.lock();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut listed: BTreeSet<String> = text.lines().filter(|l| !l.starts_with('#')).map(String::from).collect();
        let unlisted: BTreeSet<String> = refused.filter(|what| !listed.contains(what)).collect();
        if std::env::var_os("CRANELITE_BLESS").is_some() {
            listed.extend(unlisted);
            let head = "# Why kernels of single operations are left to clif on 64-bit Arm: CRANELITE_BLESS=1 and tests/tests/operations.rs add to this.\n";
            std::fs::write(path, listed.iter().fold(head.to_string(), |text, l| text + l + "\n")).expect("a writable file");
            return true;
        }
        assert!(unlisted.is_empty(), "the neon emitter refuses what {path} does not list: {unlisted:?}");
        false
    }
}
