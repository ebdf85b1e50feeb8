//! The native part of the Python package `cranelite`: `cranelite._native`.
//!
//! What it is not: no meaning of options or models, which are those of the crate `cranelite`; and nothing that Python can say as well, which
//! is in `cranelite/*.py`. The ideas: arrays are read and written where they are; the interpreter's lock is released while a model runs or
//! compiles; and whatever goes wrong, a panic included, is an exception.

mod arrays;
mod compiler;
mod failure;
mod file;
mod interpreter;
mod model;

use pyo3::prelude::*;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<arrays::Tensor>()?;
    m.add_class::<model::Model>()?;
    m.add_class::<interpreter::Interpreter>()?;
    m.add_class::<interpreter::View>()?;
    m.add_function(wrap_pyfunction!(compiler::run_words, m)?)?;
    m.add_function(wrap_pyfunction!(compiler::options, m)?)?;
    m.add_function(wrap_pyfunction!(compiler::compile, m)?)?;
    m.add_function(wrap_pyfunction!(compiler::check, m)?)?;
    m.add_function(wrap_pyfunction!(compiler::convert, m)?)?;
    m.add_function(wrap_pyfunction!(compiler::optimize, m)?)?;
    m.add_function(wrap_pyfunction!(compiler::is_foreign, m)?)?;
    m.add_function(wrap_pyfunction!(model::load, m)?)?;
    Ok(())
}
