//! The operators after which an instance can be put back.

use wasm_encoder::ValType;
use wasmparser::Operator;

/// Whether an operator changes nothing but locals, the memory and globals. This is a list of what is allowed, so that
/// an operator of a later proposal is not.
pub fn is_allowed(operator: &Operator<'_>) -> bool {
    is_of_allowed_proposal(operator)
        && !matches!(
            operator,
            Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. }
                | Operator::ElemDrop { .. }
                | Operator::DataDrop { .. }
        )
}

fn is_of_allowed_proposal(operator: &Operator<'_>) -> bool {
    macro_rules! match_operator {
        ($(@$proposal:ident $name:ident $({ $($argument:ident: $type:ty),* })? => $visit:ident ($($note:tt)*))*) => {
            match operator {
                $(Operator::$name { .. } => match_operator!(allow $proposal),)*
                _ => false,
            }
        };
        (allow mvp) => { true };
        (allow sign_extension) => { true };
        (allow saturating_float_to_int) => { true };
        (allow bulk_memory) => { true };
        (allow reference_types) => { true };
        (allow tail_call) => { true };
        (allow simd) => { true };
        (allow relaxed_simd) => { true };
        (allow $proposal:ident) => { false };
    }
    wasmparser::for_each_operator!(match_operator)
}

/// The part of the memory that an operator writes.
pub enum Write {
    /// At an address and this offset, a value of this type or a part of it. On the stack: address, value.
    Store {
        /// In bytes.
        offset: u32,
        /// The type of the value.
        kind: ValType,
    },
    /// A range. On the stack: its address, another value, its length.
    Range,
}

/// What an allowed operator writes to the memory.
pub fn write(operator: &Operator<'_>) -> Option<Write> {
    let (memory, kind) = match operator {
        Operator::I32Store { memarg } | Operator::I32Store8 { memarg } | Operator::I32Store16 { memarg } => {
            (memarg, ValType::I32)
        }
        Operator::I64Store { memarg }
        | Operator::I64Store8 { memarg }
        | Operator::I64Store16 { memarg }
        | Operator::I64Store32 { memarg } => (memarg, ValType::I64),
        Operator::F32Store { memarg } => (memarg, ValType::F32),
        Operator::F64Store { memarg } => (memarg, ValType::F64),
        Operator::V128Store { memarg }
        | Operator::V128Store8Lane { memarg, .. }
        | Operator::V128Store16Lane { memarg, .. }
        | Operator::V128Store32Lane { memarg, .. }
        | Operator::V128Store64Lane { memarg, .. } => (memarg, ValType::V128),
        Operator::MemoryInit { .. } | Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => {
            return Some(Write::Range);
        }
        _ => return None,
    };
    // Of a memory with 32-bit addresses; a larger offset is not valid.
    Some(Write::Store { offset: u32::try_from(memory.offset).unwrap_or(u32::MAX), kind })
}

#[cfg(test)]
mod tests {
    use wasmparser::MemArg;

    use super::*;

    /// The names of the operators of allowed proposals.
    fn allowed() -> Vec<&'static str> {
        macro_rules! names {
            ($(@$proposal:ident $name:ident $({ $($argument:ident: $type:ty),* })? => $visit:ident ($($note:tt)*))*) => {
                vec![$((stringify!($proposal), stringify!($name)),)*]
            };
        }
        let all: Vec<(&str, &str)> = wasmparser::for_each_operator!(names);
        let proposals = [
            "mvp",
            "sign_extension",
            "saturating_float_to_int",
            "bulk_memory",
            "reference_types",
            "tail_call",
            "simd",
            "relaxed_simd",
        ];
        all.into_iter().filter(|(proposal, _)| proposals.contains(proposal)).map(|(_, name)| name).collect()
    }

    #[test]
    fn every_operator_that_writes_to_the_memory_is_known() {
        let memarg = MemArg { align: 0, max_align: 0, offset: 7, memory: 0 };
        let known = [
            Operator::I32Store { memarg },
            Operator::I64Store { memarg },
            Operator::F32Store { memarg },
            Operator::F64Store { memarg },
            Operator::I32Store8 { memarg },
            Operator::I32Store16 { memarg },
            Operator::I64Store8 { memarg },
            Operator::I64Store16 { memarg },
            Operator::I64Store32 { memarg },
            Operator::V128Store { memarg },
            Operator::V128Store8Lane { memarg, lane: 0 },
            Operator::V128Store16Lane { memarg, lane: 0 },
            Operator::V128Store32Lane { memarg, lane: 0 },
            Operator::V128Store64Lane { memarg, lane: 0 },
            Operator::MemoryInit { data_index: 0, mem: 0 },
            Operator::MemoryCopy { dst_mem: 0, src_mem: 0 },
            Operator::MemoryFill { mem: 0 },
        ];
        let mut known: Vec<String> = known
            .iter()
            .map(|operator| {
                match write(operator) {
                    Some(Write::Store { offset, .. }) => assert_eq!(offset, 7),
                    Some(Write::Range) => {}
                    None => panic!("{operator:?} writes"),
                }
                let text = format!("{operator:?}");
                text.split(' ').next().unwrap_or_default().to_owned()
            })
            .collect();
        // Whatever these names are in a later version of wasmparser, a new one is noticed.
        let mut named: Vec<&str> = allowed()
            .into_iter()
            .filter(|name| name.contains("Store") || name.starts_with("Memory"))
            .filter(|name| !["MemorySize", "MemoryGrow"].contains(name))
            .collect();
        known.sort();
        named.sort_unstable();
        assert_eq!(known, named);
    }
}
