//! What a model's metadata says, for people and as JSON.
//!
//! Not what becomes of it, which is decided where `--metadata` asks for it (`piping.rs`), so what contradicts itself there is shown here as it is.

use crate::report::grouped;
use cranelite_graph::diagnostic::{Diagnostic, quoted};
use cranelite_graph::import::metadata::{self, Colours, Content, Form, Metadata, Tensor};
use serde_json::{Value, json};
use std::fmt::Write;

/// Several lines; empty of a model without metadata.
pub fn text(model: &[u8]) -> String {
    match metadata::read(model) {
        Ok(Some(metadata)) => told(&metadata),
        Ok(None) => String::new(),
        Err(d) => format!("metadata     cannot be read ({}): {}\n", d.place, stated(&d)),
    }
}

/// `null` of a model without metadata.
pub fn json(model: &[u8]) -> Value {
    match metadata::read(model) {
        Ok(Some(m)) => json!({
            "name": m.name,
            "description": m.description,
            "version": m.version,
            "author": m.author,
            "license": m.license,
            "files": m.files,
            "subgraphs": m.subgraphs.iter().map(|s| json!({
                "inputs": s.inputs.iter().map(tensor).collect::<Vec<_>>(),
                "outputs": s.outputs.iter().map(tensor).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }),
        Ok(None) => Value::Null,
        Err(d) => json!({ "error": stated(&d), "place": d.place.to_string() }),
    }
}

/// Without the way out, which is about `--metadata`.
fn stated(d: &Diagnostic) -> String {
    let detail = |word: &str, text: &Option<String>| text.as_ref().map_or(String::new(), |t| format!("; {word} {t}"));
    format!("{}{}{}", d.message, detail("expected", &d.expected), detail("found", &d.found))
}

fn told(metadata: &Metadata) -> String {
    let Metadata { name, description, version, author, license, subgraphs, files } = metadata;
    let about = [("", name), ("version ", version), ("by ", author), ("license ", license)];
    let about: Vec<String> = about.into_iter().filter(|(_, t)| !t.is_empty()).map(|(word, t)| format!("{word}{}", quoted(t))).collect();
    let mut out = format!("{:<12} {}\n", "metadata", if about.is_empty() { "without a name".into() } else { about.join(", ") });
    if !description.is_empty() {
        line(&mut out, "about", &quoted(description));
    }
    for (i, s) in subgraphs.iter().enumerate() {
        let of = if subgraphs.len() < 2 { String::new() } else { format!(" of subgraph {i}") };
        for (kind, tensors) in [("input", &s.inputs), ("output", &s.outputs)] {
            for (k, t) in tensors.iter().enumerate() {
                line(&mut out, &format!("{kind} {k}{of}"), &said(t).join(", "));
            }
        }
    }
    if !files.is_empty() {
        line(&mut out, "files", &files.iter().map(|f| quoted(f)).collect::<Vec<_>>().join(", "));
    }
    out
}

fn line(out: &mut String, what: &str, text: &str) {
    writeln!(out, "  {what:<10} {text}").expect("a string takes everything");
}

/// What is said of a tensor, one by one.
fn said(t: &Tensor) -> Vec<String> {
    let mut all = vec![quoted(&t.name)];
    all.extend((!t.description.is_empty()).then(|| quoted(&t.description)));
    all.extend(match &t.content {
        Content::Nothing | Content::Features => None,
        Content::Image(Colours::Rgb) => Some("RGB image".into()),
        Content::Image(Colours::Gray) => Some("gray image".into()),
        Content::Image(Colours::Unknown) => Some("image".into()),
        Content::Boxes(b) => Some(format!("boxes as {}", form(b.form))),
        Content::Sound { rate, channels } => Some(format!("sound of {} Hz, {channels} channels", grouped((*rate).into()))),
        Content::Unknown(kind) => Some(format!("content of a later version ({kind})")),
    });
    if let Some(n) = &t.normalization {
        all.push(format!("mean {}, std {}", numbers(&n.mean), numbers(&n.std)));
    }
    if let Some(l) = &t.labels {
        let first = l.names.iter().take(3).map(|n| quoted(n)).collect::<Vec<_>>().join(", ");
        let more = if 3 < l.names.len() { ", …" } else { "" };
        all.push(format!("{} labels in {} ({first}{more})", grouped(l.names.len() as u64), quoted(&l.file)));
    }
    all.extend(t.threshold.map(|threshold| format!("scores of {threshold} and more")));
    all.extend(t.has_calibration.then(|| "calibrated scores".to_string()));
    all.extend(t.tokenizer.map(String::from));
    all
}

fn form(form: Option<Form>) -> &'static str {
    match form {
        Some(Form::Boundaries) => "boundaries",
        Some(Form::UpperLeft) => "upper left and size",
        Some(Form::Center) => "middle and size",
        None => "unknown numbers",
    }
}

fn numbers(all: &[f32]) -> String {
    match all {
        [] => "not said".into(),
        // As many as a line has space for.
        all => all.iter().take(8).map(f32::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn tensor(t: &Tensor) -> Value {
    let content = match &t.content {
        Content::Nothing => Value::Null,
        Content::Features => json!({ "kind": "features" }),
        Content::Image(colours) => {
            let colours = match colours {
                Colours::Rgb => Some("rgb"),
                Colours::Gray => Some("gray"),
                Colours::Unknown => None,
            };
            json!({ "kind": "image", "colours": colours })
        }
        Content::Boxes(b) => {
            let form = b.form.map(|f| match f {
                Form::Boundaries => "boundaries",
                Form::UpperLeft => "upper-left",
                Form::Center => "center",
            });
            json!({ "kind": "boxes", "form": form, "order": b.order, "in_pixels": b.is_in_pixels })
        }
        Content::Sound { rate, channels } => json!({ "kind": "sound", "rate": rate, "channels": channels }),
        Content::Unknown(kind) => json!({ "kind": kind }),
    };
    let normalization = t.normalization.as_ref();
    json!({
        "name": t.name,
        "description": t.description,
        "tensor": t.tensor,
        "content": content,
        // JSON has no NaN: it is null.
        "mean": normalization.map(|n| &n.mean),
        "std": normalization.map(|n| &n.std),
        "threshold": t.threshold,
        "labels": t.labels.as_ref().map(|l| json!({ "file": l.file, "names": &l.names[..], "are_of_values": l.are_of_values })),
        "calibrated": t.has_calibration,
        "tokenizer": t.tokenizer,
    })
}
