//! The rows of all chapters, joined: [`Op`], [`ROWS`] and [`exec`] come from the same list.

use crate::{Builder, Enc, Insn, Level};

/// One defined instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its operation.
    pub op: Op,
    /// Mnemonic without the suffixes `.` and `o` that Rc and OE add.
    pub mnemonic: &'static str,
    /// Encoding.
    pub enc: Enc,
    /// First ISA version that has it.
    pub since: Level,
    /// Operands in assembler order, as field names of the manual.
    pub operands: &'static str,
    /// The chapter (file) it stands in.
    pub chapter: &'static str,
}

/// Chapters are passed through each chapter's row macro in turn, collecting their rows.
macro_rules! chain {
    ([$next:ident $($rest:ident)*] {$($acc:tt)*}) => { $next!{ chain [$($rest)*] {$($acc)*} } };
}

macro_rules! build {
    (chain [] { $($chapter:ident {
        $($op:ident $mnem:literal $form:ident ( $($arg:expr),* ) $since:ident $operands:literal $f:ident ;)*
    })* }) => {
        /// Every defined instruction; `Undecoded` and `Invalid` are marks of the decoder.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum Op {
            #[default]
            Undecoded,
            Invalid,
            $($($op,)*)*
        }

        /// All rows, in the order of [`Op`] from `Op(2)` on.
        pub static ROWS: &[Row] = &[
            $($(Row {
                op: Op::$op,
                mnemonic: $mnem,
                enc: crate::encoding::$form($($arg),*),
                since: Level::$since,
                operands: $operands,
                chapter: stringify!($chapter),
            },)*)*
        ];

        /// Run (or translate) one instruction.
        #[inline(always)]
        pub fn exec<B: Builder>(op: Op, b: &mut B, i: Insn) -> Result<(), B::Stop> {
            match op {
                Op::Undecoded | Op::Invalid => b.illegal(),
                $($(Op::$op => crate::$chapter::$f(b, i),)*)*
            }
        }
    };
}

use crate::cr_spr::cr_spr_rows;
use crate::dfp::dfp_rows;
use crate::fixed::fixed_rows;
use crate::load_store::load_store_rows;
use crate::system::system_rows;
use crate::{branch::branch_rows, fp::fp_rows, vmx_fp::vmx_fp_rows, vsx_fp::vsx_fp_rows};
use crate::{mma::mma_rows, vmx::vmx_rows, vmx_bits::vmx_bits_rows, vmx_int::vmx_int_rows, vsx::vsx_rows};

chain! {
    [branch_rows fixed_rows load_store_rows cr_spr_rows system_rows fp_rows dfp_rows vsx_fp_rows vmx_fp_rows
     vmx_rows vmx_int_rows vmx_bits_rows vsx_rows mma_rows build]
    {}
}

impl Op {
    /// The row of this operation; `None` for `Undecoded` and `Invalid`.
    pub fn row(self) -> Option<&'static Row> {
        (self as usize).checked_sub(2).and_then(|n| ROWS.get(n))
    }
}
