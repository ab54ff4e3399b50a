use super::*;
use crate::cas::CasVectors;
use crate::cas::tests::linux_sample;
use crate::partition_table::tests::put_entry;

const RAM: usize = 8 << 20;
/// Where the test client keeps its argument array and what that points to.
const ARRAY: u64 = 0x40_0000;
const SCRATCH: u64 = 0x40_1000;
const BUF: u32 = 0x41_0000;

#[derive(Default)]
struct Host {
    ram: Vec<u8>,
    output: Vec<u8>,
    input: Vec<u8>,
    disk: Vec<u8>,
    events: Vec<String>,
    vectors: Option<CasVectors>,
}

impl Host {
    fn new() -> Self {
        Host {
            ram: vec![0; RAM],
            disk: (0..2048 * 16).map(|i| (i / 512) as u8).collect(),
            ..Default::default()
        }
    }
}

impl OfHost for Host {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        let at = addr as usize;
        let end = at.checked_add(buf.len()).ok_or(BadAddress)?;
        buf.copy_from_slice(self.ram.get(at..end).ok_or(BadAddress)?);
        Ok(())
    }
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), BadAddress> {
        assert!(!data.is_empty());
        let at = addr as usize;
        let end = at.checked_add(data.len()).ok_or(BadAddress)?;
        self.ram.get_mut(at..end).ok_or(BadAddress)?.copy_from_slice(data);
        Ok(())
    }
    fn console_write(&mut self, data: &[u8]) {
        self.output.extend_from_slice(data);
    }
    fn console_read(&mut self, buf: &mut [u8]) -> usize {
        let len = buf.len().min(self.input.len());
        buf[..len].copy_from_slice(&self.input[..len]);
        self.input.drain(..len);
        len
    }
    fn cas(&mut self, tree: &mut DeviceTree, vectors: &[u8]) -> CasOutcome {
        let parsed = CasVectors::parse(vectors).unwrap();
        assert_eq!(parsed.size, vectors.len());
        let chosen = tree.find("/chosen").unwrap();
        tree.set_bytes(chosen, "ibm,architecture-vec-5", [0, parsed.vec5(24)]);
        let outcome = if parsed.supports(0x0f00_0005) { CasOutcome::Accepted } else { CasOutcome::Rejected };
        self.vectors = Some(parsed);
        outcome
    }
    fn instantiate_rtas(&mut self, base: u64) {
        self.events.push(format!("rtas {base:#x}"));
    }
    fn exit(&mut self) {
        self.events.push("exit".into());
    }
    fn boot(&mut self, spec: &str) {
        self.events.push(format!("boot {spec}"));
    }
    fn milliseconds(&mut self) -> u32 {
        1234
    }
    fn quiesce(&mut self) {
        self.events.push("quiesce".into());
    }
    fn chain(&mut self, entry: u64, args: u64, len: u64) -> bool {
        self.events.push(format!("chain {entry:#x} {args:#x} {len}"));
        true
    }
    fn disk_info(&mut self, path: &str) -> Option<DiskInfo> {
        path.ends_with("disk@8100000000000000")
            .then_some(DiskInfo { block_size: 512, blocks: self.disk.len() as u64 / 512 })
    }
    fn disk_read(&mut self, _: &str, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let at = offset as usize;
        buf.copy_from_slice(self.disk.get(at..at + buf.len()).expect("inside of the disk"));
        Ok(())
    }
    fn disk_write(&mut self, _: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let at = offset as usize;
        self.disk.get_mut(at..at + data.len()).expect("inside of the disk").copy_from_slice(data);
        Ok(())
    }
}

fn machine() -> DeviceTree {
    let mut t = DeviceTree::new();
    let root = DeviceTree::ROOT;
    t.set_u32(root, "#address-cells", 2);
    t.set_u32(root, "#size-cells", 2);
    t.set_str(root, "device_type", "chrp");
    let cpus = t.add_node(root, "cpus");
    let cpu = t.add_node(cpus, "PowerPC,POWER9@8");
    t.set_str(cpu, "device_type", "cpu");
    t.set_u32(cpu, "reg", 8);
    for (name, base) in [("memory@0", 0), ("memory@800000", 0x80_0000)] {
        let m = t.add_node(root, name);
        t.set_str(m, "device_type", "memory");
        t.set_u64s(m, "reg", &[base, 0x80_0000]);
    }
    let rtas = t.add_node(root, "rtas");
    stub::describe_rtas(&mut t, rtas);
    let vdevice = t.add_node(root, "vdevice");
    t.set_u32(vdevice, "#address-cells", 1);
    let vty = t.add_node(vdevice, "vty@71000000");
    t.set_str(vty, "device_type", "serial");
    t.set_phandle_ref(vty, "interrupt-parent", rtas);
    let scsi = t.add_node(vdevice, "v-scsi@71000003");
    t.set_str(scsi, "device_type", "vscsi");
    let disk = t.add_node(scsi, "disk@8100000000000000");
    t.set_str(disk, "device_type", "block");
    let other = t.add_node(scsi, "disk@8200000000000000");
    t.set_str(other, "device_type", "block");
    let aliases = t.add_node(root, "aliases");
    t.set_str(aliases, "disk", "/vdevice/v-scsi/disk");
    t
}

/// A client: makes calls as a real one would, through memory.
struct Client {
    of: OfClient,
    host: Host,
    scratch: u64,
}

#[derive(Clone, Copy)]
enum Arg<'a> {
    N(u32),
    S(&'a str),
}
use Arg::{N, S};

impl Client {
    fn new() -> Self {
        let config = OfConfig {
            rma_size: 8 << 20,
            claimed: vec![(0x40_0000, 0x2_0000)],
            console: Some("/vdevice/vty".into()),
            boot_cpu: Some("/cpus/@8".into()),
        };
        let mut host = Host::new();
        let of = OfClient::new(machine(), &config);
        assert_eq!(of.install(&mut host), Ok(0x3f00));
        assert_eq!(host.ram[0x3f00..0x3f14], stub::stub_of_client());
        Client { of, host, scratch: SCRATCH }
    }

    fn put(&mut self, bytes: &[u8]) -> u32 {
        let at = self.scratch;
        self.host.write(at, bytes).unwrap();
        self.scratch += bytes.len() as u64;
        assert!(self.scratch < BUF.into());
        at as u32
    }

    /// Calls a service; r3 and the results.
    fn raw<const R: usize>(&mut self, service: &str, args: &[Arg]) -> (u64, [u32; R]) {
        self.scratch = SCRATCH;
        let zero = |s: &str| [s.as_bytes(), &[0]].concat();
        let mut cells = vec![self.put(&zero(service)), args.len() as u32, R as u32];
        for a in args {
            let cell = match a {
                N(n) => *n,
                S(s) => self.put(&zero(s)),
            };
            cells.push(cell);
        }
        cells.extend([0x5555_5555; R]);
        let bytes: Vec<u8> = cells.iter().flat_map(|c| c.to_be_bytes()).collect();
        self.host.write(ARRAY, &bytes).unwrap();
        let r3 = self.of.call(&mut self.host, ARRAY | 0xffff_0000_0000_0000);
        (r3, read_cells::<R>(&self.host, ARRAY + 12 + args.len() as u64 * 4).unwrap())
    }

    /// Calls a service that exists; its first result.
    fn call(&mut self, service: &str, args: &[Arg]) -> u32 {
        let (r3, [value]) = self.raw::<1>(service, args);
        assert_eq!(r3, 0, "{service}");
        value
    }

    fn text(&mut self, len: u32) -> String {
        String::from_utf8(self.host.ram[BUF as usize..(BUF + len) as usize].to_vec()).unwrap()
    }

    fn find(&mut self, path: &str) -> u32 {
        self.call("finddevice", &[S(path)])
    }

    fn getprop(&mut self, node: u32, name: &str) -> Option<Vec<u8>> {
        let len = self.call("getprop", &[N(node), S(name), N(BUF), N(0x1000)]);
        (len != ERROR).then(|| self.host.ram[BUF as usize..(BUF + len) as usize].to_vec())
    }

    fn cell(&mut self, node: u32, name: &str) -> u32 {
        u32::from_be_bytes(self.getprop(node, name).unwrap().try_into().unwrap())
    }

    fn path_of(&mut self, node: u32) -> String {
        let len = self.call("package-to-path", &[N(node), N(BUF), N(255)]);
        self.text(len)
    }

    /// Rebuilds the tree as prom_init flattens it.
    fn copy_tree(&mut self, node: u32, copy: &mut DeviceTree, at: NodeId) {
        copy.set_phandle(at, node);
        let mut previous = String::new();
        loop {
            if self.call("nextprop", &[N(node), S(&previous), N(BUF)]) != 1 {
                break;
            }
            let name = read_string(&self.host, BUF, 64).unwrap();
            let len = self.call("getproplen", &[N(node), S(&name)]);
            let value = self.getprop(node, &name).unwrap();
            assert_eq!(len as usize, value.len());
            if name != "name" {
                copy.set_bytes(at, &name, value);
            }
            previous = name;
        }
        let mut child = self.call("child", &[N(node)]);
        while child != 0 {
            assert_eq!(self.call("parent", &[N(child)]), node);
            let path = self.path_of(child);
            let below = copy.add_node(at, path.rsplit('/').next().unwrap());
            self.copy_tree(child, copy, below);
            child = self.call("peer", &[N(child)]);
        }
    }

    fn available(&mut self) -> Vec<(u64, u64)> {
        let memory = self.find("/memory@0");
        let value = self.getprop(memory, "available").unwrap();
        let double = |b: &[u8]| u64::from_be_bytes(b.try_into().unwrap());
        value.chunks(16).map(|c| (double(&c[..8]), double(&c[8..]))).collect()
    }
}

/// The calls that a Linux kernel makes, in its order.
#[test]
fn linux_boots() {
    let mut c = Client::new();
    let chosen = c.find("/chosen");
    let root = c.find("/");
    let stdout = c.cell(chosen, "stdout");
    let len = c.call("instance-to-path", &[N(stdout), N(BUF), N(255)]);
    assert_eq!(c.text(len), "/vdevice/vty@71000000");
    let package = c.call("instance-to-package", &[N(stdout)]);
    assert_eq!(c.getprop(package, "device_type").unwrap(), b"serial\0");
    assert_eq!(c.call("write", &[N(stdout), S("Preparing"), N(9)]), 9);
    assert_eq!(c.host.output, b"Preparing");
    let memory = c.find("/memory");
    assert_eq!(c.getprop(memory, "name").unwrap(), b"memory\0");

    // Capabilities.
    let inst = c.call("open", &[S("/")]);
    c.host.write(0x42_0000, &linux_sample()).unwrap();
    let method = "ibm,client-architecture-support";
    let (r3, rets) = c.raw::<2>("call-method", &[S(method), N(inst), N(0x42_0000)]);
    assert_eq!((r3, rets), (0, [0, 0]));
    assert_eq!(c.host.vectors.as_ref().unwrap().max_cpus(), Some(2048));
    assert_eq!(c.raw::<0>("close", &[N(inst)]).0, 0);
    assert_eq!(c.getprop(chosen, "ibm,architecture-vec-5").unwrap(), [0, 0x40]);

    // The processor that runs.
    let cpu = c.cell(chosen, "cpu");
    let cpu = c.call("instance-to-package", &[N(cpu)]);
    assert_eq!(c.cell(cpu, "reg"), 8);

    // Memory: from above for RTAS, above the kernel for the tree.
    assert_eq!(c.available(), [(0x4000, 0x3f_c000), (0x42_0000, 0x3e_0000)]);
    let rtas = c.find("/rtas");
    let size = c.cell(rtas, "rtas-size");
    let base = (8 << 20) - size;
    assert_eq!(c.call("claim", &[N(base), N(size), N(0)]), base);
    let inst = c.call("open", &[S("/rtas")]);
    let (r3, rets) = c.raw::<2>("call-method", &[S("instantiate-rtas"), N(inst), N(base)]);
    assert_eq!((r3, rets), (0, [0, base]));
    assert_eq!(c.host.events, ["rtas 0x7ff000"]);
    assert_eq!(c.host.ram[base as usize..][..20], stub::stub_rtas());
    c.host.write(BUF.into(), &base.to_be_bytes()).unwrap();
    assert_eq!(c.call("setprop", &[N(rtas), S("linux,rtas-base"), N(BUF), N(4)]), 4);
    assert_eq!(c.cell(rtas, "linux,rtas-base"), base);
    assert_eq!(c.call("setprop", &[N(chosen), S("linux,iommu-off"), N(0), N(0)]), 0);
    assert_eq!(c.call("claim", &[N(0x42_0000), N(0x10_0000), N(0)]), 0x42_0000);
    assert_eq!(c.call("claim", &[N(0x41_0000), N(0x10_0000), N(0)]), ERROR);
    assert_eq!(c.available(), [(0x4000, 0x3f_c000), (0x52_0000, 0x2d_f000)]);

    // The tree, flattened.
    assert_eq!(c.call("peer", &[N(0)]), root);
    assert_eq!((c.call("peer", &[N(root)]), c.call("parent", &[N(root)])), (0, 0));
    let mut copy = DeviceTree::new();
    c.copy_tree(root, &mut copy, DeviceTree::ROOT);
    assert_eq!(copy.to_dts(), c.of.tree().to_dts());
    assert!(copy.to_dts().contains("interrupt-parent"));

    let stdin = c.cell(chosen, "stdin");
    assert_eq!(c.raw::<0>("close", &[N(stdin)]).0, 0);
    assert!(!c.of.quiesced());
    assert_eq!(c.raw::<0>("quiesce", &[]).0, 0);
    assert!(c.of.quiesced());
    assert_eq!(c.host.events.last().unwrap(), "quiesce");
    assert_eq!(c.of.unknown_services().count(), 0);
}

/// What a boot loader does with disks.
#[test]
fn disks() {
    let mut c = Client::new();
    let len = c.call("canon", &[S("disk:0"), N(BUF), N(100)]);
    assert_eq!(c.text(len), "/vdevice/v-scsi@71000003/disk@8100000000000000:0");
    assert_eq!(c.host.ram[(BUF + len) as usize], 0);
    c.host.ram[BUF as usize..][..9].fill(b'x');
    let len = c.call("canon", &[S("disk"), N(BUF), N(4)]);
    assert_eq!((len, c.text(5).as_str()), (46, "/vdex"), "only four bytes are written");

    let scsi = c.call("open", &[S("/vdevice/v-scsi")]);
    let (r3, [catch, count, table]) = c.raw::<3>("call-method", &[S("vscsi-report-luns"), N(scsi)]);
    assert_eq!((r3, catch, count), (0, 0, 1));
    let [_, list] = read_cells::<2>(&c.host, table.into()).unwrap();
    let luns = read_cells::<6>(&c.host, list.into()).unwrap();
    assert_eq!(luns, [0x8100_0000, 0, 0x8200_0000, 0, 0, 0]);

    assert_eq!(c.call("open", &[S("disk:1")]), 0, "no partition table");
    assert_eq!(c.call("open", &[S("disk:0,\\file")]), 0, "files are the client's business");
    put_entry(&mut c.host.disk, 0, 1, 0x83, 60, 4);
    let part = c.call("open", &[S("disk:2")]);
    assert_eq!(c.raw::<2>("call-method", &[S("#blocks"), N(part)]), (0, [0, 4]));
    assert_eq!(c.call("seek", &[N(part), N(0), N(1024)]), 0);
    assert_eq!(c.call("read", &[N(part), N(BUF), N(0x1000)]), 1024);
    assert_eq!((c.host.ram[BUF as usize], c.host.ram[BUF as usize + 512]), (62, 63));
    assert_eq!(c.call("seek", &[N(part), N(0), N(2049)]), ERROR);
    assert_eq!(c.call("open", &[S("disk:1")]), 0, "an empty entry");
    assert_eq!(c.call("open", &[S("/vdevice/v-scsi/disk@8200000000000000")]), 0, "no such disk");
    let disk = c.call("open", &[S("disk:0")]);
    assert_ne!(disk, 0);
    c.host.ram[BUF as usize..][..9].fill(b'x');
    for (method, want) in [("block-size", 512), ("#blocks", 64), ("max-transfer", 1 << 20)] {
        assert_eq!(c.raw::<2>("call-method", &[S(method), N(disk)]), (0, [0, want]), "{method}");
    }
    assert_eq!(c.raw::<3>("call-method", &[S("#blocks64"), N(disk)]), (0, [0, 0, 64]));
    assert_eq!(c.call("seek", &[N(disk), N(0), N(1020)]), 0);
    assert_eq!(c.call("read", &[N(disk), N(BUF), N(8)]), 8);
    assert_eq!(c.host.ram[BUF as usize..][..9], *b"\x01\x01\x01\x01\x02\x02\x02\x02x");
    assert_eq!(c.call("write", &[N(disk), S("new!"), N(4)]), 4);
    assert_eq!(c.host.disk[1026..1034], *b"\x02\x02new!\x02\x02");
    // At the end the transfer is short; beyond it there is nothing.
    assert_eq!(c.call("seek", &[N(disk), N(0), N(64 * 512 - 100)]), 0);
    assert_eq!(c.call("read", &[N(disk), N(BUF), N(0x1000)]), 100);
    assert_eq!(c.call("read", &[N(disk), N(BUF), N(0x1000)]), 0);
    assert_eq!(c.call("seek", &[N(disk), N(1), N(0)]), ERROR);
    let blocks = [S("read-blocks"), N(disk), N(4), N(62), N(BUF)];
    assert_eq!(c.raw::<2>("call-method", &blocks), (0, [0, 2]));
    assert_eq!(c.host.ram[BUF as usize..][511..513], [62, 63]);
    assert_eq!(c.raw::<2>("call-method", &[S("read-blocks"), N(disk), N(1), N(65), N(BUF)]).1[0], ERROR);
    assert_eq!(
        c.raw::<2>("call-method", &[S("write-blocks"), N(disk), N(1), N(0), N(0x1_0000)]),
        (0, [0, 1])
    );
    assert_eq!(c.host.disk[..512], [0; 512]);
}

#[test]
fn memory_methods_and_units() {
    let mut c = Client::new();
    let chosen = c.find("/chosen");
    let (memory, mmu) = (c.cell(chosen, "memory"), c.cell(chosen, "mmu"));
    let at = [S("claim"), N(memory), N(0), N(0x1000), N(0x50_0000)];
    assert_eq!(c.raw::<2>("call-method", &at), (0, [0, 0x50_0000]));
    assert_eq!(c.raw::<2>("call-method", &at).1[0], ERROR);
    let anywhere = [S("claim"), N(memory), N(0x10_0000), N(0x1000)];
    assert_eq!(c.raw::<2>("call-method", &anywhere), (0, [0, 0x10_0000]));
    assert_eq!(c.raw::<1>("call-method", &[S("release"), N(memory), N(0x1000), N(0x50_0000)]), (0, [0]));
    assert_eq!(c.raw::<2>("call-method", &[S("claim"), N(mmu), N(0), N(1), N(5)]), (0, [0, 5]));
    assert_eq!(c.raw::<1>("call-method", &[S("map"), N(mmu), N(0), N(1), N(2), N(3)]), (0, [0]));
    assert_eq!(c.raw::<4>("call-method", &[S("translate"), N(mmu), N(9)]), (0, [0, ERROR, 0, 9]));
    let vdevice = c.call("open", &[S("/vdevice")]);
    let unit = c.raw::<2>("call-method", &[S("decode-unit"), N(vdevice), N(8), S("71000003")]);
    assert_eq!(unit, (0, [0, 0x7100_0003]));
    let node = c.find("/vdevice/v-scsi/disk");
    assert_eq!(c.call("test-method", &[N(node), S("block-size")]), 0);
    assert_eq!(c.call("test-method", &[N(node), S("instantiate-rtas")]), ERROR);
}

#[test]
fn claim_and_release() {
    let mut c = Client::new();
    assert_eq!(c.call("claim", &[N(0), N(0x1000), N(0)]), ERROR, "firmware is there");
    assert_eq!(c.call("claim", &[N(0x40_0000), N(1), N(0)]), ERROR, "the kernel is there");
    assert_eq!(c.call("claim", &[N(0x7f_f000), N(0x2000), N(0)]), ERROR, "memory ends");
    assert_eq!(c.call("claim", &[N(0), N(0), N(0x1000)]), ERROR);
    assert_eq!(c.call("claim", &[N(0), N(0x10_0000), N(0x10_0000)]), 0x10_0000);
    assert_eq!(c.call("claim", &[N(0), N(0x10_0000), N(0x10_0000)]), 0x20_0000);
    assert_eq!(c.raw::<0>("release", &[N(0x18_0000), N(0x8_0000)]).0, 0);
    assert_eq!(c.call("claim", &[N(0x18_0000), N(0x1000), N(0)]), 0x18_0000);
    assert_eq!(c.call("release", &[N(0x18_0000), N(0x2000)]), ERROR);
    assert_eq!(c.of.claim(0x1000, 0x1000), Some(0x4000));
}

#[test]
fn errors() {
    let mut c = Client::new();
    assert_eq!(c.raw::<1>("set-callback", &[N(0)]), (u64::MAX, [ERROR]));
    assert_eq!(c.raw::<1>("finddevice", &[]), (u64::MAX, [ERROR]));
    assert_eq!(c.raw::<1>("call-method", &[S("x")]), (u64::MAX, [ERROR]));
    assert_eq!(
        c.of.unknown_services().collect::<Vec<_>>(),
        [("call-method", 1), ("finddevice", 1), ("set-callback", 1)]
    );
    assert_eq!(c.call("test", &[S("set-callback")]), ERROR);
    assert_eq!(c.call("test", &[S("milliseconds")]), 0);
    assert_eq!(c.call("milliseconds", &[]), 1234);
    assert_eq!(c.find("/nothing"), ERROR);
    assert_eq!(c.call("finddevice", &[N(0xffff_f000)]), ERROR);
    c.host.ram[0x10_0000..0x10_0800].fill(b'a');
    assert_eq!(c.call("finddevice", &[N(0x10_0000)]), ERROR);
    assert_eq!(c.call("open", &[S("/nothing")]), 0);
    assert_eq!(c.call("getprop", &[N(0x7777), S("reg"), N(BUF), N(4)]), ERROR);
    let root = c.find("/");
    assert_eq!(c.call("getproplen", &[N(root), S("none")]), ERROR);
    assert_eq!(c.call("nextprop", &[N(root), S("none"), N(BUF)]), ERROR);
    assert_eq!(c.call("getprop", &[N(root), S("device_type"), N(0xffff_fff0), N(9)]), ERROR);
    assert_eq!(c.call("getprop", &[N(root), S("device_type"), N(0), N(0)]), 5);
    assert_eq!(c.call("instance-to-package", &[N(0x7777)]), ERROR);
    assert_eq!(c.call("read", &[N(0x7777), N(BUF), N(1)]), ERROR);
    let (r3, [catch]) = c.raw::<1>("call-method", &[S("dance"), N(1)]);
    assert_eq!((r3, catch), (0, ERROR));
    assert_eq!(c.call("interpret", &[S(": foo bar ;")]), ERROR);

    // Arrays that are too long, or not in memory.
    let mut raw = |cells: &[u32], at: u64| {
        let bytes: Vec<u8> = cells.iter().flat_map(|c| c.to_be_bytes()).collect();
        c.host.write(at, &bytes).unwrap();
        c.of.call(&mut c.host, at)
    };
    assert_eq!(raw(&[0x1000, u32::MAX, 1], ARRAY), u64::MAX);
    assert_eq!(raw(&[0x1000, 1, u32::MAX], ARRAY), u64::MAX);
    assert_eq!(raw(&[0x1000, 5, 1], RAM as u64 - 12), u64::MAX);
    assert_eq!(raw(&[0xffff_0000, 0, 1], ARRAY), u64::MAX);
    assert_eq!(c.of.call(&mut c.host, u64::MAX), u64::MAX);
}

#[test]
fn life_and_console() {
    let mut c = Client::new();
    let chosen = c.find("/chosen");
    let stdin = c.cell(chosen, "stdin");
    assert_eq!(c.call("read", &[N(stdin), N(BUF), N(10)]), -2_i32 as u32);
    c.host.input = b"hello".to_vec();
    assert_eq!(c.call("read", &[N(stdin), N(BUF), N(3)]), 3);
    assert_eq!(c.text(3), "hel");
    assert_eq!(c.call("write", &[N(stdin), N(RAM as u32 - 2), N(4)]), ERROR);
    c.raw::<0>("boot", &[S("disk:1 quiet")]);
    c.raw::<0>("exit", &[]);
    c.raw::<0>("enter", &[]);
    c.raw::<0>("chain", &[N(0), N(0), N(0x100), N(0x200), N(3)]);
    assert_eq!(c.call("interpret", &[S("reset-all")]), 0);
    assert_eq!(c.call("interpret", &[S(" power-off ")]), 0);
    assert_eq!(c.host.events, ["boot disk:1 quiet", "exit", "chain 0x100 0x200 3", "boot ", "exit"]);
    let cpu = c.find("/cpus/@8");
    assert_eq!(c.call("start-cpu", &[N(cpu), N(0), N(0)]), ERROR);
}

#[test]
fn what_a_client_can_make_firmware_keep_is_bounded() {
    let mut c = Client::new();
    let root = c.find("/");
    let long = "x".repeat(MAX_NAME);
    assert_eq!(c.call("setprop", &[N(root), S(&long), N(BUF), N(4)]), ERROR);
    assert_eq!(c.call("setprop", &[N(root), S("a b"), N(BUF), N(4)]), ERROR);
    assert_eq!(c.call("setprop", &[N(root), S("name"), N(BUF), N(4)]), ERROR);
    assert_eq!(c.call("setprop", &[N(root), S("p"), N(BUF), N(MAX_PROP as u32 + 1)]), ERROR);
    let stored = (0..1000)
        .take_while(|i| c.call("setprop", &[N(root), S(&format!("p{i}")), N(0), N(0x1_0000)]) != ERROR)
        .count();
    assert!((60..64).contains(&stored), "{stored}");
    let opened = (0..1000).take_while(|_| c.call("open", &[S("/")]) != 0).count();
    assert_eq!(opened, MAX_INSTANCES - 5);
    for i in 0..100 {
        c.raw::<0>(&format!("service-{i}"), &[]);
    }
    assert_eq!(c.of.unknown_services().count(), MAX_UNKNOWN);
}

#[test]
fn every_service_is_listed() {
    let mut c = Client::new();
    for name in services::SERVICES {
        let (r3, _) = c.raw::<1>(name, &[N(0), N(0), N(0), N(0), N(0)]);
        assert_eq!(r3, 0, "{name}");
        assert_eq!(c.call("test", &[S(name)]), 0);
    }
}

#[test]
fn a_rejected_client_is_told() {
    let mut c = Client::new();
    let inst = c.call("open", &[S("/")]);
    let method = "ibm,client-architecture-support";
    let only_power8 = [0xff, 0xff, 0, 0, 0, 0x4d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    c.host.write(0x42_0000, &only_power8).unwrap();
    assert_eq!(c.raw::<2>("call-method", &[S(method), N(inst), N(0x42_0000)]), (0, [0, ERROR]));
    assert!(c.host.vectors.take().is_some());
    // Runs into the end of memory.
    let end = RAM as u32 - 8;
    assert_eq!(c.raw::<2>("call-method", &[S(method), N(inst), N(end)]), (0, [0, ERROR]));
    assert!(c.host.vectors.is_none());
}

#[test]
fn nodes_that_are_replaced_keep_their_instances() {
    let mut c = Client::new();
    let chosen = c.find("/chosen");
    let cpu = c.cell(chosen, "cpu");
    let old = c.of.tree().find("/cpus/@8").unwrap();
    let cpus = c.of.tree().parent(old).unwrap();
    c.of.tree_mut().remove_node(old);
    assert_eq!(c.call("instance-to-package", &[N(cpu)]), ERROR);
    let new = c.of.tree_mut().add_node(cpus, "PowerPC,POWER9@8");
    let package = c.call("instance-to-package", &[N(cpu)]);
    assert_eq!(c.of.tree().by_phandle(package), Some(new));
}

#[test]
fn save_and_restore() {
    let mut c = Client::new();
    let disk = c.call("open", &[S("disk")]);
    c.call("seek", &[N(disk), N(0), N(512)]);
    c.call("claim", &[N(0), N(0x1000), N(0x1000)]);
    c.raw::<0>("unknown", &[]);
    let scsi = c.call("open", &[S("/vdevice/v-scsi")]);
    c.raw::<3>("call-method", &[S("vscsi-report-luns"), N(scsi)]);
    c.raw::<0>("quiesce", &[]);
    let json = serde_json::to_string(&c.of.save()).unwrap();
    let restored = OfClient::restore(serde_json::from_str(&json).unwrap());
    assert_eq!(restored, c.of);
    // What happened since is gone after restoring.
    c.raw::<0>("close", &[N(disk)]);
    assert_ne!(restored, c.of);
    c.of = restored;
    assert_eq!(c.call("read", &[N(disk), N(BUF), N(1)]), 1);
    assert_eq!(c.host.ram[BUF as usize], 1);

    // A disk that cannot be is not restored.
    let count = c.of.save().instances.len();
    for edit in [|a: &mut Area| a.block_size = 0, |a: &mut Area| a.extent.start = u64::MAX] {
        let mut state = c.of.save();
        for (_, InstanceState(instance)) in &mut state.instances {
            if let Kind::Disk(area) = &mut instance.kind {
                edit(area);
            }
        }
        assert_eq!(OfClient::restore(state).instances.len(), count - 1);
    }
}

/// A client that knows the names but passes anything.
#[test]
fn random_calls_do_no_harm() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |bound: u32| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 16) as u32 % bound
    };
    let words = [
        "/",
        "/rtas",
        "disk",
        "disk:0",
        "/vdevice/v-scsi",
        "reg",
        "name",
        "available",
        "block-size",
        "claim",
        "read-blocks",
        "write-blocks",
        "vscsi-report-luns",
        "decode-unit",
        "#blocks",
        "1,2,3",
        "seek",
        "read",
        "write",
        "instantiate-rtas",
        "ibm,client-architecture-support",
        "map",
        "release",
        "reset-all",
    ];
    let mut c = Client::new();
    let mut succeeded = 0;
    for round in 0..30_000 {
        if round % 3000 == 0 {
            c = Client::new();
            for b in &mut c.host.ram[0x10_0000..0x11_0000] {
                *b = next(256) as u8;
            }
        }
        let name = services::SERVICES[next(services::SERVICES.len() as u32) as usize];
        let mut args = Vec::new();
        for _ in 0..next(7) {
            args.push(match next(8) {
                0 | 1 => N(1 + next(20)),
                2 => N(0x10_0000 + next(0x1_0000)),
                3 => N([0, 1, 4, 0x1000, RAM as u32 - 1, 0x7fff_ffff, 0xffff_ffff][next(7) as usize]),
                _ => S(words[next(words.len() as u32) as usize]),
            });
        }
        let (r3, [value, _]) = c.raw::<2>(name, &args);
        succeeded += usize::from(r3 == 0 && value != ERROR);
    }
    assert!(succeeded > 3000, "only {succeeded}");
}
