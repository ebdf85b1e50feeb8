//! The schedule as a function: a step is a statement.
//!
//! Not the entry points, which have checked the pointers (`entry.rs`). There is one function for each kind of call: plain, with a hook before every call of a
//! kernel, and with an executor for calls that may run at the same time; the latter are made by a function of their own, `tasks`, by their numbers.

use super::text::{INDENT, Text, comment, function};
use crate::object::plan::{Form, Kind};
use crate::object::schedule::NO_OPERATOR;
use cranelite_tile::{Access, BufferId, Call, Foreign, KernelId, Program, Role, Step};
use std::collections::BTreeMap;

pub struct Body<'a> {
    pub program: &'a Program,
    /// Begins names.
    pub prefix: &'a str,
    pub form: Form,
    pub functions: &'a BTreeMap<KernelId, String>,
    pub constants: &'a BTreeMap<BufferId, String>,
    /// What is said of operators.
    pub operators: &'a BTreeMap<u32, String>,
}

/// What is being written.
struct Writing {
    kind: Kind,
    text: Text,
    /// Functions before this one.
    tasks: String,
    /// Of the next call.
    number: u32,
    /// What was said last.
    operator: Option<u32>,
}

/// Of a body, as its callers have them.
pub fn parameters(form: Form, kind: Kind) -> Vec<(String, &'static str)> {
    let mut all: Vec<(String, &'static str)> = vec![];
    if !form.io_in_arena {
        all.extend([("const uint8_t *const *".into(), "in"), ("uint8_t *const *".into(), "out")]);
    }
    all.push(("uint8_t *".into(), "arena"));
    all.extend(form.state.then(|| ("uint8_t *".into(), "state")));
    all.extend(form.weights.then(|| ("const uint8_t *".into(), "weights")));
    match kind {
        Kind::Profile => {
            all.extend([("cranelite_hook".to_string(), "hook"), ("void *".into(), "user")]);
        }
        Kind::Parallel => all.push(("const cranelite_executor *".into(), "executor")),
        _ => {}
    }
    all
}

pub fn name(prefix: &str, kind: Kind) -> String {
    match kind {
        Kind::Profile => format!("{prefix}_profiled"),
        Kind::Parallel => format!("{prefix}_parallel"),
        _ => format!("{prefix}_body"),
    }
}

impl Body<'_> {
    /// The function of that kind, and those that it lets others call.
    pub fn function(&self, kind: Kind) -> String {
        let mut w = Writing { kind, text: Text::inside(), tasks: String::new(), number: 0, operator: None };
        self.steps(&mut w, &self.program.schedule, 0);
        if kind == Kind::Profile {
            w.text.line(format!("hook(user, {NO_OPERATOR}u, {}u);", w.number));
        }
        w.text.line("return CRANELITE_OK;");
        let parameters = parameters(self.form, kind);
        let head = format!("static cranelite_status {}", name(self.prefix, kind));
        let body = function(&head, &parameters, &w.text.finish());
        let context = if w.tasks.is_empty() { String::new() } else { self.context() };
        context + &w.tasks + &body
    }

    /// A pointer to a buffer.
    fn address(&self, buffer: BufferId) -> String {
        let (root, offset) = self.program.root(buffer);
        let b = self.program.buffer(root);
        let (base, offset) = match b.role {
            Role::Input(_) | Role::Output(_) if b.offset_bytes.is_some() => ("arena".to_string(), offset + b.offset_bytes.unwrap_or(0)),
            Role::Input(i) => (format!("in[{i}]"), offset),
            Role::Output(i) => (format!("out[{i}]"), offset),
            Role::Scratch => ("arena".into(), offset + b.offset_bytes.unwrap_or(0)),
            Role::State => ("state".into(), offset + b.offset_bytes.unwrap_or(0)),
            Role::Const => (self.constants[&root].clone(), offset),
        };
        if offset == 0 { base } else { format!("{base} + {offset}") }
    }

    fn call(&self, call: &Call, turn: &str) -> String {
        let buffers = call.buffers.iter().map(|b| self.address(*b));
        let params = call.params.iter().enumerate().map(|(i, param)| match call.advance.get(i).copied().filter(|a| *a != 0) {
            Some(advance) => format!("{param} + {turn} * ({advance})"),
            None => param.to_string(),
        });
        let all: Vec<String> = buffers.chain(params).collect();
        format!("{}({});", self.functions[&call.kernel], all.join(", "))
    }

    fn steps(&self, w: &mut Writing, steps: &[Step], turn: usize) {
        for step in steps {
            match step {
                Step::Call(call) => self.one(w, call, turn),
                Step::Parallel(calls) if w.kind == Kind::Parallel && 1 < calls.len() => self.at_once(w, calls, turn),
                Step::Parallel(calls) => calls.iter().for_each(|call| self.one(w, call, turn)),
                Step::Check(buffer) => {
                    w.text.refuse(format!("load_i32({}) != 0", self.address(*buffer)), "CRANELITE_INDEX_OUT_OF_RANGE");
                }
                Step::Repeat { count, body } => {
                    let t = format!("turn{}", turn + 1);
                    w.text.open(format!("for (ptrdiff_t {t} = 0; {t} < {count}; {t}++)"));
                    self.steps(w, body, turn + 1);
                    w.text.close();
                }
                Step::If { condition, then, otherwise } => {
                    w.text.open(format!("if (*({}) != 0u)", self.address(*condition)));
                    self.steps(w, then, turn);
                    if !otherwise.is_empty() {
                        w.text.otherwise();
                        self.steps(w, otherwise, turn);
                    }
                    w.text.close();
                }
                Step::While { test, condition, body } => {
                    w.text.open("for (;;)");
                    self.steps(w, test, turn);
                    w.text.open(format!("if (*({}) == 0u)", self.address(*condition)));
                    w.text.line("break;");
                    w.text.close();
                    self.steps(w, body, turn);
                    w.text.close();
                }
            }
        }
    }

    /// Says which operator comes, if it is another one, and calls the hook.
    fn announce(&self, w: &mut Writing, operator: Option<u32>, calls: u32) {
        if w.operator != operator {
            let text = operator.and_then(|o| self.operators.get(&o)).map_or("no operator of the model".into(), |text| comment(text));
            w.text.line(format!("/* {text} */"));
            w.operator = operator;
        }
        if w.kind == Kind::Profile {
            w.text.line(format!("hook(user, {}u, {}u);", operator.unwrap_or(NO_OPERATOR), w.number));
        }
        w.number += calls;
    }

    fn one(&self, w: &mut Writing, call: &Call, turn: usize) {
        self.announce(w, call.operator, 1);
        match &self.program.kernel(call.kernel).foreign {
            Some(foreign) => self.custom(w, call, foreign),
            None => w.text.line(self.call(call, &format!("turn{turn}"))),
        }
    }

    /// A call of a function of the user's.
    fn custom(&self, w: &mut Writing, call: &Call, foreign: &Foreign) {
        let kernel = self.program.kernel(call.kernel);
        let options = foreign.options.map(|arg| arg.0 as usize);
        let pair = |i: usize| format!("{}, {}u", self.address(call.buffers[i]), self.program.buffer(call.buffers[i]).size_bytes);
        let of = |access: Access| -> Vec<String> {
            let own = kernel.args.iter().enumerate().filter(|(i, arg)| arg.access == access && Some(*i) != options);
            own.map(|(i, _)| format!("{{{}}}", pair(i))).collect()
        };
        let (inputs, outputs) = (of(Access::Read), of(Access::Write));
        w.text.line("{");
        let inner = |w: &mut Writing, text: String| w.text.line(format!("{INDENT}{text}"));
        for (what, all) in [("input", &inputs), ("output", &outputs)] {
            if !all.is_empty() {
                inner(w, format!("const cranelite_custom_{what} {what}s[] = {{{}}};", all.join(", ")));
            }
        }
        let list = |all: &Vec<String>, name: &str| if all.is_empty() { "NULL".to_string() } else { name.to_string() };
        let lists = format!("{}, {}", list(&inputs, "inputs"), list(&outputs, "outputs"));
        let options = options.map_or("NULL, 0u".into(), pair);
        let counts = format!("{}u, {}u", inputs.len(), outputs.len());
        let size = "(uint32_t)sizeof(cranelite_custom_call)";
        inner(w, format!("const cranelite_custom_call custom = {{{size}, {counts}, 0u, {lists}, {options}}};"));
        inner(w, format!("if ({}(&custom) != 0) {{", foreign.symbol));
        inner(w, format!("{INDENT}return CRANELITE_CUSTOM_FAILED;"));
        inner(w, "}".into());
        w.text.line("}");
    }

    /// What tasks find their buffers by.
    fn context(&self) -> String {
        let members: String = self.members().iter().map(|(ty, name)| format!("{INDENT}{}{name};\n", spaced(ty))).collect();
        format!("typedef struct {{\n{members}}} {}_context;\n\n", self.prefix)
    }

    fn members(&self) -> Vec<(String, &'static str)> {
        let mut all = parameters(self.form, Kind::Invoke);
        all.push(("ptrdiff_t".into(), "turn"));
        all
    }

    fn at_once(&self, w: &mut Writing, calls: &[Call], turn: usize) {
        let first = w.number;
        self.announce(w, calls[0].operator, calls.len() as u32);
        let name = format!("{}_tasks{first}", self.prefix);
        let mut text = Text::inside();
        text.line(format!("const {0}_context *const of = (const {0}_context *)context;", self.prefix));
        let mut switch = Text::inside();
        switch.line("switch (index) {");
        for (i, call) in calls.iter().enumerate() {
            switch.line(format!("case {i}u:"));
            switch.line(format!("{INDENT}{}", self.call(call, "turn")));
            switch.line(format!("{INDENT}break;"));
        }
        switch.line("default:");
        switch.line(format!("{INDENT}break;"));
        switch.line("}");
        let switch = switch.finish();
        let used: std::collections::BTreeSet<&str> = super::kernel::words(&switch).collect();
        for (ty, name) in self.members().iter().filter(|m| used.contains(m.1)) {
            text.line(format!("{}const {name} = of->{name};", spaced(ty)));
        }
        let parameters = [("void *".to_string(), "context"), ("uint32_t".into(), "index")];
        w.tasks += &function(&format!("static void {name}"), &parameters, &(text.finish() + &switch));

        w.text.line("{");
        w.text.line(format!("{INDENT}{}_context context;", self.prefix));
        for (_, name) in self.members() {
            let value = match name {
                "turn" if turn == 0 => "0".into(),
                "turn" => format!("turn{turn}"),
                name => name.to_string(),
            };
            w.text.line(format!("{INDENT}context.{name} = {value};"));
        }
        w.text.line(format!("{INDENT}if (executor->run(executor->user, {name}, &context, {}u) != 0) {{", calls.len()));
        w.text.line(format!("{INDENT}{INDENT}return CRANELITE_EXECUTOR_FAILED;"));
        w.text.line(format!("{INDENT}}}"));
        w.text.line("}");
    }
}

/// A type before a name.
fn spaced(ty: &str) -> String {
    if ty.ends_with('*') { ty.into() } else { format!("{ty} ") }
}
