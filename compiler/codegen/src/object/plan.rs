//! What an object offers, as plain data: exported functions with their parameters, checks and choice, the fields of the call and of the
//! description, the vectors of the self-test.
//!
//! Not how any of it becomes code: `entry.rs`, `call.rs`, `model.rs` and `self_test.rs` make CLIF and bytes of it, and another printer would find the same here.
//! The idea: options decide once, in this file; nothing here knows Cranelift, and the width of pointers is a parameter.

use super::model::Tensor;
use super::self_test::{masks, stream};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The best level that the CPU has.
    Invoke,
    /// The level with that number.
    At,
    /// Calls a hook before every call of a kernel.
    Profile,
    /// With the threads of an executor.
    Parallel,
    /// The best level, on inputs that it makes itself.
    SelfTest,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::At => "invoke_at",
            Kind::Profile => "profile",
            Kind::Parallel => "invoke_parallel",
            Kind::SelfTest => "selftest",
        }
    }

    /// Which kind of body it runs.
    pub fn body(self) -> Kind {
        if self == Kind::At { Kind::Invoke } else { self }
    }

    /// In order.
    pub fn parameters(self, form: Form) -> Vec<Parameter> {
        use Parameter::*;
        let mut all = vec![];
        if self == Kind::At {
            all.push(Level);
        }
        if !form.io_in_arena && self != Kind::SelfTest {
            all.extend([Inputs, Outputs]);
        }
        all.push(Arena);
        all.extend(form.state.then_some(State));
        all.extend(form.weights.then_some(Weights));
        match self {
            Kind::Invoke | Kind::At => {}
            Kind::Profile => all.extend([Hook, User]),
            Kind::Parallel => all.push(Executor),
            Kind::SelfTest => all.extend([Buffer, WrongOutput]),
        }
        all
    }
}

/// Which parameters functions have.
#[derive(Clone, Copy, Default)]
pub struct Form {
    /// Then there are none for inputs and outputs.
    pub io_in_arena: bool,
    /// One more after the arena.
    pub state: bool,
    /// And one after that.
    pub weights: bool,
}

/// A number of 32 bits, or a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    Level,
    /// Structures of pointers.
    Inputs,
    Outputs,
    Arena,
    State,
    Weights,
    Hook,
    /// For the hook.
    User,
    Executor,
    /// Of the self-test.
    Buffer,
    WrongOutput,
}

impl Parameter {
    pub fn width(self) -> Width {
        if self == Parameter::Level { Width::Word } else { Width::Pointer }
    }
}

/// What is asked of the arguments before anything is done, in order; the first that does not hold ends the call with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// None of these is null.
    NotNull(Vec<Pointer>),
    /// None of the first so many pointers of a structure.
    NoneNull(Parameter, u32),
    Aligned(Parameter, u64),
    /// Their header is that of the file which was written with the object.
    RightWeights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer {
    Of(Parameter),
    /// The one with that number in a structure.
    In(Parameter, u32),
}

/// What the checks are about.
#[derive(Clone, Copy, Default)]
pub struct Facts {
    pub form: Form,
    /// How many the program has.
    pub inputs: u32,
    pub outputs: u32,
    pub arena_bytes: u64,
    pub arena_align: u32,
    pub state_align: u32,
    /// Of the buffer of the self-test.
    pub buffer_align: u64,
}

/// A function that the object exports: checks, then a choice, then the body of the level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    pub kind: Kind,
    pub parameters: Vec<Parameter>,
    /// Where this is null, another function does everything, with the parameters before it.
    pub without: Option<(Parameter, Kind)>,
    pub checks: Vec<Check>,
    pub chosen_by: ChosenBy,
    /// What the body of a level gets.
    pub passed: Vec<Parameter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// The first in the object's order that the CPU has.
    Order,
    /// Its number, if the CPU has it.
    Number,
}

/// More pointers than these are checked by a loop.
pub const POINTERS_LIMIT: u32 = 64;

impl Exported {
    pub fn new(kind: Kind, facts: &Facts) -> Exported {
        let parameters = kind.parameters(facts.form);
        let passed = parameters.iter().copied().filter(|p| *p != Parameter::Level).collect();
        Exported {
            kind,
            without: (kind == Kind::Parallel).then_some((Parameter::Executor, Kind::Invoke)),
            checks: checks(kind, facts),
            chosen_by: if kind == Kind::At { ChosenBy::Number } else { ChosenBy::Order },
            parameters,
            passed,
        }
    }
}

fn checks(kind: Kind, facts: &Facts) -> Vec<Check> {
    let form = facts.form;
    let mut checks = vec![];
    if kind == Kind::Parallel {
        checks.push(Check::NotNull(vec![Pointer::In(Parameter::Executor, 0)]));
    }
    // The structures, where there are any, then what they hold.
    let structures = match form.io_in_arena || kind == Kind::SelfTest {
        true => vec![],
        false => [(Parameter::Inputs, facts.inputs), (Parameter::Outputs, facts.outputs)].into_iter().filter(|s| 0 < s.1).collect(),
    };
    let has_arena = 0 < facts.arena_bytes || form.io_in_arena;
    let memory = [(Parameter::Arena, has_arena), (Parameter::State, form.state), (Parameter::Weights, form.weights)];
    let mut direct: Vec<Parameter> = structures.iter().map(|s| s.0).chain(memory.into_iter().filter(|m| m.1).map(|m| m.0)).collect();
    direct.extend((kind == Kind::SelfTest).then_some(Parameter::Buffer));
    checks.push(Check::NotNull(direct.into_iter().map(Pointer::Of).collect()));
    let (many, few): (Vec<_>, Vec<_>) = structures.into_iter().partition(|s| POINTERS_LIMIT < s.1);
    checks.extend(many.into_iter().map(|(structure, n)| Check::NoneNull(structure, n)));
    checks.push(Check::NotNull(few.into_iter().flat_map(|(structure, n)| (0..n).map(move |i| Pointer::In(structure, i))).collect()));
    if 0 < facts.arena_bytes && 1 < facts.arena_align {
        checks.push(Check::Aligned(Parameter::Arena, facts.arena_align.into()));
    }
    if form.state {
        checks.push(Check::Aligned(Parameter::State, facts.state_align.into()));
    }
    if kind == Kind::SelfTest {
        checks.push(Check::Aligned(Parameter::Buffer, facts.buffer_align));
    }
    if form.weights {
        checks.push(Check::RightWeights);
    }
    checks.retain(|c| *c != Check::NotNull(vec![]));
    checks
}

/// How many bytes something has, in memory as in registers, and how it is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 4
    Word,
    /// 8
    Long,
    /// 4 or 8, as the target has it.
    Pointer,
}

impl Width {
    pub fn bytes(self, pointer_bytes: usize) -> usize {
        match self {
            Width::Word => 4,
            Width::Long => 8,
            Width::Pointer => pointer_bytes,
        }
    }
}

/// Where the fields of a structure of C are, and its size.
pub fn layout(widths: impl IntoIterator<Item = Width>, pointer_bytes: usize) -> (Vec<usize>, usize) {
    let (mut places, mut end, mut align) = (vec![], 0usize, 1);
    for width in widths {
        let bytes = width.bytes(pointer_bytes);
        let at = end.next_multiple_of(bytes);
        places.push(at);
        (end, align) = (at + bytes, align.max(bytes));
    }
    (places, end.next_multiple_of(align))
}

/// The fields of `cranelite_call` behind its size, as what they mean to the typed functions. The level counts from 1 there.
pub const CALL: [Parameter; 9] = [
    Parameter::Level,
    Parameter::Inputs,
    Parameter::Outputs,
    Parameter::Arena,
    Parameter::State,
    Parameter::Weights,
    Parameter::Executor,
    Parameter::Hook,
    Parameter::User,
];

/// The function that the description calls `call` tries these in turn: the first that the object has and whose field is not 0, and `invoke` otherwise.
pub const DISPATCH: [(Kind, Parameter); 3] =
    [(Kind::Profile, Parameter::Hook), (Kind::Parallel, Parameter::Executor), (Kind::At, Parameter::Level)];

/// Place of a field of `cranelite_call`, or its size.
pub fn call_place(field: Option<Parameter>, pointer_bytes: usize) -> usize {
    let (places, size) = layout([Width::Word].into_iter().chain(CALL.map(Parameter::width)), pointer_bytes);
    let number = field.and_then(|field| CALL.iter().position(|p| *p == field));
    number.map_or(size, |n| places[n + 1])
}

/// A field of the description or of what it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    U32(u32),
    U64(u64),
    /// The address of a string or of numbers, at this distance from the beginning of all.
    Strings(usize),
    /// The address of the tensor with that number.
    Tensors(usize),
    Levels,
    /// The address of a function, or null.
    Function(Option<Function>),
}

/// What the description points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    Call,
    Reset,
    SelfTest,
    CheckWeights,
    Prepare,
}

impl Field {
    pub fn width(&self) -> Width {
        match self {
            Field::U32(_) => Width::Word,
            Field::U64(_) => Width::Long,
            _ => Width::Pointer,
        }
    }
}

/// One run of the self-test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// By input.
    pub fills: Vec<Fill>,
    /// Hashes by output.
    pub expected: Vec<u64>,
}

/// So many words of a sequence, each `word & keep | set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    pub words: u64,
    pub start: u64,
    pub keep: u64,
    pub set: u64,
}

/// `expected`: by vector and output; `lowest`: of integers so many of the lowest bits.
pub fn vectors(inputs: &[Tensor], expected: &[Vec<u64>], lowest: Option<u32>) -> Vec<Vector> {
    let fill = |v: usize, i: usize, t: &Tensor| {
        let (keep, set) = masks(t.ty, lowest);
        Fill { words: words(t), start: stream(v, i, inputs.len()), keep, set }
    };
    let vector = |(v, hashes): (usize, &Vec<u64>)| Vector {
        fills: inputs.iter().enumerate().map(|(i, t)| fill(v, i, t)).collect(),
        expected: hashes.clone(),
    };
    expected.iter().enumerate().map(vector).collect()
}

/// Words of a tensor, the last one filled up.
pub fn words(t: &Tensor) -> u64 {
    t.size_bytes.div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::Parameter::*;
    use super::*;

    const KINDS: [Kind; 5] = [Kind::Invoke, Kind::At, Kind::Profile, Kind::Parallel, Kind::SelfTest];

    fn forms() -> impl Iterator<Item = Form> {
        (0..8).map(|bits| Form { io_in_arena: bits & 1 != 0, state: bits & 2 != 0, weights: bits & 4 != 0 })
    }

    fn facts(form: Form) -> Facts {
        Facts { form, inputs: 2, outputs: 1, arena_bytes: 640, arena_align: 64, state_align: 16, buffer_align: 16 }
    }

    #[test]
    fn parameters_are_those_of_the_header() {
        let plain = Form::default();
        assert_eq!(Kind::Invoke.parameters(plain), [Inputs, Outputs, Arena]);
        let all = Form { io_in_arena: false, state: true, weights: true };
        assert_eq!(Kind::At.parameters(all), [Level, Inputs, Outputs, Arena, State, Weights]);
        assert_eq!(Kind::Profile.parameters(all), [Inputs, Outputs, Arena, State, Weights, Hook, User]);
        let placed = Form { io_in_arena: true, ..all };
        assert_eq!(Kind::Parallel.parameters(placed), [Arena, State, Weights, Executor]);
        assert_eq!(Kind::SelfTest.parameters(all), [Arena, State, Weights, Buffer, WrongOutput]);
        assert_eq!(Kind::SelfTest.parameters(placed), Kind::SelfTest.parameters(all));
    }

    /// Whatever is combined, no pointer that a body follows is unchecked, and no level's number reaches a body.
    #[test]
    fn every_pointer_is_checked() {
        for form in forms() {
            for kind in KINDS {
                let e = Exported::new(kind, &facts(form));
                let not_null: Vec<Pointer> =
                    e.checks.iter().filter_map(|c| if let Check::NotNull(p) = c { Some(p.clone()) } else { None }).flatten().collect();
                for p in e.parameters.iter().filter(|p| ![Level, Hook, User, Executor, WrongOutput].contains(p)) {
                    assert!(not_null.contains(&Pointer::Of(*p)), "{kind:?}: {p:?}");
                }
                for (p, align) in [(Arena, 64), (State, 16)] {
                    assert_eq!(e.checks.contains(&Check::Aligned(p, align)), e.parameters.contains(&p), "{kind:?}: {p:?}");
                }
                assert_eq!(e.checks.contains(&Check::RightWeights), form.weights);
                let held = [(Inputs, 0), (Inputs, 1), (Outputs, 0)].map(|(p, i)| not_null.contains(&Pointer::In(p, i)));
                assert_eq!(held, [!form.io_in_arena && kind != Kind::SelfTest; 3]);
                assert_eq!(e.without, (kind == Kind::Parallel).then_some((Executor, Kind::Invoke)));
                assert_eq!((e.chosen_by == ChosenBy::Number, e.passed.contains(&Level)), (kind == Kind::At, false));
            }
        }
    }

    #[test]
    fn nothing_is_asked_of_what_a_model_does_not_have() {
        let none = Facts { arena_bytes: 0, inputs: 0, ..facts(Form::default()) };
        let pointers = |p: &[Pointer]| Check::NotNull(p.to_vec());
        assert_eq!(checks(Kind::Invoke, &none), [pointers(&[Pointer::Of(Outputs)]), pointers(&[Pointer::In(Outputs, 0)])]);
        let many = Facts { outputs: POINTERS_LIMIT + 1, ..none };
        assert_eq!(checks(Kind::Invoke, &many), [pointers(&[Pointer::Of(Outputs)]), Check::NoneNull(Outputs, POINTERS_LIMIT + 1)]);
    }

    /// Every typed function gets all that it wants from the fields of a call.
    #[test]
    fn a_call_has_a_field_for_every_parameter() {
        for form in forms() {
            for kind in [Kind::Invoke].into_iter().chain(DISPATCH.map(|d| d.0)) {
                assert!(kind.parameters(form).iter().all(|p| CALL.contains(p)), "{kind:?}");
            }
        }
        let places = |pointer_bytes| (CALL.map(|p| call_place(Some(p), pointer_bytes)), call_place(None, pointer_bytes));
        assert_eq!(places(8), ([4, 8, 16, 24, 32, 40, 48, 56, 64], 72));
        assert_eq!(places(4), ([4, 8, 12, 16, 20, 24, 28, 32, 36], 40));
    }

    #[test]
    fn structures_are_laid_out_as_c_does() {
        use Width::*;
        assert_eq!(layout([Word, Long, Word, Pointer, Word], 8), (vec![0, 8, 16, 24, 32], 40));
        assert_eq!(layout([Word, Long, Word, Pointer, Word], 4), (vec![0, 8, 16, 20, 24], 32));
        assert_eq!(layout([Word, Pointer], 4), (vec![0, 4], 8));
    }

    #[test]
    fn vectors_are_the_inputs_of_the_self_test() {
        let tensor = |ty, size_bytes| Tensor { ty, size_bytes, ..Tensor::default() };
        let inputs = [tensor(9, 19), tensor(6, 8)];
        let all = vectors(&inputs, &[vec![5], vec![6]], None);
        assert_eq!(all.iter().map(|v| v.expected[0]).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(all[0].fills.iter().map(|f| f.words).collect::<Vec<_>>(), [3, 1]);
        let starts: std::collections::BTreeSet<u64> = all.iter().flat_map(|v| &v.fills).map(|f| f.start).collect();
        assert_eq!(starts.len(), 4, "two inputs are the same");
    }
}
