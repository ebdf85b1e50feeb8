//! SPACE_TO_DEPTH and DEPTH_TO_SPACE: squares of an image's pixels as one pixel of more channels, and back.
//!
//! Any element type of whole bytes.

use super::attributes::positive;
use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::{Context, moves};
use crate::text::fields::fields;
use cranelite_schema::Operator;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// The side of a square.
    pub block: usize,
}
fields!(block);

pub struct Depth {
    types: &'static [Row],
    block_size: fn(&Operator) -> Option<i32>,
    to_depth: bool,
}

family! { Depth:
    /// Squares become channels.
    space_to_depth = Depth {
        types: &[Row::Same(types::WHOLE_BYTES)],
        block_size: |o| o.builtin_options_as_space_to_depth_options().map(|o| o.block_size()),
        to_depth: true,
    };
    /// Channels become squares.
    depth_to_space = Depth {
        types: &[Row::Same(types::WHOLE_BYTES)],
        block_size: |o| o.builtin_options_as_depth_to_space_options().map(|o| o.block_size()),
        to_depth: false,
    };
}

impl Family for Depth {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        Ok(Attributes { block: positive("block_size", (self.block_size)(&source.operator).unwrap_or(0))? })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let [n, rows, columns, channels] = checks::image("the input", s.input(0)?)?;
        let area = a.block.checked_mul(a.block).filter(|n| *n != 0);
        let misfit = || {
            Diagnostic::new(Code::OPERAND, "the input has no whole blocks")
                .expected(if self.to_depth {
                    format!("rows and columns that are multiples of {}", a.block)
                } else {
                    format!("a multiple of {} x {} channels", a.block, a.block)
                })
                .found(format!("{:?}", [n, rows, columns, channels]))
        };
        let area = area.ok_or_else(misfit)?;
        let fits =
            if self.to_depth { rows.is_multiple_of(a.block) && columns.is_multiple_of(a.block) } else { channels.is_multiple_of(area) };
        if !fits {
            return Err(misfit());
        }
        checks::sized(match self.to_depth {
            true => vec![n, rows / a.block, columns / a.block, channels.saturating_mul(area)],
            false => vec![n, rows.saturating_mul(a.block), columns.saturating_mul(a.block), channels / area],
        })
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        let (space, depth) = if self.to_depth { (x, y) } else { (y, x) };
        let b = a.block;
        let [n, rows, columns, channels] = [depth.shape[0], depth.shape[1], depth.shape[2], space.shape[3]];
        // Images, rows and columns of squares, rows and columns in a square, channels: the distances in space; in depth they follow each other.
        let shape = [n, rows, columns, b, b, channels];
        let [image, row, column, channel] = [0, 1, 2, 3].map(|d| moves::strides(&space.shape)[d]);
        let in_space = [image, row * b as i64, column * b as i64, row, column, channel];
        let mut axes = moves::axes(&shape, &in_space);
        if !self.to_depth {
            axes.iter_mut().for_each(|a| (a.from, a.to) = (a.to, a.from));
        }
        moves::of_node(cx, node, (0, 0), &axes);
        Ok(())
    }
}
