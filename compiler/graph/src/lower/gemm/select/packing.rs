//! Which slots the tables of a product take, and the constants that say so.
//!
//! Not the code that reads them (`steps.rs`). The idea: a table is a run of elements that a pixel sees one after the other in memory, at a constant
//! distance from the pixel's first. Regularly, every table of every panel takes the same number of slots and tables follow each other; else
//! each panel has a list of tables, ordered by their number of slots, which is the *walk*.

use super::super::pack::Filter;
use super::steps::{Class, Indices, Select, Sorted, Walk};
use super::{Form, Numbers, Product};
use crate::tensor::ElementType;
use cranelite_tile::{Elem, Machine};
use std::ops::Range;

/// The weights as they are compared and packed: [output channel][row, column, input channel].
pub struct Weights<'a> {
    filter: &'a Filter<'a>,
    depth: usize,
    is_zero: Vec<bool>,
}

impl<'a> Weights<'a> {
    pub fn of(filter: &'a Filter<'a>) -> Weights<'a> {
        let is_zero = match filter.element {
            // The sign of a zero is not looked at.
            ElementType::F32 => filter.data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b) == 0.0).collect(),
            ElementType::I16 => filter.data.as_chunks::<2>().0.iter().map(|b| *b == [0; 2]).collect(),
            _ => filter.data.iter().map(|b| *b == 0).collect(),
        };
        Weights { filter, depth: filter.shape[1..].iter().product(), is_zero }
    }
    pub fn len(&self) -> usize {
        self.is_zero.len()
    }
    pub fn zeros(&self) -> usize {
        self.is_zero.iter().filter(|z| **z).count()
    }
    fn is_zero(&self, channel: usize, element: usize) -> bool {
        self.is_zero[channel * self.depth + element]
    }
    fn write(&self, channel: usize, element: usize, packed: Elem, out: &mut Vec<u8>) {
        let i = channel * self.depth + element;
        if self.filter.element == ElementType::F32 {
            out.extend_from_slice(&self.filter.data[4 * i..4 * i + 4]);
            return;
        }
        let value = self.filter.ints(i..i + 1).next().expect("a weight");
        out.extend_from_slice(&value.to_le_bytes()[..packed.bytes() as usize]);
    }
}

/// A run of elements of the depth.
#[derive(Clone, Debug)]
pub struct Table {
    /// In bytes, from the first element that a pixel sees.
    pub offset: i64,
    /// Numbers of the elements of the depth that are in it.
    elements: Range<usize>,
    /// Of these the first ones belong to the table before.
    covered: usize,
}

/// Slots by panel and table.
pub type SlotCounts = Vec<Vec<usize>>;

/// How weights are packed.
#[derive(Clone, Debug)]
pub struct Packing {
    /// Elements of a table.
    pub elements: usize,
    pub indices: Indices,
    form: Form,
    group: usize,
    packed: Elem,
    tables: Vec<Table>,
    counts: SlotCounts,
    is_sorted: bool,
    /// The numbers of slots that code is written for, from the least on.
    classes: Vec<usize>,
}

/// The constants of some panels, and the code that reads them.
pub struct Packed {
    pub select: Select,
    pub weights: Vec<u8>,
    pub indices: Vec<u8>,
    pub walk: Vec<u8>,
}

/// More numbers of slots than this become fewer: code is written for each.
const MOST_CLASSES: usize = 6;

impl Packing {
    /// All kinds of tables that the machine has.
    pub fn choices(machine: &Machine, n: &Numbers, has_byte_weights: bool) -> Vec<Packing> {
        let permutes = &machine.permutes;
        let size = n.operand.bytes() as usize;
        let new = |elements: usize, indices: Indices| Packing {
            elements,
            indices,
            form: n.form,
            group: n.group,
            packed: if indices == Indices::ShortBytes { Elem::I8 } else { n.packed },
            tables: vec![],
            counts: vec![],
            is_sorted: false,
            classes: vec![],
        };
        let long = permutes.bytes as usize;
        let mut all = match n.form {
            Form::Float if 0 < permutes.words => {
                [Indices::Words, Indices::ShortWords].map(|i| new(permutes.words as usize / size, i)).to_vec()
            }
            _ => vec![new(16 / size, Indices::Bytes)],
        };
        if n.form != Form::Float && 16 < long {
            all.push(new(long / size, Indices::Bytes));
        }
        if n.form == Form::Pairs && n.memory.bits() == 8 && has_byte_weights && 16 <= machine.lanes(n.operand) {
            all.push(new(16, Indices::ShortBytes));
        }
        all
    }

    /// The tables of a pixel; `None` if it has no run of so many elements.
    pub fn tables(&self, p: &Product, n: &Numbers) -> Option<Vec<Table>> {
        let [_, height, width, channels] = p.filter.shape;
        let size = i64::from(n.memory.bytes());
        let pixel = p.channels as i64 * size;
        let (tap_row, tap) = (p.rows.dilation as i64 * p.columns.input as i64 * pixel, p.columns.dilation as i64 * pixel);
        let merged = width == 1 || p.columns.dilation == 1;
        let (runs, run) = if merged { (1, width * channels) } else { (width, channels) };
        if run < self.elements {
            return None;
        }
        let mut all = vec![];
        for (y, r) in (0..height).flat_map(|y| (0..runs).map(move |r| (y, r))) {
            let (offset, first) = (y as i64 * tap_row + r as i64 * tap, (y * runs + r) * run);
            for at in (0..run).step_by(self.elements) {
                // The last one of a run begins early enough to be read whole.
                let begin = at.min(run - self.elements);
                let elements = first + begin..first + begin + self.elements;
                all.push(Table { offset: offset + begin as i64 * size, elements, covered: at - begin });
            }
        }
        Some(all)
    }

    /// How many slots each table takes in each panel of so many lanes.
    pub fn counts(&self, weights: &Weights, tables: &[Table], lanes: usize) -> SlotCounts {
        let channels = weights.filter.shape[0];
        let panel = |first: usize| {
            let count = |t: &Table| {
                let own = t.elements.start + t.covered..t.elements.end;
                let lane = |channel: usize| own.clone().filter(|e| !weights.is_zero(channel, *e)).count().div_ceil(self.group);
                (first..(first + lanes).min(channels)).map(lane).max().unwrap_or(0)
            };
            tables.iter().map(count).collect()
        };
        (0..channels).step_by(lanes).map(panel).collect()
    }

    /// With one kind of walk; `None` where it is not possible.
    pub fn with_walk(&self, is_sorted: bool, tables: &[Table], counts: &SlotCounts) -> Option<Packing> {
        let mut packing = Packing { tables: tables.to_vec(), counts: counts.clone(), is_sorted, ..self.clone() };
        let mut classes: Vec<usize> = counts.iter().flatten().copied().filter(|c| 0 < *c).collect();
        classes.sort_unstable();
        classes.dedup();
        if !is_sorted {
            let step = tables.get(1).map_or(0, |t| t.offset - tables[0].offset);
            let is_regular = tables.iter().enumerate().all(|(i, t)| t.offset == i as i64 * step && t.covered == 0);
            packing.classes = vec![*classes.last()?];
            return is_regular.then_some(packing);
        }
        // Of the smaller numbers the first goes up to the next one, and so on.
        while MOST_CLASSES < classes.len() {
            let used = |c: usize| counts.iter().flatten().filter(|n| **n == c).count();
            let last = classes.len() - 1;
            let cheapest = (0..last).min_by_key(|&i| used(classes[i]) * (classes[i + 1] - classes[i])).unwrap_or(0);
            classes.remove(cheapest);
            // What was counted as the removed number is counted as the next one.
            let next = classes[cheapest];
            packing.counts.iter_mut().flatten().filter(|n| 0 < **n && **n < next && !classes.contains(n)).for_each(|n| *n = next);
        }
        packing.classes = classes;
        (!packing.classes.is_empty()).then_some(packing)
    }

    /// The most slots of a table.
    pub fn most_slots(&self) -> usize {
        self.classes.last().copied().unwrap_or(0)
    }

    pub fn is_sorted(&self) -> bool {
        self.is_sorted
    }

    /// Tables and slots of all panels.
    pub fn work(&self) -> (usize, usize) {
        if !self.is_sorted {
            let tables = self.counts.len() * self.tables.len();
            return (tables, tables * self.most_slots());
        }
        let all = self.counts.iter().flatten();
        (all.clone().filter(|c| 0 < **c).count(), all.sum())
    }

    /// Bytes of a slot.
    pub fn slot_bytes(&self, lanes: usize) -> usize {
        self.weight_bytes(lanes) + self.indices.bytes(lanes)
    }

    fn weight_bytes(&self, lanes: usize) -> usize {
        lanes * self.group * self.packed.bytes() as usize
    }

    /// Of an element that bytes are permuted of.
    fn operand_bytes(&self) -> usize {
        4 / self.group
    }

    /// Bytes of a table.
    pub fn segment_bytes(&self) -> usize {
        self.elements * if self.indices == Indices::ShortBytes { 1 } else { self.operand_bytes() }
    }

    /// The arithmetic with weights as they are packed.
    pub fn numbers(&self, n: &Numbers) -> Numbers {
        Numbers { packed: self.packed, ..*n }
    }

    pub fn panels(&self) -> usize {
        self.counts.len()
    }

    /// The constants of the panels of some channels.
    pub fn pack(&self, weights: &Weights, channels: Range<usize>, lanes: usize) -> Option<Packed> {
        let first = channels.start / lanes;
        let panels: Vec<usize> = (first..first + channels.len().div_ceil(lanes)).collect();
        // Of regular walks.
        let step = self.tables.get(1).map_or(0, |t| t.offset);
        let walk = Walk::Regular { tables: self.tables.len(), slots: self.most_slots(), step };
        let select = Select { elements: self.elements, indices: self.indices, walk };
        let mut out = Packed { select, weights: vec![], indices: vec![], walk: vec![] };
        let mut slots = 0;
        let mut write = |out: &mut Packed, panel: usize, table: &Table, count: usize| {
            slots += count;
            self.slots(weights, panel * lanes..(panel * lanes + lanes).min(channels.end), lanes, table, count, out).map(|()| slots)
        };
        if !self.is_sorted {
            let count = self.most_slots();
            for &panel in &panels {
                for t in &self.tables {
                    write(&mut out, panel, t, count)?;
                }
            }
            return Some(out);
        }
        let classes = self.classes.iter().map(|c| Class::of(*c)).collect();
        let most_offset = self.tables.iter().map(|t| t.offset).max().unwrap_or(0);
        let mut walk = Sorted { classes, panels: panels.len(), tables: self.tables.len(), most_offset };
        let (mut heads, mut offsets, mut end) = (vec![], vec![], 0);
        for (n, &panel) in panels.iter().enumerate() {
            for class in &mut walk.classes {
                let start = end;
                let first = offsets.len() - n * self.tables.len();
                for (t, _) in self.tables.iter().zip(&self.counts[panel]).filter(|(_, c)| **c == class.slots) {
                    end = write(&mut out, panel, t, class.slots)?;
                    offsets.push(t.offset as i32);
                }
                let count = offsets.len() - n * self.tables.len() - first;
                let head = [count / class.tables, count % class.tables, first, start];
                heads.extend(head.map(|n| n as i32));
                class.most.iter_mut().zip(head).for_each(|(m, n)| *m = (*m).max(n as i64));
            }
            offsets.resize((n + 1) * self.tables.len(), 0);
        }
        out.walk = heads.iter().chain(&offsets).flat_map(|n| n.to_le_bytes()).collect();
        // What is proved of numbers from memory is that they are at most the largest ones, all at once.
        for class in &walk.classes {
            let [full, rest, first, start] = class.most;
            let tables = full * class.tables as i64 + rest;
            out.walk.resize(out.walk.len().max(walk.reach(first as usize, tables as usize)), 0);
            let slots = (start + tables * class.slots as i64) as usize;
            out.weights.resize(out.weights.len().max(slots * self.weight_bytes(lanes)), 0);
            out.indices.resize(out.indices.len().max(slots * self.indices.bytes(lanes)), 0);
        }
        out.select.walk = Walk::Sorted(walk);
        Some(out)
    }

    /// The slots of a table, of the channels of a panel. `None` if floats would be multiplied by zeros that the dense form does not have.
    fn slots(&self, weights: &Weights, channels: Range<usize>, lanes: usize, table: &Table, count: usize, out: &mut Packed) -> Option<()> {
        let own = table.elements.start + table.covered..table.elements.end;
        let mut lists: Vec<Vec<Option<usize>>> = vec![];
        let mut idle = vec![];
        for channel in channels.clone() {
            let mut list: Vec<Option<usize>> = own.clone().filter(|e| !weights.is_zero(channel, *e)).map(Some).collect();
            // What is multiplied by zero is so in the dense form, too.
            let zero = table.elements.clone().find(|e| weights.is_zero(channel, *e)).map(|e| e - table.elements.start);
            if zero.is_none() && list.len() < count * self.group && self.form == Form::Float {
                return None;
            }
            idle.push(zero.unwrap_or(0));
            list.resize(count * self.group, None);
            lists.push(list);
        }
        for slot in 0..count {
            for lane in 0..lanes {
                for g in 0..self.group {
                    let element = lists.get(lane).and_then(|l| l[slot * self.group + g]);
                    let index = element.map_or(idle.get(lane).copied().unwrap_or(0), |e| e - table.elements.start);
                    self.indices.write(index, self.operand_bytes(), &mut out.indices);
                    match element {
                        Some(e) => weights.write(channels.start + lane, e, self.packed, &mut out.weights),
                        None => out.weights.extend(std::iter::repeat_n(0, self.packed.bytes() as usize)),
                    }
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_tile::ByteDot;

    /// A table never gets fewer slots than it needs, an empty one none, and code is written for few numbers.
    #[test]
    fn numbers_of_slots_become_fewer() {
        let machine = Machine::example(64, ByteDot::U8S8, true, false);
        let packing = &Packing::choices(&machine, &Numbers::FLOAT, false)[0];
        let tables: Vec<Table> = (0..20).map(|i| Table { offset: 64 * i as i64, elements: 16 * i..16 * i + 16, covered: 0 }).collect();
        let counts: SlotCounts = [3, 7, 11].map(|step| (0..20).map(|i| i * step % 15).collect()).to_vec();
        let sorted = packing.with_walk(true, &tables, &counts).expect("some slots");
        assert!(2 < sorted.classes.len() && sorted.classes.len() <= MOST_CLASSES, "{:?}", sorted.classes);
        for (new, old) in sorted.counts.iter().flatten().zip(counts.iter().flatten()) {
            assert!(old <= new && (*new == 0) == (*old == 0) && (*new == 0 || sorted.classes.contains(new)), "{old} became {new}");
        }
        assert!(packing.with_walk(true, &tables, &vec![vec![0; 20]; 2]).is_none());
        let regular = packing.with_walk(false, &tables, &counts).expect("tables at equal distances");
        assert_eq!(regular.work(), (60, 60 * 14));
    }
}
