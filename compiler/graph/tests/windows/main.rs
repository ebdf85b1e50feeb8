//! Operators whose windows or sums run over images, lowered for several machines and interpreted, against plain loops.

mod depthwise;
mod moves;
mod pooling;
mod reduced;
mod reductions;
mod resizes;
mod slices;
mod support;
mod volumes;
