//! The life of one virtual processor on its host thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::shared::event;
use arch::{Cpu, Exit, VcpuLink, msr};
use cpu::Engines;
use papr::hcall::vpa::Preempted;

use crate::env::Surroundings;
use crate::{Entry, Partition};

/// Events that wake a processor from H_CEDE.
const WAKES: u32 = event::EXTERNAL
    | event::DECREMENTER
    | event::DOORBELL
    | event::PERFORMANCE_MONITOR
    | event::SYSTEM_RESET
    | event::LEAVE
    | event::PROD;

/// Those of them after which it surely goes on.
const ROUSES: u32 = WAKES & !(event::DECREMENTER | event::LEAVE);

/// Run processor `index` until the partition ends. `entry`: where it starts; `None`: stopped until `start-cpu`.
pub fn life(p: Arc<Partition>, engines: &Engines, index: usize, entry: Option<Entry>) -> u64 {
    let env = Arc::new(Surroundings(p.clone()));
    let mut cpu = Cpu::new(p.config.model, p.sh.clone(), env, index);
    cpu.patience = p.patience();
    let mut engine = engines.engine();
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
    let turn = Turn::new(&p, index);
    turn.wake();
    let mut trims = p.trims.load(Ordering::SeqCst);
    while turn.wait(&mut cpu) {
        let asked = p.trims.load(Ordering::SeqCst);
        if std::mem::replace(&mut trims, asked) != asked {
            engine.trim(&mut cpu);
        }
        cpu.enter_guest();
        p.papr.vpa_dispatch(&p.sh, index, cpu.st.nia, cpu.st.msr);
        let exit = engine.run(&mut cpu, u64::MAX / 2);
        p.papr.vpa_preempt(&p.sh, index, preempted(exit));
        cpu.leave_guest();
        match exit {
            Exit::Leave => link.clear(event::LEAVE),
            Exit::Budget => {}
            Exit::Cede => {
                turn.sleep(WAKES, || cede(&mut cpu));
                link.clear(event::PROD);
            }
            Exit::WaitProd => {
                let until = event::PROD | event::LEAVE;
                turn.sleep(until, || link.wait(until, None));
                link.clear(event::PROD);
            }
            Exit::Confer(to) => turn.confer(to),
            Exit::Stop => {
                turn.cede();
                if !wait_for_start(&p, &mut cpu) {
                    break;
                }
                turn.wake();
            }
        }
    }
    turn.cede();
    p.count_engine(&engine);
    cpu.retired
}

/// A virtual processor's mailbox, where the scheduler leaves its orders.
pub struct Mailbox(pub Arc<VcpuLink>);

impl dispatch::Runner for Mailbox {
    fn run(&self) {
        self.0.post(event::DISPATCH);
    }
    fn leave(&self) {
        self.0.post(event::LEAVE);
    }
}

/// When a virtual processor may run: always, or when the scheduler says so.
struct Turn {
    p: Arc<Partition>,
    index: usize,
    seat: Option<Arc<dispatch::Seat>>,
    /// What its time was charged with when it started, so that each boot begins at 0: on processors, waiting.
    base: (u64, u64),
}

impl Turn {
    fn new(p: &Arc<Partition>, index: usize) -> Self {
        let seat = p.seat();
        let base = seat.as_ref().map_or((0, 0), |s| s.times(index));
        Turn { p: p.clone(), index, seat, base }
    }

    /// Waits until the processor may enter the guest; `false` when the partition ends first.
    fn wait(&self, cpu: &mut Cpu) -> bool {
        let Some(seat) = &self.seat else { return !self.p.is_ending() };
        let link = &cpu.link;
        loop {
            link.clear(event::DISPATCH | event::LEAVE);
            if self.p.is_ending() {
                return false;
            }
            if seat.may_run(self.index) {
                break;
            }
            link.wait(event::DISPATCH | event::LEAVE, None);
        }
        // PURR and SPURR count what it is charged with; the guest learns what it was not given.
        let (consumed, waited) = seat.times(self.index);
        let purr = arch::time::of_nanos(consumed - self.base.0);
        cpu.st.purr_offset = purr.wrapping_sub(cpu.sh.tb.now());
        cpu.st.spurr_offset = cpu.st.purr_offset;
        self.p.papr.vpa_stolen(&self.p.sh, self.index, arch::time::of_nanos(waited - self.base.1));
        true
    }

    /// Sleeps by `sleep` unless one of the events waits already; meanwhile others have its processor.
    fn sleep(&self, until: u32, sleep: impl FnOnce()) {
        let idle = self.p.sh.vcpus[self.index].pending() & until == 0;
        match &self.seat {
            Some(seat) if idle => {
                let dozing = &self.p.dozing[self.index];
                seat.cede(self.index);
                dozing.store(until & ROUSES == ROUSES, Ordering::SeqCst);
                sleep();
                dozing.store(false, Ordering::SeqCst);
                seat.wake(self.index);
            }
            _ => sleep(),
        }
    }

    fn cede(&self) {
        if let Some(seat) = &self.seat {
            seat.cede(self.index);
        }
    }

    fn wake(&self) {
        if let Some(seat) = &self.seat {
            seat.wake(self.index);
        }
    }

    /// Lets another go first, or all others.
    fn confer(&self, to: Option<usize>) {
        let Some(seat) = &self.seat else { return std::thread::yield_now() };
        // Who got an interrupt wants his processor, though his thread may take some time until it can say so.
        for (n, v) in self.p.sh.vcpus.iter().enumerate() {
            if v.pending() & ROUSES != 0 && self.p.dozing[n].swap(false, Ordering::SeqCst) {
                seat.wake(n);
            }
        }
        seat.confer(self.index, to);
    }
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
    cpu.monitors_off();
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
