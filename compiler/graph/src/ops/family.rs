//! Families: operators that differ in a row of a table, and so share one file.
//!
//! Not operators with rules of their own, which have a file each. The idea: a family is a type whose values are the rows, and one struct
//! of attributes; [`family!`] makes of every row a module with the `Attributes` that `ops/mod.rs` lists, as if it had a file.

use super::attributes::Activation;
use super::channels::{Channels, Intervals};
use super::counts::{self, Count};
use super::moves::Moves;
use super::{Arity, Signature, Source};
use crate::diagnostic::Diagnostic;
use crate::graph::{Node, ValueId};
use crate::lower::Context;
use crate::lower::pointwise::{self, Pointwise};
use cranelite_tile::Machine;

/// The rules of a family: those of [`super::Operator`], `self` being the row of the operator. Rows have a field `types`, too.
pub trait Family: Sized {
    type Attributes;
    const ARITY: Arity;
    const IS_ELEMENTWISE: bool = false;

    fn decode(&self, source: &Source) -> Result<Self::Attributes, Diagnostic>;
    fn infer(&self, a: &Self::Attributes, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic>;
    fn counts(&self, _: &Self::Attributes, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match Self::IS_ELEMENTWISE {
            true => counts::elementwise(s, counted),
            false => counts::none(s, counted),
        }
    }
    fn macs(&self, _: &Self::Attributes, _: &Signature) -> u64 {
        0
    }
    fn activation<'a>(&self, _: &'a mut Self::Attributes) -> Option<&'a mut Activation> {
        None
    }
    fn clamp(&self) -> Option<Activation> {
        None
    }
    fn is_view(&self) -> bool {
        false
    }
    fn is_pointwise(&self, _: &Self::Attributes, _: &Signature) -> bool {
        false
    }
    fn channels(&self, _: &Self::Attributes, _: &Signature) -> Channels {
        if Self::IS_ELEMENTWISE { Channels::Same } else { Channels::Whole }
    }
    fn intervals(&self, _: &Self::Attributes, _: &Signature, _: &[Intervals]) -> Option<Intervals> {
        None
    }
    fn moves(&self, _: &Self::Attributes, _: &Signature) -> Moves {
        if self.is_view() { Moves::Together } else { Moves::None }
    }
    fn refit(&self, _: &mut Self::Attributes, _: &Signature) {}
    fn pointwise<'a>(&self, _: &Self::Attributes, _: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(None)
    }
    fn lower(&self, _: &Self::Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        pointwise::lower(cx, node)
    }
}

/// Makes the modules of a family in its file, which has the family's `Attributes`. Each row is the module's name, its arity if that is not the
/// family's, and a value of `$row`; its documentation is what the header of a file would be.
macro_rules! family {
    (@arity $row:ident) => { <$row as Family>::ARITY };
    (@arity $row:ident $arity:expr) => { $arity };
    ($row:ident: $($(#[$doc:meta])* $name:ident $([$arity:expr])? = $value:expr;)*) => {$(
        $(#[$doc])*
        pub mod $name {
            use super::*;
            use $crate::ops::family::Family;

            const ROW: $row = $value;

            #[derive(Clone, Debug, PartialEq)]
            pub struct Attributes(pub super::Attributes);

            impl $crate::text::fields::Fields for Attributes {
                fn fields(&self) -> Vec<(&'static str, $crate::text::fields::Field)> {
                    $crate::text::fields::Fields::fields(&self.0)
                }
                fn from_fields(fields: &mut Vec<(String, $crate::text::fields::Field)>) -> Result<Self, String> {
                    $crate::text::fields::Fields::from_fields(fields).map(Attributes)
                }
            }

            impl $crate::ops::Operator for Attributes {
                const ARITY: $crate::ops::Arity = $crate::ops::family::family!(@arity $row $($arity)?);
                const TYPES: &'static [$crate::ops::types::Row] = ROW.types;
                const IS_ELEMENTWISE: bool = <$row as Family>::IS_ELEMENTWISE;

                fn decode(source: &$crate::ops::Source) -> Result<Self, $crate::diagnostic::Diagnostic> {
                    ROW.decode(source).map(Attributes)
                }
                fn infer(&self, signature: &$crate::ops::Signature) -> Result<Vec<Vec<usize>>, $crate::diagnostic::Diagnostic> {
                    ROW.infer(&self.0, signature)
                }
                fn counts(
                    &self,
                    s: &$crate::ops::Signature,
                    counted: &[Option<$crate::graph::ValueId>],
                ) -> Result<Vec<Option<$crate::ops::counts::Count>>, $crate::diagnostic::Diagnostic> {
                    ROW.counts(&self.0, s, counted)
                }
                fn macs(&self, signature: &$crate::ops::Signature) -> u64 {
                    ROW.macs(&self.0, signature)
                }
                fn activation(&mut self) -> Option<&mut $crate::ops::attributes::Activation> {
                    ROW.activation(&mut self.0)
                }
                fn clamp(&self) -> Option<$crate::ops::attributes::Activation> {
                    ROW.clamp()
                }
                fn is_view(&self) -> bool {
                    ROW.is_view()
                }
                fn channels(&self, s: &$crate::ops::Signature) -> $crate::ops::channels::Channels {
                    Family::channels(&ROW, &self.0, s)
                }
                fn intervals(
                    &self,
                    s: &$crate::ops::Signature,
                    operands: &[$crate::ops::channels::Intervals],
                ) -> Option<$crate::ops::channels::Intervals> {
                    Family::intervals(&ROW, &self.0, s, operands)
                }
                fn moves(&self, s: &$crate::ops::Signature) -> $crate::ops::moves::Moves {
                    Family::moves(&ROW, &self.0, s)
                }
                fn refit(&mut self, s: &$crate::ops::Signature) {
                    Family::refit(&ROW, &mut self.0, s);
                }
                fn is_pointwise(&self, signature: &$crate::ops::Signature) -> bool {
                    ROW.is_pointwise(&self.0, signature)
                }
                fn pointwise<'a>(
                    &self,
                    m: &'a cranelite_tile::Machine,
                    signature: &$crate::ops::Signature,
                ) -> Result<Option<$crate::lower::pointwise::Pointwise<'a>>, $crate::diagnostic::Diagnostic> {
                    ROW.pointwise(&self.0, m, signature)
                }
                fn lower(
                    &self,
                    cx: &mut $crate::lower::Context,
                    node: &$crate::graph::Node,
                ) -> Result<(), $crate::diagnostic::Diagnostic> {
                    ROW.lower(&self.0, cx, node)
                }
            }
        }
    )*};
}
pub(crate) use family;
