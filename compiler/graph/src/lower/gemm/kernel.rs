//! The nest of loops of a matrix product, for one tile of pixels by one panel of columns at a time.
//!
//! No decisions here: `mod.rs` chose tile, panels and tables. The idea: panels outermost, then pixels, then the depth; every pixel of a
//! tile is a constant displacement from one address, and the accumulators are the values that go round the loops over the depth. Their
//! order matters to Cranelift, which computes what a loop carries in that order: whichever of activations and weights is used
//! more often is kept, and the other is loaded for a single use.

use super::across::Across;
use super::epilogue::{Epilogue, Tables};
use super::matrices;
use super::numbers::{Form, Numbers};
use super::select::steps::{Select, Steps, Tables as SelectTables};
use super::shape::Shape;
use crate::lower::pointwise::{Destination, Output};
use crate::lower::sizes::Size;
use cranelite_tile::{Arg, Base, Elem, Index, Kernel, KernelBuilder, Place, Reduce, Value};

/// The numbers that may differ from call to call of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Panels,
    Batches,
    /// Tiles below each other and beside each other.
    Rows,
    Columns,
    /// Rows of taps, runs in a row, full groups in a run that make whole steps, and single groups after them.
    TapRows,
    Runs,
    Groups,
    Rest,
    /// Offsets in bytes into input, weights, class table, scale table, output, factors.
    Input,
    Weights,
    Class,
    Scale,
    Output,
    Factor,
}

impl Count {
    pub const ALL: [(Count, &'static str); 14] = [
        (Count::Panels, "panels"),
        (Count::Batches, "batches"),
        (Count::Rows, "rows"),
        (Count::Columns, "columns"),
        (Count::TapRows, "taps_y"),
        (Count::Runs, "taps_x"),
        (Count::Groups, "groups"),
        (Count::Rest, "rest"),
        (Count::Input, "x0"),
        (Count::Weights, "w0"),
        (Count::Class, "c0"),
        (Count::Scale, "s0"),
        (Count::Output, "y0"),
        (Count::Factor, "f0"),
    ];
}

/// Values of all counts.
pub type Counts = [i64; Count::ALL.len()];

/// Distances in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strides {
    /// Input: from output pixel to output pixel, and from tap to tap.
    pub x_batch: i64,
    pub x_row: i64,
    pub x_pixel: i64,
    pub x_tap_row: i64,
    pub x_run: i64,
    pub w_panel: i64,
    /// 0 where all batches have the same weights.
    pub w_batch: i64,
    pub w_tap_row: i64,
    pub w_run: i64,
    pub y_batch: i64,
    pub y_row: i64,
    pub y_pixel: i64,
    /// Scale and offset of the activations.
    pub f_batch: i64,
    pub f_pixel: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub name: String,
    pub numbers: Numbers,
    pub epilogue: Epilogue,
    pub fma: bool,
    /// Lanes of an accumulator, vectors of a panel, columns of it that exist.
    pub lanes: usize,
    pub vectors: usize,
    pub columns: usize,
    /// The lanes of accumulators are the depth, and the vectors of a panel its columns.
    pub across: Option<Across>,
    /// Pixels of a tile, and columns of pixels of the narrower tile at the end of a row.
    pub tile: [usize; 2],
    pub tail: usize,
    pub strides: Strides,
    /// Factor of the sum of a pixel's activations; 0: none is needed.
    pub sum_factor: i64,
    /// Such a product is a number per pixel in memory.
    pub sums_ahead: bool,
    /// Groups that are loaded as one vector and multiplied by lane; 1: every group is loaded into all lanes.
    pub block: usize,
    /// Groups of a step of the innermost loop, a multiple of the block.
    pub step: usize,
    /// The last, partial group of a run: first element and how many exist.
    pub tail_group: Option<(usize, usize)>,
    /// The counts that are the same in all calls of the kernel and shall be part of its code.
    pub fixed: Vec<(Count, i64)>,
    /// No loops over the depth: all its counts are fixed.
    pub unroll: bool,
    /// Vectors of results of which bytes are made at once; 0: those of one pixel.
    pub at_once: usize,
    /// How far ahead of their use weights are asked for; 0: not at all.
    pub prefetch_bytes: i64,
    /// Activations are permuted to the weights that are not zero: what is done instead of loops over the depth.
    pub select: Option<Select>,
}

impl Spec {
    /// The parameters of a call, in the kernel's order.
    pub fn params(&self, counts: &Counts) -> Vec<i64> {
        let given = Count::ALL.iter().zip(counts).filter(|((c, _), _)| self.fixed_value(*c).is_none());
        given.map(|(_, &v)| v).collect()
    }

    fn fixed_value(&self, c: Count) -> Option<i64> {
        self.fixed.iter().find(|f| f.0 == c).map(|f| f.1)
    }

    pub fn width(&self) -> i64 {
        (self.lanes * self.vectors) as i64
    }

    /// Elements of a pixel that are multiplied at once.
    fn elements(&self) -> usize {
        self.numbers.group * if self.across.is_some() { self.lanes } else { 1 }
    }
}

struct Nest<'a> {
    spec: &'a Spec,
    sizes: Vec<Size>,
    class: Arg,
    scale: Option<Arg>,
    factor: Option<(Arg, Arg)>,
    sums: Option<Arg>,
    select: Option<(Arg, SelectTables)>,
    y: Output<'a, 'a>,
    step: Step<'a>,
}

/// What is done for some groups of the depth.
pub(super) struct Step<'a> {
    pub spec: &'a Spec,
    pub x: Base,
    pub w: Arg,
    /// Constants of the operation: what flips the sign of bytes, and a vector of ones.
    pub flip: Option<Value>,
    pub ones: Option<Value>,
    /// What sums of 16 bits are multiplied with to be added to those of 32.
    pub one_each: Option<Value>,
}

/// Addresses of a tile.
struct At {
    x: Index,
    w: Index,
    class: Index,
    scale: Index,
    y: Index,
    factor: Index,
}

/// The accumulators of a tile: sets (partial sums over the depth) of pixels by columns of vectors.
pub(super) struct Cells {
    pub pixels: usize,
    /// Vectors of a panel, and one more for the sum of the activations where it is needed.
    pub columns: usize,
    pub sets: usize,
}

impl Cells {
    /// By columns: activations of all pixels are kept, weights are loaded one by one. Else the other way round.
    pub fn by_column(&self) -> bool {
        self.pixels <= self.columns
    }
    pub fn index(&self, set: usize, pixel: usize, column: usize) -> usize {
        let in_set = if self.by_column() { column * self.pixels + pixel } else { pixel * self.columns + column };
        set * self.pixels * self.columns + in_set
    }
    fn len(&self) -> usize {
        self.sets * self.pixels * self.columns
    }
}

/// The kernel; its arguments are input, weights, class table, then scale table and the two factors if the epilogue wants them, the
/// sums ahead, what the destination wants.
pub fn kernel(spec: &Spec, to: &Destination) -> Kernel {
    let mut k = KernelBuilder::new(&spec.name);
    let (x, w, class) = (k.read("x"), k.read("w"), k.read("class"));
    let scale = (0 < spec.epilogue.scale_bytes()).then(|| k.read("scale"));
    let factor = matches!(spec.epilogue, Epilogue::Hybrid { .. }).then(|| (k.read("factor"), k.read("offset")));
    let sums = spec.sums_ahead.then(|| k.read("sums"));
    let select = spec.select.as_ref().map(|s| (x, SelectTables::declare(&mut k, s)));
    let y = Output::declare(&mut k, to);
    let sizes = Count::ALL
        .iter()
        .map(|&(c, name)| match spec.fixed_value(c) {
            Some(n) => Size::Fixed(n),
            None => Size::Given(k.param(name)),
        })
        .collect();
    let step = Step::new(&mut k, spec, Base::Arg(x), w);
    let nest = Nest { spec, sizes, class, scale, factor, sums, select, y, step };
    nest.all(&mut k);
    k.finish()
}

impl Nest<'_> {
    fn size(&self, c: Count) -> Size {
        self.sizes[c as usize]
    }

    fn all(&self, k: &mut KernelBuilder) {
        let (spec, s) = (self.spec, &self.spec.strides);
        let class_bytes = self.spec.width() * spec.epilogue.class_bytes(spec.numbers.accumulator) as i64;
        let scale_bytes = self.spec.width() * spec.epilogue.scale_bytes() as i64;
        let y_panel = self.spec.width() * i64::from(spec.epilogue.output().bytes());
        let [height, width] = spec.tile.map(|n| n as i64);
        self.size(Count::Panels).each(k, "panel", |k, p| {
            self.size(Count::Batches).each(k, "n", |k, n| {
                self.size(Count::Rows).each(k, "y", |k, y| {
                    let row = At {
                        x: self.size(Count::Input).index() + n.clone() * s.x_batch + y.clone() * (height * s.x_row),
                        w: self.size(Count::Weights).index() + p.clone() * s.w_panel + n.clone() * s.w_batch,
                        class: self.size(Count::Class).index() + p.clone() * class_bytes,
                        scale: self.size(Count::Scale).index() + p.clone() * scale_bytes,
                        y: self.size(Count::Output).index() + p.clone() * y_panel + n.clone() * s.y_batch + y * (height * s.y_row),
                        factor: self.size(Count::Factor).index() + n * s.f_batch,
                    };
                    let beside = |x: Index| At {
                        x: row.x.clone() + x.clone() * (width * s.x_pixel),
                        y: row.y.clone() + x.clone() * (width * s.y_pixel),
                        factor: row.factor.clone() + x * (width * s.f_pixel),
                        w: row.w.clone(),
                        class: row.class.clone(),
                        scale: row.scale.clone(),
                    };
                    self.size(Count::Columns).each(k, "x", |k, x| self.tile(k, &beside(x), spec.tile));
                    if 0 < spec.tail {
                        let columns = self.size(Count::Columns).index();
                        self.tile(k, &beside(columns), [spec.tile[0], spec.tail]);
                    }
                });
            });
        });
    }

    fn tile(&self, k: &mut KernelBuilder, at: &At, shape: [usize; 2]) {
        let (spec, s) = (self.spec, &self.spec.strides);
        let pixels: Vec<[i64; 2]> = (0..shape[0] * shape[1]).map(|m| [(m / shape[1]) as i64, (m % shape[1]) as i64]).collect();
        let x: Vec<i64> = pixels.iter().map(|[y, x]| y * s.x_row + x * s.x_pixel).collect();
        let columns = spec.vectors + self.step.ones.is_some() as usize;
        let are_matrices = spec.numbers.are_matrices();
        let together = if are_matrices { matrices::ROWS } else { 1 };
        let cells = Cells { pixels: pixels.len().div_ceil(together), columns: columns * together, sets: 1 };
        // Eight sums are needed to hide the latency of one operation.
        let sets = (8 / cells.len()).clamp(1, spec.step.div_ceil(spec.numbers.chain()));
        let cells = Cells { sets, ..cells };

        let ty = spec.numbers.accumulator.x(spec.lanes);
        let start = |k: &mut KernelBuilder, j: usize| {
            let place = self.class.at(at.class.clone() + (j * ty.bytes() as usize / together) as i64);
            if are_matrices { k.load_splat(ty, matrices::ROWS, place) } else { k.load(ty, place) }
        };
        // Without fused multiply-add floats are summed as the reference does, which adds the bias last.
        let bias_last = ty.elem.is_float() && !spec.fma;
        let starts: Vec<Value> =
            if bias_last || spec.across.is_some() { vec![] } else { (0..spec.vectors * together).map(|j| start(k, j)).collect() };
        let zero = (starts.is_empty() || 1 < sets || self.step.ones.is_some())
            .then(|| if ty.elem.is_float() { k.float(ty, 0.0) } else { k.int(ty, 0) });
        let mut acc = vec![starts.first().copied().or(zero).expect("a start"); cells.len()];
        for set in 0..sets {
            for m in 0..cells.pixels {
                for j in 0..cells.columns {
                    let first = if set == 0 { starts.get(j).copied() } else { None };
                    acc[cells.index(set, m, j)] = first.or(zero).expect("zero where there is no start");
                }
            }
        }
        let acc = self.depth(k, &cells, &x, acc, at);
        if let Some(across) = spec.across {
            return self.store_across(k, across, &cells, &acc, at, shape);
        }

        let (cells, acc) = if are_matrices { matrices::by_pixel(k, &cells, &acc, pixels.len()) } else { (cells, acc) };
        let mut waiting = vec![];
        for (m, [py, px]) in pixels.iter().enumerate() {
            let mut sums: Vec<Value> = (0..columns)
                .map(|j| {
                    let parts: Vec<Value> = (0..cells.sets).map(|set| acc[cells.index(set, m, j)]).collect();
                    parts.into_iter().reduce(|a, b| k.add(a, b)).expect("one set")
                })
                .collect();
            if self.step.ones.is_some() {
                let factor = k.int(ty, spec.sum_factor);
                let sum = sums.pop().expect("the sum of the activations");
                let product = k.mul(sum, factor);
                sums.iter_mut().for_each(|v| *v = k.add(*v, product));
            }
            let factor = at.factor.clone() + px * s.f_pixel;
            if let Some(ahead) = self.sums {
                let sum = k.load_splat(ty, 1, ahead.at(factor.clone()));
                sums.iter_mut().for_each(|v| *v = k.add(*v, sum));
            }
            if bias_last {
                for (j, v) in sums.iter_mut().enumerate() {
                    let bias = start(k, j);
                    *v = k.add(*v, bias);
                }
            }
            let tables = Tables {
                class: Some((self.class, at.class.clone())),
                scale: self.scale.map(|a| (a, at.scale.clone())),
                factor: self.factor.map(|(f, o)| (f.at(factor.clone()), o.at(factor.clone()))),
            };
            let out = at.y.clone() + (py * s.y_row + px * s.y_pixel);
            let (results, target) = spec.epilogue.results(k, &tables, &sums);
            waiting.push((out, results));
            // Few values wait in registers.
            if spec.at_once <= waiting.len() * spec.vectors || m + 1 == pixels.len() {
                self.y.store_pixels(k, &waiting, spec.at_once, target, spec.columns);
                waiting.clear();
            }
        }
    }

    /// Sums over the lanes, of all columns of some pixels beside each other, which are one vector of results.
    fn store_across(&self, k: &mut KernelBuilder, across: Across, cells: &Cells, acc: &[Value], at: &At, shape: [usize; 2]) {
        let (spec, s) = (self.spec, &self.spec.strides);
        for (py, px) in (0..shape[0]).flat_map(|py| (0..shape[1]).step_by(across.pixels).map(move |px| (py, px))) {
            let pixels = across.pixels.min(shape[1] - px);
            let mut vectors = vec![];
            for (m, j) in (0..pixels).flat_map(|p| (0..spec.vectors).map(move |j| (py * shape[1] + px + p, j))) {
                let sets: Vec<Value> = (0..cells.sets).map(|set| acc[cells.index(set, m, j)]).collect();
                vectors.push(sets.into_iter().reduce(|a, b| k.add(a, b)).expect("one set"));
            }
            // Lanes that are not stored.
            vectors.resize(across.results, vectors[vectors.len() - 1]);
            let sums = k.reduce_each(Reduce::Add, &vectors);
            let start = k.load(k.ty(sums), self.class.at(at.class.clone()));
            let sums = k.add(sums, start);
            let factor = at.factor.clone() + px as i64 * s.f_pixel;
            let tables = Tables {
                class: Some((self.class, at.class.clone())),
                scale: self.scale.map(|a| (a, at.scale.clone())),
                factor: self.factor.map(|(f, o)| (f.at(factor.clone()), o.at(factor))),
            };
            let out = at.y.clone() + (py as i64 * s.y_row + px as i64 * s.y_pixel);
            spec.epilogue.store(k, &tables, &[sums], pixels * spec.vectors, &self.y, out);
        }
    }

    /// The loops over rows of taps and runs. `x`: displacements of the pixels.
    fn depth(&self, k: &mut KernelBuilder, cells: &Cells, x: &[i64], mut acc: Vec<Value>, at: &At) -> Vec<Value> {
        if let (Some(select), Some((input, tables))) = (&self.spec.select, self.select) {
            let steps = Steps { spec: self.spec, select, x: input, w: self.step.w, tables, flip: self.step.flip };
            return steps.write(k, cells, x, acc, &at.x, &at.w);
        }
        let s = &self.spec.strides;
        let place = |y: Index, r: Index| {
            (at.x.clone() + y.clone() * s.x_tap_row + r.clone() * s.x_run, at.w.clone() + y * s.w_tap_row + r * s.w_run)
        };
        if let (true, Size::Fixed(rows), Size::Fixed(runs)) = (self.spec.unroll, self.size(Count::TapRows), self.size(Count::Runs)) {
            for y in 0..rows {
                for r in 0..runs {
                    let (a, w) = place(y.into(), r.into());
                    acc = self.run(k, cells, x, acc, &a, &w);
                }
            }
            return acc;
        }
        self.carry(k, "ky", Count::TapRows, acc, |k, y, acc| {
            self.carry(k, "kx", Count::Runs, acc, |k, r, acc| {
                let (a, w) = place(y, r);
                self.run(k, cells, x, acc, &a, &w)
            })
        })
    }

    /// As [`Size::each`], with accumulators that go round.
    fn carry(
        &self,
        k: &mut KernelBuilder,
        name: &str,
        count: Count,
        acc: Vec<Value>,
        body: impl FnOnce(&mut KernelBuilder, Index, Vec<Value>) -> Vec<Value>,
    ) -> Vec<Value> {
        match self.size(count) {
            Size::Fixed(0) => acc,
            Size::Fixed(1) => body(k, Index::default(), acc),
            n => k.repeat(name, n.index(), 1, &acc, |k, i, acc| body(k, i.into(), acc.to_vec())),
        }
    }

    fn run(&self, k: &mut KernelBuilder, cells: &Cells, x: &[i64], mut acc: Vec<Value>, a: &Index, w: &Index) -> Vec<Value> {
        let spec = self.spec;
        let (a_group, w_group) = (self.step.a_group(), self.step.w_group());
        let (groups, rest) = (self.size(Count::Groups), self.size(Count::Rest));
        if let (true, Size::Fixed(n), Size::Fixed(rest)) = (spec.unroll, groups, rest) {
            acc = self.step.groups(k, cells, x, acc, a, w, (n + rest) as usize);
        } else {
            if groups != Size::Fixed(0) {
                acc = k.repeat("k", groups.index(), spec.step as i64, &acc, |k, i, acc| {
                    self.step.groups(k, cells, x, acc.to_vec(), &(a.clone() + i * a_group), &(w.clone() + i * w_group), spec.step)
                });
            }
            let after = |stride: i64| groups.times(stride);
            acc = self.carry(k, "rest", Count::Rest, acc, |k, i, acc| {
                let (a, w) = (a.clone() + after(a_group) + i.clone() * a_group, w.clone() + after(w_group) + i * w_group);
                self.step.groups(k, cells, x, acc, &a, &w, 1)
            });
        }
        if let Some((first, count)) = spec.tail_group {
            let a = a.clone() + first as i64 * i64::from(spec.numbers.memory.bytes());
            let w = w.clone() + groups.times(w_group) + rest.times(w_group);
            if spec.numbers.are_matrices() {
                self.step.matrices(k, cells, x, &mut acc, 0, &a, &w, (1, count));
            } else {
                self.step.group(k, cells, x, &mut acc, 0, &a, &w, (1, count));
            }
        }
        acc
    }
}

impl<'a> Step<'a> {
    pub fn new(k: &mut KernelBuilder, spec: &'a Spec, x: Base, w: Arg) -> Self {
        let operands = spec.numbers.operand.x(spec.lanes * spec.numbers.group);
        let flipped = if spec.numbers.are_matrices() { matrices::ROWS * matrices::GROUP } else { operands.lanes as usize };
        let flip = spec.numbers.flip(k, flipped);
        let one_each = (1 < spec.numbers.chain()).then(|| k.int(operands.with_elem(Elem::I16), 1));
        let ones = (spec.sum_factor != 0).then(|| one_each.unwrap_or_else(|| k.int(operands.with_elem(spec.numbers.weight), 1)));
        Step { spec, x, w, flip, ones, one_each }
    }

    pub(super) fn x(&self, at: Index) -> Place {
        Place { base: self.x, at }
    }

    pub fn a_group(&self) -> i64 {
        self.spec.elements() as i64 * i64::from(self.spec.numbers.memory.bytes())
    }
    pub fn w_group(&self) -> i64 {
        self.spec.width() * self.spec.numbers.group as i64 * i64::from(self.spec.numbers.packed.bytes())
    }

    /// So many full groups in a row.
    #[allow(clippy::too_many_arguments)]
    pub fn groups(
        &self,
        k: &mut KernelBuilder,
        cells: &Cells,
        x: &[i64],
        mut acc: Vec<Value>,
        a: &Index,
        w: &Index,
        count: usize,
    ) -> Vec<Value> {
        let block = self.spec.block;
        let mut g = 0;
        while g < count {
            let (a, w) = (a.clone() + g as i64 * self.a_group(), w.clone() + g as i64 * self.w_group());
            if self.spec.numbers.are_matrices() {
                let groups = block.min(count - g);
                self.matrices(k, cells, x, &mut acc, g % cells.sets, &a, &w, (groups, self.spec.elements()));
                g += groups;
            } else if self.spec.numbers.form == Form::Float && block == 1 && cells.columns == 1 && cells.sets == 1 && 2 <= count - g {
                self.pair(k, x, &mut acc, &a, &w);
                g += 2;
            } else if 1 < block && block <= count - g {
                self.block(k, cells, x, &mut acc, &a, &w);
                g += block;
            } else {
                let chain = self.spec.numbers.chain();
                let groups = chain.min(count - g);
                self.group(k, cells, x, &mut acc, g / chain % cells.sets, &a, &w, (groups, self.spec.elements()));
                g += groups;
            }
        }
        acc
    }

    /// So many groups that one product takes, of each of which the first `count` elements exist.
    #[allow(clippy::too_many_arguments)]
    pub fn group(
        &self,
        k: &mut KernelBuilder,
        cells: &Cells,
        x: &[i64],
        acc: &mut [Value],
        set: usize,
        a: &Index,
        w: &Index,
        (groups, count): (usize, usize),
    ) {
        let mut update = |k: &mut KernelBuilder, m, j, a: &[Value], b: &[Value]| {
            let cell = &mut acc[cells.index(set, m, j)];
            *cell = self.chain(k, *cell, a, b);
        };
        let activations = |k: &mut KernelBuilder, d: i64| -> Vec<Value> {
            (0..groups as i64).map(|g| self.activation(k, a.clone() + (d + g * self.a_group()), count)).collect()
        };
        // Of each column from `j` on that is loaded with it.
        let weights = |k: &mut KernelBuilder, j: usize| -> Vec<Vec<Value>> {
            let all: Vec<Vec<Value>> = (0..groups as i64).map(|g| self.weights(k, &(w.clone() + g * self.w_group()), j)).collect();
            (0..all[0].len()).map(|column| all.iter().map(|group| group[column]).collect()).collect()
        };
        if cells.by_column() {
            let a: Vec<Vec<Value>> = x.iter().map(|d| activations(k, *d)).collect();
            let mut j = 0;
            while j < cells.columns {
                for b in weights(k, j) {
                    (0..cells.pixels).for_each(|m| update(k, m, j, &a[m], &b));
                    j += 1;
                }
            }
        } else {
            let mut b: Vec<Vec<Value>> = vec![];
            while b.len() < cells.columns {
                b.extend(weights(k, b.len()));
            }
            for (m, d) in x.iter().enumerate() {
                let a = activations(k, *d);
                (0..cells.columns).for_each(|j| update(k, m, j, &a, &b[j]));
            }
        }
    }

    /// Two groups for one vector of columns, sum by sum. Where a multiply-add overwrites a factor (x86), the result moves to another
    /// register each time; after two it is where it was, and the loop needs no moves.
    fn pair(&self, k: &mut KernelBuilder, x: &[i64], acc: &mut [Value], a: &Index, w: &Index) {
        let b = [0, self.w_group()].map(|next| self.weight(k, &(w.clone() + next), 0));
        for (cell, d) in acc.iter_mut().zip(x) {
            for (g, b) in b.into_iter().enumerate() {
                let a = self.activation(k, a.clone() + *d + g as i64 * self.a_group(), self.spec.elements());
                *cell = self.product(k, *cell, a, b);
            }
        }
    }

    /// Consecutive groups whose activations are one vector per pixel.
    fn block(&self, k: &mut KernelBuilder, cells: &Cells, x: &[i64], acc: &mut [Value], a: &Index, w: &Index) {
        let spec = self.spec;
        let memory = spec.numbers.memory.x(spec.block * spec.numbers.group);
        if Shape::keeps_weights(&spec.numbers) {
            let cells_of = |g: usize| (0..cells.columns).map(move |j| (g, j));
            let all: Vec<(usize, usize)> = (0..spec.block).flat_map(cells_of).collect();
            let b: Vec<Value> = all.iter().map(|&(g, j)| self.weight(k, &(w.clone() + g as i64 * self.w_group()), j)).collect();
            for (m, d) in x.iter().enumerate() {
                let a = k.load(memory, self.x(a.clone() + *d));
                for (&(g, j), &b) in all.iter().zip(&b) {
                    let cell = &mut acc[cells.index(g % cells.sets, m, j)];
                    *cell = self.dot_lane(k, *cell, a, g, b);
                }
            }
            return;
        }
        let a: Vec<Value> = x
            .iter()
            .map(|d| {
                let v = k.load(memory, self.x(a.clone() + *d));
                if spec.numbers.form == Form::Pairs { k.widen(v, Elem::I16) } else { v }
            })
            .collect();
        for g in 0..spec.block {
            let w = w.clone() + g as i64 * self.w_group();
            for j in 0..cells.columns {
                let b = self.weight(k, &w, j);
                for (m, &a) in a.iter().enumerate() {
                    let cell = &mut acc[cells.index(g % cells.sets, m, j)];
                    *cell = match spec.numbers.form {
                        Form::Float => k.fma_lane(*cell, a, g, b),
                        _ => self.dot_lane(k, *cell, a, g, b),
                    };
                }
            }
        }
    }

    /// Of column `j`, and of the next one if a register holds those of both.
    fn weights(&self, k: &mut KernelBuilder, w: &Index, j: usize) -> Vec<Value> {
        let spec = self.spec;
        if spec.numbers.chain() == 1 || spec.vectors < j + 2 {
            return vec![self.weight(k, w, j)];
        }
        let lanes = spec.lanes * spec.numbers.group;
        let both = self.packed(k, w, j, 2 * lanes);
        let half = |first| {
            let v = k.slice(both, first, lanes);
            k.widen(v, Elem::I16)
        };
        [0, lanes].map(half).into()
    }

    /// So many weights in memory, from those of column `j` on.
    pub(super) fn packed(&self, k: &mut KernelBuilder, w: &Index, j: usize, lanes: usize) -> Value {
        let spec = self.spec;
        let before = (j * spec.lanes * spec.numbers.group) as i64 * i64::from(spec.numbers.packed.bytes());
        let w = w.clone() + before;
        if spec.prefetch_bytes != 0 && before % 64 == 0 {
            k.prefetch(self.w.at(w.clone() + spec.prefetch_bytes));
        }
        k.load(spec.numbers.packed.x(lanes), self.w.at(w))
    }

    fn weight(&self, k: &mut KernelBuilder, w: &Index, j: usize) -> Value {
        let spec = self.spec;
        if j == spec.vectors {
            return self.ones.expect("a vector of ones");
        }
        let v = self.packed(k, w, j, spec.lanes * spec.numbers.group);
        match spec.numbers.form {
            Form::Words => k.widen(v, Elem::I32),
            Form::BytePairs { .. } => k.widen(v, Elem::I16),
            Form::Pairs if spec.numbers.packed != spec.numbers.weight => k.widen(v, spec.numbers.weight),
            _ => v,
        }
    }

    /// A group of activations in all lanes, or a vector of them, ready for the operation.
    fn activation(&self, k: &mut KernelBuilder, at: Index, count: usize) -> Value {
        let n = &self.spec.numbers;
        let ty = n.memory.x(self.spec.lanes * n.group);
        if self.spec.across.is_some() {
            let is_bytes = matches!(n.form, Form::Bytes { .. } | Form::BytePairs { .. });
            let v = k.load_part(if is_bytes { ty.with_elem(n.operand) } else { ty }, self.x(at), count);
            let v = self.flip.map_or(v, |flip| k.xor(v, flip));
            return match n.form {
                Form::Bytes { .. } => v,
                Form::BytePairs { .. } => k.widen(v, Elem::I16),
                _ => k.widen(v, n.operand),
            };
        }
        match n.form {
            Form::Float => k.load_splat(ty, 1, self.x(at)),
            // The operation's own type: only the reading of the bits differs.
            Form::Bytes { .. } | Form::BytePairs { .. } | Form::ByteMatrices { .. } => {
                let v = k.load_splat_part(ty.with_elem(n.operand), n.group, self.x(at), count);
                let v = self.flip.map_or(v, |flip| k.xor(v, flip));
                if matches!(n.form, Form::BytePairs { .. }) { k.widen(v, Elem::I16) } else { v }
            }
            Form::Pairs => {
                let v = k.load_splat_part(ty, n.group, self.x(at), count);
                k.widen(v, Elem::I16)
            }
            Form::Words => {
                let v = k.load_splat(ty, 1, self.x(at));
                k.widen(v, Elem::I32)
            }
        }
    }

    /// The groups that one product takes.
    fn chain(&self, k: &mut KernelBuilder, acc: Value, a: &[Value], b: &[Value]) -> Value {
        let Some(one_each) = self.one_each else { return self.product(k, acc, a[0], b[0]) };
        let products: Vec<Value> = a.iter().zip(b).map(|(a, b)| if *b == one_each { *a } else { k.mul(*a, *b) }).collect();
        let sums = products.into_iter().reduce(|a, b| k.add(a, b)).expect("a group");
        k.dot(2, acc, sums, one_each)
    }

    fn product(&self, k: &mut KernelBuilder, acc: Value, a: Value, b: Value) -> Value {
        let spec = self.spec;
        match spec.numbers.form {
            Form::Float if spec.fma => k.fma(a, b, acc),
            Form::Float => {
                let product = k.mul(a, b);
                k.add(acc, product)
            }
            Form::Words => {
                let product = k.mul_wide(a, b);
                k.add(acc, product)
            }
            Form::Bytes { .. } | Form::BytePairs { .. } | Form::ByteMatrices { .. } | Form::Pairs => {
                self.summed(k, acc, |k, acc| k.dot(spec.numbers.group, acc, a, b))
            }
        }
    }

    fn dot_lane(&self, k: &mut KernelBuilder, acc: Value, a: Value, group: usize, b: Value) -> Value {
        self.summed(k, acc, |k, acc| k.dot_lane(self.spec.numbers.group, acc, a, group, b))
    }

    /// `dot` onto i32 accumulators; onto i64 accumulators by way of an i32 sum that cannot overflow.
    fn summed(&self, k: &mut KernelBuilder, acc: Value, dot: impl FnOnce(&mut KernelBuilder, Value) -> Value) -> Value {
        if self.spec.numbers.accumulator == Elem::I32 {
            return dot(k, acc);
        }
        let zero = k.int(Elem::I32.x(self.spec.lanes), 0);
        let sum = dot(k, zero);
        let wide = k.widen(sum, Elem::I64);
        k.add(acc, wide)
    }
}
