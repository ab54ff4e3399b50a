//! The hypercalls by which a guest configures the controller. Each answers what LoPAR says for arguments
//! out of range; numbers in the names of [`HcallError`] count the flags as the first parameter.

use super::queue::Queue;
use super::source::{PQ_OFF, PQ_RESET, Source};
use super::{ESB_BASE, ESB_SHIFT, PAGE_SHIFT, PRIORITIES, RESERVED_PRIORITY, SOURCE_ESB_SIZE, Xive};
use crate::lock;
use crate::rc::{HResult, HcallError};
use device::irq::IrqKind;
use std::sync::{Mutex, MutexGuard};

/// The priority that masks a source.
const MASKED: u64 = 0xff;
/// Bytes of a pair of reporting cache lines.
const REPORT_SIZE: u64 = 256;

/// What H_INT_GET_SOURCE_INFO answers, in the order of the registers from r4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// 8: use H_INT_ESB; 4: level source; 2: the management page also triggers; 1: ends by a store, too.
    pub flags: u64,
    /// Real address of the management page, or all ones.
    pub management_page: u64,
    /// Real address of the trigger page, or all ones.
    pub trigger_page: u64,
    /// log2 of the size of a page.
    pub page_shift: u64,
}

/// What H_INT_GET_QUEUE_CONFIG answers, in the order of the registers from r4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// 2: generation of the entry that is written next (if asked for); 1: always notify.
    pub flags: u64,
    /// Real address of the ring, 0 if there is none.
    pub addr: u64,
    /// log2 of its size, 0 if there is none.
    pub shift: u64,
    /// Entry that is written next (if asked for, else 0).
    pub index: u64,
}

impl Xive {
    /// H_INT_GET_SOURCE_INFO: how to reach a source's state bits.
    pub fn get_source_info(&self, flags: u64, number: u64) -> HResult<SourceInfo> {
        no_flags(flags, 0)?;
        let is_lsi = self.hcall_source(number)?.kind == Some(IrqKind::Lsi);
        let page_shift = PAGE_SHIFT as u64;
        if is_lsi {
            let none = u64::MAX;
            return Ok(SourceInfo { flags: 0b1101, management_page: none, trigger_page: none, page_shift });
        }
        let trigger_page = ESB_BASE + (number << ESB_SHIFT);
        Ok(SourceInfo {
            flags: 1,
            management_page: trigger_page + (1 << PAGE_SHIFT),
            trigger_page,
            page_shift,
        })
    }

    /// H_INT_SET_SOURCE_CONFIG: assigns a source to a target server and priority. Flags: 2 sets the event
    /// number to `eisn`, 1 masks. Priority 0xff masks as well; then the target does not matter. When this
    /// returns no event is on its way to the old queue.
    pub fn set_source_config(
        &self,
        flags: u64,
        number: u64,
        target: u64,
        priority: u64,
        eisn: u64,
    ) -> HResult<()> {
        no_flags(flags, 0b11)?;
        let mut s = self.hcall_source(number)?;
        let mut new = *s;
        if priority == MASKED {
            new.masked = true;
        } else {
            new.priority = usable_priority(priority).ok_or(HcallError::P4)?;
            new.place = self.servers.place(target).ok_or(HcallError::P3)? as u16;
            new.masked = flags & 1 != 0;
        }
        if flags & 2 != 0 {
            new.eisn = u32::try_from(eisn).ok().filter(|e| e >> 31 == 0).ok_or(HcallError::P5)?;
        }
        *s = new;
        Ok(())
    }

    /// H_INT_GET_SOURCE_CONFIG: a source's target server, priority (0xff: masked) and event number.
    pub fn get_source_config(&self, flags: u64, number: u64) -> HResult<(u64, u64, u64)> {
        no_flags(flags, 0)?;
        let s = self.hcall_source(number)?;
        let target = self.servers.numbers().get(s.place as usize).copied().unwrap_or(0);
        let priority = if s.masked { MASKED } else { s.priority as u64 };
        Ok((target as u64, priority, s.eisn as u64))
    }

    /// H_INT_GET_QUEUE_INFO: the real address of the queue's notification management page and log2 of
    /// that page's size.
    pub fn get_queue_info(&self, flags: u64, target: u64, priority: u64) -> HResult<(u64, u64)> {
        no_flags(flags, 0)?;
        let at = self.queue_at(target, priority)?;
        Ok((ESB_BASE + SOURCE_ESB_SIZE + ((at as u64) << ESB_SHIFT), PAGE_SHIFT as u64))
    }

    /// H_INT_SET_QUEUE_CONFIG: gives the queue of a server and priority a ring of `1 << shift` bytes at
    /// the real address `addr`, or takes it away (`shift` 0). Flag 1: always notify. When this returns no
    /// event is on its way to the old ring.
    pub fn set_queue_config(
        &self,
        flags: u64,
        target: u64,
        priority: u64,
        addr: u64,
        shift: u64,
    ) -> HResult<()> {
        no_flags(flags, 1)?;
        let at = self.queue_at(target, priority)?;
        let queue = match shift {
            0 => Queue::RESET,
            12 | 16 | 21 | 24 => {
                let size = 1u64 << shift;
                if addr & (size - 1) != 0 || !self.memory.contains(addr, size) {
                    return Err(HcallError::P4);
                }
                Queue {
                    enabled: true,
                    always_notify: flags & 1 != 0,
                    addr,
                    shift: shift as u8,
                    index: 0,
                    generation: true,
                    notify_pq: PQ_RESET,
                    escalate_pq: PQ_OFF,
                }
            }
            _ => return Err(HcallError::P5),
        };
        *lock(&self.queues[at]) = queue;
        Ok(())
    }

    /// H_INT_GET_QUEUE_CONFIG: a queue's ring. Flag 1: with the position, for debugging.
    pub fn get_queue_config(&self, flags: u64, target: u64, priority: u64) -> HResult<QueueConfig> {
        no_flags(flags, 1)?;
        let q = *lock(&self.queues[self.queue_at(target, priority)?]);
        let debug = flags & 1 != 0;
        Ok(QueueConfig {
            flags: ((debug && q.generation) as u64) << 1 | q.always_notify as u64,
            addr: q.addr,
            shift: q.shift as u64,
            index: if debug { q.index as u64 } else { 0 },
        })
    }

    /// H_INT_SET_OS_REPORTING_LINE: where the calling processor's context is written when it acknowledges
    /// an interrupt by a store; all ones for nowhere.
    pub fn set_os_reporting_line(&self, server: u32, flags: u64, line: u64) -> HResult<()> {
        no_flags(flags, 0)?;
        let place = self.servers.place(server as u64).ok_or(HcallError::Hardware)?;
        let report = match line {
            u64::MAX => None,
            _ if line % REPORT_SIZE == 0 && self.memory.contains(line, REPORT_SIZE) => Some(line),
            _ => return Err(HcallError::P2),
        };
        self.with_thread(place, |t| t.report = report);
        Ok(())
    }

    /// H_INT_GET_OS_REPORTING_LINE: the reporting lines of a server, all ones if there are none.
    pub fn get_os_reporting_line(&self, flags: u64, target: u64) -> HResult<u64> {
        no_flags(flags, 0)?;
        let place = self.servers.place(target).ok_or(HcallError::P2)?;
        Ok(lock(&self.threads[place]).report.unwrap_or(u64::MAX))
    }

    /// H_INT_ESB: a load from a source's management page, or (flag 1) a store to it. Answers the value
    /// loaded, all ones for a store.
    pub fn esb(&self, flags: u64, number: u64, offset: u64, _data: u64) -> HResult<u64> {
        no_flags(flags, 1)?;
        drop(self.hcall_source(number)?);
        if offset >> PAGE_SHIFT != 0 || offset % 8 != 0 {
            return Err(HcallError::P3);
        }
        // Between the look-up and here the source may go; then it is as if the pages were not there.
        let number = number as u32;
        if flags & 1 != 0 {
            self.management_store(number, offset);
            return Ok(u64::MAX);
        }
        Ok(self.management_load(number, offset).unwrap_or(u64::MAX))
    }

    /// H_INT_SYNC: when this returns, all events of the source up to now are in its queue.
    pub fn sync(&self, flags: u64, number: u64) -> HResult<()> {
        no_flags(flags, 0)?;
        // An event travels under its source's lock, which is therefore all there is to wait for.
        self.hcall_source(number).map(drop)
    }

    /// H_INT_RESET: masks all sources and takes all queues and reporting lines away.
    pub fn int_reset(&self, flags: u64) -> HResult<()> {
        no_flags(flags, 0)?;
        self.reset_routes();
        for place in 0..self.threads.len() {
            self.with_thread(place, |t| t.report = None);
        }
        Ok(())
    }

    /// A claimed source, locked.
    fn hcall_source(&self, number: u64) -> HResult<MutexGuard<'_, Source>> {
        let source: &Mutex<Source> =
            usize::try_from(number).ok().and_then(|n| self.sources.get(n)).ok_or(HcallError::P2)?;
        let s = lock(source);
        if s.kind.is_some() { Ok(s) } else { Err(HcallError::P2) }
    }

    /// The place of the queue of a server and priority, the second and third parameter.
    fn queue_at(&self, target: u64, priority: u64) -> HResult<usize> {
        let priority = usable_priority(priority).ok_or(HcallError::P3)?;
        let place = self.servers.place(target).ok_or(HcallError::P2)?;
        Ok(place * PRIORITIES + priority as usize)
    }
}

fn no_flags(flags: u64, but: u64) -> HResult<()> {
    if flags & !but == 0 { Ok(()) } else { Err(HcallError::Parameter) }
}

fn usable_priority(priority: u64) -> Option<u8> {
    u8::try_from(priority).ok().filter(|&p| p < RESERVED_PRIORITY)
}
