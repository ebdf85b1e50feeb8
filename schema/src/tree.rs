//! A .tflite file as tables in memory that can be changed, and written again.
//!
//! Not typed: fields have the schema's names, and what they mean is for who changes them. The idea: everything that the schema knows is copied, so nothing gets lost but what it does
//! not know, and that is an error. Bytes of constants stay where they are until the file is written. What lies behind the flatbuffer in large files moves into it; a
//! ZIP archive behind it, which has the files that metadata names, is `archive.rs`'s.

use crate::grammar::{Field, Grammar, Kind};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What is in a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Little endian, as many bytes as it has.
    Scalar([u8; 8], usize),
    /// A vector of scalars, or a text, which has a byte more than its length.
    Bytes {
        data: Cow<'a, [u8]>,
        size: usize,
        alignment: usize,
        is_text: bool,
    },
    Table(Node<'a>),
    Tables(Vec<Node<'a>>),
    Texts(Vec<Cow<'a, [u8]>>),
}

/// A table: its fields by their positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    pub table: &'static str,
    pub fields: BTreeMap<usize, Value<'a>>,
}

/// Why a file cannot be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncopied {
    /// An offset leads out of the file.
    Damaged,
    /// The schema here does not know this.
    Unknown(String),
    /// More than offsets reach.
    TooLarge,
}

pub struct Tree<'a> {
    pub grammar: Grammar,
    pub model: Node<'a>,
}

impl<'a> Tree<'a> {
    /// Of a file whose offsets are verified. What is shared in the file is copied as often as it is used.
    pub fn read(file: &'a [u8]) -> Result<Tree<'a>, Uncopied> {
        let grammar = Grammar::of_models();
        let reader = Reader { file, grammar: &grammar };
        let model = reader.table("Model", reader.offset(0)?)?;
        let mut tree = Tree { grammar, model };
        tree.move_in(file)?;
        Ok(tree)
    }

    /// Bytes that lie behind the flatbuffer.
    fn move_in(&mut self, file: &'a [u8]) -> Result<(), Uncopied> {
        let mut model = std::mem::replace(&mut self.model, Node { table: "Model", fields: BTreeMap::new() });
        let moved = |node: &mut Node<'a>, [offset, size, data]: [&str; 3]| {
            let (Some(at), Some(length)) = (self.number(node, offset).filter(|at| 1 < *at), self.number(node, size)) else { return Ok(()) };
            let bytes = usize::try_from(at).ok().zip(usize::try_from(length).ok()).and_then(|(at, n)| file.get(at..at.checked_add(n)?));
            let bytes = bytes.ok_or(Uncopied::Damaged)?;
            for name in [offset, size] {
                node.fields.remove(&self.position(node.table, name));
            }
            // As readers do, which take what is in the flatbuffer first.
            if self.bytes(node, data).is_none_or(|d| d.is_empty()) {
                self.set_bytes(node, data, Cow::Borrowed(bytes));
            }
            Ok(())
        };
        let (buffers, subgraphs) = (self.position("Model", "buffers"), self.position("Model", "subgraphs"));
        for buffer in tables(&mut model, buffers) {
            moved(buffer, ["offset", "size", "data"])?;
        }
        let operators = self.position("SubGraph", "operators");
        for subgraph in tables(&mut model, subgraphs) {
            for operator in tables(subgraph, operators) {
                moved(operator, ["large_custom_options_offset", "large_custom_options_size", "custom_options"])?;
            }
        }
        self.model = model;
        Ok(())
    }

    /// Of a field of the schema.
    pub fn position(&self, table: &str, name: &str) -> usize {
        let fields = self.grammar.tables.get(table).map_or(&[][..], |f| &f[..]);
        fields.iter().position(|f| f.name == name && !f.is_type).expect("a field of the schema")
    }

    fn field(&self, table: &str, name: &str) -> (usize, Field) {
        let position = self.position(table, name);
        (position, self.grammar.tables[table][position])
    }

    /// An unsigned integer, where it is not left out.
    pub fn number(&self, node: &Node, name: &str) -> Option<u64> {
        match node.fields.get(&self.position(node.table, name))? {
            Value::Scalar(bytes, _) => Some(u64::from_le_bytes(*bytes)),
            _ => None,
        }
    }

    pub fn bytes<'n>(&self, node: &'n Node, name: &str) -> Option<&'n [u8]> {
        match node.fields.get(&self.position(node.table, name))? {
            Value::Bytes { data, .. } => Some(data),
            _ => None,
        }
    }

    pub fn set_number(&self, node: &mut Node<'a>, name: &str, number: u64) {
        let (position, field) = self.field(node.table, name);
        let Kind::Scalar(size) = field.kind else { return };
        node.fields.insert(position, Value::Scalar(number.to_le_bytes(), size));
    }

    /// A vector of scalars, as its bytes, or a text.
    pub fn set_bytes(&self, node: &mut Node<'a>, name: &str, data: impl Into<Cow<'a, [u8]>>) {
        let (position, field) = self.field(node.table, name);
        let (size, is_text) = if let Kind::Scalar(size) = field.kind { (size, false) } else { (1, true) };
        node.fields.insert(position, Value::Bytes { data: data.into(), size, alignment: field.alignment.max(size), is_text });
    }

    pub fn set_table(&self, node: &mut Node<'a>, name: &str, table: Node<'a>) {
        node.fields.insert(self.position(node.table, name), Value::Table(table));
    }

    /// The elements of a vector of tables, which is added where there is none.
    pub fn list<'n>(&self, node: &'n mut Node<'a>, name: &str) -> &'n mut Vec<Node<'a>> {
        let position = self.position(node.table, name);
        let value = node.fields.entry(position).or_insert_with(|| Value::Tables(vec![]));
        if !matches!(value, Value::Tables(_)) {
            *value = Value::Tables(vec![]);
        }
        match value {
            Value::Tables(all) => all,
            _ => unreachable!("it was made one"),
        }
    }
}

fn tables<'n, 'a>(node: &'n mut Node<'a>, position: usize) -> impl Iterator<Item = &'n mut Node<'a>> {
    let all = match node.fields.get_mut(&position) {
        Some(Value::Tables(all)) => Some(all),
        _ => None,
    };
    all.into_iter().flatten()
}

struct Reader<'a, 'g> {
    file: &'a [u8],
    grammar: &'g Grammar,
}

impl<'a> Reader<'a, '_> {
    fn part(&self, at: usize, size: usize) -> Result<&'a [u8], Uncopied> {
        at.checked_add(size).and_then(|end| self.file.get(at..end)).ok_or(Uncopied::Damaged)
    }

    fn number(&self, at: usize, size: usize) -> Result<u64, Uncopied> {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(self.part(at, size)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Where an offset leads.
    fn offset(&self, at: usize) -> Result<usize, Uncopied> {
        Ok(at + self.number(at, 4)? as usize)
    }

    /// As deep as the schema's tables nest.
    fn table(&self, table: &'static str, at: usize) -> Result<Node<'a>, Uncopied> {
        let to_layout = self.number(at, 4)? as i32;
        let layout = usize::try_from(at as i64 - i64::from(to_layout)).map_err(|_| Uncopied::Damaged)?;
        let known = &self.grammar.tables[table];
        let count = (self.number(layout, 2)? as usize).saturating_sub(4) / 2;
        let mut fields = BTreeMap::new();
        for position in 0..count {
            let inner = self.number(layout + 4 + 2 * position, 2)? as usize;
            if inner == 0 {
                continue;
            }
            let field = known.get(position).ok_or_else(|| Uncopied::Unknown(format!("field {position} of table {table}")))?;
            let value = match field.kind {
                Kind::Union(union) => {
                    let Some(Value::Scalar([number, ..], _)) = fields.get(&(position - 1)) else { continue };
                    match (usize::from(*number), self.grammar.unions[union].get(usize::from(*number).wrapping_sub(1))) {
                        (0, _) => continue,
                        (_, Some(member)) => Value::Table(self.table(member, self.offset(at + inner)?)?),
                        (number, None) => return Err(Uncopied::Unknown(format!("type {number} of {union}"))),
                    }
                }
                _ => self.value(field, at + inner)?,
            };
            fields.insert(position, value);
        }
        Ok(Node { table, fields })
    }

    fn value(&self, field: &Field, at: usize) -> Result<Value<'a>, Uncopied> {
        if let (Kind::Scalar(size), false) = (field.kind, field.is_vector) {
            return Ok(Value::Scalar(self.number(at, size)?.to_le_bytes(), size));
        }
        let at = self.offset(at)?;
        if let (Kind::Table(table), false) = (field.kind, field.is_vector) {
            return self.table(table, at).map(Value::Table);
        }
        let count = self.number(at, 4)? as usize;
        let places = || (0..count).map(|i| self.offset(at + 4 + 4 * i));
        let bytes = |at: usize, count: usize, size: usize| self.part(at + 4, count.checked_mul(size).ok_or(Uncopied::Damaged)?);
        Ok(match (field.kind, field.is_vector) {
            (Kind::Scalar(size), _) => {
                Value::Bytes { data: bytes(at, count, size)?.into(), size, alignment: field.alignment.max(size), is_text: false }
            }
            (Kind::Text, false) => Value::Bytes { data: bytes(at, count, 1)?.into(), size: 1, alignment: 4, is_text: true },
            (Kind::Text, true) => {
                let text = |at: Result<usize, Uncopied>| at.and_then(|at| Ok(bytes(at, self.number(at, 4)? as usize, 1)?.into()));
                Value::Texts(places().map(text).collect::<Result<_, _>>()?)
            }
            (Kind::Table(table), _) => Value::Tables(places().map(|at| self.table(table, at?)).collect::<Result<_, _>>()?),
            (Kind::Union(_), _) => return Err(Uncopied::Unknown("a vector of unions".into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;
    use flatbuffers::FlatBufferBuilder;

    /// Everything that an operator may have, and bytes behind the flatbuffer.
    fn model() -> Vec<u8> {
        let mut b = FlatBufferBuilder::new();
        let name = Some(b.create_string("w\u{e9}"));
        let shape = Some(b.create_vector(&[2, 3]));
        let (scale, zero_point) = (Some(b.create_vector(&[0.5_f32, 0.25])), Some(b.create_vector(&[0_i64, -1])));
        let quantization =
            Some(QuantizationParameters::create(&mut b, &QuantizationParametersArgs { scale, zero_point, ..Default::default() }));
        let args = TensorArgs { shape, type_: TensorType::INT8, buffer: 1, name, quantization, has_rank: true, ..Default::default() };
        let tensor = Tensor::create(&mut b, &args);
        let new_shape = Some(b.create_vector(&[3, 2]));
        let options = ReshapeOptions::create(&mut b, &ReshapeOptionsArgs { new_shape }).as_union_value();
        let custom_options = Some(b.create_vector(&[1_u8, 2, 3]));
        let inputs = Some(b.create_vector(&[0, -1]));
        let operator = Operator::create(
            &mut b,
            &OperatorArgs {
                inputs,
                builtin_options_type: BuiltinOptions::ReshapeOptions,
                builtin_options: Some(options),
                custom_options,
                ..Default::default()
            },
        );
        let (tensors, operators) = (Some(b.create_vector(&[tensor])), Some(b.create_vector(&[operator])));
        let subgraph = SubGraph::create(&mut b, &SubGraphArgs { tensors, operators, ..Default::default() });
        let subgraphs = Some(b.create_vector(&[subgraph]));
        let none = Buffer::create(&mut b, &BufferArgs::default());
        let behind = Buffer::create(&mut b, &BufferArgs { offset: 4096, size: 6, ..Default::default() });
        let data = Some(b.create_vector(&[9_u8; 5]));
        let inside = Buffer::create(&mut b, &BufferArgs { data, ..Default::default() });
        let buffers = Some(b.create_vector(&[none, behind, inside]));
        let model = Model::create(&mut b, &ModelArgs { version: 3, subgraphs, buffers, ..Default::default() });
        finish_model_buffer(&mut b, model);
        let mut file = b.finished_data().to_vec();
        file.resize(4096, 0);
        file.extend([1, 2, 3, 4, 5, 6]);
        file
    }

    fn opened(bytes: &[u8]) -> Model<'_> {
        assert!(model_buffer_has_identifier(bytes));
        root_as_model_with_opts(&VerifierOptions::default(), bytes).expect("a model")
    }

    #[test]
    fn a_copy_says_the_same() {
        let file = model();
        let copy = Tree::read(&file).and_then(|t| t.write()).expect("a copy");
        let behind = "offset: 4096, size: 6";
        let moved =
            format!("{:?}", opened(&file)).replace(&format!("data: None, {behind}"), "data: Some([1, 2, 3, 4, 5, 6]), offset: 0, size: 0");
        assert!(format!("{:?}", opened(&file)).contains(behind) && copy.len() < 1000);
        assert_eq!(format!("{:?}", opened(&copy)), moved);
        // Bytes of constants lie where vectors of machines may read them.
        for buffer in opened(&copy).buffers().into_iter().flatten() {
            let data = buffer.data().map_or(&copy[..0], |d| d.bytes());
            assert!((data.as_ptr() as usize - copy.as_ptr() as usize).is_multiple_of(16), "{data:?}");
        }
        let again = Tree::read(&copy).and_then(|t| t.write());
        assert_eq!(again, Ok(copy));
    }

    #[test]
    fn fields_change() {
        let file = model();
        let mut tree = Tree::read(&file).expect("a model");
        let mut root = tree.model.clone();
        let buffers = tree.list(&mut root, "buffers");
        buffers.push(buffers[0].clone());
        let count = buffers.len();
        tree.set_bytes(&mut buffers[count - 1], "data", vec![7; 20]);
        tree.set_number(&mut root, "version", 4);
        tree.set_bytes(&mut root, "description", &b"text"[..]);
        assert_eq!((tree.number(&root, "version"), tree.bytes(&root, "description")), (Some(4), Some(&b"text"[..])));
        tree.model = root;
        let copy = tree.write().expect("a copy");
        let model = opened(&copy);
        assert_eq!((model.version(), model.description().map(text)), (4, Some("text".into())));
        assert_eq!(model.buffers().expect("buffers").get(3).data().expect("data").bytes(), [7; 20]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let file = model();
        for (from, to) in [(0, 1), (0, 30), (8, 3)] {
            // A byte of the file is changed, wherever it is: nothing panics, and what is read can be written.
            for at in 8..200 {
                let mut file = file.clone();
                if file[at] == from {
                    file[at] = to;
                }
                if let Ok(tree) = Tree::read(&file) {
                    let _ = tree.write();
                }
            }
        }
        let mut unknown = file.clone();
        let operator = opened(&file).subgraphs().expect("subgraphs").get(0).operators().expect("operators").get(0)._tab.loc();
        let layout = operator - i32::from_le_bytes(file[operator..operator + 4].try_into().expect("4 bytes")) as usize;
        let key = operator + usize::from(file[layout + usize::from(Operator::VT_BUILTIN_OPTIONS_TYPE)]);
        unknown[key] = 255;
        assert_eq!(Tree::read(&unknown).err(), Some(Uncopied::Unknown("type 255 of BuiltinOptions".into())));
    }
}
