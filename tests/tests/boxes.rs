//! Boxes and points that a pipeline makes of a model's numbers: interpreted and as machine code, against plain loops.
//!
//! Not the models themselves: a graph here gives its inputs as outputs, so that the numbers are the test's. Boxes come in clusters and scores from few
//! numbers, so that many overlap and many are equal; some numbers are none.

use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::graph::{Graph, Node, Value, ValueId};
use cranelite_graph::import::Imported;
use cranelite_graph::ops::{self, Op};
use cranelite_graph::pipeline::chain::Chain;
use cranelite_graph::pipeline::spec::{Anchors, Decode, Detections, Form, Keypoints, Labels, Layout, OneOrMore, Pipeline};
use cranelite_graph::pipeline::{self, boxes};
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_tests::differential::outputs_of;
use std::collections::BTreeMap;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
    /// One of few numbers between.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.below(33) as f32 / 32.0
    }
}

/// An output of the model: its name, type and numbers, those of integers as they are stored.
#[derive(Clone)]
struct Given {
    name: &'static str,
    ty: TensorType,
    numbers: Vec<f32>,
}

impl Given {
    fn floats(name: &'static str, shape: &[usize], numbers: Vec<f32>) -> Given {
        assert_eq!(shape.iter().product::<usize>(), numbers.len());
        Given { name, ty: TensorType::new(ElementType::F32, shape), numbers }
    }

    /// As bytes of i8 with this scale and zero point.
    fn quantized(self, scale: f32, zero_point: i32) -> Given {
        let numbers = self.numbers.iter().map(|v| (v / scale + zero_point as f32).round().clamp(-128.0, 127.0)).collect();
        Given { ty: TensorType::quantized(ElementType::I8, self.ty.shape.clone(), scale, zero_point.into()), numbers, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        match self.ty.element {
            ElementType::I8 => self.numbers.iter().map(|v| *v as i8 as u8).collect(),
            _ => self.numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn real(&self) -> Vec<f32> {
        let Some(q) = &self.ty.quantization else { return self.numbers.clone() };
        self.numbers.iter().map(|v| (v - q.zero_points[0] as f32) * q.scales[0]).collect()
    }
}

/// A model that gives its inputs, which are flat, as outputs.
fn model(outputs: &[Given]) -> Imported {
    let mut graph = Graph::default();
    for (i, given) in outputs.iter().enumerate() {
        let flat = TensorType { shape: vec![given.numbers.len(), 1, 1, 1, 1], ..given.ty.clone() };
        let x = graph.add_value(Value { name: format!("{}_flat", given.name), ty: flat, data: None });
        let y = graph.add_value(Value { name: given.name.into(), ty: given.ty.clone(), data: None });
        let op = Op::Reshape(ops::reshape::Attributes { shape: given.ty.shape.clone(), is_checked: false });
        graph.nodes.push(Node { op, inputs: vec![Some(x)], outputs: vec![y], operator: i as u32, then: vec![] });
        graph.inputs.push(x);
        graph.outputs.push(y);
    }
    Imported {
        key: String::new(),
        subgraph: 0,
        input_names: outputs.iter().map(|g| format!("{}_flat", g.name)).collect(),
        output_names: outputs.iter().map(|g| g.name.to_string()).collect(),
        input_tensors: (0..outputs.len() as i32).collect(),
        output_tensors: (0..outputs.len() as i32).collect(),
        output_counts: vec![None; outputs.len()],
        graph,
    }
}

/// What detections are, as numbers.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    count: usize,
    boxes: Vec<f32>,
    labels: Vec<i32>,
    scores: Vec<f32>,
    points: Vec<f32>,
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn i32s(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn found(outputs: &[Vec<u8>]) -> Found {
    Found {
        count: i32s(&outputs[0])[0] as usize,
        boxes: f32s(&outputs[1]),
        labels: i32s(&outputs[2]),
        scores: f32s(&outputs[3]),
        points: outputs.get(4).map_or(vec![], |b| f32s(b)),
    }
}

fn piped(outputs: &[Given], d: &Detections) -> Result<pipeline::Piped, String> {
    let pipeline = Pipeline { detections: [("found".to_string(), d.clone())].into(), ..Pipeline::default() };
    pipeline::apply(model(outputs), vec![], &pipeline).map_err(told)
}

/// The place of the first problem, and what it is.
fn told(problems: Vec<Diagnostic>) -> String {
    format!("{}: {}", problems[0].place.detail.as_deref().unwrap_or_default(), problems[0])
}

/// Through the pipeline, whose answer has the names of its parts.
fn detect(outputs: &[Given], d: &Detections) -> Found {
    let piped = piped(outputs, d).unwrap();
    let names: Vec<&str> = piped.imported.output_names.iter().map(String::as_str).collect();
    let wanted = ["found_count", "found_box", "found_label", "found_score", "found_points"];
    assert_eq!(names, wanted[..names.len()]);
    found(&outputs_of(&piped.imported.graph, &outputs.iter().map(Given::bytes).collect::<Vec<_>>()))
}

type Geometry = [[f32; 2]; 3];

/// With a frame of which the model's input is a part.
fn detect_in(outputs: &[Given], d: &Detections, geometry: Geometry) -> (Found, Vec<f32>) {
    let mut graph = model(outputs).graph;
    let by_name: BTreeMap<&str, ValueId> = outputs.iter().map(|g| g.name).zip(graph.outputs.clone()).collect();
    let ty = TensorType::new(ElementType::F32, [3, 2]);
    let given = graph.add_value(Value { name: "geometry".into(), ty, data: None });
    graph.inputs.push(given);
    let mut chain = Chain::new(&mut graph);
    let boxes = boxes::detections(&mut chain, &by_name, d, Some(given)).unwrap();
    let best = boxes::best(&mut chain, &boxes).unwrap();
    chain.after();
    graph.outputs = boxes.parts().into_iter().map(|(_, v)| v).chain([best]).collect();
    cranelite_graph::verify::verify(&graph).unwrap();
    let mut inputs: Vec<Vec<u8>> = outputs.iter().map(Given::bytes).collect();
    inputs.push(geometry.iter().flatten().flat_map(|v| v.to_le_bytes()).collect());
    let mut outputs = outputs_of(&graph, &inputs);
    let best = f32s(&outputs.pop().unwrap());
    (found(&outputs), best)
}

/// One candidate of the plain loops.
#[derive(Clone, Debug)]
struct One {
    corners: [f32; 4],
    points: Vec<[f32; 2]>,
    label: usize,
    score: f32,
}

/// Left, top, right and bottom of four numbers.
fn corners(numbers: &[f32], d: &Detections, scale: [f32; 4], anchor: [f32; 4], exponential: bool) -> [f32; 4] {
    let is_done = d.decode == Decode::Done;
    let order = d.order.unwrap_or(if is_done { [1, 0, 3, 2] } else { [0, 1, 2, 3] });
    let form = d.form.unwrap_or(if is_done { Form::Boundaries } else { Form::Center });
    let [x, y, w, h] = order.map(|i| numbers[i]);
    let (x, y) = (x / scale[0] * anchor[2] + anchor[0], y / scale[1] * anchor[3] + anchor[1]);
    if form == Form::Boundaries {
        return [x, y, w / scale[0] * anchor[2] + anchor[0], h / scale[1] * anchor[3] + anchor[1]];
    }
    let (w, h) = (w / scale[2], h / scale[3]);
    let (w, h) = if exponential { (libm::expf(w), libm::expf(h)) } else { (w, h) };
    let (w, h) = (w * anchor[2], h * anchor[3]);
    match form {
        Form::UpperLeft => [x, y, x + w, y + h],
        _ => [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0],
    }
}

fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let clip = |c: &[f32; 4]| c.map(|v| v.clamp(-1.0, 2.0));
    let (a, b) = (clip(a), clip(b));
    let area = |c: &[f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let (w, h) = ((a[2].min(b[2]) - a[0].max(b[0])).max(0.0), (a[3].min(b[3]) - a[1].max(b[1])).max(0.0));
    w * h / (area(&a) + area(&b) - w * h)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// The answer by its definition. `all`: in the model's order.
fn chosen(mut all: Vec<One>, d: &Detections) -> Found {
    // Stable: of equal scores the first is the first. NaN is the last.
    all.sort_by(|a, b| {
        let key = |s: f32| if s.is_nan() { f32::NEG_INFINITY } else { s };
        key(b.score).total_cmp(&key(a.score))
    });
    all.truncate(d.candidates.unwrap_or(1024));
    let is_finite = |o: &One| o.corners.iter().chain(o.points.iter().flatten()).all(|v| v.is_finite());
    let has_area = |o: &One| o.corners[0] < o.corners[2] && o.corners[1] < o.corners[3];
    let is_near = |o: &One| o.corners[2] > -1.0 && o.corners[3] > -1.0 && o.corners[0] < 2.0 && o.corners[1] < 2.0;
    all.retain(|o| o.score >= d.threshold && is_finite(o) && (d.decode == Decode::Done || has_area(o) && is_near(o)));
    let points = all.first().map_or(0, |o| o.points.len()).max(d.points);
    let mut answer = Found {
        count: 0,
        boxes: vec![0.0; d.most * 4],
        labels: vec![-1; d.most],
        scores: vec![0.0; d.most],
        points: vec![0.0; d.most * points * 2],
    };
    while answer.count < d.most && !all.is_empty() {
        let mut one = all.remove(0);
        if d.decode != Decode::Done {
            let is_left_out = |o: &One| (!d.per_class || o.label == one.label) && overlap(&o.corners, &one.corners) >= d.iou;
            let (left_out, rest): (Vec<One>, Vec<One>) = all.into_iter().partition(|o| is_left_out(o));
            all = rest;
            if d.blend {
                let group = [vec![one.clone()], left_out].concat();
                let total: f32 = group.iter().map(|o| o.score).sum();
                let mean = |of: &dyn Fn(&One) -> f32| group.iter().map(|o| o.score * of(o)).sum::<f32>() / total;
                let corners: Vec<f32> = (0..4).map(|i| mean(&|o| o.corners[i])).collect();
                let points: Vec<[f32; 2]> = (0..points).map(|p| [0, 1].map(|i| mean(&|o| o.points[p][i]))).collect();
                one = One { corners: corners.try_into().unwrap(), points, ..one };
            }
        }
        let at = answer.count;
        answer.boxes[at * 4..][..4].copy_from_slice(&one.corners);
        answer.labels[at] = one.label as i32;
        answer.scores[at] = one.score;
        answer.points[at * points * 2..][..points * 2].copy_from_slice(&one.points.concat());
        answer.count += 1;
    }
    answer
}

#[track_caller]
fn same(got: &Found, want: &Found, what: &str) {
    let near = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()));
    let is_same = got.count == want.count
        && got.labels == want.labels
        && near(&got.boxes, &want.boxes)
        && near(&got.scores, &want.scores)
        && near(&got.points, &want.points);
    assert!(is_same, "{what}\ngot  {got:?}\nwant {want:?}");
}

fn names(n: usize) -> Option<Labels> {
    Some(Labels::Names((0..n).map(|i| format!("class {i}")).collect()))
}

/// Like MediaPipe's face detector, of a smaller input.
fn faces() -> Detections {
    Detections {
        boxes: "places".into(),
        scores: "scores".into(),
        decode: Decode::Anchors,
        anchors: Some(Anchors {
            strides: vec![8, 16, 16, 16],
            per_place: vec![2, 2, 2, 2],
            scale: Some(OneOrMore::One(64.0)),
            ..Anchors::default()
        }),
        points: 2,
        sigmoid: true,
        threshold: 0.4,
        iou: 0.3,
        most: 6,
        ..Detections::default()
    }
}

/// Middles by the definition of MediaPipe's anchors: all layers with one stride at each place.
fn middles(size: usize, layers: &[(usize, usize)]) -> Vec<[f32; 2]> {
    let mut all = vec![];
    for &(stride, anchors) in layers {
        let side = size / stride;
        for y in 0..side {
            for x in 0..side {
                all.extend(vec![[(x as f32 + 0.5) / side as f32, (y as f32 + 0.5) / side as f32]; anchors]);
            }
        }
    }
    all
}

#[test]
fn anchors() {
    let d = faces();
    let middles = middles(64, &[(8, 2), (16, 6)]);
    assert_eq!(middles.len(), 224);
    let mut random = Random(7);
    for round in 0..6 {
        let mut places = vec![];
        let mut scores = vec![];
        let mut all = vec![];
        for (i, m) in middles.iter().enumerate() {
            // Towards one of three clusters, in pixels.
            let cluster = [[0.25, 0.25], [0.75, 0.5], [0.5, 0.875]][random.below(3)];
            let mut numbers: Vec<f32> = vec![
                (cluster[0] - m[0]) * 64.0 + random.between(-2.0, 2.0),
                (cluster[1] - m[1]) * 64.0 + random.between(-2.0, 2.0),
                random.between(4.0, 20.0),
                random.between(4.0, 20.0),
            ];
            numbers.extend((0..4).map(|_| random.between(-16.0, 16.0)));
            let mut score = random.between(-4.0, 2.5);
            match (round, i % 7) {
                (2, 0) => score = f32::NAN,
                (2, 1) => numbers[random.below(8)] = f32::NAN,
                (2, 2) => numbers[random.below(8)] = f32::INFINITY,
                (2, 3) => numbers[2 + random.below(2)] = 0.0,
                (2, 4) => numbers[random.below(2)] = 900.0,
                (3, _) => score = -5.0,
                (4, _) => score = 200.0,
                _ => {}
            }
            let anchor = [m[0], m[1], 1.0, 1.0];
            let points = numbers[4..].chunks(2).map(|p| [p[0] / 64.0 + m[0], p[1] / 64.0 + m[1]]).collect();
            all.push(One { corners: corners(&numbers, &d, [64.0; 4], anchor, false), points, label: 0, score: sigmoid(score) });
            places.extend(numbers);
            scores.push(score);
        }
        let outputs = [Given::floats("places", &[1, 224, 8], places), Given::floats("scores", &[1, 224, 1], scores)];
        for (blend, candidates, most) in [(false, None, 6), (true, None, 6), (false, Some(50), 2), (true, Some(50), 50)] {
            let d = Detections { blend, candidates, most, ..d.clone() };
            let want = chosen(all.clone(), &d);
            same(&detect(&outputs, &d), &want, &format!("round {round}, {blend}, {candidates:?}"));
            match round {
                3 => assert_eq!(want.count, 0),
                // All scores are one: only their order decides.
                4 => assert!(want.scores[..want.count].iter().all(|s| *s == 1.0) && 0 < want.count),
                _ => assert!(0 < want.count),
            }
        }
    }
}

/// Sizes of anchors, exponents, y before x, and an input that is no square: as TensorFlow's object detection has it.
#[test]
fn sized_anchors() {
    let d = Detections {
        boxes: "places".into(),
        scores: "scores".into(),
        decode: Decode::Anchors,
        order: Some([1, 0, 3, 2]),
        anchors: Some(Anchors {
            strides: vec![16, 32],
            per_place: vec![2, 1],
            scale: Some(OneOrMore::More(vec![10.0, 10.0, 5.0, 5.0])),
            size: Some([64, 40]),
            sizes: Some(vec![vec![[0.25, 0.25], [0.5, 0.25]], vec![[0.75, 0.5]]]),
            exponential: true,
        }),
        points: 1,
        softmax: true,
        background: true,
        labels: names(3),
        threshold: 0.3,
        iou: 0.45,
        most: 8,
        ..Detections::default()
    };
    // 4 x 3 places of two, then 2 x 2 of one.
    let mut all_anchors = vec![];
    for y in 0..3 {
        for x in 0..4 {
            let middle = [(x as f32 + 0.5) / 4.0, (y as f32 + 0.5) / 3.0];
            all_anchors.extend([[middle[0], middle[1], 0.25, 0.25], [middle[0], middle[1], 0.5, 0.25]]);
        }
    }
    for y in 0..2 {
        for x in 0..2 {
            all_anchors.push([(x as f32 + 0.5) / 2.0, (y as f32 + 0.5) / 2.0, 0.75, 0.5]);
        }
    }
    let mut random = Random(3);
    let scale = [10.0, 10.0, 5.0, 5.0];
    for (scale_of_scores, per_class) in [(None, false), (Some(0.03125), true)] {
        let (mut places, mut scores, mut all) = (vec![], vec![], vec![]);
        for anchor in &all_anchors {
            let numbers: Vec<f32> = (0..6).map(|_| random.between(-4.0, 4.0)).collect();
            let own: Vec<f32> = (0..4).map(|_| random.between(-2.0, 2.0)).collect();
            // Numbers that are exact as bytes as well.
            let total: f32 = own.iter().map(|v| libm::expf(*v)).sum();
            let best = (1..4).rev().max_by(|a, b| own[*a].total_cmp(&own[*b])).unwrap();
            let points = vec![[numbers[5] / 10.0 * anchor[2] + anchor[0], numbers[4] / 10.0 * anchor[3] + anchor[1]]];
            all.push(One {
                corners: corners(&numbers, &d, scale, *anchor, true),
                points,
                label: best - 1,
                score: libm::expf(own[best]) / total,
            });
            places.extend(numbers);
            scores.extend(own);
        }
        let mut scores = Given::floats("scores", &[28, 4], scores);
        if let Some(scale) = scale_of_scores {
            scores = scores.quantized(scale, 0);
            assert!(scores.numbers.iter().all(|n| (-64.0..=64.0).contains(n)));
        }
        let d = Detections { per_class, ..d.clone() };
        let outputs = [Given::floats("places", &[28, 6], places), scores];
        let want = chosen(all, &d);
        assert!(3 < want.count);
        same(&detect(&outputs, &d), &want, &format!("{scale_of_scores:?}"));
    }
}

/// YOLO's: rows and columns, one output or two, bytes or floats, objectness or none, classes apart or not.
#[test]
fn without_anchors() {
    let mut random = Random(11);
    for round in 0..24 {
        let [is_column, is_apart, is_quantized, objectness, per_class] = [1, 2, 4, 8, 16].map(|bit| (round * 7 + round / 8 * 5) & bit != 0);
        let (count, classes, points) = (60 + round, 3, round % 3);
        let d = Detections {
            boxes: "all".into(),
            scores: if is_apart { "scores" } else { "all" }.into(),
            decode: Decode::Center,
            layout: if is_column { Layout::Columns } else { Layout::Rows },
            form: [None, Some(Form::Boundaries), Some(Form::UpperLeft)][round % 3],
            scale: Some(OneOrMore::More(vec![32.0, 16.0])),
            points,
            point_dims: Some(3),
            sigmoid: true,
            objectness,
            labels: names(classes),
            threshold: 0.3,
            iou: 0.5,
            per_class,
            blend: round % 5 == 0,
            most: 10,
            ..Detections::default()
        };
        let (mut places, mut of_classes, mut of_points) = (vec![], vec![], vec![]);
        for i in 0..count {
            let (x, y) = [(8.0, 4.0), (24.0, 12.0), (16.0, 8.0)][random.below(3)];
            let (x, y) = (x + random.between(-2.0, 2.0), y + random.between(-2.0, 2.0));
            let (w, h) = (random.between(2.0, 18.0), random.between(1.0, 8.0));
            places.push(if round % 3 == 1 { vec![x, y, x + w, y + h] } else { vec![x, y, w, h] });
            let mut scores: Vec<f32> = (0..classes + usize::from(objectness)).map(|_| random.between(-4.0, 4.0)).collect();
            if i % 9 == 0 && !is_quantized {
                scores[random.below(classes)] = f32::NAN;
            }
            of_classes.push(scores);
            of_points.push((0..points * 3).map(|_| random.between(0.0, 16.0)).collect::<Vec<f32>>());
        }
        // In two outputs points follow the box, in one the scores.
        let table = |name, rows: Vec<Vec<f32>>| {
            let width = rows[0].len();
            let given = if is_column {
                let numbers = (0..width).flat_map(|c| rows.iter().map(move |r| r[c])).collect();
                Given::floats(name, &[1, width, count], numbers)
            } else {
                Given::floats(name, &[1, count, width], rows.concat())
            };
            if is_quantized { given.quantized(0.25, -3) } else { given }
        };
        let outputs = if is_apart {
            let places = places.iter().zip(&of_points).map(|(a, b)| [&a[..], b].concat()).collect();
            vec![table("all", places), table("scores", of_classes.clone())]
        } else {
            let rows = (0..count).map(|i| [&places[i][..], &of_classes[i], &of_points[i]].concat()).collect();
            vec![table("all", rows)]
        };
        // What the bytes say.
        let reals: Vec<Vec<f32>> = outputs.iter().map(Given::real).collect();
        let number = |output: usize, i: usize, j: usize| {
            let width = reals[output].len() / count;
            if is_column { reals[output][j * count + i] } else { reals[output][i * width + j] }
        };
        let mut all = vec![];
        for i in 0..count {
            let numbers: Vec<f32> = (0..4).map(|j| number(0, i, j)).collect();
            let before = usize::from(objectness);
            let (output, first) = if is_apart { (1, 0) } else { (0, 4) };
            let scores: Vec<f32> = (0..classes).map(|c| number(output, i, first + before + c)).collect();
            let label = (0..classes).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
            let mut score = sigmoid(scores[label]);
            if objectness {
                score *= sigmoid(number(output, i, first));
            }
            if scores.iter().any(|s| s.is_nan()) {
                score = f32::NAN;
            }
            let at = if is_apart { 4 } else { 4 + before + classes };
            let points = (0..points).map(|p| [number(0, i, at + 3 * p) / 32.0, number(0, i, at + 3 * p + 1) / 16.0]).collect();
            let corners = corners(&numbers, &d, [32.0, 16.0, 32.0, 16.0], [0.0, 0.0, 1.0, 1.0], false);
            all.push(One { corners, points, label, score });
        }
        let want = chosen(all, &d);
        assert!(1 < want.count, "round {round}");
        same(&detect(&outputs, &d), &want, &format!("round {round}: {d:?}"));
    }
}

/// What TFLite_Detection_PostProcess gives, in another order, with numbers that are none.
#[test]
fn ready_boxes() {
    let size = 12;
    let mut random = Random(5);
    for round in 0..4 {
        let d = Detections {
            boxes: "b".into(),
            scores: "s".into(),
            classes: Some("c".into()),
            count: (round != 1).then(|| "n".into()),
            labels: (round != 3).then(|| names(4).unwrap()),
            threshold: 0.25,
            most: [5, 12, 1, 12][round],
            ..Detections::default()
        };
        let boxes: Vec<f32> = (0..size * 4).map(|i| if i == 9 { f32::NAN } else { random.between(0.0, 1.0) }).collect();
        let mut scores: Vec<f32> = (0..size).map(|_| random.between(0.0, 1.0)).collect();
        scores[4] = f32::NAN;
        let mut classes: Vec<f32> = (0..size).map(|_| random.below(5) as f32).collect();
        (classes[6], classes[7], classes[8]) = (f32::NAN, -1.0, 1e30);
        let count = [10.0, 0.0, 3.0, f32::NAN][round];
        let mut all = vec![];
        for i in 0..size {
            let is_told = round == 1 || (i as f32) < count;
            let is_class = (0.0..if round == 3 { 16777216.0 } else { 4.0 }).contains(&classes[i]);
            if is_told && is_class && !scores[i].is_nan() {
                let corners = corners(&boxes[i * 4..][..4], &d, [1.0; 4], [0.0, 0.0, 1.0, 1.0], false);
                all.push(One { corners, points: vec![], label: classes[i] as usize, score: scores[i] });
            }
        }
        let want = chosen(all, &d);
        assert_eq!(want.count == 0, round == 3);
        let outputs = [
            Given::floats("b", &[1, size, 4], boxes),
            Given::floats("c", &[1, size], classes),
            Given::floats("n", &[1], vec![count]),
            Given::floats("s", &[1, size], scores),
        ];
        let outputs = if round == 1 { vec![outputs[0].clone(), outputs[1].clone(), outputs[3].clone()] } else { outputs.to_vec() };
        same(&detect(&outputs, &d), &want, &format!("round {round}"));
        // All of them without `most`.
        let all = Detections { most: 0, ..d };
        assert_eq!(detect(&outputs, &all).labels.len(), size);
    }
}

/// A frame of 200 x 100 pixels whose part at (20, 10), of 80 x 40, is the model's input: as it is, mirrored, and turned by a quarter.
#[test]
fn in_frames() {
    let d = Detections { most: 3, ..faces() };
    let middles = middles(64, &[(8, 2), (16, 6)]);
    let (mut places, mut scores) = (vec![], vec![]);
    for i in 0..224 {
        places.extend([0.0, 0.0, 16.0, 8.0, 8.0, -4.0, 0.0, 2.0]);
        scores.push(if i == 30 || i == 200 { 3.0 - i as f32 / 128.0 } else { -9.0 });
    }
    let outputs = [Given::floats("places", &[1, 224, 8], places), Given::floats("scores", &[1, 224, 1], scores)];
    let frames: [Geometry; 3] =
        [[[80.0, 0.0], [0.0, 40.0], [20.0, 10.0]], [[-80.0, 0.0], [0.0, 40.0], [100.0, 10.0]], [[0.0, -40.0], [80.0, 0.0], [20.0, 50.0]]];
    for g in frames {
        let (found, best) = detect_in(&outputs, &d, g);
        let to = |p: [f32; 2]| [0, 1].map(|i| p[0] * g[0][i] + p[1] * g[1][i] + g[2][i]);
        let mut want = Found { count: 2, boxes: vec![], labels: vec![0, 0, -1], scores: vec![], points: vec![] };
        for i in [30, 200] {
            let m = middles[i];
            let ends = [to([m[0] - 0.125, m[1] - 0.0625]), to([m[0] + 0.125, m[1] + 0.0625])];
            want.boxes.extend([0, 1].map(|a| ends[0][a].min(ends[1][a])));
            want.boxes.extend([0, 1].map(|a| ends[0][a].max(ends[1][a])));
            want.scores.push(sigmoid(3.0 - i as f32 / 128.0));
            want.points.extend([to([m[0] + 0.125, m[1] - 0.0625]), to([m[0], m[1] + 0.03125])].concat());
        }
        want.boxes.extend([0.0; 4]);
        want.scores.push(0.0);
        want.points.extend([0.0; 4]);
        same(&found, &want, &format!("{g:?}"));
        assert_eq!(best, found.boxes[..4]);
    }
    // No box: zeros, wherever the frame is.
    let none = [outputs[0].clone(), Given::floats("scores", &[1, 224, 1], vec![-9.0; 224])];
    let (found, best) = detect_in(&none, &d, frames[0]);
    let want = Found { count: 0, boxes: vec![0.0; 12], labels: vec![-1; 3], scores: vec![0.0; 3], points: vec![0.0; 12] };
    same(&found, &want, "no box");
    assert_eq!(best, [0.0; 4]);
}

fn points_of(given: &Given, k: &Keypoints, geometry: Option<Geometry>) -> (Vec<usize>, Vec<f32>, Vec<f32>) {
    let outputs = [given.clone()];
    let mut graph = model(&outputs).graph;
    let by_name: BTreeMap<&str, ValueId> = [(given.name, graph.outputs[0])].into();
    let mut inputs = vec![given.bytes()];
    let value = geometry.map(|g| {
        inputs.push(g.iter().flatten().flat_map(|v| v.to_le_bytes()).collect());
        let value = graph.add_value(Value { name: "geometry".into(), ty: TensorType::new(ElementType::F32, [3, 2]), data: None });
        graph.inputs.push(value);
        value
    });
    let mut chain = Chain::new(&mut graph);
    let points = boxes::keypoints(&mut chain, &by_name, k, value).unwrap();
    let around = boxes::around(&mut chain, points).unwrap();
    chain.after();
    graph.outputs = vec![points, around];
    cranelite_graph::verify::verify(&graph).unwrap();
    let outputs = outputs_of(&graph, &inputs);
    (graph.ty(points).shape.clone(), f32s(&outputs[0]), f32s(&outputs[1]))
}

#[test]
fn keypoints() {
    let numbers = vec![32.0, 16.0, 1.0, 48.0, f32::NAN, 2.0, 0.0, 64.0, -3.0];
    let given = Given::floats("p", &[1, 9], numbers);
    let k = Keypoints { from: "p".into(), count: 3, dims: 3, scale: 64.0, relative: false };
    let (shape, points, around) = points_of(&given, &k, None);
    assert_eq!(shape, [3, 3]);
    assert_eq!(points, [0.5, 0.25, 1.0 / 64.0, 0.75, 0.0, 2.0 / 64.0, 0.0, 1.0, -3.0 / 64.0]);
    assert_eq!(around, [0.0, 0.0, 0.75, 1.0]);
    let turned = [[0.0, -40.0], [80.0, 0.0], [20.0, 50.0]];
    let (_, points, around) = points_of(&given, &k, Some(turned));
    assert_eq!(points, [40.0, 30.0, 1.0 / 64.0, 20.0, 20.0, 2.0 / 64.0, 100.0, 50.0, -3.0 / 64.0]);
    assert_eq!(around, [20.0, 20.0, 100.0, 50.0]);
    // Relative to the first, in the frame, where both directions have one length.
    let (shape, points, _) = points_of(&given, &Keypoints { relative: true, ..k.clone() }, Some(turned));
    assert_eq!(shape, [3, 2]);
    assert_eq!(points, [0.0, 0.0, -20.0 / 60.0, -10.0 / 60.0, 1.0, 20.0 / 60.0]);
    // All at one place.
    let one = Given::floats("p", &[1, 6], vec![5.0; 6]);
    let (_, points, _) = points_of(&one, &Keypoints { dims: 2, scale: 0.0, relative: true, ..k.clone() }, None);
    assert_eq!(points, [0.0; 6]);
    // Through a pipeline the points are an answer.
    let pipeline = Pipeline { keypoints: [("hand".to_string(), k)].into(), ..Pipeline::default() };
    let piped = pipeline::apply(model(&[given]), vec![], &pipeline).map_err(|d| d[0].to_string()).unwrap();
    assert_eq!(piped.imported.output_names, ["hand_points"]);
}

#[test]
fn messages() {
    let outputs = [
        Given::floats("all", &[1, 7, 20], vec![0.0; 140]),
        Given::floats("scores", &[1, 20, 3], vec![0.0; 60]),
        Given::floats("cube", &[2, 7, 20], vec![0.0; 280]),
        Given::floats("classes", &[1, 20], vec![0.0; 20]),
    ];
    let base = Detections {
        boxes: "all".into(),
        scores: "all".into(),
        decode: Decode::Center,
        layout: Layout::Columns,
        threshold: 0.5,
        iou: 0.5,
        most: 4,
        ..Detections::default()
    };
    piped(&outputs, &base).unwrap();
    type Change = fn(&mut Detections);
    let cases: &[(Change, &str, &str)] = &[
        (|d| d.boxes = "al".into(), "detections.found.boxes", "no output called \"al\""),
        (|d| d.boxes = String::new(), "detections.found.boxes", "no output is named"),
        (|d| d.scores = "cube".into(), "detections.found.boxes", "not as many numbers"),
        (|d| (d.boxes, d.scores) = ("cube".into(), "cube".into()), "detections.found.boxes", "the shape of the output does not fit"),
        (|d| d.layout = Layout::Rows, "detections.found.most", ""),
        (|d| d.points = 2, "detections.found.boxes", "too few numbers"),
        (|d| d.points = usize::MAX, "detections.found.points", "too many points"),
        (|d| d.point_dims = Some(1), "detections.found.point_dims", "two numbers at least"),
        (|d| d.threshold = f32::NAN, "detections.found.threshold", "finite"),
        (|d| d.iou = 0.0, "detections.found.iou", "above 0"),
        (|d| d.iou = f32::NAN, "detections.found.iou", "above 0"),
        (|d| d.iou = 1.5, "detections.found.iou", "above 0"),
        (|d| d.most = 0, "detections.found.most", "1 to 20"),
        (|d| d.most = 21, "detections.found.most", "1 to 20"),
        (|d| d.candidates = Some(0), "detections.found.candidates", "1 to 20"),
        (|d| d.candidates = Some(21), "detections.found.candidates", "1 to 20"),
        (|d| (d.sigmoid, d.softmax) = (true, true), "detections.found.sigmoid", "at once"),
        (|d| d.labels = names(2), "detections.found.labels", "expected 3"),
        (|d| d.classes = Some("classes".into()), "detections.found.classes", "no meaning"),
        (|d| d.order = Some([0, 1, 1, 2]), "detections.found.order", "once"),
        (|d| d.scale = Some(OneOrMore::One(0.0)), "detections.found.scale", "above 0"),
        (|d| d.scale = Some(OneOrMore::More(vec![1.0; 3])), "detections.found.scale", "one number, or two"),
        (|d| d.decode = Decode::Anchors, "detections.found.anchors", "relative to anchors"),
        (|d| d.decode = Decode::Done, "detections.found.layout", "no meaning"),
        (
            |d| (d.decode, d.layout, d.iou, d.scores) = (Decode::Done, Layout::Rows, 0.0, "classes".into()),
            "detections.found.boxes",
            "four numbers",
        ),
        (|d| d.anchors = Some(Anchors::default()), "detections.found.anchors", "no meaning"),
        (
            |d| (d.decode, d.anchors) = (Decode::Anchors, Some(Anchors { scale: Some(OneOrMore::One(64.0)), ..Anchors::default() })),
            "detections.found.anchors.strides",
            "stride above 0",
        ),
        (
            |d| {
                let anchors = Anchors { strides: vec![16], per_place: vec![1], scale: Some(OneOrMore::One(64.0)), ..Anchors::default() };
                (d.decode, d.anchors) = (Decode::Anchors, Some(anchors));
            },
            "detections.found.anchors",
            "expected 20; found 16",
        ),
        (
            |d| {
                let huge = Some([usize::MAX, usize::MAX]);
                let anchors =
                    Anchors { strides: vec![1], per_place: vec![9], scale: Some(OneOrMore::One(1.0)), size: huge, ..Anchors::default() };
                (d.decode, d.anchors) = (Decode::Anchors, Some(anchors));
            },
            "detections.found.anchors",
            "found more",
        ),
    ];
    for (i, (change, place, text)) in cases.iter().enumerate() {
        let mut d = base.clone();
        change(&mut d);
        if i == 4 {
            // 7 boxes of 20 numbers are possible.
            piped(&outputs, &d).unwrap();
            continue;
        }
        let message = piped(&outputs, &d).err().unwrap_or_else(|| panic!("case {i} is accepted"));
        assert!(message.contains(place) && message.contains(text), "case {i}: {message}");
    }
    let points = |k: Keypoints| {
        let pipeline = Pipeline { keypoints: [("hand".to_string(), k)].into(), ..Pipeline::default() };
        pipeline::apply(model(&outputs), vec![], &pipeline).map(|_| ()).map_err(told).unwrap_err()
    };
    let k = Keypoints { from: "classes".into(), count: 10, dims: 2, scale: 1.0, relative: false };
    for (k, place, text) in [
        (Keypoints { from: "x".into(), ..k.clone() }, "keypoints.hand.from", "no output called"),
        (Keypoints { count: 0, ..k.clone() }, "keypoints.hand.count", "one point at least"),
        (Keypoints { dims: 1, ..k.clone() }, "keypoints.hand.dims", "two numbers"),
        (Keypoints { dims: 3, ..k.clone() }, "keypoints.hand.count", "[1, 20]"),
        (Keypoints { count: usize::MAX, ..k.clone() }, "keypoints.hand.count", "[1, 20]"),
        (Keypoints { scale: f32::NAN, ..k }, "keypoints.hand.scale", "above 0"),
    ] {
        let message = points(k);
        assert!(message.contains(place) && message.contains(text), "{message}");
    }
}
