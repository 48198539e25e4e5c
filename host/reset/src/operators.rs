//! The operators after which an instance can be put back.

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
