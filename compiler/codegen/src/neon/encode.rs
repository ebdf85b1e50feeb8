//! stub
use super::inst::{Inst, Label};
use crate::alloc::Class;
pub struct Code {
    pub bytes: Vec<u8>,
    pub stack_bytes: u32,
}
pub fn encode(
    _insts: Vec<Inst>,
    _classes: &[Class],
    _arguments: usize,
    _pool: &[(Label, Vec<u8>)],
    _scratch_bytes: u32,
) -> Result<Code, String> {
    Err("stub".into())
}
