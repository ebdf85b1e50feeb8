//! Reading every n-th element along the axes of an array.
//!
//! Not an operator: STRIDED_SLICE, SLICE, and rewrites that drop pixels end here, and what moves elements is in `moves.rs`.

use super::{Context, moves};
use cranelite_tile::BufferId;

/// One axis: its size, the first element taken, the distance to the next (negative: backwards), and how many are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub size: usize,
    pub first: usize,
    pub stride: i64,
    pub count: usize,
}

/// Copies the elements of `from`, whose shape is the sizes of `axes`, to `to`.
pub fn slice(cx: &mut Context, from: BufferId, to: BufferId, axes: &[Axis], element_bytes: usize) {
    let strides = moves::strides(&axes.iter().map(|a| a.size).collect::<Vec<_>>());
    let first: i64 = axes.iter().zip(&strides).map(|(a, stride)| a.first as i64 * stride).sum();
    let from_strides: Vec<i64> = axes.iter().zip(&strides).map(|(a, stride)| a.stride * stride).collect();
    let moved = moves::axes(&axes.iter().map(|a| a.count).collect::<Vec<_>>(), &from_strides);
    moves::elements(cx, from, to, element_bytes, (first as usize, 0), &moved);
}
