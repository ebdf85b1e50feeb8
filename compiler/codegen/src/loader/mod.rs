//! Runs an object file of ours in this very process, so that what is tested and timed is what ships.
//!
//! Not a linker: one object, ELF, for this machine, nothing undefined but functions of the user's. The idea: lay the sections out in fresh memory, apply the
//! relocations while it is writable, then make it executable and never writable again, except for the few bytes that the object
//! wants to write itself, which never are executable. All unsafe code of the compiler is here.

pub mod host;
mod library;
mod pool;
mod relocate;

pub use library::Library;
pub use pool::Pool;

use crate::object::{model, weights};
use memmap2::{Mmap, MmapMut};
use object::elf::{SHF_ALLOC, SHF_WRITE};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SymbolSection};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// No page of memory is larger.
const PAGE_BYTES: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the object cannot be read: {0}")]
    Format(#[from] object::Error),
    #[error("no memory for the object: {0}")]
    Memory(String),
    #[error("the object is for another machine")]
    OtherMachine,
    #[error("there is no function `{0}`, which a custom operator calls")]
    Missing(String),
    #[error("the object has {0}, which the loader does not know")]
    Unknown(String),
}

/// An object in memory, ready to be called.
pub struct Loaded {
    memory: Arc<Mmap>,
    /// From here on the object writes.
    fixed_bytes: usize,
    /// Global symbols.
    symbols: BTreeMap<String, usize>,
}

impl Loaded {
    pub fn load(bytes: &[u8]) -> Result<Loaded, Error> {
        Loaded::load_with(bytes, &|_| None)
    }

    /// As [`Loaded::load`], of an object that calls functions which are elsewhere; `find` says where. They must be there as long as this.
    pub fn load_with(bytes: &[u8], find: &dyn Fn(&str) -> Option<usize>) -> Result<Loaded, Error> {
        let file = object::File::parse(bytes)?;
        if !relocate::is_for_this_machine(file.architecture()) {
            return Err(Error::OtherMachine);
        }
        let (mut fixed, mut writable) = (vec![], vec![]);
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { return Err(Error::Unknown("a format that is not ELF".into())) };
            if sh_flags & u64::from(SHF_ALLOC) == 0 {
                continue;
            }
            let is_written = sh_flags & u64::from(SHF_WRITE) != 0 && !section.name()?.starts_with(".data.rel.ro");
            if is_written && 0 < section.size() { &mut writable } else { &mut fixed }.push(section);
        }
        // What is elsewhere may be out of reach of the object's calls: they go by way of a jump.
        let mut jumps: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut size = 0usize;
        for symbol in file.symbols().filter(|s| s.is_undefined() && s.is_global()) {
            let name = symbol.name()?;
            let address = find(name).ok_or_else(|| Error::Missing(name.into()))?;
            jumps.insert(name.into(), (size, address));
            size += relocate::JUMP_BYTES;
        }
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        let mut fixed_bytes = 0;
        for (sections, align) in [(&fixed, 64), (&writable, PAGE_BYTES)] {
            for section in sections {
                size = size.next_multiple_of(align.max(section.align() as usize));
                places.insert(section.index().0, size);
                size += section.size() as usize;
            }
            size = size.max(1).next_multiple_of(PAGE_BYTES);
            fixed_bytes = if fixed_bytes == 0 { size } else { fixed_bytes };
        }
        let mut memory = MmapMut::map_anon(size).map_err(|e| Error::Memory(e.to_string()))?;
        let base = memory.as_ptr() as u64;
        for &(at, address) in jumps.values() {
            memory[at..at + relocate::JUMP_BYTES].copy_from_slice(&relocate::jump(address as u64));
        }
        let mut symbols = BTreeMap::new();
        for symbol in file.symbols().filter(|s| s.is_global() && s.is_definition()) {
            if let Some(at) = symbol.section_index().and_then(|s| places.get(&s.0)) {
                symbols.insert(symbol.name()?.to_string(), at + symbol.address() as usize);
            }
        }
        for section in file.sections() {
            let Some(&at) = places.get(&section.index().0) else { continue };
            let data = section.data()?;
            memory[at..at + data.len()].copy_from_slice(data);
            for (offset, relocation) in section.relocations() {
                let object::RelocationTarget::Symbol(index) = relocation.target() else {
                    return Err(Error::Unknown("a relocation without a symbol".into()));
                };
                let symbol = file.symbol_by_index(index)?;
                let target = match symbol.section() {
                    SymbolSection::Section(target) => base + places.get(&target.0).map_or(0, |&p| p as u64) + symbol.address(),
                    _ => match jumps.get(symbol.name()?) {
                        Some(&(at, _)) => base + at as u64,
                        None => return Err(Error::Unknown(format!("an undefined symbol {}", symbol.name()?))),
                    },
                };
                let value = target.wrapping_add_signed(relocation.addend());
                let place = at + offset as usize;
                relocate::apply(&mut memory, place, base + place as u64, value, relocation.flags()).map_err(Error::Unknown)?;
            }
        }
        let memory = memory.make_exec().map_err(|e| Error::Memory(e.to_string()))?;
        relocate::publish(&memory[..fixed_bytes]);
        if fixed_bytes < memory.len() {
            relocate::make_writable(memory.as_ptr().wrapping_add(fixed_bytes), memory.len() - fixed_bytes).map_err(Error::Memory)?;
        }
        Ok(Loaded { memory: Arc::new(memory), fixed_bytes, symbols })
    }

    /// All but what the object writes.
    fn fixed(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped and never change.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.fixed_bytes) }
    }

    /// Address of a global symbol.
    pub fn symbol(&self, name: &str) -> Option<*const u8> {
        self.symbols.get(name).map(|&at| self.fixed()[at..].as_ptr())
    }

    /// The model whose names begin with `prefix`.
    pub fn model(&self, prefix: &str) -> Option<Model> {
        let at = *self.symbols.get(&format!("{prefix}_model"))?;
        Model::read(self, at)
    }
}

/// Sizes of a model, and its entry points. Its code stays in memory as long as this.
pub struct Model {
    pub inputs: Vec<Signature>,
    pub outputs: Vec<Signature>,
    pub arena_bytes: usize,
    pub arena_align: usize,
    pub stack_bytes: usize,
    /// Names of the feature levels.
    pub levels: Vec<String>,
    /// What each instance keeps; 0 bytes where it keeps nothing.
    pub state_bytes: usize,
    pub state_align: usize,
    /// 0 unless constants are outside.
    pub weights_bytes: usize,
    call: Entry,
    reset: Option<Reset>,
    prepare: Option<Reset>,
    has_hook: bool,
    has_executor: bool,
    _memory: Arc<Mmap>,
}

/// `cranelite_call`
#[repr(C)]
struct Call {
    struct_size: u32,
    level: u32,
    inputs: *const *const u8,
    outputs: *const *mut u8,
    arena: *mut u8,
    state: *mut u8,
    weights: *const u8,
    executor: *const Executor,
    hook: Option<Hook>,
    user: *mut u8,
}

/// `cranelite_executor`
#[repr(C)]
struct Executor {
    run: unsafe extern "C" fn(*mut u8, pool::Task, *mut u8, u32) -> i32,
    user: *mut u8,
}

/// What a caller must provide for one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub size_bytes: usize,
    pub align: usize,
}

type Entry = unsafe extern "C" fn(*const Call) -> i32;
type Reset = unsafe extern "C" fn(*mut u8) -> i32;
type Hook = extern "C" fn(*mut u8, u32, u32);

impl Model {
    fn read(loaded: &Loaded, at: usize) -> Option<Model> {
        let memory = loaded.fixed();
        let base = memory.as_ptr() as usize;
        let fields = model::read(memory, at, base)?;
        let signature =
            |t: &model::Tensor| Signature { name: t.name.clone(), size_bytes: t.size_bytes as usize, align: model::align(t.ty) };
        // SAFETY: the descriptor says that these are functions with that signature, and they are inside executable memory.
        let (call, reset, prepare) = unsafe {
            (
                std::mem::transmute::<*const u8, Entry>(memory[fields.call..].as_ptr()),
                fields.reset.map(|at| std::mem::transmute::<*const u8, Reset>(memory[at..].as_ptr())),
                fields.prepare.map(|at| std::mem::transmute::<*const u8, Reset>(memory[at..].as_ptr())),
            )
        };
        Some(Model {
            inputs: fields.inputs.iter().map(signature).collect(),
            outputs: fields.outputs.iter().map(signature).collect(),
            arena_bytes: fields.arena_bytes as usize,
            arena_align: fields.arena_align as usize,
            state_bytes: fields.state_bytes as usize,
            state_align: fields.state_align as usize,
            weights_bytes: fields.weights_bytes as usize,
            stack_bytes: fields.stack_bytes as usize,
            levels: fields.levels,
            call,
            reset,
            prepare,
            has_hook: fields.has_hook,
            has_executor: fields.has_executor,
            _memory: loaded.memory.clone(),
        })
    }

    /// Writes what is in a state at first. Panics if it has not the size or alignment that the model wants.
    pub fn reset(&self, state: &mut [u8]) {
        assert!(self.fits_state(state), "state");
        if let Some(reset) = self.reset {
            // SAFETY: it writes so many bytes.
            let status = unsafe { reset(state.as_mut_ptr()) };
            assert_eq!(status, 0, "the state is aligned");
        }
    }

    /// Writes the weights of a model whose constants are decoded once, and answers the status; none of other models. Panics if the memory has not the size or
    /// alignment that the model wants.
    pub fn prepare(&self, weights: &mut [u8]) -> Option<i32> {
        let prepare = self.prepare?;
        assert!(self.fits_weights(weights), "weights");
        // SAFETY: it writes so many bytes.
        Some(unsafe { prepare(weights.as_mut_ptr()) })
    }

    fn fits_weights(&self, weights: &[u8]) -> bool {
        self.weights_bytes <= weights.len() && weights.as_ptr().addr().is_multiple_of(weights::ALIGN as usize)
    }

    fn fits_state(&self, state: &[u8]) -> bool {
        self.state_bytes <= state.len() && state.as_ptr().addr().is_multiple_of(self.state_align)
    }

    /// Buffers to run on, for a model that keeps no state. Panics if one has not the size or alignment that the model wants.
    pub fn bind<'b>(&'b self, inputs: &'b [&'b [u8]], outputs: &'b mut [&mut [u8]], arena: &'b mut [u8]) -> Bound<'b> {
        self.bind_with_state(inputs, outputs, arena, &mut [])
    }

    /// As [`Model::bind`], with the state of an instance.
    pub fn bind_with_state<'b>(
        &'b self,
        inputs: &'b [&'b [u8]],
        outputs: &'b mut [&mut [u8]],
        arena: &'b mut [u8],
        state: &'b mut [u8],
    ) -> Bound<'b> {
        assert!(self.state_bytes == 0 || self.fits_state(state), "state");
        let (inputs, outputs) = self.check(inputs, outputs, arena);
        Bound {
            model: self,
            inputs,
            outputs,
            arena: arena.as_mut_ptr(),
            state: state.as_mut_ptr(),
            weights: std::ptr::null(),
            _borrowed: PhantomData,
        }
    }

    fn check(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]], arena: &[u8]) -> (Vec<*const u8>, Vec<*mut u8>) {
        let fits = |bytes: &[u8], s: &Signature| bytes.len() == s.size_bytes && bytes.as_ptr().addr().is_multiple_of(s.align);
        assert!(inputs.len() == self.inputs.len() && inputs.iter().zip(&self.inputs).all(|(b, s)| fits(b, s)), "inputs");
        assert!(outputs.len() == self.outputs.len() && outputs.iter().zip(&self.outputs).all(|(b, s)| fits(b, s)), "outputs");
        assert!(self.arena_bytes <= arena.len() && arena.as_ptr().addr().is_multiple_of(self.arena_align), "arena");
        (inputs.iter().map(|b| b.as_ptr()).collect(), outputs.iter_mut().map(|b| b.as_mut_ptr()).collect())
    }
}

/// A model with buffers that fit it, which stay borrowed: it can be called without further checks.
pub struct Bound<'b> {
    model: &'b Model,
    inputs: Vec<*const u8>,
    outputs: Vec<*mut u8>,
    arena: *mut u8,
    state: *mut u8,
    weights: *const u8,
    _borrowed: PhantomData<&'b mut [u8]>,
}

impl<'b> Bound<'b> {
    fn call(&mut self, level: u32, executor: *const Executor, hook: Option<Hook>, user: *mut u8) -> i32 {
        let call = Call {
            struct_size: size_of::<Call>() as u32,
            level,
            inputs: self.inputs.as_ptr(),
            outputs: self.outputs.as_ptr(),
            arena: self.arena,
            state: self.state,
            weights: self.weights,
            executor,
            hook,
            user,
        };
        // SAFETY: checked by `bind`: every buffer is as large and as aligned as the code was proved to need, and none overlap.
        unsafe { (self.model.call)(&call) }
    }

    /// The constants of a model that has them outside or prepared, which stay where they are. Panics if they are not aligned or not as many
    /// bytes; that they are the model's is asked by each call.
    pub fn set_weights(&mut self, weights: &'b [u8]) {
        assert!(self.model.fits_weights(weights), "weights");
        self.weights = weights.as_ptr();
    }

    /// Runs the model once and returns its status.
    pub fn invoke(&mut self) -> i32 {
        self.call(0, std::ptr::null(), None, std::ptr::null_mut())
    }

    /// As [`Bound::invoke`], at that level. `None` if the object has one level only.
    pub fn invoke_at(&mut self, level: u32) -> Option<i32> {
        (1 < self.model.levels.len()).then(|| self.call(level + 1, std::ptr::null(), None, std::ptr::null_mut()))
    }

    /// As [`Bound::invoke`], with the threads of a pool. `None` if the object was made for one thread.
    pub fn invoke_parallel(&mut self, pool: &mut Pool) -> Option<i32> {
        let executor = Executor { run: pool::run, user: (&raw mut *pool).cast() };
        // The pool is borrowed meanwhile; the object passes its own tasks, of which no two of a step touch the same bytes but to read
        // them, as was proved.
        self.model.has_executor.then(|| self.call(0, &executor, None, std::ptr::null_mut()))
    }

    /// As [`Bound::invoke`]; `hook` gets the operator (`u32::MAX` for none) and the number of every call before it is made, and the
    /// number of calls at the end. `None` if the object was made without profile.
    pub fn profile(&mut self, hook: &mut dyn FnMut(u32, u32)) -> Option<i32> {
        extern "C" fn forward(user: *mut u8, operator: u32, call: u32) {
            // SAFETY: `user` is what is passed below: a pointer to the closure, which outlives the call.
            let hook = unsafe { &mut *user.cast::<&mut dyn FnMut(u32, u32)>() };
            hook(operator, call);
        }
        let mut hook = hook;
        let user = (&raw mut hook).cast::<u8>();
        self.model.has_hook.then(|| self.call(0, std::ptr::null(), Some(forward), user))
    }
}
