//! DILATE and STABLEHLO_PAD: an array with copies of one number before, after and between its elements.
//!
//! Any type of whole bytes; the number may be known at run time only. Less than nothing before or after an axis takes elements away.

use super::family::{Family, family};
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::spaced::{self, Spaced};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Per axis.
    pub before: Vec<i64>,
    pub after: Vec<i64>,
    /// Between two elements.
    pub between: Vec<usize>,
}
fields!(before, after, between);

pub struct Pad {
    types: &'static [Row],
    decode: fn(&Source) -> Result<Attributes, Diagnostic>,
}

const TYPES: &[Row] = &[Row::Same(types::WHOLE_BYTES)];

family! { Pad:
    /// Between elements, by how far apart they then are
    dilate [Arity { inputs: 3..=3, kept: Kept::These(&[0, 2]), outputs: 1..=1 }] = Pad { types: TYPES, decode: dilations };
    /// Before, after and between
    stablehlo_pad = Pad { types: TYPES, decode: paddings };
}

fn dilations(source: &Source) -> Result<Attributes, Diagnostic> {
    let rank = source.signature.input(0)?.rank();
    let dilations = source.signature.constant_counts(1, "the dilations", &[rank])?;
    let between = dilations.iter().map(|d| {
        let less = d.checked_sub(1);
        less.ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "a dilation must be positive").detail("input 1").found(d.to_string()))
    });
    Ok(Attributes { before: vec![0; rank], after: vec![0; rank], between: between.collect::<Result<_, _>>()? })
}

fn paddings(source: &Source) -> Result<Attributes, Diagnostic> {
    let options = source
        .operator
        .builtin_options_2_as_stablehlo_pad_options()
        .ok_or_else(|| Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent"))?;
    let rank = source.signature.input(0)?.rank();
    let all = [options.edge_padding_low(), options.edge_padding_high(), options.interior_padding()];
    let [before, after, between] = all.map(|list| list.map_or(vec![], |l| l.iter().collect::<Vec<i64>>()));
    if [&before, &after, &between].iter().any(|list| list.len() != rank) {
        return Err(Diagnostic::new(Code::ATTRIBUTE, "the paddings do not fit the input")
            .expected(format!("{rank} of each kind"))
            .found(format!("{before:?}, {after:?} and {between:?}")));
    }
    let between = between.into_iter().map(|n| checks::dimension("an interior padding", n));
    Ok(Attributes { before, after, between: between.collect::<Result<_, _>>()? })
}

impl Attributes {
    fn axes(&self, shape: &[usize]) -> Option<Vec<Spaced>> {
        (0..shape.len()).map(|d| Spaced::new(shape[d], self.before[d], self.after[d], self.between[d].checked_add(1)?)).collect()
    }
}

impl Family for Pad {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        (self.decode)(source)
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, fill) = (s.input(0)?, s.input(1)?);
        if fill.element_count() != 1 {
            return Err(Diagnostic::new(Code::OPERAND, "what is put between elements must be one number")
                .detail("input 1")
                .found(format!("shape {:?}", fill.shape)));
        }
        if x.rank() == 0 {
            return Err(Diagnostic::new(Code::OPERAND, "input is a scalar").expected("at least one dimension"));
        }
        if [a.before.len(), a.after.len(), a.between.len()] != [x.rank(); 3] {
            return Err(
                Diagnostic::new(Code::ATTRIBUTE, "the paddings do not fit the input").expected(format!("{} of each kind", x.rank()))
            );
        }
        let axes = a.axes(&x.shape).ok_or_else(|| {
            Diagnostic::new(Code::SHAPE, "paddings take away more than there is, or make an array that is too large")
                .found(format!("{:?} before, {:?} after and {:?} between elements of {:?}", a.before, a.after, a.between, x.shape))
        })?;
        checks::sized(axes.into_iter().map(|a| a.size).collect())
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        if y.element_count() == 0 {
            return Ok(());
        }
        let bytes = y.element.bytes().expect("infer has seen the type");
        let axes = a.axes(&x.shape).expect("infer has seen the sizes");
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.output(node, 0)];
        spaced::lower(cx, buffers, bytes, &x.shape, &axes);
        Ok(())
    }
}
