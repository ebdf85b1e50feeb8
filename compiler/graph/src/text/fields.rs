//! Attributes of operators as named fields, for printing and parsing.
//!
//! Not the syntax of a line (`print.rs`, `parse.rs`) and not the meaning of an attribute (`ops/NAME.rs`). The idea: each operator's file
//! names its fields once (`fields!`); everything else follows from the fields' Rust types.

use crate::ops::Op;
use crate::ops::attributes::{Activation, Curve, Format, Padding};
use std::fmt;

/// A value that an attribute can have in a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Integer(i64),
    Float(f32),
    Bool(bool),
    Word(String),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Field::Integer(v) => write!(f, "{v}"),
            // Debug writes the shortest decimal that reads back as the same number, always with a point or an exponent.
            Field::Float(v) => write!(f, "{v:?}"),
            Field::Bool(v) => write!(f, "{v}"),
            Field::Word(v) => f.write_str(v),
            Field::Integers(v) => {
                let items: Vec<String> = v.iter().map(i64::to_string).collect();
                write!(f, "[{}]", items.join(","))
            }
            Field::Floats(v) => {
                let items: Vec<String> = v.iter().map(|v| format!("{v:?}")).collect();
                write!(f, "[{}]", items.join(","))
            }
        }
    }
}

/// A Rust type that an attribute may have.
pub trait FieldType: Sized {
    fn to_field(&self) -> Field;
    fn from_field(field: &Field) -> Option<Self>;
}

impl FieldType for bool {
    fn to_field(&self) -> Field {
        Field::Bool(*self)
    }
    fn from_field(field: &Field) -> Option<Self> {
        if let Field::Bool(v) = field { Some(*v) } else { None }
    }
}

impl FieldType for usize {
    fn to_field(&self) -> Field {
        Field::Integer(*self as i64)
    }
    fn from_field(field: &Field) -> Option<Self> {
        if let Field::Integer(v) = field { usize::try_from(*v).ok() } else { None }
    }
}

impl FieldType for f32 {
    fn to_field(&self) -> Field {
        Field::Float(*self)
    }
    fn from_field(field: &Field) -> Option<Self> {
        match field {
            Field::Float(v) => Some(*v),
            Field::Integer(v) => Some(*v as f32),
            _ => None,
        }
    }
}

impl FieldType for String {
    fn to_field(&self) -> Field {
        Field::Word(self.clone())
    }
    fn from_field(field: &Field) -> Option<Self> {
        if let Field::Word(word) = field { Some(word.clone()) } else { None }
    }
}

/// Bytes.
impl FieldType for Vec<u8> {
    fn to_field(&self) -> Field {
        Field::Integers(self.iter().map(|&b| b.into()).collect())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Integers(v) = field else { return None };
        v.iter().map(|&v| u8::try_from(v).ok()).collect()
    }
}

impl FieldType for Vec<usize> {
    fn to_field(&self) -> Field {
        Field::Integers(self.iter().map(|&v| v as i64).collect())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Integers(v) = field else { return None };
        v.iter().map(|&v| usize::try_from(v).ok()).collect()
    }
}

impl FieldType for Vec<i64> {
    fn to_field(&self) -> Field {
        Field::Integers(self.clone())
    }
    fn from_field(field: &Field) -> Option<Self> {
        if let Field::Integers(v) = field { Some(v.clone()) } else { None }
    }
}

impl FieldType for Vec<f32> {
    fn to_field(&self) -> Field {
        Field::Floats(self.clone())
    }
    fn from_field(field: &Field) -> Option<Self> {
        match field {
            Field::Floats(v) => Some(v.clone()),
            Field::Integers(v) => Some(v.iter().map(|&v| v as f32).collect()),
            _ => None,
        }
    }
}

impl FieldType for [usize; 2] {
    fn to_field(&self) -> Field {
        self.to_vec().to_field()
    }
    fn from_field(field: &Field) -> Option<Self> {
        Vec::<usize>::from_field(field)?.try_into().ok()
    }
}

/// As [top, bottom, left, right].
impl FieldType for Padding {
    fn to_field(&self) -> Field {
        vec![self.top, self.bottom, self.left, self.right].to_field()
    }
    fn from_field(field: &Field) -> Option<Self> {
        let [top, bottom, left, right] = Vec::<usize>::from_field(field)?.try_into().ok()?;
        Some(Padding { top, bottom, left, right })
    }
}

const ACTIVATIONS: [(Activation, &str); 5] = [
    (Activation::None, "none"),
    (Activation::Relu, "relu"),
    (Activation::ReluN1To1, "relu_n1_to_1"),
    (Activation::Relu0To1, "relu_0_to_1"),
    (Activation::Relu6, "relu6"),
];

impl FieldType for Activation {
    fn to_field(&self) -> Field {
        let name = ACTIVATIONS.iter().find(|a| a.0 == *self).map_or("none", |a| a.1);
        Field::Word(name.into())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Word(word) = field else { return None };
        ACTIVATIONS.iter().find(|a| a.1 == word).map(|a| a.0)
    }
}

const CURVES: [(Curve, &str); 5] =
    [(Curve::None, "none"), (Curve::Relu, "relu"), (Curve::ReluN1To1, "relu_n1_to_1"), (Curve::Relu6, "relu6"), (Curve::Tanh, "tanh")];

impl FieldType for Curve {
    fn to_field(&self) -> Field {
        let name = CURVES.iter().find(|c| c.0 == *self).map_or("none", |c| c.1);
        Field::Word(name.into())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Word(word) = field else { return None };
        CURVES.iter().find(|c| c.1 == word).map(|c| c.0)
    }
}

const FORMATS: [(Format, &str); 9] = [
    (Format::Rgb8, "rgb8"),
    (Format::Bgr8, "bgr8"),
    (Format::Rgba8, "rgba8"),
    (Format::Bgra8, "bgra8"),
    (Format::Gray8, "gray8"),
    (Format::Yuyv, "yuyv"),
    (Format::Nv12, "nv12"),
    (Format::Nv21, "nv21"),
    (Format::I420, "i420"),
];

impl FieldType for Format {
    fn to_field(&self) -> Field {
        let name = FORMATS.iter().find(|f| f.0 == *self).map_or("rgb8", |f| f.1);
        Field::Word(name.into())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Word(word) = field else { return None };
        FORMATS.iter().find(|f| f.1 == word).map(|f| f.0)
    }
}

/// Takes the field called `name` out of the list.
pub fn take<T: FieldType>(fields: &mut Vec<(String, Field)>, name: &str) -> Result<T, String> {
    let Some(at) = fields.iter().position(|f| f.0 == name) else { return Err(format!("attribute `{name}` is missing")) };
    let (_, field) = fields.remove(at);
    T::from_field(&field).ok_or_else(|| format!("`{field}` cannot be the value of attribute `{name}`"))
}

/// Attributes that a text can have.
pub trait Fields: Sized {
    /// In the order of their declaration.
    fn fields(&self) -> Vec<(&'static str, Field)>;
    /// Takes what it needs out of the list.
    fn from_fields(fields: &mut Vec<(String, Field)>) -> Result<Self, String>;
}

/// Makes `Attributes` of the calling file, which has these fields and no others, readable and writable.
macro_rules! fields {
    ($($field:ident),*) => {
        impl $crate::text::fields::Fields for Attributes {
            fn fields(&self) -> Vec<(&'static str, $crate::text::fields::Field)> {
                vec![$((stringify!($field), $crate::text::fields::FieldType::to_field(&self.$field))),*]
            }
            fn from_fields(_fields: &mut Vec<(String, $crate::text::fields::Field)>) -> Result<Self, String> {
                Ok(Attributes { $($field: $crate::text::fields::take(_fields, stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use fields;

/// The operator called `name` (as in a text, lower case) with these attributes: all of them and no others.
pub fn operator(name: &str, mut fields: Vec<(String, Field)>) -> Result<Op, String> {
    let op = Op::from_fields(name, &mut fields)?;
    match fields.first() {
        Some((field, _)) => Err(format!("operator `{name}` has no attribute `{field}`")),
        None => Ok(op),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::TABLE;

    #[test]
    fn names_are_those_of_the_operators() {
        for (name, _) in TABLE {
            let name = name.to_ascii_lowercase();
            // Every attribute is missing, so only operators without attributes come back.
            match operator(&name, vec![]) {
                Ok(op) => assert_eq!(op.name().to_ascii_lowercase(), name),
                Err(e) => assert!(e.contains("is missing"), "{name}: {e}"),
            }
        }
    }

    #[test]
    fn wrong_attributes_are_refused() {
        let beta = |f| vec![("beta".to_string(), f)];
        assert!(operator("softmax", beta(Field::Float(0.5))).is_ok());
        assert!(operator("softmax", beta(Field::Integer(1))).is_ok());
        assert!(operator("softmax", beta(Field::Bool(true))).is_err());
        assert!(operator("softmax", vec![]).is_err());
        assert!(operator("relu", beta(Field::Float(0.5))).is_err());
        assert!(operator("no_such", vec![]).is_err());
    }
}
