//! Constants that TensorFlow Lite Micro has compressed: what the import makes of them, and what it says of bad ones.

mod model;

use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::graph::Graph;
use cranelite_graph::import::{Options, import};
use cranelite_schema::{BuiltinOperator, TensorType};
use model::{Buffer, Model, ancillary, compressed, listed};

fn read(m: &Model) -> Graph {
    import(&m.bytes(), &Options::default()).unwrap_or_else(|p| panic!("{p:#?}"))
}

/// Code and text of a problem, without the way out.
fn text(d: &Diagnostic) -> String {
    let part = |name: &str, of: &Option<String>| of.as_ref().map_or(String::new(), |text| format!("; {name} {text}"));
    format!("{}: {}{}{}", d.code.0, d.message, part("expected", &d.expected), part("found", &d.found))
}

/// Place and text of every problem.
fn problems(m: &Model) -> Vec<String> {
    let problems = import(&m.bytes(), &Options::default()).expect_err("a problem");
    problems.iter().map(|d| format!("{}, {}", d.place, text(d))).collect()
}

/// The model's outputs but for the last, which are constants.
fn constants(g: &Graph) -> Vec<Vec<u8>> {
    let all = g.outputs.iter().map(|v| g.value(*v).data.as_deref().map(<[u8]>::to_vec));
    all.flatten().collect()
}

/// The buffer of a tensor.
fn data(m: &mut Model, tensor: usize) -> &mut Vec<u8> {
    let buffer = m.tensors[tensor].buffer as usize;
    &mut m.buffers[buffer].data
}

/// The same with its shape, for a vector of bytes.
fn set(m: &mut Model, tensor: usize, bytes: Vec<u8>) {
    m.tensors[tensor].shape = vec![bytes.len() as i32];
    *data(m, tensor) = bytes;
}

/// The model of all encodings after `change` has these problems and no others.
#[track_caller]
fn expect(wanted: &[&str], change: impl FnOnce(&mut Model)) {
    let mut m = compressed();
    change(&mut m);
    assert_eq!(problems(&m), wanted);
}

#[test]
fn what_is_encoded_is_a_constant() {
    let all = vec![1, 2, 3, 4, 5, 6, 7, 8];
    let half = |keep: fn(u8) -> bool| all.iter().map(|n| if keep(*n) { *n } else { 0 }).collect::<Vec<u8>>();
    let mut g = read(&compressed());
    cranelite_graph::rewrite::all(&mut g, |_, _| {});
    let sparse = half(|n| [1, 3, 6, 8].contains(&n));
    assert_eq!(constants(&g), [all.clone(), all.clone(), all.clone(), half(|n| n % 2 == 1), sparse]);
    assert_eq!(g.nodes.len(), 1, "nothing is left but the operator of x");
}

/// A stream or a table that lacks its last bytes is told with its place, whatever these are.
#[test]
fn what_ends_early_is_told() {
    for (pair, of) in [(2, "looked up"), (5, "coded"), (8, "pruned")] {
        for (tensor, part) in [(pair, "stream"), (pair + 1, "ancillary")] {
            let whole = data(&mut compressed(), tensor).clone();
            // Its last three entries are not used.
            let used = if tensor == 6 { whole.len() - 6 } else { whole.len() };
            for length in 1..used {
                let mut m = compressed();
                set(&mut m, tensor, whole[..length].to_vec());
                let told = problems(&m);
                let place = format!("subgraph 0, operator 0 TFLM_DECODE, input {} \"{of} {part}\"", tensor - 2 - (pair - 2) / 3);
                assert!(told.len() == 1 && told[0].starts_with(&place), "{length} bytes: {told:?} instead of {place}");
            }
        }
    }
    for length in 1..3 {
        let mut m = compressed();
        data(&mut m, 1).truncate(length);
        let ends = format!("subgraph 0, tensor 1 \"palette\", E0107: the encoded constant ends early; expected 3 bytes; found {length}");
        assert_eq!(problems(&m), [ends]);
    }
    // Any longer buffer has the same bytes at its beginning.
    let mut m = compressed();
    for t in [2, 3, 5, 6, 8, 9] {
        let longer = [&data(&mut m, t)[..], &[0xff, 0x55]].concat();
        set(&mut m, t, longer);
    }
    assert_eq!(constants(&read(&m)), constants(&read(&compressed())));
}

#[test]
fn bad_ancillary_data() {
    const OP: &str = "subgraph 0, operator 0 TFLM_DECODE";
    let types = "a palette (0), a Huffman code (1) or what was pruned (2)";
    let at = |tensor: usize, place: usize, byte: u8| move |m: &mut Model| data(m, tensor)[place] = byte;
    let of = |input: usize, name: &str, text: &str| format!("{OP}, input {input} \"{name} ancillary\", {text}");
    let version = |what: &str| format!("E0301: the version of {what} is not known; expected 1; found 2");
    type Change = Box<dyn FnOnce(&mut Model)>;
    let cases: Vec<(String, Change)> = vec![
        (of(1, "looked up", &version("the ancillary data")), Box::new(at(3, 1, 2))),
        (of(1, "looked up", &version("a palette")), Box::new(at(3, 4, 2))),
        (of(3, "coded", &version("a Huffman code")), Box::new(at(6, 4, 2))),
        (of(5, "pruned", &version("what was pruned")), Box::new(at(9, 4, 2))),
        (of(5, "pruned", &format!("E0301: the decode type is not known; expected {types}; found 3")), Box::new(at(9, 0, 3))),
        (
            of(
                5,
                "pruned",
                &format!(
                    "E0301: constants that an application decodes by itself are not supported; expected {types}; found decode type 200"
                ),
            ),
            Box::new(at(9, 0, 200)),
        ),
        (
            of(1, "looked up", "E0107: the values of a palette are not all there; expected 2 tables of 5 values of 1 bytes; found 8 bytes"),
            Box::new(at(3, 6, 5)),
        ),
        (
            format!(
                "{OP}, input 0 \"looked up stream\", E0107: an index lies behind the palette; expected less than 3; found 3 of element 3"
            ),
            Box::new(at(3, 6, 3)),
        ),
        (
            of(1, "looked up", "E0107: indices of a palette have a width that is not possible; expected 1 to 7 bits; found 0"),
            Box::new(at(3, 5, 0)),
        ),
        // The second table behind the entry for 11 is too far away.
        (
            of(3, "coded", "E0107: a code leads behind the tables of the Huffman code; expected 12 entries; found entry 19"),
            Box::new(at(6, 22, 16)),
        ),
    ];
    for (wanted, change) in cases {
        expect(&[&wanted], change);
    }
}

/// Which channels have tables: what the quantisation says, unless the header contradicts it.
#[test]
fn channels_of_a_palette() {
    let read = |scales: usize, axis: i32, parameters: u8, values: &[u8], stream: [u8; 2]| {
        let mut m = compressed();
        let t = &mut m.tensors[4];
        (t.scales, t.zero_points, t.quantized_dimension) = (vec![1.0; scales], vec![0; scales], axis);
        set(&mut m, 2, stream.to_vec());
        set(&mut m, 3, ancillary(0, [1, parameters, 2], values));
        import(&m.bytes(), &Options::default()).map(|g| constants(&g).remove(1)).map_err(|p| text(&p[0]))
    };
    let four = [1, 2, 3, 4, 5, 6, 7, 8];
    let bits = [0b0101_0011, 0];
    // One table, whatever the tool that wrote it knew of axes.
    for parameters in [1, 0xf1] {
        assert_eq!(read(1, 0, parameters, &[7, 9], bits), Ok(vec![7, 9, 7, 9, 7, 7, 9, 9]));
    }
    // One for each row.
    assert_eq!(read(2, 0, 1, &[1, 2, 3, 4], bits), Ok(vec![1, 2, 1, 2, 3, 3, 4, 4]));
    // One for each column; an old tool's header has 0 there.
    for parameters in [1, 0x11] {
        assert_eq!(read(4, 1, parameters, &four, bits), Ok(vec![1, 4, 5, 8, 1, 3, 6, 8]));
    }
    let contradicts = |found: Result<Vec<u8>, String>, text: &str| {
        assert_eq!(found, Err(format!("E0301: a palette's header and the quantisation of the result contradict each other; {text}")));
    };
    contradicts(read(2, 0, 0x11, &[1, 2, 3, 4], bits), "expected 2 tables, along dimension 0; found tables along dimension 1");
    contradicts(read(2, 0, 0xf1, &[1, 2, 3, 4], bits), "expected 2 tables, along dimension 0; found one table");
    contradicts(read(1, 0, 0x11, &four, bits), "expected one table; found tables along dimension 1");
    // As many values as one table for each row has: a tool that knows axes means these.
    contradicts(read(1, 0, 1, &[1, 2, 3, 4], bits), "expected one table; found tables along dimension 0");
    assert_eq!(
        read(1, 1, 1, &[7, 9], bits),
        Err("E0301: the quantised dimension of an encoded constant is not supported; expected 0; found 1".into())
    );
}

#[test]
fn bad_operands() {
    const OP: &str = "subgraph 0, operator 0 TFLM_DECODE";
    let count = "E0205: wrong number of inputs; expected two for each output, of which there is one at least";
    expect(&[&format!("{OP}, {count}; found 5 inputs and 3 outputs")], |m| _ = m.operators[0].inputs.pop());
    expect(
        &[
            &format!("{OP}, {count}; found 6 inputs and 2 outputs"),
            "subgraph 0, model output 3 \"pruned\", E0108: nothing writes a model output",
        ],
        |m| {
            m.operators[0].outputs.pop();
        },
    );
    expect(&[&format!("{OP}, E0205: input 4 is absent but not optional")], |m| m.operators[0].inputs[4] = -1);
    expect(&[&format!("{OP}, input 2, E0104: tensor 99 does not exist; found 14 tensors")], |m| m.operators[0].inputs[2] = 99);
    let unwritten = "subgraph 0, model output 2 \"coded\", E0108: nothing writes a model output";
    expect(&[&format!("{OP}, output 1 \"looked up\", E0108: the tensor is written twice"), unwritten], |m| m.operators[0].outputs[1] = 4);
    expect(&[&format!("{OP}, output 1 \"x\", E0108: a model input is written"), unwritten], |m| m.operators[0].outputs[1] = 0);
    expect(&[&format!("{OP}, input 0 \"x\", E0207: what is decoded must be stored in the model")], |m| m.operators[0].inputs[0] = 0);
    let types = "E0202: the element type of an encoded constant is not supported; expected f32, i8, i16, i32, i64, bool; found u8";
    expect(&[&format!("{OP}, output 2 \"pruned\", {types}")], |m| m.tensors[10].ty = TensorType::UINT8);
    let types = "E0202: the element type of a constant with a Huffman code is not supported; expected i8, or a table of 32 bits; found i32";
    expect(&[&format!("{OP}, output 1 \"coded\", {types}")], |m| m.tensors[7].ty = TensorType::INT32);
    expect(&[&format!("{OP}, output 1 \"coded\", E0105: the shape of a constant is open")], |m| m.tensors[7].shape = vec![-1, 4]);
    // Its own scales are of no meaning to what is encoded.
    let mut m = compressed();
    (m.tensors[2].scales, m.tensors[2].zero_points) = (vec![1.0; 9], vec![0; 9]);
    assert_eq!(constants(&read(&m)), constants(&read(&compressed())));
    // They are if anything else reads it.
    m.outputs.push(2);
    assert_eq!(
        problems(&m),
        ["subgraph 0, tensor 2 \"looked up stream\", E0106: number of scales; expected 1, or 2 for dimension 0; found 9"]
    );
}

/// What nobody needs may be of any kind.
#[test]
fn what_is_not_needed_is_not_told() {
    let mut m = compressed();
    m.outputs = vec![13];
    data(&mut m, 3)[0] = 99;
    let g = read(&m);
    assert!(g.nodes.iter().any(|n| n.op.name() == "RELU"));
}

/// A function of the user's has that name.
#[test]
fn a_function_may_decode() {
    let options = Options { custom: vec![("TFLM_DECODE".into(), "decode".into())], ..Options::default() };
    let g = import(&compressed().bytes(), &options).unwrap_or_else(|p| panic!("{p:#?}"));
    assert!(g.nodes.iter().any(|n| n.op.name() == "CUSTOM"));
}

#[test]
fn bad_lists_of_palettes() {
    const LIST: &str = "COMPRESSION_METADATA";
    // The list is the last buffer, the values the one before.
    let list = |version: u32, tensors: &'static [(i32, u32, u8)]| {
        move |m: &mut Model| {
            let values = m.buffers.len() as u32 - 2;
            let moved: Vec<_> = tensors.iter().map(|&(t, buffer, bits)| (t, if buffer == 7 { values } else { buffer }, bits)).collect();
            m.buffers.last_mut().unwrap().data = listed(version, &moved);
        }
    };
    let first = format!("{LIST}, subgraphs[0].lut_tensors[0]");
    expect(&[&format!("{LIST}, E0103: the version of the compression is not known; expected 1 at most; found 2")], list(2, &[(1, 7, 3)]));
    expect(&[&format!("{first}, E0104: tensor 14 does not exist; found 14 tensors")], list(1, &[(14, 7, 3)]));
    expect(&[&format!("{first}, E0104: tensor -1 does not exist; found 14 tensors")], list(1, &[(-1, 7, 3)]));
    expect(&[&format!("{first}, E0104: buffer 99 does not exist")], list(1, &[(1, 99, 3)]));
    expect(&[&format!("{first}, E0107: the palette has no values; found buffer 0")], list(1, &[(1, 0, 3)]));
    expect(&[&format!("{LIST}, subgraphs[0].lut_tensors[1], E0107: tensor 1 is compressed twice")], list(1, &[(1, 7, 3), (1, 7, 3)]));
    expect(&[&format!("{LIST}, subgraphs[0], E0102: the list of compressed tensors is empty")], list(1, &[]));
    let tensor = "subgraph 0, tensor 1 \"palette\"";
    let width = "indices of a palette have a width that is not possible";
    expect(&[&format!("{tensor}, E0107: {width}; expected 1 to 7 bits; found 8")], list(1, &[(1, 7, 8)]));
    expect(&[&format!("{tensor}, E0107: {width}; expected 1 to 7 bits; found 0")], list(1, &[(1, 7, 0)]));
    let dense = "E0107: a tensor that is compressed is no dense constant; expected a buffer with the indices of a palette";
    expect(&[&format!("subgraph 0, tensor 0 \"x\", {dense}")], list(1, &[(1, 7, 3), (0, 7, 3)]));
    expect(&[&format!("subgraph 0, tensor 11 \"sparse\", {dense}")], list(1, &[(1, 7, 3), (11, 7, 3)]));
    expect(&[&format!("{tensor}, E0107: an index lies behind the palette; expected less than 7; found 7 of element 7")], |m| {
        let values = m.buffers.len() - 2;
        m.buffers[values].data.truncate(7);
    });
    let shape = "E0202: the element type of an encoded constant is not supported; expected f32, i8, i16, i32, i64, bool; found u8";
    expect(&[&format!("{tensor}, {shape}")], |m| m.tensors[1].ty = TensorType::UINT8);
    expect(&[&format!("{LIST}, E0102: the list of compressed tensors is empty")], |m| m.metadata[0].1 = 0);
    expect(&[&format!("{LIST}, E0104: buffer 99 does not exist")], |m| m.metadata[0].1 = 99);
    // Two rows of scales, and four columns.
    for (scales, axis, wanted) in [(2, 0, vec![1, 2, 3, 4, 5, 6, 7, 8]), (4, 1, vec![1, 4, 5, 8, 1, 3, 6, 8])] {
        let mut m = compressed();
        let t = &mut m.tensors[1];
        (t.scales, t.zero_points, t.quantized_dimension) = (vec![1.0; scales], vec![0; scales], axis);
        let values = m.buffers.len() as u32 - 2;
        let bits = if scales == 2 { 2 } else { 1 };
        *data(&mut m, 1) = if scales == 2 { vec![0x1b, 0x1b] } else { vec![0b0101_0011] };
        m.buffers.last_mut().unwrap().data = listed(1, &[(1, values, bits)]);
        assert_eq!(constants(&read(&m))[0], wanted);
        m.buffers[values as usize].data.pop();
        let told = format!(
            "E0107: the values of a palette cannot be divided among the channels; expected {scales} tables of at most 255 values of 1 bytes"
        );
        assert_eq!(problems(&m), [format!("{tensor}, {told}; found 7 bytes")]);
    }
    // The list is a flatbuffer of its own, of which any part may be missing.
    let whole = compressed().buffers.last().unwrap().data.clone();
    for length in 0..whole.len() {
        let mut m = compressed();
        m.buffers.last_mut().unwrap().data.truncate(length);
        assert!(problems(&m)[0].starts_with(LIST), "{length} bytes");
    }
}

/// All of them together may become so many bytes.
#[test]
fn few_encoded_bytes_do_not_fill_the_memory() {
    // No bits for each symbol.
    let mut m = compressed();
    set(&mut m, 6, ancillary(1, [1, 0, 0], &[5, 0x80, 5, 0x80]));
    m.tensors[7].shape = vec![1 << 10, 1 << 10];
    assert_eq!(constants(&read(&m))[2], vec![5; 1 << 20]);
    m.tensors[7].shape = vec![1 << 10, 65 << 10];
    let told = "E0301: the model's sparse and compressed constants are too large; expected 64 MiB of dense ones, or 64 times the file";
    assert_eq!(problems(&m), [format!("subgraph 0, operator 0 TFLM_DECODE, output 1 \"coded\", {told}")]);
}

/// Subgraphs that are run twice decode twice.
#[test]
fn in_subgraphs() {
    let mut body = compressed();
    body.outputs = vec![4, 13];
    body.metadata.clear();
    body.buffers.truncate(body.buffers.len() - 2);
    body.tensors[1].buffer = 0;
    let mut m = Model::new();
    let x = m.tensor("x", TensorType::INT8, &[4], Some((1.0, 0)), &[]);
    let mut last = x;
    for i in 0..2 {
        let a = m.tensor(&format!("a{i}"), TensorType::INT8, &[2, 4], Some((1.0, 0)), &[]);
        (m.tensors[a as usize].scales, m.tensors[a as usize].zero_points) = (vec![1.0; 2], vec![0; 2]);
        let y = m.tensor(&format!("y{i}"), TensorType::INT8, &[4], Some((1.0, 0)), &[]);
        m.operator(BuiltinOperator::CALL, &[last], a, model::Options::Call { subgraph: 1 });
        m.operators.last_mut().unwrap().outputs.push(y);
        m.outputs.push(a);
        last = y;
    }
    m.buffers.push(Buffer::default());
    (m.inputs, m.called) = (vec![x], vec![body]);
    m.outputs.push(last);
    let g = read(&m);
    assert_eq!(constants(&g), vec![vec![1, 2, 3, 4, 5, 6, 7, 8]; 2]);
}
