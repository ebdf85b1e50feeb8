//! Calls that decode packed constants, and the constants and kernels that they need.
//!
//! Not where the calls go, which is `place.rs` and `prepare.rs`. The idea: in one program each kernel and each packed constant is there once.

use super::{Coded, Packing, Plane, bits, half, rans};
use crate::builder::KernelBuilder;
use crate::machine::Machine;
use crate::program::{Buffer, BufferId, Call, Kernel, KernelId, Program, Role};
use crate::types::Elem;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What decodes in one program.
pub(super) struct Decoders<'a> {
    packing: &'a Packing,
    machine: &'a Machine,
    archive: Option<BufferId>,
    /// By what is packed: its constants.
    constants: BTreeMap<(usize, usize), BufferId>,
    kernels: BTreeMap<String, KernelId>,
}

impl<'a> Decoders<'a> {
    pub(super) fn new(packing: &'a Packing, machine: &'a Machine) -> Self {
        Decoders { packing, machine, archive: None, constants: BTreeMap::new(), kernels: BTreeMap::new() }
    }

    /// Calls that write a constant to `to`. `tables`: makes memory for tables, where they are needed.
    pub(super) fn calls(
        &mut self,
        program: &mut Program,
        number: usize,
        to: BufferId,
        operator: Option<u32>,
        tables: impl FnOnce(&mut Program) -> BufferId,
    ) -> Vec<Call> {
        let packing = self.packing;
        let call = |kernel, buffers, params: Vec<usize>| {
            let params = params.into_iter().map(|p| p as i64).collect();
            Call { kernel, buffers, params, advance: vec![], operator }
        };
        match &packing.constants[number].coded {
            Coded::Bits(b) => {
                let machine = self.machine;
                let kernel = self.kernel(program, bits::unpacker(b.form, machine));
                let mut buffers = vec![self.constant(program, (number, 0), &b.bytes)];
                if let Some(palette) = &b.palette {
                    buffers.push(self.constant(program, (number, 1), palette));
                }
                buffers.push(to);
                vec![call(kernel, buffers, vec![b.blocks])]
            }
            Coded::Halves(halves) => {
                let kernel = self.kernel(program, half::unpacker(self.machine));
                let from = self.constant(program, (number, 0), halves);
                vec![call(kernel, vec![from, to], vec![halves.len() / 2])]
            }
            Coded::Entropy { planes, steps } => {
                let mut all = vec![];
                let stride = planes.len();
                let mut tables = Some(tables);
                let mut memory = None;
                for (p, plane) in planes.iter().enumerate() {
                    match plane {
                        Plane::Raw(bytes) => {
                            let from = self.constant(program, (number, p), bytes);
                            let kernel = self.kernel(program, raw_plane());
                            all.push(call(kernel, vec![from, to], vec![bytes.len(), stride, p]));
                        }
                        Plane::Coded { head, table } => {
                            let archive = self.archive(program);
                            let memory = *memory.get_or_insert_with(|| tables.take().expect("once")(program));
                            let machine = self.machine;
                            let kernel = self.kernel(program, rans::tables(machine));
                            all.push(call(kernel, vec![archive, memory], vec![2 * table]));
                            let kernel = self.kernel(program, rans::decoder(packing.archive.len(), stride));
                            all.push(call(kernel, vec![archive, memory, to], vec![2 * head, 2 * table, *steps, p]));
                        }
                    }
                }
                all
            }
        }
    }

    fn kernel(&mut self, program: &mut Program, kernel: Kernel) -> KernelId {
        *self.kernels.entry(kernel.name.clone()).or_insert_with(|| {
            program.kernels.push(kernel);
            KernelId(program.kernels.len() as u32 - 1)
        })
    }

    fn constant(&mut self, program: &mut Program, key: (usize, usize), bytes: &[u8]) -> BufferId {
        *self
            .constants
            .entry(key)
            .or_insert_with(|| add_constant(program, format!("packed {}.{}", key.0, key.1), Bytes::copy_from_slice(bytes)))
    }

    fn archive(&mut self, program: &mut Program) -> BufferId {
        *self.archive.get_or_insert_with(|| {
            let bytes: Vec<u8> = self.packing.archive.iter().flat_map(|w| w.to_le_bytes()).collect();
            add_constant(program, "packed".into(), bytes.into())
        })
    }
}

pub(super) fn add_constant(program: &mut Program, name: String, data: Bytes) -> BufferId {
    let size_bytes = data.len() as u64;
    program.buffers.push(Buffer { name, role: Role::Const, size_bytes, align: 64, data: Some(data), view: None, offset_bytes: None });
    BufferId(program.buffers.len() as u32 - 1)
}

/// Copies `count` bytes to every `stride`th byte from `first` on.
fn raw_plane() -> Kernel {
    let mut k = KernelBuilder::new("unpack_plane");
    let (x, y) = (k.read("x"), k.write("y"));
    let [count, stride, first] = ["count", "stride", "first"].map(|name| k.param(name));
    k.each("i", count, 1, |k, i| {
        let b = k.load(Elem::U8.x(1), x.at(i));
        k.store(y.at(i * stride + first), b);
    });
    k.finish()
}
