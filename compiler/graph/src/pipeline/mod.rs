//! From the sensor to the answer: what comes before and after a model, as operators of the same graph.
//!
//! Not the reading of the file that says it (`compiler/src`), and no code of its own at run time. The idea: sensors become the graph's inputs, answers
//! its outputs, and models that follow each other one graph, before anything else looks at it; so bounds, arena, speed and numbers of all of it are
//! those of operators.

pub mod answers;
pub mod audio;
pub mod boxes;
pub mod chain;
pub mod frames;
pub mod metadata;
pub mod operations;
pub mod samples;
pub mod spec;

use crate::diagnostic::{Code, Diagnostic, quoted};
use crate::graph::{Graph, Node, Origin, State, ValueId};
use crate::import::Imported;
use crate::tensor::TensorType;
use chain::{Chain, next_operator};
use spec::{Detections, Input, Keypoints, Labels, Output, Pipeline};
use std::collections::{BTreeMap, BTreeSet};

/// A model with what is before and after it.
pub struct Piped {
    pub imported: Imported,
    pub answers: Vec<Answer>,
    /// In words, by position of the graph's inputs, what a sensor gives; of others empty.
    pub sensors: Vec<String>,
}

/// What a program wants to know: some outputs of the graph that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Of the output or the detections that it is made of.
    pub name: String,
    /// By number of a class; may be empty.
    pub labels: Vec<String>,
    /// Names and positions among the graph's outputs.
    pub parts: Vec<(&'static str, usize)>,
}

/// Something wrong with a field of the pipeline: the place is told from the field outwards.
pub fn wrong(field: impl Into<String>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::PIPELINE, message).detail(field)
}

/// Puts a table's name before the field, in problems of the pipeline.
fn within(table: impl std::fmt::Display) -> impl Fn(Diagnostic) -> Diagnostic {
    move |mut d| {
        if d.place.operator.is_some() || d.code != Code::PIPELINE {
            d.message = format!("{} (for {table} of the pipeline)", d.message);
        } else {
            d.place.detail = Some(d.place.detail.map_or(table.to_string(), |field| format!("{table}.{field}")));
        }
        d
    }
}

/// What a model's input was made of.
pub struct Made {
    pub value: ValueId,
    /// Of frames: f32 `[3,2]` that takes (x, y, 1), x and y from 0 to 1 across the model's input, to pixels of the frame.
    pub geometry: Option<ValueId>,
}

/// What was found, for models that follow; of equal names that of the latest model.
#[derive(Default)]
struct Found {
    /// Outputs as they are, and keypoints, which come before an output of the same name.
    numbers: BTreeMap<String, ValueId>,
    /// f32 `[4]`: left, top, right and bottom of the best box, in pixels of the frame.
    boxes: BTreeMap<String, ValueId>,
}

/// Names and values of what belongs to an answer.
type Parts = Vec<(&'static str, ValueId)>;

/// The parts of a pipeline that are about one model.
struct About<'p> {
    /// Before its tables' names, such as `next[0].`.
    place: String,
    input: &'p BTreeMap<String, Input>,
    output: &'p BTreeMap<String, Output>,
    detections: &'p BTreeMap<String, Detections>,
    keypoints: &'p BTreeMap<String, Keypoints>,
}

/// Puts sensors before and answers behind a model, and models behind each other. `next` are the models of `pipeline.next`. Labels are names by
/// then, and no files.
pub fn apply(first: Imported, next: Vec<Imported>, pipeline: &Pipeline) -> Result<Piped, Vec<Diagnostic>> {
    let of_first = About {
        place: String::new(),
        input: &pipeline.input,
        output: &pipeline.output,
        detections: &pipeline.detections,
        keypoints: &pipeline.keypoints,
    };
    let of_next = pipeline.next.iter().enumerate().map(|(i, n)| About {
        place: format!("next[{i}]."),
        input: &n.input,
        output: &n.output,
        detections: &n.detections,
        keypoints: &n.keypoints,
    });
    pipeline.check_sensors().map_err(|d| vec![d])?;
    let mut joined = Joined {
        pipeline,
        imported: Imported {
            input_names: vec![],
            output_names: vec![],
            input_tensors: vec![],
            output_tensors: vec![],
            output_counts: vec![],
            ..first.clone()
        },
        answers: vec![],
        sensors: vec![],
        given: BTreeMap::new(),
        found: Found::default(),
    };
    joined.imported.graph.inputs.clear();
    joined.imported.graph.outputs.clear();
    let all: Vec<(Imported, About)> = std::iter::once(first).chain(next).zip(std::iter::once(of_first).chain(of_next)).collect();
    let read: Vec<BTreeSet<String>> = (0..all.len()).map(|i| read_later(&all[i + 1..], pipeline)).collect();
    for (i, ((model, about), read)) in all.into_iter().zip(read).enumerate() {
        joined.add(i == 0, model, &about, &read).map_err(|d| vec![d])?;
    }
    joined.unused_sensors().map_err(|d| vec![d])?;
    let Joined { imported, answers, sensors, .. } = joined;
    if imported.graph.outputs.is_empty() {
        return Err(vec![wrong("output", "the pipeline has no answer").expected("an output, detections or keypoints")]);
    }
    crate::verify::verify(&imported.graph).map_err(|e| e.into_iter().map(|e| Diagnostic::new(Code::INTERNAL, e)).collect::<Vec<_>>())?;
    Ok(Piped { imported, answers, sensors })
}

/// Names that later models read of this one: what nobody else asks for is no answer.
fn read_later(later: &[(Imported, About)], pipeline: &Pipeline) -> BTreeSet<String> {
    let mut hidden: BTreeSet<&String> = pipeline.sensors().into_iter().map(|(_, name)| name).collect();
    let mut read = BTreeSet::new();
    for (model, about) in later {
        read.extend(about.input.values().map(|i| &i.from).filter(|name| !hidden.contains(name)).cloned());
        hidden.extend(model.output_names.iter().chain(about.keypoints.keys()));
    }
    read
}

struct Joined<'p> {
    pipeline: &'p Pipeline,
    imported: Imported,
    answers: Vec<Answer>,
    sensors: Vec<String>,
    /// The graph's inputs that sensors are.
    given: BTreeMap<String, Vec<ValueId>>,
    found: Found,
}

impl Joined<'_> {
    fn add(&mut self, is_first: bool, model: Imported, about: &About, read_later: &BTreeSet<String>) -> Result<(), Diagnostic> {
        let Imported { graph: mut body, input_names, output_names, input_tensors, output_tensors, output_counts, .. } = model;
        if output_counts.iter().any(Option::is_some) {
            return Err(Diagnostic::new(Code::FEATURE, "a pipeline around a model whose outputs are counted at run time is not supported"));
        }
        unknown(about.input.keys(), &input_names, &format!("{}input", about.place), "the model has no input called")?;
        unknown(about.output.keys(), &output_names, &format!("{}output", about.place), "the model has no output called")?;
        // What its inputs are made of.
        let mut geometry = None;
        let mut made = vec![];
        let types: Vec<(String, TensorType)> = input_names.iter().cloned().zip(body.inputs.iter().map(|v| body.ty(*v).clone())).collect();
        let mut chain = Chain::new(&mut self.imported.graph);
        let mut new_inputs = vec![];
        for (i, (name, ty)) in types.iter().enumerate() {
            let Some(input) = about.input.get(name) else {
                made.push(None);
                new_inputs.push((name.clone(), None, input_tensors[i]));
                continue;
            };
            let table = within(format!("{}input.{name}", about.place));
            let source = Source {
                pipeline: self.pipeline,
                found: &self.found,
                given: &mut self.given,
                new: &mut new_inputs,
                has_states: !body.states.is_empty(),
            };
            let Made { value, geometry: own } = source.make(&mut chain, input, ty).map_err(&table)?;
            if chain.ty(value) != ty {
                let d = Diagnostic::new(Code::INTERNAL, "what a sensor becomes has not the type of the model's input");
                return Err(table(d.expected(format!("{ty:?}")).found(format!("{:?}", chain.ty(value)))));
            }
            geometry = geometry.or(own);
            made.push(Some(value));
        }
        let outputs: Vec<ValueId> = if is_first {
            for (value, input) in made.iter().zip(&body.inputs).filter_map(|(m, v)| m.map(|m| (m, *v))) {
                chain.becomes(value, input);
            }
            chain.before();
            for (name, value, tensor) in new_inputs {
                let value = value.unwrap_or_else(|| body.inputs[input_names.iter().position(|n| *n == name).expect("a name of an input")]);
                self.input(name, value, tensor);
            }
            body.outputs
        } else {
            chain.after();
            let operators = next_operator(&self.imported.graph);
            renumber(&mut body, operators);
            for (name, value, tensor) in new_inputs {
                let value = match value {
                    Some(value) => value,
                    None => {
                        let at = input_names.iter().position(|n| *n == name).expect("a name of an input");
                        let value = self.imported.graph.add_value(body.value(body.inputs[at]).clone());
                        made[at] = Some(value);
                        value
                    }
                };
                self.input(name, value, tensor);
            }
            let states: Vec<ValueId> = body.states.iter().map(|s| self.state(&body, s)).collect();
            let inputs: Vec<ValueId> = made.into_iter().map(|v| v.expect("every input has a value")).collect();
            self.imported.graph.inline(body, &inputs, &states)
        };
        self.answers(about, &output_names, &outputs, &output_tensors, geometry, read_later)
    }

    fn input(&mut self, name: String, value: ValueId, tensor: i32) {
        self.imported.graph.inputs.push(value);
        let sensor = self.pipeline.described(&name);
        self.sensors.push(sensor);
        self.imported.input_names.push(name);
        self.imported.input_tensors.push(tensor);
    }

    fn output(&mut self, name: String, value: ValueId, tensor: i32) -> usize {
        self.imported.graph.outputs.push(value);
        let called = &mut self.imported.graph.value_mut(value).name;
        if called.is_empty() {
            called.clone_from(&name);
        }
        self.imported.output_names.push(name);
        self.imported.output_tensors.push(tensor);
        self.imported.output_counts.push(None);
        self.imported.graph.outputs.len() - 1
    }

    /// A state of a model that is inlined, as one of the graph.
    fn state(&mut self, body: &Graph, state: &State) -> ValueId {
        let value = self.imported.graph.add_value(body.value(state.value).clone());
        self.imported.graph.states.push(State { value, ..state.clone() });
        value
    }

    fn answers(
        &mut self,
        about: &About,
        names: &[String],
        values: &[ValueId],
        tensors: &[i32],
        geometry: Option<ValueId>,
        read_later: &BTreeSet<String>,
    ) -> Result<(), Diagnostic> {
        let by_name: BTreeMap<&str, ValueId> = names.iter().map(String::as_str).zip(values.iter().copied()).collect();
        let mut read: BTreeSet<&str> = BTreeSet::new();
        let mut made: Vec<(String, Vec<String>, Parts)> = vec![];
        self.found.numbers.extend(names.iter().cloned().zip(values.iter().copied()));
        let mut chain = Chain::new(&mut self.imported.graph);
        for (name, detections) in about.detections {
            if about.keypoints.contains_key(name) {
                return Err(wrong(format!("{}keypoints.{name}", about.place), "detections of this model have the same name"));
            }
            let table = within(format!("{}detections.{name}", about.place));
            read.extend([&detections.boxes, &detections.scores].map(String::as_str));
            read.extend(detections.classes.iter().chain(&detections.count).map(String::as_str));
            let labels = names_of(detections.labels.as_ref());
            let found = boxes::detections(&mut chain, &by_name, detections, geometry).map_err(&table)?;
            self.found.boxes.insert(name.clone(), boxes::best(&mut chain, &found).map_err(&table)?);
            made.push((name.clone(), labels, found.parts()));
        }
        for (name, keypoints) in about.keypoints {
            let table = within(format!("{}keypoints.{name}", about.place));
            read.insert(&keypoints.from);
            let found = boxes::keypoints(&mut chain, &by_name, keypoints, geometry).map_err(&table)?;
            self.found.numbers.insert(name.clone(), found);
            if !keypoints.relative {
                self.found.boxes.insert(name.clone(), boxes::around(&mut chain, found).map_err(&table)?);
            }
            if !read_later.contains(name) {
                made.push((name.clone(), vec![], vec![("points", found)]));
            }
        }
        for (name, &value) in names.iter().zip(values) {
            let Some(output) = about.output.get(name) else { continue };
            let table = within(format!("{}output.{name}", about.place));
            let labels = names_of(output.labels.as_ref());
            made.push((name.clone(), labels, answers::make(&mut chain, value, output).map_err(&table)?));
        }
        chain.after();
        let mut answers = vec![];
        for (i, (name, &value)) in names.iter().zip(values).enumerate() {
            let is_read = read.contains(name.as_str()) || read_later.contains(name);
            if !is_read && !about.output.contains_key(name) {
                self.output(name.clone(), value, tensors[i]);
            }
        }
        for (name, labels, parts) in made {
            let parts = parts.into_iter().map(|(part, v)| (part, self.output(format!("{name}_{part}"), v, -1))).collect();
            answers.push(Answer { name, labels, parts });
        }
        self.answers.extend(answers);
        Ok(())
    }

    fn unused_sensors(&self) -> Result<(), Diagnostic> {
        match self.pipeline.sensors().into_iter().find(|(_, name)| !self.given.contains_key(*name)) {
            Some((table, name)) => {
                Err(wrong(format!("{table}.{name}"), "no input is made of this sensor").help("an input's `from` names the sensor"))
            }
            None => Ok(()),
        }
    }
}

/// Where an input's numbers come from.
struct Source<'j> {
    pipeline: &'j Pipeline,
    found: &'j Found,
    given: &'j mut BTreeMap<String, Vec<ValueId>>,
    /// Inputs of the graph that are new: names, values, numbers of tensors.
    new: &'j mut Vec<(String, Option<ValueId>, i32)>,
    /// The model keeps something from call to call.
    has_states: bool,
}

impl Source<'_> {
    fn make(mut self, chain: &mut Chain, input: &Input, ty: &TensorType) -> Result<Made, Diagnostic> {
        let Pipeline { frame, audio, samples, .. } = self.pipeline;
        let no_geometry = |value| Made { value, geometry: None };
        if let Some(frame) = frame.get(&input.from) {
            let values = self.sensor(chain, &input.from, frames::inputs(frame)?);
            let part = match &input.within {
                None => None,
                Some(name) => Some(*self.found.boxes.get(name).ok_or_else(|| {
                    let d = wrong("within", format!("no detections or keypoints of an earlier model are called {}", quoted(name)));
                    one_of(d, self.found.boxes.keys())
                })?),
            };
            return frames::make(chain, frame, &values, part, input, ty);
        }
        of_frames(input)?;
        if let Some(audio) = audio.get(&input.from) {
            let values = self.sensor(chain, &input.from, audio::inputs(audio)?);
            return audio::make(chain, audio, values[0], input, ty, self.has_states).map(no_geometry);
        }
        if input.features.is_some() {
            return Err(wrong("features", "only sound has features"));
        }
        if let Some(sensor) = samples.get(&input.from) {
            let values = self.sensor(chain, &input.from, samples::inputs(sensor)?);
            return samples::make(chain, sensor, values[0], input, ty).map(no_geometry);
        }
        match self.found.numbers.get(&input.from) {
            Some(v) => samples::convert(chain, *v, input, ty).map(no_geometry),
            None => {
                let sensors = self.pipeline.sensors().into_iter().map(|(_, name)| name);
                let d = wrong("from", format!("no sensor, and no output of an earlier model, is called {}", quoted(&input.from)));
                Err(one_of(d, sensors.chain(self.found.numbers.keys())))
            }
        }
    }

    /// The graph's inputs that a sensor is, once.
    fn sensor(&mut self, chain: &mut Chain, name: &str, types: Vec<(&'static str, TensorType)>) -> Vec<ValueId> {
        if let Some(values) = self.given.get(name) {
            return values.clone();
        }
        let mut values = vec![];
        for (suffix, ty) in types {
            let name = format!("{name}{suffix}");
            values.push(chain.input(&name, ty));
            self.new.push((name, values.last().copied(), -1));
        }
        self.given.insert(name.into(), values.clone());
        values
    }
}

impl Pipeline {
    /// All sensors: their tables and names.
    fn sensors(&self) -> Vec<(&'static str, &String)> {
        let of = |table, names| std::iter::repeat(table).zip(names);
        let Pipeline { frame, audio, samples, .. } = self;
        of("frame", frame.keys().collect::<Vec<_>>())
            .chain(of("audio", audio.keys().collect()))
            .chain(of("samples", samples.keys().collect()))
            .collect()
    }

    /// That each can be, and has a name of its own.
    fn check_sensors(&self) -> Result<(), Diagnostic> {
        let mut names = BTreeSet::new();
        for (table, name) in self.sensors() {
            let types = match table {
                "frame" => frames::inputs(&self.frame[name]),
                "audio" => audio::inputs(&self.audio[name]),
                _ => samples::inputs(&self.samples[name]),
            };
            types.map_err(within(format!("{table}.{name}")))?;
            if !names.insert(name) {
                return Err(wrong(format!("{table}.{name}"), "another sensor has the same name"));
            }
        }
        Ok(())
    }

    /// A sensor in words, by the name of the input that it is; empty of other names.
    fn described(&self, name: &str) -> String {
        let frame = self.frame.iter().map(|(n, f)| (n, frames::described(f)));
        let audio = self.audio.iter().map(|(n, a)| (n, audio::described(a)));
        let samples = self.samples.iter().map(|(n, s)| (n, samples::described(s)));
        let of_frame = self.frame.keys().map(|n| (format!("{n}_stride"), format!("bytes from a row of {n} to the next one")));
        let all = frame.chain(audio).chain(samples).map(|(n, text)| (n.clone(), text)).chain(of_frame);
        all.into_iter().find(|(n, _)| n == name).map(|(_, text)| text).unwrap_or_default()
    }
}

fn names_of(labels: Option<&Labels>) -> Vec<String> {
    match labels {
        Some(Labels::Names(names)) => names.clone(),
        _ => vec![],
    }
}

/// That nothing is said which has a meaning of frames alone.
fn of_frames(input: &Input) -> Result<(), Diagnostic> {
    let nothing = Input::default();
    let fields = [
        ("crop", input.crop.is_some()),
        ("within", input.within.is_some()),
        ("grow", input.grow.is_some()),
        ("rotate", input.rotate != nothing.rotate),
        ("mirror", input.mirror),
        ("fit", input.fit != nothing.fit),
        ("fill", input.fill.is_some()),
        ("resize", input.resize != nothing.resize),
        ("order", input.order != nothing.order),
    ];
    match fields.into_iter().find(|(_, is_there)| *is_there) {
        Some((field, _)) => Err(wrong(field, "it has a meaning only where the input is made of a frame")),
        None => Ok(()),
    }
}

/// With the names that there are.
fn one_of<'n>(d: Diagnostic, names: impl Iterator<Item = &'n String>) -> Diagnostic {
    let all: Vec<String> = names.map(|n| quoted(n)).collect();
    if all.is_empty() { d } else { d.expected(all.join(", ")) }
}

/// That names of a table are those of the model's.
fn unknown<'k>(keys: impl IntoIterator<Item = &'k String>, names: &[String], table: &str, message: &str) -> Result<(), Diagnostic> {
    match keys.into_iter().find(|k| !names.contains(k)) {
        Some(key) => Err(one_of(wrong(format!("{table}.{key}"), format!("{message} {}", quoted(key))), names.iter())),
        None => Ok(()),
    }
}

/// Gives operators and states of a further model numbers that no other's have.
fn renumber(graph: &mut Graph, operators: u32) {
    for state in &mut graph.states {
        state.origin = match state.origin {
            Origin::Variable(i) => Origin::Variable(i + operators),
            Origin::Tensor(subgraph, i) => Origin::Tensor(subgraph + operators, i),
            Origin::Operator(operator, i) => Origin::Operator(operator + operators, i),
        };
    }
    let mut open: Vec<&mut Node> = graph.nodes.iter_mut().collect();
    while let Some(node) = open.pop() {
        node.operator += operators;
        node.then.iter_mut().for_each(|t| t.operator += operators);
        open.extend(node.op.bodies_mut().into_iter().flatten().flat_map(|b| &mut b.nodes));
    }
}
