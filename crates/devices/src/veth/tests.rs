use super::*;
use crate::testing::{Pulses, Rng};
use device::DmaFault;
use mem::{GuestRam, Pieces};
use net::finish::sum;

const QUEUE: u64 = 0x1000;
const LIST: u64 = 0x2000;
const FILTERS: u64 = 0x3000;
const ENTRIES: u32 = 8;
const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
const SIZE: u64 = 1 << 20;
/// One page that no device may touch.
const HOLE: u64 = 0x8000;

/// I/O addresses are real addresses, but for a hole.
struct Flat(Arc<GuestRam>);

impl DmaSpace for Flat {
    fn map(&self, ioba: u64, len: u64, _: DmaAccess) -> Result<Pieces, DmaFault> {
        let mut p = Pieces::new(self.0.clone());
        if ioba < HOLE + 0x1000 && ioba.saturating_add(len) > HOLE {
            return Err(DmaFault(HOLE));
        }
        p.push(ioba, len).map_err(|_| DmaFault(ioba))?;
        Ok(p)
    }
}

#[derive(Default)]
struct TestPort {
    sent: Mutex<Vec<(Vec<u8>, Offload)>>,
    rooms: AtomicU64,
    trunk: Option<u8>,
}

impl Port for TestPort {
    fn connect(&self, _: Arc<dyn Nic>) {}
    fn send(&self, frame: &[u8], offload: Offload) {
        self.sent.lock().unwrap().push((frame.to_vec(), offload));
    }
    fn room(&self) {
        self.rooms.fetch_add(1, Ordering::SeqCst);
    }
    fn trunk(&self) -> Option<u8> {
        self.trunk
    }
    fn takes_offloads(&self) -> bool {
        false
    }
}

struct Bench {
    ram: Arc<GuestRam>,
    port: Arc<TestPort>,
    pulses: Arc<Pulses>,
    veth: Veth,
    /// What the guest's driver would keep.
    next: u32,
    toggle: bool,
}

fn bench_on(port: TestPort) -> Bench {
    let ram = Arc::new(GuestRam::new(SIZE).unwrap());
    let (port, pulses) = (Arc::new(port), Arc::new(Pulses::default()));
    let window = VioWindow { liobn: 9, size: WINDOW };
    let veth =
        Veth::new(0x7100_0200, pulses.line(0x1100), window, Arc::new(Flat(ram.clone())), port.clone(), MAC);
    Bench { ram, port, pulses, veth, next: 0, toggle: true }
}

fn bench() -> Bench {
    let b = bench_on(TestPort::default());
    assert_eq!(b.register(), Ok(()));
    b
}

fn desc(at: u64, len: u64) -> u64 {
    desc::VALID | len << 32 | at
}

#[derive(PartialEq, Eq, Debug)]
struct Got {
    flags: u32,
    handle: u64,
    frame: Vec<u8>,
    segment: u64,
}

impl Bench {
    fn register(&self) -> Result<(), Rc> {
        let queue = desc(QUEUE, u64::from(ENTRIES * ENTRY));
        self.veth.register(LIST, queue, FILTERS, number(MAC))
    }

    /// Adds a buffer with its own address as the handle.
    fn add(&self, at: u64, len: u64) -> Result<(), Rc> {
        self.ram.write_u64_be(at, at).unwrap();
        self.veth.add_buffers(&[desc(at, len)])
    }

    /// The next entry of the receive queue, as Linux's driver reads it.
    fn poll(&mut self) -> Option<Got> {
        let at = QUEUE + u64::from(self.next * ENTRY);
        let flags = self.ram.read_u32_be(at).unwrap();
        if (flags & entry::TOGGLE != 0) != self.toggle {
            return None;
        }
        self.next += 1;
        if self.next == ENTRIES {
            (self.next, self.toggle) = (0, !self.toggle);
        }
        let handle = self.ram.read_u64_be(at + 8).unwrap();
        let mut frame = vec![0; self.ram.read_u32_be(at + 4).unwrap() as usize];
        self.ram.read(handle + u64::from(flags & 0xffff), &mut frame).unwrap();
        let segment = self.ram.read_u64_be(handle + 8).unwrap();
        Some(Got { flags: flags & !entry::TOGGLE, handle, frame, segment })
    }

    fn sent(&self) -> Vec<(Vec<u8>, Offload)> {
        std::mem::take(&mut self.port.sent.lock().unwrap())
    }

    fn dropped(&self) -> u64 {
        self.ram.read_u64_be(LIST + NO_BUFFER).unwrap()
    }

    fn offloads(&self) {
        let all = attr::IPV4_CHECKSUM | attr::IPV6_CHECKSUM | attr::LARGE_ENABLED;
        self.veth.attributes(0, all).unwrap();
    }
}

fn frame(len: usize) -> Vec<u8> {
    let mut f = vec![0xff; 6];
    f.extend((6..len).map(|n| n as u8));
    f
}

/// A TCP packet without a checksum, as the driver hands one over whose checksum is left to do.
fn tcp(data: usize) -> Vec<u8> {
    let mut f = [MAC, [2; 6]].concat();
    f.extend([8, 0, 0x45, 0]);
    f.extend((40 + data as u16).to_be_bytes());
    f.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let c = !net::finish::fold(sum(&f[14..34]));
    f[24..26].copy_from_slice(&c.to_be_bytes());
    f.extend([0, 80, 0, 90, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    f.extend((0..data).map(|n| n as u8));
    f
}

#[test]
fn frames_go_into_the_smallest_buffer_that_holds_them() {
    let mut b = bench();
    for (at, len) in [(0x10000, 2048), (0x20000, 512), (0x30000, 65536)] {
        assert_eq!(b.add(at, len), Ok(()));
    }
    assert!(b.veth.deliver(&frame(60), Offload::default()));
    assert!(b.veth.deliver(&frame(505), Offload::default()));
    let plain = |handle, len| Some(Got { flags: entry::VALID | 8, handle, frame: frame(len), segment: 0 });
    let small = b.poll().map(|g| Got { segment: 0, ..g });
    assert_eq!(small, plain(0x20000, 60));
    assert_eq!(b.poll().map(|g| Got { segment: 0, ..g }), plain(0x10000, 505));
    assert_eq!(b.poll(), None);
    assert!(b.veth.deliver(&frame(60000), Offload::default()));
    assert_eq!(b.poll().map(|g| g.handle), Some(0x30000));
}

#[test]
fn the_toggle_changes_with_every_round() {
    let mut b = bench();
    for n in 0..3 * ENTRIES as u64 + 3 {
        b.add(0x10000 + n * 0x400, 1024).unwrap();
        assert!(b.veth.deliver(&frame(100 + n as usize), Offload::default()));
        assert_eq!(b.poll().map(|g| g.frame), Some(frame(100 + n as usize)));
        assert_eq!(b.poll(), None);
    }
}

#[test]
fn the_interrupt_comes_at_the_end_of_a_batch_when_it_is_enabled() {
    let b = bench();
    for n in 0..4 {
        b.add(0x10000 + n * 0x800, 2048).unwrap();
    }
    let count = || b.pulses.count();
    b.veth.deliver(&frame(60), Offload::default());
    b.veth.done();
    assert_eq!(count(), 0);
    assert_eq!((b.veth.signal(1), b.veth.signal(2)), (Ok(()), Err(H_PARAMETER)));
    b.veth.done();
    assert_eq!(count(), 0);
    b.veth.deliver(&frame(60), Offload::default());
    b.veth.deliver(&frame(60), Offload::default());
    assert_eq!(count(), 0);
    b.veth.done();
    b.veth.done();
    assert_eq!(count(), 1);
}

#[test]
fn without_a_buffer_a_frame_waits_then_is_counted() {
    let b = bench();
    // None was ever large enough: lost at once.
    assert!(b.veth.deliver(&frame(60), Offload::default()));
    assert_eq!(b.dropped(), 1);
    b.add(0x10000, 512).unwrap();
    assert!(b.veth.deliver(&frame(60), Offload::default()));
    assert!(!b.veth.deliver(&frame(60), Offload::default()));
    assert_eq!(b.port.rooms.load(Ordering::SeqCst), 0);
    b.add(0x10000, 512).unwrap();
    assert_eq!(b.port.rooms.load(Ordering::SeqCst), 1);
    assert!(b.veth.deliver(&frame(60), Offload::default()));
    assert!(!b.veth.deliver(&frame(60), Offload::default()));
    std::thread::sleep(PATIENCE);
    assert!(b.veth.deliver(&frame(60), Offload::default()));
    assert_eq!(b.dropped(), 2);
}

#[test]
fn large_packets_come_whole_or_cut() {
    let mut b = bench();
    let packet = tcp(4000);
    let left =
        Offload { checksum: Some((34, 16)), gso: Gso::Tcp4, header_len: 54, segment: 1448, checked: false };
    for n in 0..3 {
        b.add(0x10000 + n * 0x800, 2048).unwrap();
    }
    assert!(!b.veth.takes_offloads());
    assert!(b.veth.deliver(&packet, left));
    let parts: Vec<Got> = std::iter::from_fn(|| b.poll()).collect();
    assert_eq!(parts.iter().map(|p| p.frame.len() - 54).collect::<Vec<_>>(), [1448, 1448, 4000 - 2896]);
    assert!(parts.iter().all(|p| p.flags & entry::CHECKSUM_GOOD != 0 && p.frame[50..52] != [0, 0]));
    b.offloads();
    assert!(b.veth.takes_offloads());
    b.add(0x20000, 65536).unwrap();
    let mut filled = packet.clone();
    filled[50..52].fill(0x77);
    assert!(b.veth.deliver(&filled, left));
    let got = b.poll().unwrap();
    let flags = entry::VALID | entry::LARGE | entry::NO_CHECKSUM | entry::CHECKSUM_GOOD;
    assert_eq!((got.flags, got.segment), (flags | 16, 1448));
    assert_eq!(got.frame, packet);
}

#[test]
fn a_large_packet_is_cut_if_its_segments_have_better_buffers() {
    let mut b = bench();
    b.offloads();
    let left =
        Offload { checksum: Some((34, 16)), gso: Gso::Tcp4, header_len: 54, segment: 1448, checked: false };
    b.add(0x20000, 65536).unwrap();
    // Two are not enough for three segments, three are.
    for (n, count) in [(0, 1), (1, 1), (2, 3)] {
        b.add(0x10000 + n * 0x800, 2048).unwrap();
        if n == 0 {
            continue;
        }
        assert!(b.veth.deliver(&tcp(4000), left));
        let got: Vec<Got> = std::iter::from_fn(|| b.poll()).collect();
        assert_eq!(got.len(), count);
        assert_eq!(got[0].flags & entry::LARGE != 0, count == 1);
        if count == 1 {
            b.add(0x20000, 65536).unwrap();
        }
    }
    // What fills its buffer stays whole, however many small ones there are.
    for n in 0..30 {
        b.add(0x10000 + n * 0x800, 2048).unwrap();
    }
    assert!(b.veth.deliver(&tcp(40000), left));
    let got = b.poll().unwrap();
    assert!(got.flags & entry::LARGE != 0 && got.frame.len() == 40054 && b.poll().is_none());
}

#[test]
fn multicast_is_filtered() {
    let mut b = bench();
    let group = [1, 0, 0x5e, 0, 0, 1];
    let mut to_group = frame(60);
    to_group[..6].copy_from_slice(&group);
    let arrives = |b: &mut Bench, f: &[u8]| {
        b.add(0x10000, 2048).unwrap();
        assert!(b.veth.deliver(f, Offload::default()));
        let got = b.poll().is_some();
        if !got {
            b.veth.free_buffer(2048).unwrap();
            assert_eq!(b.poll().map(|g| (g.flags, g.handle)), Some((0, 0x10000)));
        }
        got
    };
    assert!(!arrives(&mut b, &to_group) && arrives(&mut b, &frame(60)));
    use mcast::*;
    b.veth.multicast(RECEIVE_MODIFY | RECEIVE_ENABLE, 0).unwrap();
    assert!(arrives(&mut b, &to_group));
    b.veth.multicast(FILTER_MODIFY | FILTER_ENABLE, 0).unwrap();
    assert!(!arrives(&mut b, &to_group));
    b.veth.multicast(ADD, number(group)).unwrap();
    assert!(arrives(&mut b, &to_group));
    assert_eq!(b.veth.multicast(ADD, number(MAC)), Err(H_PARAMETER));
    b.veth.multicast(REMOVE, number(group)).unwrap();
    assert!(!arrives(&mut b, &to_group));
    for n in 0..MAX_FILTERS as u64 {
        b.veth.multicast(ADD, number(group) + n).unwrap();
    }
    assert_eq!(b.veth.multicast(ADD, number(group) + 999), Err(H_RESOURCE));
    b.veth.multicast(CLEAR | FILTER_MODIFY, 0).unwrap();
    assert!(arrives(&mut b, &to_group));
}

#[test]
fn frames_are_gathered_and_sent() {
    let b = bench();
    let f = frame(300);
    b.ram.write(0x10000, &f[..14]).unwrap();
    b.ram.write(0x20001, &f[14..]).unwrap();
    let two = [desc(0x10000, 14), desc(0x20001, 286), 0, desc(0x30000, 5), 0, 0];
    assert_eq!(b.veth.send(two, 0), Ok(()));
    assert_eq!(b.sent(), [(f, Offload::default())]);
    for bad in [desc(0x10000, 13), desc(0x10000, 65555), desc(HOLE, 100), desc(SIZE - 8, 60), 0] {
        assert_eq!(b.veth.send([bad, 0, 0, 0, 0, 0], 0), Err(H_PARAMETER), "{bad:#x}");
    }
    assert_eq!(b.veth.send([desc(0x10000, 65536); 6], 0), Err(H_PARAMETER));
    assert_eq!(b.sent(), []);
    b.veth.free().unwrap();
    assert_eq!(b.veth.send(two, 0), Err(H_DROPPED));
}

#[test]
fn checksum_and_segmentation_are_left_to_the_network() {
    let b = bench();
    let packet = tcp(3000);
    b.ram.write(0x10000, &packet).unwrap();
    let one = |flags| [desc(0x10000, packet.len() as u64) | flags, 0, 0, 0, 0, 0];
    b.veth.send(one(desc::NO_CHECKSUM), 0).unwrap();
    b.veth.send(one(desc::NO_CHECKSUM | desc::LARGE), 1448).unwrap();
    let sent = b.sent();
    let whole = Offload { checksum: Some((34, 16)), ..Offload::default() };
    assert_eq!(sent[0].1, whole);
    assert_eq!(sent[1].1, Offload { gso: Gso::Tcp4, header_len: 54, segment: 1448, ..whole });
    // What is sent can be received: the checksum is right once it is done.
    net::finish::finish(&sent[0].0, whole, &mut |f| {
        let l = layers(f).unwrap();
        assert_eq!(net::finish::fold(l.pseudo(f, f.len() - 34) + sum(&f[34..])), 0xffff);
    });
    // The older way to say the same.
    b.ram.write(0x10000 + 24, &[0xff, 0xff]).unwrap();
    b.ram.write(0x10000 + 50, &1448u16.to_be_bytes()).unwrap();
    b.veth.send(one(desc::NO_CHECKSUM), 0).unwrap();
    assert_eq!(b.sent(), [sent[1].clone()]);
    assert_eq!(b.veth.send(one(desc::NO_CHECKSUM | desc::LARGE), 0), Err(H_PARAMETER));
    b.ram.write(0x10000 + 12, &[0x88, 0xb5]).unwrap();
    assert_eq!(b.veth.send(one(desc::NO_CHECKSUM), 0), Err(H_PARAMETER));
}

#[test]
fn registration_is_checked() {
    let b = bench_on(TestPort { trunk: Some(3), ..TestPort::default() });
    let queue = desc(QUEUE, 64);
    for (list, q, filters, mac) in [
        (LIST + 8, queue, FILTERS, 0),
        (LIST, queue & !desc::VALID, FILTERS, 0),
        (LIST, desc(QUEUE + 8, 64), FILTERS, 0),
        (LIST, desc(QUEUE, 72), FILTERS, 0),
        (LIST, desc(QUEUE, 0), FILTERS, 0),
        (LIST, desc(HOLE, 64), FILTERS, 0),
        (HOLE, queue, FILTERS, 0),
        (LIST, queue, SIZE, 0),
        (LIST | 1 << 32, queue, FILTERS, 0),
        (LIST, queue, FILTERS, 1 << 40),
        (LIST, queue, FILTERS, 1 << 48 | 2),
    ] {
        assert_eq!(b.veth.register(list, q, filters, mac), Err(H_PARAMETER));
    }
    assert_eq!(b.add(0x10000, 2048), Err(H_RESOURCE));
    assert_eq!((b.veth.free(), b.veth.multicast(0, 0)), (Err(H_RESOURCE), Err(H_RESOURCE)));
    assert!(b.veth.deliver(&frame(60), Offload::default()));
    assert_eq!((b.register(), b.register()), (Ok(()), Err(H_RESOURCE)));
    for bad in [0, desc(0x10000, 15), desc(0x10002, 2048), desc(HOLE - 16, 2048), desc(SIZE, 16)] {
        assert_eq!(b.veth.add_buffers(&[bad]), Err(H_PARAMETER), "{bad:#x}");
    }
    // All or none.
    assert_eq!(b.veth.add_buffers(&[desc(0x10000, 2048), desc(HOLE, 2048)]), Err(H_PARAMETER));
    assert_eq!(b.veth.free_buffer(2048), Err(H_NOT_FOUND));
    assert_eq!(
        b.veth.add_buffers(&[desc(0x10000, 2048), desc(0x11000, 2048), 0, desc(0x12000, 2048)]),
        Ok(())
    );
    assert_eq!([0; 3].map(|_| b.veth.free_buffer(2048)), [Ok(()), Ok(()), Err(H_NOT_FOUND)]);
    let fixed = 0x4_a000 | 0x301;
    assert_eq!(b.veth.attributes(0, 0), Ok(fixed));
    assert_eq!(b.veth.attributes(0, 0x10006), Ok(fixed | 0x10006));
    assert_eq!(b.veth.attributes(4, 0), Ok(fixed | 0x10002));
    assert_eq!((b.veth.attributes(0, 1), b.veth.attributes(2, 2)), (Err(H_PARAMETER), Err(H_PARAMETER)));
    assert_eq!(b.veth.change_mac(1 << 40), Err(H_PARAMETER));
    assert_eq!(b.veth.change_mac(0x0200_0000_0001), Ok(()));
    assert_eq!(b.veth.mac(), Some([2, 0, 0, 0, 0, 1]));
    b.veth.reset();
    assert_eq!((b.veth.mac(), b.veth.attributes(0, 0)), (Some(MAC), Ok(fixed)));
}

#[test]
fn buffers_have_limits() {
    let b = bench();
    let mut n = 0;
    while b.veth.add_buffers(&[desc(0x10000, 512); 8]).is_ok() {
        n += 8;
    }
    assert_eq!(n, MAX_BUFFERS);
    b.veth.free().unwrap();
    b.register().unwrap();
    let all = (0..100).filter(|n| b.veth.add_buffers(&[desc(0x10000, 512 + n)]).is_ok()).count();
    assert_eq!(all, MAX_SIZES);
}

#[test]
fn the_state_can_be_saved_and_checked() {
    let mut b = bench();
    b.offloads();
    b.add(0x10000, 2048).unwrap();
    b.add(0x11000, 2048).unwrap();
    b.veth.signal(1).unwrap();
    b.veth.multicast(mcast::ADD | mcast::RECEIVE_MODIFY | mcast::RECEIVE_ENABLE, 0x0100_5e00_0001).unwrap();
    b.veth.deliver(&frame(60), Offload::default());
    let saved = b.veth.save();
    b.veth.reset();
    b.veth.restore(saved.clone()).unwrap();
    assert_eq!(b.veth.save(), saved);
    assert!(b.poll().is_some());
    b.veth.deliver(&frame(61), Offload::default());
    assert_eq!(b.poll().map(|g| g.frame.len()), Some(61));
    let bad = |edit: &dyn Fn(&mut VethState)| {
        let mut s: VethState = serde_json::from_value(saved.clone()).unwrap();
        edit(&mut s);
        assert!(b.veth.restore(serde_json::to_value(s).unwrap()).is_err());
    };
    bad(&|s| s.version = 9);
    bad(&|s| s.mac = 1 << 40);
    bad(&|s| s.attributes = 1);
    bad(&|s| s.rx.open.as_mut().unwrap().next = ENTRIES * ENTRY);
    bad(&|s| s.rx.open.as_mut().unwrap().queue_len = 7);
    assert!(b.veth.restore(serde_json::json!({})).is_err());
}

#[test]
fn the_node_is_what_drivers_look_for() {
    let b = bench();
    let mut tree = DeviceTree::new();
    let vdevice = tree.ensure_node(DeviceTree::ROOT, "vdevice");
    let n = b.veth.describe(&mut tree, vdevice);
    assert_eq!(tree.path(n), "/vdevice/l-lan@71000200");
    assert_eq!(tree.prop(n, "local-mac-address"), Some(&[0, 0, 0x52, 0x54, 0, 1, 2, 3][..]));
    assert_eq!(tree.prop_u32(n, "ibm,mac-address-filters"), Some(255));
    let window: Vec<u8> = [9u32, 0, 0, 0, 256 << 20].iter().flat_map(|c| c.to_be_bytes()).collect();
    assert_eq!(tree.prop(n, "ibm,my-dma-window"), Some(&window[..]));
    assert_eq!(tree.prop(n, "ibm,trunk-adapter"), None);
}

/// Anything a guest may say, while frames arrive: nothing breaks, and afterwards the adapter works.
#[test]
fn a_hostile_guest_harms_itself_only() {
    let mut b = bench();
    let mut r = Rng::new(7);
    for _ in 0..20000 {
        let at = |r: &mut Rng| match r.below(3) {
            0 => r.odd(),
            _ => r.below(SIZE / 64) * 64,
        };
        let d = |r: &mut Rng| {
            let len = r.below(70000);
            (if r.below(8) > 0 { desc::VALID } else { 0 })
                | r.below(16) << 56
                | len << 32
                | at(r) & 0xffff_ffff
        };
        match r.below(12) {
            0 => drop(b.veth.register(at(&mut r) & !0xfff, d(&mut r) & !(0xf << 32 | 0xf), FILTERS, r.odd())),
            1 => drop(b.veth.free()),
            2 | 3 => drop(b.veth.add_buffers(&[d(&mut r), d(&mut r)])),
            4 => drop(b.veth.free_buffer(r.below(70000))),
            5 | 6 => drop(b.veth.send(std::array::from_fn(|_| d(&mut r)), r.odd())),
            7 => drop(b.veth.multicast(r.odd(), r.odd())),
            8 => drop(b.veth.change_mac(r.odd())),
            9 => drop(b.veth.attributes(r.odd(), r.odd() & 0x10006)),
            10 => drop(b.veth.signal(r.below(3))),
            _ => {
                let o = Offload {
                    checksum: (r.below(2) == 0).then(|| (r.odd() as u16, r.odd() as u16)),
                    gso: [Gso::None, Gso::Tcp4, Gso::Tcp6][r.below(3) as usize],
                    header_len: r.odd() as u16,
                    segment: r.odd() as u16,
                    checked: r.below(2) == 0,
                };
                let f = if r.below(2) == 0 {
                    tcp(r.below(60000) as usize)
                } else {
                    frame(r.below(3000) as usize)
                };
                b.veth.deliver(&f, o);
                b.veth.done();
            }
        }
        if r.below(100) == 0 {
            let saved = b.veth.save();
            b.veth.restore(saved).unwrap();
        }
    }
    b.veth.reset();
    b.ram.fill(QUEUE, 0x1000, 0).unwrap();
    b.register().unwrap();
    b.add(0x10000, 2048).unwrap();
    assert!(b.veth.deliver(&frame(60), Offload::default()));
    assert_eq!(b.poll().map(|g| g.frame), Some(frame(60)));
}
