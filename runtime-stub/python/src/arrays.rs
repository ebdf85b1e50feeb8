//! Arrays of NumPy as the memory that models read and write.
//!
//! The idea: an array that fits is used where it lies; one that has the right elements in another order is copied; any other is refused by
//! name. All unsafe code of this crate is here: it knows that an array's memory stays as long as somebody refers to it.

use cranelite::array::numpy_name;
use cranelite::signature;
use cranelite_graph::tensor::ElementType;
use numpy::npyffi::{self, NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, PyArray_Descr, npy_intp};
use numpy::{PY_ARRAY_API, PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::c_int;

pub type Array<'py> = Bound<'py, PyUntypedArray>;

/// An input or an output of a model.
///
/// Attributes:
///     name: as the model's signature calls it, or the tensor's name.
///     tensor_name: the tensor's name in the model.
///     shape: a tuple of integers. Where `counted` is true, the first is the most that it can be.
///     dtype: the numpy.dtype of its elements.
///     scale, zero_point: of a tensor that is quantised as a whole, real = scale * (q - zero_point); otherwise None.
///     counted: whether the first dimension is known only when the model has run.
#[pyclass(frozen, module = "cranelite")]
pub struct Tensor {
    #[pyo3(get)]
    pub name: String,
    #[pyo3(get)]
    pub tensor_name: String,
    pub shape: Vec<usize>,
    #[pyo3(get)]
    pub dtype: Py<PyArrayDescr>,
    #[pyo3(get)]
    pub scale: Option<f32>,
    #[pyo3(get)]
    pub zero_point: Option<i64>,
    #[pyo3(get)]
    pub counted: bool,
    pub size_bytes: usize,
    pub element: ElementType,
}

#[pymethods]
impl Tensor {
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    fn __repr__(&self, py: Python) -> String {
        let scale = self.scale.zip(self.zero_point).map(|(s, z)| format!(", scale={s:?}, zero_point={z}")).unwrap_or_default();
        let counted = if self.counted { ", counted=True" } else { "" };
        format!("Tensor(name={:?}, shape={}, dtype={}{scale}{counted})", self.name, shown(&self.shape), self.dtype.bind(py))
    }
}

impl Tensor {
    pub fn of(py: Python, tensor: &signature::Tensor) -> PyResult<Tensor> {
        let ty = &tensor.ty;
        let quantization = tensor.quantization();
        Ok(Tensor {
            name: tensor.name.clone(),
            tensor_name: tensor.tensor_name.clone(),
            shape: ty.shape.clone(),
            dtype: dtype(py, ty.element)?,
            scale: quantization.map(|(scale, _)| scale),
            zero_point: quantization.map(|(_, zero_point)| zero_point),
            counted: tensor.count.is_some(),
            size_bytes: ty.size_bytes(),
            element: ty.element,
        })
    }

    /// What is expected, for messages.
    pub fn describe(&self, py: Python) -> String {
        format!("{} of shape {}", self.dtype.bind(py), shown(&self.shape))
    }

    /// The array as the model reads it: this very one where it fits.
    pub fn readable<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let array = as_array(py, value).map_err(|e| {
            let error = PyTypeError::new_err(format!("input {:?} must be an array of {}: {}", self.name, self.describe(py), e.value(py)));
            error.set_cause(py, Some(e));
            error
        })?;
        let has_type = has_dtype(&array, self.dtype.bind(py));
        if has_type && is_whole(&array, 0) && array.shape() == self.shape {
            return Ok(array);
        }
        let is_swapped = || array.dtype().call_method1("newbyteorder", ("=",)).is_ok_and(|d| d.eq(&self.dtype).unwrap_or(false));
        if !has_type && !is_swapped() {
            let real = "; float_io=True makes the model take real numbers";
            let real = if self.scale.is_some() && array.dtype().kind() == b'f' { real } else { "" };
            let (found, shape) = (array.dtype(), shown(array.shape()));
            return Err(PyTypeError::new_err(format!(
                "input {:?} must be {}, and the array is {found} of shape {shape}{real}",
                self.name,
                self.describe(py)
            )));
        }
        if array.shape() != self.shape {
            return Err(PyValueError::new_err(format!(
                "input {:?} must have the shape {}, and the array has {}: load the model with input_shapes={{{:?}: ...}} for another",
                self.name,
                shown(&self.shape),
                shown(array.shape()),
                self.name
            )));
        }
        copied(py, &array, self.dtype.bind(py))
    }

    /// An array that the model may write its result to.
    pub fn writable<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let wrong = |what: String| format!("out for output {:?} must be an array of {}, {what}", self.name, self.describe(py));
        let Ok(array) = value.cast::<PyUntypedArray>() else {
            return Err(PyTypeError::new_err(wrong(format!("not {}", value.get_type().name()?))));
        };
        if !has_dtype(array, self.dtype.bind(py)) {
            return Err(PyTypeError::new_err(wrong(format!("not of {}", array.dtype()))));
        }
        if array.shape() != self.shape {
            return Err(PyValueError::new_err(wrong(format!("not of shape {}", shown(array.shape())))));
        }
        if !is_whole(array, NPY_ARRAY_WRITEABLE) {
            return Err(PyValueError::new_err(wrong("writable and in C order without gaps".into())));
        }
        Ok(array.clone())
    }

    /// A new array, of whatever bytes.
    pub fn fresh<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        empty(py, &self.shape, self.dtype.bind(py))
    }
}

/// What NumPy calls a type: that of its bits for those that it does not have.
pub fn dtype(py: Python, element: ElementType) -> PyResult<Py<PyArrayDescr>> {
    let name = match element {
        ElementType::BF16 => "u2",
        _ => numpy_name(element).ok_or_else(|| {
            PyTypeError::new_err(format!("arrays of NumPy have no element type {element}: let the model end in a CAST to one"))
        })?,
    };
    Ok(PyArrayDescr::new(py, name)?.unbind())
}

/// `(1, 49, 10, 1)`
pub fn shown(shape: &[usize]) -> String {
    match shape {
        [only] => format!("({only},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// What NumPy makes of anything that is no array yet.
pub fn as_array<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
    match value.cast::<PyUntypedArray>() {
        Ok(array) => Ok(array.clone()),
        Err(_) => Ok(py.import("numpy")?.call_method1("asarray", (value,))?.cast_into()?),
    }
}

/// In C order, aligned, native, and of that type.
pub fn copied<'py>(py: Python<'py>, array: &Array<'py>, dtype: &Bound<'py, PyArrayDescr>) -> PyResult<Array<'py>> {
    let options = PyDict::new(py);
    options.set_item("order", "C")?;
    options.set_item("subok", false)?;
    Ok(array.call_method("astype", (dtype,), Some(&options))?.cast_into()?)
}

/// Whether elements are of that type, in this machine's order of bytes.
pub fn has_dtype(array: &Array, dtype: &Bound<PyArrayDescr>) -> bool {
    // SAFETY: both are alive and the interpreter's lock is held; NumPy only looks at them.
    unsafe {
        let descr = (*array.as_array_ptr()).fields.descr;
        let wanted = dtype.as_dtype_ptr();
        descr == wanted || PY_ARRAY_API.PyArray_EquivTypes(array.py(), descr, wanted) != 0
    }
}

/// Whether elements lie one after the other, aligned, and have all of the flags.
pub fn is_whole(array: &Array, flags: c_int) -> bool {
    let wanted = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | flags;
    // SAFETY: the array is alive and the interpreter's lock is held.
    unsafe { (*array.as_array_ptr()).fields.flags & wanted == wanted }
}

/// A new array, of whatever bytes.
pub fn empty<'py>(py: Python<'py>, shape: &[usize], dtype: &Bound<'py, PyArrayDescr>) -> PyResult<Array<'py>> {
    let mut dims: [npy_intp; 32] = [0; 32];
    let dims = dims.get_mut(..shape.len()).ok_or_else(|| PyValueError::new_err("an array has 32 dimensions at most"))?;
    dims.iter_mut().zip(shape).for_each(|(d, &n)| *d = n as npy_intp);
    // SAFETY: NumPy takes the reference to the type and gives one to a new array, or none and an exception.
    unsafe {
        let descr = dtype.clone().into_ptr().cast::<PyArray_Descr>();
        let array = PY_ARRAY_API.PyArray_Empty(py, dims.len() as c_int, dims.as_mut_ptr(), descr, 0);
        Ok(Bound::from_owned_ptr_or_err(py, array)?.cast_into_unchecked())
    }
}

/// An array of memory that `owner` keeps where it is.
///
/// # Safety
/// So many bytes, aligned for the type, are there and not otherwise borrowed as long as `owner` is alive.
pub unsafe fn view<'py>(
    py: Python<'py>,
    shape: &[usize],
    dtype: &Bound<'py, PyArrayDescr>,
    memory: *mut u8,
    owner: Bound<'py, PyAny>,
) -> PyResult<Array<'py>> {
    let mut dims: Vec<npy_intp> = shape.iter().map(|&n| n as npy_intp).collect();
    // SAFETY: as in `empty`; and NumPy takes the reference to the owner.
    unsafe {
        let descr = dtype.clone().into_ptr().cast::<PyArray_Descr>();
        let class = npyffi::get_type_object(py, npyffi::NpyTypes::PyArray_Type);
        let (rank, flags) = (dims.len() as c_int, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE);
        let none = std::ptr::null_mut();
        let array = PY_ARRAY_API.PyArray_NewFromDescr(py, class, descr, rank, dims.as_mut_ptr(), none, memory.cast(), flags, none.cast());
        let array: Array = Bound::from_owned_ptr_or_err(py, array)?.cast_into_unchecked();
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_array_ptr(), owner.into_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

/// The memory of an array that `is_whole`.
///
/// # Safety
/// Nobody writes to it meanwhile; if another thread of Python does, the numbers are anything, as with NumPy itself.
pub unsafe fn bytes<'a>(array: &'a Array, size_bytes: usize) -> &'a [u8] {
    // SAFETY: it has so many bytes, and stays while it is referred to.
    unsafe { std::slice::from_raw_parts((*array.as_array_ptr()).fields.data.cast::<u8>(), size_bytes) }
}

/// As [`bytes`], to be written.
///
/// # Safety
/// As for [`bytes`]; and no other slice is of the same memory.
pub unsafe fn bytes_mut<'a>(array: &'a mut Array, size_bytes: usize) -> &'a mut [u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut((*array.as_array_ptr()).fields.data.cast::<u8>(), size_bytes) }
}

/// Where an array's memory begins.
pub fn address(array: &Array) -> usize {
    // SAFETY: the array is alive and the interpreter's lock is held.
    unsafe { (*array.as_array_ptr()).fields.data.addr() }
}
