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
    /// The model or the input is at fault, or the target.
    Problems(Vec<Problem>),
    /// The command line is.
    Usage(String),
}

#[derive(Debug)]
pub struct Problem {
    pub file: Option<PathBuf>,
    pub diagnostic: Diagnostic,
}

impl Failure {
    pub fn in_file(file: &Path) -> impl FnOnce(Vec<Diagnostic>) -> Failure {
        |list| Failure::Problems(list.into_iter().map(|diagnostic| Problem { file: Some(file.into()), diagnostic }).collect())
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Problems(list) if list.iter().any(|p| ![Code::TARGET, Code::CPU].contains(&p.diagnostic.code)) => 1,
            _ => 2,
        }
    }

    /// Several lines, the last one ended.
    pub fn render(&self) -> String {
        match self {
            Failure::Usage(message) => format!("error: {message}\n\nFor more information, try '--help'.\n"),
            Failure::Problems(list) => {
                let mut out: String = list.iter().map(render).collect();
                if self.exit_code() == 2 {
                    return out;
                }
                let mut codes: Vec<&str> = list.iter().map(|p| p.diagnostic.code.0).collect();
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
            Failure::Problems(list) => {
                let all: Vec<_> = list.iter().map(to_json).collect();
                json!({ "error": list.first().map(|p| p.diagnostic.to_string()), "diagnostics": all })
            }
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Failure::Problems(vec![Problem { file: None, diagnostic }])
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(list: Vec<Diagnostic>) -> Self {
        Failure::Problems(list.into_iter().map(|diagnostic| Problem { file: None, diagnostic }).collect())
    }
}

/// A check inside the compiler failed.
pub fn internal(what: &str, details: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::new(Code::INTERNAL, format!("{what}: {details}")).help("this is a bug of cranelite: please report it with the model")
}

/// ```text
/// error[E0203]: the filter's depth differs from the input's
///   -->       model.tflite: subgraph 0, operator 17 CONV_2D, input 1 "w"
///   expected: 16
///   found:    8
///   help:     export the model again
/// ```
fn render(Problem { file, diagnostic: d }: &Problem) -> String {
    let mut out = format!("error[{}]: {}\n", d.code.0, d.message);
    let place = d.place.to_string();
    let place: Vec<String> = file.iter().map(|f| f.display().to_string()).chain((!place.is_empty()).then_some(place)).collect();
    let place = (!place.is_empty()).then(|| place.join(": "));
    for (label, text) in [("-->", &place), ("expected:", &d.expected), ("found:", &d.found), ("help:", &d.help)] {
        if let Some(text) = text {
            writeln!(out, "  {label:<9} {}", text.replace('\n', "\n            ")).expect("a string takes everything");
        }
    }
    out
}

fn to_json(Problem { file, diagnostic: d }: &Problem) -> Value {
    json!({
        "code": d.code.0,
        "file": file,
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
