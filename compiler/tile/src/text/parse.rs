//! Text to program: lines, buffers and calls; kernels are in `parse_kernel.rs`.
//!
//! Not a verifier: what can be written down is accepted, however little sense it makes. The idea: a [`Cursor`] walks along one line
//! and every method says what it expected.

use super::Error;
use super::{names, parse_kernel};
use crate::program::*;
use std::str::FromStr;

/// Of one buffer, so that a text of a few bytes cannot ask for all memory.
const DATA_LIMIT_BYTES: u64 = 1 << 31;

pub fn parse(text: &str) -> Result<Program, Error> {
    let mut lines = Lines { lines: text.lines().enumerate(), number: 0 };
    let mut program = Program::default();
    while let Some(mut c) = lines.read() {
        let number = lines.number;
        top(&mut program, &mut c, &mut lines).map_err(|e| e.at(number))?;
    }
    Ok(program)
}

/// A message, and the line if it is not the one just read.
pub struct Problem {
    line: Option<usize>,
    message: String,
}

impl Problem {
    pub fn at(self, line: usize) -> Error {
        Error { line: self.line.unwrap_or(line), message: self.message }
    }
    pub fn on_line(line: usize, message: String) -> Self {
        Problem { line: Some(line), message }
    }
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Problem { line: None, message }
    }
}
impl From<&str> for Problem {
    fn from(message: &str) -> Self {
        Problem { line: None, message: message.into() }
    }
}
impl From<Error> for Problem {
    fn from(e: Error) -> Self {
        Problem { line: Some(e.line), message: e.message }
    }
}

pub struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    /// Of the line read last, from 1.
    pub number: usize,
}

impl<'a> Lines<'a> {
    /// The next line on which something stands.
    pub fn read(&mut self) -> Option<Cursor<'a>> {
        for (i, line) in self.lines.by_ref() {
            self.number = i + 1;
            let mut c = Cursor { rest: line };
            if !c.at_end() {
                return Some(c);
            }
        }
        None
    }
}

fn top<'a>(program: &mut Program, c: &mut Cursor<'a>, lines: &mut Lines<'a>) -> Result<(), Problem> {
    match c.word() {
        "program" => program.name = c.quoted()?,
        "kernel" => {
            let kernel = parse_kernel::kernel(c, lines)?;
            program.kernels.push(kernel);
            return Ok(());
        }
        word if STEPS.contains(&word) => {
            let step = step(program, word, c, lines, 0)?;
            program.schedule.push(step);
            return Ok(());
        }
        word if word == format!("b{}", program.buffers.len()) => {
            c.expect("=")?;
            program.buffers.push(buffer(c)?);
        }
        word => {
            let b = program.buffers.len();
            return Err(format!("expected `program`, `kernel`, `call` or another step, or buffer `b{b}`, found `{word}{}`", c.rest).into());
        }
    }
    Ok(c.expect_end()?)
}

fn buffer(c: &mut Cursor) -> Result<Buffer, String> {
    let role = match c.word() {
        "input" => Role::Input(c.number()?),
        "output" => Role::Output(c.number()?),
        "const" => Role::Const,
        "scratch" => Role::Scratch,
        "state" => Role::State,
        other => return Err(format!("expected `input`, `output`, `const`, `scratch` or `state`, found `{other}{}`", c.rest)),
    };
    let name = c.quoted()?;
    let size_bytes = c.number()?;
    c.expect("bytes")?;
    c.expect("align")?;
    let align = c.number()?;
    let view = if c.take("view") {
        c.expect("of")?;
        let parent = BufferId(c.numbered("b", "a buffer such as `b0`")?);
        c.expect("+")?;
        Some(View { parent, offset_bytes: c.number()? })
    } else {
        None
    };
    let offset_bytes = if c.take("at") { Some(c.number()?) } else { None };
    let data = if c.at_end() { None } else { Some(data(c, size_bytes)?.into()) };
    Ok(Buffer { name, role, size_bytes, align, data, view, offset_bytes })
}

/// Bytes as hexadecimal digits, perhaps repeated.
fn data(c: &mut Cursor, size_bytes: u64) -> Result<Vec<u8>, String> {
    if c.take("(") {
        return Err("the contents of this constant were left out when the text was written".into());
    }
    c.expect("0x")?;
    let digits = c.while_chars(|c| c.is_ascii_hexdigit()).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err("an odd number of hexadecimal digits".into());
    }
    let digit = |d: u8| (d as char).to_digit(16).unwrap_or(0) as u8;
    let once: Vec<u8> = digits.chunks(2).map(|d| digit(d[0]) << 4 | digit(d[1])).collect();
    let times: u64 = if c.take("x") { c.number()? } else { 1 };
    let length = times.checked_mul(once.len() as u64).filter(|n| *n <= DATA_LIMIT_BYTES);
    match length {
        Some(n) if n == size_bytes => Ok(once.repeat(times as usize)),
        Some(n) => Err(format!("expected {size_bytes} bytes of data, found {n}")),
        None => Err(format!("expected at most {DATA_LIMIT_BYTES} bytes of data")),
    }
}

/// What a step begins with.
const STEPS: [&str; 6] = ["call", "parallel", "repeat", "if", "while", "check"];
/// Of steps inside of each other.
const DEPTH_LIMIT: usize = 32;

/// A step after its first word, to the end of its last line.
fn step<'a>(program: &Program, word: &str, c: &mut Cursor<'a>, lines: &mut Lines<'a>, depth: usize) -> Result<Step, Problem> {
    if depth == DEPTH_LIMIT {
        return Err(format!("more than {DEPTH_LIMIT} steps inside of each other").into());
    }
    let buffer = |c: &mut Cursor| c.numbered("b", "a buffer such as `b0`").map(BufferId);
    let step = match word {
        "call" => Step::Call(call(program, c)?),
        "check" => Step::Check(buffer(c)?),
        "repeat" => {
            let count = c.number()?;
            c.expect("{")?;
            let (body, last) = block(program, c, lines, depth)?;
            *c = last;
            Step::Repeat { count, body }
        }
        "parallel" => {
            c.expect("{")?;
            let (body, last) = block(program, c, lines, depth)?;
            *c = last;
            let calls = body.into_iter().map(|s| match s {
                Step::Call(call) => Ok(call),
                _ => Err("only calls can be in `parallel`"),
            });
            let calls = calls.collect::<Result<_, _>>()?;
            c.expect_end()?;
            return Ok(Step::Parallel(calls));
        }
        _ => {
            let condition = buffer(c)?;
            c.expect("{")?;
            let (first, mut last) = block(program, c, lines, depth)?;
            last.expect(if word == "if" { "else" } else { "do" })?;
            last.expect("{")?;
            let (second, last) = block(program, &mut last, lines, depth)?;
            *c = last;
            match word {
                "if" => Step::If { condition, then: first, otherwise: second },
                _ => Step::While { test: first, condition, body: second },
            }
        }
    };
    c.expect_end()?;
    Ok(step)
}

/// The steps up to the closing brace, and what follows it on its line.
fn block<'a>(program: &Program, c: &mut Cursor<'a>, lines: &mut Lines<'a>, depth: usize) -> Result<(Vec<Step>, Cursor<'a>), Problem> {
    c.expect_end()?;
    let mut steps = vec![];
    while let Some(mut c) = lines.read() {
        let number = lines.number;
        if c.take("}") {
            return Ok((steps, c));
        }
        let word = c.word();
        if !STEPS.contains(&word) {
            return Err(Problem::on_line(number, format!("expected `call` or another step or `}}`, found `{word}{}`", c.rest)));
        }
        steps.push(step(program, word, &mut c, lines, depth + 1).map_err(|e| Problem::from(e.at(number)))?);
    }
    Err("expected `call` or another step or `}`, found the end of the text".into())
}

fn call(program: &Program, c: &mut Cursor) -> Result<Call, String> {
    let name = c.name()?;
    let number: Option<u32> = if c.take(".") { Some(c.number()?) } else { None };
    let same: Vec<usize> = (0..program.kernels.len()).filter(|&i| program.kernels[i].name == name).collect();
    let kernel = match (number, same.as_slice()) {
        (Some(n), _) if same.contains(&(n as usize)) => n,
        (None, [one]) => *one as u32,
        (None, [_, _, ..]) => return Err(format!("there are several kernels `{name}`: give a number, such as `{name}.{}`", same[0])),
        _ => return Err(format!("there is no kernel `{name}`{}", number.map_or(String::new(), |n| format!(" with number {n}")))),
    };
    let k = &program.kernels[kernel as usize];
    let mut call = Call { kernel: KernelId(kernel), buffers: vec![], params: vec![], advance: vec![], operator: None };
    c.expect("(")?;
    while !c.next_is(&[";", ")"]) {
        c.comma(call.buffers.is_empty())?;
        c.label(k.args.get(call.buffers.len()).map(|a| a.name.as_str()))?;
        call.buffers.push(BufferId(c.numbered("b", "a buffer such as `b0`")?));
    }
    if c.take(";") {
        while !c.next_is(&[")"]) {
            c.comma(call.params.is_empty())?;
            c.label(k.params.get(call.params.len()).map(String::as_str))?;
            call.params.push(c.number()?);
            call.advance.push(if c.take("+") { c.number()? } else { 0 });
            if call.advance.last() != Some(&0) {
                c.expect("turn")?;
            }
        }
    }
    if call.advance.iter().all(|a| *a == 0) {
        call.advance.clear();
    }
    c.expect(")")?;
    if c.take("operator") {
        call.operator = Some(c.number()?);
    }
    Ok(call)
}

/// The rest of a line. Every method skips blanks first.
#[derive(Clone)]
pub struct Cursor<'a> {
    pub rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub fn at_end(&mut self) -> bool {
        self.skip_blanks();
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    pub fn expect_end(&mut self) -> Result<(), String> {
        if self.at_end() { Ok(()) } else { Err(format!("expected the end of the line, found `{}`", self.rest)) }
    }

    /// Takes a token if it is next; a word must end where the token ends.
    pub fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) if !(token.ends_with(word_char) && token != "0x" && token != "x" && rest.starts_with(word_char)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    pub fn next_is(&mut self, tokens: &[&str]) -> bool {
        tokens.iter().any(|t| self.clone().take(t))
    }

    pub fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.expected(&format!("`{token}`"))) }
    }

    pub fn expected(&mut self, what: &str) -> String {
        if self.at_end() {
            format!("expected {what}, found the end of the line")
        } else {
            format!("expected {what}, found `{}`", self.rest)
        }
    }

    pub fn while_chars(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        self.skip_blanks();
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Letters, digits and underscores; may be empty.
    pub fn word(&mut self) -> &'a str {
        self.while_chars(word_char)
    }

    /// A decimal integer, with a sign if negative.
    pub fn number<T: FromStr>(&mut self) -> Result<T, String> {
        self.skip_blanks();
        let start = self.rest;
        let unsigned = start.strip_prefix('-').unwrap_or(start);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = start.split_at(start.len() - unsigned.len() + digits);
        let value = number
            .parse()
            .map_err(|_| if digits == 0 { self.expected("a number") } else { format!("expected a number in range, found `{number}`") })?;
        self.rest = rest;
        Ok(value)
    }

    /// A letter and a number in one, such as `v3`.
    pub fn numbered(&mut self, letter: &str, what: &str) -> Result<u32, String> {
        let mut after = self.clone();
        let n = after.word().strip_prefix(letter).filter(|n| n.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.parse().ok());
        match n {
            Some(n) => {
                *self = after;
                Ok(n)
            }
            None => Err(self.expected(what)),
        }
    }

    /// The comma before an item that is not the first.
    pub fn comma(&mut self, is_first: bool) -> Result<(), String> {
        if is_first { Ok(()) } else { self.expect(",") }
    }

    /// `name:` may stand before an argument and must then be the parameter's name.
    fn label(&mut self, want: Option<&str>) -> Result<(), String> {
        let mut after = self.clone();
        let Ok(name) = after.name() else { return Ok(()) };
        if !after.take(":") {
            return Ok(());
        }
        match want {
            Some(w) if w != name => Err(format!("expected argument `{w}`, found `{name}`")),
            _ => {
                *self = after;
                Ok(())
            }
        }
    }

    /// A word that begins with no digit, or anything in quotes.
    pub fn name(&mut self) -> Result<String, String> {
        self.skip_blanks();
        if self.rest.starts_with('"') {
            return self.quoted();
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.expected("a name"));
        }
        match self.word() {
            "" => Err(self.expected("a name")),
            word => Ok(word.to_string()),
        }
    }

    pub fn quoted(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let (text, rest) = names::unquoted(self.rest)?;
        self.rest = rest;
        Ok(text)
    }
}

fn word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
