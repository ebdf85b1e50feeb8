//! Machine code: from a placed tile program to an object file for a target.
//!
//! It knows no model and no operator, only tile programs. The parts: `targets` (what can be compiled for), `clif` (the portable
//! emitter), `object` (entry point, constants, descriptor, file) and `loader` (runs an object in this very process).

pub mod clif;
pub mod loader;
pub mod object;
pub mod targets;

pub use targets::Target;
