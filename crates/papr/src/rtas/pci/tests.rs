use std::sync::Arc;

use device::pci::{Bar, BarKind, Header, Ids, Msix};
use device::{IrqLine, PciFunction};

use crate::platform::Platform;
use crate::testing::{Rng, TestPlatform, config};

use super::super::*;
use super::{BUID, phb};
use devices::phb::Phb;

const PARAMETER: u32 = -3_i32 as u32;
const HARDWARE: u32 = -1_i32 as u32;
const HIGH: u32 = (BUID >> 32) as u32;
const LOW: u32 = BUID as u32;

/// A page that keeps what was stored to its first bytes.
struct Page(Header, Msix, std::sync::Mutex<u64>);

impl PciFunction for Page {
    fn header(&self) -> &Header {
        &self.0
    }
    fn msix(&self) -> Option<&Msix> {
        Some(&self.1)
    }
    fn node_name(&self) -> &'static str {
        "page"
    }
    fn load(&self, _: usize, offset: u64, _: u8) -> u64 {
        *self.2.lock().unwrap() >> (8 * offset.min(7))
    }
    fn store(&self, _: usize, _: u64, value: u64, _: u8) {
        *self.2.lock().unwrap() = value;
    }
    fn reset(&self) {
        *self.2.lock().unwrap() = 0;
    }
    fn save(&self) -> serde_json::Value {
        (*self.2.lock().unwrap()).into()
    }
    fn restore(&self, state: serde_json::Value, _: &dyn Fn(u32) -> IrqLine) -> Result<(), String> {
        *self.2.lock().unwrap() = state.as_u64().ok_or("no number")?;
        Ok(())
    }
}

fn page() -> Arc<dyn PciFunction> {
    let ids = Ids { vendor: 1, device: 2, revision: 3, class: 0x01_0203, subsystem_vendor: 4, subsystem: 5 };
    let bars = [
        Bar { index: 0, kind: BarKind::Memory32, size: 0x1000 },
        Bar { index: 2, kind: BarKind::Memory64, size: 0x2000 },
    ];
    let msix = Msix::new(4);
    let header = Header::new(ids, &bars, &[msix.capability(0)]);
    Arc::new(Page(header, msix, Default::default()))
}

fn platform() -> TestPlatform {
    let mut p = TestPlatform::new(config("power9"));
    let mut phb = Phb::new(Arc::new(p.intc.clone())).unwrap();
    phb.plug(page());
    phb.plug(page());
    p.phb = Some(phb);
    pci::reset_windows(&p.papr);
    p
}

#[test]
fn configuration_space_answers_where_a_function_is() {
    let p = platform();
    let mut c = p.cpu(0);
    let mut read =
        |address: u32, size: u32| p.rtas(&mut c, "ibm,read-pci-config", &[address, HIGH, LOW, size], 2);
    assert_eq!(read(0, 4), [0, 0x0002_0001]);
    assert_eq!(read(0x800, 2), [0, 1]);
    assert_eq!(read(0x83d, 1), [0, 1]);
    for empty in [0x1000, 0x100, 0x900, 0x1_0000, 0xf800, u32::MAX] {
        assert_eq!(read(empty, 4), [HARDWARE, u32::MAX]);
    }
    assert_eq!(read(0, 3), [PARAMETER, u32::MAX]);
    assert_eq!(read(0x1000_0000, 4), [0, u32::MAX], "extended space");
    let mut c = p.cpu(0);
    assert_eq!(p.rtas(&mut c, "ibm,read-pci-config", &[0, HIGH, LOW + 1, 4], 2), [HARDWARE, u32::MAX]);
    assert_eq!(p.rtas(&mut c, "read-pci-config", &[0x802, 2], 2), [0, 2]);
    assert_eq!(p.rtas(&mut c, "write-pci-config", &[0x80c, 1, 0x20], 1), [0]);
    assert_eq!(p.rtas(&mut c, "ibm,write-pci-config", &[0x80d, HIGH, LOW, 1, 0x40], 1), [0]);
    assert_eq!(p.rtas(&mut c, "ibm,read-pci-config", &[0x80c, HIGH, LOW, 4], 2), [0, 0x4020]);
}

#[test]
fn functions_are_reached_where_their_nodes_say() {
    let p = platform();
    let phb = p.phb().unwrap();
    let mut tree = device::DeviceTree::new();
    let node = phb.describe(&mut tree, [1, 2, 3, 4]);
    assert_eq!(tree.path(node), "/pci@800000020000000");
    let child = tree.find("/pci@800000020000000/page@1").unwrap();
    let assigned = tree.prop_u32s(child, "assigned-addresses").unwrap();
    assert_eq!(assigned[0], 0x8200_0810);
    assert_eq!(tree.prop_u32s(child, "reg").unwrap()[10], 0x4300_0818);
    // Below 4 GiB, through the second of the bridge's ranges; the other through the third, one to one.
    let ranges = tree.prop_u32s(node, "ranges").unwrap();
    assert_eq!(ranges[7], 2 << 24);
    let low = (ranges[10] as u64) << 32 | ranges[11] as u64;
    let at = low + (assigned[2] as u64 - ranges[9] as u64);
    assert!(phb.store(at, 0x1122_3344, 4));
    assert_eq!(phb.load(at, 4), Some(0x1122_3344));
    assert_eq!(phb.load(at + 2, 2), Some(0x1122));
    let high = (assigned[6] as u64) << 32 | assigned[7] as u64;
    assert_eq!(phb.load(high + 0x1fff, 1), Some(0));
    assert_eq!(phb.load(high + 0x2000, 8), Some(u64::MAX));
    assert_eq!((phb.load(0, 4), phb.load(u64::MAX, 8), phb.store(1 << 50, 0, 1)), (None, None, false));
    assert_eq!(phb.load(0x2000_0000_0010, 2), Some(0xffff));
    let saved = phb.save();
    phb.reset();
    assert_eq!(phb.load(at, 4), Some(0));
    phb.restore(saved).unwrap();
    assert_eq!(phb.load(at, 4), Some(0x1122_3344));
}

#[test]
fn message_interrupts_come_and_go() {
    let p = platform();
    let mut c = p.cpu(0);
    let mut change = |function: u32, count: u32| {
        p.rtas(&mut c, "ibm,change-msi", &[0x800, HIGH, LOW, function, count, 1], 4)
    };
    assert_eq!(change(4, 3), [0, 3, 2, 4]);
    assert_eq!(change(1, 100), [0, 4, 2, 4]);
    assert_eq!(change(3, 1)[0], PARAMETER);
    assert_eq!(change(9, 1)[0], PARAMETER);
    let mut c = p.cpu(0);
    let mut source =
        |vector: u32| p.rtas(&mut c, "ibm,query-interrupt-source-number", &[0x800, HIGH, LOW, vector], 3);
    assert_eq!(source(0), [0, 0x1300, 1]);
    assert_eq!(source(3), [0, 0x1303, 1]);
    assert_eq!(source(4)[0], PARAMETER);
    assert_eq!(source(u32::MAX)[0], PARAMETER);
    // The message is the source's number; taken away, the numbers are free again.
    let msix = p.phb.as_ref().unwrap().functions()[1].msix().unwrap();
    assert_eq!(msix.load(0x18, 4), 0x1301);
    let mut c = p.cpu(0);
    assert_eq!(p.rtas(&mut c, "ibm,change-msi", &[0x800, HIGH, LOW, 3, 0, 1], 3), [0, 0, 2]);
    assert_eq!(p.rtas(&mut c, "ibm,change-msi", &[0, HIGH, LOW, 4, 1, 1], 3), [0, 1, 2]);
    assert_eq!(p.phb.as_ref().unwrap().functions()[0].msix().unwrap().source(0), Some(0x1300));
}

#[test]
fn windows_are_made_where_the_query_says() {
    let p = platform();
    let mut c = p.cpu(0);
    let mut rtas = |name: &str, args: &[u32], n: usize| p.rtas(&mut c, name, args, n);
    let all = [0, HIGH, LOW];
    assert_eq!(rtas("ibm,query-pe-dma-window", &all, 5), [0, 1, 0x4_0000, 0x103, 0]);
    assert_eq!(rtas("ibm,query-pe-dma-window", &all, 6), [0, 1, 0, 0x4_0000, 0x103, 0]);
    for (page, window) in [(13, 26), (16, 12), (16, 31), (12, 99), (0, 0)] {
        assert_eq!(rtas("ibm,create-pe-dma-window", &[0, HIGH, LOW, page, window], 4)[0], PARAMETER);
    }
    let made = rtas("ibm,create-pe-dma-window", &[0, HIGH, LOW, 16, 26], 4);
    assert_eq!(made, [0, phb::DYNAMIC_LIOBN, 0x0800_0000, 0]);
    assert_eq!(rtas("ibm,create-pe-dma-window", &[0, HIGH, LOW, 16, 26], 4)[0], HARDWARE);
    assert_eq!(rtas("ibm,query-pe-dma-window", &all, 5)[1], 0);
    let mut c2 = p.cpu(1);
    let put = [phb::DYNAMIC_LIOBN as u64, phb::DYNAMIC_START + 0x1_0000, 0x3_0003];
    assert_eq!(p.hcall(&mut c2, 0x20, &put), 0);
    let table = p.papr.tces.get(phb::DYNAMIC_LIOBN.into()).unwrap();
    assert_eq!(table.translate(phb::DYNAMIC_START + 0x1_0005, true), Some((0x3_0005, 0xfffb)));
    assert_eq!(rtas("ibm,remove-pe-dma-window", &[phb::LIOBN], 1), [0]);
    assert_eq!(rtas("ibm,remove-pe-dma-window", &[phb::LIOBN], 1), [PARAMETER]);
    assert_eq!(rtas("ibm,remove-pe-dma-window", &[0], 1), [PARAMETER]);
    assert_eq!(rtas("ibm,create-pe-dma-window", &[0, HIGH, LOW, 12, 30], 4), [0, phb::LIOBN, 0, 0]);
    assert_eq!(rtas("ibm,reset-pe-dma-window", &all, 1), [0]);
    assert!(p.papr.tces.get(phb::DYNAMIC_LIOBN.into()).is_none());
    assert!(p.papr.tces.get(phb::LIOBN.into()).is_some());
}

#[test]
fn endpoints_never_freeze() {
    let p = platform();
    let mut c = p.cpu(0);
    let mut rtas = |name: &str, args: &[u32], n: usize| p.rtas(&mut c, name, args, n);
    assert_eq!(rtas("ibm,get-config-addr-info2", &[0x800, HIGH, LOW, 1], 2), [0, 1]);
    assert_eq!(rtas("ibm,get-config-addr-info2", &[0x800, HIGH, LOW, 0], 2), [0, 0x801]);
    assert_eq!(rtas("ibm,get-config-addr-info2", &[0x1000, HIGH, LOW, 0], 2)[0], PARAMETER);
    assert_eq!(rtas("ibm,set-eeh-option", &[0x801, HIGH, LOW, 1], 1), [0]);
    assert_eq!(rtas("ibm,read-slot-reset-state2", &[0x801, HIGH, LOW], 4), [0, 0, 1, 0]);
    assert_eq!(rtas("ibm,slot-error-detail", &[0x801, HIGH, LOW, 0, 0, 0, 0, 1], 1), [1]);
    let phb = p.phb.as_ref().unwrap();
    let at = 0x2100_0000_0000 + 0x2000;
    phb.store(at, 5, 4);
    assert_eq!(rtas("ibm,set-slot-reset", &[0x801, HIGH, LOW, 1], 1), [0]);
    assert_eq!(rtas("ibm,set-slot-reset", &[0x801, HIGH, LOW, 0], 1), [0]);
    assert_eq!(rtas("ibm,configure-pe", &[0x801, HIGH, LOW], 1), [0]);
    assert_eq!(phb.load(at, 4), Some(0), "reset, and still in its place");
}

#[test]
fn random_calls_do_no_harm() {
    let p = platform();
    let mut c = p.cpu(0);
    let mut rng = Rng(5);
    for _ in 0..20_000 {
        let row = &pci::ROWS[rng.below(pci::ROWS.len() as u64) as usize];
        let mut args: Vec<u32> = (0..8).map(|_| rng.next() as u32 >> rng.below(32)).collect();
        if rng.below(4) != 0 {
            (args[0], args[1], args[2]) = ((rng.below(4) << 11 | rng.below(256)) as u32, HIGH, LOW);
        }
        p.rtas(&mut c, row.name, &args, 8);
        let at = 0x2000_8000_0000 + rng.below(1 << 33);
        let phb = p.phb.as_ref().unwrap();
        phb.store(at, rng.next(), 8);
        phb.load(at, 1 << rng.below(4));
    }
    p.phb.as_ref().unwrap().reset();
    assert_eq!(p.rtas(&mut c, "ibm,read-pci-config", &[0, HIGH, LOW, 4], 2), [0, 0x0002_0001]);
}
