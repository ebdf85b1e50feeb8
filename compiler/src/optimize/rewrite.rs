//! A copy of a file in which some constants have other types.
//!
//! Not which, nor why. The idea: what reads a constant either takes its new type as it is, as kernels do that quantise their inputs at run time, or gets what a DEQUANTIZE makes of it; all else of the
//! file is copied (`cranelite_schema::tree`).

use super::archive;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use cranelite_graph::tensor::{ElementType, Quantization, TensorType};
use cranelite_schema::tree::{Node, Tree, Uncopied};
use cranelite_schema::{BuiltinOperator, TensorType as Element};
use std::collections::BTreeMap;

/// A constant with a new type.
pub struct Retyped {
    pub buffer: u32,
    pub ty: TensorType,
    pub bytes: Vec<u8>,
    /// All tensors that have the buffer: subgraph and tensor.
    pub tensors: Vec<(usize, usize)>,
    pub readers: Vec<Reads>,
}

/// What becomes of an operator that reads a constant.
pub struct Reads {
    pub subgraph: usize,
    pub operator: u32,
    pub input: usize,
    pub tensor: usize,
    pub form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The operator takes it as it is, from this version on.
    Taken(i32),
    /// What a DEQUANTIZE makes of it, which is added.
    Dequantize,
    /// As before, behind the DEQUANTIZE that there is.
    Dequantized,
}

/// The first version of DEQUANTIZE that takes integers of so many bits per channel.
fn dequantize_version(element: ElementType) -> i32 {
    if element == ElementType::I4 { 6 } else { 5 }
}

pub fn rewritten(file: &[u8], all: Vec<Retyped>) -> Result<Vec<u8>, Diagnostic> {
    let told = |e: Uncopied| match e {
        Uncopied::Damaged => Diagnostic::new(Code::BROKEN, "the file is damaged: an offset leads out of it"),
        Uncopied::Unknown(what) => {
            Diagnostic::new(Code::FEATURE, "the file has parts of a later version of the format, which a copy would lose")
                .found(what)
                .help("change the file with --prune and --palette alone, which keep all else as it is")
        }
        Uncopied::TooLarge => Diagnostic::new(Code::FEATURE, "the file would have more than 2 GiB"),
    };
    let mut tree = Tree::read(file).map_err(told)?;
    let mut model = std::mem::replace(&mut tree.model, Node { table: "Model", fields: BTreeMap::new() });
    let mut dequantized: BTreeMap<(usize, u32), Vec<Node>> = BTreeMap::new();
    for retyped in all {
        let element = match retyped.ty.element {
            ElementType::I4 => Element::INT4,
            ElementType::I32 => Element::INT32,
            _ => Element::INT8,
        };
        let quantization = retyped.ty.quantization.as_ref().map(|q| described(&tree, q));
        // In each subgraph the tensor and the one that a DEQUANTIZE makes of it, behind which operator.
        let mut made: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for &(s, t) in &retyped.tensors {
            let tensor = &mut tree.list(subgraph(&tree, &mut model, s), "tensors")[t];
            tree.set_number(tensor, "type", element.0 as u64);
            if let Some(q) = &quantization {
                tree.set_table(tensor, "quantization", q.clone());
            }
        }
        for reads in &retyped.readers {
            if let Form::Taken(version) = reads.form {
                raise(&tree, &mut model, reads, version);
                continue;
            }
            let code = code(&tree, &mut model, BuiltinOperator::DEQUANTIZE, dequantize_version(retyped.ty.element));
            if reads.form == Form::Dequantized {
                continue;
            }
            let subgraph = subgraph(&tree, &mut model, reads.subgraph);
            let result = *made.entry((reads.subgraph, reads.tensor)).or_insert_with(|| {
                let tensors = tree.list(subgraph, "tensors");
                let mut float = Node { table: "Tensor", fields: BTreeMap::new() };
                let name = [tree.bytes(&tensors[reads.tensor], "name").unwrap_or_default(), b"/dequantized"].concat();
                let shape: Vec<u8> = tree.bytes(&tensors[reads.tensor], "shape").unwrap_or_default().to_vec();
                tree.set_bytes(&mut float, "shape", shape);
                tree.set_bytes(&mut float, "name", name);
                tensors.push(float);
                let mut operator = Node { table: "Operator", fields: BTreeMap::new() };
                tree.set_number(&mut operator, "opcode_index", code);
                tree.set_bytes(&mut operator, "inputs", (reads.tensor as u32).to_le_bytes().to_vec());
                tree.set_bytes(&mut operator, "outputs", (tensors.len() as u32 - 1).to_le_bytes().to_vec());
                dequantized.entry((reads.subgraph, reads.operator)).or_default().push(operator);
                tensors.len() - 1
            });
            let operator = &mut tree.list(subgraph, "operators")[reads.operator as usize];
            let mut inputs = tree.bytes(operator, "inputs").unwrap_or_default().to_vec();
            inputs[4 * reads.input..][..4].copy_from_slice(&(result as u32).to_le_bytes());
            tree.set_bytes(operator, "inputs", inputs);
        }
        let buffer = &mut tree.list(&mut model, "buffers")[retyped.buffer as usize];
        tree.set_bytes(buffer, "data", retyped.bytes);
    }
    insert(&tree, &mut model, dequantized);
    tree.model = model;
    let written = tree.write().map_err(told)?;
    archive::moved(file, written)
}

fn subgraph<'n, 'a>(tree: &Tree<'a>, model: &'n mut Node<'a>, index: usize) -> &'n mut Node<'a> {
    &mut tree.list(model, "subgraphs")[index]
}

fn described<'a>(tree: &Tree<'a>, q: &Quantization) -> Node<'a> {
    let mut described = Node { table: "QuantizationParameters", fields: BTreeMap::new() };
    tree.set_bytes(&mut described, "scale", q.scales.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>());
    tree.set_bytes(&mut described, "zero_point", q.zero_points.iter().flat_map(|z| z.to_le_bytes()).collect::<Vec<u8>>());
    tree.set_number(&mut described, "quantized_dimension", q.axis as u64);
    described
}

/// Makes an operator be of a version at least, with all that have its code.
fn raise<'a>(tree: &Tree<'a>, model: &mut Node<'a>, reads: &Reads, version: i32) {
    let operator = &tree.list(subgraph(tree, model, reads.subgraph), "operators")[reads.operator as usize];
    let code = tree.number(operator, "opcode_index").unwrap_or(0) as usize;
    let code = &mut tree.list(model, "operator_codes")[code];
    let own = tree.number(code, "version").unwrap_or(1);
    tree.set_number(code, "version", own.max(version as u64));
}

/// The index of an operator's code, which is added where there is none.
fn code<'a>(tree: &Tree<'a>, model: &mut Node<'a>, operator: BuiltinOperator, version: i32) -> u64 {
    let codes = tree.list(model, "operator_codes");
    let number = operator.0 as u64;
    let is_it = |c: &Node| {
        let of = |name: &str| tree.number(c, name).unwrap_or(0);
        of("builtin_code").max(of("deprecated_builtin_code")) == number
    };
    let at = codes.iter().position(is_it).unwrap_or_else(|| {
        let mut code = Node { table: "OperatorCode", fields: BTreeMap::new() };
        tree.set_number(&mut code, "builtin_code", number);
        tree.set_number(&mut code, "deprecated_builtin_code", number);
        codes.push(code);
        codes.len() - 1
    });
    let own = tree.number(&codes[at], "version").unwrap_or(1);
    tree.set_number(&mut codes[at], "version", own.max(version as u64));
    at as u64
}

/// Puts operators before others, by subgraph and operator.
fn insert<'a>(tree: &Tree<'a>, model: &mut Node<'a>, mut before: BTreeMap<(usize, u32), Vec<Node<'a>>>) {
    for s in 0..tree.list(model, "subgraphs").len() {
        let operators = tree.list(subgraph(tree, model, s), "operators");
        let old = std::mem::take(operators);
        for (o, operator) in old.into_iter().enumerate() {
            operators.extend(before.remove(&(s, o as u32)).into_iter().flatten());
            operators.push(operator);
        }
    }
}
