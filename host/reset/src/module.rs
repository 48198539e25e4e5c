//! Core modules: which of them qualify, and the exports that give access to their state.

use wasm_encoder as enc;
use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasmparser::{
    DataKind, DataSectionReader, ExportSectionReader, GlobalSectionReader, ImportSectionReader,
    MemorySectionReader, MemoryType, Operator, Parser, Payload, TypeRef, ValType,
};

use crate::MAX_PAGES;
use crate::operators::is_allowed;
use crate::reason::Reason;

/// A mutable global.
pub struct Global {
    /// The name under which it is exported.
    pub name: String,
    pub kind: ValType,
    /// Its number among the globals that the module defines.
    number: u32,
}

/// A core module that qualifies.
#[derive(Default)]
pub struct Module<'a> {
    pub globals: Vec<Global>,
    /// The memory that it defines: the name under which it is exported, and its initial pages.
    pub memory: Option<(String, u64)>,
    /// Its active data segments with their offsets; None if an offset is not constant.
    pub data: Option<Vec<(u32, &'a [u8])>>,
    /// Whether it has a start function.
    pub has_start: bool,
    imported_globals: u32,
    imported_memories: u32,
}

const MEMORIES: &str = "it has more than one memory";

impl<'a> Module<'a> {
    /// Reads the module with this index in its component. Returns it, and its bytes with further exports.
    pub fn read(bytes: &'a [u8], index: usize) -> Result<(Self, Vec<u8>), Reason> {
        let mut module = Self { data: Some(Vec::new()), ..Self::default() };
        let mut out = enc::Module::new();
        let mut is_exported = false;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            module.check(&payload, index)?;
            if let Payload::ExportSection(exports) = payload {
                out.section(&module.with_state(exports)?);
                is_exported = true;
            } else if let Some((id, range)) = payload.as_section() {
                let data = bytes.get(range).ok_or("a section ends beyond the file")?;
                out.section(&enc::RawSection { id, data });
            }
        }
        if !is_exported && (!module.globals.is_empty() || module.memory.is_some()) {
            return Err("a module with a memory or globals has no exports".into());
        }
        Ok((module, out.finish()))
    }

    /// Refuses what is not known, and notes the state. Sections are in the order of the specification, so that state is
    /// noted before exports.
    fn check(&mut self, payload: &Payload<'a>, index: usize) -> Result<(), Reason> {
        match payload {
            Payload::ImportSection(imports) => self.imports(imports.clone()),
            Payload::MemorySection(memories) => self.memories(memories.clone(), index),
            Payload::GlobalSection(globals) => self.globals(globals.clone(), index),
            Payload::DataSection(data) => self.data(data.clone()),
            Payload::StartSection { .. } => {
                self.has_start = true;
                Ok(())
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    let operator = operator?;
                    if !is_allowed(&operator) {
                        return Err(format!("it uses the operator {}", name(&operator)).into());
                    }
                }
                Ok(())
            }
            Payload::Version { .. }
            | Payload::TypeSection(_)
            | Payload::FunctionSection(_)
            | Payload::TableSection(_)
            | Payload::ExportSection(_)
            | Payload::ElementSection(_)
            | Payload::DataCountSection { .. }
            | Payload::CodeSectionStart { .. }
            | Payload::CustomSection(_)
            | Payload::End(_) => Ok(()),
            _ => Err("a module has a section of an unknown kind".into()),
        }
    }

    fn imports(&mut self, imports: ImportSectionReader<'a>) -> Result<(), Reason> {
        for import in imports.into_imports() {
            match import?.ty {
                TypeRef::Func(_) | TypeRef::Table(_) => {}
                TypeRef::Global(_) => self.imported_globals += 1,
                TypeRef::Memory(kind) => {
                    check_memory(kind)?;
                    self.imported_memories += 1;
                    if self.imported_memories > 1 {
                        return Err(MEMORIES.into());
                    }
                }
                _ => return Err("a module has an import of an unknown kind".into()),
            }
        }
        Ok(())
    }

    fn memories(&mut self, memories: MemorySectionReader<'a>, index: usize) -> Result<(), Reason> {
        for kind in memories {
            let kind = kind?;
            check_memory(kind)?;
            if self.memory.is_some() || self.imported_memories > 0 {
                return Err(MEMORIES.into());
            }
            self.memory = Some((format!("reset:{index}:memory"), kind.initial));
        }
        Ok(())
    }

    fn globals(&mut self, globals: GlobalSectionReader<'a>, index: usize) -> Result<(), Reason> {
        for (number, global) in (0..).zip(globals) {
            let kind = global?.ty;
            if kind.shared || (kind.mutable && matches!(kind.content_type, ValType::Ref(_))) {
                return Err("a global is shared, or refers to a function or object".into());
            }
            if kind.mutable {
                let name = format!("reset:{index}:{number}");
                self.globals.push(Global { name, kind: kind.content_type, number });
            }
        }
        Ok(())
    }

    fn data(&mut self, segments: DataSectionReader<'a>) -> Result<(), Reason> {
        for segment in segments {
            let segment = segment?;
            let DataKind::Active { offset_expr, .. } = segment.kind else { continue };
            let mut operators = offset_expr.get_operators_reader();
            let offset = match (operators.read()?, operators.read()?) {
                (Operator::I32Const { value }, Operator::End) => Some(value.cast_unsigned()),
                _ => None,
            };
            self.data = self.data.take().zip(offset).map(|(mut data, offset)| {
                data.push((offset, segment.data));
                data
            });
        }
        Ok(())
    }

    /// The exports of the module and of its state.
    fn with_state(&self, exports: ExportSectionReader<'a>) -> Result<enc::ExportSection, Reason> {
        let mut section = enc::ExportSection::new();
        for export in exports {
            let export = export?;
            RoundtripReencoder
                .parse_export(&mut section, export)
                .map_err(|error| Reason::from(error.to_string()))?;
        }
        for global in &self.globals {
            section.export(&global.name, enc::ExportKind::Global, self.imported_globals + global.number);
        }
        if let Some((name, _)) = &self.memory {
            section.export(name, enc::ExportKind::Memory, 0);
        }
        Ok(section)
    }
}

fn check_memory(kind: MemoryType) -> Result<(), Reason> {
    if kind.shared || kind.memory64 || kind.page_size_log2.is_some() {
        return Err("a memory is shared, has 64-bit addresses or pages of another size".into());
    }
    if kind.initial > MAX_PAGES {
        return Err(format!(
            "its memory has {} KiB at first, and up to {} KiB are reset",
            kind.initial << 6,
            MAX_PAGES << 6
        )
        .into());
    }
    Ok(())
}

/// The name of an operator without its arguments.
fn name(operator: &Operator<'_>) -> String {
    let text = format!("{operator:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}
