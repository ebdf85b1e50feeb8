//! CONV_2D.

use crate::reference::{Case, Kind, Want, check};
use cranelite_graph::lower::Goal;
use cranelite_graph::ops::attributes::{Activation, Padding};
use cranelite_graph::ops::{Op, conv_2d};
use cranelite_graph::tensor::ElementType;
use proptest::prelude::*;

fn op(case: &Case) -> Op {
    let Case { stride, dilation, padding, activation, .. } = *case;
    Op::Conv2d(conv_2d::Attributes { stride, dilation, padding, activation })
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Float),
        any::<bool>().prop_map(|per_channel| Kind::Int8 { per_channel }),
        Just(Kind::Uint8),
        Just(Kind::Int16 { bias: ElementType::I64 }),
        Just(Kind::Int16 { bias: ElementType::I32 }),
        // With equal scales the reference quantises without offset.
        any::<bool>().prop_map(|pc| Kind::Hybrid { per_channel: pc, asymmetric: pc }),
    ]
}

pub fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::ReluN1To1), Just(Activation::Relu6)]
}

prop_compose! {
    fn cases()(kind in kinds(), batch in 1usize..3, size in [1usize..12, 1..15], filter in [1usize..6, 1..6], stride in [1usize..4, 1..4],
               dilation in [1usize..3, 1..3], pad in [0usize..4, 0..4, 0..4, 0..4], groups in prop_oneof![4 => Just(1usize), 1 => 2usize..4],
               channels in prop_oneof![1usize..10, Just(16), Just(20), 1usize..40], outputs in prop_oneof![1usize..12, 1usize..50],
               activation in activations(), bias: bool, seed: u32) -> Case {
        let padding = Padding { top: pad[0], bottom: pad[1], left: pad[2], right: pad[3] };
        let fits = |i: usize, pad: usize| (filter[i] - 1) * dilation[i] < size[i] + pad;
        // A filter that does not fit becomes one tap.
        let filter = [if fits(0, pad[0] + pad[1]) { filter[0] } else { 1 }, if fits(1, pad[2] + pad[3]) { filter[1] } else { 1 }];
        let channels = channels.div_ceil(groups);
        let kind = match kind {
            Kind::Hybrid { per_channel, asymmetric } => {
                let different = per_channel && outputs.div_ceil(groups) * groups != 1;
                Kind::Hybrid { per_channel: different, asymmetric: (asymmetric && different) || groups != 1 }
            }
            k => k,
        };
        Case { kind, input: [batch, size[0], size[1], channels * groups], filter: [outputs.div_ceil(groups) * groups, filter[0], filter[1], channels],
               stride, dilation, padding, activation, bias, seed: seed.into(), transposed: None }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_convolution(case in cases()) {
        let p = case.operands();
        check(&op(&case), &p, &case.output(), &case.convolution(&p));
    }
}

fn plain(kind: Kind, input: [usize; 4], filter: [usize; 4]) -> Case {
    let one = [1, 1];
    Case {
        kind,
        input,
        filter,
        stride: one,
        dilation: one,
        padding: Padding::default(),
        activation: Activation::None,
        bias: true,
        seed: 12345,
        transposed: None,
    }
}

fn check_case(case: &Case) {
    let p = case.operands();
    check(&op(case), &p, &case.output(), &case.convolution(&p));
}

/// Sizes at which the loops of whole steps, single groups and partial groups all run.
#[test]
fn long_depths() {
    for channels in [31, 64, 67, 130] {
        for kind in [Kind::Float, Kind::Int8 { per_channel: true }, Kind::Uint8, Kind::Int16 { bias: ElementType::I64 }] {
            check_case(&plain(kind, [1, 2, 9, channels], [45, 1, 1, channels]));
            check_case(&Case {
                padding: Padding { top: 1, bottom: 1, left: 1, right: 1 },
                ..plain(kind, [1, 3, 5, channels], [7, 3, 3, channels])
            });
        }
    }
}

/// Sums of int16 products that need more than 32 bits.
#[test]
fn long_sums() {
    let case = plain(Kind::Int16 { bias: ElementType::I64 }, [1, 1, 3, 1200], [5, 1, 1, 1200]);
    let mut p = case.operands();
    p.x.data = p.x.data.chunks(2).flat_map(|_| (-32768i16).to_le_bytes()).collect();
    p.w.data.fill(0x80);
    p.result.quantization = Some(std::sync::Arc::new(cranelite_graph::tensor::Quantization::per_tensor(100.0, 0)));
    check(&op(&case), &p, &case.output(), &case.convolution(&p));
}

/// Images whose pixels follow each other in the result but not in the input.
#[test]
fn pixels_that_nobody_reads() {
    for kind in [Kind::Float, Kind::Int8 { per_channel: false }, Kind::Uint8, Kind::Int16 { bias: ElementType::I64 }] {
        for (size, stride) in [([2, 1], [2, 1]), ([3, 4], [3, 1]), ([2, 5], [4, 1]), ([1, 2], [1, 2]), ([1, 4], [2, 1]), ([5, 1], [1, 2])] {
            check_case(&Case { stride, ..plain(kind, [3, size[0], size[1], 4], [5, 1, 1, 4]) });
        }
    }
    // As many rows as the image has, of which the second is padding.
    let padding = Padding { bottom: 2, ..Padding::default() };
    check_case(&Case { stride: [2, 1], padding, ..plain(Kind::Int8 { per_channel: false }, [2, 2, 1, 4], [5, 1, 1, 4]) });
    // Every second row of two images.
    let case = Case { stride: [2, 1], bias: false, ..plain(Kind::Int8 { per_channel: false }, [2, 2, 1, 1], [1, 1, 1, 1]) };
    let mut p = case.operands();
    let quantized = |shape: &[usize], scale| cranelite_graph::tensor::TensorType::quantized(ElementType::I8, shape, scale, 0);
    (p.x.ty, p.w.ty, p.result) = (quantized(&[2, 2, 1, 1], 1.0), quantized(&[1; 4], 1.0), quantized(&[], 1.0));
    (p.x.data, p.w.data) = (vec![10, 20, 30, 40], vec![1]);
    check(&op(&case), &p, &[2, 1, 1, 1], &Want::Integers(vec![10, 30]));
}

/// Bands of the output that are widened ahead, of which some see nothing but padding.
#[test]
fn bands_that_see_nothing() {
    let padding = Padding { top: 4, bottom: 4, left: 0, right: 0 };
    let case = Case { padding, dilation: [4, 1], ..plain(Kind::Int8 { per_channel: true }, [1, 3, 16, 32], [64, 2, 1, 32]) };
    check_case(&case);
    // Memory for one of three rows.
    let p = case.operands();
    let machine = cranelite_tile::Machine::example(32, cranelite_tile::ByteDot::S16S16, true, false);
    let program = crate::reference::program(&op(&case), &p, &machine, Goal::Speed, 2 * p.x.data.len() / 3);
    let widened = |c: &&cranelite_tile::Call| program.kernel(c.kernel).name.starts_with("widen");
    // One of the seven rows of the result lies between the others' taps.
    assert_eq!(program.calls().filter(widened).count(), 6);
    // The first of the rows, and all of them.
    let input = [1, 5, 3, 1];
    for padding in [Padding { top: 2, bottom: 1, left: 1, right: 0 }, Padding { top: 9, bottom: 0, left: 1, right: 0 }] {
        check_case(&Case { padding, stride: [2, 2], ..plain(Kind::Int8 { per_channel: false }, input, [1, 2, 1, 1]) });
    }
    check_case(&Case {
        stride: [9, 1],
        padding: Padding { top: 2, bottom: 4, left: 0, right: 0 },
        ..plain(Kind::Uint8, input, [1, 2, 1, 1])
    });
}

/// A filter that reaches over padding only, in one direction and in both.
#[test]
fn pixels_that_see_nothing() {
    for kind in [Kind::Float, Kind::Int8 { per_channel: false }, Kind::Uint8, Kind::Hybrid { per_channel: true, asymmetric: true }] {
        let padding = Padding { top: 5, bottom: 3, left: 4, right: 7 };
        check_case(&Case { padding, ..plain(kind, [1, 2, 3, 5], [6, 2, 3, 5]) });
    }
}

/// Accumulators and operands of every tile fit the machine's registers, so that no inner loop spills.
#[test]
fn tiles_fit_the_registers() {
    use crate::reference::program;
    use crate::support::machines;
    for kind in [Kind::Float, Kind::Int8 { per_channel: true }, Kind::Uint8, Kind::Int16 { bias: ElementType::I64 }] {
        for outputs in [8, 20, 64, 100] {
            let case = plain(kind, [1, 14, 14, 64], [outputs, 3, 3, 64]);
            for machine in machines().into_iter().filter(|m| m.has_vectors()) {
                let program = program(&op(&case), &case.operands(), &machine, Goal::Speed, 0);
                for kernel in program.kernels.iter().filter(|k| k.name.starts_with("product")) {
                    let needed = cranelite_tile::pressure::pressure(kernel, &machine);
                    assert!(needed <= machine.vector_registers, "{} of {kind:?} needs {needed} registers on {}", kernel.name, machine.name);
                }
            }
        }
    }
}

/// Where integers are rescaled in one way, convolutions of all shapes have the same code.
#[test]
fn for_size_one_kernel_serves_all() {
    use crate::reference::program;
    use cranelite_tile::{ByteDot, Machine};
    let machine = Machine::example(16, ByteDot::S8S8, true, true);
    let pad = |top, bottom, left, right| Padding { top, bottom, left, right };
    let kind = Kind::Int8 { per_channel: true };
    let kernel = |input, filter, stride, padding, activation| {
        let case = Case { stride: [stride; 2], padding, activation, ..plain(kind, input, filter) };
        let program = program(&op(&case), &case.operands(), &machine, Goal::Size, 0);
        assert_eq!(program.kernels.len(), 1);
        program.kernels[0].clone()
    };
    let one = kernel([1, 14, 14, 64], [64, 3, 3, 64], 1, pad(1, 1, 1, 1), Activation::None);
    let others = [
        kernel([1, 9, 7, 32], [16, 5, 3, 32], 2, pad(2, 1, 0, 1), Activation::Relu),
        // The last panel overlaps the one before.
        kernel([1, 20, 3, 16], [13, 1, 2, 16], 1, pad(0, 0, 1, 0), Activation::Relu6),
    ];
    for other in others {
        assert!(one.same_code(&other));
    }
}

/// Weights of four bits give what the same numbers in bytes give; an odd number of them ends within a byte.
#[test]
fn weights_of_four_bits() {
    for kind in
        [Kind::Int8 { per_channel: true }, Kind::Int8 { per_channel: false }, Kind::Hybrid { per_channel: false, asymmetric: false }]
    {
        let case = plain(kind, [1, 4, 5, 3], [5, 3, 3, 3]);
        let mut p = case.operands();
        p.w.data.iter_mut().for_each(|b| *b = (((*b << 4) as i8) >> 4) as u8);
        let want = case.convolution(&p);
        p.w.data = p.w.data.chunks(2).map(|pair| pair[0] & 15 | pair.get(1).map_or(0, |high| high << 4)).collect();
        p.w.ty.element = ElementType::I4;
        check(&op(&case), &p, &case.output(), &want);
    }
}
