//! Copying bytes: whole buffers, and rows that are put together from pieces.
//!
//! The idea: a run of bytes is full vectors, then one last vector that overlaps the one before; nothing is known of what the
//! bytes mean, except that a table may replace each of them on the way.

use super::{Context, table};
use cranelite_tile::{Arg, BufferId, Elem, Index, KernelBuilder, Machine};

/// Copies all bytes of `from` to the equally large `to`.
pub fn whole(cx: &mut Context, from: BufferId, to: BufferId) {
    let size_bytes = cx.size_bytes(from) as usize;
    rows(cx, 1, &[Piece { from, size_bytes, table: None }], to);
}

/// What each row of a result takes from one source, whose rows are as long as the piece.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub from: BufferId,
    pub size_bytes: usize,
    /// 256 bytes that replace the bytes copied.
    pub table: Option<BufferId>,
}

/// Sources of one kernel: each needs a register for its address.
const SOURCES: usize = 6;

/// Writes `count` rows to `to`, each the pieces in their order.
pub fn rows(cx: &mut Context, count: usize, pieces: &[Piece], to: BufferId) {
    let row_bytes: usize = pieces.iter().map(|p| p.size_bytes).sum();
    let mut offset = 0;
    let all: Vec<Piece> = pieces.iter().copied().filter(|p| 0 < p.size_bytes).collect();
    for pieces in all.chunks(SOURCES).filter(|_| 0 < count) {
        let mut k = KernelBuilder::new("copy");
        let mut buffers = vec![];
        let mut arg = |k: &mut KernelBuilder, name: &str, buffer: BufferId| match buffers.iter().position(|&b| b == buffer) {
            Some(i) => Arg(i as u32),
            None => {
                buffers.push(buffer);
                k.read(name)
            }
        };
        let sources: Vec<Source> = pieces
            .iter()
            .enumerate()
            .map(|(i, p)| Source {
                from: arg(&mut k, &format!("x{i}"), p.from),
                table: p.table.map(|t| arg(&mut k, &format!("table{i}"), t)),
                size_bytes: p.size_bytes,
            })
            .collect();
        let y = k.write("y");
        buffers.push(to);
        if count == 1 {
            let mut params = vec![];
            let mut at = Index::from(k.param("at"));
            params.push(offset as i64);
            for s in &sources {
                s.run(&mut k, cx.machine, 0.into(), y, at.clone());
                at = at + s.size_bytes;
            }
            cx.call(k.finish(), &buffers, &params);
        } else {
            k.each("row", count, 1, |k, row| {
                let mut at = row * row_bytes as i64 + offset;
                for s in &sources {
                    s.run(k, cx.machine, row * s.size_bytes as i64, y, at.clone());
                    at = at + s.size_bytes;
                }
            });
            cx.call(k.finish(), &buffers, &[]);
        }
        offset += pieces.iter().map(|p| p.size_bytes).sum::<usize>();
    }
}

struct Source {
    from: Arg,
    table: Option<Arg>,
    size_bytes: usize,
}

impl Source {
    /// One run of bytes.
    fn run(&self, k: &mut KernelBuilder, machine: &Machine, from: Index, y: Arg, to: Index) {
        let n = self.size_bytes;
        // Vectors no longer than the run.
        let lanes = (1 << n.ilog2()).min(machine.lanes(Elem::U8));
        let one = |k: &mut KernelBuilder, at: Index| {
            let v = k.load(Elem::U8.x(lanes), self.from.at(from.clone() + &at));
            let v = match self.table {
                Some(t) => table::look_up_byte(k, t, v),
                None => v,
            };
            k.store(y.at(to.clone() + &at), v);
        };
        let unroll = if self.table.is_some() { 1 } else { 4 };
        let (full, step) = (n / lanes * lanes, lanes * unroll);
        let main = if n < 3 * step { 0 } else { full / step * step };
        if 0 < main {
            k.each("i", main, step as i64, |k, i| (0..unroll).for_each(|u| one(k, i + u * lanes)));
        }
        for at in (main..full).step_by(lanes) {
            one(k, at.into());
        }
        if full < n {
            one(k, (n - lanes).into());
        }
    }
}
