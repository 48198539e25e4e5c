//! The module that saves and restores the state.

use wasm_encoder as enc;
use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasmparser::ValType;

use crate::Options;
use crate::cards::{CARD, CARDS_OF_PAGE, REACH};
use crate::component::{Live, globals};
use crate::image::image;
use crate::module::{CARDS, Global, MEMORY as OWN_MEMORY};
use crate::reason::Reason;
use crate::sections::CARD_TABLE;

/// Its types: `reset` gets the pointer that `handle` returns.
const RESET: u32 = 0;
const NOTHING: u32 = 1;
const HASH: u32 = 2;
/// The memory of the component, its card table, and the copy of its first content.
const MEMORY: u32 = 0;
const TABLE: u32 = 1;
const COPY: u32 = 2;
/// Bits of a size of 64 KiB.
const PAGE: u32 = 16;

/// A module that imports the state of all instances.
pub struct Undo<'m> {
    /// The instance with the memory.
    owner: u32,
    pages: u64,
    globals: Vec<(u32, &'m Global)>,
    /// The first content of the memory; None if it is copied at the instantiation.
    image: Option<Vec<u8>>,
    options: Options,
}

impl<'m> Undo<'m> {
    /// For these instances, in the order of their instantiation.
    pub fn new(live: &[Live<'m, '_>], options: Options) -> Result<Self, Reason> {
        let mut owners =
            live.iter().filter_map(|(instance, module)| Some((*instance, module, module.pages?)));
        let (owner, module, pages) = owners.next().ok_or("it has no memory")?;
        if owners.next().is_some() {
            return Err("it has more than one memory".into());
        }
        if !module.has_code {
            return Err("the module with the memory has no code".into());
        }
        Ok(Self { owner, pages, globals: globals(live), image: first_content(live, pages)?, options })
    }

    /// The encoded module.
    pub fn module(&self) -> enc::Module {
        let mut types = enc::TypeSection::new();
        types.ty().function([enc::ValType::I32], []);
        types.ty().function([], []);
        types.ty().function([], [enc::ValType::I64]);
        let mut functions = enc::FunctionSection::new();
        functions.function(NOTHING).function(RESET);
        let mut code = enc::CodeSection::new();
        code.function(&self.save()).function(&self.reset());
        if self.options.hash {
            functions.function(HASH);
            code.function(&self.hash());
        }
        let mut exports = enc::ExportSection::new();
        exports.export("reset", enc::ExportKind::Func, 1);
        if self.options.hash {
            exports.export("hash", enc::ExportKind::Func, 2);
        }
        let mut module = enc::Module::new();
        module.section(&types).section(&self.imports()).section(&functions);
        if self.image.is_none() {
            let mut memories = enc::MemorySection::new();
            memories.memory(self.memory_type(Some(self.pages)));
            module.section(&memories);
        }
        module.section(&self.copies()).section(&exports);
        module.section(&enc::StartSection { function_index: 0 });
        let mut data = enc::DataSection::new();
        if let Some(image) = &self.image {
            data.passive(image.iter().copied());
        }
        module.section(&enc::DataCountSection { count: data.len() }).section(&code).section(&data);
        module
    }

    fn memory_type(&self, maximum: Option<u64>) -> enc::MemoryType {
        enc::MemoryType { minimum: self.pages, maximum, memory64: false, shared: false, page_size_log2: None }
    }

    fn imports(&self) -> enc::ImportSection {
        let mut imports = enc::ImportSection::new();
        let mut import = |instance: u32, name: &str, kind: enc::EntityType| {
            imports.import(&instance.to_string(), name, kind);
        };
        import(self.owner, OWN_MEMORY, self.memory_type(None).into());
        import(self.owner, CARDS, CARD_TABLE.into());
        for (instance, global) in &self.globals {
            import(*instance, &global.name, kind(global).into());
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
        let copies = count(self.globals.len());
        (0..copies).map(move |number| (number, number.saturating_add(copies)))
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

    /// Restores the first state.
    fn reset(&self) -> enc::Function {
        let mut function = enc::Function::new(Local::ALL);
        let mut code = function.instructions();
        if self.options.resets {
            self.restore_cards(&mut code);
            for (global, copy) in self.pairs() {
                code.global_get(copy).global_set(global);
            }
        }
        code.end();
        function
    }

    /// Restores the cards that were written, in runs within a word of the card table, and clears the table.
    fn restore_cards(&self, code: &mut enc::InstructionSink<'_>) {
        let word = enc::MemArg { offset: 0, align: 3, memory_index: TABLE };
        code.i32_const(0).local_set(Local::AT).loop_(enc::BlockType::Empty);
        code.local_get(Local::AT).i64_load(word);
        code.local_tee(Local::WORD).i64_eqz().i32_eqz().if_(enc::BlockType::Empty);
        code.local_get(Local::AT).i64_const(0).i64_store(word);
        // Each byte becomes 0x00 or 0xff.
        code.local_get(Local::WORD).i64_const(0xff).i64_mul().local_set(Local::WORD);
        code.loop_(enc::BlockType::Empty);
        code.local_get(Local::WORD).i64_ctz().local_set(Local::FROM);
        // The address of the run is that of its first card.
        code.local_get(Local::AT).local_get(Local::FROM).i32_wrap_i64().i32_const(3).i32_shr_u().i32_add();
        code.i32_const(CARD.cast_signed()).i32_shl().local_tee(Local::ADDRESS).local_get(Local::ADDRESS);
        code.local_get(Local::WORD).local_get(Local::FROM).i64_shr_u();
        code.i64_const(-1).i64_xor().i64_ctz().i32_wrap_i64().i32_const(3).i32_shr_u();
        code.i32_const(CARD.cast_signed()).i32_shl().i32_const(REACH.cast_signed()).i32_add();
        code.local_tee(Local::LENGTH);
        // Up to the end of the memory.
        code.i32_const(self.size()).local_get(Local::ADDRESS).i32_sub().local_tee(Local::REST);
        code.local_get(Local::LENGTH).local_get(Local::REST).i32_lt_u().select();
        match self.image {
            Some(_) => code.memory_init(MEMORY, 0),
            None => code.memory_copy(MEMORY, COPY),
        };
        // The carry clears the run.
        code.local_get(Local::WORD).local_get(Local::WORD).i64_const(1).local_get(Local::FROM).i64_shl();
        code.i64_add().i64_and().local_tee(Local::WORD).i64_eqz().i32_eqz().br_if(0).end();
        code.end();
        code.local_get(Local::AT).i32_const(8).i32_add().local_tee(Local::AT);
        code.i32_const(self.cards()).i32_lt_u().br_if(0).end();
    }

    fn size(&self) -> i32 {
        i32::try_from(self.pages << PAGE).unwrap_or(i32::MAX)
    }

    /// The number of cards: a multiple of 8.
    fn cards(&self) -> i32 {
        i32::try_from(self.pages << CARDS_OF_PAGE).unwrap_or(i32::MAX)
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

/// The locals of `reset`, behind its parameter.
struct Local;

impl Local {
    const ALL: [(u32, enc::ValType); 2] = [(4, enc::ValType::I32), (2, enc::ValType::I64)];
    /// The first card of a word.
    const AT: u32 = 1;
    const ADDRESS: u32 = 2;
    const LENGTH: u32 = 3;
    const REST: u32 = 4;
    const WORD: u32 = 5;
    /// The bit at which a run begins.
    const FROM: u32 = 6;
}

/// The first content of the memory; None if it is known at the instantiation only.
fn first_content(live: &[Live<'_, '_>], pages: u64) -> Result<Option<Vec<u8>>, Reason> {
    // A start function may have written to the memory, too.
    if live.iter().any(|(_, module)| module.data.is_none() || module.has_start) {
        return Ok(None);
    }
    let segments: Vec<(u32, &[u8])> =
        live.iter().flat_map(|(_, module)| module.data.iter().flatten().copied()).collect();
    let size = usize::try_from(pages << PAGE).map_err(|_| "its memory is too large")?;
    Ok(Some(image(&segments, size).ok_or("its data does not fit its memory")?))
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn kind(global: &Global) -> enc::GlobalType {
    // Of references alone, the conversion can fail, and such globals do not qualify.
    let val_type = RoundtripReencoder.val_type(global.kind).unwrap_or(enc::ValType::I32);
    enc::GlobalType { val_type, mutable: true, shared: false }
}
