//! Components: which of them qualify, and where the reset is appended.

mod canonical;

use std::collections::BTreeMap;
use std::ops::Range;

use wasm_encoder as enc;
use wasm_encoder::reencode::ReencodeComponent as _;
use wasmparser::types::TypesRef;
use wasmparser::{
    ComponentAlias, ComponentAliasSectionReader, ComponentExternalKind, ComponentOuterAliasKind, Encoding,
    ExternalKind, Instance, InstantiationArgKind, Parser, Payload,
};

use self::canonical::Lift;
use crate::module::{Global, Module, OWNER};
use crate::output::{Indices, Output};
use crate::reason::{Reason, of_encoder};
use crate::results::Lowered;
use crate::undo::Undo;
use crate::{EXPORT, HASH, Options};

/// The core function that implements `handle` has a name that the component model's tools agree on.
const HANDLE: ([&str; 2], &str) = (["kafka-host:plugin/handler@", "consumer:plugin/handler@"], "#handle");

/// A component that qualifies, and its rewritten form so far.
pub struct Component<'a> {
    types: TypesRef<'a>,
    out: Output,
    indices: Indices,
    modules: Vec<Module<'a>>,
    /// The instance of each instantiated module. Modules with two instances do not qualify.
    instances: BTreeMap<u32, u32>,
    /// The instance that has the memory.
    owner: Option<u32>,
    /// The function that marks cards, once it has been needed.
    mark: Option<u32>,
    /// Functions that write their results to the memory, and have no marks for that yet.
    lowered: Vec<Lowered>,
    /// The allocators with marks, by the number of the one without.
    allocators: BTreeMap<u32, u32>,
    funcs: u32,
    kinds: u32,
    handle: Option<u32>,
    lift: Option<Lift>,
}

/// An instance whose state is restored: its number, and its module.
pub type Live<'m, 'a> = (u32, &'m Module<'a>);

impl<'a> Component<'a> {
    /// Reads a component whose types are these.
    pub fn read(bytes: &'a [u8], types: TypesRef<'a>) -> Result<Self, Reason> {
        let mut component = Self {
            types,
            out: Output::default(),
            indices: Indices::default(),
            modules: Vec::new(),
            instances: BTreeMap::new(),
            owner: None,
            mark: None,
            lowered: Vec::new(),
            allocators: BTreeMap::new(),
            funcs: 0,
            kinds: 0,
            handle: None,
            lift: None,
        };
        // The number of open modules and nested components, whose payloads follow their section.
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { .. } if depth > 0 => {}
                Payload::End(_) if depth > 0 => depth -= 1,
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } if depth > 0 => depth += 1,
                _ if depth > 0 => {}
                Payload::ModuleSection { unchecked_range, .. } => {
                    component.module(cut(bytes, unchecked_range)?)?;
                    depth = 1;
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    component.nested(cut(bytes, unchecked_range)?)?;
                    depth = 1;
                }
                _ => component.section(payload, bytes)?,
            }
        }
        Ok(component)
    }

    /// The component with [`EXPORT`].
    pub fn with_reset(mut self, options: Options) -> Result<Vec<u8>, Reason> {
        let lift = self.lift.take().ok_or("`handle` is not implemented in the usual way")?;
        let core_func = self.function(lift.core_func)?;
        let realloc = self.allocator(lift.realloc)?;
        let undo = self.undo(options)?;
        let module = self.out.module(&undo.module());
        let names: Vec<(String, u32)> =
            self.instances.values().map(|instance| (instance.to_string(), *instance)).collect();
        let instance = self.out.instantiate(module, &names);
        let reset = self.out.alias(instance, "reset");
        let mut lifted = lift.options;
        lifted.extend([enc::CanonicalOption::Realloc(realloc), enc::CanonicalOption::PostReturn(reset)]);
        let mut exports = enc::ComponentExportSection::new();
        exports.export(EXPORT, enc::ComponentExportKind::Func, self.funcs, None);
        if options.hash {
            let hash = self.out.alias(instance, "hash");
            let mut kind = enc::ComponentTypeSection::new();
            let result = enc::ComponentValType::Primitive(enc::PrimitiveValType::S64);
            kind.function().params::<_, enc::ComponentValType>([]).result(Some(result));
            self.out.section(&kind);
            self.out.canonicals().lift(core_func, lift.kind, lifted).lift(hash, self.kinds, []);
            exports.export(HASH, enc::ComponentExportKind::Func, self.funcs + 1, None);
        } else {
            self.out.canonicals().lift(core_func, lift.kind, lifted);
        }
        self.out.section(&exports);
        Ok(self.out.finish())
    }

    fn undo(&self, options: Options) -> Result<Undo<'_>, Reason> {
        // In the order of instantiation, in which segments are written.
        let mut live: Vec<Live<'_, 'a>> = Vec::new();
        for (module, instance) in &self.instances {
            let module = usize::try_from(*module).ok().and_then(|module| self.modules.get(module));
            live.push((*instance, module.ok_or("an instance has no module")?));
        }
        live.sort_by_key(|(instance, _)| *instance);
        Undo::new(&live, options)
    }

    fn module(&mut self, bytes: &'a [u8]) -> Result<(), Reason> {
        let (module, rewritten) = Module::read(bytes, self.modules.len())?;
        self.out.raw(enc::ComponentSectionId::CoreModule as u8, rewritten);
        self.indices.modules.push(self.out.next_module());
        self.modules.push(module);
        Ok(())
    }

    /// A nested component may only give names to types and functions.
    fn nested(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { .. }
                | Payload::ComponentTypeSection(_)
                | Payload::ComponentImportSection(_)
                | Payload::ComponentExportSection(_)
                | Payload::ComponentAliasSection(_)
                | Payload::ComponentInstanceSection(_)
                | Payload::CustomSection(_)
                | Payload::End(_) => {}
                _ => return Err("a component within it has code of its own".into()),
            }
        }
        self.out.raw(enc::ComponentSectionId::Component as u8, bytes.to_vec());
        Ok(())
    }

    fn section(&mut self, payload: Payload<'a>, bytes: &[u8]) -> Result<(), Reason> {
        let section = payload.as_section();
        match payload {
            Payload::Version { encoding: Encoding::Component, .. }
            | Payload::CustomSection(_)
            | Payload::End(_) => return Ok(()),
            // These refer to core functions and instances, whose numbers change.
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    self.instance(instance?)?;
                }
                return Ok(());
            }
            Payload::ComponentAliasSection(aliases) => {
                return self.aliases(aliases);
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    self.canonical(function?)?;
                }
                return self.mark_results();
            }
            Payload::CoreTypeSection(_) | Payload::ComponentInstanceSection(_) => {}
            Payload::ComponentTypeSection(kinds) => self.kinds += kinds.count(),
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    self.define(import?.ty.kind())?;
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    self.define(export?.kind)?;
                }
            }
            _ => return Err("it has a section of an unknown kind, or a start function".into()),
        }
        if let Some((id, range)) = section {
            self.out.raw(id, cut(bytes, &range)?.to_vec());
        }
        Ok(())
    }

    fn instance(&mut self, instance: Instance<'a>) -> Result<(), Reason> {
        let number = match instance {
            Instance::Instantiate { module_index, args } => {
                let mut arguments: Vec<(String, u32)> = Vec::new();
                for argument in &args {
                    let InstantiationArgKind::Instance = argument.kind;
                    let instance = self.indices.instance_index(argument.index);
                    arguments.push((argument.name.to_owned(), instance));
                }
                self.instantiate(module_index, arguments)?
            }
            Instance::FromExports(_) => {
                let mut section = enc::InstanceSection::new();
                self.indices.parse_instance(&mut section, instance).map_err(of_encoder)?;
                self.out.section(&section);
                self.out.next_instance()
            }
        };
        self.indices.instances.push(number);
        Ok(())
    }

    fn instantiate(&mut self, number: u32, mut arguments: Vec<(String, u32)>) -> Result<u32, Reason> {
        let module = usize::try_from(number).ok().and_then(|number| self.modules.get(number));
        let module = module.ok_or("an instance has no module")?;
        if module.borrows_memory() && module.has_code {
            arguments.push((OWNER.to_owned(), self.owner.ok_or("its memory is not its own")?));
        }
        let owns = module.pages.is_some();
        let instance = self.out.instantiate(self.indices.module_index(number), &arguments);
        if self.instances.insert(number, instance).is_some() {
            return Err("a module has two instances".into());
        }
        if owns && self.owner.replace(instance).is_some() {
            return Err("it has more than one memory".into());
        }
        Ok(instance)
    }

    fn aliases(&mut self, aliases: ComponentAliasSectionReader<'a>) -> Result<(), Reason> {
        let mut section = enc::ComponentAliasSection::new();
        for alias in aliases {
            let alias = alias?;
            self.alias(&alias)?;
            section.alias(self.indices.component_alias(alias).map_err(of_encoder)?);
        }
        self.out.section(&section);
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Reason> {
        match alias {
            ComponentAlias::CoreInstanceExport { kind, name, .. } => match kind {
                ExternalKind::Func | ExternalKind::FuncExact => {
                    if HANDLE.0.iter().any(|handler| name.starts_with(handler)) && name.ends_with(HANDLE.1) {
                        self.handle = Some(count(self.indices.functions.len())?);
                    }
                    self.add_function();
                }
                ExternalKind::Memory | ExternalKind::Table | ExternalKind::Global => {}
                ExternalKind::Tag => return Err("it has exceptions".into()),
            },
            ComponentAlias::InstanceExport { kind, .. } => self.define(*kind)?,
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.kinds += 1,
            ComponentAlias::Outer { .. } => return Err("it has an alias of an unknown kind".into()),
        }
        Ok(())
    }

    /// Counts a core function that the component had before.
    fn add_function(&mut self) -> u32 {
        let number = self.out.next_function();
        self.indices.functions.push(number);
        number
    }

    /// Counts what an import, an export or an alias adds to an index space.
    fn define(&mut self, kind: ComponentExternalKind) -> Result<(), Reason> {
        match kind {
            ComponentExternalKind::Func => self.funcs += 1,
            ComponentExternalKind::Type => self.kinds += 1,
            ComponentExternalKind::Instance => {}
            _ => return Err("it imports, exports or renames something of an unknown kind".into()),
        }
        Ok(())
    }
}

fn cut<'a>(bytes: &'a [u8], range: &Range<usize>) -> Result<&'a [u8], Reason> {
    bytes.get(range.clone()).ok_or_else(|| "a section ends beyond the file".into())
}

fn count(length: usize) -> Result<u32, Reason> {
    u32::try_from(length).map_err(|_| "it has too many modules".into())
}

/// The mutable globals of all instances, with their instances.
pub fn globals<'m>(live: &[Live<'m, '_>]) -> Vec<(u32, &'m Global)> {
    let of = |(instance, module): &Live<'m, '_>| {
        let instance = *instance;
        module.globals.iter().map(move |global| (instance, global))
    };
    live.iter().flat_map(of).collect()
}
