//! The functions that the header declares: they check what they are given, as the plan says (`object/plan.rs`), and run a body.

use super::body::{self, name};
use super::self_test;
use super::tables::table;
use super::text::{Text, function};
use crate::object::plan::{Check, DISPATCH, Exported, Facts, Kind, Parameter, Pointer};
use crate::object::weights::{self, Expected};
use crate::object::{Entry, IoPlaces};
use cranelite_tile::{Elem, State};

pub struct Entries<'a> {
    pub entry: &'a Entry<'a>,
    /// Of the whole file: begins the names of what signatures have in common.
    pub prefix: &'a str,
    pub facts: Facts,
    pub places: &'a IoPlaces,
    /// What is expected of weights that the caller has.
    pub weights: Option<Expected>,
}

/// The types of the hook, where there is one.
pub const HOOK: &str = "typedef void (*cranelite_hook)(void *user, uint32_t op, uint32_t call);\n\n";

impl Entries<'_> {
    fn parameter(&self, p: Parameter) -> (String, &'static str) {
        let prefix = &self.entry.prefix;
        match p {
            Parameter::Inputs => (format!("const {prefix}_inputs *"), "in"),
            Parameter::Outputs => (format!("const {prefix}_outputs *"), "out"),
            Parameter::Arena => ("void *".into(), "arena"),
            Parameter::State => ("void *".into(), "state"),
            Parameter::Weights => ("const void *".into(), "weights"),
            Parameter::Hook => ("cranelite_hook".into(), "hook"),
            Parameter::User => ("void *".into(), "user"),
            Parameter::Executor => ("const cranelite_executor *".into(), "executor"),
            Parameter::Buffer => ("void *".into(), "buffer"),
            Parameter::WrongOutput => ("uint32_t *".into(), "wrong_output"),
            Parameter::Level => ("uint32_t".into(), "level"),
        }
    }

    fn member(&self, p: Parameter, i: u32) -> String {
        if p == Parameter::Executor {
            return "executor->run".into();
        }
        let tensors = if p == Parameter::Inputs { &self.entry.inputs } else { &self.entry.outputs };
        format!("{}->{}", self.parameter(p).1, tensors[i as usize].identifier)
    }

    /// One of them.
    pub fn function(&self, kind: Kind) -> String {
        let exported = Exported::new(kind, &self.facts);
        let parameters: Vec<(String, &str)> = exported.parameters.iter().map(|p| self.parameter(*p)).collect();
        let mut text = Text::inside();
        if let Some((absent, instead)) = exported.without {
            let passed: Vec<&str> = instead.parameters(self.facts.form).iter().map(|p| self.parameter(*p).1).collect();
            let call = format!("{}_{}({})", self.entry.prefix, instead.name(), passed.join(", "));
            text.refuse(format!("{} == NULL", self.parameter(absent).1), &call);
        }
        for check in &exported.checks {
            self.check(&mut text, check);
        }
        if kind == Kind::SelfTest {
            self_test::body(&mut text, self.entry, self.prefix, &self.facts, self.places);
        } else {
            // Declarations stand after the checks, which C99 allows: nothing is read through a null pointer.
            if !self.facts.form.io_in_arena {
                self.pointers(&mut text);
            }
            text.line(format!("return {};", self.body_call(kind)));
        }
        let head = format!("cranelite_status {}_{}", self.entry.prefix, kind.name());
        function(&head, &parameters, &text.finish())
    }

    /// Lists of the pointers in the caller's structures.
    fn pointers(&self, text: &mut Text) {
        for (p, count, of, name) in [
            (Parameter::Inputs, self.facts.inputs, "const uint8_t *", "inputs"),
            (Parameter::Outputs, self.facts.outputs, "uint8_t *", "outputs"),
        ] {
            let all: Vec<String> = (0..count).map(|i| format!("({of}){}", self.member(p, i))).collect();
            if !all.is_empty() {
                text.line(format!("{of}const {name}[] = {{{}}};", all.join(", ")));
            }
        }
    }

    fn body_call(&self, kind: Kind) -> String {
        let passed: Vec<String> = body::parameters(self.facts.form, kind)
            .iter()
            .map(|(_, name)| match *name {
                "in" if self.facts.inputs == 0 => "NULL".into(),
                "out" if self.facts.outputs == 0 => "NULL".into(),
                "in" => "inputs".into(),
                "out" => "outputs".into(),
                "arena" | "state" => format!("(uint8_t *){name}"),
                "weights" => format!("(const uint8_t *){name}"),
                name => name.to_string(),
            })
            .collect();
        format!("{}({})", name(&self.entry.prefix, kind), passed.join(", "))
    }

    fn check(&self, text: &mut Text, check: &Check) {
        let null = |of: String| format!("{of} == NULL");
        let one_of = |all: Vec<String>| {
            if all.len() == 1 { all[0].clone() } else { all.iter().map(|c| format!("({c})")).collect::<Vec<_>>().join(" || ") }
        };
        match check {
            Check::NotNull(pointers) => {
                let all = pointers.iter().map(|p| match p {
                    Pointer::Of(p) => null(self.parameter(*p).1.into()),
                    Pointer::In(p, i) => null(self.member(*p, *i)),
                });
                text.refuse(one_of(all.collect()), "CRANELITE_NULL_POINTER");
            }
            Check::NoneNull(p, n) => {
                text.refuse(one_of((0..*n).map(|i| null(self.member(*p, i))).collect()), "CRANELITE_NULL_POINTER");
            }
            Check::Aligned(p, align) => misaligned(text, self.parameter(*p).1, *align),
            Check::RightWeights => right_weights(text, &self.weights.expect("what is expected of weights")),
        }
    }

    /// What the description calls `call`.
    pub fn call(&self, kinds: &[Kind]) -> String {
        let Entry { prefix, inputs, outputs, .. } = self.entry;
        let form = self.facts.form;
        let mut text = Text::inside();
        let common = Kind::Invoke.parameters(form);
        for (p, what) in [(Parameter::Inputs, "inputs"), (Parameter::Outputs, "outputs")] {
            if common.contains(&p) {
                text.line(format!("{prefix}_{what} {what};"));
            }
        }
        text.refuse("(call == NULL) || (call->struct_size < sizeof(cranelite_call))", "CRANELITE_NULL_POINTER");
        for (p, what, tensors, constant) in [(Parameter::Inputs, "inputs", inputs, "const "), (Parameter::Outputs, "outputs", outputs, "")]
        {
            if !common.contains(&p) {
                continue;
            }
            if tensors.is_empty() {
                text.line(format!("{what}.none = NULL;"));
                continue;
            }
            text.line(format!("{constant}void *const *const {what}_given = ({constant}void *const *)call->{what};"));
            text.refuse(format!("{what}_given == NULL"), "CRANELITE_NULL_POINTER");
            for (i, t) in tensors.iter().enumerate() {
                text.line(format!("{what}.{} = {what}_given[{i}];", t.identifier));
            }
        }
        let field = |p: Parameter| match p {
            Parameter::Inputs => "&inputs".to_string(),
            Parameter::Outputs => "&outputs".into(),
            p => format!("call->{}", self.parameter(p).1),
        };
        let call = |kind: Kind| {
            let all: Vec<String> = kind.parameters(form).into_iter().map(field).collect();
            format!("{prefix}_{}({})", kind.name(), all.join(", "))
        };
        for (kind, asks) in DISPATCH.into_iter().filter(|d| kinds.contains(&d.0)) {
            text.refuse(format!("{} != NULL", field(asks)), &call(kind));
        }
        text.line(format!("return {};", call(Kind::Invoke)));
        let parameters = [("const cranelite_call *".to_string(), "call")];
        function(&format!("static cranelite_status {prefix}_call"), &parameters, &text.finish())
    }
}

fn misaligned(text: &mut Text, pointer: &str, align: u64) {
    text.refuse(format!("((uintptr_t){pointer} & {}u) != 0u", align - 1), "CRANELITE_MISALIGNED_ARENA");
}

/// Refuses weights that are misaligned or another file's; null was refused before.
fn right_weights(text: &mut Text, expected: &Expected) {
    misaligned(text, "weights", weights::ALIGN);
    let all = expected.fields().into_iter().enumerate().map(|(i, value)| {
        let at = if i == 0 { String::new() } else { format!(" + {}", 8 * i) };
        format!("(bytes_8((const uint8_t *)weights{at}) != UINT64_C({value:#018x}))")
    });
    text.refuse(all.collect::<Vec<_>>().join(" || "), "CRANELITE_WRONG_WEIGHTS");
}

/// `PREFIX_check_weights`
pub fn check_weights(prefix: &str, expected: &Expected) -> String {
    let mut text = Text::inside();
    text.refuse("weights == NULL", "CRANELITE_NULL_POINTER");
    right_weights(&mut text, expected);
    let words = (expected.size_bytes - weights::HEADER_BYTES) / 8;
    let hash = format!("{prefix}_hash((const uint8_t *)weights + {}, {words}u, 1u)", weights::HEADER_BYTES);
    text.refuse(format!("{hash} != UINT64_C({:#018x})", expected.hash), "CRANELITE_WRONG_WEIGHTS");
    text.line("return CRANELITE_OK;");
    let parameters = [("const void *".to_string(), "weights")];
    function(&format!("cranelite_status {prefix}_check_weights"), &parameters, &text.finish())
}

/// `PREFIX_prepare`; `own` begins the name of its body.
pub fn prepare(prefix: &str, own: &str) -> String {
    let mut text = Text::inside();
    text.refuse("weights == NULL", "CRANELITE_NULL_POINTER");
    misaligned(&mut text, "weights", weights::ALIGN);
    text.line(format!("return {}((uint8_t *)weights);", name(own, Kind::Invoke)));
    function(&format!("cranelite_status {prefix}_prepare"), &[("void *".to_string(), "weights")], &text.finish())
}

/// A part of the state: where it begins, and what is in it at first as numbers of one type.
pub struct Initial<'a> {
    pub offset_bytes: u64,
    pub data: &'a [u8],
    pub numbers: Vec<Elem>,
}

/// `PREFIX_reset`, and the tables that it copies.
pub fn reset(prefix: &str, state: &State, parts: &[Initial]) -> String {
    let (mut tables, mut text) = (String::new(), Text::inside());
    text.line("uint8_t *const bytes = (uint8_t *)state;");
    text.refuse("state == NULL", "CRANELITE_NULL_POINTER");
    misaligned(&mut text, "state", state.align.into());
    let each = |text: &mut Text, offset: u64, count: usize, value: &str| {
        let at = if offset == 0 { "i".into() } else { format!("i + {offset}u") };
        text.open(format!("for (size_t i = 0u; i < {count}u; i++)"));
        text.line(format!("bytes[{at}] = {value};"));
        text.close();
    };
    each(&mut text, 0, state.initial.len(), "0u");
    for (n, part) in parts.iter().enumerate() {
        let first = part.data.first().copied().unwrap_or(0);
        match part.data.iter().all(|b| *b == first) {
            true if first == 0 => {}
            true => each(&mut text, part.offset_bytes, part.data.len(), &format!("{first}u")),
            false => {
                let name = format!("{prefix}_initial{n}");
                tables += &table(&name, "what is in the state at first", part.data, &part.numbers);
                each(&mut text, part.offset_bytes, part.data.len(), &format!("((const uint8_t *){name})[i]"));
            }
        }
    }
    text.line("return CRANELITE_OK;");
    let parameters = [("void *".to_string(), "state")];
    tables + &function(&format!("cranelite_status {prefix}_reset"), &parameters, &text.finish())
}
