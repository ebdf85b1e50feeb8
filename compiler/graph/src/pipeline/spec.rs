//! What a pipeline says: which sensors there are, what the model's inputs are made of, and what becomes of its outputs.
//!
//! Not how: `frames.rs`, `audio.rs`, `answers.rs` and others make operators of it. The idea: these structures are the TOML file, field by field, and
//! a model's metadata becomes the same structures, so that there is one meaning of each. They are written, too, so that what one says can be laid over
//! what the other says.

pub use crate::ops::attributes::Format;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole file: sensors, the model of the command line, and models that follow it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pipeline {
    /// Images, by name.
    pub frame: BTreeMap<String, Frame>,
    /// Sound, by name.
    pub audio: BTreeMap<String, Audio>,
    /// Series of numbers, such as those of an accelerometer, by name.
    pub samples: BTreeMap<String, Samples>,
    /// By the model's names of its inputs; inputs that are not here stay the caller's.
    pub input: BTreeMap<String, Input>,
    /// By the model's names of its outputs; outputs that nothing reads stay outputs as they are.
    pub output: BTreeMap<String, Output>,
    /// Boxes around objects, by a name of the user's.
    pub detections: BTreeMap<String, Detections>,
    /// Points in the frame, by a name of the user's.
    pub keypoints: BTreeMap<String, Keypoints>,
    /// Models that run after that of the command line, in order.
    pub next: Vec<Next>,
}

/// A further model of the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Next {
    /// Its file, from the TOML file's folder.
    pub model: String,
    pub input: BTreeMap<String, Input>,
    pub output: BTreeMap<String, Output>,
    pub detections: BTreeMap<String, Detections>,
    pub keypoints: BTreeMap<String, Keypoints>,
}

/// What a camera gives: one buffer of bytes, plane after plane.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    pub format: Format,
    /// In pixels.
    pub width: usize,
    pub height: usize,
    /// Bytes from a row to the next one, of the first plane. Rows of U or V alone (I420) are half as far apart, rounded up, those of pairs of them (NV12,
    /// NV21) twice that: as far as those of Y where that is even. Without it rows follow each other. Each plane has its rows times its stride bytes; what
    /// is behind a row's pixels is never read.
    #[serde(default)]
    pub stride: Option<Stride>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Stride {
    /// Always so many bytes.
    Bytes(usize),
    /// Given with each frame, as an input `NAME_stride` of one i32; so many bytes at most, for which the buffer is large enough. One that is larger, or
    /// smaller than a row, ends the invocation with a status.
    Given { most: usize },
}

/// What a microphone gives.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Samples of a second.
    pub rate: usize,
    /// Samples of each call, all channels counted once.
    pub samples: usize,
    #[serde(default)]
    pub format: AudioFormat,
    /// Interleaved; their mean is what is heard.
    #[serde(default = "one")]
    pub channels: usize,
}

fn one() -> usize {
    1
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioFormat {
    #[default]
    I16,
    /// From -1 to 1; NaN is silence.
    F32,
}

/// What a sensor of motion, or any other that gives numbers, gives.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    pub format: AudioFormat,
    /// Numbers of one sample, such as 3 for x, y and z.
    pub channels: usize,
    /// Samples of each call.
    pub count: usize,
    /// Samples that the model sees: the newest ones, kept in the state from call to call; without it those of the call.
    #[serde(default)]
    pub window: Option<usize>,
    /// A sample's numbers are multiplied with it first.
    #[serde(default)]
    pub scale: Option<f32>,
}

/// What an input of a model is made of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// A sensor; or what an earlier model found: `NAME` of one of its outputs or keypoints.
    pub from: String,

    // Of frames.
    pub crop: Option<Crop>,
    /// Which part of the frame is used, as an earlier model found it: `NAME` of its detections (the best of them) or keypoints (the smallest box around
    /// them). It is all pixels of the frame that the box touches. A box that is empty there, or has a number that is none, is the whole frame.
    pub within: Option<String>,
    /// Width and height of the box of `within` grow by this factor around its middle, before it ends where the frame does.
    pub grow: Option<f32>,
    /// Quarters of a turn, clockwise, in degrees: 0, 90, 180 or 270.
    pub rotate: usize,
    /// Left becomes right, after turning.
    pub mirror: bool,
    pub fit: Fit,
    /// Of the bars of a letterbox: R, G and B, or one number, integers from 0 to 255. Black without it.
    pub fill: Option<OneOrMore>,
    pub resize: Resizing,
    /// In what order the model takes colours.
    pub order: Order,
    /// What the model takes is (pixel - mean) / std, with pixels from 0 to 255: one number, or one for each channel, in the model's order. Where it takes
    /// integers that stand for real numbers, they are rounded as QUANTIZE does. Of other sensors the same.
    pub mean: Option<OneOrMore>,
    pub std: Option<OneOrMore>,

    // Of sound.
    pub features: Option<Features>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum OneOrMore {
    One(f32),
    More(Vec<f32>),
}

impl OneOrMore {
    /// One for each channel, if there are as many.
    pub fn per_channel(&self, channels: usize) -> Option<Vec<f32>> {
        match self {
            OneOrMore::One(v) => Some(vec![*v; channels]),
            OneOrMore::More(v) if v.len() == channels => Some(v.clone()),
            OneOrMore::More(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Crop {
    /// Left, top, width and height, in pixels of the frame.
    Box([usize; 4]),
    /// `center`: the largest part in the middle that has the shape of the model's input.
    Named(CropName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CropName {
    Center,
}

/// How a part of the frame gets the shape of the model's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Both sides by themselves.
    #[default]
    Stretch,
    /// Both by the same factor, with bars left and right or above and below; an odd pixel of a bar is at the right, or below.
    Letterbox,
}

/// What a new pixel is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resizing {
    /// The four pixels around its middle (OpenCV's INTER_LINEAR_EXACT, bit for bit).
    #[default]
    Bilinear,
    /// The pixel at its corner (OpenCV's INTER_NEAREST, bit for bit).
    Nearest,
    /// All pixels under it (OpenCV's INTER_AREA); only to fewer pixels. The mean is exact, and halves become even numbers, or greater ones where both sides
    /// are halved; OpenCV's sums are floats, so some of its bytes are one off.
    Area,
}

/// The order of three channels. A model with one takes the brightness: 0.299 R + 0.587 G + 0.114 B with OpenCV's numbers of COLOR_RGB2GRAY, and of YUV
/// what each of R, G and B is where there is no chroma.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Rgb,
    Bgr,
}

/// What becomes of sound before the model; without it the samples themselves.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
pub enum Features {
    /// TensorFlow Lite Micro's micro frontend.
    MicroFrontend(MicroFrontend),
    /// Logarithms of sums of the spectrum.
    LogMel(Spectrum),
    /// Their cosine transform.
    Mfcc(Spectrum),
}

/// Defaults are those of micro_speech and microWakeWord.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MicroFrontend {
    pub window_ms: f32,
    pub step_ms: f32,
    pub channels: usize,
    pub lower_hz: f32,
    pub upper_hz: f32,
    pub smoothing_bits: usize,
    pub even_smoothing: f32,
    pub odd_smoothing: f32,
    pub min_signal_remaining: f32,
    pub pcan: bool,
    pub pcan_strength: f32,
    pub pcan_offset: f32,
    pub gain_bits: usize,
    pub log: bool,
    pub scale_shift: usize,
    pub tables: Tables,
    /// A feature's number as a real one: that of a model's input is scale * feature + offset.
    pub scale: f32,
    pub offset: f32,
}

impl Default for MicroFrontend {
    fn default() -> Self {
        MicroFrontend {
            window_ms: 30.0,
            step_ms: 20.0,
            channels: 40,
            lower_hz: 125.0,
            upper_hz: 7500.0,
            smoothing_bits: 10,
            even_smoothing: 0.025,
            odd_smoothing: 0.06,
            min_signal_remaining: 0.05,
            pcan: true,
            pcan_strength: 0.95,
            pcan_offset: 80.0,
            gain_bits: 21,
            log: true,
            scale_shift: 6,
            tables: Tables::Library,
            scale: 10.0 / 256.0,
            offset: 0.0,
        }
    }
}

/// Whose constants of window and bands: both are called the micro frontend, and some of their features are one apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tables {
    /// The C library's, which TensorFlow's operator, microWakeWord, ESPHome and pymicro-features have.
    #[default]
    Library,
    /// Those of the model that TFLM's `audio_preprocessor.py` writes, which its micro_speech example has: weights of bands are cut off, not rounded.
    Preprocessor,
}

/// Of log-mel and MFCC, which are those of TensorFlow's `tf.signal`, of samples from -1 to 1.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spectrum {
    pub window_ms: f32,
    pub step_ms: f32,
    pub mels: usize,
    /// Of MFCC.
    pub coefficients: usize,
    pub lower_hz: f32,
    pub upper_hz: f32,
    /// Squares of the spectrum's absolute values are summed, and not they themselves.
    pub power: bool,
    /// Added before the logarithm.
    pub floor: f32,
}

impl Default for Spectrum {
    fn default() -> Self {
        Spectrum { window_ms: 40.0, step_ms: 20.0, mels: 40, coefficients: 10, lower_hz: 20.0, upper_hz: 4000.0, power: false, floor: 1e-6 }
    }
}

/// What becomes of an output that has a score for each class.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// Names of the classes.
    pub labels: Option<Labels>,
    /// Scores are made of what the model says by a softmax over the last axis.
    pub softmax: bool,
    /// Or each by itself by a logistic function.
    pub sigmoid: bool,
    /// So many best classes, best first: `label` and `score`.
    pub top: Option<usize>,
    /// Classes whose score is lower are no answer: their label is -1. One number, or one for each class.
    pub threshold: Option<OneOrMore>,
    /// Scores of several calls decide together.
    pub debounce: Option<Debounce>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Labels {
    /// A text file with one on each line, from the TOML file's folder.
    File(String),
    Names(Vec<String>),
}

/// For keywords in a stream: what is heard once is told once.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Debounce {
    /// The mean of so many calls is compared with the threshold.
    pub window: usize,
    /// After an answer there is none for so many calls.
    #[serde(default)]
    pub cooldown: usize,
    /// Classes that are never an answer, such as silence: by number.
    #[serde(default)]
    pub ignore: Vec<usize>,
}

/// Outputs of a model that are boxes around objects.
///
/// A box without area, or with a number that is not finite, is none; nor is one whose scores have a NaN. Of boxes with equal scores the model's first is the
/// better one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detections {
    /// The output with places: of `[boxes, numbers]`, four numbers of each box and then those of its points. Of models that end with
    /// TFLite_Detection_PostProcess, its boxes.
    pub boxes: String,
    /// That with scores: `[boxes, classes]`. Where both are in one, the same: then a row is the box, its objectness if there is one, scores, and points.
    pub scores: String,
    /// Of models that end with TFLite_Detection_PostProcess: classes, and how many there are.
    pub classes: Option<String>,
    pub count: Option<String>,
    pub decode: Decode,
    /// Whether each box has a row of the outputs, or a column.
    pub layout: Layout,
    /// What a box's four numbers are; without it boundaries where `decode` is `done`, else a middle and a size.
    pub form: Option<Form>,
    /// Where they are among the four: left, top, right and bottom, or x, y, width and height. Without it `[1, 0, 3, 2]` where `decode` is `done`, else
    /// `[0, 1, 2, 3]`. Where y is before x, it is in points, too.
    pub order: Option<[usize; 4]>,
    /// What places and sizes are divided by to be from 0 to 1 across the model's input: one number, or those of x and y. 1 without it. Anchors have their own.
    pub scale: Option<OneOrMore>,
    /// Of `decode = "anchors"`.
    pub anchors: Option<Anchors>,
    /// So many points belong to each box.
    pub points: usize,
    /// Numbers of a point, of which the first two are its place; 2 without it.
    pub point_dims: Option<usize>,
    /// What scores are made of. In f32 the logistic function of numbers beyond 100 is 0 or 1 as it is, so nothing is clipped before.
    pub sigmoid: bool,
    pub softmax: bool,
    /// Scores are multiplied with a number before them that says whether there is an object at all.
    pub objectness: bool,
    /// The first class is that of no object; labels begin with the second.
    pub background: bool,
    /// Names of the classes. Of models that end with TFLite_Detection_PostProcess, boxes of classes that have none are left out.
    pub labels: Option<Labels>,
    /// Boxes with lower scores are left out.
    pub threshold: f32,
    /// Boxes whose intersection over union with a better one is so much or more are left out.
    pub iou: f32,
    /// Only a better box of the same class counts.
    pub per_class: bool,
    /// Boxes and points are means of those that were left out for them and their own, weighted by scores, as MediaPipe has it.
    pub blend: bool,
    /// So many boxes with the best scores are looked at; 1024 without it.
    pub candidates: Option<usize>,
    /// So many at most are the answer. Of models that end with TFLite_Detection_PostProcess all without it.
    pub most: usize,
}

/// How boxes are made of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decode {
    /// Top, left, bottom, right, from 0 to 1; they are the answer already.
    #[default]
    Done,
    /// Distances from anchors.
    Anchors,
    /// Middle and size in pixels or from 0 to 1, then scores (YOLO without anchors).
    Center,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[boxes, numbers]`.
    #[default]
    Rows,
    /// `[numbers, boxes]`.
    Columns,
}

/// What four numbers of a box are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Left, top, right and bottom.
    Boundaries,
    /// Left, top, width and height.
    UpperLeft,
    /// Middle, width and height.
    Center,
}

/// SSD's anchors: in the middle of each place of each layer, by place, then in the order of the layers. A box's middle is that of its anchor, plus what the
/// model says times the anchor's size.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Anchors {
    /// Of each layer, in pixels of the model's input.
    pub strides: Vec<usize>,
    /// Anchors in each place of layers of this stride, in the order of `strides`; layers with equal strides in a row are one, with all their anchors.
    pub per_place: Vec<usize>,
    /// What places and sizes are divided by: mostly the input's size in pixels. One number, those of x and y, or those of x, y, width and height.
    pub scale: Option<OneOrMore>,
    /// Width and height of the model's input in pixels; without it `scale`.
    pub size: Option<[usize; 2]>,
    /// Width and height of each layer's anchors in a place, from 0 to 1; without it all are 1, as MediaPipe's are.
    pub sizes: Option<Vec<Vec<[f32; 2]>>>,
    /// Width and height are e to the power of what the model says, times the anchor's.
    pub exponential: bool,
}

/// An output that is points.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keypoints {
    /// The output.
    pub from: String,
    pub count: usize,
    /// Numbers of a point: x, y and maybe others.
    pub dims: usize,
    /// What its numbers are divided by to be from 0 to 1: mostly the input's size in pixels. 1 where it is 0. What is NaN is 0.
    pub scale: f32,
    /// Given as x and y relative to the first point, divided by the largest distance along an axis: what classifiers of gestures take.
    pub relative: bool,
}
