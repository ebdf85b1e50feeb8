//! Combining runs with those of an array that other numbers choose.
//!
//! Not an operator: SCATTER_ND and the unsorted segments are. The idea: as in `gather.rs`, each index is clamped to its axis, and what a clamp
//! would change is refused or ends the invocation; a run without a place is replaced by one that changes nothing.

use super::copy::each;
use super::{Context, indices};
use crate::tensor::ElementType::{self, Bool, F32, I8, I16, I32, U8};
use cranelite_tile::{Base, Binary, BufferId, Elem, Guard, Index, KernelBuilder, Place};

/// The runs are `count` × a run of elements, the indices `count` × one per size, and the array, which has its first numbers already, `sizes` × a run.
#[derive(Clone, Debug)]
pub struct Scatter {
    pub count: usize,
    pub sizes: Vec<usize>,
    pub run: usize,
    pub element: ElementType,
    pub combine: Binary,
    /// What changes nothing: runs of negative indices, of which there is one per tuple, become runs of it.
    pub neutral: Option<Vec<u8>>,
}

impl Scatter {
    pub fn lower(&self, cx: &mut Context, (list, index): (BufferId, ElementType), from: BufferId, to: BufferId) {
        if self.count == 0 || self.run == 0 {
            return;
        }
        let elem = match self.element {
            F32 => Elem::F32,
            I8 => Elem::I8,
            U8 | Bool => Elem::U8,
            I16 => Elem::I16,
            I32 => Elem::I32,
            _ => Elem::I64,
        };
        let index = indices::elem(index).expect("infer has seen the type");
        let mut k = KernelBuilder::new(format!("scatter_{elem}_{}", self.run));
        let (picks, x) = (k.read("indices"), k.read("x"));
        let fill = self.neutral.as_ref().map(|_| k.read("neutral"));
        let y = k.read_write("y");
        let (bytes, lanes) = (i64::from(elem.bytes()), cx.machine.lanes(elem));
        let run_bytes = self.run as i64 * bytes;
        each(&mut k, "n", self.count, |k, n| {
            let mut at = Index::from(0);
            let mut base = Base::Arg(x);
            let mut start = n.clone() * run_bytes;
            for (j, &size) in self.sizes.iter().enumerate() {
                let place = picks.at((n.clone() * self.sizes.len() as i64 + j) * i64::from(index.bytes()));
                let v = k.load(index.x(1), place);
                at = at * size as i64 + Index::from(k.clamped_index("index", v, 0, size as i64 - 1));
                if let Some(fill) = fill {
                    let signed = Index::from(k.clamped_index("signed", v, -1, size as i64 - 1));
                    let guards = vec![Guard { index: signed, limit: (size as i64).into() }];
                    base = Base::Row(k.row(x, start.clone(), run_bytes, guards, fill));
                    start = 0.into();
                }
            }
            let one = |k: &mut KernelBuilder, first: Index, lanes: usize, exist: usize| {
                let update = k.load_part(elem.x(lanes), Place { base, at: start.clone() + first.clone() * bytes }, exist);
                let place = y.at((at.clone() * self.run as i64 + first) * bytes);
                let before = k.load_part(elem.x(lanes), place.clone(), exist);
                let after = k.binary(self.combine, update, before);
                k.store_part(place, after, exist);
            };
            // Nothing is combined twice, so the last vector may not overlap the one before.
            let whole = self.run / lanes * lanes;
            if 0 < whole {
                k.each("c", whole, lanes as i64, |k, c| one(k, c.into(), lanes, lanes));
            }
            if whole < self.run {
                one(k, whole.into(), (self.run - whole).next_power_of_two(), self.run - whole);
            }
        });
        let mut buffers = vec![list, from];
        if let Some(neutral) = &self.neutral {
            buffers.push(cx.constant("neutral", neutral.repeat(self.run), 64));
        }
        buffers.push(to);
        cx.call(k.finish(), &buffers, &[]);
    }
}
