use mem::{GuestRam, Pieces};

use super::*;
use crate::testing::Pulses;
use device::DmaFault;

const MEMORY: u64 = 1 << 20;
/// What no window maps.
const HOLE: u64 = MEMORY / 2;
const QUEUE: u64 = 0x1_0000;

/// A window that maps the first half of memory one to one.
struct Flat(Arc<GuestRam>);

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

struct End {
    ram: Arc<GuestRam>,
    pulses: Arc<Pulses>,
    crq: Crq,
    read: u64,
}

impl End {
    fn new(cable: &Arc<Cable>, side: Side) -> Self {
        let (ram, pulses) = (Arc::new(GuestRam::new(MEMORY).unwrap()), Arc::new(Pulses::default()));
        let owner = Owner { number: 7, name: "seven".into() };
        let dma = Arc::new(Flat(ram.clone()));
        let crq = Crq::new(side, side.unit(0), owner, cable.clone(), pulses.line(0x1104), dma);
        End { ram, pulses, crq, read: 0 }
    }

    fn register(&mut self) -> Result<(), Rc> {
        self.ram.fill(QUEUE, 4096, 0).unwrap();
        self.read = 0;
        let r = self.crq.register_crq(QUEUE, 4096);
        self.crq.signal(1).unwrap();
        r
    }

    /// Takes the next entry out of the queue; its first two bytes and its second word.
    fn next(&mut self) -> Option<(u8, u8, u64)> {
        let at = QUEUE + self.read % 256 * 16;
        let mut bytes = [0; 16];
        self.ram.read(at, &mut bytes).unwrap();
        if bytes[0] == 0 {
            return None;
        }
        self.ram.write(at, &[0]).unwrap();
        self.read += 1;
        Some((bytes[0], bytes[1], u64::from_be_bytes(*bytes.last_chunk().unwrap())))
    }

    fn send(&self, first: u8, second: u8, low: u64) -> Result<(), Rc> {
        self.crq.send_crq([u64::from_be_bytes([first, second, 0, 0, 0, 0, 0, 0]), low])
    }
}

fn pair() -> (Arc<Cable>, End, End) {
    let cable = Arc::new(Cable::default());
    let (c, s) = (End::new(&cable, Side::Client), End::new(&cable, Side::Server));
    (cable, c, s)
}

#[test]
fn messages_go_into_the_other_s_queue() {
    let (_, mut c, mut s) = pair();
    assert_eq!((c.send(0xc0, 1, 0), c.register(), c.send(0xc0, 1, 0)), (Err(2), Err(2), Err(2)));
    assert_eq!((s.register(), s.send(0xc0, 1, 0)), (Ok(()), Ok(())));
    assert_eq!((c.next(), c.next(), c.pulses.count()), (Some((0xc0, 1, 0)), None, 1));
    for n in 0..1000 {
        assert_eq!((c.send(0x80, 1, n), s.next()), (Ok(()), Some((0x80, 1, n))));
    }
    // Only the hypervisor tells events, and only valid entries are entries.
    assert_eq!((c.send(0xff, 1, 0), c.send(0x7f, 1, 0), c.send(0, 0, 0)), (Err(-4), Err(-4), Err(-4)));
    // A queue takes what it has room for.
    let taken = (0..1000).take_while(|n| c.send(0x80, 1, *n).is_ok()).count();
    assert_eq!((taken, c.send(0x80, 1, 0)), (256, Err(H_DROPPED)));
    assert_eq!((s.next(), c.send(0x80, 2, 5)), (Some((0x80, 1, 0)), Ok(())));
    assert_eq!(c.crq.register_crq(QUEUE, 4096), Err(H_RESOURCE));
    s.crq.free_crq().unwrap();
    for (at, len) in
        [(QUEUE + 8, 4096), (QUEUE, 0), (QUEUE, 100), (HOLE, 4096), (QUEUE, 1 << 30), (u64::MAX, 4096)]
    {
        assert_eq!(s.crq.register_crq(at, len), Err(H_PARAMETER), "{at:#x} {len:#x}");
    }
}

#[test]
fn a_server_hears_at_once_and_a_client_when_the_server_is_back() {
    let (cable, mut c, mut s) = pair();
    assert_eq!((s.register(), c.register()), (Err(2), Ok(())));
    c.crq.free_crq().unwrap();
    assert_eq!((s.next(), s.send(0xc0, 1, 0)), (Some((0xff, 2, 0)), Err(2)));
    assert_eq!((c.register(), c.send(0x80, 1, 9), s.next()), (Ok(()), Ok(()), Some((0x80, 1, 9))));
    // The server's partition ends. The client waits.
    drop(s);
    assert_eq!((c.send(0x80, 1, 0), c.next()), (Err(2), None));
    let mut s = End::new(&cable, Side::Server);
    assert_eq!((c.send(0x80, 1, 0), c.next()), (Err(2), None));
    assert_eq!(s.register(), Err(2));
    assert_eq!((c.next(), c.next()), (Some((0xff, 1, 0)), None));
    // Until the client has begun anew there is no connection, either way.
    assert_eq!((s.send(0xc0, 1, 0), c.send(0x80, 1, 0), c.next(), s.next()), (Err(2), Err(2), None, None));
    c.crq.free_crq().unwrap();
    assert_eq!((s.next(), c.register(), c.send(0xc0, 1, 0)), (None, Ok(()), Ok(())));
    assert_eq!(s.next(), Some((0xc0, 1, 0)));
    // A client that begins anew by itself owes nobody an event.
    s.crq.free_crq().unwrap();
    c.crq.free_crq().unwrap();
    assert_eq!((c.register(), s.register(), c.next()), (Err(2), Ok(()), None));
    // A reset is the partition's failure.
    c.crq.reset();
    assert_eq!((s.next(), c.send(0x80, 1, 0)), (Some((0xff, 1, 0)), Err(2)));
}

#[test]
fn an_event_waits_for_room() {
    let (_, mut c, mut s) = pair();
    assert_eq!((s.register(), c.register()), (Err(2), Ok(())));
    while c.send(0x80, 1, 1).is_ok() {}
    c.crq.reset();
    for _ in 0..256 {
        assert_eq!(s.next(), Some((0x80, 1, 1)));
    }
    assert_eq!(s.next(), None);
    s.crq.signal(1).unwrap();
    assert_eq!(s.next(), Some((0xff, 1, 0)));
}

#[test]
fn a_server_reaches_what_its_client_has_mapped_while_both_are_there() {
    let (_, mut c, mut s) = pair();
    let read = |s: &End, at: u64| {
        let mut got = [0; 4];
        let r = s.crq.remote().unwrap().with(&mut |w| w.read(at, &mut got).map_err(|_| H_PERMISSION));
        r.map(|()| got)
    };
    c.ram.write(0x5000, b"data").unwrap();
    c.ram.write(HOLE, b"mine").unwrap();
    assert!(c.crq.remote().is_none());
    assert_eq!(read(&s, 0x5000), Err(H_PERMISSION));
    assert_eq!(s.register(), Err(2));
    assert_eq!(read(&s, 0x5000), Err(H_PERMISSION));
    assert_eq!(c.register(), Ok(()));
    assert_eq!((read(&s, 0x5000), read(&s, HOLE), read(&s, HOLE - 2)), (Ok(*b"data"), Err(-11), Err(-11)));
    s.crq.free_crq().unwrap();
    assert_eq!(read(&s, 0x5000), Err(H_PERMISSION));
    assert_eq!((s.register(), read(&s, 0x5000)), (Err(2), Err(H_PERMISSION)));
    c.crq.free_crq().unwrap();
    assert_eq!((c.register(), read(&s, 0x5000)), (Ok(()), Ok(*b"data")));
    drop(c);
    assert_eq!(read(&s, 0x5000), Err(H_PERMISSION));
}

#[test]
fn who_the_partner_is() {
    let (_, _c, s) = pair();
    assert_eq!(s.crq.control(GET_PARTNER_INFO, [32 << 32 | 0x8000, 0]), Ok(()));
    let mut info = [0xee; 32];
    s.ram.read(0x8000, &mut info).unwrap();
    assert_eq!(
        (info[..16].to_vec(), &info[16..22]),
        ([7u64.to_be_bytes(), u64::from(CLIENT_UNIT).to_be_bytes()].concat(), &b"seven\0"[..])
    );
    assert_eq!(s.crq.control(GET_PARTNER_INFO, [32 << 32 | HOLE, 0]), Err(H_PARAMETER));
    assert_eq!(s.crq.control(0x1d, [30000, 0]), Err(H_NOT_FOUND));
    let mut tree = DeviceTree::new();
    let vdevice = tree.add_node(DeviceTree::ROOT, "vdevice");
    let node = s.crq.describe(&mut tree, vdevice);
    let windows = tree.prop(node, "ibm,my-dma-window").unwrap();
    let numbers = [0, 20].map(|at| u32::from_be_bytes(*windows[at..].first_chunk().unwrap()));
    assert_eq!((windows.len(), numbers), (40, [SERVER_UNIT, s.crq.liobn()]));
}

#[test]
fn saved_and_restored() {
    let (_, mut c, mut s) = pair();
    assert_eq!((s.register(), c.register()), (Err(2), Ok(())));
    assert_eq!((s.send(0xc0, 1, 0), c.send(0xc0, 2, 0)), (Ok(()), Ok(())));
    let (saved_c, saved_s) = (c.crq.save(), s.crq.save());
    // Both go on elsewhere: there the connection has to be made anew.
    let (_, mut d, mut t) = pair();
    for (from, to) in [(&c, &mut d), (&s, &mut t)] {
        let mut queue = [0; 4096];
        from.ram.read(QUEUE, &mut queue).unwrap();
        to.ram.write(QUEUE, &queue).unwrap();
    }
    t.crq.restore(saved_s).unwrap();
    d.crq.restore(saved_c.clone()).unwrap();
    assert_eq!((d.next(), d.next()), (Some((0xc0, 1, 0)), Some((0xff, 6, 0))));
    assert_eq!((t.next(), t.next()), (Some((0xc0, 2, 0)), Some((0xff, 6, 0))));
    assert_eq!(d.send(0xc0, 1, 0), Err(2));
    assert_eq!((d.crq.enable_crq(), d.send(0xc0, 1, 0), t.next()), (Ok(()), Ok(()), Some((0xc0, 1, 0))));
    let mut wrong = saved_c;
    wrong["queue"]["next"] = 256.into();
    assert!(d.crq.restore(wrong).is_err());
}
