use block::Raw;

use super::super::testing::{BUFFERS, Driver, Piece, battery};
use super::*;
use crate::virtio::status::NEEDS_RESET;

const SECTORS: u64 = 128;
const DATA: u64 = BUFFERS + 0x1000;
const ANSWER: u64 = BUFFERS + 0x800;

fn disk(read_only: bool) -> Arc<dyn VirtioDevice> {
    let fd = rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let file = std::fs::File::from(fd);
    file.set_len(SECTORS * SECTOR).unwrap();
    Arc::new(Blk::new(Arc::new(Raw::new(file, read_only).unwrap()), 2, "serial"))
}

/// Makes a request; its status byte and the bytes written.
fn request(d: &mut Driver, kind: u32, sector: u64, data: &[Piece]) -> (u8, u32) {
    d.ram.store_le(BUFFERS, kind as u64, 8).unwrap();
    d.ram.store_le(BUFFERS + 8, sector, 8).unwrap();
    d.ram.store_le(ANSWER, 0xee, 1).unwrap();
    let mut pieces = vec![(BUFFERS, 16, false)];
    pieces.extend_from_slice(data);
    pieces.push((ANSWER, 1, true));
    let len = d.exchange(1, &pieces);
    (d.bytes(ANSWER, 1)[0], len)
}

fn works(d: &mut Driver) {
    d.ram.fill(DATA, 512, 0x5a).unwrap();
    assert_eq!(request(d, request::OUT, 3, &[(DATA, 500, false), (DATA + 500, 12, false)]), (OK, 1));
    assert_eq!(request(d, request::FLUSH, 0, &[]), (OK, 1));
    d.ram.fill(DATA, 1536, 0).unwrap();
    assert_eq!(request(d, request::IN, 2, &[(DATA, 1000, true), (DATA + 1000, 536, true)]), (OK, 1537));
    let want = [[0; 512], [0x5a; 512], [0; 512]].concat();
    assert_eq!(d.bytes(DATA, 1536), want);
    d.ram.store_le(DATA, 3, 8).unwrap();
    d.ram.store_le(DATA + 8, 1, 8).unwrap();
    assert_eq!(request(d, request::WRITE_ZEROES, 0, &[(DATA, 16, false)]), (OK, 1));
    assert_eq!(request(d, request::IN, 3, &[(DATA, 512, true)]), (OK, 513));
    assert_eq!(d.bytes(DATA, 512), [0; 512]);
}

#[test]
fn requests_do_what_they_say() {
    let mut d = Driver::up(disk(false), feature::MQ | feature::FLUSH);
    assert_eq!(d.config(0, 8), SECTORS);
    assert_eq!((d.config(34, 2), d.config(56, 1), d.config(4000, 4)), (2, 1, 0));
    works(&mut d);
    assert_eq!(request(&mut d, request::GET_ID, 0, &[(DATA, 20, true)]), (OK, 21));
    assert_eq!(&d.bytes(DATA, 8), b"serial\0\0");
    d.ram.store_le(DATA, 0, 8).unwrap();
    d.ram.store_le(DATA + 8, SECTORS, 8).unwrap();
    assert_eq!(request(&mut d, request::DISCARD, 0, &[(DATA, 16, false)]), (OK, 1));
    d.ram.store_le(DATA + 8, SECTORS | 2 << 32, 8).unwrap();
    assert_eq!(request(&mut d, request::DISCARD, 0, &[(DATA, 16, false)]).0, UNSUPP);
    d.ram.store_le(DATA + 8, SECTORS + 1, 8).unwrap();
    assert_eq!(request(&mut d, request::DISCARD, 0, &[(DATA, 16, false)]).0, IOERR);
    assert_eq!(request(&mut d, request::DISCARD, 0, &[(DATA, 32, false)]).0, IOERR);
    assert_eq!(request(&mut d, 99, 0, &[]).0, UNSUPP);
    assert_eq!(request(&mut d, request::IN | request::BARRIER, 0, &[(DATA, 512, true)]).0, OK);
    for (sector, len) in [(SECTORS, 512), (SECTORS - 1, 1024), (u64::MAX, 512), (u64::MAX >> 9, 512), (0, 5)]
    {
        assert_eq!(request(&mut d, request::IN, sector, &[(DATA, len, true)]).0, IOERR);
        assert_eq!(request(&mut d, request::OUT, sector, &[(DATA, len, false)]).0, IOERR);
    }
    // Without room for an answer there is none, but the chain comes back.
    assert_eq!(d.exchange(0, &[(BUFFERS, 16, false)]), 0);
    assert_eq!(d.exchange(0, &[(BUFFERS, 8, false), (ANSWER, 1, true)]), 0);
    assert_eq!(d.status() & NEEDS_RESET, 0);
}

#[test]
fn a_read_only_disk_is_not_written() {
    let mut d = Driver::up(disk(true), feature::RO);
    assert_eq!(request(&mut d, request::OUT, 0, &[(DATA, 512, false)]).0, IOERR);
    assert_eq!(request(&mut d, request::IN, 0, &[(DATA, 512, true)]).0, OK);
}

#[test]
fn many_requests_at_once_all_come_back() {
    let mut d = Driver::up(disk(false), super::super::feature::EVENT_IDX);
    d.ram.store_le(BUFFERS, 0, 8).unwrap();
    d.ram.store_le(BUFFERS + 8, 0, 8).unwrap();
    for _ in 0..50 {
        for n in 0..5 {
            let data = (DATA + 0x1000 * n as u64, 512, true);
            d.offer(0, 3 * n, &[(BUFFERS, 16, false), data, (ANSWER + n as u64, 1, true)]);
        }
        d.notify(0);
        let mut heads: Vec<u32> = (0..5).map(|_| d.wait(0).0).collect();
        heads.sort();
        assert_eq!(heads, [0, 3, 6, 9, 12]);
    }
    assert_ne!(d.ear.0.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[test]
fn a_full_batch_does_not_end_notifications() {
    let mut d = Driver::up(disk(false), super::super::feature::EVENT_IDX);
    for count in [AT_ONCE, 1, AT_ONCE - 1, AT_ONCE] {
        for n in 0..count as u16 {
            // Too short for an answer, but a request.
            d.offer(0, n, &[(BUFFERS, 16, false)]);
        }
        d.notify(0);
        (0..count).for_each(|_| assert!(d.wait(0).0 < 16));
        // Whoever serves the queue asks for the next notification a moment after the last answer.
        let begin = std::time::Instant::now();
        while !d.event_is(0) {
            assert!(begin.elapsed().as_secs() < 20, "the next request would not be heard of");
            std::thread::yield_now();
        }
    }
}

/// A disk that keeps what it is asked for.
#[derive(Default)]
struct Slow(Mutex<Vec<block::Done>>);

impl Disk for Slow {
    fn size(&self) -> u64 {
        1 << 40
    }
    fn read_only(&self) -> bool {
        false
    }
    fn submit(&self, _: Op, done: block::Done) {
        lock(&self.0).push(done);
    }
    fn read_now(&self, _: u64, _: &mut [u8]) -> Result<(), IoError> {
        Ok(())
    }
    fn drain(&self) {}
}

#[test]
fn a_driver_cannot_have_more_under_way_than_the_queue_holds() {
    let slow = Arc::new(Slow::default());
    let mut d = Driver::up(Arc::new(Blk::new(slow.clone(), 1, "")), 0);
    d.ram.store_le(BUFFERS, 0, 8).unwrap();
    d.ram.store_le(BUFFERS + 8, 0, 8).unwrap();
    // One chain, again and again, and never an answer.
    for n in 0..40 {
        d.offer(0, 0, &[(BUFFERS, 16, false), (DATA, 513, true)]);
        d.notify(0);
        assert_eq!(d.status() & NEEDS_RESET != 0, n >= 16, "after {n} requests");
    }
    assert_eq!(lock(&slow.0).len(), 16);
    for done in lock(&slow.0).drain(..) {
        done(Ok(()));
    }
    d.start(0);
    d.offer(0, 0, &[(BUFFERS, 16, false), (DATA, 513, true)]);
    d.notify(0);
    lock(&slow.0).pop().unwrap()(Ok(()));
    assert_eq!(d.wait(0), (0, 513));
}

#[test]
fn a_chain_that_names_the_same_memory_again_and_again_is_refused() {
    let slow = Arc::new(Slow::default());
    let mut d = Driver::up(Arc::new(Blk::new(slow.clone(), 2, "")), super::super::feature::INDIRECT_DESC);
    const TABLE: u64 = BUFFERS + 0x4000;
    d.ram.store_le(BUFFERS, 0, 8).unwrap();
    d.ram.store_le(BUFFERS + 8, 0, 8).unwrap();
    for n in 0..200u64 {
        let (addr, len, flags) = match n {
            0 => (BUFFERS, 16, 1),
            199 => (ANSWER, 1, 2),
            _ => (0, 2 << 20, 3),
        };
        d.ram.store_le(TABLE + 16 * n, addr, 8).unwrap();
        d.ram.store_le(TABLE + 16 * n + 8, len | flags << 32 | (n + 1) << 48, 8).unwrap();
    }
    d.descriptor(0, 0, TABLE, 200 * 16, 4, 0);
    d.make_available(0, 0);
    d.notify(0);
    assert_eq!(d.wait(0).0, 0);
    assert_eq!((d.bytes(ANSWER, 1)[0], lock(&slow.0).len()), (IOERR, 0));
}

#[test]
fn it_stands_the_battery() {
    battery(&|| disk(false), &works);
}
