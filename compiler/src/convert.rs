//! Models of Keras, TensorFlow and PyTorch: they become .tflite models before anything else happens, in the user's Python.
//!
//! How is in `runtime-stub/python/cranelite/convert.py`. The idea: every command that reads a model reads it here, so each takes whatever can be
//! converted, and none knows of it.

use crate::array::Array;
use crate::diagnostic::{Failure, Problem, shown};
use crate::files;
use crate::python::{Finished, Script};
use crate::stages::Stages;
use clap::ValueEnum;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const SCRIPT: Script = Script {
    file_name: "convert.py",
    source: include_str!("../../runtime-stub/python/cranelite/convert.py"),
    purpose: "convert models of Keras, TensorFlow and PyTorch",
    packages: &[
        ("litert_torch", "litert-torch"),
        ("ai_edge_quantizer", "ai-edge-quantizer"),
        ("ai_edge_litert", "ai-edge-litert"),
        ("PIL", "pillow"),
    ],
};

/// How the numbers of a converted model are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Quantisation {
    /// Integers of 8 bits throughout, inputs and outputs as well
    Int8,
    /// Activations of 16 bits, inputs and outputs as well, and weights of 8
    Int16x8,
    /// Weights of 8 bits, activations quantised as they come, floats outside
    Dynamic,
    /// Weights of 16-bit floats, all arithmetic in 32
    Float16,
}

/// What the values of calibration images become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageRange {
    #[value(name = "0..1")]
    Unit,
    #[value(name = "-1..1")]
    Signed,
    #[value(name = "0..255")]
    Bytes,
}

/// What the user decides about a conversion.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub quantize: Option<Quantisation>,
    pub calibrate: Option<PathBuf>,
    pub image_range: Option<ImageRange>,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Of inputs by their names.
    pub input_shapes: Vec<(String, Vec<usize>)>,
    /// Of a SavedModel.
    pub signature: Option<String>,
    /// Show what the converter says.
    pub verbose: bool,
}

/// What can be compiled.
#[derive(Debug)]
pub struct Source {
    /// A .tflite model, or what else was in a file that nobody converts.
    pub model: Vec<u8>,
    /// Where it was something else before.
    pub converted: Option<Converted>,
}

#[derive(Debug)]
pub struct Converted {
    /// In words, what was decided.
    pub notes: Vec<String>,
    pub quantised: Option<Quantised>,
}

/// What a quantised model can be compared with.
#[derive(Debug)]
pub struct Quantised {
    /// The same model in floats: a .tflite model.
    pub reference: Vec<u8>,
    /// Some samples of the calibration data, each an array for every input of `reference`, in their order. There are none of quantisations without.
    pub samples: Vec<Vec<Array>>,
}

/// A model whose bytes are known: it is not converted.
pub fn given(path: &Path, model: Vec<u8>, options: &Options) -> Result<Source, Failure> {
    options.are_none_for(path)?;
    Ok(Source { model, converted: None })
}

/// Whether a path is that of a model which is converted, as far as its name says.
pub fn is_foreign(path: &Path) -> bool {
    path.is_dir() || has_foreign_ending(path)
}

fn has_foreign_ending(path: &Path) -> bool {
    ENDINGS.iter().any(|e| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(e)))
}

/// Reads a model, and converts it where that is needed.
pub fn read(path: &Path, options: &Options) -> Result<Source, Failure> {
    let path = &saved_model(path).unwrap_or_else(|| path.into());
    let in_file = |diagnostic| Failure::Problems(vec![Problem { file: Some(path.clone()), diagnostic }]);
    if !path.join("saved_model.pb").is_file() {
        let model = files::read(path)?;
        let is_tflite = model.get(4..8) == Some(b"TFL3");
        if is_tflite {
            options.are_none_for(path)?;
        }
        if is_tflite || !has_foreign_ending(path) {
            return Ok(Source { model, converted: None });
        }
    }
    options.check()?;
    let mut stages = Stages::none();
    let (mut notes, mut phase) = (vec![], String::new());
    let finished = SCRIPT.run(&options.arguments(path), vec![], options.verbose, |line| match line.split_once(' ') {
        Some(("phase", text)) => {
            phase = text.into();
            stages.begin(phase.clone());
        }
        Some(("note", text)) => notes.push(text.into()),
        _ => {}
    });
    // What ended without a word did so in the middle of something.
    let is_open = |d: &Diagnostic| d.code == Code::PYTHON && d.found.is_none() && !phase.is_empty();
    let at = |d: Diagnostic| if is_open(&d) { d.found(format!("while {phase}")) } else { d };
    let finished = finished.map_err(|d| in_file(at(d)))?;
    let quantised = options.quantize.map(|_| Quantised::read(&finished)).transpose().map_err(in_file)?;
    Ok(Source { model: finished.read("model.tflite")?, converted: Some(Converted { notes, quantised }) })
}

/// What names of files end in that are converted.
const ENDINGS: [&str; 5] = ["keras", "h5", "hdf5", "pb", "pt2"];

/// The folder that a saved_model.pb belongs to.
fn saved_model(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|_| path.file_name().is_some_and(|name| name == "saved_model.pb"))?;
    Some(if folder.as_os_str().is_empty() { ".".into() } else { folder.into() })
}

impl Options {
    /// An option that has a meaning for conversions alone.
    fn first(&self) -> Option<&'static str> {
        let given = [
            ("--quantize", self.quantize.is_some()),
            ("--calibrate", self.calibrate.is_some()),
            ("--image-range", self.image_range.is_some()),
            ("--inputs", !self.inputs.is_empty()),
            ("--outputs", !self.outputs.is_empty()),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option)
    }

    fn are_none_for(&self, path: &Path) -> Result<(), Failure> {
        match self.first() {
            Some(option) => {
                Err(Failure::Usage(format!("{option} is for models that are converted, and {} is a .tflite model already", shown(path))))
            }
            None => Ok(()),
        }
    }

    /// Before Python is asked.
    fn check(&self) -> Result<(), Failure> {
        let is_calibrated = matches!(self.quantize, Some(Quantisation::Int8 | Quantisation::Int16x8));
        match (&self.calibrate, is_calibrated) {
            (None, true) => Err(Failure::Usage(
                "--quantize int8 and int16x8 need --calibrate: the ranges of activations are measured on samples of what the inputs will be.\n\
                 Give an .npz file with an array of samples for each input, or a folder of images or WAV files; some 100 samples are usual.\n\
                 --quantize dynamic and float16 need none"
                    .into(),
            )),
            (Some(_), false) => Err(Failure::Usage("--calibrate is for --quantize int8 and int16x8 alone".into())),
            (Some(path), true) if !path.exists() => {
                Err(Diagnostic::new(Code::FILE_ACCESS, format!("cannot read {}: no such file or folder", shown(path))).into())
            }
            _ => Ok(()),
        }
    }

    fn arguments(&self, model: &Path) -> Vec<OsString> {
        let mut all: Vec<OsString> = ["--output", "model.tflite"].map(OsString::from).into();
        // Joined by `=`, so that no value is taken for an option.
        let mut add = |option: &str, value: OsString| {
            let mut word = OsString::from(option);
            word.push("=");
            word.push(value);
            all.push(word);
        };
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| value().map(|v| OsString::from(v.get_name()));
        if let Some(kind) = self.quantize.and_then(|q| name(&|| q.to_possible_value())) {
            add("--quantize", kind);
        }
        if let Some(path) = &self.calibrate {
            add("--calibrate", path.into());
        }
        if let Some(range) = self.image_range.and_then(|r| name(&|| r.to_possible_value())) {
            add("--image-range", range);
        }
        for (option, names) in [("--inputs", &self.inputs), ("--outputs", &self.outputs)] {
            if !names.is_empty() {
                add(option, names.join(",").into());
            }
        }
        for (name, shape) in &self.input_shapes {
            let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
            add("--input-shape", format!("{name}={}", shape.join(",")).into());
        }
        if let Some(signature) = &self.signature {
            add("--signature", signature.into());
        }
        all.extend(self.verbose.then(|| "--verbose".into()));
        all.extend(["--".into(), model.into()]);
        all
    }
}

impl Quantised {
    fn read(finished: &Finished) -> Result<Quantised, Diagnostic> {
        let array = |k: usize, i: usize| {
            let name = format!("sample{k}.{i}.npy");
            let is_there = finished.folder.path().join(&name).exists();
            let parse = |bytes: Vec<u8>| Array::parse(&bytes).map_err(|e| Diagnostic::new(Code::INPUT, format!("calibration data: {e}")));
            is_there.then(|| finished.read(&name).and_then(parse))
        };
        let sample = |k| (0..).map_while(|i| array(k, i)).collect::<Result<Vec<Array>, _>>();
        let samples = (0..).map(sample).take_while(|s| s.as_ref().map_or(true, |arrays| !arrays.is_empty())).collect::<Result<_, _>>()?;
        Ok(Quantised { reference: finished.read("reference.tflite")?, samples })
    }
}
