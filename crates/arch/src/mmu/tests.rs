//! Translation against tables built in guest memory.

mod hash;
mod radix;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use isa::Level;
use mem::{Access, GuestRam};

use super::{MmuCache, Translation, translate};
use crate::hpt::Hpt;
use crate::time::Timebase;
use crate::{CpuState, Fault, Shared, Vector, msr};

/// A partition of 16 MiB and one processor with relocation on.
struct Machine {
    sh: Shared,
    st: Box<CpuState>,
    cache: MmuCache,
}

impl Machine {
    fn new(level: Level, lpcr: u64) -> Self {
        let sh = Shared {
            ram: Arc::new(GuestRam::new(16 << 20).unwrap()),
            lpcr: AtomicU64::new(lpcr),
            prtb: AtomicU64::new(0),
            tb: Timebase::default(),
            vcpus: Vec::new(),
            invalidations: Default::default(),
            hpt: RwLock::new(None),
        };
        let mut st = CpuState::new(level, 0x004e_1202, 0);
        st.set_msr(msr::SF | msr::ME | msr::IR | msr::DR);
        Machine { sh, st, cache: MmuCache::new(0) }
    }

    fn go(&mut self, ea: u64, access: Access) -> Result<Translation, Fault> {
        translate(&self.st, &self.sh, &mut self.cache, ea, access)
    }

    fn problem_state(&mut self, on: bool) {
        let m = self.st.msr;
        self.st.set_msr(if on { m | msr::PR } else { m & !msr::PR });
    }

    fn dsi(&mut self, ea: u64, access: Access) -> u32 {
        let f = self.go(ea, access).unwrap_err();
        assert_eq!((f.vector, f.dar, f.srr1), (Vector::Dsi, Some(ea), 0));
        f.dsisr.unwrap()
    }

    fn isi(&mut self, ea: u64) -> u64 {
        let f = self.go(ea, Access::Exec).unwrap_err();
        assert_eq!((f.vector, f.dar, f.dsisr), (Vector::Isi, None, None));
        f.srr1
    }

    fn segment(&mut self, ea: u64) {
        let data = Fault { vector: Vector::DataSegment, srr1: 0, dar: Some(ea), dsisr: None };
        assert_eq!(self.go(ea, Access::Read), Err(data));
        assert_eq!(self.go(ea, Access::Write), Err(data));
        assert_eq!(self.go(ea, Access::Exec), Err(Fault::plain(Vector::InstructionSegment)));
    }
}

#[test]
fn real_mode_ignores_the_top_four_bits() {
    let mut m = Machine::new(Level::V3_0, 0);
    m.st.set_msr(msr::SF | msr::ME);
    for access in [Access::Read, Access::Write, Access::Exec] {
        let t = m.go(0xc000_0000_0123_4567, access).unwrap();
        assert_eq!(t.ra, 0x0123_4567);
        assert!(t.read && t.write && t.exec && !t.ci);
        assert_eq!(t.key, None);
        assert_eq!(m.go(u64::MAX, access).unwrap().ra, 0x0fff_ffff_ffff_ffff);
    }
}

#[test]
fn data_and_instructions_relocate_each_by_its_own_bit() {
    let mut m = Machine::new(Level::V3_0, msr::lpcr::HR | msr::lpcr::UPRT);
    m.st.set_msr(msr::SF | msr::DR);
    assert_eq!(m.go(0x1000, Access::Exec).unwrap().ra, 0x1000);
    assert_eq!(m.dsi(0x1000, Access::Read), 0x4000_0000);
    m.st.set_msr(msr::SF | msr::IR);
    assert_eq!(m.go(0x1000, Access::Read).unwrap().ra, 0x1000);
    assert_eq!(m.isi(0x1000), 0x4000_0000);
    m.sh.prtb.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(m.isi(0x1000), 0x4002_0000);
}

/// Random tables, registers and addresses: an answer always, and memory never touched outside.
#[test]
fn hostile_tables() {
    let mut x = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let mut m = Machine::new(Level::V3_1, 0);
    Hpt::replace(&m.sh.hpt, Some(Arc::new(Hpt::new(18).unwrap())));
    let hpt = m.sh.hpt.read().unwrap().clone().unwrap();
    let mut answers = [0u32; 5];
    for round in 0..40_000u64 {
        // Directories that point to each other, somewhere in 64 KiB or anywhere, with any geometry.
        for _ in 0..if round == 0 { 40_000 } else { 4 } {
            let r = random();
            let near = (1 << 63) | 0x4000_0000_0000_00ff & r | random() & 0xff00;
            m.sh.ram.write_u64_be(random() & 0xfff8, if r & 31 == 0 { r } else { near }).unwrap();
            let h = random() >> (random() & 63) | random() & pteh_bits();
            let _ = hpt.enter(&m.sh.ram, random(), random() & 0xff, h, random() & 0xff_ffff | 0x10);
            crate::mmu::slb::slbmte(&mut m.st, random() & !0xfc0, random() >> (random() & 63));
        }
        m.sh.prtb.store(if round & 7 == 0 { random() } else { random() & 0xf01f }, Ordering::Relaxed);
        m.sh.lpcr.store(if round & 1 == 0 { msr::lpcr::HR } else { 0 }, Ordering::Relaxed);
        m.st.pidr = random() >> (random() & 63);
        (m.st.amr, m.st.iamr) = (random(), random());
        m.problem_state(random() & 1 == 0);
        for access in [Access::Read, Access::Write, Access::Exec] {
            let ea = match random() & 3 {
                0 => random(),
                1 => m.st.slb[random() as usize & 31].esid,
                _ => random() >> (random() & 63),
            };
            let n = match m.go(ea, access) {
                Ok(t) => {
                    assert_eq!(t.ra & 0xfff, ea & 0xfff);
                    assert!(match access {
                        Access::Read => t.read,
                        Access::Write => t.write,
                        Access::Exec => t.exec,
                    });
                    0
                }
                Err(f) => match f.vector {
                    Vector::Dsi => 1,
                    Vector::Isi => 2,
                    Vector::DataSegment => 3,
                    Vector::InstructionSegment => 4,
                    v => panic!("{v:?}"),
                },
            };
            answers[n] += 1;
        }
        if round & 0xfff == 0 {
            hpt.clear_all();
        }
    }
    assert!(answers.iter().all(|&n| n > 100), "{answers:?}");
}

fn pteh_bits() -> u64 {
    use crate::hpt::pteh;
    pteh::L | pteh::H | pteh::BOLTED
}
