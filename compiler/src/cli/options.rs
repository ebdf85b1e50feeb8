//! Options that several commands share: the target, the goal, what is decided about the model, sizes in bytes.

use super::complain;
use crate::array::Array;
use crate::compression::Compress;
use crate::convert::{self, ImageRange, Quantisation, Source};
use crate::diagnostic::{Failure, shown, tidy};
use crate::files;
use crate::limits::Limits;
use crate::names;
use crate::pipeline::{self, Io};
use crate::piping::{FromMetadata, Piping};
use clap::{Args, ValueEnum};
use cranelite_codegen::loader::Library;
use cranelite_codegen::object::section;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::import::{self, InputKey, Signatures};
use cranelite_graph::lower::{Goal, Preferences};
use cranelite_graph::pipeline::spec::{Format, Frame};
use cranelite_tile::Foreign;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct TargetOptions {
    /// Triple to compile for, this machine's by default; `cranelite targets` lists them
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Feature level: NAME[+feature][+no-feature], such as x86-64-v3, generic+dotprod, cortex-a55 or native; of several in one object, the best that
    /// the CPU has is run, of those with equal features the first
    #[arg(long, value_name = "LEVEL,...")]
    pub cpu: Option<String>,
    /// Do not check that the CPU has what the level needs: for firmware, whose CPU is known
    #[arg(long)]
    pub no_cpu_check: bool,
}

impl TargetOptions {
    /// Without `--cpu` the target's baseline.
    pub fn or_baseline(&self) -> Result<Vec<Target>, Failure> {
        let of = |triple: &str| Target::list(triple, self.cpu.as_deref());
        let targets = match &self.target {
            Some(triple) => of(triple),
            None => Target::native().and_then(|native| of(&native.triple.to_string())),
        }
        .map_err(|e| Diagnostic::new(Code::TARGET, e.to_string()))?;
        if self.no_cpu_check && 1 < targets.len() {
            let message = format!("without a check of the CPU there is no choice between {} levels: give --cpu one of them", targets.len());
            return Err(Failure::Usage(message));
        }
        Ok(targets)
    }

    /// Without `--cpu` all that this machine can, if it is the target.
    pub fn or_native(&self) -> Result<Vec<Target>, Failure> {
        match (&self.target, &self.cpu) {
            (None, None) => Ok(vec![Target::native().map_err(|e| Diagnostic::new(Code::TARGET, e.to_string()))?]),
            _ => self.or_baseline(),
        }
    }
}

/// Functions of the user's.
#[derive(Args, Clone)]
pub struct CustomOptions {
    /// Make the custom operator NAME a call of your own C function, whose prototype is in the header; may be repeated
    #[arg(long, value_name = "NAME=SYMBOL", value_parser = custom)]
    custom: Vec<(String, String)>,
}

impl CustomOptions {
    /// One function for each name.
    pub fn functions(&self) -> Result<Vec<(String, String)>, Failure> {
        let again = self.custom.iter().enumerate().find(|(i, (name, _))| self.custom[..*i].iter().any(|(other, _)| other == name));
        match again {
            Some((_, (name, _))) => Err(Failure::Usage(format!("--custom gives the operator {} two functions", quoted(name)))),
            None => Ok(self.custom.clone()),
        }
    }
}

/// Where the user's functions are, to be called in this process.
#[derive(Args, Clone)]
pub struct LibraryOptions {
    /// Shared library with the functions that --custom names; may be repeated
    #[arg(long = "custom-lib", value_name = "FILE.so")]
    libraries: Vec<PathBuf>,
}

impl LibraryOptions {
    pub fn open(&self) -> Result<Vec<Library>, Failure> {
        let open = |path: &PathBuf| {
            // A name without a folder would be looked for where libraries of the system are.
            let path = if path.is_absolute() { path.clone() } else { Path::new(".").join(path) };
            Library::open(&path).map_err(|e| Diagnostic::new(Code::CUSTOM, format!("a library cannot be loaded: {e}")).into())
        };
        self.libraries.iter().map(open).collect()
    }
}

/// `NAME=symbol`; names may contain `=`.
fn custom(text: &str) -> Result<(String, String), String> {
    let (name, symbol) = text.rsplit_once('=').ok_or("write NAME=symbol")?;
    if !Foreign::is_symbol(symbol) {
        return Err(format!("{symbol:?} is no name of a C function"));
    }
    Ok((name.into(), symbol.into()))
}

/// Models that are converted first.
#[derive(Args, Clone)]
#[command(next_help_heading = "Models of Keras, TensorFlow and PyTorch (.keras, .h5, SavedModel, .pb, .pt2)")]
pub struct ConvertOptions {
    /// Quantise the model when it is converted
    #[arg(long, value_enum, value_name = "KIND")]
    quantize: Option<Quantisation>,
    /// For int8 and int16x8: samples of what inputs will be, as an .npz file with an array for each input (by its name, or arr_0, arr_1, ...; samples
    /// along the first axis), or as a folder of images or of WAV files
    #[arg(long, value_name = "FILE.npz|DIR")]
    calibrate: Option<PathBuf>,
    /// What values of calibration images become: without it 0..255 for Keras models that begin with a layer which rescales, else 0..1
    #[arg(long, value_enum, value_name = "RANGE", allow_hyphen_values = true)]
    image_range: Option<ImageRange>,
    /// Inputs of a frozen graph (.pb), by the names of its nodes; without it its placeholders
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    inputs: Vec<String>,
    /// Outputs of a frozen graph; without it the nodes that no other reads
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    outputs: Vec<String>,
    /// Show everything that the converter says
    #[arg(long)]
    verbose: bool,
}

impl ConvertOptions {
    /// The model, converted if it has to be; on standard error what was decided.
    pub fn read(
        &self,
        model: &Path,
        given: Option<Vec<u8>>,
        input_shapes: &[(InputKey, Vec<usize>)],
        signatures: &[String],
    ) -> Result<Source, Failure> {
        let shape = |(key, shape): &(InputKey, Vec<usize>)| match key {
            InputKey::Name(name) => Some((name.clone(), shape.clone())),
            InputKey::Index(_) => None,
        };
        let options = convert::Options {
            quantize: self.quantize,
            calibrate: self.calibrate.clone(),
            image_range: self.image_range,
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            input_shapes: input_shapes.iter().filter_map(shape).collect(),
            signature: signatures.first().cloned(),
            verbose: self.verbose,
        };
        let source = match given {
            Some(bytes) => convert::given(model, bytes, &options)?,
            None => convert::read(model, &options)?,
        };
        let notes = source.converted.iter().flat_map(|c| &c.notes);
        notes.for_each(|note| complain(&format!("note: {}\n", tidy(note))));
        Ok(source)
    }
}

#[derive(Args, Clone)]
pub struct ModelOptions {
    /// Compile the subgraph of this signature instead of the model's first; may be repeated: of several, each has functions of its own in one
    /// object, and all share constants, arena and state
    #[arg(long = "signature", value_name = "NAME")]
    signatures: Vec<String>,
    /// Compile all signatures of the model into one object
    #[arg(long, conflicts_with = "signatures")]
    all_signatures: bool,
    /// Shape of an input instead of the model's; may be repeated
    #[arg(long = "input-shape", value_name = "NAME=1,96,96,3", value_parser = input_shape)]
    input_shapes: Vec<(InputKey, Vec<usize>)>,
    /// What an input always is, where it decides about shapes: it is then no input of the compiled model; may be repeated
    #[arg(long = "input-value", value_name = "NAME=FILE.npy", value_parser = input_value)]
    input_values: Vec<(InputKey, PathBuf)>,
    #[command(flatten)]
    bounds: BoundOptions,
    #[command(flatten)]
    custom: CustomOptions,
    #[command(flatten)]
    convert: ConvertOptions,
    #[command(flatten)]
    pipeline: PipelineOptions,
}

/// What is before and after a model.
#[derive(Args, Clone, Default)]
pub struct PipelineOptions {
    /// Compile what this file says into the model: pixels of a camera, sound or other samples become its inputs, and answers are made of its outputs
    #[arg(long, value_name = "FILE.toml")]
    pipeline: Option<PathBuf>,
    /// Compile what the model's metadata says into it: how inputs are normalised, labels, thresholds of scores, boxes, rates of sound. What --pipeline says
    /// beside it counts more
    #[arg(long)]
    metadata: bool,
    /// What the camera gives, which metadata does not say: rgb8:640x480, or another format (bgr8, rgba8, bgra8, gray8, yuyv, nv12, nv21, i420)
    #[arg(long, value_name = "FORMAT:WxH", requires = "metadata", value_parser = frame)]
    frame: Option<Frame>,
}

impl PipelineOptions {
    pub fn read(&self) -> Result<Option<Piping>, Failure> {
        let metadata = self.metadata.then(|| FromMetadata { frame: self.frame.clone() });
        if self.pipeline.is_none() && metadata.is_none() {
            return Ok(None);
        }
        Ok(Some(Piping::read(self.pipeline.as_deref(), metadata)?))
    }
}

/// `FORMAT:WIDTHxHEIGHT`
fn frame(text: &str) -> Result<Frame, String> {
    let wanted = "write FORMAT:WIDTHxHEIGHT, such as rgb8:640x480";
    let (format, size) = text.split_once(':').ok_or(wanted)?;
    let (width, height) = size.split_once('x').ok_or(wanted)?;
    let [width, height] = [width, height].map(|n| n.parse().map_err(|_| wanted));
    let format = Format::deserialize(format.into_deserializer()).map_err(|e: serde::de::value::Error| e.to_string())?;
    Ok(Frame { format, width: width?, height: height?, stride: None })
}

/// Bounds of sizes that are known at run time only.
#[derive(Args, Clone, Default)]
pub struct BoundOptions {
    /// The most that the first dimension of a tensor can be, where it is known at run time only and then counted: by the name of the tensor, or of
    /// an input that decides it; may be repeated
    #[arg(long = "max-dim", value_name = "NAME=N", value_parser = max_dim)]
    max_dims: Vec<(String, usize)>,
}

impl BoundOptions {
    /// One bound for each name.
    pub fn bounds(self) -> Result<Vec<(String, usize)>, Failure> {
        distinct(self.max_dims, "--max-dim", "bounds")
    }
}

impl ModelOptions {
    /// Whether all is to be shown that the user's Python says.
    pub fn is_verbose(&self) -> bool {
        self.convert.verbose
    }

    /// The model, and what is decided about it.
    pub fn open(self, model: &Path, given: Option<Vec<u8>>) -> Result<(Source, pipeline::Options), Failure> {
        let source = self.convert.read(model, given, &self.input_shapes, &self.signatures)?;
        let piping = self.pipeline.read()?;
        let mut import = self.read()?;
        if source.converted.is_some() {
            // It was converted for these.
            import.input_shapes.clear();
        }
        Ok((source, pipeline::Options { import, piping, ..pipeline::Options::named_after(model) }))
    }

    fn read(self) -> Result<import::Options, Failure> {
        let value = |(key, path): (InputKey, PathBuf)| {
            let array = read_array(&path)?;
            Ok((key, array.into()))
        };
        let signatures = signatures(self.signatures, self.all_signatures)?;
        Ok(import::Options {
            input_shapes: distinct(self.input_shapes, "--input-shape", "shapes")?,
            input_values: distinct(self.input_values, "--input-value", "values")?
                .into_iter()
                .map(value)
                .collect::<Result<_, Diagnostic>>()?,
            max_dims: self.bounds.bounds()?,
            custom: self.custom.functions()?,
            signatures,
        })
    }
}

/// Each of them once.
fn signatures(named: Vec<String>, all: bool) -> Result<Signatures, Failure> {
    if let Some((_, again)) = named.iter().enumerate().find(|(i, name)| named[..*i].contains(name)) {
        return Err(Failure::Usage(format!("--signature names {} twice", quoted(again))));
    }
    Ok(match named.is_empty() {
        _ if all => Signatures::All,
        true => Signatures::First,
        false => Signatures::Named(named),
    })
}

pub fn read_array(path: &Path) -> Result<Array, Diagnostic> {
    Array::parse(&files::read(path)?).map_err(|e| Diagnostic::new(Code::INPUT, format!("{}: {e}", shown(path))))
}

#[derive(Args, Clone, Copy)]
pub struct PreferenceOptions {
    /// What to prefer where speed costs memory or code
    #[arg(long, value_enum, default_value_t)]
    opt: Opt,
    /// Compute all convolutions of floats directly: some of 3 x 3 have fewer multiplications otherwise, and slightly other roundings
    #[arg(long)]
    no_winograd: bool,
    /// Multiply with all weights, zeros as well
    #[arg(long)]
    no_sparse: bool,
    /// Keep constants in fewer bytes where that is possible, and decode them when the model runs; the report (--emit report) says what each choice costs
    #[arg(long, value_enum, value_name = "WHAT")]
    pub compress: Option<Compress>,
}

impl From<PreferenceOptions> for Preferences {
    fn from(options: PreferenceOptions) -> Preferences {
        Preferences { winograd: !options.no_winograd, sparse: !options.no_sparse, ..Goal::from(options.opt).into() }
    }
}

/// What is decided about an object, whatever machine it is for.
#[derive(Args, Clone)]
pub struct ObjectOptions {
    /// Begins every name in C; from the model's file name by default
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    name: Option<String>,
    /// Divide long operators for so many threads, which the caller provides
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads())]
    threads: u32,
    /// Fail when the arena is larger; K and M are understood
    #[arg(long, value_name = "BYTES", value_parser = size_bytes)]
    max_arena: Option<u64>,
    /// Fail when the constants are larger
    #[arg(long, value_name = "BYTES", value_parser = size_bytes)]
    max_const: Option<u64>,
    /// Fail when code and constants together are larger; for C without --cc, the constants alone
    #[arg(long, value_name = "BYTES", value_parser = size_bytes)]
    max_flash: Option<u64>,
    /// Where inputs and outputs are: in memory of the caller's, or at fixed places in the arena
    #[arg(long, value_enum, default_value_t)]
    io: Io,
    /// Take and give quantised inputs and outputs as floats: quantise on entry and dequantise on exit, as TensorFlow Lite does
    #[arg(long)]
    float_io: bool,
    /// Put the constants into this section of the object: weights and tables, not the code. Mach-O wants SEGMENT,SECTION
    #[arg(long, value_name = "NAME")]
    const_section: Option<String>,
    /// Call a hook of the caller's around each operator
    #[arg(long)]
    profile: bool,
    /// Add PREFIX_selftest, which tells on the device whether the numbers are right, and which output is not
    #[arg(long)]
    self_test: bool,
}

impl ObjectOptions {
    /// Whether they can be for that target.
    pub fn check(&self, target: &Target) -> Result<(), Failure> {
        self.const_section.iter().try_for_each(|section| section::check(section, &target.triple).map_err(Failure::Usage))
    }

    /// What they say of an object, in options that say what is known of its model.
    pub fn applied(self, options: pipeline::Options) -> pipeline::Options {
        pipeline::Options {
            limits: Limits { arena_bytes: self.max_arena, const_bytes: self.max_const, flash_bytes: self.max_flash },
            profile: self.profile,
            io: self.io,
            float_io: self.float_io,
            self_test: self.self_test,
            const_section: self.const_section,
            threads: self.threads as usize,
            prefix: self.name.unwrap_or(options.prefix),
            ..options
        }
    }
}

fn prefix(text: &str) -> Result<String, String> {
    if names::is_identifier(text) { Ok(text.into()) } else { Err("not a C identifier that begins with a letter".into()) }
}

/// What to prefer where speed costs memory or code
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Opt {
    #[default]
    Speed,
    Size,
}

impl From<Opt> for Goal {
    fn from(opt: Opt) -> Goal {
        match opt {
            Opt::Speed => Goal::Speed,
            Opt::Size => Goal::Size,
        }
    }
}

/// How many threads to divide operators for.
pub fn threads() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=256)
}

/// For how long to measure: ten minutes at most.
pub fn min_ms() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=600_000)
}

/// The words of a command, of which there is one at least.
#[derive(Clone, Debug, PartialEq)]
pub struct Words(pub Vec<String>);

pub fn words(text: &str) -> Result<Words, String> {
    let words: Vec<String> = text.split_whitespace().map(String::from).collect();
    if words.is_empty() { Err("the command is empty".into()) } else { Ok(Words(words)) }
}

/// One for each input at most.
fn distinct<K: PartialEq + Named, T>(all: Vec<(K, T)>, option: &str, what: &str) -> Result<Vec<(K, T)>, Failure> {
    match all.iter().enumerate().find(|(i, (key, _))| all[..*i].iter().any(|(other, _)| other == key)) {
        Some((_, (key, _))) => Err(Failure::Usage(format!("{option} gives {} two {what}", key.shown()))),
        _ => Ok(all),
    }
}

/// What an option is about.
trait Named {
    fn shown(&self) -> String;
}

impl Named for InputKey {
    fn shown(&self) -> String {
        match self {
            InputKey::Name(name) => format!("input {}", quoted(name)),
            InputKey::Index(i) => format!("input {i}"),
        }
    }
}

impl Named for String {
    fn shown(&self) -> String {
        format!("tensor {}", quoted(self))
    }
}

/// `NAME=N`; names may contain `=`.
fn max_dim(text: &str) -> Result<(String, usize), String> {
    let (name, most) = text.rsplit_once('=').ok_or("write NAME=N")?;
    let most = most.trim().parse().ok().filter(|n: &usize| *n <= i32::MAX as usize);
    Ok((name.into(), most.ok_or("write NAME=N, where N is a number of elements")?))
}

/// `NAME=FILE.npy`; names may contain `=`.
fn input_value(text: &str) -> Result<(InputKey, PathBuf), String> {
    let (name, path) = text.rsplit_once('=').ok_or("write NAME=FILE.npy")?;
    Ok((InputKey::Name(name.into()), path.into()))
}

/// `NAME=1,96,96,3`; names may contain `=`.
pub fn input_shape(text: &str) -> Result<(InputKey, Vec<usize>), String> {
    let (name, shape) = text.rsplit_once('=').ok_or("write NAME=1,96,96,3")?;
    let shape = shape.split(',').filter(|d| !d.is_empty()).map(|d| d.trim().parse().map_err(|_| format!("{d:?} is no dimension")));
    Ok((InputKey::Name(name.into()), shape.collect::<Result<_, _>>()?))
}

/// Bytes, or with K or M units of 1024 or 1024 · 1024 bytes.
pub fn size_bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let number: u64 = digits.parse().map_err(|_| "write a number of bytes, such as 65536 or 64K")?;
    number.checked_mul(unit).ok_or_else(|| "too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_options() {
        assert_eq!(input_shape("x=1,2"), Ok((InputKey::Name("x".into()), vec![1, 2])));
        assert_eq!(input_shape("a=b="), Ok((InputKey::Name("a=b".into()), vec![])));
        assert!(input_shape("x").is_err() && input_shape("x=1,-2").is_err());
        assert_eq!(max_dim("a=b=7"), Ok(("a=b".into(), 7)));
        assert!(["x", "x=", "x=-1", "x=2147483648"].iter().all(|text| max_dim(text).is_err()));
        assert_eq!((size_bytes("7"), size_bytes("64K"), size_bytes("2m")), (Ok(7), Ok(65536), Ok(2 << 20)));
        assert!(size_bytes("").is_err() && size_bytes("-1").is_err() && size_bytes("99999999999999999999").is_err());
        assert!(size_bytes("99999999999999999M").is_err());
        assert_eq!(frame("nv12:640x480"), Ok(Frame { format: Format::Nv12, width: 640, height: 480, stride: None }));
        assert!(["nv12", "nv12:640", "nv12:640x", "nv12:640x-1", "nv13:640x480", "NV12:640x480"].iter().all(|text| frame(text).is_err()));
    }
}
