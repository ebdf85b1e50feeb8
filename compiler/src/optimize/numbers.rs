//! The numbers of a constant: from the bytes of a file and back, and what can be said of them.
//!
//! The idea: a number is kept as it is stored, as a float, which holds every f32, f16, bf16 and integer of at most 16 bits exactly; what it stands for is
//! (stored − zero point) · scale, which floats have, too, with 0 and 1. So nothing that is not changed on purpose is rounded.

use cranelite_graph::quantize::{bf16_to_f32, element_range, f16_to_f32};
use cranelite_graph::tensor::{ElementType, TensorType};

#[derive(Clone, Debug, PartialEq)]
pub struct StoredNumbers {
    pub ty: TensorType,
    pub stored: Vec<f32>,
}

impl StoredNumbers {
    /// `None` of element types that weights do not have.
    pub fn read(ty: &TensorType, bytes: &[u8]) -> Option<StoredNumbers> {
        let words = || bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]]));
        let stored: Vec<f32> = match ty.element {
            ElementType::F32 => bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(),
            ElementType::F16 => words().map(f16_to_f32).collect(),
            ElementType::BF16 => words().map(bf16_to_f32).collect(),
            ElementType::I16 => words().map(|w| f32::from(w as i16)).collect(),
            ElementType::I8 => bytes.iter().map(|b| f32::from(*b as i8)).collect(),
            ElementType::U8 => bytes.iter().map(|b| f32::from(*b)).collect(),
            _ => ty.unpacked(bytes)?.into_iter().map(f32::from).collect(),
        };
        (stored.len() == ty.element_count()).then_some(StoredNumbers { ty: ty.clone(), stored })
    }

    /// As in a file. Numbers that the type does not hold become the nearest that it does.
    pub fn bytes(&self) -> Vec<u8> {
        let integers = || {
            let (low, high) = element_range(self.ty.element).unwrap_or((0, 0));
            self.stored.iter().map(move |x| (*x as i32).clamp(low, high))
        };
        match self.ty.element {
            ElementType::F32 => self.stored.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ElementType::F16 => self.stored.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
            ElementType::BF16 => self.stored.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            ElementType::I16 => integers().flat_map(|x| (x as i16).to_le_bytes()).collect(),
            element => {
                let bits = element.bits().unwrap_or(8).min(8);
                let all: Vec<u8> = integers().map(|x| x as u8 & (0xff >> (8 - bits))).collect();
                let packed = |group: &[u8]| group.iter().enumerate().fold(0, |byte, (i, x)| byte | x << (i as u32 * bits));
                all.chunks(8 / bits as usize).map(packed).collect()
            }
        }
    }

    /// The number that stands for zero, and what a step is worth, of an element.
    fn zero_and_scale(&self, element: usize) -> (f32, f32) {
        let Some(q) = &self.ty.quantization else { return (0.0, 1.0) };
        let channel = match q.is_per_tensor() {
            true => 0,
            false => element / self.ty.shape[q.axis + 1..].iter().product::<usize>() % q.scales.len(),
        };
        (q.zero_point(channel) as f32, q.scale(channel))
    }

    pub fn zero(&self, element: usize) -> f32 {
        self.zero_and_scale(element).0
    }

    /// What a step is worth.
    pub fn scale(&self, element: usize) -> f32 {
        self.zero_and_scale(element).1
    }

    /// What an element stands for.
    pub fn real(&self, element: usize) -> f32 {
        let (zero, scale) = self.zero_and_scale(element);
        (self.stored[element] - zero) * scale
    }

    pub fn magnitudes(&self) -> Vec<f32> {
        (0..self.stored.len()).map(|i| self.real(i).abs()).collect()
    }

    pub fn set_to_zero(&mut self, which: &[bool]) {
        for i in (0..which.len()).filter(|&i| which[i]) {
            self.stored[i] = self.zero(i);
        }
    }

    pub fn facts(&self) -> NumberFacts {
        let zeros = (0..self.stored.len()).filter(|&i| self.stored[i] == self.zero(i)).count();
        let mut all: Vec<u32> = self.stored.iter().map(|x| (x + 0.0).to_bits()).collect();
        all.sort_unstable();
        let counts = all.chunk_by(|a, b| a == b).map(<[u32]>::len);
        let (mut distinct, mut bits) = (0, 0.0);
        for count in counts {
            distinct += 1;
            bits -= count as f64 * libm::log2(count as f64 / all.len() as f64);
        }
        NumberFacts { count: all.len(), zeros, distinct, bytes: self.ty.size_bytes(), least_bytes: libm::ceil(bits / 8.0) as usize }
    }

    /// The root mean square of what the real numbers differ by, over that of the real numbers here.
    pub fn error_of(&self, other: &StoredNumbers) -> f64 {
        let (mut numbers, mut errors) = (0.0, 0.0);
        for i in 0..self.stored.len() {
            let (x, y) = (f64::from(self.real(i)), f64::from(other.real(i)));
            if x.is_finite() && y.is_finite() {
                numbers += x * x;
                errors += (x - y) * (x - y);
            }
        }
        if errors == 0.0 { 0.0 } else { (errors / f64::max(numbers, f64::MIN_POSITIVE)).sqrt() }
    }
}

/// What can be said of the numbers of a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberFacts {
    pub count: usize,
    pub zeros: usize,
    pub distinct: usize,
    /// In the file.
    pub bytes: usize,
    /// What a code of single numbers needs at least: their entropy.
    pub least_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelite_graph::tensor::Quantization;
    use std::sync::Arc;

    #[test]
    fn bytes_come_back() {
        use ElementType::*;
        for element in [F32, F16, BF16, I16, I8, U8, I4, I2] {
            let ty = TensorType::new(element, [2, 3]);
            let mut bytes: Vec<u8> = (0..ty.size_bytes()).map(|i| (i * 73 + 5) as u8).collect();
            if element == I2 {
                bytes[1] &= 0x0f;
            }
            let numbers = StoredNumbers::read(&ty, &bytes).expect("numbers");
            assert_eq!(numbers.bytes(), bytes, "{element}");
        }
        assert_eq!(StoredNumbers::read(&TensorType::new(I32, [1]), &[0; 4]), None);
    }

    #[test]
    fn zeros_are_zero_points() {
        let quantization = Quantization { scales: vec![0.5, 2.0], zero_points: vec![0, 3], axis: 0 };
        let ty = TensorType { quantization: Some(Arc::new(quantization)), ..TensorType::new(ElementType::I8, [2, 2]) };
        let before = StoredNumbers { ty, stored: vec![0.0, 4.0, 3.0, 5.0] };
        assert_eq!(before.magnitudes(), [0.0, 2.0, 0.0, 4.0]);
        let mut after = before.clone();
        after.set_to_zero(&[false, true, false, true]);
        assert_eq!(after.stored, [0.0, 0.0, 3.0, 3.0]);
        assert_eq!((before.facts().zeros, after.facts().zeros, after.facts().distinct, after.facts().least_bytes), (2, 4, 2, 1));
        assert_eq!((before.error_of(&after), before.error_of(&before)), (1.0, 0.0));
    }
}
