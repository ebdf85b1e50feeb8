//! The operators: one file each, or one row in the file of a family (`family.rs`), listed once below.
//!
//! An operator is its attributes and three functions: `decode` reads them from the model, `infer` checks types and gives the
//! results' shapes, `lower` writes tile kernels and calls. There is no second implementation. No operator uses another
//! operator's file; what they share is in `attributes.rs`, `quantize.rs` and `lower/`.

pub mod attributes;
pub mod batches;
pub mod bodies;
pub mod channels;
pub mod checks;
pub mod clips;
pub mod comparisons;
pub mod complexes;
pub mod counts;
pub mod curves;
pub mod depths;
pub mod extremes;
pub mod family;
pub mod maps;
pub mod moves;
pub mod ones;
pub mod paddings;
pub mod pairs;
pub mod pools;
pub mod reduce_windows;
pub mod reductions;
pub mod resizes;
pub mod segments;
pub mod selects;
pub mod signals;
pub mod sines;
pub mod sums;
pub mod suppressions;
pub mod transposed;
pub mod types;
pub mod volumes;

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Graph, Node, ValueId};
use crate::lower::Context;
use crate::lower::pointwise::{self, Pointwise};
use crate::tensor::{ElementType, TensorType};
use crate::text::fields::{Field, Fields};
use attributes::Activation;
use channels::{Channels, Intervals};
use counts::Count;
use cranelite_schema as schema;
use cranelite_tile::Machine;
use moves::Moves;
use schema::flexbuffers::Number;
use std::ops::RangeInclusive;

/// An operand as an operator sees it when it is decoded or checked.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    pub ty: &'a TensorType,
    /// Bytes if it is a constant.
    pub data: Option<&'a [u8]>,
}

/// Operands and results of one application of an operator.
#[derive(Clone, Debug)]
pub struct Signature<'a> {
    /// `None` where an optional input is absent.
    pub inputs: Vec<Option<Operand<'a>>>,
    /// As declared: element types and quantisation count, shapes are what `infer` says.
    pub outputs: Vec<&'a TensorType>,
}

/// Which operator a file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    Builtin(schema::BuiltinOperator),
    /// By its name, which the format knows nothing of.
    Custom(&'a str),
}

/// What `decode` reads: the operator in the file and its operands. Their number is within the operator's [`Arity`].
pub struct Source<'a> {
    pub operator: schema::Operator<'a>,
    pub version: i32,
    /// The function of the user's that a custom operator is.
    pub symbol: Option<&'a str>,
    pub signature: Signature<'a>,
    /// Of the subgraphs that it names.
    pub bodies: Vec<Graph>,
    /// Tensors that only say how inner results are quantised; `None` where the number is no tensor's.
    pub intermediates: Vec<Option<&'a TensorType>>,
    /// Which operators a subgraph of the file has.
    pub operators_of: &'a dyn Fn(i32) -> Result<Vec<schema::BuiltinOperator>, Diagnostic>,
    /// Of which inputs the first dimension is counted at run time.
    pub counted: Vec<bool>,
    pub sizes: &'a dyn Sizes,
}

/// What is known of sizes that are computed at run time.
pub trait Sizes {
    /// The elements of an input of integers, as far as they are known when the model is compiled.
    fn numbers(&self, input: usize) -> Vec<Option<i64>>;
    /// The most that the user says the first dimension of the result can be.
    fn most(&self) -> Option<usize>;
    /// What the user would call that result.
    fn name(&self) -> String;
}

impl<'a> Source<'a> {
    /// The options of a custom operator, whose meaning is its own.
    pub fn custom_options(&self) -> Result<&'a [u8], Diagnostic> {
        if 1 < self.operator.large_custom_options_offset() {
            return Err(Diagnostic::new(Code::FEATURE, "options of a custom operator that lie behind the model are not supported")
                .help("custom operators of less than two gigabytes have them inside"));
        }
        Ok(self.operator.custom_options().map_or(&[], |o| o.bytes()))
    }
    /// The first numbers of a custom operator whose options are a C structure of integers.
    pub fn structure<const N: usize>(&self) -> Result<[i32; N], Diagnostic> {
        let bytes = self.custom_options()?;
        let Some(bytes) = bytes.get(..4 * N) else {
            return Err(Diagnostic::new(Code::BROKEN, "the options of the operator are too short")
                .expected(format!("a structure of at least {} bytes", 4 * N))
                .found(bytes.len().to_string()));
        };
        Ok(std::array::from_fn(|i| i32::from_le_bytes(bytes[4 * i..][..4].try_into().expect("four bytes"))))
    }
    /// The most that the first dimension of the result can be; the problem that it is known at run time only, if nobody says.
    pub fn most(&self, d: Diagnostic) -> Result<usize, Diagnostic> {
        self.sizes.most().ok_or_else(|| Diagnostic { bounded: Some(self.sizes.name()), ..d })
    }
    /// One dimension or multiple for each axis, from an input; and whether the first one is the most that it can be, because it is known at run
    /// time only. All others must be known.
    pub fn dimensions(&self, input: usize, what: &str, most: impl FnOnce(usize) -> usize) -> Result<(Vec<usize>, bool), Diagnostic> {
        let dimension = |n| checks::dimension(&format!("one of {what}"), n).map_err(|d| d.detail(format!("input {input}")));
        let open = match self.signature.constant_integers(input, what) {
            Ok((_, numbers)) => return Ok((numbers.into_iter().map(dimension).collect::<Result<_, _>>()?, false)),
            Err(d) if d.code != Code::CONSTANT => return Err(d),
            Err(d) => d,
        };
        let numbers = self.sizes.numbers(input);
        let Some((_, rest)) = numbers.split_first().filter(|(_, rest)| rest.iter().all(Option::is_some)) else { return Err(open) };
        let mut all = vec![most(self.most(open)?)];
        for n in rest.iter().flatten() {
            all.push(dimension(*n)?);
        }
        Ok((all, true))
    }
    /// Those of an operator that has numbers by name.
    pub fn named_options(&self) -> Result<Options<'a>, Diagnostic> {
        Ok(Options(schema::flexbuffers::Map::of(self.custom_options()?).map_err(broken_options)?))
    }
}

/// The options of a custom operator: numbers by name, of which those that are missing are 0.
pub struct Options<'a>(schema::flexbuffers::Map<'a>);

fn broken_options(schema::flexbuffers::Broken(why): schema::flexbuffers::Broken) -> Diagnostic {
    Diagnostic::new(Code::BROKEN, format!("the options of the operator cannot be read: {why}")).expected("a flexbuffer with a map")
}

impl Options<'_> {
    fn number(&self, name: &str) -> Result<Option<Number>, Diagnostic> {
        match self.0.get(name).map_err(broken_options)? {
            Some(Number::Other) => Err(Diagnostic::new(Code::ATTRIBUTE, format!("`{name}` is no number"))),
            number => Ok(number),
        }
    }
    pub fn has(&self, name: &str) -> Result<bool, Diagnostic> {
        Ok(self.number(name)?.is_some())
    }
    /// As `count`, of what an operator cannot do without.
    pub fn needed(&self, name: &str) -> Result<usize, Diagnostic> {
        match self.has(name)? {
            true => self.count(name),
            false => {
                Err(Diagnostic::new(Code::ATTRIBUTE, format!("`{name}` is missing")).help("export the operator with all of its options"))
            }
        }
    }
    /// That the type called `T`, of operators with several, is that of their tensors.
    pub fn check_type(&self, element: ElementType) -> Result<(), Diagnostic> {
        let number = match element {
            ElementType::F32 => schema::TensorType::FLOAT32,
            ElementType::I16 => schema::TensorType::INT16,
            ElementType::I32 => schema::TensorType::INT32,
            // No row of types has any other.
            _ => return Ok(()),
        };
        if !self.has("T")? || self.count("T")? == number.0 as usize {
            return Ok(());
        }
        Err(Diagnostic::new(Code::TYPES, "the options name another type than that of the operands")
            .expected(format!("{} ({})", number.0, element.name()))
            .found(self.count("T")?.to_string()))
    }
    /// A count of no more than 31 bits.
    pub fn count(&self, name: &str) -> Result<usize, Diagnostic> {
        let number = match self.number(name)? {
            None => 0,
            Some(Number::Integer(n)) => n,
            Some(Number::Unsigned(n)) => i64::try_from(n).unwrap_or(i64::MAX),
            Some(Number::Float(x)) => x as i64,
            Some(Number::Bool(_) | Number::Other) => -1,
        };
        checks::dimension(&format!("`{name}`"), number)
    }
    pub fn float(&self, name: &str) -> Result<f32, Diagnostic> {
        Ok(match self.number(name)? {
            None | Some(Number::Bool(_) | Number::Other) => 0.0,
            Some(Number::Integer(n)) => n as f32,
            Some(Number::Unsigned(n)) => n as f32,
            Some(Number::Float(x)) => x as f32,
        })
    }
    pub fn bool(&self, name: &str) -> Result<bool, Diagnostic> {
        Ok(match self.number(name)? {
            None | Some(Number::Other) => false,
            Some(Number::Bool(b)) => b,
            Some(Number::Integer(n)) => n != 0,
            Some(Number::Unsigned(n)) => n != 0,
            Some(Number::Float(x)) => x != 0.0,
        })
    }
}

/// How many operands and results an operator has.
#[derive(Clone, Debug)]
pub struct Arity {
    /// Inputs in the model.
    pub inputs: RangeInclusive<usize>,
    pub kept: Kept,
    pub outputs: RangeInclusive<usize>,
}

/// Which inputs in the model are inputs of the node, too; `decode` turns the others (axes, paddings, shapes) into attributes.
#[derive(Clone, Copy, Debug)]
pub enum Kept {
    All,
    First(usize),
    /// By position in the model, in the order of the node; those that a model may leave out at its end come last.
    These(&'static [usize]),
}

impl Kept {
    /// The kept ones of so many, in the order of the node.
    pub fn of<T: Clone>(self, inputs: &[T]) -> Vec<T> {
        match self {
            Kept::All => inputs.to_vec(),
            Kept::First(n) => inputs[..n.min(inputs.len())].to_vec(),
            Kept::These(positions) => positions.iter().filter_map(|&i| inputs.get(i).cloned()).collect(),
        }
    }
    /// Where in the model the node's input `index` was.
    pub fn position(self, index: usize) -> usize {
        match self {
            Kept::All | Kept::First(_) => index,
            Kept::These(positions) => positions.get(index).copied().unwrap_or(index),
        }
    }
    /// What `infer` says of the node's input `index` ("input 1"), as what it is of the model's.
    pub fn in_model(self, mut d: Diagnostic) -> Diagnostic {
        let index = d.place.detail.as_deref().and_then(|d| d.strip_prefix("input ")?.parse().ok());
        if let Some(index) = index {
            d.place.detail = Some(format!("input {}", self.position(index)));
        }
        d
    }
}

/// Which of some subgraphs runs, by type and bytes of a constant; `None` where that is not what decides.
pub type Chosen = fn(ElementType, &[u8]) -> Option<usize>;

/// Subgraphs that an operator runs.
#[derive(Clone, Debug)]
pub struct Control {
    /// In the file.
    pub subgraphs: Vec<i32>,
    /// Position of the first of the inputs that they get.
    pub first_input: usize,
    /// Which of them runs (the last one if there are fewer), by the first input where that is a constant; without it they run again and again, and the results of the last one are the
    /// operands of the next turn.
    pub chosen: Option<Chosen>,
}

impl Control {
    pub fn is_loop(&self) -> bool {
        self.chosen.is_none()
    }
}

/// The rules of one operator.
pub trait Operator: Sized {
    const ARITY: Arity;
    /// Element types it takes; a signature that fits no row does not reach `infer`.
    const TYPES: &'static [types::Row];

    fn decode(source: &Source) -> Result<Self, Diagnostic>;
    /// What it runs of its operands, and which subgraphs of the file that is.
    fn control(_: &schema::Operator) -> Option<Control> {
        None
    }
    fn bodies(&self) -> &[Graph] {
        &[]
    }
    fn bodies_mut(&mut self) -> Option<&mut Vec<Graph>> {
        None
    }
    /// Each element of its result is computed from the elements at the same place, operands being repeated where they are smaller.
    const IS_ELEMENTWISE: bool = false;
    /// By what the first dimensions of its results are counted at run time, if they are; `counted` is what counts those of all inputs in the model.
    fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
        match Self::IS_ELEMENTWISE {
            true => counts::elementwise(s, counted),
            false => counts::none(s, counted),
        }
    }
    /// Checks everything that depends on types and shapes alone; returns the shape of every result. The signature has the
    /// kept inputs only; constants may not be known yet (weights behind a DEQUANTIZE).
    fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic>;
    /// Which inputs in the model are the node's: more than [`Self::ARITY`] says where what could be an attribute is known at run time only.
    fn kept(&self) -> Kept {
        Self::ARITY.kept
    }
    /// Multiply-accumulates, for reports; the signature's outputs have the shapes that `infer` gave.
    fn macs(&self, _: &Signature) -> u64 {
        0
    }
    /// The clamp of its result, which an operator RELU behind it may become.
    fn activation(&mut self) -> Option<&mut Activation> {
        None
    }
    /// The clamp that the whole operator is.
    fn clamp(&self) -> Option<Activation> {
        None
    }
    /// Is its result the bytes of its first input, whatever the shape of that?
    fn is_view(&self) -> bool {
        false
    }
    /// Types of the states that it keeps for itself, of zeros at first: they are the node's inputs behind all others. `s` may have them already.
    fn own_states(&self, _s: &Signature) -> Result<Vec<TensorType>, Diagnostic> {
        Ok(vec![])
    }
    /// What the channels of its only result are made of. Elements that are alone in their place are made of what is alone there.
    fn channels(&self, _: &Signature) -> Channels {
        if Self::IS_ELEMENTWISE { Channels::Same } else { Channels::Whole }
    }
    /// Which integers its only result can have, channel by channel, if it can say more than that equal channels have equal results.
    fn intervals(&self, _: &Signature, _: &[Intervals]) -> Option<Intervals> {
        None
    }
    /// Which of its operands and results of i8 may be u8, moved by 128, without another change of what it computes.
    fn moves(&self, _: &Signature) -> Moves {
        if self.is_view() { Moves::Together } else { Moves::None }
    }
    /// Attributes follow shapes of operands and result that have lost channels.
    fn refit(&mut self, _: &Signature) {}
    /// Positions of the node's inputs that are states and change.
    fn writes(&self) -> Vec<usize> {
        vec![]
    }
    /// May it do more than compute its results? Then it is never left out, nor computed ahead.
    fn acts(&self) -> bool {
        false
    }
    /// Whether `pointwise` gives a function for operands of these types, so that the operator may be a step of a chain.
    fn is_pointwise(&self, _: &Signature) -> bool {
        false
    }
    /// What it computes of vectors of its operands, where that is the same for all elements.
    fn pointwise<'a>(&self, _: &'a Machine, _: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
        Ok(None)
    }
    /// Writes the calls that compute `node`. What it cannot do is an error here, never a wrong result.
    fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
        pointwise::lower(cx, node)
    }
}

macro_rules! operators {
    (@module $module:ident) => { pub mod $module; };
    (@module $module:ident $family:ident) => { pub use $family::$module; };
    (@name $code:ident) => { stringify!($code) };
    (@name $code:literal) => { $code };
    (@key $code:ident) => { Key::Builtin(schema::BuiltinOperator::$code) };
    (@key $code:literal) => { Key::Custom($code) };
    ($($variant:ident $module:ident $(($family:ident))? $($code:ident)? $(= $custom:literal)? $version:literal;)*) => {
        $(operators!(@module $module $($family)?);)*

        /// An operator with its attributes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($variant($module::Attributes),)*
        }

        impl Op {
            /// TFLite's name, such as `CONV_2D`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Op::$variant(_) => operators!(@name $($code)? $($custom)?),)*
                }
            }
            /// For a kernel that does nothing but this operator.
            pub fn kernel_name(&self, element: ElementType) -> String {
                format!("{}_{element}", self.name().to_ascii_lowercase())
            }
            /// Of types that a model may have.
            pub fn infer(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
                self.check(signature)?;
                self.infer_checked(signature)
            }
            /// As `infer`, of types that rewrites may make of them, too.
            pub fn infer_rewritten(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
                self.check(signature).or_else(|d| self.moves(signature).before(signature, |s| self.check(s)).unwrap_or(Err(d)))?;
                self.infer_checked(signature)
            }
            fn check(&self, signature: &Signature) -> Result<(), Diagnostic> {
                match self {
                    $(Op::$variant(_) => {
                        types::check(<$module::Attributes as Operator>::TYPES, &<$module::Attributes as Operator>::ARITY, signature)
                    })*
                }
            }
            fn infer_checked(&self, signature: &Signature) -> Result<Vec<Vec<usize>>, Diagnostic> {
                match self {
                    $(Op::$variant(a) => {
                        own_states_fit(&a.own_states(signature)?, signature)?;
                        a.infer(signature)
                    })*
                }
            }
            pub fn kept(&self) -> Kept {
                match self {
                    $(Op::$variant(a) => a.kept(),)*
                }
            }
            pub fn macs(&self, signature: &Signature) -> u64 {
                match self {
                    $(Op::$variant(a) => a.macs(signature),)*
                }
            }
            pub fn activation(&mut self) -> Option<&mut Activation> {
                match self {
                    $(Op::$variant(a) => a.activation(),)*
                }
            }
            pub fn clamp(&self) -> Option<Activation> {
                match self {
                    $(Op::$variant(a) => a.clamp(),)*
                }
            }
            pub fn is_view(&self) -> bool {
                match self {
                    $(Op::$variant(a) => a.is_view(),)*
                }
            }
            /// What an operator in the file runs, if it is one with control flow.
            pub fn control(key: Key, operator: &schema::Operator) -> Option<Control> {
                match key {
                    $(operators!(@key $($code)? $($custom)?) => <$module::Attributes as Operator>::control(operator),)*
                    _ => None,
                }
            }
            pub fn counts(&self, s: &Signature, counted: &[Option<ValueId>]) -> Result<Vec<Option<Count>>, Diagnostic> {
                match self {
                    $(Op::$variant(a) => a.counts(s, counted),)*
                }
            }
            pub fn is_elementwise(&self) -> bool {
                match self {
                    $(Op::$variant(_) => <$module::Attributes as Operator>::IS_ELEMENTWISE,)*
                }
            }
            pub fn bodies(&self) -> &[Graph] {
                match self {
                    $(Op::$variant(a) => a.bodies(),)*
                }
            }
            pub fn bodies_mut(&mut self) -> Option<&mut Vec<Graph>> {
                match self {
                    $(Op::$variant(a) => a.bodies_mut(),)*
                }
            }
            pub fn own_states(&self, signature: &Signature) -> Result<Vec<TensorType>, Diagnostic> {
                match self {
                    $(Op::$variant(a) => a.own_states(signature),)*
                }
            }
            pub fn channels(&self, s: &Signature) -> Channels {
                match self {
                    $(Op::$variant(a) => a.channels(s),)*
                }
            }
            pub fn intervals(&self, s: &Signature, operands: &[Intervals]) -> Option<Intervals> {
                match self {
                    $(Op::$variant(a) => a.intervals(s, operands),)*
                }
            }
            pub fn moves(&self, s: &Signature) -> Moves {
                match self {
                    $(Op::$variant(a) => a.moves(s),)*
                }
            }
            pub fn refit(&mut self, s: &Signature) {
                match self {
                    $(Op::$variant(a) => a.refit(s),)*
                }
            }
            pub fn writes(&self) -> Vec<usize> {
                match self {
                    $(Op::$variant(a) => a.writes(),)*
                }
            }
            /// Whether it changes a state or may do more than compute its results.
            pub fn has_effect(&self) -> bool {
                let acts = match self {
                    $(Op::$variant(a) => a.acts() || !a.writes().is_empty(),)*
                };
                acts || self.bodies().iter().flat_map(|b| &b.nodes).any(|n| n.op.has_effect())
            }
            pub fn lower(&self, cx: &mut Context, node: &Node) -> Result<(), Diagnostic> {
                match self {
                    $(Op::$variant(a) => a.lower(cx, node),)*
                }
            }
            pub fn is_pointwise(&self, signature: &Signature) -> bool {
                match self {
                    $(Op::$variant(a) => a.is_pointwise(signature),)*
                }
            }
            pub fn pointwise<'a>(&self, m: &'a Machine, signature: &Signature) -> Result<Option<Pointwise<'a>>, Diagnostic> {
                match self {
                    $(Op::$variant(a) => a.pointwise(m, signature),)*
                }
            }
            /// Attributes by name, in the order of their declaration.
            pub fn fields(&self) -> Vec<(&'static str, Field)> {
                match self {
                    $(Op::$variant(a) => a.fields(),)*
                }
            }
            /// The operator called `name` in a text; takes its attributes out of the list.
            pub fn from_fields(name: &str, fields: &mut Vec<(String, Field)>) -> Result<Op, String> {
                // A module's name may be a word of Rust (`r#if`).
                match name {
                    $(_ if stringify!($module).trim_start_matches("r#") == name => $module::Attributes::from_fields(fields).map(Op::$variant),)*
                    _ => Err(format!("no operator is called `{name}`")),
                }
            }
            /// Number of operands, `None` for an operator that is not supported.
            pub fn arity(key: Key) -> Option<Arity> {
                match key {
                    $(operators!(@key $($code)? $($custom)?) => Some(<$module::Attributes as Operator>::ARITY),)*
                    _ => None,
                }
            }
            /// The newest version of the operator that is known here; a newer one may mean something else.
            pub fn newest_version(key: Key) -> i32 {
                match key {
                    $(operators!(@key $($code)? $($custom)?) => $version,)*
                    _ => 0,
                }
            }
            pub fn decode(key: Key, source: &Source) -> Result<Op, Diagnostic> {
                match key {
                    $(operators!(@key $($code)? $($custom)?) => $module::Attributes::decode(source).map(Op::$variant),)*
                    _ => Err(Diagnostic::new(Code::OPERATOR, "operator is not supported")),
                }
            }
        }

        /// (name, element types) of every operator, sorted by name.
        pub const TABLE: &[(&str, types::Shown)] = &[$((operators!(@name $($code)? $($custom)?), types::Shown(<$module::Attributes as Operator>::TYPES))),*];
    };
}

/// That a signature ends with an operator's own states.
fn own_states_fit(states: &[TensorType], s: &Signature) -> Result<(), Diagnostic> {
    let first = s.inputs.len().saturating_sub(states.len());
    let fits = |(i, ty): (usize, &TensorType)| s.optional(first + i).is_some_and(|o| o.ty == ty);
    match states.iter().enumerate().all(fits) {
        true => Ok(()),
        false => Err(Diagnostic::new(Code::OPERAND, "what the operator keeps from one invocation to the next does not fit")),
    }
}

/// Operators that are gone when the graph is there, and what becomes of them.
pub const RESOLVED: &[(&str, &str)] = &[
    ("CALL", "the operators of the subgraph stand for it"),
    ("CALL_ONCE", "what it assigns is in the variables from the beginning"),
    ("STABLEHLO_COMPOSITE", "the operators of its decomposition stand for it"),
    ("TFLM_DECODE", "what it decodes is constants"),
    ("VAR_HANDLE", "a variable becomes a state"),
];

/// Whether an operator is our own: pipelines are made of it, and no model has it.
pub fn is_own(name: &str) -> bool {
    name.starts_with("Cranelite")
}

/// The problem of a file that has an operator of our own.
fn only_of_pipelines() -> Diagnostic {
    Diagnostic::new(Code::OPERATOR, "the operator is one that pipelines are made of, and no model has it")
}

// Variant, module (and the family in whose file it is), name in the format (or = the one of a custom operator), newest version that
// LiteRT 2.3.0 registers.
operators! {
    Abs abs ABS 3;
    Add add(sums) ADD 5;
    AddN add_n ADD_N 1;
    ArgMax arg_max(extremes) ARG_MAX 3;
    ArgMin arg_min(extremes) ARG_MIN 3;
    AssignVariable assign_variable ASSIGN_VARIABLE 1;
    Atan2 atan2(pairs) ATAN2 1;
    AveragePool2d average_pool_2d(pools) AVERAGE_POOL_2D 3;
    BatchMatmul batch_matmul BATCH_MATMUL 4;
    BatchToSpaceNd batch_to_space_nd(batches) BATCH_TO_SPACE_ND 4;
    BidirectionalSequenceLstm bidirectional_sequence_lstm BIDIRECTIONAL_SEQUENCE_LSTM 3;
    BidirectionalSequenceRnn bidirectional_sequence_rnn BIDIRECTIONAL_SEQUENCE_RNN 3;
    Bitcast bitcast BITCAST 1;
    BitwiseXor bitwise_xor(pairs) BITWISE_XOR 1;
    BroadcastArgs broadcast_args BROADCAST_ARGS 1;
    BroadcastTo broadcast_to BROADCAST_TO 3;
    Bucketize bucketize BUCKETIZE 1;
    Cast cast CAST 9;
    Ceil ceil(maps) CEIL 1;
    ComplexAbs complex_abs(complexes) COMPLEX_ABS 1;
    Concatenation concatenation CONCATENATION 5;
    Conv2d conv_2d CONV_2D 8;
    Conv3d conv_3d(volumes) CONV_3D 1;
    Conv3dTranspose conv_3d_transpose(volumes) CONV_3D_TRANSPOSE 1;
    Convolution2dTransposeBias convolution2dtransposebias(transposed) = "Convolution2DTransposeBias" 1;
    Cos cos(sines) COS 1;
    CraneliteFrame craneliteframe = "CraneliteFrame" 1;
    CraneliteFramePart craneliteframepart = "CraneliteFramePart" 1;
    Cumsum cumsum CUMSUM 1;
    Custom custom CUSTOM 1;
    Densify densify DENSIFY 1;
    DepthwiseConv2d depthwise_conv_2d DEPTHWISE_CONV_2D 7;
    DepthToSpace depth_to_space(depths) DEPTH_TO_SPACE 2;
    Dequantize dequantize DEQUANTIZE 8;
    Dilate dilate(paddings) DILATE 1;
    Div div DIV 2;
    DynamicUpdateSlice dynamic_update_slice DYNAMIC_UPDATE_SLICE 4;
    Elu elu(curves) ELU 1;
    EmbeddingLookup embedding_lookup EMBEDDING_LOOKUP 4;
    EmbeddingLookupSparse embedding_lookup_sparse EMBEDDING_LOOKUP_SPARSE 1;
    Equal equal(comparisons) EQUAL 5;
    Exp exp(curves) EXP 2;
    ExpandDims expand_dims(ones) EXPAND_DIMS 1;
    FakeQuant fake_quant FAKE_QUANT 2;
    Fill fill FILL 4;
    Floor floor(maps) FLOOR 1;
    FloorDiv floor_div(pairs) FLOOR_DIV 3;
    FloorMod floor_mod(pairs) FLOOR_MOD 2;
    FullyConnected fully_connected FULLY_CONNECTED 14;
    Gather gather GATHER 7;
    GatherNd gather_nd GATHER_ND 5;
    Gelu gelu GELU 2;
    Greater greater(comparisons) GREATER 2;
    GreaterEqual greater_equal(comparisons) GREATER_EQUAL 3;
    HardSwish hard_swish(curves) HARD_SWISH 1;
    HashtableLookup hashtable_lookup HASHTABLE_LOOKUP 1;
    If r#if IF 1;
    Imag imag(complexes) IMAG 1;
    L2Normalization l2_normalization L2_NORMALIZATION 2;
    L2Pool2d l2_pool_2d(pools) L2_POOL_2D 1;
    LeakyRelu leaky_relu LEAKY_RELU 2;
    Less less(comparisons) LESS 3;
    LessEqual less_equal(comparisons) LESS_EQUAL 2;
    LocalResponseNormalization local_response_normalization LOCAL_RESPONSE_NORMALIZATION 1;
    Log log(curves) LOG 2;
    LogicalAnd logical_and(pairs) LOGICAL_AND 1;
    LogicalNot logical_not(maps) LOGICAL_NOT 1;
    LogicalOr logical_or(pairs) LOGICAL_OR 1;
    Logistic logistic(curves) LOGISTIC 3;
    LogSoftmax log_softmax LOG_SOFTMAX 2;
    LshProjection lsh_projection LSH_PROJECTION 1;
    Lstm lstm LSTM 4;
    MatrixDiag matrix_diag MATRIX_DIAG 1;
    MatrixSetDiag matrix_set_diag MATRIX_SET_DIAG 1;
    Maximum maximum(pairs) MAXIMUM 4;
    MaxPool2d max_pool_2d(pools) MAX_POOL_2D 3;
    MaxPoolingWithArgmax2d maxpoolingwithargmax2d = "MaxPoolingWithArgmax2D" 1;
    MaxUnpooling2d maxunpooling2d = "MaxUnpooling2D" 1;
    Mean mean(reductions) MEAN 3;
    Minimum minimum(pairs) MINIMUM 4;
    MirrorPad mirror_pad MIRROR_PAD 3;
    Mul mul MUL 7;
    Neg neg(maps) NEG 1;
    NonMaxSuppressionV4 non_max_suppression_v4(suppressions) NON_MAX_SUPPRESSION_V4 1;
    NonMaxSuppressionV5 non_max_suppression_v5(suppressions) NON_MAX_SUPPRESSION_V5 1;
    NotEqual not_equal(comparisons) NOT_EQUAL 4;
    OneHot one_hot ONE_HOT 1;
    Pack pack PACK 4;
    Pad pad PAD 5;
    Padv2 padv2 PADV2 5;
    Pow pow(pairs) POW 1;
    Prelu prelu PRELU 1;
    Quantize quantize QUANTIZE 5;
    Range range RANGE 2;
    Rank rank RANK 1;
    ReadVariable read_variable READ_VARIABLE 1;
    Real real(complexes) REAL 1;
    ReduceAll reduce_all(reductions) REDUCE_ALL 1;
    ReduceAny reduce_any(reductions) REDUCE_ANY 1;
    ReduceMax reduce_max(reductions) REDUCE_MAX 3;
    ReduceMin reduce_min(reductions) REDUCE_MIN 3;
    ReduceProd reduce_prod(reductions) REDUCE_PROD 2;
    ReduceWindow reduce_window(reduce_windows) REDUCE_WINDOW 1;
    Relu relu(clips) RELU 3;
    Relu6 relu6(clips) RELU6 3;
    Relu0To1 relu_0_to_1(clips) RELU_0_TO_1 1;
    ReluN1To1 relu_n1_to_1(clips) RELU_N1_TO_1 1;
    Reshape reshape RESHAPE 1;
    ResizeBilinear resize_bilinear(resizes) RESIZE_BILINEAR 4;
    ResizeNearestNeighbor resize_nearest_neighbor(resizes) RESIZE_NEAREST_NEIGHBOR 4;
    ReverseSequence reverse_sequence REVERSE_SEQUENCE 1;
    ReverseV2 reverse_v2 REVERSE_V2 3;
    Rfft2d rfft2d RFFT2D 1;
    RightShift right_shift(pairs) RIGHT_SHIFT 1;
    Rnn rnn RNN 3;
    Round round(maps) ROUND 1;
    Rsqrt rsqrt(curves) RSQRT 3;
    ScatterNd scatter_nd SCATTER_ND 1;
    SegmentSum segment_sum SEGMENT_SUM 1;
    Select select(selects) SELECT 4;
    SelectV2 select_v2(selects) SELECT_V2 2;
    Shape shape SHAPE 1;
    Sign sign(maps) SIGN 2;
    SignalDelay signaldelay = "SignalDelay" 1;
    SignalEnergy signalenergy = "SignalEnergy" 1;
    SignalFftAutoScale signalfftautoscale = "SignalFftAutoScale" 1;
    SignalFilterBank signalfilterbank = "SignalFilterBank" 1;
    SignalFilterBankLog signalfilterbanklog = "SignalFilterBankLog" 1;
    SignalFilterBankSpectralSubtraction signalfilterbankspectralsubtraction = "SignalFilterBankSpectralSubtraction" 1;
    SignalFilterBankSquareRoot signalfilterbanksquareroot = "SignalFilterBankSquareRoot" 1;
    SignalFramer signalframer = "SignalFramer" 1;
    SignalIrfft signalirfft(signals) = "SignalIrfft" 1;
    SignalOverlapAdd signaloverlapadd = "SignalOverlapAdd" 1;
    SignalPcan signalpcan = "SignalPCAN" 1;
    SignalRfft signalrfft(signals) = "SignalRfft" 1;
    SignalStacker signalstacker = "SignalStacker" 1;
    SignalWindow signalwindow = "SignalWindow" 1;
    Sin sin(sines) SIN 1;
    Slice slice SLICE 7;
    Softmax softmax SOFTMAX 3;
    SpaceToBatchNd space_to_batch_nd(batches) SPACE_TO_BATCH_ND 4;
    SpaceToDepth space_to_depth(depths) SPACE_TO_DEPTH 2;
    SparseToDense sparse_to_dense SPARSE_TO_DENSE 3;
    Split split SPLIT 4;
    SplitV split_v SPLIT_V 2;
    Sqrt sqrt(maps) SQRT 2;
    Square square(maps) SQUARE 1;
    SquaredDifference squared_difference SQUARED_DIFFERENCE 2;
    Squeeze squeeze(ones) SQUEEZE 2;
    StablehloAdd stablehlo_add(pairs) STABLEHLO_ADD 1;
    StablehloAnd stablehlo_and(pairs) STABLEHLO_AND 1;
    StablehloCase stablehlo_case STABLEHLO_CASE 1;
    StablehloGather stablehlo_gather STABLEHLO_GATHER 1;
    StablehloMaximum stablehlo_maximum(pairs) STABLEHLO_MAXIMUM 1;
    StablehloMinimum stablehlo_minimum(pairs) STABLEHLO_MINIMUM 1;
    StablehloMultiply stablehlo_multiply(pairs) STABLEHLO_MULTIPLY 1;
    StablehloPad stablehlo_pad(paddings) STABLEHLO_PAD 1;
    StablehloReduceWindow stablehlo_reduce_window(reduce_windows) STABLEHLO_REDUCE_WINDOW 1;
    StablehloScatter stablehlo_scatter STABLEHLO_SCATTER 1;
    StablehloShiftLeft stablehlo_shift_left(pairs) STABLEHLO_SHIFT_LEFT 1;
    StridedSlice strided_slice STRIDED_SLICE 8;
    Sub sub(sums) SUB 5;
    Sum sum(reductions) SUM 2;
    Svdf svdf SVDF 4;
    Tanh tanh(curves) TANH 3;
    TfliteDetectionPostprocess tflite_detection_postprocess = "TFLite_Detection_PostProcess" 1;
    Tile tile TILE 3;
    TopkV2 topk_v2 TOPK_V2 3;
    Transpose transpose TRANSPOSE 7;
    TransposeConv transpose_conv(transposed) TRANSPOSE_CONV 5;
    UnidirectionalSequenceLstm unidirectional_sequence_lstm UNIDIRECTIONAL_SEQUENCE_LSTM 4;
    UnidirectionalSequenceRnn unidirectional_sequence_rnn UNIDIRECTIONAL_SEQUENCE_RNN 3;
    Unique unique UNIQUE 1;
    Unpack unpack UNPACK 4;
    UnsortedSegmentMax unsorted_segment_max(segments) UNSORTED_SEGMENT_MAX 1;
    UnsortedSegmentMin unsorted_segment_min(segments) UNSORTED_SEGMENT_MIN 1;
    UnsortedSegmentProd unsorted_segment_prod(segments) UNSORTED_SEGMENT_PROD 1;
    UnsortedSegmentSum unsorted_segment_sum(segments) UNSORTED_SEGMENT_SUM 1;
    Where r#where WHERE 1;
    While r#while WHILE 1;
    ZerosLike zeros_like ZEROS_LIKE 1;
}

impl<'a> Signature<'a> {
    /// Type of an input that the arity says is there; its absence in the model is a problem of the model.
    pub fn input(&self, index: usize) -> Result<&'a TensorType, Diagnostic> {
        match self.inputs.get(index) {
            Some(Some(o)) => Ok(o.ty),
            _ => Err(Diagnostic::new(Code::ARITY, format!("input {index} is absent but not optional"))),
        }
    }
    pub fn optional(&self, index: usize) -> Option<Operand<'a>> {
        self.inputs.get(index).copied().flatten()
    }
    pub fn output(&self, index: usize) -> &'a TensorType {
        self.outputs[index]
    }
    /// Bytes of an input that must be a constant.
    pub fn constant(&self, index: usize, what: &str) -> Result<(&'a TensorType, &'a [u8]), Diagnostic> {
        let ty = self.input(index)?;
        match self.inputs[index].and_then(|o| o.data) {
            Some(data) => Ok((ty, data)),
            None => Err(Diagnostic::new(Code::CONSTANT, format!("{what} must be stored in the model"))
                .detail(format!("input {index}"))
                .help("store its numbers as a constant, or compute them from constants and shapes alone")),
        }
    }

    /// The only element of a constant input of integers.
    pub fn constant_integer(&self, index: usize, what: &str) -> Result<i64, Diagnostic> {
        let (ty, numbers) = self.constant_integers(index, what)?;
        match numbers[..] {
            [n] => Ok(n),
            _ => Err(Diagnostic::new(Code::OPERAND, format!("{what} must be one number"))
                .detail(format!("input {index}"))
                .found(format!("shape {:?}", ty.shape))),
        }
    }

    /// Elements of a constant input of this shape that are dimensions, counts or multiples.
    pub fn constant_counts(&self, index: usize, what: &str, shape: &[usize]) -> Result<Vec<usize>, Diagnostic> {
        let (ty, numbers) = self.constant_integers(index, what)?;
        if ty.shape != shape {
            return Err(Diagnostic::new(Code::OPERAND, format!("{what} cannot be of this shape"))
                .detail(format!("input {index}"))
                .expected(format!("{shape:?}"))
                .found(format!("{:?}", ty.shape)));
        }
        let count = |n| checks::dimension(&format!("one of {what}"), n).map_err(|d| d.detail(format!("input {index}")));
        numbers.into_iter().map(count).collect()
    }

    /// Elements of a constant input of integers: axes, paddings, shapes.
    pub fn constant_integers(&self, index: usize, what: &str) -> Result<(&'a TensorType, Vec<i64>), Diagnostic> {
        let (ty, data) = self.constant(index, what)?;
        let integers = match ty.element {
            ElementType::I8 => data.iter().map(|&b| i64::from(b as i8)).collect(),
            ElementType::I16 => data.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]).into()).collect(),
            ElementType::I32 => data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().expect("four bytes")).into()).collect(),
            ElementType::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes"))).collect(),
            other => {
                return Err(Diagnostic::new(Code::TYPES, format!("the element type of {what} is not supported"))
                    .detail(format!("input {index}"))
                    .expected("i8, i16, i32 or i64")
                    .found(other.to_string()));
            }
        };
        Ok((ty, integers))
    }
}
