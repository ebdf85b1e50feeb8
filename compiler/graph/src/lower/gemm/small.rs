//! The product of least code: two kernels for all convolutions and fully connected products of a model.
//!
//! Not for speed, though its inner loop is the same. The ideas: everything that differs from operator to operator is an index parameter or
//! in a table, the zero point and the range of a result included; a tile is one pixel, so that no row of pixels has a rest; where the
//! image ends, a guarded row of padding stands in for it; a last panel that is not full overlaps the one before.

use super::epilogue::{Epilogue, Tables};
use super::kernel::{Cells, Spec, Step};
use super::pack::{self, Depth};
use super::shape::Shape;
use super::tables::{self, Scales};
use super::{Axis, Filter, Numbers, Places, Product, Rescale, Segment};
use crate::diagnostic::Diagnostic;
use crate::lower::Context;
use crate::lower::pointwise::{Destination, Output};
use crate::lower::requantize::{LIMITS_BYTES, Target};
use crate::lower::sizes::{Pixel, Size, Sizes, Way, Window, all_finite};
use cranelite_tile::{Arg, Base, BufferId, Elem, Index, Kernel, KernelBuilder, Value};

/// Registers of sums.
const REGISTERS: usize = 2;

/// Whether the product can be had so. Activations quantised at run time and weights with a zero point need more than one number per
/// column, what is not finite cannot be multiplied with padding, and pixels are numbered without gaps.
pub fn is_possible(p: &Product, numbers: &Numbers) -> bool {
    let all = |a: &Axis| a.places == Places::all(a.output) && 0 <= a.before;
    !matches!(p.rescale, Rescale::Hybrid { .. })
        && all(&p.rows)
        && all(&p.columns)
        && numbers.sum_factor(p.weight_zero_point) == 0
        && (!is_padded(p) || all_finite(numbers.packed, p.filter.data))
}

fn is_padded(p: &Product) -> bool {
    reaches_outside(&p.rows) || reaches_outside(&p.columns)
}

fn reaches_outside(a: &Axis) -> bool {
    0 < a.before || a.input < (a.output - 1) * a.stride + (a.filter - 1) * a.dilation + 1
}

/// Columns of output pixels, and what they are computed with.
struct Strip {
    column: Segment,
    /// The filter, if it is not the product's.
    filter: Option<Vec<u8>>,
    /// Column of the input that the first one's window begins at; none: where padding says.
    begin: Option<usize>,
    /// The taps of a row are one run.
    merged: bool,
}

/// All columns at once; but of integers with few channels, whose groups would be mostly empty tap by tap, those at the borders by themselves.
/// There the whole window is moved into the image and the weights in it to where they were, with zeros for the taps that are outside.
fn strips(p: &Product, numbers: &Numbers) -> Vec<Strip> {
    let a = &p.columns;
    let [_, _, taps, channels] = p.filter.shape;
    // Others go tap by tap, whether there is padding or not, so that they have one kernel.
    let is_full = 16 <= channels && channels.is_multiple_of(numbers.group);
    let can_merge = p.groups() == 1 && a.dilation == 1 && channels < 4 * numbers.group && !is_full;
    let all = Segment { start: 0, len: a.output, first: 0, end: taps };
    let merged = taps == 1 || (can_merge && !reaches_outside(a));
    let whole = Strip { column: all, filter: None, begin: None, merged };
    if merged || !can_merge || numbers.accumulator.is_float() || a.input < taps {
        return vec![whole];
    }
    let size = (p.filter.element.bits().unwrap_or(8) / 8) as usize;
    let row = channels * size;
    // Only weights of u8 have a zero that is not 0.
    let zero = p.weight_zero_point as u8;
    let strip = |column: &Segment| {
        if column.taps() == taps {
            return Some(Strip { column: *column, filter: None, begin: Some(a.origin(column)), merged: true });
        }
        let origin = a.origin(column);
        let begin = origin.min(a.input - taps);
        let mut filter = vec![];
        for old in p.filter.data.chunks_exact(taps * row) {
            let mut new = vec![zero; taps * row];
            new[(origin - begin) * row..][..column.taps() * row].copy_from_slice(&old[column.first * row..column.end * row]);
            filter.extend(new);
        }
        (column.len == 1).then_some(Strip { column: *column, filter: Some(filter), begin: Some(begin), merged: true })
    };
    a.segments().iter().map(strip).collect::<Option<Vec<_>>>().unwrap_or(vec![whole])
}

pub fn lower(cx: &mut Context, p: &Product, numbers: Numbers, input: BufferId, to: &Destination) -> Result<(), Diagnostic> {
    let (mut epilogue, scales) = p.epilogue(cx.machine, &numbers)?;
    if let Some(form) = epilogue.form() {
        cx.note_rescaling(form, p.filter.shape[0]);
    }
    if let Epilogue::Sum(rescaling) = &mut epilogue {
        *rescaling = rescaling.of_any_shift();
    }
    let lanes = cx.machine.lanes(Elem::I32);
    let filters = p.filter.shape[0] / p.groups();
    let most = (REGISTERS * 4 / numbers.accumulator.bytes() as usize).max(1);
    let vectors = filters.div_ceil(lanes).min(most);
    let width = vectors * lanes;
    let whole = filters / width * width;
    // What is computed twice must not be read in between.
    let mut blocks = vec![];
    if 0 < whole {
        blocks.push((0, whole));
    }
    if whole < filters {
        let first = if 0 < whole && !to.is_in_place() { filters - width } else { whole };
        blocks.push((first, filters - first));
    }
    for strip in strips(p, &numbers) {
        for group in 0..p.groups() {
            for &(first, columns) in &blocks {
                let first = group * filters + first;
                let part = Part { p, strip: &strip, to, numbers, epilogue, lanes, vectors, group, first, columns };
                part.write(cx, &scales, input);
            }
        }
    }
    Ok(())
}

/// Columns of one group.
struct Part<'a> {
    p: &'a Product<'a>,
    strip: &'a Strip,
    to: &'a Destination<'a>,
    numbers: Numbers,
    epilogue: Epilogue,
    lanes: usize,
    vectors: usize,
    group: usize,
    first: usize,
    columns: usize,
}

impl Part<'_> {
    fn write(&self, cx: &mut Context, scales: &Scales, input: BufferId) {
        let (p, n) = (self.p, &self.numbers);
        let (width, channels) = (self.vectors * self.lanes, p.filter.shape[3]);
        let range = self.first..self.first + self.columns;
        let (strip, taps) = (self.strip, p.filter.shape[2]);
        let depth = Depth { taps: 0..taps, channels, group: n.group, merged: strip.merged, overlap: true };
        let row = Segment { start: 0, len: p.rows.output, first: 0, end: p.filter.shape[1] };
        let pixels = [(row, strip.column)];
        let class = tables::classes(p, n, &self.epilogue, range.clone(), width, &pixels, |_| 0).data;
        let class = cx.constant("bias", class, 64);
        let filter = Filter { data: strip.filter.as_deref().unwrap_or(p.filter.data), ..p.filter };
        let weights = pack::panels(&filter, &depth, self.first, self.columns, width, n.packed, n.weight_shift);
        let element = u64::from(n.memory.bytes());
        let x0 = (strip.begin.unwrap_or(0) * p.channels + self.group * channels) as u64 * element;
        let x = if x0 == 0 { input } else { cx.view("part", input, x0, cx.size_bytes(input) - x0) };
        let mut buffers = vec![x, cx.constant("weights", weights, 64), class];
        let mut scale = self.limits().map_or(vec![], |t| t.limits().to_vec());
        scale.extend(scales.table(&p.bias, range, width));
        if !scale.is_empty() {
            buffers.push(cx.constant("scales", scale, 64));
        }
        // All pixels of all images, one after the other.
        let plain = p.rows.sees_itself() && p.columns.sees_itself();
        if !plain {
            buffers.push(cx.fill(if n.memory.bits() == 8 { p.input_zero_point as u8 } else { 0 }, depth.run() * element as usize));
        }
        let y0 = (strip.column.start * p.filter.shape[0] + self.first) as u64 * u64::from(self.epilogue.output().bytes());
        for b in self.to.buffers() {
            buffers.push(if y0 == 0 { b } else { cx.view("part", b, y0, cx.size_bytes(b) - y0) });
        }
        let (kernel, params, constants) = self.kernel(cx, &depth, plain);
        if !constants.is_empty() {
            buffers.push(cx.constant("constants", constants, 64));
        }
        cx.call(kernel, &buffers, &params);
    }

    /// The result's zero point and range, where they are read from memory.
    fn limits(&self) -> Option<Target> {
        match self.epilogue {
            Epilogue::Sum(rescaling) if self.to.is_plain() => Some(rescaling.target()),
            _ => None,
        }
    }

    fn spec(&self, cx: &Context, depth: &Depth) -> Spec {
        let block = Shape::block(cx.machine, &self.numbers);
        let block = if depth.full().is_multiple_of(block) { block } else { 1 };
        Spec {
            name: format!("product_{}", if self.numbers.accumulator.is_float() { "f32" } else { "int" }),
            numbers: self.numbers,
            epilogue: self.epilogue,
            fma: cx.machine.fma,
            lanes: self.lanes,
            vectors: self.vectors,
            columns: self.columns.min(self.vectors * self.lanes),
            across: None,
            tile: [1, 1],
            tail: 0,
            strides: Default::default(),
            sum_factor: 0,
            sums_ahead: false,
            block,
            step: block,
            tail_group: depth.tail(),
            fixed: vec![],
            unroll: false,
            at_once: 0,
            prefetch_bytes: 0,
            select: None,
        }
    }

    /// The kernel, the parameters of its call and the constants of what becomes of the result.
    fn kernel(&self, cx: &Context, depth: &Depth, plain: bool) -> (Kernel, Vec<i64>, Vec<u8>) {
        let (p, n, spec) = (self.p, &self.numbers, &self.spec(cx, depth));
        let element = n.memory.bytes() as usize;
        let mut k = KernelBuilder::new(format!("{}{}", spec.name, if plain { "_1x1" } else { "" }));
        let (x, w, class) = (k.read("x"), k.read("w"), k.read("class"));
        let scale = (0 < self.epilogue.scale_bytes()).then(|| k.read("scale"));
        let fill = (!plain).then(|| k.read("fill"));
        let y = Output::declare(&mut k, self.to);
        let pool = (!self.to.is_plain()).then(|| k.read("constants"));

        let mut sizes = Sizes::default();
        let panels = sizes.given(&mut k, "panels", self.columns.div_ceil(spec.width() as usize));
        let groups = if depth.full() == 0 { Size::Fixed(0) } else { sizes.given(&mut k, "groups", depth.full()) };
        let out_pixel = sizes.given(&mut k, "out_pixel", p.filter.shape[0] * self.epilogue.output().bytes() as usize);
        let step = Step::new(&mut k, spec, Base::Arg(x), w);
        let rest = (depth.tail().map_or(0, |_| depth.run() % depth.group) * element) as i64;
        let own_pixel = p.groups() == 1 && (p.filter.shape[2] == 1 || !depth.merged);
        let pixel = (!own_pixel).then(|| sizes.given(&mut k, "pixel", p.channels * element));
        let way = match fill {
            None => Pixels::Line(sizes.given(&mut k, "columns", p.batch * p.rows.output * p.columns.output)),
            Some(fill) => {
                let way = |a: &Axis, taps| Way {
                    input: a.input,
                    output: a.output,
                    stride: a.stride,
                    dilation: a.dilation,
                    before: a.before as usize,
                    taps,
                };
                let columns = Way { output: self.strip.column.len, ..way(&p.columns, depth.runs()) };
                let columns = if self.strip.begin.is_some() { Way { before: 0, ..columns } } else { columns };
                let ways = [way(&p.rows, p.filter.shape[1]), columns];
                Pixels::Image(Box::new(Window::new(&mut k, &mut sizes, p.batch, ways, p.columns.output)), fill)
            }
        };
        let nest = Nest { part: self, spec, way, panels, groups, out_pixel, pixel, rest, depth, step, x, class, scale, y, pool };
        nest.write(&mut k);
        let constants = k.pooled();
        (k.finish(), sizes.values, constants)
    }
}

/// The way over the pixels.
enum Pixels {
    /// So many, each of which sees itself alone.
    Line(Size),
    /// With what is seen outside of the image.
    Image(Box<Window>, Arg),
}

struct Nest<'a> {
    part: &'a Part<'a>,
    spec: &'a Spec,
    way: Pixels,
    panels: Size,
    groups: Size,
    out_pixel: Size,
    /// Bytes of a pixel, where they are not those of a run.
    pixel: Option<Size>,
    /// Bytes of a run after its full groups.
    rest: i64,
    depth: &'a Depth,
    step: Step<'a>,
    x: Arg,
    class: Arg,
    scale: Option<Arg>,
    y: Output<'a, 'a>,
    pool: Option<Arg>,
}

impl Nest<'_> {
    /// So many pixels of the input, in bytes.
    fn pixels(&self, i: Index) -> Index {
        match self.pixel {
            Some(pixel) => pixel.times(i),
            None => self.groups.times(i.clone() * self.step.a_group()) + i * self.rest,
        }
    }

    /// So many runs of weights.
    fn runs(&self, i: Index) -> Index {
        let group = self.step.w_group();
        let tail = if self.spec.tail_group.is_some() { i.clone() * group } else { Index::default() };
        self.groups.times(i * group) + tail
    }

    fn write(&self, k: &mut KernelBuilder) {
        match &self.way {
            Pixels::Line(count) => count.each(k, "x", |k, x| {
                self.panels(k, &x, |i| i, |k, acc, w| self.run(k, Base::Arg(self.x), &self.pixels(x.clone()), w, acc));
            }),
            Pixels::Image(window, fill) => window.each(k, |k, pixel| {
                let taps = |i| window.taps[0].times(window.taps[1].times(i));
                self.panels(k, &pixel.number, taps, |k, acc, w| self.taps(k, window, pixel, *fill, acc, w));
            }),
        }
    }

    /// All columns of a pixel.
    fn panels(
        &self,
        k: &mut KernelBuilder,
        pixel: &Index,
        taps: impl Fn(Index) -> Index,
        sum: impl FnOnce(&mut KernelBuilder, Vec<Value>, &Index) -> Vec<Value>,
    ) {
        let (spec, part) = (self.spec, self.part);
        let accumulator = spec.numbers.accumulator;
        let class_bytes = spec.width() * part.epilogue.class_bytes(accumulator) as i64;
        let scale_bytes = spec.width() * part.epilogue.scale_bytes() as i64;
        let ty = accumulator.x(spec.lanes);
        self.panels.each(k, "panel", |k, p| {
            let class = p.clone() * class_bytes;
            let start = |k: &mut KernelBuilder, j: usize| k.load(ty, self.class.at(class.clone() + (j * ty.bytes() as usize) as i64));
            // Without fused multiply-add floats are summed as the reference does, which adds the bias last.
            let bias_last = accumulator.is_float() && !spec.fma;
            let acc = (0..spec.vectors).map(|j| if bias_last { k.float(ty, 0.0) } else { start(k, j) }).collect();
            let mut sums = sum(k, acc, &self.runs(taps(p.clone())));
            for (j, v) in sums.iter_mut().enumerate().filter(|_| bias_last) {
                let bias = start(k, j);
                *v = k.add(*v, bias);
            }
            let out = self.out_pixel.times(pixel.clone()) + p.clone() * (spec.width() * i64::from(part.epilogue.output().bytes()));
            match (part.epilogue, part.limits(), self.scale) {
                (Epilogue::Sum(rescaling), Some(target), Some(table)) => {
                    let scale = |at: usize| table.at(p.clone() * scale_bytes + LIMITS_BYTES + at);
                    let (lanes, width) = (spec.lanes, spec.width() as usize);
                    let scaled: Vec<Value> = sums
                        .iter()
                        .enumerate()
                        .map(|(j, &v)| rescaling.apply(k, v, |i, size| scale(size * (i * width + j * lanes))))
                        .collect();
                    let all = scaled.into_iter().reduce(|a, b| k.concat(a, b)).expect("a vector");
                    let v = target.apply_from(k, all, |i| table.at(i));
                    self.y.store(k, &out, &[v], None, spec.columns);
                }
                _ => {
                    let tables = Tables { class: Some((self.class, class)), scale: self.scale.map(|a| (a, p * scale_bytes)), factor: None };
                    let store = |k: &mut KernelBuilder| part.epilogue.store(k, &tables, &sums, spec.columns, &self.y, out);
                    match self.pool {
                        Some(pool) => k.with_pool(pool, store),
                        None => store(k),
                    }
                }
            }
        });
    }

    fn taps(&self, k: &mut KernelBuilder, window: &Window, pixel: &Pixel, fill: Arg, acc: Vec<Value>, w: &Index) -> Vec<Value> {
        let bytes = self.groups.times(self.step.a_group()) + self.rest;
        k.repeat("ky", window.taps[0].index(), 1, &acc, |k, ky, acc| {
            k.repeat("kx", window.taps[1].index(), 1, acc, |k, kx, acc| {
                let row = window.row(k, self.x, pixel, [ky.into(), kx.into()], |i| self.pixels(i), bytes.clone(), fill);
                let w = w.clone() + self.runs(window.taps[1].times(ky) + kx);
                self.run(k, Base::Row(row), &Index::default(), &w, acc.to_vec())
            })
        })
    }

    fn run(&self, k: &mut KernelBuilder, x: Base, at: &Index, w: &Index, acc: Vec<Value>) -> Vec<Value> {
        let cells = Cells { pixels: 1, columns: self.spec.vectors, sets: 1 };
        let step = Step { x, ..self.step };
        let (a_group, w_group, groups) = (step.a_group(), step.w_group(), self.groups);
        let mut acc = acc;
        if self.depth.full() != 0 {
            acc = k.repeat("k", groups.index(), self.spec.step as i64, &acc, |k, i, acc| {
                let (a, w) = (at.clone() + i * a_group, w.clone() + i * w_group);
                step.groups(k, &cells, &[0], acc.to_vec(), &a, &w, self.spec.step)
            });
        }
        if let Some((_, count)) = self.spec.tail_group {
            // It begins early enough to be read whole if there is a full group before it.
            let early = if count == self.depth.group { self.rest - a_group } else { 0 };
            let (a, w) = (at.clone() + groups.times(a_group) + early, w.clone() + groups.times(w_group));
            step.group(k, &cells, &[0], &mut acc, 0, &a, &w, (1, count));
        }
        acc
    }
}
