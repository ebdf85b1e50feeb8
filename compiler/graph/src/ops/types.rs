//! Which element types an operator takes: a table in its file, from which the check, `cranelite ops` and the README follow.
//!
//! Not quantisation and not shapes: those are `infer`'s. The idea: a row is one or more combinations of types of the operands and the
//! results, by position; a signature that fits no row is refused, naming the first operand that no row with the ones before it allows.

use super::{Arity, Signature};
use crate::diagnostic::{Code, Diagnostic};
use crate::tensor::ElementType::{self, *};
use std::fmt::{self, Display, Formatter};

/// Element types of which each will do.
pub type Set = &'static [ElementType];

#[derive(Clone, Copy, Debug)]
pub enum Row {
    /// One type for all operands and results, any of these.
    Same(Set),
    /// Of the operands and of the results by position; the last of each stands for all that follow.
    Of(&'static [Set], &'static [Set]),
}

/// All that have whole bytes.
pub const WHOLE_BYTES: Set = &[F32, F16, BF16, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool, Complex64, Complex128, F8E4M3, F8E5M2];
/// All whose size is known.
pub const SIZED: Set =
    &[F32, F16, BF16, F64, I2, I4, U4, I8, U8, I16, U16, I32, U32, I64, U64, Bool, Complex64, Complex128, F8E4M3, F8E5M2];
/// Of 1, 2, 4 or 8 bytes.
pub const UP_TO_8_BYTES: Set = &[F32, F16, BF16, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool, Complex64, F8E4M3, F8E5M2];

const NAMED: &[(Set, &str)] =
    &[(WHOLE_BYTES, "any of whole bytes"), (SIZED, "any of fixed size"), (UP_TO_8_BYTES, "any of 1, 2, 4 or 8 bytes")];

impl Row {
    fn input(&self, index: usize) -> Set {
        match self {
            Row::Same(set) => set,
            Row::Of(inputs, _) => inputs.get(index).or(inputs.last()).copied().unwrap_or_default(),
        }
    }
    fn output(&self, index: usize) -> Set {
        match self {
            Row::Same(set) => set,
            Row::Of(_, outputs) => outputs.get(index).or(outputs.last()).copied().unwrap_or_default(),
        }
    }
}

/// Refuses operands and results that fit no row.
pub fn check(rows: &[Row], arity: &Arity, signature: &Signature) -> Result<(), Diagnostic> {
    // With one type for all, which one the first operand has decided.
    let mut fitting: Vec<(Row, Option<ElementType>)> = rows.iter().map(|r| (*r, None)).collect();
    let inputs = signature.inputs.iter().enumerate().filter_map(|(i, o)| Some((true, i, o.as_ref()?.ty)));
    let outputs = signature.outputs.iter().enumerate().map(|(i, ty)| (false, i, *ty));
    for (is_input, index, ty) in inputs.chain(outputs) {
        let set = |row: &Row| if is_input { row.input(index) } else { row.output(index) };
        let fits = |(row, one): &(Row, Option<ElementType>)| set(row).contains(&ty.element) && one.is_none_or(|e| e == ty.element);
        let expected: Vec<(Row, Option<ElementType>)> = fitting.clone();
        fitting.retain(fits);
        if fitting.is_empty() {
            let mut names: Vec<&str> = vec![];
            for (row, one) in &expected {
                let all: Vec<ElementType> = one.map_or(set(row).to_vec(), |e| vec![e]);
                names.extend(all.iter().map(|e| e.name()));
            }
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|n| seen.insert(*n));
            let what = match is_input {
                true => format!("input {}", arity.kept.position(index)),
                false if *arity.outputs.end() == 1 => "the output".into(),
                false => format!("output {index}"),
            };
            return Err(Diagnostic::new(Code::TYPES, format!("element type of {what} is not supported"))
                .expected(names.join(", "))
                .found(ty.element.name()));
        }
        for (row, one) in &mut fitting {
            if let Row::Same(_) = row {
                *one = Some(ty.element);
            }
        }
    }
    Ok(())
}

/// The rows as in the README: `f32, i8; i16, i8, i32 or i64 to i16`.
pub struct Shown(pub &'static [Row]);

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        for (i, row) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "; " })?;
            match row {
                Row::Same(set) => f.write_str(&set_text(set, ", "))?,
                Row::Of(inputs, outputs) => {
                    let all = |sets: &[Set], between| sets.iter().map(|s| set_text(s, "/")).collect::<Vec<_>>().join(between);
                    write!(f, "{} → {}", all(inputs, " × "), all(outputs, ", "))?;
                }
            }
        }
        Ok(())
    }
}

fn set_text(set: Set, between: &str) -> std::string::String {
    match NAMED.iter().find(|(named, _)| *named == set) {
        Some((_, name)) => name.to_string(),
        None => set.iter().map(|e| e.name()).collect::<Vec<_>>().join(between),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Kept, Operand};
    use crate::tensor::TensorType;

    const ROWS: &[Row] = &[Row::Same(&[F32, I8]), Row::Of(&[&[I16], &[I8], &[I32, I64]], &[&[I16]])];
    const ARITY: Arity = Arity { inputs: 1..=3, kept: Kept::All, outputs: 1..=1 };

    fn problem(inputs: &[ElementType], output: ElementType) -> Option<std::string::String> {
        let types: Vec<TensorType> = inputs.iter().map(|&e| TensorType::new(e, [1])).collect();
        let y = TensorType::new(output, [1]);
        let inputs = types.iter().map(|ty| Some(Operand { ty, data: None })).collect();
        check(ROWS, &ARITY, &Signature { inputs, outputs: vec![&y] }).err().map(|d| d.to_string())
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
    }

    #[test]
    fn as_text() {
        assert_eq!(Shown(ROWS).to_string(), "f32, i8; i16 × i8 × i32/i64 → i16");
        assert_eq!(Shown(&[Row::Same(SIZED)]).to_string(), "any of fixed size");
    }
}
