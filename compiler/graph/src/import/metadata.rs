//! What a model says of its inputs and outputs for programs around it: TensorFlow Lite's metadata, and the files that are packed behind it.
//!
//! Not what becomes of it (`pipeline/metadata.rs`), and nothing of it decides about the model itself. The idea: all is read at once into plain structures that
//! know their places in the metadata, so that whoever finds a contradiction later can say where. Nothing is trusted: offsets are verified, lengths are
//! limited by the file's, and what is unpacked has a budget.

use super::buffers::Buffers;
use super::file;
use crate::diagnostic::{Code, Diagnostic, quoted};
use cranelite_schema as schema;
use cranelite_schema::flatbuffers::{ForwardsUOffset, Vector};
use cranelite_schema::metadata::{self as format, AssociatedFileType};
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of all files together, when unpacked. Lists of labels have kilobytes.
const UNPACKED_BYTES: usize = 1 << 22;

#[derive(Clone, Debug, Default)]
pub struct Metadata {
    pub name: String,
    pub description: String,
    pub version: String,
    pub author: String,
    pub license: String,
    pub subgraphs: Vec<Subgraph>,
    /// Names of the files behind the model.
    pub files: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Subgraph {
    /// In the order of the subgraph's inputs and outputs, with numbers of tensors; empty where nothing is said of them.
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

#[derive(Clone, Debug)]
pub struct Tensor {
    /// Of the metadata, which is not always the model's.
    pub name: String,
    pub description: String,
    /// Its number in the subgraph.
    pub tensor: i32,
    /// Where the metadata says it.
    pub place: String,
    pub content: Content,
    pub normalization: Option<Normalization>,
    pub threshold: Option<f32>,
    pub has_calibration: bool,
    pub tokenizer: Option<&'static str>,
    /// Of the first file of its kind.
    pub labels: Option<Labels>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Nothing,
    Features,
    Image(Colours),
    Boxes(Boxes),
    Sound {
        rate: u32,
        channels: u32,
    },
    /// One of a later version.
    Unknown(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    Unknown,
    Rgb,
    Gray,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Boxes {
    /// Where the four numbers are.
    pub order: Option<Vec<u32>>,
    pub form: Option<Form>,
    /// Instead of numbers from 0 to 1.
    pub is_in_pixels: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Boundaries,
    UpperLeft,
    Center,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    pub place: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    pub file: String,
    pub names: Arc<[String]>,
    /// Names of numbers that an element is, and not of elements.
    pub are_of_values: bool,
    pub place: String,
}

/// A problem with a place in the metadata.
pub fn wrong(place: impl Into<String>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::METADATA, message).detail(place)
}

/// The metadata of a model, if it has some.
pub fn read(bytes: &[u8]) -> Result<Option<Metadata>, Diagnostic> {
    let model = file::model(bytes)?;
    let Some(entry) = model.metadata().into_iter().flatten().find(|m| m.name().is_some_and(|n| n.bytes() == b"TFLITE_METADATA")) else {
        return Ok(None);
    };
    let buffer = Buffers::new(bytes, model.buffers()).bytes(entry.buffer()).map_err(|d| wrong("metadata", d.message))?;
    let Some(data) = buffer.filter(|b| 8 <= b.len()) else {
        return Err(wrong("metadata", "the metadata is empty").found(format!("buffer {}", entry.buffer())));
    };
    if !format::model_metadata_buffer_has_identifier(data) {
        return Err(wrong("metadata", "this is not TensorFlow Lite's metadata")
            .expected("\"M001\" in bytes 4 to 7")
            .found(format!("\"{}\"", data[4..8].escape_ascii())));
    }
    // In memory of its own, whose first byte lies where numbers may.
    let data = data.to_vec();
    let about = format::root_as_model_metadata_with_opts(&file::verifier(data.len()), &data).map_err(|e| {
        let d = file::broken(e);
        wrong(
            d.place.detail.map_or("metadata".into(), |inside| format!("metadata, {inside}")),
            d.message.replace("the file", "the metadata"),
        )
    })?;
    let mut archive = Archive::open(bytes)?;
    let mut read = Metadata {
        name: text(about.name()),
        description: text(about.description()),
        version: text(about.version()),
        author: text(about.author()),
        license: text(about.license()),
        subgraphs: vec![],
        files: archive.entries.keys().map(|n| String::from_utf8_lossy(n).into_owned()).collect(),
    };
    let subgraphs = model.subgraphs();
    for (i, of) in about.subgraph_metadata().into_iter().flatten().enumerate() {
        let place = format!("subgraph_metadata[{i}]");
        let Some(subgraph) = subgraphs.filter(|s| i < s.len()).map(|s| s.get(i)) else {
            let count = subgraphs.map_or(0, |s| s.len());
            return Err(wrong(place, "the model has no such subgraph").expected(format!("{count} at most")));
        };
        read.subgraphs.push(Subgraph {
            inputs: tensors(&mut archive, of.input_tensor_metadata(), subgraph.inputs(), &format!("{place}.input_tensor_metadata"))?,
            outputs: tensors(&mut archive, of.output_tensor_metadata(), subgraph.outputs(), &format!("{place}.output_tensor_metadata"))?,
        });
        for (units, field) in [(of.input_process_units(), "input_process_units"), (of.output_process_units(), "output_process_units")] {
            for (j, unit) in units.into_iter().flatten().enumerate() {
                // They are about all tensors of a side, and the format has tokenizers as such alone.
                if let (Some(tokenizer), Some(first)) =
                    (tokenizer(unit.options_type()), read.subgraphs[i].inputs.first_mut().filter(|_| field == "input_process_units"))
                {
                    first.tokenizer = Some(tokenizer);
                    first.place = format!("{place}.{field}[{j}]");
                }
            }
        }
    }
    Ok(Some(read))
}

fn text(string: Option<Vector<u8>>) -> String {
    string.map(schema::text).unwrap_or_default()
}

fn tokenizer(options: format::ProcessUnitOptions) -> Option<&'static str> {
    match options {
        format::ProcessUnitOptions::BertTokenizerOptions => Some("BERT's tokenizer"),
        format::ProcessUnitOptions::SentencePieceTokenizerOptions => Some("SentencePiece"),
        format::ProcessUnitOptions::RegexTokenizerOptions => Some("a tokenizer by regular expressions"),
        _ => None,
    }
}

type Tables<'a> = Vector<'a, ForwardsUOffset<format::TensorMetadata<'a>>>;

/// What is said of all inputs or of all outputs.
fn tensors(archive: &mut Archive, all: Option<Tables>, numbers: Option<Vector<i32>>, place: &str) -> Result<Vec<Tensor>, Diagnostic> {
    let Some(all) = all.filter(|all| !all.is_empty()) else { return Ok(vec![]) };
    let count = numbers.map_or(0, |n| n.len());
    if all.len() != count {
        return Err(wrong(place, "the metadata is of another number of tensors than the model has")
            .expected(count.to_string())
            .found(all.len().to_string()));
    }
    let numbers = numbers.into_iter().flatten();
    all.iter().zip(numbers).enumerate().map(|(i, (of, tensor))| self::tensor(archive, of, tensor, format!("{place}[{i}]"))).collect()
}

fn tensor(archive: &mut Archive, of: format::TensorMetadata, tensor: i32, place: String) -> Result<Tensor, Diagnostic> {
    let mut read = Tensor {
        name: text(of.name()),
        description: text(of.description()),
        tensor,
        content: of.content().map_or(Content::Nothing, content),
        normalization: None,
        threshold: None,
        has_calibration: false,
        tokenizer: None,
        labels: None,
        place: place.clone(),
    };
    for (i, unit) in of.process_units().into_iter().flatten().enumerate() {
        let place = format!("{place}.process_units[{i}]");
        read.tokenizer = read.tokenizer.or(tokenizer(unit.options_type()));
        if let Some(o) = unit.options_as_normalization_options() {
            let numbers = |v: Option<Vector<f32>>| v.into_iter().flatten().collect();
            read.normalization = Some(Normalization { mean: numbers(o.mean()), std: numbers(o.std_()), place });
        } else if let Some(o) = unit.options_as_score_thresholding_options() {
            let threshold = o.global_score_threshold();
            if !threshold.is_finite() {
                return Err(wrong(place, "the threshold of scores is no number").found(threshold.to_string()));
            }
            read.threshold = Some(threshold);
        } else {
            read.has_calibration |= unit.options_as_score_calibration_options().is_some();
        }
    }
    for (i, file) in of.associated_files().into_iter().flatten().enumerate() {
        let kind = file.type_();
        read.has_calibration |= kind == AssociatedFileType::TENSOR_AXIS_SCORE_CALIBRATION;
        let are_of_values = kind == AssociatedFileType::TENSOR_VALUE_LABELS;
        // Further ones are in other languages.
        if read.labels.is_none() && (are_of_values || kind == AssociatedFileType::TENSOR_AXIS_LABELS) {
            let place = format!("{place}.associated_files[{i}]");
            let (name, names) = archive.labels(file.name(), &place)?;
            read.labels = Some(Labels { file: name, names, are_of_values, place });
        }
    }
    Ok(read)
}

fn content(of: format::Content) -> Content {
    if let Some(p) = of.content_properties_as_image_properties() {
        Content::Image(match p.color_space() {
            format::ColorSpaceType::RGB => Colours::Rgb,
            format::ColorSpaceType::GRAYSCALE => Colours::Gray,
            _ => Colours::Unknown,
        })
    } else if let Some(p) = of.content_properties_as_bounding_box_properties() {
        Content::Boxes(Boxes {
            // Not more than a message may say.
            order: p.index().filter(|o| !o.is_empty()).map(|o| o.iter().take(5).collect()),
            form: match p.type_() {
                format::BoundingBoxType::BOUNDARIES => Some(Form::Boundaries),
                format::BoundingBoxType::UPPER_LEFT => Some(Form::UpperLeft),
                format::BoundingBoxType::CENTER => Some(Form::Center),
                _ => None,
            },
            is_in_pixels: p.coordinate_type() == format::CoordinateType::PIXEL,
        })
    } else if let Some(p) = of.content_properties_as_audio_properties() {
        Content::Sound { rate: p.sample_rate(), channels: p.channels() }
    } else {
        match of.content_properties_type() {
            format::ContentProperties::NONE => Content::Nothing,
            format::ContentProperties::FeatureProperties => Content::Features,
            other => Content::Unknown(other.0),
        }
    }
}

/// The ZIP archive behind a model.
struct Archive<'a> {
    bytes: &'a [u8],
    entries: BTreeMap<Vec<u8>, (ZipArchiveEntryWayfinder, CompressionMethod, bool)>,
    /// What was unpacked already, by name.
    labels: BTreeMap<Vec<u8>, Arc<[String]>>,
    budget: usize,
}

/// Where the problem is, where it is no file's that the metadata names.
const BEHIND: &str = "archive behind the model";

impl<'a> Archive<'a> {
    /// Of a model without one, an empty one.
    fn open(bytes: &'a [u8]) -> Result<Self, Diagnostic> {
        let mut archive = Archive { bytes, entries: BTreeMap::new(), labels: BTreeMap::new(), budget: UNPACKED_BYTES };
        // Its last record ends the file, but for a comment of at most 64 KiB.
        let end = &bytes[bytes.len().saturating_sub(22 + (1 << 16))..];
        if !end.windows(4).any(|w| w == b"PK\x05\x06") {
            return Ok(archive);
        }
        let broken = |e: rawzip::Error| wrong(BEHIND, format!("the archive is damaged: {e}"));
        let zip = ZipArchive::from_slice(bytes).map_err(broken)?;
        let mut entries = zip.entries();
        while let Some(entry) = entries.next_entry().map_err(broken)? {
            let name = entry.file_path().as_ref().to_vec();
            let found = (entry.wayfinder(), entry.compression_method(), entry.flags().is_encrypted());
            archive.entries.entry(name).or_insert(found);
        }
        Ok(archive)
    }

    /// The name of a file, and its lines.
    fn labels(&mut self, name: Option<Vector<u8>>, place: &str) -> Result<(String, Arc<[String]>), Diagnostic> {
        let shown = text(name);
        let name = name.map_or(&[][..], |n| n.bytes());
        if let Some(labels) = self.labels.get(name) {
            return Ok((shown, labels.clone()));
        }
        let wrong = |message: &str| wrong(place, format!("{}: {message}", quoted(&shown)));
        let Some((entry, method, is_encrypted)) = self.entries.get(name).copied() else {
            let all = self.entries.keys().take(8).map(|n| quoted(&String::from_utf8_lossy(n))).collect::<Vec<_>>();
            let all = if all.is_empty() { "no file".into() } else { all.join(", ") };
            return Err(wrong("there is no such file behind the model")
                .found(all)
                .help("fetch the model as one file, with all that is behind it"));
        };
        if is_encrypted {
            return Err(wrong("the file is encrypted"));
        }
        let broken = |e: rawzip::Error| wrong(&format!("the file is damaged: {e}"));
        let zip = ZipArchive::from_slice(self.bytes).map_err(broken)?;
        let entry = zip.get_entry(entry).map_err(broken)?;
        let size = usize::try_from(entry.claim_verifier().uncompressed_size).unwrap_or(usize::MAX);
        if self.budget < size {
            return Err(wrong("the file is too large when it is unpacked")
                .expected(format!("at most {} bytes", self.budget))
                .found(size.to_string()));
        }
        let data = match method {
            CompressionMethod::STORE => entry.data().to_vec(),
            CompressionMethod::DEFLATE => decompress_to_vec_with_limit(entry.data(), size).map_err(|e| {
                wrong(match e.status {
                    TINFLStatus::HasMoreOutput => "the file is larger than its archive says",
                    _ => "the file is damaged: it cannot be unpacked",
                })
            })?,
            other => {
                return Err(wrong("how the file is compressed is not supported")
                    .expected("stored, or deflated")
                    .found(format!("{other:?}")));
            }
        };
        let is = rawzip::ZipVerification { crc: rawzip::crc32(&data), uncompressed_size: data.len() as u64 };
        entry.claim_verifier().valid(is).map_err(broken)?;
        self.budget -= data.len();
        let all = String::from_utf8(data).map_err(|_| wrong("the file is no text in UTF-8"))?;
        let lines = all.strip_prefix('\u{feff}').unwrap_or(&all).trim_end_matches(['\r', '\n']);
        let labels: Arc<[String]> = lines.lines().map(|l| l.trim_end().to_string()).collect();
        self.labels.insert(name.to_vec(), labels.clone());
        Ok((shown, labels))
    }
}
