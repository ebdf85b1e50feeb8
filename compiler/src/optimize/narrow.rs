//! Weights of floats as integers of 8 or 4 bits, symmetric: zero is zero, and each output channel has a scale.
//!
//! Not about files: numbers in, numbers out. The idea: the largest weight of a channel becomes the largest integer, as converters do it; the most negative integer is left out, so
//! that both signs reach equally far.

use super::layout::Layout;
use super::numbers::StoredNumbers;
use cranelite_graph::quantize::{element_range, round_half_away};
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use std::sync::Arc;

/// The same numbers in an integer type with sign, each output channel with a scale of its own.
pub fn narrowed(numbers: &StoredNumbers, layout: &Layout, element: ElementType) -> StoredNumbers {
    let (axis, count) = (layout.channel.unwrap_or(0), layout.channels());
    let unit = |i: usize| layout.channel_of(i);
    with_scales(numbers, element, unit, axis, count)
}

/// The same, for integers: with as many scales as they have.
pub fn narrowed_integers(numbers: &StoredNumbers, element: ElementType) -> StoredNumbers {
    let (axis, count) = numbers.ty.quantization.as_ref().map_or((0, 1), |q| (q.axis, q.scales.len()));
    let step: usize = numbers.ty.shape.iter().skip(axis + 1).product();
    with_scales(numbers, element, |i| if count == 1 { 0 } else { i / step % count }, axis, count)
}

fn with_scales(numbers: &StoredNumbers, element: ElementType, unit: impl Fn(usize) -> usize, axis: usize, count: usize) -> StoredNumbers {
    let most = element_range(element).map_or(1, |(_, high)| high) as f32;
    let mut largest = vec![0.0_f32; count];
    (0..numbers.stored.len()).for_each(|i| largest[unit(i)] = largest[unit(i)].max(numbers.real(i).abs()));
    // Nothing is said of a channel of zeros, or of numbers that no scale of f32 has.
    let scales: Vec<f32> = largest.iter().map(|l| l / most).map(|s| if s < f32::MIN_POSITIVE { 1.0 } else { s }).collect();
    let integer =
        |i: usize| round_half_away(f64::from(numbers.real(i)) / f64::from(scales[unit(i)])).clamp(-f64::from(most), most.into()) as f32;
    let stored = (0..numbers.stored.len()).map(integer).collect();
    let quantization = Quantization { zero_points: vec![0; scales.len()], scales, axis };
    let ty = TensorType { quantization: Some(Arc::new(quantization)), ..TensorType::new(element, numbers.ty.shape.clone()) };
    StoredNumbers { ty, stored }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_is_the_largest() {
        let layout = Layout { shape: vec![3, 2], channel: Some(0), input: Some(1) };
        let ty = TensorType::new(ElementType::F32, [3, 2]);
        let numbers = StoredNumbers { ty, stored: vec![-1.27, 0.01, 0.0, 0.0, 3.2, -6.0] };
        let q = narrowed(&numbers, &layout, ElementType::I8);
        assert_eq!(q.stored, [-127.0, 1.0, 0.0, 0.0, 68.0, -127.0]);
        assert_eq!(narrowed(&numbers, &layout, ElementType::I4).stored, [-7.0, 0.0, 0.0, 0.0, 4.0, -7.0]);
        // Scales of integers stay as many.
        let four = narrowed_integers(&q, ElementType::I4);
        assert_eq!(four.ty.quantization.map(|q| q.scales.len()), Some(3));
        assert_eq!(four.stored, [-7.0, 0.0, 0.0, 0.0, 4.0, -7.0]);
    }

    proptest! {
        #[test]
        fn half_a_step_at_most(numbers in prop::collection::vec(-1000.0..1000.0_f32, 12), is_four: bool) {
            let layout = Layout { shape: vec![2, 3, 2], channel: Some(1), input: None };
            let numbers = StoredNumbers { ty: TensorType::new(ElementType::F32, [2, 3, 2]), stored: numbers };
            let found = narrowed(&numbers, &layout, if is_four { ElementType::I4 } else { ElementType::I8 });
            for i in 0..12 {
                prop_assert!((found.real(i) - numbers.real(i)).abs() <= found.scale(i) * 0.5001);
                let most = if is_four { 7.0 } else { 127.0 };
                prop_assert!(found.stored[i].abs() <= most);
            }
        }
    }
}
