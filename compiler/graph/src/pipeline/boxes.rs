//! Boxes around objects, and points in the frame, of a model's numbers.
//!
//! Not scores of a whole input (`answers.rs`). The idea: the boxes with the best scores are found first, of the model's own numbers, and all else is computed
//! of these alone: what numbers mean, how boxes overlap, and where they are in the frame. So a model with thousands of places needs memory for some.

use super::chain::Chain;
use super::spec::{Anchors, Decode, Detections, Form, Keypoints, Labels, Layout, OneOrMore};
use super::wrong;
use crate::diagnostic::{Diagnostic, quoted};
use crate::graph::ValueId;
use crate::tensor::ElementType::{F32, I32};
use std::collections::BTreeMap;

/// What detections are, best first.
pub struct Boxes {
    /// i32 `[1]`: how many there are.
    pub count: ValueId,
    /// f32 `[most, 4]`: left, top, right and bottom, in pixels of the frame, or from 0 to 1 where the model's input is no frame. They may reach beyond it.
    /// Behind the last one zeros, as scores and points are.
    pub boxes: ValueId,
    /// i32 `[most]`; -1 behind the last one.
    pub labels: ValueId,
    /// f32 `[most]`.
    pub scores: ValueId,
    /// f32 `[most, points, 2]`, of models that say such with each box.
    pub points: Option<ValueId>,
}

impl Boxes {
    /// Names and values of the answer's parts.
    pub fn parts(&self) -> Vec<(&'static str, ValueId)> {
        let parts = [("count", self.count), ("box", self.boxes), ("label", self.labels), ("score", self.scores)];
        parts.into_iter().chain(self.points.map(|p| ("points", p))).collect()
    }
}

/// Without `candidates`.
const CANDIDATES: usize = 1024;
/// The most that f32 has all integers of.
const INTEGERS: usize = 1 << 24;
/// What is farther away than so many widths of the model's input was infinite: sums and products of TensorFlow Lite's operators end at the largest number.
const FAR: f32 = 1e30;
/// When overlaps are computed, boxes end here, in widths and heights of the model's input, and those of different classes are so far from each other.
const AROUND: [f32; 2] = [-1.0, 2.0];
const APART: f32 = 4.0;

type Outputs<'o> = BTreeMap<&'o str, ValueId>;

/// `outputs`: the model's, by name; `geometry`: see [`super::Made`].
pub fn detections(chain: &mut Chain, outputs: &Outputs, d: &Detections, geometry: Option<ValueId>) -> Result<Boxes, Diagnostic> {
    if !d.threshold.is_finite() {
        return Err(wrong("threshold", "it must be a finite number").found(d.threshold.to_string()));
    }
    let found = match d.decode {
        Decode::Done => done(chain, outputs, d)?,
        Decode::Anchors | Decode::Center => suppressed(chain, outputs, d)?,
    };
    found.answer(chain, geometry)
}

/// Boxes in the order of the answer, of which the first `count` are some.
struct Ordered {
    /// i32 `[1]`.
    count: ValueId,
    /// f32 `[most, 4]`: left, top, right and bottom across the model's input.
    corners: ValueId,
    /// i32 and f32 `[most]`.
    labels: ValueId,
    scores: ValueId,
    /// f32 `[most, points, 2]`
    points: Option<ValueId>,
}

impl Ordered {
    /// In the frame, and nothing behind the last one.
    fn answer(self, chain: &mut Chain, geometry: Option<ValueId>) -> Result<Boxes, Diagnostic> {
        let most = chain.ty(self.scores).shape[0];
        let numbers = chain.integers(&[most], &(0..most as i32).collect::<Vec<_>>());
        let is_one = chain.less(numbers, self.count)?;
        let (none, zero) = (chain.integers(&[], &[-1]), chain.float(0.0));
        let labels = chain.select(is_one, self.labels, none)?;
        let scores = chain.select(is_one, self.scores, zero)?;
        let mut corners = self.corners;
        if geometry.is_some() {
            // A turned or mirrored frame has other corners at the left and above.
            let ends = chain.reshape(corners, &[2 * most, 2])?;
            let ends = in_frame(chain, ends, geometry)?;
            let ends = chain.reshape(ends, &[most, 2, 2])?;
            let (least, largest) = (chain.reduce_min(ends, &[1])?, chain.reduce_max(ends, &[1])?);
            corners = chain.concatenate(&[least, largest], 1)?;
        }
        let is_row = chain.reshape(is_one, &[most, 1])?;
        let boxes = chain.select(is_row, corners, zero)?;
        let mut points = None;
        if let Some(all) = self.points {
            let shape = chain.ty(all).shape.clone();
            let flat = chain.reshape(all, &[shape[0] * shape[1], 2])?;
            let flat = in_frame(chain, flat, geometry)?;
            let all = chain.reshape(flat, &shape)?;
            let is_table = chain.reshape(is_one, &[most, 1, 1])?;
            points = Some(chain.select(is_table, all, zero)?);
        }
        Ok(Boxes { count: self.count, boxes, labels, scores, points })
    }
}

/// Places `[n, 2]` across the model's input as pixels of the frame.
fn in_frame(chain: &mut Chain, places: ValueId, geometry: Option<ValueId>) -> Result<ValueId, Diagnostic> {
    let Some(geometry) = geometry else { return Ok(places) };
    let count = chain.ty(places).shape[0];
    let ones = chain.floats(&[count, 1], &vec![1.0; count]);
    let rows = chain.concatenate(&[places, ones], 1)?;
    chain.product(rows, geometry)
}

/// An output by its name.
fn output(outputs: &Outputs, field: &str, name: &str) -> Result<ValueId, Diagnostic> {
    if name.is_empty() {
        return Err(wrong(field, "no output is named").expected(names(outputs)));
    }
    let found = outputs.get(name).copied();
    found.ok_or_else(|| wrong(field, format!("the model has no output called {}", quoted(name))).expected(names(outputs)))
}

fn names(outputs: &Outputs) -> String {
    outputs.keys().map(|n| quoted(n)).collect::<Vec<_>>().join(", ")
}

/// An output with something of each box.
#[derive(Clone, Copy)]
struct Table {
    value: ValueId,
    layout: Layout,
    /// Boxes, and numbers of each.
    count: usize,
    width: usize,
}

impl Table {
    /// `count`: how many boxes there are, if that is known; then one number of each needs no axis of its own.
    fn new(chain: &mut Chain, outputs: &Outputs, d: &Detections, field: &str, count: Option<usize>) -> Result<Table, Diagnostic> {
        let value = output(outputs, field, if field == "boxes" { &d.boxes } else { &d.scores })?;
        let shape = chain.ty(value).shape.clone();
        let total = chain.ty(value).element_count();
        if count == Some(total) && 0 < total {
            let value = chain.reshape(value, &[total, 1])?;
            return Ok(Table { value, layout: Layout::Rows, count: total, width: 1 });
        }
        let form = ["[boxes, numbers]", "[numbers, boxes]"][usize::from(d.layout == Layout::Columns)];
        let (rows, columns) = match shape[..] {
            [.., rows, columns] if rows * columns == total && 0 < total => (rows, columns),
            _ => return Err(wrong(field, "the shape of the output does not fit").expected(form).found(format!("{shape:?}"))),
        };
        let value = chain.reshape(value, &[rows, columns])?;
        let (boxes, width) = if d.layout == Layout::Rows { (rows, columns) } else { (columns, rows) };
        match count {
            Some(count) if count != boxes => {
                Err(wrong(field, "there are not as many as boxes").expected(format!("{count} in {form}")).found(format!("{shape:?}")))
            }
            _ => Ok(Table { value, layout: d.layout, count: boxes, width }),
        }
    }

    /// Some numbers of each box.
    fn part(self, chain: &mut Chain, first: usize, width: usize) -> Result<Table, Diagnostic> {
        if (first, width) == (0, self.width) {
            return Ok(self);
        }
        let value = match self.layout {
            Layout::Rows => chain.slice(self.value, &[0, first], &[self.count, width])?,
            Layout::Columns => chain.slice(self.value, &[first, 0], &[width, self.count])?,
        };
        Ok(Table { value, width, ..self })
    }

    /// The largest number of each box.
    fn largest(self, chain: &mut Chain) -> Result<ValueId, Diagnostic> {
        match self.layout {
            _ if self.width == 1 => chain.reshape(self.value, &[self.count]),
            Layout::Rows => chain.largest(self.value, &[1]),
            Layout::Columns => chain.largest(self.value, &[0]),
        }
    }

    /// Of some boxes `[boxes, width]`.
    fn rows(self, chain: &mut Chain, places: ValueId) -> Result<ValueId, Diagnostic> {
        match self.layout {
            Layout::Rows => chain.gather(self.value, places, 0),
            Layout::Columns => {
                let columns = chain.gather(self.value, places, 1)?;
                chain.transpose(columns, &[1, 0])
            }
        }
    }
}

/// Where all numbers of a row `[n, width]` are finite: bool `[n]`.
fn finite(chain: &mut Chain, rows: ValueId) -> Result<ValueId, Diagnostic> {
    within(chain, rows, f32::MAX)
}

/// Where none is larger, with or without a sign.
fn within(chain: &mut Chain, rows: ValueId, most: f32) -> Result<ValueId, Diagnostic> {
    let (size, most) = (chain.abs(rows)?, chain.float(most));
    let is_within = chain.less_equal(size, most)?;
    chain.all_of(is_within, &[1])
}

/// How the four numbers are read.
struct Reading {
    form: Form,
    order: [usize; 4],
    /// Of x, y, width and height.
    scale: [f32; 4],
}

impl Reading {
    fn new(d: &Detections) -> Result<Reading, Diagnostic> {
        let is_done = d.decode == Decode::Done;
        let order = d.order.unwrap_or(if is_done { [1, 0, 3, 2] } else { [0, 1, 2, 3] });
        if (0..4).any(|i| !order.contains(&i)) {
            return Err(wrong("order", "each of the four numbers must be there once")
                .expected("0, 1, 2 and 3 in any order")
                .found(format!("{order:?}")));
        }
        let (field, scale) = match (&d.anchors, &d.scale) {
            (Some(_), Some(_)) => return Err(wrong("scale", "places from anchors are divided by the anchors' `scale`")),
            (Some(anchors), None) => ("anchors.scale", &anchors.scale),
            (None, scale) => ("scale", scale),
        };
        let scale = match scale {
            None if field == "scale" => [1.0; 4],
            Some(OneOrMore::One(v)) => [*v; 4],
            Some(OneOrMore::More(v)) if v.len() == 2 => [v[0], v[1], v[0], v[1]],
            Some(OneOrMore::More(v)) if v.len() == 4 && field != "scale" => [v[0], v[1], v[2], v[3]],
            _ => {
                let expected = if field == "scale" { "one number, or two" } else { "one number, two, or four" };
                return Err(wrong(field, "numbers are missing or too many").expected(expected));
            }
        };
        if let Some(bad) = scale.iter().find(|s| !(s.is_finite() && 0.0 < **s)) {
            return Err(wrong(field, "it must be above 0").found(bad.to_string()));
        }
        Ok(Reading { form: d.form.unwrap_or(if is_done { Form::Boundaries } else { Form::Center }), order, scale })
    }

    fn is_y_first(&self) -> bool {
        self.order[1] < self.order[0]
    }

    /// Two of the four numbers `[n, 4]`, divided by their scales: `[n, 2]`.
    fn pair(&self, chain: &mut Chain, rows: ValueId, first: usize, scale: [f32; 2]) -> Result<ValueId, Diagnostic> {
        let [a, b] = [self.order[first], self.order[first + 1]];
        let pair = if a + 1 == b {
            chain.columns(rows, a, 2)?
        } else {
            let (a, b) = (chain.column(rows, a)?, chain.column(rows, b)?);
            chain.concatenate(&[a, b], 1)?
        };
        divided(chain, pair, scale)
    }

    /// Left, top, right and bottom `[n, 4]`. `anchors`: middles, and sizes if they are not 1, of each.
    fn corners(
        &self,
        chain: &mut Chain,
        rows: ValueId,
        anchors: Option<(ValueId, Option<ValueId>)>,
        exponential: bool,
    ) -> Result<ValueId, Diagnostic> {
        let [x, y, width, height] = self.scale;
        let is_size = self.form != Form::Boundaries;
        let mut place = self.pair(chain, rows, 0, [x, y])?;
        let mut second = self.pair(chain, rows, 2, if is_size { [width, height] } else { [x, y] })?;
        if exponential {
            second = chain.exp(second)?;
        }
        if let Some((middles, sizes)) = anchors {
            if let Some(sizes) = sizes {
                (place, second) = (chain.mul(place, sizes)?, chain.mul(second, sizes)?);
            }
            place = chain.add(place, middles)?;
            if !is_size {
                second = chain.add(second, middles)?;
            }
        }
        let (low, high) = match self.form {
            Form::Boundaries => (place, second),
            Form::UpperLeft => (place, chain.add(place, second)?),
            Form::Center => {
                let half = chain.float(0.5);
                let half = chain.mul(second, half)?;
                (chain.sub(place, half)?, chain.add(place, half)?)
            }
        };
        chain.concatenate(&[low, high], 1)
    }

    /// Points `[n, points, 2]` of rows `[n, points * dims]`.
    fn points(
        &self,
        chain: &mut Chain,
        rows: ValueId,
        [points, dims]: [usize; 2],
        anchors: Option<(ValueId, Option<ValueId>)>,
    ) -> Result<ValueId, Diagnostic> {
        let count = chain.ty(rows).shape[0];
        let all = chain.reshape(rows, &[count * points, dims])?;
        let places = if self.is_y_first() {
            let (x, y) = (chain.column(all, 1)?, chain.column(all, 0)?);
            chain.concatenate(&[x, y], 1)?
        } else {
            chain.columns(all, 0, 2)?
        };
        let places = divided(chain, places, [self.scale[0], self.scale[1]])?;
        let mut places = chain.reshape(places, &[count, points, 2])?;
        if let Some((middles, sizes)) = anchors {
            if let Some(sizes) = sizes {
                let sizes = chain.reshape(sizes, &[count, 1, 2])?;
                places = chain.mul(places, sizes)?;
            }
            let middles = chain.reshape(middles, &[count, 1, 2])?;
            places = chain.add(places, middles)?;
        }
        Ok(places)
    }
}

fn divided(chain: &mut Chain, x: ValueId, by: [f32; 2]) -> Result<ValueId, Diagnostic> {
    if by == [1.0, 1.0] {
        return Ok(x);
    }
    let by = chain.floats(&[2], &by);
    chain.div(x, by)
}

/// What a field says that has no meaning here.
fn without(fields: &[(&str, bool)], why: &str) -> Result<(), Diagnostic> {
    match fields.iter().find(|(_, is_there)| *is_there) {
        Some((field, _)) => Err(wrong(*field, format!("it has no meaning {why}"))),
        None => Ok(()),
    }
}

/// The answer of a model that ends with TFLite_Detection_PostProcess.
fn done(chain: &mut Chain, outputs: &Outputs, d: &Detections) -> Result<Ordered, Diagnostic> {
    without(
        &[
            ("anchors", d.anchors.is_some()),
            ("layout", d.layout == Layout::Columns),
            ("points", d.points != 0),
            ("point_dims", d.point_dims.is_some()),
            ("sigmoid", d.sigmoid),
            ("softmax", d.softmax),
            ("objectness", d.objectness),
            ("background", d.background),
            ("iou", d.iou != 0.0),
            ("per_class", d.per_class),
            ("blend", d.blend),
            ("candidates", d.candidates.is_some()),
        ],
        "where the model's boxes are the answer already (`decode = \"done\"`)",
    )?;
    let reading = Reading::new(d)?;
    let boxes = Table::new(chain, outputs, d, "boxes", None)?;
    let size = boxes.count;
    if boxes.width != 4 {
        return Err(wrong("boxes", "a box has not four numbers").expected("4").found(boxes.width.to_string()));
    }
    let mut column = |field: &str, name: Option<&String>, elements: usize| {
        let value = output(outputs, field, name.map_or("", |n| n))?;
        let ty = chain.ty(value);
        if ty.element_count() != elements {
            return Err(wrong(field, "the shape of the output does not fit")
                .expected(format!("{elements} numbers"))
                .found(format!("{:?}", ty.shape)));
        }
        let real = chain.real(value)?;
        chain.reshape(real, &[elements])
    };
    let scores = column("scores", Some(&d.scores), size)?;
    let classes = column("classes", d.classes.as_ref(), size)?;
    let count = match &d.count {
        None => None,
        Some(name) => Some(column("count", Some(name), 1)?),
    };
    let most = match d.most {
        0 => size,
        most if most <= size => most,
        most => return Err(wrong("most", "the model has fewer boxes").expected(format!("at most {size}")).found(most.to_string())),
    };
    let named = match &d.labels {
        Some(Labels::Names(names)) => names.len(),
        _ => INTEGERS,
    };
    // Which of them count, whatever their order is.
    let rows = chain.real(boxes.value)?;
    let threshold = chain.float(d.threshold);
    let mut is_one = chain.greater_equal(scores, threshold)?;
    if let Some(count) = count {
        let numbers = chain.floats(&[size], &(0..size).map(|i| i as f32).collect::<Vec<_>>());
        let is_told = chain.less(numbers, count)?;
        is_one = chain.and(is_one, is_told)?;
    }
    let (first, end) = (chain.float(0.0), chain.float(named as f32));
    let (is_class, is_named) = (chain.greater_equal(classes, first)?, chain.less(classes, end)?);
    let is_finite = finite(chain, rows)?;
    for other in [is_class, is_named, is_finite] {
        is_one = chain.and(is_one, other)?;
    }
    let least = chain.float(f32::MIN);
    let scores = chain.select(is_one, scores, least)?;
    let [scores, places] = chain.top(scores, most)?;
    let is_one = chain.gather(is_one, places, 0)?;
    let ones = chain.cast(is_one, I32)?;
    let count = chain.sum_of(ones, &[0])?;
    let count = chain.reshape(count, &[1])?;
    let classes = chain.gather(classes, places, 0)?;
    let zero = chain.float(0.0);
    let classes = chain.select(is_one, classes, zero)?;
    let labels = chain.cast(classes, I32)?;
    let rows = chain.gather(rows, places, 0)?;
    let corners = reading.corners(chain, rows, None, false)?;
    Ok(Ordered { count, corners, labels, scores, points: None })
}

/// What the model says of a box, and where in its rows.
struct Parts {
    boxes: Table,
    classes: Table,
    objectness: Option<Table>,
    /// The first number of the points.
    points: Option<usize>,
}

fn parts(chain: &mut Chain, outputs: &Outputs, d: &Detections) -> Result<Parts, Diagnostic> {
    let dims = d.point_dims.unwrap_or(2);
    if dims < 2 {
        return Err(wrong("point_dims", "a point has two numbers at least").found(dims.to_string()));
    }
    let of_points = d.points.checked_mul(dims).filter(|n| *n < INTEGERS).ok_or_else(|| wrong("points", "there are too many points"))?;
    let before = usize::from(d.objectness);
    let boxes = Table::new(chain, outputs, d, "boxes", None)?;
    let (classes, at, points) = if d.boxes == d.scores {
        let least = 4 + before + of_points + 1;
        if boxes.width < least {
            return Err(wrong("boxes", "a box has too few numbers")
                .expected(format!("{least} or more, with at least one score"))
                .found(boxes.width.to_string()));
        }
        let classes = boxes.width - 4 - before - of_points;
        (boxes.part(chain, 4 + before, classes)?, 4, boxes.width - of_points)
    } else {
        if boxes.width != 4 + of_points {
            return Err(wrong("boxes", "a box has not as many numbers as its corners and points")
                .expected((4 + of_points).to_string())
                .found(boxes.width.to_string())
                .help("`points` says how many points belong to each box, and `layout` whether boxes are rows or columns"));
        }
        let scores = Table::new(chain, outputs, d, "scores", Some(boxes.count))?;
        if scores.width <= before {
            return Err(wrong("objectness", "the output has no scores behind it").found(format!("{} numbers", scores.width)));
        }
        (scores.part(chain, before, scores.width - before)?, 0, 4)
    };
    let objectness = match d.objectness {
        true if d.boxes == d.scores => Some(boxes.part(chain, at, 1)?),
        true => Some(Table::new(chain, outputs, d, "scores", Some(boxes.count))?.part(chain, at, 1)?),
        false => None,
    };
    Ok(Parts { boxes, classes, objectness, points: (d.points != 0).then_some(points) })
}

/// Boxes that are compared with each other.
fn suppressed(chain: &mut Chain, outputs: &Outputs, d: &Detections) -> Result<Ordered, Diagnostic> {
    without(&[("classes", d.classes.is_some()), ("count", d.count.is_some())], "without `decode = \"done\"`")?;
    if d.decode == Decode::Center {
        without(&[("anchors", d.anchors.is_some())], "without `decode = \"anchors\"`")?;
    } else if d.anchors.is_none() {
        return Err(wrong("anchors", "it must be there where places are relative to anchors"));
    }
    if d.sigmoid && d.softmax {
        return Err(wrong("sigmoid", "scores cannot be a softmax and a logistic function at once"));
    }
    if !(0.0 < d.iou && d.iou <= 1.0) {
        return Err(wrong("iou", "it must be a part of the area").expected("above 0 and at most 1, such as 0.45").found(d.iou.to_string()));
    }
    let reading = Reading::new(d)?;
    let Parts { boxes, mut classes, objectness, points } = parts(chain, outputs, d)?;
    let anchors = d.anchors.as_ref().map(|a| places(a, &reading, boxes.count)).transpose()?;
    let size = d.candidates.unwrap_or(CANDIDATES.min(boxes.count));
    if size == 0 || boxes.count < size || INTEGERS < size {
        return Err(wrong("candidates", "it must be a number of boxes")
            .expected(format!("1 to {}", boxes.count.min(INTEGERS)))
            .found(size.to_string()));
    }
    if d.most == 0 || size < d.most {
        return Err(wrong("most", "it must be a number of boxes").expected(format!("1 to {size}")).found(d.most.to_string()));
    }
    // Scores: the logistic function keeps the order, so it waits, unless a product comes first.
    if d.softmax {
        let by_row = match classes.layout {
            Layout::Rows => classes.value,
            Layout::Columns => chain.transpose(classes.value, &[1, 0])?,
        };
        let real = chain.real(by_row)?;
        classes = Table { value: chain.softmax(real)?, layout: Layout::Rows, ..classes };
    }
    if d.background {
        if classes.width < 2 {
            return Err(wrong("background", "there is no other class").found("1 class"));
        }
        classes = classes.part(chain, 1, classes.width - 1)?;
    }
    if let Some(Labels::Names(names)) = &d.labels
        && names.len() != classes.width
    {
        return Err(wrong("labels", "the labels are not as many as the classes")
            .expected(classes.width.to_string())
            .found(names.len().to_string()));
    }
    let mut best = classes.largest(chain)?;
    if let Some(objectness) = objectness {
        let own = chain.reshape(objectness.value, &[boxes.count])?;
        let (mut own, mut other) = (chain.real(own)?, chain.real(best)?);
        if d.sigmoid {
            (own, other) = (chain.logistic(own)?, chain.logistic(other)?);
        }
        best = chain.mul(own, other)?;
    }
    let [scores, at] = chain.top(best, size)?;
    let mut scores = chain.real(scores)?;
    if d.sigmoid && objectness.is_none() {
        scores = chain.logistic(scores)?;
    }

    // What the candidates are.
    let rows = boxes.rows(chain, at)?;
    let rows = chain.real(rows)?;
    let four = chain.columns(rows, 0, 4)?;
    let mut is_finite = finite(chain, four)?;
    let anchors = match anchors {
        None => None,
        Some(Places { middles, sizes }) => {
            let middles = chain.floats(&[boxes.count, 2], &middles);
            let middles = chain.gather(middles, at, 0)?;
            let sizes = match sizes {
                None => None,
                Some(sizes) => {
                    let sizes = chain.floats(&[boxes.count, 2], &sizes);
                    Some(chain.gather(sizes, at, 0)?)
                }
            };
            Some((middles, sizes))
        }
    };
    let exponential = d.anchors.as_ref().is_some_and(|a| a.exponential);
    let mut corners = reading.corners(chain, four, anchors, exponential)?;
    let mut all = corners;
    if let Some(first) = points {
        let dims = d.point_dims.unwrap_or(2);
        let numbers = chain.columns(rows, first, d.points * dims)?;
        let are_finite = finite(chain, numbers)?;
        is_finite = chain.and(is_finite, are_finite)?;
        let points = reading.points(chain, numbers, [d.points, dims], anchors)?;
        let points = chain.reshape(points, &[size, d.points * 2])?;
        all = chain.concatenate(&[corners, points], 1)?;
    }
    let labels = if classes.width == 1 {
        chain.integers(&[size], &vec![0; size])
    } else {
        let of_classes = classes.rows(chain, at)?;
        chain.arg_max(of_classes, 1)?
    };

    // Which of them count: numbers are finite, scores are enough, and there is an area.
    let threshold = chain.float(d.threshold);
    let mut is_one = chain.greater_equal(scores, threshold)?;
    is_one = chain.and(is_one, is_finite)?;
    let is_near = within(chain, all, FAR)?;
    is_one = chain.and(is_one, is_near)?;
    if classes.width != 1 && chain.ty(classes.value).element == F32 {
        let of_classes = classes.rows(chain, at)?;
        let is_number = chain.equal(of_classes, of_classes)?;
        let is_number = chain.all_of(is_number, &[1])?;
        is_one = chain.and(is_one, is_number)?;
    }
    let (low, high) = (chain.columns(corners, 0, 2)?, chain.columns(corners, 2, 2)?);
    let is_wide = chain.less(low, high)?;
    let is_wide = chain.all_of(is_wide, &[1])?;
    is_one = chain.and(is_one, is_wide)?;
    // Nothing infinite is compared. A box that has no area there would not even leave out itself.
    let [first, last] = AROUND.map(|v| chain.float(v));
    let compared = chain.maximum(corners, first)?;
    let mut compared = chain.minimum(compared, last)?;
    if d.per_class && classes.width != 1 {
        let (numbers, apart) = (chain.cast(labels, F32)?, chain.floats(&[4], &[0.0, APART, 0.0, APART]));
        let numbers = chain.reshape(numbers, &[size, 1])?;
        let moved = chain.mul(numbers, apart)?;
        compared = chain.add(compared, moved)?;
    }
    let area = area(chain, compared)?;
    let zero = chain.float(0.0);
    let has_area = chain.greater(area, zero)?;
    is_one = chain.and(is_one, has_area)?;

    // Ranks instead of scores, since the order of equal scores would be that of a queue.
    let (ranks, none) = (chain.floats(&[size], &(0..size).map(|i| (size - i) as f32).collect::<Vec<_>>()), chain.float(-1.0));
    let ranks = chain.select(is_one, ranks, none)?;
    let [chosen, count] = chain.suppressed(compared, ranks, d.iou, d.most)?;
    let count = chain.reshape(count, &[1])?;
    all = if d.blend {
        blended(chain, Blend { all, is_one, scores, compared, area, chosen, count, iou: d.iou })?
    } else {
        chain.gather(all, chosen, 0)?
    };
    let labels = chain.gather(labels, chosen, 0)?;
    let scores = chain.gather(scores, chosen, 0)?;
    corners = chain.columns(all, 0, 4)?;
    let points = match points {
        None => None,
        Some(_) => {
            let points = chain.columns(all, 4, d.points * 2)?;
            Some(chain.reshape(points, &[d.most, d.points, 2])?)
        }
    };
    Ok(Ordered { count, corners, labels, scores, points })
}

/// Of boxes `[n, 4]`: `[n]`.
fn area(chain: &mut Chain, corners: ValueId) -> Result<ValueId, Diagnostic> {
    let count = chain.ty(corners).shape[0];
    let (low, high) = (chain.columns(corners, 0, 2)?, chain.columns(corners, 2, 2)?);
    let sides = chain.sub(high, low)?;
    let (width, height) = (chain.column(sides, 0)?, chain.column(sides, 1)?);
    let area = chain.mul(width, height)?;
    chain.reshape(area, &[count])
}

struct Blend {
    /// Of all candidates: what is blended, which are some, scores, places that are compared, and their areas.
    all: ValueId,
    is_one: ValueId,
    scores: ValueId,
    compared: ValueId,
    area: ValueId,
    /// Which were chosen, and how many of these are some.
    chosen: ValueId,
    count: ValueId,
    iou: f32,
}

/// Means of what belongs to each chosen box: the candidates that overlap it and none that was chosen before.
fn blended(chain: &mut Chain, b: Blend) -> Result<ValueId, Diagnostic> {
    let (size, most) = (chain.ty(b.scores).shape[0], chain.ty(b.chosen).shape[0]);
    let (others, own_area) = (chain.gather(b.compared, b.chosen, 0)?, chain.gather(b.area, b.chosen, 0)?);
    let own_area = chain.reshape(own_area, &[most, 1])?;
    let across = chain.transpose(b.compared, &[1, 0])?;
    let zero = chain.float(0.0);
    let mut common: Option<ValueId> = None;
    for axis in 0..2 {
        let [low, high] = [chain.column(others, axis)?, chain.column(others, axis + 2)?];
        let [first, last] = [chain.slice(across, &[axis, 0], &[1, size])?, chain.slice(across, &[axis + 2, 0], &[1, size])?];
        let (begin, end) = (chain.maximum(low, first)?, chain.minimum(high, last)?);
        let side = chain.sub(end, begin)?;
        let side = chain.maximum(side, zero)?;
        common = Some(match common {
            None => side,
            Some(other) => chain.mul(other, side)?,
        });
    }
    let common = common.expect("there are two axes");
    let both = chain.add(own_area, b.area)?;
    let both = chain.sub(both, common)?;
    let part = chain.div(common, both)?;
    let limit = chain.float(b.iou);
    let overlaps = chain.greater_equal(part, limit)?;
    let is_candidate = chain.reshape(b.is_one, &[1, size])?;
    let overlaps = chain.and(overlaps, is_candidate)?;
    let numbers = chain.integers(&[most, 1], &(0..most as i32).collect::<Vec<_>>());
    let is_chosen = chain.less(numbers, b.count)?;
    let overlaps = chain.and(overlaps, is_chosen)?;
    let ones = chain.cast(overlaps, F32)?;
    let before = chain.sums_before(ones, 0)?;
    let is_first = chain.equal(before, zero)?;
    let belongs = chain.and(overlaps, is_first)?;
    let weights = chain.select(belongs, b.scores, zero)?;
    let total = chain.sum_of(weights, &[1])?;
    let total = chain.reshape(total, &[most, 1])?;
    // What is no candidate may be no number.
    let is_row = chain.reshape(b.is_one, &[size, 1])?;
    let all = chain.select(is_row, b.all, zero)?;
    let sums = chain.product(weights, all)?;
    let means = chain.div(sums, total)?;
    // Scores of 0 weigh nothing.
    let (own, weighs) = (chain.gather(b.all, b.chosen, 0)?, chain.greater(total, zero)?);
    chain.select(weighs, means, own)
}

/// Anchors of all boxes: middles, and sizes unless all are 1; pairs of x and y.
struct Places {
    middles: Vec<f32>,
    sizes: Option<Vec<f32>>,
}

fn places(anchors: &Anchors, reading: &Reading, count: usize) -> Result<Places, Diagnostic> {
    let Anchors { strides, per_place, size, sizes, .. } = anchors;
    if strides.is_empty() || strides.contains(&0) {
        return Err(wrong("anchors.strides", "each layer needs a stride above 0").found(format!("{strides:?}")));
    }
    if per_place.len() != strides.len() || per_place.contains(&0) {
        return Err(wrong("anchors.per_place", "each layer needs a number of anchors above 0")
            .expected(format!("{} numbers", strides.len()))
            .found(format!("{per_place:?}")));
    }
    if let Some(sizes) = sizes {
        let is_whole = sizes.len() == strides.len() && sizes.iter().zip(per_place).all(|(s, n)| s.len() == *n);
        if !is_whole {
            return Err(wrong("anchors.sizes", "each anchor of a place needs a width and a height").expected(format!("for {per_place:?}")));
        }
        if let Some(bad) = sizes.iter().flatten().flatten().find(|s| !(s.is_finite() && 0.0 < **s)) {
            return Err(wrong("anchors.sizes", "a size must be above 0").found(bad.to_string()));
        }
    }
    let size = match size {
        Some(size) => *size,
        None => {
            let [width, height, ..] = reading.scale;
            if width.fract() != 0.0 || height.fract() != 0.0 || INTEGERS as f32 <= width.max(height) {
                return Err(wrong("anchors.scale", "it is no size of an input in pixels")
                    .found(format!("{width}, {height}"))
                    .help("`size` is that of the model's input, where `scale` is another"));
            }
            [width as usize, height as usize]
        }
    };
    // Of layers with equal strides in a row, each place has all anchors.
    let mut layers: Vec<(usize, Vec<[f32; 2]>)> = vec![];
    let mut total = 0_usize;
    for (i, (stride, per_place)) in strides.iter().zip(per_place).enumerate() {
        let places = size[0].div_ceil(*stride).checked_mul(size[1].div_ceil(*stride));
        let of_layer = places.and_then(|n| n.checked_mul(*per_place));
        total = of_layer.and_then(|n| total.checked_add(n)).filter(|n| *n <= count).unwrap_or(usize::MAX);
        if total == usize::MAX {
            break;
        }
        let own = sizes.as_ref().map_or_else(|| vec![[1.0; 2]; *per_place], |s| s[i].clone());
        match layers.last_mut() {
            Some((last, all)) if last == stride => all.extend(own),
            _ => layers.push((*stride, own)),
        }
    }
    if total != count {
        let found = if total == usize::MAX { "more".to_string() } else { total.to_string() };
        return Err(wrong("anchors", "there are not as many anchors as boxes").expected(count.to_string()).found(found));
    }
    let mut middles = Vec::with_capacity(2 * count);
    let mut all_sizes = Vec::with_capacity(2 * count);
    for (stride, own) in layers {
        let [columns, rows] = size.map(|s| s.div_ceil(stride));
        for place in 0..columns * rows {
            let [x, y] = [(place % columns, columns), (place / columns, rows)].map(|(at, count)| (at as f32 + 0.5) / count as f32);
            for anchor in &own {
                middles.extend([x, y]);
                all_sizes.extend(anchor);
            }
        }
    }
    Ok(Places { middles, sizes: sizes.is_some().then_some(all_sizes) })
}

/// f32 `[4]`: the best box; all zeros where there is none.
pub fn best(chain: &mut Chain, boxes: &Boxes) -> Result<ValueId, Diagnostic> {
    let first = chain.slice(boxes.boxes, &[0, 0], &[1, 4])?;
    chain.reshape(first, &[4])
}

/// f32 `[count, dims]`: x and y in pixels of the frame, or across the model's input where that is no frame; or `[count, 2]`, relative to the first.
pub fn keypoints(chain: &mut Chain, outputs: &Outputs, k: &Keypoints, geometry: Option<ValueId>) -> Result<ValueId, Diagnostic> {
    let Keypoints { count, dims, scale, relative, .. } = *k;
    let value = output(outputs, "from", &k.from)?;
    let ty = chain.ty(value);
    if count == 0 {
        return Err(wrong("count", "there must be one point at least"));
    }
    if dims < 2 {
        return Err(wrong("dims", "a point has two numbers at least").found(dims.to_string()));
    }
    if count.checked_mul(dims) != Some(ty.element_count()) {
        return Err(wrong("count", "the points are not as many as the numbers of the output")
            .expected(format!("{:?}", ty.shape))
            .found(format!("{count} points of {dims}")));
    }
    if !(scale.is_finite() && 0.0 <= scale) {
        return Err(wrong("scale", "it must be above 0").found(scale.to_string()));
    }
    let real = chain.real(value)?;
    let real = chain.reshape(real, &[count, dims])?;
    let mut points = chain.without_nan(real)?;
    if scale != 0.0 && scale != 1.0 {
        let scale = chain.float(scale);
        points = chain.div(points, scale)?;
    }
    let places = chain.columns(points, 0, 2)?;
    let places = in_frame(chain, places, geometry)?;
    if relative {
        let first = chain.slice(places, &[0, 0], &[1, 2])?;
        let distances = chain.sub(places, first)?;
        let sizes = chain.abs(distances)?;
        // Where all points are one, the distances are 0.
        let (largest, least) = (chain.reduce_max(sizes, &[0, 1])?, chain.float(f32::MIN_POSITIVE));
        let largest = chain.maximum(largest, least)?;
        return chain.div(distances, largest);
    }
    if dims == 2 {
        return Ok(places);
    }
    let others = chain.columns(points, 2, dims - 2)?;
    chain.concatenate(&[places, others], 1)
}

/// f32 `[4]`: left, top, right and bottom of the smallest box around points.
pub fn around(chain: &mut Chain, points: ValueId) -> Result<ValueId, Diagnostic> {
    let places = chain.columns(points, 0, 2)?;
    let (least, largest) = (chain.reduce_min(places, &[0])?, chain.reduce_max(places, &[0])?);
    chain.concatenate(&[least, largest], 0)
}
