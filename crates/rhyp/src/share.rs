//! `--share`: directories of the host as file systems of the guest, through the program virtiofsd.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use partition::virtio::VirtioDevice;
use partition::virtio::vhost::{TAG_LEN, VhostUser};

use crate::error::Failure;

/// Where Debian and others put the program.
const PLACES: &[&str] = &["virtiofsd", "/usr/libexec/virtiofsd", OF_QEMU];

/// Where Debian 12 has the older program of that name, which came with QEMU, takes other options and runs as root only.
const OF_QEMU: &str = "/usr/lib/qemu/virtiofsd";

/// Directories that are shared; the programs behind them end with it.
#[derive(Default)]
pub struct Shares {
    /// A device for each.
    pub devices: Vec<Arc<dyn VirtioDevice>>,
    programs: Vec<Child>,
}

impl Drop for Shares {
    fn drop(&mut self) {
        self.devices.clear();
        for p in &mut self.programs {
            // It may have ended by itself.
            let _ = p.kill();
            let _ = p.wait();
        }
    }
}

/// Directory and tag of one `--share`.
fn parse(arg: &str) -> Result<(PathBuf, String), Failure> {
    let wrong = |what: String| Failure::usage(format!("--share {arg}: {what}"));
    let parts = arg.rsplit_once('=').filter(|(dir, tag)| !dir.is_empty() && !tag.is_empty());
    let (dir, tag) = parts.ok_or_else(|| wrong("right would be DIRECTORY=TAG".into()))?;
    if tag.len() > TAG_LEN {
        return Err(wrong(format!("a tag has at most {TAG_LEN} bytes")));
    }
    if !Path::new(dir).is_dir() {
        return Err(wrong("there is no such directory".into()));
    }
    Ok((dir.into(), tag.into()))
}

/// Whether the words of a `--share` are right.
pub fn check(arg: &str) -> Result<(), Failure> {
    parse(arg).map(drop)
}

/// Starts a program for each directory.
pub fn open_all(args: &[String]) -> Result<Shares, Failure> {
    let mut shares = Shares::default();
    let mut tags = Vec::new();
    for arg in args {
        let (dir, tag) = parse(arg)?;
        if tags.contains(&tag) {
            return Err(Failure::usage(format!("--share {arg}: the tag {tag} is given twice")));
        }
        let failed = |e: std::io::Error| Failure::internal(format!("--share {arg}: virtiofsd: {e}"));
        let (socket, child) = start(arg, &dir, PLACES)?;
        shares.programs.push(child);
        shares.devices.push(Arc::new(VhostUser::fs(socket, &tag).map_err(failed)?));
        tags.push(tag);
    }
    Ok(shares)
}

/// The option of QEMU's own program that names the directory: commas and backslashes stand behind backslashes.
fn source(dir: &Path) -> OsString {
    let mut option = b"source=".to_vec();
    for &byte in dir.as_os_str().as_bytes() {
        if matches!(byte, b',' | b'\\') {
            option.push(b'\\');
        }
        option.push(byte);
    }
    OsString::from_vec(option)
}

/// Starts the program with one end of a connection.
fn start(arg: &str, dir: &Path, places: &[&str]) -> Result<(UnixStream, Child), Failure> {
    let failed = |e: std::io::Error| Failure::internal(format!("--share {arg}: {e}"));
    let place = std::env::temp_dir().join(format!("rhyp-share-{}", std::process::id()));
    // Left over from a process of the same number, if it is there.
    let _ = std::fs::remove_file(&place);
    let listener = UnixListener::bind(&place).map_err(failed)?;
    let connected = UnixStream::connect(&place);
    let _ = std::fs::remove_file(&place);
    let socket = connected.map_err(failed)?;
    // The program inherits this one; it is closed here as soon as the program has it.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).map_err(|e| failed(e.into()))?;
    for place in places {
        let mut command = Command::new(place);
        command.arg(format!("--fd={}", listener.as_raw_fd()));
        if *place == OF_QEMU {
            command.arg("-o").arg(source(dir));
        } else {
            command.arg("--shared-dir").arg(dir);
            // Without root it cannot have a root directory of its own; it has the rights of who started it, no more.
            if !rustix::process::geteuid().is_root() {
                command.args(["--sandbox", "none"]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        match command.spawn() {
            Ok(child) => return Ok((socket, child)),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => {
                return Err(Failure::internal(format!("--share {arg}: {place} cannot be started: {e}")));
            }
        }
    }
    Err(Failure::usage(format!(
        "--share {arg}: the program 'virtiofsd' is not installed (Debian's package is called virtiofsd)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_options_give_one_clear_line() {
        let dir = std::env::temp_dir().display().to_string();
        for (arg, what) in [
            ("", "DIRECTORY=TAG"),
            ("=tag", "DIRECTORY=TAG"),
            (&format!("{dir}="), "DIRECTORY=TAG"),
            ("/does/not/exist=x", "no such directory"),
            (&format!("{dir}={}", "x".repeat(37)), "36 bytes"),
        ] {
            let e = parse(arg).unwrap_err();
            assert!(e.text.contains(what) && !e.text.contains('\n'), "{}", e.text);
            assert_eq!(e.status, 2);
        }
        assert_eq!(source(Path::new("/a,b\\c d")), "source=/a\\,b\\\\c d");
        assert_eq!(parse(&format!("{dir}=a tag")).unwrap(), (dir.clone().into(), "a tag".into()));
        let e = start("x=y", Path::new(&dir), &["/does/not/exist"]).unwrap_err();
        assert!(e.text.contains("virtiofsd") && e.text.contains("package"), "{}", e.text);
        assert_eq!(e.status, 2);
    }
}
