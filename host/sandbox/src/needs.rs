//! What an instance of a component takes from the pool.

use serde::Serialize;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Instance, Parser,
    Payload,
};
use wasmtime::component::Component;

/// What one instance takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Instances of core modules.
    pub core_instances: u32,
    /// Memories; one of them may be the card table of the reset.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
}

impl Needs {
    /// What an instance of the compiled component takes. The core instances are those of the file.
    pub fn of(component: &Component, bytes: &[u8]) -> Self {
        let required = component.resources_required();
        Self {
            core_instances: core_instances(bytes),
            memories: required.as_ref().map_or(0, |required| required.num_memories),
            tables: required.as_ref().map_or(0, |required| required.num_tables),
        }
    }
}

/// A component, or a module inside of one, while it is read.
#[derive(Default)]
struct Open {
    core_instances: u32,
    /// The core instances of the components that it may instantiate, by their index.
    components: Vec<u32>,
    is_component: bool,
}

/// The core instances of a valid component, with those of the components inside.
fn core_instances(bytes: &[u8]) -> u32 {
    let mut open: Vec<Open> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return 0 };
        if let Payload::Version { encoding, .. } = &payload {
            open.push(Open { is_component: *encoding == wasmparser::Encoding::Component, ..Open::default() });
        } else if let Payload::End(_) = payload {
            let Some(ended) = open.pop() else { return 0 };
            match open.last_mut() {
                None => return ended.core_instances,
                Some(outer) if ended.is_component => outer.components.push(ended.core_instances),
                Some(_) => {}
            }
        } else if let Some(current) = open.last_mut() {
            current.section(payload);
        }
    }
    0
}

impl Open {
    fn section(&mut self, payload: Payload<'_>) {
        match payload {
            Payload::InstanceSection(reader) => {
                let made = |instance: &Instance<'_>| matches!(instance, Instance::Instantiate { .. });
                let made = reader.into_iter().flatten().filter(made).count();
                self.add(u32::try_from(made).unwrap_or(u32::MAX));
            }
            Payload::ComponentInstanceSection(reader) => {
                for instance in reader.into_iter().flatten() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance {
                        let inside = self.components.get(component_index as usize);
                        self.add(inside.copied().unwrap_or_default());
                    }
                }
            }
            Payload::ComponentImportSection(reader) => {
                let imported = reader.into_iter().flatten();
                let imported = imported.filter(|import| import.ty.kind() == ComponentExternalKind::Component);
                self.components.extend(imported.map(|_| 0));
            }
            Payload::ComponentAliasSection(reader) => {
                let is_component = |alias: &ComponentAlias<'_>| {
                    matches!(
                        alias,
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. }
                            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. }
                    )
                };
                let aliases = reader.into_iter().flatten().filter(is_component);
                self.components.extend(aliases.map(|_| 0));
            }
            _ => {}
        }
    }

    fn add(&mut self, core_instances: u32) {
        self.core_instances = self.core_instances.saturating_add(core_instances);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> u32 {
        core_instances(&wat::parse_str(text).expect("a component"))
    }

    #[test]
    fn core_instances_are_counted_in_nested_components() {
        let inner =
            "(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))";
        assert_eq!(count("(component)"), 0);
        assert_eq!(count(inner), 2);
        let twice = inner.replacen("(component", "(component $c", 1);
        let made = "(instance (instantiate $c))";
        assert_eq!(count(&format!("(component {twice} {made} {made})")), 4);
        assert_eq!(core_instances(b"no component"), 0);
    }
}
