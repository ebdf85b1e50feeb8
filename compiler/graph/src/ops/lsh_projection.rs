//! LSH_PROJECTION: bits of hashes, each of which says whether the weighted sum of the hashes of all items is positive.
//!
//! An item is the bytes of a row of the input, behind a seed, which is a number of the first input. Items are up to 60 bytes long. The bits are the result, or
//! (sparse) those of a row of seeds are one number, each row having a range of its own.

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::copy::run;
use crate::lower::{Context, convert, hash};
use crate::ops::types::{self, Row};
use crate::ops::{Arity, Kept, Operator, Signature, Source};
use crate::tensor::ElementType::{F32, I32};
use crate::text::fields::fields;
use cranelite_schema as schema;
use cranelite_tile::{Cond, Elem, Index, KernelBuilder};

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    pub is_dense: bool,
}
fields!(is_dense);

const SEED_BYTES: usize = 4;

impl Operator for Attributes {
    const ARITY: Arity = Arity { inputs: 2..=3, kept: Kept::All, outputs: 1..=1 };
    const TYPES: &'static [Row] = &[Row::Of(&[&[F32], types::WHOLE_BYTES, &[F32]], &[&[I32]])];

    fn decode(source: &Source) -> Result<Self, Diagnostic> {
        match source.operator.builtin_options_as_lshprojection_options().map(|o| o.type_()) {
            Some(schema::LSHProjectionType::SPARSE) => Ok(Attributes { is_dense: false }),
            Some(schema::LSHProjectionType::DENSE) => Ok(Attributes { is_dense: true }),
            _ => Err(Diagnostic::new(Code::ATTRIBUTE, "the type of the projection is not known").expected("SPARSE or DENSE")),
        }
    }

    fn infer(&self, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (seeds, x) = (s.input(0)?, s.input(1)?);
        let weights = s.optional(2).map_or_else(|| x.shape.get(..1).unwrap_or(&[]).to_vec(), |w| w.ty.shape.clone());
        let [hashes, bits] = seeds.shape[..] else {
            return Err(Diagnostic::new(Code::OPERAND, "seeds have the wrong rank")
                .expected("2 dimensions")
                .found(format!("{:?}", seeds.shape)));
        };
        if 32 < bits || !self.is_dense && bits == 32 || x.shape.first().is_none_or(|n| *n == 0) || weights != x.shape[..1] {
            return Err(Diagnostic::new(Code::OPERAND, "seeds, items and weights do not fit each other")
                .expected("at most 32 bits, 31 for a number of them, and an item at least, each with one weight")
                .found(format!("seeds {:?}, items {:?}, weights {weights:?}", seeds.shape, x.shape)));
        }
        let bytes = SEED_BYTES + x.size_bytes() / x.shape[0];
        if hash::MOST_BYTES < bytes {
            return Err(Diagnostic::new(Code::FEATURE, "an item is too long to be hashed")
                .expected(format!("at most {} bytes", hash::MOST_BYTES - SEED_BYTES))
                .found((bytes - SEED_BYTES).to_string()));
        }
        Ok(vec![vec![if self.is_dense { hashes * bits } else { hashes }]])
    }

    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (seeds, x) = (cx.input_type(node, 0), cx.input_type(node, 1));
        if cx.output_type(node, 0).element_count() == 0 {
            return Ok(());
        }
        let (hashes, bits, items) = (seeds.shape[0], seeds.shape[1], x.shape[0]);
        let item_bytes = x.size_bytes() / items;
        let key_bytes = SEED_BYTES + item_bytes;
        let is_weighted = node.input(2).is_some();
        let lanes = cx.machine.lanes(Elem::U8);
        let mut k = KernelBuilder::new(format!("lsh_projection_{hashes}x{bits}_{items}x{item_bytes}"));
        let (list, source) = (k.read("seeds"), k.read("items"));
        let weights = is_weighted.then(|| k.read("weights"));
        let (key, y) = (k.read_write("key"), k.write("y"));
        let (int, double) = (Elem::I32.x(1), Elem::F64.x(1));
        // What is read has been written.
        let nothing = k.int(Elem::U8.x(1), 0);
        k.each("byte", key_bytes, 1, |k, i| k.store(key.at(i), nothing));
        let (zero, step) = (k.int(int, 0), k.int(int, i64::from(1i32.wrapping_shl(bits as u32))));
        k.repeat("hash", hashes, 1, &[zero], |k, h, range| {
            let signature = k.repeat("bit", bits, 1, &[zero], |k, j, signature| {
                let number = h * bits as i64 + j;
                let seed = k.load(Elem::U32.x(1), list.at(number.clone() * 4));
                k.store(key.at(0), seed);
                let none = k.double(double, 0.0);
                let score = k.repeat("item", items, 1, &[none], |k, i, score| {
                    if 0 < item_bytes {
                        run(k, lanes, item_bytes, (source, Index::from(i) * item_bytes as i64), (key, SEED_BYTES.into()));
                    }
                    let hash = hash::fingerprint(k, key, key_bytes);
                    let mut value = k.to_float(hash, Elem::F64);
                    if let Some(weights) = weights {
                        let weight = k.load(Elem::F32.x(1), weights.at(i * 4));
                        let weight = k.to_float(weight, Elem::F64);
                        value = k.mul(weight, value);
                    }
                    vec![k.add(score[0], value)]
                })[0];
                let is_positive = k.compare(Cond::Gt, score, none);
                let bit = convert::truth(k, is_positive);
                let bit = k.widen(bit, Elem::I32);
                if self.is_dense {
                    k.store(y.at(number * 4), bit);
                }
                let before = k.shl_imm(signature[0], 1);
                vec![k.or(before, bit)]
            })[0];
            if !self.is_dense {
                let signature = k.add(signature, range[0]);
                k.store(y.at(h * 4), signature);
            }
            vec![k.add(range[0], step)]
        });
        let key = cx.scratch("key", key_bytes as u64);
        let mut buffers = vec![cx.input(node, 0), cx.input(node, 1)];
        if is_weighted {
            buffers.push(cx.input(node, 2));
        }
        buffers.extend([key, cx.output(node, 0)]);
        cx.call(k.finish(), &buffers, &[]);
        Ok(())
    }
}
