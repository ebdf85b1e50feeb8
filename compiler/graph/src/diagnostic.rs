//! What is wrong with a model, where, and what to do about it.
//!
//! Not the wording on a terminal and not JSON: `compiler/src/diagnostic.rs` renders. The idea: every problem is a value with a stable
//! code and a place, so that all of them can be collected in one run.

use crate::graph::{Graph, Node};
use std::fmt;

/// A stable code. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(pub &'static str);

/// What a code means.
pub struct Explained {
    pub code: &'static str,
    pub title: &'static str,
    pub explanation: &'static str,
    /// What to do where a message knows nothing better; empty where that depends on the case alone.
    pub way_out: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $title:literal $explanation:literal $way_out:literal;)*) => {
        impl Code {
            $(#[doc = $title] pub const $name: Code = Code($code);)*
        }

        /// Every code, for `cranelite explain`.
        pub const CODES: &[Explained] = &[$(Explained { code: $code, title: $title, explanation: $explanation, way_out: $way_out }),*];
    };
}

codes! {
    FILE "E0101" "not a TensorFlow Lite model" "The file does not start as a .tflite file does: bytes 4 to 7 must be TFL3. The message says what the file seems to be."
        "convert the model with the TensorFlow Lite converter first";
    BROKEN "E0102" "the file is damaged" "An offset, a length or a table of the flatbuffer points outside the file or into itself."
        "fetch or export the model again";
    VERSION "E0103" "schema version is not supported" "Only version 3 of the schema is in use."
        "convert the model again with a converter of today";
    INDEX "E0104" "an index points nowhere" "A tensor, buffer or operator code is named that does not exist: the file was written by a faulty tool."
        "export the model again";
    SHAPE "E0105" "a shape is not possible" "A dimension is negative or open, or a tensor is larger than can be addressed. Models with dimensions that are open until run time need --input-shape."
        "export the model with fixed shapes, or give those of its inputs with --input-shape";
    QUANTIZATION "E0106" "quantisation parameters are not possible" "Scales must be positive and finite, zero points must fit the element type, and there must be one pair or one per channel."
        "quantise the model again with the TensorFlow Lite converter";
    DATA "E0107" "a constant has the wrong size" "The bytes of a constant tensor do not match its shape and element type, lie outside the file, or cannot be decoded: indices, codes or lists of a sparse or compressed constant contradict it."
        "fetch or export the model again";
    ORDER "E0108" "operators are not in order" "An operator reads a tensor that no earlier operator writes, or a tensor is written twice."
        "export the model again";
    METADATA "E0109" "the metadata of the model is wrong" "What --metadata reads from the model contradicts the model or itself, is damaged, or says something that is not supported. The message has the place in it; files that it names lie in a ZIP archive behind the model."
        "leave --metadata out, and say with --pipeline what is before and after the model; `cranelite inspect` shows the metadata";
    OPERATOR "E0201" "operator is not supported" "`cranelite ops` lists the operators that are."
        "replace the operator in the model, or split the model around it";
    TYPES "E0202" "element types are not supported by the operator" "`cranelite ops` lists the element types of each operator."
        "convert the model with another quantisation; `cranelite ops` lists the element types of each operator";
    OPERAND "E0203" "shapes do not fit the operator" "The shapes of the operands contradict each other or the attributes."
        "export the model again, or give other shapes with --input-shape";
    ATTRIBUTE "E0204" "an attribute is not supported" "An attribute of the operator has a value outside of what is supported or of what the format allows."
        "change the layer in the model that this operator comes from, and export it again";
    ARITY "E0205" "wrong number of inputs or outputs" "The operator has more or fewer operands than the format allows, or a required one is absent."
        "export the model again with the TensorFlow Lite converter";
    SCALE "E0206" "quantisation does not fit the operator" "The operator demands a certain relation of scales, zero points or axes, as TensorFlow Lite does."
        "quantise the model again with the TensorFlow Lite converter";
    CONSTANT "E0207" "an operand must be a constant" "The operand decides about shapes or is packed when the model is compiled, so it must be stored in the model, or be computed from constants and shapes alone. Of a first dimension that is computed from the model's inputs, the most that it can be is enough: it is then counted at run time."
        "freeze the model's variables and shapes before it is converted; --input-value makes an input a constant, --max-dim gives a bound";
    FEATURE "E0301" "a feature of the model is not supported" "What the model says is possible, but cannot be compiled here: custom operators without a function, subgraphs that run themselves, loops that never end, sparse tensors or variables of a kind that is not supported, windows that reach too far, or one tensor that is its output again and again."
        "build the model without it, or split the model around it";
    ARENA "E0401" "the arena is larger than allowed" "The message names the tensors that are live at the peak."
        "raise --max-arena, use --opt size, or make the model smaller";
    CONSTANTS "E0402" "the constants are larger than allowed" "The message names the largest tensors of the model, where it can."
        "raise --max-const, or quantise the model's weights";
    FLASH "E0403" "code and constants are larger than the flash" "The message says how much is too much. Of a file in C code is known with --cc only; without it the constants alone are compared."
        "raise --max-flash, use --opt size, or quantise the model's weights";
    INPUT "E0501" "an input array does not fit" "Arrays must be .npy files in C order with the element type and the shape of the model's input, in the order of the model's inputs."
        "`cranelite inspect MODEL` shows the model's inputs";
    FILE_ACCESS "E0502" "a file cannot be read or written" "The message has the reason that the operating system gives."
        "";
    TOOL "E0503" "a tool failed" "A command that was given with --linker, --runner or --cc could not be started or failed; the message has what it said."
        "";
    OUTPUT "E0504" "two files would be one" "Each file that a command writes needs a place of its own, which no file that it reads has: neither by another spelling of the path nor through a link. Give one of them another name or folder."
        "";
    CUSTOM "E0505" "the function of a custom operator cannot be called" "A library that was given with --custom-lib cannot be loaded or lacks a function that --custom names, the function did not return 0, or an option excludes functions of the user's."
        "";
    PYTHON "E0506" "Python lacks something" "Models of Keras, TensorFlow and PyTorch are converted by their own libraries, in the Python that CRANELITE_PYTHON names, or else python3, or python. It is not there, lacks a package, or failed."
        "let CRANELITE_PYTHON name a Python with the packages that the message names";
    CONVERSION "E0507" "the model cannot be converted" "The libraries of TensorFlow or PyTorch cannot read the model, or do not convert it to a .tflite model with the quantisation that was asked for. The message has what they say."
        "--verbose shows everything that the converter says";
    PIPELINE "E0508" "the pipeline does not fit" "The file that --pipeline names, or the model's metadata, says something that the model is not: another shape, colour, rate or number of labels; or something that cannot be. The message has the place."
        "`cranelite inspect MODEL` shows the model's inputs and outputs";
    OPTIMIZE "E0509" "there is nothing to optimise" "No operator of the model has weights that `cranelite optimize` was asked to change, or they are as wanted already; or --only or --skip names something that has no weights."
        "`cranelite optimize --help` says which weights are changed";
    TARGET "E0601" "the target is not supported" "`cranelite targets` lists the targets and their CPU levels."
        "";
    CPU "E0602" "the CPU lacks a feature" "The code uses instructions that the machine does not have, so it was not run."
        "--cpu native compiles for the machine at hand; several levels, --cpu x86-64,x86-64-v3, make an object that chooses by itself";
    INTERNAL "E0901" "cranelite contradicts itself" "A proof or a check inside the compiler failed, so nothing was written."
        "this is a bug of cranelite: please report it with the model";
}

/// Where in the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub subgraph: Option<u32>,
    /// Index and name, such as (17, "CONV_2D").
    pub operator: Option<(u32, String)>,
    /// What of it, such as `input 1 "w"` or `tensor 12 "conv1/bias"`.
    pub detail: Option<String>,
}

/// The two kinds of operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Input,
    Output,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub place: Place,
    pub message: String,
    pub expected: Option<String>,
    pub found: Option<String>,
    /// The way out, where it is not the code's.
    pub help: Option<String>,
    /// Positions of the model's inputs that decide whether there is a problem: it has none where these are constants.
    pub deciding: Vec<usize>,
    /// The tensor whose first dimension could have a bound instead; empty if it has no name.
    pub bounded: Option<String>,
}

impl Diagnostic {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            place: Place::default(),
            message: message.into(),
            expected: None,
            found: None,
            help: None,
            deciding: vec![],
            bounded: None,
        }
    }
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.place.detail = Some(detail.into());
        self
    }
    pub fn expected(mut self, what: impl Into<String>) -> Self {
        self.expected = Some(what.into());
        self
    }
    pub fn found(mut self, what: impl Into<String>) -> Self {
        self.found = Some(what.into());
        self
    }
    pub fn help(mut self, what: impl Into<String>) -> Self {
        self.help = Some(what.into());
        self
    }
    /// What to do: as the message knows it, or as the code does.
    pub fn way_out(&self) -> Option<&str> {
        let of_code = || CODES.iter().find(|c| c.code == self.code.0).map(|c| c.way_out).filter(|w| !w.is_empty());
        self.help.as_deref().or_else(of_code)
    }
    /// Adds the operator to the place, and to a detail that is only `input 1` or `output 0` the name of that tensor.
    pub fn in_operator(mut self, operator: u32, name: &str, tensor_name: impl Fn(Side, usize) -> Option<String>) -> Self {
        self.place.subgraph = Some(0);
        self.place.operator = Some((operator, name.into()));
        let operand = self.place.detail.as_deref().and_then(|d| d.split_once(' ')).and_then(|(side, index)| {
            let side = match side {
                "input" => Side::Input,
                "output" => Side::Output,
                _ => return None,
            };
            tensor_name(side, index.parse().ok()?)
        });
        if let (Some(detail), Some(name)) = (&mut self.place.detail, operand.filter(|n| !n.is_empty())) {
            *detail = format!("{detail} {}", quoted(&name));
        }
        self
    }
    /// The same for a node of a graph, unless the problem is in a node of a body.
    pub fn in_node(self, graph: &Graph, node: &Node) -> Self {
        if self.place.operator.is_some() {
            return self;
        }
        let (subgraph, index) = graph.site(node.operator);
        let mut d = self.in_operator(index, node.op.name(), |side, index| {
            let v = match side {
                Side::Input => node.input(index)?,
                Side::Output => *node.outputs.get(index)?,
            };
            Some(graph.value(v).name.clone())
        });
        d.place.subgraph = Some(subgraph);
        d
    }
}

/// A name out of a model as messages show it: in quotes, nothing in it that moves a cursor, and not endless.
pub fn quoted(name: &str) -> String {
    const MAX_CHARS: usize = 120;
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("\"{}…\"", name[..end].escape_debug()),
        None => format!("\"{}\"", name.escape_debug()),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut parts = vec![];
        if let Some(s) = self.subgraph {
            parts.push(format!("subgraph {s}"));
        }
        if let Some((i, name)) = &self.operator {
            parts.push(format!("operator {i} {name}"));
        }
        parts.extend(self.detail.clone());
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.code.0, self.message)?;
        if let Some(e) = &self.expected {
            write!(f, "; expected {e}")?;
        }
        if let Some(e) = &self.found {
            write!(f, "; found {e}")?;
        }
        if let Some(h) = self.way_out() {
            write!(f, "; {h}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_get_their_tensors_names() {
        let name = |side, i| (side == Side::Input && i == 1).then(|| "w\n".to_string());
        let place =
            |detail: &str| Diagnostic::new(Code::OPERAND, "wrong").detail(detail).in_operator(17, "CONV_2D", name).place.to_string();
        assert_eq!(place("input 1"), "subgraph 0, operator 17 CONV_2D, input 1 \"w\\n\"");
        assert_eq!(place("input 2"), "subgraph 0, operator 17 CONV_2D, input 2");
        assert_eq!(place("output 1"), "subgraph 0, operator 17 CONV_2D, output 1");
        assert_eq!(place("input 1 or 2"), "subgraph 0, operator 17 CONV_2D, input 1 or 2");
        assert_eq!(place("stride"), "subgraph 0, operator 17 CONV_2D, stride");
    }

    #[test]
    fn names_are_short_and_printable() {
        assert_eq!(quoted("a/b:0"), "\"a/b:0\"");
        assert_eq!(quoted("\u{1b}[2J\"\u{202e}é"), "\"\\u{1b}[2J\\\"\\u{202e}é\"");
        assert_eq!(quoted(&"é".repeat(500)), format!("\"{}…\"", "é".repeat(120)));
    }

    #[test]
    fn codes_are_unique_and_explained() {
        for (i, Explained { code, title, explanation, way_out }) in CODES.iter().enumerate() {
            assert!(CODES[..i].iter().all(|c| c.code < *code), "{code} is out of order");
            assert!(!title.is_empty() && explanation.ends_with('.') && !way_out.ends_with('.'), "{code}");
        }
    }
}
