//! SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: every n-th row and column of images as images of their own, and back.
//!
//! Any element type of whole bytes; images [n, rows, channels] and [n, rows, columns, channels]. Sizes of blocks, paddings and what is
//! cut off are constants. Padding is the zero point.

use super::family::{Family, family};
use super::moves::Moves;
use super::types::{self, Row};
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::moves::{self, Axis};
use crate::text::fields::fields;

/// Per axis between the first and the last: so many images are made along it, and so many elements are added, or cut off, at its ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub block: Vec<usize>,
    pub before: Vec<usize>,
    pub after: Vec<usize>,
}
fields!(block, before, after);

pub struct Batch {
    types: &'static [Row],
    to_batch: bool,
}

family! { Batch:
    /// One image becomes several.
    space_to_batch_nd = Batch { types: &[Row::Same(types::WHOLE_BYTES)], to_batch: true };
    /// Several images become one.
    batch_to_space_nd = Batch { types: &[Row::Same(types::WHOLE_BYTES)], to_batch: false };
}

impl Family for Batch {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 3..=3, kept: Kept::First(1), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        let s = &source.signature;
        let axes = s.input(0)?.rank().saturating_sub(2);
        let block = s.constant_counts(1, "the block's sizes", &[axes])?;
        let ends = s.constant_counts(2, if self.to_batch { "the paddings" } else { "the crops" }, &[axes, 2])?;
        Ok(Attributes {
            block,
            before: ends.iter().copied().step_by(2).collect(),
            after: ends.iter().copied().skip(1).step_by(2).collect(),
        })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, y) = (s.input(0)?, s.output(0));
        if !(3..=4).contains(&x.rank()) {
            return Err(Diagnostic::new(Code::OPERAND, "the input has the wrong rank")
                .expected("3 or 4 dimensions")
                .found(format!("{:?}", x.shape)));
        }
        let misfit = || {
            Diagnostic::new(Code::OPERAND, "the blocks do not fit the input")
                .expected(if self.to_batch {
                    "padded axes that are multiples of the block's"
                } else {
                    "a multiple of the block's elements, and no more cut off than there is"
                })
                .found(format!("blocks {:?}, {:?} before and {:?} after, of {:?}", a.block, a.before, a.after, x.shape))
        };
        let axes = x.rank() - 2;
        if [a.block.len(), a.before.len(), a.after.len()] != [axes; 3] || a.block.contains(&0) {
            return Err(misfit());
        }
        checks::same_quantization(x, y)?;
        checks::no_zero_points_of_words(x, y)?;
        let blocks = a.block.iter().try_fold(1usize, |n, &b| n.checked_mul(b)).ok_or_else(misfit)?;
        let mut shape = x.shape.clone();
        shape[0] = match self.to_batch {
            true => shape[0].saturating_mul(blocks),
            false if shape[0].is_multiple_of(blocks) => shape[0] / blocks,
            false => return Err(misfit()),
        };
        for (d, ((&b, &before), &after)) in a.block.iter().zip(&a.before).zip(&a.after).enumerate() {
            let ends = before.saturating_add(after);
            shape[d + 1] = match self.to_batch {
                true => Some(x.shape[d + 1].saturating_add(ends)).filter(|n| n.is_multiple_of(b)).map(|n| n / b),
                false => x.shape[d + 1].saturating_mul(b).checked_sub(ends),
            }
            .ok_or_else(misfit)?;
        }
        checks::sized(shape)
    }

    fn moves(&self, _: &Attributes, _: &Signature) -> Moves {
        Moves::Together
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        if y.element_count() == 0 {
            return Ok(());
        }
        let (space, batch) = if self.to_batch { (x, y) } else { (y, x) };
        let is_padded = a.before.iter().chain(&a.after).any(|n| *n != 0);
        if self.to_batch && is_padded {
            let zero_point = if checks::is_quantized(y.element) { y.zero_point() } else { 0 };
            moves::fill(cx, node, zero_point);
        }
        let (in_space, in_batch) = (moves::strides(&space.shape), moves::strides(&batch.shape));
        let (n, rank) = (space.shape[0], x.rank());
        let images = moves::strides(&a.block);
        let mut regions = vec![((0, 0), vec![Axis { count: n, from: in_space[0], to: in_batch[0] }])];
        for d in 0..rank - 2 {
            let (b, before, size) = (a.block[d], a.before[d], space.shape[d + 1]);
            // For each place in a block, the first and the last element of the axis that come from inside of the image: the same for up to
            // three runs of places.
            let range = |place: usize| {
                let start = before.saturating_sub(place).div_ceil(b);
                (start, (before + size).saturating_sub(place).div_ceil(b).min(batch.shape[d + 1]).max(start))
            };
            let mut runs: Vec<(usize, usize)> = vec![];
            for place in 0..b {
                match runs.last_mut() {
                    Some((first, count)) if range(*first) == range(place) => *count += 1,
                    _ => runs.push((place, 1)),
                }
            }
            let each = regions.iter().flat_map(|(first, axes): &((usize, usize), Vec<Axis>)| {
                runs.iter().filter(|r| range(r.0).0 < range(r.0).1).map(|&(place, places)| {
                    let (start, end) = range(place);
                    let to_image = images[d] * n as i64 * in_batch[0];
                    let mut axes = axes.clone();
                    axes.push(Axis { count: places, from: in_space[d + 1], to: to_image });
                    axes.push(Axis { count: end - start, from: in_space[d + 1] * b as i64, to: in_batch[d + 1] });
                    let in_space = first.0 + (start * b + place - before) * in_space[d + 1] as usize;
                    ((in_space, first.1 + place * to_image as usize + start * in_batch[d + 1] as usize), axes)
                })
            });
            regions = each.collect();
        }
        for (mut first, mut axes) in regions {
            axes.push(Axis { count: space.shape[rank - 1], from: 1, to: 1 });
            if !self.to_batch {
                first = (first.1, first.0);
                axes.iter_mut().for_each(|a| (a.from, a.to) = (a.to, a.from));
            }
            moves::of_node(cx, node, first, &axes);
        }
        Ok(())
    }
}
