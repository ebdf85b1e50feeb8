//! CONV_3D and CONV_3D_TRANSPOSE: convolutions of volumes; NDHWC, f32.
//!
//! Filters and bias may be computed at run time. The result is clamped by the fused activation.

use super::attributes::{Activation, Padding, Window, positive};
use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::volume::{self, Way};
use crate::tensor::ElementType::F32;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Depth, rows and columns of the result.
    pub size: Vec<usize>,
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    /// Padding before the first plane, row and column.
    pub before: Vec<usize>,
    pub activation: Activation,
}
fields!(size, stride, dilation, before, activation);

pub struct Volume {
    types: &'static [Row],
    is_transposed: bool,
}

const TYPES: &[Row] = &[Row::Same(&[F32])];

family! { Volume:
    /// Σ x · w; filters are [depth, rows, columns, channels of the input, channels of the result]
    conv_3d [Arity { inputs: 2..=3, kept: Kept::First(3), outputs: 1..=1 }] = Volume { types: TYPES, is_transposed: false };
    /// Of which CONV_3D is the gradient; the shape of the result is a constant; channels of filters are the other way round
    conv_3d_transpose = Volume { types: TYPES, is_transposed: true };
}

/// Depth, rows and columns of [n, depth, rows, columns, channels].
fn volume(what: &str, shape: &[usize]) -> Result<[usize; 3], Diagnostic> {
    match *shape {
        [_, d, h, w, _] => Ok([d, h, w]),
        _ => {
            let d = Diagnostic::new(Code::OPERAND, format!("{what} has the wrong rank"));
            Err(d.expected("5 dimensions").found(format!("{shape:?}")))
        }
    }
}

impl Volume {
    /// Channels of the input and of the result.
    fn channels(&self, filter: &[usize]) -> [usize; 2] {
        if self.is_transposed { [filter[4], filter[3]] } else { [filter[3], filter[4]] }
    }
}

impl Family for Volume {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 3..=4, kept: Kept::These(&[2, 1, 3]), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        let s = &source.signature;
        let options = source
            .operator
            .builtin_options_as_conv_3_doptions()
            .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"))?;
        let stride = [
            positive("stride_d", options.stride_d())?,
            positive("stride_h", options.stride_h())?,
            positive("stride_w", options.stride_w())?,
        ];
        let dilation = [
            positive("dilation_d_factor", options.dilation_d_factor())?,
            positive("dilation_h_factor", options.dilation_h_factor())?,
            positive("dilation_w_factor", options.dilation_w_factor())?,
        ];
        let filter = match s.input(1)?.shape[..] {
            [d, h, w, _, _] => [d, h, w],
            _ => volume("the filter", &s.input(1)?.shape)?,
        };
        // Of a transposed one the result is what the window moves over.
        let moved_over = match self.is_transposed {
            false => volume("the input", &s.input(0)?.shape)?,
            true => volume("the result", &s.constant_counts(0, "the shape of the result", &[5])?)?,
        };
        let window = |i: usize| Window { input: moved_over[i], filter: filter[i], stride: stride[i], dilation: dilation[i] };
        let [first, last] = [(0, 1), (2, 2)].map(|(a, b)| Padding::decode(options.padding(), window(a), window(b)));
        let (first, last) = (first?, last?);
        let paddings = [(first.top, first.bottom), (first.left, first.right), (last.left, last.right)];
        let places: Vec<usize> = (0..3).map(|i| window(i).output(paddings[i].0, paddings[i].1).unwrap_or(0)).collect();
        if self.is_transposed {
            let (x, asked) = (s.input(2)?, s.constant_counts(0, "the shape of the result", &[5])?);
            let fits = x.rank() == 5 && x.shape[0] == asked[0] && x.shape[1..4] == places[..] && s.input(1)?.shape[3] == asked[4];
            if !fits {
                return Err(Diagnostic::new(Code::OPERAND, "the shape of the result does not fit input and filter")
                    .detail("input 0")
                    .expected(format!("one of which a convolution makes {:?}", x.shape))
                    .found(format!("{asked:?}")));
            }
        } else if places.contains(&0) && !moved_over.contains(&0) {
            return Err(Diagnostic::new(Code::OPERAND, "the filter is larger than the padded volume")
                .expected(format!("at most {moved_over:?} and the padding"))
                .found(format!("{filter:?}")));
        }
        Ok(Attributes {
            size: if self.is_transposed { moved_over.to_vec() } else { places },
            stride: stride.to_vec(),
            dilation: dilation.to_vec(),
            before: paddings.iter().map(|p| p.0).collect(),
            activation: Activation::decode(options.fused_activation_function())?,
        })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, filter) = (s.input(0)?, s.input(1)?);
        volume("the input", &x.shape)?;
        volume("the filter", &filter.shape)?;
        let [from, to] = self.channels(&filter.shape);
        if from != x.shape[4] || filter.element_count() == 0 {
            return Err(Diagnostic::new(Code::OPERAND, "the filter does not fit the input")
                .detail("input 1")
                .expected(format!("{} channels, and no empty axis", x.shape[4]))
                .found(format!("{:?}", filter.shape)));
        }
        checks::bias(s, 2, to)?;
        let lists = [&a.size, &a.stride, &a.dilation, &a.before];
        if lists.iter().any(|l| l.len() != 3) || a.stride.contains(&0) || a.dilation.contains(&0) || x.shape[1..4].contains(&0) {
            return Err(Diagnostic::new(
                Code::ATTRIBUTE,
                "sizes, strides, dilations and paddings are of three axes, none of which is empty",
            )
            .found(format!("{:?}, {:?}, {:?} and {:?} of {:?}", a.size, a.stride, a.dilation, a.before, x.shape)));
        }
        checks::sized([&x.shape[..1], &a.size, &[to]].concat())
    }

    fn macs(&self, _: &Attributes, s: &Signature) -> u64 {
        let places = |ty: &crate::tensor::TensorType| ty.shape[..4].iter().product::<usize>() as u64;
        let (Ok(x), Ok(filter)) = (s.input(0), s.input(1)) else { return 0 };
        filter.element_count() as u64 * if self.is_transposed { places(x) } else { places(s.output(0)) }
    }

    fn activation<'a>(&self, a: &'a mut Attributes) -> Option<&'a mut Activation> {
        Some(&mut a.activation)
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, filter) = (cx.input_type(node, 0), cx.input_type(node, 1));
        if cx.output_type(node, 0).element_count() == 0 {
            return Ok(());
        }
        let ways = [0, 1, 2].map(|i| Way {
            input: x.shape[i + 1],
            output: a.size[i],
            filter: filter.shape[i],
            stride: a.stride[i],
            dilation: a.dilation[i],
            before: a.before[i],
        });
        volume::lower(cx, node, &ways, self.channels(&filter.shape), self.is_transposed, a.activation)
    }
}
