//! LiteRT beside a model of ours: the same inputs and threads, in another process, in turn.
//!
//! Not a test: outputs are compared, and how they differ is said. The idea: rounds in which first one and then the other is timed, so that a clock that wanders
//! slows both alike; the script waits while we work.

use crate::array::Array;
use crate::diagnostic::internal;
use crate::files::Files;
use crate::python::Script;
use crate::signature::Signature;
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::tensor::ElementType;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const SCRIPT: Script = Script {
    file_name: "litert.py",
    source: include_str!("litert.py"),
    purpose: "compare with LiteRT",
    packages: &[("ai_edge_litert", "ai-edge-litert"), ("numpy", "numpy")],
};

const ROUNDS: usize = 7;

/// What it is asked to run.
pub struct Request<'a> {
    /// The file.
    pub model: &'a [u8],
    pub signature: &'a Signature,
    /// Bytes of each of the model's inputs.
    pub inputs: &'a [Vec<u8>],
    pub threads: u32,
    /// What each of the two is timed for at least.
    pub at_least: Duration,
    /// Whatever Python says is shown.
    pub verbose: bool,
}

pub struct Compared {
    /// `ai_edge_litert 2.1.0`
    name: String,
    threads: u32,
    /// By round.
    ours_us: Vec<f64>,
    theirs_us: Vec<f64>,
    runs: u64,
    differences: Vec<Difference>,
}

/// Of an output.
#[derive(Clone, Debug, PartialEq)]
enum Difference {
    None,
    /// The largest one.
    Of(f64),
    Shape {
        ours: Vec<usize>,
        theirs: Vec<usize>,
    },
}

#[derive(Deserialize)]
struct Answer {
    package: String,
    version: String,
    rounds_us: Vec<f64>,
    runs: u64,
    shapes: Vec<Vec<usize>>,
}

/// `outputs` are those of our first call, `median_us` times ours for so long.
pub fn compare(
    request: &Request,
    outputs: &[Array],
    mut median_us: impl FnMut(Duration) -> Result<f64, Diagnostic>,
) -> Result<Compared, Diagnostic> {
    let round = request.at_least / ROUNDS as u32;
    let names: Vec<String> = (0..request.inputs.len()).map(|i| format!("input.{i}")).collect();
    let inputs = request.signature.inputs.iter().zip(&names);
    let inputs = inputs.map(|(t, file)| json!({ "index": t.tensor_index, "shape": t.ty.shape, "file": file }));
    let text = json!({
        "threads": request.threads,
        "rounds": ROUNDS,
        "seconds": round.as_secs_f64(),
        "inputs": inputs.collect::<Vec<_>>(),
    });
    let mut files = vec![("model.tflite".to_string(), request.model.to_vec()), ("request.json".into(), text.to_string().into_bytes())];
    files.extend(names.iter().cloned().zip(request.inputs.iter().cloned()));
    let (mut ours_us, mut failed) = (vec![], None);
    let finished = SCRIPT.run(&[], files, request.verbose, |line| {
        let Some((_, go)) = line.strip_prefix("ready ").and_then(|rest| rest.split_once(' ')) else { return };
        let done = median_us(round).map(|us| ours_us.push(us));
        // It goes on whatever happens here, or it would wait for ever.
        let mut all = Files::default();
        all.add(go.into(), "");
        failed = failed.take().or(done.and_then(|()| all.write()).err());
    })?;
    if let Some(d) = failed {
        return Err(d);
    }
    let answer: Answer =
        serde_json::from_slice(&finished.read("answer.json")?).map_err(|e| internal("the script's answer is not understood", e))?;
    let mut differences = vec![];
    for (i, (ours, shape)) in outputs.iter().zip(&answer.shapes).enumerate() {
        let data = finished.read(&format!("output.{i}"))?;
        differences.push(Difference::between(ours, &Array { element: ours.element, shape: shape.clone(), data }));
    }
    if answer.shapes.len() != outputs.len() || answer.rounds_us.len() != ours_us.len() {
        return Err(internal("the script's answer is not understood", "another number of outputs or rounds"));
    }
    let name = format!("{} {}", answer.package, answer.version).trim_end().to_string();
    Ok(Compared { name, threads: request.threads, ours_us, theirs_us: answer.rounds_us, runs: answer.runs, differences })
}

impl Difference {
    fn between(ours: &Array, theirs: &Array) -> Difference {
        if ours.shape != theirs.shape || ours.data.len() != theirs.data.len() {
            return Difference::Shape { ours: ours.shape.clone(), theirs: theirs.shape.clone() };
        }
        if ours.data == theirs.data {
            return Difference::None;
        }
        let largest = numbers(ours).zip(numbers(theirs)).map(|(a, b)| if a == b || a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() });
        // Infinities, and numbers where the other has none.
        let largest = largest.fold(0.0, |all: f64, one| if one.is_nan() { f64::INFINITY } else { all.max(one) });
        if largest == 0.0 { Difference::None } else { Difference::Of(largest) }
    }

    fn text(&self) -> String {
        match self {
            Difference::None => "equal".into(),
            Difference::Of(largest) => format!("largest difference {largest:.3e}"),
            Difference::Shape { ours, theirs } => format!("shape {ours:?} where LiteRT has {theirs:?}"),
        }
    }

    fn json(&self) -> Value {
        match self {
            Difference::None => json!(0),
            Difference::Of(largest) if largest.is_finite() => json!(largest),
            Difference::Of(_) => json!("infinite"),
            Difference::Shape { ours, theirs } => json!({ "shape": ours, "litert_shape": theirs }),
        }
    }
}

/// The elements of an array; bytes, of types that have no such meaning.
fn numbers(array: &Array) -> Box<dyn Iterator<Item = f64> + '_> {
    fn each<'a, const N: usize>(array: &'a Array, of: fn([u8; N]) -> f64) -> Box<dyn Iterator<Item = f64> + 'a> {
        Box::new(array.data.chunks_exact(N).map(move |b| of(b.try_into().expect("so many bytes"))))
    }
    match array.element {
        ElementType::F32 | ElementType::Complex64 => each(array, |b| f32::from_le_bytes(b).into()),
        ElementType::F64 | ElementType::Complex128 => each(array, f64::from_le_bytes),
        ElementType::I8 => each(array, |b| i8::from_le_bytes(b).into()),
        ElementType::I16 => each(array, |b| i16::from_le_bytes(b).into()),
        ElementType::U16 => each(array, |b| u16::from_le_bytes(b).into()),
        ElementType::I32 => each(array, |b| i32::from_le_bytes(b).into()),
        ElementType::U32 => each(array, |b| u32::from_le_bytes(b).into()),
        ElementType::I64 => each(array, |b| i64::from_le_bytes(b) as f64),
        ElementType::U64 => each(array, |b| u64::from_le_bytes(b) as f64),
        _ => each(array, |b: [u8; 1]| b[0].into()),
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Compared {
    /// How many times as long theirs takes, by round.
    fn ratio(&self) -> f64 {
        median(self.theirs_us.iter().zip(&self.ours_us).map(|(theirs, ours)| theirs / ours).collect())
    }

    pub fn text(&self) -> String {
        let (ours, theirs) = (median(self.ours_us.clone()), median(self.theirs_us.clone()));
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        let mut out = format!(
            "LiteRT ({}, {threads}) median {theirs:.2} µs, of {} runs; cranelite in turn with it {ours:.2} µs: {:.2} times as fast\n",
            self.name,
            self.runs,
            self.ratio()
        );
        let all: Vec<String> = match &self.differences[..] {
            all if all.iter().all(|d| *d == Difference::None) => vec!["equal".into()],
            [one] => vec![one.text()],
            all => all.iter().enumerate().map(|(i, d)| format!("{i}: {}", d.text())).collect(),
        };
        out += &format!("outputs beside LiteRT's: {}\n", all.join(", "));
        out
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "threads": self.threads,
            "runs": self.runs,
            "median_us": median(self.theirs_us.clone()),
            "cranelite_median_us": median(self.ours_us.clone()),
            "ratio": self.ratio(),
            "outputs_equal": self.differences.iter().all(|d| *d == Difference::None),
            "largest_differences": self.differences.iter().map(Difference::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(shape: &[usize], numbers: &[f32]) -> Array {
        Array { element: ElementType::F32, shape: shape.to_vec(), data: numbers.iter().flat_map(|n| n.to_le_bytes()).collect() }
    }

    #[test]
    fn differences() {
        let of = |a: &[f32], b: &[f32]| Difference::between(&floats(&[a.len()], a), &floats(&[b.len()], b));
        assert_eq!(of(&[1.0, f32::NAN], &[1.0, -f32::NAN]), Difference::None);
        assert_eq!(of(&[0.0, 2.0], &[-0.0, 2.5]), Difference::Of(0.5));
        assert_eq!(of(&[f32::INFINITY, 1.0], &[f32::INFINITY, 1.0]), Difference::None);
        assert_eq!(of(&[f32::NAN], &[1.0]), Difference::Of(f64::INFINITY));
        assert_eq!(of(&[1.0], &[1.0, 2.0]), Difference::Shape { ours: vec![1], theirs: vec![2] });
        let bytes = |data: Vec<u8>| Array { element: ElementType::I8, shape: vec![2], data };
        assert_eq!(Difference::between(&bytes(vec![255, 0]), &bytes(vec![1, 0])), Difference::Of(2.0));
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        let compared = |differences| Compared {
            name: "ai_edge_litert 2".into(),
            threads: 2,
            ours_us: vec![10.0, 20.0, 10.0],
            theirs_us: vec![30.0, 60.0, 20.0],
            runs: 5,
            differences,
        };
        let (equal, other) = (compared(vec![Difference::None]), compared(vec![Difference::None, Difference::Of(0.5)]));
        assert_eq!(
            equal.text(),
            "LiteRT (ai_edge_litert 2, 2 threads) median 30.00 µs, of 5 runs; cranelite in turn with it 10.00 µs: 3.00 times as fast\n\
             outputs beside LiteRT's: equal\n"
        );
        assert!(other.text().ends_with("LiteRT's: 0: equal, 1: largest difference 5.000e-1\n"), "{}", other.text());
        let json = other.json();
        assert!(json["outputs_equal"] == false && json["ratio"] == 3.0 && json["largest_differences"] == json!([0, 0.5]), "{json}");
    }
}
