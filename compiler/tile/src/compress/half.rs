//! Floats that are all half floats, as those of float16 models are: 16 bits each.
//!
//! The idea: nothing is rounded. A constant is packed so only if every number of it has the same 32 bits when it comes back.

use crate::builder::KernelBuilder;
use crate::machine::Machine;
use crate::program::Kernel;
use crate::types::Elem;
use half::f16;

/// Numbers that are unpacked at once.
const RUN: usize = 16;

/// Two bytes for each f32 of `data`; `None` where one is no half float.
pub fn pack(data: &[u8]) -> Option<Vec<u8>> {
    let (numbers, []) = data.as_chunks::<4>() else { return None };
    let half = |b: &[u8; 4]| {
        let number = f32::from_le_bytes(*b);
        let half = f16::from_f32(number);
        (half.to_f32().to_bits() == number.to_bits()).then_some(half.to_le_bytes())
    };
    numbers.iter().map(half).collect::<Option<Vec<_>>>().map(|halves| halves.concat())
}

pub fn unpack(halves: &[u8]) -> Vec<u8> {
    halves.as_chunks::<2>().0.iter().flat_map(|b| f16::from_le_bytes(*b).to_f32().to_le_bytes()).collect()
}

/// Zeros are added up to a whole run.
pub fn padded(mut halves: Vec<u8>) -> Vec<u8> {
    halves.resize(halves.len().next_multiple_of(2 * RUN), 0);
    halves
}

/// Unpacks so many numbers, a multiple of [`RUN`]. The arguments are the packed bytes and what is written.
pub fn unpacker(machine: &Machine) -> Kernel {
    let mut k = KernelBuilder::new("unpack_halves");
    let (x, y) = (k.read("x"), k.write("y"));
    let count = k.param("count");
    let lanes = if machine.has_vectors() { RUN } else { 1 };
    k.each("i", count, lanes as i64, |k, i| {
        let halves = k.load(Elem::U16.x(lanes), x.at(i * 2));
        let floats = k.from_half(halves);
        k.store(y.at(i * 4), floats);
    });
    k.finish()
}
