//! The file as a whole: identifier, flatbuffer, version, and the tables that everything else indexes.
//!
//! The idea: limits on verification follow from the file's size, so a small hostile file ends quickly and a large honest one passes.

use super::buffers::Buffers;
use super::guess::guess;
use super::{palettes, sparse};
use crate::diagnostic::{Code, Diagnostic};
use crate::ops::Key;
use bytes::Bytes;
use cranelite_schema as schema;
use cranelite_schema::{InvalidFlatbuffer, VerifierOptions};

pub struct File<'a> {
    pub model: schema::Model<'a>,
    pub subgraph: schema::SubGraph<'a>,
    /// One for each operator code.
    pub codes: Vec<OperatorCode>,
    pub buffers: Buffers<'a>,
    pub bytes: &'a Bytes,
    /// Tensors whose buffers have indices of palettes.
    pub palettes: palettes::ListedPalettes<'a>,
    pub dense: sparse::Budget,
}

pub struct OperatorCode {
    pub code: schema::BuiltinOperator,
    pub version: i32,
    pub custom: Option<String>,
    /// The function of the user's that it is.
    pub symbol: Option<String>,
}

impl OperatorCode {
    pub fn key(&self) -> Key<'_> {
        match (self.code, &self.symbol) {
            // One that the user has a function for; its name is of no meaning then.
            (code @ schema::BuiltinOperator::CUSTOM, Some(_)) => Key::Builtin(code),
            (schema::BuiltinOperator::CUSTOM, None) => Key::Custom(self.custom.as_deref().unwrap_or_default()),
            (code, _) => Key::Builtin(code),
        }
    }
}

impl<'a> File<'a> {
    pub fn open(bytes: &'a Bytes) -> Result<Self, Diagnostic> {
        let model = model(bytes)?;
        let Some(subgraph) = model.subgraphs().filter(|s| !s.is_empty()).map(|s| s.get(0)) else {
            return Err(Diagnostic::new(Code::BROKEN, "the model has no subgraph"));
        };
        let codes = model.operator_codes().into_iter().flatten().map(operator_code).collect();
        let dense = sparse::Budget::of_file(bytes.len());
        let buffers = Buffers::new(bytes, model.buffers());
        let palettes = palettes::read(model, &buffers)?;
        Ok(File { model, subgraph, codes, buffers, bytes, palettes, dense })
    }

    /// Makes custom operators functions of the user's: (name, function). Those of which the model has none are given back.
    pub fn set_functions<'o>(&mut self, functions: &'o [(String, String)]) -> Vec<&'o str> {
        let mut unknown = vec![];
        for (name, symbol) in functions {
            let is_meant = |c: &&mut OperatorCode| c.code == schema::BuiltinOperator::CUSTOM && c.custom.as_ref() == Some(name);
            let mut found = self.codes.iter_mut().filter(is_meant).peekable();
            if found.peek().is_none() {
                unknown.push(name.as_str());
            }
            found.for_each(|c| c.symbol = Some(symbol.clone()));
        }
        unknown
    }

    pub fn signatures(&self) -> impl Iterator<Item = schema::SignatureDef<'a>> + use<'a> {
        self.model.signature_defs().into_iter().flatten()
    }
}

/// A model whose offsets are verified, and nothing else.
pub fn model(bytes: &[u8]) -> Result<schema::Model<'_>, Diagnostic> {
    let identifier = bytes.get(4..8);
    if identifier != Some(b"TFL3") {
        let d = Diagnostic::new(Code::FILE, "this is not a TensorFlow Lite model").expected("\"TFL3\" in bytes 4 to 7");
        return Err(match guess(bytes) {
            Some(guess) => d.found(guess.what).help(guess.help),
            None => d.found(format!("\"{}\"", identifier.unwrap_or_default().escape_ascii())),
        });
    }
    let model = schema::root_as_model_with_opts(&verifier(bytes.len()), bytes).map_err(broken)?;
    if model.version() != 3 {
        let found = format!("version {}", model.version());
        return Err(Diagnostic::new(Code::VERSION, "schema version is not supported").expected("version 3").found(found));
    }
    Ok(model)
}

/// How a flatbuffer of so many bytes is verified.
pub fn verifier(size: usize) -> VerifierOptions {
    VerifierOptions {
        // Deeper than the schemas nest.
        max_depth: 32,
        // A table has at least 4 bytes of its own, unless tables are shared.
        max_tables: size / 4,
        // Bytes counted once for each way that leads to them. Honest files share descriptions of tables only, which are small.
        max_apparent_size: size.saturating_mul(16).saturating_add(1 << 16),
        ignore_missing_null_terminator: true,
    }
}

/// Old files have the code in a byte of its own; new ones set both, with 127 in the byte where it does not suffice.
fn operator_code(c: schema::OperatorCode) -> OperatorCode {
    let code = c.builtin_code().0.max(i32::from(c.deprecated_builtin_code()));
    OperatorCode { code: schema::BuiltinOperator(code), version: c.version(), custom: c.custom_code().map(schema::text), symbol: None }
}

pub fn broken(e: InvalidFlatbuffer) -> Diagnostic {
    // The first line says what is wrong, the others name tables and fields from the inside out.
    let text = e.to_string();
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let message = lines.next().unwrap_or_default().trim_end_matches('.').to_string();
    let d = Diagnostic::new(Code::BROKEN, format!("the file is damaged: {message}"));
    match lines.next_back() {
        Some(inside) => d.detail(inside.trim_start_matches("while verifying ").to_string()),
        None => d,
    }
}
