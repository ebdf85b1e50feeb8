//! `bench --energy` and `bench --compare-litert`: what they print, with counters and with a LiteRT that are made up, and with the real one where Python has it.

use super::{AS_PROGRAM, set_up};
use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// As much of numpy and of LiteRT as the script uses. Each output has zeros, but for the last byte, which is how many threads there are; the version
/// is what was done.
const NUMPY: &str = "
class Array(bytes):
    shape = ()
    def reshape(self, shape):
        self.shape = shape
        return self
    def tofile(self, path):
        open(path, 'wb').write(self)
def fromfile(path, dtype):
    return Array(open(path, 'rb').read())
";
const LITERT: &str = "
import ai_edge_litert, numpy
class Interpreter:
    def __init__(self, model_path, num_threads):
        assert open(model_path, 'rb').read()[4:8] == b'TFL3'
        self.threads, self.set = num_threads, {}
    def get_input_details(self):
        return [{'index': 0, 'shape': [1, 8, 8, 2], 'dtype': 'int8'}]
    def resize_tensor_input(self, index, shape):
        raise ValueError('no other shape was asked for')
    def allocate_tensors(self):
        pass
    def set_tensor(self, index, data):
        assert index == 0 and len(data) == 128 and data.shape == [1, 8, 8, 2]
        self.set[index] = data
    def invoke(self):
        assert self.set
    def get_output_details(self):
        return [{'index': 9}]
    def get_tensor(self, index):
        assert index == 9
        return numpy.Array(bytes([0, 0, self.threads])).reshape([1, 3])
";

pub fn trials() -> Vec<Trial> {
    let failed = |e: anyhow::Error| Failed::from(format!("{e:#}"));
    let python = || Command::new("python3").arg("--version").output().is_ok();
    let installed = std::env::var("CRANELITE_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_litert = Command::new(&installed).args(["-c", "import ai_edge_litert, numpy"]).output().is_ok_and(|o| o.status.success());
    vec![
        Trial::test("energy", move || energy().map_err(failed)),
        Trial::test("litert/imitated", move || imitated().map_err(failed)).with_ignored_flag(!python()),
        Trial::test("litert/missing", move || missing().map_err(failed)).with_ignored_flag(!python()),
        Trial::test("litert/real", move || real(&installed).map_err(failed)).with_ignored_flag(!has_litert),
    ]
}

fn bench(folder: &Path, arguments: &str, variables: &[(&str, &Path)]) -> Result<Output> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench"]).args(arguments.split(' ')).args(["--min-ms", "1"]).current_dir(folder).env(AS_PROGRAM, "1");
    Ok(command.envs(variables.iter().copied()).output()?)
}

fn printed(out: &Output) -> Result<String> {
    ensure!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout.clone())?)
}

fn json(out: &Output) -> Result<Value> {
    Ok(serde_json::from_str(&printed(out)?)?)
}

/// An estimate that is the table's, and counters that are not there, or stand still.
fn energy() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let counters = folder.path().join("powercap");
    let with_counters: &[(&str, &Path)] = &[("CRANELITE_POWERCAP", &counters)];
    let text = printed(&bench(folder.path(), "tiny_i8.tflite --energy", with_counters)?)?;
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("energy, ")).collect();
    ensure!(lines.len() == 2 && lines[0].contains("estimated: ") && lines[0].ends_with("ISSCC 2014)"), "{text}");
    ensure!(lines[1].starts_with("energy, not measured: there is no ") && lines[1].contains("powercap"), "{text}");

    // Counters that stand still are not zero joules.
    let domain = counters.join("intel-rapl:0");
    fs::create_dir_all(&domain)?;
    for (name, text) in [("name", "package-0"), ("energy_uj", "5"), ("max_energy_range_uj", "9")] {
        fs::write(domain.join(name), text)?;
    }
    let text = printed(&bench(folder.path(), "tiny_i8.tflite --energy", with_counters)?)?;
    ensure!(text.contains("energy, not measured: the counters stand still\n"), "{text}");

    let value = json(&bench(folder.path(), "tiny_i8.tflite --energy --json", with_counters)?)?;
    let estimated = &value["energy"]["estimated"];
    let number = |key: &str| estimated[key].as_f64().with_context(|| format!("no {key} in {value}"));
    let (macs, total) = (value["macs"].as_f64().context("macs")?, number("total_uj")?);
    // 0.3 pJ each; a few are not computed, since they are the same for every input.
    ensure!(0.0 < number("macs_uj")? && number("macs_uj")? <= macs * 0.3e-6 * 1.000001, "{value}");
    let moved = (number("weights_bytes")? + number("activations_bytes")?) * 20.0 / 8.0 * 1e-6;
    ensure!((number("memory_uj")? - moved).abs() < 1e-9 && estimated["weights_from"] == "a cache of 32 KiB", "{value}");
    ensure!((total - number("macs_uj")? - number("memory_uj")? - number("other_operations_uj")?).abs() < 1e-9, "{value}");
    ensure!(value["energy"]["measured"]["not_measured"] == "the counters stand still", "{value}");
    let without = json(&bench(folder.path(), "tiny_i8.tflite --json", &[])?)?;
    ensure!(without.get("energy").is_none() && without.get("litert").is_none(), "{without}");
    Ok(())
}

fn imitated() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let modules = folder.path().join("modules");
    fs::create_dir_all(modules.join("ai_edge_litert"))?;
    fs::write(modules.join("numpy.py"), NUMPY)?;
    fs::write(modules.join("ai_edge_litert/__init__.py"), "__version__ = '0.1'\n")?;
    fs::write(modules.join("ai_edge_litert/interpreter.py"), LITERT)?;
    let variables: &[(&str, &Path)] = &[("PYTHONPATH", &modules), ("CRANELITE_PYTHON", Path::new("python3"))];
    let text = printed(&bench(folder.path(), "tiny_i8.tflite --compare-litert --threads 2", variables)?)?;
    let line = text.lines().find(|l| l.starts_with("LiteRT ")).context("a line about LiteRT")?;
    ensure!(line.starts_with("LiteRT (ai_edge_litert 0.1, 2 threads) median ") && line.ends_with(" times as fast"), "{text}");
    ensure!(text.contains("outputs beside LiteRT's: largest difference "), "{text}");
    let value = json(&bench(folder.path(), "tiny_i8.tflite --compare-litert --json", variables)?)?;
    let litert = &value["litert"];
    ensure!(litert["name"] == "ai_edge_litert 0.1" && litert["threads"] == 1 && litert["outputs_equal"] == false, "{value}");
    for key in ["median_us", "cranelite_median_us", "ratio", "runs"] {
        ensure!(litert[key].as_f64().is_some_and(|n| 0.0 < n), "no {key} in {value}");
    }
    Ok(())
}

fn missing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    // A Python with nothing but its own library.
    let python = folder.path().join("python");
    fs::write(&python, "#!/bin/sh\nexec python3 -I -S \"$@\"\n")?;
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755))?;
    let refused = |arguments: &str, python: &Path| -> Result<(Option<i32>, String)> {
        let out = bench(folder.path(), arguments, &[("CRANELITE_PYTHON", python)])?;
        Ok((out.status.code(), String::from_utf8(out.stderr)?))
    };
    let (code, text) = refused("tiny_i8.tflite --compare-litert", &python)?;
    ensure!(code == Some(1) && text.contains("pip install ai-edge-litert") && text.contains("E0506"), "{code:?}: {text}");
    let (code, text) = refused("tiny_i8.tflite --compare-litert", Path::new("no/such/python"))?;
    ensure!(code == Some(1) && text.contains("CRANELITE_PYTHON"), "{code:?}: {text}");
    // What LiteRT would not run as it is compiled.
    let (code, text) = refused("learner.tflite --all-signatures --compare-litert", &python)?;
    ensure!(code == Some(2) && text.contains("leave out --signature"), "{code:?}: {text}");
    Ok(())
}

/// Integers are LiteRT's.
fn real(python: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    set_up(folder.path())?;
    let variables: &[(&str, &Path)] = &[("CRANELITE_PYTHON", Path::new(python))];
    let value = json(&bench(folder.path(), "tiny_i8.tflite --compare-litert --json", variables)?)?;
    ensure!(value["litert"]["outputs_equal"] == true, "{value}");
    let value = json(&bench(folder.path(), "perceptron.tflite --compare-litert --json --threads 2", variables)?)?;
    let largest = value["litert"]["largest_differences"][0].as_f64().context("a difference")?;
    ensure!(largest < 1e-5, "{value}");
    Ok(())
}
