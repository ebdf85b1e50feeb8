//! SignalFilterBankLog: the natural logarithm of each channel times a scale, in fixed point.
//!
//! u32 to i16. The logarithm to base 2 is the position of the first bit, and of the bits behind it a table of 128 pieces; numbers up to 1 give 0.

use crate::diagnostic::Diagnostic;
use crate::graph::Node;
use crate::lower::Context;
use crate::lower::integers::bit_length;
use crate::ops::types::Row;
use crate::ops::{Arity, Kept, Operator, Signature, Source, checks};
use crate::quantize;
use crate::tensor::ElementType::{I16, U32};
use crate::text::fields::fields;
use cranelite_tile::{Arg, Binary, Cond, Elem, KernelBuilder, Value};

/// The table's pieces, as a power of two.
const PIECE_BITS: u8 = 7;
/// ln 2 in units of 2^-16.
const LN_2: i64 = 45426;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub output_scale: usize,
    /// By which the channels are shifted up before.
    pub input_correction_bits: usize,
}
fields!(output_scale, input_correction_bits);

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 1..=1, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[U32]], &[&[I16]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        let o = source.named_options()?;
        Ok(Attributes { output_scale: o.needed("output_scale")?, input_correction_bits: o.needed("input_correction_bits")? })
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let length = checks::vector("the channels", s.input(0)?)?;
        checks::at_most("input_correction_bits", self.input_correction_bits, 31)?;
        checks::at_most("output_scale", self.output_scale, i32::MAX as usize)?;
        Ok(vec![vec![length]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let count = cx.input_type(node, 0).element_count();
        if count == 0 {
            return Ok(());
        }
        let mut k = KernelBuilder::new(format!("filter_bank_log_{count}"));
        let (x, table, y) = (k.read("x"), k.read("table"), k.write("y"));
        let word = Elem::U32.x(1);
        k.each("i", count, 1, |k, i| {
            let v = k.load(word, x.at(i * 4));
            let v = k.shl_imm(v, self.input_correction_bits as u8);
            let (one, zero, most) = (k.int(word, 1), k.int(word, 0), k.int(word, i16::MAX.into()));
            let log = logarithm(k, table, v);
            let (scale, half) = (k.int(word, self.output_scale as i64), k.int(word, 1 << 15));
            let scaled = k.mul(scale, log);
            let scaled = k.add(scaled, half);
            let scaled = k.shr_imm(scaled, 16);
            let scaled = k.min(scaled, most);
            let is_more = k.compare(Cond::Gt, v, one);
            let scaled = k.select(is_more, scaled, zero);
            let scaled = k.narrow(scaled, Elem::U16);
            k.store(y.at(i * 2), scaled);
        });
        let table: Vec<u8> = quantize::log_2_table(1 << PIECE_BITS).into_iter().flat_map(u16::to_le_bytes).collect();
        let table = cx.constant("logarithms", table, 64);
        let buffers = [cx.input(node, 0), table, cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}

/// The natural logarithm in units of 2^-16 of a number that is not 0.
fn logarithm(k: &mut KernelBuilder, table: Arg, v: Value) -> Value {
    let (word, int) = (Elem::U32.x(1), Elem::I32.x(1));
    let one = k.int(word, 1);
    let length = bit_length(k, v);
    let position = k.sub(length, one);
    let first = k.binary(Binary::Shl, one, position);
    let rest = k.sub(v, first);
    // As 16 bits behind the point.
    let sixteen = k.int(word, 16);
    let (up, down) = (k.sub(sixteen, position), k.sub(position, sixteen));
    let (above, below) = (k.binary(Binary::Shl, rest, up), k.binary(Binary::Shr, rest, down));
    let is_short = k.compare(Cond::Lt, position, sixteen);
    let fraction = k.select(is_short, above, below);
    let fraction = k.bitcast(fraction, int);
    let piece = k.shr_imm(fraction, 16 - PIECE_BITS);
    let within = k.shl_imm(piece, 16 - PIECE_BITS);
    let within = k.sub(fraction, within);
    let piece = k.clamped_index("piece", piece, 0, (1 << PIECE_BITS) - 1);
    let [from, to] = [0, 1].map(|i| {
        let v = k.load(Elem::U16.x(1), table.at(piece * 2 + i * 2));
        k.widen(v, Elem::I32)
    });
    let step = k.sub(to, from);
    let step = k.mul(step, within);
    let step = k.shr_imm(step, 16);
    let v = k.add(fraction, from);
    let v = k.add(v, step);
    let v = k.bitcast(v, word);
    let whole = k.shl_imm(position, 16);
    let log_2 = k.add(whole, v);
    let log_2 = k.widen(log_2, Elem::I64);
    let (ln_2, half) = (k.int(Elem::I64.x(1), LN_2), k.int(Elem::I64.x(1), 1 << 15));
    let log = k.mul(log_2, ln_2);
    let log = k.add(log, half);
    let log = k.shr_imm(log, 16);
    k.narrow(log, Elem::U32)
}
