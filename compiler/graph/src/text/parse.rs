//! Text to graph.
//!
//! Not a check of the graph: `verify` does that, so that wrong graphs can be written down in tests. The idea: a line is read from left
//! to right by a cursor that knows what it expected; values are resolved when all lines are read.

use super::fields::{self, Field};
use crate::graph::{Graph, Node, Origin, State, Then, Value, ValueId};
use crate::ops::Op;
use crate::tensor::{ElementType, Quantization, TensorType};
use bytes::Bytes;
use cranelite_tile::text::unquoted;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Error {}

/// Bodies in bodies, at most: whoever looks at them recurses for each.
const MOST_NESTED: usize = 24;

/// A node whose values still have the names of the text.
struct Unresolved {
    line: usize,
    first: Application,
    outputs: Vec<String>,
    then: Vec<(TensorType, Application)>,
}

/// An operator, its operands, and where it stands in the model.
type Application = (Op, Vec<Option<String>>, u32);

#[derive(Default)]
struct Reader {
    name: String,
    inputs: (usize, Vec<String>),
    outputs: (usize, Vec<String>),
    values: Vec<(String, Value)>,
    line_of: BTreeMap<String, usize>,
    nodes: Vec<Unresolved>,
    /// Line, value, what counts its first dimension.
    counts: Vec<(usize, String, String)>,
    /// Line, name in the text, what is in it at first.
    states: Vec<(usize, String, Option<Bytes>)>,
}

pub fn parse(text: &str) -> Result<Graph, Error> {
    let mut reader = Reader::default();
    // Graphs around the body that is being read.
    let mut outer: Vec<Reader> = vec![];
    let mut last = 0;
    for (i, line) in text.lines().enumerate() {
        let at = |message: String| Error { line: i + 1, message };
        last = i + 1;
        match line.split('#').next().unwrap_or_default().trim() {
            "body" if MOST_NESTED <= outer.len() => return Err(at("too many bodies within each other".into())),
            "body" => outer.push(std::mem::take(&mut reader)),
            "end" => {
                let around = outer.pop().ok_or_else(|| at("`end` without `body`".into()))?;
                let body = std::mem::replace(&mut reader, around).graph()?;
                let bodies = reader.nodes.last_mut().and_then(|n| n.first.0.bodies_mut());
                bodies.ok_or_else(|| at("only an operator with control flow has a body".into()))?.push(body);
            }
            _ => reader.line(i + 1, &mut Cursor { rest: line }).map_err(at)?,
        }
    }
    match outer.is_empty() {
        true => reader.graph(),
        false => Err(Error { line: last, message: "a body has no `end`".into() }),
    }
}

impl Reader {
    fn line(&mut self, number: usize, c: &mut Cursor) -> Result<(), String> {
        if c.at_end() {
            return Ok(());
        }
        if c.take("%") {
            self.value_line(number, c)?;
        } else {
            match c.word() {
                "graph" => self.name = c.quoted()?,
                "inputs" => self.inputs = (number, c.value_names()?),
                "outputs" => self.outputs = (number, c.value_names()?),
                // An operator without results.
                word if !word.is_empty() => {
                    let first = c.application_of(word, "none")?;
                    self.application(number, vec![], first, c)?;
                }
                _ => return Err(format!("expected `graph`, `inputs`, `outputs`, an operator or a value, found `{}`", c.rest)),
            }
        }
        if c.at_end() { Ok(()) } else { Err(format!("expected the end of the line, found `{}`", c.rest)) }
    }

    /// After the first `%`.
    fn value_line(&mut self, number: usize, c: &mut Cursor) -> Result<(), String> {
        let mut outputs = vec![c.value_name()?];
        if c.take("=") {
            if c.take("state") {
                return self.state_line(number, &outputs[0], c);
            }
            c.expect("const")?;
            let ty = c.tensor_type()?;
            let name = c.optional_name(&outputs[0])?;
            let data = c.data(&ty)?;
            return self.define(number, &outputs[0], Value { name, ty, data: Some(data) });
        }
        loop {
            let text_name = outputs[outputs.len() - 1].clone();
            c.expect(":")?;
            let ty = c.tensor_type()?;
            let name = c.optional_name(&text_name)?;
            self.define(number, &text_name, Value { name, ty, data: None })?;
            if c.take("count") {
                c.expect("%")?;
                self.counts.push((number, text_name, c.value_name()?));
            }
            if !c.take(",") {
                break;
            }
            c.expect("%")?;
            outputs.push(c.value_name()?);
        }
        if !c.take("=") {
            return if outputs.len() == 1 { Ok(()) } else { Err("expected `=` after several results".into()) };
        }
        let first = c.application("none")?;
        self.application(number, outputs, first, c)
    }

    /// After `state`.
    fn state_line(&mut self, number: usize, text_name: &str, c: &mut Cursor) -> Result<(), String> {
        let ty = c.tensor_type()?;
        let name = c.optional_name(text_name)?;
        let initial = if c.take("zeros") { None } else { Some(c.data(&ty)?) };
        self.states.push((number, text_name.into(), initial));
        self.define(number, text_name, Value { name, ty, data: None })
    }

    fn application(&mut self, number: usize, outputs: Vec<String>, first: Application, c: &mut Cursor) -> Result<(), String> {
        let mut then = vec![];
        while c.take("then") {
            then.push((c.tensor_type()?, c.application("it")?));
        }
        self.nodes.push(Unresolved { line: number, first, outputs, then });
        Ok(())
    }

    fn define(&mut self, number: usize, text_name: &str, value: Value) -> Result<(), String> {
        if self.line_of.insert(text_name.to_string(), number).is_some() {
            return Err(format!("value %{text_name} is defined twice"));
        }
        self.values.push((text_name.to_string(), value));
        Ok(())
    }

    fn graph(mut self) -> Result<Graph, Error> {
        // With numbers for names the numbers are the indices.
        let numbers: Option<Vec<usize>> = self.values.iter().map(|(n, _)| n.parse().ok()).collect();
        if let Some(numbers) = numbers {
            let mut order: Vec<usize> = (0..numbers.len()).collect();
            order.sort_by_key(|&i| numbers[i]);
            if let Some((want, &i)) = order.iter().enumerate().find(|(want, i)| numbers[**i] != *want) {
                let line = self.line_of.get(&self.values[i].0).copied().unwrap_or(0);
                return Err(Error { line, message: format!("value %{want} has no line, but %{} has", numbers[i]) });
            }
            self.values.sort_by_key(|(n, _)| n.parse::<usize>().unwrap_or(0));
        }
        let ids: BTreeMap<&str, ValueId> = self.values.iter().enumerate().map(|(i, (n, _))| (n.as_str(), ValueId(i as u32))).collect();
        let find = |line: usize, name: &String| {
            ids.get(name.as_str()).copied().ok_or_else(|| Error { line, message: format!("value %{name} has no line") })
        };
        let find_all = |line: usize, names: &[String]| names.iter().map(|name| find(line, name)).collect::<Result<Vec<ValueId>, Error>>();
        let mut nodes = vec![];
        for n in self.nodes {
            let operands = |names: Vec<Option<String>>| {
                names.iter().map(|i| i.as_ref().map(|name| find(n.line, name)).transpose()).collect::<Result<Vec<_>, Error>>()
            };
            let (op, inputs, operator) = n.first;
            let mut node = Node { op, inputs: operands(inputs)?, outputs: find_all(n.line, &n.outputs)?, operator, then: vec![] };
            for (from, (op, inputs, operator)) in n.then {
                node.then.push(Then { op, from, inputs: operands(inputs)?, operator });
            }
            nodes.push(node);
        }
        let inputs = find_all(self.inputs.0, &self.inputs.1)?;
        let outputs = find_all(self.outputs.0, &self.outputs.1)?;
        let state = |(i, (line, name, initial)): (usize, &(usize, String, Option<Bytes>))| {
            Ok(State { value: find(*line, name)?, initial: initial.clone(), origin: Origin::Variable(i as u32) })
        };
        let mut states = self.states.iter().enumerate().map(state).collect::<Result<Vec<State>, Error>>()?;
        states.sort_by_key(|s| s.value);
        let count = |(line, v, count): &(usize, String, String)| Ok((find(*line, v)?, find(*line, count)?));
        let counts = self.counts.iter().map(count).collect::<Result<_, Error>>()?;
        let values = self.values.into_iter().map(|(_, v)| v).collect();
        Ok(Graph { name: self.name, values, nodes, inputs, outputs, states, counts, ..Graph::default() })
    }
}

/// The rest of a line. Every method skips blanks first.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn at_end(&mut self) -> bool {
        self.skip_blanks();
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("expected `{token}`, found `{}`", self.rest)) }
    }

    fn while_chars(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        self.skip_blanks();
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Letters, digits and underscores; may be empty.
    fn word(&mut self) -> &'a str {
        self.while_chars(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// What may belong to a number or a word.
    fn scalar(&mut self) -> &'a str {
        self.while_chars(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let before = self.rest;
        let word = self.scalar();
        word.parse().map_err(|_| format!("expected a number, found `{}`", if word.is_empty() { before } else { word }))
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.expect("[")?;
        let mut items = vec![];
        if self.take("]") {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.take("]") {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    /// After the `%`.
    fn value_name(&mut self) -> Result<String, String> {
        let name = self.while_chars(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/'));
        if name.is_empty() { Err(format!("expected a value, found `%{}`", self.rest)) } else { Ok(name.to_string()) }
    }

    fn value_names(&mut self) -> Result<Vec<String>, String> {
        let mut names = vec![];
        while !self.at_end() {
            if !names.is_empty() {
                self.expect(",")?;
            }
            self.expect("%")?;
            names.push(self.value_name()?);
        }
        Ok(names)
    }

    fn application(&mut self, absent: &str) -> Result<Application, String> {
        let name = self.word();
        self.application_of(name, absent)
    }

    /// After the operator's name.
    fn application_of(&mut self, name: &str, absent: &str) -> Result<Application, String> {
        let inputs = self.operands(absent)?;
        let op = fields::operator(name, self.attributes()?)?;
        Ok((op, inputs, if self.take("@") { self.number()? } else { 0 }))
    }

    /// `absent`: the word for an operand that is not a value.
    fn operands(&mut self, absent: &str) -> Result<Vec<Option<String>>, String> {
        let mut operands = vec![];
        loop {
            if self.take("%") {
                operands.push(Some(self.value_name()?));
            } else if self.take(absent) {
                operands.push(None);
            } else if operands.is_empty() {
                return Ok(operands);
            } else {
                return Err(format!("expected a value or `{absent}`, found `{}`", self.rest));
            }
            if !self.take(",") {
                return Ok(operands);
            }
        }
    }

    fn attributes(&mut self) -> Result<Vec<(String, Field)>, String> {
        let mut attributes: Vec<(String, Field)> = vec![];
        if !self.take("{") || self.take("}") {
            return Ok(attributes);
        }
        loop {
            let name = self.word().to_string();
            if name.is_empty() || attributes.iter().any(|a| a.0 == name) {
                return Err(format!("expected a new attribute, found `{name}{}`", self.rest));
            }
            self.expect("=")?;
            attributes.push((name, self.field()?));
            if self.take("}") {
                return Ok(attributes);
            }
            self.expect(",")?;
        }
    }

    fn field(&mut self) -> Result<Field, String> {
        self.skip_blanks();
        if self.rest.starts_with('[') {
            let words = self.list(|c| Ok(c.scalar().to_string()))?;
            let integers: Option<Vec<i64>> = words.iter().map(|w| w.parse().ok()).collect();
            let floats: Option<Vec<f32>> = words.iter().map(|w| w.parse().ok()).collect();
            let field = integers.map(Field::Integers).or(floats.map(Field::Floats));
            return field.ok_or_else(|| format!("`{}` are no numbers", words.join(",")));
        }
        let word = self.scalar();
        Ok(match word {
            "" => return Err(format!("expected a value, found `{}`", self.rest)),
            "true" => Field::Bool(true),
            "false" => Field::Bool(false),
            _ => match (word.parse::<i64>(), word.parse::<f32>()) {
                (Ok(v), _) => Field::Integer(v),
                (_, Ok(v)) => Field::Float(v),
                _ => Field::Word(word.to_string()),
            },
        })
    }

    fn tensor_type(&mut self) -> Result<TensorType, String> {
        let word = self.word();
        let element = ElementType::from_name(word).ok_or_else(|| format!("`{word}` is not an element type"))?;
        let shape: Vec<usize> = self.list(|c| c.number())?;
        // Later arithmetic on sizes must not overflow; import makes the same promise.
        let bits = shape.iter().try_fold(element.bits().unwrap_or(8) as usize, |n, &d| n.checked_mul(d));
        if bits.is_none() {
            return Err("the shape has too many elements".into());
        }
        let quantization = if self.take("qc(") {
            self.expect("axis=")?;
            let axis = self.number()?;
            self.expect(",")?;
            self.expect("scales=")?;
            let scales = self.list(|c| c.number())?;
            self.expect(",")?;
            self.expect("zero_points=")?;
            let zero_points = self.list(|c| c.number())?;
            self.expect(")")?;
            Some(Quantization { scales, zero_points, axis })
        } else if self.take("q(") {
            let scale = self.number()?;
            self.expect(",")?;
            let zero_point = self.number()?;
            self.expect(")")?;
            Some(Quantization::per_tensor(scale, zero_point))
        } else {
            None
        };
        if quantization.as_ref().is_some_and(|q| q.scales.is_empty() || q.zero_points.is_empty()) {
            return Err("a quantisation needs a scale and a zero point".into());
        }
        Ok(TensorType { element, shape, quantization: quantization.map(Arc::new) })
    }

    /// A quoted name if there is one; else the name in the text, unless it is a number.
    fn optional_name(&mut self, text_name: &str) -> Result<String, String> {
        self.skip_blanks();
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        Ok(if text_name.parse::<usize>().is_ok() { String::new() } else { text_name.to_string() })
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let (text, rest) = unquoted(self.rest)?;
        self.rest = rest;
        Ok(text)
    }

    /// The bytes of a constant, as numbers or as hexadecimal digits.
    fn data(&mut self, ty: &TensorType) -> Result<Bytes, String> {
        fn bytes<const N: usize>(items: Vec<[u8; N]>) -> Vec<u8> {
            items.into_iter().flatten().collect()
        }
        self.skip_blanks();
        let data = if self.take("0x") {
            let digits = self.while_chars(|c| c.is_ascii_hexdigit()).as_bytes();
            let digit = |d: u8| (d as char).to_digit(16).unwrap_or(0) as u8;
            if !digits.len().is_multiple_of(2) {
                return Err("an odd number of hexadecimal digits".into());
            }
            digits.chunks(2).map(|d| digit(d[0]) << 4 | digit(d[1])).collect()
        } else if self.rest.starts_with('(') {
            return Err("the contents of this constant were left out when the text was written".into());
        } else {
            match ty.element {
                ElementType::I8 => bytes(self.list(|c| c.number().map(i8::to_le_bytes))?),
                ElementType::U8 => bytes(self.list(|c| c.number().map(u8::to_le_bytes))?),
                ElementType::I16 => bytes(self.list(|c| c.number().map(i16::to_le_bytes))?),
                ElementType::I32 => bytes(self.list(|c| c.number().map(i32::to_le_bytes))?),
                ElementType::I64 => bytes(self.list(|c| c.number().map(i64::to_le_bytes))?),
                ElementType::F32 => bytes(self.list(|c| c.number().map(f32::to_le_bytes))?),
                other => return Err(format!("constants of {other} are written as hexadecimal digits after 0x")),
            }
        };
        let want = ty.size_bytes();
        if data.len() != want {
            return Err(format!("the type has {want} bytes, the constant has {}", data.len()));
        }
        Ok(data.into())
    }
}
