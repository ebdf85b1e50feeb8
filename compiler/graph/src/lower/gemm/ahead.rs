//! Activations made operands before a product, band by band of the output.
//!
//! Not the product. The idea: where the machine multiplies pairs of 16 bits, widening a pair costs as much as multiplying it with half a
//! panel, and every panel and every tap does it again; bytes become signed ones as often (the other way round, a whole graph is moved before). So the part of the image that
//! a band of output pixels sees is widened or moved once into scratch, its elements in the same order, and the product reads that. A band is as large as the
//! arena has bytes to spare.

use super::Product;
use super::geometry::{Axis, Segment};
use super::numbers::{Form, Numbers};
use super::shape::Shape;
use crate::lower::Context;
use cranelite_tile::{BufferId, Elem, Kernel, KernelBuilder, Machine};
use std::ops::Range;

/// Part of a rectangle of output pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of the rectangle.
    pub rectangle: usize,
    pub row: Segment,
    pub column: Segment,
}

/// Output pixels that are computed from one part of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    pub pieces: Vec<Piece>,
    /// What they read, as elements of the input.
    pub elements: Range<usize>,
}

/// More bands than this are more calls than they are worth, and so are many bands of fewer multiplications.
const MOST_BANDS: usize = 64;
const FEW_BANDS: usize = 4;
const LEAST_OPERATIONS: usize = 1 << 15;

impl Band {
    /// All of the output, from an input that stays where it is.
    pub fn whole(rectangles: &[(Segment, Segment)]) -> Band {
        let piece = |(rectangle, &(row, column)): (usize, &(Segment, Segment))| Piece { rectangle, row, column };
        Band { pieces: rectangles.iter().enumerate().map(piece).collect(), elements: 0..0 }
    }
}

/// The bands of a product if it pays to widen its activations, and if there is memory for that.
pub fn bands(cx: &Context, p: &Product, n: &Numbers, shape: &Shape, rectangles: &[(Segment, Segment)]) -> Option<Vec<Band>> {
    let bytes = n.operand.bytes() as usize;
    let most = (cx.spare_bytes.min(u64::from(cx.machine.l2_bytes / 4))) as usize / bytes;
    let outputs = [p.rows.output, p.columns.output];
    let is_made = n.form == Form::Pairs && n.memory != n.operand || n.flips() && n.operand == Elem::I8;
    if !is_made || !shape.loads_groups(cx.machine, n) || outputs == [1, 1] {
        return None;
    }
    if p.batch != 1 {
        let all = p.batch * p.rows.input * p.columns.input * p.channels;
        return (all <= most).then(|| vec![Band { elements: 0..all, ..Band::whole(rectangles) }]);
    }
    let along = if 1 < outputs[0] { 0 } else { 1 };
    let operations = outputs[0] * outputs[1] * p.filter.shape.iter().product::<usize>();
    let limit = (operations / LEAST_OPERATIONS).clamp(FEW_BANDS, MOST_BANDS).min(outputs[along]);
    (1..=limit).find_map(|count| {
        let bands = cut(p, rectangles, along, outputs[along].div_ceil(count));
        bands.iter().all(|b| b.elements.len() <= most).then_some(bands)
    })
}

/// Bands of `len` output rows (`along` 0) or columns (1).
fn cut(p: &Product, rectangles: &[(Segment, Segment)], along: usize, len: usize) -> Vec<Band> {
    let output = [p.rows.output, p.columns.output][along];
    let band = |start: usize| {
        let inside = |s: Segment, axis: usize| if axis == along { within(s, start..start + len) } else { Some(s) };
        let pieces = rectangles
            .iter()
            .enumerate()
            .filter_map(|(rectangle, &(row, column))| Some(Piece { rectangle, row: inside(row, 0)?, column: inside(column, 1)? }));
        let pieces: Vec<Piece> = pieces.collect();
        Band { elements: elements(p, &pieces), pieces }
    };
    let mut bands: Vec<Band> = (0..output).step_by(len).map(band).collect();
    // What sees nothing names the scratch as well, so it comes after what has been written there.
    bands.sort_by_key(|b| b.elements.is_empty());
    bands
}

fn within(s: Segment, range: Range<usize>) -> Option<Segment> {
    let (start, end) = (s.start.max(range.start), (s.start + s.len).min(range.end));
    (start < end).then(|| Segment { start, len: end - start, ..s })
}

/// The smallest run of elements that holds all that the pieces read.
fn elements(p: &Product, pieces: &[Piece]) -> Range<usize> {
    let last = |a: &Axis, s: &Segment| a.origin(s) + (s.len - 1) * a.stride + (s.taps() - 1) * a.dilation;
    let seen = pieces.iter().filter(|piece| 0 < piece.row.taps() && 0 < piece.column.taps());
    let ends = seen.map(|Piece { row, column, .. }| {
        let at = |y: usize, x: usize| y * p.columns.input + x;
        at(p.rows.origin(row), p.columns.origin(column))..at(last(&p.rows, row), last(&p.columns, column)) + 1
    });
    let all = ends.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
    all.start * p.channels..all.end * p.channels
}

/// The buffer that holds one band after the other, if they are widened.
pub fn scratch(cx: &mut Context, bands: &[Band], elem: Elem) -> Option<BufferId> {
    let most = bands.iter().map(|b| b.elements.len()).max().filter(|&n| 0 < n)?;
    Some(cx.scratch("widened", most as u64 * u64::from(elem.bytes())))
}

/// Makes operands of what a band reads, which may be nothing.
pub fn make(cx: &mut Context, n: &Numbers, from_elem: Elem, band: &Band, from: BufferId, to: BufferId) {
    if band.elements.is_empty() {
        return;
    }
    let kernel = kernel(cx.machine, n, from_elem, band.elements.len());
    cx.call(kernel, &[from, to], &[band.elements.start as i64]);
}

/// So many elements from `first` on: vectors, the last of which overlaps the one before.
fn kernel(machine: &Machine, n: &Numbers, from: Elem, count: usize) -> Kernel {
    let to = n.operand;
    let mut k = KernelBuilder::new(format!("{}_{from}_{to}_{count}", if to == Elem::I16 { "widen" } else { "move" }));
    let (x, y, first) = (k.read("x"), k.write("y"), k.param("first"));
    let (bytes, lanes) = (i64::from(to.bytes()), machine.lanes(to));
    let flip = if to == Elem::I16 { None } else { Some(n.sign(&mut k, lanes)) };
    let made = |k: &mut KernelBuilder, at: cranelite_tile::Index, count: usize| match flip {
        Some(flip) => {
            let v = k.load_part(to.x(lanes), x.at(at + first), count);
            k.xor(v, flip)
        }
        None => {
            let v = k.load_part(from.x(lanes), x.at(at + first), count);
            k.widen(v, to)
        }
    };
    let one = |k: &mut KernelBuilder, at: cranelite_tile::Index, lanes: usize| {
        let v = made(k, at.clone(), lanes);
        k.store(y.at(at * bytes), v);
    };
    if count < lanes {
        let v = made(&mut k, 0.into(), count);
        k.store_part(y.at(0), v, count);
        return k.finish();
    }
    let step = 4 * lanes;
    let main = count / step * step;
    if 0 < main {
        k.each("i", main as i64, step as i64, |k, i| (0..step).step_by(lanes).for_each(|u| one(k, i + u, lanes)));
    }
    (main..count / lanes * lanes).step_by(lanes).for_each(|at| one(&mut k, at.into(), lanes));
    if !count.is_multiple_of(lanes) {
        one(&mut k, (count - lanes).into(), lanes);
    }
    k.finish()
}
