//! Machine code: from a placed tile program to an object file for a target.
//!
//! It knows no model and no operator, only tile programs. The parts: `targets` (what can be compiled for), `clif` (the portable
//! emitter), `wide` (256- and 512-bit x86), `object` (entry point, constants, descriptor, file) and `loader` (runs an object in this very process).

mod addresses;
mod alloc;
pub mod c99;
pub mod clif;
mod facts;
mod floats;
pub mod loader;
pub mod neon;
pub mod object;
mod reciprocal;
pub mod targets;
pub mod wide;

pub use targets::Target;
