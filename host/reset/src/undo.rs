//! The module that saves and restores the state.

use wasm_encoder as enc;
use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasmparser::ValType;

use crate::Options;
use crate::component::{Live, globals};
use crate::image;
use crate::module::Global;
use crate::reason::Reason;

/// Its types: `reset` gets the pointer that `handle` returns.
const RESET: u32 = 0;
const SAVE: u32 = 1;
const HASH: u32 = 2;
/// The memory of the component, and the copy of its first content.
const MEMORY: u32 = 0;
const COPY: u32 = 1;
/// Bits of a size of 64 KiB.
const PAGE: u32 = 16;

/// A module that imports the state of all instances.
pub struct Undo<'m> {
    memory: (u32, &'m str),
    pages: u64,
    globals: Vec<(u32, &'m Global)>,
    /// The first content of the memory; None if it is copied at the instantiation.
    image: Option<Vec<(u32, Vec<u8>)>>,
    options: Options,
}

impl<'m> Undo<'m> {
    /// For these instances, in the order of their instantiation.
    pub fn new(live: &[Live<'m, '_>], options: Options) -> Result<Self, Reason> {
        let mut memories = live.iter().filter_map(|(instance, module)| {
            module.memory.as_ref().map(|(name, pages)| ((*instance, name.as_str()), *pages))
        });
        let (memory, pages) = memories.next().ok_or("it has no memory")?;
        if memories.next().is_some() {
            return Err("it has more than one memory".into());
        }
        // A start function may have written to the memory, too.
        let is_known = live.iter().all(|(_, module)| module.data.is_some() && !module.has_start);
        let image = if is_known {
            let segments: Vec<(u32, &[u8])> =
                live.iter().flat_map(|(_, module)| module.data.iter().flatten().copied()).collect();
            let size = usize::try_from(pages << PAGE).map_err(|_| "its memory is too large")?;
            Some(image::runs(&segments, size).ok_or("its data does not fit its memory")?)
        } else {
            None
        };
        Ok(Self { memory, pages, globals: globals(live), image, options })
    }

    /// The names of its functions, in the order of their indices.
    pub fn exports(&self) -> impl Iterator<Item = &'static str> {
        ["reset"].into_iter().chain(self.options.hash.then_some("hash"))
    }

    /// The encoded module.
    pub fn module(&self) -> enc::Module {
        let mut types = enc::TypeSection::new();
        types.ty().function([enc::ValType::I32], []);
        types.ty().function([], []);
        types.ty().function([], [enc::ValType::I64]);
        let mut functions = enc::FunctionSection::new();
        functions.function(RESET).function(SAVE);
        let mut exports = enc::ExportSection::new();
        exports.export("reset", enc::ExportKind::Func, RESET);
        let mut code = enc::CodeSection::new();
        code.function(&self.reset()).function(&self.save());
        if self.options.hash {
            functions.function(HASH);
            exports.export("hash", enc::ExportKind::Func, HASH);
            code.function(&self.hash());
        }
        let mut module = enc::Module::new();
        module.section(&types).section(&self.imports()).section(&functions);
        if self.image.is_none() {
            let mut memories = enc::MemorySection::new();
            memories.memory(self.memory_type(Some(self.pages)));
            module.section(&memories);
        }
        module.section(&self.copies()).section(&exports);
        module.section(&enc::StartSection { function_index: SAVE });
        let mut data = enc::DataSection::new();
        for (_, bytes) in self.image.iter().flatten() {
            data.passive(bytes.iter().copied());
        }
        module.section(&enc::DataCountSection { count: data.len() }).section(&code).section(&data);
        module
    }

    fn memory_type(&self, maximum: Option<u64>) -> enc::MemoryType {
        enc::MemoryType { minimum: self.pages, maximum, memory64: false, shared: false, page_size_log2: None }
    }

    fn imports(&self) -> enc::ImportSection {
        let mut imports = enc::ImportSection::new();
        let (instance, name) = self.memory;
        imports.import(&instance.to_string(), name, self.memory_type(None));
        for (instance, global) in &self.globals {
            imports.import(&instance.to_string(), &global.name, kind(global));
        }
        imports
    }

    /// A global for the first value of each imported one.
    fn copies(&self) -> enc::GlobalSection {
        let mut copies = enc::GlobalSection::new();
        for (_, global) in &self.globals {
            let zero = match global.kind {
                ValType::I32 => enc::ConstExpr::i32_const(0),
                ValType::I64 => enc::ConstExpr::i64_const(0),
                ValType::F32 => enc::ConstExpr::f32_const(0_f32.into()),
                ValType::F64 => enc::ConstExpr::f64_const(0_f64.into()),
                ValType::V128 => enc::ConstExpr::v128_const(0),
                // Such globals do not qualify.
                ValType::Ref(_) => enc::ConstExpr::empty(),
            };
            copies.global(kind(global), &zero);
        }
        copies
    }

    /// The globals of the component, and behind them their copies.
    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let number = (0_u32..).zip(&self.globals).map(|(number, _)| number);
        let copies = u32::try_from(self.globals.len()).unwrap_or(u32::MAX);
        number.map(move |number| (number, number.saturating_add(copies)))
    }

    /// Saves the first state, at the instantiation.
    fn save(&self) -> enc::Function {
        let mut function = enc::Function::new([]);
        let mut code = function.instructions();
        if self.image.is_none() {
            code.i32_const(0).i32_const(0).i32_const(self.size()).memory_copy(COPY, MEMORY);
        }
        for (global, copy) in self.pairs() {
            code.global_get(global).global_set(copy);
        }
        code.end();
        function
    }

    /// Restores the first state, from the beginning of the memory to its end.
    fn reset(&self) -> enc::Function {
        let mut function = enc::Function::new([]);
        let mut code = function.instructions();
        if self.options.resets {
            self.restore_memory(&mut code);
            for (global, copy) in self.pairs() {
                code.global_get(copy).global_set(global);
            }
        }
        code.end();
        function
    }

    fn restore_memory(&self, code: &mut enc::InstructionSink<'_>) {
        let Some(runs) = &self.image else {
            code.i32_const(0).i32_const(0).i32_const(self.size()).memory_copy(MEMORY, COPY);
            return;
        };
        let zero = |code: &mut enc::InstructionSink<'_>, from: u32, to: u32| {
            if from < to {
                let length = to - from;
                code.i32_const(from.cast_signed()).i32_const(0).i32_const(length.cast_signed());
                code.memory_fill(MEMORY);
            }
        };
        let mut at = 0;
        for (index, (offset, bytes)) in (0..).zip(runs) {
            zero(code, at, *offset);
            // A run lies within the memory, which has less than 4 GiB.
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            code.i32_const(offset.cast_signed()).i32_const(0).i32_const(length.cast_signed());
            code.memory_init(MEMORY, index);
            at = offset.saturating_add(length);
        }
        zero(code, at, self.size().cast_unsigned());
    }

    fn size(&self) -> i32 {
        i32::try_from(self.pages << PAGE).unwrap_or(i32::MAX)
    }

    /// Hashes the memory, its size and all mutable globals, and changes nothing.
    fn hash(&self) -> enc::Function {
        const AT: u32 = 0;
        const SUM: u32 = 1;
        let mut function = enc::Function::new([(1, enc::ValType::I32), (1, enc::ValType::I64)]);
        let mut code = function.instructions();
        let word = enc::MemArg { offset: 0, align: 3, memory_index: MEMORY };
        let mix = |code: &mut enc::InstructionSink<'_>| {
            code.local_get(SUM).i64_xor().i64_const(5).i64_rotl();
            code.i64_const(0x517c_c1b7_2722_0a95).i64_mul().local_set(SUM);
        };
        code.loop_(enc::BlockType::Empty).local_get(AT).i64_load(word);
        mix(&mut code);
        code.local_get(AT).i32_const(8).i32_add().local_tee(AT);
        code.memory_size(MEMORY).i32_const(PAGE.cast_signed()).i32_shl().i32_ne().br_if(0).end();
        code.memory_size(MEMORY).i64_extend_i32_u();
        mix(&mut code);
        for ((number, _), (_, global)) in self.pairs().zip(&self.globals) {
            code.global_get(number);
            match global.kind {
                ValType::I32 => _ = code.i64_extend_i32_u(),
                ValType::F32 => _ = code.i32_reinterpret_f32().i64_extend_i32_u(),
                ValType::F64 => _ = code.i64_reinterpret_f64(),
                ValType::V128 => {
                    code.i64x2_extract_lane(0);
                    mix(&mut code);
                    code.global_get(number).i64x2_extract_lane(1);
                }
                ValType::I64 | ValType::Ref(_) => {}
            }
            mix(&mut code);
        }
        code.local_get(SUM).end();
        function
    }
}

fn kind(global: &Global) -> enc::GlobalType {
    // Of references alone, the conversion can fail, and such globals do not qualify.
    let val_type = RoundtripReencoder.val_type(global.kind).unwrap_or(enc::ValType::I32);
    enc::GlobalType { val_type, mutable: true, shared: false }
}
