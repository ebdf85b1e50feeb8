//! First dimensions that are counted at run time: who counts them, and what operators make of them.
//!
//! The idea: each model is imported with bounds, rewritten or not, lowered for several machines, planned, proved and interpreted; of what comes out, only
//! the rows that are counted are looked at.

mod model;

use cranelite_graph::import::{self, Options};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::rewrite;
use cranelite_graph::text::{Constants, parse, print};
use cranelite_schema::{BuiltinOperator as B, TensorType};
use cranelite_tile::{ByteDot, Machine, arena, interpret, verify};
use model::{Model, Options as O};

fn bounded(bounds: &[(&str, usize)]) -> Options {
    Options { max_dims: bounds.iter().map(|(name, most)| (name.to_string(), *most)).collect(), ..Options::default() }
}

/// The model's outputs, each as long as it is counted; `None` if the invocation ends before they are there.
fn run(m: &Model, bounds: &[(&str, usize)], inputs: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let mut module = import::read(&m.bytes(), &bounded(bounds)).unwrap_or_else(|p| panic!("{p:#?}"));
    let imported = module.entries.remove(0);
    let text = print(&imported.graph, Constants::Whole);
    assert_eq!(print(&parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), Constants::Whole), text);
    let mut results = vec![];
    for is_rewritten in [false, true] {
        let mut graph = imported.graph.clone();
        if is_rewritten {
            rewrite::all(&mut graph, |_, _| {});
        }
        for (goal, bytes) in [(Goal::Speed, 0), (Goal::Speed, 16), (Goal::Speed, 64), (Goal::Size, 16)] {
            let machine = Machine::example(bytes, ByteDot::S16S16, false, false);
            let mut program = lower(&graph, &machine, goal).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
            arena::plan(&mut program);
            arena::check(&program).unwrap();
            verify::verify(&program).unwrap_or_else(|e| panic!("{e:?}\n{}", cranelite_tile::text::print(&program)));
            let mut outputs: Vec<Vec<u8>> = graph.outputs.iter().map(|v| vec![0xAA; graph.ty(*v).size_bytes()]).collect();
            let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            let arguments: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let is_done = interpret::run(&program, &arguments, &mut slices).is_ok();
            let cut = |i: usize| {
                let rows = graph.ty(graph.outputs[i]).shape.first().copied().unwrap_or(1);
                match imported.output_counts[i] {
                    None => outputs[i].clone(),
                    Some(c) => {
                        let count = i32::from_le_bytes(outputs[c][..4].try_into().unwrap()) as usize;
                        assert!(count <= rows, "{count} of {rows}");
                        outputs[i][..outputs[i].len() / rows.max(1) * count].to_vec()
                    }
                }
            };
            results.push(is_done.then(|| (0..imported.output_counts.len()).map(cut).collect::<Vec<_>>()));
        }
    }
    assert!(results.iter().all(|r| *r == results[0]), "{results:?}\n{text}");
    results.remove(0)
}

fn refusal(m: &Model, bounds: &[(&str, usize)]) -> String {
    let problems = import::read(&m.bytes(), &bounded(bounds)).expect_err("a problem");
    problems.iter().map(|d| format!("{}: {d}", d.place)).collect::<Vec<_>>().join("\n")
}

fn i32s(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}
fn i64s(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}
fn f32s(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// A tensor that an operator writes, of a first dimension that the file leaves open.
fn open(m: &mut Model, name: &str, ty: TensorType, shape: &[i32]) -> i32 {
    let t = m.tensor(name, ty, shape, None, &[]);
    m.tensors[t as usize].shape_signature = Some([&[-1], &shape[1..]].concat());
    t
}

/// The numbers from an input to another one, by a third.
fn range(ty: TensorType) -> Model {
    let mut m = Model::new();
    m.inputs = ["start", "limit", "step"].map(|name| m.tensor(name, ty, &[], None, &[])).to_vec();
    let y = open(&mut m, "y", ty, &[1]);
    m.operator(B::RANGE, &m.inputs.clone(), y, O::None);
    m.outputs = vec![y];
    m
}

#[test]
fn ranges() {
    let m = range(TensorType::INT32);
    let run_i32 = |n: [i32; 3]| run(&m, &[("y", 5)], &n.map(|n| i32s(&[n]))).map(|mut y| y.remove(0));
    for (numbers, expected) in [
        ([0, 5, 1], Some(vec![0, 1, 2, 3, 4])),
        ([0, 6, 1], None),
        ([7, -2, -4], Some(vec![7, 3, -1])),
        ([3, 3, 1], Some(vec![])),
        ([3, 3, -1], Some(vec![])),
        ([3, 3, 0], None),
        ([0, 3, -1], None),
        ([3, 0, 1], None),
        ([i32::MIN, i32::MAX, i32::MAX], Some(vec![i32::MIN, -1, i32::MAX - 1])),
        ([i32::MAX, i32::MIN, i32::MIN], Some(vec![i32::MAX, -1])),
        ([i32::MIN, i32::MAX, 1], None),
    ] {
        assert_eq!(run_i32(numbers), expected.map(|e| i32s(&e)), "{numbers:?}");
    }
    let m = range(TensorType::INT64);
    let run_i64 = |n: [i64; 3]| run(&m, &[("y", 4)], &n.map(|n| i64s(&[n]))).map(|mut y| y.remove(0));
    for (numbers, expected) in [
        ([1 << 40, (1 << 40) + 3, 2], Some(vec![1 << 40, (1 << 40) + 2])),
        ([i64::MIN, i64::MAX, 1], None),
        ([i64::MAX, i64::MIN, 1], None),
        ([i64::MIN, i64::MAX, -1], None),
        ([5, 5, i64::MIN], None),
        ([0, 1 << 40, 1], None),
    ] {
        assert_eq!(run_i64(numbers), expected.map(|e: Vec<i64>| i64s(&e)), "{numbers:?}");
    }
    let m = range(TensorType::FLOAT32);
    let run_f32 = |n: [f32; 3]| run(&m, &[("y", 4)], &n.map(|n| f32s(&[n]))).map(|mut y| y.remove(0));
    for (numbers, expected) in [
        ([0.0, 1.0, 0.3], Some(vec![0.0, 0.3, 0.6, 0.3f32 + 0.3 + 0.3])),
        ([1.0, 0.0, -0.5], Some(vec![1.0, 0.5])),
        ([0.0, 1.0, 0.2], None),
        ([0.0, 1.0, 0.0], None),
        ([0.0, 1.0, -0.5], None),
        ([0.0, f32::NAN, 1.0], None),
        ([0.0, f32::INFINITY, 1.0], None),
        ([0.0, 1.0, f32::NAN], None),
        ([2.0, 2.0, 1.0], Some(vec![])),
        ([0.0, 3e9, 1.0], None),
    ] {
        assert_eq!(run_f32(numbers), expected.map(|e| f32s(&e)), "{numbers:?}");
    }
}

#[test]
fn bounds_are_asked_for_by_name() {
    let m = range(TensorType::INT32);
    let said = refusal(&m, &[]);
    assert!(said.contains("--input-value start=FILE.npy; ") && said.ends_with("--max-dim y=N"), "{said}");
    // The bound may be that of an input, too.
    assert_eq!(run(&m, &[("limit", 3)], &[0, 3, 1].map(|n| i32s(&[n]))), Some(vec![i32s(&[0, 1, 2])]));
    assert_eq!(run(&m, &[("limit", 3)], &[0, 4, 1].map(|n| i32s(&[n]))), None);
    assert!(refusal(&m, &[("z", 3)]).contains("no tensor \"z\""));
    // A bound that is too large for memory is no bound.
    assert!(refusal(&m, &[("y", 1 << 30)]).contains("E0105"));
}

/// Something of `value`, or of two, in a shape of `sizes`, of which the first comes from the input `n`.
fn sized(code: B, inputs: impl FnOnce(&mut Model, i32) -> Vec<i32>, rest: &[i32], shape: &[i32]) -> Model {
    let mut m = Model::new();
    let n = m.tensor("n", TensorType::INT32, &[1], None, &[]);
    let sizes = match rest {
        [] => n,
        _ => {
            let rest = m.tensor("rest", TensorType::INT32, &[rest.len() as i32], None, &i32s(rest));
            let sizes = m.tensor("sizes", TensorType::INT32, &[1 + m.tensors[rest as usize].shape[0]], None, &[]);
            m.operator(B::CONCATENATION, &[n, rest], sizes, O::Concatenation { axis: 0 });
            sizes
        }
    };
    let inputs = inputs(&mut m, sizes);
    let y = open(&mut m, "y", TensorType::INT32, shape);
    m.operator(code, &inputs, y, O::None);
    (m.inputs, m.outputs) = (vec![n], vec![y]);
    m
}

#[test]
fn sizes_that_inputs_decide() {
    let constant = |m: &mut Model, shape: &[i32], n: &[i32]| m.tensor("c", TensorType::INT32, shape, None, &i32s(n));
    let fill = sized(B::FILL, |m, sizes| vec![sizes, constant(m, &[], &[7])], &[3], &[1, 3]);
    let of = |m: &Model, n: i32| run(m, &[("y", 4)], &[i32s(&[n])]).map(|mut y| y.remove(0));
    assert_eq!([0, 1, 4].map(|n| of(&fill, n)), [0, 3, 12].map(|n| Some(i32s(&vec![7; n]))));
    assert_eq!([-1, 5, i32::MIN].map(|n| of(&fill, n)), [None, None, None]);
    let vector = sized(B::FILL, |m, sizes| vec![sizes, constant(m, &[], &[7])], &[], &[1]);
    assert_eq!(of(&vector, 3), Some(i32s(&[7; 3])));
    let repeated = sized(B::BROADCAST_TO, |m, sizes| vec![constant(m, &[2, 1], &[5, 6]), sizes], &[2, 3], &[1, 2, 3]);
    assert_eq!(of(&repeated, 2), Some(i32s(&[5, 5, 5, 6, 6, 6].repeat(2))));
    assert_eq!(of(&repeated, 5), None);
    let tiled = sized(B::TILE, |m, sizes| vec![constant(m, &[2, 1], &[5, 6]), sizes], &[2], &[1, 2]);
    assert_eq!([0, 1, 2].map(|n| of(&tiled, n)), [0, 1, 2].map(|n| Some(i32s(&[5, 5, 6, 6].repeat(n)))));
    // Three times two rows are more than four.
    assert_eq!(of(&tiled, 3), None);
    // All but the first must be known.
    let mut other = fill.clone();
    other.operators[0].inputs.reverse();
    assert!(refusal(&other, &[("y", 4)]).contains("the shape must be stored in the model"));
    // What is as long as the bound says is not always.
    let fixed = sized(B::BROADCAST_TO, |m, sizes| vec![constant(m, &[4, 1], &[1, 2, 3, 4]), sizes], &[1], &[1, 1]);
    assert!(refusal(&fixed, &[("y", 4)]).contains("cannot be broadcast"));
}

/// The whole numbers below the input `n`, as f32; then what `more` makes of them.
fn numbers(more: impl FnOnce(&mut Model, i32) -> Vec<i32>) -> Model {
    let mut m = Model::new();
    let [zero, one] = [0, 1].map(|n| m.tensor("c", TensorType::INT32, &[], None, &i32s(&[n])));
    let n = m.tensor("n", TensorType::INT32, &[], None, &[]);
    let all = open(&mut m, "all", TensorType::INT32, &[1]);
    m.operator(B::RANGE, &[zero, n, one], all, O::None);
    let x = open(&mut m, "x", TensorType::FLOAT32, &[1]);
    m.operator(B::CAST, &[all], x, O::None);
    m.inputs = vec![n];
    m.outputs = more(&mut m, x);
    m
}

fn floats_below(n: i32) -> Vec<f32> {
    (0..n).map(|n| n as f32).collect()
}

#[test]
fn element_by_element() {
    let m = numbers(|m, x| {
        let half = m.tensor("half", TensorType::FLOAT32, &[], None, &f32s(&[0.5]));
        let y = open(m, "y", TensorType::FLOAT32, &[1]);
        m.operator(B::MUL, &[x, half], y, O::Mul);
        let z = open(m, "z", TensorType::FLOAT32, &[1]);
        m.operator(B::ADD, &[y, x], z, O::Add);
        vec![y, z]
    });
    for n in [0, 1, 5, 9] {
        let of = |factor: f32| f32s(&floats_below(n).iter().map(|v| v * factor).collect::<Vec<_>>());
        assert_eq!(run(&m, &[("n", 9)], &[i32s(&[n])]), Some(vec![of(0.5), of(1.5)]));
    }
}

#[test]
fn operands_with_counts_of_their_own_agree_or_the_invocation_ends() {
    let mut m = numbers(|m, x| {
        let n = m.tensor("count", TensorType::INT32, &[1], None, &[]);
        let two = m.tensor("two", TensorType::FLOAT32, &[], None, &f32s(&[2.0]));
        let twos = open(m, "twos", TensorType::FLOAT32, &[1]);
        m.operator(B::FILL, &[n, two], twos, O::None);
        let y = open(m, "y", TensorType::FLOAT32, &[1]);
        m.operator(B::MUL, &[x, twos], y, O::Mul);
        m.inputs.push(n);
        vec![y]
    });
    m.inputs.sort_unstable();
    let bounds = [("all", 6), ("twos", 6)];
    assert_eq!(run(&m, &bounds, &[i32s(&[3]), i32s(&[3])]), Some(vec![f32s(&[0.0, 2.0, 4.0])]));
    assert_eq!(run(&m, &bounds, &[i32s(&[3]), i32s(&[4])]), None);
    assert!(refusal(&m, &[("all", 6), ("twos", 5)]).contains("cannot be broadcast"));
}

#[test]
fn shapes_are_counted() {
    // x as rows of one, its shape, and that shape's first number times ten.
    let m = numbers(|m, x| {
        let to = m.tensor("to", TensorType::INT32, &[2], None, &i32s(&[-1, 1]));
        let rows = open(m, "rows", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::RESHAPE, &[x, to], rows, O::Reshape);
        let shape = m.tensor("shape", TensorType::INT64, &[2], None, &[]);
        m.operator(B::SHAPE, &[rows], shape, O::Shape { out_type: TensorType::INT64 });
        let ten = m.tensor("ten", TensorType::INT64, &[1], None, &i64s(&[10]));
        let times = m.tensor("times", TensorType::INT64, &[2], None, &[]);
        m.operator(B::MUL, &[shape, ten], times, O::Mul);
        let rank = m.tensor("rank", TensorType::INT32, &[], None, &[]);
        m.operator(B::RANK, &[rows], rank, O::None);
        let zeros = open(m, "zeros", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::ZEROS_LIKE, &[rows], zeros, O::None);
        vec![shape, times, rank, zeros]
    });
    for n in [0, 4, 7] {
        let expected = vec![i64s(&[n.into(), 1]), i64s(&[10 * i64::from(n), 10]), i32s(&[2]), f32s(&vec![0.0; n as usize])];
        assert_eq!(run(&m, &[("all", 7)], &[i32s(&[n])]), Some(expected));
    }
    // A shape that is fixed is not that of what is counted.
    let fixed = numbers(|m, x| {
        let to = m.tensor("to", TensorType::INT32, &[2], None, &i32s(&[4, -1]));
        let rows = m.tensor("rows", TensorType::FLOAT32, &[4, 1], None, &[]);
        m.operator(B::RESHAPE, &[x, to], rows, O::Reshape);
        vec![rows]
    });
    assert!(refusal(&fixed, &[("all", 4)]).contains("-1 as the first dimension"));
}

#[test]
fn slices_have_no_more_than_there_is() {
    let of_rows = |first: [i32; 2], rest: i32| {
        let inputs = |m: &mut Model, sizes| {
            let x = m.tensor("c", TensorType::INT32, &[5, 2], None, &i32s(&(0..10).collect::<Vec<_>>()));
            vec![x, m.tensor("begin", TensorType::INT32, &[2], None, &i32s(&first)), sizes]
        };
        sized(B::SLICE, inputs, &[rest], &[1, rest])
    };
    let of = |m: &Model, n: i32| run(m, &[], &[i32s(&[n])]).map(|mut y| y.remove(0));
    let rows = of_rows([1, 0], 2);
    assert_eq!([0, 1, 4].map(|n| of(&rows, n)), [0, 2, 8].map(|n| Some(i32s(&(2..2 + n).collect::<Vec<_>>()))));
    assert_eq!([5, -1, i32::MAX].map(|n| of(&rows, n)), [None, None, None]);
    assert_eq!(of(&of_rows([0, 1], 1), 3), Some(i32s(&[1, 3, 5])));
    assert_eq!(of(&of_rows([2, 1], -1), 3), Some(i32s(&[5, 7, 9])));
}

#[test]
fn shapes_that_inputs_decide_must_fit() {
    let constant = |m: &mut Model, shape: &[i32], n: &[i32]| m.tensor("c", TensorType::INT32, shape, None, &i32s(n));
    let m = sized(B::RESHAPE, |m, sizes| vec![constant(m, &[6], &[1, 2, 3, 4, 5, 6]), sizes], &[2], &[1, 2]);
    assert_eq!(run(&m, &[], &[i32s(&[3])]), Some(vec![i32s(&[1, 2, 3, 4, 5, 6])]));
    assert_eq!([2, 4, -3].map(|n| run(&m, &[], &[i32s(&[n])])), [None, None, None]);
    // The rows of what is counted are as many as its own shape says, or the invocation ends.
    let m = numbers(|m, x| {
        let shape = m.tensor("shape", TensorType::INT32, &[1], None, &[]);
        m.operator(B::SHAPE, &[x], shape, O::Shape { out_type: TensorType::INT32 });
        let one = m.tensor("one", TensorType::INT32, &[1], None, &i32s(&[1]));
        let sizes = m.tensor("sizes", TensorType::INT32, &[2], None, &[]);
        m.operator(B::CONCATENATION, &[shape, one], sizes, O::Concatenation { axis: 0 });
        let rows = open(m, "rows", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::RESHAPE, &[x, sizes], rows, O::Reshape);
        vec![rows]
    });
    assert_eq!(run(&m, &[("n", 5)], &[i32s(&[3])]), Some(vec![f32s(&floats_below(3))]));
    let mut other = m.clone();
    let k = other.tensor("k", TensorType::INT32, &[1], None, &[]);
    other.operators.iter_mut().find(|o| o.code == B::CONCATENATION.0).unwrap().inputs[0] = k;
    other.inputs.push(k);
    let one = i32s(&[1]);
    assert_eq!(run(&other, &[("n", 5)], &[i32s(&[1]), one.clone()]), Some(vec![f32s(&[0.0])]));
    assert_eq!(run(&other, &[("n", 5)], &[i32s(&[3]), one]), None);
}

#[test]
fn reductions_see_what_is_counted() {
    let codes = [B::SUM, B::REDUCE_MAX, B::REDUCE_MIN, B::REDUCE_PROD, B::MEAN];
    // (x - 2.5) as rows of two equal numbers.
    let m = numbers(|m, x| {
        let c = m.tensor("c", TensorType::FLOAT32, &[], None, &f32s(&[2.5]));
        let less = open(m, "less", TensorType::FLOAT32, &[1]);
        m.operator(B::SUB, &[x, c], less, O::Sub);
        let to = m.tensor("to", TensorType::INT32, &[2], None, &i32s(&[-1, 1]));
        let rows = open(m, "rows", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::RESHAPE, &[less, to], rows, O::Reshape);
        let pairs = open(m, "pairs", TensorType::FLOAT32, &[1, 2]);
        m.operator(B::CONCATENATION, &[rows, rows], pairs, O::Concatenation { axis: 1 });
        let mut outputs = vec![];
        for (axes, shape) in [(&[0][..], &[1, 2][..]), (&[0, 1], &[1, 1])] {
            let axes = m.tensor("axes", TensorType::INT32, &[axes.len() as i32], None, &i32s(axes));
            for code in codes {
                outputs.push(m.tensor("y", TensorType::FLOAT32, shape, None, &[]));
                m.operator(code, &[pairs, axes], *outputs.last().unwrap(), O::Reducer { keep_dims: true });
            }
        }
        let axes = m.tensor("axes", TensorType::INT32, &[1], None, &i32s(&[1]));
        let sums = open(m, "sums", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::SUM, &[pairs, axes], sums, O::Reducer { keep_dims: true });
        outputs.push(sums);
        outputs
    });
    for n in [1, 2, 5, 6] {
        let all: Vec<f32> = floats_below(n).iter().map(|v| v - 2.5).collect();
        let sum: f32 = all.iter().sum();
        let (largest, least) = (*all.last().unwrap(), all[0]);
        let product: f32 = all.iter().product();
        let mut expected: Vec<Vec<f32>> = [sum, largest, least, product, sum / n as f32].map(|v| vec![v, v]).to_vec();
        expected.extend([2.0 * sum, largest, least, product * product, sum / n as f32].map(|v| vec![v]));
        expected.push(all.iter().map(|v| 2.0 * v).collect());
        let found = run(&m, &[("n", 20)], &[i32s(&[n])]).expect("results");
        for (found, expected) in found.iter().zip(&expected) {
            let found: Vec<f32> = found.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()), "{n}: {found:?}, not {expected:?}");
        }
    }
    // Of nothing: as the reference, which begins with finite numbers, and divides.
    let found = run(&m, &[("n", 20)], &[i32s(&[0])]).expect("results");
    let first = |i: usize| f32::from_le_bytes(found[i][..4].try_into().unwrap());
    assert_eq!([0, 1, 2, 3].map(first), [0.0, f32::MIN, f32::MAX, 1.0]);
    assert_eq!([5, 6, 7, 8].map(first), [0.0, f32::MIN, f32::MAX, 1.0]);
    assert!(first(4).is_nan() && first(9).is_nan() && found[10].is_empty());
}

#[test]
fn rows_follow_rows_that_are_counted() {
    // Constants before, between and after what is counted, twice.
    let m = numbers(|m, x| {
        let [a, b] = [&[-1.0, -2.0][..], &[-3.0]].map(|n| m.tensor("c", TensorType::FLOAT32, &[n.len() as i32], None, &f32s(n)));
        let y = open(m, "y", TensorType::FLOAT32, &[1]);
        m.operator(B::CONCATENATION, &[a, x, b, x], y, O::Concatenation { axis: 0 });
        let z = open(m, "z", TensorType::FLOAT32, &[1]);
        m.operator(B::CONCATENATION, &[x, a], z, O::Concatenation { axis: 0 });
        let one = open(m, "one", TensorType::FLOAT32, &[1]);
        m.operator(B::CONCATENATION, &[x], one, O::Concatenation { axis: 0 });
        vec![y, z, one]
    });
    for n in [0, 1, 6] {
        let x = floats_below(n);
        let expected = [[&[-1.0, -2.0], &x[..], &[-3.0], &x].concat(), [&x[..], &[-1.0, -2.0]].concat(), x.clone()];
        assert_eq!(run(&m, &[("n", 6)], &[i32s(&[n])]), Some(expected.iter().map(|e| f32s(e)).collect()));
    }
}

#[test]
fn row_by_row() {
    // Rows of three by a product, their largest numbers' places and their softmax; rows of a table by the numbers themselves.
    let m = numbers(|m, x| {
        let to = m.tensor("to", TensorType::INT32, &[2], None, &i32s(&[-1, 1]));
        let rows = open(m, "rows", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::RESHAPE, &[x, to], rows, O::Reshape);
        let w = m.tensor("w", TensorType::FLOAT32, &[3, 1], None, &f32s(&[1.0, 3.0, 2.0]));
        let product = open(m, "product", TensorType::FLOAT32, &[1, 3]);
        m.operator(B::FULLY_CONNECTED, &[rows, w, -1], product, O::FullyConnected);
        let table = m.tensor("table", TensorType::FLOAT32, &[4, 1], None, &f32s(&[3.0, 1.0, 4.0, 1.5]));
        let picked = open(m, "picked", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::GATHER, &[table, 3], picked, O::None);
        let looked = open(m, "looked", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::EMBEDDING_LOOKUP, &[3, table], looked, O::None);
        let soft = open(m, "soft", TensorType::FLOAT32, &[1, 1]);
        m.operator(B::SOFTMAX, &[rows], soft, O::Softmax { beta: 1.0 });
        vec![product, picked, looked, soft]
    });
    for n in [0, 1, 3, 4] {
        let product: Vec<f32> = floats_below(n).iter().flat_map(|v| [*v, 3.0 * v, 2.0 * v]).collect();
        let picked = &[3.0, 1.0, 4.0, 1.5][..n as usize];
        let expected = vec![f32s(&product), f32s(picked), f32s(picked), f32s(&vec![1.0; n as usize])];
        // Numbers beyond the count are in no table, which does not matter.
        assert_eq!(run(&m, &[("n", 9)], &[i32s(&[n])]), Some(expected));
    }
    assert_eq!(run(&m, &[("n", 9)], &[i32s(&[5])]), None);
    // Along the axis that is counted, rows are not by themselves.
    let along = numbers(|m, x| {
        let y = open(m, "y", TensorType::FLOAT32, &[1]);
        m.operator(B::SOFTMAX, &[x], y, O::Softmax { beta: 1.0 });
        vec![y]
    });
    assert!(refusal(&along, &[("n", 9)]).contains("known at run time only"));
}

/// A loop of `i` from the input to below `limit`, whose operand gets a row of two more in every turn.
fn growing(limit: i32) -> Model {
    let mut m = Model::new();
    let [i, x] = [("i", TensorType::INT32, &[1][..]), ("x", TensorType::FLOAT32, &[1, 2])].map(|(n, ty, s)| m.tensor(n, ty, s, None, &[]));
    let last = m.tensor("last", TensorType::INT32, &[1], None, &[]);
    let y = open(&mut m, "y", TensorType::FLOAT32, &[1, 2]);
    m.operator(B::WHILE, &[i, x], last, O::While { test: 1, body: 2 });
    m.operators[0].outputs = vec![last, y];
    (m.inputs, m.outputs) = (vec![i, x], vec![y]);
    let mut test = Model::new();
    let i = test.tensor("i", TensorType::INT32, &[1], None, &[]);
    let x = open(&mut test, "x", TensorType::FLOAT32, &[1, 2]);
    let limit = test.tensor("limit", TensorType::INT32, &[1], None, &i32s(&[limit]));
    let c = test.tensor("c", TensorType::BOOL, &[1], None, &[]);
    test.operator(B::LESS, &[i, limit], c, O::None);
    (test.inputs, test.outputs) = (vec![i, x], vec![c]);
    let mut body = Model::new();
    let i = body.tensor("i", TensorType::INT32, &[1], None, &[]);
    let x = open(&mut body, "x", TensorType::FLOAT32, &[1, 2]);
    let one = body.tensor("one", TensorType::INT32, &[1], None, &i32s(&[1]));
    let row = body.tensor("row", TensorType::FLOAT32, &[1, 2], None, &f32s(&[8.0, 9.0]));
    let next = body.tensor("next", TensorType::INT32, &[1], None, &[]);
    let longer = open(&mut body, "longer", TensorType::FLOAT32, &[2, 2]);
    body.operator(B::ADD, &[i, one], next, O::Add);
    body.operator(B::CONCATENATION, &[x, row], longer, O::Concatenation { axis: 0 });
    (body.inputs, body.outputs) = (vec![i, x], vec![next, longer]);
    m.called = vec![test, body];
    m
}

#[test]
fn loops_that_grow_are_unrolled_where_their_turns_are_known() {
    let m = growing(3);
    let said = refusal(&m, &[]);
    assert!(said.contains("has another shape after each turn") && said.contains("--input-value i=FILE.npy"), "{said}");
    for (i, rows) in [(0, 4), (2, 2), (3, 1), (9, 1)] {
        let value = import::InputValue { element: cranelite_graph::tensor::ElementType::I32, shape: vec![1], data: i32s(&[i]).into() };
        let options = Options { input_values: vec![("i".into(), value)], ..Options::default() };
        let graph = import::import(&m.bytes(), &options).unwrap_or_else(|p| panic!("{p:#?}"));
        assert_eq!(graph.ty(graph.outputs[0]).shape, [rows, 2]);
        let machine = Machine::example(16, ByteDot::S16S16, false, false);
        let program = lower(&graph, &machine, Goal::Speed).unwrap();
        let mut y = vec![0; 8 * rows];
        interpret::run(&program, &[&f32s(&[1.0, 2.0])], &mut [&mut y]).unwrap();
        let expected: Vec<f32> = [1.0, 2.0].into_iter().chain([8.0, 9.0].repeat(rows - 1)).collect();
        assert_eq!(y, f32s(&expected));
    }
    // A loop that does not end takes no more than other copies of subgraphs do.
    let mut endless = growing(i32::MAX);
    endless.called[1].outputs[0] = 0;
    let value = import::InputValue { element: cranelite_graph::tensor::ElementType::I32, shape: vec![1], data: i32s(&[0]).into() };
    let options = Options { input_values: vec![("i".into(), value)], ..Options::default() };
    let said = import::import(&endless.bytes(), &options).expect_err("a problem");
    assert!(said[0].message.contains("too large"), "{said:?}");
}

#[test]
fn loops_that_grow_up_to_a_bound() {
    for name in ["y", "x"] {
        let m = growing(7);
        let said = refusal(&m, &[]);
        assert!(said.ends_with("--max-dim y=N"), "{said}");
        for (i, rows) in [(7, 1), (4, 4), (3, 5), (9, 1)] {
            let expected: Vec<f32> = [1.0, 2.0].into_iter().chain([8.0, 9.0].repeat(rows - 1)).collect();
            assert_eq!(run(&m, &[(name, 5)], &[i32s(&[i]), f32s(&[1.0, 2.0])]), Some(vec![f32s(&expected)]), "{i}");
        }
        // One row more than there is room for, and very many.
        assert_eq!(run(&m, &[(name, 5)], &[i32s(&[2]), f32s(&[1.0, 2.0])]), None);
        assert_eq!(run(&m, &[(name, 5)], &[i32s(&[-1000]), f32s(&[1.0, 2.0])]), None);
    }
}

#[test]
fn loops_of_what_is_counted() {
    // Twice as many rows in every turn, of numbers that are counted from the beginning; the condition looks at the sum.
    let mut m = numbers(|m, x| {
        let y = open(m, "y", TensorType::FLOAT32, &[1]);
        m.operator(B::WHILE, &[x], y, O::While { test: 1, body: 2 });
        let shape = m.tensor("shape", TensorType::INT32, &[1], None, &[]);
        m.operator(B::SHAPE, &[y], shape, O::Shape { out_type: TensorType::INT32 });
        vec![y, shape]
    });
    let mut test = Model::new();
    let x = open(&mut test, "x", TensorType::FLOAT32, &[1]);
    let axes = test.tensor("axes", TensorType::INT32, &[1], None, &i32s(&[0]));
    let sum = test.tensor("sum", TensorType::FLOAT32, &[1], None, &[]);
    let limit = test.tensor("limit", TensorType::FLOAT32, &[1], None, &f32s(&[20.0]));
    let c = test.tensor("c", TensorType::BOOL, &[1], None, &[]);
    test.operator(B::SUM, &[x, axes], sum, O::Reducer { keep_dims: true });
    test.operator(B::LESS, &[sum, limit], c, O::None);
    (test.inputs, test.outputs) = (vec![x], vec![c]);
    let mut body = Model::new();
    let x = open(&mut body, "x", TensorType::FLOAT32, &[1]);
    let twice = open(&mut body, "twice", TensorType::FLOAT32, &[1]);
    body.operator(B::CONCATENATION, &[x, x], twice, O::Concatenation { axis: 0 });
    (body.inputs, body.outputs) = (vec![x], vec![twice]);
    m.called = vec![test, body];
    let bounds = [("all", 8), ("y", 20)];
    for (n, times) in [(3, 8), (5, 2), (7, 1)] {
        let expected = floats_below(n).repeat(times);
        let result = run(&m, &[("all", 8), ("y", 24)], &[i32s(&[n])]);
        assert_eq!(result, Some(vec![f32s(&expected), i32s(&[expected.len() as i32])]), "{n}");
    }
    assert_eq!(run(&m, &bounds, &[i32s(&[3])]), None);
    // What is counted is as long as it was where a loop hands it on.
    let mut same = m.clone();
    same.called[1].operators.clear();
    same.called[1].outputs = same.called[1].inputs.clone();
    assert_eq!(run(&same, &[("all", 8)], &[i32s(&[7])]), Some(vec![f32s(&floats_below(7)), i32s(&[7])]));
}

/// One of two branches by `c`, of an operand.
fn chosen(m: &mut Model, x: i32, y: i32, branches: [Model; 2]) {
    let c = m.tensor("c", TensorType::BOOL, &[1], None, &[]);
    m.operator(B::IF, &[c, x], y, O::If { then: 1, otherwise: 2 });
    m.inputs.push(c);
    m.inputs.sort_unstable();
    m.called = branches.to_vec();
}

/// The operand and a constant one after the other, or the constant alone.
fn with_constant(shape: &[i32], numbers: &[f32], is_alone: bool) -> Model {
    let mut m = Model::new();
    let x = m.tensor("x", TensorType::FLOAT32, &[2], None, &[]);
    let c = m.tensor("c", TensorType::FLOAT32, shape, None, &f32s(numbers));
    let y = open(&mut m, "y", TensorType::FLOAT32, &[2]);
    m.operator(B::CONCATENATION, if is_alone { &[1] } else { &[0, 1] }, y, O::Concatenation { axis: 0 });
    (m.inputs, m.outputs) = (vec![x], vec![if is_alone { c } else { y }]);
    m
}

#[test]
fn branches_of_different_sizes_are_counted() {
    let mut m = Model::new();
    let x = m.tensor("x", TensorType::FLOAT32, &[2], None, &[]);
    let y = open(&mut m, "y", TensorType::FLOAT32, &[1]);
    m.inputs = vec![x];
    chosen(&mut m, x, y, [with_constant(&[3], &[5.0, 6.0, 7.0], false), with_constant(&[1], &[9.0], true)]);
    let z = open(&mut m, "z", TensorType::FLOAT32, &[1]);
    m.operator(B::ADD, &[y, y], z, O::Add);
    m.outputs = vec![y, z];
    for (c, expected) in [(1, vec![1.0, 2.0, 5.0, 6.0, 7.0]), (0, vec![9.0])] {
        let twice: Vec<f32> = expected.iter().map(|v| 2.0 * v).collect();
        assert_eq!(run(&m, &[], &[f32s(&[1.0, 2.0]), vec![c]]), Some(vec![f32s(&expected), f32s(&twice)]));
    }
    // Of another rank they are not.
    m.called[1] = with_constant(&[1, 1], &[9.0], true);
    assert!(refusal(&m, &[]).contains("depends on which branch runs"));
}

#[test]
fn branches_of_what_is_counted() {
    let mut m = numbers(|m, x| {
        let y = open(m, "y", TensorType::FLOAT32, &[1]);
        chosen(m, x, y, [with_constant(&[3], &[5.0, 6.0, 7.0], false), with_constant(&[1], &[9.0], true)]);
        vec![y]
    });
    let of = |m: &Model, n, c| run(m, &[("all", 4)], &[i32s(&[n]), vec![c]]).map(|mut y| y.remove(0));
    assert_eq!(of(&m, 2, 1), Some(f32s(&[0.0, 1.0, 5.0, 6.0, 7.0])));
    assert_eq!(of(&m, 4, 1), Some(f32s(&[0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0])));
    assert_eq!(of(&m, 4, 0), Some(f32s(&[9.0])));
    // What a call gets and gives is counted, too.
    let call = m.operators.last_mut().unwrap();
    (call.code, call.options) = (B::CALL.0, O::Call { subgraph: 1 });
    call.inputs.remove(0);
    m.inputs.pop();
    assert_eq!(run(&m, &[("all", 4)], &[i32s(&[2])]), Some(vec![f32s(&[0.0, 1.0, 5.0, 6.0, 7.0])]));
}
