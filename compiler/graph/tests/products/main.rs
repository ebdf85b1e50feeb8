//! Convolutions, transposed ones, FULLY_CONNECTED and BATCH_MATMUL of every element type, lowered for several machines, proved and
//! interpreted, against plain loops.

mod bad;
mod batches;
mod convolutions;
mod fully_connected;
mod halves;
mod lists;
mod matrices;
mod packed;
mod pairs;
mod reference;
mod sparse;
#[allow(dead_code)]
#[path = "../windows/support.rs"]
mod support;
mod transposed;
mod winograd;
