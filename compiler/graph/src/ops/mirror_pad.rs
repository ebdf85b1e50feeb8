//! MIRROR_PAD: y = x with its own elements before and after it, along every axis, as in a mirror.
//!
//! Any element type of whole bytes. The mirror stands on the outermost element (REFLECT), which is not repeated, or beyond it
//! (SYMMETRIC). The paddings are a constant.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;
use cranelite_schema::MirrorPadMode;

/// Of the result, each of which is a call: along each axis what is before the input, the input, and what is after it.
const MOST_REGIONS: usize = 3 * 3 * 3 * 3 * 3 * 3;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub before: Vec<usize>,
    pub after: Vec<usize>,
    /// The outermost elements are repeated.
    pub symmetric: bool,
}
fields!(before, after, symmetric);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(1), outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let numbers = s.constant_counts(1, "the paddings", &[s.input(0)?.rank(), 2])?;
        let symmetric = match source.operator.builtin_options_as_mirror_pad_options().map_or(MirrorPadMode::REFLECT, |o| o.mode()) {
            MirrorPadMode::REFLECT => false,
            MirrorPadMode::SYMMETRIC => true,
            other => {
                return Err(Diagnostic::new(Code::ATTRIBUTE, "the mode is not known")
                    .expected("REFLECT or SYMMETRIC")
                    .found(format!("number {}", other.0)));
            }
        };
        let (before, after) = (numbers.iter().copied().step_by(2).collect(), numbers.iter().copied().skip(1).step_by(2).collect());
        Ok(Attributes { before, after, symmetric })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        let shape = checks::padded(&x.shape, &self.before, &self.after)?;
        let most = |d: usize| if self.symmetric { x.shape[d] } else { x.shape[d].saturating_sub(1) };
        if let Some(d) = (0..x.rank()).find(|&d| most(d) < self.before[d].max(self.after[d])) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, format!("the paddings of axis {d} are longer than its mirror image"))
                .expected(format!("at most {}", most(d)))
                .found(format!("{} and {}", self.before[d], self.after[d])));
        }
        let parts = |d: usize| 1 + usize::from(0 < self.before[d]) + usize::from(0 < self.after[d]);
        if MOST_REGIONS < (0..x.rank()).map(parts).product() {
            return Err(Diagnostic::new(Code::FEATURE, "mirror images along so many axes are not supported")
                .expected("at most 6 axes with paddings at both ends")
                .found(format!("{:?} and {:?}", self.before, self.after)));
        }
        Ok(shape)
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let (from, to) = (&moves::strides(&x.shape), &moves::strides(&y.shape));
        // Along each axis: what is before, the input, what is after, as (first in the source, first in the result, count, backwards).
        let mut regions: Vec<((usize, usize), Vec<Axis>)> = vec![((0, 0), vec![])];
        for d in 0..x.rank() {
            let (size, before, after) = (x.shape[d], self.before[d], self.after[d]);
            let mirror = usize::from(!self.symmetric);
            let parts = [
                ((before + mirror).saturating_sub(1), 0, before, -from[d]),
                (0, before, size, from[d]),
                (size.saturating_sub(1 + mirror), before + size, after, -from[d]),
            ];
            let all = regions.iter().flat_map(|((x, y), axes)| {
                parts.iter().filter(|p| 0 < p.2).map(move |p| {
                    let axes = axes.iter().copied().chain([Axis { count: p.2, from: p.3, to: to[d] }]).collect();
                    ((x + p.0 * from[d] as usize, y + p.1 * to[d] as usize), axes)
                })
            });
            regions = all.collect();
        }
        for (first, axes) in regions {
            moves::of_node(cx, node, first, &axes);
        }
        Ok(())
    }
}
