//! What `--pipeline` and `--metadata` say: what sensors give, what is done with it, and what is answered.
//!
//! Not what it means: the fields are those of `cranelite_graph::pipeline::spec`, and operators are made of them there. The idea: files that the TOML names
//! (labels, further models) are read here, once, and problems are told with the line that they are about. What metadata say is a table of the same fields, over
//! which that of the file is laid: where both have a field, the file's counts.

use crate::diagnostic::{internal, shown};
use crate::files;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::import::{self, Imported, metadata};
use cranelite_graph::pipeline::metadata::Sensors;
use cranelite_graph::pipeline::spec::{Frame, Pipeline};
use cranelite_graph::pipeline::{self, Piped, wrong};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// A pipeline with all that it names.
#[derive(Clone, Debug, Default)]
pub struct Piping {
    /// The file, with names instead of files of labels; empty without one.
    table: Table,
    /// Of `next`, with their names.
    models: Vec<(String, Vec<u8>)>,
    /// The file's name and text, for places.
    name: String,
    text: String,
    metadata: Option<FromMetadata>,
}

/// That the model's metadata counts, and what it cannot say.
#[derive(Clone, Debug, Default)]
pub struct FromMetadata {
    /// What the camera gives.
    pub frame: Option<Frame>,
}

impl Piping {
    /// Reads the file and what it names, which is looked for from its folder. Without a file all is said by the metadata.
    pub fn read(path: Option<&Path>, metadata: Option<FromMetadata>) -> Result<Piping, Diagnostic> {
        let Some(path) = path else { return Ok(Piping { metadata, ..Piping::default() }) };
        let bytes = files::read(path)?;
        let name = shown(path);
        let text = String::from_utf8(bytes).map_err(|_| Diagnostic::new(Code::PIPELINE, format!("{name} is no text in UTF-8")))?;
        let mut piping = Piping { name, text, metadata, ..Piping::default() };
        piping.table = toml::from_str(&piping.text).map_err(|e| piping.unreadable(&e))?;
        if piping.metadata.is_none() {
            // Told with a line.
            toml::from_str::<Pipeline>(&piping.text).map_err(|e| piping.unreadable(&e))?;
        }
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        piping.open(&folder).map_err(|d| piping.placed(d))?;
        Ok(piping)
    }

    /// What is no TOML, or has other fields than a pipeline.
    fn unreadable(&self, e: &toml::de::Error) -> Diagnostic {
        let line = e.span().map_or(String::new(), |s| format!(", line {}", line(&self.text, s.start)));
        Diagnostic::new(Code::PIPELINE, e.message().trim().replace('\n', "; ")).detail(format!("{}{line}", self.name))
    }

    /// Reads labels and further models.
    fn open(&mut self, folder: &Path) -> Result<(), Diagnostic> {
        labels(&mut self.table, "", folder)?;
        let next = self.table.get_mut("next").and_then(Value::as_array_mut);
        for (i, table) in next.into_iter().flatten().filter_map(Value::as_table_mut).enumerate() {
            let name = table.get("model").and_then(Value::as_str).unwrap_or_default().to_string();
            if name.is_empty() {
                return Err(wrong(format!("next[{i}].model"), "no model is named").expected("a file, from the folder of this one"));
            }
            let model = files::read(&folder.join(&name)).map_err(|d| wrong(format!("next[{i}].model"), d.message))?;
            self.models.push((name, model));
            labels(table, &format!("next[{i}]."), folder)?;
        }
        Ok(())
    }

    /// A model, of the file `bytes`, with what is before and after it.
    pub fn apply(&self, bytes: &[u8], entries: Vec<Imported>, options: &import::Options) -> Result<Piped, Vec<Diagnostic>> {
        let Ok([first]) = <[Imported; 1]>::try_from(entries) else {
            return Err(vec![Diagnostic::new(Code::PIPELINE, "a pipeline is about one signature of a model, and several are compiled")]);
        };
        let spec = self.spec(bytes, &first).map_err(|d| vec![d])?;
        let mut next = vec![];
        for (name, model) in &self.models {
            let options = import::Options { custom: options.custom.clone(), ..import::Options::default() };
            let module = import::read(model, &options).map_err(|list| {
                let of = quoted(name);
                list.into_iter().map(|d| Diagnostic { message: format!("in {of}: {}", d.message), ..d }).collect::<Vec<_>>()
            })?;
            next.extend(module.entries.into_iter().take(1));
        }
        pipeline::apply(first, next, &spec).map_err(|list| list.into_iter().map(|d| self.placed(d)).collect())
    }

    /// What the file says, and before it the metadata.
    fn spec(&self, bytes: &[u8], model: &Imported) -> Result<Pipeline, Diagnostic> {
        let Some(from) = &self.metadata else { return Pipeline::deserialize(self.table.clone()).map_err(|e| self.unreadable(&e)) };
        let metadata = metadata::read(bytes)?.ok_or_else(|| {
            Diagnostic::new(Code::METADATA, "the model has no metadata")
                .help("leave --metadata out, and say with --pipeline what is before and after the model")
        })?;
        let only = |kind: &str| {
            let names = self.table.get(kind).and_then(Value::as_table).filter(|t| t.len() == 1)?;
            names.keys().next().cloned()
        };
        let sensors = Sensors { frame: only("frame"), audio: only("audio"), samples: only("samples") };
        let mut told = pipeline::metadata::pipeline(&metadata, model, &sensors)?;
        // Those that the model's inputs are: what a camera gives is not said.
        let own = std::mem::take(&mut told.frame);
        if let Some(frame) = &from.frame {
            self.frame_fits(&own)?;
            told.frame = own.keys().map(|name| (name.clone(), frame.clone())).collect();
        }
        let mut all = Table::try_from(&told).map_err(|e| internal("the metadata's pipeline is no table", e))?;
        overlay(&mut all, &self.table);
        let mut spec = Pipeline::deserialize(all).map_err(|e| match toml::from_str::<Pipeline>(&self.text) {
            Err(own) if own.message() == e.message() => self.unreadable(&own),
            _ => self.unreadable(&e),
        })?;
        // The metadata's, of which the file wants none.
        let is_wanted = |kind: &str, name: &String| {
            self.table.get(kind).is_some_and(|t| t.get(name).is_some()) || spec.input.values().any(|i| i.from == *name)
        };
        spec.frame.retain(|name, _| is_wanted("frame", name));
        spec.audio.retain(|name, _| is_wanted("audio", name));
        spec.samples.retain(|name, _| is_wanted("samples", name));
        let asked = spec.input.iter().find_map(|(name, i)| own.get_key_value(&i.from).map(|of| (name, of)));
        if let Some((input, (sensor, frame))) = asked.filter(|(_, (sensor, _))| !spec.frame.contains_key(*sensor)) {
            let Frame { format, width, height, .. } = frame;
            let format = Value::try_from(format).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
            let d = wrong(format!("input.{input}"), "what the camera gives is not said: metadata has no format and size of frames");
            return Err(self.placed(d.help(format!(
                "give --frame FORMAT:WIDTHxHEIGHT, such as {format}:{width}x{height}, which is what the model takes; or a table [frame.{sensor}] in a file for --pipeline"
            ))));
        }
        Ok(spec)
    }

    /// That `--frame` is about something, and is alone with that.
    fn frame_fits(&self, own: &BTreeMap<String, Frame>) -> Result<(), Diagnostic> {
        let message = match () {
            () if own.is_empty() => "--frame says what the camera gives, and by the metadata no input is an image",
            () if own.keys().any(|name| self.table.get("frame").is_some_and(|t| t.get(name).is_some())) => {
                "--frame says what the camera gives, and so does the file"
            }
            () => return Ok(()),
        };
        Err(Diagnostic::new(Code::PIPELINE, message).help("leave --frame out"))
    }

    /// With the line in the file.
    fn placed(&self, mut d: Diagnostic) -> Diagnostic {
        if d.code == Code::PIPELINE && d.place.operator.is_none() {
            let field = d.place.detail.take().unwrap_or_default();
            d.place.detail = Some(match self.line_of(&field) {
                Some(line) => format!("{}, line {line}, {field}", self.name),
                None if self.metadata.is_some() => format!("by the metadata, {field}"),
                None => format!("{}, {field}", self.name),
            });
        }
        d
    }

    /// The line of a field, or of the innermost table around it that is there.
    fn line_of(&self, field: &str) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let (mut value, mut rest, mut at) = (&DeValue::Table(table.into_inner()), field, None);
        loop {
            let (next, from) = match value {
                DeValue::Table(table) => {
                    let names = |key: &str| rest.strip_prefix(key).filter(|r| r.is_empty() || r.starts_with(['.', '[']));
                    let Some((key, value)) = table.iter().find(|(key, _)| names(key.get_ref()).is_some()) else { break };
                    rest = names(key.get_ref()).unwrap_or_default().trim_start_matches('.');
                    (value.get_ref(), key.span().start)
                }
                DeValue::Array(all) => {
                    let Some((index, more)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) else { break };
                    let Some(value) = index.parse().ok().and_then(|i: usize| all.get(i)) else { break };
                    rest = more.trim_start_matches('.');
                    (value.get_ref(), value.span().start)
                }
                _ => break,
            };
            at = Some(line(&self.text, from));
            value = next;
        }
        at
    }
}

/// Lays a table over another one: what both have is that of `upper`, but for tables, of which the same is true.
fn overlay(lower: &mut Table, upper: &Table) {
    for (key, value) in upper {
        match (lower.get_mut(key), value) {
            (Some(Value::Table(lower)), Value::Table(upper)) => overlay(lower, upper),
            _ => {
                lower.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Puts the lines of files that outputs and detections name as their labels into the table; `place` is before the names of its tables.
fn labels(table: &mut Table, place: &str, folder: &Path) -> Result<(), Diagnostic> {
    for kind in ["output", "detections"] {
        let all = table.get_mut(kind).and_then(Value::as_table_mut).into_iter().flatten();
        for (name, labels) in all.filter_map(|(name, of)| Some((name, of.get_mut("labels")?))) {
            let Value::String(file) = &*labels else { continue };
            let field = format!("{place}{kind}.{name}.labels");
            let bytes = files::read(&folder.join(file)).map_err(|d| wrong(&field, d.message))?;
            let text = String::from_utf8(bytes).map_err(|_| wrong(&field, format!("{} is no text in UTF-8", quoted(file))))?;
            *labels = text.lines().map(|l| Value::from(l.trim_end())).collect::<Vec<_>>().into();
        }
    }
    Ok(())
}

/// From 1.
fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_lines() {
        let text = "[frame.camera]\nformat = 'rgb8'\nwidth = 1\nheight = 1\n\n[input.\"a.b\"]\nfrom = 'camera'\nmean = 1\n\n[[next]]\nmodel = 'x'\ninput.y.from = 'z'\n";
        let piping = Piping { text: text.into(), ..Piping::default() };
        let line = |field| piping.line_of(field);
        assert_eq!(line("frame.camera.width"), Some(3));
        assert_eq!(line("input.a.b.mean"), Some(8));
        assert_eq!(line("input.a.b.std"), Some(6));
        assert_eq!(line("next[0].input.y.from"), Some(12));
        assert_eq!(line("next[0].model"), Some(11));
        assert_eq!((line("audio"), line("")), (None, None));
    }

    #[test]
    fn the_upper_table_counts() {
        let table = |text: &str| toml::from_str::<Table>(text).unwrap();
        let mut all = table("[a]\nx = 1\ny = [1, 2]\n[b]\nz = 1");
        overlay(&mut all, &table("[a]\ny = 3\n[c]\nw = 1\n"));
        assert_eq!(all, table("[a]\nx = 1\ny = 3\n[b]\nz = 1\n[c]\nw = 1"));
    }
}
