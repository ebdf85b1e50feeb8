//! Small models with metadata: what tensors are for people and programs around them, and the files that lie behind a model.
//!
//! Not a writer for users, and nothing is checked: what is written may contradict the model or itself. The idea: whatever is said is a field, so a test changes
//! one and says what is told of it.

use crate::maker::{Activation, Code, Maker};
use cranelite_schema::flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use cranelite_schema::metadata::*;

pub use cranelite_schema::metadata::{AssociatedFileType as Kind, BoundingBoxType, ColorSpaceType, CoordinateType};

/// What is said of a model, and files behind it.
#[derive(Clone, Debug, Default)]
pub struct Described {
    pub name: &'static str,
    pub inputs: Vec<Said>,
    pub outputs: Vec<Said>,
    pub more_subgraphs: usize,
    /// Names, what is in them, and whether that is deflated.
    pub files: Vec<(&'static str, Vec<u8>, bool)>,
}

/// What is said of a tensor.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub name: &'static str,
    pub content: Is,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    pub threshold: Option<f32>,
    pub labels: Option<(&'static str, Kind)>,
    pub is_calibrated: bool,
    pub is_text: bool,
}

#[derive(Clone, Debug, Default)]
pub enum Is {
    #[default]
    Nothing,
    Image(ColorSpaceType),
    Boxes {
        order: Vec<u32>,
        form: BoundingBoxType,
        coordinates: CoordinateType,
    },
    Sound {
        rate: u32,
        channels: u32,
    },
}

impl Described {
    /// The metadata as it stands in a model.
    pub fn block(&self) -> Vec<u8> {
        let mut b = FlatBufferBuilder::new();
        let mut subgraphs = vec![];
        let inputs: Vec<_> = self.inputs.iter().map(|s| s.write(&mut b)).collect();
        let outputs: Vec<_> = self.outputs.iter().map(|s| s.write(&mut b)).collect();
        let (input_tensor_metadata, output_tensor_metadata) = (Some(b.create_vector(&inputs)), Some(b.create_vector(&outputs)));
        let args = SubGraphMetadataArgs { input_tensor_metadata, output_tensor_metadata, ..Default::default() };
        subgraphs.push(SubGraphMetadata::create(&mut b, &args));
        for _ in 0..self.more_subgraphs {
            subgraphs.push(SubGraphMetadata::create(&mut b, &SubGraphMetadataArgs::default()));
        }
        let (name, subgraph_metadata) = (Some(b.create_string(self.name)), Some(b.create_vector(&subgraphs)));
        let description = Some(b.create_string("made for a test"));
        let about = ModelMetadata::create(&mut b, &ModelMetadataArgs { name, description, subgraph_metadata, ..Default::default() });
        finish_model_metadata_buffer(&mut b, about);
        b.finished_data().to_vec()
    }

    /// The files behind a model.
    pub fn behind(&self, model: Vec<u8>) -> Vec<u8> {
        if self.files.is_empty() { model } else { archived(model, &self.files) }
    }
}

impl Said {
    fn write<'a>(&self, b: &mut FlatBufferBuilder<'a>) -> WIPOffset<TensorMetadata<'a>> {
        let content = self.content.write(b).map(|(content_properties_type, properties)| {
            let content_properties = Some(properties);
            Content::create(b, &ContentArgs { content_properties_type, content_properties, ..Default::default() })
        });
        let mut units = vec![];
        if !self.mean.is_empty() || !self.std.is_empty() {
            let (mean, std_) = (Some(b.create_vector(&self.mean)), Some(b.create_vector(&self.std)));
            let options = NormalizationOptions::create(b, &NormalizationOptionsArgs { mean, std_ }).as_union_value();
            units.push((ProcessUnitOptions::NormalizationOptions, options));
        }
        if let Some(global_score_threshold) = self.threshold {
            let options = ScoreThresholdingOptions::create(b, &ScoreThresholdingOptionsArgs { global_score_threshold });
            units.push((ProcessUnitOptions::ScoreThresholdingOptions, options.as_union_value()));
        }
        if self.is_calibrated {
            let options = ScoreCalibrationOptions::create(b, &ScoreCalibrationOptionsArgs::default()).as_union_value();
            units.push((ProcessUnitOptions::ScoreCalibrationOptions, options));
        }
        if self.is_text {
            let options = RegexTokenizerOptions::create(b, &RegexTokenizerOptionsArgs::default()).as_union_value();
            units.push((ProcessUnitOptions::RegexTokenizerOptions, options));
        }
        let unit = |b: &mut FlatBufferBuilder<'a>, (options_type, options)| {
            ProcessUnit::create(b, &ProcessUnitArgs { options_type, options: Some(options) })
        };
        let units: Vec<_> = units.into_iter().map(|u| unit(b, u)).collect();
        let process_units = Some(b.create_vector(&units));
        let associated_files = self.labels.map(|(name, type_)| {
            let name = Some(b.create_string(name));
            let file = AssociatedFile::create(b, &AssociatedFileArgs { name, type_, ..Default::default() });
            b.create_vector(&[file])
        });
        let name = Some(b.create_string(self.name));
        TensorMetadata::create(b, &TensorMetadataArgs { name, content, process_units, associated_files, ..Default::default() })
    }
}

impl Is {
    fn write(&self, b: &mut FlatBufferBuilder) -> Option<(ContentProperties, WIPOffset<UnionWIPOffset>)> {
        Some(match self {
            Is::Nothing => return None,
            Is::Image(color_space) => {
                let p = ImageProperties::create(b, &ImagePropertiesArgs { color_space: *color_space, default_size: None });
                (ContentProperties::ImageProperties, p.as_union_value())
            }
            Is::Boxes { order, form, coordinates } => {
                let index = Some(b.create_vector(order));
                let args = BoundingBoxPropertiesArgs { index, type_: *form, coordinate_type: *coordinates };
                (ContentProperties::BoundingBoxProperties, BoundingBoxProperties::create(b, &args).as_union_value())
            }
            Is::Sound { rate, channels } => {
                let p = AudioProperties::create(b, &AudioPropertiesArgs { sample_rate: *rate, channels: *channels });
                (ContentProperties::AudioProperties, p.as_union_value())
            }
        })
    }
}

/// A ZIP archive behind a model, whose numbers count from the file's first byte.
pub fn archived(mut out: Vec<u8>, files: &[(&str, Vec<u8>, bool)]) -> Vec<u8> {
    let mut directory = vec![];
    for (name, data, is_deflated) in files {
        let packed = if *is_deflated { deflated(data) } else { data.clone() };
        let (offset, name_bytes) = (out.len() as u32, (name.len() as u16).to_le_bytes());
        let mut about = vec![20, 0, 0, 0, u8::from(*is_deflated) * 8, 0, 0, 0, 0, 0];
        about.extend(crc32(data).to_le_bytes());
        about.extend((packed.len() as u32).to_le_bytes());
        about.extend((data.len() as u32).to_le_bytes());
        about.extend(name_bytes);
        about.extend([0, 0]);
        out.extend([&b"PK\x03\x04"[..], &about, name.as_bytes(), &packed].concat());
        directory.extend([&b"PK\x01\x02\x14\0"[..], &about, &[0; 10], &offset.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, start) = ((files.len() as u16).to_le_bytes(), out.len() as u32);
    out.extend(&directory);
    let size = directory.len() as u32;
    out.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size.to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat());
    out
}

/// One block that is stored as it is, which is deflated, too.
fn deflated(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_le_bytes();
    [&[1], &length[..], &length.map(|b| !b), data].concat()
}

fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !data.iter().fold(!0, |crc: u32, b| (0..8).fold(crc ^ u32::from(*b), step))
}

/// A perceptron of five numbers and three scores, of which is said: mean 1.5, std 0.5, three labels, scores of 0.25 and more.
pub fn scores() -> Described {
    let labels = "left\nright\nnone\n".into();
    Described {
        name: "scores",
        inputs: vec![Said { name: "sensor", mean: vec![1.5], std: vec![0.5], ..Said::default() }],
        outputs: vec![Said {
            name: "probability",
            threshold: Some(0.25),
            labels: Some(("labels.txt", Kind::TENSOR_AXIS_LABELS)),
            ..Said::default()
        }],
        files: vec![("other.txt", "other".into(), false), ("labels.txt", labels, true)],
        ..Described::default()
    }
}

/// Scores of x, which has the shape, and as many of them as are said.
pub fn scoring(of: &Described, shape: &[i32], count: i32) -> Vec<u8> {
    let mut m = Maker::default();
    m.metadata = Some(of.block());
    let size: i32 = shape.iter().product();
    let w: Vec<f32> = (0..count * size).map(|i| (i % 7) as f32 * 0.125).collect();
    let x = m.f32("x", shape, None);
    let (w, b) = (m.f32("w", &[count, size], Some(&w)), m.f32("b", &[count], Some(&vec![0.25; count as usize])));
    let (h, y) = (m.f32("h", &[1, count], None), m.f32("y", &[1, count], None));
    m.fully_connected(&[x, w, b], h, Activation::NONE);
    m.softmax(h, y);
    of.behind(m.finish(&[x], &[y]))
}

/// Two gray images of 4 x 4 pixels in two classes.
pub fn image() -> Described {
    let mut of = scores();
    (of.name, of.inputs[0].name, of.inputs[0].content) = ("image", "image", Is::Image(ColorSpaceType::GRAYSCALE));
    of.files[1].1 = b"dark\r\nbright\r\n".to_vec();
    of
}

/// Sound, 16 samples of it.
pub fn sound() -> Described {
    let mut of = scores();
    of.name = "sound";
    of.inputs[0] = Said { name: "waveform", content: Is::Sound { rate: 16000, channels: 1 }, ..Said::default() };
    of
}

/// Two boxes as TFLite_Detection_PostProcess gives them: y before x, with classes, scores and a count.
pub fn boxes() -> Described {
    let output = |name| Said { name, ..Said::default() };
    let content = Is::Boxes { order: vec![1, 0, 3, 2], form: BoundingBoxType::BOUNDARIES, coordinates: CoordinateType::RATIO };
    Described {
        name: "boxes",
        inputs: ["a", "b", "c", "d"].map(output).to_vec(),
        outputs: vec![
            Said { name: "location", content, ..Said::default() },
            Said { labels: Some(("labels.txt", Kind::TENSOR_VALUE_LABELS)), ..output("category") },
            Said { threshold: Some(0.5), ..output("score") },
            output("number of detections"),
        ],
        files: vec![("labels.txt", "cat\ndog".into(), false)],
        ..Described::default()
    }
}

/// Outputs that are the inputs, where these are not negative: boxes, classes, scores and their number.
pub fn boxing(of: &Described) -> Vec<u8> {
    let mut m = Maker::default();
    m.metadata = Some(of.block());
    let shapes: [&[i32]; 4] = [&[1, 2, 4], &[1, 2], &[1, 2], &[1]];
    let (mut inputs, mut outputs) = (vec![], vec![]);
    for (shape, name) in shapes.into_iter().zip(["boxes", "classes", "scores", "count"]) {
        let (x, y) = (m.f32(&format!("{name}_in"), shape, None), m.f32(name, shape, None));
        m.operator(Code::RELU, &[x], &[y], None);
        inputs.push(x);
        outputs.push(y);
    }
    of.behind(m.finish(&inputs, &outputs))
}

/// A change, and what it makes wrong: the place in the metadata, and a part of what is told.
pub struct Lie {
    pub name: &'static str,
    pub change: fn(&mut Described),
    pub place: &'static str,
    pub message: &'static str,
}

/// What contradicts [`scores`]' model, or itself.
pub const LIES: &[Lie] = &[
    Lie {
        name: "nan",
        change: |d| d.inputs[0].std = vec![f32::NAN],
        place: "subgraph_metadata[0].input_tensor_metadata[0].process_units[0].std",
        message: "an input cannot be normalised with this number; found NaN",
    },
    Lie {
        name: "zero",
        change: |d| d.inputs[0].std = vec![0.0],
        place: "subgraph_metadata[0].input_tensor_metadata[0].process_units[0].std",
        message: "an input cannot be normalised with this number; found 0",
    },
    Lie {
        name: "infinite",
        change: |d| d.inputs[0].mean = vec![f32::INFINITY],
        place: "subgraph_metadata[0].input_tensor_metadata[0].process_units[0].mean",
        message: "an input cannot be normalised with this number; found inf",
    },
    Lie {
        name: "channels",
        change: |d| d.inputs[0].mean = vec![1.0, 2.0],
        place: "subgraph_metadata[0].input_tensor_metadata[0].process_units[0].mean",
        message: "there must be one number, or one for each channel; expected 5; found 2",
    },
    Lie {
        name: "threshold",
        change: |d| d.outputs[0].threshold = Some(f32::NAN),
        place: "subgraph_metadata[0].output_tensor_metadata[0].process_units[0]",
        message: "the threshold of scores is no number; found NaN",
    },
    Lie {
        name: "missing",
        change: |d| d.files.truncate(1),
        place: "subgraph_metadata[0].output_tensor_metadata[0].associated_files[0]",
        message: "\"labels.txt\": there is no such file behind the model; found \"other.txt\"",
    },
    Lie {
        name: "alone",
        change: |d| d.files.clear(),
        place: "subgraph_metadata[0].output_tensor_metadata[0].associated_files[0]",
        message: "\"labels.txt\": there is no such file behind the model; found no file",
    },
    Lie {
        name: "few",
        change: |d| d.files[1].1 = "left\nright".into(),
        place: "subgraph_metadata[0].output_tensor_metadata[0].associated_files[0]",
        message: "\"labels.txt\" has not as many labels as \"y\" has scores; expected 3; found 2",
    },
    Lie {
        name: "many",
        change: |d| d.files[1].1 = "left\nright\nup\ndown".into(),
        place: "subgraph_metadata[0].output_tensor_metadata[0].associated_files[0]",
        message: "\"labels.txt\" has not as many labels as \"y\" has scores; expected 3; found 4",
    },
    Lie {
        name: "bytes",
        change: |d| d.files[1].1 = vec![0xff, 0xfe, b'\n'],
        place: "subgraph_metadata[0].output_tensor_metadata[0].associated_files[0]",
        message: "\"labels.txt\": the file is no text in UTF-8",
    },
    Lie {
        name: "values",
        change: |d| d.outputs[0].labels = Some(("labels.txt", Kind::TENSOR_VALUE_LABELS)),
        place: "subgraph_metadata[0].output_tensor_metadata[0].associated_files[0]",
        message: "names of the numbers that an output gives are supported beside boxes alone",
    },
    Lie {
        name: "inputs",
        change: |d| d.inputs.push(Said::default()),
        place: "subgraph_metadata[0].input_tensor_metadata",
        message: "the metadata is of another number of tensors than the model has; expected 1; found 2",
    },
    Lie {
        name: "outputs",
        change: |d| d.outputs.extend([Said::default(), Said::default()]),
        place: "subgraph_metadata[0].output_tensor_metadata",
        message: "the metadata is of another number of tensors than the model has; expected 1; found 3",
    },
    Lie {
        name: "subgraphs",
        change: |d| d.more_subgraphs = 1,
        place: "subgraph_metadata[1]",
        message: "the model has no such subgraph; expected 1 at most",
    },
    Lie {
        name: "no_image",
        change: |d| d.inputs[0].content = Is::Image(ColorSpaceType::RGB),
        place: "subgraph_metadata[0].input_tensor_metadata[0]",
        message: "\"x\" is no image; expected [1, height, width, 3], or 1 for gray ones; found [1, 5]",
    },
    Lie {
        name: "stereo",
        change: |d| d.inputs[0].content = Is::Sound { rate: 16000, channels: 2 },
        place: "subgraph_metadata[0].input_tensor_metadata[0]",
        message: "a model of 2 channels of sound is not supported; expected 1; found 2",
    },
    Lie {
        name: "silence",
        change: |d| d.inputs[0].content = Is::Sound { rate: 0, channels: 1 },
        place: "subgraph_metadata[0].input_tensor_metadata[0]",
        message: "sound has no rate; expected samples of a second; found 0",
    },
    Lie {
        name: "text",
        change: |d| d.inputs[0].is_text = true,
        place: "subgraph_metadata[0].input_tensor_metadata[0]",
        message: "text for a tokenizer by regular expressions is not supported",
    },
    Lie {
        name: "calibrated",
        change: |d| d.outputs[0].is_calibrated = true,
        place: "subgraph_metadata[0].output_tensor_metadata[0]",
        message: "a calibration of scores is not supported",
    },
    Lie {
        name: "no_boxes",
        change: |d| {
            d.outputs[0].content = Is::Boxes { order: vec![], form: BoundingBoxType::BOUNDARIES, coordinates: CoordinateType::RATIO }
        },
        place: "subgraph_metadata[0].output_tensor_metadata[0]",
        message: "\"y\" has no boxes; expected [1, boxes, 4]; found [1, 3]",
    },
];
