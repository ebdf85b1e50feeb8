//! Innermost loops have no values without registers.
