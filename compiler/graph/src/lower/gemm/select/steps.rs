//! The loops over tables and slots of a tile.
//!
//! Not the loops around them (`kernel.rs`), and not what is in the constants (`packing.rs`). The idea: indices and weights of a slot are loaded once for
//! all pixels of a tile, whose tables stay in registers while their slots are done; of a single pixel several slots are summed in turn, so that
//! none waits for the one before.

use super::super::kernel::{Cells, Spec};
use super::super::numbers::Form;
use cranelite_tile::{Arg, Elem, Index, KernelBuilder, Value};

/// How indices lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indices {
    /// Of bytes.
    Bytes,
    /// Of elements of 32 bits, as long as these, or one byte each.
    Words,
    ShortWords,
    /// Of bytes, of which elements of 16 bits are made after they were permuted; so are weights.
    ShortBytes,
}

impl Indices {
    /// Bytes of a vector of them.
    pub fn bytes(self, lanes: usize) -> usize {
        match self {
            Indices::Bytes | Indices::Words => 4 * lanes,
            Indices::ShortBytes => 2 * lanes,
            Indices::ShortWords => lanes,
        }
    }
    /// The index of an element of so many bytes.
    pub fn write(self, index: usize, size: usize, out: &mut Vec<u8>) {
        match self {
            Indices::Bytes => out.extend((0..size).map(|b| (index * size + b) as u8)),
            Indices::Words => out.extend((index as u32).to_le_bytes()),
            Indices::ShortWords | Indices::ShortBytes => out.push(index as u8),
        }
    }
}

/// Tables that take the same number of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub slots: usize,
    /// Tables of a turn of the loop.
    pub tables: usize,
    /// The largest numbers that the walk has: turns, tables after them, number of the first table, number of the first slot.
    pub most: [i64; 4],
}

/// Slots of a turn of a loop: so many sums hide the latency of one product.
const SLOTS: usize = 4;
/// Products of a table up to which its slots are written out.
const WRITTEN_OUT: usize = 36;

impl Class {
    pub fn of(slots: usize) -> Class {
        Class { slots, tables: (SLOTS / slots.max(1)).max(1), most: [0; 4] }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walk {
    /// So many tables of so many slots, `step` bytes apart.
    Regular {
        tables: usize,
        slots: usize,
        step: i64,
    },
    Sorted(Sorted),
}

/// In memory, as i32: for each panel four numbers of each class (`Class::most`), and behind those of all panels, for each panel the distances of its tables in bytes.
/// The verifier reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    pub classes: Vec<Class>,
    pub panels: usize,
    /// Of a panel: as many distances are there.
    pub tables: usize,
    pub most_offset: i64,
}

/// The four numbers.
const HEAD_BYTES: usize = 16;

impl Sorted {
    fn head_bytes(&self) -> usize {
        HEAD_BYTES * self.classes.len()
    }
    fn offset_bytes(&self) -> usize {
        4 * self.tables
    }
    /// Where distances begin.
    fn offsets_at(&self) -> usize {
        self.panels * self.head_bytes()
    }
    /// Bytes that the proof takes to be there if the first table of a panel and how many follow are at most these.
    pub fn reach(&self, first: usize, tables: usize) -> usize {
        self.offsets_at() + (self.panels - 1) * self.offset_bytes() + 4 * (first + tables)
    }
}

/// What the inner loops are instead of those over groups of the depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Elements of a table.
    pub elements: usize,
    pub indices: Indices,
    pub walk: Walk,
}

impl Select {
    fn has_bytes(&self) -> bool {
        matches!(self.indices, Indices::Bytes | Indices::ShortBytes)
    }
    /// Lanes of a table.
    fn segment(&self, operand: Elem) -> usize {
        self.elements * if self.indices == Indices::Bytes { operand.bytes() as usize } else { 1 }
    }
    /// Whether all of it is written out for a tile of so many pixels.
    pub fn is_unrolled(&self, pixels: usize, most: usize) -> bool {
        matches!(self.walk, Walk::Regular { tables, slots, .. } if tables * slots * pixels <= most)
    }
}

/// The arguments that such kernels have besides.
#[derive(Clone, Copy)]
pub struct Tables {
    pub indices: Arg,
    pub walk: Option<Arg>,
}

impl Tables {
    pub fn declare(k: &mut KernelBuilder, select: &Select) -> Tables {
        Tables { indices: k.read("indices"), walk: matches!(select.walk, Walk::Sorted(_)).then(|| k.read("walk")) }
    }
}

/// A tile in the making.
pub struct Steps<'a> {
    pub spec: &'a Spec,
    pub select: &'a Select,
    pub x: Arg,
    pub w: Arg,
    pub tables: Tables,
    pub flip: Option<Value>,
}

/// The pixels of a tile: their accumulators, their displacements, and where the first one is.
struct Tile<'a> {
    cells: &'a Cells,
    x: &'a [i64],
    at: &'a Index,
}

/// Writes a table: its number, and its number in the turn.
type WriteTable<'a> = dyn Fn(&mut KernelBuilder, &mut Vec<Value>, Index, usize) + 'a;

/// So many turns of `together` tables each.
fn turns(k: &mut KernelBuilder, acc: &mut Vec<Value>, count: Index, together: usize, table: &WriteTable) {
    let turn = |k: &mut KernelBuilder, acc: &mut Vec<Value>, t: Index| {
        (0..together).for_each(|n| table(k, acc, t.clone() * together as i64 + n, n));
    };
    match count.as_constant() {
        Some(0) => {}
        Some(1) => turn(k, acc, 0.into()),
        _ => {
            *acc = k.repeat("turn", count, 1, acc, |k, t, acc| {
                let mut acc = acc.to_vec();
                turn(k, &mut acc, t.into());
                acc
            });
        }
    }
}

impl Steps<'_> {
    /// `panel`: its number. `x`: displacements of the pixels.
    pub fn write(&self, k: &mut KernelBuilder, cells: &Cells, x: &[i64], mut acc: Vec<Value>, at: &Index, panel: &Index) -> Vec<Value> {
        let tile = Tile { cells, x, at };
        match (&self.select.walk, self.tables.walk) {
            (Walk::Sorted(sorted), Some(walk)) => self.sorted(k, &tile, &mut acc, panel, walk, sorted),
            (Walk::Regular { tables, slots, step }, _) => self.regular(k, &tile, &mut acc, panel, [*tables, *slots], *step),
            _ => {}
        }
        acc
    }

    fn regular(&self, k: &mut KernelBuilder, tile: &Tile, acc: &mut Vec<Value>, panel: &Index, [tables, slots]: [usize; 2], step: i64) {
        let together = if self.spec.unroll { tables } else { Class::of(slots).tables };
        let main = tables / together * together;
        let table = |k: &mut KernelBuilder, acc: &mut Vec<Value>, table: Index, nth: usize| {
            let slot = (panel.clone() * tables as i64 + table.clone()) * slots as i64;
            self.table(k, tile, acc, nth * slots, &(tile.at.clone() + table * step), &slot, slots);
        };
        turns(k, acc, (main / together).into(), together, &table);
        (main..tables).for_each(|t| table(k, acc, t.into(), t - main));
    }

    fn sorted(&self, k: &mut KernelBuilder, tile: &Tile, acc: &mut Vec<Value>, panel: &Index, walk: Arg, sorted: &Sorted) {
        let classes = &sorted.classes;
        for (i, class) in classes.iter().enumerate() {
            let mut head = |name: &str, n: usize| -> Index {
                let place = walk.at(panel.clone() * sorted.head_bytes() as i64 + (HEAD_BYTES * i + 4 * n));
                k.known_index(name, Elem::I32, place, 0, class.most[n]).into()
            };
            let [full, rest, first, start] = [("turns", 0), ("rest", 1), ("first", 2), ("slot", 3)].map(|(name, n)| head(name, n));
            let offsets = panel.clone() * sorted.offset_bytes() as i64 + sorted.offsets_at() + first * 4;
            let table = |k: &mut KernelBuilder, acc: &mut Vec<Value>, table: Index, nth: usize| {
                let offset = k.known_index("offset", Elem::I32, walk.at(offsets.clone() + table.clone() * 4), 0, sorted.most_offset);
                let slot = start.clone() + table * class.slots as i64;
                self.table(k, tile, acc, nth * class.slots, &(tile.at.clone() + offset), &slot, class.slots);
            };
            if 0 < class.most[0] {
                turns(k, acc, full.clone(), class.tables, &table);
            }
            if 0 < class.most[1] {
                turns(k, acc, rest, 1, &|k, acc, t, _| table(k, acc, full.clone() * class.tables as i64 + t, 0));
            }
        }
    }

    /// All slots of a table; `nth` is the number of the first one in a turn.
    #[allow(clippy::too_many_arguments)]
    fn table(&self, k: &mut KernelBuilder, tile: &Tile, acc: &mut Vec<Value>, nth: usize, at: &Index, slot: &Index, slots: usize) {
        let (cells, x) = (tile.cells, tile.x);
        let update = |k: &mut KernelBuilder, acc: &mut [Value], set: usize, m: usize, table: Value, (index, weights): (Value, Value)| {
            let cell = &mut acc[cells.index(set % cells.sets, m, 0)];
            *cell = self.product(k, *cell, table, index, weights);
        };
        if slots == 1 {
            let operands = self.slot(k, slot);
            for (m, d) in x.iter().enumerate() {
                let table = self.activations(k, at.clone() + *d);
                update(k, acc, nth, m, table, operands);
            }
            return;
        }
        let tables: Vec<Value> = x.iter().map(|d| self.activations(k, at.clone() + *d)).collect();
        let one = |k: &mut KernelBuilder, acc: &mut [Value], set: usize, slot: &Index| {
            let operands = self.slot(k, slot);
            tables.iter().enumerate().for_each(|(m, &table)| update(k, acc, set, m, table, operands));
        };
        if slots * x.len() <= WRITTEN_OUT {
            (0..slots).for_each(|s| one(k, acc, nth + s, &(slot.clone() + s)));
            return;
        }
        let step = if slots.is_multiple_of(cells.sets) { cells.sets } else { 1 };
        *acc = k.repeat("s", slots, step as i64, acc, |k, s, acc| {
            let mut acc = acc.to_vec();
            (0..step).for_each(|n| one(k, &mut acc, n, &(slot.clone() + s + n)));
            acc
        });
    }

    /// A table of activations: bytes, or elements of 32 bits.
    fn activations(&self, k: &mut KernelBuilder, at: Index) -> Value {
        let (n, select) = (&self.spec.numbers, self.select);
        let operands = n.operand.x(self.spec.lanes * n.group);
        let memory = if matches!(n.form, Form::Bytes { .. }) { operands } else { operands.with_elem(n.memory) };
        let v = if select.elements == memory.lanes as usize {
            k.load(memory, self.x.at(at))
        } else {
            k.load_splat(memory, select.elements, self.x.at(at))
        };
        let v = self.flip.map_or(v, |flip| k.xor(v, flip));
        let is_made = n.form == Form::Pairs && n.memory != n.operand && select.indices == Indices::Bytes;
        let v = if is_made { k.widen(v, n.operand) } else { v };
        let bytes = k.ty(v).bytes() as usize;
        if select.has_bytes() { k.bitcast(v, Elem::U8.x(bytes)) } else { v }
    }

    /// Indices and weights.
    fn slot(&self, k: &mut KernelBuilder, slot: &Index) -> (Value, Value) {
        let (n, lanes, indices) = (&self.spec.numbers, self.spec.lanes, self.select.indices);
        let at = self.tables.indices.at(slot.clone() * indices.bytes(lanes) as i64);
        let index = match indices {
            Indices::Bytes | Indices::ShortBytes => k.load(Elem::U8.x(indices.bytes(lanes)), at),
            Indices::Words => k.load(Elem::I32.x(lanes), at),
            Indices::ShortWords => {
                let short = k.load(Elem::U8.x(lanes), at);
                k.widen(short, Elem::I32)
            }
        };
        let packed = n.packed.x(lanes * n.group);
        let weights = k.load(packed, self.w.at(slot.clone() * i64::from(packed.bytes())));
        let weights = if n.packed == n.weight { weights } else { k.widen(weights, n.weight) };
        (index, weights)
    }

    fn product(&self, k: &mut KernelBuilder, acc: Value, table: Value, index: Value, weights: Value) -> Value {
        let (n, select) = (&self.spec.numbers, self.select);
        let operands = n.operand.x(self.spec.lanes * n.group);
        let v = k.permute(table, index, select.segment(n.operand));
        let v = match select.indices {
            Indices::Bytes => k.bitcast(v, operands),
            Indices::ShortBytes => {
                let bytes = k.bitcast(v, operands.with_elem(n.memory));
                k.widen(bytes, n.operand)
            }
            Indices::Words | Indices::ShortWords => v,
        };
        match n.form {
            Form::Float => k.fma(v, weights, acc),
            _ => k.dot(n.group, acc, v, weights),
        }
    }
}
