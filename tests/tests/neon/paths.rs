//! Kernels that take the emitter's special paths.
