//! Models that follow each other in a pipeline, against the same models run one after the other: interpreted and as machine code.
//!
//! Not what becomes of a model's numbers (`boxes.rs`). The models are small and made here, with random weights; what is between them is computed in
//! plain loops.

use cranelite_graph::import::{self, Imported};
use cranelite_graph::pipeline::spec::{
    Decode, Detections, Fit, Form, Format, Frame, Input, Keypoints, Next, OneOrMore, Output, Pipeline, Resizing, Samples,
};
use cranelite_graph::pipeline::{self, Piped};
use cranelite_tests::differential::outputs_of;
use cranelite_tests::maker::{Activation, Code, Maker, Padding};
use std::collections::BTreeMap;

struct Random(u64);

impl Random {
    /// -1 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as i32 as f32 / 2147483648.0
    }
    fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

fn imported(bytes: &[u8]) -> Imported {
    import::read(bytes, &import::Options::default()).unwrap_or_else(|d| panic!("{}", d[0])).entries.remove(0)
}

/// One layer from `x` to `y`.
fn layer(seed: u64, from: usize, to: usize) -> Imported {
    let mut random = Random(seed);
    let mut m = Maker::default();
    let (x, y) = (m.f32("x", &[1, from as i32], None), m.f32("y", &[1, to as i32], None));
    let w = m.f32("w", &[to as i32, from as i32], Some(&random.f32s(from * to)));
    let b = m.f32("b", &[to as i32], Some(&random.f32s(to)));
    m.fully_connected(&[x, w, b], y, Activation::NONE);
    imported(&m.finish(&[x], &[y]))
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The model alone.
fn alone(model: &Imported, input: &[f32]) -> Vec<f32> {
    f32s(&outputs_of(&model.graph, &[bytes(input)])[0])
}

fn apply(first: &Imported, next: &[&Imported], pipeline: &Pipeline) -> Piped {
    let next = next.iter().map(|m| (*m).clone()).collect();
    pipeline::apply(first.clone(), next, pipeline).unwrap_or_else(|d| panic!("{}", d[0]))
}

fn from(name: &str) -> BTreeMap<String, Input> {
    [("x".to_string(), Input { from: name.into(), ..Input::default() })].into()
}

fn sensor(count: usize) -> Samples {
    let format = pipeline::spec::AudioFormat::F32;
    Samples { format, channels: count, count: 1, window: None, scale: None }
}

#[track_caller]
fn near(got: &[f32], want: &[f32]) {
    let is_near = got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()));
    assert!(is_near, "got  {got:?}\nwant {want:?}");
}

/// Outputs of equal names: each model reads that of the one before it, and only the last one's is an answer, unless others are asked for.
#[test]
fn equal_names() {
    let models = [layer(1, 4, 3), layer(2, 3, 3), layer(3, 3, 2)];
    let next = || Next { input: from("y"), ..Next::default() };
    let pipeline = Pipeline {
        samples: [("sensor".to_string(), sensor(4))].into(),
        input: from("sensor"),
        next: vec![next(), next()],
        ..Pipeline::default()
    };
    let x = Random(9).f32s(4);
    let first = alone(&models[0], &x);
    let second = alone(&models[1], &first);
    let third = alone(&models[2], &second);
    let piped = apply(&models[0], &[&models[1], &models[2]], &pipeline);
    assert_eq!((&piped.imported.input_names[..], &piped.imported.output_names[..]), (&["sensor".to_string()][..], &["y".to_string()][..]));
    near(&f32s(&outputs_of(&piped.imported.graph, &[bytes(&x)])[0]), &third);

    let mut asked = pipeline.clone();
    asked.next[0].output = [("y".to_string(), Output { softmax: true, ..Output::default() })].into();
    let piped = apply(&models[0], &[&models[1], &models[2]], &asked);
    assert_eq!(piped.imported.output_names, ["y_scores", "y"]);
    let outputs = outputs_of(&piped.imported.graph, &[bytes(&x)]);
    let total: f32 = second.iter().map(|v| libm::expf(*v)).sum();
    near(&f32s(&outputs[0]), &second.iter().map(|v| libm::expf(*v) / total).collect::<Vec<_>>());
    near(&f32s(&outputs[1]), &third);

    // What nobody reads of the last model is an answer, though an earlier one of the name was read; and a sensor hides outputs of its name.
    let mut hidden = pipeline.clone();
    hidden.samples = [("y".to_string(), sensor(3))].into();
    hidden.input.clear();
    hidden.next.truncate(1);
    let piped = apply(&models[0], &[&models[1]], &hidden);
    assert_eq!(piped.imported.input_names, ["x", "y"]);
    assert_eq!(piped.imported.output_names, ["y", "y"]);
    let outputs = outputs_of(&piped.imported.graph, &[bytes(&x), bytes(&second)]);
    near(&f32s(&outputs[0]), &first);
    near(&f32s(&outputs[1]), &alone(&models[1], &second));
}

/// Points of one model are the numbers of another: relative to the first, or as they are; both come before an output of their name.
#[test]
fn points_as_numbers() {
    let models = [layer(4, 5, 6), layer(5, 6, 2)];
    let x = Random(10).f32s(5);
    let points = alone(&models[0], &x);
    for relative in [true, false] {
        let k = Keypoints { from: "y".into(), count: 3, dims: 2, scale: 0.5, relative };
        let pipeline = Pipeline {
            keypoints: [("y".to_string(), k)].into(),
            next: vec![Next { input: from("y"), ..Next::default() }],
            ..Pipeline::default()
        };
        let mut numbers: Vec<f32> = points.iter().map(|v| v / 0.5).collect();
        if relative {
            let distances: Vec<f32> = numbers.iter().zip([numbers[0], numbers[1]].iter().cycle()).map(|(v, first)| v - first).collect();
            let largest = distances.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
            numbers = distances.iter().map(|v| v / largest).collect();
        }
        let piped = apply(&models[0], &[&models[1]], &pipeline);
        assert_eq!(piped.imported.output_names, ["y"]);
        near(&f32s(&outputs_of(&piped.imported.graph, &[bytes(&x)])[0]), &alone(&models[1], &numbers));
    }
}

/// Sizes of the inputs of both detectors and of the classifier: columns and rows.
const FIRST: [usize; 2] = [9, 6];
const SECOND: [usize; 2] = [6, 9];
const THIRD: [usize; 2] = [5, 4];

/// Six boxes of an image of 6 x 9 or 9 x 6 pixels: middle and size around those of the image, and a score.
fn detector(seed: u64, [columns, rows]: [usize; 2]) -> Imported {
    let mut random = Random(seed);
    let mut m = Maker::default();
    let x = m.f32("x", &[1, rows as i32, columns as i32, 3], None);
    let w: Vec<f32> = random.f32s(5 * 27).iter().enumerate().map(|(i, v)| v * if i < 4 * 27 { 0.2 } else { 1.0 }).collect();
    let w = m.f32("w", &[5, 3, 3, 3], Some(&w));
    let b = m.f32("b", &[5], Some(&[0.5, 0.5, 0.5, 0.5, 0.0]));
    let c = m.f32("c", &[1, rows as i32 / 3, columns as i32 / 3, 5], None);
    m.conv_2d(&[x, w, b], c, Padding::VALID, 3, Activation::NONE);
    let (shape, places) = (m.i32("shape", &[3], None, &[1, 6, 5]), m.f32("places", &[1, 6, 5], None));
    m.operator(Code::RESHAPE, &[c, shape], &[places], None);
    imported(&m.finish(&[x], &[places]))
}

/// Four scores of an image.
fn classifier(seed: u64, [columns, rows]: [usize; 2]) -> Imported {
    let count = columns * rows * 3;
    let mut random = Random(seed);
    let mut m = Maker::default();
    let (x, y) = (m.f32("x", &[1, rows as i32, columns as i32, 3], None), m.f32("y", &[1, 4], None));
    let (w, b) = (m.f32("w", &[4, count as i32], Some(&random.f32s(4 * count))), m.f32("b", &[4], Some(&random.f32s(4))));
    m.fully_connected(&[x, w, b], y, Activation::NONE);
    imported(&m.finish(&[x], &[y]))
}

/// Rows of colours.
#[derive(Clone)]
struct Image(Vec<Vec<[u8; 3]>>);

impl Image {
    fn size(&self) -> [usize; 2] {
        [self.0[0].len(), self.0.len()]
    }

    /// Left, top, right and bottom.
    fn part(&self, [left, top, right, bottom]: [usize; 4]) -> Image {
        Image(self.0[top..bottom].iter().map(|row| row[left..right].to_vec()).collect())
    }

    /// By a quarter, clockwise.
    fn turned(&self) -> Image {
        let [columns, rows] = self.size();
        Image((0..columns).map(|x| (0..rows).rev().map(|y| self.0[y][x]).collect()).collect())
    }

    fn mirrored(&self) -> Image {
        Image(self.0.iter().map(|row| row.iter().rev().copied().collect()).collect())
    }

    /// As OpenCV's INTER_NEAREST or INTER_LINEAR_EXACT.
    fn resized(&self, to: [usize; 2], how: Resizing) -> Image {
        let from = self.size();
        // Two pixels and the weight of the second in parts of 256.
        let place = |axis: usize, i: usize| {
            let scale = 1.0 / (to[axis] as f64 / from[axis] as f64);
            if how == Resizing::Nearest {
                let at = ((i as f64 * scale) as usize).min(from[axis] - 1);
                return (at, at, 0);
            }
            let at = scale * (i as f64 + 0.5) - 0.5;
            let (last, first) = (from[axis] - 1, at.floor());
            match first as usize {
                _ if first < 0.0 => (0, 0, 0),
                first if first >= last => (last, last, 0),
                first => (first, first + 1, ((at - first as f64) * 256.0).round_ties_even() as u32),
            }
        };
        let pixel = |x: usize, y: usize| {
            let ((left, right, across), (top, bottom, down)) = (place(0, x), place(1, y));
            [0, 1, 2].map(|c| {
                let v = |x: usize, y: usize| u32::from(self.0[y][x][c]);
                let row = |y| v(left, y) * (256 - across) + v(right, y) * across;
                ((row(top) * (256 - down) + row(bottom) * down + (1 << 15)) >> 16) as u8
            })
        };
        Image((0..to[1]).map(|y| (0..to[0]).map(|x| pixel(x, y)).collect()).collect())
    }
}

/// A part of the frame as a model's input, and where each place of the input lies in the frame.
struct Seen<'i> {
    part: [usize; 4],
    input: &'i Input,
    size: [usize; 2],
}

impl Seen<'_> {
    fn turned_size(&self) -> [usize; 2] {
        let [left, top, right, bottom] = self.part;
        if self.input.rotate.is_multiple_of(180) { [right - left, bottom - top] } else { [bottom - top, right - left] }
    }

    /// Columns and rows that show the part, and those before them.
    fn inner(&self) -> ([usize; 2], [usize; 2]) {
        let ([w, h], [columns, rows]) = (self.turned_size(), self.size);
        let mut inner = self.size;
        if self.input.fit == Fit::Letterbox {
            let rounded = |of: usize, by: usize, other: usize| ((of * other) as f64 / by as f64 + 0.5).floor().max(1.0) as usize;
            inner = if h * columns <= w * rows { [columns, rounded(h, w, columns)] } else { [rounded(w, h, rows), rows] };
        }
        (inner, [0, 1].map(|i| (self.size[i] - inner[i]) / 2))
    }

    /// (pixel - 127.5) / 127.5 of all pixels; bars are black.
    fn numbers(&self, frame: &Image) -> Vec<f32> {
        let mut image = frame.part(self.part);
        (0..self.input.rotate / 90).for_each(|_| image = image.turned());
        if self.input.mirror {
            image = image.mirrored();
        }
        let (inner, before) = self.inner();
        let image = image.resized(inner, self.input.resize);
        let mut all = vec![vec![[0; 3]; self.size[0]]; self.size[1]];
        for (y, row) in image.0.iter().enumerate() {
            all[before[1] + y][before[0]..before[0] + inner[0]].copy_from_slice(row);
        }
        all.concat().concat().into_iter().map(|v| (f32::from(v) - 127.5) / 127.5).collect()
    }

    fn in_frame(&self, place: [f32; 2]) -> [f32; 2] {
        let ([w, h], (inner, before)) = (self.turned_size().map(|v| v as f32), self.inner());
        let [mut x, y] = [0, 1].map(|i| (place[i] * self.size[i] as f32 - before[i] as f32) / inner[i] as f32);
        (x, _) = (if self.input.mirror { 1.0 - x } else { x }, y);
        let (x, y) = (x * w, y * h);
        let (x, y) = match self.input.rotate {
            0 => (x, y),
            90 => (y, w - x),
            180 => (w - x, h - y),
            _ => (h - y, x),
        };
        [x + self.part[0] as f32, y + self.part[1] as f32]
    }

    /// Left, top, right and bottom of the best box among the detector's numbers.
    fn best(&self, places: &[f32], threshold: f32) -> Option<[f32; 4]> {
        let score = |b: &[f32]| 1.0 / (1.0 + libm::expf(-b[4]));
        let is_box = |b: &&[f32]| threshold <= score(b) && 0.0 < b[2] && 0.0 < b[3];
        let best = places.chunks(5).filter(is_box).max_by(|a, b| a[4].total_cmp(&b[4]))?;
        let ends = [-0.5, 0.5].map(|side| self.in_frame([best[0] + side * best[2], best[1] + side * best[3]]));
        let [a, b] = ends;
        Some([a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])])
    }
}

/// Which pixels a model sees by the box that was found before it; all of them where there is none in the frame.
fn touched(found: [f32; 4], grow: f32, [columns, rows]: [usize; 2]) -> [usize; 4] {
    let side = |low: f32, high: f32, all: usize| {
        let (middle, reach) = ((low + high) * 0.5, (high - low) * (0.5 * grow));
        let end = |v: f32| v.clamp(0.0, all as f32) as usize;
        (end((middle - reach).floor()), end((middle + reach).ceil()))
    };
    let ((left, right), (top, bottom)) = (side(found[0], found[2], columns), side(found[1], found[3], rows));
    if left < right && top < bottom && found[0] < found[2] { [left, top, right, bottom] } else { [0, 0, columns, rows] }
}

fn detections(threshold: f32) -> Detections {
    Detections {
        boxes: "places".into(),
        scores: "places".into(),
        decode: Decode::Center,
        form: Some(Form::Center),
        sigmoid: true,
        threshold,
        iou: 0.5,
        most: 3,
        ..Detections::default()
    }
}

/// A box in the frame, in it another one, and what is in that: through all turns, mirrors, bars and sizes of parts.
#[test]
fn boxes_in_boxes() {
    let models = [detector(21, FIRST), detector(22, SECOND), classifier(23, THIRD)];
    let size = [31, 23];
    let (mut beyond, mut none, mut small) = (0, 0, 0);
    for round in 0..32 {
        let mut random = Random(100 + round as u64);
        // Slopes, so that a pixel too far is seen, and noise.
        let slopes: Vec<f32> = random.f32s(6);
        let colour = |random: &mut Random, x: usize, y: usize| {
            [0, 1, 2]
                .map(|c| (128.0 + 5.0 * (slopes[c] * x as f32 + slopes[c + 3] * y as f32) + 60.0 * random.next()).clamp(0.0, 255.0) as u8)
        };
        let frame = Image((0..size[1]).map(|y| (0..size[0]).map(|x| colour(&mut random, x, y)).collect()).collect());
        let how = |i: usize, within: Option<&str>| Input {
            from: "camera".into(),
            within: within.map(String::from),
            grow: within.filter(|_| round % 3 != 0).map(|_| [0.6, 1.7][round % 2]),
            rotate: (round + i * 3) % 4 * 90,
            mirror: (round / 4 + i) % 2 == 1,
            fit: [Fit::Stretch, Fit::Letterbox][(round / 8 + i) % 2],
            resize: [Resizing::Bilinear, Resizing::Nearest][(round / 2 + i) % 5 / 4],
            mean: Some(OneOrMore::One(127.5)),
            std: Some(OneOrMore::One(127.5)),
            ..Input::default()
        };
        let inputs = [how(0, None), how(1, Some("outer")), how(2, Some("inner"))];
        let input = |i: usize| [("x".to_string(), inputs[i].clone())].into();
        // No first box, or no second one.
        let thresholds = [if round % 8 == 5 { 1.5 } else { 0.2 }, if round % 8 == 6 { 1.5 } else { 0.2 }];
        let pipeline = Pipeline {
            frame: [("camera".to_string(), Frame { format: Format::Rgb8, width: size[0], height: size[1], stride: None })].into(),
            input: input(0),
            detections: [("outer".to_string(), detections(thresholds[0]))].into(),
            next: vec![
                Next { input: input(1), detections: [("inner".to_string(), detections(thresholds[1]))].into(), ..Next::default() },
                Next { input: input(2), ..Next::default() },
            ],
            ..Pipeline::default()
        };
        let piped = apply(&models[0], &[&models[1], &models[2]], &pipeline);
        let names: Vec<&str> = piped.imported.output_names.iter().map(String::as_str).collect();
        let parts = ["count", "box", "label", "score"];
        let wanted: Vec<String> = ["outer", "inner"].iter().flat_map(|n| parts.map(|p| format!("{n}_{p}"))).chain(["y".into()]).collect();
        assert_eq!(names, wanted);
        let outputs = outputs_of(&piped.imported.graph, &[frame.0.concat().concat()]);

        let mut part = [0, 0, size[0], size[1]];
        for (i, to) in [FIRST, SECOND].into_iter().enumerate() {
            let seen = Seen { part, input: &inputs[i], size: to };
            let want = seen.best(&alone(&models[i], &seen.numbers(&frame)), thresholds[i]);
            let count = i32::from_le_bytes(outputs[4 * i][..].try_into().unwrap());
            assert_eq!(want.is_some(), 0 < count, "round {round}, model {i}");
            let got = f32s(&outputs[4 * i + 1][..16]);
            let want = want.unwrap_or([0.0; 4]);
            let is_near = got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-3);
            assert!(is_near, "round {round}, model {i}: got {got:?}, want {want:?}");
            // A box that ends between pixels decides by its last bit which it touches, so it is the chain's own.
            let got = [got[0], got[1], got[2], got[3]];
            part = touched(got, inputs[i + 1].grow.unwrap_or(1.0), size);
            none += usize::from(count == 0);
            beyond += usize::from(got[0] < 0.0 || got[1] < 0.0 || size[0] as f32 <= got[2] || size[1] as f32 <= got[3]);
            small += usize::from(part[2] - part[0] < size[0] && part[3] - part[1] < size[1]);
        }
        let seen = Seen { part, input: &inputs[2], size: THIRD };
        let (got, want) = (f32s(&outputs[8]), alone(&models[2], &seen.numbers(&frame)));
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs())), "round {round}: got {got:?}, want {want:?}");
    }
    assert!(8 <= none && 8 <= beyond && 8 <= small, "{none} without a box, {beyond} beyond the frame, {small} within it");
}
