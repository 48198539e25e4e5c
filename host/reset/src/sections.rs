//! The sections of a module, read and encoded again with what is added.

use wasm_encoder as enc;
use wasm_encoder::SectionId;
use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasmparser::{
    ExportSectionReader, FunctionBody, FunctionSectionReader, ImportSectionReader, MemorySectionReader,
    Payload, TypeSectionReader,
};

use crate::cards::{self, Cards};
use crate::module::{CARDS, Module, OWNER};
use crate::reason::{Reason, of_encoder};

/// The order of the specification.
const ORDER: [SectionId; 12] = [
    SectionId::Type,
    SectionId::Import,
    SectionId::Function,
    SectionId::Table,
    SectionId::Memory,
    SectionId::Global,
    SectionId::Export,
    SectionId::Start,
    SectionId::Element,
    SectionId::DataCount,
    SectionId::Code,
    SectionId::Data,
];
/// Custom sections that stay true although code is moved. Others may have offsets in the code.
const CUSTOM: [&str; 2] = ["name", "producers"];

/// Sections of a module. Those that change are kept as they were parsed.
#[derive(Default)]
pub struct Sections<'a> {
    types: Option<TypeSectionReader<'a>>,
    imports: Option<ImportSectionReader<'a>>,
    functions: Option<FunctionSectionReader<'a>>,
    memories: Option<MemorySectionReader<'a>>,
    exports: Option<ExportSectionReader<'a>>,
    bodies: Vec<FunctionBody<'a>>,
    /// The others, encoded.
    others: Vec<(u8, &'a [u8])>,
    custom: Vec<&'a [u8]>,
}

impl<'a> Sections<'a> {
    /// Adds a section of the module in `bytes`.
    pub fn add(&mut self, payload: Payload<'a>, bytes: &'a [u8]) -> Result<(), Reason> {
        let section = payload.as_section();
        match payload {
            Payload::TypeSection(types) => self.types = Some(types),
            Payload::ImportSection(imports) => self.imports = Some(imports),
            Payload::FunctionSection(functions) => self.functions = Some(functions),
            Payload::MemorySection(memories) => self.memories = Some(memories),
            Payload::ExportSection(exports) => self.exports = Some(exports),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::CodeSectionStart { .. } => {}
            payload => {
                let Some((id, range)) = section else { return Ok(()) };
                let data = bytes.get(range).ok_or("a section ends beyond the file")?;
                match payload {
                    Payload::CustomSection(custom) if CUSTOM.contains(&custom.name()) => {
                        self.custom.push(data);
                    }
                    Payload::CustomSection(_) => {}
                    _ => self.others.push((id, data)),
                }
            }
        }
        Ok(())
    }

    /// The module, with its state exported and barriers in its code.
    pub fn encode(self, module: &Module<'_>) -> Result<Vec<u8>, Reason> {
        let cards = module.cards();
        let mut out = enc::Module::new();
        for id in ORDER {
            match id {
                SectionId::Type => section(&mut out, &self.types(cards)?),
                SectionId::Import => section(&mut out, &self.imports(module)?),
                SectionId::Function => section(&mut out, &self.functions(module, cards)?),
                SectionId::Memory => section(&mut out, &self.memories(module)?),
                SectionId::Export => section(&mut out, &self.exports(module)?),
                SectionId::Code => section(&mut out, &self.code(module, cards)?),
                other => {
                    for (id, data) in self.others.iter().filter(|(id, _)| *id == other as u8) {
                        out.section(&enc::RawSection { id: *id, data });
                    }
                }
            }
        }
        for data in &self.custom {
            out.section(&enc::RawSection { id: SectionId::Custom as u8, data });
        }
        Ok(out.finish())
    }

    fn types(&self, cards: Option<Cards>) -> Result<enc::TypeSection, Reason> {
        let mut section = enc::TypeSection::new();
        if let Some(types) = &self.types {
            RoundtripReencoder.parse_type_section(&mut section, types.clone()).map_err(of_encoder)?;
        }
        if cards.is_some() {
            section.ty().function([enc::ValType::I32; 2], []);
        }
        Ok(section)
    }

    fn functions(&self, module: &Module<'_>, cards: Option<Cards>) -> Result<enc::FunctionSection, Reason> {
        let mut section = enc::FunctionSection::new();
        if let Some(functions) = &self.functions {
            RoundtripReencoder.parse_function_section(&mut section, functions.clone()).map_err(of_encoder)?;
        }
        if cards.is_some() {
            section.function(module.types()?);
        }
        Ok(section)
    }

    /// The module with the memory defines its card table; others that have the memory import it.
    fn memories(&self, module: &Module<'_>) -> Result<enc::MemorySection, Reason> {
        let mut section = enc::MemorySection::new();
        if let Some(memories) = &self.memories {
            RoundtripReencoder.parse_memory_section(&mut section, memories.clone()).map_err(of_encoder)?;
        }
        if module.cards().is_some() && !module.borrows_memory() {
            section.memory(CARD_TABLE);
        }
        Ok(section)
    }

    fn imports(&self, module: &Module<'_>) -> Result<enc::ImportSection, Reason> {
        let mut section = enc::ImportSection::new();
        if let Some(imports) = &self.imports {
            RoundtripReencoder.parse_import_section(&mut section, imports.clone()).map_err(of_encoder)?;
        }
        if module.cards().is_some() && module.borrows_memory() {
            section.import(OWNER, CARDS, CARD_TABLE);
        }
        Ok(section)
    }

    fn exports(&self, module: &Module<'_>) -> Result<enc::ExportSection, Reason> {
        let mut section = enc::ExportSection::new();
        if let Some(exports) = &self.exports {
            RoundtripReencoder.parse_export_section(&mut section, exports.clone()).map_err(of_encoder)?;
        }
        module.export(&mut section);
        Ok(section)
    }

    fn code(&self, module: &Module<'_>, cards: Option<Cards>) -> Result<enc::CodeSection, Reason> {
        let mut section = enc::CodeSection::new();
        for (number, body) in self.bodies.iter().enumerate() {
            section.function(&cards::body(cards, body, module.parameters(number)?)?);
        }
        if let Some(cards) = cards {
            section.function(&cards.mark());
        }
        Ok(section)
    }
}

/// The type of a card table: one page, which has more bytes than there are cards.
pub const CARD_TABLE: enc::MemoryType =
    enc::MemoryType { minimum: 1, maximum: Some(1), memory64: false, shared: false, page_size_log2: None };
/// Adds a section that is not empty.
fn section<S: enc::Section + Counted>(out: &mut enc::Module, section: &S) {
    if section.count() > 0 {
        out.section(section);
    }
}

/// Sections that know their number of entries.
trait Counted {
    fn count(&self) -> u32;
}

macro_rules! counted {
    ($($section:ident)*) => {
        $(impl Counted for enc::$section {
            fn count(&self) -> u32 {
                self.len()
            }
        })*
    };
}

counted!(TypeSection ImportSection FunctionSection MemorySection ExportSection CodeSection);
