//! The import: what it makes of good models, and what it says of bad ones.

mod model;

use cranelite_graph::diagnostic::Code;
use cranelite_graph::graph::{Graph, ValueId};
use cranelite_graph::import::{self, InputKey, Options, import};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::ops::Op;
use cranelite_schema::{BuiltinOperator, TensorType};
use cranelite_tile::{ByteDot, Machine, interpret};
use model::{Buffer, Model, Signature, accumulator, two_reshapes};

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
fn a_tensor_is_not_an_output_too_often() {
    // `z` is an output already.
    let mut m = two_reshapes();
    m.outputs.extend([4; 4096]);
    assert_eq!(read(&m).outputs.len(), 4097);
    expect(&["E0301 subgraph 0"], |m| m.outputs.extend([4; 4097]));
    // However many tensors share the repetitions.
    expect(&["E0301 subgraph 0"], |m| m.outputs.extend([0, 1, 2].repeat(1367)));
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
    let give = |m: &Model, key: InputKey, shape: &[usize]| {
        import(&m.bytes(), &Options { input_shapes: vec![(key, shape.to_vec())], ..Options::default() })
    };
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
    expect(&["E0301 subgraph 0, model input 0 \"x\""], |m| m.tensors[0].external_buffer = 3);
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
    expect(&["E0201 subgraph 0, operator 0 SKIP_GRAM"], |m| code(m, BuiltinOperator::SKIP_GRAM.0));
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
    expect(&["E0107 subgraph 0, tensor 1 \"s\"", "E0201 subgraph 0, operator 0 SKIP_GRAM", "E0205 subgraph 0, operator 1 RESHAPE"], |m| {
        m.buffers[1].data.pop();
        m.operators[0].code = BuiltinOperator::SKIP_GRAM.0;
        m.operators[1].inputs.push(0);
        m.operators[1].inputs.push(0);
    });
    // Nothing is known of the result of the first then, and nothing more is said.
    expect(&["E0201 subgraph 0, operator 0 SKIP_GRAM"], |m| {
        m.operators[0].code = BuiltinOperator::SKIP_GRAM.0;
        m.tensors[2].shape = vec![-1];
        m.buffers[2].data[0] = 13;
    });
}

#[test]
fn names_need_not_be_utf8() {
    let mut m = two_reshapes();
    m.tensors[0].name = "caf@@ \u{e9}".into();
    let mut bytes = m.bytes();
    let at = bytes.windows(2).position(|w| w == b"@@").unwrap();
    bytes[at..at + 2].copy_from_slice(b"\xe9\xff");
    let name = "caf\\xe9\\xff \u{e9}";
    assert_eq!(import(&bytes, &Options::default()).unwrap().values[0].name, name);
    // It can be given as it is shown.
    let g = import(&bytes, &Options { input_shapes: vec![(name.into(), vec![6, 2])], ..Options::default() }).unwrap();
    assert_eq!(g.values[0].ty.shape, [6, 2]);
}

#[test]
fn constants_share_a_buffer() {
    let mut m = two_reshapes();
    let words: Vec<u8> = (0..64u8).collect();
    for (i, n) in [64, 63, 60].into_iter().enumerate() {
        let t = m.tensor(&format!("w{i}"), TensorType::UINT8, &[n], None, &words);
        m.tensors[t as usize].buffer = 3;
        m.outputs.push(t);
    }
    m.buffers.truncate(4);
    let g = read(&m);
    let constants: Vec<&[u8]> = g.values.iter().filter_map(|v| v.data.as_deref()).collect();
    assert_eq!(constants, [&words[..], &words[..63], &words[..60]]);
    assert_eq!(g.constants_size_bytes(), 64);
}

/// x and a sparse constant, whose dense form is the result.
fn densified(shape: [i32; 2], lists: [&[i32]; 2], numbers: &[u8]) -> Model {
    let mut m = Model::new();
    let x = m.tensor("x", TensorType::INT8, &[1], None, &[]);
    let sparse = m.tensor("sparse", TensorType::INT8, &shape, None, numbers);
    m.tensors[sparse as usize].lists = Some(lists.map(<[i32]>::to_vec));
    let y = m.tensor("y", TensorType::INT8, &shape, None, &[]);
    m.operator(BuiltinOperator::DENSIFY, &[sparse], y, model::Options::None);
    (m.inputs, m.outputs) = (vec![x], vec![y]);
    m
}

#[test]
fn sparse_constants_become_dense_ones() {
    let m = densified([2, 3], [&[0, 2, 3], &[0, 2, 1]], &[1, 2, 3]);
    let mut g = read(&m);
    cranelite_graph::rewrite::all(&mut g, |_, _| {});
    assert_eq!(g.value(g.outputs[0]).data.as_deref(), Some(&[1, 0, 2, 0, 3, 0][..]));
    // Damage is a problem of the constant.
    let m = densified([2, 3], [&[0, 2, 3], &[0, 3, 1]], &[1, 2, 3]);
    assert_eq!(problems(&m, &Options::default()), ["E0107 subgraph 0, tensor 1 \"sparse\""]);
    // Nothing but zeros needs no bytes.
    let mut m = densified([2, 3], [&[0, 0, 0], &[]], &[]);
    m.tensors[1].buffer = 1;
    m.buffers.push(Buffer::default());
    let mut g = read(&m);
    cranelite_graph::rewrite::all(&mut g, |_, _| {});
    assert_eq!(g.value(g.outputs[0]).data.as_deref(), Some(&[0; 6][..]));
    m.tensors[1].lists = Some([vec![0, 1, 1], vec![0]]);
    assert_eq!(problems(&m, &Options::default()), ["E0107 subgraph 0, tensor 1 \"sparse\""]);
    // Sparse tensors that somebody would have to write are none of ours.
    let m = densified([2, 3], [&[0, 2, 3], &[0, 2, 1]], &[]);
    assert_eq!(problems(&m, &Options::default()), ["E0301 subgraph 0, operator 0 DENSIFY, input 0 \"sparse\""]);
}

/// All of them together may become so many bytes.
#[test]
fn few_sparse_bytes_do_not_fill_the_memory() {
    let large = || densified([1, 33 << 20], [&[0, 1], &[0]], &[1]);
    let mut m = large();
    read(&m);
    let twice = m.tensor("again", TensorType::INT8, &[1, 33 << 20], None, &[1]);
    m.tensors[twice as usize].lists = Some([vec![0, 1], vec![0]]);
    m.outputs.push(twice);
    assert_eq!(problems(&m, &Options::default()), ["E0301 subgraph 0, model output 1 \"again\""]);
}

#[test]
fn what_nobody_needs_may_be_of_any_kind() {
    // SKIP_GRAM of y to a, RELU of a to b, and what they read is refused elsewhere.
    let dead = |m: &mut Model, code: BuiltinOperator| {
        let state = m.tensor("state", TensorType::FLOAT32, &[1], None, &[]);
        m.tensors.last_mut().unwrap().external_buffer = 3;
        let a = m.tensor("a", TensorType::FLOAT32, &[3, 4], None, &[]);
        let b = m.tensor("b", TensorType::STRING, &[3, 4], None, &[]);
        m.operator(code, &[2, state], a, model::Options::None);
        m.operator(BuiltinOperator::RELU, &[a], b, model::Options::None);
        [state, a, b]
    };
    expect_same(|m| _ = dead(m, BuiltinOperator::SKIP_GRAM));
    // The unknown result of what is dropped is read by an operator that is as dead but could be imported.
    expect_same(|m| {
        let [_, a, b] = dead(m, BuiltinOperator::SKIP_GRAM);
        m.tensors[b as usize].ty = TensorType::FLOAT32;
        m.operators[3].inputs = vec![a];
    });
    // Needed after all.
    expect(&["E0201 subgraph 0, operator 2 SKIP_GRAM"], |m| {
        let [_, a, _] = dead(m, BuiltinOperator::SKIP_GRAM);
        m.outputs.push(a);
    });
    // Needed by what may do more than compute its result.
    for (code, name) in [(BuiltinOperator::HASHTABLE_IMPORT, "HASHTABLE_IMPORT"), (BuiltinOperator(9999), "number 9999")] {
        expect(&[&format!("E0201 subgraph 0, operator 2 {name}")], |m| _ = dead(m, code));
    }
    expect(&["E0301 subgraph 0, operator 2 CUSTOM"], |m| _ = dead(m, BuiltinOperator::CUSTOM));
    // A tensor that is refused is so for a later operator that is needed.
    expect(&["E0301 subgraph 0, operator 4 RESHAPE, input 0 \"state\""], |m| {
        let [state, ..] = dead(m, BuiltinOperator::SKIP_GRAM);
        let y = m.tensor("one", TensorType::FLOAT32, &[1], None, &[]);
        let shape = m.tensor("shape", TensorType::INT32, &[1], None, &[1, 0, 0, 0]);
        m.operator(BuiltinOperator::RESHAPE, &[state, shape], y, model::Options::Reshape);
        m.outputs.push(y);
    });
    // Damage is damage.
    expect(&["E0104 subgraph 0, operator 2 SKIP_GRAM, input 0"], |m| {
        dead(m, BuiltinOperator::SKIP_GRAM);
        m.operators[2].inputs[0] = 99;
    });
}

#[test]
fn signatures_name_inputs_and_outputs() {
    let signature = |key: &str, subgraph| Signature {
        key: key.into(),
        subgraph,
        inputs: vec![("image".into(), 0), ("nonsense".into(), 77)],
        outputs: vec![("scores".into(), 4), ("".into(), 2), ("again".into(), 4)],
    };
    let read = |m: &Model| {
        let model = import::read(&m.bytes(), &Options::default()).unwrap();
        let first = &model.entries[0];
        (first.input_names.concat(), first.output_names.join(" "), model.left_out)
    };
    let mut m = two_reshapes();
    m.outputs = vec![2, 4, 4, 4];
    assert_eq!(read(&m), ("x".into(), "y z z z".into(), vec![]));
    m.signatures = vec![signature("serving_default", 0)];
    // As often as it has a name; what has none bears its tensor's.
    assert_eq!(read(&m), ("image".into(), "y scores again z".into(), vec![]));
    for key in ["image", "x"] {
        let g = import(&m.bytes(), &Options { input_shapes: vec![(key.into(), vec![6, 2])], ..Options::default() }).unwrap();
        assert_eq!(g.values[0].ty.shape, [6, 2]);
    }
    let said = import(&m.bytes(), &Options { input_shapes: vec![("z".into(), vec![6, 2])], ..Options::default() }).unwrap_err();
    assert_eq!(said[0].expected.as_deref(), Some("\"image\""));

    m.more_subgraphs = ["helper\n", ""].map(String::from).to_vec();
    m.signatures.push(signature("decode", 2));
    let what = "only the model's first subgraph is compiled (--signature chooses others, also several); left out: signature \"decode\" of subgraph 2, subgraph 1 \"helper\\n\"";
    assert_eq!(read(&m), ("image".into(), "y scores again z".into(), vec![what.into()]));
    m.more_subgraphs.clear();
    m.signatures[1].subgraph = 0;
    let why = "the model's inputs and outputs bear their tensors' names, because there is more than one signature: \
        signature \"serving_default\", signature \"decode\"";
    assert_eq!(read(&m), ("x".into(), "y z z z".into(), vec![why.into()]));
}

#[test]
fn foreign_files_are_guessed() {
    let zip = |name: &str| [b"PK\x03\x04\x14\0\0\0\0\0".as_slice(), &[0; 16], name.as_bytes(), &[7; 5000]].concat();
    let listed = |name: &str| [b"PK\x03\x04\x14\0".as_slice(), &[7; 5000], b"PK\x01\x02", name.as_bytes(), b"PK\x05\x06"].concat();
    let at = |offset: usize, magic: &[u8]| [&vec![1; offset], magic, &[2; 300]].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "an empty file"),
        (vec![0; 5000], "zeros"),
        (b"\x1c\0".to_vec(), "the beginning"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "Git LFS"),
        (b"\n<!DOCTYPE HTML><html>".to_vec(), "HTML"),
        (b"\xef\xbb\xbf<HTML>".to_vec(), "HTML"),
        (zip("hand_detector.tflite"), ".tflite files"),
        (listed("TF_LITE_PREFILL_DECODE"), "MediaPipe"),
        (listed("x/saved_model.pb"), "SavedModel"),
        (listed("model.weights.h5"), "Keras"),
        (zip("archive/data.pkl"), "PyTorch"),
        (zip("notes.txt"), "a zip archive"),
        (at(0, b"\x1f\x8b\x08"), "gzip"),
        (at(257, b"ustar"), "tar"),
        (at(0, b"\x89HDF\r\n\x1a\n"), "HDF5"),
        (at(4, b"TFL1"), "first version"),
        (at(4, b"TFL2"), "second version"),
        (at(4, b"ET12"), "ExecuTorch"),
        (b"\x08\x07\x12\xa0\x02\x0a\x10\x0a\x05image".to_vec(), "Core ML"),
        (b"\x08\x01\x12\xd0\x86\x03\x0a\x10serve".to_vec(), "a SavedModel"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:".to_vec(), "an ONNX"),
        (b"\x08\x09:\xd4\x01\x0a\x10".to_vec(), "an ONNX"),
        (b"\x0a\x3a\x0a\x05input\x12\x0bPlaceholder*\x0b\x0a\x05dtype\x12\x020\x01".to_vec(), "GraphDef"),
        (b"\x80\x02}q\0(X".to_vec(), "pickle"),
        (b"\x7fELF\x02\x01\x01\0".to_vec(), "ELF"),
        (b"const unsigned char model[] = {\n  0x1c, 0x00, 0x00, 0x00, 0x54, 0x46, 0x4c, 0x33,".to_vec(), "a C array with a .tflite"),
        (b"#include <stdint.h>\nalignas(16) const uint8_t data[] = {0x1".to_vec(), "C source"),
        (b"HAAAAFRGTDMUACAA".to_vec(), "base64"),
        (b"{\"modelTopology\": 1}".to_vec(), "JSON"),
        (b"some text that is no model".to_vec(), "\" tex\""),
    ];
    for (bytes, what) in cases {
        let d = &import(&bytes, &Options::default()).expect_err("a problem")[0];
        let found = d.found.as_deref().unwrap();
        assert!(d.code.0 == "E0101" && found.contains(what), "{found} is not {what}");
        assert!(d.way_out().is_some());
    }
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

/// One operator without options; input 0 is the model's, the others are constants.
fn without_options(code: BuiltinOperator, inputs: &[(TensorType, &[i32], &[u8])], output: (TensorType, &[i32])) -> Model {
    let quantization = |ty: TensorType| (ty != TensorType::FLOAT32 && ty != TensorType::INT32).then_some((0.1, 0));
    let mut m = Model::new();
    let tensors: Vec<i32> = inputs.iter().map(|(ty, shape, data)| m.tensor("t", *ty, shape, quantization(*ty), data)).collect();
    let y = m.tensor("y", output.0, output.1, quantization(output.0), &[]);
    m.operator(code, &tensors, y, model::Options::None);
    (m.inputs, m.outputs) = (vec![0], vec![y]);
    m
}

/// As LiteRT: where zeros are options, they are; where they are none, the model is refused.
#[test]
fn absent_options() {
    use TensorType as T;
    let i32s = |v: &[i32]| -> Vec<u8> { v.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let (begin, end, step) = (i32s(&[0, 1]), i32s(&[2, 3]), i32s(&[1, 1]));
    let slice = [(T::FLOAT32, &[2, 4][..], &[][..]), (T::INT32, &[2], &begin), (T::INT32, &[2], &end), (T::INT32, &[2], &step)];
    let g = read(&without_options(BuiltinOperator::STRIDED_SLICE, &slice, (T::FLOAT32, &[2, 2])));
    assert_eq!(g.ty(g.outputs[0]).shape, [2, 2]);

    let problems = |m: Model| problems(&m, &Options::default());
    let weights = [1; 8];
    let product = [(T::INT16, &[2, 4][..], &[][..]), (T::INT8, &[2, 4], &weights)];
    let said = problems(without_options(BuiltinOperator::FULLY_CONNECTED, &product, (T::INT16, &[2, 2])));
    assert_eq!(said, ["E0204 subgraph 0, operator 0 FULLY_CONNECTED"]);
    let product = [(T::INT8, &[2, 4][..], &[][..]), (T::INT8, &[2, 4], &weights)];
    read(&without_options(BuiltinOperator::FULLY_CONNECTED, &product, (T::INT8, &[2, 2])));
    let said = problems(without_options(BuiltinOperator::SOFTMAX, &[(T::INT8, &[4], &[])], (T::INT8, &[4])));
    assert_eq!(said, ["E0204 subgraph 0, operator 0 SOFTMAX"]);
    for code in [BuiltinOperator::MAX_POOL_2D, BuiltinOperator::AVERAGE_POOL_2D] {
        assert_eq!(problems(without_options(code, &[(T::FLOAT32, &[1, 4, 4, 1], &[])], (T::FLOAT32, &[1, 4, 4, 1]))).len(), 1);
    }
}

/// The shape of a RESHAPE must be a vector; the reference uses nothing else, and then the result is a scalar.
#[test]
fn shapes_that_are_no_vectors() {
    let shape = 8i32.to_le_bytes();
    let reshape = |x: &[i32], s: &[i32]| {
        without_options(
            BuiltinOperator::RESHAPE,
            &[(TensorType::FLOAT32, x, &[]), (TensorType::INT32, s, &shape)],
            (TensorType::FLOAT32, &[8]),
        )
    };
    assert_eq!(read(&reshape(&[2, 4], &[1])).values[1].ty.shape, [8]);
    for s in [&[1, 1][..], &[]] {
        let said = import(&reshape(&[2, 4], s).bytes(), &Options::default()).expect_err("a problem");
        assert_eq!((said.len(), said[0].code.0), (1, "E0203"));
        assert!(said[0].message.contains("is not a vector"), "{}", said[0]);
    }
    let none: [usize; 0] = [];
    assert_eq!(read(&reshape(&[1, 1], &[1, 1])).values[1].ty.shape, none);
}

/// The sums of three calls of one instance.
fn sums(m: &Model) -> Vec<[f32; 2]> {
    let mut graph = read(m);
    cranelite_graph::rewrite::all(&mut graph, |_, _| {});
    let program = lower(&graph, &Machine::example(16, ByteDot::S8S8, false, false), Goal::Speed).unwrap();
    cranelite_tile::verify::verify(&program).unwrap();
    let mut state = program.state().unwrap().initial;
    let call = |x: [f32; 2]| {
        let (input, mut output) = (x.map(f32::to_le_bytes).concat(), [0; 8]);
        interpret::run_with_state(&program, &[&input], &mut [&mut output], &mut state, |_, _| {}).unwrap();
        [0, 4].map(|i| f32::from_le_bytes(output[i..i + 4].try_into().unwrap()))
    };
    [[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]].map(call).to_vec()
}

#[test]
fn variables_keep_what_is_assigned() {
    assert_eq!(sums(&accumulator(Some([0.5, -1.0]))), [[1.5, 1.0], [11.5, 21.0], [111.5, 221.0]]);
    // Two handles name one variable; a tensor read before the assignment keeps the old numbers.
    let mut m = accumulator(Some([0.0; 2]));
    let w = m.tensor("w", TensorType::RESOURCE, &[], None, &[]);
    let z = m.tensor("z", TensorType::FLOAT32, &[2], None, &[]);
    m.operator(BuiltinOperator::VAR_HANDLE, &[], w, model::Options::VarHandle { name: "sum" });
    m.operator(BuiltinOperator::READ_VARIABLE, &[w], z, model::Options::None);
    m.outputs = vec![z];
    assert_eq!(sums(&m), [[1.0, 2.0], [11.0, 22.0], [111.0, 222.0]]);
    let old = m.tensors.iter().position(|t| t.name == "old").unwrap() as i32;
    m.outputs = vec![old];
    assert_eq!(sums(&m), [[0.0, 0.0], [1.0, 2.0], [11.0, 22.0]]);
}

#[test]
fn variables_that_mean_nothing_are_refused() {
    let all = |m: &Model| problems(m, &Options::default());
    assert_eq!(all(&accumulator(None)), ["E0108 subgraph 0, operator 1 READ_VARIABLE"]);
    let good = || accumulator(Some([0.0; 2]));
    let with = |change: fn(&mut Model)| {
        let mut m = good();
        change(&mut m);
        all(&m)
    };
    let missing = with(|m| m.operators[0].options = model::Options::CallOnce { subgraph: 7 });
    assert_eq!(missing[0], "E0104 subgraph 0, operator 0 CALL_ONCE");
    let itself = with(|m| m.operators[0].options = model::Options::CallOnce { subgraph: 0 });
    assert_eq!(itself[0], "E0301 subgraph 0, operator 0 CALL_ONCE");
    let cyclic = with(|m| m.called[0].operators.insert(0, m.operators[0].clone()));
    assert_eq!(cyclic[0], "E0301 subgraph 1, operator 0 CALL_ONCE");
    let late = with(|m| m.operators.rotate_left(1));
    assert_eq!(late, ["E0301 subgraph 0, operator 4 CALL_ONCE"]);
    let other_shape = with(|m| {
        let short = m.tensor("short", TensorType::FLOAT32, &[1], None, &[0; 4]);
        let handle = m.operators[4].inputs[0];
        m.operator(BuiltinOperator::ASSIGN_VARIABLE, &[handle, short], 0, model::Options::None);
        m.operators[5].outputs = vec![];
    });
    assert_eq!(other_shape, ["E0203 subgraph 0, operator 5 ASSIGN_VARIABLE, input 1 \"short\""]);
    let as_number = with(|m| m.operators[3].inputs[0] = 1);
    assert_eq!(as_number[0], "E0202 subgraph 0, operator 3 ADD");
    let as_result = with(|m| m.outputs = vec![1]);
    assert_eq!(as_result, ["E0202 subgraph 0, model output 0 \"v\""]);
}

/// h = x + h of two numbers, where the memory h is a variable tensor.
fn memory() -> Model {
    const FLOAT32: TensorType = TensorType::FLOAT32;
    let f32s = |v: &[f32]| -> Vec<u8> { v.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut m = Model::new();
    let x = m.tensor("x", FLOAT32, &[1, 2], None, &[]);
    let one = m.tensor("one", FLOAT32, &[2, 2], None, &f32s(&[1.0, 0.0, 0.0, 1.0]));
    let bias = m.tensor("bias", FLOAT32, &[2], None, &f32s(&[0.0, 0.0]));
    let h = m.tensor("h", FLOAT32, &[1, 2], None, &[]);
    m.tensors.last_mut().unwrap().is_variable = true;
    let y = m.tensor("y", FLOAT32, &[1, 2], None, &[]);
    m.operator(BuiltinOperator::RNN, &[x, one, one, bias, h], y, model::Options::Rnn);
    (m.inputs, m.outputs) = (vec![x], vec![y]);
    m
}

#[test]
fn variable_tensors_are_states() {
    assert_eq!(sums(&memory()), [[1.0, 2.0], [11.0, 22.0], [111.0, 222.0]]);
    // As the reference resets them: to the zero point of int8, and to zero.
    for (ty, initial) in [(TensorType::INT8, Some(&[7u8, 7][..])), (TensorType::UINT8, None), (TensorType::INT16, None)] {
        let mut m = Model::new();
        let zero_point = if ty == TensorType::INT16 { 0 } else { 7 };
        let x = m.tensor("x", ty, &[2], Some((0.5, zero_point)), &[]);
        m.tensors[0].is_variable = true;
        let y = m.tensor("y", TensorType::FLOAT32, &[2], None, &[]);
        m.operator(BuiltinOperator::DEQUANTIZE, &[x], y, model::Options::None);
        m.outputs = vec![y];
        let graph = read(&m);
        assert_eq!(graph.states.len(), 1);
        assert_eq!(graph.states[0].initial.as_deref(), initial);
    }
    let refused = |change: fn(&mut Model)| {
        let mut m = memory();
        change(&mut m);
        problems(&m, &Options::default())
    };
    assert_eq!(refused(|m| m.tensors[3].buffer = m.tensors[2].buffer), ["E0301 subgraph 0, operator 0 RNN, input 4 \"h\""]);
    assert_eq!(refused(|m| m.tensors[3].is_variable = false), ["E0108 subgraph 0, operator 0 RNN, input 4 \"h\""]);
    assert_eq!(refused(|m| m.operators[0].inputs[4] = 0), ["E0202 subgraph 0, operator 0 RNN, input 4 \"x\""]);
    assert_eq!(refused(|m| m.operators[0].outputs[0] = 3)[0], "E0108 subgraph 0, operator 0 RNN, output 0 \"h\"");
}

/// A RESHAPE whose shape operators compute from the input's: its last two dimensions, and what is left.
fn computed_shape() -> Model {
    use TensorType as T;
    let i32s = |v: &[i32]| -> Vec<u8> { v.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut m = Model::new();
    let x = m.tensor("x", T::FLOAT32, &[2, 3, 4], None, &[]);
    let shape = m.tensor("shape", T::INT32, &[3], None, &[]);
    m.operator(BuiltinOperator::SHAPE, &[x], shape, model::Options::Shape { out_type: T::INT32 });
    let [begin, end, step] = [1, 3, 1].map(|n| m.tensor("n", T::INT32, &[1], None, &i32s(&[n])));
    let last = m.tensor("last", T::INT32, &[2], None, &[]);
    m.operator(BuiltinOperator::STRIDED_SLICE, &[shape, begin, end, step], last, model::Options::None);
    let rest = m.tensor("rest", T::INT32, &[1], None, &i32s(&[-1]));
    let wanted = m.tensor("wanted", T::INT32, &[3], None, &[]);
    m.operator(BuiltinOperator::CONCATENATION, &[last, rest], wanted, model::Options::Concatenation { axis: 0 });
    let y = m.tensor("y", T::FLOAT32, &[3, 4, 2], None, &[]);
    m.operator(BuiltinOperator::RESHAPE, &[x, wanted], y, model::Options::None);
    (m.inputs, m.outputs) = (vec![x], vec![y]);
    m
}

#[test]
fn what_shapes_and_constants_compute_is_known() {
    let m = computed_shape();
    let of = |options: &Options| {
        let g = import(&m.bytes(), options).unwrap_or_else(|d| panic!("{d:?}"));
        // What was only needed for the shape is no part of the graph.
        assert_eq!(g.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["RESHAPE"]);
        g.ty(g.outputs[0]).shape.clone()
    };
    assert_eq!(of(&Options::default()), [3, 4, 2]);
    assert_eq!(of(&Options { input_shapes: vec![("x".into(), vec![6, 2, 5])], ..Options::default() }), [2, 5, 6]);

    // The shape itself may be an output, too.
    let mut m = computed_shape();
    m.outputs.push(7);
    let g = read(&m);
    assert_eq!(g.value(g.outputs[1]).data.as_deref(), Some(&[3, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255][..]));
    // One number that an input decides is the one that fits, which is checked; two are not known.
    let mut m = computed_shape();
    m.tensors[6].buffer = 0;
    m.inputs.push(6);
    let g = read(&m);
    assert_eq!((g.ty(g.outputs[0]).shape.as_slice(), g.nodes.last().unwrap().inputs.len()), (&[3, 4, 2][..], 2));
    m.operators[2].inputs = vec![6, 6, 6];
    assert_eq!(problems(&m, &Options::default()), ["E0207 subgraph 0, operator 3 RESHAPE, input 1 \"wanted\""]);
}

/// A few bytes that stand for many are not computed, and the message names the limits.
#[test]
fn computing_shapes_has_a_limit() {
    use TensorType as T;
    let mut m = Model::new();
    let x = m.tensor("x", T::FLOAT32, &[2, 3], None, &[]);
    let long = m.tensor("long", T::INT32, &[1], None, &(1i32 << 25).to_le_bytes());
    let three = m.tensor("three", T::INT32, &[], None, &3i32.to_le_bytes());
    let filled = m.tensor("filled", T::INT32, &[1 << 25], None, &[]);
    m.operator(BuiltinOperator::FILL, &[long, three], filled, model::Options::None);
    let [begin, end, step] = [0i32, 1, 1].map(|n| m.tensor("n", T::INT32, &[1], None, &n.to_le_bytes()));
    let first = m.tensor("first", T::INT32, &[1], None, &[]);
    m.operator(BuiltinOperator::STRIDED_SLICE, &[filled, begin, end, step], first, model::Options::None);
    let y = m.tensor("y", T::FLOAT32, &[3], None, &[]);
    m.operator(BuiltinOperator::RESHAPE, &[x, first], y, model::Options::None);
    (m.inputs, m.outputs) = (vec![x], vec![y]);
    let said = import(&m.bytes(), &Options::default()).expect_err("a problem");
    assert!(said[0].code.0 == "E0207" && said[0].to_string().contains("more than the compiler may spend"), "{}", said[0]);
    assert!(said[0].to_string().contains("64 MiB"), "{}", said[0]);

    // An operator that cannot be computed is no matter of limits.
    m.operators[0].inputs = vec![2, 2];
    assert!(!problems(&m, &Options::default()).is_empty());
}

/// RELU of an input of the model's type; the subgraph behind the main one.
fn relu_of(shape: &[i32]) -> Model {
    let mut m = Model::new();
    let x = m.tensor("x", TensorType::FLOAT32, shape, None, &[]);
    let y = m.tensor("y", TensorType::FLOAT32, shape, None, &[]);
    m.operator(BuiltinOperator::RELU, &[x], y, model::Options::None);
    (m.inputs, m.outputs) = (vec![x], vec![y]);
    m
}

/// IF of a condition and a value: RELU or RELU.
fn choice() -> Model {
    let mut m = Model::new();
    let c = m.tensor("c", TensorType::BOOL, &[], None, &[]);
    let x = m.tensor("x", TensorType::FLOAT32, &[4], None, &[]);
    let y = m.tensor("y", TensorType::FLOAT32, &[4], None, &[]);
    m.operator(BuiltinOperator::IF, &[c, x], y, model::Options::If { then: 1, otherwise: 2 });
    (m.inputs, m.outputs) = (vec![c, x], vec![y]);
    m.called = vec![relu_of(&[4]), relu_of(&[4])];
    m
}

#[test]
fn branches_that_mean_nothing_are_refused() {
    let with = |change: fn(&mut Model)| {
        let mut m = choice();
        change(&mut m);
        problems(&m, &Options::default())
    };
    read(&choice());
    assert_eq!(with(|m| m.operators[0].options = model::Options::If { then: 3, otherwise: 2 }), ["E0104 subgraph 0, operator 0 IF"]);
    assert_eq!(with(|m| m.operators[0].options = model::Options::If { then: 1, otherwise: -1 }), ["E0104 subgraph 0, operator 0 IF"]);
    // A subgraph that runs itself, and two that run each other.
    let itself = |m: &mut Model, numbers: [i32; 2]| {
        for (n, other) in [0, 1].into_iter().zip(numbers) {
            m.called[n].tensor("c", TensorType::BOOL, &[1], None, &[]);
            m.called[n].inputs = vec![2, 0];
            m.called[n].operators[0].code = BuiltinOperator::IF.0;
            m.called[n].operators[0].inputs = vec![2, 2, 0];
            m.called[n].operators[0].options = model::Options::If { then: other, otherwise: other };
        }
        m.operators[0].inputs = vec![0, 0, 1];
    };
    for numbers in [[1, 1], [2, 1], [0, 0]] {
        let mut m = choice();
        itself(&mut m, numbers);
        let all = problems(&m, &Options::default());
        assert!(all.len() == 1 && all[0].starts_with("E0301 subgraph"), "{all:?}");
    }
    assert_eq!(with(|m| m.tensors[0].shape = vec![2]), ["E0203 subgraph 0, operator 0 IF, input 0 \"c\""]);
    assert_eq!(with(|m| m.tensors[0].ty = TensorType::FLOAT32), ["E0202 subgraph 0, operator 0 IF"]);
    assert_eq!(with(|m| m.operators[0].inputs = vec![0]), ["E0205 subgraph 1"]);
    assert_eq!(with(|m| m.called[1].outputs = vec![1, 1]), ["E0205 subgraph 0, operator 0 IF"]);
    assert_eq!(with(|m| m.called[1].tensors[0].ty = TensorType::INT32)[0], "E0202 subgraph 2, subgraph input 0 \"x\"");
    // A problem in a branch bears its place there.
    assert_eq!(with(|m| m.called[1].operators[0].inputs = vec![9]), ["E0104 subgraph 2, operator 0 RELU, input 0"]);
    // What a constant condition does not choose may be anything.
    let constant = |m: &mut Model, byte: u8| {
        m.tensors[0] = m.tensors[0].clone();
        m.inputs = vec![1];
        let c = m.tensor("chosen", TensorType::BOOL, &[], None, &[byte]);
        m.operators[0].inputs = vec![c, 1];
        m.called[1].operators[0].inputs = vec![9];
    };
    let mut m = choice();
    constant(&mut m, 0);
    assert_eq!(problems(&m, &Options::default()).len(), 1);
    let mut m = choice();
    constant(&mut m, 1);
    let graph = read(&m);
    assert_eq!(graph.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["RELU"]);
    assert_eq!(graph.site(graph.nodes[0].operator), (1, 0));
}

/// Each of the subgraphs runs the next one twice: a short file of many operators.
#[test]
fn copies_of_subgraphs_have_a_limit() {
    let layers = 20;
    let mut m = choice();
    let twice = |next: i32| {
        let mut m = Model::new();
        let [x, y, z] = ["x", "y", "z"].map(|n| m.tensor(n, TensorType::FLOAT32, &[4], None, &[]));
        let call = |m: &mut Model, x, y| m.operator(BuiltinOperator::CALL, &[x], y, model::Options::Call { subgraph: next });
        call(&mut m, x, y);
        call(&mut m, y, z);
        (m.inputs, m.outputs) = (vec![x], vec![z]);
        m
    };
    m.called = (0..layers).map(|i| twice(i + 2)).collect();
    m.called.push(relu_of(&[4]));
    m.operators[0].options = model::Options::If { then: 1, otherwise: 1 };
    let start = std::time::Instant::now();
    let all = problems(&m, &Options::default());
    assert!(all.iter().all(|d| d.starts_with("E0301 subgraph")) && !all.is_empty(), "{all:?}");
    assert!(start.elapsed().as_secs() < 20);
    // Two layers are four RELUs.
    m.called[1] = twice(layers + 1);
    let graph = read(&m);
    let bodies = graph.nodes[0].op.bodies();
    assert_eq!(bodies.iter().map(|b| b.nodes.len()).collect::<Vec<_>>(), [4, 4]);
    m.called[0] = twice(1);
    assert!(problems(&m, &Options::default())[0].starts_with("E0301 subgraph 1"));
}

#[test]
fn loops_that_mean_nothing_are_refused() {
    let good = || {
        let mut m = Model::new();
        let x = m.tensor("x", TensorType::FLOAT32, &[1], None, &[]);
        let y = m.tensor("y", TensorType::FLOAT32, &[1], None, &[]);
        m.operator(BuiltinOperator::WHILE, &[x], y, model::Options::While { test: 1, body: 2 });
        (m.inputs, m.outputs) = (vec![x], vec![y]);
        let mut test = Model::new();
        let x = test.tensor("x", TensorType::FLOAT32, &[1], None, &[]);
        let c = test.tensor("c", TensorType::BOOL, &[1], None, &[]);
        test.operator(BuiltinOperator::GREATER, &[x, x], c, model::Options::None);
        (test.inputs, test.outputs) = (vec![x], vec![c]);
        m.called = vec![test, relu_of(&[1])];
        m
    };
    let with = |change: fn(&mut Model)| {
        let mut m = good();
        change(&mut m);
        problems(&m, &Options::default())
    };
    read(&good());
    assert_eq!(with(|m| m.called[0].outputs = vec![0]), ["E0203 subgraph 0, operator 0 WHILE"]);
    assert_eq!(with(|m| m.called[0].outputs = vec![]), ["E0203 subgraph 0, operator 0 WHILE"]);
    assert_eq!(with(|m| m.called[1].outputs = vec![]), ["E0205 subgraph 0, operator 0 WHILE"]);
    // The body makes its operand longer.
    let longer = with(|m| {
        m.called[1].operators[0].code = BuiltinOperator::CONCATENATION.0;
        m.called[1].operators[0].inputs = vec![0, 0];
        m.called[1].operators[0].options = model::Options::Concatenation { axis: 0 };
    });
    assert_eq!(longer, ["E0207 subgraph 0, operator 0 WHILE"]);
}

/// As the reference copies results: one after the other to where the operands are.
#[test]
fn operands_of_loops_change_in_turn() {
    let mut m = Model::new();
    let tensors = ["x", "y", "z", "a", "b", "c"].map(|n| m.tensor(n, TensorType::FLOAT32, &[1], None, &[]));
    m.operator(BuiltinOperator::WHILE, &tensors[..3], 0, model::Options::While { test: 1, body: 2 });
    m.operators[0].outputs = tensors[3..].to_vec();
    (m.inputs, m.outputs) = (tensors[..3].to_vec(), tensors[3..].to_vec());
    let mut test = Model::new();
    let inner = ["x", "y", "z"].map(|n| test.tensor(n, TensorType::FLOAT32, &[1], None, &[]));
    let c = test.tensor("c", TensorType::BOOL, &[1], None, &[]);
    test.operator(BuiltinOperator::GREATER, &[inner[0], inner[0]], c, model::Options::None);
    (test.inputs, test.outputs) = (inner.to_vec(), vec![c]);
    let mut body = Model::new();
    let inner = ["x", "y", "z"].map(|n| body.tensor(n, TensorType::FLOAT32, &[1], None, &[]));
    (body.inputs, body.outputs) = (inner.to_vec(), inner.to_vec());
    m.called = vec![test, body];
    for (outputs, expected) in
        [([0, 1, 2], [0, 1, 2]), ([1, 0, 2], [1, 1, 2]), ([1, 2, 0], [1, 2, 1]), ([2, 0, 1], [2, 2, 2]), ([0, 0, 1], [0, 0, 0])]
    {
        m.called[1].outputs = outputs.to_vec();
        let graph = read(&m);
        let body = &graph.nodes[0].op.bodies()[1];
        assert_eq!(body.outputs.iter().map(|v| v.0).collect::<Vec<_>>(), expected);
    }
    // The condition would see something else.
    m.called[0].operators[0].inputs[1] = 1;
    m.called[1].outputs = vec![1, 0, 2];
    assert_eq!(problems(&m, &Options::default()), ["E0301 subgraph 0, operator 0 WHILE, input 1 \"y\""]);
}

#[test]
fn custom_operators() {
    let read = |bytes: &[u8], custom: &[(&str, &str)]| {
        let custom = custom.iter().map(|(name, symbol)| (name.to_string(), symbol.to_string())).collect();
        cranelite_graph::import::read(bytes, &Options { custom, ..Options::default() })
    };
    let problem = |m: &Model, custom: &[(&str, &str)]| {
        let problems = read(&m.bytes(), custom).err().unwrap_or_default();
        problems.iter().map(|d| format!("{} {}: {d} {}", d.code.0, d.place, d.help.as_deref().unwrap_or_default())).collect::<String>()
    };
    let m = model::detection();
    let found = read(&m.bytes(), &[]).expect("a known operator");
    assert!(matches!(&found.entries[0].graph.nodes[0].op, Op::TfliteDetectionPostprocess(a)
        if a.max_detections == 2 && a.use_regular_nms && a.nms_iou_threshold == 0.6 && a.num_classes == 2 && a.y_scale == 10.0));

    // The user's function comes first, also where the operator is known; names that no operator has are told.
    let found = read(&m.bytes(), &[("TFLite_Detection_PostProcess", "mine"), ("other", "mine")]).expect("a function");
    assert!(matches!(&found.entries[0].graph.nodes[0].op, Op::Custom(a) if a.symbol == "mine" && a.options == model::DETECTION_OPTIONS));
    let graph = &found.entries[0].graph;
    assert_eq!(graph.ty(graph.outputs[0]).shape, [1, 4, 4]);
    assert_eq!(found.left_out, ["--custom names the custom operator \"other\", which the model has not"]);

    let mut unknown = m.clone();
    unknown.operators[0].custom_code = Some("Mine".into());
    let text = problem(&unknown, &[]);
    assert!(text.starts_with("E0301 subgraph 0, operator 0 CUSTOM \"Mine\"") && text.contains("--custom Mine=symbol"), "{text}");
    assert_eq!(problem(&unknown, &[("Mine", "f")]), "");
    unknown.tensors[3].shape_signature = Some(vec![1, -1, 4]);
    assert!(problem(&unknown, &[("Mine", "f")]).starts_with("E0105"), "{}", problem(&unknown, &[("Mine", "f")]));
    unknown.operators[0].custom_code = None;
    assert!(problem(&unknown, &[]).starts_with("E0301"));

    // Options that are none.
    for (bytes, code) in
        [(&b""[..], "E0102"), (b"no flexbuffer", "E0102"), (&model::DETECTION_OPTIONS[1..], "E0102"), (&[0, 36, 1], "E0102")]
    {
        let mut m = m.clone();
        m.operators[0].options = model::Options::Custom(bytes);
        assert!(problem(&m, &[]).starts_with(code), "{}", problem(&m, &[]));
    }
    let refused = |change: fn(&mut Model), what: &str| {
        let mut m = m.clone();
        change(&mut m);
        assert!(problem(&m, &[]).contains(what), "{what}: {}", problem(&m, &[]));
    };
    refused(|m| m.tensors[0].shape = vec![2, 3, 4], "the shape of the boxes does not fit");
    refused(|m| m.tensors[0].shape = vec![1, 3, 3], "the shape of the boxes does not fit");
    refused(|m| m.tensors[1].shape = vec![1, 3, 4], "the shape of the scores does not fit");
    refused(|m| m.tensors[2].shape = vec![4, 3], "the shape of the anchors does not fit");
    refused(|m| m.tensors[1].ty = TensorType::INT8, "input 1 is not supported");
    refused(|m| m.operators[0].version = 2, "version of the operator is not known");
    refused(|m| _ = m.operators[0].inputs.pop(), "wrong number of inputs");
}

/// Operators that keep something for themselves get states of zeros behind their inputs.
#[test]
fn signal_operators() {
    let framer = |numbers: &[(&str, i32)]| {
        model::custom(
            "SignalFramer",
            model::named_options(numbers),
            &[(TensorType::INT16, &[1, 4])],
            &[(TensorType::INT16, &[1, 2, 5]), (TensorType::BOOL, &[])],
        )
    };
    let whole = [("frame_size", 5), ("frame_step", 2), ("prefill", 0)];
    let graph = read(&framer(&whole));
    assert_eq!(graph.nodes[0].inputs.len(), 3);
    let states: Vec<_> = graph.states.iter().map(|s| (graph.ty(s.value).shape.clone(), s.initial.clone())).collect();
    assert_eq!(states, [(vec![1, 4], None), (vec![], None)]);
    assert_eq!(graph.ty(graph.outputs[0]).shape, [1, 2, 5]);
    cranelite_graph::verify::verify(&graph).unwrap();
    let refused = |m: &Model, code: &str| {
        let problems = problems(m, &Options::default());
        assert!(problems.iter().any(|p| p.starts_with(code)), "{code}: {problems:?}");
    };
    refused(&framer(&whole[1..]), Code::ATTRIBUTE.0);
    refused(&framer(&[("frame_size", 5), ("frame_step", -2), ("prefill", 0)]), Code::ATTRIBUTE.0);
    // States are those of the main graph alone.
    let mut outer = Model::new();
    let [c, x] = [(TensorType::BOOL, &[][..]), (TensorType::INT16, &[1, 4])].map(|(ty, shape)| outer.tensor("x", ty, shape, None, &[]));
    let y = [(TensorType::INT16, &[1, 2, 5][..]), (TensorType::BOOL, &[])].map(|(ty, shape)| outer.tensor("y", ty, shape, None, &[]));
    outer.operator(BuiltinOperator::IF, &[c, x], y[0], model::Options::If { then: 1, otherwise: 2 });
    outer.operators[0].outputs = y.to_vec();
    (outer.inputs, outer.outputs) = (vec![c, x], y.to_vec());
    outer.called = vec![framer(&whole); 2];
    refused(&outer, Code::FEATURE.0);
    // The type that the options name.
    let transform = |ty: i32| {
        let options = model::named_options(&[("T", ty), ("fft_length", 8)]);
        model::custom("SignalRfft", options, &[(TensorType::INT16, &[8])], &[(TensorType::INT16, &[10])])
    };
    read(&transform(TensorType::INT16.0.into()));
    refused(&transform(TensorType::INT32.0.into()), Code::TYPES.0);
    // Where the runs of a filter bank are is stored in the model.
    let bank = |tables: [&[i16]; 3]| {
        let short = |n: i32| [n];
        let mut m = model::custom(
            "SignalFilterBank",
            model::named_options(&[("num_channels", 1)]),
            &[(TensorType::UINT32, &short(6)), (TensorType::INT16, &short(4)), (TensorType::INT16, &short(4))],
            &[(TensorType::UINT64, &short(1))],
        );
        for table in tables {
            let bytes: Vec<u8> = table.iter().flat_map(|v| v.to_le_bytes()).collect();
            let t = m.tensor("runs", TensorType::INT16, &[table.len() as i32], None, &bytes);
            m.operators[0].inputs.push(t);
        }
        m
    };
    read(&bank([&[0, 2], &[0, 1], &[1, 3]]));
    refused(&bank([&[0, 4], &[0, 1], &[1, 3]]), Code::OPERAND.0);
    refused(&bank([&[0, 2], &[0, 2], &[1, 3]]), Code::OPERAND.0);
    refused(&bank([&[0, 2], &[0, 1], &[1, -3]]), Code::ATTRIBUTE.0);
    refused(&bank([&[0], &[0, 1], &[1, 3]]), Code::OPERAND.0);
    let mut unknown = bank([&[0, 2], &[0, 1], &[1, 3]]);
    let input = unknown.tensor("runs", TensorType::INT16, &[2], None, &[]);
    unknown.inputs.push(input);
    unknown.operators[0].inputs[3] = input;
    refused(&unknown, Code::CONSTANT.0);
}

/// MediaPipe's operators have a C structure as options.
#[test]
fn structures_of_options() {
    let structure = |numbers: &[i32]| -> &'static [u8] { numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().leak() };
    let f32s = TensorType::FLOAT32;
    let convolution = |numbers: &[i32], rows: i32| {
        let inputs: [(TensorType, &[i32]); 3] = [(f32s, &[1, 3, 4, 2]), (f32s, &[5, 3, 4, 2]), (f32s, &[5])];
        model::custom("Convolution2DTransposeBias", structure(numbers), &inputs, &[(f32s, &[1, rows, 1, 5])])
    };
    // (padding, stride of columns, stride of rows): result, rows and columns that are cut off before it.
    let known: [([i32; 3], [usize; 4], [usize; 2]); 3] =
        [([2, 3, 2], [1, 7, 13, 5], [0, 0]), ([1, 3, 2], [1, 5, 10, 5], [1, 1]), ([0, 1, 1], [1, 5, 7, 5], [0, 0])];
    for (numbers, shape, before) in known {
        let graph = read(&convolution(&[&numbers[..], &[0, 0]].concat(), 1));
        assert_eq!(graph.ty(graph.outputs[0]).shape, shape, "{numbers:?}");
        assert!(matches!(&graph.nodes[0].op, Op::Convolution2dTransposeBias(a) if a.0.before == before), "{:?}", graph.nodes[0].op);
    }
    let refused = |m: &Model, code: &str| {
        let problems = problems(m, &Options::default());
        assert!(problems.iter().any(|p| p.starts_with(code)), "{code}: {problems:?}");
    };
    refused(&convolution(&[1, 2], 1), Code::BROKEN.0);
    refused(&convolution(&[1, 0, 1], 1), Code::ATTRIBUTE.0);
    let pooling = |numbers: &[i32]| {
        model::custom(
            "MaxPoolingWithArgmax2D",
            structure(numbers),
            &[(f32s, &[1, 4, 5, 2])],
            &[(f32s, &[1, 2, 2, 2]), (f32s, &[1, 2, 2, 2])],
        )
    };
    let graph = read(&pooling(&[1, 3, 2, 2, 3, 1, 0, 0, 0, 0]));
    assert_eq!(graph.ty(graph.outputs[1]).shape, [1, 2, 2, 2]);
    refused(&pooling(&[1, 3, 2, 2, 3]), Code::BROKEN.0);
    refused(&pooling(&[0, 3, 2, 2, 3, 1]), Code::ATTRIBUTE.0);
    refused(&pooling(&[3, 3, 2, 2, 3, 1]), Code::ATTRIBUTE.0);
    refused(&pooling(&[1, 3, 2, 0, 3, 1]), Code::ATTRIBUTE.0);
    refused(&pooling(&[1, 3, 2, 2, 3, 9]), Code::ATTRIBUTE.0);
    refused(&pooling(&[1, 3, 2, 2, 3, 1 << 20]), Code::ATTRIBUTE.0);
    let unpooling = |numbers: &[i32], places: TensorType, shape: &[i32]| {
        model::custom("MaxUnpooling2D", structure(numbers), &[(f32s, &[1, 2, 3, 2]), (places, shape)], &[(f32s, &[1, 1, 1, 2])])
    };
    for (numbers, places, rows, columns) in
        [([1, 2, 2, 3, 2], f32s, 4, 9), ([1, 2, 2, 3, 2], TensorType::INT32, 4, 6), ([2, 2, 2, 3, 2], TensorType::INT32, 4, 7)]
    {
        let graph = read(&unpooling(&numbers, places, &[1, 2, 3, 2]));
        assert_eq!(graph.ty(graph.outputs[0]).shape, [1, rows, columns, 2], "{numbers:?}");
    }
    refused(&unpooling(&[1, 2, 2, 3, 2], f32s, &[1, 2, 3, 1]), Code::OPERAND.0);
    refused(&unpooling(&[0, 2, 2, 3, 2], f32s, &[1, 2, 3, 2]), Code::ATTRIBUTE.0);
    refused(&unpooling(&[1, 2, 2, 3, 0], f32s, &[1, 2, 3, 2]), Code::ATTRIBUTE.0);
    refused(&unpooling(&[1, 2, 2, 1 << 15, 1 << 15], f32s, &[1, 2, 3, 2]), Code::SHAPE.0);
}
