use super::*;
use crate::files::tests::{fat16, iso, on_disk};
use crate::partition_table::tests::put_entry;

const PROGRAM: &[u8] = b"\x7FELF and the rest";

fn boot(bytes: &[u8], place: &str) -> Option<BootProgram> {
    on_disk(bytes, |d| find(d, &BootPlace::parse(place)))
}

#[test]
fn a_prep_partition() {
    let mut disk = vec![0; 64 << 10];
    put_entry(&mut disk, 0, 0, 0x83, 1, 4);
    put_entry(&mut disk, 0, 1, 0x41, 8, 16);
    assert_eq!(boot(&disk, ""), None, "nothing in it");
    disk[8 * 512..][..PROGRAM.len()].copy_from_slice(PROGRAM);
    let found = boot(&disk, "").unwrap();
    assert_eq!((found.place.as_str(), found.image.len()), ("2", 16 * 512));
    assert!(boot(&disk, "2").is_some() && boot(&disk, "1").is_none() && boot(&disk, "9").is_none());
    put_entry(&mut disk, 0, 1, 0x83, 8, 16);
    assert_eq!(boot(&disk, ""), None, "of another type");
}

#[test]
fn a_prep_partition_in_a_gpt() {
    let mut disk = vec![0; 64 << 10];
    put_entry(&mut disk, 0, 0, 0xEE, 1, 127);
    disk[512..520].copy_from_slice(b"EFI PART");
    (disk[584], disk[592], disk[596]) = (2, 128, 128);
    let entry = &mut disk[1024..];
    entry[..16].copy_from_slice(&[
        0x38, 0x2D, 0x1A, 0x9E, 0x12, 0xC6, 0x16, 0x43, 0xAA, 0x26, 0x8B, 0x49, 0x52, 0x1E, 0x5A, 0x8B,
    ]);
    (entry[32], entry[40]) = (40, 47);
    disk[40 * 512..][..PROGRAM.len()].copy_from_slice(PROGRAM);
    assert_eq!(boot(&disk, "").unwrap().place, "1");
    disk[1024] = 0;
    assert_eq!(boot(&disk, ""), None);
}

#[test]
fn boot_scripts() {
    let script = b"<chrp-boot>\n<description>x</description>\n<boot-script>boot &device;:\\boot\\core.elf  quiet two\n</boot-script></chrp-boot>";
    let cd = iso(&[("ppc", "bootinfo.txt", script), ("boot", "core.elf", PROGRAM)]);
    let want = |place: &str, args: &str| BootProgram {
        image: PROGRAM.to_vec(),
        place: place.into(),
        args: args.into(),
    };
    assert_eq!(boot(&cd, "").unwrap(), want("\\boot\\core.elf", "quiet two"));
    assert_eq!(boot(&cd, "\\BOOT\\core.elf").unwrap(), want("\\BOOT\\core.elf", ""));
    assert_eq!(boot(&cd, "\\ppc\\bootinfo.txt"), None, "no program");

    // On a partition, and the script names another one.
    let script =
        b"<CHRP-BOOT><BOOT-SCRIPT>boot &device;:&partition;,\\ppc\\core.elf</BOOT-SCRIPT></CHRP-BOOT>";
    let volume = fat16(&[("ppc/bootinfo.txt", script), ("ppc/core.elf", PROGRAM)]);
    let mut disk = vec![0; 512 * 64];
    put_entry(&mut disk, 0, 2, 0x0C, 64, (volume.len() / 512) as u32);
    disk.extend(&volume);
    assert_eq!(boot(&disk, "").unwrap(), want("3,\\ppc\\core.elf", ""));
    for bad in ["", "<boot-script>", "<boot-script>boot</boot-script>", "</boot-script><boot-script>boot x:1"]
    {
        assert_eq!(Script::parse(bad), None, "{bad}");
    }
}

fn nvram(common: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[0] = 0x7F;
    bytes[2..4].copy_from_slice(&4u16.to_be_bytes());
    let mut part = vec![0x70, 0, 0, 64];
    part.extend(b"common\0\0\0\0\0\0");
    part.extend(common);
    part.resize(1024, 0);
    bytes.extend(part);
    bytes
}

#[test]
fn variables() {
    let v = nvram(b"auto-boot?=true\0boot-device=disk:2 /pci/x@1\0boot-file= quiet \0empty=\0");
    assert_eq!(nvram_variable(&v, "auto-boot?").unwrap(), "true");
    assert_eq!((nvram_variable(&v, "empty"), nvram_variable(&v, "boot")), (None, None));
    let order = BootOrder::from_nvram(&v);
    assert_eq!(order, BootOrder { devices: vec!["disk:2".into(), "/pci/x@1".into()], file: "quiet".into() });
    let v = nvram(b"boot-command=boot cdrom:1 a  b\0boot-device=disk\0");
    let order = BootOrder::from_nvram(&v);
    assert_eq!(order, BootOrder { devices: vec!["cdrom:1".into()], file: "a b".into() });
    let v = nvram(b"boot-command=boot\0boot-device=disk\0");
    assert_eq!(BootOrder::from_nvram(&v).devices, ["disk"]);
    assert_eq!(nvram_variable(&[0; 64], "x"), None);
    assert_eq!(nvram_variable(&[0x70, 0, 0xff, 0xff], "x"), None);
    assert_eq!(nvram_variable(&v[..100], "boot-command"), None, "cut short");
}

#[test]
fn places() {
    let place = |partition, file: Option<&str>| BootPlace { partition, file: file.map(str::to_owned) };
    assert_eq!(BootPlace::parse("2"), place(Some(2), None));
    assert_eq!(BootPlace::parse("2,\\a\\b"), place(Some(2), Some("\\a\\b")));
    assert_eq!(BootPlace::parse("\\a"), place(None, Some("\\a")));
    assert_eq!(BootPlace::parse(",\\a"), place(None, Some("\\a")));
    assert_eq!(BootPlace::parse("nolabel"), place(None, None));
}
