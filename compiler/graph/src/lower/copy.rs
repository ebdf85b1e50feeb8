//! Copying bytes: whole buffers, and rows that are put together from pieces.
//!
//! The idea: a run of bytes is full vectors, then one last vector that overlaps the one before; nothing is known of what the
//! bytes mean, except that a table may replace each of them on the way. Rows that become longer can do so where they are, from the last
//! byte to the first: then nothing is written before it is read.

use super::channels::each_block;
use super::{Context, table};
use crate::graph::Node;
use cranelite_tile::{Arg, BufferId, Elem, Index, KernelBuilder, Machine};

/// The integer type of so many bytes, in which elements are copied whatever they are.
pub fn container(size_bytes: usize) -> Option<Elem> {
    [Elem::U8, Elem::U16, Elem::U32, Elem::I64].into_iter().find(|e| e.bytes() as usize == size_bytes)
}

/// A loop, where there is more than one turn.
pub fn each(k: &mut KernelBuilder, name: &str, count: usize, body: impl FnOnce(&mut KernelBuilder, Index)) {
    match count {
        1 => body(k, 0.into()),
        _ => k.each(name, count, 1, |k, i| body(k, i.into())),
    }
}

/// A run of so many bytes from one place to another, which it does not meet.
pub fn run(k: &mut KernelBuilder, lanes: usize, size_bytes: usize, (x, from): (Arg, Index), (y, to): (Arg, Index)) {
    if let Some(elem) = container(size_bytes) {
        let v = k.load(elem.x(1), x.at(from));
        return k.store(y.at(to), v);
    }
    each_block(k, size_bytes, lanes, 4, |k, b| {
        let v = b.load(k, Elem::U8, x.at(from.clone() + b.first.clone()));
        b.store(k, y.at(to.clone() + b.first.clone()), v);
    });
}

/// Copies all bytes of `from` to the equally large `to`.
pub fn whole(cx: &mut Context, from: BufferId, to: BufferId) {
    let size_bytes = cx.size_bytes(from) as usize;
    rows(cx, 1, size_bytes, &[Piece { from, offset: 0, size_bytes, table: None, is_overwritten: false }], to);
}

/// Copies `count` runs of so many bytes, whose beginnings are so far apart in the source and in the result; the code is the same whatever the
/// distances are.
pub fn runs(cx: &mut Context, count: usize, size_bytes: usize, [from, to]: [BufferId; 2], distances: [usize; 2]) {
    let mut k = KernelBuilder::new("copy_runs");
    let (x, y) = (k.read("x"), k.write("y"));
    let [x_distance, y_distance] = ["x_distance", "y_distance"].map(|name| k.param(name));
    let source = Source { from: x, table: None, size_bytes, offset: 0, is_overwritten: false };
    k.each("run", count, 1, |k, run| {
        let run = Index::from(run);
        source.run(k, cx.machine, run.clone() * x_distance, y, run * y_distance);
    });
    cx.call(k.finish(), &[from, to], &distances.map(|d| d as i64));
}

/// Makes constant bytes the only result of a node.
pub fn constant(cx: &mut Context, node: &Node, bytes: Vec<u8>) {
    let from = cx.constant("result", bytes, 64);
    let to = cx.output(node, 0);
    whole(cx, from, to);
}

/// What each row of a result takes from one source, whose rows are as long as the piece.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub from: BufferId,
    /// In the row of the result.
    pub offset: usize,
    pub size_bytes: usize,
    /// 256 bytes that replace the bytes copied.
    pub table: Option<BufferId>,
    /// The result may begin where this source begins. Of one piece at most, whose buffer is no other's and which has no table.
    pub is_overwritten: bool,
}

/// Sources of one kernel: each needs a register for its address.
const SOURCES: usize = 6;

/// Writes to `to`, in `count` rows of `row_bytes`, the pieces.
pub fn rows(cx: &mut Context, count: usize, row_bytes: usize, pieces: &[Piece], to: BufferId) {
    let all: Vec<Piece> = pieces.iter().copied().filter(|p| 0 < p.size_bytes).collect();
    let mut calls: Vec<&[Piece]> = all.chunks(SOURCES).filter(|_| 0 < count).collect();
    // What is overwritten comes before all that is written.
    calls.sort_by_key(|pieces| !pieces.iter().any(|p| p.is_overwritten));
    for pieces in calls {
        let first = pieces[0].offset as i64;
        let mut k = KernelBuilder::new("copy");
        let mut buffers = vec![];
        let mut arg = |k: &mut KernelBuilder, name: &str, buffer: BufferId| match buffers.iter().position(|&b| b == buffer) {
            Some(i) => Arg(i as u32),
            None => {
                buffers.push(buffer);
                k.read(name)
            }
        };
        let mut sources: Vec<Source> = pieces
            .iter()
            .enumerate()
            .map(|(i, p)| Source {
                from: arg(&mut k, &format!("x{i}"), p.from),
                table: p.table.map(|t| arg(&mut k, &format!("table{i}"), t)),
                size_bytes: p.size_bytes,
                offset: p.offset as i64 - first,
                is_overwritten: p.is_overwritten,
            })
            .collect();
        sources.sort_by_key(|s| !s.is_overwritten);
        let overwritten = sources[0].is_overwritten.then_some(sources[0].from);
        let y = match overwritten {
            Some(x) => k.write_in_place("y", x),
            None => k.write("y"),
        };
        buffers.push(to);
        if count == 1 && overwritten.is_none() {
            let at = Index::from(k.param("at"));
            for s in &sources {
                s.run(&mut k, cx.machine, 0.into(), y, at.clone() + s.offset);
            }
            cx.call(k.finish(), &buffers, &[first]);
        } else {
            k.each("row", count, 1, |k, row| {
                let row = if overwritten.is_some() { row * -1 + (count - 1) } else { row.into() };
                let at = row.clone() * row_bytes as i64 + first;
                for s in &sources {
                    s.run(k, cx.machine, row.clone() * s.size_bytes as i64, y, at.clone() + s.offset);
                }
            });
            cx.call(k.finish(), &buffers, &[]);
        }
    }
}

struct Source {
    from: Arg,
    table: Option<Arg>,
    size_bytes: usize,
    /// From the first of the sources of the kernel.
    offset: i64,
    is_overwritten: bool,
}

impl Source {
    /// One run of bytes.
    fn run(&self, k: &mut KernelBuilder, machine: &Machine, from: Index, y: Arg, to: Index) {
        let n = self.size_bytes;
        // Vectors no longer than the run.
        let lanes = (1 << n.ilog2()).min(machine.copied_bytes());
        let one = |k: &mut KernelBuilder, at: Index, count: usize| {
            let v = k.load_part(Elem::U8.x(lanes), self.from.at(from.clone() + &at), count);
            let v = match self.table {
                Some(t) => table::look_up_byte(k, t, v),
                None => v,
            };
            k.store_part(y.at(to.clone() + &at), v, count);
        };
        let unroll = if self.table.is_some() { 1 } else { 4 };
        let (full, step) = (n / lanes * lanes, lanes * unroll);
        let main = if n < 3 * step { 0 } else { full / step * step };
        // The vector that begins so many bytes after the first begins, or ends so many before the last ends.
        let place = |at: Index| if self.is_overwritten { at * -1 + (n - lanes) } else { at };
        if 0 < main {
            k.each("i", main, step as i64, |k, i| (0..unroll).for_each(|u| one(k, place(i + u * lanes), lanes)));
        }
        for at in (main..full).step_by(lanes) {
            one(k, place(at.into()), lanes);
        }
        if full < n {
            // Bytes that are overwritten are read once.
            let (at, count) = if self.is_overwritten { (0, n - full) } else { (n - lanes, lanes) };
            one(k, at.into(), count);
        }
    }
}
