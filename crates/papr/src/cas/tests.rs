use std::sync::atomic::Ordering;

use super::*;
use crate::config::{IrqChoice, MmuChoice};
use crate::testing::{TestPlatform, config};

const POWER8: u32 = 0x0f00_0004;
const POWER9: u32 = 0x0f00_0005;
const POWER10: u32 = 0x0f00_0006;

/// What a client sends that supports these versions and asks for this in bytes 23, 24 and 26 of vector 5.
fn client(pvrs: &[u32], xive: u8, mmu: u8, radix: u8) -> Vec<u8> {
    let mut v = Vec::new();
    for &p in pvrs {
        v.extend_from_slice(&u32::MAX.to_be_bytes());
        v.extend_from_slice(&p.to_be_bytes());
    }
    v.extend_from_slice(&0xffff_fffe_u32.to_be_bytes());
    v.extend_from_slice(&0x0f00_0001_u32.to_be_bytes());
    v.extend_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut v5 = [0; 26];
    for (byte, value) in [(2, 0xf3), (5, 0xe0), (6, 0x05), (17, 0xe0), (21, 1), (22, 0xc0)] {
        v5[byte - 1] = value;
    }
    (v5[22], v5[23], v5[25]) = (xive, mmu, radix);
    v.push(25);
    v.extend_from_slice(&v5);
    v
}

struct Machine(TestPlatform, DeviceTree);

impl Machine {
    fn new(config: PartitionConfig) -> Self {
        let p = TestPlatform::new(config);
        let tree = fdt::build(&fdt::TreeInput {
            config: &p.config,
            agreement: &p.papr.agreement(),
            intc: &p.intc,
            terminals: &p.terminals,
            nvram: &p.nvram,
            vio: &p.vio,
            phb: None,
            bootargs: "",
            initrd: None,
            boot_kernel: None,
            rtas_base: None,
            rng_seed: &[],
        });
        Machine(p, tree)
    }

    fn cas(&mut self, vectors: &[u8]) -> Option<Agreement> {
        match negotiate(&self.0, &mut self.1, vectors) {
            CasOutcome::Accepted => Some(self.0.papr.agreement()),
            CasOutcome::Rejected => None,
        }
    }

    fn has_hpt(&self) -> bool {
        self.0.shared.hpt.read().unwrap().is_some()
    }

    fn is_radix(&self) -> bool {
        self.0.shared.lpcr.load(Ordering::SeqCst) & lpcr::HR != 0
    }
}

const POWER7: u32 = 0x0f00_0003;
const ALL: [u32; 3] = [POWER10, POWER9, POWER8];

#[test]
fn the_best_common_level() {
    for (model, compat, asked, level) in [
        ("power10", None, &ALL[..], POWER10),
        ("power10", Some("power9"), &ALL[..], POWER9),
        ("power10", None, &[0x0f00_0007, POWER10, POWER9][..], POWER10),
        ("power11", None, &[0x0f00_0007, POWER10, POWER9][..], 0x0f00_0007),
        ("power11", None, &ALL[..], POWER10),
        ("power11", Some("power10"), &[0x0f00_0007, POWER10][..], POWER10),
        ("power11", Some("power9"), &[0x0f00_0007, POWER10, POWER9][..], POWER9),
        ("power10", None, &[POWER9, POWER8][..], POWER9),
        ("power9", None, &ALL[..], POWER9),
        ("power9", None, &[POWER8][..], POWER8),
        ("power8", None, &ALL[..], POWER8),
        ("power8", None, &[0x004d_0200][..], 0x004d_0200),
        ("power8", Some("power7"), &[POWER8, POWER7][..], POWER7),
        ("power9", None, &[POWER7][..], POWER7),
        ("power10", Some("power7+"), &[POWER10, POWER7][..], POWER7),
        ("power7", None, &[POWER8, POWER7][..], POWER7),
        ("power7+", None, &[0x004a_0201][..], 0x004a_0201),
    ] {
        let mut c = config(model);
        c.compat = compat.and_then(arch::Model::by_name);
        let mut m = Machine::new(c);
        let a = m.cas(&client(asked, 0x80, 0x80, 0x40)).unwrap();
        assert_eq!((a.logical_pvr, a.cpu_version), (level, level), "{model} {compat:?} {asked:x?}");
        assert_eq!(m.0.papr.level(), level_of(level));
        let cpu = m.1.find(&format!("/cpus/PowerPC,{}", m.0.config.model.tree_name)).unwrap();
        assert_eq!(m.1.prop_u32(cpu, "cpu-version"), Some(level));
        assert_eq!(m.1.prop(cpu, "ibm,dec-bits").is_some(), level_of(level) >= Level::V3_0);
        // Before ISA 3.0 there is neither radix nor XIVE.
        let new = level_of(level) >= Level::V3_0;
        assert_eq!((a.radix, a.xive, m.has_hpt()), (new, new, !new));
    }
    let mut c = config("power10");
    c.compat = arch::Model::by_name("power9");
    assert_eq!(Machine::new(c).cas(&client(&[0x0080_0200], 0, 0, 0)), None, "held to POWER9");
    assert_eq!(Machine::new(config("power9")).cas(&client(&[0x0f00_0002], 0, 0, 0)), None);
}

#[test]
fn translation_and_interrupts_as_asked() {
    let mut m = Machine::new(config("power9"));
    let a = m.cas(&client(&ALL, 0x40, 0x40, 0x40)).unwrap();
    assert_eq!((a.radix, a.xive, m.is_radix(), m.has_hpt()), (true, true, true, false));
    assert_eq!((a.vec5[0], a.vec5[23], a.vec5[24], a.vec5[26], a.vec5[6]), (25, 0x40, 0x40, 0x40, 0));
    assert_eq!(m.0.intc.mode(), IrqMode::Xive);
    let chosen = m.1.find("/chosen").unwrap();
    assert_eq!(m.1.prop(chosen, "ibm,architecture-vec-5"), Some(&a.vec5[..]));
    assert!(m.1.find("/interrupt-controller@60302031b0000").is_some());
    // The next client wants otherwise.
    let a = m.cas(&client(&ALL, 0, 0, 0)).unwrap();
    assert_eq!((a.radix, a.xive, m.is_radix(), m.has_hpt(), a.rounds), (false, false, false, true, 2));
    assert_eq!((a.vec5[23], a.vec5[24], a.vec5[26], a.vec5[6]), (0, 0, 0, 1));
    assert!(m.1.find("/interrupt-controller@60302031b0000").is_none());
    assert_eq!(m.1.prop_str(m.1.find("/interrupt-controller").unwrap(), "compatible"), Some("IBM,ppc-xicp"));
    // What was not asked for is not granted.
    assert_eq!(a.vec5[22], 0);
    let a = m.cas(&client(&ALL, 0x40, 0x40, 0)).unwrap();
    assert_eq!((a.radix, a.vec5[26]), (true, 0));
    assert_eq!(m.0.shared.lpcr.load(Ordering::SeqCst) & (lpcr::GTSE | lpcr::UPRT), 0);
}

#[test]
fn what_the_user_wants_limits_it() {
    let with = |mmu, irqchip| {
        let mut c = config("power9");
        (c.mmu, c.irqchip) = (mmu, irqchip);
        Machine::new(c)
    };
    let either = client(&ALL, 0x80, 0x80, 0x40);
    let (radix, hash) = (client(&ALL, 0x40, 0x40, 0x40), client(&ALL, 0, 0, 0));
    let outcome = |mut m: Machine, v: &[u8]| m.cas(v).map(|a| (a.radix, a.xive));
    assert_eq!(outcome(with(MmuChoice::Hash, IrqChoice::Xics), &either), Some((false, false)));
    assert_eq!(outcome(with(MmuChoice::Radix, IrqChoice::Xive), &either), Some((true, true)));
    assert_eq!(outcome(with(MmuChoice::Radix, IrqChoice::Xive), &radix), Some((true, true)));
    assert_eq!(outcome(with(MmuChoice::Hash, IrqChoice::Dual), &radix), None, "radix or nothing");
    assert_eq!(outcome(with(MmuChoice::Radix, IrqChoice::Dual), &hash), None);
    assert_eq!(outcome(with(MmuChoice::Any, IrqChoice::Xive), &hash), None);
    // A machine without the new ones has the old ones, whatever was wanted.
    let mut c = config("power8");
    (c.mmu, c.irqchip) = (MmuChoice::Radix, IrqChoice::Xive);
    assert_eq!(outcome(Machine::new(c), &hash), Some((false, false)));
    for (m, offered) in [
        (with(MmuChoice::Any, IrqChoice::Dual), [0x80, 0xc0, 0, 0x40]),
        (with(MmuChoice::Radix, IrqChoice::Xive), [0x40, 0x40, 0, 0x40]),
        (with(MmuChoice::Hash, IrqChoice::Xics), [0, 0, 0, 0]),
    ] {
        let support = m.1.prop(m.1.find("/chosen").unwrap(), "ibm,arch-vec-5-platform-support").unwrap();
        assert_eq!(support.chunks(2).map(|p| p[1]).collect::<Vec<_>>(), offered);
    }
}

#[test]
fn a_refusal_changes_nothing() {
    let mut m = Machine::new(config("power9"));
    let (before, tree) = (m.0.papr.save(), m.1.to_dts());
    for bad in [&[][..], &[0; 40][..], &client(&[0x0f00_0002], 0, 0, 0)[..], &client(&ALL, 0, 0, 0)[..30]] {
        assert_eq!(m.cas(bad), None);
    }
    assert_eq!((m.0.papr.save(), m.1.to_dts()), (before, tree));
}

#[test]
fn power_on_forgets_what_was_agreed() {
    let mut m = Machine::new(config("power9"));
    m.cas(&client(&[POWER8], 0, 0, 0)).unwrap();
    assert!(m.has_hpt());
    m.0.papr.reset(&m.0.config);
    power_on(&m.0).unwrap();
    assert_eq!(m.0.papr.agreement(), Agreement::before(&m.0.config));
    assert_eq!((m.has_hpt(), m.is_radix(), m.0.papr.level()), (false, true, Level::V3_0));
}

#[test]
fn table_size_follows_memory() {
    for (memory, shift) in [(64 << 20, 19), (16 << 20, 18), (1 << 30, 23), ((1 << 30) + 1, 24), (1 << 50, 34)]
    {
        let mut c = config("power8");
        c.memory = memory;
        assert_eq!(c.hpt_shift(), shift, "{memory:#x}");
    }
}

#[test]
fn random_clients_do_no_harm() {
    let mut rng = crate::testing::Rng(77);
    let mut m = Machine::new(config("power10"));
    for _ in 0..2_000 {
        let mut v = client(&ALL, 0x80, 0x80, 0x40);
        for _ in 0..rng.below(6) {
            let at = rng.below(v.len() as u64) as usize;
            v[at] = rng.next() as u8;
        }
        if let Some(a) = m.cas(&v) {
            assert_eq!((m.is_radix(), m.has_hpt(), m.0.intc.mode()), (a.radix, !a.radix, a.irq_mode()));
        }
    }
}
