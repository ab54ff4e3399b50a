use std::collections::BTreeSet;

use super::*;
use crate::state::StartRequest;
use crate::testing::{MEMORY, TestPlatform, config};

const PARAMETER: u32 = -3_i32 as u32;
const HARDWARE: u32 = -1_i32 as u32;
const BUFFER: u32 = 0x20_0000;

fn power9() -> TestPlatform {
    TestPlatform::new(config("power9"))
}

fn text(p: &TestPlatform, at: u32, len: usize) -> String {
    let mut b = vec![0; len];
    p.shared.ram.read(at.into(), &mut b).unwrap();
    String::from_utf8(b).unwrap()
}

#[test]
fn names_are_unique_and_tokens_follow_the_table() {
    let names: BTreeSet<_> = TABLE.iter().map(|r| r.name).collect();
    assert_eq!(names.len(), TABLE.len());
    assert_eq!(token_of(TABLE[3].name), Some(token(3)));
    assert_eq!(token_of("ibm,suspend-me"), None);
}

#[test]
fn bad_blocks() {
    let p = power9();
    let mut c = p.cpu(0);
    let ram = &p.shared.ram;
    let put = |at: u64, cells: &[u32]| {
        for (n, &v) in cells.iter().enumerate() {
            ram.write_u32_be(at + 4 * n as u64, v).unwrap();
        }
    };
    assert_eq!(p.hcall(&mut c, 0xf000, &[MEMORY]), -4);
    put(0x1000, &[0x2001, 17, 1]);
    assert_eq!(p.hcall(&mut c, 0xf000, &[0x1000]), -4, "too many arguments");
    put(0x1000, &[0x2001, 0, u32::MAX]);
    assert_eq!(p.hcall(&mut c, 0xf000, &[0x1000]), -4, "too many results");
    // power-off with its result outside of memory is not carried out.
    put(MEMORY - 12, &[token_of("power-off").unwrap(), 0, 1]);
    assert_eq!(p.hcall(&mut c, 0xf000, &[MEMORY - 12]), -4);
    assert!(p.ended.lock().unwrap().is_empty());
    // Only 32 bits of the address count.
    put(0x1000, &[0x9999, 0, 1, 5]);
    assert_eq!(p.hcall(&mut c, 0xf000, &[0xffff_ffff_0000_1000]), 0);
    assert_eq!(ram.read_u32_be(0x100c).unwrap(), HARDWARE, "no such token");
    assert_eq!(p.papr.rtas_counts().iter().find(|c| c.number == 0x9999).unwrap().count, 1);
}

#[test]
fn every_call_wants_its_arguments() {
    let p = power9();
    let mut c = p.cpu(0);
    for row in &TABLE {
        if row.args > 0 {
            let args = vec![0; row.args as usize - 1];
            assert_eq!(p.rtas(&mut c, row.name, &args, 8)[0], PARAMETER, "{}", row.name);
        }
        if row.rets > 1 {
            let args = vec![0; row.args as usize];
            assert_eq!(p.rtas(&mut c, row.name, &args, row.rets as usize - 1)[0], PARAMETER, "{}", row.name);
        }
    }
}

#[test]
fn panel_and_clock() {
    let p = power9();
    let mut c = p.cpu(0);
    assert_eq!(p.rtas(&mut c, "display-character", &[0x141], 1), [0]);
    assert!(p.console.0.lock().unwrap().is_empty(), "the operator panel is not the console");
    assert_eq!(p.rtas(&mut c, "set-time-of-day", &[2031, 2, 28, 23, 59, 30, 0], 1), [0]);
    let now = p.rtas(&mut c, "get-time-of-day", &[], 8);
    assert_eq!((now[0], now[1], now[2]), (0, 2031, if now[3] == 28 { 2 } else { 3 }));
    assert_eq!(p.rtas(&mut c, "set-time-of-day", &[2031, 2, 29, 0, 0, 0, 0], 1), [PARAMETER]);
}

#[test]
fn processors() {
    let p = power9();
    let mut c = p.cpu(0);
    let state = |c: &mut Cpu, n| p.rtas(c, "query-cpu-stopped-state", &[n], 2);
    assert_eq!((state(&mut c, 0), state(&mut c, 1)), (vec![0, 2], vec![0, 0]));
    assert_eq!(state(&mut c, 4)[0], PARAMETER);
    assert_eq!(p.papr.take_start(1), None);
    assert_eq!(p.rtas(&mut c, "start-cpu", &[1, 0x60, 0xfff0_0001], 1), [0]);
    assert_eq!(p.rtas(&mut c, "start-cpu", &[1, 0x60, 0], 1), [HARDWARE], "it is not stopped");
    assert_eq!(p.rtas(&mut c, "start-cpu", &[u32::MAX, 0x60, 0], 1), [PARAMETER]);
    assert_eq!(state(&mut c, 1), [0, 2]);
    assert_ne!(p.shared.vcpus[1].pending() & arch::shared::event::LEAVE, 0);
    assert_eq!(p.papr.take_start(1), Some(StartRequest { entry: 0x60, r3: 0xfff0_0001 }));
    assert_eq!(p.papr.take_start(1), None);
    let mut second = p.cpu(1);
    const BLOCK: u64 = 0x3000;
    for (n, v) in [token_of("stop-self").unwrap(), 0, 1].into_iter().enumerate() {
        p.shared.ram.write_u32_be(BLOCK + 4 * n as u64, v).unwrap();
    }
    assert_eq!(p.hcall_flow(&mut second, 0xf000, &[BLOCK]).1, HcallFlow::Stop);
    assert_eq!(state(&mut c, 1), [0, 0]);
    assert_eq!(p.papr.take_start(7), None);
}

#[test]
fn system_parameters() {
    let mut cfg = config("power9");
    (cfg.name, cfg.uuid) = ("swan".into(), [0x5a; 16]);
    let p = TestPlatform::new(cfg);
    let mut c = p.cpu(0);
    let mut get = |which, at, len| p.rtas(&mut c, "ibm,get-system-parameter", &[which, at, len], 1)[0] as i32;
    assert_eq!(get(55, BUFFER, 100), 0);
    assert_eq!(text(&p, BUFFER, 7), "\0\x05swan\0");
    assert_eq!(get(20, BUFFER, 4000), 0);
    assert!(text(&p, BUFFER + 2, 60).starts_with("MinEntCap=200,MaxEntCap=200,DesEntCap=200,MinMem=64,"));
    assert_eq!(get(48, BUFFER, 18), 0);
    assert_eq!(text(&p, BUFFER, 18), format!("\0\x10{}", "Z".repeat(16)));
    assert_eq!(get(42, BUFFER, 3), 0);
    // Cut to the buffer, but with its whole length.
    p.shared.ram.fill(BUFFER.into(), 16, 0xff).unwrap();
    assert_eq!(get(55, BUFFER, 4), 0);
    assert_eq!(p.shared.ram.read_u64_be(BUFFER.into()).unwrap(), 0x0005_7377_ffff_ffff);
    assert_eq!(get(55, BUFFER, 1), -9999);
    assert_eq!(get(55, MEMORY as u32 - 4, 100), -9999);
    assert_eq!(get(55, u32::MAX, u32::MAX), -9999);
    assert_eq!(get(1, BUFFER, 100), -3);
    assert_eq!(p.rtas(&mut c, "ibm,set-system-parameter", &[42, BUFFER], 1), [-9002_i32 as u32]);
    assert_eq!(p.rtas(&mut c, "ibm,set-system-parameter", &[1, BUFFER], 1), [PARAMETER]);
}

#[test]
fn nvram() {
    let p = power9();
    let mut c = p.cpu(0);
    p.shared.ram.write(BUFFER.into(), b"remember").unwrap();
    assert_eq!(p.rtas(&mut c, "nvram-store", &[0x8000, BUFFER, 8], 2), [0, 8]);
    assert_eq!(p.rtas(&mut c, "nvram-fetch", &[0x8000, BUFFER + 16, 8], 2), [0, 8]);
    assert_eq!(text(&p, BUFFER + 16, 8), "remember");
    for (offset, at, len) in
        [(0x1_0000, BUFFER, 1), (0, BUFFER, 0x1_0001), (0, MEMORY as u32, 8), (u32::MAX, BUFFER, u32::MAX)]
    {
        assert_eq!(p.rtas(&mut c, "nvram-store", &[offset, at, len], 2)[0], PARAMETER);
        assert_eq!(p.rtas(&mut c, "nvram-fetch", &[offset, at, len], 2)[0], PARAMETER);
    }
}

#[test]
fn interrupt_sources() {
    let p = TestPlatform::new(config("power8"));
    let mut c = p.cpu(0);
    assert_eq!(p.rtas(&mut c, "ibm,set-xive", &[0x1000, 3, 5], 1), [0]);
    assert_eq!(p.rtas(&mut c, "ibm,get-xive", &[0x1000], 3), [0, 3, 5]);
    assert_eq!(p.rtas(&mut c, "ibm,int-off", &[0x1000], 1), [0]);
    assert_eq!(p.rtas(&mut c, "ibm,int-on", &[0x1000], 1), [0]);
    assert_eq!(p.rtas(&mut c, "ibm,set-xive", &[0x1000, 4, 5], 1), [PARAMETER]);
    assert_eq!(p.rtas(&mut c, "ibm,get-xive", &[0x9999], 3)[0], PARAMETER);
}

#[test]
fn events() {
    let p = power9();
    let mut c = p.cpu(0);
    let scan = |c: &mut Cpu| p.rtas(c, "event-scan", &[u32::MAX, 0, BUFFER, 2048], 1)[0];
    let check = |c: &mut Cpu, mask: u32, at: u32| {
        p.rtas(c, "check-exception", &[0x500, 0x1000, mask, 0, at, 2048], 1)[0]
    };
    assert_eq!((scan(&mut c), check(&mut c, u32::MAX, BUFFER)), (1, 1));
    assert_eq!(p.rtas(&mut c, "rtas-last-error", &[BUFFER, 100], 1), [1]);
    assert!(p.papr.request_shutdown(p.rtc.get_time_of_day()));
    assert_eq!(check(&mut c, 1 << 28, BUFFER), 1, "another class");
    assert_eq!(check(&mut c, 1 << 30, MEMORY as u32 - 8), PARAMETER, "and it is not lost");
    assert_eq!(check(&mut c, 1 << 30, BUFFER), 0);
    assert_eq!(check(&mut c, 1 << 30, BUFFER), 1, "once");
    let ram = &p.shared.ram;
    assert_eq!(ram.read_u32_be(BUFFER.into()).unwrap(), 0x0624_0040);
    // Walk over the sections as an operating system does: the last is the warning, and they fill the log.
    let len = ram.read_u32_be(BUFFER as u64 + 4).unwrap() as u64;
    assert_eq!(text(&p, BUFFER + 8 + 12, 4), "IBM\0");
    let (mut at, end, mut sections) = (BUFFER as u64 + 8 + 16, BUFFER as u64 + 8 + len, Vec::new());
    while at < end {
        sections.push(text(&p, at as u32, 2));
        at += u64::from(ram.read_u32_be(at).unwrap() & 0xffff);
    }
    assert_eq!((at, sections.concat()), (end, "PHUHEP".into()));
    assert_eq!(ram.read_u32_be(end - 12).unwrap() >> 16, 0x0301, "system shutdown, normal");
    // Nobody fetches them: no more than so many are kept.
    assert_eq!((0..100).filter(|_| p.papr.request_shutdown(p.rtc.get_time_of_day())).count(), 16);
}

#[test]
fn connectors() {
    let p = power9();
    let mut c = p.cpu(0);
    let (core, block) = (0x1000_0002, 0x8000_0000);
    let sense = |c: &mut Cpu, index| p.rtas(c, "get-sensor-state", &[9003, index], 2);
    let set =
        |c: &mut Cpu, which, index, value| p.rtas(c, "set-indicator", &[which, index, value], 1)[0] as i32;
    assert_eq!((sense(&mut c, core), sense(&mut c, block)), (vec![0, 1], vec![0, 1]));
    for none in [0x1000_0001, 0x8000_0001, 0] {
        assert_eq!(sense(&mut c, none)[0], PARAMETER);
    }
    assert_eq!(p.rtas(&mut c, "get-sensor-state", &[9, 0], 2)[0], PARAMETER);
    assert_eq!(set(&mut c, 9003, core, 0), -9001, "in use");
    assert_eq!(set(&mut c, 9001, core, 0), 0);
    assert_eq!(set(&mut c, 9003, core, 0), 0);
    assert_eq!(sense(&mut c, core), [0, 2]);
    assert_eq!(set(&mut c, 9001, core, 1), -9002, "not allotted");
    p.shared.ram.write_u32_be(BUFFER.into(), core).unwrap();
    let configure = |c: &mut Cpu, at: u32| p.rtas(c, "ibm,configure-connector", &[at, 0], 1)[0] as i32;
    assert_eq!(configure(&mut c, BUFFER), -9003);
    assert_eq!((set(&mut c, 9003, core, 1), set(&mut c, 9001, core, 1)), (0, 0));
    assert_eq!(configure(&mut c, BUFFER), 0, "nothing more to come");
    assert_eq!(configure(&mut c, MEMORY as u32 - 100), -3);
    assert_eq!(
        (set(&mut c, 9002, core, 3), set(&mut c, 9002, core, 4), set(&mut c, 1, core, 0)),
        (0, -3, -3)
    );
    assert_eq!(p.rtas(&mut c, "get-power-level", &[u32::MAX], 2), [0, 100]);
    assert_eq!(p.rtas(&mut c, "set-power-level", &[u32::MAX, 0], 2), [0, 100]);
    assert_eq!(p.rtas(&mut c, "get-power-level", &[1], 2)[0], PARAMETER);
}

#[test]
fn nobody_answers_on_pci() {
    let p = power9();
    let mut c = p.cpu(0);
    assert_eq!(p.rtas(&mut c, "ibm,read-pci-config", &[0, 0, 0, 4], 2), [HARDWARE, u32::MAX]);
    assert_eq!(p.rtas(&mut c, "ibm,write-pci-config", &[0, 0, 0, 4, 0], 1), [HARDWARE]);
}

#[test]
fn firmware_assisted_interrupts() {
    use arch::{Fault, Vector};
    let p = power9();
    let (mut a, mut b) = (p.cpu(0), p.cpu(1));
    let fault = |v| Fault { dar: Some(0xbad), ..Fault::plain(v) };
    assert_eq!(p.rtas(&mut a, "ibm,nmi-register", &[0x100, 0x200], 1), [PARAMETER], "RTAS stands nowhere");
    p.papr.set_rtas_base(0x30_0000);
    assert_eq!(p.rtas(&mut a, "ibm,nmi-register", &[0x100, 32 << 20], 1), [PARAMETER]);
    fwnmi::deliver(&p, &mut a, Vector::SystemReset);
    assert_eq!(a.st.nia, 0, "no handler is registered");
    assert_eq!(p.rtas(&mut a, "ibm,nmi-register", &[0x5100, 0x5200], 1), [0]);
    assert_eq!(p.rtas(&mut a, "ibm,nmi-interlock", &[], 1), [PARAMETER]);

    let ram = &p.shared.ram;
    for (cpu, r3) in [(&mut a, 0x111), (&mut b, 0x222)] {
        cpu.st.gpr[3] = r3;
        fwnmi::deliver(&p, cpu, Vector::SystemReset);
        assert_eq!((cpu.st.nia, ram.read_u64_be(cpu.st.gpr[3]).unwrap()), (0x5100, r3));
    }
    assert_ne!(a.st.gpr[3], b.st.gpr[3], "each in its own place");

    let check = |cpu: &mut Cpu| {
        cpu.deliver(Fault { srr1: 1 << 21, ..fault(Vector::MachineCheck) }, 0x1234);
        cpu.st.gpr[3] = 0x333;
        fwnmi::deliver(&p, cpu, Vector::MachineCheck);
        assert_eq!((cpu.st.nia, ram.read_u64_be(cpu.st.gpr[3]).unwrap()), (0x5200, 0x333));
        ram.read_u64_be(cpu.st.gpr[3] + 8).unwrap()
    };
    assert_eq!(check(&mut a), 0x0674_1409 << 32 | 56);
    let log = a.st.gpr[3];
    assert_eq!(log, 0x30_0030);
    assert_eq!(ram.read_u32_be(log + 8 + 8 + 16).unwrap(), 0x4d43_0028);
    assert_eq!(ram.read_u32_be(log + 8 + 8 + 16 + 16).unwrap() >> 16, 0x43, "a load or store, address given");
    assert_eq!(ram.read_u64_be(log + 8 + 8 + 16 + 24).unwrap(), 0xbad);
    assert_eq!(check(&mut b), 0x0670_1409 << 32, "while the first holds the log");
    assert_eq!(p.rtas(&mut b, "ibm,nmi-interlock", &[], 1), [PARAMETER], "it does not hold it");
    assert_eq!(p.rtas(&mut a, "ibm,nmi-interlock", &[], 1), [0]);
    assert_eq!(p.rtas(&mut a, "ibm,nmi-interlock", &[], 1), [PARAMETER]);
    assert_eq!(check(&mut b) >> 32, 0x0674_1409);
    // Memory that is not there: the plain interrupt.
    p.papr.set_rtas_base(u32::MAX.into());
    (a.st.nia, a.st.gpr[3]) = (0x100, 7);
    fwnmi::deliver(&p, &mut a, Vector::SystemReset);
    assert_eq!((a.st.nia, a.st.gpr[3]), (0x100, 7));
}
