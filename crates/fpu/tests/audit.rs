//! The registers that `isa::audit` says an instruction touches are all that it touches.

use std::cell::Cell;

use fpu::FpRegs;
use isa::{Insn, Level, Mode, audit::Regs};

/// Registers that note which of them are used.
struct Noted {
    vsr: [u128; 64],
    fpscr: u64,
    read: Cell<Regs>,
    write: Regs,
}

impl Noted {
    fn note(&self, r: Regs) {
        self.read.set(self.read.get().union(r));
    }
}

const FPSCR: Regs = Regs { fpscr: true, ..Regs::NONE };
const VSCR: Regs = Regs { vscr: true, ..Regs::NONE };

impl FpRegs for Noted {
    fn vsr(&self, n: usize) -> u128 {
        self.note(Regs::vsrs(n as u32, 1));
        self.vsr[n]
    }
    fn set_vsr(&mut self, n: usize, v: u128) {
        self.write = self.write.union(Regs::vsrs(n as u32, 1));
        self.vsr[n] = v;
    }
    fn fpscr(&self) -> u64 {
        self.note(FPSCR);
        self.fpscr
    }
    fn set_fpscr(&mut self, v: u64) {
        self.write = self.write.union(FPSCR);
        self.fpscr = v;
    }
    fn set_cr_field(&mut self, n: u32, _: u8) {
        self.write = self.write.union(Regs::cr_field(n));
    }
    fn vscr(&self) -> u32 {
        self.note(VSCR);
        0
    }
    fn set_vscr(&mut self, _: u32) {
        self.write = self.write.union(VSCR);
    }
    fn msr_fe(&self) -> bool {
        true
    }
}

#[test]
fn no_register_beyond_the_audit() {
    let mut state = 11u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    let mode =
        Mode { sf: true, le: true, pr: true, fp: true, vec: true, vsx: true, fe: true, level: Level::V3_1 };
    let mut seen = 0;
    for row in isa::ROWS {
        let mut met = false;
        for _ in 0..500 {
            let raw = row.enc.value | next() as u32 & !row.enc.mask;
            let i = if row.enc.pmask != 0 {
                Insn::prefixed(row.enc.pvalue | next() as u32 & !row.enc.pmask, raw)
            } else {
                Insn::new(raw)
            };
            let t = isa::audit::audit(row.op, i, mode);
            let Some(f) = t.fp else { continue };
            met = true;
            let mut r = Noted { vsr: [0; 64], fpscr: 0, read: Cell::default(), write: Regs::NONE };
            for v in &mut r.vsr {
                *v = (next() as u128) << 64 | next() as u128;
                if next() & 3 == 0 {
                    *v |= 0x7ff0 << 112 | 0x7f80 << 48;
                }
            }
            // Half the time without enabled exceptions, so that targets are written.
            r.fpscr =
                fpu::fpscr::summarize(next() & 0x7_0000_00ff & if next() & 1 != 0 { !0 } else { !0xf8 });
            let _ = fpu::exec(&mut r, f);
            let read = r.read.get();
            assert!(t.read.contains(read), "{} {i:x?} {f:?}: {read:?} not in {:?}", row.mnemonic, t.read);
            assert!(
                t.write.contains(r.write),
                "{} {i:x?} {f:?}: {:?} not in {:?}",
                row.mnemonic,
                r.write,
                t.write
            );
        }
        seen += met as u32;
    }
    assert!(seen > 250, "{seen}");
}
