//! Processors of one partition that share translated code.
#![cfg(target_arch = "x86_64")]

mod pair;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use arch::{Cpu, Exit};
use jit::{CodeCache, Jit, Options, Stats, Tier2Options};
use pair::{SC1, word};

const BLR: u32 = 0x4e80_0020;
const ISYNC: u32 = 0x4c00_012c;
const SYNC: u32 = 0x7c00_04ac;
const BNE: u32 = 16 << 26 | 4 << 21 | 2 << 16;
const BEQ: u32 = 16 << 26 | 12 << 21 | 2 << 16;

fn addi(rt: u32, ra: u32, si: i16) -> u32 {
    14 << 26 | rt << 21 | ra << 16 | si as u16 as u32
}
fn lwz(rt: u32, d: i16, ra: u32) -> u32 {
    32 << 26 | rt << 21 | ra << 16 | d as u16 as u32
}
fn stw(rs: u32, d: i16, ra: u32) -> u32 {
    36 << 26 | rs << 21 | ra << 16 | d as u16 as u32
}
fn cmpw(ra: u32, rb: u32) -> u32 {
    31 << 26 | ra << 16 | rb << 11
}
fn cmpwi(ra: u32, si: i16) -> u32 {
    11 << 26 | ra << 16 | si as u16 as u32
}
fn or(ra: u32, rs: u32, rb: u32) -> u32 {
    31 << 26 | rs << 21 | ra << 16 | rb << 11 | 444 << 1
}
fn branch(from: u64, to: u64, link: bool) -> u32 {
    18 << 26 | (to.wrapping_sub(from) as u32 & 0x03ff_fffc) | link as u32
}
/// Back from instruction `from` to instruction `to`.
fn back(branch: u32, from: usize, to: usize) -> u32 {
    branch | (4 * (to as i32 - from as i32)) as u32 & 0xfffc
}

fn put(cpu: &Cpu, at: u64, code: &[u32]) {
    code.iter().enumerate().for_each(|(n, &w)| word(cpu, at + 4 * n as u64, w, true));
}

/// Runs every processor on a thread of its own until its program ends.
fn run(cpus: Vec<Cpu>, shared: &Arc<CodeCache>) -> Vec<(Cpu, Stats)> {
    let (done, ended) = channel();
    let count = cpus.len();
    for mut cpu in cpus {
        let (mut jit, done) = (Jit::with(shared.clone()), done.clone());
        std::thread::spawn(move || {
            cpu.enter_guest();
            while jit.run(&mut cpu, 1 << 30) != Exit::Stop {}
            cpu.leave_guest();
            let _ = done.send((cpu, jit.stats()));
        });
    }
    drop(done);
    let next = || ended.recv_timeout(Duration::from_secs(300)).expect("a processor does not end");
    let mut all: Vec<_> = (0..count).map(|_| next()).collect();
    all.sort_by_key(|a| a.0.index);
    all
}

#[test]
fn what_one_made_is_there_for_others() {
    let shared = CodeCache::new(&pair::options()).unwrap();
    let mut cpus = pair::machines("power9", true, 2);
    // r3 = 5 + ... + 1, in a function of another page.
    put(&cpus[0], 0x1_0000, &[addi(9, 0, 5), branch(0x1_0004, 0x2_0000, true), SC1]);
    put(&cpus[0], 0x2_0000, &[0x7c63_4a14, addi(9, 9, -1), cmpwi(9, 0), back(BNE, 3, 0), BLR]);
    cpus.iter_mut().for_each(|c| c.st.nia = 0x1_0000);
    let made: Vec<_> = cpus
        .into_iter()
        .map(|c| {
            let (c, s) = run(vec![c], &shared).remove(0);
            assert_eq!(c.st.gpr[3], 15);
            s.blocks
        })
        .collect();
    assert!(made[0] > 2 && made[1] == 0, "{made:?}");
}

/// One processor changes a function again and again and says so, others call it and must find the change, and one runs
/// through so much code that all of it is forgotten all the time.
#[test]
fn changes_are_seen_by_all_while_code_is_forgotten() {
    const LAST: i16 = 400;
    const WATCHERS: usize = 3;
    const DATA: u64 = 0x1_0000;
    const CALLEE: u64 = 0x2_0000;
    let tier2 = Tier2Options { threshold: 50, ..Tier2Options::default() };
    let shared = CodeCache::new(&Options { code_bytes: 1, tier2, ..Options::default() }).unwrap();
    let mut cpus = pair::machines("power9", true, WATCHERS + 2);
    let load = |cpu: &mut Cpu, at: u64, code: &[u32]| {
        put(cpu, at, code);
        cpu.st.nia = at;
        cpu.st.gpr[10] = DATA;
        cpu.st.gpr[12] = addi(4, 0, 0) as u64;
        cpu.st.gpr[13] = CALLEE;
    };
    put(&cpus[0], CALLEE, &[addi(4, 0, 0), BLR]);

    // r8 counts: the callee's first word, as a program changes code, then the flag, then all answers.
    let mut code = vec![addi(8, 8, 1), or(9, 12, 8), stw(9, 0, 13)];
    code.extend([0x7c00_006c | 13 << 11, SYNC, 0x7c00_07ac | 13 << 11, ISYNC, stw(8, 0, 10)]);
    for n in 1..=WATCHERS {
        let from = code.len();
        code.extend([lwz(5, 4 * n as i16, 10), cmpw(5, 8), back(BNE, from + 2, from)]);
    }
    code.extend([cmpwi(8, LAST), back(BNE, code.len() + 1, 0), SC1]);
    load(&mut cpus[0], 0x3_0000, &code);

    // r6 is what was seen last; r3 counts what the callee did not give.
    for (n, cpu) in cpus.iter_mut().enumerate().skip(1).take(WATCHERS) {
        let at = 0x3_0000 + 0x1_0000 * n as u64;
        let code = [
            lwz(5, 0, 10),
            cmpw(5, 6),
            back(BEQ, 2, 0),
            ISYNC,
            branch(at + 16, CALLEE, true),
            cmpw(4, 5),
            BEQ | 8,
            addi(3, 3, 1),
            or(6, 5, 5),
            stw(5, 4 * n as i16, 10),
            cmpwi(5, LAST),
            back(BNE, 11, 0),
            SC1,
        ];
        load(cpu, at, &code);
    }

    // Pages of loads, each going on in the next one, until the flag says the end.
    let (first, pages) = (0x8_0000, 100u64);
    let cpu = &mut cpus[WATCHERS + 1];
    for page in 0..pages {
        let at = first + 0x1000 * page;
        put(cpu, at, &[0x806a_0000; 200]);
        let to = if page + 1 == pages { 0x7_f000 } else { at + 0x1000 };
        put(cpu, at + 800, &[branch(at + 800, to, false)]);
    }
    let code = [addi(7, 7, 1), lwz(5, 0, 10), cmpwi(5, LAST), BEQ | 8, branch(0x7_f010, first, false), SC1];
    load(cpu, 0x7_f000, &code);

    let all = run(cpus, &shared);
    for (cpu, _) in &all[1..=WATCHERS] {
        assert_eq!((cpu.st.gpr[3], cpu.st.gpr[6]), (0, LAST as u64), "processor {}", cpu.index);
    }
    let flushes: u64 = all.iter().map(|a| a.1.flushes).sum();
    let drops: u64 = all.iter().map(|a| a.1.dropped_pages).sum();
    assert!(flushes > 5, "{flushes}");
    assert!(drops > LAST as u64 / 4, "{drops}");
}
