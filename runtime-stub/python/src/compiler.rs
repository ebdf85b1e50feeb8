//! The commands of the command line, for Python.

use crate::failure::{exception, interruptible};
use cranelite::cli::embedded::{self, Kind};
use cranelite::diagnostic::Failure;
use cranelite::{cli, report};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::ffi::OsString;
use std::path::PathBuf;

/// Does what a command line says and returns the exit code; the first word is the program.
#[pyfunction]
pub fn run_words(py: Python, words: Vec<OsString>) -> u8 {
    py.detach(|| cli::run_words(words))
}

/// Names, kinds ("flag", "value", "repeated", "list") and help of the options of "compile", "check", "optimize" or "load".
#[pyfunction]
pub fn options(command: &str) -> Vec<(String, &'static str, String)> {
    let kind = |kind| match kind {
        Kind::Flag => "flag",
        Kind::Value => "value",
        Kind::Repeated => "repeated",
        Kind::List => "list",
    };
    embedded::options(command).into_iter().map(|o| (o.name, kind(o.kind), o.help)).collect()
}

/// A compiled model as a dictionary; its files are written if that is wanted.
#[pyfunction]
pub fn compile<'py>(py: Python<'py>, words: Vec<OsString>, model: Vec<u8>, is_written: bool) -> PyResult<Bound<'py, PyDict>> {
    let made = interruptible(py, move || embedded::compile(words, model))?.map_err(|e| exception(py, &e))?;
    let compiled = &made.compiled;
    let mut facts = report::json(compiled);
    facts["object"] = made.object.to_string_lossy().into();
    facts["header"] = made.header.to_string_lossy().into();
    facts["prefix"] = compiled.prefix.as_str().into();
    let files = PyDict::new(py);
    for (path, contents) in made.files.iter() {
        files.set_item(path, PyBytes::new(py, contents))?;
    }
    let all = PyDict::new(py);
    all.set_item("json", facts.to_string())?;
    all.set_item("report", report::text(compiled))?;
    all.set_item("object", PyBytes::new(py, &compiled.object.bytes))?;
    all.set_item("header", &compiled.header)?;
    all.set_item("weights", compiled.object.weights.as_ref().map(|w| PyBytes::new(py, w)))?;
    all.set_item("left_out", &compiled.left_out)?;
    all.set_item("files", files)?;
    if is_written {
        py.detach(|| made.files.write()).map_err(|d| exception(py, &d.into()))?;
    }
    Ok(all)
}

/// The .tflite model of a model of another tool, notes of what was decided, and the comparison with the float model as text and JSON, where there is one.
#[pyfunction]
#[allow(clippy::type_complexity)]
pub fn convert<'py>(py: Python<'py>, words: Vec<OsString>) -> PyResult<(Bound<'py, PyBytes>, Option<(String, String)>)> {
    let converted = interruptible(py, move || embedded::convert(words))?;
    let (source, comparison) = converted.map_err(|e| exception(py, &e))?;
    Ok((PyBytes::new(py, &source.model), comparison.map(|c| (c.text(usize::MAX), c.to_json().to_string()))))
}

/// The bytes of a model with smaller weights, and what was changed, as text and as JSON.
#[pyfunction]
pub fn optimize<'py>(py: Python<'py>, words: Vec<OsString>, model: Vec<u8>) -> PyResult<(Bound<'py, PyBytes>, String, String)> {
    let optimized = interruptible(py, move || embedded::optimize(words, model))?;
    let (model, text, json) = optimized.map_err(|e| exception(py, &e))?;
    Ok((PyBytes::new(py, &model), text, json.to_string()))
}

/// Whether a path is that of a model that is converted, as far as its name says.
#[pyfunction]
pub fn is_foreign(path: PathBuf) -> bool {
    cranelite::convert::is_foreign(&path)
}

/// The problems of a model as JSON, and what is left out of it.
#[pyfunction]
pub fn check(py: Python, words: Vec<OsString>, model: Vec<u8>) -> PyResult<(String, Vec<String>)> {
    let checked = interruptible(py, move || embedded::check(words, model))?;
    let (problems, left_out) = checked.map_err(|e| exception(py, &e))?;
    Ok((Failure::Problems(problems).to_json().to_string(), left_out))
}
