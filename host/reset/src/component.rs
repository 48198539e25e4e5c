//! Components: which of them qualify, and where the reset is appended.

use std::collections::BTreeMap;
use std::ops::Range;

use wasm_encoder as enc;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind,
    Encoding, ExternalKind, Instance, Parser, Payload,
};

use crate::module::{Global, Module};
use crate::reason::Reason;
use crate::undo::Undo;
use crate::{EXPORT, HASH, Options};

/// The core function that implements `handle` has a name that the component model's tools agree on.
const HANDLE: ([&str; 2], &str) = (["kafka-host:plugin/handler@", "consumer:plugin/handler@"], "#handle");

/// A component that qualifies.
#[derive(Default)]
pub struct Component<'a> {
    /// Its sections with the rewritten modules. Those without a meaning are left out.
    sections: Vec<(u8, Vec<u8>)>,
    modules: Vec<Module<'a>>,
    /// The instance of each instantiated module. Modules with two instances do not qualify.
    instances: BTreeMap<u32, u32>,
    core_instances: u32,
    core_funcs: u32,
    funcs: u32,
    types: u32,
    /// Core functions that instances export.
    exported: BTreeMap<u32, Export>,
    handle: Option<u32>,
    lift: Option<Lift>,
}

/// The canonical definition of `handle`.
struct Lift {
    core_func: u32,
    kind: u32,
    /// The allocator for its arguments.
    realloc: u32,
    /// All options but the allocator and the post-return function.
    options: Vec<enc::CanonicalOption>,
}

/// An export of a core instance: the number of the instance, and the name.
pub type Export = (u32, String);

/// An instance whose state is restored: its number, and its module.
pub type Live<'m, 'a> = (u32, &'m Module<'a>);

impl<'a> Component<'a> {
    /// Reads a component.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Reason> {
        let mut component = Self::default();
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
        let undo = self.undo(lift.realloc, options)?;
        let mut out = Appended::default();
        out.section(&enc::ModuleSection(&undo.module()));
        let mut instances = enc::InstanceSection::new();
        let names: Vec<(String, u32)> =
            self.instances.values().map(|instance| (instance.to_string(), *instance)).collect();
        let arguments =
            names.iter().map(|(name, instance)| (name.as_str(), enc::ModuleArg::Instance(*instance)));
        instances.instantiate(count(self.modules.len())?, arguments);
        out.section(&instances);
        let (instance, reset) = (self.core_instances, self.core_funcs);
        let (realloc, hash) = (reset + 1, reset + 2);
        let mut aliases = enc::ComponentAliasSection::new();
        for name in undo.exports() {
            aliases.alias(enc::Alias::CoreInstanceExport { instance, kind: enc::ExportKind::Func, name });
        }
        out.section(&aliases);
        let mut canonicals = enc::CanonicalFunctionSection::new();
        let mut lifted = lift.options;
        lifted.extend([enc::CanonicalOption::Realloc(realloc), enc::CanonicalOption::PostReturn(reset)]);
        canonicals.lift(lift.core_func, lift.kind, lifted);
        let mut exports = enc::ComponentExportSection::new();
        exports.export(EXPORT, enc::ComponentExportKind::Func, self.funcs, None);
        if options.hash {
            let mut kind = enc::ComponentTypeSection::new();
            let result = enc::ComponentValType::Primitive(enc::PrimitiveValType::S64);
            kind.function().params::<_, enc::ComponentValType>([]).result(Some(result));
            out.section(&kind);
            canonicals.lift(hash, self.types, []);
            exports.export(HASH, enc::ComponentExportKind::Func, self.funcs + 1, None);
        }
        out.section(&canonicals);
        out.section(&exports);
        let mut whole = enc::Component::new();
        for (id, data) in self.sections.iter().chain(&out.0) {
            whole.section(&enc::RawSection { id: *id, data });
        }
        Ok(whole.finish())
    }

    fn undo(&self, realloc: u32, options: Options) -> Result<Undo<'_>, Reason> {
        let realloc =
            self.exported.get(&realloc).cloned().ok_or("its allocator is not a function of its own")?;
        // In the order of instantiation, in which segments are written.
        let mut live: Vec<Live<'_, 'a>> = Vec::new();
        for (module, instance) in &self.instances {
            let module = usize::try_from(*module).ok().and_then(|module| self.modules.get(module));
            live.push((*instance, module.ok_or("an instance has no module")?));
        }
        live.sort_by_key(|(instance, _)| *instance);
        Undo::new(&live, realloc, options)
    }

    fn module(&mut self, bytes: &'a [u8]) -> Result<(), Reason> {
        let (module, rewritten) = Module::read(bytes, self.modules.len())?;
        self.sections.push((enc::ComponentSectionId::CoreModule as u8, rewritten));
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
        self.sections.push((enc::ComponentSectionId::Component as u8, bytes.to_vec()));
        Ok(())
    }

    fn section(&mut self, payload: Payload<'a>, bytes: &[u8]) -> Result<(), Reason> {
        if let Some((id, range)) = payload.as_section()
            && !matches!(payload, Payload::CustomSection(_))
        {
            self.sections.push((id, cut(bytes, &range)?.to_vec()));
        }
        match payload {
            Payload::Version { encoding: Encoding::Component, .. }
            | Payload::CoreTypeSection(_)
            | Payload::ComponentInstanceSection(_)
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            Payload::ComponentTypeSection(kinds) => self.types += kinds.count(),
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    self.instance(&instance?)?;
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    self.alias(&alias?)?;
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    self.canonical(function?)?;
                }
            }
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
        Ok(())
    }

    fn instance(&mut self, instance: &Instance<'_>) -> Result<(), Reason> {
        if let Instance::Instantiate { module_index, .. } = instance
            && self.instances.insert(*module_index, self.core_instances).is_some()
        {
            return Err("a module has two instances".into());
        }
        self.core_instances += 1;
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Reason> {
        match alias {
            ComponentAlias::CoreInstanceExport { kind, name, instance_index } => match kind {
                ExternalKind::Func | ExternalKind::FuncExact => {
                    if HANDLE.0.iter().any(|handler| name.starts_with(handler)) && name.ends_with(HANDLE.1) {
                        self.handle = Some(self.core_funcs);
                    }
                    self.exported.insert(self.core_funcs, (*instance_index, (*name).to_owned()));
                    self.core_funcs += 1;
                }
                ExternalKind::Memory | ExternalKind::Table | ExternalKind::Global => {}
                ExternalKind::Tag => return Err("it has exceptions".into()),
            },
            ComponentAlias::InstanceExport { kind, .. } => self.define(*kind)?,
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types += 1,
            ComponentAlias::Outer { .. } => return Err("it has an alias of an unknown kind".into()),
        }
        Ok(())
    }

    fn canonical(&mut self, function: CanonicalFunction) -> Result<(), Reason> {
        match function {
            CanonicalFunction::Lift { core_func_index: core_func, type_index: kind, options } => {
                let plain = plain(&options)?;
                if self.handle == Some(core_func) {
                    self.lift = Some(lift(core_func, kind, plain)?);
                }
                self.funcs += 1;
            }
            CanonicalFunction::Lower { options, .. } => {
                plain(&options)?;
                self.core_funcs += 1;
            }
            CanonicalFunction::ResourceDrop { .. } => self.core_funcs += 1,
            _ => return Err("it has resources of its own, tasks or threads".into()),
        }
        Ok(())
    }

    /// Counts what an import, an export or an alias adds to an index space.
    fn define(&mut self, kind: ComponentExternalKind) -> Result<(), Reason> {
        match kind {
            ComponentExternalKind::Func => self.funcs += 1,
            ComponentExternalKind::Type => self.types += 1,
            ComponentExternalKind::Instance => {}
            _ => return Err("it imports, exports or renames something of an unknown kind".into()),
        }
        Ok(())
    }
}

fn lift(core_func: u32, kind: u32, options: Vec<enc::CanonicalOption>) -> Result<Lift, Reason> {
    let allocator = |option: &enc::CanonicalOption| match option {
        enc::CanonicalOption::Realloc(function) => Some(*function),
        _ => None,
    };
    let realloc = options.iter().find_map(allocator).ok_or("`handle` has no allocator for its arguments")?;
    let options = options.into_iter().filter(|option| allocator(option).is_none()).collect();
    Ok(Lift { core_func, kind, realloc, options })
}

/// The options without the post-return function, if all of them are known.
fn plain(options: &[CanonicalOption]) -> Result<Vec<enc::CanonicalOption>, Reason> {
    let mut plain = Vec::new();
    for option in options {
        plain.push(match option {
            CanonicalOption::UTF8 => enc::CanonicalOption::UTF8,
            CanonicalOption::UTF16 => enc::CanonicalOption::UTF16,
            CanonicalOption::CompactUTF16 => enc::CanonicalOption::CompactUTF16,
            CanonicalOption::Memory(index) => enc::CanonicalOption::Memory(*index),
            CanonicalOption::Realloc(index) => enc::CanonicalOption::Realloc(*index),
            CanonicalOption::PostReturn(_) => continue,
            _ => return Err("a function is asynchronous or passes objects".into()),
        });
    }
    Ok(plain)
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

/// Encoded sections.
#[derive(Default)]
struct Appended(Vec<(u8, Vec<u8>)>);

impl Appended {
    fn section(&mut self, section: &impl enc::ComponentSection) {
        let mut data = Vec::new();
        section.encode(&mut data);
        // The size comes first, in LEB128.
        let size = data.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        self.0.push((section.id(), data.split_off(size)));
    }
}
