//! The command line: one file per command, dispatch and exit codes here.
//!
//! Exit codes: 0 done, 1 the model or the input is at fault, 2 the usage is. Whatever happens, a message says what and what to do;
//! a panic anywhere becomes an internal error with exit code 1.

mod bench;
mod check;
mod compare;
mod compile;
mod convert;
mod count;
pub mod embedded;
mod hwbench;
mod inspect;
mod lists;
mod optimize;
mod options;
mod per_operator;
mod run;
mod steps;
mod xcframework;

use crate::diagnostic::{Failure, internal, json_line, shown, tidy};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cranelite_graph::diagnostic::{Code, Diagnostic};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

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
    Xcframework(xcframework::XcframeworkArgs),
    Convert(convert::ConvertArgs),
    Optimize(optimize::OptimizeArgs),
    Check(check::CheckArgs),
    Run(run::RunArgs),
    Compare(compare::CompareArgs),
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
            Command::Xcframework(args) => args.json,
            Command::Optimize(args) => args.json,
            Command::Check(args) => args.json,
            Command::Compare(args) => args.json,
            Command::Bench(args) => args.json,
            Command::Hwbench(args) => args.json,
            Command::Inspect(args) => args.json,
            _ => false,
        }
    }

    fn execute(self) -> Outcome {
        match self {
            Command::Compile(args) => compile::compile(args),
            Command::Xcframework(args) => xcframework::xcframework(args),
            Command::Convert(args) => convert::convert(args),
            Command::Optimize(args) => optimize::command(args),
            Command::Check(args) => check::check(args),
            Command::Compare(args) => compare::command(args),
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
    crate::python::handle_interrupts();
    ExitCode::from(run_words(std::env::args_os()))
}

/// Does what a command line says, of which the first word is the program, and returns the exit code.
pub fn run_words(words: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = Cli::command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return e.exit_code() as u8;
        }
    };
    let is_json = cli.command.is_json();
    match guarded(|| cli.command.execute()) {
        Ok(()) => 0,
        Err(failure) => {
            if is_json {
                print_json(&failure.to_json());
            }
            complain(&failure.render());
            failure.exit_code()
        }
    }
}

/// Runs `work`; a panic in it becomes an internal error.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // Several threads of a program may be in here at once: only while one is, panics are kept instead of printed.
    static GUARDED: AtomicUsize = AtomicUsize::new(0);
    static PANIC: Mutex<Option<String>> = Mutex::new(None);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if GUARDED.load(Ordering::SeqCst) == 0 {
                return before(info);
            }
            let message = info.payload_as_str().unwrap_or("no message");
            let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
            *PANIC.lock().unwrap_or_else(|e| e.into_inner()) = Some(format!("{message}{place}"));
        }));
    });
    GUARDED.fetch_add(1, Ordering::SeqCst);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.fetch_sub(1, Ordering::SeqCst);
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
        let failure = guarded::<()>(|| panic!("three is not two")).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.render().starts_with("error[E0901]: an assumption of the compiler does not hold: three is not two"));
    }

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
    }
}
