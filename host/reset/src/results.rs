//! Modules between a component and what the embedder writes to its memory: they mark the cards of results.
//!
//! The embedder writes in two places only: into what the guest's allocator returns, and to the pointer that a function
//! with a larger result gets as its last argument.

use wasm_encoder as enc;
use wasm_encoder::ValType;

/// The name from which these modules import everything.
pub const FROM: &str = "";
/// The imported function that marks a range, given its address and length.
pub const MARK: &str = "mark";
/// The imported allocator, and the exported one.
pub const REALLOC: &str = "realloc";

/// A function with its result in the memory.
pub struct Lowered {
    /// Its number among the functions of the component as it was.
    pub original: u32,
    /// Its number in the rewritten component.
    pub index: u32,
    /// The types of its arguments. The last one is the pointer to the result.
    pub parameters: Vec<ValType>,
    /// The size of the result in bytes.
    pub size: u32,
}

/// A module with the guest's allocator that marks what it returns.
pub fn allocator() -> enc::Module {
    const LENGTH: u32 = 3;
    const RESULT: u32 = 4;
    let mut types = enc::TypeSection::new();
    types.ty().function([ValType::I32; 2], []);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    let mut imports = enc::ImportSection::new();
    imports.import(FROM, MARK, enc::EntityType::Function(0));
    imports.import(FROM, REALLOC, enc::EntityType::Function(1));
    let mut function = enc::Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    (0..=LENGTH).for_each(|parameter| _ = code.local_get(parameter));
    code.call(1).local_tee(RESULT).local_get(LENGTH).call(0).local_get(RESULT).end();
    let mut functions = enc::FunctionSection::new();
    functions.function(1);
    let mut exports = enc::ExportSection::new();
    exports.export(REALLOC, enc::ExportKind::Func, 2);
    module(&types, &imports, &functions, &exports, &[function])
}

/// A module with these functions that mark their results. It imports and exports them by their number in the list.
pub fn results(lowered: &[Lowered]) -> enc::Module {
    let mut types = enc::TypeSection::new();
    types.ty().function([ValType::I32; 2], []);
    let mut imports = enc::ImportSection::new();
    imports.import(FROM, MARK, enc::EntityType::Function(0));
    let mut functions = enc::FunctionSection::new();
    let mut exports = enc::ExportSection::new();
    let mut bodies = Vec::new();
    let behind = u32::try_from(lowered.len()).unwrap_or(u32::MAX).saturating_add(1);
    for (number, function) in (0_u32..).zip(lowered) {
        let (kind, name) = (number + 1, number.to_string());
        types.ty().function(function.parameters.iter().copied(), []);
        imports.import(FROM, &name, enc::EntityType::Function(kind));
        functions.function(kind);
        exports.export(&name, enc::ExportKind::Func, behind + number);
        bodies.push(marking(function, kind));
    }
    module(&types, &imports, &functions, &exports, &bodies)
}

/// Calls the imported function, and marks its result.
fn marking(Lowered { parameters, size, .. }: &Lowered, import: u32) -> enc::Function {
    let mut function = enc::Function::new([]);
    let mut code = function.instructions();
    let count = u32::try_from(parameters.len()).unwrap_or(u32::MAX);
    (0..count).for_each(|parameter| _ = code.local_get(parameter));
    code.call(import).local_get(count.saturating_sub(1)).i32_const(size.cast_signed()).call(0).end();
    function
}

fn module(
    types: &enc::TypeSection,
    imports: &enc::ImportSection,
    functions: &enc::FunctionSection,
    exports: &enc::ExportSection,
    bodies: &[enc::Function],
) -> enc::Module {
    let mut code = enc::CodeSection::new();
    bodies.iter().for_each(|body| _ = code.function(body));
    let mut module = enc::Module::new();
    module.section(types).section(imports).section(functions).section(exports).section(&code);
    module
}
