//! Answers that a pipeline makes of scores: the best classes, and what several calls agree on, interpreted and as machine code, against plain loops.
//!
//! Not boxes (`boxes.rs`), nor models: a graph here gives its input as output, so that the scores are the test's. They are few numbers whose sums are
//! exact, so that many are equal; some are infinite or none. The idea: a stream is one instance that is called many times, and every call has an
//! answer of its own to be compared.

use cranelite_codegen::object;
use cranelite_graph::graph::{Graph, Node, Value};
use cranelite_graph::import::Imported;
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::{self, Op};
use cranelite_graph::pipeline::spec::{Debounce, OneOrMore, Output, Pipeline};
use cranelite_graph::pipeline::{self, Piped};
use cranelite_graph::rewrite;
use cranelite_graph::tensor::{ElementType, TensorType};
use cranelite_tests::differential::{Entry, expected_steps, native_levels, native_steps, options};
use cranelite_tests::guarded::End;
use cranelite_tile::{arena, verify};
use std::collections::VecDeque;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// A model that gives its input, whose shape is another, as output.
fn model(ty: &TensorType) -> Imported {
    let mut graph = Graph::default();
    let flat = TensorType { shape: vec![ty.element_count(), 1, 1], ..ty.clone() };
    let x = graph.add_value(Value { name: "x".into(), ty: flat, data: None });
    let y = graph.add_value(Value { name: "y".into(), ty: ty.clone(), data: None });
    let op = Op::Reshape(ops::reshape::Attributes { shape: ty.shape.clone(), is_checked: false });
    graph.nodes.push(Node { op, inputs: vec![Some(x)], outputs: vec![y], operator: 0, then: vec![] });
    graph.inputs.push(x);
    graph.outputs.push(y);
    Imported {
        key: String::new(),
        subgraph: 0,
        input_names: vec!["x".into()],
        output_names: vec!["y".into()],
        input_tensors: vec![0],
        output_tensors: vec![0],
        output_counts: vec![None],
        graph,
    }
}

fn piped(ty: &TensorType, output: &Output) -> Result<Piped, String> {
    let pipeline = Pipeline { output: [("y".to_string(), output.clone())].into(), ..Pipeline::default() };
    pipeline::apply(model(ty), vec![], &pipeline).map_err(|d| d[0].to_string())
}

/// Labels and scores of each call of one instance, the same whether interpreted or compiled for any level of this machine.
fn stream(ty: &TensorType, output: &Output, calls: &[Vec<u8>]) -> Vec<(Vec<i32>, Vec<f32>)> {
    let piped = piped(ty, output).unwrap();
    assert_eq!(piped.imported.output_names, ["y_label", "y_score"]);
    let mut graph = piped.imported.graph;
    rewrite::all(&mut graph, |_, _| {});
    let empty: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0x5a; graph.ty(*v).size_bytes()]).collect();
    let steps: Vec<Vec<Vec<u8>>> = calls.iter().map(|call| vec![call.clone()]).collect();
    let mut answer = None;
    for target in native_levels().iter().step_by(4) {
        for (goal, end) in [(Goal::Speed, End::First), (Goal::Size, End::Last)] {
            let mut program = lower(&graph, &target.machine, goal).unwrap_or_else(|d| panic!("{}", d[0]));
            verify::verify(&program).unwrap_or_else(|e| panic!("not proved: {}", e[0]));
            arena::plan(&mut program);
            let interpreted = expected_steps(&program, &steps, &empty).unwrap();
            let object = object::emit(&[object::Level { program: &program, target }], &options(&program)).unwrap();
            let native = native_steps(&object, &program, &steps, &empty, Entry::Invoke, end).unwrap();
            for (i, (want, got)) in interpreted.iter().zip(&native).enumerate() {
                // Labels, and scores but for which NaN it is.
                let read = |outputs: &[Vec<u8>]| {
                    (outputs[0].clone(), f32s(&outputs[1]).map(|s| if s.is_nan() { u32::MAX } else { s.to_bits() }).collect::<Vec<_>>())
                };
                assert_eq!((want.status, read(&want.outputs)), (got.status, read(&got.outputs)), "{goal:?} at {}, call {i}", target.level);
            }
            answer.get_or_insert(interpreted);
        }
    }
    let answer = answer.expect("this machine has a level");
    let labels = |bytes: &[u8]| bytes.chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect();
    answer.iter().map(|step| (labels(&step.outputs[0]), f32s(&step.outputs[1]).collect())).collect()
}

fn f32s(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()))
}

/// What `debounce` means, as a program would have it around a model.
struct Plain {
    thresholds: Vec<f32>,
    debounce: Debounce,
    rows: VecDeque<Vec<f32>>,
    silence: usize,
}

impl Plain {
    fn new(thresholds: &[f32], debounce: &Debounce) -> Plain {
        let rows = vec![vec![0.0; thresholds.len()]; debounce.window].into();
        Plain { thresholds: thresholds.to_vec(), debounce: debounce.clone(), rows, silence: 0 }
    }

    fn call(&mut self, scores: &[f32]) -> (i32, f32) {
        self.rows.pop_front();
        self.rows.push_back(scores.to_vec());
        // The class that is farthest above its threshold: of equal ones the first.
        let mut best: Option<(usize, f32)> = None;
        for class in (0..scores.len()).filter(|c| !self.debounce.ignore.contains(c)) {
            let margin = self.mean(class) - self.thresholds[class];
            if f32::NEG_INFINITY < margin && best.is_none_or(|(_, other)| other < margin) {
                best = Some((class, margin));
            }
        }
        match best {
            Some((class, margin)) if 0.0 <= margin && self.silence == 0 => {
                self.silence = self.debounce.cooldown;
                (class as i32, self.mean(class))
            }
            _ => {
                self.silence = self.silence.saturating_sub(1);
                (-1, best.map_or(f32::NAN, |(class, _)| self.mean(class)))
            }
        }
    }

    fn mean(&self, class: usize) -> f32 {
        self.rows.iter().map(|row| row[class]).sum::<f32>() / self.debounce.window as f32
    }
}

/// Scores of a stream in which now this and now that class is likely for a while: multiples of 1 / 64.
fn scores(random: &mut Random, classes: usize, calls: usize) -> Vec<Vec<f32>> {
    let (mut likely, mut rest) = (0, 0);
    (0..calls)
        .map(|_| {
            if rest == 0 {
                (likely, rest) = (random.below(classes + 1), 1 + random.below(9));
            }
            rest -= 1;
            (0..classes).map(|c| (random.below(24) + if c == likely { 40 } else { 0 }) as f32 / 64.0).collect()
        })
        .collect()
}

fn bytes(scores: &[f32]) -> Vec<u8> {
    scores.iter().flat_map(|s| s.to_le_bytes()).collect()
}

fn output(thresholds: &[f32], debounce: &Debounce) -> Output {
    let threshold = Some(OneOrMore::More(thresholds.to_vec()));
    Output { threshold, debounce: Some(debounce.clone()), ..Output::default() }
}

/// Compares a stream with the plain program, and says how many answers there were.
fn compare(got: &[(Vec<i32>, Vec<f32>)], real: &[Vec<f32>], thresholds: &[f32], debounce: &Debounce, tolerance: f32) -> usize {
    let mut plain = Plain::new(thresholds, debounce);
    let mut answers = 0;
    for (i, ((labels, told), scores)) in got.iter().zip(real).enumerate() {
        let (label, score) = plain.call(scores);
        assert_eq!(labels[..], [label], "{debounce:?}, call {i}: {told:?}, {score}");
        // Where there is nothing to be chosen from, the score says nothing.
        let is_same = score.is_nan() || score == told[0] || (score - told[0]).abs() <= tolerance;
        assert!(is_same, "{debounce:?}, call {i}: {told:?}, not {score}");
        answers += usize::from(label >= 0);
    }
    answers
}

#[test]
fn debounced_streams() {
    let mut random = Random(3);
    // Thresholds that no mean of three or five multiples of 1 / 64 is near to, and some that means often are equal to.
    let of_any = [0.503, 0.411, 0.607, 0.557];
    let exact = [0.5, 0.75, 0.5, 0.625];
    for (window, cooldown, ignore, thresholds) in [
        (1, 0, &[][..], exact),
        (1, 3, &[0][..], exact),
        (2, 10, &[0][..], exact),
        (3, 1, &[][..], of_any),
        (4, 0, &[1, 2][..], exact),
        (5, 25, &[3][..], of_any),
        (8, 6, &[][..], exact),
        (8, 400, &[0, 1, 3][..], exact),
    ] {
        let debounce = Debounce { window, cooldown, ignore: ignore.into() };
        let real = scores(&mut random, 4, 300);
        let calls: Vec<Vec<u8>> = real.iter().map(|s| bytes(s)).collect();
        let got = stream(&TensorType::new(ElementType::F32, [1, 4]), &output(&thresholds, &debounce), &calls);
        let answers = compare(&got, &real, &thresholds, &debounce, 1e-6);
        assert!(if cooldown == 400 { answers == 1 } else { 5 < answers }, "{debounce:?}: {answers} answers");
    }
}

/// NaN is no answer and hides no other class; what is ignored stays so though it be infinite.
#[test]
fn debounced_streams_of_no_numbers() {
    let mut random = Random(5);
    for (window, ignore) in [(1, &[][..]), (2, &[1][..]), (4, &[0, 2][..])] {
        let debounce = Debounce { window, cooldown: 2, ignore: ignore.into() };
        let mut real = scores(&mut random, 3, 400);
        for (i, row) in real.iter_mut().enumerate() {
            match random.below(12) {
                0 => row[random.below(3)] = f32::NAN,
                1 => row[random.below(3)] = f32::INFINITY,
                2 => row[random.below(3)] = f32::NEG_INFINITY,
                _ if (200..210).contains(&i) => row.fill(f32::NAN),
                _ => {}
            }
        }
        let calls: Vec<Vec<u8>> = real.iter().map(|s| bytes(s)).collect();
        let thresholds = [0.5, 0.5, 0.625];
        let got = stream(&TensorType::new(ElementType::F32, [3]), &output(&thresholds, &debounce), &calls);
        let answers = compare(&got, &real, &thresholds, &debounce, 0.0);
        assert!(20 < answers, "{debounce:?}: {answers} answers");
        assert!(got[204..210].iter().all(|(labels, _)| labels[0] == -1));
    }
}

/// One score, as wake words have it, and bytes with a scale.
#[test]
fn debounced_bytes() {
    let mut random = Random(7);
    for classes in [1, 3] {
        let ty = TensorType::quantized(ElementType::U8, [1, classes], 1.0 / 256.0, 0);
        let real = scores(&mut random, classes, 300);
        let calls: Vec<Vec<u8>> = real.iter().map(|s| s.iter().map(|s| (s * 256.0).min(255.0) as u8).collect()).collect();
        let real: Vec<Vec<f32>> = calls.iter().map(|c| c.iter().map(|b| f32::from(*b) / 256.0).collect()).collect();
        let debounce = Debounce { window: 4, cooldown: 5, ignore: vec![] };
        let got = stream(&ty, &output(&vec![0.5; classes], &debounce), &calls);
        assert!(10 < compare(&got, &real, &vec![0.5; classes], &debounce, 0.0));
    }
}

/// Scores that are logarithms: softmax and logistic function come before the mean.
#[test]
fn debounced_logarithms() {
    let mut random = Random(9);
    let debounce = Debounce { window: 2, cooldown: 1, ignore: vec![0] };
    let raw: Vec<Vec<f32>> = scores(&mut random, 3, 200).iter().map(|r| r.iter().map(|s| s * 12.0 - 5.0).collect()).collect();
    let calls: Vec<Vec<u8>> = raw.iter().map(|s| bytes(s)).collect();
    let thresholds = [0.777; 3];
    for softmax in [true, false] {
        let real: Vec<Vec<f32>> = raw
            .iter()
            .map(|row| {
                let sum: f32 = row.iter().map(|s| libm::expf(*s)).sum();
                row.iter().map(|s| if softmax { libm::expf(*s) / sum } else { 1.0 / (1.0 + libm::expf(-s)) }).collect()
            })
            .collect();
        let output = Output { softmax, sigmoid: !softmax, ..output(&thresholds, &debounce) };
        let got = stream(&TensorType::new(ElementType::F32, [3]), &output, &calls);
        assert!(5 < compare(&got, &real, &thresholds, &debounce, 1e-5));
    }
}

/// Without `debounce`: the best classes of each call, below their thresholds -1.
#[test]
fn best_classes() {
    let mut random = Random(11);
    for (thresholds, top, shift) in [
        (vec![0.5; 5], None, 0.0),
        (vec![0.5, 0.25, 0.75, 0.5, 0.625], None, 0.0),
        (vec![0.5, 0.25, 0.75, 0.5, 0.625], Some(3), 0.0),
        // Scores that are no probabilities.
        (vec![-1.5, -1.75, -1.25, -1.5, -1.375], Some(2), -2.0),
        (vec![-1.5; 5], Some(5), -2.0),
    ] {
        let mut real = scores(&mut random, 5, 100);
        for row in &mut real {
            row.iter_mut().for_each(|s| *s += shift);
            if random.below(8) == 0 {
                row[random.below(5)] = f32::NAN;
            }
        }
        let calls: Vec<Vec<u8>> = real.iter().map(|s| bytes(s)).collect();
        let output = Output { top, threshold: Some(OneOrMore::More(thresholds.clone())), ..Output::default() };
        let got = stream(&TensorType::new(ElementType::F32, [5]), &output, &calls);
        let mut answers = 0;
        for ((labels, told), scores) in got.iter().zip(&real) {
            let mut enough: Vec<usize> = (0..5).filter(|c| thresholds[*c] <= scores[*c]).collect();
            enough.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            let wanted: Vec<i32> = enough.iter().map(|c| *c as i32).chain([-1; 5]).take(top.unwrap_or(1)).collect();
            assert_eq!(*labels, wanted, "{scores:?}");
            for (label, score) in labels.iter().zip(told).filter(|(label, _)| **label >= 0) {
                assert_eq!(*score, scores[*label as usize]);
            }
            answers += enough.len();
        }
        assert!(50 < answers);
    }
}

#[test]
fn impossible_debounces() {
    let ty = TensorType::new(ElementType::F32, [3]);
    let good = Debounce { window: 2, cooldown: 1, ignore: vec![] };
    for (debounce, threshold, text) in [
        (good.clone(), None, "a debounced answer needs a threshold"),
        (Debounce { window: 0, ..good.clone() }, Some(OneOrMore::One(0.5)), "it must be a number of calls"),
        (Debounce { cooldown: usize::MAX, ..good.clone() }, Some(OneOrMore::One(0.5)), "there are too many calls"),
        (Debounce { ignore: vec![1, 3], ..good.clone() }, Some(OneOrMore::One(0.5)), "there is no such class"),
        (good.clone(), Some(OneOrMore::More(vec![0.5; 2])), "there must be one number, or one for each class"),
        (good, Some(OneOrMore::One(f32::NAN)), "it must be a finite number"),
    ] {
        let output = Output { threshold, debounce: Some(debounce), ..Output::default() };
        let found = piped(&ty, &output).err().expect("a refusal");
        assert!(found.contains(text), "{found}");
    }
}
