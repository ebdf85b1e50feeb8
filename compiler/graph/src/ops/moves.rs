//! Which bytes of an operator may be moved: i8 to u8, elements and zero point by 128.
//!
//! Not which are (`rewrite/unsigned.rs`). Machines that multiply unsigned by signed bytes want activations without a sign. The idea: most operators see
//! of a quantised byte nothing but its distance to the zero point or to another byte, so that they compute the same of moved bytes; each says so for
//! itself, because a rounding toward or away from zero of the byte itself is enough to make it wrong.

use super::{Operand, Signature};
use crate::quantize::element_range;
use crate::tensor::{ElementType, Quantization, TensorType};
use std::sync::Arc;

/// Which operands and results of i8 an operator takes as u8, so that results are the same but moved. Constants of one type with operands that move are moved, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// None of them.
    None,
    /// All or none: the operator has one type for them.
    Together,
    /// The first operand and the results, each by itself.
    Apart,
    /// As `Apart`; and the first operand is multiplied with bytes that have a sign.
    Product,
}

impl Moves {
    /// Of an operator that computes bytes by a table: together, if the table of moved bytes is the moved table.
    pub fn by_table(x: &TensorType, y: &TensorType, table: impl Fn(&TensorType, &TensorType) -> Option<[u8; 256]>) -> Moves {
        let same = || {
            let (moved_x, moved_y) = (moved(x)?, moved(y)?);
            let (stays, moves) = (table(x, y)?, table(&moved_x, &moved_y)?);
            Some((0..=255u8).all(|b| stays[usize::from(b)] ^ SIGN == moves[usize::from(b ^ SIGN)]))
        };
        if same() == Some(true) { Moves::Together } else { Moves::None }
    }

    /// What `f` says of the types that an operator had before bytes moved, where that is each by itself.
    pub fn before<T>(self, s: &Signature, f: impl FnOnce(&Signature) -> T) -> Option<T> {
        if !matches!(self, Moves::Apart | Moves::Product) {
            return None;
        }
        let first = s.inputs.first()?.and_then(|x| moved_back(x.ty));
        let results: Vec<Option<TensorType>> = s.outputs.iter().map(|y| moved_back(y)).collect();
        let mut before = s.clone();
        if let Some(ty) = &first {
            before.inputs[0] = Some(Operand { ty, data: None });
        }
        for (y, ty) in before.outputs.iter_mut().zip(&results) {
            *y = ty.as_ref().unwrap_or(y);
        }
        Some(f(&before))
    }
}

/// Of an operator that multiplies its first operand with the second and adds the third: bytes are only multiplied as such where both are constants.
pub fn product(s: &Signature) -> Moves {
    let are_constant = s.inputs.iter().skip(1).flatten().all(|o| o.data.is_some());
    if are_constant { Moves::Product } else { Moves::None }
}

/// What moves a byte, either way.
pub const SIGN: u8 = 1 << 7;

/// The type of the moved bytes of a tensor of i8 with one scale and zero point.
pub fn moved(ty: &TensorType) -> Option<TensorType> {
    shifted(ty, ElementType::I8, ElementType::U8, 128)
}

/// The type that moved bytes had before.
pub fn moved_back(ty: &TensorType) -> Option<TensorType> {
    shifted(ty, ElementType::U8, ElementType::I8, -128)
}

fn shifted(ty: &TensorType, from: ElementType, to: ElementType, by: i64) -> Option<TensorType> {
    let q = ty.quantization.as_ref().filter(|q| q.is_per_tensor() && ty.element == from)?;
    let (scale, zero_point) = (q.scales[0], q.zero_points[0] + by);
    let (low, high) = element_range(to)?;
    let fits = scale.is_normal() && 0.0 < scale && (low.into()..=high.into()).contains(&zero_point);
    fits.then(|| TensorType {
        element: to,
        shape: ty.shape.clone(),
        quantization: Some(Arc::new(Quantization::per_tensor(scale, zero_point))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::table;
    use crate::text::parse;

    /// What becomes of a convolution with these types of image, weights and result: of a file, and behind rewrites.
    fn convolution(x: &str, w: &str, y: &str) -> [bool; 2] {
        let text = format!(
            "graph \"g\"\ninputs %x\noutputs %y\n%x: {x}[1,1,1,2] q(0.5, 1)\n%w = const {w}[1,1,1,2] q(0.5, 0) 0x0102\n\
             %y: {y}[1,1,1,1] q(0.5, 1) = conv_2d %x, %w, none {{stride=[1,1], dilation=[1,1], padding=[0,0,0,0], activation=none}} @0\n"
        );
        let graph = parse(&text).expect("a graph");
        let (op, s) = (&graph.nodes[0].op, graph.signature(&graph.nodes[0]));
        [op.infer(&s).is_ok(), op.infer_rewritten(&s).is_ok()]
    }

    #[test]
    fn no_file_has_moved_types() {
        for (types, wanted) in [
            (["i8", "i8", "i8"], [true, true]),
            (["u8", "u8", "u8"], [true, true]),
            (["u8", "i8", "u8"], [false, true]),
            (["u8", "i8", "i8"], [false, true]),
            (["i8", "i8", "u8"], [false, true]),
            (["u8", "u8", "i8"], [false, false]),
            (["i8", "u8", "i8"], [false, false]),
            (["u8", "i8", "i16"], [false, false]),
        ] {
            assert_eq!(convolution(types[0], types[1], types[2]), wanted, "{types:?}");
        }
    }

    #[test]
    fn tables_are_compared() {
        let ty = |scale, zero_point| TensorType::quantized(ElementType::I8, [4], scale, zero_point);
        let (x, y) = (ty(0.1, -3), ty(0.2, 5));
        let of_distances = |x: &TensorType, y: &TensorType| {
            let (from, to) = (x.zero_point() as i32, y.zero_point() as i32);
            Some(table::entries(y.element, |q| (q - from).abs() / 2 + to))
        };
        assert_eq!(Moves::by_table(&x, &y, of_distances), Moves::Together);
        // One result of 256 is another.
        let of_bytes = |x: &TensorType, y: &TensorType| {
            let mut all = of_distances(x, y)?;
            all[7] ^= u8::from(y.element == ElementType::U8);
            Some(all)
        };
        assert_eq!(Moves::by_table(&x, &y, of_bytes), Moves::None);
        // Zero points must be bytes.
        assert_eq!(Moves::by_table(&ty(0.1, 128), &y, of_distances), Moves::None);
    }
}
