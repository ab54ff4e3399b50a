//! The life of one virtual processor on its host thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::shared::event;
use arch::{Cpu, Exit, VcpuLink, msr};
use cpu::Engines;
use papr::hcall::vpa::Preempted;

use crate::env::Surroundings;
use crate::place::Place;
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
    let turn = Turn::new(&p, index);
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
            if !wait_for_start(&turn, &mut cpu) {
                return 0;
            }
        }
    }
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
                // Only H_PROD ends it, whatever else it is asked to leave for.
                while link.pending() & event::PROD == 0 && !p.is_ending() {
                    turn.sleep(until, || {
                        while link.pending() & until == 0 {
                            link.clear(event::DISPATCH);
                            link.wait(until | event::DISPATCH, None);
                        }
                    });
                    link.clear(event::LEAVE);
                }
                link.clear(event::PROD);
            }
            Exit::Confer(to) => turn.confer(to),
            Exit::Stop => {
                if !wait_for_start(&turn, &mut cpu) {
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
pub struct Mailbox {
    pub link: Arc<VcpuLink>,
    pub place: Arc<Place>,
}

impl dispatch::Runner for Mailbox {
    fn run(&self, here: bool) {
        if here {
            self.place.bring();
        }
        self.link.post(event::DISPATCH);
    }
    fn leave(&self) {
        self.link.post(event::LEAVE);
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
        p.places[index].take();
        let base = seat.as_ref().map_or((0, 0), |s| s.times(index));
        if let Some(seat) = seat.clone() {
            p.sh.vcpus[index].on_rouse(Some(Arc::new(move || seat.wake(index))));
        }
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
        self.p.places[self.index].settle();
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
        let link = &self.p.sh.vcpus[self.index];
        match &self.seat {
            Some(seat) if link.pending() & until == 0 => {
                seat.cede(self.index);
                link.clear(event::DISPATCH);
                link.doze(until & ROUSES);
                sleep();
                if link.stop_dozing() {
                    seat.wake(self.index);
                }
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
        seat.confer(self.index, to);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.p.sh.vcpus[self.index].on_rouse(None);
        self.p.places[self.index].give_up();
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
        link.wait(WAKES | event::DISPATCH, None);
        // A decrementer event may be an old one, and so may be the news that it was given a processor.
        let others = WAKES & !event::DECREMENTER;
        let pending = link.pending();
        let roused = pending & event::DISPATCH != 0 && !link.dozes();
        if pending & others != 0 || roused || cpu.decrementer_pending() {
            return;
        }
        link.clear(event::DISPATCH);
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

/// Sleep until `start-cpu`, without a place on a processor; false when the partition ends first.
fn wait_for_start(turn: &Turn, cpu: &mut Cpu) -> bool {
    let p = &turn.p;
    loop {
        cpu.link.clear(event::LEAVE | event::DISPATCH);
        // Also what a poster who is late has asked for since.
        turn.cede();
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
        cpu.link.wait(event::LEAVE | event::DISPATCH, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::IoSlots;
    use crate::{BootImages, CharBackend, Model, Nvram, PartitionConfig};
    use std::time::{Duration, Instant};

    struct Nobody;

    impl CharBackend for Nobody {
        fn write(&self, _: &[u8]) -> bool {
            true
        }
        fn input_room(&self) {}
    }

    /// Counts what comes back of the hypercall in r3 with 0 in r4 and r5, at [`COUNT`].
    fn counting(hypercall: u32) -> Vec<u8> {
        let mut image = vec![0; 0x100];
        let code = [
            0x3ce0_7fff,             // lis r7,0x7fff
            0x7cf6_03a6,             // mtdec r7
            0x3860_0000 | hypercall, // li r3,hypercall
            0x3880_0000,             // li r4,0
            0x38a0_0000,             // li r5,0
            0x4400_0022,             // sc 1
            0xe8c0_2000,             // ld r6,COUNT(0)
            0x38c6_0001,             // addi r6,r6,1
            0xf8c0_2000,             // std r6,COUNT(0)
            0x4bff_ffdc,             // b to the first
        ];
        code.iter().for_each(|word: &u32| image.extend(word.to_be_bytes()));
        image
    }

    const COUNT: u64 = 0x2000;

    /// Runs a processor that does [`counting`], beside one that is stopped, while `check` looks; on its own or by the leave
    /// of a scheduler.
    fn run(hypercall: u32, shared: bool, check: impl Fn(&Partition, Option<&dyn dispatch::Runner>)) {
        let firmware = Some(counting(hypercall).into());
        let images = BootImages { firmware, ..BootImages::default() };
        let mut config = PartitionConfig::new(Model::by_name("power9").unwrap(), 512 << 20);
        config.vcpus = 2;
        let p =
            Partition::new(config, images, Arc::new(Nobody), Nvram::volatile(), &IoSlots::default()).unwrap();
        p.set_accel(crate::Accel::Interp);
        let shell = dispatch::Shell::new(1);
        std::thread::scope(|s| {
            s.spawn(|| shell.run());
            if shared {
                let sharing = dispatch::Sharing::Shared { entitled: 100, weight: None };
                let share = dispatch::Share { cores: 2, threads: 1, sharing };
                p.take_seat(Some(Arc::new(shell.seat(share, p.runners()).unwrap())));
            }
            let runner = shared.then(|| p.runners().remove(0));
            let guest = s.spawn(|| p.run(true));
            let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&p, runner.as_deref())));
            p.stop();
            guest.join().unwrap().unwrap();
            p.take_seat(None);
            shell.quit();
            r.unwrap_or_else(|e| std::panic::resume_unwind(e));
        });
    }

    fn count(p: &Partition) -> u64 {
        p.memory().read_u64_be(COUNT).unwrap()
    }

    /// It gets there before long, and no further.
    fn settles_at(p: &Partition, n: u64) {
        let end = Instant::now() + Duration::from_secs(60);
        while count(p) < n && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(count(p), n);
    }

    #[test]
    fn who_waits_to_be_prodded_waits_for_nothing_else() {
        const H_CONFER: u32 = 0xe4;
        for shared in [false, true] {
            run(H_CONFER, shared, |p, runner| {
                for n in 0..5 {
                    settles_at(p, n);
                    // Leave and go on are orders that may come late.
                    for _ in 0..5 {
                        p.trim();
                        runner.inspect(|r| r.leave());
                        runner.inspect(|r| r.run(false));
                    }
                    settles_at(p, n);
                    p.sh.vcpus[0].post(event::PROD);
                }
            });
        }
    }

    #[test]
    fn who_has_ceded_is_roused_once_for_each_event() {
        const H_CEDE: u32 = 0xe0;
        for shared in [false, true] {
            run(H_CEDE, shared, |p, runner| {
                for n in 0..20 {
                    settles_at(p, n);
                    for _ in 0..5 {
                        runner.inspect(|r| r.run(false));
                    }
                    settles_at(p, n);
                    p.sh.vcpus[0].post(event::PROD);
                }
            });
        }
    }

    #[test]
    fn who_is_stopped_takes_nobody_s_turn() {
        const H_CEDE: u32 = 0xe0;
        run(H_CEDE, true, |p, _| {
            for n in 0..5 {
                settles_at(p, n);
                // Whoever was to rouse it from a sleep long ago gets to it.
                p.sh.vcpus[1].doze(event::PROD);
                p.sh.vcpus[1].post(event::PROD);
                p.sh.vcpus[0].post(event::PROD);
            }
        });
    }
}
