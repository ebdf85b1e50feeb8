//! SPLIT_V: the parts of the input along an axis, of given sizes.
//!
//! Any element type of whole bytes. Sizes and axis are constants; one size may be −1, which is what is left. Parts along the outermost
//! axis are no copies.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, moves};
use crate::ops::moves::Moves;
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub axis: usize,
    pub sizes: Vec<usize>,
}
fields!(axis, sizes);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(1), outputs: 1..=1024 };
    const TYPES: &'static [Row] = &[Row::Same(types::WHOLE_BYTES)];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let s = &source.signature;
        let x = s.input(0)?;
        let number = source.operator.builtin_options_as_split_voptions().map_or(0, |o| o.num_splits());
        checks::result_count(number, s)?;
        let (_, sizes) = s.constant_integers(1, "the sizes")?;
        let axis = checks::axis(s.constant_integer(2, "the axis")?, x.rank())?;
        if 1 < sizes.iter().filter(|n| **n == -1).count() {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "only one size may be open (-1)").detail("input 1").found(format!("{sizes:?}")));
        }
        let given: Result<Vec<usize>, _> = sizes.iter().filter(|n| **n != -1).map(|&n| checks::dimension("a size", n)).collect();
        let rest = x.shape[axis].saturating_sub(given?.iter().sum());
        Ok(Attributes { axis, sizes: sizes.into_iter().map(|n| usize::try_from(n).unwrap_or(rest)).collect() })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let x = s.input(0)?;
        checks::axes_exist(&[self.axis], x.rank())?;
        let sum = self.sizes.iter().try_fold(0usize, |n, &size| n.checked_add(size));
        if sum != Some(x.shape[self.axis]) || self.sizes.len() != s.outputs.len() {
            return Err(Diagnostic::new(Code::OPERAND, "the sizes do not fit the input")
                .expected(format!("{} sizes with the sum {}", s.outputs.len(), x.shape[self.axis]))
                .found(format!("{:?}", self.sizes)));
        }
        let part = |&size: &usize| x.shape.iter().enumerate().map(|(d, &n)| if d == self.axis { size } else { n }).collect();
        Ok(self.sizes.iter().map(part).collect())
    }

    fn moves(&self, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        moves::along(cx, node, self.axis);
        Ok(())
    }
}
