//! What `optimize` writes: the weights as they were asked for, and everything else of a file as it was.

use cranelite::diagnostic::Failure;
use cranelite::instance::Instance;
use cranelite::optimize::prune::Pruning;
use cranelite::optimize::{Optimized, Options, Per, optimize};
use cranelite::pipeline;
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::import::constants::{self, StoredConstant};
use cranelite_graph::import::metadata;
use cranelite_graph::tensor::ElementType;
use cranelite_schema::{VerifierOptions, root_as_model_with_opts};
use cranelite_tests::described;
use cranelite_tests::maker::{Activation, Code, Maker, Padding, Quantization, per_tensor};
use std::path::Path;

/// Uniform numbers from -1 to 1.
fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 32) as i32 as f32 / 2147483648.0
    };
    (0..count).map(|_| next()).collect()
}

fn bytes(count: usize, seed: u64) -> Vec<i8> {
    random(count, seed).into_iter().map(|x| (x * 127.0) as i8).collect()
}

/// CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV, FULLY_CONNECTED and BATCH_MATMUL of floats.
fn floats() -> Vec<u8> {
    use cranelite_schema::*;
    let mut m = Maker::default();
    let x = m.f32("x", &[1, 6, 6, 8], None);
    let t = |m: &mut Maker, name: &str, shape: &[i32], seed: u64| {
        let count = shape.iter().product::<i32>() as usize;
        m.f32(name, shape, Some(&random(count, seed)))
    };
    let (w, b) = (t(&mut m, "conv/w", &[16, 3, 3, 8], 1), t(&mut m, "conv/b", &[16], 2));
    let c = m.f32("conv", &[1, 6, 6, 16], None);
    m.conv_2d(&[x, w, b], c, Padding::SAME, 1, Activation::RELU);
    let (w, b) = (t(&mut m, "depthwise/w", &[1, 3, 3, 16], 3), t(&mut m, "depthwise/b", &[16], 4));
    let d = m.f32("depthwise", &[1, 6, 6, 16], None);
    m.depthwise_conv_2d(&[c, w, b], d, Padding::SAME, 1, Activation::NONE);
    let (shape, w) = (m.i32("shape", &[4], None, &[1, 12, 12, 8]), t(&mut m, "transposed/w", &[8, 3, 3, 16], 5));
    let u = m.f32("transposed", &[1, 12, 12, 8], None);
    let args = TransposeConvOptionsArgs { padding: Padding::SAME, stride_w: 2, stride_h: 2, ..Default::default() };
    let options = m.options(|b| TransposeConvOptions::create(b, &args).as_union_value());
    m.operator(Code::TRANSPOSE_CONV, &[shape, w, d], &[u], Some((BuiltinOptions::TransposeConvOptions, options)));
    let (shape, flat) = (m.i32("flat shape", &[2], None, &[1, 1152]), m.f32("flat", &[1, 1152], None));
    m.operator(Code::RESHAPE, &[u, shape], &[flat], None);
    let (w, b) = (t(&mut m, "fc/w", &[40, 1152], 6), t(&mut m, "fc/b", &[40], 7));
    let f = m.f32("fc", &[1, 40], None);
    m.fully_connected(&[flat, w, b], f, Activation::NONE);
    let (w, y) = (t(&mut m, "matmul/w", &[40, 30], 8), m.f32("y", &[1, 30], None));
    let options = m.options(|b| BatchMatMulOptions::create(b, &BatchMatMulOptionsArgs::default()).as_union_value());
    m.operator(Code::BATCH_MATMUL, &[f, w], &[y], Some((BuiltinOptions::BatchMatMulOptions, options)));
    m.finish(&[x], &[y])
}

/// CONV_2D per channel and FULLY_CONNECTED per tensor, of i8.
fn integers() -> Vec<u8> {
    let mut m = Maker::default();
    let x = m.i8("x", &[1, 4, 4, 8], per_tensor(0.05, -3), None);
    let scales: Vec<f32> = (0..16).map(|i| 0.01 + 0.001 * i as f32).collect();
    let quantization = |scales: Vec<f32>| Quantization { zero_points: vec![0; scales.len()], scales, axis: 0 };
    let w = m.i8("conv/w", &[16, 3, 3, 8], quantization(scales.clone()), Some(&bytes(16 * 72, 1)));
    let of_bias = quantization(scales.iter().map(|s| s * 0.05).collect());
    let b = m.i32("conv/b", &[16], Some(of_bias), &(0..16).map(|i| i * 400 - 3000).collect::<Vec<_>>());
    let c = m.i8("conv", &[1, 4, 4, 16], per_tensor(0.1, 5), None);
    m.conv_2d(&[x, w, b], c, Padding::SAME, 1, Activation::RELU);
    let (shape, flat) = (m.i32("flat shape", &[2], None, &[1, 256]), m.i8("flat", &[1, 256], per_tensor(0.1, 5), None));
    m.operator(Code::RESHAPE, &[c, shape], &[flat], None);
    let w = m.i8("fc/w", &[10, 256], per_tensor(0.02, 0), Some(&bytes(2560, 2)));
    let b = m.i32("fc/b", &[10], Some(per_tensor(0.002, 0)), &[3000; 10]);
    let y = m.i8("y", &[1, 10], per_tensor(3.0, 0), None);
    m.fully_connected(&[flat, w, b], y, Activation::NONE);
    m.finish(&[x], &[y])
}

fn constant(model: &[u8], name: &str) -> (StoredConstant, Vec<u8>) {
    let all = constants::read(model).expect("constants");
    let found = all.into_iter().find(|c| c.name == name).expect(name);
    let data = model[found.range.clone()].to_vec();
    (found, data)
}

/// The real numbers of weights.
fn reals(model: &[u8], name: &str) -> Vec<f32> {
    let (c, data) = constant(model, name);
    let numbers = cranelite::optimize::numbers::StoredNumbers::read(&c.ty, &data).expect("numbers");
    (0..numbers.stored.len()).map(|i| numbers.real(i)).collect()
}

fn changed(model: &[u8], options: &Options) -> Optimized {
    optimize(model, options).unwrap_or_else(|list| panic!("{}", Failure::from(list).render()))
}

/// The answer of a model to a fixed input, in real numbers.
fn answer(model: &[u8]) -> Vec<f32> {
    let target = Target::native().expect("a target");
    let compiled = pipeline::compile(model, &[target], &pipeline::Options::named_after(Path::new("model")), &mut Stages::none());
    let compiled = compiled.unwrap_or_else(|list| panic!("{}", Failure::from(list).render()));
    let ty = &compiled.main().signature.inputs[0].ty;
    let numbers = random(ty.element_count(), 9);
    let data = match ty.element {
        ElementType::F32 => numbers.into_iter().flat_map(f32::to_le_bytes).collect(),
        _ => numbers.into_iter().map(|x| (x * 127.0) as i8 as u8).collect(),
    };
    let input = cranelite::array::Array { element: ty.element, shape: ty.shape.clone(), data };
    let output = Instance::new(&compiled).and_then(|mut i| i.run(&[vec![input]])).expect("an answer").swap_remove(0).swap_remove(0);
    let ty = &compiled.main().signature.outputs[0].ty;
    match ty.element {
        ElementType::F32 => output.data.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(),
        _ => output.data.iter().map(|b| f32::from(*b as i8)).collect(),
    }
}

/// The largest difference, over the largest number.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let most = |all: &mut dyn Iterator<Item = f32>| all.fold(0.0_f32, |m, x| m.max(x.abs()));
    most(&mut a.iter().zip(b).map(|(x, y)| x - y)) / most(&mut a.iter().copied())
}

/// Everything that the file says, but for bytes and types.
fn told(model: &[u8]) -> String {
    let model = root_as_model_with_opts(&VerifierOptions::default(), model).expect("a model");
    let subgraph = model.subgraphs().expect("subgraphs").get(0);
    let tensors = subgraph.tensors().into_iter().flatten().map(|t| format!("{:?} {:?} {}", t.name(), t.shape(), t.buffer()));
    format!("{:?} {:?} {:?}", model.metadata(), subgraph.operators(), tensors.collect::<Vec<_>>())
}

#[test]
fn groups_hold_in_a_file() {
    for (model, names) in [(floats(), ["conv/w", "transposed/w", "fc/w"]), (integers(), ["conv/w", "conv/w", "fc/w"])] {
        let options = Options { prune: Some(Pruning::Groups { keep: 2, of: 4 }), ..Options::default() };
        let made = changed(&model, &options);
        assert_eq!((made.model.len(), told(&made.model)), (model.len(), told(&model)));
        for name in names {
            let (before, after) = (reals(&model, name), reals(&made.model, name));
            // The input channels are the last axis, and 4 divides them.
            for (b, a) in before.chunks(4).zip(after.chunks(4)) {
                assert!(a.iter().filter(|x| **x != 0.0).count() <= 2, "{name}: {b:?} {a:?}");
                assert!(b.iter().zip(a).all(|(b, a)| a == b || *a == 0.0), "{name}: {b:?} {a:?}");
            }
        }
        answer(&made.model);
    }
    // The sums of BATCH_MATMUL are over the axis before the last.
    let options = Options { prune: Some(Pruning::Groups { keep: 1, of: 4 }), ..Options::default() };
    let after = reals(&changed(&floats(), &options).model, "matmul/w");
    assert!((0..30).all(|c| (0..40).step_by(4).all(|k| (k..k + 4).filter(|k| after[k * 30 + c] != 0.0).count() == 1)));
}

#[test]
fn shares_and_palettes() {
    for model in [floats(), integers()] {
        for per in [Per::Tensor, Per::Channel] {
            let options = Options { prune: Some(Pruning::Share(0.75)), palette: Some(3), per, ..Options::default() };
            let made = changed(&model, &options);
            assert_eq!((made.model.len(), told(&made.model)), (model.len(), told(&model)));
            let after = reals(&made.model, "fc/w");
            let zeros = after.iter().filter(|x| **x == 0.0).count();
            assert!(after.len() * 3 / 4 <= zeros && zeros < after.len() * 4 / 5, "{zeros}");
            let rows = if per == Per::Channel { after.len() / if after.len() == 2560 { 10 } else { 40 } } else { after.len() };
            for row in after.chunks(rows) {
                let mut values: Vec<u32> = row.iter().map(|x| x.to_bits()).collect();
                values.sort_unstable();
                values.dedup();
                assert!(values.len() <= 8, "{}", values.len());
            }
            answer(&made.model);
        }
    }
}

#[test]
fn integers_instead_of_floats() {
    let model = floats();
    let before = answer(&model);
    for (element, error) in [(ElementType::I8, 0.03), (ElementType::I4, 0.4)] {
        let made = changed(&model, &Options { weights: Some(element), ..Options::default() });
        assert!(made.model.len() * 7 < model.len() * if element == ElementType::I8 { 3 } else { 2 });
        let (types, names): (Vec<_>, Vec<_>) = constants::read(&made.model)
            .expect("constants")
            .into_iter()
            .filter(|c| c.ty.element == element)
            .map(|c| (c.ty.quantization.map(|q| (q.scales.len(), q.axis)), c.name))
            .unzip();
        assert_eq!(names, ["conv/w", "transposed/w", "fc/w", "matmul/w"]);
        assert_eq!(types, [Some((16, 0)), Some((8, 0)), Some((40, 0)), Some((30, 1))]);
        // Those of no kernel of integers are made floats again.
        let operators = |model: &[u8]| {
            let model = root_as_model_with_opts(&VerifierOptions::default(), model).expect("a model");
            model.subgraphs().expect("subgraphs").get(0).operators().map_or(0, |o| o.len())
        };
        assert_eq!(operators(&made.model), operators(&model) + 2);
        let found = distance(&before, &answer(&made.model));
        assert!(0.0 < found && found < error, "{element}: {found}");
    }
    // As the option says, small ones stay, but for those that are named.
    let only = Options { weights: Some(ElementType::I4), only: vec!["depthwise/w".into()], ..Options::default() };
    let made = changed(&model, &only);
    assert_eq!(constant(&made.model, "depthwise/w").0.ty.element, ElementType::I4);
    assert_eq!(constant(&made.model, "conv/w").0.ty.element, ElementType::F32);
    assert!(distance(&before, &answer(&made.model)) < 0.3);
}

#[test]
fn shorter_integers_take_their_bias_along() {
    let model = integers();
    let made = changed(&model, &Options { weights: Some(ElementType::I4), ..Options::default() });
    for (weights, bias) in [("conv/w", "conv/b"), ("fc/w", "fc/b")] {
        assert_eq!(constant(&made.model, weights).0.ty.element, ElementType::I4);
        let real = |model: &[u8]| {
            let (c, data) = constant(model, bias);
            let q = c.ty.quantization.expect("scales");
            let integers = data.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            integers.enumerate().map(|(i, b)| b as f32 * q.scale(i)).collect::<Vec<_>>()
        };
        assert!(distance(&real(&model), &real(&made.model)) < 0.01, "{bias}");
    }
    // Steps of four bits are 18 times as large.
    let found = distance(&answer(&model), &answer(&made.model));
    assert!(found < 0.3, "{found}");
}

#[test]
fn metadata_and_its_files_stay() {
    let model = described::scoring(&described::scores(), &[1, 500], 3);
    let before = metadata::read(&model).expect("metadata");
    assert!(before.as_ref().is_some_and(|m| !m.files.is_empty()));
    for options in [
        Options { prune: Some(Pruning::Share(0.5)), ..Options::default() },
        Options { weights: Some(ElementType::I8), ..Options::default() },
        Options { weights: Some(ElementType::I4), ..Options::default() },
    ] {
        let made = changed(&model, &options);
        let after = metadata::read(&made.model).expect("metadata");
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
        // What counts places from the file's beginning counts from the new one's.
        let at = made.model.windows(4).position(|w| w == b"PK\x03\x04").expect("an archive");
        let entry = made.model.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory") + 42;
        assert_eq!(u32::from_le_bytes(made.model[entry..entry + 4].try_into().expect("4 bytes")) as usize, at);
    }
}

fn problem(model: &[u8], options: &Options) -> Diagnostic {
    optimize(model, options).expect_err("a problem").swap_remove(0)
}

#[test]
fn what_cannot_be_done_is_said() {
    let half = Options { prune: Some(Pruning::Share(0.5)), ..Options::default() };
    let model = floats();
    let once = changed(&model, &half);
    let again = problem(&once.model, &half);
    assert_eq!((again.code.0, &again.message[..]), ("E0509", "there is nothing to optimise"));
    let named = |only: &str, skip: &str| {
        let list = |name: &str| if name.is_empty() { vec![] } else { vec![name.to_string()] };
        Options { only: list(only), skip: list(skip), ..half.clone() }
    };
    assert!(problem(&model, &named("conv/b", "")).message.starts_with("--only \"conv/b\" names neither weights"));
    assert!(problem(&model, &named("", "99")).message.starts_with("--skip \"99\" names neither weights"));
    let made = changed(&model, &named("0", ""));
    assert_eq!((made.changes.len(), &made.changes[0].place.tensor[..]), (1, "conv/w"));
    let made = changed(&model, &named("", "FULLY_CONNECTED"));
    assert!(made.changes.iter().all(|c| c.place.operator_name != "FULLY_CONNECTED") && 2 < made.changes.len());
    // Damaged files, wherever they end.
    for length in (0..model.len()).step_by(997) {
        let d = problem(&model[..length], &half);
        assert!(["E0101", "E0102", "E0107"].contains(&d.code.0), "{length}: {d}");
    }
}

/// Bits of the file are turned: nothing panics, and what is written can be read.
#[test]
fn wild_bits() {
    let model = described::scoring(&described::scores(), &[1, 40], 3);
    let options = Options {
        prune: Some(Pruning::Groups { keep: 1, of: 2 }),
        weights: Some(ElementType::I8),
        only: vec!["FULLY_CONNECTED".into()],
        ..Options::default()
    };
    let mut written = 0;
    for at in (0..model.len()).step_by(5) {
        let mut wild = model.clone();
        wild[at] ^= 1 << (at % 8);
        if let Ok(made) = optimize(&wild, &options) {
            assert!(constants::read(&made.model).is_ok());
            written += 1;
        }
    }
    assert!(10 < written, "{written}");
}

/// Two tensors with the same bytes are one change; bytes that something else reads stay.
#[test]
fn shared_bytes() {
    let mut m = Maker::default();
    let (x, h, y) = (m.f32("x", &[1, 40], None), m.f32("h", &[1, 40], None), m.f32("y", &[1, 40], None));
    let w = m.f32("w", &[40, 40], Some(&random(1600, 1)));
    m.fully_connected(&[x, w], h, Activation::NONE);
    m.fully_connected(&[h, w], y, Activation::NONE);
    let twice = m.finish(&[x], &[y]);
    for options in [
        Options { prune: Some(Pruning::Share(0.5)), ..Options::default() },
        Options { weights: Some(ElementType::I8), ..Options::default() },
    ] {
        let made = changed(&twice, &options);
        assert_eq!(made.changes.len(), 1);
        assert!(distance(&answer(&twice), &answer(&made.model)) < 2.0);
    }
    let mut m = Maker::default();
    let (x, h, y) = (m.f32("x", &[1, 40], None), m.f32("h", &[1, 40], None), m.f32("y", &[40, 40], None));
    let w = m.f32("w", &[40, 40], Some(&random(1600, 1)));
    m.fully_connected(&[x, w], h, Activation::NONE);
    m.operator(Code::ADD, &[h, w], &[y], None);
    let d = problem(&m.finish(&[x], &[y]), &Options { prune: Some(Pruning::Share(0.5)), ..Options::default() });
    assert_eq!(d.found.as_deref(), Some("0 FULLY_CONNECTED: something else reads it, too"));
}
