//! Commands that only CD-ROMs know (MMC-6).

use super::unit::Plan;
use super::{Sense, Unit, be16};

/// The feature "random readable" and profiles of GET CONFIGURATION.
const PROFILE_CD: u16 = 0x08;
const PROFILE_DVD: u16 = 0x10;
/// Most blocks of a CD; larger media are DVDs.
const CD_BLOCKS: u64 = 80 * 60 * 75;

impl Unit {
    pub(super) fn cdrom(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        match c[0] {
            0x43 => self.read_toc(c),
            0x46 => self.get_configuration(c),
            0x4a => self.event_status(c),
            0x51 => self.disc_information(c),
            // MECHANISM STATUS: one slot, no changer.
            0xbd => Ok(Plan::Data(
                vec![0, if self.tray_open() { 0x10 } else { 0 }, 0, 0, 0, 1, 0, 0],
                be16(c, 8).into(),
            )),
            // SET CD SPEED: as fast as it goes.
            0xbb => Ok(Plan::Nothing),
            _ => Err(Sense::BAD_OPCODE),
        }
    }

    /// An address on the disc, as a number or as minutes, seconds and frames with the two seconds of lead-in.
    fn address(block: u64, msf: bool) -> [u8; 4] {
        if !msf {
            return (block.min(u64::from(u32::MAX)) as u32).to_be_bytes();
        }
        let frames = block.saturating_add(150);
        let minutes = (frames / (60 * 75)).min(255) as u8;
        [0, minutes, (frames / 75 % 60) as u8, (frames % 75) as u8]
    }

    /// One data track and the lead-out.
    fn read_toc(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        self.need_medium()?;
        let (msf, format, start) = (c[1] & 2 != 0, c[2] & 0xf, c[6]);
        let allocation = be16(c, 7).into();
        // The control field of older drives.
        let format = if format == 0 { c[9] >> 6 } else { format };
        let mut entries = Vec::new();
        let mut entry = |track: u8, block: u64| {
            entries.extend([0, 0x14, track, 0]);
            entries.extend(Self::address(block, msf));
        };
        match format {
            0 => {
                if start > 1 && start != 0xaa {
                    return Err(Sense::BAD_FIELD);
                }
                if start <= 1 {
                    entry(1, 0);
                }
                entry(0xaa, self.blocks());
            }
            // Sessions: one, its first track is 1.
            1 => entry(1, 0),
            _ => return Err(Sense::BAD_FIELD),
        }
        let mut d = (entries.len() as u16 + 2).to_be_bytes().to_vec();
        d.extend([1, 1]);
        d.extend(entries);
        Ok(Plan::Data(d, allocation))
    }

    fn get_configuration(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        let (which, from) = (c[1] & 3, be16(c, 2));
        if which == 3 {
            return Err(Sense::BAD_FIELD);
        }
        let now = match (self.tray_open(), self.blocks() > CD_BLOCKS) {
            (true, _) => 0,
            (false, false) => PROFILE_CD,
            (false, true) => PROFILE_DVD,
        };
        let mut d = vec![0; 6];
        d.extend(now.to_be_bytes());
        // Feature numbers, "persistent and current", and their bytes.
        let mut profiles = Vec::new();
        for p in [PROFILE_DVD, PROFILE_CD] {
            profiles.extend(p.to_be_bytes());
            profiles.extend([u8::from(p == now), 0]);
        }
        let core = [0, 0, 0, 1, 1, 0, 0, 0]; // SCSI
        let removable = [0x39, 0, 0, 0]; // tray, ejects, can be locked
        for (number, body) in [(0u16, &profiles[..]), (1, &core), (3, &removable)] {
            let wanted = match which {
                2 => number == from,
                _ => number >= from,
            };
            if wanted {
                d.extend(number.to_be_bytes());
                d.extend([if number == 0 { 3 } else { 0x0b }, body.len() as u8]);
                d.extend(body);
            }
        }
        let len = d.len() as u32 - 4;
        d[..4].copy_from_slice(&len.to_be_bytes());
        Ok(Plan::Data(d, be16(c, 7).into()))
    }

    /// GET EVENT STATUS NOTIFICATION, polled: the medium class.
    fn event_status(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        const MEDIA: u8 = 4;
        if c[1] & 1 == 0 {
            return Err(Sense::BAD_FIELD);
        }
        let mut d = if c[4] & 1 << MEDIA != 0 {
            let state = if self.tray_open() { 1 } else { 2 };
            vec![0, 0, MEDIA, 1 << MEDIA, 0, state, 0, 0]
        } else {
            vec![0, 0, 0x80, 1 << MEDIA]
        };
        let len = d.len() as u16 - 2;
        d[..2].copy_from_slice(&len.to_be_bytes());
        Ok(Plan::Data(d, be16(c, 7).into()))
    }

    /// READ DISC INFORMATION: a finished disc with one session.
    fn disc_information(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        self.need_medium()?;
        if c[1] & 7 != 0 {
            return Err(Sense::BAD_FIELD);
        }
        let mut d = vec![0; 34];
        (d[1], d[2]) = (32, 0x0e);
        (d[3], d[4], d[5], d[6]) = (1, 1, 1, 1);
        d[7] = 0x20;
        Ok(Plan::Data(d, be16(c, 7).into()))
    }
}
