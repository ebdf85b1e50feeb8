//! How problems are told: on a terminal and as JSON, with the exit code they mean.
//!
//! What the problems are is in `cranelite_graph::diagnostic`. The idea: nothing is told twice, nothing is left out, and a
//! message ends with the way out. Problems that differ in their place alone are told as one, with all places.
//! Names come from models and from folders of others, so nothing that is told can move a cursor.

use cranelite_graph::diagnostic::{Code, Diagnostic, Place};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The model or the input is at fault, or the target.
    Problems(Vec<Problem>),
    /// The command line is.
    Usage(String),
}

#[derive(Debug)]
pub struct Problem {
    pub file: Option<PathBuf>,
    pub diagnostic: Diagnostic,
}

impl Failure {
    pub fn in_file(file: &Path) -> impl FnOnce(Vec<Diagnostic>) -> Failure {
        |list| Failure::Problems(list.into_iter().map(|diagnostic| Problem { file: Some(file.into()), diagnostic }).collect())
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Problems(list) if list.iter().any(|p| ![Code::OUTPUT, Code::TARGET, Code::CPU].contains(&p.diagnostic.code)) => 1,
            _ => 2,
        }
    }

    /// Several lines, the last one ended.
    pub fn render(&self) -> String {
        tidy(&match self {
            Failure::Usage(message) => format!("error: {message}\n\nFor more information, try '--help'.\n"),
            Failure::Problems(list) => {
                let groups = grouped(list);
                let mut out: String = groups.iter().take(MAX_RENDERED).map(render).collect();
                if let more @ 1.. = groups.len().saturating_sub(MAX_RENDERED) {
                    writeln!(out, "and {more} more kinds of problems; `cranelite check --json` tells all")
                        .expect("a string takes everything");
                }
                if self.exit_code() != 2 {
                    let mut codes: Vec<&str> = list.iter().map(|p| p.diagnostic.code.0).collect();
                    codes.sort_unstable();
                    codes.dedup();
                    let count = if list.len() == 1 { "1 problem".into() } else { format!("{} problems", list.len()) };
                    let more = codes.iter().map(|c| format!("`cranelite explain {c}`")).collect::<Vec<_>>().join(", ");
                    writeln!(out, "{count}; more about the codes: {more}").expect("a string takes everything");
                }
                out
            }
        })
    }

    /// `error` sums up; `diagnostics` has everything.
    pub fn to_json(&self) -> Value {
        match self {
            Failure::Usage(message) => json!({ "error": message, "diagnostics": [] }),
            Failure::Problems(list) => {
                let all: Vec<_> = grouped(list).iter().map(to_json).collect();
                json!({ "error": list.first().map(|p| p.diagnostic.to_string()), "diagnostics": all })
            }
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Failure::Problems(vec![Problem { file: None, diagnostic }])
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(list: Vec<Diagnostic>) -> Self {
        Failure::Problems(list.into_iter().map(|diagnostic| Problem { file: None, diagnostic }).collect())
    }
}

/// Problems that differ in their place alone.
struct Group<'a> {
    first: &'a Problem,
    others: Vec<&'a Place>,
}

/// What fills a page is read, and what comes after it is mostly more of the same.
const MAX_RENDERED: usize = 12;

fn grouped(list: &[Problem]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = vec![];
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for problem in list {
        let Diagnostic { code, place, message, expected, found, help, deciding: _, bounded: _ } = &problem.diagnostic;
        match known.get(&(&problem.file, code, message, expected, found, help)) {
            Some(&group) => groups[group].others.push(place),
            None => {
                known.insert((&problem.file, code, message, expected, found, help), groups.len());
                groups.push(Group { first: problem, others: vec![] });
            }
        }
    }
    groups
}

/// The other places of a group, as far as they fit on a line or two.
fn more(first: &Place, others: &[&Place]) -> Option<String> {
    let count = others.len();
    let of_operators = others.iter().all(|p| p.operator.is_some() && p.detail.is_none());
    let one = |p: &&Place| match &p.operator {
        Some((i, name)) if of_operators => match &first.operator {
            Some((_, same)) if same == name => i.to_string(),
            _ => format!("{i} {name}"),
        },
        _ => Place { subgraph: None, ..(*p).clone() }.to_string(),
    };
    let (what, shown) = if of_operators { ("operator", 10) } else { ("place", 3) };
    let end = if shown < count { ", …" } else { "" };
    let plural = if count == 1 { "" } else { "s" };
    let all: Vec<String> = others.iter().take(shown).map(one).collect();
    (0 < count).then(|| format!("and {count} more {what}{plural}: {}{end}", all.join(if of_operators { ", " } else { "; " })))
}

/// A path as messages show it, in one line.
pub fn shown(path: &Path) -> String {
    tidy(&path.to_string_lossy()).replace('\n', "\\n")
}

/// A text of several lines without characters that move a cursor, that turn text round or that nobody sees: they are escaped.
pub fn tidy(text: &str) -> String {
    let kept = ['\n', '"', '\'', '\\'];
    let piece = |piece: &str| {
        let body = piece.strip_suffix(kept).unwrap_or(piece);
        format!("{}{}", body.escape_debug(), &piece[body.len()..])
    };
    text.split_inclusive(kept).map(piece).collect()
}

/// One line of ASCII, whatever names are in it.
pub fn json_line(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            ' '..='~' => out.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(out, "\\u{unit:04x}").expect("a string takes everything")),
        }
    }
    out + "\n"
}

/// A check inside the compiler failed.
pub fn internal(what: &str, details: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::new(Code::INTERNAL, format!("{what}: {details}")).help("this is a bug of cranelite: please report it with the model")
}

/// ```text
/// error[E0203]: the filter's depth differs from the input's
///   -->       model.tflite: subgraph 0, operator 17 CONV_2D, input 1 "w"
///   expected: 16
///   found:    8
///   help:     export the model again
/// ```
fn render(Group { first: Problem { file, diagnostic: d }, others }: &Group) -> String {
    let mut out = format!("error[{}]: {}\n", d.code.0, d.message);
    let place = d.place.to_string();
    let place: Vec<String> = file.iter().map(|f| shown(f)).chain((!place.is_empty()).then_some(place)).collect();
    let place = (!place.is_empty()).then(|| place.join(": "));
    let (more, way_out) = (more(&d.place, others), d.way_out().map(String::from));
    for (label, text) in [("-->", &place), ("", &more), ("expected:", &d.expected), ("found:", &d.found), ("help:", &way_out)] {
        if let Some(text) = text {
            writeln!(out, "  {label:<9} {}", text.replace('\n', "\n            ")).expect("a string takes everything");
        }
    }
    out
}

fn to_json(Group { first: Problem { file, diagnostic: d }, others }: &Group) -> Value {
    let more: Vec<Value> = others.iter().map(|p| place(p)).collect();
    let mut value = place(&d.place);
    let about = json!({
        "code": d.code.0,
        "file": file.as_deref().map(Path::to_string_lossy),
        "message": d.message,
        "expected": d.expected,
        "found": d.found,
        "help": d.way_out(),
        "count": 1 + more.len(),
        "more": more,
    });
    if let (Value::Object(value), Value::Object(about)) = (&mut value, about) {
        value.extend(about);
    }
    value
}

fn place(p: &Place) -> Value {
    json!({
        "subgraph": p.subgraph,
        "operator": p.operator.as_ref().map(|(index, _)| index),
        "operator_name": p.operator.as_ref().map(|(_, name)| name),
        "detail": p.detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(operator: u32, name: &str, message: &str) -> Problem {
        let place = Place { subgraph: Some(0), operator: Some((operator, name.into())), detail: None };
        Problem { file: Some("m.tflite".into()), diagnostic: Diagnostic::new(Code::OPERATOR, message).at(place) }
    }

    #[test]
    fn equal_problems_are_told_once() {
        let mut list = vec![problem(0, "SVDF", "a"), problem(1, "RNN", "b")];
        list.extend((2..10_000).map(|i| problem(i, "SVDF", "a")));
        list.push(problem(10_000, "CUSTOM", "a"));
        let detailed = |i: u32| Diagnostic::new(Code::SCALE, "c").detail(format!("tensor {i}"));
        list.extend((0..2).map(|i| Problem { file: None, diagnostic: detailed(i) }));
        let failure = Failure::Problems(list);
        let way_out = Diagnostic::new(Code::OPERATOR, "").way_out().unwrap().to_string();
        let scale = Diagnostic::new(Code::SCALE, "").way_out().unwrap().to_string();
        let expected = format!(
            "error[E0201]: a\n  -->       m.tflite: subgraph 0, operator 0 SVDF\n            \
             and 9999 more operators: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …\n  help:     {way_out}\n\
             error[E0201]: b\n  -->       m.tflite: subgraph 0, operator 1 RNN\n  help:     {way_out}\n\
             error[E0206]: c\n  -->       tensor 0\n            and 1 more place: tensor 1\n  help:     {scale}\n\
             10003 problems; more about the codes: `cranelite explain E0201`, `cranelite explain E0206`\n"
        );
        assert_eq!(failure.render(), expected);
        let json = failure.to_json();
        assert_eq!(json["diagnostics"].as_array().unwrap().len(), 3);
        let first = &json["diagnostics"][0];
        assert_eq!((&first["count"], &first["operator"]), (&json!(10_000), &json!(0)));
        assert_eq!(first["more"].as_array().unwrap().len(), 9_999);
        assert_eq!(first["more"][9_998], json!({ "subgraph": 0, "operator": 10_000, "operator_name": "CUSTOM", "detail": null }));
    }

    #[test]
    fn problems_of_many_kinds_fill_a_page() {
        let failure = Failure::Problems((0..10_000).map(|i| problem(i, "CUSTOM", &format!("kind {}", i % 500))).collect());
        let text = failure.render();
        assert!(text.lines().count() <= 4 * MAX_RENDERED + 2, "{text}");
        assert!(text.contains("\nand 488 more kinds of problems; `cranelite check --json` tells all\n10000 problems; "), "{text}");
        assert_eq!(failure.to_json()["diagnostics"].as_array().unwrap().len(), 500);
    }

    #[test]
    fn operators_of_other_names_are_named() {
        let list = vec![problem(0, "CUSTOM \"a\"", "x"), problem(1, "CUSTOM \"b\"", "x"), problem(2, "CUSTOM \"a\"", "x")];
        assert!(Failure::Problems(list).render().contains("\n            and 2 more operators: 1 CUSTOM \"b\", 2\n"));
    }

    #[test]
    fn no_text_moves_a_cursor() {
        let text = "a\u{1b}[2J \"b\" it's c:\\d\nüべ\t\u{7f}\u{9b}\u{202e}\u{200b}\u{2028}\u{2066}\r";
        let expected = "a\\u{1b}[2J \"b\" it's c:\\d\nüべ\\t\\u{7f}\\u{9b}\\u{202e}\\u{200b}\\u{2028}\\u{2066}\\r";
        assert_eq!(tidy(text), expected);
        assert_eq!(shown(Path::new("a\nb")), "a\\nb");
        let line = json_line(&json!({ text: "😀" }));
        assert!(line.trim_end_matches('\n').chars().all(|c| (' '..='~').contains(&c)), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), json!({ text: "😀" }));
    }

    /// Whatever the exit code is.
    #[test]
    fn all_problems_are_tidy() {
        for code in [Code::FILE, Code::OUTPUT, Code::TARGET, Code::CPU] {
            let d = Diagnostic::new(code, "a\u{1b}[2J").found("b\u{202e}");
            let text = Failure::Problems(vec![Problem { file: None, diagnostic: d }]).render();
            assert!(text.contains("a\\u{1b}[2J") && text.contains("b\\u{202e}"), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_a_text() {
        let path = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"m\xff\xfe.tflite"));
        let failure = Failure::in_file(&path)(vec![Diagnostic::new(Code::FILE, "not a model")]);
        assert_eq!(failure.to_json()["diagnostics"][0]["file"], "m\u{fffd}\u{fffd}.tflite");
        assert!(failure.render().contains("m\u{fffd}\u{fffd}.tflite"));
    }
}
