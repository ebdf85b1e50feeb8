//! CONCATENATION: the inputs one after the other along an axis.
//!
//! Any element type of whole bytes. Where rows of an input are counted at run time, those of the next one follow the last of them. What cannot be written in its place is copied there. Quantised inputs must have the quantisation of
//! the output, as in the reference, except u8, which is rescaled: in f32, which here is a table per input. int16 must have no zero points; their scales are not looked at.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Node, ValueId};
use crate::lower::copy::Piece;
use crate::lower::{Context, counts as counted, join};
use crate::ops::attributes::Activation;
use crate::ops::channels::{self, Channels, Intervals};
use crate::ops::counts::{self, Count};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row, T};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize::rescale_table_u8;
use crate::tensor::ElementType::{I8, I16, I32, U8};
use crate::tensor::TensorType;
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
    pub activation: Activation,
}
fields!(axis, activation);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1024, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::With(types::WHOLE_BYTES, &[T], &[T, &[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let (axis, activation) = match source.operator.builtin_options_as_concatenation_options() {
            Some(o) => (o.axis(), Activation::decode(o.fused_activation_function())?),
            None => (0, Activation::None),
        };
        let rank = source.signature.input(0)?.rank();
        // Scalars become a vector.
        let axis = if (rank, axis) == (0, 0) { 0 } else { checks::axis(axis.into(), rank)? };
        Ok(Attributes { axis, activation })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (first, y) = (s.input(0)?, s.output(0));
        checks::no_activation(self.activation)?;
        let element = y.element;
        // Scalars become a vector.
        let mut shape = if first.rank() == 0 { vec![1] } else { first.shape.clone() };
        checks::axes_exist(&[self.axis], shape.len())?;
        let mut length = 0usize;
        for i in 0..s.inputs.len() {
            let x = s.input(i)?;
            let own = if x.rank() == 0 { &[1][..] } else { &x.shape };
            let fits = x.rank() == first.rank() && own.iter().zip(&shape).enumerate().all(|(d, (a, b))| d == self.axis || a == b);
            if !fits {
                return Err(Diagnostic::new(Code::OPERAND, format!("shape of input {i} does not fit input 0"))
                    .expected(format!("{:?} but for axis {}", first.shape, self.axis))
                    .found(format!("{:?}", x.shape)));
            }
            length = length.checked_add(own[self.axis]).ok_or_else(|| Diagnostic::new(Code::SHAPE, "result is too large"))?;
            match element {
                I8 if x.quantization.is_some() || y.quantization.is_some() => {
                    let (from, to) = (checks::per_tensor(&format!("input {i}"), x)?, checks::per_tensor("the output", y)?);
                    if from != to {
                        return Err(Diagnostic::new(Code::SCALE, format!("quantisation of input {i} is not that of the output"))
                            .expected(format!("scale {} and zero point {}", to.0, to.1))
                            .found(format!("scale {} and zero point {}", from.0, from.1))
                            .help("let the converter quantise all inputs alike, or put a QUANTIZE in front"));
                    }
                }
                U8 if parameters(x) != parameters(y) => {
                    checks::per_tensor(&format!("input {i}"), x)?;
                    checks::per_tensor("the output", y)?;
                }
                I16 => {
                    checks::no_zero_point(&format!("input {i}"), x)?;
                    checks::no_zero_point("the output", y)?;
                }
                _ => {}
            }
        }
        shape[self.axis] = length;
        Ok([shape, vec![]].into_iter().take(s.outputs.len()).collect())
    }

    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        let is_alike = counted.iter().all(|c| *c == counted[0]);
        let is_rescaled =
            (0..s.inputs.len()).any(|i| s.optional(i).is_some_and(|o| o.ty.element == U8 && parameters(o.ty) != parameters(s.output(0))));
        match counted.iter().flatten().next() {
            Some(_) if self.axis == 0 && !is_rescaled => Ok(vec![Some(Count::Own)]),
            Some(_) if self.axis != 0 && is_alike => Ok(vec![Some(Count::Of(0))]),
            _ => counts::none(s, counted),
        }
    }

    fn channels(&self, s: &Signature) -> Channels {
        if self.axis + 1 == s.output(0).rank() { Channels::Joined } else { Channels::Same }
    }

    fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
        let is_copied = s.output(0).element != U8 || s.inputs.iter().flatten().all(|x| parameters(x.ty) == parameters(s.output(0)));
        if is_copied { channels::copied(self.channels(s), s, operands) } else { None }
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let y = cx.output_type(node, 0);
        if node.outputs.len() == 2 {
            counted::join(cx, node);
            return Ok(());
        }
        let rows = y.shape[..self.axis].iter().product();
        let mut pieces = vec![];
        let mut row_bytes = 0;
        for i in 0..node.inputs.len() {
            let x = cx.input_type(node, i);
            let table = (x.element == U8 && parameters(x) != parameters(y)).then(|| {
                let entries = rescale_table_u8(parameters(x), parameters(y));
                cx.constant("rescale", entries.to_vec(), 64)
            });
            if 0 < x.element_count() {
                let size_bytes = x.size_bytes() / rows;
                pieces.push(Piece { from: cx.input(node, i), offset: row_bytes, size_bytes, table, is_overwritten: false });
                row_bytes += size_bytes;
            }
        }
        let to = cx.output(node, 0);
        join::rows(cx, node, rows, row_bytes, pieces, to);
        Ok(())
    }
}

fn parameters(ty: &TensorType) -> (f32, i32) {
    (ty.scale().unwrap_or(1.0), ty.zero_point() as i32)
}
