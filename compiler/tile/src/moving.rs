//! Buffers that are somewhere else in every turn of a loop: the kernel of a call with an index parameter more for each of them.
//!
//! Not views, whose places are fixed. The idea: whatever a kernel does with an argument, the parameter is added to all its indices there, so
//! that any schedule can be repeated over the parts of a longer buffer; the proof of bounds is that of the longer one.

use crate::index::Param;
use crate::program::*;
use crate::strided;
use std::collections::BTreeSet;

/// The kernel with one parameter more for each of `args`: where in its buffer the argument begins, in bytes.
pub fn with_offsets(kernel: &Kernel, args: &[Arg]) -> Kernel {
    let mut k = kernel.clone();
    for &arg in args {
        let param = Param(k.params.len() as u32);
        k.params.push(format!("{}_at", k.args[arg.0 as usize].name));
        strided::change(&mut k.body, &BTreeSet::from([arg]), &mut |index| *index = index.clone() + param);
        for (i, a) in k.args.iter_mut().enumerate() {
            // What begins at another place begins where no other argument does.
            if i == arg.0 as usize || a.in_place_of == Some(arg) {
                a.in_place_of = None;
            }
        }
    }
    k
}
