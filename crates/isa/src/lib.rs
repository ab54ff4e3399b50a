//! What Power instructions are and do.
//!
//! One file per chapter of the manual, each holding its table rows and its semantics: `branch`, `fixed`,
//! `load_store`, `cr_spr`, `system`, `fp`, `dfp`, `vsx_fp`, `vmx_fp`, `vmx`, `vmx_int`, `vmx_bits`, `vsx`, `mma`. The rows of all
//! chapters make [`Op`], [`ROWS`], the decoder ([`decode`]) and [`exec`]; there is no other list of instructions.
//!
//! Semantics are generic over [`Builder`]; [`audit`] tells what an instruction touches, [`mod@disasm`] prints it. This crate
//! has no dependency and no unsafe code.
#![forbid(unsafe_code)]

pub mod audit;
pub mod builder;
pub mod encoding;
pub mod fp;
mod helper;
mod insn;
pub mod rare;
pub mod wide;

pub mod branch;
pub mod cr_spr;
pub mod dfp;
pub mod disasm;
pub mod fixed;
pub mod load_store;
pub mod mma;
pub mod system;
pub mod vmx;
pub mod vmx_bits;
pub mod vmx_fp;
pub mod vmx_int;
pub mod vsx;
pub mod vsx_fp;

mod decode;
mod table;

pub use builder::{Acc, Barrier, Builder, CarryIn, Facility, Lane, Level, Mode, Op1, Op2, Program, Rel};
pub use decode::decode;
pub use disasm::disasm;
pub use encoding::Enc;
pub use helper::Helper;
pub use insn::Insn;
pub use table::{Op, ROWS, Row, exec};
