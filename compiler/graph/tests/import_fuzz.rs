//! Damaged models: whatever the bytes are, import ends quickly with a graph or with problems, and never panics.
//!
//! Not a search guided by coverage. The idea: single bits of a model that has every operator reach every check, a few wild numbers at
//! once reach their combinations; everything is seeded, so a failure names a case that can be run again.

mod model;

use cranelite_graph::import::{self, Options, Signatures, import};
use cranelite_graph::lower::{Goal, lower};
use cranelite_graph::rewrite;
use cranelite_schema::{BuiltinOperator, TensorType};
use cranelite_tile::{ByteDot, Machine};
use std::time::{Duration, Instant};

/// A 64-bit xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// True when the import accepted the bytes.
fn survives(bytes: &[u8], and_lower: bool) -> bool {
    let _ = import::read(bytes, &Options { signatures: Signatures::All, ..Options::default() });
    match import(bytes, &Options::default()) {
        Ok(mut graph) => {
            // Import has verified the graph; rewrites verify it after each pass in debug builds, and here at the end.
            rewrite::all(&mut graph, |_, _| {});
            assert_eq!(cranelite_graph::verify::verify(&graph), Ok(()));
            // Lowering may refuse what infer let pass, but not panic. Its time grows with the shapes, which may be absurd here.
            let size_bytes: usize = graph.values.iter().map(|v| v.ty.size_bytes()).sum();
            let machine = Machine::example(16, ByteDot::S16S16, false, false);
            if and_lower
                && size_bytes < 1 << 20
                && let Ok(program) = lower(&graph, &machine, Goal::Speed)
            {
                assert_eq!(cranelite_tile::verify::verify(&program), Ok(()));
            }
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for d in problems {
                assert!(d.code.0 != "E0901", "a mistake of ours was found too late: {d}");
                let _ = format!("{}: {d}", d.place);
            }
            false
        }
    }
}

fn models() -> [Vec<u8>; 5] {
    let all = [model::two_reshapes(), model::every_operator(), with_what_is_left_out(), model::detection(), model::compressed()];
    all.map(|m| m.bytes())
}

/// Signatures, a second subgraph, and operators that nobody needs, one of which is not supported.
fn with_what_is_left_out() -> model::Model {
    let mut m = model::two_reshapes();
    let names = |name: &str, tensor| vec![(name.to_string(), tensor)];
    let signature = |subgraph| model::Signature { key: "key".into(), subgraph, inputs: names("image", 0), outputs: names("scores", 4) };
    m.signatures = vec![signature(0), signature(1)];
    m.more_subgraphs = vec!["second".into()];
    let [a, b, c] = ["a", "b", "c"].map(|name| m.tensor(name, TensorType::FLOAT32, &[3, 4], None, &[]));
    m.operator(BuiltinOperator::SKIP_GRAM, &[2], a, model::Options::None);
    m.operator(BuiltinOperator::RELU, &[a], b, model::Options::None);
    m.operator(BuiltinOperator::RELU, &[2], c, model::Options::None);
    m
}

#[test]
fn single_bits() {
    for bytes in models() {
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[position] ^= 1 << bit;
                survives(&bytes, bit == position % 32);
            }
        }
    }
}

#[test]
fn truncated() {
    for bytes in models() {
        for length in 0..bytes.len() {
            survives(&bytes[..length], true);
        }
    }
}

#[test]
fn wild_numbers() {
    const NUMBERS: [i32; 12] = [0, 1, -1, 2, -2, 3, 127, 128, 65536, i32::MAX, i32::MIN, i32::MAX - 3];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for bytes in models() {
        for i in 0..3_000 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len() / 4) * 4;
                let number = NUMBERS[random.below(NUMBERS.len())];
                bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            accepted += usize::from(survives(&bytes, i % 8 == 0));
        }
    }
    // Else the test looks only at the first checks.
    assert!(100 < accepted, "{accepted} accepted");
}

/// Tables and vectors that are named many times make a small file look large.
#[test]
fn shared_parts_end_quickly() {
    let mut m = model::two_reshapes();
    for _ in 0..2000 {
        m.tensor("more", TensorType::FLOAT32, &[1; 16], None, &[]);
    }
    let bytes = m.bytes();
    assert!(survives(&bytes, true));
    // One word of the file in many places: offsets that lead to the same table, lengths, shapes.
    let mut random = Random(1);
    let start = Instant::now();
    for _ in 0..300 {
        let mut bytes = bytes.clone();
        let from = random.below(bytes.len() / 4 - 8) * 4;
        let word: Vec<u8> = bytes[from..from + 4].to_vec();
        for _ in 0..50 {
            let to = random.below(bytes.len() / 4) * 4;
            bytes[to..to + 4].copy_from_slice(&word);
        }
        survives(&bytes, true);
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

/// Nothing takes time that grows with the square of a list's length.
#[test]
fn long_lists_end_quickly() {
    let mut m = model::two_reshapes();
    let n = 200_000;
    m.operators[0].outputs = vec![2; n];
    m.operators[1].inputs = vec![-1; n];
    m.inputs = vec![0; n];
    m.outputs = vec![4; n];
    let start = Instant::now();
    assert!(!survives(&m.bytes(), false));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // The same output again and again: a few thousand times is legal.
    for (n, is_legal) in [(4000, true), (n, false)] {
        let mut m = model::two_reshapes();
        m.outputs = vec![4; n];
        assert_eq!(survives(&m.bytes(), false), is_legal);
    }
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

/// Constants that overlap cannot make more of a file than there is: they share its bytes.
#[test]
fn overlapping_constants() {
    let mut m = model::two_reshapes();
    m.tail = (0..4096).map(|i| (i % 251) as u8).collect();
    let n = 500;
    for i in 0..n {
        m.tensor(&i.to_string(), TensorType::UINT8, &[3000 + i], None, &[1]);
        m.outputs.push(m.tensors.len() as i32 - 1);
    }
    // The length of the flatbuffer depends on which numbers are there, not on what they are.
    let end = |m: &model::Model| (m.bytes().len() - m.tail.len()) as u64;
    for b in m.buffers.iter_mut().skip(3) {
        *b = model::Buffer { data: vec![], offset: 2, size: 4096 };
    }
    let start = end(&m);
    m.buffers.iter_mut().skip(3).for_each(|b| b.offset = start);
    assert_eq!(end(&m), start);
    let bytes = m.bytes();
    let graph = import(&bytes, &Options::default()).unwrap();
    let constants: Vec<_> = graph.values.iter().filter_map(|v| v.data.as_ref()).collect();
    assert_eq!(constants.len(), n as usize);
    assert!(constants.iter().zip(3000..).all(|(d, length)| d[..] == m.tail[..length]));
    assert!(graph.constants_size_bytes() < bytes.len());
}
