//! Scores of classes as an answer: the best ones, those above a threshold, or what several calls agree on.
//!
//! Not boxes (`boxes.rs`). The idea: labels are numbers in the graph, and -1 is no answer; their names are a table in the header.

use super::chain::Chain;
use super::spec::{Debounce, Labels, OneOrMore, Output};
use super::{samples, wrong};
use crate::diagnostic::Diagnostic;
use crate::graph::ValueId;
use crate::tensor::ElementType::I32;
use crate::tensor::TensorType;

/// The parts of the answer: `label` i32 and `score` f32, best first; or `scores`, all of them, where nothing says how many.
pub fn make(chain: &mut Chain, value: ValueId, output: &Output) -> Result<Vec<(&'static str, ValueId)>, Diagnostic> {
    let count = chain.ty(value).element_count();
    if let Some(Labels::Names(names)) = &output.labels {
        // One score has two answers at most: the class, or none.
        if names.len() != count {
            return Err(wrong("labels", "the labels are not as many as the scores")
                .expected(count.to_string())
                .found(names.len().to_string()));
        }
    }
    if count == 0 {
        return Err(wrong("", "the output has no elements"));
    }
    if output.softmax && output.sigmoid {
        return Err(wrong("sigmoid", "scores cannot be a softmax and a logistic function at once"));
    }
    let x = chain.real(value)?;
    let mut scores = chain.reshape(x, &[count])?;
    if output.softmax {
        scores = chain.softmax(scores)?;
    } else if output.sigmoid {
        scores = chain.logistic(scores)?;
    }
    let threshold = match &output.threshold {
        None => None,
        Some(t) => Some(thresholds(t, count)?),
    };
    if let Some(debounce) = &output.debounce {
        return debounced(chain, scores, threshold, debounce);
    }
    let Some(top) = output.top.or(threshold.as_ref().map(|_| 1)).or(output.labels.as_ref().map(|_| 1)) else {
        return Ok(vec![("scores", scores)]);
    };
    if top == 0 || count < top {
        return Err(wrong("top", "it must be a number of classes").expected(format!("1 to {count}")).found(top.to_string()));
    }
    let lowest = threshold.iter().flatten().copied().reduce(f32::min);
    // A class below its threshold has no chance against others: its score is less than all thresholds then, and -1 where those are 0 or more.
    let scores = match (threshold, lowest) {
        (Some(t), Some(lowest)) if t.iter().any(|t| *t != lowest) => {
            let (t, none) = (chain.floats(&[count], &t), chain.float(2.0 * lowest.min(0.0) - 1.0));
            let is_enough = chain.greater_equal(scores, t)?;
            chain.select(is_enough, scores, none)?
        }
        _ => scores,
    };
    let [best, label] = chain.top(scores, top)?;
    let label = match lowest {
        None => label,
        Some(lowest) => {
            let (limit, none) = (chain.float(lowest), chain.integers(&[], &[-1]));
            let is_enough = chain.greater_equal(best, limit)?;
            chain.select(is_enough, label, none)?
        }
    };
    Ok(vec![("label", label), ("score", best)])
}

fn thresholds(threshold: &OneOrMore, count: usize) -> Result<Vec<f32>, Diagnostic> {
    let all = threshold.per_channel(count);
    let all = all.ok_or_else(|| wrong("threshold", "there must be one number, or one for each class").expected(count.to_string()))?;
    match all.iter().find(|t| !t.is_finite()) {
        Some(t) => Err(wrong("threshold", "it must be a finite number").found(t.to_string())),
        None => Ok(all),
    }
}

/// The mean of several calls decides, and one answer is followed by silence: `label` i32 `[1]`, -1 where there is none, and `score`, the best mean.
fn debounced(
    chain: &mut Chain,
    scores: ValueId,
    threshold: Option<Vec<f32>>,
    debounce: &Debounce,
) -> Result<Vec<(&'static str, ValueId)>, Diagnostic> {
    let count = chain.ty(scores).element_count();
    let Debounce { window, cooldown, ignore } = debounce;
    let Some(threshold) = threshold else {
        return Err(wrong("threshold", "a debounced answer needs a threshold"));
    };
    if *window == 0 || 4096 < *window {
        return Err(wrong("debounce.window", "it must be a number of calls").expected("1 to 4096").found(window.to_string()));
    }
    let Some(cooldown) = i32::try_from(*cooldown).ok() else {
        return Err(wrong("debounce.cooldown", "there are too many calls"));
    };
    if let Some(class) = ignore.iter().find(|c| count <= **c) {
        return Err(wrong("debounce.ignore", "there is no such class").expected(format!("0 to {}", count - 1)).found(class.to_string()));
    }
    let row = chain.reshape(scores, &[1, count])?;
    let all = if *window == 1 { row } else { samples::newest(chain, "scores", row, *window)? };
    let mean = chain.mean_of(all, &[0])?;
    // How far above its threshold, where NaN is behind all: a class that is never an answer is below even where its score is infinite.
    let limits: Vec<f32> = (0..count).map(|c| if ignore.contains(&c) { f32::INFINITY } else { threshold[c] }).collect();
    let limits = chain.floats(&[count], &limits);
    let margin = chain.sub(mean, limits)?;
    let [most, label] = chain.top(margin, 1)?;
    let score = chain.gather(mean, label, 0)?;
    let (zero, one, none) = (chain.float(0.0), chain.integers(&[1], &[1]), chain.integers(&[], &[-1]));
    let is_enough = chain.greater_equal(most, zero)?;
    let state = chain.state("silence", TensorType::new(I32, [1]), None);
    let (silence, calm) = (chain.read(state)?, chain.integers(&[1], &[0]));
    let is_calm = chain.equal(silence, calm)?;
    let is_answer = chain.and(is_enough, is_calm)?;
    let label = chain.select(is_answer, label, none)?;
    let less = chain.sub(silence, one)?;
    let less = chain.maximum(less, calm)?;
    let long = chain.integers(&[1], &[cooldown]);
    let next = chain.select(is_answer, long, less)?;
    chain.assign(state, next)?;
    Ok(vec![("label", label), ("score", score)])
}
