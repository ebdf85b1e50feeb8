//! Models that follow each other in a pipeline, against the same models run one after the other: interpreted and as machine code.
//!
//! Not what becomes of a model's numbers (`boxes.rs`). The models are small and made here, with random weights; what is between them is computed in
//! plain loops.

use cranelite_graph::import::{self, Imported};
use cranelite_graph::pipeline::spec::{Input, Keypoints, Next, Output, Pipeline, Samples};
use cranelite_graph::pipeline::{self, Piped};
use cranelite_tests::differential::outputs_of;
use cranelite_tests::maker::{Activation, Maker};
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
    let total: f32 = second.iter().map(|v| v.exp()).sum();
    near(&f32s(&outputs[0]), &second.iter().map(|v| v.exp() / total).collect::<Vec<_>>());
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
