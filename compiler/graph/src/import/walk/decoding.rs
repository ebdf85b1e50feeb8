//! TFLM_DECODE in a walk: its results are constants from then on, and it becomes no node.

use super::{Content, Refusals, Walk};
use crate::diagnostic::{Code, Diagnostic, Side};
use crate::import::decode;
use crate::import::encodings::EncodedPart;
use bytes::Bytes;
use cranelite_schema as schema;

impl<'a> Walk<'_, 'a> {
    /// Decodes the results; where that cannot be, or an operand is none, they are not known.
    pub(super) fn decode_constants(&mut self, index: u32, o: schema::Operator<'a>, is_needed: bool) {
        let place = self.operator_place(index, decode::NAME);
        let refusals = if is_needed { Refusals::Reported } else { Refusals::Left };
        let inputs: Vec<i32> = o.inputs().into_iter().flatten().collect();
        let outputs: Vec<i32> = o.outputs().into_iter().flatten().collect();
        if outputs.is_empty() || Some(inputs.len()) != outputs.len().checked_mul(2) {
            let d = Diagnostic::new(Code::ARITY, "wrong number of inputs").expected("two for each output, of which there is one at least");
            self.problems.push(d.at(place.clone()).found(format!("{} inputs and {} outputs", inputs.len(), outputs.len())));
        }
        for (i, &output) in outputs.iter().enumerate() {
            let before = self.problems.len();
            let operands = [2 * i, 2 * i + 1].map(|i| inputs.get(i).and_then(|t| self.operand(&place, i, *t, refusals)));
            let Some(t) = self.result(&place, index, i, output, refusals) else { continue };
            self.tensors[t].data = None;
            let is_known = self.problems.len() == before && 2 * i + 1 < inputs.len();
            let data = if is_known && is_needed { self.decoded(i, operands, t) } else { Ok(None) };
            let data = data.unwrap_or_else(|d| {
                let name = |side, i: usize| {
                    let t = if side == Side::Input { inputs.get(i) } else { outputs.get(i) };
                    Some(self.tensors.get(usize::try_from(*t?).ok()?)?.name.clone())
                };
                let mut d = d.in_operator(index, decode::NAME, name);
                d.place.subgraph = place.subgraph;
                self.problems.push(d);
                None
            });
            let tensor = &mut self.tensors[t];
            tensor.content = if data.is_some() { Content::Result } else { Content::Unknown };
            tensor.data = data;
        }
    }

    /// The bytes of result `i`, which is tensor `t`, of what is encoded and its ancillary data; `None` where it has been said why not.
    fn decoded(&self, i: usize, operands: [Option<usize>; 2], t: usize) -> Result<Option<Bytes>, Diagnostic> {
        let of_part = |part: EncodedPart| match part {
            EncodedPart::Stream => format!("input {}", 2 * i),
            EncodedPart::Tables => format!("input {}", 2 * i + 1),
            EncodedPart::Type => format!("output {i}"),
        };
        let tensor = &self.tensors[t];
        let known = |t: &usize| self.tensors[*t].content != Content::Unknown && self.tensors[*t].refusal.is_none();
        if !operands.iter().flatten().chain([&t]).all(known) {
            return Ok(None);
        }
        let constant = |t: Option<usize>, part: EncodedPart| match t.map(|t| (&self.tensors[t].content, &self.tensors[t].data)) {
            Some((Content::Constant, Some(data))) => Ok(data),
            Some(_) => Err(Diagnostic::new(Code::CONSTANT, "what is decoded must be stored in the model").detail(of_part(part))),
            None => Err(Diagnostic::new(Code::ARITY, format!("{} is absent but not optional", of_part(part)))),
        };
        let (stream, ancillary) = (constant(operands[0], EncodedPart::Stream)?, constant(operands[1], EncodedPart::Tables)?);
        if !tensor.shape_is_known {
            return Err(Diagnostic::new(Code::SHAPE, "the shape of a constant is open").detail(of_part(EncodedPart::Type)));
        }
        let Some(declared) = self.subgraph.tensors().map(|all| all.get(t)) else { return Ok(None) };
        self.file.dense.take(tensor.ty.size_bytes()).map_err(|d| d.detail(of_part(EncodedPart::Type)))?;
        let decoded = decode::decode(&tensor.ty, declared, stream, ancillary);
        decoded.map(|bytes| Some(bytes.into())).map_err(|(part, d)| d.detail(of_part(part)))
    }
}
