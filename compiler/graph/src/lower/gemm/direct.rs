//! Products of two run-time tensors: the right side is read where it is, row by row of the depth.
//!
//! Not for constants, which are packed when the model is compiled. The idea: columns of the right side are lanes, so that its rows need no
//! packing; pairs of rows are interleaved in registers for the product of pairs of 16 bits, once for all pixels of a tile. Zero points are
//! subtracted after loading, since nothing is known of sums ahead. A side whose depth does not lie that way is transposed into scratch.

use super::epilogue::{Epilogue, Tables};
use super::tables::Scales;
use super::{Bias, Rescale};
use crate::diagnostic::Diagnostic;
use crate::lower::Context;
use crate::lower::copy::container;
use crate::lower::pointwise::{Destination, Output};
use crate::lower::requantize::{Rescaling, Target, elem, sums_fit_32_bits};
use crate::ops::attributes::Activation;
use crate::quantize::element_range;
use crate::tensor::ElementType;
use cranelite_tile::{Arg, BufferId, Elem, Index, Kernel, KernelBuilder, Machine, Value};

/// One dimension of batches: how many there are, and how many matrices of either side lie between two of them; 0 where one serves all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub count: usize,
    pub strides: [usize; 2],
}

/// Matrices [rows, depth] times matrices [depth, columns].
#[derive(Clone, Debug)]
pub struct Direct {
    pub batches: Vec<Batch>,
    pub rows: usize,
    pub depth: usize,
    pub columns: usize,
    /// Of both sides, as they are multiplied.
    pub elements: [ElementType; 2],
    pub zero_points: [i64; 2],
    pub bias: Bias,
    pub rescale: Rescale,
    pub activation: Activation,
    /// Of an integer result that is rescaled.
    pub target: Option<Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Float {
        fma: bool,
    },
    /// Pairs of 16 bits into 32.
    Pairs,
    /// One by one into 32 bits, where there are no vectors.
    Singles,
    /// 16 bits by 16 bits into 64.
    Words,
}

impl Form {
    fn accumulator(self) -> Elem {
        match self {
            Form::Float { .. } => Elem::F32,
            Form::Pairs | Form::Singles => Elem::I32,
            Form::Words => Elem::I64,
        }
    }
    /// What operands are widened to.
    fn operand(self) -> Elem {
        match self {
            Form::Float { .. } => Elem::F32,
            Form::Pairs => Elem::I16,
            Form::Singles | Form::Words => Elem::I32,
        }
    }
    /// Steps of the depth per operation.
    fn group(self) -> usize {
        if self == Form::Pairs { 2 } else { 1 }
    }
}

/// Writes the call from the two sides to the destination.
pub fn lower(cx: &mut Context, p: &Direct, sides: [BufferId; 2], to: &Destination) -> Result<(), Diagnostic> {
    if p.batches.iter().any(|b| b.count == 0) || p.rows == 0 || p.columns == 0 {
        return Ok(());
    }
    let form = match p.elements {
        [ElementType::F32, _] => Form::Float { fma: cx.machine.fma },
        [ElementType::I16, _] => Form::Words,
        _ if cx.machine.has_vectors() => Form::Pairs,
        _ => Form::Singles,
    };
    let (epilogue, scales) = p.epilogue(cx.machine)?;
    if let Some(form) = epilogue.form() {
        cx.note_rescaling(form, p.columns);
    }
    let lanes = cx.machine.lanes(Elem::I32);
    let size = form.accumulator().bytes() as usize / 4;
    let vectors = p.columns.div_ceil(lanes).min((cx.machine.tile_f32.vectors as usize / size).max(1));
    let width = vectors * lanes;
    let main = p.columns / width * width;
    let rest = (p.columns - main).div_ceil(lanes);
    let nest = Nest { p, form, epilogue, lanes, vectors, main, rest, tile: (cx.machine.tile_f32.rows as usize).min(p.rows) };

    let mut buffers = sides.to_vec();
    if !matches!(p.bias, Bias::None) && !matches!(p.rescale, Rescale::Hybrid { .. }) {
        let padded = main + rest * lanes;
        buffers.push(cx.constant("bias", p.bias.bytes(form.accumulator(), p.columns, padded), 64));
    }
    if 0 < epilogue.scale_bytes() {
        let mut table = scales.table(&p.bias, 0..main, width);
        table.extend(scales.table(&p.bias, main..p.columns, (rest * lanes).max(1)));
        buffers.push(cx.constant("scales", table, 64));
    }
    if let Rescale::Hybrid { factors, .. } = &p.rescale {
        buffers.extend(factors);
    }
    buffers.extend(to.buffers());
    cx.call(nest.kernel(to), &buffers, &[]);
    Ok(())
}

/// Matrices [rows, columns] as [columns, rows], in scratch.
pub fn transposed(cx: &mut Context, from: BufferId, element: ElementType, matrices: usize, rows: usize, columns: usize) -> BufferId {
    let container = container(element.bytes().expect("whole bytes")).expect("an element of a product");
    let bytes = i64::from(container.bytes());
    let size = rows * columns;
    let to = cx.scratch("transposed", (matrices * size) as u64 * bytes as u64);
    if matrices * size == 0 {
        return to;
    }
    let mut k = KernelBuilder::new(format!("transpose_{container}"));
    let (x, y) = (k.read("x"), k.write("y"));
    k.each("matrix", matrices, 1, |k, m| {
        k.each("column", columns, 1, |k, c| {
            k.each("row", rows, 1, |k, r| {
                let v = k.load(container.x(1), x.at((m * size as i64 + r * columns as i64 + c) * bytes));
                k.store(y.at((m * size as i64 + c * rows as i64 + r) * bytes), v);
            });
        });
    });
    cx.call(k.finish(), &[from, to], &[]);
    to
}

/// The same of constant bytes.
pub fn transposed_bytes(data: &[u8], element: ElementType, rows: usize, columns: usize) -> Vec<u8> {
    let bytes = element.bytes().expect("whole bytes");
    let matrix = rows * columns * bytes;
    let mut all = Vec::with_capacity(data.len());
    for m in data.chunks_exact(matrix.max(1)) {
        for c in 0..columns {
            (0..rows).for_each(|r| all.extend_from_slice(&m[(r * columns + c) * bytes..][..bytes]));
        }
    }
    all
}

impl Direct {
    fn epilogue(&self, machine: &Machine) -> Result<(Epilogue, Scales), Diagnostic> {
        let activation = self.activation;
        let target = || self.target.expect("the target of an integer result");
        let reach = self.reach();
        if self.elements.iter().all(|e| !matches!(e, ElementType::F32 | ElementType::I16)) {
            sums_fit_32_bits(reach.iter().enumerate().map(|(o, r)| (self.bias.int(o), *r)), self.depth)?;
        }
        Ok(match &self.rescale {
            Rescale::Float => (Epilogue::Float { activation }, Scales::None),
            Rescale::None => (Epilogue::Plain, Scales::None),
            Rescale::Sum(references) => {
                let (rescaling, numbers) = Rescaling::new(machine, references, &reach, target())?;
                (Epilogue::Sum(rescaling), Scales::Sum(numbers))
            }
            Rescale::Wide(all) => (Epilogue::Wide { target: target() }, Scales::Wide(all.clone())),
            // The offset is subtracted from the activations.
            Rescale::Hybrid { scales, in_turn, .. } => {
                (Epilogue::Hybrid { asymmetric: false, in_turn: *in_turn, activation }, Scales::Hybrid(scales.clone()))
            }
        })
    }

    /// Between which bounds the sums lie, whatever the operands are.
    fn reach(&self) -> Vec<(i64, i64)> {
        let [left, right] = [0, 1].map(|i| {
            let (low, high) = element_range(self.elements[i]).unwrap_or((0, 0));
            // A zero point that comes at run time is one of bytes.
            let offset = if i == 0 && matches!(self.rescale, Rescale::Hybrid { asymmetric: true, .. }) { 255 } else { 0 };
            [i64::from(low) - self.zero_points[i] - offset, i64::from(high) - self.zero_points[i] + offset]
        });
        let products = left.iter().flat_map(|a| right.iter().map(move |b| a * b));
        let (least, most) = products.fold((0, 0), |(l, h), v| (v.min(l), v.max(h)));
        let sum = |product: i64, column| product.saturating_mul(self.depth as i64).saturating_add(self.bias.int(column));
        (0..self.columns).map(|c| (sum(least, c), sum(most, c))).collect()
    }
}

struct Nest<'a> {
    p: &'a Direct,
    form: Form,
    epilogue: Epilogue,
    lanes: usize,
    /// Of a full panel.
    vectors: usize,
    /// Columns in full panels, and vectors after them, the last of which may not be full.
    main: usize,
    rest: usize,
    /// Rows of a tile.
    tile: usize,
}

struct Args<'o, 'a> {
    x: Arg,
    w: Arg,
    bias: Option<Arg>,
    scale: Option<Arg>,
    factor: Option<(Arg, Arg)>,
    y: Output<'o, 'a>,
}

/// Where a tile is: elements of both sides and of the result, its first row, and bytes of the tables.
#[derive(Clone)]
struct At {
    x: Index,
    w: Index,
    y: Index,
    row: Index,
    bias: Index,
    scale: Index,
}

impl Nest<'_> {
    fn kernel(&self, to: &Destination) -> Kernel {
        let p = self.p;
        let [left, right] = p.elements;
        let mut k = KernelBuilder::new(format!("product_{left}_{right}_{}x{}x{}", p.rows, p.depth, p.columns));
        let hybrid = matches!(p.rescale, Rescale::Hybrid { .. });
        let args = Args {
            x: k.read("x"),
            w: k.read("w"),
            bias: (!matches!(p.bias, Bias::None) && !hybrid).then(|| k.read("bias")),
            scale: (0 < self.epilogue.scale_bytes()).then(|| k.read("scale")),
            factor: hybrid.then(|| (k.read("factor"), k.read("offset"))),
            y: Output::declare(&mut k, to),
        };
        self.batches(&mut k, &args, &p.batches, [Index::default(), Index::default(), Index::default()]);
        k.finish()
    }

    /// `at`: matrices of both sides and of the result.
    fn batches(&self, k: &mut KernelBuilder, args: &Args, batches: &[Batch], at: [Index; 3]) {
        let Some((batch, inner)) = batches.split_first() else { return self.matrix(k, args, at) };
        if batch.count == 1 {
            return self.batches(k, args, inner, at);
        }
        let results: usize = inner.iter().map(|b| b.count).product();
        k.each("batch", batch.count, 1, |k, n| {
            let [x, w, y] = at;
            let at = [x + n * batch.strides[0] as i64, w + n * batch.strides[1] as i64, y + n * results as i64];
            self.batches(k, args, inner, at);
        });
    }

    fn matrix(&self, k: &mut KernelBuilder, args: &Args, [x, w, y]: [Index; 3]) {
        let p = self.p;
        let width = self.vectors * self.lanes;
        let (accumulator, scale_bytes) = (i64::from(self.form.accumulator().bytes()), self.epilogue.scale_bytes() as i64);
        let at = |column: Index| At {
            x: x.clone() * (p.rows * p.depth) as i64,
            w: w.clone() * (p.depth * p.columns) as i64 + column.clone(),
            y: y.clone() * (p.rows * p.columns) as i64 + column.clone(),
            row: x.clone() * p.rows as i64,
            bias: column.clone() * accumulator,
            scale: column * scale_bytes,
        };
        if 0 < self.main {
            let panels = self.main / width;
            let panel = |k: &mut KernelBuilder, first: Index| self.panel(k, args, &at(first), self.vectors, width);
            if panels == 1 { panel(k, 0.into()) } else { k.each("panel", panels, 1, |k, i| panel(k, i * width as i64)) }
        }
        if 0 < self.rest {
            self.panel(k, args, &at(self.main.into()), self.rest, p.columns - self.main);
        }
    }

    /// All rows of so many columns.
    fn panel(&self, k: &mut KernelBuilder, args: &Args, at: &At, vectors: usize, columns: usize) {
        let p = self.p;
        let below = |rows: Index| At {
            x: at.x.clone() + rows.clone() * p.depth as i64,
            y: at.y.clone() + rows.clone() * p.columns as i64,
            row: at.row.clone() + rows,
            ..at.clone()
        };
        let (tiles, left) = (p.rows / self.tile, p.rows % self.tile);
        if tiles == 1 {
            self.tile(k, args, at, self.tile, vectors, columns);
        } else {
            k.each("tile", tiles, 1, |k, i| self.tile(k, args, &below(i * self.tile as i64), self.tile, vectors, columns));
        }
        if 0 < left {
            self.tile(k, args, &below((tiles * self.tile).into()), left, vectors, columns);
        }
    }

    fn tile(&self, k: &mut KernelBuilder, args: &Args, at: &At, rows: usize, vectors: usize, columns: usize) {
        let (p, lanes, form) = (self.p, self.lanes, self.form);
        let ty = form.accumulator().x(lanes);
        let start: Vec<Value> = (0..vectors)
            .map(|j| match args.bias {
                Some(bias) => k.load(ty, bias.at(at.bias.clone() + (j * ty.bytes() as usize) as i64)),
                None if ty.elem.is_float() => k.float(ty, 0.0),
                None => k.int(ty, 0),
            })
            .collect();
        let operands = form.operand().x(lanes * form.group());
        let factor = |m: usize| (at.row.clone() + m) * 4;
        let offsets: Vec<Option<Value>> = (0..rows)
            .map(|m| match (&p.rescale, args.factor) {
                // An offset fits 16 bits, which are the first of its 32.
                (Rescale::Hybrid { asymmetric: true, .. }, Some((_, offset))) => Some(k.load_splat(operands, 1, offset.at(factor(m)))),
                _ => (p.zero_points[0] != 0).then(|| k.int(operands, p.zero_points[0])),
            })
            .collect();
        let step = Step { nest: self, args, at, operands, offsets: &offsets, vectors, columns };
        let acc: Vec<Value> = (0..rows).flat_map(|_| start.clone()).collect();
        let group = form.group();
        let mut acc = k.repeat("k", p.depth / group, 1, &acc, |k, i, acc| step.group(k, acc, i * group as i64, group));
        if !p.depth.is_multiple_of(group) {
            acc = step.group(k, &acc, (p.depth / group * group).into(), p.depth % group);
        }
        for (m, acc) in acc.chunks(vectors).enumerate() {
            let tables = Tables {
                class: None,
                scale: args.scale.map(|a| (a, at.scale.clone())),
                factor: args.factor.map(|(f, o)| (f.at(factor(m)), o.at(factor(m)))),
            };
            let y = (at.y.clone() + (m * p.columns) as i64) * i64::from(self.epilogue.output().bytes());
            self.epilogue.store(k, &tables, acc, columns, &args.y, y);
        }
    }
}

/// What is done for one group of the depth.
struct Step<'a, 'o, 'd> {
    nest: &'a Nest<'a>,
    args: &'a Args<'o, 'd>,
    at: &'a At,
    operands: cranelite_tile::Type,
    /// What is subtracted from the activations of a row.
    offsets: &'a [Option<Value>],
    vectors: usize,
    columns: usize,
}

impl Step<'_, '_, '_> {
    /// The group at `depth`, of which `count` elements exist.
    fn group(&self, k: &mut KernelBuilder, acc: &[Value], depth: Index, count: usize) -> Vec<Value> {
        let (p, form) = (self.nest.p, self.nest.form);
        let weights: Vec<Value> = (0..self.vectors).map(|j| self.weight(k, &depth, j, count)).collect();
        let elem = elem(p.elements[0]).expect("an element of a product");
        let mut next = acc.to_vec();
        for (m, &offset) in self.offsets.iter().enumerate() {
            let at = (self.at.x.clone() + (m * p.depth) as i64 + depth.clone()) * i64::from(elem.bytes());
            let x = k.load_splat_part(self.operands.with_elem(elem), form.group(), self.args.x.at(at), count);
            let x = k.widen(x, self.operands.elem);
            let x = offset.map_or(x, |o| k.sub(x, o));
            for (j, &w) in weights.iter().enumerate() {
                let acc = &mut next[m * self.vectors + j];
                *acc = match form {
                    Form::Float { fma: true } => k.fma(x, w, *acc),
                    Form::Pairs => k.dot(2, *acc, x, w),
                    Form::Float { fma: false } | Form::Singles => {
                        let product = k.mul(x, w);
                        k.add(*acc, product)
                    }
                    Form::Words => {
                        let product = k.mul_wide(x, w);
                        k.add(*acc, product)
                    }
                };
            }
        }
        next
    }

    /// A vector of columns; of pairs, two rows that alternate.
    fn weight(&self, k: &mut KernelBuilder, depth: &Index, j: usize, count: usize) -> Value {
        let (p, lanes, form) = (self.nest.p, self.nest.lanes, self.nest.form);
        let elem = elem(p.elements[1]).expect("an element of a product");
        let ty = form.operand().x(lanes);
        let row = |k: &mut KernelBuilder, i: usize| {
            if count <= i {
                return k.int(ty, 0);
            }
            let at = (self.at.w.clone() + (depth.clone() + i) * p.columns as i64 + (j * lanes) as i64) * i64::from(elem.bytes());
            let v = k.load_part(elem.x(lanes), self.args.w.at(at), (self.columns - j * lanes).min(lanes));
            let v = k.widen(v, ty.elem);
            if p.zero_points[1] == 0 {
                return v;
            }
            let zero = k.int(ty, p.zero_points[1]);
            k.sub(v, zero)
        };
        if form != Form::Pairs {
            return row(k, 0);
        }
        let (a, b) = (row(k, 0), row(k, 1));
        k.interleave(a, b)
    }
}
