//! Golden suites: models with inputs and TensorFlow Lite's answers, as found beside the repository.
//!
//! Not part of the repository: without `../shared` (or the folder that `CRANELITE_SHARED` names) there are none, and the tests say so.
//! The idea: a case passes when its integers are equal and its floats within the manifest's tolerance; nothing else counts. What we refuse
//! is a list, so that no case starts or stops to be refused unnoticed.

use anyhow::{Context, Result, bail, ensure};
use cranelite::array::Array;
use cranelite_graph::tensor::ElementType;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Unpacks archives, each into a folder of its name.
const UNZIP: &str = "import os, sys, zipfile
for a in sys.argv[2:]: zipfile.ZipFile(a).extractall(os.path.join(sys.argv[1], os.path.basename(a)))";

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
    /// It came from a user of another tool; to refuse it is a failure.
    pub must_run: bool,
    tolerance: Tolerance,
    /// The last of four outputs says how many rows of the others count; what is behind them the reference leaves as it was.
    counts_rows: bool,
}

#[derive(Clone, Copy)]
enum Tolerance {
    Exact,
    Integer(i64),
    Float { absolute: f64, relative: f64 },
}

/// The folder with the suites, if there is one. With `CRANELITE_REQUIRE_SUITES` a test that wants it fails without.
pub fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("CRANELITE_SHARED").map_or_else(beside, PathBuf::from);
    let is_required = std::env::var_os("CRANELITE_REQUIRE_SUITES").is_some();
    assert!(!is_required || folder.exists(), "no golden suites at {}", folder.display());
    folder.exists().then_some(folder)
}

impl Suite {
    /// All cases of a suite, unpacked.
    pub fn open(folder: PathBuf) -> Result<Suite> {
        let path = folder.join("MANIFEST.json");
        let manifest: Value = serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?;
        let cases = manifest["cases"].as_array().context("no cases")?;
        let cases: Vec<Case> = cases.iter().map(Case::read).collect::<Result<_>>()?;
        let unpacked = tempfile::tempdir()?;
        let mut unzip = Command::new("python3");
        unzip.args(["-c", UNZIP]).arg(unpacked.path());
        unzip.args(cases.iter().map(|c| folder.join(&c.archive)).collect::<BTreeSet<_>>());
        ensure!(unzip.status()?.success(), "cannot unpack {}", folder.display());
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
        ensure!(outputs.len() == case.step_count, "{} steps, expected {}", outputs.len(), case.step_count);
        for (step, (found, expected)) in outputs.iter().zip(self.arrays(case, "out", case.outputs)?).enumerate() {
            ensure!(found.len() == expected.len(), "{} outputs, expected {}", found.len(), expected.len());
            let rows = expected.get(3).filter(|_| case.counts_rows).and_then(floats).map(|count| count[0] as usize);
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let found = match rows {
                    Some(rows) if i < 3 => &first_rows(found, rows),
                    _ => found,
                };
                compare(found, expected, case.tolerance).with_context(|| format!("step {step}, output {i}"))?;
            }
        }
        Ok(())
    }
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
            must_run: value["tags"].as_array().is_some_and(|tags| tags.iter().any(|t| t == "must_run")),
            tolerance,
            counts_rows: value["compare"].as_str() == Some("rows_by_out3"),
        })
    }
}

/// The array with zeros behind so many rows of its second axis.
fn first_rows(array: &Array, rows: usize) -> Array {
    let mut array = array.clone();
    let row_bytes = array.data.len() / array.shape.get(1).copied().unwrap_or(1).max(1);
    array.data.iter_mut().skip(rows * row_bytes).for_each(|b| *b = 0);
    array
}

fn compare(found: &Array, expected: &Array, tolerance: Tolerance) -> Result<()> {
    ensure!(found.element == expected.element && found.shape == expected.shape, "{} is not {}", found.describe(), expected.describe());
    match (floats(found), floats(expected)) {
        (Some(found), Some(expected)) => {
            let close = |f: f64, e: f64| match tolerance {
                Tolerance::Float { absolute, relative } => e.is_finite() && (f - e).abs() <= absolute + relative * e.abs(),
                _ => false,
            };
            all_pass(&found, &expected, |f, e| f == e || f.is_nan() && e.is_nan() || close(f, e))
        }
        _ => {
            let distance = if let Tolerance::Integer(by) = tolerance { by.into() } else { 0 };
            all_pass(&integers(found)?, &integers(expected)?, |f: i128, e| (f - e).abs() <= distance)
        }
    }
}

fn all_pass<T: Copy + std::fmt::Display>(found: &[T], expected: &[T], passes: impl Fn(T, T) -> bool) -> Result<()> {
    let wrong: Vec<_> = (0..found.len()).filter(|&i| !passes(found[i], expected[i])).collect();
    if let Some(&i) = wrong.first() {
        bail!("{} of {} differ; at {i} {} is not {}", wrong.len(), found.len(), found[i], expected[i]);
    }
    Ok(())
}

/// `None` of integers.
fn floats(array: &Array) -> Option<Vec<f64>> {
    let d = &array.data;
    Some(match array.element {
        ElementType::F32 | ElementType::Complex64 => {
            d.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")).into()).collect()
        }
        ElementType::F64 => d.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect(),
        _ => return None,
    })
}

/// Floats of 16 bits too, which are never within a tolerance: as their bits.
fn integers(array: &Array) -> Result<Vec<i128>> {
    let signed = matches!(array.element, ElementType::I8 | ElementType::I16 | ElementType::I32 | ElementType::I64);
    let bytes = match array.element.bits() {
        Some(bits @ (8 | 16 | 32 | 64)) => bits as usize / 8,
        _ => bail!("outputs of type {}", array.element),
    };
    let number = |b: &[u8]| {
        let sign = if signed && 128 <= b[bytes - 1] { 0xff } else { 0 };
        let mut wide = [sign; 16];
        wide[..bytes].copy_from_slice(b);
        i128::from_le_bytes(wide)
    };
    Ok(array.data.chunks_exact(bytes).map(number).collect())
}

/// The cases that are refused, with the code of the first problem: a text of lines `SUITE CODE PREFIX: NUMBERS`, where the names of the cases
/// are the prefix and one of the numbers, or the prefix alone.
#[derive(Default)]
pub struct Refusals(pub BTreeMap<(String, String), String>);

impl Refusals {
    pub fn parse(text: &str) -> Result<Self> {
        let mut all = BTreeMap::new();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let parts = || {
                let (head, numbers) = line.split_once(':')?;
                let mut words = head.split(' ');
                Some((words.next()?, words.next()?, words.next()?, numbers.trim()))
            };
            let (suite, code, prefix, numbers) = parts().with_context(|| format!("not a line of refusals: {line}"))?;
            let mut add = |name: String| all.insert((suite.into(), name), code.to_string());
            if numbers.is_empty() {
                add(prefix.into());
            }
            for range in numbers.split(' ').filter(|r| !r.is_empty()) {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                for n in first.parse::<u32>()?..=last.parse()? {
                    add(format!("{prefix}{n:0width$}", width = first.len()));
                }
            }
        }
        Ok(Refusals(all))
    }

    pub fn text(&self) -> String {
        let mut lines: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
        for ((suite, name), code) in &self.0 {
            let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
            // As many digits in every name, or the numbers would lose some.
            let prefix = if name.len() - prefix.len() == 3 { prefix } else { name };
            lines.entry((suite, code, prefix)).or_default().push(&name[prefix.len()..]);
        }
        let mut text = String::new();
        for ((suite, code, prefix), numbers) in lines {
            let mut ranges: Vec<(&str, &str)> = vec![];
            for n in numbers.into_iter().filter(|n| !n.is_empty()) {
                let value = |n: &str| n.parse::<u32>().unwrap_or(0);
                match ranges.last_mut() {
                    Some((_, last)) if value(last) + 1 == value(n) => *last = n,
                    _ => ranges.push((n, n)),
                }
            }
            let range = |(first, last): &(&str, &str)| if first == last { format!(" {first}") } else { format!(" {first}-{last}") };
            writeln!(text, "{suite} {code} {prefix}:{}", ranges.iter().map(range).collect::<String>()).expect("a string takes all");
        }
        text
    }

    pub fn code(&self, suite: &str, case: &str) -> Option<&str> {
        self.0.get(&(suite.to_string(), case.to_string())).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_as_they_are_written() {
        let names = ["abs_i8_000", "abs_i8_001", "abs_i8_003", "abs_i8_010", "plain", "odd_12", "odd_13"];
        let refusals = Refusals(names.map(|n| (("s".to_string(), n.to_string()), "E0301".to_string())).into_iter().collect());
        let text = refusals.text();
        assert!(text.starts_with("s E0301 abs_i8_: 000-001 003 010\n"), "{text}");
        assert_eq!(Refusals::parse(&text).unwrap().0, refusals.0);
    }

    #[test]
    fn integers_of_all_widths() {
        let array = |element, data: &[u8]| Array { element, shape: vec![1], data: data.to_vec() };
        assert_eq!(integers(&array(ElementType::I16, &[0xfe, 0xff])).unwrap(), [-2]);
        assert_eq!(integers(&array(ElementType::U8, &[0xfe])).unwrap(), [254]);
        assert_eq!(integers(&array(ElementType::I64, &[0, 0, 0, 0, 0, 0, 0, 0x80])).unwrap(), [i64::MIN.into()]);
        assert_eq!(integers(&array(ElementType::U64, &[0xff; 8])).unwrap(), [u64::MAX.into()]);
    }
}
