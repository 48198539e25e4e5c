//! Sizes of values in a memory, by the canonical ABI:
//! <https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md#element-size>.

use wasmparser::PrimitiveValType;
use wasmparser::component_types::{ComponentDefinedType, ComponentValType};
use wasmparser::types::TypesRef;

/// Size of the pointer and the length of a list or a text.
const RANGE: Layout = Layout { size: 8, align: 4 };
const HANDLE: Layout = scalar(4);

/// The size of a value of this type in bytes.
pub fn size(types: TypesRef<'_>, kind: &ComponentValType) -> u32 {
    u32::try_from(layout(types, kind).size).unwrap_or(u32::MAX)
}

/// Size and alignment in bytes. Sizes saturate: types of a component that is loaded fit its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    size: u64,
    align: u64,
}

const fn scalar(size: u64) -> Layout {
    Layout { size, align: size }
}

impl Layout {
    fn aligned(size: u64, align: u64) -> u64 {
        size.checked_next_multiple_of(align).unwrap_or(u64::MAX)
    }

    /// This one followed by another one.
    fn then(self, next: Self) -> Self {
        let size = Self::aligned(self.size, next.align).saturating_add(next.size);
        Self { size, align: self.align.max(next.align) }
    }

    /// With the padding behind it.
    fn padded(self) -> Self {
        Self { size: Self::aligned(self.size, self.align), ..self }
    }

    /// The space for one of two.
    fn or(self, other: Self) -> Self {
        Self { size: self.size.max(other.size), align: self.align.max(other.align) }
    }
}

fn layout(types: TypesRef<'_>, kind: &ComponentValType) -> Layout {
    let id = match kind {
        ComponentValType::Primitive(primitive) => return of_primitive(*primitive),
        ComponentValType::Type(id) => *id,
    };
    let of = |kind: &ComponentValType| layout(types, kind);
    match &types[id] {
        ComponentDefinedType::Primitive(primitive) => of_primitive(*primitive),
        ComponentDefinedType::Record(record) => sequence(record.fields.values().map(of)),
        ComponentDefinedType::Tuple(tuple) => sequence(tuple.types.iter().map(of)),
        ComponentDefinedType::List { .. } | ComponentDefinedType::Map { .. } => RANGE,
        ComponentDefinedType::FixedLengthList { element, length, .. } => {
            let element = of(element);
            Layout { size: element.size.saturating_mul(u64::from(*length)), ..element }
        }
        ComponentDefinedType::Flags(names) => flags(names.len()),
        ComponentDefinedType::Enum(names) => discriminant(names.len()),
        ComponentDefinedType::Variant(variant) => {
            let payloads = variant.cases.values().filter_map(|case| case.ty.as_ref());
            one_of(variant.cases.len(), payloads.map(of))
        }
        ComponentDefinedType::Option { ty, .. } => one_of(2, [of(ty)].into_iter()),
        ComponentDefinedType::Result { ok, err, .. } => one_of(2, ok.iter().chain(err).map(of)),
        ComponentDefinedType::Own(_)
        | ComponentDefinedType::Borrow(_)
        | ComponentDefinedType::Future { .. }
        | ComponentDefinedType::Stream { .. } => HANDLE,
    }
}

fn of_primitive(kind: PrimitiveValType) -> Layout {
    match kind {
        PrimitiveValType::Bool | PrimitiveValType::S8 | PrimitiveValType::U8 => scalar(1),
        PrimitiveValType::S16 | PrimitiveValType::U16 => scalar(2),
        PrimitiveValType::S32 | PrimitiveValType::U32 | PrimitiveValType::F32 | PrimitiveValType::Char => {
            scalar(4)
        }
        PrimitiveValType::S64 | PrimitiveValType::U64 | PrimitiveValType::F64 => scalar(8),
        PrimitiveValType::String => RANGE,
        PrimitiveValType::ErrorContext => HANDLE,
    }
}

fn sequence(parts: impl Iterator<Item = Layout>) -> Layout {
    parts.fold(Layout { size: 0, align: 1 }, Layout::then).padded()
}

fn one_of(cases: usize, payloads: impl Iterator<Item = Layout>) -> Layout {
    let payload = payloads.fold(Layout { size: 0, align: 1 }, Layout::or);
    discriminant(cases).then(payload).padded()
}

fn discriminant(cases: usize) -> Layout {
    match cases {
        ..=0x100 => scalar(1),
        0x101..=0x1_0000 => scalar(2),
        _ => scalar(4),
    }
}

fn flags(count: usize) -> Layout {
    match count {
        ..=8 => scalar(1),
        9..=16 => scalar(2),
        _ => Layout { size: (count as u64).div_ceil(32) * 4, align: 4 },
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::Validator;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_canonical_abi() {
        let many = |keyword: &str, count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("\"n{number}\"")).collect();
            format!("({keyword} {})", names.join(" "))
        };
        let cases = |count: usize, payload: &str| {
            let cases: Vec<String> =
                (0..count).map(|number| format!("(case \"n{number}\" {payload})")).collect();
            format!("(variant {})", cases.join(" "))
        };
        for (kind, expected) in [
            ("bool".into(), 1),
            ("s16".into(), 2),
            ("char".into(), 4),
            ("f64".into(), 8),
            ("string".into(), 8),
            ("(list u8)".into(), 8),
            ("(tuple u8 u64 u8)".into(), 24),
            ("(record (field \"a\" u8) (field \"b\" u16) (field \"c\" u8))".into(), 6),
            ("(record (field \"a\" string) (field \"b\" u8))".into(), 12),
            ("(option u8)".into(), 2),
            ("(option u64)".into(), 16),
            ("(option string)".into(), 12),
            ("(result)".into(), 1),
            ("(result u16 (error string))".into(), 12),
            (many("enum", 256), 1),
            (many("enum", 257), 2),
            (many("flags", 8), 1),
            (many("flags", 9), 2),
            (many("flags", 17), 4),
            (cases(3, "u8"), 2),
            (cases(257, "u16"), 4),
            (cases(2, "u64"), 16),
        ] {
            let text = format!("(component (type (func (param \"a\" u8))) (type {kind}))");
            let bytes = wat::parse_str(text).expect("a component");
            let types = Validator::new().validate_all(&bytes).expect("it is valid");
            let types = types.as_ref();
            let kind_of = ComponentValType::Type(types.component_defined_type_at(1));
            assert_eq!(size(types, &kind_of), expected, "{kind}");
        }
    }
}
