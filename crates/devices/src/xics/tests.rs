use super::*;
use crate::testing::{Event, Lines, Rng, STRESS_SERVERS, Stressed, stress};

const A: u32 = 0x1100;
const B: u32 = 0x1101;
const L: u32 = 0x1200;

fn xics(servers: u32) -> (Arc<Lines>, Xics) {
    let lines = Arc::new(Lines::new(servers as usize));
    let map = ServerMap::new(&(0..servers).collect::<Vec<_>>());
    let x = Xics::new(map, lines.clone());
    x.claim(A, IrqKind::Msi).unwrap();
    x.claim(B, IrqKind::Msi).unwrap();
    x.claim(L, IrqKind::Lsi).unwrap();
    (lines, x)
}

fn xirr(cppr: u32, xisr: u32) -> u64 {
    (cppr << 24 | xisr) as u64
}

#[test]
fn an_ipi_comes_and_goes() {
    let (lines, x) = xics(2);
    assert_eq!(x.h_ipi(1, 4), Ok(()));
    assert!(!lines.level(1), "CPPR is 0 at first");
    x.h_cppr(1, 0xff).unwrap();
    assert!(lines.level(1) && !lines.level(0));
    assert_eq!(x.h_ipoll(1), Ok((xirr(0xff, XISR_IPI), 4)));
    assert_eq!(x.h_xirr(1), Ok(xirr(0xff, XISR_IPI)));
    assert!(!lines.level(1));
    assert_eq!(x.h_ipoll(1), Ok((xirr(4, 0), 4)));
    // Without taking the request back it is presented again after the EOI.
    x.h_eoi(1, xirr(0xff, XISR_IPI)).unwrap();
    assert!(lines.level(1));
    assert_eq!(x.h_xirr(1), Ok(xirr(0xff, XISR_IPI)));
    x.h_ipi(1, 0xff).unwrap();
    x.h_eoi(1, xirr(0xff, XISR_IPI)).unwrap();
    assert!(!lines.level(1));
    // Nothing there: the CPPR does not move.
    assert_eq!(x.h_xirr(1), Ok(xirr(0xff, 0)));
    assert_eq!(x.h_ipoll(1), Ok((xirr(0xff, 0), 0xff)));
}

#[test]
fn the_more_favoured_displaces_and_the_displaced_returns() {
    let (lines, x) = xics(1);
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(A, 0, 5).unwrap();
    x.set_xive(B, 0, 3).unwrap();
    x.pulse(A);
    assert_eq!(x.h_ipoll(0).unwrap().0, xirr(0xff, A));
    x.h_ipi(0, 4).unwrap();
    assert_eq!(x.h_ipoll(0).unwrap().0, xirr(0xff, XISR_IPI));
    x.pulse(B);
    assert_eq!(x.h_ipoll(0).unwrap().0, xirr(0xff, B));
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, B)));
    assert!(!lines.level(0), "the others are less favoured than 3");
    x.h_eoi(0, xirr(0xff, B)).unwrap();
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, XISR_IPI)));
    x.h_ipi(0, 0xff).unwrap();
    x.h_eoi(0, xirr(0xff, XISR_IPI)).unwrap();
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, A)));
    x.h_eoi(0, xirr(0xff, A)).unwrap();
    assert!(!lines.level(0));
}

#[test]
fn a_lower_cppr_withdraws() {
    let (lines, x) = xics(1);
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(A, 0, 5).unwrap();
    x.pulse(A);
    x.h_ipi(0, 6).unwrap();
    x.h_cppr(0, 5).unwrap();
    assert!(!lines.level(0));
    assert_eq!(x.h_ipoll(0).unwrap().0, xirr(5, 0));
    x.h_cppr(0, 6).unwrap();
    assert_eq!(x.h_xirr(0), Ok(xirr(6, A)));
    // The EOI's own CPPR byte withdraws, too.
    x.h_eoi(0, xirr(0xff, A)).unwrap();
    assert!(lines.level(0));
    x.h_eoi(0, xirr(6, 0)).unwrap();
    assert!(!lines.level(0));
}

#[test]
fn edges_are_kept_while_one_is_in_service() {
    let (lines, x) = xics(1);
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(A, 0, 5).unwrap();
    x.pulse(A);
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, A)));
    x.pulse(A);
    x.pulse(A);
    assert!(!lines.level(0));
    x.h_eoi(0, xirr(0xff, A)).unwrap();
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, A)));
    x.h_eoi(0, xirr(0xff, A)).unwrap();
    assert!(!lines.level(0));
}

#[test]
fn masked_edges_are_latched() {
    let (lines, x) = xics(2);
    x.h_cppr(0, 0xff).unwrap();
    x.h_cppr(1, 0xff).unwrap();
    x.pulse(A);
    assert_eq!(x.get_xive(A), Ok((0, 0xff)));
    x.set_xive(A, 1, 5).unwrap();
    assert!(lines.level(1) && !lines.level(0));
    x.h_xirr(1).unwrap();
    x.h_eoi(1, xirr(0xff, A)).unwrap();
    // int-off twice still remembers the priority.
    x.int_off(A).unwrap();
    x.int_off(A).unwrap();
    assert_eq!(x.get_xive(A), Ok((1, 0xff)));
    x.pulse(A);
    assert!(!lines.level(1));
    x.int_on(A).unwrap();
    assert_eq!((x.get_xive(A), lines.level(1)), (Ok((1, 5)), true));
}

#[test]
fn a_waiting_interrupt_moves_with_its_source() {
    let (lines, x) = xics(2);
    x.h_cppr(1, 0xff).unwrap();
    x.set_xive(A, 0, 5).unwrap();
    x.set_xive(L, 0, 5).unwrap();
    x.pulse(A);
    x.set_level(L, true);
    assert!(!lines.level(0));
    // Server 0 never opens (it may be going offline).
    x.set_xive(A, 1, 5).unwrap();
    assert_eq!(x.h_xirr(1), Ok(xirr(0xff, A)));
    x.h_eoi(1, xirr(0xff, A)).unwrap();
    x.set_xive(L, 1, 5).unwrap();
    assert_eq!(x.h_xirr(1), Ok(xirr(0xff, L)));
    x.set_level(L, false);
    x.h_eoi(1, xirr(0xff, L)).unwrap();
    x.h_cppr(0, 0xff).unwrap();
    assert!(!lines.level(0) && !lines.level(1));
    // Masked while it waits: latched.
    x.h_cppr(1, 0).unwrap();
    x.pulse(A);
    x.int_off(A).unwrap();
    x.h_cppr(1, 0xff).unwrap();
    assert!(!lines.level(1));
    x.int_on(A).unwrap();
    assert!(lines.level(1));
}

#[test]
fn a_level_interrupts_until_it_falls() {
    let (lines, x) = xics(1);
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(L, 0, 5).unwrap();
    x.set_level(L, true);
    x.set_level(L, true);
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, L)));
    x.h_cppr(0, 0xff).unwrap();
    assert!(!lines.level(0), "not before its EOI");
    x.h_eoi(0, xirr(0xff, L)).unwrap();
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, L)));
    x.set_level(L, false);
    x.h_eoi(0, xirr(0xff, L)).unwrap();
    assert!(!lines.level(0));
    // A level that fell while it waited is forgotten, and a pulse is none.
    x.h_cppr(0, 0).unwrap();
    x.set_level(L, true);
    x.set_level(L, false);
    x.pulse(L);
    x.h_cppr(0, 0xff).unwrap();
    assert!(!lines.level(0));
    x.set_level(L, true);
    assert!(lines.level(0));
}

#[test]
fn bad_arguments() {
    let (_, x) = xics(2);
    for target in [2, 3, u32::MAX as u64, u64::MAX, 1 << 32] {
        assert_eq!(x.h_ipi(target, 4), Err(HcallError::Parameter));
        assert_eq!(x.h_ipoll(target), Err(HcallError::Parameter));
    }
    assert_eq!(x.h_xirr(7), Err(HcallError::Hardware));
    x.h_cppr(0, 0).unwrap();
    assert_eq!(x.h_eoi(0, xirr(0x55, 0x3000)), Err(HcallError::Parameter));
    assert_eq!(x.h_ipoll(0).unwrap().0, xirr(0x55, 0));
    assert_eq!(x.h_eoi(0, xirr(0x55, 0)), Ok(()));
    assert_eq!(x.h_eoi(0, xirr(0x55, 0x1fff)), Ok(()));
    let bad = Err(RtasError::Parameter);
    assert_eq!(x.set_xive(A, 2, 5), bad);
    assert_eq!(x.set_xive(A, 0, 0x100), bad);
    for number in [0, 2, 0xfff, 0x1000, 0x1fff, 0x2000, u32::MAX] {
        assert_eq!(x.set_xive(number, 0, 5), bad);
        assert_eq!(x.get_xive(number), Err(RtasError::Parameter));
        assert_eq!((x.int_on(number), x.int_off(number)), (bad, bad));
    }
    assert_eq!(x.claim(A, IrqKind::Lsi), Err(IrqError::InUse(A)));
    assert_eq!(x.claim(0xfff, IrqKind::Msi), Err(IrqError::OutOfRange(0xfff)));
    assert_eq!(x.claim(0x2000, IrqKind::Msi), Err(IrqError::OutOfRange(0x2000)));
}

#[test]
fn a_freed_source_is_withdrawn() {
    let (lines, x) = xics(1);
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(A, 0, 4).unwrap();
    x.set_xive(B, 0, 5).unwrap();
    x.pulse(B);
    x.pulse(A);
    x.pulse(A);
    x.free(A);
    assert_eq!(x.h_xirr(0), Ok(xirr(0xff, B)));
    x.h_eoi(0, xirr(0xff, B)).unwrap();
    assert!(!lines.level(0));
    x.pulse(A);
    x.set_level(A, true);
    x.free(0);
    x.claim(A, IrqKind::Msi).unwrap();
    assert_eq!(x.get_xive(A), Ok((0, 0xff)));
    x.set_xive(A, 0, 5).unwrap();
    assert!(!lines.level(0));
}

#[test]
fn reset_keeps_claims_and_levels() {
    let (lines, x) = xics(1);
    let fresh = x.save();
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(A, 0, 5).unwrap();
    x.set_xive(L, 0, 5).unwrap();
    x.set_level(L, true);
    x.pulse(A);
    x.int_off(B).unwrap();
    x.pulse(B);
    x.h_ipi(0, 1).unwrap();
    x.reset();
    assert!(!lines.level(0));
    x.set_level(L, false);
    assert_eq!(x.save(), fresh);
    x.set_level(L, true);
    x.reset();
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(L, 0, 5).unwrap();
    assert!(lines.level(0));
}

#[test]
fn saved_and_restored_midway() {
    let (_, x) = xics(2);
    x.h_cppr(0, 0xff).unwrap();
    x.set_xive(A, 0, 5).unwrap();
    x.set_xive(B, 0, 6).unwrap();
    x.set_xive(L, 1, 7).unwrap();
    x.pulse(A);
    x.pulse(B);
    x.set_level(L, true);
    x.h_ipi(1, 3).unwrap();
    let json = serde_json::to_string(&x.save()).unwrap();
    let (lines, y) = xics(2);
    y.claim(0x1300, IrqKind::Msi).unwrap();
    y.restore(serde_json::from_str(&json).unwrap()).unwrap();
    assert_eq!(y.save(), x.save());
    assert!(lines.level(0) && !lines.level(1));
    assert_eq!(y.h_xirr(0), Ok(xirr(0xff, A)));
    y.h_eoi(0, xirr(0xff, A)).unwrap();
    assert_eq!(y.h_xirr(0), Ok(xirr(0xff, B)));
    y.h_cppr(1, 0xff).unwrap();
    assert_eq!(y.h_xirr(1), Ok(xirr(0xff, XISR_IPI)));

    let mut s = x.save();
    s.version = 9;
    assert!(y.restore(s).is_err());
    let mut s = x.save();
    s.icps[0].resend.push(1);
    assert!(y.restore(s).is_err());
    let mut s = x.save();
    s.icps.pop();
    assert!(y.restore(s).is_err());
    let mut s = x.save();
    s.sources[0].lisn = 0x2000;
    assert!(y.restore(s).is_err());
}

#[test]
fn node() {
    let (_, x) = xics(3);
    let mut t = DeviceTree::new();
    let node = x.describe(&mut t, 0x1111);
    assert_eq!(t.path(node), "/interrupt-controller");
    assert_eq!(t.phandle(node), 0x1111);
    assert_eq!(t.prop_str(node, "compatible"), Some("IBM,ppc-xicp"));
    assert_eq!(t.prop_u32(node, "#interrupt-cells"), Some(2));
    assert_eq!(t.prop(node, "ibm,interrupt-server-ranges"), Some(&[0, 0, 0, 0, 0, 0, 0, 3][..]));
}

#[test]
fn random_calls_do_no_harm() {
    let (_, x) = xics(3);
    let mut r = Rng::new(1);
    for _ in 0..200_000 {
        let (a, b, c) = (r.odd(), r.odd(), r.odd());
        let server = r.below(3) as u32;
        match r.below(14) {
            0 => drop(x.h_cppr(server, a)),
            1 => drop(x.h_ipi(a, b)),
            2 => drop(x.h_ipoll(a)),
            3 => drop(x.h_xirr(server)),
            4 => drop(x.h_eoi(server, a)),
            5 => drop(x.set_xive(a as u32, b as u32, c as u32)),
            6 => drop(x.get_xive(a as u32)),
            7 => drop(x.int_on(a as u32)),
            8 => drop(x.int_off(a as u32)),
            9 => drop(x.claim(a as u32, if b & 1 == 0 { IrqKind::Msi } else { IrqKind::Lsi })),
            10 => x.free(a as u32),
            11 => x.pulse(a as u32),
            12 => x.set_level(a as u32, b & 1 != 0),
            _ => drop(x.set_xive(a as u32, server, c as u32 & 0xff)),
        }
    }
    let s = x.save();
    let (_, y) = xics(3);
    y.restore(s.clone()).unwrap();
    assert_eq!(y.save(), s);
}

impl Stressed for (Arc<Lines>, Xics) {
    fn lines(&self) -> &Lines {
        &self.0
    }

    fn send_ipi(&self, to: u32) {
        self.1.h_ipi(to as u64, 4).unwrap();
    }

    fn pulse(&self, edge: usize) {
        self.1.pulse([A, B][edge]);
    }

    fn set_level(&self, asserted: bool) {
        self.1.set_level(L, asserted);
    }

    fn reroute(&self, r: &mut Rng) {
        let number = r.pick(&[A, B, L]);
        self.1.int_off(number).unwrap();
        let (server, priority) = (r.below(STRESS_SERVERS as u64) as u32, 3 + r.below(4) as u32);
        self.1.set_xive(number, server, priority).unwrap();
    }

    fn take(&self, me: u32, handle: &mut dyn FnMut(Event)) {
        let xirr = self.1.h_xirr(me).unwrap();
        handle(match xirr as u32 & XISR_MASK {
            // Another thread may have been faster to take it away.
            0 => return,
            XISR_IPI => {
                self.1.h_ipi(me as u64, 0xff).unwrap();
                Event::Ipi
            }
            A => Event::Edge(0),
            B => Event::Edge(1),
            L => Event::Level,
            other => panic!("source {other:#x}"),
        });
        self.1.h_eoi(me, xirr).unwrap();
    }
}

#[test]
fn nothing_is_lost_between_threads() {
    let s = xics(STRESS_SERVERS);
    for number in [A, B, L] {
        s.1.set_xive(number, 0, 5).unwrap();
    }
    (0..STRESS_SERVERS).for_each(|me| s.1.h_cppr(me, 0xff).unwrap());
    stress(4000, &s);
}
