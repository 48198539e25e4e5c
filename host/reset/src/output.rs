//! The rewritten component: its sections, and where what the component had before is in it.

use std::convert::Infallible;

use wasm_encoder as enc;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent};

/// The sections that are written, and how many modules, core instances and core functions they define.
#[derive(Default)]
pub struct Output {
    sections: Vec<(u8, Vec<u8>)>,
    /// Canonical functions that will be a section as soon as another one begins.
    canonicals: enc::CanonicalFunctionSection,
    modules: u32,
    instances: u32,
    functions: u32,
}

impl Output {
    /// The component.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_canonicals();
        let mut component = enc::Component::new();
        for (id, data) in &self.sections {
            component.section(&enc::RawSection { id: *id, data });
        }
        component.finish()
    }

    /// Adds a section as it is.
    pub fn raw(&mut self, id: u8, data: Vec<u8>) {
        self.end_canonicals();
        self.sections.push((id, data));
    }

    /// Adds a section whose definitions were counted.
    pub fn section(&mut self, section: &impl enc::ComponentSection) {
        let mut data = Vec::new();
        section.encode(&mut data);
        // The size comes first, in LEB128.
        let size = data.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        self.raw(section.id(), data.split_off(size));
    }

    /// The section to which canonical functions are added.
    pub fn canonicals(&mut self) -> &mut enc::CanonicalFunctionSection {
        &mut self.canonicals
    }

    fn end_canonicals(&mut self) {
        let canonicals = std::mem::take(&mut self.canonicals);
        if !canonicals.is_empty() {
            self.section(&canonicals);
        }
    }

    /// Counts a module, a core instance, a core function. Returns its number.
    pub fn next_module(&mut self) -> u32 {
        next(&mut self.modules)
    }

    pub fn next_instance(&mut self) -> u32 {
        next(&mut self.instances)
    }

    pub fn next_function(&mut self) -> u32 {
        next(&mut self.functions)
    }

    /// Adds a module. Returns its number.
    pub fn module(&mut self, module: &enc::Module) -> u32 {
        self.section(&enc::ModuleSection(module));
        self.next_module()
    }

    /// Instantiates a module with these instances by name. Returns the number of its instance.
    pub fn instantiate(&mut self, module: u32, arguments: &[(String, u32)]) -> u32 {
        let arguments =
            arguments.iter().map(|(name, instance)| (name.as_str(), enc::ModuleArg::Instance(*instance)));
        let mut instances = enc::InstanceSection::new();
        instances.instantiate(module, arguments);
        self.section(&instances);
        self.next_instance()
    }

    /// Adds an instance of these functions. Returns its number.
    pub fn group(&mut self, functions: &[(String, u32)]) -> u32 {
        let functions = functions.iter().map(|(name, index)| (name.as_str(), enc::ExportKind::Func, *index));
        let mut instances = enc::InstanceSection::new();
        instances.export_items(functions);
        self.section(&instances);
        self.next_instance()
    }

    /// Names a function of an instance. Returns its number.
    pub fn alias(&mut self, instance: u32, name: &str) -> u32 {
        let mut aliases = enc::ComponentAliasSection::new();
        aliases.alias(enc::Alias::CoreInstanceExport { instance, kind: enc::ExportKind::Func, name });
        self.section(&aliases);
        self.next_function()
    }
}

fn next(count: &mut u32) -> u32 {
    *count += 1;
    *count - 1
}

/// The numbers in the rewritten component by those of before.
#[derive(Default)]
pub struct Indices {
    pub modules: Vec<u32>,
    pub instances: Vec<u32>,
    pub functions: Vec<u32>,
}

/// A number of a valid component has been defined before it is used.
fn of(indices: &[u32], index: u32) -> u32 {
    usize::try_from(index).ok().and_then(|index| indices.get(index)).copied().unwrap_or(u32::MAX)
}

impl Reencode for Indices {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, Error<Infallible>> {
        Ok(of(&self.functions, index))
    }
}

impl ReencodeComponent for Indices {
    fn module_index(&mut self, index: u32) -> u32 {
        of(&self.modules, index)
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        of(&self.instances, index)
    }
}
