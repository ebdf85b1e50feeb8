//! TFLite_Detection_PostProcess, lowered for several machines and interpreted, against plain loops that sort.
//!
//! Boxes come in clusters and scores from few numbers, so that many overlap and many are equal.

#[allow(dead_code)]
#[path = "windows/support.rs"]
mod support;

use cranelite_graph::diagnostic::Code;
use cranelite_graph::graph::{Graph, Node, Value};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::tflite_detection_postprocess::Attributes;
use cranelite_graph::ops::{Op, Operand, Signature};
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_tile::{Machine, interpret, verify};
use support::machines;

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

/// A tensor's integers or floats, and what they stand for.
struct Numbers {
    ty: TensorType,
    bytes: Vec<u8>,
    real: Vec<f32>,
}

impl Numbers {
    fn new(shape: &[usize], quantization: Option<(f32, i32)>, values: Vec<f32>) -> Numbers {
        let Some((scale, zero_point)) = quantization else {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            return Numbers { ty: TensorType::new(ElementType::F32, shape.to_vec()), bytes, real: values };
        };
        let bytes: Vec<u8> = values.iter().map(|v| (v / scale + zero_point as f32).round().clamp(0.0, 255.0) as u8).collect();
        let real = bytes.iter().map(|&q| (f32::from(q) - zero_point as f32) * scale).collect();
        Numbers { ty: TensorType::quantized(ElementType::U8, shape.to_vec(), scale, zero_point.into()), bytes, real }
    }
}

/// The places of the `most` largest numbers by a heap of them, whose steps decide about the order of equal numbers: a place that is put into a
/// hole goes down to a leaf and up again.
fn partially_sorted(numbers: &[f32], most: usize) -> Vec<usize> {
    fn put(heap: &mut [usize], numbers: &[f32], top: usize, place: usize) {
        let mut hole = top;
        while 2 * hole + 1 < heap.len() {
            let (left, right) = (2 * hole + 1, 2 * hole + 2);
            let is_left = right == heap.len() || numbers[heap[left]] < numbers[heap[right]];
            let child = if is_left { left } else { right };
            heap[hole] = heap[child];
            hole = child;
        }
        while top < hole && numbers[place] < numbers[heap[(hole - 1) / 2]] {
            heap[hole] = heap[(hole - 1) / 2];
            hole = (hole - 1) / 2;
        }
        heap[hole] = place;
    }
    if most == 1 {
        let largest = numbers.iter().copied().fold(f32::MIN, f32::max);
        return vec![numbers.iter().position(|n| *n == largest).unwrap()];
    }
    let mut heap: Vec<usize> = (0..most).collect();
    for parent in (0..most / 2).rev() {
        let place = heap[parent];
        put(&mut heap, numbers, parent, place);
    }
    for place in most..numbers.len() {
        if numbers[heap[0]] < numbers[place] {
            put(&mut heap, numbers, 0, place);
        }
    }
    for size in (1..most).rev() {
        let (place, worst) = (heap[size], heap[0]);
        heap[size] = worst;
        put(&mut heap[..size], numbers, 0, place);
    }
    heap
}

/// Scores, and the classes that TensorFlow Lite gives for them.
#[rustfmt::skip]
const KNOWN: &[(&[f32], &[usize])] = &[
    (&[2.0, 2.0, 0.0, 0.0, 1.0, 2.0, 2.0], &[0, 1]),
    (&[2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0], &[0, 1, 2]),
    (&[1.0, 2.0, 1.0, 2.0, 0.0, 2.0, 0.0, 0.0, 2.0, 0.0], &[1, 3, 8, 5]),
    (&[1.0, 2.0, 2.0, 0.0, 2.0, 2.0, 2.0, 0.0, 1.0, 2.0, 2.0], &[1, 4, 5, 6, 2]),
    (&[1.0, 2.0, 2.0, 2.0, 0.0, 2.0], &[3, 1, 2, 5, 0, 4]),
    (&[2.0, 2.0, 2.0, 2.0, 2.0], &[3, 4, 1, 0, 2]),
    (&[1.0, 0.0, 2.0, 2.0, 0.0, 1.0, 1.0, 2.0, 1.0], &[7, 3, 2]),
    (&[1.0, 0.0, 2.0, 2.0, 0.0, 1.0, 0.0, 1.0, 0.0], &[2, 3, 5, 0]),
];

/// What this file takes for the reference.
#[test]
fn equal_numbers_are_in_the_order_of_the_reference() {
    for (numbers, sorted) in KNOWN {
        assert_eq!(partially_sorted(numbers, sorted.len()), *sorted);
    }
}

struct Case {
    a: Attributes,
    boxes: Numbers,
    scores: Numbers,
    anchors: Numbers,
}

impl Case {
    fn random(random: &mut Random, count: usize, classes: usize) -> Case {
        let is_quantized = random.below(2) == 0;
        let quantized = |q| is_quantized.then_some(q);
        let (length, columns) = (4 + random.below(2) * 3, classes + random.below(2));
        let a = Attributes {
            max_detections: 1 + random.below(2 * count),
            max_classes_per_detection: 1 + random.below(3),
            detections_per_class: 1 + random.below(6),
            use_regular_nms: random.below(2) == 0,
            nms_score_threshold: [0.0, 0.3, 0.5, -1.0, 1.5][random.below(5)],
            nms_iou_threshold: [0.1, 0.5, 0.6, 1.0][random.below(4)],
            num_classes: classes,
            y_scale: 10.0,
            x_scale: 10.0,
            h_scale: 5.0,
            w_scale: 5.0,
        };
        let boxes = (0..count * length).map(|_| random.between(-2.0, 2.0)).collect();
        let scores = (0..count * columns).map(|_| random.between(0.0, 1.0)).collect();
        // Few centers, and now and then no size.
        let anchors = (0..count).flat_map(|_| {
            let size = if random.below(8) == 0 { 0.0 } else { 0.3 };
            [random.below(3) as f32 * 0.25, random.below(3) as f32 * 0.25, size, 0.3]
        });
        Case {
            anchors: Numbers::new(&[count, 4], quantized((0.005, 0)), anchors.collect()),
            boxes: Numbers::new(&[1, count, length], quantized((0.02, 128)), boxes),
            scores: Numbers::new(&[1, count, columns], (random.below(2) == 0).then_some((1.0 / 256.0, 0)), scores),
            a,
        }
    }

    fn infer(&self) -> Result<Vec<Vec<usize>>, Code> {
        let y = TensorType::new(ElementType::F32, vec![1]);
        let inputs = [&self.boxes, &self.scores, &self.anchors].map(|n| Some(Operand { ty: &n.ty, data: None })).to_vec();
        Op::TfliteDetectionPostprocess(self.a.clone()).infer(&Signature { inputs, outputs: vec![&y; 4] }).map_err(|d| d.code)
    }

    fn graph(&self) -> Graph {
        let mut g = Graph { name: "test".into(), ..Graph::default() };
        let mut value = |ty: &TensorType, data: Option<&[u8]>| {
            g.add_value(Value { name: "x".into(), ty: ty.clone(), data: data.map(|d| d.to_vec().into()) })
        };
        let (boxes, scores) = (value(&self.boxes.ty, None), value(&self.scores.ty, None));
        let anchors = value(&self.anchors.ty, Some(&self.anchors.bytes));
        let shapes = self.infer().expect("a case that fits");
        let outputs: Vec<_> = shapes.into_iter().map(|shape| value(&TensorType::new(ElementType::F32, shape), None)).collect();
        (g.inputs, g.outputs) = (vec![boxes, scores], outputs.clone());
        let op = Op::TfliteDetectionPostprocess(self.a.clone());
        g.nodes.push(Node { op, inputs: [boxes, scores, anchors].map(Some).to_vec(), outputs, operator: 0, then: vec![] });
        g
    }

    /// Boxes, classes, scores, number.
    fn compiled(&self, machine: &Machine, goal: Goal) -> Vec<Vec<f32>> {
        let program = lower(&self.graph(), machine, goal).expect("it can be lowered");
        verify::verify(&program).unwrap_or_else(|e| panic!("{}", e[0]));
        let sizes = self.infer().expect("a case that fits").into_iter().map(|shape| 4 * shape.iter().product::<usize>());
        let mut bytes: Vec<Vec<u8>> = sizes.map(|n| vec![0xAA; n]).collect();
        let mut outputs: Vec<&mut [u8]> = bytes.iter_mut().map(Vec::as_mut_slice).collect();
        interpret::run(&program, &[&self.boxes.bytes, &self.scores.bytes], &mut outputs).unwrap_or_else(|e| panic!("{e}"));
        let floats = |b: &Vec<u8>| b.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        bytes.iter().map(floats).collect()
    }

    fn decoded(&self) -> Vec<[f32; 4]> {
        let length = self.boxes.ty.shape[2];
        let scales = [self.a.y_scale, self.a.x_scale, self.a.h_scale, self.a.w_scale].map(f64::from);
        let one = |(e, a): (&[f32], &[f32])| {
            let encoded = |i: usize| f64::from(e[i]) / scales[i];
            let center = |i: usize| (encoded(i) * f64::from(a[i + 2]) + f64::from(a[i])) as f32;
            let half = |i: usize| (0.5 * libm::exp(encoded(i + 2)) * f64::from(a[i + 2])) as f32;
            [center(0) - half(0), center(1) - half(1), center(0) + half(0), center(1) + half(1)]
        };
        self.boxes.real.chunks_exact(length).zip(self.anchors.real.chunks_exact(4)).map(one).collect()
    }

    fn suppressed(&self, boxes: &[[f32; 4]], scores: &[f32], most: usize) -> Vec<usize> {
        let area = |b: [f32; 4]| (b[2] - b[0]) * (b[3] - b[1]);
        let share = |a: [f32; 4], b: [f32; 4]| {
            if area(a) <= 0.0 || area(b) <= 0.0 {
                return 0.0;
            }
            let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
            let common = side(0) * side(1);
            common / (area(a) + area(b) - common)
        };
        let mut order: Vec<usize> = (0..scores.len()).filter(|&i| self.a.nms_score_threshold <= scores[i]).collect();
        order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]));
        let mut chosen: Vec<usize> = vec![];
        for i in order {
            if chosen.len() < most && chosen.iter().all(|&j| share(boxes[j], boxes[i]) <= self.a.nms_iou_threshold) {
                chosen.push(i);
            }
        }
        chosen
    }

    fn expected(&self) -> Vec<Vec<f32>> {
        let (a, boxes, columns) = (&self.a, self.decoded(), self.scores.ty.shape[2]);
        let score = |i: usize, class: usize| self.scores.real[i * columns + columns - a.num_classes + class];
        let rows = a.max_detections * a.max_classes_per_detection;
        let mut y = vec![vec![0.0; 4 * rows], vec![0.0; rows], vec![0.0; rows], vec![0.0]];
        let mut put = |row: usize, i: usize, class: usize| {
            y[0][4 * row..4 * row + 4].copy_from_slice(&boxes[i]);
            (y[1][row], y[2][row]) = (class as f32, score(i, class));
        };
        let number = if a.use_regular_nms {
            let mut all = vec![];
            for class in 0..a.num_classes {
                let scores: Vec<f32> = (0..boxes.len()).map(|i| score(i, class)).collect();
                let chosen = self.suppressed(&boxes, &scores, a.detections_per_class.min(a.max_detections));
                all.extend(chosen.into_iter().map(|i| (i, class)));
            }
            all.sort_by(|&(i, c), &(j, d)| score(j, d).total_cmp(&score(i, c)));
            all.truncate(a.max_detections);
            all.iter().enumerate().for_each(|(row, &(i, class))| put(row, i, class));
            all.len()
        } else {
            let best: Vec<f32> = (0..boxes.len()).map(|i| (0..a.num_classes).map(|c| score(i, c)).fold(f32::MIN, f32::max)).collect();
            let chosen = self.suppressed(&boxes, &best, a.max_detections);
            for (d, &i) in chosen.iter().enumerate() {
                let scores: Vec<f32> = (0..a.num_classes).map(|class| score(i, class)).collect();
                let kept = partially_sorted(&scores, a.max_classes_per_detection.min(a.num_classes));
                kept.iter().enumerate().for_each(|(n, &class)| put(d * a.max_classes_per_detection + n, i, class));
            }
            chosen.len()
        };
        y[3][0] = number as f32;
        y
    }
}

#[test]
fn detections_are_those_of_plain_loops() {
    let mut random = Random(1);
    let mut found = 0;
    for n in 0..120 {
        let (count, classes) = (1 + random.below(if n % 4 == 0 { 70 } else { 12 }), 1 + random.below(if n % 3 == 0 { 40 } else { 5 }));
        let case = Case::random(&mut random, count, classes);
        let expected = case.expected();
        found += expected[3][0] as usize;
        for m in &machines()[..] {
            for goal in [Goal::Speed, Goal::Size] {
                let got = case.compiled(m, goal);
                assert_eq!(got, expected, "case {n} on {}: {:?}, {count} boxes", m.name, case.a);
            }
        }
    }
    assert!(500 < found, "{found} detections");
}

/// Boxes that are huge, infinite or nothing at all.
#[test]
fn sizes_beyond_all_bounds() {
    let mut random = Random(2);
    for size in [-4000.0, -1e30, 440.0, 445.0, 3600.0, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = Case::random(&mut random, 9, 2);
        let mut boxes = vec![0.5; 36];
        boxes[4 * 3 + 2..4 * 3 + 4].fill(size);
        case.boxes = Numbers::new(&[1, 9, 4], None, boxes);
        case.anchors = Numbers::new(&[9, 4], None, (0..36).map(|i| 0.25 + (i % 7) as f32 * 0.125).collect());
        let expected = case.expected();
        for m in &machines() {
            assert_eq!(case.compiled(m, Goal::Speed), expected, "{size} on {}", m.name);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = || Case::random(&mut Random(3), 5, 3);
    let refused = |change: fn(&mut Case)| {
        let mut case = case();
        change(&mut case);
        case.infer().err()
    };
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|c| c.a.max_detections = 0), Some(Code::ATTRIBUTE));
    assert_eq!(refused(|c| c.a.max_classes_per_detection = 0), Some(Code::ATTRIBUTE));
    assert_eq!(refused(|c| (c.a.use_regular_nms, c.a.detections_per_class) = (true, 0)), Some(Code::ATTRIBUTE));
    assert_eq!(refused(|c| c.a.nms_iou_threshold = 0.0), Some(Code::ATTRIBUTE));
    assert_eq!(refused(|c| c.a.nms_iou_threshold = f32::NAN), Some(Code::ATTRIBUTE));
    assert_eq!(refused(|c| c.a.num_classes = 0), Some(Code::OPERAND));
    assert_eq!(refused(|c| c.a.num_classes = usize::MAX), Some(Code::OPERAND));
    assert_eq!(refused(|c| c.boxes.ty.shape = vec![1, 0, 4]), Some(Code::OPERAND));
    // The reference has no answer for boxes whose sides are in the wrong order.
    let mut case = case();
    case.boxes = Numbers::new(&[1, 5, 4], None, vec![0.0; 20]);
    case.anchors = Numbers::new(&[5, 4], None, vec![-0.5; 20]);
    let problems = lower(&case.graph(), &machines()[1], Goal::Speed).expect_err("a negative size");
    assert!(problems[0].to_string().contains("an anchor has a negative size"), "{}", problems[0]);
}
