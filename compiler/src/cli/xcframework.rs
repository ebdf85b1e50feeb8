//! `xcframework`: a model becomes libraries for several of Apple's systems, in one folder that Xcode and Swift packages take.

use super::convert;
use super::options::{ModelOptions, ObjectOptions, PreferenceOptions, TargetOptions};
use super::{Outcome, print, print_json, warn};
use crate::diagnostic::{Failure, shown};
use crate::files;
use crate::pipeline::{self, Compiled, Options};
use crate::report::{self, grouped};
use crate::stages::Stages;
use crate::xcframework::{self, Architecture, LIST, Library, Platform, Slice};
use clap::{Args, ValueEnum};
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Compiles a model for iOS, its simulator and macOS, into an .xcframework
#[derive(Args)]
pub struct XcframeworkArgs {
    /// The model: a .tflite file, or one of Keras, TensorFlow or PyTorch, which is converted first
    pub model: PathBuf,
    /// The folder to write, which takes the place of an older one; PREFIX.xcframework by default
    #[arg(short, long, value_name = "NAME.xcframework", value_parser = output)]
    output: Option<PathBuf>,
    /// Systems to compile for, all of them by default
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "SYSTEM,...",
        hide_possible_values = true,
        long_help = "Systems to compile for: ios, ios-simulator, macos; all of them by default"
    )]
    platform: Vec<Platform>,
    /// Feature level for an architecture (arm64, x86_64), instead of the least that each system runs on; may be repeated
    #[arg(long, value_name = "ARCH=LEVEL,...", value_parser = cpu)]
    cpu: Vec<(Architecture, String)>,
    /// Do not check that the CPU has what the level needs: for programs that do not start on others
    #[arg(long)]
    no_cpu_check: bool,
    #[command(flatten)]
    about: ModelOptions,
    #[command(flatten)]
    prefer: PreferenceOptions,
    #[command(flatten)]
    object: ObjectOptions,
    /// Print what was made, or the problems, as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn xcframework(args: XcframeworkArgs) -> Outcome {
    let systems = systems(&args)?;
    args.object.check(&systems[0].1[0].1[0])?;
    let (source, options) = args.about.open(&args.model, None)?;
    let options = Options { prefer: args.prefer.into(), no_cpu_check: args.no_cpu_check, ..args.object.applied(options) };
    let output = args.output.unwrap_or_else(|| format!("{}.xcframework", options.prefix).into());
    let (mut libraries, mut made) = (vec![], vec![]);
    for (platform, targets) in systems {
        let mut slices = vec![];
        for (architecture, targets) in targets {
            let compiled =
                pipeline::compile(&source.model, &targets, &options, &mut Stages::none()).map_err(Failure::in_file(&args.model))?;
            slices.push(Slice { architecture, object: compiled.object.bytes.clone(), header: compiled.header.clone() });
            made.push((libraries.len(), compiled));
        }
        libraries.push(Library { platform, slices });
    }
    warn(&args.model, &made[0].1.left_out);
    let comparison = convert::comparison(&source)?;
    let all = xcframework::files(&options.prefix, &libraries)
        .map_err(|e| Diagnostic::new(Code::FILE_ACCESS, format!("cannot make the libraries of {}: {e}", shown(&output))))?;
    files::write_folder(&output, &all, LIST, &args.model)?;
    if args.json {
        let slice = |(library, compiled): &(usize, Compiled)| {
            let mut facts = report::json(compiled);
            facts["library"] = json!(libraries[*library].identifier());
            facts
        };
        let mut facts = json!({
            "framework": output.to_string_lossy(),
            "prefix": options.prefix,
            "slices": made.iter().map(slice).collect::<Vec<_>>(),
        });
        if let Some(comparison) = comparison {
            facts["comparison"] = comparison.to_json();
        }
        print_json(&facts);
    } else {
        print(&comparison.map(|c| c.text(convert::MOST_OPERATORS)).unwrap_or_default());
        print(&summary(&output, &libraries, &made));
    }
    Ok(())
}

/// An architecture, and the levels of its object.
type ForOne = (Architecture, Vec<Target>);

/// What to compile for: at least one system with at least one architecture.
fn systems(args: &XcframeworkArgs) -> Result<Vec<(Platform, Vec<ForOne>)>, Failure> {
    let wanted = if args.platform.is_empty() { &Platform::ALL[..] } else { &args.platform };
    let again = |all: &[bool], what: &str| match all.contains(&true) {
        true => Err(Failure::Usage(format!("{what} twice"))),
        false => Ok(()),
    };
    again(&repeated(wanted), "--platform names a system")?;
    again(&repeated(&args.cpu.iter().map(|(a, _)| *a).collect::<Vec<_>>()), "--cpu names an architecture")?;
    let runs = |a: &Architecture| wanted.iter().flat_map(|p| p.triples()).any(|(of, _)| of == a);
    if let Some((architecture, _)) = args.cpu.iter().find(|(a, _)| !runs(a)) {
        let name = architecture.to_possible_value().map(|v| v.get_name().to_string()).unwrap_or_default();
        return Err(Failure::Usage(format!("--cpu is about {name}, which none of the systems runs on")));
    }
    let mut out = vec![];
    for platform in wanted {
        let mut targets = vec![];
        for (architecture, triple) in platform.triples() {
            let cpu = args.cpu.iter().find(|(of, _)| of == architecture).map(|(_, level)| level.clone());
            let target = TargetOptions { target: Some(triple.to_string()), cpu, no_cpu_check: args.no_cpu_check };
            targets.push((*architecture, target.or_baseline()?));
        }
        out.push((*platform, targets));
    }
    Ok(out)
}

/// Of each, whether an earlier one is the same.
fn repeated<T: PartialEq>(all: &[T]) -> Vec<bool> {
    all.iter().enumerate().map(|(i, one)| all[..i].contains(one)).collect()
}

fn summary(output: &Path, libraries: &[Library], made: &[(usize, Compiled)]) -> String {
    let mut out = format!("{}\n", shown(output));
    for (library, compiled) in made {
        let sizes = &compiled.object;
        let [arena, constants, code, stack] =
            [sizes.arena_bytes, sizes.const_bytes, sizes.code_bytes, sizes.stack_bytes.into()].map(grouped);
        let (identifier, triple, levels) = (libraries[*library].identifier(), compiled.triple(), compiled.level_names());
        out += &format!("{identifier}: {triple} {levels}\narena {arena} bytes, constants {constants}, code {code}, stack {stack}\n");
    }
    out
}

fn output(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_framework = path.extension().is_some_and(|e| e == "xcframework");
    if is_framework { Ok(path) } else { Err("a framework is a folder whose name ends in .xcframework".into()) }
}

/// `ARCH=LEVEL,...`
fn cpu(text: &str) -> Result<(Architecture, String), String> {
    let wanted = "write arm64=LEVEL or x86_64=LEVEL, such as arm64=generic+dotprod";
    let (architecture, level) = text.split_once('=').ok_or(wanted)?;
    Ok((Architecture::from_str(architecture, false).map_err(|_| wanted)?, level.into()))
}
