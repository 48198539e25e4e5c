//! Core modules: which of them qualify, and what is added to them: write barriers, and exports that give access to their
//! state.

use wasm_encoder as enc;
use wasmparser::{
    CompositeInnerType, DataKind, DataSectionReader, ExportSectionReader, FunctionSectionReader,
    GlobalSectionReader, ImportSectionReader, MemorySectionReader, MemoryType, Operator, Parser, Payload,
    TypeRef, TypeSectionReader, ValType,
};

use crate::MAX_PAGES;
use crate::cards::Cards;
use crate::operators::is_allowed;
use crate::reason::Reason;
use crate::sections::Sections;

/// The names under which the module with the memory exports it, its card table, and the function that marks cards.
pub const MEMORY: &str = "reset:memory";
pub const CARDS: &str = "reset:cards";
pub const MARK: &str = "reset:mark";
/// The name under which other modules import the card table's owner.
pub const OWNER: &str = "reset:owner";
/// Names of others must not begin like these.
const RESERVED: &str = "reset:";

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
    /// Its number in the component.
    number: usize,
    pub globals: Vec<Global>,
    /// The initial pages of the memory that it defines.
    pub pages: Option<u64>,
    /// Its active data segments with their offsets; None if an offset is not constant.
    pub data: Option<Vec<(u32, &'a [u8])>>,
    /// Whether it has a start function.
    pub has_start: bool,
    /// Whether it has code, which may write to a memory.
    pub has_code: bool,
    /// Whether it has a memory, its own or another module's.
    pub has_memory: bool,
    /// The number of parameters of each type.
    parameters: Vec<u32>,
    /// The type of each function that it defines.
    functions: Vec<u32>,
    imported_functions: u32,
    imported_globals: u32,
    defined_globals: u32,
    imported_memories: u32,
}

const MEMORIES: &str = "it has more than one memory";

impl<'a> Module<'a> {
    /// Reads the module with this number in its component. Returns it, and its bytes with what is added.
    pub fn read(bytes: &'a [u8], number: usize) -> Result<(Self, Vec<u8>), Reason> {
        let mut module = Self { number, data: Some(Vec::new()), ..Self::default() };
        let mut sections = Sections::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            module.check(&payload)?;
            sections.add(payload, bytes)?;
        }
        let encoded = sections.encode(&module)?;
        Ok((module, encoded))
    }

    /// Whether its memory is another module's.
    pub fn borrows_memory(&self) -> bool {
        self.imported_memories > 0
    }

    /// Where its code notes what it writes; None if it has no code or no memory.
    pub fn cards(&self) -> Option<Cards> {
        let functions = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        let mark = self.imported_functions.saturating_add(functions);
        // Behind the memory, which is the only one.
        (self.has_code && self.has_memory).then_some(Cards { table: 1, mark })
    }

    /// The number of parameters of a function that it defines.
    pub fn parameters(&self, function: usize) -> Result<u32, Reason> {
        let kind = self.functions.get(function).and_then(|kind| usize::try_from(*kind).ok());
        let parameters = kind.and_then(|kind| self.parameters.get(kind)).copied();
        parameters.ok_or_else(|| "a function has no type".into())
    }

    /// The number of its types.
    pub fn types(&self) -> Result<u32, Reason> {
        u32::try_from(self.parameters.len()).map_err(|_| "a module has too many types".into())
    }

    /// Exports the state.
    pub fn export(&self, exports: &mut enc::ExportSection) {
        for global in &self.globals {
            exports.export(&global.name, enc::ExportKind::Global, self.imported_globals + global.number);
        }
        if self.pages.is_some()
            && let Some(Cards { table, mark }) = self.cards()
        {
            exports.export(MEMORY, enc::ExportKind::Memory, 0);
            exports.export(CARDS, enc::ExportKind::Memory, table);
            exports.export(MARK, enc::ExportKind::Func, mark);
        }
    }

    /// Refuses what is not known, and notes the state.
    fn check(&mut self, payload: &Payload<'a>) -> Result<(), Reason> {
        match payload {
            Payload::TypeSection(types) => self.types_of(types.clone()),
            Payload::ImportSection(imports) => self.imports(imports.clone()),
            Payload::FunctionSection(functions) => self.functions(functions.clone()),
            Payload::MemorySection(memories) => self.memories(memories.clone()),
            Payload::GlobalSection(globals) => self.globals(globals.clone()),
            Payload::ExportSection(exports) => exports_of(exports.clone()),
            Payload::DataSection(data) => self.data(data.clone()),
            Payload::StartSection { .. } => {
                self.has_start = true;
                Ok(())
            }
            Payload::CodeSectionEntry(body) => {
                self.has_code = true;
                for operator in body.get_operators_reader()? {
                    let operator = operator?;
                    if !is_allowed(&operator) {
                        return Err(format!("it uses the operator {}", name(&operator)).into());
                    }
                }
                Ok(())
            }
            Payload::Version { .. }
            | Payload::TableSection(_)
            | Payload::ElementSection(_)
            | Payload::DataCountSection { .. }
            | Payload::CodeSectionStart { .. }
            | Payload::CustomSection(_)
            | Payload::End(_) => Ok(()),
            _ => Err("a module has a section of an unknown kind".into()),
        }
    }

    fn types_of(&mut self, types: TypeSectionReader<'a>) -> Result<(), Reason> {
        for group in types {
            for kind in group?.into_types() {
                self.parameters.push(match kind.composite_type.inner {
                    CompositeInnerType::Func(function) => {
                        u32::try_from(function.params().len()).unwrap_or(u32::MAX)
                    }
                    _ => return Err("a module has a type of an unknown kind".into()),
                });
            }
        }
        Ok(())
    }

    fn functions(&mut self, functions: FunctionSectionReader<'a>) -> Result<(), Reason> {
        for kind in functions {
            self.functions.push(kind?);
        }
        Ok(())
    }

    fn imports(&mut self, imports: ImportSectionReader<'a>) -> Result<(), Reason> {
        for import in imports.into_imports() {
            let import = import?;
            check_name(import.module)?;
            match import.ty {
                TypeRef::Func(_) => self.imported_functions += 1,
                TypeRef::Table(_) => {}
                TypeRef::Global(_) => self.imported_globals += 1,
                TypeRef::Memory(kind) => {
                    check_memory(kind)?;
                    self.has_memory = true;
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

    fn memories(&mut self, memories: MemorySectionReader<'a>) -> Result<(), Reason> {
        for kind in memories {
            let kind = kind?;
            check_memory(kind)?;
            if self.has_memory {
                return Err(MEMORIES.into());
            }
            self.has_memory = true;
            self.pages = Some(kind.initial);
        }
        Ok(())
    }

    fn globals(&mut self, globals: GlobalSectionReader<'a>) -> Result<(), Reason> {
        for (number, global) in (0_u32..).zip(globals) {
            let global = global?;
            let kind = global.ty;
            if kind.shared || (kind.mutable && matches!(kind.content_type, ValType::Ref(_))) {
                return Err("a global is shared, or refers to a function or object".into());
            }
            if kind.mutable {
                let name = format!("{RESERVED}{}:{number}", self.number);
                self.globals.push(Global { name, kind: kind.content_type, number });
            }
            self.defined_globals += 1;
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
}

fn exports_of(exports: ExportSectionReader<'_>) -> Result<(), Reason> {
    for export in exports {
        check_name(export?.name)?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Reason> {
    match name.starts_with(RESERVED) {
        true => Err(format!("a name within it begins with {RESERVED}").into()),
        false => Ok(()),
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
