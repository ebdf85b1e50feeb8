//! A part of an array, whose place in it is known at run time only.
//!
//! Not an operator: SLICE and DYNAMIC_UPDATE_SLICE are. The idea: the first index along every axis is clamped to where the part fits, so that
//! every access is in bounds whatever the numbers are, and from there on the part is runs as far apart as in the array.

use super::{Context, copy};
use cranelite_tile::{BufferId, Elem, Index, KernelBuilder};

/// So many elements along every axis of an array of this shape, none of which is empty.
#[derive(Clone, Debug)]
pub struct Part {
    pub shape: Vec<usize>,
    pub count: Vec<usize>,
    pub element_bytes: usize,
}

impl Part {
    /// Copies the part of `from` that begins where the numbers in `first` say.
    pub fn take(&self, cx: &mut Context, first: (BufferId, Elem), from: BufferId, to: BufferId) {
        self.copy(cx, first, from, to, false);
    }

    /// Copies `from` to the part of `to` that begins there.
    pub fn put(&self, cx: &mut Context, first: (BufferId, Elem), from: BufferId, to: BufferId) {
        self.copy(cx, first, from, to, true);
    }

    fn copy(&self, cx: &mut Context, (first, elem): (BufferId, Elem), from: BufferId, to: BufferId, is_put: bool) {
        let shown: Vec<String> = self.count.iter().map(usize::to_string).collect();
        let mut k = KernelBuilder::new(format!("part_{}_of_{}", shown.join("x"), self.element_bytes));
        let (x, at, y) = (k.read("x"), k.read("first"), k.write("y"));
        let mut start = Index::from(0);
        for d in 0..self.shape.len() {
            let most = self.shape[d] - self.count[d];
            if 0 < most {
                let v = k.load(elem.x(1), at.at(d as i64 * i64::from(elem.bytes())));
                start = start + Index::from(k.clamped_index("first", v, 0, most as i64)) * self.stride(&self.shape, d);
            }
        }
        // Axes that are whole continue the one before them.
        let whole = (0..self.shape.len()).rev().take_while(|&d| self.shape[d] == self.count[d]).count();
        let outer = (self.shape.len() - whole).saturating_sub(1);
        let run = self.count[outer..].iter().product::<usize>() * self.element_bytes;
        let lanes = cx.machine.lanes(Elem::U8);
        self.nest(&mut k, outer, 0, start, 0.into(), &|k, array: Index, part: Index| {
            let (from, to) = if is_put { (part, array) } else { (array, part) };
            copy::run(k, lanes, run, (x, from), (y, to));
        });
        cx.call(k.finish(), &[from, first, to], &[]);
    }

    /// From one index along an axis to the next, in bytes.
    fn stride(&self, shape: &[usize], axis: usize) -> i64 {
        (shape[axis + 1..].iter().product::<usize>() * self.element_bytes) as i64
    }

    fn nest(
        &self,
        k: &mut KernelBuilder,
        outer: usize,
        d: usize,
        array: Index,
        part: Index,
        run: &dyn Fn(&mut KernelBuilder, Index, Index),
    ) {
        if d == outer {
            return run(k, array, part);
        }
        copy::each(k, "i", self.count[d], |k, i| {
            let (array, part) = (array + i.clone() * self.stride(&self.shape, d), part + i * self.stride(&self.count, d));
            self.nest(k, outer, d + 1, array, part, run);
        });
    }
}
