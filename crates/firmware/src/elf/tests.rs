use super::*;
use std::io::Write as _;

const MIB: u64 = 1 << 20;

/// Memory of 64 MiB, poisoned so that clearing shows.
struct Ram(Vec<u8>);

impl Ram {
    fn new() -> Self {
        Ram(vec![0xee; 64 << 20])
    }
    fn at(&self, addr: u64, len: usize) -> &[u8] {
        &self.0[addr as usize..addr as usize + len]
    }
}

impl LoadTarget for Ram {
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), TargetError> {
        let at = usize::try_from(addr).map_err(|_| TargetError(addr))?;
        let end = at.checked_add(data.len()).ok_or(TargetError(addr))?;
        self.0.get_mut(at..end).ok_or(TargetError(addr))?.copy_from_slice(data);
        Ok(())
    }
    fn zero(&mut self, addr: u64, len: u64) -> Result<(), TargetError> {
        let end = addr.checked_add(len).ok_or(TargetError(addr))?;
        self.0.get_mut(addr as usize..end as usize).ok_or(TargetError(addr))?.fill(0);
        Ok(())
    }
}

fn layout() -> Layout {
    Layout::new(32 * MIB, 64 * MIB)
}

/// A segment of a made-up image.
#[derive(Clone)]
struct Seg {
    vaddr: u64,
    paddr: u64,
    data: Vec<u8>,
    memsz: u64,
    flags: u32,
}

fn seg(addr: u64, data: &[u8]) -> Seg {
    Seg { vaddr: addr, paddr: addr, data: data.to_vec(), memsz: data.len() as u64, flags: 7 }
}

#[derive(Clone)]
struct Make {
    is_64: bool,
    big: bool,
    kind: u16,
    machine: u16,
    entry: u64,
    segs: Vec<Seg>,
}

impl Make {
    fn new(is_64: bool, big: bool, segs: Vec<Seg>) -> Self {
        let entry = segs[0].vaddr;
        Make { is_64, big, kind: 2, machine: if is_64 { 21 } else { 20 }, entry, segs }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0x7f, b'E', b'L', b'F', 1 + u8::from(self.is_64), 1 + u8::from(self.big), 1];
        out.resize(16, 0);
        let put = |out: &mut Vec<u8>, value: u64, width: usize| {
            let le = value.to_le_bytes();
            let part = &le[..width];
            if self.big { out.extend(part.iter().rev()) } else { out.extend(part) }
        };
        let word = if self.is_64 { 8 } else { 4 };
        let (ehsize, phsize) = if self.is_64 { (64, 56) } else { (52, 32) };
        for (value, width) in [
            (u64::from(self.kind), 2),
            (u64::from(self.machine), 2),
            (1, 4),
            (self.entry, word),
            (ehsize, word),
            (0, word),
            (0, 4),
            (ehsize, 2),
            (phsize, 2),
            (self.segs.len() as u64, 2),
            (0, 2),
            (0, 2),
            (0, 2),
        ] {
            put(&mut out, value, width);
        }
        let mut offset = ehsize + phsize * self.segs.len() as u64;
        for s in &self.segs {
            let len = s.data.len() as u64;
            put(&mut out, 1, 4);
            if self.is_64 {
                put(&mut out, s.flags.into(), 4);
            }
            for v in [offset, s.vaddr, s.paddr, len, s.memsz] {
                put(&mut out, v, word);
            }
            if !self.is_64 {
                put(&mut out, s.flags.into(), 4);
            }
            put(&mut out, 0, word);
            offset += len;
        }
        for s in &self.segs {
            out.extend(&s.data);
        }
        out
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        load_kernel(&self.bytes(), &layout(), &mut Ram::new())
    }
}

const KBASE: u64 = 0xc000_0000_0000_0000;

/// As `vmlinux` has them: linked high, physical addresses from 0.
fn vmlinux(big: bool) -> Make {
    let mut text = seg(KBASE, b"text....");
    text.paddr = 0;
    let mut data = seg(KBASE + 0x2_0000, b"data");
    data.paddr = 0x2_0000;
    data.memsz = 0x100;
    let mut make = Make::new(true, big, vec![text, data]);
    make.kind = if big { 2 } else { 3 };
    make
}

#[test]
fn vmlinux_goes_above_the_firmware() {
    for big in [false, true] {
        let mut ram = Ram::new();
        let got = load_kernel(&vmlinux(big).bytes(), &layout(), &mut ram).unwrap();
        assert_eq!((got.entry, got.low, got.high), (0x40_0000, 0x40_0000, 0x42_0100));
        assert_eq!(got.endian, if big { ByteOrder::Big } else { ByteOrder::Little });
        assert_eq!((got.is_64bit, got.toc), (true, None));
        assert_eq!(ram.at(0x40_0000, 9), b"text....\xee");
        assert_eq!(ram.at(0x42_0000, 6), b"data\0\0");
        assert_eq!(ram.at(0x42_00ff, 2), b"\0\xee");
    }
}

#[test]
fn physical_addresses_in_the_kernel_quadrant_lose_their_top() {
    let mut make = vmlinux(true);
    for s in &mut make.segs {
        s.paddr = s.vaddr;
    }
    make.entry = KBASE + 4;
    assert_eq!(make.load().unwrap().entry, 0x40_0004);
}

#[test]
fn fixed_images_stay_where_they_are_linked() {
    // As zImage.pseries and GRUB's core.elf: 32-bit, big-endian.
    let mut make = Make::new(false, true, vec![seg(0x20_0000, b"grub...."), seg(0x30_0000, b"mods")]);
    make.entry = 0x20_0004;
    let mut ram = Ram::new();
    let got = load_kernel(&make.bytes(), &layout(), &mut ram).unwrap();
    assert_eq!((got.entry, got.is_64bit, got.low, got.high), (0x20_0004, false, 0x20_0000, 0x30_0004));
    assert_eq!(ram.at(0x20_0000, 4), b"grub");
    assert_eq!(ram.at(0x30_0000, 4), b"mods");
    // Position-independent ones have a link address, too.
    make.kind = 3;
    assert_eq!(make.load().unwrap().entry, 0x20_0004);
}

#[test]
fn images_linked_at_zero_are_shifted() {
    let make = Make::new(true, true, vec![seg(0, b"test kernel.")]);
    assert_eq!(make.load().unwrap().entry, 0x40_0000);
}

#[test]
fn gzip() {
    let plain = vmlinux(false).bytes();
    let mut z = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    z.write_all(&plain).unwrap();
    let packed = z.finish().unwrap();
    let got = load_kernel(&packed, &layout(), &mut Ram::new()).unwrap();
    assert_eq!(got.entry, 0x40_0000);
    assert!(got.name.ends_with("gzip'd"), "{}", got.name);
    let cut = load_kernel(&packed[..packed.len() / 2], &layout(), &mut Ram::new()).unwrap_err();
    assert!(matches!(cut, LoadError::BadGzip(_)), "{cut}");
}

#[test]
fn gzip_bombs_stop() {
    let mut z = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    z.write_all(&vec![0; 5 << 20]).unwrap();
    let packed = z.finish().unwrap();
    assert_eq!(unpack(&packed, 1 << 20), Err(LoadError::UnpacksTooLarge(1)));
    assert_eq!(unpack(&packed, 5 << 20).unwrap().len(), 5 << 20);
    let small = Layout::new(MIB, MIB);
    assert_eq!(load_kernel(&packed, &small, &mut Ram::new()), Err(LoadError::UnpacksTooLarge(4)));
}

#[test]
fn descriptors_of_the_first_abi() {
    let entry = 0x50_0008_u64;
    let mut opd = seg(0x60_0000, &[entry.to_be_bytes(), 0x60_8000_u64.to_be_bytes()].concat());
    opd.flags = 6;
    let mut text = seg(0x50_0000, b"................");
    text.flags = 5;
    let mut make = Make::new(true, true, vec![text, opd]);
    make.entry = 0x60_0000;
    let got = make.load().unwrap();
    assert_eq!((got.entry, got.toc), (entry, Some(0x60_8000)));
    make.entry = 0x60_0008;
    assert_eq!(make.load(), Err(LoadError::Malformed("entry lies outside of the segments")));
}

#[test]
fn each_fault_has_its_line() {
    let line = |m: &Make| m.load().unwrap_err().to_string();
    let good = vmlinux(false);

    let mut m = good.clone();
    m.machine = 62;
    assert_eq!(line(&m), "ELF file for x86-64, not for Power");
    m.machine = 999;
    assert_eq!(line(&m), "ELF file for machine number 999, not for Power");
    let mut m = good.clone();
    m.kind = 1;
    assert_eq!(line(&m), "ELF file is not executable (an object file)");
    let mut m = good.clone();
    m.segs[1].memsz = 32 * MIB;
    assert_eq!(line(&m), "kernel needs memory up to 0x2420000, but only 0x2000000 bytes are there");
    m.segs[1].memsz = u64::MAX;
    assert!(line(&m).starts_with("kernel needs memory up to"));
    let mut m = good.clone();
    m.segs[0].memsz = 0x2_0001;
    assert_eq!(line(&m), "ELF segments overlap at 0x420000");
    let mut m = good.clone();
    m.segs[1].memsz = 3;
    assert_eq!(line(&m), "ELF file is malformed: segment larger in file than in memory");
    let mut m = good.clone();
    m.entry = 0x1234;
    m.segs[0].paddr = 0x10_0000;
    assert_eq!(line(&m), "ELF file is malformed: entry lies outside of the segments");
    let mut m = good.clone();
    m.segs.clear();
    assert_eq!(line(&m), "ELF file is not executable (nothing to load)");

    let bytes = good.bytes();
    let load = |b: &[u8]| load_kernel(b, &layout(), &mut Ram::new()).unwrap_err().to_string();
    assert_eq!(load(b""), "not an ELF file");
    assert_eq!(load(b"#!/bin/sh\n"), "not an ELF file");
    for cut in [4, 5, 20, 63, 64, 100, bytes.len() - 1] {
        assert_eq!(load(&bytes[..cut]), "ELF file is truncated", "cut at {cut}");
    }
}

#[test]
fn initrd_places() {
    let kernel = vmlinux(false).load().unwrap();
    let l = layout();
    assert_eq!(place_initrd(&l, &kernel, 1), Ok(0x43_0000));
    assert_eq!(place_initrd(&l, &kernel, 10 * MIB), Ok(0x43_0000));
    // Would leave too little of the real-mode area, so it goes to the top.
    assert_eq!(place_initrd(&l, &kernel, 20 * MIB), Ok(44 * MIB));
    assert_eq!(place_initrd(&l, &kernel, 40 * MIB + 1), Ok(0x43_0000));
    let e = place_initrd(&l, &kernel, 62 * MIB).unwrap_err();
    assert_eq!(e.to_string(), "initrd needs memory up to 0x4230000, but only 0x4000000 bytes are there");
    assert!(place_initrd(&l, &kernel, u64::MAX).is_err());

    let mut ram = Ram::new();
    let at = load_initrd(b"disk", &l, &kernel, &mut ram).unwrap();
    assert_eq!(ram.at(at, 4), b"disk");
}

/// Nothing that can be done to the bytes makes the loader panic or write outside of memory.
#[test]
fn damaged_images_do_no_harm() {
    struct Bounded;
    impl LoadTarget for Bounded {
        fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), TargetError> {
            assert!(addr.checked_add(data.len() as u64).unwrap() <= 32 * MIB);
            Ok(())
        }
        fn zero(&mut self, addr: u64, len: u64) -> Result<(), TargetError> {
            assert!(addr.checked_add(len).unwrap() <= 32 * MIB);
            Ok(())
        }
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    let samples = [vmlinux(false).bytes(), vmlinux(true).bytes(), {
        let mut m = Make::new(false, true, vec![seg(0x20_0000, b"grub...."), seg(0x30_0000, b"mods")]);
        m.segs[1].memsz = 0x1000;
        m.bytes()
    }];
    let mut loaded = 0;
    for i in 0..30_000 {
        let mut bytes = samples[i % 3].clone();
        for _ in 0..1 + next(3) {
            let at = next(bytes.len());
            bytes[at] = [0, 1, 0x7f, 0xff, next(256) as u8][next(5)];
        }
        if let Ok(got) = load_kernel(&bytes, &layout(), &mut Bounded) {
            loaded += 1;
            assert!(got.low < got.high && got.high <= 32 * MIB && got.entry < got.high, "{got:?}");
            assert!(place_initrd(&layout(), &got, 1).unwrap() >= got.high);
        }
    }
    assert!(loaded > 1000, "only {loaded} mutants loaded");
}
