//! Walking over consecutive elements in vectors: wide blocks first, then single vectors, then what is left.
//!
//! Not a loop nest and not an operation: a fragment that kernels use for their innermost dimension. The idea: a rest that is shorter
//! than a vector is one more full vector that overlaps the one before, so that only rows shorter than a vector need partial access.

use cranelite_tile::{Elem, Index, KernelBuilder, Place, Value};

/// Consecutive elements that are processed at once.
#[derive(Clone, Debug)]
pub struct Block {
    /// Index of the first element.
    pub first: Index,
    pub lanes: usize,
    /// Elements that exist; fewer than lanes only where the whole row is shorter than a vector.
    pub count: usize,
}

impl Block {
    pub fn load(&self, k: &mut KernelBuilder, elem: Elem, place: Place) -> Value {
        k.load_part(elem.x(self.lanes), place, self.count)
    }
    pub fn store(&self, k: &mut KernelBuilder, place: Place, value: Value) {
        k.store_part(place, value, self.count);
    }
}

/// Calls `body` with blocks that together cover `0..size`: blocks of at most `vectors` vectors, as few and as equal as can be, then
/// what is left. Some elements may be covered twice, so what the body reads must not be what it writes.
pub fn each_block(k: &mut KernelBuilder, size: usize, lanes: usize, vectors: usize, mut body: impl FnMut(&mut KernelBuilder, Block)) {
    let all = size / lanes;
    let vectors = all.div_ceil(all.div_ceil(vectors).max(1)).max(1);
    let (wide, rest) = (lanes * vectors, lanes * (all % vectors));
    let whole = all / vectors * wide;
    match all / vectors {
        0 => {}
        1 => body(k, Block { first: 0.into(), lanes: wide, count: wide }),
        _ => k.each("c", whole, wide as i64, |k, c| body(k, Block { first: c.into(), lanes: wide, count: wide })),
    }
    if 0 < rest {
        body(k, Block { first: whole.into(), lanes: rest, count: rest });
    }
    let at = whole + rest;
    if at < size && lanes <= size {
        body(k, Block { first: (size - lanes).into(), lanes, count: lanes });
    } else if at < size {
        body(k, Block { first: 0.into(), lanes: size.next_power_of_two(), count: size });
    }
}
