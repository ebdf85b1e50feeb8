//! Products of two run-time tensors: the right side is read where it is, row by row of the depth.
//!
//! Not for constants, which are packed when the model is compiled. The idea: columns of the right side are lanes, so that its rows need no
//! packing; pairs of rows are interleaved in registers for the product of pairs of 16 bits, once for all pixels of a tile. Zero points are
//! subtracted after loading, since nothing is known of sums ahead, and so absent taps of a window are left out of the loops. A side whose depth does
//! not lie that way is transposed into scratch.

use super::epilogue::{Epilogue, Tables};
use super::geometry::Segment;
use super::tables::Scales;
use super::{Axis, Bias, Rescale};
use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::pointwise::{Destination, Output};
use crate::lower::requantize::{Rescaling, Target, elem, sums_fit_32_bits};
use crate::lower::{Context, moves, narrow};
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
    /// In memory, if it is no constant.
    pub bias: Option<BufferId>,
    pub terms: Terms,
}

/// A convolution: images [batch, rows, columns, channels] with a filter that lies as [rows, columns, channels of a group, outputs].
#[derive(Clone, Debug)]
pub struct Windows {
    pub batch: usize,
    pub rows: Axis,
    pub columns: Axis,
    /// Of the images.
    pub channels: usize,
    pub groups: usize,
    pub outputs: usize,
    /// Columns of the whole filter, and where in it the taps of both axes are.
    pub filter_columns: usize,
    pub taps: [Taps; 2],
    /// In memory, if it is no constant.
    pub bias: Option<BufferId>,
    pub terms: Terms,
}

/// Tap `i` of an axis is that of number `first + i · step` in the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    pub first: usize,
    pub step: i64,
}

/// What is multiplied, and what becomes of the sums.
#[derive(Clone, Debug)]
pub struct Terms {
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
    let (rows, depth, columns) = (p.rows as i64, p.depth as i64, p.columns as i64);
    let level = |(d, b): (usize, &Batch)| {
        let results: usize = p.batches[d + 1..].iter().map(|b| b.count).product();
        let [x, w] = b.strides.map(|n| n as i64);
        Level {
            count: b.count,
            x: x * rows * depth,
            w: w * depth * columns,
            y: results as i64 * rows * columns,
            factor: x * rows,
            group: 0,
        }
    };
    let walk = Walk {
        levels: p.batches.iter().enumerate().map(level).collect(),
        first: None,
        rows: p.rows,
        x_row: depth,
        y_row: columns,
        factor_row: 1,
        columns: p.columns,
        w_step: columns,
        taps: [Level { count: 1, ..Level::default() }; 2],
        run: p.depth,
        own: false,
    };
    let plan = Plan::new(cx, &p.terms, p.columns, p.depth, 1, p.bias, false)?;
    plan.call(cx, walk, sides, to);
    Ok(())
}

/// Writes the calls from images and filter to the destination: one for each rectangle of pixels that see the same taps.
pub fn windows(cx: &mut Context, p: &Windows, sides: [BufferId; 2], to: &Destination) -> Result<(), Diagnostic> {
    let rectangles = super::rectangles(&p.rows, &p.columns, p.outputs)?;
    let run = p.channels / p.groups;
    let depth = p.rows.filter * p.columns.filter * run;
    // Where each channel has one output of its own, channels are lanes.
    let own = p.groups == p.channels && p.groups == p.outputs && 1 < p.groups;
    let groups = if own { 1 } else { p.groups };
    let columns = p.outputs / groups;
    let plan = Plan::new(cx, &p.terms, columns, depth, groups, p.bias, own)?;
    let (rows, pixels) = (&p.rows.places, &p.columns.places);
    let (pixel, outputs) = (p.channels as i64, p.outputs as i64);
    let line = p.columns.input as i64 * pixel;
    let (y_pixel, y_line) = (outputs, pixels.count as i64 * outputs);
    let (w_tap, w_row) = (run as i64 * outputs, (p.filter_columns * run) as i64 * outputs);
    let per_image = i64::from(matches!(p.terms.rescale, Rescale::Hybrid { .. }));
    for (row, column) in &rectangles {
        let nothing = row.taps() == 0 || column.taps() == 0;
        let of_taps = |s: &Segment, taps: &Taps, x: i64, w: i64| {
            let (count, first) = if nothing { (0, 0) } else { (s.taps(), taps.first as i64 + s.first as i64 * taps.step) };
            (Level { count, x, w: taps.step * w, ..Level::default() }, first * w)
        };
        let (tap_rows, w0) = of_taps(row, &p.taps[0], p.rows.dilation as i64 * line, w_row);
        let (tap_columns, w1) = of_taps(column, &p.taps[1], p.columns.dilation as i64 * pixel, w_tap);
        let x0 = if nothing { 0 } else { p.rows.origin(row) as i64 * line + p.columns.origin(column) as i64 * pixel };
        let y0 = (rows.first + row.start * rows.step) as i64 * y_line + (pixels.first + column.start * pixels.step) as i64 * y_pixel;
        let batch =
            Level { count: p.batch, x: p.rows.input as i64 * line, y: rows.count as i64 * y_line, factor: per_image, ..Level::default() };
        let group = Level { count: groups, x: run as i64, w: columns as i64, y: columns as i64, group: 1, ..Level::default() };
        let lines = Level { count: row.len, x: p.rows.stride as i64 * line, y: rows.step as i64 * y_line, ..Level::default() };
        let walk = Walk {
            levels: vec![batch, group, lines],
            first: Some([x0, w0 + w1, y0]),
            rows: column.len,
            x_row: p.columns.stride as i64 * pixel,
            y_row: pixels.step as i64 * y_pixel,
            factor_row: 0,
            columns,
            w_step: outputs,
            taps: [tap_rows, tap_columns],
            run,
            own,
        };
        plan.call(cx, walk, sides, to);
    }
    Ok(())
}

/// One dimension of a walk, and how many elements lie between two turns; of factors and tables how many of these.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    count: usize,
    x: i64,
    w: i64,
    y: i64,
    factor: i64,
    group: i64,
}

/// The loops of a kernel, from outside in.
#[derive(Clone, Debug)]
struct Walk {
    levels: Vec<Level>,
    /// The first elements of both sides and of the result, as parameters; else all are 0.
    first: Option<[i64; 3]>,
    /// In each turn of those, so many rows of so many columns.
    rows: usize,
    x_row: i64,
    y_row: i64,
    factor_row: i64,
    columns: usize,
    /// From one step of the depth to the next.
    w_step: i64,
    taps: [Level; 2],
    /// Steps of the depth for each tap.
    run: usize,
    /// Every column has an element of its own on the left, too.
    own: bool,
}

/// What all kernels of a product share.
struct Plan<'a> {
    terms: &'a Terms,
    form: Form,
    epilogue: Epilogue,
    lanes: usize,
    /// Of a full panel.
    vectors: usize,
    /// Columns of a group in full panels, and vectors after them, the last of which may not be full.
    main: usize,
    rest: usize,
    bias: Option<BufferId>,
    /// The bias is not followed by zeros.
    bias_ends: bool,
    scales: Option<BufferId>,
}

impl<'a> Plan<'a> {
    /// `columns` of each of `groups`, which are sums of `depth` products.
    fn new(
        cx: &mut Context,
        terms: &'a Terms,
        columns: usize,
        depth: usize,
        groups: usize,
        bias: Option<BufferId>,
        own: bool,
    ) -> Result<Self, Diagnostic> {
        let pairs = if cx.machine.has_vectors() && !own { Form::Pairs } else { Form::Singles };
        let form = match terms.elements {
            [ElementType::F32, _] => Form::Float { fma: cx.machine.fma },
            // Where the bias is of 32 bits, so are the sums, as in the reference.
            [ElementType::I16, _] if !matches!(terms.rescale, Rescale::Sum(_)) => Form::Words,
            _ => pairs,
        };
        let all = columns * groups;
        let (epilogue, scales) = terms.epilogue(cx.machine, all, depth, bias.is_some())?;
        if let Some(form) = epilogue.form() {
            cx.note_rescaling(form, all);
        }
        let lanes = cx.machine.lanes(Elem::I32);
        let size = form.accumulator().bytes() as usize / 4;
        let vectors = columns.div_ceil(lanes).min((cx.machine.tile_f32.vectors as usize / size).max(1));
        let width = vectors * lanes;
        let main = columns / width * width;
        let rest = (columns - main).div_ceil(lanes);
        let padded = main + rest * lanes;
        let of_groups = || (0..groups).map(|g| g * columns);
        let mut own_bias = None;
        if !matches!(terms.bias, Bias::None) && !matches!(terms.rescale, Rescale::Hybrid { .. }) {
            let bytes: Vec<u8> =
                of_groups().flat_map(|first| terms.bias.bytes(form.accumulator(), first..first + columns, padded)).collect();
            own_bias = Some(cx.constant("bias", bytes, 64));
        }
        let mut table = None;
        if 0 < epilogue.scale_bytes() {
            let of_group = |first: usize| {
                let mut table = scales.table(&terms.bias, first..first + main, width);
                table.extend(scales.table(&terms.bias, first + main..first + columns, (rest * lanes).max(1)));
                table
            };
            let bytes: Vec<u8> = of_groups().flat_map(of_group).collect();
            table = Some(cx.constant("scales", bytes, 64));
        }
        let bias_ends = bias.is_some();
        Ok(Plan { terms, form, epilogue, lanes, vectors, main, rest, bias: bias.or(own_bias), bias_ends, scales: table })
    }

    fn call(&self, cx: &mut Context, walk: Walk, sides: [BufferId; 2], to: &Destination) {
        let mut buffers = sides.to_vec();
        buffers.extend(self.bias);
        buffers.extend(self.scales);
        if let Rescale::Hybrid { factors, .. } = &self.terms.rescale {
            buffers.extend(factors);
        }
        buffers.extend(to.buffers());
        let tile = (cx.machine.tile_f32.rows as usize).min(walk.rows);
        let params = walk.first.map_or(vec![], |first| first.to_vec());
        cx.call(Nest { plan: self, walk: &walk, tile }.kernel(to), &buffers, &params);
    }
}

/// The filter [outputs, rows, columns, channels] of a node's input as it is read here, from a constant or at run time.
pub fn filter(cx: &mut Context, node: &Node, index: usize) -> Result<BufferId, Diagnostic> {
    let ty = cx.input_type(node, index);
    let (outputs, depth) = (ty.shape[0], ty.shape[1..].iter().product());
    match cx.constant_input(node, index) {
        Some(data) => {
            let (ty, data) = narrow::widened(ty, data);
            Ok(cx.constant("weights", transposed_bytes(&data, ty.element, outputs, depth), 64))
        }
        None if ty.element.bytes().is_none() => Err(cx.not_constant(node, index, "a filter of less than a byte per weight")),
        None => {
            let from = cx.input(node, index);
            Ok(transposed(cx, from, ty.element, 1, outputs, depth))
        }
    }
}

/// Matrices [rows, columns] as [columns, rows], in scratch.
pub fn transposed(cx: &mut Context, from: BufferId, element: ElementType, matrices: usize, rows: usize, columns: usize) -> BufferId {
    let (bytes, size) = (element.bytes().expect("whole bytes"), rows * columns);
    let to = cx.scratch("transposed", (matrices * size * bytes) as u64);
    let turned = moves::axes(&[matrices, columns, rows], &[size as i64, 1, columns as i64]);
    moves::elements(cx, from, to, bytes, (0, 0), &turned);
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

impl Windows {
    /// Whether a node needs this: its filter or its bias is no constant.
    pub fn are_needed(cx: &Context, node: &Node) -> bool {
        [1, 2].iter().any(|&i| node.input(i).is_some() && cx.constant_input(node, i).is_none())
    }
}

impl Taps {
    /// All, in order.
    pub const ALL: Taps = Taps { first: 0, step: 1 };
}

impl Terms {
    fn epilogue(&self, machine: &Machine, columns: usize, depth: usize, any_bias: bool) -> Result<(Epilogue, Scales), Diagnostic> {
        let activation = self.activation;
        let target = || self.target.expect("the target of an integer result");
        let mut reach = self.reach(columns, depth);
        if self.elements.iter().all(|e| !matches!(e, ElementType::F32 | ElementType::I16)) {
            sums_fit_32_bits(reach.iter().enumerate().map(|(o, r)| (self.bias.int(o), *r)), depth)?;
        }
        if any_bias {
            reach.fill((i32::MIN.into(), i32::MAX.into()));
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
    fn reach(&self, columns: usize, depth: usize) -> Vec<(i64, i64)> {
        let [left, right] = [0, 1].map(|i| {
            let (low, high) = element_range(self.elements[i]).unwrap_or((0, 0));
            // A zero point that comes at run time is one of bytes.
            let offset = if i == 0 && matches!(self.rescale, Rescale::Hybrid { asymmetric: true, .. }) { 255 } else { 0 };
            [i64::from(low) - self.zero_points[i] - offset, i64::from(high) - self.zero_points[i] + offset]
        });
        let products = left.iter().flat_map(|a| right.iter().map(move |b| a * b));
        let (least, most) = products.fold((0, 0), |(l, h), v| (v.min(l), v.max(h)));
        let sum = |product: i64, column| product.saturating_mul(depth as i64).saturating_add(self.bias.int(column));
        (0..columns).map(|c| (sum(least, c), sum(most, c))).collect()
    }
}

struct Nest<'a> {
    plan: &'a Plan<'a>,
    walk: &'a Walk,
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

/// Where a tile is: elements of both sides and of the result, the factor of its first row, and bytes of the tables.
#[derive(Clone, Default)]
struct At {
    x: Index,
    w: Index,
    y: Index,
    factor: Index,
    bias: Index,
    scale: Index,
}

impl Nest<'_> {
    fn kernel(&self, to: &Destination) -> Kernel {
        let (plan, walk) = (self.plan, self.walk);
        let [left, right] = plan.terms.elements;
        let depth = walk.run * walk.taps.iter().map(|t| t.count).product::<usize>();
        let mut k = KernelBuilder::new(format!("product_{left}_{right}_{}x{depth}x{}", walk.rows, walk.columns));
        let hybrid = matches!(plan.terms.rescale, Rescale::Hybrid { .. });
        let args = Args {
            x: k.read("x"),
            w: k.read("w"),
            bias: plan.bias.map(|_| k.read("bias")),
            scale: plan.scales.map(|_| k.read("scale")),
            factor: hybrid.then(|| (k.read("factor"), k.read("offset"))),
            y: Output::declare(&mut k, to),
        };
        let mut at = At::default();
        if walk.first.is_some() {
            [at.x, at.w, at.y] = ["x0", "w0", "y0"].map(|name| k.param(name).into());
        }
        self.levels(&mut k, &args, &walk.levels, at);
        k.finish()
    }

    fn levels(&self, k: &mut KernelBuilder, args: &Args, levels: &[Level], at: At) {
        let Some((level, inner)) = levels.split_first() else { return self.matrix(k, args, at) };
        if level.count == 1 {
            return self.levels(k, args, inner, at);
        }
        let plan = self.plan;
        let padded = if plan.bias_ends { self.walk.columns } else { plan.main + plan.rest * plan.lanes };
        let bias = (padded * plan.form.accumulator().bytes() as usize) as i64;
        let scale = ((plan.main + plan.rest * plan.lanes) * plan.epilogue.scale_bytes()) as i64;
        k.each("batch", level.count, 1, |k, n| {
            let at = At {
                x: at.x + n * level.x,
                w: at.w + n * level.w,
                y: at.y + n * level.y,
                factor: at.factor + n * level.factor,
                bias: at.bias + n * (level.group * bias),
                scale: at.scale + n * (level.group * scale),
            };
            self.levels(k, args, inner, at);
        });
    }

    fn matrix(&self, k: &mut KernelBuilder, args: &Args, from: At) {
        let (plan, walk) = (self.plan, self.walk);
        let width = plan.vectors * plan.lanes;
        let (accumulator, scale_bytes) = (i64::from(plan.form.accumulator().bytes()), plan.epilogue.scale_bytes() as i64);
        let at = |column: Index| At {
            x: if walk.own { from.x.clone() + column.clone() } else { from.x.clone() },
            w: from.w.clone() + column.clone(),
            y: from.y.clone() + column.clone(),
            factor: from.factor.clone(),
            bias: from.bias.clone() + column.clone() * accumulator,
            scale: from.scale.clone() + column * scale_bytes,
        };
        if 0 < plan.main {
            let panels = plan.main / width;
            let panel = |k: &mut KernelBuilder, first: Index| self.panel(k, args, &at(first), plan.vectors, width);
            if panels == 1 { panel(k, 0.into()) } else { k.each("panel", panels, 1, |k, i| panel(k, i * width as i64)) }
        }
        if 0 < plan.rest {
            self.panel(k, args, &at(plan.main.into()), plan.rest, walk.columns - plan.main);
        }
    }

    /// All rows of so many columns.
    fn panel(&self, k: &mut KernelBuilder, args: &Args, at: &At, vectors: usize, columns: usize) {
        let walk = self.walk;
        let below = |rows: Index| At {
            x: at.x.clone() + rows.clone() * walk.x_row,
            y: at.y.clone() + rows.clone() * walk.y_row,
            factor: at.factor.clone() + rows * walk.factor_row,
            ..at.clone()
        };
        let (tiles, left) = (walk.rows / self.tile, walk.rows % self.tile);
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
        let (plan, walk) = (self.plan, self.walk);
        let (lanes, form, terms) = (plan.lanes, plan.form, plan.terms);
        let ty = form.accumulator().x(lanes);
        let start: Vec<Value> = (0..vectors)
            .map(|j| match args.bias {
                Some(bias) => {
                    let exist = if plan.bias_ends { columns - j * lanes } else { lanes };
                    k.load_part(ty, bias.at(at.bias.clone() + (j * ty.bytes() as usize) as i64), exist)
                }
                None if ty.elem.is_float() => k.float(ty, 0.0),
                None => k.int(ty, 0),
            })
            .collect();
        let operands = form.operand().x(lanes * form.group());
        let factor = |m: usize| (at.factor.clone() + m as i64 * walk.factor_row) * 4;
        let offsets: Vec<Option<Value>> = (0..rows)
            .map(|m| match (&terms.rescale, args.factor) {
                // An offset fits 16 bits, which are the first of its 32.
                (Rescale::Hybrid { asymmetric: true, .. }, Some((_, offset))) => Some(k.load_splat(operands, 1, offset.at(factor(m)))),
                _ => (terms.zero_points[0] != 0).then(|| k.int(operands, terms.zero_points[0])),
            })
            .collect();
        let acc: Vec<Value> = (0..rows).flat_map(|_| start.clone()).collect();
        let step = Step { nest: self, args, operands, offsets: &offsets, vectors, columns };
        let acc = step.taps(k, &walk.taps, at, acc);
        for (m, acc) in acc.chunks(vectors).enumerate() {
            let tables = Tables {
                class: None,
                scale: args.scale.map(|a| (a, at.scale.clone())),
                factor: args.factor.map(|(f, o)| (f.at(factor(m)), o.at(factor(m)))),
            };
            let y = (at.y.clone() + m as i64 * walk.y_row) * i64::from(plan.epilogue.output().bytes());
            plan.epilogue.store(k, &tables, acc, columns, &args.y, y);
        }
    }
}

/// What is done for one group of the depth.
struct Step<'a, 'o, 'd> {
    nest: &'a Nest<'a>,
    args: &'a Args<'o, 'd>,
    operands: cranelite_tile::Type,
    /// What is subtracted from the activations of a row.
    offsets: &'a [Option<Value>],
    vectors: usize,
    columns: usize,
}

impl Step<'_, '_, '_> {
    /// The sums over all taps, whose loops are what is left of `taps`.
    fn taps(&self, k: &mut KernelBuilder, taps: &[Level], at: &At, acc: Vec<Value>) -> Vec<Value> {
        let Some((tap, inner)) = taps.split_first() else { return self.run(k, at, acc) };
        let moved = |i: Index| At { x: at.x.clone() + i.clone() * tap.x, w: at.w.clone() + i * tap.w, ..at.clone() };
        match tap.count {
            0 => acc,
            1 => self.taps(k, inner, at, acc),
            count => k.repeat("tap", count, 1, &acc, |k, i, acc| self.taps(k, inner, &moved(i.into()), acc.to_vec())),
        }
    }

    fn run(&self, k: &mut KernelBuilder, at: &At, mut acc: Vec<Value>) -> Vec<Value> {
        let (depth, group) = (self.nest.walk.run, self.nest.plan.form.group());
        if group <= depth {
            acc = k.repeat("k", depth / group, 1, &acc, |k, i, acc| self.group(k, at, acc, i * group as i64, group));
        }
        if !depth.is_multiple_of(group) {
            acc = self.group(k, at, &acc, (depth / group * group).into(), depth % group);
        }
        acc
    }

    /// The group at `depth`, of which `count` elements exist.
    fn group(&self, k: &mut KernelBuilder, at: &At, acc: &[Value], depth: Index, count: usize) -> Vec<Value> {
        let (plan, walk) = (self.nest.plan, self.nest.walk);
        let (form, lanes) = (plan.form, plan.lanes);
        let weights: Vec<Value> = (0..self.vectors).map(|j| self.weight(k, at, &depth, j, count)).collect();
        let elem = elem(plan.terms.elements[0]).expect("an element of a product");
        let mut next = acc.to_vec();
        for (m, &offset) in self.offsets.iter().enumerate() {
            let first = at.x.clone() + m as i64 * walk.x_row + depth.clone();
            let operand = |k: &mut KernelBuilder, j: usize| {
                let place = self.args.x.at((first.clone() + (j * lanes) as i64) * i64::from(elem.bytes()));
                let x = match walk.own {
                    true => k.load_part(elem.x(lanes), place, (self.columns - j * lanes).min(lanes)),
                    false => k.load_splat_part(self.operands.with_elem(elem), form.group(), place, count),
                };
                let x = k.widen(x, self.operands.elem);
                offset.map_or(x, |o| k.sub(x, o))
            };
            // One for all columns, or a vector for each vector of them.
            let x: Vec<Value> = (0..if walk.own { self.vectors } else { 1 }).map(|j| operand(k, j)).collect();
            for (j, &w) in weights.iter().enumerate() {
                let (x, acc) = (x[j % x.len()], &mut next[m * self.vectors + j]);
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
    fn weight(&self, k: &mut KernelBuilder, at: &At, depth: &Index, j: usize, count: usize) -> Value {
        let (plan, lanes) = (self.nest.plan, self.nest.plan.lanes);
        let (form, zero_point) = (plan.form, plan.terms.zero_points[1]);
        let elem = elem(plan.terms.elements[1]).expect("an element of a product");
        let ty = form.operand().x(lanes);
        let row = |k: &mut KernelBuilder, i: usize| {
            if count <= i {
                return k.int(ty, 0);
            }
            let place = (at.w.clone() + (depth.clone() + i) * self.nest.walk.w_step + (j * lanes) as i64) * i64::from(elem.bytes());
            let v = k.load_part(elem.x(lanes), self.args.w.at(place), (self.columns - j * lanes).min(lanes));
            let v = k.widen(v, ty.elem);
            if zero_point == 0 {
                return v;
            }
            let zero = k.int(ty, zero_point);
            k.sub(v, zero)
        };
        if form != Form::Pairs {
            return row(k, 0);
        }
        let (a, b) = (row(k, 0), row(k, 1));
        k.interleave(a, b)
    }
}
