use std::sync::atomic::AtomicU32;

use device::DmaFault;
use mem::GuestRam;

use super::*;
use crate::scsi::tests::MemDisk;
use crate::scsi::{GOOD, Kind, Unit};
use crate::testing::{Pulses, Rng};

/// A window that maps memory one to one, except for its last 64 KiB.
struct Flat(Arc<GuestRam>);

const MEMORY: u64 = 1 << 20;
const HOLE: u64 = MEMORY - 0x1_0000;

impl DmaSpace for Flat {
    fn map(&self, ioba: u64, len: u64, _: DmaAccess) -> Result<Pieces, DmaFault> {
        let mut p = Pieces::new(self.0.clone());
        if ioba.checked_add(len).is_none_or(|end| end > HOLE) {
            return Err(DmaFault(ioba));
        }
        p.push(ioba, len).map_err(|_| DmaFault(ioba))?;
        Ok(p)
    }
}

/// A disk that keeps requests until it is told to carry them out.
struct Slow {
    inner: Arc<MemDisk>,
    held: Mutex<Vec<(block::Op, block::Done)>>,
    hold: AtomicU32,
}

impl Slow {
    fn release(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        held.into_iter().for_each(|(op, done)| self.inner.submit(op, done));
    }
}

use block::Disk;

impl Disk for Slow {
    fn size(&self) -> u64 {
        self.inner.size()
    }
    fn read_only(&self) -> bool {
        false
    }
    fn submit(&self, op: block::Op, done: block::Done) {
        if self.hold.load(Ordering::SeqCst) != 0 {
            self.held.lock().unwrap().push((op, done));
        } else {
            self.inner.submit(op, done);
        }
    }
    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), block::IoError> {
        self.inner.read_now(offset, out)
    }
    fn drain(&self) {}
}

/// The client's side.
struct Client {
    ram: Arc<GuestRam>,
    disk: Arc<Slow>,
    pulses: Arc<Pulses>,
    adapter: Vscsi,
    read: u64,
}

const QUEUE: u64 = 0x1_0000;
const IUS: u64 = 0x2_0000;
const DATA: u64 = 0x4_0000;

impl Client {
    fn new() -> Self {
        let ram = Arc::new(GuestRam::new(MEMORY).unwrap());
        let (held, hold) = Default::default();
        let disk = Arc::new(Slow { inner: MemDisk::new(4096, false), held, hold });
        let mut target = Target::default();
        target.add(lun(0), Unit::new(disk.clone(), Kind::Disk, "one"));
        target.add(lun(1), Unit::new(MemDisk::new(64, false), Kind::Cdrom, "two"));
        let pulses = Arc::new(Pulses::default());
        let dma = Arc::new(Flat(ram.clone()));
        let adapter = Vscsi::new(UNIT, pulses.line(0x1101), dma, ram.clone(), target);
        Client { ram, disk, pulses, adapter, read: 0 }
    }

    /// Registered, signalling, past the unit attention.
    fn ready() -> Self {
        let mut c = Client::new();
        c.adapter.register_crq(QUEUE, 4096).unwrap();
        c.adapter.signal(1).unwrap();
        assert_eq!(c.run(0, lun(0), &[0; 6], &[]).0, CHECK_CONDITION);
        c
    }

    fn put(&self, slot: u64, iu: &[u8]) -> [u64; 2] {
        let mut full = iu.to_vec();
        full.resize(IU_LEN, 0);
        self.ram.write(IUS + slot * 256, &full).unwrap();
        [0x8001_0000_0000_0000 | iu.len() as u64, IUS + slot * 256]
    }

    /// The next message, taken out of the queue.
    fn next(&mut self) -> Option<[u64; 2]> {
        let at = QUEUE + self.read * 16;
        let mut b = [0; 16];
        self.ram.read(at, &mut b).unwrap();
        if b[0] == 0 {
            return None;
        }
        self.ram.write(at, &[0]).unwrap();
        self.read = (self.read + 1) % 256;
        Some([be64(&b, 0), be64(&b, 8)])
    }

    fn iu(&self, slot: u64) -> [u8; 256] {
        let mut b = [0; 256];
        self.ram.read(IUS + slot * 256, &mut b).unwrap();
        b
    }

    /// An SRP_CMD; `descriptors` come behind it as they are.
    fn srp_cmd(tag: u64, lun: u64, cdb: &[u8], formats: [u8; 3], descriptors: &[u8]) -> Vec<u8> {
        let mut iu = vec![0; 48];
        iu[0] = srp::CMD;
        iu[5..8].copy_from_slice(&formats);
        iu[8..16].copy_from_slice(&tag.to_be_bytes());
        iu[20..28].copy_from_slice(&lun.to_be_bytes());
        iu[32..32 + cdb.len()].copy_from_slice(cdb);
        iu.extend(descriptors);
        iu
    }

    fn direct(at: u64, len: u32) -> Vec<u8> {
        [&at.to_be_bytes()[..], &[0; 4], &len.to_be_bytes()].concat()
    }

    /// A command with data to the client in up to some pieces; status and response.
    fn run(&mut self, slot: u64, lun: u64, cdb: &[u8], pieces: &[(u64, u32)]) -> (u8, [u8; 256]) {
        let list: Vec<u8> = pieces.iter().flat_map(|&(at, len)| Self::direct(at, len)).collect();
        let iu = match pieces.len() {
            0 => Self::srp_cmd(slot, lun, cdb, [0, 0, 0], &[]),
            1 => Self::srp_cmd(slot, lun, cdb, [srp::DIRECT, 0, 0], &list),
            n => {
                let total = pieces.iter().fold(0u32, |sum, p| sum.wrapping_add(p.1));
                let here = n.min(2);
                let mut d = Self::direct(DATA - 0x8000, n as u32 * 16);
                self.ram.write(DATA - 0x8000, &list).unwrap();
                d.extend(total.to_be_bytes());
                d.extend(&list[..here * 16]);
                Self::srp_cmd(slot, lun, cdb, [srp::INDIRECT, 0, here as u8], &d)
            }
        };
        let message = self.put(slot, &iu);
        self.adapter.send_crq(message).unwrap();
        let [high, tag] = self.next().unwrap();
        let rsp = self.iu(slot);
        assert_eq!((high >> 32, tag, rsp[0]), (0x8001_0000, slot, srp::RSP));
        assert_eq!((be64(&rsp, 8), be32(&rsp, 4)), (slot, 1));
        (rsp[19], rsp)
    }

    fn manage(&mut self, slot: u64, lun: u64, function: u8, task: u64) {
        let mut iu = vec![0; 48];
        iu[0] = srp::TSK_MGMT;
        iu[8..16].copy_from_slice(&slot.to_be_bytes());
        iu[20..28].copy_from_slice(&lun.to_be_bytes());
        iu[30] = function;
        iu[32..40].copy_from_slice(&task.to_be_bytes());
        let message = self.put(slot, &iu);
        self.adapter.send_crq(message).unwrap();
    }
}

#[test]
fn a_client_connects_as_linux_does() {
    let mut c = Client::new();
    assert_eq!(c.adapter.send_crq([0xc001 << 48, 0]), Err(H_CLOSED));
    for (at, len) in [(QUEUE + 16, 4096), (QUEUE, 0), (QUEUE, 4080), (HOLE, 4096), (QUEUE, u64::MAX)] {
        assert_eq!(c.adapter.register_crq(at, len), Err(H_PARAMETER));
    }
    c.adapter.register_crq(QUEUE, 4096).unwrap();
    assert_eq!(c.adapter.register_crq(QUEUE, 4096), Err(H_RESOURCE));
    c.adapter.enable_crq().unwrap();
    c.adapter.send_crq([0xc001 << 48, 0]).unwrap();
    assert_eq!(c.pulses.count(), 0);
    // Enabling tells of what waits already; disabled again nothing does.
    c.adapter.signal(1).unwrap();
    assert_eq!(c.pulses.count(), 1);
    assert_eq!(c.next(), Some([0xc002 << 48, 0]));
    c.adapter.signal(1).unwrap();
    assert_eq!((c.pulses.count(), c.next()), (1, None));
    assert_eq!(c.adapter.signal(2), Err(H_PARAMETER));

    let mut info = [0; 24];
    info[3] = 3;
    info[7] = 148;
    info[8..16].copy_from_slice(&0x77u64.to_be_bytes());
    info[16..].copy_from_slice(&DATA.to_be_bytes());
    let [high, low] = c.put(0, &info);
    c.adapter.send_crq([high ^ 3 << 48, low]).unwrap();
    assert_eq!((c.next(), c.pulses.count()), (Some([0x8002_0000_0000_0010, 0x77]), 2));
    assert_eq!(c.iu(0)[4..6], [0, 0]);
    let mut d = [0; 148];
    c.ram.read(DATA, &mut d).unwrap();
    assert_eq!((&d[..4], be32(&d, 116)), (&b"16.a"[..], MAX_TRANSFER));
    // Unknown kinds, and a buffer that is not there.
    for (kind, buffer, status) in [(1, DATA, 0xf1), (2, DATA, 0xf1), (8, 0, 0), (3, HOLE, 0xf7), (5, DATA, 0)]
    {
        info[3] = kind;
        info[7] = 92;
        info[16..].copy_from_slice(&buffer.to_be_bytes());
        let [high, low] = c.put(0, &info);
        c.adapter.send_crq([high ^ 3 << 48, low]).unwrap();
        assert_eq!((c.next().is_some(), c.iu(0)[5]), (true, status), "kind {kind}");
    }

    let mut login = [0; 64];
    login[8..16].copy_from_slice(&0x99u64.to_be_bytes());
    login[25] = 6;
    let message = c.put(1, &login);
    c.adapter.send_crq(message).unwrap();
    assert_eq!(c.next(), Some([0x8001_0000_0000_0034, 0x99]));
    let rsp = c.iu(1);
    assert_eq!((rsp[0], be32(&rsp, 4), be32(&rsp, 16)), (srp::LOGIN_RSP, CREDITS, 256));
    login[25] = 0x80;
    let message = c.put(1, &login);
    c.adapter.send_crq(message).unwrap();
    assert_eq!((c.next().is_some(), c.iu(1)[0]), (true, srp::LOGIN_REJ));
    c.adapter.free_crq().unwrap();
    assert_eq!(c.adapter.send_crq([0xc001 << 48, 0]), Err(H_CLOSED));
}

#[test]
fn data_go_through_all_kinds_of_descriptors() {
    let mut c = Client::ready();
    let read = [0x28, 0, 0, 0, 0, 5, 0, 0, 4];
    let want: Vec<u8> = (5..9u8).flat_map(|n| [n; 512]).collect();
    let shapes: [&[(u64, u32)]; 4] = [
        &[(DATA, 2048)],
        &[(DATA, 1000), (DATA + 0x1000, 1048)],
        &[(DATA, 1000), (DATA + 0x1000, 24), (DATA + 0x2000, 1024)],
        &[(DATA, 2048), (DATA + 0x1000, 1048)],
    ];
    for shape in shapes {
        c.ram.fill(DATA, 0x4000, 0xaa).unwrap();
        let (status, rsp) = c.run(3, lun(0), &read, shape);
        let mut got = Vec::new();
        for &(at, len) in shape {
            let mut b = vec![0; len as usize];
            c.ram.read(at, &mut b).unwrap();
            got.extend(b);
        }
        let more = got.len() - want.len();
        assert_eq!((status, rsp[18], be32(&rsp, 24) as usize), (GOOD, if more > 0 { 16 } else { 0 }, more));
        assert!(got[..2048] == want);
    }
    // Out: one direct descriptor.
    c.ram.fill(DATA, 512, 0x42).unwrap();
    let write = [0x2a, 0, 0, 0, 0, 9, 0, 0, 1];
    let iu = Client::srp_cmd(4, lun(0), &write, [srp::DIRECT << 4, 0, 0], &Client::direct(DATA, 512));
    let message = c.put(4, &iu);
    c.adapter.send_crq(message).unwrap();
    assert_eq!((c.next().is_some(), c.iu(4)[19]), (true, GOOD));
    assert_eq!(c.disk.inner.bytes()[9 * 512..10 * 512], [0x42; 512]);
    // Sense data come with what fails.
    let (status, rsp) = c.run(5, lun(0), &[0xff; 6], &[]);
    assert_eq!((status, rsp[18], be32(&rsp, 28), rsp[38], rsp[48]), (CHECK_CONDITION, 2, 18, 5, 0x20));
    let (status, rsp) = c.run(6, lun(7), &[0x12, 0, 0, 0, 36, 0], &[(DATA, 36)]);
    assert_eq!((status, rsp[38], rsp[48]), (CHECK_CONDITION, 5, 0x25));
    // Memory that is not there, too much of it, too many pieces of it.
    let (status, rsp) = c.run(7, lun(0), &read, &[(HOLE, 2048)]);
    assert_eq!((status, rsp[38]), (CHECK_CONDITION, 4));
    let (status, rsp) = c.run(8, lun(0), &read, &[(0, u32::MAX), (0, u32::MAX)]);
    assert_eq!((status, rsp[38]), (CHECK_CONDITION, 4));
    let iu = Client::srp_cmd(9, lun(0), &read, [srp::INDIRECT, 0, 0], &Client::direct(0, u32::MAX));
    let message = c.put(9, &iu);
    c.adapter.send_crq(message).unwrap();
    assert_eq!((c.next().is_some(), c.iu(9)[19]), (true, CHECK_CONDITION));
    // An information unit that is not there.
    c.adapter.send_crq([0x8001 << 48 | 64, HOLE]).unwrap();
    assert_eq!(c.next(), Some([0x8001_0010_0000_0000, 0]));
}

#[test]
fn aborted_commands_are_silent_and_their_end_is_awaited() {
    let mut c = Client::ready();
    c.disk.hold.store(1, Ordering::SeqCst);
    for slot in 10..14 {
        let iu = Client::srp_cmd(
            slot,
            lun(0),
            &[0x28, 0, 0, 0, 0, 1, 0, 0, 1],
            [1, 0, 0],
            &Client::direct(DATA, 512),
        );
        let message = c.put(slot, &iu);
        c.adapter.send_crq(message).unwrap();
    }
    assert_eq!(c.next(), None);
    assert_eq!(c.adapter.free_crq(), Err(H_BUSY));
    c.manage(20, lun(0), srp::ABORT_TASK, 11);
    c.manage(21, lun(0), srp::ABORT_TASK, 99);
    assert_eq!(c.next().map(|m| m[1]), Some(21), "nothing to wait for");
    assert_eq!(c.next(), None);
    c.disk.hold.store(0, Ordering::SeqCst);
    c.disk.release();
    let mut tags: Vec<u64> = std::iter::from_fn(|| c.next()).map(|m| m[1]).collect();
    tags.sort_unstable();
    assert_eq!(tags, [10, 12, 13, 20]);
    assert_eq!((c.iu(20)[18], c.iu(20)[39]), (1, 0));

    c.disk.hold.store(1, Ordering::SeqCst);
    let iu = Client::srp_cmd(30, lun(0), &[0x35, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0], &[]);
    let message = c.put(30, &iu);
    c.adapter.send_crq(message).unwrap();
    c.manage(31, lun(0), srp::LUN_RESET, 0);
    c.manage(32, lun(9), srp::LUN_RESET, 0);
    c.manage(33, lun(0), 0x40, 0);
    assert_eq!(c.next().map(|m| (m[1], c.iu(32)[39])), Some((32, srp::BAD_FIELDS)));
    assert_eq!(c.next().map(|m| (m[1], c.iu(33)[39])), Some((33, srp::NOT_SUPPORTED)));
    c.disk.hold.store(0, Ordering::SeqCst);
    c.disk.release();
    assert_eq!(c.next().map(|m| m[1]), Some(31));
    assert_eq!(c.next(), None);
    let (_, rsp) = c.run(34, lun(0), &[0; 6], &[]);
    assert_eq!((rsp[38], rsp[48], rsp[49]), (6, 0x29, 3));
    c.adapter.free_crq().unwrap();
}

#[test]
fn a_full_queue_holds_answers_back_and_a_flood_is_refused() {
    let mut c = Client::ready();
    c.next();
    // A client that reads nothing: the queue fills, then the backlog, then messages are refused.
    let sent = (0..1000).take_while(|_| c.adapter.send_crq([0xc001 << 48, 0]).is_ok()).count();
    assert_eq!(sent, 256 + MOST_UNDER_WAY);
    assert_eq!(c.adapter.send_crq([0xc001 << 48, 0]), Err(H_DROPPED));
    let mut got = 0;
    while c.next().is_some() {
        got += 1;
        if got == 256 {
            c.adapter.signal(1).unwrap();
        }
    }
    assert_eq!(got, sent);
    c.adapter.send_crq([0xc001 << 48, 0]).unwrap();
}

#[test]
fn saved_and_restored_in_the_middle() {
    let mut c = Client::ready();
    let saved = serde_json::to_string(&c.adapter.save()).unwrap();
    let mut d = Client::new();
    d.adapter.restore(serde_json::from_str(&saved).unwrap()).unwrap();
    assert_eq!(d.adapter.save(), c.adapter.save());
    d.read = c.read;
    // No unit attention: the unit's state came along.
    assert_eq!(d.run(1, lun(0), &[0; 6], &[]).0, GOOD);
    assert_eq!(c.run(1, lun(0), &[0; 6], &[]).0, GOOD);
    d.adapter.reset();
    assert_eq!(d.adapter.send_crq([0xc001 << 48, 0]), Err(H_CLOSED));
    for bad in [r#"{"queue":{"at":1,"entries":256,"next":0},"signal":true,"backlog":[],"units":{}}"#, "{}"] {
        assert!(d.adapter.restore(serde_json::from_str(bad).unwrap()).is_err());
    }
}

#[test]
fn the_node_says_what_drivers_look_for() {
    let c = Client::new();
    let mut tree = DeviceTree::new();
    let vdevice = tree.add_node(DeviceTree::ROOT, "vdevice");
    let node = c.adapter.describe(&mut tree, vdevice);
    assert_eq!(tree.path(node), "/vdevice/v-scsi@71002000");
    let window = tree.prop(node, "ibm,my-dma-window").unwrap();
    assert_eq!((window.len(), be32(window, 0), be32(window, 16)), (20, UNIT, 256 << 20));
    assert_eq!(tree.prop_str(node, "compatible"), Some("IBM,v-scsi"));
}

/// Messages, information units and descriptors at random. They may overwrite the client's own queue; a client that
/// connects anew works as before.
#[test]
fn rubbish_hurts_nobody_else() {
    let mut c = Client::ready();
    let mut r = Rng::new(11);
    for n in 0..30_000u64 {
        let slot = 40 + r.below(20);
        let mut iu = [0; 256];
        iu.iter_mut().for_each(|b| *b = r.pick(&[0, 0, 0, 1, 2, 4, 16, 0x80, 0xff, n as u8]));
        if r.below(2) == 0 {
            iu[0] = r.pick(&[0, 1, 2, 2, 2, 3, 0xc1]);
            iu[20..28].copy_from_slice(&lun(r.below(3) as u8).to_be_bytes());
            iu[32] = r.pick(&[0x12, 0x28, 0x2a, 0x42, 0x93, 0xa0, 0x1a, 0x43, 0x35]);
        }
        let [mut high, low] = c.put(slot, &iu);
        if r.below(8) == 0 {
            high = r.odd();
        }
        let low = if r.below(8) == 0 { r.odd() } else { low };
        let _ = c.adapter.send_crq([high, low]);
        while c.next().is_some() {}
        if n % 50 == 0 {
            c.adapter.free_crq().unwrap();
            c.ram.fill(QUEUE, 4096, 0).unwrap();
            c.adapter.register_crq(QUEUE, 4096).unwrap();
            c.read = 0;
            // A reset may have left an attention: the disk hears of it once.
            c.run(2, lun(0), &[0; 6], &[]);
            let (status, _) = c.run(2, lun(0), &[0x25], &[(DATA, 8)]);
            assert_eq!(status, GOOD);
        }
    }
    c.adapter.signal(1).unwrap();
    assert!(lock(&c.adapter.0.state).commands.is_empty());
}
