//! The user's Python, which does what only its libraries can: which one it is, and how a script of ours runs in it.
//!
//! A script is one file that is part of this program. Data goes both ways through a temporary folder, which [`FOLDER`] names; what it prints is what it
//! says of its progress, line by line, and its standard error is kept for the case that it fails. The idea: whatever goes wrong in there, one message
//! comes out. A script that knows what is wrong says so in [`PROBLEM`]; of others, Python's last line is told.

use crate::diagnostic::tidy;
use crate::files::{self, Files};
use cranelite_graph::diagnostic::{CODES, Code, Diagnostic};
use serde::Deserialize;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;
use tempfile::TempDir;

/// Names the Python to use instead of `python3` or `python`.
pub const VARIABLE: &str = "CRANELITE_PYTHON";

/// The variable in which a script finds the folder.
pub const FOLDER: &str = "CRANELITE_FOLDER";

/// The file in the folder in which a script says what is wrong: an object with `code`, `message`, and perhaps `expected`, `found`, `help`.
pub const PROBLEM: &str = "problem.json";

/// A program in Python that is part of this one.
pub struct Script {
    pub file_name: &'static str,
    pub source: &'static str,
    /// What it does, as in "Python is needed to ...".
    pub purpose: &'static str,
    /// Modules that it imports, and what pip calls their packages where that is another word.
    pub packages: &'static [(&'static str, &'static str)],
}

/// A script that did its work.
pub struct Finished {
    /// Where it left its results; it goes when this does.
    pub folder: TempDir,
}

impl Finished {
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Diagnostic> {
        files::read(&self.folder.path().join(name))
    }
}

impl Script {
    /// Runs it in the folder that the user is in; `files` are in the temporary one by their names. `said` gets what it prints, line by line. With
    /// `verbose` the user sees what else Python has to say.
    pub fn run(
        &self,
        arguments: &[OsString],
        files: Vec<(String, Vec<u8>)>,
        verbose: bool,
        mut said: impl FnMut(&str),
    ) -> Result<Finished, Diagnostic> {
        // One at a time: there is one child that Ctrl-C ends.
        let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        let folder = tempfile::tempdir().map_err(|e| Diagnostic::new(Code::FILE_ACCESS, format!("cannot create a folder: {e}")))?;
        // Python looks for modules beside the script, so nothing else may be there.
        let script = folder.path().join("script").join(self.file_name);
        let mut all = Files::default();
        all.add(script.clone(), self.source);
        files.into_iter().for_each(|(name, bytes)| all.add(folder.path().join(name), bytes));
        all.write()?;

        let words = [OsStr::new("-u"), script.as_os_str()].into_iter().chain(arguments.iter().map(OsString::as_os_str)).collect();
        let (python, (stdout, stderr)) = self.start(words, &folder)?;
        let told = thread::spawn(move || stderr.map(|s| listen(s, verbose)).unwrap_or_default());
        for line in stdout.into_iter().flat_map(|s| BufReader::new(s).split(b'\n')).map_while(Result::ok) {
            said(String::from_utf8_lossy(&line).trim_end());
        }
        let status = wait();
        let told = told.join().unwrap_or_default();
        let status = match status {
            Some(status) => status.map_err(|e| Diagnostic::new(Code::TOOL, format!("{} cannot be waited for: {e}", python.shown())))?,
            // As shells say it of a program that Ctrl-C ended.
            None => {
                drop(folder);
                std::process::exit(130);
            }
        };
        if status.success() {
            return Ok(Finished { folder });
        }
        if let Some(d) = files::read(&folder.path().join(PROBLEM)).ok().and_then(|bytes| Problem::parse(&bytes)) {
            return Err(d);
        }
        Err(self.failed(&python, &status.to_string(), &told))
    }

    /// The first Python that is there, with a child that runs.
    fn start(&self, words: Vec<&OsStr>, folder: &TempDir) -> Result<(Python, Pipes), Diagnostic> {
        let candidates = Python::candidates();
        for python in &candidates {
            let mut command = Command::new(&python.program);
            command.args(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            // Names and messages may have any characters, whatever the terminal is set to.
            match spawn(command.env("PYTHONIOENCODING", "utf-8:backslashreplace").env(FOLDER, folder.path())) {
                Ok(pipes) => return Ok((python.clone(), pipes)),
                Err(e) if e.kind() == io::ErrorKind::NotFound && !python.is_named => {}
                Err(e) => {
                    let message = format!("{}, which is needed to {}, does not start: {e}", python.shown(), self.purpose);
                    return Err(Diagnostic::new(Code::PYTHON, message).help(format!("let {VARIABLE} name a Python: a path, or a command")));
                }
            }
        }
        let help = format!("install Python, or let {VARIABLE} name one that is not on the path");
        let message = format!("there is no Python, which is needed to {}", self.purpose);
        Err(Diagnostic::new(Code::PYTHON, message).expected("python3 or python on the path").help(help))
    }

    /// What it means that a script ended without saying why.
    fn failed(&self, python: &Python, status: &str, told: &[String]) -> Diagnostic {
        let last = told.iter().rev().find(|line| !line.trim().is_empty()).map_or("", |line| line.trim());
        let missing = last.strip_prefix("ModuleNotFoundError: No module named '").and_then(|rest| rest.split('\'').next());
        let Some(module) = missing else {
            let what = if last.is_empty() { String::new() } else { format!(": {last}") };
            let message = format!("{} ends with {status}{what}", python.shown());
            return Diagnostic::new(Code::PYTHON, message).help("--verbose shows everything that Python says");
        };
        let root = module.split('.').next().unwrap_or(module);
        let package = self.packages.iter().find(|(name, _)| *name == root).map_or(root, |(_, package)| package);
        let program = python.program.to_string_lossy();
        let help = format!("install it, `{program} -m pip install {package}`, or let {VARIABLE} name a Python that has it");
        let message = format!("Python has no module {root}, which is needed to {}", self.purpose);
        Diagnostic::new(Code::PYTHON, message).expected(module).found(python.described()).help(help)
    }
}

/// Which Python is asked.
#[derive(Clone)]
struct Python {
    program: OsString,
    /// By the user, so there is no other.
    is_named: bool,
}

impl Python {
    fn candidates() -> Vec<Python> {
        match std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
            Some(program) => vec![Python { program, is_named: true }],
            None => ["python3", "python"].map(|name| Python { program: name.into(), is_named: false }).into(),
        }
    }

    fn shown(&self) -> String {
        let of = if self.is_named { format!(" (of {VARIABLE})") } else { String::new() };
        format!("`{}`{of}", tidy(&self.program.to_string_lossy()))
    }

    /// With its version and where it is, as far as it tells.
    fn described(&self) -> String {
        let ask = "import sys; print(sys.version.split()[0], sys.executable)";
        let out = Command::new(&self.program).args(["-c", ask]).stdin(Stdio::null()).output();
        let answer = out.ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string());
        match answer.as_deref().and_then(|a| a.split_once(' ')) {
            Some((version, path)) => format!("{}: Python {version} in {path}", self.shown()),
            None => self.shown(),
        }
    }
}

/// The last lines of what a child says; the user sees them too, if wanted.
fn listen(stream: impl Read, verbose: bool) -> Vec<String> {
    const KEPT: usize = 400;
    let mut lines = VecDeque::new();
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if verbose {
            let _ = writeln!(io::stderr().lock(), "{}", tidy(&line));
        }
        lines.push_back(line);
        if KEPT < lines.len() {
            lines.pop_front();
        }
    }
    lines.into()
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    message: String,
    expected: Option<String>,
    found: Option<String>,
    help: Option<String>,
}

impl Problem {
    fn parse(bytes: &[u8]) -> Option<Diagnostic> {
        let Problem { code, message, expected, found, help } = serde_json::from_slice(bytes).ok()?;
        let known = CODES.iter().find(|c| c.code == code)?;
        Some(Diagnostic { expected, found, help, ..Diagnostic::new(Code(known.code), message) })
    }
}

/// The child that Ctrl-C ends, and whether it did.
struct Running {
    child: Option<Child>,
    is_interrupted: bool,
}

static TURN: Mutex<()> = Mutex::new(());
static RUNNING: Mutex<Running> = Mutex::new(Running { child: None, is_interrupted: false });

/// Whether Ctrl-C is this program's to handle. It is not where a host has the compiler in its process, as the Python package does.
static HANDLES_INTERRUPTS: AtomicBool = AtomicBool::new(false);

/// For the program of the command line, when it begins.
pub fn handle_interrupts() {
    HANDLES_INTERRUPTS.store(true, Ordering::Relaxed);
}

/// Installed with the first script. Without a child the program ends as it would have.
static HANDLER: LazyLock<()> = LazyLock::new(|| {
    let _ = ctrlc::set_handler(|| {
        let mut running = RUNNING.lock().unwrap_or_else(|e| e.into_inner());
        match &mut running.child {
            Some(child) => {
                let _ = child.kill();
                running.is_interrupted = true;
            }
            None => std::process::exit(130),
        }
    });
});

/// What a child prints and says.
type Pipes = (Option<ChildStdout>, Option<ChildStderr>);

/// Starts a child that Ctrl-C ends, at any time: a converter deep in C++ does not hear of it, and the folder has to go.
fn spawn(command: &mut Command) -> io::Result<Pipes> {
    if HANDLES_INTERRUPTS.load(Ordering::Relaxed) {
        LazyLock::force(&HANDLER);
    }
    let mut running = RUNNING.lock().unwrap_or_else(|e| e.into_inner());
    let mut child = command.spawn()?;
    let pipes = (child.stdout.take(), child.stderr.take());
    running.child = Some(child);
    Ok(pipes)
}

/// How the child ended by itself, which printed all that it had to print: `None` if it was interrupted.
fn wait() -> Option<io::Result<ExitStatus>> {
    let mut running = RUNNING.lock().unwrap_or_else(|e| e.into_inner());
    let status = running.child.take().map(|mut child| child.wait());
    if running.is_interrupted { None } else { status }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const SCRIPT: Script = Script {
        file_name: "script.py",
        source: r#"
import json, os, sys
folder = os.environ["CRANELITE_FOLDER"]
what, data = sys.argv[1], open(os.path.join(folder, "data")).read()
print("doing", what, flush=True)
if what == "import":
    import cranelite_no_such_module.inner
if what == "problem":
    json.dump({"code": "E0507", "message": "no", "found": "é" + data}, open(os.path.join(folder, "problem.json"), "w"))
    sys.exit(1)
if what == "raise":
    raise ValueError("too bad")
open(os.path.join(folder, "result"), "w").write(data.upper())
"#,
        purpose: "test",
        packages: &[("cranelite_no_such_module", "no-such-package")],
    };

    fn run(what: &str) -> Result<(String, Vec<String>), Diagnostic> {
        let mut said = vec![];
        let files = vec![("data".to_string(), b"abc".to_vec())];
        let finished = SCRIPT.run(&[what.into()], files, false, |line| said.push(line.into()))?;
        Ok((String::from_utf8(finished.read("result")?).unwrap(), said))
    }

    #[test]
    fn data_goes_both_ways() {
        assert_eq!(run("work").unwrap(), ("ABC".to_string(), vec!["doing work".to_string()]));
    }

    /// Of several threads, each waits for its own child.
    #[test]
    fn scripts_take_turns() {
        thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| run("work"))).collect();
            assert!(all.into_iter().all(|one| one.join().unwrap().is_ok_and(|(result, _)| result == "ABC")));
        });
    }

    #[test]
    fn one_message_whatever_is_wrong() {
        let d = run("import").unwrap_err();
        assert_eq!((d.code, &*d.message), (Code::PYTHON, "Python has no module cranelite_no_such_module, which is needed to test"));
        let (found, help) = (d.found.unwrap(), d.help.unwrap());
        assert!(found.contains(": Python 3."), "{found}");
        assert!(help.contains(" -m pip install no-such-package`") && help.contains(VARIABLE), "{help}");
        let d = run("problem").unwrap_err();
        assert_eq!((d.code, &*d.message, d.found.as_deref()), (Code::CONVERSION, "no", Some("éabc")));
        let d = run("raise").unwrap_err();
        assert!(d.code == Code::PYTHON && d.message.ends_with("exit status: 1: ValueError: too bad"), "{d}");
    }
}
