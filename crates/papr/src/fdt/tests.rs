use std::path::Path;

use super::*;
use crate::config::{IrqChoice, MmuChoice};
use crate::testing::{TestPlatform, config};
use crate::{Platform, cas};

fn tree(p: &TestPlatform) -> DeviceTree {
    build(&TreeInput {
        config: p.config(),
        agreement: &p.papr.agreement(),
        intc: p.intc(),
        terminals: p.terminals(),
        nvram: p.nvram(),
        vio: p.vio(),
        phb: p.phb(),
        bootargs: "console=hvc0",
        initrd: Some((0x300_0000, 0x1234)),
        boot_kernel: None,
        rtas_base: None,
        rng_seed: &[7; 32],
    })
}

/// Compares with a file below `tests/golden`; with RHYP_BLESS=1 writes it instead.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
    if std::env::var_os("RHYP_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    for (n, (got, want)) in text.lines().zip(want.lines()).enumerate() {
        assert_eq!(got, want, "line {} of {name}; RHYP_BLESS=1 accepts the new tree", n + 1);
    }
    assert_eq!(text.lines().count(), want.lines().count(), "{name}; RHYP_BLESS=1 accepts the new tree");
}

#[test]
fn trees_at_power_on() {
    for (name, model) in [("power8", "power8"), ("power9", "power9"), ("power10", "power10")] {
        let p = TestPlatform::new(config(model));
        golden(&format!("device-tree-{name}.dts"), &tree(&p).to_dts());
    }
}

#[test]
fn trees_after_negotiation() {
    let mut hash = config("power10");
    (hash.mmu, hash.irqchip, hash.vcpus) = (MmuChoice::Hash, IrqChoice::Xics, 1);
    for (name, config) in [("power9-agreed", config("power9")), ("power10-hash-xics-agreed", hash)] {
        let p = TestPlatform::new(config);
        let mut t = tree(&p);
        assert_eq!(cas::assume(&p, &mut t), firmware::of_client::CasOutcome::Accepted);
        golden(&format!("device-tree-{name}.dts"), &t.to_dts());
    }
}

/// The features QEMU's machine of the same kind shows, transactional memory off.
#[test]
fn features() {
    let words = |level| -> Vec<u32> {
        let bytes = pa_features(level, true);
        bytes.chunks(4).map(|c| c.iter().fold(0, |v, &b| v << 8 | b as u32)).collect()
    };
    let p10 = words(Level::V3_1);
    assert_eq!(
        (p10.len(), p10[0], p10[10], p10[16], p10[17]),
        (19, 0x4a00_f63f, 0x8000, 0x8000_8000, 0xce00)
    );
    let p9 = words(Level::V3_0);
    assert_eq!((p9.len(), p9[0], p9[6], p9[16]), (17, 0x4200_f63f, 0x8000, 0x8000_0000));
    assert_eq!(words(Level::V2_07)[0], 0x1800_f63f);
    assert_eq!(pa_features(Level::V3_0, false)[2 + PA_RADIX], 0);
    for level in [Level::V2_07, Level::V3_0, Level::V3_1] {
        assert_eq!(pa_features(level, true)[2 + 22], 0, "transactional memory");
    }
}

#[test]
fn functions_named_exist() {
    for (name, number) in HYPERTAS {
        assert!(hcall::find(*number).is_some(), "{name}");
    }
}

#[test]
fn last_core_may_be_smaller() {
    let mut c = config("power9");
    (c.vcpus, c.threads) = (7, 4);
    let p = TestPlatform::new(c);
    let t = tree(&p);
    let servers = |path: &str| t.prop_u32s(t.find(path).unwrap(), "ibm,ppc-interrupt-server#s").unwrap();
    assert_eq!(servers("/cpus/PowerPC,POWER9@0"), [0, 1, 2, 3]);
    assert_eq!(servers("/cpus/PowerPC,POWER9@4"), [4, 5, 6]);
}

#[test]
fn identity_is_one_that_tools_accept() {
    let p = TestPlatform::new(config("power9"));
    let t = tree(&p);
    let root = DeviceTree::ROOT;
    assert!(!t.prop_str(root, "model").unwrap().contains("emulated by qemu"));
    assert!(t.prop_strs(root, "compatible").unwrap().contains(&"qemu,pseries"));
    assert!(t.prop(root, "ibm,partition-name").is_some() && t.prop(root, "hmc-managed?").is_some());
    assert!(t.find("/hypervisor").is_none());
}

/// SLOF starts its client on the first child of `/cpus`, and reads one cell of where the RAM disk is.
#[test]
fn slof_finds_its_way() {
    let mut c = config("power9");
    (c.vcpus, c.threads) = (4, 2);
    let p = TestPlatform::new(c);
    let t = tree(&p);
    let first = t.children(t.find("/cpus").unwrap())[0];
    assert_eq!((t.prop_str(first, "device_type"), t.prop_u32(first, "reg")), (Some("cpu"), Some(0)));
    let chosen = t.find("/chosen").unwrap();
    assert_eq!(t.prop(chosen, "linux,initrd-start").unwrap(), 0x300_0000u32.to_be_bytes());
    assert_eq!(t.prop(chosen, "linux,initrd-end").unwrap(), 0x300_1234u32.to_be_bytes());
}

#[test]
fn small_partitions_have_small_tables_of_processes() {
    let bits = |mib: u64| pid_bits(mib << 20);
    assert_eq!((bits(0), bits(64), bits(128), bits(2048), bits(1 << 20)), (14, 15, 16, 20, 20));
    for (memory, told) in [(128 << 20, true), (2 << 30, false)] {
        let p = TestPlatform::new(PartitionConfig { memory, ..config("power9") });
        assert_eq!(tree(&p).to_dts().contains("ibm,mmu-pid-bits"), told);
    }
}
