//! Types of tensors: element type, shape, quantisation.
//!
//! Not their arithmetic: fixed-point rounding lives in `quantize.rs` alone. The idea: a type says everything that an operator's rules
//! may depend on except the contents.

use std::fmt;
use std::sync::Arc;

/// Element type of a tensor, TensorFlow Lite's set. Types that no operator takes yet are here so that they can be named when refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ElementType {
    F32,
    F16,
    BF16,
    F64,
    I2,
    I4,
    U4,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
    String,
    Complex64,
    Complex128,
    Resource,
    Variant,
    F8E4M3,
    F8E5M2,
}

impl ElementType {
    /// Bits of one element in memory; `None` for types without a fixed size.
    pub fn bits(self) -> Option<u32> {
        use ElementType::*;
        Some(match self {
            I2 => 2,
            I4 | U4 => 4,
            I8 | U8 | Bool | F8E4M3 | F8E5M2 => 8,
            F16 | BF16 | I16 | U16 => 16,
            F32 | I32 | U32 => 32,
            F64 | I64 | U64 | Complex64 => 64,
            Complex128 => 128,
            String | Resource | Variant => return None,
        })
    }

    /// Bytes of one element; `None` where it has no bytes of its own.
    pub fn bytes(self) -> Option<usize> {
        self.bits().filter(|b| b % 8 == 0).map(|b| b as usize / 8)
    }

    /// The name in texts and messages.
    pub fn name(self) -> &'static str {
        use ElementType::*;
        match self {
            F32 => "f32",
            F16 => "f16",
            BF16 => "bf16",
            F64 => "f64",
            I2 => "i2",
            I4 => "i4",
            U4 => "u4",
            I8 => "i8",
            U8 => "u8",
            I16 => "i16",
            U16 => "u16",
            I32 => "i32",
            U32 => "u32",
            I64 => "i64",
            U64 => "u64",
            Bool => "bool",
            String => "string",
            Complex64 => "c64",
            Complex128 => "c128",
            Resource => "resource",
            Variant => "variant",
            F8E4M3 => "f8e4m3",
            F8E5M2 => "f8e5m2",
        }
    }

    pub const ALL: [ElementType; 23] = {
        use ElementType::*;
        [
            F32, F16, BF16, F64, I2, I4, U4, I8, U8, I16, U16, I32, U32, I64, U64, Bool, String, Complex64, Complex128, Resource, Variant,
            F8E4M3, F8E5M2,
        ]
    };

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// Integers as elements of this type, of which they have what fits.
    pub fn integer_bytes(self, values: impl IntoIterator<Item = i64>) -> Vec<u8> {
        let size_bytes = self.bytes().unwrap_or(0).min(8);
        values.into_iter().flat_map(|v| v.to_le_bytes().into_iter().take(size_bytes)).collect()
    }

    pub fn is_float(self) -> bool {
        matches!(self, ElementType::F32 | ElementType::F16 | ElementType::BF16 | ElementType::F64)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// real = scale · (q − zero point), with one pair for the tensor or one per index of `axis`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// Positive and finite; one, or as many as the axis is long.
    pub scales: Vec<f32>,
    /// As many as scales.
    pub zero_points: Vec<i64>,
    /// Meaningful when there is more than one scale.
    pub axis: usize,
}

impl Quantization {
    pub fn per_tensor(scale: f32, zero_point: i64) -> Self {
        Quantization { scales: vec![scale], zero_points: vec![zero_point], axis: 0 }
    }
    pub fn is_per_tensor(&self) -> bool {
        self.scales.len() == 1
    }
    /// Scale of index `channel` along the axis.
    pub fn scale(&self, channel: usize) -> f32 {
        if self.is_per_tensor() { self.scales[0] } else { self.scales[channel] }
    }
    pub fn zero_point(&self, channel: usize) -> i64 {
        if self.zero_points.len() == 1 { self.zero_points[0] } else { self.zero_points[channel] }
    }
}

/// Element type, shape (outermost first, NHWC for images) and quantisation. All dimensions are known and positive or zero.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorType {
    pub element: ElementType,
    pub shape: Vec<usize>,
    pub quantization: Option<Arc<Quantization>>,
}

impl TensorType {
    pub fn new(element: ElementType, shape: impl Into<Vec<usize>>) -> Self {
        TensorType { element, shape: shape.into(), quantization: None }
    }
    pub fn quantized(element: ElementType, shape: impl Into<Vec<usize>>, scale: f32, zero_point: i64) -> Self {
        TensorType { element, shape: shape.into(), quantization: Some(Arc::new(Quantization::per_tensor(scale, zero_point))) }
    }
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// Number of elements; import has checked that it does not overflow.
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }
    /// Bytes in memory; sub-byte types are packed.
    pub fn size_bytes(&self) -> usize {
        (self.element_count() * self.element.bits().unwrap_or(0) as usize).div_ceil(8)
    }
    /// The elements of a tensor of integers of less than 8 bits: the first is in the lowest bits of the first byte. `None` of
    /// other types.
    pub fn unpacked(&self, data: &[u8]) -> Option<Vec<i8>> {
        let bits = match self.element {
            ElementType::I2 => 2,
            ElementType::I4 | ElementType::U4 => 4,
            _ => return None,
        };
        let is_signed = self.element != ElementType::U4;
        // Shifts to the top and back, which copy the sign if there is one.
        let number = move |b: u8, i: u32| {
            let at_top = b << (8 - bits - i * bits);
            if is_signed { at_top as i8 >> (8 - bits) } else { (at_top >> (8 - bits)) as i8 }
        };
        let all = data.iter().flat_map(|&b| (0..8 / bits).map(move |i| number(b, i)));
        Some(all.take(self.element_count()).collect())
    }
    /// Scale of a per-tensor quantised tensor.
    pub fn scale(&self) -> Option<f32> {
        self.quantization.as_ref().map(|q| q.scales[0])
    }
    pub fn zero_point(&self) -> i64 {
        self.quantization.as_ref().map_or(0, |q| q.zero_points[0])
    }
}
