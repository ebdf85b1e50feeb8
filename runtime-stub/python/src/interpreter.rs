//! What `cranelite.Interpreter` is made of: models by the numbers of tensors, as TensorFlow Lite's interpreter has them.
//!
//! The ideas: what is asked of a tensor is answered from the file, whatever is left of it in the compiled model; inputs and outputs have memory of
//! their own here, which a compiled model reads and writes; and a subgraph is compiled when its tensors are allocated, or, where numbers of an
//! input decide about shapes, when it is invoked.

use crate::arrays::{self, Array};
use crate::failure::{call_failed, exception, interruptible};
use crate::file::{self, Dimension, File};
use cranelite::cli::embedded::Loading;
use cranelite::cli::guarded;
use cranelite::diagnostic::Failure;
use cranelite::fit::{self, Fitted};
use cranelite::instance::{Block, Instance};
use cranelite::pipeline::{Compiled, Entry};
use cranelite_graph::diagnostic::Diagnostic;
use cranelite_graph::import::{self, InputKey, Signatures};
use cranelite_graph::tensor::ElementType;
use cranelite_schema::TensorType;
use numpy::{PyArray1, PyArrayDescr, PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// The base of `cranelite.Interpreter`.
#[pyclass(frozen, subclass, module = "cranelite._native")]
pub struct Interpreter {
    opened: Mutex<Option<Opened>>,
    /// How many arrays of this memory there are.
    views: Arc<AtomicUsize>,
}

/// What an array of the interpreter's memory keeps alive.
#[pyclass(frozen, module = "cranelite._native")]
pub struct View {
    _interpreter: Py<Interpreter>,
    views: Arc<AtomicUsize>,
}

impl Drop for View {
    fn drop(&mut self) {
        self.views.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Opened {
    file: Arc<File>,
    bytes: Arc<Vec<u8>>,
    path: PathBuf,
    loading: Loading,
    keeps_all: bool,
    graphs: Vec<Graph>,
    programs: Vec<Program>,
}

/// A compiled model, and the subgraphs that are in it.
struct Program {
    instance: Instance,
    subgraphs: Vec<usize>,
}

/// One subgraph as it is now.
struct Graph {
    /// By tensor.
    shapes: Vec<Vec<i32>>,
    slots: Vec<Slot>,
    inputs: Vec<Block>,
    outputs: Vec<Block>,
    ready: Ready,
}

/// Where the bytes of a tensor are.
#[derive(Clone, Copy, PartialEq)]
enum Slot {
    /// In the file, or nowhere.
    Elsewhere,
    Input(usize),
    Output(usize),
}

enum Ready {
    /// Tensors are not allocated.
    No,
    Yes(Callee),
    /// Inputs are there, and outputs when it was invoked: numbers of inputs decide about shapes.
    Waiting(Option<(Callee, Settled)>),
}

#[derive(Clone)]
struct Callee {
    program: usize,
    signature: usize,
    /// Which of the subgraph's inputs the compiled model takes.
    inputs: Vec<usize>,
    /// Outputs whose rows another one counts.
    counts: Vec<(usize, usize)>,
    /// Tensors that the outputs are, and behind them outputs that count.
    outputs: Vec<Option<usize>>,
}

/// Which inputs are constants of a compiled model, and with which bytes.
type Settled = Vec<(usize, Vec<u8>)>;

/// A subgraph that was compiled.
struct Made {
    compiled: Compiled,
    instance: Instance,
    subgraphs: Vec<usize>,
    /// By subgraph: the tensors that are its outputs.
    outputs: Vec<Vec<usize>>,
}

/// Its name, and the numbers of its inputs and outputs.
type Operator = (String, Vec<i32>, Vec<i32>);

type Guard<'a> = MutexGuard<'a, Option<Opened>>;

impl Interpreter {
    fn lock(&self) -> PyResult<Guard<'_>> {
        let guard = match self.opened.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(PyRuntimeError::new_err("the interpreter is running in another thread: make one interpreter per thread"));
            }
        };
        if guard.is_none() { Err(PyValueError::new_err("Interpreter was not initialized.")) } else { Ok(guard) }
    }

    fn ensure_safe(&self) -> PyResult<()> {
        match self.views.load(Ordering::SeqCst) {
            0 => Ok(()),
            n => Err(PyRuntimeError::new_err(format!(
                "There is at least 1 reference to internal data of the interpreter, {n} in all: arrays that functions from tensor() gave. \
                 Keep the functions, not the arrays"
            ))),
        }
    }
}

fn opened<'a>(guard: &'a mut Guard) -> &'a mut Opened {
    guard.as_mut().expect("looked at when it was locked")
}

impl Opened {
    /// A subgraph and a tensor of it.
    fn tensor(&self, tensor: i64, subgraph: i64) -> PyResult<(usize, usize)> {
        let s = self.subgraph(subgraph)?;
        let count = self.file.subgraphs[s].tensors.len();
        let t = usize::try_from(tensor).ok().filter(|&t| t < count);
        Ok((s, t.ok_or_else(|| PyValueError::new_err(format!("Invalid tensor index {tensor} exceeds max tensor index {count}")))?))
    }

    fn subgraph(&self, subgraph: i64) -> PyResult<usize> {
        let count = self.graphs.len();
        let s = usize::try_from(subgraph).ok().filter(|&s| s < count);
        s.ok_or_else(|| PyValueError::new_err(format!("Invalid subgraph index {subgraph} exceeds max subgraph index {count}")))
    }

    /// The bytes of a tensor, with its shape.
    fn bytes(&mut self, s: usize, t: usize) -> PyResult<(&mut [u8], Vec<usize>)> {
        let graph = &mut self.graphs[s];
        let shape = dims(&graph.shapes[t]);
        let memory = match graph.slots[t] {
            Slot::Elsewhere => {
                let name = &self.file.subgraphs[s].tensors[t].name;
                return Err(PyValueError::new_err(format!(
                    "tensor {t} {name:?} has no memory of its own: it is neither an input nor an output, and other results are kept with \
                     experimental_preserve_all_tensors=True"
                )));
            }
            Slot::Input(i) => graph.inputs.get_mut(i),
            Slot::Output(i) => graph.outputs.get_mut(i),
        };
        let memory = memory.filter(|_| !matches!(graph.ready, Ready::No));
        let memory = memory.ok_or_else(|| PyValueError::new_err("Tensor data is null. Run allocate_tensors() first"))?;
        Ok((memory.bytes_mut(), shape))
    }
}

#[pymethods]
impl Interpreter {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<PyTuple>, _kwargs: Option<&Bound<PyDict>>) -> Interpreter {
        Interpreter { opened: Mutex::new(None), views: Arc::default() }
    }

    /// `words`: options of `load`, and the path of the model or a name for it.
    fn _open(&self, py: Python, model: Vec<u8>, words: Vec<OsString>, keeps_all: bool) -> PyResult<()> {
        let (path, model, loading) = Loading::parse(words, model).map_err(|e| exception(py, &e))?;
        let file = File::read(&model).ok_or_else(|| PyValueError::new_err("The model is not a valid Flatbuffer buffer"))?;
        let graphs = file.subgraphs.iter().map(Graph::of).collect();
        let opened = Opened { file: Arc::new(file), bytes: Arc::new(model), path, loading, keeps_all, graphs, programs: vec![] };
        let mut guard = self.opened.lock().unwrap_or_else(|e| e.into_inner());
        if guard.is_some() {
            return Err(PyRuntimeError::new_err("an interpreter has one model"));
        }
        *guard = Some(opened);
        Ok(())
    }

    /// Copies an array into an input.
    ///
    /// Args:
    ///     tensor_index: the input's number in the file, as get_input_details() tells.
    ///     value: an array of its type and shape, or what NumPy makes one of.
    ///
    /// Raises:
    ///     ValueError: the type or the shape is another, the tensor is no input, or tensors are not allocated.
    fn set_tensor(&self, py: Python, tensor_index: i64, value: &Bound<PyAny>) -> PyResult<()> {
        self._set_tensor(py, tensor_index, value, 0)
    }

    fn _set_tensor(&self, py: Python, tensor_index: i64, value: &Bound<PyAny>, subgraph_index: i64) -> PyResult<()> {
        let mut array = arrays::as_array(py, value)?;
        let mut guard = self.lock()?;
        let opened = opened(&mut guard);
        let (s, t) = opened.tensor(tensor_index, subgraph_index)?;
        let tensor = &opened.file.subgraphs[s].tensors[t];
        let wanted = dtype(py, tensor.ty)?;
        if !arrays::has_dtype(&array, &wanted) {
            let dtype = array.dtype();
            let native = dtype.call_method1("newbyteorder", ("=",))?;
            if !native.eq(&wanted)? {
                let (got, expected) = (type_of(&native)?, type_name(tensor.ty));
                let name = &tensor.name;
                return Err(PyValueError::new_err(format!(
                    "Cannot set tensor: Got value of type {got} but expected type {expected} for input {t}, name: {name} "
                )));
            }
            array = arrays::copied(py, &array, &wanted)?;
        }
        let shape = &opened.graphs[s].shapes[t];
        let found = array.shape();
        if found.len() != shape.len() {
            return Err(PyValueError::new_err(format!(
                "Cannot set tensor: Dimension mismatch. Got {} but expected {} for input {t}.",
                found.len(),
                shape.len()
            )));
        }
        if let Some(i) = (0..found.len()).find(|&i| found[i] as i64 != i64::from(shape[i])) {
            return Err(PyValueError::new_err(format!(
                "Cannot set tensor: Dimension mismatch. Got {} but expected {} for dimension {i} of input {t}.",
                found[i], shape[i]
            )));
        }
        if !matches!(opened.graphs[s].slots[t], Slot::Input(_)) {
            return Err(PyValueError::new_err(format!("Cannot set tensor: tensor {t} {:?} is no input of the model", tensor.name)));
        }
        if !arrays::is_whole(&array, 0) {
            array = arrays::copied(py, &array, &wanted)?;
        }
        let Ok((memory, _)) = opened.bytes(s, t) else {
            return Err(PyValueError::new_err("Cannot set tensor: Tensor is unallocated. Try calling allocate_tensors() first"));
        };
        // SAFETY: it is whole, and of that shape and type.
        memory.copy_from_slice(unsafe { arrays::bytes(&array, memory.len()) });
        Ok(())
    }

    /// A copy of a tensor: of an input, an output or a constant, or of any other result of an operator if the interpreter was made with
    /// experimental_preserve_all_tensors=True.
    ///
    /// Args:
    ///     tensor_index: the tensor's number in the file.
    ///     subgraph_index: its subgraph.
    ///
    /// Raises:
    ///     ValueError: there is no such tensor, it is not kept, or tensors are not allocated.
    #[pyo3(signature = (tensor_index, subgraph_index=0))]
    fn get_tensor<'py>(&self, py: Python<'py>, tensor_index: i64, subgraph_index: i64) -> PyResult<Array<'py>> {
        let mut guard = self.lock()?;
        let opened = opened(&mut guard);
        let (s, t) = opened.tensor(tensor_index, subgraph_index)?;
        let tensor = &opened.file.subgraphs[s].tensors[t];
        let dtype = dtype(py, tensor.ty)?;
        if let (Slot::Elsewhere, Some(range)) = (opened.graphs[s].slots[t], &tensor.data) {
            return constant(py, tensor, &opened.bytes[range.clone()], &dtype);
        }
        let (memory, shape) = opened.bytes(s, t)?;
        let mut array = arrays::empty(py, &shape, &dtype)?;
        let size = shape.iter().product::<usize>() * dtype.itemsize();
        // SAFETY: it is new, and so large.
        unsafe { arrays::bytes_mut(&mut array, size) }.copy_from_slice(&memory[..size]);
        Ok(array)
    }

    fn _view<'py>(slf: &Bound<'py, Self>, tensor_index: i64) -> PyResult<Array<'py>> {
        let (py, this) = (slf.py(), slf.get());
        let mut guard = this.lock()?;
        let opened = opened(&mut guard);
        let (s, t) = opened.tensor(tensor_index, 0)?;
        let dtype = dtype(py, opened.file.subgraphs[s].tensors[t].ty)?;
        let (memory, shape) = opened.bytes(s, t)?;
        this.views.fetch_add(1, Ordering::SeqCst);
        let view = Bound::new(py, View { _interpreter: slf.clone().unbind(), views: this.views.clone() })?;
        // SAFETY: the view keeps the interpreter, which does nothing with its memory but to read and write what it is told to while there are views.
        unsafe { arrays::view(py, &shape, &dtype, memory.as_mut_ptr(), view.into_any()) }
    }

    fn _safe_to_run(&self) -> bool {
        self.views.load(Ordering::SeqCst) == 0
    }

    fn _resize(&self, input_index: i64, shape: Vec<i64>, strict: bool, subgraph_index: i64) -> PyResult<()> {
        self.ensure_safe()?;
        let mut guard = self.lock()?;
        let opened = opened(&mut guard);
        let (s, t) = opened.tensor(input_index, subgraph_index).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
        let (tensor, graph) = (&opened.file.subgraphs[s].tensors[t], &mut opened.graphs[s]);
        let too_large = || {
            PyRuntimeError::new_err(format!("a tensor of shape {shape:?} is not possible: BytesRequired number of elements overflowed."))
        };
        let new: Vec<i32> =
            shape.iter().map(|&d| i32::try_from(d).ok().filter(|d| 0 <= *d)).collect::<Option<_>>().ok_or_else(too_large)?;
        let elements = new.iter().try_fold(16usize, |n, &d| n.checked_mul(d as usize));
        elements.filter(|n| *n < isize::MAX as usize).ok_or_else(too_large)?;
        if !matches!(graph.slots[t], Slot::Input(_)) {
            return Err(PyRuntimeError::new_err(format!("tensor {t} {:?} is no input of the model, so it is not resized", tensor.name)));
        }
        if graph.shapes[t] == new {
            return Ok(());
        }
        if strict {
            let open = &tensor.shape_signature;
            let is_open = |i: usize| open.get(i) == Some(&-1);
            if new.len() != tensor.shape.len() || (0..new.len()).any(|i| new[i] != graph.shapes[t][i] && !is_open(i)) {
                return Err(PyRuntimeError::new_err("ResizeInputTensorStrict only allows mutating unknown dimensions identified by -1."));
            }
        }
        graph.shapes[t] = new;
        graph.ready = Ready::No;
        Ok(())
    }

    fn _allocate(&self, py: Python, subgraph_index: i64) -> PyResult<()> {
        self.ensure_safe()?;
        let (s, order) = {
            let mut guard = self.lock()?;
            let opened = opened(&mut guard);
            let s = opened.subgraph(subgraph_index)?;
            if !matches!(opened.graphs[s].ready, Ready::No) {
                return Ok(());
            }
            (s, opened.order(s))
        };
        let made = interruptible(py, move || order.make())?;
        let mut guard = self.lock()?;
        // Another thread may have asked for arrays meanwhile.
        self.ensure_safe()?;
        let opened = opened(&mut guard);
        match made {
            Ok(made) => opened.take(made, false).map_err(|e| call_failed(&e)),
            Err(e) if is_decided_by_inputs(&e) => opened.wait(s).map_err(|d| call_failed(&d.into())),
            Err(e) => Err(not_allocated(py, &e)),
        }
    }

    fn _invoke(&self, py: Python, subgraph_index: i64) -> PyResult<()> {
        self.ensure_safe()?;
        let order = {
            let mut guard = self.lock()?;
            let opened = opened(&mut guard);
            let s = opened.subgraph(subgraph_index)?;
            let order = match &opened.graphs[s].ready {
                Ready::No => return Err(PyRuntimeError::new_err("Invoke called on model that is not ready.")),
                Ready::Waiting(made) if !made.as_ref().is_some_and(|(_, settled)| opened.graphs[s].has(settled)) => true,
                _ => false,
            };
            order.then(|| opened.order_for_arrays(s)).transpose().map_err(|d| call_failed(&d.into()))?
        };
        if let Some(order) = order {
            let made = interruptible(py, move || order.fit())?.map_err(|e| not_allocated(py, &e))?;
            let mut guard = self.lock()?;
            self.ensure_safe()?;
            opened(&mut guard).take(made, true).map_err(|e| call_failed(&e))?;
        }
        let called = py.detach(|| {
            let mut guard = self.lock()?;
            let opened = opened(&mut guard);
            Ok::<_, PyErr>(guarded(|| opened.invoke(subgraph_index as usize).map_err(Failure::from)))
        })?;
        called.map_err(|e| PyRuntimeError::new_err(call_failed(&e).value(py).to_string()))
    }

    /// Runs the model on what is in its inputs. Other threads of Python run meanwhile.
    ///
    /// Raises:
    ///     RuntimeError: tensors are not allocated, an array of tensor() is still alive, an index in the data is out of range, or another
    ///         thread uses the interpreter.
    fn invoke(&self, py: Python) -> PyResult<()> {
        self._invoke(py, 0)
    }

    /// Fills variable tensors with what is in them at first. Resource variables keep their values.
    fn reset_all_variables(&self) -> PyResult<()> {
        let mut guard = self.lock()?;
        let opened = opened(&mut guard);
        let has_variables = opened.file.subgraphs.iter().flat_map(|s| &s.tensors).any(|t| t.is_variable);
        if has_variables && opened.file.has_resources {
            return Err(PyRuntimeError::new_err("variable tensors beside resource variables cannot be reset by themselves"));
        }
        if has_variables {
            opened.programs.iter_mut().for_each(|p| p.instance.reset());
        }
        Ok(())
    }

    /// How many subgraphs the model has.
    fn num_subgraphs(&self) -> PyResult<usize> {
        Ok(opened(&mut self.lock()?).graphs.len())
    }

    fn _num_tensors(&self, subgraph_index: i64) -> PyResult<usize> {
        let mut guard = self.lock()?;
        let opened = opened(&mut guard);
        let s = opened.subgraph(subgraph_index)?;
        Ok(opened.graphs[s].shapes.len())
    }

    /// Numbers of the inputs and of the outputs of a subgraph.
    fn _ends(&self, subgraph_index: i64) -> PyResult<(Vec<usize>, Vec<usize>)> {
        let mut guard = self.lock()?;
        let opened = opened(&mut guard);
        let s = opened.subgraph(subgraph_index)?;
        Ok((opened.file.subgraphs[s].inputs.clone(), opened.file.subgraphs[s].outputs.clone()))
    }

    /// Names, numbers of inputs and of outputs of the operators of the first subgraph.
    fn _operators(&self) -> PyResult<Vec<Operator>> {
        let mut guard = self.lock()?;
        let operators = &opened(&mut guard).file.subgraphs[0].operators;
        Ok(operators.iter().map(|o| (o.name.clone(), o.inputs.clone(), o.outputs.clone())).collect())
    }

    /// By key of the signature: its subgraph, and names and numbers of inputs and of outputs.
    fn _signatures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut guard = self.lock()?;
        let all = PyDict::new(py);
        for s in &opened(&mut guard).file.signatures {
            all.set_item(&s.key, (s.subgraph, s.inputs.clone(), s.outputs.clone()))?;
        }
        Ok(all)
    }

    fn _get_tensor_details<'py>(&self, py: Python<'py>, tensor_index: i64, subgraph_index: i64) -> PyResult<Bound<'py, PyDict>> {
        let mut guard = self.lock()?;
        let opened = opened(&mut guard);
        let (s, t) = opened.tensor(tensor_index, subgraph_index)?;
        let subgraph = &opened.file.subgraphs[s];
        let tensor = &subgraph.tensors[t];
        let per_tensor = tensor.scales.len() == 1 && tensor.zero_points.len() == 1;
        let quantization = if per_tensor { (f64::from(tensor.scales[0]), tensor.zero_points[0]) } else { (0.0, 0) };
        let parameters = PyDict::new(py);
        let of_constant = |number: i32| {
            let tensor = usize::try_from(number).ok().and_then(|t| subgraph.tensors.get(t))?;
            Some((tensor, &opened.bytes[tensor.data.clone()?]))
        };
        match tensor.blocks {
            Some((scales, zero_points, _)) => {
                let halves: Vec<u8> = of_constant(scales).map_or(vec![], |(_, bytes)| bytes.to_vec());
                parameters.set_item("scales", py.import("numpy")?.call_method1("frombuffer", (halves, "<f2"))?)?;
                let numbers = of_constant(zero_points).map_or(&[][..], |(_, bytes)| bytes).chunks_exact(4);
                let numbers: Vec<i32> = numbers.map(|b| i32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
                parameters.set_item("zero_points", PyArray1::from_vec(py, numbers))?;
            }
            None => {
                parameters.set_item("scales", PyArray1::from_slice(py, &tensor.scales))?;
                parameters.set_item("zero_points", PyArray1::from_slice(py, &tensor.zero_points))?;
            }
        }
        parameters.set_item("quantized_dimension", tensor.quantized_dimension)?;
        parameters.set_item("block_size", tensor.blocks.map_or(0, |(_, _, size)| size))?;
        let details = PyDict::new(py);
        details.set_item("name", &tensor.name)?;
        details.set_item("index", t)?;
        details.set_item("shape", PyArray1::from_slice(py, &opened.graphs[s].shapes[t]))?;
        details.set_item("shape_signature", PyArray1::from_slice(py, &tensor.shape_signature))?;
        details.set_item("dtype", scalar_type(py, tensor.ty)?)?;
        details.set_item("quantization", quantization)?;
        details.set_item("quantization_parameters", parameters)?;
        details.set_item("sparsity_parameters", sparsity(py, tensor.sparsity.as_ref())?)?;
        Ok(details)
    }
}

impl Graph {
    fn of(subgraph: &file::Subgraph) -> Graph {
        let mut slots = vec![Slot::Elsewhere; subgraph.tensors.len()];
        subgraph.outputs.iter().enumerate().rev().for_each(|(i, &t)| slots[t] = Slot::Output(i));
        subgraph.inputs.iter().enumerate().rev().for_each(|(i, &t)| slots[t] = Slot::Input(i));
        let shapes = subgraph.tensors.iter().map(|t| t.shape.clone()).collect();
        Graph { shapes, slots, inputs: vec![], outputs: vec![], ready: Ready::No }
    }

    /// Whether inputs have these bytes.
    fn has(&self, settled: &Settled) -> bool {
        settled.iter().all(|(i, bytes)| self.inputs[*i].bytes() == bytes)
    }
}

/// What is to be compiled, away from the interpreter.
struct Order {
    file: Arc<File>,
    bytes: Arc<Vec<u8>>,
    path: PathBuf,
    loading: Loading,
    /// The subgraph that is wanted.
    asked: usize,
    /// Subgraphs, and the keys of their signatures: the first subgraph needs none.
    subgraphs: Vec<(usize, Option<String>)>,
    keeps_all: bool,
    /// By input of the subgraphs: its name, its shape, whether that is another than in the file, and whether the file leaves it open.
    shapes: Vec<(InputKey, Vec<usize>, bool, bool)>,
    /// Of the only subgraph, where their numbers count.
    arrays: Vec<cranelite::array::Array>,
}

impl Opened {
    fn order(&self, s: usize) -> Order {
        let key = |s: usize| self.file.signatures.iter().find(|d| d.subgraph == s).map(|d| d.key.clone());
        let with_signature: BTreeSet<usize> = self.file.signatures.iter().map(|d| d.subgraph).collect();
        // Variables are shared by all subgraphs that can be called, so these are one program.
        let together = self.file.has_resources && 1 < with_signature.len() && with_signature.contains(&s);
        let subgraphs = match together {
            true => with_signature.into_iter().map(|s| (s, key(s))).collect(),
            false => vec![(s, key(s).filter(|_| s != 0))],
        };
        let mut shapes = vec![];
        for &(s, _) in &subgraphs {
            for (i, &t) in self.file.subgraphs[s].inputs.iter().enumerate() {
                let (tensor, now) = (&self.file.subgraphs[s].tensors[t], &self.graphs[s].shapes[t]);
                let input = if together { InputKey::Name(tensor.name.clone()) } else { InputKey::Index(i) };
                shapes.push((input, dims(now), *now != tensor.shape, tensor.shape_signature.contains(&-1)));
            }
        }
        let (file, bytes, path, loading) = (self.file.clone(), self.bytes.clone(), self.path.clone(), self.loading.clone());
        Order { file, bytes, path, loading, asked: s, subgraphs, keeps_all: self.keeps_all, shapes, arrays: vec![] }
    }

    /// The same, for the numbers in the inputs.
    fn order_for_arrays(&self, s: usize) -> Result<Order, Diagnostic> {
        let mut order = self.order(s);
        for (i, &t) in self.file.subgraphs[s].inputs.iter().enumerate() {
            let (element, _) = element(self.file.subgraphs[s].tensors[t].ty);
            let (shape, data) = (dims(&self.graphs[s].shapes[t]), self.graphs[s].inputs[i].bytes().to_vec());
            order.arrays.push(cranelite::array::Array { element, shape, data });
        }
        Ok(order)
    }

    /// Memory for inputs, whatever the rest will be.
    fn wait(&mut self, s: usize) -> Result<(), Diagnostic> {
        self.allocate_inputs(s)?;
        let graph = &mut self.graphs[s];
        (graph.outputs, graph.ready) = (vec![], Ready::Waiting(None));
        Ok(())
    }

    fn allocate_inputs(&mut self, s: usize) -> Result<(), Diagnostic> {
        let (subgraph, graph) = (&self.file.subgraphs[s], &mut self.graphs[s]);
        let size = |&t: &usize| {
            let elements = dims(&graph.shapes[t]).into_iter().try_fold(element(subgraph.tensors[t].ty).1, usize::checked_mul);
            elements.filter(|n| *n < isize::MAX as usize / 2).unwrap_or(usize::MAX / 2)
        };
        // What is in an input of the same size stays.
        let mut old = std::mem::take(&mut graph.inputs).into_iter();
        let mut block = |size: usize| match old.next().filter(|b| b.bytes().len() == size) {
            Some(block) => Ok(block),
            None => Block::new(size, ALIGN),
        };
        graph.inputs = subgraph.inputs.iter().map(|t| block(size(t))).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// A program takes the place of those that its subgraphs were in. `is_fitted`: for the numbers in the inputs.
    fn take(&mut self, made: Made, is_fitted: bool) -> Result<(), Failure> {
        let Made { compiled, mut instance, subgraphs, outputs } = made;
        let old = self.programs.iter().position(|p| p.subgraphs == subgraphs);
        if let Some(old) = old.filter(|_| self.file.has_resources).map(|i| self.programs[i].instance.state_mut()) {
            // Variables outlive the allocation of tensors.
            let new = instance.state_mut();
            if new.len() == old.len() {
                new.copy_from_slice(old);
            }
        }
        let program = old.unwrap_or(self.programs.len());
        let entries = subgraphs.iter().zip(&compiled.entries).zip(outputs);
        for (signature, ((&s, entry), outputs)) in entries.enumerate() {
            let callee = Callee::of(program, signature, entry, &self.file.subgraphs[s], &outputs);
            if !is_fitted {
                self.allocate_inputs(s)?;
            }
            let (subgraph, graph) = (&self.file.subgraphs[s], &mut self.graphs[s]);
            for (&i, tensor) in callee.inputs.iter().zip(&entry.signature.inputs) {
                if graph.inputs[i].bytes().len() != tensor.ty.size_bytes() {
                    let message =
                        format!("input {i} has {} bytes, and the model takes {}", graph.inputs[i].bytes().len(), tensor.describe());
                    return Err(cranelite::diagnostic::internal("shapes are not the same", message).into());
                }
            }
            let blocks = entry.signature.outputs.iter().map(|t| Block::new(t.ty.size_bytes(), ALIGN)).collect::<Result<_, _>>()?;
            graph.outputs = blocks;
            for (i, t) in callee.outputs.iter().enumerate().rev().filter_map(|(i, t)| Some((i, (*t)?))) {
                if !matches!(graph.slots[t], Slot::Input(_)) {
                    graph.slots[t] = Slot::Output(i);
                    graph.shapes[t] = entry.signature.outputs[i].ty.shape.iter().map(|&d| d as i32).collect();
                }
            }
            let settled = (0..subgraph.inputs.len()).filter(|i| is_fitted && !callee.inputs.contains(i));
            let settled: Settled = settled.map(|i| (i, graph.inputs[i].bytes().to_vec())).collect();
            graph.ready = if is_fitted { Ready::Waiting(Some((callee, settled))) } else { Ready::Yes(callee) };
        }
        let new = Program { instance, subgraphs };
        match old {
            Some(old) => self.programs[old] = new,
            None => self.programs.push(new),
        }
        Ok(())
    }

    fn invoke(&mut self, s: usize) -> Result<(), Diagnostic> {
        let graph = &mut self.graphs[s];
        let (Ready::Yes(callee) | Ready::Waiting(Some((callee, _)))) = &graph.ready else { return Ok(()) };
        let instance = &mut self.programs[callee.program].instance;
        instance.choose(callee.signature);
        let inputs: Vec<&[u8]> = callee.inputs.iter().map(|&i| graph.inputs[i].bytes()).collect();
        let mut outputs: Vec<&mut [u8]> = graph.outputs.iter_mut().map(Block::bytes_mut).collect();
        instance.call(&inputs, &mut outputs)?;
        for &(output, count) in &callee.counts {
            let rows = graph.outputs[count].bytes()[..4].try_into().map_or(0, i32::from_le_bytes);
            if let Some(t) = callee.outputs[output] {
                graph.shapes[t][0] = rows.max(0);
            }
        }
        Ok(())
    }
}

impl Callee {
    fn of(program: usize, signature: usize, entry: &Entry, subgraph: &file::Subgraph, outputs: &[usize]) -> Callee {
        let mut taken = entry.signature.inputs.iter().peekable();
        // Those that are constants are left out, the others are in order.
        let left = subgraph.inputs.len() - entry.signature.inputs.len().min(subgraph.inputs.len());
        let is_taken = |&i: &usize| {
            let name = &subgraph.tensors[subgraph.inputs[i]].name;
            taken.next_if(|t| left == 0 || t.tensor_name == *name).is_some()
        };
        let inputs = (0..subgraph.inputs.len()).filter(is_taken).collect();
        let counts = entry.signature.counts.iter().enumerate().filter_map(|(i, count)| Some((i, (*count)?))).collect();
        let known = outputs.iter().map(|&t| Some(t));
        let outputs = known.chain(std::iter::repeat(None)).take(entry.signature.outputs.len()).collect();
        Callee { program, signature, inputs, counts, outputs }
    }
}

impl Order {
    fn outputs(&self, s: usize) -> Vec<usize> {
        if self.keeps_all { self.file.subgraphs[s].all_results() } else { self.file.subgraphs[s].outputs.clone() }
    }

    fn import(&self, is_wanted: impl Fn(bool, bool) -> bool) -> import::Options {
        let keys: Vec<String> = self.subgraphs.iter().filter_map(|(_, key)| key.clone()).collect();
        let wanted = self.shapes.iter().filter(|(_, _, is_other, is_open)| is_wanted(*is_other, *is_open));
        import::Options {
            signatures: if keys.is_empty() { Signatures::First } else { Signatures::Named(keys) },
            input_shapes: wanted.map(|(input, shape, _, _)| (input.clone(), shape.clone())).collect(),
            ..import::Options::default()
        }
    }

    /// The file, with all outputs that are wanted.
    fn model(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = self.bytes.to_vec();
        for &(s, _) in self.subgraphs.iter().filter(|_| self.keeps_all) {
            bytes = self.file.with_outputs(&bytes, s, &self.outputs(s)).ok_or_else(|| Failure::Usage("the model has no output".into()))?;
        }
        Ok(bytes)
    }

    fn compile(&self, model: &[u8], import: import::Options) -> Result<Made, Failure> {
        let mut loading = self.loading.clone();
        let given = std::mem::replace(&mut loading.options.import, import);
        let own = &mut loading.options.import;
        own.input_values.extend(given.input_values);
        (own.max_dims, own.custom) = (given.max_dims, given.custom);
        let (compiled, instance) = loading.load(&self.path, model)?;
        let subgraphs: Vec<usize> = self.subgraphs.iter().map(|(s, _)| *s).collect();
        Ok(Made { compiled, instance, outputs: subgraphs.iter().map(|&s| self.outputs(s)).collect(), subgraphs })
    }

    fn make(mut self) -> Result<Made, Failure> {
        guarded(|| {
            self.made().or_else(|first| {
                // Of several subgraphs those that cannot be compiled may not be wanted.
                let is_possible = |key: &Option<String>| {
                    let signatures = key.clone().map_or(Signatures::First, |key| Signatures::Named(vec![key]));
                    import::read(&self.bytes, &import::Options { signatures, ..self.loading.options.import.clone() }).is_ok()
                };
                let possible: Vec<_> = self.subgraphs.iter().filter(|(_, key)| is_possible(key)).cloned().collect();
                if possible.len() == self.subgraphs.len() || !possible.iter().any(|(s, _)| *s == self.asked) {
                    return Err(first);
                }
                self.subgraphs = possible;
                self.made()
            })
        })
    }

    fn made(&self) -> Result<Made, Failure> {
        let model = self.model()?;
        self.compile(&model, self.import(|is_other, _| is_other)).or_else(|first| {
            // Where the file leaves shapes open, those that are set now count.
            let is_open = self.shapes.iter().any(|(_, _, is_other, is_open)| *is_open && !is_other);
            match is_open {
                true => self.compile(&model, self.import(|_, _| true)).map_err(|_| first),
                false => Err(first),
            }
        })
    }

    /// The same, with inputs that decide about shapes being constants.
    fn fit(&self) -> Result<Made, Failure> {
        guarded(|| {
            let given = self.loading.options.import.clone();
            let about = import::Options { max_dims: given.max_dims, custom: given.custom, ..self.import(|_, _| false) };
            let model = self.model()?;
            let Fitted { import, .. } = fit::fit(&model, about, vec![self.arrays.clone()]).map_err(Failure::in_file(&self.path))?;
            self.compile(&model, import)
        })
    }
}

/// What arrays of NumPy have, and vectors of the machine like.
const ALIGN: usize = 64;

fn dims(shape: &[i32]) -> Vec<usize> {
    shape.iter().map(|&d| d.max(0) as usize).collect()
}

fn is_decided_by_inputs(failure: &Failure) -> bool {
    matches!(failure, Failure::Problems(list) if list.iter().any(|p| !p.diagnostic.deciding.is_empty()))
}

/// As where an operator cannot be prepared.
fn not_allocated(py: Python, failure: &Failure) -> PyErr {
    let cause = exception(py, failure);
    let error = PyRuntimeError::new_err(cause.value(py).to_string());
    error.set_cause(py, Some(cause));
    error
}

/// What a type is called in the compiler and by NumPy, and how many bytes its elements have there.
fn element(ty: TensorType) -> (ElementType, usize) {
    use ElementType as E;
    match ty {
        TensorType::FLOAT32 => (E::F32, 4),
        TensorType::FLOAT16 => (E::F16, 2),
        TensorType::INT32 => (E::I32, 4),
        TensorType::UINT8 => (E::U8, 1),
        TensorType::INT64 => (E::I64, 8),
        TensorType::STRING => (E::String, 0),
        TensorType::BOOL => (E::Bool, 1),
        TensorType::INT16 => (E::I16, 2),
        TensorType::COMPLEX64 => (E::Complex64, 8),
        TensorType::FLOAT64 => (E::F64, 8),
        TensorType::COMPLEX128 => (E::Complex128, 16),
        TensorType::UINT64 => (E::U64, 8),
        TensorType::RESOURCE => (E::Resource, 0),
        TensorType::VARIANT => (E::Variant, 0),
        TensorType::UINT32 => (E::U32, 4),
        TensorType::UINT16 => (E::U16, 2),
        TensorType::BFLOAT16 => (E::BF16, 2),
        TensorType::UINT4 => (E::U8, 1),
        _ => (E::I8, 1),
    }
}

fn dtype(py: Python<'_>, ty: TensorType) -> PyResult<Bound<'_, PyArrayDescr>> {
    // Asked in every call, so each is made once.
    static KNOWN: [PyOnceLock<Py<PyArrayDescr>>; 32] = [const { PyOnceLock::new() }; 32];
    let make = || match ty {
        TensorType::STRING => Ok(PyArrayDescr::new(py, "S")?.unbind()),
        TensorType::RESOURCE | TensorType::VARIANT => Ok(PyArrayDescr::new(py, "O")?.unbind()),
        _ => arrays::dtype(py, element(ty).0),
    };
    match KNOWN.get(ty.0 as usize) {
        Some(known) => Ok(known.get_or_try_init(py, make)?.bind(py).clone()),
        None => Ok(make()?.into_bound(py)),
    }
}

/// `numpy.int8`
fn scalar_type(py: Python<'_>, ty: TensorType) -> PyResult<Bound<'_, PyType>> {
    Ok(dtype(py, ty)?.typeobj())
}

fn type_name(ty: TensorType) -> &'static str {
    ty.variant_name().unwrap_or("NOTYPE")
}

/// What TensorFlow Lite calls a type of NumPy's.
fn type_of(dtype: &Bound<PyAny>) -> PyResult<String> {
    let name: String = dtype.getattr("name")?.extract()?;
    Ok(if ["str", "bytes", "object"].iter().any(|s| name.starts_with(s)) { "STRING".into() } else { name.to_uppercase() })
}

/// The bytes of a constant as an array.
fn constant<'py>(py: Python<'py>, tensor: &file::Tensor, bytes: &[u8], dtype: &Bound<'py, PyArrayDescr>) -> PyResult<Array<'py>> {
    let shape = dims(&tensor.shape);
    let count: usize = shape.iter().product();
    let bits = match tensor.ty {
        TensorType::INT4 | TensorType::UINT4 => 4,
        TensorType::INT2 => 2,
        TensorType::STRING | TensorType::RESOURCE | TensorType::VARIANT => return Err(PyValueError::new_err("Unknown tensor type.")),
        _ => 8,
    };
    let unpacked: Vec<u8> = match bits {
        8 => vec![],
        _ => {
            let (mask, sign) = ((1u8 << bits) - 1, if tensor.ty == TensorType::UINT4 { 0 } else { 1u8 << (bits - 1) });
            let parts = bytes.iter().flat_map(|b| (0..8 / bits).map(move |i| b >> (i * bits)));
            parts.map(|v| ((v & mask) ^ sign).wrapping_sub(sign)).collect()
        }
    };
    let bytes = if bits == 8 { bytes } else { &unpacked };
    // Of sparse tensors what is stored.
    let shape = if tensor.sparsity.is_some() { vec![bytes.len() / dtype.itemsize()] } else { shape };
    let size = if tensor.sparsity.is_some() { bytes.len() } else { count * dtype.itemsize() };
    let bytes = bytes.get(..size).ok_or_else(|| PyValueError::new_err("Invalid tensor size."))?;
    let mut array = arrays::empty(py, &shape, dtype)?;
    // SAFETY: it is new, and so large.
    unsafe { arrays::bytes_mut(&mut array, size) }.copy_from_slice(bytes);
    Ok(array)
}

fn sparsity<'py>(py: Python<'py>, sparsity: Option<&file::Sparsity>) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    let Some(s) = sparsity else { return Ok(all) };
    all.set_item("traversal_order", PyArray1::from_slice(py, &s.traversal_order))?;
    if let Some(block_map) = &s.block_map {
        all.set_item("block_map", PyArray1::from_slice(py, block_map))?;
    }
    let dimensions = PyList::empty(py);
    for d in &s.dimensions {
        let one = PyDict::new(py);
        match d {
            Dimension::Dense(size) => {
                one.set_item("format", 0)?;
                one.set_item("dense_size", size)?;
            }
            Dimension::Sparse { segments, indices } => {
                one.set_item("format", 1)?;
                one.set_item("array_segments", PyArray1::from_slice(py, segments))?;
                one.set_item("array_indices", PyArray1::from_slice(py, indices))?;
            }
        }
        dimensions.append(one)?;
    }
    all.set_item("dim_metadata", dimensions)?;
    Ok(all)
}
