//! What a logical unit says of itself: INQUIRY with its pages of vital product data, and mode pages.

use super::unit::{MAX_UNMAP_DESCRIPTORS, MAX_WRITE_SAME, Plan};
use super::{Kind, Sense, Task, Unit, be16};

const VENDOR: &[u8; 8] = b"RHYP    ";
const REVISION: &[u8; 4] = b"1.0 ";

/// Pages of vital product data.
const SUPPORTED: u8 = 0x00;
const SERIAL: u8 = 0x80;
const IDENTIFICATION: u8 = 0x83;
const BLOCK_LIMITS: u8 = 0xb0;
const BLOCK_CHARACTERISTICS: u8 = 0xb1;
const PROVISIONING: u8 = 0xb2;

/// Mode pages.
const ERROR_RECOVERY: u8 = 0x01;
const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0a;
const CD_CAPABILITIES: u8 = 0x2a;
const ALL_PAGES: u8 = 0x3f;

impl Unit {
    fn device_type(&self) -> u8 {
        match self.kind {
            Kind::Disk => 0,
            Kind::Cdrom => 5,
        }
    }

    fn product(&self) -> &'static [u8; 16] {
        match self.kind {
            Kind::Disk => b"Virtual disk    ",
            Kind::Cdrom => b"Virtual CD-ROM  ",
        }
    }

    /// INQUIRY (SPC-4 6.4).
    pub(super) fn inquiry(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        let allocation = be16(c, 3).into();
        if c[1] & 1 != 0 {
            return Ok(Plan::Data(self.vital(c[2])?, allocation));
        }
        if c[2] != 0 {
            return Err(Sense::BAD_FIELD);
        }
        let mut d = vec![0; 36];
        d[0] = self.device_type();
        d[1] = if self.kind == Kind::Cdrom { 0x80 } else { 0 };
        d[2] = 6; // SPC-4
        d[3] = 0x12; // addresses have a hierarchy; response format 2
        d[4] = 36 - 5;
        d[7] = 2; // commands can be queued
        d[8..16].copy_from_slice(VENDOR);
        d[16..32].copy_from_slice(self.product());
        d[32..36].copy_from_slice(REVISION);
        // Versions claimed: SAM-5, SPC-4, SBC-3 or MMC-6.
        d.resize(58, 0);
        let last = if self.kind == Kind::Disk { 0x04c0 } else { 0x04e0 };
        for standard in [0x00a0u16, 0x0460, last] {
            d.extend(standard.to_be_bytes());
        }
        d.resize(74, 0);
        d[4] = 74 - 5;
        Ok(Plan::Data(d, allocation))
    }

    /// A page of vital product data (SPC-4 7.8, SBC-3 6.5).
    fn vital(&self, page: u8) -> Result<Vec<u8>, Sense> {
        let disk = self.kind == Kind::Disk;
        let body = match page {
            SUPPORTED => {
                let mut pages = vec![SUPPORTED, SERIAL, IDENTIFICATION];
                if disk {
                    pages.extend([BLOCK_LIMITS, BLOCK_CHARACTERISTICS, PROVISIONING]);
                }
                pages
            }
            SERIAL => self.serial.clone().into_bytes(),
            IDENTIFICATION => {
                // One designator: T10 vendor, product, serial number; ASCII, of the logical unit.
                let id = [&VENDOR[..], self.product(), self.serial.as_bytes()].concat();
                let mut d = vec![2, 1, 0, id.len() as u8];
                d.extend(id);
                d
            }
            BLOCK_LIMITS if disk => {
                let mut d = vec![0; 60];
                // Optimal granularity of transfers and of unmapping: 4 KiB.
                d[2..4].copy_from_slice(&8u16.to_be_bytes());
                d[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
                d[20..24].copy_from_slice(&MAX_UNMAP_DESCRIPTORS.to_be_bytes());
                d[24..28].copy_from_slice(&8u32.to_be_bytes());
                d[32..40].copy_from_slice(&MAX_WRITE_SAME.to_be_bytes());
                d
            }
            BLOCK_CHARACTERISTICS if disk => {
                let mut d = vec![0; 60];
                d[0..2].copy_from_slice(&1u16.to_be_bytes()); // nothing rotates
                d
            }
            // UNMAP and both WRITE SAME unmap; thin.
            PROVISIONING if disk => vec![0, if self.read_only() { 0 } else { 0xe0 }, 2, 0],
            _ => return Err(Sense::BAD_FIELD),
        };
        let mut d = vec![self.device_type(), page];
        d.extend((body.len() as u16).to_be_bytes());
        d.extend(body);
        Ok(d)
    }

    /// One mode page: its present or, with `mask`, its changeable values. Nothing can be changed.
    fn mode_page(&self, page: u8, mask: bool) -> Option<Vec<u8>> {
        let disk = self.kind == Kind::Disk;
        let mut d = match page {
            ERROR_RECOVERY if disk => vec![page, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ERROR_RECOVERY => vec![page, 6, 0, 0, 0, 0, 0, 0],
            // There is a write cache unless nothing is written.
            CACHING if disk => {
                let mut d = vec![0; 20];
                (d[0], d[1], d[2]) = (page, 18, if self.read_only() { 0 } else { 4 });
                d
            }
            CONTROL if disk => vec![page, 10, 2, 0x10, 0, 0, 0, 0, 0, 0, 0, 0],
            CD_CAPABILITIES if !disk => {
                let mut d = vec![0; 22];
                (d[0], d[1]) = (page, 20);
                d[2] = 0x3b; // reads all kinds of CD and DVD
                d[4] = 0x71; // multisession, mode 2
                d[6] = 0x29; // a tray, ejects, can be locked
                d[8..10].copy_from_slice(&706u16.to_be_bytes()); // kB/s
                d[12..14].copy_from_slice(&512u16.to_be_bytes()); // KiB of buffer
                d[14..16].copy_from_slice(&706u16.to_be_bytes());
                d
            }
            _ => return None,
        };
        if mask {
            d[2..].fill(0);
        }
        Some(d)
    }

    fn mode_pages(&self, page: u8, mask: bool) -> Result<Vec<u8>, Sense> {
        if page != ALL_PAGES {
            return self.mode_page(page, mask).ok_or(Sense::BAD_FIELD);
        }
        let all = [ERROR_RECOVERY, CACHING, CONTROL, CD_CAPABILITIES];
        Ok(all.iter().filter_map(|&p| self.mode_page(p, mask)).flatten().collect())
    }

    /// Medium type, write protection and "FUA is understood".
    fn device_specific(&self) -> u8 {
        match self.kind {
            Kind::Disk => 0x10 | if self.read_only() { 0x80 } else { 0 },
            Kind::Cdrom => 0,
        }
    }

    /// MODE SENSE 6 and 10 (SPC-4 6.11, 6.12).
    pub(super) fn mode_sense(&self, c: &[u8; 16], long: bool) -> Result<Plan, Sense> {
        let (control, page) = (c[2] >> 6, c[2] & 0x3f);
        if control == 3 {
            return Err(Sense { key: 5, code: 0x3900 }); // saved values there are none
        }
        if c[3] != 0 && c[3] != 0xff {
            return Err(Sense::BAD_FIELD);
        }
        let pages = self.mode_pages(page, control == 1)?;
        let mut block = Vec::new();
        if c[1] & 8 == 0 && self.kind == Kind::Disk {
            let blocks = self.blocks();
            block.extend(u32::try_from(blocks).unwrap_or(u32::MAX).to_be_bytes());
            block.extend((self.block_size() as u32).to_be_bytes());
        }
        let (len, specific) = (block.len() + pages.len(), self.device_specific());
        let mut d = Vec::new();
        let allocation = if long {
            d.extend((len as u16 + 6).to_be_bytes());
            d.extend([0, specific, 0, 0, 0, block.len() as u8]);
            u64::from(be16(c, 7))
        } else {
            d.extend([len as u8 + 3, 0, specific, block.len() as u8]);
            u64::from(c[4])
        };
        d.extend(block);
        d.extend(pages);
        Ok(Plan::Data(d, allocation))
    }

    /// MODE SELECT 6 and 10: what is so already is taken, changes are refused.
    pub(super) fn mode_select(&self, task: &Task) -> Result<Plan, Sense> {
        let c = &task.cdb;
        let long = c[0] == 0x55;
        let len = if long { be16(c, 7).into() } else { usize::from(c[4]) };
        if len == 0 {
            return Ok(Plan::Nothing);
        }
        let mut list = vec![0; len.min(task.from.len() as usize)];
        task.from.read(0, &mut list);
        let (head, block) = match (long, list.len()) {
            (true, 8..) => (8, be16(&list, 6).into()),
            (false, 4..) => (4, usize::from(list[3])),
            _ => return Err(Sense::BAD_LIST_LENGTH),
        };
        let mut rest = list.get(head + block..).ok_or(Sense::BAD_LIST_LENGTH)?;
        while let [code, len, ..] = *rest {
            let page = self.mode_page(code & 0x3f, false).ok_or(Sense::BAD_LIST)?;
            let end = usize::from(len) + 2;
            let given = rest.get(..end).ok_or(Sense::BAD_LIST_LENGTH)?;
            if given[1..] != page[1..] {
                return Err(Sense::BAD_LIST);
            }
            rest = &rest[end..];
        }
        Ok(Plan::Nothing)
    }
}
