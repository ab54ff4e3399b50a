//! What the partition is to the PAPR interface ([`papr::Platform`]) and to its firmware ([`firmware::OfHost`]).

use std::sync::{Arc, PoisonError};

use arch::shared::event;
use arch::{Cpu, Shared};
use device::DeviceTree;
use devices::intc::Intc;
use devices::nvram::Nvram;
use devices::phb::Phb;
use devices::rtc::Rtc;
use devices::vterm::Vterms;
use firmware::of_client::{BadAddress, CasOutcome, DiskError, DiskInfo, OfHost};
use papr::rc::HResult;
use papr::{Capacity, End, HcallFlow, PaprState, PartitionConfig, Platform};

use crate::Partition;
use crate::firmware_disks::{FirmwareDisk, Medium};

impl Platform for Partition {
    fn config(&self) -> &PartitionConfig {
        &self.config
    }
    fn papr(&self) -> &PaprState {
        &self.papr
    }
    fn shared(&self) -> &Arc<Shared> {
        &self.sh
    }
    fn intc(&self) -> &Intc {
        &self.intc
    }
    fn terminals(&self) -> &Vterms {
        &self.terminals
    }
    fn nvram(&self) -> &Nvram {
        &self.nvram
    }
    fn rtc(&self) -> &Rtc {
        &self.rtc
    }
    fn vio(&self) -> &papr::vio::VioBus {
        &self.io.vio
    }
    fn phb(&self) -> Option<&Phb> {
        self.io.phb.as_ref()
    }

    fn of_client(&self, cpu: &mut Cpu, args: u64) -> HcallFlow {
        let mut slot = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = slot.as_mut() else {
            cpu.st.gpr[3] = papr::rc::Rc::FUNCTION.0 as u64;
            return HcallFlow::Continue;
        };
        let mut host = Host { p: self, cpu, flow: HcallFlow::Continue, jump: None };
        let r3 = client.call(&mut host, args);
        let Host { flow, jump, .. } = host;
        if let Some((entry, a, len)) = jump {
            // Another program takes the client's place.
            let r5 = cpu.st.gpr[5];
            cpu.st.gpr = [0; 32];
            cpu.st.gpr[1] = self.of_stack();
            (cpu.st.gpr[5], cpu.st.gpr[6], cpu.st.gpr[7]) = (r5, a, len);
            cpu.st.nia = entry;
            return HcallFlow::Resume;
        }
        cpu.st.gpr[3] = r3;
        flow
    }

    fn firmware_cas(&self, cpu: &mut Cpu, vectors: u64, buffer: u64, size: u64) -> HResult {
        self.negotiate_for_firmware(vectors, buffer, size)?;
        cpu.flush_translated();
        Ok(())
    }

    fn capacity(&self) -> Capacity {
        let dedicated = self.config.dedicated();
        let Some(seat) = self.seat() else { return dedicated };
        let (pool, share) = (seat.pool(), seat.share().map(|s| s.sharing));
        let whole = Capacity {
            unallocated: pool.free,
            pool: pool.processors,
            machine: seat.processors(),
            pool_idle: pool.idle,
            ..dedicated
        };
        match share {
            Some(dispatch::Sharing::Shared { entitled, weight }) => {
                Capacity { shared: true, entitled, weight, ..whole }
            }
            _ => whole,
        }
    }

    fn set_capacity(&self, entitled: u32, weight: u8) -> HResult {
        let capped = self.capacity().weight.is_none();
        // No guest takes from its neighbours what it was not given.
        let most = self.granted_weight();
        let given = if capped { None } else { Some(weight.min(most)) };
        self.change_share(Some(entitled), given).map_err(|_| papr::rc::Rc::CONSTRAINED)?;
        if given.is_some_and(|g| g < weight) { Err(papr::rc::Rc::CONSTRAINED) } else { Ok(()) }
    }

    fn end(&self, how: End) {
        self.finish(how);
    }
}

/// The partition during one call of the client interface.
struct Host<'a> {
    p: &'a Partition,
    cpu: &'a mut Cpu,
    flow: HcallFlow,
    jump: Option<(u64, u64, u64)>,
}

impl OfHost for Host<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        self.p.sh.ram.read(addr, buf).map_err(|_| BadAddress)
    }
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), BadAddress> {
        self.p.sh.ram.write(addr, data).map_err(|_| BadAddress)
    }
    fn console_write(&mut self, data: &[u8]) {
        self.p.console.write(data);
    }
    fn console_read(&mut self, buf: &mut [u8]) -> usize {
        self.p.terminals.find(0).map_or(0, |t| t.take(buf))
    }
    fn cas(&mut self, tree: &mut DeviceTree, vectors: &[u8]) -> CasOutcome {
        let outcome = papr::cas::negotiate(self.p, tree, vectors);
        self.cpu.st.level = self.p.papr.level();
        let msr = self.cpu.st.msr;
        self.cpu.set_msr(msr);
        self.cpu.flush_translated();
        outcome
    }
    fn instantiate_rtas(&mut self, base: u64) {
        self.p.papr.set_rtas_base(base);
    }
    fn exit(&mut self) {
        self.p.finish(End::PowerOff);
        self.flow = HcallFlow::Leave;
    }
    fn boot(&mut self, _spec: &str) {
        self.p.finish(End::Reboot);
        self.flow = HcallFlow::Leave;
    }
    fn milliseconds(&mut self) -> u32 {
        (self.p.sh.tb.now() / (arch::time::TB_HZ / 1000)) as u32
    }
    fn disk_info(&mut self, path: &str) -> Option<DiskInfo> {
        self.p.firmware_disk(path, self.cpu.index).map(|d| d.info())
    }
    fn disk_read(&mut self, path: &str, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let disk = self.p.firmware_disk(path, self.cpu.index).ok_or(DiskError)?;
        let p = self.p;
        let mut read = || disk.read(offset, buf, &|| !p.is_ending());
        match disk.medium {
            Medium::Image(_) => read(),
            // Whoever serves it may need the processor for that.
            Medium::Served(..) => p.away(self.cpu.index, read),
        }
    }
    fn quiesce(&mut self) {
        self.p.io.served.iter().for_each(|s| s.disconnect());
    }
    fn chain(&mut self, entry: u64, args: u64, len: u64) -> bool {
        self.jump = Some((entry, args, len));
        true
    }
}

impl Partition {
    /// The disk whose node has this path, for a client on processor `index`.
    fn firmware_disk(&self, path: &str, index: usize) -> Option<FirmwareDisk> {
        let found = || self.found_disks.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |d: &&FirmwareDisk| d.path == path;
        let known = self.io.firmware_disks.iter().chain(&*found()).find(named).cloned();
        if known.is_some() {
            return known;
        }
        // A partition that came from elsewhere has yet to look.
        let server = self.io.served.iter().find(|s| s.is_on(path))?;
        let disks = self.away(index, || server.find(&|| !self.is_ending()));
        let new = disks.iter().find(named).cloned()?;
        found().push(new.clone());
        Some(new)
    }

    /// Waits for something that another partition does; meanwhile others have the processor `index`.
    fn away<R>(&self, index: usize, wait: impl FnOnce() -> R) -> R {
        let Some(seat) = self.seat() else { return wait() };
        seat.cede(index);
        let result = wait();
        seat.wake(index);
        // It goes on when it is its turn.
        self.sh.vcpus[index].post(event::LEAVE);
        result
    }

    /// Note how the guest ends, the first time, and have all processors leave.
    pub(crate) fn finish(&self, how: End) {
        let mut slot = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(how);
        }
        drop(slot);
        self.wake_up.notify_all();
        for link in &self.sh.vcpus {
            link.post(event::LEAVE);
        }
    }
}
