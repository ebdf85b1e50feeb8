//! TFLite_Detection_PostProcess: boxes, classes and scores of detected objects from what a single-shot detector predicts for anchors.
//!
//! Encodings, scores of classes (the first of which may be the background) and anchors; f32 or u8, anchors a constant of the encodings' type. A box
//! is its anchor moved and scaled, computed in doubles. Of boxes that overlap, the one with the better score stays: regular suppression looks at
//! each class by itself, the fast one at each box's best class.
//!
//! Several classes of a box with equal scores are in the order in which the reference's partial sort leaves them where it is built with GNU's C++ library.
//! Differs from the reference: results that it leaves as they were are zeros; a score of negative infinity is never good enough. Where anchors have a
//! negative size, the reference fails at run time; they are refused.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::boxes::{PLANES, Suppression};
use crate::lower::channels::each_block;
use crate::lower::moves::{self, Axis};
use crate::lower::select::{First, Heap, Numbers};
use crate::lower::{Context, math};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::tensor::ElementType::{F32, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;
use cranelite_tile::{Arg, Binary, BufferId, Cond, Elem, Index, KernelBuilder, Machine, Reduce, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub max_detections: usize,
    pub max_classes_per_detection: usize,
    pub detections_per_class: usize,
    pub use_regular_nms: bool,
    pub nms_score_threshold: f32,
    pub nms_iou_threshold: f32,
    pub num_classes: usize,
    pub y_scale: f32,
    pub x_scale: f32,
    pub h_scale: f32,
    pub w_scale: f32,
}
fields!(
    max_detections,
    max_classes_per_detection,
    detections_per_class,
    use_regular_nms,
    nms_score_threshold,
    nms_iou_threshold,
    num_classes,
    y_scale,
    x_scale,
    h_scale,
    w_scale
);

const BOXES: usize = 0;
const SCORES: usize = 1;
const ANCHORS: usize = 2;

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::All, outputs: 4..=4 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[F32], &[F32, U8], &[F32]], &[&[F32]]), Row::Of(&[&[U8], &[F32, U8], &[U8]], &[&[F32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source.named_options()?;
        Ok(Attributes {
            max_detections: o.count("max_detections")?,
            max_classes_per_detection: o.count("max_classes_per_detection")?,
            detections_per_class: if o.has("detections_per_class")? { o.count("detections_per_class")? } else { 100 },
            use_regular_nms: o.bool("use_regular_nms")?,
            nms_score_threshold: o.float("nms_score_threshold")?,
            nms_iou_threshold: o.float("nms_iou_threshold")?,
            num_classes: o.count("num_classes")?,
            y_scale: o.float("y_scale")?,
            x_scale: o.float("x_scale")?,
            h_scale: o.float("h_scale")?,
            w_scale: o.float("w_scale")?,
        })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (boxes, scores, anchors) = (s.input(BOXES)?, s.input(SCORES)?, s.input(ANCHORS)?);
        let wrong = |index: usize, ty: &TensorType, what: &str, expected: String| {
            Err(Diagnostic::new(Code::OPERAND, format!("the shape of {what} does not fit"))
                .detail(format!("input {index}"))
                .expected(expected)
                .found(format!("{:?}", ty.shape)))
        };
        let count = match boxes.shape[..] {
            [1, count, numbers] if 0 < count && 4 <= numbers && i32::try_from(count).is_ok() => count,
            _ => return wrong(BOXES, boxes, "the boxes", "[1, boxes, 4 or more]".into()),
        };
        let classes = self.num_classes;
        if !matches!(scores.shape[..], [1, n, c] if n == count && 0 < classes && (c == classes || Some(c) == classes.checked_add(1))) {
            let expected = format!("[1, {count}, {classes}], or one more with the background; at least one class");
            return wrong(SCORES, scores, "the scores", expected);
        }
        if anchors.shape != [count, 4] {
            return wrong(ANCHORS, anchors, "the anchors", format!("[{count}, 4]"));
        }
        for (ty, what) in [(boxes, "the boxes"), (scores, "the scores"), (anchors, "the anchors")] {
            if ty.element == U8 {
                checks::per_tensor(what, ty)?;
            }
        }
        for (what, n) in [("max_detections", self.max_detections), ("max_classes_per_detection", self.max_classes_per_detection)] {
            if n == 0 || i32::try_from(n).is_err() {
                return Err(Diagnostic::new(Code::ATTRIBUTE, format!("`{what}` is out of range"))
                    .expected("at least 1")
                    .found(n.to_string()));
            }
        }
        if self.use_regular_nms && self.detections_per_class == 0 {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`detections_per_class` is out of range").expected("at least 1").found("0"));
        }
        if !(0.0 < self.nms_iou_threshold && self.nms_iou_threshold <= 1.0) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "`nms_iou_threshold` is out of range")
                .expected("above 0, at most 1")
                .found(self.nms_iou_threshold.to_string()));
        }
        let all = self.max_detections.saturating_mul(self.max_classes_per_detection);
        checks::sized(vec![1, all, 4])?;
        Ok(vec![vec![1, all, 4], vec![1, all], vec![1, all], vec![1]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (boxes, scores) = (cx.input_type(node, BOXES), cx.input_type(node, SCORES));
        let count = boxes.shape[1];
        let l = Lowering {
            a: self,
            machine: cx.machine,
            boxes: Numbers::new(cx.machine, count),
            score: Real::of(scores),
            columns: scores.shape[2],
            first_class: scores.shape[2] - self.num_classes,
        };
        let planes = cx.scratch("boxes", (PLANES * count * 4) as u64);
        let anchors = anchors(cx, node)?;
        l.decode_boxes(cx, node, anchors, planes);
        for i in 0..4 {
            let (zeros, y, n) = (cx.fill(0, 4), cx.output(node, i), cx.output_type(node, i).element_count());
            moves::elements(cx, zeros, y, 4, (0, 0), &[Axis { count: n, from: 0, to: 1 }]);
        }
        if self.use_regular_nms {
            l.regular(cx, node, planes)
        } else {
            l.fast(cx, node, planes)
        }
        Ok(())
    }
}

/// How elements are real numbers.
#[derive(Clone, Copy)]
struct Real {
    elem: Elem,
    zero_point: f32,
    scale: f32,
}

impl Real {
    fn of(ty: &TensorType) -> Real {
        match ty.element {
            U8 => {
                let (scale, zero_point) = checks::per_tensor("", ty).expect("infer has seen the quantisation");
                Real { elem: Elem::U8, zero_point: zero_point as f32, scale }
            }
            _ => Real { elem: Elem::F32, zero_point: 0.0, scale: 1.0 },
        }
    }
    fn bytes(self) -> i64 {
        i64::from(self.elem.bytes())
    }
    fn value(self, k: &mut KernelBuilder, v: Value) -> Value {
        if self.elem == Elem::F32 {
            return v;
        }
        let v = k.widen(v, Elem::I32);
        let v = k.to_float(v, Elem::F32);
        let (zero_point, scale) = (k.float(k.ty(v), self.zero_point), k.float(k.ty(v), self.scale));
        let v = k.sub(v, zero_point);
        k.mul(v, scale)
    }
}

/// Planes of the anchors' y, x, heights and widths.
fn anchors(cx: &mut Context, node: &Node) -> Result<BufferId, Diagnostic> {
    let ty = cx.input_type(node, ANCHORS);
    let Some(data) = cx.constant_input(node, ANCHORS) else { return Err(cx.not_constant(node, ANCHORS, "the anchors")) };
    let real = Real::of(ty);
    let numbers: Vec<f32> = match real.elem {
        Elem::U8 => data.iter().map(|&b| (f32::from(b) - real.zero_point) * real.scale).collect(),
        _ => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect(),
    };
    if let Some(row) = numbers.chunks_exact(4).find(|a| a[2] < 0.0 || a[3] < 0.0) {
        return Err(Diagnostic::new(Code::OPERAND, "an anchor has a negative size")
            .detail(format!("input {ANCHORS}"))
            .found(format!("height {}, width {}", row[2], row[3])));
    }
    let planes: Vec<f32> = (0..4).flat_map(|p| numbers.iter().skip(p).step_by(4).copied()).collect();
    Ok(cx.constant_f32("anchors", &planes))
}

struct Lowering<'a> {
    a: &'a Attributes,
    machine: &'a Machine,
    boxes: Numbers,
    score: Real,
    /// Of the scores.
    columns: usize,
    first_class: usize,
}

impl Lowering<'_> {
    /// Planes of boxes from encodings and anchors.
    fn decode_boxes(&self, cx: &mut Context, node: &Node, anchors: BufferId, planes: BufferId) {
        let (ty, count) = (cx.input_type(node, BOXES), self.boxes.count);
        let real = Real::of(ty);
        let encodings = cx.scratch("encodings", (4 * count) as u64 * real.bytes() as u64);
        let x = cx.input(node, BOXES);
        let by_plane = [Axis { count: 4, from: 1, to: count as i64 }, Axis { count, from: ty.shape[2] as i64, to: 1 }];
        moves::elements(cx, x, encodings, real.bytes() as usize, (0, 0), &by_plane);
        let mut k = KernelBuilder::new("decode_boxes");
        let (x, a, y) = (k.read("encodings"), k.read("anchors"), k.write("boxes"));
        let scales = [self.a.y_scale, self.a.x_scale, self.a.h_scale, self.a.w_scale];
        each_block(&mut k, count, self.machine.lanes(Elem::F64), 1, |k, b| {
            let place = |p: usize, bytes: i64| (b.first.clone() + p * count) * bytes;
            let scaled = |k: &mut KernelBuilder, p: usize| {
                let v = b.load(k, real.elem, x.at(place(p, real.bytes())));
                let v = real.value(k, v);
                let v = k.to_float(v, Elem::F64);
                let scale = k.double(k.ty(v), f64::from(scales[p]));
                k.div(v, scale)
            };
            let encoded: Vec<Value> = (0..4).map(|p| scaled(k, p)).collect();
            let anchor = |k: &mut KernelBuilder, p: usize| {
                let v = b.load(k, Elem::F32, a.at(place(p, 4)));
                k.to_float(v, Elem::F64)
            };
            let anchor: Vec<Value> = (0..4).map(|p| anchor(k, p)).collect();
            let (mut low, mut high) = (vec![], vec![]);
            for p in 0..2 {
                let moved = k.mul(encoded[p], anchor[p + 2]);
                let center = k.add(moved, anchor[p]);
                let center = k.to_float(center, Elem::F32);
                let grown = math::exp_double(k, encoded[p + 2]);
                let half = k.double(k.ty(grown), 0.5);
                let half = k.mul(half, grown);
                let half = k.mul(half, anchor[p + 2]);
                let half = k.to_float(half, Elem::F32);
                low.push(k.sub(center, half));
                high.push(k.add(center, half));
            }
            let (height, width) = (k.sub(high[0], low[0]), k.sub(high[1], low[1]));
            let area = k.mul(height, width);
            for (p, v) in [low[0], low[1], high[0], high[1], area].into_iter().enumerate() {
                b.store(k, y.at(place(p, 4)), v);
            }
        });
        cx.call(k.finish(), &[encodings, anchors, planes], &[]);
    }

    /// The score if it is good enough, else negative infinity.
    fn candidate(&self, k: &mut KernelBuilder, score: Value) -> Value {
        let (threshold, none) = (k.float(k.ty(score), self.a.nms_score_threshold), k.float(k.ty(score), f32::NEG_INFINITY));
        let is_good = k.compare(Cond::Ge, score, threshold);
        k.select(is_good, score, none)
    }

    fn suppression(&self, most: usize) -> Suppression {
        Suppression { boxes: self.boxes, most, threshold: self.a.nms_iou_threshold }
    }

    /// Where the score of a class of a box is.
    fn score_at(&self, row: impl Into<Index>, class: impl Into<Index>) -> Index {
        (row.into() * self.columns as i64 + class.into() + self.first_class) * self.score.bytes()
    }

    /// Copies the box with that number in the planes into a row of the results.
    fn copy_box(&self, k: &mut KernelBuilder, planes: Arg, place: impl Into<Index>, y: Arg, row: impl Into<Index>) {
        let (place, row) = (place.into(), row.into());
        for p in 0..4 {
            let v = k.load(Elem::F32.x(1), planes.at((place.clone() + p * self.boxes.count) * 4));
            k.store(y.at(row.clone() * 16 + p * 4), v);
        }
    }

    /// Chooses boxes by their best class, then finds the best classes of those that are chosen.
    fn fast(&self, cx: &mut Context, node: &Node, planes: BufferId) {
        let most = self.a.max_detections;
        let scores = cx.input(node, SCORES);
        let best = cx.scratch("best", 4 * self.boxes.count as u64);
        let kernel = self.best_of_rows();
        cx.call(kernel.finish(), &[scores, best], &[]);

        let (selected, number) = (cx.scratch("selected", 4 * most as u64), cx.scratch("number", 4));
        let places = cx.constant_i32("places", &Numbers::places(self.machine));
        let mut k = KernelBuilder::new("suppress");
        let (b, s, p) = (k.read("boxes"), k.read_write("scores"), k.read("places"));
        let (y, n) = (k.write("selected"), k.write("number"));
        let found = self.suppression(most).write(&mut k, b, s, p, |k, number, place, _| k.store(y.at(number * 4), place));
        k.store(n.at(0), found);
        cx.call(k.finish(), &[planes, best, places, selected, number], &[]);

        let classes = Numbers::new(self.machine, self.a.num_classes);
        let categories = self.a.max_classes_per_detection.min(classes.count);
        let row = cx.scratch("row", 4 * classes.count as u64);
        let sorted = cx.scratch("sorted", 4 * categories as u64);
        let mut k = KernelBuilder::new("detections");
        let (b, s, p) = (k.read("boxes"), k.read("scores"), k.read("places"));
        let (chosen, n, row_arg, sorted_arg) = (k.read("selected"), k.read("number"), k.read_write("row"), k.read_write("sorted"));
        let y: Vec<Arg> = ["y_boxes", "y_classes", "y_scores", "y_number"].iter().map(|name| k.write(name)).collect();
        let found = k.load(Elem::I32.x(1), n.at(0));
        let as_float = k.to_float(found, Elem::F32);
        k.store(y[3].at(0), as_float);
        let found = k.clamped_index("found", found, 0, most as i64);
        k.each("detection", found, 1, |k, d| {
            let place = k.load(Elem::I32.x(1), chosen.at(d * 4));
            let place = k.clamped_index("box", place, 0, self.boxes.count as i64 - 1);
            each_block(k, classes.count, self.machine.lanes(Elem::F32), 1, |k, block| {
                let v = block.load(k, self.score.elem, s.at(self.score_at(place, block.first.clone())));
                let v = self.score.value(k, v);
                block.store(k, row_arg.at(block.first.clone() * 4), v);
            });
            if categories == 1 {
                let (_, class) = classes.best(k, p, None, |k, first| k.load(Elem::F32.x(classes.lanes), row_arg.at(first * 4)));
                k.store(sorted_arg.at(0), class);
            } else {
                Heap { numbers: row_arg, count: classes.count, places: sorted_arg, most: categories, first: First::Worst }.sort(k);
            }
            k.each("category", categories, 1, |k, c| {
                let class = k.load(Elem::I32.x(1), sorted_arg.at(c * 4));
                let to = d * self.a.max_classes_per_detection as i64 + c;
                self.copy_box(k, b, place, y[0], to.clone());
                let number = k.to_float(class, Elem::F32);
                k.store(y[1].at(to.clone() * 4), number);
                let class = k.clamped_index("class", class, 0, classes.count as i64 - 1);
                let score = k.load(Elem::F32.x(1), row_arg.at(class * 4));
                k.store(y[2].at(to * 4), score);
            });
        });
        let outputs: Vec<BufferId> = (0..4).map(|i| cx.output(node, i)).collect();
        let buffers = [&[planes, scores, places, selected, number, row, sorted][..], &outputs].concat();
        cx.call(k.finish(), &buffers, &[]);
    }

    /// The best score of each box, where it is good enough.
    fn best_of_rows(&self) -> KernelBuilder {
        let (count, elem) = (self.a.num_classes, self.score.elem);
        let lanes = self.machine.lanes(elem).min(1 << count.ilog2());
        let mut k = KernelBuilder::new(format!("best_{elem}_{count}"));
        let (x, y) = (k.read("scores"), k.write("best"));
        k.each("box", self.boxes.count, 1, |k, row| {
            let load = |k: &mut KernelBuilder, class: Index| k.load(elem.x(lanes), x.at(self.score_at(row, class)));
            let mut best = load(k, 0.into());
            if 1 < count / lanes {
                best = k.repeat("c", count / lanes - 1, 1, &[best], |k, c, v| {
                    let next = load(k, c * lanes as i64 + lanes);
                    vec![k.binary(Binary::Max, next, v[0])]
                })[0];
            }
            if count % lanes != 0 {
                let next = load(k, (count - lanes).into());
                best = k.max(next, best);
            }
            let best = if lanes == 1 { best } else { k.reduce(Reduce::Max, best) };
            let best = self.score.value(k, best);
            let best = self.candidate(k, best);
            k.store(y.at(row * 4), best);
        });
        k
    }

    /// Chooses boxes class by class, and keeps the best of all classes.
    fn regular(&self, cx: &mut Context, node: &Node, planes: BufferId) {
        let most = self.a.max_detections;
        let of_class = self.a.detections_per_class.min(most);
        let scratch = |cx: &mut Context, name: &str, count: usize| cx.scratch(name, 4 * count as u64);
        let candidates = scratch(cx, "candidates", self.boxes.count);
        // Scores, boxes and classes: of this class, of all so far, and of both.
        let own = [scratch(cx, "own_scores", of_class), scratch(cx, "own_boxes", of_class)];
        let lists = ["all", "merged"].map(|name| ["scores", "boxes", "classes"].map(|of| scratch(cx, &format!("{name}_{of}"), most)));
        let places = cx.constant_i32("places", &Numbers::places(self.machine));

        let (float, int) = (Elem::F32.x(1), Elem::I32.x(1));
        let mut k = KernelBuilder::new("detections");
        let (b, s, p, c) = (k.read("boxes"), k.read("scores"), k.read("places"), k.read_write("candidates"));
        let own_args = ["own_scores", "own_boxes"].map(|name| k.read_write(name));
        let [all, merged] = ["all", "merged"].map(|name| ["scores", "boxes", "classes"].map(|of| k.read_write(&format!("{name}_{of}"))));
        let y: Vec<Arg> = ["y_boxes", "y_classes", "y_scores", "y_number"].iter().map(|name| k.write(name)).collect();
        let none = k.float(float, f32::NEG_INFINITY);
        let nothing = k.int(int, 0);
        k.each("i", most, 1, |k, i| {
            k.store(all[0].at(i * 4), none);
            k.store(all[1].at(i * 4), nothing);
            k.store(all[2].at(i * 4), nothing);
        });
        let total = k.repeat("class", self.a.num_classes, 1, &[nothing, nothing], |k, class, v| {
            k.each("box", self.boxes.count, 1, |k, row| {
                let score = k.load(self.score.elem.x(1), s.at(self.score_at(row, class)));
                let score = self.score.value(k, score);
                let score = self.candidate(k, score);
                k.store(c.at(row * 4), score);
            });
            let found = self.suppression(of_class).write(k, b, c, p, |k, number, place, score| {
                k.store(own_args[0].at(number * 4), score);
                k.store(own_args[1].at(number * 4), place);
            });
            // Both lists descend; of equal scores those that are there are first.
            let zero = k.int(int, 0);
            k.repeat("i", most, 1, &[zero, zero], |k, i, at| {
                let old = k.clamped_index("old", at[0], 0, most as i64 - 1);
                let new = k.clamped_index("new", at[1], 0, of_class as i64 - 1);
                let (a, mut b) = (k.load(float, all[0].at(old * 4)), k.load(float, own_args[0].at(new * 4)));
                // What was chosen may fill its list.
                let (is_there, none) = (k.compare(Cond::Lt, at[1], found), k.float(float, f32::NEG_INFINITY));
                b = k.select(is_there, b, none);
                let is_new = k.compare(Cond::Gt, b, a);
                let score = k.select(is_new, b, a);
                let [old_box, old_class] = [1, 2].map(|n| k.load(int, all[n].at(old * 4)));
                let new_box = k.load(int, own_args[1].at(new * 4));
                let place = k.select(is_new, new_box, old_box);
                let number = k.select(is_new, v[1], old_class);
                for (to, v) in merged.iter().zip([score, place, number]) {
                    k.store(to.at(i * 4), v);
                }
                let [zero, one] = [0, 1].map(|n| k.int(int, n));
                let (from_old, from_new) = (k.select(is_new, zero, one), k.select(is_new, one, zero));
                vec![k.add(at[0], from_old), k.add(at[1], from_new)]
            });
            for (from, to) in merged.iter().zip(all) {
                each_block(k, most, self.machine.lanes(Elem::I32), 1, |k, block| {
                    let v = block.load(k, Elem::I32, from.at(block.first.clone() * 4));
                    block.store(k, to.at(block.first.clone() * 4), v);
                });
            }
            let (sum, limit, one) = (k.add(v[0], found), k.int(int, most as i64), k.int(int, 1));
            vec![k.min(sum, limit), k.add(v[1], one)]
        })[0];
        let as_float = k.to_float(total, Elem::F32);
        k.store(y[3].at(0), as_float);
        let total = k.clamped_index("found", total, 0, most as i64);
        k.each("detection", total, 1, |k, d| {
            let place = k.load(int, all[1].at(d * 4));
            let place = k.clamped_index("box", place, 0, self.boxes.count as i64 - 1);
            self.copy_box(k, b, place, y[0], d);
            let class = k.load(int, all[2].at(d * 4));
            let class = k.to_float(class, Elem::F32);
            k.store(y[1].at(d * 4), class);
            let score = k.load(float, all[0].at(d * 4));
            k.store(y[2].at(d * 4), score);
        });
        let outputs: Vec<BufferId> = (0..4).map(|i| cx.output(node, i)).collect();
        let scores = cx.input(node, SCORES);
        let buffers = [&[planes, scores, places, candidates][..], &own, &lists[0], &lists[1], &outputs].concat();
        cx.call(k.finish(), &buffers, &[]);
    }
}
