//! What goes wrong, as exceptions; and long work that Ctrl-C ends.

use cranelite::diagnostic::Failure;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Why a model does not compile, as `cranelite._errors` words it.
pub fn exception(py: Python, failure: &Failure) -> PyErr {
    let usage = match failure {
        Failure::Usage(message) => Some(message.as_str()),
        Failure::Problems(_) => None,
    };
    let made = PyModule::import(py, "cranelite._errors")
        .and_then(|module| module.getattr("from_failure")?.call1((failure.to_json().to_string(), failure.render(), usage)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(e) => e,
    }
}

/// Why a call failed: its inputs, mostly.
pub fn call_failed(failure: &Failure) -> PyErr {
    let text = |d: &Diagnostic| match d.way_out() {
        Some(help) => format!("{}: {help}", d.message),
        None => d.message.clone(),
    };
    match failure {
        Failure::Problems(list) => {
            let message = list.iter().map(|p| text(&p.diagnostic)).collect::<Vec<_>>().join("\n");
            if list.iter().all(|p| p.diagnostic.code == Code::INPUT) {
                PyValueError::new_err(message)
            } else {
                PyRuntimeError::new_err(message)
            }
        }
        Failure::Usage(message) => PyValueError::new_err(message.clone()),
    }
}

/// How often somebody asks whether Ctrl-C was pressed.
const PATIENCE: Duration = Duration::from_millis(50);
/// As large as a program's first thread has it.
const STACK_BYTES: usize = 8 << 20;

/// Does long work on a thread of its own while other threads of Python run. After Ctrl-C nobody waits for it any more, and what it makes is
/// dropped.
pub fn interruptible<T: Send + 'static>(py: Python, work: impl FnOnce() -> T + Send + 'static) -> PyResult<T> {
    let (done, mut waiting) = mpsc::channel();
    let worker = std::thread::Builder::new().name("cranelite".into()).stack_size(STACK_BYTES);
    worker.spawn(move || drop(done.send(work()))).map_err(|e| PyRuntimeError::new_err(format!("a thread cannot be started: {e}")))?;
    loop {
        let (result, again) = py.detach(move || (waiting.recv_timeout(PATIENCE), waiting));
        waiting = again;
        match result {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("an assumption of the compiler does not hold")),
        }
    }
}
