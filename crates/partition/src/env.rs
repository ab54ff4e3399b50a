//! What the partition is to its processors ([`arch::Env`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::shared::event;
use arch::{Cpu, Env, Exit, Flow, Vector};
use papr::{HcallFlow, Platform};

use crate::Partition;

/// The partition as its processors see it.
pub struct Surroundings(pub Arc<Partition>);

impl Env for Surroundings {
    fn hcall(&self, cpu: &mut Cpu) -> Flow {
        match papr::hcall(&*self.0, cpu) {
            HcallFlow::Continue => Flow::Continue,
            HcallFlow::Cede => Flow::Exit(Exit::Cede),
            HcallFlow::Confer(_) if self.0.ignore_confer.load(Ordering::Relaxed) => Flow::Continue,
            HcallFlow::Confer(to) => Flow::Exit(Exit::Confer(to)),
            HcallFlow::WaitProd => Flow::Exit(Exit::WaitProd),
            HcallFlow::Stop => Flow::Exit(Exit::Stop),
            HcallFlow::Leave => Flow::Exit(Exit::Leave),
            HcallFlow::Resume => Flow::Resume,
        }
    }

    fn mmio_load(&self, vcpu: usize, ra: u64, size: u8) -> Option<u64> {
        if let Some(v) = self.0.io.phb.as_ref().and_then(|p| p.load(ra, size)) {
            return Some(v.swap_bytes() >> (64 - 8 * size as u32));
        }
        self.0.intc().xive().ok()?.load(vcpu as u32, ra, size as u32)
    }

    fn mmio_store(&self, vcpu: usize, ra: u64, v: u64, size: u8) -> bool {
        let little = (v << (64 - 8 * size as u32)).swap_bytes();
        if self.0.io.phb.as_ref().is_some_and(|p| p.store(ra, little, size)) {
            return true;
        }
        self.0.intc().xive().is_ok_and(|x| x.store(vcpu as u32, ra, size as u32, v))
    }

    fn set_decrementer(&self, vcpu: usize, expiry: u64) {
        self.0.timer.set(vcpu, expiry);
    }

    fn doorbell(&self, vcpu: usize, tir: u32) {
        let threads = self.threads_per_core();
        let core = vcpu as u32 / threads;
        if tir < threads
            && let Some(link) = self.0.sh.vcpus.get((core * threads + tir) as usize)
        {
            link.post(event::DOORBELL);
        }
    }

    fn absent(&self, mnemonic: &'static str, raw: u32) {
        self.0.report_absent(mnemonic, raw);
    }

    fn threads_per_core(&self) -> u32 {
        self.0.config().threads.max(1)
    }

    fn non_maskable(&self, cpu: &mut Cpu, vector: Vector) {
        papr::rtas::fwnmi::deliver(&*self.0, cpu, vector);
    }

    fn random(&self) -> Option<u64> {
        devices::rng::h_random().ok()
    }
}
