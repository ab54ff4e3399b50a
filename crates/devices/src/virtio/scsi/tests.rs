use block::Raw;

use super::super::testing::{BUFFERS, Driver, battery};
use super::*;
use crate::scsi::{CHECK_CONDITION, GOOD, Kind, Unit};

const DATA: u64 = BUFFERS + 0x1000;
const ANSWER: u64 = BUFFERS + 0x800;

fn host() -> Arc<dyn VirtioDevice> {
    let mut target = Target::default();
    for (n, kind) in [Kind::Disk, Kind::Cdrom].into_iter().enumerate() {
        let fd = rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = std::fs::File::from(fd);
        file.set_len(1 << 20).unwrap();
        target.add(lun(n as u8), Unit::new(Arc::new(Raw::new(file, n == 1).unwrap()), kind, "serial"));
    }
    Arc::new(Scsi::new(target, 2))
}

/// Carries a command out: status and response, residue, bytes written.
fn command(d: &mut Driver, lun: [u8; 8], cdb: &[u8], data: Option<(u32, bool)>) -> ([u8; 2], u32, u32) {
    let mut b = lun.to_vec();
    b.resize(COMMAND_HEAD as usize, 0);
    b.extend(cdb);
    b.resize((COMMAND_HEAD + CDB_SIZE as u64) as usize, 0);
    d.ram.write(BUFFERS, &b).unwrap();
    d.ram.fill(ANSWER, 108, 0xee).unwrap();
    let mut pieces = vec![(BUFFERS, b.len() as u32, false)];
    pieces.extend(data.filter(|x| !x.1).map(|x| (DATA, x.0, false)));
    pieces.push((ANSWER, 108, true));
    pieces.extend(data.filter(|x| x.1).map(|x| (DATA, x.0, true)));
    let written = d.exchange(3, &pieces);
    let residue = d.ram.load_le(ANSWER + 4, 4).unwrap() as u32;
    ([d.bytes(ANSWER + 10, 1)[0], d.bytes(ANSWER + 11, 1)[0]], residue, written)
}

const DISK: [u8; 8] = [1, 0, 0x40, 0, 0, 0, 0, 0];
const CDROM: [u8; 8] = [1, 0, 0x40, 1, 0, 0, 0, 0];

fn works(d: &mut Driver) {
    // The first command after a reset may be told of it.
    let _ = command(d, DISK, &[0], None);
    let _ = command(d, CDROM, &[0], None);
    d.ram.fill(DATA, 1024, 0x77).unwrap();
    let write = [0x2a, 0, 0, 0, 0, 4, 0, 0, 2, 0];
    assert_eq!(command(d, DISK, &write, Some((1024, false))), ([GOOD, response::OK], 0, 108));
    d.ram.fill(DATA, 1024, 0).unwrap();
    let read = [0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0];
    assert_eq!(command(d, DISK, &read, Some((1024, true))), ([GOOD, response::OK], 512, 108 + 512));
    assert_eq!(d.bytes(DATA, 512), [0x77; 512]);
    assert_eq!(d.bytes(DATA + 512, 512), [0; 512]);
}

#[test]
fn commands_reach_the_units() {
    let mut d = Driver::up(host(), 0);
    assert_eq!((d.config(0, 4), d.config(20, 4), d.config(24, 4)), (2, 96, 32));
    works(&mut d);
    let inquiry = [0x12, 0, 0, 0, 36, 0];
    for (lun, kind) in [(DISK, 0), (CDROM, 5)] {
        assert_eq!(command(&mut d, lun, &inquiry, Some((36, true))).0, [GOOD, response::OK]);
        assert_eq!(d.bytes(DATA, 1)[0] & 0x1f, kind);
    }
    let luns = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0];
    assert_eq!(command(&mut d, DISK, &luns, Some((64, true))), ([GOOD, response::OK], 40, 108 + 24));
    assert_eq!(d.bytes(DATA, 4), [0, 0, 0, 16]);
    assert_eq!(d.bytes(DATA + 16, 2), [0, 1]);
    // A bad command has sense data; a target that is not there has none.
    assert_eq!(command(&mut d, DISK, &[0xff], None).0, [CHECK_CONDITION, response::OK]);
    assert_eq!(d.bytes(ANSWER, 1)[0], 18);
    assert_eq!(d.bytes(ANSWER + 12, 3), [0x70, 0, 5]);
    let other = [1, 1, 0x40, 0, 0, 0, 0, 0];
    assert_eq!(command(&mut d, other, &inquiry, Some((36, true))), ([0, response::BAD_TARGET], 36, 108));
    assert_eq!(d.exchange(2, &[(BUFFERS, 20, false), (ANSWER, 108, true)]), 0);
}

#[test]
fn tasks_are_managed() {
    let mut d = Driver::up(host(), 0);
    let mut manage = |kind: u32, function: u32, lun: [u8; 8]| {
        d.ram.store_le(BUFFERS, kind as u64 | (function as u64) << 32, 8).unwrap();
        d.ram.write(BUFFERS + 8, &lun).unwrap();
        d.ram.fill(ANSWER, 5, 0xee).unwrap();
        let n = d.exchange(0, &[(BUFFERS, 24, false), (ANSWER, 5, true)]);
        (n, d.bytes(ANSWER, 1)[0])
    };
    assert_eq!(manage(0, 5, DISK), (1, response::COMPLETE));
    assert_eq!(manage(0, 0, DISK), (1, response::COMPLETE));
    assert_eq!(manage(0, 0, [1, 0, 0x40, 9, 0, 0, 0, 0]), (1, response::INCORRECT_LUN));
    assert_eq!(manage(0, 99, DISK), (1, response::REJECTED));
    assert_eq!(manage(2, 0, DISK), (5, 0));
    assert_eq!(manage(7, 0, DISK), (0, 0xee));
}

#[test]
fn it_stands_the_battery() {
    battery(&host, &works);
}
