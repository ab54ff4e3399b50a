use std::sync::atomic::Ordering;

use arch::msr::{self, lpcr};
use arch::shared::event;
use device::irq::lisn;

use super::*;
use crate::config::{IrqChoice, MmuChoice};
use crate::testing::{MEMORY, MMIO, Rng, TestPlatform, config};
use crate::{End, cas};

const PARAMETER: i64 = -4;
const FUNCTION: i64 = -2;
const P2: i64 = -55;
const P3: i64 = -56;
const P4: i64 = -57;
const UNSUPPORTED_FLAG: i64 = -256;

fn power9() -> TestPlatform {
    TestPlatform::new(config("power9"))
}

/// A partition that has agreed on hashed tables and XICS.
fn power8() -> TestPlatform {
    TestPlatform::new(config("power8"))
}

#[test]
fn every_row_is_found_by_its_number() {
    for (n, row) in TABLE.iter().enumerate() {
        assert_eq!(find(row.number), Some(n), "{}", row.name);
        assert!(row.name.starts_with("H_") && row.args <= 9);
    }
    for number in [0, 1, 2, 0x5, 0x480, 0xefff, 0xf100, u64::MAX] {
        assert_eq!(find(number), None);
    }
}

#[test]
fn unknown_calls_and_problem_state() {
    let p = power9();
    let mut cpu = p.cpu(0);
    assert_eq!(p.hcall(&mut cpu, 0xf080, &[]), FUNCTION);
    assert_eq!(p.hcall(&mut cpu, 0xf080, &[]), FUNCTION);
    assert_eq!(p.hcall(&mut cpu, 0x58, &[0, 2, 0x6869_0000_0000_0000, 0]), 0);
    assert_eq!(*p.console.0.lock().unwrap(), b"hi");
    let counts = p.papr.hcall_counts();
    let counts: Vec<_> = counts.iter().map(|c| (c.number, c.name, c.count)).collect();
    assert_eq!(counts, [(0x58, Some("H_PUT_TERM_CHAR"), 1), (0xf080, None, 2)]);
    cpu.set_msr(msr::SF | msr::PR);
    assert_eq!(p.hcall(&mut cpu, 0x58, &[0, 1, 0, 0]), -3);
}

#[test]
fn upper_halves_do_not_count_in_32_bit_mode() {
    let p = power9();
    let mut cpu = p.cpu(0);
    cpu.set_msr(msr::ME);
    let high = 0xdead_beef_0000_0000;
    assert_eq!(p.hcall(&mut cpu, high | 0x58, &[high, high | 1, high, high]), 0);
    assert_eq!(*p.console.0.lock().unwrap(), [0]);
    assert_eq!(p.hcall_flow(&mut cpu, high | 0xe4, &[high | 0xffff_ffff, 0]), (0, HcallFlow::Confer(None)));
}

#[test]
fn many_unknown_numbers_need_no_more_memory() {
    let p = power9();
    let mut cpu = p.cpu(0);
    for n in 0..1000 {
        assert_eq!(p.hcall(&mut cpu, 0x10_0000 + n, &[]), FUNCTION);
    }
    let counts = p.papr.hcall_counts();
    assert!(counts.len() <= 65);
    assert_eq!(counts.iter().map(|c| c.count).sum::<u64>(), 1000);
}

// ---- terminals ----

#[test]
fn terminals() {
    let p = power9();
    let mut cpu = p.cpu(0);
    let unit = devices::vterm::CONSOLE_UNIT as u64;
    p.terminals.find(0).unwrap().input(b"ls\n");
    assert_eq!(p.hcall(&mut cpu, 0x54, &[unit]), 0);
    assert_eq!(cpu.st.gpr[4..7], [3, 0x6c73_0a00_0000_0000, 0]);
    assert_eq!(p.hcall(&mut cpu, 0x54, &[unit + 1]), PARAMETER);
    assert_eq!(p.hcall(&mut cpu, 0x58, &[unit, 17, 0, 0]), PARAMETER);
    assert_eq!(p.hcall(&mut cpu, 0x58, &[u64::MAX, 1, 0, 0]), PARAMETER);
}

// ---- interrupt controllers ----

#[test]
fn xics() {
    let p = power8();
    let mut cpu = p.cpu(1);
    assert_eq!(p.hcall(&mut cpu, 0x68, &[0xff]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x6c, &[1, 4]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x70, &[1]), 0);
    assert_eq!(cpu.st.gpr[4..6], [0xff00_0002, 4]);
    assert_eq!(p.hcall(&mut cpu, 0x74, &[]), 0);
    assert_eq!(cpu.st.gpr[4], 0xff00_0002);
    assert_eq!(p.hcall(&mut cpu, 0x6c, &[1, 0xff]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x64, &[0xff00_0002]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x2fc, &[0xff]), 0);
    assert_eq!(cpu.st.gpr[4], 0xff00_0000);
    assert_eq!(p.hcall(&mut cpu, 0x6c, &[4, 4]), PARAMETER);
    assert_eq!(p.hcall(&mut cpu, 0x3a8, &[0, 0]), FUNCTION, "XIVE is not in force");
}

#[test]
fn xive() {
    let mut c = config("power9");
    c.irqchip = IrqChoice::Xive;
    let p = TestPlatform::new(c);
    let mut cpu = p.cpu(0);
    let epow = lisn::EPOW as u64;
    assert_eq!(p.hcall(&mut cpu, 0x3a8, &[0, epow]), 0);
    assert_eq!(cpu.st.gpr[5], cpu.st.gpr[6] + 0x10000);
    assert_eq!(p.hcall(&mut cpu, 0x3b8, &[1, 2, 6, 0x10000, 16]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x3bc, &[0, 2, 6]), 0);
    assert_eq!(cpu.st.gpr[4..7], [1, 0x10000, 16]);
    assert_eq!(p.hcall(&mut cpu, 0x3b8, &[1, 2, 6, MEMORY, 16]), P4, "the queue is outside of memory");
    assert_eq!(p.hcall(&mut cpu, 0x3ac, &[2, epow, 2, 6, 0x55]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x3b0, &[0, epow]), 0);
    assert_eq!(cpu.st.gpr[4..7], [2, 6, 0x55]);
    assert_eq!(p.hcall(&mut cpu, 0x3b4, &[0, 2, 6]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x3c8, &[0, epow, 0xc00, 0]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x3cc, &[0, epow]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x3d0, &[0]), 0);
    assert_eq!(p.hcall(&mut cpu, 0x3bc, &[0, 2, 6]), 0);
    assert_eq!(cpu.st.gpr[5], 0);
    assert_eq!(p.hcall(&mut cpu, 0x3a8, &[0, 0x1fff]), P2);
    assert_eq!(p.hcall(&mut cpu, 0x74, &[]), FUNCTION, "XICS is not in force");
}

// ---- H_SET_MODE and kin ----

#[test]
fn endianness_and_interrupt_location() {
    let p = power9();
    let mut cpu = p.cpu(0);
    let bits = || p.shared.lpcr.load(Ordering::SeqCst) & (lpcr::ILE | lpcr::AIL);
    let set = |cpu: &mut Cpu, args: [u64; 4]| p.hcall(cpu, 0x31c, &args);
    assert_eq!(set(&mut cpu, [1, 4, 0, 0]), 0);
    assert_eq!(bits(), lpcr::ILE);
    assert_eq!(set(&mut cpu, [3, 3, 0, 0]), 0);
    assert_eq!(bits(), lpcr::ILE | lpcr::AIL);
    assert_eq!(set(&mut cpu, [0, 4, 0, 0]), 0);
    assert_eq!(bits(), lpcr::AIL);
    assert_eq!(set(&mut cpu, [2, 3, 0, 0]), 0);
    for bad in [1, 4, u64::MAX] {
        assert_eq!(set(&mut cpu, [bad, 3, 0, 0]), UNSUPPORTED_FLAG);
    }
    assert_eq!(set(&mut cpu, [2, 4, 0, 0]), UNSUPPORTED_FLAG);
    for resource in [3, 4] {
        assert_eq!(set(&mut cpu, [0, resource, 1, 0]), P3);
        assert_eq!(set(&mut cpu, [0, resource, 0, 1]), P4);
    }
    for resource in [0, 6, u64::MAX] {
        assert_eq!(set(&mut cpu, [0, resource, 0, 0]), P2);
    }
    let p = TestPlatform::new(config("power10"));
    assert_eq!(p.hcall(&mut p.cpu(0), 0x31c, &[2, 3, 0, 0]), UNSUPPORTED_FLAG, "AIL 2 went with ISA 3.1");
}

#[test]
fn breakpoints() {
    let p = power9();
    let mut cpu = p.cpu(0);
    assert_eq!(p.hcall(&mut cpu, 0x31c, &[0, 1, 0x1001, 0]), 0);
    assert_eq!(cpu.st.ciabr, 0x1001);
    assert_eq!(p.hcall(&mut cpu, 0x31c, &[0, 1, 0x1003, 0]), P3);
    assert_eq!(p.hcall(&mut cpu, 0x31c, &[0, 1, 0x1001, 1]), P4);
    assert_eq!(p.hcall(&mut cpu, 0x31c, &[1, 1, 0x1001, 0]), UNSUPPORTED_FLAG);
    assert_eq!(p.hcall(&mut cpu, 0x31c, &[0, 2, 0x2000, 0x73]), 0);
    assert_eq!((cpu.st.dawr[0], cpu.st.dawrx[0]), (0x2000, 0x73));
    assert_eq!(p.hcall(&mut cpu, 0x31c, &[0, 2, 0x2000, 0x77]), P4);
    assert_eq!(p.hcall(&mut cpu, 0x31c, &[0, 5, 0x2000, 0x73]), P2, "one watchpoint before ISA 3.1");
    let p10 = TestPlatform::new(config("power10"));
    let mut cpu = p10.cpu(0);
    assert_eq!(p10.hcall(&mut cpu, 0x31c, &[0, 5, 0x2000, 0x73]), 0);
    assert_eq!((cpu.st.dawr[1], cpu.st.dawr[0]), (0x2000, 0));
}

#[test]
fn older_breakpoints_and_sprg0() {
    let p = power8();
    let mut cpu = p.cpu(0);
    assert_eq!(p.hcall(&mut cpu, 0x24, &[0x1234]), 0);
    assert_eq!(cpu.st.sprg[0], 0x1234);
    assert_eq!(p.hcall(&mut cpu, 0x28, &[0x5007]), 0);
    assert_eq!((cpu.st.dawr[0], cpu.st.dawrx[0]), (0x5000, 0x73));
    assert_eq!(p.hcall(&mut cpu, 0x134, &[0x6001, 0x9]), 0);
    assert_eq!((cpu.st.dawr[0], cpu.st.dawrx[0]), (0x6000, 0x29));
    for bad in [0x10, 0x4 | 1, 0, 8] {
        assert_eq!(p.hcall(&mut cpu, 0x134, &[0x6001, bad]), PARAMETER);
    }
}

// ---- scheduling ----

#[test]
fn cede_and_prod() {
    let p = power9();
    let (mut a, mut b) = (p.cpu(0), p.cpu(1));
    assert_eq!(p.hcall_flow(&mut a, 0xe0, &[]), (0, HcallFlow::Cede));
    assert_ne!(a.st.msr & msr::EE, 0);
    assert_eq!(p.hcall(&mut b, 0xe8, &[0]), 0);
    assert_ne!(a.link.pending() & event::PROD, 0);
    // A prod from before makes the next cede return at once, once.
    assert_eq!(p.hcall_flow(&mut a, 0xe0, &[]), (0, HcallFlow::Continue));
    assert_eq!(p.hcall_flow(&mut a, 0xe0, &[]), (0, HcallFlow::Cede));
    for bad in [4, 1 << 32, u64::MAX] {
        assert_eq!(p.hcall(&mut b, 0xe8, &[bad]), PARAMETER);
    }
}

/// A VPA at `at` for a processor.
fn vpa(p: &TestPlatform, vcpu: usize, at: u64) {
    p.shared.ram.write(at + 4, &640_u16.to_be_bytes()).unwrap();
    assert_eq!(p.hcall(&mut p.cpu(vcpu), 0xdc, &[1 << 45, vcpu as u64, at]), 0);
}

#[test]
fn confer() {
    let p = power9();
    let mut a = p.cpu(0);
    assert_eq!(p.hcall_flow(&mut a, 0xe4, &[u64::MAX, 0]), (0, HcallFlow::Confer(None)));
    assert_eq!(p.hcall_flow(&mut a, 0xe4, &[1, 7]), (0, HcallFlow::Confer(Some(1))), "without a VPA");
    vpa(&p, 1, 0x4000);
    assert_eq!(p.hcall_flow(&mut a, 0xe4, &[1, 0]), (0, HcallFlow::Continue), "it runs");
    p.papr.vpa_preempt(&p.shared, 1, vpa::Preempted::Preempted);
    assert_eq!(p.hcall_flow(&mut a, 0xe4, &[1, 1]), (0, HcallFlow::Confer(Some(1))));
    assert_eq!(p.hcall_flow(&mut a, 0xe4, &[1, 3]), (0, HcallFlow::Continue), "it has run since");
    assert_eq!(p.hcall_flow(&mut a, 0xe4, &[0, 0]), (0, HcallFlow::WaitProd));
    assert_eq!(p.hcall_flow(&mut a, 0xe4, &[9, 0]), (PARAMETER, HcallFlow::Continue));
}

#[test]
fn join() {
    let p = power9();
    let mut cpus: Vec<_> = (0..4).map(|n| p.cpu(n)).collect();
    for n in [1, 2] {
        assert_eq!(p.rtas(&mut cpus[0], "start-cpu", &[n, 0x1000, n], 1), [0]);
    }
    cpus[0].set_msr(msr::SF | msr::EE);
    assert_eq!(p.hcall(&mut cpus[0], 0x298, &[]), -5, "with interrupts enabled");
    cpus[0].set_msr(msr::SF);
    assert_eq!(p.hcall_flow(&mut cpus[0], 0x298, &[]), (0, HcallFlow::WaitProd));
    assert_eq!(p.hcall_flow(&mut cpus[1], 0x298, &[]), (0, HcallFlow::WaitProd));
    // The last one goes on, and wakes the others.
    assert_eq!(p.hcall_flow(&mut cpus[2], 0x298, &[]), (18, HcallFlow::Continue));
    assert_eq!(p.hcall(&mut cpus[2], 0xe8, &[0]), 0);
    assert_eq!(p.hcall_flow(&mut cpus[0], 0x298, &[]), (0, HcallFlow::Continue), "prodded before");
    assert_eq!(p.hcall_flow(&mut cpus[0], 0x298, &[]), (0, HcallFlow::WaitProd));
    // When the last that has not joined stops, one of the others goes on.
    cpus[0].link.clear(event::PROD);
    assert_eq!(p.rtas(&mut cpus[2], "stop-self", &[], 1), [0]);
    assert_ne!(cpus[0].link.pending() & event::PROD, 0);
}

#[test]
fn system_reset_of_others() {
    let p = power9();
    let mut a = p.cpu(0);
    assert_eq!(p.rtas(&mut a, "start-cpu", &[2, 0, 0], 1), [0]);
    let waiting =
        || -> Vec<bool> { p.shared.vcpus.iter().map(|v| v.pending() & event::SYSTEM_RESET != 0).collect() };
    assert_eq!(p.hcall(&mut a, 0x380, &[-2_i64 as u64]), 0);
    assert_eq!(waiting(), [false, false, true, false], "those that run, but not the caller");
    assert_eq!(p.hcall(&mut a, 0x380, &[u64::MAX]), 0);
    assert_eq!(waiting(), [true, false, true, false]);
    assert_eq!(p.hcall(&mut a, 0x380, &[1]), 0);
    assert_eq!(waiting(), [true, false, true, false], "a stopped one stays so");
    for bad in [4, -3_i64 as u64] {
        assert_eq!(p.hcall(&mut a, 0x380, &[bad]), PARAMETER);
    }
}

#[test]
fn entitlement() {
    let p = power9();
    let mut a = p.cpu(0);
    assert_eq!(p.hcall(&mut a, 0xec, &[]), 0);
    assert_eq!(a.st.gpr[4..9], [200, 0, 1 << 16, 1 << 48 | 2 << 16 | 2, 2 << 48 | 200 << 24 | 200]);
    assert_eq!(p.hcall(&mut a, 0x2d4, &[]), 0);
    assert_eq!(a.st.gpr[4], MEMORY);
    assert_eq!(p.hcall(&mut a, 0xf8, &[]), -10, "no member of a pool");
    assert_eq!(p.hcall(&mut a, 0xf4, &[]), 0);
    // Nothing to change about dedicated processors.
    assert_eq!(p.hcall(&mut a, 0xf0, &[200, 0]), -10);
    assert_eq!(p.hcall(&mut a, 0xf0, &[0, 0]), PARAMETER);
    assert_eq!(p.hcall(&mut a, 0xf0, &[200, 256]), PARAMETER);
}

// ---- virtual processor areas ----

#[test]
fn vpa_registration() {
    let p = power9();
    let mut a = p.cpu(0);
    let mut register = |function: u64, vcpu: u64, at: u64| p.hcall(&mut a, 0xdc, &[function << 45, vcpu, at]);
    let ram = &p.shared.ram;
    let size16 = |at: u64, v: u16| ram.write(at + 4, &v.to_be_bytes()).unwrap();
    let size32 = |at: u64, v: u32| ram.write_u32_be(at + 4, v).unwrap();
    size16(0x4000, 640);
    ram.write(0x4009, &[2]).unwrap();
    ram.write_u32_be(0x4100, 7).unwrap();
    // Areas of other kinds need a VPA.
    size32(0x5000, 48);
    assert_eq!((register(2, 0, 0x5000), register(3, 0, 0x5000)), (-16, -16));
    // VPA
    assert_eq!(register(1, 0, 0), -1, "address 0");
    assert_eq!(register(1, 4, 0x4000), PARAMETER, "no such processor");
    size16(0x4040, 640);
    assert_eq!(register(1, 0, 0x4040), PARAMETER, "not aligned");
    size16(0x6000, 639);
    assert_eq!(register(1, 0, 0x6000), PARAMETER, "too small");
    size16(0x6e00, 640);
    assert_eq!(register(1, 0, 0x6e00), PARAMETER, "crosses a page");
    assert_eq!(register(1, 0, MEMORY), PARAMETER, "outside of memory");
    assert_eq!(register(1, 0, u64::MAX - 127), PARAMETER);
    assert_eq!(register(1, 0, 0x4000), 0);
    let mut b = [0];
    ram.read(0x4009, &mut b).unwrap();
    assert_eq!(b, [0], "a dedicated processor");
    assert_eq!(ram.read_u32_be(0x4100).unwrap(), 8, "even while dispatched");
    // Dispatch trace log and SLB shadow buffer
    assert_eq!((register(2, 0, 0), register(3, 0, 0)), (-1, -1));
    size32(0x7000, 47);
    assert_eq!(register(2, 0, 0x7000), PARAMETER);
    size32(0x7000, u32::MAX);
    assert_eq!((register(2, 0, 0x7000), register(3, 0, 0x7000)), (PARAMETER, PARAMETER));
    size32(0x7000, 7);
    assert_eq!(register(3, 0, 0x7000), PARAMETER);
    size32(0x7f80, 0x100);
    assert_eq!(register(3, 0, 0x7f80), PARAMETER, "crosses a page");
    assert_eq!((register(2, 0, 0x5000), register(3, 0, 0x5000)), (0, 0));
    // A VPA that others stand on stays.
    assert_eq!(register(5, 0, 0), -16);
    assert_eq!((register(6, 0, 0), register(5, 0, 0)), (0, -16));
    assert_eq!((register(7, 0, 0), register(5, 0, 0)), (0, 0));
    assert_eq!((register(0, 0, 0), register(4, 0, 0)), (PARAMETER, PARAMETER));
}

#[test]
fn yield_count_and_dispatch_trace_log() {
    let p = power9();
    let ram = &p.shared.ram;
    vpa(&p, 0, 0x4000);
    ram.write_u32_be(0x5004, 2 * 48 + 5).unwrap();
    assert_eq!(p.hcall(&mut p.cpu(0), 0xdc, &[2 << 45, 0, 0x5000]), 0);
    let count = || ram.read_u32_be(0x4100).unwrap();
    let turn = |why| {
        p.papr.vpa_preempt(&p.shared, 0, why);
        assert_eq!(count() & 1, 1);
        p.papr.vpa_dispatch(&p.shared, 0, 0x1234, 0x8000);
        assert_eq!(count() & 1, 0);
    };
    turn(vpa::Preempted::Ceded);
    assert_eq!(ram.read_u64_be(0x4218).unwrap(), 0, "nothing is asked for");
    ram.write(0x40b8, &[2]).unwrap();
    turn(vpa::Preempted::Ceded);
    assert_eq!(ram.read_u64_be(0x4218).unwrap(), 0);
    for n in 1..=3 {
        turn(vpa::Preempted::Preempted);
        assert_eq!(ram.read_u64_be(0x4218).unwrap(), n);
    }
    // The third has come round to the first place.
    assert!(ram.read_u64_be(0x5000 + 16).unwrap() > ram.read_u64_be(0x5030 + 16).unwrap());
    assert_eq!(ram.read_u64_be(0x5000 + 32).unwrap(), 0x1234);
    assert_eq!(ram.read_u64_be(0x5000 + 96).unwrap(), 0, "no further than the log");
    assert_eq!(count(), 10);
    // Twice the same is once.
    p.papr.vpa_dispatch(&p.shared, 0, 0, 0);
    assert_eq!(count(), 10);
}

// ---- page tables ----

const R: u64 = 0x100;
/// An entry for 4 KiB at `ra`: coherent, read and write.
fn pte(vpn: u64, ra: u64) -> (u64, u64) {
    (vpn << 7, ra | 0x10 | 2 | R)
}

#[test]
fn hashed_table() {
    let p = power8();
    let mut c = p.cpu(0);
    let (h, l) = pte(0x77, 0x5000);
    assert_eq!(p.hcall(&mut c, 0x08, &[0, 8, h, l]), 0);
    assert_eq!(c.st.gpr[4], 8);
    assert_eq!(p.hcall(&mut c, 0x08, &[0, 8, h, l]), 0);
    assert_eq!(c.st.gpr[4], 9, "the next of the group");
    assert_eq!(p.hcall(&mut c, 0x08, &[1 << 39, 8, h, l]), -6, "exactly this one");
    assert_eq!(p.hcall(&mut c, 0x0c, &[1 << 37, 9]), 0);
    assert_eq!(c.st.gpr[4..12], [h | 1, l, h | 1, l, 0, 0, 0, 0]);
    assert_eq!(p.hcall(&mut c, 0x18, &[1, 8, 0]), 0);
    assert_eq!(p.hcall(&mut c, 0x14, &[0, 8]), 0);
    assert_eq!(c.st.gpr[4] & 0x103, 0x101, "as it was");
    assert_eq!(p.hcall(&mut c, 0x10, &[0, 8]), 0);
    assert_eq!(p.hcall(&mut c, 0x04, &[1 << 31, 8, h + 0x80]), -7);
    assert_eq!(p.hcall(&mut c, 0x04, &[1 << 31, 8, h]), 0);
    assert_eq!(c.st.gpr[4..6], [h | 1, l & !3 & !R | 1]);
    assert_eq!(p.hcall(&mut c, 0x04, &[0, 8, 0]), -7);
    let request = |n| 1_u64 << 62 | n;
    assert_eq!(p.hcall(&mut c, 0x124, &[request(9), 0, request(10), 0, 3 << 62, 0, 0, 0]), 0);
    assert_eq!(c.st.gpr[4..8], [2 << 62 | 9 | R << 51, 0, 2 << 62 | 1 << 60 | 10, 0]);
    assert_eq!(p.hcall(&mut c, 0x124, &[request(1 << 40), 0, 3 << 62, 0, 0, 0, 0, 0]), PARAMETER);
    for (number, args) in [(0x08, [0, 1 << 40, h, l]), (0x0c, [0, 1 << 40, 0, 0]), (0x04, [0, 1 << 40, 0, 0])]
    {
        assert_eq!(p.hcall(&mut c, number, &args), PARAMETER);
    }
    assert_eq!(p.hcall(&mut c, 0x08, &[0, 16, h, MEMORY | 0x12]), PARAMETER, "outside, but not as I/O");
    assert_eq!(p.hcall(&mut c, 0x08, &[0, 16, h, l]), 0);
    assert_eq!(p.hcall(&mut c, 0x328, &[h, request(16), 3 << 62, 0, 0, 0, 0, 0, 0]), 0);
    assert_eq!(c.st.gpr[4] & !(6 << 56), 2 << 62 | 16, "the answer to the first request is the first result");
    assert_eq!(p.hcall(&mut c, 0x08, &[0, 24, h, l]), 0);
    assert_eq!(p.hcall(&mut c, 0x358, &[]), 0);
    assert_eq!(p.hcall(&mut c, 0x04, &[0, 24, 0]), -7);
}

#[test]
fn several_removals_reach_all_processors() {
    let p = power8();
    let mut c = p.cpu(0);
    for n in 0..3 {
        let (h, l) = pte(0x100 + n, 0x8000 + 0x1000 * n);
        assert_eq!(p.hcall(&mut c, 0x08, &[1 << 39, n, h, l]), 0);
    }
    let request = |n| 1_u64 << 62 | n;
    assert_eq!(p.hcall(&mut c, 0x124, &[request(0), 0, request(1), 0, request(2), 0, 3 << 62, 0]), 0);
    assert!(p.shared.hpt.read().unwrap().as_ref().unwrap().count_valid() == 0);
}

#[test]
fn resize() {
    let p = power8();
    let mut c = p.cpu(0);
    let (h, l) = pte(0x77, 0x5000);
    assert_eq!(p.hcall(&mut c, 0x370, &[0, 20]), 2, "nothing is prepared");
    assert_eq!(p.hcall(&mut c, 0x36c, &[1, 20]), PARAMETER);
    assert_eq!(p.hcall(&mut c, 0x36c, &[0, 40]), -16);
    assert_eq!(p.hcall(&mut c, 0x36c, &[0, 20]), 0);
    // hash = VSID ^ page: 0x77 << 23 has VSID 0x77 << 11 >> 0... whichever group, the table stays consistent.
    assert_eq!(p.hcall(&mut c, 0x08, &[0, 0, h, l]), 0);
    assert_eq!(p.hcall(&mut c, 0x370, &[0, 19]), 2);
    assert_eq!(p.hcall(&mut c, 0x370, &[0, 20]), 0);
    assert_eq!(p.shared.hpt.read().unwrap().as_ref().unwrap().shift(), 20);
}

#[test]
fn no_hashed_table_no_calls_on_it() {
    let p = power9();
    let mut c = p.cpu(0);
    for number in [0x04, 0x08, 0x0c, 0x10, 0x14, 0x18, 0x124, 0x328, 0x358, 0x36c, 0x370] {
        assert_eq!(p.hcall(&mut c, number, &[0; 9]), FUNCTION, "{number:#x}");
    }
}

#[test]
fn process_table() {
    let p = power9();
    let mut c = p.cpu(0);
    let state = || {
        let l = p.shared.lpcr.load(Ordering::SeqCst) & (lpcr::HR | lpcr::UPRT | lpcr::GTSE);
        (l, p.shared.prtb.load(Ordering::SeqCst), p.shared.hpt.read().unwrap().is_some())
    };
    let call = |c: &mut Cpu, args: [u64; 4]| p.hcall(c, 0x37c, &args);
    assert_eq!(state(), (lpcr::HR, 0, false));
    assert_eq!(call(&mut c, [0x1d, 0x10000, 0, 4]), 0);
    assert_eq!(state(), (lpcr::HR | lpcr::UPRT | lpcr::GTSE, 0x10004, false));
    assert_eq!(call(&mut c, [0x20, 0, 0, 0]), PARAMETER);
    assert_eq!(call(&mut c, [0x1e, 0, 0, 0]), PARAMETER, "segment tables");
    assert_eq!(call(&mut c, [0x1c, 0x10008, 0, 4]), P2);
    assert_eq!(call(&mut c, [0x1c, 1 << 60, 0, 4]), P2);
    assert_eq!(call(&mut c, [0x1c, 0x10000, 1, 4]), P3);
    assert_eq!(call(&mut c, [0x1c, 0x10000, 0, 25]), P4);
    assert_eq!(call(&mut c, [0, 0, 0, 0]), PARAMETER, "radix is in force");
    // To hashed tables and back.
    assert_eq!(call(&mut c, [0x10, 0, 0, 0]), 0);
    assert_eq!(state(), (0, 0, true));
    assert_eq!(call(&mut c, [0, 0, 0, 0]), 0);
    assert_eq!(call(&mut c, [0x1c, 0x20000, 0, 4]), 0);
    assert_eq!(state(), (lpcr::HR | lpcr::UPRT, 0x20004, false));
    assert_eq!(p.hcall(&mut p.cpu(0), 0x374, &[0; 3]), 0);
    assert_eq!(p.hcall(&mut p.cpu(0), 0x378, &[1]), 0);

    let mut only_hash = config("power9");
    only_hash.mmu = MmuChoice::Hash;
    let q = TestPlatform::new(only_hash);
    assert_eq!(q.hcall(&mut q.cpu(0), 0x37c, &[0x1d, 0x10000, 0, 4]), PARAMETER);
    let q = power8();
    assert_eq!(q.hcall(&mut q.cpu(0), 0x37c, &[0, 0, 0, 0]), FUNCTION);
}

#[test]
fn radix_invalidations() {
    let p = power9();
    let mut c = p.cpu(0);
    let call = |c: &mut Cpu, args: [u64; 6]| p.hcall(c, 0x448, &args);
    assert_eq!(call(&mut c, [5, 1, 2, 1, 0x1000, 0x9000]), 0);
    assert_eq!(call(&mut c, [5, 2, 2, 1, u64::MAX - 0xfff, u64::MAX]), 0);
    assert_eq!(call(&mut c, [5, 1, 0xe, u64::MAX, 0, u64::MAX]), 0);
    assert_eq!(call(&mut c, [1 << 32, 1, 2, 1, 0, 0]), PARAMETER);
    assert_eq!(call(&mut c, [5, 0, 2, 1, 0, 0]), P2);
    assert_eq!(call(&mut c, [5, 8 | 1, 2, 1, 0, 0]), P2);
    assert_eq!(call(&mut c, [5, 1, 3, 1, 0, 0]), P3, "nested");
    assert_eq!(call(&mut c, [5, 1, 2, 1, 2, 1]), -58);
    let p = power8();
    assert_eq!(p.hcall(&mut p.cpu(0), 0x448, &[5, 1, 2, 1, 0, 0]), FUNCTION);
}

// ---- virtual I/O ----

#[test]
fn dma_windows() {
    let p = power9();
    let mut c = p.cpu(0);
    assert_eq!(p.hcall(&mut c, 0x20, &[0x7100_0000, 0, 0x5003]), PARAMETER, "no window yet");
    let windows = p.papr.dma_windows();
    windows.create(0x7100_0000, 0, 12, 1024).unwrap();
    for (start, shift, pages) in [(0, 12, 4), (1, 12, 4), (0, 11, 4), (0, 35, 4), (0, 12, 1 << 30)] {
        let liobn = if (start, shift, pages) == (0, 12, 4) { 0x7100_0000 } else { 7 };
        assert!(windows.create(liobn, start, shift, pages).is_err());
    }
    assert_eq!(p.hcall(&mut c, 0x20, &[0x7100_0000, 0x3000, 0x5fff]), 0);
    assert_eq!(p.hcall(&mut c, 0x1c, &[0x7100_0000, 0x3010]), 0);
    assert_eq!(c.st.gpr[4], 0x5003);
    let w = windows.get(0x7100_0000).unwrap();
    assert_eq!(w.translate(0x3010, true), Some((0x5010, 0xff0)));
    assert_eq!(w.translate(0x4000, false), None);
    assert_eq!(w.translate(1 << 40, false), None);
    assert_eq!(p.hcall(&mut c, 0x20, &[0x7100_0000, 1024 << 12, 0]), PARAMETER);
    assert_eq!(p.hcall(&mut c, 0x138, &[0x7100_0000, 0, 0, 1024]), 0);
    assert_eq!(w.translate(0x3010, false), None);
    assert_eq!(p.hcall(&mut c, 0x138, &[0x7100_0000, 0x1000, 0, 1024]), PARAMETER);
    assert_eq!(p.hcall(&mut c, 0x138, &[0x7100_0000, 0, 0, u64::MAX]), PARAMETER);
    for n in 0..512 {
        p.shared.ram.write_u64_be(0x8000 + 8 * n, n << 12 | 1).unwrap();
    }
    assert_eq!(p.hcall(&mut c, 0x13c, &[0x7100_0000, 0, 0x8000, 512]), 0);
    assert_eq!(w.translate(511 << 12, false), Some((511 << 12, 4096)));
    assert_eq!(p.hcall(&mut c, 0x13c, &[0x7100_0000, 0, 0x8000, 513]), PARAMETER);
    assert_eq!(p.hcall(&mut c, 0x13c, &[0x7100_0000, 0, 0x8008, 1]), PARAMETER);
    assert_eq!(p.hcall(&mut c, 0x13c, &[0x7100_0000, 0, MEMORY, 1]), PARAMETER);
    assert!(windows.remove(0x7100_0000) && !windows.remove(0x7100_0000));
}

#[test]
fn no_adapters() {
    let p = power9();
    for number in [0xfc, 0x100, 0x104, 0x108, 0x2b0] {
        assert_eq!(p.hcall(&mut p.cpu(0), number, &[0x3000_0000, 0, 0]), PARAMETER);
    }
}

// ---- the rest ----

#[test]
fn page_init() {
    let p = power9();
    let mut c = p.cpu(0);
    let ram = &p.shared.ram;
    ram.fill(0x5000, 0x2000, 0xaa).unwrap();
    assert_eq!(p.hcall(&mut c, 0x2c, &[1 << 15, 0x5000, 0]), 0);
    assert_eq!(ram.read_u64_be(0x5ff8).unwrap(), 0);
    assert_eq!(ram.read_u64_be(0x6000).unwrap() >> 56, 0xaa);
    assert_eq!(p.hcall(&mut c, 0x2c, &[1 << 14 | 1 << 22, 0x5000, 0x6000]), 0);
    assert_eq!(ram.read_u64_be(0x5ff8).unwrap() >> 56, 0xaa);
    assert_eq!(p.hcall(&mut c, 0x2c, &[0, 0x5000, u64::MAX]), 0, "the source only counts for a copy");
    for bad in [[1, 0x5000, 0], [1 << 15, 0x5008, 0], [1 << 15, MEMORY, 0], [1 << 14, 0x5000, 0x6008]] {
        assert_eq!(p.hcall(&mut c, 0x2c, &bad), PARAMETER);
    }
    assert_eq!(p.hcall(&mut c, 0x2c, &[1 << 14, 0x5000, u64::MAX - 4095]), PARAMETER);
}

#[test]
fn logical_loads_and_stores() {
    let p = power9();
    let mut c = p.cpu(0);
    p.shared.ram.write_u64_be(0x5000, 0x0102_0304_0506_0708).unwrap();
    for (size, at, want) in [(1, 0x5003, 4), (2, 0x5002, 0x0304), (4, 0x5004, 0x0506_0708)] {
        for number in [0x3c, 0x44] {
            assert_eq!(p.hcall(&mut c, number, &[size, at]), 0);
            assert_eq!(c.st.gpr[4], want);
        }
    }
    assert_eq!(p.hcall(&mut c, 0x40, &[2, 0x5000, 0xffff_beef]), 0);
    assert_eq!(p.shared.ram.read_u64_be(0x5000).unwrap(), 0xbeef_0304_0506_0708);
    assert_eq!(p.hcall(&mut c, 0x40, &[4, MMIO, 0x1234]), 0);
    assert_eq!(p.hcall(&mut c, 0x3c, &[4, MMIO]), 0);
    assert_eq!(c.st.gpr[4], 0x1234);
    assert_eq!(p.hcall(&mut c, 0x44, &[4, MMIO]), PARAMETER, "not cached");
    for bad in [[0, 0x5000, 0], [3, 0x5000, 0], [16, 0x5000, 0], [2, 0x5001, 0], [8, MEMORY, 0]] {
        assert_eq!(p.hcall(&mut c, 0x3c, &bad), PARAMETER);
        assert_eq!(p.hcall(&mut c, 0x40, &bad), PARAMETER);
    }
    for number in [0x4c, 0x50] {
        assert_eq!(p.hcall(&mut c, number, &[u64::MAX]), 0);
    }
}

#[test]
fn memop() {
    let p = power9();
    let mut c = p.cpu(0);
    let ram = &p.shared.ram;
    let fill = || (0..16).for_each(|n| ram.write(0x5000 + n, &[n as u8]).unwrap());
    let byte = |at| {
        let mut b = [0];
        ram.read(at, &mut b).unwrap();
        b[0]
    };
    for (to, from) in [(0x5004, 0x5000), (0x5000, 0x5004)] {
        fill();
        let before: Vec<u8> = (from..from + 8).map(byte).collect();
        assert_eq!(p.hcall(&mut c, 0xf001, &[to, from, 0, 8, 0]), 0);
        assert_eq!((to..to + 8).map(byte).collect::<Vec<_>>(), before, "overlapping");
    }
    fill();
    assert_eq!(p.hcall(&mut c, 0xf001, &[0x6000, 0x5000, 3, 2, 1]), 0);
    assert_eq!(byte(0x6003), !3);
    assert_eq!(p.hcall(&mut c, 0xf001, &[0x6000, 0x5000, 3, 0, 0]), 0);
    for bad in [
        [0x6001, 0x5000, 1, 1, 0],
        [0x6000, 0x5000, 4, 1, 0],
        [0x6000, 0x5000, 0, 1, 2],
        [0x6000, 0x5000, 3, 1 << 61, 0],
        [0x6000, u64::MAX - 7, 3, 2, 0],
        [MEMORY - 8, 0x5000, 3, 2, 0],
    ] {
        assert_eq!(p.hcall(&mut c, 0xf001, &bad), PARAMETER);
    }
}

#[test]
fn small_questions() {
    let p = power9();
    let mut c = p.cpu(0);
    assert_eq!(p.hcall(&mut c, 0x300, &[]), 0);
    assert_eq!(c.st.gpr[4], 0x0123_4567_89ab_cdef);
    assert_eq!(p.hcall(&mut c, 0x1c8, &[]), 0);
    assert_ne!(c.st.gpr[5] >> 63, 0);
    assert_eq!(p.hcall(&mut c, 0x2ec, &[1, 3]), 0);
    assert_eq!(c.st.gpr[4..10], [0, 0, 3 << 32 | 0xffff_ffff, u64::MAX, u64::MAX, u64::MAX]);
    assert_eq!(p.hcall(&mut c, 0x2ec, &[1, 4]), P2);
    assert_eq!(p.hcall(&mut c, 0x2ec, &[2, 0]), FUNCTION);
}

#[test]
fn the_client_interface_has_its_own_results() {
    let p = power9();
    let mut c = p.cpu(0);
    assert_eq!(p.hcall(&mut c, 0xf005, &[0x4000]), 0);
    assert_eq!(p.hcall(&mut c, 0xf005, &[0]), -1);
}

#[test]
fn negotiated_level_reaches_the_calling_processor() {
    let p = TestPlatform::new(config("power10"));
    let mut c = p.cpu(0);
    assert_eq!(c.st.level, isa::Level::V3_1);
    let mut a = p.papr.agreement();
    a.logical_pvr = 0x0f00_0005;
    p.papr.set_agreement(a);
    assert_eq!(p.hcall(&mut c, 0xf005, &[0x4000]), 0);
    assert_eq!((c.st.level, c.st.mode.level), (isa::Level::V3_0, isa::Level::V3_0));
}

// ---- anything at all ----

/// Random registers for every call, with random RTAS blocks in memory: nothing panics, and whatever can be saved can be
/// restored.
#[test]
fn random_registers() {
    let mut rng = Rng(0x5eed);
    for (model, mmu, irqchip) in [
        ("power8", MmuChoice::Any, IrqChoice::Dual),
        ("power9", MmuChoice::Radix, IrqChoice::Xive),
        ("power10", MmuChoice::Hash, IrqChoice::Xics),
    ] {
        let mut c = config(model);
        (c.mmu, c.irqchip) = (mmu, irqchip);
        let p = TestPlatform::new(c);
        p.papr.dma_windows().create(0x7100_0000, 0, 12, 1024).unwrap();
        let mut cpus: Vec<_> = (0..4).map(|n| p.cpu(n)).collect();
        for _ in 0..60_000 {
            let n = rng.below(4) as usize;
            let row = &TABLE[rng.below(TABLE.len() as u64) as usize];
            let args: Vec<u64> = (0..9).map(|_| odd(&mut rng)).collect();
            let number = if rng.below(50) == 0 { rng.next() } else { row.number };
            if number == ::firmware::stub::H_RTAS {
                for w in 0..20 {
                    let v = match w {
                        0 => 0x2000 + rng.below(rtas_rows() + 1),
                        1 | 2 => rng.below(9),
                        _ => odd(&mut rng),
                    };
                    p.shared.ram.write_u32_be((args[0] & 0xffff_fffc) + 4 * w, v as u32).ok();
                }
            }
            if rng.below(20) == 0 {
                let sf = if rng.below(2) == 0 { msr::SF } else { 0 };
                cpus[n].set_msr(sf | rng.next() & msr::EE);
            }
            let _ = p.hcall_flow(&mut cpus[n], number, &args);
            p.papr.vpa_preempt(&p.shared, n, vpa::Preempted::Ceded);
            p.papr.vpa_dispatch(&p.shared, n, 0, 0);
            p.ended.lock().unwrap().clear();
        }
        let saved = p.papr.save();
        let text = serde_json::to_string(&saved).unwrap();
        let q = TestPlatform::new(p.config.clone());
        q.papr.restore(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(q.papr.save(), saved);
        p.papr.reset(&p.config);
        cas::power_on(&p).unwrap();
    }
}

fn rtas_rows() -> u64 {
    crate::rtas::TABLE.len() as u64
}

/// Values at and around the edges more often than chance would have it.
fn odd(rng: &mut Rng) -> u64 {
    match rng.below(12) {
        0 => rng.below(8),
        1 => rng.below(MEMORY) & !0xfff,
        2 => rng.below(MEMORY) & !7,
        3 => MEMORY - rng.below(64),
        4 => u64::MAX - rng.below(64),
        5 => 1 << rng.below(64),
        6 => rng.below(8) << 45,
        7 => 0x7100_0000,
        8 => rng.below(0x2000),
        9 => MMIO + rng.below(64),
        10 => rng.next() >> rng.below(64),
        _ => rng.next(),
    }
}

#[test]
fn ends_are_told() {
    let p = power9();
    let mut c = p.cpu(0);
    p.shared.ram.write(0x7000, b"out of luck\0").unwrap();
    assert_eq!(p.rtas(&mut c, "ibm,os-term", &[0x7000], 1), [0]);
    assert_eq!(p.rtas(&mut c, "system-reboot", &[], 1), [0]);
    assert_eq!(p.rtas(&mut c, "power-off", &[0, 0], 1), [0]);
    let ends = [End::OsTerm("out of luck".into()), End::Reboot, End::PowerOff];
    assert_eq!(*p.ended.lock().unwrap(), ends);
}

/// Two partitions on a cable: a server's and a client's, each with a window, both queues registered.
fn cabled() -> [TestPlatform; 2] {
    use device::irq::{IrqController, IrqKind};
    use devices::crq::{Cable, Crq, Owner, Side, window};
    let cable = std::sync::Arc::new(Cable::default());
    let ends = [Side::Server, Side::Client].map(|side| {
        let mut p = power9();
        let w = window(side.unit(0));
        p.papr.tces.create(w.liobn, 0, 12, 64).unwrap();
        let table = p.papr.tces.get(w.liobn.into()).unwrap();
        let space = vio::TceSpace { table, ram: p.shared.ram.clone() };
        let line = p.intc.claim(lisn::VIO.start + 1, IrqKind::Msi).unwrap();
        let owner = Owner { number: 1, name: "one".into() };
        let crq = Crq::new(side, side.unit(0), owner, cable.clone(), line, std::sync::Arc::new(space));
        p.vio.add(std::sync::Arc::new(crq));
        // I/O page 1 is the queue, page 2 may be read, page 3 written, page 4 both.
        for (page, rights) in [(1, 3), (2, 1), (3, 2), (4, 3), (5, 3)] {
            assert_eq!(
                p.hcall(&mut p.cpu(0), 0x20, &[w.liobn.into(), page << 12, 0x10_0000 | page << 12 | rights]),
                0
            );
        }
        p
    });
    let [s, c] = &ends;
    assert_eq!(s.hcall(&mut s.cpu(0), 0xfc, &[SERVER, 0x1000, 4096]), 2);
    assert_eq!(c.hcall(&mut c.cpu(0), 0xfc, &[CLIENT, 0x1000, 4096]), 0);
    ends
}

const SERVER: u64 = 0x7100_4000;
const CLIENT: u64 = 0x7100_3000;
const REMOTE: u64 = SERVER | 0x8000_0000;

#[test]
fn remote_dma_keeps_to_both_windows() {
    const COPY: u64 = 0x110;
    let [s, c] = cabled();
    let mut cpu = s.cpu(0);
    c.shared.ram.fill(0, MEMORY, 0xcc).unwrap();
    s.shared.ram.fill(0, MEMORY, 0x55).unwrap();
    c.shared.ram.write(0x10_2ff0, b"from the client").unwrap();
    let mut copy = |len: u64, from: (u64, u64), to: (u64, u64)| {
        s.hcall(&mut cpu, COPY, &[len, from.0, from.1, to.0, to.1])
    };
    let byte = |p: &TestPlatform, at: u64| p.shared.ram.read_u32_be(at).unwrap() >> 24;
    // What is not allowed changes nothing anywhere.
    let before = [&s, &c].map(|p| p.shared.ram.read_u32_be(0x10_3000).unwrap());
    for (len, from, to, code) in [
        (0, (REMOTE, 0x2000), (SERVER, 0x4000), -4),
        (128 * 1024 + 1, (REMOTE, 0x2000), (SERVER, 0x4000), -4),
        (u64::MAX, (REMOTE, 0x2000), (SERVER, 0x4000), -4),
        (16, (CLIENT, 0x2000), (SERVER, 0x4000), -13),
        (16, (REMOTE + 1, 0x2000), (SERVER, 0x4000), -13),
        (16, (u64::MAX, 0x2000), (SERVER, 0x4000), -13),
        (16, (REMOTE, 0x2000), (CLIENT, 0x4000), -14),
        (16, (REMOTE, 0x2000), (REMOTE, 0x4000), -14),
        // Not mapped, not for reading, past the window's end, round the end of all addresses.
        (16, (REMOTE, 0), (SERVER, 0x4000), -11),
        (16, (REMOTE, 0x3000), (SERVER, 0x4000), -11),
        (16, (REMOTE, 0x10_2000), (SERVER, 0x4000), -11),
        (16, (REMOTE, u64::MAX - 7), (SERVER, 0x4000), -11),
        (16, (REMOTE, 0x5ff8), (SERVER, 0x4000), -11),
        (4096 * 8, (REMOTE, 0x2000), (SERVER, 0x4000), -11),
        // The same at the other side.
        (16, (REMOTE, 0x2000), (SERVER, 0), -11),
        (16, (REMOTE, 0x2000), (SERVER, 0x2000), -11),
        (16, (SERVER, 0x4000), (REMOTE, 0x2000), -11),
        (16, (SERVER, 0x4000), (REMOTE, 0x5ff8), -11),
        (16, (SERVER, 0x3000), (REMOTE, 0x3000), -11),
    ] {
        assert_eq!(copy(len, from, to), code, "{len:#x} {from:x?} {to:x?}");
        assert_eq!((byte(&s, 0x10_4000), byte(&c, 0x10_4000)), (0x55, 0xcc));
    }
    assert_eq!([&s, &c].map(|p| p.shared.ram.read_u32_be(0x10_3000).unwrap()), before);
    // What is allowed.
    assert_eq!(copy(15, (REMOTE, 0x2ff0), (SERVER, 0x3ff8)), 0);
    let mut got = [0; 15];
    s.shared.ram.read(0x10_3ff8, &mut got).unwrap();
    assert_eq!(&got, b"from the client");
    assert_eq!(copy(4096, (SERVER, 0x4000), (REMOTE, 0x4100)), 0);
    assert_eq!(
        (byte(&c, 0x10_40fc), byte(&c, 0x10_4100), byte(&c, 0x10_50fc), byte(&c, 0x10_5100)),
        (0xcc, u32::from(got[8]), 0x55, 0xcc)
    );
    assert_eq!(copy(16, (SERVER, 0x2000), (SERVER, 0x3000)), 0);
    // A page that the client takes back is gone, and so is everything with the connection.
    assert_eq!(c.hcall(&mut c.cpu(0), 0x20, &[CLIENT, 0x2000, 0]), 0);
    assert_eq!(copy(15, (REMOTE, 0x2ff0), (SERVER, 0x3ff8)), -11);
    assert_eq!(copy(15, (REMOTE, 0x4000), (SERVER, 0x3ff8)), 0);
    assert_eq!(c.hcall(&mut c.cpu(0), 0x100, &[CLIENT]), 0);
    assert_eq!(copy(15, (REMOTE, 0x4000), (SERVER, 0x3ff8)), -11);
    // Nobody can open all of memory to its partner.
    assert_eq!(c.rtas(&mut c.cpu(0), "ibm,set-tce-bypass", &[CLIENT as u32, 1], 1)[0] as i32, -3);
    // The client names nothing of the server's; nobody maps pages of another's window.
    let mut cpu = c.cpu(0);
    for liobn in [SERVER, REMOTE, CLIENT | 0x8000_0000] {
        assert_eq!(c.hcall(&mut cpu, COPY, &[16, liobn, 0x4000, CLIENT, 0x4000]), -13);
        assert_eq!(c.hcall(&mut cpu, 0x20, &[liobn, 0x4000, 3]), PARAMETER);
    }
    assert_eq!(s.hcall(&mut s.cpu(0), 0x20, &[REMOTE, 0x4000, 3]), PARAMETER);
}

#[test]
fn partner_information_of_terminals_ends() {
    let p = power9();
    let mut cpu = p.cpu(0);
    for number in [0x150, 0x154, 0x158, 0x54, 0x58] {
        assert_eq!(p.hcall(&mut cpu, number, &[0x7100_0100, 1, 1, 0x1000]), PARAMETER);
    }
    assert_eq!(p.hcall(&mut cpu, 0x2a8, &[0x7100_4000, 8, 0, 0]), PARAMETER);
}
