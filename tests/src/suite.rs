//! Golden suites: models with inputs and TensorFlow Lite's answers, as found beside the repository.
//!
//! Not part of the repository: without `../shared` (or the folder that `CRANELITE_SHARED` names) there are none, and the tests say so.
//! The idea: a case passes when its integers are equal and its floats within the manifest's tolerance; nothing else counts.

use anyhow::{Context, Result, bail, ensure};
use cranelite::array::Array;
use cranelite_graph::tensor::ElementType;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Operators of the suites that are supported as a whole.
const OPERATORS: [&str; 18] = [
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEQUANTIZE",
    "FULLY_CONNECTED",
    "LOGISTIC",
    "MAX_POOL_2D",
    "MEAN",
    "MUL",
    "PAD",
    "QUANTIZE",
    "RELU",
    "RELU6",
    "RESHAPE",
    "SOFTMAX",
    "SUB",
];

/// Types of the suites that are not supported yet: integer arithmetic, weights below 8 bits, complex numbers.
const LATER_TYPES: [&str; 17] = [
    "i32",
    "i64",
    "int4",
    "hybrid4",
    "int4pc",
    "int2",
    "i4-f32",
    "i2-f32",
    "int4pc-f32",
    "c64",
    "u32",
    "f16",
    "f16-f32",
    "bool",
    "int16-i32",
    "i32-int8",
    "i32-int16",
];

pub struct Suite {
    folder: PathBuf,
    unpacked: tempfile::TempDir,
    pub cases: Vec<Case>,
}

pub struct Case {
    pub name: String,
    archive: String,
    pub step_count: usize,
    outputs: usize,
    inputs: usize,
    pub macs: u64,
    tolerance: Tolerance,
}

#[derive(Clone, Copy)]
enum Tolerance {
    Exact,
    Integer(i64),
    Float { absolute: f64, relative: f64 },
}

/// The folder with the suites, if there is one.
pub fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("CRANELITE_SHARED").map_or_else(beside, PathBuf::from);
    folder.join("conformance/MANIFEST.json").exists().then_some(folder)
}

impl Suite {
    /// The supported cases of a suite, unpacked.
    pub fn open(folder: PathBuf) -> Result<Suite> {
        let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("MANIFEST.json"))?)?;
        let cases = manifest["cases"].as_array().context("no cases")?;
        let cases: Vec<Case> = cases.iter().filter(|c| is_supported(c)).map(Case::read).collect::<Result<_>>()?;
        let unpacked = tempfile::tempdir()?;
        for archive in cases.iter().map(|c| c.archive.as_str()).collect::<BTreeSet<_>>() {
            let mut unzip = Command::new("python3");
            let done = unzip.args(["-m", "zipfile", "-e"]).arg(folder.join(archive)).arg(unpacked.path().join(archive)).status()?;
            ensure!(done.success(), "cannot unpack {archive}");
        }
        Ok(Suite { folder, unpacked, cases })
    }

    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn read(&self, case: &Case, suffix: &str) -> Result<Vec<u8>> {
        let path = self.unpacked.path().join(&case.archive).join(format!("{}.{suffix}", case.name));
        std::fs::read(&path).with_context(|| path.display().to_string())
    }

    pub fn model(&self, case: &Case) -> Result<Vec<u8>> {
        self.read(case, "tflite")
    }

    pub fn inputs(&self, case: &Case) -> Result<Vec<Vec<Array>>> {
        self.arrays(case, "in", case.inputs)
    }

    fn arrays(&self, case: &Case, kind: &str, count: usize) -> Result<Vec<Vec<Array>>> {
        let one = |step: usize, i: usize| {
            let step = if step == 0 { String::new() } else { format!("s{step}.") };
            let name = format!("{step}{kind}{i}.npy");
            Array::parse(&self.read(case, &name)?).map_err(|e| anyhow::anyhow!("{name}: {e}"))
        };
        (0..case.step_count).map(|step| (0..count).map(|i| one(step, i)).collect()).collect()
    }

    /// Fails unless the outputs of all steps are the expected ones.
    pub fn judge(&self, case: &Case, outputs: &[Vec<Array>]) -> Result<()> {
        for (step, (found, expected)) in outputs.iter().zip(self.arrays(case, "out", case.outputs)?).enumerate() {
            ensure!(found.len() == expected.len(), "{} outputs, expected {}", found.len(), expected.len());
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                compare(found, expected, case.tolerance).with_context(|| format!("step {step}, output {i}"))?;
            }
        }
        Ok(())
    }
}

fn is_supported(case: &Value) -> bool {
    let has =
        |field: &str, words: &[&str]| case[field].as_array().is_some_and(|a| a.iter().any(|v| words.contains(&v.as_str().unwrap_or(""))));
    let operators = case["ops"].as_array().is_some_and(|a| a.iter().all(|v| OPERATORS.contains(&v.as_str().unwrap_or(""))));
    let dynamic = has("tags", &["sparse", "nonconst_w", "dyn_output"]) || case["resize_inputs"].as_bool() == Some(true);
    operators && !dynamic && !LATER_TYPES.contains(&case["dtype"].as_str().unwrap_or(""))
}

impl Case {
    fn read(value: &Value) -> Result<Case> {
        let text = |field: &str| value[field].as_str().map(String::from).with_context(|| format!("no {field}"));
        let count = |field: &str| value[field].as_array().map_or(0, Vec::len);
        let (absolute, relative) = (value["atol"].as_f64().unwrap_or(0.0), value["rtol"].as_f64().unwrap_or(0.0));
        let tolerance = match value["tol"].as_str() {
            Some("exact") => Tolerance::Exact,
            Some("lsb") => Tolerance::Integer(absolute as i64),
            Some("float" | "float_hybrid") => Tolerance::Float { absolute, relative },
            other => bail!("tolerance {other:?}"),
        };
        Ok(Case {
            name: text("name")?,
            archive: text("archive")?,
            step_count: value["steps"].as_u64().unwrap_or(1) as usize,
            outputs: count("outputs"),
            inputs: count("inputs"),
            macs: value["macs"].as_u64().unwrap_or(0),
            tolerance,
        })
    }
}

fn compare(found: &Array, expected: &Array, tolerance: Tolerance) -> Result<()> {
    ensure!(found.element == expected.element && found.shape == expected.shape, "{} is not {}", found.describe(), expected.describe());
    let (found, integers) = (numbers(found)?, found.element != ElementType::F32);
    let close = |f: f64, e: f64| match tolerance {
        Tolerance::Float { absolute, relative } if !integers => e.is_finite() && (f - e).abs() <= absolute + relative * e.abs(),
        Tolerance::Integer(by) if integers => (f - e).abs() <= by as f64,
        _ => false,
    };
    let expected = numbers(expected)?;
    let wrong: Vec<_> = (0..found.len())
        .filter(|&i| found[i] != expected[i] && !(found[i].is_nan() && expected[i].is_nan()) && !close(found[i], expected[i]))
        .collect();
    if let Some(&i) = wrong.first() {
        bail!("{} of {} differ; at {i} {} is not {}", wrong.len(), found.len(), found[i], expected[i]);
    }
    Ok(())
}

/// Exact for every type that occurs: at most 32 bits.
fn numbers(array: &Array) -> Result<Vec<f64>> {
    let d = &array.data;
    Ok(match array.element {
        ElementType::F32 => d.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("4 bytes")))).collect(),
        ElementType::I8 => d.iter().map(|b| f64::from(*b as i8)).collect(),
        ElementType::U8 | ElementType::Bool => d.iter().map(|b| f64::from(*b)).collect(),
        ElementType::I16 => d.chunks_exact(2).map(|b| f64::from(i16::from_le_bytes(b.try_into().expect("2 bytes")))).collect(),
        ElementType::I32 => d.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().expect("4 bytes")))).collect(),
        other => bail!("outputs of type {other}"),
    })
}
