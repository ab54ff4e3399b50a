//! The life of one virtual processor on its host thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::shared::event;
use arch::{Cpu, Exit, msr};
use cpu::Engine;
use papr::hcall::vpa::Preempted;

use crate::env::Surroundings;
use crate::{Entry, Partition};

/// Events that wake a processor from H_CEDE.
const WAKES: u32 =
    event::EXTERNAL | event::DECREMENTER | event::DOORBELL | event::SYSTEM_RESET | event::LEAVE | event::PROD;

/// Run processor `index` until the partition ends. `entry`: where it starts; `None`: stopped until `start-cpu`.
pub fn life(p: Arc<Partition>, index: usize, entry: Option<Entry>) -> u64 {
    let env = Arc::new(Surroundings(p.clone()));
    let mut cpu = Cpu::new(p.config.model, p.sh.clone(), env, index);
    let mut engine = Engine::new(&p.accel());
    let link = cpu.link.clone();
    match entry {
        Some(e) => {
            begin(&mut cpu, &p);
            cpu.st.nia = e.nia;
            if !e.is_64bit {
                cpu.set_msr(msr::ME);
            }
            cpu.st.gpr[1] = e.r1;
            cpu.st.gpr[2] = e.toc;
            cpu.st.gpr[3..8].copy_from_slice(&e.args);
        }
        None => {
            if !wait_for_start(&p, &mut cpu) {
                return 0;
            }
        }
    }
    while !p.is_ending() {
        cpu.enter_guest();
        p.papr.vpa_dispatch(&p.sh, index, cpu.st.nia, cpu.st.msr);
        let exit = engine.run(&mut cpu, u64::MAX / 2);
        p.papr.vpa_preempt(&p.sh, index, preempted(exit));
        cpu.leave_guest();
        match exit {
            Exit::Leave => link.clear(event::LEAVE),
            Exit::Budget => {}
            Exit::Cede => {
                cede(&mut cpu);
                link.clear(event::PROD);
            }
            Exit::WaitProd => {
                link.wait(event::PROD | event::LEAVE, None);
                link.clear(event::PROD);
            }
            Exit::Confer(_) => std::thread::yield_now(),
            Exit::Stop => {
                if !wait_for_start(&p, &mut cpu) {
                    break;
                }
            }
        }
    }
    p.count_engine(&engine);
    cpu.retired
}

/// Why a processor leaves the guest, as the dispatch trace log names it.
fn preempted(exit: Exit) -> Preempted {
    match exit {
        Exit::Cede | Exit::WaitProd | Exit::Stop | Exit::Confer(_) => Preempted::Ceded,
        Exit::Leave | Exit::Budget => Preempted::Preempted,
    }
}

/// Sleep until something happens that ends H_CEDE.
fn cede(cpu: &mut Cpu) {
    let link = cpu.link.clone();
    loop {
        link.wait(WAKES, None);
        // A decrementer event may be an old one.
        let others = WAKES & !event::DECREMENTER;
        if link.pending() & others != 0 || cpu.decrementer_pending() {
            return;
        }
    }
}

/// Registers of a processor that starts: 64-bit, big-endian, translation off.
fn begin(cpu: &mut Cpu, p: &Partition) {
    cpu.st.level = p.papr.level();
    cpu.st.gpr = [0; 32];
    cpu.st.slb = Default::default();
    cpu.flush_translated();
    cpu.set_msr(msr::SF | msr::ME);
    let far = cpu.sh.tb.now().wrapping_add(u64::MAX >> 2);
    cpu.set_dec_expiry(far);
}

/// Sleep until `start-cpu`; false when the partition ends first.
fn wait_for_start(p: &Arc<Partition>, cpu: &mut Cpu) -> bool {
    loop {
        cpu.link.clear(event::LEAVE);
        if p.is_ending() {
            return false;
        }
        if let Some(s) = p.papr.take_start(cpu.index) {
            begin(cpu, p);
            cpu.st.nia = s.entry;
            cpu.st.gpr[3] = s.r3;
            cpu.link.clear(event::PROD | event::DOORBELL | event::SYSTEM_RESET);
            cpu.link.exit.store(1, Ordering::SeqCst);
            return true;
        }
        cpu.link.wait(event::LEAVE, None);
    }
}
