//! Sharing of processors (LoPAR 14.11) and stopping for them.

use arch::msr;
use arch::shared::event;

use super::{Ctx, Row, row};
use crate::platform::HcallFlow;
use crate::rc::{HResult, Rc};

pub(super) const ROWS: &[Row] = &[
    row(0xe0, "H_CEDE", 0, "14.11.3.3", cede),
    row(0xe4, "H_CONFER", 2, "14.11.3.4", confer),
    row(0xe8, "H_PROD", 1, "14.11.3.5", prod),
    row(0xec, "H_GET_PPP", 0, "14.11.3.6", get_ppp),
    row(0xf0, "H_SET_PPP", 2, "14.11.3.7", set_ppp),
    row(0xf4, "H_PURR", 0, "14.11.3.8", purr),
    row(0xf8, "H_PIC", 0, "14.11.3.9", pic),
    row(0x298, "H_JOIN", 0, "14.11.5.1", join),
    row(0x2d4, "H_GET_MPP", 0, "14.12.4.2", get_mpp),
    row(0x380, "H_SIGNAL_SYS_RESET", 1, "14.5.4.12", signal_sys_reset),
];

fn cede(c: &mut Ctx) -> HResult {
    let m = c.cpu.st.msr | msr::EE;
    c.cpu.set_msr(m);
    c.flow = if take_prod(c) { HcallFlow::Continue } else { HcallFlow::Cede };
    Ok(())
}

/// Whether the caller was prodded since it last slept; it is not any more.
fn take_prod(c: &mut Ctx) -> bool {
    let prodded = c.cpu.link.pending() & event::PROD != 0;
    if prodded {
        c.cpu.link.clear(event::PROD);
    }
    prodded
}

/// Whether an argument is -1, in either mode.
fn is_all(c: &Ctx, n: usize) -> bool {
    c.arg(n) == if c.cpu.st.mode.sf { u64::MAX } else { u32::MAX as u64 }
}

/// ( processor yield-count -- )
fn confer(c: &mut Ctx) -> HResult {
    if is_all(c, 0) {
        c.flow = HcallFlow::Confer(None);
        return Ok(());
    }
    let target = c.papr().vcpu_of(c.arg(0)).ok_or(Rc::PARAMETER)?;
    if target == c.cpu.index {
        c.flow = if take_prod(c) { HcallFlow::Continue } else { HcallFlow::WaitProd };
        return Ok(());
    }
    if let Some(count) = c.papr().yield_count(c.ram(), target) {
        // It has run since the caller looked, or it runs now.
        if count != c.arg(1) as u32 || count & 1 == 0 {
            return Ok(());
        }
    }
    c.flow = HcallFlow::Confer(Some(target));
    Ok(())
}

/// ( processor -- )
fn prod(c: &mut Ctx) -> HResult {
    let target = c.papr().vcpu_of(c.arg(0)).ok_or(Rc::PARAMETER)?;
    c.papr().unjoin(target);
    if let Some(link) = c.shared().vcpus.get(target) {
        link.post(event::PROD);
    }
    Ok(())
}

fn join(c: &mut Ctx) -> HResult {
    if c.cpu.st.msr & msr::EE != 0 {
        return Err(Rc::BAD_MODE);
    }
    if take_prod(c) {
        return Ok(());
    }
    if !c.papr().join(c.cpu.index) {
        return Err(Rc::CONTINUE);
    }
    c.flow = HcallFlow::WaitProd;
    Ok(())
}

/// ( target -- ): -1 all processors, -2 all others, else one.
fn signal_sys_reset(c: &mut Ctx) -> HResult {
    let sf = c.cpu.st.mode.sf;
    let target = if sf { c.arg(0) as i64 } else { c.arg(0) as i32 as i64 };
    let me = c.cpu.index;
    let to = |n: usize| {
        if c.papr().is_running(n)
            && let Some(link) = c.shared().vcpus.get(n)
        {
            link.post(event::SYSTEM_RESET);
        }
    };
    match target {
        -1 => (0..c.papr().vcpu_count()).for_each(to),
        -2 => (0..c.papr().vcpu_count()).filter(|&n| n != me).for_each(to),
        _ => to(c.papr().vcpu_of(target as u64).ok_or(Rc::PARAMETER)?),
    }
    Ok(())
}

/// ( -- entitlement unallocated group-and-pool weights-and-processors capacities )
///
/// Of r6 the third two bytes are the group, the last the pool. r7 from the most significant byte: one reserved, 1 for
/// capped, weight, unallocated weight, two bytes of processors in the pool, two of processors in the system. r8: two
/// bytes of physical processors, three of most capacity in the pool, three of capacity that is entitled there.
fn get_ppp(c: &mut Ctx) -> HResult {
    let k = c.p.capacity();
    let number = c.p.config().number as u64 & 0xffff;
    let short = |n: u32| u64::from(n.min(0xffff));
    let percent = |n: u32| u64::from(n.min(0xff_ffff));
    let (capped, weight) = (u64::from(k.weight.is_none()), u64::from(k.weight.unwrap_or(0)));
    let pool = k.pool.saturating_mul(100);
    c.set(0, k.entitled.into());
    c.set(1, k.unallocated.into());
    c.set(2, number << 16);
    c.set(3, capped << 48 | weight << 40 | short(k.pool) << 16 | short(k.machine));
    c.set(4, short(k.machine) << 48 | percent(pool) << 24 | percent(pool.saturating_sub(k.unallocated)));
    Ok(())
}

/// ( entitlement weight -- ): within the partition's limits; H_CONSTRAINED if they cut it.
fn set_ppp(c: &mut Ctx) -> HResult {
    let (entitled, weight) = (c.arg(0), c.arg(1));
    let weight = u8::try_from(weight).map_err(|_| Rc::PARAMETER)?;
    let (least, most) = c.p.config().limits().entitled;
    let wanted = u32::try_from(entitled).map_err(|_| Rc::PARAMETER)?;
    if wanted == 0 {
        return Err(Rc::PARAMETER);
    }
    let given = wanted.clamp(least, most.max(least));
    c.p.set_capacity(given, weight)?;
    if given == wanted { Ok(()) } else { Err(Rc::CONSTRAINED) }
}

/// ( -- purr ): what the calling processor has used.
fn purr(c: &mut Ctx) -> HResult {
    let v = c.shared().tb.now().wrapping_add(c.cpu.st.purr_offset);
    c.set(0, v);
    Ok(())
}

/// ( -- idle-ticks processors ) of the shared pool; a dedicated partition is no member of it.
fn pic(c: &mut Ctx) -> HResult {
    let k = c.p.capacity();
    if !k.shared {
        return Err(Rc::AUTHORITY);
    }
    c.set(0, arch::time::of_nanos(k.pool_idle));
    c.set(1, k.pool.into());
    Ok(())
}

/// ( -- entitled mapped group-and-pool weights unallocated backing loan-request )
fn get_mpp(c: &mut Ctx) -> HResult {
    let memory = c.p.config().memory;
    let number = c.p.config().number as u64 & 0xffff;
    let values = [memory, memory, number << 16 | 0xffff, 0, 0, memory, 0];
    for (n, v) in values.into_iter().enumerate() {
        c.set(n, v);
    }
    Ok(())
}
