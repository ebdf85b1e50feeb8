//! The descriptor `PREFIX_model`: what a generic caller finds in an object without its header.
//!
//! This file is the only place that knows its layout: as C text for headers, as bytes for objects, and as a reader for the
//! loader. Fields are only ever added at the end; `struct_size` and `tensor_size` say how many there are.

use super::plan::{self, Field, Function, Kind};
use super::weights::Expected;
use super::{Error, IoPlaces, self_test};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use cranelift_object::ObjectModule;
use std::collections::BTreeMap;
use std::iter;

pub const ABI_VERSION: u32 = 1;

/// The declarations, for headers. Types of elements have TensorFlow Lite's numbers (`TfLiteType`).
pub const C_DECLARATIONS: &str = "\
typedef struct {
    const char *name;     /* UTF-8 */
    const int32_t *dims;
    uint32_t rank;
    uint32_t type;        /* 1 f32, 2 i32, 3 u8, 4 i64, 6 bool, 7 i16, 9 i8, 10 f16, 11 f64, 13 u64, 16 u32, 17 u16, 18 i4 */
    uint64_t bytes;
    float scale;          /* real = scale * (q - zero_point); 0 if not quantised */
    int32_t zero_point;
    uint64_t arena_offset; /* UINT64_MAX: the caller's own memory */
    const char *tensor_name; /* the tensor's in the file, where `name` is the signature's */
    int32_t tensor_index; /* in its subgraph; -1: no tensor of the file */
    uint32_t count;       /* the output, one i32, that says how long the first dimension is; UINT32_MAX: as long as dims says */
} cranelite_tensor;

/* Threads of the caller's. run calls task(context, i) once for every i below count, on any threads and in any order, and returns when
   all have returned: 0, or anything else to end the invocation with CRANELITE_EXECUTOR_FAILED. */
typedef struct {
    int32_t (*run)(void *user, void (*task)(void *context, uint32_t index), void *context, uint32_t count);
    void *user;
} cranelite_executor;

/* Everything that a call may have, for callers without the model's header. Fields that are of no use to a model are not looked at. */
typedef struct {
    uint32_t struct_size;  /* sizeof(cranelite_call); fewer bytes are refused as a null pointer is */
    uint32_t level;        /* 0: the best level that the CPU has; else 1 + the number of the level */
    const void *inputs;    /* arrays of pointers, in the order of the model's; not looked at with --io arena */
    const void *outputs;
    void *arena;
    void *state;           /* where the model keeps any */
    const void *weights;   /* with --weights or --compress constants=fastest */
    const cranelite_executor *executor; /* null: one thread */
    void (*hook)(void *user, uint32_t op, uint32_t call); /* null, or to be called before every call of a kernel and once at the end */
    void *user;
} cranelite_call;

typedef struct {
    uint32_t abi_version;
    uint32_t struct_size; /* of this structure in the object; fields beyond it do not exist there */
    uint32_t tensor_size; /* distance between the elements of inputs and of outputs */
    uint32_t arena_align;
    uint64_t arena_bytes;
    uint64_t const_bytes;
    uint64_t state_bytes;
    uint64_t stack_bytes;
    const char *name;
    const cranelite_tensor *inputs;
    const cranelite_tensor *outputs;
    uint32_t input_count;
    uint32_t output_count;
    cranelite_status (*call)(const cranelite_call *call);
    /* null unless the model keeps a state, which it aligns so and fills with what is in it at first */
    cranelite_status (*reset)(void *state);
    uint32_t state_align;
    uint32_t offers;      /* 1: an executor is of use (--threads), 2: the hook is called (--profile) */
    /* feature levels in the object, and their names by number */
    uint32_t level_count;
    uint32_t keeps;       /* what of the file the state is: 1: variable tensors, 2: other variables */
    const char *const *levels;
    /* null unless compiled with --self-test, or where it has more parameters; and the bytes of its buffer */
    cranelite_status (*selftest)(void *arena, void *buffer, uint32_t *wrong_output);
    uint64_t selftest_bytes;
    /* null and 0 unless compiled with --weights or --compress constants=fastest */
    cranelite_status (*check_weights)(const void *weights);
    uint64_t weights_bytes;
    /* The .tflite file: its size; and a hash, from 0 for each of its 64-bit words, little-endian, the last filled up with zeros:
       h = (h ^ word) * 0x9e3779b97f4a7c15; h ^= h >> 32 */
    uint64_t file_bytes;
    uint64_t file_hash;
    const char *signature; /* its name in the file, UTF-8; null where it has none */
    uint32_t subgraph;    /* of the file */
    uint32_t reserved;
    /* null unless compiled with --compress constants=fastest: writes the weights, once, before the first call */
    cranelite_status (*prepare)(void *weights);
} cranelite_model;
";

/// More of them, for headers of models with several signatures.
pub const C_SIGNATURES: &str = "\
/* A signature of a model that has several. */
typedef struct {
    const char *name;             /* UTF-8, as in the model; null behind the last */
    const cranelite_model *model; /* what a call of it wants; the state is that of all signatures */
} cranelite_signature;
";

/// A tensor of the signature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    pub name: String,
    /// The member of the structure that has its pointer.
    pub identifier: String,
    pub dims: Vec<i32>,
    /// Number of the element type, as in [`C_DECLARATIONS`].
    pub ty: u32,
    pub size_bytes: u64,
    /// 0 if not quantised.
    pub scale: f32,
    pub zero_point: i32,
    /// The tensor's in the file, where `name` is the signature's.
    pub tensor_name: String,
    pub tensor_index: Option<u32>,
    /// The output that says how long the first dimension is.
    pub count: Option<u32>,
}

/// What is said of the file that an object was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Source {
    pub bytes: u64,
    pub hash: u64,
    /// Bits: [`VARIABLE_TENSORS`], [`OTHER_VARIABLES`].
    pub keeps: u32,
}

/// What a state may be of the file.
const VARIABLE_TENSORS: u32 = 1;
const OTHER_VARIABLES: u32 = 2;

impl Source {
    /// A file, and of each of its model's states whether it is a tensor of the file.
    pub fn of(file: &[u8], states: impl Iterator<Item = bool>) -> Source {
        let bits = states.map(|is_tensor| if is_tensor { VARIABLE_TENSORS } else { OTHER_VARIABLES });
        Source { bytes: file.len() as u64, hash: self_test::hash(file), keeps: bits.fold(0, |all, bit| all | bit) }
    }
}

pub(super) struct Model<'a> {
    pub name: &'a str,
    pub source: Source,
    /// Empty where it has none.
    pub key: &'a str,
    pub subgraph: u32,
    pub inputs: &'a [Tensor],
    pub outputs: &'a [Tensor],
    pub arena_bytes: u64,
    pub arena_align: u32,
    pub const_bytes: u64,
    pub stack_bytes: u64,
    pub levels: &'a [&'a str],
    pub call: FuncId,
    pub entries: &'a BTreeMap<Kind, FuncId>,
    pub state_bytes: u64,
    pub state_align: u32,
    pub reset: Option<FuncId>,
    pub self_test_bytes: u64,
    pub places: &'a IoPlaces,
    pub weights: Option<(Expected, FuncId)>,
    pub prepare: Option<FuncId>,
}

/// Sizes of the structures with 64-bit pointers, for the reader.
const TENSOR_BYTES: usize = 64;
const MODEL_BYTES: usize = 192;
/// What a model may offer.
const EXECUTOR: u32 = 1;
const HOOK: u32 = 2;

impl Model<'_> {
    /// The fields of the description, of its tensors, and of the list of levels, and what they say in words.
    fn fields(&self, pointer_bytes: usize) -> Described {
        let (mut strings, mut tensors) = (vec![], vec![]);
        let places = self.places.inputs.iter().chain(&self.places.outputs).copied().chain(iter::repeat(u64::MAX));
        for (t, place) in self.inputs.iter().chain(self.outputs).zip(places) {
            // Dimensions first: they want alignment.
            strings.resize(strings.len().next_multiple_of(4), 0);
            let dims = strings.len();
            strings.extend(t.dims.iter().flat_map(|d| d.to_le_bytes()));
            tensors.push(vec![
                Field::Strings(append(&mut strings, &t.name)),
                Field::Strings(dims),
                Field::U32(t.dims.len() as u32),
                Field::U32(t.ty),
                Field::U64(t.size_bytes),
                Field::U32(t.scale.to_bits()),
                Field::U32(t.zero_point as u32),
                Field::U64(place),
                Field::Strings(append(&mut strings, &t.tensor_name)),
                Field::U32(t.tensor_index.unwrap_or(u32::MAX)),
                Field::U32(t.count.unwrap_or(u32::MAX)),
            ]);
        }
        let levels = self.levels.iter().map(|level| vec![Field::Strings(append(&mut strings, level))]).collect();
        let offers = [(Kind::Parallel, EXECUTOR), (Kind::Profile, HOOK)];
        let has = |f: Function| self.function(f).is_some().then_some(f);
        let sizes = (self.weights.map_or(0, |w| w.0.size_bytes), tensor_bytes(pointer_bytes) as u32);
        let mut model = vec![
            Field::U32(ABI_VERSION),
            // The size, once it is known.
            Field::U32(0),
            Field::U32(sizes.1),
            Field::U32(self.arena_align),
            Field::U64(self.arena_bytes),
            Field::U64(self.const_bytes),
            Field::U64(self.state_bytes),
            Field::U64(self.stack_bytes),
            Field::Strings(append(&mut strings, self.name)),
            Field::Tensors(0),
            Field::Tensors(self.inputs.len()),
            Field::U32(self.inputs.len() as u32),
            Field::U32(self.outputs.len() as u32),
            Field::Function(Some(Function::Call)),
            Field::Function(has(Function::Reset)),
            Field::U32(self.state_align),
            Field::U32(offers.iter().filter(|o| self.entries.contains_key(&o.0)).map(|o| o.1).sum()),
            Field::U32(self.levels.len() as u32),
            Field::U32(self.source.keeps),
            Field::Levels,
            Field::Function(has(Function::SelfTest)),
            Field::U64(self.self_test_bytes),
            Field::Function(has(Function::CheckWeights)),
            Field::U64(sizes.0),
            Field::U64(self.source.bytes),
            Field::U64(self.source.hash),
            if self.key.is_empty() { Field::Function(None) } else { Field::Strings(append(&mut strings, self.key)) },
            Field::U32(self.subgraph),
            Field::U32(0),
            Field::Function(has(Function::Prepare)),
        ];
        model[1] = Field::U32(plan::layout(model.iter().map(Field::width), pointer_bytes).1 as u32);
        Described { strings, tensors, levels, model }
    }

    fn function(&self, f: Function) -> Option<FuncId> {
        match f {
            Function::Call => Some(self.call),
            Function::Reset => self.reset,
            // One with other parameters is of no use to whoever does not know the model.
            Function::SelfTest if self.weights.is_none() && self.reset.is_none() => self.entries.get(&Kind::SelfTest).copied(),
            Function::SelfTest => None,
            Function::CheckWeights => self.weights.map(|w| w.1),
            Function::Prepare => self.prepare,
        }
    }

    /// Defines `PREFIX_model`.
    pub fn define(&self, module: &mut ObjectModule, prefix: &str) -> Result<DataId, Error> {
        let pointer_bytes = usize::from(module.isa().pointer_bytes());
        let Described { strings, tensors, levels, model } = self.fields(pointer_bytes);
        let declare =
            |module: &mut ObjectModule, name: &str| module.declare_data(&format!("{prefix}.{name}"), Linkage::Local, false, false);
        let ids = Ids { strings: declare(module, "strings")?, tensors: declare(module, "tensors")?, levels: declare(module, "levels")? };
        let mut description = DataDescription::new();
        description.define(strings.into());
        description.set_align(8);
        module.define_data(ids.strings, &description)?;
        // There are no symbols for nothing.
        let tensors = if tensors.is_empty() { vec![vec![Field::U64(0)]] } else { tensors };
        self.define_fields(module, ids.tensors, &tensors, &ids)?;
        self.define_fields(module, ids.levels, &levels, &ids)?;
        let model_id = module.declare_data(&format!("{prefix}_model"), Linkage::Export, false, false)?;
        self.define_fields(module, model_id, &[model], &ids)?;
        Ok(model_id)
    }

    /// Structures one after the other.
    fn define_fields(&self, module: &mut ObjectModule, id: DataId, structures: &[Vec<Field>], ids: &Ids) -> Result<(), Error> {
        let pointer_bytes = usize::from(module.isa().pointer_bytes());
        let (mut bytes, mut addresses) = (vec![], vec![]);
        for fields in structures {
            let (places, size) = plan::layout(fields.iter().map(Field::width), pointer_bytes);
            let begin = bytes.len();
            bytes.resize(begin + size, 0);
            for (field, at) in fields.iter().zip(places.iter().map(|at| begin + at)) {
                match *field {
                    Field::U32(v) => bytes[at..at + 4].copy_from_slice(&v.to_le_bytes()),
                    Field::U64(v) => bytes[at..at + 8].copy_from_slice(&v.to_le_bytes()),
                    Field::Function(None) => {}
                    _ => addresses.push((at as u32, field.clone())),
                }
            }
        }
        let mut description = DataDescription::new();
        for (target, distance_of) in [
            (ids.strings, (|f: &Field, _| if let Field::Strings(at) = f { Some(*at) } else { None }) as fn(&Field, usize) -> Option<usize>),
            (ids.tensors, |f, size| if let Field::Tensors(n) = f { Some(n * size) } else { None }),
            (ids.levels, |f, _| if let Field::Levels = f { Some(0) } else { None }),
        ] {
            let places: Vec<(u32, usize)> =
                addresses.iter().filter_map(|(at, f)| Some((*at, distance_of(f, tensor_bytes(pointer_bytes))?))).collect();
            if !places.is_empty() {
                let value = module.declare_data_in_data(target, &mut description);
                places.iter().for_each(|&(at, distance)| description.write_data_addr(at, value, distance as i64));
            }
        }
        for (at, field) in &addresses {
            if let Field::Function(Some(f)) = field {
                let function = module.declare_func_in_data(self.function(*f).expect("it was there"), &mut description);
                description.write_function_addr(*at, function);
            }
        }
        description.define(bytes.into());
        description.set_align(8);
        Ok(module.define_data(id, &description)?)
    }
}

/// Defines `PREFIX_signatures`: names of signatures and their descriptions, and two null pointers behind the last.
pub(super) fn define_signatures(module: &mut ObjectModule, prefix: &str, all: &[(&str, DataId)]) -> Result<(), Error> {
    let pointer_bytes = usize::from(module.isa().pointer_bytes());
    let mut strings = vec![];
    let names: Vec<usize> = all.iter().map(|(name, _)| append(&mut strings, name)).collect();
    let names_id = module.declare_data(&format!("{prefix}.signature_names"), Linkage::Local, false, false)?;
    let mut description = DataDescription::new();
    description.define(strings.into());
    module.define_data(names_id, &description)?;
    let mut description = DataDescription::new();
    description.define(vec![0; (all.len() + 1) * 2 * pointer_bytes].into());
    description.set_align(8);
    let value = module.declare_data_in_data(names_id, &mut description);
    for (i, (at, (_, model))) in names.into_iter().zip(all).enumerate() {
        description.write_data_addr((2 * i * pointer_bytes) as u32, value, at as i64);
        let model = module.declare_data_in_data(*model, &mut description);
        description.write_data_addr(((2 * i + 1) * pointer_bytes) as u32, model, 0);
    }
    let id = module.declare_data(&format!("{prefix}_signatures"), Linkage::Export, false, false)?;
    Ok(module.define_data(id, &description)?)
}

struct Described {
    /// Names, and dimensions among them.
    strings: Vec<u8>,
    tensors: Vec<Vec<Field>>,
    levels: Vec<Vec<Field>>,
    model: Vec<Field>,
}

/// The size of `cranelite_tensor`.
fn tensor_bytes(pointer_bytes: usize) -> usize {
    use plan::Width::{Long, Pointer, Word};
    plan::layout([Pointer, Pointer, Word, Word, Long, Word, Word, Long, Pointer, Word, Word], pointer_bytes).1
}

/// What addresses refer to.
struct Ids {
    strings: DataId,
    tensors: DataId,
    levels: DataId,
}

fn append(strings: &mut Vec<u8>, text: &str) -> usize {
    let at = strings.len();
    strings.extend(text.bytes().filter(|&b| b != 0));
    strings.push(0);
    at
}

/// What a descriptor in memory says. Addresses are distances from the start of that memory.
pub(crate) struct Fields {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
    pub arena_bytes: u64,
    pub arena_align: u32,
    pub state_bytes: u64,
    pub state_align: u32,
    pub weights_bytes: u64,
    pub stack_bytes: u64,
    pub call: usize,
    pub reset: Option<usize>,
    pub prepare: Option<usize>,
    pub has_hook: bool,
    pub has_executor: bool,
    pub levels: Vec<String>,
}

/// Reads the descriptor at `at` in memory that begins at address `base`.
pub(crate) fn read(memory: &[u8], at: usize, base: usize) -> Option<Fields> {
    let u32_at = |at: usize| memory.get(at..at + 4).map(|b| u32::from_le_bytes(b.try_into().expect("four bytes")));
    let u64_at = |at: usize| memory.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes")));
    let address = |at: usize| u64_at(at).map(|a| (a as usize).wrapping_sub(base));
    let text = |at: usize| Some(String::from_utf8_lossy(memory.get(at..)?.split(|&b| b == 0).next()?).into_owned());
    let tensors = |list: usize, count: usize| -> Option<Vec<Tensor>> {
        (0..u32_at(at + count)? as usize)
            .map(|i| {
                let t = address(at + list)? + i * TENSOR_BYTES;
                let dims = address(t + 8)?;
                Some(Tensor {
                    name: text(address(t)?)?,
                    dims: (0..u32_at(t + 16)? as usize).map(|d| u32_at(dims + 4 * d).map(|d| d as i32)).collect::<Option<_>>()?,
                    ty: u32_at(t + 20)?,
                    size_bytes: u64_at(t + 24)?,
                    scale: f32::from_bits(u32_at(t + 32)?),
                    zero_point: u32_at(t + 36)? as i32,
                    identifier: String::new(),
                    tensor_name: text(address(t + 48)?)?,
                    tensor_index: Some(u32_at(t + 56)?).filter(|&i| i != u32::MAX),
                    count: Some(u32_at(t + 60)?).filter(|&i| i != u32::MAX),
                })
            })
            .collect()
    };
    if (u32_at(at)?, u32_at(at + 4)?, u32_at(at + 8)?) != (ABI_VERSION, MODEL_BYTES as u32, TENSOR_BYTES as u32) {
        return None;
    }
    let function = |at: usize| u64_at(at).map(|a| if a == 0 { None } else { Some((a as usize).wrapping_sub(base)) });
    let levels = address(at + 112)?;
    let offers = u32_at(at + 100)?;
    Some(Fields {
        inputs: tensors(56, 72)?,
        outputs: tensors(64, 76)?,
        arena_align: u32_at(at + 12)?,
        arena_bytes: u64_at(at + 16)?,
        state_bytes: u64_at(at + 32)?,
        state_align: u32_at(at + 96)?,
        weights_bytes: u64_at(at + 144)?,
        stack_bytes: u64_at(at + 40)?,
        call: address(at + 80)?,
        reset: function(at + 88)?,
        prepare: function(at + 184)?,
        has_hook: offers & HOOK != 0,
        has_executor: offers & EXECUTOR != 0,
        levels: (0..u32_at(at + 104)? as usize).map(|i| text(address(levels + 8 * i)?)).collect::<Option<_>>()?,
    })
}

/// Alignment of the elements of a type.
pub(crate) fn align(ty: u32) -> usize {
    match ty {
        7 | 10 | 17 => 2,
        1 | 2 | 16 => 4,
        4 | 11 | 13 => 8,
        _ => 1,
    }
}
