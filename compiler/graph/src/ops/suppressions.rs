//! NON_MAX_SUPPRESSION_V4 and V5: numbers of the boxes with the best scores, each of which overlaps no better one that was chosen by a threshold or more.
//!
//! f32; how many are wanted is a constant, and what follows those that are found is zeros. The second lowers scores of boxes that overlap less (soft
//! suppression) by a factor e^(-iou² / 2σ) for each box that was chosen, and gives scores as well. Boxes are two opposite corners, y before x. Scores that
//! are not above their threshold, or no numbers, are no candidates.
//!
//! As in the reference, candidates wait in a queue, whose steps decide about the order of equal scores (`lower/select.rs`); what was chosen is a
//! candidate again, which its own box suppresses unless that has no area. Lowered scores may differ in their last bit, since the reference's e^x is not
//! always the nearest. A negative σ, at which the reference fails at run time, is refused, or ends the invocation where it is not known before.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::boxes::corners::{Queued, suppress};
use crate::lower::{Context, indices};
use crate::ops::family::{Family, family};
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Signature, Source, checks};
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub max_output_size: usize,
}
fields!(max_output_size);

/// Of the node's inputs.
const BOXES: usize = 0;
const SCORES: usize = 1;
const IOU_THRESHOLD: usize = 2;
const SCORE_THRESHOLD: usize = 3;
const SIGMA: usize = 4;

pub struct Suppression {
    types: &'static [Row],
    is_soft: bool,
}

family! { Suppression:
    /// Boxes that overlap are left out.
    non_max_suppression_v4 = Suppression { types: &[Row::Of(&[&[F32]], &[&[I32]])], is_soft: false };
    /// And scores of those that overlap less are lowered.
    non_max_suppression_v5 [Arity { inputs: 6..=6, kept: Kept::These(&[0, 1, 3, 4, 5]), outputs: 3..=3 }] =
        Suppression { types: &[Row::Of(&[&[F32]], &[&[I32], &[F32], &[I32]])], is_soft: true };
}

impl Family for Suppression {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 5..=5, kept: Kept::These(&[0, 1, 3, 4]), outputs: 2..=2 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        const WHAT: &str = "the number of boxes that are wanted";
        let ty = source.signature.input(2)?;
        if ty.element != I32 {
            return Err(Diagnostic::new(Code::TYPES, format!("the element type of {WHAT} is not supported"))
                .detail("input 2")
                .expected("i32")
                .found(ty.element.name()));
        }
        Ok(Attributes { max_output_size: source.signature.constant_counts(2, WHAT, &[])?[0] })
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (boxes, scores) = (s.input(BOXES)?, s.input(SCORES)?);
        let count = match boxes.shape[..] {
            [count, 4] => count,
            _ => {
                return Err(Diagnostic::new(Code::OPERAND, "the shape of the boxes does not fit")
                    .detail(format!("input {BOXES}"))
                    .expected("[boxes, 4]")
                    .found(format!("{:?}", boxes.shape)));
            }
        };
        checks::shape("the scores", SCORES, scores, &[count])?;
        checks::shape("the threshold of overlaps", IOU_THRESHOLD, s.input(IOU_THRESHOLD)?, &[])?;
        checks::shape("the threshold of scores", SCORE_THRESHOLD, s.input(SCORE_THRESHOLD)?, &[])?;
        if self.is_soft {
            checks::shape("sigma", SIGMA, s.input(SIGMA)?, &[])?;
        }
        let most = i32::MAX as usize;
        checks::at_most("max_output_size", a.max_output_size, most)?;
        if most < count {
            return Err(Diagnostic::new(Code::FEATURE, "there are too many boxes")
                .expected(format!("at most {most}"))
                .found(count.to_string()));
        }
        let chosen = vec![a.max_output_size];
        Ok(if self.is_soft { vec![chosen.clone(), chosen, vec![]] } else { vec![chosen, vec![]] })
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        if self.is_soft {
            match cx.constant_input(node, SIGMA) {
                Some(data) => {
                    let sigma = f32::from_le_bytes(data[..4].try_into().expect("one f32"));
                    if sigma < 0.0 {
                        return Err(Diagnostic::new(Code::ATTRIBUTE, "sigma is negative")
                            .detail("input 5")
                            .expected("0 or more")
                            .found(sigma.to_string()));
                    }
                }
                None => {
                    let sigma = cx.input(node, SIGMA);
                    indices::check_not_negative(cx, sigma);
                }
            }
        }
        let q = Queued { count: cx.input_type(node, SCORES).element_count(), most: a.max_output_size };
        let scalars: Vec<_> = (IOU_THRESHOLD..if self.is_soft { SIGMA + 1 } else { SIGMA }).map(|i| cx.input(node, i)).collect();
        let operands = [cx.input(node, BOXES), cx.input(node, SCORES)];
        let results: Vec<_> = (0..node.outputs.len()).map(|i| cx.output(node, i)).collect();
        let scores = if self.is_soft { results[1] } else { cx.scratch("selected_scores", 4 * a.max_output_size as u64) };
        suppress(cx, q, operands, &scalars, [results[0], scores, results[results.len() - 1]]);
        Ok(())
    }
}
