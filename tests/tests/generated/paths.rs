//! The schedules that a family of cases is there for, and how many programs had each.
//!
//! A schedule is known by what it leaves in the program: the names of its kernels, their arguments and loops, the number of calls. The idea:
//! a generator that no longer reaches a schedule says so, rather than testing nothing from then on.

use crate::cases::{Case, Family, Main, Types};
use cranelite_graph::graph::Graph;
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::Op;
use cranelite_tile::text::print_kernel;
use cranelite_tile::{Access, Call, Kernel, Program};
use std::fmt;

/// One program of one case.
pub struct Sample<'a> {
    pub case: &'a Case,
    /// After all rewrites.
    pub graph: &'a Graph,
    /// The rewrites that changed something.
    pub passes: &'a [&'static str],
    /// Activations of i8 are u8.
    pub is_moved: bool,
    pub program: &'a Program,
    pub goal: Goal,
}

impl Sample<'_> {
    fn is(&self, goal: Goal) -> bool {
        self.goal == goal
    }

    /// All calls and their kernels.
    fn calls(&self) -> impl Iterator<Item = (&Call, &Kernel)> {
        self.program.calls().map(|c| (c, self.program.kernel(c.kernel)))
    }

    fn kernels(&self, start: &str) -> impl Iterator<Item = &Kernel> {
        self.program.kernels.iter().filter(move |k| k.name.starts_with(start))
    }

    fn has(&self, start: &str) -> bool {
        self.kernels(start).next().is_some()
    }

    fn has_exactly(&self, names: &[&str]) -> bool {
        self.program.kernels.iter().any(|k| names.contains(&k.name.as_str()))
    }

    fn has_buffer(&self, name: &str) -> bool {
        self.program.buffers.iter().any(|b| b.name == name)
    }

    /// How many calls of kernels of that name there are.
    fn count(&self, start: &str) -> usize {
        self.calls().filter(|(_, k)| k.name.starts_with(start)).count()
    }

    /// Values that a parameter has in calls of kernels of that name.
    fn values(&self, start: &str, param: &str) -> Vec<i64> {
        let mut all: Vec<i64> = self
            .calls()
            .filter(|(_, k)| k.name.starts_with(start))
            .filter_map(|(c, k)| Some(c.params[k.params.iter().position(|p| p == param)?]))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// A kernel of that name has all of these texts and none of those.
    fn has_text(&self, start: &str, texts: &[&str], none: &[&str]) -> bool {
        self.kernels(start).map(print_kernel).any(|t| texts.iter().all(|p| t.contains(p)) && !none.iter().any(|p| t.contains(p)))
    }

    /// Products whose activations are permuted to weights, with a kernel that has all of these texts and none of those.
    fn has_select(&self, texts: &[&str], none: &[&str]) -> bool {
        let kernels = self.kernels("product").filter(|k| k.name.ends_with("_select"));
        kernels.map(print_kernel).any(|t| texts.iter().all(|p| t.contains(p)) && !none.iter().any(|p| t.contains(p)))
    }

    /// Products whose depth is in the lanes.
    fn has_across(&self) -> bool {
        self.is(Speed) && self.kernels("product").any(|k| k.name.ends_with("_across"))
    }

    fn groups(&self) -> usize {
        if let Main::Convolution { groups, .. } = self.case.main { groups } else { 1 }
    }

    fn multiplier(&self) -> usize {
        if let Main::Depthwise { multiplier } = self.case.main { multiplier } else { 1 }
    }

    /// Sums are a last step of a product.
    fn has_then(&self) -> bool {
        self.graph.nodes.iter().any(|n| !n.then.is_empty())
    }

    fn in_place(&self) -> bool {
        self.kernels("product").any(|k| k.args.iter().any(|a| a.access == Access::ReadWrite))
    }

    fn types(&self, all: &[Types]) -> bool {
        all.contains(&self.case.types)
    }
}

type Path = (&'static str, fn(&Sample) -> bool);

use Goal::{Size, Speed};

const CONVOLUTION: &[Path] = &[
    ("size: pixels that see themselves", |s| s.is(Size) && s.has_exactly(&["product_int_1x1"]) && s.has_text("product", &["loop x"], &[])),
    ("size: such pixels of several images", |s| {
        s.is(Size) && s.case.image[0] != 1 && s.has_exactly(&["product_int_1x1", "product_f32_1x1"])
    }),
    ("size: rows that a window of one pixel leaves out", |s| {
        s.is(Size)
            && s.case.image[0] != 1
            && s.case.image[1] != 1
            && s.case.filter == [1, 1]
            && s.case.image[1] <= s.case.stride[0]
            && s.has_exactly(&["product_int", "product_f32"])
    }),
    ("size: windows", |s| s.is(Size) && s.has_exactly(&["product_int"])),
    ("size: windows of floats", |s| s.is(Size) && s.has_exactly(&["product_f32"])),
    ("size: border columns by themselves", |s| {
        s.is(Size) && s.groups() == 1 && 1 < s.case.filter[1] && s.has_buffer("part") && 2 < s.count("product_int")
    }),
    ("size: constants of sums in memory", |s| s.is(Size) && s.has_text("product", &["constants: read"], &[])),
    ("size: sums in place", |s| s.is(Size) && s.in_place()),
    ("size: groups", |s| s.is(Size) && s.groups() != 1 && 1 < s.count("product")),
    ("speed: bytes of two pixels at once", |s| s.is(Speed) && s.has_text("product_int", &["= slice", "convert_toward_zero"], &[", 48\n"])),
    ("speed: bytes of four pixels at once, of a panel that is not full", |s| {
        s.is(Speed) && s.has_text("product_int", &["= slice", ", 48\n", "first"], &[])
    }),
    ("speed: all images as one row", |s| {
        s.is(Speed) && s.case.image[0] != 1 && s.case.filter == [1, 1] && s.has_text("product", &[], &["loop n "])
    }),
    ("speed: several images", |s| s.is(Speed) && s.has_text("product", &["loop n "], &[])),
    ("speed: rectangles with biases of their own", |s| s.is(Speed) && 2 < s.values("product_int", "c0").len()),
    ("speed: rectangles of floats", |s| s.is(Speed) && 2 < s.values("product_f32", "w0").len()),
    ("speed: pixels that see nothing", |s| s.is(Speed) && s.has_text("product", &["store"], &[" x["])),
    ("speed: few channels as runs", |s| {
        s.is(Speed) && 1 < s.case.filter[1] && s.groups() == 1 && s.has_text("product_int", &["loop k "], &["loop kx", "taps_x"])
    }),
    ("speed: tap by tap", |s| s.is(Speed) && s.has_text("product", &["loop kx"], &[])),
    ("speed: depth written out", |s| s.is(Speed) && s.has_text("product", &[], &["loop k ", "loop ky"])),
    ("speed: single groups after the steps", |s| s.is(Speed) && s.has_text("product", &["loop rest"], &[])),
    ("speed: panels", |s| s.is(Speed) && s.has_text("product", &["loop panel"], &[])),
    ("speed: groups", |s| s.is(Speed) && s.groups() != 1),
    ("speed: one band widened ahead", |s| s.is(Speed) && s.count("widen_") == 1),
    ("speed: several bands widened ahead", |s| s.is(Speed) && 1 < s.count("widen_")),
    ("speed: several images widened ahead", |s| {
        s.is(Speed) && s.case.image[0] != 1 && s.has_text("product", &["loop n "], &[]) && s.has("widen_")
    }),
    ("speed: sums of activations ahead", |s| s.is(Speed) && s.has("sums_")),
    ("speed: sums in place", |s| s.is(Speed) && s.in_place()),
    ("depth in the lanes: floats", |s| s.has_across() && s.types(&[Types::F32])),
    ("depth in the lanes: bytes", |s| s.has_across() && s.has_text("product", &["dot.4", "reduce_add"], &[])),
    ("depth in the lanes: bytes as pairs", |s| {
        s.has_across() && s.types(&[Types::I8]) && s.has_text("product", &["dot.2", "reduce_add"], &[])
    }),
    ("depth in the lanes: 16 bits", |s| s.has_across() && s.types(&[Types::I16Bias32])),
    ("depth in the lanes: quantised at run time", |s| s.has_across() && s.case.is_hybrid()),
    ("depth in the lanes: several images", |s| s.has_across() && s.case.image[0] != 1 && s.has_text("product", &["loop n "], &[])),
    ("depth in the lanes: groups", |s| s.has_across() && s.groups() != 1),
    ("depth in the lanes: rectangles", |s| s.has_across() && 2 < s.values("product", "x0").len()),
    ("depth in the lanes: one row", |s| s.has_across() && s.case.image[1] == 1 && s.case.image[2] != 1),
    ("depth in the lanes: one column", |s| s.has_across() && s.case.image[1] != 1 && s.case.image[2] == 1),
    ("depth in the lanes: strides larger than the window", |s| s.has_across() && s.case.filter[1] < s.case.stride[1]),
    ("depth in the lanes: apart taps", |s| s.has_across() && s.case.filter[1] != 1 && s.case.dilation[1] != 1),
    ("depth in the lanes: sums in place", |s| s.has_across() && s.in_place()),
    ("depth in the lanes: parts of vectors", |s| s.has_across() && s.has_text("product", &["first", "reduce_add"], &[])),
    ("quantised at run time without offset", |s| s.case.image[0] != 1 && s.has("quantize_symmetric")),
    ("quantised at run time with offset", |s| s.case.image[0] != 1 && s.has("quantize_asymmetric")),
    ("weights of which another is zero", |s| s.types(&[Types::U8])),
    ("sums of 16 bits in 32", |s| s.types(&[Types::I16Bias32])),
    ("PAD in the convolution", |s| s.passes.contains(&"pad")),
    ("RELU in the convolution", |s| s.passes.contains(&"activation")),
    ("strides moved to the input", |s| s.passes.contains(&"stride")),
    ("pixels picked for a sum", |s| s.passes.contains(&"stride") && s.has("move_")),
    ("sums in the product", |s| s.has_then()),
    ("moved bytes that are multiplied as they are", |s| s.is_moved && s.is(Speed) && s.has_text("product_int", &["dot.4"], &["xor"])),
    ("moved bytes: sums in the product", |s| s.is_moved && s.has_then()),
    ("moved bytes: size", |s| s.is_moved && s.is(Size) && s.has_text("product_int", &["dot.4"], &["xor"])),
];

const DEPTHWISE: &[Path] = &[
    ("size: floats", |s| s.is(Size) && s.has_exactly(&["depthwise_f32"])),
    ("size: bytes", |s| s.is(Size) && s.has_exactly(&["depthwise_i8"])),
    ("size: unsigned bytes", |s| s.is(Size) && s.has_exactly(&["depthwise_u8"])),
    ("size: 16 bits", |s| s.is(Size) && s.types(&[Types::I16]) && s.has_exactly(&["depthwise_i16"])),
    ("size: a last vector that overlaps", |s| s.is(Size) && s.multiplier() == 1 && s.has_buffer("channels") && s.count("depthwise") == 2),
    ("stencil of floats", |s| s.is(Speed) && s.multiplier() == 1 && s.has_text("depthwise_f32", &["first_row"], &[])),
    ("stencil of integers", |s| s.is(Speed) && s.has_text("depthwise_i8", &["first_row"], &[])),
    ("stencil: an odd last row", |s| s.is(Speed) && s.values("depthwise", "rows").len() == 2),
    ("stencil: several ranges of channels", |s| s.is(Speed) && 1 < s.values("depthwise", "first_channel").len()),
    ("stencil: rows of padding", |s| s.is(Speed) && s.has_text("depthwise", &["first_row", "fill: read"], &[])),
    ("stencil: a loop along the row", |s| s.is(Speed) && s.has_text("depthwise", &["first_row", "loop x "], &[])),
    ("several outputs per channel", |s| s.multiplier() != 1 && s.has_text("depthwise", &["loop ic"], &[])),
    ("large windows", |s| s.is(Speed) && s.multiplier() == 1 && s.has_text("depthwise", &["first_column"], &[])),
    ("a padded copy", |s| s.has_buffer("padded")),
    ("a rest of columns", |s| 1 < s.values("depthwise", "first_column").len()),
    ("one channel as a product", |s| s.case.image[3] == 1 && s.has("product")),
    ("quantised at run time", |s| s.case.image[0] != 1 && s.has("quantize_images")),
    ("sums of 16 bits in 32", |s| s.types(&[Types::I16Bias32])),
    ("PAD in the convolution", |s| s.passes.contains(&"pad")),
    ("RELU in the convolution", |s| s.passes.contains(&"activation")),
    ("stencil of moved bytes", |s| s.is_moved && s.is(Speed) && s.has_text("depthwise_u8", &["first_row", "dot.4"], &["xor"])),
];

const FULLY_CONNECTED: &[Path] = &[
    ("size: integers", |s| s.is(Size) && s.has_exactly(&["product_int_1x1"])),
    ("size: floats", |s| s.is(Size) && s.has_exactly(&["product_f32_1x1"])),
    ("speed: one row", |s| s.is(Speed) && s.case.image[..3] == [1, 1, 1]),
    ("speed: several rows", |s| s.is(Speed) && s.has_text("product", &["loop x "], &[])),
    ("speed: depth written out", |s| s.is(Speed) && s.has_text("product", &[], &["loop k "])),
    ("speed: widened ahead", |s| s.is(Speed) && s.has("widen_")),
    ("speed: sums of activations ahead", |s| s.is(Speed) && s.has("sums_")),
    ("speed: sums in place", |s| s.is(Speed) && s.in_place()),
    ("depth in the lanes: one row", |s| s.has_across() && s.case.image[..3] == [1, 1, 1]),
    ("depth in the lanes: rows together", |s| s.has_across() && s.case.image[..3] != [1, 1, 1] && !s.case.is_hybrid()),
    ("depth in the lanes: quantised at run time", |s| s.has_across() && s.case.is_hybrid()),
    ("quantised at run time without offset", |s| s.has("quantize_symmetric")),
    ("quantised at run time with offset", |s| s.has("quantize_asymmetric")),
    ("weights with a zero point", |s| s.types(&[Types::I8Offset])),
    ("bytes to 16 bits", |s| s.types(&[Types::U8To16])),
    ("weights of 16 bits", |s| s.types(&[Types::I16Words])),
    ("RELU in the product", |s| s.passes.contains(&"activation")),
    ("sums in the product", |s| s.has_then()),
    ("moved bytes that are multiplied as they are", |s| s.is_moved && s.is(Speed) && s.has_text("product_int", &["dot.4"], &["xor"])),
    ("weights at run time", |s| s.case.weights_at_run_time && s.has("move_")),
    ("weights at run time: quantised activations", |s| s.case.weights_at_run_time && s.case.is_hybrid()),
    ("weights at run time: one row", |s| s.case.weights_at_run_time && s.case.image[..3] == [1, 1, 1]),
    ("weights at run time: one column", |s| s.case.weights_at_run_time && matches!(s.case.main, Main::FullyConnected { units: 1, .. })),
];

const TRANSPOSED: &[Path] = &[
    ("size", |s| s.is(Size) && s.has("product")),
    ("speed: several phases", |s| s.is(Speed) && s.case.stride != [1, 1] && 1 < s.count("product")),
    ("phases that nothing falls on", |s| s.case.filter[0] < s.case.stride[0] || s.case.filter[1] < s.case.stride[1]),
    ("several images", |s| s.case.image[0] != 1),
    ("one row", |s| matches!(s.case.main, Main::Transposed { result: [1, _], .. })),
    ("one column", |s| matches!(s.case.main, Main::Transposed { result: [_, 1], .. })),
    ("rows and columns cut off", |s| matches!(s.case.main, Main::Transposed { before: [rows, columns], .. } if rows != 0 && columns != 0)),
    ("weights of which another is zero", |s| s.types(&[Types::U8])),
    ("sums of 16 bits in 32", |s| s.types(&[Types::I16Bias32])),
    ("quantised at run time", |s| s.case.is_hybrid()),
    ("RELU in the convolution", |s| s.passes.contains(&"activation")),
    ("moved bytes that are multiplied as they are", |s| s.is_moved && s.is(Speed) && s.has_text("product_int", &["dot.4"], &["xor"])),
];

const MATRICES: &[Path] = &[
    ("a constant matrix that is packed", |s| {
        !s.case.weights_at_run_time && matches!(s.case.main, Main::BatchMatmul { ones: [_, [true, true]], .. })
    }),
    ("constant matrices", |s| !s.case.weights_at_run_time && matches!(s.case.main, Main::BatchMatmul { ones: [_, [false, _]], .. })),
    ("a side that is transposed first", |s| s.has("move_")),
    ("batches of the left side repeated", |s| {
        s.case.image[0] != 1 && matches!(s.case.main, Main::BatchMatmul { ones: [[true, _], [false, _]], .. })
    }),
    ("batches of the right side repeated", |s| {
        s.case.image[1] != 1 && matches!(s.case.main, Main::BatchMatmul { ones: [[_, false], [_, true]], .. })
    }),
    ("one row", |s| s.case.image[2] == 1),
    ("one column", |s| matches!(s.case.main, Main::BatchMatmul { columns: 1, .. })),
    ("sums as they are", |s| s.types(&[Types::I8To32])),
    ("16 bits", |s| s.types(&[Types::I16Words])),
    ("quantised at run time without offset", |s| s.has("quantize_symmetric")),
    ("quantised at run time with offset", |s| s.has("quantize_asymmetric")),
];

const WINDOW: &[Path] = &[
    ("size: largest", |s| s.is(Size) && s.has_exactly(&["max_pool_f32", "max_pool_i8", "max_pool_u8", "max_pool_i16"])),
    ("size: averages", |s| s.is(Size) && s.has_exactly(&["average_pool_f32", "average_pool_i8", "average_pool_u8", "average_pool_i16"])),
    ("size: a last vector that overlaps", |s| s.is(Size) && s.has_buffer("channels")),
    ("speed: written out", |s| s.is(Speed) && s.has_text("max_pool", &[], &["loop ky"])),
    ("speed: loops over taps", |s| s.is(Speed) && s.has_text("average_pool", &["loop ky"], &[])),
    ("borders by themselves", |s| s.is(Speed) && 4 < s.count("average_pool") + s.count("max_pool")),
    ("means whose lanes are results", |s| s.has_text("mean", &[], &["reduce_add"])),
    ("means across lanes", |s| s.has_text("mean", &["reduce_add"], &[])),
    ("moved bytes: largest", |s| s.is_moved && s.has("max_pool_u8")),
    ("moved bytes: means", |s| s.is_moved && s.has("mean")),
];

const RUN_TIME: &[Path] = &[
    ("columns as lanes", |s| s.has("product_") && s.has("move_")),
    ("channels as lanes", |s| s.has_text("product_", &["loop tap"], &["load_splat x"]) && s.multiplier() == 1 && 1 < s.case.image[3]),
    ("channels one after the other", |s| 1 < s.multiplier() && 1 < s.case.image[3]),
    ("groups", |s| 1 < s.groups()),
    ("pairs", |s| s.has_text("product_", &["dot.2"], &[])),
    ("quantised activations", |s| s.has("quantize_") && s.has("move_")),
    ("a bias in memory", |s| s.case.at_run_time[1] && s.case.bias),
    ("constant weights", |s| !s.case.at_run_time[0]),
    ("a sum as the last step", |s| s.graph.nodes.iter().any(|n| !n.then.is_empty())),
];
const COPY: &[Path] = &[
    ("one row", |s| s.has_text("copy", &["at"], &["loop row"])),
    ("rows of pieces", |s| s.has_text("copy", &["loop row"], &[])),
    ("more pieces than a kernel has", |s| 1 < s.count("copy")),
    ("padding", |s| s.has("pad_")),
    ("moved bytes", |s| s.is_moved),
    ("slices", |s| s.has("move_")),
    ("slices backwards", |s| {
        s.graph.nodes.iter().any(|n| matches!(&n.op, Op::StridedSlice(a) if a.stride.iter().zip(&a.count).any(|(s, n)| *s < 0 && 1 < *n)))
    }),
];

const WINOGRAD: &[Path] = &[
    ("2 x 2 outputs", |s| s.has("winograd_input_2x2")),
    ("4 x 4 outputs", |s| s.has("winograd_input_4x4")),
    ("several bands", |s| s.has("winograd") && 3 < s.values("winograd_input", "first").len()),
    ("several images", |s| s.case.image[0] != 1 && 1 < s.values("winograd_input", "image").len()),
    ("rows of padding", |s| s.has_text("winograd_input", &["fill: read"], &[])),
    ("no rows outside of the image", |s| s.has_text("winograd_input", &["row"], &["fill: read"])),
    ("a last vector that overlaps", |s| s.case.image[3] == 40 && s.has_text("winograd_input", &["loop c "], &[])),
    ("channels that are no vector", |s| s.has_text("winograd_input", &["first 12"], &[])),
    ("a depth written out", |s| s.has("winograd") && s.has_text("product", &["loop n "], &["loop k "])),
    ("a sum as the last step", |s| s.has_then() && s.has("winograd")),
    ("a sum in place", |s| s.kernels("winograd_output").any(|k| k.args.iter().any(|a| a.access == Access::ReadWrite))),
    ("direct without memory", |s| s.is(Speed) && s.case.beside == 0 && !s.has("winograd")),
    ("direct for size", |s| s.is(Size) && 30 < s.case.beside && !s.has("winograd")),
    ("direct with groups", |s| s.is(Speed) && s.groups() != 1 && 30 < s.case.beside && !s.has("winograd")),
];

const SPARSE: &[Path] = &[
    ("bytes, table after table", |s| s.has_select(&["dot.4"], &["walk"])),
    ("bytes, a walk", |s| s.has_select(&["dot.4", "walk"], &[])),
    ("bytes, long tables", |s| s.has_select(&["dot.4", "permute.64"], &[])),
    ("bytes as pairs", |s| s.types(&[Types::I8]) && s.has_select(&["dot.2"], &[])),
    ("16 bits", |s| s.types(&[Types::I16, Types::I16Bias32]) && s.has_select(&["dot.2"], &[])),
    ("floats, table after table", |s| s.types(&[Types::F32]) && s.has_select(&["fma"], &["walk"])),
    ("floats, a walk", |s| s.types(&[Types::F32]) && s.has_select(&["fma", "walk"], &[])),
    ("floats by bytes", |s| s.types(&[Types::F32]) && s.has_select(&["fma", "permute.16", "u8x16 = permute"], &[])),
    ("quantised at run time", |s| s.case.is_hybrid() && s.has_select(&[], &[])),
    ("one row", |s| s.case.image[..3] == [1, 1, 1] && s.has_select(&[], &[])),
    ("several images", |s| s.has_select(&["loop n "], &[])),
    ("strides", |s| s.case.stride != [1, 1] && s.has_select(&[], &[])),
    ("borders that are dense", |s| s.case.same && s.has_select(&[], &[]) && s.kernels("product").any(|k| !k.name.ends_with("_select"))),
    ("a panel that is not full", |s| s.has_select(&[" first "], &[])),
    ("sums as the last step", |s| s.has_then() && s.has_select(&[], &[])),
    ("sums in place", |s| s.in_place() && s.has_select(&[], &[])),
    ("moved bytes", |s| s.is_moved && s.has_select(&["dot.4"], &["xor"])),
    ("dense for size", |s| s.is(Size) && s.has("product")),
];

/// Programs by path.
pub struct Paths {
    all: Vec<(Path, usize)>,
}

impl Paths {
    pub fn of(family: Family) -> Paths {
        let all = match family {
            Family::Convolution => CONVOLUTION,
            Family::Depthwise => DEPTHWISE,
            Family::FullyConnected => FULLY_CONNECTED,
            Family::Transposed => TRANSPOSED,
            Family::Matrices => MATRICES,
            Family::RunTime => RUN_TIME,
            Family::Window => WINDOW,
            Family::Copy => COPY,
            Family::Winograd => WINOGRAD,
            Family::Sparse => SPARSE,
        };
        Paths { all: all.iter().map(|p| (*p, 0)).collect() }
    }

    pub fn see(&mut self, sample: &Sample) {
        for ((_, is), count) in &mut self.all {
            *count += usize::from(is(sample));
        }
    }

    pub fn missing(&self) -> Vec<&'static str> {
        self.all.iter().filter(|(_, count)| *count == 0).map(|((name, _), _)| *name).collect()
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.all.iter().try_for_each(|((name, _), count)| writeln!(f, "{count:>6} {name}"))
    }
}
