//! How problems are told: on a terminal and as JSON, with the exit code they mean.
//!
//! What the problems are is in `cranelite_graph::diagnostic`. The idea: nothing is told twice, nothing is left out, and a
//! message ends with the way out.

use cranelite_graph::diagnostic::{Code, Diagnostic};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The model or the input is at fault: exit code 1.
    Problems { file: Option<PathBuf>, list: Vec<Diagnostic> },
    /// The command line is: exit code 2.
    Usage(String),
}

impl Failure {
    pub fn in_file(file: &Path) -> impl FnOnce(Vec<Diagnostic>) -> Failure {
        |list| Failure::Problems { file: Some(file.into()), list }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Problems { .. } => 1,
            Failure::Usage(_) => 2,
        }
    }

    /// Several lines, the last one ended.
    pub fn render(&self) -> String {
        match self {
            Failure::Usage(message) => format!("error: {message}\n\nFor more information, try '--help'.\n"),
            Failure::Problems { file, list } => {
                let mut out: String = list.iter().map(|d| render(file.as_deref(), d)).collect();
                let mut codes: Vec<&str> = list.iter().map(|d| d.code.0).collect();
                codes.sort_unstable();
                codes.dedup();
                let count = if list.len() == 1 { "1 problem".into() } else { format!("{} problems", list.len()) };
                let more = codes.iter().map(|c| format!("`cranelite explain {c}`")).collect::<Vec<_>>().join(", ");
                writeln!(out, "{count}; more about the codes: {more}").expect("a string takes everything");
                out
            }
        }
    }

    /// `error` sums up; `diagnostics` has everything.
    pub fn to_json(&self) -> Value {
        match self {
            Failure::Usage(message) => json!({ "error": message, "diagnostics": [] }),
            Failure::Problems { file, list } => {
                let all: Vec<_> = list.iter().map(|d| to_json(file.as_deref(), d)).collect();
                json!({ "error": list.first().map(ToString::to_string), "diagnostics": all })
            }
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(d: Diagnostic) -> Self {
        Failure::Problems { file: None, list: vec![d] }
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(list: Vec<Diagnostic>) -> Self {
        Failure::Problems { file: None, list }
    }
}

/// A check inside the compiler failed.
pub fn internal(what: &str, details: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::new(Code::INTERNAL, format!("{what}: {details}")).help("this is a bug of cranelite: please report it with the model")
}

/// ```text
/// error[E0203]: the filter's depth differs from the input's
///   --> model.tflite: subgraph 0, operator 17 CONV_2D, input 1 "w"
///   expected: 16
///   found:    8
///   help:     export the model again
/// ```
pub fn render(file: Option<&Path>, d: &Diagnostic) -> String {
    let mut out = format!("error[{}]: {}\n", d.code.0, d.message);
    let place = d.place.to_string();
    let place: Vec<String> = file.map(|f| f.display().to_string()).into_iter().chain((!place.is_empty()).then_some(place)).collect();
    let mut line = |label: &str, text: &str| {
        let indented = text.replace('\n', "\n            ");
        out.push_str(&format!("  {label:<9} {indented}\n"));
    };
    if !place.is_empty() {
        line("-->", &place.join(": "));
    }
    for (label, text) in [("expected:", &d.expected), ("found:", &d.found), ("help:", &d.help)] {
        if let Some(text) = text {
            line(label, text);
        }
    }
    out
}

fn to_json(file: Option<&Path>, d: &Diagnostic) -> Value {
    json!({
        "code": d.code.0,
        "file": file.map(|f| f.display().to_string()),
        "subgraph": d.place.subgraph,
        "operator": d.place.operator.as_ref().map(|(index, _)| index),
        "operator_name": d.place.operator.as_ref().map(|(_, name)| name),
        "detail": d.place.detail,
        "message": d.message,
        "expected": d.expected,
        "found": d.found,
        "help": d.help,
    })
}
