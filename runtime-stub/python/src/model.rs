//! A model that is called with arrays: `cranelite.load`.
//!
//! The idea: what a call needs is found out when the model is loaded, so that a call of a small model costs little more than the model.

use crate::arrays::{self, Array, Tensor};
use crate::failure::{call_failed, exception, interruptible};
use cranelite::cli::embedded::Loading;
use cranelite::cli::guarded;
use cranelite::diagnostic::Failure;
use cranelite::instance::Instance;
use cranelite::pipeline::Entry;
use cranelite::report;
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySequence, PyTuple};
use std::ffi::OsString;
use std::sync::{Arc, Mutex, TryLockError};

/// A compiled model in memory, ready to be called; `cranelite.load` makes one.
///
/// `model(x)` runs it on one array, `model(x, y)` on several in the order of `model.inputs`, and `model({"x": x, "y": y})` or
/// `model(x=x, y=y)` on arrays by name. The result is the array of the only output, or a dictionary of arrays by name where there are
/// several. Arrays must have the type and the shape of the input; those in C order are read where they are, others are copied first.
/// `out=` takes arrays for the results (one, or a sequence or dictionary of them), which are then written instead of new ones; an input that is called
/// "out" is given in a dictionary.
///
/// Raises TypeError for arguments of another number, name or type, ValueError for shapes and for indices in the data that are out of range,
/// and RuntimeError when the model runs in another thread: the interpreter's lock is released meanwhile, and one model does one thing at a time.
#[pyclass(frozen, module = "cranelite")]
pub struct Model {
    loaded: Arc<Loaded>,
    /// Which of the signatures it is.
    number: usize,
}

/// What all signatures of a model have in common.
struct Loaded {
    name: String,
    /// None when it is closed.
    instance: Mutex<Option<Instance>>,
    signatures: Vec<Signature>,
    left_out: Vec<String>,
    report: String,
    /// In bytes, by what they are of.
    sizes: [(&'static str, u64); 5],
}

struct Signature {
    key: String,
    inputs: Vec<Py<Tensor>>,
    outputs: Vec<Py<Tensor>>,
    /// What the results are called: unique.
    names: Vec<String>,
    /// Of answers of a pipeline: their names, and names of classes.
    labels: Vec<(String, Vec<String>)>,
    /// Of the model's outputs: the output that counts the first dimension. Behind these are only those that count.
    counts: Vec<Option<usize>>,
}

impl Signature {
    fn of(py: Python, entry: &Entry) -> PyResult<Signature> {
        let tensors =
            |all: &[cranelite::signature::Tensor]| all.iter().map(|t| Py::new(py, Tensor::of(py, t)?)).collect::<PyResult<Vec<_>>>();
        let (inputs, outputs) = (tensors(&entry.signature.inputs)?, tensors(&entry.signature.outputs)?);
        let mut names: Vec<String> = vec![];
        for (i, output) in outputs.iter().enumerate().take(entry.signature.own_output_count) {
            let mut name = output.get().name.clone();
            while names.contains(&name) {
                name = format!("{name}_{i}");
            }
            names.push(name);
        }
        let answers = entry.signature.answers.iter().filter(|a| !a.labels.is_empty());
        let labels = answers.map(|a| (a.name.clone(), a.labels.clone())).collect();
        Ok(Signature { key: entry.key.clone(), inputs, outputs, names, labels, counts: entry.signature.counts.clone() })
    }

    /// The arguments of a call, in the order of the inputs.
    fn arguments<'py>(&self, args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let by_name = match (args.len(), kwargs) {
            (0, Some(kwargs)) => Some(kwargs.clone()),
            (1, None) => args.get_item(0)?.cast_into::<PyDict>().ok(),
            (_, None) => None,
            (_, Some(_)) => {
                return Err(PyTypeError::new_err(format!(
                    "arrays are given by position or by name, not both: {}",
                    self.expected(args.py())
                )));
            }
        };
        let Some(by_name) = by_name else {
            if args.len() != self.inputs.len() {
                return Err(PyTypeError::new_err(format!("{} arrays are given: {}", args.len(), self.expected(args.py()))));
            }
            return Ok(args.iter().collect());
        };
        let one = |t: &Py<Tensor>| {
            let t = t.get();
            let found = by_name.get_item(&t.name)?.map_or_else(|| by_name.get_item(&t.tensor_name), |a| Ok(Some(a)))?;
            found.ok_or_else(|| PyTypeError::new_err(format!("input {:?} is missing: {}", t.name, self.expected(args.py()))))
        };
        let arrays = self.inputs.iter().map(one).collect::<PyResult<Vec<_>>>()?;
        if arrays.len() < by_name.len() {
            let is_known = |name: &str| self.inputs.iter().any(|t| [&t.get().name, &t.get().tensor_name].contains(&&name.to_string()));
            let unknown = by_name.keys().iter().map(|k| k.to_string()).find(|k| !is_known(k)).unwrap_or_default();
            return Err(PyTypeError::new_err(format!("the model has no input {unknown:?}: {}", self.expected(args.py()))));
        }
        Ok(arrays)
    }

    fn expected(&self, py: Python) -> String {
        let all: Vec<String> = self.inputs.iter().map(|t| format!("{:?} {}", t.get().name, t.get().describe(py))).collect();
        match all.len() {
            0 => "the model takes none".into(),
            1 => format!("the model takes 1, {}", all[0]),
            n => format!("the model takes {n}, {}", all.join("; ")),
        }
    }

    /// The arrays that results are written to.
    fn results<'py>(&self, py: Python<'py>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Vec<Array<'py>>> {
        let Some(out) = out else { return self.outputs.iter().map(|t| t.get().fresh(py)).collect() };
        let own = self.names.len();
        let given: Vec<Bound<PyAny>> = if out.cast::<numpy::PyUntypedArray>().is_ok() {
            vec![out.clone()]
        } else if let Ok(by_name) = out.cast::<PyDict>() {
            let one = |name: &String| {
                by_name.get_item(name)?.ok_or_else(|| PyTypeError::new_err(format!("out has no array for output {name:?}")))
            };
            self.names.iter().map(one).collect::<PyResult<_>>()?
        } else if let Ok(several) = out.cast::<PySequence>() {
            several.try_iter()?.collect::<PyResult<_>>()?
        } else {
            vec![out.clone()]
        };
        if given.len() != own {
            return Err(PyTypeError::new_err(format!(
                "out has {} arrays, and the model {own} outputs: {}",
                given.len(),
                self.names.join(", ")
            )));
        }
        let mut arrays = given.iter().zip(&self.outputs).map(|(a, t)| t.get().writable(py, a)).collect::<PyResult<Vec<_>>>()?;
        arrays.extend(self.outputs[own..].iter().map(|t| t.get().fresh(py)).collect::<PyResult<Vec<_>>>()?);
        Ok(arrays)
    }
}

/// Whether two pieces of memory, each where and how long, have a byte in common.
fn overlap(a: (usize, usize), b: (usize, usize)) -> bool {
    a.0 < b.0 + b.1 && b.0 < a.0 + a.1
}

impl Loaded {
    /// Does something with the instance, unless another thread does.
    fn with<T>(&self, work: impl FnOnce(&mut Instance) -> T) -> PyResult<T> {
        let mut guard = match self.instance.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(self.busy()),
        };
        guard.as_mut().map(work).ok_or_else(|| PyValueError::new_err(format!("model {:?} is closed", self.name)))
    }

    fn busy(&self) -> PyErr {
        PyRuntimeError::new_err(format!("model {:?} is running in another thread: load one model per thread", self.name))
    }
}

impl Model {
    fn signature(&self) -> &Signature {
        &self.loaded.signatures[self.number]
    }
}

#[pymethods]
impl Model {
    #[pyo3(signature = (*args, out=None, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        out: Option<&Bound<'py, PyAny>>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let signature = self.signature();
        let given = signature.arguments(args, kwargs)?;
        let mut inputs = given.iter().zip(&signature.inputs).map(|(a, t)| t.get().readable(py, a)).collect::<PyResult<Vec<_>>>()?;
        let mut outputs = signature.results(py, out)?;
        if out.is_some() {
            let places: Vec<_> = outputs.iter().zip(&signature.outputs).map(|(a, t)| (arrays::address(a), t.get().size_bytes)).collect();
            if let Some(at) = (1..places.len()).find(|&i| places[..i].iter().any(|&p| overlap(p, places[i]))) {
                let name = &signature.outputs[at].get().name;
                return Err(PyValueError::new_err(format!("out has the same memory for output {name:?} and another one")));
            }
            for (array, t) in inputs.iter_mut().zip(&signature.inputs) {
                // The model would read what it has written.
                let t = t.get();
                if places.iter().any(|&p| overlap(p, (arrays::address(array), t.size_bytes))) {
                    *array = arrays::copied(py, array, t.dtype.bind(py))?;
                }
            }
        }
        // SAFETY: they are whole, as large as their tensors, referred to until the call is over, and apart from each other: new ones are, and
        // others were looked at.
        let (read, mut written): (Vec<&[u8]>, Vec<&mut [u8]>) = unsafe {
            (
                inputs.iter().zip(&signature.inputs).map(|(a, t)| arrays::bytes(a, t.get().size_bytes)).collect(),
                outputs.iter_mut().zip(&signature.outputs).map(|(a, t)| arrays::bytes_mut(a, t.get().size_bytes)).collect(),
            )
        };
        let (loaded, number) = (&*self.loaded, self.number);
        py.detach(|| {
            loaded.with(|instance| {
                guarded(|| {
                    instance.choose(number);
                    instance.call(&read, &mut written).map_err(Failure::from)
                })
            })
        })?
        .map_err(|e| call_failed(&e))?;
        drop((read, written));
        for (i, count) in signature.counts.iter().enumerate().filter_map(|(i, count)| Some((i, (*count)?))) {
            // SAFETY: the output is one i32, and the model has written it.
            let rows = unsafe { arrays::bytes(&outputs[count], 4) }.try_into().map_or(0, i32::from_le_bytes);
            let first = outputs[i].get_item(pyo3::types::PySlice::new(py, 0, rows.max(0) as isize, 1))?;
            outputs[i] = first.cast_into()?;
        }
        if signature.names.len() == 1 {
            return Ok(outputs.swap_remove(0).into_any());
        }
        let results = PyDict::new(py);
        for (name, array) in signature.names.iter().zip(outputs) {
            results.set_item(name, array)?;
        }
        Ok(results.into_any())
    }

    /// The inputs, a list of Tensor.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.signature().inputs)
    }

    /// The outputs, a list of Tensor.
    #[getter]
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.signature().outputs[..self.signature().names.len()])
    }

    /// Names of classes by their number, of what a pipeline answers: a dictionary of lists by the answer's name. The numbers themselves are the output
    /// NAME_label, where -1 is none; empty without a pipeline.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        self.signature().labels.iter().try_for_each(|(of, names)| all.set_item(of, names))?;
        Ok(all)
    }

    /// What the model is called in messages: its file's name.
    #[getter]
    fn name(&self) -> &str {
        &self.loaded.name
    }

    /// The names of the signatures that were loaded.
    #[getter]
    fn signatures(&self) -> Vec<&str> {
        self.loaded.signatures.iter().map(|s| s.key.as_str()).collect()
    }

    /// One of the signatures by name, to be called as the model is. What the model keeps is one for all of them.
    ///
    /// Raises KeyError if it was not loaded: cranelite.load(..., signatures=[...]) or all_signatures=True loads several.
    #[pyo3(name = "signature")]
    fn signature_py(&self, name: &str) -> PyResult<Model> {
        let number = self.loaded.signatures.iter().position(|s| s.key == name).ok_or_else(|| {
            let help = "load the model with all_signatures=True, or signatures=[...]";
            PyKeyError::new_err(format!("signature {name:?} was not loaded, only {:?}: {help}", self.signatures()))
        })?;
        Ok(Model { loaded: self.loaded.clone(), number })
    }

    /// Forgets what the model keeps from one call to the next: the state is again what it was when the model was loaded.
    fn reset(&self, py: Python) -> PyResult<()> {
        py.detach(|| self.loaded.with(Instance::reset))
    }

    /// What `cranelite inspect` says: sizes in bytes, memory plan, operators.
    fn report(&self) -> &str {
        &self.loaded.report
    }

    /// Sizes in bytes: a dictionary of code, const, arena, stack and state.
    #[getter]
    fn sizes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        self.loaded.sizes.iter().try_for_each(|(of, size)| all.set_item(of, size))?;
        Ok(all)
    }

    /// What of the file is not part of the model, in words.
    #[getter]
    fn left_out(&self) -> Vec<String> {
        self.loaded.left_out.clone()
    }

    /// Gives all memory back. A closed model cannot be called; closing it again does nothing.
    fn close(&self, py: Python) -> PyResult<()> {
        py.detach(|| {
            let instance = match self.loaded.instance.try_lock() {
                Ok(mut guard) => guard.take(),
                Err(TryLockError::Poisoned(e)) => e.into_inner().take(),
                Err(TryLockError::WouldBlock) => return Err(self.loaded.busy()),
            };
            drop(instance);
            Ok(())
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(&self, py: Python, _type: &Bound<PyAny>, _value: &Bound<PyAny>, _traceback: &Bound<PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self, py: Python) -> PyResult<String> {
        let list =
            |all: &[Py<Tensor>]| all.iter().map(|t| format!("{} {}", t.get().name, t.get().describe(py))).collect::<Vec<_>>().join(", ");
        let s = self.signature();
        Ok(format!("<cranelite.Model {:?}: {} -> {}>", self.loaded.name, list(&s.inputs), list(&s.outputs[..s.names.len()])))
    }
}

/// Compiles a model for this machine and loads it.
#[pyfunction]
pub fn load(py: Python, words: Vec<OsString>, model: Vec<u8>) -> PyResult<Model> {
    let loaded = interruptible(py, move || {
        guarded(|| {
            let (path, model, loading) = Loading::parse(words, model)?;
            let (compiled, instance) = loading.load(&path, &model)?;
            Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), report::text(&compiled), instance, compiled))
        })
    })?;
    let (name, report, instance, compiled) = loaded.map_err(|e| exception(py, &e))?;
    let signatures = compiled.entries.iter().map(|e| Signature::of(py, e)).collect::<PyResult<_>>()?;
    let (instance, object) = (Mutex::new(Some(instance)), &compiled.object);
    let sizes = [
        ("code", object.code_bytes),
        ("const", object.const_bytes),
        ("arena", object.arena_bytes),
        ("stack", object.stack_bytes.into()),
        ("state", object.state_bytes),
    ];
    Ok(Model { loaded: Arc::new(Loaded { name, instance, signatures, left_out: compiled.left_out, report, sizes }), number: 0 })
}
