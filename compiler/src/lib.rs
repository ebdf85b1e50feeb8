//! cranelite: compiles TensorFlow Lite models to native objects.
//!
//! This crate is the rim: command line, files, messages, the order of the phases. What a model means is in `cranelite-graph`,
//! loops and memory in `cranelite-tile`, machine code in `cranelite-codegen`. It is the only place with IO.

pub mod array;
pub mod bindings;
pub mod cc;
pub mod cli;
pub mod compare;
pub mod compression;
pub mod convert;
mod count;
pub mod diagnostic;
pub mod dump;
mod energy;
pub mod facts;
pub mod fallbacks;
pub mod files;
pub mod fit;
mod float_io;
pub mod foreign;
pub mod header;
pub mod instance;
pub mod limits;
mod litert;
pub mod metadata;
pub mod names;
pub mod npz;
pub mod optimize;
pub mod peaks;
pub mod pipeline;
pub mod piping;
pub mod plan_text;
pub mod python;
pub mod report;
mod self_test;
pub mod signature;
pub mod stages;
pub mod xcframework;
