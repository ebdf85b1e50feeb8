//! The text of a memory plan, one line for each buffer of the arena.
//!
//! ```text
//! arena 1088 bytes, aligned to 16; lower bound 1088; optimal
//!       offset         end       bytes  steps      buffer
//!            0         640         640      0-1  "dense_1"
//!          640        1088         448      1-2  "dense_2", in place of "dense_1"
//! ```

use cranelite_graph::diagnostic::quoted;
use cranelite_tile::Program;
use cranelite_tile::arena::Plan;

pub fn print(program: &Program, plan: &Plan) -> String {
    let optimal = if plan.is_optimal { "; optimal" } else { "" };
    let mut out = format!(
        "arena {} bytes, aligned to {}; lower bound {}{optimal}\n{:>12}{:>12}{:>12}  {:>9}  buffer\n",
        plan.arena_size_bytes, plan.align_bytes, plan.lower_bound_bytes, "offset", "end", "bytes", "steps"
    );
    let name = |id| quoted(&program.buffer(id).name);
    for life in &plan.intervals {
        let (start, size) = (life.offset_bytes, life.size_bytes);
        let steps = format!("{}-{}", life.first_step, life.last_step);
        let in_place = life.in_place_of.map(|of| format!(", in place of {}", name(of))).unwrap_or_default();
        out += &format!("{start:>12}{:>12}{size:>12}  {steps:>9}  {}{in_place}\n", start + size, name(life.buffer));
    }
    out
}
