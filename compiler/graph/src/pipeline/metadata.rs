//! A model's metadata as a pipeline: what a TOML file would say, said by the model.
//!
//! Not the reading of it (`import/metadata.rs`), and no meaning of its own: what fields mean is said in `spec.rs`. The idea: the frame is as large as the
//! model's input, in RGB or gray, and what the metadata says beyond what a pipeline can do is refused.

use super::spec::{Audio, AudioFormat, Decode, Detections, Form, Format, Frame, Input, Labels, OneOrMore, Output, Pipeline, Samples};
use crate::diagnostic::{Code, Diagnostic, quoted};
use crate::import::Imported;
use crate::import::metadata::{self, Colours, Content, Metadata, Normalization, Tensor, wrong};
use crate::tensor::{ElementType, TensorType};

/// What the boxes of a model are called.
const DETECTIONS: &str = "detections";

/// What sensors are called that somebody else describes, one of a kind at most: inputs are made of these instead of sensors of their own.
#[derive(Clone, Debug, Default)]
pub struct Sensors {
    pub frame: Option<String>,
    pub audio: Option<String>,
    pub samples: Option<String>,
}

/// The pipeline that a model's metadata says. Its frames are those that the model's input itself is, since the metadata knows nothing of cameras.
///
/// # Errors
/// E0109 where the metadata and the model contradict each other, or where it says what a pipeline cannot do.
pub fn pipeline(metadata: &Metadata, model: &Imported, sensors: &Sensors) -> Result<Pipeline, Diagnostic> {
    let mut pipeline = Pipeline::default();
    let Some(about) = metadata.subgraphs.get(model.subgraph as usize) else {
        return Err(wrong("subgraph_metadata", "the metadata says nothing of the model's inputs and outputs"));
    };
    let mut size = None;
    for of in &about.inputs {
        if let Some(tokenizer) = of.tokenizer {
            return Err(unsupported(&of.place, format!("text for {tokenizer} is not supported"))
                .help("leave --metadata out, and give the model numbers of words"));
        }
        // An input that became a constant is none.
        let Some(at) = model.input_tensors.iter().position(|t| *t == of.tensor) else { continue };
        let (name, ty) = (&model.input_names[at], model.graph.ty(model.graph.inputs[at]));
        if let Some(frame) = input(&mut pipeline, of, name, ty, &model.input_names, sensors)? {
            size = size.or(Some(frame));
        }
    }
    let outputs: Vec<Told> = about
        .outputs
        .iter()
        .filter_map(|of| {
            let at = model.output_tensors.iter().position(|t| *t == of.tensor)?;
            Some(Told { of, name: &model.output_names[at], ty: model.graph.ty(model.graph.outputs[at]) })
        })
        .collect();
    if let Some(of) = outputs.iter().find(|o| o.of.has_calibration) {
        return Err(unsupported(&of.of.place, "a calibration of scores is not supported")
            .help("leave --metadata out, and say in a file for --pipeline what else the metadata says; `cranelite inspect` shows it"));
    }
    let boxes = outputs.iter().position(|o| matches!(o.of.content, Content::Boxes(_)));
    if let Some(at) = boxes {
        let detections = detections(&outputs, at, size)?;
        pipeline.detections.insert(DETECTIONS.into(), detections);
        return Ok(pipeline);
    }
    for Told { of, name, ty } in outputs {
        if of.labels.is_none() && of.threshold.is_none() {
            continue;
        }
        let labels = match &of.labels {
            None => None,
            Some(labels) if labels.are_of_values => {
                return Err(unsupported(&labels.place, "names of the numbers that an output gives are supported beside boxes alone"));
            }
            Some(labels) => {
                let count = ty.element_count();
                if labels.names.len() != count {
                    return Err(wrong(
                        &labels.place,
                        format!("{} has not as many labels as {} has scores", quoted(&labels.file), quoted(name)),
                    )
                    .expected(count.to_string())
                    .found(labels.names.len().to_string()));
                }
                Some(Labels::Names(labels.names.to_vec()))
            }
        };
        pipeline.output.insert(name.clone(), Output { labels, threshold: of.threshold.map(OneOrMore::One), ..Output::default() });
    }
    Ok(pipeline)
}

/// What is said of an output.
struct Told<'m> {
    of: &'m Tensor,
    name: &'m String,
    ty: &'m TensorType,
}

fn unsupported(place: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::METADATA, message).detail(place)
}

/// A name for a sensor that no other and no input of the model has.
fn fresh(word: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|n| format!("{word}_{n}"));
    std::iter::once(word.to_string()).chain(numbered).find(|name| !is_taken(name)).expect("there is always another number")
}

/// The sensor that an input is made of; of images width and height of the frame.
fn input(
    pipeline: &mut Pipeline,
    of: &Tensor,
    name: &str,
    ty: &TensorType,
    names: &[String],
    sensors: &Sensors,
) -> Result<Option<[usize; 2]>, Diagnostic> {
    let is_taken = |name: &str, p: &Pipeline| {
        names.iter().any(|n| n == name) || p.frame.contains_key(name) || p.audio.contains_key(name) || p.samples.contains_key(name)
    };
    let (mean, std) = match &of.normalization {
        None => (None, None),
        Some(n) => normalization(n, ty)?,
    };
    match &of.content {
        Content::Image(colours) => {
            let [1, height, width, channels @ (1 | 3)] = ty.shape[..] else {
                return Err(wrong(&of.place, format!("{} is no image", quoted(name)))
                    .expected("[1, height, width, 3], or 1 for gray ones")
                    .found(format!("{:?}", ty.shape)));
            };
            let told = match colours {
                Colours::Rgb => 3,
                Colours::Gray => 1,
                Colours::Unknown => channels,
            };
            if told != channels {
                return Err(wrong(&of.place, format!("{} has not as many channels as the metadata says", quoted(name)))
                    .expected(told.to_string())
                    .found(channels.to_string()));
            }
            let sensor = sensors.frame.clone().unwrap_or_else(|| fresh("frame", |name| is_taken(name, pipeline)));
            let format = if channels == 3 { Format::Rgb8 } else { Format::Gray8 };
            pipeline.frame.insert(sensor.clone(), Frame { format, width, height, stride: None });
            // A model of bytes takes the pixels themselves, as TensorFlow Lite's Task library gives them to it; what is said of it is about the float model that
            // it was made from.
            let is_of_bytes = of.normalization.is_none() || ty.element == ElementType::U8;
            let (mean, std) = if is_of_bytes { pixels(ty) } else { (mean, std) };
            pipeline.input.insert(name.into(), Input { from: sensor, mean, std, ..Input::default() });
            Ok(Some([width, height]))
        }
        Content::Sound { rate, channels } => {
            if *channels != 1 {
                return Err(unsupported(&of.place, format!("a model of {channels} channels of sound is not supported"))
                    .expected("1")
                    .found(channels.to_string()));
            }
            if *rate == 0 {
                return Err(wrong(&of.place, "sound has no rate").expected("samples of a second").found("0"));
            }
            let sensor = sensors.audio.clone().unwrap_or_else(|| fresh("audio", |name| is_taken(name, pipeline)));
            let audio = Audio { rate: *rate as usize, samples: ty.element_count(), format: AudioFormat::I16, channels: 1 };
            pipeline.audio.insert(sensor.clone(), audio);
            pipeline.input.insert(name.into(), Input { from: sensor, mean, std, ..Input::default() });
            Ok(None)
        }
        // Numbers that are only normalised.
        _ if mean.is_some() || std.is_some() => {
            let channels = ty.shape.last().copied().unwrap_or(1);
            let sensor = sensors.samples.clone().unwrap_or_else(|| fresh("samples", |name| is_taken(name, pipeline)));
            let count = ty.element_count() / channels.max(1);
            pipeline.samples.insert(sensor.clone(), Samples { format: AudioFormat::F32, channels, count, window: None, scale: None });
            pipeline.input.insert(name.into(), Input { from: sensor, mean, std, ..Input::default() });
            Ok(None)
        }
        _ => Ok(None),
    }
}

type MeanAndStd = (Option<OneOrMore>, Option<OneOrMore>);

fn normalization(n: &Normalization, ty: &TensorType) -> Result<MeanAndStd, Diagnostic> {
    let channels = ty.shape.last().copied().unwrap_or(1);
    let numbers = |field: &str, all: &[f32]| {
        if let Some(bad) = all.iter().find(|v| !v.is_finite() || (field == "std" && **v == 0.0)) {
            return Err(wrong(format!("{}.{field}", n.place), "an input cannot be normalised with this number").found(bad.to_string()));
        }
        match all {
            [] => Ok(None),
            [one] => Ok(Some(OneOrMore::One(*one))),
            all if all.len() == channels => Ok(Some(OneOrMore::More(all.to_vec()))),
            all => Err(wrong(format!("{}.{field}", n.place), "there must be one number, or one for each channel")
                .expected(channels.to_string())
                .found(all.len().to_string())),
        }
    };
    Ok((numbers("mean", &n.mean)?, numbers("std", &n.std)?))
}

/// With which an image's bytes are those of the model's input, of the first of which there are 0 to 255.
fn pixels(ty: &TensorType) -> MeanAndStd {
    let first = match ty.element {
        ElementType::U8 => 0,
        ElementType::I8 => 128,
        _ => return (None, None),
    };
    match ty.quantization.as_ref().map(|q| (&q.scales[..], &q.zero_points[..])) {
        Some(([scale], [zero_point])) => {
            (Some(OneOrMore::One((*zero_point + first) as f32)), Some(OneOrMore::One((1.0 / f64::from(*scale)) as f32)))
        }
        _ => (None, None),
    }
}

/// Of a model that ends with TFLite_Detection_PostProcess. `size`: width and height of the image.
fn detections(outputs: &[Told], at: usize, size: Option<[usize; 2]>) -> Result<Detections, Diagnostic> {
    let boxes = &outputs[at];
    let Content::Boxes(told) = &boxes.of.content else { unreachable!("the caller has looked") };
    let count = match boxes.ty.shape[..] {
        [.., count, 4] if count * 4 == boxes.ty.element_count() => count,
        _ => {
            return Err(wrong(&boxes.of.place, format!("{} has no boxes", quoted(boxes.name)))
                .expected("[1, boxes, 4]")
                .found(format!("{:?}", boxes.ty.shape)));
        }
    };
    let Some(form) = told.form else {
        return Err(
            unsupported(&boxes.of.place, "what the four numbers of a box are is unknown").expected("boundaries, upper left or center")
        );
    };
    let order = match &told.order {
        None => [0, 1, 2, 3],
        Some(order) => {
            let places: Vec<usize> = order.iter().map(|i| *i as usize).collect();
            <[usize; 4]>::try_from(&places[..]).ok().filter(|o| (0..4).all(|i| o.contains(&i))).ok_or_else(|| {
                wrong(format!("{}.content", boxes.of.place), "the index of a box's numbers must have each of four once")
                    .found(format!("{order:?}"))
            })?
        }
    };
    let scale = match (told.is_in_pixels, size) {
        (false, _) => None,
        (true, Some([width, height])) => Some(OneOrMore::More(vec![width as f32, height as f32])),
        (true, None) => return Err(wrong(&boxes.of.place, "boxes are in pixels, and no input is an image")),
    };
    // What the other outputs are: their labels say it, else their names.
    let others: Vec<&Told> = outputs.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, o)| o).collect();
    let is_called = |o: &Told, words: &[&str]| {
        let name = o.of.name.to_lowercase();
        words.iter().any(|w| name.contains(w))
    };
    let of_size = |n: usize| others.iter().copied().filter(move |o| o.ty.element_count() == n);
    let classes = of_size(count)
        .find(|o| o.of.labels.as_ref().is_some_and(|l| l.are_of_values))
        .or_else(|| of_size(count).find(|o| is_called(o, &["categor", "class"])));
    let total = of_size(1)
        .find(|o| is_called(o, &["number", "count"]))
        .or_else(|| of_size(1).find(|o| 1 < count && classes.is_none_or(|c| c.name != o.name)));
    let is_other = |o: &&Told| [classes, total].iter().flatten().all(|t| t.name != o.name);
    let scores = of_size(count).filter(is_other).find(|o| o.of.threshold.is_some() || is_called(o, &["score"]));
    let (Some(classes), Some(scores)) = (classes, scores) else {
        return Err(unsupported(&boxes.of.place, "which outputs are the classes and scores of these boxes is not said")
            .expected(format!("outputs of {count} numbers that are called categories and scores"))
            .help("leave --metadata out, and say in a file for --pipeline how boxes are decoded"));
    };
    let labels = classes.of.labels.as_ref().map(|l| Labels::Names(l.names.to_vec()));
    Ok(Detections {
        boxes: boxes.name.clone(),
        scores: scores.name.clone(),
        classes: Some(classes.name.clone()),
        count: total.map(|o| o.name.clone()),
        decode: Decode::Done,
        form: Some(match form {
            metadata::Form::Boundaries => Form::Boundaries,
            metadata::Form::UpperLeft => Form::UpperLeft,
            metadata::Form::Center => Form::Center,
        }),
        order: Some(order),
        scale,
        labels,
        threshold: scores.of.threshold.or(boxes.of.threshold).unwrap_or(0.0),
        ..Detections::default()
    })
}
