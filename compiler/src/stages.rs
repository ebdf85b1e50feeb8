//! The texts of the stages of a compilation, and its progress on a terminal.
//!
//! The idea: the pipeline tells everything it makes; whether anyone wants to see it is decided here, so that texts are only made
//! when they are wanted.

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::borrow::Cow;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Stage {
    /// The graph after all rewrites
    Graph,
    /// The lowered tile program
    Tile,
    /// The memory plan
    Plan,
    /// Cranelift's intermediate code
    Clif,
    /// Assembly
    Asm,
    /// Sizes, memory and operators
    Report,
}

impl Stage {
    pub fn extension(self) -> &'static str {
        match self {
            Stage::Graph => "graph",
            Stage::Tile => "tile",
            Stage::Plan => "plan",
            Stage::Clif => "clif",
            Stage::Asm => "s",
            Stage::Report => "txt",
        }
    }
}

/// One text: after which phase, of which stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub stage: Stage,
    /// Of which signature, where there are several.
    pub signature: Option<String>,
    /// Of which feature level, where there are several.
    pub level: Option<String>,
    pub after: String,
    pub text: String,
}

pub struct Stages {
    wanted: Vec<Stage>,
    all: bool,
    /// Of the texts that follow.
    pub signature: Option<String>,
    pub level: Option<String>,
    pub texts: Vec<Text>,
    progress: ProgressBar,
}

impl Stages {
    /// Texts of the wanted stages, the last of each, of each signature and of each level; with `all` every text of every stage.
    pub fn new(wanted: &[Stage], all: bool) -> Self {
        // Hidden unless standard error is a terminal.
        let progress = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}").expect("a valid template"));
        Stages { wanted: wanted.to_vec(), all, signature: None, level: None, texts: vec![], progress }
    }

    pub fn none() -> Self {
        Stages::new(&[], false)
    }

    /// A phase begins.
    pub fn begin(&mut self, phase: impl Into<Cow<'static, str>>) {
        self.progress.set_message(phase);
        self.progress.enable_steady_tick(Duration::from_millis(100));
    }

    /// For messages, ` for signature x at level y`, where there are several.
    pub fn place(&self) -> String {
        let signature = self.signature.iter().map(|s| format!(" for signature {s}"));
        signature.chain(self.level.iter().map(|l| format!(" at level {l}"))).collect()
    }

    /// Whether a text would be kept.
    pub fn wants(&self, stage: Stage) -> bool {
        self.all || self.wanted.contains(&stage)
    }

    pub fn add(&mut self, stage: Stage, after: &str, text: impl FnOnce() -> String) {
        if !self.wants(stage) {
            return;
        }
        if !self.all {
            self.texts.retain(|t| (t.stage, &t.signature, &t.level) != (stage, &self.signature, &self.level));
        }
        let (signature, level) = (self.signature.clone(), self.level.clone());
        self.texts.push(Text { stage, signature, level, after: after.into(), text: text() });
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}
