use super::*;
use crate::rc::HcallError;
use crate::testing::{Event, Lines, Ring, Rng, STRESS_SERVERS, Stressed, stress};

const A: u32 = 0x1100;
const B: u32 = 0x1110;
const L: u32 = 0x1200;
const PRIO: u64 = 6;
const OS: u64 = TIMA_OS - TIMA_BASE;
const MEMORY: usize = 1 << 20;

struct Bench {
    lines: Arc<Lines>,
    memory: Arc<Ring>,
    x: Xive,
}

/// All servers have a 64 KiB queue at priority 6 and let everything through.
fn bench(servers: u32) -> Bench {
    let b = bare(servers);
    for s in 0..servers {
        b.x.set_queue_config(1, s as u64, PRIO, (s as u64) << 16, 16).unwrap();
        b.cppr(s, 0xff);
    }
    b
}

fn bare(servers: u32) -> Bench {
    let lines = Arc::new(Lines::new(servers as usize));
    let memory = Arc::new(Ring::new(MEMORY));
    let map = ServerMap::new(&(0..servers).collect::<Vec<_>>());
    let x = Xive::new(map, lines.clone(), memory.clone());
    x.claim(A, IrqKind::Msi).unwrap();
    x.claim(B, IrqKind::Msi).unwrap();
    x.claim(L, IrqKind::Lsi).unwrap();
    Bench { lines, memory, x }
}

impl Bench {
    fn cppr(&self, server: u32, cppr: u8) {
        self.x.tima_store(server, OS + 0x11, 1, cppr as u64);
    }

    fn ack(&self, server: u32) -> u64 {
        self.x.tima_load(server, OS + 0x810, 2)
    }

    fn manage(&self, source: u32, offset: u64) -> u64 {
        self.x.esb_load(((source as u64) << 17) + 0x1_0000 + offset, 8)
    }

    fn trigger(&self, source: u32) {
        self.x.esb_store((source as u64) << 17, 8, 0);
    }

    /// Assigns a source and switches it on.
    fn start(&self, source: u32, server: u32, eisn: u64) {
        self.x.set_source_config(2, source as u64, server as u64, PRIO, eisn).unwrap();
        self.manage(source, 0xc00);
    }

    fn store_eoi(&self, source: u32) {
        self.x.esb_store(((source as u64) << 17) + 0x1_0400, 8, 0);
    }
}

/// The guest's side of a queue.
struct Reader {
    base: u64,
    index: u64,
    toggle: u32,
}

impl Reader {
    fn new(server: u32) -> Self {
        Reader { base: (server as u64) << 16, index: 0, toggle: 0 }
    }

    fn next(&mut self, memory: &Ring) -> Option<u32> {
        let entry = memory.read(self.base + self.index * 4);
        if entry >> 31 == self.toggle {
            return None;
        }
        self.index = (self.index + 1) % (1 << 14);
        if self.index == 0 {
            self.toggle ^= 1;
        }
        Some(entry & 0x7fff_ffff)
    }
}

#[test]
fn an_ipi_by_loads_and_stores_alone() {
    let b = bench(2);
    b.start(1, 1, 0x123);
    b.trigger(1);
    assert!(b.lines.level(1) && !b.lines.level(0));
    assert_eq!(b.memory.read(0x1_0000), 0x8000_0123);
    // NSR CPPR IPB LSMFB ACK_CNT INC AGE PIPR
    assert_eq!(b.x.tima_load(1, OS + 0x10, 8), 0x80ff_02ff_ff00_0006);
    assert_eq!(b.x.tima_load(1, OS + 0x10, 4), 0x80ff_02ff);
    assert_eq!(b.x.tima_load(1, OS + 0x11, 1), 0xff);
    assert_eq!(b.ack(1), 0x8006);
    assert!(!b.lines.level(1));
    assert_eq!(b.x.tima_load(1, OS + 0x10, 8), 0x0006_00ff_ff00_00ff);
    assert_eq!(b.ack(1), 0x0006);
    assert_eq!(b.manage(1, 0x800), PQ_PENDING as u64);
    // Twice more while in service: one more event after the end.
    b.trigger(1);
    b.trigger(1);
    assert_eq!(b.manage(1, 0x800), PQ_QUEUED as u64);
    assert_eq!(b.memory.read(0x1_0004), 0);
    b.store_eoi(1);
    assert_eq!(b.memory.read(0x1_0004), 0x8000_0123);
    assert!(!b.lines.level(1), "the current priority is 6");
    b.cppr(1, 0xff);
    assert!(b.lines.level(1));
    b.ack(1);
    b.store_eoi(1);
    assert_eq!(b.manage(1, 0x800), PQ_RESET as u64);
    assert_eq!(b.memory.read(0x1_0008), 0);
}

#[test]
fn state_bits_by_loads() {
    let b = bench(1);
    assert_eq!(b.manage(A, 0x800), PQ_OFF as u64);
    b.trigger(A);
    assert_eq!(b.manage(A, 0x800), PQ_OFF as u64);
    for (offset, old) in [(0xc00, 1), (0xd00, 0), (0xe00, 1), (0xf00, 2), (0x800, 3), (0xc40, 3), (0xcff, 0)]
    {
        assert_eq!(b.manage(A, offset), old, "{offset:#x}");
    }
    // The end of an event by load: 1 if another one follows.
    b.start(A, 0, 9);
    b.trigger(A);
    b.trigger(A);
    assert_eq!((b.manage(A, 0), b.memory.read(4)), (1, 0x8000_0009));
    assert_eq!((b.manage(A, 0x400), b.manage(A, 0x800)), (0, 0));
    // Stores to the management page set the bits, too, and trigger at 0.
    b.x.esb_store(((A as u64) << 17) + 0x1_0d00, 8, 0);
    assert_eq!(b.manage(A, 0x800), PQ_OFF as u64);
    b.manage(A, 0xc00);
    b.x.esb_store(((A as u64) << 17) + 0x1_0000, 8, 0);
    b.x.esb_store(((A as u64) << 17) + 0x1_0800, 8, 0);
    assert_eq!(b.manage(A, 0x800), PQ_PENDING as u64);
    // Trigger pages cannot be loaded, free sources not at all.
    assert_eq!(b.x.esb_load((A as u64) << 17, 8), u64::MAX);
    assert_eq!(b.x.esb_load((A as u64) << 17, 4), u32::MAX as u64);
    assert_eq!(b.manage(A + 1, 0x800), u64::MAX);
    b.trigger(A + 1);
}

#[test]
fn levels() {
    let b = bench(1);
    let mut q = Reader::new(0);
    b.x.set_level(L, true);
    assert!(!b.lines.level(0));
    b.start(L, 0, 5);
    assert_eq!((b.lines.level(0), q.next(&b.memory)), (true, Some(5)));
    b.trigger(L);
    b.x.set_level(L, true);
    assert_eq!(b.manage(L, 0x800), PQ_PENDING as u64);
    assert_eq!(b.ack(0), 0x8006);
    // Ended by hypercall as the source's flags say; still asserted.
    assert_eq!(b.x.esb(1, L as u64, 0x400, 0), Ok(u64::MAX));
    assert_eq!(q.next(&b.memory), Some(5));
    b.x.set_level(L, false);
    assert_eq!(b.x.esb(0, L as u64, 0, 0), Ok(0));
    assert_eq!((q.next(&b.memory), b.manage(L, 0x800)), (None, 0));
    b.x.pulse(L);
    assert_eq!(q.next(&b.memory), None);
    b.x.set_level(L, true);
    assert_eq!(q.next(&b.memory), Some(5));
}

#[test]
fn priorities() {
    let b = bench(1);
    b.x.set_queue_config(1, 0, 2, 0x1_0000, 12).unwrap();
    b.start(A, 0, 1);
    b.x.set_source_config(2, B as u64, 0, 2, 7).unwrap();
    b.manage(B, 0xc00);
    b.trigger(A);
    b.trigger(B);
    assert_eq!(b.ack(0), 0x8002);
    assert!(!b.lines.level(0));
    assert_eq!((b.memory.read(0), b.memory.read(0x1_0000)), (0x8000_0001, 0x8000_0007));
    b.cppr(0, 6);
    assert!(!b.lines.level(0), "6 does not let 6 through");
    b.cppr(0, 7);
    assert!(b.lines.level(0));
    // A more favoured CPPR withdraws it; it stays pending.
    b.cppr(0, 0);
    assert_eq!((b.lines.level(0), b.ack(0)), (false, 0));
    b.cppr(0, 8);
    assert_eq!(b.x.tima_load(0, OS + 0x11, 1), 0xff);
    assert_eq!(b.ack(0), 0x8006);
    b.cppr(0, 0xff);
    // Pending bits set by hand.
    b.x.tima_store(0, OS + 0x812, 1, 4);
    b.x.tima_store(0, OS + 0x812, 1, 8);
    assert_eq!((b.lines.level(0), b.ack(0)), (true, 0x8004));
}

#[test]
fn management_area_bounds() {
    let b = bench(1);
    for page in [0, 1, 3, 4] {
        assert_eq!(b.x.tima_load(0, (page << 16) + 0x10, 8), u64::MAX);
        b.x.tima_store(0, (page << 16) + 0x11, 1, 3);
    }
    assert_eq!(b.x.tima_load(0, OS + 0x10, 2), 0x00ff);
    assert_eq!(b.x.tima_load(0, OS + 0x18, 8), 0);
    for (offset, size) in
        [(0x11, 2), (0x14, 8), (0x810, 4), (0x800, 2), (0, 8), (0x10, 3), (0x10, 0), (0x3e, 4)]
    {
        assert_eq!(b.x.tima_load(0, OS + offset, size), ones(size), "{offset:#x} {size}");
    }
    b.x.tima_store(0, OS + 0x10, 4, 0);
    b.x.tima_store(9, OS + 0x11, 1, 0);
    assert_eq!(b.x.tima_load(9, OS + 0x10, 4), 0xffff_ffff);
    assert_eq!(b.x.tima_load(0, OS + 0x11, 1), 0xff);
}

#[test]
fn real_addresses() {
    let b = bench(1);
    assert!(b.x.store(0, TIMA_OS + 0x11, 1, 5));
    assert_eq!(b.x.load(0, TIMA_OS + 0x10, 2), Some(0x0005));
    assert_eq!(b.x.load(0, ESB_BASE + 0x1_0d00, 8), Some(PQ_OFF as u64));
    let (esb_end, tima_end) = (ESB_BASE + b.x.esb_size(), TIMA_BASE + TIMA_SIZE);
    for addr in [0, ESB_BASE - 1, esb_end, TIMA_BASE - 1, tima_end, u64::MAX] {
        assert_eq!((b.x.load(0, addr, 8), b.x.store(0, addr, 8, 0)), (None, false), "{addr:#x}");
    }
    for addr in [esb_end - 8, TIMA_BASE, tima_end - 8] {
        assert_eq!((b.x.load(0, addr, 8), b.x.store(0, addr, 8, 0)), (Some(u64::MAX), true), "{addr:#x}");
    }
}

#[test]
fn rings_wrap_with_the_other_generation() {
    let b = bench(1);
    b.x.set_queue_config(1, 0, PRIO, 0x2000, 12).unwrap();
    b.start(A, 0, 0x7fff_ffff);
    for round in 0..3u32 {
        for i in 0..1024u64 {
            b.trigger(A);
            let generation = round & 1 ^ 1;
            assert_eq!(b.memory.read(0x2000 + i * 4), generation << 31 | 0x7fff_ffff);
            b.store_eoi(A);
        }
    }
    assert_eq!((b.memory.read(0x1ffc), b.memory.read(0x3000)), (0, 0));
    let c = b.x.get_queue_config(1, 0, PRIO).unwrap();
    assert_eq!(c, QueueConfig { flags: 1, addr: 0x2000, shift: 12, index: 0 });
    b.trigger(A);
    assert_eq!(b.x.get_queue_config(1, 0, PRIO).unwrap().index, 1);
    assert_eq!(b.x.get_queue_config(0, 0, PRIO).unwrap().index, 0);
}

#[test]
fn notification_once_until_it_is_ended() {
    let b = bench(2);
    b.x.set_queue_config(0, 1, PRIO, 0, 16).unwrap();
    b.start(1, 1, 1);
    b.start(B, 1, 2);
    let (page, shift) = b.x.get_queue_info(0, 1, PRIO).unwrap();
    assert_eq!((page, shift), (ESB_BASE + SOURCE_ESB_SIZE + (14 << 17), 16));
    let load = |offset| b.x.esb_load(page - ESB_BASE + offset, 8);
    b.trigger(1);
    assert_eq!((b.lines.level(1), b.ack(1)), (true, 0x8006));
    b.cppr(1, 0xff);
    b.trigger(B);
    assert!(!b.lines.level(1));
    assert_eq!((b.memory.read(4), load(0x800)), (0x8000_0002, PQ_QUEUED as u64));
    assert_eq!((load(0), b.lines.level(1)), (1, true));
    assert_eq!((load(0), load(0x800)), (0, 0));
    // The escalation's page.
    assert_eq!((load(0x1_0800), load(0x1_0c00), load(0x1_0800)), (1, 1, 0));
    // A queue without a ring has none, and beyond the last there is nothing.
    assert_eq!(b.x.esb_load(page - ESB_BASE + (1 << 17), 8), u64::MAX);
    assert_eq!(b.x.esb_load(b.x.esb_size() + 0x800, 8), u64::MAX);
    assert_eq!(b.x.esb_load(u64::MAX, 8), u64::MAX);
    b.x.esb_store(page - ESB_BASE, 8, 0);
    b.x.esb_store(u64::MAX, 8, 0);
}

#[test]
fn source_hypercalls() {
    let b = bench(2);
    let info = b.x.get_source_info(0, A as u64).unwrap();
    let page = ESB_BASE + ((A as u64) << 17);
    assert_eq!(
        info,
        SourceInfo { flags: 1, management_page: page + 0x1_0000, trigger_page: page, page_shift: 16 }
    );
    let lsi = b.x.get_source_info(0, L as u64).unwrap();
    assert_eq!((lsi.flags, lsi.management_page, lsi.trigger_page), (13, u64::MAX, u64::MAX));
    assert_eq!(b.x.get_source_config(0, A as u64), Ok((0, 0xff, A as u64)));
    b.x.set_source_config(0, A as u64, 1, 3, 55).unwrap();
    assert_eq!(b.x.get_source_config(0, A as u64), Ok((1, 3, A as u64)));
    b.x.set_source_config(3, A as u64, 1, 3, 55).unwrap();
    assert_eq!(b.x.get_source_config(0, A as u64), Ok((1, 0xff, 55)));
    b.x.set_source_config(2, A as u64, 99, 0xff, 0x7fff_ffff).unwrap();
    assert_eq!(b.x.get_source_config(0, A as u64), Ok((1, 0xff, 0x7fff_ffff)));

    for number in [A as u64 + 1, 2, 0x1fff, 0x2000, 1 << 32 | A as u64, u64::MAX] {
        assert_eq!(b.x.get_source_info(0, number), Err(HcallError::P2));
        assert_eq!(b.x.set_source_config(0, number, 0, 0, 0), Err(HcallError::P2));
        assert_eq!(b.x.get_source_config(0, number), Err(HcallError::P2));
        assert_eq!(b.x.esb(0, number, 0, 0), Err(HcallError::P2));
        assert_eq!(b.x.sync(0, number), Err(HcallError::P2));
    }
    let n = A as u64;
    assert_eq!(b.x.set_source_config(0, n, 0, 7, 0), Err(HcallError::P4));
    assert_eq!(b.x.set_source_config(0, n, 0, 0x106, 0), Err(HcallError::P4));
    assert_eq!(b.x.set_source_config(0, n, 2, 6, 0), Err(HcallError::P3));
    assert_eq!(b.x.set_source_config(2, n, 0, 6, 1 << 31), Err(HcallError::P5));
    assert_eq!(b.x.esb(0, n, 0x1_0000, 0), Err(HcallError::P3));
    assert_eq!(b.x.esb(0, n, 0x801, 0), Err(HcallError::P3));
    assert_eq!(b.x.sync(0, n), Ok(()));
    let bad = HcallError::Parameter;
    assert_eq!(b.x.get_source_info(1, n), Err(bad));
    assert_eq!(b.x.set_source_config(4, n, 0, 6, 0), Err(bad));
    assert_eq!(b.x.get_source_config(1, n), Err(bad));
    assert_eq!(b.x.esb(2, n, 0, 0), Err(bad));
    assert_eq!((b.x.sync(1, n), b.x.int_reset(1)), (Err(bad), Err(bad)));
}

#[test]
fn queue_hypercalls() {
    let b = bare(2);
    let q = |target, priority, addr, shift| b.x.set_queue_config(0, target, priority, addr, shift);
    assert_eq!(q(0, 0, 0, 16), Ok(()));
    assert_eq!(q(2, 0, 0, 16), Err(HcallError::P2));
    assert_eq!(q(0, 7, 0, 16), Err(HcallError::P3));
    assert_eq!(q(0, u64::MAX, 0, 16), Err(HcallError::P3));
    assert_eq!(q(0, 0, 0x1000, 16), Err(HcallError::P4));
    assert_eq!(q(0, 0, MEMORY as u64, 16), Err(HcallError::P4));
    assert_eq!(q(0, 0, 0u64.wrapping_sub(1 << 16), 16), Err(HcallError::P4));
    for shift in [1, 11, 13, 20, 25, 64, 1 << 32, u64::MAX] {
        assert_eq!(q(0, 0, 0, shift), Err(HcallError::P5));
    }
    let none = QueueConfig { flags: 0, addr: 0, shift: 0, index: 0 };
    assert_eq!(b.x.get_queue_config(0, 1, 0), Ok(none));
    assert_eq!(b.x.get_queue_config(1, 0, 0), Ok(QueueConfig { flags: 2, addr: 0, shift: 16, index: 0 }));
    assert_eq!(q(0, 0, 0, 0), Ok(()));
    assert_eq!(b.x.get_queue_config(0, 0, 0), Ok(none));
    let bad = HcallError::Parameter;
    assert_eq!(b.x.set_queue_config(2, 0, 0, 0, 16), Err(bad));
    assert_eq!(b.x.get_queue_config(2, 0, 0), Err(bad));
    assert_eq!(b.x.get_queue_info(1, 0, 0), Err(bad));
    assert_eq!(b.x.get_queue_info(0, 5, 0), Err(HcallError::P2));
    assert_eq!(b.x.get_queue_info(0, 0, 7), Err(HcallError::P3));
    // An event without a queue goes nowhere.
    b.start(A, 0, 1);
    b.trigger(A);
    assert_eq!(b.x.tima_load(0, OS + 0x12, 1), 0);
}

#[test]
fn reporting_line() {
    let b = bench(1);
    assert_eq!(b.x.get_os_reporting_line(0, 0), Ok(u64::MAX));
    assert_eq!(b.x.set_os_reporting_line(0, 0, 0x8_0000), Ok(()));
    assert_eq!(b.x.get_os_reporting_line(0, 0), Ok(0x8_0000));
    assert_eq!(b.x.set_os_reporting_line(0, 1, 0), Err(HcallError::Parameter));
    assert_eq!(b.x.set_os_reporting_line(0, 0, 0x8_0080), Err(HcallError::P2));
    assert_eq!(b.x.set_os_reporting_line(0, 0, MEMORY as u64), Err(HcallError::P2));
    assert_eq!(b.x.get_os_reporting_line(0, 1), Err(HcallError::P2));
    b.start(A, 0, 1);
    b.trigger(A);
    b.x.tima_store(0, OS + 0xc10, 1, 0);
    assert!(!b.lines.level(0));
    assert_eq!((b.memory.read(0x8_0010), b.memory.read(0x8_0014)), (0x8006_00ff, 0xff00_00ff));
    b.x.set_os_reporting_line(0, 0, u64::MAX).unwrap();
    assert_eq!(b.x.get_os_reporting_line(0, 0), Ok(u64::MAX));
}

#[test]
fn resets() {
    let b = bench(1);
    b.x.set_level(L, true);
    b.start(A, 0, 1);
    b.start(L, 0, 2);
    b.trigger(A);
    b.x.set_os_reporting_line(0, 0, 0).unwrap();
    b.x.int_reset(0).unwrap();
    assert!(!b.lines.level(0));
    assert_eq!(b.x.get_source_config(0, A as u64), Ok((0, 0xff, A as u64)));
    assert_eq!((b.manage(A, 0x800), b.manage(L, 0x800)), (1, 1));
    assert_eq!(b.x.get_queue_config(0, 0, PRIO).unwrap().shift, 0);
    assert_eq!(b.x.get_os_reporting_line(0, 0), Ok(u64::MAX));
    // The thread's priority and the level stay: a second kernel starts from here.
    b.x.set_queue_config(1, 0, PRIO, 0, 16).unwrap();
    b.start(L, 0, 2);
    assert!(b.lines.level(0));
    b.x.reset();
    assert_eq!(b.x.tima_load(0, OS + 0x10, 8), 0x0000_00ff_ff00_00ff);
    b.x.set_level(L, false);
    assert_eq!(b.x.save(), bare(1).x.save());
    // Freed and claimed again it is as new.
    b.start(A, 0, 1);
    b.x.free(A);
    assert_eq!(b.x.get_source_info(0, A as u64), Err(HcallError::P2));
    b.x.claim(A, IrqKind::Lsi).unwrap();
    assert_eq!(b.manage(A, 0x800), 1);
    b.x.free(0);
    assert!(b.x.get_source_info(0, 0).is_ok(), "IPIs are the guest's");
    assert_eq!(b.x.claim(0, IrqKind::Msi), Err(IrqError::OutOfRange(0)));
}

#[test]
fn saved_and_restored_midway() {
    let b = bench(2);
    b.start(A, 1, 1);
    b.start(L, 0, 2);
    b.trigger(A);
    b.trigger(A);
    b.cppr(0, 0);
    b.x.set_level(L, true);
    b.x.set_os_reporting_line(1, 0, 0x100).unwrap();
    let json = serde_json::to_string(&b.x.save()).unwrap();
    let c = bare(2);
    c.x.restore(serde_json::from_str(&json).unwrap()).unwrap();
    assert_eq!(c.x.save(), b.x.save());
    assert!(c.lines.level(1) && !c.lines.level(0));
    assert_eq!(c.ack(1), 0x8006);
    c.store_eoi(A);
    assert_eq!(c.memory.read(0x1_0004), 0x8000_0001);

    type Edit = fn(&mut XiveState);
    let edits: [Edit; 9] = [
        |s| s.version = 0,
        |s| s.threads.truncate(1),
        |s| s.sources[0].lisn = 0x2000,
        |s| s.sources[0].pq = 4,
        |s| s.sources[0].priority = 8,
        |s| s.sources[0].server = 2,
        |s| s.queues[0].shift = 63,
        |s| s.queues[0].index = 1 << 14,
        |s| s.queues[0].addr = 4,
    ];
    for (i, edit) in edits.into_iter().enumerate() {
        let mut s = b.x.save();
        edit(&mut s);
        assert!(c.x.restore(s).is_err(), "edit {i}");
    }
}

#[test]
fn node() {
    let b = bare(3);
    let mut t = DeviceTree::new();
    let node = b.x.describe(&mut t, 0x1111);
    let want = "interrupt-controller@60302031b0000 {\n\t\tphandle = <0x00001111>;\n\
        \t\tdevice_type = \"power-ivpe\";\n\
        \t\treg = <0x00060302 0x031b0000 0x00000000 0x00010000 0x00060302 0x031a0000 0x00000000 0x00010000>;\n\
        \t\tcompatible = \"ibm,power-ivpe\";\n\
        \t\tibm,xive-eq-sizes = <0x00000010>;\n\
        \t\tibm,xive-lisn-ranges = <0x00000000 0x00000003>;\n\
        \t\tinterrupt-controller;\n\
        \t\t#interrupt-cells = <0x00000002>;\n";
    assert!(t.to_dts().contains(want), "{}", t.to_dts());
    assert_eq!(t.phandle(node), 0x1111);
    assert_eq!(t.prop_u64(DeviceTree::ROOT, "ibm,plat-res-int-priorities"), Some(7 << 32 | 0xf8));
}

#[test]
fn random_calls_do_no_harm() {
    let b = bench(3);
    let mut r = Rng::new(2);
    for _ in 0..300_000 {
        let (a, c, d, e, f) = (r.odd(), r.odd(), r.odd(), r.odd(), r.odd());
        let (server, size) = (r.below(4) as u32, r.pick(&[0, 1, 2, 4, 8, 16, u32::MAX]));
        let (flags, os) = (r.below(4), OS + r.below(0x1000));
        let x = &b.x;
        match r.below(20) {
            0 => drop(x.get_source_info(flags, a)),
            1 => drop(x.set_source_config(flags, a, c, d, e)),
            2 => drop(x.get_source_config(flags, a)),
            3 => drop(x.get_queue_info(flags, a, c)),
            4 => drop(x.set_queue_config(flags, r.below(4), r.below(9), d, e)),
            5 => drop(x.set_queue_config(
                flags,
                r.below(4),
                r.below(9),
                r.below(16) << 16,
                r.pick(&[0, 12, 16]),
            )),
            6 => drop(x.get_queue_config(flags, r.below(4), c)),
            7 => drop(x.set_os_reporting_line(server, flags, a & !0xff)),
            8 => drop(x.get_os_reporting_line(flags, a)),
            9 => drop(x.esb(flags, a, c, d)),
            10 => drop(x.sync(flags, a)),
            11 if r.below(50) == 0 => drop(x.int_reset(flags)),
            12 => drop(x.esb_load(a, size)),
            13 => drop(x.esb_load(r.below(x.esb_size() + 0x10000), size)),
            14 => x.esb_store(r.below(x.esb_size() + 0x10000), size, f),
            15 => drop(x.tima_load(server, OS + r.below(0x1000), size)),
            16 => x.tima_store(server, r.pick(&[a, os, OS + 0x11, OS + 0x812]), size, f),
            17 => x.set_level(r.pick(&[L, a as u32]), c & 1 != 0),
            18 => drop(x.claim(a as u32, r.pick(&[IrqKind::Msi, IrqKind::Lsi]))),
            _ => x.free(a as u32),
        }
    }
    let s = b.x.save();
    let c = bare(3);
    c.x.restore(s.clone()).unwrap();
    assert_eq!(c.x.save(), s);
}

struct Guest {
    bench: Bench,
    queues: Vec<Mutex<Reader>>,
}

/// Event numbers of the device sources; those of the IPIs follow.
const EVENTS: u64 = 3;

impl Stressed for Guest {
    fn lines(&self) -> &Lines {
        &self.bench.lines
    }

    fn send_ipi(&self, to: u32) {
        self.bench.trigger(to);
    }

    fn pulse(&self, edge: usize) {
        self.bench.x.pulse([A, B][edge]);
    }

    fn set_level(&self, asserted: bool) {
        self.bench.x.set_level(L, asserted);
    }

    fn reroute(&self, r: &mut Rng) {
        let (source, eisn) = r.pick(&[(A, 1), (B, 2), (L, 3)]);
        let server = r.below(STRESS_SERVERS as u64);
        self.bench.x.set_source_config(2, source as u64, server, PRIO, eisn).unwrap();
    }

    fn take(&self, me: u32, handle: &mut dyn FnMut(Event)) {
        self.bench.ack(me);
        let mut queue = self.queues[me as usize].lock().unwrap();
        while let Some(eisn) = queue.next(&self.bench.memory) {
            let (event, source) = match eisn {
                1 => (Event::Edge(0), A),
                2 => (Event::Edge(1), B),
                3 => (Event::Level, L),
                _ => (Event::Ipi, me),
            };
            assert!(event != Event::Ipi || eisn as u64 == EVENTS + 1 + me as u64, "event {eisn} at {me}");
            handle(event);
            self.bench.store_eoi(source);
        }
        self.bench.cppr(me, 0xff);
    }
}

#[test]
fn nothing_is_lost_between_threads() {
    let bench = bench(STRESS_SERVERS);
    for server in 0..STRESS_SERVERS {
        bench.start(server, server, EVENTS + 1 + server as u64);
    }
    for (source, eisn) in [(A, 1), (B, 2), (L, 3)] {
        bench.start(source, 0, eisn);
    }
    let queues = (0..STRESS_SERVERS).map(|s| Mutex::new(Reader::new(s))).collect();
    stress(4000, &Guest { bench, queues });
}
