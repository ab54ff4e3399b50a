//! The other end of the control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::api::{Answer, Request};

/// Where the control socket is if nobody says: in the user's run-time directory.
pub fn usual_path() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty()) {
        Some(d) => PathBuf::from(d).join("rhyp.sock"),
        None => std::env::temp_dir().join(format!("rhyp-{}.sock", rustix::process::geteuid().as_raw())),
    }
}

/// A connection.
pub struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    /// To a system that is up.
    pub fn connect(path: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(path).map_err(|e| {
            let why = match e.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                    "no system is up there; 'rhyp up FILE' starts one, --control names its socket".into()
                }
                _ => e.to_string(),
            };
            format!("{}: {why}", path.display())
        })?;
        Ok(Client { reader: BufReader::new(stream) })
    }

    /// Asks and waits for the answer; a refusal is an error. A system told to end may have done so before it could say
    /// anything.
    pub fn ask(&mut self, r: &Request) -> Result<Answer, String> {
        let gone = |e: std::io::Error| format!("the system does not answer: {e}");
        let mut line = serde_json::to_vec(r).map_err(|e| e.to_string())?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line).map_err(gone)?;
        let mut answer = String::new();
        let read = match self.reader.read_line(&mut answer) {
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => 0,
            other => other.map_err(gone)?,
        };
        if read == 0 {
            return if *r == Request::Down { Ok(Answer::Done) } else { Err("the system has ended".into()) };
        }
        match serde_json::from_str(&answer).map_err(|e| format!("this is no answer: {e}"))? {
            Answer::Refused(why) => Err(why),
            a => Ok(a),
        }
    }

    /// The stream behind a console that was granted, and what came with the answer.
    pub fn into_stream(self) -> (UnixStream, Vec<u8>) {
        let rest = self.reader.buffer().to_vec();
        (self.reader.into_inner(), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_told_to_end_need_not_say_so() {
        for (request, ends) in [(Request::Down, true), (Request::List, false)] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let system = std::thread::spawn(move || {
                let mut line = String::new();
                BufReader::new(theirs).read_line(&mut line).unwrap()
            });
            let mut client = Client { reader: BufReader::new(ours) };
            assert_eq!(client.ask(&request).is_ok(), ends);
            assert!(system.join().unwrap() > 0);
        }
    }
}
