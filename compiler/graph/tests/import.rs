//! The import: what it makes of good models, and what it says of bad ones.

mod model;

use cranelite_graph::graph::{Graph, ValueId};
use cranelite_graph::import::{InputKey, Options, import};
use cranelite_schema::{BuiltinOperator, TensorType};
use model::{Buffer, Model, two_reshapes};

fn read(m: &Model) -> Graph {
    import(&m.bytes(), &Options::default()).unwrap_or_else(|p| panic!("{p:#?}"))
}

/// Code and place of every problem, one per line.
fn problems(m: &Model, options: &Options) -> Vec<String> {
    let problems = import(&m.bytes(), options).expect_err("a problem");
    problems.iter().map(|d| format!("{} {}", d.code.0, d.place)).collect()
}

/// A good model after `change` has these problems and no others.
fn expect(wanted: &[&str], change: impl FnOnce(&mut Model)) {
    let mut m = two_reshapes();
    change(&mut m);
    assert_eq!(problems(&m, &Options::default()), wanted);
}

/// The same, and the graph is what it was before the change.
fn expect_same(change: impl FnOnce(&mut Model)) {
    let mut m = two_reshapes();
    let before = read(&m);
    change(&mut m);
    assert_eq!(read(&m), before);
}

#[test]
fn a_good_model() {
    let g = read(&two_reshapes());
    let names: Vec<&str> = g.values.iter().map(|v| v.name.as_str()).collect();
    // The shapes' tensors have become attributes.
    assert_eq!(names, ["x", "y", "z"]);
    assert_eq!((g.inputs, g.outputs), (vec![ValueId(0)], vec![ValueId(2)]));
    assert_eq!(g.values[1].ty.shape, [3, 4]);
    assert_eq!(g.nodes.iter().map(|n| n.operator).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn shapes_of_results_are_computed() {
    expect_same(|m| m.tensors[2].shape = vec![-1, 4]);
    expect_same(|m| m.tensors[4].shape = vec![]);
    expect_same(|m| m.tensors[0].shape_signature = Some(vec![-1, 6]));
}

#[test]
fn shapes_of_inputs_can_be_given() {
    let mut m = two_reshapes();
    m.tensors[3].shape = vec![1];
    m.buffers[2].data = (-1i32).to_le_bytes().to_vec();
    let give = |m: &Model, key: InputKey, shape: &[usize]| import(&m.bytes(), &Options { input_shapes: vec![(key, shape.to_vec())] });
    for key in ["x".into(), InputKey::Index(0)] {
        let g = give(&m, key, &[4, 6]).unwrap();
        assert_eq!(g.values.iter().map(|v| v.ty.shape.clone()).collect::<Vec<_>>(), [vec![4, 6], vec![3, 8], vec![24]]);
    }
    m.tensors[0].shape = vec![-1, 6];
    assert_eq!(problems(&m, &Options::default()), ["E0105 subgraph 0, model input 0 \"x\""]);
    assert!(give(&m, "x".into(), &[1, 6]).is_ok());
    for key in ["nosuch".into(), InputKey::Index(1)] {
        let said = give(&m, key, &[1, 6]).unwrap_err();
        assert_eq!(said[0].code.0, "E0501");
        assert_eq!(said[0].expected.as_deref(), Some("\"x\""));
    }
    let said = give(&m, "x".into(), &[1 << 40, 1 << 40]).unwrap_err();
    assert_eq!(said[0].code.0, "E0105");
}

#[test]
fn graphs_of_few_nodes() {
    // No operator: an input and a constant are outputs, one of them twice.
    let mut m = two_reshapes();
    m.operators.clear();
    m.outputs = vec![0, 1, 0];
    let g = read(&m);
    assert!(g.nodes.is_empty());
    assert_eq!(g.outputs, [g.inputs[0], ValueId(1), g.inputs[0]]);
    assert_eq!(g.values[1].data.as_deref(), Some(&[3, 0, 0, 0, 255, 255, 255, 255][..]));
}

#[test]
fn unused_tensors_may_be_of_any_kind() {
    expect_same(|m| {
        m.tensor("text", TensorType::STRING, &[1], None, b"abc");
        m.tensor("handle", TensorType::RESOURCE, &[], None, &[]);
        m.tensor("state", TensorType::FLOAT32, &[1], None, &[]);
        m.tensors.last_mut().unwrap().is_variable = true;
    });
}

#[test]
fn constants() {
    // More bytes than needed are padding, and large models have them behind the flatbuffer.
    expect_same(|m| m.buffers[1].data.extend([1, 2, 3]));
    let behind = |m: &mut Model, size: u64, offset: i64| {
        m.tail = m.buffers[1].data.clone();
        m.buffers[1] = Buffer { data: vec![], offset: 1, size: 1 };
        let end = m.bytes().len() as i64 - m.tail.len() as i64;
        m.buffers[1] = Buffer { data: vec![], offset: (end + offset) as u64, size };
        assert_eq!(m.bytes().len() as i64 - m.tail.len() as i64, end);
    };
    expect_same(|m| behind(m, 8, 0));
    expect(&["E0107 subgraph 0, tensor 1 \"s\""], |m| behind(m, 8, 1));
    expect(&["E0107 subgraph 0, tensor 1 \"s\""], |m| behind(m, u64::MAX, 0));
    expect(&["E0107 subgraph 0, tensor 1 \"s\""], |m| behind(m, 4, 0));
    expect(&["E0107 subgraph 0, tensor 1 \"s\""], |m| m.buffers[1].data.truncate(7));
    expect(&["E0104 subgraph 0, tensor 1 \"s\""], |m| m.tensors[1].buffer = 9);
    expect(&["E0105 subgraph 0, tensor 1 \"s\""], |m| m.tensors[1].shape = vec![-1]);
    // No bytes at all: not a constant.
    expect(&["E0108 subgraph 0, operator 0 RESHAPE, input 1 \"s\""], |m| m.tensors[1].buffer = 0);
}

#[test]
fn types_and_shapes() {
    expect(&["E0202 subgraph 0, tensor 0 \"x\""], |m| m.tensors[0].ty = TensorType(99));
    expect(&["E0202 subgraph 0, model input 0 \"x\""], |m| m.tensors[0].ty = TensorType::STRING);
    expect(&["E0105 subgraph 0, tensor 0 \"x\""], |m| m.tensors[0].shape = vec![-2, 6]);
    expect(&["E0105 subgraph 0, tensor 0 \"x\""], |m| m.tensors[0].shape = vec![1; 17]);
    expect(&["E0105 subgraph 0, tensor 0 \"x\""], |m| m.tensors[0].shape = vec![i32::MAX; 2]);
    // A zero does not hide that the others overflow.
    expect(&["E0105 subgraph 0, tensor 0 \"x\""], |m| m.tensors[0].shape = vec![0, i32::MAX, i32::MAX, i32::MAX]);
    expect(&["E0301 subgraph 0, model input 0 \"x\""], |m| m.tensors[0].is_variable = true);
    expect(&["E0301 subgraph 0, operator 0 RESHAPE, input 1 \"s\""], |m| m.tensors[1].external_buffer = 3);
}

#[test]
fn quantisation() {
    let with = |ty, scales: &[f32], zero_points: &[i64], axis| {
        let mut m = two_reshapes();
        for t in [0, 2, 4] {
            m.tensors[t].ty = ty;
        }
        let t = &mut m.tensors[0];
        (t.scales, t.zero_points, t.quantized_dimension) = (scales.to_vec(), zero_points.to_vec(), axis);
        import(&m.bytes(), &Options::default()).map(|g| g.values[0].ty.quantization.clone())
    };
    let (i8, i32) = (TensorType::INT8, TensorType::INT32);
    for (ty, scales, zero_points, axis) in [
        (i8, &[-1.0][..], &[0][..], 0),
        (i8, &[f32::NAN], &[0], 0),
        (i8, &[f32::INFINITY], &[0], 0),
        (i8, &[1.0], &[128], 0),
        (i32, &[1.0], &[i64::MIN], 0),
        (i8, &[1.0], &[], 0),
        (i8, &[1.0, 1.0], &[0], 0),
        (i8, &[1.0; 3], &[0; 3], 0),
        (i8, &[1.0; 2], &[0; 2], 2),
        (i8, &[1.0; 2], &[0; 2], -1),
    ] {
        let problems = with(ty, scales, zero_points, axis).expect_err("a problem");
        assert_eq!(problems.iter().map(|d| d.code.0).collect::<Vec<_>>(), ["E0106"], "{scales:?} {zero_points:?} {axis}");
    }
    // Floats have none, whatever is written beside them; no scale is none, and so is one of zero.
    for (ty, scales, zero_points) in
        [(TensorType::FLOAT32, &[f32::NAN][..], &[0][..]), (i8, &[], &[3]), (i8, &[0.0], &[3]), (i32, &[f32::NAN], &[0])]
    {
        assert_eq!(with(ty, scales, zero_points, 0), Ok(None), "{scales:?}");
    }
    // A channel of zeros; one scale for a tensor is so for any axis.
    let per_channel = with(i8, &[0.5, 0.0], &[1, 2], 0).unwrap().unwrap();
    assert_eq!((per_channel.scales.clone(), per_channel.zero_points.clone(), per_channel.axis), (vec![0.5, 0.0], vec![1, 2], 0));
    let one = with(i8, &[0.5], &[-128], 7).unwrap().unwrap();
    assert_eq!(*one, cranelite_graph::tensor::Quantization::per_tensor(0.5, -128));
}

#[test]
fn indices() {
    expect(&["E0104 subgraph 0, operator 0 RESHAPE, input 0"], |m| m.operators[0].inputs[0] = 99);
    expect(&["E0104 subgraph 0, operator 0 RESHAPE, input 1"], |m| m.operators[0].inputs[1] = -2);
    expect(&["E0104 subgraph 0, operator 1 RESHAPE, output 0", "E0108 subgraph 0, model output 0 \"z\""], |m| {
        m.operators[1].outputs[0] = -1
    });
    expect(&["E0104 subgraph 0, model input 0", "E0108 subgraph 0, operator 0 RESHAPE, input 0 \"x\""], |m| m.inputs[0] = 5);
    expect(&["E0104 subgraph 0, model output 1"], |m| m.outputs.push(i32::MIN));
    expect(&["E0104 subgraph 0"], |m| m.outputs.clear());
    expect(&["E0104 subgraph 0, operator 0 ?"], |m| m.operators[0].opcode_index = Some(7));
}

#[test]
fn order_of_operators() {
    expect(&["E0108 subgraph 0, operator 0 RESHAPE, input 0 \"y\""], |m| m.operators.swap(0, 1));
    expect(&["E0108 subgraph 0, operator 1 RESHAPE, output 0 \"y\"", "E0108 subgraph 0, model output 0 \"z\""], |m| {
        m.operators[1].outputs[0] = 2;
    });
    expect(&["E0108 subgraph 0, operator 0 RESHAPE, output 0 \"x\""], |m| {
        m.operators[0].outputs[0] = 0;
        m.operators[1].inputs[0] = 0;
    });
    expect(&["E0108 subgraph 0, operator 1 RESHAPE, output 0 \"s\"", "E0108 subgraph 0, model output 0 \"z\""], |m| {
        m.operators[1].outputs[0] = 1;
    });
    expect(&["E0108 subgraph 0, operator 0 RESHAPE, output 1 \"y\""], |m| m.operators[0].outputs = vec![2, 2]);
    // A tensor without bytes can be read before anything, but not be written after that.
    expect(&["E0108 subgraph 0, operator 2 RESHAPE, output 0 \"none\""], |m| {
        let none = m.tensor("none", TensorType::FLOAT32, &[0], None, &[]);
        let some = m.tensor("some", TensorType::FLOAT32, &[1, 0], None, &[]);
        let shape = m.tensor("shape", TensorType::INT32, &[2], None, &[1, 0, 0, 0, 0, 0, 0, 0]);
        m.operator(BuiltinOperator::RESHAPE, &[none, shape], some, model::Options::Reshape);
        m.operators.swap(1, 2);
        m.operators[2].outputs = vec![none];
        m.outputs = vec![some];
    });
    expect(&["E0108 subgraph 0, model input 1 \"x\""], |m| m.inputs = vec![0, 0]);
    expect(&["E0108 subgraph 0, model input 1 \"s\""], |m| m.inputs = vec![0, 1]);
}

#[test]
fn operators() {
    let code = |m: &mut Model, code: i32| m.operators[0].code = code;
    expect(&["E0201 subgraph 0, operator 0 SVDF"], |m| code(m, BuiltinOperator::SVDF.0));
    expect(&["E0201 subgraph 0, operator 0 number 9999"], |m| code(m, 9999));
    expect(&["E0301 subgraph 0, operator 0 WHILE"], |m| code(m, BuiltinOperator::WHILE.0));
    expect(&["E0301 subgraph 0, operator 0 CUSTOM \"Mine\\n\""], |m| {
        code(m, BuiltinOperator::CUSTOM.0);
        m.operators[0].custom_code = Some("Mine\n".into());
    });
    for version in [0, -1, 1000] {
        expect(&["E0204 subgraph 0, operator 0 RESHAPE"], |m| m.operators[0].version = version);
    }
    expect(&["E0205 subgraph 0, operator 0 RESHAPE"], |m| m.operators[0].inputs.clear());
    expect(&["E0205 subgraph 0, operator 0 RESHAPE"], |m| {
        let more = m.tensor("more", TensorType::FLOAT32, &[1], None, &[]);
        m.operators[0].outputs.push(more);
    });
    expect(&["E0103 "], |m| m.version = 2);
}

#[test]
fn every_problem_is_reported() {
    // The first operator is not supported, the shapes that the file declares show what is wrong with the second.
    expect(&["E0107 subgraph 0, tensor 1 \"s\"", "E0201 subgraph 0, operator 0 SVDF", "E0205 subgraph 0, operator 1 RESHAPE"], |m| {
        m.buffers[1].data.pop();
        m.operators[0].code = BuiltinOperator::SVDF.0;
        m.operators[1].inputs.push(0);
        m.operators[1].inputs.push(0);
    });
    // Nothing is known of the result of the first then, and nothing more is said.
    expect(&["E0201 subgraph 0, operator 0 SVDF"], |m| {
        m.operators[0].code = BuiltinOperator::SVDF.0;
        m.tensors[2].shape = vec![-1];
        m.buffers[2].data[0] = 13;
    });
}

#[test]
fn files_that_are_no_models() {
    let good = two_reshapes().bytes();
    let code = |bytes: &[u8]| import(bytes, &Options::default()).expect_err("a problem")[0].code.0;
    assert_eq!(code(b""), "E0101");
    assert_eq!(code(b"TFL3"), "E0101");
    assert_eq!(code(b"PK\x03\x04 and so on"), "E0101");
    assert_eq!(code(b"\xff\xff\0\0TFL3"), "E0102");
    assert_eq!(code(&good[..good.len() / 2]), "E0102");
}
