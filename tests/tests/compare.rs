//! `compare` finds the operator that loses the numbers: three layers, of which the middle one is quantised badly in different ways.

use cranelite::array::Array;
use cranelite::compare::{Compared, Comparison, Source, compare};
use cranelite_graph::tensor::ElementType;
use cranelite_tests::maker::{Activation, Maker, per_tensor};
use std::path::Path;

const SIZE: usize = 16;

/// Uniform numbers from -1 to 1.
fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as i32 as f32 / 2147483648.0
    };
    (0..count).map(|_| next()).collect()
}

/// Weights of the three layers.
fn weights() -> [Vec<f32>; 3] {
    [1, 2, 3].map(|seed| random(SIZE * SIZE, seed).into_iter().map(|w| w * 0.5).collect())
}

fn samples() -> Vec<Vec<Array>> {
    let sample = |k: u64| {
        let data = random(SIZE, 100 + k).into_iter().flat_map(f32::to_le_bytes).collect();
        vec![Array { element: ElementType::F32, shape: vec![1, SIZE], data }]
    };
    (0..8).map(sample).collect()
}

const NAMES: [&str; 4] = ["x", "first", "middle", "y"];

fn float(weights: &[Vec<f32>; 3]) -> Vec<u8> {
    let size = SIZE as i32;
    let mut m = Maker::default();
    let tensors = NAMES.map(|name| m.f32(name, &[1, size], None));
    for (i, w) in weights.iter().enumerate() {
        let (w, b) = (m.f32("w", &[size, size], Some(w)), m.f32("b", &[size], Some(&[0.0; SIZE])));
        m.fully_connected(&[tensors[i], w, b], tensors[i + 1], Activation::NONE);
    }
    m.finish(&[tensors[0]], &[tensors[3]])
}

/// With the scales of the four tensors; weights have one scale each.
fn quantised(weights: &[Vec<f32>; 3], scales: [f32; 4]) -> Vec<u8> {
    let size = SIZE as i32;
    let mut m = Maker::default();
    let tensors: Vec<i32> = NAMES.iter().zip(scales).map(|(name, scale)| m.i8(name, &[1, size], per_tensor(scale, 0), None)).collect();
    for (i, w) in weights.iter().enumerate() {
        let scale = w.iter().fold(0.0f32, |most, w| most.max(w.abs())) / 127.0;
        let integers: Vec<i8> = w.iter().map(|w| (w / scale).round() as i8).collect();
        let w = m.i8("w", &[size, size], per_tensor(scale, 0), Some(&integers));
        let b = m.i32("b", &[size], Some(per_tensor(scale * scales[i], 0)), &[0; SIZE]);
        m.fully_connected(&[tensors[i], w, b], tensors[i + 1], Activation::NONE);
    }
    m.finish(&[tensors[0]], &[tensors[3]])
}

const GOOD: [f32; 4] = [1.0 / 127.0, 3.0 / 127.0, 5.0 / 127.0, 7.0 / 127.0];

fn compared(weights: &[Vec<f32>; 3], scales: [f32; 4]) -> Comparison {
    let (a, b) = (float(weights), quantised(weights, scales));
    let source = |model, name| Source { file: Path::new(name), model };
    compare(source(&a, "float.tflite"), source(&b, "int8.tflite"), &samples(), Compared::Quantised)
        .map_err(|e| e.render())
        .expect("comparable models")
}

fn own(c: &Comparison, tensor: &str) -> f64 {
    c.operators.iter().find(|o| o.tensor == tensor).expect("an operator of that name").own.relative
}

#[test]
fn good_models_have_small_errors() {
    let c = compared(&weights(), GOOD);
    assert_eq!((c.operators.len(), c.unmatched, c.samples), (3, 0, 8));
    assert!(c.operators.iter().all(|o| 0.0 < o.own.relative && o.own.relative < 0.03 && o.in_model.relative < 0.05 && o.clipped == 0.0));
    assert!(c.outputs[0].error.relative < 0.05 && !c.text(20).contains("hint"), "{}", c.text(20));
    // Rounding by half a step at most, of which there are hundreds.
    assert!(c.operators.iter().all(|o| o.steps.is_some_and(|s| 20.0 < s && s < 128.0)));
}

#[test]
fn a_range_that_is_too_large_is_the_operators_that_has_it() {
    let c = compared(&weights(), [GOOD[0], GOOD[1], 40.0 * GOOD[2], GOOD[3]]);
    let first = &c.operators[0];
    assert_eq!((first.tensor.as_str(), first.index), ("middle", 1));
    assert!(0.1 < first.own.relative && first.steps.is_some_and(|s| s < 4.0), "{first:?}");
    // What follows is as exact as before by itself, and wrong in the model.
    assert!(own(&c, "y") < 0.03 && 0.1 < c.outputs[0].error.relative);
    assert!(c.text(20).contains("hint: operator 1 FULLY_CONNECTED: the range of its result is so large"), "{}", c.text(20));
}

#[test]
fn a_range_that_is_too_small_clips() {
    let c = compared(&weights(), [GOOD[0], GOOD[1], GOOD[2] / 20.0, GOOD[3]]);
    assert_eq!(c.operators[0].tensor, "middle");
    assert!(0.1 < c.operators[0].clipped && own(&c, "first") < 0.03);
    assert!(c.text(20).contains("beyond the range of its result"), "{}", c.text(20));
}

#[test]
fn one_large_weight_spoils_the_others() {
    let mut weights = weights();
    // Of an activation that is always 0, as far as the model knows.
    weights[0][..SIZE].fill(0.0);
    weights[1][0] = 300.0;
    let c = compared(&weights, GOOD);
    assert_eq!(c.operators[0].tensor, "middle");
    assert!(0.5 < c.operators[0].own.relative && own(&c, "first") < 0.03 && own(&c, "y") < 0.03, "{}", c.text(20));
    assert!(c.text(20).contains("operands or weights are rounded too much"), "{}", c.text(20));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (a, b) = (float(&weights()), quantised(&weights(), GOOD));
    let (a, b) = (Source { file: Path::new("a"), model: &a }, Source { file: Path::new("b"), model: &b });
    let message = |samples: &[Vec<Array>]| compare(a, b, samples, Compared::Quantised).map(|_| ()).expect_err("no fit").render();
    assert!(message(&[]).contains("no samples"));
    let mut wide = samples();
    wide[3][0].shape = vec![SIZE, 1];
    assert!(message(&wide).contains("sample 3 does not fit the float model"));
}
