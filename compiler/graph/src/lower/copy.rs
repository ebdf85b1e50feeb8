//! Copying bytes: whole buffers and strided blocks.
//!
//! The idea: a copy is vectors, then one last partial vector; nothing is known of what the bytes mean.

use super::Context;
use cranelite_tile::{BufferId, Elem, Kernel, KernelBuilder, Machine};

/// Copies all bytes of `from` to the equally large `to`.
pub fn whole(cx: &mut Context, from: BufferId, to: BufferId) {
    let size = cx.size_bytes(from);
    if 0 < size {
        cx.call(kernel(cx.machine, size), &[from, to], &[]);
    }
}

fn kernel(machine: &Machine, size_bytes: u64) -> Kernel {
    let mut k = KernelBuilder::new(format!("copy_{size_bytes}"));
    let (x, y) = (k.read("x"), k.write("y"));
    let ty = Elem::U8.x(machine.lanes(Elem::U8));
    let step = i64::from(ty.lanes);
    let (full, rest) = (size_bytes as i64 / step * step, size_bytes as i64 % step);
    if 0 < full {
        k.each("i", full, step, |k, i| {
            let v = k.load(ty, x.at(i));
            k.store(y.at(i), v);
        });
    }
    if 0 < rest {
        let v = k.load_part(ty, x.at(full), rest as usize);
        k.store_part(y.at(full), v, rest as usize);
    }
    k.finish()
}
