//! Hypercalls that belong to no larger family.

use super::{Ctx, Row, row};
use crate::rc::{HResult, Rc};

pub(super) const ROWS: &[Row] = &[
    row(0x2c, "H_PAGE_INIT", 3, "14.5.4.2.5", page_init),
    row(0x3c, "H_LOGICAL_CI_LOAD", 2, "14.5.4.4.1", ci_load),
    row(0x40, "H_LOGICAL_CI_STORE", 3, "14.5.4.4.2", ci_store),
    row(0x44, "H_LOGICAL_CACHE_LOAD", 2, "14.5.4.4.3", cache_load),
    row(0x48, "H_LOGICAL_CACHE_STORE", 3, "14.5.4.4.4", cache_store),
    row(0x4c, "H_LOGICAL_ICBI", 1, "14.5.4.4.5", icbi),
    row(0x50, "H_LOGICAL_DCBF", 1, "14.5.4.4.6", dcbf),
    row(0x1c8, "H_GET_CPU_CHARACTERISTICS", 0, "14.14.1", cpu_characteristics),
    row(0x2ec, "H_HOME_NODE_ASSOCIATIVITY", 2, "14.11.6.1", home_node),
    row(0x300, "H_RANDOM", 0, "14.15.1", random),
    row(0xf001, "H_LOGICAL_MEMOP", 5, "", memop),
];

/// Flags of H_PAGE_INIT.
mod page {
    pub const ICACHE_INVALIDATE: u64 = 1 << 23;
    pub const ICACHE_SYNCHRONIZE: u64 = 1 << 22;
    pub const ZERO: u64 = 1 << 15;
    pub const COPY: u64 = 1 << 14;
    pub const ALL: u64 = ICACHE_INVALIDATE | ICACHE_SYNCHRONIZE | ZERO | COPY;
    pub const SIZE: u64 = 4096;
}

/// ( flags destination source -- )
fn page_init(c: &mut Ctx) -> HResult {
    let [flags, to, from] = [0, 1, 2].map(|n| c.arg(n));
    if flags & !page::ALL != 0 {
        return Err(Rc::PARAMETER);
    }
    let good = |at: u64| at % page::SIZE == 0 && c.is_memory(at, page::SIZE);
    if !good(to) || flags & page::COPY != 0 && !good(from) {
        return Err(Rc::PARAMETER);
    }
    if flags & page::COPY != 0 {
        let mut bytes = [0; page::SIZE as usize];
        c.ram().read(from, &mut bytes)?;
        c.ram().write(to, &bytes)?;
    } else if flags & page::ZERO != 0 {
        c.ram().fill(to, page::SIZE, 0)?;
    }
    if flags & (page::ICACHE_INVALIDATE | page::ICACHE_SYNCHRONIZE) != 0 {
        c.ram().written(to, page::SIZE);
    }
    c.cpu.refetch = true;
    Ok(())
}

/// The size of an access of H_LOGICAL_CI_LOAD and its kin: 1, 2, 4 or 8 at a multiple of it.
fn access_size(size: u64, addr: u64) -> Result<u8, Rc> {
    match size {
        1 | 2 | 4 | 8 if addr % size == 0 => Ok(size as u8),
        _ => Err(Rc::PARAMETER),
    }
}

/// Loads a big-endian number from memory or, if `io`, from what else is at a real address.
fn logical_load(c: &mut Ctx, addr: u64, size: u8, io: bool) -> Result<u64, Rc> {
    if c.is_memory(addr, size as u64) {
        let mut b = [0; 8];
        c.ram().read(addr, &mut b[8 - size as usize..])?;
        return Ok(u64::from_be_bytes(b));
    }
    if !io {
        return Err(Rc::PARAMETER);
    }
    c.cpu.env.mmio_load(c.cpu.index, addr, size).ok_or(Rc::PARAMETER)
}

fn logical_store(c: &mut Ctx, addr: u64, value: u64, size: u8, io: bool) -> HResult {
    if c.is_memory(addr, size as u64) {
        c.cpu.refetch = true;
        return Ok(c.ram().write(addr, &value.to_be_bytes()[8 - size as usize..])?);
    }
    if io && c.cpu.env.mmio_store(c.cpu.index, addr, value & ones(size), size) {
        return Ok(());
    }
    Err(Rc::PARAMETER)
}

/// All ones in 1 to 8 bytes.
fn ones(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * size as u32)
}

/// ( size address -- value )
fn load(c: &mut Ctx, io: bool) -> HResult {
    let addr = c.arg(1);
    let size = access_size(c.arg(0), addr)?;
    let v = logical_load(c, addr, size, io)?;
    c.set(0, v);
    Ok(())
}

/// ( size address value -- )
fn store(c: &mut Ctx, io: bool) -> HResult {
    let (addr, value) = (c.arg(1), c.arg(2));
    let size = access_size(c.arg(0), addr)?;
    logical_store(c, addr, value, size, io)
}

fn ci_load(c: &mut Ctx) -> HResult {
    load(c, true)
}

fn ci_store(c: &mut Ctx) -> HResult {
    store(c, true)
}

fn cache_load(c: &mut Ctx) -> HResult {
    load(c, false)
}

fn cache_store(c: &mut Ctx) -> HResult {
    store(c, false)
}

/// ( address -- ): caches are not modelled, but the code made from the page is one.
fn icbi(c: &mut Ctx) -> HResult {
    let addr = c.arg(0);
    if c.is_memory(addr, 1) {
        c.ram().written(addr, 1);
        c.cpu.refetch = true;
    }
    Ok(())
}

fn dcbf(_: &mut Ctx) -> HResult {
    Ok(())
}

/// Most bytes that one H_LOGICAL_MEMOP moves.
const MEMOP_LIMIT: u64 = 16 << 20;

/// ( destination source element-shift count operation -- ): what SLOF moves bytes with to and from I/O addresses, also
/// overlapping ones; operation 0 copies, 1 copies the complement.
fn memop(c: &mut Ctx) -> HResult {
    let [mut to, mut from, shift, count, op] = [0, 1, 2, 3, 4].map(|n| c.arg(n));
    if shift > 3 || op > 1 {
        return Err(Rc::PARAMETER);
    }
    let size = 1u64 << shift;
    let len = count.checked_mul(size).filter(|&l| l <= MEMOP_LIMIT).ok_or(Rc::PARAMETER)?;
    if to % size != 0 || from % size != 0 || to.checked_add(len).is_none() || from.checked_add(len).is_none()
    {
        return Err(Rc::PARAMETER);
    }
    // Upwards, unless that would overwrite what is still to be read.
    let down = from < to && to - from < len;
    if down {
        to += len - size * u64::from(len != 0);
        from += len - size * u64::from(len != 0);
    }
    for _ in 0..count {
        let v = logical_load(c, from, size as u8, true)?;
        let v = if op == 1 { !v } else { v };
        logical_store(c, to, v, size as u8, true)?;
        (to, from) = if down {
            (to.wrapping_sub(size), from.wrapping_sub(size))
        } else {
            (to.wrapping_add(size), from.wrapping_add(size))
        };
    }
    Ok(())
}

/// H_GET_CPU_CHARACTERISTICS: bits from the most significant one.
mod character {
    /// Indirect branches wait for their target.
    pub const BCCTR_SERIALISED: u64 = 1 << 62;
    /// Behaviour: security before speed, where there is a choice.
    pub const FAVOUR_SECURITY: u64 = 1 << 63;
    /// Behaviour: no flush of the first-level data cache is needed on entry to the kernel, round accesses to user
    /// memory, and no barrier between stores and loads.
    pub const NO_L1D_FLUSH_ENTRY: u64 = 1 << 56;
    pub const NO_L1D_FLUSH_UACCESS: u64 = 1 << 55;
    pub const NO_STF_BARRIER: u64 = 1 << 54;
}

/// ( -- characteristics behaviour ): guest instructions are not executed speculatively, so there is nothing to flush.
fn cpu_characteristics(c: &mut Ctx) -> HResult {
    use character::*;
    c.set(0, BCCTR_SERIALISED);
    c.set(1, FAVOUR_SECURITY | NO_L1D_FLUSH_ENTRY | NO_L1D_FLUSH_UACCESS | NO_STF_BARRIER);
    Ok(())
}

/// ( flags processor -- associativity ): flag 1 says that a processor is meant. Six registers of 16-bit fields: a field
/// without its top bit begins a 32-bit number, all ones is none.
fn home_node(c: &mut Ctx) -> HResult {
    if c.arg(0) != 1 {
        return Err(Rc::FUNCTION);
    }
    let vcpu = c.papr().vcpu_of(c.arg(1)).ok_or(Rc::P2)?;
    let domains = crate::fdt::cpu_associativity(vcpu as u32);
    for n in 0..6 {
        let domain = |i: usize| domains.get(i).copied().unwrap_or(u32::MAX);
        c.set(n, (domain(2 * n) as u64) << 32 | domain(2 * n + 1) as u64);
    }
    Ok(())
}

/// ( -- random )
fn random(c: &mut Ctx) -> HResult {
    let v = c.cpu.env.random().ok_or(Rc::HARDWARE)?;
    c.set(0, v);
    Ok(())
}
