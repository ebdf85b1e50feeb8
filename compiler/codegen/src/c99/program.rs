//! A placed program as one C file: constants, kernels, and the entry points of the header.
//!
//! Not the header, which is the same as an object's. The ideas: constants are tables of words, so that they are aligned and C may read their bytes; what an
//! entry point asks of its arguments is what an object asks (`object/plan.rs`); a step of the schedule is a statement.

use super::kernel;
use super::library;
use crate::object::model::Source;
use crate::object::plan::{Check, Exported, Facts, Form, Kind, Parameter, Pointer};
use crate::object::{Entry, EntryFacts, Error, IoPlaces, KernelFacts, LevelFacts, Object, Options};
use cranelite_tile::{BufferId, Call, Kernel, KernelId, Program, Role, Step};
use std::collections::BTreeMap;
use std::fmt::Write;

const INDENT: &str = "    ";

/// `header`: the name of the header beside the file.
pub fn emit(entries: &[Entry], options: &Options, header: &str) -> Result<Object, Error> {
    for (is_asked, what) in [
        (options.profile, "--profile"),
        (options.parallel, "--threads"),
        (options.weights, "--weights"),
        (options.unwind, "--unwind"),
        (options.const_section.is_some(), "--const-section"),
        (entries.iter().any(|e| !e.self_test.is_empty()), "--self-test"),
        (1 < entries[0].levels.len(), "several levels"),
        (1 < entries.len(), "several signatures"),
    ] {
        if is_asked {
            return Err(Error::NotInC(what));
        }
    }
    let entry = &entries[0];
    let program = entry.levels[0].program;
    if program.kernels.iter().any(|k| k.foreign.is_some()) {
        return Err(Error::NotInC("functions of custom operators (--custom)"));
    }
    let mut file = File {
        program,
        prefix: &options.prefix,
        constants: BTreeMap::new(),
        kernels: BTreeMap::new(),
        tables: String::new(),
        functions: String::new(),
        const_bytes: 0,
    };
    file.constants();
    file.kernels()?;
    file.finish(entry, options.source, header)
}

struct File<'a> {
    program: &'a Program,
    prefix: &'a str,
    /// Names of tables, and of functions.
    constants: BTreeMap<BufferId, String>,
    kernels: BTreeMap<KernelId, String>,
    tables: String,
    functions: String,
    const_bytes: u64,
}

/// Letters, digits and underscores of a name.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

impl File<'_> {
    fn constants(&mut self) {
        let mut by_content: BTreeMap<&[u8], String> = BTreeMap::new();
        for id in crate::object::used(self.program, Role::Const) {
            let buffer = self.program.buffer(id);
            let bytes = buffer.data.as_deref().unwrap_or_default();
            if let Some(known) = by_content.get(bytes) {
                self.constants.insert(id, known.clone());
                continue;
            }
            let name = format!("{}_c{}_{}", self.prefix, id.0, word(&buffer.name));
            // Whole words, one at least.
            let mut words: Vec<u32> = bytes
                .chunks(4)
                .map(|chunk| {
                    let mut four = [0; 4];
                    four[..chunk.len()].copy_from_slice(chunk);
                    u32::from_le_bytes(four)
                })
                .collect();
            words.resize(words.len().max(1), 0);
            writeln!(self.tables, "/* {} bytes */\nstatic const uint32_t {name}[{}] = {{", bytes.len(), words.len())
                .expect("a string takes everything");
            for line in words.chunks(10) {
                let line: Vec<String> = line.iter().map(|w| format!("{w:#010x}u")).collect();
                writeln!(self.tables, "{INDENT}{},", line.join(", ")).expect("a string takes everything");
            }
            self.tables.push_str("};\n\n");
            self.const_bytes += bytes.len() as u64;
            by_content.insert(bytes, name.clone());
            self.constants.insert(id, name);
        }
    }

    fn kernels(&mut self) -> Result<(), Error> {
        let mut known: Vec<(&Kernel, String)> = vec![];
        for call in self.program.calls() {
            if self.kernels.contains_key(&call.kernel) {
                continue;
            }
            let kernel = self.program.kernel(call.kernel);
            if let Some((_, name)) = known.iter().find(|(k, _)| k.same_code(kernel)) {
                self.kernels.insert(call.kernel, name.clone());
                continue;
            }
            let name = format!("{}_k{}_{}", self.prefix, call.kernel.0, word(&kernel.name));
            let text = kernel::function(kernel, &name)?;
            writeln!(self.functions, "{text}").expect("a string takes everything");
            known.push((kernel, name.clone()));
            self.kernels.insert(call.kernel, name);
        }
        Ok(())
    }

    /// A pointer to a buffer in the body.
    fn address(&self, buffer: BufferId) -> String {
        let (root, offset) = self.program.root(buffer);
        let b = self.program.buffer(root);
        let (base, offset) = match b.role {
            Role::Input(_) | Role::Output(_) if b.offset_bytes.is_some() => ("arena".to_string(), offset + b.offset_bytes.unwrap_or(0)),
            Role::Input(i) => (format!("in[{i}]"), offset),
            Role::Output(i) => (format!("out[{i}]"), offset),
            Role::Scratch => ("arena".into(), offset + b.offset_bytes.unwrap_or(0)),
            Role::State => ("state".into(), offset + b.offset_bytes.unwrap_or(0)),
            Role::Const => (format!("(const uint8_t *){}", self.constants[&root]), offset),
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
        format!("{}({});", self.kernels[&call.kernel], all.join(", "))
    }

    fn steps(&mut self, steps: &[Step], depth: usize, turn: usize, out: &mut String) {
        let indent = INDENT.repeat(depth);
        let mut line = |text: String| writeln!(out, "{indent}{text}").expect("a string takes everything");
        for step in steps {
            match step {
                Step::Call(call) => line(self.call(call, &format!("turn{turn}"))),
                Step::Parallel(calls) => calls.iter().for_each(|call| line(self.call(call, &format!("turn{turn}")))),
                Step::Check(buffer) => {
                    let load = library::name("load_i32").expect("a function of the library");
                    line(format!(
                        "if ({load}({}) != 0) {{\n{indent}{INDENT}return CRANELITE_INDEX_OUT_OF_RANGE;\n{indent}}}",
                        self.address(*buffer)
                    ));
                }
                Step::Repeat { count, body } => {
                    let mut inner = String::new();
                    self.steps(body, depth + 1, turn + 1, &mut inner);
                    let t = format!("turn{}", turn + 1);
                    line(format!("for (ptrdiff_t {t} = 0; {t} < {count}; {t}++) {{\n{inner}{indent}}}"));
                }
                Step::If { condition, then, otherwise } => {
                    let [mut yes, mut no] = [String::new(), String::new()];
                    self.steps(then, depth + 1, turn, &mut yes);
                    self.steps(otherwise, depth + 1, turn, &mut no);
                    line(format!("if (*({}) != 0u) {{\n{yes}{indent}}} else {{\n{no}{indent}}}", self.address(*condition)));
                }
                Step::While { test, condition, body } => {
                    let mut inner = String::new();
                    self.steps(test, depth + 1, turn, &mut inner);
                    let condition = self.address(*condition);
                    writeln!(inner, "{indent}{INDENT}if (*({condition}) == 0u) {{\n{indent}{INDENT}{INDENT}break;\n{indent}{INDENT}}}")
                        .expect("a string");
                    self.steps(body, depth + 1, turn, &mut inner);
                    line(format!("for (;;) {{\n{inner}{indent}}}"));
                }
            }
        }
    }

    fn finish(mut self, entry: &Entry, source: Source, header: &str) -> Result<Object, Error> {
        let program = self.program;
        let places = IoPlaces::of(program);
        let (arena_bytes, arena_align) = crate::object::arena(program)?;
        let arena_bytes = arena_bytes.next_multiple_of(u64::from(arena_align));
        let state = program.state().ok_or(Error::StateTooLarge)?;
        let has_state = !state.initial.is_empty();
        let form = Form { io_in_arena: places.is_in_arena(), state: has_state, weights: false };
        let [inputs, outputs] = [entry.inputs.len() as u32, entry.outputs.len() as u32];
        let facts = Facts { form, inputs, outputs, arena_bytes, arena_align, state_align: state.align, buffer_align: 8 };
        let prefix = &entry.prefix;

        let mut body = String::new();
        let schedule = &program.schedule;
        self.steps(schedule, 1, 0, &mut body);
        let mut out = String::new();
        let parameters = "const uint8_t *const *in, uint8_t *const *out, uint8_t *arena, uint8_t *state";
        let unused: String = ["in", "out", "arena", "state"].iter().map(|name| format!("{INDENT}(void){name};\n")).collect();
        writeln!(out, "static cranelite_status {prefix}_body({parameters})\n{{\n{unused}{body}{INDENT}return CRANELITE_OK;\n}}\n")
            .expect("a string");
        out += &self.invoke(entry, &facts);
        if has_state {
            out += &self.reset(&state.initial, state.align);
        }
        out += &model(entry, source, &facts, &places, self.const_bytes, state.initial.len() as u64);

        let mut text = format!(
            "/* Made by cranelite: do not edit. One function for each kernel; memory is the caller's, and every access was proved in bounds. */\n\
             #include \"{header}\"\n\n\
             #if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__)\n#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__\n\
             #error \"the constants of this file are for little-endian machines\"\n#endif\n#endif\n\n\
             /* No product and sum become one operation: results would be rounded differently. */\n\
             #if defined(__clang__)\n#pragma STDC FP_CONTRACT OFF\n#elif defined(__GNUC__)\n#pragma GCC optimize(\"fp-contract=off\", \"no-schedule-insns\", \"no-tree-loop-distribute-patterns\")\n#endif\n\n"
        );
        text += &library::text_for(&format!("{}{out}", self.functions));
        text += &self.tables;
        text += &self.functions;
        text += &out;
        let kernels = program.kernels.iter().enumerate().map(|(i, _)| KernelFacts {
            symbol: self.kernels.get(&KernelId(i as u32)).cloned().unwrap_or_default(),
            ..KernelFacts::default()
        });
        let level = LevelFacts {
            name: entry.levels[0].target.level.clone(),
            code_bytes: 0,
            const_bytes: self.const_bytes,
            arena_bytes,
            arena_align,
            kernels: kernels.collect(),
        };
        Ok(Object {
            bytes: text.into_bytes(),
            const_bytes: self.const_bytes,
            arena_bytes,
            arena_align,
            state_bytes: state.initial.len() as u64,
            state_align: if has_state { state.align } else { 1 },
            entries: vec![EntryFacts { arena_bytes, arena_align, stack_bytes: 0, io_places: places, levels: vec![level.clone()] }],
            levels: vec![level],
            ..Object::default()
        })
    }

    /// The typed entry point, and the one that takes everything.
    fn invoke(&self, entry: &Entry, facts: &Facts) -> String {
        let exported = Exported::new(Kind::Invoke, facts);
        let prefix = &entry.prefix;
        let (mut parameters, mut checks) = (vec![], String::new());
        for p in &exported.parameters {
            parameters.push(match p {
                Parameter::Inputs => format!("const {prefix}_inputs *in"),
                Parameter::Outputs => format!("const {prefix}_outputs *out"),
                Parameter::Arena => "void *arena".into(),
                _ => "void *state".into(),
            });
        }
        let name = |p: &Parameter| match p {
            Parameter::Inputs => "in",
            Parameter::Outputs => "out",
            Parameter::Arena => "arena",
            _ => "state",
        };
        let member = |p: &Parameter, i: u32| {
            let tensors = if *p == Parameter::Inputs { &entry.inputs } else { &entry.outputs };
            format!("{}->{}", name(p), tensors[i as usize].identifier)
        };
        let mut refuse = |condition: String, status: &str| {
            writeln!(checks, "{INDENT}if ({condition}) {{\n{INDENT}{INDENT}return {status};\n{INDENT}}}").expect("a string");
        };
        for check in &exported.checks {
            match check {
                Check::NotNull(pointers) => {
                    let all: Vec<String> = pointers
                        .iter()
                        .map(|p| match p {
                            Pointer::Of(p) => format!("{} == NULL", name(p)),
                            Pointer::In(p, i) => format!("{} == NULL", member(p, *i)),
                        })
                        .collect();
                    refuse(all.join(" || "), "CRANELITE_NULL_POINTER");
                }
                Check::NoneNull(p, n) => {
                    let all: Vec<String> = (0..*n).map(|i| format!("{} == NULL", member(p, i))).collect();
                    refuse(all.join(" || "), "CRANELITE_NULL_POINTER");
                }
                Check::Aligned(p, align) => {
                    refuse(format!("((uintptr_t){} & {}u) != 0u", name(p), align - 1), "CRANELITE_MISALIGNED_ARENA")
                }
                Check::RightWeights => {}
            }
        }
        let list = |p: Parameter, count: u32, of: &str, array: &str| {
            let all: Vec<String> = (0..count).map(|i| format!("({of} *){}", member(&p, i))).collect();
            let all = if all.is_empty() || facts.form.io_in_arena { "NULL".into() } else { all.join(", ") };
            format!("{INDENT}{of} *const {array}[] = {{{all}}};\n")
        };
        // Declarations stand after the checks, which C99 allows: nothing is read through a null pointer.
        let arrays = list(Parameter::Inputs, facts.inputs, "const uint8_t", "inputs")
            + &list(Parameter::Outputs, facts.outputs, "uint8_t", "outputs");
        let state = if facts.form.state { "state" } else { "NULL" };
        let unused: String = exported.parameters.iter().map(|p| format!("{INDENT}(void){};\n", name(p))).collect();
        let mut out = format!(
            "cranelite_status {prefix}_invoke({})\n{{\n{unused}{checks}{{\n{arrays}{INDENT}return {prefix}_body(inputs, outputs, (uint8_t *)arena, (uint8_t *){state});\n}}\n}}\n\n",
            parameters.join(", ")
        );
        let mut fill = String::new();
        let mut arguments = vec![];
        for p in &exported.parameters {
            match p {
                Parameter::Inputs | Parameter::Outputs => {
                    let (what, tensors, constant) =
                        if *p == Parameter::Inputs { ("inputs", &entry.inputs, "const ") } else { ("outputs", &entry.outputs, "") };
                    writeln!(fill, "{INDENT}{prefix}_{what} {what};").expect("a string");
                    arguments.push((what, tensors, constant));
                }
                _ => {}
            }
        }
        let mut assign = String::new();
        for (what, tensors, constant) in &arguments {
            if tensors.is_empty() {
                writeln!(assign, "{INDENT}{what}.none = NULL;").expect("a string");
                continue;
            }
            writeln!(assign, "{INDENT}{constant}void *const *const {what}_given = ({constant}void *const *)call->{what};")
                .expect("a string");
            writeln!(assign, "{INDENT}if ({what}_given == NULL) {{\n{INDENT}{INDENT}return CRANELITE_NULL_POINTER;\n{INDENT}}}")
                .expect("a string");
            for (i, t) in tensors.iter().enumerate() {
                writeln!(assign, "{INDENT}{what}.{} = {what}_given[{i}];", t.identifier).expect("a string");
            }
        }
        let mut passed: Vec<String> = arguments.iter().map(|(what, ..)| format!("&{what}")).collect();
        passed.push("call->arena".into());
        if facts.form.state {
            passed.push("call->state".into());
        }
        out += &format!(
            "static cranelite_status {prefix}_call(const cranelite_call *call)\n{{\n{fill}{INDENT}if (call == NULL || call->struct_size < sizeof(cranelite_call)) {{\n\
             {INDENT}{INDENT}return CRANELITE_NULL_POINTER;\n{INDENT}}}\n{assign}{INDENT}return {prefix}_invoke({});\n}}\n\n",
            passed.join(", ")
        );
        out
    }

    fn reset(&self, initial: &[u8], align: u32) -> String {
        let prefix = self.prefix;
        let mut fill = String::new();
        if initial.iter().all(|b| *b == 0) {
            writeln!(fill, "{INDENT}for (size_t i = 0; i < {}u; i++) {{\n{INDENT}{INDENT}bytes[i] = 0u;\n{INDENT}}}", initial.len())
                .expect("a string");
        } else {
            let lines: Vec<String> = initial.chunks(20).map(|l| l.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")).collect();
            writeln!(fill, "{INDENT}static const uint8_t initial[{}] = {{\n{}\n{INDENT}}};", initial.len(), lines.join(",\n"))
                .expect("a string");
            writeln!(
                fill,
                "{INDENT}for (size_t i = 0; i < {}u; i++) {{\n{INDENT}{INDENT}bytes[i] = initial[i];\n{INDENT}}}",
                initial.len()
            )
            .expect("a string");
        }
        format!(
            "cranelite_status {prefix}_reset(void *state)\n{{\n{INDENT}uint8_t *const bytes = (uint8_t *)state;\n{INDENT}if (state == NULL) {{\n{INDENT}{INDENT}return CRANELITE_NULL_POINTER;\n{INDENT}}}\n\
             {INDENT}if (((uintptr_t)state & {}u) != 0u) {{\n{INDENT}{INDENT}return CRANELITE_MISALIGNED_ARENA;\n{INDENT}}}\n{{\n{fill}}}\n{INDENT}return CRANELITE_OK;\n}}\n\n",
            align - 1
        )
    }
}

/// The description, for callers that serve any model.
fn model(entry: &Entry, source: Source, facts: &Facts, places: &IoPlaces, const_bytes: u64, state_bytes: u64) -> String {
    let prefix = &entry.prefix;
    let mut out = String::new();
    for (what, tensors, places) in [("inputs", &entry.inputs, &places.inputs), ("outputs", &entry.outputs, &places.outputs)] {
        for (i, t) in tensors.iter().enumerate() {
            let dims: Vec<String> = t.dims.iter().map(i32::to_string).collect();
            let dims = if dims.is_empty() { "0".into() } else { dims.join(", ") };
            writeln!(out, "static const int32_t {prefix}_{what}_dims{i}[] = {{{dims}}};").expect("a string");
        }
        writeln!(out, "static const cranelite_tensor {prefix}_{what}_about[] = {{").expect("a string");
        for (i, t) in tensors.iter().enumerate() {
            let place = places.get(i).map_or("UINT64_MAX".into(), |p| format!("UINT64_C({p})"));
            let name = quoted(&t.name);
            writeln!(
                out,
                "{INDENT}{{{name}, {prefix}_{what}_dims{i}, {}u, {}u, UINT64_C({}), {}, {}, {place}, {}, {}, {}}},",
                t.dims.len(),
                t.ty,
                t.size_bytes,
                kernel::float(t.scale),
                t.zero_point,
                quoted(&t.tensor_name),
                t.tensor_index.map_or("-1".into(), |i| i.to_string()),
                t.count.map_or("UINT32_MAX".into(), |i| format!("{i}u")),
            )
            .expect("a string");
        }
        if tensors.is_empty() {
            writeln!(out, "{INDENT}{{NULL, NULL, 0u, 0u, 0u, 0.0f, 0, 0u, NULL, -1, 0u}},").expect("a string");
        }
        out += "};\n";
    }
    let reset = if facts.form.state { format!("{prefix}_reset") } else { "NULL".into() };
    let state_align = if facts.form.state { facts.state_align } else { 1 };
    format!(
        "{out}static const char *const {prefix}_levels[] = {{{}}};\n\n\
         const cranelite_model {prefix}_model = {{\n{INDENT}1u, (uint32_t)sizeof(cranelite_model), (uint32_t)sizeof(cranelite_tensor), {}u, UINT64_C({}), UINT64_C({const_bytes}), UINT64_C({state_bytes}), 0u,\n\
         {INDENT}{}, {prefix}_inputs_about, {prefix}_outputs_about, {}u, {}u, {prefix}_call, {reset}, {state_align}u, 0u, 1u, {}u, {prefix}_levels, NULL, 0u, NULL, 0u,\n\
         {INDENT}UINT64_C({}), UINT64_C({}), {}, {}u, 0u\n}};\n",
        quoted(&entry.levels[0].target.level),
        facts.arena_align,
        facts.arena_bytes,
        quoted(prefix),
        facts.inputs,
        facts.outputs,
        source.keeps,
        source.bytes,
        source.hash,
        if entry.key.is_empty() { "NULL".into() } else { quoted(&entry.key) },
        entry.subgraph,
    )
}

/// A string of C: printable characters of ASCII as they are, all other bytes by number.
fn quoted(text: &str) -> String {
    let one = |b: u8| match b {
        b'"' | b'\\' | b'?' => format!("\\{}", b as char),
        b' '..=b'~' => (b as char).to_string(),
        _ => format!("\\{b:03o}"),
    };
    format!("\"{}\"", text.bytes().filter(|b| *b != 0).map(one).collect::<String>())
}
