//! One processor: its registers, its TLB and its ways to memory, interrupts and the outside.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mem::{Access, Tlb, TlbMode};

use crate::hpt::{Flush, Users};
use crate::invalidations::Missed;
use crate::mmu::slb;
use crate::mmu::tlbie::TlbInvalidate;
use crate::msr::{self, lpcr, srr1};
use crate::shared::{event, holds};
use crate::state::Reserve;
use crate::{CpuState, Fault, Model, Shared, VcpuLink, Vector};

/// Most virtual processors of a partition.
pub const MOST_VCPUS: usize = 256;

/// What a processor asks of its partition. Called on the processor's own thread.
pub trait Env: Send + Sync {
    /// A hypercall (`sc 1` in privileged state): number in r3, arguments in r4 and up, results likewise.
    fn hcall(&self, cpu: &mut Cpu) -> Flow;
    /// Load from a real address that is not memory; the byte at the lowest address is the most significant of the
    /// `size` bytes returned. `None`: nothing is there.
    fn mmio_load(&self, vcpu: usize, ra: u64, size: u8) -> Option<u64>;
    /// Store to a real address that is not memory; bytes as in `mmio_load`. False: nothing is there.
    fn mmio_store(&self, vcpu: usize, ra: u64, v: u64, size: u8) -> bool;
    /// The decrementer will pass zero at timebase `expiry`: post [`event::DECREMENTER`] then.
    fn set_decrementer(&self, vcpu: usize, expiry: u64);
    /// `msgsndp`: post a doorbell to the thread `tir` of this processor's core.
    fn doorbell(&self, vcpu: usize, tir: u32);
    /// A defined instruction that this program does not carry out was met: say so once.
    fn absent(&self, mnemonic: &'static str, raw: u32);
    /// Threads of a core.
    fn threads_per_core(&self) -> u32;
    /// A system reset or machine check was delivered: `cpu` is about to execute at its vector. The partition may send
    /// it elsewhere (firmware-assisted non-maskable interrupts).
    fn non_maskable(&self, _cpu: &mut Cpu, _vector: Vector) {}
    /// A random doubleword from the host (`darn`); `None` when it has none to give.
    fn random(&self) -> Option<u64>;
}

/// How a hypercall ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Go on with the next instruction.
    Continue,
    /// Leave the processor's run loop for this reason, then go on with the next instruction.
    Exit(Exit),
    /// Registers, MSR and address were replaced: go on from where they say.
    Resume,
}

/// Why a processor's run loop returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// [`event::LEAVE`] was posted.
    Leave,
    /// H_CEDE: nothing to do until an interrupt or H_PROD.
    Cede,
    /// H_CONFER: let another run; to this processor, or to any.
    Confer(Option<usize>),
    /// Nothing to do until H_PROD, whatever interrupts are pending (H_JOIN).
    WaitProd,
    /// `stop-self`: stopped until `start-cpu`.
    Stop,
    /// The budget of instructions is used up.
    Budget,
}

/// Why an instruction was left. The details of a fault are in [`Cpu::fault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Deliver [`Cpu::fault`] with SRR0 = this instruction.
    Fault,
    /// Deliver [`Cpu::fault`] with SRR0 = the next instruction (system calls).
    FaultNext,
    /// The instruction is complete; address and MSR were set by it (rfid and kin).
    Jumped,
    /// The instruction is complete; look at events before the next.
    Events,
    /// The instruction is complete; leave the run loop.
    Exit(Exit),
}

/// One virtual processor.
pub struct Cpu {
    /// Registers.
    pub st: Box<CpuState>,
    /// Software TLB.
    pub tlb: Tlb,
    /// Partition-wide state.
    pub sh: Arc<Shared>,
    /// Its mailbox.
    pub link: Arc<VcpuLink>,
    /// The partition.
    pub env: Arc<dyn Env>,
    /// Number among the partition's processors.
    pub index: usize,
    /// Model it was made as.
    pub model: &'static Model,
    /// The fault of [`Stop::Fault`].
    pub fault: Fault,
    /// TLB table of data accesses in the present MSR.
    pub dmode: TlbMode,
    /// TLB table of instruction fetches in the present MSR.
    pub imode: TlbMode,
    /// The instruction page at hand must be looked up anew.
    pub refetch: bool,
    /// Set while a prefixed instruction is carried out (SRR1 says so).
    pub prefixed: bool,
    /// Instructions completed.
    pub retired: u64,
    /// After how many turns of loops that wait (`wait`, `or 1,1,1`) it lets others run, as if by H_CONFER to all;
    /// `None`: it does not.
    pub patience: Option<u32>,
    /// Turns since then.
    pub(crate) pauses: u32,
    /// A watchpoint is set.
    pub(crate) watching: bool,
    /// The performance monitor.
    pub pmu: crate::pmu::Pmu,
    /// An SLB entry was displaced since the translated modes were last flushed: the TLB may hold pages of segments
    /// that the SLB no longer shows.
    pub(crate) slb_displaced: bool,
    mmu: crate::mmu::MmuCache,
}

impl Cpu {
    /// A processor with all registers zero.
    pub fn new(model: &'static Model, sh: Arc<Shared>, env: Arc<dyn Env>, index: usize) -> Self {
        assert!(sh.vcpus.len() <= MOST_VCPUS, "a partition has at most {MOST_VCPUS} virtual processors");
        let link = sh.vcpus[index].clone();
        let mut cpu = Cpu {
            st: CpuState::new(model.level, model.pvr, index as u32),
            tlb: Tlb::new(sh.ram.clone()),
            sh,
            link,
            env,
            index,
            model,
            fault: Fault::plain(Vector::Program),
            dmode: TlbMode::Real,
            imode: TlbMode::Real,
            refetch: true,
            prefixed: false,
            retired: 0,
            patience: None,
            pauses: 0,
            watching: false,
            pmu: crate::pmu::Pmu::default(),
            slb_displaced: false,
            mmu: crate::mmu::MmuCache::new(index as u16),
        };
        cpu.set_msr(msr::SF | msr::ME);
        cpu
    }

    /// Write the MSR with everything that depends on it.
    pub fn set_msr(&mut self, v: u64) {
        let old = self.st.msr;
        if self.pmu.active {
            self.pmu_sync();
        }
        self.st.set_msr(v);
        self.set_tables();
        self.refetch = true;
        if self.pmu.active && (old ^ v) & (msr::PR | msr::PMM) != 0 {
            self.pmu_update();
        }
        if v & msr::EE != 0 && self.link.pending() != 0 {
            self.link.exit.store(1, Ordering::Relaxed);
        }
    }

    /// Choose the TLB tables of the present MSR and AMR.
    pub fn set_tables(&mut self) {
        let v = self.st.msr;
        let on = if v & msr::PR != 0 {
            TlbMode::User
        } else {
            // Key 0 of the AMR keeps privileged accesses off problem-state pages (radix). Other keys only matter
            // to hashed translation, where a change of the AMR empties the tables.
            match self.st.amr >> 62 {
                0 => TlbMode::Kernel,
                1 => TlbMode::KernelNoRead,
                2 => TlbMode::KernelNoWrite,
                _ => TlbMode::KernelNoUser,
            }
        };
        let table = |relocate: bool| if relocate { on } else { TlbMode::Real };
        self.dmode = table(v & msr::DR != 0);
        self.imode = table(v & msr::IR != 0);
    }

    /// Record a fault to be delivered at this instruction.
    #[cold]
    pub fn raise(&mut self, f: Fault) -> Stop {
        self.fault = f;
        Stop::Fault
    }

    // ---- interrupts ----

    /// Deliver an interrupt: save state, enter the vector (Book III, 7.5; AIL: LPCR).
    pub fn deliver(&mut self, f: Fault, srr0: u64) {
        let st = &mut *self.st;
        let old = st.msr;
        let mut bits = f.srr1;
        if std::mem::take(&mut self.prefixed) && f.vector.tells_prefix() {
            bits |= srr1::PREFIXED;
        }
        st.srr0 = if old & msr::SF != 0 { srr0 } else { srr0 & 0xffff_ffff };
        st.srr1 = old & !srr1::DEFINED | bits & srr1::DEFINED;
        if let Some(dar) = f.dar {
            st.dar = dar;
        }
        if let Some(d) = f.dsisr {
            st.dsisr = d;
        }
        let hid = self.sh.lpcr.load(Ordering::Relaxed);
        let mut new = msr::SF | old & msr::ME;
        if hid & lpcr::ILE != 0 {
            new |= msr::LE;
        }
        let mut at = f.vector as u64;
        let translated = old & (msr::IR | msr::DR) == msr::IR | msr::DR;
        if translated && !matches!(f.vector, Vector::MachineCheck | Vector::SystemReset) {
            match (hid & lpcr::AIL) >> lpcr::AIL_SHIFT {
                2 => (new, at) = (new | msr::IR | msr::DR, at + 0x1_8000),
                3 => (new, at) = (new | msr::IR | msr::DR, at + 0xc000_0000_0000_4000),
                _ => {}
            }
        }
        st.reserve.ea = u64::MAX;
        st.nia = at;
        self.set_msr(new);
        if matches!(f.vector, Vector::MachineCheck | Vector::SystemReset) {
            let env = self.env.clone();
            env.non_maskable(self, f.vector);
        }
    }

    /// The trace interrupt after the instruction at `cia` (Book III, 7.5.15); `next` is where it went on.
    pub fn deliver_trace(&mut self, cia: u64, next: u64) {
        self.st.plain[crate::spr::num::SIAR as usize] = cia;
        self.deliver(Fault { vector: Vector::Trace, srr1: srr1::TRACED, dar: None, dsisr: None }, next);
    }

    /// `scv`: its own interrupt, through LR and CTR (Book III, 7.5.27).
    pub fn deliver_scv(&mut self, lev: u64, next: u64) {
        let st = &mut *self.st;
        let old = st.msr;
        st.lr = next;
        st.ctr = old & !srr1::DEFINED;
        let hid = self.sh.lpcr.load(Ordering::Relaxed);
        let mut new = msr::SF | old & (msr::ME | msr::EE | msr::RI);
        if hid & lpcr::ILE != 0 {
            new |= msr::LE;
        }
        let translated = old & (msr::IR | msr::DR) == msr::IR | msr::DR;
        let at = match (hid & lpcr::AIL) >> lpcr::AIL_SHIFT {
            2 if translated => {
                new |= msr::IR | msr::DR;
                0x1_8000 + 0x1_7000
            }
            3 if translated => {
                new |= msr::IR | msr::DR;
                0xc000_0000_0000_3000
            }
            _ => 0x1_7000,
        };
        st.nia = at + lev * 0x20;
        self.set_msr(new);
    }

    /// Whether the decrementer's value is negative: its interrupt condition holds.
    #[inline]
    pub fn decrementer_expired(&self) -> bool {
        self.sh.tb.now().wrapping_sub(self.st.dec_expiry) as i64 >= 0
    }

    /// Look at what was posted: obey what does not wait for MSR[EE] and deliver at most one interrupt. `st.nia` must
    /// be the address of the next instruction.
    pub fn take_events(&mut self) -> Option<Exit> {
        self.link.exit.store(0, Ordering::SeqCst);
        let ev = self.link.pending();
        if ev == 0 && !self.pmu.soon {
            return None;
        }
        if ev & event::TLB_FLUSH != 0 {
            self.obey_flush();
        }
        let ev = if self.pmu.active {
            self.pmu_due();
            self.link.exit.store(self.pmu.soon as u32, Ordering::SeqCst);
            self.link.pending()
        } else {
            ev
        };
        if ev & event::LEAVE != 0 {
            return Some(Exit::Leave);
        }
        if ev & event::SYSTEM_RESET != 0 {
            self.link.clear(event::SYSTEM_RESET);
            let nia = self.st.nia;
            self.deliver(Fault::plain(Vector::SystemReset), nia);
            return None;
        }
        if self.st.msr & msr::EE != 0 {
            let nia = self.st.nia;
            if ev & event::EXTERNAL != 0 {
                self.deliver(Fault::plain(Vector::External), nia);
            } else if ev & event::DECREMENTER != 0 && self.decrementer_pending() {
                self.deliver(Fault::plain(Vector::Decrementer), nia);
            } else if ev & event::DOORBELL != 0 {
                self.link.clear(event::DOORBELL);
                self.st.doorbell = false;
                self.deliver(Fault::plain(Vector::PrivilegedDoorbell), nia);
            } else if ev & event::PERFORMANCE_MONITOR != 0 {
                self.deliver(Fault::plain(Vector::PerformanceMonitor), nia);
            } else if ev & event::EVENT_BRANCH != 0 {
                self.event_branch();
            }
        }
        None
    }

    /// Whether a posted decrementer event is real; a stale one is taken back and the timer set again.
    pub fn decrementer_pending(&mut self) -> bool {
        if self.decrementer_expired() {
            return true;
        }
        self.link.clear(event::DECREMENTER);
        if self.decrementer_expired() {
            self.link.post(event::DECREMENTER);
            return true;
        }
        self.arm_timer();
        false
    }

    /// Have [`event::DECREMENTER`] posted when the decrementer, or the performance monitor's time, is due.
    pub(crate) fn arm_timer(&mut self) {
        let dec = self.st.dec_expiry;
        let at = match self.pmu.expiry {
            Some(t) if (t.wrapping_sub(dec) as i64) < 0 => t,
            _ => dec,
        };
        self.pmu.armed = at;
        self.env.set_decrementer(self.index, at);
    }

    /// Set the decrementer so that it passes zero at `expiry`.
    pub fn set_dec_expiry(&mut self, expiry: u64) {
        self.st.dec_expiry = expiry;
        self.link.clear(event::DECREMENTER);
        if self.decrementer_expired() {
            self.link.post(event::DECREMENTER);
        } else {
            self.arm_timer();
        }
    }

    // ---- TLB shoot-down ----

    fn obey_flush(&mut self) {
        self.link.clear(event::TLB_FLUSH);
        let (epoch, missed) = self.sh.invalidations.since(self.link.tlb_seen.load(Ordering::SeqCst));
        match missed {
            Missed::Everything => {
                self.tlb.flush();
                self.link.holds.store(0, Ordering::SeqCst);
                self.slb_displaced = false;
            }
            Missed::List(list) => list.into_iter().for_each(|what| self.invalidate(what)),
        }
        self.refetch = true;
        self.link.tlb_seen.store(epoch, Ordering::SeqCst);
        self.link.note_flushed();
    }

    /// The hashed page table in force, without taking a lock.
    #[inline]
    pub fn hpt(&mut self) -> Option<&Arc<crate::hpt::Hpt>> {
        self.mmu.hpt(&self.sh)
    }

    /// Forget all translations; real mode stays.
    pub fn flush_translated(&mut self) {
        self.tlb.flush_translated();
        self.link.holds.fetch_and(!holds::TRANSLATED, Ordering::SeqCst);
        self.slb_displaced = false;
        self.refetch = true;
    }

    /// Forget the translations of a process: under a radix tree those of the quadrant that PIDR chooses the tree of
    /// (Book III, 6.7.5.1); quadrant 3 is always that of process 0.
    pub fn flush_process(&mut self) {
        if self.sh.lpcr.load(Ordering::Relaxed) & lpcr::HR == 0 {
            self.flush_translated();
        } else {
            self.tlb.flush_low();
            self.refetch = true;
        }
    }

    /// Forget all translations, and give back the memory they took.
    pub fn trim(&mut self) {
        self.tlb.trim();
        self.mmu.large = Default::default();
        self.refetch = true;
    }

    /// Forget the translations of process 0: under a radix tree those of quadrant 3, unless they would come back the same,
    /// and those of quadrant 0 while PIDR is 0.
    fn flush_kernel(&mut self) {
        if self.sh.lpcr.load(Ordering::Relaxed) & lpcr::HR == 0 {
            return self.flush_translated();
        }
        let same = self.mmu.large.unchanged(&self.sh);
        self.tlb.flush_high(!same);
        if self.st.pidr == 0 {
            self.tlb.flush_low();
        }
        self.refetch = true;
    }

    /// Forget on this processor what an invalidation names.
    pub fn invalidate(&mut self, what: TlbInvalidate) {
        let mine = |pid: u64| pid == 0 || pid == self.st.pidr;
        match what {
            TlbInvalidate::None => {}
            TlbInvalidate::Page { ea, shift, pid } => {
                if mine(pid) {
                    self.tlb.flush_range(ea, 1 << shift);
                    self.refetch = true;
                }
            }
            TlbInvalidate::Pid(0) => self.flush_kernel(),
            TlbInvalidate::Pid(pid) => {
                if mine(pid) {
                    self.flush_process();
                }
            }
            TlbInvalidate::Processes => self.flush_process(),
            TlbInvalidate::Segment { ea, shift } => {
                self.tlb.flush_range(ea, 1 << shift);
                self.refetch = true;
            }
            TlbInvalidate::All => {
                self.flush_kernel();
                self.flush_process();
            }
        }
    }

    /// Have what a hypercall on the hashed page table names leave all TLBs that may hold it.
    pub fn flush_hpt(&mut self, what: Flush) {
        match what {
            Flush::None => {}
            Flush::All => {
                self.flush_translated();
                self.shoot_down_others();
            }
            Flush::Page(page, users) => {
                if self.slb_displaced {
                    self.flush_translated();
                } else {
                    let st = &self.st;
                    for ea in slb::effective(st, &page) {
                        self.tlb.flush_range(ea, 1 << page.shift);
                    }
                    self.refetch = true;
                }
                if users != Users::One(self.index as u16) {
                    self.shoot_down_others();
                }
            }
        }
    }

    /// Have every other processor drop its translations and wait until those that run have done so (`tlbie`,
    /// H_REMOVE and kin). Called after the tables were changed. What others asked of this processor meanwhile is
    /// obeyed at the end.
    pub fn shoot_down_others(&mut self) {
        self.shoot_down(holds::TRANSLATED, Some(TlbInvalidate::All));
    }

    /// As [`Cpu::shoot_down_others`] for what an invalidation names.
    pub fn shoot_down_named(&mut self, what: TlbInvalidate) {
        if what != TlbInvalidate::None {
            self.shoot_down(holds::TRANSLATED, Some(what));
        }
    }

    /// As [`Cpu::shoot_down_others`] for entries of any mode: code was made from a page that others may write.
    pub fn shoot_down_writers(&mut self) {
        self.shoot_down(holds::TRANSLATED | holds::REAL, None);
    }

    /// Have every processor notice stores to the page at real address `ra` from here on: code is about to be made of it.
    /// Before its version is read that the code is for.
    pub fn mark_code(&mut self, ra: u64) {
        let sh = self.sh.clone();
        sh.ram.mark_code_and(ra, || {
            self.tlb.protect(ra);
            self.shoot_down_writers();
        });
    }

    fn shoot_down(&mut self, of: u32, what: Option<TlbInvalidate>) {
        if self.sh.vcpus.len() == 1 {
            return;
        }
        let epoch = self.sh.invalidations.add(what);
        // This one has dropped already what it has others drop.
        if self.link.tlb_seen.load(Ordering::SeqCst) + 1 == epoch {
            self.link.tlb_seen.store(epoch, Ordering::SeqCst);
        }
        let mut asked = [0u64; MOST_VCPUS / 64];
        for (n, v) in self.sh.vcpus.iter().enumerate() {
            // Whoever is out of the guest looks before it enters it again. Whoever holds nothing has nothing to drop: a
            // processor that spins in real mode costs no wait.
            let concerned = v.running.load(Ordering::SeqCst) && v.holds.load(Ordering::SeqCst) & of != 0;
            if n != self.index && concerned {
                v.events.fetch_or(event::TLB_FLUSH, Ordering::SeqCst);
                v.exit.store(1, Ordering::SeqCst);
                asked[n / 64] |= 1 << (n % 64);
            }
        }
        if asked == [0; MOST_VCPUS / 64] {
            return;
        }
        // This processor carries out no guest instruction while it waits: nobody need wait for it.
        self.leave_guest();
        for (n, v) in self.sh.vcpus.iter().enumerate() {
            if asked[n / 64] >> (n % 64) & 1 != 0 {
                v.wait_flushed(epoch);
            }
        }
        self.link.running.store(true, Ordering::SeqCst);
        if self.misses_flushes() {
            self.obey_flush();
        }
    }

    /// Mark this processor as executing guest instructions; anything posted before is obeyed by the caller's
    /// [`Cpu::take_events`].
    pub fn enter_guest(&self) {
        self.link.running.store(true, Ordering::SeqCst);
        if self.misses_flushes() {
            self.link.events.fetch_or(event::TLB_FLUSH, Ordering::SeqCst);
        }
        if self.link.pending() != 0 {
            self.link.exit.store(1, Ordering::SeqCst);
        }
    }

    /// Whether something was invalidated that it has not dropped yet. Whoever invalidates either finds it running or is
    /// found by this, asked after it was marked so.
    fn misses_flushes(&self) -> bool {
        self.sh.invalidations.epoch() != self.link.tlb_seen.load(Ordering::SeqCst)
    }

    /// Mark this processor as out of the guest: nobody waits for it.
    pub fn leave_guest(&self) {
        self.link.running.store(false, Ordering::SeqCst);
        self.link.note_flushed();
    }

    // ---- translation ----

    /// Translate one page and enter it in the TLB. The real address of `ea`; `None` when it is not memory.
    fn fill(&mut self, ea: u64, access: Access) -> Result<(u64, bool), Stop> {
        let mode = if access == Access::Exec { self.imode } else { self.dmode };
        self.link.note_fill(if mode == TlbMode::Real { holds::REAL } else { holds::TRANSLATED });
        let t = match crate::mmu::translate(&self.st, &self.sh, &mut self.mmu, ea, access) {
            Ok(t) => t,
            Err(f) => return Err(self.raise(f)),
        };
        let (mut read, mut write) = (t.read, t.write);
        if self.watching {
            read &= !self.page_watched(ea, Access::Read, mode);
            write &= !self.page_watched(ea, Access::Write, mode);
        }
        let rights = (read, write, t.exec);
        let entered = match t {
            _ if t.ci => false,
            _ if t.large => self.tlb.insert_large(mode, ea, t.ra, rights, access),
            _ => self.tlb.insert(mode, ea, t.ra, rights, access),
        };
        let ram = entered || t.ci && t.ra < self.sh.ram.size();
        Ok((t.ra, ram))
    }

    /// Real address of a data access, entering the TLB; `Err` for faults. True when it is memory.
    pub fn real_of(&mut self, ea: u64, access: Access) -> Result<(u64, bool), Stop> {
        if let Some(ra) =
            self.tlb.real(if access == Access::Exec { self.imode } else { self.dmode }, ea, access)
        {
            return Ok((ra, true));
        }
        self.fill(ea, access)
    }

    /// Real address of an instruction.
    #[inline]
    pub fn fetch_real(&mut self, ea: u64) -> Result<u64, Stop> {
        if let Some(ra) = self.tlb.real(self.imode, ea, Access::Exec) {
            return Ok(ra);
        }
        match self.fill(ea, Access::Exec)? {
            (ra, true) => Ok(ra),
            (_, false) => Err(self.bad_real(ea, true)),
        }
    }

    /// A real address where nothing is: a machine check, as for an uncorrectable storage error.
    #[cold]
    fn bad_real(&mut self, ea: u64, fetch: bool) -> Stop {
        tracing::debug!(ea, nia = self.st.nia, "access to an unassigned real address");
        let f = if fetch {
            Fault { vector: Vector::MachineCheck, srr1: 0x0004_0000, dar: None, dsisr: None }
        } else {
            Fault { vector: Vector::MachineCheck, srr1: 1 << 21, dar: Some(ea), dsisr: Some(0x8000) }
        };
        self.raise(f)
    }

    // ---- data accesses: little-endian numbers of the bytes ----

    /// Load 1, 2, 4 or 8 bytes.
    #[inline(always)]
    pub fn load(&mut self, ea: u64, size: u8) -> Result<u64, Stop> {
        match self.tlb.load(self.dmode, ea, size) {
            Some(v) => Ok(v),
            None => self.load_slow(ea, size),
        }
    }

    #[inline(never)]
    fn load_slow(&mut self, ea: u64, size: u8) -> Result<u64, Stop> {
        let room = 4096 - (ea & 4095);
        if room < size as u64 {
            // Both pages are reached before either is read.
            let next = self.next_page(ea, room);
            self.real_of(ea, Access::Read)?;
            self.real_of(next, Access::Read)?;
            self.watch(ea, size as u64, Access::Read)?;
            let mut v = 0u64;
            for n in 0..size as u64 {
                let at = if n < room { ea + n } else { next + (n - room) };
                v |= self.load(at, 1)? << (8 * n);
            }
            return Ok(v);
        }
        let (ra, ram) = self.fill(ea, Access::Read)?;
        self.watch(ea, size as u64, Access::Read)?;
        if ram {
            return self.sh.ram.load_le(ra, size).map_err(|_| self.bad_real(ea, false));
        }
        match self.env.mmio_load(self.index, ra, size) {
            Some(v) => Ok(v.swap_bytes() >> (64 - 8 * size as u32)),
            None => Err(self.bad_real(ea, false)),
        }
    }

    /// First address of the page after the one of `ea`, wrapped as the mode says.
    fn next_page(&self, ea: u64, room: u64) -> u64 {
        let next = ea.wrapping_add(room);
        if self.st.mode.sf { next } else { next & 0xffff_ffff }
    }

    /// Store 1, 2, 4 or 8 bytes.
    #[inline(always)]
    pub fn store(&mut self, ea: u64, v: u64, size: u8) -> Result<(), Stop> {
        if self.tlb.store(self.dmode, ea, v, size) { Ok(()) } else { self.store_slow(ea, v, size) }
    }

    #[inline(never)]
    fn store_slow(&mut self, ea: u64, v: u64, size: u8) -> Result<(), Stop> {
        let room = 4096 - (ea & 4095);
        if room < size as u64 {
            let next = self.next_page(ea, room);
            self.real_of(ea, Access::Write)?;
            self.real_of(next, Access::Write)?;
            self.watch(ea, size as u64, Access::Write)?;
            for n in 0..size as u64 {
                let at = if n < room { ea + n } else { next + (n - room) };
                self.store(at, v >> (8 * n), 1)?;
            }
            return Ok(());
        }
        let (ra, ram) = self.fill(ea, Access::Write)?;
        self.watch(ea, size as u64, Access::Write)?;
        if ram {
            self.refetch = true;
            return self.sh.ram.store_le(ra, v, size).map_err(|_| self.bad_real(ea, false));
        }
        if self.env.mmio_store(self.index, ra, (v << (64 - 8 * size as u32)).swap_bytes(), size) {
            Ok(())
        } else {
            Err(self.bad_real(ea, false))
        }
    }

    /// Load 16 bytes as a little-endian number.
    #[inline(always)]
    pub fn load16(&mut self, ea: u64) -> Result<u128, Stop> {
        if let Some(v) = self.tlb.load16(self.dmode, ea) {
            return Ok(v);
        }
        self.load16_slow(ea)
    }

    #[inline(never)]
    fn load16_slow(&mut self, ea: u64) -> Result<u128, Stop> {
        let second = ea.wrapping_add(8);
        let second = if self.st.mode.sf { second } else { second & 0xffff_ffff };
        if self.watching {
            self.real_of(ea, Access::Read)?;
            self.real_of(second, Access::Read)?;
            self.watch(ea, 16, Access::Read)?;
        }
        let lo = self.load(ea, 8)?;
        let hi = self.load(second, 8)?;
        Ok(lo as u128 | (hi as u128) << 64)
    }

    /// Store 16 bytes of a little-endian number.
    #[inline(always)]
    pub fn store16(&mut self, ea: u64, v: u128) -> Result<(), Stop> {
        if self.tlb.store16(self.dmode, ea, v) { Ok(()) } else { self.store16_slow(ea, v) }
    }

    #[inline(never)]
    fn store16_slow(&mut self, ea: u64, v: u128) -> Result<(), Stop> {
        let second = ea.wrapping_add(8);
        let second = if self.st.mode.sf { second } else { second & 0xffff_ffff };
        // Both ends are reached before either is written.
        self.real_of(ea, Access::Write)?;
        let last = ea.wrapping_add(15);
        self.real_of(if self.st.mode.sf { last } else { last & 0xffff_ffff }, Access::Write)?;
        self.watch(ea, 16, Access::Write)?;
        self.store(ea, v as u64, 8)?;
        self.store(second, (v >> 64) as u64, 8)
    }

    /// An alignment interrupt for the access at `ea`.
    #[cold]
    pub fn alignment(&mut self, ea: u64) -> Stop {
        self.raise(Fault { vector: Vector::Alignment, srr1: 0, dar: Some(ea), dsisr: None })
    }

    /// Load and reserve (little-endian number).
    pub fn larx(&mut self, ea: u64, size: u8) -> Result<u64, Stop> {
        if ea & (size as u64 - 1) != 0 {
            return Err(self.alignment(ea));
        }
        let v = self.load(ea, size)?;
        let ra = self.real_of(ea, Access::Read)?.0;
        self.st.reserve = Reserve { ea, ra, size: size as u64, value: v as u128 };
        Ok(v)
    }

    /// Store conditional: stores when the reservation is for this address and the memory still holds what was
    /// loaded. (A value stored and put back by others in between is not seen; real reservations would be lost.)
    pub fn stcx(&mut self, ea: u64, v: u64, size: u8) -> Result<bool, Stop> {
        if ea & (size as u64 - 1) != 0 {
            return Err(self.alignment(ea));
        }
        let (ra, ram) = self.real_of(ea, Access::Write)?;
        self.watch(ea, size as u64, Access::Write)?;
        let r = self.st.reserve;
        self.st.reserve.ea = u64::MAX;
        let held = r.ea != u64::MAX && r.ra == ra && r.size == size as u64 && ram;
        let done = held
            && match self.tlb.cas(self.dmode, ea, r.value as u64, v, size) {
                Some(ok) => ok,
                None => {
                    self.refetch = true;
                    self.sh.ram.cas_le(ra, r.value as u64, v, size).unwrap_or(false)
                }
            };
        if !done {
            self.stcx_failed();
        }
        Ok(done)
    }

    /// Atomic quadword load (little-endian number).
    pub fn load_quad(&mut self, ea: u64) -> Result<u128, Stop> {
        if ea & 15 != 0 {
            return Err(self.alignment(ea));
        }
        let v = self.load16(ea)?;
        // A compare and swap with what was read proves that both halves belong together; a page that can not be
        // written changes only by other processors' stores, and then two equal readings are as good.
        match self.tlb.cas16(self.dmode, ea, v, v) {
            Some(found) => Ok(found),
            None => {
                let mut v = v;
                for _ in 0..64 {
                    let again = self.load16(ea)?;
                    if again == v {
                        break;
                    }
                    v = again;
                }
                Ok(v)
            }
        }
    }

    /// Atomic quadword store (little-endian number).
    pub fn store_quad(&mut self, ea: u64, v: u128) -> Result<(), Stop> {
        if ea & 15 != 0 {
            return Err(self.alignment(ea));
        }
        self.real_of(ea, Access::Write)?;
        self.watch(ea, 16, Access::Write)?;
        if self.watching {
            return self.store16(ea, v);
        }
        let mut old = self.load16(ea).unwrap_or(0);
        while let Some(found) = self.tlb.cas16(self.dmode, ea, old, v) {
            if found == old {
                return Ok(());
            }
            old = found;
        }
        self.store16(ea, v)
    }

    /// Quadword load and reserve.
    pub fn lqarx(&mut self, ea: u64) -> Result<u128, Stop> {
        let v = self.load_quad(ea)?;
        let ra = self.real_of(ea, Access::Read)?.0;
        self.st.reserve = Reserve { ea, ra, size: 16, value: v };
        Ok(v)
    }

    /// Quadword store conditional.
    pub fn stqcx(&mut self, ea: u64, v: u128) -> Result<bool, Stop> {
        if ea & 15 != 0 {
            return Err(self.alignment(ea));
        }
        let (ra, ram) = self.real_of(ea, Access::Write)?;
        self.watch(ea, 16, Access::Write)?;
        let r = self.st.reserve;
        self.st.reserve.ea = u64::MAX;
        if r.ea == u64::MAX || r.ra != ra || r.size != 16 || !ram {
            self.stcx_failed();
            return Ok(false);
        }
        match self.tlb.cas16(self.dmode, ea, r.value, v) {
            Some(found) => Ok(found == r.value),
            None => {
                // A page with code in it: drop the code, then the store is a quiet one.
                self.sh.ram.written(ra, 16);
                self.refetch = true;
                self.fill(ea, Access::Write)?;
                Ok(self.tlb.cas16(self.dmode, ea, r.value, v) == Some(r.value))
            }
        }
    }

    /// Set the 128-byte block of `ea` to zero.
    pub fn dcbz(&mut self, ea: u64) -> Result<(), Stop> {
        if self.tlb.zero_block(self.dmode, ea) {
            return Ok(());
        }
        let (ra, ram) = self.fill(ea, Access::Write)?;
        if !ram {
            return Err(self.alignment(ea));
        }
        self.watch(ea & !127, 128, Access::Write)?;
        self.refetch = true;
        self.sh.ram.fill(ra & !127, 128, 0).map_err(|_| self.bad_real(ea, false))
    }
}
