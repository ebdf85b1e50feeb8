//! Models in Rust programs: one line in `build.rs`.
//!
//! ```no_run
//! cranelite_build::compile("kws.tflite");
//! ```
//!
//! compiles the model for the target that cargo builds for, links the object into the package, and writes the module that
//! `cranelite_runtime::include_model!("kws")` brings in. Not the compiler: it runs the program `cranelite` (or what the variable CRANELITE
//! names) and speaks cargo's language. The idea: what is wrong with the model or the options is an error of the build, in the compiler's
//! own words.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles and links a model for the target's baseline; see [`Model`] for more choices.
pub fn compile(model: impl AsRef<Path>) {
    Model::new(model).compile();
}

/// A model to compile, and how.
#[derive(Clone, Debug)]
pub struct Model {
    path: PathBuf,
    options: Vec<OsString>,
    /// Files that the build begins again for when they change.
    sources: Vec<PathBuf>,
}

impl Model {
    /// The path is relative to the package.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Model { path: path.as_ref().into(), options: vec![], sources: vec![path.as_ref().into()] }
    }

    /// Name of the module, and first part of the object's symbols; from the model's file name by default.
    pub fn name(self, name: &str) -> Self {
        self.option("--name").option(name)
    }

    /// Feature levels, such as `x86-64,x86-64-v3`; the target's baseline by default.
    pub fn cpu(self, levels: &str) -> Self {
        self.option("--cpu").option(levels)
    }

    /// Several of the model's signatures, each a module inside of the model's.
    pub fn signatures(self, names: &[&str]) -> Self {
        names.iter().fold(self, |model, name| model.option("--signature").option(name))
    }

    /// Prefer small code and memory to speed.
    pub fn small(self) -> Self {
        self.option("--opt").option("size")
    }

    /// Keep constants in fewer bytes: `constants`, `constants=fastest`, `constants=smallest` or `constants=products`.
    pub fn compress(self, what: &str) -> Self {
        self.option("--compress").option(what)
    }

    /// What is before and after the model: a TOML file, from the package's folder. Of the files that it names, tell [`Model::depends`].
    pub fn pipeline(self, file: impl AsRef<Path>) -> Self {
        let file = file.as_ref();
        self.depends(file).option("--pipeline").option(file)
    }

    /// A file that the pipeline names: labels, or a further model.
    pub fn depends(mut self, file: impl AsRef<Path>) -> Self {
        self.sources.push(file.as_ref().into());
        self
    }

    /// Any other option of `cranelite compile`.
    pub fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Does it; ends the build script with the compiler's messages when that is not possible.
    pub fn compile(self) {
        for file in &self.sources {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        println!("cargo::rerun-if-env-changed=CRANELITE");
        if let Err(message) = self.run() {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            std::process::exit(1);
        }
    }

    fn run(&self) -> Result<(), String> {
        let compiler = env::var_os("CRANELITE").unwrap_or("cranelite".into());
        let out = PathBuf::from(variable("OUT_DIR")?);
        let target = variable("TARGET")?;
        let call = |more: &[&str]| {
            let mut command = Command::new(&compiler);
            command.arg("compile").arg(&self.path).arg("--output").arg(&out).args(["--rust", "--target", &target]).args(&self.options);
            command.args(more).output().map_err(|e| {
                format!("cannot run {}: {e}\ninstall the compiler, or set CRANELITE to the path of the program", compiler.display())
            })
        };
        let result = call(&["--json"])?;
        if !result.status.success() {
            // Again, for people.
            return Err(String::from_utf8_lossy(&call(&[])?.stderr).into_owned());
        }
        let printed = String::from_utf8_lossy(&result.stdout);
        let prefix = field(&printed, "prefix").ok_or_else(|| format!("{} printed no prefix: {printed}", compiler.display()))?;
        let (object, library) = (out.join(format!("{prefix}.o")), out.join(format!("lib{prefix}.a")));
        archive(&object, &library).map_err(|e| format!("cannot make {} of {}: {e}", library.display(), object.display()))?;
        println!("cargo::rustc-link-search=native={}", out.display());
        println!("cargo::rustc-link-lib=static={prefix}");
        Ok(())
    }
}

/// A library of one object: what cargo can link into a package that others depend on.
fn archive(object: &Path, library: &Path) -> io::Result<()> {
    use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};
    let name = object.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let member = NewArchiveMember::new(std::fs::read(object)?, &DEFAULT_OBJECT_READER, name);
    let is_apple = env::var("CARGO_CFG_TARGET_VENDOR").is_ok_and(|v| v == "apple");
    let kind = if is_apple { ArchiveKind::Darwin } else { ArchiveKind::Gnu };
    write_archive_to_stream(&mut File::create(library)?, &[member], kind, false, None)
}

/// The value of `"name":"value"` in JSON whose values have no quotes: prefixes are identifiers.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("{name} is not set: this function is for build scripts, which cargo runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_found() {
        assert_eq!(field("{\"a\":1,\"prefix\":\"kws\",\"z\":\"y\"}\n", "prefix"), Some("kws"));
        assert_eq!(field("{}", "prefix"), None);
    }
}
