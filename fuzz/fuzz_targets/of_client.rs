//! The Open Firmware client interface with arbitrary guest memory.
//!
//! The input is the guest's memory from [`BASE`] on, behind a list of calls: each starts with the number of
//! the service in [`SERVICES`] (so that names need not be guessed), then come argument cells.
#![no_main]

use device::DeviceTree;
use firmware::of_client::{BadAddress, CasOutcome, DiskError, DiskInfo, OfClient, OfConfig, OfHost};
use libfuzzer_sys::fuzz_target;

const RAM: usize = 1 << 20;
const BASE: usize = 0x8000;
const ARRAY: usize = 0x6000;
const NAME: usize = 0x7000;
const MAX_CALLS: usize = 64;

const SERVICES: &[&str] = &[
    "test",
    "test-method",
    "finddevice",
    "getproplen",
    "getprop",
    "nextprop",
    "setprop",
    "canon",
    "peer",
    "child",
    "parent",
    "package-to-path",
    "instance-to-package",
    "instance-to-path",
    "open",
    "close",
    "read",
    "write",
    "seek",
    "call-method",
    "interpret",
    "claim",
    "release",
    "boot",
    "chain",
    "start-cpu",
    "quiesce",
    "milliseconds",
];

struct Host(Vec<u8>);

impl OfHost for Host {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        let at = usize::try_from(addr).map_err(|_| BadAddress)?;
        let end = at.checked_add(buf.len()).ok_or(BadAddress)?;
        buf.copy_from_slice(self.0.get(at..end).ok_or(BadAddress)?);
        Ok(())
    }
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), BadAddress> {
        let at = usize::try_from(addr).map_err(|_| BadAddress)?;
        let end = at.checked_add(data.len()).ok_or(BadAddress)?;
        self.0.get_mut(at..end).ok_or(BadAddress)?.copy_from_slice(data);
        Ok(())
    }
    fn console_write(&mut self, _: &[u8]) {}
    fn console_read(&mut self, buf: &mut [u8]) -> usize {
        buf.fill(b'x');
        buf.len()
    }
    fn cas(&mut self, tree: &mut DeviceTree, vectors: &[u8]) -> CasOutcome {
        if let Some(chosen) = tree.find("/chosen") {
            tree.set_bytes(chosen, "ibm,architecture-vec-5", vectors);
        }
        CasOutcome::Accepted
    }
    fn instantiate_rtas(&mut self, _: u64) {}
    fn exit(&mut self) {}
    fn boot(&mut self, _: &str) {}
    fn milliseconds(&mut self) -> u32 {
        1
    }
    fn disk_info(&mut self, _: &str) -> Option<DiskInfo> {
        Some(DiskInfo { block_size: 512, blocks: 1000 })
    }
    fn disk_read(&mut self, _: &str, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        assert!(offset + buf.len() as u64 <= 512_000);
        // The disk's contents come from the input, too.
        buf.copy_from_slice(&self.0[BASE + offset as usize..][..buf.len()]);
        Ok(())
    }
    fn disk_write(&mut self, _: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        assert!(offset + data.len() as u64 <= 512_000);
        Ok(())
    }
}

fn tree() -> DeviceTree {
    let mut t = DeviceTree::new();
    let root = DeviceTree::ROOT;
    t.set_u32s(root, "#address-cells", &[2]);
    t.set_u32s(root, "#size-cells", &[2]);
    for (path, kind) in [
        ("cpus/cpu@0", "cpu"),
        ("memory@0", "memory"),
        ("rtas", ""),
        ("vdevice/vty@1", "serial"),
        ("vdevice/v-scsi@2/disk@81", "block"),
        ("vdevice/l-lan@3", "network"),
    ] {
        let node = path.split('/').fold(root, |at, name| t.ensure_node(at, name));
        t.set_str(node, "device_type", kind);
        t.set_u64s(node, "reg", &[0, RAM as u64]);
    }
    let scsi = t.find("/vdevice/v-scsi").expect("just made");
    t.set_str(scsi, "device_type", "vscsi");
    t
}

fuzz_target!(|data: &[u8]| {
    let mut host = Host(vec![0; RAM]);
    let (calls, memory) = data.split_at(data.len().min(MAX_CALLS * 32) / 2);
    let len = memory.len().min(RAM - BASE);
    host.0[BASE..BASE + len].copy_from_slice(&memory[..len]);
    let config = OfConfig {
        rma_size: RAM as u64,
        claimed: vec![],
        console: Some("/vdevice/vty".into()),
        boot_cpu: Some("/cpus/cpu".into()),
    };
    let mut of = OfClient::new(tree(), &config);
    for call in calls.chunks_exact(16) {
        let name = SERVICES[usize::from(call[0]) % SERVICES.len()];
        host.0[NAME..NAME + name.len()].copy_from_slice(name.as_bytes());
        host.0[NAME + name.len()] = 0;
        // The first two bytes chose the service, the others are arguments.
        let mut cells = vec![NAME as u32, 7, 4];
        // Two bytes an argument: small numbers are handles, others addresses in the random memory.
        cells.extend(call[2..].chunks_exact(2).map(|c| match u16::from_be_bytes([c[0], c[1]]) {
            small @ 0..256 => small.into(),
            0xffff => u32::MAX,
            other => BASE as u32 + u32::from(other) - 256,
        }));
        for (i, cell) in cells.iter().enumerate() {
            host.0[ARRAY + i * 4..][..4].copy_from_slice(&cell.to_be_bytes());
        }
        of.call(&mut host, ARRAY as u64);
    }
    let saved = OfClient::restore(of.save());
    assert_eq!(saved, of);
    let _ = of.tree().to_fdt();
});
