//! Canonical functions, through which the embedder and the component call each other: where the embedder writes to the
//! memory.

use wasm_encoder as enc;
use wasm_encoder::reencode::{Reencode as _, ReencodeComponent as _, RoundtripReencoder};
use wasmparser::{CanonicalFunction, CanonicalOption};

use super::{Component, count};
use crate::layout;
use crate::module::MARK;
use crate::reason::{Reason, of_encoder};
use crate::results::{self, Lowered};

/// The canonical definition of `handle`.
pub(super) struct Lift {
    pub(super) core_func: u32,
    pub(super) kind: u32,
    /// The allocator for its arguments.
    pub(super) realloc: u32,
    /// All options but the allocator and the post-return function.
    pub(super) options: Vec<enc::CanonicalOption>,
}

impl Component<'_> {
    pub(super) fn canonical(&mut self, function: CanonicalFunction) -> Result<(), Reason> {
        match function {
            CanonicalFunction::Lift { core_func_index: core_func, type_index: kind, ref options } => {
                let plain = plain(options)?;
                self.function(core_func)?;
                if self.handle == Some(core_func) {
                    self.lift = Some(lift(core_func, kind, plain)?);
                }
                self.funcs += 1;
                let section = self.out.canonicals();
                self.indices.parse_component_canonical(section, function).map_err(of_encoder)?;
            }
            CanonicalFunction::Lower { func_index, options } => self.lower(func_index, &options)?,
            CanonicalFunction::ResourceDrop { resource } => {
                self.out.canonicals().resource_drop(resource);
                self.add_function();
            }
            _ => return Err("it has resources of its own, tasks or threads".into()),
        }
        Ok(())
    }

    /// A function of the embedder. What it returns in the memory will be marked.
    fn lower(&mut self, func: u32, options: &[CanonicalOption]) -> Result<(), Reason> {
        let mut plain = plain(options)?;
        for option in &mut plain {
            if let enc::CanonicalOption::Realloc(realloc) = option {
                *realloc = self.allocator(*realloc)?;
            }
        }
        self.out.canonicals().lower(func, plain);
        let original = count(self.indices.functions.len())?;
        let index = self.add_function();
        let kind = &self.types[self.types.component_function_at(func)];
        let core = self.types[self.types.core_function_at(original)].unwrap_func();
        if let Some(result) = kind.result.filter(|_| core.results().is_empty()) {
            let parameters = core.params().iter().map(|kind| RoundtripReencoder.val_type(*kind));
            let parameters = parameters.collect::<Result<_, _>>().map_err(of_encoder)?;
            let size = layout::size(self.types, &result);
            self.lowered.push(Lowered { original, index, parameters, size });
        }
        Ok(())
    }

    /// Puts functions that mark their results in the place of those that do not.
    pub(super) fn mark_results(&mut self) -> Result<(), Reason> {
        if self.lowered.is_empty() {
            return Ok(());
        }
        let lowered = std::mem::take(&mut self.lowered);
        let module = self.out.module(&results::results(&lowered));
        let mut imported = vec![(results::MARK.to_owned(), self.mark()?)];
        imported.extend(
            (0..).zip(&lowered).map(|(number, function): (u32, _)| (number.to_string(), function.index)),
        );
        let imported = self.out.group(&imported);
        let instance = self.out.instantiate(module, &[(results::FROM.to_owned(), imported)]);
        for (number, function) in (0_u32..).zip(&lowered) {
            let marking = self.out.alias(instance, &number.to_string());
            let original = usize::try_from(function.original).ok();
            if let Some(index) = original.and_then(|original| self.indices.functions.get_mut(original)) {
                *index = marking;
            }
        }
        Ok(())
    }

    /// The number of an allocator that marks what it returns, by the number of one that does not.
    pub(super) fn allocator(&mut self, realloc: u32) -> Result<u32, Reason> {
        if let Some(marking) = self.allocators.get(&realloc) {
            return Ok(*marking);
        }
        let imported = [
            (results::MARK.to_owned(), self.mark()?),
            (results::REALLOC.to_owned(), self.function(realloc)?),
        ];
        let module = self.out.module(&results::allocator());
        let imported = self.out.group(&imported);
        let instance = self.out.instantiate(module, &[(results::FROM.to_owned(), imported)]);
        let marking = self.out.alias(instance, results::REALLOC);
        self.allocators.insert(realloc, marking);
        Ok(marking)
    }

    fn mark(&mut self) -> Result<u32, Reason> {
        let owner = self.owner.ok_or("its memory is not its own")?;
        let mark = match self.mark {
            Some(mark) => mark,
            None => self.out.alias(owner, MARK),
        };
        self.mark = Some(mark);
        Ok(mark)
    }

    /// The number in the rewritten component of a core function, with marks.
    pub(super) fn function(&mut self, original: u32) -> Result<u32, Reason> {
        if self.lowered.iter().any(|lowered| lowered.original == original) {
            self.mark_results()?;
        }
        self.indices.function_index(original).map_err(of_encoder)
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
