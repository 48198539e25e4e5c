//! Write barriers: a module notes which parts of its memory it writes.
//!
//! The memory is divided into cards. A card table, which is a memory of its own, has a byte for each of them. Code that
//! writes sets the byte of the card in which the write begins; how far a write of fixed size may reach into the next
//! card is [`REACH`]. All modules that have the memory share its table. The embedder writes, too: see [`crate::results`].

use wasm_encoder as enc;
use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasmparser::{FunctionBody, Operator};

use crate::MAX_PAGES;
use crate::operators::{Write, write};
use crate::reason::{Reason, of_encoder};

/// Bits of the size of a card, 1 KiB. Other sizes have not been measured.
pub const CARD: u32 = 10;
/// Cards of a page of 64 KiB, as bits.
pub const CARDS_OF_PAGE: u32 = 16 - CARD;
/// The bytes of a card's end and of what a write that begins in the card may reach.
pub const REACH: u32 = 16;
/// Cards beyond the largest memory count as others. They are in a memory that has grown, which is not restored.
const MASK: u32 = (1 << (MAX_PAGES.ilog2() + CARDS_OF_PAGE)) - 1;
const _: () = assert!(MAX_PAGES.is_power_of_two());

/// Where a module notes its writes.
#[derive(Clone, Copy)]
pub struct Cards {
    /// The memory with the card table.
    pub table: u32,
    /// The function of [`Cards::mark`].
    pub mark: u32,
}

/// Further locals of a function, from the first one: addresses and values of a write.
struct Locals(u32);

impl Locals {
    const KINDS: [(u32, enc::ValType); 5] = [
        (3, enc::ValType::I32),
        (1, enc::ValType::I64),
        (1, enc::ValType::F32),
        (1, enc::ValType::F64),
        (1, enc::ValType::V128),
    ];

    fn address(&self) -> u32 {
        self.0
    }

    fn length(&self) -> u32 {
        self.0 + 2
    }

    /// For a value of this type.
    fn value(&self, kind: enc::ValType) -> u32 {
        self.0
            + match kind {
                enc::ValType::I64 => 3,
                enc::ValType::F32 => 4,
                enc::ValType::F64 => 5,
                enc::ValType::V128 => 6,
                _ => 1,
            }
    }
}

/// A function with this number of parameters, with barriers.
pub fn body(cards: Option<Cards>, body: &FunctionBody<'_>, parameters: u32) -> Result<enc::Function, Reason> {
    let mut kinds = Vec::new();
    let mut count = Some(parameters);
    for group in body.get_locals_reader()? {
        let (more, kind) = group?;
        count = count.and_then(|count| count.checked_add(more));
        kinds.push((more, RoundtripReencoder.val_type(kind).map_err(of_encoder)?));
    }
    let locals = Locals(count.ok_or("a function has too many locals")?);
    kinds.extend(Locals::KINDS);
    let mut function = enc::Function::new(kinds);
    for operator in body.get_operators_reader()? {
        let operator = operator?;
        match (write(&operator), cards) {
            (Some(write), Some(cards)) => cards.barrier(operator, &write, &locals, &mut function)?,
            (Some(_), None) => return Err("a module writes to a memory that it does not have".into()),
            (None, _) => {
                function.instruction(&RoundtripReencoder.instruction(operator).map_err(of_encoder)?);
            }
        }
    }
    Ok(function)
}

impl Cards {
    /// An operator that writes, and what marks its cards.
    fn barrier(
        self,
        operator: Operator<'_>,
        write: &Write,
        locals: &Locals,
        function: &mut enc::Function,
    ) -> Result<(), Reason> {
        let mut code = function.instructions();
        let address = locals.address();
        let value = match write {
            Write::Store { kind, .. } => locals.value(*kind),
            Write::Range => {
                code.local_set(locals.length());
                locals.value(enc::ValType::I32)
            }
        };
        code.local_set(value).local_tee(address).local_get(value);
        if matches!(write, Write::Range) {
            code.local_get(locals.length());
        }
        function.instruction(&RoundtripReencoder.instruction(operator).map_err(of_encoder)?);
        // Behind the write, which ends the call if the address is invalid.
        let mut code = function.instructions();
        code.local_get(address);
        match write {
            Write::Store { offset, .. } => {
                if *offset > 0 {
                    code.i32_const(offset.cast_signed()).i32_add();
                }
                set_card(&mut code, self.table);
            }
            Write::Range => _ = code.local_get(locals.length()).call(self.mark),
        }
        Ok(())
    }

    /// The function `mark`: marks the cards of a range that was written, given its address and its length.
    pub fn mark(self) -> enc::Function {
        const ADDRESS: u32 = 0;
        const LENGTH: u32 = 1;
        let mut function = enc::Function::new([]);
        let mut code = function.instructions();
        code.local_get(LENGTH).i32_eqz().if_(enc::BlockType::Empty).return_().end();
        // LENGTH becomes the number of cards behind that of the address.
        code.local_get(ADDRESS).local_get(LENGTH).i32_const(1).i32_sub().i32_add();
        code.i32_const(CARD.cast_signed()).i32_shr_u();
        code.local_get(ADDRESS).i32_const(CARD.cast_signed()).i32_shr_u().i32_sub().local_set(LENGTH);
        code.loop_(enc::BlockType::Empty).local_get(ADDRESS);
        set_card(&mut code, self.table);
        code.local_get(ADDRESS).i32_const(1 << CARD).i32_add().local_set(ADDRESS);
        code.local_get(LENGTH).if_(enc::BlockType::Empty);
        code.local_get(LENGTH).i32_const(1).i32_sub().local_set(LENGTH).br(1);
        code.end().end().end();
        function
    }
}

/// Marks the card of the address on the stack.
fn set_card(code: &mut enc::InstructionSink<'_>, table: u32) {
    code.i32_const(CARD.cast_signed()).i32_shr_u().i32_const(MASK.cast_signed()).i32_and().i32_const(1);
    code.i32_store8(enc::MemArg { offset: 0, align: 0, memory_index: table });
}
