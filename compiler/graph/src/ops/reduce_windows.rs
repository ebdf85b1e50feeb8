//! REDUCE_WINDOW and STABLEHLO_REDUCE_WINDOW: a window slides over an array of any axes, and what is in it becomes one number.
//!
//! f32, f64, i8, u8, i16, i32, i64, bool; integers wrap around. The first number of each sum (product, …) is the second input, which may be known at
//! run time only, and is what is around the array and between its elements, too. In STABLEHLO_REDUCE_WINDOW a subgraph of one operator says how
//! two numbers become one.

use super::family::{Family, family};
use super::types::Row;
use super::{Arity, Kept, Signature, Source, checks};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use crate::lower::spaced::{self, Spaced};
use crate::lower::{Context, sliding};
use crate::tensor::ElementType::{Bool, F32, F64, I8, I16, I32, I64, U8};
use crate::text::fields::{Field, FieldType, fields};
use cranelite_schema as schema;
use schema::BuiltinOperator as B;
pub use sliding::Combine;

#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// Per axis.
    pub window: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    /// How far apart the elements of the array become.
    pub base_dilations: Vec<usize>,
    pub before: Vec<i64>,
    pub after: Vec<i64>,
    pub combine: Combine,
}
fields!(window, strides, dilations, base_dilations, before, after, combine);

const NAMES: [(Combine, &str); 6] = [
    (Combine::Add, "add"),
    (Combine::Mul, "mul"),
    (Combine::Min, "min"),
    (Combine::Max, "max"),
    (Combine::All, "all"),
    (Combine::Any, "any"),
];

impl FieldType for Combine {
    fn to_field(&self) -> Field {
        Field::Word(NAMES.iter().find(|n| n.0 == *self).map_or("add", |n| n.1).into())
    }
    fn from_field(field: &Field) -> Option<Self> {
        let Field::Word(word) = field else { return None };
        NAMES.iter().find(|n| n.1 == word).map(|n| n.0)
    }
}

pub struct Window {
    types: &'static [Row],
    decode: fn(&Source) -> Result<Attributes, Diagnostic>,
}

const TYPES: &[Row] = &[Row::Same(&[F32, F64, I8, U8, I16, I32, I64, Bool])];

family! { Window:
    /// By a function that the options name
    reduce_window [Arity { inputs: 5..=5, kept: Kept::First(2), outputs: 1..=1 }] = Window { types: TYPES, decode: named };
    /// By a function that a subgraph computes
    stablehlo_reduce_window = Window { types: TYPES, decode: with_body };
}

fn absent() -> Diagnostic {
    Diagnostic::new(Code::ATTRIBUTE, "the options of the operator are absent")
}

fn named(source: &Source) -> Result<Attributes, Diagnostic> {
    let s = &source.signature;
    let rank = s.input(0)?.rank();
    let options = source.operator.builtin_options_2_as_reduce_window_options().ok_or_else(absent)?;
    let combine = match options.reduce_function() {
        schema::ReduceWindowFunction::ADD => Combine::Add,
        schema::ReduceWindowFunction::MUL => Combine::Mul,
        schema::ReduceWindowFunction::MINIMUM => Combine::Min,
        schema::ReduceWindowFunction::MAXIMUM => Combine::Max,
        schema::ReduceWindowFunction::ALL => Combine::All,
        schema::ReduceWindowFunction::ANY => Combine::Any,
        other => {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "the function of the window is not known").found(format!("number {}", other.0)));
        }
    };
    let list = |input, what: &str| s.constant_counts(input, what, &[rank]);
    Ok(Attributes {
        window: list(2, "the sizes of the window")?,
        strides: list(3, "the strides")?,
        dilations: list(4, "the dilations")?,
        base_dilations: vec![1; rank],
        before: vec![0; rank],
        after: vec![0; rank],
        combine,
    })
}

fn with_body(source: &Source) -> Result<Attributes, Diagnostic> {
    let rank = source.signature.input(0)?.rank();
    let options = source.operator.builtin_options_2_as_stablehlo_reduce_window_options().ok_or_else(absent)?;
    let combine = match (source.operators_of)(options.body_subgraph_index())?[..] {
        [B::ADD | B::STABLEHLO_ADD] => Combine::Add,
        [B::MUL | B::STABLEHLO_MULTIPLY] => Combine::Mul,
        [B::MAXIMUM | B::STABLEHLO_MAXIMUM] => Combine::Max,
        [B::MINIMUM | B::STABLEHLO_MINIMUM] => Combine::Min,
        [B::LOGICAL_AND | B::STABLEHLO_AND] => Combine::All,
        [B::LOGICAL_OR | B::STABLEHLO_OR] => Combine::Any,
        _ => {
            return Err(Diagnostic::new(Code::FEATURE, "the subgraph of the window is no function that is known")
                .expected("one operator: ADD, MUL, MAXIMUM, MINIMUM, LOGICAL_AND or LOGICAL_OR"));
        }
    };
    // What is absent, the reference reads as zeros, of which a window, a stride or a dilation is refused.
    let list = |list: Option<Vec<i64>>, what: &str| -> Result<Vec<usize>, Diagnostic> {
        list.unwrap_or(vec![0; rank]).into_iter().map(|n| checks::dimension(what, n)).collect()
    };
    let padding = options.padding().map_or(vec![0; 2 * rank], |l| l.iter().collect::<Vec<i64>>());
    Ok(Attributes {
        window: list(options.window_dimensions().map(|l| l.iter().collect()), "a size of the window")?,
        strides: list(options.window_strides().map(|l| l.iter().collect()), "a stride")?,
        dilations: list(options.window_dilations().map(|l| l.iter().collect()), "a dilation")?,
        base_dilations: list(options.base_dilations().map(|l| l.iter().collect()), "a dilation")?,
        before: padding.iter().copied().step_by(2).collect(),
        after: padding.iter().copied().skip(1).step_by(2).collect(),
        combine,
    })
}

impl Attributes {
    /// The axes of the array that the window sees, and how many places it has along each.
    fn seen(&self, shape: &[usize]) -> Option<(Vec<Spaced>, Vec<usize>)> {
        let spaced = (0..shape.len()).map(|d| Spaced::new(shape[d], self.before[d], self.after[d], self.base_dilations[d]));
        let seen = spaced.collect::<Option<Vec<_>>>()?;
        let places = seen.iter().enumerate().map(|(d, s)| {
            let span = (self.window[d] - 1).checked_mul(self.dilations[d])?.checked_add(1)?;
            Some(s.size.checked_sub(span).map_or(0, |rest| rest / self.strides[d] + 1))
        });
        let places = places.collect::<Option<Vec<_>>>()?;
        Some((seen, places))
    }
}

/// The reference has as many.
const MOST_AXES: usize = 6;

impl Family for Window {
    type Attributes = Attributes;
    const ARITY: Arity = Arity { inputs: 2..=2, kept: Kept::First(2), outputs: 1..=1 };

    fn decode(&self, source: &Source) -> Result<Attributes, Diagnostic> {
        (self.decode)(source)
    }

    fn infer(&self, a: &Attributes, s: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
        let (x, start) = (s.input(0)?, s.input(1)?);
        if !(1..=MOST_AXES).contains(&x.rank()) {
            return Err(Diagnostic::new(Code::OPERAND, "input has the wrong rank")
                .expected(format!("1 to {MOST_AXES} dimensions"))
                .found(format!("{:?}", x.shape)));
        }
        if start.element_count() == 0 {
            return Err(Diagnostic::new(Code::OPERAND, "there is no number to begin with").detail("input 1"));
        }
        let lists = [&a.window, &a.strides, &a.dilations, &a.base_dilations];
        let is_complete = lists.iter().all(|l| l.len() == x.rank()) && [&a.before, &a.after].iter().all(|l| l.len() == x.rank());
        if !is_complete || lists.iter().any(|l| l.contains(&0)) {
            return Err(Diagnostic::new(Code::ATTRIBUTE, "window, strides and dilations are positive, one for each axis")
                .expected(format!("{} of each", x.rank()))
                .found(format!("window {:?}, strides {:?}, dilations {:?} and {:?}", a.window, a.strides, a.dilations, a.base_dilations)));
        }
        if x.element == Bool && a.combine == Combine::Add {
            return Err(Diagnostic::new(Code::FEATURE, "truth values have no sum").help("take whether any is true"));
        }
        let (seen, places) = a.seen(&x.shape).ok_or_else(|| {
            Diagnostic::new(Code::SHAPE, "paddings take away more than there is, or make an array that is too large")
                .found(format!("{:?} before and {:?} after {:?}", a.before, a.after, x.shape))
        })?;
        checks::sized(seen.iter().map(|s| s.size).collect())?;
        checks::sized(places)
    }

    fn lower(&self, a: &Attributes, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        let (x, y) = (cx.input_type(node, 0), cx.output_type(node, 0));
        if y.element_count() == 0 {
            return Ok(());
        }
        let (seen, places) = a.seen(&x.shape).expect("infer has seen the sizes");
        let (mut from, start, to) = (cx.input(node, 0), cx.input(node, 1), cx.output(node, 0));
        if !seen.iter().all(Spaced::is_same) {
            let bytes = x.element.bytes().expect("infer has seen the type");
            let count: usize = seen.iter().map(|s| s.size).product();
            let padded = cx.scratch("padded", (count * bytes) as u64);
            spaced::lower(cx, [from, start, padded], bytes, &x.shape, &seen);
            from = padded;
        }
        let axes = (0..seen.len()).map(|d| sliding::Axis {
            input: seen[d].size,
            output: places[d],
            window: a.window[d],
            stride: a.strides[d],
            dilation: a.dilations[d],
        });
        sliding::reduce(cx, from, start, to, x.element, &axes.collect::<Vec<_>>(), a.combine);
        Ok(())
    }
}
