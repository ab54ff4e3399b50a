use std::sync::{Mutex, mpsc};

use block::{IoError, Op};
use mem::GuestRam;

use super::*;

/// A disk in memory that answers at once.
pub(crate) struct MemDisk {
    bytes: Mutex<Vec<u8>>,
    read_only: bool,
    pub(crate) flushes: std::sync::atomic::AtomicU32,
}

impl MemDisk {
    pub(crate) fn new(sectors: usize, read_only: bool) -> Arc<Self> {
        let bytes = (0..sectors * 512).map(|n| (n / 512) as u8).collect();
        Arc::new(MemDisk { bytes: Mutex::new(bytes), read_only, flushes: 0.into() })
    }
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl block::Disk for MemDisk {
    fn size(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }
    fn read_only(&self) -> bool {
        self.read_only
    }
    fn submit(&self, op: Op, done: block::Done) {
        if let Err(e) = block::refuse(&op, self.size(), self.read_only) {
            return done(Err(e));
        }
        let mut b = self.bytes.lock().unwrap();
        match op {
            Op::Read { offset, into } => {
                into.write(0, &b[offset as usize..][..into.len() as usize]);
            }
            Op::Write { offset, from } => {
                from.read(0, &mut b[offset as usize..][..from.len() as usize]);
            }
            Op::Flush => {
                self.flushes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            Op::Discard { offset, len } | Op::WriteZeroes { offset, len, .. } => {
                b[offset as usize..][..len as usize].fill(0);
            }
        }
        drop(b);
        done(Ok(()));
    }
    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        out.copy_from_slice(&self.bytes.lock().unwrap()[offset as usize..][..out.len()]);
        Ok(())
    }
    fn drain(&self) {}
}

pub(crate) fn pieces(ram: &Arc<GuestRam>, at: u64, len: u64) -> Pieces {
    let mut p = Pieces::new(ram.clone());
    if len > 0 {
        p.push(at, len).unwrap();
    }
    p
}

struct Bench {
    ram: Arc<GuestRam>,
    disk: Arc<MemDisk>,
    target: Target,
}

const LUN: u64 = 0x8100 << 48;

impl Bench {
    fn new(kind: Kind, read_only: bool) -> Self {
        let disk = MemDisk::new(4096, read_only);
        let mut target = Target::default();
        target.add(LUN, Unit::new(disk.clone(), kind, "serial-1"));
        target.add(0x8200 << 48, Unit::new(MemDisk::new(1, false), Kind::Disk, "serial-2"));
        let b = Bench { ram: Arc::new(GuestRam::new(1 << 20).unwrap()), disk, target };
        // Hears of the power-on and forgets it.
        assert_eq!(b.fails(&[0]), (6, 0x2900));
        b
    }

    fn run(&self, lun: u64, cdb: &[u8], from: &[u8], room: u64) -> (Answer, Vec<u8>) {
        let mut c = [0; 16];
        c[..cdb.len()].copy_from_slice(cdb);
        let out = pieces(&self.ram, 0x1000, from.len() as u64);
        out.write(0, from);
        let into = pieces(&self.ram, 0x8_0000, room);
        into.fill(0xaa);
        let (tell, hear) = mpsc::channel();
        let task = Task { cdb: c, into: into.clone(), from: out };
        self.target.execute(lun, task, Box::new(move |a| tell.send(a).unwrap()));
        let a = hear.recv().unwrap();
        let mut data = vec![0; a.read as usize];
        into.read(0, &mut data);
        (a, data)
    }

    fn gives(&self, cdb: &[u8]) -> Vec<u8> {
        let (a, data) = self.run(LUN, cdb, &[], 0x1_0000);
        assert_eq!((a.status, a.sense), (GOOD, None), "{cdb:02x?}");
        data
    }

    fn takes(&self, cdb: &[u8], from: &[u8]) -> u64 {
        let (a, _) = self.run(LUN, cdb, from, 0);
        assert_eq!((a.status, a.sense), (GOOD, None), "{cdb:02x?}");
        a.written
    }

    fn fails(&self, cdb: &[u8]) -> (u8, u16) {
        let (a, _) = self.run(LUN, cdb, &[0xff; 1024], 0x1000);
        assert_eq!(a.status, CHECK_CONDITION, "{cdb:02x?}");
        a.sense.map(|s| (s.key, s.code)).unwrap()
    }
}

#[test]
fn says_what_it_is() {
    let b = Bench::new(Kind::Disk, false);
    let d = b.gives(&[0x12, 0, 0, 0, 96, 0]);
    assert_eq!((d.len(), d[0], d[4] as usize), (74, 0, 69));
    assert_eq!(&d[8..32], b"RHYP    Virtual disk    ");
    assert_eq!(b.gives(&[0x12, 0, 0, 0, 5, 0]).len(), 5);
    assert_eq!(b.gives(&[0x12, 1, 0, 0, 255, 0]), [0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    assert_eq!(&b.gives(&[0x12, 1, 0x80, 0, 255, 0])[4..], b"serial-1");
    assert!(b.gives(&[0x12, 1, 0x83, 0, 255, 0]).ends_with(b"serial-1"));
    assert_eq!(b.gives(&[0x12, 1, 0xb0, 0, 255, 0]).len(), 64);
    assert_eq!(b.gives(&[0x12, 1, 0xb1, 0, 255, 0])[..6], [0, 0xb1, 0, 60, 0, 1]);
    assert_eq!(b.gives(&[0x12, 1, 0xb2, 0, 255, 0])[5], 0xe0);
    assert_eq!(b.fails(&[0x12, 1, 0xb7, 0, 255, 0]), (5, 0x2400));
    assert_eq!(b.gives(&[0x25]), [0, 0, 0x0f, 0xff, 0, 0, 2, 0]);
    let d = b.gives(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32]);
    assert_eq!((&d[4..12], d[14], d.len()), (&[0, 0, 0x0f, 0xff, 0, 0, 2, 0][..], 0x80, 32));
    // Write cache; write protection in the header of a read-only one.
    let d = b.gives(&[0x1a, 0, 8, 0, 255, 0]);
    assert_eq!((d[0] as usize, d[2], d[3], d[12], d[14]), (d.len() - 1, 0x10, 8, 8, 4));
    assert_eq!(b.gives(&[0x5a, 8, 0x3f, 0, 0, 0, 0, 0, 255])[7], 0);
    assert_eq!(Bench::new(Kind::Disk, true).gives(&[0x1a, 0, 8, 0, 255, 0])[2], 0x90);
    assert_eq!(b.fails(&[0xfe]), (5, 0x2000));
    assert_eq!(b.gives(&[3, 0, 0, 0, 18, 0])[..3], [0x70, 0, 0]);
}

#[test]
fn lists_units_and_refuses_for_those_that_are_not_there() {
    let b = Bench::new(Kind::Disk, false);
    let want = [[0, 0, 0, 16, 0, 0, 0, 0], LUN.to_be_bytes(), (0x8200u64 << 48).to_be_bytes()].concat();
    for lun in [0, REPORT_LUNS_WLUN] {
        let (a, d) = b.run(lun, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0], &[], 4096);
        assert_eq!((a.status, &d), (GOOD, &want));
    }
    assert_eq!(b.gives(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (cdb, lun) in [([0x12, 0, 0, 0, 36, 0], 0), ([0; 6], 0x8300 << 48)] {
        let (a, _) = b.run(lun, &cdb, &[], 4096);
        assert_eq!(a, Answer::failed(Sense::NO_UNIT));
    }
}

#[test]
fn blocks_go_in_and_out() {
    let b = Bench::new(Kind::Disk, false);
    let block = |n: u8| vec![n; 512];
    assert_eq!(b.gives(&[0x08, 0, 0, 7, 2, 0]), [block(7), block(8)].concat());
    assert_eq!(b.gives(&[0x28, 0, 0, 0, 0, 9, 0, 0, 1]), block(9));
    assert_eq!(b.gives(&[0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 1]), block(9));
    assert_eq!(b.gives(&[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1]), block(9));
    // Less memory than blocks asked for.
    assert_eq!(b.run(LUN, &[0x28, 0, 0, 0, 0, 9, 0, 0, 4], &[], 1100).1, [block(9), block(10)].concat());
    assert_eq!(b.takes(&[0x2a, 0, 0, 0, 0, 3, 0, 0, 1], &block(77)), 512);
    assert_eq!(b.takes(&[0x0a, 0, 0, 4, 1, 0], &block(78)), 512);
    assert_eq!(b.disk.flushes.load(std::sync::atomic::Ordering::SeqCst), 0);
    // Forced to the medium.
    assert_eq!(b.takes(&[0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1], &block(79)), 512);
    assert_eq!(b.takes(&[0xaa, 0, 0, 0, 0, 6, 0, 0, 0, 1], &block(80)), 512);
    b.gives(&[0x35]);
    assert_eq!(b.disk.flushes.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert_eq!(b.disk.bytes()[3 * 512..7 * 512], [block(77), block(78), block(79), block(80)].concat());
    for cdb in [
        &[0x28, 0, 0, 0, 0x10, 0, 0, 0, 1][..],
        &[0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2],
        &[0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x2f, 0, 0, 0, 0x10, 0, 0, 0, 1],
    ] {
        assert_eq!(b.fails(cdb), (5, 0x2100), "{cdb:02x?}");
    }
    assert_eq!(b.fails(&[0x28, 0x20, 0, 0, 0, 0, 0, 0, 1]), (5, 0x2400));
    assert_eq!(Bench::new(Kind::Disk, true).fails(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1]), (7, 0x2700));
}

#[test]
fn blocks_are_given_up_and_repeated() {
    let b = Bench::new(Kind::Disk, false);
    let mut list = vec![0, 38, 0, 32, 0, 0, 0, 0];
    for (first, count) in [(10u64, 2u32), (20, 1)] {
        list.extend(first.to_be_bytes());
        list.extend(count.to_be_bytes());
        list.extend([0; 4]);
    }
    b.takes(&[0x42, 0, 0, 0, 0, 0, 0, 0, 40], &list);
    // A pattern, zeros, zeros without data.
    b.takes(&[0x41, 0, 0, 0, 0, 30, 0, 0, 3], &[0x5a; 512]);
    b.takes(&[0x93, 8, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 2], &[0; 512]);
    b.takes(&[0x93, 9, 0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0, 1], &[]);
    let bytes = b.disk.bytes();
    for n in 0..60 {
        let want = match n {
            10 | 11 | 20 | 40 | 41 | 50 => 0,
            30..33 => 0x5a,
            _ => n as u8,
        };
        assert!(bytes[n * 512..(n + 1) * 512].iter().all(|&x| x == want), "block {n}");
    }
    assert_eq!(b.fails(&[0x42, 0, 0, 0, 0, 0, 0, 0, 4]), (5, 0x1a00));
    // Descriptors full of ones point nowhere.
    assert_eq!(b.fails(&[0x42, 0, 0, 0, 0, 0, 0, 4, 0]), (5, 0x2100));
    assert_eq!(b.fails(&[0x93, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 1]), (5, 0x2100));
    // As many as the block limits tell, zeros or not, and not one more.
    let limit = b.gives(&[0x12, 1, 0xb0, 0, 64, 0])[36..44].try_into().map(u64::from_be_bytes).unwrap();
    for (count, code) in [(limit, 0x2100), (limit + 1, 0x2400), (u64::from(u32::MAX), 0x2400)] {
        let mut cdb = [0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        cdb[10..].copy_from_slice(&(count as u32).to_be_bytes());
        assert_eq!(b.fails(&cdb), (5, code), "{count} blocks");
    }
    // The whole disk, but not again and again.
    let list = |times: u16| {
        let mut list = vec![0, 0, 0, 0, 0, 0, 0, 0];
        list[2..4].copy_from_slice(&(16 * times).to_be_bytes());
        (0..times).for_each(|_| list.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0]));
        list
    };
    let answer = b.run(LUN, &[0x42, 0, 0, 0, 0, 0, 0, 0, 40], &list(2), 0).0;
    assert_eq!(answer.sense, Some(Sense::BAD_LIST));
    assert!(b.disk.bytes()[59 * 512] == 59);
    b.takes(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24], &list(1));
    assert!(b.disk.bytes().iter().all(|&x| x == 0));
    assert_eq!(b.run(LUN, &[0x41, 0, 0, 0, 0, 30, 0, 0, 3], &[1; 100], 0).0.sense, Some(Sense::BAD_FIELD));
}

#[test]
fn a_block_in_scraps_is_not_repeated_without_end() {
    let b = Bench::new(Kind::Disk, false);
    let mut from = Pieces::new(b.ram.clone());
    for n in (0..512).rev() {
        from.push(0x1000 + n, 1).unwrap();
    }
    from.fill(7);
    let run = |count: u16| {
        let mut cdb = [0x41, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        cdb[7..9].copy_from_slice(&count.to_be_bytes());
        let (tell, hear) = mpsc::channel();
        let task = Task { cdb, into: pieces(&b.ram, 0, 0), from: from.clone() };
        b.target.execute(LUN, task, Box::new(move |a| tell.send(a).unwrap()));
        hear.recv().unwrap()
    };
    assert_eq!(run(4000), Answer::failed(Sense::TRANSPORT));
    assert_eq!(run(3).status, GOOD);
    assert_eq!(b.disk.bytes()[512..4 * 512], [7; 3 * 512]);
}

#[test]
fn a_cd_has_a_table_of_contents_and_a_tray() {
    let b = Bench::new(Kind::Cdrom, false);
    assert_eq!(b.gives(&[0x12, 0, 0, 0, 36, 0])[..2], [5, 0x80]);
    assert_eq!(b.gives(&[0x25]), [0, 0, 3, 0xff, 0, 0, 8, 0]);
    assert_eq!(b.gives(&[0x28, 0, 0, 0, 0, 1, 0, 0, 1])[..513], [vec![4; 512], vec![5]].concat());
    let toc = b.gives(&[0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(toc, [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 4, 0]);
    assert_eq!(b.gives(&[0x43, 2, 0, 0, 0, 0, 0, 0, 255, 0])[8..12], [0, 0, 2, 0]);
    assert_eq!(b.gives(&[0x46, 0, 0, 0, 0, 0, 0, 0, 255])[6..8], [0, 8]);
    assert_eq!(b.gives(&[0x4a, 1, 0, 0, 0x10, 0, 0, 0, 255])[5], 2);
    assert_eq!(b.fails(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1]), (7, 0x2700));
    b.gives(&[0x1e, 0, 0, 0, 1, 0]);
    assert_eq!(b.fails(&[0x1b, 0, 0, 0, 2, 0]), (5, 0x5302));
    b.gives(&[0x1e, 0, 0, 0, 0, 0]);
    b.gives(&[0x1b, 0, 0, 0, 2, 0]);
    assert_eq!((b.fails(&[0]), b.fails(&[0x25])), ((2, 0x3a00), (2, 0x3a00)));
    let saved = b.target.save();
    b.gives(&[0x1b, 0, 0, 0, 3, 0]);
    assert_eq!(b.fails(&[0]), (6, 0x2800));
    b.gives(&[0]);
    b.target.restore(&saved).unwrap();
    assert_eq!(b.fails(&[0]), (2, 0x3a00));
    b.target.reset();
    assert_eq!(b.fails(&[0]), (6, 0x2900));
    b.gives(&[0]);
}

#[test]
fn any_command_ends_once_and_stays_in_its_memory() {
    let (disk, cd) = (Bench::new(Kind::Disk, false), Bench::new(Kind::Cdrom, false));
    let mut r = crate::testing::Rng::new(7);
    for n in 0..20_000 {
        let b = if n % 2 == 0 { &disk } else { &cd };
        let mut cdb = [0; 16];
        cdb.iter_mut().for_each(|x| *x = r.pick(&[0, 0, 0, 1, 2, 8, 16, 0x3f, 0x80, 0xff, n as u8]));
        cdb[0] = r.below(256) as u8;
        let from: Vec<u8> = (0..r.below(600)).map(|_| r.pick(&[0, 0, 1, 0xff, n as u8])).collect();
        let room = r.below(5000);
        let (a, _) = b.run(LUN, &cdb, &from, room);
        assert!(a.read <= room && a.written <= from.len() as u64, "{cdb:02x?}");
        assert_eq!(a.status == GOOD, a.sense.is_none());
        let mut beyond = [0; 4];
        b.ram.read(0x8_0000 + 5000, &mut beyond).unwrap();
        assert_eq!(beyond, [0; 4]);
    }
}
