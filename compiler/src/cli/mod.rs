//! The command line: one file per command, dispatch and exit codes here.
//!
//! Exit codes: 0 done, 1 the model or the input is at fault, 2 the usage is. Whatever happens, a message says what and what to do;
//! a panic anywhere becomes an internal error with exit code 1.

mod bench;
mod check;
mod compile;
mod convert;
mod hwbench;
mod inspect;
mod lists;
mod options;
mod per_operator;
mod run;
mod steps;

use crate::diagnostic::{Failure, internal, json_line, shown, tidy};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cranelite_graph::diagnostic::{Code, Diagnostic};
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

/// Compiles TensorFlow Lite models, ahead of time, into native objects that need no interpreter, no library and no heap.
#[derive(Parser)]
#[command(name = "cranelite", bin_name = "cranelite", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compile(compile::CompileArgs),
    Convert(convert::ConvertArgs),
    Check(check::CheckArgs),
    Run(run::RunArgs),
    Bench(bench::BenchArgs),
    Hwbench(hwbench::HwbenchArgs),
    Inspect(inspect::InspectArgs),
    Targets(lists::TargetsArgs),
    Ops(lists::OpsArgs),
    Explain(lists::ExplainArgs),
    Completions(lists::CompletionsArgs),
    Man(lists::ManArgs),
}

type Outcome = Result<(), Failure>;

impl Command {
    /// Whether problems are to be told as JSON too.
    fn is_json(&self) -> bool {
        match self {
            Command::Compile(args) => args.json,
            Command::Check(args) => args.json,
            Command::Bench(args) => args.json,
            Command::Hwbench(args) => args.json,
            Command::Inspect(args) => args.json,
            _ => false,
        }
    }

    fn execute(self) -> Outcome {
        match self {
            Command::Compile(args) => compile::compile(args),
            Command::Convert(args) => convert::convert(args),
            Command::Check(args) => check::check(args),
            Command::Bench(args) => bench::bench(args),
            Command::Hwbench(args) => hwbench::hwbench(args),
            Command::Inspect(args) => inspect::inspect(args),
            Command::Targets(args) => lists::targets(args),
            Command::Run(args) => run::run(args),
            Command::Ops(args) => lists::ops(args),
            Command::Explain(args) => lists::explain(args),
            Command::Completions(args) => lists::completions(args),
            Command::Man(args) => lists::man(args),
        }
    }
}

pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let is_json = cli.command.is_json();
    match guarded(|| cli.command.execute()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if is_json {
                print_json(&failure.to_json());
            }
            complain(&failure.render());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Runs `work`; a panic in it becomes an internal error.
fn guarded(work: impl FnOnce() -> Outcome) -> Outcome {
    static PANIC: Mutex<Option<String>> = Mutex::new(None);
    let before = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        *PANIC.lock().unwrap_or_else(|e| e.into_inner()) = Some(format!("{message}{place}"));
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(before);
    outcome.unwrap_or_else(|_| {
        let message = PANIC.lock().unwrap_or_else(|e| e.into_inner()).take().unwrap_or_default();
        Err(internal("an assumption of the compiler does not hold", message).into())
    })
}

/// Says on standard error what of a model was not compiled.
fn warn(model: &Path, left_out: &[String]) {
    for what in left_out {
        complain(&format!("warning: {}: {what}\n", shown(model)));
    }
}

/// For people.
fn print(text: &str) {
    print_raw(&tidy(text));
}

/// One line.
fn print_json(value: &Value) {
    print_raw(&json_line(value));
}

/// Writes to standard output; a reader that has gone away ends the program without a word, as for any filter.
fn print_raw(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            let d = Diagnostic::new(Code::FILE_ACCESS, format!("cannot write to standard output: {e}"));
            complain(&Failure::from(d).render());
            std::process::exit(1);
        }
    }
}

/// Writes to standard error. Where that is not possible there is nobody to tell.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error() {
        let failure = guarded(|| panic!("three is not two")).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.render().starts_with("error[E0901]: an assumption of the compiler does not hold: three is not two"));
    }

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
    }
}
