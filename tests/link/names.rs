//! Models whose tensors and files have odd names, through compilers of C, C++ and Rust: nothing collides, whatever is used by name is there.

use super::failed;
use anyhow::{Result, anyhow, ensure};
use cranelite::bindings;
use cranelite::files::Files;
use cranelite::names;
use cranelite::pipeline::{self, Compiled, Options};
use cranelite::stages::Stages;
use cranelite_codegen::targets::Target;
use cranelite_tests::maker::{Code, Maker};
use cranelite_tests::tools::{WARNINGS, X86, exists, is_required, output};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// File names, and what tensors are called there.
const ODD: [&str; 48] = [
    "cranelite",
    "cranelite_model",
    "CRANELITE_OK",
    "in",
    "out",
    "IN",
    "ARENA",
    "arena",
    "ARENA_BYTES",
    "x",
    "X",
    "x_1",
    "x_COUNT",
    "COUNT",
    "3d",
    "0",
    "",
    " ",
    "_",
    "__",
    "a__b",
    "日本語",
    "für",
    "\u{202e}txt",
    "a\nb",
    "*/ x /*",
    "??/",
    "\\",
    "\"",
    "int",
    "Class",
    "self",
    "Self",
    "type",
    "crate",
    "core",
    "std",
    "fn",
    "int8_t",
    "float",
    "errno",
    "stdin",
    "complex",
    "min",
    "none",
    "model_inputs",
    "inputs",
    "invoke",
];

/// Keywords of C, C++ and Rust, of every standard and edition and of extensions; words that mean something in some places; types.
const WORDS: &str = "_Alignas _Alignof _Atomic _BitInt _Bool _Complex _Decimal128 _Decimal32 _Decimal64 _Generic _Imaginary _Noreturn \
    _Static_assert _Thread_local __attribute__ __asm__ alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand \
    bitor bool break case catch char char16_t char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval \
    constexpr constinit continue contract_assert decltype default delete do double dynamic_cast else enum explicit export extern false final \
    float for friend goto if import inline int long module mutable namespace new noexcept not not_eq nullptr operator or or_eq override post \
    pre private protected public register reinterpret_cast replaceable_if_eligible restrict return reflexpr requires short signed sizeof \
    static static_assert static_cast struct switch synchronized template this thread_local throw trivially_relocatable_if_eligible true try \
    typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t while xor xor_eq \
    abstract as async await become box crate dyn fn gen impl in let loop macro macro_rules match mod move mut priv pub raw ref safe self Self \
    super trait type unsafe unsized use where yield u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f16 f32 f64 f128 str String Vec Option \
    Some None Ok Err Result Box Error Tensor Quantization Arena Inputs Outputs invoke core std alloc cranelite_runtime \
    int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t size_t ptrdiff_t max_align_t nullptr_t intptr_t va_list FILE NULL EOF";

pub fn trials() -> Vec<Trial> {
    let is_ignored = !["gcc", "g++", "rustc"].iter().all(|t| exists(t)) && !is_required();
    let trial = |name: &str, test: fn() -> Result<()>| Trial::test(name, move || test().map_err(failed)).with_ignored_flag(is_ignored);
    vec![trial("names", odd_names), trial("words", words)]
}

/// A copy of every input, with these names.
fn copies(names: &[&str], options: Options) -> Result<Compiled> {
    let mut m = Maker::default();
    let (mut inputs, mut outputs) = (vec![], vec![]);
    for name in names {
        let (x, y) = (m.f32(name, &[1, 2], None), m.f32(name, &[1, 2], None));
        m.operator(Code::RELU, &[x], &[y], None);
        inputs.push(x);
        outputs.push(y);
    }
    let targets = [Target::new(X86, None)?];
    pipeline::compile(&m.finish(&inputs, &outputs), &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// The macros without parentheses, in lower case, of all headers that this machine has.
fn macros() -> Result<Vec<String>> {
    let headers = "assert.h complex.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h setjmp.h signal.h stdalign.h stdarg.h \
        stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h threads.h time.h uchar.h wchar.h wctype.h aio.h \
        arpa/inet.h dirent.h dlfcn.h fcntl.h glob.h grp.h langinfo.h libgen.h mqueue.h net/if.h netdb.h netinet/in.h poll.h pthread.h pwd.h \
        regex.h sched.h search.h semaphore.h spawn.h strings.h sys/ioctl.h sys/mman.h sys/msg.h sys/param.h sys/resource.h sys/select.h \
        sys/sem.h sys/shm.h sys/socket.h sys/stat.h sys/time.h sys/types.h sys/uio.h sys/un.h sys/wait.h syslog.h termios.h unistd.h utmpx.h";
    let folder = tempfile::tempdir()?;
    let source: String = headers.split_whitespace().map(|h| format!("#if __has_include(<{h}>)\n#include <{h}>\n#endif\n")).collect();
    std::fs::write(folder.path().join("all.c"), source)?;
    let mut all = BTreeSet::new();
    for std in ["-std=gnu99", "-std=gnu2x"] {
        let text = output(Command::new("gcc").current_dir(&folder).args([std, "-D_GNU_SOURCE", "-dM", "-E", "all.c"]))?;
        let names = text.lines().filter_map(|l| l.strip_prefix("#define ")?.split(' ').next());
        // Other compilers' atomics are functions, which no member is taken for.
        let is_plain = |n: &&str| n.starts_with(|c: char| c.is_ascii_lowercase()) && !n.contains('(') && !n.starts_with("atomic_");
        all.extend(names.filter(is_plain).map(String::from));
    }
    ensure!(["errno", "unix", "st_mtime"].iter().all(|m| all.contains(*m)), "{all:?}");
    Ok(all.into_iter().collect())
}

/// Every word that a language or a system keeps can be the name of a tensor and of a file; where `--name` takes it, it serves there, too.
fn words() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut files) = (folder.path(), Files::default());
    let macros = macros()?;
    let words: Vec<&str> = WORDS.split_whitespace().chain(macros.iter().map(String::as_str)).collect();
    let c = copies(&words, Options { prefix: "tensors".into(), ..Options::default() })?;
    files.add(folder.join("tensors.h"), c.header.clone());
    files.add(folder.join("tensors.rs"), bindings::write(&c, "words"));
    // With and without the macros of the system, before and after.
    let systems =
        "#include <assert.h>\n#include <complex.h>\n#include <errno.h>\n#include <signal.h>\n#include <stdio.h>\n#include <sys/stat.h>\n";
    files.add(folder.join("plain.c"), format!("#include \"tensors.h\"\n{}", user(&c)?));
    files.add(folder.join("before.c"), format!("{systems}#include \"tensors.h\"\n{}", user(&c)?));
    files.add(folder.join("after.c"), format!("#include \"tensors.h\"\n{systems}{}", user(&c)?));
    let (mut source, mut modules) = (String::new(), String::from("include!(\"tensors.rs\");\n"));
    let mut prefixes = BTreeSet::new();
    for word in &words {
        let named = Options::named_after(Path::new(&format!("{word}.tflite")));
        let given = names::is_identifier(word).then(|| Options { prefix: word.to_string(), ..Options::default() });
        for options in [Some(named), given].into_iter().flatten() {
            // In C, macros have the prefix in capitals.
            if !prefixes.insert(options.prefix.to_uppercase()) {
                continue;
            }
            let c = copies(&["x"], options)?;
            files.add(folder.join(format!("{}.h", c.prefix)), c.header.clone());
            files.add(folder.join(format!("{}.rs", c.prefix)), bindings::write(&c, "words"));
            writeln!(source, "#include \"./{}.h\"\n{}", c.prefix, user(&c)?)?;
            writeln!(modules, "include!(\"{}.rs\");", c.prefix)?;
        }
    }
    // What a module of these names would hide.
    modules += "pub fn user() -> Result<Vec<f32>, String> { let x: u8 = 1; Ok(vec![f32::from(x)]) }\n";
    files.add(folder.join("files.c"), source);
    files.add(folder.join("all.rs"), modules);
    files.add(folder.join("runtime.rs"), include_str!("../../runtime-stub/cranelite-runtime/src/lib.rs"));
    files.write()?;
    const C: [&str; 4] = ["c99", "c17", "c2x", "gnu2x"];
    const CPP: [&str; 4] = ["c++98", "c++17", "c++20", "gnu++2b"];
    for (compiler, language, standards) in
        [("gcc", "-xc", &C[..]), ("clang", "-xc", &C), ("g++", "-xc++", &CPP), ("clang++", "-xc++", &CPP)]
    {
        if !exists(compiler) && !is_required() {
            continue;
        }
        for standard in standards {
            let mut command = Command::new(compiler);
            command.current_dir(folder).args(WARNINGS).args([&format!("-std={standard}"), language, "-fsyntax-only"]);
            output(command.args(["plain.c", "before.c", "after.c", "files.c"]))?;
        }
    }
    // Words of technical specifications, which only some compilers have.
    let extensions = ["-std=gnu++2b", "-fconcepts", "-fcoroutines", "-fgnu-tm", "-fmodules-ts", "-fchar8_t", "-xc++", "-fsyntax-only"];
    output(Command::new("g++").current_dir(folder).args(extensions).args(["plain.c", "files.c"]))?;
    rustc(folder, &["--edition=2024", "--crate-name=cranelite_runtime", "runtime.rs"])?;
    for edition in ["--edition=2018", "--edition=2021", "--edition=2024"] {
        rustc(folder, &[edition, "--extern=cranelite_runtime=libcranelite_runtime.rmeta", "all.rs"])?;
    }
    Ok(())
}

fn rustc(folder: &Path, arguments: &[&str]) -> Result<String> {
    output(Command::new("rustc").current_dir(folder).args(["--crate-type=rlib", "--emit=metadata", "-Dwarnings"]).args(arguments))
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    /// An odd name, or one of random characters of a kind that names like to have, sometimes very long.
    fn name(&mut self) -> String {
        if self.below(3) != 0 {
            return ODD[self.below(ODD.len())].into();
        }
        let length = if self.below(4) == 0 { 300 } else { self.below(6) };
        (0..length).map(|_| ['a', 'B', '_', '/', ':', '7', 'é', ' ', '*', ';'][self.below(10)]).collect()
    }
}

/// Up to nine inputs, and as many outputs.
fn compiled(file: &str, random: &mut Random) -> Result<Compiled> {
    let mut m = Maker::default();
    let (mut inputs, mut outputs) = (vec![], vec![]);
    for _ in 0..1 + random.below(9) {
        let (x, y) = (m.f32(&random.name(), &[1, 2], None), m.f32(&random.name(), &[1, 2], None));
        m.operator(Code::RELU, &[x], &[y], None);
        inputs.push(x);
        outputs.push(y);
    }
    let made = Options::named_after(Path::new(&format!("{}.tflite", file.replace('/', "_"))));
    let options = Options { self_test: true, threads: 2, profile: true, ..made };
    let targets = [Target::new(X86, None)?];
    pipeline::compile(&m.finish(&inputs, &outputs), &targets, &options, &mut Stages::none()).map_err(|e| anyhow!("{e:?}"))
}

/// A function that uses every name of a header.
fn user(c: &Compiled) -> Result<String> {
    let (prefix, upper) = (&c.prefix, c.prefix.to_uppercase());
    let mut out = format!("int exercise_{prefix}(const {prefix}_inputs *in, const {prefix}_outputs *out, void *arena);\n");
    writeln!(out, "int exercise_{prefix}(const {prefix}_inputs *in, const {prefix}_outputs *out, void *arena) {{\n    float sum = 0;")?;
    for (kind, tensors) in [("in", &c.main().signature.inputs), ("out", &c.main().signature.outputs)] {
        for t in tensors {
            let id = &t.identifier;
            writeln!(out, "    sum += {kind}->{id}[{upper}_{}_{}_COUNT - 1];", kind.to_uppercase(), id.to_uppercase())?;
        }
    }
    writeln!(out, "    return {prefix}_invoke(in, out, arena) + (int)sum + ({prefix}_model.abi_version == {upper}_ARENA_ALIGN);\n}}")?;
    Ok(out)
}

fn odd_names() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, mut random, mut files) = (folder.path(), Random(11), Files::default());
    let (mut source, mut modules, mut prefixes) = (String::new(), String::new(), BTreeSet::new());
    writeln!(
        source,
        "#include <assert.h>\n#include <errno.h>\n#include <math.h>\n#include <stdio.h>\n#include <signal.h>\n#include <sys/param.h>"
    )?;
    // Every odd name is a file's once, and random ones.
    for i in 0..ODD.len() + 12 {
        let file = ODD.get(i).map_or_else(|| random.name(), |name| name.to_string());
        let c = compiled(&file, &mut random)?;
        if !prefixes.insert(c.prefix.to_uppercase()) {
            continue;
        }
        files.add(folder.join(format!("{i}.h")), c.header.clone());
        files.add(folder.join(format!("{i}.rs")), bindings::write(&c, &file));
        writeln!(source, "#include \"{i}.h\"\n{}", user(&c)?)?;
        writeln!(modules, "include!(\"{i}.rs\");")?;
    }
    ensure!(20 < prefixes.len(), "{prefixes:?}");
    files.add(folder.join("all.c"), source);
    files.add(folder.join("all.rs"), modules);
    files.add(folder.join("runtime.rs"), include_str!("../../runtime-stub/cranelite-runtime/src/lib.rs"));
    files.write()?;
    for (compiler, options) in
        [("gcc", ["-std=c99", "-xc"]), ("gcc", ["-std=c2x", "-xc"]), ("g++", ["-std=c++20", "-xc++"]), ("clang", ["-std=c11", "-xc"])]
    {
        if exists(compiler) || is_required() {
            output(Command::new(compiler).current_dir(folder).args(WARNINGS).args(options).args(["-fsyntax-only", "all.c"]))?;
        }
    }
    rustc(folder, &["--edition=2024", "--crate-name=cranelite_runtime", "runtime.rs"])?;
    rustc(folder, &["--edition=2024", "--extern=cranelite_runtime=libcranelite_runtime.rmeta", "all.rs"])?;
    Ok(())
}
