//! Limits on memory that the user set, and how to say what exceeds them.

use crate::facts::Facts;
use crate::signature::Signature;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_tile::Program;
use cranelite_tile::arena::Plan;
use std::cmp::Reverse;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub arena_bytes: Option<u64>,
    pub const_bytes: Option<u64>,
    /// Code and constants together.
    pub flash_bytes: Option<u64>,
}

/// Names what is alive at the peak, so that the user knows which tensors to make smaller; `at`: of which signature and level, where there are several.
pub fn arena(limits: Limits, program: &Program, plan: &Plan, at: &str) -> Result<(), Vec<Diagnostic>> {
    let Some(limit) = limits.arena_bytes.filter(|limit| *limit < plan.arena_size_bytes) else { return Ok(()) };
    let peak: Vec<_> = peak(program, plan).iter().map(|(name, size)| format!("{size:>10} bytes  {}", quoted(name))).collect();
    let d = Diagnostic::new(Code::ARENA, format!("the arena is larger than allowed; alive at the peak:\n{}", peak.join("\n")));
    Err(vec![d.expected(format!("at most {limit} bytes")).found(format!("{} bytes{at}", plan.arena_size_bytes))])
}

/// Inputs and outputs that a self-test can have: it keeps a pointer to each on its stack.
const SELF_TEST_TENSORS: usize = 1000;

pub fn self_test(signature: &Signature) -> Result<(), Vec<Diagnostic>> {
    let count = signature.inputs.len() + signature.outputs.len();
    if count <= SELF_TEST_TENSORS {
        return Ok(());
    }
    let d = Diagnostic::new(Code::FEATURE, "the model has more inputs and outputs than a self-test can have");
    let d = d.expected(format!("at most {SELF_TEST_TENSORS}")).found(count.to_string());
    Err(vec![d.help("compile without --self-test, or join tensors in the model")])
}

/// Names the model's largest tensors: what becomes of them in the object bears their sizes, more or less, but not their names.
pub fn constants<'a>(limits: Limits, facts: impl Iterator<Item = &'a Facts>, const_bytes: u64) -> Result<(), Vec<Diagnostic>> {
    let Some(limit) = limits.const_bytes.filter(|limit| *limit < const_bytes) else { return Ok(()) };
    let message = format!("the constants are larger than allowed; the model's largest are:\n{}", largest(facts));
    let d = Diagnostic::new(Code::CONSTANTS, message).expected(format!("at most {limit} bytes"));
    Err(vec![d.found(format!("{const_bytes} bytes"))])
}

fn largest<'a>(facts: impl Iterator<Item = &'a Facts>) -> String {
    let (mut all, mut known): (Vec<&(String, u64)>, _) = (vec![], BTreeSet::new());
    for facts in facts {
        // Signatures may have them in common.
        all.extend(facts.parameters.iter().filter(|p| !known.contains(p)));
        known.extend(&facts.parameters);
    }
    all.sort_by_key(|(_, size)| Reverse(*size));
    let largest: Vec<_> = all.iter().take(5).map(|(name, size)| format!("{size:>10} bytes  {}", quoted(name))).collect();
    largest.join("\n")
}

/// What a program's flash gets: constants, and code where it is known.
#[derive(Clone, Copy, Debug)]
pub struct Flash<'a> {
    pub code_bytes: Option<u64>,
    pub const_bytes: u64,
    /// Names and code of levels, where there are several.
    pub levels: &'a [(&'a str, u64)],
    /// Whether code was to be small.
    pub is_for_size: bool,
    /// How constants are packed.
    pub packed: Option<&'static str>,
}

/// Says how much is too much, and what would help.
pub fn flash<'a>(limits: Limits, facts: impl Iterator<Item = &'a Facts>, flash: Flash) -> Result<(), Vec<Diagnostic>> {
    let Flash { code_bytes, const_bytes, levels, is_for_size, packed } = flash;
    let bytes = code_bytes.unwrap_or(0) + const_bytes;
    let Some(limit) = limits.flash_bytes.filter(|limit| *limit < bytes) else { return Ok(()) };
    let what = if code_bytes.is_some() { "code and constants are" } else { "the constants alone are" };
    let packed = packed.map_or(String::new(), |how| format!(" even with --compress {how}"));
    let message = format!("{what} larger than the flash{packed}; the model's largest constants are:\n{}", largest(facts));
    let parts = code_bytes.map_or(String::new(), |code| format!(": code {code}, constants {const_bytes}"));
    let (mut ways, of) = (vec![], levels.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect::<Vec<_>>().join(", "));
    if code_bytes.is_some() && const_bytes <= limit {
        ways.extend((1 < levels.len()).then(|| format!("compile fewer levels with --cpu (bytes of code: {of})")));
        ways.extend((!is_for_size).then(|| "use --opt size".to_string()));
    }
    ways.push("quantise the model's weights, or keep them outside with --weights".into());
    let d = Diagnostic::new(Code::FLASH, message).expected(format!("at most {limit} bytes"));
    Err(vec![d.found(format!("{bytes} bytes, {} too many{parts}", bytes - limit)).help(ways.join(", or "))])
}

/// Names and sizes of what is alive at the peak, largest first.
pub fn peak<'a>(program: &'a Program, plan: &Plan) -> Vec<(&'a str, u64)> {
    plan.peak.iter().flat_map(|p| &p.buffers).map(|&(b, size)| (program.buffer(b).name.as_str(), size)).collect()
}
