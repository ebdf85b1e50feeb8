//! How lines of C are written.

use std::fmt::Write;

pub const INDENT: &str = "    ";

/// Lines, indented by how many braces are open.
#[derive(Default)]
pub struct Text {
    out: String,
    depth: usize,
}

impl Text {
    pub fn inside() -> Text {
        Text { out: String::new(), depth: 1 }
    }

    pub fn line(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let depth = if text.starts_with('#') { 0 } else { self.depth };
        writeln!(self.out, "{}{text}", INDENT.repeat(depth)).expect("a string takes everything");
    }

    /// `head {`
    pub fn open(&mut self, head: impl AsRef<str>) {
        self.line(format!("{} {{", head.as_ref()));
        self.depth += 1;
    }

    pub fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    pub fn otherwise(&mut self) {
        self.depth -= 1;
        self.open("} else");
    }

    /// `if (condition) { return status; }`
    pub fn refuse(&mut self, condition: impl AsRef<str>, status: &str) {
        self.open(format!("if ({})", condition.as_ref()));
        self.line(format!("return {status};"));
        self.close();
    }

    pub fn finish(self) -> String {
        self.out
    }
}

/// A function of its head, without braces, and the lines in it. What it does not use of its parameters is said to be so.
pub fn function(head: &str, parameters: &[(String, &str)], body: &str) -> String {
    let used: std::collections::BTreeSet<&str> = super::kernel::words(body).collect();
    let unused: String =
        parameters.iter().filter(|(_, name)| !used.contains(name)).map(|(_, name)| format!("{INDENT}(void){name};\n")).collect();
    format!("{head}({})\n{{\n{unused}{body}}}\n\n", list(parameters))
}

/// Parameters as a prototype has them: a type, which may end in a star, and a name.
fn list(parameters: &[(String, &str)]) -> String {
    let all: Vec<String> =
        parameters.iter().map(|(ty, name)| if ty.ends_with(['*', ' ']) { format!("{ty}{name}") } else { format!("{ty} {name}") }).collect();
    if all.is_empty() { "void".into() } else { all.join(", ") }
}

/// Letters, digits and underscores of a name.
pub fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A string of C: printable characters of ASCII as they are, all other bytes by number.
pub fn quoted(text: &str) -> String {
    let one = |b: u8| match b {
        b'"' | b'\\' | b'?' => format!("\\{}", b as char),
        b' '..=b'~' => (b as char).to_string(),
        _ => format!("\\{b:03o}"),
    };
    format!("\"{}\"", text.bytes().filter(|b| *b != 0).map(one).collect::<String>())
}

/// Text that can stand in a comment: no end, no beginning, no line splice, no trigraph, one line.
pub fn comment(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() && !"\\?".contains(c) { c } else { '_' }).collect();
    plain.replace("*/", "*_").replace("/*", "/_").replace("//", "/_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_comment_or_a_string() {
        for text in ["a*/b", "/*", "*/*", "/*/", "??/", "a\\\nb", "ü\0", "//"] {
            let text = comment(text);
            assert!(!text.contains("*/") && !text.contains("/*") && !text.contains(['\\', '?', '\n', '\0']), "{text}");
        }
        assert_eq!(quoted("a\"b\\?ü"), "\"a\\\"b\\\\\\?\\303\\274\"");
    }

    #[test]
    fn parameters() {
        let all = [("const uint8_t *".to_string(), "x"), ("size_t".to_string(), "n")];
        assert_eq!(
            function("static void f", &all, "    g(x);\n"),
            "static void f(const uint8_t *x, size_t n)\n{\n    (void)n;\n    g(x);\n}\n\n"
        );
        assert_eq!(function("void f", &[], ""), "void f(void)\n{\n}\n\n");
    }
}
