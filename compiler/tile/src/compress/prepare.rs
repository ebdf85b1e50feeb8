//! Packed constants that are decoded once, into memory of the caller's: a program that writes all of it.
//!
//! The idea: this memory is what a file of weights would be (`codegen/object/weights.rs`): a header, then constants at places that all programs of the
//! object agree on. So everything that takes such a file takes it, and code refuses memory that was not prepared.

use super::decoders::{Decoders, add_constant};
use super::place::add_scratch;
use super::{Packing, rans};
use crate::builder::KernelBuilder;
use crate::machine::Machine;
use crate::program::{BufferId, Call, KernelId, Program, Step};
use crate::types::Elem;
use crate::verify::CONST_SLACK_BYTES;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What the memory begins with.
pub const PREPARED_HEADER_BYTES: u64 = 64;
/// Of constants, and of the memory.
const ALIGN: u64 = 64;

/// Where constants are in the caller's memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared {
    pub packing: Packing,
    /// By what they are.
    pub places: BTreeMap<Bytes, u64>,
    /// What the memory has in it once it is prepared, its header zeros.
    pub image: Vec<u8>,
    /// Where tables are made on the way; zeros then.
    tables_at: u64,
}

impl Prepared {
    pub fn of(packing: Packing) -> Prepared {
        let (mut image, mut places) = (vec![0; PREPARED_HEADER_BYTES as usize], BTreeMap::new());
        for packed in &packing.constants {
            image.resize(image.len().next_multiple_of(ALIGN as usize), 0);
            places.insert(packed.content.data.clone(), image.len() as u64);
            image.extend(packing.decoded(packed));
        }
        image.resize((image.len() + CONST_SLACK_BYTES as usize).next_multiple_of(ALIGN as usize), 0);
        let tables_at = image.len() as u64;
        image.resize((image.len() + rans::SCRATCH_BYTES).next_multiple_of(ALIGN as usize), 0);
        Prepared { packing, places, image, tables_at }
    }

    /// A program without inputs and outputs whose arena is the memory. `header`: what the memory begins with.
    pub fn program(&self, machine: &Machine, header: &[u8]) -> Program {
        let mut program = Program { name: "prepare".into(), ..Program::default() };
        let size = self.image.len() as u64;
        let at = |program: &mut Program, name: &str, size_bytes: u64, offset: u64| {
            let id = add_scratch(program, name.into(), size_bytes, ALIGN as u32);
            program.buffers[id.0 as usize].offset_bytes = Some(offset);
            id
        };
        let lanes = machine.lanes(Elem::U8).min(64);
        program.kernels.push(clear(lanes));
        program.kernels.push(copy_header(lanes));
        let all = at(&mut program, "all", size, 0);
        let tables = at(&mut program, "tables", size - self.tables_at, self.tables_at);
        let call = |kernel, buffers: Vec<BufferId>, params: Vec<i64>| Call {
            kernel: KernelId(kernel),
            buffers,
            params,
            advance: vec![],
            operator: None,
        };
        let mut calls = vec![call(0, vec![all], vec![size as i64])];
        let mut decoders = Decoders::new(&self.packing, machine);
        for (number, packed) in self.packing.constants.iter().enumerate() {
            let to = at(&mut program, "constant", packed.decoded_bytes, self.places[&packed.content.data]);
            calls.extend(decoders.calls(&mut program, number, to, None, |_| tables));
        }
        calls.push(call(0, vec![tables], vec![(size - self.tables_at) as i64]));
        let header = add_constant(&mut program, "header".into(), Bytes::copy_from_slice(header));
        let to = at(&mut program, "header in memory", PREPARED_HEADER_BYTES, 0);
        calls.push(call(1, vec![header, to], vec![]));
        program.schedule = calls.into_iter().map(Step::Call).collect();
        program
    }
}

/// Writes zeros over so many bytes, a multiple of 64.
fn clear(lanes: usize) -> crate::Kernel {
    let mut k = KernelBuilder::new("clear");
    let y = k.write("y");
    let bytes = k.param("bytes");
    k.each("i", bytes, lanes as i64, |k, i| {
        let zero = k.int(Elem::U8.x(lanes), 0);
        k.store(y.at(i), zero);
    });
    k.finish()
}

fn copy_header(lanes: usize) -> crate::Kernel {
    let mut k = KernelBuilder::new("copy_header");
    let (x, y) = (k.read("x"), k.write("y"));
    k.each("i", PREPARED_HEADER_BYTES as i64, lanes as i64, |k, i| {
        let v = k.load(Elem::U8.x(lanes), x.at(i));
        k.store(y.at(i), v);
    });
    k.finish()
}
