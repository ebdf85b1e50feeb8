//! The file that `--pipeline` names: what sensors give, what is done with it, and what is answered.
//!
//! Not what it means: the fields are those of `cranelite_graph::pipeline::spec`, and operators are made of them there. The idea: files that the TOML names
//! (labels, further models) are read here, once, and problems are told with the line that they are about.

use crate::diagnostic::shown;
use crate::files;
use cranelite_graph::diagnostic::{Code, Diagnostic, quoted};
use cranelite_graph::import::{self, Imported};
use cranelite_graph::pipeline::spec::{Detections, Labels, Output, Pipeline};
use cranelite_graph::pipeline::{self, Piped, wrong};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// A pipeline with all that it names.
#[derive(Clone, Debug, Default)]
pub struct Piping {
    spec: Pipeline,
    /// Of `spec.next`.
    models: Vec<Vec<u8>>,
    /// The file's name and text, for places.
    name: String,
    text: String,
}

impl Piping {
    /// Reads it, and the files that it names, which are looked for from its folder.
    pub fn read(path: &Path) -> Result<Piping, Diagnostic> {
        let bytes = files::read(path)?;
        let name = shown(path);
        let text = String::from_utf8(bytes).map_err(|_| Diagnostic::new(Code::PIPELINE, format!("{name} is no text in UTF-8")))?;
        let spec: Pipeline = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(String::new(), |s| format!(", line {}", line(&text, s.start)));
            Diagnostic::new(Code::PIPELINE, e.message().trim().replace('\n', "; ")).detail(format!("{name}{line}"))
        })?;
        let mut piping = Piping { spec, models: vec![], name, text };
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        piping.open(&folder).map_err(|d| piping.placed(d))?;
        Ok(piping)
    }

    /// A pipeline that no file says.
    pub fn of(spec: Pipeline, name: String) -> Piping {
        Piping { spec, name, ..Piping::default() }
    }

    /// Reads labels and further models.
    fn open(&mut self, folder: &Path) -> Result<(), Diagnostic> {
        let Pipeline { output, detections, next, .. } = &mut self.spec;
        let mut tables = vec![(String::new(), output, detections)];
        for (i, n) in next.iter_mut().enumerate() {
            if n.model.is_empty() {
                return Err(wrong(format!("next[{i}].model"), "no model is named").expected("a file, from the folder of this one"));
            }
            let model = files::read(&folder.join(&n.model)).map_err(|d| wrong(format!("next[{i}].model"), d.message))?;
            self.models.push(model);
            tables.push((format!("next[{i}]."), &mut n.output, &mut n.detections));
        }
        for (place, output, detections) in tables {
            let of_outputs = output.iter_mut().map(|(name, Output { labels, .. })| (format!("{place}output.{name}.labels"), labels));
            let of_boxes =
                detections.iter_mut().map(|(name, Detections { labels, .. })| (format!("{place}detections.{name}.labels"), labels));
            for (field, labels) in of_outputs.chain(of_boxes) {
                if let Some(Labels::File(file)) = labels {
                    let bytes = files::read(&folder.join(&*file)).map_err(|d| wrong(&field, d.message))?;
                    let text = String::from_utf8(bytes).map_err(|_| wrong(&field, format!("{} is no text in UTF-8", quoted(file))))?;
                    *labels = Some(Labels::Names(text.lines().map(|l| l.trim_end().to_string()).collect()));
                }
            }
        }
        Ok(())
    }

    /// A model with what is before and after it.
    pub fn apply(&self, entries: Vec<Imported>, options: &import::Options) -> Result<Piped, Vec<Diagnostic>> {
        let Ok([first]) = <[Imported; 1]>::try_from(entries) else {
            return Err(vec![Diagnostic::new(Code::PIPELINE, "a pipeline is about one signature of a model, and several are compiled")]);
        };
        let mut next = vec![];
        for (i, model) in self.models.iter().enumerate() {
            let options = import::Options { custom: options.custom.clone(), ..import::Options::default() };
            let module = import::read(model, &options).map_err(|list| {
                let of = quoted(&self.spec.next[i].model);
                list.into_iter().map(|d| Diagnostic { message: format!("in {of}: {}", d.message), ..d }).collect::<Vec<_>>()
            })?;
            next.extend(module.entries.into_iter().take(1));
        }
        pipeline::apply(first, next, &self.spec).map_err(|list| list.into_iter().map(|d| self.placed(d)).collect())
    }

    /// With the line in the file.
    fn placed(&self, mut d: Diagnostic) -> Diagnostic {
        if d.code == Code::PIPELINE && d.place.operator.is_none() {
            let field = d.place.detail.take().unwrap_or_default();
            let line = self.line_of(&field).map_or(String::new(), |line| format!(", line {line}"));
            d.place.detail = Some(format!("{}{line}, {field}", self.name));
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
}
