//! The state that a caller keeps for each instance of a model, and `PREFIX_reset`, which writes what is in it at first.
//!
//! All levels of an object have one state, so that any of them can go on where another one ended. The idea of `reset`: equal words are filled in by a
//! loop, so zeros and zero points take no byte of the object; the others are copied from a constant.

use super::entry::{self, OK};
use super::{Error, Level};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, BlockArg, Function, InstBuilder, MemFlagsData, Signature, types};
use cranelift_module::{DataDescription, Linkage, Module};
use cranelift_object::ObjectModule;
use cranelite_tile::{Buffer, Role, State};

/// Fewer equal words are copied with their neighbours.
const LEAST_EQUAL: usize = 8;
/// With more runs than these all words are copied.
const RUNS_LIMIT: usize = 32;
/// Of the constant that is copied.
const WORD_BYTES: usize = 8;

/// Words one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Run {
    Equal(u64, usize),
    Copied(Vec<u64>),
}

impl Run {
    fn words(&self) -> usize {
        match self {
            Run::Equal(_, n) => *n,
            Run::Copied(words) => words.len(),
        }
    }
}

/// Of all levels; none if the model keeps no state.
pub fn of<'a>(levels: &[Level<'a>]) -> Result<Option<State>, Error> {
    let states =
        |l: &Level<'a>| -> Vec<&'a Buffer> { l.program.buffers.iter().filter(|b| b.role == Role::State && b.view.is_none()).collect() };
    let first = states(&levels[0]);
    if levels.iter().any(|l| states(l) != first) {
        return Err(Error::StateByLevel);
    }
    if first.is_empty() {
        return Ok(None);
    }
    let state = levels[0].program.state().ok_or(Error::StateTooLarge)?;
    Ok(Some(state))
}

fn runs(state: &State) -> Vec<Run> {
    let words: Vec<u64> = state.initial.chunks(WORD_BYTES).map(|w| u64::from_le_bytes(w.try_into().expect("a multiple of 8"))).collect();
    let mut runs: Vec<Run> = vec![];
    for same in words.chunk_by(|a, b| a == b) {
        match (same.len() < LEAST_EQUAL, runs.last_mut()) {
            (true, Some(Run::Copied(last))) => last.extend(same),
            (true, _) => runs.push(Run::Copied(same.to_vec())),
            (false, _) => runs.push(Run::Equal(same[0], same.len())),
        }
    }
    if RUNS_LIMIT < runs.len() { vec![Run::Copied(words)] } else { runs }
}

/// `int32_t reset(void *state)`
pub fn reset(state: &State, prefix: &str, module: &mut ObjectModule) -> Result<Function, Error> {
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params = vec![AbiParam::new(module.isa().pointer_type())];
    signature.returns = vec![AbiParam::new(types::I32)];
    let (mut function, params) = entry::begin_function(signature);
    let mut c = entry::at_first_block(&mut function);
    entry::refuse_if_any_null(&mut c, &params);
    entry::refuse_misaligned(&mut c, params[0], state.align.into());
    let runs = runs(state);
    let copied: Vec<u8> =
        runs.iter().flat_map(|r| if let Run::Copied(w) = r { w.as_slice() } else { &[] }).flat_map(|w| w.to_le_bytes()).collect();
    let mut from = None;
    if !copied.is_empty() {
        let symbol = module.declare_data(&format!("{prefix}.initial_state"), Linkage::Local, false, false)?;
        let mut description = DataDescription::new();
        description.define(copied.into());
        description.set_align(WORD_BYTES as u64);
        module.define_data(symbol, &description)?;
        let symbol = module.declare_data_in_func(symbol, c.func);
        from = Some(c.ins().symbol_value(module.isa().pointer_type(), symbol));
    }
    let mut to = params[0];
    for run in &runs {
        let end = c.ins().iadd_imm_s(to, (run.words() * WORD_BYTES) as i64);
        from = each_word(&mut c, to, end, from, run);
        to = end;
    }
    let ok = c.ins().iconst(types::I32, OK);
    c.ins().return_(&[ok]);
    Ok(function)
}

/// Writes the words of a run to `to..end`. Answers where the next ones are copied from.
fn each_word(c: &mut FuncCursor, to: ir::Value, end: ir::Value, from: Option<ir::Value>, run: &Run) -> Option<ir::Value> {
    let flags = MemFlagsData::trusted();
    let (again, go_on) = (c.func.dfg.make_block(), c.func.dfg.make_block());
    let word = match run {
        Run::Equal(word, _) => Some(c.ins().iconst(types::I64, *word as i64)),
        Run::Copied(_) => None,
    };
    // Where nothing is copied, `from` stays as it is.
    let first: Vec<ir::Value> = [Some(to), from.filter(|_| word.is_none())].into_iter().flatten().collect();
    let pointer = c.func.dfg.value_type(to);
    let inside: Vec<ir::Value> = first.iter().map(|_| c.func.dfg.append_block_param(again, pointer)).collect();
    let args = |values: &[ir::Value]| values.iter().map(|&v| BlockArg::Value(v)).collect::<Vec<_>>();
    c.ins().jump(again, &args(&first));
    c.insert_block(again);
    let word = word.unwrap_or_else(|| c.ins().load(types::I64, flags, inside[1], 0));
    c.ins().store(flags, word, inside[0], 0);
    let next: Vec<ir::Value> = inside.iter().map(|&at| c.ins().iadd_imm_s(at, WORD_BYTES as i64)).collect();
    let more = c.ins().icmp(IntCC::NotEqual, next[0], end);
    c.ins().brif(more, again, &args(&next), go_on, &[]);
    c.insert_block(go_on);
    next.get(1).copied().or(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_all_words() {
        let state = |words: &[u64]| State { initial: words.iter().flat_map(|w| w.to_le_bytes()).collect(), align: 8 };
        assert_eq!(runs(&state(&[0; 100])), [Run::Equal(0, 100)]);
        assert_eq!(
            runs(&state(&[&[0; 9][..], &[3, 4, 4], &[7; 8]].concat())),
            [Run::Equal(0, 9), Run::Copied(vec![3, 4, 4]), Run::Equal(7, 8)]
        );
        let many: Vec<u64> = (0..40).flat_map(|i| [[i; 8], [100; 8]].concat()).collect();
        assert_eq!(runs(&state(&many)), [Run::Copied(many)]);
    }
}
