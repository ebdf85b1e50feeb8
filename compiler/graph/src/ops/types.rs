//! Which element types an operator takes: a table in its file, from which the check, `cranelite ops` and the README follow.
//!
//! Not quantisation and not shapes: those are `infer`'s. The idea: a row is one or more combinations of types of the operands and the
//! results, by position; a signature that fits no row is refused, naming the first operand that no row with the ones before it allows.

use super::{Arity, Kept, Signature};
use crate::diagnostic::{Code, Diagnostic};
use crate::tensor::ElementType::{self, *};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

/// Element types of which each will do.
pub type Set = &'static [ElementType];

#[derive(Clone, Copy, Debug)]
pub enum Row {
    /// One type for all operands and results, any of these.
    Same(Set),
    /// Of the operands and of the results by position; the last of each stands for all that follow.
    Of(&'static [Set], &'static [Set]),
    /// As `Of`, where all that say [`T`] have one type, any of these.
    With(Set, &'static [Set], &'static [Set]),
}

/// In `Row::With`: the type that several have in common.
pub const T: Set = &[];
/// f32, and the integers that stand for real numbers.
pub const REAL: Set = &[F32, I8, U8, I16];
/// Integers that stand for themselves.
pub const WHOLE: Set = &[I32, I64];
/// Image or vectors, weights, bias, result of a convolution.
pub const CONVOLUTION: &[Row] = &[
    Row::Of(&[&[F32], &[F32, I8, I4], &[F32]], &[&[F32]]),
    Row::Of(&[&[I8], &[I8, I4], &[I32]], &[&[I8]]),
    Row::Of(&[&[U8], &[U8], &[I32]], &[&[U8]]),
    Row::Of(&[&[I16], &[I8], &[I32, I64]], &[&[I16]]),
];

/// All that have whole bytes.
pub const WHOLE_BYTES: Set = &[F32, F16, BF16, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool, Complex64, Complex128, F8E4M3, F8E5M2];
/// All whose size is known.
pub const SIZED: Set =
    &[F32, F16, BF16, F64, I2, I4, U4, I8, U8, I16, U16, I32, U32, I64, U64, Bool, Complex64, Complex128, F8E4M3, F8E5M2];
/// Of 1, 2, 4 or 8 bytes.
pub const UP_TO_8_BYTES: Set = &[F32, F16, BF16, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool, Complex64, F8E4M3, F8E5M2];

const NAMED: &[(Set, &str)] =
    &[(WHOLE_BYTES, "any of whole bytes"), (SIZED, "any of fixed size"), (UP_TO_8_BYTES, "any of 1, 2, 4 or 8 bytes"), (T, "T")];

impl Row {
    /// What an operand or a result may be, and whether it is the type that several have in common.
    fn place(&self, is_input: bool, index: usize) -> (Set, bool) {
        let (common, inputs, outputs): (Set, &[Set], &[Set]) = match self {
            Row::Same(set) => return (set, true),
            Row::Of(inputs, outputs) => (&[], inputs, outputs),
            Row::With(set, inputs, outputs) => (set, inputs, outputs),
        };
        let places = if is_input { inputs } else { outputs };
        match places.get(index).or(places.last()) {
            Some(set) if !set.is_empty() => (set, false),
            _ => (common, true),
        }
    }
}

/// Refuses operands and results that fit no row.
pub fn check(rows: &[Row], arity: &Arity, signature: &Signature) -> Result<(), Diagnostic> {
    // With the common type, once an operand has decided it.
    let mut fitting: Vec<(&Row, Option<ElementType>)> = rows.iter().map(|r| (r, None)).collect();
    // Behind the kept ones are states, which are no operands of the model's.
    let operands = match arity.kept {
        Kept::All => *arity.inputs.end(),
        Kept::First(n) => n,
        Kept::These(positions) => positions.len(),
    };
    let inputs = signature.inputs.iter().enumerate().take(operands).filter_map(|(i, o)| Some((true, i, o.as_ref()?.ty.element)));
    let outputs = signature.outputs.iter().enumerate().map(|(i, ty)| (false, i, ty.element));
    for (is_input, index, element) in inputs.chain(outputs) {
        let mut expected: Vec<ElementType> = vec![];
        fitting.retain_mut(|(row, common)| {
            let (set, is_common) = row.place(is_input, index);
            let decided = common.filter(|_| is_common);
            expected.extend(set.iter().filter(|e| decided.is_none_or(|d| d == **e)));
            if is_common {
                common.get_or_insert(element);
            }
            set.contains(&element) && decided.is_none_or(|d| d == element)
        });
        if fitting.is_empty() {
            let mut seen = BTreeSet::new();
            expected.retain(|e| seen.insert(*e));
            let what = match is_input {
                true => format!("input {}", arity.kept.position(index)),
                false if *arity.outputs.end() == 1 => "the output".into(),
                false => format!("output {index}"),
            };
            return Err(Diagnostic::new(Code::TYPES, format!("element type of {what} is not supported"))
                .expected(set_text(&expected, ", "))
                .found(element.name()));
        }
    }
    Ok(())
}

/// The rows as in the README: `f32, i8; i16 × i8 × i32/i64 → i16; bool × T × T → T, T = f32/i8`.
pub struct Shown(pub &'static [Row]);

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        // Many of a kind as their number: `f32 × 11 i8`.
        let run = |sets: &[Set]| match sets {
            [set, _, _, _, ..] => vec![format!("{} {}", sets.len(), set_text(set, "/"))],
            few => few.iter().map(|s| set_text(s, "/")).collect(),
        };
        let all = |sets: &[Set], between| sets.chunk_by(|a, b| a == b).flat_map(run).collect::<Vec<_>>().join(between);
        for (i, row) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "; " })?;
            match row {
                Row::Same(set) => f.write_str(&set_text(set, ", "))?,
                Row::Of(inputs, outputs) => write!(f, "{} → {}", all(inputs, " × "), all(outputs, ", "))?,
                Row::With(set, inputs, outputs) => {
                    write!(f, "{} → {}, T = {}", all(inputs, " × "), all(outputs, ", "), set_text(set, "/"))?;
                }
            }
        }
        Ok(())
    }
}

fn set_text(set: &[ElementType], between: &str) -> std::string::String {
    match NAMED.iter().find(|(named, _)| *named == set) {
        Some((_, name)) => name.to_string(),
        None => set.iter().map(|e| e.name()).collect::<Vec<_>>().join(between),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Operand;
    use crate::tensor::TensorType;

    const ROWS: &[Row] = &[Row::Same(&[F32, I8]), Row::Of(&[&[I16], &[I8], &[I32, I64]], &[&[I16]])];
    const ARITY: Arity = Arity { inputs: 1..=3, kept: Kept::All, outputs: 1..=1 };

    fn problem(inputs: &[ElementType], output: ElementType) -> Option<std::string::String> {
        check(ROWS, &ARITY, &signature(&types(inputs), &TensorType::new(output, [1]))).err().map(|d| d.to_string())
    }

    fn types(elements: &[ElementType]) -> Vec<TensorType> {
        elements.iter().map(|&e| TensorType::new(e, [1])).collect()
    }

    fn signature<'a>(types: &'a [TensorType], y: &'a TensorType) -> Signature<'a> {
        Signature { inputs: types.iter().map(|ty| Some(Operand { ty, data: None })).collect(), outputs: vec![y] }
    }

    #[test]
    fn the_first_that_does_not_fit_is_named() {
        assert_eq!(problem(&[F32, F32], F32), None);
        assert_eq!(problem(&[I16, I8, I64], I16), None);
        for (inputs, output, what) in [
            (&[U8][..], U8, "input 0"),
            (&[F32, I8], F32, "input 1"),
            (&[I16, I16], I16, "input 1"),
            (&[I16, I8, I8], I16, "input 2"),
            (&[I8, I8], F32, "the output"),
        ] {
            let problem = problem(inputs, output).unwrap_or_default();
            assert!(problem.contains(what), "{inputs:?}: {problem}");
        }
    }

    const SELECT: &[Row] = &[Row::With(&[F32, I8], &[&[Bool], T, T], &[T])];

    #[test]
    fn a_type_in_common_is_one() {
        let problem = |inputs: &[ElementType], y| check(SELECT, &ARITY, &signature(&types(inputs), &TensorType::new(y, [1])));
        let text = |inputs: &[ElementType], y| problem(inputs, y).err().map(|d| d.to_string()).unwrap_or_default();
        assert_eq!(text(&[Bool, F32, F32], F32), "");
        assert_eq!(text(&[Bool, I8, I8], I8), "");
        for (inputs, output, what) in [
            ([F32, F32, F32], F32, "input 0 is not supported; expected bool; found f32"),
            ([Bool, U8, U8], U8, "input 1 is not supported; expected f32, i8; found u8"),
            ([Bool, F32, I8], F32, "input 2 is not supported; expected f32; found i8"),
            ([Bool, I8, I8], F32, "the output is not supported; expected i8; found f32"),
        ] {
            assert!(text(&inputs, output).contains(what), "{}", text(&inputs, output));
        }
    }

    #[test]
    fn named_sets_are_what_their_names_say() {
        let all = |fits: &dyn Fn(u32) -> bool| ElementType::ALL.into_iter().filter(|e| e.bits().is_some_and(fits)).collect::<Vec<_>>();
        assert_eq!(WHOLE_BYTES, all(&|bits| bits % 8 == 0));
        assert_eq!(SIZED, all(&|_| true));
        assert_eq!(UP_TO_8_BYTES, all(&|bits| [8, 16, 32, 64].contains(&bits)));
    }

    #[test]
    fn inputs_are_named_as_in_the_model() {
        const SPLIT: Arity = Arity { inputs: 2..=2, kept: Kept::These(&[1]), outputs: 1..=usize::MAX };
        let (x, [y, z]) = (TensorType::new(F32, [2]), [F32, I8].map(|e| TensorType::new(e, [1])));
        let signature = |x| Signature { inputs: vec![Some(Operand { ty: x, data: None })], outputs: vec![&y, &z] };
        let problem = |x, rows| check(rows, &SPLIT, &signature(x)).err().map(|d| d.to_string()).unwrap_or_default();
        assert!(problem(&x, &[Row::Same(&[I8])]).contains("input 1"));
        assert!(problem(&x, &[Row::Same(&[F32, I8])]).contains("output 1"));
        assert_eq!(problem(&x, &[Row::Of(&[&[F32]], &[&[F32], &[I8]])]), "");

        let transposed = Kept::These(&[2, 1, 3]);
        assert_eq!(transposed.of(&["shape", "filter", "image", "bias"]), ["image", "filter", "bias"]);
        assert_eq!(transposed.of(&["shape", "filter", "image"]), ["image", "filter"]);
        let place = |detail: &str| transposed.in_model(Diagnostic::new(Code::OPERAND, "wrong").detail(detail)).place.to_string();
        assert_eq!(["input 0", "input 2", "output 0", "stride"].map(place), ["input 2", "input 3", "output 0", "stride"]);
    }

    #[test]
    fn as_text() {
        assert_eq!(Shown(ROWS).to_string(), "f32, i8; i16 × i8 × i32/i64 → i16");
        assert_eq!(Shown(SELECT).to_string(), "bool × T × T → T, T = f32/i8");
        assert_eq!(Shown(&[Row::Same(SIZED)]).to_string(), "any of fixed size");
    }
}
